/* json_tree.h - a JSON text as a tree that is only read: values as they are written, in the order they are written.
 *
 * jansson, which reads what is ours, makes numbers doubles and 64-bit integers and forgets where a value stood. Here a
 * number stays its text (a bound of 20 digits, 1.0 against 1) and every value knows its source, so that a part of a
 * text can be passed on as it is. */
#ifndef TS_BASE_JSON_TREE_H
#define TS_BASE_JSON_TREE_H

#include "base/arena.h"
#include "base/json_pull.h"

typedef struct ts_jval {
    ts_json_type type;
    bool truth;                   /* BOOL */
    uint32_t n;                   /* items or members */
    ts_span text;                 /* STRING: its bytes, UTF-8, a NUL behind them; NUMBER: as it is written */
    ts_span source;               /* the value as it is written, in the text that was given */
    ts_span key;                  /* of an object's member, as `text` */
    struct ts_jval *first, *next; /* items or members, in order; the one behind this */
} ts_jval;

typedef struct ts_jlimits { /* 0: no limit, but for depth: TS_JSON_DEPTH */
    uint32_t depth, values;
} ts_jlimits;

/* The one value that `s` is. It lives as long as the arena and, for `source` and numbers, the text.
 * Errors: TS_E_FORMAT, with line and column: not JSON, not UTF-8, half of a surrogate pair, a key twice in an object;
 * TS_E_LIMIT: too deep or too many values; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_jtree_parse(const ts_jval **out, ts_arena *arena, const char *s, size_t len,
                                      const ts_jlimits *limits, ts_err *err);

/* The member of this key; NULL: there is none, or `v` is NULL or no object. Looks at one after the other. */
const ts_jval *ts_jval_get(const ts_jval *v, const char *key);
/* Is it the string `text`? NULL-safe. */
bool ts_jval_is(const ts_jval *v, const char *text);

#endif
