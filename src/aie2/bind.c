/* bind.c - from a decoded instruction to an operation of the model: operands resolved, function chosen by mnemonic. */
#include "aie2/core_int.h"

#include <ctype.h>
#include <stdlib.h>

/* "vst.2d.srs.d8.s32" -> base "vst", parts "2d", "srs", "d8", "s32" */
static ts_aie2_mnemonic cut(const char *text) {
    ts_aie2_mnemonic m = {0};
    size_t n = strcspn(text, " ."), i = 0;
    memcpy(m.base, text, n < sizeof m.base ? n : sizeof m.base - 1);
    for (text += n; *text == '.' && m.n < 4; text += n) {
        text++;
        n = strcspn(text, " .");
        char *part = m.part[m.n].text;
        memcpy(part, text, n < sizeof m.part[0].text ? n : sizeof m.part[0].text - 1);
        const char *digits = part;
        if (!strncmp(part, "bf", 2) || !strncmp(part, "fp", 2)) m.part[m.n].kind = part[0], digits += 2;
        else if ((*part == 'd' || *part == 's' || *part == 'u') && isdigit((unsigned char)part[1]))
            m.part[m.n].kind = *part, digits++;
        if (isdigit((unsigned char)*digits)) m.part[m.n].bits = (uint8_t)atoi(digits);
        m.n++;
    }
    /* vneg_gtz8 and its kin have no dot */
    for (i = strlen(m.base); i && isdigit((unsigned char)m.base[i - 1]); i--) {}
    if (m.base[i] && m.n < 4) {
        m.part[m.n++].bits = (uint8_t)atoi(m.base + i);
        m.base[i] = 0;
    }
    return m;
}

bool ts_aie2_mnemonic_has(const ts_aie2_mnemonic *m, const char *part) {
    for (int i = 0; i < m->n; i++)
        if (!strcmp(m->part[i].text, part)) return true;
    return false;
}

/* The bits that a scalar register has. */
static uint32_t scalar_mask(const ts_aie2_reginfo *r) {
    static const uint8_t cr_bits[12] = {
        [CR_VADD_SIGN] = 1, [CR_F2F_MASK] = 4,  [CR_F2I_MASK] = 4, [CR_FP_MASK] = 4,
        [CR_MCD_EN] = 1,    [CR_PACK_SIGN] = 1, [CR_RND] = 4,      [CR_SCD_EN] = 1,
        [CR_SRS_SIGN] = 1,  [CR_SAT] = 2,       [CR_UPS_SIGN] = 1, [CR_UNPACK_SIGN] = 1};
    switch ((ts_aie2_regkind)r->kind) {
    case TS_K_P:
    case TS_K_M:
    case TS_K_DN:
    case TS_K_DJ:
    case TS_K_DC:
    case TS_K_SP:
    case TS_K_LR:
    case TS_K_LS:
    case TS_K_LE: return 0xfffff;
    case TS_K_CR: return (1u << cr_bits[r->num]) - 1;
    default: return 0xffffffff;
    }
}

/* Pointer, modifier, immediate and data operands of an instruction that touches memory or moves a pointer. */
static void bind_address(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_insninfo *info) {
    bool post = false, has_imm = false;
    op->mode = TS_MODE_NONE;
    op->data = op->shift = 0xff;
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *o = &info->op[i];
        if (o->kind == TS_OP_IMM) {
            has_imm = true;
            continue;
        }
        if (o->kind != TS_OP_REG) continue;
        const ts_aie2_reginfo *r = &ts_aie2_regs[inst->v[i]];
        if (o->cls == TS_C_eP) {
            op->ptr = r->num;
            post = o->role == TS_ROLE_BOTH;
        } else if (o->cls == TS_C_eM || o->cls == TS_C_eDJ || o->cls == TS_C_eD || o->cls == TS_C_eDS) {
            op->mod = r->num;
            op->mode = o->cls == TS_C_eM    ? TS_MODE_POST_M
                       : o->cls == TS_C_eDJ ? TS_MODE_DJ
                       : o->cls == TS_C_eD  ? TS_MODE_POST_2D
                                            : TS_MODE_POST_3D;
        } else if (o->cls == TS_C_mSs) {
            op->shift = (uint8_t)i;
        } else {
            op->data = (uint8_t)i;
        }
    }
    if (strstr(info->text, "[sp")) op->mode = TS_MODE_SP;
    else if (op->mode == TS_MODE_NONE && has_imm) op->mode = post ? TS_MODE_POST_IMM : TS_MODE_IMM;
}

