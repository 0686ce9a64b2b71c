/* float_tmpl.h - the floating-point kernels in terms of v16, sixteen lanes; included once by each level's .c file after
 * its v16_<level>.h. Not a header of its own. Specifications: kern/kern.h; reference: ref/float_ref.c.
 *
 * What a level's header defines (p: any alignment; n: 1 to 15 lanes, of memory no others are touched):
 *   TILE_ROWS, TILE_TOKS   rows x tokens of a float linear layer at a time
 *   TILE_SUMS              4 or 16: v16 that hold sums while attention reads others, as the registers allow
 *   TILE_NORM              v16 of a norm's sums at a time: 4, 8 or 16
 *   v16_zero  v16_set1  v16_load(p)  v16_load_n(p, n): the others +0   v16_store(p, x)  v16_store_n(p, x, n)
 *   v16_add  v16_sub  v16_mul  v16_div  v16_fma (a * b + c)  v16_abs  v16_z
 *   v16_max(x, acc): acc where x is NaN
 *   v16_exp: ts_expf   v16_exp_z(x): z(ts_expf(x)) where x is not above 0 or is NaN, -infinity too
 *   v16_sum: the tree (8, 4, 2, 1)   v16_hmax, of no NaN
 *   v16_set1_f16(p)  v16_from_f16(p)  v16_from_bf16(p)  and ..._n(p, n) of both  v16_from_i8(p)
 *   v16_to_f16(p, x), to nearest even
 * and for quant_tmpl.h
 *   v16_or_inf  v16_nan_to_zero  v16_to_i8 */

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
            const v16 scale = v16_set1_f16(d);
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

/* ---- attention ---------------------------------------------------------------------------------------------------
 *
 * A tile of sums is up to TILE_QUERIES queries by as many vectors as TILE_SUMS leaves, of positions for scores and of
 * dimensions for values. */

enum { TILE_QUERIES = 4, TILE_VECS = TS_KV_TILE / 16 };

/* Vectors of nq queries, a power of two. */
#define VECS(nq) (TILE_SUMS / (nq) >= 4 ? 4 : TILE_SUMS / (nq) >= 2 ? 2 : 1)

/* Whole tiles of TILE_QUERIES, then the rest. */
#define EACH_QUERY_TILE(nq, i, CALL)                                                                                   \
    do {                                                                                                               \
        uint32_t i = 0;                                                                                                \
        for (; i + TILE_QUERIES <= (nq); i += TILE_QUERIES) CALL(TILE_QUERIES);                                        \
        if ((nq)-i == 3) CALL(3);                                                                                      \
        if ((nq)-i == 2) CALL(2);                                                                                      \
        if ((nq)-i == 1) CALL(1);                                                                                      \
    } while (0)

/* Memory that will be wanted soon; into the second level, since a tile ahead may not fit the first. */
INL void fetch(const void *p, size_t at, size_t bytes) {
    for (size_t b = 0; b < bytes; b += 64) __builtin_prefetch((const char *)p + at + b, 0, 2);
}

/* The sixteen lanes of a score are sixteen sums over d = l, l + 16, ...; here a vector holds one lane of sixteen
 * positions. Lanes come in the order in which the tree meets them, depth first, so that few partial sums wait: those of
 * 1, 2, 4 and 8 lanes, in memory. */
INL void scores_tile(int type, int nq, int vecs, const float *q, size_t ld_q, const char *k, const char *ahead,
                     uint32_t hd, float *s) {
    static const uint8_t lane[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    const size_t elem = type == ROW_F16 ? 2 : 4;
    v16 acc[TILE_SUMS], wait[5][TILE_SUMS];
    UNROLL
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < nq * vecs; j++) acc[j] = v16_zero();
        const float *x = q + lane[i];
        size_t at = lane[i] * TS_KV_TILE * elem;
        for (uint32_t d = hd; d; d -= 16, x += 16, at += 16 * TS_KV_TILE * elem) {
            v16 row[4];
            if (type == ROW_F16) fetch(ahead, at, 32 * (size_t)vecs);
            for (int v = 0; v < vecs; v++) row[v] = row_load(type, k + at, 16 * (uint32_t)v);
            for (int j = 0; j < nq; j++) {
                const v16 xj = v16_set1(x[(size_t)j * ld_q]);
                for (int v = 0; v < vecs; v++) acc[j * vecs + v] = v16_fma(xj, row[v], acc[j * vecs + v]);
            }
        }
        int level = 0;
        for (; i >> level & 1; level++)
            for (int j = 0; j < nq * vecs; j++) acc[j] = v16_add(wait[level][j], acc[j]);
        for (int j = 0; j < nq * vecs; j++) wait[level][j] = acc[j];
        IN_MEMORY(wait);
    }
    for (int j = 0; j < nq; j++)
        for (int v = 0; v < vecs; v++) v16_store(s + j * TS_KV_TILE + 16 * v, acc[j * vecs + v]);
}

