/* simnode.h - the device "npu-sim": the strict fake node with the array simulator behind it.
 *
 * Its ts_npu_io is given to the driver code in place of the real node; from there on nothing knows the difference. */
#ifndef TS_SIM_SIMNODE_H
#define TS_SIM_SIMNODE_H

#include "sim/array.h"
#include "xdna/fake.h"
#include "xdna/meter.h"

typedef struct ts_simnode ts_simnode;

typedef struct ts_simnode_options { /* zero-initialise */
    ts_fake_profile profile;
    uint64_t seed;               /* of the array's latencies, 0: nominal */
    const ts_sim_timing *timing; /* NULL: the table; copied */
    bool strict;                 /* memory exists twice and mishaps end a command: for tests, slower */
    /* cycles that the array is left to itself before each command: the host's side of it */
    uint64_t gap;
} ts_simnode_options;

TS_NODISCARD ts_status ts_simnode_new(ts_simnode **out, const ts_simnode_options *o, ts_err *err);
void ts_simnode_free(ts_simnode *n); /* NULL-safe; the device must be closed */
const ts_npu_io *ts_simnode_io(ts_simnode *n);
/* What its commands took, for whoever is given the io. Borrowed. */
const ts_npu_meter *ts_simnode_meter(const ts_simnode *n);
/* To inject failures and to ask for broken rules. */
ts_fake *ts_simnode_fake(ts_simnode *n);

/* What the last command cost; all zero before the first. Borrowed. */
const ts_array_stats *ts_simnode_stats(const ts_simnode *n);
/* The report of the last command that did not end well ("" if none). */
const char *ts_simnode_report(const ts_simnode *n);

#endif
