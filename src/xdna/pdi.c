#include "xdna/pdi.h"

#include "xdna/bd.h"
#include "xdna/regs.h"

/* All words little-endian; what is not named is zero. */
enum {
    TABLE_AT = 0x10,
    TABLE_WORDS = 32,
    IMAGE_AT = 0x90,
    IMAGE_WORDS = 16,
    PART_AT = 0xD0,
    PART_WORDS = 32,
    CDO_AT = 0x150,

    ID_CODE = 0x14CA8093, /* the device that bootgen's -arch versal flow is told for this array */
    IMAGE_ID = 0x1C000000,
};

static const uint32_t preamble[4] = {0x000000DD, 0x11223344, 0x55667788, 0x99AABBCC};

static const uint32_t table_words[TABLE_WORDS - 1] = {0x00040000,
                                                      1,
                                                      IMAGE_AT / 4,
                                                      1,
                                                      PART_AT / 4,
                                                      0,
                                                      ID_CODE,
                                                      0,
                                                      0,
                                                      0,
                                                      0x50504449 /* "IDPP" */,
                                                      0x00201020,
                                                      0x30,
                                                      0,
                                                      0,
                                                      0,
                                                      0,
                                                      1};

static const uint32_t image_words[IMAGE_WORDS - 1] = {
    PART_AT / 4, 1, 0, 0, 0x5F656961, 0x67616D69, 0x00000065, 0 /* name "aie_image" */, IMAGE_ID};

/* n: words of the CDO; padded: n rounded up to 16 bytes. */
static void partition_words(uint32_t n, uint32_t padded, uint32_t w[PART_WORDS - 1]) {
    memset(w, 0, 4 * (PART_WORDS - 1));
    w[0] = w[2] = padded;
    w[1] = n;
    w[6] = w[7] = 0xFFFFFFFF;
    w[8] = CDO_AT / 4;
    w[9] = 0x02000006;
    w[10] = 1;
}

static uint32_t checksum(const uint32_t *w, size_t n) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += w[i];
    return ~sum;
}

static bool put_with_sum(ts_buf *out, const uint32_t *w, size_t n) {
    uint32_t sum = checksum(w, n);
    return ts_buf_append(out, w, 4 * n) && ts_buf_append(out, &sum, 4);
}

ts_status ts_pdi_write(const ts_cdo *cdo, ts_buf *out, ts_err *err) {
    TS_TRY(ts_cdo_status(cdo, err));
    size_t n = TS_CDO_HEADER_WORDS + cdo->words.len / 4, padded = (n + 3) & ~(size_t)3;
    if (padded > UINT32_MAX / 4) return ts_fail(err, TS_E_LIMIT, "PDI: %zu words do not fit", n);
    uint32_t part[PART_WORDS - 1], zero[3] = {0};
    partition_words((uint32_t)n, (uint32_t)padded, part);
    if (!ts_buf_reserve(out, CDO_AT + 4 * padded)) return ts_fail_nomem(err, "a PDI", CDO_AT + 4 * padded);
    /* cannot fail any more */
    bool ok = ts_buf_append(out, preamble, sizeof preamble) &&
              put_with_sum(out, table_words, TABLE_WORDS - 1) &&
              put_with_sum(out, image_words, IMAGE_WORDS - 1) && put_with_sum(out, part, PART_WORDS - 1);
    if (!ok) return ts_fail_nomem(err, "a PDI", CDO_AT + 4 * padded);
    TS_TRY(ts_cdo_finish(cdo, out, err));
    return ts_buf_append(out, zero, 4 * (padded - n)) ? TS_OK
                                                      : ts_fail_nomem(err, "a PDI", CDO_AT + 4 * padded);
}

static ts_status expect(ts_span in, size_t at, const uint32_t *want, size_t n, const char *what,
                        ts_err *err) {
    for (size_t i = 0; i < n; i++) {
        uint32_t got = ts_word(in, at / 4 + i);
        if (got != want[i])
            return ts_fail(err, TS_E_UNSUPP,
                           "PDI: word %zu of the %s is 0x%08x, not 0x%08x as in images for this chip", i,
                           what, got, want[i]);
    }
    return TS_OK;
}

static ts_status expect_sum(ts_span in, size_t at, size_t n, const char *what, ts_err *err) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += ts_word(in, at / 4 + i);
    if (ts_word(in, at / 4 + n) != ~sum)
        return ts_fail(err, TS_E_FORMAT, "PDI: wrong checksum of the %s", what);
    return TS_OK;
}

