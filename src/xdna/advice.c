#include "xdna/advice.h"

#include "xdna/uapi.h"

#include <errno.h>
#include <string.h>

/* Nothing but these brings wedged firmware back; the drivers' power cycle is of August 2026 [doc]. */
#define AFTER_A_HANG "reboot (drivers from August 2026 on cycle the NPU's power by themselves: then try again)"

static const char *const step_texts[TS_NPU_STEPS] = {
    [TS_NPU_OPEN] = "opening the NPU failed",
    [TS_NPU_QUERY] = "asking the NPU driver failed",
    [TS_NPU_HEAP] = "setting up the NPU's 64 MiB heap failed",
    [TS_NPU_BUFFER] = "creating an NPU buffer failed",
    [TS_NPU_MEMORY] = "creating an NPU buffer failed",
    [TS_NPU_CONTEXT] = "creating an NPU context failed",
    [TS_NPU_CONFIG] = "configuring the NPU failed",
    [TS_NPU_SUBMIT] = "handing a command to the NPU failed",
    [TS_NPU_WAIT] = "waiting for the NPU failed",
};

enum { ANY_STEP = TS_NPU_STEPS };

/* The first entry that fits. */
static const struct {
    int step, error;
    const char *text;
} symptoms[] = {
    {TS_NPU_OPEN, ENOENT, "there is no such node: the amdxdna driver is not loaded, or found no NPU"},
    {TS_NPU_OPEN, EACCES,
     "no permission: add yourself to the group \"render\" (usermod -aG render USER) and log in again"},
    {TS_NPU_OPEN, EPERM,
     "no permission: add yourself to the group \"render\" (usermod -aG render USER) and log in again"},
    {TS_NPU_OPEN, ENODEV,
     "the NPU needs the IOMMU with PASID: remove amd_iommu=off from the kernel command line, enable the "
     "IOMMU in the BIOS; a virtual machine hardly ever has one"},
    {TS_NPU_OPEN, EINVAL, /* 7.3, whatever the reason */
     "the driver cannot let the NPU into this program's memory, for the IOMMU gives it no PASID: remove amd_iommu=off "
     "from the kernel "
     "command line and enable the IOMMU in the BIOS, or load the driver with force_iova=1 (amdxdna.force_iova=1 "
     "there)"},
    {TS_NPU_OPEN, EOPNOTSUPP,
     "this kernel has shared virtual addressing switched off (some 6.18 point releases), or is older and has iommu=pt "
     "on its command "
     "line: remove that, or take a newer kernel"},
    {TS_NPU_OPEN, ENOSPC,
     "the IOMMU has no address space left for another program: close other programs that use the NPU, or "
     "reboot"},
    {TS_NPU_OPEN, EMFILE, "too many open files: raise the limit (ulimit -n)"},
    {TS_NPU_QUERY, EOPNOTSUPP, "this driver or chip does not answer that"},
    {TS_NPU_HEAP, ENOMEM, "not enough memory for 64 MiB of device heap: close other programs"},
    {TS_NPU_HEAP, EAGAIN, "pages could not be locked: raise the memlock limit (ulimit -l unlimited, or limits.conf)"},
    {TS_NPU_HEAP, ENOSPC, /* of the host's memory too [doc: 7.3] */
     "not enough memory for 64 MiB of device heap, or what is set aside for the NPU (carveout) is used up: close other "
     "programs"},
    {TS_NPU_HEAP, EBUSY, "this program has a heap already"},
    {TS_NPU_HEAP, EEXIST, "no aligned 64 MiB of address space were free"},
    {TS_NPU_BUFFER, EAGAIN, "the device heap is not mapped: please report it"},
    {TS_NPU_BUFFER, ENOSPC, "the device heap is full"},
    {TS_NPU_MEMORY, ENOSPC,
     "not enough memory, or what is set aside for the NPU (carveout) is used up: close other programs, or use a "
     "smaller model"},
    {TS_NPU_MEMORY, ENOMEM,
     "not enough memory: close other programs, use a smaller model, or raise the memlock limit (ulimit -l)"},
    {TS_NPU_MEMORY, EAGAIN, "pages could not be locked: raise the memlock limit (ulimit -l unlimited, or limits.conf)"},
    {TS_NPU_MEMORY, EPERM, "pages could not be locked: raise the memlock limit (ulimit -l unlimited, or limits.conf)"},
    {TS_NPU_CONTEXT, ENOENT, "there is no device heap yet"},
    {TS_NPU_CONTEXT, EAGAIN,
     "the device heap is not mapped: please report it with the kernel log (dmesg | grep amdxdna)"},
    {TS_NPU_CONTEXT, EINVAL,
     "the firmware refuses the context. After an earlier hang of the NPU it does until you " AFTER_A_HANG
     "; else firmware and kernel do not fit "
     "each other: update the kernel and linux-firmware. The kernel log has its status (dmesg | grep amdxdna)"},
    {TS_NPU_CONTEXT, ENODEV,
     "there is no room for the columns: other programs hold some of them in another width; close them and try again"},
    {TS_NPU_CONTEXT, ENOSPC, "all columns are taken by other programs: close them and try again"},
    {TS_NPU_CONTEXT, EBUSY, "all 6 contexts of the NPU are taken: close some and try again"},
    {TS_NPU_CONTEXT, EIO, "the firmware does not answer, perhaps after an earlier hang: " AFTER_A_HANG},
    {TS_NPU_CONTEXT, ETIME, "the firmware does not answer, perhaps after an earlier hang: " AFTER_A_HANG},
    {TS_NPU_CONFIG, EINVAL,
     "the firmware refuses the configuration: please report it with the kernel log (dmesg | grep amdxdna)"},
    {TS_NPU_SUBMIT, EIO, "the context is dead after an earlier failure: it must be made anew"},
    {TS_NPU_SUBMIT, EFAULT, "memory of its buffers is gone: free memory and try again"},
    {TS_NPU_SUBMIT, ETIME, "memory of its buffers could not be had in time: free memory and try again"},
    {TS_NPU_SUBMIT, EINVAL,
     "the driver refuses the command: please report it with the kernel log (dmesg | grep amdxdna)"},
    {TS_NPU_SUBMIT, ENOENT, "a buffer of the command is gone"},
    {TS_NPU_SUBMIT, ENOMEM, "its buffers could not be pinned: raise the memlock limit (ulimit -l) or free memory"},
    {TS_NPU_WAIT, ETIME,
     "no answer in time, and the driver has not given the command up: newer ones do after 2 s, old ones after 60 s, "
     "unless "
     "tdr_timeout_ms is 0; " AFTER_A_HANG},
    {ANY_STEP, ENODEV, "the NPU is gone: it was removed, suspended, or its driver was unloaded; see the kernel log"},
    {ANY_STEP, ENOTTY, "this is not the node of an amdxdna driver that Tessera knows"},
    {ANY_STEP, ENOMEM, "not enough memory"},
    {ANY_STEP, EINVAL, "the driver refuses it: please report it with the kernel log (dmesg | grep amdxdna)"},
    {ANY_STEP, 0, "please report it with the kernel log (dmesg | grep amdxdna)"},
};

