/* ex_mac.c - the vector unit: matrix multiply-accumulate of integers and bfloat16, adds of accumulators.
 *
 * Operands are captured when the bundle issues; the accumulators are read in stage 3, where the work is done, and the
 * result lands in stage 5 (integers) or 6 (floating point). */
#include "aie2/core_int.h"

#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

#define FN(name) static void name(ts_aie2_core *core, const ts_aie2_op *op, const later *now)

typedef uint32_t u32a __attribute__((may_alias));
typedef uint64_t u64a __attribute__((may_alias));

/* op->sign of this family: the terms of the sum and their signs */
enum { HAS_P = 1, HAS_A1 = 2, HAS_A2 = 4, NEG_P = 8, NEG_A1 = 16, NEG_A2 = 32 };

/* The configuration register of a multiply. */
typedef struct config {
    bool zero;                   /* take acc1 as 0 */
    unsigned amode;              /* 0: 32-bit lanes, 1: 64-bit lanes, 2: float */
    unsigned bmode, variant;     /* shape */
    bool sgn_y, sgn_x;           /* s2 and s1 are signed */
    bool shift16;                /* acc1 * 2^16 */
    bool sub0, sub1, sub2;       /* negate the product, acc1, acc2 */
    uint32_t sub_mask;
} config;

static config config_of(uint32_t c) {
    return (config){
        .zero = c & 1,          .amode = c >> 1 & 3,    .bmode = c >> 3 & 3,    .variant = c >> 5 & 7,
        .sgn_y = c >> 8 & 1,    .sgn_x = c >> 9 & 1,    .shift16 = c >> 10 & 1, .sub0 = c >> 11 & 1,
        .sub1 = c >> 12 & 1,    .sub2 = c >> 13 & 1,    .sub_mask = c >> 16 & 0xff,
    };
}

