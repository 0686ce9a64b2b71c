#include "npu/gemv_array.h"
#include "npu/gemv_code.h"
#include "xdna/design.h"

#include <assert.h>

/* The memtile of column 0 keeps activations too. It has 24 descriptors for even and 24 for odd channels; a ring
 * takes one for each buffer and direction, so there it is fewer and larger buffers. */
static const struct {
    uint32_t holds, count;
} rings[TS_GEMV_COLS] = {{5, 7}, {3, 12}, {3, 12}, {3, 12}};
enum { MAX_STEPS = 12, ACT_IN = 2, ACT_OUT = 3 /* channels of the memtile, one of each half */ };

uint32_t ts_gemv_ring_bytes(int stream) {
    enum { LINE = 64 }; /* transfers from host memory begin at lines */
    return (ts_gemv_ring_holds(stream) * TS_GEMV_W_BYTES + LINE - 1) / LINE * LINE;
}
uint32_t ts_gemv_ring_holds(int stream) {
    return rings[ts_gemv_stream_col(stream)].holds;
}
uint32_t ts_gemv_ring_count(int stream) {
    return rings[ts_gemv_stream_col(stream)].count;
}

/* A ring of n buffers that lie one behind the other, `stride` apart; each is taken from one lock and given to
 * another. */
static void add_ring(ts_design *d, ts_tile t, ts_dma_dir dir, int channel, ts_tile_buf buffer, uint32_t n,
                     uint32_t stride, uint32_t bytes, ts_tile_lock take, ts_tile_lock give) {
    ts_ring_step step[MAX_STEPS] = {0};
    assert(n <= MAX_STEPS);
    for (uint32_t i = 0; i < n; i++)
        step[i] =
            (ts_ring_step){.buffer = buffer, .offset = i * stride, .bytes = bytes, .acquire = take, .release = give};
    ts_design_dma(d, t, dir, channel, step, (int)n);
}

/* A FIFO in a memtile: what comes in on one channel goes out on another, the first `goes_on` bytes of each buffer. */
static void add_fifo(ts_design *d, ts_tile mem, const char *name, int in, int out, uint32_t n, uint32_t bytes,
                     uint32_t goes_on) {
    ts_tile_buf b = ts_design_buffer(d, mem, name, n * bytes, TS_ANY_BANK);
    ts_tile_lock empty = ts_design_lock(d, mem, name, (int)n), full = ts_design_lock(d, mem, name, 0);
    add_ring(d, mem, TS_S2MM, in, b, n, bytes, bytes, empty, full);
    add_ring(d, mem, TS_MM2S, out, b, n, bytes, goes_on, full, empty);
}

