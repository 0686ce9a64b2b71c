#include "model/model.h"
#include "base/cpu.h"
#include "format/quant.h"
#include "kern/fmath.h"
#include "base/printable.h"
#include "model/finite.h"
#include "model/step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ts_arch *const arches[] = {&ts_arch_llama, &ts_arch_qwen2, &ts_arch_qwen3};

const ts_arch *ts_arch_find(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof arches / sizeof *arches; i++)
        if (strlen(arches[i]->name) == len && !memcmp(arches[i]->name, name, len)) return arches[i];
    return NULL;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static const ts_tensor *take(ts_model *m, ts_role role, uint32_t layer, bool bias) {
    return m->src->op->tensor(m->src, role, layer, bias);
}

/* Very nearly all files have no weights that small: then there is no copy (docs/numerics.md, rule 4). */
static ts_status without_small(ts_model *m, ts_dtype type, const void **data, size_t bytes, ts_err *err) {
    void *copy = ts_arena_alloc(&m->arena, 1, bytes);
    if (!copy) return ts_fail_nomem(err, "weights", bytes);
    memcpy(copy, *data, bytes);
    ts_clear_small(type, copy, bytes / ts_dtype_get(type)->block_bytes);
    *data = copy;
    return TS_OK;
}

static ts_status fail_missing(const ts_model *m, ts_role role, uint32_t layer, ts_err *err) {
    char name[96];
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is missing", m->src->name,
                   m->src->op->tensor_name(m->src, role, layer, false, name, sizeof name));
}

/* A vector as f32: a copy, since a page of the file that stays for it may be one of 2 MiB. */
static ts_status as_floats(ts_model *m, const ts_tensor *t, const float **out, ts_err *err) {
    const char *path = m->src->name;
    size_t n = (size_t)t->dim[0];
    if (m->src->op->check) TS_TRY(m->src->op->check(m->src, t, err));
    if (!ts_dtype_row_bytes(t->type, t->dim[0]))
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not whole blocks", path, t->name);
    float *values = ts_arena_alloc(&m->arena, n, sizeof *values);
    void *scratch = t->data ? NULL : ts_arena_alloc(&m->arena, 1, t->bytes);
    if (!values || (!t->data && !scratch)) return ts_fail_nomem(err, t->name, n * sizeof *values);
    const void *data = ts_source_rows(m->src, t, 0, 1, scratch);
    ts_dequant(t->type, data, values, n);
    ts_clear_small(TS_F32, values, n); /* docs/numerics.md, rule 4 */
    const size_t bad = ts_find_not_finite(t->type, data, n);
    m->src->op->release(m->src, t, 0, t->bytes);
    if (bad < n) return ts_fail_not_finite(m->src, t, bad, err);
    *out = values;
    return TS_OK;
}

/* A vector of n numbers, or a bias; *out stays NULL when it is absent and not required. */
static ts_status load_vector(ts_model *m, const float **out, ts_role role, uint32_t layer, bool bias, uint32_t n,
                             bool required, ts_err *err) {
    const ts_tensor *t = take(m, role, layer, bias);
    if (!t) return required ? fail_missing(m, role, layer, err) : TS_OK;
    if (t->dim[0] != n || t->dim[1] != 1 || t->dim[2] != 1 || t->dim[3] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has shape %llu x %llu, expected %u", m->src->name, t->name,
                       (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], n);
    return as_floats(m, t, out, err);
}

static ts_status layer_vector(ts_model *m, const float **out, ts_role role, uint32_t layer, ts_err *err) {
    return load_vector(m, out, role, layer, false, ts_role_in(role, &m->width), true, err);
}

static ts_status linear_of(ts_model *m, ts_linear *l, const ts_tensor *t, uint32_t n_in, uint32_t n_out, ts_err *err) {
    const char *path = m->src->name;
    if (t->dim[0] != n_in || t->dim[1] != n_out || t->dim[2] != 1 || t->dim[3] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has shape %llu x %llu, expected %u x %u", path, t->name,
                       (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], n_in, n_out);
    size_t align = t->type == TS_F32 ? 4 : t->type == TS_F16 || t->type == TS_BF16 ? 2 : 1;
    if ((uintptr_t)t->data % align) return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not aligned", path, t->name);
    return ts_linear_init(l, m->src, t, err);
}

/* A layer's matrix, with its bias where there is one. */
static ts_status load_mat(ts_model *m, ts_role role, uint32_t layer, ts_err *err) {
    ts_linear *l = &m->layer[layer].mat[role];
    const uint32_t n_out = ts_role_out(role, &m->width);
    const ts_tensor *t = take(m, role, layer, false);
    if (!t) return fail_missing(m, role, layer, err);
    TS_TRY(linear_of(m, l, t, ts_role_in(role, &m->width), n_out, err));
    return load_vector(m, &l->bias, role, layer, true, n_out, false, err);
}

