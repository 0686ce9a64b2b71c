/* Any bytes as an instruction stream: open, list, and write it again: the bytes must be the same. */
#include "xdna/txn.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_err err;
    ts_buf text = {0}, bytes = {0};
    ts_txn_reader r;
    ts_txn_op op;
    ts_txn txn = {0};
    bool more = false, exact = true;
    ts_status listed = ts_txn_print(&ts_npu1, data, len, &text, &err);
    if (ts_txn_open(&r, &ts_npu1, data, len, &err) != TS_OK) goto out;
    for (;;) {
        if (ts_txn_next(&r, &op, &more, &err) != TS_OK) goto out;
        if (!more) break;
        uint32_t words[512];
        size_t n = op.data.len / 4;
        switch (op.kind) {
        case TS_TXN_WRITE: ts_txn_write(&txn, op.addr, op.value); break;
        case TS_TXN_MASK_WRITE: ts_txn_mask_write(&txn, op.addr, op.mask, op.value); break;
        case TS_TXN_MASK_POLL: ts_txn_mask_poll(&txn, op.addr, op.mask, op.value); break;
        case TS_TXN_NOP: ts_txn_nop(&txn); break;
        case TS_TXN_WAIT:
            exact &= op.n_cols == 1 && op.n_rows == 1; /* the writer waits on one tile only */
            ts_txn_wait(&txn, op.tile, op.dir, op.channel);
            break;
        case TS_TXN_PATCH: ts_txn_patch(&txn, op.addr, op.arg, op.arg_offset); break;
        case TS_TXN_BLOCK:
            if (n > 512) goto out;
            if (n) memcpy(words, op.data.data, 4 * n);
            ts_txn_block(&txn, op.addr, words, n);
            break;
        }
    }
    if (listed != TS_OK) abort();
    if (ts_txn_finish(&txn, &ts_npu1, r.n_cols, &bytes, &err) != TS_OK) abort();
    if (exact && (bytes.len != len || memcmp(bytes.data, data, len))) abort();
out:
    ts_txn_free(&txn);
    ts_buf_free(&bytes);
    ts_buf_free(&text);
    return 0;
}
