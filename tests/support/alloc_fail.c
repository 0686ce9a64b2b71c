#include "support/alloc_fail.h"
#include "support/test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void __real_free(void *p);
void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *addr, size_t len);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int __wrap_munmap(void *addr, size_t len);

static atomic_long countdown, counted, live; /* blocks, and pages: a mapping may be given back in parts */
static atomic_bool sticky_fail, hit;

void alloc_fail_at(long n, bool sticky) {
    countdown = n;
    counted = 0;
    sticky_fail = sticky;
    hit = false;
}

bool alloc_fail_hit(void) { return hit; }
long alloc_fail_count(void) { return counted; }
long alloc_fail_live(void) { return live; }

static bool refuse(void) {
    counted++;
    if (hit && sticky_fail) return true;
    if (countdown > 0 && --countdown == 0) {
        hit = true;
        return true;
    }
    return false;
}

void *__wrap_malloc(size_t n) {
    if (refuse()) return errno = ENOMEM, NULL;
    void *p = __real_malloc(n);
    if (p) live++;
    return p;
}

void *__wrap_calloc(size_t n, size_t size) {
    if (refuse()) return errno = ENOMEM, NULL;
    void *p = __real_calloc(n, size);
    if (p) live++;
    return p;
}

void *__wrap_realloc(void *p, size_t n) {
    if (refuse()) return errno = ENOMEM, NULL;
    void *q = __real_realloc(p, n);
    if (q && !p) live++;
    return q;
}

int __wrap_posix_memalign(void **p, size_t align, size_t n) {
    if (refuse()) return ENOMEM;
    int e = __real_posix_memalign(p, align, n);
    if (!e) live++;
    return e;
}

void __wrap_free(void *p) {
    if (p) live--;
    __real_free(p);
}

static long pages(size_t len) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (long)(len / page + (len % page != 0));
}

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off) {
    if (refuse()) return errno = ENOMEM, MAP_FAILED;
    void *p = __real_mmap64(addr, len, prot, flags, fd, off);
    if (p != MAP_FAILED) live += pages(len);
    return p;
}

int __wrap_munmap(void *addr, size_t len) {
    live -= pages(len);
    return __real_munmap(addr, len);
}

void alloc_fail_loop(bool (*body)(void *ud), void *ud, bool may_recover) {
    for (long n = 1;; n++) {
        long before = live;
        alloc_fail_at(n, false);
        bool ok = body(ud);
        bool failed = hit;
        alloc_fail_at(0, false);
        if (live != before) fail_msg("allocation %ld: %ld blocks and pages leaked", n, live - before);
        if (!failed) {
            if (!ok) fail_msg("failed although no allocation did (after %ld)", n - 1);
            return;
        }
        if (ok && !may_recover) fail_msg("allocation %ld failed, yet success was reported", n);
        if (n > 100000) fail_msg("no end after %ld allocations", n);
    }
}
