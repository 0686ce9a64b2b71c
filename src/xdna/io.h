/* io.h - the narrow gate to an NPU: eight calls, the real node or the strict fake one behind them.
 *
 * Everything in dev.c, bo.c, ctx.c and cmd.c goes through such a table, so the code that talks to silicon is the code
 * that the tests run. Calls answer as the kernel does: 0 or a result >= 0, or -errno. One thread at a time. */
#ifndef TS_XDNA_IO_H
#define TS_XDNA_IO_H

#include <stddef.h>
#include <stdint.h>

typedef struct ts_npu_io {
    const char *name; /* "drm", "fake" */
    void *ud;
    /* A descriptor for the node at `path`, opened for reading and writing. */
    int (*open)(void *ud, const char *path);
    int (*ioctl)(void *ud, int fd, uint32_t request, void *arg);
    /* Map a whole buffer shared, readable and writable, at its map offset. want: NULL, or the address it must
     * come to, where nothing may be mapped yet (-EEXIST else). */
    int (*mmap)(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out);
    int (*munmap)(void *ud, void *addr, size_t len);
    int (*close)(void *ud, int fd);
    /* Write back and drop the CPU cache lines of [addr, addr + len), with fences on both sides: what the CPU has
     * written is in memory before the device is told, and what the device has written is read from memory. */
    void (*flush)(void *ud, const void *addr, size_t len);
    /* The clock that deadlines of waits are told in, in nanoseconds: CLOCK_MONOTONIC. */
    uint64_t (*now_ns)(void *ud);
    /* Let so many nanoseconds pass: 0, or -EINTR where a signal came before. On a fake node they pass at once. */
    int (*pause)(void *ud, uint64_t ns);
} ts_npu_io;

/* The real node: system calls. Static storage. */
const ts_npu_io *ts_npu_io_drm(void);

#endif
