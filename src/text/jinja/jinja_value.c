/* Values: lists, dicts, truth, equality and order as Python has them. */
#include "text/jinja/jinja_int.h"

#include <math.h>
#include <string.h>

enum { FEW = 8 }; /* a dict of so many entries has no index */

/* ---- undefined --------------------------------------------------------------------------------------------------- */

static tj_val undef(tj *r, tj_undef u) {
    tj_undef *p = tj_alloc(r, 1, sizeof *p);
    *p = u;
    return TJ_V(TJ_UNDEF, u, p);
}

tj_val tj_undef_hint(tj *r, const char *hint) { return undef(r, (tj_undef){.kind = TJ_UNDEF_HINT, .hint = hint}); }

tj_val tj_undef_attr(tj *r, tj_val of, const tj_str *name) {
    return undef(r, (tj_undef){.kind = tj_is_unsafe(of, name) ? TJ_UNDEF_UNSAFE : TJ_UNDEF_ATTR,
                               .of = tj_is_unsafe(of, name) ? tj_type_name(of) : tj_object_name(r, of),
                               .name = name});
}

tj_val tj_undef_item(tj *r, tj_val of, tj_val key) {
    if (key.t == TJ_STR) return tj_undef_attr(r, of, key.s);
    tj_sb b;
    tj_sb_init(r, &b);
    tj_sb_repr(&b, key);
    return undef(r, (tj_undef){.kind = TJ_UNDEF_ITEM, .of = tj_object_name(r, of), .name = tj_sb_done(&b)});
}

void tj_fail_undef(tj *r, const tj_undef *u) {
    int n = u->name ? (int)(u->name->len < 100 ? u->name->len : 100) : 0;
    const char *s = u->name ? u->name->s : "";
    switch (u->kind) {
    case TJ_UNDEF_NAME: tj_fail(r, TS_E_INVAL, "'%.*s' is undefined", n, s);
    case TJ_UNDEF_ATTR: tj_fail(r, TS_E_INVAL, "'%s' has no attribute '%.*s'", u->of, n, s);
    case TJ_UNDEF_ITEM: tj_fail(r, TS_E_INVAL, "%s has no element %.*s", u->of, n, s);
    case TJ_UNDEF_UNSAFE: tj_fail(r, TS_E_INVAL, "access to attribute '%.*s' of '%s' object is unsafe.", n, s, u->of);
    case TJ_UNDEF_HINT: break;
    }
    tj_fail(r, TS_E_INVAL, "%s", u->hint);
}

/* ---- sequences --------------------------------------------------------------------------------------------------- */

tj_seq *tj_seq_new(tj *r, tj_seq_kind kind, size_t cap) {
    tj_seq *q = tj_alloc(r, 1, sizeof *q);
    q->kind = kind;
    if (cap) q->v = tj_alloc(r, cap, sizeof *q->v);
    q->cap = cap;
    return q;
}

void tj_seq_push(tj *r, tj_seq *q, tj_val v) {
    tj_step(r, 1);
    q->v = tj_more(r, q->v, q->n, &q->cap, sizeof *q->v);
    q->v[q->n++] = v;
}

tj_seq *tj_pair(tj *r, tj_val a, tj_val b) {
    tj_seq *q = tj_seq_new(r, TJ_TUPLE, 2);
    tj_seq_push(r, q, a);
    tj_seq_push(r, q, b);
    return q;
}

