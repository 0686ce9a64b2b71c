/* Statements: output, conditions, loops, assignments, macros; scopes of variables. */
#include "text/jinja/jinja_int.h"

#include <string.h>

typedef enum flow { NEXT, BREAK, CONTINUE } flow;
static flow exec(tj *r, const tj_node *n);

/* ---- variables --------------------------------------------------------------------------------------------------- */

static tj_env *push_env(tj *r, tj_env *up) {
    tj_env *e = tj_alloc(r, 1, sizeof *e);
    e->up = up;
    return e;
}

static void set_var(tj *r, uint32_t id, tj_val v);

/* At the beginning of a scope. */
static void own_vars(tj *r, const tj_node *body) {
    for (size_t i = 0; i < body->n_own; i++) set_var(r, body->own[i].id, body->own[i].v);
}

static struct tj_var *find_var(const tj_env *e, uint32_t id) {
    for (uint32_t i = 0; i < e->n; i++)
        if (e->v[i].id == id) return &e->v[i];
    return NULL;
}

static void set_var(tj *r, uint32_t id, tj_val v) {
    tj_env *e = r->env;
    if (!e->up) {
        r->vars[id] = v;
        return;
    }
    struct tj_var *old = find_var(e, id);
    if (old) {
        old->v = v;
        return;
    }
    size_t cap = e->cap;
    e->v = tj_more(r, e->v, e->n, &cap, sizeof *e->v);
    e->cap = (uint32_t)cap;
    e->v[e->n++] = (struct tj_var){id, v};
}

static tj_val global(tj *r, uint32_t id) {
    tj_val *g = &r->globals[id];
    if (g->t != TJ_ABSENT) return *g;
    const tj_str *name = r->t->names[id];
    char key[128];
    if (name->len < sizeof key && !memchr(name->s, 0, name->len)) {
        memcpy(key, name->s, name->len);
        key[name->len] = 0;
        *g = tj_variable(r, key);
        if (g->t == TJ_ABSENT) {
            const tj_func *fn = tj_find_global(key);
            if (fn) *g = TJ_V(TJ_FUNC, fn, fn);
        }
    }
    if (g->t == TJ_ABSENT) {
        tj_undef *u = tj_alloc(r, 1, sizeof *u);
        *u = (tj_undef){.kind = TJ_UNDEF_NAME, .name = name};
        *g = TJ_V(TJ_UNDEF, u, u);
    }
    return *g;
}

tj_val tj_lookup(tj *r, const tj_node *n) {
    for (const tj_env *e = r->env; e->up; e = e->up) {
        const struct tj_var *v = find_var(e, n->id);
        if (v && v->v.t != TJ_ABSENT) return v->v;
    }
    if (r->vars[n->id].t != TJ_ABSENT) return r->vars[n->id];
    return global(r, n->id);
}

static void assign(tj *r, const tj_node *target, tj_val v) {
    if (target->kind == TJ_N_NAME) {
        set_var(r, target->id, v);
    } else if (target->kind == TJ_N_NSREF) {
        r->line = target->line;
        r->col = target->col;
        tj_val ns = tj_lookup(r, target);
        if (ns.t != TJ_NS) tj_fail(r, TS_E_INVAL, "cannot assign attribute on non-namespace object");
        tj_dict_set(r, ns.d, tj_of_str(target->attr), v);
    } else {
        r->line = target->line;
        r->col = target->col;
        if (!tj_iterable(v)) tj_fail(r, TS_E_INVAL, "cannot unpack non-iterable %s object", tj_type_name(v));
        const tj_seq *q = tj_iter(r, v);
        if (q->n > target->n) tj_fail(r, TS_E_INVAL, "too many values to unpack (expected %zu)", target->n);
        if (q->n < target->n)
            tj_fail(r, TS_E_INVAL, "not enough values to unpack (expected %zu, got %zu)", target->n, q->n);
        for (size_t i = 0; i < q->n; i++) assign(r, target->list[i], q->v[i]);
    }
}

