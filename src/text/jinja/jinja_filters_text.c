/* Filters that make text or numbers of one value. */
#include "text/jinja/jinja_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The value as a string; what is a string stays itself. */
static const tj_str *soft(tj *r, tj_val v) { return v.t == TJ_STR ? v.s : tj_to_str(r, v); }

/* The value, which must be a string: Jinja2's filter calls `method` of it. */
static const tj_str *text_of(tj *r, tj_val v, const char *method) {
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (v.t != TJ_STR) tj_fail(r, TS_E_INVAL, "'%s' object has no attribute '%s'", tj_type_name(v), method);
    return v.s;
}

/* A made text, markup where `like` is. */
static tj_val made(tj_sb *b, const tj_str *like) {
    tj_str *s = tj_sb_done(b);
    s->markup = like && like->markup;
    return tj_of_str(s);
}

static tj_val text_method(tj *r, const char *name, const tj_str *s, tj_args *a) {
    tj_val self = tj_of_str(s);
    return tj_call_func(r, tj_find_method(self, tj_str_lit(r, name)), "filter", self, a);
}

static tj_val f_upper(tj *r, tj_val v, tj_args *a) { return text_method(r, "upper", soft(r, v), a); }
static tj_val f_lower(tj *r, tj_val v, tj_args *a) { return text_method(r, "lower", soft(r, v), a); }
static tj_val f_capitalize(tj *r, tj_val v, tj_args *a) { return text_method(r, "capitalize", soft(r, v), a); }
static tj_val f_trim(tj *r, tj_val v, tj_args *a) { return text_method(r, "strip", soft(r, v), a); }

/* Words begin behind blanks and opening brackets, and nowhere else (str.title differs). */
static tj_val f_title(tj *r, tj_val v, tj_args *a) {
    (void)a;
    const tj_str *s = soft(r, v);
    tj_sb b;
    tj_sb_init(r, &b);
    bool first = true;
    for (size_t i = 0, n; i < s->len;) {
        uint32_t c = tj_char_at(s, i, &n);
        bool between = tj_is_space(c) || (c < 128 && strchr("-({[<", (int)c) && c);
        i += tj_sb_case(&b, s, i, first ? TJ_UPPER : TJ_LOWER);
        first = between;
    }
    return made(&b, s);
}

static tj_val f_string(tj *r, tj_val v, tj_args *a) {
    (void)a;
    return tj_of_str(soft(r, v));
}

static tj_val f_center(tj *r, tj_val v, tj_args *a) {
    int64_t width = tj_arg_int(r, a, 0, 80);
    return text_method(r, "center", soft(r, v), &(tj_args){.v = (tj_val[]){tj_int(width)}, .n = 1});
}

static tj_val f_replace(tj *r, tj_val v, tj_args *a) {
    tj_val arg[3] = {tj_of_str(tj_str_as(r, soft(r, a->v[0]), false)), tj_of_str(tj_str_as(r, soft(r, a->v[1]), false)),
                     tj_int(-1)};
    if (tj_given(a, 2) && a->v[2].t != TJ_NONE) arg[2] = tj_int(tj_arg_int(r, a, 2, -1));
    return text_method(r, "replace", tj_str_as(r, soft(r, v), false), &(tj_args){.v = arg, .n = 3});
}

static tj_val f_indent(tj *r, tj_val v, tj_args *a) {
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (v.t != TJ_STR) tj_fail(r, TS_E_INVAL, "unsupported operand type(s) for +=: '%s' and 'str'", tj_type_name(v));
    const tj_str *s = v.s, *by;
    bool first = tj_arg_bool(a, 1, false), blank = tj_arg_bool(a, 2, false);
    tj_sb b;
    if (tj_given(a, 0) && a->v[0].t == TJ_STR) {
        by = a->v[0].s;
    } else {
        tj_sb_init(r, &b);
        int64_t width = tj_arg_int(r, a, 0, 4);
        tj_sb_fill(&b, " ", 1, width > 0 ? (size_t)width : 0, false);
        by = tj_sb_done(&b);
    }
    /* one more newline, so that the last line counts as one even where it is empty */
    s = tj_str_cat(r, s, tj_str_lit(r, "\n"));
    const tj_seq *lines = tj_call_func(r, tj_find_method(tj_of_str(s), tj_str_lit(r, "splitlines")), "filter",
                                       tj_of_str(s), &(tj_args){0})
                              .q;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < lines->n; i++) {
        const tj_str *line = lines->v[i].s;
        if (i) tj_sb_puts(&b, "\n");
        if (i ? blank || line->len : first) tj_sb_str(&b, by);
        tj_sb_str(&b, line);
    }
    return made(&b, v.s);
}

