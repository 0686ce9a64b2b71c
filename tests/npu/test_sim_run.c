/* Commands on the simulated array: operations, completion tokens, hangs and their explanation, state from one
 * command to the next, times. */
#include "sim_regs.h"

#include "support/alloc_fail.h"

static ts_array *column(const ts_array_options *more) {
    ts_array *a;
    ts_err err;
    ts_array_options o = more ? *more : (ts_array_options){0};
    if (!o.n_cols) o.n_cols = 1;
    assert_ok(ts_array_new(&a, &o, &err));
    return a;
}

/* Run a stream and free it. */
static ts_status run(ts_array *a, ts_txn *t, const uint64_t *args, int n_args, const host_block *h, ts_array_outcome *o,
                     ts_err *why) {
    ts_buf b = {0};
    ts_err err;
    assert_ok(ts_txn_finish(t, &ts_npu1, 1, &b, &err));
    ts_status s = ts_array_run(a, b.data, b.len, args, n_args, h ? &h->host : NULL, o, why);
    ts_buf_free(&b);
    ts_txn_free(t);
    return s;
}

static void assert_says(const char *text, const char *what) {
    if (!strstr(text, what)) fail_msg("%s\nhas not: %s", text, what);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

enum { NO_TOKEN_BIT = 1, NO_CONTROLLER = 2, NO_ROUTE = 4, NO_HEADER = 8, NO_TASK = 16, CIRCUIT = 32, FULL = 63 };

/* A shim loop of 64 words whose end is waited for, with something missing. */
static ts_status token_run(ts_array *a, int missing, ts_array_outcome *o, ts_err *err) {
    host_block h;
    ts_txn t = {0};
    ts_tile shim = {0, 0};
    ts_fabric f;
    uint32_t w[8];
    host_block_init(&h, 1024);
    fill_words(h.data, 64, 2);
    loop(a, shim, 0);
    ts_fabric_init(&f, &ts_npu1, 1);
    ts_end south = ts_end_port(shim, TS_PORT_SOUTH, 0), ctrl = ts_end_port(shim, TS_PORT_CTRL, 0);
    if (missing & CIRCUIT) connect(a, shim, ctrl.port, south.port);
    else if (!(missing & NO_ROUTE)) {
        assert_status(ts_route_packet(&f, TS_CONTROLLER_SHIM, ctrl, &south, 1, !(missing & NO_HEADER), err), TS_OK);
        put_fabric(a, &f);
    }
    for (int d = 0; d < 2; d++) {
        ts_bd bd = {.words = 64, .valid = 1, .burst = 2};
        assert_status(ts_bd_encode(TS_TILE_SHIM, &bd, w, err), TS_OK);
        ts_txn_block(&t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, d)), w, 8);
        ts_txn_patch(&t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, d)) + 4, 0, 512u * (d == 0));
    }
    if (!(missing & NO_CONTROLLER))
        ts_txn_mask_write(&t, ts_addr(shim, ts_dma_ctrl(TS_TILE_SHIM, TS_S2MM, 0)), 0xff00,
                          ts_dma_ctrl_encode(TS_CONTROLLER_SHIM));
    if (!(missing & NO_TASK))
        ts_txn_write(&t, ts_addr(shim, ts_dma_queue(TS_TILE_SHIM, TS_S2MM, 0)),
                     ts_dma_start_encode((ts_dma_start){.bd = 0, .repeat = 1, .token = !(missing & NO_TOKEN_BIT)}));
    ts_txn_write(&t, ts_addr(shim, ts_dma_queue(TS_TILE_SHIM, TS_MM2S, 0)),
                 ts_dma_start_encode((ts_dma_start){.bd = 1, .repeat = 1}));
    ts_txn_wait(&t, shim, TS_S2MM, 0);
    ts_status s = run(a, &t, (uint64_t[]){HOST_BASE}, 1, &h, o, err);
    if (s == TS_OK) assert_memory_equal(h.data, h.data + 512, 256);
    free(h.data);
    return s;
}

