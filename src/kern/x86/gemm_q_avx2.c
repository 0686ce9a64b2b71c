/* gemm_q_avx2.c - quantised linear layers for Haswell, Zen 1 and later. Specification: kern/kern.h.
 *
 * As in gemm_q_avx512vnni.c, but a group of 16 rows is taken in two halves of 8 (one ymm register each) and the 4-way
 * dot product is vpmaddubsw + vpmaddwd. The 16-bit sums of the first must not saturate: unsigned weights stay below 64
 * (64 * 127 * 2 < 2^15); types with 8-bit weights move the sign to the activations instead (128 * 127 * 2 < 2^15). */
#include "format/quant.h"
#include "kern/fmath.h"
#include "kern/kern.h"

#include <immintrin.h>
#include <string.h>

#define INL static inline __attribute__((always_inline))
#if defined(__clang__)
#    define UNROLL _Pragma("clang loop unroll(full)")
#else
#    define UNROLL _Pragma("GCC unroll 16")
#endif

INL __m256i load(const uint8_t *p, int word) {
    return _mm256_loadu_si256((const __m256i *)(p + 64 * word));
}

INL __m256i bytes(int v) {
    return _mm256_set1_epi8((char)v);
}

/* Every byte >> n (n < 0: << -n) & mask; the mask keeps the neighbours' bits out. */
INL __m256i field(__m256i x, int n, int mask) {
    x = n >= 0 ? _mm256_srl_epi16(x, _mm_cvtsi32_si128(n)) : _mm256_sll_epi16(x, _mm_cvtsi32_si128(-n));
    return _mm256_and_si256(x, bytes(mask));
}

INL __m256i with_high(__m256i low, __m256i high, int n, int mask) {
    return _mm256_or_si256(low, field(high, n, mask));
}

/* Weights of 8-bit types are signed here, all others unsigned. */
INL bool is_signed(ts_dtype type) {
    return type == TS_Q8_0 || type == TS_IQ4_NL || type == TS_IQ4_XS;
}

INL __m256i table_of(ts_dtype type) {
    const int8_t *values = type == TS_MXFP4 ? ts_mxfp4_values : ts_iq4_nl_values;
    __m128i v = _mm_loadu_si128((const __m128i *)values);
    if (type == TS_MXFP4) v = _mm_add_epi8(v, _mm_set1_epi8(16));
    return _mm256_broadcastsi128_si256(v);
}

/* The weights of chunk c of the block whose words (of this half) begin at p. */
INL void unpack(ts_dtype type, const uint8_t *p, int c, __m256i table, __m256i w[8]) {
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
        __m256i h = load(p, 4);
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = with_high(field(load(p, g), 0, 15), h, g - 4, 16);
            w[g + 4] = with_high(field(load(p, g), 4, 15), h, g, 16);
        }
        break;
    }
    case TS_Q8_0:
        UNROLL for (int g = 0; g < 8; g++) w[g] = _mm256_xor_si256(load(p, g), bytes(0x80));
        break;
    case TS_IQ4_NL:
    case TS_MXFP4:
    case TS_IQ4_XS: {
        const uint8_t *s = type == TS_IQ4_XS ? p + 256 * c : p;
        UNROLL for (int g = 0; g < 4; g++) {
            w[g] = _mm256_shuffle_epi8(table, field(load(s, g), 0, 15));
            w[g + 4] = _mm256_shuffle_epi8(table, field(load(s, g), 4, 15));
        }
        break;
    }
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

INL __m256 load_f16(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* d of 8 rows; `head` points at the first of them (f16, or exponent bytes for MXFP4). */
INL __m256 scale_of(ts_dtype type, const uint8_t *head) {
    if (type != TS_MXFP4) return load_f16(head);
    /* 2^(e-128): exponent field e - 1 for e >= 2; e = 0 and 1 are the denormals 2^-128 and 2^-127 */
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)head));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

