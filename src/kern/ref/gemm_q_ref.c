/* gemm_q_ref.c - the reference of the quantised linear layer: one output element at a time, integers as integers. */
#include "format/quant.h"
#include "kern/fmath.h"
#include "kern/kern.h"

#include <math.h>

/* One row's share of a packed block. */
struct lane {
    const ts_wtype *type;
    const uint8_t *head, *main;
    uint32_t row; /* in the group */
};

static uint8_t byte_of(const struct lane *p, uint32_t word, uint32_t i) {
    return p->main[64 * word + 4 * p->row + i];
}

/* The d of the row, and its second 16-bit field. */
static float scale_of(const struct lane *p) {
    if (p->type->scale == TS_SCALE_E8) return ts_mxfp4_scale(p->head[p->row]);
    return ts_f16_to_f32((uint16_t)(p->head[2 * p->row] | p->head[2 * p->row + 1] << 8));
}
static uint16_t second(const struct lane *p) {
    const uint8_t *h = p->head + (p->type->scale == TS_SCALE_E8 ? 16 : 32) + 2 * p->row;
    return (uint16_t)(h[0] | h[1] << 8);
}

/* The zero point, where there is one. */
static int zero_of(const struct lane *p) {
    return p->type->second == TS_SECOND_ZERO ? p->head[32 + p->row] & 15 : 0;
}

/* The integer that stands for element k of the block, before any scale: the value is d * this (+ or - a minimum). */
static int weight(const struct lane *p, uint32_t k) {
    const ts_wtype *t = p->type;
    int v = 0;
    for (int i = 0; i < 3; i++) {
        const ts_wfield f = ts_wtype_field(t, (int)k / 32, (int)k % 32 / 4, i);
        if (!f.mask) break;
        const int byte = byte_of(p, f.word, k % 4);
        v |= (f.shift >= 0 ? byte >> f.shift : byte << -f.shift) & f.mask;
    }
    return t->values ? t->values[v] : v - (t->offset ? 1 << t->offset : 0) - zero_of(p);
}

/* Scale and minimum of sub-block j of a 256-element block. */
static void sub_scale(const struct lane *p, uint32_t j, int *scale, int *min) {
    uint8_t raw[12];
    *min = 0;
    switch (p->type->sub) {
    case TS_SUB_NIBBLES:
        *scale = byte_of(p, j / 4, j % 4) & 15;
        *min = byte_of(p, j / 4, j % 4) >> 4;
        break;
    case TS_SUB_Q3: {
        for (uint32_t i = 0; i < 12; i++) raw[i] = byte_of(p, i / 4, i % 4);
        int8_t s[16];
        ts_q3k_scales(raw, s);
        *scale = s[j];
        break;
    }
    case TS_SUB_K4: {
        for (uint32_t i = 0; i < 12; i++) raw[i] = byte_of(p, i / 4, i % 4);
        uint8_t s, m;
        ts_q4k_scale_min(raw, (int)j, &s, &m);
        *scale = s;
        *min = m;
        break;
    }
    case TS_SUB_INT8: *scale = (int8_t)byte_of(p, j / 4, j % 4); break;
    case TS_SUB_IQ4: {
        int low = byte_of(p, 0, j / 2) >> 4 * (j % 2) & 15, high = second(p) >> 2 * j & 3;
        *scale = (low | high << 4) - 32;
        break;
    }
    default: *scale = 1; break;
    }
}

