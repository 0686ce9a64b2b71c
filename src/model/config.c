#include "model/config.h"
#include "kern/kern.h"

size_t ts_kv_bytes(const ts_model_config *c, uint64_t n_ctx, ts_kv_type type) {
    size_t n = (size_t)((n_ctx + TS_KV_TILE - 1) / TS_KV_TILE * TS_KV_TILE);
    const size_t factors[] = {c->n_layer, c->n_kv_head, ts_head_pad(c), 2, type == TS_KV_F32 ? 4 : 2};
    for (int i = 0; i < 5; i++)
        if (!ts_size_mul(n, factors[i], &n)) return 0;
    return n;
}
