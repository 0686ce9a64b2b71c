/* ex_vec.c - lane arithmetic, comparisons, selections, permutations and moves of the vector move unit, and the
 * conversions between registers. */
#include "aie2/core_int.h"

#define FN(name) static void name(ts_aie2_core *core, const ts_aie2_op *op, const later *now)

/* lanes in register bytes */
typedef uint8_t u8a __attribute__((may_alias));
typedef uint16_t u16a __attribute__((may_alias));
typedef uint32_t u32a __attribute__((may_alias));
typedef int8_t i8a __attribute__((may_alias));
typedef int16_t i16a __attribute__((may_alias));
typedef int32_t i32a __attribute__((may_alias));

/* ---- one result, no comparison ----------------------------------------------------------------------------------- */

/* d[i] = f(x, y) in lanes of op->bits; the result wraps, so unsigned lanes do for both signs */
#define LANES2(name, f)                                                                                                \
    FN(name) {                                                                                                         \
        (void)now;                                                                                                     \
        const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);                                    \
        uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);                                                \
        if (op->bits == 8)                                                                                             \
            for (int i = 0; i < 64; i++) {                                                                             \
                u8a x = a[i], y = b[i];                                                                                \
                d[i] = (u8a)(f);                                                                                       \
            }                                                                                                          \
        else if (op->bits == 16)                                                                                       \
            for (int i = 0; i < 32; i++) {                                                                             \
                u16a x = ((const u16a *)a)[i], y = ((const u16a *)b)[i];                                               \
                ((u16a *)d)[i] = (u16a)(f);                                                                            \
            }                                                                                                          \
        else                                                                                                           \
            for (int i = 0; i < 16; i++) {                                                                             \
                u32a x = ((const u32a *)a)[i], y = ((const u32a *)b)[i];                                               \
                ((u32a *)d)[i] = (u32a)(f);                                                                            \
            }                                                                                                          \
    }
LANES2(vec_add, x + y)
LANES2(vec_sub, x - y)
LANES2(vec_and, x &y)
LANES2(vec_or, x | y)

/* ---- lanes one by one, for what is not in the hot loops ---------------------------------------------------------- */

static int64_t lane(const uint8_t *p, unsigned bits, unsigned i, bool is_signed) {
    switch (bits) {
    case 8: return is_signed ? (int64_t)((const i8a *)p)[i] : (int64_t)p[i];
    case 16: return is_signed ? (int64_t)((const i16a *)p)[i] : (int64_t)((const u16a *)p)[i];
    default: return is_signed ? (int64_t)((const i32a *)p)[i] : (int64_t)((const u32a *)p)[i];
    }
}

static void set_lane(uint8_t *p, unsigned bits, unsigned i, int64_t v) {
    if (bits == 8) p[i] = (uint8_t)v;
    else if (bits == 16) ((u16a *)p)[i] = (uint16_t)v;
    else ((u32a *)p)[i] = (uint32_t)v;
}

/* A bit per lane, lane 0 lowest: 64 for 8-bit lanes in a register pair, else one register. */
static uint64_t mask_get(const ts_aie2_core *core, const ts_aie2_op *op, int i) {
    uint64_t m = get32(core, op->r[i]);
    if (op->bits == 8) m |= (uint64_t)get32(core, op->r[i] + 4u) << 32;
    return m;
}
static void mask_put(ts_aie2_core *core, const ts_aie2_op *op, int i, uint64_t mask) {
    put32(core, 2, op->r[i], (uint32_t)mask);
    if (op->bits == 8) put32(core, 2, op->r[i] + 4u, (uint32_t)(mask >> 32));
}

FN(vec_sel) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = mask_get(core, op, 3);
    for (unsigned i = 0; i < 512u / op->bits; i++)
        set_lane(d, op->bits, i, lane(mask >> i & 1 ? b : a, op->bits, i, false));
}
FN(vec_addsub) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = mask_get(core, op, 3);
    for (unsigned i = 0; i < 512u / op->bits; i++) {
        int64_t x = lane(a, op->bits, i, false), y = lane(b, op->bits, i, false);
        set_lane(d, op->bits, i, mask >> i & 1 ? x - y : x + y);
    }
}

