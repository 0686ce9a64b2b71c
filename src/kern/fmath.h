/* fmath.h - exp and the double-precision functions behind the RoPE tables, spelled out operation by operation so that
 * every machine gives the same bits.
 *
 * exp(x), f32: n = round_even(x * log2 e); r = x - n ln 2 in two fma steps; a degree-6 polynomial of r (minimax on
 * |r| <= ln2/2, error bound in docs/numerics.md); the result is scaled by 2^n in two exact-or-rounded steps, so that
 * denormal results round once. exp(NaN) is NaN, exp(-inf) is +0.
 *
 * z(x) is what keeps denormals out of everything that depends on them (docs/numerics.md, rule 4): +0 where |x| < 2^-40,
 * else x itself, NaN and infinities too. */
#ifndef TS_KERN_FMATH_H
#define TS_KERN_FMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TS_EXP_LO    (-104.0f) /* below: 0 */
#define TS_EXP_HI    (89.0f)   /* above: +inf */
#define TS_EXP_Z_LO  (-64.0f)  /* below: z(exp) is 0 all the more */
#define TS_EXP_LOG2E 0x1.715476p+0f
#define TS_EXP_LN2HI 0x1.62e400p-1f /* 15 bits: n * LN2HI is exact for |n| <= 256 */
#define TS_EXP_LN2LO 0x1.7f7d1cp-20f
#define TS_EXP_C2    0x1.fffffcp-2f
#define TS_EXP_C3    0x1.555492p-3f
#define TS_EXP_C4    0x1.5558aap-5f
#define TS_EXP_C5    0x1.12396cp-7f
#define TS_EXP_C6    0x1.6a5228p-10f

static inline float ts_f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

#define TS_INV_127 0x1.020408p-7f /* 1 / 127, rounded */

#define TS_Z_BITS 0x2b800000 /* of 2^-40 */
#define TS_Z_MIN  0x1p-40f

static inline float ts_z(float x) { /* by its bits: a processor may be told to compare denormals as 0 */
    int32_t u;
    memcpy(&u, &x, 4);
    return (u & 0x7fffffff) < TS_Z_BITS ? 0.0f : x;
}

static inline float ts_expf(float x) {
    if (x < TS_EXP_LO) x = TS_EXP_LO; /* a NaN passes both */
    if (x > TS_EXP_HI) x = TS_EXP_HI;
    if (x != x) return x;
    float n = rintf(x * TS_EXP_LOG2E);
    float r = fmaf(-n, TS_EXP_LN2HI, x);
    r = fmaf(-n, TS_EXP_LN2LO, r);
    float p = TS_EXP_C6;
    p = fmaf(p, r, TS_EXP_C5);
    p = fmaf(p, r, TS_EXP_C4);
    p = fmaf(p, r, TS_EXP_C3);
    p = fmaf(p, r, TS_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    int32_t i = (int32_t)n, a = i >> 1, b = i - a; /* -151 <= i <= 129: both halves are normal exponents */
    return p * ts_f32_from_bits((uint32_t)(a + 127) << 23) * ts_f32_from_bits((uint32_t)(b + 127) << 23);
}

/* silu(x) * y, silu(x) = x / (1 + exp(-x)), in an order in which one z is enough: a quotient that is denormal is not
 * multiplied by a large y. */
static inline float ts_silu_mulf(float x, float y) {
    return ts_z(x * y / (1.0f + ts_expf(-x)));
}

/* Double precision, for tables: relative error below 1e-14 in the ranges used. ts_sincos: |x| <= 2^30. */
double ts_log2_d(double x);             /* x > 0, normal */
double ts_exp2_d(double x);             /* |x| <= 1000 */
double ts_pow_d(double base, double e); /* base > 0 */
void ts_sincos_d(double x, double *sin_x, double *cos_x);

#endif