INL void scores(int type, const float *q, size_t ld_q, uint32_t nq, const void *k, const void *ahead, uint32_t hd,
                float *s) {
    const size_t elem = type == ROW_F16 ? 2 : 4;
#define SCORES(n)                                                                                                      \
    for (int v = 0; v < TILE_VECS; v += VECS(n))                                                                       \
    scores_tile(type, n, VECS(n), q + i * ld_q, ld_q, (const char *)k + 16 * (size_t)v * elem,                         \
                (const char *)ahead + 16 * (size_t)v * elem, hd, s + i * TS_KV_TILE + 16 * v)
    EACH_QUERY_TILE(nq, i, SCORES);
#undef SCORES
}

static TS_ATT_SCORES(att_scores) {
    if (type == TS_F16) scores(ROW_F16, q, ld_q, nq, k, ahead ? ahead : k, hd, s);
    else scores(ROW_F32, q, ld_q, nq, k, k, hd, s);
}

/* Two walks: one query's maximum takes long to be known, and meanwhile those of others can be found. */
INL void softmax_max(float *s, uint32_t lo, uint32_t hi, float scale, float *m) {
    v16 x[TILE_VECS], max = v16_set1(-INFINITY);
    for (int v = 0; v < TILE_VECS; v++) x[v] = v16_mul(v16_load(s + 16 * v), v16_set1(scale));
    for (int v = 0; v < TILE_VECS; v++) v16_store(s + 16 * v, x[v]);
    if (lo != 0 || hi != TS_KV_TILE) {
        for (uint32_t p = 0; p < lo; p++) s[p] = -INFINITY;
        for (uint32_t p = hi; p < TS_KV_TILE; p++) s[p] = -INFINITY;
        for (int v = 0; v < TILE_VECS; v++) x[v] = v16_load(s + 16 * v);
    }
    for (int v = 0; v < TILE_VECS; v++) max = v16_max(x[v], max);
    *m = v16_hmax(max);
}

INL void softmax_exp(float *s, uint32_t lo, uint32_t hi, float m, float *l) {
    v16 x[TILE_VECS], sum = v16_zero();
    for (int v = 0; v < TILE_VECS; v++) x[v] = v16_exp_z(v16_sub(v16_load(s + 16 * v), v16_set1(m)));
    for (int v = 0; v < TILE_VECS; v++) v16_store(s + 16 * v, x[v]);
    if (lo != 0 || hi != TS_KV_TILE) {
        for (uint32_t p = 0; p < lo; p++) s[p] = 0; /* they may be NaN where m is infinite */
        for (uint32_t p = hi; p < TS_KV_TILE; p++) s[p] = 0;
        for (int v = 0; v < TILE_VECS; v++) x[v] = v16_load(s + 16 * v);
    }
    for (int v = 0; v < TILE_VECS; v++) sum = v16_add(sum, x[v]);
    *l = v16_sum(sum);
}

static TS_ATT_SOFTMAX(att_softmax) {
    for (uint32_t i = 0; i < nq; i++) softmax_max(s + i * TS_KV_TILE, lo, hi, scale, &m[i]);
    for (uint32_t i = 0; i < nq; i++) softmax_exp(s + i * TS_KV_TILE, lo, hi, m[i], &l[i]);
}

INL void join(v16 *M, v16 *L, v16 *m, v16 *l) {
    const v16 both = v16_max(*M, *m);
    const v16 a = v16_exp_z(v16_sub(*M, both)), b = v16_exp_z(v16_sub(*m, both));
    *L = v16_fma(*L, a, v16_mul(*l, b));
    *M = both;
    *m = a;
    *l = b;
}

static TS_ATT_JOIN(att_join) {
    uint32_t i = 0;
    for (; i + 16 <= nq; i += 16) {
        v16 vM = v16_load(M + i), vL = v16_load(L + i), vm = v16_load(m + i), vl = v16_load(l + i);
        join(&vM, &vL, &vm, &vl);
        v16_store(M + i, vM), v16_store(L + i, vL), v16_store(m + i, vm), v16_store(l + i, vl);
    }
    if (i == nq) return;
    const uint32_t n = nq - i;
    v16 vM = v16_load_n(M + i, n), vL = v16_load_n(L + i, n), vm = v16_load_n(m + i, n), vl = v16_load_n(l + i, n);
    join(&vM, &vL, &vm, &vl);
    v16_store_n(M + i, vM, n), v16_store_n(L + i, vL, n), v16_store_n(m + i, vm, n), v16_store_n(l + i, vl, n);
}

