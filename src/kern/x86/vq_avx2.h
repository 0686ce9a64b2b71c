/* vq_avx2.h - the products of the quantised kernels by vpmaddubsw: sums of two in 16 bits, which must not saturate. See
 * simd/gemm_q_tmpl.h for what each operation is.
 *
 * Unsigned weights stay below 64 (2 * 64 * 127 < 2^15); those of 8 bits move the sign to the activations
 * (2 * 128 * 127 < 2^15), or are multiplied in 16 bits. */
#ifndef TS_KERN_X86_VQ_AVX2_H
#define TS_KERN_X86_VQ_AVX2_H

#include "kern/x86/vq_ymm.h"

enum {
    VQ_ROWS = 8, VQ_TOKS = 4, VQ_FEW = 4, VQ_STREAMS = 2, VQ_WOVEN = 0, VQ_AHEAD = 6144,
    VQ_SIGNED_FROM = 7, VQ_RUNS = 1
};

/* Both int16 of a lane: its byte to the upper bytes, and down with the sign. */
INL vqi vq_scale(vqi x, int i) {
    const char j = (char)i, z = (char)0x80;
    const __m128i at = _mm_setr_epi8(z, j, z, j, z, j + 4, z, j + 4, z, j + 8, z, j + 8, z, j + 12, z, j + 12);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(at)), 8);
}
INL vqi vq_pairs(vqi w, vqi x) { return _mm256_maddubs_epi16(w, x); }
INL vqi vq_pairs_signed(vqi w, vqi x) { return vq_pairs(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)); }
INL vqi vq_more(vqi a, vqi b) { return _mm256_add_epi16(a, b); }
INL vqi vq_ones(void) { return _mm256_set1_epi16(1); }
INL vqi vq_mul16(vqi a, vqi b) { return _mm256_mullo_epi16(a, b); }
INL vqi vq_sar16(vqi x, int n) { return _mm256_srai_epi16(x, n); }
INL vqi vq_weigh(vqi acc, vqi sum, vqi scale) { return _mm256_add_epi32(acc, _mm256_madd_epi16(sum, scale)); }
INL vqi vq_dot4(vqi acc, vqi w, vqi x) { return (void)w, (void)x, acc; } /* VQ_RUNS: never called */
INL vqi vq_dot2(vqi acc, vqi a, vqi b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
/* In one piece, as compilers like to copy what is held by vq_pin. */
INL void vq_dot2_here(vqi *acc, vqi a, vqi b) {
    vqi two;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(*acc), "=&x"(two) : "x"(a), "x"(b));
}

#endif