static tj_val f_truncate(tj *r, tj_val v, tj_args *a) {
    const tj_str *end = tj_arg_str(r, a, 2, "...", "end");
    int64_t length = tj_arg_int(r, a, 0, 255),
            leeway = tj_given(a, 3) && a->v[3].t != TJ_NONE ? tj_arg_int(r, a, 3, 5) : 5;
    int64_t n_end = tj_chars(r, end), n = tj_len(r, v);
    if (length < n_end)
        tj_fail(r, TS_E_INVAL, "expected length >= %lld, got %lld", (long long)n_end, (long long)length);
    if (leeway < 0) tj_fail(r, TS_E_INVAL, "expected leeway >= 0, got %lld", (long long)leeway);
    if (leeway >= n || n - leeway <= length) return v;
    const tj_str *s = text_of(r, v, "rsplit");
    size_t cut = tj_byte_of(r, s, length - n_end);
    if (!tj_arg_bool(a, 1, false)) {
        int64_t space = tj_find(r, s, 0, cut, tj_str_lit(r, " "), true);
        if (space >= 0) cut = (size_t)space;
    }
    tj_str *out = tj_str_cat(r, tj_str_sub(r, s, 0, cut), end);
    out->markup = s->markup;
    return tj_of_str(out);
}

static tj_val f_wordcount(tj *r, tj_val v, tj_args *a) {
    (void)a;
    const tj_str *s = soft(r, v);
    int64_t words = 0;
    bool in = false;
    tj_bytes(r, s->len * 4);
    for (size_t i = 0, n; i < s->len; i += n) {
        bool word = tj_is_word(tj_char_at(s, i, &n));
        words += word && !in;
        in = word;
    }
    return tj_int(words);
}

static tj_val f_escape(tj *r, tj_val v, tj_args *a) {
    (void)a;
    return tj_of_str(tj_str_escape(r, soft(r, v)));
}
static tj_val f_forceescape(tj *r, tj_val v, tj_args *a) {
    (void)a;
    return tj_of_str(tj_str_escape(r, tj_str_as(r, soft(r, v), false)));
}
static tj_val f_safe(tj *r, tj_val v, tj_args *a) {
    (void)a;
    return tj_of_str(tj_str_as(r, soft(r, v), true));
}

static tj_val f_striptags(tj *r, tj_val v, tj_args *a) {
    (void)a;
    const tj_str *s = soft(r, v);
    tj_sb b;
    tj_sb_init(r, &b);
    bool space = false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        if (c == '<') { /* a comment or a tag; without an end it is text */
            bool comment = s->len - i >= 4 && memcmp(s->s + i, "<!--", 4) == 0;
            int64_t e = tj_find(r, s, i, s->len, tj_str_lit(r, comment ? "-->" : ">"), false);
            if (e >= 0) {
                n = (size_t)e - i + (comment ? 3 : 1);
                continue;
            }
        }
        if (tj_is_space(c)) {
            space = true;
            continue;
        }
        if (space && b.len) tj_sb_add(&b, " ", 1, tj_mark(s, i));
        space = false;
        static const struct {
            const char *from, *to;
        } entity[] = {{"&amp;", "&"},  {"&lt;", "<"},  {"&gt;", ">"},         {"&quot;", "\""},
                      {"&#34;", "\""}, {"&#39;", "'"}, {"&nbsp;", "\xC2\xA0"}};
        size_t k = 0;
        while (k < 7 &&
               !(s->len - i >= strlen(entity[k].from) && memcmp(s->s + i, entity[k].from, strlen(entity[k].from)) == 0))
            k++;
        if (k < 7) {
            tj_sb_add(&b, entity[k].to, strlen(entity[k].to), tj_mark(s, i));
            n = strlen(entity[k].from);
        } else {
            tj_sb_sub(&b, s, i, i + n);
        }
    }
    return tj_of_str(tj_sb_done(&b));
}

