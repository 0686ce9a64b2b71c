/* gemm_q_avx512vnni.c - quantised linear layers for Ice Lake, Zen 4 and later. Specification: kern/kern.h.
 *
 * A zmm register holds one 4-byte word of 16 output rows: vpdpbusd multiplies its unsigned bytes with four activations,
 * broadcast from memory, and adds into one int32 per row. Weights become unsigned by an offset (8, 16, 32, 128) whose
 * share, offset * sum(x), is known before: it starts the accumulator. A tile is 16 rows x 1..16 tokens; the words of a
 * 32-element chunk are unpacked once into 8 registers and used for all tokens of the tile. */
#include "format/quant.h"
#include "kern/fmath.h"
#include "kern/kern.h"

#include <immintrin.h>

#define INL static inline __attribute__((always_inline))
/* Loops over tokens and words have constant bounds and must become straight code, or the registers become memory. */
#if defined(__clang__)
#    define UNROLL    _Pragma("clang loop unroll(full)")
#    define NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#    define UNROLL    _Pragma("GCC unroll 16")
#    define NO_UNROLL _Pragma("GCC unroll 1")
#endif

INL __m512i load(const uint8_t *p, int word) {
    return _mm512_loadu_si512(p + 64 * word);
}

INL __m512i bytes(int v) {
    return _mm512_set1_epi8((char)v);
}

/* Every byte >> n (n < 0: << -n) as far as the mask that follows lets it be seen: a rotation of 32-bit lanes, whose
 * count need not be a constant. */
INL __m512i shift(__m512i x, int n) {
    return _mm512_rorv_epi32(x, _mm512_set1_epi32(n & 31));
}

INL __m512i field(__m512i x, int n, int mask) {
    return _mm512_and_si512(shift(x, n), bytes(mask));
}

/* low | (high >> n & mask), the logic in one ternary operation */
INL __m512i with_high(__m512i low, __m512i high, int n, int mask) {
    return _mm512_ternarylogic_epi32(low, shift(high, n), bytes(mask), 0xf8); /* a | (b & c) */
}

/* The 16 values as unsigned bytes, once in every 128-bit lane, for a byte shuffle. */
INL __m512i lookup(const int8_t values[16], int offset) {
    __m128i v = _mm_loadu_si128((const __m128i *)values);
    return _mm512_broadcast_i32x4(_mm_add_epi8(v, _mm_set1_epi8((char)offset)));
}

/* The unsigned weights of chunk c (32 elements; words 0..7) of the block whose words begin at `p`. `table` is for the
 * types with a table of values. */
INL void unpack(ts_dtype type, const uint8_t *p, int c, __m512i table, __m512i w[8]) {
    switch (type) {
    case TS_Q4_0:
    case TS_Q4_1:
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = field(load(p, g), 0, 15);
            w[g + 4] = field(load(p, g), 4, 15);
        }
        break;
    case TS_Q5_0:
    case TS_Q5_1: {
        __m512i h = load(p, 4);
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = with_high(field(load(p, g), 0, 15), h, g - 4, 16);
            w[g + 4] = with_high(field(load(p, g), 4, 15), h, g, 16);
        }
        break;
    }
    case TS_Q8_0:
        UNROLL for (int g = 0; g < 8; g++) w[g] = load(p, g);
        break;
    case TS_IQ4_NL:
    case TS_MXFP4:
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = _mm512_shuffle_epi8(table, field(load(p, g), 0, 15));
            w[g + 4] = _mm512_shuffle_epi8(table, field(load(p, g), 4, 15));
        }
        break;
    case TS_IQ4_XS:
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = _mm512_shuffle_epi8(table, field(load(p, 4 * c + g), 0, 15));
            w[g + 4] = _mm512_shuffle_epi8(table, field(load(p, 4 * c + g), 4, 15));
        }
        break;
    case TS_Q2_K:
        UNROLL for (int g = 0; g < 8; g++) w[g] = field(load(p, c / 4 * 8 + g), 2 * (c % 4), 3);
        break;
    case TS_Q3_K:
        UNROLL for (int g = 0; g < 8; g++)
            w[g] = with_high(field(load(p, c / 4 * 8 + g), 2 * (c % 4), 3), load(p, 16 + g), c - 2, 4);
        break;
    case TS_Q4_K:
        UNROLL for (int g = 0; g < 8; g++) w[g] = field(load(p, c / 2 * 8 + g), 4 * (c % 2), 15);
        break;
    case TS_Q5_K:
        UNROLL for (int g = 0; g < 8; g++)
            w[g] = with_high(field(load(p, c / 2 * 8 + g), 4 * (c % 2), 15), load(p, 32 + g), c - 4, 16);
        break;
    case TS_Q6_K:
        UNROLL for (int g = 0; g < 8; g++)
            w[g] = with_high(field(load(p, c / 4 * 16 + c % 2 * 8 + g), c % 4 / 2 * 4, 15),
                             load(p, 32 + c / 4 * 8 + g), 2 * (c % 4) - 4, 48);
        break;
    default: break;
    }
}

