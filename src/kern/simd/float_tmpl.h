/* float_tmpl.h - the floating-point kernels in terms of v16, sixteen lanes; included once by each level's .c file after
 * its v16_<level>.h. Not a header of its own. Specifications: kern/kern.h; reference: ref/float_ref.c. */

enum { ROW_F32, ROW_F16, ROW_BF16 };

INL v16 row_load(int type, const void *row, uint32_t k) {
    if (type == ROW_F16) return v16_from_f16((const uint16_t *)row + k);
    if (type == ROW_BF16) return v16_from_bf16((const uint16_t *)row + k);
    return v16_load((const float *)row + k);
}

INL v16 row_load_n(int type, const void *row, uint32_t k, uint32_t n) {
    if (type == ROW_F16) return v16_from_f16_n((const uint16_t *)row + k, n);
    if (type == ROW_BF16) return v16_from_bf16_n((const uint16_t *)row + k, n);
    return v16_load_n((const float *)row + k, n);
}

/* rows x toks outputs; both are constants at every call */
INL void gemm_f_tile(int type, int rows, int toks, const char *w, size_t row_bytes, uint32_t K, const float *x,
                     size_t ld_x, float *y, size_t ld_y) {
    v16 acc[TILE_ROWS * TILE_TOKS];
    for (int i = 0; i < rows * toks; i++) acc[i] = v16_zero();
    uint32_t k = 0;
    for (; k + 16 <= K; k += 16) {
        v16 a[TILE_ROWS];
        for (int r = 0; r < rows; r++) a[r] = row_load(type, w + (size_t)r * row_bytes, k);
        for (int t = 0; t < toks; t++) {
            v16 b = v16_load(x + (size_t)t * ld_x + k);
            for (int r = 0; r < rows; r++) acc[r * toks + t] = v16_fma(a[r], b, acc[r * toks + t]);
        }
    }
    if (k < K)
        for (int t = 0; t < toks; t++) {
            v16 b = v16_load_n(x + (size_t)t * ld_x + k, K - k);
            for (int r = 0; r < rows; r++)
                acc[r * toks + t] =
                    v16_fma(row_load_n(type, w + (size_t)r * row_bytes, k, K - k), b, acc[r * toks + t]);
        }
    for (int t = 0; t < toks; t++)
        for (int r = 0; r < rows; r++) y[(size_t)t * ld_y + (size_t)r] = v16_sum(acc[r * toks + t]);
}

INL void gemm_f_any(int type, const void *w, size_t row_bytes, uint32_t K, const float *x, size_t ld_x, uint32_t n_tok,
                    uint32_t r0, uint32_t r1, float *y, size_t ld_y) {
    uint32_t r = r0;
    for (; r + TILE_ROWS <= r1; r += TILE_ROWS) {
        const char *row = (const char *)w + r * row_bytes;
        uint32_t t = 0;
        for (; t + TILE_TOKS <= n_tok; t += TILE_TOKS)
            gemm_f_tile(type, TILE_ROWS, TILE_TOKS, row, row_bytes, K, x + t * ld_x, ld_x, y + t * ld_y + r, ld_y);
        for (; t < n_tok; t++)
            gemm_f_tile(type, TILE_ROWS, 1, row, row_bytes, K, x + t * ld_x, ld_x, y + t * ld_y + r, ld_y);
    }
    for (; r < r1; r++)
        for (uint32_t t = 0; t < n_tok; t++)
            gemm_f_tile(type, 1, 1, (const char *)w + r * row_bytes, row_bytes, K, x + t * ld_x, ld_x, y + t * ld_y + r,
                        ld_y);
}

