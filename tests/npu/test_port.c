/* Stream switches: the port table against the shared list, legal connections, neighbours, register words, packets. */
#include "support/test.h"

#include "xdna/port.h"

#include <jansson.h>

static const char *const kind_names[TS_TILE_KINDS] = {"shim", "memtile", "core"};
static const int kind_rows[TS_TILE_KINDS] = {0, 1, 2};

static void test_numbers(void **state) {
    (void)state;
    char name[16];
    for (int k = 0; k < TS_TILE_KINDS; k++)
        for (int role = 0; role < 2; role++) {
            int n = ts_port_count((ts_tile_kind)k, (ts_port_role)role);
            assert_true(n <= (role == TS_MASTER ? TS_MASTERS_MAX : TS_SLAVES_MAX));
            for (int i = 0; i < n; i++) {
                ts_port p = ts_port_at((ts_tile_kind)k, (ts_port_role)role, i);
                assert_int_equal(ts_port_number((ts_tile_kind)k, (ts_port_role)role, p), i);
            }
            assert_int_equal(ts_port_at((ts_tile_kind)k, (ts_port_role)role, n).type, TS_PORT_TYPES);
        }
    assert_int_equal(ts_port_number(TS_TILE_CORE, TS_MASTER, ts_port_of(TS_PORT_SOUTH, 4)), -1);
    assert_int_equal(ts_port_number(TS_TILE_MEM, TS_MASTER, ts_port_of(TS_PORT_EAST, 0)), -1);
    assert_int_equal(ts_port_number(TS_TILE_MEM, TS_MASTER, ts_port_of(TS_PORT_TYPES, 0)), -1);
    assert_string_equal(ts_port_name(ts_port_of(TS_PORT_SOUTH, 3), name, sizeof name), "South3");
}

static void test_against_list(void **state) {
    (void)state;
    char path[512];
    SKIP_WITHOUT(shared_path(path, sizeof path, "xdna/stream_ports.json"));
    json_error_t jerr;
    json_t *root = json_load_file(path, 0, &jerr);
    if (!root) fail_msg("%s: %s", path, jerr.text);
    for (int k = 0; k < TS_TILE_KINDS; k++) {
        json_t *tile = json_object_get(root, kind_names[k]);
        for (int role = 0; role < 2; role++) {
            json_t *list = json_object_get(tile, role == TS_MASTER ? "master" : "slave"), *e;
            assert_int_equal(json_array_size(list), ts_port_count((ts_tile_kind)k, (ts_port_role)role));
            size_t i;
            json_array_foreach(list, i, e) {
                uint32_t off = (uint32_t)strtoul(json_string_value(json_object_get(e, "off")), NULL, 16);
                assert_int_equal(off, role == TS_MASTER ? ts_ss_master_off((ts_tile_kind)k, (int)i)
                                                        : ts_ss_slave_off((ts_tile_kind)k, (int)i));
                char name[16];
                const char *want = json_string_value(json_object_get(e, "name"));
                ts_port_name(ts_port_at((ts_tile_kind)k, (ts_port_role)role, (int)i), name, sizeof name);
                if (!strcmp(want, "AIETrace") || !strcmp(want, "Trace")) want = "Trace0";
                if (!strcmp(want, "MemTrace")) want = "Trace1";
                if (!strcmp(want, "Ctrl")) want = "Ctrl0";
                assert_string_equal(name, want);
            }
        }
        uint32_t slots = (uint32_t)strtoul(
            json_string_value(json_object_get(json_object_get(tile, "slot"), "base")), NULL, 16);
        assert_int_equal(ts_ss_slot_off((ts_tile_kind)k, 0, 0), slots);
        assert_int_equal(ts_ss_slot_off((ts_tile_kind)k, 3, 2), slots + 3 * 16 + 2 * 4);
        ts_place p = ts_locate(&ts_npu1, ts_addr(ts_tile_at(0, kind_rows[k]), slots + 3 * 16 + 2 * 4));
        assert_int_equal(p.what, TS_AT_SS_SLOT);
        assert_int_equal(p.index, 3);
        assert_int_equal(p.word, 2);
    }
    json_decref(root);
}

