/* asm.c - the assembler's statements: labels, directives, bundles of instructions. */
#include "aie2/asm.h"

#include "aie2/asm_int.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_STATEMENTS = 1 << 20, MAX_DATA_BYTES = 1 << 20, MAX_DEPTH = 16, MAX_ERRORS = 50 };

/* ---- small growth helpers: out of memory is sticky and ends the run ---------------------------------------------- */

#define APPEND(as, array, n, cap) append(as, (void **)&(array), &(n), &(cap), sizeof *(array))

/* A zeroed new last element, or NULL with as->nomem set. */
static void *append(ts_asm *as, void **array, size_t *n, size_t *cap, size_t size) {
    if (!ts_grow(array, cap, *n + 1, size)) {
        as->nomem = true;
        return NULL;
    }
    void *at = (char *)*array + *n * size;
    memset(at, 0, size);
    ++*n;
    return at;
}

/* ---- matching one instruction ------------------------------------------------------------------------------------ */

/* The best failure so far: the one that got furthest in the text. */
typedef struct miss {
    const char *at;
    char why[200];
} miss;

TS_PRINTF(3, 4) static void note_miss(miss *m, const char *at, const char *fmt, ...) {
    if (m->at && at <= m->at) return;
    m->at = at;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
}

typedef struct operand_text {
    const char *expr, *end; /* an immediate that is not known yet */
} operand_text;

static bool parse_register(ts_asm *as, const ts_aie2_operand *op, int32_t *v, miss *m) {
    const char *at = as->pos;
    size_t len = ts_asm_word(as);
    if (at + len < as->end && at[len] == ':') { /* r17:r16 */
        as->pos += len + 1;
        size_t more = ts_asm_word(as);
        as->pos = at;
        if (more) len += 1 + more;
    }
    ts_aie2_reg reg = len ? ts_aie2_reg_find(at, len) : TS_REGS;
    if (reg == TS_REGS) {
        note_miss(m, at, len ? "\"%.*s\" is not a register" : "a register is missing here%.*s",
                  len > 40 ? 40 : (int)len, at);
        return false;
    }
    /* a 3D modifier may be written by its first half, d0 for d0_3d */
    if (ts_aie2_regs[reg].kind == TS_K_D && op->cls == TS_C_eDS && ts_aie2_regs[reg].num < 4)
        reg = (ts_aie2_reg)(TS_R_d0_3d + ts_aie2_regs[reg].num);
    if (ts_aie2_class_code(op->cls, reg) < 0) {
        const ts_aie2_classinfo *c = &ts_aie2_classes[op->cls];
        char all[120] = "";
        size_t n = 0;
        int shown = 0;
        for (unsigned code = 0; code < 1u << c->bits && shown < 8; code++)
            if (c->reg_of[code] && n < sizeof all - 16)
                n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", shown++ ? ", " : "",
                                      ts_aie2_reg_print((ts_aie2_reg)(c->reg_of[code] - 1)));
        note_miss(m, at, "%s cannot stand here; it takes %s%s", ts_aie2_reg_print(reg), all, c->n > 8 ? ", ..." : "");
        return false;
    }
    as->pos += len;
    *v = reg;
    return true;
}

static bool parse_immediate(ts_asm *as, const ts_aie2_operand *op, int32_t *v, operand_text *later, miss *m) {
    const char *at = as->pos;
    bool hash = as->pos < as->end && *as->pos == '#';
    if (hash) {
        as->pos++;
        ts_asm_skip(as);
    } else {
        /* without "#" a name may be a register of another form of the instruction */
        size_t len = ts_asm_word(as);
        if (len && ts_aie2_reg_find(at, len) != TS_REGS && !ts_asm_symbol(as, at, len)) {
            note_miss(m, at, "a number is wanted here, not a register");
            return false;
        }
        if (!len && (as->pos >= as->end || !strchr("(-~+'!", *as->pos))) {
            note_miss(m, at, "a number is missing here");
            return false;
        }
    }
    const char *expr = as->pos;
    int64_t value, lo, hi;
    bool known;
    /* several forms of an instruction read the same text: a syntax error is told once, by whoever comes first */
    if (!ts_asm_expr(as, false, &value, &known)) {
        note_miss(m, as->end + 1, "%s", "");
        return false;
    }
    *later = (operand_text){0};
    *v = 0;
    if (!known && !hash) { /* a label needs its "#": what has none is more likely a register misspelt */
        note_miss(m, at, "\"%.*s\" is not a register", (int)(as->pos - at > 40 ? 40 : as->pos - at), at);
        return false;
    }
    if (!known) {
        *later = (operand_text){expr, as->pos};
        return true;
    }
    if (!ts_aie2_imm_fits(op, value, &lo, &hi)) {
        if (op->step > 1)
            note_miss(m, expr, "%lld does not fit: multiples of %d from %lld to %lld", (long long)value, op->step,
                      (long long)lo, (long long)hi);
        else
            note_miss(m, expr, "%lld does not fit: %lld to %lld", (long long)value, (long long)lo, (long long)hi);
        return false;
    }
    *v = (int32_t)value;
    return true;
}

