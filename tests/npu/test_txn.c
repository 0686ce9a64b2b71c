/* Instruction streams: golden words, reading back, listing, every broken field, memory failures. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "xdna/bd.h"
#include "xdna/txn.h"

/* One transfer of the standard form; docs/npu/config.md walks through these words. */
static void write_transfer(ts_txn *t) {
    ts_tile shim = ts_tile_at(1, 0);
    ts_bd bd = {.words = 1024, .valid = 1, .burst = 2, .axcache = 2};
    uint32_t w[TS_BD_WORDS_MAX];
    ts_err err;
    assert_ok(ts_bd_encode(TS_TILE_SHIM, &bd, w, &err));
    ts_txn_mask_write(t, ts_addr(shim, ts_dma_ctrl(TS_TILE_SHIM, TS_S2MM, 0)), 0xff00, 0x0f00);
    ts_txn_block(t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, 3)), w, 8);
    ts_txn_patch(t, ts_addr(shim, ts_bd_off(TS_TILE_SHIM, 3) + 4), 2, 0x1000);
    ts_txn_write(t, ts_addr(shim, ts_dma_queue(TS_TILE_SHIM, TS_S2MM, 0)),
                 ts_dma_start_encode((ts_dma_start){.bd = 3, .repeat = 1, .token = true}));
    ts_txn_wait(t, shim, TS_S2MM, 0);
}

static const uint32_t transfer_words[] = {
    0x06030100, 0x00000104, 5,          180, /* header: v0.1; 4 columns, 1 memtile row */
    0x03,       0,          0x0201D200, 0,          0x0F00,     0xFF00, 28, /* controller 15 into the S2MM 0 control */
    0x01,       0,          0x0201D060, 48,         1024,       0,      0,          0,
    0x80000000, 0x02000000, 0,          0x02000000, /* BD 3 */
    0x81,       48,         0,          0,          0,          0,      0x0201D064, 0,
    2,          0,          0x1000,     0,                          /* address of argument 2 + 0x1000 */
    0x00,       0,          0x0201D204, 0,          0x80000003, 24, /* start BD 3, token when done */
    0x80,       16,         0x00010000, 0x00010100,                 /* wait for it */
};

static void test_golden(void **state) {
    (void)state;
    ts_err err;
    ts_txn t = {0};
    ts_buf out = {0};
    write_transfer(&t);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 4, &out, &err));
    assert_int_equal(out.len, sizeof transfer_words);
    for (size_t i = 0; i < sizeof transfer_words / 4; i++) {
        uint32_t w;
        memcpy(&w, out.data + 4 * i, 4);
        if (w != transfer_words[i]) fail_msg("word %zu: 0x%08x, not 0x%08x", i, w, transfer_words[i]);
    }
    ts_txn_free(&t);
    ts_buf_free(&out);
}

static void test_listing(void **state) {
    (void)state;
    ts_err err;
    ts_buf text = {0};
    assert_ok(ts_txn_print(&ts_npu1, transfer_words, sizeof transfer_words, &text, &err));
    assert_string_equal(
        text.data,
        "    16  mask   shim(1,0) DMA_S2MM_CTRL[0]   0x00000f00 of 0x0000ff00 CONTROLLER_ID=15\n"
        "    44  block  shim(1,0) DMA_BD_0[3]        8 words\n"
        "               BD 3: 1024 words at 0x0 burst 256 cache 2\n"
        "    92  patch  shim(1,0) DMA_BD_1[3]        argument 2 + 0x1000\n"
        "   140  write  shim(1,0) DMA_S2MM_QUEUE[0]  0x80000003 START_BD_ID=3 ENABLE_TOKEN_ISSUE=1\n"
        "   164  wait   shim(1,0) S2MM 0, one token\n");
    ts_buf_free(&text);
}

