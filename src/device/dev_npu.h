/* dev_npu.h - the devices "npu" and "npu-sim": the runtime of npu/gemv_dev.h on this machine's NPU, or on a simulated
 * node that is made for it. */
#ifndef TS_DEVICE_DEV_NPU_H
#define TS_DEVICE_DEV_NPU_H

#include "device/devices.h"
#include "npu/gemv_dev.h"
#include "sim/simnode.h"

extern const ts_device ts_device_npu, ts_device_npu_sim;

typedef struct ts_npu_options { /* zero-initialise */
    bool simulated;
    uint64_t seed; /* simulated: shakes the latencies of the array and makes it strict, for tests; 0: nominal */
    ts_prefetch prefetch;
    ts_npu_stop stop;
} ts_npu_options;

/* What was chosen: of one of the two devices above. */
ts_npu_options ts_npu_options_of(const ts_device_choice *c);

typedef struct ts_npu {
    ts_gemv_dev *gemv;
    ts_simnode *node; /* NULL: not simulated */
} ts_npu;

/* Errors: those of ts_gemv_dev_open. */
TS_NODISCARD ts_status ts_npu_open(ts_npu *out, const ts_npu_options *o, ts_err *err);
void ts_npu_close(ts_npu *n); /* one that is all zero too */

#endif
