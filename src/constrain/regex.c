/* regex.c - a parser of regular expressions.
 *
 * Anchors are assertions about the place, anywhere in the expression. So a piece with anchors in it has four languages:
 * by whether it begins where the text begins (x) and ends where the text ends (y); and for the empty text, which does
 * both at one place, a bit for each. Concatenation and repetition combine them; a piece without anchors has one. */
#include "constrain/regex.h"
#include "base/utf8.h"
#include "constrain/category.h"

#include <string.h>

enum { NESTING = 250, COUNTS_MAX = 100000, ANCHORED_COUNT = 32 };

typedef struct piece {
    ts_rx plain;     /* where not `anchored` */
    bool anchored, quantifiable;
    uint8_t empty;   /* bit 2 x + y */
    ts_rx some[4];   /* [2 x + y] the texts that are not empty */
    uint64_t counts; /* of nested bounded repetitions, multiplied */
} piece;

typedef struct parser {
    ts_rxs *p;
    const uint8_t *s;
    size_t n, at;
    ts_spelling how;
    piece *stack;
    size_t n_stack, cap;
    int depth;
} parser;

static piece plain(ts_rx e) {
    return (piece){.plain = e, .quantifiable = true, .counts = 1};
}

static piece bad(parser *r, const char *why) {
    ts_work_fail(r->p->work, TS_E_FORMAT, "%s", why);
    return plain(TS_RX_NEVER);
}

static piece cannot(parser *r, const char *what) {
    ts_work_fail(r->p->work, TS_E_UNSUPP, "%s cannot be kept by an automaton", what);
    return plain(TS_RX_NEVER);
}

static void split(parser *r, piece *a) {
    if (a->anchored) return;
    a->empty = ts_rx_nullable(r->p, a->plain) ? 15 : 0;
    for (int i = 0; i < 4; i++) a->some[i] = ts_rx_nonempty(r->p, a->plain);
    a->anchored = true;
}

static piece join(parser *r, piece a, piece b) {
    const uint64_t counts = a.counts > b.counts ? a.counts : b.counts;
    if (!a.anchored && !b.anchored)
        return (piece){.plain = ts_rx_cat(r->p, a.plain, b.plain), .counts = counts, .quantifiable = true};
    piece c = {.anchored = true, .counts = counts, .quantifiable = true};
    split(r, &a);
    split(r, &b);
    c.empty = a.empty & b.empty;
    for (int i = 0; i < 4; i++) {
        const int x = i & 2, y = i & 1;
        const size_t mark = r->p->n_tmp;
        ts_rx_push(r->p, ts_rx_cat(r->p, a.some[x], b.some[y]));
        if (a.empty >> x & 1) ts_rx_push(r->p, b.some[x | y]); /* a is empty in front of b's text */
        if (b.empty >> y & 1) ts_rx_push(r->p, a.some[x | y]);
        c.some[i] = ts_rx_alt_from(r->p, mark);
    }
    return c;
}

static piece either(parser *r, piece a, piece b) {
    const uint64_t counts = a.counts > b.counts ? a.counts : b.counts;
    split(r, &a);
    split(r, &b);
    a.counts = counts;
    a.empty |= b.empty;
    for (int i = 0; i < 4; i++) a.some[i] = ts_rx_alt(r->p, a.some[i], b.some[i]);
    return a;
}

static piece repeat(parser *r, piece a, uint32_t min, uint32_t max) {
    if (!a.anchored) {
        const uint32_t count = max == TS_RX_INF ? min : max;
        if (count > 1) a.counts *= count;
        if (a.counts > COUNTS_MAX && a.counts > count) return cannot(r, "such a repetition of repetitions");
        a.plain = ts_rx_rep(r->p, a.plain, min, max);
        return a;
    }
    if (max == TS_RX_INF ? min > ANCHORED_COUNT : max > ANCHORED_COUNT)
        return cannot(r, "a long repetition with an anchor inside");
    piece all = plain(TS_RX_EMPTY);
    for (uint32_t i = 0; i < min; i++) all = join(r, a, all);
    piece rest = plain(TS_RX_EMPTY);
    if (max == TS_RX_INF) { /* one, or the first, any number inside, the last */
        piece star = a;
        const ts_rx inside = ts_rx_rep(r->p, a.some[0], 0, TS_RX_INF);
        for (int i = 0; i < 4; i++)
            star.some[i] = ts_rx_alt(r->p, a.some[i],
                                     ts_rx_cat(r->p, a.some[i & 2], ts_rx_cat(r->p, inside, a.some[i & 1])));
        star.empty = 15;
        rest = star;
    } else {
        for (uint32_t i = min; i < max; i++) rest = either(r, join(r, a, rest), plain(TS_RX_EMPTY));
    }
    return join(r, all, rest);
}

