/* uapi.h - the kernel interface of the amdxdna driver and the parts of core DRM that go with it.
 *
 * Written from the documented layout (Linux 6.14 and later; drivers/accel/amdxdna); sizes and offsets are
 * asserted below and compared with the system's own header where one is installed (tests/npu/test_uapi.c). Fields
 * named ext, ext_flags, flags, pad and type (of exec) must be zero. Only requests 0 to 7 and core DRM are used:
 * they are the same in every kernel since 6.14, so nothing branches on a kernel version. */
#ifndef TS_XDNA_UAPI_H
#define TS_XDNA_UAPI_H

#include <stddef.h>
#include <stdint.h>

#define TS_UAPI_DRIVER_NAME  "amdxdna_accel_driver"
#define TS_UAPI_INVALID_ADDR UINT64_MAX /* "not known yet": xdna_addr or vaddr of a buffer that has none */

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* _IOWR and _IOW of linux/ioctl.h on x86: direction << 30 | size << 16 | type << 8 | number, type 'd'. */
#define TS_UAPI_IOC(dir, number, type)                                                                       \
    ((uint32_t)(dir) << 30 | (uint32_t)sizeof(type) << 16 | 0x64u << 8 | (number))
#define TS_UAPI_IOWR(number, type) TS_UAPI_IOC(3, number, type)
#define TS_UAPI_IOW(number, type)  TS_UAPI_IOC(1, number, type)

#define TS_IOCTL_CREATE_HWCTX  TS_UAPI_IOWR(0x40, struct ts_uapi_create_hwctx)
#define TS_IOCTL_DESTROY_HWCTX TS_UAPI_IOWR(0x41, struct ts_uapi_destroy_hwctx)
#define TS_IOCTL_CONFIG_HWCTX  TS_UAPI_IOWR(0x42, struct ts_uapi_config_hwctx)
#define TS_IOCTL_CREATE_BO     TS_UAPI_IOWR(0x43, struct ts_uapi_create_bo)
#define TS_IOCTL_GET_BO_INFO   TS_UAPI_IOWR(0x44, struct ts_uapi_get_bo_info)
#define TS_IOCTL_SYNC_BO       TS_UAPI_IOWR(0x45, struct ts_uapi_sync_bo)
#define TS_IOCTL_EXEC_CMD      TS_UAPI_IOWR(0x46, struct ts_uapi_exec_cmd)
#define TS_IOCTL_GET_INFO      TS_UAPI_IOWR(0x47, struct ts_uapi_get_info)

#define TS_IOCTL_VERSION         TS_UAPI_IOWR(0x00, struct ts_uapi_version)
#define TS_IOCTL_GEM_CLOSE       TS_UAPI_IOW(0x09, struct ts_uapi_gem_close)
#define TS_IOCTL_SYNCOBJ_DESTROY TS_UAPI_IOWR(0xC0, struct ts_uapi_syncobj_destroy)
#define TS_IOCTL_SYNCOBJ_WAIT    TS_UAPI_IOWR(0xCA, struct ts_uapi_syncobj_timeline_wait)

/* ---- amdxdna ----------------------------------------------------------------------------------------------------- */

struct ts_uapi_qos_info { /* all zero asks for the highest clock */
    uint32_t gops, fps, dma_bandwidth, latency, frame_exec_time, priority;
};

struct ts_uapi_create_hwctx {
    uint64_t ext, ext_flags;
    uint64_t qos_p;              /* pointer to qos_info; must be valid */
    uint32_t umq_bo, log_buf_bo; /* 0: none */
    uint32_t max_opc;
    uint32_t num_tiles; /* columns * core rows */
    uint32_t mem_size;
    uint32_t umq_doorbell;           /* out */
    uint32_t handle, syncobj_handle; /* out */
};

struct ts_uapi_destroy_hwctx {
    uint32_t handle, pad;
};

enum { TS_UAPI_CONFIG_CU = 0, TS_UAPI_CUS_MAX = 32, TS_UAPI_CONFIG_BYTES_MAX = 4096 };

struct ts_uapi_cu_config {
    uint32_t cu_bo; /* a device buffer with the PDI */
    uint8_t cu_func, pad[3];
};

