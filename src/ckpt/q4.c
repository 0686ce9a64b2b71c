#include "ckpt/q4.h"
#include "base/printable.h"
#include "ckpt/q4_int.h"

#include <math.h>
#include <stdio.h>

/* A module that is looked at. */
typedef struct module {
    const ts_q4_config *c;
    const char *name;
    ts_q4_find *find;
    void *ud;
    ts_err *err;
} module;

static const ts_array *part(const module *m, const char *what) {
    char name[512];
    snprintf(name, sizeof name, "%s.%s", m->name, what);
    return m->find(m->ud, name);
}

static ts_status wrong(const module *m, const char *what, const char *why) {
    return ts_fail(m->err, TS_E_FORMAT, "tensor %s.%s %s", m->name, what, why);
}
static ts_status refuse(const module *m, const char *why) {
    return ts_fail(m->err, TS_E_UNSUPP, "layer %s %s", m->name, why);
}

static bool is_matrix(const ts_array *a, uint64_t rows, uint64_t cols) {
    return a->n_dims == 2 && a->dim[0] == rows && a->dim[1] == cols;
}
static bool is_scale(ts_elem e) {
    return e == TS_EL_F16 || e == TS_EL_BF16 || e == TS_EL_F32;
}
static bool is_byte(ts_elem e) {
    return e == TS_EL_I8 || e == TS_EL_U8;
}
static uint64_t up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* May n groups be of a usual size with a short one behind, too? Two groups of 192 inputs are 96 and 96, or 128 and 64.
 */
static bool in_doubt(uint64_t n_in, uint64_t n) {
    for (uint64_t g = 32; g < n_in; g *= 2)
        if (n_in % g && up(n_in, g) == n) return true;
    return false;
}

/* From how many groups there are scales for, and what the configuration says. `counted`: the inputs of the first group,
 * where something says so of this layer alone; else 0. */
static ts_status set_groups(const module *m, ts_q4 *q, uint64_t n, uint64_t counted, const char *scales) {
    const int64_t said = m->c->group;
    if (said < -1 || said > (int64_t)q->n_in)
        return ts_fail(m->err, TS_E_FORMAT, "layer %s: group_size %lld with %u inputs", m->name, (long long)said,
                       q->n_in);
    uint64_t group = said == -1 ? q->n_in : said > 0 ? (uint64_t)said : 0;
    const bool fits = group && up(q->n_in, group) == n;
    if (!fits && m->c->own_group)
        return ts_fail(m->err, TS_E_FORMAT,
                       "tensor %s.%s has %llu groups of %u inputs, but the layer's group_size is "
                       "%lld",
                       m->name, scales, (unsigned long long)n, q->n_in, (long long)said);
    if (!fits && counted && up(q->n_in, counted) == n) { /* what is said may be of the other layers */
        group = counted;
    } else if (!fits) {
        if (!n || q->n_in % n) return wrong(m, scales, "fits no group size");
        if (n > 1 && in_doubt(q->n_in, n))
            return wrong(m, scales, "fits several group sizes, and none that the configuration says");
        group = q->n_in / n;
    }
    if (q->n_in % group && group % 32) return refuse(m, "has a last group that is no multiple of 32");
    q->group = (uint32_t)group;
    q->n_groups = (uint32_t)n;
    return TS_OK;
}

/* Of scales that are filled up with zeros [rows or columns], how many are groups'. */
static uint64_t without_padding(const ts_q4 *q, uint64_t n) {
    for (; n > 1; n--)
        for (uint32_t o = 0; o < q->n_out; o++)
            if (ts_q4_scale(q, (uint32_t)n - 1, o) != 0) return n;
    return n;
}

/* So many groups AutoAWQ makes room for: in whole words of zero points, of which small groups have a multiple of 2
 * or 4. */
static uint64_t padded_groups(uint64_t n_in, uint64_t group) {
    const uint64_t most = group == 32 ? 4 : group == 64 ? 2 : 1;
    return 8 * most * up(up(up(n_in, group), 8), most);
}

/* How many groups stand in `there` places: those with scales, whatever the configuration says, and room for no others.
 */
static ts_status take_padded(const module *m, ts_q4 *q, uint64_t there, const char *name) {
    TS_TRY(set_groups(m, q, without_padding(q, there), 0, name));
    if (padded_groups(q->n_in, q->group) != there)
        return wrong(m, name, "fits no group size: there is room for more groups, or for fewer");
    return TS_OK;
}

/* Inputs that g_idx gives to the first group; 0: it is not there, or says nothing. */
static uint64_t count_first(const module *m, const ts_q4 *q, const char *name);

