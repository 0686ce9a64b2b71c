/* Methods of strings, dicts and lists: those of Python's that change nothing. */
#include "text/jinja/jinja_int.h"

#include <string.h>

/* What a method of s made: markup where s is. */
static tj_val made(tj_sb *b, const tj_str *s) {
    tj_str *t = tj_sb_done(b);
    t->markup = s->markup;
    return tj_of_str(t);
}

/* A string argument; escaped where the string that it is for is markup. */
static const tj_str *text_arg(tj *r, tj_val self, tj_args *a, size_t i, const char *what) {
    const tj_str *s = tj_arg_str(r, a, i, "", what);
    return self.s->markup ? tj_str_escape(r, s) : s;
}

/* ---- white space and other ends ---------------------------------------------------------------------------------- */

static bool is_in(const tj_str *set, const char *c, size_t n) {
    for (size_t i = 0, k; i < set->len; i += k) {
        tj_char_at(set, i, &k);
        if (k == n && memcmp(set->s + i, c, n) == 0) return true;
    }
    return false;
}

static tj_val strip(tj *r, tj_val self, tj_args *a, bool left, bool right) {
    const tj_str *s = self.s,
                 *set = tj_given(a, 0) && a->v[0].t != TJ_NONE ? tj_arg_str(r, a, 0, "", "strip arg") : NULL;
    size_t from = 0, to = s->len, n;
    tj_bytes(r, s->len);
    while (left && from < to) {
        uint32_t c = tj_char_at(s, from, &n);
        if (!(set ? is_in(set, s->s + from, n) : tj_is_space(c))) break;
        if (set) tj_bytes(r, set->len);
        from += n;
    }
    while (right && to > from) {
        size_t p = to - 1;
        while (p > from && (s->s[p] & 0xC0) == 0x80) p--;
        uint32_t c = tj_char_at(s, p, &n);
        if (!(set ? is_in(set, s->s + p, n) : tj_is_space(c))) break;
        if (set) tj_bytes(r, set->len);
        to = p;
    }
    return tj_of_str(tj_str_sub(r, s, from, to));
}
static tj_val m_strip(tj *r, tj_val self, tj_args *a) { return strip(r, self, a, true, true); }
static tj_val m_lstrip(tj *r, tj_val self, tj_args *a) { return strip(r, self, a, true, false); }
static tj_val m_rstrip(tj *r, tj_val self, tj_args *a) { return strip(r, self, a, false, true); }

/* Does s[from..to) begin (or end) with what? */
static bool has_end(const tj_str *s, size_t from, size_t to, const tj_str *what, bool begin) {
    return what->len <= to - from && memcmp(s->s + (begin ? from : to - what->len), what->s, what->len) == 0;
}

/* The part of s that the arguments start and end choose, in bytes; false: start is behind the end. */
static bool part(tj *r, const tj_str *s, tj_args *a, size_t at, size_t *from, size_t *to) {
    int64_t n = tj_chars(r, s), i = 0, e = n;
    if (tj_given(a, at) && a->v[at].t != TJ_NONE) i = tj_arg_int(r, a, at, 0);
    if (tj_given(a, at + 1) && a->v[at + 1].t != TJ_NONE) e = tj_arg_int(r, a, at + 1, 0);
    if (i < 0) i = i + n < 0 ? 0 : i + n;
    if (e < 0) e = e + n < 0 ? 0 : e + n;
    if (e > n) e = n;
    if (i > e) return false;
    *from = tj_byte_of(r, s, i);
    *to = tj_byte_of(r, s, e);
    return true;
}

