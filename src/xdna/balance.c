#include "xdna/balance.h"

bool ts_balance_equation(ts_balance *b, int kind, int id) {
    if (!ts_grow((void **)&b->eq, &b->cap, b->n + 1, sizeof *b->eq)) return false;
    b->eq[b->n++] = (ts_equation){.kind = kind, .id = id};
    return true;
}

bool ts_balance_term(ts_balance *b, int actor, int64_t coefficient) {
    ts_equation *e = &b->eq[b->n - 1];
    for (size_t i = 0; i < e->n; i++)
        if (e->terms[i].actor == actor) {
            e->terms[i].coefficient += coefficient;
            return true;
        }
    if (!ts_grow((void **)&e->terms, &e->cap, e->n + 1, sizeof *e->terms)) return false;
    e->terms[e->n++] = (ts_term){actor, coefficient};
    return true;
}

void ts_balance_free(ts_balance *b) {
    for (size_t i = 0; i < b->n; i++) ts_free(b->eq[i].terms);
    ts_free(b->eq);
    *b = (ts_balance){0};
}

/* ---- fractions; false when a result does not fit ----------------------------------------------------------------- */

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

static bool reduce(int64_t num, int64_t den, ts_frac *out) {
    if (num == INT64_MIN || den == INT64_MIN) return false;
    if (den < 0) num = -num, den = -den;
    int64_t g = gcd(num, den);
    *out = (ts_frac){num / g, den / g};
    return true;
}

ts_frac ts_frac_of(int64_t num, int64_t den) {
    ts_frac f = {0};
    return den && reduce(num, den, &f) ? f : (ts_frac){0};
}

static bool times(ts_frac a, ts_frac b, ts_frac *out) {
    ts_frac x, y; /* crosswise first: products stay small */
    int64_t num, den;
    return reduce(a.num, b.den, &x) && reduce(b.num, a.den, &y) &&
           !__builtin_mul_overflow(x.num, y.num, &num) && !__builtin_mul_overflow(x.den, y.den, &den) &&
           reduce(num, den, out);
}

static bool plus(ts_frac a, ts_frac b, ts_frac *out) {
    int64_t g = gcd(a.den, b.den), l, x, y, num;
    return !__builtin_mul_overflow(a.den / g, b.den, &l) && !__builtin_mul_overflow(a.num, b.den / g, &x) &&
           !__builtin_mul_overflow(b.num, a.den / g, &y) && !__builtin_add_overflow(x, y, &num) &&
           reduce(num, l, out);
}

/* ---- elimination ------------------------------------------------------------------------------------------------- */

/* Row r says: actor pivot[r] = at(r, 0) + sum over columns c >= 1 of at(r, c) * actor[c - 1]; pivots occur in no
 * row. */
typedef struct table {
    int *actor, *column; /* actor of a column; column of an actor, 0 for none */
    int n_actors, n_cols, n_rows, cap_rows;
    int *pivot; /* column */
    ts_frac *cell;
} table;

static ts_frac *at(table *t, int row, int col) {
    return &t->cell[(size_t)row * (size_t)t->n_cols + (size_t)col];
}

static void table_free(table *t) {
    ts_free(t->actor);
    ts_free(t->column);
    ts_free(t->pivot);
    ts_free(t->cell);
}

static ts_status table_new(table *t, const ts_balance *b, ts_err *err) {
    *t = (table){0};
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < b->eq[i].n; j++)
            if (b->eq[i].terms[j].actor >= t->n_actors) t->n_actors = b->eq[i].terms[j].actor + 1;
    t->actor = ts_calloc((size_t)t->n_actors + 1, sizeof *t->actor);
    t->column = ts_calloc((size_t)t->n_actors + 1, sizeof *t->column);
    if (!t->actor || !t->column) goto nomem;
    t->n_cols = 1;
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < b->eq[i].n; j++) {
            int a = b->eq[i].terms[j].actor;
            if (t->column[a]) continue;
            t->column[a] = t->n_cols;
            t->actor[t->n_cols++] = a;
        }
    /* one row more than there can be pivots: the equation being worked on */
    t->cap_rows = t->n_cols + 1;
    t->pivot = ts_calloc((size_t)t->cap_rows, sizeof *t->pivot);
    t->cell = ts_calloc((size_t)t->cap_rows * (size_t)t->n_cols, sizeof *t->cell);
    if (t->pivot && t->cell) return TS_OK;
nomem:
    table_free(t);
    return ts_fail_nomem(err, "the balance of a configuration",
                         (size_t)t->n_cols * (size_t)t->n_cols * sizeof *t->cell);
}

/* *y += a * x for a whole row */
static bool add_row(table *t, int y, ts_frac a, int x) {
    for (int c = 0; c < t->n_cols; c++) {
        ts_frac p;
        if (at(t, x, c)->num && !(times(a, *at(t, x, c), &p) && plus(*at(t, y, c), p, at(t, y, c))))
            return false;
    }
    return true;
}

