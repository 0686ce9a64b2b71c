/* keytable.h - a hash table of records that carry their link: nothing is allocated for a record, and several may have
 * the same key. The keys are hashes already. */
#ifndef TS_ENGINE_KEYTABLE_H
#define TS_ENGINE_KEYTABLE_H

#include "base/mem.h"

typedef struct ts_keyed { /* the first member of a record */
    uint64_t key;
    struct ts_keyed *next; /* in the same slot, with any key */
} ts_keyed;

typedef struct ts_keytable {
    ts_keyed **slot;
    size_t n_slot, n; /* n_slot is a power of two */
} ts_keytable;

TS_NODISCARD static inline bool ts_keytable_init(ts_keytable *t) {
    *t = (ts_keytable){.slot = ts_calloc(64, sizeof *t->slot), .n_slot = 64};
    return t->slot;
}

static inline void ts_keytable_fini(ts_keytable *t) {
    ts_free(t->slot);
    *t = (ts_keytable){0};
}

static inline ts_keyed **ts_keytable_slot(const ts_keytable *t, uint64_t key) {
    return &t->slot[(key ^ key >> 32) & (t->n_slot - 1)];
}

/* More slots where records are many; where there is no memory for them, looking takes longer. */
static inline void ts_keytable_grow(ts_keytable *t) {
    ts_keytable more = {.n_slot = 2 * t->n_slot, .n = t->n};
    if (t->n < t->n_slot || !(more.slot = ts_calloc(more.n_slot, sizeof *more.slot))) return;
    for (size_t i = 0; i < t->n_slot; i++)
        for (ts_keyed *r = t->slot[i], *next; r; r = next) {
            ts_keyed **to = ts_keytable_slot(&more, r->key);
            next = r->next;
            r->next = *to;
            *to = r;
        }
    ts_free(t->slot);
    *t = more;
}

static inline void ts_keytable_put(ts_keytable *t, ts_keyed *r) {
    ts_keytable_grow(t);
    ts_keyed **at = ts_keytable_slot(t, r->key);
    r->next = *at;
    *at = r;
    t->n++;
}

/* Of a record that is in it. */
static inline void ts_keytable_take_out(ts_keytable *t, const ts_keyed *r) {
    ts_keyed **at = ts_keytable_slot(t, r->key);
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    t->n--;
}

/* The first record with this key; the next one behind `r` with r's key; NULL: there is none. */
static inline ts_keyed *ts_keytable_behind(ts_keyed *r, uint64_t key) {
    while (r && r->key != key) r = r->next;
    return r;
}
static inline ts_keyed *ts_keytable_first(const ts_keytable *t, uint64_t key) {
    return ts_keytable_behind(*ts_keytable_slot(t, key), key);
}
static inline ts_keyed *ts_keytable_next(const ts_keyed *r) {
    return ts_keytable_behind(r->next, r->key);
}

#endif
