/* txn.h - instruction streams: what the NPU firmware carries out for one command.
 *
 * A stream ("transaction", version 0.1) is a 16-byte header and operations of fixed layout: register writes,
 * patches that put the address of a command's buffer argument into a shim BD, and waits for completion tokens.
 * Version 0.1 is the one that signed npu1 firmware is known to take [silicon, xdna-emu]; the compact version 1.0
 * is for npu2. Source: mlir-aie and aie-rt's transaction format [doc]; docs/npu/config.md explains a stream word
 * by word. */
#ifndef TS_XDNA_TXN_H
#define TS_XDNA_TXN_H

#include "base/mem.h"
#include "xdna/cdo.h"
#include "xdna/tile.h"

typedef enum ts_txn_kind {
    TS_TXN_WRITE = 0x00,
    TS_TXN_BLOCK = 0x01,
    TS_TXN_MASK_WRITE = 0x03,
    TS_TXN_MASK_POLL = 0x04, /* no time-out: can hang for ever; the static checker refuses it */
    TS_TXN_NOP = 0x05,
    TS_TXN_WAIT = 0x80, /* until a completion token of the channel has come; takes one */
    TS_TXN_PATCH =
        0x81, /* the low words of a shim BD's base <- address of argument + offset + TS_ARRAY_BIAS */
} ts_txn_kind;

enum {
    TS_TXN_HEADER_BYTES = 16,
};

/* The array sees host memory shifted by this much: the firmware adds it in TS_TXN_PATCH (START_CU, operation 3)
 * [silicon, others]; shim BDs hold shifted addresses. */
#define TS_ARRAY_BIAS UINT64_C(0x80000000)

/* A stream being written. Zero-initialise; out of memory is remembered and reported by ts_txn_finish. */
typedef struct ts_txn {
    ts_buf bytes; /* operations, without the header */
    uint32_t n_ops;
    bool failed;
} ts_txn;

void ts_txn_write(ts_txn *t, uint32_t addr, uint32_t value);
void ts_txn_mask_write(ts_txn *t, uint32_t addr, uint32_t mask, uint32_t value);
void ts_txn_block(ts_txn *t, uint32_t addr, const uint32_t *data, size_t n);
void ts_txn_nop(ts_txn *t);
void ts_txn_wait(ts_txn *t, ts_tile tile, ts_dma_dir dir, int channel);
/* addr: of word 1 of the BD; arg: 0 is the first buffer of the command; offset: bytes into it. */
void ts_txn_patch(ts_txn *t, uint32_t addr, uint32_t arg, uint64_t offset);
/* For tests of the checker; no valid stream has one. */
void ts_txn_mask_poll(ts_txn *t, uint32_t addr, uint32_t mask, uint32_t value);
/* The stream with its header, appended to `out`. n_cols: columns of the partition. */
TS_NODISCARD ts_status ts_txn_finish(const ts_txn *t, const ts_chip *chip, int n_cols, ts_buf *out, ts_err *err);
void ts_txn_free(ts_txn *t);

typedef struct ts_txn_op {
    ts_txn_kind kind;
    uint32_t addr, mask, value;
    ts_span data; /* TS_TXN_BLOCK */
    uint32_t arg; /* TS_TXN_PATCH */
    uint64_t arg_offset;
    ts_tile tile; /* TS_TXN_WAIT: the first of n_cols by n_rows tiles */
    uint8_t n_cols, n_rows, channel;
    ts_dma_dir dir;
    size_t offset; /* byte offset in the stream, for messages */
} ts_txn_op;

typedef struct ts_txn_reader {
    const ts_chip *chip;
    ts_span in;
    size_t pos;
    uint32_t n_ops, n_read;
    uint8_t n_cols;
} ts_txn_reader;

/* Open a stream that begins with its header. Errors: TS_E_FORMAT, TS_E_UNSUPP naming the field. */
TS_NODISCARD ts_status ts_txn_open(ts_txn_reader *r, const ts_chip *chip, const void *data, size_t len, ts_err *err);
/* *more = false at the end, where the count of operations must be that of the header. */
TS_NODISCARD ts_status ts_txn_next(ts_txn_reader *r, ts_txn_op *op, bool *more, ts_err *err);
/* Append a listing, one line an operation, to `out`. */
TS_NODISCARD ts_status ts_txn_print(const ts_chip *chip, const void *data, size_t len, ts_buf *out, ts_err *err);

#endif
