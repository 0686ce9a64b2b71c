/* probe_dotprod.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

#include <arm_neon.h>

static TS_PROBE_MACS(probe_int8) {
    int32x4_t a[16];
    int8x16_t w = vdupq_n_s8(7), x = vdupq_n_s8(3);
    for (int i = 0; i < 16; i++) a[i] = vdupq_n_s32(i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) a[i] = vdotq_s32(a[i], w, x);
        __asm__ volatile("" : "+w"(w), "+w"(x)); /* the operands are not constants */
    }
    for (int i = 0; i < 16; i++) *sink += (uint32_t)vaddvq_s32(a[i]);
    return rounds * 16 * 16;
}

static uint64x2_t xor_line(uint64x2_t s, const uint8_t *p) {
    for (int i = 0; i < 4; i++) s = veorq_u64(s, vreinterpretq_u64_u8(vld1q_u8(p + 16 * i)));
    return s;
}

static TS_PROBE_READ(probe_read) {
    uint64x2_t s0 = vdupq_n_u64(0), s1 = s0, s2 = s0, s3 = s0;
    const uint8_t *p = data;
    const size_t apart = four ? bytes / 4 : 64, step = four ? 64 : 256, end = four ? bytes / 4 : bytes;
    for (size_t i = 0; i < end; i += step) {
        s0 = xor_line(s0, p + i);
        s1 = xor_line(s1, p + i + apart);
        s2 = xor_line(s2, p + i + 2 * apart);
        s3 = xor_line(s3, p + i + 3 * apart);
    }
    s0 = veorq_u64(veorq_u64(s0, s1), veorq_u64(s2, s3));
    *sink ^= vgetq_lane_u64(s0, 0) ^ vgetq_lane_u64(s0, 1);
}

void ts_kern_init_dotprod_probe(ts_kern *k) {
    k->probe_int8 = k->probe_narrow = probe_int8; /* nothing is gained by sums of 16 bits */
    k->probe_read = probe_read;
}