/* All three conditions of a token, and each of them missing. */
static void token_conditions(void **state) {
    (void)state;
    static const struct {
        int missing;
        const char *says;
    } cases[] = {
        {NO_TOKEN_BIT, "its tasks have ended; their tokens were taken, or none was asked for"},
        {NO_CONTROLLER, "shim(0,0) Ctrl0 (packets from shim(0,0) Ctrl0): no slot matches packet id 0"},
        {NO_ROUTE, "tokens have no way out of this tile: shim(0,0) Ctrl0 is off"},
        {NO_HEADER, "its tasks have ended; their tokens were taken, or none was asked for"},
        {CIRCUIT, "tokens have no way out of this tile: shim(0,0) Ctrl0 is not in packet mode"},
        {NO_TASK, "it was given no task"},
    };
    ts_err err = {.msg = ""};
    ts_array_outcome o;
    ts_array *a = column(NULL);
    assert_ok(token_run(a, 0, &o, &err));
    assert_int_equal(o, TS_ARRAY_DONE);
    assert_string_equal(ts_array_report(a), "");
    ts_array_free(a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        a = column(NULL);
        assert_status(token_run(a, cases[i].missing, &o, &err), TS_E_DEVICE);
        assert_int_equal(o, TS_ARRAY_HANG);
        assert_says(err.msg, "nothing can go on: a deadlock");
        assert_says(ts_array_report(a), "waits for a token of shim(0,0) S2MM 0");
        assert_says(ts_array_report(a), cases[i].says);
        /* nothing more is taken until it is loaded or reset */
        assert_status(token_run(a, 0, &o, &err), TS_E_DEVICE);
        ts_array_reset(a);
        assert_ok(token_run(a, 0, &o, &err));
        ts_array_free(a);
    }
}

