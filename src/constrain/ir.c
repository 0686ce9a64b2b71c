/* ir.c - nodes and rules, hash-consed. */
#include "constrain/ir.h"

#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 1 << 20, RULES_MAX = 100000 };

static size_t hash(const ts_ir_node *n) {
    uint64_t h = n->kind * 0x9E3779B97F4A7C15u;
    const uint32_t part[] = {n->a, n->b, n->c};
    for (int i = 0; i < 3; i++) {
        h = (h ^ part[i]) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return (size_t)h;
}

static bool rehash(ts_ir *ir) {
    const size_t slots = ir->slots ? ir->slots * 2 : 256;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(ir->work);
    for (size_t i = 0; i < ir->n; i++) {
        size_t h = hash(&ir->node[i]) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(ir->slot);
    ir->slot = slot;
    ir->slots = slots;
    return true;
}

static ts_node intern(ts_ir *ir, ts_ir_node n) {
    if (!ts_work_pay(ir->work, 1) || (ir->n * 2 >= ir->slots && !rehash(ir))) return TS_NODE_NEVER;
    size_t h = hash(&n) & (ir->slots - 1);
    for (; ir->slot[h]; h = (h + 1) & (ir->slots - 1)) {
        const ts_ir_node *x = &ir->node[ir->slot[h] - 1];
        if (x->kind == n.kind && x->a == n.a && x->b == n.b && x->c == n.c) return ir->slot[h] - 1;
    }
    if (ir->n >= NODES_MAX) ts_work_fail(ir->work, TS_E_LIMIT, "it is larger than %d nodes", NODES_MAX);
    if (ir->work->bad || !ts_work_grow(ir->work, (void **)&ir->node, &ir->cap, ir->n + 1, sizeof n))
        return TS_NODE_NEVER;
    ir->slot[h] = (uint32_t)ir->n + 1;
    ir->node[ir->n] = n;
    return (ts_node)ir->n++;
}

static ts_rx with_space(ts_rxs *p, char c) {
    return ts_rx_cat(p, ts_rx_text(p, &c, 1), ts_rx_rep(p, ts_rx_text(p, " ", 1), 0, 1));
}

bool ts_ir_init(ts_ir *ir, ts_rxs *rxs, ts_dfa *dfa) {
    *ir = (ts_ir){.work = rxs->work, .rxs = rxs, .dfa = dfa};
    intern(ir, (ts_ir_node){.kind = NODE_EMPTY});
    intern(ir, (ts_ir_node){.kind = NODE_NEVER});
    ir->comma = ts_ir_lex(ir, with_space(rxs, ','));
    ir->colon = with_space(rxs, ':');
    ir->quote = ts_ir_text(ir, "\"");
    ir->open_brace = ts_ir_text(ir, "{");
    ir->close_brace = ts_ir_text(ir, "}");
    ir->open_bracket = ts_ir_text(ir, "[");
    ir->close_bracket = ts_ir_text(ir, "]");
    return ir->work->bad == TS_OK;
}

void ts_ir_free(ts_ir *ir) {
    ts_arena_free(&ir->arena);
    ts_free(ir->node);
    ts_free(ir->list);
    ts_free(ir->slot);
    ts_free(ir->rule);
    ts_free(ir->object);
    ts_free(ir->array);
    *ir = (ts_ir){0};
}

ts_node ts_ir_lex(ts_ir *ir, ts_rx e) {
    if (e == TS_RX_NEVER) return TS_NODE_NEVER;
    return e == TS_RX_EMPTY ? TS_NODE_EMPTY : intern(ir, (ts_ir_node){.kind = NODE_LEX, .a = e});
}

ts_node ts_ir_text(ts_ir *ir, const char *text) {
    return ts_ir_lex(ir, ts_rx_text(ir->rxs, text, strlen(text)));
}

static bool as_rx(const ts_ir *ir, ts_node n, ts_rx *e) {
    *e = n == TS_NODE_EMPTY ? TS_RX_EMPTY : ir->node[n].a;
    return n == TS_NODE_EMPTY || ir->node[n].kind == NODE_LEX;
}

ts_node ts_ir_cat(ts_ir *ir, ts_node a, ts_node b) {
    ts_rx x, y;
    if (a == TS_NODE_NEVER || b == TS_NODE_NEVER) return TS_NODE_NEVER;
    if (as_rx(ir, a, &x) && as_rx(ir, b, &y)) return ts_ir_lex(ir, ts_rx_cat(ir->rxs, x, y));
    if (a == TS_NODE_EMPTY) return b;
    if (b == TS_NODE_EMPTY) return a;
    if (ir->node[b].kind == NODE_CAT && as_rx(ir, a, &x) && as_rx(ir, ir->node[b].a, &y)) {
        const ts_node rest = ir->node[b].b;
        return ts_ir_cat(ir, ts_ir_lex(ir, ts_rx_cat(ir->rxs, x, y)), rest);
    }
    return intern(ir, (ts_ir_node){.kind = NODE_CAT, .a = a, .b = b});
}

static int by_number(const void *x, const void *y) {
    const ts_node a = *(const ts_node *)x, b = *(const ts_node *)y;
    return a < b ? -1 : a > b;
}

ts_node ts_ir_alt(ts_ir *ir, const ts_node *list, size_t n) {
    const size_t mark = ir->rxs->n_tmp;
    ts_node *copy = ts_alloc(n + 1, sizeof *copy), r = TS_NODE_NEVER;
    size_t k = 0;
    ts_rx e;
    if (!copy) return ts_work_nomem(ir->work), TS_NODE_NEVER;
    for (size_t i = 0; i < n; i++) {
        if (as_rx(ir, list[i], &e)) ts_rx_push(ir->rxs, e);
        else if (list[i] != TS_NODE_NEVER) copy[k++] = list[i];
    }
    const ts_node lex = ts_ir_lex(ir, ts_rx_alt_from(ir->rxs, mark));
    if (lex != TS_NODE_NEVER) copy[k++] = lex;
    if (k) qsort(copy, k, sizeof *copy, by_number);
    size_t m = 0;
    for (size_t i = 0; i < k; i++)
        if (i == 0 || copy[i] != copy[m - 1]) copy[m++] = copy[i];
    if (m == 1) r = copy[0];
    else if (m && ts_work_pay(ir->work, m) &&
             ts_work_grow(ir->work, (void **)&ir->list, &ir->list_cap, ir->n_list + m, sizeof *ir->list)) {
        memcpy(ir->list + ir->n_list, copy, m * sizeof *copy);
        r = intern(ir, (ts_ir_node){.kind = NODE_ALT, .a = (uint32_t)ir->n_list, .b = (uint32_t)m});
        ir->n_list += m;
    }
    ts_free(copy);
    return r;
}

ts_node ts_ir_rep(ts_ir *ir, ts_node a, uint32_t min, uint32_t max) {
    ts_rx e;
    if (a == TS_NODE_NEVER) return min ? TS_NODE_NEVER : TS_NODE_EMPTY;
    if (as_rx(ir, a, &e)) return ts_ir_lex(ir, ts_rx_rep(ir->rxs, e, min, max));
    if (max == 0) return TS_NODE_EMPTY;
    if (min == 1 && max == 1) return a;
    return intern(ir, (ts_ir_node){.kind = NODE_REP, .a = a, .b = min, .c = max});
}

ts_node ts_ir_token(ts_ir *ir, int32_t id) {
    return intern(ir, (ts_ir_node){.kind = NODE_TOKEN, .a = (uint32_t)id});
}

uint32_t ts_ir_rule(ts_ir *ir) {
    if (ir->n_rules >= RULES_MAX) ts_work_fail(ir->work, TS_E_LIMIT, "it has more than %d rules", RULES_MAX);
    if (ir->work->bad || !ts_work_grow(ir->work, (void **)&ir->rule, &ir->rules_cap, ir->n_rules + 1, sizeof *ir->rule))
        return 0;
    ir->rule[ir->n_rules] = TS_NODE_NEVER;
    return (uint32_t)ir->n_rules++;
}

ts_node ts_ir_call(ts_ir *ir, uint32_t rule) {
    return intern(ir, (ts_ir_node){.kind = NODE_CALL, .a = rule});
}

ts_node ts_ir_object_new(ts_ir *ir, const ts_ir_object *o) {
    if (!ts_work_grow(ir->work, (void **)&ir->object, &ir->objects_cap, ir->n_objects + 1, sizeof *o))
        return TS_NODE_NEVER;
    const uint32_t i = (uint32_t)ir->n_objects++;
    ir->object[i] = *o;
    ir->object[i].key = intern(ir, (ts_ir_node){.kind = NODE_KEY, .a = i});
    return intern(ir, (ts_ir_node){.kind = NODE_OBJECT, .a = i});
}

ts_node ts_ir_array_new(ts_ir *ir, const ts_ir_array *a) {
    if (!ts_work_grow(ir->work, (void **)&ir->array, &ir->arrays_cap, ir->n_arrays + 1, sizeof *a))
        return TS_NODE_NEVER;
    ir->array[ir->n_arrays] = *a;
    return intern(ir, (ts_ir_node){.kind = NODE_ARRAY, .a = (uint32_t)ir->n_arrays++});
}
