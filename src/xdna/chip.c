#include "xdna/chip.h"

#include <stddef.h>

/* Phoenix and Hawk Point. Sources: AM020, AM025 for what a tile has [doc]; columns, firmware and clocks as Linux has
 * them or others have seen them, docs/npu/driver.md and silicon.md [doc, silicon]. */
const ts_chip ts_npu1 = {
    .name = "npu1",
    .generation = "XDNA1",
    .processors = "Ryzen 7040 and 8040",
    .pci_device = 0x1502,
    .runs = true,
    .array_cols = 5, /* column 0 has no host DMA [silicon, others] */
    .first_col = 1,
    .cols = 4,
    .rows = 6,
    .core_row = 2,
    .tile = {[TS_TILE_SHIM] = {.n_channels = 2, .n_bds = 16, .n_locks = 16},
             [TS_TILE_MEM] = {.data_bytes = 512 * 1024, .n_channels = 6, .n_bds = 48, .n_locks = 64},
             [TS_TILE_CORE] = {.data_bytes = 64 * 1024, .n_channels = 2, .n_bds = 16, .n_locks = 16}},
    .program_bytes = 16 * 1024,
    .stream_head = 0x06030100, /* version 0.1, device generation 3, 6 rows [silicon, xdna-emu] */
    .firmware_dir = "amdnpu/1502_00",
    .firmware_min = {1, 5, 2}, /* the oldest seen to work with mainline [silicon, others] */
    .firmware_seen = {1, 5, 5, 391},
    .contexts = 6,
    .npu_mhz = {400, 847},
    .array_mhz = {800, 1600}, /* Linux's table [doc]; not every board gets there [silicon, others] */
};

/* Strix Point, Strix Halo, Krackan Point (npu4 to npu6): known by number alone [doc: Linux]. */
static const ts_chip npu4 = {
    .name = "npu4",
    .generation = "XDNA2",
    .processors = "Strix Point, Strix Halo, Krackan Point",
    .pci_device = 0x17f0,
};

static const ts_chip *const chips[] = {&ts_npu1, &npu4};
enum { CHIPS = sizeof chips / sizeof *chips };

const ts_chip *ts_chip_at(int i) {
    return i >= 0 && i < CHIPS ? chips[i] : NULL;
}

const ts_chip *ts_chip_of_pci(uint32_t device) {
    for (int i = 0; i < CHIPS; i++)
        if (chips[i]->pci_device == device) return chips[i];
    return NULL;
}

const ts_chip *ts_chip_of_array(uint32_t array_cols, uint32_t rows, uint32_t core_rows) {
    for (int i = 0; i < CHIPS; i++)
        if (chips[i]->runs && chips[i]->array_cols == array_cols && chips[i]->rows == rows &&
            (uint32_t)ts_chip_core_rows(chips[i]) == core_rows)
            return chips[i];
    return NULL;
}