/* Scales by group and output, `padded` with more groups than there are. `index`: of act-order, NULL: there is none. */
static ts_status take_scales(const module *m, ts_q4 *q, const char *name, bool rows, bool padded, const char *index) {
    q->scales = part(m, name);
    q->scale_rows = rows;
    if (!q->scales) return wrong(m, name, "is missing");
    const ts_array *s = q->scales;
    if (!is_scale(s->elem)) return wrong(m, name, "is not of floats");
    if (s->n_dims != 2 || s->dim[rows ? 0 : 1] != q->n_out || !s->dim[rows ? 1 : 0] ||
        s->dim[rows ? 1 : 0] > up(q->n_in, 8) + 31)
        return wrong(m, name, "has another shape than the weights ask for");
    const uint64_t n = s->dim[rows ? 1 : 0];
    return padded ? take_padded(m, q, n, name) : set_groups(m, q, n, count_first(m, q, index), name);
}

static ts_status take_zeros(const module *m, ts_q4 *q, const char *name, ts_q4_zeros form, uint64_t rows, uint64_t cols,
                            bool words) {
    q->zeros = part(m, name);
    q->zero_form = form;
    if (!q->zeros) return wrong(m, name, "is missing");
    if (words ? q->zeros->elem != TS_EL_I32 && q->zeros->elem != TS_EL_U32 : !is_byte(q->zeros->elem))
        return wrong(m, name, words ? "is not of 32-bit words" : "is not of bytes");
    if (!is_matrix(q->zeros, rows, cols)) return wrong(m, name, "has another shape than the scales ask for");
    return TS_OK;
}

/* ---- act-order --------------------------------------------------------------------------------------------------- */

static int64_t index_at(const ts_array *a, uint32_t i) {
    if (a->elem == TS_EL_I64) {
        int64_t v;
        memcpy(&v, a->data + i * a->stride[0] * 8, 8);
        return v;
    }
    int32_t v;
    memcpy(&v, a->data + i * a->stride[0] * 4, 4);
    return v;
}

static bool is_index(const ts_array *g, uint32_t n_in) {
    return (g->elem == TS_EL_I32 || g->elem == TS_EL_I64) && g->n_dims == 1 && g->dim[0] == n_in;
}

static uint64_t count_first(const module *m, const ts_q4 *q, const char *name) {
    const ts_array *g = name ? part(m, name) : NULL;
    uint64_t n = 0;
    for (uint32_t i = 0; g && is_index(g, q->n_in) && i < q->n_in; i++) n += index_at(g, i) == 0;
    return n;
}

/* The inputs sorted by group, those of a group in their order; NULL stays where they are that already. */
static ts_status take_order(const module *m, ts_q4 *q, const char *name) {
    const ts_array *g = part(m, name);
    if (!g) return TS_OK;
    q->index = g;
    if (!is_index(g, q->n_in)) return wrong(m, name, "is not one whole number for each input");
    bool sorted = true, none = true;
    for (uint32_t i = 0; i < q->n_in; i++) {
        const int64_t v = index_at(g, i);
        none = none && v == -1;
        sorted = sorted && v == i / q->group;
    }
    if (none || sorted) return TS_OK;
    uint32_t *at = ts_calloc(q->n_groups, sizeof *at), *order = ts_alloc(q->n_in, sizeof *order);
    ts_status st = at && order ? TS_OK : ts_fail_nomem(m->err, "the order of inputs", q->n_in * sizeof *order);
    for (uint32_t i = 0; i < q->n_in && st == TS_OK; i++) {
        const int64_t v = index_at(g, i);
        if (v < 0 || v >= q->n_groups) st = wrong(m, name, "names a group that is not there");
        else if (at[v] == q->group || (uint64_t)v * q->group + at[v] >= q->n_in)
            st = wrong(m, name, "gives a group more inputs than group_size");
        else order[(size_t)v * q->group + at[v]++] = i;
    }
    ts_free(at);
    if (st == TS_OK) q->order = order; /* no group has too many, so none has too few */
    else ts_free(order);
    return st;
}

/* ---- the forms --------------------------------------------------------------------------------------------------- */

static ts_status check_bits(const module *m) {
    char why[80];
    if (!m->c->bits || m->c->bits == 4) return TS_OK;
    snprintf(why, sizeof why, "is quantised to %u bits; Tessera reads 4-bit layers", m->c->bits);
    return refuse(m, why);
}