tj_val tj_gen_of(tj *r, tj_seq *q, const char *type) {
    tj_gen *g = tj_alloc(r, 1, sizeof *g);
    *g = (tj_gen){.q = q, .type = type};
    return TJ_V(TJ_GEN, g, g);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

bool tj_is_number(tj_val v) { return v.t == TJ_BOOL || v.t == TJ_INT || v.t == TJ_FLOAT; }

bool tj_as_int(tj_val v, int64_t *out) {
    if (v.t != TJ_BOOL && v.t != TJ_INT) return false;
    *out = v.t == TJ_BOOL ? v.b : v.i;
    return true;
}

double tj_as_double(tj_val v) { return v.t == TJ_FLOAT ? v.f : v.t == TJ_BOOL ? (double)v.b : (double)v.i; }

/* -1, 0, 1; 2 where one is not a number. Exact: a long double holds every int64 and every double. */
static int cmp_numbers(tj_val a, tj_val b) {
    long double x = a.t == TJ_FLOAT ? (long double)a.f : a.t == TJ_BOOL ? (long double)a.b : (long double)a.i;
    long double y = b.t == TJ_FLOAT ? (long double)b.f : b.t == TJ_BOOL ? (long double)b.b : (long double)b.i;
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

/* ---- dicts ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t hash(tj *r, tj_val v) {
    switch (v.t) {
    case TJ_STR: {
        uint64_t h = 14695981039346656037u;
        tj_bytes(r, v.s->len);
        for (size_t i = 0; i < v.s->len; i++) h = (h ^ (uint8_t)v.s->s[i]) * 1099511628211u;
        return mix(h);
    }
    case TJ_BOOL:
    case TJ_INT:
    case TJ_FLOAT: {
        double d = tj_as_double(v); /* equal numbers of different types are the same key */
        uint64_t h = 0;
        if (d != 0) memcpy(&h, &d, sizeof h);
        return mix(h);
    }
    case TJ_SEQ: {
        if (v.q->kind != TJ_TUPLE && v.q->kind != TJ_GROUP) break;
        uint64_t h = v.q->n;
        tj_enter(r);
        for (size_t i = 0; i < v.q->n; i++) h = mix(h ^ hash(r, v.q->v[i]));
        tj_leave(r);
        return h;
    }
    case TJ_DICT: break;
    default: return 1;
    }
    tj_fail(r, TS_E_INVAL, "unhashable type: '%s'", tj_type_name(v));
}

tj_dict *tj_dict_new(tj *r, size_t cap) {
    tj_dict *d = tj_alloc(r, 1, sizeof *d);
    if (cap) d->e = tj_alloc(r, cap, sizeof *d->e);
    d->cap = cap;
    return d;
}

static void index_entry(tj *r, tj_dict *d, size_t entry) {
    size_t mask = d->n_index - 1, i = hash(r, d->e[entry].key) & mask;
    while (d->index[i]) i = (i + 1) & mask;
    d->index[i] = (uint32_t)(entry + 1);
}

tj_val *tj_dict_get(tj *r, const tj_dict *d, tj_val key) {
    tj_step(r, 1);
    if (!d->index) {
        if (key.t == TJ_SEQ || key.t == TJ_DICT) (void)hash(r, key); /* fails for a list */
        for (size_t i = 0; i < d->n; i++)
            if (tj_eq(r, d->e[i].key, key)) return &d->e[i].val;
        return NULL;
    }
    size_t mask = d->n_index - 1;
    for (size_t i = hash(r, key) & mask; d->index[i]; i = (i + 1) & mask) {
        tj_entry *e = &d->e[d->index[i] - 1];
        if (tj_eq(r, e->key, key)) return &e->val;
    }
    return NULL;
}

tj_val *tj_dict_name(tj *r, const tj_dict *d, const tj_str *key) { return tj_dict_get(r, d, tj_of_str(key)); }

void tj_dict_set(tj *r, tj_dict *d, tj_val key, tj_val v) {
    tj_val *old = tj_dict_get(r, d, key);
    if (old) {
        *old = v;
        return;
    }
    d->e = tj_more(r, d->e, d->n, &d->cap, sizeof *d->e);
    d->e[d->n++] = (tj_entry){key, v};
    if (d->n <= FEW) return;
    if (d->n * 2 > d->n_index) {
        d->n_index = d->n_index ? d->n_index * 2 : 4 * FEW;
        d->index = tj_alloc(r, d->n_index, sizeof *d->index);
        for (size_t i = 0; i < d->n; i++) index_entry(r, d, i);
    } else {
        index_entry(r, d, d->n - 1);
    }
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

const char *tj_type_name(tj_val v) {
    switch (v.t) {
    case TJ_ABSENT:
    case TJ_UNDEF: return "Undefined";
    case TJ_NONE: return "NoneType";
    case TJ_BOOL: return "bool";
    case TJ_INT: return "int";
    case TJ_FLOAT: return "float";
    case TJ_STR: return v.s->markup ? "Markup" : "str";
    case TJ_SEQ: {
        static const char *const names[] = {"list",        "tuple",      "range",      "dict_keys",
                                            "dict_values", "dict_items", "_GroupTuple"};
        return names[v.q->kind];
    }
    case TJ_DICT: return "dict";
    case TJ_GEN: return v.g->type;
    case TJ_NS: return "Namespace";
    case TJ_MACRO: return "Macro";
    case TJ_FUNC: return "function";
    case TJ_METHOD: return "builtin_function_or_method";
    case TJ_LOOP: return "LoopContext";
    case TJ_CYCLER: return "Cycler";
    case TJ_JOINER: return "Joiner";
    }
    return "?";
}

const char *tj_object_name(tj *r, tj_val v) {
    if (v.t == TJ_NONE) return "None";
    const char *module = v.t == TJ_NS || v.t == TJ_CYCLER || v.t == TJ_JOINER ? "jinja2.utils."
                         : v.t == TJ_MACRO || v.t == TJ_LOOP                  ? "jinja2.runtime."
                         : v.t == TJ_STR && v.s->markup                      ? "markupsafe."
                                                                              : "";
    char *s = tj_alloc(r, 64, 1);
    snprintf(s, 64, "%s%s object", module, tj_type_name(v));
    return s;
}

bool tj_truth(tj_val v) {
    switch (v.t) {
    case TJ_ABSENT:
    case TJ_UNDEF:
    case TJ_NONE: return false;
    case TJ_BOOL: return v.b;
    case TJ_INT: return v.i != 0;
    case TJ_FLOAT: return v.f != 0;
    case TJ_STR: return v.s->len != 0;
    case TJ_SEQ: return v.q->n != 0;
    case TJ_DICT: return v.d->n != 0;
    default: return true;
    }
}

static bool eq_seq(tj *r, const tj_seq *a, const tj_seq *b) {
    if (a == b) return true;
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!tj_eq(r, a->v[i], b->v[i])) return false;
    return true;
}

