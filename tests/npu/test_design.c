/* Designs: placing, errors that are kept, checked whole; the command builder. */
#include "designs.h"
#include "support/alloc_fail.h"

static void check_design(ts_design *d, int n_cols, const ts_core_use *uses, size_t n_uses,
                         ts_npu_config **config) {
    ts_err err;
    ts_buf pdi = {0};
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_npu_config_check(config, &ts_npu1, pdi.data, pdi.len, n_cols, uses, n_uses, NULL, &err));
    ts_buf_free(&pdi);
}

static void test_loopbacks(void **state) {
    (void)state;
    ts_err err;
    for (int n_cols = 1; n_cols <= ts_npu1.cols; n_cols++)
        for (int row = 1; row < ts_npu1.rows; row++) {
            ts_design *d = loopback_design(n_cols, row, 256);
            ts_npu_config *config;
            check_design(d, n_cols, NULL, 0, &config);
            for (uint32_t blocks = 1; blocks < 4; blocks++) {
                ts_dispatch p;
                ts_npu_command *cmd;
                loopback_dispatch(&p, n_cols, 256 * blocks);
                uint64_t bytes[2] = {1024 * blocks * (unsigned)n_cols, 1024 * blocks * (unsigned)n_cols};
                assert_ok(ts_npu_command_from(&cmd, config, &p, bytes, 2, NULL, &err));
                assert_int_equal(ts_npu_command_args(cmd), 2);
                assert_int_equal(ts_npu_command_arg_bytes(cmd, 1), bytes[1]);
                ts_npu_command_free(cmd);
                ts_dispatch_free(&p);
            }
            ts_npu_config_free(config);
            ts_design_free(d);
        }
}

static void test_gather(void **state) {
    (void)state;
    ts_err err;
    static ts_core_use uses[16 * 6];
    for (int n_cols = 1; n_cols <= ts_npu1.cols; n_cols++) {
        ts_design *d = gather_design(n_cols);
        ts_npu_config *config;
        check_design(d, n_cols, uses, gather_uses(n_cols, uses), &config);
        ts_dispatch p;
        ts_npu_command *cmd;
        gather_dispatch(&p, n_cols, 5);
        uint64_t bytes[3] = {4096 * 5 * (unsigned)n_cols, 256, 4 * 64 * 5 * (unsigned)n_cols};
        assert_ok(ts_npu_command_from(&cmd, config, &p, bytes, 3, NULL, &err));
        ts_npu_command_free(cmd);
        ts_dispatch_free(&p);
        ts_npu_config_free(config);
        check_design(d, n_cols, NULL, 0,
                     &config); /* without the cores' promises less can be said, but nothing is wrong */
        ts_npu_config_free(config);
        ts_design_free(d);
    }
}

static void test_placing(void **state) {
    (void)state;
    ts_err err;
    ts_design *d;
    assert_ok(ts_design_new(&d, &ts_npu1, 2, &err));
    ts_tile t = ts_tile_at(0, 3), mem = ts_tile_at(1, 1);
    ts_tile_buf a = ts_design_buffer(d, t, "a", 100, TS_ANY_BANK), b = ts_design_buffer(d, t, "b", 16384, 1),
                c = ts_design_buffer(d, t, "c", 64, TS_ANY_BANK),
                e = ts_design_buffer(d, t, "e", 32768, TS_ANY_BANK),
                f = ts_design_buffer(d, mem, "f", 512 * 1024 - 64, TS_ANY_BANK);
    assert_int_equal(ts_design_addr(d, a), 0);
    assert_int_equal(ts_design_addr(d, b), 16384);
    assert_int_equal(ts_design_addr(d, c), 128); /* 100 bytes end at 128 */
    assert_int_equal(ts_design_addr(d, e), 32768);
    assert_int_equal(ts_design_addr(d, f), 64); /* behind what firmware may use */
    assert_int_equal(ts_design_core_addr(d, b, t), 0x70000 + 16384);
    assert_int_equal(ts_design_core_addr(d, b, ts_tile_at(0, 4)),
                     0x40000 + 16384); /* south of the core above */
    assert_int_equal(ts_design_core_addr(d, b, ts_tile_at(1, 3)),
                     0x50000 + 16384); /* west of the core to the right */
    assert_int_equal(ts_design_core_addr(d, b, ts_tile_at(0, 2)), 0x60000 + 16384);
    assert_int_equal(ts_design_core_addr(d, b, ts_tile_at(0, 5)), 0);
    assert_int_equal(ts_design_core_addr(d, f, ts_tile_at(1, 2)), 0); /* memtiles are not in a core's reach */
    ts_tile_lock l = ts_design_lock(d, t, "l", 1), m = ts_design_lock(d, t, "m", 0);
    assert_int_equal(ts_design_lock_number(d, l), 0);
    assert_int_equal(ts_design_core_lock(d, m, t), 49);
    assert_int_equal(ts_design_core_lock(d, m, ts_tile_at(0, 4)), 1);
    assert_int_equal(ts_design_core_lock(d, m, ts_tile_at(1, 4)), -1);
    assert_int_equal(ts_design_buffer(d, t, "full", 16384, TS_ANY_BANK), 0);
    ts_buf pdi = {0};
    assert_status(ts_design_finish(d, &pdi, NULL, &err), TS_E_LIMIT);
    assert_string_equal(err.msg, "design: buffer full: no room for 16384 bytes in core(0,3)");
    assert_int_equal(pdi.len, 0);
    ts_design_free(d);
    ts_design_free(NULL);
    assert_status(ts_design_new(&d, &ts_npu1, 5, &err), TS_E_INVAL);
}

