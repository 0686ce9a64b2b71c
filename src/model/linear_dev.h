/* linear_dev.h - what a device that runs linear layers can do: the table that each one fills.
 *
 * An *op* is up to TS_LINEAR_MATS matrices with the same input, which the device runs together. Its results are those
 * of TS_GEMM_Q (kern/kern.h) bit for bit, without a bias; so any rows of a layer may be on any device, and the host's
 * own beside them. Between submit and wait the host is free. One op of a device is under way at a time; one thread at a
 * time, but for `pack`. */
#ifndef TS_MODEL_LINEAR_DEV_H
#define TS_MODEL_LINEAR_DEV_H

#include "base/err.h"
#include "base/pool.h"
#include "format/dtype.h"
#include "kern/kern.h"

enum { TS_LINEAR_MATS = 4 };

typedef struct ts_linear_shape {
    ts_dtype type;
    uint32_t n_rows, n_in;
} ts_linear_shape;

/* What runs cost; added up by the caller. Bytes are those that cross between host memory and device. */
typedef struct ts_linear_cost {
    uint64_t commands, tokens, macs;
    uint64_t weight_bytes, padding_bytes, act_bytes, sum_bytes; /* weights without padding, padding, in, out */
    uint64_t cycles;    /* 0: not known */
    uint64_t device_ns; /* from submission until the end was seen; where cycles are known, those */
    uint64_t host_ns;   /* preparing and combining, measured */
    uint64_t bound_ns;  /* what the bytes take at the device's limit */
    uint64_t proofs, wrong_proofs, anew; /* looked at; wrong, so work was repeated; device was reset */
} ts_linear_cost;

typedef struct ts_dev_clock {
    uint32_t mhz, least, most; /* while commands ran: the last time, at the extremes; 0: not known */
} ts_dev_clock;

typedef struct ts_linear_dev {
    const char *name;
    void *ud; /* the device's own */
    /* Why it cannot take such matrices as one op, for a person; NULL: it can. */
    const char *(*refuse)(void *ud, const ts_linear_shape *shape, int n);
    /* An op with room for its weights. Errors: TS_E_UNSUPP (refuse), TS_E_NOMEM, TS_E_DEVICE. */
    ts_status (*op_new)(void *ud, void **op, const ts_linear_shape *shape, int n, ts_err *err);
    void (*op_free)(void *op); /* NULL-safe; one that is under way is ended */
    /* Take rows [row0, row0 + n) of matrix m: `rows` are those, as a file has them. row0 is a multiple of
     * TS_GROUP_ROWS, n too but at the end. Any thread, any order; then, once, `packed`. */
    void (*pack)(void *op, int m, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n);
    void (*packed)(void *op);
    size_t (*bytes)(const void *op); /* of memory */
    /* Begin y = W x for n_tok tokens, with which `x` was quantised. `next`: the op that will probably be run after this
     * one, nullable. x and next must last until `wait`. Errors: TS_E_DEVICE, TS_E_CANCELLED, TS_E_NOMEM: nothing is
     * under way then. */
    ts_status (*submit)(void *op, const ts_qact *x, uint32_t n_tok, const void *next, ts_err *err);
    /* The results: y[m][t * ld[m] + row]; `kern` and `pool` are for the host's part. *cost is added to, also after an
     * error. Errors as above; the device may be used again. */
    ts_status (*wait)(void *op, float *const *y, const size_t *ld, const ts_kern *kern, ts_pool *pool,
                      ts_linear_cost *cost, ts_err *err);
    ts_evidence (*evidence)(const void *ud); /* what its times are */
    ts_dev_clock (*clock)(const void *ud);
    void (*close)(void *ud); /* all ops must be gone */
} ts_linear_dev;

#endif