/* Match the operands of one form. The cursor is behind the mnemonic, and behind the last operand on success. */
static bool match_form(ts_asm *as, unsigned id, ts_aie2_inst *inst, operand_text later[TS_MAX_OPERANDS], miss *m) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[id];
    const char *t = info->text + strcspn(info->text, " ");
    bool seen[TS_MAX_OPERANDS] = {0};
    memset(later, 0, TS_MAX_OPERANDS * sizeof *later);
    *inst = (ts_aie2_inst){.id = (uint16_t)id};
    for (int i = 0; i < info->n_ops; i++)
        if (info->op[i].kind == TS_OP_FIXED) inst->v[i] = info->op[i].reg;
    for (; *t; t++) {
        if (*t == ' ') continue;
        ts_asm_skip(as);
        if (*t != '%') { /* punctuation, or a fixed name: compared in any case, and as a whole word */
            const char *at = as->pos;
            if (as->pos >= as->end || tolower((unsigned char)*as->pos) != tolower((unsigned char)*t)) {
                note_miss(m, at, "\"%c\" is wanted here", *t);
                return false;
            }
            as->pos++;
            bool word = ts_asm_ident(*t);
            while (word && ts_asm_ident(t[1])) {
                if (as->pos >= as->end || tolower((unsigned char)*as->pos) != tolower((unsigned char)t[1])) break;
                as->pos++, t++;
            }
            if (word && (ts_asm_ident(t[1]) || (as->pos < as->end && ts_asm_ident(*as->pos)))) {
                note_miss(m, at, "this operand does not fit");
                return false;
            }
            continue;
        }
        int i = *++t - '0';
        int32_t v;
        const char *at = as->pos;
        operand_text tx = {0};
        if (info->op[i].kind == TS_OP_REG ? !parse_register(as, &info->op[i], &v, m)
                                          : !parse_immediate(as, &info->op[i], &v, &tx, m))
            return false;
        if (seen[i] && v != inst->v[i]) {
            note_miss(m, at, "this must be %s again", ts_aie2_reg_print((ts_aie2_reg)inst->v[i]));
            return false;
        }
        seen[i] = true;
        inst->v[i] = v;
        later[i] = tx;
    }
    const char *at = as->pos;
    if (!ts_asm_at_end(as) && *as->pos != ';' && *as->pos != '@') {
        note_miss(m, at, "the instruction should end here");
        return false;
    }
    return true;
}

static bool is_mnemonic(const char *text, const char *word, size_t len) {
    size_t n = strcspn(text, " ");
    return n == len && !strncasecmp(text, word, len);
}

