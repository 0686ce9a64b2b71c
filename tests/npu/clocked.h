/* clocked.h - a gate in front of another whose clocks are those of a chip: half as fast while there is no context. */
#ifndef TS_TESTS_CLOCKED_H
#define TS_TESTS_CLOCKED_H

#include "xdna/io.h"
#include "xdna/uapi.h"

enum { CLOCKED_IDLE = 800, CLOCKED_BUSY = 1600 };

typedef struct clocked {
    ts_npu_io io;
    const ts_npu_io *behind;
    int contexts;
    uint32_t busy_mhz;
} clocked;

static int clocked_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    clocked *c = ud;
    int r = c->behind->ioctl(c->behind->ud, fd, request, arg);
    const struct ts_uapi_get_info *g = arg;
    if (r == 0) c->contexts += (request == TS_IOCTL_CREATE_HWCTX) - (request == TS_IOCTL_DESTROY_HWCTX);
    if (r == 0 && request == TS_IOCTL_GET_INFO && g->param == TS_UAPI_INFO_CLOCKS) {
        struct ts_uapi_clocks *k = (struct ts_uapi_clocks *)(uintptr_t)g->buffer;
        k->h.freq_mhz = c->contexts ? c->busy_mhz : CLOCKED_IDLE;
        k->mp_npu.freq_mhz = k->h.freq_mhz / 2;
    }
    return r;
}
static int clocked_open(void *ud, const char *path) {
    return ((clocked *)ud)->behind->open(((clocked *)ud)->behind->ud, path);
}
static int clocked_mmap(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out) {
    return ((clocked *)ud)->behind->mmap(((clocked *)ud)->behind->ud, fd, want, len, offset, out);
}
static int clocked_munmap(void *ud, void *addr, size_t len) {
    return ((clocked *)ud)->behind->munmap(((clocked *)ud)->behind->ud, addr, len);
}
static int clocked_close(void *ud, int fd) {
    return ((clocked *)ud)->behind->close(((clocked *)ud)->behind->ud, fd);
}
static void clocked_flush(void *ud, const void *addr, size_t len) {
    ((clocked *)ud)->behind->flush(((clocked *)ud)->behind->ud, addr, len);
}
static uint64_t clocked_now_ns(void *ud) {
    return ((clocked *)ud)->behind->now_ns(((clocked *)ud)->behind->ud);
}
static int clocked_pause(void *ud, uint64_t ns) {
    return ((clocked *)ud)->behind->pause(((clocked *)ud)->behind->ud, ns);
}

static inline const ts_npu_io *clocked_init(clocked *c, const ts_npu_io *behind) {
    *c = (clocked){.behind = behind, .busy_mhz = CLOCKED_BUSY};
    c->io = (ts_npu_io){.name = "clocked", .ud = c, .open = clocked_open, .ioctl = clocked_ioctl,
                        .mmap = clocked_mmap, .munmap = clocked_munmap, .close = clocked_close,
                        .flush = clocked_flush, .now_ns = clocked_now_ns, .pause = clocked_pause};
    return &c->io;
}

#endif
