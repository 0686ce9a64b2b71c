/* machine.h - the automaton: where a text stands in the rules, all possible places at once.
 *
 * A place is a cell: a node of the rules, a register, and the cell that goes on when the node is complete. Cells are
 * hash-consed, so that places which agree on what comes later share it (a graph-structured stack), a call in the last
 * position costs nothing, and where a text stands is a sorted set of cells, itself hash-consed with the sets behind
 * it by byte. Whatever stands in a set can be completed; the empty set is 0. */
#ifndef TS_CONSTRAIN_MACHINE_H
#define TS_CONSTRAIN_MACHINE_H

#include "constrain/ir.h"

typedef struct ts_cell {
    uint32_t node, parent;
    uint64_t reg; /* LEX: state; REP, ARRAY: count; OBJECT: next property, count, phase; KEY: range of names, depth */
} ts_cell;

typedef struct ts_place { /* a set of cells that wait for a byte */
    uint32_t first, n; /* in ts_machine.member */
    bool accepts;      /* the text may end here */
    bool tokens;       /* a cell waits for a token */
    uint8_t last_byte; /* of the one step that is remembered while there is no row */
    uint32_t last;     /* and where it leads + 1; 0: none yet */
    uint32_t *row;     /* [256] places + 1, 0: not known yet; NULL: few steps from here */
} ts_place;

typedef struct ts_machine { /* zero-initialise, then ts_machine_init */
    ts_ir *ir;
    ts_dfa *dfa;
    ts_work *work;
    ts_cell *cell; /* 0: the end of everything */
    uint32_t *stamp;
    size_t n, cap, stamp_cap;
    uint32_t *slot;
    size_t slots;
    uint32_t epoch;
    ts_place *place; /* 0: the empty one */
    size_t n_places, places_cap;
    uint32_t *member;
    size_t n_members, members_cap;
    uint32_t *place_slot;
    size_t place_slots;
    ts_arena rows;
    uint32_t *todo;
    size_t n_todo, todo_cap;
    uint32_t *found; /* cells of the set that is being made */
    size_t n_found, found_cap;
} ts_machine;

bool ts_machine_init(ts_machine *m, ts_ir *ir);
void ts_machine_free(ts_machine *m);
/* The place at the beginning of node `root`; 0: nothing satisfies it. */
uint32_t ts_machine_start(ts_machine *m, ts_node root);
/* Behind a byte, or a token that is no bytes; 0: nothing goes on so (or something failed: work). */
uint32_t ts_machine_step(ts_machine *m, uint32_t place, uint8_t b);
uint32_t ts_machine_token(ts_machine *m, uint32_t place, int32_t id);
static inline uint32_t ts_machine_next(ts_machine *m, uint32_t place, uint8_t b) {
    const uint32_t *row = m->place[place].row;
    return row && row[b] ? row[b] - 1 : ts_machine_step(m, place, b);
}
static inline bool ts_machine_accepts(const ts_machine *m, uint32_t place) { return m->place[place].accepts; }
/* The number of a cell, made where it is new; and the place of n sorted cells. */
uint32_t ts_machine_cell(ts_machine *m, const ts_cell *c);
uint32_t ts_machine_place(ts_machine *m, const uint32_t *cell, size_t n);
/* The place of some of a place's cells: those for which keep[i]. */
uint32_t ts_machine_part(ts_machine *m, uint32_t place, const bool *keep);

#endif