static TS_GEMM_F(gemm_f32) { gemm_f_any(ROW_F32, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }
static TS_GEMM_F(gemm_f16) { gemm_f_any(ROW_F16, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }
static TS_GEMM_F(gemm_bf16) { gemm_f_any(ROW_BF16, w, row_bytes, K, x, ld_x, n_tok, r0, r1, y, ld_y); }

enum { NORM_LANES = 256 };

/* Lanes [first, first + 16 * tile) of a norm's sum of squares over whole vectors; tile is constant. */
INL void squares(const float *x, uint32_t n, uint32_t first, uint32_t tile, v16 *out) {
    v16 acc[TILE_NORM];
    for (uint32_t j = 0; j < tile; j++) acc[j] = v16_zero();
    for (uint32_t i = first; i + 16 * tile <= n; i += NORM_LANES)
        for (uint32_t j = 0; j < tile; j++) {
            v16 v = v16_z(v16_load(x + i + 16 * j));
            acc[j] = v16_fma(v, v, acc[j]);
        }
    for (uint32_t j = 0; j < tile; j++) out[j] = acc[j];
}

/* vecs vectors of lanes by the tree, constant. Lanes that no element went to are +0 and need not be added. */
INL float sum_lanes(v16 *acc, uint32_t vecs) {
    for (uint32_t half = vecs / 2; half; half /= 2)
        for (uint32_t j = 0; j < half; j++) acc[j] = v16_add(acc[j], acc[j + half]);
    return v16_sum(acc[0]);
}

/* n up to 16 * vecs, constant: no lane has two elements. */
INL float sum_squares_few(const float *x, uint32_t n, uint32_t vecs) {
    v16 acc[NORM_LANES / 16];
    for (uint32_t j = 0, i = 0; j < vecs; j++, i += 16) {
        v16 v = v16_z(i + 16 <= n ? v16_load(x + i) : i < n ? v16_load_n(x + i, n - i) : v16_zero());
        acc[j] = v16_mul(v, v);
    }
    return sum_lanes(acc, vecs);
}

INL float sum_squares(const float *x, uint32_t n) {
    if (n <= 64) return sum_squares_few(x, n, 4);
    if (n <= 128) return sum_squares_few(x, n, 8);
    v16 acc[NORM_LANES / 16];
    const uint32_t whole = n / NORM_LANES * NORM_LANES;
    for (uint32_t j = 0; j < NORM_LANES / 16; j += TILE_NORM) squares(x, whole, 16 * j, TILE_NORM, acc + j);
    for (uint32_t i = whole, j = 0; i < n; i += 16, j++) { /* the rest begins at lane 0 again */
        v16 v = v16_z(i + 16 <= n ? v16_load(x + i) : v16_load_n(x + i, n - i));
        acc[j] = v16_fma(v, v, acc[j]);
    }
    return sum_lanes(acc, NORM_LANES / 16);
}

static TS_RMSNORM(rmsnorm) {
    float s = 1.0f / sqrtf(sum_squares(x, n) / (float)n + eps);
    v16 vs = v16_set1(s);
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_z(v16_mul(v16_mul(v16_z(v16_load(x + i)), vs), v16_load(w + i))));
    for (; i < n; i++) y[i] = ts_z(ts_z(x[i]) * s * w[i]);
}

INL v16 silu_mul16(v16 x, v16 y) {
    const v16 e = v16_exp(v16_sub(v16_set1(-0.0f), x)); /* -0 - x is -x */
    return v16_z(v16_div(v16_mul(x, y), v16_add(v16_set1(1.0f), e)));
}

static TS_SILU_MUL(silu_mul) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, silu_mul16(v16_load(gate + i), v16_load(up + i)));
    if (i < n) v16_store_n(y + i, silu_mul16(v16_load_n(gate + i, n - i), v16_load_n(up + i, n - i)), n - i);
}

static TS_ADD(add) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_add(v16_load(y + i), v16_load(x + i)));
    for (; i < n; i++) y[i] = y[i] + x[i];
}

/* Element by element: the compiler makes vectors of it, and that changes no bit. */
INL void rope_pairs(const float *restrict in, float *restrict out, const float *restrict c, const float *restrict s,
                    uint32_t half, uint32_t a, uint32_t b) {
    for (uint32_t i = 0; i < half; i++) {
        float x = ts_z(in[a * i]), y = ts_z(in[a * i + b]), ys = y * s[i], yc = y * c[i];
        out[a * i] = ts_z(fmaf(x, c[i], -ys));
        out[a * i + b] = ts_z(fmaf(x, s[i], yc));
    }
}