/* One wait takes one token; two waits for one token hang. */
static void one_wait_one_token(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_err err;
    ts_array_outcome o;
    assert_ok(token_run(a, 0, &o, &err));
    ts_txn t = {0};
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_status(run(a, &t, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    ts_array_free(a);
}

/* Tokens of a core's channel, led down through memtile and shim. */
static void token_of_a_core(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_fabric f;
    ts_err err;
    ts_tile t = {0, 2};
    ts_txn x = {0};
    ts_end south = ts_end_port(ts_tile_at(0, 0), TS_PORT_SOUTH, 0);
    ts_fabric_init(&f, &ts_npu1, 1);
    assert_ok(ts_route_packet(&f, 27, ts_end_port(t, TS_PORT_CTRL, 0), &south, 1, true, &err));
    put_fabric(a, &f);
    loop(a, t, 1);
    put_bd(a, t, 0, &(ts_bd){.words = 8, .valid = 1});
    ts_txn_write(&x, ts_addr(t, ts_dma_ctrl(TS_TILE_CORE, TS_S2MM, 1)), ts_dma_ctrl_encode(27));
    ts_txn_write(&x, ts_addr(t, ts_dma_queue(TS_TILE_CORE, TS_S2MM, 1)),
                 ts_dma_start_encode((ts_dma_start){.repeat = 1, .token = true}));
    ts_txn_write(&x, ts_addr(t, ts_dma_queue(TS_TILE_CORE, TS_MM2S, 1)),
                 ts_dma_start_encode((ts_dma_start){.repeat = 1}));
    ts_txn_wait(&x, t, TS_S2MM, 1);
    if (run(a, &x, NULL, 0, NULL, NULL, &err) != TS_OK) fail_msg("%s", ts_array_report(a));
    ts_array_free(a);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void operations(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_err err;
    ts_txn t = {0};
    ts_tile c = {0, 3};
    ts_txn_write(&t, ts_addr(c, 0x100), 0x11112222);
    ts_txn_mask_write(&t, ts_addr(c, 0x100), 0x00ffff00, 0xaabbccdd);
    ts_txn_block(&t, ts_addr(c, 0x200), (uint32_t[]){1, 2, 3}, 3);
    ts_txn_nop(&t);
    ts_txn_mask_poll(&t, ts_addr(c, 0x200), 0xff, 0x301);
    assert_ok(run(a, &t, NULL, 0, NULL, NULL, &err));
    assert_int_equal(get(a, ts_addr(c, 0x100)), 0x11bbcc22);
    assert_int_equal(get(a, ts_addr(c, 0x208)), 3);
    /* the time is that of the table: launch, the first operation's extra, five operations, three words */
    ts_sim_timing tm;
    ts_sim_timing_init(&tm);
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    assert_int_equal(s.launch, tm.fw_launch.nominal);
    assert_int_equal(s.cycles,
                     tm.fw_launch.nominal + tm.fw_cold.nominal + 5 * tm.fw_op.nominal + 3 * tm.fw_word.nominal);
    assert_int_equal(s.fw_ops, 5);
    ts_array_free(a);
}

/* Operations that no array carries out: each with its words. */
static void refused_operations(void **state) {
    (void)state;
    static const struct {
        int what;
        const char *says;
        ts_array_outcome outcome;
    } cases[] = {
        {0, "a patch with argument 1, the command has 1", TS_ARRAY_FAULT},
        {1, "a patch of shim(0,0) DMA_BD_0[0], which is not word 1 of a shim BD", TS_ARRAY_FAULT},
        {2, "a wait for tokens of channel 2 of 1 by 1 tiles from (0,0) on, which are not there", TS_ARRAY_FAULT},
        {3, "a wait for tokens of channel 0 of 1 by 1 tiles from (1,0) on, which are not there", TS_ARRAY_FAULT},
        {4, "there is no such register", TS_ARRAY_FAULT},
        {5, "nothing can go on: a deadlock", TS_ARRAY_HANG},
        {6, "can only be written", TS_ARRAY_FAULT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_array *a = column(NULL);
        ts_err err = {.msg = ""};
        ts_txn t = {0};
        ts_array_outcome o;
        switch (cases[i].what) {
        case 0: ts_txn_patch(&t, 0x1d004, 1, 0); break;
        case 1: ts_txn_patch(&t, 0x1d000, 0, 0); break;
        case 2: ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 2); break;
        case 3: ts_txn_wait(&t, ts_tile_at(1, 0), TS_S2MM, 0); break;
        case 4: ts_txn_write(&t, 0x12344, 0); break;
        case 5: ts_txn_mask_poll(&t, ts_addr(ts_tile_at(0, 2), 0x1f000), 1, 1); break;
        case 6: ts_txn_mask_poll(&t, 0x1d204, 1, 1); break;
        }
        assert_status(run(a, &t, (uint64_t[]){HOST_BASE}, 1, NULL, &o, &err), TS_E_DEVICE);
        assert_int_equal(o, cases[i].outcome);
        assert_says(err.msg, cases[i].says);
        ts_array_free(a);
    }
    ts_array *a = column(NULL);
    ts_err err;
    /* refused before anything happens */
    assert_status(ts_array_run(a, "abc", 3, NULL, 0, NULL, NULL, &err), TS_E_FORMAT);
    ts_txn t = {0};
    ts_buf b = {0};
    assert_ok(ts_txn_finish(&t, &ts_npu1, 2, &b, &err));
    assert_status(ts_array_run(a, b.data, b.len, NULL, 0, NULL, NULL, &err), TS_E_INVAL);
    assert_says(err.msg, "it is for 2 columns, the partition has 1");
    ts_buf_free(&b);
    assert_int_equal(ts_array_cycles(a), 0);
    ts_array_free(a);
}

/* ---- hangs ------------------------------------------------------------------------------------------------------- */

/* Two cores, each waiting for the lock that the other would give: who waits for what is in the report. */
static void deadlock(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_err err;
    ts_txn t = {0};
    ts_array_outcome o;
    static const char program[] =
        "        mova r0, #-1\n        mova r1, #1\n        acq #%d, r0\n        .rept 4\n        nop\n        .endr\n"
        "        rel #%d, r1\n        .rept 4\n        nop\n        .endr\n        done\n";
    for (int r = 0; r < 2; r++) {
        char text[300];
        snprintf(text, sizeof text, program, r ? 0 : 32 + 1, 48 + 1); /* the neighbour's lock, then the own one */
        put_program(a, ts_tile_at(0, 2 + r), text);
    }
    set_lock(a, ts_tile_at(0, 2), 0, 0);
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 1);
    assert_status(run(a, &t, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    assert_says(ts_array_report(a), "firmware: operation 1, at offset 16, waits for a token of shim(0,0) S2MM 1");
    assert_says(ts_array_report(a), "core(0,2): pc 0x00008 waits for lock 1 of core(0,3); it is 0");
    assert_says(ts_array_report(a), "core(0,3): pc 0x00008 waits for lock 0 of core(0,2); it is 0");
    ts_array_free(a);
}

/* A core that never stops keeps the array busy: the limit ends it. */
static void cycle_limit(void **state) {
    (void)state;
    ts_array *a = column(&(ts_array_options){.max_cycles = 100000});
    ts_err err;
    ts_txn t = {0};
    ts_array_outcome o;
    put_program(a, ts_tile_at(0, 2), "top:    j #top\n        .rept 5\n        nop\n        .endr\n");
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_status(run(a, &t, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    assert_int_equal(ts_array_cycles(a), 100000);
    assert_says(err.msg, "cycle 100000: the command has not ended after the cycles it was given");
    assert_says(ts_array_report(a), "core(0,2): pc 0x0");
    ts_array_free(a);
}

static bool third_time(void *ud) {
    return ++*(int *)ud == 3;
}

/* The same core; somebody takes the command away. */
static void taken_away(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_err err;
    ts_txn t = {0};
    ts_buf b = {0};
    ts_array_outcome o;
    int asked = 0;
    const ts_array_host host = {.ud = &asked, .stop = third_time};
    put_program(a, ts_tile_at(0, 2), "top:    j #top\n        .rept 5\n        nop\n        .endr\n");
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &b, &err));
    assert_status(ts_array_run(a, b.data, b.len, NULL, 0, &host, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    assert_int_equal(asked, 3);
    assert_says(err.msg, "the command was taken away");
    assert_status(ts_array_run(a, b.data, b.len, NULL, 0, NULL, &o, &err), TS_E_DEVICE); /* until it is loaded again */
    ts_buf_free(&b);
    ts_txn_free(&t);
    ts_array_free(a);
}

static void core_errors(void **state) {
    (void)state;
    static const struct {
        const char *program, *says;
    } cases[] = {
        {"        movxm p0, #0x12345\n        nop\n        lda r0, [p0, #0]\n        .rept 8\n        nop\n        "
         ".endr\n        done\n",
         "core(0,2): pc 0x00008, cycle 2: no memory at address 0x12344"},
        /* south of row 2 */
        {"        mova r0, #-1\n        acq #3, r0\n        done\n", "takes lock 3, which is not there"},
        {"        vmov mcd, x0\n        .rept 8\n        nop\n        .endr\n        done\n",
         "writes to the cascade, which leads nowhere"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_array *a = column(NULL);
        ts_err err = {.msg = ""};
        ts_txn t = {0};
        ts_array_outcome o;
        put_program(a, ts_tile_at(0, 2), cases[i].program);
        ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
        assert_status(run(a, &t, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
        assert_int_equal(o, TS_ARRAY_FAULT);
        assert_says(err.msg, cases[i].says);
        ts_array_free(a);
    }
}

/* ---- mishaps ----------------------------------------------------------------------------------------------------- */

/* Five pushes, as in the field: the fifth is dropped, and the wait for its token never ends; the report knows why. */
static void dropped_push_hangs(void **state) {
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        ts_array *a = column(&(ts_array_options){.strict = strict});
        ts_err err = {.msg = ""};
        ts_txn t = {0};
        ts_array_outcome o;
        ts_tile c = {0, 2};
        put_bd(a, c, 0, &(ts_bd){.words = 8, .valid = 1, .acq_enable = 1, .acq_lock = 0, .acq_value = -1});
        for (int i = 0; i < 5; i++)
            ts_txn_write(&t, ts_addr(c, ts_dma_queue(TS_TILE_CORE, TS_S2MM, 0)),
                         ts_dma_start_encode((ts_dma_start){.repeat = 1, .token = i == 4}));
        ts_txn_wait(&t, c, TS_S2MM, 0);
        assert_status(run(a, &t, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
        assert_int_equal(o, strict ? TS_ARRAY_FAULT : TS_ARRAY_HANG);
        assert_says(ts_array_report(a), "core(0,2) S2MM 0: BD 0, 3 more tasks in its queue, waits for lock 0 of "
                                        "core(0,2) to be 1 or more; it is 0");
        assert_says(ts_array_report(a), "core(0,2) S2MM 0 has 4 tasks already, a further one (BD 0) is lost");
        ts_array_free(a);
    }
}

static void undefined_registers(void **state) {
    (void)state;
    ts_array *a = column(&(ts_array_options){.check_undefined = true});
    put_program(a, ts_tile_at(0, 2), "        add r1, r2, r3\n        done\n");
    launch(a, 1);
    go_on(a, 100, NULL);
    assert_int_equal(ts_array_mishaps(a), 2);
    assert_says(ts_array_mishap(a, 0), "core(0,2): pc 0x00000 reads r2, which was never written");
    ts_array_free(a);
}

/* ---- from one command to the next -------------------------------------------------------------------------------- */

/* Cores do nothing before the first command, whatever the configuration enables; then they go on for ever, and a reset
 * makes them start over. */
static void cores_and_commands(void **state) {
    (void)state;
    ts_array *a = column(NULL);
    ts_tile t = {0, 5};
    uint8_t *m = ts_array_memory(a, t);
    memset(m, 0, 4);
    put_program(a, t,
                "        movxm p0, #0x70000\n        mova r0, #0\ntop:    add r0, r0, #1\n        st r0, [p0, #0]\n"
                "        j #top\n        .rept 5\n        nop\n        .endr\n");
    go_on(a, 5000, NULL);
    uint32_t v[4];
    memcpy(&v[0], m, 4);
    assert_int_equal(v[0], 0);
    for (int i = 1; i < 4; i++) {
        launch(a, 1);
        memcpy(&v[i], m, 4);
        assert_true(v[i] > v[i - 1]);
    }
    assert_in_range(v[2] - v[1], 3000, 4200); /* a launch of 28,500 and a cold operation, 8 bundles a round */
    put(a, ts_addr(t, TS_CORE_CORE_CONTROL), 0); /* it stops where it is */
    go_on(a, 1000, NULL);
    memcpy(&v[0], m, 4);
    go_on(a, 1000, NULL);
    memcpy(&v[1], m, 4);
    assert_int_equal(v[1], v[0]);
    put(a, ts_addr(t, TS_CORE_CORE_CONTROL), 1);
    go_on(a, 1000, NULL);
    memcpy(&v[1], m, 4);
    assert_in_range(v[1], v[0] + 100, v[0] + 130);
    put(a, ts_addr(t, TS_CORE_CORE_CONTROL), 3);
    put(a, ts_addr(t, TS_CORE_CORE_CONTROL), 1);
    go_on(a, 100, NULL);
    memcpy(&v[1], m, 4);
    assert_in_range(v[1], 5, 20);
    assert_int_equal(ts_array_mishaps(a), 0);
    ts_array_free(a);
}

/* Work that nobody waited for goes on in the next command. */
static void work_goes_on(void **state) {
    (void)state;
    enum { WORDS = 64 * 1024 };
    ts_array *a = column(NULL);
    ts_err err;
    host_block h;
    ts_txn t = {0};
    ts_tile shim = {0, 0};
    uint32_t w[8];
    host_block_init(&h, 8 * WORDS);
    fill_words(h.data, WORDS, 2);
    loop(a, shim, 1);
    for (int d = 0; d < 2; d++) {
        assert_ok(ts_bd_encode(TS_TILE_SHIM, &(ts_bd){.words = WORDS, .valid = 1, .burst = 2}, w, &err));
        ts_txn_block(&t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, d)), w, 8);
        ts_txn_patch(&t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, d)) + 4, 0, d ? 0 : 4 * WORDS);
        ts_txn_write(&t, ts_addr(shim, ts_dma_queue(TS_TILE_SHIM, (ts_dma_dir)d, 1)),
                     ts_dma_start_encode((ts_dma_start){.bd = (uint32_t)d, .repeat = 1}));
    }
    assert_ok(run(a, &t, (uint64_t[]){HOST_BASE}, 1, &h, NULL, &err));
    assert_true(memcmp(h.data, h.data + 4 * WORDS, 4 * WORDS));
    for (int i = 0; i < 2; i++) {
        ts_txn_nop(&t);
        assert_ok(run(a, &t, NULL, 0, &h, NULL, &err));
    }
    go_on(a, 10000, &h);
    assert_memory_equal(h.data, h.data + 4 * WORDS, 4 * WORDS);
    free(h.data);
    ts_array_free(a);
}

/* ---- times ------------------------------------------------------------------------------------------------------- */

/* Reading with 1, 2, 4 and 8 channels: a word takes 1.025 cycles until the shared 27.5 bytes a cycle are used up. */
static void read_bandwidth(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 4, 8};
    enum { WORDS = 100000 };
    host_block h;
    host_block_init(&h, 4 * WORDS);
    for (size_t i = 0; i < 4; i++) {
        ts_design *d;
        ts_err err;
        ts_dispatch p;
        assert_ok(ts_design_new(&d, &ts_npu1, 4, &err));
        for (int k = 0; k < counts[i]; k++) { /* into a memtile buffer, over and over */
            ts_tile mem = ts_tile_at(k / 2, 1);
            ts_tile_buf b = ts_design_buffer(d, mem, "sink", 4000, TS_ANY_BANK);
            ts_design_dma(d, mem, TS_S2MM, k % 2, (ts_ring_step[]){{.buffer = b}}, 1);
            ts_design_flow(d, ts_end_dma(ts_tile_at(k / 2, 0), k % 2), (ts_end[]){ts_end_dma(mem, k % 2)}, 1);
        }
        ts_array *a = array_of(d, &(ts_array_options){.n_cols = 4});
        ts_dispatch_init(&p, &ts_npu1, 4);
        for (int k = 0; k < counts[i]; k++)
            ts_dispatch_task(&p, &(ts_shim_task){.col = k / 2, .channel = k % 2, .dir = TS_MM2S, .arg = 0,
                                                 .words = WORDS, .token = true});
        for (int k = 0; k < counts[i]; k++) ts_dispatch_wait(&p, k / 2, TS_MM2S, k % 2);
        run_well(a, &p, &h, (uint64_t[]){0}, 1);
        ts_array_stats s;
        ts_array_get_stats(a, &s);
        double rate = (double)s.read_bytes / (double)(s.cycles - s.launch), want = counts[i] * 4 / 1.025;
        if (want > 27.5) want = 27.5;
        if (rate < 0.9 * want || rate > want)
            fail_msg("%d channels: %.2f bytes a cycle, not %.2f", counts[i], rate, want);
        ts_array_free(a);
    }
    free(h.data);
}

/* ---- failing allocations ----------------------------------------------------------------------------------------- */

static bool whole_life(void *ud) {
    const ts_buf *b = ud; /* PDI, instruction stream */
    ts_array *a = NULL;
    ts_err err;
    host_block h = {.bytes = 4096};
    uint8_t memory[4096] = {1, 2, 3};
    h.data = memory;
    h.host = (ts_array_host){.ud = &h, .read = host_block_read, .write = host_block_write};
    if (ts_array_new(&a, &(ts_array_options){.n_cols = 1}, &err) != TS_OK) return false;
    bool ok = ts_array_load(a, b[0].data, b[0].len, &err) == TS_OK &&
              ts_array_run(a, b[1].data, b[1].len, (uint64_t[]){HOST_BASE, HOST_BASE + 2048}, 2, &h.host, NULL, &err) ==
                  TS_OK;
    if (ok) assert_int_equal(memory[2048], 2);
    if (!ok) assert_int_equal(err.code, TS_E_NOMEM);
    ts_array_free(a);
    return ok;
}

static void failing_allocations(void **state) {
    (void)state;
    ts_buf b[2] = {{0}, {0}};
    ts_err err;
    ts_dispatch p;
    ts_design *d = doubler_design(1, 16);
    assert_ok(ts_design_finish(d, &b[0], NULL, &err));
    loopback_dispatch(&p, 1, 64);
    assert_ok(ts_dispatch_finish(&p, &b[1], &err));
    ts_dispatch_free(&p);
    ts_design_free(d);
    alloc_fail_loop(whole_life, b, true);
    ts_buf_free(&b[0]);
    ts_buf_free(&b[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_conditions),    cmocka_unit_test(one_wait_one_token),
        cmocka_unit_test(token_of_a_core),     cmocka_unit_test(operations),
        cmocka_unit_test(refused_operations),  cmocka_unit_test(deadlock),
        cmocka_unit_test(cycle_limit),         cmocka_unit_test(taken_away),
        cmocka_unit_test(core_errors),         cmocka_unit_test(dropped_push_hangs),
        cmocka_unit_test(undefined_registers), cmocka_unit_test(cores_and_commands),
        cmocka_unit_test(work_goes_on),        cmocka_unit_test(read_bandwidth),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
