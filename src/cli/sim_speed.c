#include "cli/sim_speed.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "cli/term.h"
#include "device/dev_npu.h"
#include "npu/gemv_bench.h"

#include <stdio.h>
#include <string.h>

enum { NARROWEST = 256, WIDEST = 1024 };

ts_status cli_sim_rate(uint64_t width, const ts_kern *kern, ts_pool *pool, double *rate, ts_err *err) {
    const uint64_t K = (width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width) / NARROWEST * NARROWEST;
    /* layers with the same input run together: three of a small one are a fair op */
    const ts_gemv_bench_op op = {.shape = {{.type = TS_Q8_0, .n_rows = K < WIDEST ? 3 * K : K, .K = K}}, .n = 1};
    ts_gemv_cost cost;
    ts_npu npu;
    TS_TRY(ts_npu_open(&npu, &(ts_npu_options){.simulated = true}, err));
    /* the first run configures the array, which is done once and is no part of a token */
    ts_status s = ts_gemv_bench(npu.gemv, &op, 1, kern, pool, NULL, NULL, &cost, err);
    const uint64_t begin = ts_now_ns();
    if (s == TS_OK) s = ts_gemv_bench(npu.gemv, &op, 1, kern, pool, NULL, NULL, &cost, err);
    const uint64_t ns = ts_now_ns() - begin;
    ts_npu_close(&npu);
    if (s == TS_OK) *rate = (double)cost.macs * 1e9 / (double)(ns ? ns : 1);
    return s;
}

/* With threads and kernels like the engine's. */
static ts_status measure(const ts_model_info *info, double *rate, ts_err *err) {
    ts_cpu_level level;
    ts_kern kern;
    ts_pool *pool;
    TS_TRY(ts_cpu_choose(&level, info->cpu_level, err));
    ts_kern_init(&kern, level);
    TS_TRY(ts_pool_new(&pool, info->n_threads, err));
    ts_status s = cli_sim_rate(info->d_model, &kern, pool, rate, err);
    ts_pool_free(pool);
    return s;
}

void cli_sim_notice(const ts_engine *e) {
    char text[300];
    double rate;
    ts_err err;
    ts_model_info info;
    ts_engine_info(e, &info);
    if (strcmp(info.device, "npu-sim") != 0) return;
    const double token = (double)(info.layer_macs + info.head_macs);
    if (measure(&info, &rate, &err) == TS_OK && rate > 0)
        snprintf(text, sizeof text,
                 "npu-sim simulates the NPU cycle by cycle: about %.1f s a token here (derived: %.1f million "
                 "multiply-accumulates at %.1f "
                 "million a second, measured on one layer). It is not an NPU's speed.",
                 token / rate, token * 1e-6, rate * 1e-6);
    else
        snprintf(text, sizeof text,
                 "npu-sim simulates the NPU cycle by cycle, which is slow. It is not an NPU's speed.");
    cli_term_print(stderr, text, true);
}
