/* rx.c - making expressions: normal forms, hash-consing. */
#include "constrain/rx_memo.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 1000, WORDS_DEPTH = 500, NODES_MAX = 4 << 20 };

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static bool is_list(uint8_t kind) {
    return kind == RX_ALT || kind == RX_AND;
}

static uint64_t hash_node(const ts_rx_node *n, const uint32_t *list) {
    uint64_t h = mix(n->kind, n->d);
    if (is_list(n->kind)) {
        for (uint32_t i = 0; i < n->b; i++) h = mix(h, list[i]);
        return h;
    }
    return mix(mix(mix(h, n->a), n->b), n->c);
}

static bool equal(const ts_rxs *p, const ts_rx_node *x, const ts_rx_node *y, const uint32_t *ylist) {
    if (x->kind != y->kind || x->b != y->b) return false;
    if (is_list(x->kind)) return memcmp(p->list + x->a, ylist, x->b * sizeof *ylist) == 0;
    return x->a == y->a && x->c == y->c && x->d == y->d;
}

static bool rehash(ts_rxs *p) {
    size_t slots = p->slots ? p->slots * 2 : 1024;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(p->work);
    for (size_t i = 0; i < p->n; i++) {
        const ts_rx_node *n = &p->node[i];
        size_t h = hash_node(n, is_list(n->kind) ? p->list + n->a : NULL) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(p->slot);
    p->slot = slot;
    p->slots = slots;
    return true;
}

/* What is known of a node from its parts. */
static void describe(const ts_rxs *p, ts_rx_node *n, const uint32_t *list) {
    const bool has_part = n->kind == RX_CAT || n->kind == RX_REP || (n->kind == RX_NOT && p->n);
    const ts_rx_node *a = has_part ? &p->node[n->a] : NULL;
    unsigned depth = 0;
    switch (n->kind) {
    case RX_EMPTY: n->nullable = n->finite = true; break;
    case RX_NEVER: n->finite = true; break;
    case RX_SET: n->finite = true; break;
    case RX_MOD: n->booleans = true; break; /* whether a multiple follows has to be found out, too */
    case RX_CAT: {
        const ts_rx_node *b = &p->node[n->b];
        n->nullable = a->nullable && b->nullable;
        n->booleans = a->booleans || b->booleans;
        n->finite = a->finite && b->finite;
        depth = a->depth + 1u > b->depth ? a->depth + 1u : b->depth;
        break;
    }
    case RX_NOT:
        n->nullable = !a->nullable;
        n->booleans = true;
        depth = a->depth + 1u;
        break;
    case RX_REP:
        n->nullable = n->b == 0 || a->nullable;
        n->booleans = a->booleans;
        n->finite = a->finite && n->c != TS_RX_INF;
        depth = a->depth + 1u;
        break;
    default:
        n->nullable = n->kind == RX_AND;
        n->booleans = n->kind == RX_AND;
        n->finite = n->kind == RX_ALT;
        for (uint32_t i = 0; i < n->b; i++) {
            const ts_rx_node *x = &p->node[list[i]];
            if (n->kind == RX_ALT) {
                n->nullable |= x->nullable;
                n->finite &= x->finite;
            } else {
                n->nullable &= x->nullable;
                n->finite |= x->finite;
            }
            n->booleans |= x->booleans;
            if (x->depth + 1u > depth) depth = x->depth + 1u;
        }
    }
    n->depth = (uint16_t)(depth > UINT16_MAX ? UINT16_MAX : depth);
}

static ts_rx intern(ts_rxs *p, ts_rx_node n, const uint32_t *list) {
    if (!ts_work_pay(p->work, 1 + (is_list(n.kind) ? n.b : 0))) return TS_RX_NEVER;
    if (p->n * 2 >= p->slots && !rehash(p)) return TS_RX_NEVER;
    size_t h = hash_node(&n, list) & (p->slots - 1);
    for (; p->slot[h]; h = (h + 1) & (p->slots - 1))
        if (equal(p, &p->node[p->slot[h] - 1], &n, list)) return p->slot[h] - 1;
    describe(p, &n, list);
    if (n.depth > DEPTH_MAX || p->n >= NODES_MAX) {
        ts_work_fail(p->work, TS_E_LIMIT, "the pattern is too large");
        return TS_RX_NEVER;
    }
    if (is_list(n.kind)) {
        if (!ts_work_grow(p->work, (void **)&p->list, &p->list_cap, p->n_list + n.b, sizeof *p->list))
            return TS_RX_NEVER;
        memcpy(p->list + p->n_list, list, n.b * sizeof *list);
        n.a = (uint32_t)p->n_list;
        p->n_list += n.b;
    }
    if (!ts_work_grow(p->work, (void **)&p->node, &p->cap, p->n + 1, sizeof *p->node)) return TS_RX_NEVER;
    p->slot[h] = (uint32_t)p->n + 1;
    p->node[p->n] = n;
    return (ts_rx)p->n++;
}

bool ts_rxs_init(ts_rxs *p, ts_work *work) {
    *p = (ts_rxs){.work = work};
    p->memo = ts_calloc(RX_MEMO, sizeof *p->memo);
    if (!p->memo) return ts_work_nomem(work);
    intern(p, (ts_rx_node){.kind = RX_NEVER}, NULL);
    intern(p, (ts_rx_node){.kind = RX_EMPTY}, NULL);
    intern(p, (ts_rx_node){.kind = RX_NOT, .a = TS_RX_NEVER}, NULL);
    return work->bad == TS_OK;
}

void ts_rxs_free(ts_rxs *p) {
    ts_free(p->node);
    ts_free(p->set);
    ts_free(p->list);
    ts_free(p->slot);
    ts_free(p->set_slot);
    ts_free(p->tmp);
    ts_free(p->memo);
    *p = (ts_rxs){0};
}

static bool grow_sets(ts_rxs *p) {
    size_t slots = p->set_slots ? p->set_slots * 2 : 256;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(p->work);
    for (size_t i = 0; i < p->n_sets; i++) {
        const ts_byteset *s = &p->set[i];
        size_t h = mix(mix(mix(mix(0, s->w[0]), s->w[1]), s->w[2]), s->w[3]) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(p->set_slot);
    p->set_slot = slot;
    p->set_slots = slots;
    return true;
}

ts_rx ts_rx_set(ts_rxs *p, const ts_byteset *s) {
    if (!(s->w[0] | s->w[1] | s->w[2] | s->w[3])) return TS_RX_NEVER;
    if (p->n_sets * 2 >= p->set_slots && !grow_sets(p)) return TS_RX_NEVER;
    size_t h = mix(mix(mix(mix(0, s->w[0]), s->w[1]), s->w[2]), s->w[3]) & (p->set_slots - 1);
    for (; p->set_slot[h]; h = (h + 1) & (p->set_slots - 1))
        if (memcmp(&p->set[p->set_slot[h] - 1], s, sizeof *s) == 0) break;
    if (!p->set_slot[h]) {
        if (!ts_work_grow(p->work, (void **)&p->set, &p->sets_cap, p->n_sets + 1, sizeof *p->set)) return TS_RX_NEVER;
        p->set[p->n_sets++] = *s;
        p->set_slot[h] = (uint32_t)p->n_sets;
    }
    return intern(p, (ts_rx_node){.kind = RX_SET, .a = p->set_slot[h] - 1}, NULL);
}

ts_rx ts_rx_range(ts_rxs *p, unsigned first, unsigned last) {
    ts_byteset s = {0};
    for (unsigned b = first; b <= last; b++) ts_byteset_add(&s, b);
    return ts_rx_set(p, &s);
}

void ts_rx_push(ts_rxs *p, ts_rx e) {
    if (ts_work_grow(p->work, (void **)&p->tmp, &p->tmp_cap, p->n_tmp + 1, sizeof *p->tmp)) p->tmp[p->n_tmp++] = e;
}

/* Sequences lean to the right, whatever order they are made in: (a b) c is a (b c). */
ts_rx ts_rx_cat(ts_rxs *p, ts_rx a, ts_rx b) {
    if (a == TS_RX_NEVER || b == TS_RX_NEVER) return TS_RX_NEVER;
    if (b == TS_RX_EMPTY) return a;
    const size_t mark = p->n_tmp;
    while (p->node[a].kind == RX_CAT) {
        ts_rx_push(p, p->node[a].a);
        a = p->node[a].b;
        if (!ts_work_pay(p->work, 1)) break;
    }
    ts_rx r = a == TS_RX_EMPTY ? b : intern(p, (ts_rx_node){.kind = RX_CAT, .a = a, .b = b}, NULL);
    while (p->n_tmp > mark) r = intern(p, (ts_rx_node){.kind = RX_CAT, .a = p->tmp[--p->n_tmp], .b = r}, NULL);
    return p->work->bad ? TS_RX_NEVER : r;
}

static int by_number(const void *x, const void *y) {
    const ts_rx a = *(const ts_rx *)x, b = *(const ts_rx *)y;
    return a < b ? -1 : a > b;
}

/* Lists inside a list become part of it; then sorted, each once. Returns the new length. */
static size_t flatten(ts_rxs *p, size_t mark, uint8_t kind) {
    size_t n = p->n_tmp;
    for (size_t i = mark; i < n; i++) {
        const ts_rx_node in = p->node[p->tmp[i]];
        if (in.kind != kind) continue;
        for (uint32_t k = 0; k < in.b; k++) ts_rx_push(p, p->list[in.a + k]);
        p->tmp[i] = kind == RX_ALT ? TS_RX_NEVER : TS_RX_ANY;
    }
    n = p->n_tmp - mark;
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++) sorted = p->tmp[mark + i - 1] < p->tmp[mark + i];
    if (!sorted) qsort(p->tmp + mark, n, sizeof *p->tmp, by_number);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const ts_rx e = p->tmp[mark + i];
        if (e == (kind == RX_ALT ? TS_RX_NEVER : TS_RX_ANY) || (k && p->tmp[mark + k - 1] == e)) continue;
        p->tmp[mark + k++] = e;
    }
    return k;
}

