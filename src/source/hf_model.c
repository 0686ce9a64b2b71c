#include "source/hf_model.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/quant.h"
#include "source/gguf_names.h"
#include "source/group_keys.h"

#include <stdio.h>
#include <string.h>

/* What Hugging Face's form calls the tensors of a layer, and those outside. */
static const char *const names[TS_ROLES] = {
    [TS_ROLE_Q] = "self_attn.q_proj",
    [TS_ROLE_K] = "self_attn.k_proj",
    [TS_ROLE_V] = "self_attn.v_proj",
    [TS_ROLE_O] = "self_attn.o_proj",
    [TS_ROLE_GATE] = "mlp.gate_proj",
    [TS_ROLE_UP] = "mlp.up_proj",
    [TS_ROLE_DOWN] = "mlp.down_proj",
    [TS_ROLE_ATTN_NORM] = "input_layernorm",
    [TS_ROLE_FFN_NORM] = "post_attention_layernorm",
    [TS_ROLE_Q_NORM] = "self_attn.q_norm",
    [TS_ROLE_K_NORM] = "self_attn.k_norm",
    [TS_ROLE_EMBED] = "model.embed_tokens",
    [TS_ROLE_OUT_NORM] = "model.norm",
    [TS_ROLE_HEAD] = "lm_head",
};

static const char *module_name(char *buf, size_t len, ts_role role, uint32_t layer) {
    if (role < TS_LAYER_ROLES) snprintf(buf, len, "model.layers.%u.%s", layer, names[role]);
    else snprintf(buf, len, "%s", names[role]);
    return buf;
}

static const ts_array *find(void *ud, const char *name) {
    return ts_hf_folder_find(ud, name);
}

static const ts_array *find_part(const ts_hf_model *m, const char *module, const char *what) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", module, what);
    return ts_hf_folder_find(m->folder, name);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static ts_status add(ts_hf_model *m, ts_hf_tensor t, ts_role role, uint32_t layer, bool bias, ts_err *err) {
    if (!ts_grow((void **)&m->tensor, &m->cap, m->n + 1, sizeof *m->tensor)) {
        ts_q4_fini(&t.q4);
        return ts_fail_nomem(err, "the list of tensors", (m->n + 1) * sizeof *m->tensor);
    }
    ts_gguf_tensor_name(t.name, sizeof t.name, role, layer, bias);
    m->tensor[m->n++] = t;
    return TS_OK;
}

static bool is_number(ts_elem e) {
    return e == TS_EL_F16 || e == TS_EL_BF16 || e == TS_EL_F32 || e == TS_EL_F64;
}
static ts_dtype type_of(ts_elem e) {
    return e == TS_EL_F16 ? TS_F16 : e == TS_EL_BF16 ? TS_BF16 : TS_F32;
}

static ts_status not_numbers(const ts_hf_model *m, const ts_array *a, ts_err *err) {
    return ts_fail(err, TS_E_UNSUPP, "%s: tensor %.100s is of %s%s%s, which Tessera does not read as weights",
                   ts_hf_folder_dir(m->folder), a->name, a->elem_name, *m->c.method ? ", quantised by " : "",
                   m->c.method);
}

static ts_status wrong_shape(const ts_hf_model *m, const ts_array *a, uint32_t n_out, uint32_t n_in, ts_err *err) {
    char shape[96] = "";
    for (uint32_t i = 0; i < a->n_dims; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%llu", i ? " x " : "",
                 (unsigned long long)a->dim[i]);
    char want[32] = "";
    if (n_out) snprintf(want, sizeof want, "%u x ", n_out);
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s has shape %s, but config.json asks for %s%u",
                   ts_hf_folder_dir(m->folder), a->name, a->n_dims ? shape : "of a scalar", want, n_in);
}

/* Of n numbers, F32 in GGUF. */
static ts_status add_vector(ts_hf_model *m, const ts_array *a, ts_role role, uint32_t layer, bool bias, uint32_t n,
                            bool turn, ts_err *err) {
    if (!is_number(a->elem)) return not_numbers(m, a, err);
    if (a->n_dims != 1 || a->dim[0] != n) return wrong_shape(m, a, 0, n, err);
    return add(m, (ts_hf_tensor){.type = TS_F32, .n_dims = 1, .dim = {n, 1}, .a = a, .turn = turn}, role, layer, bias,
               err);
}

