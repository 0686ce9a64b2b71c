/* probe_avx512vnni.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

#include <immintrin.h>

/* The reductions of immintrin.h add signed integers, which may not overflow. */
static uint64_t sum_of(__m512i x) {
    uint64_t lane[8], sum = 0;
    _mm512_storeu_si512(lane, x);
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}

static TS_PROBE_MACS(probe_int8) {
    __m512i a[12], w = _mm512_set1_epi8(7), x = _mm512_set1_epi8(3);
    for (int i = 0; i < 12; i++) a[i] = _mm512_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = _mm512_dpbusd_epi32(a[i], w, x);
        __asm__ volatile("" : "+v"(w), "+v"(x)); /* the operands are not constants */
    }
    for (int i = 0; i < 12; i++) *sink += sum_of(a[i]);
    return rounds * 12 * 64;
}

static TS_PROBE_READ(probe_read) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    const char *p = data;
    const size_t apart = four ? bytes / 4 : 64, step = four ? 64 : 256, end = four ? bytes / 4 : bytes;
    for (size_t i = 0; i < end; i += step) {
        s0 = _mm512_xor_si512(s0, _mm512_loadu_si512(p + i));
        s1 = _mm512_xor_si512(s1, _mm512_loadu_si512(p + i + apart));
        s2 = _mm512_xor_si512(s2, _mm512_loadu_si512(p + i + 2 * apart));
        s3 = _mm512_xor_si512(s3, _mm512_loadu_si512(p + i + 3 * apart));
    }
    uint64_t lane[8];
    _mm512_storeu_si512(lane, _mm512_xor_si512(_mm512_xor_si512(s0, s1), _mm512_xor_si512(s2, s3)));
    for (int i = 0; i < 8; i++) *sink ^= lane[i];
}

void ts_kern_init_avx512vnni_probe(ts_kern *k) {
    k->probe_int8 = k->probe_narrow = probe_int8; /* nothing is gained by sums of 16 bits */
    k->probe_read = probe_read;
}