INL __m512i table_of(ts_dtype type) {
    if (type == TS_IQ4_NL || type == TS_IQ4_XS) return lookup(ts_iq4_nl_values, 128);
    if (type == TS_MXFP4) return lookup(ts_mxfp4_values, 16);
    return _mm512_setzero_si512();
}

INL __m512 load_f16(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* The 16 rows' d of a block's head. */
INL __m512 scale_of(ts_dtype type, const uint8_t *head) {
    if (type != TS_MXFP4) return load_f16(head);
    /* 2^(e-128): exponent field e - 1 for e >= 2; e = 0 and 1 are the denormals 2^-128 and 2^-127 */
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)head));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2)), tiny));
}

INL __m512i bcast(const void *p) {
    int v;
    __builtin_memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

INL __m512 bcast_ps(const float *p) {
    return _mm512_set1_ps(*p);
}

/* dot[i] += sum over words [g0, g1) of w * x of token i, four tokens side by side to hide the latency. A lone token
 * uses two chains. x: int8 [8][width][4] of the chunk, token 0 of the tile. */
INL void dots(int n, int width, const int8_t *x, const __m512i w[8], int g0, int g1, __m512i dot[4]) {
    if (n == 1) {
        __m512i odd = _mm512_setzero_si512();
        UNROLL for (int g = g0; g < g1; g += 2) {
            dot[0] = _mm512_dpbusd_epi32(dot[0], w[g], bcast(x + g * width * 4));
            odd = _mm512_dpbusd_epi32(odd, w[g + 1], bcast(x + (g + 1) * width * 4));
        }
        dot[0] = _mm512_add_epi32(dot[0], odd);
        return;
    }
    UNROLL for (int g = g0; g < g1; g++)
        UNROLL for (int i = 0; i < n; i++) dot[i] = _mm512_dpbusd_epi32(dot[i], w[g], bcast(x + (g * width + i) * 4));
}

INL void store(const ts_qmat *w, uint32_t g, float *y, __m512 v) {
    uint32_t row = g * TS_GROUP_ROWS, n = w->n_rows - row;
    if (n >= TS_GROUP_ROWS)
        _mm512_storeu_ps(y + row, v);
    else
        _mm512_mask_storeu_ps(y + row, (__mmask16)((1u << n) - 1), v);
}

INL bool has_min(ts_dtype type) {
    return type == TS_Q4_1 || type == TS_Q5_1 || type == TS_Q2_K || type == TS_Q4_K || type == TS_Q5_K;
}

INL int offset_bits(ts_dtype type) { /* weights are unsigned minus 2^this; -1: no offset */
    switch (type) {
    case TS_Q3_K: return 2;
    case TS_Q4_0: return 3;
    case TS_Q5_0:
    case TS_MXFP4: return 4;
    case TS_Q6_K: return 5;
    case TS_Q8_0:
    case TS_IQ4_NL:
    case TS_IQ4_XS: return 7;
    default: return -1;
    }
}

/* 16 rows x n tokens of a type with 32-element blocks; n == width, both constant. */
INL void tile32(ts_dtype type, int n, const ts_qmat *w, uint32_t group, const ts_qact *x, uint32_t t, float *y,
                size_t ld_y) {
    const ts_pack_info info = ts_pack_info_of(type);
    const size_t nb = w->n_block;
    const uint8_t *head = w->data + group * w->group_bytes, *words = head + w->head_stride;
    const int8_t *q = x->q32 + (size_t)t * w->n_cols;
    const float *dx = x->d32 + t * nb, *sx = x->s32 + t * nb;
    const int32_t *off = NULL;
    if (offset_bits(type) == 3) off = x->off8 + t * nb;
    if (offset_bits(type) == 4) off = x->off16 + t * nb;
    if (offset_bits(type) == 7) off = x->off128 + t * nb;
    const __m512i table = table_of(type);
    __m512 acc[16];
    UNROLL for (int i = 0; i < n; i++) acc[i] = _mm512_setzero_ps();
    for (size_t b = 0; b < nb; b++, head += info.head_bytes, words += info.main_words * 64) {
        __m512i u[8];
        if (n == 1) _mm_prefetch((const char *)words + 2048, _MM_HINT_T0);
        unpack(type, words, 0, table, u);
        __m512 d = scale_of(type, head), m = has_min(type) ? load_f16(head + 32) : d;
        UNROLL for (int i0 = 0; i0 < n; i0 += 4) {
            const int k = n < 4 ? n : 4;
            __m512i dot[4];
            UNROLL for (int i = 0; i < k; i++) dot[i] = off ? bcast(off + b * n + i0 + i) : _mm512_setzero_si512();
            dots(k, n, q + b * n * 32 + i0 * 4, u, 0, 8, dot);
            UNROLL for (int i = 0; i < k; i++) {
                __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[i]), bcast_ps(dx + b * n + i0 + i));
                acc[i0 + i] = _mm512_fmadd_ps(v, d, acc[i0 + i]);
                if (has_min(type)) acc[i0 + i] = _mm512_fmadd_ps(bcast_ps(sx + b * n + i0 + i), m, acc[i0 + i]);
            }
        }
    }
    UNROLL for (int i = 0; i < n; i++) store(w, group, y + (t + i) * ld_y, acc[i]);
}

