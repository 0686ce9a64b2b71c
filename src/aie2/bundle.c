#include "aie2/bundle.h"

#include <string.h>

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static unsigned field_bits(const ts_aie2_operand *op) {
    unsigned bits = 0;
    for (int i = 0; i < op->n_parts; i++) bits += op->part[i].bits;
    return bits;
}

static uint64_t field_get(const ts_aie2_operand *op, uint64_t word) {
    uint64_t v = 0;
    for (int i = 0; i < op->n_parts; i++) {
        const ts_aie2_part *p = &op->part[i];
        v |= ((word >> p->lsb) & ((1ull << p->bits) - 1)) << p->value_lsb;
    }
    return v;
}

static uint64_t field_put(const ts_aie2_operand *op, uint64_t v) {
    uint64_t word = 0;
    for (int i = 0; i < op->n_parts; i++) {
        const ts_aie2_part *p = &op->part[i];
        word |= ((v >> p->value_lsb) & ((1ull << p->bits) - 1)) << p->lsb;
    }
    return word;
}

static int32_t imm_get(const ts_aie2_operand *op, uint64_t word) {
    unsigned bits = field_bits(op);
    int64_t v = (int64_t)field_get(op, word);
    if (op->is_signed && !op->negative_only && (v >> (bits - 1)) & 1) v -= (int64_t)1 << bits;
    if (op->negative_only) v -= (int64_t)1 << bits;
    return (int32_t)(v * op->step);
}

bool ts_aie2_imm_fits(const ts_aie2_operand *op, int64_t value, int64_t *lo, int64_t *hi) {
    int64_t n = (int64_t)1 << field_bits(op), step = op->step;
    *lo = op->negative_only ? -n * step : op->is_signed ? -(n / 2) * step : 0;
    *hi = op->negative_only ? -step : (op->is_signed ? n / 2 - 1 : n - 1) * step;
    if (n == (int64_t)1 << 32) *hi = n - 1; /* a 32-bit constant may be meant as unsigned */
    return value >= *lo && value <= *hi && value % step == 0;
}

/* ---- one slot ---------------------------------------------------------------------------------------------------- */

static bool operands_get(const ts_aie2_insninfo *info, uint64_t word, int32_t v[TS_MAX_OPERANDS]) {
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *op = &info->op[i];
        switch ((ts_aie2_opkind)op->kind) {
        case TS_OP_REG: v[i] = ts_aie2_class_reg(op->cls, (unsigned)field_get(op, word)); break;
        case TS_OP_IMM: v[i] = imm_get(op, word); break;
        case TS_OP_FIXED: v[i] = op->reg; break;
        }
        if (op->kind == TS_OP_REG && v[i] < 0) return false;
    }
    return true;
}

bool ts_aie2_inst_decode(ts_aie2_slot slot, uint64_t word, ts_aie2_inst *inst) {
    const ts_aie2_slotinfo *s = &ts_aie2_slots[slot];
    for (unsigned id = s->first; id < s->first + s->count; id++) {
        const ts_aie2_insninfo *info = &ts_aie2_insns[id];
        if ((word & info->mask) != info->value || !operands_get(info, word, inst->v)) continue;
        inst->id = (uint16_t)id;
        return true;
    }
    return false;
}

ts_status ts_aie2_inst_encode(const ts_aie2_inst *inst, uint64_t *word, ts_err *err) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[inst->id];
    uint64_t w = info->value;
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *op = &info->op[i];
        int64_t v = inst->v[i], lo, hi;
        if (op->kind == TS_OP_REG) {
            int code = v < 0 || v >= TS_REGS ? -1 : ts_aie2_class_code(op->cls, (ts_aie2_reg)v);
            if (code < 0)
                return ts_fail(err, TS_E_INVAL, "%s: operand %d: %s is not in register class %s", info->name, i,
                               v < 0 || v >= TS_REGS ? "?" : ts_aie2_reg_print((ts_aie2_reg)v),
                               ts_aie2_classes[op->cls].name);
            w |= field_put(op, (uint64_t)code);
        } else if (op->kind == TS_OP_IMM) {
            if (!ts_aie2_imm_fits(op, v, &lo, &hi))
                return ts_fail(err, TS_E_INVAL, "%s: operand %d: %lld is not a multiple of %d in %lld to %lld",
                               info->name, i, (long long)v, op->step, (long long)lo, (long long)hi);
            w |= field_put(op, (uint64_t)(v / op->step)); /* two's complement: also right for negative_only */
        }
    }
    *word = w;
    return TS_OK;
}

/* ---- bundles ----------------------------------------------------------------------------------------------------- */

int ts_aie2_format_find(unsigned slot_set, int min_bytes) {
    int best = -1;
    if (!slot_set && min_bytes <= 2) slot_set = 1u << TS_SLOT_NOP;
    for (int f = 0; f < TS_FORMATS; f++) {
        const ts_aie2_format *fmt = &ts_aie2_formats[f];
        if ((fmt->slot_mask & slot_set) != slot_set || fmt->bytes < min_bytes) continue;
        if (best < 0 || fmt->bytes < ts_aie2_formats[best].bytes ||
            (fmt->bytes == ts_aie2_formats[best].bytes && fmt->n_slots < ts_aie2_formats[best].n_slots))
            best = f;
    }
    return best;
}

