/* Streams of the simulator: time, back-pressure, multicast, packets, core ports, cascade. */
#include "sim_regs.h"

#include "base/rng.h"

static ts_array *array_new(int n_cols, uint64_t seed, uint32_t window) {
    ts_array *a;
    ts_err err;
    assert_ok(ts_array_new(&a, &(ts_array_options){.n_cols = n_cols, .seed = seed, .window = window}, &err));
    return a;
}

static uint64_t words_of(const ts_array *a, ts_tile t, ts_dma_dir dir, int ch) {
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    return s.channel[t.col][t.row][dir][ch].words;
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* A word a cycle: n words from memory to memory take n cycles and the latency of the way, which the table gives. */
static void word_a_cycle(void **state) {
    (void)state;
    ts_sim_timing tm;
    ts_sim_timing_init(&tm);
    for (uint32_t n = 1; n <= 4096; n *= 8) {
        ts_array *a = array_new(2, 0, 0);
        ts_fabric f;
        ts_err err;
        ts_end from = ts_end_dma(ts_tile_at(0, 3), 0), to = ts_end_dma(ts_tile_at(1, 3), 1);
        ts_fabric_init(&f, &ts_npu1, 2);
        assert_ok(ts_route_circuit(&f, from, &to, 1, &err)); /* east: two switches */
        put_fabric(a, &f);
        put_bd(a, from.tile, 0, &(ts_bd){.words = n, .valid = 1});
        put_bd(a, to.tile, 0, &(ts_bd){.words = n, .valid = 1, .rel_lock = 0, .rel_value = 1});
        start(a, to.tile, TS_S2MM, 1, 0, 1);
        start(a, from.tile, TS_MM2S, 0, 0, 1);
        /* task start, memory, slave + master to a neighbour + slave + local master; the last word takes a cycle
         * itself */
        uint64_t want = tm.dma_start.nominal + tm.dma_memory.nominal + 2 * tm.slave_latency.nominal +
                        tm.master_latency.nominal + tm.local_latency.nominal + (n - 1) + 1;
        go_on(a, want - 1, NULL);
        assert_int_equal(lock_value(a, to.tile, 0), 0);
        go_on(a, 1, NULL);
        assert_int_equal(lock_value(a, to.tile, 0), 1);
        ts_array_free(a);
    }
}

/* Nobody reads: the words that have left are those that the ports on the way hold. */
static void back_pressure(void **state) {
    (void)state;
    ts_sim_timing tm;
    ts_sim_timing_init(&tm);
    for (int fifo = 0; fifo < 2; fifo++) {
        ts_array *a = array_new(1, 0, 0);
        ts_tile t = {0, 2}, up = {0, 3};
        uint32_t held = 2 * tm.slave_depth.nominal + tm.master_depth.nominal + tm.local_depth.nominal;
        if (fifo) { /* through the switch's FIFO */
            connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_FIFO, 0));
            connect(a, t, ts_port_of(TS_PORT_FIFO, 0), ts_port_of(TS_PORT_NORTH, 1));
            held += tm.local_depth.nominal + tm.fifo_depth.nominal + tm.slave_depth.nominal;
        } else {
            connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_NORTH, 1));
        }
        connect(a, up, ts_port_of(TS_PORT_SOUTH, 1), ts_port_of(TS_PORT_DMA, 1));
        put_bd(a, t, 0, &(ts_bd){.words = 100, .valid = 1});
        put_bd(a, up, 0, &(ts_bd){.words = 100, .valid = 1});
        start(a, t, TS_MM2S, 0, 0, 1);
        go_on(a, 1000, NULL);
        assert_int_equal(words_of(a, t, TS_MM2S, 0), held);
        start(a, up, TS_S2MM, 1, 0, 1);
        go_on(a, 1000, NULL);
        assert_int_equal(words_of(a, up, TS_S2MM, 1), 100);
        assert_memory_equal(ts_array_memory(a, up), ts_array_memory(a, t), 400);
        ts_array_free(a);
    }
}

/* ---- multicast --------------------------------------------------------------------------------------------------- */