INL __m256i bcast(const void *p) {
    int v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

INL __m256i dot4(ts_dtype type, __m256i acc, __m256i w, __m256i x) {
    __m256i p = is_signed(type) ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                                : _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
}

/* x: int8 [8][width][4] of the chunk, first token of the tile. */
INL void dots(ts_dtype type, int n, int width, const int8_t *x, const __m256i w[8], int g0, int g1, __m256i dot[4]) {
    UNROLL for (int g = g0; g < g1; g++)
        UNROLL for (int i = 0; i < n; i++) dot[i] = dot4(type, dot[i], w[g], bcast(x + (g * width + i) * 4));
}

INL void store(const ts_qmat *w, uint32_t row, float *y, __m256 v) {
    if (row >= w->n_rows) return;
    uint32_t n = w->n_rows - row;
    if (n >= 8) {
        _mm256_storeu_ps(y + row, v);
        return;
    }
    float t[8];
    _mm256_storeu_ps(t, v);
    memcpy(y + row, t, n * sizeof *t);
}

INL bool has_min(ts_dtype type) {
    return type == TS_Q4_1 || type == TS_Q5_1 || type == TS_Q2_K || type == TS_Q4_K || type == TS_Q5_K;
}

INL int offset_bits(ts_dtype type) { /* unsigned weights are too large by 2^this; -1: no offset */
    switch (type) {
    case TS_Q3_K: return 2;
    case TS_Q4_0: return 3;
    case TS_Q5_0:
    case TS_MXFP4: return 4;
    case TS_Q6_K: return 5;
    default: return -1;
    }
}

/* 8 rows (half `h` of the group) x n tokens from column `col` of a token block of `width`; t: its first token. */
INL void tile32(ts_dtype type, int n, int width, const ts_qmat *w, uint32_t group, int h, const ts_qact *x, uint32_t t,
                int col, float *y, size_t ld_y) {
    const ts_pack_info info = ts_pack_info_of(type);
    const size_t nb = w->n_block;
    const uint8_t *head = w->data + group * w->group_bytes, *words = head + w->head_stride + 32 * h;
    head += h * (type == TS_MXFP4 ? 8 : 16);
    const int8_t *q = x->q32 + (size_t)t * w->n_cols + col * 4;
    const float *dx = x->d32 + t * nb + col, *sx = x->s32 + t * nb + col;
    const int32_t *off = offset_bits(type) == 3 ? x->off8 + t * nb + col : x->off16 + t * nb + col;
    const __m256i table = table_of(type);
    __m256 acc[4];
    UNROLL for (int i = 0; i < n; i++) acc[i] = _mm256_setzero_ps();
    for (size_t b = 0; b < nb; b++, head += info.head_bytes, words += info.main_words * 64) {
        __m256i u[8], dot[4];
        unpack(type, words, 0, table, u);
        __m256 d = scale_of(type, head), m = has_min(type) ? load_f16(head + 32) : d;
        UNROLL for (int i = 0; i < n; i++)
            dot[i] = offset_bits(type) >= 0 ? bcast(off + b * width + i) : _mm256_setzero_si256();
        dots(type, n, width, q + b * width * 32, u, 0, 8, dot);
        UNROLL for (int i = 0; i < n; i++) {
            __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[i]), _mm256_set1_ps(dx[b * width + i]));
            acc[i] = _mm256_fmadd_ps(v, d, acc[i]);
            if (has_min(type)) acc[i] = _mm256_fmadd_ps(_mm256_set1_ps(sx[b * width + i]), m, acc[i]);
        }
    }
    UNROLL for (int i = 0; i < n; i++)
        store(w, group * TS_GROUP_ROWS + 8 * h, y + (t + col + i) * ld_y, acc[i]);
}

/* Byte j of word j / 4 belongs to sub-block j (signed, or below 128). */
typedef struct scales {
    __m256i s[4], m[4];
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
        __m256i a = load(words, 24), b = load(words, 25), c = load(words, 26), bias = bytes(32);
        r.s[0] = _mm256_sub_epi8(with_high(field(a, 0, 15), c, -4, 48), bias);
        r.s[1] = _mm256_sub_epi8(with_high(field(b, 0, 15), c, -2, 48), bias);
        r.s[2] = _mm256_sub_epi8(with_high(field(a, 4, 15), c, 0, 48), bias);
        r.s[3] = _mm256_sub_epi8(with_high(field(b, 4, 15), c, 2, 48), bias);
        break;
    }
    case TS_Q4_K:
    case TS_Q5_K: {
        int first = type == TS_Q4_K ? 32 : 40;
        __m256i a = load(words, first), b = load(words, first + 1), c = load(words, first + 2);
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
        __m256i l = load(words, 32), h = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(head + 32)));
        __m256i out[2];
        UNROLL for (int half = 0; half < 2; half++) {
            __m256i v = _mm256_setzero_si256();
            UNROLL for (int i = 0; i < 4; i++) {
                int j = 4 * half + i;
                __m256i low = _mm256_and_si256(_mm256_srli_epi32(l, 4 * j), _mm256_set1_epi32(15));
                __m256i high = _mm256_and_si256(_mm256_srli_epi32(h, 2 * j), _mm256_set1_epi32(3));
                __m256i s = _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
                v = _mm256_or_si256(v, _mm256_slli_epi32(s, 8 * i));
            }
            out[half] = _mm256_sub_epi8(v, bytes(32));
        }
        r.s[0] = out[0];
        r.s[1] = out[1];
        break;
    }
    default: break;
    }
    return r;
}

