/* Routes: found paths are traced back, limits of ports, multicasts, packets, broken configurations. */
#include "support/test.h"

#include "base/rng.h"
#include "xdna/route.h"

static const ts_port SOUTH0 = {TS_PORT_SOUTH, 0};

static bool has_sink(const ts_sink *s, int n, ts_end e, bool header) {
    for (int i = 0; i < n; i++)
        if (ts_tile_eq(s[i].tile, e.tile) && ts_port_eq(s[i].port, ts_end_master(&ts_npu1, e)) && s[i].header == header)
            return true;
    return false;
}

static void assert_leads(const ts_fabric *f, ts_end src, int id, const ts_end *dst, int n, bool header) {
    ts_sink sinks[TS_SINKS_MAX];
    int n_sinks;
    ts_err err;
    assert_ok(ts_route_trace(f, src.tile, ts_end_slave(&ts_npu1, src), id, sinks, &n_sinks, &err));
    assert_int_equal(n_sinks, n);
    for (int i = 0; i < n; i++) assert_true(has_sink(sinks, n_sinks, dst[i], header));
}

static void test_circuit(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 4);
    ts_end src = ts_end_dma(ts_tile_at(1, 0), 0), dst = ts_end_dma(ts_tile_at(1, 5), 1);
    assert_ok(ts_route_circuit(&f, src, &dst, 1, &err));
    assert_leads(&f, src, -1, &dst, 1, false);
    assert_int_equal(f.sw[1][0].mux, 1u << 10);
    assert_int_equal(f.sw[1][0].demux, 0);
    /* straight up: one slave and one master in each of the six rows, the memtile keeps the index */
    for (int r = 0; r < ts_npu1.rows; r++) {
        int masters = 0;
        for (int m = 0; m < TS_MASTERS_MAX; m++) masters += f.sw[1][r].master[m].enable;
        assert_int_equal(masters, 1);
    }
    ts_end back = ts_end_dma(ts_tile_at(3, 4), 0), host = ts_end_dma(ts_tile_at(0, 0), 1);
    assert_ok(ts_route_circuit(&f, back, &host, 1, &err));
    assert_leads(&f, back, -1, &host, 1, false);
    assert_leads(&f, src, -1, &dst, 1, false);
    assert_int_equal(f.sw[0][0].demux, 1u << 6);

    ts_fabric before = f; /* a port in use is refused, nothing changes */
    assert_status(ts_route_circuit(&f, src, &(ts_end){ts_tile_at(0, 2), ts_port_of(TS_PORT_DMA, 0)}, 1, &err),
                  TS_E_LIMIT);
    assert_string_equal(err.msg, "route: shim(1,0) DMA0 is in use by another flow");
    assert_status(ts_route_circuit(&f, ts_end_dma(ts_tile_at(1, 0), 1), &dst, 1, &err), TS_E_LIMIT);
    assert_string_equal(err.msg, "route: core(1,5) DMA1 is in use by another flow");
    assert_status(ts_route_circuit(&f, ts_end_dma(ts_tile_at(1, 0), 2), &dst, 1, &err), TS_E_INVAL);
    assert_status(ts_route_circuit(&f, ts_end_dma(ts_tile_at(4, 0), 0), &dst, 1, &err), TS_E_INVAL);
    ts_end twice[2] = {ts_end_dma(ts_tile_at(0, 2), 0), ts_end_dma(ts_tile_at(0, 2), 0)};
    assert_status(ts_route_circuit(&f, ts_end_dma(ts_tile_at(0, 0), 0), twice, 2, &err), TS_E_INVAL);
    assert_memory_equal(&f, &before, sizeof f);
}

static void test_multicast(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 4);
    ts_end dst[16], src = ts_end_dma(ts_tile_at(0, 0), 0);
    for (int i = 0; i < 16; i++) dst[i] = ts_end_dma(ts_tile_at(i / 4, 2 + i % 4), 0);
    assert_ok(ts_route_circuit(&f, src, dst, 16, &err));
    assert_leads(&f, src, -1, dst, 16, false);
    int slaves = 0; /* one way into each tile: the tree shares what it can */
    for (int c = 0; c < 4; c++)
        for (int r = 0; r < ts_npu1.rows; r++)
            for (int s = 0; s < TS_SLAVES_MAX; s++) slaves += f.sw[c][r].slave[s].enable;
    assert_int_equal(slaves, 1 + 1 + 16);
}

