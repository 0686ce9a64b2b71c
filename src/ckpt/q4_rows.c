/* q4_rows.c - the bits of 4-bit checkpoints brought into blocks of U4G. */
#include "ckpt/q4_int.h"

#include <math.h>

/* Column 8 c + j of AutoAWQ's order is nibble awq_nibble[j] of its word. */
static const uint8_t awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static uint32_t word(const ts_array *a, size_t i, size_t k) {
    uint32_t v;
    memcpy(&v, ts_q4_at(a, i, k, 4), 4);
    return v;
}
static uint32_t nibble(uint32_t w, uint32_t i) {
    return w >> 4 * i & 15;
}

/* ---- scales and zero points ---------------------------------------------------------------------------------------
 */

static float number(const ts_array *a, size_t i, size_t k) {
    const uint8_t *p = ts_q4_at(a, i, k, ts_elem_size(a->elem));
    uint16_t h;
    float f;
    if (a->elem == TS_EL_F32) {
        memcpy(&f, p, 4);
        return f;
    }
    memcpy(&h, p, 2);
    return a->elem == TS_EL_F16 ? ts_f16_to_f32(h) : ts_bf16_to_f32(h);
}

float ts_q4_scale(const ts_q4 *q, uint32_t g, uint32_t o) {
    return q->scale_rows ? number(q->scales, o, g) : number(q->scales, g, o);
}

uint8_t ts_q4_zero(const ts_q4 *q, uint32_t g, uint32_t o) {
    switch (q->zero_form) {
    case TS_Q4_ZERO_COLUMNS: {
        const uint32_t w = (word(q->zeros, g, o / 8) ^ q->flip) + q->zero_plus;
        return (uint8_t)nibble(w, q->awq_order ? awq_nibble[o % 8] : o % 8);
    }
    case TS_Q4_ZERO_DOWN:
        return (uint8_t)nibble(word(q->zeros, g, o / 8) + q->zero_plus, o % 8);
    case TS_Q4_ZERO_ROWS:
        return (uint8_t)nibble(word(q->zeros, o, g / 8), g % 8);
    case TS_Q4_ZERO_ACROSS:
        return (uint8_t)nibble(word(q->zeros, o / 8, g), o % 8);
    case TS_Q4_ZERO_BYTES:
        return *ts_q4_at(q->zeros, o, g, 1) & 15;
    case TS_Q4_ZERO_SIGNED:
        return (uint8_t)(*ts_q4_at(q->zeros, o, g, 1) + 8) & 15;
    case TS_Q4_ZERO_SCALED: {
        const float z = -number(q->zeros, g, o) / ts_q4_scale(q, g, o);
        return (uint8_t)(z > 0 ? z < 15 ? lrintf(z) : 15 : 0);
    }
    default:
        return 8;
    }
}

/* d and z of every block of a row. */
static void put_groups(const ts_q4 *q, uint32_t o, ts_block_u4g *out) {
    const uint32_t n_block = q->n_in / 32, per = q->group / 32;
    for (uint32_t b = 0, g = 0; b < n_block; g++) {
        const uint16_t d = ts_f32_to_f16(ts_q4_scale(q, g, o));
        const uint8_t z = ts_q4_zero(q, g, o);
        for (const uint32_t end = n_block - b < per ? n_block : b + per; b < end; b++) out[b].d = d, out[b].z = z;
    }
}

/* ---- weights ------------------------------------------------------------------------------------------------------
 */

enum { LOW = 0x0f0f0f0f };

/* Words that hold weights of neighbouring outputs: for each of them, where its eight nibbles go; -1: nowhere. */
typedef struct column_words {
    uint32_t n, at[TS_Q4_TILE];
    int16_t to[TS_Q4_TILE][8];
} column_words;

static void find_words(const ts_q4 *q, const uint32_t *row, uint32_t n, column_words *w) {
    w->n = 0;
    for (uint32_t r = 0; r < n; r++) {
        uint32_t k = w->n;
        while (k-- > 0 && w->at[k] != row[r] / 8) continue;
        if (k == UINT32_MAX) {
            k = w->n++;
            w->at[k] = row[r] / 8;
            for (int i = 0; i < 8; i++) w->to[k][i] = -1;
        }
        w->to[k][q->awq_order ? awq_nibble[row[r] % 8] : row[r] % 8] = (int16_t)r;
    }
}