static ts_status open_awq(const module *m, ts_q4 *q, ts_q4_form form) {
    q->form = form;
    if (form == TS_Q4_FAST) {
        if (q->n_out % 4 || q->n_in % 64) return wrong(m, "qweight", "has a shape that gemv_fast cannot have");
        const bool scaled = part(m, "scaled_zeros") != NULL;
        TS_TRY(take_scales(m, q, "scales", false, true, NULL));
        q->zeros = part(m, scaled ? "scaled_zeros" : "qzeros");
        q->zero_form = TS_Q4_ZERO_SCALED;
        if (!q->zeros || !is_scale(q->zeros->elem) || !is_matrix(q->zeros, q->scales->dim[0], q->n_out))
            return wrong(m, scaled ? "scaled_zeros" : "qzeros", "is missing, or not as the scales are");
        return TS_OK;
    }
    if (q->n_out % 8) return wrong(m, "qweight", "has outputs that are no multiple of 8");
    if (form == TS_Q4_ROWS) {
        TS_TRY(take_scales(m, q, "scales", true, true, NULL));
        return take_zeros(m, q, "qzeros", TS_Q4_ZERO_ROWS, q->n_out, q->scales->dim[1] / 8, true);
    }
    q->awq_order = true;
    TS_TRY(take_scales(m, q, "scales", false, false, NULL));
    return take_zeros(m, q, "qzeros", TS_Q4_ZERO_COLUMNS, q->n_groups, q->n_out / 8, true);
}

/* Do all words of the zero points have this value in all nibbles? */
static bool zeros_are(const ts_array *z, uint32_t value) {
    for (uint64_t i = 0; i < z->dim[0]; i++)
        for (uint64_t k = 0; k < z->dim[1]; k++) {
            uint32_t w;
            memcpy(&w, ts_q4_at(z, (size_t)i, (size_t)k, 4), 4);
            if (w != value) return false;
        }
    return true;
}

/* Writers before 2024 put all ones over the rest of a word that has a zero point of 0. A right word may end in two: 0
 * and 1; but where one has a 15 below another nibble, all are right. */
static bool zeros_are_smeared(const ts_array *z) {
    bool two = false, right = false;
    for (uint64_t i = 0; i < z->dim[0]; i++)
        for (uint64_t k = 0; k < z->dim[1]; k++) {
            uint32_t w, rest = 8; /* nibbles below those at the end that are 15 */
            memcpy(&w, ts_q4_at(z, (size_t)i, (size_t)k, 4), 4);
            while (rest && (w >> 4 * (rest - 1) & 15) == 15) rest--;
            if (rest <= 4) return true;
            two = two || rest <= 6;
            for (uint32_t b = 0; b < rest; b++) right = right || (w >> 4 * b & 15) == 15;
        }
    return two && !right;
}

/* Whether stored zero points are the true ones or less 1. Symmetric files are labelled wrongly by some programs, but 8
 * is what they mean: 7 is that less 1. Where nothing is said of it they are symmetric, if they look it: that is the
 * writers' default. */
static void look_at_zeros(const ts_q4_config *c, ts_q4 *q) {
    const bool seven = zeros_are(q->zeros, 0x77777777), eight = zeros_are(q->zeros, 0x88888888);
    q->zero_plus = c->v2 ? 0 : 0x11111111;
    if (c->sym != TS_Q4_SAID_NO && (seven || eight)) q->zero_plus = seven ? 0x11111111 : 0;
    else if (c->sym == TS_Q4_SAID_YES) q->odd |= TS_Q4_ODD_NOT_EIGHT;
    else if (c->v2 ? seven : eight) q->odd |= TS_Q4_ODD_EIGHT;
    if (q->zero_plus && zeros_are_smeared(q->zeros)) q->odd |= TS_Q4_ODD_SMEARED;
}

static ts_status open_gptq(const module *m, ts_q4 *q) {
    q->form = TS_Q4_DOWN;
    if (q->n_out % 8 || q->n_in % 8) return wrong(m, "qweight", "has sizes that are no multiples of 8");
    TS_TRY(take_scales(m, q, "scales", false, false, "g_idx"));
    TS_TRY(take_zeros(m, q, "qzeros", TS_Q4_ZERO_DOWN, q->n_groups, q->n_out / 8, true));
    look_at_zeros(m->c, q);
    return take_order(m, q, "g_idx");
}

