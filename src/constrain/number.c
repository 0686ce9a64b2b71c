/* number.c - decimal numbers and ranges of them. */
#include "constrain/number.h"

#include <string.h>

enum { INT_MAX_DIGITS = 309, FRAC_MAX_DIGITS = 400, DIGITS = 15, MULTIPLE_MAX = 10000 };

bool ts_decimal_parse(ts_decimal *out, ts_arena *arena, ts_work *w, ts_span text) {
    *out = (ts_decimal){0};
    size_t i = 0, n = 0;
    int64_t point = -1, exponent = 0;
    uint8_t *digit = ts_arena_alloc(arena, text.len + 1, 1);
    if (!digit) return ts_work_nomem(w);
    if (text.len && text.data[0] == '-') out->negative = ++i;
    for (; i < text.len && (text.data[i] | 32) != 'e'; i++) {
        if (text.data[i] == '.') point = (int64_t)n;
        else digit[n++] = (uint8_t)(text.data[i] - '0');
    }
    if (point < 0) point = (int64_t)n;
    if (i < text.len) {
        const bool minus = i + 1 < text.len && text.data[i + 1] == '-';
        for (i += 1 + (minus || (i + 1 < text.len && text.data[i + 1] == '+')); i < text.len; i++)
            if (exponent < 100000000) exponent = exponent * 10 + (text.data[i] - '0');
        point += minus ? -exponent : exponent;
    }
    size_t first = 0;
    while (first < n && digit[first] == 0) first++;
    while (n > first && digit[n - 1] == 0) n--;
    point -= (int64_t)first;
    n -= first;
    if (n == 0) {
        out->negative = false;
        return true;
    }
    if (point > INT_MAX_DIGITS) {
        out->huge = true;
        return true;
    }
    if ((int64_t)n - point > FRAC_MAX_DIGITS)
        return ts_work_fail(w, TS_E_LIMIT, "a number with more than %d digits behind the point", FRAC_MAX_DIGITS);
    const uint32_t n_int = point > 0 ? (uint32_t)point : 0;
    const uint32_t n_frac = (int64_t)n > point ? (uint32_t)((int64_t)n - point) : 0;
    uint8_t *all = ts_arena_calloc(arena, n_int + n_frac + 1, 1);
    if (!all) return ts_work_nomem(w);
    memcpy(all + (point < 0 ? -point : 0), digit + first, n);
    out->digit = all;
    out->n_int = n_int;
    out->n_frac = n_frac;
    return true;
}

/* The i-th digit counted from the point: -1 the ones, 0 the tenths. */
static unsigned digit_at(const ts_decimal *d, int64_t i) {
    const int64_t at = (int64_t)d->n_int + i;
    return at >= 0 && at < (int64_t)d->n_int + d->n_frac ? d->digit[at] : 0;
}

