/* convert.c - the number conversions of the core: up-shift, shift-round-saturate, pack, unpack, bfloat16. */
#include "aie2/core_int.h"

/* ---- integers ---------------------------------------------------------------------------------------------------- */

static int64_t lane_get(const uint8_t *p, unsigned bits, unsigned i, bool is_signed) {
    uint64_t v = 0;
    if (bits == 4) v = p[i / 2] >> 4 * (i & 1) & 15;
    else memcpy(&v, p + (size_t)i * bits / 8, bits / 8);
    if (is_signed && bits < 64) return (int64_t)(v << (64 - bits)) >> (64 - bits);
    return (int64_t)v;
}

static void lane_put(uint8_t *p, unsigned bits, unsigned i, int64_t v) {
    if (bits == 4) p[i / 2] = (uint8_t)(i & 1 ? (p[i / 2] & 15) | v << 4 : (v & 15));
    else memcpy(p + (size_t)i * bits / 8, &v, bits / 8);
}

/* The range of a lane; symmetric leaves out the lowest negative number. */
static int64_t lane_max(unsigned bits, bool is_signed) {
    return is_signed ? (int64_t)(UINT64_MAX >> (65 - bits)) : bits == 64 ? INT64_MAX : (int64_t)((1ull << bits) - 1);
}

static int64_t saturate(int64_t v, unsigned bits, bool is_signed, bool symmetric, bool *over) {
    int64_t hi = lane_max(bits, is_signed), lo = is_signed ? -hi - !symmetric : 0;
    if (v > hi) return *over = true, hi;
    if (v < lo) return *over = true, lo;
    return v;
}

static bool fits(int64_t v, unsigned bits) {
    return bits == 64 || (v >= -((int64_t)1 << (bits - 1)) && v < (int64_t)1 << (bits - 1));
}

bool ts_aie2_ups(uint8_t *out, unsigned to, const uint8_t *in, unsigned from, unsigned n, uint32_t shift,
                 bool is_signed, unsigned sat) {
    unsigned s = shift & 63; /* no capture has a count out of range: 6 bits [guess] */
    bool any = false;
    for (unsigned i = 0; i < n; i++) {
        int64_t x = lane_get(in, from, i, is_signed);
        int64_t y = (int64_t)((uint64_t)x << s);
        bool over = y >> s != x || !fits(y, to);
        if (over && sat & 1) y = x < 0 ? -lane_max(to, true) - 1 : lane_max(to, true);
        any |= over;
        lane_put(out, to, i, y);
    }
    return any;
}

/* x / 2^s, rounded by crRnd: modes 0-3 by direction, 8-13 to the nearest with six ways to break a tie. */
static int64_t round_shift(int64_t x, unsigned s, unsigned rnd) {
    if (!s) return x;
    int64_t y = x >> s;
    bool guard = x >> (s - 1) & 1, rest = s > 1 && (x & (int64_t)((1ull << (s - 1)) - 1)) != 0, neg = x < 0;
    switch (rnd) {
    case 1: return y + (guard || rest);
    case 2: return y + (neg && (guard || rest));
    case 3: return y + (!neg && (guard || rest));
    case 8: return y + (guard && rest);
    case 9: return y + guard;
    case 10: return y + (guard && (rest || neg));
    case 11: return y + (guard && (rest || !neg));
    case 12: return y + (guard && (rest || (y & 1)));
    case 13: return y + (guard && (rest || !(y & 1)));
    default: return y; /* 0: down. The other codes are not documented */
    }
}

bool ts_aie2_srs(uint8_t *out, unsigned to, const uint8_t *in, unsigned from, unsigned n, uint32_t shift,
                 bool is_signed, unsigned sat, unsigned rnd) {
    unsigned s = shift & 63;
    bool over = false;
    for (unsigned i = 0; i < n; i++) {
        int64_t y = round_shift(lane_get(in, from, i, true), s, rnd);
        int64_t clipped = saturate(y, to, is_signed, sat & 2, &over);
        lane_put(out, to, i, sat & 1 ? clipped : y);
    }
    return over;
}

void ts_aie2_unpack(uint8_t out[64], const uint8_t in[32], unsigned from, bool is_signed) {
    for (unsigned i = 0; i < 256 / from; i++) lane_put(out, 2 * from, i, lane_get(in, from, i, is_signed));
}

