/* Whole linear layers on the simulated NPU, through driver, strict node and array: results against the reference kernel bit
 * for bit, bytes that add up, failures of the device. */
#include "mats.h"
#include "support/alloc_fail.h"

#include "npu/gemv_dev.h"

static ts_kern ref;
static ts_pool *pool;

typedef struct layer {
    ts_gemv_shape shape;
    size_t row_bytes;
    uint8_t *rows;
} layer;

typedef struct group {
    int n;
    layer l[TS_GEMV_MATS];
    ts_gemv_op *op;
} group;

static void group_init(group *g, ts_gemv_dev *d, const ts_gemv_shape *shape, int n, ts_rng *rng) {
    ts_err err;
    g->n = n;
    assert_ok(ts_gemv_op_new(&g->op, d, shape, n, &err));
    for (int m = 0; m < n; m++) {
        layer *l = &g->l[m];
        l->shape = shape[m];
        l->row_bytes = ts_dtype_row_bytes(shape[m].type, shape[m].K);
        l->rows = ts_alloc(shape[m].n_rows, l->row_bytes);
        fill_rows(l->rows, shape[m].type, shape[m].n_rows * l->row_bytes, RANDOM, rng);
        for (uint32_t i = 0; i < ts_gemv_op_mat(g->op, m)->n_group; i++) ts_gemv_op_pack(g->op, m, l->rows, l->row_bytes, i);
    }
    ts_gemv_op_packed(g->op);
}

static void group_fini(group *g) {
    ts_gemv_op_free(g->op);
    for (int m = 0; m < g->n; m++) ts_free(g->l[m].rows);
}

/* Run the group with random input and compare. */
static ts_status group_run(group *g, uint32_t n_tok, const group *next, ts_gemv_cost *cost, ts_rng *rng, ts_err *err) {
    uint32_t K = (uint32_t)g->l[0].shape.K;
    ts_qact x;
    float *in = ts_alloc((size_t)n_tok * K, 4), *y[TS_GEMV_MATS], *want[TS_GEMV_MATS];
    size_t ld[TS_GEMV_MATS];
    assert_true(ts_qact_init(&x, K, n_tok, err) == TS_OK);
    fill_x(in, (size_t)n_tok * K, RANDOM, rng);
    for (int m = 0; m < g->n; m++)
        for (uint32_t t = 0; t < n_tok; t++)
            (ts_act_block(g->l[m].shape.type) == 32 ? ref.quant32 : ref.quant256)(in + (size_t)t * K, K, n_tok, t, &x);
    for (int m = 0; m < g->n; m++) {
        ld[m] = g->l[m].shape.n_rows;
        y[m] = ts_calloc(n_tok * ld[m], 4);
        want[m] = ts_alloc(n_tok * ld[m], 4);
        reference(&ref, ts_gemv_op_mat(g->op, m), g->l[m].rows, g->l[m].row_bytes, &x, n_tok, want[m]);
    }
    ts_status s = ts_gemv_op_run(g->op, &x, n_tok, y, ld, next ? next->op : NULL, pool, cost, err);
    for (int m = 0; m < g->n; m++) {
        for (size_t i = 0; i < n_tok * ld[m] && s == TS_OK; i++)
            if (memcmp(&want[m][i], &y[m][i], 4) != 0)
                fail_msg("matrix %d, %s [%zu, %u], %u tokens: token %zu row %zu: %.9g, the reference has %.9g", m,
                         ts_dtype_get(g->l[m].shape.type)->name, ld[m], K, n_tok, i / ld[m], i % ld[m], (double)y[m][i],
                         (double)want[m][i]);
        ts_free(y[m]), ts_free(want[m]);
    }
    ts_free(in);
    ts_qact_fini(&x);
    return s;
}

static void assert_clean(ts_gemv_dev *d) {
    const ts_fake_verdict *v = ts_fake_first_violation(ts_simnode_fake(ts_gemv_dev_sim(d)));
    if (v->rule != TS_FAKE_OK) fail_msg("%s broke rule %s: %s", v->call, ts_fake_rule_name(v->rule), v->text);
}

static ts_gemv_dev *open_sim(uint64_t seed, bool prefetch) {
    ts_gemv_dev *d;
    ts_err err;
    ts_gemv_dev_options o = {.simulated = true, .sim = {.strict = true, .seed = seed, .profile = (ts_fake_profile)(seed % 3), .gap = 1000},
                             .no_prefetch = !prefetch};
    assert_ok(ts_gemv_dev_open(&d, &o, &err));
    return d;
}

/* Each type, odd shapes, one to nine tokens. */
static void test_shapes(void **state) {
    (void)state;
    static const uint32_t rows[] = {1, 40, 67, 264}, ks[] = {256, 1024, 1280, 4352};
    ts_rng rng = ts_rng_seed(1);
    ts_gemv_dev *d = open_sim(0, true);
    ts_err err;
    for (size_t i = 0; i < 4; i++)
        for (int r = 0; r < 4; r++) {
            group g;
            group_init(&g, d, &(ts_gemv_shape){all_types[i], rows[r], ks[(r + (int)i) % 4]}, 1, &rng);
            for (uint32_t t = 1; t <= 9; t += t < 5 ? 1 : 4) assert_ok(group_run(&g, t, NULL, NULL, &rng, &err));
            group_fini(&g);
        }
    for (size_t i = 2; i < 4; i++) { /* K that is no multiple of 64 */
        group g;
        group_init(&g, d, &(ts_gemv_shape){all_types[i], 30, 1120 + 32}, 1, &rng);
        for (uint32_t t = 1; t <= 3; t++) assert_ok(group_run(&g, t, NULL, NULL, &rng, &err));
        group_fini(&g);
    }
    assert_clean(d);
    ts_gemv_dev_close(d);
}

/* Several matrices in one op, types mixed; the bytes that crossed are those that the array counted. */
static void test_groups(void **state) {
    (void)state;
    static const ts_gemv_shape shapes[][3] = {
        {{TS_Q4_K, 512, 1024}, {TS_Q4_K, 128, 1024}, {TS_Q6_K, 128, 1024}},
        {{TS_Q8_0, 96, 768}, {TS_Q6_K, 8, 768}, {TS_Q4_0, 200, 768}},
    };
    ts_rng rng = ts_rng_seed(2);
    ts_gemv_dev *d = open_sim(0, false);
    ts_err err;
    for (size_t i = 0; i < 2; i++)
        for (uint32_t t = 1; t <= 4; t++) {
            group g;
            ts_gemv_cost c = {0};
            group_init(&g, d, shapes[i], 3, &rng);
            assert_ok(group_run(&g, t, NULL, &c, &rng, &err));
            const ts_array_stats *st = ts_simnode_stats(ts_gemv_dev_sim(d));
            assert_int_equal(c.commands, 1);
            assert_int_equal(c.weight_bytes + c.act_bytes, st->read_bytes);
            assert_int_equal(c.sum_bytes, st->write_bytes);
            assert_true(c.unit_bytes <= c.weight_bytes);
            group_fini(&g);
        }
    assert_clean(d);
    ts_gemv_dev_close(d);
}

static int setup(void **state) {
    (void)state;
    ts_err err;
    ts_kern_init(&ref, TS_CPU_REF);
    return ts_pool_new(&pool, 2, &err) != TS_OK;
}
static int teardown(void **state) {
    (void)state;
    ts_pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests_name("gemv op", tests, setup, teardown);
}
