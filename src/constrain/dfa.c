/* dfa.c - automata of expressions, made lazily. */
#include "constrain/dfa.h"

#include <string.h>

enum { UNKNOWN, ALIVE, DEAD, ON_PATH };
enum { ROW_COST = 64 /* steps, beside those of its derivatives */ };

bool ts_dfa_init(ts_dfa *d, ts_rxs *rxs) {
    *d = (ts_dfa){.rxs = rxs, .work = rxs->work};
    if (!ts_work_grow(d->work, (void **)&d->state, &d->cap, 1, sizeof *d->state)) return false;
    d->state[d->n++] = (ts_dfa_state){.life = DEAD};
    return true;
}

void ts_dfa_free(ts_dfa *d) {
    ts_free(d->state);
    ts_free(d->of);
    ts_free(d->path);
    ts_arena_free(&d->rows);
    *d = (ts_dfa){0};
}

/* Can any n digits follow, and the number end behind them? */
static bool takes_any_digits(ts_rxs *p, ts_rx e, unsigned n) {
    while (n--) {
        uint8_t class[256];
        ts_rx_classes(p, e, class);
        for (unsigned b = '1'; b <= '9'; b++)
            if (class[b] != class['0']) return false;
        e = ts_rx_deriv(p, e, '0');
    }
    return e != TS_RX_NEVER && ts_rx_nullable(p, e);
}

/* A multiple of m / 10^k in a range, before the point: where so many free digits are left that they have more values
 * than m, one of these completes a multiple. The search would look through as many states to find it. */
static bool completes_multiple(ts_rxs *p, ts_rx e) {
    const ts_rx_node x = p->node[e];
    if (x.kind != RX_AND || x.b != 2) return false;
    for (int i = 0; i < 2; i++) {
        const ts_rx_node mod = p->node[p->list[x.a + i]];
        unsigned digits = 0;
        if (mod.kind != RX_MOD || mod.d != 0) continue;
        for (uint32_t top = 1; top < mod.a; top *= 10) digits++;
        return takes_any_digits(p, p->list[x.a + 1 - i], digits);
    }
    return false;
}

static uint32_t state_of(ts_dfa *d, ts_rx e) {
    if (e == TS_RX_NEVER || d->work->bad) return TS_DFA_DEAD;
    if (e >= d->of_cap) {
        const size_t had = d->of_cap;
        if (!ts_work_grow(d->work, (void **)&d->of, &d->of_cap, (size_t)e + 1, sizeof *d->of)) return TS_DFA_DEAD;
        memset(d->of + had, 0, (d->of_cap - had) * sizeof *d->of);
    }
    if (d->of[e]) return d->of[e];
    if (d->n > TS_DFA_STATES_MAX) {
        ts_work_fail(d->work, TS_E_LIMIT, "its automaton has more than %d states", TS_DFA_STATES_MAX);
        return TS_DFA_DEAD;
    }
    if (!ts_work_grow(d->work, (void **)&d->state, &d->cap, d->n + 1, sizeof *d->state)) return TS_DFA_DEAD;
    const bool alive = ts_rx_at(d->rxs, e)->booleans && completes_multiple(d->rxs, e);
    const ts_rx_node *x = ts_rx_at(d->rxs, e);
    d->state[d->n] = (ts_dfa_state){.rx = e, .accepts = x->nullable, .ends = e == TS_RX_EMPTY,
                                    .life = alive || x->nullable || !x->booleans ? ALIVE : UNKNOWN};
    d->of[e] = (uint32_t)d->n;
    return (uint32_t)d->n++;
}

static bool make_row(ts_dfa *d, uint32_t q) {
    if (d->state[q].row) return true;
    if (!ts_work_pay(d->work, ROW_COST)) return false;
    uint16_t *row = ts_arena_calloc(&d->rows, 256, sizeof *row);
    if (!row) return ts_work_nomem(d->work);
    const ts_rx e = d->state[q].rx;
    uint8_t class[256];
    uint16_t to[256];
    bool known[256] = {0};
    ts_rx_classes(d->rxs, e, class);
    for (unsigned b = 0; b < 256; b++) {
        const uint8_t c = class[b];
        if (!known[c]) to[c] = (uint16_t)state_of(d, ts_rx_deriv(d->rxs, e, (uint8_t)b));
        known[c] = true;
        row[b] = to[c];
    }
    if (d->work->bad) return false;
    d->state[q].row = row;
    return true;
}

