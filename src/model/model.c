#include "model/model.h"
#include "base/cpu.h"
#include "format/quant.h"
#include "base/printable.h"
#include "model/finite.h"
#include "model/leftover.h"
#include "source/gguf_names.h"

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

/* The tensor of this name, NULL: none. It counts as used from now on. */
static const ts_tensor *take(ts_model *m, const char *name) {
    const ts_tensor *t = ts_gguf_tensor(m->file, name);
    if (t) m->used[t - ts_gguf_tensor_at(m->file, 0)] = true;
    return t;
}

/* A vector as f32: in place in the file where it is f32 and aligned, else a copy. */
static ts_status as_floats(ts_model *m, const ts_tensor *t, const float **out, ts_err *err) {
    const char *path = ts_gguf_path(m->file);
    size_t n = (size_t)t->dim[0];
    if (!ts_dtype_row_bytes(t->type, t->dim[0]))
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not whole blocks", path, t->name);
    const float *values;
    if (t->type == TS_F32 && (uintptr_t)t->data % 4 == 0) {
        values = t->data;
    } else {
        float *copy = ts_arena_alloc(&m->arena, n, sizeof *copy);
        if (!copy) return ts_fail_nomem(err, t->name, n * sizeof *copy);
        ts_dequant(t->type, t->data, copy, n);
        values = copy;
    }
    size_t bad = ts_find_not_finite(t->type, t->data, n);
    if (bad < n) return ts_fail_not_finite(m->file, t, bad, err);
    *out = values;
    return TS_OK;
}

static ts_status vector_named(ts_model *m, const float **out, const char *name, uint32_t n, bool required,
                              ts_err *err) {
    const ts_tensor *t = take(m, name);
    const char *path = ts_gguf_path(m->file);
    if (!t && required) return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is missing", path, name);
    if (!t) return TS_OK;
    if (t->dim[0] != n || t->dim[1] != 1 || t->dim[2] != 1 || t->dim[3] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has shape %llu x %llu, expected %u", path, name,
                       (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], n);
    return as_floats(m, t, out, err);
}

/* A layer's vector; *out stays NULL when it is absent and not required. */
static ts_status vector_of(ts_model *m, const float **out, ts_role role, uint32_t layer, bool required, ts_err *err) {
    char full[96];
    return vector_named(m, out, ts_gguf_tensor_name(full, sizeof full, role, layer, false), ts_role_in(role, &m->width),
                        required, err);
}

static ts_status linear_of(ts_model *m, ts_linear *l, const ts_tensor *t, uint32_t n_in, uint32_t n_out, ts_err *err) {
    const char *path = ts_gguf_path(m->file);
    if (t->dim[0] != n_in || t->dim[1] != n_out || t->dim[2] != 1 || t->dim[3] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s has shape %llu x %llu, expected %u x %u", path, t->name,
                       (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], n_in, n_out);
    size_t align = t->type == TS_F32 ? 4 : t->type == TS_F16 || t->type == TS_BF16 ? 2 : 1;
    if ((uintptr_t)t->data % align) return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not aligned", path, t->name);
    return ts_linear_init(l, m->file, t, err);
}

/* A layer's matrix, with its bias where the file has one. */
static ts_status load_mat(ts_model *m, ts_role role, uint32_t layer, ts_err *err) {
    char full[96];
    ts_linear *l = &m->layer[layer].mat[role];
    const uint32_t n_out = ts_role_out(role, &m->width);
    const ts_tensor *t = take(m, ts_gguf_tensor_name(full, sizeof full, role, layer, false));
    if (!t) return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is missing", ts_gguf_path(m->file), full);
    TS_TRY(linear_of(m, l, t, ts_role_in(role, &m->width), n_out, err));
    return vector_named(m, &l->bias, ts_gguf_tensor_name(full, sizeof full, role, layer, true), n_out, false, err);
}

/* "attn_q, attn_k or attn_v" */
static void list_roles(char *buf, size_t len, unsigned set) {
    size_t n = 0;
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        if (!(set >> r & 1)) continue;
        const char *before = n == 0 ? "" : set >> r == 1 ? " or " : ", ";
        n += (size_t)snprintf(buf + n, len - n, "%s%s", before, ts_gguf_role_name(r));
    }
}

static ts_status check_biases(const ts_model *m, uint32_t layer, ts_err *err) {
    const unsigned need = m->arch->need_biases;
    char list[160];
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        if (!(need >> r & 1) || m->layer[layer].mat[r].bias) continue;
        list_roles(list, sizeof list, need);
        return ts_fail(err, TS_E_FORMAT, "%s: layer %u lacks a bias of %s, which %s has", ts_gguf_path(m->file), layer,
                       list, m->arch->name);
    }
    return TS_OK;
}

