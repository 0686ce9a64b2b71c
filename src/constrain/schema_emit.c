/* schema_emit.c - the rule of a list of alternatives. */
#include "constrain/chars.h"
#include "constrain/schema.h"

#include <stdlib.h>

enum { PATTERNS_MAX = 5 };

/* ---- values as they are written -------------------------------------------------------------------------------- */

static ts_rx spell_string(ts_schema *s, ts_span text) {
    ts_buf b = {0};
    ts_rx e = TS_RX_NEVER;
    if (ts_buf_putc(&b, '"') && ts_json_spell(&b, text.data, text.len) && ts_buf_putc(&b, '"'))
        e = ts_rx_text(s->rxs, b.data, b.len);
    else ts_work_nomem(s->work);
    ts_buf_free(&b);
    return e;
}

static ts_rx spell_number(ts_schema *s, ts_span text) {
    ts_decimal d;
    ts_buf b = {0};
    ts_rx e = TS_RX_NEVER; /* what no double holds is not written */
    if (!ts_decimal_parse(&d, &s->arena, s->work, text) || d.huge) return e;
    if (ts_decimal_spell(&b, &d)) e = ts_rx_text(s->rxs, b.data, b.len);
    else ts_work_nomem(s->work);
    ts_buf_free(&b);
    return e;
}

/* The texts of one value: with a space behind commas and colons or without. Values nest at most as deep as JSON may. */
static ts_rx spell(ts_schema *s, const ts_jval *v) {
    ts_rxs *p = s->rxs;
    if (!ts_work_pay(s->work, 1)) return TS_RX_NEVER;
    switch (v->type) {
    case TS_JSON_NULL: return ts_rx_text(p, "null", 4);
    case TS_JSON_BOOL: return v->truth ? ts_rx_text(p, "true", 4) : ts_rx_text(p, "false", 5);
    case TS_JSON_STRING: return spell_string(s, v->text);
    case TS_JSON_NUMBER: return spell_number(s, v->text);
    default: break;
    }
    const bool object = v->type == TS_JSON_OBJECT;
    const ts_rx comma = s->a->ir.node[s->a->ir.comma].a;
    ts_rx *part = ts_schema_alloc(s, v->n + 1, sizeof *part), e = ts_rx_text(p, object ? "}" : "]", 1);
    if (!part) return TS_RX_NEVER;
    uint32_t n = 0;
    for (const ts_jval *x = v->first; x; x = x->next) {
        part[n] = spell(s, x);
        if (object) part[n] = ts_rx_cat(p, spell_string(s, x->key), ts_rx_cat(p, s->a->ir.colon, part[n]));
        if (n) part[n] = ts_rx_cat(p, comma, part[n]);
        n++;
    }
    while (n) e = ts_rx_cat(p, part[--n], e);
    return ts_rx_cat(p, ts_rx_text(p, object ? "{" : "[", 1), e);
}