/* Scales and minima of a 256-element block: byte j of word j / 4 belongs to sub-block j (signed or below 128). */
typedef struct scales {
    __m512i s[4], m[4];
} scales;

INL scales sub_scales(ts_dtype type, const uint8_t *head, const uint8_t *words) {
    scales r = {0};
    switch (type) {
    case TS_Q2_K:
        UNROLL for (int i = 0; i < 4; i++) {
            r.s[i] = field(load(words, 16 + i), 0, 15);
            r.m[i] = field(load(words, 16 + i), 4, 15);
        }
        break;
    case TS_Q3_K: { /* low nibbles in words 0 and 1, two high bits each in word 2 */
        __m512i a = load(words, 24), b = load(words, 25), c = load(words, 26), bias = bytes(32);
        r.s[0] = _mm512_sub_epi8(with_high(field(a, 0, 15), c, -4, 48), bias);
        r.s[1] = _mm512_sub_epi8(with_high(field(b, 0, 15), c, -2, 48), bias);
        r.s[2] = _mm512_sub_epi8(with_high(field(a, 4, 15), c, 0, 48), bias);
        r.s[3] = _mm512_sub_epi8(with_high(field(b, 4, 15), c, 2, 48), bias);
        break;
    }
    case TS_Q4_K:
    case TS_Q5_K: {
        int first = type == TS_Q4_K ? 32 : 40;
        __m512i a = load(words, first), b = load(words, first + 1), c = load(words, first + 2);
        r.s[0] = field(a, 0, 63);
        r.m[0] = field(b, 0, 63);
        r.s[1] = with_high(field(c, 0, 15), a, 2, 48);
        r.m[1] = with_high(field(c, 4, 15), b, 2, 48);
        break;
    }
    case TS_Q6_K:
        UNROLL for (int i = 0; i < 4; i++) r.s[i] = load(words, 48 + i);
        break;
    case TS_IQ4_XS: { /* nibble j of scales_l, bits 2j and 2j + 1 of scales_h */
        __m512i l = load(words, 32), h = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(head + 32)));
        __m512i lo = field(l, 0, 15), hi = field(l, 4, 15); /* sub-blocks 0 2 4 6 and 1 3 5 7 */
        /* spread two bits per sub-block to bits 4, 5 of its byte, even and odd ones apart */
        __m512i one = _mm512_set1_epi32(0x30303030);
        __m512i even = _mm512_or_si512(
            _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi32(h, 4), _mm512_set1_epi32(0x30)),
                            _mm512_and_si512(_mm512_slli_epi32(h, 8), _mm512_set1_epi32(0x3000))),
            _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi32(h, 12), _mm512_set1_epi32(0x300000)),
                            _mm512_and_si512(_mm512_slli_epi32(h, 16), _mm512_set1_epi32(0x30000000))));
        __m512i odd = _mm512_or_si512(
            _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi32(h, 2), _mm512_set1_epi32(0x30)),
                            _mm512_and_si512(_mm512_slli_epi32(h, 6), _mm512_set1_epi32(0x3000))),
            _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi32(h, 10), _mm512_set1_epi32(0x300000)),
                            _mm512_and_si512(_mm512_slli_epi32(h, 14), _mm512_set1_epi32(0x30000000))));
        lo = _mm512_sub_epi8(_mm512_or_si512(lo, _mm512_and_si512(even, one)), bytes(32));
        hi = _mm512_sub_epi8(_mm512_or_si512(hi, _mm512_and_si512(odd, one)), bytes(32));
        /* bytes 0 2 4 6 | 1 3 5 7 -> 0 1 2 3 | 4 5 6 7 */
        __m512i a = _mm512_unpacklo_epi8(lo, hi), b = _mm512_unpackhi_epi8(lo, hi);
        r.s[0] = _mm512_castps_si512(
            _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _MM_SHUFFLE(2, 0, 2, 0)));
        r.s[1] = _mm512_castps_si512(
            _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _MM_SHUFFLE(3, 1, 3, 1)));
        break;
    }
    default: break;
    }
    return r;
}

