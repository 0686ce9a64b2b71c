/* machine.c - stepping through the rules. */
#include "constrain/machine.h"

#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 8 << 20, PLACES_MAX = 2 << 20, LIVE_MAX = 4096 };

static size_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static size_t hash_cell(const ts_cell *c) {
    return mix(mix(mix(0, c->node), c->parent), c->reg);
}

static bool rehash_cells(ts_machine *m) {
    const size_t slots = m->slots ? m->slots * 2 : 1024;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(m->work);
    for (size_t i = 0; i < m->n; i++) {
        size_t h = hash_cell(&m->cell[i]) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(m->slot);
    m->slot = slot;
    m->slots = slots;
    return true;
}

static uint32_t intern(ts_machine *m, uint32_t node, uint64_t reg, uint32_t parent) {
    const ts_cell c = {.node = node, .parent = parent, .reg = reg};
    if (m->n * 2 >= m->slots && !rehash_cells(m)) return 0;
    size_t h = hash_cell(&c) & (m->slots - 1);
    for (; m->slot[h]; h = (h + 1) & (m->slots - 1)) {
        const ts_cell *x = &m->cell[m->slot[h] - 1];
        if (x->node == node && x->parent == parent && x->reg == reg) return m->slot[h] - 1;
    }
    if (m->n >= CELLS_MAX) ts_work_fail(m->work, TS_E_LIMIT, "it takes more memory than is allowed");
    if (m->work->bad || !ts_work_grow(m->work, (void **)&m->cell, &m->cap, m->n + 1, sizeof *m->cell) ||
        !ts_work_grow(m->work, (void **)&m->stamp, &m->stamp_cap, m->n + 1, sizeof *m->stamp))
        return 0;
    m->slot[h] = (uint32_t)m->n + 1;
    m->cell[m->n] = c;
    m->stamp[m->n] = 0;
    return (uint32_t)m->n++;
}

/* ---- sets of cells --------------------------------------------------------------------------------------------- */

static size_t hash_members(const uint32_t *v, size_t n) {
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = mix(h, v[i]);
    return (size_t)h;
}

static bool rehash_places(ts_machine *m) {
    const size_t slots = m->place_slots ? m->place_slots * 2 : 1024;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(m->work);
    for (size_t i = 0; i < m->n_places; i++) {
        size_t h = hash_members(m->member + m->place[i].first, m->place[i].n) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(m->place_slot);
    m->place_slot = slot;
    m->place_slots = slots;
    return true;
}

/* The place of the sorted cells v[0..n). */
static uint32_t place_of(ts_machine *m, const uint32_t *v, size_t n) {
    if (m->n_places * 2 >= m->place_slots && !rehash_places(m)) return 0;
    size_t h = hash_members(v, n) & (m->place_slots - 1);
    for (; m->place_slot[h]; h = (h + 1) & (m->place_slots - 1)) {
        const ts_place *x = &m->place[m->place_slot[h] - 1];
        if (x->n == n && (n == 0 || memcmp(m->member + x->first, v, n * sizeof *v) == 0)) return m->place_slot[h] - 1;
    }
    if (m->n_places >= PLACES_MAX) ts_work_fail(m->work, TS_E_LIMIT, "it takes more memory than is allowed");
    if (m->work->bad ||
        !ts_work_grow(m->work, (void **)&m->place, &m->places_cap, m->n_places + 1, sizeof *m->place) ||
        !ts_work_grow(m->work, (void **)&m->member, &m->members_cap, m->n_members + n, sizeof *m->member))
        return 0;
    ts_place p = {.first = (uint32_t)m->n_members, .n = (uint32_t)n, .accepts = n && v[0] == 0};
    for (size_t i = 0; i < n; i++) p.tokens |= v[i] && m->ir->node[m->cell[v[i]].node].kind == NODE_TOKEN;
    if (n) memcpy(m->member + m->n_members, v, n * sizeof *v);
    m->n_members += n;
    m->place[m->n_places] = p;
    m->place_slot[h] = (uint32_t)m->n_places + 1;
    return (uint32_t)m->n_places++;
}

uint32_t ts_machine_cell(ts_machine *m, const ts_cell *c) {
    return intern(m, c->node, c->reg, c->parent);
}

uint32_t ts_machine_place(ts_machine *m, const uint32_t *cell, size_t n) {
    return place_of(m, cell, n);
}

bool ts_machine_init(ts_machine *m, ts_ir *ir) {
    *m = (ts_machine){.ir = ir, .dfa = ir->dfa, .work = ir->work};
    intern(m, TS_NODE_EMPTY, UINT64_MAX, 0);
    place_of(m, NULL, 0);
    return m->work->bad == TS_OK;
}

void ts_machine_free(ts_machine *m) {
    ts_free(m->cell);
    ts_free(m->stamp);
    ts_free(m->slot);
    ts_free(m->place);
    ts_free(m->member);
    ts_free(m->place_slot);
    ts_free(m->todo);
    ts_free(m->found);
    ts_arena_free(&m->rows);
    *m = (ts_machine){0};
}

/* ---- from a cell to the cells that wait for a byte ------------------------------------------------------------- */

static void later(ts_machine *m, uint32_t cell) {
    if (m->stamp[cell] == m->epoch) return;
    m->stamp[cell] = m->epoch;
    if (ts_work_grow(m->work, (void **)&m->todo, &m->todo_cap, m->n_todo + 1, sizeof *m->todo))
        m->todo[m->n_todo++] = cell;
}

/* Begin a node; `parent` goes on behind it. Calls and sequences need no cell of their own on the way in. */
static void begin(ts_machine *m, ts_node node, uint64_t reg, uint32_t parent) {
    const ts_ir_node *x = &m->ir->node[node];
    while (x->productive && (x->kind == NODE_CALL || x->kind == NODE_CAT) && ts_work_pay(m->work, 1)) {
        if (x->kind == NODE_CAT) parent = intern(m, x->b, 0, parent);
        node = x->kind == NODE_CAT ? x->a : m->ir->rule[x->a];
        x = &m->ir->node[node];
    }
    if (x->kind == NODE_LEX && x->productive && reg == 0) reg = ts_dfa_start(m->dfa, x->a);
    if (node == TS_NODE_EMPTY) later(m, parent);
    else if (m->ir->node[node].productive) later(m, intern(m, node, reg, parent));
}

static void wait_for_byte(ts_machine *m, uint32_t cell) {
    if (m->n_found >= LIVE_MAX) ts_work_fail(m->work, TS_E_LIMIT, "a text can be read in too many ways");
    else if (ts_work_grow(m->work, (void **)&m->found, &m->found_cap, m->n_found + 1, sizeof *m->found))
        m->found[m->n_found++] = cell;
}

/* An object's register: the next declared property that may come, how many members there are, and whether one has to
 * follow now (a comma was read). */
typedef struct members {
    uint32_t next, count;
    bool comma;
} members;
enum { COUNT_MAX = (1u << 31) - 1 };

static members unpack(uint64_t reg) {
    return (members){.next = (uint32_t)reg, .count = (uint32_t)(reg >> 32) & COUNT_MAX, .comma = reg >> 63};
}

static uint64_t pack(members s) {
    return s.next | (uint64_t)s.count << 32 | (uint64_t)s.comma << 63;
}

static uint64_t after_member(const ts_ir_object *o, members s, uint32_t next) {
    const uint32_t enough = o->max != TS_RX_INF ? COUNT_MAX : o->min ? o->min : 1; /* no need to count on */
    return pack((members){.next = next, .count = s.count < enough ? s.count + 1 : s.count});
}

/* Which declared properties may come: [*first, *last]. false: none. */
static bool declared(const ts_ir_object *o, members s, uint32_t *first, uint32_t *last) {
    if (s.next >= o->n || s.count >= o->max || o->n_left[s.next] == 0) return false;
    *first = s.next;
    *last = o->required[s.next] < o->n ? o->required[s.next] : o->n - 1;
    if (o->max - s.count <= o->n_required[s.next]) *first = *last; /* there is room for the required ones alone */
    if (!o->open && o->min > s.count + 1)
        while (*last > *first && s.count + 1 + o->n_left[*last + 1] < o->min) --*last;
    return true;
}

static bool undeclared(const ts_ir_object *o, members s) {
    return o->open && s.count < o->max && (s.next >= o->n || o->n_required[s.next] == 0);
}

static void object_goes_on(ts_machine *m, const ts_cell c) {
    const ts_ir_object *o = &m->ir->object[m->ir->node[c.node].a];
    const members s = unpack(c.reg);
    uint32_t first, last;
    const bool some = declared(o, s, &first, &last), other = undeclared(o, s);
    if (!s.comma && s.count >= o->min && (s.next >= o->n || o->n_required[s.next] == 0))
        begin(m, m->ir->close_brace, 0, c.parent);
    if (s.count && !s.comma) {
        members more = s;
        more.comma = true;
        if (some || other) begin(m, m->ir->comma, 0, intern(m, c.node, pack(more), c.parent));
        return;
    }
    members plain = s;
    plain.comma = false;
    if (some) { /* the range of names, at depth 0: all of them */
        const uint32_t back = intern(m, c.node, pack(plain), c.parent);
        begin(m, m->ir->quote, 0, intern(m, o->key, (uint64_t)o->n_sorted << 20, back));
    }
    if (other) {
        const uint32_t back = intern(m, c.node, after_member(o, plain, o->n), c.parent);
        for (uint32_t i = 0; i < o->n_other; i++)
            if (m->ir->node[o->other[i].tail].productive)
                begin(m, o->other[i].key, 0, intern(m, o->other[i].tail, 0, back));
    }
}

static void array_goes_on(ts_machine *m, const ts_cell c) {
    const ts_ir_array *a = &m->ir->array[m->ir->node[c.node].a];
    const uint32_t count = (uint32_t)c.reg;
    const bool comma = c.reg >> 32 & 1;
    if (!comma && count >= a->min) begin(m, m->ir->close_bracket, 0, c.parent);
    if (count >= a->fit) return;
    if (count && !comma) {
        begin(m, m->ir->comma, 0, intern(m, c.node, count | 1ull << 32, c.parent));
        return;
    }
    const uint32_t most = a->n > a->min ? a->n : a->min, enough = most ? most : 1; /* no need to count on */
    const uint32_t next = a->fit == TS_RX_INF && count >= enough ? count : count + 1;
    begin(m, count < a->n ? a->prefix[count] : a->rest, 0, intern(m, c.node, next, c.parent));
}

static void go_on(ts_machine *m, uint32_t cell) {
    const ts_cell c = m->cell[cell];
    const ts_ir_node x = m->ir->node[c.node];
    if (cell == 0) {
        wait_for_byte(m, 0);
        return;
    }
    switch (x.kind) {
    case NODE_EMPTY: later(m, c.parent); return;
    case NODE_CAT: begin(m, x.a, 0, intern(m, x.b, 0, c.parent)); return;
    case NODE_CALL: begin(m, m->ir->rule[x.a], 0, c.parent); return;
    case NODE_ALT:
        for (uint32_t i = 0; i < x.b; i++) begin(m, m->ir->list[x.a + i], 0, c.parent);
        return;
    case NODE_REP: {
        const uint32_t count = (uint32_t)c.reg, min = m->ir->node[x.a].nullable ? 0 : x.b;
        if (count >= min) later(m, c.parent);
        if (count < x.c && m->ir->node[x.a].productive)
            begin(m, x.a, 0, intern(m, c.node, x.c == TS_RX_INF && count >= min ? count : count + 1, c.parent));
        return;
    }
    case NODE_LEX: {
        const uint32_t q = c.reg ? (uint32_t)c.reg : ts_dfa_start(m->dfa, x.a);
        if (q == TS_DFA_DEAD) return;
        if (m->dfa->state[q].accepts) later(m, c.parent);
        if (!m->dfa->state[q].ends) wait_for_byte(m, c.reg ? cell : intern(m, c.node, q, c.parent));
        return;
    }
    case NODE_OBJECT: object_goes_on(m, c); return;
    case NODE_ARRAY: array_goes_on(m, c); return;
    case NODE_TOKEN:
    case NODE_KEY: wait_for_byte(m, cell); return;
    default: return;
    }
}

static void start_set(ts_machine *m) {
    m->n_todo = m->n_found = 0;
    if (++m->epoch == 0) {
        memset(m->stamp, 0, m->n * sizeof *m->stamp);
        m->epoch = 1;
    }
}

static int by_number(const void *x, const void *y) {
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static uint32_t end_set(ts_machine *m) {
    while (m->n_todo && ts_work_pay(m->work, 1)) go_on(m, m->todo[--m->n_todo]);
    if (m->work->bad) return 0;
    if (m->n_found > 1) qsort(m->found, m->n_found, sizeof *m->found, by_number);
    size_t k = 0;
    for (size_t i = 0; i < m->n_found; i++)
        if (k == 0 || m->found[k - 1] != m->found[i]) m->found[k++] = m->found[i];
    return place_of(m, m->found, k);
}

uint32_t ts_machine_start(ts_machine *m, ts_node root) {
    start_set(m);
    begin(m, root, 0, 0);
    return end_set(m);
}

uint32_t ts_machine_part(ts_machine *m, uint32_t place, const bool *keep) {
    const ts_place p = m->place[place];
    start_set(m);
    for (uint32_t i = 0; i < p.n; i++)
        if (keep[i]) wait_for_byte(m, m->member[p.first + i]);
    return m->work->bad ? 0 : place_of(m, m->found, m->n_found);
}

/* A byte of a declared key: the names that still fit are sorted[low..high), and agree up to `depth`. */
static void step_key(ts_machine *m, const ts_cell c, uint8_t b) {
    const ts_ir_object *o = &m->ir->object[m->ir->node[c.node].a];
    const ts_cell back = m->cell[c.parent];
    const members s = unpack(back.reg);
    uint32_t low = c.reg & 0xFFFFF, high = c.reg >> 20 & 0xFFFFF, first, last;
    const uint32_t depth = (uint32_t)(c.reg >> 40);
    if (!declared(o, s, &first, &last)) return;
    const uint32_t i = o->sorted[low]; /* the shortest name comes first */
    if (b == '"' && o->prop[i].name.len == depth) {
        if (i >= first && i <= last)
            begin(m, o->prop[i].tail, 0, intern(m, back.node, after_member(o, s, i + 1), back.parent));
        return;
    }
    while (low < high && (o->prop[o->sorted[low]].name.len <= depth || o->prop[o->sorted[low]].name.data[depth] < b))
        low++;
    while (low < high && o->prop[o->sorted[high - 1]].name.data[depth] > b) high--;
    bool fits = false;
    for (uint32_t k = low; k < high && !fits; k++) fits = o->sorted[k] >= first && o->sorted[k] <= last;
    ts_work_pay(m->work, 1 + (c.reg >> 20 & 0xFFFFF) / 16);
    if (fits) later(m, intern(m, c.node, low | (uint64_t)high << 20 | (uint64_t)(depth + 1) << 40, c.parent));
}

/* Remember where a byte leads: the first one beside the place, from the second on in a row. */
static void remember(ts_machine *m, uint32_t place, uint8_t b, uint32_t to) {
    ts_place *p = &m->place[place];
    if (!p->last) {
        p->last = to + 1;
        p->last_byte = b;
        return;
    }
    if (!p->row) {
        p->row = ts_arena_calloc(&m->rows, 256, sizeof *p->row);
        if (!p->row) {
            ts_work_nomem(m->work);
            return;
        }
        p->row[p->last_byte] = p->last;
    }
    p->row[b] = to + 1;
}

uint32_t ts_machine_step(ts_machine *m, uint32_t place, uint8_t b) {
    const ts_place p = m->place[place];
    if (p.last && p.last_byte == b) return p.last - 1;
    start_set(m);
    for (uint32_t i = 0; i < p.n && m->work->bad == TS_OK; i++) {
        const uint32_t cell = m->member[p.first + i];
        const ts_cell c = m->cell[cell];
        if (cell == 0) continue;
        if (m->ir->node[c.node].kind == NODE_KEY) step_key(m, c, b);
        if (m->ir->node[c.node].kind != NODE_LEX) continue;
        const uint32_t q = ts_dfa_next(m->dfa, (uint32_t)c.reg, b);
        if (q != TS_DFA_DEAD) later(m, intern(m, c.node, q, c.parent));
    }
    const uint32_t to = m->n_todo ? end_set(m) : 0;
    if (m->work->bad) return 0;
    remember(m, place, b, to);
    return to;
}

uint32_t ts_machine_token(ts_machine *m, uint32_t place, int32_t id) {
    const ts_place p = m->place[place];
    if (!p.tokens) return 0;
    start_set(m);
    for (uint32_t i = 0; i < p.n; i++) {
        const ts_cell c = m->cell[m->member[p.first + i]];
        const ts_ir_node *x = &m->ir->node[c.node];
        if (x->kind == NODE_TOKEN && x->a == (uint32_t)id) later(m, c.parent);
    }
    return end_set(m);
}
