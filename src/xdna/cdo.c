#include "xdna/cdo.h"

enum {
    OP_END = 0x100,
    OP_MASK_POLL = 0x101,
    OP_MASK_WRITE = 0x102,
    OP_WRITE = 0x103,
    OP_BLOCK = 0x105,
    OP_MASK_POLL64 = 0x106,
    OP_MASK_WRITE64 = 0x107,
    OP_WRITE64 = 0x108,
    OP_NOP = 0x111,

    LONG_PAYLOAD = 255, /* this many words or more: the count has a word of its own */
    MAGIC = 0x004F4443, /* "CDO" */
    VERSION = 0x200,
};

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put(ts_cdo *c, const uint32_t *words, size_t n) {
    if (c->failed || !ts_buf_append(&c->words, words, 4 * n)) c->failed = true;
}

static void put_head(ts_cdo *c, uint32_t op, size_t payload) {
    if (payload < LONG_PAYLOAD) put(c, (uint32_t[]){(uint32_t)payload << 16 | op}, 1);
    else put(c, (uint32_t[]){LONG_PAYLOAD << 16 | op, (uint32_t)payload}, 2);
}

void ts_cdo_write(ts_cdo *c, uint32_t addr, uint32_t value) {
    put_head(c, OP_WRITE, 2);
    put(c, (uint32_t[]){addr, value}, 2);
}

void ts_cdo_mask_write(ts_cdo *c, uint32_t addr, uint32_t mask, uint32_t value) {
    put_head(c, OP_MASK_WRITE, 3);
    put(c, (uint32_t[]){addr, mask, value}, 3);
}

void ts_cdo_mask_poll(ts_cdo *c, uint32_t addr, uint32_t mask, uint32_t value, uint32_t timeout) {
    put_head(c, OP_MASK_POLL, 4);
    put(c, (uint32_t[]){addr, mask, value, timeout}, 4);
}

void ts_cdo_nop(ts_cdo *c, uint32_t n_words) {
    put_head(c, OP_NOP, n_words);
    for (uint32_t i = 0; i < n_words; i++) put(c, (uint32_t[]){0}, 1);
}

void ts_cdo_block(ts_cdo *c, uint32_t addr, const uint32_t *data, size_t n) {
    if (!n) return;
    if (n == 1) {
        ts_cdo_write(c, addr, data[0]);
        return;
    }
    if (n > TS_CDO_BLOCK_MAX) { /* no memory of the array is near that; keeps the word count in its field */
        c->failed = true;
        return;
    }
    size_t payload = n + 2, head = payload < LONG_PAYLOAD ? 3 : 4;
    size_t at =
        TS_CDO_HEADER_WORDS + c->words.len / 4 + head; /* of the first data word, from the CDO header */
    uint32_t pad = (uint32_t)((addr >> 2) - at) & 3;
    if (pad) ts_cdo_nop(c, pad - 1);
    put_head(c, OP_BLOCK, payload);
    put(c, (uint32_t[]){0, addr}, 2);
    put(c, data, n);
}

ts_status ts_cdo_status(const ts_cdo *c, ts_err *err) {
    return c->failed ? ts_fail_nomem(err, "a configuration list", c->words.len) : TS_OK;
}

void ts_cdo_free(ts_cdo *c) {
    ts_buf_free(&c->words);
    c->failed = false;
}

