/* ladder.h - the first contact with an NPU, step by step: each rung risks a little more than the one before, and
 * the first that fails ends the climb. Depends on: io.h, err.h.
 *
 *   1 open      driver, chip, firmware, clocks, other users, the 64 MiB heap 2 buffers   one of each kind,
 *   created, mapped, flushed, freed 3 context   one column with a configuration that sets a few locks and starts
 *   nothing 4 no-op     an instruction stream that does nothing 5 loop-back 4 KiB host -> shim -> memtile -> shim
 *   -> host in one column, compared 6 columns   the same in four columns at once 7 repeat    64 times more in the
 *   same context: state is kept, latency is measured
 *
 * It runs on any ts_npu_io. Nothing is tried twice, and nothing that docs/npu/driver.md warns of is ever issued. */
#ifndef TS_XDNA_LADDER_H
#define TS_XDNA_LADDER_H

#include "base/err.h"
#include "xdna/io.h"

enum { TS_LADDER_RUNGS = 7 };

/* One line of the report, without its end. */
typedef void ts_ladder_say(void *ud, const char *line);

/* Climb up to rung `to` (1 to TS_LADDER_RUNGS). Says a line for each rung and for what it found. Errors: that of
 * the rung that failed, with its name in front; *reached (nullable) is the last rung that was passed. */
TS_NODISCARD ts_status ts_npu_ladder(const ts_npu_io *io, const char *path, int to, ts_ladder_say *say,
                                     void *ud, int *reached, ts_err *err);

#endif