static bool leads_nowhere(const ts_dfa *d, const uint16_t *row) {
    for (unsigned b = 0; b < 256; b++)
        if (row[b] && d->state[row[b]].life != DEAD) return false;
    return true;
}

/* Search from q, depth first, for a state that is known to be alive. The states on the path to one are alive too;
 * where there is none, all that were seen are dead. A state that was left behind is dead where all that follow it are;
 * the others that were seen beside the path lead back to it, and are left for another time. */
static void find_life(ts_dfa *d, uint32_t q) {
    size_t depth = 0, seen = 0; /* path[2 i], path[2 i + 1]: state and next byte; seen states grow from the end */
    uint32_t *other = NULL;
    size_t other_cap = 0;
    bool alive = false;
    d->state[q].life = ON_PATH;
    if (!ts_work_grow(d->work, (void **)&d->path, &d->path_cap, 2, sizeof *d->path)) return;
    d->path[0] = q;
    d->path[1] = 0;
    depth = 1;
    while (depth && !alive && ts_work_pay(d->work, 1)) {
        const uint32_t at = d->path[2 * depth - 2], from = d->path[2 * depth - 1];
        if (!make_row(d, at)) break;
        const uint16_t *row = d->state[at].row;
        if (from == 0)
            for (unsigned b = 0; b < 256 && !alive; b++) alive = row[b] && d->state[row[b]].life == ALIVE;
        if (alive) break;
        unsigned b = from;
        while (b < 256 && (row[b] == 0 || d->state[row[b]].life != UNKNOWN)) b++;
        d->path[2 * depth - 1] = b;
        if (b == 256) {
            depth--;
            if (leads_nowhere(d, row)) {
                d->state[at].life = DEAD;
                continue;
            }
            if (!ts_work_grow(d->work, (void **)&other, &other_cap, seen + 1, sizeof *other)) break;
            other[seen++] = at;
            continue;
        }
        if (!ts_work_grow(d->work, (void **)&d->path, &d->path_cap, 2 * depth + 2, sizeof *d->path)) break;
        d->path[2 * depth] = row[b];
        d->path[2 * depth + 1] = 0;
        d->state[row[b]].life = ON_PATH;
        depth++;
    }
    const bool failed = d->work->bad != TS_OK;
    for (size_t i = 0; i < depth; i++) d->state[d->path[2 * i]].life = alive && !failed ? ALIVE : UNKNOWN;
    for (size_t i = 0; i < seen; i++) d->state[other[i]].life = alive || failed ? UNKNOWN : DEAD;
    ts_free(other);
}

static uint32_t only_alive(ts_dfa *d, uint32_t q) {
    if (q && d->state[q].life == UNKNOWN) find_life(d, q);
    return q && d->state[q].life == ALIVE ? q : TS_DFA_DEAD;
}

uint32_t ts_dfa_start(ts_dfa *d, ts_rx e) {
    return only_alive(d, state_of(d, e));
}

uint32_t ts_dfa_next_slow(ts_dfa *d, uint32_t q, uint8_t b) {
    if (q == TS_DFA_DEAD || !make_row(d, q)) return TS_DFA_DEAD;
    return only_alive(d, d->state[q].row[b]);
}

bool ts_dfa_disjoint(ts_dfa *d, ts_rx a, ts_rx b) {
    return ts_dfa_start(d, ts_rx_and(d->rxs, a, b)) == TS_DFA_DEAD && d->work->bad == TS_OK;
}

bool ts_dfa_matches(ts_dfa *d, ts_rx e, const void *text, size_t len) {
    const uint8_t *s = text;
    uint32_t q = ts_dfa_start(d, e);
    for (size_t i = 0; i < len && q; i++) q = ts_dfa_next(d, q, s[i]);
    return q && d->state[q].accepts;
}
