#include "model/kv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* What the pool knows of a page stands behind its tiles, in the same mapping. */
typedef struct page_note {
    _Atomic uint32_t refs;
    ts_kv_type type;
    ts_big mem;             /* this page: tiles and note */
    struct page_note *next; /* of the kept ones */
} page_note;

static ts_status host_page(size_t bytes, ts_big *out, ts_err *err) {
    return ts_big_alloc(out, bytes, false, "a page of the KV cache", err);
}
const ts_kv_mem ts_kv_mem_host = {.page_new = host_page, .page_free = ts_big_free};

struct ts_kv_pool {
    ts_model_config c;
    const ts_kv_mem *mem;
    pthread_mutex_t lock; /* of what follows */
    page_note *kept;
    size_t kept_bytes, held_bytes;
};

ts_status ts_kv_pool_new(ts_kv_pool **out, const ts_model_config *c, ts_err *err) {
    ts_kv_pool *p = ts_calloc(1, sizeof *p);
    if (!p) return ts_fail_nomem(err, "the pool of the KV cache's pages", sizeof *p);
    p->c = *c;
    p->mem = &ts_kv_mem_host;
    pthread_mutex_init(&p->lock, NULL); /* without attributes it cannot fail */
    *out = p;
    return TS_OK;
}

void ts_kv_pool_use(ts_kv_pool *pool, const ts_kv_mem *mem) {
    pool->mem = mem;
}

void ts_kv_pool_free(ts_kv_pool *p) {
    if (!p) return;
    for (page_note *n = p->kept, *next; n; n = next) {
        next = n->next;
        ts_big mem = n->mem;
        p->mem->page_free(&mem);
    }
    pthread_mutex_destroy(&p->lock);
    ts_free(p);
}

size_t ts_kv_pool_bytes(const ts_kv_pool *pool) {
    ts_kv_pool *p = (ts_kv_pool *)(uintptr_t)pool; /* its lock */
    pthread_mutex_lock(&p->lock);
    size_t bytes = p->held_bytes;
    pthread_mutex_unlock(&p->lock);
    return bytes;
}

static page_note *note_of(const ts_kv *kv, char *page) {
    return (page_note *)(void *)(page + kv->page_bytes);
}

/* A kept page of this type: what is in it besides padding, which is zero, does not matter. */
static page_note *take_kept(ts_kv_pool *p, ts_kv_type type) {
    for (page_note **at = &p->kept; *at; at = &(*at)->next) {
        page_note *n = *at;
        if (n->type != type) continue;
        *at = n->next;
        p->kept_bytes -= n->mem.bytes;
        return n;
    }
    return NULL;
}

static ts_status take_page(const ts_kv *kv, char **out, ts_err *err) {
    ts_kv_pool *p = kv->pool;
    pthread_mutex_lock(&p->lock);
    page_note *n = take_kept(p, kv->type);
    p->held_bytes += kv->page_bytes;
    pthread_mutex_unlock(&p->lock);
    if (!n) {
        ts_big mem;
        ts_status s = p->mem->page_new(kv->page_bytes + sizeof *n, &mem, err);
        if (s != TS_OK) {
            pthread_mutex_lock(&p->lock);
            p->held_bytes -= kv->page_bytes;
            pthread_mutex_unlock(&p->lock);
            return s;
        }
        n = note_of(kv, mem.ptr);
        *n = (page_note){.type = kv->type, .mem = mem};
    }
    n->next = NULL;
    atomic_store_explicit(&n->refs, 1, memory_order_relaxed);
    *out = n->mem.ptr;
    return TS_OK;
}

static void drop_page(const ts_kv *kv, char *page) {
    if (!page) return;
    ts_kv_pool *p = kv->pool;
    page_note *n = note_of(kv, page);
    if (atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1) return;
    ts_big mem = n->mem;
    pthread_mutex_lock(&p->lock);
    p->held_bytes -= kv->page_bytes;
    const bool keep = p->kept_bytes + mem.bytes <= TS_KV_KEPT;
    if (keep) {
        n->next = p->kept;
        p->kept = n;
        p->kept_bytes += mem.bytes;
    }
    pthread_mutex_unlock(&p->lock);
    if (!keep) p->mem->page_free(&mem);
}

static bool shared(const ts_kv *kv, char *page) {
    /* acquire: who let go of it has read what he wanted before we write */
    return atomic_load_explicit(&note_of(kv, page)->refs, memory_order_acquire) > 1;
}

