/* asm_expr.c - the assembler's text side: positions, messages, blanks, symbols, expressions. */
#include "aie2/asm_int.h"
#include "base/printable.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static const struct ts_asm_source *source_of(const ts_aie2_program *p, const char *at) {
    for (size_t i = 0; i < p->n_sources; i++) {
        const ts_buf *t = &p->source[i].text;
        if (t->data && at >= t->data && at <= t->data + t->len) return &p->source[i];
    }
    return NULL;
}

/* Text of the source, fit for a terminal: what is no letter becomes a question mark, one column each. */
static bool put_source(ts_buf *out, const char *s, const char *end) {
    bool ok = true;
    while (s < end && ok) {
        uint32_t code = 0;
        size_t n = ts_utf8_valid((const uint8_t *)s, (size_t)(end - s), &code);
        bool plain = n && code >= 32 && (code < 127 || code >= 160);
        ok = plain ? ts_buf_append(out, s, n) : ts_buf_putc(out, *s == '\t' ? ' ' : '?');
        s += n ? n : 1;
    }
    return ok;
}

/* The same number of columns in blanks. */
static bool put_blanks(ts_buf *out, const char *s, const char *end) {
    bool ok = true;
    while (s < end && ok) {
        size_t n = ts_utf8_valid((const uint8_t *)s, (size_t)(end - s), NULL);
        ok = ts_buf_putc(out, ' ');
        s += n ? n : 1;
    }
    return ok;
}

/* "file:line:col: kind: text", the source line, a caret. */
__attribute__((nonnull(1, 3, 4), format(printf, 4, 0)))
static bool put_message(ts_aie2_program *p, const char *at, const char *kind, const char *fmt, va_list ap) {
    ts_buf *out = &p->messages;
    const struct ts_asm_source *src = at ? source_of(p, at) : NULL;
    char text[400];
    vsnprintf(text, sizeof text, fmt, ap);
    if (!src) return ts_buf_printf(out, "%s: %s\n", kind, text);
    const char *begin = src->text.data, *end = begin + src->text.len, *bol = begin;
    unsigned line = 1;
    for (const char *c = begin; c < at; c++)
        if (*c == '\n') line++, bol = c + 1;
    const char *eol = memchr(bol, '\n', (size_t)(end - bol));
    if (!eol) eol = end;
    if (eol - bol > 300) eol = bol + 300;
    if (!ts_buf_printf(out, "%s:%u:%u: %s: ", src->name, line, (unsigned)(at - bol) + 1, kind)) return false;
    if (!put_source(out, text, text + strlen(text)) || !ts_buf_puts(out, "\n  ")) return false;
    if (!put_source(out, bol, eol) || !ts_buf_puts(out, "\n  ")) return false;
    if (!put_blanks(out, bol, at < eol ? at : eol)) return false;
    return ts_buf_puts(out, "^\n");
}

bool ts_aie2_message(ts_aie2_program *p, const char *at, bool is_error, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    bool ok = put_message(p, at, is_error ? "error" : "warning", fmt, ap);
    va_end(ap);
    if (is_error) p->n_errors++;
    else p->n_warnings++;
    return ok;
}

void ts_asm_error(ts_asm *as, const char *at, const char *fmt, ...) {
    size_t before = as->p->messages.len;
    va_list ap;
    va_start(ap, fmt);
    if (!put_message(as->p, at, "error", fmt, ap)) as->nomem = true;
    va_end(ap);
    if (!as->p->n_errors++ && !as->nomem) {
        const char *text = as->p->messages.data + before;
        ts_fail(&as->first, TS_E_FORMAT, "%.*s", (int)strcspn(text, "\n"), text);
    }
}

/* ---- blanks and words -------------------------------------------------------------------------------------------- */

