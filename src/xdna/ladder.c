#include "xdna/ladder.h"

#include "base/clock.h"
#include "base/mem.h"
#include "xdna/cmd.h"
#include "xdna/design.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOP_WORDS = 1024, /* 4 KiB a column */
    RING_WORDS = 256,
    REPEATS = 64,
};
static const uint64_t timeout_ns = UINT64_C(5000000000);

/* What is up at a rung; all of it may be half built. */
typedef struct climb {
    const ts_npu_io *io;
    const char *path;
    ts_ladder_say *say;
    void *ud;
    ts_npu_dev *dev;
    ts_npu_config *config;
    ts_npu_command *command;
    ts_npu_ctx *ctx;
    ts_npu_cmd *cmd;
    ts_npu_bo in, out;
} climb;

TS_PRINTF(2, 3) static void say(const climb *c, const char *fmt, ...);
static void say(const climb *c, const char *fmt, ...) {
    char line[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    c->say(c->ud, line);
}

/* Everything but the device, in the order that the kernel wants. */
static void let_go(climb *c) {
    ts_npu_cmd_free(c->cmd);
    ts_npu_ctx_free(c->ctx);
    ts_npu_bo_fini(&c->in);
    ts_npu_bo_fini(&c->out);
    ts_npu_command_free(c->command);
    ts_npu_config_free(c->config);
    c->cmd = NULL, c->ctx = NULL, c->command = NULL, c->config = NULL;
}

/* ---- configurations ------------------------------------------------------------------------------------ */

/* Locks and nothing else. */
static void quiet_design(ts_design *d) {
    for (int i = 0; i < 4; i++) ts_design_lock(d, ts_tile_at(0, TS_ROW_MEM), "quiet", i);
}

/* In every column: a ring of two buffers in the memtile between the two directions of shim channel 0. */
static void loop_design(ts_design *d, int n_cols) {
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, TS_ROW_SHIM), mem = ts_tile_at(col, TS_ROW_MEM);
        ts_tile_buf ping = ts_design_buffer(d, mem, "ping", 4 * RING_WORDS, TS_ANY_BANK),
                    pong = ts_design_buffer(d, mem, "pong", 4 * RING_WORDS, TS_ANY_BANK);
        ts_tile_lock empty = ts_design_lock(d, mem, "empty", 2), full = ts_design_lock(d, mem, "full", 0);
        ts_ring_step in[2] = {{.buffer = ping, .acquire = empty, .release = full},
                              {.buffer = pong, .acquire = empty, .release = full}};
        ts_ring_step out[2] = {{.buffer = ping, .acquire = full, .release = empty},
                               {.buffer = pong, .acquire = full, .release = empty}};
        ts_end to_mem = ts_end_dma(mem, 0), to_shim = ts_end_dma(shim, 0);
        ts_design_dma(d, mem, TS_S2MM, 0, in, 2);
        ts_design_dma(d, mem, TS_MM2S, 0, out, 2);
        ts_design_flow(d, ts_end_dma(shim, 0), &to_mem, 1);
        ts_design_flow(d, ts_end_dma(mem, 0), &to_shim, 1);
    }
}

static void loop_dispatch(ts_dispatch *p, int n_cols) {
    for (int col = 0; col < n_cols; col++) /* first all that empties the array, then what fills it */
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_S2MM,
                                            .arg = 1,
                                            .offset = 4 * LOOP_WORDS * (uint64_t)col,
                                            .words = LOOP_WORDS,
                                            .token = true});
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_MM2S,
                                            .arg = 0,
                                            .offset = 4 * LOOP_WORDS * (uint64_t)col,
                                            .words = LOOP_WORDS});
    for (int col = 0; col < n_cols; col++) { /* what has come back has gone in before */
        ts_dispatch_wait(p, col, TS_S2MM, 0);
        ts_dispatch_implies(p, col, TS_MM2S, 0);
    }
}

