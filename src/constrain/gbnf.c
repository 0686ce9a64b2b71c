/* gbnf.c - grammars in llama.cpp's form. https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
 *
 * Rules are "name ::= alternatives", alternatives "|" sequences of literals, classes, ".", names and groups, each with
 * *, +, ?, {m}, {m,}, {m,n} behind it. A rule ends with its line, but for lines inside parentheses, after "::=" and
 * after "|". The text is that of rule `root`. */
#include "base/printable.h"
#include "base/utf8.h"
#include "constrain/chars.h"
#include "constrain/front.h"

#include <string.h>

enum { NESTING = 250 };

typedef struct name {
    const char *text;
    size_t len;
    uint32_t rule, line; /* where it was first used or defined */
    bool defined;
} name;

typedef struct parser {
    ts_automaton *a;
    const char *s;
    size_t n, at;
    uint32_t line;
    int depth;
    name *names; /* hash table [n_slots] of names; text NULL: empty */
    size_t n_names, n_slots;
    ts_node *stack;
    size_t n_stack, cap;
} parser;

static ts_node bad(parser *g, const char *why) {
    if (g->a->work.bad == TS_OK) {
        ts_work_fail(&g->a->work, TS_E_FORMAT, "%s", why);
        ts_front_at(g->a, "line %u", g->line);
    }
    return TS_NODE_NEVER;
}

static bool ok(const parser *g) {
    return g->a->work.bad == TS_OK;
}

static bool is(const parser *g, char c) {
    return g->at < g->n && g->s[g->at] == c;
}

