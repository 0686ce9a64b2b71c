/* How fast the simulator is, at the shape of a matrix-vector product: eight weight streams into two cores a column, ten
 * bundles of loads and multiply-accumulates for 32 bytes, a few words of sums back as packets. No check of results: the
 * figures are what it is for. Arguments: megabytes of weights (8), the window. */
#include "sims.h"

#include <time.h>

enum { BUF_WORDS = 1024, SUM_WORDS = 64 };

static ts_buf program(const ts_design *d, ts_tile tile, const ts_tile_buf in[2], const ts_tile_buf out[2],
                      const ts_tile_lock lock[4]) {
    ts_buf text = {0}, code = {0};
    ts_err err;
    ts_aie2_program p;
    bool ok =
        ts_buf_puts(&text,
                    "        mova r0, #-1\n        mova r1, #1\n        movxm r2, #0x308\n        mova m0, #0\ntop:\n");
    for (int i = 0; i < 2; i++)
        ok =
            ok &&
            ts_buf_printf(&text,
                          "        movxm p0, #0x%x\n        movxm p1, #0x%x\n        movxm p2, #0x78000\n"
                          "        movxm ls, #first%d\n        movxm le, #last%d\n        movxm lc, #%d\n"
                          "        acq #%d, r0\n        .rept 4\n        nop\n        .endr\n        acq #%d, r0\n"
                          "        .rept 8\n        nop\n        .endr\n"
                          "first%d: vlda wl0, [p0], #32 ; vldb wl2, [p2], m0 ; vmac cm0, cm0, x4, x6, r2\n"
                          "        vlda wh2, [p2], m0 ; vunpack.s8.s4 x4, wl8 ; vmac cm1, cm1, x4, x6, r2\n"
                          "        vmac cm2, cm2, x4, x6, r2 ; vshuffle x6, x0, x2, r3\n"
                          "        vunpack.s8.s4 x4, wh8 ; vmac cm3, cm3, x4, x6, r2\n"
                          "        vmac cm0, cm0, x4, x6, r2 ; lda r5, [p2], m0\n"
                          "        vmov x8, x0 ; vldb wl10, [p2], m0\n"
                          "        add r6, r5, r6 ; vldb wh10, [p2], m0 ; vmac cm1, cm1, x4, x6, r2\n"
                          "        vmac cm2, cm2, x4, x6, r2\n"
                          "        vmac cm3, cm3, x4, x6, r2\n"
                          "last%d:  vmac cm0, cm0, x4, x6, r2\n"
                          "        .rept 8\n        nop\n        .endr\n        rel #%d, r1\n"
                          "        st r6, [p1], #4\n        .rept 4\n        nop\n        .endr\n        rel #%d, r1\n",
                          ts_design_core_addr(d, in[i], tile), ts_design_core_addr(d, out[i], tile), i, i,
                          BUF_WORDS / 8, ts_design_core_lock(d, lock[1], tile), ts_design_core_lock(d, lock[2], tile),
                          i, i, ts_design_core_lock(d, lock[0], tile), ts_design_core_lock(d, lock[3], tile));
    ok = ok && ts_buf_puts(&text, "        j #top\n        .rept 5\n        nop\n        .endr\n");
    if (!ok ||
        ts_aie2_assemble(&p, "bench", text.data, text.len, &(ts_aie2_asm_opts){.no_hazards = true}, &err) != TS_OK)
        fail_msg("%s", p.messages.data);
    ok = ts_buf_append(&code, p.code.data, p.code.len);
    assert_true(ok);
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
    return code;
}

