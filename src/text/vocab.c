#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

enum { PROBE_MAX = 1024 }; /* a longer chain means a vocabulary made to collide */

/* Two multiplications a 16 bytes; entries are mostly shorter than that. Quality matters less than latency here. */
static inline uint64_t hash_bytes(const char *s, size_t len) {
    const uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD6E8FEB86659FD93u;
    uint64_t h = len * k0, a, b;
    while (len > 16) {
        memcpy(&a, s, 8);
        memcpy(&b, s + 8, 8);
        h = (h ^ a) * k0;
        h = ((h ^ h >> 32) + b) * k1;
        h ^= h >> 29;
        s += 16;
        len -= 16;
    }
    a = b = 0;
    if (len >= 8) {
        memcpy(&a, s, 8);
        memcpy(&b, s + len - 8, 8);
    } else if (len >= 4) {
        uint32_t lo, hi;
        memcpy(&lo, s, 4);
        memcpy(&hi, s + len - 4, 4);
        a = lo;
        b = hi;
    } else if (len > 0) {
        a = (uint64_t)(uint8_t)s[0] << 16 | (uint64_t)(uint8_t)s[len / 2] << 8 | (uint8_t)s[len - 1];
    }
    h = (h ^ a) * k0;
    h = ((h ^ h >> 32) + b) * k1;
    return h ^ h >> 31;
}

ts_status ts_vocab_set(ts_vocab *v, int64_t id, const void *text, size_t len, ts_token_kind kind, ts_err *err) {
    if (id < 0 || id >= TS_VOCAB_MAX)
        return ts_fail(err, TS_E_FORMAT, "token id %lld is outside 0 to %d", (long long)id, TS_VOCAB_MAX - 1);
    if (len > TS_VOCAB_ENTRY_MAX)
        return ts_fail(err, TS_E_FORMAT, "token %lld is %zu bytes long", (long long)id, len);
    if (v->text.len + len > UINT32_MAX) return ts_fail(err, TS_E_LIMIT, "the vocabulary is larger than 4 GiB");
    if (!ts_grow((void **)&v->entry, &v->cap, (size_t)id + 1, sizeof *v->entry) || !ts_buf_append(&v->text, text, len))
        return ts_fail_nomem(err, "the vocabulary", len);
    for (; v->n <= id; v->n++)
        v->entry[v->n] = (ts_entry){.kind = TS_TOKEN_UNUSED, .rank = TS_RANK_NONE};
    v->entry[id] = (ts_entry){.off = (uint32_t)(v->text.len - len),
                              .rank = TS_RANK_NONE,
                              .len = (uint16_t)len,
                              .kind = (uint8_t)kind,
                              .flags = TS_ENTRY_SET};
    return TS_OK;
}

static bool is_special(const ts_entry *e) {
    return e->flags & TS_ENTRY_SET && e->len > 0 &&
           (e->kind == TS_TOKEN_CONTROL || e->kind == TS_TOKEN_USER || e->kind == TS_TOKEN_UNKNOWN);
}

struct keyed { /* qsort has no context argument */
    const char *s;
    uint32_t len;
    ts_token id;
};

