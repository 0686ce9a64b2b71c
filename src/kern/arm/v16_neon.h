/* v16_neon.h - sixteen f32 lanes in four q registers. */
#ifndef TS_KERN_ARM_V16_NEON_H
#define TS_KERN_ARM_V16_NEON_H

#include "kern/fmath.h"
#include "kern/simd/inline.h"

#include <arm_neon.h>

/* register blocking: rows x tokens of a float GEMM, sums of attention, vectors of a norm */
enum { TILE_ROWS = 2, TILE_TOKS = 2, TILE_SUMS = 4, TILE_NORM = 4 };

typedef struct v16 {
    float32x4_t q[4];
} v16;

/* Lanes 4 i to 4 i + 3 of a function's value are `expression`. */
#define V16_EACH(name, args, expression)                        \
    INL v16 name args {                                         \
        v16 r_;                                                 \
        UNROLL for (int i = 0; i < 4; i++) r_.q[i] = expression; \
        return r_;                                              \
    }

/* As x86's maxps and minps: of two zeros, and where one is NaN, the second. FMAX and FMAXNM are neither. */
INL float32x4_t v4_max_(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INL float32x4_t v4_min_(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INL float32x4_t v4_if_(float32x4_t x, uint32x4_t mask) { /* x where the mask is set, else +0 */
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), mask));
}
INL float32x4_t v4_z_(float32x4_t x) { /* ts_z */
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcaltq_f32(x, vdupq_n_f32(TS_Z_MIN))));
}

V16_EACH(v16_zero, (void), vdupq_n_f32(0))
V16_EACH(v16_set1, (float x), vdupq_n_f32(x))
V16_EACH(v16_load, (const float *p), vld1q_f32(p + 4 * i))
V16_EACH(v16_add, (v16 a, v16 b), vaddq_f32(a.q[i], b.q[i]))
V16_EACH(v16_sub, (v16 a, v16 b), vsubq_f32(a.q[i], b.q[i]))
V16_EACH(v16_mul, (v16 a, v16 b), vmulq_f32(a.q[i], b.q[i]))
V16_EACH(v16_div, (v16 a, v16 b), vdivq_f32(a.q[i], b.q[i]))
V16_EACH(v16_fma, (v16 a, v16 b, v16 c), vfmaq_f32(c.q[i], a.q[i], b.q[i]))
V16_EACH(v16_max, (v16 x, v16 acc), v4_max_(x.q[i], acc.q[i])) /* acc where x is NaN */
V16_EACH(v16_z, (v16 x), v4_z_(x.q[i]))
V16_EACH(v16_abs, (v16 x), vabsq_f32(x.q[i]))
V16_EACH(v16_nan_to_zero, (v16 v), v4_if_(v.q[i], vceqq_f32(v.q[i], v.q[i])))

INL void v16_store(float *p, v16 x) {
    UNROLL for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.q[i]);
}
INL v16 v16_load_n(const float *p, uint32_t n) {
    float t[16] = {0};
    memcpy(t, p, n * sizeof *t);
    return v16_load(t);
}
INL void v16_store_n(float *p, v16 x, uint32_t n) {
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *t);
}

INL float32x4_t v4_from_f16_(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
V16_EACH(v16_from_f16, (const uint16_t *p), v4_from_f16_(p + 4 * i))
INL v16 v16_from_f16_n(const uint16_t *p, uint32_t n) {
    uint16_t t[16] = {0};
    memcpy(t, p, n * sizeof *t);
    return v16_from_f16(t);
}
V16_EACH(v16_set1_f16, (const uint16_t *p), vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(p))))
V16_EACH(v16_from_bf16, (const uint16_t *p), vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)))
INL v16 v16_from_bf16_n(const uint16_t *p, uint32_t n) {
    uint16_t t[16] = {0};
    memcpy(t, p, n * sizeof *t);
    return v16_from_bf16(t);
}
INL v16 v16_from_i8(const int8_t *p) {
    const int8x16_t x = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_high_s8(x);
    return (v16){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
                  vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}
INL void v16_to_f16(uint16_t *p, v16 x) {
    UNROLL for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.q[i])));
}