/* One source, four readers; three read at once, the fourth when a lock lets it: it holds the others up. */
static void slowest_sink(void **state) {
    (void)state;
    ts_array *a = array_new(2, 0, 0);
    ts_fabric f;
    ts_err err;
    ts_end from = ts_end_dma(ts_tile_at(0, 1), 2), to[4];
    ts_fabric_init(&f, &ts_npu1, 2);
    for (int i = 0; i < 4; i++) to[i] = ts_end_dma(ts_tile_at(i % 2, 2 + i), i % 2);
    assert_ok(ts_route_circuit(&f, from, to, 4, &err));
    put_fabric(a, &f);
    fill_words(ts_array_memory(a, from.tile), 500, 4);
    put_bd(a, from.tile, 0, &(ts_bd){.base = TS_MEM_OWN_BASE, .words = 500, .valid = 1});
    for (int i = 0; i < 4; i++) {
        put_bd(a, to[i].tile, 0,
               &(ts_bd){.words = 500, .valid = 1, .acq_enable = i == 3, .acq_lock = 0, .acq_value = -1});
        start(a, to[i].tile, TS_S2MM, to[i].port.index, 0, 1);
    }
    start(a, from.tile, TS_MM2S, 2, 0, 1);
    go_on(a, 2000, NULL);
    uint64_t sent = words_of(a, from.tile, TS_MM2S, 2);
    assert_in_range(sent, 4, 100); /* no more than the way to the fourth holds */
    for (int i = 0; i < 3; i++) assert_int_equal(words_of(a, to[i].tile, TS_S2MM, i % 2), sent);
    assert_int_equal(words_of(a, to[3].tile, TS_S2MM, 1), 0);
    set_lock(a, to[3].tile, 0, 1);
    go_on(a, 2000, NULL);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(ts_array_memory(a, to[i].tile), ts_array_memory(a, from.tile), 2000);
    ts_array_free(a);
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* Three sources in a column send packets of random lengths through shared ports to two readers; a reader gets whole
 * packets, in the order of each source, with their headers or without. */
static void packets_merge(void **state) {
    (void)state;
    enum { PACKETS = 12, WORDS = 9 };
    for (uint64_t seed = 0; seed < 12; seed++) {
        bool keep = seed % 2;
        ts_array *a = array_new(1, seed, 0);
        ts_fabric f;
        ts_err err;
        ts_fabric_init(&f, &ts_npu1, 1);
        ts_end to[2] = {ts_end_dma(ts_tile_at(0, 1), 0), ts_end_dma(ts_tile_at(0, 1), 3)};
        uint32_t n[2] = {0, 0};
        for (int s = 0; s < 3; s++) {
            ts_tile t = ts_tile_at(0, 2 + s);
            int id = 5 + s, way = s == 2;
            assert_ok(ts_route_packet(&f, id, ts_end_dma(t, 0), &to[way], 1, keep, &err));
            for (uint32_t i = 0; i < PACKETS * WORDS; i++) {
                uint32_t w = (uint32_t)s << 16 | i;
                memcpy(ts_array_memory(a, t) + 4 * i, &w, 4);
            }
            /* one BD, run again and again, a packet each */
            put_bd(a, t, 0,
                   &(ts_bd){.words = WORDS, .valid = 1, .packet = 1, .packet_id = (uint32_t)id, .packet_type = 2,
                            .iter_step = WORDS, .iter_wrap = PACKETS});
            n[way] += PACKETS * (WORDS + keep);
        }
        put_fabric(a, &f);
        for (int i = 0; i < 2; i++) {
            put_bd(a, to[i].tile, i ? 30 : 3,
                   &(ts_bd){.base = TS_MEM_OWN_BASE + 0x10000 * (uint64_t)i, .words = n[i], .valid = 1});
            start(a, to[i].tile, TS_S2MM, to[i].port.index, i ? 30 : 3, 1);
        }
        for (int s = 0; s < 3; s++) start(a, ts_tile_at(0, 2 + s), TS_MM2S, 0, 0, PACKETS);
        go_on(a, 5000, NULL);
        assert_int_equal(ts_array_mishaps(a), 0);
        uint32_t next[3] = {0, 0, 0};
        for (int i = 0; i < 2; i++)
            for (uint32_t at = 0; at < n[i]; at += WORDS + keep) {
                uint32_t w[WORDS + 1];
                memcpy(w, ts_array_memory(a, ts_tile_at(0, 1)) + 0x10000 * i + 4 * at, 4 * (WORDS + (size_t)keep));
                uint32_t s = w[keep] >> 16;
                assert_in_range(s, i ? 2 : 0, i ? 2 : 1);
                if (keep) {
                    ts_packet p = ts_packet_decode(w[0]);
                    assert_true(ts_packet_parity_ok(w[0]));
                    assert_int_equal(p.id, 5 + s);
                    assert_int_equal(p.type, 2);
                    assert_int_equal(p.row, 2 + s);
                }
                for (uint32_t k = 0; k < WORDS; k++) assert_int_equal(w[keep + k], s << 16 | next[s]++);
            }
        for (int s = 0; s < 3; s++) assert_int_equal(next[s], PACKETS * WORDS);
        ts_array_free(a);
    }
}

/* A header that no slot matches stops its port; the report says where and why. */
static void packet_lost(void **state) {
    (void)state;
    ts_array *a = array_new(1, 0, 0);
    ts_fabric f;
    ts_err err;
    ts_tile t = {0, 2};
    ts_end to = ts_end_dma(ts_tile_at(0, 1), 0);
    ts_fabric_init(&f, &ts_npu1, 1);
    assert_ok(ts_route_packet(&f, 3, ts_end_dma(t, 0), &to, 1, true, &err));
    put_fabric(a, &f);
    put_bd(a, t, 0, &(ts_bd){.words = 8, .valid = 1, .packet = 1, .packet_id = 4});
    start(a, t, TS_MM2S, 0, 0, 1);
    ts_txn txn = {0};
    ts_buf b = {0};
    ts_array_outcome o;
    ts_txn_wait(&txn, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_ok(ts_txn_finish(&txn, &ts_npu1, 1, &b, &err));
    assert_status(ts_array_run(a, b.data, b.len, NULL, 0, NULL, &o, &err), TS_E_DEVICE);
    assert_int_equal(o, TS_ARRAY_HANG);
    if (!strstr(ts_array_report(a), "core(0,2) DMA0 (packets from core(0,2) DMA0): no slot matches packet id 4"))
        fail_msg("%s", ts_array_report(a));
    ts_txn_free(&txn);
    ts_buf_free(&b);
    ts_array_free(a);
}

/* ---- what cannot work -------------------------------------------------------------------------------------------- */

static void broken_routes(void **state) {
    (void)state;
    static const struct {
        ts_tile at;
        ts_port from, to; /* the second connection; type TYPES: none */
        const char *says;
    } cases[] = {
        {{0, 3}, {TS_PORT_TYPES, 0}, {0, 0}, "core(0,3) South1 is off"},
        {{0, 3}, {TS_PORT_SOUTH, 1}, {TS_PORT_CTRL, 0}, "core(0,3) Ctrl0 gets control packets, which are not modelled"},
        {{0, 3}, {TS_PORT_SOUTH, 1}, {TS_PORT_WEST, 0}, "core(0,3) West0 leads out of the array"},
        {{0, 3}, {TS_PORT_SOUTH, 1}, {TS_PORT_SOUTH, 2},
         "core(0,3) South2 cannot be reached from the slave port it names"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_array *a = array_new(1, 0, 0);
        ts_tile t = {0, 2};
        connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_NORTH, 1));
        if (cases[i].from.type != TS_PORT_TYPES) connect(a, cases[i].at, cases[i].from, cases[i].to);
        put_bd(a, t, 0, &(ts_bd){.words = 8, .valid = 1});
        start(a, t, TS_MM2S, 0, 0, 1);
        go_on(a, 100, NULL);
        assert_int_equal(words_of(a, t, TS_MM2S, 0), 0);
        ts_txn txn = {0};
        ts_buf b = {0};
        ts_err err;
        ts_txn_wait(&txn, ts_tile_at(0, 0), TS_S2MM, 0);
        assert_ok(ts_txn_finish(&txn, &ts_npu1, 1, &b, &err));
        assert_status(ts_array_run(a, b.data, b.len, NULL, 0, NULL, NULL, &err), TS_E_DEVICE);
        if (!strstr(ts_array_report(a), cases[i].says)) fail_msg("%s\nhas not: %s", ts_array_report(a), cases[i].says);
        ts_txn_free(&txn);
        ts_buf_free(&b);
        ts_array_free(a);
    }
}

/* A route that is completed later lets the words through; one that is changed under way loses them, and that is
 * noted. */
static void routes_change(void **state) {
    (void)state;
    ts_array *a = array_new(1, 0, 0);
    ts_tile t = {0, 2}, up = {0, 3};
    put_bd(a, t, 0, &(ts_bd){.words = 8, .valid = 1});
    put_bd(a, up, 0, &(ts_bd){.words = 8, .valid = 1});
    start(a, t, TS_MM2S, 0, 0, 1);
    start(a, up, TS_S2MM, 1, 0, 1);
    go_on(a, 100, NULL);
    connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_NORTH, 1));
    go_on(a, 100, NULL);
    connect(a, up, ts_port_of(TS_PORT_SOUTH, 1), ts_port_of(TS_PORT_DMA, 1));
    go_on(a, 100, NULL);
    assert_int_equal(words_of(a, up, TS_S2MM, 1), 8);
    assert_int_equal(ts_array_mishaps(a), 0);
    start(a, t, TS_MM2S, 0, 0, 1);
    go_on(a, 100, NULL); /* eight words wait in the switches */
    connect(a, t, ts_port_of(TS_PORT_DMA, 1), ts_port_of(TS_PORT_NORTH, 1));
    go_on(a, 100, NULL);
    assert_int_equal(ts_array_mishaps(a), 1);
    assert_non_null(
        strstr(ts_array_mishap(a, 0), "the route to core(0,3) DMA1 is changed while 8 words are on it: they are lost"));
    ts_array_free(a);
}

