/* ctx.h - a hardware context: columns of the array with a configuration loaded. */
#ifndef TS_XDNA_CTX_H
#define TS_XDNA_CTX_H

#include "xdna/bo.h"
#include "xdna/check.h"

typedef struct ts_npu_ctx {
    ts_npu_dev *dev;
    const ts_npu_config *config; /* borrowed */
    ts_npu_bo pdi;
    uint32_t handle, syncobj; /* 0: none */
    bool dead;           /* a command failed in a way that takes the context with it: ts_npu_ctx_recover */
    int n_pending;       /* commands under way */
    ts_prefetched prefetched; /* transfers that the last command has left under way for the next */
    uint32_t generation; /* counts the hardware contexts that this object has had */
} ts_npu_ctx;

/* A context of as many columns as the configuration has, with it loaded. The configuration must outlive it. Where
 * columns or contexts are taken it is tried for 3 s, which a line on the log says: those of a program that has ended
 * are held until the driver gives its last command up. So long it also waits for contexts of programs that have
 * ended on the columns that it shares: a command would stand behind theirs. Errors: TS_E_DEVICE with advice; where
 * something is taken, the programs that have it are named. TS_E_CANCELLED: ts_npu_dev_stopped. */
TS_NODISCARD ts_status ts_npu_ctx_new(ts_npu_ctx **out, ts_npu_dev *dev, const ts_npu_config *config,
                                      ts_err *err);
/* Is there room for a context of n_cols columns? Makes one without a configuration and destroys it. Errors: as
 * above. */
TS_NODISCARD ts_status ts_npu_ctx_try(ts_npu_dev *dev, int n_cols, ts_err *err);
/* How many other contexts, of this or of other programs, have a part in its columns: the firmware takes turns, and
 * at each what is in the array is lost. -1: the driver does not say clearly. */
int ts_npu_ctx_sharers(const ts_npu_ctx *ctx);
/* NULL-safe. Its commands must be gone (ts_npu_cmd_free). */
void ts_npu_ctx_free(ts_npu_ctx *ctx);

/* Give the hardware context up, with all commands under way; the object is dead until ts_npu_ctx_recover. */
void ts_npu_ctx_drop(ts_npu_ctx *ctx);

/* After a failed command: drop the hardware context and make it anew. What was in the array is lost; commands
 * under way count as failed. Errors: as ts_npu_ctx_new; the object stays usable for another try. */
TS_NODISCARD ts_status ts_npu_ctx_recover(ts_npu_ctx *ctx, ts_err *err);

#endif