/* Read one instruction into the line's bundle. false: reported. */
static bool parse_inst(ts_asm *as, ts_aie2_line *line, uint32_t line_index, bool *nop) {
    const char *at = as->pos;
    size_t len = ts_asm_word(as);
    if (!len) {
        ts_asm_error(as, at, "an instruction is missing here");
        return false;
    }
    if (len == 3 && !strncasecmp(at, "nop", 3)) { /* a nop of any size; "nopa" and so on ask for their slot */
        as->pos += len;
        *nop = true;
        return true;
    }
    const char *operands = at + len;
    miss m = {0};
    bool any = false;
    unsigned errors = as->p->n_errors;
    for (unsigned id = 0; id < TS_INSNS; id++) {
        if (!is_mnemonic(ts_aie2_insns[id].text, at, len)) continue;
        any = true;
        ts_aie2_inst inst;
        operand_text later[TS_MAX_OPERANDS];
        as->pos = operands;
        bool match = match_form(as, id, &inst, later, &m);
        if (as->p->n_errors > errors) return false;
        if (!match) continue;
        unsigned slot = ts_aie2_insns[id].slot;
        unsigned taken = slot == TS_SLOT_LNG ? 1u << TS_SLOT_LNG | 1u << TS_SLOT_ALU | 1u << TS_SLOT_MV : 1u << slot;
        if (slot == TS_SLOT_ALU || slot == TS_SLOT_MV) taken |= 1u << TS_SLOT_LNG;
        if (line->b.set & taken) {
            ts_asm_error(as, at, "the %s slot of this bundle is taken already", ts_aie2_slots[slot].name);
            return false;
        }
        line->b.set |= (uint8_t)(1u << slot);
        line->b.inst[slot] = inst;
        line->pos[slot] = at;
        if (!ts_aie2_is_nop((ts_aie2_slot)slot, &inst)) line->busy |= (uint8_t)(1u << slot);
        for (int i = 0; i < TS_MAX_OPERANDS; i++) {
            if (!later[i].expr) continue;
            ts_asm_fixup *f = APPEND(as, as->fix, as->n_fix, as->cap_fix);
            if (!f) return false;
            *f = (ts_asm_fixup){line_index, (uint8_t)slot, (uint8_t)i, later[i].expr, later[i].end, as->n_stmts};
        }
        ts_asm_skip(as);
        while (as->pos < as->end && *as->pos == '@') {
            const char *mark = as->pos++;
            size_t n = ts_asm_word(as);
            if (n == 3 && !memcmp(as->pos, "old", 3)) {
                line->old |= (uint8_t)(1u << slot);
            } else {
                ts_asm_error(as, mark, "the only mark is @old");
                return false;
            }
            as->pos += n;
            ts_asm_skip(as);
        }
        return true;
    }
    if (!any) ts_asm_error(as, at, "there is no instruction \"%.*s\"", len > 40 ? 40 : (int)len, at);
    else ts_asm_error(as, m.at <= as->end ? m.at : at, "%s", m.why);
    return false;
}

static bool parse_bundle(ts_asm *as) {
    const char *begin = as->pos;
    ts_aie2_line line = {.text = begin};
    uint32_t index = (uint32_t)as->p->n_lines;
    bool nop = false;
    if (as->in_data) {
        ts_asm_error(as, begin, "an instruction in a data section (.text goes back to the program)");
        return false;
    }
    for (;;) {
        if (!parse_inst(as, &line, index, &nop)) return false;
        if (ts_asm_at_end(as)) break;
        if (*as->pos != ';') {
            ts_asm_error(as, as->pos, "the instruction should end here");
            return false;
        }
        as->pos++;
        if (ts_asm_at_end(as)) { /* a ";" at the end of a line goes on in the next */
            while (ts_asm_at_end(as) && as->pos < as->end) as->pos++;
            if (as->pos >= as->end) break;
        }
    }
    const char *end = as->pos;
    while (end > begin && isspace((unsigned char)end[-1])) end--;
    line.text_len = (uint32_t)(end - begin);
    if (ts_aie2_format_find(line.b.set, 0) < 0) {
        ts_asm_error(as, begin, "no bundle format has all these slots");
        return false;
    }
    /* one format has a slot for the plain nop beside others; a disassembled program may ask for it */
    unsigned with_nop = line.b.set | 1u << TS_SLOT_NOP;
    if (nop && line.b.set && ts_aie2_format_find(with_nop, 0) >= 0) line.b.set = (uint8_t)with_nop;
    ts_aie2_line *l = APPEND(as, as->p->line, as->p->n_lines, as->p->cap_lines);
    if (!l) return false;
    *l = line;
    return true;
}

/* ---- symbols ----------------------------------------------------------------------------------------------------- */

