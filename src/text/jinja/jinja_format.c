/* Formatting: Python's % and str.format. */
#include "text/jinja/jinja_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 20, PRECISION_MAX = 300 };

typedef struct spec {
    const char *fill; /* one character */
    size_t n_fill;
    char align;  /* < > ^ =, or 0 */
    char sign;   /* + - or blank, or 0 */
    bool alt, zero, comma, under;
    int64_t width, precision; /* -1: none */
    char type;
} spec;

/* Text of `n_chars` characters, padded. `head`: how many bytes of sign and prefix stay in front of "=" padding. */
static void padded(tj_sb *b, const tj_str *s, size_t head, const spec *f, char align, bool data) {
    int64_t more = f->width - tj_chars(b->r, s);
    size_t n = more > 0 ? (size_t)more : 0, left = align == '<' ? 0 : align == '^' ? n / 2 : n;
    if (align == '=') tj_sb_sub(b, s, 0, head);
    tj_sb_fill(b, f->fill, f->n_fill, left, data);
    tj_sb_sub(b, s, align == '=' ? head : 0, s->len);
    tj_sb_fill(b, f->fill, f->n_fill, n - left, data);
}

static void put_sign(tj_sb *b, bool minus, char sign) {
    if (minus) tj_sb_puts(b, "-");
    else if (sign == '+' || sign == ' ') tj_sb_add(b, &sign, 1, false);
}

/* The digits of `text` with a separator between groups. */
static void grouped(tj_sb *b, const char *text, size_t len, size_t every, const char *sep) {
    size_t digits = 0;
    while (digits < len && text[digits] != '.' && text[digits] != 'e' && text[digits] != '%') digits++;
    for (size_t i = 0; i < digits; i++) {
        if (i && (digits - i) % every == 0) tj_sb_puts(b, sep);
        tj_sb_add(b, text + i, 1, false);
    }
    tj_sb_add(b, text + digits, len - digits, false);
}

