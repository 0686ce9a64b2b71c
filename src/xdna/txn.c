#include "xdna/txn.h"

#include "xdna/bd.h"
#include "xdna/regs.h"

enum { WRITE_BYTES = 24, MASK_BYTES = 28, BLOCK_HEAD = 16, WAIT_BYTES = 16, PATCH_BYTES = 48 };

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put(ts_txn *t, const uint32_t *words, size_t n) {
    if (t->failed || !ts_buf_append(&t->bytes, words, 4 * n)) t->failed = true;
}

void ts_txn_write(ts_txn *t, uint32_t addr, uint32_t value) {
    put(t, (uint32_t[]){TS_TXN_WRITE, 0, addr, 0, value, WRITE_BYTES}, 6);
    t->n_ops++;
}

static void put_masked(ts_txn *t, ts_txn_kind kind, uint32_t addr, uint32_t mask, uint32_t value) {
    put(t, (uint32_t[]){kind, 0, addr, 0, value, mask, MASK_BYTES}, 7);
    t->n_ops++;
}

void ts_txn_mask_write(ts_txn *t, uint32_t addr, uint32_t mask, uint32_t value) {
    put_masked(t, TS_TXN_MASK_WRITE, addr, mask, value);
}

void ts_txn_mask_poll(ts_txn *t, uint32_t addr, uint32_t mask, uint32_t value) {
    put_masked(t, TS_TXN_MASK_POLL, addr, mask, value);
}

void ts_txn_block(ts_txn *t, uint32_t addr, const uint32_t *data, size_t n) {
    if (n > TS_CDO_BLOCK_MAX) {
        t->failed = true;
        return;
    }
    put(t, (uint32_t[]){TS_TXN_BLOCK, 0, addr, (uint32_t)(BLOCK_HEAD + 4 * n)}, 4);
    put(t, data, n);
    t->n_ops++;
}

void ts_txn_nop(ts_txn *t) {
    put(t, (uint32_t[]){TS_TXN_NOP}, 1);
    t->n_ops++;
}

void ts_txn_wait(ts_txn *t, ts_tile tile, ts_dma_dir dir, int channel) {
    uint32_t where = (uint32_t)dir | (uint32_t)tile.row << 8 | (uint32_t)tile.col << 16;
    put(t, (uint32_t[]){TS_TXN_WAIT, WAIT_BYTES, where, 1u << 8 | 1u << 16 | (uint32_t)channel << 24}, 4);
    t->n_ops++;
}

void ts_txn_patch(ts_txn *t, uint32_t addr, uint32_t arg, uint64_t offset) {
    put(t,
        (uint32_t[]){TS_TXN_PATCH, PATCH_BYTES, 0, 0, 0, 0 /* action: add */, addr, 0, arg, 0,
                     (uint32_t)offset, (uint32_t)(offset >> 32)},
        12);
    t->n_ops++;
}

static uint32_t shape_of(const ts_chip *chip, int n_cols) {
    return (uint32_t)n_cols | (uint32_t)(chip->core_row - TS_ROW_MEM) << 8;
}

ts_status ts_txn_finish(const ts_txn *t, const ts_chip *chip, int n_cols, ts_buf *out, ts_err *err) {
    if (t->failed) return ts_fail_nomem(err, "an instruction stream", t->bytes.len);
    size_t total = TS_TXN_HEADER_BYTES + t->bytes.len;
    if (total > UINT32_MAX)
        return ts_fail(err, TS_E_LIMIT, "instruction stream: %zu bytes do not fit", total);
    uint32_t head[4] = {chip->stream_head, shape_of(chip, n_cols), t->n_ops, (uint32_t)total};
    if (!ts_buf_append(out, head, sizeof head) || !ts_buf_append(out, t->bytes.data, t->bytes.len))
        return ts_fail_nomem(err, "an instruction stream", total);
    return TS_OK;
}