static float dot_row(const ts_qmat *w, uint32_t row, const ts_qact *x, uint32_t first, uint32_t width, uint32_t col) {
    const ts_wtype *t = ts_wtype_of(w->type);
    const size_t head_bytes = (size_t)ts_wtype_head_bytes(t), main_bytes = 64 * (size_t)ts_wtype_main_words(t);
    const uint8_t *group = w->data + (row / TS_GROUP_ROWS) * w->group_bytes;
    const bool small = t->block == 32;
    const int8_t *q = (small ? x->q32 : x->q256) + (size_t)first * w->n_cols;
    const float *dx = (small ? x->d32 : x->d256) + (size_t)first * w->n_block;
    const uint32_t sub = small ? 32 : t->sub_block;
    float acc = 0, part = 0;
    for (uint32_t b = 0; b < w->n_block; b++) {
        struct lane p = {.type = t,
                         .head = group + b / (uint32_t)ts_wtype_share(t) * head_bytes,
                         .main = group + w->head_stride + b * main_bytes,
                         .row = row % TS_GROUP_ROWS};
        float dxb = dx[(size_t)b * width + col];
        int32_t isum = 0, msum = 0;
        for (uint32_t j = 0; j < t->block / sub; j++) {
            int32_t dot = 0, sum = 0, by = 1, min = 1;
            for (uint32_t k = j * sub; k < (j + 1) * sub; k++) {
                uint32_t at = b * t->block + k;
                int v = q[((size_t)(at / 4) * width + col) * 4 + at % 4];
                dot += weight(&p, k) * v;
                sum += v;
            }
            if (!small) sub_scale(&p, j, &by, &min);
            isum += by * dot;
            msum += min * sum;
        }
        part = fmaf((float)isum * dxb, scale_of(&p), part);
        if (t->second == TS_SECOND_PLUS) part = fmaf((float)msum * dxb, ts_f16_to_f32(second(&p)), part);
        if (t->second == TS_SECOND_MINUS) part = fmaf(-((float)msum * dxb), ts_f16_to_f32(second(&p)), part);
        if ((b + 1) * t->block % TS_SLICE_K == 0 || b + 1 == w->n_block) {
            acc = acc + part;
            part = 0;
        }
    }
    return acc;
}

static TS_GEMM_Q(gemm_q) {
    for (uint32_t t = t0; t < t1; t++) {
        uint32_t first, width;
        ts_tok_block(n_tok, t, &first, &width);
        uint32_t end = g1 * TS_GROUP_ROWS < w->n_rows ? g1 * TS_GROUP_ROWS : w->n_rows;
        for (uint32_t row = g0 * TS_GROUP_ROWS; row < end; row++)
            y[t * ld_y + row] = dot_row(w, row, x, first, width, t - first);
    }
}

/* The integers of one block, and the sums of every 16 of them. Returns the scale. */
static float quant_block(const float *x, uint32_t n, int8_t *q, int32_t *sum16) {
    float amax = 0;
    for (uint32_t i = 0; i < n; i++)
        if (fabsf(x[i]) > amax) amax = fabsf(x[i]); /* a NaN compares false */
    amax = ts_z(amax);
    float inv = amax > 0 ? 127.0f / amax : 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        float v = x[i] * inv;
        if (isinf(x[i])) v = x[i] > 0 ? 127.0f : -127.0f;
        if (isnan(v)) v = 0;
        q[i] = (int8_t)rintf(v);
        sum16[i / 16] = (i % 16 ? sum16[i / 16] : 0) + q[i];
    }
    return amax * TS_INV_127;
}

static TS_QUANT(quant32) {
    const ts_tok_place at = ts_tok_place_of(n_tok, t);
    for (uint32_t b = 0; b < K / 32; b++) {
        int8_t q[32];
        int32_t sum16[2];
        float d = quant_block(x + 32 * (size_t)b, 32, q, sum16);
        ts_qact_put32(out, K, at, b, q, sum16, d);
    }
}

static TS_QUANT(quant256) {
    const ts_tok_place at = ts_tok_place_of(n_tok, t);
    for (uint32_t b = 0; b < K / 256; b++) {
        int8_t q[256];
        int32_t sum16[16];
        float d = quant_block(x + 256 * (size_t)b, 256, q, sum16);
        ts_qact_put256(out, K, at, b, q, sum16, d);
    }
}

void ts_kern_init_ref_q(ts_kern *k) {
    for (int type = 0; type < TS_DTYPES; type++)
        if (ts_act_block((ts_dtype)type)) k->gemm_q[type] = gemm_q;
    k->quant32 = quant32;
    k->quant256 = quant256;
}