ts_status ts_cdo_finish(const ts_cdo *c, ts_buf *out, ts_err *err) {
    TS_TRY(ts_cdo_status(c, err));
    if (c->words.len / 4 > UINT32_MAX) return ts_fail(err, TS_E_LIMIT, "CDO: the list is too long");
    uint32_t head[TS_CDO_HEADER_WORDS] = {4, MAGIC, VERSION, (uint32_t)(c->words.len / 4)};
    head[4] = ~(head[0] + head[1] + head[2] + head[3]);
    if (!ts_buf_append(out, head, sizeof head) || !ts_buf_append(out, c->words.data, c->words.len))
        return ts_fail_nomem(err, "a configuration list", c->words.len);
    return TS_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

ts_status ts_cdo_open(ts_cdo_reader *r, const void *data, size_t len, ts_err *err) {
    ts_reader in = ts_reader_of(data, len);
    uint32_t size = ts_read_u32(&in), magic = ts_read_u32(&in), version = ts_read_u32(&in),
             words = ts_read_u32(&in), sum = ts_read_u32(&in);
    if (in.fail) return ts_fail(err, TS_E_FORMAT, "CDO: %zu bytes are too few for a header", len);
    if (size != 4 || magic != MAGIC) return ts_fail(err, TS_E_FORMAT, "CDO: no CDO header at the start");
    if (version != VERSION)
        return ts_fail(err, TS_E_UNSUPP, "CDO: version 0x%x is not 0x%x", version, VERSION);
    if (sum != ~(size + magic + version + words))
        return ts_fail(err, TS_E_FORMAT, "CDO: wrong header checksum");
    if (words > (len - in.pos) / 4)
        return ts_fail(err, TS_E_FORMAT, "CDO: %u words announced, %zu present", words, (len - in.pos) / 4);
    *r = (ts_cdo_reader){.in = ts_read_bytes(&in, 4 * (uint64_t)words), .base = 4 * TS_CDO_HEADER_WORDS};
    return TS_OK;
}

ts_status ts_cdo_next(ts_cdo_reader *r, ts_cdo_op *op, bool *more, ts_err *err) {
    size_t at = r->base + r->pos;
    if (r->pos == r->in.len) {
        *more = false;
        return TS_OK;
    }
    ts_reader in = {.in = r->in, .pos = r->pos};
    uint32_t head = ts_read_u32(&in), kind = head & 0xffff, n = head >> 16;
    if (n == LONG_PAYLOAD) {
        n = ts_read_u32(&in);
    } else if (n > LONG_PAYLOAD) {
        return ts_fail(err, TS_E_FORMAT, "CDO: command word 0x%08x at offset %zu", head, at);
    }
    ts_span p = ts_read_bytes(&in, 4 * (uint64_t)n);
    if (in.fail) return ts_fail(err, TS_E_FORMAT, "CDO: the command at offset %zu is cut off", at);
    *op = (ts_cdo_op){.offset = at};
    uint32_t want = 0, high = 0;
    switch (kind) {
    case OP_WRITE:
        want = 2;
        op->kind = TS_CDO_WRITE;
        break;
    case OP_MASK_WRITE:
        want = 3;
        op->kind = TS_CDO_MASK_WRITE;
        break;
    case OP_MASK_POLL:
        want = 4;
        op->kind = TS_CDO_MASK_POLL;
        break;
    case OP_WRITE64:
        want = 3;
        high = 1;
        op->kind = TS_CDO_WRITE;
        break;
    case OP_MASK_WRITE64:
        want = 4;
        high = 1;
        op->kind = TS_CDO_MASK_WRITE;
        break;
    case OP_MASK_POLL64:
        want = 5;
        high = 1;
        op->kind = TS_CDO_MASK_POLL;
        break;
    case OP_BLOCK:
        want = n < 3 ? 3 : n;
        high = 1;
        op->kind = TS_CDO_BLOCK;
        break;
    case OP_NOP:
        want = n;
        op->kind = TS_CDO_NOP;
        break;
    default:
        return ts_fail(err, TS_E_UNSUPP, "CDO: operation 0x%x at offset %zu is not one that Tessera knows",
                       kind, at);
    }
    if (n != want)
        return ts_fail(err, TS_E_FORMAT, "CDO: operation 0x%x at offset %zu has %u payload words, not %u",
                       kind, at, n, want);
    if (high && ts_word(p, 0))
        return ts_fail(err, TS_E_UNSUPP, "CDO: the address at offset %zu has more than 32 bits", at);
    if (op->kind != TS_CDO_NOP) op->addr = ts_word(p, high);
    if (op->kind == TS_CDO_WRITE) {
        op->value = ts_word(p, high + 1);
    } else if (op->kind == TS_CDO_MASK_WRITE || op->kind == TS_CDO_MASK_POLL) {
        op->mask = ts_word(p, high + 1);
        op->value = ts_word(p, high + 2);
        if (op->kind == TS_CDO_MASK_POLL) op->timeout = ts_word(p, high + 3);
    } else if (op->kind == TS_CDO_BLOCK) {
        op->data = (ts_span){.data = p.data + 8, .len = p.len - 8};
    }
    r->pos = in.pos;
    *more = true;
    return TS_OK;
}
