/* layout.h - how the CPU kernels want quantised weights and activations to lie.
 *
 * Weights. Sixteen output rows form a *group*, and inside a group the blocks of the file are interleaved by 4-byte
 * words, so that one 64-byte line holds the same word of 16 rows: rows in SIMD lanes, four consecutive K in the
 * bytes of a lane, which is what a 4-way int8 dot product wants. The bits inside a word stay as the file has them, but
 * for what the table says. Nothing is widened: a packed tensor is as large as the file's (rows are padded to a multiple
 * of 16).
 *
 *   group  = head[n_block / share][head_bytes] padded to 64, main[n_block][64 * main_words]
 *   head   = the 16 rows' d (f16, or exponent bytes), then the second field (m, dmin or scales_h, 16 bits; z, a byte)
 *            where the type has one; of types that share it, one for 2 or 4 blocks
 *   main   = word w of rows 0..15, for w = 0 .. main_words - 1
 *
 *   type            words of main, as format/wtype.def has it
 *   Q4_0 Q4_1 U4G   qs 4                         IQ4_NL MXFP4   qs 4
 *   Q5_0 Q5_1       1 chunk of 5                 Q8_0           qs 8, stored as q + 128
 *   Q2_K            scales 4, qs 16              Q3_K           scales 3, 8 chunks of 3
 *   Q4_K            scales 3, qs 32              Q5_K           scales 3, 8 chunks of 5
 *   Q6_K            scales 4, 8 chunks of 6      IQ4_XS         scales_l 1, qs 32 (scales_h is in the head)
 * Chunks are re-ordered bits of 32 elements: ts_tight_field. The order is that of use, which is not the file's: a
 * processor foresees what is read forward.
 *
 * Activations. Tokens are taken in blocks of 16, the rest in blocks of 4 and 1 (ts_tok_width); a block of n tokens
 * that starts at token t holds, at offset t * (size for one token):
 *   q    int8  [K/4][n][4]
 *   d    f32   [n_block][n]
 * and for 32-element blocks   s f32 [n_block][n] = f32(sum q) * d,   off8/off16/off128 i32 [n_block][n] = -8|16|128 *
 * sum q
 * and for 256-element blocks  sums: pairs of int16 in a u32, [n_block][12][n]: words 0..3 the sums over 32, words 4..11
 * the sums over 16; inside every four sums the pairs are (0,2) and (1,3), which is how a byte shift of packed scales
 * falls out;   pairs: for every 16 elements a u32, [n_block][16][n], whose int16 are -32 times the sum of bytes 0 and
 * 1, and of bytes 2 and 3, of their four words: what the 16-bit sums of a multiplication of bytes begin with. */
#ifndef TS_KERN_LAYOUT_H
#define TS_KERN_LAYOUT_H

#include "base/mem.h"
#include "format/wtype.h"

#include <string.h>

enum { TS_GROUP_ROWS = 16, TS_TOK_BLOCK = 16 };

/* How many K elements share one activation scale: 32 or 256 for quantised types, 0 for float types. */
static inline int ts_act_block(ts_dtype type) {
    return ts_wtype_of(type)->block;
}
/* Are the elements of 8 bits with a sign? */
static inline bool ts_act_wide(ts_dtype type) {
    return ts_wtype_of(type)->offset == 7;
}

/* Per block of a group, or as many as share it: bytes of the head. Words of main, 64 bytes each:
 * ts_wtype_main_words. */
static inline int ts_wtype_head_bytes(const ts_wtype *t) {
    return TS_GROUP_ROWS * ((t->scale == TS_SCALE_F16 ? 2 : 1) + ts_wtype_second_bytes(t));
}

/* A packed weight matrix [n_rows, n_cols]; `data` is borrowed, 64-byte aligned. */
typedef struct ts_qmat {
    ts_dtype type;
    uint32_t n_rows, n_cols;
    uint32_t n_block;    /* blocks along K */
    uint32_t n_group;    /* ceil(n_rows / 16) */
    size_t head_stride;  /* bytes of a group's head region */
    size_t group_bytes;
    const uint8_t *data;
} ts_qmat;

/* Fill all but `data`. false: n_cols is not a multiple of the block, the type is not packed, or the size overflows. */
bool ts_qmat_init(ts_qmat *m, ts_dtype type, uint64_t n_rows, uint64_t n_cols);
size_t ts_qmat_bytes(const ts_qmat *m);
/* Pack group g from file rows: `rows` is the tensor's data, row r at rows + r * row_bytes. Rows past the end are zero
 * bytes. Any thread, any order. */
void ts_qmat_pack_group(const ts_qmat *m, const void *rows, size_t row_bytes, uint32_t g, void *dst);

/* Quantised activations of up to `cap` tokens of K elements. One of the two sets of arrays is used at a time; both may
 * be filled. Memory is owned. wide32 and wide256 are the integers again in 16 bits, for levels and types that multiply
 * so (ts_kern.wide, ts_act_wide), and only where there are four tokens or more: of each word of four elements 0 and 2
 * as a pair, then 1 and 3, [K / 4][2][width] in a block of tokens. A quantiser given NULL there leaves them out. */
typedef struct ts_qact {
    uint32_t K_max, cap;
    int8_t *q32, *q256;
    float *d32, *s32, *d256;
    int32_t *off8, *off16, *off128;
    uint32_t *sums256, *pairs256, *wide32, *wide256;
} ts_qact;
TS_NODISCARD ts_status ts_qact_init(ts_qact *a, uint32_t K_max, uint32_t cap, ts_err *err);
void ts_qact_fini(ts_qact *a);

