#include "model/config.h"
#include "kern/kern.h"

void ts_kv_tile_bytes(const ts_model_config *c, ts_kv_type type, size_t *keys, size_t *values) {
    const size_t pad = ts_head_pad(c), blocks = (pad + 31) / 32;
    *keys = *values = TS_KV_TILE * pad * (type == TS_KV_F32 ? 4 : 2);
    if (type != TS_KV_Q8_0) return;
    ts_qmat m;
    *keys = ts_qmat_init(&m, TS_Q8_0, TS_KV_TILE, blocks * 32) ? ts_qmat_bytes(&m) : 0;
    *values = TS_KV_TILE * (pad + 2 * blocks);
}

size_t ts_kv_bytes(const ts_model_config *c, uint64_t n_ctx, ts_kv_type type) {
    size_t n = (size_t)(n_ctx / TS_KV_TILE + (n_ctx % TS_KV_TILE != 0)), keys, values;
    ts_kv_tile_bytes(c, type, &keys, &values);
    const size_t factors[] = {c->n_layer, c->n_kv_head, keys + values};
    for (int i = 0; i < 3; i++)
        if (!ts_size_mul(n, factors[i], &n)) return 0;
    return n;
}
