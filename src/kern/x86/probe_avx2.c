/* probe_avx2.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

#include <immintrin.h>

static TS_PROBE_INT8(probe_int8) {
    __m256i a[8], w = _mm256_set1_epi8(7), x = _mm256_set1_epi8(3), one = _mm256_set1_epi16(1);
    for (int i = 0; i < 8; i++) a[i] = _mm256_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m256i p = _mm256_maddubs_epi16(w, x);
            a[i] = _mm256_add_epi32(a[i], _mm256_madd_epi16(p, one));
            __asm__ volatile("" : "+x"(w), "+x"(x)); /* the operands are not constants */
        }
    }
    __m256i s = a[0];
    for (int i = 1; i < 8; i++) s = _mm256_add_epi32(s, a[i]);
    int32_t v[8];
    _mm256_storeu_si256((__m256i *)v, s);
    for (int i = 0; i < 8; i++) *sink += (uint32_t)v[i];
    return rounds * 8 * 32;
}

static TS_PROBE_READ(probe_read) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    const char *p = data;
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        s0 = _mm256_xor_si256(s0, _mm256_loadu_si256((const __m256i *)(p + i)));
        s1 = _mm256_xor_si256(s1, _mm256_loadu_si256((const __m256i *)(p + i + 32)));
        s0 = _mm256_xor_si256(s0, _mm256_loadu_si256((const __m256i *)(p + i + 64)));
        s1 = _mm256_xor_si256(s1, _mm256_loadu_si256((const __m256i *)(p + i + 96)));
    }
    uint64_t v[4];
    _mm256_storeu_si256((__m256i *)v, _mm256_xor_si256(s0, s1));
    for (int i = 0; i < 4; i++) *sink += v[i];
}

void ts_kern_init_avx2_probe(ts_kern *k) {
    k->probe_int8 = probe_int8;
    k->probe_read = probe_read;
}
