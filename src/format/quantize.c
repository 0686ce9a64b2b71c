/* Floats to blocks. Two families:
 *
 * - F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and MXFP4 follow the reference method of the format step by step,
 *   in float and in its order, and give its bytes. Two differences, where the reference's result is of no use: a scale
 *   that overflows binary16 is held at 65504 instead of infinity, and MXFP4 takes the exponent of the largest value
 *   exactly where the reference rounds a logarithm.
 * - Q2_K to Q6_K and IQ4_XS: the format does not say how to find scales. Here each sub-block is fitted on its own by
 *   least squares from several starting steps; then the super-block's scale(s) and the sub-blocks' integer codes are
 *   refined in turn against the true squared error of what is stored. Unweighted: the measure is the error itself.
 *
 * A NaN or an infinity gives some value of its block's grid; it cannot be represented and never crashes. */
#include "format/quant.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Towards zero, within [lo, hi]; NaN gives lo. */
static int to_int(float v, int lo, int hi) { return v > (float)lo ? v < (float)hi ? (int)v : hi : lo; }

/* To the nearest, ties to even, within [lo, hi]; NaN gives lo. 1.5 * 2^23 has units of 1, so the sum rounds. */
static int to_nearest(float v, int lo, int hi) {
    if (!(v > (float)lo)) return lo;
    if (v >= (float)hi) return hi;
    return (int)((v + 0x1.8p23f) - 0x1.8p23f);
}

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

/* ---- by search: a super-block of 256 ----------------------------------------------------------------------------- */

/* A positive scale for the super-block: as to_f16, and not rounded down to zero, because integer codes multiply it. */
static uint16_t to_f16_nonzero(float d) {
    uint16_t h = to_f16(d);
    return d > 0 && h == 0 ? 1 : h;
}

static float square(float v) { return v * v; }

/* 0, -1, 1, -2, 2, ...: the plain candidate first, so that it wins a tie. */
static int alternate(int i) { return i % 2 ? -(i + 1) / 2 : i / 2; }

/* Types of the form x ~ d * scale[s] * q - dmin * min[s], q in 0..q_max, scale and min in 0..code_max: Q2_K, Q4_K,
 * Q5_K. */
typedef struct affine {
    int n_sub, len; /* sub-blocks, elements of each */
    int q_max, code_max;
    uint16_t d, dmin; /* the result: binary16 */
    uint8_t scale[16], min[16], q[256];
} affine;

/* Round x to the grid step * q - min, step > 0; returns the squared error. */
static float affine_round(const float *x, int n, float step, float min, int q_max, uint8_t *q) {
    float error = 0, id = inverse(step);
    for (int i = 0; i < n; i++) {
        q[i] = (uint8_t)to_nearest((x[i] + min) * id, 0, q_max);
        error += square(step * (float)q[i] - min - x[i]);
    }
    return error;
}

/* The step and min (>= 0) with the least squared error for given q; false when q is constant. */
static bool affine_solve(const float *x, int n, const uint8_t *q, float *step, float *min) {
    float sq = 0, sqq = 0, sx = 0, sqx = 0;
    for (int i = 0; i < n; i++) {
        sq += q[i];
        sqq += (float)(q[i] * q[i]);
        sx += x[i];
        sqx += (float)q[i] * x[i];
    }
    float det = (float)n * sqq - sq * sq;
    if (!(det > 0)) return false;
    float m = (sq * sqx - sqq * sx) / det;
    if (m < 0) { /* not representable: the best with min = 0 */
        *min = 0;
        *step = sqx / sqq;
    } else {
        *min = m;
        *step = ((float)n * sqx - sq * sx) / det;
    }
    return *step > 0;
}

/* Fit one sub-block on its own. */
static void affine_fit(const float *x, int n, int q_max, float *step, float *min) {
    float lo, hi, best = FLT_MAX;
    range(x, n, &lo, &hi);
    if (lo > 0) lo = 0;
    *step = 0;
    *min = -lo;
    if (!(hi > lo) || !isfinite(hi - lo)) return;
    for (int t = 0; t <= 16; t++) { /* steps that spread the range over a little fewer or more than all levels */
        float s = (hi - lo) / ((float)q_max + (float)alternate(t) * 0.125f), m = -lo;
        uint8_t q[32];
        for (int round = 0; round < 4; round++) {
            float error = affine_round(x, n, s, m, q_max, q);
            if (error < best) {
                best = error;
                *step = s;
                *min = m;
            } else if (round > 1) {
                break;
            }
            if (!affine_solve(x, n, q, &s, &m)) break;
        }
    }
}

