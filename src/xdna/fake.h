/* fake.h - the strict fake node: an amdxdna device for tests and for the simulator.
 *
 * It answers the calls of a ts_npu_io as the kernel does (several of them), keeps buffers, contexts, queues and
 * fences, and takes command packets apart as driver and firmware do. Each call leaves a verdict: which rule was
 * broken, if any, about order, size, flag, address, handle. Where the kernel would let a mistake through that the
 * device does not forgive, it refuses besides; tests/qemu/strictness.txt lists where. Memory exists twice, as the
 * CPU sees it and as the device does, and only a flush of the line carries bytes from one to the other. Commands run
 * as late as they may, when they are waited for. Its clock goes with the machine's, but to wait for nothing takes no
 * time: the clock jumps. Behind it stands a ts_fake_array: the array simulator, or a few lines of a test. Source of
 * the answers: tests/qemu/answers; of the rules: docs/npu/driver.md. */
#ifndef TS_XDNA_FAKE_H
#define TS_XDNA_FAKE_H

#include "base/err.h"
#include "xdna/chip.h"
#include "xdna/io.h"

#include <stdbool.h>

/* Kernels. What the first three answer was recorded from the driver itself (tests/qemu/answers), the last is read in
 * its source. */
typedef enum ts_fake_profile {
    TS_FAKE_7_3,      /* Linux 7.3, shared virtual addresses */
    TS_FAKE_7_3_IOVA, /* the same with force_iova: buffers have addresses of their own */
    TS_FAKE_6_18,
    TS_FAKE_6_14,     /* the first with the driver */
    TS_FAKE_PROFILES,
} ts_fake_profile;

