#include "text/bpe.h"

#include "text/utf8.h"

#include <stdatomic.h>
#include <string.h>

enum {
    SHORT = 32,      /* symbols; up to that, scanning an array beats a heap */
    PROBE_MAX = 1024 /* a longer chain in the table means merges made to collide */
};

typedef struct ts_bpe_symbol { /* a stretch of the word that is one token so far; the list is by index */
    uint32_t pos, len;         /* len == 0: joined to its left neighbour */
    uint32_t prev, next;
    ts_token id; /* -1: a character that is no entry */
} symbol;

typedef struct ts_bpe_cand { /* a possible join of a symbol with its right neighbour */
    uint32_t rank;
    uint32_t left; /* index of the symbol; indices grow from left to right */
    uint32_t len;  /* of the joint text; differs from the present one when a part has been joined elsewhere since */
    ts_token joint;
} cand;

ts_status ts_bpe_init(ts_bpe *b, const ts_vocab *v, ts_err *err) {
    *b = (ts_bpe){.vocab = v, .unk = -1};
    for (int i = 0; i < 256; i++) b->byte_id[i] = -1;
    b->whole = ts_calloc((size_t)v->n, sizeof *b->whole);
    return b->whole ? TS_OK : ts_fail_nomem(err, "the vocabulary", (size_t)v->n);
}

void ts_bpe_free(ts_bpe *b) {
    ts_free(b->pair);
    ts_free((void *)(uintptr_t)b->whole);
    *b = (ts_bpe){0};
}

/* ---- the table of merges ------------------------------------------------------------------------------------- */

static inline size_t pair_hash(ts_token left, ts_token right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 32);
}

static inline ts_pair *pair_slot(const ts_bpe *b, ts_token left, ts_token right) {
    size_t i = pair_hash(left, right) & b->mask;
    while (b->pair[i].rank1 && (b->pair[i].left != left || b->pair[i].right != right)) i = (i + 1) & b->mask;
    return &b->pair[i];
}

bool ts_bpe_reserve(ts_bpe *b, size_t n) {
    size_t need, slots = 64;
    if (!ts_size_add(b->n_pairs, n, &need) || need > UINT32_MAX / 4) return false;
    while (slots / 8 * 5 < need) slots *= 2;
    if (b->pair && slots <= b->mask + 1) return true;
    ts_bpe bigger = *b;
    bigger.mask = slots - 1;
    bigger.pair = ts_calloc(slots, sizeof *bigger.pair);
    if (!bigger.pair) return false;
    if (b->pair)
        for (size_t i = 0; i <= b->mask; i++)
            if (b->pair[i].rank1) *pair_slot(&bigger, b->pair[i].left, b->pair[i].right) = b->pair[i];
    ts_free(b->pair);
    *b = bigger;
    return true;
}

static ts_status missing(const ts_bpe *b, const char *s, size_t len, const char *what, ts_err *err) {
    return ts_fail(err, TS_E_FORMAT, "merge %zu: %s \"%s\" is not in the vocabulary", b->n_pairs, what,
                   ts_show(s, len));
}

