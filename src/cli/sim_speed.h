/* sim_speed.h - how slow the simulated NPU is, said before it starts. */
#ifndef TS_CLI_SIM_SPEED_H
#define TS_CLI_SIM_SPEED_H

#include "base/pool.h"
#include "kern/kern.h"
#include "tessera/tessera.h"

/* Multiply-accumulates a second that the simulator does on this machine, measured on a layer of about that width
 * (within 256 to 1024): some tenths of a second. */
TS_NODISCARD ts_status cli_sim_rate(uint64_t width, const ts_kern *kern, ts_pool *pool, double *rate, ts_err *err);
/* For an engine on npu-sim: what a token takes, to standard error. Nothing for other devices. */
void cli_sim_notice(const ts_engine *e);

#endif
