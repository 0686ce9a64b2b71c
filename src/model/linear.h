/* linear.h - a linear layer's weights and how to run one or several on the same input. */
#ifndef TS_MODEL_LINEAR_H
#define TS_MODEL_LINEAR_H

#include "base/pool.h"
#include "kern/kern.h"
#include "source/source.h"

/* y = W x (+ bias), W [n_out, n_in]. Quantised types are packed (q.data set by ts_linear_pack); float types stay in the
 * file's mapping, or are copied where the source makes them. */
typedef struct ts_linear {
    const char *name;  /* of the tensor, borrowed from the source */
    ts_dtype type;
    uint32_t n_in, n_out;
    ts_qmat q;         /* quantised types */
    const ts_source *src; /* borrowed */
    const ts_tensor *tensor;
    const void *raw;   /* the file's rows; NULL: they are made, and once packed, those of a float type */
    const uint32_t *order; /* [n_in] column i belongs to input order[i]; NULL: to input i. Of quantised types alone */
    size_t row_bytes;
    const float *bias; /* [n_out], NULL: none */
    uint32_t cpu_row0, cpu_rows; /* the rows that the CPU has (`q`), all at first; a device has the others */
    void *home;        /* the engine's: which device has which rows; NULL: the CPU has all */
} ts_linear;

/* Describe tensor `t` as a layer. Errors: TS_E_UNSUPP for a type that no kernel takes; TS_E_FORMAT where the row is
 * not a whole number of blocks. */
TS_NODISCARD ts_status ts_linear_init(ts_linear *l, const ts_source *src, const ts_tensor *t, ts_err *err);
/* The CPU shall have only rows [row0, row0 + n_rows), row0 a multiple of TS_GROUP_ROWS: to be said before packing. */
void ts_linear_keep(ts_linear *l, uint32_t row0, uint32_t n_rows);
/* Rows that the CPU has as a layer of their own; they begin at a multiple of TS_GROUP_ROWS. */
ts_linear ts_linear_part(const ts_linear *l, uint32_t row0, uint32_t n_rows);
/* Bytes that one token reads of the whole layer. */
size_t ts_linear_token_bytes(const ts_linear *l);
/* Bytes of packed weights of the rows that the CPU has; 0 for float types that stay where they are. */
size_t ts_linear_packed_bytes(const ts_linear *l);
/* Pack them into `dst` (64-byte aligned, ts_linear_packed_bytes), or copy them; as ts_linear_each_rows. */
TS_NODISCARD ts_status ts_linear_pack(ts_linear *l, void *dst, ts_pool *pool, ts_err *err);

/* Takes rows [row0, row0 + n) of a matrix into some packed form: row0 is a multiple of TS_GROUP_ROWS. Any thread, any
 * order. */
typedef void ts_take_rows(void *ud, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n);
/* Hand over rows [row0, row0 + n_rows) of a quantised layer, counted from there, with the pool's threads; each is
 * checked, and the file's pages are let go on the way. TS_E_FORMAT: a scale is Inf or NaN. */
TS_NODISCARD ts_status ts_linear_each_rows(const ts_linear *l, uint32_t row0, uint32_t n_rows, ts_take_rows *take,
                                           void *ud, ts_pool *pool, ts_err *err);

/* What a forward pass computes with. */
typedef struct ts_exec {
    ts_pool *pool;
    const ts_kern *kern;
    const struct ts_linear_runner *runner; /* NULL: linear layers run on the CPU */
    const struct ts_listener *listener;    /* the first of them; NULL: nobody listens, which costs nothing */
} ts_exec;

/* Somebody who runs linear layers in another way: the engine, where there are devices. */
typedef struct ts_linear_runner {
    void *ud;
    /* In place of ts_linear_run_cpu, with the same arguments; may use it, and tells what has run where. */
    ts_status (*run)(void *ud, const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                     const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err);
} ts_linear_runner;

/* Rows of layers with the same input have run in one place. */
typedef struct ts_linear_ran {
    const ts_exec *ex;
    const char *device; /* "cpu", ... */
    const ts_linear *const *layer;
    const uint32_t *row0, *n_rows; /* of each layer */
    int n;
    const ts_qact *act;
    uint32_t n_tok;
    float *const *y; /* the results of all of a layer's rows: y[i][t * ld[i] + row], those that ran are there */
    const size_t *ld;
    uint64_t ns;                       /* on the CPU */
    const struct ts_linear_cost *cost; /* on a device; NULL: the CPU */
    ts_evidence evidence;
    bool failed; /* the device has: there are no results, and an error is on its way */
} ts_linear_ran;

/* Somebody who is told what a pass does. Each call may be NULL; an error ends the pass. */
typedef struct ts_listener {
    struct ts_listener *next;
    void *ud;
    /* Linear layers are about to run on n_tok rows of x, once for each time whatever devices they are on. */
    ts_status (*input)(void *ud, const ts_linear *const *layer, int n, const float *x, size_t ld_x, uint32_t n_tok,
                       ts_err *err);
    ts_status (*ran)(void *ud, const ts_linear_ran *r, ts_err *err);
    /* A step that is no linear layer (a static string) has taken so long for n_tok tokens. */
    void (*step)(void *ud, const char *name, uint32_t n_tok, uint64_t ns);
} ts_listener;
/* Tell all of them. */
TS_NODISCARD ts_status ts_tell_ran(const ts_linear_ran *r, ts_err *err);
void ts_tell_step(const ts_exec *ex, const char *name, uint32_t n_tok, uint64_t ns);

/* Which quantised forms of its input a layer reads. */
static inline bool ts_linear_wants32(const ts_linear *l) { return ts_act_block(l->type) == 32; }
static inline bool ts_linear_wants256(const ts_linear *l) { return ts_act_block(l->type) == 256; }
static inline bool ts_linear_wants_wide(const ts_linear *l) { return ts_act_wide(l->type); }

/* y[i][t * ld[i] + r] = (layer i of x)[r] for n layers with the same input of n_tok tokens: x f32 [n_tok, ld_x] for
 * float layers, its quantised form in `act` for the others. One parallel region. */
void ts_linear_run_cpu(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                       const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld);
/* The same, with the listeners told: rows [row0[i], row0[i] + n_rows[i]) of the layers, which the CPU has, at
 * y[i][t * ld[i] + row]. */
TS_NODISCARD ts_status ts_linear_run_rows(const ts_exec *ex, const ts_linear *const *layer, const uint32_t *row0,
                                          const uint32_t *n_rows, int n, const float *x, size_t ld_x,
                                          const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld,
                                          ts_err *err);
/* All of the layers, by the runner where there is one. Errors: those of a device, or of a listener. */
TS_NODISCARD ts_status ts_linear_run(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x,
                                     size_t ld_x, const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld,
                                     ts_err *err);

#endif
