/* The simulator's time against what others measured on an npu1: each figure comes out of a command that the array
 * carries out, and has the range in which the measurement lies. docs/npu/simulator.md has the table and the sources.
 * Prints what was measured and what is simulated. */
#include "sims.h"

#include "base/rng.h"

static void compare(const char *what, const char *measured, double simulated, double low, double high,
                    const char *unit) {
    print_message("  %-62s %-18s %9.4g %s\n", what, measured, simulated, unit);
    if (!(simulated >= low && simulated <= high))
        fail_msg("%s: simulated %g %s, the measurement is %s: %g to %g are right", what, simulated, unit, measured, low,
                 high);
}

/* What the host sees of a command beyond its cycles; the measured fixed cost contains the launch. */
static double host_ns(void) {
    ts_sim_timing t;
    ts_sim_timing_init(&t);
    return TS_SIM_SUBMIT_NS - (double)(t.fw_launch.nominal + t.fw_cold.nominal) * 1000 / TS_SIM_CLOCK_MHZ;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Channels 0 to n - 1, one of each column first, into memtiles, in objects of so many words: cycles of a command
 * that reads `words` with each. */
static uint64_t read_cycles(int n, uint32_t words, uint32_t object, uint64_t *launch) {
    ts_design *d;
    ts_err err;
    ts_dispatch p;
    host_block h;
    ts_array_stats s;
    host_block_init(&h, 4 * (size_t)words);
    assert_ok(ts_design_new(&d, &ts_npu1, ts_npu1.cols, &err));
    for (int k = 0; k < n; k++) { /* objects into two buffers in turn, again and again */
        ts_tile mem = ts_tile_at(k % 4, 1);
        ts_tile_buf b = ts_design_buffer(d, mem, "sink", 8 * object, TS_ANY_BANK);
        ts_design_dma(d, mem, TS_S2MM, k / 4,
                      (ts_ring_step[]){{.buffer = b, .bytes = 4 * object},
                                       {.buffer = b, .offset = 4 * object, .bytes = 4 * object}},
                      2);
        ts_design_flow(d, ts_end_dma(ts_tile_at(k % 4, 0), k / 4), (ts_end[]){ts_end_dma(mem, k / 4)}, 1);
    }
    ts_array *a = array_of(d, &(ts_array_options){.n_cols = ts_npu1.cols});
    ts_dispatch_init(&p, &ts_npu1, ts_npu1.cols);
    for (int k = 0; k < n; k++)
        ts_dispatch_task(
            &p,
            &(ts_shim_task){.col = k % 4, .channel = k / 4, .dir = TS_MM2S, .arg = 0, .words = words, .token = true});
    for (int k = 0; k < n; k++) ts_dispatch_wait(&p, k % 4, TS_MM2S, k / 4);
    run_well(a, &p, &h, (uint64_t[]){0}, 1);
    ts_array_get_stats(a, &s);
    assert_int_equal(s.read_bytes, 4 * (uint64_t)words * (unsigned)n);
    if (launch) *launch = s.launch;
    ts_array_free(a);
    free(h.data);
    return s.cycles;
}

enum { FEW = 1 << 16, MANY = 1 << 18 /* words */ };

/* Bytes a cycle (GB/s at 1 GHz) with n channels, fixed costs taken out by two lengths; *fixed: those in cycles. */
static double read_rate(int n, double *fixed) {
    uint64_t few = read_cycles(n, FEW, 2048, NULL), many = read_cycles(n, MANY, 2048, NULL);
    double rate = 4.0 * (MANY - FEW) * n / (double)(many - few);
    *fixed = (double)many - 4.0 * MANY * n / rate;
    return rate;
}

static void reading(void **state) {
    (void)state;
    double fixed, one = read_rate(1, &fixed), four = read_rate(4, &fixed), eight = read_rate(8, &fixed);
    const double submit = host_ns(), bytes = 256e6, token = 464e6;
    compare("a word through one shim channel", "1.00-1.05", 4 / one, 1.00, 1.05, "cycles");
    compare("4 streams read", "14", four, 14 * 0.9, 14 * 1.15, "GB/s");
    compare("8 streams read, marginal", "about 30", eight, 27, 31, "GB/s");
    compare("8 streams read 256 MB in one command, all costs", "about 27", bytes / (bytes / eight + fixed + submit),
            25.5, 28.5, "GB/s");
    compare("464 MB of weights, one token, one command", "17.2", (token / eight + fixed + submit) / 1e6, 16.3, 18.1,
            "ms");
    double large = (double)read_cycles(8, FEW, 2048, NULL), small = (double)read_cycles(8, FEW, 256, NULL);
    compare("objects of 1 KB against 8 KB, time", "as fast", small / large, 0.99, 1.03, "");
}

/* ---- tasks and operations ---------------------------------------------------------------------------------------- */

/* A loop through a memtile in which `n_in` tasks fill and `n_out` tasks empty. */
static uint64_t loop_cycles(int n_in, int n_out, uint32_t words, ts_array_stats *s) {
    ts_dispatch p;
    host_block h;
    host_block_init(&h, 8 * (size_t)words);
    ts_array *a = array_of(loopback_design(1, 1, 1024), &(ts_array_options){.n_cols = 1});
    ts_dispatch_init(&p, &ts_npu1, 1);
    for (int i = 0; i < n_out; i++)
        ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1,
                                             .offset = 4 * (uint64_t)words / (unsigned)n_out * (unsigned)i,
                                             .words = words / (unsigned)n_out, .token = i == n_out - 1});
    for (int i = 0; i < n_in; i++)
        ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S,
                                             .arg = 0,
                                             .offset = 4 * (uint64_t)words / (unsigned)n_in * (unsigned)i,
                                             .words = words / (unsigned)n_in});
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    ts_dispatch_implies(&p, 0, TS_MM2S, 0);
    run_well(a, &p, &h, (uint64_t[]){0, 4 * (uint64_t)words}, 2);
    ts_array_get_stats(a, s);
    ts_array_free(a);
    free(h.data);
    return s->cycles;
}

