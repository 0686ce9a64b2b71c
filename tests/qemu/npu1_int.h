/* npu1_int.h - what the files of the device share: its parts, and who holds which lock.
 *
 * Threads: the server's (registers, management messages), the device's (commands and configuration of contexts), the
 * control channel's (orders). npu1.lock guards everything but what is marked; the memory map's lock is inside of it
 * or alone. */
#ifndef TS_TESTS_QEMU_NPU1_INT_H
#define TS_TESTS_QEMU_NPU1_INT_H

#include "qemu/npu1.h"

#include "sim/array.h"

#include <pthread.h>
#include <stdatomic.h>

/* Windows of the BARs on the NPU's own bus. */
enum {
    BAR0_AT = 0x3000000, /* registers */
    BAR2_AT = 0x3080000, /* SRAM */
    BAR4_AT = 0x30C0000, /* mailbox registers */
    BAR0_BYTES = 0x80000,
    BAR1_BYTES = 0x2000, /* MSI-X table and pending bits: QEMU keeps them itself */
    BAR2_BYTES = 0x40000,
    BAR4_BYTES = 0x40000,
};

enum { REG_WAIT_MODE = 0x3010034 }; /* bit 0: the firmware has gone to rest */

enum {
    NPU1_CONTEXTS = 6,
    NPU1_COLUMNS = 5, /* of the array; column 0 has no DMA of its own to the host, contexts begin at 1 */
    NPU1_CHANNELS = 1 + NPU1_CONTEXTS, /* 0: management; its MSI-X vector is the channel's number */
    NPU1_PIECES = 8,                   /* of a heap */
    NPU1_ASYNC = 16,                   /* buffers for errors that the driver may leave here */
    NPU1_ORDERS = 32,
    RING_BYTES = 4096,
    HEAD_BYTES = 16, /* of a message: payload bytes, the same with the protocol's version, number, opcode */
    PAYLOAD_MAX = 1024,
    REPLY_WORDS = 20, /* the longest reply has 19 */
};

/* Event registers of a module, and the length of a column's status record. */
enum {
    CORE_EVENT_WORDS = 4,
    MEM_EVENT_WORDS = 6,
    SHIM_EVENT_WORDS = 4,
    COLUMN_BYTES = 4 * (2 * 8 + 2 * 4 * CORE_EVENT_WORDS + 16 + 16) /* cores */ + (6 * 8 + 4 * MEM_EVENT_WORDS + 64) +
                   (2 * 8 + 4 * SHIM_EVENT_WORDS + 16),
};

/* Status words of the firmware (aie2_msg_priv.h). */
enum {
    STATUS_OK = 0,
    STATUS_DMA_ERROR = 0x1000009,
    STATUS_NOT_AVAILABLE = 0x2000003,
    STATUS_INVALID_INSTR = 0x3000002,
    STATUS_PDI_FAILED = 0x3000003,
    STATUS_INVALID_BUFFER = 0x4000001,
    STATUS_INVALID_COMMAND = 0x4000002,
    STATUS_INVALID_PARAM = 0x4000003,
};

enum {
    OP_CREATE = 0x2,
    OP_DESTROY = 0x3,
    OP_TELEMETRY = 0x4,
    OP_SYNC_BO = 0x7,
    OP_EXECUTE = 0xC,
    OP_COLUMN_STATUS = 0xD,
    OP_TILE_INFO = 0xE,
    OP_AIE_VERSION = 0xF,
    OP_CONFIG_CU = 0x11,
    OP_CHAIN = 0x12,
    OP_CONFIG_DEBUG = 0x14,
    OP_CHAIN_NPU = 0x18,
    OP_SUSPEND = 0x101,
    OP_RESUME = 0x102,
    OP_ASSIGN_PASID = 0x103,
    OP_MAP_BUFFER = 0x106,
    OP_FIRMWARE_VERSION = 0x108,
    OP_SET_CONFIG = 0x10A,
    OP_GET_CONFIG = 0x10B,
    OP_ASYNC_EVENT = 0x10C,
    OP_ADD_BUFFER = 0x115,
};

typedef struct npu1_message {
    uint32_t id, op, len; /* len: payload bytes */
    union {
        uint8_t bytes[PAYLOAD_MAX];
        uint32_t word[PAYLOAD_MAX / 4];
    };
} npu1_message;

/* A pair of rings. Head and tail that the device moves are kept here: the guest can write the registers, but not
 * these. */
typedef struct npu1_channel {
    uint32_t x2i_head, i2x_tail;
    bool open, broken; /* broken: a message that made no sense; nothing more is taken */
} npu1_channel;

