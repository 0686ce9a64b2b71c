/* mask.c - masks: a walk of the vocabulary's trie, most of which is known beforehand.
 *
 * Where a text can go on in many ways, nearly all tokens stay inside one terminal: a string, a line of text. Whether
 * one does depends on the state of the terminal's automaton alone, not on what the stack holds, so it is found out once
 * a state (a split): the tokens that stay inside are bits, and those that leave the terminal on their way, few, a trie
 * of their own that is walked with the real stack. For the inside of JSON strings without a pattern not even that
 * walk is needed: how many characters a token is, is known of the vocabulary (its slices). Everything else allows few
 * tokens, and the walk of the whole trie is short. */
#include "constrain/mask.h"
#include "constrain/front.h"

#include <stdlib.h>
#include <string.h>

enum { MASK_FUEL = 16 << 20, SPLITS_MAX = 128, LETTERS = 12 /* so many can follow: the state is a wide one */ };

typedef enum shape { SHAPE_UNKNOWN, SHAPE_NARROW, SHAPE_WIDE, SHAPE_SLICE, SHAPE_STRING /* without bounds */ } shape;

typedef struct split {
    uint32_t *stay;      /* bits */
    ts_trie_part leaves; /* tokens that are inside at first, could end the terminal, and go on outside */
} split;

struct ts_masks {
    const ts_trie *trie;
    uint8_t *shape; /* [cap] of states */
    uint32_t *left; /* slices: characters that are left; splits: number */
    uint32_t *like; /* slices: a state with the same tokens that are no slice's, shared by long strings */
    size_t cap, left_cap, like_cap;
    split *split; /* [SPLITS_MAX] */
    size_t n_splits;
    bool *some; /* [some_cap] which cells of a place are meant */
    size_t some_cap;
};

/* ---- walking --------------------------------------------------------------------------------------------------- */

static void set_bits(const ts_trie_part *part, const ts_trie_node *x, uint32_t *allowed) {
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t id = part->token[x->first + i];
        allowed[id / 32] |= 1u << id % 32;
    }
}

/* All tokens of `part` between two nodes whose bytes go on from `place`, which stands behind `depth` bytes. */
static void walk(ts_machine *m, const ts_trie_part *part, uint32_t from, uint32_t to, uint32_t depth, uint32_t place,
                 uint32_t *allowed) {
    uint32_t at[TS_TRIE_DEPTH + 1];
    at[depth] = place;
    for (uint32_t i = from; i < to;) {
        const ts_trie_node *x = &part->node[i];
        const uint32_t next = ts_machine_next(m, at[x->depth - 1], x->byte);
        if (next == TS_PLACE_NONE) {
            if (m->work->bad) return;
            i = x->end;
            continue;
        }
        at[x->depth] = next;
        if (x->n) set_bits(part, x, allowed);
        i++;
    }
}

/* The node of the tokens that begin with a space; part->n: there are none. */
static uint32_t space_node(const ts_trie_part *part) {
    uint32_t i = 0;
    while (i < part->n && part->node[i].byte != ' ') i = part->node[i].end;
    return i;
}

/* At the beginning of a text of SentencePiece: a token's first space is not printed. */
static void walk_without_space(ts_machine *m, const ts_trie *t, uint32_t place, uint32_t *allowed) {
    const uint32_t space = space_node(&t->all), behind = space < t->all.n ? t->all.node[space].end : space;
    walk(m, &t->all, 0, space, 0, place, allowed);
    if (space < t->all.n) walk(m, &t->all, space + 1, behind, 1, place, allowed);
    walk(m, &t->all, behind, t->all.n, 0, place, allowed);
}

/* ---- splits ---------------------------------------------------------------------------------------------------- */

/* Which nodes belong to tokens that die inside behind a place where the terminal could have ended: 1; their ancestors:
 * 2. Bits of those that stay. Returns how many nodes are marked. */
static uint32_t sort_tokens(ts_automaton *a, const ts_trie *t, uint32_t q, uint8_t *mark, uint32_t *stay) {
    uint32_t at[TS_TRIE_DEPTH + 1], way[TS_TRIE_DEPTH + 1], n = 0, shown = 0; /* shown: marked part of the way */
    bool could_end[TS_TRIE_DEPTH + 1];
    at[0] = q;
    could_end[0] = false;
    for (uint32_t i = 0; i < t->all.n;) {
        const ts_trie_node *x = &t->all.node[i];
        const uint32_t d = x->depth, next = ts_dfa_next(&a->dfa, at[d - 1], x->byte);
        if (shown >= d) shown = d - 1;
        if (next != TS_DFA_DEAD) {
            at[d] = next;
            way[d] = i;
            could_end[d] = could_end[d - 1] || a->dfa.state[next].accepts;
            if (x->n) set_bits(&t->all, x, stay);
            i++;
            continue;
        }
        if (a->work.bad) return n;
        if (could_end[d - 1]) {
            for (; shown < d - 1; n++) mark[way[++shown]] = 2;
            memset(mark + i, 1, x->end - i);
            n += x->end - i;
        }
        i = x->end;
    }
    return n;
}

