/* Any bytes as a PDI: open, list, and write the commands again; what is read twice must be the same. */
#include "xdna/pdi.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool same(const ts_cdo_op *a, const ts_cdo_op *b) {
    return a->kind == b->kind && a->addr == b->addr && a->mask == b->mask && a->value == b->value &&
           a->timeout == b->timeout && a->data.len == b->data.len &&
           !memcmp(a->data.data ? a->data.data : (const void *)"",
                   b->data.data ? b->data.data : (const void *)"", a->data.len);
}

static ts_status next(ts_cdo_reader *r, ts_cdo_op *op, bool *more) {
    do {
        ts_status s = ts_cdo_next(r, op, more, NULL);
        if (s != TS_OK) return s;
    } while (*more && op->kind == TS_CDO_NOP);
    return TS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_err err;
    ts_buf text = {0}, pdi = {0};
    ts_cdo_reader r, again;
    ts_cdo_op op, op2;
    ts_cdo cdo = {0};
    bool more = false, more2 = false;
    ts_status listed = ts_pdi_print(&ts_npu1, data, len, &text, &err);
    if (ts_pdi_open(&r, data, len, &err) != TS_OK) goto out;
    for (;;) {
        if (next(&r, &op, &more) != TS_OK) goto out;
        if (!more) break;
        uint32_t words[512];
        size_t n = op.data.len / 4;
        switch (op.kind) {
        case TS_CDO_WRITE: ts_cdo_write(&cdo, op.addr, op.value); break;
        case TS_CDO_MASK_WRITE: ts_cdo_mask_write(&cdo, op.addr, op.mask, op.value); break;
        case TS_CDO_MASK_POLL: ts_cdo_mask_poll(&cdo, op.addr, op.mask, op.value, op.timeout); break;
        case TS_CDO_BLOCK:
            if (n > 512 || n < 2) goto out; /* n = 1 becomes a write */
            memcpy(words, op.data.data, 4 * n);
            ts_cdo_block(&cdo, op.addr, words, n);
            break;
        case TS_CDO_NOP: break;
        }
    }
    if (listed != TS_OK) abort(); /* what can be read can be listed */
    if (ts_pdi_write(&cdo, &pdi, &err) != TS_OK || ts_pdi_open(&again, pdi.data, pdi.len, &err) != TS_OK ||
        ts_pdi_open(&r, data, len, &err) != TS_OK)
        abort();
    for (;;) {
        if (next(&r, &op, &more) != TS_OK || next(&again, &op2, &more2) != TS_OK || more != more2) abort();
        if (!more) break;
        if (!same(&op, &op2)) abort();
    }
out:
    ts_cdo_free(&cdo);
    ts_buf_free(&pdi);
    ts_buf_free(&text);
    return 0;
}
