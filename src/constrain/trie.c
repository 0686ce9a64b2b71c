/* trie.c - a vocabulary as one array of nodes. */
#include "constrain/trie.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct word { /* a token that prints something */
    const uint8_t *text;
    uint32_t len, id;
    int32_t chars; /* whole characters of a JSON string's inside; -1: it is not just these */
    int32_t quote; /* where it ends a JSON string; INSIDE: nowhere; BROKEN: it cannot stand in one */
} word;
enum { INSIDE = -1, BROKEN = -2 };

static int by_bytes(const void *x, const void *y) {
    const word *a = x, *b = y;
    const size_t both = a->len < b->len ? a->len : b->len;
    const int d = memcmp(a->text, b->text, both);
    if (d) return d;
    return a->len != b->len ? (a->len < b->len ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static int32_t count_chars(const uint8_t *s, size_t n) {
    int32_t chars = 0;
    for (size_t i = 0; i < n; chars++) {
        uint32_t cp;
        const int k = ts_utf8_decode((const char *)s + i, n - i, &cp);
        if (k == 0 || cp < 0x20 || cp == '"' || cp == '\\') return -1;
        i += (size_t)k;
    }
    return chars;
}

/* Bytes of the escape that s begins with, of which there may be the beginning alone; 0: none that output has. */
static size_t escape_length(const uint8_t *s, size_t n) {
    if (n == 1) return 1;
    if (memchr("\"\\bfnrt", s[1], 7)) return 2;
    static const char form[] = "\\u00";
    for (size_t i = 1; i < 4 && i < n; i++)
        if (s[i] != (uint8_t)form[i]) return 0;
    if (n > 4 && s[4] != '0' && s[4] != '1') return 0;
    if (n > 5) { /* the control characters without an escape of one letter */
        const char *digits = s[4] == '0' ? "01234567bef" : "0123456789abcdef";
        if (!memchr(digits, s[5], strlen(digits))) return 0;
    }
    return n < 6 ? n : 6;
}

/* Bytes of the character that s begins with, of which there may be the beginning alone; 0: it is no UTF-8. */
static size_t char_length(const uint8_t *s, size_t n) {
    uint32_t cp;
    const int whole = ts_utf8_decode((const char *)s, n, &cp);
    if (whole) return (size_t)whole;
    const size_t need = s[0] < 0xC2 || s[0] > 0xF4 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n >= need) return 0;
    /* what follows is as low or as high as can be, where any may */
    static const uint8_t low[] = {0x80, 0x80, 0x80}, high[] = {0xBF, 0xBF, 0xBF};
    for (int side = 0; side < 2; side++) {
        uint8_t all[4];
        memcpy(all, s, n);
        memcpy(all + n, side ? high : low, need - n);
        if (ts_utf8_decode((const char *)all, need, &cp)) return n;
    }
    return 0;
}

static int32_t find_quote(const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n;) {
        if (s[i] == '"') return (int32_t)i;
        const size_t k = s[i] == '\\' ? escape_length(s + i, n - i) : s[i] < 0x20 ? 0 : char_length(s + i, n - i);
        if (k == 0) return BROKEN;
        i += k;
    }
    return INSIDE;
}

static uint32_t common(const word *a, const word *b) {
    uint32_t i = 0;
    while (i < a->len && i < b->len && a->text[i] == b->text[i]) i++;
    return i;
}

/* The nodes of sorted words. `only_rest`: without those that a slice has. */
static ts_status build(ts_trie_part *part, const word *w, size_t n, bool only_rest, uint32_t *max_depth, ts_err *err) {
    uint32_t open[TS_TRIE_DEPTH + 1]; /* nodes on the way */
    size_t cap = 0;
    const word *last = NULL;
    uint32_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (only_rest && w[i].chars >= 0) continue;
        const uint32_t same = last ? common(last, &w[i]) : 0;
        for (; depth > same; depth--) part->node[open[depth]].end = part->n;
        if (!ts_grow((void **)&part->node, &cap, (size_t)part->n + w[i].len, sizeof *part->node))
            return ts_fail_nomem(err, "the vocabulary", n * sizeof *part->node);
        for (; depth < w[i].len; depth++) {
            open[depth + 1] = part->n;
            part->node[part->n++] = (ts_trie_node){.first = (uint32_t)i, .depth = (uint16_t)(depth + 1),
                                                   .byte = w[i].text[depth]};
        }
        ts_trie_node *x = &part->node[open[depth]];
        if (x->n == 0) x->first = (uint32_t)i;
        if (x->n == UINT16_MAX) return ts_fail(err, TS_E_LIMIT, "too many tokens print the same bytes");
        x->n++;
        if (depth > *max_depth) *max_depth = depth;
        last = &w[i];
    }
    for (; depth > 0; depth--) part->node[open[depth]].end = part->n;
    return TS_OK;
}