/* ---- core ports -------------------------------------------------------------------------------------------------- */

/* A core reads its stream and writes it on, one word after the other. */
static void core_streams(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        ts_array *a = array_new(1, seed, 0);
        ts_tile t = {0, 4};
        enum { WORDS = 333 };
        put_program(a, t,
                    "top:    mov r1, SS\n        .rept 8\n        nop\n        .endr\n        add r2, r1, #5\n"
                    "        nop\n        mov ms, r2\n        .rept 4\n        nop\n        .endr\n"
                    "        j #top\n        .rept 5\n        nop\n        .endr\n");
        connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_CORE, 0));
        connect(a, t, ts_port_of(TS_PORT_CORE, 0), ts_port_of(TS_PORT_DMA, 0));
        fill_words(ts_array_memory(a, t), WORDS, 8);
        put_bd(a, t, 0, &(ts_bd){.words = WORDS, .valid = 1});
        put_bd(a, t, 1, &(ts_bd){.base = 0x8000, .words = WORDS, .valid = 1});
        start(a, t, TS_S2MM, 0, 1, 1);
        start(a, t, TS_MM2S, 0, 0, 1);
        go_on(a, 1000, NULL);
        assert_int_equal(words_of(a, t, TS_S2MM, 0), 0); /* cores are idle until the first command */
        launch(a, 1);
        go_on(a, 30000, NULL);
        for (uint32_t i = 0; i < WORDS; i++) {
            uint32_t x, y;
            memcpy(&x, ts_array_memory(a, t) + 4 * i, 4);
            memcpy(&y, ts_array_memory(a, t) + 0x8000 + 4 * i, 4);
            assert_int_equal(y, x + 5);
        }
        ts_array_stats s;
        ts_array_get_stats(a, &s);
        assert_int_equal(s.core[0][4].words_in, WORDS);
        assert_int_equal(s.core[0][4].words_out, WORDS);
        assert_true(s.core[0][4].waited[TS_WAIT_WORDS] > 0);
        ts_array_free(a);
    }
}