void ts_txn_free(ts_txn *t) {
    ts_buf_free(&t->bytes);
    *t = (ts_txn){0};
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

ts_status ts_txn_open(ts_txn_reader *r, const ts_chip *chip, const void *data, size_t len, ts_err *err) {
    ts_reader in = ts_reader_of(data, len);
    uint32_t first = ts_read_u32(&in), shape = ts_read_u32(&in), n_ops = ts_read_u32(&in),
             total = ts_read_u32(&in);
    if (in.fail)
        return ts_fail(err, TS_E_FORMAT, "instruction stream: %zu bytes are too few for a header", len);
    if (first != chip->stream_head)
        return ts_fail(
            err, TS_E_UNSUPP,
            "instruction stream: starts with 0x%08x, not 0x%08x (version 0.%u, generation %u, %u rows)", first,
            chip->stream_head, chip->stream_head >> 8 & 0xff, chip->stream_head >> 16 & 0xff,
            chip->stream_head >> 24);
    uint32_t n_cols = shape & 0xff;
    if (n_cols < 1 || n_cols > chip->cols || shape != shape_of(chip, (int)n_cols))
        return ts_fail(err, TS_E_UNSUPP,
                       "instruction stream: shape word 0x%08x is not 1 to %u columns with %d memtile row%s", shape,
                       chip->cols, chip->core_row - TS_ROW_MEM, chip->core_row == TS_ROW_MEM + 1 ? "" : "s");
    if (total != len)
        return ts_fail(err, TS_E_FORMAT, "instruction stream: header says %u bytes, there are %zu", total,
                       len);
    *r = (ts_txn_reader){.chip = chip, .in = in.in, .pos = in.pos, .n_ops = n_ops, .n_cols = (uint8_t)n_cols};
    return TS_OK;
}

static ts_status cut_off(size_t at, ts_err *err) {
    return ts_fail(err, TS_E_FORMAT, "instruction stream: the operation at offset %zu is cut off", at);
}

static ts_status bad_field(const char *what, uint32_t got, size_t at, ts_err *err) {
    return ts_fail(err, TS_E_FORMAT, "instruction stream: %s 0x%x in the operation at offset %zu", what, got,
                   at);
}

ts_status ts_txn_next(ts_txn_reader *r, ts_txn_op *op, bool *more, ts_err *err) {
    size_t at = r->pos;
    if (at == r->in.len) {
        if (r->n_read != r->n_ops)
            return ts_fail(err, TS_E_FORMAT, "instruction stream: header says %u operations, there are %u",
                           r->n_ops, r->n_read);
        *more = false;
        return TS_OK;
    }
    ts_reader in = {.in = r->in, .pos = at};
    uint32_t head = ts_read_u32(&in);
    if (in.fail) return cut_off(at, err);
    static const uint8_t sizes[256] = {[TS_TXN_WRITE] = WRITE_BYTES,
                                       [TS_TXN_BLOCK] = BLOCK_HEAD,
                                       [TS_TXN_MASK_WRITE] = MASK_BYTES,
                                       [TS_TXN_MASK_POLL] = MASK_BYTES,
                                       [TS_TXN_NOP] = 4,
                                       [TS_TXN_WAIT] = WAIT_BYTES,
                                       [TS_TXN_PATCH] = PATCH_BYTES};
    if (head > 255 || !sizes[head])
        return ts_fail(err, TS_E_UNSUPP,
                       "instruction stream: operation 0x%x at offset %zu is not one for %s", head, at, r->chip->name);
    ts_span p = ts_read_bytes(&in, sizes[head] - 4u);
    if (in.fail) return cut_off(at, err);
#define W(i) ts_word(p, (i)-1) /* the i-th word of the operation */
    *op = (ts_txn_op){.kind = (ts_txn_kind)head, .offset = at};
    switch (op->kind) {
    case TS_TXN_WRITE:
        if (W(1) || W(3)) return bad_field("reserved word", W(1) | W(3), at, err);
        if (W(5) != WRITE_BYTES) return bad_field("size", W(5), at, err);
        op->addr = W(2);
        op->value = W(4);
        break;
    case TS_TXN_MASK_WRITE:
    case TS_TXN_MASK_POLL:
        if (W(1) || W(3)) return bad_field("reserved word", W(1) | W(3), at, err);
        if (W(6) != MASK_BYTES) return bad_field("size", W(6), at, err);
        op->addr = W(2);
        op->value = W(4);
        op->mask = W(5);
        break;
    case TS_TXN_BLOCK:
        if (W(1)) return bad_field("reserved word", W(1), at, err);
        if (W(3) < BLOCK_HEAD || W(3) % 4) return bad_field("size", W(3), at, err);
        op->addr = W(2);
        op->data = ts_read_bytes(&in, W(3) - BLOCK_HEAD);
        break;
    case TS_TXN_NOP: break;
    case TS_TXN_WAIT:
        if (W(1) != WAIT_BYTES) return bad_field("size", W(1), at, err);
        if ((W(2) & 0xff) > 1) return bad_field("direction", W(2) & 0xff, at, err);
        if (W(2) >> 24 || (W(3) & 0xff))
            return bad_field("reserved byte", W(2) >> 24 | (W(3) & 0xff), at, err);
        op->dir = (ts_dma_dir)(W(2) & 1);
        op->tile = ts_tile_at(W(2) >> 16 & 0xff, W(2) >> 8 & 0xff);
        op->n_rows = W(3) >> 8 & 0xff;
        op->n_cols = W(3) >> 16 & 0xff;
        op->channel = (uint8_t)(W(3) >> 24);
        break;
    case TS_TXN_PATCH:
        if (W(1) != PATCH_BYTES) return bad_field("size", W(1), at, err);
        if (W(5)) return bad_field("patch action", W(5), at, err);
        if (W(2) || W(3) || W(4) || W(7) || W(9))
            return bad_field("reserved word", W(2) | W(3) | W(4) | W(7) | W(9), at, err);
        op->addr = W(6);
        op->arg = W(8);
        op->arg_offset = W(10) | (uint64_t)W(11) << 32;
        break;
    }
#undef W
    if (in.fail) return cut_off(at, err);
    r->pos = in.pos;
    r->n_read++;
    *more = true;
    return TS_OK;
}

static bool print_op(const ts_chip *chip, const ts_txn_op *op, ts_buf *out) {
    char name[64], text[256];
    ts_place at = ts_locate(chip, op->addr);
    ts_reg_name(chip, op->addr, name, sizeof name);
    if (!ts_buf_printf(out, "%6zu  ", op->offset)) return false;
    switch (op->kind) {
    case TS_TXN_WRITE:
        return ts_buf_printf(out, "write  %-28s 0x%08x%s\n", name, op->value,
                             ts_reg_fields(chip, op->addr, op->value, text, sizeof text));
    case TS_TXN_MASK_WRITE:
        return ts_buf_printf(out, "mask   %-28s 0x%08x of 0x%08x%s\n", name, op->value, op->mask,
                             ts_reg_fields(chip, op->addr, op->value & op->mask, text, sizeof text));
    case TS_TXN_MASK_POLL:
        return ts_buf_printf(out, "poll   %-28s 0x%08x of 0x%08x\n", name, op->value, op->mask);
    case TS_TXN_NOP: return ts_buf_puts(out, "nop\n");
    case TS_TXN_WAIT:
        return ts_buf_printf(out, "wait   %s(%u,%u) %s %u, one token\n", ts_tile_name(chip, op->tile),
                             op->tile.col, op->tile.row, op->dir == TS_S2MM ? "S2MM" : "MM2S", op->channel);
    case TS_TXN_PATCH:
        return ts_buf_printf(out, "patch  %-28s argument %u + 0x%llx\n", name, op->arg,
                             (unsigned long long)op->arg_offset);
    case TS_TXN_BLOCK: break;
    }
    size_t n = op->data.len / 4;
    if (!ts_buf_printf(out, "block  %-28s %zu words\n", name, n)) return false;
    if (at.what != TS_AT_BD || at.word || n != ts_tile_maps[at.kind].bd_words) return true;
    uint32_t w[TS_BD_WORDS_MAX];
    ts_bd bd;
    for (size_t i = 0; i < n; i++) w[i] = ts_word(op->data, i);
    ts_bd_decode(at.kind, w, &bd);
    return ts_buf_printf(out, "               BD %u: %s\n", at.index,
                         ts_bd_print(at.kind, &bd, text, sizeof text));
}

ts_status ts_txn_print(const ts_chip *chip, const void *data, size_t len, ts_buf *out, ts_err *err) {
    ts_txn_reader r;
    ts_txn_op op;
    bool more;
    TS_TRY(ts_txn_open(&r, chip, data, len, err));
    for (;;) {
        TS_TRY(ts_txn_next(&r, &op, &more, err));
        if (!more) return TS_OK;
        if (!print_op(chip, &op, out)) return ts_fail_nomem(err, "a listing", out->len);
    }
}