/* Byte j of every lane, sign-extended. */
INL __m512i scale_at(const scales *s, int j) {
    return _mm512_srai_epi32(shift(s->s[j / 4], 8 * (j % 4) - 24), 24);
}

/* sum over sub-blocks of byte * sum(x): `sums` are the pairs of layout.h of one token. */
INL __m512i weigh(const __m512i *v, int n_words, const uint32_t *sums, int width) {
    __m512i acc = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < n_words; i++) {
        __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(v[i], 8), 8), odd = _mm512_srai_epi16(v[i], 8);
        acc = _mm512_dpwssd_epi32(acc, even, bcast(sums + 2 * i * width));
        acc = _mm512_dpwssd_epi32(acc, odd, bcast(sums + (2 * i + 1) * width));
    }
    return acc;
}

INL int sub_block(ts_dtype type) {
    return type == TS_Q2_K || type == TS_Q3_K || type == TS_Q6_K ? 16 : 32;
}

/* Chunk c of a block for n tokens: isum += scale * dot, per sub-block. q: int8 [8][n][4] of the chunk. */
INL void chunk256(ts_dtype type, int n, int c, const uint8_t *words, __m512i table, const scales *sc, const int8_t *q,
                  __m512i isum[16]) {
    const bool fine = sub_block(type) == 16;
    __m512i u[8];
    unpack(type, words, c, table, u);
    const __m512i s0 = scale_at(sc, fine ? 2 * c : c), s1 = fine ? scale_at(sc, 2 * c + 1) : s0;
    UNROLL for (int i0 = 0; i0 < n; i0 += 4) {
        const int k = n < 4 ? n : 4;
        __m512i dot[4];
        UNROLL for (int i = 0; i < k; i++) dot[i] = _mm512_setzero_si512();
        dots(k, n, q + i0 * 4, u, 0, fine ? 4 : 8, dot);
        UNROLL for (int i = 0; i < k; i++)
            isum[i0 + i] = _mm512_add_epi32(isum[i0 + i], _mm512_mullo_epi32(dot[i], s0));
        if (!fine) continue;
        UNROLL for (int i = 0; i < k; i++) dot[i] = _mm512_setzero_si512();
        dots(k, n, q + i0 * 4, u, 4, 8, dot);
        UNROLL for (int i = 0; i < k; i++)
            isum[i0 + i] = _mm512_add_epi32(isum[i0 + i], _mm512_mullo_epi32(dot[i], s1));
    }
}