static void quote(tj_sb *b, const tj_str *s, bool query) {
    for (size_t i = 0; i < s->len; i++) {
        uint8_t c = (uint8_t)s->s[i];
        if ((c < 128 && tj_is_word(c)) || c == '-' || c == '.' || c == '~' || (c == '/' && !query)) {
            tj_sb_sub(b, s, i, i + 1);
        } else if (c == ' ' && query) {
            tj_sb_add(b, "+", 1, tj_mark(s, i));
        } else {
            static const char hex[] = "0123456789ABCDEF";
            tj_sb_add(b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3, tj_mark(s, i));
        }
    }
}

static tj_val f_urlencode(tj *r, tj_val v, tj_args *a) {
    (void)a;
    tj_sb b;
    tj_sb_init(r, &b);
    if (v.t == TJ_STR || !tj_iterable(v) || v.t == TJ_UNDEF) {
        quote(&b, soft(r, v), false);
        return tj_of_str(tj_sb_done(&b));
    }
    const tj_seq *keys = tj_iter(r, v);
    for (size_t i = 0; i < keys->n; i++) {
        tj_val k = keys->v[i], val;
        if (v.t == TJ_DICT) {
            val = v.d->e[i].val;
        } else {
            if (k.t != TJ_SEQ || k.q->n != 2) tj_fail(r, TS_E_INVAL, "urlencode wants a text, a dict or pairs");
            val = k.q->v[1];
            k = k.q->v[0];
        }
        if (i) tj_sb_puts(&b, "&");
        quote(&b, soft(r, k), true);
        tj_sb_puts(&b, "=");
        quote(&b, soft(r, val), true);
    }
    return tj_of_str(tj_sb_done(&b));
}

static tj_val f_format(tj *r, tj_val v, tj_args *a) {
    if (a->n && a->n_kw) tj_fail(r, TS_E_INVAL, "can't handle positional and keyword arguments at the same time");
    tj_val args;
    if (a->n_kw) {
        tj_dict *d = tj_dict_new(r, a->n_kw);
        for (size_t i = 0; i < a->n_kw; i++) tj_dict_set(r, d, tj_of_str(a->kw[i]), a->kwv[i]);
        args = TJ_V(TJ_DICT, d, d);
    } else {
        tj_seq *q = tj_seq_new(r, TJ_TUPLE, a->n);
        for (size_t i = 0; i < a->n; i++) tj_seq_push(r, q, a->v[i]);
        args = tj_of_seq(q);
    }
    return tj_of_str(tj_percent(r, soft(r, v), args));
}

/* transformers' own tojson: json.dumps, and no HTML escapes as in Jinja2's. */
static tj_val f_tojson(tj *r, tj_val v, tj_args *a) {
    tj_json_opts o = {.ascii = tj_arg_bool(a, 0, false), .sort = tj_arg_bool(a, 3, false)};
    tj_sb b;
    int64_t width;
    if (tj_given(a, 1) && a->v[1].t == TJ_STR) {
        o.indent = a->v[1].s;
    } else if (tj_given(a, 1) && a->v[1].t != TJ_NONE) {
        if (!tj_as_int(a->v[1], &width)) tj_fail(r, TS_E_INVAL, "the indent of tojson must be a number or a string");
        tj_sb_init(r, &b);
        tj_sb_fill(&b, " ", 1, width > 0 ? (size_t)width : 0, false);
        o.indent = tj_sb_done(&b);
    }
    o.item_sep = tj_str_lit(r, o.indent ? "," : ", ");
    o.key_sep = tj_str_lit(r, ": ");
    if (tj_given(a, 2) && a->v[2].t != TJ_NONE) {
        const tj_seq *q = a->v[2].t == TJ_SEQ ? a->v[2].q : NULL;
        if (!q || q->n != 2 || q->v[0].t != TJ_STR || q->v[1].t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "the separators of tojson must be two strings");
        o.item_sep = q->v[0].s;
        o.key_sep = q->v[1].s;
    }
    tj_sb_init(r, &b);
    tj_sb_json(&b, v, &o, 0);
    return tj_of_str(tj_sb_done(&b));
}

