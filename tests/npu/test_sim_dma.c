/* DMA channels of the simulator against a plain model: addresses, queues, locks, descriptors in use. */
#include "sim_regs.h"

#include "base/rng.h"

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* The plain model: the byte address of word i of run r, worked out from the meaning of the fields alone; UINT64_MAX:
 * a zero. */
static uint64_t plain_address(const ts_bd *bd, uint32_t i, uint32_t run) {
    uint64_t word = 0, step[4], wrap[4];
    bool zero = false;
    for (int d = 0; d < 4; d++) {
        step[d] = bd->dim[d].step ? bd->dim[d].step : 1;
        wrap[d] = d < 3 && bd->dim[d].wrap ? bd->dim[d].wrap + bd->dim[d].before + bd->dim[d].after : UINT64_MAX;
    }
    uint64_t index = i;
    for (int d = 0; d < 4; d++) {
        uint64_t at = wrap[d] == UINT64_MAX ? index : index % wrap[d];
        if (at < bd->dim[d].before || (wrap[d] != UINT64_MAX && at >= bd->dim[d].before + bd->dim[d].wrap)) zero = true;
        else word += (at - bd->dim[d].before) * step[d];
        if (wrap[d] == UINT64_MAX) break;
        index /= wrap[d];
    }
    uint32_t runs = bd->iter_wrap ? bd->iter_wrap : 1;
    word += (uint64_t)((bd->iter_current + run) % runs) * (bd->iter_step ? bd->iter_step : 1);
    return zero ? UINT64_MAX : bd->base + 4 * word;
}

/* A random descriptor of `words` words whose addresses stay within `span` bytes from `base`. */
static ts_bd random_bd(ts_rng *r, ts_tile_kind k, uint32_t words, uint64_t base, uint64_t span, bool pads) {
    int dims = k == TS_TILE_MEM ? 4 : 3;
    for (;;) {
        ts_bd bd = {.base = base + 4 * ts_rng_below(r, 8), .words = words, .valid = 1, .iter_step = 1, .iter_wrap = 1};
        int used = (int)ts_rng_below(r, (uint64_t)dims + 1);
        for (int d = 0; d < used; d++) {
            bd.dim[d].step = 1 + (uint32_t)ts_rng_below(r, d ? 40 : 3);
            if (ts_rng_below(r, 2) && !d) bd.dim[d].step = 1;
            bool has_wrap = d < 2 || (k == TS_TILE_MEM && d < 3);
            if (has_wrap && (d + 1 < used || ts_rng_below(r, 2))) bd.dim[d].wrap = 1 + (uint32_t)ts_rng_below(r, 12);
            if (pads && d < 3 && bd.dim[d].wrap && ts_rng_below(r, 3) == 0) {
                bd.dim[d].before = (uint32_t)ts_rng_below(r, 4);
                bd.dim[d].after = (uint32_t)ts_rng_below(r, 4);
            }
        }
        if (ts_rng_below(r, 2)) {
            bd.iter_wrap = 1 + (uint32_t)ts_rng_below(r, 5);
            bd.iter_step = 1 + (uint32_t)ts_rng_below(r, 60);
            bd.iter_current = (uint32_t)ts_rng_below(r, bd.iter_wrap);
        }
        bool fits = true;
        for (uint32_t run = 0; run < 6 && fits; run++)
            for (uint32_t i = 0; i < words && fits; i++) {
                uint64_t at = plain_address(&bd, i, run);
                fits = at == UINT64_MAX || at + 4 <= base + span;
            }
        if (fits) return bd;
    }
}

