/* toy_dev.h - the device "toy": linear layers by the reference kernels, as any device would run them. It is the example
 * of CONTRIBUTING.md, "Add a device".
 *
 *   toy:no-q4_0   refuses that type
 *   toy:alone     takes one matrix at a time
 *   toy:fail=N    its N-th op to be waited for fails
 *   toy:lie=N     of its N-th op's results, the first is one bit off */
#ifndef TS_TESTS_TOY_DEV_H
#define TS_TESTS_TOY_DEV_H

#include "device/devices.h"
#include "kern/kern.h"

#include <string.h>

enum { TOY_NO_Q4_0, TOY_ALONE, TOY_FAIL, TOY_LIE };

typedef struct toy {
    ts_device_choice choice;
    ts_kern kern;
    uint64_t waited; /* ops so far */
    const struct toy_op *busy;
} toy;

typedef struct toy_op {
    toy *dev;
    int n;
    ts_qmat mat[TS_LINEAR_MATS];
    uint8_t *data[TS_LINEAR_MATS];
    const ts_qact *x; /* while it is under way */
    uint32_t n_tok;
} toy_op;

static inline const char *toy_refuse(void *ud, const ts_linear_shape *shape, int n) {
    const toy *t = ud;
    ts_qmat q;
    if (n > 1 && t->choice.value[TOY_ALONE]) return "it takes one matrix at a time";
    for (int i = 0; i < n; i++) {
        if (!ts_qmat_init(&q, shape[i].type, shape[i].n_rows, shape[i].n_in)) return "it takes quantised weights";
        if (shape[i].type == TS_Q4_0 && t->choice.value[TOY_NO_Q4_0]) return "it was told not to take q4_0";
    }
    return NULL;
}

static inline void toy_op_free(void *op) {
    toy_op *o = op;
    if (!o) return;
    for (int i = 0; i < o->n; i++) ts_free(o->data[i]);
    ts_free(o);
}

static inline ts_status toy_op_new(void *ud, void **op, const ts_linear_shape *shape, int n, ts_err *err) {
    toy_op *o = ts_calloc(1, sizeof *o);
    if (!o) return ts_fail_nomem(err, "an op", sizeof *o);
    o->dev = ud;
    for (; o->n < n; o->n++) {
        ts_qmat *q = &o->mat[o->n];
        const ts_linear_shape *s = &shape[o->n];
        if (!ts_qmat_init(q, s->type, s->n_rows, s->n_in) ||
            !(o->data[o->n] = ts_alloc_aligned(1, ts_qmat_bytes(q)))) {
            toy_op_free(o);
            return ts_fail_nomem(err, "an op's weights", 0);
        }
        q->data = o->data[o->n];
    }
    *op = o;
    return TS_OK;
}

static inline void toy_pack(void *op, int m, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n) {
    const toy_op *o = op;
    for (uint32_t r = 0; r < n; r += TS_GROUP_ROWS) {
        ts_qmat q = o->mat[m];
        q.n_rows = n - r;
        ts_qmat_pack_group(&q, (const char *)rows + r * row_bytes, row_bytes, 0,
                           o->data[m] + (row0 + r) / TS_GROUP_ROWS * q.group_bytes);
    }
}

static inline void toy_packed(void *op) {
    (void)op;
}

static inline size_t toy_bytes(const void *op) {
    const toy_op *o = op;
    size_t n = 0;
    for (int i = 0; i < o->n; i++) n += ts_qmat_bytes(&o->mat[i]);
    return n;
}

static inline ts_status toy_submit(void *op, const ts_qact *x, uint32_t n_tok, const void *next, ts_err *err) {
    toy_op *o = op;
    (void)next;
    if (o->dev->busy) return ts_fail(err, TS_E_INVAL, "toy: an op is under way");
    o->dev->busy = o;
    o->x = x, o->n_tok = n_tok;
    return TS_OK;
}

/* A real device has worked since `submit`; this one does it now. */
static inline ts_status toy_wait(void *op, float *const *y, const size_t *ld, const ts_kern *kern, ts_pool *pool,
                                 ts_linear_cost *cost, ts_err *err) {
    toy_op *o = op;
    toy *t = o->dev;
    (void)kern, (void)pool;
    if (t->busy != o) return ts_fail(err, TS_E_INVAL, "toy: the op is not under way");
    t->busy = NULL;
    if (++t->waited == t->choice.value[TOY_FAIL]) return ts_fail(err, TS_E_DEVICE, "toy: it was told to fail");
    for (int i = 0; i < o->n; i++) {
        const ts_qmat *q = &o->mat[i];
        t->kern.gemm_q[q->type](q, o->x, o->n_tok, 0, o->n_tok, 0, q->n_group, y[i], ld[i]);
        cost->macs += (uint64_t)q->n_rows * q->n_cols * o->n_tok;
        cost->weight_bytes += ts_qmat_bytes(q);
    }
    if (t->waited == t->choice.value[TOY_LIE]) y[0][0] += y[0][0] == 0 ? 1 : y[0][0] * 0x1p-20f;
    cost->commands++, cost->tokens += o->n_tok;
    return TS_OK;
}

static inline ts_evidence toy_evidence(const void *ud) {
    (void)ud;
    return TS_MEASURED;
}
static inline ts_dev_clock toy_clock(const void *ud) {
    (void)ud;
    return (ts_dev_clock){0};
}
static inline void toy_close(void *ud) {
    ts_free(ud);
}

static inline ts_status toy_open(ts_linear_dev *out, const ts_device_choice *c, ts_stop_fn *stop, void *stop_ud,
                                 ts_err *err) {
    (void)stop, (void)stop_ud;
    toy *t = ts_calloc(1, sizeof *t);
    if (!t) return ts_fail_nomem(err, "the toy", sizeof *t);
    t->choice = *c;
    ts_kern_init(&t->kern, TS_CPU_REF);
    *out = (ts_linear_dev){.name = c->device->name, .ud = t, .refuse = toy_refuse, .op_new = toy_op_new,
                           .op_free = toy_op_free, .pack = toy_pack, .packed = toy_packed, .bytes = toy_bytes,
                           .submit = toy_submit, .wait = toy_wait, .evidence = toy_evidence, .clock = toy_clock,
                           .close = toy_close};
    return TS_OK;
}

static const ts_device_option toy_options[] = {
    {.name = "no-q4_0", .slot = TOY_NO_Q4_0, .is = 1},
    {.name = "alone", .slot = TOY_ALONE, .is = 1},
    {.name = "fail", .slot = TOY_FAIL, .most = 1000000},
    {.name = "lie", .slot = TOY_LIE, .most = 1000000},
    {0},
};
static const ts_device ts_device_toy = {.name = "toy", .option = toy_options, .open = toy_open};

#endif
