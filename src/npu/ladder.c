#include "npu/ladder_int.h"

#include "base/clock.h"
#include "npu/gemv_dev.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_WORDS = 256, REPEATS = 64, KEPT_WORDS = 2048, CALL_WORDS = 16 };

/* ---- telling ----------------------------------------------------------------------------------------------------- */

void climb_say(const climb *c, const char *fmt, ...) {
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (c->o->say) c->o->say(c->o->ud, line);
}

void climb_figure(climb *c, const char *name, double value, const char *unit) {
    ts_ladder_result *r = c->result;
    if (r->n_figures == TS_LADDER_FIGURES) return;
    ts_ladder_figure *f = &r->figure[r->n_figures++];
    *f = (ts_ladder_figure){.rung = c->rung, .value = value, .unit = unit};
    snprintf(f->name, sizeof f->name, "%s", name);
}

ts_evidence ts_ladder_evidence(const ts_ladder_options *o) {
    return o->meter ? TS_SIMULATED : o->evidence;
}

const char *climb_source(const climb *c) {
    const ts_evidence e = ts_ladder_evidence(c->o);
    return e == TS_VIRTUAL ? "in a virtual machine" : ts_evidence_name(e);
}

double climb_simulated_us(const climb *c) {
    const ts_npu_meter *m = c->o->meter;
    uint64_t cycles, launch;
    m->last(m->ud, &cycles, &launch);
    return (double)(cycles + m->submit_cycles) / m->mhz;
}

/* ---- from a description to a command that runs ------------------------------------------------------------------- */

void climb_let_go(climb *c) {
    ts_npu_cmd_free(c->cmd);
    ts_npu_ctx_free(c->ctx);
    ts_npu_bo_fini(&c->in);
    ts_npu_bo_fini(&c->out);
    ts_npu_command_free(c->command);
    ts_npu_config_free(c->config);
    c->cmd = NULL, c->ctx = NULL, c->command = NULL, c->config = NULL;
}

ts_status climb_plan(climb *c, ts_design *d, int n_cols, ts_dispatch *p, const uint64_t *bytes, int n_args,
                     ts_err *err) {
    ts_buf pdi = {0};
    ts_status s = ts_design_finish(d, &pdi, NULL, err);
    if (s == TS_OK) s = ts_npu_config_check(&c->config, c->dev->chip, pdi.data, pdi.len, n_cols, NULL, 0, NULL, err);
    if (s == TS_OK) s = ts_npu_command_from(&c->command, c->config, p, bytes, n_args, NULL, err);
    ts_dispatch_free(p);
    ts_buf_free(&pdi);
    ts_design_free(d);
    return s;
}

ts_status climb_up(climb *c, size_t in_bytes, size_t out_bytes, ts_err *err) {
    if (in_bytes) TS_TRY(ts_npu_bo_init(&c->in, c->dev, TS_NPU_SHARED, in_bytes, "the input", err));
    if (out_bytes) TS_TRY(ts_npu_bo_init(&c->out, c->dev, TS_NPU_SHARED, out_bytes, "the output", err));
    TS_TRY(ts_npu_ctx_new(&c->ctx, c->dev, c->config, err));
    return ts_npu_cmd_new(&c->cmd, c->ctx, c->command, err);
}

ts_status climb_command(climb *c, ts_dispatch *p, const uint64_t *bytes, int n_args, ts_err *err) {
    ts_npu_cmd_free(c->cmd);
    ts_npu_command_free(c->command);
    c->cmd = NULL, c->command = NULL;
    ts_status s = ts_npu_command_from(&c->command, c->config, p, bytes, n_args, NULL, err);
    ts_dispatch_free(p);
    return s == TS_OK ? ts_npu_cmd_new(&c->cmd, c->ctx, c->command, err) : s;
}

ts_status climb_run(climb *c, int n_args, double *us, ts_err *err) {
    TS_TRY(climb_submit(c, n_args, err));
    return climb_wait(c, us, err);
}

ts_status climb_submit(climb *c, int n_args, ts_err *err) {
    if (ts_npu_dev_stopped(c->dev)) return ts_fail(err, TS_E_CANCELLED, "stopped");
    return ts_npu_cmd_submit(c->cmd, (ts_npu_arg[]){{.bo = &c->in}, {.bo = &c->out}}, n_args, err);
}

ts_status climb_wait(climb *c, double *us, ts_err *err) {
    TS_TRY(ts_npu_cmd_wait(c->cmd, TS_NPU_TIMEOUT_NS, err));
    *us = (double)(c->cmd->done_ns - c->cmd->submit_ns) / 1000;
    if (c->o->meter) /* the array's time, and the host's as it was measured on a real machine */
        *us = climb_simulated_us(c);
    return TS_OK;
}

