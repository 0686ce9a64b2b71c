/* search.c - the search for scales on any processor, and how what it finds is packed into blocks. */
#include "format/v16_plain.h"
#include "format/search_tmpl.h"
#include "format/wtype.h"

TS_SEARCH(ts_search_plain) { search_blocks(type, in, weights, n_per_row, blocks, n); }

bool ts_search_takes(ts_dtype type, bool weighted) {
    return searches[type].fn && (weighted || searches[type].share > 1);
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

static void pack_q2_k(const ts_searched *r, void *block) {
    ts_block_q2_k b = {.d = r->d, .dmin = r->m};
    for (int s = 0; s < 16; s++) b.scales[s] = (uint8_t)(r->scale[s] | r->min[s] << 4);
    for (int i = 0; i < 256; i++) b.qs[i / 128 * 32 + i % 32] |= (uint8_t)(r->q[i] << (i / 32 % 4 * 2));
    memcpy(block, &b, sizeof b);
}

static void pack_q3_k(const ts_searched *r, void *block) {
    ts_block_q3_k b = {.d = r->d};
    for (int s = 0; s < 16; s++) {
        const int code = r->scale[s] + 32;
        b.scales[s % 8] |= (uint8_t)((code & 15) << (s / 8 * 4));
        b.scales[8 + s % 4] |= (uint8_t)(code >> 4 << (s / 4 * 2));
    }
    for (int i = 0; i < 256; i++) {
        const int q = r->q[i] + 4;
        b.qs[i / 128 * 32 + i % 32] |= (uint8_t)((q & 3) << (i / 32 % 4 * 2));
        b.hmask[i % 32] |= (uint8_t)(q >> 2 << (i / 32));
    }
    memcpy(block, &b, sizeof b);
}

static void pack_k4_scales(const ts_searched *r, uint8_t out[12]) {
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(r->scale[j] | r->scale[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(r->min[j] | r->min[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((r->scale[j + 4] & 15) | r->min[j + 4] << 4);
    }
}

static void pack_q4_k(const ts_searched *r, void *block) {
    ts_block_q4_k b = {.d = r->d, .dmin = r->m};
    pack_k4_scales(r, b.scales);
    for (int i = 0; i < 128; i++)
        b.qs[i] = (uint8_t)(r->q[i / 32 * 64 + i % 32] | r->q[i / 32 * 64 + 32 + i % 32] << 4);
    memcpy(block, &b, sizeof b);
}

static void pack_q5_k(const ts_searched *r, void *block) {
    ts_block_q5_k b = {.d = r->d, .dmin = r->m};
    pack_k4_scales(r, b.scales);
    for (int i = 0; i < 256; i++) {
        b.qs[i / 64 * 32 + i % 32] |= (uint8_t)((r->q[i] & 15) << (i / 32 % 2 * 4));
        b.qh[i % 32] |= (uint8_t)((r->q[i] >> 4) << (i / 32));
    }
    memcpy(block, &b, sizeof b);
}

static void pack_q6_k(const ts_searched *r, void *block) {
    ts_block_q6_k b = {.d = r->d};
    for (int s = 0; s < 16; s++) b.scales[s] = (int8_t)r->scale[s];
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, k = i / 32 % 4, q = r->q[i] + 32;
        b.ql[half * 64 + k % 2 * 32 + i % 32] |= (uint8_t)((q & 15) << (k / 2 * 4));
        b.qh[half * 32 + i % 32] |= (uint8_t)(q >> 4 << (k * 2));
    }
    memcpy(block, &b, sizeof b);
}

/* n levels of IQ4 types as nibbles. */
static void iq4_nibbles(const int8_t *q, int n, uint8_t *nibble) {
    for (int i = 0; i < n; i++) {
        int k = 0;
        for (int j = 1; j < 16; j++) k += q[i] >= ts_iq4_nl_values[j];
        nibble[i] = (uint8_t)k;
    }
}

static void pack_iq4_xs(const ts_searched *r, void *block) {
    ts_block_iq4_xs b = {.d = r->d};
    uint8_t q[256];
    iq4_nibbles(r->q, 256, q);
    for (int s = 0; s < 8; s++) {
        const int code = r->scale[s] + 32;
        b.scales_l[s / 2] |= (uint8_t)((code & 15) << (s % 2 * 4));
        b.scales_h |= (uint16_t)(code >> 4 << (s * 2));
    }
    for (int i = 0; i < 128; i++) b.qs[i] = (uint8_t)(q[i / 16 * 32 + i % 16] | q[i / 16 * 32 + 16 + i % 16] << 4);
    memcpy(block, &b, sizeof b);
}

static void pack_q4_0(const ts_searched *r, void *block) {
    ts_block_q4_0 b = {.d = r->d};
    for (int j = 0; j < 16; j++) b.qs[j] = (uint8_t)((r->q[j] + 8) | (r->q[j + 16] + 8) << 4);
    memcpy(block, &b, sizeof b);
}

static void pack_q4_1(const ts_searched *r, void *block) {
    ts_block_q4_1 b = {.d = r->d, .m = r->m};
    for (int j = 0; j < 16; j++) b.qs[j] = (uint8_t)(r->q[j] | r->q[j + 16] << 4);
    memcpy(block, &b, sizeof b);
}

static void pack_5_bits(const ts_searched *r, int zero, uint8_t qh[4], uint8_t qs[16]) {
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)((r->q[i] + zero) >> 4) << i;
    memcpy(qh, &high, 4);
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)(((r->q[j] + zero) & 15) | ((r->q[j + 16] + zero) & 15) << 4);
}

static void pack_q5_0(const ts_searched *r, void *block) {
    ts_block_q5_0 b = {.d = r->d};
    pack_5_bits(r, 16, b.qh, b.qs);
    memcpy(block, &b, sizeof b);
}

static void pack_q5_1(const ts_searched *r, void *block) {
    ts_block_q5_1 b = {.d = r->d, .m = r->m};
    pack_5_bits(r, 0, b.qh, b.qs);
    memcpy(block, &b, sizeof b);
}

static void pack_iq4_nl(const ts_searched *r, void *block) {
    ts_block_iq4_nl b = {.d = r->d};
    uint8_t q[32];
    iq4_nibbles(r->q, 32, q);
    for (int j = 0; j < 16; j++) b.qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    memcpy(block, &b, sizeof b);
}

void ts_search_pack(ts_dtype type, const ts_searched *r, void *block) {
    static void (*const pack[TS_DTYPES])(const ts_searched *r, void *block) = {
        [TS_Q2_K] = pack_q2_k,     [TS_Q3_K] = pack_q3_k, [TS_Q4_K] = pack_q4_k, [TS_Q5_K] = pack_q5_k,
        [TS_Q6_K] = pack_q6_k,     [TS_Q4_0] = pack_q4_0, [TS_Q4_1] = pack_q4_1, [TS_Q5_0] = pack_q5_0,
        [TS_Q5_1] = pack_q5_1,     [TS_IQ4_NL] = pack_iq4_nl, [TS_IQ4_XS] = pack_iq4_xs,
    };
    pack[type](r, block);
}

/* Sub-scales and minimums as they stand in a block of 256. */
static void unpack_scales(ts_dtype type, const uint8_t *p, ts_searched *r) {
    const ts_wtype *t = ts_wtype_of(type);
    ts_block_q2_k q2;
    ts_block_q3_k q3;
    ts_block_q4_k q4; /* of Q5_K the same bytes */
    ts_block_q6_k q6;
    ts_block_iq4_xs xs;
    int8_t s[16] = {0};
    for (int j = 0; j < 256 / t->sub_block; j++) {
        uint8_t scale, min;
        r->min[j] = 0;
        switch (t->sub) {
        case TS_SUB_NIBBLES:
            memcpy(&q2, p, sizeof q2);
            r->scale[j] = q2.scales[j] & 15, r->min[j] = q2.scales[j] >> 4;
            break;
        case TS_SUB_Q3:
            memcpy(&q3, p, sizeof q3);
            ts_q3k_scales(q3.scales, s);
            r->scale[j] = s[j];
            break;
        case TS_SUB_K4:
            memcpy(&q4, p, sizeof q4);
            ts_q4k_scale_min(q4.scales, j, &scale, &min);
            r->scale[j] = scale, r->min[j] = min;
            break;
        case TS_SUB_INT8:
            memcpy(&q6, p, sizeof q6);
            r->scale[j] = q6.scales[j];
            break;
        default:
            memcpy(&xs, p, sizeof xs);
            r->scale[j] = (int16_t)ts_iq4xs_scale(&xs, j);
            break;
        }
    }
}

void ts_search_unpack(ts_dtype type, const void *block, ts_searched *r) {
    const ts_wtype *t = ts_wtype_of(type);
    const uint8_t *p = block;
    r->m = 0;
    memcpy(&r->d, p + t->d_at, 2);
    if (ts_wtype_has_min(t)) memcpy(&r->m, p + t->second_at, 2);
    if (t->block == 256) unpack_scales(type, p, r);
}
