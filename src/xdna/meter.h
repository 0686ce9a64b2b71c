/* meter.h - what commands took, where the node behind a ts_npu_io knows it, as a simulated one does. */
#ifndef TS_XDNA_METER_H
#define TS_XDNA_METER_H

#include <stdint.h>

typedef struct ts_npu_meter {
    void *ud;
    uint32_t mhz;           /* the array's clock, the same at all times */
    uint64_t submit_cycles; /* the host's side of a command, which no run contains */
    /* Of the last command: all of its cycles, and those before its first operation. */
    void (*last)(void *ud, uint64_t *cycles, uint64_t *launch_cycles);
    /* The node's own report of the last command that did not end well; "": there was none. Borrowed. */
    const char *(*report)(void *ud);
} ts_npu_meter;

#endif