/* Given d and dmin, the codes and q of each sub-block with the least error: the code of its own fit or a neighbour. */
static float affine_codes(const float *x, affine *a, const float *step, const float *min) {
    float d = ts_f16_to_f32(a->d), dmin = ts_f16_to_f32(a->dmin), total = 0;
    for (int s = 0; s < a->n_sub; s++, x += a->len) {
        int scale = to_nearest(step[s] * inverse(d), 0, a->code_max);
        float best = FLT_MAX;
        uint8_t q[32];
        for (int i = scale > 0 ? scale - 1 : 0; i <= scale + 1 && i <= a->code_max; i++) {
            int m = to_nearest(min[s] * inverse(dmin), 0, a->code_max);
            for (int j = m > 0 ? m - 1 : 0; j <= m + 1 && j <= a->code_max; j++) {
                float error = affine_round(x, a->len, d * (float)i, dmin * (float)j, a->q_max, q);
                if (error >= best && !(i == 0 && j == 0)) continue;
                best = error;
                a->scale[s] = (uint8_t)i;
                a->min[s] = (uint8_t)j;
                memcpy(a->q + s * a->len, q, (size_t)a->len);
            }
        }
        total += best;
    }
    return total;
}

/* The d and dmin with the least squared error for given codes and q. */
static bool affine_solve_super(const float *x, affine *a) {
    float aa = 0, ac = 0, cc = 0, ax = 0, cx = 0; /* x ~ d * a - dmin * c */
    for (int i = 0; i < 256; i++) {
        float u = (float)(a->scale[i / a->len] * a->q[i]), c = a->min[i / a->len];
        aa += u * u;
        ac += u * c;
        cc += c * c;
        ax += u * x[i];
        cx += c * x[i];
    }
    float d, dmin, det = aa * cc - ac * ac;
    if (det > aa * cc * 1e-6f) {
        d = (ax * cc - cx * ac) / det;
        dmin = (ax * ac - cx * aa) / det;
    } else {
        if (!(aa > 0)) return false;
        d = ax / aa;
        dmin = ts_f16_to_f32(a->dmin);
    }
    if (!(d > 0) || !(dmin >= 0)) return false;
    a->d = to_f16_nonzero(d);
    a->dmin = to_f16_nonzero(dmin);
    return true;
}

static void affine_search(const float *x, affine *a) {
    float step[16] = {0}, min[16] = {0}, max_step, max_min, none;
    for (int s = 0; s < a->n_sub; s++) affine_fit(x + s * a->len, a->len, a->q_max, &step[s], &min[s]);
    range(step, a->n_sub, &none, &max_step);
    range(min, a->n_sub, &none, &max_min);
    a->d = to_f16_nonzero(max_step / (float)a->code_max);
    a->dmin = to_f16_nonzero(max_min / (float)a->code_max);
    float error = affine_codes(x, a, step, min);
    for (int round = 0; round < 3; round++) {
        affine better = *a;
        if (!affine_solve_super(x, &better)) break;
        float e = affine_codes(x, &better, step, min);
        if (!(e < error)) break;
        error = e;
        *a = better;
    }
}

static void quant_q2_k(const float *x, uint8_t *p) {
    affine a = {.n_sub = 16, .len = 16, .q_max = 3, .code_max = 15};
    affine_search(x, &a);
    ts_block_q2_k b = {.d = a.d, .dmin = a.dmin};
    for (int s = 0; s < 16; s++) b.scales[s] = (uint8_t)(a.scale[s] | a.min[s] << 4);
    for (int i = 0; i < 256; i++) b.qs[i / 128 * 32 + i % 32] |= (uint8_t)(a.q[i] << (i / 32 % 4 * 2));
    memcpy(p, &b, sizeof b);
}

