#include "kern/layout.h"
#include "format/quant.h"

#include <string.h>

int ts_act_block(ts_dtype type) {
    return ts_pack_info_of(type).block;
}

ts_pack_info ts_pack_info_of(ts_dtype type) {
    switch (type) {
    case TS_Q4_0:
    case TS_IQ4_NL: return (ts_pack_info){32, 32, 4};
    case TS_Q4_1: return (ts_pack_info){32, 64, 4};
    case TS_Q5_0: return (ts_pack_info){32, 32, 5};
    case TS_Q5_1: return (ts_pack_info){32, 64, 5};
    case TS_Q8_0: return (ts_pack_info){32, 32, 8};
    case TS_MXFP4: return (ts_pack_info){32, 16, 4};
    case TS_Q2_K: return (ts_pack_info){256, 64, 20};
    case TS_Q3_K: return (ts_pack_info){256, 32, 27};
    case TS_Q4_K: return (ts_pack_info){256, 64, 35};
    case TS_Q5_K: return (ts_pack_info){256, 64, 43};
    case TS_Q6_K: return (ts_pack_info){256, 32, 52};
    case TS_IQ4_XS: return (ts_pack_info){256, 64, 33};
    default: return (ts_pack_info){0, 0, 0};
    }
}

bool ts_qmat_init(ts_qmat *m, ts_dtype type, uint64_t n_rows, uint64_t n_cols) {
    ts_pack_info p = ts_pack_info_of(type);
    if (!p.block || n_cols == 0 || n_cols % p.block || n_rows == 0 || n_rows > UINT32_MAX - 16 || n_cols > UINT32_MAX)
        return false;
    uint32_t n_block = (uint32_t)(n_cols / p.block);
    size_t head = ((size_t)n_block * p.head_bytes + 63) & ~(size_t)63, total;
    *m = (ts_qmat){
        .type = type,
        .n_rows = (uint32_t)n_rows,
        .n_cols = (uint32_t)n_cols,
        .n_block = n_block,
        .n_group = (uint32_t)((n_rows + TS_GROUP_ROWS - 1) / TS_GROUP_ROWS),
        .head_stride = head,
        .group_bytes = head + (size_t)n_block * p.main_words * 64,
    };
    return ts_size_mul(m->group_bytes, m->n_group, &total);
}

size_t ts_qmat_bytes(const ts_qmat *m) {
    return m->group_bytes * m->n_group;
}

/* Where the pieces of a file block go. Offsets in the block; `words` of main in order. */
struct piece {
    uint8_t offset, words;
};
struct recipe {
    uint8_t d, second; /* offsets of the 16-bit fields of the head; 255: none */
    struct piece piece[3];
};

static struct recipe recipe_of(ts_dtype type) {
    switch (type) {
    case TS_Q4_0:
    case TS_IQ4_NL: return (struct recipe){0, 255, {{2, 4}}};
    case TS_Q4_1: return (struct recipe){0, 2, {{4, 4}}};
    case TS_Q5_0: return (struct recipe){0, 255, {{6, 4}, {2, 1}}};
    case TS_Q5_1: return (struct recipe){0, 2, {{8, 4}, {4, 1}}};
    case TS_Q8_0: return (struct recipe){0, 255, {{2, 8}}};
    case TS_MXFP4: return (struct recipe){255, 255, {{1, 4}}};
    case TS_Q2_K: return (struct recipe){80, 82, {{16, 16}, {0, 4}}};
    case TS_Q3_K: return (struct recipe){108, 255, {{32, 16}, {0, 8}, {96, 3}}};
    case TS_Q4_K: return (struct recipe){0, 2, {{16, 32}, {4, 3}}};
    case TS_Q5_K: return (struct recipe){0, 2, {{48, 32}, {16, 8}, {4, 3}}};
    case TS_Q6_K: return (struct recipe){208, 255, {{0, 32}, {128, 16}, {192, 4}}};
    case TS_IQ4_XS: return (struct recipe){0, 2, {{8, 32}, {4, 1}}};
    default: return (struct recipe){0};
    }
}