/* repr with the keys of dicts in order; Python breaks what is longer than a line. */
static tj_val sorted_keys(tj *r, tj_val v) {
    if (v.t == TJ_DICT) {
        tj_seq *pairs = tj_call_func(r, tj_func_in(tj_filters_seq, tj_n_filters_seq, "dictsort", 8), "filter", v,
                                     &(tj_args){.v = (tj_val[]){tj_bool(true)}, .n = 1})
                            .q;
        tj_dict *d = tj_dict_new(r, pairs->n);
        tj_enter(r);
        for (size_t i = 0; i < pairs->n; i++)
            tj_dict_set(r, d, pairs->v[i].q->v[0], sorted_keys(r, pairs->v[i].q->v[1]));
        tj_leave(r);
        return TJ_V(TJ_DICT, d, d);
    }
    if (v.t == TJ_SEQ && v.q->kind <= TJ_TUPLE) {
        tj_seq *q = tj_seq_new(r, v.q->kind, v.q->n);
        tj_enter(r);
        for (size_t i = 0; i < v.q->n; i++) tj_seq_push(r, q, sorted_keys(r, v.q->v[i]));
        tj_leave(r);
        return tj_of_seq(q);
    }
    return v;
}

static tj_val f_pprint(tj *r, tj_val v, tj_args *a) {
    (void)a;
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_repr(&b, sorted_keys(r, v));
    tj_str *s = tj_sb_done(&b);
    if (tj_chars(r, s) > 80)
        tj_fail(r, TS_E_UNSUPP, "pprint of what is longer than a line of 80 characters is not supported");
    return tj_of_str(s);
}

static tj_val f_xmlattr(tj *r, tj_val v, tj_args *a) {
    if (v.t != TJ_DICT) tj_fail(r, TS_E_INVAL, "xmlattr wants a dict, not %s", tj_type_name(v));
    tj_sb b;
    tj_sb_init(r, &b);
    bool first = true;
    for (size_t i = 0; i < v.d->n; i++) {
        tj_val val = v.d->e[i].val;
        if (val.t == TJ_NONE || val.t == TJ_UNDEF) continue;
        if (!first || tj_arg_bool(a, 0, true)) tj_sb_puts(&b, " ");
        first = false;
        tj_sb_str(&b, tj_str_escape(r, soft(r, v.d->e[i].key)));
        tj_sb_puts(&b, "=\"");
        tj_sb_str(&b, tj_str_escape(r, soft(r, val)));
        tj_sb_puts(&b, "\"");
    }
    return tj_of_str(tj_sb_done(&b));
}

