#include "format/quant.h"
#include "format/wtype.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Non-linear 4-bit levels of IQ4_NL and IQ4_XS; part of the format. */
const int8_t ts_iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/* Twice the FP4 (E2M1) values: sign bit, two exponent bits, one mantissa bit. */
const int8_t ts_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float ts_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, abs = h & 0x7fff;
    if (abs < 0x0400) return float_of(sign | bits_of((float)abs * 0x1p-24f)); /* zero, denormal */
    if (abs < 0x7c00) return float_of(sign | ((abs << 13) + (112u << 23)));
    if (abs == 0x7c00) return float_of(sign | 0x7f800000);
    return float_of(sign | 0x7fc00000 | abs << 13); /* a NaN, made quiet as the F16C instructions do */
}

uint16_t ts_f32_to_f16(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, abs = u & 0x7fffffff, h;
    if (abs > 0x7f800000)
        h = 0x7e00 | (abs >> 13 & 0x3ff);
    else if (abs >= 0x47800000) /* 65536 and more; 65520 and more round up to infinity below */
        h = 0x7c00;
    else if (abs >= 0x38800000) /* 2^-14: the smallest normal */
        h = (abs - (112u << 23) + 0xfff + (abs >> 13 & 1)) >> 13;
    else /* a unit of the sum's last place is 2^-24, the unit of a denormal: the addition rounds */
        h = bits_of(float_of(abs) + 0.5f) - 0x3f000000;
    return (uint16_t)(sign | h);
}

uint16_t ts_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); /* quiet NaN; rounding could make it Inf */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float ts_mxfp4_scale(uint8_t e) {
    return float_of(e < TS_MXFP4_MIN ? 0 : (uint32_t)(e - 1) << 23); /* the exponent field of 2^(e-128) is e - 1 */
}

void ts_q4k_scale_min(const uint8_t s[12], int j, uint8_t *scale, uint8_t *min) {
    /* bytes 0..3 and 4..7 hold scales and mins 0..3 in their low 6 bits, and in their top 2 bits the top of 4..7,
     * whose low nibbles share bytes 8..11 */
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (uint8_t)((s[j + 4] & 15) | s[j - 4] >> 6 << 4);
        *min = (uint8_t)(s[j + 4] >> 4 | s[j] >> 6 << 4);
    }
}

void ts_q3k_scales(const uint8_t s[12], int8_t out[16]) {
    /* bytes 0..7: low nibbles of 0..7 below those of 8..15; bytes 8..11: the top 2 bits, of j at byte 8 + j % 4 */
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4, high = s[8 + j % 4] >> (j / 4 * 2) & 3;
        out[j] = (int8_t)((low | high << 4) - 32);
    }
}

int ts_iq4xs_scale(const ts_block_iq4_xs *b, int j) {
    int low = b->scales_l[j / 2] >> (j % 2 * 4) & 15, high = b->scales_h >> (j * 2) & 3;
    return (low | high << 4) - 32;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Each function turns the block at p (any alignment) into floats. In the 32-element types byte j holds element j in its
 * low nibble and j + 16 in the high one. */

static void dequant_f16(const uint8_t *p, float *out) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    *out = ts_f16_to_f32(h);
}

static void dequant_bf16(const uint8_t *p, float *out) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    *out = ts_bf16_to_f32(h);
}

static void dequant_q4_0(const uint8_t *p, float *out) {
    ts_block_q4_0 b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)((b.qs[j] & 15) - 8) * d;
        out[j + 16] = (float)((b.qs[j] >> 4) - 8) * d;
    }
}

static void dequant_q4_1(const uint8_t *p, float *out) {
    ts_block_q4_1 b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d), m = ts_f16_to_f32(b.m);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)(b.qs[j] & 15) * d + m;
        out[j + 16] = (float)(b.qs[j] >> 4) * d + m;
    }
}

static void dequant_u4g(const uint8_t *p, float *out) {
    ts_block_u4g b;
    memcpy(&b, p, sizeof b);
    const float d = ts_f16_to_f32(b.d);
    const int z = b.z & 15;
    for (int j = 0; j < 16; j++) {
        out[j] = (float)((b.qs[j] & 15) - z) * d;
        out[j + 16] = (float)((b.qs[j] >> 4) - z) * d;
    }
}