/* ---- a timeline's ------------------------------------------------------------------------------------------------ */

static uint32_t tiles_of(uint32_t n) {
    return n / TS_KV_TILE + (n % TS_KV_TILE != 0);
}

ts_status ts_kv_init(ts_kv *out, ts_kv_pool *pool, uint32_t n_ctx, ts_kv_type type, ts_err *err) {
    const ts_model_config *c = &pool->c;
    if (n_ctx == 0 || !ts_kv_bytes(c, n_ctx, type))
        return ts_fail(err, TS_E_INVAL, "a context of %u positions is not possible", n_ctx);
    const size_t elem = type == TS_KV_F16 ? 2 : 4, tile = (size_t)ts_head_pad(c) * TS_KV_TILE * elem;
    ts_kv kv = {.pool = pool,
                .type = type,
                .n_ctx = n_ctx,
                .n_tile = tiles_of(n_ctx),
                .head_pad = ts_head_pad(c),
                .n_kv_head = c->n_kv_head,
                .key_bytes = tile,
                .value_bytes = tile,
                .page_bytes = ts_kv_bytes(c, 1, type)};
    kv.page = ts_calloc(kv.n_tile, sizeof *kv.page);
    if (!kv.page) return ts_fail_nomem(err, "the KV cache's table", kv.n_tile * sizeof *kv.page);
    *out = kv;
    return TS_OK;
}

void ts_kv_fini(ts_kv *kv) {
    if (kv->page) ts_kv_keep(kv, 0);
    ts_free(kv->page);
    *kv = (ts_kv){0};
}

ts_status ts_kv_reserve(ts_kv *kv, uint32_t pos, uint32_t n, ts_err *err) {
    for (uint32_t tile = pos / TS_KV_TILE; tile < tiles_of(pos + n); tile++) {
        char *old = kv->page[tile], *page;
        if (old && !shared(kv, old)) continue;
        TS_TRY(take_page(kv, &page, err));
        if (old && tile * TS_KV_TILE < pos) memcpy(page, old, kv->page_bytes);
        kv->page[tile] = page;
        drop_page(kv, old);
    }
    return TS_OK;
}

void ts_kv_keep(ts_kv *kv, uint32_t n) {
    for (uint32_t tile = tiles_of(n); tile < kv->n_tile && kv->page[tile]; tile++) {
        drop_page(kv, kv->page[tile]);
        kv->page[tile] = NULL;
    }
}

void ts_kv_share(ts_kv *to, const ts_kv *from, uint32_t n) {
    for (uint32_t tile = 0; tile < tiles_of(n); tile++) {
        char *page = from->page[tile];
        atomic_fetch_add_explicit(&note_of(from, page)->refs, 1, memory_order_relaxed);
        drop_page(to, to->page[tile]);
        to->page[tile] = page;
    }
    ts_kv_keep(to, n);
}

/* Rows [r0, r1) of a tile, columns [c0, c1). */
static void clear(char *tile, size_t width, uint32_t r0, uint32_t r1, size_t c0, size_t c1, size_t elem) {
    for (uint32_t r = r0; r < r1; r++) memset(tile + (r * width + c0) * elem, 0, (c1 - c0) * elem);
}

void ts_kv_blank(const ts_kv *kv, char *page, uint32_t first) {
    const uint32_t hd = kv->pool->c.head_dim, pad = kv->head_pad;
    const size_t elem = kv->type == TS_KV_F16 ? 2 : 4;
    for (char *keys = page; keys < page + kv->page_bytes; keys += kv->key_bytes + kv->value_bytes) {
        char *values = keys + kv->key_bytes;
        clear(keys, TS_KV_TILE, 0, hd, first, TS_KV_TILE, elem);
        clear(keys, TS_KV_TILE, hd, pad, 0, TS_KV_TILE, elem);
        clear(values, pad, 0, first, hd, pad, elem);
        clear(values, pad, first, TS_KV_TILE, 0, pad, elem);
    }
}

uint64_t ts_kv_held(const ts_kv *kv, uint64_t *own) {
    uint64_t all = 0;
    *own = 0;
    for (uint32_t tile = 0; tile < kv->n_tile && kv->page[tile]; tile++) {
        all += kv->page_bytes;
        if (!shared(kv, kv->page[tile])) *own += kv->page_bytes;
    }
    return all;
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