/* ---- comparisons ------------------------------------------------------------------------------------------------- */

enum { LT, GE };

/* The order of bfloat16 numbers: by sign and magnitude; -0 is less than +0; nothing compares with a NaN. */
static bool bf16_compare(uint16_t a, uint16_t b, int what) {
    if ((a & 0x7fff) > 0x7f80 || (b & 0x7fff) > 0x7f80) return false;
    int x = a & 0x8000 ? -(a & 0x7fff) - 1 : a, y = b & 0x8000 ? -(b & 0x7fff) - 1 : b;
    return what == LT ? x < y : x >= y;
}

static bool compare(const uint8_t *a, const uint8_t *b, unsigned bits, unsigned i, unsigned sign, int what) {
    if (sign == 3) return bf16_compare(((const u16a *)a)[i], ((const u16a *)b)[i], what);
    int64_t x = lane(a, bits, i, sign), y = lane(b, bits, i, sign);
    return what == LT ? x < y : x >= y;
}

static unsigned sign_now(const ts_aie2_core *core, const ts_aie2_op *op) {
    return op->sign == 3 ? 3 : op_signed(core, op, CR_VADD_SIGN);
}

/* vlt, vge: cmp, s1, s2 */
FN(vec_compare) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);
    uint64_t mask = 0;
    unsigned sign = sign_now(core, op);
    for (unsigned i = 0; i < 512u / op->bits; i++)
        mask |= (uint64_t)compare(a, b, op->bits, i, sign, op->bits2) << i;
    mask_put(core, op, 0, mask);
}
FN(vec_eqz) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64);
    uint64_t mask = 0;
    for (unsigned i = 0; i < 512u / op->bits; i++) mask |= (uint64_t)(lane(a, op->bits, i, false) == 0) << i;
    mask_put(core, op, 0, mask);
}

/* what of the two a combined instruction keeps: d, cmp, s1, s2 */
enum { KEEP_OTHER, KEEP_DIFFERENCE, KEEP_MAX_DIFFERENCE };
FN(vec_compare_keep) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 2, 64), *b = src_vec(core, op, 3, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = 0;
    unsigned sign = sign_now(core, op);
    for (unsigned i = 0; i < 512u / op->bits; i++) {
        bool c = compare(a, b, op->bits, i, sign, op->bits2);
        int64_t x = lane(a, op->bits, i, false), y = lane(b, op->bits, i, false), v;
        if (op->shift == KEEP_OTHER) v = c ? y : x;
        else if (op->shift == KEEP_DIFFERENCE) v = x - y;
        else v = c ? 0 : x - y;
        set_lane(d, op->bits, i, v);
        mask |= (uint64_t)c << i;
    }
    mask_put(core, op, 1, mask);
}

/* d, cmp, s1 */
FN(vec_abs_gtz) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = 0;
    bool is_signed = op_signed(core, op, CR_VADD_SIGN);
    for (unsigned i = 0; i < 512u / op->bits; i++) {
        int64_t x = lane(a, op->bits, i, is_signed);
        mask |= (uint64_t)(x > 0) << i;
        set_lane(d, op->bits, i, x < 0 ? -x : x);
    }
    mask_put(core, op, 1, mask);
}
FN(vec_neg_gtz) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = 0;
    for (unsigned i = 0; i < 512u / op->bits; i++) {
        int64_t x = lane(a, op->bits, i, true);
        mask |= (uint64_t)(x > 0) << i;
        set_lane(d, op->bits, i, -x);
    }
    mask_put(core, op, 1, mask);
}
FN(vec_bneg_ltz) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint64_t mask = 0;
    for (unsigned i = 0; i < 512u / op->bits; i++) {
        int64_t x = lane(a, op->bits, i, true);
        mask |= (uint64_t)(x < 0) << i;
        set_lane(d, op->bits, i, ~x);
    }
    mask_put(core, op, 1, mask);
}

