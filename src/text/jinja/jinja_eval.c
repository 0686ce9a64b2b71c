/* Expressions: operators, attributes, items, slices, calls. */
#include "text/jinja/jinja_int.h"

#include <stdio.h>
#include <string.h>

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static void gather(tj *r, const struct tj_call *c, tj_args *a) {
    tj_seq *pos = tj_seq_new(r, TJ_LIST, c->n_pos);
    for (size_t i = 0; i < c->n_pos; i++) tj_seq_push(r, pos, tj_eval(r, c->pos[i]));
    size_t cap_kw = c->n_kw, n_kw = c->n_kw;
    a->kw = tj_alloc(r, cap_kw + 1, sizeof *a->kw);
    a->kwv = tj_alloc(r, cap_kw + 1, sizeof *a->kwv);
    for (size_t i = 0; i < n_kw; i++) {
        a->kw[i] = c->kw[i];
        a->kwv[i] = tj_eval(r, c->kwv[i]);
    }
    if (c->star) {
        const tj_seq *more = tj_iter(r, tj_eval(r, c->star));
        for (size_t i = 0; i < more->n; i++) tj_seq_push(r, pos, more->v[i]);
    }
    if (c->dstar) {
        tj_val d = tj_eval(r, c->dstar);
        if (d.t != TJ_DICT) tj_fail(r, TS_E_INVAL, "argument after ** must be a mapping, not %s", tj_type_name(d));
        const tj_str **kw = tj_alloc(r, n_kw + d.d->n + 1, sizeof *kw);
        tj_val *kwv = tj_alloc(r, n_kw + d.d->n + 1, sizeof *kwv);
        memcpy(kw, a->kw, n_kw * sizeof *kw);
        memcpy(kwv, a->kwv, n_kw * sizeof *kwv);
        for (size_t i = 0; i < d.d->n; i++) {
            if (d.d->e[i].key.t != TJ_STR) tj_fail(r, TS_E_INVAL, "keywords must be strings");
            kw[n_kw] = d.d->e[i].key.s;
            kwv[n_kw++] = d.d->e[i].val;
        }
        a->kw = kw;
        a->kwv = kwv;
    }
    a->v = pos->v;
    a->n = pos->n;
    a->n_kw = n_kw;
}

enum { PARAMS_MAX = 8 };
typedef struct params {
    const char *name[PARAMS_MAX];
    size_t len[PARAMS_MAX];
    size_t n, needed;
    bool open; /* takes any more */
} params;

static params parse_params(const char *text) {
    params p = {0};
    bool optional = false;
    for (const char *s = text; *s;) {
        size_t len = strcspn(s, " ");
        if (len == 1 && *s == '/') {
            optional = true;
        } else if (len == 1 && *s == '*') {
            p.open = true;
        } else {
            p.name[p.n] = s;
            p.len[p.n++] = len;
            p.needed += !optional;
        }
        s += len;
        s += strspn(s, " ");
    }
    return p;
}

tj_val tj_call_func(tj *r, const tj_func *fn, const char *what, tj_val self, tj_args *a) {
    params p = parse_params(fn->params);
    if (!fn->fn) tj_fail(r, TS_E_UNSUPP, "the %s %s is not supported", what, fn->name);
    if (a->n > p.n && !p.open)
        tj_fail(r, TS_E_INVAL, "the %s %s takes at most %zu argument%s, not %zu", what, fn->name, p.n,
                p.n == 1 ? "" : "s", a->n);
    tj_args b = {.n = a->n > p.n ? a->n : p.n};
    b.v = tj_alloc(r, b.n, sizeof *b.v);
    if (a->n) memcpy(b.v, a->v, a->n * sizeof *b.v);
    b.kw = tj_alloc(r, a->n_kw, sizeof *b.kw);
    b.kwv = tj_alloc(r, a->n_kw, sizeof *b.kwv);
    for (size_t i = 0; i < a->n_kw; i++) {
        size_t k = 0;
        while (k < p.n && !(p.len[k] == a->kw[i]->len && memcmp(p.name[k], a->kw[i]->s, p.len[k]) == 0)) k++;
        int len = (int)(a->kw[i]->len < 60 ? a->kw[i]->len : 60);
        if (k < p.n) {
            if (b.v[k].t != TJ_ABSENT)
                tj_fail(r, TS_E_INVAL, "the %s %s got two values for its argument %.*s", what, fn->name, len,
                        a->kw[i]->s);
            b.v[k] = a->kwv[i];
        } else if (p.open) {
            b.kw[b.n_kw] = a->kw[i];
            b.kwv[b.n_kw++] = a->kwv[i];
        } else {
            tj_fail(r, TS_E_INVAL, "the %s %s has no argument %.*s", what, fn->name, len, a->kw[i]->s);
        }
    }
    for (size_t i = 0; i < p.needed; i++)
        if (b.v[i].t == TJ_ABSENT)
            tj_fail(r, TS_E_INVAL, "the %s %s needs its argument %.*s", what, fn->name, (int)p.len[i], p.name[i]);
    return fn->fn(r, self, &b);
}

