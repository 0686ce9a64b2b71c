/* DMA descriptors: words for known descriptors, encode and decode as inverses, ranges, addresses. */
#include "support/test.h"

#include "base/rng.h"
#include "xdna/bd.h"

/* Worked by hand from the bit tables of AM025. */
static void test_known_words(void **state) {
    (void)state;
    ts_err err;
    uint32_t w[TS_BD_WORDS_MAX];
    ts_bd core = {.base = 0x400,
                  .words = 256,
                  .valid = 1,
                  .use_next = 1,
                  .next = 3,
                  .acq_enable = 1,
                  .acq_lock = 2,
                  .acq_value = -1,
                  .rel_lock = 5,
                  .rel_value = 1};
    assert_ok(ts_bd_encode(TS_TILE_CORE, &core, w, &err));
    assert_int_equal(w[0], 0x100u << 14 | 256);
    assert_int_equal(w[1] | w[2] | w[3] | w[4], 0);
    assert_int_equal(w[5], 3u << 27 | 1u << 26 | 1u << 25 | 1u << 18 | 5u << 13 | 1u << 12 | 0x7fu << 5 | 2);

    ts_bd mem = {.base = TS_MEM_OWN_BASE + 0x1000,
                 .words = 1024,
                 .valid = 1,
                 .acq_enable = 1,
                 .acq_lock = TS_MEM_OWN_LOCK + 1,
                 .acq_value = -1,
                 .rel_lock = TS_MEM_OWN_LOCK,
                 .rel_value = 1,
                 .dim = {{.step = 1, .wrap = 16}, {.step = 64, .wrap = 8}, {.step = 16}}};
    assert_ok(ts_bd_encode(TS_TILE_MEM, &mem, w, &err));
    assert_int_equal(w[0], 1024);
    assert_int_equal(w[1], 0x20000 + 0x400);
    assert_int_equal(w[2], 16u << 17);
    assert_int_equal(w[3], 8u << 17 | 63);
    assert_int_equal(w[4], 15);
    assert_int_equal(w[5] | w[6], 0);
    assert_int_equal(w[7], 1u << 31 | 1u << 24 | 64u << 16 | 1u << 15 | 0x7fu << 8 | 65);

    ts_bd shim = {.base = UINT64_C(0x7f1280001000),
                  .words = 1u << 20,
                  .valid = 1,
                  .burst = 2,
                  .axcache = 2,
                  .packet = 1,
                  .packet_id = 7,
                  .iter_step = 0x1000,
                  .iter_wrap = 4,
                  .dim = {{.wrap = 1000, .step = 3}}};
    assert_ok(ts_bd_encode(TS_TILE_SHIM, &shim, w, &err));
    assert_int_equal(w[0], 1u << 20);
    assert_int_equal(w[1], 0x80001000);
    assert_int_equal(w[2], 1u << 30 | 7u << 19 | 0x7f12);
    assert_int_equal(w[3], 1000u << 20 | 2);
    assert_int_equal(w[4], 2u << 30);
    assert_int_equal(w[5], 2u << 24);
    assert_int_equal(w[6], 3u << 20 | 0xfff);
    assert_int_equal(w[7], 1u << 25);
}

/* decode(any words), encode, gives the words' defined bits back; a second decode gives the same descriptor. */
static void test_round_trip(void **state) {
    (void)state;
    ts_err err;
    ts_rng rng = ts_rng_seed(2);
    for (int i = 0; i < 30000; i++) {
        ts_tile_kind kind = (ts_tile_kind)(i % 3);
        uint32_t w[TS_BD_WORDS_MAX], back[TS_BD_WORDS_MAX];
        for (int j = 0; j < TS_BD_WORDS_MAX; j++) w[j] = ts_rng_u32(&rng);
        if (kind == TS_TILE_MEM) w[1] &= ~(1u << 18) | 0x5ffff; /* the DMA's view ends at 1.5 MiB */
        ts_bd bd, again;
        ts_bd_decode(kind, w, &bd);
        if (bd.base >= 0x180000 && kind == TS_TILE_MEM) continue;
        assert_ok(ts_bd_encode(kind, &bd, back, &err));
        ts_bd_decode(kind, back, &again);
        assert_memory_equal(&bd, &again, sizeof bd);
        for (int j = 0; j < ts_tile_maps[kind].bd_words; j++)
            assert_int_equal(back[j] & ~w[j], 0); /* nothing new */
    }
}

