/* The table of generations (xdna/chip.h), and that it is what everybody reads: a chip that was never made, with other
 * columns, rows, memories, locks and another stream, is designed for, routed, checked and simulated. */
#include "sims.h"

#include "xdna/dev.h"
#include "xdna/fake.h"
#include "xdna/regs.h"
#include "xdna/uapi.h"

/* Six columns of a shim, two memtiles and two cores. */
static const ts_chip loom = {
    .name = "loom",
    .generation = "XDNA0",
    .processors = "none",
    .pci_device = 0xffff,
    .runs = true,
    .array_cols = 8,
    .first_col = 2,
    .cols = 6,
    .rows = 5,
    .core_row = 3,
    .tile = {[TS_TILE_SHIM] = {.n_channels = 2, .n_bds = 16, .n_locks = 16},
             [TS_TILE_MEM] = {.data_bytes = 256 * 1024, .n_channels = 4, .n_bds = 24, .n_locks = 32},
             [TS_TILE_CORE] = {.data_bytes = 64 * 1024, .n_channels = 2, .n_bds = 16, .n_locks = 16}},
    .program_bytes = 16 * 1024,
    .stream_head = 0x05070100,
    .firmware_dir = "amdnpu/ffff_00",
    .firmware_seen = {9, 8, 7, 6},
    .contexts = 2,
    .npu_mhz = {1, 2},
    .array_mhz = {3, 4},
};

static void table(void **state) {
    (void)state;
    for (int i = 0; ts_chip_at(i); i++) {
        const ts_chip *c = ts_chip_at(i);
        assert_ptr_equal(ts_chip_of_pci(c->pci_device), c);
        assert_true(*c->name && *c->generation && *c->processors);
        if (!c->runs) continue;
        assert_ptr_equal(ts_chip_of_array(c->array_cols, c->rows, (uint32_t)ts_chip_core_rows(c)), c);
        assert_in_range(c->cols, 1, TS_COLS_MAX);
        assert_true(c->first_col + c->cols <= c->array_cols);
        assert_in_range(c->rows, c->core_row + 1, TS_ROWS_MAX);
        assert_in_range(c->contexts, 1, TS_CONTEXTS_MAX);
        assert_int_equal(c->stream_head >> 24, c->rows);
        assert_int_equal(c->tile[TS_TILE_SHIM].n_bds, TS_SHIM_BDS); /* commands count on both */
        assert_int_equal(c->tile[TS_TILE_SHIM].n_channels, 2);
        for (int k = 0; k < TS_TILE_KINDS; k++)
            assert_true(c->tile[k].n_channels <= TS_CHANNELS_MAX && c->tile[k].n_bds <= TS_BDS_MAX &&
                        c->tile[k].n_locks <= TS_LOCKS_MAX);
    }
    assert_ptr_equal(ts_chip_of_pci(0x1502), &ts_npu1);
    assert_false(ts_chip_of_pci(0x17f0)->runs);
    assert_null(ts_chip_of_pci(0x1503));
    assert_null(ts_chip_of_array(8, 6, 4));
    assert_null(ts_chip_of_array(5, 6, 3));
}

static void places(void **state) {
    (void)state;
    char buf[64];
    static const struct {
        uint8_t col, row;
        ts_tile_kind kind;
        const char *name;
    } tiles[] = {{0, 0, TS_TILE_SHIM, "shim"}, {5, 1, TS_TILE_MEM, "mem"},   {5, 2, TS_TILE_MEM, "mem"},
                 {0, 3, TS_TILE_CORE, "core"}, {0, 4, TS_TILE_CORE, "core"}};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        ts_tile t = ts_tile_at(tiles[i].col, tiles[i].row);
        assert_int_equal(ts_tile_kind_of(&loom, t), tiles[i].kind);
        assert_string_equal(ts_tile_name(&loom, t), tiles[i].name);
        assert_true(ts_tile_in(&loom, 6, t));
    }
    assert_false(ts_tile_in(&loom, 6, ts_tile_at(0, 5)));
    assert_int_equal(ts_locate(&loom, ts_addr(ts_tile_at(0, 5), 0)).what, TS_AT_NOTHING);
    assert_int_equal(ts_locate(&ts_npu1, ts_addr(ts_tile_at(0, 5), 0)).what, TS_AT_DATA);
    /* memory, locks and descriptors of the smaller memtile end where it says */
    ts_tile mem = ts_tile_at(0, 2);
    assert_int_equal(ts_locate(&loom, ts_addr(mem, 0x3fffc)).what, TS_AT_DATA);
    assert_int_equal(ts_locate(&loom, ts_addr(mem, 0x40000)).what, TS_AT_NOTHING);
    assert_int_equal(ts_locate(&loom, ts_addr(mem, ts_lock_off(TS_TILE_MEM, 31))).what, TS_AT_LOCK);
    assert_int_not_equal(ts_locate(&loom, ts_addr(mem, ts_lock_off(TS_TILE_MEM, 32))).what, TS_AT_LOCK);
    assert_int_equal(ts_locate(&loom, ts_addr(mem, ts_bd_off(TS_TILE_MEM, 23))).what, TS_AT_BD);
    assert_int_not_equal(ts_locate(&loom, ts_addr(mem, ts_bd_off(TS_TILE_MEM, 24))).what, TS_AT_BD);
    assert_true(ts_bd_fits_channel(&loom, TS_TILE_MEM, 12, 1) && !ts_bd_fits_channel(&ts_npu1, TS_TILE_MEM, 12, 1));
    assert_string_equal(ts_reg_name(&loom, ts_addr(mem, 0x400), buf, sizeof buf), "mem(0,2) data+0x400");
    assert_string_equal(ts_reg_name(&loom, ts_addr(mem, 0x40000), buf, sizeof buf), "mem(0,2) +0x40000");
}