tj_val tj_call(tj *r, tj_val f, tj_args *a) {
    switch (f.t) {
    case TJ_UNDEF: tj_fail_undef(r, f.u);
    case TJ_MACRO: return tj_call_macro(r, f.m, a);
    case TJ_FUNC: return tj_call_func(r, f.fn, "function", tj_none(), a);
    case TJ_METHOD: return tj_call_func(r, f.me->fn, "method", f.me->self, a);
    case TJ_LOOP: return tj_call_loop(r, f.l, a);
    case TJ_JOINER: {
        if (!f.j->used) {
            f.j->used = true;
            return tj_of_str(tj_str_lit(r, ""));
        }
        return f.j->sep;
    }
    default: tj_fail(r, TS_E_INVAL, "'%s' object is not callable", tj_type_name(f));
    }
}

/* ---- attributes and items ---------------------------------------------------------------------------------------- */

static tj_val bind(tj *r, tj_val self, const tj_func *fn) {
    tj_method *m = tj_alloc(r, 1, sizeof *m);
    *m = (tj_method){self, fn};
    return TJ_V(TJ_METHOD, me, m);
}

/* What Python's getattr finds: methods, and the attributes of Jinja2's own objects. */
static bool attribute(tj *r, tj_val v, const tj_str *name, tj_val *out) {
    const tj_func *fn = tj_find_method(v, name);
    if (fn) {
        *out = bind(r, v, fn);
        return true;
    }
    switch (v.t) {
    case TJ_NS: {
        tj_val *p = tj_dict_name(r, v.d, name);
        if (p) *out = *p;
        return p;
    }
    case TJ_LOOP: *out = tj_loop_attr(r, v.l, name); return out->t != TJ_ABSENT;
    case TJ_CYCLER:
        if (!tj_str_is(name, "current")) return false;
        *out = v.c->q->v[v.c->pos];
        return true;
    case TJ_SEQ:
        if (v.q->kind != TJ_GROUP) return false;
        if (!tj_str_is(name, "grouper") && !tj_str_is(name, "list")) return false;
        *out = v.q->v[name->s[0] == 'l'];
        return true;
    case TJ_MACRO:
        if (tj_str_is(name, "name")) {
            *out = tj_of_str(v.m->def->name);
        } else if (tj_str_is(name, "caller")) {
            *out = tj_bool(v.m->def->uses & TJ_USES_CALLER);
        } else if (tj_str_is(name, "arguments")) {
            tj_seq *q = tj_seq_new(r, TJ_TUPLE, v.m->def->n);
            for (size_t i = 0; i < v.m->def->n; i++) tj_seq_push(r, q, tj_of_str(v.m->def->list[i]->name));
            *out = tj_of_seq(q);
        } else {
            return false;
        }
        return true;
    default: return false;
    }
}

tj_val tj_getattr(tj *r, tj_val v, const tj_str *name) {
    tj_val out;
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (attribute(r, v, name, &out)) return out;
    if (tj_is_unsafe(v, name)) return tj_undef_attr(r, v, name);
    if (v.t == TJ_DICT) {
        tj_val *p = tj_dict_name(r, v.d, name);
        if (p) return *p;
    }
    return tj_undef_attr(r, v, name);
}

tj_val tj_getitem(tj *r, tj_val v, tj_val key) {
    int64_t i;
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (v.t == TJ_DICT) {
        bool hashable = !(key.t == TJ_DICT || (key.t == TJ_SEQ && key.q->kind == TJ_LIST));
        tj_val *p = hashable ? tj_dict_get(r, v.d, key) : NULL;
        if (p) return *p;
    } else if (v.t == TJ_SEQ && v.q->kind != TJ_KEYS && v.q->kind != TJ_VALUES && v.q->kind != TJ_ITEMS &&
               tj_as_int(key, &i)) {
        int64_t n = (int64_t)v.q->n;
        if (i < 0) i += n;
        if (i >= 0 && i < n) return v.q->v[i];
    } else if (v.t == TJ_STR && tj_as_int(key, &i)) {
        int64_t n = tj_chars(r, v.s);
        if (i < 0) i += n;
        if (i >= 0 && i < n) {
            size_t p = tj_byte_of(r, v.s, i), e = p + 1;
            while (e < v.s->len && (v.s->s[e] & 0xC0) == 0x80) e++;
            return tj_of_str(tj_str_sub(r, v.s, p, e));
        }
    }
    tj_val out;
    if (key.t == TJ_STR && !tj_is_unsafe(v, key.s) && attribute(r, v, key.s, &out)) return out;
    return tj_undef_item(r, v, key);
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0) i += n;
    return i < low ? low : i > high ? high : i;
}