ts_status ts_bpe_add_merge(ts_bpe *b, const char *ab, size_t a_len, size_t len, ts_err *err) {
    if (a_len == 0 || a_len >= len) return ts_fail(err, TS_E_FORMAT, "merge %zu has an empty side", b->n_pairs);
    ts_token left = ts_vocab_find(b->vocab, ab, a_len);
    if (left < 0) return missing(b, ab, a_len, "the left side", err);
    ts_token right = ts_vocab_find(b->vocab, ab + a_len, len - a_len);
    if (right < 0) return missing(b, ab + a_len, len - a_len, "the right side", err);
    ts_token joint = ts_vocab_find(b->vocab, ab, len);
    if (joint < 0) return missing(b, ab, len, "the result", err);
    if (!ts_bpe_reserve(b, 1)) return ts_fail_nomem(err, "the merges", 0);
    ts_pair *p = pair_slot(b, left, right);
    if (p->rank1) return ts_fail(err, TS_E_FORMAT, "merge %zu is the same as merge %u", b->n_pairs, p->rank1 - 1);
    if ((((size_t)(p - b->pair) - pair_hash(left, right)) & b->mask) > PROBE_MAX)
        return ts_fail(err, TS_E_FORMAT, "the merges are built to make look-ups slow; they are refused");
    b->n_pairs++;
    /* a control token is never made from plain text, whatever the merges say: such a merge stays without effect */
    *p = (ts_pair){.left = left,
                   .right = right,
                   .joint = ts_vocab_is_plain(b->vocab, joint) ? joint : -1,
                   .rank1 = (uint32_t)b->n_pairs};
    return TS_OK;
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

/* The rank of joining the tokens `left` and `right`, whose joint text is s[0..len); TS_RANK_NONE: not to be joined. */
static inline uint32_t join_rank(const ts_bpe *b, ts_token left, ts_token right, const char *s, size_t len,
                                 ts_token *joint) {
    if (b->by_pair) {
        if (left < 0 || right < 0) return TS_RANK_NONE;
        const ts_pair *p = pair_slot(b, left, right);
        *joint = p->joint;
        return p->rank1 && p->joint >= 0 ? p->rank1 - 1 : TS_RANK_NONE;
    }
    *joint = ts_vocab_find(b->vocab, s, len);
    return *joint < 0 ? TS_RANK_NONE : b->vocab->entry[*joint].rank;
}

/* The length of the symbol that a word starts with, and its token. */
static inline uint32_t first_symbol(const ts_bpe *b, const char *s, size_t len, ts_token *id) {
    if (!b->by_char) {
        *id = b->byte_id[(uint8_t)*s];
        return 1;
    }
    uint32_t cp;
    int n = ts_utf8_decode(s, len, &cp);
    *id = ts_vocab_find(b->vocab, s, n ? (size_t)n : 1);
    if (*id >= 0 && !ts_vocab_is_plain(b->vocab, *id)) *id = -1;
    return n ? (uint32_t)n : 1;
}

static ts_status emit(const ts_bpe *b, ts_token id, const char *s, size_t len, ts_tokens *out, ts_err *err) {
    if (id >= 0) return ts_tokens_push(out, id) ? TS_OK : ts_fail_nomem(err, "tokens", out->n * sizeof id);
    bool bytes = true;
    for (size_t i = 0; i < len; i++) bytes = bytes && b->byte_id[(uint8_t)s[i]] >= 0;
    if (!bytes) return b->unk < 0 ? TS_OK : emit(b, b->unk, s, len, out, err);
    for (size_t i = 0; i < len; i++) TS_TRY(emit(b, b->byte_id[(uint8_t)s[i]], s, 1, out, err));
    return TS_OK;
}

/* A word of at most SHORT symbols: find the lowest rank by looking at all. */
static ts_status join_short(const ts_bpe *b, const char *s, uint32_t n, const uint32_t *begin, const ts_token *first,
                            ts_tokens *out, ts_err *err) {
    uint32_t pos[SHORT + 1], rank[SHORT];
    ts_token id[SHORT], joint[SHORT]; /* joint[i], rank[i]: of i and i + 1 */
    memcpy(pos, begin, (n + 1) * sizeof *pos);
    memcpy(id, first, n * sizeof *id);
    for (uint32_t i = 0; i + 1 < n; i++)
        rank[i] = join_rank(b, id[i], id[i + 1], s + pos[i], pos[i + 2] - pos[i], &joint[i]);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == TS_RANK_NONE) break;
        id[best] = joint[best];
        n--;
        for (uint32_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            pos[i] = pos[i + 1];
            rank[i - 1] = rank[i];
            joint[i - 1] = joint[i];
        }
        pos[n] = pos[n + 1];
        if (best > 0)
            rank[best - 1] = join_rank(b, id[best - 1], id[best], s + pos[best - 1], pos[best + 1] - pos[best - 1],
                                       &joint[best - 1]);
        if (best + 1 < n)
            rank[best] = join_rank(b, id[best], id[best + 1], s + pos[best], pos[best + 2] - pos[best], &joint[best]);
    }
    for (uint32_t i = 0; i < n; i++) TS_TRY(emit(b, id[i], s + pos[i], pos[i + 1] - pos[i], out, err));
    return TS_OK;
}

static inline bool before(const cand *a, const cand *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void sift_down(cand *heap, size_t n, size_t i) {
    cand c = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &c)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = c;
}

