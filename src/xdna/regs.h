/* regs.h - register offsets and bit fields of the AIE-ML array, and names for printing.
 *
 * From regs.def come TS_<tile>_<register> (byte offset in the tile, of the first member of an array) and
 * TS_<tile>_<register>_<field> (a ts_field). The tile prefixes are CORE, MEM and SHIM. */
#ifndef TS_XDNA_REGS_H
#define TS_XDNA_REGS_H

#include "xdna/tile.h"

#include <stddef.h>
#include <stdint.h>

/* A bit field: lowest bit in [7:0], width in [15:8]. */
typedef uint32_t ts_field;
#define TS_FIELD_OF(msb, lsb) ((uint32_t)(lsb) | (uint32_t)((msb) - (lsb) + 1) << 8)

#define REG(tile, name, off, stride, count) TS_##tile##_##name = (off),
#define FIELD(tile, reg, name, msb, lsb)
enum ts_reg_offset {
#include "xdna/regs.def"
};
#undef REG
#undef FIELD

#define REG(tile, name, off, stride, count)
#define FIELD(tile, reg, name, msb, lsb) TS_##tile##_##reg##_##name = TS_FIELD_OF(msb, lsb),
enum ts_reg_field {
#include "xdna/regs.def"
};
#undef REG
#undef FIELD

static inline uint32_t ts_field_lsb(ts_field f) {
    return f & 0xff;
}
/* The largest value of a field; also its mask after shifting down. */
static inline uint32_t ts_field_max(ts_field f) {
    return (uint32_t)((UINT64_C(1) << (f >> 8)) - 1);
}
static inline uint32_t ts_field_mask(ts_field f) {
    return ts_field_max(f) << ts_field_lsb(f);
}
static inline uint32_t ts_get(uint32_t word, ts_field f) {
    return (word >> ts_field_lsb(f)) & ts_field_max(f);
}
/* `value` in its place; bits that do not fit are dropped, so check against ts_field_max first. */
static inline uint32_t ts_put(ts_field f, uint32_t value) {
    return (value & ts_field_max(f)) << ts_field_lsb(f);
}

/* A register (array) of the table. */
typedef struct ts_reg {
    const char *name;
    uint32_t off, stride, count;
} ts_reg;

/* The register of that kind of tile at byte offset `off`; *index is the member of an array. NULL: not in the
 * table. */
const ts_reg *ts_reg_find(ts_tile_kind kind, uint32_t off, uint32_t *index);

/* "core(0,2) DMA_BD_5[3]", "mem(1,1) data+0x400" or "shim(0,0) +0x12345"; always terminated. Returns buf. */
const char *ts_reg_name(const ts_chip *chip, uint32_t addr, char *buf, size_t len);

/* The fields of a register with their values, " Valid=1 ..."; only those that are not zero. For dumps. Returns
 * buf. */
const char *ts_reg_fields(const ts_chip *chip, uint32_t addr, uint32_t value, char *buf, size_t len);

#endif
