/* probe_avxvnni.c - see TS_PROBE_MACS in kern.h; memory is read as AVX2 reads it. */
#include "kern/kern.h"
#include "kern/simd/inline.h"

#include <immintrin.h>

static TS_PROBE_MACS(probe_int8) {
    __m256i a[10], w = _mm256_set1_epi8(7), x = _mm256_set1_epi8(3);
    UNROLL for (int i = 0; i < 10; i++) a[i] = _mm256_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++)
        UNROLL for (int i = 0; i < 10; i++) {
            a[i] = _mm256_dpbusd_avx_epi32(a[i], w, x);
            __asm__ volatile("" : "+x"(a[i]), "+x"(w), "+x"(x)); /* in registers, and no constants */
        }
    __m256i s = a[0];
    UNROLL for (int i = 1; i < 10; i++) s = _mm256_add_epi32(s, a[i]);
    int32_t v[8];
    _mm256_storeu_si256((__m256i *)v, s);
    for (int i = 0; i < 8; i++) *sink += (uint32_t)v[i];
    return rounds * 10 * 32;
}

void ts_kern_init_avxvnni_probe(ts_kern *k) {
    k->probe_int8 = k->probe_narrow = probe_int8; /* nothing is gained by sums of 16 bits */
}