static void test_read_back(void **state) {
    (void)state;
    ts_err err;
    ts_txn t = {0};
    ts_buf out = {0};
    ts_txn_nop(&t);
    ts_txn_mask_poll(&t, 0x1000, 3, 1);
    ts_txn_block(&t, 0x2000, NULL, 0);
    ts_txn_patch(&t, 0x1d004, 4, UINT64_C(0x123456789a));
    ts_txn_wait(&t, ts_tile_at(3, 1), TS_MM2S, 5);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &out, &err));
    ts_txn_reader r;
    ts_txn_op op;
    bool more;
    assert_ok(ts_txn_open(&r, &ts_npu1, out.data, out.len, &err));
    assert_int_equal(r.n_cols, 1);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_int_equal(op.kind, TS_TXN_NOP);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_TXN_MASK_POLL && op.addr == 0x1000 && op.mask == 3 && op.value == 1);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_TXN_BLOCK && op.data.len == 0);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_TXN_PATCH && op.arg == 4 && op.arg_offset == UINT64_C(0x123456789a) &&
                op.addr == 0x1d004);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_TXN_WAIT && op.tile.col == 3 && op.tile.row == 1 && op.dir == TS_MM2S &&
                op.channel == 5 && op.n_cols == 1 && op.n_rows == 1);
    assert_ok(ts_txn_next(&r, &op, &more, &err));
    assert_false(more);
    ts_txn_free(&t);
    ts_buf_free(&out);
}

static ts_status read_all(const void *data, size_t len, ts_err *err) {
    ts_txn_reader r;
    ts_txn_op op;
    bool more = true;
    TS_TRY(ts_txn_open(&r, &ts_npu1, data, len, err));
    while (more) TS_TRY(ts_txn_next(&r, &op, &more, err));
    return TS_OK;
}

static void test_broken(void **state) {
    (void)state;
    ts_err err;
    uint32_t w[sizeof transfer_words / 4];
    static const struct {
        size_t word;
        uint32_t value;
        ts_status want;
        const char *text;
    } cases[] = {
        {0, 0x06030001, TS_E_UNSUPP, "version 0.1"}, /* the compact form for npu2 */
        {1, 0x00000105, TS_E_UNSUPP, "columns"},
        {1, 0x00000204, TS_E_UNSUPP, "memtile row"},
        {1, 0x00000100, TS_E_UNSUPP, "columns"},
        {2, 4, TS_E_FORMAT, "operations"},
        {3, 184, TS_E_FORMAT, "bytes"},
        {4, 6, TS_E_UNSUPP, "operation 0x6"}, /* PREEMPT */
        {4, 0x102, TS_E_UNSUPP, "operation 0x102"},
        {5, 1, TS_E_FORMAT, "reserved"},
        {10, 24, TS_E_FORMAT, "size"},
        {14, 12, TS_E_FORMAT, "size"},
        {14, 50, TS_E_FORMAT, "size"},
        {14, 0xfffffff0, TS_E_FORMAT, "cut off"},
        {24, 44, TS_E_FORMAT, "size"},
        {28, 1, TS_E_FORMAT, "patch action"},
        {25, 1, TS_E_FORMAT, "reserved"},
        {40, 28, TS_E_FORMAT, "size"},
        {42, 20, TS_E_FORMAT, "size"},
        {43, 2, TS_E_FORMAT, "direction"},
        {43, 0x01010000, TS_E_FORMAT, "reserved"},
        {44, 1, TS_E_FORMAT, "reserved"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(w, transfer_words, sizeof w);
        w[cases[i].word] = cases[i].value;
        err.msg[0] = 0;
        ts_status s = read_all(w, sizeof w, &err);
        if (s != cases[i].want || !strstr(err.msg, cases[i].text))
            fail_msg("case %zu: status %d, \"%s\"", i, s, err.msg);
    }
    for (size_t n = 0; n < sizeof w; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, transfer_words, n);
        if (n >= 16) memcpy(copy + 12, &(uint32_t){(uint32_t)n}, 4); /* the header agrees with the cut */
        assert_int_equal(read_all(copy, n, &err), TS_E_FORMAT);
        free(copy);
    }
}

static bool build(void *ud) {
    (void)ud;
    ts_txn t = {0};
    ts_buf out = {0}, text = {0};
    for (int i = 0; i < 20; i++) ts_txn_write(&t, 0x100, 1);
    bool ok = ts_txn_finish(&t, &ts_npu1, 4, &out, NULL) == TS_OK &&
              ts_txn_print(&ts_npu1, out.data, out.len, &text, NULL) == TS_OK;
    ts_txn_free(&t);
    ts_buf_free(&out);
    ts_buf_free(&text);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(build, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_listing), cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_broken), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
