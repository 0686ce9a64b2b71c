/* The array simulator as a whole: designs of many tiles, seeds, the order of computing, loading again. */
#include "sims.h"

static void print_costs_of(const ts_array *a) {
    ts_buf t = {0};
    assert_true(ts_array_print_costs(a, &t));
    print_message("%s", t.data);
    ts_buf_free(&t);
}

/* 4 KiB and more, round through a memtile or a core, in one column and in four. */
static void loopback(void **state) {
    (void)state;
    for (int row = 1; row <= 2; row++)
        for (int n_cols = 1; n_cols <= 4; n_cols += 3) {
            enum { WORDS = 4096 };
            host_block h;
            ts_dispatch p;
            host_block_init(&h, 8 * WORDS * 4);
            fill_words(h.data, (size_t)WORDS * n_cols, 7);
            ts_array *a = array_of(loopback_design(n_cols, row, 256), &(ts_array_options){.n_cols = n_cols});
            loopback_dispatch(&p, n_cols, WORDS);
            run_well(a, &p, &h, (uint64_t[]){0, 4 * WORDS * 4}, 2);
            assert_memory_equal(h.data, h.data + 4 * WORDS * 4, (size_t)4 * WORDS * n_cols);
            ts_array_free(a);
            free(h.data);
        }
}

/* A kernel per column; the array keeps its state from one command to the next, and every seed gives the same data. */
static void doubler(void **state) {
    (void)state;
    for (int n_cols = 1; n_cols <= 4; n_cols += 3) {
        uint64_t first_cycles = 0;
        for (uint64_t seed = 0; seed < 5; seed++) {
            enum { WORDS = 4096, PART = 4 * WORDS * 4 };
            host_block h;
            ts_dispatch p;
            host_block_init(&h, 2 * PART);
            fill_words(h.data, (size_t)WORDS * n_cols, 9);
            ts_array *a = array_of(doubler_design(n_cols, 256), &(ts_array_options){.n_cols = n_cols, .seed = seed});
            for (int run = 0; run < 3; run++) {
                memset(h.data + PART, 0, PART);
                loopback_dispatch(&p, n_cols, WORDS);
                run_well(a, &p, &h, (uint64_t[]){0, PART}, 2);
                for (int i = 0; i < WORDS * n_cols; i++) {
                    uint32_t x, y;
                    memcpy(&x, h.data + 4 * i, 4);
                    memcpy(&y, h.data + PART + 4 * i, 4);
                    assert_int_equal(y, 2 * x);
                }
            }
            if (!seed) {
                first_cycles = ts_array_cycles(a);
                print_costs_of(a);
            } else {
                assert_int_not_equal(ts_array_cycles(a), first_cycles); /* it does shake */
            }
            ts_array_free(a);
            free(h.data);
        }
    }
}

/* ---- everything at once ------------------------------------------------------------------------------------------ */

/* In each column: blocks from the host through the memtile to four cores in turn, doubled there, back as packets, the
 * header in front, through shared ports into one shim channel. */
static ts_design *crowd_design(int n_cols, uint32_t words) {
    ts_design *d;
    ts_err err;
    assert_ok(ts_design_new(&d, &ts_npu1, n_cols, &err));
    for (int col = 0; col < n_cols; col++) {
        ts_tile shim = ts_tile_at(col, 0), mem = ts_tile_at(col, 1);
        ts_end back = ts_end_dma(shim, 1);
        ts_ring_step fill[4];
        for (int r = 0; r < 4; r++) {
            ts_tile core = ts_tile_at(col, 2 + r);
            ts_tile_buf b = ts_design_buffer(d, mem, "block", 4 * words, TS_ANY_BANK);
            ts_tile_lock empty = ts_design_lock(d, mem, "empty", 1), full = ts_design_lock(d, mem, "full", 0);
            fill[r] = (ts_ring_step){.buffer = b, .acquire = empty, .release = full};
            ts_design_dma(d, mem, TS_MM2S, r, &(ts_ring_step){.buffer = b, .acquire = full, .release = empty}, 1);
            ts_design_flow(d, ts_end_dma(mem, r), (ts_end[]){ts_end_dma(core, 0)}, 1);
            add_doubler_packets(d, core, words, 1 + r);
            ts_design_packets(d, 1 + r, ts_end_dma(core, 0), &back, 1, true);
        }
        ts_design_dma(d, mem, TS_S2MM, 5, fill, 4);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 5)}, 1);
    }
    return d;
}

