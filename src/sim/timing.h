/* timing.h - the simulator's table of times (timing.def).
 *
 * Cycles are those of the array's clock; a figure that was measured on another clock stands as measured. What is a
 * guess and what was seen on silicon is said in the table itself and in docs/npu/simulator.md. */
#ifndef TS_SIM_TIMING_H
#define TS_SIM_TIMING_H

#include "base/mem.h"

#include <stdint.h>

/* One figure; low <= nominal <= high. */
typedef struct ts_sim_range {
    uint32_t nominal, low, high;
} ts_sim_range;

typedef struct ts_sim_timing {
#define TIMING(name, nominal, low, high, unit, source, text) ts_sim_range name;
#include "sim/timing.def"
#undef TIMING
} ts_sim_timing;

enum {
    /* [doc] AM020; the measured channels of an npu1 behave like it [silicon] ryzenai-npu-lab */
    TS_SIM_CLOCK_MHZ = 1000,
    /* fixed cost of a command as the host sees it, its launch included [silicon] ryzenai-npu-lab */
    TS_SIM_SUBMIT_NS = 160000,
};

/* The table as it stands. */
void ts_sim_timing_init(ts_sim_timing *t);

/* Cycles of TS_SIM_SUBMIT_NS that no run contains: all of it but the launch. */
uint64_t ts_sim_submit_gap(void);

/* One figure by name, the same with every seed. TS_E_INVAL: no such name. */
TS_NODISCARD ts_status ts_sim_timing_set(ts_sim_timing *t, const char *name, uint32_t value, ts_err *err);

/* Append the table, a line a figure. false: out of memory. */
TS_NODISCARD bool ts_sim_timing_print(const ts_sim_timing *t, ts_buf *out);

#endif