static ts_status open_compressed(const module *m, ts_q4 *q) {
    const ts_array *w = part(m, "weight_packed"), *shape = part(m, "weight_shape");
    q->q = w;
    q->form = TS_Q4_ROWS;
    if (w->elem != TS_EL_I32 && w->elem != TS_EL_U32) return wrong(m, "weight_packed", "is not of 32-bit words");
    if (w->n_dims == 2 && w->dim[1] != up(q->n_in, 8) && w->dim[0] == q->n_out) {
        if (m->c->bits == 4 || !m->c->bits)
            return wrong(m, "weight_packed", "has another shape than the model asks for");
        TS_TRY(check_bits(m));
    }
    TS_TRY(check_bits(m));
    if (!is_matrix(w, q->n_out, up(q->n_in, 8)))
        return wrong(m, "weight_packed", "has another shape than the model asks for");
    if (shape && (shape->n_dims != 1 || shape->dim[0] != 2 || (shape->elem != TS_EL_I64 && shape->elem != TS_EL_I32) ||
                  index_at(shape, 0) != q->n_out || index_at(shape, 1) != q->n_in))
        return wrong(m, "weight_shape", "is not the shape that the model asks for");
    TS_TRY(take_scales(m, q, "weight_scale", true, false, "weight_g_idx"));
    const ts_array *z = part(m, "weight_zero_point");
    if (z && is_byte(z->elem))
        TS_TRY(take_zeros(m, q, "weight_zero_point", TS_Q4_ZERO_SIGNED, q->n_out, q->n_groups, false));
    else if (z || m->c->asym)
        TS_TRY(take_zeros(m, q, "weight_zero_point", TS_Q4_ZERO_ACROSS, up(q->n_out, 8), q->n_groups, true));
    return take_order(m, q, "weight_g_idx");
}

static ts_status open_quark(const module *m, ts_q4 *q) {
    q->q = part(m, "weight");
    q->form = TS_Q4_COLUMNS;
    q->awq_order = !m->c->plain_order;
    q->flip = m->c->two_complement ? 0x88888888 : 0;
    TS_TRY(check_bits(m));
    if (q->n_out % 8 || !is_matrix(q->q, q->n_in, q->n_out / 8))
        return wrong(m, "weight", "has another shape than the model asks for");
    /* some early exports have the scales the other way round; the number of groups tells */
    const ts_array *s = part(m, "weight_scale");
    const bool rows = s && s->n_dims == 2 && s->dim[1] != q->n_out && s->dim[0] == q->n_out;
    TS_TRY(take_scales(m, q, "weight_scale", rows, false, NULL));
    if (!part(m, "weight_zero_point")) {
        if (!m->c->two_complement) return wrong(m, "weight_zero_point", "is missing");
        return TS_OK;
    }
    return take_zeros(m, q, "weight_zero_point", TS_Q4_ZERO_COLUMNS, q->n_groups, q->n_out / 8, true);
}

static ts_status open_bytes(const module *m, ts_q4 *q) {
    q->form = TS_Q4_BYTES;
    TS_TRY(take_scales(m, q, "scales", true, false, NULL));
    return take_zeros(m, q, "qzeros", TS_Q4_ZERO_BYTES, q->n_out, q->n_groups, false);
}

/* Of as many outputs as inputs both forms have one shape; their scales have not: a row of them for each output, or a
 * few rows, one for each group. */
static bool is_gemv(const module *m, const ts_q4 *q) {
    const ts_array *s = part(m, "scales");
    return s && s->n_dims == 2 && s->dim[0] == q->n_out;
}

/* `qweight` may be any of five things: its shape tells, and where two have the same, what the configuration says. */
static ts_status open_qweight(const module *m, ts_q4 *q) {
    const ts_array *w = q->q;
    const uint64_t in = q->n_in, out = q->n_out;
    TS_TRY(check_bits(m));
    if (part(m, "trellis")) return refuse(m, "is in an EXL3 form, which Tessera does not read");
    if (is_byte(w->elem) && is_matrix(w, out, in)) return open_bytes(m, q);
    if (w->elem == TS_EL_I16 && in % 64 == 0 && is_matrix(w, out / 4, in)) return open_awq(m, q, TS_Q4_FAST);
    if (w->elem != TS_EL_I32 && w->elem != TS_EL_U32) return wrong(m, "qweight", "is of no type that is known");
    const bool columns = out % 8 == 0 && is_matrix(w, in, out / 8), rows = in % 8 == 0 && is_matrix(w, out, in / 8),
               down = in % 8 == 0 && is_matrix(w, in / 8, out);
    if (down && (m->c->method == TS_Q4_GPTQ || !rows)) return open_gptq(m, q);
    if (rows && (!columns || is_gemv(m, q))) return open_awq(m, q, TS_Q4_ROWS);
    if (columns) return open_awq(m, q, TS_Q4_COLUMNS);
    if (in % 16 == 0 && is_matrix(w, in / 16, 2 * out))
        return refuse(m, "is in a Marlin form, which Tessera does not read");
    return wrong(m, "qweight", "has another shape than the model asks for");
}