static TS_ROPE(rope) {
    if (halves)
        rope_pairs(in, out, cs, cs + n_rot / 2, n_rot / 2, 1, n_rot / 2);
    else
        rope_pairs(in, out, cs, cs + n_rot / 2, n_rot / 2, 2, 1);
    for (uint32_t i = n_rot; i < hd; i++) out[i] = ts_z(in[i]);
}

static TS_F16_ROW(f16_row) {
    for (uint32_t i = 0; i < n; i += 16) v16_store(out + i, v16_from_f16(in + i));
}

static TS_Q8_ROWS(q8_rows) {
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < n; d++) {
            const v16 scale = v16_set1(_cvtsh_ss(*d));
            for (uint32_t end = i + 32 < n ? i + 32 : n; i < end; i += 16, q += 16, out += 16)
                v16_store(out, v16_mul(v16_from_i8(q), scale));
        }
}

static TS_TO_F16(to_f16) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) v16_to_f16(out + i, v16_load(in + i));
    if (i < n) {
        uint16_t t[16];
        v16_to_f16(t, v16_load_n(in + i, n - i));
        memcpy(out + i, t, (n - i) * sizeof *t);
    }
}

/* The sixteen lanes of a score are sixteen sums over d = l, l + 16, ...; here a vector holds one lane of sixteen
 * positions, and the tree is walked depth first so that few partial sums are alive at once. */
typedef struct quad {
    v16 q[TILE_QUERIES];
} quad;

struct score_args {
    const float *q, *k;
    size_t ld_q;
    uint32_t hd;
};

INL quad score_lane(const struct score_args *a, int nq, uint32_t l) {
    quad r;
    for (int i = 0; i < nq; i++) r.q[i] = v16_zero();
    for (uint32_t d = l; d < a->hd; d += 16) {
        v16 k = v16_load(a->k + (size_t)d * TS_KV_TILE);
        for (int i = 0; i < nq; i++) r.q[i] = v16_fma(v16_set1(a->q[(size_t)i * a->ld_q + d]), k, r.q[i]);
    }
    return r;
}

#define SCORE_TREE(name, below, step)                                                                                  \
    INL quad name(const struct score_args *a, int nq, uint32_t l) {                                                    \
        quad x = below(a, nq, l), y = below(a, nq, l + step);                                                          \
        for (int i = 0; i < nq; i++) x.q[i] = v16_add(x.q[i], y.q[i]);                                                 \
        return x;                                                                                                      \
    }
SCORE_TREE(score_tree8, score_lane, 8)
SCORE_TREE(score_tree4, score_tree8, 4)
SCORE_TREE(score_tree2, score_tree4, 2)
SCORE_TREE(score_tree1, score_tree2, 1)
#undef SCORE_TREE

INL void scores(const float *q, size_t ld_q, int nq, const float *k, uint32_t hd, float scale, float *s) {
    for (int p = 0; p < TS_KV_TILE; p += 16) {
        struct score_args a = {q, k + p, ld_q, hd};
        quad r = score_tree1(&a, nq, 0);
        for (int i = 0; i < nq; i++) v16_store(s + i * TS_KV_TILE + p, v16_mul(r.q[i], v16_set1(scale)));
    }
}

static TS_ATT_SCORES(att_scores) {
    int i = 0;
    for (; i + TILE_QUERIES <= nq; i += TILE_QUERIES)
        scores(q + (size_t)i * ld_q, ld_q, TILE_QUERIES, k, hd, scale, s + i * TS_KV_TILE);
    for (; i < nq; i++) scores(q + (size_t)i * ld_q, ld_q, 1, k, hd, scale, s + i * TS_KV_TILE);
}

