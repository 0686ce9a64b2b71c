/* GPTQ's arithmetic beside a plain computation in doubles, the grids that its columns are rounded to, and 4-bit groups
 * with their carriers. */
#include "support/alloc_fail.h"
#include "support/levels.h"
#include "support/test.h"

#include "base/mem.h"
#include "base/rng.h"
#include "quant/gptq.h"
#include "quant/grid.h"

#include <math.h>

static ts_err err;

static double gauss(ts_rng *r) { return ts_rng_gauss(r); }

/* n rows of inputs, columns that go together and differ in size; column `dead` is 0. */
static float *make_inputs(uint32_t n, uint32_t K, uint32_t dead, uint64_t seed) {
    ts_rng r = ts_rng_seed(seed);
    float *x = ts_alloc((size_t)n * K, sizeof *x);
    assert_non_null(x);
    for (uint32_t t = 0; t < n; t++) {
        double common = gauss(&r);
        for (uint32_t i = 0; i < K; i++) {
            common = 0.8 * common + gauss(&r);
            x[(size_t)t * K + i] = i == dead ? 0 : (float)(common * (1 + (i * 7 % 13) * 0.3));
        }
    }
    return x;
}

typedef struct problem {
    ts_gptq g;
    ts_kern kern;
    ts_pool *pool;
    float *x;
    uint32_t n, K;
} problem;

static void begin(problem *p, uint32_t K, uint32_t n, uint32_t dead, int threads, ts_cpu_level level) {
    *p = (problem){.n = n, .K = K, .x = make_inputs(n, K, dead, K)};
    ts_kern_init(&p->kern, level);
    assert_ok(ts_pool_new(&p->pool, threads, &err));
    assert_ok(ts_gptq_init(&p->g, K, true, &err));
}

static void add_all(problem *p) { /* in two pieces that differ */
    const uint32_t half = p->n / 3 + 1;
    assert_ok(ts_gptq_add(&p->g, p->x, half, &p->kern, p->pool, &err));
    assert_ok(ts_gptq_add(&p->g, p->x + (size_t)half * p->K, p->n - half, &p->kern, p->pool, &err));
}

static void end(problem *p) {
    ts_gptq_fini(&p->g);
    ts_pool_free(p->pool);
    ts_free(p->x);
}

/* ---- the factor -------------------------------------------------------------------------------------------------- */

/* The damped mean of x x', by definition. */
static double *plain_h(const problem *p, double damp) {
    const uint32_t K = p->K;
    double *h = ts_calloc((size_t)K * K, sizeof *h), mean = 0;
    assert_non_null(h);
    for (uint32_t t = 0; t < p->n; t++)
        for (uint32_t i = 0; i < K; i++)
            for (uint32_t j = 0; j < K; j++)
                h[(size_t)i * K + j] += (double)p->x[(size_t)t * K + i] * (double)p->x[(size_t)t * K + j] / p->n;
    for (uint32_t i = 0; i < K; i++) mean += h[(size_t)i * K + i] / K;
    for (uint32_t i = 0; i < K; i++) {
        double *d = &h[(size_t)i * K + i];
        *d = (*d > 0 ? *d : 1) + damp * mean;
    }
    return h;
}

/* Row i, column j of the inverse's factor, from where it is kept. */
static double u_at(const ts_gptq *g, uint32_t i, uint32_t j) {
    const size_t K = g->n_in;
    return j < i ? 0 : (double)g->u[(K - 1 - j) * K + K - 1 - i];
}

/* Not fmax: NaN counts, and GCC 12 for aarch64 fails on loops of it. */
static void at_least(double *most, double x) {
    if (!(x <= *most)) *most = x;
}

/* Row i, column j of the inverse that it is the factor of. */
static double inverse_at(const ts_gptq *g, uint32_t i, uint32_t j) {
    double sum = 0;
    for (uint32_t k = 0, n = i < j ? i : j; k <= n; k++) sum += u_at(g, k, i) * u_at(g, k, j);
    return sum;
}

