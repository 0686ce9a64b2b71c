/* prefix_tree.c - the prefix store's tree of tiles, and which of them go first. */
#include "engine/prefix.h"
#include "engine/session_file.h"

#include <string.h>

ts_status ts_prefix_path_init(ts_prefix_path *path, uint64_t model, ts_kv_type type, const ts_token *token, uint32_t n,
                              ts_err *err) {
    const uint64_t what[] = {model, (uint64_t)type};
    ts_session_sum sum = {0};
    uint64_t *key = ts_alloc(n, sizeof *key);
    if (!key) return ts_fail_nomem(err, "keys of the prefix store", n * sizeof *key);
    ts_session_sum_add(&sum, what, sizeof what);
    uint64_t before = ts_session_sum_end(&sum);
    for (uint32_t i = 0; i < n; i++) {
        sum = (ts_session_sum){.h = before};
        ts_session_sum_add(&sum, token + (size_t)i * TS_KV_TILE, TS_KV_TILE * sizeof *token);
        before = key[i] = ts_session_sum_end(&sum);
    }
    *path = (ts_prefix_path){.type = type, .n = n, .token = token, .key = key};
    return TS_OK;
}

void ts_prefix_path_fini(ts_prefix_path *path) {
    ts_free(path->key);
}

ts_prefix_tile *ts_prefix_find(const ts_prefix_tree *t, ts_prefix_tile *parent, const ts_prefix_path *path,
                               uint32_t i) {
    const ts_token *token = path->token + (size_t)i * TS_KV_TILE;
    for (ts_keyed *r = ts_keytable_first(&t->table, path->key[i]); r; r = ts_keytable_next(r)) {
        ts_prefix_tile *tile = (ts_prefix_tile *)r;
        if (tile->parent == parent && tile->type == path->type && !memcmp(tile->token, token, sizeof tile->token))
            return tile;
    }
    return NULL;
}

static void link_newest(ts_prefix_tree *t, ts_prefix_tile *tile) {
    tile->older = t->newest;
    tile->newer = NULL;
    *(t->newest ? &t->newest->newer : &t->oldest) = tile;
    t->newest = tile;
}

static void unlink_tile(ts_prefix_tree *t, ts_prefix_tile *tile) {
    *(tile->older ? &tile->older->newer : &t->oldest) = tile->newer;
    *(tile->newer ? &tile->newer->older : &t->newest) = tile->older;
}

ts_prefix_tile *ts_prefix_add(ts_prefix_tree *t, ts_prefix_tile *parent, const ts_prefix_path *path, uint32_t i,
                              const ts_kv *like, char *page) {
    ts_prefix_tile *tile = ts_alloc(1, sizeof *tile);
    if (!tile) return NULL;
    *tile = (ts_prefix_tile){.in.key = path->key[i], .parent = parent, .depth = i, .type = path->type, .page = page};
    memcpy(tile->token, path->token + (size_t)i * TS_KV_TILE, sizeof tile->token);
    ts_kv_page_hold(like, page);
    ts_keytable_put(&t->table, &tile->in);
    link_newest(t, tile);
    if (parent) parent->n_child++;
    t->bytes += like->page_bytes;
    return tile;
}

void ts_prefix_touch(ts_prefix_tree *t, ts_prefix_tile *leaf) {
    for (ts_prefix_tile *tile = leaf; tile; tile = tile->parent) {
        unlink_tile(t, tile);
        link_newest(t, tile);
    }
}

ts_prefix_tile *ts_prefix_shrink(ts_prefix_tree *t, uint64_t bytes, const ts_kv like[TS_PREFIX_KV_TYPES]) {
    ts_prefix_tile *out = NULL;
    for (ts_prefix_tile *tile = t->oldest, *newer; tile && t->bytes > bytes; tile = newer) {
        newer = tile->newer;
        if (tile->n_child || tile->state != TS_PREFIX_PLAIN) continue;
        unlink_tile(t, tile);
        ts_keytable_take_out(&t->table, &tile->in);
        if (tile->parent) tile->parent->n_child--;
        t->bytes -= like[tile->type].page_bytes;
        tile->newer = out;
        out = tile;
    }
    return out;
}

void ts_prefix_tiles_free(ts_prefix_tile *list, const ts_kv like[TS_PREFIX_KV_TYPES]) {
    for (ts_prefix_tile *next; list; list = next) {
        next = list->newer;
        ts_kv_page_drop(&like[list->type], list->page);
        ts_free(list);
    }
}
