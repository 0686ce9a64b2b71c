#include "text/bpe.h"

#include "base/utf8.h"

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
    ts_free(b->slot);
    ts_free((void *)(uintptr_t)b->whole);
    *b = (ts_bpe){0};
}

/* ---- the table of merges ----------------------------------------------------------------------------------------- */

static inline uint64_t pair_hash(ts_token left, ts_token right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static inline uint32_t pair_tag(uint64_t hash) {
    return (uint32_t)(hash >> 54) << 22;
}

/* The rank of the merge of left and right, or TS_RANK_NONE. */
static inline uint32_t pair_rank(const ts_bpe *b, ts_token left, ts_token right) {
    uint64_t h = pair_hash(left, right);
    if (!b->slot) return TS_RANK_NONE;
    uint32_t left_over = b->longest_chain + 1; /* chains grow together: see vocab.c */
    for (size_t i = h & b->mask; b->slot[i] && left_over > 0; i = (i + 1) & b->mask, left_over--) {
        if ((b->slot[i] ^ pair_tag(h)) >> 22) continue;
        uint32_t rank = (b->slot[i] & TS_MERGES_MAX) - 1;
        if (b->pair[rank].left == left && b->pair[rank].right == right) return rank;
    }
    return TS_RANK_NONE;
}

/* Put a rank into the table. false: too long a chain. */
static bool pair_insert(ts_bpe *b, uint32_t rank) {
    uint64_t h = pair_hash(b->pair[rank].left, b->pair[rank].right);
    size_t i = h & b->mask;
    uint32_t probe = 0;
    for (; b->slot[i]; i = (i + 1) & b->mask)
        if (++probe > PROBE_MAX) return false;
    if (probe > b->longest_chain) b->longest_chain = probe;
    b->slot[i] = pair_tag(h) | (rank + 1);
    return true;
}

bool ts_bpe_reserve(ts_bpe *b, size_t n) {
    size_t need, slots = 64;
    if (!ts_size_add(b->n_pairs, n, &need) || need > TS_MERGES_MAX) return false;
    if (!ts_grow((void **)&b->pair, &b->pair_cap, need, sizeof *b->pair)) return false;
    while (slots / 8 * 5 < need) slots *= 2;
    if (b->slot && slots <= b->mask + 1) return true;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return false;
    ts_free(b->slot);
    b->slot = slot;
    b->mask = slots - 1;
    for (uint32_t rank = 0; rank < b->n_pairs; rank++)
        if (pair_rank(b, b->pair[rank].left, b->pair[rank].right) == TS_RANK_NONE && !pair_insert(b, rank))
            return false;
    return true;
}

static ts_status missing(const ts_bpe *b, const char *s, size_t len, const char *what, ts_err *err) {
    return ts_fail(err, TS_E_FORMAT, "merge %zu: %s \"%s\" is not in the vocabulary", b->n_pairs, what,
                   ts_show(s, len));
}

/* What the merge makes. Lists are mostly in the order of the vocabulary, so a look-up is seldom needed. */
static ts_token find_joint(const ts_bpe *b, const char *s, size_t len) {
    for (ts_token id = b->last_joint; id >= 0 && id < b->vocab->n && id < b->last_joint + 2; id++)
        if (ts_vocab_is_plain(b->vocab, id) && b->vocab->entry[id].len == len &&
            memcmp(ts_vocab_text(b->vocab, id), s, len) == 0 && !b->vocab->has_twins)
            return id;
    return ts_vocab_find(b->vocab, s, len);
}

static ts_status add_merge(ts_bpe *b, const char *s, size_t left_len, size_t len, ts_token left, ts_token right,
                           ts_err *err) {
    if (left_len == 0 || left_len >= len) return ts_fail(err, TS_E_FORMAT, "merge %zu has an empty part", b->n_pairs);
    if (left < 0) return missing(b, s, left_len, "the left part", err);
    if (right < 0) return missing(b, s + left_len, len - left_len, "the right part", err);
    ts_token joint = find_joint(b, s, len);
    if (joint < 0) return missing(b, s, len, "the result", err);
    bool again = pair_rank(b, left, right) != TS_RANK_NONE; /* then the first one counts, this only takes a number */
    b->last_joint = joint;
    /* a control token is never made from plain text, whatever the merges say */
    b->pair[b->n_pairs] = (ts_pair){left, right, ts_vocab_is_plain(b->vocab, joint) ? joint : -1};
    if (!again && !pair_insert(b, (uint32_t)b->n_pairs))
        return ts_fail(err, TS_E_FORMAT, "the merges are built to make look-ups slow; they are refused");
    b->n_pairs++;
    return TS_OK;
}

ts_status ts_bpe_flush_merges(ts_bpe *b, ts_merge_queue *q, ts_err *err) {
    ts_span part[TS_VOCAB_BATCH];
    ts_token id[TS_VOCAB_BATCH];
    if (b->n_pairs + (size_t)q->n > TS_MERGES_MAX)
        return ts_fail(err, TS_E_LIMIT, "more than %d merges", TS_MERGES_MAX);
    if (!ts_bpe_reserve(b, (size_t)q->n)) return ts_fail_nomem(err, "the merges", 0);
    for (int i = 0; i < q->n; i++) {
        const uint8_t *s = (const uint8_t *)q->text.data + q->item[i].begin;
        part[2 * i] = (ts_span){s, q->item[i].left_len};
        part[2 * i + 1] = (ts_span){s + q->item[i].left_len, q->item[i].len - q->item[i].left_len};
    }
    ts_vocab_find_many(b->vocab, part, 2 * q->n, id);
    for (int i = 0; i < q->n; i++) __builtin_prefetch(&b->slot[pair_hash(id[2 * i], id[2 * i + 1]) & b->mask]);
    for (int i = 0; i < q->n; i++)
        TS_TRY(add_merge(b, q->text.data + q->item[i].begin, q->item[i].left_len, q->item[i].len, id[2 * i],
                         id[2 * i + 1], err));
    q->n = 0;
    ts_buf_clear(&q->text);
    return TS_OK;
}

ts_status ts_bpe_queue_merge(ts_bpe *b, ts_merge_queue *q, size_t begin, size_t left_len, ts_err *err) {
    q->item[q->n].begin = begin;
    q->item[q->n].left_len = left_len;
    q->item[q->n].len = q->text.len - begin;
    q->n++;
    return q->n == TS_VOCAB_BATCH / 2 ? ts_bpe_flush_merges(b, q, err) : TS_OK;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

/* The rank of joining the tokens `left` and `right`, whose joint text is s[0..len); TS_RANK_NONE: not to be joined. */
static inline uint32_t join_rank(const ts_bpe *b, ts_token left, ts_token right, const char *s, size_t len,
                                 ts_token *joint) {
    if (b->by_pair) {
        if (left < 0 || right < 0) return TS_RANK_NONE;
        uint32_t rank = pair_rank(b, left, right);
        if (rank == TS_RANK_NONE) return rank;
        *joint = b->pair[rank].joint;
        return *joint >= 0 ? rank : TS_RANK_NONE;
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
