/* Filters over lists, dicts and other things with items; and where filters are found. */
#include "text/jinja/jinja_int.h"

#include <math.h>
#include <string.h>

/* ---- attributes by path: "a.b.0" --------------------------------------------------------------------------------- */

static tj_val part_of(tj *r, tj_val v, const tj_str *path, size_t from, size_t to) {
    const tj_str *part = tj_str_sub(r, path, from, to);
    int64_t i = 0;
    bool digits = to > from;
    for (size_t k = from; k < to && digits; k++) {
        digits = path->s[k] >= '0' && path->s[k] <= '9' && k - from < 18;
        i = i * 10 + (path->s[k] - '0');
    }
    return digits ? tj_getitem(r, v, tj_int(i)) : tj_getitem(r, v, tj_of_str(part));
}

/* `attr`: TJ_ABSENT or None (the item itself), a number or a path. `otherwise`: what stands for an undefined one. */
static tj_val attr_of(tj *r, tj_val item, tj_val attr, tj_val otherwise) {
    if (attr.t == TJ_ABSENT || attr.t == TJ_NONE) return item;
    if (attr.t == TJ_INT) {
        item = tj_getitem(r, item, attr);
    } else {
        if (attr.t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "the name of an attribute must be a string, not %s", tj_type_name(attr));
        const tj_str *path = attr.s;
        for (size_t from = 0; from <= path->len;) {
            const char *dot = memchr(path->s + from, '.', path->len - from);
            size_t to = dot ? (size_t)(dot - path->s) : path->len;
            item = part_of(r, item, path, from, to);
            if (item.t == TJ_UNDEF && otherwise.t != TJ_ABSENT) item = otherwise;
            from = to + 1;
        }
    }
    if (item.t == TJ_UNDEF && otherwise.t != TJ_ABSENT) return otherwise;
    return item;
}

static tj_val folded(tj *r, tj_val v, bool fold) {
    if (!fold || v.t != TJ_STR) return v;
    return tj_call_func(r, tj_find_method(v, tj_str_lit(r, "lower")), "filter", v, &(tj_args){0});
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

typedef struct keyed {
    tj_val key, v;
} keyed;

/* Stable: merge sort. `reverse` keeps the order of equals, as Python's does. */
static void merge_sort(tj *r, keyed *a, keyed *tmp, size_t n, bool reverse) {
    for (size_t w = 1; w < n; w *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * w) {
            size_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n, i = lo, k = mid, o = lo;
            while (i < mid && k < hi) {
                bool second =
                    reverse ? tj_cmp(r, a[i].key, a[k].key, "<") == -1 : tj_cmp(r, a[k].key, a[i].key, "<") == -1;
                tmp[o++] = second ? a[k++] : a[i++];
            }
            while (i < mid) tmp[o++] = a[i++];
            while (k < hi) tmp[o++] = a[k++];
        }
        memcpy(a, tmp, n * sizeof *a);
    }
}

static tj_seq *sorted(tj *r, keyed *a, size_t n, bool reverse) {
    merge_sort(r, a, tj_alloc(r, n, sizeof *a), n, reverse);
    tj_seq *q = tj_seq_new(r, TJ_LIST, n);
    for (size_t i = 0; i < n; i++) tj_seq_push(r, q, a[i].v);
    return q;
}

/* The sort key: a list, of one value or of several attributes "a,b". */
static tj_val sort_key(tj *r, tj_val item, tj_val attr, bool fold) {
    tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
    if (attr.t != TJ_STR) {
        tj_seq_push(r, q, folded(r, attr_of(r, item, attr, (tj_val){0}), fold));
        return tj_of_seq(q);
    }
    for (size_t from = 0; from <= attr.s->len;) {
        const char *comma = memchr(attr.s->s + from, ',', attr.s->len - from);
        size_t to = comma ? (size_t)(comma - attr.s->s) : attr.s->len;
        tj_seq_push(r, q, folded(r, attr_of(r, item, tj_of_str(tj_str_sub(r, attr.s, from, to)), (tj_val){0}), fold));
        from = to + 1;
    }
    return tj_of_seq(q);
}

static tj_val arg(tj_args *a, size_t i) { return i < a->n ? a->v[i] : (tj_val){0}; }

static tj_val f_sort(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    keyed *k = tj_alloc(r, q->n, sizeof *k);
    bool fold = !tj_arg_bool(a, 1, false);
    for (size_t i = 0; i < q->n; i++) k[i] = (keyed){sort_key(r, q->v[i], arg(a, 2), fold), q->v[i]};
    return tj_of_seq(sorted(r, k, q->n, tj_arg_bool(a, 0, false)));
}