/* The width of the block that begins at token t (0 <= t < n_tok) when n_tok tokens are cut into blocks. */
static inline uint32_t ts_tok_width(uint32_t n_tok, uint32_t t) {
    uint32_t left = n_tok - t;
    return left >= 16 ? 16 : left >= 4 ? 4 : 1;
}
/* The first token and the width of the block that holds token t. */
static inline void ts_tok_block(uint32_t n_tok, uint32_t t, uint32_t *first, uint32_t *width) {
    uint32_t b = t & ~15u;
    while (b + ts_tok_width(n_tok, b) <= t) b += ts_tok_width(n_tok, b);
    *first = b;
    *width = ts_tok_width(n_tok, b);
}

/* Where a token stands: column `col` of the block of `width` tokens that begins at token `first`. */
typedef struct ts_tok_place {
    uint32_t first, width, col;
} ts_tok_place;
static inline ts_tok_place ts_tok_place_of(uint32_t n_tok, uint32_t t) {
    ts_tok_place p;
    ts_tok_block(n_tok, t, &p.first, &p.width);
    p.col = t - p.first;
    return p;
}

/* Enter block b of a token: its integers, the sums of every 16 of them, and their scale. In line, so that each level's
 * quantiser makes its own code of it. */
static inline void ts_qact_put_words(int8_t *dst, uint32_t width, const int8_t *q, int n) {
    if (width == 1) {
        memcpy(dst, q, (size_t)n);
        return;
    }
    for (int i = 0; i < n / 4; i++) memcpy(dst + (size_t)i * width * 4, q + 4 * i, 4);
}
static inline void ts_qact_put_wide(uint32_t *dst, ts_tok_place p, const int8_t *q, int n) {
    if (p.first == 0 && p.width == 1) return; /* fewer than four tokens */
    for (int i = 0; i < n / 4; i += 8) {
        uint32_t w[8], even[8], odd[8];
        memcpy(w, q + 4 * i, sizeof w);
        for (int k = 0; k < 8; k++) {
            even[k] = (uint16_t)(int8_t)w[k] | (uint32_t)(int8_t)(w[k] >> 16) << 16;
            odd[k] = (uint16_t)(int8_t)(w[k] >> 8) | (uint32_t)(int8_t)(w[k] >> 24) << 16;
        }
        for (int k = 0; k < 8; k++) {
            dst[(size_t)(2 * (i + k)) * p.width] = even[k];
            dst[(size_t)(2 * (i + k) + 1) * p.width] = odd[k];
        }
    }
}
static inline void ts_qact_put32(ts_qact *a, uint32_t K, ts_tok_place p, uint32_t b, const int8_t q[32],
                                 const int32_t sum16[2], float d) {
    const size_t at = (size_t)p.first * (K / 32) + (size_t)b * p.width + p.col;
    const int32_t sum = sum16[0] + sum16[1];
    ts_qact_put_words(a->q32 + (size_t)p.first * K + ((size_t)b * 8 * p.width + p.col) * 4, p.width, q, 32);
    if (a->wide32) ts_qact_put_wide(a->wide32 + (size_t)p.first * K / 2 + (size_t)b * 16 * p.width + p.col, p, q, 32);
    a->d32[at] = d;
    a->s32[at] = (float)sum * d;
    a->off8[at] = -8 * sum;
    a->off16[at] = -16 * sum;
    a->off128[at] = -128 * sum;
}
static inline void ts_qact_put256(ts_qact *a, uint32_t K, ts_tok_place p, uint32_t b, const int8_t q[256],
                                  const int32_t sum16[16], float d) {
    int32_t sum32[8];
    for (int i = 0; i < 8; i++) sum32[i] = sum16[2 * i] + sum16[2 * i + 1];
    ts_qact_put_words(a->q256 + (size_t)p.first * K + ((size_t)b * 64 * p.width + p.col) * 4, p.width, q, 256);
    if (a->wide256)
        ts_qact_put_wide(a->wide256 + (size_t)p.first * K / 2 + (size_t)b * 128 * p.width + p.col, p, q, 256);
    a->d256[(size_t)p.first * (K / 256) + (size_t)b * p.width + p.col] = d;
    uint32_t *sums = a->sums256 + ((size_t)p.first * (K / 256) + (size_t)b * p.width) * 12 + p.col;
    for (int w = 0; w < 12; w++) { /* pairs (0,2) and (1,3) of every four sums */
        const int32_t *s = w < 4 ? sum32 + w / 2 * 4 + w % 2 : sum16 + (w - 4) / 2 * 4 + w % 2;
        sums[(size_t)w * p.width] = (uint32_t)(uint16_t)s[0] | (uint32_t)(uint16_t)s[2] << 16;
    }
    uint32_t *pairs = a->pairs256 + ((size_t)p.first * (K / 256) + (size_t)b * p.width) * 16 + p.col;
    for (int j = 0; j < 16; j++, q += 16) {
        int even = 0, odd = 0;
        for (int i = 0; i < 16; i += 4) even += q[i] + q[i + 1], odd += q[i + 2] + q[i + 3];
        pairs[(size_t)j * p.width] = (uint32_t)(uint16_t)(-32 * even) | (uint32_t)(uint16_t)(-32 * odd) << 16;
    }
}

#endif
