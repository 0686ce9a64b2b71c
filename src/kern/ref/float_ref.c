/* float_ref.c - the reference of everything in floating point. The 16 lanes of docs/numerics.md are an array here. */
#include "format/quant.h"
#include "kern/fmath.h"
#include "kern/kern.h"

#include <string.h>

enum { LANES = 16, NORM_LANES = 256 };

static float tree(float *lane, int n) {
    for (int half = n / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] = lane[l] + lane[l + half];
    return lane[0];
}

/* lanes over i of fma(a(i), b[i], lane), where a(i) comes from a float row of any type. */
static float dot(ts_dtype type, const void *a, const float *b, uint32_t n) {
    float lane[LANES] = {0};
    for (uint32_t i = 0; i < (n + LANES - 1) / LANES * LANES; i++) {
        float x = 0, y = 0; /* the tail is padded with +0 terms */
        if (i < n) {
            y = b[i];
            switch (type) {
            case TS_F16: x = ts_f16_to_f32(((const uint16_t *)a)[i]); break;
            case TS_BF16: x = ts_bf16_to_f32(((const uint16_t *)a)[i]); break;
            default: memcpy(&x, (const float *)a + i, 4); break;
            }
        }
        lane[i % LANES] = fmaf(x, y, lane[i % LANES]);
    }
    return tree(lane, LANES);
}

static void gemm_f(ts_dtype type, const void *w, size_t row_bytes, uint32_t K, const float *x, size_t ld_x,
                   uint32_t n_tok, uint32_t r0, uint32_t r1, float *y, size_t ld_y) {
    for (uint32_t t = 0; t < n_tok; t++)
        for (uint32_t r = r0; r < r1; r++)
            y[t * ld_y + r] = dot(type, (const char *)w + r * row_bytes, x + t * ld_x, K);
}