enum { CROWD_WORDS = 48, CROWD_ROUNDS = 20, CROWD_BLOCKS = 4 * CROWD_ROUNDS };

static void crowd_dispatch(ts_dispatch *p, int n_cols) {
    ts_dispatch_init(p, &ts_npu1, n_cols);
    uint32_t in = CROWD_BLOCKS * CROWD_WORDS, out = CROWD_BLOCKS * (CROWD_WORDS + 1);
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(p, &(ts_shim_task){.col = col, .channel = 1, .dir = TS_S2MM, .arg = 1,
                                            .offset = 4ull * out * (unsigned)col, .words = out, .token = true});
    for (int col = 0; col < n_cols; col++)
        ts_dispatch_task(
            p, &(ts_shim_task){.col = col, .dir = TS_MM2S, .arg = 0, .offset = 4ull * in * (unsigned)col, .words = in});
    for (int col = 0; col < n_cols; col++) {
        ts_dispatch_wait(p, col, TS_S2MM, 1);
        ts_dispatch_implies(p, col, TS_MM2S, 0);
    }
}

/* The blocks of each core, in order, whatever order the packets came in. */
static void check_crowd(const uint8_t *in, const uint8_t *out) {
    int n[4] = {0, 0, 0, 0};
    for (int b = 0; b < CROWD_BLOCKS; b++) {
        uint32_t x[CROWD_WORDS], y[CROWD_WORDS + 1];
        memcpy(y, out + 4 * (size_t)b * (CROWD_WORDS + 1), sizeof y);
        int r = ts_packet_decode(y[0]).id - 1;
        assert_in_range(r, 0, 3);
        memcpy(x, in + 4 * (size_t)(n[r]++ * 4 + r) * CROWD_WORDS, sizeof x);
        for (int i = 0; i < CROWD_WORDS; i++) assert_int_equal(y[1 + i], 2 * x[i]);
    }
}

typedef struct crowd_result {
    uint64_t cycles;
    uint8_t *host;
    size_t bytes;
} crowd_result;

static crowd_result crowd_run(int n_cols, uint64_t seed, uint32_t window) {
    host_block h;
    ts_dispatch p;
    size_t in = 4 * (size_t)CROWD_BLOCKS * CROWD_WORDS * n_cols,
           out = 4 * (size_t)CROWD_BLOCKS * (CROWD_WORDS + 1) * n_cols;
    host_block_init(&h, in + out);
    fill_words(h.data, in / 4, 11);
    ts_array *a = array_of(crowd_design(n_cols, CROWD_WORDS),
                           &(ts_array_options){.n_cols = n_cols, .seed = seed, .window = window, .strict = true});
    for (int run = 0; run < 2; run++) {
        crowd_dispatch(&p, n_cols);
        run_well(a, &p, &h, (uint64_t[]){0, in}, 2);
    }
    for (int col = 0; col < n_cols; col++) check_crowd(h.data + in / n_cols * col, h.data + in + out / n_cols * col);
    crowd_result r = {.cycles = ts_array_cycles(a), .host = h.data, .bytes = in + out};
    ts_array_free(a);
    return r;
}

/* Every seed gives the right data; a run can be repeated, and how far parts run ahead of each other changes not one
 * cycle and not one byte, though the order of packets depends on both times and arbitration. */
