/* number.h - decimal numbers as they are written, never through a double, and the texts of those in a range.
 *
 * A number has one spelling: no leading zero, no -0, no exponent (but for numbers without any bound). Digits are
 * bounded: 15 in an integer, or as many as its bounds have; 15 in all with a fraction. */
#ifndef TS_CONSTRAIN_NUMBER_H
#define TS_CONSTRAIN_NUMBER_H

#include "base/arena.h"
#include "base/span.h"
#include "constrain/rx.h"

typedef struct ts_decimal {
    const uint8_t *digit; /* [n_int + n_frac] 0 to 9, no zero at either end but for the middle; none: zero */
    uint32_t n_int, n_frac;
    bool negative;
    bool huge; /* larger than any double: only its sign counts */
} ts_decimal;

/* From a JSON number. TS_E_LIMIT in w: more than 400 digits behind the point. */
bool ts_decimal_parse(ts_decimal *out, ts_arena *arena, ts_work *w, ts_span text);
int ts_decimal_cmp(const ts_decimal *a, const ts_decimal *b);
static inline bool ts_decimal_is_int(const ts_decimal *d) { return d->n_frac == 0; }
static inline bool ts_decimal_is_zero(const ts_decimal *d) { return d->n_int + d->n_frac == 0 && !d->huge; }
/* Its one spelling. */
bool ts_decimal_spell(ts_buf *out, const ts_decimal *d);
/* An unsigned integer of at most `max`; false: it is none. Larger ones become max. */
bool ts_decimal_count(const ts_decimal *d, uint32_t max, uint32_t *out);

typedef struct ts_range {
    ts_decimal low, high;
    bool has_low, has_high, low_open, high_open; /* open: the bound itself is not in it */
    bool integer;
} ts_range;
/* The texts of the numbers in a range. `exponents`: also with them; only where there is no bound. */
ts_rx ts_range_rx(ts_rxs *p, const ts_range *r, bool exponents);
/* Are there no numbers that both have? */
bool ts_range_disjoint(const ts_range *a, const ts_range *b);
/* The texts of multiples of m > 0 (and others than numbers: to be intersected). TS_E_UNSUPP: too many states. */
ts_rx ts_multiple_rx(ts_rxs *p, const ts_decimal *m);
bool ts_decimal_is_multiple(const ts_decimal *d, const ts_decimal *m);

#endif
