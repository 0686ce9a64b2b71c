/* arena.h - many small allocations with one lifetime, freed at once. */
#ifndef TS_BASE_ARENA_H
#define TS_BASE_ARENA_H

#include "base/mem.h"

/* Zero-initialise. Memory is handed out 16-byte aligned and lives until ts_arena_free. */
typedef struct ts_arena {
    struct ts_arena_block *head;
    size_t used, cap; /* of the head block */
    size_t total;     /* bytes asked of the system */
} ts_arena;

/* n * size bytes, uninitialised; NULL when out of memory or on overflow. */
TS_NODISCARD void *ts_arena_alloc(ts_arena *a, size_t n, size_t size);
TS_NODISCARD void *ts_arena_calloc(ts_arena *a, size_t n, size_t size);
TS_NODISCARD char *ts_arena_strndup(ts_arena *a, const char *s, size_t len);
void ts_arena_free(ts_arena *a);

#endif
