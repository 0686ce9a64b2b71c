/* prefix.c - the prefix store: what sessions give it and take from it. */
#include "base/cpu.h"
#include "base/log.h"
#include "base/sized.h"
#include "engine/prefix_disk.h"
#include "engine/session_file.h"

#include <string.h>

enum { DEFAULT_DISK_GIB = 8 };

/* ---- a store ----------------------------------------------------------------------------------------------------- */

static uint64_t default_memory(void) {
    const uint64_t there = ts_mem_available();
    return there ? there / 4 : 1u << 30;
}

/* A folder that cannot be used is no reason to have no store. */
static ts_status open_disk(ts_prefix_store *p, const ts_prefix_opts *opts, ts_err *err) {
    const uint64_t cap = opts->disk_bytes ? opts->disk_bytes : (uint64_t)DEFAULT_DISK_GIB << 30;
    ts_err why;
    if (!opts->dir) return TS_OK;
    ts_status s = ts_prefix_disk_open(&p->disk, opts->dir, cap, p->model, &why);
    if (s == TS_E_IO) {
        ts_log(TS_LOG_WARN, "the KV store is in memory only: %s", why.msg);
        return TS_OK;
    }
    if (s == TS_OK) s = ts_prefix_writer_start(p, &why);
    if (s == TS_OK) return TS_OK;
    ts_prefix_disk_close(p->disk); /* without its writer */
    p->disk = NULL;
    if (err) *err = why;
    return s;
}

ts_status ts_prefix_store_new_sized(ts_prefix_store **out, ts_engine *e, const ts_prefix_opts *given, size_t opts_size,
                                    ts_err *err) {
    ts_prefix_opts opts;
    TS_TRY(ts_sized_in(&opts, sizeof opts, given, opts_size, err));
    TS_NEED(out && e && e->model, err, "a prefix store needs an engine with a model");
    ts_prefix_store *p = ts_calloc(1, sizeof *p);
    if (!p) return ts_fail_nomem(err, "the prefix store", sizeof *p);
    p->e = e;
    p->memory_bytes = opts.memory_bytes ? opts.memory_bytes : default_memory();
    pthread_mutex_init(&p->lock, NULL); /* without attributes they cannot fail */
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    ts_status s = ts_keytable_init(&p->tree.table) ? TS_OK : ts_fail_nomem(err, "the prefix store", 0);
    if (s == TS_OK) s = ts_session_model_id(e, &p->model, err);
    for (int t = 0; t < TS_PREFIX_KV_TYPES && s == TS_OK; t++)
        s = ts_kv_init(&p->like[t], e->kv_pool, TS_KV_TILE, (ts_kv_type)t, err);
    if (s == TS_OK) s = open_disk(p, &opts, err);
    if (s != TS_OK) {
        ts_prefix_store_free(p);
        return s;
    }
    *out = p;
    return TS_OK;
}

void ts_prefix_store_free(ts_prefix_store *p) {
    if (!p) return;
    if (p->disk) ts_prefix_writer_stop(p);
    ts_prefix_disk_close(p->disk);
    ts_prefix_tiles_free(ts_prefix_shrink(&p->tree, 0, p->like), p->like);
    ts_keytable_fini(&p->tree.table);
    for (int t = 0; t < TS_PREFIX_KV_TYPES; t++) ts_kv_fini(&p->like[t]);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    ts_free(p);
}