typedef enum outcome { FITS, CONFLICT } outcome;

/* Bring one equation into the table. `known` (nullable) gives values for some actors. Numbers that do not fit 64 bits
 * come from no array: a conflict. */
static outcome add_equation(table *t, const ts_equation *e, const ts_frac *known) {
    int work = t->n_rows;
    ts_frac v;
    for (int c = 0; c < t->n_cols; c++) *at(t, work, c) = (ts_frac){0, 1};
    for (size_t i = 0; i < e->n; i++) {
        int a = e->terms[i].actor, col = known && ts_frac_known(known[a]) ? 0 : t->column[a];
        ts_frac k = {e->terms[i].coefficient, 1};
        if (col == 0 && !times(k, known[a], &k)) return CONFLICT;
        if (!plus(*at(t, work, col), k, at(t, work, col))) return CONFLICT;
    }
    for (int r = 0; r < t->n_rows; r++) { /* put in what the earlier rows say of their pivots */
        ts_frac k = *at(t, work, t->pivot[r]);
        if (!k.num) continue;
        *at(t, work, t->pivot[r]) = (ts_frac){0, 1};
        if (!add_row(t, work, k, r)) return CONFLICT;
    }
    int pivot = 0;
    for (int c = 1; c < t->n_cols && !pivot; c++)
        if (at(t, work, c)->num) pivot = c;
    if (!pivot) return at(t, work, 0)->num ? CONFLICT : FITS;
    /* pivot = -(the rest) / its coefficient */
    ts_frac k = *at(t, work, pivot);
    if (!reduce(-k.den, k.num, &k)) return CONFLICT;
    *at(t, work, pivot) = (ts_frac){0, 1};
    for (int c = 0; c < t->n_cols; c++)
        if (!times(*at(t, work, c), k, at(t, work, c))) return CONFLICT;
    for (int r = 0; r < t->n_rows; r++) {
        v = *at(t, r, pivot);
        if (!v.num) continue;
        *at(t, r, pivot) = (ts_frac){0, 1};
        if (!add_row(t, r, v, work)) return CONFLICT;
    }
    t->pivot[t->n_rows++] = pivot;
    return FITS;
}

/* Is there a choice > 0 of the free columns that makes every pivot > 0? Start with all 1 and double what helps. */
static bool positive(table *t, double *x) {
    for (int c = 0; c < t->n_cols; c++) x[c] = 1;
    for (int round = 0; round < 64; round++) {
        bool all = true;
        for (int r = 0; r < t->n_rows; r++) {
            double sum = 0;
            bool any_plus = false;
            for (int c = 1; c < t->n_cols; c++) {
                ts_frac f = *at(t, r, c);
                sum += (double)f.num / (double)f.den * x[c];
                any_plus |= f.num > 0;
            }
            if (sum > 0) continue;
            if (!any_plus) return false;
            all = false;
            for (int c = 1; c < t->n_cols; c++)
                if (at(t, r, c)->num > 0) x[c] *= 2;
        }
        if (all) return true;
    }
    return false;
}

ts_status ts_balance_consistent(const ts_balance *b, const ts_equation **bad, ts_err *err) {
    table t;
    TS_TRY(table_new(&t, b, err));
    double *x = ts_calloc((size_t)t.n_cols, sizeof *x);
    if (!x) {
        table_free(&t);
        return ts_fail_nomem(err, "the balance of a configuration", (size_t)t.n_cols * sizeof *x);
    }
    *bad = NULL;
    for (size_t i = 0; i < b->n && !*bad; i++)
        if (add_equation(&t, &b->eq[i], NULL) == CONFLICT || !positive(&t, x)) *bad = &b->eq[i];
    ts_free(x);
    table_free(&t);
    return TS_OK;
}

ts_status ts_balance_solve(const ts_balance *b, ts_frac *rounds, const ts_equation **bad, ts_err *err) {
    table t;
    TS_TRY(table_new(&t, b, err));
    *bad = NULL;
    for (size_t i = 0; i < b->n && !*bad; i++) {
        if (add_equation(&t, &b->eq[i], rounds) == CONFLICT) *bad = &b->eq[i];
        for (int r = 0; r < t.n_rows && !*bad; r++) {
            bool fixed = true;
            for (int c = 1; c < t.n_cols; c++) fixed &= !at(&t, r, c)->num;
            if (fixed && at(&t, r, 0)->num < 0) *bad = &b->eq[i];
        }
    }
    for (int r = 0; r < t.n_rows && !*bad; r++) {
        bool fixed = true;
        for (int c = 1; c < t.n_cols; c++) fixed &= !at(&t, r, c)->num;
        if (fixed) rounds[t.actor[t.pivot[r]]] = *at(&t, r, 0);
    }
    table_free(&t);
    return TS_OK;
}
