/* gemm_q_tmpl.h - the quantised linear layers in terms of vectors of rows; included once by each level's
 * gemm_q_<level>.c after kern/kern.h, simd/inline.h and the level's vq_<level>.h. Not a header of its own.
 * Specification: kern/kern.h; reference: ref/gemm_q_ref.c. What a type looks like is its row of format/wtype.def.
 *
 * A vector holds one 4-byte word of VQ_ROWS output rows: 16, or a part of a group's 16. The 4-way dot product
 * multiplies its bytes with four activations, broadcast from memory, and adds into one int32 a row. A tile is VQ_ROWS
 * rows x up to VQ_TOKS tokens; the words of a 32-element chunk are unpacked once into 8 vectors and used for all tokens
 * of the tile. Weights are unsigned by an offset whose share, offset * sum(x), is known before; a level whose dot
 * product does not take all unsigned bytes has those of 8 bits signed instead.
 *
 * What a level's header defines:
 *   VQ_ROWS       16, 8 or 4: lanes of a vector
 *   VQ_TOKS       tokens of the widest tile: 16, or 4 where registers are few
 *   VQ_UNSIGNED8  vq_dot4 takes all unsigned bytes; otherwise those below 64, and vq_dot4_signed the signed ones
 *   VQ_CHAINS     sums that a lone token uses to hide the latency of the dot product: 1 or 2
 *   VQ_STRAIGHT   a lone token's chunks are straight code, and the weights ahead are asked for
 *   vqi, vqf      a vector of integers, of f32
 *   vq_pin             computes x here, and keeps nothing that is in memory in registers beyond
 *   vq_zero  vq_set1 (32-bit)  vq_bytes (one byte everywhere)  vq_bcast (a word from memory)
 *   vq_load (words of the rows)  vq_load_u8  vq_load_u16 (one a row, widened)  vq_prefetch
 *   vq_and  vq_add  vq_sub  vq_mla (acc + a * b)  vq_shl    32-bit lanes;   vq_sub8   bytes
 *   vq_or_and (a | (b & mask))   vq_pick_below(x, limit, a, b): a where x < limit, else b
 *   vq_shift(x, n)     every byte >> n (n < 0: << -n, |n| < 8); what comes in from its neighbours the caller masks
 *   vq_byte(x, i)      byte i of each 32-bit lane, sign-extended;  vq_even, vq_odd: bytes 0 and 2, 1 and 3, as int16
 *   vq_zip(a, b, ...)  of each 32-bit lane: the bytes a0 b0 a1 b1, and a2 b2 a3 b3
 *   vq_table  vq_lookup(table, x): 16 bytes from memory, and byte by byte one of them, x below 16
 *   vq_dot4  vq_dot4_signed(acc, weights, activations)     vq_dot2: the same of pairs of int16
 *   vqf_zero  vqf_set1 (from memory)  vqf_bits  vqf_of_int  vqf_load_f16  vqf_add  vqf_mul  vqf_fma (a * b + c)
 *   vqf_fnma (-(a * b) + c)  vqf_load  vqf_store  vqf_load_n  vqf_store_n (n of them) */

INL vqi word(const uint8_t *p, int i) {
    return vq_load(p + 64 * i);
}
INL vqi field(vqi x, int n, int mask) {
    return vq_and(vq_shift(x, n), vq_bytes(mask));
}
INL vqi with_field(vqi low, vqi high, int n, int mask) {
    return vq_or_and(low, vq_shift(high, n), vq_bytes(mask));
}

INL bool is_signed(const ts_wtype *t) {
    return !VQ_UNSIGNED8 && t->offset == 7;
}
/* Are the vectors' weights too large by 2^offset? */
INL bool has_offset(const ts_wtype *t) {
    return t->offset && !is_signed(t);
}

INL vqi table_of(const ts_wtype *t) {
    if (!t->values) return vq_zero();
    return vq_sub8(vq_table(t->values), vq_bytes(has_offset(t) ? -(1 << t->offset) : 0));
}