static tj_val with_end(tj *r, tj_val self, tj_args *a, bool begin) {
    const char *name = begin ? "startswith" : "endswith";
    size_t from, to;
    if (a->v[0].t == TJ_UNDEF) tj_fail_undef(r, a->v[0].u);
    bool some = part(r, self.s, a, 1, &from, &to);
    if (a->v[0].t == TJ_STR) return tj_bool(some && has_end(self.s, from, to, a->v[0].s, begin));
    if (a->v[0].t != TJ_SEQ || a->v[0].q->kind != TJ_TUPLE)
        tj_fail(r, TS_E_INVAL, "%s first arg must be str or a tuple of str, not %s", name, tj_type_name(a->v[0]));
    const tj_seq *q = a->v[0].q;
    for (size_t i = 0; i < q->n; i++) {
        if (q->v[i].t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "tuple for %s must only contain str, not %s", name, tj_type_name(q->v[i]));
        if (some && has_end(self.s, from, to, q->v[i].s, begin)) return tj_bool(true);
    }
    return tj_bool(false);
}
static tj_val m_startswith(tj *r, tj_val self, tj_args *a) { return with_end(r, self, a, true); }
static tj_val m_endswith(tj *r, tj_val self, tj_args *a) { return with_end(r, self, a, false); }

