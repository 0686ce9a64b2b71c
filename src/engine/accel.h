/* accel.h - linear layers on a device, and the ledger of what ran where. Depends on: model/model.h,
 * device/dev_npu.h.
 *
 * All functions take NULL for "no device and no ledger". */
#ifndef TS_ENGINE_ACCEL_H
#define TS_ENGINE_ACCEL_H

#include "device/dev_npu.h"
#include "model/model.h"
#include "tessera/tessera.h"

typedef struct ts_accel ts_accel;

/* TS_E_INVAL naming the known devices. NULL: cpu. */
TS_NODISCARD ts_status ts_accel_check_device(const char *name, ts_err *err);

/* Open the device that `o` asks for, decide which layers of `m` it runs and mark them, make room for their weights.
 * *out is NULL for a plain CPU. Errors: those of the device; TS_E_UNSUPP naming a tensor that it cannot take. */
TS_NODISCARD ts_status ts_accel_open(ts_accel **out, const ts_engine_opts *o, ts_model *m, ts_err *err);
void ts_accel_close(ts_accel *a);
/* Pack the weights of the device's layers; the file's pages are let go on the way. */
TS_NODISCARD ts_status ts_accel_load(ts_accel *a, ts_pool *pool, ts_load_progress progress, ts_err *err);

const ts_exec_hook *ts_accel_hook(const ts_accel *a);
bool ts_accel_on_device(const ts_accel *a);
const char *ts_accel_device(const ts_accel *a); /* "cpu", "npu", "npu-sim" */
ts_evidence ts_accel_evidence(const ts_accel *a); /* of the host's times */
ts_npu_clock ts_accel_clock(const ts_accel *a); /* of the array while commands ran */
uint64_t ts_accel_weight_bytes(const ts_accel *a);

size_t ts_accel_ledger(const ts_accel *a, ts_ledger_row *rows, size_t cap);
void ts_accel_ledger_reset(ts_accel *a);

#endif