/* ---- permutations ------------------------------------------------------------------------------------------------ */

/* bytes [r, r + 64) of s2:s1; a count past the end gives zeros */
FN(vec_shift) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    uint32_t n = get32(core, op->r[3]);
    for (uint32_t i = 0; i < 64; i++) d[i] = n >= 128 ? 0 : n + i < 64 ? a[n + i] : n + i < 128 ? b[n + i - 64] : 0;
}

/* vshift.align: only what the captures show is modelled, a count past the end, which gives zeros. */
FN(vec_shift_align) {
    (void)now;
    uint32_t n = get32(core, op->r[4]);
    if (n < 128) {
        ts_aie2_fail(core, "vshift.align by %u is not modelled", n);
        return;
    }
    memset(put_vec(core, op->lat, op->r[0], 64, op->byp_out), 0, 64);
}

/* Six bits of the mode count. Modes from 48 on give the first byte and zeros [silicon: five of the sixteen]. */
static void shuffle(uint8_t *d, const uint8_t *a, const uint8_t *b, uint32_t mode) {
    mode &= 63;
    if (mode >= TS_SHUFFLES) {
        memset(d, 0, 64);
        d[0] = a[0];
        return;
    }
    const uint8_t *from = ts_aie2_shuffle[mode];
    for (int i = 0; i < 64; i++) d[i] = from[i] < 64 ? a[from[i]] : b[from[i] - 64];
}
FN(vec_shuffle) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64), *b = src_vec(core, op, 2, 64);
    shuffle(put_vec(core, op->lat, op->r[0], 64, op->byp_out), a, b, get32(core, op->r[3]));
}

static void broadcast(uint8_t *d, const uint8_t *value, unsigned bytes) {
    for (unsigned i = 0; i < 64; i += bytes) memcpy(d + i, value, bytes);
}
FN(vec_bcst) {
    (void)now;
    broadcast(put_vec(core, op->lat, op->r[0], 64, op->byp_out), core->rf + op->r[1], op->bits / 8);
}
/* shuffles the broadcast value with a vector of zeros [silicon] */
FN(vec_bcstshfl) {
    (void)now;
    static const uint8_t zeros[64];
    uint8_t v[64];
    broadcast(v, core->rf + op->r[1], op->bits / 8);
    shuffle(put_vec(core, op->lat, op->r[0], 64, op->byp_out), v, zeros, get32(core, AT_R + 4 * 29));
}
FN(vec_extbcst) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64);
    uint32_t index = op->sign ? get32(core, op->r[2]) : (uint32_t)op->imm;
    unsigned bytes = op->bits / 8;
    broadcast(put_vec(core, op->lat, op->r[0], 64, op->byp_out), a + index % (64 / bytes) * bytes, bytes);
}
FN(vec_extract) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64);
    unsigned bytes = op->bits / 8;
    const uint8_t *from = a + get32(core, op->r[2]) % (64 / bytes) * bytes;
    if (op->bits == 64) {
        uint32_t v[2];
        memcpy(v, from, 8);
        put32(core, op->lat, op->r[0], v[0]);
        put32(core, op->lat, op->r[0] + 4u, v[1]);
        return;
    }
    put32(core, op->lat, op->r[0], (uint32_t)lane(from, op->bits, 0, op_signed(core, op, CR_VADD_SIGN)) & op->wmask);
}
FN(vec_insert) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    unsigned bytes = op->bits / 8;
    memcpy(d, a, 64);
    memcpy(d + get32(core, AT_R + 4 * 29) % (64 / bytes) * bytes, core->rf + op->r[3], bytes);
}
FN(vec_push_lo) {
    (void)now;
    const uint8_t *b = src_vec(core, op, 2, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    unsigned bytes = op->bits / 8;
    memcpy(d, core->rf + op->r[1], bytes);
    memcpy(d + bytes, b, 64 - bytes);
}
FN(vec_push_hi) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 64);
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, op->byp_out);
    unsigned bytes = op->bits / 8;
    memcpy(d, a + bytes, 64 - bytes);
    memcpy(d + 64 - bytes, core->rf + op->r[2], bytes);
}

