/* host.h - what this machine has for an NPU, before any node is opened: chips, driver, node, firmware, limits. */
#ifndef TS_XDNA_HOST_H
#define TS_XDNA_HOST_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

enum { TS_NPU_CHIPS_MAX = 4 };

typedef struct ts_npu_chip {
    char slot[24];   /* "0000:c4:00.1" */
    uint32_t device; /* PCI device number: 0x1502 is npu1 (XDNA1), 0x17f0 npu4 to npu6 (XDNA2) */
    char driver[32]; /* bound to it, empty: none */
    char node[32];   /* "/dev/accel/accel0", empty: none */
} ts_npu_chip;

typedef struct ts_npu_host {
    ts_npu_chip chip[TS_NPU_CHIPS_MAX];
    int n_chips;
    char kernel[64];
    int kernel_major, kernel_minor;
    bool loaded;   /* the amdxdna driver is, whether it has taken a chip or not */
    bool firmware; /* a firmware file for npu1 is there */
    char firmware_version[24]; /* of that file, where its name tells ("1.5.5.391"), else empty */
    int iommu_groups;
    bool amd_iommu_off, iommu_pt; /* on the kernel command line */
    char hypervisor[32];          /* this is a virtual machine ("KVM"); empty: none is seen */
    uint64_t memlock;             /* bytes, UINT64_MAX: no limit */
} ts_npu_host;

/* Look around under `root` ("" for this machine; tests have trees of their own). Never fails: what cannot be read
 * is absent. */
void ts_npu_host_probe(ts_npu_host *h, const char *root);

/* The node to open, into path (at least 32 bytes). Errors: TS_E_DEVICE or, for XDNA2, TS_E_UNSUPP, in one line
 * with what to do: no chip, no driver, no node. */
TS_NODISCARD ts_status ts_npu_host_node(const ts_npu_host *h, char *path, size_t len, ts_err *err);

/* Things that may stand in the way: the i-th warning as one line, or NULL past the last. locked_bytes: memory
 * that a run would keep pinned. buf: storage for it. */
const char *ts_npu_host_warning(const ts_npu_host *h, uint64_t locked_bytes, int i, char *buf, size_t len);

/* The last `max` lines of the kernel log that are about the driver, or about a page fault of the chip in `slot`
 * ("0000:c4:00.1", empty: none), appended to `out`, an end of line behind each; where advice.h knows a line, what it
 * means follows in a line of its own. 0, or -errno where the log cannot be read (-EPERM: it is not for everyone). */
int ts_npu_kernel_log(ts_buf *out, const char *slot, int max);
/* The same from a text. false: out of memory. */
TS_NODISCARD bool ts_npu_log_pick(ts_buf *out, const char *text, size_t len, const char *slot, int max);

#endif