/* The weights of chunk c (32 elements) of the block whose words begin at p. */
INL void unpack(const ts_wtype *t, const uint8_t *p, int c, vqi table, vqi w[8]) {
    const ts_wbits *low = &t->low, *high = &t->high;
    const uint8_t *lows = p + 64 * ts_wbits_word(low, c), *highs = p + 64 * ts_wbits_word(high, c);
    UNROLL for (int i = 0; i < 8; i++) { /* groups of one word side by side, so that it need not be kept */
        const int n = 8 / low->span, g = i / n + i % n * low->span;
        vqi v = word(lows, g % low->span);
        if (low->mask != 255) v = field(v, ts_wbits_shift(low, c, g), low->mask);
        if (high->mask) v = with_field(v, word(highs, g % high->span), ts_wbits_shift(high, c, g), high->mask);
        if (t->values) v = vq_lookup(table, v);
        else if (is_signed(t)) v = vq_sub8(v, vq_bytes(128));
        w[g] = v;
    }
}

/* d of the rows whose heads begin at `head`. */
INL vqf scale_of(const ts_wtype *t, const uint8_t *head) {
    if (t->scale == TS_SCALE_F16) return vqf_load_f16(head);
    const vqi e = vq_load_u8(head); /* 2^(e-128): exponent field e - 1 */
    return vqf_bits(vq_pick_below(e, TS_MXFP4_MIN, vq_zero(), vq_shl(vq_sub(e, vq_set1(1)), 23)));
}

INL vqi dot4(const ts_wtype *t, vqi acc, vqi w, vqi x) {
    return is_signed(t) ? vq_dot4_signed(acc, w, x) : vq_dot4(acc, w, x);
}

/* dot[i] += sum over groups [g0, g1) of weights times activations of token i; up to four tokens side by side hide the
 * latency. x: int8 [8][width][4] of the chunk, first token of the tile. */
INL void dots(const ts_wtype *t, int n, int width, const int8_t *x, const vqi w[8], int g0, int g1, vqi dot[4]) {
    if (n == 1 && VQ_CHAINS == 2) {
        vqi odd = vq_zero();
        UNROLL for (int g = g0; g < g1; g += 2) {
            dot[0] = dot4(t, dot[0], w[g], vq_bcast(x + g * width * 4));
            odd = dot4(t, odd, w[g + 1], vq_bcast(x + (g + 1) * width * 4));
        }
        dot[0] = vq_add(dot[0], odd);
        return;
    }
    UNROLL for (int g = g0; g < g1; g++)
        UNROLL for (int i = 0; i < n; i++) dot[i] = dot4(t, dot[i], w[g], vq_bcast(x + (g * width + i) * 4));
}

/* VQ_ROWS rows of a matrix, a slice of K: blocks [b0, b1), and the block of tokens that begins at token t. */
typedef struct q_tile {
    const ts_qmat *w;
    const ts_qact *x;
    size_t b0, b1;
    const uint8_t *head, *words; /* of its rows */
    uint32_t row, t;
    float *y;
    size_t ld_y;
} q_tile;

/* The slice's sums go to y: the first is y (a sum that began with +0 is never -0), the others are added. */
INL void store(const q_tile *a, int n, int col, const vqf *acc) {
    if (a->row >= a->w->n_rows) return;
    const uint32_t rows = a->w->n_rows - a->row;
    UNROLL for (int i = 0; i < n; i++) {
        float *y = a->y + (a->t + (uint32_t)(col + i)) * a->ld_y + a->row;
        if (rows >= VQ_ROWS)
            vqf_store(y, a->b0 ? vqf_add(vqf_load(y), acc[i]) : acc[i]);
        else
            vqf_store_n(y, a->b0 ? vqf_add(vqf_load_n(y, rows), acc[i]) : acc[i], rows);
    }
}

/* What the accumulators of a 32-element block begin with, -2^offset * sum(x): `at` in one of the arrays of x. Other
 * offsets than these three cost a shift. */
INL const int32_t *offsets(const ts_wtype *t, const ts_qact *x, size_t at) {
    return (t->offset == 4 ? x->off16 : t->offset == 7 ? x->off128 : x->off8) + at;
}
INL vqi start_of(const ts_wtype *t, const int32_t *off) {
    if (!has_offset(t)) return vq_zero();
    if (t->offset == 3 || t->offset == 4 || t->offset == 7) return vq_bcast(off);
    return vq_shl(vq_bcast(off), t->offset - 3);
}