static bool peek(const parser *r, const char *text) {
    const size_t n = strlen(text);
    return r->n - r->at >= n && memcmp(r->s + r->at, text, n) == 0;
}

static bool take(parser *r, const char *text) {
    if (!peek(r, text)) return false;
    r->at += strlen(text);
    return true;
}

/* Exactly n hexadecimal digits; -1: they are not there. */
static int64_t hex_digits(parser *r, int n) {
    int64_t v = 0;
    for (int i = 0; i < n; i++) {
        const int d = r->at < r->n ? ts_hex_digit(r->s[r->at]) : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
        r->at++;
    }
    return v;
}

/* Behind "\u". -1: it is none. */
static int64_t unicode_escape(parser *r) {
    if (take(r, "{")) {
        int64_t v = 0;
        size_t digits = 0;
        for (; r->at < r->n && ts_hex_digit(r->s[r->at]) >= 0 && v <= 0x10FFFF; r->at++, digits++)
            v = v * 16 + ts_hex_digit(r->s[r->at]);
        return digits && v <= 0x10FFFF && take(r, "}") ? v : -1;
    }
    const int64_t high = hex_digits(r, 4);
    if (high < 0xD800 || high > 0xDBFF || !peek(r, "\\u")) return high;
    const size_t back = r->at;
    r->at += 2;
    const int64_t low = hex_digits(r, 4);
    if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    r->at = back;
    return high;
}

static void add_word(ts_chars *c, ts_work *w) {
    ts_chars_add(c, w, '0', '9');
    ts_chars_add(c, w, 'A', 'Z');
    ts_chars_add(c, w, '_', '_');
    ts_chars_add(c, w, 'a', 'z');
}

static void add_space(ts_chars *c, ts_work *w) {
    static const uint32_t range[][2] = {{9, 13}, {32, 32}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
                                        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                        {0xFEFF, 0xFEFF}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) ts_chars_add(c, w, range[i][0], range[i][1]);
}

/* A class escape, `letter` of dDwWsS. */
static void add_class(ts_chars *c, ts_work *w, char letter) {
    ts_chars set = {0};
    const char low = (char)(letter | 32);
    if (low == 'd') ts_chars_add(&set, w, '0', '9');
    else if (low == 'w') add_word(&set, w);
    else add_space(&set, w);
    if (letter == low)
        for (size_t i = 0; i < set.n; i++) ts_chars_add(c, w, set.range[i].first, set.range[i].last);
    else ts_chars_add_all_but(c, w, &set);
    ts_chars_free(&set);
}

/* Behind \\p or \\P: the name of a general category in braces. */
static bool property(parser *r, bool negated, ts_chars *set) {
    ts_work *w = r->p->work;
    const char *name = (const char *)r->s + r->at + 1;
    const char *end = peek(r, "{") ? memchr(name, '}', r->n - r->at - 1) : NULL;
    ts_chars those = {0};
    if (!end) return bad(r, "\\p is not followed by a name in braces"), false;
    const bool known = ts_category_add(negated ? &those : set, w, name, (size_t)(end - name));
    if (negated) ts_chars_add_all_but(set, w, &those);
    ts_chars_free(&those);
    r->at = (size_t)(end + 1 - (const char *)r->s);
    return known || (cannot(r, "a property of characters that is no general category"), false);
}