void ts_asm_skip(ts_asm *as) {
    while (as->pos < as->end) {
        const char *p = as->pos;
        if (*p == ' ' || *p == '\t' || *p == '\r') {
            as->pos++;
        } else if (*p == '/' && as->end - p > 1 && p[1] == '/') {
            const char *eol = memchr(p, '\n', (size_t)(as->end - p));
            as->pos = eol ? eol : as->end;
        } else if (*p == '/' && as->end - p > 1 && p[1] == '*') {
            const char *c = p + 2;
            while (as->end - c > 1 && !(c[0] == '*' && c[1] == '/')) c++;
            if (as->end - c < 2) {
                ts_asm_error(as, p, "this comment is not closed");
                as->pos = as->end;
            } else {
                as->pos = c + 2;
            }
        } else {
            return;
        }
    }
}

bool ts_asm_at_end(ts_asm *as) {
    ts_asm_skip(as);
    return as->pos >= as->end || *as->pos == '\n';
}

bool ts_asm_ident(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$';
}

size_t ts_asm_word(ts_asm *as) {
    const char *c = as->pos;
    while (c < as->end && ts_asm_ident(*c)) c++;
    return (size_t)(c - as->pos);
}

ts_aie2_symbol *ts_asm_symbol(ts_asm *as, const char *name, size_t len) {
    for (size_t i = 0; i < as->p->n_syms; i++) {
        ts_aie2_symbol *s = &as->p->sym[i];
        if (strlen(s->name) == len && !memcmp(s->name, name, len)) return s;
    }
    return NULL;
}

/* ---- expressions: C's operators on 64-bit integers --------------------------------------------------------------- */

typedef struct expr {
    ts_asm *as;
    bool known; /* no unknown symbol so far */
    bool must;
    bool fail;
    int depth;
} expr;

static int64_t binary(expr *e, int level);

static int64_t number(expr *e) {
    ts_asm *as = e->as;
    const char *begin = as->pos;
    size_t len = ts_asm_word(as);
    unsigned base = 10;
    const char *c = begin, *end = begin + len;
    if (len > 2 && c[0] == '0' && (c[1] == 'x' || c[1] == 'X')) base = 16, c += 2;
    else if (len > 2 && c[0] == '0' && (c[1] == 'b' || c[1] == 'B')) base = 2, c += 2;
    uint64_t v = 0;
    bool local = base == 10 && len > 1 && (end[-1] == 'b' || end[-1] == 'f');
    if (local) end--;
    for (; c < end; c++) {
        int ch = tolower((unsigned char)*c);
        unsigned d = isdigit(ch) ? (unsigned)(ch - '0') : isxdigit(ch) ? (unsigned)(ch - 'a') + 10 : 99;
        if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v)) {
            ts_asm_error(as, begin, "\"%.*s\" is not a number", (int)(len > 40 ? 40 : len), begin);
            e->fail = true;
            return 0;
        }
    }
    as->pos = begin + len;
    if (!local) return (int64_t)v;
    /* 1b, 1f: the nearest label 1 before or after this statement; addresses are known after the layout only */
    bool back = *end == 'b';
    e->known = false;
    if (!e->must) return 0;
    for (size_t k = 0; k < as->n_local; k++) {
        const ts_asm_local *l = &as->local[back ? as->n_local - 1 - k : k];
        if (l->number != v || (back ? l->at > as->n_stmts : l->at <= as->n_stmts)) continue;
        return l->line < as->p->n_lines ? as->p->line[l->line].addr : (int64_t)as->p->code.len;
    }
    ts_asm_error(as, begin, "there is no label %llu %s here", (unsigned long long)v, back ? "before" : "after");
    e->fail = true;
    return 0;
}

