/* dispatch.h - the instruction stream of one command, built from shim tasks and waits.
 *
 * A command moves data between host buffers and the array: each shim task is a transfer by one channel of one
 * column. The builder gives out shim descriptors and keeps account of what is still under way, so that it cannot
 * push a fifth task into a queue or reuse a descriptor that may still be read:
 *   - a channel runs its tasks in order; a wait for a token completes the task that sends it and all before it;
 *   - a channel without tokens is completed by ts_dispatch_implies: the author's promise that what the last wait
 *     waited for could not have happened before the channel's tasks were done. The promise goes to the static
 *     checker, which repeats the account, and the simulator tests it. The first error is kept and returned by
 *     ts_dispatch_finish;
 *   - a transfer may be started *ahead*, for the next command: it is still under way at the end. It must fit into the
 *     ring of buffers that it goes to, so that it ends whatever happens, and only a command that begins with it may
 *     follow. */
#ifndef TS_XDNA_DISPATCH_H
#define TS_XDNA_DISPATCH_H

#include "xdna/bd.h"
#include "xdna/txn.h"

enum {
    TS_ARGS_MAX = 5,  /* buffer arguments of a command; 7 fit the packet, 8 hung a device [silicon, others] */
    TS_SHIM_BDS = 16, /* shared by the four channels of a column */
};

/* After the wait number `wait` of the stream (from 0), all tasks that the channel was given before it are
 * complete. */
typedef struct ts_claim {
    uint32_t wait;
    uint8_t col, dir, channel;
} ts_claim;

/* A transfer to the array that one command starts and the next one counts on. */
typedef struct ts_prefetched_task {
    uint8_t col, channel, bd;
    bool packet;
    uint8_t packet_id;
    uint32_t words;
} ts_prefetched_task;

typedef struct ts_prefetched {
    ts_prefetched_task task[2 * TS_COLS_MAX];
    int n;
} ts_prefetched;
bool ts_prefetched_eq(const ts_prefetched *a, const ts_prefetched *b);

typedef struct ts_dispatch_channel {
    struct {
        uint8_t bd;
        bool token, ahead;
        uint32_t after;         /* waits in the stream before it */
    } task[TS_DMA_QUEUE_DEPTH]; /* under way, oldest first */
    int n;
    bool controller_set;
} ts_dispatch_channel;

/* Zero-initialise with ts_dispatch_init. */
typedef struct ts_dispatch {
    const ts_chip *chip;
    int n_cols;
    ts_txn txn;
    ts_dispatch_channel channel[TS_COLS_MAX][2][2];
    uint16_t live[TS_COLS_MAX]; /* descriptors under way, a bit each */
    uint8_t next_bd[TS_COLS_MAX];
    uint32_t n_waits;
    ts_claim *claims;
    size_t n_claims, cap_claims;
    ts_prefetched in, out; /* what the command begins with, what it leaves behind */
    ts_err err;
} ts_dispatch;

void ts_dispatch_init(ts_dispatch *p, const ts_chip *chip, int n_cols);
void ts_dispatch_free(ts_dispatch *p);
/* Before anything else: what the command before has left under way. */
void ts_dispatch_begin(ts_dispatch *p, const ts_prefetched *in);

/* One shim transfer. The address is that of command argument `arg` plus `offset` bytes (a multiple of 4, below 4
 * GiB). */
typedef struct ts_shim_task {
    int col, channel;
    ts_dma_dir dir; /* TS_MM2S: host to array; TS_S2MM: array to host */
    uint32_t arg;
    uint64_t offset;
    uint32_t words;
    ts_bd_dim dim[3];              /* all zero: contiguous */
    uint32_t iter_step, iter_wrap; /* words added per repeat, repeats until it starts over */
    int repeat;                    /* 0 counts as 1; up to 256 */
    bool token;                    /* say when it is done: must be waited for */
    bool packet;
    uint8_t packet_id;
    bool ahead; /* for the next command, by descriptor `bd`: TS_MM2S, contiguous, once, no token */
    uint8_t bd;
} ts_shim_task;
void ts_dispatch_task(ts_dispatch *p, const ts_shim_task *task);

/* Until the oldest task of the channel that sends a token is complete. */
void ts_dispatch_wait(ts_dispatch *p, int col, ts_dma_dir dir, int channel);
/* See above: the tasks given to the channel before the last wait are complete. There must be one. */
void ts_dispatch_implies(ts_dispatch *p, int col, ts_dma_dir dir, int channel);

/* Write words into the data memory of a core or memtile: run-time parameters. */
void ts_dispatch_data(ts_dispatch *p, ts_tile tile, uint32_t off, const uint32_t *words, size_t n);

/* Tasks that the channel could still take without a wait. */
int ts_dispatch_room(const ts_dispatch *p, int col, ts_dma_dir dir, int channel);

/* Append the stream to `out`. Errors: the first error; TS_E_INVAL when a task is still under way. The claims stay in
 * p->claims. */
TS_NODISCARD ts_status ts_dispatch_finish(ts_dispatch *p, ts_buf *out, ts_err *err);

#endif