static void tasks(void **state) {
    (void)state;
    enum { WORDS = 1 << 16 };
    ts_array_stats s;
    double one = (double)loop_cycles(1, 1, WORDS, &s);
    compare("first word of a read on an idle channel", "171-747",
            (double)s.channel[0][0][TS_MM2S][0].waited[TS_WAIT_HOST], 171, 747, "cycles");
    compare("one read task more in the queue", "249", ((double)loop_cycles(4, 1, WORDS, &s) - one) / 3, 235, 265,
            "cycles");
    /* the stream goes on into the buffers of the way while a write task ends: what is not hidden is at most what was
     * seen */
    double fw = 536; /* the operations that push a task come before the first word, and are no part of it */
    compare("one write task more in the queue", "168-177", ((double)loop_cycles(1, 4, WORDS, &s) - one - 3 * fw) / 3,
            150, 190, "cycles");
}

/* The firmware's time for n operations of one kind. */
static double ops_busy(int n, int words, ts_array_stats *s) {
    ts_array *a = array_of(loopback_design(1, 1, 1024), &(ts_array_options){.n_cols = 1});
    uint32_t bd[8] = {0};
    ts_txn t = {0};
    ts_buf out = {0};
    ts_err err;
    for (int i = 0; i < n; i++)
        if (words) ts_txn_block(&t, ts_addr(ts_tile_at(0, 0), ts_bd_off(TS_TILE_SHIM, 8)), bd, (size_t)words);
        else ts_txn_nop(&t);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &out, &err));
    if (ts_array_run(a, out.data, out.len, NULL, 0, &(ts_array_host){0}, NULL, &err) != TS_OK) fail_msg("%s", err.msg);
    ts_array_get_stats(a, s);
    ts_buf_free(&out);
    ts_txn_free(&t);
    ts_array_free(a);
    return (double)s->fw_busy;
}

static void operations(void **state) {
    (void)state;
    ts_array_stats s;
    double op = (ops_busy(101, 0, &s) - ops_busy(1, 0, &s)) / 100,
           block = (ops_busy(101, 8, &s) - ops_busy(1, 8, &s)) / 100;
    compare("an operation of an instruction stream", "100-112", op, 95, 120, "cycles");
    compare("a block of 8 words, more than that", "about 200", block - op, 180, 220, "cycles");
    ops_busy(1, 0, &s);
    compare("a command with nothing to do, submission included", "110-257",
            (double)s.cycles / TS_SIM_CLOCK_MHZ + host_ns() / 1e3, 110, 257, "us");
    uint64_t launch;
    read_cycles(1, FEW, 2048, &launch);
    double cold = ops_busy(1, 8, &s) + 2 * op; /* descriptor, patch, start */
    compare("a task pushed, the stream warm", "about 520", block + 2 * op, 470, 570, "cycles");
    compare("the first task of a stream pushed", "2700-3000", cold, 2700, 3000, "cycles");
    compare("launch to first DMA", "25000-32000", (double)launch + cold, 25000, 32000, "cycles");
}