/* ---- designs and commands ---------------------------------------------------------------------------------------- */

/* Locks and nothing else, and a stream that does nothing. */
static ts_status plan_quiet(climb *c, ts_err *err) {
    ts_design *d;
    ts_dispatch p;
    TS_TRY(ts_design_new(&d, c->dev->chip, 1, err));
    for (int i = 0; i < 4; i++) ts_design_lock(d, ts_tile_at(0, TS_ROW_MEM), "quiet", i);
    ts_dispatch_init(&p, c->dev->chip, 1);
    ts_txn_nop(&p.txn);
    return climb_plan(c, d, 1, &p, NULL, 0, err);
}

/* In every column: a ring of two buffers in the memtile between the two directions of a shim channel. */
static void describe_loop(ts_design *d, int n_cols, int channel) {
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, TS_ROW_SHIM), mem = ts_tile_at(col, TS_ROW_MEM);
        ts_tile_buf ping = ts_design_buffer(d, mem, "ping", 4 * RING_WORDS, TS_ANY_BANK),
                    pong = ts_design_buffer(d, mem, "pong", 4 * RING_WORDS, TS_ANY_BANK);
        ts_tile_lock empty = ts_design_lock(d, mem, "empty", 2), full = ts_design_lock(d, mem, "full", 0);
        ts_ring_step in[2] = {{.buffer = ping, .acquire = empty, .release = full},
                              {.buffer = pong, .acquire = empty, .release = full}};
        ts_ring_step out[2] = {{.buffer = ping, .acquire = full, .release = empty},
                               {.buffer = pong, .acquire = full, .release = empty}};
        ts_end to_mem = ts_end_dma(mem, channel), to_shim = ts_end_dma(shim, channel);
        ts_design_dma(d, mem, TS_S2MM, channel, in, 2);
        ts_design_dma(d, mem, TS_MM2S, channel, out, 2);
        ts_design_flow(d, ts_end_dma(shim, channel), &to_mem, 1);
        ts_design_flow(d, ts_end_dma(mem, channel), &to_shim, 1);
    }
}

void climb_loop_dispatch(ts_dispatch *p, const ts_chip *chip, int n_cols, int channel, uint32_t words) {
    ts_dispatch_init(p, chip, n_cols);
    for (int col = 0; col < n_cols; col++) /* first all that empties the array, then what fills it */
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .channel = channel,
                                            .dir = TS_S2MM,
                                            .arg = 1,
                                            .offset = 4 * (uint64_t)words * (uint64_t)col,
                                            .words = words,
                                            .token = true});
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .channel = channel,
                                            .dir = TS_MM2S,
                                            .arg = 0,
                                            .offset = 4 * (uint64_t)words * (uint64_t)col,
                                            .words = words});
    for (int col = 0; col < n_cols; col++) { /* what has come back has gone in before */
        ts_dispatch_wait(p, col, TS_S2MM, channel);
        ts_dispatch_implies(p, col, TS_MM2S, channel);
    }
}

static ts_status plan_loop(climb *c, int n_cols, int channel, ts_err *err) {
    ts_design *d;
    ts_dispatch p;
    const uint64_t bytes = 4 * LADDER_LOOP_WORDS * (uint64_t)n_cols;
    TS_TRY(ts_design_new(&d, c->dev->chip, n_cols, err));
    describe_loop(d, n_cols, channel);
    climb_loop_dispatch(&p, c->dev->chip, n_cols, channel, LADDER_LOOP_WORDS);
    return climb_plan(c, d, n_cols, &p, (uint64_t[]){bytes, bytes}, 2, err);
}

int climb_sharers(climb *c) {
    const int n = ts_npu_ctx_sharers(c->ctx);
    if (n > 0)
        climb_say(c, "    %d other context%s on these columns: the firmware takes turns, and times have them in them",
                  n, n == 1 ? "" : "s");
    return n > 0 ? n : 0;
}