enum { ROW_Q8 = ROW_BF16 + 1 };

/* Values, from the first that is seen: v[p][d..d+15], of Q8_0 with the scales of blocks as f32. */
struct value_rows {
    const void *v, *ahead;
    const float *scale;
    uint32_t hd, n_block;
};

INL v16 value_load(int type, const struct value_rows *a, uint32_t p, uint32_t d) {
    const size_t at = (size_t)p * a->hd + d;
    if (type == ROW_F16) return v16_from_f16((const uint16_t *)a->v + at);
    if (type == ROW_F32) return v16_load((const float *)a->v + at);
    return v16_mul(v16_from_i8((const int8_t *)a->v + at), v16_set1(a->scale[p * a->n_block + d / 32]));
}

INL void values_tile(int type, int nq, int vecs, const float *s, uint32_t lo, uint32_t hi, const struct value_rows *a,
                     uint32_t d, const float *f, const float *g, float *o, size_t ld_o) {
    v16 acc[TILE_SUMS];
    for (int i = 0; i < nq * vecs; i++) acc[i] = v16_zero();
    for (uint32_t p = lo; p < hi; p++) {
        v16 row[4];
        if (type == ROW_F16) fetch(a->ahead, ((size_t)p * a->hd + d) * 2, 32 * (size_t)vecs);
        if (type == ROW_Q8) fetch(a->ahead, (size_t)p * a->hd + d, 16 * (size_t)vecs);
        for (int v = 0; v < vecs; v++) row[v] = value_load(type, a, p, d + 16 * (uint32_t)v);
        for (int i = 0; i < nq; i++) {
            const v16 w = v16_set1(s[i * TS_KV_TILE + (int)p]);
            for (int v = 0; v < vecs; v++) acc[i * vecs + v] = v16_fma(w, row[v], acc[i * vecs + v]);
        }
    }
    for (int i = 0; i < nq; i++)
        for (int v = 0; v < vecs; v++) {
            float *to = o + (size_t)i * ld_o + d + 16 * v;
            v16 x = v16_z(acc[i * vecs + v]);
            if (f) x = v16_z(v16_fma(v16_load(to), v16_set1(f[i]), v16_mul(x, v16_set1(g[i]))));
            v16_store(to, x);
        }
}

/* nq is constant. */
INL void values_of(int type, int nq, const float *s, uint32_t lo, uint32_t hi, const struct value_rows *a,
                   const float *f, const float *g, float *o, size_t ld_o) {
    const int vecs = VECS(nq);
    uint32_t d = 0;
    for (; d + 16 * (uint32_t)vecs <= a->hd; d += 16 * (uint32_t)vecs)
        values_tile(type, nq, vecs, s, lo, hi, a, d, f, g, o, ld_o);
    for (; d < a->hd; d += 16) values_tile(type, nq, 1, s, lo, hi, a, d, f, g, o, ld_o);
}

INL void values(int type, const float *s, uint32_t nq, uint32_t lo, uint32_t hi, const struct value_rows *a,
                const float *f, const float *g, float *o, size_t ld_o) {
#define VALUES(n)                                                                                                      \
    values_of(type, n, s + i * TS_KV_TILE, lo, hi, a, f ? f + i : NULL, g ? g + i : NULL, o + i * ld_o, ld_o)
    EACH_QUERY_TILE(nq, i, VALUES);
#undef VALUES
}

static TS_ATT_VALUES(att_values) {
    float scale[TS_KV_TILE * (1024 / 32)];
    struct value_rows r = {.v = v, .ahead = ahead ? ahead : v, .hd = hd, .n_block = (hd + 31) / 32, .scale = scale};
    if (type == TS_F16) {
        values(ROW_F16, s, nq, lo, hi, &r, a, b, o, ld_o);
    } else if (type == TS_F32) {
        values(ROW_F32, s, nq, lo, hi, &r, a, b, o, ld_o);
    } else {
        f16_row((const uint16_t *)(const void *)((const char *)v + (size_t)TS_KV_TILE * hd), scale,
                TS_KV_TILE * r.n_block);
        values(ROW_Q8, s, nq, lo, hi, &r, a, b, o, ld_o);
    }
}

static TS_ATT_MERGE(att_merge) {
    att_join(M, L, m, l, nq);
    for (uint32_t i = 0; i < nq; i++) {
        const v16 va = v16_set1(m[i]), vb = v16_set1(l[i]);
        for (uint32_t d = 0; d < hd; d += 16) {
            float *to = O + i * ld_O + d;
            v16_store(to, v16_z(v16_fma(v16_load(to), va, v16_mul(v16_load(o + i * ld_o + d), vb))));
        }
    }
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
    k->att_join = att_join;
    k->att_values = att_values;
    k->att_merge = att_merge;
}
