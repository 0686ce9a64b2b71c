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

static TS_PROBE_INT8(probe_int8) {
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
    for (size_t i = 0; i + 256 <= bytes; i += 256) {
        s0 = _mm512_xor_si512(s0, _mm512_loadu_si512(p + i));
        s1 = _mm512_xor_si512(s1, _mm512_loadu_si512(p + i + 64));
        s2 = _mm512_xor_si512(s2, _mm512_loadu_si512(p + i + 128));
        s3 = _mm512_xor_si512(s3, _mm512_loadu_si512(p + i + 192));
    }
    s0 = _mm512_xor_si512(_mm512_xor_si512(s0, s1), _mm512_xor_si512(s2, s3));
    *sink += sum_of(s0);
}

void ts_kern_init_avx512vnni_probe(ts_kern *k) {
    k->probe_int8 = probe_int8;
    k->probe_read = probe_read;
}