/* Blanks and comments; line ends too where `lines`. */
static void blanks(parser *g, bool lines) {
    while (g->at < g->n) {
        const char c = g->s[g->at];
        if (c == '#') {
            const char *end = memchr(g->s + g->at, '\n', g->n - g->at);
            g->at = end ? (size_t)(end - g->s) : g->n;
        } else if (c == ' ' || c == '\t' || (c == '\r' && (lines || g->at + 1 == g->n || g->s[g->at + 1] == '\n'))) {
            g->at++;
        } else if (c == '\n' && lines) {
            g->at++;
            g->line++;
        } else {
            return;
        }
    }
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t hash(const char *s, size_t n) {
    size_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h;
}

static name *slot_of(name *names, size_t slots, const char *s, size_t n) {
    size_t h = hash(s, n) & (slots - 1);
    while (names[h].text && (names[h].len != n || memcmp(names[h].text, s, n) != 0)) h = (h + 1) & (slots - 1);
    return &names[h];
}

static bool more_slots(parser *g) {
    const size_t slots = g->n_slots ? g->n_slots * 2 : 64;
    name *names = ts_calloc(slots, sizeof *names);
    if (!names) return ts_work_nomem(&g->a->work);
    for (size_t i = 0; i < g->n_slots; i++)
        if (g->names[i].text) *slot_of(names, slots, g->names[i].text, g->names[i].len) = g->names[i];
    ts_free(g->names);
    g->names = names;
    g->n_slots = slots;
    return true;
}

/* The rule of the name at the cursor, made where it is new; NULL: there is no name, or no memory. */
static name *parse_name(parser *g) {
    const size_t first = g->at;
    while (g->at < g->n && is_word(g->s[g->at])) g->at++;
    if (g->at == first) return bad(g, "a name was expected"), NULL;
    if (g->n_names * 2 >= g->n_slots && !more_slots(g)) return NULL;
    name *x = slot_of(g->names, g->n_slots, g->s + first, g->at - first);
    if (!x->text) {
        *x = (name){.text = g->s + first, .len = g->at - first, .line = g->line, .rule = ts_ir_rule(&g->a->ir)};
        g->n_names++;
    }
    return ok(g) ? x : NULL;
}

/* One character of a literal or class. */
static bool parse_char(parser *g, uint32_t *c) {
    if (g->at == g->n || g->s[g->at] == '\n') return bad(g, "a literal or class is not closed"), false;
    if (g->s[g->at] != '\\') {
        const int n = ts_utf8_decode(g->s + g->at, g->n - g->at, c);
        g->at += (size_t)n;
        return n || (bad(g, "it is not UTF-8"), false);
    }
    const char e = ++g->at < g->n ? g->s[g->at++] : 0;
    const int digits = e == 'x' ? 2 : e == 'u' ? 4 : e == 'U' ? 8 : 0;
    static const char letter[] = "trn\\\"[]-^", value[] = "\t\r\n\\\"[]-^";
    const char *at = e ? strchr(letter, e) : NULL;
    if (at) *c = (uint8_t)value[at - letter];
    else if (!digits) return bad(g, "an escape that does not exist"), false;
    else *c = 0;
    for (int i = 0; i < digits; i++) {
        const int d = g->at < g->n ? ts_hex_digit((uint8_t)g->s[g->at]) : -1;
        if (d < 0) return bad(g, "an escape with too few hexadecimal digits"), false;
        *c = *c * 16 + (uint32_t)d;
        g->at++;
    }
    return (*c <= 0x10FFFF && (*c < 0xD800 || *c > 0xDFFF)) || (bad(g, "an escape of what is no character"), false);
}

static ts_node literal(parser *g) {
    ts_buf text = {0};
    g->at++;
    while (ok(g) && !is(g, '"')) {
        uint32_t c;
        char u[4];
        if (parse_char(g, &c) && !ts_buf_append(&text, u, (size_t)ts_utf8_encode(c, u))) ts_work_nomem(&g->a->work);
    }
    g->at++;
    const ts_node x = ok(g) ? ts_ir_lex(&g->a->ir, ts_rx_text(&g->a->rxs, text.data, text.len)) : TS_NODE_NEVER;
    ts_buf_free(&text);
    return x;
}

static ts_node class(parser *g) {
    ts_work *w = &g->a->work;
    ts_chars set = {0}, all = {0};
    g->at++;
    const bool negated = is(g, '^');
    g->at += negated;
    while (ok(g) && !is(g, ']')) {
        uint32_t first, last;
        if (!parse_char(g, &first)) break;
        last = first;
        if (is(g, '-') && g->at + 1 < g->n && g->s[g->at + 1] != ']') {
            g->at++;
            if (!parse_char(g, &last)) break;
            if (last < first) bad(g, "a range of a class is out of order");
        }
        ts_chars_add(&set, w, first, last);
    }
    g->at++;
    if (set.n == 0 && !negated) bad(g, "an empty class");
    if (negated) ts_chars_add_all_but(&all, w, &set);
    const ts_rx e = ok(g) ? ts_chars_rx(&g->a->rxs, negated ? &all : &set, TS_SPELL_UTF8) : TS_RX_NEVER;
    ts_chars_free(&set);
    ts_chars_free(&all);
    return ts_ir_lex(&g->a->ir, e);
}

static ts_node choice(parser *g, bool nested);

static ts_node group(parser *g) {
    g->at++;
    if (++g->depth > NESTING) {
        ts_work_fail(&g->a->work, TS_E_LIMIT, "groups are nested deeper than %d", NESTING);
        return ts_front_at(g->a, "line %u", g->line);
    }
    blanks(g, true);
    const ts_node x = choice(g, true);
    g->depth--;
    if (ok(g) && !is(g, ')')) return bad(g, "a group is not closed");
    g->at++;
    return x;
}

static bool number(parser *g, uint32_t *out) {
    const size_t first = g->at;
    uint64_t v = 0;
    for (; g->at < g->n && g->s[g->at] >= '0' && g->s[g->at] <= '9'; g->at++)
        if (v < TS_RX_INF) v = v * 10 + (uint64_t)(g->s[g->at] - '0');
    *out = v >= TS_RX_INF ? TS_RX_INF - 1 : (uint32_t)v;
    return g->at > first;
}

/* Behind an item stands how often it comes. */
static bool is_repeated(const parser *g) {
    const char c = g->at < g->n ? g->s[g->at] : 0;
    return ok(g) && c && strchr("*+?{", c);
}

static ts_node repeated(parser *g, ts_node x) {
    uint32_t min = 0, max = TS_RX_INF;
    const char c = g->s[g->at++];
    if (c == '+') min = 1;
    if (c == '?') max = 1;
    if (c == '{') {
        blanks(g, false);
        if (!number(g, &min)) return bad(g, "a repetition without a number");
        max = min;
        blanks(g, false);
        if (is(g, ',')) {
            g->at++;
            blanks(g, false);
            if (!number(g, &max)) max = TS_RX_INF;
            blanks(g, false);
        }
        if (!is(g, '}')) return bad(g, "a repetition is not closed");
        g->at++;
        if (max < min) return bad(g, "a repetition's bounds are out of order");
    }
    return ts_ir_rep(&g->a->ir, x, min, max);
}

static ts_node item(parser *g) {
    switch (g->s[g->at]) {
    case '"': return literal(g);
    case '[': return class(g);
    case '(': return group(g);
    case '.':
        g->at++;
        return ts_ir_lex(&g->a->ir, ts_chars_any(&g->a->rxs, TS_SPELL_UTF8));
    default: break;
    }
    if (!is_word(g->s[g->at])) return bad(g, "a literal, class, name or group was expected");
    const name *x = parse_name(g);
    return x ? ts_ir_call(&g->a->ir, x->rule) : TS_NODE_NEVER;
}

static void push(parser *g, ts_node x) {
    if (ts_work_grow(&g->a->work, (void **)&g->stack, &g->cap, g->n_stack + 1, sizeof *g->stack))
        g->stack[g->n_stack++] = x;
}

static ts_node sequence(parser *g, bool nested) {
    const size_t mark = g->n_stack;
    while (ok(g) && g->at < g->n && !strchr("|)\n\r", g->s[g->at]) && ts_work_pay(&g->a->work, 1)) {
        ts_node x = item(g);
        for (blanks(g, nested); is_repeated(g); blanks(g, nested)) x = repeated(g, x);
        push(g, x);
    }
    ts_node x = TS_NODE_EMPTY;
    while (g->n_stack > mark) x = ts_ir_cat(&g->a->ir, g->stack[--g->n_stack], x);
    return x;
}

static ts_node choice(parser *g, bool nested) {
    const size_t mark = g->n_stack;
    push(g, sequence(g, nested));
    while (ok(g) && is(g, '|')) {
        g->at++;
        blanks(g, true);
        push(g, sequence(g, nested));
    }
    const ts_node x = ok(g) ? ts_ir_alt(&g->a->ir, g->stack + mark, g->n_stack - mark) : TS_NODE_NEVER;
    g->n_stack = mark;
    return x;
}

static void note_line(parser *g, uint32_t rule, uint32_t line) {
    if (ts_work_grow(&g->a->work, (void **)&g->a->rule_line, &g->a->rule_lines_cap, rule + 1, sizeof *g->a->rule_line))
        g->a->rule_line[rule] = line;
}

static void parse_rule(parser *g) {
    const uint32_t line = g->line;
    name *x = parse_name(g);
    if (!x) return;
    if (x->defined) {
        bad(g, "a rule is defined twice");
        return;
    }
    x->defined = true;
    const uint32_t rule = x->rule;
    note_line(g, rule, line);
    blanks(g, false);
    if (g->n - g->at < 3 || memcmp(g->s + g->at, "::=", 3) != 0) {
        bad(g, "::= was expected");
        return;
    }
    g->at += 3;
    blanks(g, true);
    const ts_node body = choice(g, false);
    if (!ok(g)) return;
    if (is(g, ')')) bad(g, "a bracket closes that was not opened");
    if (g->at < g->n && g->s[g->at] != '\n') bad(g, "a rule has to end with its line");
    g->a->ir.rule[rule] = body;
}

ts_node ts_front_gbnf(ts_automaton *a, const char *text, size_t len) {
    parser g = {.a = a, .s = text, .n = len, .line = 1};
    ts_node root = TS_NODE_NEVER;
    for (blanks(&g, true); ok(&g) && g.at < g.n; blanks(&g, true)) parse_rule(&g);
    for (size_t i = 0; ok(&g) && i < g.n_slots; i++) {
        const name *x = &g.names[i];
        if (!x->text || x->defined) continue;
        char shown[64];
        ts_printable(shown, sizeof shown, x->text, x->len);
        ts_work_fail(&a->work, TS_E_FORMAT, "rule %s is not defined", shown);
        ts_front_at(a, "line %u", x->line);
    }
    const name *x = ok(&g) && g.n_slots ? slot_of(g.names, g.n_slots, "root", 4) : NULL;
    if (x && x->text) {
        root = ts_ir_call(&a->ir, x->rule);
    } else if (ok(&g)) {
        ts_work_fail(&a->work, TS_E_FORMAT, "there is no rule called root");
        ts_front_at(a, "line 1");
    }
    ts_free(g.names);
    ts_free(g.stack);
    return root;
}
