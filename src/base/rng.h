/* rng.h - a small seeded generator: the same seed gives the same numbers on every machine.
 * Source: xoshiro256** 1.0 and splitmix64 by D. Blackman and S. Vigna (public domain algorithms). */
#ifndef TS_BASE_RNG_H
#define TS_BASE_RNG_H

#include <stdint.h>

typedef struct ts_rng {
    uint64_t s[4];
} ts_rng;

static inline ts_rng ts_rng_seed(uint64_t seed) {
    ts_rng r;
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r.s[i] = z ^ (z >> 31);
    }
    return r;
}

static inline uint64_t ts_rng_u64(ts_rng *r) {
    uint64_t *s = r->s, x = s[1] * 5, out = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return out;
}

static inline uint32_t ts_rng_u32(ts_rng *r) { return (uint32_t)(ts_rng_u64(r) >> 32); }
/* Uniform in [0, 1) with 53 bits. */
static inline double ts_rng_f64(ts_rng *r) { return (double)(ts_rng_u64(r) >> 11) * 0x1p-53; }
/* Uniform in [0, n), n > 0; the bias of at most n / 2^64 is of no account here. */
static inline uint64_t ts_rng_below(ts_rng *r, uint64_t n) { return ts_rng_u64(r) % n; }
/* About normal with mean 0 and deviation 1: the sum of 12 uniforms less 6. */
static inline double ts_rng_gauss(ts_rng *r) {
    double g = -6;
    for (int i = 0; i < 12; i++) g += ts_rng_f64(r);
    return g;
}

#endif