static void sift_up(cand *heap, size_t i) {
    cand c = heap[i];
    while (i > 0 && before(&c, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = c;
}

/* The join of symbol `left` with its right neighbour, if there is one. */
static bool candidate(const ts_bpe *b, const char *s, const symbol *sym, uint32_t left, cand *c) {
    if (left == UINT32_MAX || sym[left].next == UINT32_MAX) return false;
    const symbol *l = &sym[left], *r = &sym[l->next];
    *c = (cand){.left = left, .len = l->len + r->len};
    c->rank = join_rank(b, l->id, r->id, s + l->pos, c->len, &c->joint);
    return c->rank != TS_RANK_NONE;
}

static ts_status join_long(const ts_bpe *b, const char *s, size_t len, ts_bpe_scratch *scratch, ts_tokens *out,
                           ts_err *err) {
    if (len >= (size_t)1 << 30) return ts_fail(err, TS_E_LIMIT, "a single word of %zu bytes", len);
    if (!ts_grow((void **)&scratch->sym, &scratch->sym_cap, len, sizeof(symbol)))
        return ts_fail_nomem(err, "a long word", len * sizeof(symbol));
    symbol *sym = scratch->sym;
    uint32_t n = 0;
    for (size_t pos = 0; pos < len; n++) {
        sym[n] = (symbol){.pos = (uint32_t)pos, .prev = n - 1, .next = n + 1};
        sym[n].len = first_symbol(b, s + pos, len - pos, &sym[n].id);
        pos += sym[n].len;
    }
    sym[n - 1].next = UINT32_MAX;
    size_t n_heap = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (!ts_grow((void **)&scratch->heap, &scratch->heap_cap, n_heap + 1, sizeof(cand)))
            return ts_fail_nomem(err, "a long word", n * sizeof(cand));
        n_heap += candidate(b, s, sym, i, &scratch->heap[n_heap]);
    }
    for (size_t i = n_heap / 2; i-- > 0;) sift_down(scratch->heap, n_heap, i);
    while (n_heap > 0) {
        cand c = scratch->heap[0], fresh[2];
        scratch->heap[0] = scratch->heap[--n_heap];
        if (n_heap > 0) sift_down(scratch->heap, n_heap, 0);
        symbol *l = &sym[c.left];
        if (l->len == 0 || l->next == UINT32_MAX || l->len + sym[l->next].len != c.len) continue;
        symbol *r = &sym[l->next];
        l->len = c.len;
        l->id = c.joint;
        l->next = r->next;
        r->len = 0;
        if (l->next != UINT32_MAX) sym[l->next].prev = c.left;
        int k = candidate(b, s, sym, l->prev, &fresh[0]);
        k += candidate(b, s, sym, c.left, &fresh[k]);
        /* two candidates at most come for one that has gone, so growth is bounded by the number of symbols */
        if (!ts_grow((void **)&scratch->heap, &scratch->heap_cap, n_heap + (size_t)k, sizeof(cand)))
            return ts_fail_nomem(err, "a long word", n_heap * sizeof(cand));
        for (int i = 0; i < k; i++) {
            scratch->heap[n_heap] = fresh[i];
            sift_up(scratch->heap, n_heap++);
        }
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = sym[i].next)
        TS_TRY(emit(b, sym[i].id, s + sym[i].pos, sym[i].len, out, err));
    return TS_OK;
}

void ts_bpe_scratch_free(ts_bpe_scratch *scratch) {
    ts_free(scratch->sym);
    ts_free(scratch->heap);
    *scratch = (ts_bpe_scratch){0};
}

static ts_status join(const ts_bpe *b, const char *s, size_t len, ts_bpe_scratch *scratch, ts_tokens *out,
                      ts_err *err) {
    uint32_t begin[SHORT + 1], n = 0;
    ts_token id[SHORT];
    size_t pos = 0;
    for (; pos < len; n++) {
        if (n == SHORT) return join_long(b, s, len, scratch, out, err);
        begin[n] = (uint32_t)pos;
        pos += first_symbol(b, s + pos, len - pos, &id[n]);
    }
    begin[n] = (uint32_t)pos;
    return join_short(b, s, n, begin, id, out, err);
}

ts_status ts_bpe_word(const ts_bpe *b, const char *s, size_t len, ts_bpe_scratch *scratch, ts_tokens *out,
                      ts_err *err) {
    ts_token id = ts_vocab_find(b->vocab, s, len);
    if (id < 0 || !ts_vocab_is_plain(b->vocab, id)) return join(b, s, len, scratch, out, err);
    uint8_t known = b->direct ? 1 : atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (known == 1) return emit(b, id, s, len, out, err);
    size_t before_n = out->n;
    TS_TRY(join(b, s, len, scratch, out, err));
    if (known == 0) {
        bool whole = out->n == before_n + 1 && out->id[before_n] == id;
        atomic_store_explicit(&b->whole[id], whole ? 1 : 2, memory_order_relaxed);
    }
    return TS_OK;
}
