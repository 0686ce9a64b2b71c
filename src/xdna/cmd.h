/* cmd.h - commands: an instruction stream with its packet, handed over and waited for. */
#ifndef TS_XDNA_CMD_H
#define TS_XDNA_CMD_H

#include "xdna/ctx.h"

/* Longer than any driver's own time-out, 2 s in the newest and 60 s in the first ones [doc]: while a job may be
 * under way its context is not destroyed, for that call would block or leave the firmware wedged. */
#define TS_NPU_TIMEOUT_NS UINT64_C(70000000000)

/* Prepared once, submitted as often as wanted, one submission at a time. */
typedef struct ts_npu_cmd {
    ts_npu_ctx *ctx;
    const ts_npu_command *command; /* borrowed */
    ts_npu_bo stream, packet;
    uint64_t seq;
    bool pending;
    uint32_t generation;         /* of the context when submitted */
    uint32_t state;              /* of the packet when last waited for */
    uint64_t submit_ns, done_ns; /* clock.h, of the last submission */
} ts_npu_cmd;

/* A buffer argument: the command reaches bytes from `offset` on. */
typedef struct ts_npu_arg {
    const ts_npu_bo *bo; /* TS_NPU_SHARED */
    uint64_t offset;     /* a multiple of 4 */
} ts_npu_arg;

/* command: checked against ctx's configuration; must outlive the object. */
TS_NODISCARD ts_status ts_npu_cmd_new(ts_npu_cmd **out, ts_npu_ctx *ctx, const ts_npu_command *command,
                                      ts_err *err);
/* NULL-safe. A pending submission is waited for up to TS_NPU_TIMEOUT_NS, or until ts_npu_dev_stopped; one that does
 * not end costs the context. */
void ts_npu_cmd_free(ts_npu_cmd *cmd);

/* Hand it over with its arguments, as many as the command has; the caller has flushed what the device will read.
 * Up to TS_CMDS_IN_FLIGHT commands of a context run one after the other. Errors: TS_E_INVAL (an argument too
 * small, still pending, too many under way), TS_E_DEVICE with advice; the context may then be dead. */
TS_NODISCARD ts_status ts_npu_cmd_submit(ts_npu_cmd *cmd, const ts_npu_arg *args, int n_args, ts_err *err);

/* Wait for its end; after 10 s one line says so, and it is waited on. Errors: TS_E_DEVICE: no end in time (the
 * command stays pending, the context is dead), or an end other than complete, with the packet's state in words; the
 * context is then dead but for the state ERROR. TS_E_CANCELLED: ts_npu_dev_stopped, asked from the first second on:
 * as if it had no end. */
TS_NODISCARD ts_status ts_npu_cmd_wait(ts_npu_cmd *cmd, uint64_t timeout_ns, ts_err *err);

#endif
