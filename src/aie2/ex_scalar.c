/* ex_scalar.c - what the scalar, control, lock, stream and cascade instructions do. */
#include "aie2/core_int.h"

#include <stdio.h>

#define FN(name) static void name(ts_aie2_core *core, const ts_aie2_op *op, const later *now)

/* ---- arithmetic: operand 0 is the result ----------------------------------------------------------------------- */

#define ALU1(name, expr)                                                                                               \
    FN(name) {                                                                                                         \
        (void)now;                                                                                                     \
        uint32_t a = get32(core, op->r[1]);                                                                            \
        put32(core, 1, op->r[0], (uint32_t)(expr));                                                                    \
    }
#define ALU2(name, expr)                                                                                               \
    FN(name) {                                                                                                         \
        (void)now;                                                                                                     \
        uint32_t a = get32(core, op->r[1]), b = get32(core, op->r[2]);                                                 \
        put32(core, op->lat, op->r[0], (uint32_t)(expr));                                                              \
    }

/* A shift count is signed: to the left when it is positive. Six bits count. */
static uint32_t shift(uint32_t a, uint32_t s, bool arithmetic) {
    int32_t n = (int32_t)s;
    if (n >= 0) return a << (n & 31);
    unsigned right = (unsigned)(0 - s) & 31;
    return arithmetic ? (uint32_t)((int32_t)a >> right) : a >> right;
}

/* Leading bits equal to the sign bit, that one included. */
static uint32_t leading_sign_bits(uint32_t a) {
    uint32_t x = (int32_t)a < 0 ? ~a : a;
    return x ? (uint32_t)__builtin_clz(x) : 32;
}

ALU1(alu_clb, leading_sign_bits(a))
ALU1(alu_clz, a ? (uint32_t)__builtin_clz(a) : 32)
ALU1(alu_eqz, a == 0)
ALU1(alu_nez, a != 0)
ALU1(alu_extend_s8, (int8_t)a)
ALU1(alu_extend_u8, (uint8_t)a)
ALU1(alu_extend_s16, (int16_t)a)
ALU1(alu_extend_u16, (uint16_t)a)
ALU2(alu_and, a & b)
ALU2(alu_or, a | b)
ALU2(alu_xor, a ^ b)
ALU2(alu_eq, a == b)
ALU2(alu_ne, a != b)
ALU2(alu_lt, (int32_t)a < (int32_t)b)
ALU2(alu_ltu, a < b)
ALU2(alu_ge, (int32_t)a >= (int32_t)b)
ALU2(alu_geu, a >= b)
ALU2(alu_lshl, shift(a, b, false))
ALU2(alu_ashl, shift(a, b, true))
ALU2(alu_mul, a *b)
ALU2(alu_seleqz, get32(core, AT_R + 4 * 27) == 0 ? a : b)
ALU2(alu_selnez, get32(core, AT_R + 4 * 27) != 0 ? a : b)

/* The carry of an addition, the borrow of a subtraction: both go to srCarry as 1 [silicon]. */
static void add_carry(ts_aie2_core *core, const ts_aie2_op *op, uint32_t a, uint32_t b, uint32_t carry) {
    uint64_t sum = (uint64_t)a + b + carry;
    put32(core, 1, op->r[0], (uint32_t)sum);
    put32(core, 1, AT_SR + 4 * SR_CARRY, (uint32_t)(sum >> 32));
}
static void sub_borrow(ts_aie2_core *core, const ts_aie2_op *op, uint32_t a, uint32_t b, uint32_t borrow) {
    put32(core, 1, op->r[0], a - b - borrow);
    put32(core, 1, AT_SR + 4 * SR_CARRY, a < (uint64_t)b + borrow);
}
static uint32_t carry_in(const ts_aie2_core *core) {
    return get32(core, AT_SR + 4 * SR_CARRY) & 1;
}

