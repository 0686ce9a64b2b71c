/* quant.h - the block layouts of quantised tensors and their exact meaning as floats.
 *
 * Every layout is little-endian and packed; d, m and dmin are IEEE binary16. The comments give element i of a block.
 * Source: the ggml block formats (MIT); checked byte for byte against goldens (docs/testing.md). */
#ifndef TS_FORMAT_QUANT_H
#define TS_FORMAT_QUANT_H

#include "format/dtype.h"

#include <assert.h>

typedef struct ts_block_q4_0 { uint16_t d; uint8_t qs[16]; } ts_block_q4_0; /* d * (nibble - 8) */
typedef struct ts_block_q4_1 { uint16_t d, m; uint8_t qs[16]; } ts_block_q4_1; /* d * nibble + m */
typedef struct ts_block_q5_0 { uint16_t d; uint8_t qh[4], qs[16]; } ts_block_q5_0; /* d * (5 bits - 16) */
typedef struct ts_block_q5_1 { uint16_t d, m; uint8_t qh[4], qs[16]; } ts_block_q5_1; /* d * 5 bits + m */
typedef struct ts_block_q8_0 { uint16_t d; int8_t qs[32]; } ts_block_q8_0; /* d * q */
typedef struct ts_block_q2_k { uint8_t scales[16], qs[64]; uint16_t d, dmin; } ts_block_q2_k;
typedef struct ts_block_q3_k { uint8_t hmask[32], qs[64], scales[12]; uint16_t d; } ts_block_q3_k;
typedef struct ts_block_q4_k { uint16_t d, dmin; uint8_t scales[12], qs[128]; } ts_block_q4_k;
typedef struct ts_block_q5_k { uint16_t d, dmin; uint8_t scales[12], qh[32], qs[128]; } ts_block_q5_k;
typedef struct ts_block_q6_k { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; } ts_block_q6_k;
typedef struct ts_block_iq4_nl { uint16_t d; uint8_t qs[16]; } ts_block_iq4_nl; /* d * ts_iq4_nl_values[nibble] */
typedef struct ts_block_iq4_xs { uint16_t d, scales_h; uint8_t scales_l[4], qs[128]; } ts_block_iq4_xs;
typedef struct ts_block_mxfp4 { uint8_t e, qs[16]; } ts_block_mxfp4; /* 2^(e-128) * ts_mxfp4_values[nibble] */
/* d * (nibble - z), 0 <= z < 16 (the low half of the byte); d and z are the same in all blocks of a group. */
typedef struct ts_block_u4g { uint16_t d; uint8_t z, qs[16]; } __attribute__((packed)) ts_block_u4g;
static_assert(sizeof(ts_block_u4g) == 19, "block layout");
static_assert(sizeof(ts_block_q4_0) == 18 && sizeof(ts_block_q4_1) == 20, "block layout");
static_assert(sizeof(ts_block_q5_0) == 22 && sizeof(ts_block_q5_1) == 24, "block layout");
static_assert(sizeof(ts_block_q8_0) == 34 && sizeof(ts_block_mxfp4) == 17, "block layout");
static_assert(sizeof(ts_block_q2_k) == 84 && sizeof(ts_block_q3_k) == 110, "block layout");
static_assert(sizeof(ts_block_q4_k) == 144 && sizeof(ts_block_q5_k) == 176, "block layout");
static_assert(sizeof(ts_block_q6_k) == 210, "block layout");
static_assert(sizeof(ts_block_iq4_nl) == 18 && sizeof(ts_block_iq4_xs) == 136, "block layout");

extern const int8_t ts_iq4_nl_values[16];
extern const int8_t ts_mxfp4_values[16]; /* twice the E2M1 value, so that they are whole */

/* IEEE binary16 and bfloat16, exact; the narrowing forms round to nearest even. No hardware support needed. */
float ts_f16_to_f32(uint16_t h);
uint16_t ts_f32_to_f16(float f);
static inline float ts_bf16_to_f32(uint16_t b) {
    union { uint32_t u; float f; } v = {.u = (uint32_t)b << 16};
    return v.f;
}
uint16_t ts_f32_to_bf16(float f);
/* 2^(e - 128): half the E8M0 scale, because ts_mxfp4_values are doubled; 0 below 2^-50 (docs/numerics.md, rule 4). */
enum { TS_MXFP4_MIN = 78 };
float ts_mxfp4_scale(uint8_t e);

/* Scale and min of sub-block j (0..7) of Q4_K / Q5_K's 12 packed bytes: both 6 bits. */
void ts_q4k_scale_min(const uint8_t scales[12], int j, uint8_t *scale, uint8_t *min);
/* The 16 scales of Q3_K's 12 packed bytes, -32..31. */
void ts_q3k_scales(const uint8_t scales[12], int8_t out[16]);
/* Scale of sub-block j (0..7) of IQ4_XS, -32..31. */
int ts_iq4xs_scale(const ts_block_iq4_xs *b, int j);

/* out[0..n) = the values of n elements (a multiple of the block). Any type of dtype.h. One rounding per operation in
 * the order of the goldens: exact without fma. `blocks` needs no alignment. */
void ts_dequant(ts_dtype type, const void *blocks, float *out, size_t n);

/* The first of n elements (a multiple of the block) that is infinite or not a number, n: none. Blocks whose scale or
 * minimum is, or MXFP4's exponent 255, count from their first element on. `blocks` needs no alignment. */
size_t ts_find_not_finite(ts_dtype type, const void *blocks, size_t n);

/* The inverse: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and MXFP4 rounded as the reference quantisers do
 * it, Q2_K to Q6_K and IQ4_XS by a search for the least squared error (see quantize.c). `n` a multiple of the block. */
void ts_quantize(ts_dtype type, const float *in, void *blocks, size_t n);
/* The same for n elements of rows of n_per_row, whose columns count differently: weights[n_per_row], none negative or
 * infinite, are what the square of an error in the column costs (of an importance matrix: the mean of the input's
 * square). The search makes the weighted squared error small (for Q2_K large elements count more), also for Q4_0,
 * Q4_1, Q5_0, Q5_1 and IQ4_NL; the other types are as without weights. A block whose weights are all 0 is taken as if
 * they were alike. */
void ts_quantize_weighted(ts_dtype type, const float *in, const float *weights, size_t n_per_row, void *blocks,
                          size_t n);

/* The group size of a U4G type, and the type for a group size: false where there is none. */
uint32_t ts_u4g_group(ts_dtype type);
bool ts_u4g_of_group(uint32_t group, ts_dtype *type);
/* The type that carries 4-bit groups in a GGUF file: Q4_1, or where every z is 8 (`symmetric`) Q4_0, which is the same
 * number; and may this type be such a carrier with zero points? */
ts_dtype ts_u4g_carrier(bool symmetric);
bool ts_u4g_may_be(ts_dtype type);
/* n elements of them: as Q4_1 with the minimum -d * z, rounded to binary16, or as Q4_0. */
void ts_u4g_carry(ts_dtype to, const void *u4g, void *blocks, size_t n);
/* The way back from Q4_1: z is the whole number nearest to -m / d, which is exact while d * z is finite in binary16.
 * false: a block is no such (z out of 0..15, or another minimum), or blocks of `group` elements differ in d or z; *bad
 * (nullable) is its first element then. */
bool ts_u4g_recover(const void *q4_1, void *u4g, size_t n, uint32_t group, size_t *bad);

#endif
