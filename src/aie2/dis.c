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

/* The source of a line on one line, or the bundle's own text where there is none. */
static bool put_source(ts_buf *out, const ts_aie2_line *l) {
    if (!l->text) return ts_aie2_bundle_print(out, &l->b);
    bool space = false;
    for (uint32_t i = 0; i < l->text_len; i++) {
        char c = l->text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = true;
            continue;
        }
        if (c == '/' && i + 1 < l->text_len && l->text[i + 1] == '/') { /* a comment at the end of a continued line */
            while (i + 1 < l->text_len && l->text[i + 1] != '\n') i++;
            continue;
        }
        if (space && !ts_buf_putc(out, ' ')) return false;
        space = false;
        if (!ts_buf_putc(out, c)) return false;
    }
    return true;
}

/* Registers of one kind as runs: "r0-r3 r16". */
static bool put_regs(ts_buf *out, const char *what, const uint8_t set[(TS_REGS + 7) / 8]) {
    bool ok = ts_buf_puts(out, what);
    for (int r = 0; r < TS_REGS && ok; r++) {
        int last = r;
        if (!(set[r / 8] >> r % 8 & 1)) continue;
        while (last + 1 < TS_REGS && set[(last + 1) / 8] >> (last + 1) % 8 & 1 &&
               ts_aie2_regs[last + 1].kind == ts_aie2_regs[r].kind &&
               ts_aie2_regs[last + 1].num == ts_aie2_regs[last].num + 1)
            last++;
        ok = ts_buf_printf(out, last > r ? " %s-%s" : " %s", ts_aie2_regs[r].name, ts_aie2_regs[last].name);
        r = last;
    }
    return ok && ts_buf_putc(out, '\n');
}

static bool put_loop(ts_buf *out, const ts_aie2_program *p, const ts_aie2_loop *l) {
    bool ok = ts_buf_printf(out, "loop 0x%05x-0x%05x: %u cycle%s a pass", p->line[l->first].addr, p->line[l->last].addr,
                            l->cycles, l->cycles == 1 ? "" : "s");
    if (ok && l->stalls) ok = ts_buf_printf(out, " + %u for bank conflicts", l->stalls);
    if (ok && l->count >= 0)
        ok = ts_buf_printf(out, ", %lld passes, %lld cycles", (long long)l->count,
                           (long long)(l->count * (l->cycles + l->stalls)));
    return ok && ts_buf_puts(out, l->zero_overhead ? "\n" : " (by branch)\n");
}

bool ts_aie2_listing(ts_buf *out, const ts_aie2_program *p) {
    bool ok = true;
    for (size_t i = 0; i < p->n_lines && ok; i++) {
        const ts_aie2_line *l = &p->line[i];
        for (size_t k = 0; k < p->n_syms && ok; k++)
            if (p->sym[k].is_code && p->sym[k].value == l->addr) ok = ts_buf_printf(out, "%s:\n", p->sym[k].name);
        for (size_t k = 0; k < p->n_loops && ok; k++)
            if (p->loop[k].first == i) ok = put_loop(out, p, &p->loop[k]);
        ok = ok && ts_buf_printf(out, "%05x %5zu  ", l->addr, i);
        for (int k = 0; k < TS_BUNDLE_BYTES && ok; k++) {
            size_t at = l->addr - p->line[0].addr + (size_t)k;
            if (k < l->b.bytes) ok = ts_buf_printf(out, "%02x", (unsigned char)p->code.data[at]);
            else ok = ts_buf_puts(out, "  ");
        }
        ok = ok && ts_buf_puts(out, "  ") && put_source(out, l) && ts_buf_putc(out, '\n');
    }
    ok = ok && ts_buf_putc(out, '\n');
    for (size_t k = 0; k < p->n_loops && ok; k++)
        ok = put_loop(out, p, &p->loop[k]) && put_regs(out, "  live in it:", p->loop[k].live);
    ok = ok && put_regs(out, "registers named:", p->named);
    return ok &&
           ts_buf_printf(out, "program: %zu bytes of %d, %zu bundles\n", p->code.len, TS_AIE2_PM_BYTES, p->n_lines);
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