/* "attn_q, attn_k or attn_v" */
static void list_roles(const ts_source *src, unsigned set, char *buf, size_t len) {
    size_t n = 0;
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        if (!(set >> r & 1)) continue;
        const char *before = n == 0 ? "" : set >> r == 1 ? " or " : ", ";
        n += (size_t)snprintf(buf + n, len - n, "%s%s", before, src->op->role_name(src, r));
    }
}

static ts_status check_biases(const ts_model *m, uint32_t layer, ts_err *err) {
    const unsigned need = m->arch->need_biases;
    char list[160];
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        if (!(need >> r & 1) || m->layer[layer].mat[r].bias) continue;
        list_roles(m->src, need, list, sizeof list);
        return ts_fail(err, TS_E_FORMAT, "%s: layer %u lacks a bias of %s, which %s has", m->src->name, layer,
                       list, m->arch->name);
    }
    return TS_OK;
}

static ts_status load_layer(ts_model *m, uint32_t layer, ts_err *err) {
    ts_layer *l = &m->layer[layer];
    TS_TRY(layer_vector(m, &l->attn_norm, TS_ROLE_ATTN_NORM, layer, err));
    TS_TRY(layer_vector(m, &l->ffn_norm, TS_ROLE_FFN_NORM, layer, err));
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) TS_TRY(load_mat(m, r, layer, err));
    if (m->arch->head_norms) TS_TRY(layer_vector(m, &l->q_norm, TS_ROLE_Q_NORM, layer, err));
    if (m->arch->head_norms) TS_TRY(layer_vector(m, &l->k_norm, TS_ROLE_K_NORM, layer, err));
    return check_biases(m, layer, err);
}