static ts_status missing(const ts_hf_model *m, const char *module, ts_err *err) {
    char qkv[96];
    snprintf(qkv, sizeof qkv, "%s", module);
    if (strstr(module, "q_proj") && ts_hf_folder_has(m->folder, "model.layers.0.self_attn.qkv_proj"))
        return ts_fail(err, TS_E_UNSUPP, "%s: q, k and v are one tensor (qkv_proj), which Tessera does not read",
                       ts_hf_folder_dir(m->folder));
    if (ts_hf_folder_has(m->folder, "layers.0.attention.wq") || ts_hf_folder_has(m->folder, "tok_embeddings."))
        return ts_fail(err, TS_E_UNSUPP,
                       "%s: tensors have Meta's or Mistral's own names; take the folder in Hugging "
                       "Face's form",
                       ts_hf_folder_dir(m->folder));
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %s.weight is missing", ts_hf_folder_dir(m->folder), module);
}

static ts_status prefix(const ts_hf_model *m, ts_status st, ts_err *err) {
    return st == TS_OK ? st : ts_err_prefix(err, st, "%s", ts_hf_folder_dir(m->folder));
}

/* Some writers of GPTQ give every layer a bias, of zeros where the model has none. Families whose models have some want
 * them. */
static bool has_bias(const ts_hf_model *m, ts_role role) {
    return !strcmp(m->c.family, "qwen2") && (role == TS_ROLE_Q || role == TS_ROLE_K || role == TS_ROLE_V);
}
static bool is_zero(const ts_array *a, uint32_t n) {
    if (!is_number(a->elem) || a->n_dims != 1 || a->dim[0] != n || !ts_array_is_packed(a)) return false;
    for (size_t i = 0; i < a->bytes; i++)
        if (a->data[i]) return false;
    return true;
}

/* Modules of a pickled model say themselves how large their groups are. */
static ts_q4_config layer_config(const ts_hf_model *m, const char *module) {
    char name[128];
    ts_q4_config c = m->c.q4;
    snprintf(name, sizeof name, "%s.group_size", module);
    c.own_group = ts_hf_folder_int(m->folder, name, &c.group);
    return c;
}

/* A matrix, with its bias where it has one. */
static ts_status add_matrix(ts_hf_model *m, ts_role role, uint32_t layer, uint32_t n_in, uint32_t n_out, ts_err *err) {
    char module[96];
    ts_hf_tensor t = {.n_dims = 2, .dim = {n_in, n_out}};
    t.turn = m->c.interleave && (role == TS_ROLE_Q || role == TS_ROLE_K);
    module_name(module, sizeof module, role, layer);
    bool is = false;
    const ts_q4_config c = layer_config(m, module);
    if (role != TS_ROLE_EMBED)
        TS_TRY(prefix(m, ts_q4_open(&t.q4, &is, &c, module, n_in, n_out, find, m->folder, err), err));
    if (is) {
        t.type = ts_q4_type(&t.q4);
    } else {
        t.a = find_part(m, module, "weight");
        if (!t.a) return missing(m, module, err);
        if (!is_number(t.a->elem)) return not_numbers(m, t.a, err);
        if (t.a->n_dims != 2 || t.a->dim[0] != n_out || t.a->dim[1] != n_in)
            return wrong_shape(m, t.a, n_out, n_in, err);
        t.type = type_of(t.a->elem);
    }
    TS_TRY(add(m, t, role, layer, false, err));
    const ts_array *bias = find_part(m, module, "bias");
    if (bias && !has_bias(m, role) && is_zero(bias, n_out)) return TS_OK;
    return bias ? add_vector(m, bias, role, layer, true, n_out, t.turn, err) : TS_OK;
}

static ts_status add_norm(ts_hf_model *m, ts_role role, uint32_t layer, uint32_t n, bool required, ts_err *err) {
    char module[96];
    const ts_array *a = find_part(m, module_name(module, sizeof module, role, layer), "weight");
    if (!a) return required ? missing(m, module, err) : TS_OK;
    return add_vector(m, a, role, layer, false, n, false, err);
}