/* Behind a backslash: a character (*c), or a class (*c = -1), which is added to `set`. false: an error, noted. */
static bool escape(parser *r, bool in_class, ts_chars *set, int64_t *c) {
    ts_work *w = r->p->work;
    if (r->at == r->n) return bad(r, "it ends with a backslash"), false;
    const uint8_t e = r->s[r->at++];
    static const char control[] = "tnvfr", is[] = "\t\n\v\f\r";
    const char *at = e ? strchr(control, e) : NULL;
    if (at) {
        *c = is[at - control];
        return true;
    }
    if (e && strchr("dDwWsS", e)) {
        add_class(set, w, (char)e);
        *c = -1;
        return true;
    }
    switch (e) {
    case 'b':
        *c = '\b';
        return in_class || (cannot(r, "\\b"), false);
    case 'B': return cannot(r, "\\B"), false;
    case 'p':
    case 'P':
        *c = -1;
        return property(r, e == 'P', set);
    case 'k': return cannot(r, "a back reference"), false;
    case '0':
        *c = 0;
        return r->at == r->n || r->s[r->at] < '0' || r->s[r->at] > '9' || (bad(r, "\\0 is followed by a digit"), false);
    case 'c':
        if (r->at == r->n || (r->s[r->at] | 32) < 'a' || (r->s[r->at] | 32) > 'z')
            return bad(r, "\\c is not followed by a letter"), false;
        *c = r->s[r->at++] & 31;
        return true;
    case 'x':
        *c = hex_digits(r, 2);
        return *c >= 0 || (bad(r, "\\x is not followed by two hexadecimal digits"), false);
    case 'u':
        *c = unicode_escape(r);
        if (*c < 0) return bad(r, "\\u is not followed by four hexadecimal digits or {...}"), false;
        return true;
    default: break;
    }
    if (e >= '1' && e <= '9')
        return in_class ? (bad(r, "a number is escaped in a class"), false) : (cannot(r, "a back reference"), false);
    if (e < 0x21 || e > 0x7E || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z'))
        return bad(r, "an escape that does not exist"), false;
    *c = e;
    return true;
}

static bool next_char(parser *r, int64_t *c) {
    uint32_t cp;
    const int n = ts_utf8_decode((const char *)r->s + r->at, r->n - r->at, &cp);
    if (n == 0) return bad(r, "it is not UTF-8"), false;
    r->at += (size_t)n;
    *c = cp;
    return true;
}

/* One member of a class: a character, or a class escape (*c = -1). */
static bool class_atom(parser *r, ts_chars *set, int64_t *c) {
    return take(r, "\\") ? escape(r, true, set, c) : next_char(r, c);
}

static piece parse_class(parser *r) {
    ts_work *w = r->p->work;
    const bool negated = take(r, "^");
    ts_chars set = {0}, all = {0};
    bool ok = true;
    if (peek(r, "]") && !negated) ok = (bad(r, "an empty class"), false);
    while (ok && w->bad == TS_OK && !take(r, "]")) {
        int64_t first, last;
        if (r->at == r->n) ok = (bad(r, "a class is not closed"), false);
        ok = ok && class_atom(r, &set, &first);
        if (!ok) break;
        last = first;
        if (peek(r, "-") && r->at + 1 < r->n && r->s[r->at + 1] != ']') {
            r->at++;
            ok = class_atom(r, &set, &last);
            if (ok && (first < 0 || last < 0)) ok = (bad(r, "a range of a class with a class inside"), false);
            if (ok && first > last) ok = (bad(r, "a range of a class is out of order"), false);
        }
        if (ok && first >= 0) ts_chars_add(&set, w, (uint32_t)first, (uint32_t)last);
    }
    if (negated) ts_chars_add_all_but(&all, w, &set);
    const ts_rx e = ok ? ts_chars_rx(r->p, negated ? &all : &set, r->how) : TS_RX_NEVER;
    ts_chars_free(&set);
    ts_chars_free(&all);
    return plain(e);
}

static piece one_char(parser *r, uint32_t c) {
    ts_chars set = {0};
    ts_chars_add(&set, r->p->work, c, c);
    const ts_rx e = ts_chars_rx(r->p, &set, r->how);
    ts_chars_free(&set);
    return plain(e);
}

static piece any_but_line_ends(parser *r) {
    ts_chars set = {0}, all = {0};
    static const uint32_t end[] = {'\n', '\r', 0x2028, 0x2029};
    for (size_t i = 0; i < 4; i++) ts_chars_add(&set, r->p->work, end[i], end[i]);
    ts_chars_add_all_but(&all, r->p->work, &set);
    const ts_rx e = ts_chars_rx(r->p, &all, r->how);
    ts_chars_free(&set);
    ts_chars_free(&all);
    return plain(e);
}

static bool is_name(uint8_t c, bool first) {
    const uint8_t low = c | 32;
    return c >= 0x80 || c == '_' || c == '$' || (low >= 'a' && low <= 'z') || (!first && c >= '0' && c <= '9');
}

static piece parse_choice(parser *r);

static piece parse_group(parser *r) {
    if (take(r, "?")) {
        if (peek(r, "=") || peek(r, "!") || peek(r, "<=") || peek(r, "<!")) return cannot(r, "look-around");
        if (take(r, "<")) {
            const size_t first = r->at;
            while (r->at < r->n && is_name(r->s[r->at], r->at == first)) r->at++;
            if (r->at == first || !take(r, ">")) return bad(r, "a group's name is not one");
        } else if (!take(r, ":")) {
            return bad(r, "a group begins with (? and is none that is known");
        }
    }
    if (++r->depth > NESTING) {
        ts_work_fail(r->p->work, TS_E_LIMIT, "groups are nested deeper than %d", NESTING);
        return plain(TS_RX_NEVER);
    }
    piece a = parse_choice(r);
    r->depth--;
    if (r->p->work->bad == TS_OK && !take(r, ")")) return bad(r, "a group is not closed");
    a.quantifiable = true;
    return a;
}

static piece atom(parser *r) {
    const uint8_t c = r->s[r->at];
    int64_t v;
    piece a = {.anchored = true, .counts = 1, .empty = c == '^' ? 12 : 10};
    switch (c) {
    case '^':
    case '$': r->at++; return a;
    case '(': r->at++; return parse_group(r);
    case '[': r->at++; return parse_class(r);
    case '.': r->at++; return any_but_line_ends(r);
    case '*':
    case '+':
    case '?': return bad(r, "there is nothing to repeat");
    case '{':
    case '}':
    case ']': return bad(r, "a bracket that has to be escaped");
    case '\\': {
        r->at++;
        ts_chars set = {0};
        piece e = plain(TS_RX_NEVER);
        if (escape(r, false, &set, &v)) e = v >= 0 ? one_char(r, (uint32_t)v) : plain(ts_chars_rx(r->p, &set, r->how));
        ts_chars_free(&set);
        return e;
    }
    default: return next_char(r, &v) ? one_char(r, (uint32_t)v) : plain(TS_RX_NEVER);
    }
}

/* A count of a repetition; what does not fit is TS_RX_INF - 1. false: there are no digits. */
static bool count(parser *r, uint32_t *out) {
    const size_t first = r->at;
    uint64_t v = 0;
    for (; r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9'; r->at++)
        if (v < TS_RX_INF) v = v * 10 + (r->s[r->at] - '0');
    *out = v >= TS_RX_INF ? TS_RX_INF - 1 : (uint32_t)v;
    return r->at > first;
}

static piece quantified(parser *r) {
    piece a = atom(r);
    uint32_t min = 0, max = TS_RX_INF;
    if (r->p->work->bad) return a;
    if (take(r, "+")) min = 1;
    else if (take(r, "?")) max = 1;
    else if (take(r, "{")) {
        if (!count(r, &min)) return bad(r, "a repetition without a number");
        max = min;
        if (take(r, ",") && !count(r, &max)) max = TS_RX_INF;
        if (!take(r, "}")) return bad(r, "a repetition is not closed");
        if (max < min) return bad(r, "a repetition's bounds are out of order");
        if (min >= TS_RX_INF - 1) {
            ts_work_fail(r->p->work, TS_E_LIMIT, "a repetition's lower bound is too large");
            return a;
        }
    } else if (!take(r, "*")) {
        return a;
    }
    if (!a.quantifiable) return bad(r, "an anchor is repeated");
    take(r, "?"); /* lazy or not: the texts are the same */
    return repeat(r, a, min, max);
}

static bool push(parser *r, piece a) {
    if (!ts_work_grow(r->p->work, (void **)&r->stack, &r->cap, r->n_stack + 1, sizeof *r->stack)) return false;
    r->stack[r->n_stack++] = a;
    return true;
}

/* Joined from the right, so that a long text is no work. */
static piece parse_sequence(parser *r) {
    const size_t mark = r->n_stack;
    while (r->at < r->n && r->s[r->at] != '|' && r->s[r->at] != ')' && ts_work_pay(r->p->work, 1))
        if (!push(r, quantified(r))) break;
    piece a = plain(TS_RX_EMPTY);
    while (r->n_stack > mark) {
        const piece b = r->stack[--r->n_stack];
        if (r->p->work->bad == TS_OK) a = join(r, b, a);
    }
    return a;
}

static piece parse_choice(parser *r) {
    const size_t mark = r->n_stack;
    bool anchored = false;
    do push(r, parse_sequence(r));
    while (r->p->work->bad == TS_OK && take(r, "|"));
    if (r->p->work->bad) {
        r->n_stack = mark;
        return plain(TS_RX_NEVER);
    }
    for (size_t i = mark; i < r->n_stack; i++) anchored |= r->stack[i].anchored;
    piece a = r->stack[mark];
    if (anchored) {
        for (size_t i = mark + 1; i < r->n_stack; i++) a = either(r, a, r->stack[i]);
    } else {
        const size_t tmp = r->p->n_tmp;
        for (size_t i = mark; i < r->n_stack; i++) {
            ts_rx_push(r->p, r->stack[i].plain);
            if (r->stack[i].counts > a.counts) a.counts = r->stack[i].counts;
        }
        a.plain = ts_rx_alt_from(r->p, tmp);
    }
    r->n_stack = mark;
    return a;
}

ts_rx ts_regex(ts_rxs *p, const void *s, size_t n, bool search, ts_spelling how, size_t *at) {
    parser r = {.p = p, .s = s, .n = n, .how = how};
    piece a = parse_choice(&r);
    if (p->work->bad == TS_OK && r.at < r.n) a = bad(&r, "a bracket closes that was not opened");
    if (search) {
        const piece around = plain(ts_rx_rep(p, ts_chars_any(p, how), 0, TS_RX_INF));
        a = join(&r, around, join(&r, a, around));
    }
    ts_rx e = a.plain;
    if (a.anchored) e = ts_rx_alt(p, a.some[3], a.empty >> 3 & 1 ? TS_RX_EMPTY : TS_RX_NEVER);
    ts_free(r.stack);
    *at = r.at;
    return p->work->bad ? TS_RX_NEVER : e;
}