/* A core that does not wait for words takes those that are there, and each once; one that does not wait for room
 * loses what does not fit and knows it. */
static void without_waiting(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        ts_array *a = array_new(1, seed, 0);
        ts_tile t = {0, 4};
        enum { WORDS = 100, OUT = 0x8000, COUNT = 0xc000 };
        put_program(
            a, t,
            "        movxm p0, #0x78000\n        mova r7, #0\n"
            "top:    mov.nb r1, SS\n        .rept 9\n        nop\n        .endr\n        mov r3, srSS0\n        nop\n"
            "        mova r4, #1\n        and r3, r3, r4\n        jz r3, #out\n        .rept 5\n        nop\n        "
            ".endr\n"
            "        st r1, [p0], #4\n"
            "out:    mov.nb ms, r1\n        .rept 6\n        nop\n        .endr\n        mov r3, srMS0\n        nop\n"
            "        add r7, r7, r3\n        movxm p1, #0x7c000\n        st r7, [p1, #0]\n"
            "        j #top\n        .rept 5\n        nop\n        .endr\n");
        connect(a, t, ts_port_of(TS_PORT_DMA, 0), ts_port_of(TS_PORT_CORE, 0));
        connect(a, t, ts_port_of(TS_PORT_CORE, 0), ts_port_of(TS_PORT_DMA, 1));
        fill_words(ts_array_memory(a, t), WORDS, 8);
        put_bd(a, t, 0, &(ts_bd){.words = WORDS, .valid = 1});
        start(a, t, TS_MM2S, 0, 0, 1);
        launch(a, 1);
        go_on(a, 10000, NULL);
        assert_memory_equal(ts_array_memory(a, t) + OUT, ts_array_memory(a, t), 4 * WORDS);
        uint32_t sent;
        memcpy(&sent, ts_array_memory(a, t) + COUNT, 4);
        ts_array_stats s;
        ts_array_get_stats(a, &s);
        assert_int_equal(s.core[0][4].words_out, sent);
        assert_int_equal(sent, 6); /* what the ports hold */
        put_bd(a, t, 1, &(ts_bd){.base = 0xd000, .words = 64, .valid = 1});
        start(a, t, TS_S2MM, 1, 1, 1);
        go_on(a, 10000, NULL);
        ts_array_get_stats(a, &s);
        assert_int_equal(s.channel[0][4][TS_S2MM][1].words, 64);
        assert_int_equal(ts_array_mishaps(a), 0);
        ts_array_free(a);
    }
}

