#include "quant/calib.h"
#include "format/quant.h"
#include "kern/fmath.h"
#include "model/finite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- tensors as floats ------------------------------------------------------------------------------------------- */

static ts_status floats(const ts_calib *c, const ts_tensor *t, uint64_t cols, uint64_t rows, float **out, ts_err *err) {
    const size_t row_bytes = ts_dtype_row_bytes(t->type, t->dim[0]);
    if (t->dim[0] != cols || t->dim[1] != rows || !row_bytes)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has another shape than the model asks for", c->src->name,
                       t->name);
    if (c->src->op->check) TS_TRY(c->src->op->check(c->src, t, err));
    float *f = ts_alloc((size_t)(cols * rows), sizeof *f);
    void *scratch = ts_alloc(TS_ROWS_AT_A_TIME, row_bytes);
    if (!f || !scratch) {
        ts_free(f);
        ts_free(scratch);
        return ts_fail_nomem(err, t->name, (size_t)(cols * rows) * sizeof *f);
    }
    ts_status st = TS_OK;
    for (uint64_t r = 0; r < rows && st == TS_OK; r += TS_ROWS_AT_A_TIME) {
        const uint64_t n = rows - r < TS_ROWS_AT_A_TIME ? rows - r : TS_ROWS_AT_A_TIME;
        const void *from = ts_source_rows(c->src, t, r, n, scratch);
        const size_t n_el = (size_t)(n * cols), bad = ts_find_not_finite(t->type, from, n_el);
        if (bad < n_el)
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %s: element %" PRIu64 " is not a finite number", c->src->name,
                         t->name, r * cols + bad);
        else ts_dequant(t->type, from, f + r * cols, n_el);
    }
    ts_free(scratch);
    if (st != TS_OK) {
        ts_free(f);
        return st;
    }
    c->src->op->release(c->src, t, 0, t->bytes);
    const uint32_t *order = c->src->op->order ? c->src->op->order(c->src, t) : NULL;
    float *copy = order ? ts_alloc((size_t)cols, sizeof *copy) : NULL;
    if (order && !copy) {
        ts_free(f);
        return ts_fail_nomem(err, t->name, (size_t)cols * sizeof *copy);
    }
    for (uint64_t r = 0; r < rows && order; r++) { /* inputs as they come */
        float *row = f + r * cols;
        for (uint64_t i = 0; i < cols; i++) copy[order[i]] = row[i];
        memcpy(row, copy, (size_t)cols * sizeof *copy);
    }
    ts_free(copy);
    ts_clear_small(TS_F32, f, (size_t)(cols * rows));
    *out = f;
    return TS_OK;
}

static ts_status vector(const ts_calib *c, ts_role role, uint32_t layer, bool bias, uint32_t n, bool required,
                        float **out, ts_err *err) {
    const ts_tensor *t = c->src->op->tensor(c->src, role, layer, bias);
    char name[96];
    if (t) return floats(c, t, n, 1, out, err);
    if (!required) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is missing", c->src->name,
                   c->src->op->tensor_name(c->src, role, layer, bias, name, sizeof name));
}

ts_status ts_calib_load(ts_calib_layer *l, const ts_calib *c, uint32_t layer, ts_err *err) {
    *l = (ts_calib_layer){0};
    ts_status st = TS_OK;
    for (ts_role r = 0; r < TS_LAYER_MATS && st == TS_OK; r++) {
        char name[96];
        const uint32_t n_out = ts_role_out(r, &c->width);
        l->tensor[r] = c->src->op->tensor(c->src, r, layer, false);
        if (l->tensor[r]) st = floats(c, l->tensor[r], ts_role_in(r, &c->width), n_out, &l->mat[r], err);
        else
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %s is missing", c->src->name,
                         c->src->op->tensor_name(c->src, r, layer, false, name, sizeof name));
        if (st == TS_OK) st = vector(c, r, layer, true, n_out, false, &l->bias[r], err);
    }
    for (ts_role r = TS_LAYER_MATS; r < TS_LAYER_ROLES && st == TS_OK; r++)
        st = vector(c, r, layer, false, ts_role_in(r, &c->width), r <= TS_ROLE_FFN_NORM, &l->vec[r - TS_LAYER_MATS],
                    err);
    if (st != TS_OK) ts_calib_layer_fini(l);
    return st;
}

