/* asm_layout.c - the assembler's second half: bundle sizes, addresses, values of labels, bytes.
 *
 * A loop starts and ends on a 16-byte boundary and its last bundle is a full one; the fetch unit needs the end address
 * early. Nothing is inserted for that: earlier bundles take a larger format, which costs bytes but no cycle. */
#include "aie2/asm_int.h"

#include <string.h>

enum {
    FETCH_BYTES = 16,
    /* LC, LS and LE are set at least this far before the LE bundle: seven fetch words. Production code keeps six. */
    LOOP_LEAD_BYTES = 7 * FETCH_BYTES,
};

typedef struct layout {
    ts_asm *as;
    uint8_t *align;    /* [n_lines + 1] bytes, 0: none */
    uint8_t *size;     /* [n_lines] */
    uint8_t *full;     /* [n_lines] 1: a loop's last bundle */
    const char **why;  /* [n_lines + 1] source position of the alignment */
} layout;

/* ---- labels and expressions -------------------------------------------------------------------------------------- */

/* Give every code label the value of its place: real addresses, or while these are unknown the bundle's number << 8. */
static void place_labels(layout *l, bool numbers) {
    ts_aie2_program *p = l->as->p;
    for (size_t i = 0; i < l->as->n_bind; i++) {
        const ts_asm_bind *b = &l->as->bind[i];
        if (b->align) continue;
        p->sym[b->symbol].value = numbers ? (int64_t)b->line << 8
                                  : b->line < p->n_lines ? p->line[b->line].addr
                                                         : (int64_t)p->code.len;
    }
    if (numbers)
        for (size_t i = 0; i < p->n_lines; i++) p->line[i].addr = (uint32_t)i << 8;
}

static bool evaluate(ts_asm *as, const ts_asm_fixup *f, int64_t *value) {
    bool known;
    as->pos = f->expr;
    as->end = f->end;
    as->n_stmts = f->at;
    return ts_asm_expr(as, true, value, &known);
}

static bool is_loop_reg(const ts_aie2_inst *inst, ts_aie2_reg reg) {
    return inst->id == TS_I_MOVXM_lng_cg && inst->v[0] == (int32_t)reg;
}

static void want_alignment(layout *l, size_t line, unsigned bytes, const char *why) {
    if (l->align[line] < bytes) {
        l->align[line] = (uint8_t)bytes;
        l->why[line] = why;
    }
}

/* Find the loops (movxm ls/le with a label) and note what they ask of the layout. */
static bool find_loops(layout *l) {
    ts_asm *as = l->as;
    place_labels(l, true);
    for (size_t i = 0; i < as->n_fix; i++) {
        const ts_asm_fixup *f = &as->fix[i];
        const ts_aie2_inst *inst = &as->p->line[f->line].b.inst[f->slot];
        bool start = is_loop_reg(inst, TS_R_LS), end = is_loop_reg(inst, TS_R_LE);
        int64_t v;
        if (!start && !end) continue;
        if (!evaluate(as, f, &v)) return false;
        if (v < 0 || v & 0xff || v >> 8 >= (int64_t)as->p->n_lines) {
            ts_asm_error(as, f->expr, "this must be the label of a bundle: the %s of the loop",
                         start ? "first one" : "last one");
            return false;
        }
        want_alignment(l, (size_t)(v >> 8), FETCH_BYTES, f->expr);
        if (end) l->full[v >> 8] = 1;
        for (size_t s = 0; s < as->p->n_syms; s++) {
            ts_aie2_symbol *sym = &as->p->sym[s];
            if (!sym->is_code || sym->value != v) continue;
            if (start) sym->loop_start = true;
            else sym->loop_end = true;
        }
    }
    return true;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* The next larger size that a format offers for the line's slots, 0: none. */
static unsigned grown(const ts_aie2_line *line, unsigned size) {
    int f = size < TS_BUNDLE_BYTES ? ts_aie2_format_find(line->b.set, (int)size + 2) : -1;
    return f < 0 ? 0 : ts_aie2_formats[f].bytes;
}

/* Grow lines [from, to) by exactly `pad` bytes, the last ones first. False: no formats do that. */
static bool grow_exactly(layout *l, size_t from, size_t to, unsigned pad) {
    if (!pad) return true;
    if (from == to) return false;
    size_t i = to - 1;
    unsigned old = l->size[i];
    for (unsigned size = old; size && size - old <= pad; size = grown(&l->as->p->line[i], size)) {
        l->size[i] = (uint8_t)size;
        if (size - old == pad) return true;
    }
    /* as much as fits here, the rest before it */
    for (unsigned size = l->size[i]; size >= old; size -= 2) {
        int f = ts_aie2_format_find(l->as->p->line[i].b.set, (int)size);
        if (f < 0 || ts_aie2_formats[f].bytes != size) continue;
        l->size[i] = (uint8_t)size;
        if (grow_exactly(l, from, i, pad - (size - old))) return true;
    }
    l->size[i] = (uint8_t)old;
    return false;
}

/* Keep the writes of LC, LS and LE far enough before the LE bundle, by size if it takes that. */
static bool keep_lead(layout *l) {
    ts_asm *as = l->as;
    for (size_t i = 0; i < as->n_fix; i++) {
        const ts_asm_fixup *f = &as->fix[i];
        int64_t v;
        if (!is_loop_reg(&as->p->line[f->line].b.inst[f->slot], TS_R_LE) || !evaluate(as, f, &v)) continue;
        size_t end = (size_t)(v >> 8), set = f->line;
        if (end <= set) continue; /* a loop around the setting: the checker looks at it */
        unsigned lead = 0, most = 0;
        for (size_t k = set; k < end; k++) {
            lead += l->size[k];
            most += TS_BUNDLE_BYTES;
        }
        if (most < LOOP_LEAD_BYTES) {
            ts_asm_error(as, f->expr,
                         "the loop's end is set only %zu bundles before its last one; %d bytes of program must lie "
                         "between: put %zu more bundles there",
                         end - set, LOOP_LEAD_BYTES, (size_t)(LOOP_LEAD_BYTES - most + 15) / 16);
            return false;
        }
        for (size_t k = end; lead < LOOP_LEAD_BYTES && k-- > set;) {
            for (unsigned size; lead < LOOP_LEAD_BYTES && (size = grown(&as->p->line[k], l->size[k]));) {
                lead += size - l->size[k];
                l->size[k] = (uint8_t)size;
            }
        }
    }
    return true;
}

static bool assign_addresses(layout *l) {
    ts_asm *as = l->as;
    ts_aie2_program *p = as->p;
    uint32_t addr = 0;
    size_t aligned = 0; /* lines before this one keep their sizes */
    for (size_t i = 0; i <= p->n_lines; i++) {
        unsigned a = l->align[i];
        if (a) {
            unsigned pad = -addr & (a - 1);
            /* the last dozen bundles have more room than is ever needed, and bound the search */
            if (!grow_exactly(l, i - aligned > 12 ? i - 12 : aligned, i, pad)) {
                ts_asm_error(as, l->why[i],
                             "cannot align here: the bundles before it have no larger format; put a nop there");
                return false;
            }
            addr += pad;
            aligned = i;
        }
        if (i < p->n_lines) addr += l->size[i];
    }
    addr = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        p->line[i].addr = addr;
        addr += l->size[i];
    }
    if (addr > TS_AIE2_PM_BYTES) {
        ts_asm_error(as, p->line[p->n_lines - 1].text, "the program takes %u bytes; the core has %d", addr,
                     TS_AIE2_PM_BYTES);
        return false;
    }
    p->code.len = 0;
    if (!ts_buf_reserve(&p->code, addr + 1)) {
        as->nomem = true;
        return false;
    }
    p->code.len = addr;
    return true;
}