/* 512 bits down the column, values in order, the writer held up by a reader that is slower. */
static void cascade(void **state) {
    (void)state;
    ts_array *a = array_new(1, 0, 0);
    ts_tile from = {0, 3}, to = {0, 2};
    enum { N = 40 };
    put_program(
        a, from,
        "        movxm p0, #0x70000\n        movxm lc, #40\n        movxm ls, #first\n        movxm le, #last\n"
        "        mova r0, #1\n        mov crMCDEn, r0\n        .rept 12\n        nop\n        .endr\n"
        "first:  vlda amll0, [p0], #32\n        vlda amlh0, [p0], #32\n        .rept 10\n        nop\n        .endr\n"
        "        vmov mcd, bml0\n        .rept 6\n        nop\n        .endr\nlast:   nop\n        done\n");
    put_program(a, to,
                "        movxm p0, #0x72000\n        movxm lc, #40\n        movxm ls, #first\n        movxm le, #last\n"
                "        mova r0, #1\n        mov crSCDEn, r0\n        .rept 12\n        nop\n        .endr\n"
                "first:  vmov.lo cm0, scd\n        .rept 40\n        nop\n        .endr\n"
                "        vst amll0, [p0], #32\n        vst amlh0, [p0], #32\nlast:   nop\n        done\n");
    fill_words(ts_array_memory(a, from), N * 16, 6);
    launch(a, 1);
    go_on(a, 10000, NULL);
    assert_memory_equal(ts_array_memory(a, to) + 0x2000, ts_array_memory(a, from), N * 64);
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    assert_true(s.core[0][3].waited[TS_WAIT_CASCADE] > 10 * N);
    ts_array_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_a_cycle),  cmocka_unit_test(back_pressure), cmocka_unit_test(slowest_sink),
        cmocka_unit_test(packets_merge), cmocka_unit_test(packet_lost),   cmocka_unit_test(broken_routes),
        cmocka_unit_test(routes_change), cmocka_unit_test(core_streams),  cmocka_unit_test(without_waiting),
        cmocka_unit_test(cascade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