typedef struct npu1_context {
    int id; /* also: its channel is 1 + id */
    int start_col, n_cols;
    uint32_t pasid; /* 0: addresses of the device's own space */
    struct {
        uint64_t addr, size;
    } piece[NPU1_PIECES]; /* of the heap, one behind the other from HEAP_AT on in the addresses of the firmware */
    int n_pieces;
    uint32_t pdi;     /* address of the configuration, in units; 0: none yet */
    bool hung;        /* a command in it never ends: it keeps its columns */
    bool configured;  /* the array holds its state */
    bool lost;        /* it had been configured before; the device's thread's alone */
    bool recorded;    /* there is a record of its columns */
    uint8_t record[TS_COLS_MAX][COLUMN_BYTES];
    ts_array *array;  /* the device's thread's alone, until the context is freed */
    atomic_bool gone; /* destroyed while a command runs: no access to memory any more, no answer */
} npu1_context;

typedef enum npu1_order_kind { ORDER_HANG, ORDER_FAULT, ORDER_DELAY, ORDER_LOSE } npu1_order_kind;

typedef struct npu1_planned {
    npu1_order_kind kind;
    uint64_t at, every; /* number of the command; 0: once */
    uint32_t value;     /* a status, milliseconds */
} npu1_planned;

typedef struct npu1_refusal {
    uint32_t op, status, times;
} npu1_refusal;

typedef struct npu1_async {
    uint32_t id; /* of the message, for the answer */
    uint64_t addr;
    uint32_t size;
} npu1_async;

struct npu1 {
    vfu *v;
    dma_map *memory;
    vfu_device function;
    npu1_options o;
    pthread_mutex_t lock;
    pthread_cond_t work; /* something for the device's thread, or a reason not to wait any longer */
    pthread_t thread;
    bool quit;

    union {
        uint8_t bar0[BAR0_BYTES];
        uint32_t reg[BAR0_BYTES / 4];
    };
    uint8_t sram[BAR2_BYTES];
    union {
        uint8_t mbox[BAR4_BYTES];
        uint32_t mreg[BAR4_BYTES / 4];
    };
    bool validated, alive;
    npu1_channel channel[NPU1_CHANNELS];
    npu1_context *ctx[NPU1_CONTEXTS];
    npu1_context *running; /* that the device's thread is at work for; it may be in no table any more */
    int turn;              /* context after which the next search begins */
    npu1_async async[NPU1_ASYNC];
    int n_async;

    npu1_planned plan[NPU1_ORDERS];
    npu1_refusal refusal[NPU1_ORDERS];
    int n_plan, n_refusals;
    uint32_t minor, clock_most; /* 0: no limit */
    bool dead;

    npu1_counts counts;
    atomic_uint_fast64_t unmapped;
};

TS_PRINTF(2, 3) void npu1_say(const npu1 *n, const char *fmt, ...); /* with --verbose only */

/* ---- mailboxes (npu1_mailbox.c), with the lock held -------------------------------------------------------------- */

/* Take the next message of a channel; false: there is none. */
bool npu1_take(npu1 *n, int channel, npu1_message *m);
/* Is there one? */
bool npu1_waiting(const npu1 *n, int channel);
void npu1_answer(npu1 *n, int channel, uint32_t id, uint32_t op, const void *data, uint32_t len);
void npu1_open_channel(npu1 *n, int channel);
/* Addresses on the NPU's bus: x2i {tail, head, buffer, bytes}, i2x the same. */
void npu1_describe_channel(int channel, uint32_t w[8]);
/* A write to BAR4 has changed these bytes. */
void npu1_mailbox_written(npu1 *n, uint32_t off, uint32_t len);

/* ---- management (npu1_manage.c), with the lock held -------------------------------------------------------------- */

void npu1_manage(npu1 *n, const npu1_message *m);
/* Is this message to be refused by order? *status is then what to say. */
bool npu1_refused(npu1 *n, uint32_t op, uint32_t *status);
void npu1_drop_context(npu1 *n, int id);
void npu1_free_context(npu1_context *x); /* NULL-safe */

/* ---- what the array tells (npu1_status.c), with the lock held ---------------------------------------------------- */

/* The status record of a column of the array (without the lock, for whose array it is); NULL: as after power-on. */
void npu1_record_column(const ts_array *a, int col, uint8_t out[COLUMN_BYTES]);
void npu1_column(const npu1 *n, int col, uint8_t out[COLUMN_BYTES]);
typedef enum npu1_told { NPU1_TOLD, NPU1_NO_BUFFER, NPU1_NO_SUCH_ERROR } npu1_told;
/* Report an asynchronous error of a tile; type: access, stream, bus, instruction, ecc, lock, dma, parity. */
npu1_told npu1_tell_error(npu1 *n, const char *type, int col, int row);
void npu1_tell_bus_error(npu1 *n, int col, ts_dma_dir dir);

/* ---- commands (npu1_run.c) --------------------------------------------------------------------------------------- */

void *npu1_worker(void *ud);

#endif
