/* gemm_q_tmpl.h - the quantised linear layers in terms of vectors of rows; included once by each level's
 * gemm_q_<level>.c after kern/kern.h, simd/inline.h and the level's vq_<level>.h. Not a header of its own.
 * Specification: kern/kern.h; reference: ref/gemm_q_ref.c. What a type looks like is its row of format/wtype.def.
 *
 * A vector holds one 4-byte word of VQ_ROWS output rows: 16, or a part of a group's 16. Its four bytes are multiplied
 * with four activations, broadcast from memory, and added. Weights are unsigned by an offset whose share,
 * offset * sum(x), is known before; those of 8 bits are signed where the level cannot multiply all unsigned bytes.
 *
 * A few tokens are bound by memory and take the words as they come (few). A thread draws more from memory by several
 * streams that are far apart, so VQ_STREAMS groups are walked together, and every line is asked for VQ_AHEAD bytes
 * before its turn, one by one between the products: bunched, the requests hold each other up. Chunks are a loop, as
 * processors foresee the steps of one load that comes again and again.
 *
 * Several tokens are bound by arithmetic: a panel, PANEL vectors of rows and 256 of K, is unpacked once into the
 * first-level cache and used for all tokens (many), in tiles of VQ_TOKS and 4 tokens.
 *
 * Where there is only a multiplication of bytes to sums of two in 16 bits (VQ_RUNS), the products of a run of words are
 * summed in 16 bits, as many as fit, and multiplied with the sub-scale, as a pair of 16 bits, into 32 bits. Of weights
 * of 8 bits hardly one fits: for several tokens they are widened to 16 bits, times their sub-scale, and multiplied with
 * x->wide32 or x->wide256.
 *
 * What a level's header defines:
 *   VQ_ROWS       16, 8 or 4: lanes of a vector
 *   VQ_TOKS       tokens of the widest tile: 16, 8 or 4
 *   VQ_FEW        so many tokens are few, at most (few_of): 1, 4 or 8
 *   VQ_STREAMS    groups that are walked together for few
 *   VQ_WOVEN      block by block in one piece of code, for one has too few products side by side; else in turn
 *   VQ_AHEAD      bytes
 *   VQ_SIGNED_FROM  weights with this offset and larger ones are multiplied as signed bytes (8: none)
 *   VQ_RUNS       products are sums of two in 16 bits
 *   vqi, vqf      a vector of integers, of f32
 *   vq_pin             computes x here: no product is kept for later, no sum made a tree
 *   vq_zero  vq_set1 (32-bit)  vq_bytes (one byte everywhere)  vq_bcast (a word from memory)
 *   vq_load (words of the rows)  vq_load_u8  vq_load_u16 (one a row, widened)  vq_prefetch (stays where it is)
 *   vq_and  vq_sub  vq_shl  vq_sar (>> n, signed)    32-bit lanes;   vq_sub8   bytes
 *   vq_or_and (a | (b & mask))   vq_pick_below(x, limit, a, b): a where x < limit, else b
 *   vq_shift(x, n)     every byte >> n (n < 0: << -n, |n| < 8); what comes in from its neighbours the caller masks
 *   vq_scale(x, i)     byte i of each 32-bit lane, signed, as vq_weigh wants it
 *   vq_even, vq_odd    bytes 0 and 2, 1 and 3, as int16
 *   vq_zip(a, b, ...)  of each 32-bit lane: the bytes a0 b0 a1 b1, and a2 b2 a3 b3
 *   vq_table  vq_lookup(table, x): 16 bytes from memory, and byte by byte one of them, x below 16
 *   vq_dot4(sum, weights, activations)  four products more
 *   vq_weigh(acc, sum, scale)           acc + sum * scale, a sum of four products or, with VQ_RUNS, of pairs
 *   vq_dot2(acc, a, b)                  two products of int16 more
 *   with VQ_RUNS: vq_pairs (unsigned weights), vq_pairs_signed, vq_more (the sum of two such), vq_ones: a scale of 1
 *                 vq_mul16 (int16, low halves)  vq_sar16 (int16 >> n)  vq_dot2_here: vq_dot2, computed here
 *   vqf_zero  vqf_set1 (from memory)  vqf_bits  vqf_of_int  vqf_load_f16  vqf_add  vqf_mul  vqf_fma (a * b + c)
 *   vqf_fnma (-(a * b) + c)  vqf_load  vqf_store  vqf_load_n  vqf_store_n (n of them) */

enum {
    GROUP = TS_GROUP_ROWS / VQ_ROWS, /* vectors of a group */
    PANEL = GROUP > 1 ? GROUP : 2,   /* vectors of a panel: one group or two */
    PANEL_K = 256,
    PANEL_TOKS = 64, /* tokens whose sums lie in the first-level cache beside a panel */
    MAX_TILE = VQ_TOKS > 4 ? VQ_TOKS : 4,
};

INL vqi word(const uint8_t *p, int i) {
    return vq_load(p + 64 * i);
}
INL vqi field(vqi x, int n, int mask) {
    return vq_and(vq_shift(x, n), vq_bytes(mask));
}
INL vqi with_field(vqi low, vqi high, int n, int mask) {
    return vq_or_and(low, vq_shift(high, n), vq_bytes(mask));
}

