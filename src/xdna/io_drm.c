#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE, MADV_DONTFORK */
#include "xdna/io.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#    include <cpuid.h>
#    include <immintrin.h>
#endif

static int drm_open(void *ud, const char *path) {
    (void)ud;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int drm_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    (void)ud;
    return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static int drm_mmap(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out) {
    (void)ud;
    int flags = MAP_SHARED | (want ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap(want, len, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
    if (p == MAP_FAILED) return -errno;
    if (want && p != want) { /* kernels before 4.17 take the flag for a mere hint */
        munmap(p, len);
        return -EEXIST;
    }
    /* a child that lived on with the mapping would keep the file open, and with it contexts and columns [doc: Linux
     * 7.3] */
    (void)madvise(p, len, MADV_DONTFORK);
    *out = p;
    return 0;
}

static int drm_munmap(void *ud, void *addr, size_t len) {
    (void)ud;
    return munmap(addr, len) < 0 ? -errno : 0;
}

static int drm_close(void *ud, int fd) {
    (void)ud;
    return close(fd) < 0 ? -errno : 0;
}

static uint64_t drm_now_ns(void *ud) {
    (void)ud;
    return ts_now_ns();
}

static int drm_pause(void *ud, uint64_t ns) {
    (void)ud;
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    return nanosleep(&t, NULL) < 0 ? -errno : 0;
}

#if defined(__x86_64__)
enum { LINE = 64 };

static const char *line_of(const void *p) {
    return (const char *)((uintptr_t)p & ~(uintptr_t)(LINE - 1));
}

__attribute__((target("clflushopt"))) static void flush_opt(void *ud, const void *addr, size_t len) {
    (void)ud;
    const char *end = (const char *)addr + len;
    _mm_mfence();
    for (const char *p = line_of(addr); p < end; p += LINE) _mm_clflushopt((void *)(uintptr_t)p);
    _mm_mfence();
}

static void flush_plain(void *ud, const void *addr, size_t len) {
    (void)ud;
    const char *end = (const char *)addr + len;
    _mm_mfence();
    for (const char *p = line_of(addr); p < end; p += LINE) _mm_clflush(p);
    _mm_mfence();
}

static int has_clflushopt(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 23));
}
#else
/* The chips with this NPU are x86-64; elsewhere there is no node to open, and nothing gets here. */
static void flush_plain(void *ud, const void *addr, size_t len) {
    (void)ud, (void)addr, (void)len;
    __sync_synchronize();
}
#endif

#define TABLE(flush_fn)                                                                                      \
    {                                                                                                        \
        .name = "drm", .open = drm_open, .ioctl = drm_ioctl, .mmap = drm_mmap, .munmap = drm_munmap,         \
        .close = drm_close, .flush = (flush_fn), .now_ns = drm_now_ns, .pause = drm_pause                    \
    }

const ts_npu_io *ts_npu_io_drm(void) {
    static const ts_npu_io plain = TABLE(flush_plain);
#if defined(__x86_64__)
    static const ts_npu_io opt = TABLE(flush_opt);
    if (has_clflushopt()) return &opt;
#endif
    return &plain;
}