/* The first error is the one that finish reports, whatever comes later. */
static void test_errors(void **state) {
    (void)state;
    static const uint8_t code[16388];
    for (int i = 0; i < 21; i++) {
        ts_design *d;
        ts_err err;
        ts_buf pdi = {0};
        assert_ok(ts_design_new(&d, &ts_npu1, 1, &err));
        ts_tile core = ts_tile_at(0, 2), other = ts_tile_at(0, 3), mem = ts_tile_at(0, 1),
                shim = ts_tile_at(0, 0);
        ts_tile_buf b = ts_design_buffer(d, core, "b", 64, 0), o = ts_design_buffer(d, other, "o", 64, 0);
        ts_tile_lock ol = ts_design_lock(d, other, "ol", 0);
        ts_end to_core = ts_end_dma(core, 0);
        const char *want = NULL;
        switch (i) {
        case 0: ts_design_buffer(d, ts_tile_at(1, 2), "x", 4, 0), want = "outside the 1 columns"; break;
        case 1: ts_design_buffer(d, mem, "x", 4, 0), want = "bank 0 in mem"; break;
        case 2: ts_design_buffer(d, shim, "x", 4, TS_ANY_BANK), want = "in shim"; break;
        case 3: ts_design_buffer(d, core, "x", 6, 0), want = "6 bytes"; break;
        case 4: ts_design_data(d, b, code, 65), want = "65 bytes for buffer b"; break;
        case 5: ts_design_data(d, 99, code, 4), want = "(none)"; break;
        case 6: ts_design_lock(d, core, "x", 64), want = "value 64"; break;
        case 7:
            for (int j = 0; j < 17; j++) ts_design_lock(d, core, "x", 0);
            want = "16 of 16 locks";
            break;
        case 8: ts_design_program(d, core, code, 16388), want = "16384 bytes fit"; break;
        case 9: ts_design_program(d, mem, code, 16), want = "no core"; break;
        case 10:
            ts_design_program(d, core, code, 16), ts_design_program(d, core, code, 16), want = "already";
            break;
        case 11:
            ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = o}}, 1),
                want = "buffer is not in this tile";
            break;
        case 12:
            ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .acquire = ol}}, 1),
                want = "lock to take";
            break;
        case 13:
            ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .release = 77}}, 1),
                want = "lock to give";
            break;
        case 14:
            ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .offset = 32, .bytes = 64}}, 1),
                want = "past its buffer";
            break;
        case 15:
            ts_design_dma(d, core, TS_S2MM, 2, (ts_ring_step[]){{.buffer = b}}, 1), want = "no such channel";
            break;
        case 16:
            ts_design_dma(d, shim, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b}}, 1),
                want = "belong to commands";
            break;
        case 17:
            ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .packet = true}}, 1),
                want = "only MM2S";
            break;
        case 18: ts_design_flow(d, ts_end_dma(shim, 0), &to_core, 0), want = "without a destination"; break;
        case 19:
            ts_design_packets(d, 32, ts_end_dma(shim, 0), &to_core, 1, false), want = "packet id 32";
            break;
        case 20:
            ts_design_flow(d, ts_end_dma(shim, 2), &to_core, 1), want = "shim(0,0) DMA2 is not a slave port";
            break;
        }
        ts_design_lock(d, core, "later", 1000); /* does not replace the first error */
        ts_status s = ts_design_finish(d, &pdi, NULL, &err);
        if (s == TS_OK || !strstr(err.msg, i == 20 ? "value 1000" : want))
            fail_msg("case %d: %s, wanted %s", i, err.msg, want);
        assert_int_equal(pdi.len, 0);
        ts_design_free(d);
    }
}