static tj_val f_dictsort(tj *r, tj_val v, tj_args *a) {
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (v.t != TJ_DICT) tj_fail(r, TS_E_INVAL, "'%s' object has no attribute 'items'", tj_type_name(v));
    const tj_str *by = tj_arg_str(r, a, 1, "key", "by");
    int pos = tj_str_is(by, "key") ? 0 : tj_str_is(by, "value") ? 1 : -1;
    if (pos < 0) tj_fail(r, TS_E_INVAL, "You can only sort by either \"key\" or \"value\"");
    keyed *k = tj_alloc(r, v.d->n, sizeof *k);
    for (size_t i = 0; i < v.d->n; i++) {
        tj_seq *pair = tj_pair(r, v.d->e[i].key, v.d->e[i].val);
        k[i] = (keyed){folded(r, pair->v[pos], !tj_arg_bool(a, 0, false)), tj_of_seq(pair)};
    }
    return tj_of_seq(sorted(r, k, v.d->n, tj_arg_bool(a, 2, false)));
}

static tj_val extreme(tj *r, tj_val v, tj_args *a, bool most) {
    const tj_seq *q = tj_iter(r, v);
    bool fold = !tj_arg_bool(a, 0, false);
    if (!q->n) return tj_undef_hint(r, "No aggregated item, sequence was empty.");
    tj_val best = q->v[0], key = folded(r, attr_of(r, best, arg(a, 1), (tj_val){0}), fold);
    for (size_t i = 1; i < q->n; i++) {
        tj_val k = folded(r, attr_of(r, q->v[i], arg(a, 1), (tj_val){0}), fold);
        if (tj_cmp(r, k, key, most ? ">" : "<") != (most ? 1 : -1)) continue;
        best = q->v[i];
        key = k;
    }
    return best;
}
static tj_val f_min(tj *r, tj_val v, tj_args *a) { return extreme(r, v, a, false); }
static tj_val f_max(tj *r, tj_val v, tj_args *a) { return extreme(r, v, a, true); }

static tj_val f_unique(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    tj_seq *out = tj_seq_new(r, TJ_LIST, 0);
    tj_dict *seen = tj_dict_new(r, 0);
    for (size_t i = 0; i < q->n; i++) {
        tj_val k = folded(r, attr_of(r, q->v[i], arg(a, 1), (tj_val){0}), !tj_arg_bool(a, 0, false));
        if (tj_dict_get(r, seen, k)) continue;
        tj_dict_set(r, seen, k, tj_none());
        tj_seq_push(r, out, q->v[i]);
    }
    return tj_gen_of(r, out, "generator");
}

static tj_val f_groupby(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    bool fold = !tj_arg_bool(a, 2, false);
    tj_val otherwise = arg(a, 1).t == TJ_NONE ? (tj_val){0} : arg(a, 1);
    keyed *k = tj_alloc(r, q->n, sizeof *k);
    for (size_t i = 0; i < q->n; i++) {
        tj_val key = attr_of(r, q->v[i], arg(a, 0), otherwise);
        k[i] = (keyed){folded(r, key, fold), tj_of_seq(tj_pair(r, key, q->v[i]))};
    }
    tj_seq *all = sorted(r, k, q->n, false), *out = tj_seq_new(r, TJ_LIST, 0), *group = NULL;
    for (size_t i = 0; i < all->n; i++) {
        if (!i || !tj_eq(r, k[i].key, k[i - 1].key)) {
            tj_seq *pair = tj_pair(r, all->v[i].q->v[0], tj_none());
            pair->kind = TJ_GROUP;
            group = tj_seq_new(r, TJ_LIST, 0);
            pair->v[1] = tj_of_seq(group);
            tj_seq_push(r, out, tj_of_seq(pair));
        }
        tj_seq_push(r, group, all->v[i].q->v[1]);
    }
    return tj_of_seq(out);
}

/* ---- ends, turns, parts ------------------------------------------------------------------------------------------ */

static tj_val f_first(tj *r, tj_val v, tj_args *a) {
    (void)a;
    if (v.t == TJ_GEN) {
        if (v.g->pos < v.g->q->n) return v.g->q->v[v.g->pos++];
    } else if (v.t == TJ_STR && v.s->len) {
        return tj_getitem(r, v, tj_int(0));
    } else {
        const tj_seq *q = tj_iter(r, v);
        if (q->n) return q->v[0];
    }
    return tj_undef_hint(r, "No first item, sequence was empty.");
}

static tj_val f_last(tj *r, tj_val v, tj_args *a) {
    (void)a;
    if (v.t == TJ_GEN) tj_fail(r, TS_E_INVAL, "'%s' object is not reversible", tj_type_name(v));
    if (v.t == TJ_STR && v.s->len) return tj_getitem(r, v, tj_int(-1));
    if (!tj_iterable(v)) tj_fail(r, TS_E_INVAL, "'%s' object is not reversible", tj_type_name(v));
    const tj_seq *q = tj_iter(r, v);
    if (q->n) return q->v[q->n - 1];
    return tj_undef_hint(r, "No last item, sequence was empty.");
}

