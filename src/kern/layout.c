#include "kern/layout.h"
#include "format/quant.h"

#include <string.h>

bool ts_qmat_init(ts_qmat *m, ts_dtype type, uint64_t n_rows, uint64_t n_cols) {
    const ts_wtype *t = ts_wtype_of(type);
    if (!t->block || n_cols == 0 || n_cols % t->block || n_rows == 0 || n_rows > UINT32_MAX - 16 || n_cols > UINT32_MAX)
        return false;
    uint32_t n_block = (uint32_t)(n_cols / t->block);
    size_t head = (n_block * (size_t)ts_wtype_head_bytes(t) + 63) & ~(size_t)63, total;
    *m = (ts_qmat){
        .type = type,
        .n_rows = (uint32_t)n_rows,
        .n_cols = (uint32_t)n_cols,
        .n_block = n_block,
        .n_group = (uint32_t)((n_rows + TS_GROUP_ROWS - 1) / TS_GROUP_ROWS),
        .head_stride = head,
        .group_bytes = head + n_block * (size_t)ts_wtype_main_words(t) * 64,
    };
    return ts_size_mul(m->group_bytes, m->n_group, &total);
}

size_t ts_qmat_bytes(const ts_qmat *m) {
    return m->group_bytes * m->n_group;
}

/* Bit 4 g + i of a block's qh becomes bit g of byte i. */
static uint32_t spread_qh(uint32_t qh) {
    uint32_t out = 0;
    for (int g = 0; g < 8; g++) out |= (((qh >> (4 * g) & 15) * 0x00204081u) & 0x01010101u) << g;
    return out;
}

static uint32_t laid_out(uint32_t v, ts_wpiece_as as) {
    return as == TS_AS_UNSIGNED ? v ^ 0x80808080u : as == TS_AS_COLUMNS ? spread_qh(v) : v;
}

void ts_qmat_pack_group(const ts_qmat *m, const void *rows, size_t row_bytes, uint32_t g, void *dst) {
    const ts_wtype *t = ts_wtype_of(m->type);
    const size_t block_bytes = ts_dtype_get(m->type)->block_bytes, d_bytes = t->scale == TS_SCALE_F16 ? 2 : 1;
    const size_t head_bytes = (size_t)ts_wtype_head_bytes(t), main_bytes = 64 * (size_t)ts_wtype_main_words(t);
    const uint32_t row0 = g * TS_GROUP_ROWS;
    const uint32_t n = m->n_rows - row0 < TS_GROUP_ROWS ? m->n_rows - row0 : TS_GROUP_ROWS;
    uint8_t *head = dst, *main = head + m->head_stride;
    if (n < TS_GROUP_ROWS || m->head_stride > m->n_block * head_bytes) memset(dst, 0, m->group_bytes);
    for (uint32_t row = 0; row < n; row++) {
        const uint8_t *src = (const uint8_t *)rows + (size_t)(row0 + row) * row_bytes;
        for (uint32_t b = 0; b < m->n_block; b++, src += block_bytes) {
            uint8_t *h = head + b * head_bytes, *w = main + b * main_bytes + 4 * row;
            memcpy(h + d_bytes * row, src + t->d_at, d_bytes);
            if (t->second != TS_SECOND_NONE) memcpy(h + TS_GROUP_ROWS * d_bytes + 2 * row, src + t->second_at, 2);
            for (int i = 0; i < TS_WPIECES; i++) {
                const uint8_t *s = src + t->piece[i].at;
                for (int k = 0; k < t->piece[i].words; k++, s += 4, w += 64) {
                    uint32_t v;
                    memcpy(&v, s, 4);
                    v = laid_out(v, t->piece[i].as);
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
    a->pairs256 = ts_alloc_aligned(cap, n256 * 16 * 4);
    if (a->q32 && a->q256 && a->d32 && a->s32 && a->off8 && a->off16 && a->off128 && a->d256 && a->sums256 &&
        a->pairs256)
        return TS_OK;
    ts_qact_fini(a);
    return ts_fail_nomem(err, "quantised activations", cap * K * 2);
}

void ts_qact_fini(ts_qact *a) {
    ts_free(a->q32), ts_free(a->q256), ts_free(a->d32), ts_free(a->s32), ts_free(a->d256);
    ts_free(a->off8), ts_free(a->off16), ts_free(a->off128), ts_free(a->sums256);
    ts_free(a->pairs256);
    *a = (ts_qact){0};
}
