/* schema.h - JSON Schema: what the files of its front end know about each other.
 *
 * A set of schemas that all have to hold is one rule. It is worked out in three steps: the set becomes a list of
 * alternatives (ts_spec), in which $ref and allOf are merged and each anyOf and oneOf has been decided
 * (schema_merge.c); of each alternative what is possible is emitted type by type (schema_emit.c), its parts being sets
 * of schemas again, that wait in a queue; and for a oneOf it is shown that no other branch holds (schema_fits.c). */
#ifndef TS_CONSTRAIN_SCHEMA_H
#define TS_CONSTRAIN_SCHEMA_H

#include "base/json_tree.h"
#include "constrain/front.h"
#include "constrain/number.h"

enum { /* types of values */
    TYPE_NULL = 1,
    TYPE_BOOL = 2,
    TYPE_INT = 4,   /* numbers without a fraction */
    TYPE_FRAC = 8,  /* other numbers */
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_NUMBER = TYPE_INT | TYPE_FRAC,
    TYPE_ALL = 127,
};

/* Lists that grow at the front and are shared by alternatives. */
typedef struct ts_vals {
    const ts_jval *v;
    const struct ts_vals *next;
} ts_vals;

/* Schemas that all have to hold: sorted, each once; true and {} are left out. `never`: false is among them. */
typedef struct ts_schema_set {
    const ts_jval **v;
    uint32_t n;
    bool never;
} ts_schema_set;

/* What one schema says of the members of objects, or of the items of arrays. */
typedef struct ts_object_part {
    const ts_jval *properties, *patterns, *additional; /* NULL: not written */
    const struct ts_object_part *next;
} ts_object_part;
typedef struct ts_array_part {
    const ts_jval *prefix, *items;
    const struct ts_array_part *next;
} ts_array_part;

/* A oneOf, and which branch this alternative has taken. */
typedef struct ts_one_of {
    const ts_jval *list, *branch;
    const struct ts_one_of *next;
} ts_one_of;

typedef struct ts_spec { /* one alternative */
    uint8_t types;   /* that are allowed */
    uint8_t spoken;  /* that a keyword is about */
    bool typed;      /* `type` is written */
    bool narrow;     /* what nobody asked for is left out */
    ts_range range;
    const ts_vals *multiples; /* multipleOf */
    uint32_t min_length, max_length;
    ts_rx string; /* TS_RX_ANY: any; as it stands inside quotes */
    uint32_t min_items, max_items;
    const ts_array_part *arrays;
    uint32_t min_members, max_members;
    const ts_object_part *objects;
    const ts_vals *required; /* lists of names */
    const ts_vals *names;    /* propertyNames */
    const ts_vals *values;   /* enum (arrays) and const */
    const ts_one_of *one_of;
} ts_spec;

typedef struct ts_specs {
    ts_spec *v;
    size_t n, cap;
} ts_specs;

typedef struct ts_schema {
    ts_automaton *a;
    ts_work *work;
    ts_rxs *rxs;
    ts_arena arena;
    const ts_jval *root;
    const char *prefix; /* of pointers: "#" */
    const ts_jval *impossible; /* the first part that nothing satisfies */
    const ts_jval *unknown; /* the first keyword that nobody knows; those with _ or x- in front are somebody's own */
    struct ts_schema_rule *rule; /* sets that have a rule, in the order of the queue */
    size_t n_rules, rules_cap, done;
    uint32_t *slot; /* hash table of rules: number + 1 */
    size_t slots;
    ts_rx any_char;
    ts_rx free_number[2]; /* without any bound: numbers, integers; TS_RX_NEVER: not made yet */
    int depth; /* of values that are compared */
} ts_schema;

/* Refuse at a value of the schema (NULL: the whole). Returns false. */
TS_PRINTF(4, 5) bool ts_schema_refuse(ts_schema *s, ts_status why, const ts_jval *at, const char *fmt, ...);
/* The schema that a reference names; NULL: refused. */
const ts_jval *ts_schema_resolve(ts_schema *s, const ts_jval *ref);
/* Is this a schema, that is an object or boolean? Otherwise it is refused. */
bool ts_schema_is(ts_schema *s, const ts_jval *v);
/* Is it of this type? Otherwise it is refused: "it has to be WHAT". */
bool ts_schema_need(ts_schema *s, const ts_jval *v, ts_json_type type, const char *what);

void *ts_schema_alloc(ts_schema *s, size_t n, size_t size);
const ts_vals *ts_vals_cons(ts_schema *s, const ts_jval *v, const ts_vals *next);

bool ts_schema_set_add(ts_schema *s, ts_schema_set *set, size_t *cap, const ts_jval *v);
void ts_schema_set_sort(ts_schema_set *set);
/* The alternatives of a set, appended to *out (freed by the caller). */
bool ts_schema_expand(ts_schema *s, const ts_schema_set *set, ts_specs *out);
/* The types of an alternative: with `emitted`, those that are written. */
uint8_t ts_spec_types(const ts_spec *p, bool emitted);
/* Strings of an alternative, with quotes. */
ts_rx ts_spec_string(ts_schema *s, const ts_spec *p);
/* What has to hold for member `key`, or item i; `emitted`: of objects that are closed where nobody opened them.
 * *given: a schema names the key. */
ts_schema_set ts_spec_member(ts_schema *s, const ts_spec *p, ts_span key, bool emitted, bool *given);
ts_schema_set ts_spec_item(ts_schema *s, const ts_spec *p, uint32_t i);
uint32_t ts_spec_prefix(const ts_spec *p);
bool ts_spec_requires(const ts_spec *p, ts_span key);
/* Is the object closed, though no schema says so? */
bool ts_spec_house_closed(const ts_spec *p);
/* The language of a patternProperties key, as it stands inside quotes. */
ts_rx ts_schema_pattern(ts_schema *s, const ts_jval *at, ts_span pattern);
/* The names that propertyNames allow, inside quotes. */
ts_rx ts_spec_names(ts_schema *s, const ts_spec *p);

/* The rule of a set: made when the queue comes to it. */
ts_node ts_schema_call(ts_schema *s, const ts_schema_set *set);
ts_node ts_spec_emit(ts_schema *s, const ts_specs *specs);

bool ts_schema_fits(ts_schema *s, const ts_jval *v, const ts_schema_set *set);
/* Does a value satisfy an alternative? `alone`: and no other branch of each oneOf. */
bool ts_spec_fits(ts_schema *s, const ts_jval *v, const ts_spec *p, bool alone);
/* Is it sure that what is emitted for any of these alternatives satisfies one branch of each oneOf only? */
bool ts_schema_check_one_of(ts_schema *s, const ts_specs *specs);

/* Everything: the node of a schema in a tree. `beside` (nullable): another that has to hold, too. `prefix` begins the
 * pointers of refusals. */
ts_node ts_schema_build(ts_automaton *a, const ts_jval *root, const ts_jval *beside, const char *prefix);

#endif