static ts_status open_module(const module *m, ts_q4 *q, bool *is) {
    const ts_array *w = part(m, "weight");
    *is = true;
    if ((q->q = part(m, "qweight"))) return open_qweight(m, q);
    if (part(m, "weight_packed")) return open_compressed(m, q);
    if (w && (w->elem == TS_EL_I32 || w->elem == TS_EL_U32) && w->n_dims == 2) return open_quark(m, q);
    if (part(m, "trellis")) return refuse(m, "is in an EXL3 form, which Tessera does not read");
    if (part(m, "q_weight")) return refuse(m, "is in an EXL2 form, which Tessera does not read");
    *is = false;
    return TS_OK;
}

ts_status ts_q4_open(ts_q4 *out, bool *is, const ts_q4_config *c, const char *name, uint32_t n_in, uint32_t n_out,
                     ts_q4_find *find, void *ud, ts_err *err) {
    const module m = {.c = c, .name = name, .find = find, .ud = ud, .err = err};
    ts_q4 q = {.n_in = n_in, .n_out = n_out};
    const ts_status st = open_module(&m, &q, is);
    if (st == TS_OK && *is) *out = q;
    else ts_q4_fini(&q);
    return st;
}

void ts_q4_fini(ts_q4 *q) {
    ts_free(q->order);
    q->order = NULL;
}

ts_status ts_q4_check(const ts_q4 *q, ts_err *err) {
    for (uint32_t i = 0; i < (q->scale_rows ? q->n_out : q->n_groups); i++)
        for (uint32_t k = 0; k < (q->scale_rows ? q->n_groups : q->n_out); k++) {
            const float s = q->scale_rows ? ts_q4_scale(q, k, i) : ts_q4_scale(q, i, k);
            if (s == 0 || !isfinite(s))
                return ts_fail(err, TS_E_FORMAT,
                               "tensor %s: the scale of group %u, output %u is %g; the file is damaged",
                               q->scales->name, q->scale_rows ? k : i, q->scale_rows ? i : k, (double)s);
        }
    if (q->form != TS_Q4_BYTES) return TS_OK;
    for (uint32_t o = 0; o < q->n_out; o++) {
        uint8_t any = 0;
        for (uint32_t i = 0; i < q->n_in; i++) any |= *ts_q4_at(q->q, o, i, 1);
        for (uint32_t g = 0; g < q->n_groups; g++) any |= *ts_q4_at(q->zeros, o, g, 1);
        if (any & 0xf0)
            return ts_fail(err, TS_E_FORMAT, "tensor %s: output %u has a weight or zero point above 15", q->q->name, o);
    }
    return TS_OK;
}

bool ts_q4_exact(const ts_q4 *q) {
    if (q->scales->elem == TS_EL_F16) return true;
    for (uint32_t i = 0; i < (q->scale_rows ? q->n_out : q->n_groups); i++)
        for (uint32_t k = 0; k < (q->scale_rows ? q->n_groups : q->n_out); k++) {
            const float s = q->scale_rows ? ts_q4_scale(q, k, i) : ts_q4_scale(q, i, k);
            if (ts_f16_to_f32(ts_f32_to_f16(s)) != s) return false;
        }
    return true;
}

bool ts_q4_symmetric(const ts_q4 *q) {
    for (uint32_t o = 0; o < q->n_out && q->zeros; o++)
        for (uint32_t g = 0; g < q->n_groups; g++)
            if (ts_q4_zero(q, g, o) != 8) return false;
    return true;
}

bool ts_q4_products_fit(const ts_q4 *q) {
    for (uint32_t o = 0; o < q->n_out; o++)
        for (uint32_t g = 0; g < q->n_groups; g++)
            if (isinf(ts_f16_to_f32(ts_f32_to_f16(ts_q4_scale(q, g, o) * (float)ts_q4_zero(q, g, o))))) return false;
    return true;
}

ts_dtype ts_q4_type(const ts_q4 *q) {
    if (q->n_in % 32 || q->group % 32 || !ts_q4_exact(q)) return TS_F32;
    return q->group % 128 == 0 ? TS_U4G128 : q->group % 64 == 0 ? TS_U4G64 : TS_U4G32;
}