static int64_t primary(expr *e) {
    ts_asm *as = e->as;
    ts_asm_skip(as);
    if (++e->depth > 64) {
        if (!e->fail) ts_asm_error(as, as->pos, "the expression is nested too deeply");
        e->fail = true;
        return 0;
    }
    int64_t v = 0;
    char c = as->pos < as->end ? *as->pos : '\n';
    if (c == '(') {
        const char *open = as->pos++;
        v = binary(e, 0);
        ts_asm_skip(as);
        if (!e->fail && (as->pos >= as->end || *as->pos != ')')) {
            ts_asm_error(as, open, "this parenthesis is not closed");
            e->fail = true;
        } else if (!e->fail) {
            as->pos++;
        }
    } else if (c == '-' || c == '~' || c == '+' || c == '!') {
        as->pos++;
        v = primary(e);
        v = c == '-' ? (int64_t)(0 - (uint64_t)v) : c == '~' ? ~v : c == '!' ? !v : v;
    } else if (isdigit((unsigned char)c)) {
        v = number(e);
    } else if (c == '\'' && as->end - as->pos > 2 && as->pos[2] == '\'') {
        v = (unsigned char)as->pos[1];
        as->pos += 3;
    } else if (ts_asm_ident(c)) {
        size_t len = ts_asm_word(as);
        const ts_aie2_symbol *s = ts_asm_symbol(as, as->pos, len);
        bool known = s && (!s->is_code || e->must); /* code labels get their address in the layout */
        if (known) {
            v = s->value;
        } else {
            if (e->must) {
                ts_asm_error(as, as->pos, "\"%.*s\" is not defined", (int)(len > 60 ? 60 : len), as->pos);
                e->fail = true;
            }
            e->known = false;
        }
        as->pos += len;
    } else {
        ts_asm_error(as, as->pos, "a value is missing here");
        e->fail = true;
    }
    e->depth--;
    return v;
}

static const struct {
    char text[3];
    int level;
} OPERATORS[] = {
    {"<<", 7}, {">>", 7}, {"==", 5}, {"!=", 5}, {"<=", 6}, {">=", 6}, {"|", 2}, {"^", 3},
    {"&", 4},  {"<", 6},  {">", 6},  {"+", 8},  {"-", 8},  {"*", 9},  {"/", 9}, {"%", 9},
};

static int64_t apply(expr *e, const char *at, const char *op, int64_t a, int64_t b) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (op[0]) {
    case '|': return a | b;
    case '^': return a ^ b;
    case '&': return a & b;
    case '+': return (int64_t)(ua + ub);
    case '-': return (int64_t)(ua - ub);
    case '*': return (int64_t)(ua * ub);
    case '=': return a == b;
    case '!': return a != b;
    case '<': return op[1] == '<' ? (ub < 64 ? (int64_t)(ua << ub) : 0) : op[1] == '=' ? a <= b : a < b;
    case '>': return op[1] == '>' ? a >> (ub < 64 ? ub : 63) : op[1] == '=' ? a >= b : a > b;
    default:
        if (!e->known) return 0;
        if (b == 0) {
            if (!e->fail) ts_asm_error(e->as, at, "division by zero");
            e->fail = true;
            return 0;
        }
        if (b == -1) return op[0] == '/' ? (int64_t)(0 - ua) : 0;
        return op[0] == '/' ? a / b : a % b;
    }
}

static int64_t binary(expr *e, int level) {
    ts_asm *as = e->as;
    int64_t v = primary(e);
    while (!e->fail) {
        ts_asm_skip(as);
        size_t left = (size_t)(as->end - as->pos), i;
        for (i = 0; i < sizeof OPERATORS / sizeof *OPERATORS; i++) {
            size_t n = strlen(OPERATORS[i].text);
            if (n <= left && !memcmp(as->pos, OPERATORS[i].text, n)) break;
        }
        if (i == sizeof OPERATORS / sizeof *OPERATORS || OPERATORS[i].level <= level) break;
        const char *at = as->pos;
        as->pos += strlen(OPERATORS[i].text);
        v = apply(e, at, OPERATORS[i].text, v, binary(e, OPERATORS[i].level));
    }
    return v;
}

bool ts_asm_expr(ts_asm *as, bool must, int64_t *value, bool *known) {
    expr e = {.as = as, .known = true, .must = must};
    int64_t v = binary(&e, 0);
    if (e.fail) return false;
    *value = v;
    *known = e.known;
    return true;
}
