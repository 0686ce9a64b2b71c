/* sims.h - what the tests of the array simulator share: host memory as a block, designs with small core programs,
 * one call to run them. */
#ifndef TS_TESTS_SIMS_H
#define TS_TESTS_SIMS_H

#include "designs.h"

#include "aie2/asm.h"
#include "sim/array.h"

/* Host memory: `bytes` bytes whose device address is HOST_BASE. */
enum { HOST_BASE = 0x10000000 };
typedef struct host_block {
    uint8_t *data;
    size_t bytes;
    ts_array_host host;
} host_block;

static inline int host_block_read(void *ud, uint64_t addr, void *data, size_t len) {
    const host_block *h = ud;
    uint64_t at = addr - HOST_BASE - TS_ARRAY_BIAS;
    if (at > h->bytes || len > h->bytes - at) return -1;
    memcpy(data, h->data + at, len);
    return 0;
}
static inline int host_block_write(void *ud, uint64_t addr, const void *data, size_t len) {
    const host_block *h = ud;
    uint64_t at = addr - HOST_BASE - TS_ARRAY_BIAS;
    if (at > h->bytes || len > h->bytes - at) return -1;
    memcpy(h->data + at, data, len);
    return 0;
}
static inline void host_block_init(host_block *h, size_t bytes) {
    *h = (host_block){.data = calloc(1, bytes), .bytes = bytes};
    assert_non_null(h->data);
    h->host = (ts_array_host){.ud = h, .read = host_block_read, .write = host_block_write};
}

/* A program in assembler text; hazards are errors. */
static inline ts_buf assemble(const char *text) {
    ts_aie2_program p;
    ts_err err;
    ts_buf code = {0};
    if (ts_aie2_assemble(&p, "test", text, strlen(text), NULL, &err) != TS_OK)
        fail_msg("%s", p.messages.data ? p.messages.data : err.msg);
    assert_true(ts_buf_append(&code, p.code.data, p.code.len));
    ts_aie2_program_free(&p);
    return code;
}

/* An array of n_cols columns with the design loaded; frees the design. */
static inline ts_array *array_of(ts_design *d, const ts_array_options *o) {
    ts_array *a;
    ts_err err;
    ts_buf pdi = {0};
    assert_ok(ts_array_new(&a, o, &err));
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_array_load(a, pdi.data, pdi.len, &err));
    ts_buf_free(&pdi);
    ts_design_free(d);
    return a;
}

/* Run what the dispatch has gathered, with arguments at these offsets of the host block; frees the dispatch. */
static inline ts_status run_dispatch(ts_array *a, ts_dispatch *p, host_block *h, const uint64_t *offsets, int n_args,
                                     ts_array_outcome *outcome, ts_err *why) {
    ts_buf txn = {0};
    ts_err err;
    uint64_t args[8];
    for (int i = 0; i < n_args; i++) args[i] = HOST_BASE + offsets[i];
    assert_ok(ts_dispatch_finish(p, &txn, &err));
    ts_status s = ts_array_run(a, txn.data, txn.len, args, n_args, &h->host, outcome, why);
    ts_buf_free(&txn);
    ts_dispatch_free(p);
    return s;
}

/* The same, and it must go well. */
static inline void run_well(ts_array *a, ts_dispatch *p, host_block *h, const uint64_t *offsets, int n_args) {
    ts_err err;
    if (run_dispatch(a, p, h, offsets, n_args, NULL, &err) != TS_OK) fail_msg("%s\n%s", err.msg, ts_array_report(a));
    if (ts_array_mishaps(a)) fail_msg("%s", ts_array_report(a));
}

static inline void fill_words(uint8_t *p, size_t words, uint32_t seed) {
    for (size_t i = 0; i < words; i++) {
        uint32_t w = (uint32_t)i * 2654435761u + seed;
        memcpy(p + 4 * i, &w, 4);
    }
}

/* ---- a core that doubles ----------------------------------------------------------------------------------------- */

