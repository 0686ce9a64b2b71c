/* A good configuration with words changed: the static checker answers, whatever they are. An input is a list of
 * edits, two bytes for which word of the command list and four for its new value. */
#include "xdna/check.h"
#include "xdna/design.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A memtile ring, packets from a core into the shim, a multicast: every kind of register. */
static void build(ts_buf *pdi) {
    ts_design *d;
    static const uint32_t code[4];
    if (ts_design_new(&d, &ts_npu1, 2, NULL) != TS_OK) abort();
    ts_tile shim = ts_tile_at(0, 0), mem = ts_tile_at(0, 1), core = ts_tile_at(0, 2),
            far_core = ts_tile_at(1, 3);
    ts_tile_buf a = ts_design_buffer(d, mem, "a", 1024, TS_ANY_BANK),
                x = ts_design_buffer(d, core, "x", 1024, 0), y = ts_design_buffer(d, core, "y", 256, 1),
                z = ts_design_buffer(d, far_core, "z", 512, 2);
    ts_tile_lock l[2] = {ts_design_lock(d, mem, "e", 1), ts_design_lock(d, mem, "f", 0)};
    ts_design_dma(d, mem, TS_S2MM, 0, (ts_ring_step[]){{.buffer = a, .acquire = l[0], .release = l[1]}}, 1);
    ts_design_dma(d, mem, TS_MM2S, 1, (ts_ring_step[]){{.buffer = a, .acquire = l[1], .release = l[0]}}, 1);
    ts_design_program(d, core, code, sizeof code);
    ts_tile_lock c = ts_design_lock(d, core, "c", 1), c2 = ts_design_lock(d, core, "c2", 0);
    ts_design_dma(d, core, TS_S2MM, 0, (ts_ring_step[]){{.buffer = x, .acquire = c, .release = c2}}, 1);
    ts_design_dma(d, core, TS_MM2S, 1, (ts_ring_step[]){{.buffer = y, .packet = true, .packet_id = 3}}, 1);
    ts_design_dma(d, far_core, TS_S2MM, 1, (ts_ring_step[]){{.buffer = z}}, 1);
    ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1);
    ts_design_flow(d, ts_end_dma(mem, 1), (ts_end[]){ts_end_dma(core, 0), ts_end_dma(far_core, 1)}, 2);
    ts_design_packets(d, 3, ts_end_dma(core, 1), (ts_end[]){ts_end_dma(shim, 1)}, 1, true);
    if (ts_design_finish(d, pdi, NULL, NULL) != TS_OK) abort();
    ts_design_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    enum { LIST_AT = 0x150 + 20, EDIT = 6 };
    ts_buf pdi = {0};
    ts_npu_config *config = NULL;
    ts_rule rule;
    ts_err err = {.msg = ""};
    build(&pdi);
    for (; len >= EDIT; data += EDIT, len -= EDIT) {
        size_t at = LIST_AT + 4 * (size_t)(data[0] | data[1] << 8);
        if (at + 4 <= pdi.len) memcpy(pdi.data + at, data + 2, 4);
    }
    ts_core_use use = {.core = {0, 2}, .tile = {0, 2}, .lock = 1, .acquire = 1};
    for (int n_uses = 0; n_uses < 2; n_uses++) {
        ts_status s = ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 2, &use, (size_t)n_uses, &rule, &err);
        /* a broken rule has a name and a line, and nothing else fails */
        if (s != TS_OK && (s != TS_E_INVAL || rule == TS_RULE_NONE || !err.msg[0])) abort();
        if (s == TS_OK) ts_npu_config_free(config);
    }
    ts_buf_free(&pdi);
    return 0;
}
