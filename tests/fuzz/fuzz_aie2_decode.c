/* Any bytes as program memory: they disassemble or are counted as unknown, and the core model runs or refuses them. */
#include "aie2/asm.h"
#include "aie2/core.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool yes(void *ud, unsigned lock, int32_t value) {
    (void)ud, (void)lock;
    return value != 1;
}
static bool word_in(void *ud, uint32_t *word, bool *tlast) {
    *word = (uint32_t)(uintptr_t)ud;
    *tlast = true;
    return true;
}
static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    (void)ud, (void)pc;
    if (reg >= TS_REGS) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static uint8_t memory[2][TS_AIE2_DM_BYTES];
    ts_aie2_program p;
    ts_aie2_core core;
    ts_buf text = {0};
    ts_err err;
    size_t unknown, at = 0;
    if (len > TS_AIE2_PM_BYTES) len = TS_AIE2_PM_BYTES;
    if (ts_aie2_disassemble(&p, data, len, 0, &unknown, &err) != TS_OK) abort();
    for (size_t i = 0; i < p.n_lines; i++) {
        uint8_t bytes[TS_BUNDLE_BYTES];
        const ts_aie2_bundle *b = &p.line[i].b;
        if (p.line[i].addr < at || ts_aie2_bundle_encode(b, bytes, &err) != TS_OK) abort();
        if (b->plain && memcmp(bytes, data + p.line[i].addr, b->bytes) != 0) abort();
        if (!ts_aie2_bundle_print(&text, b)) abort();
        at = p.line[i].addr + b->bytes;
    }
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
    ts_aie2_outside out = {.acquire = yes, .release = yes, .stream_read = word_in, .undefined = undefined};
    out.mem[TS_AIE2_OWN] = memory[0];
    out.mem[TS_AIE2_NORTH] = memory[1];
    if (ts_aie2_core_init(&core, &out, &err) != TS_OK) abort();
    core.check_undefined = true;
    if (ts_aie2_core_load(&core, 0, data, len, &err) != TS_OK) abort();
    ts_aie2_core_set32(&core, TS_R_p0, 0x70000);
    for (int i = 0; i < 40; i++) {
        ts_aie2_event e = ts_aie2_core_run(&core, 50);
        if (e == TS_AIE2_DONE || e == TS_AIE2_ERROR) break;
    }
    ts_aie2_core_drain(&core, 16);
    ts_aie2_core_fini(&core);
    return 0;
}