/* 16 rows x n tokens of a type with 256-element blocks; n == width, both constant. */
INL void tile256(ts_dtype type, int n, const ts_qmat *w, uint32_t group, const ts_qact *x, uint32_t t, float *y,
                 size_t ld_y) {
    const ts_pack_info info = ts_pack_info_of(type);
    const size_t nb = w->n_block;
    const uint8_t *head = w->data + group * w->group_bytes, *words = head + w->head_stride;
    const int8_t *q = x->q256 + (size_t)t * w->n_cols;
    const float *dx = x->d256 + t * nb;
    const uint32_t *sums = x->sums256 + t * nb * 12;
    const __m512i table = table_of(type);
    const bool fine = sub_block(type) == 16;
    __m512 acc[16];
    UNROLL for (int i = 0; i < n; i++) acc[i] = _mm512_setzero_ps();
    for (size_t b = 0; b < nb; b++, head += info.head_bytes, words += info.main_words * 64) {
        const scales sc = sub_scales(type, head, words);
        __m512i isum[16];
        UNROLL for (int i = 0; i < n; i++) isum[i] = _mm512_setzero_si512();
        if (n == 1) { /* few registers in use: straight code, and the memory ahead is asked for */
            UNROLL for (int c = 0; c < 8; c++) {
                const int lines = (info.main_words + 7) / 8;
                UNROLL for (int i = 0; i < lines; i++)
                    _mm_prefetch((const char *)words + 4096 + 64 * (c * lines + i), _MM_HINT_T0);
                chunk256(type, n, c, words, table, &sc, q + (b * 8 + c) * 32, isum);
            }
        } else {
            NO_UNROLL for (int c = 0; c < 8; c++)
                chunk256(type, n, c, words, table, &sc, q + (b * 8 + c) * n * 32, isum);
        }
        const __m512 d = load_f16(head);
        UNROLL for (int i = 0; i < n; i++) {
            const uint32_t *sum = sums + b * n * 12 + i + (fine ? 4 * n : 0);
            if (offset_bits(type) >= 0) {
                __m512i off = weigh(sc.s, fine ? 4 : 2, sum, n);
                isum[i] = _mm512_sub_epi32(isum[i], _mm512_slli_epi32(off, (unsigned)offset_bits(type)));
            }
            const __m512 dxi = bcast_ps(dx + b * n + i);
            acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(isum[i]), dxi), d, acc[i]);
            if (has_min(type)) {
                __m512 msum = _mm512_cvtepi32_ps(weigh(sc.m, fine ? 4 : 2, sum, n));
                acc[i] = _mm512_fnmadd_ps(_mm512_mul_ps(msum, dxi), load_f16(head + 32), acc[i]);
            }
        }
    }
    UNROLL for (int i = 0; i < n; i++) store(w, group, y + (t + i) * ld_y, acc[i]);
}

#define GEMM(type, tile)                                                                                               \
    static TS_GEMM_Q(gemm_##type) {                                                                                    \
        for (uint32_t g = g0; g < g1; g++)                                                                             \
            for (uint32_t t = t0, n; t < t1; t += n) {                                                                 \
                n = ts_tok_width(n_tok, t);                                                                            \
                switch (n) {                                                                                           \
                case 16: tile(type, 16, w, g, x, t, y, ld_y); break;                                                   \
                case 4: tile(type, 4, w, g, x, t, y, ld_y); break;                                                     \
                default: tile(type, 1, w, g, x, t, y, ld_y); break;                                                    \
                }                                                                                                      \
            }                                                                                                          \
    }
GEMM(TS_Q4_0, tile32)
GEMM(TS_Q4_1, tile32)
GEMM(TS_Q5_0, tile32)
GEMM(TS_Q5_1, tile32)
GEMM(TS_Q8_0, tile32)
GEMM(TS_IQ4_NL, tile32)
GEMM(TS_MXFP4, tile32)
GEMM(TS_Q2_K, tile256)
GEMM(TS_Q3_K, tile256)
GEMM(TS_Q4_K, tile256)
GEMM(TS_Q5_K, tile256)
GEMM(TS_Q6_K, tile256)
GEMM(TS_IQ4_XS, tile256)

/* ---- quantising activations -------------------------------------------------------------------------------------- */

/* 16 activations to integers, as int32; `inv` = 127 / amax. */
INL __m512i quantise(__m512 x, __m512 inv) {
    __m512 v = _mm512_mul_ps(x, inv);
    __mmask16 inf = _mm512_fpclass_ps_mask(x, 0x18);
    v = _mm512_mask_or_ps(v, inf, _mm512_and_ps(x, _mm512_set1_ps(-0.0f)), _mm512_set1_ps(127.0f));
    v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
    v = _mm512_max_ps(_mm512_min_ps(v, _mm512_set1_ps(127.0f)), _mm512_set1_ps(-127.0f));
    return _mm512_cvtps_epi32(v);
}

INL __m512 max_abs(__m512 x, __m512 acc) {
    return _mm512_max_ps(_mm512_abs_ps(x), acc); /* acc where x is NaN */
}

INL float inverse(float amax) {
    return amax > 0 ? 127.0f / amax : 0.0f;
}

