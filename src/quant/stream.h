/* stream.h - write a quantised model, tensor by tensor.
 *
 * What is written goes to DST.partial; DST.state says how many tensors of it are whole, which source and which options
 * they are of. Whoever runs the same again goes on behind them: after Ctrl-C, a power cut, or a full disk. The bytes do
 * not depend on that, on the number of threads or on the processor.
 *
 * With calibration the layers come last, one after the other (method.h), each to its place; DST.state has the hidden
 * states behind the last one that is whole. */
#ifndef TS_QUANT_STREAM_H
#define TS_QUANT_STREAM_H

#include "base/cpu.h"
#include "quant/plan.h"
#include "tessera/tessera.h"

typedef struct ts_quant_run_opts {
    const ts_token *token; /* of the calibration, n_token of them, chunks of TS_CALIB_CHUNK; NULL: none, so no method */
    size_t n_token;
    int threads;              /* 0: all processors */
    ts_cpu_level level;       /* of the kernels */
    ts_progress_fn *progress; /* in units of about the same time; false stops. NULL: nobody */
    void *progress_ud;
} ts_quant_run_opts;

typedef struct ts_quant_done {
    size_t n_kept;     /* tensors that an earlier run had finished; with calibration those of whole layers */
    bool began_anew;   /* there was a DST.partial of something else */
    bool kept_partial; /* after a failure: what is done stays, and running the same again goes on */
} ts_quant_done;

/* Fills in the items' error and norm. Source pages are let go behind. Errors: TS_E_INVAL where `path` is the source,
 * TS_E_FORMAT for elements that are not finite, TS_E_IO, TS_E_NOMEM, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_quant_run(ts_quant_plan *p, const ts_quant_in *in, const char *path,
                                    const ts_quant_run_opts *o, ts_quant_done *done, ts_err *err);

#endif
