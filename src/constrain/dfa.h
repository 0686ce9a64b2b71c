/* dfa.h - automata of expressions, their states made when a text first comes to them.
 *
 * All expressions of a constraint share the states: a state is an expression (rx.h). A state is alive where some text
 * ends it well; dead ones are found by a search that is paid for in fuel, and are never entered, so that whatever has
 * been read can be completed. */
#ifndef TS_CONSTRAIN_DFA_H
#define TS_CONSTRAIN_DFA_H

#include "base/arena.h"
#include "constrain/rx.h"

enum { TS_DFA_DEAD = 0, TS_DFA_STATES_MAX = 65535 };

typedef struct ts_dfa_state {
    ts_rx rx;
    uint8_t life; /* whether it is alive: 0 not known, 1 yes, 2 no */
    bool accepts;
    bool ends;     /* nothing can follow */
    uint16_t *row; /* [256] next states, dead ones not yet taken out; NULL: not made yet */
} ts_dfa_state;

typedef struct ts_dfa { /* zero-initialise, then ts_dfa_init */
    ts_rxs *rxs;
    ts_work *work;
    ts_dfa_state *state; /* 0 is dead */
    size_t n, cap;
    uint32_t *of; /* [of_cap] state of an expression, 0: none yet */
    size_t of_cap;
    ts_arena rows;
    uint32_t *path; /* of the search for what is alive */
    size_t path_cap;
} ts_dfa;

bool ts_dfa_init(ts_dfa *d, ts_rxs *rxs);
void ts_dfa_free(ts_dfa *d);
/* The state of an expression; TS_DFA_DEAD where nothing satisfies it (or something has failed: look at work). */
uint32_t ts_dfa_start(ts_dfa *d, ts_rx e);
/* The state behind a byte, TS_DFA_DEAD where nothing can be completed then. */
uint32_t ts_dfa_next_slow(ts_dfa *d, uint32_t q, uint8_t b);
static inline uint32_t ts_dfa_next(ts_dfa *d, uint32_t q, uint8_t b) {
    const uint16_t *row = d->state[q].row;
    const uint32_t to = row ? row[b] : 0;
    return row && (to == 0 || d->state[to].life == 1) ? to : ts_dfa_next_slow(d, q, b);
}
/* Is there no text that both have? */
bool ts_dfa_disjoint(ts_dfa *d, ts_rx a, ts_rx b);
/* Is this text in e? */
bool ts_dfa_matches(ts_dfa *d, ts_rx e, const void *text, size_t len);

#endif
