/* mask.h - which tokens of a vocabulary may follow a text. */
#ifndef TS_CONSTRAIN_MASK_H
#define TS_CONSTRAIN_MASK_H

#include "constrain/constrain.h"
#include "constrain/trie.h"

/* Set the bits of the tokens that may follow `place`, and clear all others: exactly those whose bytes go on, and the
 * control tokens that a rule names. `drop_space`: a space in front of the token is not printed here. *any: whether
 * there are some. End tokens are the caller's business. Errors: TS_E_LIMIT, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_automaton_mask(ts_automaton *a, const ts_trie *t, ts_place_id place, bool drop_space,
                                         uint32_t *allowed, bool *any, ts_err *err);
/* Behind the bytes of a token. TS_PLACE_NONE: it may not come. */
TS_NODISCARD ts_status ts_automaton_bytes(ts_automaton *a, ts_place_id *place, const void *bytes, size_t n,
                                          ts_err *err);

#endif