static tj_val f_reverse(tj *r, tj_val v, tj_args *a) {
    (void)a;
    if (v.t == TJ_STR) return tj_slice(r, v, tj_none(), tj_none(), tj_int(-1));
    const tj_seq *q = tj_iter(r, v);
    tj_seq *out = tj_seq_new(r, TJ_LIST, q->n);
    for (size_t i = q->n; i-- > 0;) tj_seq_push(r, out, q->v[i]);
    return tj_gen_of(r, out,
                     v.t == TJ_DICT                          ? "dict_reversekeyiterator"
                     : v.t == TJ_SEQ && v.q->kind == TJ_LIST ? "list_reverseiterator"
                                                             : "reversed");
}

static tj_val f_list(tj *r, tj_val v, tj_args *a) {
    (void)a;
    const tj_seq *q = tj_iter(r, v);
    tj_seq *out = tj_seq_new(r, TJ_LIST, q->n);
    for (size_t i = 0; i < q->n; i++) tj_seq_push(r, out, q->v[i]);
    return tj_of_seq(out);
}

static tj_val f_items(tj *r, tj_val v, tj_args *a) {
    (void)a;
    tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
    if (v.t == TJ_UNDEF) return tj_gen_of(r, q, "generator");
    if (v.t != TJ_DICT) tj_fail(r, TS_E_INVAL, "Can only get item pairs from a mapping.");
    for (size_t i = 0; i < v.d->n; i++) tj_seq_push(r, q, tj_of_seq(tj_pair(r, v.d->e[i].key, v.d->e[i].val)));
    return tj_gen_of(r, q, "generator");
}

static tj_val f_batch(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    int64_t n = tj_arg_int(r, a, 0, 1);
    tj_seq *out = tj_seq_new(r, TJ_LIST, 0), *part = NULL;
    for (size_t i = 0; i < q->n; i++) {
        if (!part || (int64_t)part->n == n) {
            part = tj_seq_new(r, TJ_LIST, 0);
            tj_seq_push(r, out, tj_of_seq(part));
        }
        tj_seq_push(r, part, q->v[i]);
    }
    while (part && tj_given(a, 1) && a->v[1].t != TJ_NONE && (int64_t)part->n < n) tj_seq_push(r, part, a->v[1]);
    return tj_gen_of(r, out, "generator");
}

static tj_val f_slice(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    int64_t n = tj_arg_int(r, a, 0, 1), pos = 0;
    if (!n) tj_fail(r, TS_E_INVAL, "integer division or modulo by zero");
    tj_seq *out = tj_seq_new(r, TJ_LIST, 0);
    for (int64_t i = 0; i < n; i++) {
        tj_seq *part = tj_seq_new(r, TJ_LIST, 0);
        int64_t size = (int64_t)q->n / n, more = (int64_t)q->n % n;
        int64_t end = pos + size + (i < more);
        for (; pos < end; pos++) tj_seq_push(r, part, q->v[pos]);
        if (tj_given(a, 1) && a->v[1].t != TJ_NONE && i >= more) tj_seq_push(r, part, a->v[1]);
        tj_seq_push(r, out, tj_of_seq(part));
    }
    return tj_gen_of(r, out, "generator");
}

static tj_val f_join(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    const tj_str *sep = tj_given(a, 0) ? (a->v[0].t == TJ_STR ? a->v[0].s : tj_to_str(r, a->v[0])) : tj_str_lit(r, "");
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < q->n; i++) {
        if (i) tj_sb_str(&b, sep);
        tj_sb_val(&b, attr_of(r, q->v[i], arg(a, 1), (tj_val){0}));
    }
    return tj_of_str(tj_sb_done(&b));
}

static tj_val f_sum(tj *r, tj_val v, tj_args *a) {
    const tj_seq *q = tj_iter(r, v);
    tj_val sum = tj_given(a, 1) ? a->v[1] : tj_int(0);
    if (sum.t == TJ_STR) tj_fail(r, TS_E_INVAL, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < q->n; i++) sum = tj_binop(r, TJ_ADD, sum, attr_of(r, q->v[i], arg(a, 0), (tj_val){0}));
    return sum;
}

/* ---- map and select ---------------------------------------------------------------------------------------------- */

static tj_args behind(tj_args *a, size_t n) {
    tj_args b = *a;
    b.v += n;
    b.n -= n;
    return b;
}

static const tj_func *func_named(tj *r, tj_args *a, const char *what) {
    if (a->v[0].t == TJ_UNDEF) tj_fail_undef(r, a->v[0].u);
    if (a->v[0].t != TJ_STR) tj_fail(r, TS_E_INVAL, "the name of a %s must be a string", what);
    const tj_str *name = a->v[0].s;
    const tj_func *fn = *what == 't' ? tj_find_test(name) : tj_find_filter(name);
    if (!fn) tj_fail(r, TS_E_INVAL, "No %s named '%.*s'.", what, (int)(name->len < 60 ? name->len : 60), name->s);
    return fn;
}

