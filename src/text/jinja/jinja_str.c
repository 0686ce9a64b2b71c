/* Strings: views of bytes that carry, byte by byte, whether they came from the context's data. Bytes never change;
 * appending to the string that ends a buffer reuses the buffer, so that a chain of additions costs what the result
 * is long. */
#define _GNU_SOURCE /* memmem */
#include "text/jinja/jinja_int.h"

#include <string.h>

static tj_str *empty_str(tj *r) {
    tj_str *s = tj_alloc(r, 1, sizeof *s);
    s->n_chars = -1;
    s->s = "";
    return s;
}

tj_str *tj_str_new(tj *r, const char *s, size_t len, bool data) {
    tj_str *t = empty_str(r);
    if (len) t->s = s;
    t->len = len;
    t->data = data;
    return t;
}

tj_str *tj_str_lit(tj *r, const char *s) { return tj_str_new(r, s, strlen(s), false); }

tj_str *tj_str_sub(tj *r, const tj_str *s, size_t from, size_t to) {
    tj_str *t = tj_str_new(r, s->s + from, to - from, s->data);
    if (s->mk) {
        t->mk = s->mk + from;
        if (!memchr(t->mk, !*t->mk, t->len)) t->data = t->len && *t->mk, t->mk = NULL; /* all alike */
    }
    t->markup = s->markup;
    return t;
}

const tj_str *tj_str_as(tj *r, const tj_str *s, bool markup) {
    if (s->markup == markup) return s;
    tj_str *t = tj_alloc(r, 1, sizeof *t);
    *t = *s;
    t->markup = markup;
    return t;
}

bool tj_mark(const tj_str *s, size_t byte) { return s->mk ? s->mk[byte] : s->data; }

int64_t tj_chars(tj *r, const tj_str *s) {
    if (s->n_chars >= 0) return s->n_chars;
    tj_bytes(r, s->len);
    int64_t n = 0;
    for (size_t i = 0; i < s->len; i++) n += (s->s[i] & 0xC0) != 0x80;
    ((tj_str *)s)->n_chars = n; /* a string of this render: those of the template are counted when it is parsed */
    return n;
}

size_t tj_byte_of(tj *r, const tj_str *s, int64_t i) {
    if (tj_chars(r, s) == (int64_t)s->len) return (size_t)i;
    tj_bytes(r, s->len);
    size_t p = 0;
    for (; i > 0; i--) {
        p++;
        while (p < s->len && (s->s[p] & 0xC0) == 0x80) p++;
    }
    return p;
}

bool tj_str_eq(const tj_str *a, const tj_str *b) {
    return a->len == b->len && (a->s == b->s || memcmp(a->s, b->s, a->len) == 0);
}

bool tj_str_is(const tj_str *a, const char *b) { return a->len == strlen(b) && memcmp(a->s, b, a->len) == 0; }

int64_t tj_find(tj *r, const tj_str *s, size_t from, size_t to, const tj_str *what, bool last) {
    if (to - from < what->len) return -1;
    if (!last) {
        const char *p = what->len ? memmem(s->s + from, to - from, what->s, what->len) : s->s + from;
        tj_bytes(r, p ? (size_t)(p - s->s) - from : to - from);
        return p ? p - s->s : -1;
    }
    tj_bytes(r, to - from);
    for (size_t p = to - what->len + 1; p-- > from;) {
        if (what->len && s->s[p] != what->s[0]) continue;
        tj_bytes(r, what->len);
        if (memcmp(s->s + p, what->s, what->len) == 0) return (int64_t)p;
    }
    return -1;
}

void tj_sb_init(tj *r, tj_sb *b) { *b = (tj_sb){.r = r, .s = ""}; }