/* A tile of a type with 32-element blocks: n tokens from column `col` of their block of `width` on. n is a constant. */
INL void tile32(const ts_wtype *t, int n, int width, int col, const q_tile *a) {
    const int head_bytes = ts_wtype_head_bytes(t), main_bytes = 64 * ts_wtype_main_words(t);
    const size_t nb = a->w->n_block, at = a->t * nb + (size_t)col;
    const uint8_t *head = a->head + a->b0 * (size_t)head_bytes, *words = a->words + a->b0 * (size_t)main_bytes;
    const int8_t *q = a->x->q32 + (size_t)a->t * a->w->n_cols + col * 4;
    const float *dx = a->x->d32 + at, *sx = a->x->s32 + at;
    const int32_t *off = offsets(t, a->x, at);
    const vqi table = table_of(t);
    vqf acc[VQ_TOKS];
    UNROLL for (int i = 0; i < n; i++) acc[i] = vqf_zero();
    for (size_t b = a->b0; b < a->b1; b++, head += head_bytes, words += main_bytes) {
        vqi u[8];
        if (n == 1 && VQ_STRAIGHT) vq_prefetch(words + 2048);
        unpack(t, words, 0, table, u);
        const vqf d = scale_of(t, head), m = t->second == TS_SECOND_PLUS ? vqf_load_f16(head + 32) : d;
        UNROLL for (int i0 = 0; i0 < n; i0 += 4) {
            const int k = n < 4 ? n : 4;
            const size_t j = b * (size_t)width + (size_t)i0;
            vqi dot[4];
            UNROLL for (int i = 0; i < k; i++) dot[i] = start_of(t, off + j + i);
            dots(t, k, width, q + j * 32 - i0 * 28, u, 0, 8, dot);
            UNROLL for (int i = 0; i < k; i++) {
                const vqf v = vqf_mul(vqf_of_int(dot[i]), vqf_set1(dx + j + i));
                acc[i0 + i] = vqf_fma(v, d, acc[i0 + i]);
                if (t->second == TS_SECOND_PLUS) acc[i0 + i] = vqf_fma(vqf_set1(sx + j + i), m, acc[i0 + i]);
            }
        }
    }
    store(a, n, col, acc);
}

/* Scales and minimums of a 256-element block: byte j % 4 of vector j / 4 is sub-block j's (signed, or below 128). */
typedef struct scales {
    vqi s[4], m[4];
} scales;

/* Two bits a sub-block, bit 2 j of `h` and the next, to bits 4 and 5 of the bytes: of the even or the odd ones. */
INL vqi spread_high(vqi h, int odd) {
    const vqi a = vq_and(vq_shl(h, 4 - 2 * odd), vq_set1(0x30));
    const vqi b = vq_or_and(a, vq_shl(h, 8 - 2 * odd), vq_set1(0x3000));
    const vqi c = vq_or_and(b, vq_shl(h, 12 - 2 * odd), vq_set1(0x300000));
    return vq_or_and(c, vq_shl(h, 16 - 2 * odd), vq_set1(0x30000000));
}

INL scales sub_scales(const ts_wtype *t, const uint8_t *head, const uint8_t *words) {
    scales r = {0};
    const uint8_t *p = words;
    switch (t->sub) {
    case TS_SUB_NIBBLES:
        UNROLL for (int i = 0; i < 4; i++) {
            r.s[i] = field(word(p, i), 0, 15);
            r.m[i] = field(word(p, i), 4, 15);
        }
        break;
    case TS_SUB_Q3: { /* low nibbles in words 0 and 1, two high bits each in word 2 */
        const vqi a = word(p, 0), b = word(p, 1), c = word(p, 2), bias = vq_bytes(32);
        r.s[0] = vq_sub8(with_field(field(a, 0, 15), c, -4, 48), bias);
        r.s[1] = vq_sub8(with_field(field(b, 0, 15), c, -2, 48), bias);
        r.s[2] = vq_sub8(with_field(field(a, 4, 15), c, 0, 48), bias);
        r.s[3] = vq_sub8(with_field(field(b, 4, 15), c, 2, 48), bias);
        break;
    }
    case TS_SUB_K4: {
        const vqi a = word(p, 0), b = word(p, 1), c = word(p, 2);
        r.s[0] = field(a, 0, 63);
        r.m[0] = field(b, 0, 63);
        r.s[1] = with_field(field(c, 0, 15), a, 2, 48);
        r.m[1] = with_field(field(c, 4, 15), b, 2, 48);
        break;
    }
    case TS_SUB_INT8:
        UNROLL for (int i = 0; i < 4; i++) r.s[i] = word(p, i);
        break;
    case TS_SUB_IQ4: { /* nibble j of scales_l, bits 2j and 2j + 1 of scales_h */
        const vqi l = word(p, 0), h = vq_load_u16(head + 32), ones = vq_bytes(-1), bias = vq_bytes(32);
        const vqi even = vq_sub8(vq_or_and(spread_high(h, 0), field(l, 0, 15), ones), bias);
        const vqi odd = vq_sub8(vq_or_and(spread_high(h, 1), field(l, 4, 15), ones), bias);
        vq_zip(even, odd, &r.s[0], &r.s[1]);
        break;
    }
    default: break;
    }
    return r;
}