static bool eq_dict(tj *r, const tj_dict *a, const tj_dict *b) {
    if (a == b) return true;
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const tj_val *v = tj_dict_get(r, b, a->e[i].key);
        if (!v || !tj_eq(r, a->e[i].val, *v)) return false;
    }
    return true;
}

static bool tuple_like(const tj_seq *q) { return q->kind == TJ_TUPLE || q->kind == TJ_GROUP; }

bool tj_eq(tj *r, tj_val a, tj_val b) {
    tj_step(r, 1);
    if (tj_is_number(a) && tj_is_number(b)) return cmp_numbers(a, b) == 0;
    if (a.t != b.t) return false;
    switch (a.t) {
    case TJ_STR:
        if (a.s->len == b.s->len) tj_bytes(r, a.s->len);
        return tj_str_eq(a.s, b.s);
    case TJ_SEQ:
    case TJ_DICT: {
        if (a.t == TJ_SEQ && a.q->kind != b.q->kind && !(tuple_like(a.q) && tuple_like(b.q))) return false;
        if (a.t == TJ_SEQ && a.q->kind == TJ_VALUES) return a.q == b.q;
        tj_enter(r);
        bool yes = a.t == TJ_SEQ ? eq_seq(r, a.q, b.q) : eq_dict(r, a.d, b.d);
        tj_leave(r);
        return yes;
    }
    default: return tj_same(a, b);
    }
}

bool tj_same(tj_val a, tj_val b) {
    if (a.t != b.t) return false;
    switch (a.t) {
    case TJ_ABSENT:
    case TJ_UNDEF:
    case TJ_NONE: return true;
    case TJ_BOOL: return a.b == b.b;
    case TJ_INT: return a.i == b.i;
    case TJ_FLOAT: return a.f == b.f;
    case TJ_STR: return a.s == b.s || tj_str_eq(a.s, b.s);
    case TJ_METHOD: return a.me == b.me || (a.me->fn == b.me->fn && tj_same(a.me->self, b.me->self));
    default: return a.q == b.q; /* all others are pointers */
    }
}

int tj_cmp(tj *r, tj_val a, tj_val b, const char *op) {
    tj_step(r, 1);
    if (tj_is_number(a) && tj_is_number(b)) return cmp_numbers(a, b);
    if (a.t == TJ_UNDEF) tj_fail_undef(r, a.u);
    if (b.t == TJ_UNDEF) tj_fail_undef(r, b.u);
    if (a.t == TJ_STR && b.t == TJ_STR) {
        size_t n = a.s->len < b.s->len ? a.s->len : b.s->len;
        tj_bytes(r, n);
        int c = n ? memcmp(a.s->s, b.s->s, n) : 0; /* the order of UTF-8 is that of code points */
        if (c == 0) c = a.s->len < b.s->len ? -1 : a.s->len > b.s->len;
        return c < 0 ? -1 : c > 0;
    }
    if (a.t == TJ_SEQ && b.t == TJ_SEQ &&
        ((tuple_like(a.q) && tuple_like(b.q)) || (a.q->kind == TJ_LIST && b.q->kind == TJ_LIST))) {
        tj_enter(r);
        size_t i = 0;
        while (i < a.q->n && i < b.q->n && tj_eq(r, a.q->v[i], b.q->v[i])) i++;
        int c = i < a.q->n && i < b.q->n ? tj_cmp(r, a.q->v[i], b.q->v[i], op) : a.q->n < b.q->n ? -1 : a.q->n > b.q->n;
        tj_leave(r);
        return c;
    }
    tj_fail(r, TS_E_INVAL, "'%s' not supported between instances of '%s' and '%s'", op, tj_type_name(a),
            tj_type_name(b));
}

