#include "model/shape.h"
#include "base/rng.h"
#include "format/gguf_write.h"
#include "format/quant.h"
#include "format/wtype.h"
#include "kern/fmath.h"
#include "source/gguf_names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const ts_shape shapes[] = {
    {"llama-3-8b", "llama", 32, 4096, 14336, 32, 8, 128, 128256, 8192, false, 500000, 1e-5f, 1, 0, 0, 0, 0, 0},
    {"llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, true, 500000, 1e-5f, 32, 0, 0, 0, 0, 0},
    {"llama-3.2-3b", "llama", 28, 3072, 8192, 24, 8, 128, 128256, 131072, true, 500000, 1e-5f, 32, 0, 0, 0, 0, 0},
    {"tinyllama", "llama", 22, 2048, 5632, 32, 4, 64, 32000, 2048, false, 10000, 1e-5f, 1, 0, 0, 0, 0, 0},
    {"qwen2.5-0.5b", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, true, 1000000, 1e-6f, 1, 0, 0, 0, 0, 0},
    {"qwen3-0.6b", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, true, 1000000, 1e-6f, 1, 0, 0, 0, 0, 0},
    {"tiny", "llama", 2, 256, 512, 4, 2, 64, 512, 2048, false, 10000, 1e-5f, 1, 0, 0, 0, 0, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

ts_status ts_shape_find(const ts_shape **out, const char *name, ts_err *err) {
    char list[256] = "";
    for (int i = 0; i < N_SHAPES; i++) {
        if (!strcasecmp(name, shapes[i].name)) {
            *out = &shapes[i];
            return TS_OK;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", shapes[i].name);
    }
    return ts_fail(err, TS_E_INVAL, "unknown shape \"%s\"; known: %s", name, list);
}

ts_status ts_mix_find(ts_mix *out, const char *name, ts_err *err) {
    ts_dtype type;
    if (!strcasecmp(name, "q4_k") || !strcasecmp(name, "q4_k_m"))
        *out = (ts_mix){TS_Q4_K, TS_Q6_K, TS_Q6_K};
    else if (!strcasecmp(name, "q4_0"))
        *out = (ts_mix){TS_Q4_0, TS_Q6_K, TS_Q4_0};
    else if (ts_dtype_find(name, &type))
        *out = (ts_mix){type, type, type};
    else
        return ts_fail(err, TS_E_INVAL, "unknown type \"%s\"; for example q4_0, q4_k, q6_k, q8_0, f16, bf16, f32",
                       name);
    return TS_OK;
}

/* Who is told how far it is. */
struct watch {
    bool (*step)(void *ud, uint64_t done, uint64_t all);
    void *ud;
    uint64_t done, all; /* bytes of weights */
};

/* One tensor's random rows. */
struct maker {
    struct watch *watch;
    ts_rng rng;
    ts_dtype type;
    uint64_t cols;
    float deviation;
    bool norm; /* around 1 instead of 0 */
};

/* Blocks of random bits with scales that give the deviation; quantising real numbers would take minutes for an 8B. */
static void random_blocks(struct maker *m, uint8_t *p, size_t n_block) {
    const ts_dtype_info *info = ts_dtype_get(m->type);
    size_t bytes = info->block_bytes;
    for (size_t i = 0; i + 8 <= n_block * bytes; i += 8) {
        uint64_t r = ts_rng_u64(&m->rng);
        memcpy(p + i, &r, 8);
    }
    for (size_t i = n_block * bytes / 8 * 8; i < n_block * bytes; i++) p[i] = (uint8_t)ts_rng_u32(&m->rng);
    const ts_wtype *t = ts_wtype_of(m->type);
    for (size_t b = 0; b < n_block; b++, p += bytes) {
        float jitter = 0.75f + 0.5f * (float)(p[bytes / 2] / 255.0);
        if (t->scale == TS_SCALE_E8) { /* the power of two nearest to what is wanted */
            p[t->d_at] = (uint8_t)(128 + (int)rint(ts_log2_d((double)(m->deviation / t->spread))));
            continue;
        }
        float d = m->deviation / t->spread * jitter;
        uint16_t h = ts_f32_to_f16(d), min = ts_f32_to_f16(d * t->mean);
        memcpy(p + t->d_at, &h, 2);
        if (ts_wtype_has_min(t)) memcpy(p + t->second_at, &min, 2);
    }
}

static ts_status make_rows(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err) {
    struct maker *m = ud;
    struct watch *w = m->watch;
    (void)first;
    if (w->step && !w->step(w->ud, w->done, w->all)) return ts_fail(err, TS_E_CANCELLED, "stopped");
    w->done += n * ts_dtype_row_bytes(m->type, m->cols);
    if (ts_dtype_get(m->type)->block > 1) { /* row by row: how many are asked for at a time must not show */
        size_t row_bytes = ts_dtype_row_bytes(m->type, m->cols);
        for (uint64_t r = 0; r < n; r++)
            random_blocks(m, (uint8_t *)out + r * row_bytes, (size_t)(m->cols / ts_dtype_get(m->type)->block));
        return TS_OK;
    }
    for (size_t i = 0; i < n * m->cols; i++) {
        float v = (float)ts_rng_gauss(&m->rng) * m->deviation + (m->norm ? 1 : 0);
        if (m->type == TS_F32) ((float *)out)[i] = v;
        else ((uint16_t *)out)[i] = m->type == TS_F16 ? ts_f32_to_f16(v) : ts_f32_to_bf16(v);
    }
    return TS_OK;
}

/* What the tensors are made with, alive until the file is written. */
struct factory {
    ts_gguf_writer *w;
    struct maker *maker;
    size_t n;
    uint64_t seed;
    struct watch watch;
};

static void add(struct factory *f, const char *name, ts_dtype type, uint64_t cols, uint64_t rows, bool norm) {
    const ts_dtype_info *info = ts_dtype_get(type);
    if (cols % info->block) type = info->block == 256 && cols % 32 == 0 ? TS_Q8_0 : TS_F16;
    struct maker *m = &f->maker[f->n];
    *m = (struct maker){.rng = ts_rng_seed(f->seed + f->n), .type = type, .cols = cols,
                        .deviation = norm        ? 0.05f
                                     : rows == 0 ? 0.2f
                                                 : 0.7f / sqrtf((float)(cols ? cols : 1)),
                        .norm = norm,
                        .watch = &f->watch};
    f->n++;
    f->watch.all += (rows ? rows : 1) * ts_dtype_row_bytes(type, cols);
    const uint64_t dim[2] = {cols, rows};
    ts_gguf_add_tensor_fn(f->w, name, type, rows ? 2 : 1, dim, make_rows, m);
}

static ts_status rope_rows(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err) {
    const ts_shape *s = ud;
    (void)first, (void)n, (void)err;
    for (uint32_t i = 0; i < s->head_dim / 2; i++) { /* Llama 3.1's rule: low 1, high 4, original context 8192 */
        double wave = 0x1.921fb54442d18p+2 * ts_pow_d((double)s->rope_base, 2.0 * i / s->head_dim), r = 1;
        if (wave > 8192) r = (double)s->rope_factor;
        else if (wave > 8192 / 4.0) {
            double smooth = (8192 / wave - 1) / 3;
            r = 1 / ((1 - smooth) / (double)s->rope_factor + smooth);
        }
        ((float *)out)[i] = (float)r;
    }
    return TS_OK;
}

/* A byte-level vocabulary: 256 bytes, an end token, and fillers. */
static ts_status put_vocabulary(ts_gguf_writer *w, uint32_t n, ts_err *err) {
    ts_span *token = ts_alloc(n, sizeof *token);
    int32_t *kind = ts_alloc(n, sizeof *kind);
    char *text = ts_alloc(n, 16);
    if (!token || !kind || !text) {
        ts_free(token), ts_free(kind), ts_free(text);
        return ts_fail_nomem(err, "a vocabulary", n * sizeof *token);
    }
    uint32_t other = 256; /* GPT-2's stand-ins for bytes that do not print */
    for (uint32_t i = 0; i < n; i++) {
        char *t = text + 16 * (size_t)i;
        kind[i] = i < 256 ? 1 : 3;
        if (i == 256) snprintf(t, 16, "<|end|>");
        else if (i > 256) snprintf(t, 16, "<|%u|>", i);
        else {
            uint32_t c = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174 ? i : other++;
            if (c < 128) t[0] = (char)c, t[1] = 0;
            else t[0] = (char)(0xc0 | c >> 6), t[1] = (char)(0x80 | (c & 63)), t[2] = 0;
        }
        token[i] = (ts_span){.data = (const uint8_t *)t, .len = strlen(t)};
    }
    ts_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    ts_gguf_put_str(w, "tokenizer.ggml.pre", "llama-bpe");
    ts_gguf_put_strings(w, "tokenizer.ggml.tokens", token, n);
    ts_gguf_put_array(w, "tokenizer.ggml.token_type", TS_GGUF_I32, kind, n);
    ts_gguf_put_strings(w, "tokenizer.ggml.merges", token, 0);
    ts_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 256);
    ts_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 256);
    ts_gguf_put_str(w, "tokenizer.chat_template",
                    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
                    "{{ '<|im_start|>assistant\\n' }}{% endif %}");
    ts_free(token), ts_free(kind), ts_free(text);
    return TS_OK;
}

bool ts_shape_more_bits(uint32_t i, uint32_t n) {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

ts_dtype ts_mix_type(const ts_mix *mix, ts_role role, bool more) {
    if (role == TS_ROLE_HEAD) return mix->head;
    return more && (role == TS_ROLE_V || role == TS_ROLE_DOWN) ? mix->more : mix->base;
}

ts_widths ts_shape_widths(const ts_shape *s) {
    return ts_widths_of(s->d_model, s->n_head, s->n_kv_head, s->head_dim, s->d_ff);
}

static void add_role(struct factory *f, ts_role role, uint32_t layer, bool bias, ts_dtype type, uint64_t cols,
                     uint64_t rows, bool norm) {
    char name[64];
    add(f, ts_gguf_tensor_name(name, sizeof name, role, layer, bias), type, cols, rows, norm);
}

/* The matrices, and before some of them the vectors: each tensor's seed is its number. */
static void add_layer(struct factory *f, const ts_shape *s, const ts_mix *mix, uint32_t i) {
    static const struct {
        ts_role before, role;
        bool bias;
        const char *arch; /* NULL: all */
    } vec[] = {
        {TS_ROLE_Q, TS_ROLE_ATTN_NORM, false, NULL},   {TS_ROLE_O, TS_ROLE_Q, true, "qwen2"},
        {TS_ROLE_O, TS_ROLE_K, true, "qwen2"},         {TS_ROLE_O, TS_ROLE_V, true, "qwen2"},
        {TS_ROLE_O, TS_ROLE_Q_NORM, false, "qwen3"},   {TS_ROLE_O, TS_ROLE_K_NORM, false, "qwen3"},
        {TS_ROLE_GATE, TS_ROLE_FFN_NORM, false, NULL},
    };
    const ts_widths w = ts_shape_widths(s);
    const bool more = ts_shape_more_bits(i, s->n_layer);
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        for (size_t k = 0; k < sizeof vec / sizeof *vec; k++)
            if (vec[k].before == r && (!vec[k].arch || !strcmp(vec[k].arch, s->arch)))
                add_role(f, vec[k].role, i, vec[k].bias, TS_F32, ts_role_out(vec[k].role, &w), 0, !vec[k].bias);
        add_role(f, r, i, false, ts_mix_type(mix, r, more), ts_role_in(r, &w), ts_role_out(r, &w), false);
    }
}

static ts_status fill(struct factory *f, const ts_shape *s, const ts_mix *mix, ts_err *err) {
    ts_gguf_writer *w = f->w;
    char key[64];
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", s->arch, name), key)
    ts_gguf_put_str(w, "general.architecture", s->arch);
    snprintf(key, sizeof key, "%s, random weights", s->name);
    ts_gguf_put_str(w, "general.name", key);
    ts_gguf_put_u32(w, KEY("block_count"), s->n_layer);
    ts_gguf_put_u32(w, KEY("context_length"), s->n_ctx);
    ts_gguf_put_u32(w, KEY("embedding_length"), s->d_model);
    ts_gguf_put_u32(w, KEY("feed_forward_length"), s->d_ff);
    ts_gguf_put_u32(w, KEY("attention.head_count"), s->n_head);
    ts_gguf_put_u32(w, KEY("attention.head_count_kv"), s->n_kv_head);
    ts_gguf_put_u32(w, KEY("attention.key_length"), s->head_dim);
    ts_gguf_put_u32(w, KEY("attention.value_length"), s->head_dim);
    ts_gguf_put_f32(w, KEY("attention.layer_norm_rms_epsilon"), s->norm_eps);
    ts_gguf_put_f32(w, KEY("rope.freq_base"), s->rope_base);
    ts_gguf_put_u32(w, KEY("rope.dimension_count"), s->n_rot ? s->n_rot : s->head_dim);
    if (s->window) ts_gguf_put_u32(w, KEY("attention.sliding_window"), s->window);
    if (s->linear > 0 || s->yarn > 0) {
        ts_gguf_put_str(w, KEY("rope.scaling.type"), s->yarn > 0 ? "yarn" : "linear");
        ts_gguf_put_f32(w, KEY("rope.scaling.factor"), s->yarn > 0 ? s->yarn : s->linear);
    }
    if (s->rope_ctx_orig) ts_gguf_put_u32(w, KEY("rope.scaling.original_context_length"), s->rope_ctx_orig);
    ts_gguf_put_u32(w, KEY("vocab_size"), s->n_vocab);
#undef KEY
    TS_TRY(put_vocabulary(w, s->n_vocab, err));
    add_role(f, TS_ROLE_EMBED, 0, false, s->tied ? mix->head : mix->base, s->d_model, s->n_vocab, false);
    add_role(f, TS_ROLE_OUT_NORM, 0, false, TS_F32, s->d_model, 0, true);
    if (!s->tied) add_role(f, TS_ROLE_HEAD, 0, false, mix->head, s->d_model, s->n_vocab, false);
    const uint64_t half = s->head_dim / 2;
    if (s->rope_factor > 1)
        ts_gguf_add_tensor_fn(w, ts_gguf_tensor_name(key, sizeof key, TS_ROLE_ROPE_FACTORS, 0, false), TS_F32, 1,
                              &half, rope_rows, (void *)(uintptr_t)s);
    for (uint32_t i = 0; i < s->n_layer; i++) add_layer(f, s, mix, i);
    return TS_OK;
}

ts_status ts_shape_make(const ts_shape *shape, const ts_mix *mix, uint64_t seed, ts_buf *out, ts_err *err) {
    return ts_shape_make_watched(shape, mix, seed, NULL, NULL, out, err);
}

ts_status ts_shape_make_watched(const ts_shape *shape, const ts_mix *mix, uint64_t seed,
                                bool (*step)(void *ud, uint64_t done, uint64_t all), void *ud, ts_buf *out,
                                ts_err *err) {
    size_t most = 3 + 14 * (size_t)shape->n_layer;
    struct factory f = {.seed = seed * 1000003,
                        .watch = {.step = step, .ud = ud},
                        .maker = ts_calloc(most, sizeof *f.maker)};
    if (!f.maker) return ts_fail_nomem(err, "a random model", most * sizeof *f.maker);
    ts_status s = ts_gguf_writer_new(&f.w, 64, err);
    if (s == TS_OK) s = fill(&f, shape, mix, err);
    if (s == TS_OK) s = ts_gguf_save_mem(f.w, out, err);
    ts_gguf_writer_free(f.w);
    ts_free(f.maker);
    return s;
}
