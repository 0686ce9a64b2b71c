#include "source/hf_config.h"
#include "base/file.h"
#include "base/json_tree.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/stand_in.h"
#include "kern/fmath.h"
#include "source/model_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CONFIG_MAX = 16 << 20 };

/* A JSON file that is read. */
typedef struct file {
    char *path;
    ts_buf text;
    ts_arena arena;
    const ts_jval *root;
    ts_err *err;
} file;

static void file_free(file *f) {
    ts_free(f->path);
    ts_buf_free(&f->text);
    ts_arena_free(&f->arena);
    *f = (file){0};
}

static ts_status file_parse(file *f, const char *s, size_t len) {
    ts_status st = ts_no_stand_in((ts_span){(const uint8_t *)s, len}, f->err);
    if (st == TS_OK) st = ts_jtree_parse(&f->root, &f->arena, s, len, &(ts_jlimits){.values = 1 << 20}, f->err);
    if (st != TS_OK) return ts_err_prefix(f->err, st, "%s", f->path);
    if (f->root->type != TS_JSON_OBJECT) return ts_fail(f->err, TS_E_FORMAT, "%s: not an object", f->path);
    return TS_OK;
}

static ts_status file_open(file *f, const char *dir, const char *name, ts_err *err) {
    *f = (file){.path = ts_path_join(dir, name), .err = err};
    if (!f->path) return ts_fail_nomem(err, "a path", strlen(dir));
    TS_TRY(ts_file_read(&f->text, f->path, CONFIG_MAX, err));
    return file_parse(f, f->text.data ? f->text.data : "", f->text.len);
}

static bool there(const ts_jval *v) {
    return v && v->type != TS_JSON_NULL;
}

static ts_status wrong(const file *f, const char *key, const ts_jval *v, const char *want) {
    char shown[64];
    ts_printable(shown, sizeof shown, v->source.data, v->source.len);
    return ts_fail(f->err, TS_E_FORMAT, "%s: \"%s\" is %s, not %s", f->path, key, shown, want);
}

static ts_status get_u32(const file *f, const ts_jval *in, const char *key, bool required, uint32_t most,
                         uint32_t *out) {
    const ts_jval *v = ts_jval_get(in, key);
    if (!there(v) && required) return ts_fail(f->err, TS_E_FORMAT, "%s: \"%s\" is missing", f->path, key);
    if (!there(v)) return TS_OK;
    uint64_t n = 0;
    bool ok = v->type == TS_JSON_NUMBER && v->text.len < 12;
    for (size_t i = 0; ok && i < v->text.len; i++) {
        ok = v->text.data[i] >= '0' && v->text.data[i] <= '9';
        n = n * 10 + (uint64_t)(v->text.data[i] - '0');
    }
    if (!ok || n == 0 || n > most) {
        char want[48];
        snprintf(want, sizeof want, "a whole number from 1 to %u", most);
        return wrong(f, key, v, want);
    }
    *out = (uint32_t)n;
    return TS_OK;
}

static bool number(const ts_jval *v, double *out) {
    char text[64];
    if (v->type != TS_JSON_NUMBER || v->text.len >= sizeof text) return false;
    memcpy(text, v->text.data, v->text.len);
    text[v->text.len] = 0;
    *out = strtod(text, NULL);
    return isfinite(*out);
}

static ts_status get_positive(const file *f, const ts_jval *in, const char *key, double *out) {
    const ts_jval *v = ts_jval_get(in, key);
    double d;
    if (!there(v)) return TS_OK;
    if (!number(v, &d) || !(d > 0) || d > 1e30) return wrong(f, key, v, "a positive number");
    *out = d;
    return TS_OK;
}

static bool is_true(const ts_jval *in, const char *key, bool otherwise) {
    const ts_jval *v = ts_jval_get(in, key);
    return v && v->type == TS_JSON_BOOL ? v->truth : otherwise;
}

static void get_text(const ts_jval *in, const char *key, char *out, size_t len) {
    const ts_jval *v = ts_jval_get(in, key);
    if (v && v->type == TS_JSON_STRING && v->text.len) ts_printable(out, len, v->text.data, v->text.len);
}

/* ---- family ------------------------------------------------------------------------------------------------------ */

