/* kern.h - the table of CPU kernels: one signature each, filled level by level.
 *
 * The comment at a signature is its specification. Every variant gives the bits of the reference (src/kern/ref); the
 * rules that make this possible are in docs/numerics.md. "fma" is a fused multiply-add with one rounding; lanes(x)
 * below is rule 2: 16 partial results, element i goes to lane i mod 16, a short tail is padded with +0 terms, and the
 * lanes are combined as ((l, l+8), then (l, l+4), (l, l+2), (l, l+1)); lanes256(x) the same with 256 (l, l+128), ...
 * z(x) is rule 4: +0 where |x| < 2^-40, else x. What a kernel reads is said with it: "z" stands for floats of which
 * none is between 0 and 2^-40 in size. */
#ifndef TS_KERN_KERN_H
#define TS_KERN_KERN_H

#include "base/cpu.h"
#include "format/search.h"
#include "kern/layout.h"

/* Positions in a tile of the KV cache; tiles begin at multiples of it. */
enum { TS_KV_TILE = 64 };
/* K is summed in slices of so many elements: 128 blocks of 32, or 16 of 256. */
enum { TS_SLICE_K = 4096 };

/* Quantised linear layer, rows of groups [g0, g1) and tokens [t0, t1) (both on block borders of x's layout):
 *   y[t * ld_y + row] = sum over slices of TS_SLICE_K along K, ascending from +0, of acc = acc + part, where part is,
 *   from +0, over the slice's blocks b ascending:
 *       part = fma(f32(isum) * dx, d, part)          isum = sum of weight integer * activation integer, exact
 *       part = fma(-(f32(msum) * dx), dmin, part)    types with a minimum; msum = sum over sub-blocks of min * sum(x)
 * n_tok is the token count that x was quantised with. y f32, any alignment; rows past n_rows are not written. */
#define TS_GEMM_Q(name)                                                                                                \
    void name(const ts_qmat *w, const ts_qact *x, uint32_t n_tok, uint32_t t0, uint32_t t1, uint32_t g0, uint32_t g1, \
              float *y, size_t ld_y)

/* Integer sums that a device has made of a run of n blocks along K, all of one slice, for one token and eight rows, and
 * what turns them into floats on the host. Unaligned. */
typedef struct ts_sums {
    const uint8_t *sum;    /* block b at sum + b * step: isum[8] int32 */
    size_t step;           /* bytes */
    size_t min_at;         /* where msum[8] int32 is, from there; 0: the type has no minimum */
    bool pairs;            /* instead, blocks 2 i and 2 i + 1 at sum + i * step: isum[2][8] int16 */
    const uint16_t *scale; /* f16 d[n][8], or {d[8], dmin[8]}[n] with a minimum, or f16 d[8], uint8_t z[8] */
    uint32_t share;        /* so many blocks have one entry of `scale`; 0: 1 */
    const float *dx;       /* the activations' scale of block b at dx[b * dx_step] */
    const int32_t *off8;   /* with zero points z: -8 times the sum of block b's activations at off8[b * dx_step] */
    uint32_t dx_step, n;
} ts_sums;

/* A slice's part in TS_GEMM_Q for those blocks, b ascending: part[r] = fma(f32(isum) * dx, d, part[r]), then with a
 * minimum part[r] = fma(-(f32(msum) * dx), dmin, part[r]). With zero points isum is that of weights less 8, and
 * (8 - z) * the sum of activations is added to it first. */
#define TS_COMBINE(name) void name(const ts_sums *s, float part[8])

/* Float linear layer: y[t * ld_y + r] = lanes over k of fma(w[r][k], x[t][k], lane), for rows [r0, r1), tokens [0,
 * n_tok). w: rows of K elements, f32, f16 or bf16, z, row_bytes apart, 2- or 4-byte aligned; x f32 [n_tok, ld_x], z. */
#define TS_GEMM_F(name)                                                                                                \
    void name(const void *w, size_t row_bytes, uint32_t K, const float *x, size_t ld_x, uint32_t n_tok, uint32_t r0,   \
              uint32_t r1, float *y, size_t ld_y)

/* Quantise token t of n_tok: x f32 [K], K a multiple of 32 (or 256).
 *   amax = z(max |x| in the block, NaN ignored);  d = amax * TS_INV_127;
 *   q = round_even(x * (127 / amax)), which is never beyond +-127, NaN -> 0, +-Inf -> +-127, all 0 where amax is 0.
 *   Sums and offsets as in layout.h. */