struct ts_uapi_config_cu {
    uint16_t num_cus, pad[3];
    struct ts_uapi_cu_config cu_configs[];
};

struct ts_uapi_config_hwctx {
    uint32_t handle, param_type;
    uint64_t param_val; /* pointer */
    uint32_t param_val_size, pad;
};

enum ts_uapi_bo_type {
    TS_UAPI_BO_SHMEM = 1,
    TS_UAPI_BO_DEV_HEAP = 2,
    TS_UAPI_BO_DEV = 3,
    TS_UAPI_BO_CMD = 4,
};

struct ts_uapi_create_bo {
    uint64_t flags, vaddr, size;
    uint32_t type;
    uint32_t handle; /* out; 0 is never one */
};

struct ts_uapi_get_bo_info {
    uint64_t ext, ext_flags;
    uint32_t handle, pad;
    uint64_t map_offset; /* out: for mmap */
    uint64_t vaddr;      /* out: where it is mapped, TS_UAPI_INVALID_ADDR if nowhere */
    /* out: address for the device; of a shared buffer up to 6.18: TS_UAPI_INVALID_ADDR, its vaddr serves */
    uint64_t xdna_addr;
};

enum { TS_UAPI_SYNC_TO_DEVICE = 0, TS_UAPI_SYNC_FROM_DEVICE = 1 };

struct ts_uapi_sync_bo {
    uint32_t handle, direction;
    uint64_t offset, size;
};

struct ts_uapi_exec_cmd {
    uint64_t ext, ext_flags;
    uint32_t hwctx, type;
    uint64_t cmd_handles; /* the handle itself when cmd_count is 1 */
    uint64_t args;        /* pointer to buffer handles */
    uint32_t cmd_count, arg_count;
    uint64_t seq; /* out */
};

enum ts_uapi_info {
    TS_UAPI_INFO_AIE_STATUS = 0,
    TS_UAPI_INFO_AIE_METADATA = 1,
    TS_UAPI_INFO_AIE_VERSION = 2,
    TS_UAPI_INFO_CLOCKS = 3,
    TS_UAPI_INFO_SENSORS = 4,
    TS_UAPI_INFO_HW_CONTEXTS = 5,
    TS_UAPI_INFO_FIRMWARE = 8,
    TS_UAPI_INFO_POWER_MODE = 9,
};

struct ts_uapi_get_info {
    uint32_t param;
    uint32_t buffer_size; /* in and out */
    uint64_t buffer;
};

struct ts_uapi_aie_version {
    uint32_t major, minor;
};

struct ts_uapi_tile_metadata {
    uint16_t row_count, row_start, dma_channel_count, lock_count, event_reg_count, pad[3];
};

struct ts_uapi_aie_metadata {
    uint32_t col_size;
    uint16_t cols, rows;
    struct ts_uapi_aie_version version;
    struct ts_uapi_tile_metadata core, mem, shim;
};

struct ts_uapi_clock {
    uint8_t name[16];
    uint32_t freq_mhz, pad;
};

struct ts_uapi_clocks {
    struct ts_uapi_clock mp_npu, h;
};

struct ts_uapi_hwctx_entry {
    uint32_t context_id, start_col, num_col, pad;
    int64_t pid;
    uint64_t command_submissions, command_completions, migrations, preemptions, errors;
};

struct ts_uapi_firmware {
    uint32_t major, minor, patch, build;
};

struct ts_uapi_power_mode {
    uint8_t power_mode, pad[7];
};

/* ---- core DRM ---------------------------------------------------------------------------------------------------- */

struct ts_uapi_version {
    int32_t major, minor, patch;
    uint32_t pad; /* alignment */
    uint64_t name_len, name, date_len, date, desc_len, desc;
};

struct ts_uapi_gem_close {
    uint32_t handle, pad;
};

struct ts_uapi_syncobj_destroy {
    uint32_t handle, pad;
};

enum { TS_UAPI_WAIT_ALL = 1, TS_UAPI_WAIT_FOR_SUBMIT = 2 };

/* Newer kernels know one more field behind; they take this size too. */
struct ts_uapi_syncobj_timeline_wait {
    uint64_t handles, points; /* pointers */
    int64_t timeout_nsec;     /* absolute, CLOCK_MONOTONIC */
    uint32_t count_handles, flags, first_signaled, pad;
};

