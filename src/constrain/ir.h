/* ir.h - what all front ends build: rules over bytes, in one arena of nodes that are equal where they are the same
 * number.
 *
 * Regular pieces are one node (LEX, rx.h); rules that call each other, objects and arrays are what needs a stack. A
 * repetition is a counter, never unrolled. ts_ir_finish finds what can be completed (productive), and the machine
 * leaves out the rest, so that it has no dead ends. */
#ifndef TS_CONSTRAIN_IR_H
#define TS_CONSTRAIN_IR_H

#include "base/span.h"
#include "constrain/dfa.h"

typedef uint32_t ts_node;
enum { TS_NODE_EMPTY = 0, TS_NODE_NEVER = 1 };

typedef enum ts_node_kind {
    NODE_EMPTY,
    NODE_NEVER,
    NODE_LEX,    /* a: an expression */
    NODE_CAT,    /* a, then b */
    NODE_ALT,    /* one of list[a .. a + b] */
    NODE_REP,    /* a, b to c times */
    NODE_CALL,   /* rule a */
    NODE_TOKEN,  /* token a of the vocabulary, which is no bytes */
    NODE_OBJECT, /* object a: what stands behind its opening brace */
    NODE_KEY,    /* inside a declared key of object a */
    NODE_ARRAY,  /* array a: what stands behind its opening bracket */
} ts_node_kind;

typedef struct ts_ir_node {
    uint8_t kind;
    bool productive; /* some text completes it; after ts_ir_finish */
    bool nullable;   /* the empty text does */
    uint32_t a, b, c;
} ts_ir_node;

typedef struct ts_ir_prop { /* a declared property, in the order of output */
    ts_span name;           /* as it is written between quotes */
    bool required;
    ts_node tail; /* from the colon on */
} ts_ir_prop;

typedef struct ts_ir_other { /* undeclared keys: one language of keys (with quotes), one of values */
    ts_node key, tail;
} ts_ir_other;

typedef struct ts_ir_object {
    ts_ir_prop *prop; /* [n], in the arena */
    uint32_t n;
    ts_ir_other *other; /* [n_other] */
    uint32_t n_other;
    uint32_t min, max; /* members; max TS_RX_INF: no bound */
    ts_node key;       /* its NODE_KEY */
    /* from ts_ir_finish on: */
    uint32_t *sorted; /* [n_sorted] productive properties in the order of their names' bytes */
    uint32_t n_sorted;
    uint32_t *required; /* [n + 1] the first required one from here on, n: none */
    uint32_t *n_required, *n_left; /* [n + 1] how many required, and productive, ones there are from here on */
    bool open;                     /* an undeclared key is possible */
} ts_ir_object;

typedef struct ts_ir_array {
    ts_node *prefix; /* [n] the first items */
    uint32_t n;
    ts_node rest; /* further ones */
    uint32_t min, max;
    uint32_t fit; /* from ts_ir_finish on: at most so many items can be there, TS_RX_INF: any number */
} ts_ir_array;

typedef struct ts_ir { /* zero-initialise, then ts_ir_init */
    ts_work *work;
    ts_rxs *rxs;
    ts_dfa *dfa;
    ts_arena arena;
    ts_ir_node *node;
    size_t n, cap;
    uint32_t *list;
    size_t n_list, list_cap;
    uint32_t *slot;
    size_t slots;
    ts_node *rule; /* bodies */
    size_t n_rules, rules_cap;
    ts_ir_object *object;
    size_t n_objects, objects_cap;
    ts_ir_array *array;
    size_t n_arrays, arrays_cap;
    ts_node comma, quote, open_brace, close_brace, open_bracket, close_bracket;
    ts_rx colon; /* with or without a space behind, as the comma */
} ts_ir;

bool ts_ir_init(ts_ir *ir, ts_rxs *rxs, ts_dfa *dfa);
void ts_ir_free(ts_ir *ir);

ts_node ts_ir_lex(ts_ir *ir, ts_rx e);
ts_node ts_ir_text(ts_ir *ir, const char *text);
ts_node ts_ir_cat(ts_ir *ir, ts_node a, ts_node b);
ts_node ts_ir_alt(ts_ir *ir, const ts_node *list, size_t n); /* of expressions: one expression */
ts_node ts_ir_rep(ts_ir *ir, ts_node a, uint32_t min, uint32_t max);
ts_node ts_ir_token(ts_ir *ir, int32_t id);
uint32_t ts_ir_rule(ts_ir *ir); /* a new rule, of nothing yet */
ts_node ts_ir_call(ts_ir *ir, uint32_t rule);
/* Takes the arrays over, which lie in ir->arena. The opening bracket is not part of them. */
ts_node ts_ir_object_new(ts_ir *ir, const ts_ir_object *o);
ts_node ts_ir_array_new(ts_ir *ir, const ts_ir_array *a);

/* Find out what can be completed, and whether a rule calls itself before it has read anything: that is refused, *rule
 * says which (otherwise it is UINT32_MAX). */
bool ts_ir_finish(ts_ir *ir, uint32_t *rule);

#endif
