/* wtype.h - what a quantised weight type is, as data: how its blocks look in the file, which bits of them are an
 * element, and how the blocks' scales stand.
 *
 * One row a type, in wtype.def; packing, kernels, checks, devices, random models and tests ask the row. The value of an
 * element is
 *     d * sub-scale * (bits - 2^offset)       or d * sub-scale * values[bits],
 * plus the block's minimum (Q4_1, Q5_1) or minus dmin * the sub-block's minimum (Q2_K, Q4_K, Q5_K), or
 *     d * (bits - z)                          (U4G).
 * The same in words of C is src/format/quant.c, written apart from this table so that one can be held against the
 * other. */
#ifndef TS_FORMAT_WTYPE_H
#define TS_FORMAT_WTYPE_H

#include "format/dtype.h"

/* The block's scale d. */
typedef enum ts_wscale {
    TS_SCALE_F16,
    TS_SCALE_E8, /* a byte e: 2^(e-128) */
} ts_wscale;

/* What the second 16-bit field of a block is. */
typedef enum ts_wsecond {
    TS_SECOND_NONE,
    TS_SECOND_PLUS,  /* f16: the minimum, added to every element */
    TS_SECOND_MINUS, /* f16: dmin; dmin times the sub-block's minimum is taken off every element */
    TS_SECOND_BITS,  /* bits of the sub-scales */
    TS_SECOND_ZERO,  /* not 16 bits but a byte, of which 4 count: the zero point z, taken off every element's bits */
} ts_wsecond;

/* How the sub-scales of a 256-element block are packed; theirs are the first words of the kernels' order. */
typedef enum ts_wsub {
    TS_SUB_NONE,
    TS_SUB_NIBBLES, /* 4 words: byte j has scale j in its low nibble, minimum j in the high one */
    TS_SUB_Q3,      /* 3 words: ts_q3k_scales */
    TS_SUB_K4,      /* 3 words: ts_q4k_scale_min */
    TS_SUB_INT8,    /* 4 words: byte j is scale j */
    TS_SUB_IQ4,     /* 1 word and the second field: ts_iq4xs_scale */
} ts_wsub;

/* How a piece of a file block is laid out for the kernels. */
typedef enum ts_wpiece_as {
    TS_AS_IS,
    TS_AS_UNSIGNED, /* signed bytes, 128 added */
    TS_AS_COLUMNS,  /* one word of 32 bits: bit 4 g + i becomes bit g of byte i */
} ts_wpiece_as;

enum { TS_WPIECES = 5 };
typedef struct ts_wpiece {
    uint8_t at, words; /* offset in the file's block; 4-byte words, 0: no piece */
    ts_wpiece_as as;
} ts_wpiece;

/* Some bits of an element, as the pieces have them. Elements come in chunks of 32, a chunk in groups of 4 that lie in
 * the bytes of one word: the bits of group g of chunk c are, of the pieces' word ts_wbits_word(c) + g % span, the bytes
 * >> ts_wbits_shift(c, g) (negative: to the left) & mask. mask 0: there are none. */
typedef struct ts_wbits {
    uint8_t mask;
    uint8_t span, step;   /* every `span` groups begin again at the same word, `step` bits higher */
    uint8_t word;         /* the first one; (c & by[i].mask) * by[i].step are added to it */
    int8_t shift;         /* likewise, with by[2] */
    struct {
        uint8_t mask, step;
    } by[3];
} ts_wbits;

static inline int ts_wbits_word(const ts_wbits *f, int c) {
    return f->word + (c & f->by[0].mask) * f->by[0].step + (c & f->by[1].mask) * f->by[1].step;
}
static inline int ts_wbits_shift(const ts_wbits *f, int c, int g) {
    return f->shift + (c & f->by[2].mask) * f->by[2].step + g / f->span * f->step;
}

/* Bits of an element in the kernels' words: of the byte in word `word` of the block, >> shift & mask; mask 0: none. */
typedef struct ts_wfield {
    uint8_t word;
    int8_t shift;
    uint8_t mask;
} ts_wfield;

typedef struct ts_wtype {
    uint16_t block; /* elements: 32 or 256, also of an activation's block; 0: not a quantised type */
    uint8_t share;  /* so many blocks, 2 or 4, have the same d and second field, and kernels have those once; 0: 1 */
    uint8_t d_at;   /* offset of d in the file's block */
    uint8_t second_at;
    ts_wscale scale;
    ts_wsecond second;
    ts_wpiece piece[TS_WPIECES]; /* the rest of the block, in the order that the kernels have it */
    ts_wbits low, high;    /* an element is the bits of both */
    uint8_t tight;         /* bits of an element, and words that kernels have a chunk in; 0: as the pieces have it */
    uint8_t offset;        /* elements are their bits less 2^offset; 0: they are unsigned */
    const int8_t *values;  /* or the values of all 16 bit patterns, all above -2^offset */
    ts_wsub sub;
    uint8_t sub_block;
    float spread, mean; /* deviation of an element from random bits, in units of d; its mean, if the minimum cures it */
} ts_wtype;