static TS_ATT_SOFTMAX(att_softmax) {
    for (uint32_t p = 0; p < lo; p++) s[p] = -INFINITY;
    for (uint32_t p = hi; p < TS_KV_TILE; p++) s[p] = -INFINITY;
    v16 max = v16_set1(-INFINITY), sum = v16_zero();
    for (int p = 0; p < TS_KV_TILE; p += 16) max = v16_max(v16_load(s + p), max);
    *m = v16_hmax(max);
    v16 vm = v16_set1(*m);
    for (int p = 0; p < TS_KV_TILE; p += 16) v16_store(s + p, v16_z(v16_exp(v16_sub(v16_load(s + p), vm))));
    for (uint32_t p = 0; p < lo; p++) s[p] = 0; /* they may be NaN where *m is infinite */
    for (uint32_t p = hi; p < TS_KV_TILE; p++) s[p] = 0;
    for (int p = 0; p < TS_KV_TILE; p += 16) sum = v16_add(sum, v16_load(s + p));
    *l = v16_sum(sum);
}

INL void values_tile(const float *s, int nq, int dims, uint32_t lo, uint32_t hi, const float *v, uint32_t hd, float *o,
                     size_t ld_o) {
    v16 acc[TILE_QUERIES * TILE_DIMS];
    for (int i = 0; i < nq * dims; i++) acc[i] = v16_zero();
    for (uint32_t p = lo; p < hi; p++) {
        v16 row[TILE_DIMS];
        for (int d = 0; d < dims; d++) row[d] = v16_load(v + (size_t)p * hd + 16 * d);
        for (int i = 0; i < nq; i++) {
            v16 w = v16_set1(s[i * TS_KV_TILE + (int)p]);
            for (int d = 0; d < dims; d++) acc[i * dims + d] = v16_fma(w, row[d], acc[i * dims + d]);
        }
    }
    for (int i = 0; i < nq; i++)
        for (int d = 0; d < dims; d++) v16_store(o + (size_t)i * ld_o + 16 * d, v16_z(acc[i * dims + d]));
}

INL void values(const float *s, int nq, uint32_t lo, uint32_t hi, const float *v, uint32_t hd, float *o, size_t ld_o) {
    uint32_t d = 0;
    for (; d + 16 * TILE_DIMS <= hd; d += 16 * TILE_DIMS)
        values_tile(s, nq, TILE_DIMS, lo, hi, v + d, hd, o + d, ld_o);
    for (; d < hd; d += 16) values_tile(s, nq, 1, lo, hi, v + d, hd, o + d, ld_o);
}

static TS_ATT_VALUES(att_values) {
    int i = 0;
    for (; i + TILE_QUERIES <= nq; i += TILE_QUERIES)
        values(s + i * TS_KV_TILE, TILE_QUERIES, lo, hi, v, hd, o + (size_t)i * ld_o, ld_o);
    for (; i < nq; i++) values(s + i * TS_KV_TILE, 1, lo, hi, v, hd, o + (size_t)i * ld_o, ld_o);
}

static TS_ATT_MERGE(att_merge) {
    float n = *M > m ? *M : m, a = ts_z(ts_expf(*M - n)), b = ts_z(ts_expf(m - n));
    *L = fmaf(*L, a, l * b);
    v16 va = v16_set1(a), vb = v16_set1(b);
    for (uint32_t d = 0; d < hd; d += 16)
        v16_store(O + d, v16_z(v16_fma(v16_load(O + d), va, v16_mul(v16_load(o + d), vb))));
    *M = n;
}

INL void init_float(ts_kern *k) {
    k->gemm_f[TS_F32] = gemm_f32;
    k->gemm_f[TS_F16] = gemm_f16;
    k->gemm_f[TS_BF16] = gemm_bf16;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->add = add;
    k->rope = rope;
    k->f16_row = f16_row;
    k->q8_rows = q8_rows;
    k->to_f16 = to_f16;
    k->att_scores = att_scores;
    k->att_softmax = att_softmax;
    k->att_values = att_values;
    k->att_merge = att_merge;
}
