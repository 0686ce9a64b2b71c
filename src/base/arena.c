#include "base/arena.h"

#include <string.h>

struct ts_arena_block {
    struct ts_arena_block *next;
    size_t pad; /* keeps the payload 16-byte aligned */
};

enum { BLOCK_BYTES = 64 * 1024 };

void *ts_arena_alloc(ts_arena *a, size_t n, size_t size) {
    size_t bytes, need;
    if (!ts_size_mul(n, size, &bytes) || !ts_size_add(bytes, 15, &bytes)) return NULL;
    bytes &= ~(size_t)15;
    if (!a->head || a->cap - a->used < bytes) {
        size_t cap = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
        if (!ts_size_add(cap, sizeof(struct ts_arena_block), &need)) return NULL;
        struct ts_arena_block *b = ts_alloc(need, 1);
        if (!b) return NULL;
        a->total += need;
        if (a->head && cap != BLOCK_BYTES) { /* a large one goes behind the block still being filled */
            b->next = a->head->next;
            a->head->next = b;
            return b + 1;
        }
        b->next = a->head;
        a->head = b;
        a->used = 0;
        a->cap = cap;
    }
    char *p = (char *)(a->head + 1) + a->used;
    a->used += bytes;
    return p;
}

void *ts_arena_calloc(ts_arena *a, size_t n, size_t size) {
    void *p = ts_arena_alloc(a, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

char *ts_arena_strndup(ts_arena *a, const char *s, size_t len) {
    size_t bytes;
    if (!ts_size_add(len, 1, &bytes)) return NULL;
    char *p = ts_arena_alloc(a, bytes, 1);
    if (!p) return NULL;
    if (len) memcpy(p, s, len);
    p[len] = 0;
    return p;
}

void ts_arena_free(ts_arena *a) {
    for (struct ts_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        ts_free(b);
    }
    *a = (ts_arena){0};
}
