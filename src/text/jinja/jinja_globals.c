/* Tests (x is ...) and the functions that every template has. */
#include "text/jinja/jinja_int.h"

#include <math.h>
#include <string.h>

/* ---- tests ------------------------------------------------------------------------------------------------------- */

#define TEST(name, expr)                                                                                               \
    static tj_val t_##name(tj *r, tj_val v, tj_args *a) {                                                              \
        (void)r, (void)a;                                                                                              \
        return tj_bool(expr);                                                                                          \
    }

static bool is_str_method(tj *r, tj_val v, const char *name) {
    tj_val s = tj_of_str(v.t == TJ_STR ? v.s : tj_to_str(r, v));
    return tj_call_func(r, tj_find_method(s, tj_str_lit(r, name)), "test", s, &(tj_args){0}).b;
}

static const tj_str *name_of(tj *r, tj_val v) {
    if (v.t != TJ_STR) tj_fail(r, TS_E_INVAL, "the name of a filter or test must be a string, not %s", tj_type_name(v));
    return v.s;
}

static bool remainder_is(tj *r, tj_val v, tj_val by, int64_t want) {
    return tj_eq(r, tj_binop(r, TJ_MOD, v, by), tj_int(want));
}

TEST(defined, v.t != TJ_UNDEF)
TEST(undefined, v.t == TJ_UNDEF)
TEST(none, v.t == TJ_NONE)
TEST(boolean, v.t == TJ_BOOL)
TEST(true, v.t == TJ_BOOL && v.b)
TEST(false, v.t == TJ_BOOL && !v.b)
TEST(integer, v.t == TJ_INT)
TEST(float, v.t == TJ_FLOAT)
TEST(number, tj_is_number(v))
TEST(string, v.t == TJ_STR)
TEST(mapping, v.t == TJ_DICT)
TEST(iterable, tj_iterable(v))
TEST(sequence, v.t == TJ_STR || v.t == TJ_DICT || v.t == TJ_UNDEF ||
                   (v.t == TJ_SEQ && (v.q->kind <= TJ_RANGE || v.q->kind == TJ_GROUP)))
TEST(callable,
     v.t == TJ_UNDEF || v.t == TJ_MACRO || v.t == TJ_FUNC || v.t == TJ_METHOD || v.t == TJ_LOOP || v.t == TJ_JOINER)
TEST(sameas, tj_same(v, a->v[0]))
TEST(escaped, v.t == TJ_STR && v.s->markup)
TEST(lower, is_str_method(r, v, "islower"))
TEST(upper, is_str_method(r, v, "isupper"))
TEST(odd, remainder_is(r, v, tj_int(2), 1))
TEST(even, remainder_is(r, v, tj_int(2), 0))
TEST(divisibleby, remainder_is(r, v, a->v[0], 0))
TEST(in, tj_contains(r, v, a->v[0]))
TEST(eq, tj_eq(r, v, a->v[0]))
TEST(ne, !tj_eq(r, v, a->v[0]))
TEST(lt, tj_cmp(r, v, a->v[0], "<") == -1)
TEST(le, tj_cmp(r, v, a->v[0], "<=") <= 0)
TEST(gt, tj_cmp(r, v, a->v[0], ">") == 1)
TEST(ge, (tj_cmp(r, v, a->v[0], ">=") | 1) == 1)
TEST(filter, tj_find_filter(name_of(r, v)) != NULL)
TEST(test, tj_find_test(name_of(r, v)) != NULL)

static const tj_func tests[] = {
    {"!=", "other", t_ne},
    {"<", "other", t_lt},
    {"<=", "other", t_le},
    {"==", "other", t_eq},
    {">", "other", t_gt},
    {">=", "other", t_ge},
    {"boolean", "", t_boolean},
    {"callable", "", t_callable},
    {"defined", "", t_defined},
    {"divisibleby", "num", t_divisibleby},
    {"eq", "other", t_eq},
    {"equalto", "other", t_eq},
    {"escaped", "", t_escaped},
    {"even", "", t_even},
    {"false", "", t_false},
    {"filter", "", t_filter},
    {"float", "", t_float},
    {"ge", "other", t_ge},
    {"greaterthan", "other", t_gt},
    {"gt", "other", t_gt},
    {"in", "seq", t_in},
    {"integer", "", t_integer},
    {"iterable", "", t_iterable},
    {"le", "other", t_le},
    {"lessthan", "other", t_lt},
    {"lower", "", t_lower},
    {"lt", "other", t_lt},
    {"mapping", "", t_mapping},
    {"ne", "other", t_ne},
    {"none", "", t_none},
    {"number", "", t_number},
    {"odd", "", t_odd},
    {"sameas", "other", t_sameas},
    {"sequence", "", t_sequence},
    {"string", "", t_string},
    {"test", "", t_test},
    {"true", "", t_true},
    {"undefined", "", t_undefined},
    {"upper", "", t_upper},
};