/* Memory, locks and rings of a core, at the places that gemv.s knows. */
static void add_core(ts_design *d, ts_tile core, int number) {
    ts_tile_buf w = ts_design_buffer(d, core, "weights", TS_GEMV_W_COUNT * TS_GEMV_W_STRIDE, TS_ANY_BANK);
    ts_tile_buf o = ts_design_buffer(d, core, "sums", TS_GEMV_O_COUNT * TS_GEMV_O_STRIDE, TS_ANY_BANK);
    ts_tile_buf a = ts_design_buffer(d, core, "activations", TS_GEMV_A_COUNT * TS_GEMV_A_BYTES, TS_ANY_BANK);
    ts_tile_buf slice =
        ts_design_buffer(d, core, "slice", TS_GEMV_X_BEFORE + TS_GEMV_X_BYTES + TS_GEMV_X_AFTER, TS_ANY_BANK);
    ts_tile_buf params = ts_design_buffer(d, core, "parameters", TS_GEMV_PARAMS_BYTES, TS_ANY_BANK);
    ts_tile_lock w_empty = ts_design_lock(d, core, "weights empty", TS_GEMV_W_COUNT);
    ts_tile_lock w_full = ts_design_lock(d, core, "weights full", 0);
    ts_tile_lock a_empty = ts_design_lock(d, core, "activations empty", TS_GEMV_A_COUNT);
    ts_tile_lock a_full = ts_design_lock(d, core, "activations full", 0);
    ts_tile_lock o_empty = ts_design_lock(d, core, "sums empty", TS_GEMV_O_COUNT);
    ts_tile_lock o_full = ts_design_lock(d, core, "sums full", 0);
    add_ring(d, core, TS_S2MM, 0, w, TS_GEMV_W_COUNT, TS_GEMV_W_STRIDE, TS_GEMV_W_BYTES, w_empty, w_full);
    add_ring(d, core, TS_S2MM, 1, a, TS_GEMV_A_COUNT, TS_GEMV_A_BYTES, TS_GEMV_A_BYTES, a_empty, a_full);
    add_ring(d, core, TS_MM2S, 0, o, TS_GEMV_O_COUNT, TS_GEMV_O_STRIDE, TS_GEMV_O_BYTES, o_full, o_empty);
    const uint32_t word[2] = {4 * (uint32_t)number, 0};
    ts_design_data(d, params, word, sizeof word);
    ts_design_program(d, core, ts_gemv_code, ts_gemv_code_bytes);
    /* first fit puts them one behind the other; gemv_core.h counts on it */
    const bool there = w && o && a && slice && params && w_empty && w_full && a_empty && a_full && o_empty && o_full;
    assert(!there ||
           (ts_design_core_addr(d, w, core) == TS_GEMV_W_BASE && ts_design_core_addr(d, o, core) == TS_GEMV_O_BASE &&
            ts_design_core_addr(d, a, core) == TS_GEMV_A_BASE &&
            ts_design_core_addr(d, params, core) == TS_GEMV_PARAMS));
    assert(!there || (ts_design_core_lock(d, w_empty, core) == TS_GEMV_W_EMPTY &&
                       ts_design_core_lock(d, w_full, core) == TS_GEMV_W_FULL &&
                       ts_design_core_lock(d, a_empty, core) == TS_GEMV_A_EMPTY &&
                       ts_design_core_lock(d, a_full, core) == TS_GEMV_A_FULL &&
                       ts_design_core_lock(d, o_empty, core) == TS_GEMV_O_EMPTY &&
                       ts_design_core_lock(d, o_full, core) == TS_GEMV_O_FULL));
}

static void describe(ts_design *d, const ts_chip *chip) {
    ts_end acts[TS_GEMV_CORES];
    for (int s = 0; s < TS_GEMV_CORES; s++) {
        int col = ts_gemv_stream_col(s), ch = ts_gemv_stream_channel(s);
        ts_tile shim = ts_tile_at(col, TS_ROW_SHIM), mem = ts_tile_at(col, TS_ROW_MEM),
                core = ts_tile_at(col, chip->core_row + ch);
        add_core(d, core, s);
        add_fifo(d, mem, "weights", ch, ch, rings[col].count, ts_gemv_ring_bytes(s),
                 rings[col].holds * TS_GEMV_W_BYTES);
        if (s > 0) ts_design_flow(d, ts_end_dma(shim, ch), (ts_end[]){ts_end_dma(mem, ch)}, 1);
        ts_design_flow(d, ts_end_dma(mem, ch), (ts_end[]){ts_end_dma(core, 0)}, 1);
        ts_design_flow(d, ts_end_dma(core, 0), (ts_end[]){ts_end_dma(shim, ch)}, 1);
        acts[s] = ts_end_dma(core, 1);
    }
    ts_tile shim = ts_tile_at(0, TS_ROW_SHIM), mem = ts_tile_at(0, TS_ROW_MEM);
    add_fifo(d, mem, "activations", ACT_IN, ACT_OUT, TS_GEMV_ACT_RING, TS_GEMV_A_BYTES, TS_GEMV_A_BYTES);
    ts_design_packets(d, TS_GEMV_PACKET_WEIGHTS, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1, false);
    ts_design_packets(d, TS_GEMV_PACKET_ACTS, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, ACT_IN)}, 1, false);
    ts_design_flow(d, ts_end_dma(mem, ACT_OUT), acts, TS_GEMV_CORES);
}

ts_status ts_gemv_config(ts_npu_config **out, const ts_chip *chip, ts_err *err) {
    ts_design *d;
    ts_buf pdi = {0};
    TS_TRY(ts_design_new(&d, chip, TS_GEMV_COLS, err));
    describe(d, chip);
    ts_status s = ts_design_finish(d, &pdi, NULL, err);
    if (s == TS_OK) s = ts_npu_config_check(out, chip, pdi.data, pdi.len, TS_GEMV_COLS, NULL, 0, NULL, err);
    ts_buf_free(&pdi);
    ts_design_free(d);
    return s;
}
