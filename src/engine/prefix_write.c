/* prefix_write.c - the thread of the prefix store that writes files, so that nobody else waits for the disk. */
#include "base/clock.h"
#include "base/log.h"
#include "engine/prefix_disk.h"

#include <signal.h>
#include <string.h>

enum { RUN_BYTES = 32 << 20 /* of pages, in a file; one tile at least */, RUN_TILES = 256 };
/* What waits stays in memory: this much beside the budget, or half of it. */
#define QUEUE_BYTES (UINT64_C(256) << 20)
#define QUIET_NS INT64_C(60000000000) /* after a failure */
#define LOOK_NS INT64_C(1000000000)   /* between two of the writer's looks at the folder */

/* ---- what waits; the caller holds the lock ----------------------------------------------------------------------- */

static uint64_t page_bytes(const ts_prefix_store *p, const ts_prefix_tile *tile) {
    return p->like[tile->type].page_bytes;
}

static bool queue(ts_prefix_store *p, ts_prefix_tile *tile) {
    ts_prefix_tree *t = &p->tree;
    const uint64_t most = p->memory_bytes / 2 > QUEUE_BYTES ? p->memory_bytes / 2 : QUEUE_BYTES;
    if (t->queue_bytes + page_bytes(p, tile) > most) return false;
    tile->state = TS_PREFIX_WAITS;
    tile->waits = NULL;
    *(t->queue ? t->queue_end : &t->queue) = tile;
    t->queue_end = &tile->waits;
    t->queue_bytes += page_bytes(p, tile);
    return true;
}

static ts_prefix_tile *unqueue(ts_prefix_store *p, ts_prefix_state state) {
    ts_prefix_tree *t = &p->tree;
    ts_prefix_tile *tile = t->queue;
    t->queue = tile->waits;
    t->queue_bytes -= page_bytes(p, tile);
    tile->state = state;
    return tile;
}

bool ts_prefix_writer_give(ts_prefix_store *p, const ts_prefix_path *path, ts_prefix_tile *tile) {
    if (!p->disk || path->n < TS_PREFIX_WORTH || (int64_t)ts_now_ns() < p->quiet_until) return false;
    if (tile->state != TS_PREFIX_PLAIN || ts_prefix_disk_has(p->disk, path, tile->depth)) return true;
    const bool room = queue(p, tile);
    if (room) pthread_cond_signal(&p->wake);
    return room;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

struct run { /* tiles [first, n of the path) */
    ts_prefix_path path;
    uint32_t first;
    ts_token *token; /* the path's */
    ts_prefix_tile **tile;
    char **page;
};

static void run_fini(struct run *r) {
    ts_free(r->token);
    ts_free(r->path.key);
    ts_free(r->tile);
    ts_free(r->page);
}

/* How many of the tiles that wait can be a file: each the child of the one before it. */
static uint32_t run_length(const ts_prefix_store *p) {
    const ts_prefix_tile *last = p->tree.queue;
    const uint64_t bytes = page_bytes(p, last), most = RUN_BYTES / bytes;
    uint32_t n = 1;
    for (; n < RUN_TILES && n < most && last->waits && last->waits->parent == last; n++) last = last->waits;
    return n;
}

/* The first tiles that wait, taken in hand. false: no memory, they wait no longer. */
static bool run_begin(ts_prefix_store *p, struct run *r) {
    const uint32_t n = run_length(p), first = p->tree.queue->depth, all = first + n;
    *r = (struct run){.first = first, .token = ts_alloc((size_t)all * TS_KV_TILE, sizeof *r->token),
                      .tile = ts_alloc(n, sizeof *r->tile), .page = ts_alloc(n, sizeof *r->page)};
    r->path = (ts_prefix_path){.type = p->tree.queue->type, .n = all, .token = r->token,
                               .key = ts_alloc(all, sizeof *r->path.key)};
    const bool ok = r->token && r->path.key && r->tile && r->page;
    ts_prefix_tile *tile = NULL;
    for (uint32_t i = 0; i < n; i++) {
        tile = unqueue(p, ok ? TS_PREFIX_IN_HAND : TS_PREFIX_PLAIN);
        if (!ok) continue;
        r->tile[i] = tile;
        r->page[i] = tile->page;
    }
    for (; ok && tile; tile = tile->parent) {
        memcpy(r->token + (size_t)tile->depth * TS_KV_TILE, tile->token, sizeof tile->token);
        r->path.key[tile->depth] = tile->in.key;
    }
    return ok;
}

/* Let go of its tiles; after a failure, of all that waits. */
static void run_end(ts_prefix_store *p, struct run *r, ts_status s) {
    for (uint32_t i = 0; i < r->path.n - r->first; i++) r->tile[i]->state = TS_PREFIX_PLAIN;
    if (s == TS_OK || s == TS_E_LIMIT) return;
    while (p->tree.queue) (void)unqueue(p, TS_PREFIX_PLAIN);
    p->quiet_until = (int64_t)ts_now_ns() + QUIET_NS;
}

static void warn(ts_prefix_store *p, const ts_err *err) {
    if (p->told) return; /* nobody else uses it */
    p->told = true;
    ts_log(TS_LOG_WARN, "the KV store goes on in memory for now: %s", err->msg);
}

/* The first tiles that wait into a file; the caller holds the lock. */
static void write_run(ts_prefix_store *p) {
    struct run r;
    ts_err err = {0};
    if (run_begin(p, &r)) {
        pthread_mutex_unlock(&p->lock);
        const ts_status s = ts_prefix_disk_write(p->disk, &r.path, r.first, &p->like[r.path.type], r.page, &err);
        if (s != TS_OK && s != TS_E_LIMIT) warn(p, &err);
        pthread_mutex_lock(&p->lock);
        run_end(p, &r, s);
    }
    run_fini(&r);
    ts_prefix_tile *gone = ts_prefix_shrink(&p->tree, p->memory_bytes, p->like);
    if (!gone) return;
    pthread_mutex_unlock(&p->lock);
    ts_prefix_tiles_free(gone, p->like);
    pthread_mutex_lock(&p->lock);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void *writer(void *arg) {
    ts_prefix_store *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        if (p->tree.queue) {
            write_run(p);
        } else if (p->stop) {
            break;
        } else if (p->look) {
            p->look = false;
            pthread_mutex_unlock(&p->lock);
            ts_prefix_disk_look(p->disk, false);
            pthread_mutex_lock(&p->lock);
        } else {
            p->busy = false;
            pthread_cond_broadcast(&p->done);
            pthread_cond_wait(&p->wake, &p->lock);
            p->busy = true;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

ts_status ts_prefix_writer_start(ts_prefix_store *p, ts_err *err) {
    sigset_t all, before;
    sigfillset(&all); /* signals are the program's business */
    p->busy = true;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int e = pthread_create(&p->writer, NULL, writer, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e ? ts_fail_os(err, TS_E_NOMEM, e, "cannot start the thread of the KV store") : TS_OK;
}

void ts_prefix_writer_stop(ts_prefix_store *p) {
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->writer, NULL);
}

void ts_prefix_writer_look(ts_prefix_store *p) {
    const int64_t now = (int64_t)ts_now_ns();
    pthread_mutex_lock(&p->lock);
    if (now >= p->next_look) {
        p->next_look = now + LOOK_NS;
        p->look = true;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
}

void ts_prefix_writer_settle(ts_prefix_store *p) {
    pthread_mutex_lock(&p->lock);
    while (p->busy || p->tree.queue || p->look) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
