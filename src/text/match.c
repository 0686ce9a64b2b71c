#include "text/match.h"

#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 1 << 24 }; /* real vocabularies need some thousands, those that make every token special a million */

struct word { /* a string to be read from its end */
    const char *s;
    uint32_t len;
    ts_token id;
};

static int by_reversed(const void *pa, const void *pb) {
    const struct word *a = pa, *b = pb;
    uint32_t n = a->len < b->len ? a->len : b->len;
    for (uint32_t i = 1; i <= n; i++) {
        uint8_t x = (uint8_t)a->s[a->len - i], y = (uint8_t)b->s[b->len - i];
        if (x != y) return x < y ? -1 : 1;
    }
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

struct span { /* of the sorted words, for a node that is still to be opened */
    uint32_t lo, hi, depth;
};

struct build {
    ts_matcher *m;
    struct span *span; /* [n] of the nodes */
    size_t first_cap, fail_cap, token_cap, label_cap, span_cap;
};

static bool grow(struct build *b, size_t n) {
    ts_matcher *m = b->m;
    return ts_grow((void **)&m->first, &b->first_cap, n + 1, sizeof *m->first) &&
           ts_grow((void **)&m->fail, &b->fail_cap, n, sizeof *m->fail) &&
           ts_grow((void **)&m->token, &b->token_cap, n, sizeof *m->token) &&
           ts_grow((void **)&m->label, &b->label_cap, n, sizeof *m->label) &&
           ts_grow((void **)&b->span, &b->span_cap, n, sizeof *b->span);
}

static ts_status add_node(struct build *b, struct span words, uint8_t label, ts_err *err) {
    ts_matcher *m = b->m;
    if (m->n == NODES_MAX)
        return ts_fail(err, TS_E_LIMIT, "the special tokens have more than %d bytes together", NODES_MAX);
    if (!grow(b, m->n + 1u)) return ts_fail_nomem(err, "the special tokens", m->n * sizeof *m->first);
    m->fail[m->n] = 0;
    m->token[m->n] = -1;
    m->label[m->n] = label;
    b->span[m->n++] = words;
    return TS_OK;
}

/* Nodes in the order of their depth: when a node is opened, those of its suffixes, which are shorter, are there. */
static ts_status build(struct build *b, const struct word *word, uint32_t n, ts_err *err) {
    ts_matcher *m = b->m;
    TS_TRY(add_node(b, (struct span){0, n, 0}, 0, err));
    for (uint32_t node = 0; node < m->n; node++) {
        struct span w = b->span[node];
        m->first[node] = m->n;
        if (w.lo < w.hi && word[w.lo].len == w.depth) {
            m->token[node] = word[w.lo].id;
            while (w.lo < w.hi && word[w.lo].len == w.depth) w.lo++;
        } else if (node) {
            m->token[node] = m->token[m->fail[node]];
        }
        while (w.lo < w.hi) {
            uint8_t byte = (uint8_t)word[w.lo].s[word[w.lo].len - 1 - w.depth];
            uint32_t end = w.lo;
            while (end < w.hi && (uint8_t)word[end].s[word[end].len - 1 - w.depth] == byte) end++;
            uint32_t child = m->n;
            TS_TRY(add_node(b, (struct span){w.lo, end, w.depth + 1}, byte, err));
            if (node) m->fail[child] = ts_matcher_step(m, m->fail[node], byte);
            else m->top[byte] = child;
            w.lo = end;
        }
        m->first[node + 1] = m->n; /* for the search; the next node writes the same */
    }
    return TS_OK;
}

ts_status ts_matcher_init(ts_matcher *m, const ts_vocab *v, const ts_token *id, size_t n, ts_err *err) {
    *m = (ts_matcher){0};
    if (n == 0) return TS_OK;
    struct word *word = ts_alloc(n, sizeof *word);
    if (!word) return ts_fail_nomem(err, "the special tokens", n * sizeof *word);
    for (size_t i = 0; i < n; i++)
        word[i] = (struct word){.s = ts_vocab_text(v, id[i]), .len = v->entry[id[i]].len, .id = id[i]};
    qsort(word, n, sizeof *word, by_reversed);
    struct build b = {.m = m};
    ts_status s = build(&b, word, (uint32_t)n, err);
    ts_free(b.span);
    ts_free(word);
    if (s != TS_OK) ts_matcher_free(m);
    return s;
}

void ts_matcher_free(ts_matcher *m) {
    ts_free(m->first);
    ts_free(m->fail);
    ts_free(m->token);
    ts_free(m->label);
    *m = (ts_matcher){0};
}
