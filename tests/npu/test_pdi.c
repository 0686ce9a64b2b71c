/* CDO lists and the PDI container: reading back, every broken field, memory failures. */
#include "support/test.h"

#include "xdna/pdi.h"
#include "support/alloc_fail.h"

#include "base/rng.h"
#include "xdna/tile.h"

/* A short list, all bytes written out: docs/npu/config.md explains them. */
static void test_golden(void **state) {
    (void)state;
    ts_err err;
    ts_cdo cdo = {0};
    ts_cdo_write(&cdo, 0x00232000, 2);
    ts_cdo_block(&cdo, 0x00220000, (uint32_t[]){0x11, 0x22, 0x33}, 3);
    ts_cdo_block(&cdo, 0x0021f000, (uint32_t[]){5}, 1);
    ts_cdo_mask_write(&cdo, 0x00232000, 1, 1);
    ts_buf pdi = {0};
    assert_ok(ts_pdi_write(&cdo, &pdi, &err));
    static const uint32_t list[] = {
        4,          0x004F4443, 0x200,      17,   0xFFB0B9A7, /* header: size, "CDO", version, words, checksum */
        0x00020103, 0x00232000, 2,                            /* write */
        0x00000111, /* NOP: the data of the block start on a multiple of 16 bytes */
        0x00050105, 0,          0x00220000, 0x11, 0x22,       0x33, /* block */
        0x00020103, 0x0021F000, 5,                                  /* a block of one word is a write */
        0x00030102, 0x00232000, 1,          1,                      /* masked write */
    };
    assert_int_equal(pdi.len, 0x150 + (sizeof list + 15) / 16 * 16);
    for (size_t i = 0; i < sizeof list / 4; i++) {
        uint32_t w;
        memcpy(&w, pdi.data + 0x150 + 4 * i, 4);
        if (w != list[i]) fail_msg("word %zu: 0x%08x, not 0x%08x", i, w, list[i]);
    }
    static const uint32_t head[] = {0x000000DD, 0x11223344, 0x55667788, 0x99AABBCC, 0x00040000,
                                    1,          0x24,       1,          0x34};
    assert_memory_equal(pdi.data, head, sizeof head);
    assert_memory_equal(pdi.data + 0xa0, "aie_image", 10);
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
}

static void test_read_back(void **state) {
    (void)state;
    ts_err err;
    ts_cdo cdo = {0};
    uint32_t data[300];
    for (uint32_t i = 0; i < 300; i++) data[i] = i * 0x01010101u;
    ts_cdo_write(&cdo, 0x100, 7);
    ts_cdo_mask_write(&cdo, 0x104, 0xff, 9);
    ts_cdo_block(&cdo, 0x108, data, 300);
    ts_cdo_block(&cdo, 0x10c, data, 0); /* nothing */
    ts_cdo_mask_poll(&cdo, 0x110, 3, 2, 1000);
    ts_cdo_nop(&cdo, 5);
    ts_buf pdi = {0}, text = {0};
    assert_ok(ts_pdi_write(&cdo, &pdi, &err));
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more;
    assert_ok(ts_pdi_open(&r, pdi.data, pdi.len, &err));
    assert_ok(ts_cdo_next(&r, &op, &more, &err));
    assert_true(more && op.kind == TS_CDO_WRITE && op.addr == 0x100 && op.value == 7);
    assert_ok(ts_cdo_next(&r, &op, &more, &err));
    assert_true(more && op.kind == TS_CDO_MASK_WRITE && op.addr == 0x104 && op.mask == 0xff && op.value == 9);
    do assert_ok(ts_cdo_next(&r, &op, &more, &err));
    while (op.kind == TS_CDO_NOP);
    assert_true(op.kind == TS_CDO_BLOCK && op.addr == 0x108 && op.data.len == 1200);
    assert_memory_equal(op.data.data, data, 1200);
    assert_int_equal((op.data.data - (const uint8_t *)(pdi.data + 0x150)) % 16, 0x108 % 16);
    assert_ok(ts_cdo_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_CDO_MASK_POLL && op.timeout == 1000 && op.mask == 3 && op.value == 2);
    assert_ok(ts_cdo_next(&r, &op, &more, &err));
    assert_true(op.kind == TS_CDO_NOP);
    assert_ok(ts_cdo_next(&r, &op, &more, &err));
    assert_false(more);
    assert_ok(ts_pdi_print(&ts_npu1, pdi.data, pdi.len, &text, &err));
    assert_non_null(strstr(text.data, "block"));
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
    ts_buf_free(&text);
}

