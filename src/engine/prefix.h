/* prefix.h - the prefix store: a tree of tiles in memory, and behind it files.
 *
 * A *tile* is a page of keys and values with its 64 tokens; its place in the tree says which tokens came before. It is
 * found by its parent and a key, a hash over model, KV type and all tokens up to its end, and it is the right one where
 * its tokens are the same: a key that two beginnings share costs a comparison, and never makes a wrong hit. */
#ifndef TS_ENGINE_PREFIX_H
#define TS_ENGINE_PREFIX_H

#include "engine/keytable.h"
#include "engine/session.h"

#include <pthread.h>

enum { TS_PREFIX_KV_TYPES = TS_KV_Q8_0 + 1 };

/* To be written to a file, or written just now: it stays in memory until that has been done. */
typedef enum ts_prefix_state { TS_PREFIX_PLAIN, TS_PREFIX_WAITS, TS_PREFIX_IN_HAND } ts_prefix_state;

typedef struct ts_prefix_tile {
    ts_keyed in; /* the tree's table */
    struct ts_prefix_tile *parent; /* NULL: of the first 64 positions */
    /* Least lately used first. Who uses a tile uses its ancestors, and they are put behind it: a tile comes before its
     * parent. */
    struct ts_prefix_tile *older, *newer;
    struct ts_prefix_tile *waits; /* the next one in the writer's queue */
    ts_prefix_state state;
    uint32_t depth;   /* tiles before it */
    uint32_t n_child; /* in the tree */
    ts_kv_type type;
    char *page; /* held */
    ts_token token[TS_KV_TILE];
} ts_prefix_tile;

typedef struct ts_prefix_tree {
    ts_keytable table;
    ts_prefix_tile *oldest, *newest;
    uint64_t bytes; /* of its pages */
    ts_prefix_tile *queue, **queue_end; /* of tiles that wait, parents first */
    uint64_t queue_bytes;
} ts_prefix_tree;

typedef struct ts_prefix_disk ts_prefix_disk;

struct ts_prefix_store {
    ts_engine *e;
    uint64_t model, memory_bytes;
    ts_kv like[TS_PREFIX_KV_TYPES]; /* caches of no tokens, to say what pages of a type are like */
    ts_prefix_disk *disk;           /* NULL: none; then there is no writer either */
    pthread_t writer;
    pthread_mutex_t lock; /* of what follows; the disk's is taken within it */
    pthread_cond_t wake;  /* the writer: something waits, or one of these */
    bool stop, look, told;
    int64_t next_look;    /* on the monotonic clock */
    pthread_cond_t done;  /* the writer has nothing to do */
    bool busy;
    int64_t quiet_until;  /* after a write that failed; on the monotonic clock */
    ts_prefix_tree tree;
    ts_prefix_stats stats;
};

/* A beginning of n whole tiles: its tokens, borrowed, and the key of each tile. */
typedef struct ts_prefix_path {
    ts_kv_type type;
    uint32_t n;
    const ts_token *token; /* [64 * n] */
    uint64_t *key;         /* [n] */
} ts_prefix_path;
TS_NODISCARD ts_status ts_prefix_path_init(ts_prefix_path *path, uint64_t model, ts_kv_type type, const ts_token *token,
                                           uint32_t n, ts_err *err);
void ts_prefix_path_fini(ts_prefix_path *path);

/* ---- the tree: prefix_tree.c; the caller holds the lock ---------------------------------------------------------- */

/* Tile i of the path, `parent` being the one before it (NULL: none); NULL: it is not there. */
ts_prefix_tile *ts_prefix_find(const ts_prefix_tree *t, ts_prefix_tile *parent, const ts_prefix_path *path, uint32_t i);
/* Put it there, holding its page; ts_prefix_touch has to follow. NULL: no memory. */
ts_prefix_tile *ts_prefix_add(ts_prefix_tree *t, ts_prefix_tile *parent, const ts_prefix_path *path, uint32_t i,
                              const ts_kv *like, char *page);
/* This tile (NULL: none) and its ancestors have been used. */
void ts_prefix_touch(ts_prefix_tree *t, ts_prefix_tile *leaf);
/* Take tiles out, the least lately used first, until those that stay have `bytes` at most, or wait for the writer, or
 * others that wait stand on them. A list of them by `newer`, for ts_prefix_tiles_free: pages go back to the system,
 * which takes a while. */
ts_prefix_tile *ts_prefix_shrink(ts_prefix_tree *t, uint64_t bytes, const ts_kv like[TS_PREFIX_KV_TYPES]);
/* Outside of the lock. */
void ts_prefix_tiles_free(ts_prefix_tile *list, const ts_kv like[TS_PREFIX_KV_TYPES]);

/* ---- the writer: prefix_write.c ---------------------------------------------------------------------------------- */

/* A timeline is written from this many tiles on: what is shorter is computed about as fast as it is found. */
enum { TS_PREFIX_WORTH = 4 };

/* A thread for the store's disk, and its end: first it writes what waits. */
TS_NODISCARD ts_status ts_prefix_writer_start(ts_prefix_store *p, ts_err *err);
void ts_prefix_writer_stop(ts_prefix_store *p);
/* This tile of the path is to be written where no file has it; the ones before it have been given already. The caller
 * holds the lock. false: not, and those behind it neither: the queue is too long, or writing does not work. */
bool ts_prefix_writer_give(ts_prefix_store *p, const ts_prefix_path *path, ts_prefix_tile *tile);
/* Something was not found: perhaps another program has written it. */
void ts_prefix_writer_look(ts_prefix_store *p);
/* Wait until nothing waits any more; for tests. */
void ts_prefix_writer_settle(ts_prefix_store *p);

#endif