void ts_calib_layer_fini(ts_calib_layer *l) {
    for (int r = 0; r < TS_LAYER_MATS; r++) {
        ts_free(l->mat[r]);
        ts_free(l->bias[r]);
    }
    for (int r = 0; r < TS_LAYER_ROLES - TS_LAYER_MATS; r++) ts_free(l->vec[r]);
    *l = (ts_calib_layer){0};
}

/* ---- the states -------------------------------------------------------------------------------------------------- */

static ts_status embed(ts_calib *c, const ts_token *token, ts_err *err) {
    const ts_tensor *t = c->src->op->tensor(c->src, TS_ROLE_EMBED, 0, false);
    const uint32_t d = c->c.d_model;
    const size_t row_bytes = t ? ts_dtype_row_bytes(t->type, d) : 0;
    if (!row_bytes || t->dim[0] != d) return ts_fail(err, TS_E_FORMAT, "%s: there is no embedding", c->src->name);
    void *row = ts_alloc(1, row_bytes);
    c->x = ts_alloc((size_t)c->n * d, sizeof *c->x);
    if (!row || !c->x) {
        ts_free(row);
        return ts_fail_nomem(err, "the calibration's states", (size_t)c->n * d * sizeof *c->x);
    }
    ts_status st = TS_OK;
    for (uint32_t i = 0; i < c->n && st == TS_OK; i++) {
        if (token[i] < 0 || (uint64_t)token[i] >= t->dim[1])
            st = ts_fail(err, TS_E_INVAL, "%s: the embedding has no row for token %d of the calibration", c->src->name,
                         token[i]);
        else ts_dequant(t->type, ts_source_rows(c->src, t, (uint64_t)token[i], 1, row), c->x + (size_t)i * d, d);
    }
    ts_free(row);
    ts_clear_small(TS_F32, c->x, (size_t)c->n * d);
    return st;
}

ts_status ts_calib_init(ts_calib *out, ts_source *src, const ts_token *token, size_t n, const ts_kern *kern,
                        ts_pool *pool, ts_err *err) {
    ts_calib c = {.src = src, .kern = kern, .pool = pool};
    ts_span family = {0};
    char name[32];
    TS_TRY(src->op->family(src, &family, err));
    snprintf(name, sizeof name, "%.*s", (int)(family.len < 31 ? family.len : 31), (const char *)family.data);
    TS_TRY(src->op->config(src, name, &c.c, err));
    TS_TRY(ts_model_config_check(&c.c, src->name, err));
    c.width = ts_widths_of(c.c.d_model, c.c.n_head, c.c.n_kv_head, c.c.head_dim, c.c.d_ff);
    c.n_chunks = (uint32_t)(n / TS_CALIB_CHUNK);
    c.n = c.n_chunks ? c.n_chunks * TS_CALIB_CHUNK : (uint32_t)n;
    if (!c.n_chunks) c.n_chunks = 1;
    if (n < 16 || n > INT32_MAX)
        return ts_fail(err, TS_E_INVAL, "%zu tokens are too few for a calibration; give it more text", n);
    float *factors = NULL;
    ts_status st = vector(&c, TS_ROLE_ROPE_FACTORS, 0, false, c.c.n_rot / 2, false, &factors, err);
    if (st == TS_OK) st = ts_rope_init(&c.rope, &c.c, factors, err);
    ts_free(factors);
    if (st == TS_OK) st = embed(&c, token, err);
    if (st == TS_OK) *out = c;
    else ts_calib_fini(&c);
    return st;
}

void ts_calib_fini(ts_calib *c) {
    ts_rope_fini(&c->rope);
    ts_free(c->x);
    *c = (ts_calib){0};
}

uint32_t ts_calib_chunk(const ts_calib *c, uint32_t i, uint32_t *n) {
    const uint32_t first = i * TS_CALIB_CHUNK;
    *n = c->n - first < TS_CALIB_CHUNK ? c->n - first : TS_CALIB_CHUNK;
    return first;
}

uint32_t ts_calib_width(const ts_calib *c, ts_mat_group g) {
    return ts_role_in(ts_layer_group[g].first, &c->width);
}

/* ---- linear layers ----------------------------------------------------------------------------------------------- */

struct linear {
    const ts_kern *kern;
    const float *w, *bias, *x;
    uint32_t n_in, n_out, n;
    float *y;
};
enum { LINEAR_ROWS = 64 };