int64_t tj_len(tj *r, tj_val v) {
    switch (v.t) {
    case TJ_UNDEF: return 0;
    case TJ_STR: return tj_chars(r, v.s);
    case TJ_SEQ: return (int64_t)v.q->n;
    case TJ_DICT: return (int64_t)v.d->n;
    case TJ_LOOP: {
        static const tj_str length = {.s = "length", .len = 6, .n_chars = 6};
        return tj_loop_attr(r, v.l, &length).i;
    }
    default: tj_fail(r, TS_E_INVAL, "object of type '%s' has no len()", tj_type_name(v));
    }
}

bool tj_iterable(tj_val v) {
    return v.t == TJ_UNDEF || v.t == TJ_STR || v.t == TJ_SEQ || v.t == TJ_DICT || v.t == TJ_GEN || v.t == TJ_LOOP;
}

tj_seq *tj_iter(tj *r, tj_val v) {
    tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
    switch (v.t) {
    case TJ_SEQ: return v.q;
    case TJ_UNDEF: return q;
    case TJ_STR:
        for (size_t i = 0, n; i < v.s->len; i += n) {
            tj_char_at(v.s, i, &n);
            tj_str *c = tj_str_new(r, v.s->s + i, n, tj_mark(v.s, i));
            c->n_chars = 1;
            tj_seq_push(r, q, tj_of_str(c));
        }
        return q;
    case TJ_DICT:
        for (size_t i = 0; i < v.d->n; i++) tj_seq_push(r, q, v.d->e[i].key);
        return q;
    case TJ_GEN:
        if (v.g->pos >= v.g->q->n) return q;
        *q = (tj_seq){.v = v.g->q->v + v.g->pos, .n = v.g->q->n - v.g->pos};
        q->cap = q->n;
        v.g->pos = v.g->q->n;
        return q;
    default: tj_fail(r, TS_E_INVAL, "'%s' object is not iterable", tj_type_name(v));
    }
}

bool tj_contains(tj *r, tj_val item, tj_val in) {
    switch (in.t) {
    case TJ_STR:
        if (item.t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "'in <string>' requires string as left operand, not %s", tj_type_name(item));
        return tj_find(r, in.s, 0, in.s->len, item.s, false) >= 0;
    case TJ_DICT: return tj_dict_get(r, in.d, item) != NULL;
    case TJ_SEQ:
    case TJ_UNDEF:
    case TJ_GEN: {
        const tj_seq *q = tj_iter(r, in);
        for (size_t i = 0; i < q->n; i++)
            if (tj_eq(r, q->v[i], item)) return true;
        return false;
    }
    default: tj_fail(r, TS_E_INVAL, "argument of type '%s' is not iterable", tj_type_name(in));
    }
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

int64_t tj_arg_int(tj *r, tj_args *a, size_t i, int64_t otherwise) {
    int64_t n = otherwise;
    if (!tj_given(a, i)) return n;
    if (a->v[i].t == TJ_UNDEF) tj_fail_undef(r, a->v[i].u);
    if (!tj_as_int(a->v[i], &n))
        tj_fail(r, TS_E_INVAL, "'%s' object cannot be interpreted as an integer", tj_type_name(a->v[i]));
    return n;
}

bool tj_arg_bool(tj_args *a, size_t i, bool otherwise) { return tj_given(a, i) ? tj_truth(a->v[i]) : otherwise; }

const tj_str *tj_arg_str(tj *r, tj_args *a, size_t i, const char *otherwise, const char *what) {
    if (!tj_given(a, i)) return tj_str_lit(r, otherwise);
    if (a->v[i].t == TJ_UNDEF) tj_fail_undef(r, a->v[i].u);
    if (a->v[i].t != TJ_STR) tj_fail(r, TS_E_INVAL, "%s must be a string, not %s", what, tj_type_name(a->v[i]));
    return a->v[i].s;
}