/* name, what must hold */
#define TS_FAKE_RULES(RULE)                                                                                  \
    RULE(FD, "calls name an open file")                                                                      \
    RULE(REQUEST, "only requests 0 to 7 and core DRM are used")                                              \
    RULE(POINTER, "pointers point to something")                                                             \
    RULE(MUST_BE_ZERO, "reserved fields are zero")                                                           \
    RULE(INFO_PARAM, "queries ask for what npu1 has")                                                        \
    RULE(INFO_SIZE, "the answer fits its buffer")                                                            \
    RULE(BO_TYPE, "buffers are of a known type")                                                             \
    RULE(BO_SIZE, "buffers have a size")                                                                     \
    RULE(BO_USERPTR, "memory comes from the driver")                                                         \
    RULE(HEAP_SIZE, "the heap is exactly 64 MiB")                                                            \
    RULE(HEAP_ONCE, "there is one heap")                                                                     \
    RULE(HEAP_FIRST, "the heap exists and is mapped before device buffers")                                  \
    RULE(HEAP_ALIGN, "the heap is mapped at a multiple of 64 MiB")                                           \
    RULE(CMD_SIZE, "command buffers are 4 bytes to 32 KiB")                                                  \
    RULE(BO_HANDLE, "buffer handles exist")                                                                  \
    RULE(MMAP_OFFSET, "mappings use a buffer's own offset")                                                  \
    RULE(MMAP_LENGTH, "buffers are mapped whole")                                                            \
    RULE(MMAP_DEV, "device buffers are reached through the heap")                                            \
    RULE(MMAP_ONCE, "a buffer is mapped once")                                                               \
    RULE(MUNMAP, "what is unmapped was mapped, whole")                                                       \
    RULE(BUSY, "buffers stay as they are while a command uses them")                                         \
    RULE(SYNC_DIRECTION, "sync goes to the device: the other direction is refused by newer kernels")         \
    RULE(SYNC_RANGE, "sync stays inside the buffer")                                                         \
    RULE(FLUSH_RANGE, "flushes are for mapped buffers")                                                      \
    RULE(CTX_HEAP, "the heap exists and is mapped before a context")                                         \
    RULE(CTX_TILES, "a context has 4, 8, 12 or 16 tiles")                                                    \
    RULE(CTX_QOS, "quality of service is all zero: full speed")                                              \
    RULE(CTX_UMQ, "no user queue and no log buffer on npu1")                                                 \
    RULE(CTX_HANDLE, "context handles exist")                                                                \
    RULE(CFG_PARAM, "the one configuration is CONFIG_CU")                                                    \
    RULE(CFG_SIZE, "it has the size that its count of CUs says, at most 4 KiB")                              \
    RULE(CFG_CUS, "there is one CU")                                                                         \
    RULE(CFG_BO, "a CU names a device buffer and function 0")                                                \
    RULE(CFG_ONCE, "a context is configured once")                                                           \
    RULE(PDI, "the PDI is one")                                                                              \
    RULE(EXEC_TYPE, "the command is one buffer")                                                             \
    RULE(EXEC_CMD, "it is a mapped command buffer")                                                          \
    RULE(EXEC_ARGS, "its arguments are mapped buffers, no command buffers, each named once")                 \
    RULE(EXEC_CONFIGURED, "its context is configured")                                                       \
    RULE(EXEC_PENDING, "it is not under way already")                                                        \
    RULE(CMD_STATE, "a packet starts as new")                                                                \
    RULE(CMD_OPCODE, "it is START_CU with the transaction operation")                                        \
    RULE(CMD_BITS, "its reserved bits are zero")                                                             \
    RULE(CMD_COUNT, "its count fits: 6 words and two an argument, at most 5 arguments")                      \
    RULE(CMD_MASK, "its CU mask is 1")                                                                       \
    RULE(CMD_STREAM, "its instruction stream lies in a device buffer")                                       \
    RULE(CMD_ADDRESS, "its arguments are addresses inside mapped buffers")                                   \
    RULE(CMD_PINNED, "all buffers it names are in the list of the call")                                     \
    RULE(STREAM, "the instruction stream is one")                                                            \
    RULE(STALE_READ, "the device reads no line that the CPU has not flushed")                                \
    RULE(DIRTY_WRITE, "the device writes no line that the CPU has not flushed")                              \
    RULE(LOST_WRITE, "the CPU writes no line that the device has written before dropping it from the cache") \
    RULE(BUS_ADDRESS, "the device touches only buffers of its command")                                      \
    RULE(WAIT_HANDLE, "waits are for one fence of the file")                                                 \
    RULE(WAIT_POINT, "waits are for commands that were given")                                               \
    RULE(WAIT_FLAGS, "wait flags are known")                                                                 \
    RULE(ORDER_OF_END, "contexts go before their heap, device buffers before it too")                        \
    RULE(LEFT_OVER, "nothing is left when the file is closed")

typedef enum ts_fake_rule {
    TS_FAKE_OK,
#define RULE(name, text) TS_FAKE_RULE_##name,
    TS_FAKE_RULES(RULE)
#undef RULE
        TS_FAKE_RULES_COUNT,
} ts_fake_rule;
const char *ts_fake_rule_name(ts_fake_rule r);
const char *ts_fake_rule_text(ts_fake_rule r);

/* What became of one call. */
typedef struct ts_fake_verdict {
    const char *call;  /* "CREATE_BO" */
    int result;        /* as returned: >= 0 or -errno */
    ts_fake_rule rule; /* broken, or TS_FAKE_OK */
    char text[120];    /* details of a broken rule or of an injected failure, else empty */
} ts_fake_verdict;

/* Host memory as the array sees it: addresses are device addresses plus TS_ARRAY_BIAS (txn.h). 0, or -EFAULT
 * where the command has no buffer: an array would see a bus error. */
typedef struct ts_fake_bus {
    void *ud;
    int (*read)(void *ud, uint64_t addr, void *data, size_t len);
    int (*write)(void *ud, uint64_t addr, const void *data, size_t len);
} ts_fake_bus;

typedef enum ts_fake_outcome {
    TS_FAKE_DONE,
    TS_FAKE_HANG,  /* it would never end: the driver's time-out comes */
    TS_FAKE_FAULT, /* the firmware reports an error */
} ts_fake_outcome;

/* What stands behind the node. `slot` tells contexts apart (0 to TS_CONTEXTS_MAX - 1). State is kept from one command
 * to the next until unload. `why` (why_len bytes) takes a line of explanation for anything but success. */