INL __m256i scale_at(const scales *s, int j) {
    return _mm256_srai_epi32(_mm256_sll_epi32(s->s[j / 4], _mm_cvtsi32_si128(24 - 8 * (j % 4))), 24);
}

/* sum over sub-blocks of byte * sum(x): `sums` are the pairs of layout.h of one token. */
INL __m256i weigh(const __m256i *v, int n_words, const uint32_t *sums, int width) {
    __m256i acc = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < n_words; i++) {
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(v[i], 8), 8), odd = _mm256_srai_epi16(v[i], 8);
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, bcast(sums + 2 * i * width)));
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(odd, bcast(sums + (2 * i + 1) * width)));
    }
    return acc;
}

INL int sub_block(ts_dtype type) {
    return type == TS_Q2_K || type == TS_Q3_K || type == TS_Q6_K ? 16 : 32;
}

INL void tile256(ts_dtype type, int n, int width, const ts_qmat *w, uint32_t group, int h, const ts_qact *x, uint32_t t,
                 int col, float *y, size_t ld_y) {
    const ts_pack_info info = ts_pack_info_of(type);
    const size_t nb = w->n_block;
    const uint8_t *head = w->data + group * w->group_bytes + 16 * h;
    const uint8_t *words = w->data + group * w->group_bytes + w->head_stride + 32 * h;
    const int8_t *q = x->q256 + (size_t)t * w->n_cols + col * 4;
    const float *dx = x->d256 + t * nb + col;
    const uint32_t *sums = x->sums256 + t * nb * 12 + col;
    const __m256i table = table_of(type);
    const bool fine = sub_block(type) == 16;
    __m256 acc[4];
    UNROLL for (int i = 0; i < n; i++) acc[i] = _mm256_setzero_ps();
    for (size_t b = 0; b < nb; b++, head += info.head_bytes, words += info.main_words * 64) {
        const scales sc = sub_scales(type, head, words);
        __m256i isum[4];
        UNROLL for (int i = 0; i < n; i++) isum[i] = _mm256_setzero_si256();
        for (int c = 0; c < 8; c++) {
            __m256i u[8], dot[4];
            unpack(type, words, c, table, u);
            const int8_t *qc = q + (b * 8 + c) * width * 32;
            for (int half = 0; half < (fine ? 2 : 1); half++) {
                const __m256i s = scale_at(&sc, fine ? 2 * c + half : c);
                UNROLL for (int i = 0; i < n; i++) dot[i] = _mm256_setzero_si256();
                if (!fine)
                    dots(type, n, width, qc, u, 0, 8, dot);
                else if (half == 0)
                    dots(type, n, width, qc, u, 0, 4, dot);
                else
                    dots(type, n, width, qc, u, 4, 8, dot);
                UNROLL for (int i = 0; i < n; i++)
                    isum[i] = _mm256_add_epi32(isum[i], _mm256_mullo_epi32(dot[i], s));
            }
        }
        const __m256 d = load_f16(head);
        UNROLL for (int i = 0; i < n; i++) {
            const uint32_t *sum = sums + b * width * 12 + i + (fine ? 4 * width : 0);
            if (offset_bits(type) >= 0) {
                __m256i off = weigh(sc.s, fine ? 4 : 2, sum, width);
                isum[i] = _mm256_sub_epi32(isum[i], _mm256_slli_epi32(off, offset_bits(type)));
            }
            const __m256 dxi = _mm256_set1_ps(dx[b * width + i]);
            acc[i] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum[i]), dxi), d, acc[i]);
            if (has_min(type)) {
                __m256 msum = _mm256_cvtepi32_ps(weigh(sc.m, fine ? 4 : 2, sum, width));
                acc[i] = _mm256_fnmadd_ps(_mm256_mul_ps(msum, dxi), load_f16(head + 32), acc[i]);
            }
        }
    }
    UNROLL for (int i = 0; i < n; i++)
        store(w, group * TS_GROUP_ROWS + 8 * h, y + (t + col + i) * ld_y, acc[i]);
}

