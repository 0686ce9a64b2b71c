/* tile.h - tiles, addresses, what lies at which offset.
 *
 * How many tiles there are and what each has is the chip's (chip.h); columns are relative to the partition of a
 * context. Where a tile's registers lie is the architecture's. Source: AM020, AM025 [doc]. */
#ifndef TS_XDNA_TILE_H
#define TS_XDNA_TILE_H

#include "xdna/chip.h"

typedef struct ts_tile {
    uint8_t col, row;
} ts_tile;

static inline ts_tile ts_tile_at(int col, int row) {
    return (ts_tile){(uint8_t)col, (uint8_t)row};
}
static inline bool ts_tile_eq(ts_tile a, ts_tile b) {
    return a.col == b.col && a.row == b.row;
}
static inline ts_tile_kind ts_tile_kind_of(const ts_chip *chip, ts_tile t) {
    return t.row == TS_ROW_SHIM ? TS_TILE_SHIM : t.row < chip->core_row ? TS_TILE_MEM : TS_TILE_CORE;
}
static inline const ts_tile_info *ts_tile_info_of(const ts_chip *chip, ts_tile t) {
    return &chip->tile[ts_tile_kind_of(chip, t)];
}
/* Is it in the first n_cols columns? */
static inline bool ts_tile_in(const ts_chip *chip, int n_cols, ts_tile t) {
    return t.col < n_cols && t.row < chip->rows;
}

/* Register address = column << 25 | row << 20 | offset in the tile. */
static inline uint32_t ts_addr(ts_tile t, uint32_t off) {
    return (uint32_t)t.col << 25 | (uint32_t)t.row << 20 | off;
}
static inline uint32_t ts_addr_off(uint32_t addr) {
    return addr & 0xfffff;
}
static inline uint32_t ts_addr_col(uint32_t addr) {
    return addr >> 25;
}
static inline uint32_t ts_addr_row(uint32_t addr) {
    return addr >> 20 & 31;
}

/* DMA directions; the numbers are those of the instruction stream. S2MM writes memory, MM2S reads it. */
typedef enum ts_dma_dir { TS_S2MM, TS_MM2S } ts_dma_dir;

enum {
    TS_DMA_QUEUE_DEPTH =
        4, /* starts a channel holds; one more is dropped without notice [silicon, ryzenai-npu-lab] */
    TS_LOCK_VALUE_MAX = 63,
    TS_BD_WORDS_MAX = 8,
    TS_BD_STRIDE = 32,
    TS_LOCK_STRIDE = 16,
    TS_PROGRAM_BASE = 0x20000,
    TS_PROGRAM_BYTES_MAX = 0x10000, /* room in the map up to the next thing */
    /* of a memtile: firmware is said to keep marks of its own in tile memory, nobody says where [guess] */
    TS_MEM_LOW_BYTES = 64,
    TS_BANK_BYTES = 16 * 1024, /* logical banks of a core's data memory */
};

/* Where the registers of a kind of tile lie. */
typedef struct ts_tile_map {
    const char *name; /* "shim", "mem", "core" */
    uint8_t bd_words;
    uint32_t bd_base, lock_base;
    uint32_t ctrl[2], status[2]; /* by ts_dma_dir: ctrl stride 8 with the queue 4 above, status stride 4 */
} ts_tile_map;
extern const ts_tile_map ts_tile_maps[TS_TILE_KINDS];

static inline const char *ts_tile_name(const ts_chip *chip, ts_tile t) {
    return ts_tile_maps[ts_tile_kind_of(chip, t)].name;
}

static inline uint32_t ts_dma_ctrl(ts_tile_kind k, ts_dma_dir d, int ch) {
    return ts_tile_maps[k].ctrl[d] + 8 * (uint32_t)ch;
}
static inline uint32_t ts_dma_queue(ts_tile_kind k, ts_dma_dir d, int ch) {
    return ts_dma_ctrl(k, d, ch) + 4;
}
static inline uint32_t ts_bd_off(ts_tile_kind k, int bd) {
    return ts_tile_maps[k].bd_base + TS_BD_STRIDE * (uint32_t)bd;
}
static inline uint32_t ts_lock_off(ts_tile_kind k, int lock) {
    return ts_tile_maps[k].lock_base + TS_LOCK_STRIDE * (uint32_t)lock;
}

/* The lower half of a memtile's BDs serves even channels, the upper odd ones, and chains stay in their half [doc]. */
static inline bool ts_bd_fits_channel(const ts_chip *chip, ts_tile_kind k, int bd, int ch) {
    return k != TS_TILE_MEM || (bd >= chip->tile[k].n_bds / 2) == (ch & 1);
}

/* What an address means: the one decoder that the simulator, the checker and the printers share. */
typedef enum ts_place_kind {
    TS_AT_NOTHING, /* outside the array, or a register that a configuration has no business with */
    TS_AT_DATA,    /* off: byte in the tile's data memory */
    TS_AT_PROGRAM, /* off: byte in program memory */
    TS_AT_BD,      /* index: descriptor, word */
    TS_AT_DMA_CTRL,
    TS_AT_DMA_QUEUE, /* dir, index: channel */
    TS_AT_DMA_STATUS,
    TS_AT_LOCK,      /* index: lock */
    TS_AT_SS_MASTER, /* index: port number */
    TS_AT_SS_SLAVE,
    TS_AT_SS_SLOT, /* index: slave port number, word: slot */
    TS_AT_MUX,
    TS_AT_DEMUX,
    TS_AT_CORE_CONTROL,
    TS_AT_CASCADE, /* Accumulator_Control */
    TS_AT_OTHER,   /* another register of the table: status, timers */
} ts_place_kind;

typedef struct ts_place {
    ts_place_kind what;
    ts_tile tile;
    ts_tile_kind kind;
    ts_dma_dir dir;
    uint32_t index, word, off;
} ts_place;

/* Total: any address gives an answer. Column and row are reported as they are in the address, in or out of range. */
ts_place ts_locate(const ts_chip *chip, uint32_t addr);

#endif