FN(alu_add) {
    (void)now;
    add_carry(core, op, get32(core, op->r[1]), get32(core, op->r[2]), 0);
}
FN(alu_add_imm) {
    (void)now;
    add_carry(core, op, get32(core, op->r[1]), (uint32_t)op->imm, 0);
}
FN(alu_adc) {
    (void)now;
    add_carry(core, op, get32(core, op->r[1]), get32(core, op->r[2]), carry_in(core));
}
FN(alu_sub) {
    (void)now;
    sub_borrow(core, op, get32(core, op->r[1]), get32(core, op->r[2]), 0);
}
FN(alu_sbc) {
    (void)now;
    sub_borrow(core, op, get32(core, op->r[1]), get32(core, op->r[2]), carry_in(core));
}
FN(alu_abs) {
    (void)now;
    uint32_t a = get32(core, op->r[1]);
    put32(core, 1, op->r[0], (int32_t)a < 0 ? 0 - a : a);
    put32(core, 1, AT_SR + 4 * SR_CARRY, a == 0); /* [guess] */
}

/* One step of a restoring division: the remainder takes the top bit of r31, which shifts left; the divisor comes off
 * when it fits, and the lowest bit of r31 tells. 32 steps divide r31 [silicon, with the bit that comes in unknown]. */
FN(alu_divs) {
    (void)now;
    uint32_t quot = get32(core, AT_R + 4 * 31), rem = get32(core, op->r[3]), div = get32(core, op->r[4]);
    uint32_t r = rem << 1 | quot >> 31;
    bool fits = r >= div;
    put32(core, 1, op->r[0], fits ? r - div : r);
    put32(core, 1, AT_R + 4 * 31, quot << 1 | fits);
}

