/* isa.h - the AIE2 instruction set as tables: slots, registers, register classes, bundle formats, instructions.
 * Everything else in this folder reads these tables; isa.def is their only source. */
#ifndef TS_AIE2_ISA_H
#define TS_AIE2_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- slots ------------------------------------------------------------------------------------------------------- */

/* A bundle holds at most one instruction per slot. `lng` takes the place of alu and mv together. */
typedef enum ts_aie2_slot {
#define TS_ISA_SLOT(slot, ...) TS_SLOT_##slot,
#include "aie2/isa.def"
#undef TS_ISA_SLOT
    TS_SLOTS,
} ts_aie2_slot;

/* ---- registers --------------------------------------------------------------------------------------------------- */

typedef enum ts_aie2_reg {
#define TS_ISA_REG(reg, ...) TS_R_##reg,
#include "aie2/isa.def"
#undef TS_ISA_REG
    TS_REGS,
} ts_aie2_reg;

typedef enum ts_aie2_regkind {
    TS_K_R,  /* r0-r31, 32 bits */
    TS_K_P,  /* address registers, 20 bits: pointers, modifiers, dimension count, jump and counter */
    TS_K_M,
    TS_K_DN,
    TS_K_DJ,
    TS_K_DC,
    TS_K_SP,
    TS_K_LR,
    TS_K_LC, /* zero-overhead loop: count, start, end */
    TS_K_LS,
    TS_K_LE,
    TS_K_DP, /* data pointer of the decompressing loads */
    TS_K_COREID,
    TS_K_S,  /* s0-s3: shift counts */
    TS_K_CR, /* control */
    TS_K_SR, /* status */
    TS_K_WL, /* low and high 256 bits of an x register */
    TS_K_WH,
    TS_K_X,  /* x0-x11, 512 bits */
    TS_K_AM, /* quarter of an accumulator */
    TS_K_BM, /* half of an accumulator */
    TS_K_CM, /* cm0-cm8, 1024 bits */
    TS_K_Q,  /* q0-q3: sparsity masks, 128 bits */
    TS_K_L,  /* pair of r registers */
    TS_K_Y,  /* pair of x registers, 1024 bits */
    TS_K_D,  /* m, dn, dj, dc of one number: a 2D modifier */
    TS_K_D3, /* the same, and dn, dj, dc of number + 4: a 3D modifier */
    TS_K_QX, /* x and q of one number */
    TS_K_QWL,
    TS_K_QWH,
} ts_aie2_regkind;

typedef struct ts_aie2_reginfo {
    const char *name;
    uint8_t kind, num;
    uint16_t at, bytes; /* place in the register file */
} ts_aie2_reginfo;
extern const ts_aie2_reginfo ts_aie2_regs[TS_REGS];

/* Layout of the register file: scalars of 4 bytes from 0, then the vector files. */
enum {
    TS_RF_SCALARS = 105,
    TS_RF_X = 448,
    TS_RF_CM = TS_RF_X + 12 * 64,
    TS_RF_Q = TS_RF_CM + 9 * 128,
    TS_RF_BYTES = TS_RF_Q + 4 * 16,
};

typedef enum ts_aie2_class {
#define TS_ISA_CLASS(name, ...) TS_C_##name,
#include "aie2/isa.def"
#undef TS_ISA_CLASS
    TS_CLASSES,
} ts_aie2_class;

/* A register class: which register stands for which code of an operand field. */
typedef struct ts_aie2_classinfo {
    const char *name;
    uint8_t bits, n;
    const uint16_t *reg_of; /* [1 << bits]: the register plus 1, or 0 where the code is not used */
} ts_aie2_classinfo;
extern const ts_aie2_classinfo ts_aie2_classes[TS_CLASSES];

/* The register of a code (code < 1 << bits), or -1 where the code is not used. */
static inline int ts_aie2_class_reg(ts_aie2_class cls, unsigned code) {
    return ts_aie2_classes[cls].reg_of[code] - 1;
}
/* The code of a register in a class, or -1 when it is no member. */
int ts_aie2_class_code(ts_aie2_class cls, ts_aie2_reg reg);

/* ---- instructions ------------------------------------------------------------------------------------------------ */

typedef enum ts_aie2_insn {
#define TS_ISA_INSN(name, ...) TS_I_##name,
#include "aie2/isa.def"
#undef TS_ISA_INSN
    TS_INSNS,
} ts_aie2_insn;

typedef enum ts_aie2_opkind { TS_OP_REG, TS_OP_IMM, TS_OP_FIXED } ts_aie2_opkind;
typedef enum ts_aie2_role {
    TS_ROLE_USE = 1,
    TS_ROLE_DEF = 2,
    TS_ROLE_BOTH = 3,
    TS_ROLE_OR = 4, /* adds bits to a sticky status register */
} ts_aie2_role;

/* Forwarding between a producer and a consumer that name the same path: the result is seen one bundle earlier.
 * MOVW: path MOV, but only where the register is a low w or an x. */
typedef enum ts_aie2_bypass { TS_BYP_NONE, TS_BYP_MOV, TS_BYP_VEC, TS_BYP_MOVW } ts_aie2_bypass;

typedef struct ts_aie2_part {
    uint8_t lsb, value_lsb, bits; /* slot bits [lsb+bits-1 : lsb] hold value bits [value_lsb+bits-1 : value_lsb] */
} ts_aie2_part;

typedef struct ts_aie2_operand {
    uint8_t kind;
    uint8_t role;
    uint8_t def_cycle, use_cycle; /* pipeline stage of the write and of the read, first stage 1; 0: none */
    uint8_t bypass;
    uint8_t cls;                  /* TS_OP_REG: register class */
    uint16_t reg;                 /* TS_OP_FIXED: the register */
    uint8_t is_signed, step, negative_only; /* TS_OP_IMM: value = field * step, negative_only: - step * 2^bits */
    uint8_t n_parts;
    ts_aie2_part part[3];
} ts_aie2_operand;

