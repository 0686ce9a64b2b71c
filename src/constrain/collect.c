/* collect.c - forget what no answer stands on.
 *
 * Cells, places and states are made as texts come to them, and masks look ahead. A long answer, or many that share a
 * constraint, would keep all of them; so when they take much memory, those that can be reached from a place that is in
 * use are copied, in order, and everything else is made again when it is needed. */
#include "constrain/front.h"

#include <string.h>

enum { BYTES_MAX = 64 << 20, STATES_MAX = 48000 };

bool ts_automaton_is_large(const ts_automaton *a) {
    const ts_machine *m = &a->machine;
    const size_t bytes = m->rows.total + a->dfa.rows.total + m->n * sizeof *m->cell + m->n_places * sizeof *m->place;
    return bytes > BYTES_MAX || a->dfa.n > STATES_MAX;
}

/* The new numbers of the cells that can be reached from the places v[0..n); 0 elsewhere (0 stays 0). */
static uint32_t *number_cells(ts_machine *m, ts_place_id *const *live, size_t n, uint32_t *count) {
    uint32_t *to = ts_calloc(m->n + 1, sizeof *to), next = 1;
    if (!to) return NULL;
    for (size_t i = 0; i < n; i++) {
        const ts_place p = m->place[*live[i]];
        for (uint32_t k = 0; k < p.n; k++) to[m->member[p.first + k]] = 1;
    }
    for (size_t i = m->n; i-- > 1;) /* a parent is older than its child */
        if (to[i]) to[m->cell[i].parent] = 1;
    to[0] = 0;
    for (size_t i = 1; i < m->n; i++)
        if (to[i]) to[i] = next++;
    *count = next;
    return to;
}

/* The kept cells, their states turned into expressions: the automaton's states go, too. */
static void keep_cells(ts_automaton *a, const uint32_t *to, ts_cell *kept) {
    const ts_machine *m = &a->machine;
    kept[0] = m->cell[0];
    for (size_t i = 1; i < m->n; i++) {
        if (!to[i]) continue;
        ts_cell c = m->cell[i];
        c.parent = to[c.parent];
        if (m->ir->node[c.node].kind == NODE_LEX && c.reg) c.reg = a->dfa.state[c.reg].rx;
        kept[to[i]] = c;
    }
}

/* The members of each live place, by their new numbers. */
static uint32_t *keep_members(const ts_machine *m, ts_place_id *const *live, size_t n, const uint32_t *to) {
    size_t all = 0;
    for (size_t i = 0; i < n; i++) all += m->place[*live[i]].n;
    uint32_t *v = ts_alloc(all + 1, sizeof *v), *next = v;
    for (size_t i = 0; v && i < n; i++) {
        const ts_place p = m->place[*live[i]];
        for (uint32_t k = 0; k < p.n; k++) *next++ = to[m->member[p.first + k]];
    }
    return v;
}

static bool begin_again(ts_automaton *a, const ts_cell *kept, uint32_t n, const uint32_t *member,
                        ts_place_id *const *live, uint32_t *sizes, size_t n_live) {
    ts_machine *m = &a->machine;
    ts_ir *ir = m->ir;
    ts_dfa_free(&a->dfa);
    ts_machine_free(m);
    ts_masks_free(a->masks);
    a->masks = NULL;
    if (!ts_dfa_init(&a->dfa, &a->rxs) || !ts_machine_init(m, ir)) return false;
    for (uint32_t i = 1; i < n; i++) {
        ts_cell c = kept[i];
        if (ir->node[c.node].kind == NODE_LEX && c.reg) c.reg = ts_dfa_start(&a->dfa, (ts_rx)c.reg);
        if (ts_machine_cell(m, &c) != i || a->work.bad) return false;
    }
    for (size_t i = 0; i < n_live; i++) {
        *live[i] = ts_machine_place(m, member, sizes[i]);
        member += sizes[i];
    }
    a->start = ts_machine_start(m, a->root);
    return a->work.bad == TS_OK;
}

ts_status ts_automaton_collect(ts_automaton *a, ts_place_id *const *live, size_t n, ts_err *err) {
    uint32_t count = 0;
    a->work.fuel = UINT64_MAX / 2; /* what is kept was paid for */
    uint32_t *to = number_cells(&a->machine, live, n, &count), *sizes = ts_alloc(n + 1, sizeof *sizes);
    ts_cell *kept = to ? ts_alloc(count, sizeof *kept) : NULL;
    uint32_t *member = to ? keep_members(&a->machine, live, n, to) : NULL;
    bool ok = to && sizes && kept && member;
    if (ok) {
        for (size_t i = 0; i < n; i++) sizes[i] = a->machine.place[*live[i]].n;
        keep_cells(a, to, kept);
        ok = begin_again(a, kept, count, member, live, sizes, n);
        a->broken = !ok;
    }
    ts_free(to);
    ts_free(sizes);
    ts_free(kept);
    ts_free(member);
    a->work.bad = TS_OK;
    return ok ? TS_OK : ts_fail_nomem(err, "the constraint", 0);
}