/* The tile's core doubles every word of a stream: S2MM 0 fills two buffers, the core writes twice their contents to two
 * others, MM2S 0 sends those; four locks keep them apart. packet_id 0: without headers. */
static inline void add_doubler_packets(ts_design *d, ts_tile tile, uint32_t words, int packet_id) {
    ts_tile_buf in[2], out[2];
    for (int i = 0; i < 2; i++) {
        in[i] = ts_design_buffer(d, tile, "in", 4 * words, i);
        out[i] = ts_design_buffer(d, tile, "out", 4 * words, 2 + i);
    }
    ts_tile_lock in_empty = ts_design_lock(d, tile, "in_empty", 2), in_full = ts_design_lock(d, tile, "in_full", 0);
    ts_tile_lock out_empty = ts_design_lock(d, tile, "out_empty", 2), out_full = ts_design_lock(d, tile, "out_full", 0);
    ts_design_dma(d, tile, TS_S2MM, 0,
                  (ts_ring_step[]){{.buffer = in[0], .acquire = in_empty, .release = in_full},
                                   {.buffer = in[1], .acquire = in_empty, .release = in_full}},
                  2);
    ts_design_dma(d, tile, TS_MM2S, 0,
                  (ts_ring_step[]){{.buffer = out[0], .acquire = out_full, .release = out_empty,
                                    .packet = packet_id > 0,
                                    .packet_id = (uint8_t)packet_id},
                                   {.buffer = out[1], .acquire = out_full, .release = out_empty,
                                    .packet = packet_id > 0,
                                    .packet_id = (uint8_t)packet_id}},
                  2);
    ts_buf text = {0};
    assert_true(ts_buf_puts(&text, "        mova r0, #-1\n        mova r1, #1\ntop:\n"));
    for (int i = 0; i < 2; i++)
        assert_true(
            ts_buf_printf(&text,
                          "        movxm p0, #0x%x\n        movxm p1, #0x%x\n"
                          "        movxm ls, #first%d\n        movxm le, #last%d\n        movxm lc, #%u\n"
                          "        acq #%d, r0\n        .rept 4\n        nop\n        .endr\n        acq #%d, r0\n"
                          "        .rept 4\n        nop\n        .endr\n"
                          "first%d: lda r4, [p0], #4\n        .rept 6\n        nop\n        .endr\n"
                          "        add r4, r4, r4\nlast%d:  st r4, [p1], #4\n"
                          "        .rept 4\n        nop\n        .endr\n        rel #%d, r1\n"
                          "        .rept 4\n        nop\n        .endr\n        rel #%d, r1\n",
                          ts_design_core_addr(d, in[i], tile), ts_design_core_addr(d, out[i], tile), i, i, words,
                          ts_design_core_lock(d, in_full, tile), ts_design_core_lock(d, out_empty, tile), i, i,
                          ts_design_core_lock(d, in_empty, tile), ts_design_core_lock(d, out_full, tile)));
    assert_true(ts_buf_puts(&text, "        j #top\n        .rept 5\n        nop\n        .endr\n"));
    ts_buf code = assemble(text.data);
    ts_design_program(d, tile, code.data, code.len);
    ts_buf_free(&code);
    ts_buf_free(&text);
}

static inline void add_doubler(ts_design *d, ts_tile tile, uint32_t words) {
    add_doubler_packets(d, tile, words, 0);
}

/* host -> shim -> core -> shim -> host in every column */
static inline ts_design *doubler_on(const ts_chip *chip, int n_cols, uint32_t words) {
    ts_design *d;
    ts_err err;
    assert_ok(ts_design_new(&d, chip, n_cols, &err));
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, 0), tile = ts_tile_at(col, chip->core_row + col % ts_chip_core_rows(chip));
        add_doubler(d, tile, words);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(tile, 0)}, 1);
        ts_design_flow(d, ts_end_dma(tile, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
    }
    return d;
}
static inline ts_design *doubler_design(int n_cols, uint32_t words) {
    return doubler_on(&ts_npu1, n_cols, words);
}

#endif
