/* Any list of operations as a command for a small loop-back configuration: the static checker answers; what it
 * accepts has no more than four tasks a channel and waits for them all. An input is a list of 10-byte records:
 * kind and arguments. */
#include "xdna/check.h"
#include "xdna/design.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static ts_npu_config *loop_config(void) {
    ts_design *d;
    ts_npu_config *config;
    ts_buf pdi = {0};
    if (ts_design_new(&d, &ts_npu1, 1, NULL) != TS_OK) abort();
    ts_tile shim = ts_tile_at(0, 0), mem = ts_tile_at(0, 1);
    ts_tile_buf b = ts_design_buffer(d, mem, "b", 64, TS_ANY_BANK);
    ts_tile_lock e = ts_design_lock(d, mem, "e", 1), f = ts_design_lock(d, mem, "f", 0);
    ts_design_dma(d, mem, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .acquire = e, .release = f}}, 1);
    ts_design_dma(d, mem, TS_MM2S, 0, (ts_ring_step[]){{.buffer = b, .acquire = f, .release = e}}, 1);
    ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1);
    ts_design_flow(d, ts_end_dma(mem, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
    if (ts_design_finish(d, &pdi, NULL, NULL) != TS_OK ||
        ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, NULL, 0, NULL, NULL) != TS_OK)
        abort();
    ts_buf_free(&pdi);
    ts_design_free(d);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    enum { RECORD = 10 };
    static const uint64_t bytes[3] = {4096, 4096, 64};
    ts_txn t = {0};
    ts_buf out = {0};
    ts_npu_command *cmd = NULL;
    ts_claim claims[4];
    size_t n_claims = 0;
    ts_rule rule;
    ts_err err = {.msg = ""};
    for (; len >= RECORD; data += RECORD, len -= RECORD) {
        uint32_t a, b, base = ts_addr(ts_tile_at(0, 0), 0x1D000);
        memcpy(&a, data + 1, 4);
        memcpy(&b, data + 5, 4);
        int bd = a & 15;
        switch (data[0] & 7) {
        case 0: /* a plausible BD of b words */
            ts_txn_block(&t, base + 32u * (unsigned)bd,
                         (uint32_t[]){b, 0, 0, a >> 8 & 0x3f00000, 0, 0, 0,
                                      1u << 25 | (a >> 4 & 1) << 26 | (a >> 5 & 15) << 27},
                         8);
            break;
        case 1: ts_txn_patch(&t, base + 32u * (unsigned)bd + 4, a >> 8 & 3, b); break;
        case 2: ts_txn_write(&t, base + 0x204 + 8 * (a >> 8 & 3), (uint32_t)bd | (b & 0x80070000)); break;
        case 3: ts_txn_wait(&t, ts_tile_at(0, 0), (ts_dma_dir)(a & 1), a >> 1 & 1); break;
        case 4: ts_txn_mask_write(&t, base + 0x200 + 8 * (a & 3), 0xff00, b & 1 ? 0xf00 : b); break;
        case 5: ts_txn_write(&t, a, b); break;
        case 6: ts_txn_mask_write(&t, a, data[9], b); break;
        case 7:
            if (n_claims < 4)
                claims[n_claims++] =
                    (ts_claim){.wait = a & 7, .col = b & 1, .dir = b >> 1 & 1, .channel = b >> 2 & 1};
            break;
        }
    }
    ts_npu_config *config = loop_config();
    if (ts_txn_finish(&t, &ts_npu1, 1, &out, NULL) != TS_OK) abort();
    ts_status s =
        ts_npu_command_check(&cmd, config, out.data, out.len, bytes, 3, claims, n_claims, &rule, &err);
    if (s != TS_OK && (s != TS_E_INVAL || rule == TS_RULE_NONE || !err.msg[0])) abort();
    if (s == TS_OK)
        for (int i = 0; i < ts_npu_command_args(cmd); i++)
            if (ts_npu_command_arg_bytes(cmd, i) > bytes[i]) abort();
    ts_npu_command_free(cmd);
    ts_npu_config_free(config);
    ts_txn_free(&t);
    ts_buf_free(&out);
    return 0;
}
