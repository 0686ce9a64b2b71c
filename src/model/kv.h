/* kv.h - the key-value cache of one timeline, made of pages that timelines of an engine may share.
 *
 * Positions are kept in tiles of TS_KV_TILE. Inside a tile keys lie [head_pad][64], positions in SIMD lanes, so that a
 * score costs no horizontal sum; values lie [64][head_pad]. In a q8_0 cache keys are packed as the weights of a linear
 * layer of 64 rows are (layout.h: 4 groups, blocks of 32 along the head), so that its kernel computes scores; values
 * are int8 [64][head_pad] and behind them scales f16 [64][ceil(head_pad / 32)]. A *page* is one tile of every layer and
 * head: the keys and values of 64 positions, in the order [layer][kv_head][K|V]. A timeline has a table of pages, which
 * grows as it does.
 *
 * Pages are counted by reference: a timeline that begins like another one shares its pages (ts_kv_share), and nobody
 * writes to a page that somebody else holds (ts_kv_reserve replaces it by a copy). One page for all layers, because
 * they are always shared, copied and dropped together: the table is short, and a new page is one allocation. */
#ifndef TS_MODEL_KV_H
#define TS_MODEL_KV_H

#include "kern/kern.h"
#include "model/config.h"
#include "tessera/tessera.h"

/* Where pages come from: the engine has one. Any thread. Pages that nobody holds any more are kept for the next one
 * that needs some, up to TS_KV_KEPT bytes; the rest goes back to the system. */
typedef struct ts_kv_pool ts_kv_pool;
enum { TS_KV_KEPT = 64 << 20 };
TS_NODISCARD ts_status ts_kv_pool_new(ts_kv_pool **out, const ts_model_config *c, ts_err *err);
void ts_kv_pool_free(ts_kv_pool *pool); /* NULL-safe; no timeline has pages of it any more */
/* The memory of one page, zero; and its end. The host reads, copies and writes it, whoever else does. */
typedef struct ts_kv_mem {
    ts_status (*page_new)(size_t bytes, ts_big *out, ts_err *err);
    void (*page_free)(ts_big *page);
} ts_kv_mem;
extern const ts_kv_mem ts_kv_mem_host;
/* A pool of the host's memory may get other memory before its first page. */
void ts_kv_pool_use(ts_kv_pool *pool, const ts_kv_mem *mem);
/* Bytes of the pages that timelines hold, each counted once. */
size_t ts_kv_pool_bytes(const ts_kv_pool *pool);

typedef struct ts_kv {
    ts_kv_pool *pool;
    ts_kv_type type;
    uint32_t n_ctx;  /* positions it can grow to */
    uint32_t n_tile, head_pad, n_kv_head;
    size_t key_bytes, value_bytes; /* of a tile */
    size_t page_bytes;
    ts_qmat keys;    /* q8_0: of a tile, but for its data */
    char **page;     /* [n_tile], NULL: nothing there yet */
} ts_kv;

TS_NODISCARD ts_status ts_kv_init(ts_kv *kv, ts_kv_pool *pool, uint32_t n_ctx, ts_kv_type type, ts_err *err);
void ts_kv_fini(ts_kv *kv);

/* Positions [pos, pos + n), within n_ctx, can be stored from now on: their pages are there and nobody else's. What is
 * stored below pos stays. One allocation for each new page, none otherwise. TS_E_NOMEM: all stays as it was. */
TS_NODISCARD ts_status ts_kv_reserve(ts_kv *kv, uint32_t pos, uint32_t n, ts_err *err);
/* Let go of the pages behind the first n positions. */
void ts_kv_keep(ts_kv *kv, uint32_t n);
/* `to` (of the same pool and type, at least n positions) gets the first n positions of `from`, and nothing else. */
void ts_kv_share(ts_kv *to, const ts_kv *from, uint32_t n);
/* Single pages, for who keeps them apart from a timeline: a new one (in it anything, but for the padding, which is
 * zero), one more holder, one less (NULL-safe), and a timeline's tile from now on, which takes over what the caller
 * holds. `kv` is any of the page's pool and type. Any thread. */
TS_NODISCARD ts_status ts_kv_page_new(const ts_kv *kv, char **out, ts_err *err);
void ts_kv_page_hold(const ts_kv *kv, char *page);
void ts_kv_page_drop(const ts_kv *kv, char *page);
void ts_kv_put(ts_kv *kv, uint32_t tile, char *page);
/* A page that came from outside: cleared from position `first` on as ts_kv_blank does; false: a key or value is no
 * finite number. */
TS_NODISCARD bool ts_kv_admit(const ts_kv *kv, char *page, uint32_t first);
/* Clear, in a page that is like one of kv's, the positions from `first` (0 .. 64) on and the padding of heads. */
void ts_kv_blank(const ts_kv *kv, char *page, uint32_t first);
/* Bytes of its pages; *own of those that nobody else holds. */
uint64_t ts_kv_held(const ts_kv *kv, uint64_t *own);

/* The tile of a head, of keys or values; its page is there. */
static inline void *ts_kv_tile(const ts_kv *kv, uint32_t layer, bool values, uint32_t head, uint32_t tile) {
    size_t at = ((size_t)layer * kv->n_kv_head + head) * (kv->key_bytes + kv->value_bytes);
    return kv->page[tile] + at + (values ? kv->key_bytes : 0);
}

/* The largest size of a key's or value's element that a cache can hold. */
float ts_kv_limit(ts_kv_type type);

/* Store the key and value of one position and head (reserved): k and v f32 [head_dim], within ts_kv_limit;
 * the padding stays zero. */
void ts_kv_store(ts_kv *kv, const ts_kern *kern, uint32_t layer, uint32_t head, uint32_t pos, const float *k,
                 const float *v, uint32_t head_dim);

#endif
