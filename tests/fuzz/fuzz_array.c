/* The array simulator on configurations and commands of any kind: it ends, one way or another. And what the static
 * checker has accepted must run to its end without a mishap, for there is no core in it that could do something
 * unforeseen: a hang or a mishap here is a hole in the checker, or a mistake of the simulator.
 *
 * An input: a byte for the seed, one for the number of edits to the configuration (6 bytes each: which word, its new
 * value), then 9-byte records of operations. */
#include "sim/array.h"
#include "xdna/check.h"
#include "xdna/design.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { HOST = 0x10000000, HOST_BYTES = 3 * 4096 };
static uint8_t memory[HOST_BYTES];

static int host_read(void *ud, uint64_t addr, void *data, size_t len) {
    uint64_t at = addr - HOST - TS_ARRAY_BIAS;
    (void)ud;
    if (at > HOST_BYTES || len > HOST_BYTES - at) return -1;
    memcpy(data, memory + at, len);
    return 0;
}
static int host_write(void *ud, uint64_t addr, const void *data, size_t len) {
    uint64_t at = addr - HOST - TS_ARRAY_BIAS;
    (void)ud;
    if (at > HOST_BYTES || len > HOST_BYTES - at) return -1;
    memcpy(memory + at, data, len);
    return 0;
}

/* One buffer between the two directions of the shim's channels 0. */
static void build(ts_buf *pdi) {
    ts_design *d;
    if (ts_design_new(&d, &ts_npu1, 1, NULL) != TS_OK) abort();
    ts_tile shim = ts_tile_at(0, 0), mem = ts_tile_at(0, 1);
    ts_tile_buf b = ts_design_buffer(d, mem, "b", 64, TS_ANY_BANK);
    ts_tile_lock e = ts_design_lock(d, mem, "e", 1), f = ts_design_lock(d, mem, "f", 0);
    ts_design_dma(d, mem, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .acquire = e, .release = f}}, 1);
    ts_design_dma(d, mem, TS_MM2S, 0, (ts_ring_step[]){{.buffer = b, .acquire = f, .release = e}}, 1);
    ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1);
    ts_design_flow(d, ts_end_dma(mem, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
    if (ts_design_finish(d, pdi, NULL, NULL) != TS_OK) abort();
    ts_design_free(d);
}

/* Operations from records; the number of waits. */
static uint32_t operations(ts_txn *t, const uint8_t *data, size_t len) {
    enum { RECORD = 9 };
    uint32_t waits = 0;
    for (; len >= RECORD; data += RECORD, len -= RECORD) {
        uint32_t a, b, base = ts_addr(ts_tile_at(0, 0), 0x1D000);
        memcpy(&a, data + 1, 4);
        memcpy(&b, data + 5, 4);
        uint32_t bd = a & 15;
        switch (data[0] & 7) {
        case 0: /* a descriptor of a multiple of 16 words */
            ts_txn_block(t, base + 32 * bd,
                         (uint32_t[]){16 * (b & 63), 0, 0, 0, 0x80000000, 0x02000000, 0,
                                      1u << 25 | (a >> 4 & 1) << 26 | (a >> 5 & 15) << 27},
                         8);
            break;
        case 1: ts_txn_patch(t, base + 32 * bd + 4, a >> 8 & 3, b & 0xffc); break;
        case 2: ts_txn_write(t, base + 0x204 + 8 * (a >> 8 & 3), bd | (b & 0x80070000)); break;
        case 3:
            ts_txn_wait(t, ts_tile_at(0, 0), (ts_dma_dir)(a & 1), a >> 1 & 1);
            waits++;
            break;
        case 4: ts_txn_mask_write(t, base + 0x200 + 8 * (a & 3), 0xff00, b & 1 ? 0xf00 : b); break;
        case 5: ts_txn_write(t, a & 0x1fffffc, b); break;
        case 6: ts_txn_block(t, a & 0x1fffffc, (uint32_t[]){b, ~b, a}, 1 + b % 3); break;
        case 7: ts_txn_nop(t); break;
        }
    }
    return waits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    enum { LIST_AT = 0x150 + 20, EDIT = 6 };
    static const uint64_t bytes[3] = {4096, 4096, 4096}, args[3] = {HOST, HOST + 4096, HOST + 8192};
    const ts_array_host host = {.read = host_read, .write = host_write};
    ts_npu_config *config = NULL;
    ts_npu_command *command = NULL;
    ts_buf pdi = {0}, out = {0};
    ts_txn t = {0};
    ts_array *a;
    ts_err err = {.msg = ""}, why = {.msg = ""};
    if (len < 2) return 0;
    uint64_t seed = data[0];
    size_t n_edits = data[1] & 7;
    build(&pdi);
    for (data += 2, len -= 2; n_edits && len >= EDIT; n_edits--, data += EDIT, len -= EDIT) {
        size_t at = LIST_AT + 4 * (size_t)(data[0] | data[1] << 8);
        if (at + 4 <= pdi.len) memcpy(pdi.data + at, data + 2, 4);
    }
    uint32_t waits = operations(&t, data, len < 9 * 64 ? len : 9 * 64);
    if (ts_txn_finish(&t, &ts_npu1, 1, &out, NULL) != TS_OK) abort();
    /* what the last wait waits for cannot have come back before the input has gone in */
    ts_claim claim = {.wait = waits - 1, .dir = TS_MM2S};
    bool good = ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, NULL, 0, NULL, &err) == TS_OK;
    bool run = good && ts_npu_command_check(&command, config, out.data, out.len, bytes, 3, &claim, waits > 0, NULL,
                                            &err) == TS_OK;
    if (ts_array_new(&a, &(ts_array_options){.n_cols = 1, .seed = seed, .max_cycles = 4000000, .strict = good}, &err) !=
        TS_OK)
        abort();
    ts_status s = ts_array_load(a, pdi.data, pdi.len, &why);
    if (good && s != TS_OK) {
        fprintf(stderr, "a checked configuration: %s\n", why.msg);
        abort();
    }
    for (int i = 0; i < 2 && s == TS_OK; i++) { /* the second time from where the first has left it */
        s = ts_array_run(a, out.data, out.len, args, 3, &host, NULL, &why);
        if (run && (s != TS_OK || ts_array_mishaps(a))) {
            fprintf(stderr, "a checked command: %s\n%s\n", why.msg, ts_array_report(a));
            abort();
        }
        if (s != TS_OK && !why.msg[0]) abort();
    }
    ts_array_free(a);
    ts_npu_command_free(command);
    ts_npu_config_free(config);
    ts_txn_free(&t);
    ts_buf_free(&out);
    ts_buf_free(&pdi);
    return 0;
}