const char *ts_npu_step_text(ts_npu_step step) {
    return (unsigned)step < TS_NPU_STEPS ? step_texts[step] : "the NPU failed";
}

const char *ts_npu_advice(ts_npu_step step, int os_errno) {
    size_t i = 0;
    while ((symptoms[i].step != (int)step && symptoms[i].step != ANY_STEP) ||
           (symptoms[i].error != os_errno && symptoms[i].error))
        i++;
    return symptoms[i].text; /* the last entry fits all */
}

ts_status ts_npu_fail(ts_err *err, ts_npu_step step, int result) {
    const bool memory = result == -ENOMEM || (result == -ENOSPC && (step == TS_NPU_HEAP || step == TS_NPU_MEMORY));
    ts_status code = memory ? TS_E_NOMEM : TS_E_DEVICE;
    ts_fail(err, code, "NPU: %s (%s): %s", ts_npu_step_text(step), ts_os_error(-result).text,
            ts_npu_advice(step, -result));
    if (err) err->os_errno = -result;
    return code;
}

/* ---- packet states ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} states[] = {
    [TS_CMD_NEW] = {"NEW", "it was never taken up"},
    [TS_CMD_QUEUED] = {"QUEUED", "it was queued, but not begun"},
    [TS_CMD_RUNNING] = {"RUNNING", "it was begun, but not ended"},
    [TS_CMD_COMPLETED] = {"COMPLETED", "it is complete"},
    [TS_CMD_ERROR] = {"ERROR", "the firmware reports an error in the command or on the array; see the kernel log"},
    [TS_CMD_ABORT] =
        {"ABORT",
         "the driver gave it up with the context; if the kernel log has \"ret -22\" or \"Command bo size\", the "
         "firmware is older than the driver: update linux-firmware"},
    [TS_CMD_SUBMITTED] = {"SUBMITTED", "it was handed over, but not ended"},
    [TS_CMD_TIMEOUT] = {"TIMEOUT",
                        "it did not end in time: a transfer never completed; if the NPU stays unusable, " AFTER_A_HANG},
    [TS_CMD_NORESPONSE] = {"NORESPONSE", "the firmware does not answer; if the NPU stays unusable, " AFTER_A_HANG},
};

const char *ts_npu_state_name(uint32_t state) {
    return state < sizeof states / sizeof states[0] && states[state].name ? states[state].name
                                                                          : "unknown state";
}

const char *ts_npu_state_text(uint32_t state) {
    return state < sizeof states / sizeof states[0] && states[state].text ? states[state].text
                                                                          : "the packet is damaged";
}

/* ---- firmware status, kernel log --------------------------------------------------------------------------------- */