/* Random descriptors on both ends of a loop: what is read in the one order is written in the other. */
static void addresses(void **state) {
    (void)state;
    enum { SPAN = 24 * 1024, HOST = 64 * 1024 };
    const ts_tile tiles[] = {{0, TS_ROW_SHIM}, {0, TS_ROW_MEM}, {0, ts_npu1.core_row}};
    ts_rng r = ts_rng_seed(1);
    for (int round = 0; round < 150; round++) {
        ts_tile t = tiles[round % 3];
        ts_tile_kind k = ts_tile_kind_of(&ts_npu1, t);
        ts_array *a = one_column((uint64_t)round);
        host_block h;
        host_block_init(&h, HOST);
        fill_words(h.data, HOST / 4, (uint32_t)round);
        uint8_t *mem = k == TS_TILE_SHIM ? h.data : ts_array_memory(a, t);
        uint64_t origin = k == TS_TILE_SHIM ? HOST_BASE + TS_ARRAY_BIAS : k == TS_TILE_MEM ? TS_MEM_OWN_BASE : 0;
        uint8_t *want = malloc(HOST);
        assert_non_null(want);
        memcpy(want, mem, HOST);
        int ch = (int)ts_rng_below(&r, ts_npu1.tile[k].n_channels);
        uint32_t words = 1 + (uint32_t)ts_rng_below(&r, 300), runs = 1 + (uint32_t)ts_rng_below(&r, 5);
        uint32_t out_bd = k == TS_TILE_MEM && ch % 2 ? 25 : 1, in_bd = out_bd + 1;
        ts_bd from = random_bd(&r, k, words, origin, SPAN, k == TS_TILE_MEM);
        ts_bd to = random_bd(&r, k, words, origin + SPAN, SPAN, false);
        if (k == TS_TILE_SHIM) from.burst = (uint32_t)ts_rng_below(&r, 3), to.burst = (uint32_t)ts_rng_below(&r, 3);
        for (uint32_t run = 0; run < runs; run++)
            for (uint32_t i = 0; i < words; i++) {
                uint64_t src = plain_address(&from, i, run), dst = plain_address(&to, i, run);
                uint32_t w = 0;
                if (src != UINT64_MAX) memcpy(&w, want + (src - origin), 4);
                memcpy(want + (dst - origin), &w, 4);
            }
        put_bd(a, t, (int)out_bd, &from);
        put_bd(a, t, (int)in_bd, &to);
        loop(a, t, ch);
        start(a, t, TS_S2MM, ch, in_bd, runs);
        start(a, t, TS_MM2S, ch, out_bd, runs);
        go_on(a, 100000, &h); /* single words to host memory take their time */
        assert_int_equal(ts_array_mishaps(a), 0);
        assert_int_equal(ts_get(status(a, t, TS_S2MM, ch), TS_SHIM_DMA_S2MM_STATUS_CHANNEL_RUNNING), 0);
        if (memcmp(want, mem, HOST)) {
            char x[160], y[160];
            fail_msg("round %d, %s: %s -> %s, %u runs", round, ts_tile_maps[k].name,
                     ts_bd_print(k, &from, x, sizeof x), ts_bd_print(k, &to, y, sizeof y), runs);
        }
        free(want);
        free(h.data);
        ts_array_free(a);
    }
}

