#define _GNU_SOURCE
#include "xdna/dev.h"

#include "base/mem.h"
#include "xdna/advice.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int ts_npu_ioctl(const ts_npu_dev *dev, uint32_t request, void *arg) {
    int r, again = 0;
    do r = dev->io->ioctl(dev->io->ud, dev->fd, request, arg);
    while (r == -EINTR || (r == -EAGAIN && again++ < 16));
    return r;
}

void ts_npu_dev_stop_by(ts_npu_dev *dev, ts_npu_stop stop) {
    dev->stop = stop;
}

bool ts_npu_dev_stopped(const ts_npu_dev *dev) {
    return dev->stop.asked && dev->stop.asked(dev->stop.ud);
}

enum { INFO_ROOM = 4096 };

/* A structure of `len` bytes into *out. Kernels before 7 write all of theirs, whatever size they are told, and one
 * may come with a larger structure: the answer has room. */
static int query(const ts_npu_dev *dev, uint32_t param, void *out, uint32_t len) {
    char room[INFO_ROOM] = {0};
    struct ts_uapi_get_info g = {.param = param, .buffer_size = len, .buffer = (uint64_t)(uintptr_t)room};
    int r = ts_npu_ioctl(dev, TS_IOCTL_GET_INFO, &g);
    if (r == 0) memcpy(out, room, len);
    return r;
}

bool ts_npu_clocks(const ts_npu_dev *dev, uint32_t *mp_mhz, uint32_t *h_mhz) {
    struct ts_uapi_clocks c = {0};
    if (query(dev, TS_UAPI_INFO_CLOCKS, &c, sizeof c) != 0) return false;
    *mp_mhz = c.mp_npu.freq_mhz;
    *h_mhz = c.h.freq_mhz;
    return true;
}

void ts_npu_clock_look(ts_npu_clock *c, const ts_npu_dev *dev) {
    uint32_t controller, mhz;
    if (!ts_npu_clocks(dev, &controller, &mhz) || !mhz) return;
    c->mhz = mhz;
    if (!c->least || mhz < c->least) c->least = mhz;
    if (mhz > c->most) c->most = mhz;
}

static ts_status check_driver(ts_npu_dev *dev, const char *path, ts_err *err) {
    char name[64] = "";
    struct ts_uapi_version v = {.name_len = sizeof name - 1, .name = (uint64_t)(uintptr_t)name};
    int r = ts_npu_ioctl(dev, TS_IOCTL_VERSION, &v);
    if (r < 0) return ts_npu_fail(err, TS_NPU_QUERY, r);
    if (strcmp(name, TS_UAPI_DRIVER_NAME))
        return ts_fail(err, TS_E_UNSUPP, "NPU: %s belongs to the driver \"%s\", not to amdxdna", path, name);
    dev->info.driver_major = v.major;
    dev->info.driver_minor = v.minor;
    return TS_OK;
}

static ts_status check_chip(ts_npu_dev *dev, ts_err *err) {
    struct ts_uapi_aie_metadata *m = &dev->info.array;
    struct ts_uapi_firmware f = {0};
    int r = query(dev, TS_UAPI_INFO_AIE_METADATA, m, sizeof *m);
    if (r < 0) return ts_npu_fail(err, TS_NPU_QUERY, r);
    const ts_chip *chip = dev->chip = ts_chip_of_array(m->cols, m->rows, m->core.row_count);
    if (!chip)
        return ts_fail(err, TS_E_UNSUPP,
                       "NPU: the array has %u columns and %u rows; Tessera runs on %s (%s: %u by %u) only", m->cols,
                       m->rows, ts_npu1.generation, ts_npu1.processors, ts_npu1.array_cols, ts_npu1.rows);
    r = query(dev, TS_UAPI_INFO_FIRMWARE, &f, sizeof f);
    if (r < 0) return ts_npu_fail(err, TS_NPU_QUERY, r);
    const uint16_t *min = chip->firmware_min;
    uint32_t version = f.major << 16 | f.minor << 8 | f.patch;
    if (f.minor > 255 || f.patch > 255 || version < (uint32_t)(min[0] << 16 | min[1] << 8 | min[2]))
        return ts_fail(err, TS_E_UNSUPP,
                       "NPU: firmware %u.%u.%u.%u is too old: update linux-firmware to %u.%u.%u or newer", f.major,
                       f.minor, f.patch, f.build, min[0], min[1], min[2]);
    memcpy(dev->info.firmware, (uint32_t[]){f.major, f.minor, f.patch, f.build}, sizeof dev->info.firmware);
    return TS_OK;
}