static tj_val m_removeprefix(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s, *p = text_arg(r, self, a, 0, "removeprefix() argument");
    return tj_of_str(tj_str_sub(r, s, has_end(s, 0, s->len, p, true) ? p->len : 0, s->len));
}
static tj_val m_removesuffix(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s, *p = text_arg(r, self, a, 0, "removesuffix() argument");
    return tj_of_str(tj_str_sub(r, s, 0, has_end(s, 0, s->len, p, false) ? s->len - p->len : s->len));
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static void push_part(tj *r, tj_seq *q, const tj_str *s, size_t from, size_t to) {
    tj_seq_push(r, q, tj_of_str(tj_str_sub(r, s, from, to)));
}

static void reverse(tj_seq *q) {
    for (size_t i = 0; i + 1 < q->n - i; i++) {
        tj_val t = q->v[i];
        q->v[i] = q->v[q->n - 1 - i];
        q->v[q->n - 1 - i] = t;
    }
}

/* Python's split() without a separator: runs of white characters. */
static void split_space(tj *r, tj_seq *q, const tj_str *s, int64_t most, bool right) {
    size_t n, from = 0, to = s->len;
    tj_bytes(r, s->len * 2);
    if (!right) {
        for (;;) {
            while (from < to && tj_is_space(tj_char_at(s, from, &n))) from += n;
            if (from >= to) return;
            size_t e = from;
            if (most >= 0 && (int64_t)q->n >= most) {
                e = to; /* the rest as it is */
            } else {
                while (e < to && !tj_is_space(tj_char_at(s, e, &n))) e += n;
            }
            push_part(r, q, s, from, e);
            if (most >= 0 && (int64_t)q->n > most) return;
            from = e;
        }
    }
    for (;;) {
        size_t p;
#define BACK(e) for (p = (e)-1; p > 0 && (s->s[p] & 0xC0) == 0x80; p--)
        while (to > 0) {
            BACK(to);
            if (!tj_is_space(tj_char_at(s, p, &n))) break;
            to = p;
        }
        if (!to) return;
        size_t b = to;
        if (most >= 0 && (int64_t)q->n >= most) {
            b = 0;
        } else {
            while (b > 0) {
                BACK(b);
                if (tj_is_space(tj_char_at(s, p, &n))) break;
                b = p;
            }
        }
#undef BACK
        push_part(r, q, s, b, to);
        if (most >= 0 && (int64_t)q->n > most) return;
        to = b;
    }
}

static tj_val split(tj *r, tj_val self, tj_args *a, bool right) {
    const tj_str *s = self.s;
    tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
    int64_t most = tj_arg_int(r, a, 1, -1);
    if (!tj_given(a, 0) || a->v[0].t == TJ_NONE) {
        split_space(r, q, s, most, right);
        if (right && q->n) reverse(q);
        return tj_of_seq(q);
    }
    const tj_str *sep = text_arg(r, self, a, 0, "the separator of split");
    if (!sep->len) tj_fail(r, TS_E_INVAL, "empty separator");
    size_t from = 0, to = s->len;
    for (int64_t p; most < 0 || (int64_t)q->n < most;) {
        p = tj_find(r, s, from, to, sep, right);
        if (p < 0) break;
        if (right) {
            push_part(r, q, s, (size_t)p + sep->len, to);
            to = (size_t)p;
        } else {
            push_part(r, q, s, from, (size_t)p);
            from = (size_t)p + sep->len;
        }
    }
    push_part(r, q, s, from, to);
    if (right) reverse(q);
    return tj_of_seq(q);
}
static tj_val m_split(tj *r, tj_val self, tj_args *a) { return split(r, self, a, false); }
static tj_val m_rsplit(tj *r, tj_val self, tj_args *a) { return split(r, self, a, true); }

static tj_val partition(tj *r, tj_val self, tj_args *a, bool right) {
    const tj_str *s = self.s, *sep = text_arg(r, self, a, 0, "the separator of partition");
    if (!sep->len) tj_fail(r, TS_E_INVAL, "empty separator");
    int64_t p = tj_find(r, s, 0, s->len, sep, right);
    tj_seq *q = tj_seq_new(r, TJ_TUPLE, 3);
    size_t from = p >= 0 ? (size_t)p : right ? 0 : s->len, to = p >= 0 ? from + sep->len : from;
    push_part(r, q, s, 0, from);
    push_part(r, q, s, from, to);
    push_part(r, q, s, to, s->len);
    return tj_of_seq(q);
}
static tj_val m_partition(tj *r, tj_val self, tj_args *a) { return partition(r, self, a, false); }
static tj_val m_rpartition(tj *r, tj_val self, tj_args *a) { return partition(r, self, a, true); }

static tj_val m_splitlines(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s;
    tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
    bool keep = tj_arg_bool(a, 0, false);
    tj_bytes(r, s->len * 4);
    size_t from = 0, n;
    for (size_t i = 0; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        if (!((c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029)) continue;
        size_t e = i;
        if (c == '\r' && i + 1 < s->len && s->s[i + 1] == '\n') n = 2;
        push_part(r, q, s, from, keep ? i + n : e);
        from = i + n;
    }
    if (from < s->len) push_part(r, q, s, from, s->len);
    return tj_of_seq(q);
}

static tj_val m_join(tj *r, tj_val self, tj_args *a) {
    if (!tj_iterable(a->v[0])) tj_fail(r, TS_E_INVAL, "can only join an iterable");
    const tj_seq *q = tj_iter(r, a->v[0]);
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < q->n; i++) {
        tj_val v = q->v[i];
        if (self.s->markup) v = tj_of_str(tj_to_str(r, v)); /* markup takes any value */
        if (v.t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "sequence item %zu: expected str instance, %s found", i, tj_type_name(v));
        if (i) tj_sb_str(&b, self.s);
        tj_sb_str(&b, self.s->markup ? tj_str_escape(r, v.s) : v.s);
    }
    return made(&b, self.s);
}

/* ---- find and replace -------------------------------------------------------------------------------------------- */

static tj_val find(tj *r, tj_val self, tj_args *a, bool last, bool must) {
    const tj_str *s = self.s, *what = tj_arg_str(r, a, 0, "", "what is to be found");
    size_t from, to;
    int64_t p = part(r, s, a, 1, &from, &to) ? tj_find(r, s, from, to, what, last) : -1;
    if (p < 0 && must) tj_fail(r, TS_E_INVAL, "substring not found");
    if (p <= 0) return tj_int(p);
    return tj_int(tj_chars(r, tj_str_sub(r, s, 0, (size_t)p)));
}
static tj_val m_find(tj *r, tj_val self, tj_args *a) { return find(r, self, a, false, false); }
static tj_val m_rfind(tj *r, tj_val self, tj_args *a) { return find(r, self, a, true, false); }
static tj_val m_index(tj *r, tj_val self, tj_args *a) { return find(r, self, a, false, true); }
static tj_val m_rindex(tj *r, tj_val self, tj_args *a) { return find(r, self, a, true, true); }

static tj_val m_count(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s, *what = tj_arg_str(r, a, 0, "", "what is to be counted");
    size_t from, to;
    int64_t n = 0;
    if (!part(r, s, a, 1, &from, &to)) return tj_int(0);
    if (!what->len) return tj_int(tj_chars(r, tj_str_sub(r, s, from, to)) + 1);
    for (int64_t p; (p = tj_find(r, s, from, to, what, false)) >= 0; n++) from = (size_t)p + what->len;
    return tj_int(n);
}

static tj_val m_replace(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s, *old = text_arg(r, self, a, 0, "replace() argument 1"),
                 *to = text_arg(r, self, a, 1, "replace() argument 2");
    int64_t most = tj_arg_int(r, a, 2, -1);
    tj_sb b;
    tj_sb_init(r, &b);
    size_t from = 0;
    if (!old->len) { /* between all characters */
        for (size_t n; most != 0; most -= most > 0) {
            tj_sb_str(&b, to);
            if (from >= s->len) break;
            tj_char_at(s, from, &n);
            tj_sb_sub(&b, s, from, from + n);
            from += n;
        }
    } else {
        for (int64_t p; most != 0 && (p = tj_find(r, s, from, s->len, old, false)) >= 0; most -= most > 0) {
            tj_sb_sub(&b, s, from, (size_t)p);
            tj_sb_str(&b, to);
            from = (size_t)p + old->len;
        }
    }
    tj_sb_sub(&b, s, from, s->len);
    return made(&b, s);
}

/* ---- case -------------------------------------------------------------------------------------------------------- */

static tj_val cased(tj *r, const tj_str *s, tj_case first, tj_case rest) {
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < s->len;) i += tj_sb_case(&b, s, i, i ? rest : first);
    return made(&b, s);
}
static tj_val m_upper(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return cased(r, self.s, TJ_UPPER, TJ_UPPER);
}
static tj_val m_lower(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return cased(r, self.s, TJ_LOWER, TJ_LOWER);
}
static tj_val m_capitalize(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return cased(r, self.s, TJ_TITLE, TJ_LOWER);
}
static tj_val m_title(tj *r, tj_val self, tj_args *a) {
    (void)a;
    const tj_str *s = self.s;
    tj_sb b;
    tj_sb_init(r, &b);
    bool in = false;
    for (size_t i = 0, n; i < s->len;) {
        uint32_t c = tj_char_at(s, i, &n);
        i += tj_sb_case(&b, s, i, in ? TJ_LOWER : TJ_TITLE);
        in = tj_is_upper(c) || tj_is_lower(c) || tj_is_title(c);
    }
    return made(&b, s);
}
static tj_val m_swapcase(tj *r, tj_val self, tj_args *a) {
    (void)a;
    const tj_str *s = self.s;
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0, n; i < s->len;)
        i += tj_sb_case(&b, s, i, tj_is_upper(tj_char_at(s, i, &n)) ? TJ_LOWER : TJ_UPPER);
    return made(&b, s);
}

