/* gemv_dev.h - linear layers on an NPU, real or simulated: open it, load weights, run.
 *
 * A *device* has the one configuration of gemv_array.h loaded. An *op* is up to four matrices with the same input:
 * they run in one command. A command takes up to four tokens; more are cut. Results are those of TS_GEMM_Q
 * (kern/kern.h) bit for bit. Prefetch: while the host turns the sums of one op into the input of the next, the array
 * already takes in the next op's first weights, as much as its memtiles hold (docs/npu/gemv.md). Guard: each core
 * proves with each command which command it was, that it is the next one since the configuration was loaded, and
 * that every weight buffer was the one that was due. Results whose proofs are not right are never handed out. One
 * thread at a time; a pool helps with the host's part. */
#ifndef TS_NPU_GEMV_DEV_H
#define TS_NPU_GEMV_DEV_H

#include "base/pool.h"
#include "npu/pack.h"
#include "xdna/dev.h"
#include "xdna/meter.h"

typedef struct ts_gemv_dev ts_gemv_dev;
typedef struct ts_gemv_op ts_gemv_op;

/* May the array take the first weights of the next op while the host still works on its input? Results are the same.
 * AUTO: with a meter, that is on a simulated NPU, only: no chip has shown yet that it works. It ends for good after a
 * command that failed, or when another program's context is on the same columns. */
typedef enum ts_prefetch { TS_PREFETCH_AUTO, TS_PREFETCH_ON, TS_PREFETCH_OFF } ts_prefetch;

enum { TS_GEMV_MATS = 4, TS_GEMV_PACKETS = 14 /* of a command: what memtile and cores hold before any weights come */ };

typedef struct ts_gemv_dev_options { /* zero-initialise */
    const ts_npu_io *io;       /* nullable: the NPU of this machine; else this node, borrowed, */
    const char *path;          /* its path, where it wants one, */
    ts_evidence evidence;      /* what its figures are, */
    const ts_npu_meter *meter; /* and what tells its cycles: nullable, borrowed; times are then those of its array */
    ts_prefetch prefetch;
    bool keep_prefetch;     /* for tests: it does not */
    ts_npu_stop stop;       /* while there is no room for a context, or a command does not end */
    uint64_t timeout_ns;    /* for a command to end; 0: TS_NPU_TIMEOUT_NS (xdna/cmd.h) */
} ts_gemv_dev_options;

/* Find the NPU, open it, load the configuration. Errors: TS_E_DEVICE and TS_E_UNSUPP with one line of advice,
 * TS_E_NOMEM. */
TS_NODISCARD ts_status ts_gemv_dev_open(ts_gemv_dev **out, const ts_gemv_dev_options *o, ts_err *err);
/* NULL-safe; all its ops must be gone. */
void ts_gemv_dev_close(ts_gemv_dev *d);
/* What its times are. */
ts_evidence ts_gemv_dev_evidence(const ts_gemv_dev *d);
/* Are weights taken ahead of time, as things stand? */
bool ts_gemv_dev_prefetch(const ts_gemv_dev *d);
/* The array's clock while its commands ran: the simulation's, or what the driver has said meanwhile. */
ts_npu_clock ts_gemv_dev_clock(const ts_gemv_dev *d);
/* Bytes a microsecond that all DMA channels together read or write at such a clock, 0: not known, 1 GHz. The limit
 * is one of cycles: about 27.5 bytes in each, 27 GB/s near 1 GHz and 47.6 at 1.8 [silicon, others]; writes are taken
 * to be as fast [guess]. */
double ts_gemv_dma_bytes_per_us(uint32_t mhz);

/* ---- ops --------------------------------------------------------------------------------------------------------- */

typedef struct ts_gemv_shape {
    ts_dtype type;
    uint64_t n_rows, K;
} ts_gemv_shape;

/* Can the array take such matrices as one op? NULL if so, else why not, for a person. */
const char *ts_gemv_refusal(const ts_gemv_shape *shape, int n);