/* v, but `limit` with the sign of x where x is infinite */
INL float32x4_t v4_or_inf_(float32x4_t v, float32x4_t x, float limit) {
    const uint32x4_t inf = vceqq_f32(vabsq_f32(x), vdupq_n_f32(INFINITY));
    return vbslq_f32(inf, vbslq_f32(vdupq_n_u32(0x80000000u), x, vdupq_n_f32(limit)), v);
}
V16_EACH(v16_or_inf, (v16 v, v16 x, float limit), v4_or_inf_(v.q[i], x.q[i], limit))
/* To nearest even; |x| below 128. Returns their sum. */
INL int32_t v16_to_i8(int8_t *p, v16 x) {
    const int16x8_t low = vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(x.q[0])), vcvtnq_s32_f32(x.q[1]));
    const int16x8_t high = vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(x.q[2])), vcvtnq_s32_f32(x.q[3]));
    const int8x16_t v = vmovn_high_s16(vmovn_s16(low), high);
    vst1q_s8(p, v);
    return vaddlvq_s8(v);
}

/* The fixed tree over lanes: (8, 4, 2, 1). */
INL float v16_sum(v16 x) {
    const float32x4_t a = vaddq_f32(vaddq_f32(x.q[0], x.q[2]), vaddq_f32(x.q[1], x.q[3]));
    const float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
INL float v16_hmax(v16 x) { /* no NaN in x: the order does not matter */
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.q[0], x.q[1]), vmaxq_f32(x.q[2], x.q[3])));
}

/* exp(c - n ln 2) as ts_expf has it */
INL float32x4_t v4_exp_poly_(float32x4_t c, float32x4_t n) {
    float32x4_t r = vfmsq_f32(c, n, vdupq_n_f32(TS_EXP_LN2HI));
    r = vfmsq_f32(r, n, vdupq_n_f32(TS_EXP_LN2LO));
    float32x4_t p = vdupq_n_f32(TS_EXP_C6);
    p = vfmaq_f32(vdupq_n_f32(TS_EXP_C5), p, r);
    p = vfmaq_f32(vdupq_n_f32(TS_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(TS_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(TS_EXP_C2), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    return vfmaq_f32(vdupq_n_f32(1.0f), p, r);
}
INL float32x4_t v4_power_(int32x4_t n) { /* 2^n */
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
INL float32x4_t v4_exp_(float32x4_t x) { /* ts_expf */
    const float32x4_t c = v4_min_(v4_max_(x, vdupq_n_f32(TS_EXP_LO)), vdupq_n_f32(TS_EXP_HI));
    const float32x4_t n = vrndnq_f32(vmulq_f32(c, vdupq_n_f32(TS_EXP_LOG2E)));
    const int32x4_t i = vcvtq_s32_f32(n), a = vshrq_n_s32(i, 1);
    const float32x4_t p = vmulq_f32(vmulq_f32(v4_exp_poly_(c, n), v4_power_(a)), v4_power_(vsubq_s32(i, a)));
    return vbslq_f32(vceqq_f32(x, x), p, x); /* a NaN stays one */
}
V16_EACH(v16_exp, (v16 x), v4_exp_(x.q[i]))
INL float32x4_t v4_exp_z_(float32x4_t x) { /* of what is not above 0: no result is denormal before z */
    const float32x4_t c = v4_max_(vdupq_n_f32(TS_EXP_Z_LO), x); /* a NaN passes */
    const float32x4_t n = vrndnq_f32(vmulq_f32(c, vdupq_n_f32(TS_EXP_LOG2E)));
    return v4_z_(vmulq_f32(v4_exp_poly_(c, n), v4_power_(vcvtq_s32_f32(n))));
}
V16_EACH(v16_exp_z, (v16 x), v4_exp_z_(x.q[i]))
#undef V16_EACH

#endif