static ts_status load_layer(ts_model *m, uint32_t layer, ts_err *err) {
    ts_layer *l = &m->layer[layer];
    TS_TRY(vector_of(m, &l->attn_norm, TS_ROLE_ATTN_NORM, layer, true, err));
    TS_TRY(vector_of(m, &l->ffn_norm, TS_ROLE_FFN_NORM, layer, true, err));
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) TS_TRY(load_mat(m, r, layer, err));
    if (m->arch->head_norms) TS_TRY(vector_of(m, &l->q_norm, TS_ROLE_Q_NORM, layer, true, err));
    if (m->arch->head_norms) TS_TRY(vector_of(m, &l->k_norm, TS_ROLE_K_NORM, layer, true, err));
    return check_biases(m, layer, err);
}

int ts_layer_mats(const ts_layer *l, ts_mat_group g, const ts_linear *out[TS_GROUP_MATS]) {
    const ts_mat_group_info *group = &ts_layer_group[g];
    for (int i = 0; i < group->n; i++) out[i] = &l->mat[(int)group->first + i];
    return group->n;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static ts_status load_outside_layers(ts_model *m, ts_err *err) {
    const char *path = ts_gguf_path(m->file);
    ts_model_config *c = &m->c;
    m->embed = take(m, "token_embd.weight");
    if (!m->embed) {
        bool vocab_only = ts_gguf_n_tensors(m->file) == 0;
        return ts_fail(err, TS_E_FORMAT, "%s: %s", path,
                       vocab_only ? "the file holds a vocabulary but no tensors; it cannot run"
                                  : "tensor token_embd.weight is missing");
    }
    if (m->embed->dim[0] != c->d_model || m->embed->dim[1] > INT32_MAX || m->embed->dim[2] != 1)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor token_embd.weight has shape %llu x %llu, expected rows of %u",
                       path, (unsigned long long)m->embed->dim[0], (unsigned long long)m->embed->dim[1], c->d_model);
    if (c->n_vocab && c->n_vocab != m->embed->dim[1])
        return ts_fail(err, TS_E_FORMAT, "%s: vocab_size is %u, but token_embd.weight has %llu rows", path, c->n_vocab,
                       (unsigned long long)m->embed->dim[1]);
    c->n_vocab = (uint32_t)m->embed->dim[1];
    TS_TRY(vector_named(m, &m->out_norm, "output_norm.weight", c->d_model, true, err));
    const ts_tensor *out = take(m, "output.weight");
    TS_TRY(linear_of(m, m->head, out ? out : m->embed, c->d_model, c->n_vocab, err));
    TS_TRY(vector_named(m, &m->head->bias, "output.bias", c->n_vocab, false, err));
    const float *factors = NULL;
    TS_TRY(vector_named(m, &factors, "rope_freqs.weight", c->n_rot / 2, false, err));
    for (uint32_t i = 0; factors && i < c->n_rot / 2; i++)
        if (!(factors[i] > 0))
            return ts_fail(err, TS_E_FORMAT, "%s: tensor rope_freqs.weight: element %u is not positive", path, i);
    ts_status s = ts_rope_init(&m->rope, c, factors, err);
    return s == TS_OK ? s : ts_err_prefix(err, s, "%s", path);
}

/* What loading has to do: bytes to pack, and bytes of the file to read. */
struct work {
    size_t packed, read;
};

static size_t packed_size(const ts_linear *l) {
    return (ts_linear_packed_bytes(l) + 63) & ~(size_t)63;
}

static ts_status sum_work(const ts_model *m, struct work *w, ts_err *err) {
    for (size_t i = 0; i < m->n_linear; i++) {
        w->read += m->linear[i].row_bytes * m->linear[i].cpu_rows; /* bytes of files: no overflow */
        if (!ts_size_add(w->packed, packed_size(&m->linear[i]), &w->packed))
            return ts_fail_nomem(err, "packed weights", SIZE_MAX);
    }
    return TS_OK;
}

struct packing {
    ts_model *m;
    ts_pool *pool;
    ts_load_progress progress;
    size_t used; /* of m->packed */
    size_t done, all; /* bytes of the file, for the progress */
};

static ts_status step_on(struct packing *p, size_t bytes, ts_err *err) {
    p->done += bytes;
    if (p->progress.fn && !p->progress.fn(p->progress.ud, p->done, p->all))
        return ts_fail(err, TS_E_CANCELLED, "loading was stopped");
    return TS_OK;
}

/* Pack a layer, which also checks it; what the CPU takes as it stands in the file is only checked, and what it has not
 * is a device's to pack. */