/* The order of things in a small PDI, as docs/npu/config.md lists it. */
static void test_order(void **state) {
    (void)state;
    ts_err err;
    ts_design *d;
    static const uint32_t program[4] = {1, 2, 3, 4};
    assert_ok(ts_design_new(&d, &ts_npu1, 1, &err));
    ts_tile core = ts_tile_at(0, 2), shim = ts_tile_at(0, 0);
    ts_tile_buf in = ts_design_buffer(d, core, "in", 64, 0);
    ts_design_data(d, in, program, 8);
    ts_tile_lock e = ts_design_lock(d, core, "e", 1), f = ts_design_lock(d, core, "f", 0);
    ts_design_program(d, core, program, 16);
    ts_design_dma(d, core, TS_S2MM, 1, (ts_ring_step[]){{.buffer = in, .acquire = e, .release = f}}, 1);
    ts_design_flow(d, ts_end_dma(shim, 1), (ts_end[]){ts_end_dma(core, 1)}, 1);
    ts_buf pdi = {0}, text = {0};
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_pdi_print(&ts_npu1, pdi.data, pdi.len, &text, &err));
    static const char *const in_order[] = {
        "mask   core(0,2) CORE_CONTROL       0x00000000 of 0x00000001\n",
        "mask   core(0,2) DMA_S2MM_CTRL[0]   0x00000002 of 0x00000002 RESET=1\n",
        "block  core(0,2) program+0x0        4 words\n",
        "block  core(0,2) data+0x0           2 words\n",
        "mask   core(0,2) DMA_MM2S_CTRL[1]   0x00000000 of 0x00000002\n",
        "mask   core(0,2) CORE_CONTROL       0x00000002 of 0x00000002 RESET=1\n",
        "mask   core(0,2) CORE_CONTROL       0x00000000 of 0x00000002\n",
        "write  shim(0,0) LOCK[15]           0x00000000\n",
        "write  core(0,2) LOCK[0]            0x00000001 LOCK_VALUE=1\n",
        "write  core(0,2) LOCK[1]            0x00000000\n",
        "block  core(0,2) DMA_BD_0[0]        6 words\n",
        "         BD 0: 16 words at 0x0 acquire 0-1 release 1+1 next 0\n",
        "write  core(0,2) DMA_S2MM_QUEUE[1]  0x00000000\n",
        "write  shim(0,0) SS_SLAVE[0]        0xc0000000 PACKET_ENABLE=1 SLAVE_ENABLE=1\n",
        "write  shim(0,0) SS_SLOT[0]         0x0f1f0100 ENABLE=1 MASK=31 ID=15\n",
        "write  shim(0,0) SS_MASTER[2]       0xc0000008 CONFIGURATION=8 PACKET_ENABLE=1 MASTER_ENABLE=1\n",
        "mask   shim(0,0) MUX                0x00004000 of 0x0000c000 SOUTH7=1\n",
        "write  mem(0,1) SS_SLAVE[7]",
        "mask   core(0,2) CORE_CONTROL       0x00000001 of 0x00000001 ENABLE=1\n",
    };
    const char *at = text.data;
    for (size_t i = 0; i < sizeof in_order / sizeof in_order[0]; i++) {
        at = strstr(at, in_order[i]);
        if (!at) fail_msg("not found in order: %s in\n%s", in_order[i], text.data);
        at += strlen(in_order[i]);
    }
    assert_int_equal(*at, 0); /* enabling the core comes last */
    ts_buf_free(&pdi);
    ts_buf_free(&text);
    ts_design_free(d);
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------- */

static void expect_failure(ts_dispatch *p, const char *text) {
    ts_err err = {.msg = ""};
    ts_buf out = {0};
    ts_status s = ts_dispatch_finish(p, &out, &err);
    if (s == TS_OK || !strstr(err.msg, text)) fail_msg("\"%s\", wanted \"%s\"", err.msg, text);
    assert_int_equal(out.len, 0);
    ts_dispatch_free(p);
}