void ts_aie2_bundle_nops(ts_aie2_bundle *b, int format) {
    const ts_aie2_format *fmt = &ts_aie2_formats[format];
    memset(b, 0, sizeof *b);
    b->format = (uint8_t)format;
    b->bytes = fmt->bytes;
    b->set = fmt->slot_mask;
    b->plain = true;
    for (int i = 0; i < fmt->n_slots; i++) b->inst[fmt->slot[i].slot].id = ts_aie2_slots[fmt->slot[i].slot].nop;
}

__extension__ typedef unsigned __int128 u128;
_Static_assert(sizeof(u128) == TS_BUNDLE_BYTES, "");

static u128 wide(const uint64_t v[2]) {
    return (u128)v[1] << 64 | v[0];
}

ts_status ts_aie2_bundle_decode(ts_aie2_bundle *b, const uint8_t *bytes, size_t len, ts_err *err) {
    if (!len) return ts_fail(err, TS_E_FORMAT, "no bundle: the program ends here");
    size_t n = (size_t)ts_aie2_bundle_length(bytes[0]);
    if (n > len)
        return ts_fail(err, TS_E_FORMAT, "a bundle of %zu bytes starts here, but only %zu are left", n, len);
    u128 bits = 0;
    memcpy(&bits, bytes, n);
    for (int f = 0; f < TS_FORMATS; f++) {
        const ts_aie2_format *fmt = &ts_aie2_formats[f];
        if (fmt->bytes != n || (bits & wide(fmt->mask)) != wide(fmt->value)) continue;
        ts_aie2_bundle_nops(b, f);
        for (int i = 0; i < fmt->n_slots; i++) {
            ts_aie2_slot s = (ts_aie2_slot)fmt->slot[i].slot;
            uint64_t word = (uint64_t)(bits >> fmt->slot[i].lsb) & ((1ull << ts_aie2_slots[s].bits) - 1);
            if (!ts_aie2_inst_decode(s, word, &b->inst[s]))
                return ts_fail(err, TS_E_FORMAT, "format %s: no instruction of the %s slot has the bits 0x%llx",
                               fmt->name, ts_aie2_slots[s].name, (unsigned long long)word);
            if (word & ts_aie2_insns[b->inst[s].id].dont_care) b->plain = false;
        }
        return TS_OK;
    }
    return ts_fail(err, TS_E_FORMAT, "no format of %zu bytes has these fixed bits", n);
}

ts_status ts_aie2_bundle_encode(const ts_aie2_bundle *b, uint8_t out[TS_BUNDLE_BYTES], ts_err *err) {
    const ts_aie2_format *fmt = &ts_aie2_formats[b->format];
    u128 bits = wide(fmt->value);
    for (int i = 0; i < fmt->n_slots; i++) {
        uint64_t word;
        TS_TRY(ts_aie2_inst_encode(&b->inst[fmt->slot[i].slot], &word, err));
        bits |= (u128)word << fmt->slot[i].lsb;
    }
    memcpy(out, &bits, fmt->bytes);
    return TS_OK;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

const char *ts_aie2_reg_print(ts_aie2_reg reg) {
    static const char *const pairs[8] = {"r17:r16", "r19:r18", "r21:r20", "r23:r22",
                                         "r25:r24", "r27:r26", "r29:r28", "r31:r30"};
    return ts_aie2_regs[reg].kind == TS_K_L ? pairs[ts_aie2_regs[reg].num] : ts_aie2_regs[reg].name;
}

bool ts_aie2_inst_print(ts_buf *out, const ts_aie2_inst *inst) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[inst->id];
    for (const char *t = info->text; *t; t++) {
        if (*t != '%') {
            if (!ts_buf_putc(out, *t)) return false;
            continue;
        }
        int i = *++t - '0';
        if (info->op[i].kind == TS_OP_IMM) {
            /* small numbers read better in decimal, addresses and the patterns of 32-bit constants in hex */
            int32_t v = inst->v[i];
            bool hex = v > 0xffff || (v < -0xffff && field_bits(&info->op[i]) == 32);
            if (!ts_buf_printf(out, hex ? "#0x%x" : "#%d", v)) return false;
        } else if (!ts_buf_puts(out, ts_aie2_reg_print((ts_aie2_reg)inst->v[i]))) {
            return false;
        }
    }
    return true;
}

bool ts_aie2_bundle_print(ts_buf *out, const ts_aie2_bundle *b) {
    static const uint8_t order[] = {TS_SLOT_NOP, TS_SLOT_LDA, TS_SLOT_LDB, TS_SLOT_ST,
                                    TS_SLOT_ALU, TS_SLOT_MV,  TS_SLOT_LNG, TS_SLOT_VEC};
    unsigned busy = 0;
    for (int s = 0; s < TS_SLOTS; s++)
        if (b->set >> s & 1 && !ts_aie2_is_nop((ts_aie2_slot)s, &b->inst[s])) busy |= 1u << s;
    bool all = ts_aie2_format_find(busy, 0) != b->format, first = true;
    for (size_t i = 0; i < sizeof order; i++) {
        int s = order[i];
        if (!(b->set >> s & 1) || (!all && !(busy >> s & 1) && s != TS_SLOT_NOP)) continue;
        if (!first && !ts_buf_puts(out, " ; ")) return false;
        first = false;
        if (!ts_aie2_inst_print(out, &b->inst[s])) return false;
    }
    return true;
}
