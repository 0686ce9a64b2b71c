/* config.h - what a model's shape costs. */
#ifndef TS_MODEL_CONFIG_H
#define TS_MODEL_CONFIG_H

#include "source/model_config.h"
#include "tessera/tessera.h"

/* Bytes of one tile of a head's keys and values. */
void ts_kv_tile_bytes(const ts_model_config *c, ts_kv_type type, size_t *keys, size_t *values);
/* Bytes of KV cache for n_ctx positions: keys and values of every layer, positions rounded up to whole tiles. 0 on
 * overflow. */
size_t ts_kv_bytes(const ts_model_config *c, uint64_t n_ctx, ts_kv_type type);

#endif
