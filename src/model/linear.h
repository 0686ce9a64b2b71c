/* linear.h - a linear layer's weights and how to run one or several on the same input. Depends on: kern/kern.h,
 * pool. */
#ifndef TS_MODEL_LINEAR_H
#define TS_MODEL_LINEAR_H

#include "base/pool.h"
#include "format/gguf.h"
#include "kern/kern.h"

/* y = W x (+ bias), W [n_out, n_in]. Quantised types are packed (q.data set by ts_linear_pack); float types stay in the
 * file's mapping. */
typedef struct ts_linear {
    const char *name;  /* of the tensor, borrowed from the file */
    ts_dtype type;
    uint32_t n_in, n_out;
    ts_qmat q;         /* quantised types */
    const ts_gguf *file; /* borrowed */
    const ts_tensor *tensor;
    const void *raw;   /* the file's rows */
    size_t row_bytes;
    const float *bias; /* [n_out], NULL: none */
    bool elsewhere;    /* the engine runs it on a device: not packed for the CPU */
    void *device_op;   /* the engine's, with the matrix' number in it; NULL: on the CPU */
    int device_mat;
} ts_linear;

/* Describe tensor `t` as a layer. Errors: TS_E_UNSUPP for a type that no kernel takes; TS_E_FORMAT where the row is
 * not a whole number of blocks. */
TS_NODISCARD ts_status ts_linear_init(ts_linear *l, const ts_gguf *file, const ts_tensor *t, ts_err *err);
/* Bytes of packed weights; 0 for float types. */
size_t ts_linear_packed_bytes(const ts_linear *l);
/* Pack into `dst` (64-byte aligned, ts_linear_packed_bytes) using the pool; the file's pages are let go on the way.
 * TS_E_FORMAT: a scale is Inf or NaN. */
TS_NODISCARD ts_status ts_linear_pack(ts_linear *l, void *dst, ts_pool *pool, ts_err *err);

/* What a forward pass computes with. */
typedef struct ts_exec {
    ts_pool *pool;
    const ts_kern *kern;
    const struct ts_exec_hook *hook; /* NULL: everything on the CPU, no account of it */
} ts_exec;

/* Somebody who runs linear layers in another way, and is told what the rest costs: the engine, for a device or a
 * ledger. */
typedef struct ts_exec_hook {
    void *ud;
    /* In place of ts_linear_run_cpu, with the same arguments; may use it. */
    ts_status (*linear)(void *ud, const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                        const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err);
    /* A step that is no linear layer (a static string) has taken so long for n_tok tokens. */
    void (*step)(void *ud, const char *name, uint32_t n_tok, uint64_t ns);
} ts_exec_hook;

/* Which quantised forms of its input a layer reads. */
static inline bool ts_linear_wants32(const ts_linear *l) { return ts_act_block(l->type) == 32; }
static inline bool ts_linear_wants256(const ts_linear *l) { return ts_act_block(l->type) == 256; }

/* y[i][t * ld[i] + r] = (layer i of x)[r] for n layers with the same input of n_tok tokens: x f32 [n_tok, ld_x] for
 * float layers, its quantised form in `act` for the others. One parallel region. */
void ts_linear_run_cpu(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                       const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld);
/* The same by the hook where there is one. Errors: those of a device. */
TS_NODISCARD ts_status ts_linear_run(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x,
                                     size_t ld_x, const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld,
                                     ts_err *err);

#endif