#define TS_QUANT(name) void name(const float *x, uint32_t K, uint32_t n_tok, uint32_t t, ts_qact *out)

/* y[i] = z((z(x[i]) * s) * w[i]),  s = 1 / sqrt(lanes256(fma(z(x), z(x), lane)) / n + eps). w and eps z. y may be x. */
#define TS_RMSNORM(name) void name(const float *x, const float *w, float *y, uint32_t n, float eps)

/* y[i] = z(silu(gate[i]) * up[i]) as fmath.h has it. y may be gate or up. */
#define TS_SILU_MUL(name) void name(const float *gate, const float *up, float *y, uint32_t n)

/* y[i] = y[i] + x[i] */
#define TS_ADD(name) void name(float *y, const float *x, uint32_t n)

/* Rotate the first n_rot elements of a head of hd by the angles of a table: cs is cos[n_rot/2] then sin[n_rot/2],
 * pair i is (2i, 2i+1), or (i, i + n_rot/2) for `halves`; of the rest, out = z(in). out may not be in. cs z.
 *   out0 = z(fma(z(in0), cos, -(z(in1) * sin)));  out1 = z(fma(z(in0), sin, z(in1) * cos)) */
#define TS_ROPE(name) void name(const float *in, float *out, const float *cs, uint32_t n_rot, uint32_t hd, bool halves)

/* f16 to f32, exact; n a multiple of 16. */
#define TS_F16_ROW(name) void name(const uint16_t *in, float *out, uint32_t n)
/* int8 with a scale for 32 to f32, exact: out[r * n + i] = q[r * n + i] * d[r * ceil(n / 32) + i / 32] for `rows` rows
 * of n elements, a multiple of 16; d f16. */
#define TS_Q8_ROWS(name) void name(const int8_t *q, const uint16_t *d, float *out, uint32_t rows, uint32_t n)
/* f32 to f16, to nearest even. */
#define TS_TO_F16(name) void name(const float *in, uint16_t *out, uint32_t n)

/* Scores of nq queries against one tile: s[i * TS_KV_TILE + p] = lanes over d of fma(q_i[d], k[d][p], lane), for all 64
 * positions. q f32, query i at q + i * ld_q, hd elements (a multiple of 16); k f32 or f16 (by type) [hd][64]; z. What
 * is not f32 comes straight from the cache: as many bytes at `ahead` (NULL: none), the next tile's, are fetched into
 * the processor's caches meanwhile. */
#define TS_ATT_SCORES(name)                                                                                            \
    void name(const float *q, size_t ld_q, uint32_t nq, ts_dtype type, const void *k, const void *ahead, uint32_t hd,  \
              float *s)

/* Soft-max weights of nq queries and one tile, positions [lo, hi), 0 <= lo < hi <= 64: x[p] = s[p] * scale;
 * m[i] = max x[p], NaN ignored, -inf if there is nothing else; s[p] = z(exp(x[p] - m)), the others become +0;
 * l[i] = lanes over p (of all 64) of lane + s[p]. */
#define TS_ATT_SOFTMAX(name) void name(float *s, uint32_t nq, uint32_t lo, uint32_t hi, float scale, float *m, float *l)

/* Join a tile's maximum and sum (m, l) to the running ones of each of nq queries (M, L), which cover earlier positions,
 * and put the factors of the values into their place:
 *   n = max(M, m); a = z(exp(M - n)); b = z(exp(m - n)); L = fma(L, a, l * b); M = n; m = a; l = b. */
#define TS_ATT_JOIN(name) void name(float *M, float *L, float *m, float *l, uint32_t nq)

/* Values of nq queries and one tile: x = z(fma chain from +0 over p in [lo, hi) ascending of fma(s[i * 64 + p],
 * v[p][d], x)); o[i * ld_o + d] = x, or with factors (a not NULL) z(fma(o[i * ld_o + d], a[i], x * b[i])). v f32 or f16
 * [64][hd], or Q8_0: int8 [64][hd] and behind them scales f16 [64][ceil(hd / 32)], worth q * d (exact); hd a multiple
 * of 16, up to 1024; s and v z. `ahead` as with scores. */
#define TS_ATT_VALUES(name)                                                                                            \
    void name(const float *s, uint32_t nq, uint32_t lo, uint32_t hi, ts_dtype type, const void *v, const void *ahead,  \
              uint32_t hd, const float *a, const float *b, float *o, size_t ld_o)

