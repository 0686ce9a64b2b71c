/* kv.h - the key-value cache of one timeline. Depends on: config.h, kern/kern.h.
 *
 * Positions are kept in tiles of TS_KV_TILE. Inside a tile keys lie [head_pad][64], positions in SIMD lanes, so that a
 * score costs no horizontal sum; values lie [64][head_pad]. Order: [layer][K|V][kv_head][tile]. */
#ifndef TS_MODEL_KV_H
#define TS_MODEL_KV_H

#include "kern/kern.h"
#include "model/config.h"
#include "tessera/tessera.h"

typedef struct ts_kv {
    ts_kv_type type;
    uint32_t n_ctx;  /* positions it holds */
    uint32_t n_tile, head_pad, n_kv_head;
    size_t elem;     /* bytes of an element */
    ts_big mem;
} ts_kv;

TS_NODISCARD ts_status ts_kv_init(ts_kv *kv, const ts_model_config *c, uint32_t n_ctx, ts_kv_type type, ts_err *err);
void ts_kv_fini(ts_kv *kv);

/* The tile of a head: head_pad * 64 elements of keys or values. */
static inline void *ts_kv_tile(const ts_kv *kv, uint32_t layer, bool values, uint32_t head, uint32_t tile) {
    size_t at = (((size_t)layer * 2 + values) * kv->n_kv_head + head) * kv->n_tile + tile;
    return (char *)kv->mem.ptr + at * kv->head_pad * TS_KV_TILE * kv->elem;
}

/* Store the key and value of one position and head: k and v f32 [head_dim]; the padding stays zero. */
void ts_kv_store(ts_kv *kv, const ts_kern *kern, uint32_t layer, uint32_t head, uint32_t pos, const float *k,
                 const float *v, uint32_t head_dim);

#endif