/* The signs of an operation: those of the instruction, turned by the configuration. */
static unsigned signs_of(const ts_aie2_op *op, const config *c) {
    return op->sign ^ (c->sub0 ? NEG_P : 0) ^ (c->sub1 ? NEG_A1 : 0) ^ (c->sub2 ? NEG_A2 : 0);
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

/* Shapes. MATRIX: C[m][n] = sum over k of A[m][k] B[k][n]; all row by row, every element `ch` channels wide.
 * ELEMENT: C[i] = sum over k of A[i + n k] B[i + n k]. CONVOLUTION: C[i] = sum over k of A[i + k] B[k], again `ch`
 * channels wide. COMPLEX: n / 2 complex lanes, k / 2 products of each, C[i] = sum over j of A[i + n/2 j] B[i + n/2
 * j]. */
enum { MATRIX, ELEMENT, CONVOLUTION, COMPLEX };

/* Which bit of the sub mask negates product k of lane i [silicon where a capture has such a mask]:
 *   BY_PARITY 4 (i & 1) + 2 (k & 1) + k / 4      8-bit by 8-bit
 *   BY_FOURTH 4 (i & 1) + 2 (i >> 1 & 1) + 2 k / K   16-bit into 32-bit lanes: two bits for each of four lanes
 *   BY_TERM   4 (i & 1) + k                      16-bit into 64-bit lanes
 *   BY_HALF   the same for 32-bit by 16-bit, where k + 2 is for the upper half of A [doc]
 *   UNKNOWN   only masks of all zeros or all ones can be modelled */
enum { BY_PARITY, BY_FOURTH, BY_TERM, BY_HALF, UNKNOWN };

typedef struct shape {
    uint8_t amode, bmode, variant, kind;
    uint8_t m, k, n, ch, bits_x, bits_y, sub;
} shape;
static const shape SHAPES[] = {
    {0, 0, 0, MATRIX, 4, 16, 8, 1, 8, 4, UNKNOWN},        {0, 1, 0, MATRIX, 4, 8, 8, 1, 8, 8, BY_PARITY},
    {0, 1, 1, ELEMENT, 1, 2, 32, 1, 8, 8, BY_PARITY},     {0, 1, 2, CONVOLUTION, 1, 4, 4, 8, 8, 8, UNKNOWN},
    {0, 1, 3, CONVOLUTION, 1, 8, 8, 4, 8, 8, BY_PARITY},  {0, 1, 4, CONVOLUTION, 1, 8, 32, 1, 8, 8, BY_PARITY},
    {0, 2, 0, MATRIX, 4, 4, 8, 1, 16, 8, BY_FOURTH},      {0, 2, 1, MATRIX, 4, 4, 4, 2, 16, 8, BY_FOURTH},
    {0, 3, 0, MATRIX, 4, 2, 8, 1, 16, 16, BY_FOURTH},     {0, 3, 1, ELEMENT, 1, 1, 32, 1, 16, 16, BY_FOURTH},
    {1, 0, 0, MATRIX, 4, 2, 4, 1, 32, 16, BY_HALF},       {1, 0, 1, COMPLEX, 1, 2, 16, 1, 32, 16, BY_HALF},
    {1, 2, 0, MATRIX, 2, 8, 8, 1, 16, 8, UNKNOWN},        {1, 2, 1, MATRIX, 4, 8, 4, 1, 16, 8, UNKNOWN},
    {1, 3, 0, MATRIX, 2, 4, 8, 1, 16, 16, BY_TERM},       {1, 3, 1, MATRIX, 4, 4, 4, 1, 16, 16, BY_TERM},
    {1, 3, 2, ELEMENT, 1, 2, 16, 1, 16, 16, BY_TERM},     {1, 3, 3, CONVOLUTION, 1, 4, 16, 1, 16, 16, BY_TERM},
    {1, 3, 4, COMPLEX, 1, 4, 16, 1, 16, 16, BY_TERM},
};

/* bmode 1 with 64-bit lanes is another name for 3 [silicon: variants 0, 1, 2]. */
static const shape *shape_of(const config *c) {
    unsigned bmode = c->amode == 1 && c->bmode == 1 ? 3 : c->bmode;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (SHAPES[i].amode == c->amode && SHAPES[i].bmode == bmode && SHAPES[i].variant == c->variant)
            return &SHAPES[i];
    return NULL;
}

/* The bit of the sub mask for product k of lane i. */
static unsigned sub_bit(const shape *s, unsigned i, unsigned k) {
    switch (s->sub) {
    case BY_PARITY: return 4 * (i & 1) + (s->kind == ELEMENT ? 0 : 2 * (k & 1) + k / 4);
    case BY_FOURTH: return 2 * (i & 3) + 2 * k / s->k;
    default: return 4 * (i & 1) + (s->sub == UNKNOWN ? 0 : k);
    }
}

/* Whether the model knows what the mask negates. */
static bool sub_known(const shape *s, unsigned mask) {
    if (s->sub == UNKNOWN) return mask == 0 || mask == 0xff;
    return s->sub != BY_HALF || (mask >> 2 & 0x33) == (mask & 0x33);
}

static int64_t element(const uint8_t *p, unsigned bits, unsigned i, bool is_signed) {
    uint64_t v = 0;
    if (bits == 4) v = p[i / 2] >> 4 * (i & 1) & 15;
    else memcpy(&v, p + (size_t)i * bits / 8, bits / 8);
    return is_signed ? (int64_t)(v << (64 - bits)) >> (64 - bits) : (int64_t)v;
}

/* The same for the bfloat16 shapes: 4x8x4 matrices (variant 0), 16 lanes with two channels (variant 1); the bit of
 * the sub mask is 4 (i & 1) + (k & 3) [silicon]. */
static void float_factors(const config *c, unsigned i, unsigned k, unsigned *ix, unsigned *iy) {
    *ix = c->variant ? 16 * k + i : 8 * (i / 4) + k;
    *iy = c->variant ? 16 * k + i : 4 * k + i % 4;
}

static bool float_sub(const config *c, unsigned i, unsigned k) {
    return c->sub_mask >> (4 * (i & 1) + (k & 3)) & 1;
}

/* The elements that product k of lane i multiplies. */
static void factors(const shape *s, unsigned i, unsigned k, unsigned *ix, unsigned *iy) {
    unsigned lane = i / s->ch, channel = i % s->ch;
    switch (s->kind) {
    case MATRIX:
        *ix = (lane / s->n * s->k + k) * s->ch + channel;
        *iy = (k * s->n + lane % s->n) * s->ch + channel;
        break;
    case ELEMENT: *ix = *iy = i + k * s->n; break;
    case CONVOLUTION:
        *ix = (lane + k) * s->ch + channel;
        *iy = k * s->ch + channel;
        break;
    default: /* complex: real lanes are re re, im im; imaginary ones re im, im re */
        *ix = (i / 2 + k / 2 * (s->n / 2)) * 2 + k % 2;
        *iy = *ix ^ (i & 1);
        break;
    }
}

static void products(int64_t out[32], const shape *s, const config *c, const uint8_t *x, const uint8_t *y) {
    for (unsigned i = 0; i < (unsigned)s->m * s->n * s->ch; i++) {
        uint64_t sum = 0;
        for (unsigned k = 0; k < s->k; k++) {
            unsigned ix, iy;
            factors(s, i, k, &ix, &iy);
            uint64_t p = (uint64_t)(element(x, s->bits_x, ix, c->sgn_x) * element(y, s->bits_y, iy, c->sgn_y));
            sum += c->sub_mask >> sub_bit(s, i, k) & 1 ? 0 - p : p;
        }
        out[i] = (int64_t)sum;
    }
}

/* An integer instruction with a floating-point code (amode 2 or 3) multiplies the lower bytes of the bfloat16s,
 * unsigned, keeps 14 bits of each product, and adds them to the lower 16 lanes only [silicon: all 27 captures]. */
static void byte_products(int64_t out[32], const config *c, unsigned signs, const uint8_t *x, const uint8_t *y) {
    for (unsigned i = 0; i < 16; i++)
        for (unsigned k = 0; k < (c->variant ? 2u : 8u); k++) {
            unsigned ix, iy;
            float_factors(c, i, k, &ix, &iy);
            int p = x[2 * ix] * y[2 * iy];
            if (!!(signs & NEG_P) != float_sub(c, i, k)) p = -p;
            out[i] += (int32_t)((uint32_t)p << 18) >> 18;
        }
}

/* out = +-acc1 +- acc2 +- p, in lanes of 32 or 64 bits that wrap */
static void combine(uint8_t *out, const uint8_t *a1, const uint8_t *a2, const int64_t *p, unsigned signs,
                    const config *c) {
    bool wide = c->amode == 1;
    for (unsigned i = 0; i < (wide ? 16u : 32u); i++) {
        uint64_t v = 0, x1 = 0, x2 = 0;
        if (a1) x1 = wide ? ((const u64a *)a1)[i] : ((const u32a *)a1)[i];
        if (a2) x2 = wide ? ((const u64a *)a2)[i] : ((const u32a *)a2)[i];
        if (c->shift16) x1 <<= 16;
        v += signs & NEG_A1 ? 0 - x1 : x1;
        v += signs & NEG_A2 ? 0 - x2 : x2;
        v += signs & NEG_P ? 0 - (uint64_t)p[i] : (uint64_t)p[i];
        if (wide) ((u64a *)out)[i] = v;
        else ((u32a *)out)[i] = (uint32_t)v;
    }
}

/* 8-bit 4x8x8, signed by signed, the shape of quantised weights: out = acc + A B. Everything else goes through the
 * general code, and tests compare the two. */
#if defined(__SSE2__)
static inline __m128i load128(const void *p) {
    return _mm_loadu_si128(p);
}
static void mac_8x8(void *out, const void *acc, const uint8_t *a, const uint8_t *b) {
    /* rows k and k + 1 of B interleaved and widened: one multiply-add does two k of four columns */
    __m128i pair[4][2], zero = _mm_setzero_si128();
    for (int k = 0; k < 4; k++) {
        __m128i rows = load128(b + 16 * k), both = _mm_unpacklo_epi8(rows, _mm_srli_si128(rows, 8));
        __m128i sign = _mm_cmpgt_epi8(zero, both);
        pair[k][0] = _mm_unpacklo_epi8(both, sign);
        pair[k][1] = _mm_unpackhi_epi8(both, sign);
    }
    for (int m = 0; m < 4; m++) {
        __m128i row = _mm_loadl_epi64((const void *)(a + 8 * m));
        row = _mm_unpacklo_epi8(row, _mm_cmpgt_epi8(zero, row)); /* A[m][0..7], 16 bits each */
        __m128i k0 = _mm_shuffle_epi32(row, 0x00), k1 = _mm_shuffle_epi32(row, 0x55);
        __m128i k2 = _mm_shuffle_epi32(row, 0xaa), k3 = _mm_shuffle_epi32(row, 0xff);
        for (int h = 0; h < 2; h++) {
            __m128i s = _mm_add_epi32(_mm_madd_epi16(k0, pair[0][h]), _mm_madd_epi16(k1, pair[1][h]));
            __m128i t = _mm_add_epi32(_mm_madd_epi16(k2, pair[2][h]), _mm_madd_epi16(k3, pair[3][h]));
            size_t at = 32 * (size_t)m + 16 * (size_t)h;
            s = _mm_add_epi32(_mm_add_epi32(s, t), load128((const uint8_t *)acc + at));
            _mm_storeu_si128((void *)((uint8_t *)out + at), s);
        }
    }
}
#else
static void mac_8x8(void *out, const void *acc, const uint8_t *a, const uint8_t *b) {
    for (int m = 0; m < 4; m++)
        for (int n = 0; n < 8; n++) {
            uint32_t sum = ((const u32a *)acc)[8 * m + n];
            for (int k = 0; k < 8; k++) sum += (uint32_t)((int8_t)a[8 * m + k] * (int8_t)b[8 * k + n]);
            ((u32a *)out)[8 * m + n] = sum;
        }
}
#endif

enum { FAST_CONF = 0x308 };

static void not_modelled(ts_aie2_core *core, const ts_aie2_op *op, const later *now) {
    ts_aie2_fail(core, "%s with configuration 0x%x is not modelled", ts_aie2_insns[op->id].name, now->a);
}

FN(mac_int) {
    if (now->a == FAST_CONF && op->sign == (HAS_P | HAS_A1)) {
        ts_aie2_note_read(core, op->r[1], 128);
        const uint8_t *acc = get_vec(core, TS_BYP_VEC, op->r[1], 128);
        mac_8x8(put_vec(core, op->lat - 2u, op->r[0], 128, TS_BYP_VEC), acc, now->v.b, now->v.b + 64);
        return;
    }
    config c = config_of(now->a);
    unsigned signs = signs_of(op, &c);
    const uint8_t *a1 = NULL, *a2 = NULL;
    if (op->sign & HAS_A1 && !c.zero) {
        ts_aie2_note_read(core, op->r[1], 128);
        a1 = get_vec(core, TS_BYP_VEC, op->r[1], 128);
    }
    if (op->sign & HAS_A2) {
        ts_aie2_note_read(core, op->r[2], 128);
        a2 = get_vec(core, TS_BYP_VEC, op->r[2], 128);
    }
    uint8_t *out = put_vec(core, op->lat - 2u, op->r[0], 128, TS_BYP_VEC);
    int64_t p[32] = {0};
    /* a code that stands for no dense shape multiplies nothing, the accumulators are added as ever [silicon] */
    const shape *s = op->sign & HAS_P ? shape_of(&c) : NULL;
    if (s && !sub_known(s, c.sub_mask)) {
        not_modelled(core, op, now);
        return;
    }
    if (s) products(p, s, &c, now->v.b, now->v.b + 64);
    if (op->sign & HAS_P && c.amode >= 2 && c.variant < 2) {
        byte_products(p, &c, signs, now->v.b, now->v.b + 64);
        signs &= ~(unsigned)NEG_P;
    }
    combine(out, a1, a2, p, signs, &c);
}

/* ---- floating point ---------------------------------------------------------------------------------------------- */

/* One term of a sum: mantissa * 2^exp in the unit's own scale, where a float of exponent field e has e + 128 and a
 * product of bfloat16 fields ea, eb has ea + eb + 1; mantissas are lined up so that bit 23 is the leading one. */
typedef struct term {
    int64_t man;
    int exp; /* 0: a true zero */
} term;

typedef struct special {
    bool nan, pos_inf, neg_inf;
} special;

static term product_term(uint16_t a, uint16_t b, bool negate, special *sp) {
    int ea = a >> 7 & 255, eb = b >> 7 & 255, ma = a & 127, mb = b & 127;
    bool neg = ((a ^ b) >> 15 & 1) != negate;
    bool zero = (!ea && !ma) || (!eb && !mb);
    if (ea == 255 || eb == 255) {
        if ((ea == 255 && ma) || (eb == 255 && mb) || zero) sp->nan = true;
        else if (neg) sp->neg_inf = true;
        else sp->pos_inf = true;
    }
    if (zero) return (term){0, 0};
    ma |= ea ? 128 : 0;
    mb |= eb ? 128 : 0;
    int64_t man = (int64_t)(ma * mb) << 9;
    return (term){neg ? -man : man, (ea ? ea : 1) + (eb ? eb : 1) + 1};
}

static term float_term(uint32_t f, bool negate, special *sp) {
    int e = f >> 23 & 255;
    int64_t man = f & 0x7fffff;
    bool neg = (f >> 31) != negate;
    if (e == 255) {
        if (man) sp->nan = true;
        else if (neg) sp->neg_inf = true;
        else sp->pos_inf = true;
    }
    if (!e && !man) return (term){0, 0};
    if (e) man |= 0x800000;
    return (term){neg ? -man : man, (e ? e : 1) + 128};
}

/* man / 2^shift to the nearest, ties to even. */
static int64_t round_even(int64_t man, int shift) {
    if (shift <= 0) return man;
    if (shift > 40) return 0;
    int64_t q = man >> shift, rest = man & (((int64_t)1 << shift) - 1), half = (int64_t)1 << (shift - 1);
    return q + (rest > half || (rest == half && q & 1));
}

/* All terms are brought to the largest exponent and rounded there one by one, added exactly, and normalised with a
 * second rounding. A result that is no normal number is +0 (less than the smallest) or an infinity. The mantissas of
 * NaN and infinity take part like any others: what they leave in the result's mantissa, with bit 0 set, is the
 * payload of a NaN [silicon: all 640 NaN lanes of the overflow captures]. */
static uint32_t float_sum(const term *t, unsigned n, const special *sp) {
    int top = 0;
    int64_t sum = 0;
    bool nan = sp->nan || (sp->pos_inf && sp->neg_inf);
    if (!nan && (sp->pos_inf || sp->neg_inf)) return sp->neg_inf ? 0xff800000 : 0x7f800000;
    for (unsigned i = 0; i < n; i++)
        if (t[i].exp > top) top = t[i].exp;
    for (unsigned i = 0; i < n; i++)
        if (t[i].exp) sum += round_even(t[i].man, top - t[i].exp);
    if (!sum) return nan ? 0x7f800001 : 0;
    uint32_t sign = sum < 0 ? 0x80000000u : 0;
    int64_t man = sum < 0 ? -sum : sum;
    int lead = 63 - __builtin_clzll((unsigned long long)man);
    if (lead > 23) {
        man = round_even(man, lead - 23);
        if (man >> 24) man >>= 1, lead++;
    } else {
        man <<= 23 - lead;
    }
    int exp = top + lead - 23 - 128;
    bool normal = exp > 0 && exp < 255;
    if (nan) return sign | 0x7f800001 | (normal ? (uint32_t)(man & 0x7fffff) : 0);
    if (!normal) return exp <= 0 ? 0 : sign | 0x7f800000;
    return sign | (uint32_t)exp << 23 | (uint32_t)(man & 0x7fffff);
}

/* 16 lanes of up to 8 products: 4x8x4 matrices (variant 0), or lane by lane with two channels (variant 1) */
FN(mac_float) {
    config c = config_of(now->a);
    unsigned signs = signs_of(op, &c), n_products = 0;
    const uint8_t *a1 = NULL, *a2 = NULL;
    if (op->sign & HAS_A1 && !c.zero) {
        ts_aie2_note_read(core, op->r[1], 64);
        a1 = get_vec(core, TS_BYP_NONE, op->r[1], 64);
    }
    if (op->sign & HAS_A2) {
        ts_aie2_note_read(core, op->r[2], 64);
        a2 = get_vec(core, TS_BYP_NONE, op->r[2], 64);
    }
    if (op->sign & HAS_P && c.amode >= 2 && c.variant < 2) n_products = c.variant ? 2 : 8;
    if (c.shift16 && a1 && (c.amode == 1 || (op->sign & HAS_P && shape_of(&c)))) {
        not_modelled(core, op, now); /* integer codes multiply nothing, but what their shift gives is not understood */
        return;
    }
    const uint8_t *x = now->v.b, *y = now->v.b + 64;
    uint8_t *out = put_vec(core, op->lat - 2u, op->r[0], 64, TS_BYP_NONE);
    for (unsigned i = 0; i < 16; i++) {
        term t[10];
        special sp = {0};
        unsigned n = 0;
        for (unsigned k = 0; k < n_products; k++) {
            unsigned ix, iy;
            uint16_t a, b;
            float_factors(&c, i, k, &ix, &iy);
            memcpy(&a, x + 2 * ix, 2);
            memcpy(&b, y + 2 * iy, 2);
            t[n++] = product_term(a, b, !!(signs & NEG_P) != float_sub(&c, i, k), &sp);
        }
        uint32_t x1 = a1 ? ((const u32a *)a1)[i] : 0;
        if (c.shift16) x1 <<= 16; /* of the bits, whatever number they are [silicon] */
        if (a1) t[n++] = float_term(x1, signs & NEG_A1, &sp);
        if (a2) t[n++] = float_term(((const u32a *)a2)[i], signs & NEG_A2, &sp);
        ((u32a *)out)[i] = float_sum(t, n, &sp);
    }
}

/* ---- issue ------------------------------------------------------------------------------------------------------- */

FN(mac_issue) {
    (void)now;
    later *l = put_later(core, 3, op->bits ? mac_float : mac_int, op);
    l->a = get32(core, op->r[5]);
    if (op->sign & HAS_P) {
        memcpy(l->v.b, core->rf + op->r[3], 64);
        memcpy(l->v.b + 64, core->rf + op->r[4], 64);
    }
}

FN(acc_clear) {
    (void)now;
    memset(put_vec(core, op->lat, op->r[0], op->bytes, op->byp_out), 0, op->bytes);
}

bool ts_aie2_bind_mac(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m) {
    static const struct {
        const char *name;
        uint8_t terms;
    } table[] = {
        {"vmac", HAS_P | HAS_A1},
        {"vmsc", HAS_P | HAS_A1 | NEG_P},
        {"vmul", HAS_P},
        {"vnegmul", HAS_P | NEG_P},
        {"vnegmac", HAS_P | HAS_A1 | NEG_P | NEG_A1},
        {"vnegmsc", HAS_P | HAS_A1 | NEG_A1},
        {"vaddmac", HAS_P | HAS_A1 | HAS_A2},
        {"vsubmac", HAS_P | HAS_A1 | HAS_A2 | NEG_A2},
        {"vaddmsc", HAS_P | HAS_A1 | HAS_A2 | NEG_P},
        {"vsubmsc", HAS_P | HAS_A1 | HAS_A2 | NEG_P | NEG_A2},
        {"vadd", HAS_A1 | HAS_A2},
        {"vsub", HAS_A1 | HAS_A2 | NEG_A2},
        {"vnegsub", HAS_A1 | HAS_A2 | NEG_A1},
        {"vnegadd", HAS_A1 | HAS_A2 | NEG_A1 | NEG_A2},
        {"vneg", HAS_A1 | NEG_A1},
    };
    const ts_aie2_insninfo *info = &ts_aie2_insns[op->id];
    if (info->slot != TS_SLOT_VEC) return false;
    if (!strcmp(m->base, "vclr")) {
        op->fn = acc_clear;
        return true;
    }
    (void)inst;
    for (int i = 0; i < info->n_ops; i++)
        if (info->op[i].cls == TS_C_mQQXw) return false; /* sparse */
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        if (strcmp(m->base, table[t].name)) continue;
        op->sign = table[t].terms;
        op->bits = ts_aie2_mnemonic_has(m, "f");
        op->fn = mac_issue;
        /* operands in one order: result, acc1, acc2, s1, s2, configuration */
        uint16_t r[TS_MAX_OPERANDS];
        int i = 0;
        memcpy(r, op->r, sizeof r);
        bool tied = info->op[0].role == TS_ROLE_BOTH;
        op->r[0] = r[i++];
        if (op->sign & HAS_A1) op->r[1] = tied ? r[0] : r[i++];
        if (op->sign & HAS_A2) op->r[2] = r[i++];
        if (op->sign & HAS_P) {
            op->r[3] = r[i++];
            op->r[4] = r[i++];
        }
        op->r[5] = r[i];
        return true;
    }
    return false;
}