static void digits_of(char *out, uint64_t v, unsigned base, bool upper) {
    char tmp[72];
    int n = 0;
    do tmp[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
    while (v /= base);
    while (n) *out++ = tmp[--n];
    *out = 0;
}

static tj_str *int_text(tj *r, int64_t i, const spec *f, char type, size_t *head) {
    char d[80];
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    digits_of(d, i < 0 ? -(uint64_t)i : (uint64_t)i, base, type == 'X');
    tj_sb b;
    tj_sb_init(r, &b);
    put_sign(&b, i < 0, f->sign);
    if (f->alt && base != 10) tj_sb_add(&b, (char[]){'0', type}, 2, false);
    *head = b.len;
    for (int64_t n = (int64_t)strlen(d); n < f->precision; n++) tj_sb_puts(&b, "0"); /* only % has one */
    if (f->comma || f->under) grouped(&b, d, strlen(d), base == 10 ? 3 : 4, f->comma ? "," : "_");
    else tj_sb_puts(&b, d);
    return tj_sb_done(&b);
}

static tj_str *float_text(tj *r, double v, const spec *f, char type, size_t *head) {
    char d[512];
    tj_sb b;
    tj_sb_init(r, &b);
    put_sign(&b, signbit(v) && !isnan(v), f->sign);
    *head = b.len;
    double a = fabs(v);
    char fmt[8] = {'%', f->alt ? '#' : '.', 0};
    int precision = f->precision >= 0 ? (int)f->precision : 6;
    if (type == '%') a *= 100;
    char c = type == '%' ? 'f' : type == 'F' ? 'F' : type;
    if (!c) { /* no type: as repr, or as g with a point */
        if (f->precision < 0) {
            tj_sb t;
            tj_sb_init(r, &t);
            tj_sb_float(&t, a);
            const tj_str *s = tj_sb_done(&t);
            snprintf(d, sizeof d, "%.*s", (int)s->len, s->s);
        } else {
            snprintf(d, sizeof d, "%.*g", precision ? precision : 1, a);
            if (isfinite(a) && !strpbrk(d, ".e")) memcpy(d + strlen(d), ".0", 3);
        }
    } else {
        if (f->alt) snprintf(fmt, sizeof fmt, "%%#.*%c", c);
        else snprintf(fmt, sizeof fmt, "%%.*%c", c);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(d, sizeof d, fmt, precision, a);
#pragma GCC diagnostic pop
    }
    if (f->comma || f->under) grouped(&b, d, strlen(d), 3, f->comma ? "," : "_");
    else tj_sb_puts(&b, d);
    if (type == '%') tj_sb_puts(&b, "%");
    return tj_sb_done(&b);
}

static tj_str *repr(tj *r, tj_val v) {
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_repr(&b, v);
    return tj_sb_done(&b);
}

static void check_width(tj *r, const spec *f) {
    if (f->width > WIDTH_MAX) tj_fail(r, TS_E_LIMIT, "a width of more than %d in a format", WIDTH_MAX);
    if (f->precision > PRECISION_MAX) tj_fail(r, TS_E_LIMIT, "a precision of more than %d in a format", PRECISION_MAX);
}

/* Decimal digits at *p; -1 where there are none. */
static int64_t number(const tj_str *s, size_t *p) {
    int64_t n = -1;
    for (; *p < s->len && s->s[*p] >= '0' && s->s[*p] <= '9'; ++*p)
        n = n > WIDTH_MAX ? n : (n < 0 ? 0 : n * 10) + (s->s[*p] - '0');
    return n;
}

/* ---- % ----------------------------------------------------------------------------------------------------------- */

typedef struct percent_args {
    tj_val all;
    const tj_seq *tuple; /* NULL: `all` is the only one */
    size_t next;
} percent_args;

static tj_val next_arg(tj *r, percent_args *a) {
    size_t n = a->tuple ? a->tuple->n : 1;
    if (a->next >= n) tj_fail(r, TS_E_INVAL, "not enough arguments for format string");
    size_t i = a->next++;
    return a->tuple ? a->tuple->v[i] : a->all;
}

static tj_str *cut(tj *r, tj_str *s, int64_t precision) {
    if (precision < 0 || tj_chars(r, s) <= precision) return s;
    return tj_str_sub(r, s, 0, tj_byte_of(r, s, precision));
}

/* `at`: the index of the conversion's character, for messages. */
static void percent_one(tj *r, tj_sb *b, spec *f, tj_val v, bool data, bool markup, int64_t at) {
    char align = f->align == '<' ? '<' : '>';
    size_t head = 0;
    tj_str *s;
    int64_t i;
    switch (f->type) {
    case 's':
    case 'r':
    case 'a': {
        s = cut(r, f->type == 's' ? tj_to_str(r, v) : repr(r, v), f->precision);
        if (markup) s = tj_str_escape(r, s);
        f->fill = " ";
        break;
    }
    case 'c':
        if (tj_as_int(v, &i) && i >= 0 && i <= 0x10FFFF && !(i >= 0xD800 && i < 0xE000)) {
            tj_sb c;
            tj_sb_init(r, &c);
            tj_sb_char(&c, (uint32_t)i, true); /* the number may be the context's */
            s = tj_sb_done(&c);
        } else if (v.t == TJ_STR && tj_chars(r, v.s) == 1) {
            s = tj_to_str(r, v);
        } else {
            tj_fail(r, TS_E_INVAL, "%%c requires int or char");
        }
        f->fill = " ";
        break;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
        if (v.t == TJ_FLOAT && strchr("diu", f->type) && fabs(v.f) < 9e18) i = (int64_t)v.f;
        else if (!tj_as_int(v, &i))
            tj_fail(r, TS_E_INVAL, "%%%c format: %s is required, not %s", f->type,
                    strchr("diu", f->type) ? "a real number" : "an integer", tj_type_name(v));
        s = int_text(r, i, f, f->type, &head);
        if (f->zero && align == '>') align = '=';
        break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
        if (!tj_is_number(v)) tj_fail(r, TS_E_INVAL, "must be real number, not %s", tj_type_name(v));
        s = float_text(r, tj_as_double(v), f, f->type, &head);
        if (f->zero && align == '>') align = '=';
        break;
    default:
        tj_fail(r, TS_E_INVAL, "unsupported format character '%c' (0x%x) at index %lld",
                f->type > ' ' && f->type < 127 ? f->type : '?', (unsigned char)f->type, (long long)at);
    }
    if (align == '=' && f->zero) f->fill = "0";
    f->n_fill = 1;
    padded(b, s, head, f, align, data);
}

tj_str *tj_percent(tj *r, const tj_str *t, tj_val args) {
    percent_args a = {.all = args};
    tj_sb b;
    tj_sb_init(r, &b);
    if (args.t == TJ_SEQ && (args.q->kind == TJ_TUPLE || args.q->kind == TJ_GROUP)) a.tuple = args.q;
    bool by_name = false;
    for (size_t i = 0; i < t->len;) {
        size_t p = i;
        while (p < t->len && t->s[p] != '%') p++;
        tj_sb_sub(&b, t, i, p);
        i = p;
        if (i >= t->len) break;
        bool data = tj_mark(t, i);
        spec f = {.fill = " ", .n_fill = 1, .width = -1, .precision = -1};
        tj_val v = {0};
        i++;
        if (i < t->len && t->s[i] == '(') {
            const char *e = memchr(t->s + i, ')', t->len - i);
            if (!e) tj_fail(r, TS_E_INVAL, "incomplete format key");
            if (args.t != TJ_DICT) tj_fail(r, TS_E_INVAL, "format requires a mapping");
            tj_str *key = tj_str_sub(r, t, i + 1, (size_t)(e - t->s));
            tj_val *found = tj_dict_name(r, args.d, key);
            if (!found) tj_fail(r, TS_E_INVAL, "KeyError: %.*s", (int)(key->len < 60 ? key->len : 60), key->s);
            v = *found;
            by_name = true;
            i = (size_t)(e - t->s) + 1;
        }
        for (; i < t->len && t->s[i] && strchr("-+ #0", t->s[i]); i++) {
            switch (t->s[i]) {
            case '-': f.align = '<'; break;
            case '+': f.sign = '+'; break;
            case ' ': f.sign = f.sign ? f.sign : ' '; break;
            case '#': f.alt = true; break;
            default: f.zero = true;
            }
        }
        if (i < t->len && t->s[i] == '*') {
            i++;
            if (!tj_as_int(next_arg(r, &a), &f.width)) tj_fail(r, TS_E_INVAL, "* wants int");
            if (f.width < 0) f.align = '<', f.width = f.width < -WIDTH_MAX ? WIDTH_MAX + 1 : -f.width;
        } else {
            f.width = number(t, &i);
        }
        if (i < t->len && t->s[i] == '.') {
            i++;
            if (i < t->len && t->s[i] == '*') {
                i++;
                if (!tj_as_int(next_arg(r, &a), &f.precision)) tj_fail(r, TS_E_INVAL, "* wants int");
                if (f.precision < 0) f.precision = 0;
            } else {
                f.precision = number(t, &i);
                if (f.precision < 0) f.precision = 0;
            }
        }
        while (i < t->len && t->s[i] && strchr("hlL", t->s[i])) i++;
        if (i >= t->len) tj_fail(r, TS_E_INVAL, "incomplete format");
        f.type = t->s[i++];
        check_width(r, &f);
        if (f.type == '%') {
            tj_sb_add(&b, "%", 1, data);
            continue;
        }
        if (v.t == TJ_ABSENT) v = next_arg(r, &a);
        percent_one(r, &b, &f, v, data, t->markup, tj_chars(r, tj_str_sub(r, t, 0, i - 1)));
    }
    size_t n = a.tuple ? a.tuple->n : 1;
    /* whatever can be asked for items counts as a mapping */
    if (a.next < n && !by_name && !(args.t == TJ_DICT || args.t == TJ_UNDEF || (args.t == TJ_SEQ && !a.tuple)))
        tj_fail(r, TS_E_INVAL, "not all arguments converted during string formatting");
    tj_str *s = tj_sb_done(&b);
    s->markup = t->markup;
    return s;
}

/* ---- str.format -------------------------------------------------------------------------------------------------- */

static spec parse_spec(tj *r, const tj_str *s) {
    spec f = {.fill = " ", .n_fill = 1, .width = -1, .precision = -1};
    size_t i = 0, n = 0;
    if (s->len) tj_char_at(s, 0, &n);
    if (n && n < s->len && s->s[n] && strchr("<>^=", s->s[n])) {
        f.fill = s->s;
        f.n_fill = n;
        f.align = s->s[n];
        i = n + 1;
    } else if (n && s->s[0] && strchr("<>^=", s->s[0])) {
        f.align = s->s[0];
        i = 1;
    }
    if (i < s->len && s->s[i] && strchr("+- ", s->s[i])) f.sign = s->s[i++];
    if (i < s->len && s->s[i] == '#') f.alt = true, i++;
    if (i < s->len && s->s[i] == '0') {
        f.zero = true;
        if (!f.align) f.align = '=', f.fill = "0";
        i++;
    }
    f.width = number(s, &i);
    if (i < s->len && s->s[i] == ',') f.comma = true, i++;
    else if (i < s->len && s->s[i] == '_') f.under = true, i++;
    if (i < s->len && s->s[i] == '.') {
        i++;
        f.precision = number(s, &i);
        if (f.precision < 0) tj_fail(r, TS_E_INVAL, "Format specifier missing precision");
    }
    if (i < s->len) f.type = s->s[i++];
    if (i < s->len) tj_fail(r, TS_E_INVAL, "Invalid format specifier");
    check_width(r, &f);
    return f;
}

static void format_one(tj *r, tj_sb *b, tj_val v, const tj_str *st) {
    if (!st->len) {
        tj_sb_val(b, v);
        return;
    }
    spec f = parse_spec(r, st);
    size_t head = 0;
    tj_str *s;
    int64_t i;
    char align = f.align ? f.align : '>';
    bool integer = f.type && strchr("dxXobcn", f.type), real = f.type && strchr("eEfFgG%", f.type);
    if (v.t == TJ_STR) {
        if (f.type && f.type != 's')
            tj_fail(r, TS_E_INVAL, "Unknown format code '%c' for object of type 'str'", f.type);
        if (f.sign) tj_fail(r, TS_E_INVAL, "Sign not allowed in string format specifier");
        if (f.alt) tj_fail(r, TS_E_INVAL, "Alternate form (#) not allowed in string format specifier");
        if (f.comma || f.under) tj_fail(r, TS_E_INVAL, "Cannot specify '%c' with 's'.", f.comma ? ',' : '_');
        if (f.align == '=' && !f.zero) tj_fail(r, TS_E_INVAL, "'=' alignment not allowed in string format specifier");
        s = cut(r, tj_to_str(r, v), f.precision);
        align = f.align && f.align != '=' ? f.align : '<';
    } else if (tj_is_number(v) && (real || (v.t == TJ_FLOAT && !f.type))) {
        s = float_text(r, tj_as_double(v), &f, f.type, &head);
    } else if (tj_as_int(v, &i) && (integer || (!f.type && v.t == TJ_INT))) {
        if (f.precision >= 0) tj_fail(r, TS_E_INVAL, "Precision not allowed in integer format specifier");
        if (f.type == 'c') tj_fail(r, TS_E_UNSUPP, "the format type c is not supported");
        s = int_text(r, i, &f, f.type, &head);
    } else if (v.t == TJ_BOOL && !f.type) {
        i = v.b;
        if (f.precision >= 0) tj_fail(r, TS_E_INVAL, "Precision not allowed in integer format specifier");
        s = int_text(r, i, &f, 'd', &head);
    } else if (v.t == TJ_UNDEF) {
        tj_fail(r, TS_E_INVAL, "unsupported format string passed to Undefined.__format__");
    } else {
        if (tj_is_number(v))
            tj_fail(r, TS_E_INVAL, "Unknown format code '%c' for object of type '%s'", f.type, tj_type_name(v));
        tj_fail(r, TS_E_INVAL, "unsupported format string passed to %s.__format__", tj_type_name(v));
    }
    padded(b, s, head, &f, align, st->mk || st->data);
}

/* The value of a field: an argument, then .name and [key] parts. */
static tj_val field(tj *r, const tj_str *name, tj_args *a, int64_t *next) {
    size_t p = 0;
    while (p < name->len && name->s[p] != '.' && name->s[p] != '[') p++;
    tj_str *first = tj_str_sub(r, name, 0, p);
    tj_val v = {0};
    size_t q = 0;
    int64_t i = number(first, &q);
    if (!first->len || (i >= 0 && q == first->len)) {
        if ((!first->len && *next < 0) || (first->len && *next > 0))
            tj_fail(r, TS_E_INVAL, "cannot switch between manual field specification and automatic field numbering");
        if (!first->len) i = (*next)++;
        else *next = -1;
        if (i >= (int64_t)a->n) tj_fail(r, TS_E_INVAL, "tuple index out of range");
        v = a->v[i];
    } else {
        for (size_t k = 0; k < a->n_kw; k++)
            if (tj_str_eq(a->kw[k], first)) v = a->kwv[k];
        if (v.t == TJ_ABSENT)
            tj_fail(r, TS_E_INVAL, "KeyError: %.*s", (int)(first->len < 60 ? first->len : 60), first->s);
    }
    while (p < name->len) {
        size_t e = ++p;
        if (name->s[p - 1] == '.') {
            while (e < name->len && name->s[e] != '.' && name->s[e] != '[') e++;
            v = tj_getattr(r, v, tj_str_sub(r, name, p, e));
            p = e;
        } else {
            while (e < name->len && name->s[e] != ']') e++;
            if (e >= name->len) tj_fail(r, TS_E_INVAL, "Missing ']' in format string");
            tj_str *key = tj_str_sub(r, name, p, e);
            q = 0;
            i = number(key, &q);
            v = tj_getitem(r, v, i >= 0 && q == key->len ? tj_int(i) : tj_of_str(key));
            p = e + 1;
            if (p < name->len && name->s[p] != '.' && name->s[p] != '[')
                tj_fail(r, TS_E_INVAL, "Only '.' or '[' may follow ']' in format field specifier");
        }
    }
    return v;
}

static void format_into(tj *r, tj_sb *b, const tj_str *t, tj_args *a, int64_t *next, int level) {
    if (level > 2) tj_fail(r, TS_E_INVAL, "Max string recursion exceeded");
    for (size_t i = 0; i < t->len;) {
        size_t p = i;
        while (p < t->len && t->s[p] != '{' && t->s[p] != '}') p++;
        tj_sb_sub(b, t, i, p);
        if (p >= t->len) break;
        char c = t->s[p];
        if (p + 1 < t->len && t->s[p + 1] == c) {
            tj_sb_sub(b, t, p, p + 1);
            i = p + 2;
            continue;
        }
        if (c == '}' || p + 1 == t->len) tj_fail(r, TS_E_INVAL, "Single '%c' encountered in format string", c);
        size_t e = p + 1, depth = 1, colon = 0, bang = 0;
        for (; e < t->len; e++) {
            if (t->s[e] == '{') depth++;
            else if (t->s[e] == '}' && --depth == 0) break;
            else if (t->s[e] == ':' && !colon && depth == 1) colon = e;
            else if (t->s[e] == '!' && !colon && !bang && depth == 1) bang = e;
        }
        if (e >= t->len) tj_fail(r, TS_E_INVAL, "expected '}' before end of string");
        size_t end = bang ? bang : colon ? colon : e;
        tj_val v = field(r, tj_str_sub(r, t, p + 1, end), a, next);
        if (bang) {
            char how = bang + 1 < e ? t->s[bang + 1] : 0;
            if (how == 's') v = tj_of_str(tj_to_str(r, v));
            else if (how == 'r' || how == 'a') v = tj_of_str(repr(r, v));
            else tj_fail(r, TS_E_INVAL, "Unknown conversion specifier in a format");
        }
        tj_sb spec_text;
        tj_sb_init(r, &spec_text);
        if (colon) format_into(r, &spec_text, tj_str_sub(r, t, colon + 1, e), a, next, level + 1);
        if (t->markup && v.t == TJ_STR) v = tj_of_str(tj_str_escape(r, v.s));
        format_one(r, b, v, tj_sb_done(&spec_text));
        i = e + 1;
    }
}

tj_val tj_str_format(tj *r, tj_val self, tj_args *a) {
    tj_sb b;
    int64_t next = 0;
    tj_sb_init(r, &b);
    format_into(r, &b, self.s, a, &next, 1);
    tj_str *s = tj_sb_done(&b);
    s->markup = self.s->markup;
    return tj_of_str(s);
}
