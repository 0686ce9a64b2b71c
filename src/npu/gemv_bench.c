#include "npu/gemv_bench.h"

#include "base/rng.h"
#include "format/quant.h"

#include <string.h>

enum { PATTERNS = 5, PATTERN_ROWS = PATTERNS * TS_GEMV_ROWS };

/* Rows of any bits but scales that are small numbers. */
static void fill_rows(uint8_t *rows, ts_dtype type, size_t bytes, ts_rng *rng) {
    const size_t block = ts_dtype_get(type)->block_bytes;
    const ts_wtype *t = ts_wtype_of(type);
    for (size_t i = 0; i < bytes; i++) rows[i] = (uint8_t)ts_rng_u32(rng);
    for (size_t b = 0; b + block <= bytes; b += block) {
        uint16_t d = ts_f32_to_f16((float)ts_rng_gauss(rng) * 0.01f),
                 dmin = ts_f32_to_f16((float)ts_rng_gauss(rng) * 0.01f);
        memcpy(rows + b + t->d_at, &d, 2);
        if (ts_wtype_has_min(t)) memcpy(rows + b + t->second_at, &dmin, 2);
    }
}

/* One matrix of an op: its patterns, and what the reference kernel makes of them. */
typedef struct bench_mat {
    uint8_t *rows;
    size_t row_bytes;
    float want[PATTERN_ROWS];
    float *y;
} bench_mat;

typedef struct packing {
    ts_gemv_op *op;
    const bench_mat *mat;
    int m;
} packing;

static void pack_task(void *arg, size_t g, int thread) {
    const packing *p = arg;
    (void)thread;
    const uint8_t *rows = p->mat->rows + g % PATTERNS * TS_GEMV_ROWS * p->mat->row_bytes;
    ts_gemv_op_pack_rows(p->op, p->m, rows, p->mat->row_bytes, (uint32_t)g);
}

static ts_status make_mat(bench_mat *b, const ts_gemv_shape *s, const ts_qact *x, const ts_kern *kern, ts_rng *rng,
                          ts_err *err) {
    ts_qmat q;
    b->row_bytes = ts_dtype_row_bytes(s->type, s->K);
    b->rows = ts_alloc(PATTERN_ROWS, b->row_bytes);
    b->y = ts_alloc(s->n_rows, sizeof *b->y);
    if (!b->rows || !b->y || !ts_qmat_init(&q, s->type, PATTERN_ROWS, s->K))
        return ts_fail_nomem(err, "a matrix", s->n_rows * sizeof *b->y);
    fill_rows(b->rows, s->type, PATTERN_ROWS * b->row_bytes, rng);
    uint8_t *packed = ts_alloc_aligned(1, ts_qmat_bytes(&q));
    if (!packed) return ts_fail_nomem(err, "a matrix", ts_qmat_bytes(&q));
    for (uint32_t g = 0; g < q.n_group; g++)
        ts_qmat_pack_group(&q, b->rows, b->row_bytes, g, packed + g * q.group_bytes);
    q.data = packed;
    kern->gemm_q[s->type](&q, x, 1, 0, 1, 0, q.n_group, b->want, PATTERN_ROWS);
    ts_free(packed);
    return TS_OK;
}

typedef struct bench_op {
    ts_gemv_op *op;
    bench_mat mat[TS_GEMV_MATS];
    ts_qact x;
} bench_op;

static ts_status make_op(bench_op *b, ts_gemv_dev *d, const ts_gemv_bench_op *o, const ts_kern *kern, ts_pool *pool,
                         ts_rng *rng, ts_err *err) {
    const uint32_t K = (uint32_t)o->shape[0].K;
    float *in = ts_alloc(K, sizeof *in);
    if (!in) return ts_fail_nomem(err, "an input", K * sizeof *in);
    for (uint32_t i = 0; i < K; i++) in[i] = (float)ts_rng_gauss(rng);
    ts_status s = ts_qact_init(&b->x, K, 1, err);
    for (int m = 0; m < o->n && s == TS_OK; m++)
        (ts_act_block(o->shape[m].type) == 32 ? kern->quant32 : kern->quant256)(in, K, 1, 0, &b->x);
    ts_free(in);
    if (s == TS_OK) s = ts_gemv_op_new(&b->op, d, o->shape, o->n, err);
    for (int m = 0; m < o->n && s == TS_OK; m++) {
        s = make_mat(&b->mat[m], &o->shape[m], &b->x, kern, rng, err);
        if (s == TS_OK)
            ts_pool_run(pool, ts_gemv_op_mat(b->op, m)->n_group, pack_task, &(packing){b->op, &b->mat[m], m});
    }
    if (s == TS_OK) ts_gemv_op_packed(b->op);
    return s;
}

static ts_status run_op(bench_op *b, const ts_gemv_bench_op *o, const ts_gemv_op *next, const ts_kern *kern,
                        ts_pool *pool, ts_gemv_cost *cost, ts_err *err) {
    float *y[TS_GEMV_MATS];
    size_t ld[TS_GEMV_MATS];
    for (int m = 0; m < o->n; m++) y[m] = b->mat[m].y, ld[m] = o->shape[m].n_rows;
    TS_TRY(ts_gemv_op_run(b->op, &b->x, 1, y, ld, next, kern, pool, cost, err));
    for (int m = 0; m < o->n; m++)
        for (size_t r = 0; r < ld[m]; r++)
            if (memcmp(&y[m][r], &b->mat[m].want[r % PATTERN_ROWS], sizeof(float)) != 0)
                return ts_fail(err, TS_E_DEVICE, "NPU: row %zu of a %s matrix of %zu rows is %.9g, the CPU has %.9g", r,
                               ts_dtype_get(o->shape[m].type)->name, ld[m], (double)y[m][r],
                               (double)b->mat[m].want[r % PATTERN_ROWS]);
    return TS_OK;
}

ts_status ts_gemv_bench(ts_gemv_dev *d, const ts_gemv_bench_op *op, int n, const ts_kern *kern, ts_pool *pool,
                        ts_progress_fn *step, void *step_ud, ts_gemv_cost *cost, ts_err *err) {
    ts_rng rng = ts_rng_seed(1);
    bench_op *b = ts_calloc((size_t)n, sizeof *b);
    if (!b) return ts_fail_nomem(err, "the benchmark", (size_t)n * sizeof *b);
    ts_status s = TS_OK;
    /* two ops are there at a time: this one and the next */
    if (n) s = make_op(&b[0], d, &op[0], kern, pool, &rng, err);
    for (int i = 0; i < n && s == TS_OK; i++) {
        if (i + 1 < n) s = make_op(&b[i + 1], d, &op[i + 1], kern, pool, &rng, err);
        cost[i] = (ts_gemv_cost){0};
        if (s == TS_OK) s = run_op(&b[i], &op[i], i + 1 < n ? b[i + 1].op : NULL, kern, pool, &cost[i], err);
        ts_gemv_op_free(b[i].op);
        b[i].op = NULL;
        if (s == TS_OK && step && !step(step_ud, (uint64_t)i + 1, (uint64_t)n))
            s = ts_fail(err, TS_E_CANCELLED, "stopped");
    }
    for (int i = 0; i < n; i++) {
        ts_gemv_op_free(b[i].op);
        ts_qact_fini(&b[i].x);
        for (int m = 0; m < TS_GEMV_MATS; m++) ts_free(b[i].mat[m].rows), ts_free(b[i].mat[m].y);
    }
    ts_free(b);
    return s;
}
