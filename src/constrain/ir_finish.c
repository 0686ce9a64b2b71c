/* ir_finish.c - what of the rules can be completed, and what can not be walked. */
#include "constrain/ir.h"

#include <stdlib.h>
#include <string.h>

static bool other_fits(const ts_ir *ir, const ts_ir_other *o) {
    return ir->node[o->key].productive && ir->node[o->tail].productive;
}

static bool object_fits(const ts_ir *ir, const ts_ir_object *o) {
    uint32_t possible = 0, required = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        const bool fits = ir->node[o->prop[i].tail].productive;
        if (o->prop[i].required && !fits) return false;
        possible += fits;
        required += o->prop[i].required;
    }
    if (required > o->max || o->min > o->max) return false;
    if (possible >= o->min) return true;
    for (uint32_t i = 0; i < o->n_other; i++)
        if (other_fits(ir, &o->other[i])) return true;
    return false;
}

/* At most so many items; TS_RX_INF: any number. */
static uint32_t array_fit(const ts_ir *ir, const ts_ir_array *a) {
    for (uint32_t i = 0; i < a->n; i++)
        if (!ir->node[a->prefix[i]].productive) return i < a->max ? i : a->max;
    if (!ir->node[a->rest].productive) return a->n < a->max ? a->n : a->max;
    return a->max;
}

/* Does what is known by now say that node x can be completed (or, `empty`: by the empty text)? */
static bool completes(const ts_ir *ir, const ts_ir_node *x, bool empty) {
#define KNOWN(i) (empty ? ir->node[i].nullable : ir->node[i].productive)
    switch (x->kind) {
    case NODE_EMPTY: return true;
    case NODE_NEVER: return false;
    case NODE_LEX: return empty && ts_rx_nullable(ir->rxs, x->a);
    case NODE_CAT: return KNOWN(x->a) && KNOWN(x->b);
    case NODE_REP: return x->b == 0 || KNOWN(x->a);
    case NODE_CALL: return KNOWN(ir->rule[x->a]);
    case NODE_ALT:
        for (uint32_t i = 0; i < x->b; i++)
            if (KNOWN(ir->list[x->a + i])) return true;
        return false;
    case NODE_TOKEN:
    case NODE_KEY: return !empty;
    case NODE_OBJECT: return !empty && object_fits(ir, &ir->object[x->a]);
    case NODE_ARRAY: return !empty && array_fit(ir, &ir->array[x->a]) >= ir->array[x->a].min;
    default: return false;
    }
#undef KNOWN
}

/* The least fixed point; parts are made before wholes but for rules, so few rounds are enough, in alternate
 * directions. */
static bool find_productive(ts_ir *ir) {
    for (size_t i = 0; i < ir->n; i++)
        if (ir->node[i].kind == NODE_LEX) ir->node[i].productive = ts_dfa_start(ir->dfa, ir->node[i].a) != TS_DFA_DEAD;
    bool more = true;
    for (bool down = false; more; down = !down) {
        more = false;
        if (!ts_work_pay(ir->work, ir->n)) return false;
        for (size_t k = 0; k < ir->n; k++) {
            ts_ir_node *x = &ir->node[down ? ir->n - 1 - k : k];
            if (!x->productive && completes(ir, x, false)) x->productive = more = true;
            if (!x->nullable && completes(ir, x, true)) x->nullable = more = true;
        }
    }
    return true;
}

static int by_name(const void *x, const void *y, void *ud) {
    const ts_ir_prop *prop = ud;
    const ts_span a = prop[*(const uint32_t *)x].name, b = prop[*(const uint32_t *)y].name;
    const size_t both = a.len < b.len ? a.len : b.len;
    const int d = both ? memcmp(a.data, b.data, both) : 0;
    return d ? d : a.len < b.len ? -1 : a.len > b.len;
}

static void sort_names(uint32_t *v, uint32_t n, const ts_ir_prop *prop) {
    if (n) qsort_r(v, n, sizeof *v, by_name, (void *)prop);
}