static TS_GEMM_F(gemm_f32) { gemm_f(TS_F32, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }
static TS_GEMM_F(gemm_f16) { gemm_f(TS_F16, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }
static TS_GEMM_F(gemm_bf16) { gemm_f(TS_BF16, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }

static TS_RMSNORM(rmsnorm) {
    float lane[NORM_LANES] = {0};
    for (uint32_t i = 0; i < n; i++) lane[i % NORM_LANES] = fmaf(ts_z(x[i]), ts_z(x[i]), lane[i % NORM_LANES]);
    float s = 1.0f / sqrtf(tree(lane, NORM_LANES) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) y[i] = ts_z(ts_z(x[i]) * s * w[i]);
}

static TS_SILU_MUL(silu_mul) {
    for (uint32_t i = 0; i < n; i++) y[i] = ts_silu_mulf(gate[i], up[i]);
}

static TS_ADD(add) {
    for (uint32_t i = 0; i < n; i++) y[i] = y[i] + x[i];
}

static TS_ROPE(rope) {
    uint32_t half = n_rot / 2, a = halves ? 1 : 2, b = halves ? half : 1;
    const float *c = cs, *s = cs + half;
    for (uint32_t i = 0; i < half; i++) {
        float x = ts_z(in[a * i]), y = ts_z(in[a * i + b]), ys = y * s[i], yc = y * c[i];
        out[a * i] = ts_z(fmaf(x, c[i], -ys));
        out[a * i + b] = ts_z(fmaf(x, s[i], yc));
    }
    for (uint32_t i = n_rot; i < hd; i++) out[i] = ts_z(in[i]);
}

static TS_F16_ROW(f16_row) {
    for (uint32_t i = 0; i < n; i++) out[i] = ts_f16_to_f32(in[i]);
}

static TS_Q8_ROWS(q8_rows) {
    const uint32_t n_block = (n + 31) / 32;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < n; i++)
            out[(size_t)r * n + i] = (float)q[(size_t)r * n + i] * ts_f16_to_f32(d[(size_t)r * n_block + i / 32]);
}

static TS_TO_F16(to_f16) {
    for (uint32_t i = 0; i < n; i++) out[i] = ts_f32_to_f16(in[i]);
}

static TS_ATT_SCORES(att_scores) {
    (void)ahead;
    for (uint32_t i = 0; i < nq; i++)
        for (uint32_t p = 0; p < TS_KV_TILE; p++) {
            float lane[LANES] = {0};
            for (uint32_t d = 0; d < hd; d++) {
                const size_t at = (size_t)d * TS_KV_TILE + p;
                const float x = type == TS_F16 ? ts_f16_to_f32(((const uint16_t *)k)[at]) : ((const float *)k)[at];
                lane[d % LANES] = fmaf(q[i * ld_q + d], x, lane[d % LANES]);
            }
            s[i * TS_KV_TILE + p] = tree(lane, LANES);
        }
}

static TS_ATT_SOFTMAX(att_softmax) {
    for (uint32_t i = 0; i < nq; i++, s += TS_KV_TILE) {
        float max = -INFINITY, lane[LANES] = {0};
        for (uint32_t p = lo; p < hi; p++)
            if (s[p] * scale > max) max = s[p] * scale;
        for (uint32_t p = 0; p < TS_KV_TILE; p++) {
            s[p] = p >= lo && p < hi ? ts_z(ts_expf(s[p] * scale - max)) : 0.0f;
            lane[p % LANES] = lane[p % LANES] + s[p];
        }
        m[i] = max;
        l[i] = tree(lane, LANES);
    }
}

static TS_ATT_JOIN(att_join) {
    for (uint32_t i = 0; i < nq; i++) {
        float n = M[i] > m[i] ? M[i] : m[i], a = ts_z(ts_expf(M[i] - n)), b = ts_z(ts_expf(m[i] - n));
        L[i] = fmaf(L[i], a, l[i] * b);
        M[i] = n;
        m[i] = a;
        l[i] = b;
    }
}

static float value_at(ts_dtype type, const void *v, uint32_t hd, uint32_t p, uint32_t d) {
    const size_t at = (size_t)p * hd + d;
    if (type == TS_F16) return ts_f16_to_f32(((const uint16_t *)v)[at]);
    if (type == TS_F32) return ((const float *)v)[at];
    uint16_t scale;
    memcpy(&scale, (const char *)v + (size_t)TS_KV_TILE * hd + 2 * ((size_t)p * ((hd + 31) / 32) + d / 32), 2);
    return (float)((const int8_t *)v)[at] * ts_f16_to_f32(scale);
}

static TS_ATT_VALUES(att_values) {
    (void)ahead;
    for (uint32_t i = 0; i < nq; i++)
        for (uint32_t d = 0; d < hd; d++) {
            float acc = 0, *to = o + i * ld_o + d;
            for (uint32_t p = lo; p < hi; p++) acc = fmaf(s[i * TS_KV_TILE + p], value_at(type, v, hd, p, d), acc);
            acc = ts_z(acc);
            *to = a ? ts_z(fmaf(*to, a[i], acc * b[i])) : acc;
        }
}

static TS_ATT_MERGE(att_merge) {
    att_join(M, L, m, l, nq);
    for (uint32_t i = 0; i < nq; i++)
        for (uint32_t d = 0; d < hd; d++) O[i * ld_O + d] = ts_z(fmaf(O[i * ld_O + d], m[i], o[i * ld_o + d] * l[i]));
}

void ts_kern_init_ref(ts_kern *k) {
    ts_kern_init_ref_q(k);
    ts_kern_init_ref_combine(k);
    ts_kern_init_ref_probe(k);
    k->search = ts_search_plain;
    k->gemm_f[TS_F32] = gemm_f32;
    k->gemm_f[TS_F16] = gemm_f16;
    k->gemm_f[TS_BF16] = gemm_bf16;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->add = add;
    k->rope = rope;
    k->f16_row = f16_row;
    k->q8_rows = q8_rows;
    k->to_f16 = to_f16;
    k->att_scores = att_scores;
    k->att_softmax = att_softmax;
    k->att_join = att_join;
    k->att_values = att_values;
    k->att_merge = att_merge;
}
