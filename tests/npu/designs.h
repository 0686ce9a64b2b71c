/* designs.h - small array designs that several tests use, each with a command that fits it. */
#ifndef TS_TESTS_DESIGNS_H
#define TS_TESTS_DESIGNS_H

#include "support/test.h"

#include "xdna/check.h"
#include "xdna/design.h"
#include "xdna/dispatch.h"

/* A ring of two buffers in the memory of `tile`: what comes in on S2MM 0 goes out on MM2S 0. `words` a buffer. */
static inline void add_pingpong(ts_design *d, ts_tile tile, uint32_t words) {
    ts_tile_buf ping = ts_design_buffer(d, tile, "ping", 4 * words, TS_ANY_BANK);
    ts_tile_buf pong = ts_design_buffer(d, tile, "pong", 4 * words, TS_ANY_BANK);
    ts_tile_lock empty = ts_design_lock(d, tile, "empty", 2), full = ts_design_lock(d, tile, "full", 0);
    ts_design_dma(d, tile, TS_S2MM, 0,
                  (ts_ring_step[]){{.buffer = ping, .acquire = empty, .release = full},
                                   {.buffer = pong, .acquire = empty, .release = full}},
                  2);
    ts_design_dma(d, tile, TS_MM2S, 0,
                  (ts_ring_step[]){{.buffer = ping, .acquire = full, .release = empty},
                                   {.buffer = pong, .acquire = full, .release = empty}},
                  2);
}

/* Loop-back in every column: host -> shim -> `row` (a memtile or core) -> shim -> host. */
static inline ts_design *loopback_on(const ts_chip *chip, int n_cols, int row, uint32_t words) {
    ts_design *d;
    ts_err err;
    assert_ok(ts_design_new(&d, chip, n_cols, &err));
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, 0), tile = ts_tile_at(col, row);
        add_pingpong(d, tile, words);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(tile, 0)}, 1);
        ts_design_flow(d, ts_end_dma(tile, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
    }
    return d;
}
static inline ts_design *loopback_design(int n_cols, int row, uint32_t words) {
    return loopback_on(&ts_npu1, n_cols, row, words);
}

/* Each column sends its part of argument 0 round to argument 1. */
static inline void loopback_dispatch_on(ts_dispatch *p, const ts_chip *chip, int n_cols, uint32_t words_per_col) {
    ts_dispatch_init(p, chip, n_cols);
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_S2MM,
                                            .arg = 1,
                                            .offset = 4 * (uint64_t)words_per_col * (unsigned)col,
                                            .words = words_per_col,
                                            .token = true});
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_MM2S,
                                            .arg = 0,
                                            .offset = 4 * (uint64_t)words_per_col * (unsigned)col,
                                            .words = words_per_col});
    for (int col = 0; col < n_cols; col++) {
        ts_dispatch_wait(p, col, TS_S2MM, 0);
        ts_dispatch_implies(p, col, TS_MM2S, 0);
    }
}
static inline void loopback_dispatch(ts_dispatch *p, int n_cols, uint32_t words_per_col) {
    loopback_dispatch_on(p, &ts_npu1, n_cols, words_per_col);
}

/* Broadcast and gather, the shape of a matrix-vector product: column 0 sends activations to all cores of a column
 * (multicast) over channel 1, each core gets its own weights through the memtile, and the results of a column's
 * cores come back as packets into one shim channel. The programs are 16 bytes of zeros: enough for the bytes and
 * the checker. */