#define P(t, i)                                                                                              \
    { TS_PORT_##t, i }
static void test_legal(void **state) {
    (void)state;
    static const struct {
        ts_tile_kind kind;
        ts_port slave, master;
        bool legal;
    } cases[] = {
        {TS_TILE_CORE, P(CORE, 0), P(CORE, 0), false},
        {TS_TILE_CORE, P(CORE, 0), P(DMA, 1), true},
        {TS_TILE_CORE, P(DMA, 0), P(DMA, 0), true},
        {TS_TILE_CORE, P(DMA, 0), P(DMA, 1), false},
        {TS_TILE_CORE, P(DMA, 1), P(NORTH, 5), true},
        {TS_TILE_CORE, P(CTRL, 0), P(DMA, 0), false},
        {TS_TILE_CORE, P(CTRL, 0), P(CTRL, 0), false},
        {TS_TILE_CORE, P(CTRL, 0), P(SOUTH, 3), true},
        {TS_TILE_CORE, P(FIFO, 0), P(WEST, 2), true},
        {TS_TILE_CORE, P(TRACE, 0), P(SOUTH, 1), true},
        {TS_TILE_CORE, P(TRACE, 0), P(NORTH, 1), false},
        {TS_TILE_CORE, P(TRACE, 1), P(DMA, 0), true},
        {TS_TILE_CORE, P(TRACE, 1), P(DMA, 1), false},
        {TS_TILE_CORE, P(SOUTH, 5), P(NORTH, 0), true},
        {TS_TILE_CORE, P(SOUTH, 3), P(SOUTH, 3), true},
        {TS_TILE_CORE, P(SOUTH, 2), P(SOUTH, 3), false},
        {TS_TILE_CORE, P(WEST, 1), P(EAST, 3), true},
        {TS_TILE_CORE, P(EAST, 1), P(EAST, 2), false},
        {TS_TILE_CORE, P(NORTH, 1), P(DMA, 1), true},
        {TS_TILE_CORE, P(SOUTH, 6), P(DMA, 1), false}, /* no such port */
        {TS_TILE_MEM, P(DMA, 2), P(DMA, 2), true},
        {TS_TILE_MEM, P(DMA, 2), P(DMA, 3), false},
        {TS_TILE_MEM, P(DMA, 2), P(NORTH, 5), true},
        {TS_TILE_MEM, P(CTRL, 0), P(DMA, 5), true},
        {TS_TILE_MEM, P(CTRL, 0), P(DMA, 4), false},
        {TS_TILE_MEM, P(CTRL, 0), P(CTRL, 0), false},
        {TS_TILE_MEM, P(SOUTH, 2), P(NORTH, 2), true},
        {TS_TILE_MEM, P(SOUTH, 2), P(NORTH, 3), false},
        {TS_TILE_MEM, P(NORTH, 3), P(SOUTH, 3), true},
        {TS_TILE_MEM, P(NORTH, 3), P(SOUTH, 2), false},
        {TS_TILE_MEM, P(SOUTH, 1), P(SOUTH, 1), true},
        {TS_TILE_MEM, P(SOUTH, 1), P(SOUTH, 2), false},
        {TS_TILE_MEM, P(SOUTH, 4), P(DMA, 0), true},
        {TS_TILE_MEM, P(TRACE, 0), P(DMA, 5), true},
        {TS_TILE_MEM, P(TRACE, 0), P(NORTH, 0), false},
        {TS_TILE_SHIM, P(SOUTH, 3), P(NORTH, 0), true},
        {TS_TILE_SHIM, P(SOUTH, 3), P(SOUTH, 2), true},
        {TS_TILE_SHIM, P(CTRL, 0), P(SOUTH, 0), true},
        {TS_TILE_SHIM, P(CTRL, 0), P(CTRL, 0), false},
        {TS_TILE_SHIM, P(NORTH, 1), P(NORTH, 2), false},
        {TS_TILE_SHIM, P(NORTH, 1), P(SOUTH, 2), true},
        {TS_TILE_SHIM, P(TRACE, 0), P(SOUTH, 4), true},
        {TS_TILE_SHIM, P(WEST, 0), P(EAST, 3), true},
        {TS_TILE_SHIM, P(DMA, 0), P(NORTH, 0), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (ts_port_legal(cases[i].kind, cases[i].slave, cases[i].master) != cases[i].legal)
            fail_msg("case %zu", i);
}

/* Wires between tiles: both ends agree, nothing leaves the partition. */
static void test_neighbours(void **state) {
    (void)state;
    int wires = 0;
    for (int n_cols = 1; n_cols <= ts_npu1.cols; n_cols++)
        for (int c = 0; c < n_cols; c++)
            for (int r = 0; r < ts_npu1.rows; r++) {
                ts_tile t = ts_tile_at(c, r), next, back;
                ts_port slave, master;
                ts_tile_kind k = ts_tile_kind_of(&ts_npu1, t);
                for (int i = 0; i < ts_port_count(k, TS_MASTER); i++) {
                    ts_port m = ts_port_at(k, TS_MASTER, i);
                    if (!ts_port_peer(&ts_npu1, n_cols, t, m, &next, &slave)) continue;
                    assert_true(next.col < n_cols && next.row < ts_npu1.rows);
                    assert_true(ts_port_peer_back(&ts_npu1, n_cols, next, slave, &back, &master));
                    assert_true(ts_tile_eq(back, t) && ts_port_eq(master, m));
                    wires += n_cols == ts_npu1.cols;
                }
                for (int i = 0; i < ts_port_count(k, TS_SLAVE); i++) {
                    ts_port s = ts_port_at(k, TS_SLAVE, i);
                    if (!ts_port_peer_back(&ts_npu1, n_cols, t, s, &back, &master)) continue;
                    assert_true(ts_port_peer(&ts_npu1, n_cols, back, master, &next, &slave));
                    assert_true(ts_tile_eq(next, t) && ts_port_eq(slave, s));
                }
            }
    /* vertical: 5 gaps a column, 6 up and 4 down; horizontal: 3 gaps in shim and 4 core rows, 4 each way */
    assert_int_equal(wires, 4 * 5 * 10 + 3 * 5 * 8);
    ts_tile t;
    ts_port p;
    assert_true(ts_port_peer(&ts_npu1, 4, ts_tile_at(1, 0), ts_port_of(TS_PORT_NORTH, 5), &t, &p));
    assert_true(ts_tile_eq(t, ts_tile_at(1, 1)) && ts_port_eq(p, ts_port_of(TS_PORT_SOUTH, 5)));
    assert_false(ts_port_peer(&ts_npu1, 4, ts_tile_at(0, 2), ts_port_of(TS_PORT_WEST, 0), &t, &p));
    assert_false(ts_port_peer(&ts_npu1, 1, ts_tile_at(0, 2), ts_port_of(TS_PORT_EAST, 0), &t, &p));
    assert_false(ts_port_peer(&ts_npu1, 4, ts_tile_at(0, 5), ts_port_of(TS_PORT_NORTH, 0), &t, &p));
    assert_false(ts_port_peer(&ts_npu1, 4, ts_tile_at(0, 0), ts_port_of(TS_PORT_SOUTH, 2), &t, &p)); /* to the DMA */
}

static void test_dma_ports(void **state) {
    (void)state;
    assert_true(ts_port_eq(ts_port_dma(TS_TILE_SHIM, TS_MM2S, 0), ts_port_of(TS_PORT_SOUTH, 3)));
    assert_true(ts_port_eq(ts_port_dma(TS_TILE_SHIM, TS_MM2S, 1), ts_port_of(TS_PORT_SOUTH, 7)));
    assert_true(ts_port_eq(ts_port_dma(TS_TILE_SHIM, TS_S2MM, 0), ts_port_of(TS_PORT_SOUTH, 2)));
    assert_true(ts_port_eq(ts_port_dma(TS_TILE_SHIM, TS_S2MM, 1), ts_port_of(TS_PORT_SOUTH, 3)));
    for (int k = 0; k < TS_TILE_KINDS; k++)
        for (int d = 0; d < 2; d++)
            for (int ch = 0; ch < ts_npu1.tile[k].n_channels; ch++)
                assert_int_equal(ts_port_dma_channel((ts_tile_kind)k, d == TS_MM2S ? TS_SLAVE : TS_MASTER,
                                                     ts_port_dma((ts_tile_kind)k, (ts_dma_dir)d, ch)),
                                 ch);
    assert_int_equal(ts_port_dma_channel(TS_TILE_SHIM, TS_SLAVE, ts_port_of(TS_PORT_SOUTH, 2)), -1);
    assert_int_equal(ts_shim_mux_bits(TS_MM2S, 0), 1u << 10);
    assert_int_equal(ts_shim_mux_bits(TS_MM2S, 1), 1u << 14);
    assert_int_equal(ts_shim_mux_bits(TS_S2MM, 0), 1u << 4);
    assert_int_equal(ts_shim_mux_bits(TS_S2MM, 1), 1u << 6);
}

static void test_words(void **state) {
    (void)state;
    assert_int_equal(ts_ss_master_encode((ts_ss_master){.enable = true, .slave = 5}), 0x80000005);
    assert_int_equal(ts_ss_master_encode((ts_ss_master){
                         .enable = true, .packet = true, .drop_header = true, .arbiter = 2, .msels = 5}),
                     0xc00000aa);
    assert_int_equal(ts_ss_slave_encode((ts_ss_slave){.enable = true, .packet = true}), 0xc0000000);
    assert_int_equal(
        ts_ss_slot_encode((ts_ss_slot){.enable = true, .id = 15, .mask = 31, .msel = 1, .arbiter = 3}),
        0x0f1f0113);
    for (uint32_t i = 0; i < 4096; i++) { /* all values of the defined bits come back */
        uint32_t m = (i & 0xff) | (i >> 8 & 3) << 30;
        ts_ss_master d = ts_ss_master_decode(m);
        uint32_t want = d.packet ? m : m & ~0x60u;
        assert_int_equal(ts_ss_master_encode(d), want);
        uint32_t s =
            (i & 7) | (i >> 3 & 3) << 4 | (i >> 5 & 1) << 8 | (i >> 6 & 31) << 16 | (i >> 7 & 31) << 24;
        assert_int_equal(ts_ss_slot_encode(ts_ss_slot_decode(s)), s);
    }
}

static void test_packets(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 1u << 16; i++) {
        ts_packet p = {.id = i & 31, .type = i >> 5 & 7, .row = i >> 8 & 7, .col = i >> 11 & 31};
        uint32_t w = ts_packet_encode(p);
        assert_true(ts_packet_parity_ok(w));
        ts_packet q = ts_packet_decode(w);
        assert_memory_equal(&p, &q, sizeof p);
    }
    assert_false(ts_packet_parity_ok(0x8020600f));
    /* seen on silicon by xdna-emu: column 1, row 0, shim S2MM 0, controller 15 */
    assert_int_equal(ts_token_word(ts_tile_at(1, 0), TS_S2MM, 0, 15), 0x0020600f);
    assert_int_equal(ts_token_word(ts_tile_at(1, 1), TS_S2MM, 0, 15), 0); /* not known well enough */
    assert_int_equal(ts_token_word(ts_tile_at(1, 0), TS_S2MM, 2, 15), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_against_list), cmocka_unit_test(test_legal),
        cmocka_unit_test(test_neighbours), cmocka_unit_test(test_dma_ports),    cmocka_unit_test(test_words),
        cmocka_unit_test(test_packets),
    };
    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