/* Sets of one byte are one set. */
static size_t join_sets(ts_rxs *p, size_t mark, size_t n) {
    ts_byteset all = {0};
    size_t k = 0, sets = 0;
    for (size_t i = 0; i < n; i++) {
        const ts_rx_node *x = &p->node[p->tmp[mark + i]];
        if (x->kind == RX_SET) {
            sets++;
            for (int w = 0; w < 4; w++) all.w[w] |= p->set[x->a].w[w];
        }
    }
    if (sets < 2) return n;
    for (size_t i = 0; i < n; i++)
        if (p->node[p->tmp[mark + i]].kind != RX_SET) p->tmp[mark + k++] = p->tmp[mark + i];
    p->n_tmp = mark + k;
    ts_rx_push(p, ts_rx_set(p, &all));
    qsort(p->tmp + mark, k + 1, sizeof *p->tmp, by_number);
    return k + 1;
}

ts_rx ts_rx_alt_from(ts_rxs *p, size_t mark) {
    if (p->work->bad) {
        p->n_tmp = mark;
        return TS_RX_NEVER;
    }
    size_t n = flatten(p, mark, RX_ALT);
    n = join_sets(p, mark, n);
    ts_rx r = TS_RX_NEVER;
    bool any = false, nullable = false;
    for (size_t i = 0; i < n; i++) {
        any |= p->tmp[mark + i] == TS_RX_ANY;
        nullable |= p->tmp[mark + i] != TS_RX_EMPTY && p->node[p->tmp[mark + i]].nullable;
    }
    size_t first = mark;
    if (nullable && p->tmp[mark] == TS_RX_EMPTY) {
        first++;
        n--;
    }
    if (any) r = TS_RX_ANY;
    else if (n == 1) r = p->tmp[first];
    else if (n) r = intern(p, (ts_rx_node){.kind = RX_ALT, .b = (uint32_t)n}, p->tmp + first);
    p->n_tmp = mark;
    return r;
}

