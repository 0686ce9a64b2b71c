#include "xdna/tile.h"

#include "xdna/regs.h"

#include <stdio.h>
#include <string.h>

const ts_tile_map ts_tile_maps[TS_TILE_KINDS] = {
    [TS_TILE_SHIM] = {.name = "shim",
                      .bd_words = 8,
                      .bd_base = TS_SHIM_DMA_BD_0,
                      .lock_base = TS_SHIM_LOCK,
                      .ctrl = {TS_SHIM_DMA_S2MM_CTRL, TS_SHIM_DMA_MM2S_CTRL},
                      .status = {TS_SHIM_DMA_S2MM_STATUS, TS_SHIM_DMA_MM2S_STATUS}},
    [TS_TILE_MEM] = {.name = "mem",
                     .bd_words = 8,
                     .bd_base = TS_MEM_DMA_BD_0,
                     .lock_base = TS_MEM_LOCK,
                     .ctrl = {TS_MEM_DMA_S2MM_CTRL, TS_MEM_DMA_MM2S_CTRL},
                     .status = {TS_MEM_DMA_S2MM_STATUS, TS_MEM_DMA_MM2S_STATUS}},
    [TS_TILE_CORE] = {.name = "core",
                      .bd_words = 6,
                      .bd_base = TS_CORE_DMA_BD_0,
                      .lock_base = TS_CORE_LOCK,
                      .ctrl = {TS_CORE_DMA_S2MM_CTRL, TS_CORE_DMA_MM2S_CTRL},
                      .status = {TS_CORE_DMA_S2MM_STATUS, TS_CORE_DMA_MM2S_STATUS}},
};

/* ---- the table of registers -------------------------------------------------------------------------------------- */

#define TS_TILE_KIND_CORE                   TS_TILE_CORE
#define TS_TILE_KIND_MEM                    TS_TILE_MEM
#define TS_TILE_KIND_SHIM                   TS_TILE_SHIM
#define REG(tile, name, off, stride, count) {{#name, off, stride, count}, TS_TILE_KIND_##tile, 0},
#define FIELD(tile, reg, name, msb, lsb)    {{#name, 0, 0, 0}, TS_TILE_KIND_##tile, TS_FIELD_OF(msb, lsb)},
static const struct {
    ts_reg reg; /* count 0: a field of the register above */
    ts_tile_kind kind;
    ts_field field;
} table[] = {
#include "xdna/regs.def"
};
#undef REG
#undef FIELD

enum { TABLE_LEN = sizeof table / sizeof table[0] };

static int find(ts_tile_kind kind, uint32_t off, uint32_t *index) {
    for (int i = 0; i < TABLE_LEN; i++) {
        const ts_reg *r = &table[i].reg;
        if (table[i].kind != kind || !r->count || off < r->off) continue;
        uint32_t n = r->stride ? (off - r->off) / r->stride : 0;
        if (n >= r->count || off != r->off + n * r->stride) continue;
        *index = n;
        return i;
    }
    return -1;
}

const ts_reg *ts_reg_find(ts_tile_kind kind, uint32_t off, uint32_t *index) {
    int i = find(kind, off, index);
    return i < 0 ? NULL : &table[i].reg;
}

const char *ts_reg_name(const ts_chip *chip, uint32_t addr, char *buf, size_t len) {
    ts_tile t = ts_tile_at((int)ts_addr_col(addr), (int)ts_addr_row(addr));
    const ts_tile_kind kind = ts_tile_kind_of(chip, t);
    uint32_t off = ts_addr_off(addr), index = 0;
    const ts_reg *r = ts_reg_find(kind, off, &index);
    int n = snprintf(buf, len, "%s(%u,%u) ", ts_tile_maps[kind].name, t.col, t.row);
    if (n < 0 || (size_t)n >= len) return buf;
    char *p = buf + n;
    len -= (size_t)n;
    if (r && r->count > 1) snprintf(p, len, "%s[%u]", r->name, index);
    else if (r) snprintf(p, len, "%s", r->name);
    else if (off < chip->tile[kind].data_bytes) snprintf(p, len, "data+0x%x", off);
    else if (kind == TS_TILE_CORE && off - TS_PROGRAM_BASE < chip->program_bytes)
        snprintf(p, len, "program+0x%x", off - TS_PROGRAM_BASE);
    else snprintf(p, len, "+0x%x", off);
    return buf;
}

