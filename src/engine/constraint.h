/* constraint.h - what answers know of constraints. */
#ifndef TS_ENGINE_CONSTRAINT_H
#define TS_ENGINE_CONSTRAINT_H

#include "constrain/mask.h"
#include "engine/engine.h"

struct ts_constraint {
    const ts_engine *e;
    const ts_trie *trie; /* the engine's */
    ts_automaton *automaton;
    ts_buf bytes; /* of the token that is looked at */
    struct ts_standing *standing; /* of all answers */
};

/* The engine's vocabulary as a trie, made when somebody first wants it. */
TS_NODISCARD ts_status ts_engine_trie(const ts_engine *e, const ts_trie **out, ts_err *err);

/* Where an answer stands in a constraint. */
typedef struct ts_standing {
    ts_place_id place;
    bool begun; /* a token has been printed */
    bool keep_space;
    struct ts_standing *next; /* of the others that share the constraint */
} ts_standing;
/* *at must stay where it is until ts_constraint_end. */
void ts_constraint_begin(ts_constraint *c, ts_standing *at, bool keep_space);
void ts_constraint_end(ts_constraint *c, ts_standing *at);
/* Which tokens may come: bits as in ts_mask_fn, end tokens where the text may end, unless `no_end`. *only_end: nothing
 * but the end can come. */
TS_NODISCARD ts_status ts_constraint_mask(ts_constraint *c, const ts_standing *at, bool no_end, uint32_t *allowed,
                                          bool *only_end, ts_err *err);
/* Behind a token. TS_E_INVAL: it may not come; *at is as it was. */
TS_NODISCARD ts_status ts_constraint_push(ts_constraint *c, ts_standing *at, ts_token token, ts_err *err);

#endif