static void pack_q4k_scales(const affine *a, uint8_t out[12]) {
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(a->scale[j] | a->scale[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(a->min[j] | a->min[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((a->scale[j + 4] & 15) | a->min[j + 4] << 4);
    }
}

static void quant_q4_k(const float *x, uint8_t *p) {
    affine a = {.n_sub = 8, .len = 32, .q_max = 15, .code_max = 63};
    affine_search(x, &a);
    ts_block_q4_k b = {.d = a.d, .dmin = a.dmin};
    pack_q4k_scales(&a, b.scales);
    for (int i = 0; i < 256; i++) b.qs[i / 64 * 32 + i % 32] |= (uint8_t)(a.q[i] << (i / 32 % 2 * 4));
    memcpy(p, &b, sizeof b);
}

static void quant_q5_k(const float *x, uint8_t *p) {
    affine a = {.n_sub = 8, .len = 32, .q_max = 31, .code_max = 63};
    affine_search(x, &a);
    ts_block_q5_k b = {.d = a.d, .dmin = a.dmin};
    pack_q4k_scales(&a, b.scales);
    for (int i = 0; i < 256; i++) {
        b.qs[i / 64 * 32 + i % 32] |= (uint8_t)((a.q[i] & 15) << (i / 32 % 2 * 4));
        b.qh[i % 32] |= (uint8_t)((a.q[i] >> 4) << (i / 32));
    }
    memcpy(p, &b, sizeof b);
}

/* Types of the form x ~ d * scale[s] * level(q), scale a signed code: Q3_K, Q6_K, IQ4_XS. */
typedef struct scaled {
    int n_sub, len;
    int q_max;    /* q in 0..q_max */
    int zero;     /* level(q) = q - zero, ... */
    bool iq4;     /* ... or ts_iq4_nl_values[q] */
    int code_max; /* codes in -code_max-1..code_max */
    uint16_t d;   /* the result: binary16 */
    int8_t scale[16];
    uint8_t q[256];
} scaled;

static float level(const scaled *t, int q) { return (float)(t->iq4 ? ts_iq4_nl_values[q] : q - t->zero); }

/* Round x to the grid step * level(q), step of any sign; returns the squared error. */
static float scaled_round(const float *x, const scaled *t, float step, uint8_t *q) {
    float error = 0, id = inverse(step);
    for (int i = 0; i < t->len; i++) {
        float v = x[i] * id;
        q[i] = t->iq4 ? nearest_iq4(v) : (uint8_t)to_nearest(v + (float)t->zero, 0, t->q_max);
        error += square(step * level(t, q[i]) - x[i]);
    }
    return error;
}

/* Fit one sub-block on its own: its step. */
static float scaled_fit(const float *x, const scaled *t) {
    float max = extreme(x, t->len), best = FLT_MAX, step = 0, lowest = level(t, 0);
    if (!(fabsf(max) > 0) || !isfinite(max)) return 0;
    for (int k = 0; k <= 16; k++) { /* the extreme on the lowest level, or a little inside or outside */
        uint8_t q[32];
        float s = max / (lowest * (1 + (float)alternate(k) * 0.02f));
        for (int round = 0; round < 4; round++) {
            float error = scaled_round(x, t, s, q), sqq = 0, sqx = 0;
            if (error < best) {
                best = error;
                step = s;
            } else if (round > 1) {
                break;
            }
            for (int i = 0; i < t->len; i++) {
                sqq += square(level(t, q[i]));
                sqx += level(t, q[i]) * x[i];
            }
            if (!(sqq > 0)) break;
            s = sqx / sqq;
        }
    }
    return step;
}

static float scaled_codes(const float *x, scaled *t, const float *step) {
    float d = ts_f16_to_f32(t->d), total = 0;
    for (int s = 0; s < t->n_sub; s++, x += t->len) {
        int lo = -t->code_max - 1, code = to_nearest(step[s] * inverse(d), lo, t->code_max);
        float best = INFINITY;
        uint8_t q[32];
        for (int i = code > lo ? code - 1 : lo; i <= code + 1 && i <= t->code_max; i++) {
            float error = scaled_round(x, t, d * (float)i, q);
            if (error >= best) continue;
            best = error;
            t->scale[s] = (int8_t)i;
            memcpy(t->q + s * t->len, q, (size_t)t->len);
        }
        total += best;
    }
    return total;
}

static void scaled_search(const float *x, scaled *t) {
    float step[16] = {0};
    for (int s = 0; s < t->n_sub; s++) step[s] = scaled_fit(x + s * t->len, t);
    /* the largest step takes the lowest code, -code_max - 1 */
    float d = extreme(step, t->n_sub) / (float)(-t->code_max - 1);
    t->d = to_f16(d);
    float error = scaled_codes(x, t, step);
    for (int round = 0; round < 3; round++) {
        scaled better = *t;
        float uu = 0, ux = 0;
        for (int i = 0; i < 256; i++) {
            float u = (float)t->scale[i / t->len] * level(t, t->q[i]);
            uu += u * u;
            ux += u * x[i];
        }
        if (!(uu > 0)) break;
        better.d = to_f16(ux / uu);
        float e = scaled_codes(x, &better, step);
        if (!(e < error)) break;
        error = e;
        *t = better;
    }
}

static void quant_q3_k(const float *x, uint8_t *p) {
    scaled t = {.n_sub = 16, .len = 16, .q_max = 7, .zero = 4, .code_max = 31};
    scaled_search(x, &t);
    ts_block_q3_k b = {.d = t.d};
    for (int s = 0; s < 16; s++) {
        int code = t.scale[s] + 32;
        b.scales[s % 8] |= (uint8_t)((code & 15) << (s / 8 * 4));
        b.scales[8 + s % 4] |= (uint8_t)(code >> 4 << (s / 4 * 2));
    }
    for (int i = 0; i < 256; i++) {
        b.qs[i / 128 * 32 + i % 32] |= (uint8_t)((t.q[i] & 3) << (i / 32 % 4 * 2));
        b.hmask[i % 32] |= (uint8_t)(t.q[i] >> 2 << (i / 32));
    }
    memcpy(p, &b, sizeof b);
}

static void quant_q6_k(const float *x, uint8_t *p) {
    scaled t = {.n_sub = 16, .len = 16, .q_max = 63, .zero = 32, .code_max = 127};
    scaled_search(x, &t);
    ts_block_q6_k b = {.d = t.d};
    memcpy(b.scales, t.scale, sizeof b.scales);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, k = i / 32 % 4;
        b.ql[half * 64 + k % 2 * 32 + i % 32] |= (uint8_t)((t.q[i] & 15) << (k / 2 * 4));
        b.qh[half * 32 + i % 32] |= (uint8_t)(t.q[i] >> 4 << (k * 2));
    }
    memcpy(p, &b, sizeof b);
}

static void quant_iq4_xs(const float *x, uint8_t *p) {
    scaled t = {.n_sub = 8, .len = 32, .q_max = 15, .iq4 = true, .code_max = 31};
    scaled_search(x, &t);
    ts_block_iq4_xs b = {.d = t.d};
    for (int s = 0; s < 8; s++) {
        int code = t.scale[s] + 32;
        b.scales_l[s / 2] |= (uint8_t)((code & 15) << (s % 2 * 4));
        b.scales_h |= (uint16_t)(code >> 4 << (s * 2));
    }
    for (int i = 0; i < 256; i++) b.qs[i / 32 * 16 + i % 16] |= (uint8_t)(t.q[i] << (i / 16 % 2 * 4));
    memcpy(p, &b, sizeof b);
}

static void (*const quant_block[TS_DTYPES])(const float *x, uint8_t *p) = {
    [TS_F16] = quant_f16,       [TS_BF16] = quant_bf16, [TS_Q4_0] = quant_q4_0, [TS_Q4_1] = quant_q4_1,
    [TS_Q5_0] = quant_q5_0,     [TS_Q5_1] = quant_q5_1, [TS_Q8_0] = quant_q8_0,
    [TS_Q2_K] = quant_q2_k,     [TS_Q3_K] = quant_q3_k, [TS_Q4_K] = quant_q4_k, [TS_Q5_K] = quant_q5_k,
    [TS_Q6_K] = quant_q6_k,     [TS_IQ4_NL] = quant_iq4_nl, [TS_IQ4_XS] = quant_iq4_xs, [TS_MXFP4] = quant_mxfp4,
};

void ts_quantize(ts_dtype type, const float *in, void *blocks, size_t n) {
    const ts_dtype_info *t = ts_dtype_get(type);
    assert(t->block && n % t->block == 0);
    if (type == TS_F32) {
        if (n) memcpy(blocks, in, n * sizeof *in);
        return;
    }
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += t->block, p += t->block_bytes) quant_block[type](in + i, p);
}
