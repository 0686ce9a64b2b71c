/* vq_ymm.h - what the levels with 8 rows in a ymm register share: all but the products. See simd/gemm_q_tmpl.h for what
 * each operation is. */
#ifndef TS_KERN_X86_VQ_YMM_H
#define TS_KERN_X86_VQ_YMM_H

#include "kern/simd/inline.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m256i vqi;
typedef __m256 vqf;

INL vqi vq_zero(void) { return _mm256_setzero_si256(); }
INL vqi vq_set1(uint32_t v) { return _mm256_set1_epi32((int)v); }
INL vqi vq_bytes(int v) { return _mm256_set1_epi8((char)v); }
INL vqi vq_bcast(const void *p) {
    int v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}
INL vqi vq_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INL vqi vq_load_u8(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
INL vqi vq_load_u16(const uint8_t *p) { return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)); }
INL void vq_prefetch(const uint8_t *p) { __asm__ volatile("prefetcht0 %0" : : "m"(*p)); }

INL void vq_pin(vqi *x) { __asm__("" : "+x"(*x)); }

INL vqi vq_and(vqi a, vqi b) { return _mm256_and_si256(a, b); }
INL vqi vq_sub(vqi a, vqi b) { return _mm256_sub_epi32(a, b); }
INL vqi vq_sub8(vqi a, vqi b) { return _mm256_sub_epi8(a, b); }
INL vqi vq_shl(vqi x, int n) { return _mm256_slli_epi32(x, n); }
INL vqi vq_sar(vqi x, int n) { return _mm256_srai_epi32(x, n); }
INL vqi vq_or_and(vqi a, vqi b, vqi mask) { return _mm256_or_si256(a, _mm256_and_si256(b, mask)); }
INL vqi vq_pick_below(vqi x, int limit, vqi a, vqi b) {
    return _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), x));
}
/* By 16-bit lanes: the mask keeps the neighbours' bits out. A count that is not a constant may have either sign. */
INL vqi vq_shift(vqi x, int n) {
    const __m128i right = _mm_cvtsi32_si128(n > 0 ? n : 0), left = _mm_cvtsi32_si128(n < 0 ? -n : 0);
    if (__builtin_constant_p(n)) return n >= 0 ? _mm256_srl_epi16(x, right) : _mm256_sll_epi16(x, left);
    return _mm256_sll_epi16(_mm256_srl_epi16(x, right), left);
}

INL vqi vq_even(vqi x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
INL vqi vq_odd(vqi x) { return _mm256_srai_epi16(x, 8); }
INL void vq_zip(vqi a, vqi b, vqi *low, vqi *high) {
    __m256 x = _mm256_castsi256_ps(_mm256_unpacklo_epi8(a, b)), y = _mm256_castsi256_ps(_mm256_unpackhi_epi8(a, b));
    *low = _mm256_castps_si256(_mm256_shuffle_ps(x, y, _MM_SHUFFLE(2, 0, 2, 0)));
    *high = _mm256_castps_si256(_mm256_shuffle_ps(x, y, _MM_SHUFFLE(3, 1, 3, 1)));
}
INL vqi vq_table(const int8_t v[16]) { return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)v)); }
INL vqi vq_lookup(vqi table, vqi x) { return _mm256_shuffle_epi8(table, x); }

INL vqf vqf_zero(void) { return _mm256_setzero_ps(); }
INL vqf vqf_set1(const float *p) { return _mm256_set1_ps(*p); }
INL vqf vqf_bits(vqi x) { return _mm256_castsi256_ps(x); }
INL vqf vqf_of_int(vqi x) { return _mm256_cvtepi32_ps(x); }
INL vqf vqf_load_f16(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INL vqf vqf_add(vqf a, vqf b) { return _mm256_add_ps(a, b); }
INL vqf vqf_mul(vqf a, vqf b) { return _mm256_mul_ps(a, b); }
INL vqf vqf_fma(vqf a, vqf b, vqf c) { return _mm256_fmadd_ps(a, b, c); }
INL vqf vqf_fnma(vqf a, vqf b, vqf c) { return _mm256_fnmadd_ps(a, b, c); }
INL vqf vqf_load(const float *p) { return _mm256_loadu_ps(p); }
INL void vqf_store(float *p, vqf v) { _mm256_storeu_ps(p, v); }
INL vqf vqf_load_n(const float *p, uint32_t n) {
    float t[8] = {0};
    memcpy(t, p, n * sizeof *t);
    return _mm256_loadu_ps(t);
}
INL void vqf_store_n(float *p, vqf v, uint32_t n) {
    float t[8];
    _mm256_storeu_ps(t, v);
    memcpy(p, t, n * sizeof *t);
}

#endif