/* ---- command packets --------------------------------------------------------------------------------------------- */

/* The first word of a packet: state [3:0], count of words that follow [22:12], operation [27:23], the rest 0. */
enum ts_uapi_cmd_state {
    TS_CMD_NEW = 1,
    TS_CMD_QUEUED = 2,
    TS_CMD_RUNNING = 3,
    TS_CMD_COMPLETED = 4,
    TS_CMD_ERROR = 5,
    TS_CMD_ABORT = 6,
    TS_CMD_SUBMITTED = 7,
    TS_CMD_TIMEOUT = 8,
    TS_CMD_NORESPONSE = 9,
};

enum {
    TS_CMD_OP_START_CU = 0,
    TS_CMD_TRANSACTION = 3, /* first payload word of START_CU: run an instruction stream */
    TS_CMD_FIXED_WORDS =
        6, /* after the header: CU mask, operation (64 bits), stream address (64), length in words */
    TS_CMD_PAYLOAD_MAX = 19, /* words after the CU mask that the firmware request holds */
};

static inline uint32_t ts_cmd_header(uint32_t state, uint32_t op, uint32_t count) {
    return state | count << 12 | op << 23;
}
static inline uint32_t ts_cmd_state(uint32_t header) {
    return header & 15;
}
static inline uint32_t ts_cmd_count(uint32_t header) {
    return header >> 12 & 0x7ff;
}
static inline uint32_t ts_cmd_op(uint32_t header) {
    return header >> 23 & 31;
}
/* Bits that are zero in every packet of ours. */
static inline uint32_t ts_cmd_reserved(uint32_t header) {
    return header & 0xf0000ff0;
}

enum {
    TS_HEAP_BYTES = 64 << 20,
    TS_HEAP_BASE = 0x04000000, /* device address of the heap */
    TS_DEV_BO_ALIGN = 32 << 10,
    TS_CMD_BO_MAX = 32 << 10,
    TS_CMDS_IN_FLIGHT = 4,
};

/* ---- layout, as measured on x86-64 ------------------------------------------------------------------------------- */

#define TS_UAPI_SIZE(type, size)      static_assert(sizeof(struct type) == (size), #type)
#define TS_UAPI_AT(type, member, off) static_assert(offsetof(struct type, member) == (off), #type "." #member)
#ifndef static_assert
#    define static_assert _Static_assert
#endif

