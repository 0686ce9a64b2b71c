/* npu1.h - an npu1 as the amdxdna driver sees it: PCI function, PSP and SMU registers, mailboxes, firmware; behind
 * it the array simulator.
 *
 * Registers are served from the thread of vfu_serve, commands of contexts run in a thread of the device's own, so no
 * register read ever waits for a command. What the firmware answers is what Linux 7.3.4 expects of it; where only
 * the silicon could tell, the choice is marked [guess]. Source of layouts and numbers: Linux 7.3.4
 * drivers/accel/amdxdna (npu1_regs.c, aie_psp.c, aie_smu.c, aie2_pci.c, aie2_msg_priv.h, amdxdna_mailbox.c,
 * aie2_error.c) [doc]. */
#ifndef TS_TESTS_QEMU_NPU1_H
#define TS_TESTS_QEMU_NPU1_H

#include "qemu/pasid.h"
#include "qemu/vfu.h"

typedef struct npu1 npu1;

typedef struct npu1_options {
    uint32_t minor;      /* of the mailbox protocol 5: 7 or 8 */
    pasid_walker *pasid; /* NULL: the function cannot do PASIDs; borrowed */
    uint64_t max_cycles; /* of one command, 0: the simulator's own limit */
    bool verbose;        /* every message and command on stderr */
    bool quiet;          /* nothing on stderr, failed commands and refused messages neither */
} npu1_options;

/* Makes the function known to `v` (borrowed) and starts the thread for commands. NULL: out of memory, or no thread. */
npu1 *npu1_new(vfu *v, const npu1_options *o);
/* A command under way is ended first. NULL-safe. */
void npu1_free(npu1 *n);

/* ---- orders: what shall go wrong; from any thread ---------------------------------------------------------------- */

/* One line of the control channel (control.h lists them); the answer, "ok[ words]" or "error: words", goes to
 * `reply`. */
void npu1_order(npu1 *n, const char *line, char *reply, size_t reply_bytes);

/* ---- counts ------------------------------------------------------------------------------------------------------ */

typedef struct npu1_counts {
    uint64_t commands, failed; /* begun; ended with a status, or never */
    uint64_t contexts, created;
    uint64_t starts, suspends; /* the firmware came alive; it was put down by the driver */
    uint64_t reloads;          /* an array was configured anew because its state was lost */
    uint64_t messages;         /* of all mailboxes */
    uint64_t unmapped;         /* accesses of the device to memory that is not there */
    uint64_t hung;             /* contexts with a command that never ends */
    uint64_t async;            /* asynchronous errors told */
    uint64_t busy_ns;          /* time in the simulator */
} npu1_counts;
npu1_counts npu1_get_counts(npu1 *n);

#endif
