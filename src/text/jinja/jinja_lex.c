/* Template text to tokens: text between tags, and the names, literals and operators inside them. Whitespace control
 * is done here: `-`, `+`, and the two options that transformers sets (trim_blocks: the newline behind a block tag
 * goes; lstrip_blocks: so does what is in front of one on its line). */
#include "text/jinja/jinja_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    tj *r;
    const char *s;
    size_t len, pos;
    size_t at; /* position that line and col belong to */
    uint32_t line, col;
    tj_tok *tok;
    size_t n, cap;
} lexer;

/* Set the place of errors to byte `pos`; positions come in ascending order, or nearly so. */
static void locate(lexer *x, size_t pos) {
    if (pos < x->at) {
        x->at = 0;
        x->line = x->col = 1;
    }
    for (; x->at < pos; x->at++) {
        if (x->s[x->at] == '\n') {
            x->line++;
            x->col = 1;
        } else if ((x->s[x->at] & 0xC0) != 0x80) {
            x->col++;
        }
    }
    x->r->line = x->line;
    x->r->col = x->col;
}

static tj_tok *add(lexer *x, tj_tok_kind kind, size_t pos) {
    locate(x, pos);
    x->tok = tj_more(x->r, x->tok, x->n, &x->cap, sizeof *x->tok);
    tj_tok *t = &x->tok[x->n++];
    *t = (tj_tok){.kind = kind, .line = x->line, .col = x->col};
    return t;
}

static tj_str *own_text(lexer *x, const char *s, size_t len) {
    tj_str *t = tj_str_new(x->r, s, len, false);
    tj_chars(x->r, t); /* counted now: the tree is shared by renders */
    return t;
}

/* The character at p is white; its bytes in *n. */
static bool space_at(const lexer *x, size_t p, int *n) {
    uint32_t c = 0;
    *n = ts_utf8_decode(x->s + p, x->len - p, &c);
    return *n > 0 && tj_is_space(c);
}

static size_t skip_space(const lexer *x, size_t p) {
    int n;
    while (space_at(x, p, &n)) p += (size_t)n;
    return p;
}

/* The end of s[from..to) without white characters behind. */
static size_t strip_end(const lexer *x, size_t from, size_t to) {
    while (to > from) {
        size_t p = to - 1;
        while (p > from && (x->s[p] & 0xC0) == 0x80) p--;
        int n;
        if (!space_at(x, p, &n)) break;
        to = p;
    }
    return to;
}

static bool is(const lexer *x, size_t p, const char *what) {
    size_t n = strlen(what);
    return x->len - p >= n && memcmp(x->s + p, what, n) == 0;
}

/* Text in front of a tag. `sign` is the tag's; `block`: lstrip_blocks applies to it. */
static void add_data(lexer *x, size_t from, size_t to, char sign, bool block, bool line_start) {
    if (sign == '-') {
        to = strip_end(x, from, to);
    } else if (sign != '+' && block) {
        size_t l = to;
        while (l > from && x->s[l - 1] != '\n') l--;
        if ((l > from || line_start) && strip_end(x, l, to) == l) to = l;
    }
    if (to > from) add(x, TJ_T_DATA, from)->str = own_text(x, x->s + from, to - from);
}

/* Behind the end of a tag whose last two characters end at p. */
static size_t after(const lexer *x, size_t p, char sign, bool trim) {
    if (sign == '-') return skip_space(x, p);
    if (sign != '+' && trim && p < x->len && x->s[p] == '\n') p++;
    return p;
}

static size_t comment(lexer *x, size_t begin, size_t p) {
    for (size_t e = p; e + 1 < x->len; e++) {
        if (x->s[e] != '#' || x->s[e + 1] != '}') continue;
        char sign = e > p ? x->s[e - 1] : 0;
        return after(x, e + 2, sign, true);
    }
    locate(x, begin);
    tj_fail(x->r, TS_E_FORMAT, "this comment has no end (#})");
}

/* `{%`, a sign and `word` at p: the position of the tag's end, else 0. */
static size_t word_tag(const lexer *x, size_t p, const char *word) {
    if (!is(x, p, "{%")) return 0;
    p += 2;
    if (p < x->len && (x->s[p] == '-' || x->s[p] == '+')) p++;
    p = skip_space(x, p);
    if (!is(x, p, word)) return 0;
    return skip_space(x, p + strlen(word));
}

static char sign_at(const lexer *x, size_t p) {
    return p < x->len && (x->s[p] == '-' || x->s[p] == '+') ? x->s[p] : 0;
}

/* A raw block whose first tag's end is at `end`: everything up to its last tag is text. 0: it is no raw block after
 * all. */
static size_t raw(lexer *x, size_t begin, size_t end) {
    size_t p = is(x, end, "-%}") ? skip_space(x, end + 3) : is(x, end, "%}") ? end + 2 : 0;
    if (!p) return 0;
    for (size_t q = p; q < x->len; q++) {
        size_t e = x->s[q] == '{' ? word_tag(x, q, "endraw") : 0;
        if (!e) continue;
        char last = sign_at(x, e);
        if (!is(x, last ? e + 1 : e, "%}")) continue;
        add_data(x, p, q, sign_at(x, q + 2), true, x->s[p - 1] == '\n');
        return after(x, (last ? e + 1 : e) + 2, last, true);
    }
    locate(x, begin);
    tj_fail(x->r, TS_E_FORMAT, "this raw block has no {%% endraw %%}");
}