static void check_factor(uint32_t K, uint32_t n, uint32_t dead) {
    problem p;
    begin(&p, K, n, dead, 1, TS_CPU_REF);
    add_all(&p);
    for (uint32_t i = 0; i < K; i++) {
        double sum = 0;
        for (uint32_t t = 0; t < n; t++) sum += (double)p.x[(size_t)t * K + i] * (double)p.x[(size_t)t * K + i] / n;
        assert_true(fabs((double)p.g.square[i] - sum) <= 1e-5 * sum);
    }
    assert_ok(ts_gptq_factor(&p.g, 0.01f, &p.kern, p.pool, &err));
    double *h = plain_h(&p, 0.01), *inverse = ts_calloc((size_t)K * K, sizeof *inverse), size = 0, off = 0;
    assert_non_null(inverse);
    for (uint32_t i = 0; i < K; i++) at_least(&size, h[(size_t)i * K + i]);
    for (uint32_t i = 0; i < K; i++)
        for (uint32_t j = 0; j < K; j++)
            at_least(&off, fabs((double)p.g.h[(size_t)(K - 1 - i) * K + K - 1 - j] - h[(size_t)i * K + j]) / size);
    assert_true(off < 1e-5);
    for (uint32_t i = 0; i < K; i++) {
        assert_true(u_at(&p.g, i, i) > 0);
        for (uint32_t j = 0; j < K; j++) inverse[(size_t)i * K + j] = inverse_at(&p.g, i, j);
    }
    off = 0;
    for (uint32_t i = 0; i < K; i++)
        for (uint32_t j = 0; j < K; j++) {
            double s = i == j ? -1 : 0;
            for (uint32_t k = 0; k < K; k++) s += inverse[(size_t)i * K + k] * h[(size_t)k * K + j];
            at_least(&off, fabs(s));
        }
    if (!(off < 2e-3)) fail_msg("%u inputs, %u tokens: the inverse times H is off by %g", K, n, off);
    if (dead < K) /* stands for itself */
        for (uint32_t j = 0; j < K; j++)
            if (j != dead) assert_true(u_at(&p.g, dead, j) == 0 && u_at(&p.g, j, dead) == 0);
    ts_free(h);
    ts_free(inverse);
    end(&p);
}

static void test_factor(void **state) {
    (void)state;
    check_factor(1, 4, 9);
    check_factor(5, 40, 9);
    check_factor(64, 200, 3);
    check_factor(65, 7, 64); /* fewer tokens than inputs: the damping makes up for it */
    check_factor(130, 300, 0);
    check_factor(200, 300, 100);
}

