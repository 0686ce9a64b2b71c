/* sample.h - random texts of an automaton. */
#ifndef TS_CONSTRAIN_SAMPLE_H
#define TS_CONSTRAIN_SAMPLE_H

#include "base/mem.h"
#include "base/rng.h"
#include "constrain/constrain.h"

/* Append a text that is accepted, byte by byte at random; from an eighth of `longest` on the walk looks for an end.
 * *whole false: there was none in `longest` bytes. TS_E_FORMAT: a dead end, which there must not be. */
TS_NODISCARD ts_status ts_automaton_sample(ts_automaton *a, ts_rng *rng, size_t longest, ts_buf *out, bool *whole,
                                           ts_err *err);

#endif
