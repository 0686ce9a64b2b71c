#include "npu/pack.h"
#include "format/quant.h"

#include <assert.h>
#include <string.h>

enum { ROWS = TS_GEMV_ROWS, OPERAND_K = 8, OPERAND_NIBBLES = 32 /* bytes of 8 K x 8 rows */ };

/* The groups of U4G run as Q4_0; what their zero points change is the host's. */
static const ts_gemv_type u4g = {TS_GEMV_Q4_0, 256, 64, 32, 3, 1};
static const ts_gemv_type types[TS_GEMV_KERNELS] = {
    [TS_GEMV_Q4_K] = {TS_GEMV_Q4_K, 1120, 256, 256, 4, 2},
    [TS_GEMV_Q6_K] = {TS_GEMV_Q6_K, 1664, 256, 256, 2, 1},
    [TS_GEMV_Q8_0] = {TS_GEMV_Q8_0, 256, 32, 32, 2, 1},
    [TS_GEMV_Q4_0] = {TS_GEMV_Q4_0, 256, 64, 32, 2, 1},
};

const ts_gemv_type *ts_gemv_type_of(ts_dtype type) {
    switch (type) {
    case TS_Q4_K: return &types[TS_GEMV_Q4_K];
    case TS_Q6_K: return &types[TS_GEMV_Q6_K];
    case TS_Q8_0: return &types[TS_GEMV_Q8_0];
    case TS_Q4_0: return &types[TS_GEMV_Q4_0];
    case TS_U4G32:
    case TS_U4G64:
    case TS_U4G128: return &u4g;
    default: return NULL;
    }
}

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

/* ---- sizes and places -------------------------------------------------------------------------------------------- */

bool ts_gemv_mat_init(ts_gemv_mat *m, ts_dtype type, uint64_t n_rows, uint64_t K, unsigned turn) {
    const ts_gemv_type *info = ts_gemv_type_of(type);
    /* 24 bits of row groups fit the packet header */
    if (!info || !K || K % info->block_k || K > 1u << 24 || !n_rows || n_rows > 1u << 26) return false;
    *m = (ts_gemv_mat){
        .info = info,
        .type = type,
        .n_rows = (uint32_t)n_rows,
        .K = (uint32_t)K,
        .n_block = (uint32_t)(K / info->block_k),
        .n_group = ceil_div((uint32_t)n_rows, ROWS),
        .n_slice = ceil_div((uint32_t)K, TS_GEMV_SLICE_K),
        .units = TS_GEMV_SLICE_K / info->unit_k,
    };
    m->units_last = ceil_div(m->K - (m->n_slice - 1) * TS_GEMV_SLICE_K, info->unit_k);
    uint32_t each = m->n_group / TS_GEMV_CORES, more = m->n_group % TS_GEMV_CORES;
    for (uint32_t c = 0; c < TS_GEMV_CORES; c++)
        m->first[c + 1] = m->first[c] + each + ((c + TS_GEMV_CORES - turn % TS_GEMV_CORES) % TS_GEMV_CORES < more);
    return true;
}

static uint32_t groups_of(const ts_gemv_mat *m, int stream) {
    return m->first[stream + 1] - m->first[stream];
}

/* Units of a row group in all slices. */
static uint32_t units_of_group(const ts_gemv_mat *m) {
    return (m->n_slice - 1) * m->units + m->units_last;
}

static uint32_t units_in(const ts_gemv_mat *m, uint32_t slice) {
    return slice + 1 < m->n_slice ? m->units : m->units_last;
}

static uint32_t units_per_buffer(const ts_gemv_mat *m) {
    return TS_GEMV_W_UNITS / m->info->unit_bytes;
}

/* Bytes of results of a unit for n_tok tokens. */
static uint32_t unit_out(const ts_gemv_mat *m, uint32_t n_tok) {
    return 32u * m->info->out_rows * n_tok;
}

/* The number in its stream of the first unit of group g (counted in the stream) and slice s. */
static uint64_t unit_index(const ts_gemv_mat *m, int stream, uint32_t local_g, uint32_t s) {
    return (uint64_t)s * m->units * groups_of(m, stream) + (uint64_t)local_g * units_in(m, s);
}

uint32_t ts_gemv_buffers(const ts_gemv_mat *m, int stream) {
    uint64_t n = (uint64_t)groups_of(m, stream) * units_of_group(m);
    return (uint32_t)((n + units_per_buffer(m) - 1) / units_per_buffer(m));
}

