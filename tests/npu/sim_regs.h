/* sim_regs.h - a simulated array set up register by register, for tests of single mechanisms. */
#ifndef TS_TESTS_SIM_REGS_H
#define TS_TESTS_SIM_REGS_H

#include "sims.h"

#include "xdna/regs.h"

static inline void put(ts_array *a, uint32_t addr, uint32_t value) {
    ts_err err;
    assert_ok(ts_array_write(a, addr, value, &err));
}
static inline uint32_t get(const ts_array *a, uint32_t addr) {
    ts_err err;
    uint32_t v = 0;
    assert_ok(ts_array_read(a, addr, &v, &err));
    return v;
}
static inline void put_bd(ts_array *a, ts_tile t, int n, const ts_bd *bd) {
    uint32_t w[TS_BD_WORDS_MAX];
    ts_err err;
    ts_tile_kind k = ts_tile_kind_of(&ts_npu1, t);
    assert_ok(ts_bd_encode(k, bd, w, &err));
    for (uint32_t i = 0; i < ts_tile_maps[k].bd_words; i++) put(a, ts_addr(t, ts_bd_off(k, n)) + 4 * i, w[i]);
}
static inline void start(ts_array *a, ts_tile t, ts_dma_dir dir, int ch, uint32_t bd, uint32_t repeat) {
    put(a, ts_addr(t, ts_dma_queue(ts_tile_kind_of(&ts_npu1, t), dir, ch)),
        ts_dma_start_encode((ts_dma_start){.bd = bd, .repeat = repeat}));
}
static inline void set_lock(ts_array *a, ts_tile t, int n, uint32_t v) {
    put(a, ts_addr(t, ts_lock_off(ts_tile_kind_of(&ts_npu1, t), n)), v);
}
static inline uint32_t lock_value(const ts_array *a, ts_tile t, int n) {
    return get(a, ts_addr(t, ts_lock_off(ts_tile_kind_of(&ts_npu1, t), n)));
}
static inline uint32_t status(const ts_array *a, ts_tile t, ts_dma_dir dir, int ch) {
    return get(a, ts_addr(t, ts_tile_maps[ts_tile_kind_of(&ts_npu1, t)].status[dir] + 4 * (uint32_t)ch));
}
/* Connect ports of one switch, as a circuit. */
static inline void connect(ts_array *a, ts_tile t, ts_port from, ts_port to) {
    ts_tile_kind k = ts_tile_kind_of(&ts_npu1, t);
    int s = ts_port_number(k, TS_SLAVE, from), m = ts_port_number(k, TS_MASTER, to);
    assert_true(s >= 0 && m >= 0);
    put(a, ts_addr(t, ts_ss_slave_off(k, s)), ts_ss_slave_encode((ts_ss_slave){.enable = true}));
    put(a, ts_addr(t, ts_ss_master_off(k, m)),
        ts_ss_master_encode((ts_ss_master){.enable = true, .slave = (uint8_t)s}));
}
/* What MM2S ch sends comes back on S2MM ch of the same tile. */
static inline void loop(ts_array *a, ts_tile t, int ch) {
    ts_tile_kind k = ts_tile_kind_of(&ts_npu1, t);
    connect(a, t, ts_port_dma(k, TS_MM2S, ch), ts_port_dma(k, TS_S2MM, ch));
    if (k != TS_TILE_SHIM) return;
    put(a, ts_addr(t, TS_SHIM_MUX), get(a, ts_addr(t, TS_SHIM_MUX)) | ts_shim_mux_bits(TS_MM2S, ch));
    put(a, ts_addr(t, TS_SHIM_DEMUX), get(a, ts_addr(t, TS_SHIM_DEMUX)) | ts_shim_mux_bits(TS_S2MM, ch));
}
static inline ts_array *one_column(uint64_t seed) {
    ts_array *a;
    ts_err err;
    assert_ok(ts_array_new(&a, &(ts_array_options){.n_cols = 1, .seed = seed}, &err));
    return a;
}
static inline void go_on(ts_array *a, uint64_t cycles, const host_block *h) {
    ts_err err;
    if (ts_array_idle(a, cycles, h ? &h->host : NULL, &err) != TS_OK) fail_msg("%s", err.msg);
}
/* Everything that a fabric has set, as a configuration would. */
static inline void put_fabric(ts_array *a, const ts_fabric *f) {
    ts_cdo cdo = {0};
    ts_buf list = {0};
    ts_err err;
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more = true;
    ts_fabric_emit(f, &cdo);
    assert_ok(ts_cdo_finish(&cdo, &list, &err));
    assert_ok(ts_cdo_open(&r, list.data, list.len, &err));
    for (;;) {
        assert_ok(ts_cdo_next(&r, &op, &more, &err));
        if (!more) break;
        if (op.kind == TS_CDO_WRITE) put(a, op.addr, op.value);
        if (op.kind == TS_CDO_MASK_WRITE) put(a, op.addr, (get(a, op.addr) & ~op.mask) | (op.value & op.mask));
    }
    ts_cdo_free(&cdo);
    ts_buf_free(&list);
}
/* Put a program into a core and let it run from the next command, or from launch(), on. */
static inline void put_program(ts_array *a, ts_tile t, const char *text) {
    ts_buf code = assemble(text);
    for (size_t i = 0; i + 4 <= code.len; i += 4) {
        uint32_t w;
        memcpy(&w, code.data + i, 4);
        put(a, ts_addr(t, TS_PROGRAM_BASE + (uint32_t)i), w);
    }
    put(a, ts_addr(t, TS_CORE_CORE_CONTROL), 1);
    ts_buf_free(&code);
}
/* An empty command: from now on the cores run. */
static inline void launch(ts_array *a, int n_cols) {
    ts_txn txn = {0};
    ts_buf b = {0};
    ts_err err;
    ts_txn_nop(&txn);
    assert_ok(ts_txn_finish(&txn, &ts_npu1, n_cols, &b, &err));
    assert_ok(ts_array_run(a, b.data, b.len, NULL, 0, NULL, NULL, &err));
    ts_txn_free(&txn);
    ts_buf_free(&b);
}

#endif
