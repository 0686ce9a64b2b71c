/* Registers and addresses of the array: regs.def against the full register map, ts_locate against known places. */
#include "support/test.h"

#include "xdna/regs.h"

#include <jansson.h>

static void test_fields(void **state) {
    (void)state;
    assert_int_equal(ts_field_mask(TS_CORE_DMA_BD_0_BASE_ADDRESS), 0x0fffc000);
    assert_int_equal(ts_field_max(TS_SHIM_DMA_BD_0_BUFFER_LENGTH), 0xffffffff);
    assert_int_equal(ts_put(TS_CORE_DMA_BD_5_LOCK_REL_VALUE, 0x7f), 0x7fu << 18);
    assert_int_equal(ts_get(0xffffffff, TS_MEM_DMA_BD_7_LOCK_ACQ_VALUE), 0x7f);
    assert_int_equal(ts_put(TS_CORE_CORE_CONTROL_ENABLE, 3), 1); /* does not leak into the neighbour */
}

static void test_locate(void **state) {
    (void)state;
    static const struct {
        ts_tile tile;
        uint32_t off;
        ts_place_kind what;
        ts_dma_dir dir;
        uint32_t index, word;
    } cases[] = {
        {{0, 2}, 0x00000, TS_AT_DATA, TS_S2MM, 0, 0},
        {{3, 5}, 0x0fffc, TS_AT_DATA, TS_S2MM, 0, 0},
        {{3, 5}, 0x10000, TS_AT_NOTHING, TS_S2MM, 0, 0},
        {{1, 2}, 0x20000, TS_AT_PROGRAM, TS_S2MM, 0, 0},
        {{1, 2}, 0x23ffc, TS_AT_PROGRAM, TS_S2MM, 0, 0},
        {{1, 2}, 0x24000, TS_AT_NOTHING, TS_S2MM, 0, 0},
        {{1, 2}, 0x1d000, TS_AT_BD, TS_S2MM, 0, 0},
        {{1, 2}, 0x1d1f4, TS_AT_BD, TS_S2MM, 15, 5},
        {{1, 2}, 0x1d1f8, TS_AT_NOTHING, TS_S2MM, 15, 6},
        {{1, 2}, 0x1de04, TS_AT_DMA_QUEUE, TS_S2MM, 0, 0},
        {{1, 2}, 0x1de18, TS_AT_DMA_CTRL, TS_MM2S, 1, 0},
        {{1, 2}, 0x1de1c, TS_AT_DMA_QUEUE, TS_MM2S, 1, 0},
        {{1, 2}, 0x1df14, TS_AT_DMA_STATUS, TS_MM2S, 1, 0},
        {{1, 2}, 0x1f0f0, TS_AT_LOCK, TS_S2MM, 15, 0},
        {{1, 2}, 0x1f0f4, TS_AT_NOTHING, TS_S2MM, 15, 0},
        {{1, 2}, 0x3f058, TS_AT_SS_MASTER, TS_S2MM, 22, 0},
        {{1, 2}, 0x3f05c, TS_AT_NOTHING, TS_S2MM, 0, 0},
        {{1, 2}, 0x3f160, TS_AT_SS_SLAVE, TS_S2MM, 24, 0},
        {{1, 2}, 0x3f38c, TS_AT_SS_SLOT, TS_S2MM, 24, 3},
        {{1, 2}, 0x32000, TS_AT_CORE_CONTROL, TS_S2MM, 0, 0},
        {{1, 2}, 0x36060, TS_AT_CASCADE, TS_S2MM, 0, 0},
        {{1, 2}, 0x32004, TS_AT_OTHER, TS_S2MM, 0, 0},
        {{1, 2}, 0x60000, TS_AT_NOTHING, TS_S2MM, 0, 0}, /* clock control: the firmware's */
        {{0, 1}, 0x7fffc, TS_AT_DATA, TS_S2MM, 0, 0},
        {{0, 1}, 0xa05fc, TS_AT_BD, TS_S2MM, 47, 7},
        {{0, 1}, 0xa062c, TS_AT_DMA_QUEUE, TS_S2MM, 5, 0},
        {{0, 1}, 0xa0630, TS_AT_DMA_CTRL, TS_MM2S, 0, 0},
        {{0, 1}, 0xc03f0, TS_AT_LOCK, TS_S2MM, 63, 0},
        {{0, 1}, 0xb0040, TS_AT_SS_MASTER, TS_S2MM, 16, 0},
        {{0, 0}, 0x1d1fc, TS_AT_BD, TS_S2MM, 15, 7},
        {{0, 0}, 0x1d204, TS_AT_DMA_QUEUE, TS_S2MM, 0, 0},
        {{0, 0}, 0x1d21c, TS_AT_DMA_QUEUE, TS_MM2S, 1, 0},
        {{0, 0}, 0x1d228, TS_AT_DMA_STATUS, TS_MM2S, 0, 0},
        {{0, 0}, 0x140f0, TS_AT_LOCK, TS_S2MM, 15, 0},
        {{0, 0}, 0x1f000, TS_AT_MUX, TS_S2MM, 0, 0},
        {{0, 0}, 0x1f004, TS_AT_DEMUX, TS_S2MM, 0, 0},
        {{0, 0}, 0x3f054, TS_AT_SS_MASTER, TS_S2MM, 21, 0},
        {{0, 0}, 0x00000, TS_AT_NOTHING, TS_S2MM, 0, 0},
        {{0, 6}, 0x1d000, TS_AT_NOTHING, TS_S2MM, 0, 0},
        {{0, 2}, 0x1d001, TS_AT_NOTHING, TS_S2MM, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ts_place p = ts_locate(&ts_npu1, ts_addr(cases[i].tile, cases[i].off));
        if (p.what != cases[i].what)
            fail_msg("case %zu, 0x%x: kind %d, not %d", i, cases[i].off, p.what, cases[i].what);
        assert_true(ts_tile_eq(p.tile, cases[i].tile));
        if (p.what == TS_AT_NOTHING || p.what == TS_AT_OTHER) continue;
        assert_int_equal(p.dir, cases[i].dir);
        assert_int_equal(p.index, cases[i].index);
        assert_int_equal(p.word, cases[i].word);
    }
    assert_int_equal(ts_locate(&ts_npu1, ts_addr(ts_tile_at(1, 3), 0x20010)).off,
                     0x10); /* program offsets are relative */
    assert_int_equal(ts_addr(ts_tile_at(1, 2), 0x32000), 0x02232000);
}

static void test_inverse(void **state) {
    (void)state;
    for (int k = 0; k < TS_TILE_KINDS; k++) {
        ts_tile t = ts_tile_at(2, k == TS_TILE_SHIM ? 0 : k == TS_TILE_MEM ? 1 : 3);
        const ts_tile_info *info = &ts_npu1.tile[k];
        for (int bd = 0; bd < info->n_bds; bd++) {
            ts_place p = ts_locate(&ts_npu1, ts_addr(t, ts_bd_off((ts_tile_kind)k, bd)));
            assert_int_equal(p.what, TS_AT_BD);
            assert_int_equal(p.index, bd);
        }
        for (int l = 0; l < info->n_locks; l++) {
            ts_place p = ts_locate(&ts_npu1, ts_addr(t, ts_lock_off((ts_tile_kind)k, l)));
            assert_int_equal(p.what, TS_AT_LOCK);
            assert_int_equal(p.index, l);
        }
        for (int d = 0; d < 2; d++)
            for (int ch = 0; ch < info->n_channels; ch++) {
                ts_place p = ts_locate(&ts_npu1, ts_addr(t, ts_dma_queue((ts_tile_kind)k, (ts_dma_dir)d, ch)));
                assert_int_equal(p.what, TS_AT_DMA_QUEUE);
                assert_int_equal(p.dir, d);
                assert_int_equal(p.index, ch);
            }
    }
}

static void test_names(void **state) {
    (void)state;
    char buf[128];
    assert_string_equal(ts_reg_name(&ts_npu1, 0x02232000, buf, sizeof buf), "core(1,2) CORE_CONTROL");
    assert_string_equal(ts_reg_name(&ts_npu1, ts_addr(ts_tile_at(0, 1), 0xa0024), buf, sizeof buf),
                        "mem(0,1) DMA_BD_1[1]");
    assert_string_equal(ts_reg_name(&ts_npu1, ts_addr(ts_tile_at(0, 1), 0x400), buf, sizeof buf),
                        "mem(0,1) data+0x400");
    assert_string_equal(ts_reg_name(&ts_npu1, ts_addr(ts_tile_at(0, 2), 0x20010), buf, sizeof buf),
                        "core(0,2) program+0x10");
    assert_string_equal(ts_reg_name(&ts_npu1, ts_addr(ts_tile_at(3, 0), 0x9999c), buf, sizeof buf),
                        "shim(3,0) +0x9999c");
    assert_string_equal(ts_reg_fields(&ts_npu1, 0x02232000, 3, buf, sizeof buf), " ENABLE=1 RESET=1");
    assert_string_equal(ts_reg_fields(&ts_npu1, ts_addr(ts_tile_at(0, 0), 0x1d204), 0x80000003, buf, sizeof buf),
                        " START_BD_ID=3 ENABLE_TOKEN_ISSUE=1");
    for (size_t n = 1; n < 30; n++) { /* short buffers are cut, never overrun */
        memset(buf, 'x', sizeof buf);
        ts_reg_name(&ts_npu1, 0x02232000, buf, n);
        assert_true(strlen(buf) < n);
        ts_reg_fields(&ts_npu1, 0x02232000, 3, buf, n);
        assert_true(strlen(buf) < n);
        assert_int_equal(buf[n], 'x');
    }
}

/* Every register of the full map that lies on one of ours has our fields, and the other way round. */
static void test_full_map(void **state) {
    (void)state;
    char path[512];
    SKIP_WITHOUT(shared_path(path, sizeof path, "xdna/registers_full.json"));
    json_error_t jerr;
    json_t *root = json_load_file(path, 0, &jerr);
    if (!root) fail_msg("%s: %s", path, jerr.text);
    static const struct {
        const char *module;
        ts_tile tile;
    } modules[] = {{"core", {0, 2}},
                   {"memory", {0, 2}},
                   {"memory_tile", {0, 1}},
                   {"shim_noc", {0, 0}},
                   {"shim_pl", {0, 0}}};
    int n_regs = 0, n_fields = 0;
    for (size_t m = 0; m < 5; m++) {
        const char *name, *field;
        json_t *reg, *range;
        json_object_foreach(json_object_get(root, modules[m].module), name, reg) {
            uint32_t off = (uint32_t)strtoul(json_string_value(json_object_get(reg, "off")), NULL, 16), index;
            uint32_t addr = ts_addr(modules[m].tile, off);
            const ts_reg *r = ts_reg_find(ts_tile_kind_of(&ts_npu1, modules[m].tile), off, &index);
            if (!r || !strncmp(r->name, "LOCKS_", 6)) continue;
            n_regs++;
            char text[1024], want[100];
            ts_reg_fields(&ts_npu1, addr, 0xffffffff, text, sizeof text);
            int fields = 0;
            for (const char *p = text; (p = strchr(p, '=')); p++) fields++;
            assert_int_equal(fields, (int)json_object_size(json_object_get(reg, "f")));
            json_object_foreach(json_object_get(reg, "f"), field, range) {
                int msb = (int)json_integer_value(json_array_get(range, 0));
                int lsb = (int)json_integer_value(json_array_get(range, 1));
                uint32_t ones = (uint32_t)((UINT64_C(1) << (msb - lsb + 1)) - 1);
                snprintf(want, sizeof want, " %s=%u", field, ones);
                for (char *p = want; *p; p++)
                    if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
                ts_reg_fields(&ts_npu1, addr, ones << lsb, text, sizeof text);
                if (strcmp(text, want))
                    fail_msg("%s.%s: has \"%s\", the map says \"%s\"", modules[m].module, name, text, want);
                n_fields++;
            }
        }
    }
    json_decref(root);
    print_message("%d registers, %d fields equal the map\n", n_regs, n_fields);
    assert_true(n_regs > 900 && n_fields > 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_locate),   cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_full_map),
    };
    return cmocka_run_group_tests_name("regs", tests, NULL, NULL);
}