static ts_aie2_symbol *define(ts_asm *as, const char *name, size_t len, bool again) {
    ts_aie2_symbol *s = ts_asm_symbol(as, name, len);
    if (s && !again) {
        ts_asm_error(as, name, "\"%.*s\" is defined already", len > 60 ? 60 : (int)len, name);
        return NULL;
    }
    if (!s && ts_aie2_reg_find(name, len) != TS_REGS) {
        ts_asm_error(as, name, "\"%.*s\" is the name of a register", (int)len, name);
        return NULL;
    }
    if (!s) {
        char *copy = ts_strndup(name, len);
        s = copy ? APPEND(as, as->p->sym, as->p->n_syms, as->p->cap_syms) : NULL;
        if (!s) {
            as->nomem = true;
            ts_free(copy);
            return NULL;
        }
        s->name = copy;
    }
    return s;
}

static ts_aie2_data *data_now(ts_asm *as) {
    return &as->p->data[as->data_now];
}

static void define_label(ts_asm *as, const char *name, size_t len) {
    if (isdigit((unsigned char)*name)) {
        uint32_t n = 0;
        for (size_t i = 0; i < len; i++) {
            if (!isdigit((unsigned char)name[i]) || n > 100000) {
                ts_asm_error(as, name, "a label begins with a letter, or is a small number");
                return;
            }
            n = n * 10 + (uint32_t)(name[i] - '0');
        }
        if (as->in_data) {
            ts_asm_error(as, name, "numbered labels are for the program, not for data");
            return;
        }
        ts_asm_local *l = APPEND(as, as->local, as->n_local, as->cap_local);
        if (l) *l = (ts_asm_local){.at = as->n_stmts, .number = n, .line = (uint32_t)as->p->n_lines};
        return;
    }
    ts_aie2_symbol *s = define(as, name, len, false);
    if (!s) return;
    if (as->in_data) {
        s->is_data = true;
        s->value = data_now(as)->addr + (int64_t)data_now(as)->bytes.len;
        return;
    }
    s->is_code = true;
    ts_asm_bind *b = APPEND(as, as->bind, as->n_bind, as->cap_bind);
    if (b)
        *b = (ts_asm_bind){.line = (uint32_t)as->p->n_lines, .symbol = (uint32_t)(s - as->p->sym), .pos = name};
}

/* ---- directives -------------------------------------------------------------------------------------------------- */

static bool value_now(ts_asm *as, int64_t *v) {
    bool known;
    ts_asm_skip(as);
    return ts_asm_expr(as, true, v, &known);
}

static bool value_in(ts_asm *as, int64_t lo, int64_t hi, int64_t *v) {
    ts_asm_skip(as);
    const char *at = as->pos;
    if (!value_now(as, v)) return false;
    if (*v >= lo && *v <= hi) return true;
    ts_asm_error(as, at, "%lld is outside %lld to %lld", (long long)*v, (long long)lo, (long long)hi);
    return false;
}

static bool comma(ts_asm *as) {
    ts_asm_skip(as);
    if (as->pos >= as->end || *as->pos != ',') return false;
    as->pos++;
    return true;
}

static bool put_data(ts_asm *as, const char *at, const void *bytes, size_t n) {
    if (!as->in_data) {
        ts_asm_error(as, at, "data stands in a data section: .data ADDRESS first");
        return false;
    }
    ts_aie2_data *d = data_now(as);
    if (n > MAX_DATA_BYTES - d->bytes.len) {
        ts_asm_error(as, at, "the data section is too long");
        return false;
    }
    if (!ts_buf_append(&d->bytes, bytes, n)) as->nomem = true;
    return !as->nomem;
}

static void put_numbers(ts_asm *as, size_t size) {
    do {
        ts_asm_skip(as);
        const char *at = as->pos;
        int64_t v, hi = size == 8 ? INT64_MAX : (int64_t)((1ull << (8 * size)) - 1), lo = -(hi / 2) - 1;
        if (size == 8) lo = INT64_MIN;
        if (!value_in(as, lo, hi, &v) || !put_data(as, at, &v, size)) return;
    } while (comma(as));
}

