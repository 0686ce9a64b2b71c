/* array.h - the array simulator: a partition of an NPU with its firmware; PDI and instruction streams in, host memory
 * out.
 *
 * Every tile, DMA channel, stream switch and lock is modelled from its registers, and the cores run their programs
 * in the model of aie2/core.h. Time is kept in cycles of the array's clock. The same options, bytes and host memory
 * give the same run, cycle by cycle; another seed shakes the latencies, and a result that then changes is a mistake
 * of the design. What the array would do silently and a design should not (a fifth task in a queue, a descriptor
 * rewritten while it is used) happens as on the array and is noted as a mishap. docs/npu/simulator.md has the rest. */
#ifndef TS_SIM_ARRAY_H
#define TS_SIM_ARRAY_H

#include "aie2/core.h"
#include "sim/timing.h"
#include "xdna/tile.h"

typedef struct ts_array ts_array;

/* Host memory as the shim DMAs see it; addresses are those of descriptors: device addresses plus TS_ARRAY_BIAS (txn.h).
 * 0, or a negative number where there is nothing: the run ends with a bus error. */
typedef struct ts_array_host {
    void *ud;
    int (*read)(void *ud, uint64_t addr, void *data, size_t len);
    int (*write)(void *ud, uint64_t addr, const void *data, size_t len);
    /* Nullable. Asked now and then while a command runs: true ends it, as a hang. For a device whose context is
     * taken away. */
    bool (*stop)(void *ud);
} ts_array_host;

typedef struct ts_array_options {
    const ts_chip *chip;         /* NULL: npu1 */
    int n_cols;                  /* 1 to chip->cols */
    uint64_t seed;               /* 0: nominal times */
    const ts_sim_timing *timing; /* NULL: the table; copied */
    uint64_t max_cycles;         /* of one command; 0: 20 thousand million */
    uint32_t window;             /* cycles that parts run ahead of each other, 0: 128; changes speed, no time */
    bool strict;                 /* a mishap ends the run as a fault */
    bool check_undefined;        /* a core that reads a register it never wrote: a mishap */
    void (*trace)(void *ud, uint64_t cycle, const char *line); /* nullable: tasks, descriptors, locks as they happen */
    void *trace_ud;
} ts_array_options;

typedef enum ts_array_outcome {
    TS_ARRAY_DONE,
    TS_ARRAY_HANG,  /* nothing can go on, or max_cycles have passed: ts_array_report tells who waits for what */
    TS_ARRAY_FAULT, /* something that no array could do, or that the model does not do */
} ts_array_outcome;

/* All tiles as after power-on. Errors: TS_E_INVAL (columns), TS_E_NOMEM. */
TS_NODISCARD ts_status ts_array_new(ts_array **out, const ts_array_options *o, ts_err *err);
void ts_array_free(ts_array *a); /* NULL-safe */

/* Power-on: registers as after reset, locks 0, queues and streams empty, cores in reset, memories with contents that
 * depend on the seed, time 0, no mishaps. */
void ts_array_reset(ts_array *a);

/* Reset, then carry out the commands of a PDI, as the firmware does for a new context. Cores stay idle until the
 * first run. Errors: those of ts_pdi_open and ts_cdo_next; TS_E_DEVICE naming the register of a write that the array
 * refuses. */
TS_NODISCARD ts_status ts_array_load(ts_array *a, const void *pdi, size_t len, ts_err *err);

/* Carry out one instruction stream; args are device addresses, without bias. State is kept for the next run, work
 * that nobody waited for goes on there. TS_OK: *outcome is DONE. TS_E_DEVICE: *outcome (nullable) says how it ended,
 * err has one line and ts_array_report all; the array takes nothing more until it is loaded or reset. Other errors:
 * a malformed stream, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_array_run(ts_array *a, const void *txn, size_t len, const uint64_t *args, int n_args,
                                    const ts_array_host *host, ts_array_outcome *outcome, ts_err *err);

/* What ended the last run, who waits for what, and the mishaps; empty after a run that went well without any. Borrowed
 * until the next call. */
const char *ts_array_report(const ts_array *a);

/* Which shim DMA met the bus error that ended the last run; false: none did. */
bool ts_array_bus_error(const ts_array *a, ts_tile *tile, ts_dma_dir *dir);

/* Since the last reset. The texts of the first TS_MISHAPS_KEPT are kept. */
enum { TS_MISHAPS_KEPT = 16 };
size_t ts_array_mishaps(const ts_array *a);
const char *ts_array_mishap(const ts_array *a, size_t i);

/* ---- registers --------------------------------------------------------------------------------------------------- */

/* Registers and memories by their addresses (tile.h), as the firmware reaches them; nothing moves in between. Errors:
 * TS_E_DEVICE naming what the address is. */
TS_NODISCARD ts_status ts_array_write(ts_array *a, uint32_t addr, uint32_t value, ts_err *err);
TS_NODISCARD ts_status ts_array_read(const ts_array *a, uint32_t addr, uint32_t *value, ts_err *err);

/* A tile's data memory, as much as the chip says; NULL for the shim. Borrowed. */
uint8_t *ts_array_memory(ts_array *a, ts_tile tile);

/* Let the array go on without the firmware until `cycles` have passed or nothing can; TS_E_DEVICE as for a run. With
 * the host of a run only for as long as this call takes (nullable). */
TS_NODISCARD ts_status ts_array_idle(ts_array *a, uint64_t cycles, const ts_array_host *host, ts_err *err);

/* ---- what it cost ------------------------------------------------------------------------------------------------ */

/* Why a part of the array stood still. */
#define TS_WAITS(W)                                                                                                    \
    W(TASK, "a task") W(LOCK, "a lock") W(WORDS, "stream words") W(ROOM, "room in a stream") W(HOST, "host memory")    \
    W(CASCADE, "the cascade") W(TOKEN, "a token's way out") W(ARBITER, "a packet switch") W(ROUTE, "a route")
typedef enum ts_wait {
    TS_WAIT_NONE,
#define W(name, text) TS_WAIT_##name,
    TS_WAITS(W)
#undef W
        TS_WAIT_COUNT,
} ts_wait;
const char *ts_wait_text(ts_wait w);

typedef struct ts_channel_stats {
    uint64_t words, bds, tasks;      /* moved, carried out, finished */
    uint64_t waited[TS_WAIT_COUNT]; /* cycles, by cause; TASK: the channel was idle */
} ts_channel_stats;

typedef struct ts_core_stats {
    uint64_t bundles, bank_stalls, words_in, words_out;
    uint64_t waited[TS_WAIT_COUNT];
    bool running;
} ts_core_stats;

typedef struct ts_array_stats {
    uint64_t cycles; /* from the command's arrival to its end */
    uint64_t launch; /* of them: before the first operation */
    uint64_t fw_ops, fw_busy, fw_wait;
    uint64_t read_bytes, write_bytes; /* of host memory */
    uint64_t events;                  /* of the simulator */
    ts_channel_stats channel[TS_COLS_MAX][TS_ROWS_MAX][2][TS_CHANNELS_MAX];
    ts_core_stats core[TS_COLS_MAX][TS_ROWS_MAX];
} ts_array_stats;

/* Of the last run. */
void ts_array_get_stats(const ts_array *a, ts_array_stats *s);
/* Append a table of what cost what. false: out of memory. */
TS_NODISCARD bool ts_array_print_costs(const ts_array *a, ts_buf *out);

/* Cycles since reset. */
uint64_t ts_array_cycles(const ts_array *a);

#endif