const tj_func *tj_find_test(const tj_str *name) {
    return tj_func_in(tests, sizeof tests / sizeof *tests, name->s, name->len);
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

static tj_val g_raise(tj *r, tj_val self, tj_args *a) {
    (void)self;
    const tj_str *s = tj_to_str(r, a->v[0]);
    tj_fail(r, TS_E_INVAL, "%.*s", (int)(s->len < 1000 ? s->len : 1000), s->s);
}

static tj_val g_strftime_now(tj *r, tj_val self, tj_args *a) {
    (void)self;
    return tj_of_str(tj_strftime(r, tj_arg_str(r, a, 0, "", "the format of strftime_now"), r->opts->now));
}

/* The pairs of a mapping or a list of pairs, and keyword arguments. */
static tj_dict *dict_of(tj *r, tj_args *a, const char *what) {
    tj_dict *d = tj_dict_new(r, a->n_kw);
    if (a->n > 1) tj_fail(r, TS_E_INVAL, "%s expected at most 1 argument, got %zu", what, a->n);
    if (a->n && a->v[0].t == TJ_DICT) {
        for (size_t i = 0; i < a->v[0].d->n; i++) tj_dict_set(r, d, a->v[0].d->e[i].key, a->v[0].d->e[i].val);
    } else if (a->n) {
        const tj_seq *q = tj_iter(r, a->v[0]);
        for (size_t i = 0; i < q->n; i++) {
            if (!tj_iterable(q->v[i]))
                tj_fail(r, TS_E_INVAL, "cannot convert dictionary update sequence element #%zu to a sequence", i);
            const tj_seq *pair = tj_iter(r, q->v[i]);
            if (pair->n != 2)
                tj_fail(r, TS_E_INVAL, "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                        pair->n);
            tj_dict_set(r, d, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < a->n_kw; i++) tj_dict_set(r, d, tj_of_str(a->kw[i]), a->kwv[i]);
    return d;
}

static tj_val g_dict(tj *r, tj_val self, tj_args *a) {
    (void)self;
    return TJ_V(TJ_DICT, d, dict_of(r, a, "dict"));
}

static tj_val g_namespace(tj *r, tj_val self, tj_args *a) {
    (void)self;
    return TJ_V(TJ_NS, d, dict_of(r, a, "namespace"));
}

static tj_val g_range(tj *r, tj_val self, tj_args *a) {
    (void)self;
    enum { MOST = 100000 }; /* Jinja2's sandbox has the same limit */
    int64_t start = 0, stop, step = tj_arg_int(r, a, 2, 1);
    if (tj_given(a, 1)) start = tj_arg_int(r, a, 0, 0), stop = tj_arg_int(r, a, 1, 0);
    else stop = tj_arg_int(r, a, 0, 0);
    if (!step) tj_fail(r, TS_E_INVAL, "range() arg 3 must not be zero");
    tj_seq *q = tj_seq_new(r, TJ_RANGE, 0);
    q->start = start;
    q->stop = stop;
    q->step = step;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (q->n == MOST)
            tj_fail(r, TS_E_LIMIT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MOST);
        tj_seq_push(r, q, tj_int(i));
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return tj_of_seq(q);
}

static tj_val g_cycler(tj *r, tj_val self, tj_args *a) {
    (void)self;
    if (!a->n) tj_fail(r, TS_E_INVAL, "at least one item has to be provided");
    tj_cycler *c = tj_alloc(r, 1, sizeof *c);
    c->q = tj_seq_new(r, TJ_TUPLE, a->n);
    for (size_t i = 0; i < a->n; i++) tj_seq_push(r, c->q, a->v[i]);
    return TJ_V(TJ_CYCLER, c, c);
}

static tj_val g_joiner(tj *r, tj_val self, tj_args *a) {
    (void)self;
    tj_joiner *j = tj_alloc(r, 1, sizeof *j);
    j->sep = tj_given(a, 0) ? a->v[0] : tj_of_str(tj_str_lit(r, ", "));
    return TJ_V(TJ_JOINER, j, j);
}

static const tj_func globals[] = {
    {"cycler", "*", g_cycler},
    {"dict", "*", g_dict},
    {"joiner", "/ sep", g_joiner},
    {"lipsum", "*", NULL},
    {"namespace", "*", g_namespace},
    {"raise_exception", "message", g_raise},
    {"range", "start / stop step", g_range},
    {"strftime_now", "format", g_strftime_now},
};

const tj_func *tj_find_global(const char *name) {
    return tj_func_in(globals, sizeof globals / sizeof *globals, name, strlen(name));
}
