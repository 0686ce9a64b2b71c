#include "xdna/cmd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "xdna/advice.h"

#include <errno.h>
#include <string.h>

enum { PACKET_BYTES = 4096 };
/* No command of ours takes as long as the first: then something is wrong, and whoever wants to stop may. */
#define LONG_NS     UINT64_C(1000000000)
#define ASK_NS      UINT64_C(100000000)
#define PATIENCE_NS UINT64_C(10000000000)

ts_status ts_npu_cmd_new(ts_npu_cmd **out, ts_npu_ctx *ctx, const ts_npu_command *command, ts_err *err) {
    if (ts_npu_command_config(command) != ctx->config)
        return ts_fail(err, TS_E_INVAL, "NPU: the command was checked against another configuration");
    ts_npu_cmd *cmd = ts_calloc(1, sizeof *cmd);
    if (!cmd) return ts_fail_nomem(err, "an NPU command", sizeof *cmd);
    cmd->ctx = ctx;
    cmd->command = command;
    ts_span txn = ts_npu_command_txn(command);
    ts_status s =
        ts_npu_bo_init(&cmd->stream, ctx->dev, TS_NPU_DEVICE, txn.len, "an instruction stream", err);
    if (s == TS_OK)
        s = ts_npu_bo_init(&cmd->packet, ctx->dev, TS_NPU_PACKET, PACKET_BYTES, "a command packet", err);
    if (s != TS_OK) {
        ts_npu_cmd_free(cmd);
        return s;
    }
    memcpy(cmd->stream.ptr, txn.data, txn.len);
    ts_npu_bo_flush(&cmd->stream, 0, cmd->stream.bytes);
    *out = cmd;
    return TS_OK;
}

/* Under way in the context that there is now; with an older one it went. */
static bool is_pending(const ts_npu_cmd *cmd) {
    return cmd->pending && cmd->generation == cmd->ctx->generation;
}

void ts_npu_cmd_free(ts_npu_cmd *cmd) {
    if (!cmd) return;
    if (is_pending(cmd) && !cmd->ctx->dead) (void)!ts_npu_cmd_wait(cmd, TS_NPU_TIMEOUT_NS, NULL);
    if (is_pending(cmd)) ts_npu_ctx_drop(cmd->ctx); /* the device must let go of the buffers first */
    ts_npu_bo_fini(&cmd->packet);
    ts_npu_bo_fini(&cmd->stream);
    ts_free(cmd);
}

static ts_status check_args(const ts_npu_cmd *cmd, const ts_npu_arg *args, int n_args, ts_err *err) {
    if (is_pending(cmd)) return ts_fail(err, TS_E_INVAL, "NPU: the command is still under way");
    if (cmd->ctx->n_pending == TS_CMDS_IN_FLIGHT)
        return ts_fail(err, TS_E_INVAL, "NPU: %d commands are under way already: wait for one",
                       TS_CMDS_IN_FLIGHT);
    if (n_args != ts_npu_command_args(cmd->command))
        return ts_fail(err, TS_E_INVAL, "NPU: %d arguments, the command has %d", n_args,
                       ts_npu_command_args(cmd->command));
    if (!ts_prefetched_eq(&cmd->ctx->prefetched, ts_npu_command_before(cmd->command)))
        return ts_fail(err, TS_E_INVAL, "NPU: the command does not begin with what the one before has left under way");
    for (int i = 0; i < n_args; i++) {
        uint64_t need = ts_npu_command_arg_bytes(cmd->command, i);
        const ts_npu_bo *bo = args[i].bo;
        if (!bo || bo->kind != TS_NPU_SHARED || args[i].offset % 4 || args[i].offset > bo->bytes ||
            need > bo->bytes - args[i].offset)
            return ts_fail(err, TS_E_INVAL, "NPU: argument %d: %llu bytes at offset %llu of a buffer of %zu",
                           i, (unsigned long long)need, (unsigned long long)args[i].offset,
                           bo ? bo->bytes : 0);
    }
    return TS_OK;
}

/* START_CU with the transaction operation: the path that open hosts use on npu1 [silicon, others]. */
static uint32_t fill_packet(const ts_npu_cmd *cmd, const ts_npu_arg *args, int n_args) {
    uint32_t w[1 + TS_CMD_FIXED_WORDS + 2 * TS_ARGS_MAX] = {0},
                                            count = TS_CMD_FIXED_WORDS + 2 * (uint32_t)n_args;
    w[0] = ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, count);
    w[1] = 1; /* the mask of the one CU */
    w[2] = TS_CMD_TRANSACTION;
    w[4] = (uint32_t)cmd->stream.addr;
    w[5] = (uint32_t)(cmd->stream.addr >> 32);
    w[6] = (uint32_t)(ts_npu_command_txn(cmd->command).len / 4);
    for (int i = 0; i < n_args; i++) {
        uint64_t addr = args[i].bo->addr + args[i].offset;
        w[7 + 2 * i] = (uint32_t)addr;
        w[8 + 2 * i] = (uint32_t)(addr >> 32);
    }
    memcpy(cmd->packet.ptr, w, 4 * (size_t)(count + 1));
    return count;
}

