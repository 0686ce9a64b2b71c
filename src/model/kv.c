#include "model/kv.h"
#include "kern/fmath.h"

#include <float.h>
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

/* A position touches most of a page, all keys of it: huge ones cost nothing. */
static ts_status host_page(size_t bytes, ts_big *out, ts_err *err) {
    return ts_big_alloc(out, bytes, bytes >= TS_HUGE_PAGE, "a page of the KV cache", err);
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

ts_status ts_kv_page_new(const ts_kv *kv, char **out, ts_err *err) {
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

void ts_kv_page_hold(const ts_kv *kv, char *page) {
    atomic_fetch_add_explicit(&note_of(kv, page)->refs, 1, memory_order_relaxed);
}

void ts_kv_page_drop(const ts_kv *kv, char *page) {
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
    ts_kv kv = {.pool = pool,
                .type = type,
                .n_ctx = n_ctx,
                .n_tile = tiles_of(n_ctx),
                .head_pad = ts_head_pad(c),
                .n_kv_head = c->n_kv_head,
                .page_bytes = ts_kv_bytes(c, 1, type)};
    ts_kv_tile_bytes(c, type, &kv.key_bytes, &kv.value_bytes);
    (void)ts_qmat_init(&kv.keys, TS_Q8_0, TS_KV_TILE, (kv.head_pad + 31) & ~31u); /* of a few rows it always can */
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
        TS_TRY(ts_kv_page_new(kv, &page, err));
        if (old && tile * TS_KV_TILE < pos) memcpy(page, old, kv->page_bytes);
        kv->page[tile] = page;
        ts_kv_page_drop(kv, old);
    }
    return TS_OK;
}

void ts_kv_keep(ts_kv *kv, uint32_t n) {
    for (uint32_t tile = tiles_of(n); tile < kv->n_tile && kv->page[tile]; tile++) {
        ts_kv_page_drop(kv, kv->page[tile]);
        kv->page[tile] = NULL;
    }
}

void ts_kv_share(ts_kv *to, const ts_kv *from, uint32_t n) {
    for (uint32_t tile = 0; tile < tiles_of(n); tile++) {
        char *page = from->page[tile];
        ts_kv_page_hold(from, page);
        ts_kv_page_drop(to, to->page[tile]);
        to->page[tile] = page;
    }
    ts_kv_keep(to, n);
}

void ts_kv_put(ts_kv *kv, uint32_t tile, char *page) {
    ts_kv_page_drop(kv, kv->page[tile]);
    kv->page[tile] = page;
}

/* Rows [r0, r1) of a tile, columns [c0, c1). */
static void clear(char *tile, size_t width, uint32_t r0, uint32_t r1, size_t c0, size_t c1, size_t elem) {
    for (uint32_t r = r0; r < r1; r++) memset(tile + (r * width + c0) * elem, 0, (c1 - c0) * elem);
}

/* Positions from `first` on in a tile of a q8_0 cache; in its padding nothing can do harm. */
static void blank_q8(const ts_kv *kv, char *keys, char *values, uint32_t first) {
    const ts_qmat *m = &kv->keys;
    for (uint32_t p = first; p < TS_KV_TILE; p++) {
        const uint32_t row = p % TS_GROUP_ROWS;
        char *head = keys + p / TS_GROUP_ROWS * m->group_bytes, *main = head + m->head_stride;
        for (uint32_t b = 0; b < m->n_block; b++) memset(head + (b * TS_GROUP_ROWS + row) * 2, 0, 2);
        for (uint32_t w = 0; w < m->n_block * 8; w++) memset(main + (w * TS_GROUP_ROWS + row) * 4, 0, 4);
    }
    clear(values, kv->head_pad, first, TS_KV_TILE, 0, kv->head_pad, 1);
    clear(values + (size_t)TS_KV_TILE * kv->head_pad, m->n_block, first, TS_KV_TILE, 0, m->n_block, 2);
}

void ts_kv_blank(const ts_kv *kv, char *page, uint32_t first) {
    const uint32_t hd = kv->pool->c.head_dim, pad = kv->head_pad;
    const size_t elem = kv->type == TS_KV_F16 ? 2 : 4;
    for (char *keys = page; keys < page + kv->page_bytes; keys += kv->key_bytes + kv->value_bytes) {
        char *values = keys + kv->key_bytes;
        if (kv->type == TS_KV_Q8_0) {
            blank_q8(kv, keys, values, first);
            continue;
        }
        clear(keys, TS_KV_TILE, 0, hd, first, TS_KV_TILE, elem);
        clear(keys, TS_KV_TILE, hd, pad, 0, TS_KV_TILE, elem);
        clear(values, pad, 0, first, hd, pad, elem);
        clear(values, pad, first, TS_KV_TILE, 0, pad, elem);
    }
}

static bool finite16(const void *data, size_t n) {
    const uint16_t *x = data;
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7c00u) == 0x7c00u;
    return !bad;
}

