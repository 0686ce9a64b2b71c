/* accel.h - linear layers on devices: which rows of which layer live where, and running them.
 *
 * A layer's rows are shared out in whole groups of 16: the first ones to the first device, the next ones to the next,
 * the rest to the CPU. All devices get their part under way, the CPU computes its own meanwhile, then all are waited
 * for. By the numeric contract (docs/numerics.md) the bits do not depend on where a row was computed. All functions
 * take NULL for "no device". */
#ifndef TS_ENGINE_ACCEL_H
#define TS_ENGINE_ACCEL_H

#include "device/devices.h"
#include "model/model.h"
#include "tessera/tessera.h"

typedef struct ts_accel ts_accel;

typedef struct ts_accel_options {
    const ts_device_plan *plan;
    bool keep_all; /* the CPU gets the weights of all rows, too */
    ts_stop_fn *stop; /* nullable */
    void *stop_ud;
} ts_accel_options;

/* Open the plan's devices, decide which rows of `m` each has and mark them, make room for their weights. *out is NULL
 * where the CPU does everything. Errors: those of the devices; TS_E_UNSUPP naming a tensor that one cannot take. */
TS_NODISCARD ts_status ts_accel_open(ts_accel **out, const ts_accel_options *o, ts_model *m, ts_err *err);
void ts_accel_close(ts_accel *a);
/* Bytes of the file that loading reads. */
uint64_t ts_accel_load_bytes(const ts_accel *a);
/* Pack the weights of the devices' rows; the file's pages are let go on the way. After ts_model_pack. */
TS_NODISCARD ts_status ts_accel_load(ts_accel *a, ts_pool *pool, ts_load_progress progress, ts_err *err);

const ts_linear_runner *ts_accel_runner(const ts_accel *a);
const char *ts_accel_device(const ts_accel *a); /* "cpu", "npu-sim", "npu-sim+other": borrowed */
ts_evidence ts_accel_evidence(const ts_accel *a); /* of the host's times */
ts_dev_clock ts_accel_clock(const ts_accel *a); /* of the first device */
uint64_t ts_accel_weight_bytes(const ts_accel *a);

#endif