ts_status climb_trip(climb *c, uint32_t seed, uint32_t times, double *us, ts_err *err) {
    size_t bytes = c->in.bytes;
    uint32_t *in = (uint32_t *)(void *)c->in.ptr, *out = (uint32_t *)(void *)c->out.ptr;
    for (size_t i = 0; i < bytes / 4; i++) in[i] = (uint32_t)i * 2654435761u + seed;
    memset(out, 0xa5, bytes);
    ts_npu_bo_flush(&c->in, 0, bytes);
    ts_npu_bo_flush(&c->out, 0, bytes);
    TS_TRY(climb_run(c, 2, us, err));
    ts_npu_bo_invalidate(&c->out, 0, bytes);
    for (size_t i = 0; i < bytes / 4; i++)
        if (out[i] != times * in[i])
            return ts_fail(err, TS_E_DEVICE, "NPU: word %zu of %zu came back as 0x%08x, not 0x%08x", i, bytes / 4,
                           out[i], times * in[i]);
    return TS_OK;
}

/* ---- rungs ------------------------------------------------------------------------------------------------------- */

/* The clocks of this moment. */
static void tell_clocks(climb *c, const char *when, const char *figure) {
    uint32_t controller, array;
    if (!ts_npu_clocks(c->dev, &controller, &array)) {
        climb_say(c, "    the driver does not tell the clocks");
        return;
    }
    climb_say(c, "    clocks %u and %u MHz (controller, array), %s", controller, array, when);
    climb_figure(c, figure, array, "MHz");
}

static ts_status rung_queries(climb *c, ts_err *err) {
    TS_TRY(ts_npu_dev_query(&c->dev, c->o->io, c->o->path, err));
    ts_npu_dev_stop_by(c->dev, c->o->stop);
    const ts_npu_info *i = &c->dev->info;
    c->result->info = *i;
    climb_say(c, "    driver %d.%d, firmware %u.%u.%u.%u", i->driver_major, i->driver_minor, i->firmware[0],
              i->firmware[1], i->firmware[2], i->firmware[3]);
    climb_say(c, "    array %u columns, %u rows, version %u.%u", i->array.cols, i->array.rows, i->array.version.major,
              i->array.version.minor);
    struct ts_uapi_hwctx_entry users[8];
    size_t n = 0;
    if (ts_npu_users(c->dev, users, 8, &n, NULL) != TS_OK) climb_say(c, "    the driver does not tell who uses it");
    for (size_t j = 0; j < n && j < 8; j++)
        climb_say(c, "    in use: columns %u to %u by process %lld", users[j].start_col,
                  users[j].start_col + users[j].num_col - 1, (long long)users[j].pid);
    tell_clocks(c, n ? "while others use it" : "idle", n ? "clock_others" : "clock_idle");
    return TS_OK;
}

static ts_status rung_heap(climb *c, ts_err *err) {
    static const ts_npu_bo_kind kinds[] = {TS_NPU_SHARED, TS_NPU_DEVICE, TS_NPU_PACKET};
    TS_TRY(ts_npu_dev_heap(c->dev, err));
    for (size_t k = 0; k < 3; k++) {
        TS_TRY(ts_npu_bo_init(&c->in, c->dev, kinds[k], 4096, "a test buffer", err));
        memset(c->in.ptr, 0x5a, c->in.bytes);
        if (kinds[k] != TS_NPU_PACKET) ts_npu_bo_flush(&c->in, 0, c->in.bytes);
        bool kept = c->in.ptr[0] == 0x5a && c->in.ptr[c->in.bytes - 1] == 0x5a;
        ts_npu_bo_fini(&c->in);
        if (!kept) return ts_fail(err, TS_E_DEVICE, "NPU: a buffer does not keep what is written to it");
    }
    return ts_npu_ctx_try(c->dev, 1, err);
}

static ts_status rung_empty(climb *c, ts_err *err) {
    double us;
    TS_TRY(plan_quiet(c, err));
    TS_TRY(climb_up(c, 0, 0, err));
    climb_say(c, "    configuration of %zu bytes loaded", ts_npu_config_pdi(c->config).len);
    ts_status s = climb_run(c, 0, &us, err);
    if (s != TS_OK && c->cmd->pending + (c->cmd->state == TS_CMD_TIMEOUT) + (c->cmd->state == TS_CMD_NORESPONSE))
        climb_say(c, "    A command without an end right here: where the kernel's amdxdna has the parameter "
                     "force_cmdlist, load it with "
                     "amdxdna.force_cmdlist=0 (modprobe.d or kernel command line) and try again: some firmware loses "
                     "chained commands.");
    TS_TRY(s);
    climb_say(c, "    %.0f us from submission to completion of the first command (%s)", us, climb_source(c));
    climb_figure(c, "first_command", us, "us");
    tell_clocks(c, "with a context", "clock");
    return TS_OK;
}