/* Where group g of a chunk of a tight type is, in up to three fields. Most groups have a word of their own or a part of
 * one, and cost a mask; the others are the bits that those leave over. (High bits in words apart, as files have them,
 * cost a shift, a mask and an or for each group.) */
static inline ts_wfield ts_tight_field(int bits, int g, int i) {
    static const ts_wfield field[7][8][3] = {
        [2] = {{{0, 0, 3}}, {{0, 2, 3}}, {{0, 4, 3}}, {{0, 6, 3}}, {{1, 0, 3}}, {{1, 2, 3}}, {{1, 4, 3}}, {{1, 6, 3}}},
        [3] = {{{0, 0, 7}}, {{0, 3, 7}}, {{1, 0, 7}}, {{1, 3, 7}}, {{2, 0, 7}}, {{2, 3, 7}},
               {{0, 6, 3}, {1, 5, 4}}, {{2, 6, 3}, {1, 4, 4}}},
        [4] = {{{0, 0, 15}}, {{0, 4, 15}}, {{1, 0, 15}}, {{1, 4, 15}},
               {{2, 0, 15}}, {{2, 4, 15}}, {{3, 0, 15}}, {{3, 4, 15}}},
        [5] = {{{0, 0, 31}}, {{1, 0, 31}}, {{2, 0, 31}}, {{3, 0, 31}}, {{4, 0, 31}},
               {{0, 5, 7}, {1, 3, 24}}, {{2, 5, 7}, {3, 3, 24}}, {{4, 5, 7}, {1, 2, 8}, {3, 1, 16}}},
        [6] = {{{0, 0, 63}}, {{1, 0, 63}}, {{2, 0, 63}}, {{0, 6, 3}, {1, 4, 12}, {2, 2, 48}},
               {{3, 0, 63}}, {{4, 0, 63}}, {{5, 0, 63}}, {{3, 6, 3}, {4, 4, 12}, {5, 2, 48}}},
    };
    return field[bits][g][i];
}

/* Words of a block, without d and the second field. */
static inline int ts_wtype_main_words(const ts_wtype *t) {
    int n = 0;
    for (int i = 0; i < TS_WPIECES; i++) n += t->piece[i].words;
    return n;
}

/* Field i, 0 to 2, of group g of chunk c, whose elements are all of them: as the pieces have it, and as kernels do. */
static inline ts_wfield ts_wtype_piece_field(const ts_wtype *t, int c, int g, int i) {
    const ts_wbits *f = i == 0 ? &t->low : &t->high;
    if (i == 2 || !f->mask) return (ts_wfield){0};
    return (ts_wfield){(uint8_t)(ts_wbits_word(f, c) + g % f->span), (int8_t)ts_wbits_shift(f, c, g), f->mask};
}
static inline ts_wfield ts_wtype_field(const ts_wtype *t, int c, int g, int i) {
    if (!t->tight) return ts_wtype_piece_field(t, c, g, i);
    ts_wfield f = ts_tight_field(t->tight, g, i);
    f.word = (uint8_t)(f.word + ts_wtype_main_words(t) - t->tight * (t->block / 32 - c));
    return f;
}

/* Never NULL; block 0 for a type that is not quantised. */
const ts_wtype *ts_wtype_of(ts_dtype type);

/* Blocks with one d. */
static inline int ts_wtype_share(const ts_wtype *t) {
    return t->share ? t->share : 1;
}

/* Give block b of a row what it shares with the block before: `p` is where it lies, of `bytes` bytes. */
static inline void ts_wtype_as_before(const ts_wtype *t, uint8_t *p, size_t b, size_t bytes) {
    if (!t->share || b % t->share == 0) return;
    p[t->d_at] = p[t->d_at - (ptrdiff_t)bytes], p[t->d_at + 1] = p[t->d_at + 1 - (ptrdiff_t)bytes];
    p[t->second_at] = p[t->second_at - (ptrdiff_t)bytes];
}

/* Bytes of the second field. */
static inline int ts_wtype_second_bytes(const ts_wtype *t) {
    return t->second == TS_SECOND_NONE ? 0 : t->second == TS_SECOND_ZERO ? 1 : 2;
}

/* Is the second field a number, which a block's meaning depends on? */
static inline bool ts_wtype_has_min(const ts_wtype *t) {
    return t->second == TS_SECOND_PLUS || t->second == TS_SECOND_MINUS;
}

#endif
