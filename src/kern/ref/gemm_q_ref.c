/* gemm_q_ref.c - the reference of the quantised linear layer: one output element at a time, integers as integers. */
#include "format/quant.h"
#include "kern/kern.h"

#include <math.h>

/* One row's share of a packed block. */
struct lane {
    ts_dtype type;
    const uint8_t *head, *main;
    uint32_t row; /* in the group */
};

static uint8_t byte_of(const struct lane *p, uint32_t word, uint32_t i) {
    return p->main[64 * word + 4 * p->row + i];
}

/* Byte i of the qs (or ql) field of the file's block. */
static uint8_t qs(const struct lane *p, uint32_t i) {
    return byte_of(p, i / 4, i % 4);
}

static float head_f16(const struct lane *p, int field) {
    const uint8_t *h = p->head + 32 * field + 2 * p->row;
    return ts_f16_to_f32((uint16_t)(h[0] | h[1] << 8));
}

/* The integer that stands for element k of the block, before any scale: the value is d * this (+ or - a minimum). */
static int weight(const struct lane *p, uint32_t k) {
    uint32_t l = k % 32, c = k / 32; /* position in, and number of, the 32-element chunk */
    switch (p->type) {
    case TS_Q4_0: return (k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4) - 8;
    case TS_Q4_1: return k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4;
    case TS_Q5_0:
        return ((k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4) | (byte_of(p, 4, k % 4) >> (k / 4) & 1) << 4) - 16;
    case TS_Q5_1: return (k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4) | (byte_of(p, 4, k % 4) >> (k / 4) & 1) << 4;
    case TS_Q8_0: return qs(p, k) - 128;
    case TS_IQ4_NL: return ts_iq4_nl_values[k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4];
    case TS_MXFP4: return ts_mxfp4_values[k < 16 ? qs(p, k) & 15 : qs(p, k - 16) >> 4];
    case TS_IQ4_XS: {
        uint8_t q = qs(p, 16 * c + l % 16);
        return ts_iq4_nl_values[l < 16 ? q & 15 : q >> 4];
    }
    case TS_Q2_K: return qs(p, 32 * (c / 4) + l) >> 2 * (c % 4) & 3;
    case TS_Q3_K: {
        int high = byte_of(p, 16 + l / 4, l % 4) >> c & 1;
        return (qs(p, 32 * (c / 4) + l) >> 2 * (c % 4) & 3) + 4 * high - 4;
    }
    case TS_Q4_K: return qs(p, 32 * (c / 2) + l) >> 4 * (c % 2) & 15;
    case TS_Q5_K: {
        int high = byte_of(p, 32 + l / 4, l % 4) >> c & 1;
        return (qs(p, 32 * (c / 2) + l) >> 4 * (c % 2) & 15) + 16 * high;
    }
    case TS_Q6_K: {
        uint32_t half = c / 4, j = c % 4;
        int low = qs(p, 64 * half + 32 * (j % 2) + l) >> 4 * (j / 2) & 15;
        int high = byte_of(p, 32 + 8 * half + l / 4, l % 4) >> 2 * j & 3;
        return low + 16 * high - 32;
    }
    default: return 0;
    }
}

/* Scale and minimum of the 16- or 32-element sub-block j of a 256-element block. */
static void sub_scale(const struct lane *p, uint32_t j, int *scale, int *min) {
    uint8_t raw[16];
    *min = 0;
    switch (p->type) {
    case TS_Q2_K:
        raw[0] = byte_of(p, 16 + j / 4, j % 4);
        *scale = raw[0] & 15;
        *min = raw[0] >> 4;
        break;
    case TS_Q3_K: {
        for (uint32_t i = 0; i < 12; i++) raw[i] = byte_of(p, 24 + i / 4, i % 4);
        int8_t s[16];
        ts_q3k_scales(raw, s);
        *scale = s[j];
        break;
    }
    case TS_Q4_K:
    case TS_Q5_K: {
        uint32_t first = p->type == TS_Q4_K ? 32 : 40;
        for (uint32_t i = 0; i < 12; i++) raw[i] = byte_of(p, first + i / 4, i % 4);
        uint8_t s, m;
        ts_q4k_scale_min(raw, (int)j, &s, &m);
        *scale = s;
        *min = m;
        break;
    }
    case TS_Q6_K: *scale = (int8_t)byte_of(p, 48 + j / 4, j % 4); break;
    case TS_IQ4_XS: {
        const uint8_t *h = p->head + 32 + 2 * p->row;
        int low = byte_of(p, 32, j / 2) >> 4 * (j % 2) & 15, high = (h[0] | h[1] << 8) >> 2 * j & 3;
        *scale = (low | high << 4) - 32;
        break;
    }
    default: *scale = 1; break;
    }
}

static uint32_t sub_block(ts_dtype type) {
    return type == TS_Q2_K || type == TS_Q3_K || type == TS_Q6_K ? 16 : 32;
}

