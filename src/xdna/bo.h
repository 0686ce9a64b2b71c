/* bo.h - buffers that the NPU can reach. */
#ifndef TS_XDNA_BO_H
#define TS_XDNA_BO_H

#include "xdna/dev.h"

typedef enum ts_npu_bo_kind {
    TS_NPU_SHARED, /* host memory for transfers: weights, activations, results. Any size */
    TS_NPU_DEVICE, /* a piece of the 64 MiB heap: configurations and instruction streams */
    TS_NPU_PACKET, /* a command packet, at most 32 KiB; read by the driver, never by the device */
} ts_npu_bo_kind;

/* Caller's storage; all zero is an empty one. The device must outlive it. */
typedef struct ts_npu_bo {
    ts_npu_dev *dev;
    ts_npu_bo_kind kind;
    uint32_t handle;
    size_t bytes;  /* whole pages */
    char *ptr;     /* zeroed at first */
    uint64_t addr; /* for the device; 0 for packets */
} ts_npu_bo;

/* Errors: TS_E_DEVICE or TS_E_NOMEM with advice; `what` names the buffer in them. *bo is then empty. */
TS_NODISCARD ts_status ts_npu_bo_init(ts_npu_bo *bo, ts_npu_dev *dev, ts_npu_bo_kind kind, size_t bytes,
                                      const char *what, ts_err *err);
/* NULL-safe; leaves *bo empty. No command may be using it. */
void ts_npu_bo_fini(ts_npu_bo *bo);

/* The NPU does not see the CPU's caches. After writing and before submitting: flush. After a command and before
 * reading what it wrote: invalidate. (The same instructions do both.) Whole lines of 64 bytes: a line must not be
 * written by CPU and device both in between. */
void ts_npu_bo_flush(const ts_npu_bo *bo, size_t offset, size_t bytes);
void ts_npu_bo_invalidate(const ts_npu_bo *bo, size_t offset, size_t bytes);

#endif
