#include "xdna/bo.h"

#include "base/mem.h"
#include "xdna/advice.h"

#include <errno.h>

enum { PAGE = 4096 };

static const uint32_t types[] = {
    [TS_NPU_SHARED] = TS_UAPI_BO_SHMEM, [TS_NPU_DEVICE] = TS_UAPI_BO_DEV, [TS_NPU_PACKET] = TS_UAPI_BO_CMD};

/* Addresses of shared buffers are known only once they are mapped, so the order is: where to map, map, ask again. */
static int map_shared(ts_npu_bo *bo) {
    struct ts_uapi_get_bo_info info = {.handle = bo->handle};
    void *p;
    int r = ts_npu_ioctl(bo->dev, TS_IOCTL_GET_BO_INFO, &info);
    if (r < 0) return r;
    r = bo->dev->io->mmap(bo->dev->io->ud, bo->dev->fd, NULL, bo->bytes, info.map_offset, &p);
    if (r < 0) return r;
    bo->ptr = p;
    if (bo->kind == TS_NPU_PACKET) return 0;
    info = (struct ts_uapi_get_bo_info){.handle = bo->handle};
    r = ts_npu_ioctl(bo->dev, TS_IOCTL_GET_BO_INFO, &info);
    if (r < 0) return r;
    /* with shared virtual addressing it is the pointer itself, and kernels up to 6.18 leave it at "invalid"; else an
     * address of the IOMMU or of memory, known from the start. None of these is 0: IOVAs are given out from the top
     * down [doc] */
    bo->addr =
        info.xdna_addr == TS_UAPI_INVALID_ADDR || !info.xdna_addr ? (uint64_t)(uintptr_t)p : info.xdna_addr;
    return 0;
}

static int find_in_heap(ts_npu_bo *bo) {
    struct ts_uapi_get_bo_info info = {.handle = bo->handle};
    int r = ts_npu_ioctl(bo->dev, TS_IOCTL_GET_BO_INFO, &info);
    if (r < 0) return r;
    uint64_t off = info.xdna_addr - TS_HEAP_BASE;
    if (info.xdna_addr < TS_HEAP_BASE || off > TS_HEAP_BYTES || bo->bytes > TS_HEAP_BYTES - off)
        return -EFAULT;
    bo->addr = info.xdna_addr;
    bo->ptr = bo->dev->heap + off;
    return 0;
}

ts_status ts_npu_bo_init(ts_npu_bo *bo, ts_npu_dev *dev, ts_npu_bo_kind kind, size_t bytes, const char *what,
                         ts_err *err) {
    *bo = (ts_npu_bo){.dev = dev, .kind = kind};
    if (!bytes || !ts_size_add(bytes, PAGE - 1, &bo->bytes))
        return ts_fail(err, TS_E_INVAL, "NPU: %s of %zu bytes", what, bytes);
    bo->bytes &= ~(size_t)(PAGE - 1);
    struct ts_uapi_create_bo create = {.size = bo->bytes, .type = types[kind]};
    int r = ts_npu_ioctl(dev, TS_IOCTL_CREATE_BO, &create);
    if (r == 0) {
        bo->handle = create.handle;
        r = kind == TS_NPU_DEVICE ? find_in_heap(bo) : map_shared(bo);
    }
    if (r == 0) return TS_OK;
    ts_status s = ts_npu_fail(err, kind == TS_NPU_DEVICE ? TS_NPU_BUFFER : TS_NPU_MEMORY, r);
    s = ts_err_prefix(err, s, "%s (%zu bytes)", what, bytes);
    ts_npu_bo_fini(bo);
    return s;
}

void ts_npu_bo_fini(ts_npu_bo *bo) {
    if (!bo || !bo->dev) return;
    const ts_npu_io *io = bo->dev->io;
    if (bo->ptr && bo->kind != TS_NPU_DEVICE) io->munmap(io->ud, bo->ptr, bo->bytes);
    if (bo->handle)
        ts_npu_ioctl(bo->dev, TS_IOCTL_GEM_CLOSE, &(struct ts_uapi_gem_close){.handle = bo->handle});
    *bo = (ts_npu_bo){0};
}

void ts_npu_bo_flush(const ts_npu_bo *bo, size_t offset, size_t bytes) {
    bo->dev->io->flush(bo->dev->io->ud, bo->ptr + offset, bytes);
}

void ts_npu_bo_invalidate(const ts_npu_bo *bo, size_t offset, size_t bytes) {
    ts_npu_bo_flush(bo, offset, bytes);
}
