/* gptq.h - quantising a matrix column by column, what each column loses made up for by those behind it (Frantar et al.
 * 2022, arXiv 2210.17323).
 *
 * H = E[x x'] of the inputs, damped; U upper triangular with U' U = inverse of H. A column's error divided by U_ii,
 * times row i of U, is taken off the columns that are still to come. U is found without inverting H: where R is upper
 * triangular with R R' = H, U is its inverse; R comes from a Cholesky factor of H with its rows and columns in reverse
 * order, which is how it is kept here. All of it is the same on any number of threads and at any level. */
#ifndef TS_QUANT_GPTQ_H
#define TS_QUANT_GPTQ_H

#include "base/pool.h"
#include "format/quant.h"
#include "kern/kern.h"
#include "quant/watch.h"

typedef struct ts_gptq {
    uint32_t n_in;
    uint64_t n_tok;  /* that were added */
    float *h;        /* [n_in][n_in] sum of x x', inputs in reverse order; once factored the mean, damped */
    float *u;        /* [n_in][n_in] row j, from j on: column j of the inverse factor, in reverse order */
    float *square;   /* [n_in] E[x^2], inputs as they are: of what was added so far */
    ts_watch *watch; /* the caller's, nullable: told of factoring and of rows */
} ts_gptq;

/* Without `products` the squares alone are summed, for searches that want no more. */
TS_NODISCARD ts_status ts_gptq_init(ts_gptq *g, uint32_t n_in, bool products, ts_err *err);
void ts_gptq_fini(ts_gptq *g);
/* Add n rows of inputs, x f32 [n, n_in]. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status ts_gptq_add(ts_gptq *g, const float *x, uint32_t n, const ts_kern *kern, ts_pool *pool,
                                   ts_err *err);
/* Factor what was added, with the mean of the diagonal times `damp` (0.01) added to it; ten times more where that is
 * not enough. Errors: TS_E_FORMAT: the sums are not finite; TS_E_NOMEM, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_gptq_factor(ts_gptq *g, float damp, const ts_kern *kern, ts_pool *pool, ts_err *err);

/* How a group of a type's elements is fixed before its columns are rounded one by one: see grid.h. Rows [n_out] of w,
 * f32 [n_out, n_in], become blocks of the type (row r at blocks + r * row_bytes), and w what they are worth. Errors:
 * TS_E_NOMEM, TS_E_CANCELLED; TS_E_UNSUPP for a type that has no grid. */
TS_NODISCARD ts_status ts_gptq_rows(const ts_gptq *g, ts_dtype type, float *w, uint32_t n_out, void *blocks,
                                    const ts_kern *kern, ts_pool *pool, ts_err *err);

/* What factoring costs, and a row, in units of the watch. */
uint64_t ts_gptq_factor_cost(uint32_t n_in);
uint64_t ts_gptq_row_cost(uint32_t n_in);

#endif