static void test_damping(void **state) {
    (void)state;
    enum { K = 70 };
    float ones[16 * K];
    ts_kern kern;
    ts_pool *pool;
    ts_kern_init(&kern, TS_CPU_REF);
    assert_ok(ts_pool_new(&pool, 1, &err));
    for (int i = 0; i < 16 * K; i++) ones[i] = 1;
    ts_gptq g;
    assert_ok(ts_gptq_init(&g, K, true, &err));
    assert_ok(ts_gptq_add(&g, ones, 16, &kern, pool, &err));
    assert_ok(ts_gptq_factor(&g, 1e-9f, &kern, pool, &err)); /* 1 + 1e-9 is 1: no factor, until it is more */
    assert_true(g.h[0] > 1 && g.h[0] < 1.001f && g.h[1] == 1);
    ts_gptq_fini(&g);
    assert_ok(ts_gptq_init(&g, K, true, &err)); /* and none of it at all */
    assert_ok(ts_gptq_add(&g, ones, 16, &kern, pool, &err));
    assert_status(ts_gptq_factor(&g, 0, &kern, pool, &err), TS_E_FORMAT);
    assert_string_equal(err.msg, "the activations' products have no Cholesky factor");
    ts_gptq_fini(&g);
    memset(ones, 0, sizeof ones); /* all dead */
    assert_ok(ts_gptq_init(&g, K, true, &err));
    assert_ok(ts_gptq_add(&g, ones, 16, &kern, pool, &err));
    assert_ok(ts_gptq_factor(&g, 0.01f, &kern, pool, &err));
    for (uint32_t i = 0; i < K; i++) assert_true(fabs(u_at(&g, i, i) - 1 / sqrt(1.01)) < 1e-6);
    ts_gptq_fini(&g);
    static const float wrong[] = {NAN, INFINITY, 1e30f}; /* the last one's square is not finite */
    for (int i = 0; i < 3; i++) {
        ones[3 * K + 5] = wrong[i];
        assert_ok(ts_gptq_init(&g, K, true, &err));
        assert_ok(ts_gptq_add(&g, ones, 16, &kern, pool, &err));
        assert_status(ts_gptq_factor(&g, 0.01f, &kern, pool, &err), TS_E_FORMAT);
        assert_string_equal(err.msg, "the activations' squares are not finite");
        ts_gptq_fini(&g);
    }
    ts_pool_free(pool);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static float *make_weights(uint32_t rows, uint32_t K, uint64_t seed) {
    ts_rng r = ts_rng_seed(seed);
    float *w = ts_alloc((size_t)rows * K, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < (size_t)rows * K; i++) w[i] = (float)(gauss(&r) * 0.05);
    return w;
}

/* (w - q) H (w - q)' of all rows, H without damping. */
static double loss(const problem *p, const float *w, const float *q, uint32_t rows) {
    double sum = 0;
    for (uint32_t t = 0; t < p->n; t++)
        for (uint32_t r = 0; r < rows; r++) {
            double y = 0;
            for (uint32_t i = 0; i < p->K; i++)
                y += ((double)w[(size_t)r * p->K + i] - (double)q[(size_t)r * p->K + i]) *
                     (double)p->x[(size_t)t * p->K + i];
            sum += y * y;
        }
    return sum / p->n;
}

static void nearest(const ts_kern *kern, ts_dtype type, const float *w, const float *square, void *blocks, size_t K,
                    size_t n) {
    if (ts_dtype_is_u4g(type))
        for (size_t i = 0; i < n; i += K)
            ts_u4g_quantize(type, w + i, square, square != NULL, (char *)blocks + i / 32 * sizeof(ts_block_u4g), K);
    else ts_quantize_with(kern->search, type, w, square, K, blocks, n);
}

static void test_rows(void **state) {
    (void)state;
    enum { ROWS = 33 };
    for (int t = 0; t < TS_DTYPES; t++) {
        const ts_dtype type = (ts_dtype)t;
        if (!ts_dtype_get(type)->block || !ts_grid_size(type)) continue;
        const uint32_t K = ts_grid_size(type) == 256 ? 512 : 160; /* U4G: the last group of 64, of 128 is shorter */
        problem p;
        begin(&p, K, K, 33, 1, ts_cpu_detect());
        add_all(&p);
        assert_ok(ts_gptq_factor(&p.g, 0.01f, &p.kern, p.pool, &err));
        float *w = make_weights(ROWS, K, 9), *q = make_weights(ROWS, K, 9), *worth = make_weights(ROWS, K, 9);
        const size_t row = ts_dtype_row_bytes(type, K);
        uint8_t *blocks = ts_alloc(ROWS, row);
        assert_true(row && blocks);
        double least = (double)INFINITY;
        for (int weighted = 0; weighted < 2; weighted++) {
            nearest(&p.kern, type, w, weighted ? p.g.square : NULL, blocks, K, (size_t)ROWS * K);
            ts_dequant(type, blocks, worth, (size_t)ROWS * K);
            least = fmin(least, loss(&p, w, worth, ROWS));
        }
        assert_ok(ts_gptq_rows(&p.g, type, q, ROWS, blocks, &p.kern, p.pool, &err));
        ts_dequant(type, blocks, worth, (size_t)ROWS * K);
        for (size_t i = 0; i < (size_t)ROWS * K; i++)
            if (worth[i] != q[i])
                fail_msg("%s, element %zu: %a in the block, %a it was said", ts_dtype_get(type)->name, i,
                         (double)worth[i], (double)q[i]);
        const double now = loss(&p, w, q, ROWS);
        if (!(now < 0.9 * least))
            fail_msg("%s: %g by GPTQ, %g by rounding to the nearest", ts_dtype_get(type)->name, now, least);
        ts_free(w), ts_free(q), ts_free(worth), ts_free(blocks);
        end(&p);
    }
    problem p;
    begin(&p, 36, 50, 99, 1, TS_CPU_REF);
    add_all(&p);
    assert_ok(ts_gptq_factor(&p.g, 0.01f, &p.kern, p.pool, &err));
    float w[36] = {0};
    char blocks[64];
    assert_status(ts_gptq_rows(&p.g, TS_Q4_0, w, 1, blocks, &p.kern, p.pool, &err), TS_E_UNSUPP);
    assert_string_equal(err.msg, "GPTQ does not quantise rows of 36 to q4_0");
    assert_status(ts_gptq_rows(&p.g, TS_F16, w, 1, blocks, &p.kern, p.pool, &err), TS_E_UNSUPP);
    end(&p);
}

/* Columns that have nothing to do with each other: nothing is made up for, so each is rounded to the nearest. */
static void test_diagonal(void **state) {
    (void)state;
    enum { ROWS = 3, MOST = 512 };
    for (int t = 0; t < TS_DTYPES; t++) {
        const ts_dtype type = (ts_dtype)t;
        if (!ts_dtype_get(type)->block || !ts_grid_size(type)) continue;
        const uint32_t group = ts_grid_size(type), K = group == 256 ? 512 : 160;
        problem p;
        begin(&p, K, K, K, 1, ts_cpu_detect());
        for (size_t i = 0; i < (size_t)K * K; i++)
            p.x[i] = i / K == i % K ? (float)(1 + i % 5) * sqrtf((float)K) : 0; /* E[x^2]: 1 to 25 */
        add_all(&p);
        assert_ok(ts_gptq_factor(&p.g, 0.01f, &p.kern, p.pool, &err));
        float *w = make_weights(ROWS, K, 5), *q = make_weights(ROWS, K, 5), plain[MOST];
        const size_t row = ts_dtype_row_bytes(type, K);
        uint8_t *blocks = ts_alloc(ROWS, row), *want = ts_alloc(ROWS, row);
        assert_true(blocks && want);
        assert_ok(ts_gptq_rows(&p.g, type, q, ROWS, blocks, &p.kern, p.pool, &err));
        bool steps = false;
        for (uint32_t r = 0; r < ROWS; r++)
            for (uint32_t c = 0; c < K; c += group) {
                ts_grid g;
                const uint32_t n = K - c < group ? K - c : group;
                double was = 0, now = 0;
                ts_grid_fix(&g, type, w + r * K + c, p.g.square + c, n, &p.kern);
                for (uint32_t i = 0; i < n; i++) {
                    const double v = (double)w[r * K + c + i],
                                 weight = (double)p.g.h[(size_t)(K - 1 - c - i) * (K + 1)];
                    plain[i] = ts_grid_round(&g, i, w[r * K + c + i]);
                    was += weight * pow((double)plain[i] - v, 2);
                    now += weight * pow((double)q[r * K + c + i] - v, 2);
                }
                ts_grid_put(&g, want + r * row + ts_dtype_row_bytes(type, c));
                if (ts_grid_restep(&g, 0)) { /* its step may move, too */
                    steps = true;
                    assert_true(now <= was * 1.00001);
                } else {
                    assert_memory_equal(plain, q + r * K + c, n * sizeof *q);
                }
            }
        if (!steps) assert_memory_equal(blocks, want, ROWS * row);
        ts_free(w), ts_free(q), ts_free(blocks), ts_free(want);
        end(&p);
    }
}

/* One thread or three, any level: the same bits. */
static void test_same(void **state) {
    (void)state;
    enum { ROWS = 40 };
    static const ts_dtype types[] = {TS_Q4_0, TS_U4G128, TS_Q8_0, TS_IQ4_NL, TS_Q4_K};
    levels_here();
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const uint32_t K = ts_grid_size(types[t]) == 256 ? 256 : 192; /* more than one block of 128 columns */
        const size_t bytes = ROWS * ts_dtype_row_bytes(types[t], K);
        uint8_t *first = NULL;
        for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
            for (int threads = 1; threads <= 3; threads += 2) {
                problem p;
                begin(&p, K, 70, 7, threads, (ts_cpu_level)level);
                add_all(&p);
                assert_ok(ts_gptq_factor(&p.g, 0.01f, &p.kern, p.pool, &err));
                float *w = make_weights(ROWS, K, 1);
                uint8_t *blocks = ts_alloc(bytes, 1);
                assert_non_null(blocks);
                assert_ok(ts_gptq_rows(&p.g, types[t], w, ROWS, blocks, &p.kern, p.pool, &err));
                if (first) assert_memory_equal(first, blocks, bytes);
                ts_free(w);
                if (first) ts_free(blocks);
                else first = blocks;
                end(&p);
            }
        ts_free(first);
    }
}