void ts_aie2_pack(uint8_t out[32], const uint8_t in[64], unsigned to, bool is_signed, unsigned sat) {
    bool over = false;
    for (unsigned i = 0; i < 256 / to; i++) {
        int64_t x = lane_get(in, 2 * to, i, is_signed);
        lane_put(out, to, i, sat & 1 ? saturate(x, to, is_signed, sat & 2, &over) : x);
    }
}

/* ---- bfloat16 ---------------------------------------------------------------------------------------------------- */

enum { FLAG_INVALID = 1, FLAG_OVERFLOW = 4, FLAG_UNDERFLOW = 8 }; /* of srF2FFlags and srF2IFlags; positions [guess] */

/* Rounds the magnitude; denormals are ordinary numbers here. */
static uint16_t round_bf16(uint32_t x, unsigned rnd, unsigned *flags) {
    bool neg = x >> 31;
    uint32_t mag = x & 0x7fffffff, y = mag >> 16;
    bool guard = mag >> 15 & 1, rest = mag & 0x7fff, up;
    if (mag > 0x7f800000) { /* not a number stays one */
        *flags |= FLAG_INVALID;
        return (uint16_t)(x >> 16 | (y == 0x7f80));
    }
    switch (rnd) {
    case 0: up = neg && (guard || rest); break;
    case 1: up = !neg && (guard || rest); break;
    case 3: up = guard || rest; break;
    case 8: up = guard && (rest || neg); break;
    case 9: up = guard && (rest || !neg); break;
    case 10: up = guard && rest; break;
    case 11: up = guard; break;
    case 12: up = guard && (rest || (y & 1)); break;
    case 13: up = guard && (rest || !(y & 1)); break;
    default: up = false; break; /* 2: toward zero */
    }
    y += up;
    if (y >= 0x7f80 && mag < 0x7f800000) *flags |= FLAG_OVERFLOW;
    return (uint16_t)(y | (uint32_t)neg << 15);
}

unsigned ts_aie2_f32_to_bf16(uint8_t out[32], const uint8_t in[64], unsigned rnd) {
    unsigned flags = 0;
    for (unsigned i = 0; i < 16; i++) {
        uint32_t x;
        memcpy(&x, in + 4 * i, 4);
        uint16_t y = round_bf16(x, rnd, &flags);
        memcpy(out + 2 * i, &y, 2);
    }
    return flags;
}

void ts_aie2_bf16_to_f32(uint8_t out[64], const uint8_t in[32]) {
    for (unsigned i = 0; i < 16; i++) {
        uint32_t y = 0;
        memcpy((uint8_t *)&y + 2, in + 2 * i, 2);
        memcpy(out + 4 * i, &y, 4);
    }
}

/* floor(x * 2^shift) as a saturated 32-bit integer; the shift is the signed value of six bits. */
static int32_t floor_bf16(uint16_t x, int shift, unsigned *flags) {
    bool neg = x >> 15;
    int exp = x >> 7 & 255, man = x & 127;
    if (exp == 255 && man) {
        *flags |= FLAG_INVALID;
        return INT32_MAX;
    }
    if (exp) man |= 128;
    int e = (exp ? exp : 1) - 127 - 7 + shift; /* value = man * 2^e */
    int64_t v;
    if (!man) return 0;
    if (exp == 255 || e > 32) v = neg ? INT64_MIN : INT64_MAX;
    else if (e >= 0) v = (int64_t)(neg ? -man : man) * ((int64_t)1 << e);
    else if (e < -31) v = neg ? -1 : 0;
    else v = (neg ? -man : man) >> -e; /* arithmetic: rounds down */
    if (v > INT32_MAX || v < INT32_MIN) *flags |= FLAG_OVERFLOW;
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

unsigned ts_aie2_bf16_floor(uint8_t out[64], const uint8_t in[32], uint32_t shift) {
    unsigned flags = 0;
    int s = (int)(shift & 63);
    if (s > 31) s -= 64;
    for (unsigned i = 0; i < 16; i++) {
        uint16_t x;
        memcpy(&x, in + 2 * i, 2);
        int32_t y = floor_bf16(x, s, &flags);
        memcpy(out + 4 * i, &y, 4);
    }
    return flags;
}