/* .float and .bf16: strtod's syntax; bfloat16 rounds to nearest even */
static void put_floats(ts_asm *as, bool bf16) {
    do {
        ts_asm_skip(as);
        const char *at = as->pos;
        char text[64];
        size_t n = 0;
        while (as->pos < as->end && n < sizeof text - 1 &&
               (ts_asm_ident(*as->pos) || *as->pos == '-' || *as->pos == '+'))
            text[n++] = *as->pos++;
        text[n] = 0;
        char *end;
        float f = strtof(text, &end);
        if (!n || *end) {
            ts_asm_error(as, at, "\"%s\" is not a number", text);
            return;
        }
        uint32_t bits;
        memcpy(&bits, &f, 4);
        if (bf16 && (bits & 0x7fffffff) <= 0x7f800000) bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        else if (bf16) bits = bits >> 16 | 0x40;
        if (!put_data(as, at, &bits, bf16 ? 2 : 4)) return;
    } while (comma(as));
}

static bool parse_string(ts_asm *as, ts_buf *out) {
    ts_asm_skip(as);
    const char *at = as->pos;
    if (as->pos >= as->end || *as->pos != '"') {
        ts_asm_error(as, at, "a \"string\" is missing here");
        return false;
    }
    for (as->pos++; as->pos < as->end && *as->pos != '"' && *as->pos != '\n'; as->pos++) {
        char c = *as->pos;
        if (c == '\\' && as->end - as->pos > 1) {
            c = *++as->pos;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c;
        }
        if (!ts_buf_putc(out, c)) as->nomem = true;
    }
    if (as->pos >= as->end || *as->pos != '"') {
        ts_asm_error(as, at, "this string is not closed");
        return false;
    }
    as->pos++;
    return !as->nomem;
}

static void open_data(ts_asm *as, int64_t addr) {
    ts_aie2_data *d = APPEND(as, as->p->data, as->p->n_data, as->p->cap_data);
    if (!d) return;
    d->addr = (uint32_t)addr;
    as->data_now = as->p->n_data - 1;
    as->in_data = true;
}

static void align(ts_asm *as, const char *at) {
    int64_t n;
    if (!value_in(as, 2, 4096, &n)) return;
    if (n & (n - 1)) {
        ts_asm_error(as, at, ".align takes a power of two");
        return;
    }
    if (as->in_data) {
        static const char zeros[4096];
        ts_aie2_data *d = data_now(as);
        put_data(as, at, zeros, (size_t)(-(d->addr + d->bytes.len) & (uint64_t)(n - 1)));
        return;
    }
    if (n > 16) {
        ts_asm_error(as, at, "the program can be aligned to 16 bytes, not more");
        return;
    }
    ts_asm_bind *b = APPEND(as, as->bind, as->n_bind, as->cap_bind);
    if (b) *b = (ts_asm_bind){.line = (uint32_t)as->p->n_lines, .align = (uint32_t)n, .pos = at};
}

static void include(ts_asm *as, const char *at) {
    ts_buf path = {0};
    ts_err err = {0};
    if (!parse_string(as, &path)) goto out;
    if (!as->opts || !as->opts->include) {
        ts_asm_error(as, at, ".include is not possible here");
        goto out;
    }
    if (as->depth >= MAX_DEPTH) {
        ts_asm_error(as, at, "files include each other more than %d deep", MAX_DEPTH);
        goto out;
    }
    struct ts_asm_source *s = APPEND(as, as->p->source, as->p->n_sources, as->p->cap_sources);
    if (!s) goto out;
    s->name = ts_strndup(path.data ? path.data : "", path.len);
    if (!s->name || !ts_buf_puts(&s->text, "")) {
        as->nomem = true;
        goto out;
    }
    ts_status e = as->opts->include(as->opts->ud, s->name, &s->text, &err);
    if (e == TS_E_NOMEM) as->nomem = true;
    else if (e != TS_OK) ts_asm_error(as, at, "%s", err.msg);
    if (e != TS_OK) goto out;
    const char *text = s->text.data;
    as->depth++;
    ts_asm_run(as, text, text + s->text.len);
    as->depth--;
out:
    ts_buf_free(&path);
}

