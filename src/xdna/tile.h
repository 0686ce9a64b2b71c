/* tile.h - the geometry of the npu1 array: tiles, addresses, what lies at which offset. Depends on: stdint.
 *
 * Row 0 is the shim (DMA to host memory), row 1 the memtiles (512 KiB), rows 2 to 5 the cores (64 KiB data, 16 KiB
 * program). Columns are relative to the partition of a context; a context on npu1 has 1 to 4 columns.
 * Source: AM020, AM025 [doc]; column count [silicon] (others' reports, see docs/npu/silicon.md). */
#ifndef TS_XDNA_TILE_H
#define TS_XDNA_TILE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TS_COLS = 4, /* usable by one context */
    TS_ROWS = 6,
    TS_ROW_SHIM = 0,
    TS_ROW_MEM = 1,
    TS_ROW_CORE = 2, /* the first of four */
};

typedef enum ts_tile_kind { TS_TILE_SHIM, TS_TILE_MEM, TS_TILE_CORE, TS_TILE_KINDS } ts_tile_kind;

typedef struct ts_tile {
    uint8_t col, row;
} ts_tile;

static inline ts_tile ts_tile_at(int col, int row) {
    return (ts_tile){(uint8_t)col, (uint8_t)row};
}
static inline bool ts_tile_eq(ts_tile a, ts_tile b) {
    return a.col == b.col && a.row == b.row;
}
static inline ts_tile_kind ts_tile_kind_of(ts_tile t) {
    return t.row == TS_ROW_SHIM ? TS_TILE_SHIM : t.row == TS_ROW_MEM ? TS_TILE_MEM : TS_TILE_CORE;
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
    TS_CHANNELS_MAX = 6,
    TS_BDS_MAX = 48,
    TS_LOCKS_MAX = 64,
    TS_LOCK_VALUE_MAX = 63,
    TS_BD_WORDS_MAX = 8,
    TS_BD_STRIDE = 32,
    TS_LOCK_STRIDE = 16,
    TS_PROGRAM_BASE = 0x20000,
    TS_PROGRAM_BYTES = 16 * 1024,
    TS_CORE_OWN_BASE =
        0x70000, /* a core sees its own data memory here; south, west, north at 0x40000, 0x50000, 0x60000 */
    /* of a memtile: firmware is said to keep marks of its own in tile memory, nobody says where [guess] */
    TS_MEM_LOW_BYTES = 64,
    TS_BANK_BYTES = 16 * 1024, /* logical banks of a core's data memory */
};

/* What a kind of tile has. */
typedef struct ts_tile_info {
    const char *name;    /* "shim", "mem", "core" */
    uint32_t data_bytes; /* at offset 0; 0 for the shim */
    uint8_t n_channels;  /* in each direction */
    uint8_t n_bds, n_locks;
    uint8_t bd_words;
    uint32_t bd_base, lock_base;
    uint32_t ctrl[2], status[2]; /* by ts_dma_dir: ctrl stride 8 with the queue 4 above, status stride 4 */
} ts_tile_info;
extern const ts_tile_info ts_tile_infos[TS_TILE_KINDS];

static inline const ts_tile_info *ts_tile_info_of(ts_tile t) {
    return &ts_tile_infos[ts_tile_kind_of(t)];
}

static inline uint32_t ts_dma_ctrl(ts_tile_kind k, ts_dma_dir d, int ch) {
    return ts_tile_infos[k].ctrl[d] + 8 * (uint32_t)ch;
}
static inline uint32_t ts_dma_queue(ts_tile_kind k, ts_dma_dir d, int ch) {
    return ts_dma_ctrl(k, d, ch) + 4;
}
static inline uint32_t ts_bd_off(ts_tile_kind k, int bd) {
    return ts_tile_infos[k].bd_base + TS_BD_STRIDE * (uint32_t)bd;
}
static inline uint32_t ts_lock_off(ts_tile_kind k, int lock) {
    return ts_tile_infos[k].lock_base + TS_LOCK_STRIDE * (uint32_t)lock;
}

/* Memtile BDs 0-23 serve even channels, 24-47 odd ones, and chains stay in their half [doc]. */
static inline bool ts_bd_fits_channel(ts_tile_kind k, int bd, int ch) {
    return k != TS_TILE_MEM || (bd >= 24) == (ch & 1);
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
ts_place ts_locate(uint32_t addr);

#endif