static bool make_leaves(ts_work *w, const ts_trie *t, const uint8_t *mark, uint32_t n, ts_trie_part *out) {
    uint32_t open[TS_TRIE_DEPTH + 1], depth = 0;
    out->token = t->token;
    out->node = ts_alloc(n + 1, sizeof *out->node);
    if (!out->node) return ts_work_nomem(w);
    for (uint32_t i = 0; i < t->all.n; i++) {
        if (!mark[i]) continue;
        ts_trie_node x = t->all.node[i];
        for (; depth >= x.depth; depth--) out->node[open[depth]].end = out->n;
        if (mark[i] == 2) x.n = 0; /* it stays */
        open[++depth] = out->n;
        out->node[out->n++] = x;
    }
    for (; depth > 0; depth--) out->node[open[depth]].end = out->n;
    return true;
}

static void free_split(split *s) {
    ts_free(s->stay);
    ts_free(s->leaves.node);
    *s = (split){0};
}

/* Take the tokens apart for state q. */
static bool make_split(ts_automaton *a, struct ts_masks *k, uint32_t q) {
    const ts_trie *t = k->trie;
    if (k->n_splits == SPLITS_MAX) { /* begin again: simpler than to find the one that was used least */
        for (size_t i = 0; i < k->n_splits; i++) free_split(&k->split[i]);
        for (size_t i = 0; i < k->cap; i++)
            if (k->shape[i] == SHAPE_WIDE) k->shape[i] = SHAPE_UNKNOWN;
        k->n_splits = 0;
    }
    split s = {.stay = ts_calloc(t->n_words, sizeof *s.stay)};
    uint8_t *mark = ts_calloc(t->all.n, 1);
    bool ok = s.stay && mark;
    if (!ok) ts_work_nomem(&a->work);
    if (ok) {
        const uint32_t n = sort_tokens(a, t, q, mark, s.stay);
        ok = a->work.bad == TS_OK && make_leaves(&a->work, t, mark, n, &s.leaves);
    }
    ts_free(mark);
    if (!ok) {
        free_split(&s);
        return false;
    }
    k->left[q] = (uint32_t)k->n_splits;
    k->split[k->n_splits++] = s;
    return true;
}

/* ---- shapes of states ------------------------------------------------------------------------------------------ */

/* Is `e` any characters of a JSON string and then its quote? *left: how many at most. Names that are left out of them
 * do not matter as long as they are finitely many: more characters lead away from any. */
static bool is_string(ts_automaton *a, ts_rx e, uint32_t *left) {
    const ts_rxs *p = &a->rxs;
    const ts_rx_node *x = ts_rx_at(p, e);
    if (x->kind != RX_CAT || x->b != a->quote) return false;
    e = x->a;
    x = ts_rx_at(p, e);
    if (x->kind == RX_AND) {
        ts_rx chars = TS_RX_NEVER;
        for (uint32_t i = 0; i < x->b; i++) {
            const ts_rx_node *y = ts_rx_at(p, p->list[x->a + i]);
            if (y->kind == RX_REP && y->a == a->any_char && y->c == TS_RX_INF && chars == TS_RX_NEVER)
                chars = p->list[x->a + i];
            else if (y->kind != RX_NOT || !ts_rx_at(p, y->a)->finite) return false;
        }
        *left = TS_RX_INF;
        return chars != TS_RX_NEVER;
    }
    *left = e == a->any_char ? 1 : x->c;
    return e == a->any_char || (x->kind == RX_REP && x->a == a->any_char);
}

/* Where no token is as long as a string may still be, all that counts is how many characters it must have. */
static uint32_t like_state(ts_automaton *a, const struct ts_masks *k, uint32_t q) {
    const uint32_t longest = k->trie->max_depth;
    const ts_rx_node *x = ts_rx_at(&a->rxs, ts_rx_at(&a->rxs, a->dfa.state[q].rx)->a);
    if (x->kind != RX_REP || k->left[q] <= longest || (x->c == TS_RX_INF && x->b <= longest)) return q;
    const uint32_t least = x->b > longest ? longest + 1 : x->b;
    const ts_rx chars = ts_rx_rep(&a->rxs, a->any_char, least, TS_RX_INF);
    return ts_dfa_start(&a->dfa, ts_rx_cat(&a->rxs, chars, a->quote));
}