/* sum over sub-blocks of byte * sum(x): `sums` are the pairs of layout.h of one token. */
INL vqi weigh(const vqi *v, int n_words, const uint32_t *sums, int width) {
    vqi acc = vq_zero();
    UNROLL for (int i = 0; i < n_words; i++) {
        acc = vq_dot2(acc, vq_even(v[i]), vq_bcast(sums + 2 * i * width));
        acc = vq_dot2(acc, vq_odd(v[i]), vq_bcast(sums + (2 * i + 1) * width));
    }
    return acc;
}

/* Chunk c of a block for n tokens: isum += scale * dot, sub-block by sub-block. q: int8 [8][width][4] of the chunk. */
INL void chunk256(const ts_wtype *t, int n, int width, int c, const uint8_t *words, vqi table, const scales *sc,
                  const int8_t *q, vqi *isum) {
    const bool fine = t->sub_block == 16;
    vqi u[8];
    unpack(t, words, c, table, u);
    const int j = fine ? 2 * c : c;
    const vqi s0 = vq_byte(sc->s[j / 4], j % 4), s1 = fine ? vq_byte(sc->s[(j + 1) / 4], (j + 1) % 4) : s0;
    UNROLL for (int i0 = 0; i0 < n; i0 += 4) {
        const int k = n < 4 ? n : 4;
        vqi dot[4];
        UNROLL for (int i = 0; i < k; i++) dot[i] = vq_zero();
        dots(t, k, width, q + i0 * 4, u, 0, fine ? 4 : 8, dot);
        UNROLL for (int i = 0; i < k; i++) isum[i0 + i] = vq_mla(isum[i0 + i], dot[i], s0);
        if (!fine) continue;
        UNROLL for (int i = 0; i < k; i++) dot[i] = vq_zero();
        dots(t, k, width, q + i0 * 4, u, 4, 8, dot);
        UNROLL for (int i = 0; i < k; i++) isum[i0 + i] = vq_mla(isum[i0 + i], dot[i], s1);
    }
}

