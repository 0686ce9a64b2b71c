/* vq_avx512vnni.h - the vectors of the quantised kernels: 16 rows in a zmm register, vpdpbusd for the 4-way dot
 * product. See simd/gemm_q_tmpl.h for what each operation is. */
#ifndef TS_KERN_X86_VQ_AVX512VNNI_H
#define TS_KERN_X86_VQ_AVX512VNNI_H

#include "kern/simd/inline.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum {
    VQ_ROWS = 16, VQ_TOKS = 4, VQ_FEW = 8, VQ_STREAMS = 2, VQ_WOVEN = 1, VQ_AHEAD = 4096,
    VQ_SIGNED_FROM = 8, VQ_RUNS = 0
};

typedef __m512i vqi;
typedef __m512 vqf;

INL vqi vq_zero(void) { return _mm512_setzero_si512(); }
INL vqi vq_set1(uint32_t v) { return _mm512_set1_epi32((int)v); }
INL vqi vq_bytes(int v) { return _mm512_set1_epi8((char)v); }
INL vqi vq_bcast(const void *p) {
    int v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
INL vqi vq_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
INL vqi vq_load_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
INL vqi vq_load_u16(const uint8_t *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)); }
INL void vq_prefetch(const uint8_t *p) { __asm__ volatile("prefetcht0 %0" : : "m"(*p)); }

INL void vq_pin(vqi *x) { __asm__("" : "+v"(*x)); }

INL vqi vq_and(vqi a, vqi b) { return _mm512_and_si512(a, b); }
INL vqi vq_sub(vqi a, vqi b) { return _mm512_sub_epi32(a, b); }
INL vqi vq_sub8(vqi a, vqi b) { return _mm512_sub_epi8(a, b); }
INL vqi vq_weigh(vqi acc, vqi a, vqi b) { return _mm512_add_epi32(acc, _mm512_mullo_epi32(a, b)); }
INL vqi vq_shl(vqi x, int n) { return _mm512_slli_epi32(x, (unsigned)n); }
INL vqi vq_sar(vqi x, int n) { return _mm512_srai_epi32(x, (unsigned)n); }
INL vqi vq_or_and(vqi a, vqi b, vqi mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xf8); }
INL vqi vq_pick_below(vqi x, int limit, vqi a, vqi b) {
    return _mm512_mask_mov_epi32(b, _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(limit)), a);
}
/* A rotation, whose count need not be a constant: the mask keeps the neighbours' bits out. */
INL vqi vq_shift(vqi x, int n) { return _mm512_rorv_epi32(x, _mm512_set1_epi32(n & 31)); }

INL vqi vq_scale(vqi x, int i) { return _mm512_srai_epi32(vq_shift(x, 8 * i - 24), 24); }
INL vqi vq_even(vqi x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
INL vqi vq_odd(vqi x) { return _mm512_srai_epi16(x, 8); }
INL void vq_zip(vqi a, vqi b, vqi *low, vqi *high) {
    __m512 x = _mm512_castsi512_ps(_mm512_unpacklo_epi8(a, b)), y = _mm512_castsi512_ps(_mm512_unpackhi_epi8(a, b));
    *low = _mm512_castps_si512(_mm512_shuffle_ps(x, y, _MM_SHUFFLE(2, 0, 2, 0)));
    *high = _mm512_castps_si512(_mm512_shuffle_ps(x, y, _MM_SHUFFLE(3, 1, 3, 1)));
}
INL vqi vq_table(const int8_t v[16]) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)v)); }
INL vqi vq_lookup(vqi table, vqi x) { return _mm512_shuffle_epi8(table, x); }

INL vqi vq_dot4(vqi acc, vqi w, vqi x) { return _mm512_dpbusd_epi32(acc, w, x); }
INL vqi vq_dot2(vqi acc, vqi a, vqi b) { return _mm512_dpwssd_epi32(acc, a, b); }

INL vqf vqf_zero(void) { return _mm512_setzero_ps(); }
INL vqf vqf_set1(const float *p) { return _mm512_set1_ps(*p); }
INL vqf vqf_bits(vqi x) { return _mm512_castsi512_ps(x); }
INL vqf vqf_of_int(vqi x) { return _mm512_cvtepi32_ps(x); }
INL vqf vqf_load_f16(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INL vqf vqf_add(vqf a, vqf b) { return _mm512_add_ps(a, b); }
INL vqf vqf_mul(vqf a, vqf b) { return _mm512_mul_ps(a, b); }
INL vqf vqf_fma(vqf a, vqf b, vqf c) { return _mm512_fmadd_ps(a, b, c); }
INL vqf vqf_fnma(vqf a, vqf b, vqf c) { return _mm512_fnmadd_ps(a, b, c); }
INL vqf vqf_load(const float *p) { return _mm512_loadu_ps(p); }
INL void vqf_store(float *p, vqf v) { _mm512_storeu_ps(p, v); }
INL vqf vqf_load_n(const float *p, uint32_t n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INL void vqf_store_n(float *p, vqf v, uint32_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v); }

#include "kern/simd/no_runs_tmpl.h"

#endif