TS_UAPI_SIZE(ts_uapi_qos_info, 24);
TS_UAPI_AT(ts_uapi_qos_info, priority, 20);
TS_UAPI_SIZE(ts_uapi_create_hwctx, 56);
TS_UAPI_AT(ts_uapi_create_hwctx, qos_p, 16);
TS_UAPI_AT(ts_uapi_create_hwctx, umq_bo, 24);
TS_UAPI_AT(ts_uapi_create_hwctx, max_opc, 32);
TS_UAPI_AT(ts_uapi_create_hwctx, num_tiles, 36);
TS_UAPI_AT(ts_uapi_create_hwctx, umq_doorbell, 44);
TS_UAPI_AT(ts_uapi_create_hwctx, handle, 48);
TS_UAPI_AT(ts_uapi_create_hwctx, syncobj_handle, 52);
TS_UAPI_SIZE(ts_uapi_destroy_hwctx, 8);
TS_UAPI_SIZE(ts_uapi_cu_config, 8);
TS_UAPI_AT(ts_uapi_cu_config, cu_func, 4);
TS_UAPI_SIZE(ts_uapi_config_cu, 8);
TS_UAPI_AT(ts_uapi_config_cu, cu_configs, 8);
TS_UAPI_SIZE(ts_uapi_config_hwctx, 24);
TS_UAPI_AT(ts_uapi_config_hwctx, param_val, 8);
TS_UAPI_AT(ts_uapi_config_hwctx, param_val_size, 16);
TS_UAPI_SIZE(ts_uapi_create_bo, 32);
TS_UAPI_AT(ts_uapi_create_bo, size, 16);
TS_UAPI_AT(ts_uapi_create_bo, handle, 28);
TS_UAPI_SIZE(ts_uapi_get_bo_info, 48);
TS_UAPI_AT(ts_uapi_get_bo_info, handle, 16);
TS_UAPI_AT(ts_uapi_get_bo_info, map_offset, 24);
TS_UAPI_AT(ts_uapi_get_bo_info, xdna_addr, 40);
TS_UAPI_SIZE(ts_uapi_sync_bo, 24);
TS_UAPI_AT(ts_uapi_sync_bo, offset, 8);
TS_UAPI_SIZE(ts_uapi_exec_cmd, 56);
TS_UAPI_AT(ts_uapi_exec_cmd, hwctx, 16);
TS_UAPI_AT(ts_uapi_exec_cmd, cmd_handles, 24);
TS_UAPI_AT(ts_uapi_exec_cmd, args, 32);
TS_UAPI_AT(ts_uapi_exec_cmd, arg_count, 44);
TS_UAPI_AT(ts_uapi_exec_cmd, seq, 48);
TS_UAPI_SIZE(ts_uapi_get_info, 16);
TS_UAPI_AT(ts_uapi_get_info, buffer, 8);
TS_UAPI_SIZE(ts_uapi_aie_version, 8);
TS_UAPI_SIZE(ts_uapi_tile_metadata, 16);
TS_UAPI_SIZE(ts_uapi_aie_metadata, 64);
TS_UAPI_AT(ts_uapi_aie_metadata, version, 8);
TS_UAPI_AT(ts_uapi_aie_metadata, core, 16);
TS_UAPI_AT(ts_uapi_aie_metadata, shim, 48);
TS_UAPI_SIZE(ts_uapi_clock, 24);
TS_UAPI_AT(ts_uapi_clock, freq_mhz, 16);
TS_UAPI_SIZE(ts_uapi_clocks, 48);
TS_UAPI_SIZE(ts_uapi_hwctx_entry, 64);
TS_UAPI_AT(ts_uapi_hwctx_entry, pid, 16);
TS_UAPI_AT(ts_uapi_hwctx_entry, errors, 56);
TS_UAPI_SIZE(ts_uapi_firmware, 16);
TS_UAPI_SIZE(ts_uapi_power_mode, 8);
TS_UAPI_SIZE(ts_uapi_version, 64);
TS_UAPI_AT(ts_uapi_version, name_len, 16);
TS_UAPI_AT(ts_uapi_version, desc, 56);
TS_UAPI_SIZE(ts_uapi_gem_close, 8);
TS_UAPI_SIZE(ts_uapi_syncobj_destroy, 8);
TS_UAPI_SIZE(ts_uapi_syncobj_timeline_wait, 40);
TS_UAPI_AT(ts_uapi_syncobj_timeline_wait, timeout_nsec, 16);
TS_UAPI_AT(ts_uapi_syncobj_timeline_wait, first_signaled, 32);

static_assert(TS_IOCTL_CREATE_HWCTX == 0xC0386440, "CREATE_HWCTX");
static_assert(TS_IOCTL_DESTROY_HWCTX == 0xC0086441, "DESTROY_HWCTX");
static_assert(TS_IOCTL_CONFIG_HWCTX == 0xC0186442, "CONFIG_HWCTX");
static_assert(TS_IOCTL_CREATE_BO == 0xC0206443, "CREATE_BO");
static_assert(TS_IOCTL_GET_BO_INFO == 0xC0306444, "GET_BO_INFO");
static_assert(TS_IOCTL_SYNC_BO == 0xC0186445, "SYNC_BO");
static_assert(TS_IOCTL_EXEC_CMD == 0xC0386446, "EXEC_CMD");
static_assert(TS_IOCTL_GET_INFO == 0xC0106447, "GET_INFO");
static_assert(TS_IOCTL_VERSION == 0xC0406400, "VERSION");
static_assert(TS_IOCTL_GEM_CLOSE == 0x40086409, "GEM_CLOSE");
static_assert(TS_IOCTL_SYNCOBJ_DESTROY == 0xC00864C0, "SYNCOBJ_DESTROY");
static_assert(TS_IOCTL_SYNCOBJ_WAIT == 0xC02864CA, "SYNCOBJ_TIMELINE_WAIT");

#endif