static ts_status read_family(const file *f, const ts_jval *c, ts_hf_config *out) {
    static const struct {
        const char *type, *family;
        bool interleave;
    } known[] = {
        {"llama", "llama", true}, {"mistral", "llama", true}, {"qwen2", "qwen2", false}, {"qwen3", "qwen3", false}};
    char type[48] = "";
    get_text(c, "model_type", type, sizeof type);
    if (!*type) return ts_fail(f->err, TS_E_FORMAT, "%s: \"model_type\" is missing", f->path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(type, known[i].type) != 0) continue;
        snprintf(out->family, sizeof out->family, "%s", known[i].family);
        out->interleave = known[i].interleave;
        return TS_OK;
    }
    return ts_fail(f->err, TS_E_UNSUPP,
                   "%s: model_type \"%s\" is not supported; Tessera runs llama, mistral, qwen2 and "
                   "qwen3",
                   f->path, type);
}

/* What would make the results others, and is not computed. */
static ts_status refuse_others(const file *f, const ts_jval *c) {
    static const char *const experts[] = {"num_experts", "num_local_experts", "n_routed_experts"};
    char act[48] = "silu";
    get_text(c, "hidden_act", act, sizeof act);
    get_text(c, "hidden_activation", act, sizeof act);
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return ts_fail(f->err, TS_E_UNSUPP, "%s: hidden_act \"%s\"; Tessera computes silu", f->path, act);
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        const ts_jval *v = ts_jval_get(c, experts[i]);
        double n = 0;
        if (there(v) && number(v, &n) && n > 1)
            return ts_fail(f->err, TS_E_UNSUPP, "%s: a mixture of %g experts; Tessera runs dense models only", f->path,
                           n);
    }
    return TS_OK;
}

/* The window of attention, where all layers have it; where only some do, that is another model. */
static ts_status read_window(const file *f, const ts_jval *c, ts_hf_config *out) {
    const ts_jval *types = ts_jval_get(c, "layer_types");
    uint32_t n_window = 0, n = 0;
    if (!there(ts_jval_get(c, "sliding_window")) || !is_true(c, "use_sliding_window", true)) return TS_OK;
    if (!ts_jval_get(c, "use_sliding_window") && strncmp(out->family, "qwen", 4) == 0) return TS_OK; /* theirs is off */
    if (types && types->type == TS_JSON_ARRAY) {
        for (const ts_jval *v = types->first; v; v = v->next, n++) n_window += ts_jval_is(v, "sliding_attention");
    } else {
        uint32_t full = 0; /* Qwen's lower layers see everything */
        const ts_jval *v = ts_jval_get(c, "max_window_layers");
        double d = 0;
        if (there(v) && number(v, &d) && d > 0) full = d >= out->n_layer ? out->n_layer : (uint32_t)d;
        n = out->n_layer;
        n_window = n - full;
    }
    if (!n_window) return TS_OK;
    if (n_window < n)
        return ts_fail(f->err, TS_E_UNSUPP, "%s: a sliding window in %u of %u layers, which Tessera does not do",
                       f->path, n_window, n);
    return get_u32(f, c, "sliding_window", false, TS_MAX_CTX, &out->window);
}

/* ---- rotary embedding -------------------------------------------------------------------------------------------- */

