#include "report/shape.h"
#include "base/rng.h"
#include "format/quant.h"
#include "format/wtype.h"
#include "kern/fmath.h"

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
    static const struct {
        const char *name;
        ts_mix mix;
    } mixes[] = {
        {"q4_0", {TS_Q4_0, TS_Q6_K, TS_Q4_0}},   {"q4_k", {TS_Q4_K, TS_Q6_K, TS_Q6_K}},
        {"q4_k_m", {TS_Q4_K, TS_Q6_K, TS_Q6_K}}, {"q5_k_m", {TS_Q5_K, TS_Q6_K, TS_Q6_K}},
        {"iq4_xs", {TS_IQ4_XS, TS_Q6_K, TS_IQ4_XS}},
    };
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (!strcasecmp(name, mixes[i].name)) {
            *out = mixes[i].mix;
            return TS_OK;
        }
    ts_dtype type;
    if (!ts_dtype_find(name, &type))
        return ts_fail(err, TS_E_INVAL,
                       "unknown type \"%s\"; for example q4_0, q4_k_m, q5_k_m, q6_k, q8_0, f16, bf16, f32", name);
    *out = (ts_mix){type, type, type};
    return TS_OK;
}

/* Blocks of random bits with scales that give the deviation; quantising real numbers would take minutes for an 8B. */
static void random_blocks(ts_random_tensor *m, uint8_t *p, size_t n_block) {
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
        ts_wtype_as_before(t, p, b, bytes);
    }
}

/* Llama 3.1's rule: low 1, high 4, original context 8192. */
static void rope_factors(const ts_shape *s, float *out) {
    for (uint32_t i = 0; i < s->head_dim / 2; i++) {
        double wave = 0x1.921fb54442d18p+2 * ts_pow_d((double)s->rope_base, 2.0 * i / s->head_dim), r = 1;
        if (wave > 8192) r = (double)s->rope_factor;
        else if (wave > 8192 / 4.0) {
            double smooth = (8192 / wave - 1) / 3;
            r = 1 / ((1 - smooth) / (double)s->rope_factor + smooth);
        }
        out[i] = (float)r;
    }
}

void ts_random_rows(ts_random_tensor *m, uint64_t n, void *out) {
    if (m->role == TS_ROLE_ROPE_FACTORS) {
        rope_factors(m->shape, out);
        return;
    }
    if (ts_dtype_get(m->type)->block > 1) { /* row by row: how many are asked for at a time must not show */
        size_t row_bytes = ts_dtype_row_bytes(m->type, m->cols);
        for (uint64_t r = 0; r < n; r++)
            random_blocks(m, (uint8_t *)out + r * row_bytes, (size_t)(m->cols / ts_dtype_get(m->type)->block));
        return;
    }
    for (size_t i = 0; i < n * m->cols; i++) {
        float v = (float)ts_rng_gauss(&m->rng) * m->deviation + (m->norm ? 1 : 0);
        if (m->type == TS_F32) ((float *)out)[i] = v;
        else ((uint16_t *)out)[i] = m->type == TS_F16 ? ts_f32_to_f16(v) : ts_f32_to_bf16(v);
    }
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

/* ---- the list of tensors ----------------------------------------------------------------------------------------- */

struct list {
    const ts_shape *shape;
    ts_random_tensor *out; /* NULL: only counted */
    size_t n;
    uint64_t seed; /* of the next tensor: each random one has its own */
};

static void add(struct list *l, ts_role role, uint32_t layer, bool bias, ts_dtype type, uint64_t cols, uint64_t rows,
                bool norm) {
    const ts_dtype_info *info = ts_dtype_get(type);
    if (cols % info->block) type = info->block == 256 && cols % 32 == 0 ? TS_Q8_0 : TS_F16;
    const float deviation = norm ? 0.05f : rows == 0 ? 0.2f : 0.7f / sqrtf((float)(cols ? cols : 1));
    if (l->out)
        l->out[l->n] = (ts_random_tensor){.role = role, .layer = layer, .bias = bias, .type = type, .cols = cols,
                                          .rows = rows, .shape = l->shape, .rng = ts_rng_seed(l->seed),
                                          .deviation = deviation, .norm = norm};
    l->n++;
    l->seed += role != TS_ROLE_ROPE_FACTORS;
}

/* The matrices, and before some of them the vectors: each tensor's seed is its number. */
static void add_layer(struct list *l, const ts_mix *mix, uint32_t i) {
    const ts_shape *s = l->shape;
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
                add(l, vec[k].role, i, vec[k].bias, TS_F32, ts_role_out(vec[k].role, &w), 0, !vec[k].bias);
        add(l, r, i, false, ts_mix_type(mix, r, more), ts_role_in(r, &w), ts_role_out(r, &w), false);
    }
}

size_t ts_shape_tensors(const ts_shape *s, const ts_mix *mix, uint64_t seed, ts_random_tensor *out) {
    struct list l = {.shape = s, .out = out, .seed = seed * 1000003};
    add(&l, TS_ROLE_EMBED, 0, false, s->tied ? mix->head : mix->base, s->d_model, s->n_vocab, false);
    add(&l, TS_ROLE_OUT_NORM, 0, false, TS_F32, s->d_model, 0, true);
    if (!s->tied) add(&l, TS_ROLE_HEAD, 0, false, mix->head, s->d_model, s->n_vocab, false);
    if (s->rope_factor > 1) add(&l, TS_ROLE_ROPE_FACTORS, 0, false, TS_F32, s->head_dim / 2, 0, false);
    for (uint32_t i = 0; i < s->n_layer; i++) add_layer(&l, mix, i);
    return l.n;
}