/* What a design may ask for is what the chip has: the first thing too much fails, the last that fits does not. */
static void limits(void **state) {
    (void)state;
    ts_err err;
    ts_design *d;
    ts_buf pdi = {0};
    ts_dispatch p;
    assert_status(ts_design_new(&d, &loom, 7, &err), TS_E_INVAL);
    assert_string_equal(err.msg, "design: 7 columns, there are 1 to 6");
    enum { FITS, MEMORY, LOCKS, BDS, CHANNEL, CORE, ROW, CASES };
    for (int i = 0; i < CASES; i++) {
        ts_tile mem = ts_tile_at(5, 2);
        assert_ok(ts_design_new(&d, &loom, 6, &err));
        ts_tile_buf b = ts_design_buffer(d, mem, "b", 256 * 1024 - TS_MEM_LOW_BYTES, TS_ANY_BANK);
        for (int l = 0; l < 32 + (i == LOCKS); l++) ts_design_lock(d, mem, "l", 1);
        ts_ring_step step[13];
        for (int s = 0; s < 13; s++) step[s] = (ts_ring_step){.buffer = b, .bytes = 4};
        ts_design_dma(d, mem, TS_MM2S, 3, step, 12 + (i == BDS));
        ts_design_program(d, ts_tile_at(0, i == CORE ? 2 : 3), (uint32_t[4]){0}, 16);
        if (i == MEMORY) ts_design_buffer(d, mem, "c", 4, TS_ANY_BANK);
        if (i == CHANNEL) ts_design_dma(d, mem, TS_MM2S, 4, step, 1);
        if (i == ROW) ts_design_lock(d, ts_tile_at(0, 5), "l", 1);
        if (i == FITS) assert_ok(ts_design_finish(d, &pdi, NULL, &err));
        else assert_int_not_equal(ts_design_finish(d, &pdi, NULL, &err), TS_OK);
        ts_design_free(d);
    }
    ts_buf_free(&pdi);
    ts_dispatch_init(&p, &loom, 7);
    assert_int_not_equal(p.err.code, TS_OK);
    ts_dispatch_free(&p);
}

/* Bytes made for one chip are not taken for another one. */
static void others(void **state) {
    (void)state;
    ts_err err;
    ts_buf pdi = {0}, txn = {0};
    ts_npu_config *config = NULL;
    ts_npu_command *command = NULL;
    ts_txn_reader r;
    ts_dispatch p;
    ts_rule rule;
    ts_design *d = loopback_on(&loom, 6, 4, 64);
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    ts_design_free(d);
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 6, NULL, 0, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_COLUMNS);
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 4, NULL, 0, &rule, &err), TS_E_INVAL);
    assert_ok(ts_npu_config_check(&config, &loom, pdi.data, pdi.len, 6, NULL, 0, &rule, &err));
    loopback_dispatch_on(&p, &loom, 6, 128);
    assert_ok(ts_dispatch_finish(&p, &txn, &err));
    assert_memory_equal(txn.data, ((uint32_t[]){0x05070100, 6 | 2 << 8}), 8);
    assert_ok(ts_txn_open(&r, &loom, txn.data, txn.len, &err));
    assert_status(ts_txn_open(&r, &ts_npu1, txn.data, txn.len, &err), TS_E_UNSUPP);
    const uint64_t bytes[2] = {6 * 512, 6 * 512};
    assert_ok(ts_npu_command_check(&command, config, txn.data, txn.len, bytes, 2, p.claims, p.n_claims, &rule, &err));
    ts_npu_command_free(command);
    ts_npu_config_free(config);
    ts_dispatch_free(&p);

    /* a memtile's descriptor within npu1's 512 KiB and outside the 256 KiB of the other */
    ts_buf_clear(&pdi);
    assert_ok(ts_design_new(&d, &ts_npu1, 1, &err));
    ts_design_buffer(d, ts_tile_at(0, 1), "below", 300 * 1024, TS_ANY_BANK);
    add_pingpong(d, ts_tile_at(0, 1), 64);
    ts_design_flow(d, ts_end_dma(ts_tile_at(0, 0), 0), (ts_end[]){ts_end_dma(ts_tile_at(0, 1), 0)}, 1);
    ts_design_flow(d, ts_end_dma(ts_tile_at(0, 1), 0), (ts_end[]){ts_end_dma(ts_tile_at(0, 0), 0)}, 1);
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    ts_design_free(d);
    assert_ok(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, NULL, 0, &rule, &err));
    ts_npu_config_free(config);
    ts_chip small = ts_npu1;
    small.tile[TS_TILE_MEM].data_bytes = 256 * 1024;
    assert_status(ts_npu_config_check(&config, &small, pdi.data, pdi.len, 1, NULL, 0, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_BD_RANGE);
    ts_buf_free(&pdi);
    ts_buf_free(&txn);
}

