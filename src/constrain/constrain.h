/* constrain.h - what a text has to be: a JSON schema, a regular expression, a grammar or calls of tools, as an
 * automaton over bytes.
 *
 * docs/constrain.md says what is kept. Whatever cannot be kept is refused when the automaton is made, at its place;
 * output may be narrower than a schema, never wider. From every place that is reached some text completes it. */
#ifndef TS_CONSTRAIN_CONSTRAIN_H
#define TS_CONSTRAIN_CONSTRAIN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The token that a control token's text names, -1: there is none, its bytes have to be matched. */
typedef ts_token ts_find_control_fn(void *ud, const char *text, size_t len);

typedef struct ts_automaton_opts {
    ts_constraint_opts spec; /* as in tessera.h; its texts are not needed afterwards */
    ts_find_control_fn *find_control; /* NULL: everything is bytes */
    void *find_ud;
} ts_automaton_opts;

typedef struct ts_automaton ts_automaton;

/* Errors: TS_E_FORMAT, TS_E_UNSUPP, TS_E_LIMIT: "refused at WHERE: REASON"; TS_E_INVAL: options; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_automaton_new(ts_automaton **out, const ts_automaton_opts *opts, ts_err *err);
void ts_automaton_free(ts_automaton *a); /* NULL-safe */

/* Where a text stands. TS_PLACE_NONE: no text that begins so is accepted. Places are numbers of this automaton. */
typedef uint32_t ts_place_id;
enum { TS_PLACE_NONE = 0 };
ts_place_id ts_automaton_start(const ts_automaton *a);
/* Behind one byte more. TS_E_LIMIT, TS_E_NOMEM: the automaton cannot say. */
TS_NODISCARD ts_status ts_automaton_byte(ts_automaton *a, ts_place_id *place, uint8_t byte, ts_err *err);
/* Behind a control token. */
TS_NODISCARD ts_status ts_automaton_control(ts_automaton *a, ts_place_id *place, ts_token id, ts_err *err);
bool ts_automaton_accepts(const ts_automaton *a, ts_place_id place);

/* Does it hold so much that what is no longer needed should go? Then collect, with all places that are in use: they
 * get new numbers. Errors: TS_E_NOMEM: it can only be freed. */
bool ts_automaton_is_large(const ts_automaton *a);
TS_NODISCARD ts_status ts_automaton_collect(ts_automaton *a, ts_place_id *const *live, size_t n, ts_err *err);

typedef struct ts_automaton_size {
    size_t states, cells, places, rules;
} ts_automaton_size;
ts_automaton_size ts_automaton_get_size(const ts_automaton *a);

#endif