static ts_rx and_from(ts_rxs *p, size_t mark) {
    if (p->work->bad) {
        p->n_tmp = mark;
        return TS_RX_NEVER;
    }
    const size_t n = flatten(p, mark, RX_AND);
    ts_rx r = TS_RX_ANY;
    bool never = false, empty = false, nullable = true;
    for (size_t i = 0; i < n; i++) {
        const ts_rx e = p->tmp[mark + i];
        never |= e == TS_RX_NEVER;
        empty |= e == TS_RX_EMPTY;
        nullable &= p->node[e].nullable;
    }
    if (never) r = TS_RX_NEVER;
    else if (empty) r = nullable ? TS_RX_EMPTY : TS_RX_NEVER;
    else if (n == 1) r = p->tmp[mark];
    else if (n) r = intern(p, (ts_rx_node){.kind = RX_AND, .b = (uint32_t)n}, p->tmp + mark);
    p->n_tmp = mark;
    return r;
}

ts_rx ts_rx_alt(ts_rxs *p, ts_rx a, ts_rx b) {
    const size_t mark = p->n_tmp;
    ts_rx_push(p, a);
    ts_rx_push(p, b);
    return ts_rx_alt_from(p, mark);
}

ts_rx ts_rx_and(ts_rxs *p, ts_rx a, ts_rx b) {
    const size_t mark = p->n_tmp;
    ts_rx_push(p, a);
    ts_rx_push(p, b);
    return and_from(p, mark);
}

ts_rx ts_rx_not(ts_rxs *p, ts_rx a) {
    if (p->node[a].kind == RX_NOT) return p->node[a].a;
    return intern(p, (ts_rx_node){.kind = RX_NOT, .a = a}, NULL);
}