/* ---- what kind of characters ------------------------------------------------------------------------------------- */

static bool alnum(uint32_t c) { return tj_is_alpha(c) || tj_is_digit(c) || tj_is_numeric(c); }
static bool ascii(uint32_t c) { return c < 128; }

static tj_val all(tj *r, const tj_str *s, bool is(uint32_t c), bool empty) {
    tj_bytes(r, s->len * 4);
    for (size_t i = 0, n; i < s->len; i += n)
        if (!is(tj_char_at(s, i, &n))) return tj_bool(false);
    return tj_bool(s->len ? true : empty);
}
#define ALL(name, is, empty)                                                                                           \
    static tj_val m_##name(tj *r, tj_val self, tj_args *a) {                                                           \
        (void)a;                                                                                                       \
        return all(r, self.s, is, empty);                                                                              \
    }
ALL(isalpha, tj_is_alpha, false)
ALL(isalnum, alnum, false)
ALL(isdigit, tj_is_digit, false)
ALL(isdecimal, tj_is_decimal, false)
ALL(isnumeric, tj_is_numeric, false)
ALL(isspace, tj_is_space, false)
ALL(isascii, ascii, true)
ALL(isprintable, tj_is_printable, true)

static tj_val m_isidentifier(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return tj_bool(all(r, self.s, tj_is_word, false).b && !tj_is_digit((unsigned char)self.s->s[0]));
}

