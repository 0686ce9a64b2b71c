#include "kern/layout.h"
#include "format/quant.h"
#include "kern/simd/inline.h"

#include <string.h>

bool ts_qmat_init(ts_qmat *m, ts_dtype type, uint64_t n_rows, uint64_t n_cols) {
    const ts_wtype *t = ts_wtype_of(type);
    if (!t->block || n_cols == 0 || n_cols % t->block || n_rows == 0 || n_rows > UINT32_MAX - 16 || n_cols > UINT32_MAX)
        return false;
    uint32_t n_block = (uint32_t)(n_cols / t->block);
    const uint32_t share = (uint32_t)ts_wtype_share(t);
    size_t head = ((n_block + share - 1) / share * (size_t)ts_wtype_head_bytes(t) + 63) & ~(size_t)63, total;
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

typedef uint32_t u32x4 __attribute__((vector_size(16)));

/* Exchange the bits of `low` with those `by` higher. */
static inline u32x4 swap_bits(u32x4 v, uint32_t low, int by) {
    const u32x4 change = (v ^ v >> by) & low;
    return v ^ change ^ change << by;
}

/* Bit 4 g + i of a word becomes bit g of byte i, which is 8 i + g: the number of a bit, of five bits itself, is rotated
 * by two places, in four exchanges of two of its places. */
static inline u32x4 spread_columns(u32x4 v) {
    v = swap_bits(v, 0x22222222, 1);
    v = swap_bits(v, 0x0a0a0a0a, 3);
    v = swap_bits(v, 0x00cc00cc, 6);
    return swap_bits(v, 0x0000f0f0, 12);
}

static inline u32x4 laid_out(u32x4 v, ts_wpiece_as as) {
    return as == TS_AS_UNSIGNED ? v ^ 0x80808080u : as == TS_AS_COLUMNS ? spread_columns(v) : v;
}

/* Words of the file's block that lie together, four or fewer, and the words of the packed block that they become. */
struct run {
    uint8_t at, n, to[4];
    ts_wpiece_as as;
};
enum { MAX_RUNS = 64 / 4 + TS_WPIECES }; /* a block has fewer than 256 bytes */

static int runs_of(const ts_wtype *t, struct run *run) {
    int n = 0;
    uint8_t to = 0;
    for (int i = 0; i < TS_WPIECES; i++)
        for (int k = 0; k < t->piece[i].words; k += 4, n++) {
            const int left = t->piece[i].words - k;
            run[n] =
                (struct run){(uint8_t)(t->piece[i].at + 4 * k), (uint8_t)(left < 4 ? left : 4), .as = t->piece[i].as};
            for (int j = 0; j < run[n].n; j++) run[n].to[j] = to++;
        }
    return n;
}

/* A run of `rows` rows, four or fewer; `w` is their place in the packed block. */
static inline void put_few(const struct run *r, const uint8_t *src, size_t row_bytes, uint32_t rows, uint8_t *w) {
    for (int k = 0; k < r->n; k++) {
        uint32_t word[4] = {0};
        for (uint32_t row = 0; row < rows; row++) memcpy(&word[row], src + r->at + 4 * k + row * row_bytes, 4);
        const u32x4 v = laid_out((u32x4){word[0], word[1], word[2], word[3]}, r->as);
        memcpy(w + 64 * r->to[k], &v, 4 * rows);
    }
}

/* Four words of four rows: a transpose. */
static inline void put_4x4(const struct run *r, const uint8_t *src, size_t row_bytes, uint8_t *w) {
    u32x4 row[4], word[4];
    for (int i = 0; i < 4; i++) memcpy(&row[i], src + r->at + (size_t)i * row_bytes, 16);
    for (int i = 0; i < 4; i += 2) { /* words 0 and 1 of two rows, words 2 and 3 */
        word[i / 2] = __builtin_shufflevector(row[i], row[i + 1], 0, 4, 1, 5);
        word[2 + i / 2] = __builtin_shufflevector(row[i], row[i + 1], 2, 6, 3, 7);
    }
    for (int k = 0; k < 4; k += 2) {
        row[k] = __builtin_shufflevector(word[k], word[k + 1], 0, 1, 4, 5);
        row[k + 1] = __builtin_shufflevector(word[k], word[k + 1], 2, 3, 6, 7);
    }
    for (int k = 0; k < 4; k++) {
        const u32x4 v = laid_out(row[k], r->as);
        memcpy(w + 64 * r->to[k], &v, 16);
    }
}

/* A block's words, as its pieces have them, become those of a tight type. */
INL void tighten(const ts_wtype *t, const uint8_t *words, uint8_t *main) {
    const int chunks = t->block / 32, others = ts_wtype_main_words(t) - t->tight * chunks;
    memcpy(main, words, 64 * (size_t)others);
    UNROLL for (int c = 0; c < chunks; c++)
        NO_UNROLL for (int at = 0; at < 64; at += 16) {
            u32x4 out[8] = {0};
            UNROLL for (int g = 0; g < 8; g++) {
                u32x4 v = {0};
                UNROLL for (int i = 0; i < 2; i++) {
                    const ts_wfield f = ts_wtype_piece_field(t, c, g, i);
                    u32x4 w;
                    memcpy(&w, words + 64 * f.word + at, 16);
                    v |= (f.shift >= 0 ? w >> f.shift : w << -f.shift) & f.mask * 0x01010101u;
                }
                UNROLL for (int i = 0; i < 3; i++) {
                    const ts_wfield f = ts_tight_field(t->tight, g, i);
                    out[f.word] |= (v & f.mask * 0x01010101u) << f.shift;
                }
            }
            UNROLL for (int i = 0; i < t->tight; i++)
                memcpy(main + 64 * (others + t->tight * c + i) + at, &out[i], 16);
        }
}
static void tighten_as(ts_dtype type, const uint8_t *words, uint8_t *main) {
    switch (type) {
#define WTYPE(NAME, number, name, elements, bytes, ...)                                                                \
    case TS_##NAME: {                                                                                                  \
        static const ts_wtype t = {.block = elements, __VA_ARGS__};                                                    \
        if (t.tight) tighten(&t, words, main);                                                                         \
        break;                                                                                                         \
    }
#include "format/wtype.def"
    default: break;
    }
}