/* Blocks of a row that have one entry of scales, and how many 16-bit words of scales a row group has. */
static uint32_t share_of(const ts_gemv_mat *m) {
    return (uint32_t)ts_wtype_share(ts_wtype_of(m->type));
}
static uint32_t scale_words(const ts_gemv_mat *m) {
    return ceil_div(m->n_block, share_of(m)) * ROWS * m->info->block_bytes / 2;
}

size_t ts_gemv_scale_bytes(const ts_gemv_mat *m) {
    return (size_t)m->n_group * scale_words(m) * 2;
}

uint64_t ts_gemv_unit_bytes(const ts_gemv_mat *m) {
    return (uint64_t)m->n_group * units_of_group(m) * m->info->unit_bytes;
}

int ts_gemv_stream_of(const ts_gemv_mat *m, uint32_t g) {
    int c = 0;
    while (g >= m->first[c + 1]) c++;
    return c;
}

uint32_t ts_gemv_packets(const ts_gemv_mat *m, uint32_t n_tok) {
    return n_tok == 1 ? ceil_div(m->n_slice, TS_GEMV_TOKENS) : m->n_slice;
}

size_t ts_gemv_result_bytes(const ts_gemv_mat *m, int stream, uint32_t n_tok) {
    uint64_t n = (uint64_t)groups_of(m, stream) * units_of_group(m) * unit_out(m, n_tok);
    return (size_t)((n + TS_GEMV_O_BYTES - 1) / TS_GEMV_O_BYTES * TS_GEMV_O_BYTES);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

static void put32(uint8_t *at, int offset, uint32_t v) {
    memcpy(at + offset, &v, 4);
}
static uint32_t get32(const uint8_t *at, int offset) {
    uint32_t v;
    memcpy(&v, at + offset, 4);
    return v;
}

#define LOW UINT64_C(0x0f0f0f0f0f0f0f0f)

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Eight rows of eight nibbles, one in the lower half of each byte of v[row], as an operand: byte 4 k + r / 2 holds k of
 * row r, even rows in the lower half. */
static void put_nibbles(uint8_t *out, const uint64_t v[ROWS]) {
    uint8_t pair[4][8];
    for (int q = 0; q < 4; q++) {
        uint64_t both = v[2 * q] | v[2 * q + 1] << 4;
        memcpy(pair[q], &both, 8);
    }
    for (int k = 0; k < 8; k++)
        for (int q = 0; q < 4; q++) out[4 * k + q] = pair[q][k];
}

/* 64 values below 16 as nibbles, the even ones in the lower halves. */
static void put_row(uint8_t *out, const uint8_t v[64]) {
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(v[2 * i] | v[2 * i + 1] << 4);
}

static void pack_q4_k(uint8_t *out, const ts_block_q4_k *const b[ROWS]) {
    uint8_t scale[64], min[64], high[64];
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 8; j++) {
            uint8_t s, m;
            ts_q4k_scale_min(b[r]->scales, j, &s, &m);
            scale[8 * j + r] = s & 15;
            min[8 * j + r] = m & 15;
            high[8 * j + r] = (uint8_t)(m >> 4 | s >> 4 << 2);
        }
    put_row(out, scale);
    put_row(out + 32, min);
    put_row(out + 64, high);
    out += 96;
    for (int op = 0; op < 32; op++, out += OPERAND_NIBBLES) { /* chunk of 32 K c, its part */
        int c = op / 4, at = 32 * (c / 2) + 8 * (op % 4), shift = 4 * (c % 2);
        uint64_t v[ROWS];
        for (int r = 0; r < ROWS; r++) v[r] = load64(b[r]->qs + at) >> shift & LOW;
        put_nibbles(out, v);
    }
}

static void pack_q6_k(uint8_t *out, const ts_block_q6_k *const b[ROWS]) {
    for (int j = 0; j < 16; j++) { /* sub-blocks of 16 K */
        if (j % 8 == 0)
            for (int i = 0; i < 64; i++) *out++ = (uint8_t)b[i % 8]->scales[j + i / 8];
        /* element k of the block: half k / 128, chunk k / 32 % 4 of it, place k % 32 */
        int half = j / 8, chunk = j / 2 % 4, at = 16 * (j % 2);
        uint64_t low[2][ROWS], high[ROWS];
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *ql = b[r]->ql + 64 * half + 32 * (chunk % 2) + at, *qh = b[r]->qh + 32 * half + at;
            uint64_t two[2];
            for (int i = 0; i < 2; i++) {
                low[i][r] = load64(ql + 8 * i) >> 4 * (chunk / 2) & LOW;
                two[i] = load64(qh + 8 * i) >> 2 * chunk & LOW / 5; /* 0x03 in every byte */
            }
            /* the second operand's field is signed: 2 less, in two's complement */
            high[r] = two[0] | (two[1] ^ LOW / 15 * 2) << 2;
        }
        put_nibbles(out, high);
        put_nibbles(out + 32, low[0]);
        put_nibbles(out + 64, low[1]);
        out += 96;
    }
}

