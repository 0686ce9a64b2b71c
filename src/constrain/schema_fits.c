/* schema_fits.c - whether a value satisfies schemas, and whether two alternatives have no value in common. */
#include "constrain/chars.h"
#include "constrain/schema.h"

enum { COMPARE_DEPTH = 5 };

/* ---- values ---------------------------------------------------------------------------------------------------- */

static bool same_text(ts_span a, ts_span b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool same(ts_schema *s, const ts_jval *a, const ts_jval *b) {
    if (!ts_work_pay(s->work, 1) || a->type != b->type) return false;
    switch (a->type) {
    case TS_JSON_NULL: return true;
    case TS_JSON_BOOL: return a->truth == b->truth;
    case TS_JSON_STRING: return same_text(a->text, b->text);
    case TS_JSON_NUMBER: {
        ts_decimal x, y;
        return ts_decimal_parse(&x, &s->arena, s->work, a->text) && ts_decimal_parse(&y, &s->arena, s->work, b->text) &&
               !x.huge && !y.huge && ts_decimal_cmp(&x, &y) == 0;
    }
    default: break;
    }
    if (a->n != b->n) return false;
    const ts_jval *y = b->first;
    for (const ts_jval *x = a->first; x; x = x->next) {
        if (a->type == TS_JSON_OBJECT)
            for (y = b->first; y && !same_text(y->key, x->key); y = y->next) {}
        if (!y || !same(s, x, y)) return false;
        y = y->next;
    }
    return true;
}

static bool number_fits(ts_schema *s, const ts_jval *v, const ts_spec *p) {
    ts_decimal d;
    if (!ts_decimal_parse(&d, &s->arena, s->work, v->text)) return false;
    if (!(p->types & (ts_decimal_is_int(&d) ? TYPE_INT : TYPE_FRAC))) return false;
    const ts_range *r = &p->range;
    const int low = r->has_low ? ts_decimal_cmp(&d, &r->low) : 1;
    const int high = r->has_high ? ts_decimal_cmp(&d, &r->high) : -1;
    if (low < 0 || (low == 0 && r->low_open) || high > 0 || (high == 0 && r->high_open)) return false;
    for (const ts_vals *m = p->multiples; m; m = m->next) {
        ts_decimal by;
        if (!ts_decimal_parse(&by, &s->arena, s->work, m->v->text) || !ts_decimal_is_multiple(&d, &by)) return false;
    }
    return true;
}

static bool string_fits(ts_schema *s, const ts_jval *v, const ts_spec *p) {
    uint64_t chars = 0;
    ts_buf b = {0};
    for (size_t i = 0; i < v->text.len; i++) chars += (v->text.data[i] & 0xC0) != 0x80;
    if (chars < p->min_length || (p->max_length != TS_RX_INF && chars > p->max_length)) return false;
    if (p->string == TS_RX_ANY) return true;
    if (!ts_json_spell(&b, v->text.data, v->text.len)) return ts_work_nomem(s->work);
    const bool ok = ts_dfa_matches(&s->a->dfa, p->string, b.data, b.len);
    ts_buf_free(&b);
    return ok;
}

static bool items_fit(ts_schema *s, const ts_jval *v, const ts_spec *p) {
    if (v->n < p->min_items || v->n > p->max_items) return false;
    uint32_t i = 0;
    for (const ts_jval *x = v->first; x && p->arrays; x = x->next, i++) {
        const ts_schema_set set = ts_spec_item(s, p, i);
        if (!ts_schema_fits(s, x, &set)) return false;
    }
    return true;
}

static bool members_fit(ts_schema *s, const ts_jval *v, const ts_spec *p) {
    if (v->n < p->min_members || v->n > p->max_members) return false;
    for (const ts_vals *l = p->required; l; l = l->next)
        for (const ts_jval *name = l->v->first; name; name = name->next) {
            const ts_jval *x = v->first;
            while (x && !same_text(x->key, name->text)) x = x->next;
            if (!x) return false;
        }
    if (!p->objects && !p->names) return true;
    for (const ts_jval *x = v->first; x; x = x->next) {
        const ts_schema_set set = ts_spec_member(s, p, x->key, false, NULL);
        if (!ts_schema_fits(s, x, &set)) return false;
    }
    return true;
}

/* But for enum. */
static bool rest_fits(ts_schema *s, const ts_jval *v, const ts_spec *p) {
    switch (v->type) {
    case TS_JSON_NULL: return p->types & TYPE_NULL;
    case TS_JSON_BOOL: return p->types & TYPE_BOOL;
    case TS_JSON_NUMBER: return number_fits(s, v, p);
    case TS_JSON_STRING: return p->types & TYPE_STRING && string_fits(s, v, p);
    case TS_JSON_ARRAY: return p->types & TYPE_ARRAY && items_fit(s, v, p);
    default: return p->types & TYPE_OBJECT && members_fit(s, v, p);
    }
}

bool ts_spec_fits(ts_schema *s, const ts_jval *v, const ts_spec *p, bool alone) {
    if (!ts_work_pay(s->work, 1) || !rest_fits(s, v, p)) return false;
    for (const ts_vals *l = p->values; l; l = l->next) {
        bool found = false;
        /* the list that v itself stands in needs no search */
        if (v->source.data >= l->v->source.data && v->source.data < l->v->source.data + l->v->source.len) continue;
        for (const ts_jval *x = l->v->first; x && !found; x = x->next) found = same(s, v, x);
        if (!found) return false;
    }
    for (const ts_one_of *o = alone ? p->one_of : NULL; o; o = o->next)
        for (const ts_jval *b = o->list->first; b; b = b->next) {
            ts_schema_set set = {0};
            size_t cap = 0;
            if (b == o->branch) continue;
            if (!ts_schema_set_add(s, &set, &cap, b)) return false;
            if (ts_schema_fits(s, v, &set)) return false;
        }
    return s->work->bad == TS_OK;
}

bool ts_schema_fits(ts_schema *s, const ts_jval *v, const ts_schema_set *set) {
    if (set->never || s->work->bad) return false;
    if (set->n == 0) return true;
    ts_specs specs = {0};
    bool fits = false;
    if (ts_schema_expand(s, set, &specs))
        for (size_t i = 0; i < specs.n && !fits; i++) fits = ts_spec_fits(s, v, &specs.v[i], true);
    ts_free(specs.v);
    return fits;
}

/* ---- alternatives ---------------------------------------------------------------------------------------------- */

static bool sets_disjoint(ts_schema *s, const ts_schema_set *a, const ts_schema_set *b, bool emitted);

static bool arrays_disjoint(ts_schema *s, const ts_spec *a, const ts_spec *b) {
    if (a->min_items > b->max_items || b->min_items > a->max_items) return true;
    if (a->min_items > a->max_items || b->min_items > b->max_items) return true;
    const uint32_t n = a->min_items > b->min_items ? a->min_items : b->min_items; /* both have so many items */
    for (uint32_t i = 0; i < n && i < 8 && s->work->bad == TS_OK; i++) {
        const ts_schema_set x = ts_spec_item(s, a, i), y = ts_spec_item(s, b, i);
        if (sets_disjoint(s, &x, &y, true)) return true;
    }
    return false;
}

static bool objects_disjoint(ts_schema *s, const ts_spec *a, const ts_spec *b) {
    if (a->min_members > b->max_members || b->min_members > a->max_members) return true;
    for (int side = 0; side < 2; side++)
        for (const ts_vals *l = side ? b->required : a->required; l; l = l->next)
            for (const ts_jval *name = l->v->first; name && s->work->bad == TS_OK; name = name->next) {
                const ts_schema_set x = ts_spec_member(s, a, name->text, true, NULL);
                const ts_schema_set y = ts_spec_member(s, b, name->text, false, NULL);
                if (sets_disjoint(s, &x, &y, true)) return true;
            }
    return false;
}

/* Is it sure that nothing which is emitted for `a` satisfies `b`? */
static bool specs_disjoint(ts_schema *s, const ts_spec *a, const ts_spec *b, bool emitted) {
    uint8_t types = ts_spec_types(a, emitted) & ts_spec_types(b, false);
    if (!ts_work_pay(s->work, 1)) return false;
    if (a->values || b->values) { /* one of few values: all are looked at */
        const ts_spec *few = a->values ? a : b, *other = a->values ? b : a;
        for (const ts_jval *v = few->values->v->first; v; v = v->next)
            if (ts_spec_fits(s, v, few, false) && ts_spec_fits(s, v, other, false)) return false;
        return s->work->bad == TS_OK;
    }
    if (types & TYPE_NUMBER) {
        if (!ts_range_disjoint(&a->range, &b->range)) return false;
        types &= (uint8_t)~TYPE_NUMBER;
    }
    if (types & TYPE_STRING) {
        if (!ts_dfa_disjoint(&s->a->dfa, ts_spec_string(s, a), ts_spec_string(s, b))) return false;
        types &= (uint8_t)~TYPE_STRING;
    }
    if (types & TYPE_ARRAY) {
        if (!arrays_disjoint(s, a, b)) return false;
        types &= (uint8_t)~TYPE_ARRAY;
    }
    if (types & TYPE_OBJECT) {
        if (!objects_disjoint(s, a, b)) return false;
        types &= (uint8_t)~TYPE_OBJECT;
    }
    return types == 0;
}

static bool sets_disjoint(ts_schema *s, const ts_schema_set *a, const ts_schema_set *b, bool emitted) {
    if (a->never || b->never) return true;
    if (a->n == 0 || b->n == 0 || s->depth >= COMPARE_DEPTH) return false;
    ts_specs x = {0}, y = {0};
    s->depth++;
    bool disjoint = ts_schema_expand(s, a, &x) && ts_schema_expand(s, b, &y);
    for (size_t i = 0; i < x.n && disjoint; i++)
        for (size_t k = 0; k < y.n && disjoint; k++) disjoint = specs_disjoint(s, &x.v[i], &y.v[k], emitted);
    s->depth--;
    ts_free(x.v);
    ts_free(y.v);
    return disjoint;
}

bool ts_schema_check_one_of(ts_schema *s, const ts_specs *specs) {
    for (size_t i = 0; i < specs->n; i++) {
        if (specs->v[i].values) continue; /* each value has been looked at by itself */
        for (const ts_one_of *o = specs->v[i].one_of; o; o = o->next)
            for (const ts_jval *b = o->list->first; b; b = b->next) {
                ts_schema_set set = {0};
                ts_specs other = {0};
                size_t cap = 0;
                if (b == o->branch) continue;
                bool ok = ts_schema_set_add(s, &set, &cap, b) && ts_schema_expand(s, &set, &other);
                for (size_t k = 0; k < other.n && ok; k++) ok = specs_disjoint(s, &specs->v[i], &other.v[k], true);
                ts_free(other.v);
                if (!ok)
                    return ts_schema_refuse(s, TS_E_UNSUPP, o->list, "a value may satisfy more than one branch");
            }
    }
    return s->work->bad == TS_OK;
}
