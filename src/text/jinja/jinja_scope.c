/* Which variables of a scope begin as undefined. Jinja2 decides when it compiles where a name is looked up: a scope
 * that assigns a variable before it reads it has a variable of its own from its beginning, so that loops and macros
 * inside it never see one of the same name from the context, not even before the assignment. */
#include "text/jinja/jinja_int.h"

typedef struct scope {
    struct scope *up;
    uint32_t number;
    uint32_t *ids; /* the names that this scope knows */
    size_t n, cap;
    const tj_node **inner; /* scopes in it, in order */
    size_t n_inner, cap_inner;
    tj_node *body; /* that gets the names */
    size_t cap_own;
} scope;

typedef struct walker {
    tj *r;
    ts_jinja *t;
    uint32_t *seen;  /* by id: the number of the last scope that knows it */
    uint32_t *known; /* by id: how many of the scopes around know it */
    uint32_t n_scopes;
} walker;

static void visit(walker *w, scope *s, const tj_node *n, bool sure);

static void know(walker *w, scope *s, uint32_t id) {
    w->seen[id] = s->number;
    w->known[id]++;
    s->ids = tj_more(w->r, s->ids, s->n, &s->cap, sizeof *s->ids);
    s->ids[s->n++] = id;
}

static void load(walker *w, scope *s, uint32_t id) {
    if (!w->known[id]) know(w, s, id);
}

/* `sure`: not only in a branch. */
static void store(walker *w, scope *s, uint32_t id, bool sure) {
    if (w->seen[id] == s->number) return;
    if (sure && !w->known[id]) {
        tj_node *b = s->body;
        tj_undef *u = tj_alloc(w->r, 1, sizeof *u);
        *u = (tj_undef){.kind = TJ_UNDEF_NAME, .name = w->t->names[id]};
        b->own = tj_more(w->r, b->own, b->n_own, &s->cap_own, sizeof *b->own);
        b->own[b->n_own++] = (struct tj_var){id, TJ_V(TJ_UNDEF, u, u)};
    }
    know(w, s, id);
}

static void target(walker *w, scope *s, const tj_node *n, bool sure) {
    if (n->kind == TJ_N_NAME) store(w, s, n->id, sure);
    else if (n->kind == TJ_N_NSREF) load(w, s, n->id);
    else
        for (size_t i = 0; i < n->n; i++) target(w, s, n->list[i], sure);
}

static void inside(walker *w, scope *s, const tj_node *n) {
    s->inner = tj_more(w->r, s->inner, s->n_inner, &s->cap_inner, sizeof *s->inner);
    s->inner[s->n_inner++] = n;
}

static void visit_args(walker *w, scope *s, const struct tj_call *c) {
    for (size_t i = 0; i < c->n_pos; i++) visit(w, s, c->pos[i], true);
    for (size_t i = 0; i < c->n_kw; i++) visit(w, s, c->kwv[i], true);
    visit(w, s, c->star, true);
    visit(w, s, c->dstar, true);
}

static void visit(walker *w, scope *s, const tj_node *n, bool sure) {
    if (!n) return;
    switch (n->kind) {
    case TJ_N_NAME: load(w, s, n->id); break;
    case TJ_N_FOR:
        visit(w, s, n->b, sure);
        inside(w, s, n);
        break;
    case TJ_N_SET:
        visit(w, s, n->b, sure);
        target(w, s, n->a, sure);
        break;
    case TJ_N_SETBLOCK:
        target(w, s, n->a, sure);
        inside(w, s, n);
        break;
    case TJ_N_MACRO:
        store(w, s, n->id, sure);
        inside(w, s, n);
        break;
    case TJ_N_CALLBLOCK:
    case TJ_N_FILTERBLOCK:
        visit(w, s, n->b, sure);
        inside(w, s, n);
        break;
    case TJ_N_WITH:
        for (size_t i = 1; i < n->n; i += 2) visit(w, s, n->list[i], sure);
        inside(w, s, n);
        break;
    case TJ_N_SCOPE: inside(w, s, n); break;
    case TJ_N_IF:
        for (size_t i = 0; i < n->n; i++) visit(w, s, n->list[i], false);
        visit(w, s, n->c, false);
        break;
    default:
        visit(w, s, n->a, sure);
        visit(w, s, n->b, sure);
        visit(w, s, n->c, sure);
        for (size_t i = 0; i < n->n; i++) visit(w, s, n->list[i], sure);
        visit_args(w, s, &n->args);
    }
}

/* A scope: its names, then the scopes inside it. `of`: what it is the scope of; NULL: the template's. */
static void enter(walker *w, scope *up, const tj_node *of, tj_node *body) {
    scope s = {.up = up, .number = ++w->n_scopes, .body = body};
    if (of && of->kind == TJ_N_FOR) {
        know(w, &s, TJ_ID_LOOP);
        target(w, &s, of->a, false);
    } else if (of && of->kind == TJ_N_WITH) {
        for (size_t i = 0; i < of->n; i += 2) target(w, &s, of->list[i], false);
    } else if (of && (of->kind == TJ_N_MACRO || of->kind == TJ_N_CALLBLOCK)) {
        for (size_t i = 0; i < of->n; i++) target(w, &s, of->list[i], false);
        for (uint32_t id = TJ_ID_CALLER; id <= TJ_ID_VARARGS; id++) store(w, &s, id, false);
        visit_args(w, &s, &of->args);
    }
    visit(w, &s, body, true);
    for (size_t i = 0; i < s.n_inner; i++) {
        const tj_node *n = s.inner[i];
        enter(w, &s, n, n->c);
        if (n->kind == TJ_N_FOR && n->d) enter(w, &s, NULL, n->d);
    }
    for (size_t i = 0; i < s.n; i++) w->known[s.ids[i]]--;
}

void tj_scopes(tj *r, ts_jinja *t) {
    walker w = {.r = r, .t = t, .seen = tj_alloc(r, t->n_names, sizeof(uint32_t)),
                .known = tj_alloc(r, t->n_names, sizeof(uint32_t))};
    enter(&w, NULL, NULL, t->body);
}