static void pack_q8_0(uint8_t *out, const ts_block_q8_0 *const b[ROWS]) {
    for (int k = 0; k < 32; k++)
        for (int r = 0; r < ROWS; r++) *out++ = (uint8_t)b[r]->qs[k];
}

/* One block of 32 K, half a unit: the rows' nibbles. */
static void pack_q4_0(uint8_t *out, const uint8_t *const qs[ROWS]) {
    for (int op = 0; op < 4; op++, out += OPERAND_NIBBLES) {
        uint64_t v[ROWS];
        for (int r = 0; r < ROWS; r++) /* elements 0 to 15 are lower halves; n - 8 in two's complement is n ^ 8 */
            v[r] = (load64(qs[r] + 8 * (op % 2)) >> 4 * (op / 2) & LOW) ^ LOW / 15 * 8;
        put_nibbles(out, v);
    }
}

void ts_gemv_tag_buffers(const ts_gemv_stream *s, uint32_t n, uint32_t tag) {
    for (uint32_t i = 0; i < n; i++) put32(ts_gemv_buffer(s, i), TS_GEMV_W_TAG, tag + i);
}

void ts_gemv_pack_group(const ts_gemv_mat *m, const void *rows, size_t row_bytes, uint32_t g,
                        const ts_gemv_stream *stream, uint16_t *scales) {
    ts_gemv_pack_rows(m, (const uint8_t *)rows + (size_t)g * ROWS * row_bytes, row_bytes, g, stream, scales);
}

