/* chip.h - the generations of the NPU, a row each: who a chip is and what differs from one to the next.
 *
 * Whoever needs such a fact asks the row that he was given: an open device has one (dev.h), and so have a design, a
 * fabric, a configuration, the dispatch and the stream of a command, the fake node and a simulated array. What a
 * program counts on beyond its row it says itself (npu/gemv_core.h: four columns of cores).
 *
 * Constants, not rows, are what belongs to the architecture, AIE-ML ("AIE2") [doc: AM020, AM025]: the map of registers
 * and the fields in them (regs.def), the form of descriptors (bd.h), the ports of the stream switches (port.h), the
 * queue of four starts, locks of 0 to 63 and how they count, how a core and a memtile's DMA see their neighbours
 * (tile.h, bd.h), the 64 KiB and 16 KiB of a core and its instructions (aie2/). Nobody here has compared XDNA2's with
 * them register by register [guess: they agree but for the core, AIE2P, which has an instruction set of its own in the
 * open compiler, llvm-aie]: with its row the array is described, with its core's programs nothing is done yet. */
#ifndef TS_XDNA_CHIP_H
#define TS_XDNA_CHIP_H

#include <stdbool.h>
#include <stdint.h>

/* The most that any row may have: sizes of arrays, never a chip's own number. */
enum {
    TS_COLS_MAX = 8,
    TS_ROWS_MAX = 6,
    TS_CHANNELS_MAX = 6,
    TS_BDS_MAX = 48,
    TS_LOCKS_MAX = 64,
    TS_CONTEXTS_MAX = 6,
};

/* Row 0 of every array is the shim (DMA to host memory); then come memtiles, then cores. */
typedef enum ts_tile_kind { TS_TILE_SHIM, TS_TILE_MEM, TS_TILE_CORE, TS_TILE_KINDS } ts_tile_kind;
enum { TS_ROW_SHIM = 0, TS_ROW_MEM = 1 /* the first of them */ };

/* What a kind of tile has. */
typedef struct ts_tile_info {
    uint32_t data_bytes; /* at offset 0; 0 for the shim */
    uint8_t n_channels;  /* in each direction */
    uint8_t n_bds, n_locks;
} ts_tile_info;

typedef struct ts_chip {
    /* ---- who it is ---- */
    const char *name;       /* "npu1", as drivers and compilers call it */
    const char *generation; /* "XDNA1" */
    const char *processors; /* "Ryzen 7040 and 8040" */
    uint32_t pci_device;    /* of the vendor 1022 */
    bool runs;              /* Tessera has what it needs to run on it; false: it is known by name, and refused */

    /* ---- the array ---- */
    uint8_t array_cols;            /* that the driver tells of */
    uint8_t first_col, cols;       /* of these, the ones that contexts are given */
    uint8_t rows, core_row;        /* in all; the first row of cores, memtiles lie below it */
    ts_tile_info tile[TS_TILE_KINDS];
    uint32_t program_bytes; /* of a core */

    /* ---- its firmware and driver ---- */
    uint32_t stream_head;     /* first word of an instruction stream: version, device generation, rows */
    const char *firmware_dir; /* below /lib/firmware */
    uint16_t firmware_min[3], firmware_seen[4]; /* the oldest that serves, one that does */
    uint8_t contexts;
    uint16_t npu_mhz[2], array_mhz[2]; /* clocks of controller and array: idle, at work */
} ts_chip;

/* XDNA1. */
extern const ts_chip ts_npu1;

/* The row of a PCI device; of an array as the driver describes it, of chips that Tessera runs on only. NULL: none. */
const ts_chip *ts_chip_of_pci(uint32_t device);
const ts_chip *ts_chip_of_array(uint32_t array_cols, uint32_t rows, uint32_t core_rows);
/* Row i of the table, NULL past the last. */
const ts_chip *ts_chip_at(int i);

static inline int ts_chip_core_rows(const ts_chip *chip) {
    return chip->rows - chip->core_row;
}

#endif
