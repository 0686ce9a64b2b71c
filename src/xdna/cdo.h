/* cdo.h - lists of register writes in the CDO format, which the NPU firmware carries out when a context is
 * configured.
 *
 * A command is a word (payload words << 16 | operation) and its payload; 255 or more payload words put 255 into
 * the field and the count into a word of its own. The writer produces what AMD's bootgen makes of the same list:
 * a NOP before a block so that its data lie at the same place within 16 bytes as at their address, a block of one
 * word as a plain write. Addresses are 32-bit: the array needs no more. Verified byte for byte against bootgen
 * 2022.2. */
#ifndef TS_XDNA_CDO_H
#define TS_XDNA_CDO_H

#include "base/mem.h"
#include "base/span.h"

typedef enum ts_cdo_kind {
    TS_CDO_WRITE,      /* addr <- value */
    TS_CDO_MASK_WRITE, /* addr <- (old & ~mask) | (value & mask) */
    TS_CDO_BLOCK,      /* n words to addr, addr + 4, ... */
    TS_CDO_MASK_POLL,  /* wait until (addr & mask) == value: can hang, never written by Tessera */
    TS_CDO_NOP,
} ts_cdo_kind;

enum { TS_CDO_HEADER_WORDS = 5, TS_CDO_BLOCK_MAX = 1 << 20 };

/* A list being written. Zero-initialise; out of memory is remembered and reported by ts_cdo_status. */
typedef struct ts_cdo {
    ts_buf words; /* the commands, without the header */
    bool failed;
} ts_cdo;

void ts_cdo_write(ts_cdo *c, uint32_t addr, uint32_t value);
void ts_cdo_mask_write(ts_cdo *c, uint32_t addr, uint32_t mask, uint32_t value);
void ts_cdo_block(ts_cdo *c, uint32_t addr, const uint32_t *data, size_t n); /* n = 0: nothing */
void ts_cdo_mask_poll(ts_cdo *c, uint32_t addr, uint32_t mask, uint32_t value, uint32_t timeout);
void ts_cdo_nop(ts_cdo *c, uint32_t n_words); /* a NOP with n_words of payload zeros */
TS_NODISCARD ts_status ts_cdo_status(const ts_cdo *c, ts_err *err);
void ts_cdo_free(ts_cdo *c);

/* The list with its header, appended to `out`. */
TS_NODISCARD ts_status ts_cdo_finish(const ts_cdo *c, ts_buf *out, ts_err *err);

/* One command of a list being read. */
typedef struct ts_cdo_op {
    ts_cdo_kind kind;
    uint32_t addr, mask, value, timeout;
    ts_span data;  /* TS_CDO_BLOCK: 4 * n bytes, borrowed, perhaps unaligned (ts_word) */
    size_t offset; /* byte offset of the command in the list, for messages */
} ts_cdo_op;

/* The i-th little-endian word of a span that holds it. */
static inline uint32_t ts_word(ts_span s, size_t i) {
    uint32_t w;
    memcpy(&w, s.data + 4 * i, sizeof w);
    return w;
}

typedef struct ts_cdo_reader {
    ts_span in; /* commands only */
    size_t pos, base;
} ts_cdo_reader;

/* Open a list that begins with a CDO header. Errors: TS_E_FORMAT naming the field (magic, version, length,
 * checksum). */
TS_NODISCARD ts_status ts_cdo_open(ts_cdo_reader *r, const void *data, size_t len, ts_err *err);
/* *more = false at the end. Errors: TS_E_FORMAT (cut off), TS_E_UNSUPP (an operation Tessera does not know, an
 * address beyond 32 bits), with the byte offset. */
TS_NODISCARD ts_status ts_cdo_next(ts_cdo_reader *r, ts_cdo_op *op, bool *more, ts_err *err);

#endif
