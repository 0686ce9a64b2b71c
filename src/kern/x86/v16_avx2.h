/* v16_avx2.h - sixteen f32 lanes in two ymm registers. */
#ifndef TS_KERN_X86_V16_AVX2_H
#define TS_KERN_X86_V16_AVX2_H

#include "kern/fmath.h"
#include "kern/simd/inline.h"

#include <immintrin.h>

/* register blocking: rows x tokens of a float GEMM, sums of attention, vectors of a norm */
enum { TILE_ROWS = 2, TILE_TOKS = 2, TILE_SUMS = 4, TILE_NORM = 4 };

typedef struct v16 {
    __m256 lo, hi;
} v16;

#define V16_EACH2(name, op)                                                                                            \
    INL v16 name(v16 a, v16 b) { return (v16){op(a.lo, b.lo), op(a.hi, b.hi)}; }
V16_EACH2(v16_add, _mm256_add_ps)
V16_EACH2(v16_sub, _mm256_sub_ps)
V16_EACH2(v16_mul, _mm256_mul_ps)
V16_EACH2(v16_div, _mm256_div_ps)
V16_EACH2(v16_max, _mm256_max_ps) /* (x, acc): acc where x is NaN */
V16_EACH2(v16_min, _mm256_min_ps)
#undef V16_EACH2
INL v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

INL __m256 v8_z_(__m256 x) { /* ts_z */
    __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    return _mm256_and_ps(x, _mm256_cmp_ps(size, _mm256_set1_ps(TS_Z_MIN), _CMP_NLT_UQ));
}
INL v16 v16_z(v16 x) { return (v16){v8_z_(x.lo), v8_z_(x.hi)}; }
INL v16 v16_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INL v16 v16_set1(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INL v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INL void v16_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
/* Of the first n lanes. */
INL __m256i v8_mask_(uint32_t n, int half) {
    static const int32_t mask[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + 16 - n + 8 * half));
}
INL v16 v16_load_n(const float *p, uint32_t n) {
    return (v16){_mm256_maskload_ps(p, v8_mask_(n, 0)), _mm256_maskload_ps(p + 8, v8_mask_(n, 1))};
}
INL void v16_store_n(float *p, v16 x, uint32_t n) {
    _mm256_maskstore_ps(p, v8_mask_(n, 0), x.lo);
    _mm256_maskstore_ps(p + 8, v8_mask_(n, 1), x.hi);
}

INL v16 v16_from_f16(const uint16_t *p) {
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
INL v16 v16_set1_f16(const uint16_t *p) { return v16_set1(_cvtsh_ss(*p)); }
INL v16 v16_from_i8(const int8_t *p) {
    const __m128i x = _mm_loadu_si128((const __m128i *)p);
    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}
INL v16 v16_from_f16_n(const uint16_t *p, uint32_t n) {
    uint16_t t[16] = {0};
    memcpy(t, p, n * sizeof *t);
    return v16_from_f16(t);
}
INL __m256 v16_from_bf16_(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INL v16 v16_from_bf16(const uint16_t *p) { return (v16){v16_from_bf16_(p), v16_from_bf16_(p + 8)}; }
INL v16 v16_from_bf16_n(const uint16_t *p, uint32_t n) {
    uint16_t t[16] = {0};
    memcpy(t, p, n * sizeof *t);
    return v16_from_bf16(t);
}
INL void v16_to_f16(uint16_t *p, v16 x) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.lo, 0));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.hi, 0));
}