static bool whole(void *ud) {
    problem *p = ud;
    static uint8_t blocks[2 * 5 * 18];
    float w[2 * 160];
    ts_gptq g;
    for (int i = 0; i < 2 * 160; i++) w[i] = (float)(i % 17) - 8;
    if (ts_gptq_init(&g, 160, true, &err) != TS_OK) return false;
    const bool ok = ts_gptq_add(&g, p->x, 20, &p->kern, p->pool, &err) == TS_OK &&
                    ts_gptq_factor(&g, 0.01f, &p->kern, p->pool, &err) == TS_OK &&
                    ts_gptq_rows(&g, TS_Q4_0, w, 2, blocks, &p->kern, p->pool, &err) == TS_OK;
    ts_gptq_fini(&g);
    return ok;
}

static void test_no_memory(void **state) {
    (void)state;
    problem p;
    begin(&p, 160, 20, 0, 1, TS_CPU_REF);
    alloc_fail_loop(whole, &p, false);
    end(&p);
}

/* ---- grids ------------------------------------------------------------------------------------------------------- */

/* What a grid says an element is worth is what the block is worth. */
static void test_grids(void **state) {
    (void)state;
    ts_kern kern;
    ts_kern_init(&kern, TS_CPU_REF);
    ts_rng r = ts_rng_seed(6);
    int n_types = 0;
    for (int t = 0; t < TS_DTYPES; t++) {
        const ts_dtype type = (ts_dtype)t;
        if (!ts_dtype_get(type)->block || !ts_grid_size(type)) continue;
        n_types++;
        for (int round = 0; round < 60; round++) {
            const uint32_t size = ts_grid_size(type),
                           n = ts_dtype_is_u4g(type) && round % 3 == 2 ? size - 32 : size;
            if (!n) continue;
            float w[256], square[256], said[256], is[256];
            uint8_t blocks[512];
            for (uint32_t i = 0; i < n; i++) {
                const double v = gauss(&r);
                w[i] = (float)(round == 0   ? 0
                               : round == 1 ? 0.7
                               : round == 3 ? -0.7
                               : round == 4 ? v * 1e-9
                               : round == 5 ? v * 1e4
                               : round == 6 ? fabs(v)
                                            : v * v * v * 0.01);
                square[i] = (float)(gauss(&r) * gauss(&r));
                square[i] *= square[i];
                if (round % 7 == 0) square[i] = 0;
            }
            ts_grid g;
            ts_grid_fix(&g, type, w, square, n, &kern);
            for (uint32_t i = 0; i < n; i++) { /* moved a little, or far out of the range */
                const float v = w[i] * (float)(1 + 0.1 * gauss(&r)) + (i % 50 == 9 ? 100 * w[i] : 0);
                said[i] = ts_grid_round(&g, i, v);
            }
            for (int step = 0; step < 2; step++) {
                if (step) {
                    if (!ts_grid_restep(&g, g.step[0] * 0.125f)) break;
                    for (uint32_t i = 0; i < n; i++) said[i] = ts_grid_round(&g, i, said[i]);
                }
                memset(blocks, 0xa5, sizeof blocks);
                ts_grid_put(&g, blocks);
                assert_true(blocks[ts_dtype_row_bytes(type, n)] == 0xa5);
                assert_int_equal(ts_find_not_finite(type, blocks, n), n);
                ts_dequant(type, blocks, is, n);
                for (uint32_t i = 0; i < n; i++)
                    if (said[i] != is[i])
                        fail_msg("%s, round %d, element %u: said to be %a, is %a", ts_dtype_get(type)->name, round, i,
                                 (double)said[i], (double)is[i]);
            }
        }
    }
    assert_int_equal(n_types, 15);
    assert_int_equal(ts_grid_size(TS_F16), 0);
    assert_int_equal(ts_grid_size(TS_MXFP4), 0);
}

