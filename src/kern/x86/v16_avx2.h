/* v16_avx2.h - sixteen f32 lanes in two ymm registers. Depends on: immintrin.h, kern/fmath.h. */
#ifndef TS_KERN_X86_V16_AVX2_H
#define TS_KERN_X86_V16_AVX2_H

#include "kern/fmath.h"

#include <immintrin.h>

#define INL static inline __attribute__((always_inline))
/* register blocking of the templates: rows x tokens of a float GEMM, queries x vectors of attention */
enum { TILE_ROWS = 2, TILE_TOKS = 2, TILE_QUERIES = 1, TILE_DIMS = 4 };

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
#undef V16_EACH2
INL v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

INL v16 v16_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INL v16 v16_set1(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INL v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INL void v16_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
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

INL v16 v16_from_f16(const uint16_t *p) {
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
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

INL __m256 v8_exp_(__m256 x) { /* ts_expf */
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 c = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(TS_EXP_LO)), _mm256_set1_ps(TS_EXP_HI));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(c, _mm256_set1_ps(TS_EXP_LOG2E)), 8);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(TS_EXP_LN2HI), c);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(TS_EXP_LN2LO), r);
    __m256 p = _mm256_set1_ps(TS_EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(TS_EXP_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256i i = _mm256_cvtps_epi32(n), a = _mm256_srai_epi32(i, 1), b = _mm256_sub_epi32(i, a);
    __m256i bias = _mm256_set1_epi32(127);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, bias), 23)));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(b, bias), 23)));
    return _mm256_blendv_ps(p, x, nan);
}
INL v16 v16_exp(v16 x) { return (v16){v8_exp_(x.lo), v8_exp_(x.hi)}; }

#endif