/* The fifth bit of element i is bit i of the 32-bit number qh. */
static int fifth_bit(const uint8_t qh[4], int i) { return (qh[i / 8] >> (i % 8) & 1) << 4; }

static void dequant_q5_0(const uint8_t *p, float *out) {
    ts_block_q5_0 b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)(((b.qs[j] & 15) | fifth_bit(b.qh, j)) - 16) * d;
        out[j + 16] = (float)((b.qs[j] >> 4 | fifth_bit(b.qh, j + 16)) - 16) * d;
    }
}

static void dequant_q5_1(const uint8_t *p, float *out) {
    ts_block_q5_1 b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d), m = ts_f16_to_f32(b.m);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)((b.qs[j] & 15) | fifth_bit(b.qh, j)) * d + m;
        out[j + 16] = (float)(b.qs[j] >> 4 | fifth_bit(b.qh, j + 16)) * d + m;
    }
}

static void dequant_q8_0(const uint8_t *p, float *out) {
    ts_block_q8_0 b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int j = 0; j < 32; j++) out[j] = (float)b.qs[j] * d;
}

/* In Q2_K and Q3_K the 2-bit part of element i is at byte i / 128 * 32 + i % 32, bits i / 32 % 4 * 2. */
static int two_bits(const uint8_t qs[64], int i) { return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3; }

static void dequant_q2_k(const uint8_t *p, float *out) {
    ts_block_q2_k b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d), dmin = ts_f16_to_f32(b.dmin);
    for (int s = 0; s < 16; s++) {
        float dl = d * (float)(b.scales[s] & 15), ml = dmin * (float)(b.scales[s] >> 4);
        for (int i = s * 16; i < s * 16 + 16; i++) out[i] = dl * (float)two_bits(b.qs, i) - ml;
    }
}

static void dequant_q3_k(const uint8_t *p, float *out) {
    ts_block_q3_k b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    int8_t scale[16];
    ts_q3k_scales(b.scales, scale);
    for (int s = 0; s < 16; s++) {
        float dl = d * (float)scale[s];
        for (int i = s * 16; i < s * 16 + 16; i++) /* the third bit: bit i / 32 of hmask[i % 32] */
            out[i] = dl * (float)(two_bits(b.qs, i) + (b.hmask[i % 32] >> (i / 32) & 1) * 4 - 4);
    }
}

/* In Q4_K and Q5_K each 32 bytes hold 64 elements: sub-block 2k in the low nibbles, 2k + 1 in the high ones. */
static void dequant_q4_k(const uint8_t *p, float *out) {
    ts_block_q4_k b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d), dmin = ts_f16_to_f32(b.dmin);
    for (int s = 0; s < 8; s++) {
        uint8_t scale, min;
        ts_q4k_scale_min(b.scales, s, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        const uint8_t *q = b.qs + s / 2 * 32;
        for (int i = 0; i < 32; i++) out[s * 32 + i] = dl * (float)(q[i] >> (s % 2 * 4) & 15) - ml;
    }
}

static void dequant_q5_k(const uint8_t *p, float *out) {
    ts_block_q5_k b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d), dmin = ts_f16_to_f32(b.dmin);
    for (int s = 0; s < 8; s++) {
        uint8_t scale, min;
        ts_q4k_scale_min(b.scales, s, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        const uint8_t *q = b.qs + s / 2 * 32;
        for (int i = 0; i < 32; i++) /* the fifth bit: bit s of qh[i] */
            out[s * 32 + i] = dl * (float)((q[i] >> (s % 2 * 4) & 15) + (b.qh[i] >> s & 1) * 16) - ml;
    }
}

/* Q6_K: halves of 128 elements with 64 bytes ql and 32 bytes qh each. Quarter k (32 elements) of a half has its low
 * nibbles in ql[k % 2 * 32 + j], low ones for k < 2, high ones for the others, and its top 2 bits at bit 2k of
 * qh[j]. */
static void dequant_q6_k(const uint8_t *p, float *out) {
    ts_block_q6_k b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int s = 0; s < 16; s++) {
        int half = s / 8, k = s / 2 % 4;
        const uint8_t *ql = b.ql + half * 64 + k % 2 * 32, *qh = b.qh + half * 32;
        float dl = d * (float)b.scales[s];
        for (int i = 0; i < 16; i++) {
            int j = s % 2 * 16 + i, low = ql[j] >> (k / 2 * 4) & 15, high = qh[j] >> (k * 2) & 3;
            out[s * 16 + i] = dl * (float)((low | high << 4) - 32);
        }
    }
}