static shape shape_of(ts_automaton *a, struct ts_masks *k, uint32_t q) {
    const size_t had = k->cap;
    if (!ts_work_grow(&a->work, (void **)&k->shape, &k->cap, q + 1u, sizeof *k->shape) ||
        !ts_work_grow(&a->work, (void **)&k->left, &k->left_cap, k->cap, sizeof *k->left) ||
        !ts_work_grow(&a->work, (void **)&k->like, &k->like_cap, k->cap, sizeof *k->like))
        return SHAPE_UNKNOWN;
    memset(k->shape + had, SHAPE_UNKNOWN, k->cap - had);
    if (k->shape[q] != SHAPE_UNKNOWN) return k->shape[q];
    shape s = SHAPE_NARROW;
    if (is_string(a, a->dfa.state[q].rx, &k->left[q])) {
        const ts_rx_node *chars = ts_rx_at(&a->rxs, ts_rx_at(&a->rxs, a->dfa.state[q].rx)->a);
        s = chars->kind == RX_REP && chars->b == 0 && k->left[q] > k->trie->max_depth ? SHAPE_STRING : SHAPE_SLICE;
        if (s == SHAPE_SLICE) k->like[q] = like_state(a, k, q);
    } else {
        int letters = 0;
        for (uint8_t c = 'a'; c <= 'z'; c++)
            letters += (ts_dfa_next(&a->dfa, q, c) != TS_DFA_DEAD) + (ts_dfa_next(&a->dfa, q, c & 0xDF) != TS_DFA_DEAD);
        if (letters >= LETTERS && make_split(a, k, q)) s = SHAPE_WIDE;
    }
    if (a->work.bad) return SHAPE_UNKNOWN;
    k->shape[q] = (uint8_t)s;
    return s;
}

/* ---- masks ----------------------------------------------------------------------------------------------------- */

static struct ts_masks *masks_for(ts_automaton *a, const ts_trie *t) {
    struct ts_masks *k = a->masks;
    if (k && k->trie == t) return k;
    ts_masks_free(k);
    a->masks = k = ts_calloc(1, sizeof *k);
    if (k) k->split = ts_calloc(SPLITS_MAX, sizeof *k->split);
    if (!k || !k->split) return ts_work_nomem(&a->work), NULL;
    k->trie = t;
    return k;
}

void ts_masks_free(struct ts_masks *k) {
    if (!k) return;
    for (size_t i = 0; i < k->n_splits; i++) free_split(&k->split[i]);
    ts_free(k->split);
    ts_free(k->shape);
    ts_free(k->left);
    ts_free(k->like);
    ts_free(k->some);
    ts_free(k);
}

static void add_bits(const ts_trie *t, uint32_t *allowed, const uint32_t *more) {
    for (uint32_t i = 0; i < t->n_words; i++) allowed[i] |= more[i];
}

static int by_number(const void *x, const void *y) {
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

/* The place of the strings among the cells of p, in their shared states. */
static uint32_t like_place(ts_automaton *a, const struct ts_masks *k, const ts_place p) {
    ts_machine *m = &a->machine;
    uint32_t *cell = ts_alloc(p.n, sizeof *cell), n = 0, kept = 0;
    if (!cell) return ts_work_nomem(&a->work), TS_PLACE_NONE;
    for (uint32_t i = 0; i < p.n; i++) {
        if (!k->some[i]) continue;
        ts_cell c = m->cell[m->member[p.first + i]];
        c.reg = k->like[c.reg];
        cell[n++] = ts_machine_cell(m, &c);
    }
    qsort(cell, n, sizeof *cell, by_number);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || cell[i] != cell[kept - 1]) cell[kept++] = cell[i];
    const uint32_t place = a->work.bad ? TS_PLACE_NONE : ts_machine_place(m, cell, kept);
    ts_free(cell);
    return place;
}

/* The cells of one shape, for wide ones of one state: walked together. */
static void mask_cells(ts_automaton *a, struct ts_masks *k, uint32_t place, shape s, uint32_t only, uint32_t *allowed) {
    ts_machine *m = &a->machine;
    const ts_place p = m->place[place];
    bool any = false, all = true;
    for (uint32_t i = 0; i < p.n; i++) {
        const uint32_t cell = m->member[p.first + i];
        const ts_cell c = m->cell[cell];
        const bool lex = cell && m->ir->node[c.node].kind == NODE_LEX;
        shape is = lex ? k->shape[c.reg] : SHAPE_NARROW;
        k->some[i] = is == s && (s != SHAPE_WIDE || c.reg == only);
        any |= k->some[i];
        all &= k->some[i];
    }
    if (!any) return;
    const ts_trie_part *part = s == SHAPE_STRING  ? &k->trie->quoted
                               : s == SHAPE_SLICE ? &k->trie->rest
                               : s == SHAPE_WIDE  ? &k->split[k->left[only]].leaves
                                                  : &k->trie->all;
    uint32_t some = s == SHAPE_SLICE ? like_place(a, k, p) : all ? place : ts_machine_part(m, place, k->some);
    if (s == SHAPE_STRING && some != TS_PLACE_NONE) some = ts_machine_next(m, some, '"');
    if (some != TS_PLACE_NONE) walk(m, part, 0, part->n, 0, some, allowed);
}