void ts_gemv_pack_rows(const ts_gemv_mat *m, const void *rows, size_t row_bytes, uint32_t g,
                       const ts_gemv_stream *stream, uint16_t *scales) {
    /* a row past the end: all integers 0. For Q4_0 that is the nibble 8, and a file block of zeros means -8; its scale
     * is 0, so it does not matter */
    static const union {
        ts_block_q4_k q4_k;
        ts_block_q6_k q6_k;
        ts_block_q8_0 q8_0;
        ts_block_q4_0 q4_0;
        ts_block_u4g u4g;
    } nothing;
    const ts_gemv_type *info = m->info;
    const size_t block_bytes = ts_dtype_get(m->type)->block_bytes;
    const int c = ts_gemv_stream_of(m, g);
    const uint32_t local_g = g - m->first[c], per_buffer = units_per_buffer(m);
    const uint32_t parts = info->unit_k / info->block_k; /* file blocks in a unit: 2 for Q4_0 */
    const bool zeros = info->block_bytes == 3;
    const uint32_t share = share_of(m);
    uint16_t *scale = scales + (size_t)g * scale_words(m);
    for (uint32_t blk = 0; blk < m->n_block; blk++) {
        const void *b[ROWS];
        const uint8_t *qs[ROWS];
        for (uint32_t r = 0; r < ROWS; r++) {
            bool there = g * ROWS + r < m->n_rows;
            b[r] = there ? (const uint8_t *)rows + r * row_bytes + blk * block_bytes : (const void *)&nothing;
        }
        uint32_t u = blk / parts, s = u / m->units;
        uint64_t index = unit_index(m, c, local_g, s) + u % m->units;
        uint8_t *out = ts_gemv_buffer(stream, (uint32_t)(index / per_buffer)) + index % per_buffer * info->unit_bytes;
        for (int r = 0; r < ROWS; r++) {
            switch (info->kernel) {
            case TS_GEMV_Q4_K:
                scale[r] = ((const ts_block_q4_k *)b[r])->d;
                scale[ROWS + r] = ((const ts_block_q4_k *)b[r])->dmin;
                break;
            case TS_GEMV_Q6_K: scale[r] = ((const ts_block_q6_k *)b[r])->d; break;
            case TS_GEMV_Q8_0: scale[r] = ((const ts_block_q8_0 *)b[r])->d; break;
            default:
                if (blk % share == 0) memcpy(&scale[r], b[r], 2); /* both kinds begin with it */
                if (zeros && blk % share == 0) ((uint8_t *)(scale + ROWS))[r] = ((const ts_block_u4g *)b[r])->z & 15;
                qs[r] = zeros ? ((const ts_block_u4g *)b[r])->qs : ((const ts_block_q4_0 *)b[r])->qs;
                break;
            }
        }
        if (blk % share == share - 1) scale += ROWS * info->block_bytes / 2;
        switch (info->kernel) {
        case TS_GEMV_Q4_K: pack_q4_k(out, (const ts_block_q4_k *const *)b); break;
        case TS_GEMV_Q6_K: pack_q6_k(out, (const ts_block_q6_k *const *)b); break;
        case TS_GEMV_Q8_0: pack_q8_0(out, (const ts_block_q8_0 *const *)b); break;
        default: pack_q4_0(out + blk % parts * (info->unit_bytes / parts), qs); break;
        }
    }
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Where the quantised activations of a token lie. */
struct token {
    const int8_t *q; /* element k at q[(k / 4) * step * 4 + k % 4] */
    const uint32_t *sums;
    const float *d;
    const int32_t *off8;
    uint32_t step, n_block;
};

static struct token token_of(const ts_gemv_mat *m, const ts_qact *x, uint32_t all_tok, uint32_t t) {
    uint32_t first, width, n = m->n_block;
    ts_tok_block(all_tok, t, &first, &width);
    bool small = m->info->block_k == 32;
    size_t at = t - first;
    return (struct token){
        .q = (small ? x->q32 : x->q256) + (size_t)first * m->K + 4 * at,
        .d = (small ? x->d32 : x->d256) + (size_t)first * n + at,
        .off8 = small ? x->off8 + (size_t)first * n + at : NULL,
        .sums = small ? NULL : x->sums256 + (size_t)first * n * 12 + at,
        .step = width,
        .n_block = n,
    };
}

/* Sum over sub-block j (32 K) of block b: words 0 to 3 hold pairs (0,2) (1,3) (4,6) (5,7). */
static int32_t sum_of(const struct token *tok, uint32_t b, uint32_t j) {
    uint32_t w = tok->sums[((size_t)b * 12 + j / 4 * 2 + j % 2) * tok->step];
    return (int16_t)(j % 4 < 2 ? w & 0xffff : w >> 16);
}

/* One slice's blocks of 8 bytes for one token, `stride` bytes apart: operands, and for 256-blocks the digits of the
 * sums. */
static void fill_slice(const ts_gemv_mat *m, const struct token *tok, uint32_t s, uint8_t *dst, size_t stride) {
    uint32_t k0 = s * TS_GEMV_SLICE_K, k1 = m->K - k0 < TS_GEMV_SLICE_K ? m->K : k0 + TS_GEMV_SLICE_K;
    for (uint32_t k = k0; k < k1; k += 8, dst += stride) {
        memcpy(dst, tok->q + (size_t)(k / 4) * tok->step * 4, 4);
        memcpy(dst + 4, tok->q + (size_t)(k / 4 + 1) * tok->step * 4, 4);
        if (m->info->block_k != 256 || k % 256 != 248) continue;
        for (uint32_t j = 0; j < 8; j++) {
            int32_t sum = sum_of(tok, k / 256, j);
            dst[stride + j] = (uint8_t)(sum >> 6);
            dst[2 * stride + j] = (uint8_t)(sum & 63);
        }
        dst += 2 * stride;
    }
}

void ts_gemv_fill_packets(const ts_gemv_mat *m, const ts_qact *x, uint32_t all_tok, uint32_t t0, uint32_t n_tok,
                          const ts_gemv_guard *guard, bool begin, bool end, const uint8_t skip[TS_GEMV_CORES],
                          uint8_t *dst) {
    assert(n_tok >= 1 && n_tok <= TS_GEMV_TOKENS);
    const bool spread = n_tok == 1;
    const uint32_t per_packet = spread ? TS_GEMV_TOKENS : 1, n = ts_gemv_packets(m, n_tok);
    /* blocks of 8 bytes in a full slice */
    const uint32_t blocks = TS_GEMV_SLICE_K / OPERAND_K + (m->info->block_k == 256 ? 2 * TS_GEMV_SLICE_K / 256 : 0);
    for (uint32_t p = 0; p < n; p++, dst += TS_GEMV_A_BYTES) {
        uint32_t s0 = p * per_packet, ns = m->n_slice - s0 < per_packet ? m->n_slice - s0 : per_packet, units = 0;
        memset(dst, 0, TS_GEMV_A_BYTES);
        for (uint32_t i = 0; i < ns; i++) units |= units_in(m, s0 + i) << 8 * i;
        put32(dst, TS_GEMV_H_KERNEL, m->info->kernel);
        put32(dst, TS_GEMV_H_STEP, 32 * n_tok);
        put32(dst, TS_GEMV_H_UNITS_W, units_per_buffer(m));
        put32(dst, TS_GEMV_H_UNITS_O, TS_GEMV_O_BYTES / unit_out(m, n_tok));
        put32(dst, TS_GEMV_H_SPREAD, spread ? 8 * blocks : 0);
        put32(dst, TS_GEMV_H_SLICES, ns);
        put32(dst, TS_GEMV_H_LAST, p + 1 < n ? 0 : end ? 2 : 1);
        put32(dst, TS_GEMV_H_NUMBER, guard->number);
        put32(dst, TS_GEMV_H_UNITS, units);
        for (int c = 0; c < TS_GEMV_CORES; c++) {
            put32(dst, TS_GEMV_H_SHARE + 4 * c, groups_of(m, c) | (end ? (uint32_t)skip[c] << 24 : 0));
            put32(dst, TS_GEMV_H_TAGS + 4 * c, begin && p == 0 ? guard->tag[c] : 0);
        }
        for (uint32_t t = 0; x && t < n_tok; t++) {
            struct token tok = token_of(m, x, all_tok, t0 + t);
            for (uint32_t i = 0; i < ns; i++)
                fill_slice(m, &tok, s0 + i, dst + TS_GEMV_A_HEADER + (spread ? (size_t)i * 8 * blocks : 8 * (size_t)t),
                           spread ? 8 : 32);
        }
    }
}

ts_gemv_proof ts_gemv_proof_read(const uint8_t chunk[TS_GEMV_O_BYTES]) {
    return (ts_gemv_proof){.number = get32(chunk, TS_GEMV_P_NUMBER),
                           .core = get32(chunk, TS_GEMV_P_CORE) / 4,
                           .started = get32(chunk, TS_GEMV_P_STARTED),
                           .loaded = get32(chunk, TS_GEMV_P_LOADED),
                           .tag = get32(chunk, TS_GEMV_P_TAG),
                           .wrong = get32(chunk, TS_GEMV_P_WRONG)};
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static_assert((int)TS_SLICE_K % (int)TS_GEMV_SLICE_K == 0, "a slice of the contract is a whole number of the array's");

void ts_gemv_combine_group(const ts_gemv_mat *m, const uint16_t *scales, const void *results, const ts_qact *x,
                           uint32_t all_tok, uint32_t t0, uint32_t n_tok, uint32_t g, const ts_kern *kern,
                           float *y, size_t ld_y) {
    const ts_gemv_type *info = m->info;
    const int c = ts_gemv_stream_of(m, g);
    const uint32_t out = unit_out(m, n_tok), parts = info->unit_k / info->block_k, words = ROWS * info->block_bytes / 2;
    const uint32_t share = share_of(m);
    const uint32_t per_slice = m->units * parts; /* blocks */
    for (uint32_t t = 0; t < n_tok; t++) {
        struct token tok = token_of(m, x, all_tok, t0 + t);
        float acc[ROWS] = {0}, part[ROWS] = {0};
        for (uint32_t s = 0; s < m->n_slice; s++) {
            const uint32_t b = s * per_slice, n = m->n_block - b < per_slice ? m->n_block - b : per_slice;
            kern->combine(&(ts_sums){.sum = (const uint8_t *)results + unit_index(m, c, g - m->first[c], s) * out +
                                            32 * (size_t)t,
                                     .step = out,
                                     .min_at = info->out_rows == 2 ? 32 * (size_t)n_tok : 0,
                                     .pairs = parts == 2,
                                     .scale = scales + (size_t)g * scale_words(m) + b / share * words,
                                     .share = share,
                                     .off8 = info->block_bytes == 3 ? tok.off8 + (size_t)b * tok.step : NULL,
                                     .dx = tok.d + (size_t)b * tok.step,
                                     .dx_step = tok.step,
                                     .n = n},
                          part);
            if ((s + 1) % (TS_SLICE_K / TS_GEMV_SLICE_K) && s + 1 < m->n_slice) continue;
            for (int r = 0; r < ROWS; r++) acc[r] = acc[r] + part[r], part[r] = 0; /* the contract's are longer */
        }
        for (uint32_t r = 0; r < ROWS && g * ROWS + r < m->n_rows; r++)
            y[(size_t)(t0 + t) * ld_y + g * ROWS + r] = acc[r];
    }
}