ts_rx ts_rx_rep(ts_rxs *p, ts_rx a, uint32_t min, uint32_t max) {
    if (max == 0 || a == TS_RX_EMPTY || a == TS_RX_NEVER)
        return a == TS_RX_NEVER && min > 0 ? TS_RX_NEVER : TS_RX_EMPTY;
    if (min == 1 && max == 1) return a;
    if (p->node[a].nullable) min = 0;
    if (max == TS_RX_INF && min == 0 && p->node[a].kind == RX_REP && p->node[a].b <= 1 &&
        p->node[a].c == TS_RX_INF)
        a = p->node[a].a; /* (a*)* */
    return intern(p, (ts_rx_node){.kind = RX_REP, .a = a, .b = min, .c = max}, NULL);
}

ts_rx ts_rx_mod(ts_rxs *p, uint32_t m, uint32_t rest, uint32_t decimals, uint32_t behind) {
    ts_rx e = intern(p, (ts_rx_node){.kind = RX_MOD, .a = m, .b = rest, .c = decimals, .d = behind}, NULL);
    uint64_t r = rest;
    for (uint32_t i = behind ? behind - 1 : 0; i < decimals; i++) r = r * 10 % m;
    if (e != TS_RX_NEVER) p->node[e].nullable = r == 0;
    return e;
}

ts_rx ts_rx_text(ts_rxs *p, const void *text, size_t len) {
    const uint8_t *s = text;
    ts_rx r = TS_RX_EMPTY;
    for (size_t i = len; i-- > 0;) r = ts_rx_cat(p, ts_rx_range(p, s[i], s[i]), r);
    return p->work->bad ? TS_RX_NEVER : r;
}

ts_rx ts_rx_nonempty(ts_rxs *p, ts_rx e) {
    const ts_rx_node n = p->node[e];
    if (!n.nullable || !ts_work_pay(p->work, 1)) return e;
    const size_t mark = p->n_tmp;
    switch (n.kind) {
    case RX_EMPTY: return TS_RX_NEVER;
    case RX_ALT:
        for (uint32_t i = 0; i < n.b; i++) ts_rx_push(p, ts_rx_nonempty(p, p->list[n.a + i]));
        return ts_rx_alt_from(p, mark);
    case RX_REP: return ts_rx_rep(p, ts_rx_nonempty(p, n.a), 1, n.c);
    case RX_CAT: { /* all parts can be empty: the first that is not, then the rest as it is */
        while (p->node[e].kind == RX_CAT) {
            const ts_rx_node c = p->node[e];
            ts_rx_push(p, ts_rx_cat(p, ts_rx_nonempty(p, c.a), c.b));
            e = c.b;
        }
        ts_rx_push(p, ts_rx_nonempty(p, e));
        return ts_rx_alt_from(p, mark);
    }
    default: return ts_rx_and(p, e, ts_rx_not(p, TS_RX_EMPTY));
    }
}

static int by_bytes(const void *x, const void *y) {
    const ts_rx_word *a = x, *b = y;
    const size_t both = a->len < b->len ? a->len : b->len;
    const int d = both ? memcmp(a->text, b->text, both) : 0;
    return d ? d : a->len < b->len ? -1 : a->len > b->len;
}

/* The words agree up to `at`. Where they part there is a choice, so the recursion is no deeper than words nest. */
static ts_rx trie(ts_rxs *p, const ts_rx_word *w, size_t n, size_t at, unsigned depth) {
    if (depth > WORDS_DEPTH || !ts_work_pay(p->work, n)) {
        ts_work_fail(p->work, TS_E_LIMIT, "the list of texts nests too deep");
        return TS_RX_NEVER;
    }
    size_t end = w[0].len;
    const size_t last = w[n - 1].len;
    size_t same = at;
    while (same < end && same < last && w[0].text[same] == w[n - 1].text[same]) same++;
    const size_t mark = p->n_tmp;
    size_t i = 0;
    if (w[0].len == same) {
        ts_rx_push(p, TS_RX_EMPTY);
        i = 1;
    }
    while (i < n) {
        const uint8_t b = w[i].text[same];
        size_t k = i + 1;
        while (k < n && w[k].text[same] == b) k++;
        ts_rx_push(p, ts_rx_cat(p, ts_rx_range(p, b, b), trie(p, w + i, k - i, same + 1, depth + 1)));
        i = k;
    }
    return ts_rx_cat(p, ts_rx_text(p, w[0].text + at, same - at), ts_rx_alt_from(p, mark));
}

ts_rx ts_rx_words(ts_rxs *p, ts_rx_word *word, size_t n) {
    if (n == 0) return TS_RX_NEVER;
    qsort(word, n, sizeof *word, by_bytes);
    size_t k = 1;
    for (size_t i = 1; i < n; i++)
        if (by_bytes(&word[k - 1], &word[i])) word[k++] = word[i];
    return trie(p, word, k, 0, 0);
}