INL v16 v16_abs(v16 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
/* v, but `limit` with the sign of x where x is infinite */
INL __m256 v8_or_inf_(__m256 v, __m256 x, float limit) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 inf = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(INFINITY), _CMP_EQ_OQ);
    return _mm256_blendv_ps(v, _mm256_or_ps(_mm256_and_ps(x, sign), _mm256_set1_ps(limit)), inf);
}
INL v16 v16_or_inf(v16 v, v16 x, float limit) {
    return (v16){v8_or_inf_(v.lo, x.lo, limit), v8_or_inf_(v.hi, x.hi, limit)};
}
INL v16 v16_if_less(v16 a, v16 b, v16 x, v16 y) { /* a < b ? x : y */
    return (v16){_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
/* To nearest even, |x| below 2^22. The sum with 1.5 * 2^23, which has units of 1, rounds; and of -0.3 it makes +0. */
INL __m256 v8_nearest_(__m256 x) {
    const __m256 to_int = _mm256_set1_ps(0x1.8p23f);
    return _mm256_sub_ps(_mm256_add_ps(x, to_int), to_int);
}
INL v16 v16_nearest(v16 x) { return (v16){v8_nearest_(x.lo), v8_nearest_(x.hi)}; }
INL v16 v16_nan_to_zero(v16 v) {
    return (v16){_mm256_and_ps(v.lo, _mm256_cmp_ps(v.lo, v.lo, _CMP_ORD_Q)),
                 _mm256_and_ps(v.hi, _mm256_cmp_ps(v.hi, v.hi, _CMP_ORD_Q))};
}
/* To nearest even; |x| below 128. Returns their sum. */
INL int32_t v16_to_i8(int8_t *p, v16 x) {
    __m256i h = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
    h = _mm256_permute4x64_epi64(h, 0xd8);
    const __m128i v = _mm_packs_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    _mm_storeu_si128((__m128i *)p, v);
    __m128i s = _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), v), _mm_set1_epi16(1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 1);
}

/* The fixed tree over lanes: (8, 4, 2, 1). */
INL float v16_sum(v16 x) {
    __m256 a = _mm256_add_ps(x.lo, x.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INL float v16_hmax(v16 x) { /* no NaN in x: the order does not matter */
    __m256 a = _mm256_max_ps(x.lo, x.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* exp(c - n ln 2) as ts_expf has it */
INL __m256 v8_exp_poly_(__m256 c, __m256 n) {
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(TS_EXP_LN2HI), c);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(TS_EXP_LN2LO), r);
    __m256 p = _mm256_set1_ps(TS_EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    return _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
}
INL __m256 v8_exp_(__m256 x) { /* ts_expf */
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 c = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(TS_EXP_LO)), _mm256_set1_ps(TS_EXP_HI));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(c, _mm256_set1_ps(TS_EXP_LOG2E)), 8);
    __m256 p = v8_exp_poly_(c, n);
    __m256i i = _mm256_cvtps_epi32(n), a = _mm256_srai_epi32(i, 1), b = _mm256_sub_epi32(i, a);
    __m256i bias = _mm256_set1_epi32(127);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, bias), 23)));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(b, bias), 23)));
    return _mm256_blendv_ps(p, x, nan);
}
INL v16 v16_exp(v16 x) { return (v16){v8_exp_(x.lo), v8_exp_(x.hi)}; }
/* z(exp(x)) where x is not above 0: no result is denormal before z, so 2^n is one factor. Adding 1.5 * 2^23 rounds to
 * an integer, which the sum then has in its lowest bits. */
INL __m256 v8_exp_z_(__m256 x) {
    const __m256 to_int = _mm256_set1_ps(0x1.8p23f);
    __m256 c = _mm256_max_ps(_mm256_set1_ps(TS_EXP_Z_LO), x); /* a NaN passes */
    __m256 t = _mm256_add_ps(_mm256_mul_ps(c, _mm256_set1_ps(TS_EXP_LOG2E)), to_int), n = _mm256_sub_ps(t, to_int);
    __m256 p = v8_exp_poly_(c, n);
    const __m256i power = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23), _mm256_set1_epi32(127 << 23));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
    return _mm256_and_ps(p, _mm256_cmp_ps(p, _mm256_set1_ps(TS_Z_MIN), _CMP_NLT_UQ));
}
INL v16 v16_exp_z(v16 x) { return (v16){v8_exp_z_(x.lo), v8_exp_z_(x.hi)}; }

#endif
