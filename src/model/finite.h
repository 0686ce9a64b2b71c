/* finite.h - are all numbers of a tensor numbers? Depends on: source/source.h, base/pool.h. */
#ifndef TS_MODEL_FINITE_H
#define TS_MODEL_FINITE_H

#include "base/pool.h"
#include "source/source.h"

/* Read all of `t`. TS_E_FORMAT naming the tensor, the element and its byte in the file where something is infinite
 * or not a number: an element, or a scale or minimum of a quantised block. `release`: let the file's pages go behind
 * us. */
TS_NODISCARD ts_status ts_tensor_check_finite(const ts_source *src, const ts_tensor *t, ts_pool *pool, bool release,
                                              ts_err *err);
/* The message for element `i` (counted through all rows) of `t`. */
ts_status ts_fail_not_finite(const ts_source *src, const ts_tensor *t, size_t i, ts_err *err);

/* Is some |x[i]| larger than `limit` (finite, not negative), or not a number? */
bool ts_beyond(const float *x, size_t n, float limit);

#endif