const char *ts_reg_fields(const ts_chip *chip, uint32_t addr, uint32_t value, char *buf, size_t len) {
    ts_tile t = ts_tile_at((int)ts_addr_col(addr), (int)ts_addr_row(addr));
    uint32_t index;
    size_t used = 0;
    if (len) buf[0] = 0;
    int i = find(ts_tile_kind_of(chip, t), ts_addr_off(addr), &index);
    if (i < 0) return buf;
    for (i++; i < TABLE_LEN && !table[i].reg.count; i++) {
        uint32_t v = ts_get(value, table[i].field);
        if (!v) continue;
        int n = snprintf(buf + used, len - used, " %s=%u", table[i].reg.name, v);
        if (n < 0 || (size_t)n >= len - used) break;
        used += (size_t)n;
    }
    return buf;
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static bool in_array(uint32_t off, uint32_t base, uint32_t stride, uint32_t count, uint32_t *index,
                     uint32_t *rest) {
    if (off < base || off >= base + stride * count) return false;
    *index = (off - base) / stride;
    *rest = (off - base) % stride;
    return true;
}

/* Ports in the stream switch of each kind of tile: masters, slaves (xdna/port.c has their names). */
static const struct {
    uint32_t master, slave, slot, n_masters, n_slaves;
} switches[TS_TILE_KINDS] = {
    [TS_TILE_SHIM] = {TS_SHIM_SS_MASTER, TS_SHIM_SS_SLAVE, TS_SHIM_SS_SLOT, 22, 23},
    [TS_TILE_MEM] = {TS_MEM_SS_MASTER, TS_MEM_SS_SLAVE, TS_MEM_SS_SLOT, 17, 18},
    [TS_TILE_CORE] = {TS_CORE_SS_MASTER, TS_CORE_SS_SLAVE, TS_CORE_SS_SLOT, 23, 25},
};

ts_place ts_locate(const ts_chip *chip, uint32_t addr) {
    ts_place p = {.tile = ts_tile_at((int)ts_addr_col(addr), (int)ts_addr_row(addr)),
                  .off = ts_addr_off(addr)};
    p.kind = ts_tile_kind_of(chip, p.tile);
    if (p.tile.row >= chip->rows) return p;
    const ts_tile_info *info = &chip->tile[p.kind];
    const ts_tile_map *map = &ts_tile_maps[p.kind];
    uint32_t off = p.off, rest, index;
    if (off < info->data_bytes) {
        p.what = TS_AT_DATA;
        return p;
    }
    if (p.kind == TS_TILE_CORE && off - TS_PROGRAM_BASE < chip->program_bytes) {
        p.what = TS_AT_PROGRAM;
        p.off = off - TS_PROGRAM_BASE;
        return p;
    }
    if (off & 3) return p; /* registers are words */
    if (in_array(off, map->bd_base, TS_BD_STRIDE, info->n_bds, &p.index, &rest)) {
        p.word = rest / 4;
        if (p.word < map->bd_words) p.what = TS_AT_BD;
        return p;
    }
    if (in_array(off, map->lock_base, TS_LOCK_STRIDE, info->n_locks, &p.index, &rest)) {
        if (!rest) p.what = TS_AT_LOCK;
        return p;
    }
    for (int d = 0; d < 2; d++) {
        p.dir = (ts_dma_dir)d;
        if (in_array(off, map->ctrl[d], 8, info->n_channels, &p.index, &rest)) {
            p.what = rest ? TS_AT_DMA_QUEUE : TS_AT_DMA_CTRL;
            return p;
        }
        if (in_array(off, map->status[d], 4, info->n_channels, &p.index, &rest)) {
            p.what = TS_AT_DMA_STATUS;
            return p;
        }
    }
    p.dir = TS_S2MM;
    if (in_array(off, switches[p.kind].master, 4, switches[p.kind].n_masters, &p.index, &rest)) {
        p.what = TS_AT_SS_MASTER;
    } else if (in_array(off, switches[p.kind].slave, 4, switches[p.kind].n_slaves, &p.index, &rest)) {
        p.what = TS_AT_SS_SLAVE;
    } else if (in_array(off, switches[p.kind].slot, 16, switches[p.kind].n_slaves, &p.index, &rest)) {
        p.what = TS_AT_SS_SLOT;
        p.word = rest / 4;
    } else if (p.kind == TS_TILE_SHIM && off == TS_SHIM_MUX) {
        p.what = TS_AT_MUX;
    } else if (p.kind == TS_TILE_SHIM && off == TS_SHIM_DEMUX) {
        p.what = TS_AT_DEMUX;
    } else if (p.kind == TS_TILE_CORE && off == TS_CORE_CORE_CONTROL) {
        p.what = TS_AT_CORE_CONTROL;
    } else if (p.kind == TS_TILE_CORE && off == TS_CORE_ACCUMULATOR_CONTROL) {
        p.what = TS_AT_CASCADE;
    } else if (ts_reg_find(p.kind, off, &index)) {
        p.index = index;
        p.what = TS_AT_OTHER;
    }
    return p;
}
