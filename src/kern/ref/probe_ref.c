/* probe_ref.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

static TS_PROBE_MACS(probe_int8) {
    int32_t acc[16] = {0};
    int8_t x[64];
    uint8_t w[64];
    for (int i = 0; i < 64; i++) x[i] = (int8_t)(i - 32), w[i] = (uint8_t)(3 * i);
    for (uint64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < 64; i++) acc[i / 4] += w[i] * x[i];
        x[r % 64] = (int8_t)acc[r % 16];
    }
    for (int i = 0; i < 16; i++) *sink += (uint32_t)acc[i];
    return rounds * 64;
}

static TS_PROBE_READ(probe_read) {
    const uint64_t *p = data;
    const size_t n = bytes / 8, apart = four ? n / 4 : 1, step = four ? 1 : 4, end = four ? n / 4 : n;
    uint64_t x[4] = {0};
    for (size_t i = 0; i < end; i += step)
        for (size_t s = 0; s < 4; s++) x[s] ^= p[i + s * apart];
    *sink ^= x[0] ^ x[1] ^ x[2] ^ x[3];
}

void ts_kern_init_ref_probe(ts_kern *k) {
    k->probe_int8 = k->probe_narrow = probe_int8;
    k->probe_read = probe_read;
}
