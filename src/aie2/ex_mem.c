/* ex_mem.c - loads, stores, pointer arithmetic. */
#include "aie2/core_int.h"

#define FN(name) static void name(ts_aie2_core *core, const ts_aie2_op *op, const later *now)

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static uint32_t areg(const ts_aie2_core *core, unsigned group, unsigned n) {
    return get32(core, group + 4 * n);
}

/* A counter of a 2D or 3D walk: true and reset when it was at its end, else it counts on. dn is the count - 1. */
static bool wraps(ts_aie2_core *core, unsigned n) {
    uint32_t dc = areg(core, AT_DC, n);
    bool end = dc == areg(core, AT_DN, n);
    put32(core, 1, AT_DC + 4 * n, end ? 0 : (dc + 1) & 0xfffff);
    return end;
}

/* The step of a 2D or 3D walk; counts are written back. */
static uint32_t walk(ts_aie2_core *core, const ts_aie2_op *op) {
    unsigned n = op->mod;
    if (!wraps(core, n)) return areg(core, AT_DJ, n);
    if (op->mode == TS_MODE_POST_3D && !wraps(core, n + 4)) return areg(core, AT_DJ, n + 4);
    return areg(core, AT_M, n);
}

uint32_t ts_aie2_address(ts_aie2_core *core, const ts_aie2_op *op) {
    unsigned at = AT_P + 4u * op->ptr;
    uint32_t p = get32(core, at), step;
    switch ((ts_aie2_mode)op->mode) {
    case TS_MODE_NONE: return p;
    case TS_MODE_IMM: return (p + (uint32_t)op->imm) & 0xfffff;
    case TS_MODE_DJ: return (p + areg(core, AT_DJ, op->mod)) & 0xfffff;
    case TS_MODE_SP: return (get32(core, AT_SP) + (uint32_t)op->imm) & 0xfffff;
    case TS_MODE_POST_IMM: step = (uint32_t)op->imm; break;
    case TS_MODE_POST_M: step = areg(core, AT_M, op->mod); break;
    default: step = walk(core, op); break;
    }
    put32(core, 1, at, (p + step) & 0xfffff);
    return p;
}

FN(padd) {
    (void)now;
    if (op->mode == TS_MODE_SP) put32(core, 1, AT_SP, (get32(core, AT_SP) + (uint32_t)op->imm) & 0xfffff);
    else ts_aie2_address(core, op);
}

/* ---- scalar ------------------------------------------------------------------------------------------------------ */

FN(load_scalar) {
    (void)now;
    unsigned bytes = op->bits / 8;
    const uint8_t *m = ts_aie2_memory(core, ts_aie2_address(core, op) & ~(bytes - 1), bytes);
    if (!m) return;
    uint32_t v = 0;
    memcpy(&v, m, bytes);
    if (op->sign && bytes == 1) v = (uint32_t)(int8_t)v;
    if (op->sign && bytes == 2) v = (uint32_t)(int16_t)v;
    put32(core, op->lat, op->r[op->data], v & op->wmask);
}

FN(store_word) {
    (void)now;
    uint32_t addr = ts_aie2_address(core, op);
    uint8_t *m = ts_aie2_memory(core, addr & ~3u, 4);
    if (m) memcpy(m, core->rf + op->r[op->data], 4);
    if (m && core->out.stored) core->out.stored(core->out.ud, addr & ~3u, op->r[op->data], 4);
}

/* A partial word: the word is read in stage 5, the register in stage 7, the word written back in stage 11. The
 * model's memory accesses are four stages early, so the last two are one cycle here; a load of that same cycle reads
 * the old word. */
FN(store_whole) {
    (void)op;
    uint8_t *m = ts_aie2_memory(core, now->a, 4);
    if (m) memcpy(m, &now->b, 4);
}
FN(store_part) {
    if (now) {
        ts_aie2_note_read(core, op->r[op->data], 4);
        uint32_t v = get32(core, op->r[op->data]), word = now->b;
        unsigned at = 8 * (now->a & 3);
        uint32_t mask = (op->bits == 8 ? 0xffu : 0xffffu) << at;
        later *l = put_later(core, 2, store_whole, op);
        l->a = now->a & ~3u;
        l->b = (word & ~mask) | (v << at & mask);
        return;
    }
    uint32_t addr = ts_aie2_address(core, op) & ~(uint32_t)(op->bits / 8 - 1);
    const uint8_t *m = ts_aie2_memory(core, addr & ~3u, 4);
    if (!m) return;
    later *l = put_later(core, 7, store_part, op);
    l->a = addr;
    memcpy(&l->b, m, 4);
}

