/* isa.c - the tables of isa.h, filled from isa.def. */
#include "aie2/isa.h"

#include <strings.h>

const ts_aie2_reginfo ts_aie2_regs[TS_REGS] = {
#define TS_ISA_REG(reg, kind, num, at, bytes) [TS_R_##reg] = {#reg, TS_K_##kind, num, at, bytes},
#include "aie2/isa.def"
#undef TS_ISA_REG
};

#define M(reg, code) [code] = TS_R_##reg + 1,
#define TS_ISA_CLASS(name, bits, n, members) static const uint16_t members_##name[1 << (bits)] = {members};
#include "aie2/isa.def"
#undef TS_ISA_CLASS
#undef M

const ts_aie2_classinfo ts_aie2_classes[TS_CLASSES] = {
#define TS_ISA_CLASS(name, bits, n, members) [TS_C_##name] = {#name, bits, n, members_##name},
#include "aie2/isa.def"
#undef TS_ISA_CLASS
};

#define S(slot, lsb) {TS_SLOT_##slot, lsb},
const ts_aie2_format ts_aie2_formats[TS_FORMATS] = {
#define TS_ISA_FORMAT(name, bytes, mask_hi, mask_lo, value_hi, value_lo, slot_set, n, slots) \
    {#name, bytes, n, {mask_lo, mask_hi}, {value_lo, value_hi}, {slots}, slot_set},
#include "aie2/isa.def"
#undef TS_ISA_FORMAT
};
#undef S

const ts_aie2_slotinfo ts_aie2_slots[TS_SLOTS] = {
#define TS_ISA_SLOT(slot, name, bits, nop, first, count) [TS_SLOT_##slot] = {#name, bits, TS_I_##nop, first, count},
#include "aie2/isa.def"
#undef TS_ISA_SLOT
};

const char *const ts_aie2_unit_names[TS_UNITS] = {
    [TS_U_R_WX] = "the scalar unit's write port of the r registers",
    [TS_U_R_WA] = "the load unit's write port of the r registers",
    [TS_U_R_RV] = "the vector and store units' read port of the r registers",
    [TS_U_RS_WM] = "the move unit's write port of the r and s registers",
    [TS_U_P_RM] = "the move unit's read port of the address registers",
    [TS_U_P_WM] = "the write port of the p registers",
    [TS_U_M_WM] = "the write port of the m registers",
    [TS_U_DN_WM] = "the write port of the dn registers",
    [TS_U_DJ_WM] = "the write port of the dj registers",
    [TS_U_DC_WM] = "the write port of the dc registers",
    [TS_U_W_RS] = "the store unit's read port of the w registers",
    [TS_U_W_WA] = "the load unit's write port of the w registers",
    [TS_U_W_WM] = "the move unit's write port of the w registers",
    [TS_U_CM_RM] = "the move unit's read port of the accumulators",
    [TS_U_CM_WA] = "the vector unit's write port of the accumulators",
    [TS_U_CM_WM] = "the move unit's write port of the accumulators",
    [TS_U_UPPER_SRS] = "the SRS unit",
    [TS_U_UPS] = "the UPS unit",
    [TS_U_LOAD_A] = "load unit A",
    [TS_U_STORE] = "the store unit",
    [TS_U_PROC_BUS] = "the processor bus",
    [TS_U_SEMAPHORE] = "the lock interface",
    [TS_U_PARTWORD] = "memory, held by a partial-word store",
};

#define P(lsb, value_lsb, bits) {lsb, value_lsb, bits},
#define R(cls, role, def, use, bypass, n, parts) \
    {TS_OP_REG, TS_ROLE_##role, def, use, TS_BYP_##bypass, TS_C_##cls, 0, 0, 0, 0, n, {parts}},
#define I(is_signed, step, negative, n, parts) \
    {TS_OP_IMM, TS_ROLE_USE, 0, 1, TS_BYP_NONE, 0, 0, is_signed, step, negative, n, {parts}},
#define X(reg, role, def, use) {TS_OP_FIXED, TS_ROLE_##role, def, use, TS_BYP_NONE, 0, TS_R_##reg, 0, 0, 0, 0, {{0}}},
#define IMP(reg, role, cycle) {TS_R_##reg, TS_ROLE_##role, cycle},
#define U(unit, first, cycles, kind) {TS_U_##unit, first, cycles, U_##kind},
enum { U_OWN = false, U_AVOID = true };
const ts_aie2_insninfo ts_aie2_insns[TS_INSNS] = {
#define TS_ISA_INSN(name, slot, text, mask, value, dont_care, mem, stage, n_ops, ops, n_imp, imps, n_units, units) \
    [TS_I_##name] = {#name, text,  mask,  value,   dont_care, TS_SLOT_##slot, TS_MEM_##mem,                        \
                     stage, n_ops, n_imp, n_units, {ops{0}},  {imps{0}},      {units{0}}},
#include "aie2/isa.def"
#undef TS_ISA_INSN
};

const uint8_t ts_aie2_shuffle[TS_SHUFFLES][64] = {
#define TS_ISA_SHUFFLE(mode, name, ...) [mode] = {__VA_ARGS__},
#include "aie2/isa.def"
#undef TS_ISA_SHUFFLE
};
const char *const ts_aie2_shuffle_names[TS_SHUFFLES] = {
#define TS_ISA_SHUFFLE(mode, name, ...) [mode] = #name,
#include "aie2/isa.def"
#undef TS_ISA_SHUFFLE
};

int ts_aie2_class_code(ts_aie2_class cls, ts_aie2_reg reg) {
    const ts_aie2_classinfo *c = &ts_aie2_classes[cls];
    for (unsigned code = 0; code < 1u << c->bits; code++)
        if (c->reg_of[code] == reg + 1) return (int)code;
    return -1;
}

int ts_aie2_bundle_length(uint8_t first_byte) {
    static const uint8_t odd[8] = {2, 8, 6, 12, 4, 10, 6, 14}; /* by bits 3-1 of the first byte */
    return first_byte & 1 ? odd[(first_byte >> 1) & 7] : 16;
}

/* "r17:r16" is how the open tool chain writes the pair l0 */
static ts_aie2_reg find_pair(const char *name, size_t len) {
    unsigned hi = 0, lo = 0;
    size_t i = 0;
    for (int half = 0; half < 2; half++) {
        unsigned *n = half ? &lo : &hi;
        if (i >= len || (name[i] != 'r' && name[i] != 'R')) return TS_REGS;
        size_t digits = ++i;
        while (i < len && i < digits + 2 && name[i] >= '0' && name[i] <= '9')
            *n = *n * 10 + (unsigned)(name[i++] - '0');
        if (i == digits) return TS_REGS;
        if (!half && (i >= len || name[i++] != ':')) return TS_REGS;
    }
    if (i != len || lo < 16 || lo > 30 || lo % 2 || hi != lo + 1) return TS_REGS;
    return (ts_aie2_reg)(TS_R_l0 + (lo - 16) / 2);
}

ts_aie2_reg ts_aie2_reg_find(const char *name, size_t len) {
    for (int r = 0; r < TS_REGS; r++) {
        const char *n = ts_aie2_regs[r].name;
        if (!strncasecmp(n, name, len) && !n[len]) return (ts_aie2_reg)r;
    }
    return find_pair(name, len);
}

void ts_aie2_units_of(ts_aie2_reg reg, uint64_t units[3]) {
    const ts_aie2_reginfo *r = &ts_aie2_regs[reg];
    units[0] = units[1] = units[2] = 0;
    if (r->at < TS_RF_X) {
        static const uint8_t group[] = {40, 48, 56, 64}; /* m, dn, dj, dc */
        if (r->kind == TS_K_D || r->kind == TS_K_D3) {
            for (unsigned i = 0; i < 4; i++) {
                unsigned unit = group[i] + r->num;
                units[unit / 64] |= 1ull << unit % 64;
                if (r->kind == TS_K_D3 && i) units[(unit + 4) / 64] |= 1ull << (unit + 4) % 64;
            }
            return;
        }
        for (unsigned at = r->at; at < (unsigned)r->at + r->bytes; at += 4) units[at / 256] |= 1ull << at / 4 % 64;
        return;
    }
    if (r->kind == TS_K_Q) {
        units[2] = 1ull << (60 + r->num);
        return;
    }
    units[2] = ((1ull << r->bytes / 32) - 1) << (r->at - TS_RF_X) / 32;
    if (r->kind == TS_K_QX || r->kind == TS_K_QWL || r->kind == TS_K_QWH) units[2] |= 1ull << (60 + r->num);
}
