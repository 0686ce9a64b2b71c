/* probe_ref.c - see TS_PROBE_* in kern.h. */
#include "kern/kern.h"

#include <string.h>

static TS_PROBE_INT8(probe_int8) {
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
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        uint64_t v[8];
        memcpy(v, (const char *)data + i, 64);
        for (int k = 0; k < 8; k++) sum[k] += v[k];
    }
    for (int k = 0; k < 8; k++) *sink += sum[k];
}

void ts_kern_init_ref_probe(ts_kern *k) {
    k->probe_int8 = probe_int8;
    k->probe_read = probe_read;
}
