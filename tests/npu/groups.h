/* groups.h - ops with random weights for the tests of the NPU's linear layers: made, run, compared with the
 * reference kernel bit for bit. The test fills in `ref` and `pool`. */
#ifndef TS_TESTS_GROUPS_H
#define TS_TESTS_GROUPS_H

#include "mats.h"

#include "npu/gemv_dev.h"
#include "sim/simnode.h"

static ts_kern ref;
static ts_pool *pool;

/* Devices on simulated nodes of their own, by device. */
static struct {
    ts_gemv_dev *dev;
    ts_simnode *node;
} simulated[4];
enum { SIMULATED = sizeof simulated / sizeof *simulated };

static inline ts_status open_sim_dev(ts_gemv_dev **out, const ts_simnode_options *so, ts_gemv_dev_options o,
                                     ts_err *err) {
    int i = 0;
    while (simulated[i].dev) assert_true(++i < SIMULATED);
    ts_simnode *node;
    TS_TRY(ts_simnode_new(&node, so, err));
    o.io = ts_simnode_io(node), o.meter = ts_simnode_meter(node), o.evidence = TS_SIMULATED;
    ts_status s = ts_gemv_dev_open(out, &o, err);
    if (s == TS_OK) simulated[i].dev = *out, simulated[i].node = node;
    else ts_simnode_free(node);
    return s;
}
static inline ts_simnode *node_of(const ts_gemv_dev *d) {
    for (int i = 0; i < SIMULATED; i++)
        if (simulated[i].dev == d) return simulated[i].node;
    return NULL;
}
static inline void close_dev(ts_gemv_dev *d) {
    ts_gemv_dev_close(d);
    for (int i = 0; d && i < SIMULATED; i++)
        if (simulated[i].dev == d) {
            ts_simnode_free(simulated[i].node);
            simulated[i].dev = NULL, simulated[i].node = NULL;
        }
}

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

static inline void group_init(group *g, ts_gemv_dev *d, const ts_gemv_shape *shape, int n, ts_rng *rng) {
    ts_err err;
    g->n = n;
    assert_ok(ts_gemv_op_new(&g->op, d, shape, n, &err));
    for (int m = 0; m < n; m++) {
        layer *l = &g->l[m];
        l->shape = shape[m];
        l->row_bytes = ts_dtype_row_bytes(shape[m].type, shape[m].K);
        l->rows = ts_alloc(shape[m].n_rows, l->row_bytes);
        fill_rows(l->rows, shape[m].type, shape[m].n_rows * l->row_bytes, RANDOM, rng);
        for (uint32_t i = 0; i < ts_gemv_op_mat(g->op, m)->n_group; i++)
            ts_gemv_op_pack(g->op, m, l->rows, l->row_bytes, i);
    }
    ts_gemv_op_packed(g->op);
}

static inline void group_fini(group *g) {
    ts_gemv_op_free(g->op);
    for (int m = 0; m < g->n; m++) ts_free(g->l[m].rows);
}

/* Run the group with random input and compare. */
static inline ts_status group_run(group *g, uint32_t n_tok, const group *next, ts_gemv_cost *cost, ts_rng *rng,
                                  ts_err *err) {
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
    ts_status s = ts_gemv_op_run(g->op, &x, n_tok, y, ld, next ? next->op : NULL, &ref, pool, cost, err);
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

static inline void assert_clean(ts_gemv_dev *d) {
    const ts_fake_verdict *v = ts_fake_first_violation(ts_simnode_fake(node_of(d)));
    if (v->rule != TS_FAKE_OK) fail_msg("%s broke rule %s: %s", v->call, ts_fake_rule_name(v->rule), v->text);
}

#endif