static bool finish_object(ts_ir *ir, ts_ir_object *o) {
    if (!ts_work_pay(ir->work, 1 + o->n)) return false;
    uint32_t *all = ts_arena_alloc(&ir->arena, 4 * ((size_t)o->n + 1), sizeof *all);
    if (!all) return ts_work_nomem(ir->work);
    o->sorted = all;
    o->required = all + o->n + 1;
    o->n_required = o->required + o->n + 1;
    o->n_left = o->n_required + o->n + 1;
    o->required[o->n] = o->n;
    o->n_required[o->n] = o->n_left[o->n] = 0;
    for (uint32_t i = o->n; i-- > 0;) {
        const bool must = o->prop[i].required, fits = ir->node[o->prop[i].tail].productive;
        o->required[i] = must ? i : o->required[i + 1];
        o->n_required[i] = o->n_required[i + 1] + must;
        o->n_left[i] = o->n_left[i + 1] + fits;
        if (fits) o->sorted[o->n_sorted++] = i;
    }
    sort_names(o->sorted, o->n_sorted, o->prop);
    for (uint32_t i = 0; i < o->n_other; i++) o->open |= other_fits(ir, &o->other[i]);
    return true;
}

typedef struct visit {
    ts_node node;
    uint32_t next; /* child to look at */
} visit;

/* The i-th node that can read the first byte of what x reads; TS_NODE_NEVER: no more. */
static ts_node first_of(const ts_ir *ir, const ts_ir_node *x, uint32_t i) {
    switch (x->kind) {
    case NODE_CAT: return i == 0 ? x->a : i == 1 && ir->node[x->a].nullable ? x->b : TS_NODE_NEVER;
    case NODE_ALT: return i < x->b ? ir->list[x->a + i] : TS_NODE_NEVER;
    case NODE_REP: return i == 0 ? x->a : TS_NODE_NEVER;
    case NODE_CALL: return i == 0 ? ir->rule[x->a] : TS_NODE_NEVER;
    default: return TS_NODE_NEVER;
    }
}

/* Depth first from every node, along first_of: a way back to a node on the way is a rule that calls itself before it
 * has read anything. */
static bool find_left_recursion(ts_ir *ir, uint32_t *rule) {
    enum { NEW, OPEN, DONE };
    uint8_t *mark = ts_calloc(ir->n + 1, 1);
    visit *way = NULL;
    size_t cap = 0, depth = 0;
    if (!mark) return ts_work_nomem(ir->work);
    for (size_t start = 0; start < ir->n && ir->work->bad == TS_OK; start++) {
        if (mark[start] != NEW || !ts_work_grow(ir->work, (void **)&way, &cap, 1, sizeof *way)) continue;
        way[0] = (visit){.node = (ts_node)start};
        mark[start] = OPEN;
        for (depth = 1; depth && ts_work_pay(ir->work, 1);) {
            visit *v = &way[depth - 1];
            const ts_ir_node *x = &ir->node[v->node];
            const ts_node to = x->productive ? first_of(ir, x, v->next++) : TS_NODE_NEVER;
            if (to == TS_NODE_NEVER && (x->kind != NODE_ALT || v->next > x->b || !x->productive)) {
                mark[v->node] = DONE;
                depth--;
            } else if (mark[to] == OPEN && ir->node[to].productive) {
                for (size_t i = depth; i-- > 0 && *rule == UINT32_MAX;)
                    if (ir->node[way[i].node].kind == NODE_CALL) *rule = ir->node[way[i].node].a;
                ts_work_fail(ir->work, TS_E_UNSUPP, "it refers to itself before anything has been read");
            } else if (mark[to] == NEW && ts_work_grow(ir->work, (void **)&way, &cap, depth + 1, sizeof *way)) {
                mark[to] = OPEN;
                way[depth++] = (visit){.node = to};
            }
        }
    }
    ts_free(mark);
    ts_free(way);
    return ir->work->bad == TS_OK;
}

bool ts_ir_finish(ts_ir *ir, uint32_t *rule) {
    *rule = UINT32_MAX;
    if (ir->work->bad || !find_productive(ir) || !find_left_recursion(ir, rule)) return false;
    for (size_t i = 0; i < ir->n_objects; i++)
        if (!finish_object(ir, &ir->object[i])) return false;
    for (size_t i = 0; i < ir->n_arrays; i++) ir->array[i].fit = array_fit(ir, &ir->array[i]);
    for (size_t i = 0; i < ir->n; i++) { /* empty rounds of a counted repetition would be counted through */
        const ts_ir_node *x = &ir->node[i];
        if (x->kind == NODE_REP && x->c != TS_RX_INF && x->c > 1000 && ir->node[x->a].nullable)
            return ts_work_fail(ir->work, TS_E_UNSUPP, "a long repetition of what can be empty");
    }
    return ir->work->bad == TS_OK;
}