static TS_QUANT(quant32) {
    uint32_t first, width, n_block = K / 32;
    ts_tok_block(n_tok, t, &first, &width);
    uint32_t col = t - first;
    int8_t *q = out->q32 + (size_t)first * K + col * 4;
    for (uint32_t b = 0; b < n_block; b++, x += 32) {
        __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
        float amax = _mm512_reduce_max_ps(max_abs(x0, max_abs(x1, _mm512_setzero_ps())));
        __m512 inv = _mm512_set1_ps(inverse(amax));
        __m512i i0 = quantise(x0, inv), i1 = quantise(x1, inv);
        int8_t v[32] __attribute__((aligned(32)));
        _mm_store_si128((__m128i *)v, _mm512_cvtepi32_epi8(i0));
        _mm_store_si128((__m128i *)(v + 16), _mm512_cvtepi32_epi8(i1));
        int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(i0, i1));
        if (width == 1)
            _mm256_storeu_si256((__m256i *)(q + (size_t)b * 32), _mm256_load_si256((const __m256i *)v));
        else
            for (uint32_t i = 0; i < 8; i++) __builtin_memcpy(q + (size_t)(8 * b + i) * width * 4, v + 4 * i, 4);
        size_t at = (size_t)first * n_block + (size_t)b * width + col;
        out->d32[at] = amax / 127.0f;
        out->s32[at] = (float)sum * (amax / 127.0f);
        out->off8[at] = -8 * sum;
        out->off16[at] = -16 * sum;
        out->off128[at] = -128 * sum;
    }
}

static TS_QUANT(quant256) {
    uint32_t first, width, n_block = K / 256;
    ts_tok_block(n_tok, t, &first, &width);
    uint32_t col = t - first;
    int8_t *q = out->q256 + (size_t)first * K + col * 4;
    for (uint32_t b = 0; b < n_block; b++, x += 256) {
        __m512 m = _mm512_setzero_ps();
        for (int i = 0; i < 16; i++) m = max_abs(_mm512_loadu_ps(x + 16 * i), m);
        float amax = _mm512_reduce_max_ps(m);
        __m512 inv = _mm512_set1_ps(inverse(amax));
        int8_t v[256] __attribute__((aligned(64)));
        int sum16[16], sum32[8];
        for (int i = 0; i < 16; i++) {
            __m512i k = quantise(_mm512_loadu_ps(x + 16 * i), inv);
            _mm_store_si128((__m128i *)(v + 16 * i), _mm512_cvtepi32_epi8(k));
            sum16[i] = _mm512_reduce_add_epi32(k);
        }
        for (int i = 0; i < 8; i++) sum32[i] = sum16[2 * i] + sum16[2 * i + 1];
        if (width == 1)
            for (int i = 0; i < 4; i++)
                _mm512_storeu_si512(q + (size_t)b * 256 + 64 * i, _mm512_load_si512(v + 64 * i));
        else
            for (uint32_t i = 0; i < 64; i++) __builtin_memcpy(q + (size_t)(64 * b + i) * width * 4, v + 4 * i, 4);
        out->d256[(size_t)first * n_block + (size_t)b * width + col] = amax / 127.0f;
        uint32_t *sums = out->sums256 + ((size_t)first * n_block + (size_t)b * width) * 12 + col;
        for (int w = 0; w < 12; w++) {
            const int *s = w < 4 ? sum32 + w / 2 * 4 + w % 2 : sum16 + (w - 4) / 2 * 4 + w % 2;
            sums[(size_t)w * width] = (uint32_t)(uint16_t)s[0] | (uint32_t)(uint16_t)s[2] << 16;
        }
    }
}

void ts_kern_init_avx512vnni_q(ts_kern *k) {
    k->gemm_q[TS_Q4_0] = gemm_TS_Q4_0;
    k->gemm_q[TS_Q4_1] = gemm_TS_Q4_1;
    k->gemm_q[TS_Q5_0] = gemm_TS_Q5_0;
    k->gemm_q[TS_Q5_1] = gemm_TS_Q5_1;
    k->gemm_q[TS_Q8_0] = gemm_TS_Q8_0;
    k->gemm_q[TS_IQ4_NL] = gemm_TS_IQ4_NL;
    k->gemm_q[TS_MXFP4] = gemm_TS_MXFP4;
    k->gemm_q[TS_Q2_K] = gemm_TS_Q2_K;
    k->gemm_q[TS_Q3_K] = gemm_TS_Q3_K;
    k->gemm_q[TS_Q4_K] = gemm_TS_Q4_K;
    k->gemm_q[TS_Q5_K] = gemm_TS_Q5_K;
    k->gemm_q[TS_Q6_K] = gemm_TS_Q6_K;
    k->gemm_q[TS_IQ4_XS] = gemm_TS_IQ4_XS;
    k->quant32 = quant32;
    k->quant256 = quant256;
}