/* Bit 4 g + i of a block's qh becomes bit g of byte i. */
static uint32_t spread_qh(uint32_t qh) {
    uint32_t out = 0;
    for (int g = 0; g < 8; g++) out |= (((qh >> (4 * g) & 15) * 0x00204081u) & 0x01010101u) << g;
    return out;
}

void ts_qmat_pack_group(const ts_qmat *m, const void *rows, size_t row_bytes, uint32_t g, void *dst) {
    const ts_pack_info p = ts_pack_info_of(m->type);
    const struct recipe r = recipe_of(m->type);
    const size_t block_bytes = ts_dtype_get(m->type)->block_bytes;
    const uint32_t row0 = g * TS_GROUP_ROWS;
    const uint32_t n = m->n_rows - row0 < TS_GROUP_ROWS ? m->n_rows - row0 : TS_GROUP_ROWS;
    uint8_t *head = dst, *main = head + m->head_stride;
    if (n < TS_GROUP_ROWS || m->head_stride > (size_t)m->n_block * p.head_bytes) memset(dst, 0, m->group_bytes);
    for (uint32_t row = 0; row < n; row++) {
        const uint8_t *src = (const uint8_t *)rows + (size_t)(row0 + row) * row_bytes;
        for (uint32_t b = 0; b < m->n_block; b++, src += block_bytes) {
            uint8_t *h = head + (size_t)b * p.head_bytes;
            if (m->type == TS_MXFP4) h[row] = src[0];
            if (r.d != 255) memcpy(h + 2 * row, src + r.d, 2);
            if (r.second != 255) memcpy(h + 32 + 2 * row, src + r.second, 2);
            uint8_t *w = main + (size_t)b * p.main_words * 64 + 4 * row;
            for (int i = 0; i < 3; i++) {
                const uint8_t *s = src + r.piece[i].offset;
                for (int k = 0; k < r.piece[i].words; k++, s += 4, w += 64) {
                    uint32_t v;
                    memcpy(&v, s, 4);
                    if (m->type == TS_Q8_0) v ^= 0x80808080u;
                    if (i == 1 && (m->type == TS_Q5_0 || m->type == TS_Q5_1)) v = spread_qh(v);
                    memcpy(w, &v, 4);
                }
            }
        }
    }
}

ts_status ts_qact_init(ts_qact *a, uint32_t K_max, uint32_t cap, ts_err *err) {
    size_t K = ((size_t)K_max + 255) & ~(size_t)255, n32 = K / 32, n256 = K / 256;
    *a = (ts_qact){.K_max = (uint32_t)K, .cap = cap};
    a->q32 = ts_alloc_aligned(cap, K);
    a->q256 = ts_alloc_aligned(cap, K);
    a->d32 = ts_alloc_aligned(cap, n32 * 4);
    a->s32 = ts_alloc_aligned(cap, n32 * 4);
    a->off8 = ts_alloc_aligned(cap, n32 * 4);
    a->off16 = ts_alloc_aligned(cap, n32 * 4);
    a->off128 = ts_alloc_aligned(cap, n32 * 4);
    a->d256 = ts_alloc_aligned(cap, n256 * 4);
    a->sums256 = ts_alloc_aligned(cap, n256 * 12 * 4);
    if (a->q32 && a->q256 && a->d32 && a->s32 && a->off8 && a->off16 && a->off128 && a->d256 && a->sums256)
        return TS_OK;
    ts_qact_fini(a);
    return ts_fail_nomem(err, "quantised activations", cap * K * 2);
}

void ts_qact_fini(ts_qact *a) {
    ts_free(a->q32), ts_free(a->q256), ts_free(a->d32), ts_free(a->s32), ts_free(a->d256);
    ts_free(a->off8), ts_free(a->off16), ts_free(a->off128), ts_free(a->sums256);
    *a = (ts_qact){0};
}