/* ---- inside a tag ------------------------------------------------------------------------------------------------ */

static bool word_at(const lexer *x, size_t p, int *n) {
    uint32_t c = 0;
    *n = ts_utf8_decode(x->s + p, x->len - p, &c);
    return *n > 0 && tj_is_word(c);
}

static bool digit_of(char c, int base) {
    int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return v < base;
}

/* Digits with single underscores between them from p on. */
static size_t digits(const lexer *x, size_t p, int base) {
    size_t e = p;
    while (e < x->len) {
        size_t d = e + (e > p && x->s[e] == '_');
        if (d >= x->len || !digit_of(x->s[d], base)) break;
        e = d + 1;
    }
    return e;
}

static size_t number(lexer *x, size_t p) {
    const char *s = x->s;
    tj *r = x->r;
    size_t e = digits(x, p, 10);
    bool real = false;
    if (p == 0 || s[p - 1] != '.') { /* in a.0.1 there are two integers */
        size_t f = e;
        if (f < x->len && s[f] == '.' && digits(x, f + 1, 10) > f + 1) f = digits(x, f + 1, 10), real = true;
        if (f < x->len && (s[f] | 32) == 'e') {
            size_t g = f + 1;
            if (g < x->len && (s[g] == '+' || s[g] == '-')) g++;
            if (digits(x, g, 10) > g) f = digits(x, g, 10), real = true;
        }
        if (real) e = f;
    }
    int base = 10;
    size_t from = p;
    if (!real && s[p] == '0' && p + 2 < x->len) {
        int b = (s[p + 1] | 32) == 'x' ? 16 : (s[p + 1] | 32) == 'o' ? 8 : (s[p + 1] | 32) == 'b' ? 2 : 10;
        size_t first = p + 2 + (s[p + 2] == '_');
        if (b != 10 && first < x->len && digit_of(s[first], b)) base = b, from = first, e = digits(x, first, b);
    }
    if (!real && base == 10 && s[p] == '0') { /* a leading zero stands alone */
        e = p + 1;
        while (e < x->len && s[e] == '0') e++;
    }
    tj_tok *t = add(x, real ? TJ_T_FLOAT : TJ_T_INT, p);
    char *text = tj_alloc(r, e - from + 1, 1);
    size_t n = 0;
    for (size_t i = from; i < e; i++)
        if (s[i] != '_') text[n++] = s[i];
    if (real) {
        t->f = strtod(text, NULL);
    } else {
        errno = 0;
        t->i = strtoll(text, NULL, base);
        if (errno) tj_fail(r, TS_E_UNSUPP, "the number %.40s does not fit in 64 bits", text);
    }
    return e;
}

static bool hex(const lexer *x, size_t p, size_t n, size_t end, uint32_t *out) {
    *out = 0;
    if (end - p < n) return false;
    for (size_t i = 0; i < n; i++) {
        char c = x->s[p + i];
        if (!digit_of(c, 16)) return false;
        *out = *out * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return true;
}

/* A string literal that begins at p. */
static size_t string(lexer *x, size_t p) {
    tj *r = x->r;
    const char *s = x->s;
    char quote = s[p];
    size_t e = p + 1;
    while (e < x->len && s[e] != quote) e += s[e] == '\\' ? 2 : 1;
    locate(x, p);
    if (e >= x->len) tj_fail(r, TS_E_FORMAT, "this string has no end (%c)", quote);
    tj_sb b;
    tj_sb_init(r, &b);
    size_t i = p + 1;
    while (i < e) {
        size_t run = i;
        while (run < e && s[run] != '\\') run++;
        tj_sb_add(&b, s + i, run - i, false);
        i = run;
        if (i >= e) break;
        char c = s[i + 1];
        i += 2;
        static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
        const char *k = strchr(from, c);
        if (c == '\n') continue;
        if (k && c) {
            tj_sb_add(&b, &to[k - from], 1, false);
        } else if (c == 'x' || c == 'u' || c == 'U') {
            size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
            uint32_t cp;
            if (!hex(x, i, n, e, &cp)) tj_fail(r, TS_E_FORMAT, "\\%c in a string wants %zu hexadecimal digits", c, n);
            if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
                tj_fail(r, TS_E_FORMAT, "\\%c%.*s in a string is no character", c, (int)n, s + i);
            tj_sb_char(&b, cp, false);
            i += n;
        } else if (c >= '0' && c <= '7') {
            uint32_t cp = (uint32_t)(c - '0');
            for (int n = 0; n < 2 && i < e && s[i] >= '0' && s[i] <= '7'; n++) cp = cp * 8 + (uint32_t)(s[i++] - '0');
            tj_sb_char(&b, cp, false);
        } else if (c == 'N') {
            tj_fail(r, TS_E_UNSUPP, "\\N{...} in a string is not supported: write \\uXXXX");
        } else { /* not an escape: the backslash stays */
            tj_sb_add(&b, "\\", 1, false);
            i--;
        }
    }
    tj_str *str = tj_sb_done(&b);
    str->own = NULL;
    tj_chars(r, str);
    add(x, TJ_T_STR, p)->str = str;
    return e + 1;
}

/* The closing brackets that are still to come. */
typedef struct brackets {
    char *s;
    size_t n, cap;
} brackets;

static size_t op(lexer *x, size_t p, brackets *open) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    tj *r = x->r;
    tj_tok *t = add(x, TJ_T_OP, p);
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (is(x, p, two[i])) {
            memcpy(t->op, two[i], 3);
            return p + 2;
        }
    char c = x->s[p];
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) {
        uint32_t cp = 0;
        int n = ts_utf8_decode(x->s + p, x->len - p, &cp);
        if (n == 1 && c > ' ' && c < 127) tj_fail(r, TS_E_FORMAT, "unexpected character %c", c);
        tj_fail(r, TS_E_FORMAT, "unexpected character U+%04X", cp);
    }
    t->op[0] = c;
    if (strchr("([{", c)) {
        open->s = tj_more(r, open->s, open->n, &open->cap, 1);
        open->s[open->n++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!open->n) tj_fail(r, TS_E_FORMAT, "unexpected %c", c);
        char want = open->s[--open->n];
        if (want != c) tj_fail(r, TS_E_FORMAT, "%c where %c is wanted", c, want);
    }
    return p + 1;
}