static void crowd(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        crowd_result one = crowd_run(seed % 2 ? 4 : 1, seed, 0);
        static const uint32_t windows[] = {0, 1, 17, 1000};
        for (size_t w = 0; w < 4; w++) {
            crowd_result r = crowd_run(seed % 2 ? 4 : 1, seed, windows[w]);
            assert_int_equal(r.cycles, one.cycles);
            assert_memory_equal(r.host, one.host, one.bytes);
            free(r.host);
        }
        free(one.host);
    }
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* A configuration replaces the one before it, and what was left of it. */
static void load_again(void **state) {
    (void)state;
    enum { WORDS = 1024 };
    host_block h;
    ts_dispatch p;
    ts_err err;
    ts_buf pdi = {0};
    host_block_init(&h, 8 * WORDS);
    fill_words(h.data, WORDS, 5);
    ts_array *a = array_of(loopback_design(1, 1, 64), &(ts_array_options){.n_cols = 1});
    /* half of what would be needed: the command hangs, words are left everywhere */
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1, .words = WORDS, .token = true});
    ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S, .arg = 0, .words = WORDS / 2 + 5});
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    ts_dispatch_implies(&p, 0, TS_MM2S, 0);
    ts_array_outcome o;
    assert_status(run_dispatch(a, &p, &h, (uint64_t[]){0, 4 * WORDS}, 2, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    assert_non_null(
        strstr(ts_array_report(a), "shim(0,0) S2MM 0: BD 0, 512 of 1024 words, waits for words from mem(0,1) DMA0"));
    assert_non_null(
        strstr(ts_array_report(a), "mem(0,1) S2MM 0: BD 0, 5 of 64 words, waits for words from shim(0,0) South3"));
    assert_non_null(
        strstr(ts_array_report(a), "mem(0,1) MM2S 0: BD 2, waits for lock 1 of mem(0,1) to be 1 or more; it is 0"));
    ts_design *d = doubler_design(1, 32);
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_array_load(a, pdi.data, pdi.len, &err));
    assert_int_equal(ts_array_mishaps(a), 0);
    loopback_dispatch(&p, 1, WORDS);
    run_well(a, &p, &h, (uint64_t[]){0, 4 * WORDS}, 2);
    for (int i = 0; i < WORDS; i++) {
        uint32_t x, y;
        memcpy(&x, h.data + 4 * i, 4);
        memcpy(&y, h.data + 4 * WORDS + 4 * i, 4);
        assert_int_equal(y, 2 * x);
    }
    ts_buf_free(&pdi);
    ts_design_free(d);
    ts_array_free(a);
    free(h.data);
}

static void refused_configurations(void **state) {
    (void)state;
    static const struct {
        uint32_t addr, value;
        const char *says;
    } cases[] = {
        {0x00211111, 1, "core(0,2) +0x11111"},
        {0x02000000, 1, "the tile is outside the partition"},
        {0x0001d214, 0, "shim(0,0) MM2S 0: BD 0 is not valid"}, /* a shim channel started by a configuration */
    };
    ts_array *a;
    ts_err err;
    assert_ok(ts_array_new(&a, &(ts_array_options){.n_cols = 1}, &err));
    assert_status(ts_array_load(a, "no PDI", 6, &err), TS_E_FORMAT);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_cdo cdo = {0};
        ts_buf pdi = {0};
        ts_cdo_write(&cdo, cases[i].addr, cases[i].value);
        ts_cdo_nop(&cdo, 1);
        ts_cdo_write(&cdo, 0x00200000, 1);
        ts_cdo_write(&cdo, 0x00200004, 1);
        ts_cdo_write(&cdo, 0x00200008, 1);
        assert_ok(ts_pdi_write(&cdo, &pdi, &err));
        assert_status(ts_array_load(a, pdi.data, pdi.len, &err), TS_E_DEVICE);
        if (!strstr(err.msg, cases[i].says) || !strstr(err.msg, "PDI, command at offset")) fail_msg("%s", err.msg);
        assert_status(ts_array_idle(a, 10, NULL, &err), TS_E_DEVICE);
        ts_cdo_free(&cdo);
        ts_buf_free(&pdi);
    }
    ts_array_free(a);
    assert_status(ts_array_new(&a, &(ts_array_options){.n_cols = 5}, &err), TS_E_INVAL);
}

/* ---- the table of times ------------------------------------------------------------------------------------------ */

static void timing_table(void **state) {
    (void)state;
    ts_sim_timing t;
    ts_err err;
    ts_buf b = {0};
    ts_sim_timing_init(&t);
    assert_int_equal(t.ddr_read_rate.nominal, 27500);
    assert_int_equal(t.fw_launch.low, 25000);
    assert_ok(ts_sim_timing_set(&t, "fw_launch", 10, &err));
    assert_int_equal(t.fw_launch.high, 10);
    assert_status(ts_sim_timing_set(&t, "nothing", 1, &err), TS_E_INVAL);
    assert_true(ts_sim_timing_print(&t, &b));
    assert_non_null(strstr(b.data, "shim_read_cold        459    171-747   cycles             [silicon] xdna-emu"));
    ts_buf_free(&b);
    ts_array *a = array_of(loopback_design(1, 1, 64), &(ts_array_options){.n_cols = 1, .timing = &t});
    host_block h;
    ts_dispatch p;
    host_block_init(&h, 4096);
    loopback_dispatch(&p, 1, 128);
    run_well(a, &p, &h, (uint64_t[]){0, 512}, 2);
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    assert_int_equal(s.launch, 10);
    ts_array_free(a);
    free(h.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback),   cmocka_unit_test(doubler),
        cmocka_unit_test(crowd),      cmocka_unit_test(load_again),
        cmocka_unit_test(refused_configurations), cmocka_unit_test(timing_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