static tj_val f_map(tj *r, tj_val v, tj_args *a) {
    tj_seq *out = tj_seq_new(r, TJ_LIST, 0);
    if (!tj_truth(v)) return tj_gen_of(r, out, "generator");
    const tj_seq *q = tj_iter(r, v);
    if (a->n) {
        const tj_func *fn = func_named(r, a, "filter");
        for (size_t i = 0; i < q->n; i++) {
            tj_args rest = behind(a, 1);
            tj_seq_push(r, out, tj_call_func(r, fn, "filter", q->v[i], &rest));
        }
        return tj_gen_of(r, out, "generator");
    }
    tj_val attr = {0}, otherwise = {0};
    for (size_t i = 0; i < a->n_kw; i++) {
        if (tj_str_is(a->kw[i], "attribute")) attr = a->kwv[i];
        else if (tj_str_is(a->kw[i], "default")) otherwise = a->kwv[i];
        else
            tj_fail(r, TS_E_INVAL, "Unexpected keyword argument '%.*s'", (int)(a->kw[i]->len < 60 ? a->kw[i]->len : 60),
                    a->kw[i]->s);
    }
    if (attr.t == TJ_ABSENT) tj_fail(r, TS_E_INVAL, "map requires a filter argument");
    if (otherwise.t == TJ_NONE) otherwise.t = TJ_ABSENT;
    for (size_t i = 0; i < q->n; i++) tj_seq_push(r, out, attr_of(r, q->v[i], attr, otherwise));
    return tj_gen_of(r, out, "generator");
}

static tj_val choose(tj *r, tj_val v, tj_args *a, bool keep, bool by_attr) {
    tj_seq *out = tj_seq_new(r, TJ_LIST, 0);
    if (!tj_truth(v)) return tj_gen_of(r, out, "generator");
    const tj_seq *q = tj_iter(r, v);
    if (by_attr && !a->n) tj_fail(r, TS_E_INVAL, "Missing parameter for attribute name");
    tj_args test = behind(a, by_attr);
    const tj_func *fn = test.n ? func_named(r, &test, "test") : NULL;
    for (size_t i = 0; i < q->n; i++) {
        tj_val item = by_attr ? attr_of(r, q->v[i], a->v[0], (tj_val){0}) : q->v[i];
        tj_args rest = fn ? behind(&test, 1) : test;
        bool yes = tj_truth(fn ? tj_call_func(r, fn, "test", item, &rest) : item);
        if (yes == keep) tj_seq_push(r, out, q->v[i]);
    }
    return tj_gen_of(r, out, "generator");
}
static tj_val f_select(tj *r, tj_val v, tj_args *a) { return choose(r, v, a, true, false); }
static tj_val f_reject(tj *r, tj_val v, tj_args *a) { return choose(r, v, a, false, false); }
static tj_val f_selectattr(tj *r, tj_val v, tj_args *a) { return choose(r, v, a, true, true); }
static tj_val f_rejectattr(tj *r, tj_val v, tj_args *a) { return choose(r, v, a, false, true); }

const tj_func tj_filters_seq[] = {
    {"batch", "linecount / fill_with", f_batch},
    {"dictsort", "/ case_sensitive by reverse", f_dictsort},
    {"first", "", f_first},
    {"groupby", "attribute / default case_sensitive", f_groupby},
    {"items", "", f_items},
    {"join", "/ d attribute", f_join},
    {"last", "", f_last},
    {"list", "", f_list},
    {"map", "*", f_map},
    {"max", "/ case_sensitive attribute", f_max},
    {"min", "/ case_sensitive attribute", f_min},
    {"reject", "*", f_reject},
    {"rejectattr", "*", f_rejectattr},
    {"reverse", "", f_reverse},
    {"select", "*", f_select},
    {"selectattr", "*", f_selectattr},
    {"slice", "slices / fill_with", f_slice},
    {"sort", "/ reverse case_sensitive attribute", f_sort},
    {"sum", "/ attribute start", f_sum},
    {"unique", "/ case_sensitive attribute", f_unique},
};
const size_t tj_n_filters_seq = sizeof tj_filters_seq / sizeof *tj_filters_seq;

const tj_func *tj_func_in(const tj_func *table, size_t n, const char *name, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0) return &table[i];
    return NULL;
}

const tj_func *tj_find_filter(const tj_str *name) {
    const tj_func *f = tj_func_in(tj_filters_text, tj_n_filters_text, name->s, name->len);
    return f ? f : tj_func_in(tj_filters_seq, tj_n_filters_seq, name->s, name->len);
}