/* A column's gaps hold six circuits up and four down; the seventh is refused when its neighbours are full too. */
static void test_capacity(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 1);
    int up = 0, down = 0;
    for (int ch = 0; ch < 6; ch++) { /* memtile to cores */
        ts_end dst = ts_end_dma(ts_tile_at(0, 2 + ch / 2), ch % 2);
        up += ts_route_circuit(&f, ts_end_dma(ts_tile_at(0, 1), ch), &dst, 1, &err) == TS_OK;
    }
    assert_int_equal(up, 6);
    ts_end top = ts_end_dma(ts_tile_at(0, 5), 0);
    assert_status(ts_route_circuit(&f, ts_end_dma(ts_tile_at(0, 0), 0), &top, 1, &err), TS_E_LIMIT);
    assert_string_equal(err.msg, "route: no free path from shim(0,0) DMA0 to core(0,5) DMA0");
    for (int i = 0; i < 6; i++) {
        ts_end dst = ts_end_dma(ts_tile_at(0, 1), i);
        down += ts_route_circuit(&f, ts_end_dma(ts_tile_at(0, 2 + i / 2), i % 2), &dst, 1, &err) == TS_OK;
    }
    assert_int_equal(down, 4);
}

static void test_packets(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 4);
    ts_end out = ts_end_dma(ts_tile_at(0, 0), 0), kept = ts_end_dma(ts_tile_at(1, 0), 0);
    for (int r = 0; r < 4; r++) /* four cores share the way down to one channel */
        assert_ok(ts_route_packet(&f, r, ts_end_dma(ts_tile_at(0, 2 + r), 0), &out, 1, false, &err));
    for (int r = 0; r < 4; r++) assert_leads(&f, ts_end_dma(ts_tile_at(0, 2 + r), 0), r, &out, 1, false);
    assert_ok(ts_route_packet(&f, 9, ts_end_dma(ts_tile_at(2, 2), 0), &kept, 1, true, &err));
    assert_leads(&f, ts_end_dma(ts_tile_at(2, 2), 0), 9, &kept, 1, true);
    /* one source, two ids, two destinations */
    ts_end a = ts_end_dma(ts_tile_at(3, 2), 0), b = ts_end_dma(ts_tile_at(3, 3), 0),
           src = ts_end_dma(ts_tile_at(3, 0), 0);
    assert_ok(ts_route_packet(&f, 20, src, &a, 1, false, &err));
    assert_ok(ts_route_packet(&f, 21, src, &b, 1, false, &err));
    ts_end both[2] = {a, b};
    assert_ok(ts_route_packet(&f, 22, src, both, 2, false, &err));
    assert_leads(&f, src, 20, &a, 1, false);
    assert_leads(&f, src, 21, &b, 1, false);
    assert_leads(&f, src, 22, both, 2, false);
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    assert_status(ts_route_trace(&f, src.tile, ts_end_slave(&ts_npu1, src), 23, sinks, &n, &err), TS_E_INVAL);
    assert_string_equal(err.msg, "stream lost at shim(3,0) South3: no slot matches the packet header");
    assert_status(ts_route_trace(&f, src.tile, ts_end_slave(&ts_npu1, src), -1, sinks, &n, &err), TS_E_INVAL);

    ts_fabric before = f;
    assert_status(ts_route_packet(&f, 21, src, &a, 1, false, &err), TS_E_LIMIT); /* goes elsewhere already */
    assert_status(ts_route_packet(&f, 24, src, &a, 1, true, &err), TS_E_INVAL);  /* keep and drop */
    assert_status(ts_route_packet(&f, 32, src, &a, 1, false, &err), TS_E_INVAL);
    assert_memory_equal(&f, &before, sizeof f);
    assert_ok(ts_route_packet(&f, 24, src, both, 2, false, &err)); /* the fourth and last slot of the port */
    assert_status(ts_route_packet(&f, 25, src, both, 2, false, &err), TS_E_LIMIT);
    assert_string_equal(err.msg, "route: shim(3,0) South3 has no packet slot left");
    assert_status(ts_route_circuit(&f, src, &(ts_end){ts_tile_at(3, 4), ts_port_of(TS_PORT_DMA, 0)}, 1, &err),
                  TS_E_LIMIT);
}