#define GEMM(type, tile)                                                                                               \
    static TS_GEMM_Q(gemm_##type) {                                                                                    \
        for (uint32_t g = g0; g < g1; g++)                                                                             \
            for (uint32_t t = t0, n; t < t1; t += n) {                                                                 \
                n = ts_tok_width(n_tok, t);                                                                            \
                for (int h = 0; h < 2; h++)                                                                            \
                    if (n == 1)                                                                                        \
                        tile(type, 1, 1, w, g, h, x, t, 0, y, ld_y);                                                   \
                    else                                                                                               \
                        for (uint32_t c = 0; c < n; c += 4) tile(type, 4, (int)n, w, g, h, x, t, (int)c, y, ld_y);     \
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

/* 8 activations to integers, as int32; `inv` = 127 / amax. */
INL __m256i quantise(__m256 x, __m256 inv) {
    const __m256 sign = _mm256_set1_ps(-0.0f), limit = _mm256_set1_ps(127.0f);
    __m256 v = _mm256_mul_ps(x, inv);
    __m256 inf = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(INFINITY), _CMP_EQ_OQ);
    v = _mm256_blendv_ps(v, _mm256_or_ps(_mm256_and_ps(x, sign), limit), inf);
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    v = _mm256_max_ps(_mm256_min_ps(v, limit), _mm256_set1_ps(-127.0f));
    return _mm256_cvtps_epi32(v);
}

INL __m256 max_abs(__m256 x, __m256 acc) {
    return _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), acc); /* acc where x is NaN */
}

INL float hmax(__m256 x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* n (32 or 256) activations to q, with the sums of every 16. Returns amax. */
INL float quant_block(const float *x, int n, int8_t *q, int *sum16) {
    __m256 m = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) m = max_abs(_mm256_loadu_ps(x + i), m);
    float amax = hmax(m);
    __m256 inv = _mm256_set1_ps(amax > 0 ? 127.0f / amax : 0.0f);
    for (int i = 0; i < n; i += 16) {
        __m256i a = quantise(_mm256_loadu_ps(x + i), inv), b = quantise(_mm256_loadu_ps(x + i + 8), inv);
        __m256i h = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        __m128i v = _mm_packs_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
        _mm_storeu_si128((__m128i *)(q + i), v);
        int s = 0;
        for (int j = 0; j < 16; j++) s += q[i + j];
        sum16[i / 16] = s;
    }
    return amax;
}

static TS_QUANT(quant32) {
    uint32_t first, width, n_block = K / 32;
    ts_tok_block(n_tok, t, &first, &width);
    uint32_t col = t - first;
    for (uint32_t b = 0; b < n_block; b++, x += 32) {
        int8_t v[32];
        int sum16[2];
        float amax = quant_block(x, 32, v, sum16);
        int sum = sum16[0] + sum16[1];
        for (uint32_t i = 0; i < 8; i++)
            memcpy(out->q32 + (size_t)first * K + ((size_t)(8 * b + i) * width + col) * 4, v + 4 * i, 4);
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
    for (uint32_t b = 0; b < n_block; b++, x += 256) {
        int8_t v[256];
        int sum16[16], sum32[8];
        float amax = quant_block(x, 256, v, sum16);
        for (int i = 0; i < 8; i++) sum32[i] = sum16[2 * i] + sum16[2 * i + 1];
        for (uint32_t i = 0; i < 64; i++)
            memcpy(out->q256 + (size_t)first * K + ((size_t)(64 * b + i) * width + col) * 4, v + 4 * i, 4);
        out->d256[(size_t)first * n_block + (size_t)b * width + col] = amax / 127.0f;
        uint32_t *sums = out->sums256 + ((size_t)first * n_block + (size_t)b * width) * 12 + col;
        for (int w = 0; w < 12; w++) {
            const int *s = w < 4 ? sum32 + w / 2 * 4 + w % 2 : sum16 + (w - 4) / 2 * 4 + w % 2;
            sums[(size_t)w * width] = (uint32_t)(uint16_t)s[0] | (uint32_t)(uint16_t)s[2] << 16;
        }
    }
}

void ts_kern_init_avx2_q(ts_kern *k) {
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