static float dot_row(const ts_qmat *w, uint32_t row, const ts_qact *x, uint32_t first, uint32_t width, uint32_t col) {
    ts_pack_info info = ts_pack_info_of(w->type);
    const uint8_t *group = w->data + (row / TS_GROUP_ROWS) * w->group_bytes;
    const bool small = info.block == 32;
    const int8_t *q = (small ? x->q32 : x->q256) + (size_t)first * w->n_cols;
    const float *dx = (small ? x->d32 : x->d256) + (size_t)first * w->n_block;
    float acc = 0;
    for (uint32_t b = 0; b < w->n_block; b++) {
        struct lane p = {.type = w->type,
                         .head = group + (size_t)b * info.head_bytes,
                         .main = group + w->head_stride + (size_t)b * info.main_words * 64,
                         .row = row % TS_GROUP_ROWS};
        float d = w->type == TS_MXFP4 ? ts_mxfp4_scale(p.head[p.row]) : head_f16(&p, 0);
        float dxb = dx[(size_t)b * width + col];
        int32_t isum = 0, msum = 0, sub = small ? 32 : (int32_t)sub_block(w->type);
        for (int32_t j = 0; j < info.block / sub; j++) {
            int32_t dot = 0, sum = 0, scale = 1, min = 0;
            for (int32_t i = 0; i < sub; i++) {
                uint32_t k = (uint32_t)(j * sub + i), at = b * info.block + k;
                int v = q[((size_t)(at / 4) * width + col) * 4 + at % 4];
                dot += weight(&p, k) * v;
                sum += v;
            }
            if (!small) sub_scale(&p, (uint32_t)j, &scale, &min);
            isum += scale * dot;
            msum += (small ? 1 : min) * sum;
        }
        acc = fmaf((float)isum * dxb, d, acc);
        if (w->type == TS_Q4_1 || w->type == TS_Q5_1) acc = fmaf((float)msum * dxb, head_f16(&p, 1), acc);
        if (w->type == TS_Q2_K || w->type == TS_Q4_K || w->type == TS_Q5_K)
            acc = fmaf(-((float)msum * dxb), head_f16(&p, 1), acc);
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

/* The activation integers and scale of one block; returns through q. */
static float quant_block(const float *x, uint32_t n, int8_t *q) {
    float amax = 0;
    for (uint32_t i = 0; i < n; i++)
        if (fabsf(x[i]) > amax) amax = fabsf(x[i]); /* a NaN compares false */
    float inv = amax > 0 ? 127.0f / amax : 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        float v = x[i] * inv;
        if (isinf(x[i])) v = x[i] > 0 ? 127.0f : -127.0f;
        if (isnan(v)) v = 0; /* x is NaN, or 0 times the inverse of a denormal */
        if (v > 127) v = 127;
        if (v < -127) v = -127;
        q[i] = (int8_t)rintf(v);
    }
    return amax / 127.0f;
}

static TS_QUANT(quant32) {
    uint32_t first, width, n_block = K / 32;
    ts_tok_block(n_tok, t, &first, &width);
    uint32_t col = t - first;
    for (uint32_t b = 0; b < n_block; b++) {
        int8_t q[32];
        int32_t sum = 0;
        float d = quant_block(x + 32 * (size_t)b, 32, q);
        for (uint32_t i = 0; i < 32; i++) {
            out->q32[(size_t)first * K + ((size_t)(8 * b + i / 4) * width + col) * 4 + i % 4] = q[i];
            sum += q[i];
        }
        size_t at = (size_t)first * n_block + (size_t)b * width + col;
        out->d32[at] = d;
        out->s32[at] = (float)sum * d;
        out->off8[at] = -8 * sum;
        out->off16[at] = -16 * sum;
        out->off128[at] = -128 * sum;
    }
}

static TS_QUANT(quant256) {
    uint32_t first, width, n_block = K / 256;
    ts_tok_block(n_tok, t, &first, &width);
    uint32_t col = t - first;
    for (uint32_t b = 0; b < n_block; b++) {
        int8_t q[256];
        int sum16[16] = {0}, sum32[8] = {0};
        float d = quant_block(x + 256 * (size_t)b, 256, q);
        for (uint32_t i = 0; i < 256; i++) {
            out->q256[(size_t)first * K + ((size_t)(64 * b + i / 4) * width + col) * 4 + i % 4] = q[i];
            sum16[i / 16] += q[i];
            sum32[i / 32] += q[i];
        }
        out->d256[(size_t)first * n_block + (size_t)b * width + col] = d;
        uint32_t *sums = out->sums256 + ((size_t)first * n_block + (size_t)b * width) * 12 + col;
        for (int w = 0; w < 12; w++) { /* pairs (0,2) and (1,3) of every four sums */
            const int *s = w < 4 ? sum32 + w / 2 * 4 + w % 2 : sum16 + (w - 4) / 2 * 4 + w % 2;
            sums[(size_t)w * width] = (uint32_t)(uint16_t)s[0] | (uint32_t)(uint16_t)s[2] << 16;
        }
    }
}

void ts_kern_init_ref_q(ts_kern *k) {
    for (int type = 0; type < TS_DTYPES; type++)
        if (ts_pack_info_of((ts_dtype)type).block) k->gemm_q[type] = gemm_q;
    k->quant32 = quant32;
    k->quant256 = quant256;
}