static inline ts_design *gather_design(int n_cols) {
    ts_design *d;
    ts_err err;
    static const uint32_t nop[4];
    assert_ok(ts_design_new(&d, &ts_npu1, n_cols, &err));
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, 0), mem = ts_tile_at(col, 1);
        ts_end cores_x[4], out = ts_end_dma(shim, 0);
        ts_ring_step fill[4], drain[4]; /* the memtile gives each core its quarter, under locks of its own */
        for (int r = 0; r < 4; r++) {
            ts_tile_buf w = ts_design_buffer(d, mem, "weights", 1024, TS_ANY_BANK);
            ts_tile_lock empty = ts_design_lock(d, mem, "w_empty", 1),
                         full = ts_design_lock(d, mem, "w_full", 0);
            fill[r] = (ts_ring_step){.buffer = w, .acquire = empty, .release = full};
            drain[r] = (ts_ring_step){.buffer = w, .acquire = full, .release = empty};
        }
        ts_design_dma(d, mem, TS_S2MM, 0, fill, 4);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1);
        for (int r = 0; r < 4; r++) {
            ts_tile core = ts_tile_at(col, ts_npu1.core_row + r);
            ts_tile_buf x = ts_design_buffer(d, core, "x", 256, 0),
                        cw = ts_design_buffer(d, core, "w", 1024, 1),
                        y = ts_design_buffer(d, core, "y", 64, 2);
            ts_tile_lock l[6];
            for (int i = 0; i < 6; i++) l[i] = ts_design_lock(d, core, "l", i % 2 == 0);
            ts_design_program(d, core, nop, sizeof nop);
            ts_design_dma(d, core, TS_S2MM, 0,
                          (ts_ring_step[]){{.buffer = cw, .acquire = l[0], .release = l[1]}}, 1);
            ts_design_dma(d, core, TS_S2MM, 1,
                          (ts_ring_step[]){{.buffer = x, .acquire = l[2], .release = l[3]}}, 1);
            ts_design_dma(d, core, TS_MM2S, 0,
                          (ts_ring_step[]){{.buffer = y,
                                            .acquire = l[5],
                                            .release = l[4],
                                            .packet = true,
                                            .packet_id = (uint8_t)(1 + r)}},
                          1);
            ts_design_dma(d, mem, TS_MM2S, r, &drain[r], 1);
            ts_design_flow(d, ts_end_dma(mem, r), (ts_end[]){ts_end_dma(core, 0)}, 1);
            ts_design_packets(d, 1 + r, ts_end_dma(core, 0), &out, 1, false);
            cores_x[r] = ts_end_dma(core, 1);
        }
        ts_design_flow(d, ts_end_dma(shim, 1), cores_x, 4);
    }
    return d;
}

/* Every core of gather_design does one round: takes a weight block and the activations, gives one result. */
static inline size_t gather_uses(int n_cols, ts_core_use *uses) {
    size_t n = 0;
    for (int col = 0; col < n_cols; col++)
        for (int r = 0; r < 4; r++)
            for (int l = 0; l < 6; l++) {
                ts_tile core = ts_tile_at(col, ts_npu1.core_row + r);
                bool takes = l == 1 || l == 3 || l == 4; /* full weights, full x, empty y */
                uses[n++] =
                    (ts_core_use){.core = core, .tile = core, .lock = l, .acquire = takes, .release = !takes};
            }
    return n;
}

static inline void gather_dispatch(ts_dispatch *p, int n_cols, uint32_t rounds) {
    ts_dispatch_init(p, &ts_npu1, n_cols);
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_S2MM,
                                            .arg = 2,
                                            .offset = 4 * 64 * rounds * (uint64_t)(unsigned)col,
                                            .words = 4 * 16 * rounds,
                                            .token = true});
    for (int col = 0; col < n_cols; col++) {
        ts_dispatch_task(
            p, &(ts_shim_task){
                   .col = col, .channel = 1, .dir = TS_MM2S, .arg = 1, .words = 64, .repeat = (int)rounds});
        ts_dispatch_task(p, &(ts_shim_task){.col = col,
                                            .dir = TS_MM2S,
                                            .arg = 0,
                                            .offset = 4096 * rounds * (uint64_t)(unsigned)col,
                                            .words = 1024 * rounds});
    }
    for (int col = 0; col < n_cols; col++) {
        ts_dispatch_wait(p, col, TS_S2MM, 0);
        ts_dispatch_implies(p, col, TS_MM2S, 0);
        ts_dispatch_implies(p, col, TS_MM2S, 1);
    }
}

#endif