static bool index_like(tj_val v) { return v.t == TJ_NONE || v.t == TJ_ABSENT || v.t == TJ_INT || v.t == TJ_BOOL; }

static bool slice_index(tj_val v, int64_t *out) {
    if (!tj_as_int(v, out)) return false;
    if (*out < -INT64_MAX / 2) *out = -INT64_MAX / 2;
    if (*out > INT64_MAX / 2) *out = INT64_MAX / 2;
    return true;
}

tj_val tj_slice(tj *r, tj_val v, tj_val from, tj_val to, tj_val by) {
    if (v.t == TJ_UNDEF) tj_fail_undef(r, v.u);
    if (v.t == TJ_DICT) tj_fail(r, TS_E_INVAL, "unhashable type: 'slice'");
    if (v.t != TJ_STR && !(v.t == TJ_SEQ && (v.q->kind <= TJ_RANGE || v.q->kind == TJ_GROUP)))
        tj_fail(r, TS_E_INVAL, "'%s' object is not subscriptable", tj_type_name(v));
    if (!index_like(from) || !index_like(to) || !index_like(by))
        tj_fail(r, TS_E_INVAL, "slice indices must be integers or None or have an __index__ method");
    int64_t n = tj_len(r, v), start, stop, step = 1;
    slice_index(by, &step);
    if (!step) tj_fail(r, TS_E_INVAL, "slice step cannot be zero");
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    start = slice_index(from, &start) ? clamp(start, n, low, high) : step > 0 ? low : high;
    stop = slice_index(to, &stop) ? clamp(stop, n, low, high) : step > 0 ? high : low;
    if (v.t == TJ_STR && step == 1) {
        if (stop < start) stop = start;
        size_t p = tj_byte_of(r, v.s, start);
        return tj_of_str(tj_str_sub(r, v.s, p, tj_byte_of(r, v.s, stop)));
    }
    int64_t count = step > 0       ? (stop > start ? (stop - start - 1) / step + 1 : 0)
                    : start > stop ? (start - stop - 1) / -step + 1
                                   : 0;
    tj_seq *in = tj_iter(r, v);
    if (v.t == TJ_STR) {
        tj_sb b;
        tj_sb_init(r, &b);
        for (int64_t k = 0; k < count; k++) tj_sb_str(&b, in->v[start + k * step].s);
        tj_str *s = tj_sb_done(&b);
        s->markup = v.s->markup;
        return tj_of_str(s);
    }
    tj_seq *q = tj_seq_new(r, v.q->kind == TJ_GROUP ? TJ_TUPLE : v.q->kind, (size_t)count);
    for (int64_t k = 0; k < count; k++) tj_seq_push(r, q, in->v[start + k * step]);
    if (q->kind == TJ_RANGE) {
        q->start = v.q->start + start * v.q->step;
        q->step = v.q->step * step;
        q->stop = v.q->start + stop * v.q->step;
    }
    return tj_of_seq(q);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static bool compare(tj *r, tj_op op, tj_val a, tj_val b) {
    switch (op) {
    case TJ_EQ: return tj_eq(r, a, b);
    case TJ_NE: return !tj_eq(r, a, b);
    case TJ_IN: return tj_contains(r, a, b);
    case TJ_NOTIN: return !tj_contains(r, a, b);
    case TJ_LT: return tj_cmp(r, a, b, "<") == -1;
    case TJ_LE: return tj_cmp(r, a, b, "<=") <= 0;
    case TJ_GT: return tj_cmp(r, a, b, ">") == 1;
    default: {
        int c = tj_cmp(r, a, b, ">=");
        return c == 0 || c == 1;
    }
    }
}

static tj_val eval_cmp(tj *r, const tj_node *n) {
    tj_val a = tj_eval(r, n->list[0]);
    for (size_t i = 1; i < n->n; i++) {
        tj_val b = tj_eval(r, n->list[i]);
        if (!compare(r, (tj_op)n->ops[i - 1], a, b)) return tj_bool(false);
        a = b;
    }
    return tj_bool(true);
}

static tj_val eval_concat(tj *r, const tj_node *n) {
    tj_val first = tj_eval(r, n->list[0]);
    /* a string itself, not a copy: its buffer may be appended to */
    const tj_str *s = tj_str_as(r, first.t == TJ_STR ? first.s : tj_to_str(r, first), false);
    for (size_t i = 1; i < n->n; i++) s = tj_str_cat(r, s, tj_str_as(r, tj_to_str(r, tj_eval(r, n->list[i])), false));
    return tj_of_str(s);
}

static tj_val eval_item(tj *r, const tj_node *n) {
    tj_val of = tj_eval(r, n->a);
    if (n->b->kind != TJ_N_SLICE) return tj_getitem(r, of, tj_eval(r, n->b));
    tj_val part[3] = {0};
    const tj_node *s = n->b, *at[3] = {s->a, s->b, s->c};
    for (int i = 0; i < 3; i++)
        if (at[i]) part[i] = tj_eval(r, at[i]);
    return tj_slice(r, of, part[0], part[1], part[2]);
}

static tj_val eval_func(tj *r, const tj_node *n) {
    tj_args a = {0};
    tj_val of = tj_eval(r, n->a);
    tj_check_func(r, n);
    gather(r, &n->args, &a);
    return tj_call_func(r, n->fn, n->kind == TJ_N_FILTER ? "filter" : "test", of, &a);
}

static tj_val no_else(tj *r, const tj_node *n) {
    enum { ROOM = 120 };
    char *hint = tj_alloc(r, ROOM, 1);
    snprintf(hint, ROOM, "the inline if-expression on line %u evaluated to false and no else section was defined.",
             n->line);
    return tj_undef_hint(r, hint);
}

static tj_val dispatch(tj *r, const tj_node *n) {
    tj_val v = tj_none();
    switch (n->kind) {
    case TJ_N_CONST: return n->val;
    case TJ_N_NAME: return tj_lookup(r, n);
    case TJ_N_TUPLE:
    case TJ_N_LIST: {
        tj_seq *q = tj_seq_new(r, n->kind == TJ_N_LIST ? TJ_LIST : TJ_TUPLE, n->n);
        for (size_t i = 0; i < n->n; i++) tj_seq_push(r, q, tj_eval(r, n->list[i]));
        return tj_of_seq(q);
    }
    case TJ_N_DICT: {
        tj_dict *d = tj_dict_new(r, n->n / 2);
        for (size_t i = 0; i < n->n; i += 2) {
            tj_val k = tj_eval(r, n->list[i]);
            tj_dict_set(r, d, k, tj_eval(r, n->list[i + 1]));
        }
        return TJ_V(TJ_DICT, d, d);
    }
    case TJ_N_COND:
        if (tj_truth(tj_eval(r, n->b))) return tj_eval(r, n->a);
        if (n->c) return tj_eval(r, n->c);
        return no_else(r, n);
    case TJ_N_OR:
    case TJ_N_AND:
        for (size_t i = 0; i < n->n; i++) {
            v = tj_eval(r, n->list[i]);
            if (tj_truth(v) == (n->kind == TJ_N_OR)) break;
        }
        return v;
    case TJ_N_NOT: return tj_bool(!tj_truth(tj_eval(r, n->a)));
    case TJ_N_CMP: return eval_cmp(r, n);
    case TJ_N_CHAIN:
        v = tj_eval(r, n->list[0]);
        for (size_t i = 1; i < n->n; i++) v = tj_binop(r, (tj_op)n->ops[i - 1], v, tj_eval(r, n->list[i]));
        return v;
    case TJ_N_CONCAT: return eval_concat(r, n);
    case TJ_N_NEG: return tj_negate(r, tj_eval(r, n->a));
    case TJ_N_POS:
        v = tj_eval(r, n->a);
        if (v.t == TJ_FLOAT) return v;
        return tj_negate(r, tj_negate(r, v));
    case TJ_N_ATTR: return tj_getattr(r, tj_eval(r, n->a), n->name);
    case TJ_N_ITEM: return eval_item(r, n);
    case TJ_N_CALL: {
        tj_args a = {0};
        v = tj_eval(r, n->a);
        gather(r, &n->args, &a);
        return tj_call(r, v, &a);
    }
    case TJ_N_FILTER: return eval_func(r, n);
    case TJ_N_TEST: {
        v = eval_func(r, n);
        return tj_bool(tj_truth(v) != n->flag);
    }
    default: tj_fail(r, TS_E_INVAL, "not an expression");
    }
}

tj_val tj_eval(tj *r, const tj_node *n) {
    uint32_t line = r->line, col = r->col;
    tj_enter(r);
    r->line = n->line;
    r->col = n->col;
    tj_val v = dispatch(r, n);
    r->line = line;
    r->col = col;
    tj_leave(r);
    return v;
}
