/* mem.h - allocation with checked sizes; the only place of the libraries that calls malloc.
 *
 * Tests replace the C allocator at link time (tests/support/alloc_fail.h), so everything here goes through it. */
#ifndef TS_BASE_MEM_H
#define TS_BASE_MEM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* false when the product or sum does not fit; *out is then untouched. */
static inline bool ts_size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool ts_size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

/* n elements of `size` bytes. NULL when out of memory or when n * size overflows; never NULL for 0 bytes. */
TS_NODISCARD void *ts_alloc(size_t n, size_t size);
TS_NODISCARD void *ts_calloc(size_t n, size_t size);
/* On failure the old block is untouched and still owned by the caller. */
TS_NODISCARD void *ts_realloc(void *p, size_t n, size_t size);
/* Aligned to 64 bytes, a cache line and a zmm register; freed with ts_free. */
TS_NODISCARD void *ts_alloc_aligned(size_t n, size_t size);
void ts_free(void *p);

TS_NODISCARD char *ts_strndup(const char *s, size_t len); /* copies len bytes and adds a NUL */
TS_NODISCARD char *ts_strdup(const char *s);

/* A large anonymous mapping: zeroed, page aligned, resident only where touched. `huge` asks for huge pages, and begins
 * where one can: for what is used from end to end, not for what may stay mostly empty. */
typedef struct ts_big {
    void *ptr;
    size_t bytes;
} ts_big;
enum { TS_HUGE_PAGE = 2 << 20 }; /* so large where pages are of 4 KiB */
TS_NODISCARD ts_status ts_big_alloc(ts_big *big, size_t bytes, bool huge, const char *what, ts_err *err);
void ts_big_free(ts_big *big); /* NULL-safe, leaves *big empty */

/* A growable byte buffer. Zero-initialise; `data` is always NUL-terminated once something was appended. */
typedef struct ts_buf {
    char *data;
    size_t len, cap;
} ts_buf;
TS_NODISCARD bool ts_buf_reserve(ts_buf *b, size_t extra);
TS_NODISCARD bool ts_buf_append(ts_buf *b, const void *data, size_t len);
TS_NODISCARD bool ts_buf_puts(ts_buf *b, const char *s);
TS_NODISCARD bool ts_buf_putc(ts_buf *b, char c);
TS_PRINTF(2, 3) TS_NODISCARD bool ts_buf_printf(ts_buf *b, const char *fmt, ...);
void ts_buf_clear(ts_buf *b); /* empties, keeps the memory */
void ts_buf_free(ts_buf *b);

/* Grow `*array` (element size `size`, capacity *cap) to hold at least `need` elements. Amortised doubling. */
TS_NODISCARD bool ts_grow(void **array, size_t *cap, size_t need, size_t size);

#endif