static ts_status read_rope(const file *f, const ts_jval *c, ts_hf_config *out) {
    const ts_jval *s = ts_jval_get(c, "rope_parameters"); /* since transformers 5 */
    char type[32] = "";
    const char *key = there(s) ? "rope_parameters" : "rope_scaling";
    if (!there(s)) s = ts_jval_get(c, key);
    if (there(s) && s->type != TS_JSON_OBJECT) return wrong(f, key, s, "an object");
    out->rope_base = 10000;
    out->rope_factor = 1;
    TS_TRY(get_positive(f, c, "rope_theta", &out->rope_base));
    TS_TRY(get_positive(f, s, "rope_theta", &out->rope_base));
    double part = 1;
    TS_TRY(get_positive(f, c, "partial_rotary_factor", &part));
    TS_TRY(get_positive(f, s, "partial_rotary_factor", &part));
    out->n_rot = part >= 1 ? out->head_dim : (uint32_t)(part * out->head_dim);
    if (!out->n_rot || out->n_rot % 2)
        return ts_fail(f->err, TS_E_FORMAT, "%s: %u elements of a head are turned, not an even number", f->path,
                       out->n_rot);
    if (!there(s)) return TS_OK;
    get_text(s, "type", type, sizeof type);
    get_text(s, "rope_type", type, sizeof type);
    if (!*type || !strcmp(type, "default")) return TS_OK;
    if (!strcmp(type, "dynamic")) {
        ts_log(TS_LOG_WARN, "%s: rope scaling \"dynamic\" is not followed: beyond %u positions results are worse",
               f->path, out->n_ctx);
        return TS_OK;
    }
    out->rope = !strcmp(type, "linear")   ? TS_HF_ROPE_LINEAR
                : !strcmp(type, "yarn")   ? TS_HF_ROPE_YARN
                : !strcmp(type, "llama3") ? TS_HF_ROPE_LLAMA3
                                          : TS_HF_ROPE_PLAIN;
    if (out->rope == TS_HF_ROPE_PLAIN)
        return ts_fail(f->err, TS_E_UNSUPP, "%s: rope scaling \"%s\" is not supported; linear, yarn and llama3 are",
                       f->path, type);
    if (!there(ts_jval_get(s, "factor")))
        return ts_fail(f->err, TS_E_FORMAT, "%s: rope scaling without a \"factor\"", f->path);
    out->rope_orig = out->n_ctx;
    out->rope_low = 1, out->rope_high = 4;
    TS_TRY(get_positive(f, s, "factor", &out->rope_factor));
    TS_TRY(
        get_u32(f, s, "original_max_position_embeddings", out->rope == TS_HF_ROPE_LLAMA3, TS_MAX_CTX, &out->rope_orig));
    TS_TRY(get_positive(f, s, "low_freq_factor", &out->rope_low));
    TS_TRY(get_positive(f, s, "high_freq_factor", &out->rope_high));
    TS_TRY(get_positive(f, s, "attention_factor", &out->attention_factor));
    TS_TRY(get_positive(f, s, "beta_fast", &out->beta_fast));
    TS_TRY(get_positive(f, s, "beta_slow", &out->beta_slow));
    if (out->rope == TS_HF_ROPE_LLAMA3 && out->rope_high <= out->rope_low)
        return ts_fail(f->err, TS_E_FORMAT, "%s: high_freq_factor %g is not above low_freq_factor %g", f->path,
                       out->rope_high, out->rope_low);
    if (out->rope == TS_HF_ROPE_YARN && (there(ts_jval_get(s, "mscale")) || there(ts_jval_get(s, "mscale_all_dim"))))
        return ts_fail(f->err, TS_E_UNSUPP, "%s: rope scaling with \"mscale\", which Tessera does not do", f->path);
    return TS_OK;
}

/* Meta's rule (llama-models, apply_scaling): long waves are stretched, short ones not, between them a blend. */
void ts_hf_rope_factors(const ts_hf_config *c, float *out) {
    const double orig = c->rope_orig;
    for (uint32_t i = 0; i < c->n_rot / 2; i++) {
        const double wave = 0x1.921fb54442d18p+2 * ts_pow_d(c->rope_base, 2.0 * i / c->n_rot);
        const double t = (orig / wave - c->rope_low) / (c->rope_high - c->rope_low);
        out[i] = (float)(wave < orig / c->rope_high  ? 1
                         : wave > orig / c->rope_low ? c->rope_factor
                                                     : 1 / ((1 - t) / c->rope_factor + t));
    }
}

/* ---- quantising -------------------------------------------------------------------------------------------------- */

static void read_group(const ts_jval *in, const char *key, int64_t *out) {
    const ts_jval *v = ts_jval_get(in, key);
    double d;
    if (there(v) && number(v, &d) && fabs(d) < 1e9 && d == floor(d)) *out = d == 0 ? -2 : (int64_t)d; /* 0: no group */
}
static void read_bits(const ts_jval *in, const char *key, uint32_t *out) {
    const ts_jval *v = ts_jval_get(in, key);
    double d;
    if (there(v) && number(v, &d) && d >= 1 && d <= 64) *out = (uint32_t)d;
}

