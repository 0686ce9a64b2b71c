/* The filter wordwrap: lines of words, broken where Python's textwrap breaks them. */
#include "text/jinja/jinja_int.h"

#include <string.h>

typedef struct chunk { /* a word, a part of one up to a hyphen, or white space; bytes and characters */
    size_t from, to;
    int64_t n;
    bool space;
} chunk;

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The character at p, or in front of it; 0 beyond the ends. */
static uint32_t ahead(const tj_str *s, size_t p) {
    size_t n;
    return p < s->len ? tj_char_at(s, p, &n) : 0;
}
static size_t back(const tj_str *s, size_t p) {
    while (p && (s->s[--p] & 0xC0) == 0x80) {}
    return p;
}

/* May a word break behind the hyphen at p? Between letters: two in front (or a letter, a hyphen and a letter), and
 * two behind. */
static bool breaks(const tj_str *s, size_t from, size_t p) {
    if (p <= from) return false;
    size_t a = back(s, p), b = a > from ? back(s, a) : a;
    if (a == b || !tj_is_alpha(ahead(s, a))) return false;
    if (!tj_is_alpha(ahead(s, b))) {
        size_t c = b > from ? back(s, b) : b;
        if (s->s[b] != '-' || c == b || !tj_is_alpha(ahead(s, c))) return false;
    }
    size_t n = 1, q = p + 1;
    if (!tj_is_alpha(ahead(s, q))) return false;
    tj_char_at(s, q, &n);
    q += n;
    if (q < s->len && s->s[q] == '-') q++;
    return tj_is_alpha(ahead(s, q));
}

/* A dash of two and more hyphens at p, between a word or punctuation and a word, stands for itself; its bytes, or 0. */
static size_t dash(const tj_str *s, size_t p) {
    size_t e = p;
    while (e < s->len && s->s[e] == '-') e++;
    uint32_t c = p ? ahead(s, back(s, p)) : 0;
    bool behind = c && (tj_is_word(c) || (c < 128 && strchr("!\"'&.,?", (int)c)));
    return e - p >= 2 && behind && tj_is_word(ahead(s, e)) ? e - p : 0;
}

static chunk *chunks_of(tj *r, const tj_str *s, bool hyphens, size_t *n) {
    chunk *c = NULL;
    size_t cap = 0;
    *n = 0;
    for (size_t p = 0, e; p < s->len; p = e) {
        bool space = blank(s->s[p]);
        for (e = p; e < s->len && blank(s->s[e]) == space;) {
            size_t d = !space && hyphens ? dash(s, e) : 0;
            if (d && e == p) e += d;
            if (d) break;
            bool hyphen = !space && hyphens && s->s[e] == '-' && breaks(s, p, e);
            e++;
            if (hyphen) break;
        }
        c = tj_more(r, c, *n, &cap, sizeof *c);
        c[(*n)++] = (chunk){p, e, tj_chars(r, tj_str_sub(r, s, p, e)), space};
    }
    return c;
}

/* Where to cut a word that is longer than a line, with room for so many characters: behind a hyphen if there is one. */
static size_t cut_at(tj *r, const tj_str *s, const chunk *c, int64_t room, bool hyphens) {
    size_t end = c->from + tj_byte_of(r, tj_str_sub(r, s, c->from, c->to), room);
    for (size_t k = end; hyphens && k > c->from + 1; k--) {
        if (s->s[k - 1] != '-') continue;
        for (size_t i = c->from; i < k - 1; i++)
            if (s->s[i] != '-') return k;
    }
    return end;
}

/* One line of text as lines of at most `width` characters. */
static void wrap(tj *r, tj_sb *b, const tj_str *s, int64_t width, bool cut, const tj_str *nl, bool hyphens) {
    size_t n, i = 0;
    chunk *c = chunks_of(r, s, hyphens, &n);
    for (bool any = false; i < n;) {
        if (c[i].space && any && ++i >= n) return; /* a line does not begin with white space, unless it is the first */
        size_t from = c[i].from, end = from, first = i;
        int64_t col = 0;
        while (i < n && col + c[i].n <= width) col += c[i++].n;
        if (i > first) end = c[i - 1].to;
        bool tail = true; /* the last chunk may be white space that goes */
        if (i < n && c[i].n > width && cut) {
            size_t piece = cut_at(r, s, &c[i], width - col, hyphens);
            end = c[i].space ? c[i].from : piece;
            tail = false;
            c[i].from = piece;
            c[i].n = tj_chars(r, tj_str_sub(r, s, piece, c[i].to));
        } else if (i < n && i == first) {
            end = c[i++].to;
        }
        if (tail && i > first && c[i - 1].space) end = c[i - 1].from;
        tj_step(r, 1);
        if (end == from) continue;
        if (any) tj_sb_str(b, nl);
        tj_sb_sub(b, s, from, end);
        any = true;
    }
}

tj_str *tj_wordwrap(tj *r, const tj_str *s, int64_t width, bool cut, const tj_str *nl, bool hyphens) {
    const tj_seq *lines = tj_call_func(r, tj_find_method(tj_of_str(s), tj_str_lit(r, "splitlines")), "filter",
                                       tj_of_str(s), &(tj_args){0})
                              .q;
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) tj_sb_str(&b, nl);
        wrap(r, &b, lines->v[i].s, width, cut, nl, hyphens);
    }
    return tj_sb_done(&b);
}
