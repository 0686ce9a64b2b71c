/* balance.h - do the rates of things that pass each other tokens or words fit together?
 *
 * Actors (rings of descriptors, shim channels, cores) run some number of rounds. A lock or a stream between them
 * is an equation: what all put in over their rounds equals what all take out,
 *     sum of coefficient[i] * rounds[i] = 0.
 * Two uses, both by exact elimination in fractions: a configuration is consistent when rounds > 0 exist for all
 * actors; and from what a command's shim channels move follow the rounds of every ring that depends on them
 * alone. */
#ifndef TS_XDNA_BALANCE_H
#define TS_XDNA_BALANCE_H

#include "base/mem.h"

#include <stdint.h>

typedef struct ts_frac { /* lowest terms, den > 0; den 0: unknown */
    int64_t num, den;
} ts_frac;

static inline bool ts_frac_known(ts_frac f) {
    return f.den != 0;
}

/* num / den in lowest terms; unknown when it does not fit. */
ts_frac ts_frac_of(int64_t num, int64_t den);

typedef struct ts_term {
    int actor;
    int64_t coefficient;
} ts_term;

typedef struct ts_equation {
    int kind, id; /* the caller's */
    ts_term *terms;
    size_t n, cap;
} ts_equation;

typedef struct ts_balance {
    ts_equation *eq;
    size_t n, cap;
} ts_balance;

/* Add an equation, or a term to the last one (the same actor twice adds up). false: out of memory. */
TS_NODISCARD bool ts_balance_equation(ts_balance *b, int kind, int id);
TS_NODISCARD bool ts_balance_term(ts_balance *b, int actor, int64_t coefficient);
void ts_balance_free(ts_balance *b);

/* Are there rounds > 0 for all actors? *bad: NULL if so, else the first equation that rules it out. (Where
 * several rates can be chosen freely the search is not complete: then an equation may be named although an odd
 * choice would fit.) Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status ts_balance_consistent(const ts_balance *b, const ts_equation **bad, ts_err *err);

/* rounds[actor]: fill in what follows from the known ones, leave the rest unknown. *bad: NULL, or the first
 * equation that contradicts the known rounds or gives a negative number. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status ts_balance_solve(const ts_balance *b, ts_frac *rounds, const ts_equation **bad,
                                        ts_err *err);

#endif