static ts_status make_slices(ts_trie *t, const word *w, size_t n, ts_err *err) {
    const size_t bytes = (size_t)t->n_words * sizeof **t->slice;
    uint32_t *all = ts_calloc((size_t)TS_TRIE_SLICES * t->n_words, sizeof *all);
    if (!all) return ts_fail_nomem(err, "the vocabulary's slices", TS_TRIE_SLICES * bytes);
    for (int k = 0; k < TS_TRIE_SLICES; k++) t->slice[k] = all + (size_t)k * t->n_words;
    for (size_t i = 0; i < n; i++) {
        if (w[i].chars < 0) continue;
        const int k = w[i].chars < TS_TRIE_SLICES - 1 ? w[i].chars : TS_TRIE_SLICES - 1;
        t->slice[k][w[i].id / 32] |= 1u << w[i].id % 32;
    }
    for (int k = 1; k < TS_TRIE_SLICES; k++)
        for (uint32_t i = 0; i < t->n_words; i++) t->slice[k][i] |= t->slice[k - 1][i];
    return TS_OK;
}

static ts_status make_inside(ts_trie *t, const word *w, size_t n, ts_err *err) {
    word *tail = ts_alloc(n + 1, sizeof *tail);
    size_t k = 0;
    uint32_t depth = 0;
    t->inside = ts_calloc(t->n_words + 1, sizeof *t->inside);
    t->quoted_token = ts_alloc(n + 1, sizeof *t->quoted_token);
    ts_status s = tail && t->inside && t->quoted_token ? TS_OK : ts_fail_nomem(err, "the vocabulary", n * sizeof *tail);
    for (size_t i = 0; s == TS_OK && i < n; i++) {
        const uint32_t behind = (uint32_t)(w[i].quote + 1);
        if (w[i].quote == BROKEN) continue;
        if (w[i].quote == INSIDE || behind == w[i].len) t->inside[w[i].id / 32] |= 1u << w[i].id % 32;
        else tail[k++] = (word){.text = w[i].text + behind, .len = w[i].len - behind, .id = w[i].id, .chars = -1};
    }
    if (s == TS_OK) {
        if (k) qsort(tail, k, sizeof *tail, by_bytes);
        for (size_t i = 0; i < k; i++) t->quoted_token[i] = tail[i].id;
        t->quoted.token = t->quoted_token;
        s = build(&t->quoted, tail, k, false, &depth, err);
    }
    ts_free(tail);
    return s;
}

static ts_status fill(ts_trie *t, ts_token_bytes_fn *bytes, void *ud, ts_buf *text, word *w, ts_err *err) {
    size_t n = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        const size_t from = text->len;
        if (!bytes(ud, id, text)) return ts_fail_nomem(err, "the vocabulary", text->len);
        const size_t len = text->len - from;
        if (len == 0 || len > TS_TRIE_DEPTH) {
            text->len = from;
            continue;
        }
        w[n++] = (word){.text = (const uint8_t *)(uintptr_t)from, .len = (uint32_t)len, .id = id};
    }
    for (size_t i = 0; i < n; i++) { /* the buffer moves while it grows: places become pointers now */
        w[i].text = (const uint8_t *)text->data + (uintptr_t)w[i].text;
        w[i].chars = count_chars(w[i].text, w[i].len);
        w[i].quote = find_quote(w[i].text, w[i].len);
    }
    qsort(w, n, sizeof *w, by_bytes);
    t->token = ts_alloc(n + 1, sizeof *t->token);
    if (!t->token) return ts_fail_nomem(err, "the vocabulary", n * sizeof *t->token);
    for (size_t i = 0; i < n; i++) t->token[i] = w[i].id;
    t->all.token = t->rest.token = t->token;
    TS_TRY(build(&t->all, w, n, false, &t->max_depth, err));
    TS_TRY(build(&t->rest, w, n, true, &t->max_depth, err));
    TS_TRY(make_inside(t, w, n, err));
    return make_slices(t, w, n, err);
}

ts_status ts_trie_new(ts_trie **out, uint32_t n_vocab, ts_token_bytes_fn *bytes, void *ud, ts_err *err) {
    ts_trie *t = ts_calloc(1, sizeof *t);
    word *w = ts_alloc((size_t)n_vocab + 1, sizeof *w);
    ts_buf text = {0};
    ts_status s = t && w ? TS_OK : ts_fail_nomem(err, "the vocabulary", n_vocab * sizeof *w);
    if (s == TS_OK) {
        t->n_vocab = n_vocab;
        t->n_words = (n_vocab + 31) / 32;
        s = fill(t, bytes, ud, &text, w, err);
    }
    ts_buf_free(&text);
    ts_free(w);
    if (s != TS_OK) {
        ts_trie_free(t);
        return s;
    }
    *out = t;
    return TS_OK;
}

void ts_trie_free(ts_trie *t) {
    if (!t) return;
    ts_free(t->all.node);
    ts_free(t->rest.node);
    ts_free(t->quoted.node);
    ts_free(t->quoted_token);
    ts_free(t->inside);
    ts_free(t->token);
    ts_free(t->slice[0]);
    ts_free(t);
}