static bool finite32(const void *data, size_t n) {
    const uint32_t *x = data;
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

/* A tile of keys and one of values; in a q8_0 cache scales alone could be no numbers. */
static bool finite_tile(const ts_kv *kv, const char *keys) {
    const size_t n = (size_t)TS_KV_TILE * kv->head_pad, n_scale = (size_t)TS_GROUP_ROWS * kv->keys.n_block;
    const char *values = keys + kv->key_bytes;
    if (kv->type == TS_KV_F32) return finite32(keys, n) && finite32(values, n);
    if (kv->type == TS_KV_F16) return finite16(keys, n) && finite16(values, n);
    for (uint32_t g = 0; g < TS_KV_TILE / TS_GROUP_ROWS; g++)
        if (!finite16(keys + g * kv->keys.group_bytes, n_scale)) return false;
    return finite16(values + n, (size_t)TS_KV_TILE * kv->keys.n_block);
}

bool ts_kv_admit(const ts_kv *kv, char *page, uint32_t first) {
    ts_kv_blank(kv, page, first);
    for (const char *t = page; t < page + kv->page_bytes; t += kv->key_bytes + kv->value_bytes)
        if (!finite_tile(kv, t)) return false;
    return true;
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

const char *ts_kv_type_name(ts_kv_type type) {
    static const char *const name[] = {[TS_KV_F16] = "f16", [TS_KV_F32] = "f32", [TS_KV_Q8_0] = "q8_0"};
    return (unsigned)type < sizeof name / sizeof *name ? name[type] : NULL;
}

float ts_kv_limit(ts_kv_type type) {
    static const float f16 = 0x1.ffdffep+15f; /* the largest f32 that rounds to a finite F16, 65504 */
    return type == TS_KV_F32 ? FLT_MAX : type == TS_KV_F16 ? f16 : 65504.0f * 127;
}

/* One position of a head as int8 in blocks of 32, by rule 1 of docs/numerics.md, and the blocks' scales in f16. */
struct rounded {
    _Alignas(64) int8_t q[1024]; /* head_dim <= 1024, config.c */
    uint16_t d[32];
};

static void round_q8(const ts_kern *kern, const float *x, uint32_t n, uint32_t padded, struct rounded *out) {
    _Alignas(64) float in[1024], d[32], s[32];
    int32_t off[3][32];
    ts_qact act = {.K_max = 1024, .cap = 1, .q32 = out->q, .d32 = d, .s32 = s, .off8 = off[0], .off16 = off[1],
                   .off128 = off[2]};
    memcpy(in, x, n * sizeof *x);
    memset(in + n, 0, (padded - n) * sizeof *x);
    kern->quant32(in, padded, 1, 0, &act);
    kern->to_f16(d, out->d, padded / 32);
}

static void store_q8(const ts_kv *kv, const ts_kern *kern, uint8_t *keys, uint8_t *values, uint32_t p, const float *k,
                     const float *v, uint32_t head_dim) {
    const ts_qmat *m = &kv->keys;
    const uint32_t n_block = m->n_block, row = p % TS_GROUP_ROWS;
    uint8_t *head = keys + p / TS_GROUP_ROWS * m->group_bytes, *main = head + m->head_stride;
    struct rounded r;
    round_q8(kern, k, head_dim, m->n_cols, &r);
    for (uint32_t b = 0; b < n_block; b++) memcpy(head + (b * TS_GROUP_ROWS + row) * 2, &r.d[b], 2);
    for (uint32_t w = 0; w < n_block * 8; w++)
        for (uint32_t i = 0; i < 4; i++)
            main[(w * TS_GROUP_ROWS + row) * 4 + i] = (uint8_t)(r.q[4 * w + i] + 128);
    round_q8(kern, v, head_dim, m->n_cols, &r);
    memcpy(values + (size_t)p * kv->head_pad, r.q, kv->head_pad);
    memcpy(values + (size_t)TS_KV_TILE * kv->head_pad + (size_t)p * n_block * 2, r.d, n_block * 2);
}

void ts_kv_store(ts_kv *kv, const ts_kern *kern, uint32_t layer, uint32_t head, uint32_t pos, const float *k,
                 const float *v, uint32_t head_dim) {
    uint32_t tile = pos / TS_KV_TILE, p = pos % TS_KV_TILE;
    void *keys = ts_kv_tile(kv, layer, false, head, tile), *values = ts_kv_tile(kv, layer, true, head, tile);
    if (kv->type == TS_KV_F32) {
        for (uint32_t d = 0; d < head_dim; d++) ((float *)keys)[d * TS_KV_TILE + p] = k[d];
        for (uint32_t d = 0; d < head_dim; d++) ((float *)values)[(size_t)p * kv->head_pad + d] = ts_z(v[d]);
        return;
    }
    if (kv->type == TS_KV_Q8_0) {
        store_q8(kv, kern, keys, values, p, k, v, head_dim);
        return;
    }
    uint16_t half[1024]; /* head_dim <= 1024, config.c */
    kern->to_f16(k, half, head_dim);
    for (uint32_t d = 0; d < head_dim; d++) ((uint16_t *)keys)[d * TS_KV_TILE + p] = half[d];
    kern->to_f16(v, (uint16_t *)values + (size_t)p * kv->head_pad, head_dim);
}
