#include "model/kv.h"

#include <string.h>

ts_status ts_kv_init(ts_kv *kv, const ts_model_config *c, uint32_t n_ctx, ts_kv_type type, ts_err *err) {
    size_t elem = type == TS_KV_F16 ? 2 : 4, bytes = ts_kv_bytes(c, n_ctx, elem);
    if (!bytes || n_ctx == 0) return ts_fail(err, TS_E_INVAL, "a context of %u positions is not possible", n_ctx);
    *kv = (ts_kv){.type = type,
                  .n_ctx = n_ctx,
                  .n_tile = n_ctx / TS_KV_TILE + (n_ctx % TS_KV_TILE != 0),
                  .head_pad = ts_head_pad(c),
                  .n_kv_head = c->n_kv_head,
                  .elem = elem};
    return ts_big_alloc(&kv->mem, bytes, false, "the KV cache", err);
}

void ts_kv_fini(ts_kv *kv) {
    ts_big_free(&kv->mem);
}

void ts_kv_store(ts_kv *kv, const ts_kern *kern, uint32_t layer, uint32_t head, uint32_t pos, const float *k,
                 const float *v, uint32_t head_dim) {
    uint32_t tile = pos / TS_KV_TILE, p = pos % TS_KV_TILE;
    void *keys = ts_kv_tile(kv, layer, false, head, tile), *values = ts_kv_tile(kv, layer, true, head, tile);
    if (kv->type == TS_KV_F32) {
        for (uint32_t d = 0; d < head_dim; d++) ((float *)keys)[d * TS_KV_TILE + p] = k[d];
        memcpy((float *)values + (size_t)p * kv->head_pad, v, head_dim * sizeof *v);
        return;
    }
    uint16_t half[1024]; /* head_dim <= 1024, config.c */
    kern->to_f16(k, half, head_dim);
    for (uint32_t d = 0; d < head_dim; d++) ((uint16_t *)keys)[d * TS_KV_TILE + p] = half[d];
    kern->to_f16(v, (uint16_t *)values + (size_t)p * kv->head_pad, head_dim);
}