bool ts_aie2_bind(ts_aie2_op *op, const ts_aie2_inst *inst) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[inst->id];
    ts_aie2_mnemonic m = cut(info->text);
    memset(op, 0, sizeof *op);
    op->id = inst->id;
    op->slot = info->slot;
    op->wmask = 0xffffffff;
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *o = &info->op[i];
        if (o->kind == TS_OP_IMM) {
            op->imm = inst->v[i];
            continue;
        }
        const ts_aie2_reginfo *r = &ts_aie2_regs[inst->v[i]];
        bool movw = o->bypass == TS_BYP_MOVW && (r->kind == TS_K_WL || r->kind == TS_K_X);
        op->r[i] = r->at;
        if (o->role & TS_ROLE_USE && (o->bypass == TS_BYP_MOV || movw)) op->byp_in |= (uint8_t)(1u << i);
        if (o->role & TS_ROLE_DEF && o->cls != TS_C_eP && o->cls != TS_C_eD && o->cls != TS_C_eDS) {
            if (!op->lat) {
                op->lat = o->def_cycle;
                op->byp_out = movw ? TS_BYP_MOV : o->bypass == TS_BYP_MOVW ? TS_BYP_NONE : o->bypass;
                op->bytes = (uint8_t)r->bytes;
                if (r->at < TS_RF_X) op->wmask = scalar_mask(r);
            } else if (!op->lat2) {
                op->lat2 = o->def_cycle;
            }
        }
    }
    bind_address(op, inst, info);
    return ts_aie2_bind_scalar(op, inst, &m) || ts_aie2_bind_memory(op, inst, &m) ||
           ts_aie2_bind_vector(op, inst, &m) || ts_aie2_bind_convert(op, inst, &m) || ts_aie2_bind_mac(op, inst, &m);
}

bool ts_aie2_modelled(ts_aie2_insn insn) {
    /* any registers will do: the classes' first members */
    const ts_aie2_insninfo *info = &ts_aie2_insns[insn];
    ts_aie2_inst inst = {.id = (uint16_t)insn};
    ts_aie2_op op;
    for (int i = 0; i < info->n_ops; i++) {
        if (info->op[i].kind == TS_OP_FIXED) inst.v[i] = info->op[i].reg;
        for (unsigned c = 0; info->op[i].kind == TS_OP_REG && c < 1u << ts_aie2_classes[info->op[i].cls].bits; c++)
            if ((inst.v[i] = ts_aie2_class_reg(info->op[i].cls, c)) >= 0) break;
    }
    return !strncmp(info->name, "NOP", 3) || ts_aie2_bind(&op, &inst); /* predecoding leaves nops out */
}

static void add_reads(ts_aie2_dbundle *d, const ts_aie2_inst *inst) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[inst->id];
    uint64_t u[3];
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *o = &info->op[i];
        if (o->kind == TS_OP_IMM || !(o->role & TS_ROLE_USE) || o->use_cycle != 1) continue;
        ts_aie2_units_of((ts_aie2_reg)inst->v[i], u);
        for (int k = 0; k < 3; k++) d->reads[k] |= u[k];
    }
    for (int i = 0; i < info->n_implicit; i++) {
        if (info->implicit[i].role != TS_ROLE_USE || info->implicit[i].cycle != 1) continue;
        ts_aie2_units_of((ts_aie2_reg)info->implicit[i].reg, u);
        for (int k = 0; k < 3; k++) d->reads[k] |= u[k];
    }
}

void ts_aie2_predecode(ts_aie2_dbundle *d, const uint8_t *bytes, size_t len) {
    ts_aie2_bundle b;
    memset(d, 0, sizeof *d);
    d->is_bad = true;
    if (ts_aie2_bundle_decode(&b, bytes, len, NULL) != TS_OK) return;
    d->bytes = b.bytes;
    /* loads before stores: within a bundle a load sees what was there before */
    static const uint8_t order[] = {TS_SLOT_LDA, TS_SLOT_LDB, TS_SLOT_ALU, TS_SLOT_MV,
                                    TS_SLOT_LNG, TS_SLOT_VEC, TS_SLOT_ST};
    for (size_t i = 0; i < sizeof order; i++) {
        ts_aie2_slot s = order[i];
        if (!(b.set >> s & 1) || ts_aie2_is_nop(s, &b.inst[s])) continue;
        ts_aie2_op *op = &d->op[d->n_ops];
        if (!ts_aie2_bind(op, &b.inst[s])) return;
        d->n_ops++;
        d->blocking |= op->kind != OP_PLAIN;
        add_reads(d, &b.inst[s]);
    }
    d->is_bad = false;
}