/* ---- 4-bit groups ------------------------------------------------------------------------------------------------ */

static double squared(const float *a, const float *b, const float *weight, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (weight ? (double)weight[i] : 1) * ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static void test_groups(void **state) {
    (void)state;
    enum { N = 224 }; /* the last group of 64 and of 128 is shorter */
    static const ts_dtype types[] = {TS_U4G32, TS_U4G64, TS_U4G128};
    ts_rng r = ts_rng_seed(8);
    for (int t = 0; t < 3; t++)
        for (int round = 0; round < 30; round++) {
            float w[N], square[N], worth[N], back[N];
            ts_block_u4g b[N / 32], b2[N / 32];
            ts_block_q4_1 q[N / 32];
            const uint32_t group = ts_u4g_group(types[t]);
            for (int i = 0; i < N; i++) {
                w[i] = (float)(gauss(&r) * (round == 3 ? 1e-9 : round == 4 ? 6e4 : 0.05) + (round % 3 - 1) * 0.02);
                if (round == 5) w[i] = fabsf(w[i]);
                if (round == 6) w[i] = 0;
                square[i] = (float)pow(gauss(&r), 2);
            }
            double plain = 0, searched = 0;
            for (int search = 0; search < 2; search++) {
                ts_u4g_quantize(types[t], w, search ? square : NULL, search, b, N);
                ts_dequant(types[t], b, worth, N);
                *(search ? &searched : &plain) = squared(w, worth, square, N);
                for (size_t k = 0; k < N / 32; k++) { /* alike in a group */
                    const size_t first = k / (group / 32) * (group / 32);
                    const double d = (double)ts_f16_to_f32(b[k].d);
                    assert_true(b[k].d == b[first].d && b[k].z == b[first].z && b[k].z < 16);
                    for (size_t i = 32 * k; i < 32 * k + 32 && !search && round != 4; i++)
                        assert_true(fabs((double)w[i] - (double)worth[i]) <= 1.02 * d); /* half: the zero point's */
                }
            }
            assert_true(searched <= plain * 1.0001);
            ts_u4g_carry(TS_Q4_1, b, q, N);
            size_t bad = 99;
            assert_true(ts_u4g_recover(q, b2, N, group, &bad)); /* the largest scales, too */
            assert_memory_equal(b, b2, sizeof b);
            assert_true(ts_u4g_recover(q, b2, N, 32, NULL)); /* smaller groups are the same, too */
            ts_dequant(TS_Q4_1, q, back, N);
            for (int i = 0; i < N; i++) /* the minimum is rounded to binary16 */
                assert_true(fabs((double)back[i] - (double)worth[i]) <=
                            fabs((double)ts_f16_to_f32(q[i / 32].m)) * 0x1p-11 + 0x1p-25);
        }
}

static void test_no_groups(void **state) {
    (void)state;
    enum { N = 128 };
    float w[N];
    for (int i = 0; i < N; i++) w[i] = (float)(i * 7 % 31) - 12;
    ts_block_u4g b[N / 32], back[N / 32];
    ts_block_q4_1 q[N / 32], was;
    size_t bad = 0;
    ts_u4g_quantize(TS_U4G128, w, NULL, false, b, N);
    ts_u4g_carry(TS_Q4_1, b, q, N);
    assert_true(ts_u4g_recover(q, back, N, 128, &bad));
    was = q[2];
    q[2].d = ts_f32_to_f16(ts_f16_to_f32(was.d) * 2); /* another scale than its group's */
    q[2].m = ts_f32_to_f16(ts_f16_to_f32(was.m) * 2);
    assert_false(ts_u4g_recover(q, back, N, 128, &bad));
    assert_int_equal(bad, 64);
    assert_false(ts_u4g_recover(q, back, N, 128, NULL));
    assert_false(ts_u4g_recover(q, back, N, 64, &bad));
    assert_int_equal(bad, 96);
    assert_true(ts_u4g_recover(q, back, N, 32, &bad)); /* a group's first may differ */
    q[3] = q[2];
    assert_true(ts_u4g_recover(q, back, N, 64, &bad));
    q[2] = q[3] = was;
    q[1].m = ts_f32_to_f16(1); /* a zero point below 0 */
    assert_false(ts_u4g_recover(q, back, N, 32, &bad));
    assert_int_equal(bad, 32);
    q[1].m = ts_f32_to_f16(-16 * ts_f16_to_f32(was.d)); /* 16 */
    assert_false(ts_u4g_recover(q, back, N, 32, &bad));
    q[1].m = (uint16_t)(was.m + 3); /* between two */
    assert_false(ts_u4g_recover(q, back, N, 32, &bad));
    assert_int_equal(bad, 32);
    q[1] = was;
    static const uint16_t wrong[] = {0, 0x7c00, 0x7e00, 0xfc00, 0x8000};
    for (int i = 0; i < 5; i++) { /* no scale, and none that is a number */
        q[0].d = wrong[i];
        assert_false(ts_u4g_recover(q, back, N, 32, &bad));
        assert_int_equal(bad, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factor), cmocka_unit_test(test_damping), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_diagonal), cmocka_unit_test(test_same), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_grids), cmocka_unit_test(test_groups), cmocka_unit_test(test_no_groups),
    };
    return cmocka_run_group_tests_name("gptq", tests, NULL, NULL);
}
