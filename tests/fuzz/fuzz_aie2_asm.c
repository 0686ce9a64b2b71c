/* Any text: the assembler accepts or refuses it. What it accepts disassembles and assembles to the same bytes. */
#include "aie2/asm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_aie2_program p, dis, again;
    ts_buf text = {0};
    ts_err err;
    size_t unknown;
    if (len > 20000) return 0;
    ts_status e = ts_aie2_assemble(&p, "fuzz", (const char *)data, len, NULL, &err);
    if (e != TS_OK && e != TS_E_FORMAT) abort();
    if (e == TS_E_FORMAT && (!p.messages.len || !p.n_errors)) abort();
    if (e == TS_OK && p.code.len) {
        if (ts_aie2_disassemble(&dis, (const uint8_t *)p.code.data, p.code.len, 0, &unknown, &err) != TS_OK || unknown)
            abort();
        for (size_t i = 0; i < dis.n_lines; i++)
            if (!ts_aie2_bundle_print(&text, &dis.line[i].b) || !ts_buf_putc(&text, '\n')) abort();
        ts_aie2_asm_opts opts = {.no_hazards = true};
        if (ts_aie2_assemble(&again, "again", text.data, text.len, &opts, &err) != TS_OK) abort();
        if (again.code.len != p.code.len || memcmp(again.code.data, p.code.data, p.code.len) != 0) abort();
        ts_aie2_program_free(&again);
        ts_aie2_program_free(&dis);
        ts_buf_clear(&text);
        if (!ts_aie2_listing(&text, &p) || !ts_aie2_map(&text, &p)) abort();
    }
    ts_buf_free(&text);
    ts_aie2_program_free(&p);
    return 0;
}