static void test_arbiters(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 4);
    /* sources around one core tile send to different sinks there: arbiters and selectors are shared sensibly, and
     * run out cleanly if at all */
    int ok = 0, id = 0;
    ts_end local[2] = {ts_end_dma(ts_tile_at(1, 3), 0), ts_end_dma(ts_tile_at(1, 3), 1)};
    ts_tile around[4] = {ts_tile_at(0, 3), ts_tile_at(2, 3), ts_tile_at(1, 2), ts_tile_at(1, 4)};
    for (int i = 0; i < 4; i++)
        for (int ch = 0; ch < 2; ch++) {
            ts_end src = ts_end_dma(around[i], ch);
            ok += ts_route_packet(&f, id++, src, local, 2, false, &err) == TS_OK;
            ok += ts_route_packet(&f, id++, src, &local[ch], 1, false, &err) == TS_OK;
        }
    assert_int_equal(ok, 16);
    for (int i = 0; i < 4; i++)
        for (int ch = 0; ch < 2; ch++) {
            assert_leads(&f, ts_end_dma(around[i], ch), 4 * i + 2 * ch, local, 2, false);
            assert_leads(&f, ts_end_dma(around[i], ch), 4 * i + 2 * ch + 1, &local[ch], 1, false);
        }
}

static void test_token(void **state) {
    (void)state;
    ts_err err;
    ts_fabric f;
    ts_fabric_init(&f, &ts_npu1, 1);
    ts_tile shim = ts_tile_at(0, 0);
    ts_end to = ts_end_port(shim, TS_PORT_SOUTH, 0);
    assert_ok(ts_route_packet(&f, 15, ts_end_port(shim, TS_PORT_CTRL, 0), &to, 1, true, &err));
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    assert_ok(ts_route_trace(&f, shim, ts_port_of(TS_PORT_CTRL, 0), 15, sinks, &n, &err));
    assert_true(n == 1 && ts_port_eq(sinks[0].port, SOUTH0) && sinks[0].header);
}

/* What a wrong configuration does to a stream. */
static void test_lost(void **state) {
    (void)state;
    ts_fabric good, f;
    ts_err err;
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    ts_fabric_init(&good, &ts_npu1, 2);
    ts_end src = ts_end_dma(ts_tile_at(0, 2), 0), dst = ts_end_dma(ts_tile_at(1, 2), 0);
    assert_ok(ts_route_circuit(&good, src, &dst, 1, &err));
    int east = -1, west;
    for (int m = 0; m < TS_MASTERS_MAX; m++)
        if (good.sw[0][2].master[m].enable) east = m;
    ts_port ep = ts_port_at(TS_TILE_CORE, TS_MASTER, east);
    assert_int_equal(ep.type, TS_PORT_EAST);
    west = ts_port_number(TS_TILE_CORE, TS_SLAVE, ts_port_of(TS_PORT_WEST, ep.index));
    for (int i = 0; i < 6; i++) {
        f = good;
        const char *want = NULL;
        switch (i) {
        case 0: f.sw[1][2].slave[west].enable = false, want = "the slave port is off"; break;
        case 1: f.sw[1][2].slave[west].packet = true, want = "without packet headers"; break;
        case 2: f.sw[0][2].master[east].enable = false, want = "no master port takes it"; break;
        case 3: /* DMA0 to DMA1 is no connection */
            f.sw[0][2].master[2] = (ts_ss_master){.enable = true, .slave = 1};
            want = "cannot make this connection";
            break;
        case 4: /* East of the first column, back to the West port of the second: a circle */
            for (int m = 0; m < TS_MASTERS_MAX; m++) f.sw[1][2].master[m].enable = false;
            f.sw[1][2].master[ts_port_number(TS_TILE_CORE, TS_MASTER, ts_port_of(TS_PORT_WEST, ep.index))] =
                (ts_ss_master){.enable = true, .slave = (uint8_t)west};
            f.sw[0][2]
                .slave[ts_port_number(TS_TILE_CORE, TS_SLAVE, ts_port_of(TS_PORT_EAST, ep.index))]
                .enable = true;
            f.sw[0][2].master[east].slave =
                (uint8_t)ts_port_number(TS_TILE_CORE, TS_SLAVE, ts_port_of(TS_PORT_EAST, ep.index));
            src = ts_end_port(ts_tile_at(0, 2), TS_PORT_EAST, ep.index);
            want = "round in a circle";
            break;
        case 5:
            f.n_cols = 1;
            src = ts_end_dma(ts_tile_at(0, 2), 0);
            want = "leaves the partition";
            break;
        }
        ts_status s = ts_route_trace(&f, src.tile, ts_end_slave(&ts_npu1, src), -1, sinks, &n, &err);
        if (s != TS_E_INVAL || !strstr(err.msg, want))
            fail_msg("case %d: \"%s\", wanted \"%s\"", i, err.msg, want);
    }
}