static tj_val f_wordwrap(tj *r, tj_val v, tj_args *a) {
    const tj_str *s = text_of(r, v, "splitlines"), *nl = tj_given(a, 2) && a->v[2].t != TJ_NONE
                                                             ? tj_arg_str(r, a, 2, "", "wrapstring")
                                                             : tj_str_lit(r, "\n");
    int64_t width = tj_arg_int(r, a, 0, 79);
    if (width <= 0) tj_fail(r, TS_E_INVAL, "invalid width %lld (must be > 0)", (long long)width);
    return tj_of_str(tj_wordwrap(r, s, width, tj_arg_bool(a, 1, true), nl, tj_arg_bool(a, 3, true)));
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Python's float(text): false where it is none. */
static bool parse_float(tj *r, const tj_str *s, double *out) {
    const tj_str *t = text_method(r, "strip", s, &(tj_args){0}).s;
    char buf[400];
    size_t n = 0;
    for (size_t i = 0; i < t->len; i++) {
        char c = t->s[i];
        bool between =
            i && i + 1 < t->len && t->s[i - 1] >= '0' && t->s[i - 1] <= '9' && t->s[i + 1] >= '0' && t->s[i + 1] <= '9';
        if (c == '_' && between) continue;
        if (!c || c == '_' || c == 'x' || c == 'X' || c == 'p' || c == 'P' || c == '(' || n + 1 == sizeof buf)
            return false;
        buf[n++] = c;
    }
    buf[n] = 0;
    if (!n || tj_is_space((unsigned char)buf[0])) return false;
    char *end;
    *out = strtod(buf, &end);
    return !*end;
}

/* Python's int(text, base). */
static bool parse_int(tj *r, const tj_str *s, int base, int64_t *out) {
    const tj_str *t = text_method(r, "strip", s, &(tj_args){0}).s;
    size_t i = 0, digits = 0;
    bool minus = false;
    if (i < t->len && (t->s[i] == '-' || t->s[i] == '+')) minus = t->s[i++] == '-';
    if (i + 1 < t->len && t->s[i] == '0') {
        char c = (char)(t->s[i + 1] | 32);
        int b = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (b && (base == b || base == 0)) base = b, i += 2;
    }
    if (base == 0) base = 10;
    int64_t v = 0;
    for (; i < t->len; i++) {
        char c = t->s[i];
        if (c == '_' && digits && i + 1 < t->len && t->s[i + 1] != '_') continue;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (d >= base) return false;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_sub_overflow(v, d, &v))
            tj_fail(r, TS_E_UNSUPP, "the number %.*s does not fit in 64 bits", (int)(t->len < 60 ? t->len : 60), t->s);
        digits++;
    }
    if (!minus && v == INT64_MIN) tj_fail(r, TS_E_UNSUPP, "the number %.*s does not fit in 64 bits", (int)t->len, t->s);
    *out = minus ? v : -v;
    return digits > 0;
}

static tj_val f_int(tj *r, tj_val v, tj_args *a) {
    int64_t i, base = tj_arg_int(r, a, 1, 10);
    double f;
    tj_val otherwise = tj_given(a, 0) ? a->v[0] : tj_int(0);
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (tj_as_int(v, &i)) return tj_int(i);
    if (v.t == TJ_STR) {
        if ((base == 0 || (base >= 2 && base <= 36)) && parse_int(r, v.s, (int)base, &i)) return tj_int(i);
        if (!parse_float(r, v.s, &f)) return otherwise;
    } else if (v.t == TJ_FLOAT) {
        f = v.f;
    } else {
        return otherwise;
    }
    if (!isfinite(f)) {
        if (v.t == TJ_FLOAT && isinf(f)) tj_fail(r, TS_E_INVAL, "cannot convert float infinity to integer");
        return otherwise;
    }
    if (fabs(f) >= 9.2e18) tj_fail(r, TS_E_UNSUPP, "the result of an integer operation does not fit in 64 bits");
    return tj_int((int64_t)f);
}

static tj_val f_float(tj *r, tj_val v, tj_args *a) {
    double f;
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (tj_is_number(v)) return tj_float(tj_as_double(v));
    if (v.t == TJ_STR && parse_float(r, v.s, &f)) return tj_float(f);
    return tj_given(a, 0) ? a->v[0] : tj_float(0);
}

