/* Floats to blocks. Two families:
 *
 * - F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and MXFP4 follow the reference method of the format step by step,
 *   in float and in its order, and give its bytes. Two differences, where the reference's result is of no use: a scale
 *   that overflows binary16 is held at 65504 instead of infinity, and MXFP4 takes the exponent of the largest value
 *   exactly where the reference rounds a logarithm.
 * - Q2_K to Q6_K and IQ4_XS: the format does not say how to find scales, so they are searched for (search_tmpl.h). With
 *   weights this is so for Q4_0, Q4_1, Q5_0, Q5_1 and IQ4_NL, too.
 *
 * A NaN or an infinity gives some value of its block's grid; it cannot be represented and never crashes. */
#include "format/search.h"

#include <math.h>
#include <string.h>

/* Towards zero, within [lo, hi]; NaN gives lo. */
static int to_int(float v, int lo, int hi) { return v > (float)lo ? v < (float)hi ? (int)v : hi : lo; }

static float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

/* A scale as binary16: finite. */
static uint16_t to_f16(float d) {
    if (d > 65504.0f) d = 65504.0f;
    if (d < -65504.0f) d = -65504.0f;
    return ts_f32_to_f16(d == d ? d : 0.0f);
}

/* The element of largest magnitude, with its sign. */
static float extreme(const float *x, int n) {
    float amax = 0, max = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            max = x[i];
        }
    return max;
}

static void range(const float *x, int n, float *min, float *max) {
    *min = *max = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < *min) *min = x[i];
        if (x[i] > *max) *max = x[i];
    }
}

/* ---- by the reference method ------------------------------------------------------------------------------------- */

static void quant_f16(const float *x, uint8_t *p) {
    uint16_t h = ts_f32_to_f16(*x);
    memcpy(p, &h, sizeof h);
}

static void quant_bf16(const float *x, uint8_t *p) {
    uint16_t h = ts_f32_to_bf16(*x);
    memcpy(p, &h, sizeof h);
}

static void quant_q8_0(const float *x, uint8_t *p) {
    ts_block_q8_0 b;
    float d = fabsf(extreme(x, 32)) / 127, id = inverse(d);
    b.d = to_f16(d);
    for (int i = 0; i < 32; i++) b.qs[i] = (int8_t)to_int(roundf(x[i] * id), -127, 127);
    memcpy(p, &b, sizeof b);
}

static void quant_q4_0(const float *x, uint8_t *p) {
    ts_block_q4_0 b;
    float d = extreme(x, 32) / -8, id = inverse(d); /* the extreme becomes -8, which has no positive twin */
    b.d = to_f16(d);
    for (int j = 0; j < 16; j++)
        b.qs[j] = (uint8_t)(to_int(x[j] * id + 8.5f, 0, 15) | to_int(x[j + 16] * id + 8.5f, 0, 15) << 4);
    memcpy(p, &b, sizeof b);
}

static void quant_q4_1(const float *x, uint8_t *p) {
    ts_block_q4_1 b;
    float min, max;
    range(x, 32, &min, &max);
    float d = (max - min) / 15, id = inverse(d);
    b.d = to_f16(d);
    b.m = to_f16(min);
    for (int j = 0; j < 16; j++) {
        int low = to_int((x[j] - min) * id + 0.5f, 0, 15), high = to_int((x[j + 16] - min) * id + 0.5f, 0, 15);
        b.qs[j] = (uint8_t)(low | high << 4);
    }
    memcpy(p, &b, sizeof b);
}

/* 32 numbers of 5 bits: low nibbles as in the 4-bit types, fifth bits in the 32-bit number qh. */
static void pack_5_bits(const uint8_t q[32], uint8_t qh[4], uint8_t qs[16]) {
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)(q[i] >> 4) << i;
    memcpy(qh, &high, 4);
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((q[j] & 15) | q[j + 16] << 4);
}

static void quant_q5_0(const float *x, uint8_t *p) {
    ts_block_q5_0 b;
    uint8_t q[32];
    float d = extreme(x, 32) / -16, id = inverse(d);
    b.d = to_f16(d);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)to_int(x[i] * id + 16.5f, 0, 31);
    pack_5_bits(q, b.qh, b.qs);
    memcpy(p, &b, sizeof b);
}

static void quant_q5_1(const float *x, uint8_t *p) {
    ts_block_q5_1 b;
    uint8_t q[32];
    float min, max;
    range(x, 32, &min, &max);
    float d = (max - min) / 31, id = inverse(d);
    b.d = to_f16(d);
    b.m = to_f16(min);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)to_int((x[i] - min) * id + 0.5f, 0, 31);
    pack_5_bits(q, b.qh, b.qs);
    memcpy(p, &b, sizeof b);
}