FN(load_bus) {
    (void)now;
    uint32_t addr = ts_aie2_address(core, op);
    put32(core, op->lat, op->r[op->data], core->out.bus_read ? core->out.bus_read(core->out.ud, addr) : 0);
}
FN(store_bus) {
    (void)now;
    uint32_t addr = ts_aie2_address(core, op);
    if (core->out.bus_write) core->out.bus_write(core->out.ud, addr, get32(core, op->r[op->data]));
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

static uint8_t *vector_memory(ts_aie2_core *core, const ts_aie2_op *op, unsigned bytes) {
    return ts_aie2_memory(core, ts_aie2_address(core, op) & ~(bytes - 1), bytes);
}

FN(load_vec) {
    (void)now;
    const uint8_t *m = vector_memory(core, op, 32);
    if (m) memcpy(put_vec(core, op->lat, op->r[op->data], 32, TS_BYP_NONE), m, 32);
}
FN(load_q) {
    (void)now;
    const uint8_t *m = vector_memory(core, op, 16);
    if (m) memcpy(put_vec(core, op->lat, op->r[op->data], 16, TS_BYP_NONE), m, 16);
}
/* 128 bits into the lower half of the register; the upper one becomes 0 [silicon] */
FN(load_128) {
    (void)now;
    const uint8_t *m = vector_memory(core, op, 16);
    if (!m) return;
    uint8_t *out = put_vec(core, op->lat, op->r[op->data], 32, TS_BYP_NONE);
    memcpy(out, m, 16);
    memset(out + 16, 0, 16);
}
FN(load_conv) {
    (void)now;
    const uint8_t *m = vector_memory(core, op, 32);
    if (m) ts_aie2_bf16_to_f32(put_vec(core, op->lat, op->r[op->data], 64, TS_BYP_NONE), m);
}
FN(load_unpack) {
    if (now) {
        ts_aie2_unpack(put_vec(core, 1, op->r[op->data], 64, TS_BYP_NONE), now->v.b, op->bits2,
                       op_signed(core, op, CR_UNPACK_SIGN));
        return;
    }
    const uint8_t *m = vector_memory(core, op, 32);
    if (m) memcpy(put_later(core, 7, load_unpack, op)->v.b, m, 32);
}
/* shift and sign are read in stage 7, crSat in stage 8, the result is written in stage 9 */
FN(load_ups_sat) {
    unsigned bytes = op->bytes;
    uint8_t *out = put_vec(core, 2, op->r[op->data], bytes, TS_BYP_NONE);
    bool over =
        ts_aie2_ups(out, op->bits, now->v.b, op->bits2, 8u * bytes / op->bits, now->a, now->b, get_cr(core, CR_SAT));
    or32(core, 1, SR_UPS_OF, over);
}
FN(load_ups) {
    if (now) {
        ts_aie2_note_read(core, op->r[op->shift], 4);
        later *l = put_later(core, 2, load_ups_sat, op);
        memcpy(l->v.b, now->v.b, 32);
        l->a = get32(core, op->r[op->shift]);
        l->b = op_signed(core, op, CR_UPS_SIGN);
        return;
    }
    const uint8_t *m = vector_memory(core, op, 32);
    if (m) memcpy(put_later(core, 7, load_ups, op)->v.b, m, 32);
}

/* Four look-ups of 8 bytes. The addresses are the 32-bit words of one half of the source; the odd ones go to the other
 * bank, 16 bytes further, so that all four reads happen at once: the table stands in memory twice, interleaved. */
FN(load_4x) {
    (void)now;
    const uint8_t *src = core->rf + op->r[1] + (op->sign ? 16 : 0);
    uint8_t out[32] = {0};
    uint32_t align = op->bits == 16 ? 3 : op->bits == 32 ? 7 : 15;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t addr;
        memcpy(&addr, src + 4 * i, 4);
        addr = (addr & 0xfffff & ~align & ~16u) | (i & 1 ? 16 : 0);
        const uint8_t *m = ts_aie2_memory(core, addr & ~7u, 8);
        if (!m) return;
        memcpy(out + 8 * i, m, 8);
    }
    memcpy(put_vec(core, op->lat, op->r[0], 32, TS_BYP_NONE), out, 32);
}

FN(store_vec) {
    (void)now;
    uint32_t addr = ts_aie2_address(core, op) & ~(op->bits2 - 1u);
    uint8_t *m = ts_aie2_memory(core, addr, op->bits2);
    if (m) memcpy(m, core->rf + op->r[op->data], op->bits2);
    if (m && core->out.stored) core->out.stored(core->out.ud, addr, op->r[op->data], op->bits2);
}

/* Stores that convert on the way: the source is read when the bundle issues, memory is written two stages later than by
 * other stores (vst.srs, vst.conv), so that loads three bundles behind are the first to see it. */