/* A program on a core of every column, and a loop through each row, simulated; all columns at once. */
static void runs(void **state) {
    (void)state;
    enum { WORDS = 256, COLS = 6 };
    ts_err err;
    ts_array *a;
    assert_status(ts_array_new(&a, &(ts_array_options){.chip = &loom, .n_cols = 7}, &err), TS_E_INVAL);
    for (int row = 0; row < loom.rows; row++) { /* row 0: the cores double */
        host_block h;
        ts_dispatch p;
        host_block_init(&h, 2 * 4 * WORDS * COLS);
        fill_words(h.data, WORDS * COLS, (uint32_t)row);
        a = array_of(row ? loopback_on(&loom, COLS, row, WORDS / 4) : doubler_on(&loom, COLS, WORDS / 4),
                     &(ts_array_options){.chip = &loom, .n_cols = COLS, .seed = (uint64_t)row, .strict = true});
        loopback_dispatch_on(&p, &loom, COLS, WORDS);
        run_well(a, &p, &h, (uint64_t[]){0, 4 * WORDS * COLS}, 2);
        const uint32_t *w = (const uint32_t *)(const void *)h.data;
        for (int i = 0; i < WORDS * COLS; i++) assert_int_equal(w[WORDS * COLS + i], w[i] * (row ? 1u : 2u));
        assert_null(ts_array_memory(a, ts_tile_at(0, 5)));
        ts_array_free(a);
        free(h.data);
    }
}

/* The fake node tells of the chip that it is given; the driver code takes only arrays that the table has. */
static void node(void **state) {
    (void)state;
    ts_err err;
    ts_fake *f;
    struct ts_uapi_aie_metadata m = {0};
    struct ts_uapi_firmware fw = {0};
    struct ts_uapi_get_info g = {.param = TS_UAPI_INFO_AIE_METADATA, .buffer_size = sizeof m,
                                 .buffer = (uint64_t)(uintptr_t)&m};
    assert_ok(ts_fake_new(&f, &(ts_fake_options){.chip = &loom}, &err));
    const ts_npu_io *io = ts_fake_io(f);
    int fd = io->open(io->ud, "/dev/accel/accel0");
    assert_int_equal(io->ioctl(io->ud, fd, TS_IOCTL_GET_INFO, &g), 0);
    assert_int_equal(m.cols, 8);
    assert_int_equal(m.rows, 5);
    assert_int_equal(m.core.row_start, 3);
    assert_int_equal(m.core.row_count, 2);
    assert_int_equal(m.mem.row_count, 2);
    assert_int_equal(m.mem.dma_channel_count, 4);
    assert_int_equal(m.mem.lock_count, 32);
    g = (struct ts_uapi_get_info){.param = TS_UAPI_INFO_FIRMWARE, .buffer_size = sizeof fw,
                                  .buffer = (uint64_t)(uintptr_t)&fw};
    assert_int_equal(io->ioctl(io->ud, fd, TS_IOCTL_GET_INFO, &g), 0);
    assert_int_equal(fw.major, 9);
    assert_int_equal(fw.build, 6);
    io->close(io->ud, fd);
    ts_npu_dev *dev;
    assert_status(ts_npu_dev_query(&dev, io, "/dev/accel/accel0", &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "8 columns and 5 rows; Tessera runs on XDNA1 (Ryzen 7040 and 8040: 5 by 6) only"));
    ts_fake_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table),  cmocka_unit_test(places), cmocka_unit_test(limits),
                                       cmocka_unit_test(others), cmocka_unit_test(runs),   cmocka_unit_test(node)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