static ts_design *design(void) {
    ts_design *d;
    ts_err err;
    assert_ok(ts_design_new(&d, &ts_npu1, ts_npu1.cols, &err));
    for (int col = 0; col < ts_npu1.cols; col++)
        for (int r = 0; r < 2; r++) {
            ts_tile t = ts_tile_at(col, 2 + r), shim = ts_tile_at(col, 0);
            ts_end back = ts_end_dma(shim, 0);
            ts_tile_buf in[2], out[2];
            ts_tile_lock lock[4];
            for (int i = 0; i < 2; i++) {
                in[i] = ts_design_buffer(d, t, "in", 4 * BUF_WORDS, i);
                out[i] = ts_design_buffer(d, t, "out", 4 * SUM_WORDS, 3);
            }
            for (int i = 0; i < 4; i++) lock[i] = ts_design_lock(d, t, "l", i % 2 ? 0 : 2);
            ts_ring_step get[2], put[2];
            for (int i = 0; i < 2; i++) {
                get[i] = (ts_ring_step){.buffer = in[i], .acquire = lock[0], .release = lock[1]};
                put[i] = (ts_ring_step){
                    .buffer = out[i], .acquire = lock[3], .release = lock[2], .packet = true, .packet_id = (uint8_t)r};
            }
            ts_design_dma(d, t, TS_S2MM, 0, get, 2);
            ts_design_dma(d, t, TS_MM2S, 0, put, 2);
            ts_design_flow(d, ts_end_dma(shim, r), (ts_end[]){ts_end_dma(t, 0)}, 1);
            ts_design_packets(d, r, ts_end_dma(t, 0), &back, 1, false);
            ts_buf code = program(d, t, in, out, lock);
            ts_design_program(d, t, code.data, code.len);
            ts_buf_free(&code);
        }
    return d;
}

int main(int argc, char **argv) {
    size_t mb = argc > 1 ? strtoul(argv[1], NULL, 0) : 8;
    uint32_t blocks = (uint32_t)(mb * 1024 * 1024 / 8 / (4 * BUF_WORDS)); /* a stream */
    size_t sums_at = (size_t)blocks * 8 * 4 * BUF_WORDS, sums = (size_t)blocks * 2 * 4 * SUM_WORDS;
    host_block h;
    ts_dispatch p;
    host_block_init(&h, sums_at + 4 * sums);
    ts_array *a = array_of(design(), &(ts_array_options){.n_cols = ts_npu1.cols,
                                                         .strict = true,
                                                         .window = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 0});
    for (int run = 0; run < 2; run++) {
        ts_dispatch_init(&p, &ts_npu1, ts_npu1.cols);
        for (int col = 0; col < ts_npu1.cols; col++)
            ts_dispatch_task(&p, &(ts_shim_task){.col = col, .dir = TS_S2MM, .arg = 1, .offset = sums * (unsigned)col,
                                                 .words = (uint32_t)(sums / 4), .token = true});
        for (int i = 0; i < 8; i++)
            ts_dispatch_task(&p, &(ts_shim_task){.col = i / 2, .channel = i % 2, .dir = TS_MM2S, .arg = 0,
                                                 .offset = (uint64_t)blocks * 4 * BUF_WORDS * (unsigned)i,
                                                 .words = blocks * BUF_WORDS});
        for (int col = 0; col < ts_npu1.cols; col++) ts_dispatch_wait(&p, col, TS_S2MM, 0);
        for (int i = 0; i < 8; i++) ts_dispatch_implies(&p, i / 2, TS_MM2S, i % 2);
        clock_t t0 = clock();
        run_well(a, &p, &h, (uint64_t[]){0, sums_at}, 2);
        double s = (double)(clock() - t0) / CLOCKS_PER_SEC; /* of the processor: machines are busy */
        ts_array_stats st;
        ts_array_get_stats(a, &st);
        uint64_t bundles = 0;
        for (int c = 0; c < ts_npu1.cols; c++)
            for (int r = 0; r < ts_npu1.rows; r++) bundles += st.core[c][r].bundles;
        printf("%zu MB: %.2f s, %.1f MB/s, %.2f million bundles/s, %.2f million events/s (%.0f words an event)\n", mb,
               s, (double)mb / s, (double)bundles * 1e-6 / s, (double)st.events * 1e-6 / s,
               (double)st.read_bytes / 4 / (double)st.events);
    }
    ts_buf t = {0};
    if (ts_array_print_costs(a, &t)) fputs(t.data, stdout);
    ts_buf_free(&t);
    ts_array_free(a);
    free(h.data);
    return 0;
}
