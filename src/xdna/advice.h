/* advice.h - what an NPU failure means and what a person can do about it.
 *
 * One table of symptoms: the step that failed and its error number, packet states, firmware status words, lines
 * of the kernel log. Sources: driver source and reports of others, docs/npu/driver.md. */
#ifndef TS_XDNA_ADVICE_H
#define TS_XDNA_ADVICE_H

#include "base/err.h"

#include <stdint.h>

typedef enum ts_npu_step {
    TS_NPU_OPEN,    /* opening the node */
    TS_NPU_QUERY,   /* GET_INFO and the driver's version */
    TS_NPU_HEAP,    /* creating or mapping the device heap */
    TS_NPU_BUFFER,  /* creating a buffer in the device heap */
    TS_NPU_MEMORY,  /* creating or mapping one of the host's memory */
    TS_NPU_CONTEXT, /* creating a hardware context */
    TS_NPU_CONFIG,  /* loading a configuration into it */
    TS_NPU_SUBMIT,  /* handing over a command */
    TS_NPU_WAIT,    /* waiting for it */
    TS_NPU_STEPS,
} ts_npu_step;

/* "opening the NPU": what the step does. */
const char *ts_npu_step_text(ts_npu_step step);
/* What that error means at that step and what to do; never NULL. os_errno > 0. */
const char *ts_npu_advice(ts_npu_step step, int os_errno);
/* Fill err with "NPU: <what failed> (<errno>): <advice>" and return TS_E_DEVICE, or TS_E_NOMEM for ENOMEM, and for
 * ENOSPC of host memory. result: the -errno of an io call. */
ts_status ts_npu_fail(ts_err *err, ts_npu_step step, int result);

/* "TIMEOUT", and what it means, for the state of a command packet. */
const char *ts_npu_state_name(uint32_t state);
const char *ts_npu_state_text(uint32_t state);
/* A firmware status word as the kernel log shows it; "unknown" for others. */
const char *ts_npu_firmware_text(uint32_t status);
/* Advice for a line of the kernel log, or NULL when it is none that we know. */
const char *ts_npu_log_advice(const char *line);

#endif