/* compressed-tensors: groups of layers, which may differ; then each layer's tensors say what its sizes are. */
static ts_status read_compressed(const file *f, const ts_jval *q, ts_q4_config *out) {
    const ts_jval *groups = ts_jval_get(q, "config_groups"), *g = groups ? groups->first : NULL;
    int64_t first_group = 0;
    char format[48] = "";
    get_text(q, "format", format, sizeof format);
    out->asym = g != NULL;
    for (; g; g = g->next) {
        const ts_jval *w = ts_jval_get(g, "weights");
        char own[48] = "", type[16] = "int";
        get_text(g, "format", own, sizeof own);
        get_text(w, "type", type, sizeof type);
        if (*own) snprintf(format, sizeof format, "%s", own);
        if (strcmp(type, "int") != 0)
            return ts_fail(f->err, TS_E_UNSUPP, "%s: weights of type \"%s\"; Tessera reads int", f->path, type);
        int64_t group = 0;
        read_group(w, "group_size", &group);
        if (g == groups->first) {
            out->group = first_group = group;
            read_bits(w, "num_bits", &out->bits);
        } else if (group != first_group) {
            out->group = 0;
        }
        out->asym = out->asym && !is_true(w, "symmetric", true);
    }
    if (*format && strcmp(format, "pack-quantized") != 0 && strcmp(format, "dense") != 0)
        return ts_fail(f->err, TS_E_UNSUPP, "%s: compressed-tensors format \"%s\"; Tessera reads pack-quantized",
                       f->path, format);
    return TS_OK;
}

/* What a Quark configuration says of weights, one or a list of steps. */
static void quark_dtype(const ts_jval *config, const ts_jval **weight, char *dtype, size_t len) {
    *weight = ts_jval_get(config, "weight");
    if (*weight && (*weight)->type == TS_JSON_ARRAY) *weight = (*weight)->first;
    get_text(*weight, "dtype", dtype, len);
}

static ts_status read_quark(const file *f, const ts_jval *q, ts_q4_config *out) {
    const ts_jval *w, *layers = ts_jval_get(q, "layer_quant_config");
    char dtype[24] = "", pack[16] = "";
    quark_dtype(ts_jval_get(q, "global_quant_config"), &w, dtype, sizeof dtype);
    read_group(w, "group_size", &out->group);
    get_text(ts_jval_get(q, "export"), "pack_method", pack, sizeof pack);
    get_text(q, "pack_method", pack, sizeof pack);
    out->two_complement = !strcmp(dtype, "int4");
    out->plain_order = !strcmp(pack, "order");
    const char *digit = dtype + strcspn(dtype, "0123456789");
    if (*digit) out->bits = 0;
    for (; *digit >= '0' && *digit <= '9' && out->bits < 1000; digit++)
        out->bits = 10 * out->bits + (uint32_t)(*digit - '0');
    for (const ts_jval *v = layers && layers->type == TS_JSON_OBJECT ? layers->first : NULL; v; v = v->next) {
        char own[24] = "", name[64]; /* nibbles with and without a sign look alike */
        quark_dtype(v, &w, own, sizeof own);
        if (!*own || !strcmp(own, dtype) || (strcmp(own, "int4") != 0 && strcmp(own, "uint4") != 0)) continue;
        ts_printable(name, sizeof name, v->key.data, v->key.len);
        return ts_fail(f->err, TS_E_UNSUPP, "%s: layers %s are %s, the others %s; Tessera reads one of them", f->path,
                       name, own, *dtype ? dtype : "not said");
    }
    return TS_OK;
}

