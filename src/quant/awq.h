/* awq.h - input columns that matter are made larger before rounding and what gives them smaller, which changes nothing
 * in real numbers; how much is searched for (Lin et al. 2023, arXiv 2306.00978). */
#ifndef TS_QUANT_AWQ_H
#define TS_QUANT_AWQ_H

#include "quant/calib.h"
#include "quant/watch.h"

/* Scale the layer `l`, whose matrices are to become these types (types of floats: those stay as they are), by the
 * states before it; nothing is rounded yet. Errors: TS_E_FORMAT: activations that are not finite; TS_E_NOMEM;
 * TS_E_CANCELLED by `watch` (nullable), asked some twenty times for each group of matrices. */
TS_NODISCARD ts_status ts_awq_layer(const ts_calib *c, ts_calib_layer *l, const ts_dtype type[TS_LAYER_MATS],
                                    ts_watch *watch, ts_err *err);
/* What that costs, in units of the watch. */
uint64_t ts_awq_cost(const ts_calib *c, const ts_dtype type[TS_LAYER_MATS]);

#endif