/* From behind the begin of a tag to behind its end. */
static size_t tag(lexer *x, size_t begin, size_t p, bool block) {
    brackets open = {0};
    const char *end = block ? "%}" : "}}";
    for (;;) {
        int n;
        p = skip_space(x, p);
        if (p >= x->len) {
            locate(x, begin);
            tj_fail(x->r, TS_E_FORMAT, "this tag has no end (%s)", end);
        }
        if (!open.n) {
            char sign = sign_at(x, p);
            if (sign == '+' && !block) sign = 0;
            size_t q = sign ? p + 1 : p;
            if (is(x, q, end)) {
                add(x, block ? TJ_T_BLOCK_END : TJ_T_VAR_END, p);
                return after(x, q + 2, sign, block);
            }
        }
        char c = x->s[p];
        if (c >= '0' && c <= '9') {
            p = number(x, p);
        } else if (c == '\'' || c == '"') {
            p = string(x, p);
        } else if (word_at(x, p, &n)) {
            size_t e = p;
            while (e < x->len && word_at(x, e, &n)) e += (size_t)n;
            add(x, TJ_T_NAME, p)->str = own_text(x, x->s + p, e - p);
            p = e;
        } else {
            p = op(x, p, &open);
        }
    }
}

/* Line ends become \n, and one at the end goes. */
static void normalise(lexer *x, const char *text, size_t len) {
    char *s = tj_alloc(x->r, len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r') {
            s[n++] = '\n';
            if (i + 1 < len && text[i + 1] == '\n') i++;
        } else {
            s[n++] = text[i];
        }
    }
    if (n && s[n - 1] == '\n') n--;
    x->s = s;
    x->len = n;
    for (size_t i = 0, k; i < n; i += k) {
        uint32_t cp;
        k = (size_t)ts_utf8_decode(s + i, n - i, &cp);
        if (!k) {
            locate(x, i);
            tj_fail(x->r, TS_E_FORMAT, "the template is not valid UTF-8");
        }
    }
}

tj_tok *tj_lex(tj *r, const char *text, size_t len) {
    lexer x = {.r = r, .line = 1, .col = 1};
    normalise(&x, text, len);
    bool line_start = true;
    while (x.pos < x.len) {
        size_t p = x.pos;
        for (; p + 1 < x.len; p++) {
            const char *brace = memchr(x.s + p, '{', x.len - 1 - p);
            p = brace ? (size_t)(brace - x.s) : x.len;
            if (p >= x.len || x.s[p + 1] == '%' || x.s[p + 1] == '{' || x.s[p + 1] == '#') break;
        }
        if (p + 1 >= x.len) {
            add_data(&x, x.pos, x.len, 0, false, false);
            break;
        }
        char kind = x.s[p + 1], sign = sign_at(&x, p + 2);
        add_data(&x, x.pos, p, sign, kind != '{', line_start);
        size_t inside = p + 2 + (sign != 0), end = kind == '%' ? word_tag(&x, p, "raw") : 0;
        size_t next = end ? raw(&x, p, end) : 0;
        if (next) {
            x.pos = next;
        } else if (kind == '#') {
            x.pos = comment(&x, p, inside);
        } else {
            add(&x, kind == '%' ? TJ_T_BLOCK_BEGIN : TJ_T_VAR_BEGIN, p);
            x.pos = tag(&x, p, inside, kind == '%');
        }
        line_start = x.s[x.pos - 1] == '\n';
    }
    add(&x, TJ_T_EOF, x.len);
    return x.tok;
}
