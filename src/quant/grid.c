#include "quant/grid.h"

#include <math.h>
#include <string.h>

/* ---- U4G --------------------------------------------------------------------------------------------------------- */

enum { LARGEST = 4364 }; /* scale: 15 of it, and of no larger one of binary16, are finite in binary16 */

/* Scale and zero point for a range that holds 0, as a file has them. */
static void u4g_range(float lo, float hi, uint16_t *d, uint8_t *z) {
    if (lo > 0) lo = 0;
    if (hi < 0) hi = 0;
    float s = (hi - lo) / 15;
    if (s > LARGEST) s = LARGEST;
    *d = ts_f32_to_f16(s);
    if (!(*d & 0x7fff)) *d = 1; /* a scale is never 0 */
    const float zero = rintf(-lo / ts_f16_to_f32(*d));
    *z = (uint8_t)(zero < 0 ? 0 : zero > 15 ? 15 : zero);
}

static int u4g_code(float w, float inverse, int z) {
    const float q = rintf(w * inverse) + (float)z;
    return q > 0 ? q < 15 ? (int)q : 15 : 0;
}

static float u4g_error(const float *w, const float *importance, uint32_t n, uint16_t d, uint8_t z) {
    const float s = ts_f16_to_f32(d), inverse = 1 / s;
    float sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float e = w[i] - s * (float)(u4g_code(w[i], inverse, z) - z);
        sum += importance ? importance[i] * e * e : e * e;
    }
    return sum;
}

/* Ranges from both ends inwards: a little of what is cut off costs less than what all others gain. */
static void u4g_fix(const float *w, const float *importance, bool search, uint32_t n, uint16_t *d, uint8_t *z) {
    float lo = 0, hi = 0, best;
    for (uint32_t i = 0; i < n; i++) {
        if (w[i] < lo) lo = w[i];
        if (w[i] > hi) hi = w[i];
    }
    u4g_range(lo, hi, d, z);
    if (!search) return;
    best = u4g_error(w, importance, n, *d, *z);
    for (int a = 0; a < 10; a++)
        for (int b = 0; b < 10; b++) {
            uint16_t d2;
            uint8_t z2;
            u4g_range(lo * (1 - 0.04f * (float)a), hi * (1 - 0.04f * (float)b), &d2, &z2);
            const float e = u4g_error(w, importance, n, d2, z2);
            if (e < best) best = e, *d = d2, *z = z2;
        }
}

static void u4g_put(uint16_t d, uint8_t z, const int8_t *q, uint32_t n, ts_block_u4g *out) {
    for (uint32_t b = 0; b < n / 32; b++, q += 32) {
        out[b].d = d, out[b].z = z;
        for (int j = 0; j < 16; j++) out[b].qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    }
}

void ts_u4g_quantize(ts_dtype type, const float *w, const float *importance, bool search, void *blocks, size_t n) {
    const uint32_t group = ts_u4g_group(type);
    ts_block_u4g *out = blocks;
    for (size_t at = 0; at < n; at += group) {
        const uint32_t left = n - at < group ? (uint32_t)(n - at) : group;
        int8_t q[128];
        uint16_t d;
        uint8_t z;
        u4g_fix(w + at, importance ? importance + at : NULL, search, left, &d, &z);
        const float inverse = 1 / ts_f16_to_f32(d);
        for (uint32_t i = 0; i < left; i++) q[i] = (int8_t)u4g_code(w[at + i], inverse, z);
        u4g_put(d, z, q, left, out + at / 32);
    }
}

/* ---- all types --------------------------------------------------------------------------------------------------- */

uint32_t ts_grid_size(ts_dtype type) {
    if (ts_dtype_is_u4g(type)) return ts_u4g_group(type);
    return ts_search_takes(type, true) || ts_wtype_of(type)->offset == 7 ? ts_wtype_of(type)->block : 0;
}

static void fix_u4g(ts_grid *g, const float *w, const float *importance, uint32_t n) {
    uint8_t z;
    u4g_fix(w, importance, true, n, &g->b.d, &z);
    g->b.m = z;
    g->sub = n;
    g->step[0] = ts_f16_to_f32(g->b.d);
    g->zero[0] = -g->step[0] * (float)z;
    g->least = 0, g->most = 15;
}

