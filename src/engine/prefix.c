/* prefix.c - the prefix store: what sessions give it and take from it. */
#include "engine/prefix.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/sized.h"
#include "engine/session_file.h"

#include <string.h>

/* ---- a store ----------------------------------------------------------------------------------------------------- */

static uint64_t default_memory(void) {
    const uint64_t there = ts_mem_available();
    return there ? there / 4 : 1u << 30;
}

ts_status ts_prefix_store_new_sized(ts_prefix_store **out, ts_engine *e, const ts_prefix_opts *given, size_t opts_size,
                                    ts_err *err) {
    ts_prefix_opts opts;
    TS_TRY(ts_sized_in(&opts, sizeof opts, given, opts_size, err));
    TS_NEED(out && e && e->model, err, "a prefix store needs an engine with a model");
    ts_prefix_store *p = ts_calloc(1, sizeof *p);
    if (!p) return ts_fail_nomem(err, "the prefix store", sizeof *p);
    if (opts.dir) ts_log(TS_LOG_WARN, "the prefix store is in memory only so far: nothing is kept in %s", opts.dir);
    p->e = e;
    p->memory_bytes = opts.memory_bytes ? opts.memory_bytes : default_memory();
    p->model = ts_session_model_id(e);
    pthread_mutex_init(&p->lock, NULL); /* without attributes it cannot fail */
    ts_status s = ts_keytable_init(&p->tree.table) ? TS_OK : ts_fail_nomem(err, "the prefix store", 0);
    for (int t = 0; t < TS_PREFIX_KV_TYPES && s == TS_OK; t++)
        s = ts_kv_init(&p->like[t], e->kv_pool, TS_KV_TILE, (ts_kv_type)t, err);
    if (s != TS_OK) {
        ts_prefix_store_free(p);
        return s;
    }
    *out = p;
    return TS_OK;
}

void ts_prefix_store_free(ts_prefix_store *p) {
    if (!p) return;
    ts_prefix_tiles_free(ts_prefix_shrink(&p->tree, 0, p->like), p->like);
    ts_keytable_fini(&p->tree.table);
    for (int t = 0; t < TS_PREFIX_KV_TYPES; t++) ts_kv_fini(&p->like[t]);
    pthread_mutex_destroy(&p->lock);
    ts_free(p);
}

void ts_prefix_get_stats_sized(ts_prefix_store *p, ts_prefix_stats *out, size_t out_size) {
    pthread_mutex_lock(&p->lock);
    ts_prefix_stats stats = p->stats;
    stats.pages = p->tree.table.n;
    stats.bytes = p->tree.bytes;
    pthread_mutex_unlock(&p->lock);
    ts_sized_out(out, out_size, &stats, sizeof stats);
}

/* ---- take, give -------------------------------------------------------------------------------------------------- */

/* The path's tiles that are in memory, from the first on, into an empty cache; how many. */
static uint32_t take_from_memory(ts_prefix_store *p, const ts_prefix_path *path, ts_kv *kv) {
    ts_prefix_tile *last = NULL, *tile;
    uint32_t n = 0;
    pthread_mutex_lock(&p->lock);
    for (; n < path->n && (tile = ts_prefix_find(&p->tree, last, path, n)); n++) {
        ts_kv_page_hold(kv, tile->page);
        ts_kv_put(kv, n, tile->page);
        last = tile;
    }
    ts_prefix_touch(&p->tree, last);
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* The path's first n tiles with these pages into memory. false: there is none for all of them. */
static bool keep(ts_prefix_store *p, const ts_prefix_path *path, char *const page[], uint32_t n) {
    ts_prefix_tile *last = NULL;
    uint32_t i = 0;
    pthread_mutex_lock(&p->lock);
    for (; i < n; i++) {
        ts_prefix_tile *tile = ts_prefix_find(&p->tree, last, path, i);
        if (!tile && !(tile = ts_prefix_add(&p->tree, last, path, i, &p->like[path->type], page[i]))) break;
        last = tile;
    }
    ts_prefix_touch(&p->tree, last);
    ts_prefix_tile *gone = ts_prefix_shrink(&p->tree, p->memory_bytes, p->like);
    pthread_mutex_unlock(&p->lock);
    ts_prefix_tiles_free(gone, p->like);
    return i == n;
}

static void count_take(ts_prefix_store *p, uint64_t tokens) {
    pthread_mutex_lock(&p->lock);
    *(tokens ? &p->stats.hits : &p->stats.misses) += 1;
    p->stats.hit_tokens += tokens;
    pthread_mutex_unlock(&p->lock);
}

ts_status ts_prefix_take(ts_prefix_store *p, ts_session *s, const ts_token *tokens, size_t n, size_t *found,
                         ts_err *err) {
    TS_NEED(p && s && found && (tokens || !n), err, "ts_prefix_take: there is no store, session or place for results");
    TS_NEED(s->e == p->e, err, "the session is not of the prefix store's engine");
    TS_NEED(s->n == 0 && s->pending == 0, err, "a session that takes a beginning has to be empty: this one has %zu "
            "tokens", s->n + s->pending);
    TS_TRY(p->e->src->op->check_unchanged(p->e->src, err));
    const size_t most = n ? n - 1 : 0, whole = (most < s->n_ctx ? most : s->n_ctx) / TS_KV_TILE;
    if (whole == 0) {
        *found = 0;
        return TS_OK;
    }
    ts_prefix_path path;
    TS_TRY(ts_prefix_path_init(&path, p->model, s->kv.type, tokens, (uint32_t)whole, err));
    const uint32_t there = take_from_memory(p, &path, &s->kv);
    ts_prefix_path_fini(&path);
    s->n = (size_t)there * TS_KV_TILE;
    memcpy(s->token, tokens, s->n * sizeof *tokens);
    if (there) s->failed.code = TS_OK;
    count_take(p, s->n);
    *found = s->n;
    return TS_OK;
}

ts_status ts_prefix_give(ts_prefix_store *p, const ts_session *s, ts_err *err) {
    TS_NEED(p && s, err, "ts_prefix_give: there is no store, or no session");
    TS_NEED(s->e == p->e, err, "the session is not of the prefix store's engine");
    TS_TRY(p->e->src->op->check_unchanged(p->e->src, err));
    const uint32_t n = (uint32_t)(s->n / TS_KV_TILE);
    if (n == 0) return TS_OK;
    ts_prefix_path path;
    TS_TRY(ts_prefix_path_init(&path, p->model, s->kv.type, s->token, n, err));
    const bool all = keep(p, &path, s->kv.page, n);
    ts_prefix_path_fini(&path);
    return all ? TS_OK : ts_fail_nomem(err, "the prefix store", sizeof(ts_prefix_tile));
}