static ts_status loop(climb *c, int n_cols, const char *figure, ts_err *err) {
    const size_t bytes = 4 * LADDER_LOOP_WORDS * (size_t)n_cols;
    double us;
    TS_TRY(plan_loop(c, n_cols, 0, err));
    TS_TRY(climb_up(c, bytes, bytes, err));
    TS_TRY(climb_trip(c, 1, 1, &us, err));
    climb_say(c, "    %zu bytes there and back in %.0f us (%s)", bytes, us, climb_source(c));
    climb_figure(c, figure, us, "us");
    return TS_OK;
}

static ts_status rung_loop(climb *c, ts_err *err) {
    return loop(c, 1, "loop_back", err);
}
static ts_status rung_columns(climb *c, ts_err *err) {
    return loop(c, c->dev->chip->cols, "columns", err);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_latency(climb *c, const char *what, const char *figure, double us[REPEATS]) {
    qsort(us, REPEATS, sizeof us[0], by_size);
    climb_say(c, "    %s: %.0f us least, %.0f us median, %.0f us most (%s)", what, us[0], us[REPEATS / 2],
              us[REPEATS - 1], climb_source(c));
    climb_figure(c, figure, us[REPEATS / 2], "us");
}

/* A wait for S2MM 1 and nothing else: that its token carries the number that the firmware looks for is read in one
 * table only. */
static ts_status rung_second_channel(climb *c, ts_err *err) {
    double us;
    TS_TRY(plan_loop(c, 1, 1, err));
    TS_TRY(climb_up(c, 4 * LADDER_LOOP_WORDS, 4 * LADDER_LOOP_WORDS, err));
    TS_TRY(climb_trip(c, 3, 1, &us, err));
    climb_say(c, "    4 KiB round on the second channel alone: %.0f us (%s)", us, climb_source(c));
    return TS_OK;
}

/* In the memtile: when CALL_WORDS have come in, they and the KEPT_WORDS behind them go back. */
static ts_status plan_kept(climb *c, uint32_t *at, ts_err *err) {
    ts_design *d;
    ts_buf pdi = {0};
    TS_TRY(ts_design_new(&d, c->dev->chip, 1, err));
    ts_tile shim = ts_tile_at(0, TS_ROW_SHIM), mem = ts_tile_at(0, TS_ROW_MEM);
    ts_tile_buf b = ts_design_buffer(d, mem, "kept", 4 * (CALL_WORDS + KEPT_WORDS), TS_ANY_BANK);
    ts_tile_lock empty = ts_design_lock(d, mem, "empty", 1), full = ts_design_lock(d, mem, "full", 0);
    ts_end to_mem = ts_end_dma(mem, 0), to_shim = ts_end_dma(shim, 0);
    ts_design_dma(d, mem, TS_S2MM, 0,
                  &(ts_ring_step){.buffer = b, .bytes = 4 * CALL_WORDS, .acquire = empty, .release = full}, 1);
    ts_design_dma(d, mem, TS_MM2S, 0, &(ts_ring_step){.buffer = b, .acquire = full, .release = empty}, 1);
    ts_design_flow(d, ts_end_dma(shim, 0), &to_mem, 1);
    ts_design_flow(d, ts_end_dma(mem, 0), &to_shim, 1);
    *at = ts_design_addr(d, b) + 4 * CALL_WORDS;
    ts_status s = ts_design_finish(d, &pdi, NULL, err);
    if (s == TS_OK) s = ts_npu_config_check(&c->config, c->dev->chip, pdi.data, pdi.len, 1, NULL, 0, NULL, err);
    ts_buf_free(&pdi);
    ts_design_free(d);
    return s;
}

/* Is memory in the array the same after a command that has nothing to do? Weights that are taken ahead of time count
 * on it. */
static ts_status rung_kept(climb *c, ts_err *err) {
    const uint64_t in = 4 * CALL_WORDS, out = 4 * (CALL_WORDS + KEPT_WORDS);
    uint32_t word[KEPT_WORDS], at = 0;
    ts_dispatch p;
    double us;
    TS_TRY(plan_kept(c, &at, err));
    for (uint32_t i = 0; i < KEPT_WORDS; i++) word[i] = i * 2654435761u + 5;
    ts_dispatch_init(&p, c->dev->chip, 1);
    ts_dispatch_data(&p, ts_tile_at(0, TS_ROW_MEM), at, word, KEPT_WORDS);
    ts_status s = ts_npu_command_from(&c->command, c->config, &p, NULL, 0, NULL, err);
    ts_dispatch_free(&p);
    TS_TRY(s);
    TS_TRY(climb_up(c, in, out, err));
    memset(c->in.ptr, 0, in);
    memset(c->out.ptr, 0xa5, out);
    ts_npu_bo_flush(&c->in, 0, in);
    ts_npu_bo_flush(&c->out, 0, out);
    TS_TRY(climb_run(c, 0, &us, err));
    ts_dispatch_init(&p, c->dev->chip, 1);
    ts_txn_nop(&p.txn);
    TS_TRY(climb_command(c, &p, NULL, 0, err));
    TS_TRY(climb_run(c, 0, &us, err));
    ts_dispatch_init(&p, c->dev->chip, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1, .words = CALL_WORDS + KEPT_WORDS, .token = true});
    ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S, .arg = 0, .words = CALL_WORDS});
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    ts_dispatch_implies(&p, 0, TS_MM2S, 0);
    TS_TRY(climb_command(c, &p, (uint64_t[]){in, out}, 2, err));
    TS_TRY(climb_run(c, 2, &us, err));
    ts_npu_bo_invalidate(&c->out, 0, out);
    const uint32_t *got = (const uint32_t *)(const void *)c->out.ptr + CALL_WORDS;
    if (memcmp(got, word, sizeof word) != 0 && climb_sharers(c)) {
        climb_say(c, "    a memtile has not kept its words, as must be where columns are shared: nothing is known of "
                     "the firmware by it");
        return TS_OK;
    }
    for (uint32_t i = 0; i < KEPT_WORDS; i++)
        if (got[i] != word[i])
            return ts_fail(
                err, TS_E_DEVICE,
                "NPU: word %u of the memtile, at 0x%x, is 0x%08x after a command that did nothing, not 0x%08x", i,
                at + 4 * i, got[i], word[i]);
    climb_say(c, "    %d words of a memtile, from 0x%x on, are the same after a command with nothing to do", KEPT_WORDS,
              at);
    return TS_OK;
}