ts_status ts_npu_cmd_submit(ts_npu_cmd *cmd, const ts_npu_arg *args, int n_args, ts_err *err) {
    ts_npu_ctx *ctx = cmd->ctx;
    if (ctx->dead || !ctx->handle) return ts_npu_fail(err, TS_NPU_SUBMIT, -EIO);
    TS_TRY(check_args(cmd, args, n_args, err));
    fill_packet(cmd, args, n_args);
    uint32_t handles[TS_ARGS_MAX + 1], n = 0; /* all that the device will touch: they get pinned */
    handles[n++] = cmd->stream.handle;
    for (int i = 0; i < n_args; i++) {
        uint32_t j = 0;
        while (j < n && handles[j] != args[i].bo->handle) j++;
        if (j == n) handles[n++] = args[i].bo->handle;
    }
    struct ts_uapi_exec_cmd exec = {.hwctx = ctx->handle,
                                    .cmd_handles = cmd->packet.handle,
                                    .args = (uint64_t)(uintptr_t)handles,
                                    .cmd_count = 1,
                                    .arg_count = n};
    cmd->submit_ns = ts_now_ns();
    int r = ts_npu_ioctl(ctx->dev, TS_IOCTL_EXEC_CMD, &exec);
    if (r < 0) {
        if (r == -EIO) ctx->dead = true;
        return ts_npu_fail(err, TS_NPU_SUBMIT, r);
    }
    cmd->seq = exec.seq;
    cmd->pending = true;
    cmd->generation = ctx->generation;
    ctx->n_pending++;
    ctx->prefetched = *ts_npu_command_behind(cmd->command);
    return TS_OK;
}

static int wait_until(ts_npu_cmd *cmd, uint64_t deadline) {
    struct ts_uapi_syncobj_timeline_wait w = {.handles = (uint64_t)(uintptr_t)&cmd->ctx->syncobj,
                                              .points = (uint64_t)(uintptr_t)&cmd->seq,
                                              .timeout_nsec = (int64_t)(deadline < INT64_MAX ? deadline : INT64_MAX),
                                              .count_handles = 1,
                                              .flags = TS_UAPI_WAIT_FOR_SUBMIT};
    return ts_npu_ioctl(cmd->ctx->dev, TS_IOCTL_SYNCOBJ_WAIT, &w);
}

/* 0, or -errno: -ETIME when `timeout_ns` have passed, -ECANCELED when somebody wanted to stop. *waited_ns: so long
 * it took. */
static int wait_for_end(ts_npu_cmd *cmd, uint64_t timeout_ns, uint64_t *waited_ns) {
    const ts_npu_dev *dev = cmd->ctx->dev;
    const uint64_t begin = dev->io->now_ns(dev->io->ud);
    bool told = false;
    uint64_t end;
    if (__builtin_add_overflow(begin, timeout_ns, &end)) end = UINT64_MAX;
    for (uint64_t next = begin + LONG_NS;; next += ASK_NS) {
        const uint64_t at = next < end ? next : end;
        int r = wait_until(cmd, at);
        *waited_ns = at - begin;
        if (r != -ETIME || at == end) return r;
        if (ts_npu_dev_stopped(dev)) return -ECANCELED;
        if (*waited_ns < PATIENCE_NS || told) continue;
        ts_log(TS_LOG_WARN, "NPU: a command has no end after 10 s; the driver gives it up in time (newer ones after 2 "
                            "s, old ones after 60 s)");
        told = true;
    }
}

ts_status ts_npu_cmd_wait(ts_npu_cmd *cmd, uint64_t timeout_ns, ts_err *err) {
    ts_npu_ctx *ctx = cmd->ctx;
    if (!cmd->pending) return ts_fail(err, TS_E_INVAL, "NPU: the command is not under way");
    if (!is_pending(cmd)) { /* the context was made anew since */
        cmd->pending = false;
        return ts_npu_fail(err, TS_NPU_WAIT, -EIO);
    }
    uint64_t waited_ns;
    int r = wait_for_end(cmd, timeout_ns, &waited_ns);
    cmd->done_ns = ts_now_ns();
    if (r < 0) {
        ctx->dead = true;
        if (r == -ECANCELED)
            return ts_fail(err, TS_E_CANCELLED, "NPU: stopped; a command had no end after %.1f s",
                           (double)waited_ns * 1e-9);
        return ts_npu_fail(err, TS_NPU_WAIT, r);
    }
    uint32_t head = __atomic_load_n((uint32_t *)(void *)cmd->packet.ptr, __ATOMIC_ACQUIRE);
    cmd->pending = false;
    cmd->state = ts_cmd_state(head);
    ctx->n_pending--;
    if (cmd->state == TS_CMD_COMPLETED) return TS_OK;
    /* the fence is signalled in any case; only this state means success */
    ctx->dead |= cmd->state != TS_CMD_ERROR;
    return ts_fail(err, TS_E_DEVICE, "NPU: the command ended as %s: %s", ts_npu_state_name(cmd->state),
                   ts_npu_state_text(cmd->state));
}