/* An op with room for its weights. Errors: TS_E_UNSUPP (ts_gemv_refusal), TS_E_NOMEM, TS_E_DEVICE. */
TS_NODISCARD ts_status ts_gemv_op_new(ts_gemv_op **out, ts_gemv_dev *d, const ts_gemv_shape *shape, int n, ts_err *err);
void ts_gemv_op_free(ts_gemv_op *op); /* NULL-safe */
const ts_gemv_mat *ts_gemv_op_mat(const ts_gemv_op *op, int m);
const ts_gemv_dev *ts_gemv_op_dev(const ts_gemv_op *op);

/* Pack row group g (8 rows, ts_gemv_mat.n_group of them) of matrix m from the file's rows. Any thread, any order;
 * then once ts_gemv_op_packed. */
void ts_gemv_op_pack(ts_gemv_op *op, int m, const void *rows, size_t row_bytes, uint32_t g);
/* The same where `rows` are the group's own eight. */
void ts_gemv_op_pack_rows(ts_gemv_op *op, int m, const void *rows, size_t row_bytes, uint32_t g);
void ts_gemv_op_packed(ts_gemv_op *op);
/* Memory that the op takes: streams and scales. */
size_t ts_gemv_op_bytes(const ts_gemv_op *op);

/* What runs cost; added up by the caller. Bytes are those that cross between host memory and array, padding
 * included. */
typedef struct ts_gemv_cost {
    uint64_t commands, tokens;
    uint64_t macs;
    uint64_t weight_bytes, act_bytes, sum_bytes;
    uint64_t unit_bytes;   /* of weight_bytes: without padding */
    uint64_t device_ns;    /* measured: from submission until the end was seen; with a meter: its cycles in time */
    uint64_t cycles;       /* with a meter only */
    uint64_t launch_cycles; /* of them before the first operation */
    uint64_t host_ns;      /* measured: preparing packets, combining */
    uint64_t proofs;       /* of cores, looked at; those that were wrong, whose commands were done again; */
    uint64_t wrong_proofs;
    uint64_t anew;         /* commands that found the array configured anew since the one before, with nothing lost */
} ts_gemv_cost;
void ts_gemv_cost_add(ts_gemv_cost *sum, const ts_gemv_cost *c);

/* y[m][t * ld[m] + row] = (matrix m of x)[row] for n_tok tokens. `x`: quantised with all of them, in blocks of 32
 * and 256 as the matrices want. `next`: the op that will be run after this one, nullable; a guess that turns out
 * wrong costs time only. `kern`: the kernels for the host's part, kern->combine.
 * *cost is added to (nullable). A command that fails, or whose proofs are wrong, is tried once more in a new context.
 * Errors: TS_E_DEVICE, TS_E_CANCELLED (options.stop); the device may be used again (it recovers, or fails again). */
TS_NODISCARD ts_status ts_gemv_op_run(ts_gemv_op *op, const ts_qact *x, uint32_t n_tok, float *const *y,
                                      const size_t *ld, const ts_gemv_op *next, const ts_kern *kern,
                                      ts_pool *pool, ts_gemv_cost *cost, ts_err *err);
/* The same in two halves, between which the host is free: the first command is under way after the first; the second
 * waits for it, does those of further tokens, and combines. `x` and `next` must last until then. One op of a device is
 * under way at a time (else TS_E_INVAL). After an error of either none is. */
TS_NODISCARD ts_status ts_gemv_op_submit(ts_gemv_op *op, const ts_qact *x, uint32_t n_tok, const ts_gemv_op *next,
                                         ts_err *err);
TS_NODISCARD ts_status ts_gemv_op_wait(ts_gemv_op *op, float *const *y, const size_t *ld, const ts_kern *kern,
                                       ts_pool *pool, ts_gemv_cost *cost, ts_err *err);
/* Forget what `next` promised: the array is empty afterwards. Also for before a long pause, in which a driver may
 * put the chip to sleep. No op may be under way. */
TS_NODISCARD ts_status ts_gemv_dev_drain(ts_gemv_dev *d, ts_err *err);

#endif