static tj_val one_case(tj *r, const tj_str *s, bool upper) {
    bool any = false;
    tj_bytes(r, s->len * 4);
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        if (upper ? tj_is_lower(c) || tj_is_title(c) : tj_is_upper(c) || tj_is_title(c)) return tj_bool(false);
        any |= upper ? tj_is_upper(c) : tj_is_lower(c);
    }
    return tj_bool(any);
}
static tj_val m_islower(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return one_case(r, self.s, false);
}
static tj_val m_isupper(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return one_case(r, self.s, true);
}
static tj_val m_istitle(tj *r, tj_val self, tj_args *a) {
    (void)a;
    const tj_str *s = self.s;
    bool in = false, any = false;
    tj_bytes(r, s->len * 4);
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        bool up = tj_is_upper(c) || tj_is_title(c), low = tj_is_lower(c);
        if ((up && in) || (low && !in)) return tj_bool(false);
        in = up || low;
        any |= in;
    }
    return tj_bool(any);
}

/* ---- widths ------------------------------------------------------------------------------------------------------ */

static tj_val pad(tj *r, tj_val self, tj_args *a, int side) {
    const tj_str *s = self.s,
                 *fill = tj_given(a, 1) ? text_arg(r, self, a, 1, "the fill character") : tj_str_lit(r, " ");
    int64_t width = tj_arg_int(r, a, 0, 0), n = tj_chars(r, s), more = width - n;
    if (tj_chars(r, fill) != 1) tj_fail(r, TS_E_INVAL, "The fill character must be exactly one character long");
    if (more <= 0) return tj_of_str(tj_str_sub(r, s, 0, s->len));
    int64_t left = side < 0 ? 0 : side > 0 ? more : more / 2 + (more & width & 1);
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_fill(&b, fill->s, fill->len, (size_t)left, tj_mark(fill, 0));
    tj_sb_str(&b, s);
    tj_sb_fill(&b, fill->s, fill->len, (size_t)(more - left), tj_mark(fill, 0));
    return made(&b, s);
}
static tj_val m_ljust(tj *r, tj_val self, tj_args *a) { return pad(r, self, a, -1); }
static tj_val m_rjust(tj *r, tj_val self, tj_args *a) { return pad(r, self, a, 1); }
static tj_val m_center(tj *r, tj_val self, tj_args *a) { return pad(r, self, a, 0); }

static tj_val m_zfill(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s;
    int64_t more = tj_arg_int(r, a, 0, 0) - tj_chars(r, s);
    size_t sign = s->len && (s->s[0] == '-' || s->s[0] == '+');
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_sub(&b, s, 0, sign);
    tj_sb_fill(&b, "0", 1, more > 0 ? (size_t)more : 0, false);
    tj_sb_sub(&b, s, sign, s->len);
    return made(&b, s);
}

static tj_val m_expandtabs(tj *r, tj_val self, tj_args *a) {
    const tj_str *s = self.s;
    int64_t size = tj_arg_int(r, a, 0, 8), col = 0;
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        if (c == '\t') {
            int64_t more = size > 0 ? size - col % size : 0;
            tj_sb_fill(&b, " ", 1, (size_t)more, tj_mark(s, i));
            col += more;
        } else {
            tj_sb_sub(&b, s, i, i + n);
            col = c == '\n' || c == '\r' ? 0 : col + 1;
        }
    }
    return made(&b, s);
}