static bool same_order(const ts_q4 *a, const ts_q4 *b) {
    if (!a->order || !b->order) return a->order == b->order;
    return !memcmp(a->order, b->order, a->n_in * sizeof *a->order);
}

/* Matrices that run together have one input, whose numbers can be put in one order only: where act-order differs
 * (equal entries of a Hessian sorted otherwise), the layer that differs becomes floats, which have no order. */
static void agree_on_order(ts_hf_model *m, const size_t *at, int n) {
    const ts_hf_tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        ts_hf_tensor *t = &m->tensor[at[i]];
        if (!t->q4.q || t->type == TS_F32) continue;
        if (!first) first = t;
        if (same_order(&first->q4, &t->q4)) continue;
        t->type = TS_F32;
        ts_log(TS_LOG_INFO, "%s: %s has another order of inputs than %s and is computed in F32",
               ts_hf_folder_dir(m->folder), t->name, first->name);
    }
}

static ts_status add_layer(ts_hf_model *m, uint32_t layer, const ts_widths *w, ts_err *err) {
    size_t at[TS_LAYER_MATS];
    TS_TRY(add_norm(m, TS_ROLE_ATTN_NORM, layer, m->c.d_model, true, err));
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        if (r == TS_ROLE_GATE) TS_TRY(add_norm(m, TS_ROLE_FFN_NORM, layer, m->c.d_model, true, err));
        at[r] = m->n;
        TS_TRY(add_matrix(m, r, layer, ts_role_in(r, w), ts_role_out(r, w), err));
    }
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++)
        agree_on_order(m, at + ts_layer_group[g].first, ts_layer_group[g].n);
    TS_TRY(add_norm(m, TS_ROLE_Q_NORM, layer, m->c.head_dim, false, err));
    return add_norm(m, TS_ROLE_K_NORM, layer, m->c.head_dim, false, err);
}

static ts_status add_head(ts_hf_model *m, ts_err *err) {
    if (m->c.tied || !ts_hf_folder_has(m->folder, "lm_head.")) {
        if (!m->c.tied)
            ts_log(TS_LOG_INFO, "%s: there is no lm_head; the embedding takes its place", ts_hf_folder_dir(m->folder));
        ts_hf_folder_skip(m->folder, "lm_head."); /* of a tied model: the same again, in whatever form */
        return TS_OK;
    }
    return add_matrix(m, TS_ROLE_HEAD, 0, m->c.d_model, m->c.n_vocab, err);
}

/* What a checkpoint says of itself and its numbers deny: followed, as there is nothing better, but not in silence. */
static void warn_of_zeros(const ts_hf_model *m) {
    const char *const as = m->c.q4.v2 ? "gptq_v2" : "gptq", *dir = ts_hf_folder_dir(m->folder);
    size_t n[3] = {0};
    for (size_t i = 0; i < m->n; i++)
        for (int k = 0; k < 3 && m->tensor[i].q4.q; k++) n[k] += m->tensor[i].q4.odd >> k & 1;
    if (n[0])
        ts_log(TS_LOG_WARN,
               "%s: said to be symmetric, but zero points of %zu layers are neither 8 nor 8 less 1; they are read as "
               "checkpoint_format \"%s\" has them",
               dir, n[0], as);
    if (n[1])
        ts_log(
            TS_LOG_WARN,
            "%s: said not to be symmetric, but zero points of %zu layers are all stored as %d, as symmetric files of "
            "the other format have them; they are read as checkpoint_format \"%s\" has them, as %d",
            dir, n[1], m->c.q4.v2 ? 7 : 8, as, m->c.q4.v2 ? 7 : 9);
    if (n[2])
        ts_log(
            TS_LOG_WARN,
            "%s: zero points of %zu layers look as an old AutoGPTQ damaged them (those behind a 0 are lost); answers "
            "may be worse than the model's",
            dir, n[2]);
}