/* What is multiplied: the unsigned weights; themselves; or those times their sub-scale, in 16 bits. */
typedef enum q_form { UNSIGNED, SIGNED, WIDE } q_form;

INL q_form form_of_few(const ts_wtype *t) {
    return t->offset >= VQ_SIGNED_FROM ? SIGNED : UNSIGNED;
}
INL q_form form_of_many(const ts_wtype *t) {
    return VQ_RUNS && t->offset == 7 ? WIDE : form_of_few(t);
}
/* The activations in 16 bits from element `at` on, where they are wanted. */
INL const uint32_t *wide_of(const ts_wtype *t, const ts_qact *x, size_t at) {
    return form_of_many(t) == WIDE ? (t->block == 32 ? x->wide32 : x->wide256) + at / 2 : NULL;
}
/* Are the vectors' weights too large by 2^offset? */
INL bool has_offset(const ts_wtype *t, q_form form) {
    return t->offset && form == UNSIGNED;
}
/* Does a run begin with the offset's share? Otherwise that is taken off a block's sum. */
INL bool starts(const ts_wtype *t, q_form form) {
    return VQ_RUNS && t->block == 256 && has_offset(t, form);
}

INL vqi table_of(const ts_wtype *t, q_form form) {
    if (!t->values) return vq_zero();
    return vq_sub8(vq_table(t->values), vq_bytes(has_offset(t, form) ? -(1 << t->offset) : 0));
}

/* How the eight groups of four weights of a chunk come: those of one word side by side, so that it is read once. */
INL int nth_group(const ts_wtype *t, int i) {
    const int n = t->tight ? 1 : 8 / t->low.span;
    return i / n + i % n * t->low.span;
}

/* The weights of group g of chunk c (32 elements) of the block whose words begin at p. */
INL vqi weights(const ts_wtype *t, q_form form, const uint8_t *p, int c, int g, vqi table) {
    const ts_wfield f = ts_wtype_field(t, c, g, 0);
    vqi v = word(p, f.word);
    if (f.mask != 255) v = field(v, f.shift, f.mask);
    UNROLL for (int i = 1; i < 3; i++) {
        const ts_wfield more = ts_wtype_field(t, c, g, i);
        if (more.mask) v = with_field(v, word(p, more.word), more.shift, more.mask);
    }
    if (t->values) return vq_lookup(table, v);
    return form != UNSIGNED && t->offset ? vq_sub8(v, vq_bytes(1 << t->offset)) : v;
}

/* d of the rows whose heads begin at `head`. */
INL vqf scale_of(const ts_wtype *t, const uint8_t *head) {
    if (t->scale == TS_SCALE_F16) return vqf_load_f16(head);
    const vqi e = vq_load_u8(head); /* 2^(e-128): exponent field e - 1 */
    return vqf_bits(vq_pick_below(e, TS_MXFP4_MIN, vq_zero(), vq_shl(vq_sub(e, vq_set1(1)), 23)));
}

/* What the sum of a 32-element block begins with, -2^offset * sum(x): `at` in one of the arrays of x. Other offsets
 * than these three cost a shift. */
INL const int32_t *offsets(const ts_wtype *t, const ts_qact *x, size_t at) {
    return (t->offset == 4 ? x->off16 : t->offset == 7 ? x->off128 : x->off8) + at;
}
INL vqi start_of(const ts_wtype *t, q_form form, const int32_t *off) {
    if (!has_offset(t, form)) return vq_zero();
    if (t->offset == 3 || t->offset == 4 || t->offset == 7) return vq_bcast(off);
    return vq_shl(vq_bcast(off), t->offset - 3);
}

/* The zero points of the rows whose heads begin at `head`, and what a block's sum begins with then: -z * sum(x), of
 * x->off8, which is -8 * sum(x) and has room in 16 bits. */
INL vqi zero_points(const uint8_t *head, int row) {
    return vq_load_u8(head + 2 * TS_GROUP_ROWS + row);
}
INL vqi start_of_zeros(vqi z, const int32_t *off8) {
    return vq_sar(vq_dot2(vq_zero(), z, vq_bcast(off8)), 3);
}
/* Do blocks b and b + 1 have different heads? */
INL bool ends_head(const ts_wtype *t, size_t b) {
    return (b + 1) % (size_t)ts_wtype_share(t) == 0;
}

/* What a run over a sub-block of 16 begins with, the same in pairs of 16 bits: `at` points at one of x->pairs256, -32
 * times the sums. */
INL vqi start_of_run(const ts_wtype *t, const uint32_t *at) {
    return vq_sar16(vq_bcast(at), 5 - t->offset);
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
    default:
        break;
    }
    return r;
}

/* A slice's sums of one token and the rows of a vector, of which the first is `row`, go to y: those of the first slice
 * are y (a sum that began with +0 is never -0), the others are added. */