FN(store_late) {
    (void)op;
    uint8_t *m = ts_aie2_memory(core, now->a, 32);
    if (m) memcpy(m, now->v.b, 32);
}
FN(store_srs) {
    (void)now;
    later *l = put_later(core, 4, store_late, op);
    l->a = ts_aie2_address(core, op) & ~31u;
    bool over = ts_aie2_srs(l->v.b, op->bits, core->rf + op->r[op->data], op->bits2, 256u / op->bits,
                       get32(core, op->r[op->shift]), op_signed(core, op, CR_SRS_SIGN), get_cr(core, CR_SAT),
                       get_cr(core, CR_RND));
    or32(core, 3, SR_SRS_OF, over);
}
FN(store_conv) {
    (void)now;
    later *l = put_later(core, 4, store_late, op);
    l->a = ts_aie2_address(core, op) & ~31u;
    or32(core, 1, SR_F2F_FLAGS, ts_aie2_f32_to_bf16(l->v.b, core->rf + op->r[op->data], get_cr(core, CR_RND)));
}
FN(store_pack) {
    (void)now;
    uint8_t *m = vector_memory(core, op, 32);
    if (m)
        ts_aie2_pack(m, core->rf + op->r[op->data], op->bits, op_signed(core, op, CR_PACK_SIGN), get_cr(core, CR_SAT));
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

/* The types behind "ups", "srs", ...: bits and sign of the first, bits of the second. */
static void bind_types(ts_aie2_op *op, const ts_aie2_mnemonic *m, bool sign_of_second) {
    int k = m->n - 2;
    op->bits = m->part[k].bits;
    op->bits2 = m->part[k + 1].bits;
    op->sign = m->part[k + sign_of_second].kind == 'd' ? 2 : 1;
}

static bool bind_load(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    const ts_aie2_mnemonic *x = m;
    if (ts_aie2_mnemonic_has(x, "compr") || ts_aie2_mnemonic_has(x, "sparse")) return false;
    if (ts_aie2_mnemonic_has(x, "ups")) {
        bind_types(op, m, true);
        op->fn = load_ups;
    } else if (ts_aie2_mnemonic_has(x, "unpack")) {
        bind_types(op, m, true);
        op->fn = load_unpack;
    } else if (ts_aie2_mnemonic_has(x, "conv")) {
        op->fn = load_conv;
    } else if (ts_aie2_mnemonic_has(x, "tm")) {
        op->fn = load_bus;
    } else if (ts_aie2_mnemonic_has(x, "128")) {
        op->fn = load_128;
    } else if (!strncmp(m->part[0].text, "4x", 2)) {
        op->bits = (uint8_t)(m->part[0].text[2] == '1' ? 16 : m->part[0].text[2] == '3' ? 32 : 64);
        op->sign = ts_aie2_mnemonic_has(x, "hi");
        op->fn = load_4x;
    } else {
        unsigned kind = ts_aie2_regs[inst->v[op->data]].kind;
        const char *last = m->n ? m->part[m->n - 1].text : "";
        bool part = *last == 's' || *last == 'u';
        op->bits = part ? m->part[m->n - 1].bits : 32;
        op->sign = *last == 's';
        op->fn = kind == TS_K_Q ? load_q : ts_aie2_regs[inst->v[op->data]].bytes == 32 ? load_vec : load_scalar;
    }
    return true;
}

static bool bind_store(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    const char *last = m->n ? m->part[m->n - 1].text : "";
    if (ts_aie2_mnemonic_has(m, "srs")) {
        bind_types(op, m, false);
        op->fn = store_srs;
    } else if (ts_aie2_mnemonic_has(m, "pack")) {
        bind_types(op, m, false);
        op->fn = store_pack;
    } else if (ts_aie2_mnemonic_has(m, "conv")) {
        op->fn = store_conv;
    } else if (ts_aie2_mnemonic_has(m, "tm")) {
        op->fn = store_bus;
    } else if (*last == 's') {
        op->bits = m->part[m->n - 1].bits;
        op->fn = store_part;
    } else if (ts_aie2_regs[inst->v[op->data]].bytes == 4) {
        op->fn = store_word;
    } else {
        op->bits2 = (uint8_t)(ts_aie2_mnemonic_has(m, "128") ? 16 : ts_aie2_regs[inst->v[op->data]].bytes);
        op->fn = store_vec;
    }
    return true;
}

bool ts_aie2_bind_memory(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    if (!strncmp(m->base, "padd", 4)) {
        op->fn = padd;
        return true;
    }
    if (!strcmp(m->base, "lda") || !strcmp(m->base, "vlda") || !strcmp(m->base, "vldb")) return bind_load(op, inst, m);
    if (!strcmp(m->base, "st") || !strcmp(m->base, "vst")) return bind_store(op, inst, m);
    return false;
}