static ts_status list(ts_hf_model *m, ts_err *err) {
    const ts_hf_config *c = &m->c;
    const ts_widths w = ts_widths_of(c->d_model, c->n_head, c->n_kv_head, c->head_dim, c->d_ff);
    TS_TRY(add_matrix(m, TS_ROLE_EMBED, 0, c->d_model, c->n_vocab, err));
    for (uint32_t i = 0; i < c->n_layer; i++) TS_TRY(add_layer(m, i, &w, err));
    TS_TRY(add_norm(m, TS_ROLE_OUT_NORM, 0, c->d_model, true, err));
    TS_TRY(add_head(m, err));
    warn_of_zeros(m);
    if (c->rope != TS_HF_ROPE_LLAMA3) return TS_OK;
    m->rope_factors = ts_alloc(c->n_rot / 2, sizeof *m->rope_factors);
    if (!m->rope_factors) return ts_fail_nomem(err, "rope factors", c->n_rot * 2);
    ts_hf_rope_factors(c, m->rope_factors);
    return add(m, (ts_hf_tensor){.type = TS_F32, .n_dims = 1, .dim = {c->n_rot / 2, 1}, .made = m->rope_factors},
               TS_ROLE_ROPE_FACTORS, 0, false, err);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

ts_status ts_hf_model_open(ts_hf_model **out, const char *path, ts_err *err) {
    ts_hf_model *m = ts_calloc(1, sizeof *m);
    if (!m) return ts_fail_nomem(err, "the model", sizeof *m);
    ts_status st = ts_hf_folder_open(&m->folder, path, err);
    if (st == TS_OK) st = ts_hf_config_read(&m->c, ts_hf_folder_dir(m->folder), err);
    if (st == TS_OK) st = list(m, err);
    if (st == TS_OK) *out = m;
    else ts_hf_model_close(m);
    return st;
}

void ts_hf_model_close(ts_hf_model *m) {
    if (!m) return;
    for (size_t i = 0; i < m->n; i++) ts_q4_fini(&m->tensor[i].q4);
    ts_free(m->tensor);
    ts_free(m->rope_factors);
    ts_hf_folder_close(m->folder);
    ts_free(m);
}

/* The folder's own name; in the hub's cache, where that is a commit, the repository's. */
static void model_name(const char *dir, char *out, size_t len) {
    const char *repo = strstr(dir, "/models--"), *begin = dir;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    for (size_t i = 0; i < n; i++)
        if (dir[i] == '/') begin = dir + i + 1;
    n -= (size_t)(begin - dir);
    if (repo && strstr(repo, "--")) {
        const char *end = strchr(repo + 9, '/'), *last = strstr(repo + 9, "--");
        if (last && (!end || last < end)) begin = last + 2, n = end ? (size_t)(end - begin) : strlen(begin);
    }
    snprintf(out, len, "%.*s", (int)n, begin);
}

/* How 4-bit groups come back from Q4_1. */
static ts_status put_groups(const ts_hf_model *m, ts_gguf_writer *w, ts_err *err) {
    ts_group_key *key = ts_alloc(m->n, sizeof *key);
    size_t n = 0;
    if (!key) return ts_fail_nomem(err, "the sizes of groups", m->n * sizeof *key);
    for (size_t i = 0; i < m->n; i++)
        if (ts_dtype_is_u4g(m->tensor[i].type))
            key[n++] = (ts_group_key){m->tensor[i].name, ts_u4g_group(m->tensor[i].type)};
    const ts_status st = ts_group_keys_put(w, key, n, err);
    ts_free(key);
    return st;
}

ts_status ts_hf_model_put(const ts_hf_model *m, ts_gguf_writer *w, ts_err *err) {
    char name[96];
    model_name(ts_hf_folder_dir(m->folder), name, sizeof name);
    ts_gguf_put_str(w, "general.architecture", m->c.family);
    ts_gguf_put_str(w, "general.type", "model");
    if (*name && strcmp(name, ".") != 0) ts_gguf_put_str(w, "general.name", name);
    ts_hf_config_put(&m->c, w);
    return put_groups(m, w, err);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* GGUF's row `row` of q or k is this one of Hugging Face's: of the elements of a head that turn, halves become
 * neighbours. */
static uint32_t turned(const ts_hf_model *m, uint64_t row) {
    const uint32_t hd = m->c.head_dim, half = m->c.n_rot / 2, r = (uint32_t)(row % hd);
    return (uint32_t)row - r + (r < m->c.n_rot ? r / 2 + (r % 2 ? half : 0) : r);
}

const void *ts_hf_tensor_in_place(const ts_hf_model *m, const ts_hf_tensor *t) {
    (void)m;
    if (t->made) return t->made;
    if (!t->a || t->turn || t->a->elem == TS_EL_F64 || type_of(t->a->elem) != t->type || !ts_array_is_packed(t->a) ||
        (uintptr_t)t->a->data % ts_elem_size(t->a->elem))
        return NULL;
    return t->a->data;
}

static void float_row(const ts_hf_tensor *t, uint64_t row, uint8_t *out) {
    const ts_array *a = t->a;
    const size_t size = ts_elem_size(a->elem), n = (size_t)t->dim[0];
    const uint64_t step = a->stride[a->n_dims - 1];
    const uint8_t *p = a->data + (a->n_dims == 2 ? row * a->stride[0] * size : 0);
    const bool as_is = a->elem != TS_EL_F64 && type_of(a->elem) == t->type;
    if (as_is && step == 1) {
        memcpy(out, p, n * size);
        return;
    }
    for (size_t i = 0; i < n; i++, p += step * size) {
        uint16_t h;
        double d;
        float f;
        if (as_is) {
            memcpy(out + i * size, p, size);
            continue;
        }
        if (a->elem == TS_EL_F64) memcpy(&d, p, 8), f = (float)d;
        else if (a->elem == TS_EL_F32) memcpy(&f, p, 4);
        else memcpy(&h, p, 2), f = a->elem == TS_EL_F16 ? ts_f16_to_f32(h) : ts_bf16_to_f32(h);
        memcpy(out + 4 * i, &f, 4);
    }
}

/* A vector's numbers in GGUF's order. */
static void turned_vector(const ts_hf_model *m, const ts_hf_tensor *t, float *out) {
    ts_hf_tensor one = *t;
    ts_array a = *t->a;
    one.a = &a, one.dim[0] = 1;
    const size_t size = ts_elem_size(a.elem);
    for (uint64_t i = 0; i < t->dim[0]; i++) {
        a.data = t->a->data + turned(m, i) * t->a->stride[0] * size;
        float_row(&one, 0, (uint8_t *)(out + i));
    }
}

void ts_hf_tensor_rows(const ts_hf_model *m, const ts_hf_tensor *t, uint64_t first, uint64_t n, void *out) {
    const size_t row_bytes = ts_dtype_row_bytes(t->type, t->dim[0]);
    uint8_t *to = out;
    if (t->made) {
        memcpy(out, t->made, row_bytes);
        return;
    }
    if (t->a && t->n_dims == 1 && t->turn) {
        turned_vector(m, t, out);
        return;
    }
    if (t->a) {
        for (uint64_t r = 0; r < n; r++) float_row(t, t->turn ? turned(m, first + r) : first + r, to + r * row_bytes);
        return;
    }
    for (uint64_t r = 0; r < n;) {
        uint32_t row[TS_Q4_TILE], k = 0;
        for (; k < TS_Q4_TILE && r + k < n; k++)
            row[k] = t->turn ? turned(m, first + r + k) : (uint32_t)(first + r + k);
        if (t->type != TS_F32) ts_q4_rows(&t->q4, row, k, (ts_block_u4g *)(void *)(to + r * row_bytes));
        else
            for (uint32_t i = 0; i < k; i++) ts_q4_floats(&t->q4, row[i], (float *)(void *)(to + (r + i) * row_bytes));
        r += k;
    }
}

const ts_array *ts_hf_tensor_array(const ts_hf_tensor *t, int i) {
    const ts_array *const all[] = {t->a ? t->a : t->q4.q, t->q4.scales, t->q4.zeros, t->q4.index};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (all[k] && i-- == 0) return all[k];
    return NULL;
}

ts_status ts_hf_tensor_check(ts_hf_model *m, const ts_hf_tensor *t, ts_err *err) {
    const ts_array *a;
    for (int i = 0; (a = ts_hf_tensor_array(t, i)); i++) TS_TRY(ts_hf_folder_check(m->folder, a, err));
    return t->q4.q ? prefix(m, ts_q4_check(&t->q4, err), err) : TS_OK;
}
