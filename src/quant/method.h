/* method.h - quantise a layer by what calibration texts show of its inputs: AWQ (awq.h), GPTQ (gptq.h), or both. */
#ifndef TS_QUANT_METHOD_H
#define TS_QUANT_METHOD_H

#include "quant/calib.h"
#include "quant/watch.h"

typedef enum ts_quant_method { TS_METHOD_PLAIN = 0, TS_METHOD_AWQ = 1, TS_METHOD_GPTQ = 2 } ts_quant_method; /* a set */

/* "plain", "awq", "gptq", "awq+gptq" */
bool ts_quant_method_find(const char *name, unsigned *out);
const char *ts_quant_method_name(unsigned method);

typedef struct ts_quant_layer {
    ts_dtype type[TS_LAYER_MATS]; /* float types: the matrix stays as it is */
    uint64_t lost[TS_LAYER_MATS]; /* the first element that the type cannot hold; UINT64_MAX: none */
    void *blocks[TS_LAYER_MATS];  /* [out] rows of the type, for quantised ones; the caller's */
    double error[TS_LAYER_MATS], norm[TS_LAYER_MATS]; /* sums of squares of the difference, and of the elements */
} ts_quant_layer;

/* Quantise the layer whose weights `l` are: they become what the blocks are worth, norms and biases what AWQ makes of
 * them, and the states move on behind the layer. Errors: TS_E_FORMAT: activations that are not finite; TS_E_NOMEM;
 * TS_E_CANCELLED by `watch` (nullable), asked every few seconds of an 8B model's layer. */
TS_NODISCARD ts_status ts_quant_layer_run(ts_calib *c, ts_calib_layer *l, ts_quant_layer *q, unsigned method,
                                          ts_watch *watch, ts_err *err);
/* What that costs, in units of the watch. */
uint64_t ts_quant_layer_cost(const ts_calib *c, const ts_dtype type[TS_LAYER_MATS], unsigned method);

#endif