int ts_layer_mats(const ts_layer *l, ts_mat_group g, const ts_linear *out[TS_GROUP_MATS]) {
    const ts_mat_group_info *group = &ts_layer_group[g];
    for (int i = 0; i < group->n; i++) out[i] = &l->mat[(int)group->first + i];
    return group->n;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static ts_status load_embed(ts_model *m, ts_err *err) {
    const char *path = m->src->name;
    ts_model_config *c = &m->c;
    const ts_tensor *t = take(m, TS_ROLE_EMBED, 0, false);
    if (!t && m->src->n_tensors == 0)
        return ts_fail(err, TS_E_FORMAT, "%s: the file holds a vocabulary but no tensors; it cannot run", path);
    if (!t) return fail_missing(m, TS_ROLE_EMBED, 0, err);
    if (t->dim[0] != c->d_model || t->dim[1] > INT32_MAX || t->dim[2] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has shape %llu x %llu, expected rows of %u", path, t->name,
                       (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], c->d_model);
    if (c->n_vocab && c->n_vocab != t->dim[1])
        return ts_fail(err, TS_E_FORMAT, "%s: vocab_size is %u, but %s has %llu rows", path, c->n_vocab, t->name,
                       (unsigned long long)t->dim[1]);
    c->n_vocab = (uint32_t)t->dim[1];
    m->embed = t;
    return TS_OK;
}

static ts_status load_rope(ts_model *m, ts_err *err) {
    const float *factors = NULL;
    TS_TRY(load_vector(m, &factors, TS_ROLE_ROPE_FACTORS, 0, false, m->c.n_rot / 2, false, err));
    for (uint32_t i = 0; factors && i < m->c.n_rot / 2; i++)
        if (!(factors[i] > 0))
            return ts_fail(err, TS_E_FORMAT, "%s: tensor %s: element %u is not positive", m->src->name,
                           take(m, TS_ROLE_ROPE_FACTORS, 0, false)->name, i);
    ts_status s = ts_rope_init(&m->rope, &m->c, factors, err);
    return s == TS_OK ? s : ts_err_prefix(err, s, "%s", m->src->name);
}

static ts_status load_outside_layers(ts_model *m, ts_err *err) {
    TS_TRY(load_embed(m, err));
    const uint32_t d = m->c.d_model, n_vocab = m->c.n_vocab;
    TS_TRY(load_vector(m, &m->out_norm, TS_ROLE_OUT_NORM, 0, false, d, true, err));
    const ts_tensor *out = take(m, TS_ROLE_HEAD, 0, false);
    TS_TRY(linear_of(m, m->head, out ? out : m->embed, d, n_vocab, err));
    TS_TRY(load_vector(m, &m->head->bias, TS_ROLE_HEAD, 0, true, n_vocab, false, err));
    return load_rope(m, err);
}

/* What loading has to do: bytes to pack, and bytes of the file to read. */
struct work {
    size_t packed, read;
};

static size_t packed_size(const ts_linear *l) {
    return (ts_linear_packed_bytes(l) + 63) & ~(size_t)63;
}

/* Of an embedding that has to be made; the head's rows may serve for both. */
static bool makes_embed(const ts_model *m) {
    return !m->embed->data && !(m->head->tensor == m->embed && !ts_act_block(m->head->type));
}
static size_t embed_size(const ts_model *m) {
    return makes_embed(m) ? (m->embed->bytes + 63) & ~(size_t)63 : 0;
}

static ts_status sum_work(const ts_model *m, struct work *w, ts_err *err) {
    for (size_t i = 0; i < m->n_linear; i++) {
        w->read += m->linear[i].row_bytes * m->linear[i].cpu_rows; /* bytes of files: no overflow */
        if (!ts_size_add(w->packed, packed_size(&m->linear[i]), &w->packed))
            return ts_fail_nomem(err, "packed weights", SIZE_MAX);
    }
    if (!ts_size_add(w->packed, embed_size(m), &w->packed)) return ts_fail_nomem(err, "packed weights", SIZE_MAX);
    return TS_OK;
}

struct packing {
    ts_model *m;
    ts_pool *pool;
    ts_load_progress progress;
    size_t used; /* of m->packed */
    size_t done, all; /* bytes of the file, for the progress */
    size_t n_fetched, fetched; /* layers whose bytes of the file have been asked for, and these bytes */
};

/* Have a file that is not in memory read so far ahead of packing. */
enum { FETCH_AHEAD = 128 << 20 };

static void fetch_ahead(struct packing *p) {
    for (; p->n_fetched < p->m->n_linear && p->fetched < p->done + FETCH_AHEAD; p->n_fetched++) {
        const ts_linear *l = &p->m->linear[p->n_fetched];
        const size_t bytes = l->row_bytes * l->cpu_rows;
        if (bytes) p->m->src->op->fetch(p->m->src, l->tensor, l->row_bytes * l->cpu_row0, bytes);
        p->fetched += bytes;
    }
}

static ts_status step_on(struct packing *p, size_t bytes, ts_err *err) {
    p->done += bytes;
    if (p->progress.fn && !p->progress.fn(p->progress.ud, p->done, p->all))
        return ts_fail(err, TS_E_CANCELLED, "loading was stopped");
    return TS_OK;
}

/* Pack a layer, which also checks it; what the CPU takes as it stands in the file is only checked, and what it has not
 * is a device's to pack. */
static ts_status pack_one(struct packing *p, ts_linear *l, ts_err *err) {
    if (p->m->src->op->check) TS_TRY(p->m->src->op->check(p->m->src, l->tensor, err));
    if (!l->cpu_rows) return TS_OK;
    if (packed_size(l)) {
        TS_TRY(ts_linear_pack(l, (char *)p->m->packed.ptr + p->used, p->pool, err));
        p->used += packed_size(l);
    } else {
        bool small;
        TS_TRY(ts_tensor_check_finite(p->m->src, l->tensor, p->pool, false, &small, err));
        if (small) TS_TRY(without_small(p->m, l->type, &l->raw, l->n_out * l->row_bytes, err));
    }
    return step_on(p, l->row_bytes * l->cpu_rows, err);
}

static ts_status make_layers(ts_model *m, ts_err *err) {
    const ts_model_config *c = &m->c;
    m->n_linear = (size_t)c->n_layer * TS_LAYER_MATS + 1;
    m->width = ts_widths_of(c->d_model, c->n_head, c->n_kv_head, c->head_dim, c->d_ff);
    m->layer = ts_calloc(c->n_layer, sizeof *m->layer);
    m->linear = ts_calloc(m->n_linear, sizeof *m->linear);
    if (!m->layer || !m->linear) return ts_fail_nomem(err, "the layers", m->n_linear * sizeof *m->linear);
    for (uint32_t i = 0; i < c->n_layer; i++) m->layer[i].mat = m->linear + (size_t)i * TS_LAYER_MATS;
    m->head = &m->linear[m->n_linear - 1];
    return TS_OK;
}

/* The family that the source names. */
static ts_status find_family(const ts_source *src, const ts_arch **out, ts_err *err) {
    ts_span name = {0};
    TS_TRY(src->op->family(src, &name, err));
    *out = ts_arch_find((const char *)name.data, name.len);
    if (*out) return TS_OK;
    char shown[48] = {0}, list[160];
    size_t n = 0;
    const size_t all = sizeof arches / sizeof *arches;
    for (size_t i = 0; i < all; i++) {
        const char *before = i == 0 ? "" : i + 1 == all ? " and " : ", ";
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", before, arches[i]->name);
    }
    for (size_t i = 0; i < name.len && i < sizeof shown - 1; i++)
        shown[i] = name.data[i] >= 32 && name.data[i] < 127 ? (char)name.data[i] : '?';
    return ts_fail(err, TS_E_UNSUPP, "%s: architecture \"%s\" is not supported; Tessera runs %s",
                   src->name, shown, list);
}

static ts_status load(ts_model *m, ts_err *err) {
    TS_TRY(m->src->op->config(m->src, m->arch->name, &m->c, err));
    m->c.norm_eps = ts_z(m->c.norm_eps);
    m->c.att_scale = ts_z(m->c.att_scale);
    TS_TRY(ts_model_config_check(&m->c, m->src->name, err));
    TS_TRY(make_layers(m, err));
    TS_TRY(load_outside_layers(m, err));
    for (uint32_t i = 0; i < m->c.n_layer; i++) TS_TRY(load_layer(m, i, err));
    return TS_OK;
}

ts_status ts_model_survey(ts_model **out, ts_source *src, ts_err *err) {
    const ts_arch *arch;
    TS_TRY(find_family(src, &arch, err));
    ts_model *m = ts_calloc(1, sizeof *m);
    if (!m) return ts_fail_nomem(err, "the model", sizeof *m);
    m->src = src;
    m->arch = arch;
    m->steps = &ts_step_cpu;
    ts_status s = load(m, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
    return TS_OK;
}

ts_status ts_model_describe(ts_model **out, ts_source *src, ts_err *err) {
    ts_model *m;
    TS_TRY(ts_model_survey(&m, src, err));
    ts_status s = src->op->refuse_rest(src, &m->c, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
    return TS_OK;
}

/* The embedding's rows, where they are not in a file as they are read. */
static ts_status make_embed(struct packing *p, ts_err *err) {
    ts_model *m = p->m;
    m->embed_rows = m->embed->data ? m->embed->data : m->head->raw;
    if (!makes_embed(m)) return TS_OK;
    ts_linear rows = {0}; /* in the file's form: a layer that is copied */
    void *to = (char *)m->packed.ptr + p->used;
    TS_TRY(ts_linear_init(&rows, m->src, m->embed, err));
    rows.q = (ts_qmat){0};
    TS_TRY(ts_linear_pack(&rows, to, p->pool, err));
    p->used += embed_size(m);
    m->embed_rows = to;
    return TS_OK;
}

ts_status ts_model_pack(ts_model *m, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    struct work w = {0};
    size_t there = ts_mem_available();
    TS_TRY(sum_work(m, &w, err));
    const bool tied = m->head->tensor == m->embed;
    if (!tied) w.read += m->embed->bytes;
    if (there && w.packed > there)
        return ts_fail(err, TS_E_NOMEM, "%s: the weights need %zu MiB of memory, but %zu MiB are free",
                       m->src->name, w.packed >> 20, there >> 20);
    if (w.packed) TS_TRY(ts_big_alloc(&m->packed, w.packed, true, "the weights", err));
    struct packing p = {.m = m, .pool = pool, .progress = progress, .all = w.read};
    for (size_t i = 0; i < m->n_linear; i++) {
        fetch_ahead(&p);
        TS_TRY(pack_one(&p, &m->linear[i], err));
    }
    if (m->src->op->check) TS_TRY(m->src->op->check(m->src, m->embed, err));
    TS_TRY(make_embed(&p, err));
    if (tied) return TS_OK;
    m->src->op->fetch(m->src, m->embed, 0, m->embed->bytes);
    if (m->embed->data) TS_TRY(ts_tensor_check_finite(m->src, m->embed, pool, true, NULL, err));
    return step_on(&p, m->embed->bytes, err);
}

ts_status ts_model_open(ts_model **out, ts_source *src, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    ts_model *m;
    TS_TRY(ts_model_describe(&m, src, err));
    ts_status s = m->steps->load(m, pool, progress, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
    return TS_OK;
}

void ts_model_close(ts_model *m) {
    if (!m) return;
    m->steps->unload(m);
    ts_rope_fini(&m->rope);
    ts_arena_free(&m->arena);
    ts_free(m->layer);
    ts_free(m->linear);
    ts_free(m);
}

size_t ts_model_token_bytes(const ts_model *m) {
    size_t total = 0;
    for (size_t i = 0; i < m->n_linear; i++) total += ts_linear_token_bytes(&m->linear[i]);
    return total;
}

uint64_t ts_model_layer_macs(const ts_model *m) {
    uint64_t n = 0;
    for (const ts_linear *l = m->linear; l != m->head; l++) n += (uint64_t)l->n_in * l->n_out;
    return n;
}

uint64_t ts_model_head_macs(const ts_model *m) {
    return (uint64_t)m->c.d_model * m->c.n_vocab;
}
