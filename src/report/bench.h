/* bench.h - how fast a model runs: prefill and decode in the manner of llama-bench, beside the machine's own limits. */
#ifndef TS_REPORT_BENCH_H
#define TS_REPORT_BENCH_H

#include "tessera/tessera.h"

/* The limits, measured in the same run. */
typedef struct ts_bench_limits {
    /* memory read by all threads, 1e9 bytes/s: each thread reads one stream, or four that are far apart */
    double read_gbps, read4_gbps;
    /* multiplications and additions of all threads, 1e9/s (two per multiply-accumulate), with weights of 8 bits, and of
     * at most 6, where the level is faster with those */
    double int8_gops, narrow_gops;
} ts_bench_limits;

enum { TS_BENCH_MAX_REPS = 1000 };

/* One line of the table: `n` tokens processed at once (prefill) or one by one (decode), after `depth` tokens that
 * are not timed. In `parallel` sessions (0: one) that go on together, token by token of each. */
typedef struct ts_bench_test {
    bool decode;
    uint32_t n, depth, parallel;
} ts_bench_test;

typedef struct ts_bench_result {
    int n_reps;
    double rate, sd;           /* tokens/s of all sessions: median and standard deviation over the repetitions */
    double min, max;
    double gbps;               /* decode: weight and KV bytes read per second at the median */
    double gops;               /* int8 (or float) operations of the linear layers per second at the median */
    double narrow;             /* which part of them (0 to 1) has weights of at most 6 bits */
} ts_bench_result;

/* Measure the limits with the engine's threads and kernels: about a second. */
TS_NODISCARD ts_status ts_bench_measure_limits(ts_engine *e, ts_bench_limits *out, ts_err *err);

/* What shares refer to: the better of both readings; the operations per second of a test at its mix of weights. */
double ts_bench_read_limit(const ts_bench_limits *l);
double ts_bench_gops_limit(const ts_bench_limits *l, const ts_bench_result *r);

/* Run a test `n_reps` times after a warm-up. `step` (nullable) is told the tokens done, often; false stops
 * (TS_E_CANCELLED). It takes the place of the progress in *opts. */
TS_NODISCARD ts_status ts_bench_run(ts_engine *e, const ts_session_opts *opts, const ts_bench_test *test, int n_reps,
                                    ts_progress_fn *step, void *step_ud, ts_bench_result *out, ts_err *err);

#endif
