/* ladder.h - the first contact with an NPU, step by step: each rung risks a little more than the one before, and the
 * first that fails ends the climb.
 *
 *   1 queries    driver, chip, firmware, clocks, other users
 *   2 heap       the 64 MiB heap, a buffer of each kind, a context of one column without a configuration
 *   3 empty      a configuration that sets a few locks and starts nothing; an instruction stream that does nothing
 *   4 loop-back  4 KiB host -> shim -> memtile -> shim -> host in one column, compared
 *   5 columns    the same in four columns at once
 *   6 core       one core with a program: what comes back is twice what went in
 *   7 gemv       the program of the linear layers, each type of weight, compared with the CPU bit for bit
 *   8 read       bandwidth of reading host memory with 1, 2, 4 and 8 channels
 *   9 latency    of a submission: nothing to do, and 4 KiB round, 64 times each; a wait for the second channel alone;
 *   words of a
 *                memtile that a command with nothing to do must leave alone
 *
 * It runs on any ts_npu_io. Nothing is tried twice but a context whose columns others hold (xdna/ctx.h), nothing
 * goes out that the static checker has not passed, and nothing that docs/npu/driver.md warns of is ever issued. */
#ifndef TS_NPU_LADDER_H
#define TS_NPU_LADDER_H

#include "xdna/dev.h"
#include "xdna/meter.h"

enum { TS_LADDER_RUNGS = 9, TS_LADDER_FIGURES = 32 };

typedef struct ts_ladder_options {
    const ts_npu_io *io; /* borrowed */
    const char *path;    /* of the node */
    const ts_npu_meter *meter; /* nullable: of a simulated node; times are then those of its array, and simulated */
    ts_evidence evidence;      /* of the figures, without `meter` */
    int to;              /* the last rung to climb; 0: all */
    ts_npu_stop stop;    /* asked before each command, too */
    void (*say)(void *ud, const char *line); /* a line of the report, without its end */
    void *ud;
} ts_ladder_options;

/* A number that a rung found, in a unit: "read_8", 27.5, "GB/s". */
typedef struct ts_ladder_figure {
    int rung;
    char name[24];
    double value;
    const char *unit;
} ts_ladder_figure;

typedef struct ts_ladder_result {
    int reached; /* the last rung that was passed */
    ts_npu_info info;
    ts_ladder_figure figure[TS_LADDER_FIGURES];
    int n_figures;
    double ms[TS_LADDER_RUNGS]; /* wall time of each rung that was begun */
} ts_ladder_result;

/* "loop-back"; rung 1 to TS_LADDER_RUNGS. */
const char *ts_ladder_rung_name(int rung);

/* What the figures of such a climb are. */
ts_evidence ts_ladder_evidence(const ts_ladder_options *o);

/* Climb. *result (not nullable) is filled in as far as it went. Errors: that of the rung that failed, with its name
 * in front; TS_E_CANCELLED: options.stop. */
TS_NODISCARD ts_status ts_npu_ladder(const ts_ladder_options *o, ts_ladder_result *result, ts_err *err);

#endif