/* Run a body in a scope of its own, its output into `to`. */
static flow in_scope(tj *r, tj_env *up, const tj_node *body, tj_sb *to) {
    tj_env *was = r->env;
    tj_sb *out = r->out;
    r->env = push_env(r, up);
    r->out = to;
    own_vars(r, body);
    flow f = exec(r, body);
    r->out = out;
    r->env = was;
    return f;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* The next item of a loop that its filter lets through. */
static bool next_item(tj *r, tj_loop *l, tj_val *out) {
    if (l->ahead.t != TJ_ABSENT) {
        *out = l->ahead;
        l->ahead.t = TJ_ABSENT;
        return true;
    }
    while (l->pos < l->q->n) {
        tj_val v = l->q->v[l->pos++];
        if (l->def->test) {
            tj_env *was = r->env;
            r->env = push_env(r, l->env);
            assign(r, l->def->a, v);
            bool pass = tj_truth(tj_eval(r, l->def->test));
            r->env = was;
            if (!pass) continue;
        }
        *out = v;
        return true;
    }
    return false;
}

static bool look_ahead(tj *r, tj_loop *l) {
    tj_val v;
    if (l->ahead.t != TJ_ABSENT) return true;
    if (!next_item(r, l, &v)) return false;
    l->ahead = v;
    return true;
}

static int64_t loop_length(tj *r, tj_loop *l) {
    if (l->def->test) { /* filter all that is left now */
        tj_seq *rest = tj_seq_new(r, TJ_LIST, 0);
        tj_val v;
        while (next_item(r, l, &v)) tj_seq_push(r, rest, v);
        tj_seq *q = tj_seq_new(r, TJ_LIST, 0);
        for (int64_t i = 0; i <= l->index0; i++) tj_seq_push(r, q, tj_none()); /* passed already */
        for (size_t i = 0; i < rest->n; i++) tj_seq_push(r, q, rest->v[i]);
        tj_node *plain = tj_alloc(r, 1, sizeof *plain);
        *plain = *l->def;
        plain->test = NULL;
        l->def = plain;
        l->q = q;
        l->pos = (size_t)(l->index0 + 1);
    }
    return (int64_t)l->q->n;
}

static tj_val loop_cycle(tj *r, tj_val self, tj_args *a) {
    if (!a->n) tj_fail(r, TS_E_INVAL, "no items for cycling given");
    return a->v[(size_t)self.l->index0 % a->n];
}

static tj_val loop_changed(tj *r, tj_val self, tj_args *a) {
    tj_seq *q = tj_seq_new(r, TJ_TUPLE, a->n);
    for (size_t i = 0; i < a->n; i++) tj_seq_push(r, q, a->v[i]);
    tj_val now = tj_of_seq(q);
    bool same = self.l->changed.t != TJ_ABSENT && tj_eq(r, self.l->changed, now);
    if (!same) self.l->changed = now;
    return tj_bool(!same);
}

tj_val tj_loop_attr(tj *r, tj_loop *l, const tj_str *name) {
    static const tj_func cycle = {"cycle", "*", loop_cycle}, changed = {"changed", "*", loop_changed};
    if (tj_str_is(name, "index")) return tj_int(l->index0 + 1);
    if (tj_str_is(name, "index0")) return tj_int(l->index0);
    if (tj_str_is(name, "first")) return tj_bool(l->index0 == 0);
    if (tj_str_is(name, "last")) return tj_bool(!look_ahead(r, l));
    if (tj_str_is(name, "length")) return tj_int(loop_length(r, l));
    if (tj_str_is(name, "revindex")) return tj_int(loop_length(r, l) - l->index0);
    if (tj_str_is(name, "revindex0")) return tj_int(loop_length(r, l) - l->index0 - 1);
    if (tj_str_is(name, "depth")) return tj_int(l->depth0 + 1);
    if (tj_str_is(name, "depth0")) return tj_int(l->depth0);
    if (tj_str_is(name, "previtem"))
        return l->prev.t != TJ_ABSENT ? l->prev : tj_undef_hint(r, "there is no previous item");
    if (tj_str_is(name, "nextitem")) return look_ahead(r, l) ? l->ahead : tj_undef_hint(r, "there is no next item");
    const tj_func *fn = tj_str_is(name, "cycle") ? &cycle : tj_str_is(name, "changed") ? &changed : NULL;
    if (!fn) return (tj_val){.t = TJ_ABSENT};
    tj_method *m = tj_alloc(r, 1, sizeof *m);
    *m = (tj_method){TJ_V(TJ_LOOP, l, l), fn};
    return TJ_V(TJ_METHOD, me, m);
}

static flow run_loop(tj *r, const tj_node *n, tj_val over, int64_t depth0) {
    tj_env *outer = r->env;
    tj_loop *l = tj_alloc(r, 1, sizeof *l);
    *l = (tj_loop){.q = tj_iter(r, over), .def = n, .env = outer, .index0 = -1, .depth0 = depth0};
    tj_val v;
    flow f = NEXT;
    tj_env *e = push_env(r, outer);
    while (f != BREAK && next_item(r, l, &v)) {
        if (r->env != outer || e->n) e = push_env(r, outer); /* each turn begins with no variables of its own */
        l->index0++;
        l->prev = l->cur;
        l->cur = v;
        r->env = e;
        own_vars(r, n->c);
        set_var(r, TJ_ID_LOOP, TJ_V(TJ_LOOP, l, l));
        assign(r, n->a, v);
        f = exec(r, n->c);
        r->env = outer;
    }
    if (l->index0 < 0 && n->d) return in_scope(r, outer, n->d, r->out);
    return NEXT;
}

tj_val tj_call_loop(tj *r, tj_loop *l, tj_args *a) {
    if (!l->def->flag) tj_fail(r, TS_E_INVAL, "The loop must have the 'recursive' marker to be called recursively.");
    if (a->n != 1 || a->n_kw) tj_fail(r, TS_E_INVAL, "loop() takes one argument");
    tj_sb b;
    tj_sb_init(r, &b);
    tj_enter(r);
    tj_env *was = r->env;
    tj_sb *out = r->out;
    r->env = l->env;
    r->out = &b;
    run_loop(r, l->def, a->v[0], l->depth0 + 1);
    r->out = out;
    r->env = was;
    tj_leave(r);
    return tj_of_str(tj_sb_done(&b));
}

/* ---- macros ------------------------------------------------------------------------------------------------------ */

tj_val tj_call_macro(tj *r, tj_macro *m, tj_args *a) {
    const tj_node *def = m->def;
    const char *name = def->kind == TJ_N_MACRO ? "macro" : "caller";
    int len = (int)(def->name->len < 60 ? def->name->len : 60);
    tj_enter(r);
    tj_env *was = r->env;
    tj_sb *out = r->out, b;
    tj_sb_init(r, &b);
    tj_env *e = push_env(r, m->env);
    tj_dict *kwargs = tj_dict_new(r, 0);
    tj_val caller = {0};
    bool *used = tj_alloc(r, a->n_kw, sizeof *used);
    r->env = e;
    own_vars(r, def->c);
    if (a->n > def->n && !(def->uses & TJ_USES_VARARGS))
        tj_fail(r, TS_E_INVAL, "%s '%.*s' takes not more than %zu argument(s)", name, len, def->name->s, def->n);
    for (size_t i = 0; i < def->n; i++) {
        const tj_node *p = def->list[i];
        tj_val v = i < a->n ? a->v[i] : (tj_val){0};
        for (size_t k = 0; k < a->n_kw; k++) {
            if (!tj_str_eq(a->kw[k], p->name)) continue;
            if (i < a->n) tj_fail(r, TS_E_INVAL, "%s '%.*s' got two values for an argument", name, len, def->name->s);
            v = a->kwv[k];
            used[k] = true;
        }
        if (v.t == TJ_ABSENT) {
            size_t first_default = def->n - def->args.n_pos;
            if (i >= first_default) {
                r->env = e; /* a default may use the parameters before it */
                v = tj_eval(r, def->args.pos[i - first_default]);
            } else {
                tj_sb h;
                tj_sb_init(r, &h);
                tj_sb_puts(&h, "parameter ");
                tj_sb_repr(&h, tj_of_str(p->name));
                tj_sb_puts(&h, " was not provided");
                tj_sb_add(&h, "", 1, false);
                v = tj_undef_hint(r, tj_sb_done(&h)->s);
            }
        }
        set_var(r, p->id, v);
    }
    for (size_t k = 0; k < a->n_kw; k++) {
        if (used[k]) continue;
        if ((def->uses & TJ_USES_CALLER) && tj_str_is(a->kw[k], "caller")) caller = a->kwv[k];
        else if (tj_str_is(a->kw[k], "caller"))
            tj_fail(r, TS_E_INVAL,
                    "%s '%.*s' was invoked with two values for the special caller argument. This is most likely a bug.",
                    name, len, def->name->s);
        else if (def->uses & TJ_USES_KWARGS) tj_dict_set(r, kwargs, tj_of_str(a->kw[k]), a->kwv[k]);
        else
            tj_fail(r, TS_E_INVAL, "%s '%.*s' takes no keyword argument '%.*s'", name, len, def->name->s,
                    (int)(a->kw[k]->len < 60 ? a->kw[k]->len : 60), a->kw[k]->s);
    }
    if (def->kind == TJ_N_MACRO && (def->uses & TJ_USES_CALLER))
        set_var(r, TJ_ID_CALLER, caller.t != TJ_ABSENT ? caller : tj_undef_hint(r, "No caller defined"));
    if (def->uses & TJ_USES_KWARGS) set_var(r, TJ_ID_KWARGS, TJ_V(TJ_DICT, d, kwargs));
    if (def->uses & TJ_USES_VARARGS) {
        tj_seq *q = tj_seq_new(r, TJ_TUPLE, 0);
        for (size_t i = def->n; i < a->n; i++) tj_seq_push(r, q, a->v[i]);
        set_var(r, TJ_ID_VARARGS, tj_of_seq(q));
    }
    r->out = &b;
    exec(r, def->c);
    r->out = out;
    r->env = was;
    tj_leave(r);
    return tj_of_str(tj_sb_done(&b));
}

static tj_val make_macro(tj *r, const tj_node *def) {
    tj_macro *m = tj_alloc(r, 1, sizeof *m);
    *m = (tj_macro){def, r->env};
    return TJ_V(TJ_MACRO, m, m);
}

/* The call of a call block, with the block as one more argument, caller. */
static void exec_callblock(tj *r, const tj_node *n) {
    tj_node *c = tj_alloc(r, 1, sizeof *c), *body = tj_alloc(r, 1, sizeof *body);
    *c = *n->b;
    body->kind = TJ_N_CONST;
    body->line = n->line;
    body->col = n->col;
    body->val = make_macro(r, n);
    struct tj_call *a = &c->args;
    const tj_str **kw = tj_alloc(r, a->n_kw + 1, sizeof *kw);
    tj_node **kwv = tj_alloc(r, a->n_kw + 1, sizeof *kwv);
    for (size_t i = 0; i < a->n_kw; i++) {
        kw[i] = a->kw[i];
        kwv[i] = a->kwv[i];
    }
    kw[a->n_kw] = r->t->names[TJ_ID_CALLER];
    kwv[a->n_kw] = body;
    a->kw = kw;
    a->kwv = kwv;
    a->n_kw++;
    tj_sb_val(r->out, tj_eval(r, c));
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

/* A filter (or a chain of them) over a text that a block made. */
static tj_val apply_filter(tj *r, const tj_node *f, tj_val of) {
    tj_node *copy = tj_alloc(r, 1, sizeof *copy), *at = copy;
    *copy = *f;
    tj_node *value = tj_alloc(r, 1, sizeof *value);
    *value = (tj_node){.kind = TJ_N_CONST, .line = f->line, .col = f->col, .val = of};
    while (at->a) {
        tj_node *below = tj_alloc(r, 1, sizeof *below);
        *below = *at->a;
        at = at->a = below;
    }
    at->a = value;
    return tj_eval(r, copy);
}

static flow exec_body(tj *r, const tj_node *n) {
    flow f = NEXT;
    for (size_t i = 0; i < n->n && f == NEXT; i++) f = exec(r, n->list[i]);
    return f;
}

static flow exec_with(tj *r, const tj_node *n) {
    tj_env *was = r->env, *e = push_env(r, was);
    r->env = e;
    own_vars(r, n->c);
    for (size_t i = 0; i < n->n; i += 2) {
        r->env = was; /* values do not see the variables of the same tag */
        tj_val v = tj_eval(r, n->list[i + 1]);
        r->env = e;
        assign(r, n->list[i], v);
    }
    r->env = e;
    flow f = exec(r, n->c);
    r->env = was;
    return f;
}

static flow run(tj *r, const tj_node *n) {
    tj_sb b;
    flow f;
    switch (n->kind) {
    case TJ_N_BODY: return exec_body(r, n);
    case TJ_N_DATA: tj_sb_str(r->out, n->val.s); return NEXT;
    case TJ_N_OUTPUT: tj_sb_val(r->out, tj_eval(r, n->a)); return NEXT;
    case TJ_N_IF:
        for (size_t i = 0; i < n->n; i += 2)
            if (tj_truth(tj_eval(r, n->list[i]))) return exec(r, n->list[i + 1]);
        return n->c ? exec(r, n->c) : NEXT;
    case TJ_N_FOR: return run_loop(r, n, tj_eval(r, n->b), 0);
    case TJ_N_SET: assign(r, n->a, tj_eval(r, n->b)); return NEXT;
    case TJ_N_SETBLOCK:
    case TJ_N_FILTERBLOCK: {
        tj_sb_init(r, &b);
        f = in_scope(r, r->env, n->c, &b);
        if (f != NEXT) return f;
        tj_val v = tj_of_str(tj_sb_done(&b));
        if (n->b) v = apply_filter(r, n->b, v);
        if (n->kind == TJ_N_SETBLOCK) assign(r, n->a, v);
        else if (v.t != TJ_STR)
            tj_fail(r, TS_E_INVAL, "sequence item 0: expected str instance, %s found", tj_type_name(v));
        else tj_sb_str(r->out, v.s);
        return NEXT;
    }
    case TJ_N_MACRO: set_var(r, n->id, make_macro(r, n)); return NEXT;
    case TJ_N_CALLBLOCK: exec_callblock(r, n); return NEXT;
    case TJ_N_WITH: return exec_with(r, n);
    case TJ_N_SCOPE: return in_scope(r, r->env, n->c, r->out);
    case TJ_N_BREAK: return BREAK;
    case TJ_N_CONTINUE: return CONTINUE;
    default: tj_fail(r, TS_E_INVAL, "not a statement");
    }
}

static flow exec(tj *r, const tj_node *n) {
    uint32_t line = r->line, col = r->col;
    tj_enter(r);
    r->line = n->line;
    r->col = n->col;
    flow f = run(r, n);
    r->line = line;
    r->col = col;
    tj_leave(r);
    return f;
}

void tj_exec_template(tj *r) {
    r->vars = tj_alloc(r, r->t->n_names, sizeof *r->vars);
    r->globals = tj_alloc(r, r->t->n_names, sizeof *r->globals);
    r->env = push_env(r, NULL);
    own_vars(r, r->t->body);
    exec(r, r->t->body);
}