static ts_status rung_latency(climb *c, ts_err *err) {
    double us[REPEATS];
    TS_TRY(plan_quiet(c, err));
    TS_TRY(climb_up(c, 0, 0, err));
    for (int i = 0; i < REPEATS; i++) TS_TRY(climb_run(c, 0, &us[i], err));
    climb_sharers(c);
    tell_latency(c, "a command with nothing to do", "latency", us);
    climb_let_go(c);
    TS_TRY(plan_loop(c, 1, 0, err));
    TS_TRY(climb_up(c, 4 * LADDER_LOOP_WORDS, 4 * LADDER_LOOP_WORDS, err));
    for (uint32_t i = 0; i < REPEATS; i++) TS_TRY(climb_trip(c, 100 + i, 1, &us[i], err));
    tell_latency(c, "4 KiB round", "latency_4k", us);
    climb_let_go(c);
    TS_TRY(rung_second_channel(c, err));
    climb_let_go(c);
    return rung_kept(c, err);
}

/* ---- the climb --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    ts_status (*climb)(climb *c, ts_err *err);
} rungs[TS_LADDER_RUNGS] = {
    {"queries", rung_queries}, {"heap", rung_heap},       {"empty", rung_empty},
    {"loop-back", rung_loop},  {"columns", rung_columns}, {"core", rung_core},
    {"gemv", rung_gemv},       {"read", rung_read},       {"latency", rung_latency},
};

const char *ts_ladder_rung_name(int rung) {
    return rung >= 1 && rung <= TS_LADDER_RUNGS ? rungs[rung - 1].name : "?";
}

ts_status ts_npu_ladder(const ts_ladder_options *o, ts_ladder_result *result, ts_err *err) {
    climb c = {.o = o, .result = result};
    int to = o->to ? o->to : TS_LADDER_RUNGS;
    ts_status s = TS_OK;
    *result = (ts_ladder_result){0};
    for (int i = 0; i < to && i < TS_LADDER_RUNGS && s == TS_OK; i++) {
        uint64_t begin = ts_now_ns();
        c.rung = i + 1;
        climb_say(&c, "%d %s ...", i + 1, rungs[i].name);
        s = rungs[i].climb(&c, err);
        climb_let_go(&c);
        result->ms[i] = (double)(ts_now_ns() - begin) / 1e6;
        if (s == TS_OK) {
            climb_say(&c, "%d %s: ok, %.1f ms", i + 1, rungs[i].name, result->ms[i]);
            result->reached = i + 1;
        } else {
            s = ts_err_prefix(err, s, "rung %d, %s", i + 1, rungs[i].name);
            climb_say(&c, "%d %s: %s", i + 1, rungs[i].name,
                      s == TS_E_CANCELLED ? "stopped." : "FAILED. Nothing more is tried.");
        }
    }
    ts_npu_dev_close(c.dev);
    return s;
}