FN(alu_add_nc) {
    (void)now;
    put32(core, 1, op->r[0], (get32(core, op->r[1]) + (uint32_t)op->imm) & op->wmask);
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

FN(mov_imm) {
    (void)now;
    put32(core, 1, op->r[0], (uint32_t)op->imm & op->wmask);
}
FN(mov_reg) {
    (void)now;
    put32(core, op->lat, op->r[0], get32(core, op->r[1]) & op->wmask);
}
/* The tile's timer, 64 bits. It counts cycles from a time that the program does not know. */
FN(mov_cntr) {
    (void)now;
    uint64_t t = core->timer + core->cycle;
    put32(core, 1, op->r[0], (uint32_t)t);
    put32(core, 1, op->r[0] + 4u, (uint32_t)(t >> 32));
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

FN(ctl_j) {
    (void)now;
    ts_aie2_branch(core, (uint32_t)op->imm);
}
FN(ctl_j_reg) {
    (void)now;
    ts_aie2_branch(core, get32(core, op->r[0]));
}
FN(ctl_jl) {
    (void)now;
    put32(core, 4, AT_LR, ts_aie2_return_address(core));
    ts_aie2_branch(core, (uint32_t)op->imm);
}
FN(ctl_jl_reg) {
    (void)now;
    put32(core, 4, AT_LR, ts_aie2_return_address(core));
    ts_aie2_branch(core, get32(core, op->r[0]));
}
FN(ctl_ret) {
    (void)now, (void)op;
    ts_aie2_branch(core, get32(core, AT_LR));
}
FN(ctl_jz) {
    (void)now;
    if (!get32(core, op->r[0])) ts_aie2_branch(core, (uint32_t)op->imm);
}
FN(ctl_jnz) {
    (void)now;
    if (get32(core, op->r[0])) ts_aie2_branch(core, (uint32_t)op->imm);
}
FN(ctl_jnzd) {
    (void)now;
    uint32_t n = get32(core, op->r[1]);
    sub_borrow(core, op, n, 1, 0);
    if (n) ts_aie2_branch(core, get32(core, op->r[2]));
}
FN(ctl_done) {
    (void)now, (void)op;
    core->done = true;
}
FN(ctl_event) {
    (void)now;
    if (core->out.event) core->out.event(core->out.ud, (unsigned)op->imm);
}
FN(ctl_nop) {
    (void)core, (void)op, (void)now;
}

/* ---- locks, streams, cascade ------------------------------------------------------------------------------------- */

/* kinds of a stream write, in op->bits2 */
enum { MS_WORD, MS_PACKET, MS_CONTROL_PACKET };
/* when the word is the last of its packet, in op->sign */
enum { TLAST_NO, TLAST_YES, TLAST_R28 };

static uint32_t odd_parity(uint32_t w) {
    return w | (uint32_t)!(__builtin_popcount(w) & 1) << 31;
}

/* The word that goes out. A packet header has the id in bits 4-0 and the type in 14-12, a control packet the address in
 * 19-0, words - 1 in 21-20, the operation in 23-22 and the return id in 28-24; bit 31 makes the parity odd. */
static uint32_t stream_word(const ts_aie2_core *core, const ts_aie2_op *op) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[op->id];
    (void)info;
    switch (op->bits2) {
    case MS_PACKET: return odd_parity((get32(core, op->r[0]) & 31) | ((uint32_t)op->imm & 7) << 12);
    case MS_CONTROL_PACKET:
        return odd_parity((get32(core, op->r[0]) & 0xfffff) | (uint32_t)op->bits << 20 | (uint32_t)op->lat2 << 22 |
                          (get32(core, op->r[3]) & 31) << 24);
    default: return get32(core, op->r[0]);
    }
}

static bool wait_for(ts_aie2_core *core, ts_aie2_stall what) {
    core->stall = what;
    return false;
}

bool ts_aie2_try(ts_aie2_core *core, const ts_aie2_op *op, unsigned index) {
    ts_aie2_outside *o = &core->out;
    bool tlast = false;
    (void)index;
    switch (op->kind) {
    case OP_ACQUIRE:
    case OP_RELEASE: {
        if (op->bits && !get32(core, AT_R + 4 * 26)) return true; /* .cond: only when r26 is not 0 */
        unsigned lock = op->bits2 ? get32(core, op->r[0]) & 63 : (unsigned)op->imm;
        int32_t value = (int32_t)get32(core, op->r[1]);
        core->stall_lock = lock;
        bool (*call)(void *, unsigned, int32_t) = op->kind == OP_ACQUIRE ? o->acquire : o->release;
        return (call && call(o->ud, lock, value)) || wait_for(core, TS_AIE2_STALL_LOCK);
    }
    case OP_STREAM_READ:
        if (o->stream_read && o->stream_read(o->ud, &core->latch[0], &tlast)) {
            core->latch[1] = 1;
            core->latch[2] = tlast;
            return true;
        }
        core->latch[1] = 0; /* the non-blocking form goes on without a word */
        return op->bits || wait_for(core, TS_AIE2_STALL_STREAM_IN);
    case OP_STREAM_WRITE:
        tlast = op->sign == TLAST_YES || (op->sign == TLAST_R28 && get32(core, AT_R + 4 * 28) & 1);
        core->latch[3] = o->stream_write && o->stream_write(o->ud, stream_word(core, op), tlast);
        return core->latch[3] || op->shift == 1 || wait_for(core, TS_AIE2_STALL_STREAM_OUT);
    case OP_CASCADE_READ:
        return (o->cascade_read && o->cascade_read(o->ud, core->pipe->cascade)) ||
               wait_for(core, TS_AIE2_STALL_CASCADE_IN);
    case OP_CASCADE_WRITE:
        return (o->cascade_write && o->cascade_write(o->ud, core->rf + op->r[0])) ||
               wait_for(core, TS_AIE2_STALL_CASCADE_OUT);
    default: return true;
    }
}

FN(run_stream_read) {
    (void)now;
    if (core->latch[1]) put32(core, op->lat, op->r[0], core->latch[0]);
    if (op->bits) put32(core, 8, AT_SR + 4 * SR_SS0, core->latch[1] | core->latch[2] << 1);
}
FN(run_stream_write) {
    (void)now;
    if (op->shift == 1) put32(core, 3, AT_SR + 4 * SR_MS0, core->latch[3]);
}
FN(run_cascade_read) {
    (void)now;
    memcpy(put_vec(core, op->lat, op->r[0] + op->imm, 64, TS_BYP_NONE), core->pipe->cascade, 64);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static bool bind_lock(ts_aie2_op *op, const ts_aie2_mnemonic *m, bool acquire) {
    op->fn = ctl_nop;
    op->kind = acquire ? OP_ACQUIRE : OP_RELEASE;
    op->bits = ts_aie2_mnemonic_has(m, "cond");
    op->bits2 = ts_aie2_insns[op->id].op[0].kind == TS_OP_REG; /* the lock's number is in a register */
    return true;
}

static bool bind_stream_write(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[op->id];
    op->fn = run_stream_write;
    op->kind = OP_STREAM_WRITE;
    op->bits2 = ts_aie2_mnemonic_has(m, "cph")  ? MS_CONTROL_PACKET
                : ts_aie2_mnemonic_has(m, "ph") ? MS_PACKET
                                                : MS_WORD;
    op->sign = ts_aie2_mnemonic_has(m, "tlast") ? TLAST_YES : strstr(info->text, "r28") ? TLAST_R28 : TLAST_NO;
    op->shift = ts_aie2_mnemonic_has(m, "nb"); /* non-blocking */
    if (op->bits2 == MS_CONTROL_PACKET) {
        op->bits = (uint8_t)inst->v[1];
        op->lat2 = (uint8_t)inst->v[2];
    }
    return true;
}

static bool bind_mov(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    const char *text = ts_aie2_insns[op->id].text;
    if (strstr(text, " ms,")) return bind_stream_write(op, inst, m);
    if (strstr(text, ", SS")) {
        op->fn = run_stream_read;
        op->kind = OP_STREAM_READ;
        op->bits = ts_aie2_mnemonic_has(m, "nb");
    } else if (strstr(text, "cntr")) {
        op->fn = mov_cntr;
    } else {
        op->fn = ts_aie2_insns[op->id].op[1].kind == TS_OP_IMM ? mov_imm : mov_reg;
    }
    return true;
}

bool ts_aie2_bind_scalar(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    static const struct {
        const char *name;
        ts_aie2_fn *fn;
    } plain[] = {
        {"clb", alu_clb},   {"clz", alu_clz},   {"eqz", alu_eqz},   {"nez", alu_nez},   {"and", alu_and},
        {"or", alu_or},     {"xor", alu_xor},   {"eq", alu_eq},     {"ne", alu_ne},     {"lt", alu_lt},
        {"ltu", alu_ltu},   {"ge", alu_ge},     {"geu", alu_geu},   {"lshl", alu_lshl}, {"ashl", alu_ashl},
        {"mul", alu_mul},   {"adc", alu_adc},   {"sub", alu_sub},   {"sbc", alu_sbc},   {"abs", alu_abs},
        {"divs", alu_divs}, {"ret", ctl_ret},   {"jz", ctl_jz},     {"jnz", ctl_jnz},   {"jnzd", ctl_jnzd},
        {"done", ctl_done}, {"event", ctl_event},
    };
    const char *b = m->base;
    bool first_imm = ts_aie2_insns[op->id].op[0].kind == TS_OP_IMM;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(b, plain[i].name)) continue;
        op->fn = plain[i].fn;
        return true;
    }
    if (!strcmp(b, "sel")) op->fn = ts_aie2_mnemonic_has(m, "eqz") ? alu_seleqz : alu_selnez;
    else if (!strcmp(b, "extend"))
        op->fn = m->part[0].kind == 's' ? (m->part[0].bits == 8 ? alu_extend_s8 : alu_extend_s16)
                                        : (m->part[0].bits == 8 ? alu_extend_u8 : alu_extend_u16);
    else if (!strcmp(b, "add"))
        op->fn = ts_aie2_mnemonic_has(m, "nc")                   ? alu_add_nc
                 : ts_aie2_insns[op->id].op[2].kind == TS_OP_IMM ? alu_add_imm
                                                                 : alu_add;
    else if (!strcmp(b, "j")) op->fn = first_imm ? ctl_j : ctl_j_reg;
    else if (!strcmp(b, "jl")) op->fn = first_imm ? ctl_jl : ctl_jl_reg;
    else if (!strcmp(b, "acq")) return bind_lock(op, m, true);
    else if (!strcmp(b, "rel")) return bind_lock(op, m, false);
    else if (!strcmp(b, "mov") || !strcmp(b, "movx") || !strcmp(b, "mova") || !strcmp(b, "movxm"))
        return bind_mov(op, inst, m);
    else if (!strcmp(b, "vmov") && strstr(ts_aie2_insns[op->id].text, "SCD")) {
        op->fn = run_cascade_read;
        op->kind = OP_CASCADE_READ;
        op->imm = ts_aie2_mnemonic_has(m, "hi") ? 64 : 0; /* .lo and .hi fill half of an accumulator */
    } else if (!strcmp(b, "vmov") && strstr(ts_aie2_insns[op->id].text, "MCD")) {
        op->fn = ctl_nop;
        op->kind = OP_CASCADE_WRITE;
    }
    return op->fn != NULL;
}