static int cmp_size(const ts_decimal *a, const ts_decimal *b) {
    if (a->huge || b->huge) return (int)a->huge - (int)b->huge;
    const int64_t n_int = a->n_int > b->n_int ? a->n_int : b->n_int;
    const int64_t n_frac = a->n_frac > b->n_frac ? a->n_frac : b->n_frac;
    for (int64_t i = -n_int; i < n_frac; i++) {
        const unsigned x = digit_at(a, i), y = digit_at(b, i);
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

int ts_decimal_cmp(const ts_decimal *a, const ts_decimal *b) {
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    return a->negative ? cmp_size(b, a) : cmp_size(a, b);
}

bool ts_decimal_spell(ts_buf *out, const ts_decimal *d) {
    bool ok = !d->negative || ts_buf_putc(out, '-');
    if (d->n_int == 0) ok = ok && ts_buf_putc(out, '0');
    for (uint32_t i = 0; i < d->n_int + d->n_frac; i++) {
        if (i == d->n_int) ok = ok && ts_buf_putc(out, '.');
        ok = ok && ts_buf_putc(out, (char)('0' + d->digit[i]));
    }
    return ok;
}

bool ts_decimal_count(const ts_decimal *d, uint32_t max, uint32_t *out) {
    if (d->negative || d->n_frac) return false;
    uint64_t v = d->huge ? max : 0;
    for (uint32_t i = 0; i < d->n_int; i++)
        if (v < max) v = v * 10 + d->digit[i];
    *out = v > max ? max : (uint32_t)v;
    return true;
}

/* ---- the texts of the numbers 0 <= low <= x <= high ------------------------------------------------------------- */

typedef struct size_range {
    const ts_decimal *low, *high; /* NULL: none */
    bool low_open, high_open;
} size_range;

static uint32_t int_digits(const ts_decimal *d) {
    return d->n_int ? d->n_int : 1;
}

/* Bit 0: so far the digits are those of low, bit 1: those of high. May the number end behind digit `at` (counted from
 * the point)? */
static bool may_end(const size_range *r, int64_t at, unsigned tight) {
    bool more = false;
    if (tight & 1) {
        for (int64_t i = at; i < (int64_t)r->low->n_frac; i++) more |= digit_at(r->low, i) != 0;
        if (more || r->low_open) return false;
    }
    more = false;
    if (tight & 2 && r->high_open) {
        for (int64_t i = at; i < (int64_t)r->high->n_frac; i++) more |= digit_at(r->high, i) != 0;
        if (!more) return false;
    }
    return true;
}

/* A digit at `at`, then behind[tight]. */
static ts_rx one_digit(ts_rxs *p, const size_range *r, int64_t at, unsigned tight, unsigned least,
                       const ts_rx behind[4]) {
    const size_t mark = p->n_tmp;
    const unsigned low = tight & 1 ? digit_at(r->low, at) : 0, high = tight & 2 ? digit_at(r->high, at) : 9;
    for (unsigned d = low > least ? low : least; d <= high; d++) {
        const unsigned t = (tight & 1 && d == low ? 1u : 0) | (tight & 2 && d == high ? 2u : 0);
        ts_rx_push(p, ts_rx_cat(p, ts_rx_range(p, '0' + d, '0' + d), behind[t]));
    }
    /* digits with the same rest become one set */
    for (size_t i = mark; i < p->n_tmp; i++) {
        ts_rx_node x = p->node[p->tmp[i]];
        if (x.kind != RX_CAT || p->node[x.a].kind != RX_SET) continue;
        ts_byteset s = p->set[p->node[x.a].a];
        for (size_t k = i + 1; k < p->n_tmp; k++) {
            const ts_rx_node y = p->node[p->tmp[k]];
            if (y.kind != RX_CAT || y.b != x.b || p->node[y.a].kind != RX_SET) continue;
            for (int w = 0; w < 4; w++) s.w[w] |= p->set[p->node[y.a].a].w[w];
            p->tmp[k] = TS_RX_NEVER;
        }
        p->tmp[i] = ts_rx_cat(p, ts_rx_set(p, &s), x.b);
    }
    return ts_rx_alt_from(p, mark);
}

/* Numbers of exactly n_int digits in front of the point and at most n_frac behind it. */
static ts_rx of_length(ts_rxs *p, const size_range *r, uint32_t n_int, uint32_t n_frac, unsigned tight) {
    ts_rx behind[4], here[4];
    const ts_rx point = ts_rx_text(p, ".", 1);
    for (int i = 0; i < 4; i++) behind[i] = TS_RX_NEVER;
    for (int64_t at = n_frac; at >= -(int64_t)n_int; at--) {
        if (!ts_work_pay(p->work, 8)) return TS_RX_NEVER;
        for (unsigned t = 0; t < 4; t++) {
            if ((t & 1 && !r->low) || (t & 2 && !r->high)) {
                here[t] = TS_RX_NEVER;
                continue;
            }
            const unsigned least = at == -(int64_t)n_int && n_int > 1;
            ts_rx e = at < n_frac ? one_digit(p, r, at, t, least, behind) : TS_RX_NEVER;
            if (at == 0) e = ts_rx_cat(p, point, e);
            here[t] = at >= 0 && may_end(r, at, t) ? ts_rx_alt(p, e, TS_RX_EMPTY) : e;
        }
        memcpy(behind, here, sizeof behind);
    }
    return behind[tight];
}

static ts_rx sizes(ts_rxs *p, const size_range *r, bool integer) {
    const uint32_t low = r->low ? int_digits(r->low) : 1;
    const uint32_t enough = low >= DIGITS ? low + 1 : DIGITS;
    uint32_t most = r->high ? int_digits(r->high) : enough;
    if (!integer && most > enough) most = enough; /* a double could not tell these from the bound */
    const size_t mark = p->n_tmp;
    if ((r->low && r->low->huge) || most > INT_MAX_DIGITS + 1) return TS_RX_NEVER;
    for (uint32_t n = low; n <= most; n++) {
        uint32_t n_frac = n == 1 ? DIGITS : n < DIGITS ? DIGITS - n : 0;
        const unsigned tight = (r->low && n == low ? 1u : 0) | (r->high && n == int_digits(r->high) ? 2u : 0);
        if (tight & 1 && r->low->n_frac > n_frac) n_frac = r->low->n_frac;
        if (tight & 2 && r->high->n_frac > n_frac) n_frac = r->high->n_frac;
        ts_rx_push(p, of_length(p, r, n, integer ? 0 : n_frac, tight));
    }
    return ts_rx_alt_from(p, mark);
}

/* A number without any bound. */
static ts_rx free_number(ts_rxs *p) {
    static const uint8_t digits[] = {1};
    static const ts_decimal zero, one = {.digit = digits, .n_int = 1};
    const ts_rx digit = ts_rx_range(p, '0', '9');
    const ts_rx whole = ts_rx_cat(p, ts_rx_range(p, '1', '9'), ts_rx_rep(p, digit, 0, DIGITS - 1));
    const ts_rx frac = ts_rx_rep(p, ts_rx_cat(p, ts_rx_text(p, ".", 1), ts_rx_rep(p, digit, 1, DIGITS)), 0, 1);
    const ts_rx small = sizes(p, &(size_range){.low = &zero, .high = &one, .low_open = true, .high_open = true}, false);
    const ts_rx positive = ts_rx_cat(p, ts_rx_alt(p, ts_rx_text(p, "0", 1), whole), frac);
    const ts_rx negative = ts_rx_cat(p, ts_rx_text(p, "-", 1), ts_rx_alt(p, ts_rx_cat(p, whole, frac), small));
    ts_byteset e = {0}, sign = {0};
    ts_byteset_add(&e, 'e');
    ts_byteset_add(&e, 'E');
    ts_byteset_add(&sign, '+');
    ts_byteset_add(&sign, '-');
    const ts_rx exponent = ts_rx_cat(p, ts_rx_set(p, &e), ts_rx_cat(p, ts_rx_rep(p, ts_rx_set(p, &sign), 0, 1),
                                                                    ts_rx_rep(p, digit, 1, 2)));
    return ts_rx_cat(p, ts_rx_alt(p, positive, negative), ts_rx_rep(p, exponent, 0, 1));
}

ts_rx ts_range_rx(ts_rxs *p, const ts_range *r, bool exponents) {
    static const ts_decimal zero;
    const bool low = r->has_low && !(r->low.huge && r->low.negative);
    const bool high = r->has_high && (!r->high.huge || r->high.negative);
    if (!low && !high && exponents && !r->integer) return free_number(p);
    ts_rx positive = TS_RX_NEVER, negative = TS_RX_NEVER;
    if (!high || !r->high.negative) { /* x >= 0 */
        size_range s = {.high = high ? &r->high : NULL, .high_open = r->high_open};
        if (low && !r->low.negative) {
            s.low = &r->low;
            s.low_open = r->low_open;
        }
        positive = sizes(p, &s, r->integer);
    }
    if (!low || r->low.negative) { /* x < 0, by size */
        size_range s = {.high = low ? &r->low : NULL, .high_open = r->low_open, .low = &zero, .low_open = true};
        if (high && r->high.negative) {
            s.low = &r->high;
            s.low_open = r->high_open;
        }
        negative = ts_rx_cat(p, ts_rx_text(p, "-", 1), sizes(p, &s, r->integer));
    }
    return ts_rx_alt(p, positive, negative);
}

static bool below(const ts_range *a, const ts_range *b) {
    if (!a->has_high || !b->has_low) return false;
    const int c = ts_decimal_cmp(&a->high, &b->low);
    return c < 0 || (c == 0 && (a->high_open || b->low_open));
}

bool ts_range_disjoint(const ts_range *a, const ts_range *b) {
    return below(a, b) || below(b, a) || below(a, a) || below(b, b);
}

/* m = *top / 10^decimals. */
static bool as_fraction(const ts_decimal *m, uint32_t *top) {
    uint64_t v = 0;
    for (uint32_t i = 0; i < m->n_int + m->n_frac && v <= MULTIPLE_MAX; i++) v = v * 10 + m->digit[i];
    *top = (uint32_t)v;
    return !m->huge && v <= MULTIPLE_MAX;
}

ts_rx ts_multiple_rx(ts_rxs *p, const ts_decimal *m) {
    uint32_t top;
    if (!as_fraction(m, &top)) {
        ts_work_fail(p->work, TS_E_UNSUPP, "its multiples would take more than %d states", MULTIPLE_MAX);
        return TS_RX_NEVER;
    }
    return ts_rx_mod(p, top, 0, m->n_frac, 0);
}

bool ts_decimal_is_multiple(const ts_decimal *d, const ts_decimal *m) {
    uint32_t top;
    uint64_t rest = 0;
    if (d->huge || !as_fraction(m, &top) || top == 0 || d->n_frac > m->n_frac) return false;
    for (int64_t i = -(int64_t)d->n_int; i < (int64_t)m->n_frac; i++) rest = (rest * 10 + digit_at(d, i)) % top;
    return rest == 0;
}
