/* finite.h - are all numbers of a tensor numbers, and none too small (z in kern/fmath.h)? */
#ifndef TS_MODEL_FINITE_H
#define TS_MODEL_FINITE_H

#include "base/pool.h"
#include "source/source.h"

/* Read all of `t`. TS_E_FORMAT naming the tensor, the element and its byte in the file where something is infinite
 * or not a number: an element, or a scale or minimum of a quantised block. `release`: let the file's pages go behind
 * us. *small (nullable): ts_any_small of it. */
TS_NODISCARD ts_status ts_tensor_check_finite(const ts_source *src, const ts_tensor *t, ts_pool *pool, bool release,
                                              bool *small, ts_err *err);
/* The message for element `i` (counted through all rows) of `t`. */
ts_status ts_fail_not_finite(const ts_source *src, const ts_tensor *t, size_t i, ts_err *err);

/* Is one of n elements between 0 and 2^-40 in size? Of other types than F32 and BF16: false, an F16 cannot be. */
bool ts_any_small(ts_dtype type, const void *data, size_t n);
/* Put +0 in its place. */
void ts_clear_small(ts_dtype type, void *data, size_t n);

/* Is some |x[i]| larger than `limit` (finite, not negative), or not a number? */
bool ts_beyond(const float *x, size_t n, float limit);

#endif
