/* vq_avxvnni.h - the products of the quantised kernels by vpdpbusd on ymm registers. See simd/gemm_q_tmpl.h for what
 * each operation is. */
#ifndef TS_KERN_X86_VQ_AVXVNNI_H
#define TS_KERN_X86_VQ_AVXVNNI_H

#include "kern/x86/vq_ymm.h"

#if !defined(TS_VNNI_BY_DEFINITION)
#    define DPBUSD _mm256_dpbusd_avx_epi32
#    define DPWSSD _mm256_dpwssd_avx_epi32
#else /* a processor without them: what Intel's manual says they do, for tests */
/* Of every four bytes: x + the sum of the unsigned ones of a times the signed ones of b. */
INL __m256i DPBUSD(__m256i x, __m256i a, __m256i b) {
    const __m256i low = _mm256_set1_epi16(255);
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, low), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return _mm256_add_epi32(x, _mm256_add_epi32(even, odd));
}
INL __m256i DPWSSD(__m256i x, __m256i a, __m256i b) {
    return _mm256_add_epi32(x, _mm256_madd_epi16(a, b));
}
#endif

enum {
    VQ_ROWS = 8, VQ_TOKS = 4, VQ_FEW = 8, VQ_STREAMS = 2, VQ_WOVEN = 0, VQ_AHEAD = 6144,
    VQ_SIGNED_FROM = 8, VQ_RUNS = 0
};

INL vqi vq_scale(vqi x, int i) {
    return _mm256_srai_epi32(_mm256_sll_epi32(x, _mm_cvtsi32_si128(24 - 8 * i)), 24);
}
INL vqi vq_dot4(vqi acc, vqi w, vqi x) { return DPBUSD(acc, w, x); }
INL vqi vq_dot2(vqi acc, vqi a, vqi b) { return DPWSSD(acc, a, b); }
INL vqi vq_weigh(vqi acc, vqi sum, vqi scale) { return _mm256_add_epi32(acc, _mm256_mullo_epi32(sum, scale)); }

#include "kern/simd/no_runs_tmpl.h"

#endif