/* ---- barriers ---------------------------------------------------------------------------------------------------- */

/* `stages` times in one command: all eight channels bring 1 KiB back, the next stage reads it in again. */
static uint64_t stages_cycles(int stages) {
    ts_design *d;
    ts_err err;
    ts_dispatch p;
    host_block h;
    enum { WORDS = 256 };
    host_block_init(&h, (size_t)(stages + 1) * 8 * 4 * WORDS);
    assert_ok(ts_design_new(&d, &ts_npu1, ts_npu1.cols, &err));
    for (int k = 0; k < 8; k++) {
        ts_tile mem = ts_tile_at(k % 4, 1), shim = ts_tile_at(k % 4, 0);
        ts_tile_buf b = ts_design_buffer(d, mem, "stage", 4 * WORDS, TS_ANY_BANK);
        ts_tile_lock empty = ts_design_lock(d, mem, "empty", 1), full = ts_design_lock(d, mem, "full", 0);
        ts_design_dma(d, mem, TS_S2MM, k / 4, (ts_ring_step[]){{.buffer = b, .acquire = empty, .release = full}}, 1);
        ts_design_dma(d, mem, TS_MM2S, k / 4, (ts_ring_step[]){{.buffer = b, .acquire = full, .release = empty}}, 1);
        ts_design_flow(d, ts_end_dma(shim, k / 4), (ts_end[]){ts_end_dma(mem, k / 4)}, 1);
        ts_design_flow(d, ts_end_dma(mem, k / 4), (ts_end[]){ts_end_dma(shim, k / 4)}, 1);
    }
    ts_array *a = array_of(d, &(ts_array_options){.n_cols = ts_npu1.cols});
    ts_dispatch_init(&p, &ts_npu1, ts_npu1.cols);
    for (int s = 0; s < stages; s++) {
        uint64_t from = (uint64_t)s * 8 * 4 * WORDS;
        for (int k = 0; k < 8; k++)
            ts_dispatch_task(&p, &(ts_shim_task){.col = k % 4, .channel = k / 4, .dir = TS_S2MM, .arg = 0,
                                                 .offset = from + 4 * WORDS * (8 + (uint64_t)k), .words = WORDS,
                                                 .token = true});
        for (int k = 0; k < 8; k++)
            ts_dispatch_task(&p, &(ts_shim_task){.col = k % 4, .channel = k / 4, .dir = TS_MM2S, .arg = 0,
                                                 .offset = from + 4 * WORDS * (uint64_t)k, .words = WORDS});
        for (int k = 0; k < 8; k++) ts_dispatch_wait(&p, k % 4, TS_S2MM, k / 4);
        for (int k = 0; k < 8; k++) ts_dispatch_implies(&p, k % 4, TS_MM2S, k / 4);
    }
    fill_words(h.data, 8 * WORDS, 5);
    run_well(a, &p, &h, (uint64_t[]){0}, 1);
    assert_memory_equal(h.data, h.data + (size_t)stages * 8 * 4 * WORDS, 8 * 4 * WORDS);
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    ts_array_free(a);
    free(h.data);
    return s.cycles;
}

static void barriers(void **state) {
    (void)state;
    double us = (double)(stages_cycles(9) - stages_cycles(1)) / 8 / TS_SIM_CLOCK_MHZ;
    /* the measured program is not known in detail; a stage of ours has 16 tasks and 1 KiB a channel */
    compare("a barrier through host memory inside a command", "15-20", us, 10, 20, "us");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reading), cmocka_unit_test(tasks), cmocka_unit_test(operations),
                                       cmocka_unit_test(barriers)};
    return cmocka_run_group_tests_name("sim times", tests, NULL, NULL);
}