/* The text up to the .endr of this .rept; the cursor goes behind it. NULL: reported. */
static const char *find_endr(ts_asm *as, const char *at) {
    int open = 1;
    while (as->pos < as->end) {
        const char *nl = memchr(as->pos, '\n', (size_t)(as->end - as->pos));
        as->pos = nl ? nl + 1 : as->end;
        const char *line = as->pos;
        while (as->pos < as->end && (*as->pos == ' ' || *as->pos == '\t')) as->pos++;
        size_t len = ts_asm_word(as);
        if (len == 5 && !strncasecmp(as->pos, ".rept", 5)) open++;
        if (len == 5 && !strncasecmp(as->pos, ".endr", 5) && !--open) {
            as->pos += 5;
            return line;
        }
    }
    ts_asm_error(as, at, "this .rept has no .endr");
    return NULL;
}

static void rept(ts_asm *as, const char *at) {
    int64_t n;
    if (!value_in(as, 0, 65536, &n)) return;
    if (!ts_asm_at_end(as)) {
        ts_asm_error(as, as->pos, "nothing may stand behind the count");
        return;
    }
    const char *body = as->pos, *last = find_endr(as, at), *after = as->pos;
    if (!last) return;
    if (as->depth >= MAX_DEPTH) {
        ts_asm_error(as, at, ".rept is nested more than %d deep", MAX_DEPTH);
        return;
    }
    as->depth++;
    for (int64_t i = 0; i < n && ts_asm_run(as, body, last); i++) {}
    as->depth--;
    as->pos = after;
}

static void equ(ts_asm *as, bool again) {
    ts_asm_skip(as);
    const char *name = as->pos;
    size_t len = ts_asm_word(as);
    if (!len || isdigit((unsigned char)*name)) {
        ts_asm_error(as, name, "a name is missing here");
        return;
    }
    as->pos += len;
    int64_t v;
    if (!comma(as)) {
        ts_asm_error(as, as->pos, "a comma and a value are missing here");
        return;
    }
    if (!value_now(as, &v)) return;
    ts_aie2_symbol *s = define(as, name, len, again);
    if (!s) return;
    if (s->is_code || s->is_data) ts_asm_error(as, name, "\"%s\" is a label", s->name);
    else s->value = v;
}

static void directive(ts_asm *as) {
    const char *at = as->pos;
    size_t len = ts_asm_word(as);
    char name[16];
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), at);
    for (char *c = name; *c; c++) *c = (char)tolower((unsigned char)*c);
    as->pos += len;
    int64_t v, fill = 0;
    if (!strcmp(name, ".equ")) equ(as, false);
    else if (!strcmp(name, ".set")) equ(as, true);
    else if (!strcmp(name, ".rept")) rept(as, at);
    else if (!strcmp(name, ".endr")) ts_asm_error(as, at, "there is no .rept open");
    else if (!strcmp(name, ".include")) include(as, at);
    else if (!strcmp(name, ".align")) align(as, at);
    else if (!strcmp(name, ".text")) as->in_data = false;
    else if (!strcmp(name, ".byte")) put_numbers(as, 1);
    else if (!strcmp(name, ".short")) put_numbers(as, 2);
    else if (!strcmp(name, ".word") || !strcmp(name, ".long")) put_numbers(as, 4);
    else if (!strcmp(name, ".quad")) put_numbers(as, 8);
    else if (!strcmp(name, ".float")) put_floats(as, false);
    else if (!strcmp(name, ".bf16")) put_floats(as, true);
    else if (!strcmp(name, ".data")) {
        if (!ts_asm_at_end(as)) {
            if (value_in(as, 0x40000, 0x7ffff, &v)) open_data(as, v);
        } else if (as->p->n_data) {
            as->in_data = true;
        } else {
            ts_asm_error(as, at, "the first .data needs an address, 0x70000 to 0x7ffff for the core's own memory");
        }
    } else if (!strcmp(name, ".space")) {
        if (!value_in(as, 0, MAX_DATA_BYTES, &v)) return;
        if (comma(as) && !value_in(as, -128, 255, &fill)) return;
        for (char c = (char)fill; v > 0 && put_data(as, at, &c, 1); v--) {}
    } else if (!strcmp(name, ".ascii")) {
        ts_buf s = {0};
        if (parse_string(as, &s)) put_data(as, at, s.data ? s.data : "", s.len);
        ts_buf_free(&s);
    } else if (!strcmp(name, ".global") || !strcmp(name, ".globl")) {
        while (!ts_asm_at_end(as)) as->pos++;
    } else {
        ts_asm_error(as, at, "there is no directive \"%s\"", name);
    }
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static void statement(ts_asm *as) {
    for (;;) { /* labels */
        ts_asm_skip(as);
        const char *at = as->pos;
        size_t len = ts_asm_word(as);
        as->pos += len;
        ts_asm_skip(as);
        if (!len || as->pos >= as->end || *as->pos != ':') {
            as->pos = at;
            break;
        }
        as->pos++;
        define_label(as, at, len);
    }
    if (ts_asm_at_end(as)) return;
    unsigned errors = as->p->n_errors;
    if (*as->pos == '.') directive(as);
    else parse_bundle(as);
    if (as->p->n_errors == errors && !ts_asm_at_end(as))
        ts_asm_error(as, as->pos, "the statement should end here");
    const char *nl = as->pos < as->end ? memchr(as->pos, '\n', (size_t)(as->end - as->pos)) : NULL;
    as->pos = nl ? nl : as->end; /* after an error: go on with the next line */
}