static int by_bytes(const void *pa, const void *pb) {
    const struct keyed *a = pa, *b = pb;
    int c = memcmp(a->s, b->s, a->len < b->len ? a->len : b->len);
    if (c) return c;
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Ids as the keys of their bytes, sorted; NULL: out of memory. */
static struct keyed *sorted(const ts_vocab *v, bool wanted(const ts_entry *), size_t *n) {
    *n = 0;
    for (ts_token id = 0; id < v->n; id++) *n += wanted(&v->entry[id]);
    struct keyed *key = ts_alloc(*n + 1, sizeof *key);
    size_t i = 0;
    for (ts_token id = 0; id < v->n && key; id++)
        if (wanted(&v->entry[id]))
            key[i++] = (struct keyed){.s = ts_vocab_text(v, id), .len = v->entry[id].len, .id = id};
    if (key) qsort(key, *n, sizeof *key, by_bytes);
    return key;
}

static bool is_listed(const ts_entry *e) {
    return e->flags & TS_ENTRY_LISTED;
}

/* Of equal entries at most one is of a list. */
static ts_status refuse_twins(const ts_vocab *v, ts_err *err) {
    size_t n, i = 1;
    struct keyed *key = sorted(v, is_listed, &n);
    if (!key) return ts_fail_nomem(err, "the vocabulary", n * sizeof *key);
    while (i < n && (key[i - 1].len != key[i].len || memcmp(key[i - 1].s, key[i].s, key[i].len) != 0)) i++;
    ts_status s = TS_OK;
    if (i < n)
        s = ts_fail(err, TS_E_FORMAT, "the vocabulary has \"%s\" twice: as token %d and as token %d",
                    ts_show(key[i].s, key[i].len), key[i - 1].id, key[i].id);
    ts_free(key);
    return s;
}

ts_status ts_vocab_sort_special(ts_vocab *v, ts_err *err) {
    size_t n;
    ts_free(v->special);
    v->special = NULL;
    v->n_special = 0;
    struct keyed *key = sorted(v, is_special, &n);
    v->special = ts_alloc(n, sizeof *v->special);
    if (!key || !v->special) {
        ts_free(key);
        return ts_fail_nomem(err, "the special tokens", n * sizeof *key);
    }
    for (size_t i = 0; i < n; i++) v->special[i] = key[i].id;
    v->n_special = (int32_t)n;
    ts_free(key);
    return TS_OK;
}

static bool same(const ts_vocab *v, ts_token id, const char *s, size_t len) {
    const ts_entry *e = &v->entry[id];
    return e->len == len && memcmp(v->text.data + e->off, s, len) == 0;
}

/* false: the chain is too long */
static bool insert(ts_vocab *v, ts_token id, uint64_t h) {
    const char *s = ts_vocab_text(v, id);
    size_t len = v->entry[id].len;
    size_t i = h & v->mask;
    uint32_t probe = 0;
    for (; v->slot[i]; i = (i + 1) & v->mask) {
        if (v->slot[i] >> 32 == h >> 32 && same(v, (ts_token)(uint32_t)v->slot[i] - 1, s, len)) {
            v->has_twins = true;
            return true;
        }
        if (++probe > PROBE_MAX) return false;
    }
    v->slot[i] = h >> 32 << 32 | (uint64_t)(id + 1);
    if (len > v->max_len) v->max_len = (uint32_t)len;
    if (probe > v->longest_chain) v->longest_chain = probe;
    return true;
}

/* Into the index: first what plain text may become, then the rest. */
static bool insert_all(ts_vocab *v, const uint64_t *hash) {
    for (int pass = 0; pass < 2; pass++)
        for (ts_token id = 0; id < v->n; id++) {
            if (id + 16 < v->n) __builtin_prefetch(&v->slot[hash[id + 16] & v->mask]);
            if (v->entry[id].flags & TS_ENTRY_SET && v->entry[id].len > 0 && ts_vocab_is_plain(v, id) == (pass == 0) &&
                !insert(v, id, hash[id]))
                return false;
        }
    return true;
}

ts_status ts_vocab_seal(ts_vocab *v, ts_err *err) {
    if (v->n == 0) return ts_fail(err, TS_E_FORMAT, "the vocabulary is empty");
    size_t slots = 16;
    while (slots < (size_t)v->n * 2) slots *= 2;
    v->slot = ts_calloc(slots, sizeof *v->slot);
    uint64_t *hash = ts_alloc((size_t)v->n, sizeof *hash);
    if (!v->slot || !hash) {
        ts_free(hash);
        return ts_fail_nomem(err, "the vocabulary's index", slots * sizeof *v->slot);
    }
    v->mask = slots - 1;
    for (ts_token id = 0; id < v->n; id++) hash[id] = hash_bytes(ts_vocab_text(v, id), v->entry[id].len);
    bool ok = insert_all(v, hash);
    ts_free(hash);
    if (!ok) return ts_fail(err, TS_E_FORMAT, "the vocabulary is built to make look-ups slow; it is refused");
    if (v->has_twins) TS_TRY(refuse_twins(v, err));
    return ts_vocab_sort_special(v, err);
}

void ts_vocab_make_control(ts_vocab *v, ts_token id) {
    v->entry[id].kind = TS_TOKEN_CONTROL;
    v->entry[id].rank = TS_RANK_NONE;
}

ts_status ts_vocab_drop_last(ts_vocab *v, ts_err *err) {
    ts_free(v->slot);
    v->slot = NULL;
    v->n--;
    v->max_len = v->longest_chain = 0;
    v->has_twins = false;
    return ts_vocab_seal(v, err);
}

void ts_vocab_free(ts_vocab *v) {
    ts_free(v->entry);
    ts_free(v->slot);
    ts_free(v->special);
    ts_buf_free(&v->text);
    *v = (ts_vocab){0};
}

/* Chains grow together, so that one may be far longer than the way of any entry: beyond that nothing is looked for. */
static inline ts_token find_hashed(const ts_vocab *v, const char *s, size_t len, uint64_t h) {
    uint32_t left = v->longest_chain + 1;
    for (size_t i = h & v->mask; v->slot[i] && left > 0; i = (i + 1) & v->mask, left--)
        if (v->slot[i] >> 32 == h >> 32) {
            ts_token id = (ts_token)(uint32_t)v->slot[i] - 1;
            if (same(v, id, s, len)) return id;
        }
    return -1;
}

ts_token ts_vocab_find(const ts_vocab *v, const char *s, size_t len) {
    if (len == 0 || len > v->max_len) return -1;
    return find_hashed(v, s, len, hash_bytes(s, len));
}

void ts_vocab_find_many(const ts_vocab *v, const ts_span *text, int n, ts_token *out) {
    uint64_t h[TS_VOCAB_BATCH];
    for (int i = 0; i < n; i++) {
        h[i] = hash_bytes((const char *)text[i].data, text[i].len);
        __builtin_prefetch(&v->slot[h[i] & v->mask]);
    }
    for (int i = 0; i < n; i++) {
        uint64_t slot = v->slot[h[i] & v->mask];
        out[i] = slot ? (ts_token)(uint32_t)slot - 1 : 0;
        __builtin_prefetch(&v->entry[out[i]]);
    }
    for (int i = 0; i < n; i++) __builtin_prefetch(ts_vocab_text(v, out[i]));
    for (int i = 0; i < n; i++)
        out[i] = text[i].len ? find_hashed(v, (const char *)text[i].data, text[i].len, h[i]) : -1;
}

/* Narrow special[lo..hi), whose entries agree in their first `depth` bytes, to those whose next byte is c. Entries of
 * exactly `depth` bytes stand first and are left out. */
static void narrow(const ts_vocab *v, int32_t *lo, int32_t *hi, uint32_t depth, uint8_t c) {
    int32_t bound[2];
    for (int side = 0; side < 2; side++) {
        int32_t a = *lo, b = *hi;
        while (a < b) {
            int32_t mid = a + (b - a) / 2;
            const ts_entry *e = &v->entry[v->special[mid]];
            int got = e->len == depth ? -1 : (uint8_t)v->text.data[e->off + depth];
            if (got < (int)c + side) a = mid + 1;
            else b = mid;
        }
        bound[side] = a;
    }
    *lo = bound[0];
    *hi = bound[1];
}

ts_token ts_vocab_find_special(const ts_vocab *v, const char *s, size_t len) {
    int32_t lo = 0, hi = v->n_special;
    for (uint32_t depth = 0; depth < len && lo < hi; depth++) narrow(v, &lo, &hi, depth, (uint8_t)s[depth]);
    return len > 0 && lo < hi && v->entry[v->special[lo]].len == len ? v->special[lo] : -1;
}

bool ts_tokens_grow(ts_tokens *t, size_t extra) {
    size_t need;
    return ts_size_add(t->n, extra, &need) && ts_grow((void **)&t->id, &t->cap, need, sizeof *t->id);
}

void ts_tokens_free(ts_tokens *t) {
    ts_free(t->id);
    *t = (ts_tokens){0};
}