/* The values of an enum that fit the rest of the alternative. Scalars are sorted into one trie: there may be many. */
static ts_rx emit_values(ts_schema *s, const ts_spec *c) {
    const ts_jval *list = c->values->v; /* any of the lists will do: a value has to be in all */
    ts_rx_word *word = ts_schema_alloc(s, list->n, sizeof *word);
    const size_t mark = s->rxs->n_tmp;
    size_t n = 0;
    if (!word) return TS_RX_NEVER;
    for (const ts_jval *x = list->first; x && s->work->bad == TS_OK; x = x->next) {
        ts_buf b = {0};
        if (!ts_spec_fits(s, x, c, true)) continue;
        if (x->type != TS_JSON_STRING) {
            ts_rx_push(s->rxs, spell(s, x));
            continue;
        }
        if (ts_buf_putc(&b, '"') && ts_json_spell(&b, x->text.data, x->text.len) && ts_buf_putc(&b, '"')) {
            const char *copy = ts_arena_strndup(&s->arena, b.data, b.len);
            if (copy) word[n++] = (ts_rx_word){.text = (const uint8_t *)copy, .len = b.len};
            else ts_work_nomem(s->work);
        } else {
            ts_work_nomem(s->work);
        }
        ts_buf_free(&b);
    }
    ts_rx_push(s->rxs, ts_rx_words(s->rxs, word, n));
    return ts_rx_alt_from(s->rxs, mark);
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static ts_rx emit_number(ts_schema *s, const ts_spec *c, uint8_t types) {
    ts_range r = c->range;
    r.integer = !(types & TYPE_FRAC);
    const bool is_free = !r.has_low && !r.has_high && !c->multiples;
    if (is_free && s->free_number[r.integer] != TS_RX_NEVER) return s->free_number[r.integer];
    ts_rx e = ts_range_rx(s->rxs, &r, !c->multiples);
    if (is_free) s->free_number[r.integer] = e;
    for (const ts_vals *m = c->multiples; m; m = m->next) {
        ts_decimal d;
        if (!ts_decimal_parse(&d, &s->arena, s->work, m->v->text)) return TS_RX_NEVER;
        e = ts_rx_and(s->rxs, e, ts_multiple_rx(s->rxs, &d));
    }
    return e;
}

/* ---- arrays ---------------------------------------------------------------------------------------------------- */

static ts_node emit_array(ts_schema *s, const ts_spec *c) {
    ts_ir_array a = {.n = ts_spec_prefix(c), .min = c->min_items, .max = c->max_items};
    if (a.min > a.max) return TS_NODE_NEVER;
    a.prefix = ts_arena_alloc(&s->a->ir.arena, a.n + 1, sizeof *a.prefix);
    if (!a.prefix) return ts_work_nomem(s->work), TS_NODE_NEVER;
    for (uint32_t i = 0; i < a.n && ts_work_pay(s->work, 1 + a.n / 8); i++) {
        const ts_schema_set set = ts_spec_item(s, c, i);
        a.prefix[i] = ts_schema_call(s, &set);
    }
    const ts_schema_set rest = ts_spec_item(s, c, UINT32_MAX);
    a.rest = ts_schema_call(s, &rest);
    if (s->work->bad) return TS_NODE_NEVER;
    return ts_ir_cat(&s->a->ir, s->a->ir.open_bracket, ts_ir_array_new(&s->a->ir, &a));
}

/* ---- objects --------------------------------------------------------------------------------------------------- */

typedef struct names { /* declared ones, in the order of output */
    ts_span *v;
    uint32_t n;
    size_t cap;
    uint32_t *slot; /* hash table: number + 1 */
    size_t slots;
} names;

static size_t hash_name(ts_span k) {
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < k.len; i++) h = (h ^ k.data[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 31);
}

static void add_name(ts_schema *s, names *all, ts_span key) {
    if (all->n * 2 >= all->slots) {
        const size_t slots = all->slots ? all->slots * 2 : 32;
        uint32_t *slot = ts_schema_alloc(s, slots, sizeof *slot);
        if (!slot) return;
        for (uint32_t i = 0; i < all->n; i++) {
            size_t h = hash_name(all->v[i]) & (slots - 1);
            while (slot[h]) h = (h + 1) & (slots - 1);
            slot[h] = i + 1;
        }
        all->slot = slot;
        all->slots = slots;
    }
    size_t h = hash_name(key) & (all->slots - 1);
    for (; all->slot[h]; h = (h + 1) & (all->slots - 1)) {
        const ts_span x = all->v[all->slot[h] - 1];
        if (x.len == key.len && memcmp(x.data, key.data, key.len) == 0) return;
    }
    if (!ts_work_grow(s->work, (void **)&all->v, &all->cap, all->n + 1, sizeof *all->v)) return;
    all->v[all->n++] = key;
    all->slot[h] = all->n;
}

/* Lists grow at the front: what was written first is at their end. */
static void add_properties(ts_schema *s, names *all, const ts_object_part *o) {
    size_t n = 0;
    for (const ts_object_part *x = o; x; x = x->next) n++;
    const ts_object_part **part = ts_schema_alloc(s, n, sizeof *part);
    if (!part) return;
    for (const ts_object_part *x = o; x; x = x->next) part[--n] = x;
    for (const ts_object_part *x = o; x; x = x->next, n++)
        for (const ts_jval *v = part[n]->properties ? part[n]->properties->first : NULL; v; v = v->next)
            add_name(s, all, v->key);
}

static void add_required(ts_schema *s, names *all, const ts_vals *lists) {
    for (const ts_vals *l = lists; l; l = l->next)
        for (const ts_jval *x = l->v->first; x; x = x->next) add_name(s, all, x->text);
}

static ts_node tail(ts_schema *s, const ts_schema_set *set) {
    if (set->never) return TS_NODE_NEVER;
    return ts_ir_cat(&s->a->ir, ts_ir_lex(&s->a->ir, s->a->ir.colon), ts_schema_call(s, set));
}

/* One declared name. */
static void emit_property(ts_schema *s, const ts_spec *c, ts_span key, ts_ir_prop *out) {
    const ts_schema_set set = ts_spec_member(s, c, key, true, NULL);
    ts_buf spelled = {0};
    char *copy = NULL;
    if (ts_json_spell(&spelled, key.data, key.len)) copy = ts_arena_strndup(&s->a->ir.arena, spelled.data, spelled.len);
    if (!copy) ts_work_nomem(s->work);
    *out = (ts_ir_prop){.name = {(const uint8_t *)copy, spelled.len}, .required = ts_spec_requires(c, key),
                        .tail = tail(s, &set)};
    ts_buf_free(&spelled);
}

/* Which pattern of which part; an undeclared key matches some of them and no others. */
typedef struct pattern {
    const ts_object_part *part;
    const ts_jval *v;
    ts_rx rx;
} pattern;

/* Undeclared keys that match exactly the patterns of `mask`. */
static void emit_other(ts_schema *s, const ts_spec *c, const pattern *pat, uint32_t n, uint32_t mask, ts_rx key,
                       ts_ir_object *o) {
    ts_schema_set set = {0};
    size_t cap = 0;
    for (uint32_t i = 0; i < n; i++) {
        key = ts_rx_and(s->rxs, key, mask >> i & 1 ? pat[i].rx : ts_rx_not(s->rxs, pat[i].rx));
        if (mask >> i & 1) ts_schema_set_add(s, &set, &cap, pat[i].v);
    }
    for (const ts_object_part *x = c->objects; x; x = x->next) {
        bool matched = false;
        for (uint32_t i = 0; i < n; i++) matched |= pat[i].part == x && mask >> i & 1;
        if (!matched && x->additional) ts_schema_set_add(s, &set, &cap, x->additional);
    }
    ts_schema_set_sort(&set);
    if (set.never || (mask == 0 && ts_spec_house_closed(c))) return;
    const ts_rx quote = ts_rx_text(s->rxs, "\"", 1);
    const ts_node node = ts_ir_lex(&s->a->ir, ts_rx_cat(s->rxs, quote, ts_rx_cat(s->rxs, key, quote)));
    if (node != TS_NODE_NEVER) o->other[o->n_other++] = (ts_ir_other){.key = node, .tail = tail(s, &set)};
}

static bool find_patterns(ts_schema *s, const ts_spec *c, pattern *pat, uint32_t *n) {
    *n = 0;
    for (const ts_object_part *x = c->objects; x; x = x->next)
        for (const ts_jval *v = x->patterns ? x->patterns->first : NULL; v; v = v->next) {
            if (*n == PATTERNS_MAX)
                return ts_schema_refuse(s, TS_E_LIMIT, x->patterns, "more than %d patterns of names", PATTERNS_MAX);
            pat[(*n)++] = (pattern){.part = x, .v = v, .rx = ts_schema_pattern(s, v, v->key)};
            if (s->work->bad) return false;
        }
    return true;
}

static bool emit_others(ts_schema *s, const ts_spec *c, const names *all, ts_ir_object *o) {
    pattern pat[PATTERNS_MAX];
    uint32_t n;
    if (!find_patterns(s, c, pat, &n)) return false;
    o->other = ts_arena_alloc(&s->a->ir.arena, 1u << n, sizeof *o->other);
    ts_rx_word *word = ts_schema_alloc(s, all->n, sizeof *word);
    if (!o->other || !word) return ts_work_nomem(s->work);
    for (uint32_t i = 0; i < all->n; i++) word[i] = (ts_rx_word){o->prop[i].name.data, o->prop[i].name.len};
    ts_rx key = ts_spec_names(s, c);
    if (all->n) key = ts_rx_and(s->rxs, key, ts_rx_not(s->rxs, ts_rx_words(s->rxs, word, all->n)));
    for (uint32_t mask = 0; mask < 1u << n; mask++) emit_other(s, c, pat, n, mask, key, o);
    return s->work->bad == TS_OK;
}

static ts_node emit_object(ts_schema *s, const ts_spec *c) {
    names all = {0};
    ts_ir_object o = {.min = c->min_members, .max = c->max_members};
    ts_node node = TS_NODE_NEVER;
    add_properties(s, &all, c->objects);
    add_required(s, &all, c->required);
    o.n = all.n;
    o.prop = ts_arena_alloc(&s->a->ir.arena, all.n + 1u, sizeof *o.prop);
    if (!o.prop) ts_work_nomem(s->work);
    for (uint32_t i = 0; i < all.n && ts_work_pay(s->work, 1 + all.n / 8); i++)
        emit_property(s, c, all.v[i], &o.prop[i]);
    if (s->work->bad == TS_OK && emit_others(s, c, &all, &o)) {
        /* a key may come twice among undeclared ones, and then it counts once for whoever reads it */
        if (o.n_other && o.min > 1)
            ts_schema_refuse(s, TS_E_UNSUPP, c->objects && c->objects->additional ? c->objects->additional : NULL,
                             "minProperties larger than 1 of an object with undeclared keys is not kept");
        else node = ts_ir_cat(&s->a->ir, s->a->ir.open_brace, ts_ir_object_new(&s->a->ir, &o));
    }
    ts_free(all.v);
    return s->work->bad ? TS_NODE_NEVER : node;
}

/* ---- alternatives ---------------------------------------------------------------------------------------------- */

ts_node ts_spec_emit(ts_schema *s, const ts_specs *specs) {
    ts_node *list = ts_schema_alloc(s, 3 * specs->n + 1, sizeof *list);
    size_t n = 0;
    if (!list) return TS_NODE_NEVER;
    for (size_t i = 0; i < specs->n && s->work->bad == TS_OK; i++) {
        const ts_spec *c = &specs->v[i];
        const uint8_t types = ts_spec_types(c, true);
        if (c->values) {
            list[n++] = ts_ir_lex(&s->a->ir, emit_values(s, c));
            continue;
        }
        const size_t mark = s->rxs->n_tmp;
        if (types & TYPE_NULL) ts_rx_push(s->rxs, ts_rx_text(s->rxs, "null", 4));
        if (types & TYPE_BOOL) ts_rx_push(s->rxs, ts_rx_text(s->rxs, "true", 4));
        if (types & TYPE_BOOL) ts_rx_push(s->rxs, ts_rx_text(s->rxs, "false", 5));
        if (types & TYPE_NUMBER) ts_rx_push(s->rxs, emit_number(s, c, types));
        if (types & TYPE_STRING) ts_rx_push(s->rxs, ts_spec_string(s, c));
        list[n++] = ts_ir_lex(&s->a->ir, ts_rx_alt_from(s->rxs, mark));
        if (types & TYPE_ARRAY) list[n++] = emit_array(s, c);
        if (types & TYPE_OBJECT) list[n++] = emit_object(s, c);
    }
    return s->work->bad ? TS_NODE_NEVER : ts_ir_alt(&s->a->ir, list, n);
}