static void test_listing(void **state) {
    (void)state;
    ts_err err;
    ts_cdo cdo = {0};
    ts_buf pdi = {0}, text = {0};
    ts_cdo_mask_write(&cdo, ts_addr(ts_tile_at(1, 2), 0x32000), 1, 1);
    ts_cdo_block(&cdo, ts_addr(ts_tile_at(0, 2), 0x1d020), (uint32_t[]){0x40, 0, 0, 0, 0, 1u << 25}, 6);
    ts_cdo_write(&cdo, ts_addr(ts_tile_at(0, 2), 0x1de04), 1);
    assert_ok(ts_pdi_write(&cdo, &pdi, &err));
    assert_ok(ts_pdi_print(&ts_npu1, pdi.data, pdi.len, &text, &err));
    assert_string_equal(text.data, "mask   core(1,2) CORE_CONTROL       0x00000001 of 0x00000001 ENABLE=1\n"
                                   "block  core(0,2) DMA_BD_0[1]        6 words\n"
                                   "         BD 1: 64 words at 0x0\n"
                                   "write  core(0,2) DMA_S2MM_QUEUE[0]  0x00000001 START_BD_ID=1\n");
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
    ts_buf_free(&text);
}

static void set_word(char *data, size_t at, uint32_t w) {
    memcpy(data + at, &w, 4);
}

static void resum(char *data, size_t at, size_t n) { /* make the checksum right again */
    uint32_t sum = 0, w;
    for (size_t i = 0; i < n; i++) {
        memcpy(&w, data + at + 4 * i, 4);
        sum += w;
    }
    set_word(data, at + 4 * n, ~sum);
}

/* One word changed anywhere in the headers, with the checksum left wrong and put right. */
static void test_broken(void **state) {
    (void)state;
    ts_err err;
    ts_cdo cdo = {0};
    ts_buf pdi = {0};
    ts_cdo_write(&cdo, 0x100, 7);
    ts_cdo_block(&cdo, 0x200, (uint32_t[]){1, 2, 3, 4}, 4);
    assert_ok(ts_pdi_write(&cdo, &pdi, &err));
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more;
    for (size_t at = 0; at < 0x150 + 20; at += 4)
        for (int fix = 0; fix < 2; fix++) {
            char *copy = malloc(pdi.len);
            assert_non_null(copy);
            memcpy(copy, pdi.data, pdi.len);
            copy[at + 1] ^= 0x10;
            if (fix)
                resum(copy, 0x10, 31), resum(copy, 0x90, 15), resum(copy, 0xd0, 31), resum(copy, 0x150, 4);
            ts_status s = ts_pdi_open(&r, copy, pdi.len, &err);
            bool in_sum = at == 0x8c || at == 0xcc || at == 0x14c || at == 0x160;
            if (fix && in_sum) assert_int_equal(s, TS_OK);
            else if (s != TS_E_FORMAT && s != TS_E_UNSUPP)
                fail_msg("byte 0x%zx changed, fix %d: status %d", at, fix, s);
            free(copy);
        }
    for (size_t n = 0; n < pdi.len;
         n++) { /* cut off anywhere; the padding of the last 16 bytes may be missing */
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, pdi.data, n);
        ts_status s = ts_pdi_open(&r, copy, n, &err);
        if (n < 0x150 + 4 * (5 + cdo.words.len / 4)) assert_true(s == TS_E_FORMAT);
        free(copy);
    }
    /* commands: unknown, too short, cut off, beyond 32 bits */
    static const struct {
        uint32_t w[6];
        uint32_t n;
        ts_status want;
    } lists[] = {
        {{0x00020104, 0, 0}, 3, TS_E_UNSUPP},    {{0x00010103, 0, 0}, 3, TS_E_FORMAT},
        {{0x00030103, 0, 0}, 3, TS_E_FORMAT},    {{0x01000103, 0, 0}, 3, TS_E_FORMAT},
        {{0x00020105, 0, 0}, 3, TS_E_FORMAT},    {{0x00ff0105, 0xffffffff, 0}, 3, TS_E_FORMAT},
        {{0x00030108, 1, 0, 0}, 4, TS_E_UNSUPP}, {{0x00ff0111}, 1, TS_E_FORMAT},
        {{0x00000100}, 1, TS_E_UNSUPP},          {{0x00030108, 0, 8, 9}, 4, TS_OK},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        r = (ts_cdo_reader){.in = {.data = (const uint8_t *)lists[i].w, .len = 4 * lists[i].n}};
        ts_status s = ts_cdo_next(&r, &op, &more, &err);
        if (s != lists[i].want) fail_msg("list %zu: status %d", i, s);
    }
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
}

static bool build(void *ud) {
    (void)ud;
    ts_cdo cdo = {0};
    ts_buf pdi = {0}, text = {0};
    uint32_t data[400] = {0};
    ts_cdo_write(&cdo, 0x100, 7);
    ts_cdo_block(&cdo, 0x200, data, 400);
    bool ok =
        ts_pdi_write(&cdo, &pdi, NULL) == TS_OK && ts_pdi_print(&ts_npu1, pdi.data, pdi.len, &text, NULL) == TS_OK;
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
    ts_buf_free(&text);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(build, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),  cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_listing), cmocka_unit_test(test_broken),  cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("pdi", tests, NULL, NULL);
}