static void test_ranges(void **state) {
    (void)state;
    static const struct {
        ts_tile_kind kind;
        ts_bd bd;
        const char *names; /* in the message; NULL: fits */
    } cases[] = {
        {TS_TILE_CORE, {.words = 0x3fff}, NULL},
        {TS_TILE_CORE, {.words = 0x4000}, "words"},
        {TS_TILE_CORE, {.base = 0x10000}, "base"},
        {TS_TILE_CORE, {.base = 2}, "base"},
        {TS_TILE_CORE, {.dim[0].step = 0x2000}, NULL},
        {TS_TILE_CORE, {.dim[0].step = 0x2001}, "dim[0].step"},
        {TS_TILE_CORE, {.dim[1].wrap = 256}, "dim[1].wrap"},
        {TS_TILE_CORE, {.dim[2].wrap = 2}, "member"},
        {TS_TILE_CORE, {.dim[3].step = 2}, "member"},
        {TS_TILE_CORE, {.dim[0].before = 1}, "member"},
        {TS_TILE_CORE, {.burst = 1}, "member"},
        {TS_TILE_CORE, {.acq_lock = 16}, "acq_lock"},
        {TS_TILE_CORE, {.acq_value = -64}, NULL},
        {TS_TILE_CORE, {.acq_value = -65}, "acq_value"},
        {TS_TILE_CORE, {.rel_value = 64}, "rel_value"},
        {TS_TILE_CORE, {.iter_wrap = 64}, NULL},
        {TS_TILE_CORE, {.iter_wrap = 65}, "iter_wrap"},
        {TS_TILE_CORE, {.next = 16}, "next"},
        {TS_TILE_CORE, {.packet_id = 32}, "packet_id"},
        {TS_TILE_MEM, {.words = 0x1ffff}, NULL},
        {TS_TILE_MEM, {.words = 0x20000}, "words"},
        {TS_TILE_MEM, {.base = 0x180000}, "base"},
        {TS_TILE_MEM, {.base = 0x17fffc}, NULL},
        {TS_TILE_MEM, {.dim[3].step = 0x20000}, NULL},
        {TS_TILE_MEM, {.dim[3].wrap = 1}, "member"},
        {TS_TILE_MEM, {.dim[2].wrap = 1024}, "dim[2].wrap"},
        {TS_TILE_MEM, {.next = 48}, NULL}, /* the field holds 63: the checker knows better */
        {TS_TILE_MEM, {.smid = 1}, "member"},
        {TS_TILE_SHIM, {.words = UINT32_MAX}, NULL},
        {TS_TILE_SHIM, {.base = UINT64_C(1) << 48}, "base"},
        {TS_TILE_SHIM, {.base = (UINT64_C(1) << 48) - 4}, NULL},
        {TS_TILE_SHIM, {.dim[0].wrap = 1024}, "dim[0].wrap"},
        {TS_TILE_SHIM, {.dim[2].step = (1 << 20) + 1}, "dim[2].step"},
        {TS_TILE_SHIM, {.burst = 4}, "burst"},
        {TS_TILE_SHIM, {.compress = 1}, "member"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ts_err err = {.msg = ""};
        uint32_t w[TS_BD_WORDS_MAX] = {0xdead};
        ts_status s = ts_bd_encode(cases[i].kind, &cases[i].bd, w, &err);
        if (!cases[i].names) {
            if (s != TS_OK) fail_msg("case %zu: %s", i, err.msg);
            continue;
        }
        if (s != TS_E_INVAL || !strstr(err.msg, cases[i].names))
            fail_msg("case %zu: status %d, \"%s\"", i, s, err.msg);
        assert_int_equal(w[0], 0xdead); /* untouched on failure */
    }
}

static void test_addresses(void **state) {
    (void)state;
    /* 3 rows of 4 words out of a matrix with 10 words a row, columns first */
    ts_bd bd = {
        .base = 0x100, .words = 24, .dim = {{.step = 10, .wrap = 3}, {.step = 1, .wrap = 4}, {.step = 100}}};
    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(ts_bd_addr(&bd, i), 0x100 + 4 * ((i % 3) * 10 + (i / 3 % 4) + (i / 12) * 100));
    uint64_t lo, hi;
    assert_true(ts_bd_extent(&bd, &lo, &hi));
    assert_int_equal(lo, 0x100);
    assert_int_equal(hi, 0x100 + 4 * (2 * 10 + 3 + 100 + 1));
    ts_bd plain = {.base = 0x40, .words = 8, .iter_wrap = 4, .iter_step = 8};
    assert_true(ts_bd_extent(&plain, &lo, &hi));
    assert_int_equal(hi - lo, 4 * 32);
    assert_int_equal(ts_bd_addr(&plain, 7), 0x40 + 28);
    plain.words = 0;
    assert_false(ts_bd_extent(&plain, &lo, &hi));
    ts_bd far = {.base = UINT64_MAX - 3, .words = 2};
    assert_false(ts_bd_extent(&far, &lo, &hi));

    /* the extent covers what the addresses touch, tightly where all dimensions are full */
    ts_rng rng = ts_rng_seed(3);
    for (int n = 0; n < 2000; n++) {
        ts_bd r = {.base = 4 * ts_rng_below(&rng, 1000)};
        uint32_t total = 1;
        for (int d = 0; d < 3; d++) {
            r.dim[d].step = 1 + (uint32_t)ts_rng_below(&rng, 50);
            r.dim[d].wrap = d < 2 ? 1 + (uint32_t)ts_rng_below(&rng, 6) : 0;
            total *= d < 2 ? r.dim[d].wrap : 1 + (uint32_t)ts_rng_below(&rng, 4);
        }
        bool full = n & 1;
        r.words = full ? total : 1 + (uint32_t)ts_rng_below(&rng, total);
        uint64_t max = 0;
        for (uint32_t i = 0; i < r.words; i++)
            if (ts_bd_addr(&r, i) > max) max = ts_bd_addr(&r, i);
        assert_true(ts_bd_extent(&r, &lo, &hi));
        assert_true(lo == r.base && hi >= max + 4);
        if (full) assert_int_equal(hi, max + 4);
    }
}

static void test_start_words(void **state) {
    (void)state;
    assert_int_equal(ts_dma_start_encode((ts_dma_start){.bd = 3, .repeat = 1, .token = true}), 0x80000003);
    assert_int_equal(ts_dma_start_encode((ts_dma_start){.bd = 40, .repeat = 256}), 0x00ff0028);
    ts_dma_start s = ts_dma_start_decode(TS_TILE_MEM, 0x00ff0028);
    assert_int_equal(s.bd, 40);
    assert_int_equal(s.repeat, 256);
    assert_false(s.token);
    assert_int_equal(ts_dma_start_decode(TS_TILE_SHIM, 0x80000013).bd, 3); /* four bits outside the memtile */
    assert_int_equal(ts_dma_ctrl_encode(TS_CONTROLLER_SHIM), 0xf00);
    assert_int_equal(ts_dma_ctrl_controller(0xf00), 15);
}

static void test_print(void **state) {
    (void)state;
    char buf[200];
    ts_bd bd = {.base = 0x400,
                .words = 256,
                .valid = 1,
                .use_next = 1,
                .next = 3,
                .acq_enable = 1,
                .acq_lock = 2,
                .acq_value = -1,
                .rel_lock = 5,
                .rel_value = 1,
                .dim = {{.wrap = 8, .step = 4}}};
    assert_string_equal(ts_bd_print(TS_TILE_CORE, &bd, buf, sizeof buf),
                        "256 words at 0x400 d0 8x4 acquire 2-1 release 5+1 next 3");
    for (size_t n = 1; n < 60; n++) {
        memset(buf, 'x', sizeof buf);
        ts_bd_print(TS_TILE_CORE, &bd, buf, n);
        assert_true(strlen(buf) < n);
        assert_int_equal(buf[n], 'x');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_words), cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_start_words), cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests_name("bd", tests, NULL, NULL);
}