void ts_prefix_get_stats_sized(ts_prefix_store *p, ts_prefix_stats *out, size_t out_size) {
    pthread_mutex_lock(&p->lock);
    ts_prefix_stats stats = p->stats;
    stats.pages = p->tree.table.n;
    stats.bytes = p->tree.bytes;
    pthread_mutex_unlock(&p->lock);
    if (p->disk) ts_prefix_disk_count(p->disk, &stats);
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

/* The path's first n tiles with these pages into memory, and those of a path that is worth it to the writer. false: no
 * memory for all of them. */
static bool keep(ts_prefix_store *p, const ts_prefix_path *path, char *const page[], uint32_t n, bool write) {
    ts_prefix_tile *last = NULL;
    uint32_t i = 0;
    pthread_mutex_lock(&p->lock);
    for (; i < n; i++) {
        ts_prefix_tile *tile = ts_prefix_find(&p->tree, last, path, i);
        if (!tile && !(tile = ts_prefix_add(&p->tree, last, path, i, &p->like[path->type], page[i]))) break;
        write = write && ts_prefix_writer_give(p, path, tile);
        last = tile;
    }
    ts_prefix_touch(&p->tree, last);
    ts_prefix_tile *gone = ts_prefix_shrink(&p->tree, p->memory_bytes, p->like);
    pthread_mutex_unlock(&p->lock);
    ts_prefix_tiles_free(gone, p->like);
    return i == n;
}

/* The path's tiles behind the first `there`, from files; how many there are now. */
static uint32_t take_from_disk(ts_prefix_store *p, const ts_prefix_path *path, uint32_t there, ts_kv *kv) {
    char **page = ts_calloc(path->n, sizeof *page);
    uint32_t n = there;
    for (uint32_t more = 1; page && more && n < path->n; n += more)
        more = ts_prefix_disk_read(p->disk, path, n, kv, page);
    for (uint32_t i = there; i < n; i++) ts_kv_put(kv, i, page[i]);
    ts_free(page);
    if (n > there) (void)keep(p, path, kv->page, n, false); /* where there is no memory, the session has it */
    if (n < path->n) ts_prefix_writer_look(p);
    return n;
}

/* The path's tiles into an empty cache, from the first on, as many as there are. */
static uint32_t take_all(ts_prefix_store *p, const ts_prefix_path *path, ts_kv *kv) {
    const uint32_t known = take_from_memory(p, path, kv);
    uint32_t n = known;
    if (p->disk && n < path->n) n = take_from_disk(p, path, n, kv);
    if (p->disk) ts_prefix_disk_used(p->disk, path, n);
    pthread_mutex_lock(&p->lock);
    *(n ? &p->stats.hits : &p->stats.misses) += 1;
    p->stats.hit_tokens += (uint64_t)n * TS_KV_TILE;
    p->stats.disk_tokens += (uint64_t)(n - known) * TS_KV_TILE;
    pthread_mutex_unlock(&p->lock);
    return n;
}

ts_status ts_prefix_take(ts_prefix_store *p, ts_session *s, const ts_token *tokens, size_t n, size_t *found,
                         ts_err *err) {
    TS_NEED(p && s && found && (tokens || !n), err, "ts_prefix_take: there is no store, session or place for results");
    TS_NEED(s->e == p->e, err, "the session is not of the prefix store's engine");
    TS_NEED(s->n == 0 && s->pending == 0, err,
            "a session that takes a beginning has to be empty: this one has %zu "
            "tokens",
            s->n + s->pending);
    TS_TRY(p->e->src->op->check_unchanged(p->e->src, err));
    const size_t most = n ? n - 1 : 0, whole = (most < s->n_ctx ? most : s->n_ctx) / TS_KV_TILE;
    if (whole == 0) {
        *found = 0;
        return TS_OK;
    }
    ts_prefix_path path;
    TS_TRY(ts_prefix_path_init(&path, p->model, s->kv.type, tokens, (uint32_t)whole, err));
    s->n = (size_t)take_all(p, &path, &s->kv) * TS_KV_TILE;
    ts_prefix_path_fini(&path);
    memcpy(s->token, tokens, s->n * sizeof *tokens);
    if (s->n) s->failed.code = TS_OK;
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
    const bool all = keep(p, &path, s->kv.page, n, true);
    ts_prefix_path_fini(&path);
    return all ? TS_OK : ts_fail_nomem(err, "the prefix store", sizeof(ts_prefix_tile));
}
