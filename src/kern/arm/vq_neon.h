/* vq_neon.h - the vectors of the quantised kernels: 4 rows in a q register. See simd/gemm_q_tmpl.h for what each
 * operation is. The 4-way dot product is the level's: gemm_q_<level>.c defines VQ_SIGNED_FROM and vq_dot4. How many
 * tokens, streams and bytes ahead are best is not measured: there was no such machine. */
#ifndef TS_KERN_ARM_VQ_NEON_H
#define TS_KERN_ARM_VQ_NEON_H

#include "kern/simd/inline.h"

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { VQ_ROWS = 4, VQ_TOKS = 4, VQ_FEW = 1, VQ_STREAMS = 2, VQ_WOVEN = 0, VQ_AHEAD = 2048, VQ_RUNS = 0 };

typedef int32x4_t vqi;
typedef float32x4_t vqf;

/* The same bits as other lanes. */
INL uint8x16_t vq_u8_(vqi x) { return vreinterpretq_u8_s32(x); }
INL int8x16_t vq_s8_(vqi x) { return vreinterpretq_s8_s32(x); }
INL int16x8_t vq_s16_(vqi x) { return vreinterpretq_s16_s32(x); }

INL vqi vq_zero(void) { return vdupq_n_s32(0); }
INL vqi vq_set1(uint32_t v) { return vreinterpretq_s32_u32(vdupq_n_u32(v)); }
INL vqi vq_bytes(int v) { return vreinterpretq_s32_u8(vdupq_n_u8((uint8_t)v)); }
INL vqi vq_bcast(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return vdupq_n_s32(v);
}
INL vqi vq_load(const uint8_t *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
INL vqi vq_load_u8(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    const uint16x8_t h = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(v)));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(h)));
}
INL uint16x4_t vq_halves_(const uint8_t *p) { return vreinterpret_u16_u8(vld1_u8(p)); }
INL vqi vq_load_u16(const uint8_t *p) { return vreinterpretq_s32_u32(vmovl_u16(vq_halves_(p))); }
INL void vq_prefetch(const uint8_t *p) { __asm__ volatile("prfm pldl1keep, %0" : : "Q"(*p)); }

INL void vq_pin(vqi *x) { __asm__("" : "+w"(*x)); }

INL vqi vq_and(vqi a, vqi b) { return vandq_s32(a, b); }
INL vqi vq_sub(vqi a, vqi b) { return vsubq_s32(a, b); }
INL vqi vq_sub8(vqi a, vqi b) { return vreinterpretq_s32_u8(vsubq_u8(vq_u8_(a), vq_u8_(b))); }
INL vqi vq_weigh(vqi acc, vqi a, vqi b) { return vmlaq_s32(acc, a, b); }
INL vqi vq_shl(vqi x, int n) { return vshlq_s32(x, vdupq_n_s32(n)); }
INL vqi vq_sar(vqi x, int n) { return vshlq_s32(x, vdupq_n_s32(-n)); }
INL vqi vq_or_and(vqi a, vqi b, vqi mask) { return vorrq_s32(a, vandq_s32(b, mask)); }
INL vqi vq_pick_below(vqi x, int limit, vqi a, vqi b) { return vbslq_s32(vcltq_s32(x, vdupq_n_s32(limit)), a, b); }
INL vqi vq_shift(vqi x, int n) { return vreinterpretq_s32_u8(vshlq_u8(vq_u8_(x), vdupq_n_s8((int8_t)-n))); }

INL vqi vq_scale(vqi x, int i) { return vshrq_n_s32(vq_shl(x, 24 - 8 * i), 24); }
INL vqi vq_even(vqi x) { return vreinterpretq_s32_s16(vshrq_n_s16(vshlq_n_s16(vq_s16_(x), 8), 8)); }
INL vqi vq_odd(vqi x) { return vreinterpretq_s32_s16(vshrq_n_s16(vq_s16_(x), 8)); }
INL void vq_zip(vqi a, vqi b, vqi *low, vqi *high) {
    const vqi x = vreinterpretq_s32_u8(vzip1q_u8(vq_u8_(a), vq_u8_(b)));
    const vqi y = vreinterpretq_s32_u8(vzip2q_u8(vq_u8_(a), vq_u8_(b)));
    *low = vuzp1q_s32(x, y);
    *high = vuzp2q_s32(x, y);
}
INL vqi vq_table(const int8_t v[16]) { return vreinterpretq_s32_s8(vld1q_s8(v)); }
INL vqi vq_lookup(vqi table, vqi x) { return vreinterpretq_s32_u8(vqtbl1q_u8(vq_u8_(table), vq_u8_(x))); }

INL vqi vq_dot2(vqi acc, vqi a, vqi b) {
    const vqi low = vmull_s16(vget_low_s16(vq_s16_(a)), vget_low_s16(vq_s16_(b)));
    return vaddq_s32(acc, vpaddq_s32(low, vmull_high_s16(vq_s16_(a), vq_s16_(b))));
}

INL vqf vqf_zero(void) { return vdupq_n_f32(0); }
INL vqf vqf_set1(const float *p) { return vld1q_dup_f32(p); }
INL vqf vqf_bits(vqi x) { return vreinterpretq_f32_s32(x); }
INL vqf vqf_of_int(vqi x) { return vcvtq_f32_s32(x); }
INL vqf vqf_load_f16(const uint8_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vq_halves_(p))); }
INL vqf vqf_add(vqf a, vqf b) { return vaddq_f32(a, b); }
INL vqf vqf_mul(vqf a, vqf b) { return vmulq_f32(a, b); }
INL vqf vqf_fma(vqf a, vqf b, vqf c) { return vfmaq_f32(c, a, b); }
INL vqf vqf_fnma(vqf a, vqf b, vqf c) { return vfmsq_f32(c, a, b); }
INL vqf vqf_load(const float *p) { return vld1q_f32(p); }
INL void vqf_store(float *p, vqf v) { vst1q_f32(p, v); }
INL vqf vqf_load_n(const float *p, uint32_t n) {
    float t[4] = {0};
    memcpy(t, p, n * sizeof *t);
    return vld1q_f32(t);
}
INL void vqf_store_n(float *p, vqf v, uint32_t n) {
    float t[4];
    vst1q_f32(t, v);
    memcpy(p, t, n * sizeof *t);
}

#include "kern/simd/no_runs_tmpl.h"

#endif
