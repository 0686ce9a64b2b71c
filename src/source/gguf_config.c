/* gguf_config.c - the configuration of a model from the metadata of its GGUF file. */
#include "source/gguf_source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "arch.name" as a key. */
static const char *key_of(char *buf, size_t len, const char *arch, const char *name) {
    snprintf(buf, len, "%s.%s", arch, name);
    return buf;
}

struct keys {
    const ts_gguf *g;
    const char *arch;
    ts_err *err;
    char key[128];
};

static ts_status get_u32(struct keys *s, const char *name, bool required, uint32_t *out) {
    return ts_gguf_u32(s->g, key_of(s->key, sizeof s->key, s->arch, name), required, out, s->err);
}

static ts_status get_f32(struct keys *s, const char *name, bool required, float *out) {
    return ts_gguf_f32(s->g, key_of(s->key, sizeof s->key, s->arch, name), required, out, s->err);
}

/* A count that some files give once and some per layer: all layers must agree. */
static ts_status get_uniform(struct keys *s, const char *name, uint32_t *out) {
    const ts_gguf_kv *kv = ts_gguf_find(s->g, key_of(s->key, sizeof s->key, s->arch, name));
    if (!kv || kv->type != TS_GGUF_ARRAY) return get_u32(s, name, false, out);
    if (kv->elem == TS_GGUF_STRING || kv->elem == TS_GGUF_ARRAY || kv->n == 0)
        return ts_fail(s->err, TS_E_FORMAT, "%s: %s is not an array of numbers", ts_gguf_path(s->g), s->key);
    double first = ts_gguf_num(kv, 0);
    for (uint64_t i = 1; i < kv->n; i++)
        if (ts_gguf_num(kv, i) != first)
            return ts_fail(s->err, TS_E_UNSUPP, "%s: %s differs between layers, which Tessera does not support",
                           ts_gguf_path(s->g), s->key);
    if (!(first >= 0 && first <= UINT32_MAX))
        return ts_fail(s->err, TS_E_FORMAT, "%s: %s is out of range", ts_gguf_path(s->g), s->key);
    *out = (uint32_t)first;
    return TS_OK;
}

static ts_status read_rope(ts_model_config *c, struct keys *s) {
    ts_span type = {0};
    uint32_t head_rot = c->head_dim;
    float linear = 0;
    c->rope_base = 10000.0f;
    c->rope_factor = 1;
    c->yarn_attn = 1;
    c->yarn_ext = -1;
    c->yarn_beta_fast = 32;
    c->yarn_beta_slow = 1;
    c->rope_ctx_orig = c->n_ctx_train;
    TS_TRY(get_u32(s, "rope.dimension_count", false, &head_rot));
    TS_TRY(get_f32(s, "rope.freq_base", false, &c->rope_base));
    TS_TRY(get_f32(s, "rope.scale_linear", false, &linear)); /* the old spelling */
    TS_TRY(ts_gguf_str(s->g, key_of(s->key, sizeof s->key, s->arch, "rope.scaling.type"), false, &type, s->err));
    TS_TRY(get_f32(s, "rope.scaling.factor", false, &c->rope_factor));
    TS_TRY(get_f32(s, "rope.scaling.attn_factor", false, &c->yarn_attn));
    TS_TRY(get_f32(s, "rope.scaling.yarn_ext_factor", false, &c->yarn_ext));
    TS_TRY(get_f32(s, "rope.scaling.yarn_attn_factor", false, &c->yarn_attn));
    TS_TRY(get_f32(s, "rope.scaling.yarn_beta_fast", false, &c->yarn_beta_fast));
    TS_TRY(get_f32(s, "rope.scaling.yarn_beta_slow", false, &c->yarn_beta_slow));
    TS_TRY(get_u32(s, "rope.scaling.original_context_length", false, &c->rope_ctx_orig));
    c->n_rot = head_rot;
    const char *path = ts_gguf_path(s->g);
    if (c->n_rot == 0 || c->n_rot % 2 || c->n_rot > c->head_dim)
        return ts_fail(s->err, TS_E_FORMAT, "%s: %s.rope.dimension_count is %u, but a head has %u elements", path,
                       c->arch, c->n_rot, c->head_dim);
    if (c->rope_factor < 0 || linear < 0 || c->yarn_attn < 0 || c->yarn_beta_fast < 0 || c->yarn_beta_slow < 0)
        return ts_fail(s->err, TS_E_FORMAT, "%s: %s.rope.scale_linear or a number of rope.scaling is negative", path,
                       c->arch);
    if (!(c->rope_base > 0) || !isfinite(c->rope_base) || !isfinite(c->rope_factor))
        return ts_fail(s->err, TS_E_FORMAT, "%s: %s.rope.freq_base or rope.scaling.factor is not a positive number",
                       path, c->arch);
    if (type.len == 0) {
        if (linear > 0) c->rope_factor = linear;
        c->rope_scaling = c->rope_factor != 1 ? TS_ROPE_LINEAR : TS_ROPE_NONE;
    } else if (type.len == 4 && !memcmp(type.data, "none", 4)) {
        c->rope_scaling = TS_ROPE_NONE;
    } else if (type.len == 6 && !memcmp(type.data, "linear", 6)) {
        c->rope_scaling = TS_ROPE_LINEAR;
    } else if (type.len == 4 && !memcmp(type.data, "yarn", 4)) {
        c->rope_scaling = TS_ROPE_YARN;
    } else {
        return ts_fail(s->err, TS_E_UNSUPP, "%s: %s.rope.scaling.type is \"%.*s\"; known: none, linear, yarn", path,
                       c->arch, (int)(type.len > 40 ? 40 : type.len), (const char *)type.data);
    }
    if (c->rope_factor == 0) c->rope_factor = 1; /* files write 0 for "not set" */
    if (c->yarn_attn == 0) c->yarn_attn = 1;
    if (c->yarn_beta_fast == 0) c->yarn_beta_fast = 32;
    if (c->yarn_beta_slow == 0) c->yarn_beta_slow = 1;
    if (c->rope_scaling != TS_ROPE_YARN && c->yarn_attn != 1)
        return ts_fail(s->err, TS_E_UNSUPP,
                       "%s: %s.rope.scaling.attn_factor is %g without yarn, which Tessera does not do", path, c->arch,
                       (double)c->yarn_attn);
    if (type.len && linear > 0 && linear != 1 && linear != c->rope_factor)
        return ts_fail(s->err, TS_E_FORMAT,
                       "%s: %s.rope.scale_linear is %g and rope.scaling.factor %g: which is meant?", path, c->arch,
                       (double)linear, (double)c->rope_factor);
    if (c->rope_scaling == TS_ROPE_NONE) c->rope_factor = 1;
    if (c->yarn_ext < 0) c->yarn_ext = 1;
    if (c->rope_ctx_orig == 0) c->rope_ctx_orig = c->n_ctx_train;
    return TS_OK;
}