/* Merge a tile's results (m, l, o) into the running ones of each of nq queries (M, L, O), which cover earlier
 * positions: TS_ATT_JOIN, then O[d] = z(fma(O[d], a, o[d] * b)). */
#define TS_ATT_MERGE(name)                                                                                             \
    void name(float *M, float *L, float *O, size_t ld_O, float *m, float *l, const float *o, size_t ld_o, uint32_t nq, \
              uint32_t hd)

/* For benchmarks: what this level could do at best. *sink keeps the compiler from leaving the work out. */
/* `rounds` rounds of multiply-accumulates on registers, activations of 8 bits by weights of 8 bits (int8), or of at
 * most 6 (narrow), whose products may be added up in 16 bits for a while; returns how many it did. */
#define TS_PROBE_MACS(name) uint64_t name(uint64_t rounds, uint64_t *sink)
/* Read all bytes, a multiple of 256, as one stream or as four that are a quarter of them apart. *sink ^= the xor of all
 * 64-bit words; data aligned to 8 bytes. */
#define TS_PROBE_READ(name) void name(const void *data, size_t bytes, bool four, uint64_t *sink)

typedef TS_PROBE_MACS(ts_probe_macs_fn);
typedef TS_PROBE_READ(ts_probe_read_fn);
typedef TS_GEMM_Q(ts_gemm_q_fn);
typedef TS_COMBINE(ts_combine_fn);
typedef TS_GEMM_F(ts_gemm_f_fn);
typedef TS_QUANT(ts_quant_fn);
typedef TS_RMSNORM(ts_rmsnorm_fn);
typedef TS_SILU_MUL(ts_silu_mul_fn);
typedef TS_ADD(ts_add_fn);
typedef TS_ROPE(ts_rope_fn);
typedef TS_F16_ROW(ts_f16_row_fn);
typedef TS_Q8_ROWS(ts_q8_rows_fn);
typedef TS_TO_F16(ts_to_f16_fn);
typedef TS_ATT_SCORES(ts_att_scores_fn);
typedef TS_ATT_SOFTMAX(ts_att_softmax_fn);
typedef TS_ATT_JOIN(ts_att_join_fn);
typedef TS_ATT_VALUES(ts_att_values_fn);
typedef TS_ATT_MERGE(ts_att_merge_fn);

typedef struct ts_kern {
    ts_cpu_level level;
    ts_gemm_q_fn *gemm_q[TS_DTYPES]; /* by ts_dtype; NULL for types that are not packed */
    bool wide; /* gemm_q of the types of ts_act_wide reads ts_qact.wide32 or wide256 */
    ts_combine_fn *combine;
    ts_gemm_f_fn *gemm_f[TS_DTYPES]; /* F32, F16, BF16 */
    ts_quant_fn *quant32, *quant256;
    ts_rmsnorm_fn *rmsnorm;
    ts_silu_mul_fn *silu_mul;
    ts_add_fn *add;
    ts_rope_fn *rope;
    ts_f16_row_fn *f16_row;
    ts_q8_rows_fn *q8_rows;
    ts_to_f16_fn *to_f16;
    ts_att_scores_fn *att_scores;
    ts_att_softmax_fn *att_softmax;
    ts_att_join_fn *att_join;
    ts_att_values_fn *att_values;
    ts_att_merge_fn *att_merge;
    ts_search_fn *search; /* for ts_quantize_with */
    ts_probe_macs_fn *probe_int8, *probe_narrow;
    ts_probe_read_fn *probe_read;
} ts_kern;

/* Fill the table for a level: the reference first, then each level up to `level` that the processor has over it. */
void ts_kern_init(ts_kern *k, ts_cpu_level level);

/* The levels' own parts, for ts_kern_init: everything of a level; and what the first calls for its quantised linear
 * layers (gemm_q_<level>.c, combine_<level>.c) and probes. */
#define LEVEL(NAME, name, ...)                      \
    void ts_kern_init_##name(ts_kern *k);           \
    void ts_kern_init_##name##_q(ts_kern *k);       \
    void ts_kern_init_##name##_combine(ts_kern *k); \
    void ts_kern_init_##name##_search(ts_kern *k);  \
    void ts_kern_init_##name##_probe(ts_kern *k);
#include "base/cpu_levels.def"

#endif