static void reserve(tj_sb *b, size_t extra) {
    tj *r = b->r;
    if (extra > r->max_text || b->len > r->max_text - extra)
        tj_fail(r, TS_E_LIMIT, "a text becomes longer than %zu bytes", r->max_text);
    if (b->len + extra <= b->cap) return;
    size_t cap = b->cap * 2 > b->len + extra ? b->cap * 2 : b->len + extra + (b->len + extra) / 4 + 32;
    char *s = tj_alloc(r, cap, 1);
    if (b->len) memcpy(s, b->s, b->len);
    if (b->mk) {
        uint8_t *mk = tj_alloc(r, cap, 1);
        memcpy(mk, b->mk, b->len);
        b->mk = mk;
    }
    b->s = s;
    b->cap = cap;
}

/* From here on every byte has a mark of its own. */
static void mark_each(tj_sb *b) {
    if (b->mk) return;
    b->mk = tj_alloc(b->r, b->cap ? b->cap : 1, 1);
    if (b->len) memset(b->mk, b->data, b->len);
}

static void add(tj_sb *b, const char *s, size_t len, const uint8_t *mk, bool data) {
    if (!len) return;
    tj_bytes(b->r, len);
    reserve(b, len);
    if (!b->len && !mk && !b->mk) b->data = data;
    if (mk || (!b->mk && b->data != data)) mark_each(b);
    memcpy(b->s + b->len, s, len);
    if (b->mk && mk) memcpy(b->mk + b->len, mk, len);
    if (b->mk && !mk) memset(b->mk + b->len, data, len);
    b->len += len;
}

void tj_sb_add(tj_sb *b, const char *s, size_t len, bool data) { add(b, s, len, NULL, data); }
void tj_sb_puts(tj_sb *b, const char *s) { add(b, s, strlen(s), NULL, false); }
void tj_sb_str(tj_sb *b, const tj_str *s) { add(b, s->s, s->len, s->mk, s->data); }
void tj_sb_sub(tj_sb *b, const tj_str *s, size_t from, size_t to) {
    add(b, s->s + from, to - from, s->mk ? s->mk + from : NULL, s->data);
}

void tj_sb_fill(tj_sb *b, const char *s, size_t len, size_t times, bool data) {
    size_t bytes;
    if (!ts_size_mul(len, times, &bytes)) bytes = SIZE_MAX;
    reserve(b, bytes);
    for (; times; times--) add(b, s, len, NULL, data);
}

void tj_sb_char(tj_sb *b, uint32_t cp, bool data) {
    char c[4];
    add(b, c, (size_t)ts_utf8_encode(cp, c), NULL, data);
}

tj_str *tj_sb_done(tj_sb *b) {
    tj_str *t = tj_str_new(b->r, b->s, b->len, b->data);
    t->mk = b->mk;
    if (b->len) {
        t->own = tj_alloc(b->r, 1, sizeof *b);
        *t->own = *b;
    }
    return t;
}

tj_str *tj_str_cat(tj *r, const tj_str *a, const tj_str *b) {
    tj_sb *own = a->own;
    /* a is all that its buffer holds: b goes behind it, and a stays what it was */
    if (!own || own->r != r || own->len != a->len || own->s != a->s) {
        own = tj_alloc(r, 1, sizeof *own);
        tj_sb_init(r, own);
        tj_sb_str(own, a);
    }
    tj_sb_str(own, b);
    tj_str *t = tj_str_new(r, own->s, own->len, own->data);
    t->mk = own->mk;
    t->own = own;
    return t;
}

tj_str *tj_str_escape(tj *r, const tj_str *s) {
    if (s->markup) return tj_str_sub(r, s, 0, s->len);
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0, from = 0; i <= s->len; i++) {
        const char *e = NULL;
        if (i < s->len)
            switch (s->s[i]) {
            case '&': e = "&amp;"; break;
            case '<': e = "&lt;"; break;
            case '>': e = "&gt;"; break;
            case '"': e = "&#34;"; break;
            case '\'': e = "&#39;"; break;
            default: continue;
            }
        tj_sb_sub(&b, s, from, i);
        if (e) tj_sb_add(&b, e, strlen(e), tj_mark(s, i));
        from = i + 1;
    }
    tj_str *t = tj_sb_done(&b);
    t->markup = true;
    return t;
}