/* ---- moves and conversions --------------------------------------------------------------------------------------- */

FN(vec_mov) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, op->bytes);
    memcpy(put_vec(core, op->lat, op->r[0], op->bytes, op->byp_out), a, op->bytes);
}
/* vmov.d reads the accumulator in stage 3 and is on the accumulators' bypass */
FN(vec_mov_d) {
    if (!now) {
        put_later(core, 3, vec_mov_d, op);
        return;
    }
    ts_aie2_note_read(core, op->r[1], 128);
    memcpy(put_vec(core, 3, op->r[0], 128, TS_BYP_VEC), core->rf + op->r[1], 128);
}

/* vmov between a 128-bit q and a 256-bit w or am: the lower half [guess] */
FN(vec_mov_q) {
    (void)now;
    unsigned bytes = op->bytes;
    uint8_t v[32] = {0};
    memcpy(v, core->rf + op->r[1], op->bits == 16 ? 16 : 32);
    memcpy(put_vec(core, op->lat, op->r[0], bytes, op->byp_out), v, bytes);
}

FN(vec_ups) {
    (void)now;
    unsigned n = 8u * op->bytes / op->bits;
    uint8_t *d = put_vec(core, op->lat, op->r[0], op->bytes, TS_BYP_NONE);
    bool over = ts_aie2_ups(d, op->bits, core->rf + op->r[1], op->bits2, n, get32(core, op->r[2]),
                       op_signed(core, op, CR_UPS_SIGN), get_cr(core, CR_SAT));
    or32(core, 1, SR_UPS_OF, over);
}
FN(vec_srs) {
    (void)now;
    unsigned n = 8u * op->bytes / op->bits;
    uint8_t *d = put_vec(core, op->lat, op->r[0], op->bytes, TS_BYP_NONE);
    bool over = ts_aie2_srs(d, op->bits, core->rf + op->r[1], op->bits2, n, get32(core, op->r[2]),
                       op_signed(core, op, CR_SRS_SIGN), get_cr(core, CR_SAT), get_cr(core, CR_RND));
    or32(core, 3, SR_SRS_OF, over);
}
FN(vec_pack) {
    (void)now;
    uint8_t *d = put_vec(core, op->lat, op->r[0], 32, TS_BYP_NONE);
    ts_aie2_pack(d, core->rf + op->r[1], op->bits, op_signed(core, op, CR_PACK_SIGN), get_cr(core, CR_SAT));
}
/* reads and writes in stage 7 */
FN(vec_unpack) {
    if (!now) {
        put_later(core, 7, vec_unpack, op);
        return;
    }
    ts_aie2_note_read(core, op->r[1], 32);
    ts_aie2_unpack(put_vec(core, 1, op->r[0], 64, TS_BYP_NONE), core->rf + op->r[1], op->bits2,
              op_signed(core, op, CR_UNPACK_SIGN));
}
FN(vec_to_bf16) {
    (void)now;
    uint8_t *d = put_vec(core, op->lat, op->r[0], 32, TS_BYP_NONE);
    or32(core, 1, SR_F2F_FLAGS, ts_aie2_f32_to_bf16(d, core->rf + op->r[1], get_cr(core, CR_RND)));
}
FN(vec_to_f32) {
    (void)now;
    const uint8_t *a = src_vec(core, op, 1, 32);
    ts_aie2_bf16_to_f32(put_vec(core, op->lat, op->r[0], 64, TS_BYP_NONE), a);
}
FN(vec_floor) {
    (void)now;
    uint8_t *d = put_vec(core, op->lat, op->r[0], 64, TS_BYP_NONE);
    or32(core, 2, SR_F2I_FLAGS, ts_aie2_bf16_floor(d, core->rf + op->r[1], get32(core, op->r[2])));
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

bool ts_aie2_bind_vector(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    static const struct {
        const char *name;
        ts_aie2_fn *fn;
        uint8_t what, keep;
    } table[] = {
        {"vadd", vec_add, 0, 0},
        {"vsub", vec_sub, 0, 0},
        {"vband", vec_and, 0, 0},
        {"vbor", vec_or, 0, 0},
        {"vsel", vec_sel, 0, 0},
        {"vaddsub", vec_addsub, 0, 0},
        {"vlt", vec_compare, LT, 0},
        {"vge", vec_compare, GE, 0},
        {"veqz", vec_eqz, 0, 0},
        {"vmax_lt", vec_compare_keep, LT, KEEP_OTHER},
        {"vmin_ge", vec_compare_keep, GE, KEEP_OTHER},
        {"vsub_lt", vec_compare_keep, LT, KEEP_DIFFERENCE},
        {"vsub_ge", vec_compare_keep, GE, KEEP_DIFFERENCE},
        {"vmaxdiff_lt", vec_compare_keep, LT, KEEP_MAX_DIFFERENCE},
        {"vabs_gtz", vec_abs_gtz, 0, 0},
        {"vneg_gtz", vec_neg_gtz, 0, 0},
        {"vbneg_ltz", vec_bneg_ltz, 0, 0},
        {"vshuffle", vec_shuffle, 0, 0},
        {"vbcst", vec_bcst, 0, 0},
        {"vbcstshfl", vec_bcstshfl, 0, 0},
        {"vextbcst", vec_extbcst, 0, 0},
        {"vextract", vec_extract, 0, 0},
        {"vinsert", vec_insert, 0, 0},
    };
    (void)inst;
    if (ts_aie2_insns[op->id].slot != TS_SLOT_MV) return false;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(m->base, table[i].name)) continue;
        const char kind = m->n ? m->part[m->n - 1].kind : 0;
        op->bits = m->n ? m->part[m->n - 1].bits : 32;
        op->sign = kind == 'd' ? 2 : kind == 's' ? 1 : kind == 'b' ? 3 : 0;
        if (table[i].fn == vec_extbcst) op->sign = ts_aie2_insns[op->id].op[2].kind == TS_OP_REG;
        op->bits2 = table[i].what;
        op->shift = table[i].keep;
        op->fn = table[i].fn;
        return true;
    }
    if (!strcmp(m->base, "vpush")) {
        op->bits = m->part[1].bits;
        op->fn = ts_aie2_mnemonic_has(m, "lo") ? vec_push_lo : vec_push_hi;
        return true;
    }
    if (!strcmp(m->base, "vshift")) {
        op->fn = m->n ? vec_shift_align : vec_shift;
        return true;
    }
    return false;
}

bool ts_aie2_bind_convert(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    const char *b = m->base;
    if (!strcmp(b, "vmov")) {
        unsigned from = ts_aie2_regs[inst->v[1]].bytes;
        op->bits = (uint8_t)from;
        op->fn = m->n ? vec_mov_d : from != op->bytes ? vec_mov_q : vec_mov;
        return true;
    }
    bool ups = !strcmp(b, "vups"), srs = !strcmp(b, "vsrs") || !strcmp(b, "vsrsm");
    if (ups || srs || !strcmp(b, "vpack") || !strcmp(b, "vunpack")) {
        bool second = ups || !strcmp(b, "vunpack");
        op->bits = m->part[0].bits;
        op->bits2 = m->part[1].bits;
        op->sign = m->part[second].kind == 'd' ? 2 : 1;
        op->fn = ups ? vec_ups : srs ? vec_srs : second ? vec_unpack : vec_pack;
        return true;
    }
    if (!strcmp(b, "vconv")) op->fn = m->part[0].kind == 'b' ? vec_to_bf16 : vec_to_f32;
    else if (!strcmp(b, "vfloor")) op->fn = vec_floor;
    return op->fn != NULL;
}