/* The same of a type with 256-element blocks. */
INL void tile256(const ts_wtype *t, int n, int width, int col, const q_tile *a) {
    const int head_bytes = ts_wtype_head_bytes(t), main_words = ts_wtype_main_words(t), main_bytes = 64 * main_words;
    const size_t nb = a->w->n_block;
    const uint8_t *head = a->head + a->b0 * (size_t)head_bytes, *words = a->words + a->b0 * (size_t)main_bytes;
    const int8_t *q = a->x->q256 + (size_t)a->t * a->w->n_cols + col * 4;
    const float *dx = a->x->d256 + a->t * nb + col;
    const uint32_t *sums = a->x->sums256 + a->t * nb * 12 + col;
    const vqi table = table_of(t);
    const bool fine = t->sub_block == 16;
    const int n_words = fine ? 4 : 2;
    vqf acc[VQ_TOKS];
    UNROLL for (int i = 0; i < n; i++) acc[i] = vqf_zero();
    for (size_t b = a->b0; b < a->b1; b++, head += head_bytes, words += main_bytes) {
        const scales sc = sub_scales(t, head, words);
        if (n > 4) { /* not used in the loop over chunks, which wants all registers */
            IN_MEMORY(acc);
            IN_MEMORY(&sc);
        }
        vqi isum[VQ_TOKS];
        UNROLL for (int i = 0; i < n; i++) isum[i] = vq_zero();
        if (n == 1 && VQ_STRAIGHT) { /* few registers in use: straight code, and the memory ahead is asked for */
            UNROLL for (int c = 0; c < 8; c++) {
                const int lines = (main_words + 7) / 8;
                UNROLL for (int i = 0; i < lines; i++) vq_prefetch(words + 4096 + 64 * (c * lines + i));
                vq_pin(&isum[0]); /* chunk by chunk, or products and words wait on the stack for the last */
                chunk256(t, n, width, c, words, table, &sc, q + (b * 8 + (size_t)c) * (size_t)width * 32, isum);
            }
        } else {
            NO_UNROLL for (int c = 0; c < 8; c++)
                chunk256(t, n, width, c, words, table, &sc, q + (b * 8 + (size_t)c) * (size_t)width * 32, isum);
        }
        const vqf d = scale_of(t, head);
        UNROLL for (int i = 0; i < n; i++) {
            const uint32_t *sum = sums + b * (size_t)width * 12 + i + (fine ? 4 * width : 0);
            if (has_offset(t)) isum[i] = vq_sub(isum[i], vq_shl(weigh(sc.s, n_words, sum, width), t->offset));
            const vqf dxi = vqf_set1(dx + b * (size_t)width + i);
            acc[i] = vqf_fma(vqf_mul(vqf_of_int(isum[i]), dxi), d, acc[i]);
            if (t->second == TS_SECOND_MINUS) {
                const vqf msum = vqf_of_int(weigh(sc.m, n_words, sum, width));
                acc[i] = vqf_fnma(vqf_mul(msum, dxi), vqf_load_f16(head + 32), acc[i]);
            }
        }
    }
    store(a, n, col, acc);
}

INL void tile(const ts_wtype *t, int n, int width, int col, const q_tile *a) {
    if (t->block == 32)
        tile32(t, n, width, col, a);
    else
        tile256(t, n, width, col, a);
}

/* All tokens of a block. */
INL void tiles(const ts_wtype *t, uint32_t width, const q_tile *a) {
    if (width == 1)
        tile(t, 1, 1, 0, a);
    else if (VQ_TOKS == 4)
        for (uint32_t c = 0; c < width; c += 4) tile(t, 4, (int)width, (int)c, a);
    else if (width == 4)
        tile(t, 4, 4, 0, a);
    else
        tile(t, VQ_TOKS, VQ_TOKS, 0, a);
}

INL void gemm_q(const ts_wtype *t, const ts_qmat *w, const ts_qact *x, uint32_t n_tok, uint32_t t0, uint32_t t1,
                uint32_t g0, uint32_t g1, float *y, size_t ld_y) {
    const int row_bytes = t->scale == TS_SCALE_F16 ? 2 : 1;
    const size_t slice = TS_SLICE_K / (size_t)t->block;
    for (uint32_t g = g0; g < g1; g++)
        for (uint32_t tok = t0, width; tok < t1; tok += width) {
            width = ts_tok_width(n_tok, tok);
            for (int r = 0; r < TS_GROUP_ROWS; r += VQ_ROWS) {
                const uint8_t *head = w->data + g * w->group_bytes;
                q_tile a = {.w = w, .x = x, .head = head + r * row_bytes, .words = head + w->head_stride + 4 * r,
                            .row = g * TS_GROUP_ROWS + (uint32_t)r, .t = tok, .y = y, .ld_y = ld_y};
                for (; a.b0 < w->n_block; a.b0 = a.b1) {
                    a.b1 = a.b0 + slice < w->n_block ? a.b0 + slice : w->n_block;
                    tiles(t, width, &a);
                }
            }
        }
}

#define WTYPE(NAME, number, name, elements, bytes, ...)                                                                \
    static TS_GEMM_Q(gemm_##NAME) {                                                                                    \
        static const ts_wtype t = {.block = elements, __VA_ARGS__};                                                    \
        gemm_q(&t, w, x, n_tok, t0, t1, g0, g1, y, ld_y);                                                              \
    }
#include "format/wtype.def"

INL void init_gemm_q(ts_kern *k) {
#define WTYPE(NAME, ...) k->gemm_q[TS_##NAME] = gemm_##NAME;
#include "format/wtype.def"
}