/* Design to checked configuration and command; loop 0: the quiet one with a no-op. */
static ts_status plan(climb *c, int n_cols, bool loop, ts_err *err) {
    ts_design *d;
    ts_dispatch p;
    ts_buf pdi = {0};
    uint64_t bytes[2] = {4 * LOOP_WORDS * (uint64_t)n_cols, 4 * LOOP_WORDS * (uint64_t)n_cols};
    TS_TRY(ts_design_new(&d, n_cols, err));
    ts_dispatch_init(&p, n_cols);
    if (loop) {
        loop_design(d, n_cols);
        loop_dispatch(&p, n_cols);
    } else {
        quiet_design(d);
        ts_txn_nop(&p.txn);
    }
    ts_status s = ts_design_finish(d, &pdi, NULL, err);
    if (s == TS_OK) s = ts_npu_config_check(&c->config, pdi.data, pdi.len, n_cols, NULL, 0, NULL, err);
    if (s == TS_OK) s = ts_npu_command_from(&c->command, c->config, &p, bytes, loop ? 2 : 0, NULL, err);
    ts_dispatch_free(&p);
    ts_buf_free(&pdi);
    ts_design_free(d);
    return s;
}

/* ---- rungs --------------------------------------------------------------------------------------------- */

static ts_status rung_open(climb *c, ts_err *err) {
    TS_TRY(ts_npu_dev_open(&c->dev, c->io, c->path, err));
    const ts_npu_info *i = &c->dev->info;
    say(c, "    driver %d.%d, firmware %u.%u.%u.%u, clocks %u and %u MHz (controller, array)",
        i->driver_major, i->driver_minor, i->firmware[0], i->firmware[1], i->firmware[2], i->firmware[3],
        i->mp_clock_mhz, i->h_clock_mhz);
    say(c, "    array %u columns, %u rows, version %u.%u", i->array.cols, i->array.rows,
        i->array.version.major, i->array.version.minor);
    struct ts_uapi_hwctx_entry users[8];
    size_t n = 0;
    if (ts_npu_users(c->dev, users, 8, &n, NULL) != TS_OK) say(c, "    the driver does not tell who uses it");
    for (size_t j = 0; j < n && j < 8; j++)
        say(c, "    in use: columns %u to %u by process %lld", users[j].start_col,
            users[j].start_col + users[j].num_col - 1, (long long)users[j].pid);
    return TS_OK;
}

static ts_status rung_buffers(climb *c, ts_err *err) {
    static const ts_npu_bo_kind kinds[] = {TS_NPU_SHARED, TS_NPU_DEVICE, TS_NPU_PACKET};
    for (size_t k = 0; k < 3; k++) {
        TS_TRY(ts_npu_bo_init(&c->in, c->dev, kinds[k], 4096, "a test buffer", err));
        memset(c->in.ptr, 0x5a, c->in.bytes);
        if (kinds[k] != TS_NPU_PACKET) ts_npu_bo_flush(&c->in, 0, c->in.bytes);
        bool kept = c->in.ptr[0] == 0x5a && c->in.ptr[c->in.bytes - 1] == 0x5a;
        ts_npu_bo_fini(&c->in);
        if (!kept) return ts_fail(err, TS_E_DEVICE, "NPU: a buffer does not keep what is written to it");
    }
    return TS_OK;
}

static ts_status rung_context(climb *c, ts_err *err) {
    TS_TRY(plan(c, 1, false, err));
    return ts_npu_ctx_new(&c->ctx, c->dev, c->config, err);
}

static ts_status rung_noop(climb *c, ts_err *err) {
    TS_TRY(ts_npu_cmd_new(&c->cmd, c->ctx, c->command, err));
    TS_TRY(ts_npu_cmd_submit(c->cmd, NULL, 0, err));
    TS_TRY(ts_npu_cmd_wait(c->cmd, timeout_ns, err));
    say(c, "    %.0f us from submission to completion", (double)(c->cmd->done_ns - c->cmd->submit_ns) / 1000);
    return TS_OK;
}

