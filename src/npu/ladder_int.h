/* ladder_int.h - what the files of the ladder share: what is up at a rung, how figures are told. */
#ifndef TS_NPU_LADDER_INT_H
#define TS_NPU_LADDER_INT_H

#include "npu/ladder.h"
#include "xdna/cmd.h"
#include "xdna/design.h"

enum { LADDER_LOOP_WORDS = 1024 /* 4 KiB a column */ };

/* All of it may be half built. */
typedef struct climb {
    const ts_ladder_options *o;
    ts_ladder_result *result;
    int rung;
    ts_npu_dev *dev;
    ts_npu_config *config;
    ts_npu_command *command;
    ts_npu_ctx *ctx;
    ts_npu_cmd *cmd;
    ts_npu_bo in, out;
} climb;

TS_PRINTF(2, 3) void climb_say(const climb *c, const char *fmt, ...);
void climb_figure(climb *c, const char *name, double value, const char *unit);
/* "measured", "simulated", "in a virtual machine" */
const char *climb_source(const climb *c);
/* Of the last command on a simulated array: its cycles, and the host's side of it as it was measured on a real
 * machine. */
double climb_simulated_us(const climb *c);

/* Everything but the device, in the order that the kernel wants. */
void climb_let_go(climb *c);

/* Configuration and first command from a design and a dispatch, both checked; frees them. bytes: sizes of the
 * arguments. */
TS_NODISCARD ts_status climb_plan(climb *c, ts_design *d, int n_cols, ts_dispatch *p, const uint64_t *bytes, int n_args,
                                  ts_err *err);
/* The buffers, each of a command's two arguments; then the context with what was planned. */
TS_NODISCARD ts_status climb_up(climb *c, size_t in_bytes, size_t out_bytes, ts_err *err);
/* Submit with both buffers (n_args 2) or none; wait for it: climb_run in two. */
TS_NODISCARD ts_status climb_submit(climb *c, int n_args, ts_err *err);
TS_NODISCARD ts_status climb_wait(climb *c, double *us, ts_err *err);
/* Submit with both buffers (n_args 2) or none and wait; *us: from submission to end, measured or simulated. */
TS_NODISCARD ts_status climb_run(climb *c, int n_args, double *us, ts_err *err);

/* Another command for the context that is there. */
TS_NODISCARD ts_status climb_command(climb *c, ts_dispatch *p, const uint64_t *bytes, int n_args, ts_err *err);

/* How many other contexts are known to be on the columns; where there are any, it is said. */
int climb_sharers(climb *c);

/* The tasks of a loop: `words` from argument 0 and to argument 1 in each column. */
void climb_loop_dispatch(ts_dispatch *p, const ts_chip *chip, int n_cols, int channel, uint32_t words);
/* One trip of 4 KiB a column with data that depend on `seed`; the result must be `times` the input. */
TS_NODISCARD ts_status climb_trip(climb *c, uint32_t seed, uint32_t times, double *us, ts_err *err);

TS_NODISCARD ts_status rung_core(climb *c, ts_err *err);
TS_NODISCARD ts_status rung_gemv(climb *c, ts_err *err);
TS_NODISCARD ts_status rung_read(climb *c, ts_err *err);

#endif