INL void store(const ts_qmat *w, uint32_t row, float *y, bool first, vqf acc) {
    if (row >= w->n_rows) return;
    const uint32_t rows = w->n_rows - row;
    y += row;
    if (rows >= VQ_ROWS) vqf_store(y, first ? acc : vqf_add(vqf_load(y), acc));
    else vqf_store_n(y, first ? acc : vqf_add(vqf_load_n(y, rows), acc), rows);
}

/* The slice of K that begins with block b ends before this one. */
INL size_t slice_end(const ts_wtype *t, const ts_qmat *w, size_t b) {
    const size_t n = TS_SLICE_K / (size_t)t->block;
    return w->n_block - b < n ? w->n_block : b + n;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* Words whose products a sum holds before it is weighed. 16 bits have room for 4 * 127 * the largest weight a word,
 * which is what is left of it once the offset's share is off, a sub-block's end. */
INL int run_of(const ts_wtype *t, q_form form, int sub_words) {
    const int largest = t->values ? 31 : t->low.mask | t->high.mask;
    const int run = !VQ_RUNS || largest < 16 ? 8 : form == SIGNED ? 1 : 4;
    return run < sub_words ? run : sub_words;
}
INL vqi products(q_form form, vqi w, vqi x) {
    return form == SIGNED ? vq_pairs_signed(w, x) : vq_pairs(w, x);
}

/* ---- several tokens ---------------------------------------------------------------------------------------------- */

/* PANEL vectors of rows, 256 of K (the last panel of a matrix may have less): blocks of 32, or one of 256. */
typedef struct q_panel {
    vqi w[PANEL_K / 4][PANEL];
    vqi odd[PANEL_K / 4][PANEL];      /* of WIDE: elements 1 and 3 of the words, 0 and 2 in w */
    vqi scale[16][PANEL];             /* of the sub-blocks */
    vqi off[8][PANEL], min[8][PANEL]; /* the same and the minimums, for weigh_pairs; or zero points of blocks of 32 */
    vqf d[8][PANEL], m[8][PANEL];
} q_panel;

/* Sub-scales or minimums for the pairs of sums of layout.h. */
INL void pairs_of(const vqi v[4], int n_words, int at, vqi out[8][PANEL]) {
    UNROLL for (int i = 0; i < n_words; i++) out[2 * i][at] = vq_even(v[i]), out[2 * i + 1][at] = vq_odd(v[i]);
}
/* sum over sub-blocks of value * sum(x). */
INL vqi weigh_pairs(const vqi v[8][PANEL], int n, int at, const uint32_t *sums, int width) {
    vqi acc = vq_zero();
    UNROLL for (int i = 0; i < n; i++) acc = vq_dot2(acc, v[i][at], vq_bcast(sums + i * width));
    return acc;
}

/* Two vectors of int16 of a word, times the sub-scale of a block that has such. */
INL vqi wide_even(const ts_wtype *t, vqi w, vqi scale) {
    return t->block == 32 ? vq_even(w) : vq_mul16(vq_even(w), scale);
}
INL vqi wide_odd(const ts_wtype *t, vqi w, vqi scale) {
    return t->block == 32 ? vq_odd(w) : vq_mul16(vq_odd(w), scale);
}

INL void put_word(const ts_wtype *t, q_panel *p, int i, int at, vqi w) {
    const bool wide = form_of_many(t) == WIDE;
    const vqi scale = t->block == 32 ? vq_zero() : p->scale[4 * i / t->sub_block][at];
    p->w[i][at] = wide ? wide_even(t, w, scale) : w;
    if (wide) p->odd[i][at] = wide_odd(t, w, scale);
}

/* Vector `at` of a panel, of the rows from `row` on in their group: n blocks of 32 or one of 256, whose heads and words
 * begin here, the group's heads. */
INL void fill(const ts_wtype *t, int n, const uint8_t *heads, int row, const uint8_t *words, int at, q_panel *p) {
    const uint8_t *head = heads + row * (t->scale == TS_SCALE_F16 ? 2 : 1);
    const int head_bytes = ts_wtype_head_bytes(t), main_words = ts_wtype_main_words(t);
    const q_form form = form_of_many(t);
    const vqi table = table_of(t, form);
    if (t->block == 32) {
        NO_UNROLL for (int b = 0; b < n; b++, words += 64 * main_words) {
            UNROLL for (int i = 0; i < main_words; i++) vq_prefetch(words + VQ_AHEAD + 64 * i);
            UNROLL for (int g = 0; g < 8; g++) put_word(t, p, 8 * b + g, at, weights(t, form, words, 0, g, table));
            p->d[b][at] = scale_of(t, head);
            if (t->second == TS_SECOND_PLUS) p->m[b][at] = vqf_load_f16(head + 32);
            if (t->second == TS_SECOND_ZERO) p->off[b][at] = zero_points(heads, row);
            if (ends_head(t, (size_t)b)) head += head_bytes, heads += head_bytes;
        }
        return;
    }
    const scales sc = sub_scales(t, head, words);
    const int n_sub = 256 / t->sub_block, lines = (main_words + 7) / 8;
    UNROLL for (int j = 0; j < n_sub; j++) p->scale[j][at] = vq_scale(sc.s[j / 4], j % 4);
    if (has_offset(t, form) && !starts(t, form)) pairs_of(sc.s, n_sub / 4, at, p->off);
    if (t->second == TS_SECOND_MINUS) {
        pairs_of(sc.m, n_sub / 4, at, p->min);
        p->m[0][at] = vqf_load_f16(head + 32);
    }
    p->d[0][at] = scale_of(t, head);
    UNROLL for (int c = 0; c < 8; c++) {
        UNROLL for (int i = 0; i < lines; i++) vq_prefetch(words + VQ_AHEAD + 64 * (c * lines + i));
        UNROLL for (int g = 0; g < 8; g++) put_word(t, p, 8 * c + g, at, weights(t, form, words, c, g, table));
    }
}

/* Words of a panel times those of n tokens: sum[i] += scale * their products. q: int8 [words][width][4], from the first
 * token on; pairs, wide: likewise, what sub-blocks begin with, and [words][2][width] in 16 bits. scale NULL: 1. */
typedef struct q_dots {
    const ts_wtype *t;
    const q_panel *p;
    int word, words; /* the first of the panel, and how many */
    const vqi *scale;
    const int8_t *q;
    const uint32_t *pairs, *wide;
    int width;
} q_dots;

/* Products of four. */
INL void dots_bytes(int n, const q_dots *a, vqi sum[MAX_TILE][PANEL]) {
    vqi s[MAX_TILE][PANEL];
    UNROLL for (int i = 0; i < n; i++)
        UNROLL for (int v = 0; v < PANEL; v++) s[i][v] = a->scale ? vq_zero() : sum[i][v];
    UNROLL for (int j = 0; j < a->words; j++)
        UNROLL for (int i = 0; i < n; i++) {
            const vqi x = vq_bcast(a->q + (j * a->width + i) * 4);
            UNROLL for (int v = 0; v < PANEL; v++) {
                s[i][v] = vq_dot4(s[i][v], a->p->w[a->word + j][v], x);
                vq_pin(&s[i][v]);
            }
        }
    UNROLL for (int i = 0; i < n; i++)
        UNROLL for (int v = 0; v < PANEL; v++)
            sum[i][v] = a->scale ? vq_weigh(sum[i][v], s[i][v], a->scale[v]) : s[i][v];
}

/* Runs of products of two, in 16 bits. */
INL void dots_runs(int n, const q_dots *a, vqi sum[MAX_TILE][PANEL]) {
    const q_form form = form_of_many(a->t);
    const int run = run_of(a->t, form, a->words);
    UNROLL for (int j0 = 0; j0 < a->words; j0 += run) {
        vqi s[MAX_TILE][PANEL];
        UNROLL for (int j = 0; j < run; j++)
            UNROLL for (int i = 0; i < n; i++) {
                const vqi x = vq_bcast(a->q + ((j0 + j) * a->width + i) * 4);
                UNROLL for (int v = 0; v < PANEL; v++) {
                    const vqi two = vq_pairs(a->p->w[a->word + j0 + j][v], x);
                    if (j) s[i][v] = vq_more(s[i][v], two);
                    else s[i][v] = starts(a->t, form) ? vq_more(start_of_run(a->t, a->pairs + i), two) : two;
                    vq_pin(&s[i][v]);
                }
            }
        UNROLL for (int i = 0; i < n; i++)
            UNROLL for (int v = 0; v < PANEL; v++)
                sum[i][v] = vq_weigh(sum[i][v], s[i][v], a->scale ? a->scale[v] : vq_ones());
    }
}

/* In 16 bits, the sub-scales in the weights. */
INL void dots_wide(int n, const q_dots *a, vqi sum[MAX_TILE][PANEL]) {
    UNROLL for (int j = 0; j < 2 * a->words; j++) {
        vqi w[PANEL];
        UNROLL for (int v = 0; v < PANEL; v++) {
            w[v] = (j % 2 ? a->p->odd : a->p->w)[a->word + j / 2][v];
            vq_pin(&w[v]); /* not from memory for each product: loads are few */
        }
        UNROLL for (int i = 0; i < n; i++) {
            const vqi x = vq_bcast(a->wide + j * a->width + i);
            UNROLL for (int v = 0; v < PANEL; v++) {
                if (j == 0) sum[i][v] = vq_dot2(sum[i][v], w[v], x); /* often to 0 */
                else vq_dot2_here(&sum[i][v], w[v], x);
            }
        }
    }
}

INL void dots(int n, const q_dots *a, vqi sum[MAX_TILE][PANEL]) {
    if (!VQ_RUNS) dots_bytes(n, a, sum);
    else if (form_of_many(a->t) == WIDE) dots_wide(n, a, sum);
    else dots_runs(n, a, sum);
}

/* Block b of x for n tokens from column `col` of the `width` that begin at token tok; part[i] += theirs with the panel,
 * whose first block it is. n is a constant. */
INL void tile32(const ts_wtype *t, int n, int width, int n_blocks, const q_panel *p, const ts_qact *x, uint32_t K,
                uint32_t tok, size_t b, int col, vqf (*part)[PANEL]) {
    const size_t at = tok * (size_t)(K / 32) + b * (size_t)width + (size_t)col;
    const int8_t *q = x->q32 + (size_t)tok * K + (b * 8 * (size_t)width + (size_t)col) * 4;
    const uint32_t *wide = wide_of(t, x, (size_t)tok * K + b * 32 * (size_t)width + 2 * (size_t)col);
    const float *dx = x->d32 + at, *sx = x->s32 + at;
    const int32_t *off = offsets(t, x, at);
    NO_UNROLL for (int k = 0; k < n_blocks; k++, q += 32 * width, dx += width, sx += width, off += width) {
        vqi sum[MAX_TILE][PANEL];
        UNROLL for (int i = 0; i < n; i++) {
            const vqi start = start_of(t, form_of_many(t), off + i);
            UNROLL for (int v = 0; v < PANEL; v++)
                sum[i][v] = t->second == TS_SECOND_ZERO ? start_of_zeros(p->off[k][v], off + i) : start;
        }
        dots(n, &(q_dots){.t = t, .p = p, .word = 8 * k, .words = 8, .q = q,
                          .wide = wide ? wide + k * 16 * width : NULL, .width = width}, sum);
        UNROLL for (int i = 0; i < n; i++) {
            const vqf dxi = vqf_set1(dx + i), sxi = vqf_set1(sx + i);
            UNROLL for (int v = 0; v < PANEL; v++) {
                vqf acc = vqf_fma(vqf_mul(vqf_of_int(sum[i][v]), dxi), p->d[k][v], part[i][v]);
                if (t->second == TS_SECOND_PLUS) acc = vqf_fma(sxi, p->m[k][v], acc);
                part[i][v] = acc;
            }
        }
    }
}

INL void tile256(const ts_wtype *t, int n, int width, const q_panel *p, const ts_qact *x, uint32_t K, uint32_t tok,
                 size_t b, int col, vqf (*part)[PANEL]) {
    const bool fine = t->sub_block == 16;
    const int n_sub = 256 / t->sub_block, words = t->sub_block / 4, n_pairs = n_sub / 2;
    const size_t nb = K / 256;
    const int8_t *q = x->q256 + (size_t)tok * K + (b * 64 * (size_t)width + (size_t)col) * 4;
    const uint32_t *wide = wide_of(t, x, (size_t)tok * K + b * 256 * (size_t)width + 2 * (size_t)col);
    const float *dx = x->d256 + tok * nb + b * (size_t)width + col;
    const uint32_t *sums = x->sums256 + (tok * nb + b * (size_t)width) * 12 + col + (fine ? 4 * width : 0);
    const uint32_t *pairs = x->pairs256 + (tok * nb + b * (size_t)width) * 16 + col;
    const q_form form = form_of_many(t);
    vqi sum[MAX_TILE][PANEL];
    UNROLL for (int i = 0; i < n; i++)
        UNROLL for (int v = 0; v < PANEL; v++) sum[i][v] = vq_zero();
    NO_UNROLL for (int j = 0; j < n_sub; j++)
        dots(n, &(q_dots){.t = t, .p = p, .word = words * j, .words = words, .scale = p->scale[j],
                          .q = q + words * j * width * 4, .pairs = pairs + words / 4 * j * width,
                          .wide = wide ? wide + 2 * words * j * width : NULL, .width = width},
             sum);
    UNROLL for (int i = 0; i < n; i++) {
        const vqf dxi = vqf_set1(dx + i);
        UNROLL for (int v = 0; v < PANEL; v++) {
            vqi isum = sum[i][v];
            if (has_offset(t, form) && !starts(t, form))
                isum = vq_sub(isum, vq_shl(weigh_pairs(p->off, n_pairs, v, sums + i, width), t->offset));
            vqf acc = vqf_fma(vqf_mul(vqf_of_int(isum), dxi), p->d[0][v], part[i][v]);
            if (t->second == TS_SECOND_MINUS) {
                const vqf msum = vqf_of_int(weigh_pairs(p->min, n_pairs, v, sums + i, width));
                acc = vqf_fnma(vqf_mul(msum, dxi), p->m[0][v], acc);
            }
            part[i][v] = acc;
        }
    }
}

INL void tile(const ts_wtype *t, int n, int width, int n_blocks, const q_panel *p, const ts_qact *x, uint32_t K,
              uint32_t tok, size_t b, int col, vqf (*part)[PANEL]) {
    if (t->block == 32) tile32(t, n, width, n_blocks, p, x, K, tok, b, col, part);
    else tile256(t, n, width, p, x, K, tok, b, col, part);
}

/* All of tokens [t0, t1) with a panel: block b of K and those behind it. */
INL void tiles(const ts_wtype *t, int n_blocks, const q_panel *p, const ts_qact *x, uint32_t K, uint32_t n_tok,
               uint32_t t0, uint32_t t1, size_t b, vqf (*part)[PANEL]) {
    for (uint32_t tok = t0, width; tok < t1; tok += width, part += width) {
        width = ts_tok_width(n_tok, tok);
        if (width == 1) tile(t, 1, 1, n_blocks, p, x, K, tok, b, 0, part);
        else if (width == 4) tile(t, 4, 4, n_blocks, p, x, K, tok, b, 0, part);
        else
            NO_UNROLL for (int c = 0; c < 16; c += VQ_TOKS)
                tile(t, VQ_TOKS, 16, n_blocks, p, x, K, tok, b, c, part + c);
    }
}

/* Blocks [b, b1) along K, a slice, of groups [g, g + PANEL / GROUP) (as far as there are any), and tokens [t0, t1), at
 * most PANEL_TOKS. */
INL void many(const ts_wtype *t, const ts_qmat *w, const ts_qact *x, uint32_t n_tok, uint32_t t0, uint32_t t1,
              uint32_t g, uint32_t g1, size_t b, size_t b1, float *y, size_t ld_y) {
    const size_t head_bytes = (size_t)ts_wtype_head_bytes(t), main_bytes = 64 * (size_t)ts_wtype_main_words(t),
                 step = PANEL_K / t->block;
    const uint32_t n = t1 - t0;
    q_panel panel;
    vqf part[PANEL_TOKS][PANEL];
    for (uint32_t i = 0; i < n; i++)
        UNROLL for (int v = 0; v < PANEL; v++) part[i][v] = vqf_zero();
    for (size_t c = b; c < b1; c += step) {
        const int blocks = (int)(b1 - c < step ? b1 - c : step);
        NO_UNROLL for (int v = 0; v < PANEL; v++) {
            /* where a second group is missing, the first one stands in */
            const uint32_t own = g + (uint32_t)(v / GROUP) < g1 ? g + (uint32_t)(v / GROUP) : g;
            const uint8_t *head = w->data + own * w->group_bytes, *words = head + w->head_stride;
            fill(t, blocks, head + c / (size_t)ts_wtype_share(t) * head_bytes, v % GROUP * VQ_ROWS,
                 words + c * main_bytes + v % GROUP * VQ_ROWS * 4, v, &panel);
        }
        tiles(t, blocks, &panel, x, w->n_cols, n_tok, t0, t1, c, part);
    }
    for (int v = 0; v < PANEL && g + (uint32_t)(v / GROUP) < g1; v++)
        for (uint32_t i = 0; i < n; i++)
            store(w, g * TS_GROUP_ROWS + (uint32_t)(v * VQ_ROWS), y + (t0 + i) * ld_y, b == 0, part[i][v]);
}

/* ---- a few tokens ------------------------------------------------------------------------------------------------ */

/* Four tokens lie in one block, fewer in blocks of one: element k of token i, of `all` that each has. */
INL size_t few_at(int n, size_t all, int i, size_t k) {
    return n == 4 ? 4 * k + (size_t)i : (size_t)i * all + k;
}

/* Small blocks have heads of about a line, which are asked for too, unless several blocks share one. */
INL int heads_ahead(const ts_wtype *t) {
    return t->block == 32 && ts_wtype_share(t) == 1;
}

/* Chunk c of block b of one group and n tokens: sum += the products of its words with q, by the scales of the
 * sub-blocks; q, pairs: those of the tokens, which have `blocks`; scale: the block's. The lines ahead are asked for one
 * by one, a block's share for each chunk. */
INL void few_chunk(const ts_wtype *t, int n, const uint8_t *words, const uint8_t *ahead, size_t blocks, size_t b, int c,
                   vqi table, const vqi (*scale)[GROUP], const int8_t *q, const uint32_t *pairs, vqi sum[4][GROUP]) {
    const q_form form = form_of_few(t);
    const bool small = t->block == 32;
    const int sub = small ? 8 : t->sub_block / 4, run = run_of(t, form, sub);
    const int all = ts_wtype_main_words(t), lines = small ? all + heads_ahead(t) : (all + 7) / 8;
    const size_t whole = t->block / 4;
    vqi s[4][GROUP];
    READ_AGAIN(); /* activations that others have read */
    UNROLL for (int k = 0; k < 8; k++)
        UNROLL for (int v = 0; v < GROUP; v++) {
            const int g = nth_group(t, k), j = (8 * c + k) / sub;
            if (v == 0 && k < lines) vq_prefetch(ahead + 64 * (c * lines + k));
            const vqi w = weights(t, form, words + 4 * VQ_ROWS * v, c, g, table);
            UNROLL for (int i = 0; i < n; i++) {
                const vqi x = vq_bcast(q + 4 * few_at(n, blocks * whole, i, b * whole + (size_t)(8 * c + g)));
                vqi *to = &s[i][v];
                if (!VQ_RUNS) *to = vq_dot4(k % run ? *to : small ? sum[i][v] : vq_zero(), w, x);
                else if (k % run) *to = vq_more(*to, products(form, w, x));
                else if (!starts(t, form)) *to = products(form, w, x);
                else *to = vq_more(start_of_run(t, pairs + few_at(n, 16 * blocks, i, 16 * b + (size_t)j)),
                                   products(form, w, x));
                vq_pin(to);
                if (k % run != run - 1) continue;
                sum[i][v] = small && !VQ_RUNS ? *to : vq_weigh(sum[i][v], *to, small ? vq_ones() : scale[j][v]);
            }
        }
}

/* Sum over sub-blocks of byte * sum(x). */
INL vqi few_weigh(const vqi v[4], int n_words, const uint32_t *sums, int width) {
    vqi acc = vq_zero();
    UNROLL for (int i = 0; i < n_words; i++) {
        acc = vq_dot2(acc, vq_even(v[i]), vq_bcast(sums + 2 * i * width));
        acc = vq_dot2(acc, vq_odd(v[i]), vq_bcast(sums + (2 * i + 1) * width));
    }
    return acc;
}

/* Blocks [b, b1) of S groups, woven into one another, and n tokens from token tok on: what they give is added to acc.
 * The first group begins at `group`, the others `apart` bytes from each other behind it. */
INL void few_blocks(const ts_wtype *t, int S, int n, const ts_qmat *w, const ts_qact *x, uint32_t tok, size_t b,
                    size_t b1, const uint8_t *group, size_t apart, vqf (*acc)[4][GROUP]) {
    const size_t head_bytes = (size_t)ts_wtype_head_bytes(t), main_bytes = 64 * (size_t)ts_wtype_main_words(t),
                 row_bytes = t->scale == TS_SCALE_F16 ? 2 : 1, blocks = w->n_block, at = tok * blocks;
    const bool small = t->block == 32, fine = t->sub_block == 16;
    const int chunks = t->block / 32, n_sub = small ? 0 : 256 / t->sub_block, n_words = fine ? 4 : 2, shift = t->offset;
    const int8_t *q = (small ? x->q32 : x->q256) + (size_t)tok * w->n_cols;
    const float *dx = (small ? x->d32 : x->d256) + at, *sx = x->s32 + at;
    const uint32_t *sums = small ? NULL : x->sums256 + 12 * at, *pairs = small ? NULL : x->pairs256 + 16 * at;
    const int32_t *off = offsets(t, x, at);
    const q_form form = form_of_few(t);
    const vqi table = table_of(t, form);
    const uint8_t *head[VQ_STREAMS], *words[VQ_STREAMS], *ahead[VQ_STREAMS];
    /* Where heads are long, what is ahead is all of a group, heads and words, from its first byte on. */
    const size_t step = heads_ahead(t) ? head_bytes + main_bytes : main_bytes;
    UNROLL for (int s = 0; s < S; s++) {
        head[s] = group + (size_t)s * apart + b / (size_t)ts_wtype_share(t) * head_bytes;
        words[s] = group + (size_t)s * apart + w->head_stride + b * main_bytes;
        ahead[s] = (heads_ahead(t) ? group + (size_t)s * apart + b * step : words[s]) + VQ_AHEAD;
    }
    NO_UNROLL for (; b < b1; b++) {
        vqi sum[VQ_STREAMS][4][GROUP], min[VQ_STREAMS][4][GROUP];
        vqi scale[VQ_STREAMS][16][GROUP];
        UNROLL for (int s = 0; s < S; s++)
            UNROLL for (int v = 0; v < GROUP; v++) {
                const scales sc = sub_scales(t, head[s] + 2 * VQ_ROWS * v, words[s] + 4 * VQ_ROWS * v);
                UNROLL for (int j = 0; j < n_sub; j++) scale[s][j][v] = vq_scale(sc.s[j / 4], j % 4);
                UNROLL for (int i = 0; i < n; i++) {
                    sum[s][i][v] = small ? start_of(t, form, off + few_at(n, blocks, i, b)) : vq_zero();
                    if (t->second == TS_SECOND_ZERO)
                        sum[s][i][v] = start_of_zeros(zero_points(head[s], VQ_ROWS * v), off + few_at(n, blocks, i, b));
                    if (small) continue;
                    const uint32_t *sum_x = sums + few_at(n, 12 * blocks, i, 12 * b + (fine ? 4 : 0));
                    const int width = n == 4 ? 4 : 1;
                    if (has_offset(t, form) && !starts(t, form))
                        sum[s][i][v] = vq_sub(vq_zero(), vq_shl(few_weigh(sc.s, n_words, sum_x, width), shift));
                    if (t->second == TS_SECOND_MINUS) min[s][i][v] = few_weigh(sc.m, n_words, sum_x, width);
                }
            }
        NO_UNROLL for (int c = 0; c < chunks; c++)
            UNROLL for (int s = 0; s < S; s++)
                few_chunk(t, n, words[s], ahead[s], blocks, b, c, table, scale[s], q, pairs, sum[s]);
        UNROLL for (int s = 0; s < S; s++) {
            UNROLL for (int v = 0; v < GROUP; v++) {
                const uint8_t *h = head[s] + row_bytes * VQ_ROWS * v;
                const vqf d = scale_of(t, h), m = ts_wtype_has_min(t) ? vqf_load_f16(h + 32) : d;
                UNROLL for (int i = 0; i < n; i++) {
                    const size_t bi = few_at(n, blocks, i, b);
                    const vqf dxi = vqf_set1(dx + bi);
                    vqf a = vqf_fma(vqf_mul(vqf_of_int(sum[s][i][v]), dxi), d, acc[s][i][v]);
                    if (t->second == TS_SECOND_PLUS) a = vqf_fma(vqf_set1(sx + bi), m, a);
                    if (t->second == TS_SECOND_MINUS) a = vqf_fnma(vqf_mul(vqf_of_int(min[s][i][v]), dxi), m, a);
                    acc[s][i][v] = a;
                }
            }
            if (ends_head(t, b)) head[s] += head_bytes;
            words[s] += main_bytes, ahead[s] += step;
        }
    }
}

/* S groups, g and those `apart` from each other behind it, and n tokens from token tok on: woven, or 256 of K of each
 * in turn. */
INL void few(const ts_wtype *t, int S, int n, const ts_qmat *w, const ts_qact *x, uint32_t tok, uint32_t g,
             uint32_t apart, float *y, size_t ld_y) {
    const uint8_t *group = w->data + g * w->group_bytes;
    const size_t apart_bytes = apart * w->group_bytes, turn = 256 / t->block;
    for (size_t b0 = 0, b1; b0 < w->n_block; b0 = b1) {
        vqf acc[VQ_STREAMS][4][GROUP];
        for (int s = 0; s < S; s++)
            UNROLL for (int i = 0; i < n; i++)
                UNROLL for (int v = 0; v < GROUP; v++) acc[s][i][v] = vqf_zero();
        b1 = slice_end(t, w, b0);
        if (VQ_WOVEN) few_blocks(t, S, n, w, x, tok, b0, b1, group, apart_bytes, acc);
        else
            for (size_t b = b0; b < b1; b += turn)
                NO_UNROLL for (int s = 0; s < S; s++) {
                    vqf own[1][4][GROUP]; /* in registers */
                    UNROLL for (int i = 0; i < n; i++)
                        UNROLL for (int v = 0; v < GROUP; v++) own[0][i][v] = acc[s][i][v];
                    few_blocks(t, 1, n, w, x, tok, b, b1 - b < turn ? b1 : b + turn, group + (size_t)s * apart_bytes,
                               0, own);
                    UNROLL for (int i = 0; i < n; i++)
                        UNROLL for (int v = 0; v < GROUP; v++) acc[s][i][v] = own[0][i][v];
                }
        for (int s = 0; s < S; s++)
            UNROLL for (int v = 0; v < GROUP; v++)
                UNROLL for (int i = 0; i < n; i++)
                    store(w, (g + (uint32_t)s * apart) * TS_GROUP_ROWS + (uint32_t)(VQ_ROWS * v),
                          y + (tok + (uint32_t)i) * ld_y, b0 == 0, acc[s][i][v]);
    }
}

/* So many tokens are few: panels of blocks of 256 gain earlier than those of 32. */
INL uint32_t few_of(const ts_wtype *t) {
    if (form_of_many(t) == WIDE) return 4; /* three and fewer are not in x->wide */
    return t->block == 256 && VQ_FEW > 4 ? 4 : VQ_FEW;
}

/* S groups and all of tokens [t0, t1), which are few. */
INL void few_all(const ts_wtype *t, int S, const ts_qmat *w, const ts_qact *x, uint32_t n_tok, uint32_t t0, uint32_t t1,
                 uint32_t g, uint32_t apart, float *y, size_t ld_y) {
    for (uint32_t tok = t0, n; tok < t1; tok += n) {
        n = ts_tok_width(n_tok, tok);
        if (n == 1 && t1 - tok > 1) n = 2; /* blocks of one are the last ones */
        if (few_of(t) > 1 && n == 4) few(t, S, 4, w, x, tok, g, apart, y, ld_y);
        else if (few_of(t) > 1 && n == 2) few(t, S, 2, w, x, tok, g, apart, y, ld_y);
        else few(t, S, 1, w, x, tok, g, apart, y, ld_y);
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

INL void gemm_q(const ts_wtype *t, const ts_qmat *w, const ts_qact *x, uint32_t n_tok, uint32_t t0, uint32_t t1,
                uint32_t g0, uint32_t g1, float *y, size_t ld_y) {
    if (t1 - t0 <= few_of(t)) {
        const uint32_t apart = (g1 - g0) / VQ_STREAMS, left = g0 + apart * VQ_STREAMS;
        NO_UNROLL for (uint32_t g = g0; g < g1; g += g + 1 == g0 + apart ? left - g : 1) {
            const int S = g < left ? VQ_STREAMS : 1;
            if (!VQ_WOVEN) few_all(t, S, w, x, n_tok, t0, t1, g, apart, y, ld_y);
            else if (S == 1) few_all(t, 1, w, x, n_tok, t0, t1, g, apart, y, ld_y);
            else few_all(t, VQ_STREAMS, w, x, n_tok, t0, t1, g, apart, y, ld_y);
        }
        return;
    }
    for (uint32_t t2; t0 < t1; t0 = t2) {
        t2 = t1 - t0 < PANEL_TOKS ? t1 : t0 + PANEL_TOKS;
        /* a slice's activations stay in the second-level cache while the groups use them */
        for (size_t b = 0, b1; b < w->n_block; b = b1) {
            b1 = slice_end(t, w, b);
            for (uint32_t g = g0; g < g1; g += PANEL / GROUP) many(t, w, x, n_tok, t0, t2, g, g1, b, b1, y, ld_y);
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
    k->wide = VQ_RUNS;
}