/* One trip with data that depend on `seed`; the result must be the input. */
static ts_status trip(climb *c, uint32_t seed, ts_err *err) {
    size_t bytes = c->in.bytes;
    uint32_t *in = (uint32_t *)(void *)c->in.ptr, *out = (uint32_t *)(void *)c->out.ptr;
    for (size_t i = 0; i < bytes / 4; i++) in[i] = (uint32_t)i * 2654435761u + seed;
    memset(out, 0xa5, bytes);
    ts_npu_bo_flush(&c->in, 0, bytes);
    ts_npu_bo_flush(&c->out, 0, bytes);
    TS_TRY(ts_npu_cmd_submit(c->cmd, (ts_npu_arg[]){{.bo = &c->in}, {.bo = &c->out}}, 2, err));
    TS_TRY(ts_npu_cmd_wait(c->cmd, timeout_ns, err));
    ts_npu_bo_invalidate(&c->out, 0, bytes);
    for (size_t i = 0; i < bytes / 4; i++)
        if (in[i] != out[i])
            return ts_fail(err, TS_E_DEVICE, "NPU: word %zu of %zu came back as 0x%08x, not 0x%08x", i,
                           bytes / 4, out[i], in[i]);
    return TS_OK;
}

static ts_status loop(climb *c, int n_cols, ts_err *err) {
    size_t bytes = 4 * LOOP_WORDS * (size_t)n_cols;
    let_go(c);
    TS_TRY(plan(c, n_cols, true, err));
    TS_TRY(ts_npu_bo_init(&c->in, c->dev, TS_NPU_SHARED, bytes, "the input", err));
    TS_TRY(ts_npu_bo_init(&c->out, c->dev, TS_NPU_SHARED, bytes, "the output", err));
    TS_TRY(ts_npu_ctx_new(&c->ctx, c->dev, c->config, err));
    TS_TRY(ts_npu_cmd_new(&c->cmd, c->ctx, c->command, err));
    TS_TRY(trip(c, 1, err));
    say(c, "    %zu bytes there and back in %.0f us", bytes,
        (double)(c->cmd->done_ns - c->cmd->submit_ns) / 1000);
    return TS_OK;
}

static ts_status rung_loop(climb *c, ts_err *err) {
    return loop(c, 1, err);
}
static ts_status rung_columns(climb *c, ts_err *err) {
    return loop(c, TS_COLS, err);
}

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static ts_status rung_repeat(climb *c, ts_err *err) {
    uint64_t ns[REPEATS];
    for (uint32_t i = 0; i < REPEATS; i++) {
        TS_TRY(trip(c, 100 + i, err));
        ns[i] = c->cmd->done_ns - c->cmd->submit_ns;
    }
    qsort(ns, REPEATS, sizeof ns[0], by_time);
    say(c, "    latency of a command: %.0f us least, %.0f us median, %.0f us most", (double)ns[0] / 1000,
        (double)ns[REPEATS / 2] / 1000, (double)ns[REPEATS - 1] / 1000);
    return TS_OK;
}

ts_status ts_npu_ladder(const ts_npu_io *io, const char *path, int to, ts_ladder_say *say_fn, void *ud,
                        int *reached, ts_err *err) {
    static const struct {
        const char *name;
        ts_status (*climb)(climb *c, ts_err *err);
    } rungs[TS_LADDER_RUNGS] = {{"open", rung_open},    {"buffers", rung_buffers}, {"context", rung_context},
                                {"no-op", rung_noop},   {"loop-back", rung_loop},  {"columns", rung_columns},
                                {"repeat", rung_repeat}};
    climb c = {.io = io, .path = path, .say = say_fn, .ud = ud};
    ts_status s = TS_OK;
    if (reached) *reached = 0;
    for (int i = 0; i < to && i < TS_LADDER_RUNGS && s == TS_OK; i++) {
        uint64_t begin = ts_now_ns();
        say(&c, "%d %s ...", i + 1, rungs[i].name);
        s = rungs[i].climb(&c, err);
        if (s == TS_OK) {
            say(&c, "%d %s: ok, %.1f ms", i + 1, rungs[i].name, (double)(ts_now_ns() - begin) / 1e6);
            if (reached) *reached = i + 1;
        } else {
            s = ts_err_prefix(err, s, "rung %d, %s", i + 1, rungs[i].name);
            say(&c, "%d %s: FAILED. Nothing more is tried.", i + 1, rungs[i].name);
        }
    }
    let_go(&c);
    ts_npu_dev_close(c.dev);
    return s;
}
