/* method.h - quantise a layer by what calibration texts show of its inputs.
 *
 * AWQ (Lin et al. 2023, arXiv 2306.00978): input columns that matter are made larger before rounding and what gives
 * them smaller, which changes nothing in real numbers; how much is searched for. GPTQ: gptq.h. Both may be had
 * together. */
#ifndef TS_QUANT_METHOD_H
#define TS_QUANT_METHOD_H

#include "quant/calib.h"

typedef enum ts_quant_method { TS_METHOD_PLAIN = 0, TS_METHOD_AWQ = 1, TS_METHOD_GPTQ = 2 } ts_quant_method; /* a set */

/* "plain", "awq", "gptq", "awq+gptq" */
bool ts_quant_method_find(const char *name, unsigned *out);
const char *ts_quant_method_name(unsigned method);

typedef struct ts_quant_layer {
    ts_dtype type[TS_LAYER_MATS];                     /* float types: the matrix stays as it is */
    void *blocks[TS_LAYER_MATS];                      /* [out] rows of the type, for quantised ones; the caller's */
    double error[TS_LAYER_MATS], norm[TS_LAYER_MATS]; /* sums of squares of the difference, and of the elements */
} ts_quant_layer;

/* Quantise the layer whose weights `l` are: they become what the blocks are worth, norms and biases what AWQ makes of
 * them, and the states move on behind the layer. Errors: TS_E_FORMAT: activations that are not finite; TS_E_NOMEM;
 * TS_E_CANCELLED where `stop` (nullable) says so, asked between matrices and, by AWQ, between groups of them. */
TS_NODISCARD ts_status ts_quant_layer_run(ts_calib *c, ts_calib_layer *l, ts_quant_layer *q, unsigned method,
                                          bool (*stop)(void *ud), void *ud, ts_err *err);

#endif