static const tj_func str_methods[] = {
    {"capitalize", "", m_capitalize},
    {"casefold", "", NULL},
    {"center", "width / fillchar", m_center},
    {"count", "sub / start end", m_count},
    {"encode", "*", NULL},
    {"endswith", "suffix / start end", m_endswith},
    {"expandtabs", "/ tabsize", m_expandtabs},
    {"find", "sub / start end", m_find},
    {"format", "*", tj_str_format},
    {"format_map", "mapping", NULL},
    {"index", "sub / start end", m_index},
    {"isalnum", "", m_isalnum},
    {"isalpha", "", m_isalpha},
    {"isascii", "", m_isascii},
    {"isdecimal", "", m_isdecimal},
    {"isdigit", "", m_isdigit},
    {"isidentifier", "", m_isidentifier},
    {"islower", "", m_islower},
    {"isnumeric", "", m_isnumeric},
    {"isprintable", "", m_isprintable},
    {"isspace", "", m_isspace},
    {"istitle", "", m_istitle},
    {"isupper", "", m_isupper},
    {"join", "iterable", m_join},
    {"ljust", "width / fillchar", m_ljust},
    {"lower", "", m_lower},
    {"lstrip", "/ chars", m_lstrip},
    {"partition", "sep", m_partition},
    {"removeprefix", "prefix", m_removeprefix},
    {"removesuffix", "suffix", m_removesuffix},
    {"replace", "old new / count", m_replace},
    {"rfind", "sub / start end", m_rfind},
    {"rindex", "sub / start end", m_rindex},
    {"rjust", "width / fillchar", m_rjust},
    {"rpartition", "sep", m_rpartition},
    {"rsplit", "/ sep maxsplit", m_rsplit},
    {"rstrip", "/ chars", m_rstrip},
    {"split", "/ sep maxsplit", m_split},
    {"splitlines", "/ keepends", m_splitlines},
    {"startswith", "prefix / start end", m_startswith},
    {"strip", "/ chars", m_strip},
    {"swapcase", "", m_swapcase},
    {"title", "", m_title},
    {"translate", "*", NULL},
    {"upper", "", m_upper},
    {"zfill", "width", m_zfill},
};

/* ---- dicts and lists --------------------------------------------------------------------------------------------- */

static tj_val m_get(tj *r, tj_val self, tj_args *a) {
    tj_val *v = tj_dict_get(r, self.d, a->v[0]);
    return v ? *v : tj_given(a, 1) ? a->v[1] : tj_none();
}

static tj_val view(tj *r, const tj_dict *d, tj_seq_kind kind) {
    tj_seq *q = tj_seq_new(r, kind, d->n);
    for (size_t i = 0; i < d->n; i++)
        tj_seq_push(r, q,
                    kind == TJ_KEYS     ? d->e[i].key
                    : kind == TJ_VALUES ? d->e[i].val
                                        : tj_of_seq(tj_pair(r, d->e[i].key, d->e[i].val)));
    return tj_of_seq(q);
}
static tj_val m_keys(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return view(r, self.d, TJ_KEYS);
}
static tj_val m_values(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return view(r, self.d, TJ_VALUES);
}
static tj_val m_items(tj *r, tj_val self, tj_args *a) {
    (void)a;
    return view(r, self.d, TJ_ITEMS);
}
static tj_val m_dict_copy(tj *r, tj_val self, tj_args *a) {
    (void)a;
    tj_dict *d = tj_dict_new(r, self.d->n);
    for (size_t i = 0; i < self.d->n; i++) tj_dict_set(r, d, self.d->e[i].key, self.d->e[i].val);
    return TJ_V(TJ_DICT, d, d);
}

static const tj_func dict_methods[] = {
    {"copy", "", m_dict_copy}, {"fromkeys", "*", NULL}, {"get", "key / default", m_get},
    {"items", "", m_items},    {"keys", "", m_keys},    {"values", "", m_values},
};

static tj_val m_seq_count(tj *r, tj_val self, tj_args *a) {
    int64_t n = 0;
    for (size_t i = 0; i < self.q->n; i++) n += tj_eq(r, self.q->v[i], a->v[0]);
    return tj_int(n);
}