static ts_status read_quant(const file *f, const ts_jval *q, const char *otherwise, ts_hf_config *out) {
    char format[24] = "";
    snprintf(out->method, sizeof out->method, "%s", otherwise);
    get_text(q, "method", out->method, sizeof out->method);
    get_text(q, "quant_method", out->method, sizeof out->method);
    ts_q4_config *c = &out->q4;
    read_bits(q, "w_bit", &c->bits);
    read_bits(q, "bits", &c->bits);
    read_group(q, "q_group_size", &c->group);
    read_group(q, "group_size", &c->group);
    get_text(q, "format", format, sizeof format);
    get_text(q, "checkpoint_format", format, sizeof format);
    if (!strcmp(out->method, "awq")) {
        c->method = TS_Q4_AWQ;
    } else if (!strcmp(out->method, "gptq")) {
        c->method = TS_Q4_GPTQ;
        c->sym = is_true(q, "sym", false) ? TS_Q4_SAID_YES : is_true(q, "sym", true) ? TS_Q4_NOT_SAID : TS_Q4_SAID_NO;
        c->v2 = !strcmp(format, "gptq_v2");
    } else if (!strcmp(out->method, "compressed-tensors") || !strcmp(out->method, "sparseml")) {
        c->method = TS_Q4_COMPRESSED;
        return read_compressed(f, q, c);
    } else if (!strcmp(out->method, "quark")) {
        c->method = TS_Q4_QUARK;
        return read_quark(f, q, c);
    }
    return TS_OK; /* others are told by their tensors, which nothing here takes */
}

