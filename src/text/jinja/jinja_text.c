/* Values as text: str() and repr() as Python writes them. */
#include "text/jinja/jinja_int.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tj_sb_int(tj_sb *b, int64_t i) {
    char s[32];
    tj_sb_add(b, s, (size_t)snprintf(s, sizeof s, "%" PRId64, i), false);
}

/* The shortest digits that read back as the same number, in Python's form: 1.0, 1e-05, 1e+16. */
void tj_sb_float(tj_sb *b, double f) {
    if (isnan(f) || isinf(f)) {
        tj_sb_puts(b, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    char e[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(e, sizeof e, "%.*e", digits - 1, f);
        if (strtod(e, NULL) == f) break;
    }
    /* e is [-]d[.ddd]e[+-]xx: the digits and the exponent (the decimal point may be a locale's) */
    char digits[24] = "", out[64];
    size_t n = 0, k = 0;
    char *p = e;
    if (*p == '-') out[k++] = *p++;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    int x = atoi(p + 1);
    if (x < -4 || x >= 16) {
        out[k++] = digits[0];
        if (n > 1) {
            out[k++] = '.';
            memcpy(out + k, digits + 1, n - 1);
            k += n - 1;
        }
        k += (size_t)snprintf(out + k, sizeof out - k, "e%c%02d", x < 0 ? '-' : '+', abs(x));
    } else if (x < 0) {
        out[k++] = '0';
        out[k++] = '.';
        for (int i = -1; i > x; i--) out[k++] = '0';
        memcpy(out + k, digits, n);
        k += n;
    } else {
        for (int i = 0; i <= x; i++) out[k++] = (size_t)i < n ? digits[i] : '0';
        out[k++] = '.';
        if (n > (size_t)x + 1) {
            memcpy(out + k, digits + x + 1, n - (size_t)x - 1);
            k += n - (size_t)x - 1;
        } else {
            out[k++] = '0';
        }
    }
    tj_sb_add(b, out, k, false);
}

static void repr_str(tj_sb *b, const tj_str *s) {
    bool single = memchr(s->s, '\'', s->len) && !memchr(s->s, '"', s->len);
    const char *quote = single ? "\"" : "'";
    tj_sb_add(b, quote, 1, s->mk || s->data);
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = tj_char_at(s, i, &n);
        char e[16];
        if (c == '\n' || c == '\r' || c == '\t') snprintf(e, sizeof e, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c == '\\' || c == (uint32_t)*quote) snprintf(e, sizeof e, "\\%c", (char)c);
        else if (tj_is_printable(c)) e[0] = 0;
        else if (c < 0x100) snprintf(e, sizeof e, "\\x%02x", c);
        else if (c < 0x10000) snprintf(e, sizeof e, "\\u%04x", c);
        else snprintf(e, sizeof e, "\\U%08x", c);
        if (e[0]) tj_sb_add(b, e, strlen(e), tj_mark(s, i));
        else tj_sb_sub(b, s, i, i + n);
    }
    tj_sb_add(b, quote, 1, s->mk || s->data);
}

static void repr_items(tj_sb *b, const tj_seq *q, const char *open, const char *close) {
    tj_sb_puts(b, open);
    for (size_t i = 0; i < q->n; i++) {
        if (i) tj_sb_puts(b, ", ");
        tj_sb_repr(b, q->v[i]);
    }
    tj_sb_puts(b, close);
}

static void repr_seq(tj_sb *b, const tj_seq *q) {
    switch (q->kind) {
    case TJ_LIST: repr_items(b, q, "[", "]"); break;
    case TJ_TUPLE: repr_items(b, q, "(", q->n == 1 ? ",)" : ")"); break;
    case TJ_GROUP: repr_items(b, q, "(", ")"); break;
    case TJ_KEYS: repr_items(b, q, "dict_keys([", "])"); break;
    case TJ_VALUES: repr_items(b, q, "dict_values([", "])"); break;
    case TJ_ITEMS: repr_items(b, q, "dict_items([", "])"); break;
    case TJ_RANGE:
        tj_sb_puts(b, "range(");
        tj_sb_int(b, q->start);
        tj_sb_puts(b, ", ");
        tj_sb_int(b, q->stop);
        if (q->step != 1) {
            tj_sb_puts(b, ", ");
            tj_sb_int(b, q->step);
        }
        tj_sb_puts(b, ")");
    }
}

void tj_sb_repr(tj_sb *b, tj_val v) {
    tj *r = b->r;
    tj_enter(r);
    switch (v.t) {
    case TJ_STR:
        if (v.s->markup) tj_sb_puts(b, "Markup(");
        repr_str(b, v.s);
        if (v.s->markup) tj_sb_puts(b, ")");
        break;
    case TJ_UNDEF: tj_sb_puts(b, "Undefined"); break;
    case TJ_SEQ: repr_seq(b, v.q); break;
    case TJ_NS:
    case TJ_DICT:
        if (v.t == TJ_NS) tj_sb_puts(b, "<Namespace ");
        tj_sb_puts(b, "{");
        for (size_t i = 0; i < v.d->n; i++) {
            if (i) tj_sb_puts(b, ", ");
            tj_sb_repr(b, v.d->e[i].key);
            tj_sb_puts(b, ": ");
            tj_sb_repr(b, v.d->e[i].val);
        }
        tj_sb_puts(b, v.t == TJ_NS ? "}>" : "}");
        break;
    default: tj_sb_val(b, v);
    }
    tj_leave(r);
}

void tj_sb_val(tj_sb *b, tj_val v) {
    tj *r = b->r;
    switch (v.t) {
    case TJ_ABSENT:
    case TJ_UNDEF: break;
    case TJ_NONE: tj_sb_puts(b, "None"); break;
    case TJ_BOOL: tj_sb_puts(b, v.b ? "True" : "False"); break;
    case TJ_INT: tj_sb_int(b, v.i); break;
    case TJ_FLOAT: tj_sb_float(b, v.f); break;
    case TJ_STR: tj_sb_str(b, v.s); break;
    case TJ_SEQ:
    case TJ_DICT:
    case TJ_NS: tj_sb_repr(b, v); break;
    case TJ_MACRO:
        tj_sb_puts(b, "<Macro ");
        tj_sb_repr(b, tj_of_str(v.m->def->name));
        tj_sb_puts(b, ">");
        break;
    case TJ_LOOP: {
        tj_sb_puts(b, "<LoopContext ");
        tj_sb_int(b, v.l->index0 + 1);
        tj_sb_puts(b, "/");
        tj_sb_int(b, tj_len(r, v));
        tj_sb_puts(b, ">");
        break;
    }
    default: /* Python prints an address here */
        tj_fail(r, TS_E_UNSUPP, "a %s has no text%s", tj_type_name(v),
                v.t == TJ_GEN ? ": put |list or |join behind it" : "");
    }
}

tj_str *tj_to_str(tj *r, tj_val v) {
    tj_sb b;
    if (v.t == TJ_STR) return tj_str_sub(r, v.s, 0, v.s->len);
    tj_sb_init(r, &b);
    tj_sb_val(&b, v);
    return tj_sb_done(&b);
}