static void dequant_iq4_nl(const uint8_t *p, float *out) {
    ts_block_iq4_nl b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)ts_iq4_nl_values[b.qs[j] & 15];
        out[j + 16] = d * (float)ts_iq4_nl_values[b.qs[j] >> 4];
    }
}

static void dequant_iq4_xs(const uint8_t *p, float *out) {
    ts_block_iq4_xs b;
    memcpy(&b, p, sizeof b);
    float d = ts_f16_to_f32(b.d);
    for (int s = 0; s < 8; s++) {
        float dl = d * (float)ts_iq4xs_scale(&b, s);
        const uint8_t *q = b.qs + s * 16;
        for (int j = 0; j < 16; j++) {
            out[s * 32 + j] = dl * (float)ts_iq4_nl_values[q[j] & 15];
            out[s * 32 + j + 16] = dl * (float)ts_iq4_nl_values[q[j] >> 4];
        }
    }
}

static void dequant_mxfp4(const uint8_t *p, float *out) {
    float d = ts_mxfp4_scale(p[0]);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)ts_mxfp4_values[p[1 + j] & 15] * d;
        out[j + 16] = (float)ts_mxfp4_values[p[1 + j] >> 4] * d;
    }
}

static void (*const dequant_block[TS_DTYPES])(const uint8_t *p, float *out) = {
    [TS_F16] = dequant_f16,     [TS_BF16] = dequant_bf16,     [TS_Q4_0] = dequant_q4_0,     [TS_Q4_1] = dequant_q4_1,
    [TS_Q5_0] = dequant_q5_0,   [TS_Q5_1] = dequant_q5_1,     [TS_Q8_0] = dequant_q8_0,     [TS_Q2_K] = dequant_q2_k,
    [TS_Q3_K] = dequant_q3_k,   [TS_Q4_K] = dequant_q4_k,     [TS_Q5_K] = dequant_q5_k,     [TS_Q6_K] = dequant_q6_k,
    [TS_IQ4_NL] = dequant_iq4_nl, [TS_IQ4_XS] = dequant_iq4_xs, [TS_MXFP4] = dequant_mxfp4,
    [TS_U4G32] = dequant_u4g,   [TS_U4G64] = dequant_u4g,   [TS_U4G128] = dequant_u4g,
};

void ts_dequant(ts_dtype type, const void *blocks, float *out, size_t n) {
    const ts_dtype_info *t = ts_dtype_get(type);
    assert(t->block && n % t->block == 0);
    if (type == TS_F32) {
        if (n) memcpy(out, blocks, n * sizeof *out);
        return;
    }
    const uint8_t *p = blocks;
    switch (type) { /* not by a call for each element */
    case TS_F16:
        for (size_t i = 0; i < n; i++) dequant_f16(p + 2 * i, out + i);
        return;
    case TS_BF16:
        for (size_t i = 0; i < n; i++) dequant_bf16(p + 2 * i, out + i);
        return;
    default: break;
    }
    for (size_t i = 0; i < n; i += t->block, p += t->block_bytes) dequant_block[type](p, out + i);
}

/* ---- what is no number ------------------------------------------------------------------------------------------- */

static bool float_is_bad(const uint8_t *p) {
    return (p[3] & 0x7f) == 0x7f && (p[2] & 0x80);
}
static bool f16_is_bad(const uint8_t *p) {
    return (p[1] & 0x7c) == 0x7c;
}
static bool bf16_is_bad(const uint8_t *p) {
    return (p[1] & 0x7f) == 0x7f && (p[0] & 0x80);
}
static bool e8_is_bad(ts_dtype type, const uint8_t *e, const uint8_t *block) {
    if (*e < 250) return false; /* 127 * 2^(249 - 128) is still a float */
    if (*e == 255) return true;
    float out[256];
    const int n = ts_dtype_get(type)->block;
    ts_dequant(type, block, out, (size_t)n);
    for (int i = 0; i < n; i++)
        if (!isfinite(out[i])) return true;
    return false;
}

