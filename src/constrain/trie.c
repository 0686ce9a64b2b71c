/* trie.c - a vocabulary as one array of nodes. */
#include "constrain/trie.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct word { /* a token that prints something */
    const uint8_t *text;
    uint32_t len, id;
    int32_t chars; /* whole characters of a JSON string's inside; -1: it is not just these */
} word;

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

static uint32_t common(const word *a, const word *b) {
    uint32_t i = 0;
    while (i < a->len && i < b->len && a->text[i] == b->text[i]) i++;
    return i;
}

/* The nodes of sorted words; `token` is where their ids stand. `only_rest`: without those that a slice has. */
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
        if (x->n == UINT8_MAX) return ts_fail(err, TS_E_LIMIT, "more than 255 tokens print the same bytes");
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
    }
    qsort(w, n, sizeof *w, by_bytes);
    t->token = ts_alloc(n + 1, sizeof *t->token);
    if (!t->token) return ts_fail_nomem(err, "the vocabulary", n * sizeof *t->token);
    for (size_t i = 0; i < n; i++) t->token[i] = w[i].id;
    TS_TRY(build(&t->all, w, n, false, &t->max_depth, err));
    TS_TRY(build(&t->rest, w, n, true, &t->max_depth, err));
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
    ts_free(t->token);
    ts_free(t->slice[0]);
    ts_free(t);
}