static tj_val m_seq_index(tj *r, tj_val self, tj_args *a) {
    int64_t n = (int64_t)self.q->n, from = tj_arg_int(r, a, 1, 0), to = tj_arg_int(r, a, 2, n);
    if (from < 0) from = from + n < 0 ? 0 : from + n;
    if (to < 0) to += n;
    if (to > n) to = n;
    for (int64_t i = from; i < to; i++)
        if (tj_eq(r, self.q->v[i], a->v[0])) return tj_int(i);
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_repr(&b, a->v[0]);
    const tj_str *s = tj_sb_done(&b);
    tj_fail(r, TS_E_INVAL, "%.*s is not in %s", (int)(s->len < 100 ? s->len : 100), s->s, tj_type_name(self));
}

static tj_val m_seq_copy(tj *r, tj_val self, tj_args *a) {
    (void)a;
    tj_seq *q = tj_seq_new(r, TJ_LIST, self.q->n);
    for (size_t i = 0; i < self.q->n; i++) tj_seq_push(r, q, self.q->v[i]);
    return tj_of_seq(q);
}

static const tj_func seq_methods[] = {
    {"copy", "", m_seq_copy}, /* lists only: the first entry */
    {"count", "value", m_seq_count},
    {"index", "value / start stop", m_seq_index},
};

static tj_val m_next(tj *r, tj_val self, tj_args *a) {
    (void)r, (void)a;
    tj_cycler *c = self.c;
    tj_val v = c->q->v[c->pos];
    c->pos = (c->pos + 1) % c->q->n;
    return v;
}
static tj_val m_reset(tj *r, tj_val self, tj_args *a) {
    (void)r, (void)a;
    self.c->pos = 0;
    return tj_none();
}
static const tj_func cycler_methods[] = {{"next", "", m_next}, {"reset", "", m_reset}};

static tj_val m_is_integer(tj *r, tj_val self, tj_args *a) {
    (void)r, (void)a;
    return tj_bool(self.f - (double)(int64_t)self.f == 0);
}
static const tj_func float_methods[] = {{"is_integer", "", m_is_integer}};

#define IN(table) tj_func_in(table, sizeof table / sizeof *table, name->s, name->len)
const tj_func *tj_find_method(tj_val v, const tj_str *name) {
    switch (v.t) {
    case TJ_STR: return IN(str_methods);
    case TJ_DICT: return IN(dict_methods);
    case TJ_CYCLER: return IN(cycler_methods);
    case TJ_FLOAT: return v.f > -9e18 && v.f < 9e18 ? IN(float_methods) : NULL;
    case TJ_SEQ:
        if (v.q->kind == TJ_LIST) return IN(seq_methods);
        if (v.q->kind == TJ_TUPLE || v.q->kind == TJ_GROUP || v.q->kind == TJ_RANGE)
            return tj_func_in(seq_methods + 1, 2, name->s, name->len);
        return NULL;
    default: return NULL;
    }
}

bool tj_is_unsafe(tj_val v, const tj_str *name) {
    static const char *const of_list[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    static const char *const of_all[] = {"__class__",        "__dict__",    "__doc__",     "__init__",
                                         "__module__",       "__new__",     "__reduce__",  "__repr__",
                                         "__str__",          "__eq__",      "__ne__",      "__hash__",
                                         "__getattribute__", "__setattr__", "__delattr__", "__subclasshook__"};
    for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++)
        if (tj_str_is(name, of_all[i])) return true;
    if (v.t == TJ_SEQ && v.q->kind == TJ_LIST)
        for (size_t i = 0; i < sizeof of_list / sizeof *of_list; i++)
            if (tj_str_is(name, of_list[i])) return true;
    if (v.t == TJ_DICT)
        for (size_t i = 0; i < sizeof of_dict / sizeof *of_dict; i++)
            if (tj_str_is(name, of_dict[i])) return true;
    return false;
}
