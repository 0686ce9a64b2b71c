/* probe_avx2.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

#include <immintrin.h>

static TS_PROBE_MACS(probe_int8) {
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

/* Eight words go into a sum of 16 bits before it is widened. */
static TS_PROBE_MACS(probe_narrow) {
    __m256i a[8], sum = _mm256_setzero_si256(), w = _mm256_set1_epi8(7), x = _mm256_set1_epi8(3);
    const __m256i one = _mm256_set1_epi16(1);
    for (uint64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < 8; i++) a[i] = _mm256_maddubs_epi16(w, x);
        for (int word = 1; word < 8; word++) {
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                a[i] = _mm256_add_epi16(a[i], _mm256_maddubs_epi16(w, x));
                __asm__ volatile("" : "+x"(a[i]), "+x"(w), "+x"(x)); /* one after the other, and no constants */
            }
        }
        for (int i = 0; i < 8; i++) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a[i], one));
    }
    int32_t v[8];
    _mm256_storeu_si256((__m256i *)v, sum);
    for (int i = 0; i < 8; i++) *sink += (uint32_t)v[i];
    return rounds * 8 * 8 * 32;
}

static __m256i xor_line(__m256i s, const char *p) {
    s = _mm256_xor_si256(s, _mm256_loadu_si256((const __m256i *)p));
    return _mm256_xor_si256(s, _mm256_loadu_si256((const __m256i *)(p + 32)));
}

static TS_PROBE_READ(probe_read) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    const char *p = data;
    const size_t apart = four ? bytes / 4 : 64, step = four ? 64 : 256, end = four ? bytes / 4 : bytes;
    for (size_t i = 0; i < end; i += step) {
        s0 = xor_line(s0, p + i);
        s1 = xor_line(s1, p + i + apart);
        s2 = xor_line(s2, p + i + 2 * apart);
        s3 = xor_line(s3, p + i + 3 * apart);
    }
    uint64_t v[4];
    _mm256_storeu_si256((__m256i *)v, _mm256_xor_si256(_mm256_xor_si256(s0, s1), _mm256_xor_si256(s2, s3)));
    for (int i = 0; i < 4; i++) *sink ^= v[i];
}

void ts_kern_init_avx2_probe(ts_kern *k) {
    k->probe_int8 = probe_int8;
    k->probe_narrow = probe_narrow;
    k->probe_read = probe_read;
}
