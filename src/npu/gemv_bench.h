/* gemv_bench.h - linear layers of true size on the NPU, one token, checked: what a token of a model would cost. */
#ifndef TS_NPU_GEMV_BENCH_H
#define TS_NPU_GEMV_BENCH_H

#include "kern/kern.h"
#include "npu/gemv_dev.h"

typedef struct ts_gemv_bench_op {
    ts_gemv_shape shape[TS_GEMV_MATS];
    int n;
} ts_gemv_bench_op;

/* Run the ops one after the other, in each the weights of the next one prefetched as in a model; cost[i] is what op
 * i cost. Weights are random: five patterns of eight rows take turns, so that every result can be compared with the
 * reference kernel.
 * Errors: TS_E_DEVICE, also where a result is not the kernel's; TS_E_CANCELLED; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_gemv_bench(ts_gemv_dev *d, const ts_gemv_bench_op *op, int n, const ts_kern *kern,
                                     ts_pool *pool, ts_progress_fn *step, void *step_ud, ts_gemv_cost *cost,
                                     ts_err *err);

#endif