void ts_qmat_pack_group(const ts_qmat *m, const void *rows, size_t row_bytes, uint32_t g, void *dst) {
    const ts_wtype *t = ts_wtype_of(m->type);
    const size_t block_bytes = ts_dtype_get(m->type)->block_bytes, d_bytes = t->scale == TS_SCALE_F16 ? 2 : 1;
    const size_t head_bytes = (size_t)ts_wtype_head_bytes(t), main_bytes = 64 * (size_t)ts_wtype_main_words(t);
    const size_t second_bytes = (size_t)ts_wtype_second_bytes(t), share = (size_t)ts_wtype_share(t);
    const uint32_t row0 = g * TS_GROUP_ROWS;
    const uint32_t n = m->n_rows - row0 < TS_GROUP_ROWS ? m->n_rows - row0 : TS_GROUP_ROWS;
    uint8_t *head = dst, *main = head + m->head_stride;
    uint8_t pieces[64 * 64] = {0};
    struct run run[MAX_RUNS];
    const int n_run = runs_of(t, run);
    const bool gap = m->head_stride > (m->n_block + share - 1) / share * head_bytes;
    if (n < TS_GROUP_ROWS || gap) memset(dst, 0, m->group_bytes);
    const uint8_t *src = (const uint8_t *)rows + (size_t)row0 * row_bytes;
    /* sixteen rows side by side are more streams than processors fetch ahead: fetched here in one */
    for (size_t i = 0; i < n * row_bytes; i += 64) __builtin_prefetch(src + i);
    for (uint32_t b = 0; b < m->n_block; b++, src += block_bytes, main += main_bytes) {
        for (uint32_t row = 0; row < n && b % share == 0; row++) {
            const uint8_t *s = src + row * row_bytes;
            memcpy(head + d_bytes * row, s + t->d_at, d_bytes);
            uint8_t *second = head + TS_GROUP_ROWS * d_bytes + second_bytes * row;
            if (second_bytes) memcpy(second, s + t->second_at, second_bytes);
            if (t->second == TS_SECOND_ZERO) *second &= 15;
        }
        if (b % share == share - 1) head += head_bytes;
        uint8_t *words = t->tight ? pieces : main;
        for (int i = 0; i < n_run; i++) {
            uint32_t row = 0;
            for (; run[i].n == 4 && row + 4 <= n; row += 4)
                put_4x4(&run[i], src + row * row_bytes, row_bytes, words + 4 * row);
            for (; row < n; row += 4)
                put_few(&run[i], src + row * row_bytes, row_bytes, n - row < 4 ? n - row : 4, words + 4 * row);
        }
        if (t->tight) tighten_as(m->type, words, main);
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
    a->wide32 = ts_alloc_aligned(cap, K * 2);
    a->wide256 = ts_alloc_aligned(cap, K * 2);
    if (a->q32 && a->q256 && a->d32 && a->s32 && a->off8 && a->off16 && a->off128 && a->d256 && a->sums256 &&
        a->pairs256 && a->wide32 && a->wide256)
        return TS_OK;
    ts_qact_fini(a);
    return ts_fail_nomem(err, "quantised activations", cap * K * 6);
}

void ts_qact_fini(ts_qact *a) {
    ts_free(a->q32), ts_free(a->q256), ts_free(a->d32), ts_free(a->s32), ts_free(a->d256);
    ts_free(a->off8), ts_free(a->off16), ts_free(a->off128), ts_free(a->sums256);
    ts_free(a->pairs256), ts_free(a->wide32), ts_free(a->wide256);
    *a = (ts_qact){0};
}