ts_status ts_gguf_model_config(ts_model_config *out, const ts_gguf *g, const char *arch, ts_err *err) {
    struct keys s = {.g = g, .arch = arch, .err = err};
    const char *path = ts_gguf_path(g);
    ts_model_config c = {0};
    snprintf(c.arch, sizeof c.arch, "%s", arch);
    ts_span name = {0};
    TS_TRY(ts_gguf_str(g, "general.name", false, &name, err));
    for (size_t i = 0; i < name.len && i < sizeof c.name - 1; i++) /* for display: printable ASCII only */
        c.name[i] = name.data[i] >= 32 && name.data[i] < 127 ? (char)name.data[i] : '?';

    uint32_t experts = 0, key_len = 0, value_len = 0;
    TS_TRY(get_u32(&s, "expert_count", false, &experts));
    if (experts > 0)
        return ts_fail(err, TS_E_UNSUPP, "%s: a mixture of %u experts; Tessera runs dense models only", path, experts);
    TS_TRY(get_u32(&s, "block_count", true, &c.n_layer));
    TS_TRY(get_u32(&s, "context_length", true, &c.n_ctx_train));
    TS_TRY(get_u32(&s, "embedding_length", true, &c.d_model));
    TS_TRY(get_uniform(&s, "feed_forward_length", &c.d_ff));
    TS_TRY(get_uniform(&s, "attention.head_count", &c.n_head));
    c.n_kv_head = c.n_head;
    TS_TRY(get_uniform(&s, "attention.head_count_kv", &c.n_kv_head));
    c.norm_eps = 1e-5f;
    TS_TRY(get_f32(&s, "attention.layer_norm_rms_epsilon", true, &c.norm_eps));
    TS_TRY(get_u32(&s, "attention.key_length", false, &key_len));
    TS_TRY(get_u32(&s, "attention.value_length", false, &value_len));
    TS_TRY(get_u32(&s, "attention.sliding_window", false, &c.window));
    TS_TRY(get_u32(&s, "vocab_size", false, &c.n_vocab));

    const struct {
        const char *key;
        uint32_t value, max;
    } checks[] = {
        {"block_count", c.n_layer, TS_MAX_LAYERS},       {"context_length", c.n_ctx_train, TS_MAX_CTX},
        {"embedding_length", c.d_model, TS_MAX_WIDTH},   {"feed_forward_length", c.d_ff, TS_MAX_FF},
        {"attention.head_count", c.n_head, TS_MAX_HEADS}, {"attention.head_count_kv", c.n_kv_head, TS_MAX_HEADS},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].value == 0 || checks[i].value > checks[i].max)
            return ts_fail(err, TS_E_FORMAT, "%s: %s.%s is %u (expected 1 to %u)", path, arch, checks[i].key,
                           checks[i].value, checks[i].max);
    if (c.n_head % c.n_kv_head)
        return ts_fail(err, TS_E_FORMAT, "%s: %u heads cannot share %u KV heads evenly", path, c.n_head, c.n_kv_head);
    if (!(c.norm_eps >= 0) || !isfinite(c.norm_eps))
        return ts_fail(err, TS_E_FORMAT, "%s: %s.attention.layer_norm_rms_epsilon is not a number", path, arch);
    if (key_len == 0 && c.d_model % c.n_head)
        return ts_fail(err, TS_E_FORMAT, "%s: embedding_length %u is not a multiple of head_count %u", path, c.d_model,
                       c.n_head);
    c.head_dim = key_len ? key_len : c.d_model / c.n_head;
    if (value_len && value_len != c.head_dim)
        return ts_fail(err, TS_E_UNSUPP, "%s: keys have %u elements and values %u; Tessera needs them equal", path,
                       c.head_dim, value_len);
    if (c.head_dim > TS_MAX_HEAD_DIM)
        return ts_fail(err, TS_E_FORMAT, "%s: heads of %u elements (expected up to %d)", path, c.head_dim,
                       TS_MAX_HEAD_DIM);
    TS_TRY(get_f32(&s, "attention.scale", false, &c.att_scale));
    if (c.att_scale < 0)
        return ts_fail(err, TS_E_FORMAT, "%s: %s.attention.scale is %g, not positive", path, arch, (double)c.att_scale);
    if (c.att_scale == 0) c.att_scale = 1.0f / sqrtf((float)c.head_dim); /* files write 0 for "not set" */
    TS_TRY(read_rope(&c, &s));
    c.rope_halves = strcmp(arch, "llama") != 0; /* converters reorder the rows of q and k for this family alone */
    *out = c;
    return TS_OK;
}