ts_status ts_pdi_open(ts_cdo_reader *r, const void *data, size_t len, ts_err *err) {
    ts_span in = {.data = data, .len = len};
    if (len < CDO_AT + 4 * TS_CDO_HEADER_WORDS)
        return ts_fail(err, TS_E_FORMAT, "PDI: %zu bytes are too few", len);
    if (memcmp(data, preamble, sizeof preamble))
        return ts_fail(err, TS_E_FORMAT, "PDI: no PDI at the start of the data");
    TS_TRY(expect_sum(in, TABLE_AT, TABLE_WORDS - 1, "image header table", err));
    TS_TRY(expect_sum(in, IMAGE_AT, IMAGE_WORDS - 1, "image header", err));
    TS_TRY(expect_sum(in, PART_AT, PART_WORDS - 1, "partition header", err));
    TS_TRY(expect(in, TABLE_AT, table_words, TABLE_WORDS - 1, "image header table", err));
    TS_TRY(expect(in, IMAGE_AT, image_words, IMAGE_WORDS - 1, "image header", err));
    uint32_t n = ts_word(in, PART_AT / 4 + 1), part[PART_WORDS - 1];
    partition_words(n, n + (-n & 3), part);
    TS_TRY(expect(in, PART_AT, part, PART_WORDS - 1, "partition header", err));
    if (n > (len - CDO_AT) / 4)
        return ts_fail(err, TS_E_FORMAT, "PDI: the partition of %u words is cut off", n);
    TS_TRY(ts_cdo_open(r, in.data + CDO_AT, 4 * (size_t)n, err));
    if (r->in.len / 4 + TS_CDO_HEADER_WORDS != n)
        return ts_fail(err, TS_E_FORMAT, "PDI: the partition has %u words, its CDO %zu", n,
                       r->in.len / 4 + TS_CDO_HEADER_WORDS);
    r->base += CDO_AT;
    return TS_OK;
}

static bool print_block(const ts_chip *chip, const ts_cdo_op *op, ts_buf *out) {
    char name[64], fields[256];
    size_t n = op->data.len / 4;
    ts_place at = ts_locate(chip, op->addr);
    if (!ts_buf_printf(out, "block  %-28s %zu words\n", ts_reg_name(chip, op->addr, name, sizeof name), n))
        return false;
    if (at.what == TS_AT_BD && at.word == 0 && n == ts_tile_maps[at.kind].bd_words) {
        uint32_t w[TS_BD_WORDS_MAX];
        ts_bd bd;
        for (size_t i = 0; i < n; i++) w[i] = ts_word(op->data, i);
        ts_bd_decode(at.kind, w, &bd);
        return ts_buf_printf(out, "         BD %u: %s\n", at.index,
                             ts_bd_print(at.kind, &bd, fields, sizeof fields));
    }
    return true;
}

ts_status ts_pdi_print(const ts_chip *chip, const void *data, size_t len, ts_buf *out, ts_err *err) {
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more, ok = true;
    TS_TRY(ts_pdi_open(&r, data, len, err));
    for (;;) {
        TS_TRY(ts_cdo_next(&r, &op, &more, err));
        if (!more) return TS_OK;
        char name[64], fields[256];
        ts_reg_name(chip, op.addr, name, sizeof name);
        switch (op.kind) {
        case TS_CDO_WRITE:
            ok = ts_buf_printf(out, "write  %-28s 0x%08x%s\n", name, op.value,
                               ts_reg_fields(chip, op.addr, op.value, fields, sizeof fields));
            break;
        case TS_CDO_MASK_WRITE:
            ok = ts_buf_printf(out, "mask   %-28s 0x%08x of 0x%08x%s\n", name, op.value, op.mask,
                               ts_reg_fields(chip, op.addr, op.value & op.mask, fields, sizeof fields));
            break;
        case TS_CDO_MASK_POLL:
            ok = ts_buf_printf(out, "poll   %-28s 0x%08x of 0x%08x\n", name, op.value, op.mask);
            break;
        case TS_CDO_BLOCK: ok = print_block(chip, &op, out); break;
        case TS_CDO_NOP: break;
        }
        if (!ok) return ts_fail_nomem(err, "a listing", out->len);
    }
}