static const struct {
    uint32_t first, last;
    const char *text;
} statuses[] = {
    {0x1000001, 0x100000c,
     "an error on the array: a bad access, a lock or stream fault, or a core that stopped"},
    {0x2000003, 0x2000003, "nothing is available: the firmware is wedged by an earlier hang; " AFTER_A_HANG},
    {0x2000006, 0x2000006, "busy: the firmware is wedged by an earlier hang; " AFTER_A_HANG},
    {0x3000003, 0x3000003, "the configuration (PDI) could not be loaded"},
    {0x4000002, 0x4000002, "an invalid command"},
    {0x4000003, 0x4000003, "an invalid parameter; for a new context: the heap is not mapped or not aligned"},
};

const char *ts_npu_firmware_text(uint32_t status) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (status >= statuses[i].first && status <= statuses[i].last) return statuses[i].text;
    return "unknown";
}

static const struct {
    const char *pattern, *text;
} log_lines[] = {
    {"under hypervisor not supported", "this driver does not run in a virtual machine that it recognises"},
    {"without IOMMU not supported",
     "the IOMMU is off: enable it in the BIOS, and remove amd_iommu=off from the kernel command line"},
    {"PASID unavailable",
     "the IOMMU gives the NPU no PASID: enable it in the BIOS, or load the driver with force_iova=1"},
    {"SVA bind device failed",
     "the IOMMU gives the NPU no PASID: enable it in the BIOS, or load the driver with force_iova=1"},
    {"failed to request_firmware",
     "the firmware file is missing: install linux-firmware (Debian: firmware-amd-graphics) and, if the driver "
     "loads early, rebuild the initramfs"},
    {"failed to validate fw",
     "the processor refuses the firmware file: it is damaged or another chip's; install linux-firmware anew"},
    {"failed to start fw",
     "the processor refuses the firmware file: it is damaged or another chip's; install linux-firmware anew"},
    {"TDR timeout detected", "a command did not end, and the driver has given up it and all others under way"},
    {"Allocate AIE resource failed, ret -19", "another program holds some of the columns in another width"},
    {"firmware is not alive",
     "the firmware did not start: the firmware file does not fit this driver; update linux-firmware"},
    {"Invalid mbox magic",
     "the firmware did not start: the firmware file does not fit this driver; update linux-firmware"},
    {"ncompatible firmware protocol", "the firmware is too old for this kernel: update linux-firmware"},
    {"irect firmware load", "the firmware file is missing: install linux-firmware (Debian: "
                            "firmware-amd-graphics) and, if the driver "
                            "loads early, rebuild the initramfs"},
    {"0x2000003", "the firmware is wedged by an earlier hang; " AFTER_A_HANG},
    {"0x2000006", "the firmware is wedged by an earlier hang; " AFTER_A_HANG},
    {"Command bo size", "the firmware is older than this driver: update linux-firmware"},
    {"ret -22",
     "the firmware refused it; if commands end as ABORT, it is older than this driver: update linux-firmware"},
    {"IO_PAGE_FAULT",
     "the NPU reached for memory that it was not given: at a low address a descriptor whose address was never "
     "filled in, else a buffer that the command does not list; please report it"},
    {"0x3000003", "a configuration (PDI) could not be loaded"},
    {"0x4000002", "an invalid command"},
    {"0x4000003", "an invalid parameter; for a new context: the heap is not mapped or not aligned"},
    {"0x10000", "an error on the array"},
};

const char *ts_npu_log_advice(const char *line) {
    for (size_t i = 0; i < sizeof log_lines / sizeof log_lines[0]; i++)
        if (strstr(line, log_lines[i].pattern)) return log_lines[i].text;
    return NULL;
}