static tj_val f_filesizeformat(tj *r, tj_val v, tj_args *a) {
    static const char *const units[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                            {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    bool binary = tj_arg_bool(a, 0, false);
    double base = binary ? 1024 : 1000, bytes = 0, unit = base;
    if (tj_is_number(v)) bytes = tj_as_double(v);
    else if (v.t != TJ_STR || !parse_float(r, v.s, &bytes))
        tj_fail(r, TS_E_INVAL, "filesizeformat wants a number, not %s", tj_type_name(v));
    char s[64];
    if (bytes == 1) return tj_of_str(tj_str_lit(r, "1 Byte"));
    tj_sb b;
    tj_sb_init(r, &b);
    if (bytes < base) {
        snprintf(s, sizeof s, "%.0f Bytes", trunc(bytes));
    } else {
        int i = 0;
        unit *= base;
        while (i < 7 && bytes >= unit) unit *= base, i++;
        snprintf(s, sizeof s, "%.1f %s", base * bytes / unit, units[binary][i]);
    }
    tj_sb_puts(&b, s);
    return tj_of_str(tj_sb_done(&b));
}

static tj_val f_abs(tj *r, tj_val v, tj_args *a) {
    (void)a;
    int64_t i;
    if (v.t == TJ_FLOAT) return tj_float(fabs(v.f));
    if (!tj_as_int(v, &i)) tj_fail(r, TS_E_INVAL, "bad operand type for abs(): '%s'", tj_type_name(v));
    return i < 0 ? tj_negate(r, tj_int(i)) : tj_int(i);
}

static tj_val f_round(tj *r, tj_val v, tj_args *a) {
    int64_t digits = tj_arg_int(r, a, 0, 0), i;
    const tj_str *how = tj_arg_str(r, a, 1, "common", "method");
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (digits < -400) digits = -400;
    if (digits > 400) digits = 400;
    if (!tj_is_number(v)) tj_fail(r, TS_E_INVAL, "type %s doesn't define __round__ method", tj_type_name(v));
    if (tj_str_is(how, "common")) {
        if (tj_as_int(v, &i) && digits >= 0) return tj_int(i);
        double f = tj_round(tj_as_double(v), (int)digits);
        return v.t == TJ_FLOAT ? tj_float(f) : tj_int((int64_t)f);
    }
    bool up = tj_str_is(how, "ceil");
    if (!up && !tj_str_is(how, "floor")) tj_fail(r, TS_E_INVAL, "method must be common, ceil or floor");
    double scale = pow(10, (double)digits), f = tj_as_double(v) * scale;
    return tj_float((up ? ceil(f) : floor(f)) / scale);
}

/* ---- any value --------------------------------------------------------------------------------------------------- */

static tj_val f_default(tj *r, tj_val v, tj_args *a) {
    if (v.t == TJ_UNDEF || (tj_arg_bool(a, 1, false) && !tj_truth(v)))
        return tj_given(a, 0) ? a->v[0] : tj_of_str(tj_str_lit(r, ""));
    return v;
}

static tj_val f_length(tj *r, tj_val v, tj_args *a) {
    (void)a;
    return tj_int(tj_len(r, v));
}

static tj_val f_attr(tj *r, tj_val v, tj_args *a) {
    if (v.t == TJ_DICT && !tj_find_method(v, soft(r, a->v[0]))) return tj_undef_attr(r, v, soft(r, a->v[0]));
    return tj_getattr(r, v, soft(r, a->v[0]));
}

const tj_func tj_filters_text[] = {
    {"abs", "", f_abs},
    {"attr", "name", f_attr},
    {"capitalize", "", f_capitalize},
    {"center", "/ width", f_center},
    {"count", "", f_length},
    {"d", "/ default_value boolean", f_default},
    {"default", "/ default_value boolean", f_default},
    {"e", "", f_escape},
    {"escape", "", f_escape},
    {"filesizeformat", "/ binary", f_filesizeformat},
    {"float", "/ default", f_float},
    {"forceescape", "", f_forceescape},
    {"format", "*", f_format},
    {"indent", "/ width first blank", f_indent},
    {"int", "/ default base", f_int},
    {"length", "", f_length},
    {"lower", "", f_lower},
    {"pprint", "", f_pprint},
    {"random", "", NULL},
    {"replace", "old new / count", f_replace},
    {"round", "/ precision method", f_round},
    {"safe", "", f_safe},
    {"string", "", f_string},
    {"striptags", "", f_striptags},
    {"title", "", f_title},
    {"tojson", "/ ensure_ascii indent separators sort_keys", f_tojson},
    {"trim", "/ chars", f_trim},
    {"truncate", "/ length killwords end leeway", f_truncate},
    {"upper", "", f_upper},
    {"urlencode", "", f_urlencode},
    {"urlize", "*", NULL},
    {"wordcount", "", f_wordcount},
    {"wordwrap", "/ width break_long_words wrapstring break_on_hyphens", f_wordwrap},
    {"xmlattr", "/ autospace", f_xmlattr},
};
const size_t tj_n_filters_text = sizeof tj_filters_text / sizeof *tj_filters_text;
