/* v16_avx512vnni.h - sixteen f32 lanes in one zmm register. */
#ifndef TS_KERN_X86_V16_AVX512VNNI_H
#define TS_KERN_X86_V16_AVX512VNNI_H

#include "kern/fmath.h"
#include "kern/simd/inline.h"

#include <immintrin.h>

/* register blocking: rows x tokens of a float GEMM, sums of attention, vectors of a norm */
enum { TILE_ROWS = 4, TILE_TOKS = 4, TILE_SUMS = 16, TILE_NORM = 16 };

typedef __m512 v16;

INL v16 v16_zero(void) { return _mm512_setzero_ps(); }
INL v16 v16_set1(float x) { return _mm512_set1_ps(x); }
INL v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
INL void v16_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
INL __mmask16 v16_mask_(uint32_t n) { return (__mmask16)((1u << n) - 1); }
INL v16 v16_load_n(const float *p, uint32_t n) { return _mm512_maskz_loadu_ps(v16_mask_(n), p); }
INL void v16_store_n(float *p, v16 x, uint32_t n) { _mm512_mask_storeu_ps(p, v16_mask_(n), x); }
INL v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
INL v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
INL v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
INL v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
INL v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
INL v16 v16_z(v16 x) { /* ts_z */
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(x), v16_set1(TS_Z_MIN), _CMP_NLT_UQ), x);
}
INL v16 v16_max(v16 x, v16 acc) { return _mm512_max_ps(x, acc); } /* acc where x is NaN */
INL v16 v16_min(v16 x, v16 acc) { return _mm512_min_ps(x, acc); }
INL v16 v16_if_less(v16 a, v16 b, v16 x, v16 y) { /* a < b ? x : y */
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
/* To nearest even, |x| below 2^22. The sum with 1.5 * 2^23, which has units of 1, rounds; and of -0.3 it makes +0. */
INL v16 v16_nearest(v16 x) { return _mm512_sub_ps(_mm512_add_ps(x, v16_set1(0x1.8p23f)), v16_set1(0x1.8p23f)); }
INL v16 v16_abs(v16 x) { return _mm512_abs_ps(x); }
/* v, but `limit` with the sign of x where x is infinite */
INL v16 v16_or_inf(v16 v, v16 x, float limit) {
    return _mm512_mask_or_ps(v, _mm512_fpclass_ps_mask(x, 0x18), _mm512_and_ps(x, v16_set1(-0.0f)), v16_set1(limit));
}
INL v16 v16_nan_to_zero(v16 v) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v); }
/* To nearest even; |x| below 128. Returns their sum. */
INL int32_t v16_to_i8(int8_t *p, v16 x) {
    const __m128i v = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x));
    _mm_storeu_si128((__m128i *)p, v);
    __m128i s = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), v);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 1);
}

INL v16 v16_from_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INL v16 v16_set1_f16(const uint16_t *p) { return v16_set1(_cvtsh_ss(*p)); }
INL v16 v16_from_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INL v16 v16_from_f16_n(const uint16_t *p, uint32_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v16_mask_(n), p));
}
INL v16 v16_from_bf16_(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
INL v16 v16_from_bf16(const uint16_t *p) { return v16_from_bf16_(_mm256_loadu_si256((const __m256i *)p)); }
INL v16 v16_from_bf16_n(const uint16_t *p, uint32_t n) {
    return v16_from_bf16_(_mm256_maskz_loadu_epi16(v16_mask_(n), p));
}
INL void v16_to_f16(uint16_t *p, v16 x) { _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, 0)); }

/* The fixed tree over lanes: (8, 4, 2, 1). */
INL float v16_sum(v16 x) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INL float v16_hmax(v16 x) { /* no NaN in x: the order does not matter */
    return _mm512_reduce_max_ps(x);
}

/* exp(c - n ln 2) as ts_expf has it */
INL v16 v16_exp_poly_(v16 c, v16 n) {
    v16 r = _mm512_fnmadd_ps(n, v16_set1(TS_EXP_LN2HI), c);
    r = _mm512_fnmadd_ps(n, v16_set1(TS_EXP_LN2LO), r);
    v16 p = v16_set1(TS_EXP_C6);
    p = v16_fma(p, r, v16_set1(TS_EXP_C5));
    p = v16_fma(p, r, v16_set1(TS_EXP_C4));
    p = v16_fma(p, r, v16_set1(TS_EXP_C3));
    p = v16_fma(p, r, v16_set1(TS_EXP_C2));
    p = v16_fma(p, r, v16_set1(1.0f));
    return v16_fma(p, r, v16_set1(1.0f));
}
INL v16 v16_exp(v16 x) { /* ts_expf */
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    v16 c = _mm512_min_ps(_mm512_max_ps(x, v16_set1(TS_EXP_LO)), v16_set1(TS_EXP_HI));
    v16 n = _mm512_roundscale_ps(v16_mul(c, v16_set1(TS_EXP_LOG2E)), 8);
    v16 p = v16_exp_poly_(c, n);
    __m512i i = _mm512_cvtps_epi32(n), a = _mm512_srai_epi32(i, 1), b = _mm512_sub_epi32(i, a);
    __m512i bias = _mm512_set1_epi32(127);
    p = v16_mul(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a, bias), 23)));
    p = v16_mul(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(b, bias), 23)));
    return _mm512_mask_mov_ps(p, nan, x);
}
/* z(exp(x)) where x is not above 0: no result is denormal before z, so 2^n is one factor. */
INL v16 v16_exp_z(v16 x) {
    v16 c = _mm512_max_ps(v16_set1(TS_EXP_Z_LO), x); /* a NaN passes */
    v16 n = _mm512_roundscale_ps(v16_mul(c, v16_set1(TS_EXP_LOG2E)), 8);
    v16 p = v16_exp_poly_(c, n);
    p = _mm512_scalef_ps(p, n);
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(p, v16_set1(TS_Z_MIN), _CMP_NLT_UQ), p);
}

#endif