/* Map the heap at a multiple of 64 MiB. The place is found by asking for twice as much, giving it back and asking
 * for the aligned half; if another thread is faster, again. */
static int map_heap(ts_npu_dev *dev, uint64_t offset) {
    for (int try = 0; try < 8; try++) {
        char *p = mmap(NULL, 2 * (size_t)TS_HEAP_BYTES, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return -errno;
        munmap(p, 2 * (size_t)TS_HEAP_BYTES);
        void *want = (void *)(((uintptr_t)p + TS_HEAP_BYTES - 1) & ~(uintptr_t)(TS_HEAP_BYTES - 1)), *at;
        int r = dev->io->mmap(dev->io->ud, dev->fd, want, TS_HEAP_BYTES, offset, &at);
        if (r == -EEXIST) continue;
        if (r == 0) dev->heap = at;
        return r;
    }
    return -EEXIST;
}

static int make_heap(ts_npu_dev *dev) {
    struct ts_uapi_create_bo create = {.size = TS_HEAP_BYTES, .type = TS_UAPI_BO_DEV_HEAP};
    int r = ts_npu_ioctl(dev, TS_IOCTL_CREATE_BO, &create);
    if (r < 0) return r;
    dev->heap_handle = create.handle;
    struct ts_uapi_get_bo_info info = {.handle = create.handle};
    r = ts_npu_ioctl(dev, TS_IOCTL_GET_BO_INFO, &info);
    return r < 0 ? r : map_heap(dev, info.map_offset);
}

ts_status ts_npu_dev_query(ts_npu_dev **out, const ts_npu_io *io, const char *path, ts_err *err) {
    ts_npu_dev *dev = ts_calloc(1, sizeof *dev);
    if (!dev) return ts_fail_nomem(err, "the NPU device", sizeof *dev);
    dev->io = io;
    int r;
    do r = io->open(io->ud, path);
    while (r == -EINTR);
    dev->fd = r;
    ts_status s = r < 0 ? ts_npu_fail(err, TS_NPU_OPEN, r) : check_driver(dev, path, err);
    if (s == TS_OK) s = check_chip(dev, err);
    if (s != TS_OK) {
        ts_npu_dev_close(dev);
        return s;
    }
    *out = dev;
    return TS_OK;
}

ts_status ts_npu_dev_heap(ts_npu_dev *dev, ts_err *err) {
    int r = make_heap(dev);
    return r < 0 ? ts_npu_fail(err, TS_NPU_HEAP, r) : TS_OK;
}

ts_status ts_npu_dev_open(ts_npu_dev **out, const ts_npu_io *io, const char *path, ts_err *err) {
    ts_npu_dev *dev;
    TS_TRY(ts_npu_dev_query(&dev, io, path, err));
    ts_status s = ts_npu_dev_heap(dev, err);
    if (s != TS_OK) {
        ts_npu_dev_close(dev);
        return s;
    }
    *out = dev;
    return TS_OK;
}

void ts_npu_dev_close(ts_npu_dev *dev) {
    if (!dev) return;
    if (dev->heap) dev->io->munmap(dev->io->ud, dev->heap, TS_HEAP_BYTES);
    if (dev->heap_handle)
        ts_npu_ioctl(dev, TS_IOCTL_GEM_CLOSE, &(struct ts_uapi_gem_close){.handle = dev->heap_handle});
    if (dev->fd >= 0) dev->io->close(dev->io->ud, dev->fd);
    ts_free(dev);
}

ts_status ts_npu_users(const ts_npu_dev *dev, struct ts_uapi_hwctx_entry *out, size_t cap, size_t *n,
                       ts_err *err) {
    /* a kernel's list has 6 at most, and ends where the room does, or is refused (before 6.18) */
    struct ts_uapi_hwctx_entry all[32];
    int r = query(dev, TS_UAPI_INFO_HW_CONTEXTS, all, sizeof all);
    if (r < 0) return ts_npu_fail(err, TS_NPU_QUERY, r);
    /* What buffer_size says afterwards depends on the kernel: bytes written, or bytes left. An entry has columns. */
    for (*n = 0; *n < sizeof all / sizeof all[0] && all[*n].num_col; ++*n)
        if (*n < cap) out[*n] = all[*n];
    return TS_OK;
}
