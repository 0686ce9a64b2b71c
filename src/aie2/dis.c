/* dis.c - program memory to bundles, listings and maps. */
#include "aie2/asm.h"

#include <inttypes.h>
#include <string.h>

ts_status ts_aie2_disassemble(ts_aie2_program *p, const uint8_t *code, size_t len, uint32_t base, size_t *n_unknown,
                              ts_err *err) {
    *p = (ts_aie2_program){0};
    size_t unknown = 0;
    if (!ts_buf_append(&p->code, code, len)) goto nomem;
    for (size_t at = 0; at < len;) {
        ts_err why;
        if (!ts_grow((void **)&p->line, &p->cap_lines, p->n_lines + 1, sizeof *p->line)) goto nomem;
        ts_aie2_line *l = &p->line[p->n_lines];
        *l = (ts_aie2_line){.addr = (uint32_t)(base + at)};
        if (ts_aie2_bundle_decode(&l->b, code + at, len - at, &why) != TS_OK) {
            unknown++;
            if (!ts_buf_printf(&p->messages, "0x%05zx: %s\n", base + at, why.msg)) goto nomem;
            at += 2;
            continue;
        }
        for (int s = 0; s < TS_SLOTS; s++)
            if (l->b.set >> s & 1 && !ts_aie2_is_nop((ts_aie2_slot)s, &l->b.inst[s])) l->busy |= (uint8_t)(1u << s);
        at += l->b.bytes;
        p->n_lines++;
    }
    *n_unknown = unknown;
    return TS_OK;
nomem:
    ts_aie2_program_free(p);
    return ts_fail(err, TS_E_NOMEM, "out of memory while disassembling");
}

bool ts_aie2_listing(ts_buf *out, const ts_aie2_program *p) {
    size_t sym = 0;
    bool ok = true;
    for (size_t i = 0; i < p->n_lines && ok; i++) {
        const ts_aie2_line *l = &p->line[i];
        for (sym = 0; sym < p->n_syms && ok; sym++)
            if (p->sym[sym].is_code && p->sym[sym].value == l->addr) ok = ts_buf_printf(out, "%s:\n", p->sym[sym].name);
        ok = ok && ts_buf_printf(out, "%05x %5zu  ", l->addr, i);
        for (int k = 0; k < TS_BUNDLE_BYTES && ok; k++) {
            if (k < l->b.bytes) ok = ts_buf_printf(out, "%02x", (unsigned char)p->code.data[l->addr - p->line[0].addr + k]);
            else ok = ts_buf_puts(out, "  ");
        }
        ok = ok && ts_buf_puts(out, "  ") && ts_aie2_bundle_print(out, &l->b) && ts_buf_putc(out, '\n');
    }
    return ok;
}

bool ts_aie2_map(ts_buf *out, const ts_aie2_program *p) {
    bool ok = ts_buf_printf(out, "program %zu bytes of %d, %zu bundles\n", p->code.len, TS_AIE2_PM_BYTES, p->n_lines);
    for (size_t i = 0; i < p->n_data && ok; i++)
        ok = ts_buf_printf(out, "data    0x%05x %zu bytes\n", p->data[i].addr, p->data[i].bytes.len);
    for (size_t i = 0; i < p->n_syms && ok; i++) {
        const ts_aie2_symbol *s = &p->sym[i];
        ok = ts_buf_printf(out, "%-5s   0x%05" PRIx64 " %s%s\n", s->is_code ? "code" : s->is_data ? "data" : "equ",
                           (uint64_t)s->value, s->name,
                           s->loop_start ? " (loop start)" : s->loop_end ? " (loop end)" : "");
    }
    return ok;
}