static void linear_task(void *arg, size_t task, int thread) {
    const struct linear *l = arg;
    (void)thread;
    const uint32_t r0 = (uint32_t)task * LINEAR_ROWS, r1 = l->n_out - r0 < LINEAR_ROWS ? l->n_out : r0 + LINEAR_ROWS;
    l->kern->gemm_f[TS_F32](l->w, l->n_in * sizeof *l->w, l->n_in, l->x, l->n_in, l->n, r0, r1, l->y, l->n_out);
    for (uint32_t t = 0; t < l->n && l->bias; t++)
        for (uint32_t r = r0; r < r1; r++) l->y[(size_t)t * l->n_out + r] += l->bias[r];
}

static void linear(const ts_calib *c, const ts_calib_layer *l, ts_role r, const float *x, uint32_t n, float *y) {
    struct linear a = {.kern = c->kern,
                       .w = l->mat[r],
                       .bias = l->bias[r],
                       .x = x,
                       .n_in = ts_role_in(r, &c->width),
                       .n_out = ts_role_out(r, &c->width),
                       .n = n,
                       .y = y};
    ts_pool_run(c->pool, (a.n_out + LINEAR_ROWS - 1) / LINEAR_ROWS, linear_task, &a);
}

static void norm(const ts_calib *c, const float *weight, uint32_t first, uint32_t n, float *out) {
    const uint32_t d = c->c.d_model;
    for (uint32_t t = 0; t < n; t++)
        c->kern->rmsnorm(c->x + (size_t)(first + t) * d, weight, out + (size_t)t * d, d, c->c.norm_eps);
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

struct attention {
    const ts_calib *c;
    const float *q, *k, *v; /* [n, heads * head_dim], q and k turned */
    uint32_t n;
    float *scores; /* [threads][n][n] */
    float *out;    /* [n, heads * head_dim] */
    float *rows;   /* [threads][3][n][head_dim] */
};

/* One head: scores of all tokens, soft-max over those before, values. */
static void head_task(void *arg, size_t h, int thread) {
    const struct attention *a = arg;
    const ts_model_config *c = &a->c->c;
    const uint32_t n = a->n, hd = c->head_dim, g = (uint32_t)h / (c->n_head / c->n_kv_head);
    const size_t dq = (size_t)c->n_head * hd, dkv = (size_t)c->n_kv_head * hd;
    float *s = a->scores + (size_t)thread * n * n, *k = a->rows + (size_t)thread * n * hd;
    for (uint32_t t = 0; t < n; t++) memcpy(k + (size_t)t * hd, a->k + t * dkv + g * hd, hd * sizeof *k);
    a->c->kern->gemm_f[TS_F32](k, hd * sizeof *k, hd, a->q + h * hd, dq, n, 0, n, s, n);
    for (uint32_t i = 0; i < n; i++) {
        float *row = s + (size_t)i * n, most = -INFINITY, sum = 0, *out = a->out + i * dq + h * hd;
        const uint32_t from = c->window && i + 1 > c->window ? i + 1 - c->window : 0;
        for (uint32_t j = from; j <= i; j++) {
            row[j] *= c->att_scale;
            if (row[j] > most) most = row[j];
        }
        for (uint32_t j = from; j <= i; j++) sum += row[j] = ts_z(ts_expf(row[j] - most));
        for (uint32_t d = 0; d < hd; d++) out[d] = 0;
        for (uint32_t j = from; j <= i; j++) {
            const float *v = a->v + j * dkv + g * hd, p = row[j] / sum;
            for (uint32_t d = 0; d < hd; d++) out[d] += p * v[d];
        }
        ts_clear_small(TS_F32, out, hd);
    }
}

/* q or k: normed by head, turned. */
static void turn(const ts_calib *c, const float *weight, float *x, uint32_t n, uint32_t heads) {
    const uint32_t hd = c->c.head_dim;
    float cs[TS_MAX_HEAD_DIM], turned[TS_MAX_HEAD_DIM];
    for (uint32_t t = 0; t < n; t++) {
        ts_rope_angles(&c->rope, t, cs);
        for (uint32_t h = 0; h < heads; h++) {
            float *p = x + ((size_t)t * heads + h) * hd;
            if (weight) c->kern->rmsnorm(p, weight, p, hd, c->c.norm_eps);
            c->kern->rope(p, turned, cs, c->c.n_rot, hd, c->c.rope_halves);
            memcpy(p, turned, hd * sizeof *p);
        }
    }
}

static ts_status attend(const ts_calib *c, const ts_calib_layer *l, uint32_t first, uint32_t n, float *out,
                        ts_err *err) {
    const uint32_t dq = c->width.of[TS_WIDTH_Q], dkv = c->width.of[TS_WIDTH_KV];
    const size_t threads = (size_t)ts_pool_threads(c->pool);
    float *h = ts_alloc((size_t)n * c->c.d_model, sizeof *h), *q = ts_alloc((size_t)n * dq, sizeof *q),
          *k = ts_alloc((size_t)n * dkv, sizeof *k), *v = ts_alloc((size_t)n * dkv, sizeof *v),
          *scores = ts_alloc(threads * n * n, sizeof *scores),
          *rows = ts_alloc(threads * n * c->c.head_dim, sizeof *rows);
    ts_status st = TS_OK;
    if (h && q && k && v && scores && rows) {
        norm(c, l->vec[TS_ROLE_ATTN_NORM - TS_LAYER_MATS], first, n, h);
        linear(c, l, TS_ROLE_Q, h, n, q);
        linear(c, l, TS_ROLE_K, h, n, k);
        linear(c, l, TS_ROLE_V, h, n, v);
        turn(c, l->vec[TS_ROLE_Q_NORM - TS_LAYER_MATS], q, n, c->c.n_head);
        turn(c, l->vec[TS_ROLE_K_NORM - TS_LAYER_MATS], k, n, c->c.n_kv_head);
        struct attention a = {.c = c, .q = q, .k = k, .v = v, .n = n, .scores = scores, .out = out, .rows = rows};
        ts_pool_run(c->pool, c->c.n_head, head_task, &a);
    } else {
        st = ts_fail_nomem(err, "the calibration's activations", (size_t)n * (dq + 2 * dkv) * sizeof(float));
    }
    ts_free(h), ts_free(q), ts_free(k), ts_free(v), ts_free(scores), ts_free(rows);
    return st;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static ts_status feed_forward(const ts_calib *c, const ts_calib_layer *l, uint32_t first, uint32_t n, float *out,
                              ts_err *err) {
    const size_t ff = c->c.d_ff;
    float *h = ts_alloc((size_t)n * c->c.d_model, sizeof *h), *up = ts_alloc(n * ff, sizeof *up);
    ts_status st = TS_OK;
    if (h && up) {
        norm(c, l->vec[TS_ROLE_FFN_NORM - TS_LAYER_MATS], first, n, h);
        linear(c, l, TS_ROLE_GATE, h, n, out);
        linear(c, l, TS_ROLE_UP, h, n, up);
        for (uint32_t t = 0; t < n; t++) c->kern->silu_mul(out + t * ff, up + t * ff, out + t * ff, (uint32_t)ff);
    } else {
        st = ts_fail_nomem(err, "the calibration's activations", n * ff * sizeof *up);
    }
    ts_free(h), ts_free(up);
    return st;
}

ts_status ts_calib_inputs(const ts_calib *c, const ts_calib_layer *l, ts_mat_group g, uint32_t i, float *out,
                          ts_err *err) {
    uint32_t n;
    const uint32_t first = ts_calib_chunk(c, i, &n);
    if (g == TS_GROUP_O) return attend(c, l, first, n, out, err);
    if (g == TS_GROUP_DOWN) return feed_forward(c, l, first, n, out, err);
    norm(c, l->vec[(g == TS_GROUP_QKV ? TS_ROLE_ATTN_NORM : TS_ROLE_FFN_NORM) - TS_LAYER_MATS], first, n, out);
    return TS_OK;
}

ts_status ts_calib_advance(ts_calib *c, const ts_calib_layer *l, ts_mat_group g, ts_err *err) {
    const ts_role r = ts_layer_group[g].first;
    const uint32_t d = c->c.d_model;
    float *in = ts_alloc((size_t)TS_CALIB_CHUNK * ts_calib_width(c, g), sizeof *in),
          *y = ts_alloc((size_t)TS_CALIB_CHUNK * d, sizeof *y);
    ts_status st =
        in && y ? TS_OK : ts_fail_nomem(err, "the calibration's activations", (size_t)TS_CALIB_CHUNK * d * 4);
    for (uint32_t i = 0; i < c->n_chunks && st == TS_OK; i++) {
        uint32_t n;
        const uint32_t first = ts_calib_chunk(c, i, &n);
        st = ts_calib_inputs(c, l, g, i, in, err);
        if (st != TS_OK) break;
        linear(c, l, r, in, n, y);
        for (uint32_t t = 0; t < n; t++) c->kern->add(c->x + (size_t)(first + t) * d, y + (size_t)t * d, d);
    }
    ts_free(in), ts_free(y);
    return st;
}
