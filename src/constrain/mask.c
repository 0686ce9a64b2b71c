/* mask.c - masks by walking the vocabulary's trie. */
#include "constrain/mask.h"
#include "constrain/front.h"

#include <string.h>

enum { MASK_FUEL = 64 << 20 };

static void set_bits(const ts_trie *t, const ts_trie_node *x, uint32_t *allowed) {
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t id = t->token[x->first + i];
        allowed[id / 32] |= 1u << id % 32;
    }
}

/* All tokens of `part` between two nodes whose bytes go on from `place`, which stands behind `depth` bytes. */
static void walk(ts_machine *m, const ts_trie *t, const ts_trie_part *part, uint32_t from, uint32_t to, uint32_t depth,
                 uint32_t place, uint32_t *allowed) {
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
        if (x->n) set_bits(t, x, allowed);
        i++;
    }
}

/* The node of the tokens that begin with a space; part->n: there are none. */
static uint32_t space_node(const ts_trie_part *part) {
    uint32_t i = 0;
    while (i < part->n && part->node[i].byte != ' ') i = part->node[i].end;
    return i;
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
    ts_machine *m = &a->machine;
    a->work.fuel = MASK_FUEL;
    memset(allowed, 0, t->n_words * sizeof *allowed);
    if (drop_space) {
        const uint32_t space = space_node(&t->all), behind = space < t->all.n ? t->all.node[space].end : space;
        walk(m, t, &t->all, 0, space, 0, place, allowed);
        if (space < t->all.n) walk(m, t, &t->all, space + 1, behind, 1, place, allowed);
        walk(m, t, &t->all, behind, t->all.n, 0, place, allowed);
    } else {
        walk(m, t, &t->all, 0, t->all.n, 0, place, allowed);
    }
    control_tokens(m, t, place, allowed);
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