typedef struct ts_fake_array {
    void *ud;
    /* Load a PDI for a new context of n_cols columns; false: the firmware would refuse it. */
    bool (*load)(void *ud, int slot, int n_cols, const void *pdi, size_t len, char *why, size_t why_len);
    /* Carry out one instruction stream; args are device addresses, without bias. */
    ts_fake_outcome (*run)(void *ud, int slot, const void *txn, size_t len, const uint64_t *args, int n_args,
                           const ts_fake_bus *bus, char *why, size_t why_len);
    void (*unload)(void *ud, int slot);
} ts_fake_array;

/* Another program on the device. */
typedef struct ts_fake_user {
    int64_t pid;
    uint32_t start_col, n_cols;
} ts_fake_user;

typedef struct ts_fake_options {
    ts_fake_profile profile;
    const ts_fake_array *array; /* NULL: commands end well and do nothing. Borrowed until ts_fake_free */
    bool coherent; /* one memory instead of two: for large simulations, cache rules are not checked */
    bool eager;    /* run commands when they are given, not when they are waited for */
    const char *driver_name; /* NULL: amdxdna_accel_driver */
    uint32_t firmware[4];    /* all zero: the chip's */
    const ts_chip *chip;     /* NULL: npu1 */
    uint32_t rows, cols;     /* that it claims to have; 0: the chip's */
    uint32_t h_clock_mhz;    /* 0: the chip's */
    ts_fake_user users[TS_CONTEXTS_MAX];
    int n_users;
    void (*on_verdict)(void *ud, const ts_fake_verdict *v); /* nullable; every call, as it returns */
    void *on_verdict_ud;
} ts_fake_options;

typedef struct ts_fake ts_fake;

TS_NODISCARD ts_status ts_fake_new(ts_fake **out, const ts_fake_options *options, ts_err *err);
void ts_fake_free(ts_fake *f);
const ts_npu_io *ts_fake_io(ts_fake *f);

/* Calls so far, and those that broke a rule; the first broken rule and the last verdict. A device access that
 * breaks a rule counts with the call that ran the command. */
size_t ts_fake_calls(const ts_fake *f);
size_t ts_fake_violations(const ts_fake *f);
const ts_fake_verdict *ts_fake_first_violation(const ts_fake *f); /* rule TS_FAKE_OK: none */
const ts_fake_verdict *ts_fake_last(const ts_fake *f);
void ts_fake_forgive(ts_fake *f); /* forget violations */

/* ---- failures that real machines have ---------------------------------------------------------------------------- */

enum { TS_FAKE_OPEN = 1, TS_FAKE_MMAP = 2 }; /* calls that are no ioctl, for ts_fake_fail */
/* The nth call from now (1 = the next) with that request answers -error. */
void ts_fake_fail(ts_fake *f, uint32_t request, int nth, int error);

typedef enum ts_fake_ending {
    TS_FAKE_END_WELL,
    TS_FAKE_END_ERROR,
    TS_FAKE_END_ABORT,
    TS_FAKE_END_TIMEOUT, /* the fence is signalled, the packet says TIMEOUT, the context is dead */
    TS_FAKE_END_NORESPONSE,
    TS_FAKE_END_LOST, /* the fence is never signalled */
} ts_fake_ending;
/* The nth command from now ends so instead of being run. */
void ts_fake_end_command(ts_fake *f, int nth, ts_fake_ending ending);
/* Another program comes. */
void ts_fake_add_user(ts_fake *f, const ts_fake_user *user);
/* Before the nth command from now, and before each `every`th after that (0: no more), the array is configured anew,
 * in silence: what was in it is lost. So do the driver after runtime suspend (5 s without a command), after the
 * system's sleep and after any program's time-out, and the firmware where contexts of equal width share columns
 * [doc]. nth 0: not any more. */
void ts_fake_reconfigure(ts_fake *f, int nth, int every);
uint64_t ts_fake_reconfigured(const ts_fake *f); /* how often so far */
/* From now on every call answers -ENODEV. */
void ts_fake_unplug(ts_fake *f);

#endif