static ts_status pack_one(struct packing *p, ts_linear *l, ts_err *err) {
    if (!l->cpu_rows) return TS_OK;
    if (packed_size(l)) {
        TS_TRY(ts_linear_pack(l, (char *)p->m->packed.ptr + p->used, p->pool, err));
        p->used += packed_size(l);
    } else {
        TS_TRY(ts_tensor_check_finite(p->m->file, l->tensor, p->pool, false, err));
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

ts_status ts_model_survey(ts_model **out, const ts_gguf *g, ts_err *err) {
    const char *path = ts_gguf_path(g);
    ts_span name = {0};
    TS_TRY(ts_gguf_str(g, "general.architecture", true, &name, err));
    const ts_arch *arch = ts_arch_find((const char *)name.data, name.len);
    if (!arch) {
        char shown[48] = {0};
        for (size_t i = 0; i < name.len && i < sizeof shown - 1; i++)
            shown[i] = name.data[i] >= 32 && name.data[i] < 127 ? (char)name.data[i] : '?';
        return ts_fail(err, TS_E_UNSUPP,
                       "%s: architecture \"%s\" is not supported; Tessera runs llama, qwen2 and qwen3", path, shown);
    }
    ts_model *m = ts_calloc(1, sizeof *m);
    if (!m) return ts_fail_nomem(err, "the model", sizeof *m);
    m->file = g;
    m->arch = arch;
    char arch_name[32];
    snprintf(arch_name, sizeof arch_name, "%.*s", (int)name.len, (const char *)name.data);
    ts_status s = ts_model_config_read(&m->c, g, arch_name, err);
    if (s == TS_OK && !(m->used = ts_calloc(ts_gguf_n_tensors(g), sizeof *m->used)))
        s = ts_fail_nomem(err, "the list of tensors", ts_gguf_n_tensors(g));
    if (s == TS_OK) s = make_layers(m, err);
    if (s == TS_OK) s = load_outside_layers(m, err);
    for (uint32_t i = 0; s == TS_OK && i < m->c.n_layer; i++) s = load_layer(m, i, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
    return TS_OK;
}

const ts_tensor *ts_model_unused(const ts_model *m, size_t *i) {
    for (; *i < ts_gguf_n_tensors(m->file); ++*i)
        if (!m->used[*i]) return ts_gguf_tensor_at(m->file, (*i)++);
    return NULL;
}

/* The tensor's layer where its name has one: blk.<layer>.<...>. */
static bool layer_of(const ts_tensor *t, unsigned *layer) {
    return sscanf(t->name, "blk.%u.", layer) == 1;
}

static ts_status refuse_unused(const ts_model *m, ts_err *err) {
    size_t i = 0, n = 0;
    const ts_tensor *first = ts_model_unused(m, &i);
    if (!first) return TS_OK;
    for (i = 0; ts_model_unused(m, &i);) n++;
    char name[80], more[72] = "";
    unsigned layer;
    ts_printable(name, sizeof name, first->name, strlen(first->name));
    if (n > 1) snprintf(more, sizeof more, " (and %zu more like it: see tessera inspect)", n - 1);
    if (layer_of(first, &layer) && layer >= m->c.n_layer)
        return ts_fail(err, TS_E_UNSUPP, "%s: tensor %s belongs to no layer: %s.block_count is %u%s",
                       ts_gguf_path(m->file), name, m->c.arch, m->c.n_layer, more);
    return ts_fail(
        err, TS_E_UNSUPP,
        "%s: tensor %s is no part of the %s models that Tessera computes; without it the results would be others%s",
        ts_gguf_path(m->file), name, m->c.arch, more);
}

ts_status ts_model_describe(ts_model **out, const ts_gguf *g, ts_err *err) {
    ts_model *m;
    TS_TRY(ts_model_survey(&m, g, err));
    ts_status s = ts_keys_check(g, m->c.arch, err);
    if (s == TS_OK) s = refuse_unused(m, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
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
                       ts_gguf_path(m->file), w.packed >> 20, there >> 20);
    if (w.packed) TS_TRY(ts_big_alloc(&m->packed, w.packed, true, "the weights", err));
    struct packing p = {.m = m, .pool = pool, .progress = progress, .all = w.read};
    for (size_t i = 0; i < m->n_linear; i++) TS_TRY(pack_one(&p, &m->linear[i], err));
    if (tied) return TS_OK;
    TS_TRY(ts_tensor_check_finite(m->file, m->embed, pool, true, err));
    return step_on(&p, m->embed->bytes, err);
}

ts_status ts_model_open(ts_model **out, const ts_gguf *g, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    ts_model *m;
    TS_TRY(ts_model_describe(&m, g, err));
    ts_status s = ts_model_pack(m, pool, progress, err);
    if (s != TS_OK) {
        ts_model_close(m);
        return s;
    }
    *out = m;
    return TS_OK;
}

void ts_model_close(ts_model *m) {
    if (!m) return;
    ts_big_free(&m->packed);
    ts_rope_fini(&m->rope);
    ts_arena_free(&m->arena);
    ts_free(m->layer);
    ts_free(m->linear);
    ts_free(m->used);
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