/* Inputs j and j + 16 of a block are the halves of a byte: two words make eight bytes, one for each output. */
static void columns(const ts_q4 *q, const uint32_t *row, uint32_t n, ts_block_u4g *out) {
    column_words w;
    const uint32_t n_block = q->n_in / 32;
    find_words(q, row, n, &w);
    for (uint32_t b = 0; b < n_block; b++)
        for (uint32_t k = 0; k < w.n; k++)
            for (uint32_t j = 0; j < 16; j++) {
                const uint32_t x = word(q->q, 32 * b + j, w.at[k]) ^ q->flip,
                               y = word(q->q, 32 * b + j + 16, w.at[k]) ^ q->flip;
                const uint32_t even = (x & LOW) | (y & LOW) << 4, odd = (x >> 4 & LOW) | (y & ~(uint32_t)LOW);
                for (uint32_t i = 0; i < 8; i++)
                    if (w.to[k][i] >= 0)
                        out[(size_t)w.to[k][i] * n_block + b].qs[j] = (uint8_t)((i % 2 ? odd : even) >> 8 * (i / 2));
            }
}

/* Word k of eight inputs of an output. */
static uint32_t input_word(const ts_q4 *q, uint32_t o, uint32_t k) {
    return (q->form == TS_Q4_DOWN ? word(q->q, k, o) : word(q->q, o, k)) ^ q->flip;
}

static void put_pair(uint8_t *qs, uint32_t x, uint32_t y) { /* inputs 0 to 7 of a word and those 16 behind them */
    const uint32_t even = (x & LOW) | (y & LOW) << 4, odd = (x >> 4 & LOW) | (y & ~(uint32_t)LOW);
    for (int i = 0; i < 4; i++) {
        qs[2 * i] = (uint8_t)(even >> 8 * i);
        qs[2 * i + 1] = (uint8_t)(odd >> 8 * i);
    }
}

static void rows_of_words(const ts_q4 *q, const uint32_t *row, uint32_t n, ts_block_u4g *out) {
    const uint32_t n_block = q->n_in / 32;
    for (uint32_t b = 0; b < n_block; b++)
        for (uint32_t r = 0; r < n; r++) {
            uint8_t *qs = out[(size_t)r * n_block + b].qs;
            put_pair(qs, input_word(q, row[r], 4 * b), input_word(q, row[r], 4 * b + 2));
            put_pair(qs + 8, input_word(q, row[r], 4 * b + 1), input_word(q, row[r], 4 * b + 3));
        }
}

/* One weight, wherever it lies. */
static uint32_t weight(const ts_q4 *q, uint32_t i, uint32_t o) {
    switch (q->form) {
    case TS_Q4_COLUMNS:
        return nibble(word(q->q, i, o / 8) ^ q->flip, q->awq_order ? awq_nibble[o % 8] : o % 8);
    case TS_Q4_FAST: { /* runs of 64 inputs of 4 outputs: 16 words an output; in 32 inputs 0 8 16 24 1 9 .. are a word's
                        */
        const uint32_t in32 = i % 8 / 2 * 8 + i % 2 * 4 + i % 32 / 8, at = i % 64 / 32 * 32 + in32;
        uint16_t v;
        memcpy(&v, ts_q4_at(q->q, o / 4, i / 64 * 64 + o % 4 * 16 + at / 4, 2), 2);
        return v >> 4 * (at % 4) & 15;
    }
    case TS_Q4_BYTES:
        return *ts_q4_at(q->q, o, i, 1) & 15;
    default:
        return nibble(input_word(q, o, i / 8), i % 8);
    }
}

static void one_by_one(const ts_q4 *q, const uint32_t *row, uint32_t n, ts_block_u4g *out) {
    const uint32_t n_block = q->n_in / 32;
    for (uint32_t b = 0; b < n_block; b++)
        for (uint32_t j = 0; j < 16; j++) {
            const uint32_t low = 32 * b + j, high = low + 16, i = q->order ? q->order[low] : low,
                           k = q->order ? q->order[high] : high;
            for (uint32_t r = 0; r < n; r++)
                out[(size_t)r * n_block + b].qs[j] = (uint8_t)(weight(q, i, row[r]) | weight(q, k, row[r]) << 4);
        }
}

void ts_q4_rows(const ts_q4 *q, const uint32_t *row, uint32_t n, ts_block_u4g *out) {
    for (uint32_t r = 0; r < n; r++) put_groups(q, row[r], out + (size_t)r * (q->n_in / 32));
    if (q->form == TS_Q4_COLUMNS && !q->order) columns(q, row, n, out);
    else if ((q->form == TS_Q4_ROWS || q->form == TS_Q4_DOWN) && !q->order) rows_of_words(q, row, n, out);
    else one_by_one(q, row, n, out);
}

void ts_q4_floats(const ts_q4 *q, uint32_t row, float *out) {
    for (uint32_t k = 0; k < q->n_in; k++) {
        const uint32_t i = q->order ? q->order[k] : k, g = k / q->group;
        out[i] = (float)((int)weight(q, i, row) - ts_q4_zero(q, g, row)) * ts_q4_scale(q, g, row);
    }
}