/* ---- values and bytes -------------------------------------------------------------------------------------------- */

static bool resolve(layout *l) {
    ts_asm *as = l->as;
    place_labels(l, false);
    for (size_t i = 0; i < as->n_fix; i++) {
        const ts_asm_fixup *f = &as->fix[i];
        ts_aie2_inst *inst = &as->p->line[f->line].b.inst[f->slot];
        const ts_aie2_operand *op = &ts_aie2_insns[inst->id].op[f->operand];
        int64_t v, lo, hi;
        if (!evaluate(as, f, &v)) continue;
        if (!ts_aie2_imm_fits(op, v, &lo, &hi))
            ts_asm_error(as, f->expr, "%lld does not fit: multiples of %d from %lld to %lld", (long long)v, op->step,
                         (long long)lo, (long long)hi);
        inst->v[f->operand] = (int32_t)v;
    }
    return !as->p->n_errors;
}

static bool emit(layout *l) {
    ts_aie2_program *p = l->as->p;
    for (size_t i = 0; i < p->n_lines; i++) {
        ts_aie2_line *line = &p->line[i];
        ts_aie2_bundle b;
        ts_err err;
        int format = ts_aie2_format_find(line->b.set, l->size[i]);
        ts_aie2_bundle_nops(&b, format);
        for (int s = 0; s < TS_SLOTS; s++)
            if (line->b.set >> s & 1) b.inst[s] = line->b.inst[s];
        line->b = b;
        uint8_t bytes[TS_BUNDLE_BYTES];
        if (ts_aie2_bundle_encode(&b, bytes, &err) != TS_OK) {
            ts_asm_error(l->as, line->text, "%s", err.msg);
            return false;
        }
        memcpy(p->code.data + line->addr, bytes, b.bytes);
    }
    if (p->code.data) p->code.data[p->code.len] = 0;
    return true;
}

bool ts_asm_layout(ts_asm *as) {
    ts_aie2_program *p = as->p;
    size_t n = p->n_lines;
    layout l = {.as = as,
                .align = ts_calloc(n + 1, 1),
                .size = ts_calloc(n + 1, 1),
                .full = ts_calloc(n + 1, 1),
                .why = ts_calloc(n + 1, sizeof *l.why)};
    bool ok = false;
    if (!l.align || !l.size || !l.full || !l.why) {
        as->nomem = true;
        goto out;
    }
    for (size_t i = 0; i < as->n_bind; i++)
        if (as->bind[i].align) want_alignment(&l, as->bind[i].line, as->bind[i].align, as->bind[i].pos);
    if (!find_loops(&l)) goto out;
    for (size_t i = 0; i < n; i++) {
        int f = ts_aie2_format_find(p->line[i].b.set, l.full[i] ? TS_BUNDLE_BYTES : 0);
        if (f < 0) {
            ts_asm_error(as, p->line[i].text,
                         "the last bundle of a loop must be 16 bytes; no format of that size has these slots");
            goto out;
        }
        l.size[i] = ts_aie2_formats[f].bytes;
    }
    ok = keep_lead(&l) && assign_addresses(&l) && resolve(&l) && emit(&l);
out:
    ts_free(l.align);
    ts_free(l.size);
    ts_free(l.full);
    ts_free(l.why);
    return ok;
}