/* Run the statements of a text. false: stop (out of memory, or too many errors). */
bool ts_asm_run(ts_asm *as, const char *text, const char *end) {
    const char *pos = as->pos, *old_end = as->end;
    as->pos = text;
    as->end = end;
    while (as->pos < as->end && !as->nomem && as->p->n_errors < MAX_ERRORS) {
        if (++as->n_stmts > MAX_STATEMENTS) {
            ts_asm_error(as, as->pos, "the program has more than %d statements", MAX_STATEMENTS);
            as->p->n_errors += MAX_ERRORS;
            break;
        }
        statement(as);
        if (as->pos < as->end && *as->pos == '\n') as->pos++;
    }
    as->pos = pos;
    as->end = old_end;
    return !as->nomem && as->p->n_errors < MAX_ERRORS;
}

ts_status ts_aie2_assemble(ts_aie2_program *p, const char *name, const char *text, size_t len,
                           const ts_aie2_asm_opts *opts, ts_err *err) {
    *p = (ts_aie2_program){0};
    ts_asm as = {.p = p, .opts = opts};
    struct ts_asm_source *s = APPEND(&as, p->source, p->n_sources, p->cap_sources);
    if (s) {
        s->name = ts_strdup(name);
        if (!s->name || !ts_buf_append(&s->text, text, len)) as.nomem = true;
    }
    if (!as.nomem) {
        const char *begin = p->source[0].text.data;
        bool ok = ts_asm_run(&as, begin, begin + len) && !p->n_errors && ts_asm_layout(&as);
        if (ok && !(opts && opts->no_hazards)) {
            size_t before = p->messages.len;
            if (!ts_aie2_check_hazards(p)) as.nomem = true;
            const char *first = p->n_errors && !as.nomem ? strstr(p->messages.data + before, ": error: ") : NULL;
            while (first && first > p->messages.data && first[-1] != '\n') first--;
            if (first) ts_fail(&as.first, TS_E_FORMAT, "%.*s", (int)strcspn(first, "\n"), first);
        }
    }
    ts_free(as.fix);
    ts_free(as.local);
    ts_free(as.bind);
    if (as.nomem) return ts_fail(err, TS_E_NOMEM, "out of memory while assembling %s", name);
    if (!p->n_errors) return TS_OK;
    if (err) *err = as.first;
    return TS_E_FORMAT;
}

void ts_aie2_program_free(ts_aie2_program *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n_data; i++) ts_buf_free(&p->data[i].bytes);
    for (size_t i = 0; i < p->n_syms; i++) ts_free((char *)p->sym[i].name);
    for (size_t i = 0; i < p->n_sources; i++) {
        ts_free(p->source[i].name);
        ts_buf_free(&p->source[i].text);
    }
    ts_free(p->line);
    ts_free(p->data);
    ts_free(p->sym);
    ts_free(p->loop);
    ts_free(p->source);
    ts_buf_free(&p->code);
    ts_buf_free(&p->messages);
    *p = (ts_aie2_program){0};
}
