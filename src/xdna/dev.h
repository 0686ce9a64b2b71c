/* dev.h - an open NPU: what it is, its device heap, its other users. */
#ifndef TS_XDNA_DEV_H
#define TS_XDNA_DEV_H

#include "base/err.h"
#include "xdna/chip.h"
#include "xdna/io.h"
#include "xdna/uapi.h"

typedef struct ts_npu_info {
    int driver_major, driver_minor;
    uint32_t firmware[4]; /* major, minor, patch, build */
    struct ts_uapi_aie_metadata array;
} ts_npu_info;

/* Asked about ten times a second while the runtime waits for something that takes seconds; true: give up
 * (TS_E_CANCELLED). */
typedef struct ts_npu_stop {
    ts_stop_fn *asked; /* NULL: nobody is asked */
    void *ud;
} ts_npu_stop;

/* An open device. Read-only for everyone but dev.c. One thread at a time. */
typedef struct ts_npu_dev {
    const ts_npu_io *io;
    int fd;
    const ts_chip *chip;
    ts_npu_info info;
    uint32_t heap_handle;
    char *heap; /* 64 MiB, mapped at a multiple of 64 MiB */
    ts_npu_stop stop;
} ts_npu_dev;

/* Open the node at `path` through `io` (borrowed until close), check that it is a chip that Tessera runs on with usable
 * firmware, and set up the heap, which must stand before any device buffer or context. Errors: TS_E_DEVICE with advice
 * (advice.h); TS_E_UNSUPP for another driver, another array, too old firmware; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_npu_dev_open(ts_npu_dev **out, const ts_npu_io *io, const char *path, ts_err *err);
/* The same in two steps, for a first look at a device: only the queries; then the heap, once. */
TS_NODISCARD ts_status ts_npu_dev_query(ts_npu_dev **out, const ts_npu_io *io, const char *path, ts_err *err);
TS_NODISCARD ts_status ts_npu_dev_heap(ts_npu_dev *dev, ts_err *err);
/* All buffers and contexts must be gone. NULL-safe. */
void ts_npu_dev_close(ts_npu_dev *dev);

/* From now on, who is asked whether to go on waiting. */
void ts_npu_dev_stop_by(ts_npu_dev *dev, ts_npu_stop stop);
bool ts_npu_dev_stopped(const ts_npu_dev *dev);

/* One request, repeated while a signal interrupts it. 0 or -errno. */
int ts_npu_ioctl(const ts_npu_dev *dev, uint32_t request, void *arg);

/* The clocks as they are now, in MHz: controller, array. false: the driver does not say. Without a context the chip
 * runs slower, half as fast in Linux 7.3 [doc]: whatever is said about a run needs the clock of the run. */
bool ts_npu_clocks(const ts_npu_dev *dev, uint32_t *mp_mhz, uint32_t *h_mhz);

/* The array's clock in MHz as it was seen while commands were under way: the last time, the least, the most. All 0:
 * it was not. */
typedef struct ts_npu_clock {
    uint32_t mhz, least, most;
} ts_npu_clock;
/* Look: a context must be there with a command under way, or just done. */
void ts_npu_clock_look(ts_npu_clock *c, const ts_npu_dev *dev);

/* The contexts on the device, of all programs: up to `cap`, *n in all that were told. */
TS_NODISCARD ts_status ts_npu_users(const ts_npu_dev *dev, struct ts_uapi_hwctx_entry *out, size_t cap,
                                    size_t *n, ts_err *err);

#endif