/* The windows of a memtile's DMA: west, own, east; channels 4 and 5 see only their own. */
static void memtile_windows(void **state) {
    (void)state;
    ts_array *a;
    ts_err err;
    ts_tile mid = {1, 1};
    assert_ok(ts_array_new(&a, &(ts_array_options){.n_cols = 3}, &err));
    fill_words(ts_array_memory(a, ts_tile_at(0, 1)) + 0x7ff00, 64, 3);
    fill_words(ts_array_memory(a, mid), 64, 5);
    /* 128 words across the border from the west tile to the own one, to the east */
    put_bd(a, mid, 0, &(ts_bd){.base = 0x7ff00, .words = 128, .valid = 1});
    put_bd(a, mid, 1,
           &(ts_bd){.base = 0x100000 + 0x1000, .words = 128, .valid = 1, .acq_enable = 1, .acq_lock = 128 + 7,
                    .acq_value = -1, .rel_lock = 3, .rel_value = 1});
    loop(a, mid, 0);
    set_lock(a, ts_tile_at(2, 1), 7, 1);
    start(a, mid, TS_S2MM, 0, 1, 1);
    start(a, mid, TS_MM2S, 0, 0, 1);
    go_on(a, 2000, NULL);
    assert_memory_equal(ts_array_memory(a, ts_tile_at(2, 1)) + 0x1000, ts_array_memory(a, ts_tile_at(0, 1)) + 0x7ff00,
                        256);
    assert_memory_equal(ts_array_memory(a, ts_tile_at(2, 1)) + 0x1100, ts_array_memory(a, mid), 256);
    assert_int_equal(lock_value(a, ts_tile_at(2, 1), 7), 0);
    assert_int_equal(lock_value(a, ts_tile_at(0, 1), 3), 1);
    loop(a, mid, 4);
    start(a, mid, TS_S2MM, 4, 1, 1);
    set_lock(a, ts_tile_at(2, 1), 7, 1);
    start(a, mid, TS_MM2S, 4, 0, 1);
    assert_status(ts_array_idle(a, 2000, NULL, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "mem(1,1)"));
    assert_non_null(strstr(err.msg, "there is no memory at"));
    ts_array_free(a);
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void fifth_task(void **state) {
    (void)state;
    ts_array *a = one_column(0);
    ts_tile t = {0, 2};
    uint8_t *m = ts_array_memory(a, t);
    fill_words(m, 16, 1);
    memset(m + 0x1000, 0, 256);
    for (int i = 0; i < 6; i++) {
        put_bd(a, t, i, &(ts_bd){.base = 0, .words = 4, .valid = 1});
        put_bd(a, t, 8 + i, &(ts_bd){.base = 0x1000 + 16 * (uint64_t)i, .words = 4, .valid = 1});
    }
    loop(a, t, 1);
    for (uint32_t i = 0; i < 6; i++) start(a, t, TS_S2MM, 1, 8 + i, 1); /* two of six are lost */
    assert_int_equal(ts_array_mishaps(a), 2);
    assert_non_null(
        strstr(ts_array_mishap(a, 0), "core(0,2) S2MM 1 has 4 tasks already, a further one (BD 12) is lost"));
    uint32_t s = status(a, t, TS_S2MM, 1);
    assert_int_equal(ts_get(s, TS_CORE_DMA_S2MM_STATUS_TASK_QUEUE_OVERFLOW), 1);
    assert_int_equal(ts_get(s, TS_CORE_DMA_S2MM_STATUS_TASK_QUEUE_SIZE), 4);
    for (uint32_t i = 0; i < 4; i++) start(a, t, TS_MM2S, 1, i, 1);
    go_on(a, 1000, NULL);
    start(a, t, TS_MM2S, 1, 4, 1); /* nobody takes its words: they wait in the switch */
    go_on(a, 1000, NULL);
    static const uint8_t nothing[32];
    for (int i = 0; i < 4; i++) assert_memory_equal(m + 0x1000 + 16 * i, m, 16);
    assert_memory_equal(m + 0x1040, nothing, 32);
    start(a, t, TS_S2MM, 1, 12, 1);
    go_on(a, 1000, NULL);
    assert_memory_equal(m + 0x1040, m, 16);
    /* the bit stays until the channel is reset */
    assert_int_equal(ts_get(status(a, t, TS_S2MM, 1), TS_CORE_DMA_S2MM_STATUS_TASK_QUEUE_OVERFLOW), 1);
    put(a, ts_addr(t, ts_dma_ctrl(TS_TILE_CORE, TS_S2MM, 1)), 2);
    assert_int_equal(status(a, t, TS_S2MM, 1), 0);
    start(a, t, TS_S2MM, 1, 8, 1); /* while it is in reset */
    assert_int_equal(ts_array_mishaps(a), 3);
    ts_array_free(a);
}

/* A chain that goes round under locks is worked on until the channel is reset, and starts over. */
static void reset_channel(void **state) {
    (void)state;
    ts_array *a = one_column(0);
    ts_tile t = {0, 3};
    uint8_t *m = ts_array_memory(a, t);
    ts_bd out = {
        .base = 0, .words = 8, .valid = 1, .acq_enable = 1, .acq_lock = 2, .acq_value = -1, .use_next = 1, .next = 0};
    ts_bd in = {.base = 0x100, .words = 8, .valid = 1, .rel_lock = 5, .rel_value = 1, .use_next = 1, .next = 1};
    fill_words(m, 8, 1);
    put_bd(a, t, 0, &out);
    put_bd(a, t, 1, &in);
    loop(a, t, 0);
    start(a, t, TS_S2MM, 0, 1, 1);
    start(a, t, TS_MM2S, 0, 0, 1);
    set_lock(a, t, 2, 3);
    go_on(a, 500, NULL);
    assert_int_equal(lock_value(a, t, 2), 0);
    assert_int_equal(lock_value(a, t, 5), 3);
    uint32_t s = status(a, t, TS_MM2S, 0);
    assert_int_equal(ts_get(s, TS_CORE_DMA_MM2S_STATUS_STALLED_LOCK_ACQ), 1);
    put(a, ts_addr(t, ts_dma_ctrl(TS_TILE_CORE, TS_MM2S, 0)), 2);
    put(a, ts_addr(t, ts_dma_ctrl(TS_TILE_CORE, TS_MM2S, 0)), 0);
    set_lock(a, t, 2, 5); /* the reset channel does not take it */
    go_on(a, 500, NULL);
    assert_int_equal(lock_value(a, t, 2), 5);
    start(a, t, TS_MM2S, 0, 0, 1);
    go_on(a, 500, NULL);
    assert_int_equal(lock_value(a, t, 2), 0);
    assert_int_equal(lock_value(a, t, 5), 8);
    assert_int_equal(ts_array_mishaps(a), 0);
    ts_array_free(a);
}

/* ---- descriptors in use ------------------------------------------------------------------------------------------ */

static void live_descriptor(void **state) {
    (void)state;
    ts_array *a = one_column(0);
    ts_tile t = {0, 1};
    ts_bd bd = {.base = TS_MEM_OWN_BASE, .words = 64, .valid = 1};
    for (int i = 0; i < 8; i++) put_bd(a, t, i, &bd);
    bd.use_next = 1;
    bd.next = 5;
    put_bd(a, t, 4, &bd);
    loop(a, t, 0);
    start(a, t, TS_MM2S, 0, 3, 1); /* waits for room: nobody reads */
    start(a, t, TS_MM2S, 0, 4, 1); /* in the queue, with BD 5 behind it */
    go_on(a, 200, NULL);
    bd.use_next = 0;
    put_bd(a, t, 6, &bd);
    assert_int_equal(ts_array_mishaps(a), 0);
    for (int i = 3; i < 6; i++) put_bd(a, t, i, &bd);
    assert_int_equal(ts_array_mishaps(a), 2); /* 4 no longer leads to 5 */
    assert_non_null(
        strstr(ts_array_mishap(a, 0), "BD 3 of mem(0,1) is rewritten while mem(0,1) MM2S 0 may still read it"));
    put_bd(a, t, 1, &(ts_bd){.base = TS_MEM_OWN_BASE + 4096, .words = 128, .valid = 1});
    start(a, t, TS_S2MM, 0, 1, 1);
    go_on(a, 1000, NULL);
    for (int i = 3; i < 6; i++) put_bd(a, t, i, &bd);
    assert_int_equal(ts_array_mishaps(a), 2);
    ts_array_free(a);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static void locks(void **state) {
    (void)state;
    ts_array *a = one_column(0);
    ts_tile t = {0, 2};
    uint8_t *m = ts_array_memory(a, t);
    fill_words(m, 4, 1);
    loop(a, t, 0);
    /* -3: at least 3; 2: exactly 2 */
    put_bd(a, t, 0, &(ts_bd){.base = 0, .words = 4, .valid = 1, .acq_enable = 1, .acq_lock = 1, .acq_value = -3});
    put_bd(a, t, 1,
           &(ts_bd){.base = 64, .words = 4, .valid = 1, .acq_enable = 1, .acq_lock = 2, .acq_value = 2, .rel_lock = 2,
                    .rel_value = 60});
    start(a, t, TS_S2MM, 0, 1, 1);
    start(a, t, TS_MM2S, 0, 0, 1);
    set_lock(a, t, 1, 2);
    set_lock(a, t, 2, 3);
    go_on(a, 300, NULL);
    assert_int_equal(lock_value(a, t, 1), 2);
    set_lock(a, t, 1, 5);
    go_on(a, 300, NULL);
    assert_int_equal(lock_value(a, t, 1), 2);
    assert_int_equal(lock_value(a, t, 2), 3); /* 3 is not 2 */
    set_lock(a, t, 2, 2);
    go_on(a, 300, NULL);
    assert_int_equal(lock_value(a, t, 2), 60);
    assert_memory_equal(m + 64, m, 16);
    assert_int_equal(ts_array_mishaps(a), 0);
    /* 60 + 5 and 1 - 4 do not fit */
    put_bd(a, t, 2, &(ts_bd){.base = 0, .words = 4, .valid = 1, .rel_lock = 2, .rel_value = 5});
    put_bd(a, t, 3, &(ts_bd){.base = 64, .words = 4, .valid = 1, .rel_lock = 3, .rel_value = -4});
    set_lock(a, t, 3, 1);
    start(a, t, TS_S2MM, 0, 3, 1);
    start(a, t, TS_MM2S, 0, 2, 1);
    go_on(a, 300, NULL);
    assert_int_equal(lock_value(a, t, 2), 63);
    assert_int_equal(lock_value(a, t, 3), 0);
    assert_int_equal(get(a, ts_addr(t, TS_CORE_LOCKS_OVERFLOW)), 1u << 2);
    assert_int_equal(get(a, ts_addr(t, TS_CORE_LOCKS_UNDERFLOW)), 1u << 3);
    put(a, ts_addr(t, TS_CORE_LOCKS_OVERFLOW), 1u << 2);
    assert_int_equal(get(a, ts_addr(t, TS_CORE_LOCKS_OVERFLOW)), 0);
    assert_int_equal(ts_array_mishaps(a), 2);
    assert_non_null(strstr(ts_array_mishap(a, 0), "overflows: 60+5 is more than 63"));
    assert_non_null(strstr(ts_array_mishap(a, 1), "underflows: 1-4 is less than 0"));
    set_lock(a, t, 4, 64);
    assert_int_equal(ts_array_mishaps(a), 3);
    ts_array_free(a);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void refused_writes(void **state) {
    (void)state;
    static const struct {
        uint32_t addr, value;
        const char *says;
    } cases[] = {
        {0x00212340, 0, "core(0,2) +0x12340 (0x00212340): there is no such register"},
        {0x0020001e, 0, "a word is not at a multiple of 4"},
        {0x02000000 + 0x1d000, 0, "the tile is outside the partition"},
        {0x00600000, 0, "the tile is outside the partition"},
        {0x0021df00, 0, "core(0,2) DMA_S2MM_STATUS[0] (0x0021df00): the register can only be read"},
        {0x00231100, 0, "core(0,2) CORE_PC (0x00231100): the register cannot be written"},
        {0x0001d200, 2, "PAUSE_MEM=1) is not modelled"},
        {0x0021de00, 8, "ENABLE_OUT_OF_ORDER=1) is not modelled"},
        {0x001a0604, 50, "is to run BD 50, which is not there"},
    };
    ts_array *a = one_column(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_err err = {.msg = ""};
        assert_status(ts_array_write(a, cases[i].addr, cases[i].value, &err), TS_E_DEVICE);
        if (!strstr(err.msg, cases[i].says)) fail_msg("%s\nis not: %s", err.msg, cases[i].says);
    }
    ts_err err;
    uint32_t v;
    assert_status(ts_array_read(a, 0x0021de04, &v, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "can only be written"));
    ts_array_free(a);
}

static void refused_descriptors(void **state) {
    (void)state;
    static const struct {
        ts_tile tile;
        ts_bd bd;
        const char *says;
    } cases[] = {
        {{0, 2}, {.words = 4}, "is not valid"},
        {{0, 2}, {.valid = 1}, "moves no words"},
        {{0, 2}, {.words = 4, .valid = 1, .compress = 1}, "compression"},
        {{0, 1},
         {.words = 4, .valid = 1, .base = TS_MEM_OWN_BASE, .acq_enable = 1, .acq_lock = 200, .acq_value = -1},
         "takes a lock that is not there"},
        {{0, 1},
         {.words = 4, .valid = 1, .base = TS_MEM_OWN_BASE, .rel_value = 1, .rel_lock = 5},
         "gives a lock that is not there"},
        {{0, 1}, {.words = 4, .valid = 1, .base = 0x1000}, "there is no memory at 0x1000"},
        {{0, 2}, {.words = 4, .valid = 1, .base = 0xfff8}, "there is no memory at 0x10000"},
        {{0, 0},
         {.words = 4, .valid = 1, .base = 0x1000},
         "bus error, 16 bytes at 0x1000 are in no buffer (addresses of the array are 0x80000000 higher)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_array *a = one_column(0);
        ts_err err = {.msg = ""};
        host_block h;
        host_block_init(&h, 64);
        loop(a, cases[i].tile, 0);
        put_bd(a, cases[i].tile, 3, &cases[i].bd);
        start(a, cases[i].tile, TS_MM2S, 0, 3, 1);
        assert_status(ts_array_idle(a, 2000, &h.host, &err), TS_E_DEVICE);
        if (!strstr(err.msg, cases[i].says) || !strstr(err.msg, "BD 3"))
            fail_msg("%s\nis not: %s", err.msg, cases[i].says);
        ts_tile tile;
        ts_dma_dir dir;
        bool bus = strstr(cases[i].says, "bus error");
        assert_int_equal(ts_array_bus_error(a, &tile, &dir), bus);
        if (bus) assert_true(ts_tile_eq(tile, cases[i].tile) && dir == TS_MM2S);
        assert_status(ts_array_idle(a, 2000, &h.host, &err), TS_E_DEVICE); /* nothing more */
        free(h.data);
        ts_array_free(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),    cmocka_unit_test(memtile_windows), cmocka_unit_test(fifth_task),
        cmocka_unit_test(reset_channel), cmocka_unit_test(live_descriptor), cmocka_unit_test(locks),
        cmocka_unit_test(refused_writes), cmocka_unit_test(refused_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