static void quant_mxfp4(const float *x, uint8_t *p) {
    ts_block_mxfp4 b;
    float amax = fabsf(extreme(x, 32));
    int e = 0; /* the largest value lies in [2^log, 2^(log+1)); the largest FP4 value is 6 = 1.5 * 2^2 */
    if (amax > 0) {
        int log = isfinite(amax) ? ilogbf(amax) : 128;
        e = log + 125 < 0 ? 0 : log + 125;
    }
    b.e = (uint8_t)e;
    float d = ts_mxfp4_scale(b.e);
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        float best = INFINITY;
        q[i] = 0;
        for (uint8_t k = 0; k < 16; k++) { /* of equal distances the first: 0 before -0 */
            float distance = fabsf((float)ts_mxfp4_values[k] * d - x[i]);
            if (distance < best) {
                best = distance;
                q[i] = k;
            }
        }
    }
    for (int j = 0; j < 16; j++) b.qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    memcpy(p, &b, sizeof b);
}

/* Index of the nearest of the 16 IQ4 levels; in the middle the upper one. */
static uint8_t nearest_iq4(float v) {
    const int8_t *level = ts_iq4_nl_values;
    if (!(v > (float)level[0])) return 0;
    if (v >= (float)level[15]) return 15;
    uint8_t up = 1;
    while (v >= (float)level[up]) up++;
    return v - (float)level[up - 1] < (float)level[up] - v ? up - 1 : up;
}

/* The scale of n values on the IQ4 levels: from 16 starting steps the one whose least squares solution, weighted by the
 * square of the value, is best. 0 for (nearly) all zeros. */
static float fit_iq4(const float *x, int n) {
    enum { TRIES = 7 };
    float max = extreme(x, n);
    if (!(fabsf(max) >= 1e-15f)) return 0;
    float scale = 0, best = 0;
    for (int t = -TRIES - 1; t <= TRIES; t++) {
        /* the first try maps the extreme to -(-127), the others to levels around -127 */
        float id = t < -TRIES ? 1 / (-max / (float)ts_iq4_nl_values[0]) : ((float)t + (float)ts_iq4_nl_values[0]) / max;
        float sum_qx = 0, sum_q2 = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)ts_iq4_nl_values[nearest_iq4(id * x[i])], w = x[i] * x[i];
            sum_qx += w * q * x[i];
            sum_q2 += w * q * q;
        }
        if (sum_q2 > 0 && (t < -TRIES || sum_qx * sum_qx > best * sum_q2)) {
            scale = sum_qx / sum_q2;
            best = scale * sum_qx;
        }
    }
    return scale;
}

static void quant_iq4_nl(const float *x, uint8_t *p) {
    ts_block_iq4_nl b;
    float d = fit_iq4(x, 32), id = inverse(d);
    b.d = to_f16(d);
    for (int j = 0; j < 16; j++) b.qs[j] = (uint8_t)(nearest_iq4(id * x[j]) | nearest_iq4(id * x[j + 16]) << 4);
    memcpy(p, &b, sizeof b);
}

static void (*const quant_block[TS_DTYPES])(const float *x, uint8_t *p) = {
    [TS_F16] = quant_f16,   [TS_BF16] = quant_bf16, [TS_Q4_0] = quant_q4_0,     [TS_Q4_1] = quant_q4_1,
    [TS_Q5_0] = quant_q5_0, [TS_Q5_1] = quant_q5_1, [TS_Q8_0] = quant_q8_0,
    [TS_IQ4_NL] = quant_iq4_nl, [TS_MXFP4] = quant_mxfp4,
};

void ts_quantize_with(ts_search_fn *search, ts_dtype type, const float *in, const float *weights, size_t n_per_row,
                      void *blocks, size_t n) {
    const ts_dtype_info *t = ts_dtype_get(type);
    assert(t->block && n % t->block == 0);
    assert(!weights || (n_per_row && n_per_row % t->block == 0));
    if (type == TS_F32) {
        if (n) memcpy(blocks, in, n * sizeof *in);
    } else if (ts_search_takes(type, weights)) {
        search(type, in, weights, n_per_row, blocks, n);
    } else if (type == TS_F16 || type == TS_BF16) { /* not by a call for each element */
        uint8_t *p = blocks;
        for (size_t i = 0; i < n && type == TS_F16; i++) quant_f16(in + i, p + 2 * i);
        for (size_t i = 0; i < n && type == TS_BF16; i++) quant_bf16(in + i, p + 2 * i);
    } else {
        uint8_t *p = blocks;
        for (size_t i = 0; i < n; i += t->block, p += t->block_bytes) quant_block[type](in + i, p);
    }
}

void ts_quantize(ts_dtype type, const float *in, void *blocks, size_t n) {
    ts_quantize_with(ts_search_plain, type, in, NULL, 0, blocks, n);
}

void ts_quantize_weighted(ts_dtype type, const float *in, const float *weights, size_t n_per_row, void *blocks,
                          size_t n) {
    ts_quantize_with(ts_search_plain, type, in, weights, n_per_row, blocks, n);
}