static void mask_place(ts_automaton *a, struct ts_masks *k, uint32_t place, uint32_t *allowed) {
    ts_machine *m = &a->machine;
    const ts_place p = m->place[place];
    uint32_t slice = 0;
    bool sliced = false, string = false;
    if (!ts_work_grow(&a->work, (void **)&k->some, &k->some_cap, p.n, sizeof *k->some)) return;
    for (uint32_t i = 0; i < p.n && a->work.bad == TS_OK; i++) { /* shapes first: splits may be made anew */
        const uint32_t cell = m->member[p.first + i];
        if (cell && m->ir->node[m->cell[cell].node].kind == NODE_LEX) shape_of(a, k, (uint32_t)m->cell[cell].reg);
    }
    for (uint32_t i = 0; i < p.n && a->work.bad == TS_OK; i++) {
        const uint32_t cell = m->member[p.first + i];
        const ts_cell c = m->cell[cell];
        if (!cell || m->ir->node[c.node].kind != NODE_LEX) continue;
        const uint32_t q = (uint32_t)c.reg;
        if (k->shape[q] == SHAPE_SLICE) {
            sliced = true;
            if (k->left[q] > slice) slice = k->left[q];
        } else if (k->shape[q] == SHAPE_STRING) {
            string = true;
        } else if (k->shape[q] == SHAPE_UNKNOWN) { /* its split had to go for another one: walk */
            walk(m, &k->trie->all, 0, k->trie->all.n, 0, place, allowed);
            return;
        } else if (k->shape[q] == SHAPE_WIDE) {
            add_bits(k->trie, allowed, k->split[k->left[q]].stay);
            mask_cells(a, k, place, SHAPE_WIDE, q, allowed);
        }
    }
    if (a->work.bad) return;
    if (string) add_bits(k->trie, allowed, k->trie->inside);
    if (string) mask_cells(a, k, place, SHAPE_STRING, 0, allowed);
    if (sliced) add_bits(k->trie, allowed, k->trie->slice[slice < TS_TRIE_SLICES - 1 ? slice : TS_TRIE_SLICES - 1]);
    if (sliced) mask_cells(a, k, place, SHAPE_SLICE, 0, allowed);
    mask_cells(a, k, place, SHAPE_NARROW, 0, allowed);
}

static void control_tokens(ts_machine *m, const ts_trie *t, uint32_t place, uint32_t *allowed) {
    const ts_place p = m->place[place];
    for (uint32_t i = 0; p.tokens && i < p.n; i++) {
        const uint32_t cell = m->member[p.first + i];
        const ts_ir_node *x = &m->ir->node[m->cell[cell].node];
        if (cell && x->kind == NODE_TOKEN && x->a < t->n_vocab) allowed[x->a / 32] |= 1u << x->a % 32;
    }
}

ts_status ts_automaton_mask(ts_automaton *a, const ts_trie *t, ts_place_id place, bool drop_space, uint32_t *allowed,
                            bool *any, ts_err *err) {
    struct ts_masks *k = masks_for(a, t);
    a->work.fuel = MASK_FUEL;
    memset(allowed, 0, t->n_words * sizeof *allowed);
    if (drop_space) walk_without_space(&a->machine, t, place, allowed);
    else if (k) mask_place(a, k, place, allowed);
    control_tokens(&a->machine, t, place, allowed);
    TS_TRY(ts_automaton_status(a, err));
    uint32_t some = 0;
    for (uint32_t i = 0; i < t->n_words; i++) some |= allowed[i];
    *any = some != 0;
    return TS_OK;
}

ts_status ts_automaton_bytes(ts_automaton *a, ts_place_id *place, const void *bytes, size_t n, ts_err *err) {
    const uint8_t *s = bytes;
    ts_place_id at = *place;
    a->work.fuel = MASK_FUEL;
    for (size_t i = 0; i < n && at != TS_PLACE_NONE; i++) at = ts_machine_next(&a->machine, at, s[i]);
    TS_TRY(ts_automaton_status(a, err));
    *place = at;
    return TS_OK;
}