/* Eight bits, which are not searched for. */
static void fix_bytes(ts_grid *g, const float *w) {
    ts_block_q8_0 b;
    ts_quantize(g->type, w, &b, 32);
    g->b.d = b.d;
    g->sub = 32;
    g->step[0] = ts_f16_to_f32(b.d);
    g->zero[0] = 0;
    g->least = -127, g->most = 127;
}

void ts_grid_fix(ts_grid *g, ts_dtype type, const float *w, const float *importance, uint32_t n, const ts_kern *kern) {
    const ts_wtype *t = ts_wtype_of(type);
    uint8_t block[512];
    g->type = type, g->n = n, g->levels = NULL;
    if (ts_dtype_is_u4g(type)) {
        fix_u4g(g, w, importance, n);
        return;
    }
    if (!ts_search_takes(type, true)) {
        fix_bytes(g, w);
        return;
    }
    ts_quantize_with(kern->search, type, w, importance, n, block, n);
    ts_search_unpack(type, block, &g->b);
    const float d = ts_f16_to_f32(g->b.d), m = ts_f16_to_f32(g->b.m);
    const int bits = t->low.mask | t->high.mask;
    g->least = t->offset ? -(1 << t->offset) : 0;
    g->most = g->least + bits;
    g->levels = t->values;
    g->sub = t->block == 256 ? t->sub_block : 32;
    for (uint32_t j = 0; j < n / g->sub; j++) {
        g->step[j] = t->block == 256 ? d * (float)g->b.scale[j] : d;
        g->zero[j] = t->block == 256 ? -(m * (float)g->b.min[j]) : t->second == TS_SECOND_PLUS ? m : 0;
    }
}

float ts_grid_round(ts_grid *g, uint32_t i, float w) {
    const uint32_t j = i / g->sub;
    const float step = g->step[j], zero = g->zero[j], v = step != 0 ? (w - zero) / step : 0;
    int q;
    if (g->levels) {
        q = g->levels[0];
        for (int k = 1; k < 16; k++)
            if (fabsf(v - (float)g->levels[k]) < fabsf(v - (float)q)) q = g->levels[k];
    } else {
        q = v > (float)g->least ? v < (float)g->most ? (int)rintf(v) : g->most : g->least;
    }
    g->b.q[i] = (int8_t)q;
    return zero + step * (float)q;
}

bool ts_grid_restep(ts_grid *g, float by) {
    const ts_wtype *t = ts_wtype_of(g->type);
    if (t->block != 32 || t->values || t->offset == 7) return false;
    const uint16_t d = ts_f32_to_f16(g->step[0] + by);
    if ((d & 0x7c00) == 0x7c00 || !(d & 0x7fff) || (d ^ g->b.d) & 0x8000) return false;
    if (ts_dtype_is_u4g(g->type) && ts_f16_to_f32(d) > LARGEST) return false;
    g->b.d = d;
    g->step[0] = ts_f16_to_f32(d);
    if (ts_dtype_is_u4g(g->type)) g->zero[0] = -g->step[0] * (float)g->b.m;
    return true;
}

void ts_grid_put(const ts_grid *g, void *blocks) {
    if (ts_dtype_is_u4g(g->type)) {
        u4g_put(g->b.d, (uint8_t)g->b.m, g->b.q, g->n, blocks);
        return;
    }
    if (ts_search_takes(g->type, true)) {
        ts_search_pack(g->type, &g->b, blocks);
        return;
    }
    ts_block_q8_0 b = {.d = g->b.d};
    memcpy(b.qs, g->b.q, 32);
    memcpy(blocks, &b, sizeof b);
}

void ts_quant_round(const ts_kern *kern, ts_dtype type, const float *w, const float *importance, uint32_t n,
                    void *blocks, float *worth) {
    if (ts_dtype_is_u4g(type)) ts_u4g_quantize(type, w, importance, importance != NULL, blocks, n);
    else ts_quantize_with(kern->search, type, w, importance, n, blocks, n);
    if (worth) ts_dequant(type, blocks, worth, n);
}

size_t ts_quant_lost(const float *x, const float *y, size_t n) {
    const float f16_max = 65504;
    float most = 0;
    for (size_t i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    for (size_t i = 0; i < n && most > f16_max; i++)
        if (fabsf(x[i]) > f16_max && !(fabsf(y[i]) >= fabsf(x[i]) / 2)) return i;
    return n;
}
