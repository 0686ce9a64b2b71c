/* probe_i8mm.c - see TS_PROBE_MACS in kern.h; memory is read as dotprod reads it. The kernels use USDOT, so this does,
 * too; SMMLA multiplies more in one instruction. */
#include "kern/kern.h"

#include <arm_neon.h>

static TS_PROBE_MACS(probe_int8) {
    int32x4_t a[16];
    uint8x16_t w = vdupq_n_u8(7);
    int8x16_t x = vdupq_n_s8(3);
    for (int i = 0; i < 16; i++) a[i] = vdupq_n_s32(i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) a[i] = vusdotq_s32(a[i], w, x);
        __asm__ volatile("" : "+w"(w), "+w"(x)); /* the operands are not constants */
    }
    for (int i = 0; i < 16; i++) *sink += (uint32_t)vaddvq_s32(a[i]);
    return rounds * 16 * 16;
}

void ts_kern_init_i8mm_probe(ts_kern *k) {
    k->probe_int8 = k->probe_narrow = probe_int8;
}