static ts_status find_quant(const file *f, const char *dir, ts_hf_config *out, ts_err *err) {
    static const struct {
        const char *name, *method;
    } beside[] = {{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}, {"quantization_config.json", ""}};
    const ts_jval *q = ts_jval_get(f->root, "quantization_config");
    if (!there(q)) q = ts_jval_get(f->root, "compression_config");
    if (!there(q)) q = ts_jval_get(ts_jval_get(f->root, "text_config"), "quantization_config");
    if (there(q)) return read_quant(f, q, "", out);
    for (size_t i = 0; dir && i < sizeof beside / sizeof *beside; i++) {
        char *path = ts_path_join(dir, beside[i].name);
        const bool is = path && ts_file_exists(path);
        ts_free(path);
        if (!is) continue;
        file g;
        ts_status st = file_open(&g, dir, beside[i].name, err);
        if (st == TS_OK) st = read_quant(&g, g.root, beside[i].method, out);
        file_free(&g);
        return st;
    }
    return TS_OK;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static ts_status read_sizes(const file *f, const ts_jval *c, ts_hf_config *out) {
    TS_TRY(get_u32(f, c, "num_hidden_layers", true, TS_MAX_LAYERS, &out->n_layer));
    TS_TRY(get_u32(f, c, "hidden_size", true, TS_MAX_WIDTH, &out->d_model));
    TS_TRY(get_u32(f, c, "intermediate_size", true, TS_MAX_FF, &out->d_ff));
    TS_TRY(get_u32(f, c, "num_attention_heads", true, TS_MAX_HEADS, &out->n_head));
    out->n_kv_head = out->n_head;
    TS_TRY(get_u32(f, c, "num_key_value_heads", false, TS_MAX_HEADS, &out->n_kv_head));
    TS_TRY(get_u32(f, c, "vocab_size", true, 1 << 30, &out->n_vocab));
    out->n_ctx = 2048;
    TS_TRY(get_u32(f, c, "max_position_embeddings", false, TS_MAX_CTX, &out->n_ctx));
    TS_TRY(get_u32(f, c, "head_dim", false, TS_MAX_HEAD_DIM, &out->head_dim));
    out->norm_eps = 1e-6;
    TS_TRY(get_positive(f, c, "rms_norm_eps", &out->norm_eps));
    if (out->n_head % out->n_kv_head)
        return ts_fail(f->err, TS_E_FORMAT, "%s: %u heads cannot share %u KV heads evenly", f->path, out->n_head,
                       out->n_kv_head);
    if (!out->head_dim && out->d_model % out->n_head)
        return ts_fail(f->err, TS_E_FORMAT, "%s: hidden_size %u is not a multiple of %u heads", f->path, out->d_model,
                       out->n_head);
    if (!out->head_dim) out->head_dim = out->d_model / out->n_head;
    if (out->head_dim > TS_MAX_HEAD_DIM)
        return ts_fail(f->err, TS_E_FORMAT, "%s: heads of %u elements; at most %d", f->path, out->head_dim,
                       (int)TS_MAX_HEAD_DIM);
    return TS_OK;
}

/* `dir`: where else to look; NULL: nowhere. */
static ts_status read_all(const file *f, const char *dir, ts_hf_config *out, ts_err *err) {
    const ts_jval *c = ts_jval_get(f->root, "text_config"); /* of models with more than text */
    if (!c || c->type != TS_JSON_OBJECT || there(ts_jval_get(f->root, "hidden_size"))) c = f->root;
    TS_TRY(read_family(f, c, out));
    TS_TRY(refuse_others(f, c));
    TS_TRY(read_sizes(f, c, out));
    TS_TRY(read_rope(f, c, out));
    TS_TRY(read_window(f, c, out));
    out->tied = is_true(c, "tie_word_embeddings", false);
    if (there(ts_jval_get(f->root, "auto_map")))
        ts_log(TS_LOG_INFO, "%s: names Python code of its own (auto_map), which is not run", f->path);
    return find_quant(f, dir, out, err);
}

ts_status ts_hf_config_read(ts_hf_config *out, const char *dir, ts_err *err) {
    file f;
    ts_hf_config c = {0};
    ts_status st = file_open(&f, dir, "config.json", err);
    if (st == TS_OK) st = read_all(&f, dir, &c, err);
    file_free(&f);
    if (st == TS_OK) *out = c;
    return st;
}

ts_status ts_hf_config_read_mem(ts_hf_config *out, ts_span text, ts_err *err) {
    file f = {.path = ts_strdup("config.json"), .err = err};
    ts_hf_config c = {0};
    if (!f.path) return ts_fail_nomem(err, "a path", 0);
    ts_status st = file_parse(&f, (const char *)text.data, text.len);
    if (st == TS_OK) st = read_all(&f, NULL, &c, err);
    file_free(&f);
    if (st == TS_OK) *out = c;
    return st;
}

void ts_hf_config_put(const ts_hf_config *c, ts_gguf_writer *w) {
    char key[96];
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", c->family, name), key)
    ts_gguf_put_u32(w, KEY("vocab_size"), c->n_vocab);
    ts_gguf_put_u32(w, KEY("context_length"), c->n_ctx);
    ts_gguf_put_u32(w, KEY("embedding_length"), c->d_model);
    ts_gguf_put_u32(w, KEY("block_count"), c->n_layer);
    ts_gguf_put_u32(w, KEY("feed_forward_length"), c->d_ff);
    ts_gguf_put_u32(w, KEY("attention.head_count"), c->n_head);
    ts_gguf_put_u32(w, KEY("attention.head_count_kv"), c->n_kv_head);
    ts_gguf_put_f32(w, KEY("attention.layer_norm_rms_epsilon"), (float)c->norm_eps);
    ts_gguf_put_u32(w, KEY("attention.key_length"), c->head_dim);
    ts_gguf_put_u32(w, KEY("attention.value_length"), c->head_dim);
    if (c->window) ts_gguf_put_u32(w, KEY("attention.sliding_window"), c->window);
    ts_gguf_put_u32(w, KEY("rope.dimension_count"), c->n_rot);
    ts_gguf_put_f32(w, KEY("rope.freq_base"), (float)c->rope_base);
    if (c->rope == TS_HF_ROPE_LINEAR || c->rope == TS_HF_ROPE_YARN) {
        ts_gguf_put_str(w, KEY("rope.scaling.type"), c->rope == TS_HF_ROPE_YARN ? "yarn" : "linear");
        ts_gguf_put_f32(w, KEY("rope.scaling.factor"), (float)c->rope_factor);
    }
    if (c->rope != TS_HF_ROPE_YARN) return;
    ts_gguf_put_u32(w, KEY("rope.scaling.original_context_length"), c->rope_orig);
    /* what GGUF has is a factor on top of YaRN's own, 0.1 ln(factor) + 1 */
    if (c->attention_factor > 0)
        ts_gguf_put_f32(w, KEY("rope.scaling.yarn_attn_factor"),
                        (float)(c->attention_factor / (0.1 * ts_log2_d(c->rope_factor) * 0x1.62e42fefa39efp-1 + 1)));
    if (c->beta_fast > 0) ts_gguf_put_f32(w, KEY("rope.scaling.yarn_beta_fast"), (float)c->beta_fast);
    if (c->beta_slow > 0) ts_gguf_put_f32(w, KEY("rope.scaling.yarn_beta_slow"), (float)c->beta_slow);
#undef KEY
}