/* Is there one at all among n floats, halves or bf16s? A plain loop that the compiler makes fast. */
static bool any_bad(ts_dtype type, const uint8_t *p, size_t n) {
    uint32_t bad = 0;
    if (type == TS_F32) {
        for (size_t i = 0; i < n; i++) {
            uint32_t v;
            memcpy(&v, p + 4 * i, 4);
            bad |= (v & 0x7f800000) == 0x7f800000;
        }
    } else {
        const uint16_t exponent = type == TS_F16 ? 0x7c00 : 0x7f80;
        for (size_t i = 0; i < n; i++) {
            uint16_t v;
            memcpy(&v, p + 2 * i, 2);
            bad |= (v & exponent) == exponent;
        }
    }
    return bad;
}

size_t ts_find_not_finite(ts_dtype type, const void *blocks, size_t n) {
    const ts_dtype_info *info = ts_dtype_get(type);
    const size_t block = (size_t)info->block, bytes = (size_t)info->block_bytes;
    const ts_wtype *t = ts_wtype_of(type);
    const uint8_t *p = blocks;
    if (block == 1) {
        if (!any_bad(type, p, n)) return n;
        for (size_t i = 0; i < n; i++, p += bytes)
            if (type == TS_F32 ? float_is_bad(p) : type == TS_F16 ? f16_is_bad(p) : bf16_is_bad(p)) return i;
        return n;
    }
    const size_t d = t->d_at, m = ts_wtype_has_min(t) ? t->second_at : d;
    for (size_t i = 0; i < n; i += block, p += bytes)
        if (t->scale == TS_SCALE_E8 ? e8_is_bad(type, p + d, p) : f16_is_bad(p + d) || f16_is_bad(p + m)) return i;
    return n;
}

/* ---- 4-bit groups in other clothes ------------------------------------------------------------------------------- */

uint32_t ts_u4g_group(ts_dtype type) {
    return 32 * (uint32_t)ts_wtype_share(ts_wtype_of(type));
}

bool ts_u4g_of_group(uint32_t group, ts_dtype *type) {
    for (int t = TS_DTYPES_OWN; t < TS_DTYPES; t++)
        if (ts_wtype_of((ts_dtype)t)->block && ts_u4g_group((ts_dtype)t) == group) {
            *type = (ts_dtype)t;
            return true;
        }
    return false;
}

ts_dtype ts_u4g_carrier(bool symmetric) { return symmetric ? TS_Q4_0 : TS_Q4_1; }
bool ts_u4g_may_be(ts_dtype type) { return type == TS_Q4_1; }

void ts_u4g_carry(ts_dtype to, const void *u4g, void *blocks, size_t n) {
    const ts_block_u4g *in = u4g;
    ts_block_q4_0 *q0 = blocks;
    ts_block_q4_1 *q1 = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        if (to == TS_Q4_0) {
            assert(in[i].z == 8);
            q0[i].d = in[i].d;
            memcpy(q0[i].qs, in[i].qs, 16);
            continue;
        }
        q1[i].d = in[i].d;
        q1[i].m = ts_f32_to_f16(-ts_f16_to_f32(in[i].d) * (float)(in[i].z & 15));
        memcpy(q1[i].qs, in[i].qs, 16);
    }
}

bool ts_u4g_recover(const void *q4_1, void *u4g, size_t n, uint32_t group, size_t *bad) {
    const ts_block_q4_1 *in = q4_1;
    ts_block_u4g *out = u4g;
    for (size_t i = 0; i < n / 32; i++) {
        const float d = ts_f16_to_f32(in[i].d), m = ts_f16_to_f32(in[i].m), z = d != 0 ? rintf(-m / d) : 0;
        const bool is = z >= 0 && z <= 15 && ts_f32_to_f16(-d * z) == in[i].m;
        ts_block_u4g b = {.d = in[i].d, .z = is ? (uint8_t)z : 0};
        const bool same = i % (group / 32) == 0 || (out[i - 1].d == b.d && out[i - 1].z == b.z);
        if (!is || !same) {
            if (bad) *bad = 32 * i;
            return false;
        }
        memcpy(b.qs, in[i].qs, 16);
        out[i] = b;
    }
    return true;
}