/* Random flows: what is routed arrives where it should, and registers read back give the same switches. */
static void test_random(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(11);
    for (int round = 0; round < 300; round++) {
        ts_fabric f, g;
        ts_err err;
        int n_cols = 1 + (int)ts_rng_below(&rng, 4), n = 0;
        ts_end src[24], dst[24][3];
        int n_dst[24], id[24];
        ts_fabric_init(&f, &ts_npu1, n_cols);
        for (int i = 0; i < 24; i++) {
            bool packet = ts_rng_below(&rng, 2);
            ts_end s, d[3];
            ts_tile t = ts_tile_at((int)ts_rng_below(&rng, (uint64_t)n_cols), (int)ts_rng_below(&rng, 6));
            s = ts_end_dma(t, (int)ts_rng_below(&rng, ts_tile_info_of(&ts_npu1, t)->n_channels));
            int k = 1 + (int)ts_rng_below(&rng, 3);
            for (int j = 0; j < k; j++) {
                t = ts_tile_at((int)ts_rng_below(&rng, (uint64_t)n_cols), (int)ts_rng_below(&rng, 6));
                d[j] = ts_end_dma(t, (int)ts_rng_below(&rng, ts_tile_info_of(&ts_npu1, t)->n_channels));
            }
            ts_status st =
                packet ? ts_route_packet(&f, i, s, d, k, false, &err) : ts_route_circuit(&f, s, d, k, &err);
            if (st != TS_OK) continue;
            src[n] = s, n_dst[n] = k, id[n] = packet ? i : -1;
            memcpy(dst[n++], d, sizeof d);
        }
        for (int i = 0; i < n; i++) assert_leads(&f, src[i], id[i], dst[i], n_dst[i], false);
        ts_cdo cdo = {0};
        ts_buf list = {0};
        ts_cdo_reader r;
        ts_cdo_op op;
        bool more;
        ts_fabric_emit(&f, &cdo);
        assert_ok(ts_cdo_finish(&cdo, &list, &err));
        assert_ok(ts_cdo_open(&r, list.data, list.len, &err));
        ts_fabric_init(&g, &ts_npu1, n_cols);
        for (;;) {
            assert_ok(ts_cdo_next(&r, &op, &more, &err));
            if (!more) break;
            ts_fabric_apply(&g, ts_locate(&ts_npu1, op.addr), op.value);
        }
        assert_memory_equal(&f, &g, sizeof f);
        ts_cdo_free(&cdo);
        ts_buf_free(&list);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_circuit), cmocka_unit_test(test_multicast), cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_packets), cmocka_unit_test(test_arbiters),  cmocka_unit_test(test_token),
        cmocka_unit_test(test_lost),    cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