static void test_dispatch_limits(void **state) {
    (void)state;
    ts_dispatch p;
    const ts_shim_task out = {.dir = TS_S2MM, .words = 4, .token = true}, in = {.dir = TS_MM2S, .words = 4};
    ts_dispatch_init(&p, &ts_npu1, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ts_dispatch_room(&p, 0, TS_S2MM, 0), 4 - i);
        ts_dispatch_task(&p, &out);
    }
    ts_dispatch_task(&p, &out);
    expect_failure(&p, "a fifth task would be lost");

    ts_dispatch_init(
        &p, &ts_npu1, 1); /* 4 channels with 4 tasks take all 16 descriptors; chained reuse goes on after waits */
    for (int i = 0; i < 16; i++) {
        ts_shim_task t = i & 1 ? out : in;
        t.channel = i >> 1 & 1;
        ts_dispatch_task(&p, &t);
    }
    assert_int_equal(p.live[0], 0xffff);
    assert_int_equal(p.err.code, TS_OK);
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    assert_int_equal(__builtin_popcount(p.live[0]), 15);
    ts_dispatch_task(&p, &out);
    assert_int_equal(p.live[0], 0xffff);
    expect_failure(&p, "still under way");

    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    expect_failure(&p, "nothing under way sends a token");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &in);
    ts_dispatch_implies(&p, 0, TS_MM2S, 0);
    expect_failure(&p, "no task before the last wait");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &out);
    ts_dispatch_wait(&p, 0, TS_S2MM, 0);
    ts_dispatch_task(&p, &in); /* after the wait: it implies nothing about this one */
    ts_dispatch_implies(&p, 0, TS_MM2S, 0);
    expect_failure(&p, "no task before the last wait");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.words = 4, .arg = 5});
    expect_failure(&p, "argument 5");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.words = 4, .offset = UINT64_C(1) << 32});
    expect_failure(&p, "offset 4294967296");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.words = 4, .repeat = 257});
    expect_failure(&p, "repeat 257");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.words = 4, .dim = {{.wrap = 1024}}});
    expect_failure(&p, "dim[0].wrap");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_task(&p, &(ts_shim_task){.col = 1, .words = 4});
    expect_failure(&p, "column 1");
    ts_dispatch_init(&p, &ts_npu1, 5);
    expect_failure(&p, "5 columns");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_data(&p, ts_tile_at(0, 0), 0, (uint32_t[]){1}, 1);
    expect_failure(&p, "data memory of shim");
    ts_dispatch_init(&p, &ts_npu1, 1);
    ts_dispatch_data(&p, ts_tile_at(0, 2), 0xfffc, (uint32_t[]){1, 2}, 2);
    expect_failure(&p, "data memory of core");
}

static bool build_all(void *ud) {
    (void)ud;
    ts_design *d = NULL;
    ts_npu_config *config = NULL;
    ts_npu_command *cmd = NULL;
    ts_dispatch p;
    ts_buf pdi = {0};
    uint64_t bytes[2] = {1024, 1024};
    ts_dispatch_init(&p, &ts_npu1, 1);
    bool ok = ts_design_new(&d, &ts_npu1, 1, NULL) == TS_OK;
    if (ok) {
        ts_tile shim = ts_tile_at(0, 0), core = ts_tile_at(0, 2);
        static const uint32_t code[4];
        add_pingpong(d, core, 256);
        ts_design_program(d, core, code, sizeof code);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(core, 0)}, 1);
        ts_design_flow(d, ts_end_dma(core, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
        ts_dispatch_free(&p);
        loopback_dispatch(&p, 1, 256);
        ok = ts_design_finish(d, &pdi, NULL, NULL) == TS_OK &&
             ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, NULL, 0, NULL, NULL) == TS_OK &&
             ts_npu_command_from(&cmd, config, &p, bytes, 2, NULL, NULL) == TS_OK;
    }
    ts_npu_command_free(cmd);
    ts_npu_config_free(config);
    ts_dispatch_free(&p);
    ts_design_free(d);
    ts_buf_free(&pdi);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(build_all, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopbacks),       cmocka_unit_test(test_gather), 
        cmocka_unit_test(test_placing),         cmocka_unit_test(test_errors), cmocka_unit_test(test_order),
        cmocka_unit_test(test_dispatch_limits), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("design", tests, NULL, NULL);
}
