#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *ts_alloc(size_t n, size_t size) {
    size_t bytes;
    if (!ts_size_mul(n, size, &bytes)) return NULL;
    return malloc(bytes ? bytes : 1);
}

void *ts_calloc(size_t n, size_t size) {
    return calloc(n ? n : 1, size ? size : 1);
}

void *ts_realloc(void *p, size_t n, size_t size) {
    size_t bytes;
    if (!ts_size_mul(n, size, &bytes)) return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void *ts_alloc_aligned(size_t n, size_t size) {
    size_t bytes, rounded;
    if (!ts_size_mul(n, size, &bytes) || !ts_size_add(bytes, 63, &rounded)) return NULL;
    void *p = NULL;
    rounded &= ~(size_t)63;
    if (posix_memalign(&p, 64, rounded ? rounded : 64)) return NULL;
    return p;
}

void ts_free(void *p) {
    free(p);
}

char *ts_strndup(const char *s, size_t len) {
    size_t bytes;
    if (!ts_size_add(len, 1, &bytes)) return NULL;
    char *p = ts_alloc(bytes, 1);
    if (!p) return NULL;
    if (len) memcpy(p, s, len);
    p[len] = 0;
    return p;
}

char *ts_strdup(const char *s) {
    return ts_strndup(s, strlen(s));
}

ts_status ts_big_alloc(ts_big *big, size_t bytes, bool huge, const char *what, ts_err *err) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used, all = 0;
    if (!bytes) bytes = 1;
    const bool fits = ts_size_add(bytes, page - 1, &used) &&
                      ts_size_add(used = used / page * page, huge ? TS_HUGE_PAGE : 0, &all);
    char *p = fits ? mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (p == MAP_FAILED) return ts_fail_nomem(err, what, bytes);
    if (huge) { /* what lies before the border, and what is too much behind, goes back: it counts as address space */
        const size_t before = -(uintptr_t)p % TS_HUGE_PAGE;
        if (before) munmap(p, before);
        p += before;
        munmap(p + used, TS_HUGE_PAGE - before);
        madvise(p, bytes, MADV_HUGEPAGE); /* a wish: the kernel may have none */
    }
    *big = (ts_big){.ptr = p, .bytes = bytes};
    return TS_OK;
}

void ts_big_free(ts_big *big) {
    if (big && big->ptr) munmap(big->ptr, big->bytes);
    if (big) *big = (ts_big){0};
}

bool ts_buf_reserve(ts_buf *b, size_t extra) {
    size_t need;
    if (!ts_size_add(b->len, extra, &need) || !ts_size_add(need, 1, &need)) return false;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        if (!ts_size_mul(cap, 2, &cap)) return false;
    char *p = ts_realloc(b->data, cap, 1);
    if (!p) return false;
    b->data = p;
    b->cap = cap;
    b->data[b->len] = 0;
    return true;
}

bool ts_buf_append(ts_buf *b, const void *data, size_t len) {
    if (!ts_buf_reserve(b, len)) return false;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
    return true;
}

bool ts_buf_puts(ts_buf *b, const char *s) {
    return ts_buf_append(b, s, strlen(s));
}

bool ts_buf_putc(ts_buf *b, char c) {
    return ts_buf_append(b, &c, 1);
}

bool ts_buf_printf(ts_buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && ts_buf_reserve(b, (size_t)n);
    if (ok) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return ok;
}

void ts_buf_clear(ts_buf *b) {
    b->len = 0;
    if (b->data) b->data[0] = 0;
}

void ts_buf_free(ts_buf *b) {
    ts_free(b->data);
    *b = (ts_buf){0};
}

bool ts_grow(void **array, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return true;
    size_t n = *cap ? *cap : 8;
    while (n < need)
        if (!ts_size_mul(n, 2, &n)) return false;
    void *p = ts_realloc(*array, n, size);
    if (!p) return false;
    *array = p;
    *cap = n;
    return true;
}
