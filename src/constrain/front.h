/* front.h - what the front ends share: one automaton that is being made, and the place of what is refused. */
#ifndef TS_CONSTRAIN_FRONT_H
#define TS_CONSTRAIN_FRONT_H

#include "constrain/constrain.h"
#include "constrain/machine.h"

struct ts_automaton {
    ts_work work;
    ts_rxs rxs;
    ts_dfa dfa;
    ts_ir ir;
    ts_machine machine;
    ts_node root;
    ts_place_id start;
    bool broken;         /* there was no memory: it can only be freed */
    ts_rx quote, any_char; /* of JSON strings */
    struct ts_masks *masks; /* what is known of a vocabulary (mask.c) */
    bool narrow;         /* not ts_constraint_opts.exact */
    ts_buf where;        /* of a refusal; empty: `whole` */
    const char *whole;   /* what the place of the whole is called */
    ts_buf impossible;   /* the place of the first part of a schema that nothing satisfies; empty: none */
    uint32_t *rule_line; /* of a grammar's rules */
    size_t rule_lines_cap;
    ts_node *tool_args;  /* [n_tools] of each tool */
    size_t n_tools, tool_args_cap;
    ts_node answer;      /* what is said instead of a call; TS_NODE_EMPTY: it may be anything */
};

void ts_masks_free(struct ts_masks *k); /* NULL-safe */

/* What went wrong since the last call, if anything; then it is forgotten, and the automaton can be used on. */
ts_status ts_automaton_status(ts_automaton *a, ts_err *err);

/* Refuse, with the place as printf says; the first refusal stays. Returns TS_NODE_NEVER. */
TS_PRINTF(2, 3) ts_node ts_front_at(ts_automaton *a, const char *fmt, ...);

/* The node of the whole text. TS_NODE_NEVER: nothing satisfies it, or something is noted in a->work. */
ts_node ts_front_regex(ts_automaton *a, const char *text, size_t len);
ts_node ts_front_gbnf(ts_automaton *a, const char *text, size_t len);
ts_node ts_front_schema(ts_automaton *a, const char *text, size_t len);
ts_node ts_front_tools(ts_automaton *a, const ts_automaton_opts *opts);
/* The same, or behind a block <think> ... </think>; in_thinking: behind what ends with </think>, nothing else. */
ts_node ts_front_thinking(ts_automaton *a, const ts_automaton_opts *opts, ts_node root);

#endif