/* Register ports and units that two instructions must not occupy in one cycle. The last six stand for a port that the
 * registers of the operands decide. */
typedef enum ts_aie2_unit {
    TS_U_R_WX,      /* r written by the scalar unit */
    TS_U_R_WA,      /* r written by the load unit */
    TS_U_R_RV,      /* r read by the vector unit and the stores */
    TS_U_RS_WM,     /* r and s written by the move unit */
    TS_U_P_RM,      /* address registers read by the move unit, stores and indirect jumps */
    TS_U_P_WM,      /* address registers written by moves and loads */
    TS_U_M_WM,
    TS_U_DN_WM,
    TS_U_DJ_WM,
    TS_U_DC_WM,
    TS_U_W_RS,      /* w read by the store unit */
    TS_U_W_WA,      /* w written by loads, srs, pack */
    TS_U_W_WM,      /* w written by the move unit */
    TS_U_CM_RM,     /* accumulator read by srs, moves, stores and vector adds */
    TS_U_CM_WA,     /* accumulator written by the vector unit */
    TS_U_CM_WM,     /* accumulator written by ups, moves and loads */
    TS_U_UPPER_SRS,
    TS_U_UPS,
    TS_U_LOAD_A,
    TS_U_STORE,
    TS_U_PROC_BUS,
    TS_U_SEMAPHORE,
    TS_U_PARTWORD,
    TS_UNITS,
    TS_U_SCLA = TS_UNITS, /* scalar result through the load unit: the port of the destination register */
    TS_U_SCLM,            /* the same through the move unit */
    TS_U_PRM,             /* P_RM when the source is an address register */
    TS_U_VECWM,           /* W_WM or CM_WM, by the destination */
    TS_U_VECWA,           /* W_WA or CM_WM, by the destination */
    TS_U_CMRM_SRC,        /* CM_RM when the source is an accumulator */
} ts_aie2_unit;
extern const char *const ts_aie2_unit_names[TS_UNITS];

typedef struct ts_aie2_unituse {
    uint8_t unit, first, cycles;
    bool avoid; /* does not occupy the unit, but must not meet an occupant */
} ts_aie2_unituse;

typedef struct ts_aie2_implicit {
    uint16_t reg;
    uint8_t role, cycle;
} ts_aie2_implicit;

enum { TS_MEM_NONE = 0, TS_MEM_LOAD = 1, TS_MEM_STORE = 2, TS_MEM_LOADSTORE = 3 };
enum { TS_MAX_OPERANDS = 6, TS_MAX_IMPLICIT = 6, TS_MAX_UNITS = 6 };

typedef struct ts_aie2_insninfo {
    const char *name; /* unique; the mnemonic is the first word of `text` */
    const char *text; /* assembler syntax, operands as %0 to %5; a tied operand appears twice */
    uint64_t mask, value, dont_care;
    uint8_t slot;
    uint8_t mem, mem_stage; /* TS_MEM_*, and the stage of the last memory access */
    uint8_t n_ops, n_implicit, n_units;
    ts_aie2_operand op[TS_MAX_OPERANDS + 1];
    ts_aie2_implicit implicit[TS_MAX_IMPLICIT + 1];
    ts_aie2_unituse unit[TS_MAX_UNITS + 1];
} ts_aie2_insninfo;

/* Sorted by slot; ts_aie2_slots[].first and .count give each slot's run. Where the fields of two instructions overlap,
 * their register classes keep them apart (the build checks that). */
extern const ts_aie2_insninfo ts_aie2_insns[TS_INSNS];

typedef struct ts_aie2_slotinfo {
    const char *name;
    uint8_t bits;
    uint16_t nop; /* the instruction that does nothing */
    uint16_t first, count;
} ts_aie2_slotinfo;
extern const ts_aie2_slotinfo ts_aie2_slots[TS_SLOTS];

/* ---- bundle formats ---------------------------------------------------------------------------------------------- */

enum { TS_FORMATS = 78, TS_BUNDLE_BYTES = 16 };
enum { TS_AIE2_PM_BYTES = 16384 }; /* program memory of a core */

typedef struct ts_aie2_format {
    const char *name;
    uint8_t bytes, n_slots;
    uint64_t mask[2], value[2]; /* low, high */
    struct {
        uint8_t slot, lsb;
    } slot[TS_SLOTS];
    uint8_t slot_mask; /* bit per ts_aie2_slot */
} ts_aie2_format;
extern const ts_aie2_format ts_aie2_formats[TS_FORMATS];

/* Bytes of the bundle whose first byte is given: 2, 4, ... 16. */
int ts_aie2_bundle_length(uint8_t first_byte);

/* vshuffle: the source byte of each result byte, 0-63 in the first operand and 64-127 in the second. */
enum { TS_SHUFFLES = 48 };
extern const uint8_t ts_aie2_shuffle[TS_SHUFFLES][64];
extern const char *const ts_aie2_shuffle_names[TS_SHUFFLES];

/* The parts of the register file that a register covers, a bit each: scalars 0-63, scalars 64-104, the 32-byte units of
 * x and cm with the four q registers on top. Two registers overlap when a bit is in both. */
void ts_aie2_units_of(ts_aie2_reg reg, uint64_t units[3]);

/* Find a register by its name, in any case; also "r17:r16" for a pair. TS_REGS when there is none. */
ts_aie2_reg ts_aie2_reg_find(const char *name, size_t len);

#endif
