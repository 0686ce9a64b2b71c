/* schema_merge.c - a set of schemas as a list of alternatives: references and allOf merged, anyOf and oneOf decided. */
#include "constrain/formats.h"
#include "constrain/regex.h"
#include "constrain/schema.h"

#include <stdlib.h>

enum { SPECS_MAX = 4096, CHOICES_MAX = 500 };

/* A schema that is still to be merged, and those that led to it on the same level. */
typedef struct item {
    const ts_jval *v;
    const struct item *via;
    const struct item *next; /* of the list it stands in */
} item;

typedef struct choice {
    const ts_jval *list;
    bool one;
    const item *via;
    const struct choice *next;
} choice;

typedef struct merging {
    ts_schema *s;
    ts_spec spec;
    const item *todo, *done;
    const choice *choices;
    const item *at; /* whose keywords are being read */
} merging;

/* ---- keywords -------------------------------------------------------------------------------------------------- */

static bool add_item(merging *m, const ts_jval *v, const ts_jval *reference) {
    if (!ts_schema_is(m->s, v)) return false;
    for (const item *x = m->at; x; x = x->via)
        if (!ts_work_pay(m->s->work, 1)) return false;
        else if (x->v == v) return ts_schema_refuse(m->s, TS_E_UNSUPP, reference, "it refers to itself, to no value");
    item *x = ts_schema_alloc(m->s, 1, sizeof *x);
    if (!x) return false;
    *x = (item){.v = v, .via = m->at, .next = m->todo};
    m->todo = x;
    return true;
}

static bool key_type(merging *m, const ts_jval *v) {
    static const struct {
        const char *name;
        uint8_t types;
    } known[] = {{"null", TYPE_NULL}, {"boolean", TYPE_BOOL}, {"integer", TYPE_INT}, {"number", TYPE_NUMBER},
                 {"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT}};
    const bool list = v->type == TS_JSON_ARRAY;
    uint8_t types = 0;
    for (const ts_jval *x = list ? v->first : v; x; x = list ? x->next : NULL) {
        uint8_t t = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (ts_jval_is(x, known[i].name)) t = known[i].types;
        if (!t) return ts_schema_refuse(m->s, TS_E_FORMAT, x, "it is no type of JSON Schema");
        types |= t;
    }
    if (!types) return ts_schema_refuse(m->s, TS_E_FORMAT, v, "there is no type in the list");
    m->spec.types &= types;
    m->spec.typed = true;
    return true;
}

static bool key_number(merging *m, const ts_jval *v, ts_decimal *out) {
    return ts_schema_need(m->s, v, TS_JSON_NUMBER, "a number") &&
           (ts_decimal_parse(out, &m->s->arena, m->s->work, v->text) ||
            ts_schema_refuse(m->s, TS_E_LIMIT, v, "%s", m->s->work->why));
}

static bool key_bound(merging *m, const ts_jval *v, bool low, bool open) {
    ts_decimal d;
    ts_range *r = &m->spec.range;
    if (!key_number(m, v, &d)) return false;
    bool *has = low ? &r->has_low : &r->has_high, *is_open = low ? &r->low_open : &r->high_open;
    ts_decimal *bound = low ? &r->low : &r->high;
    const int c = *has ? ts_decimal_cmp(&d, bound) : low ? 1 : -1;
    if (c == 0) *is_open |= open;
    else if ((c > 0) == low) {
        *bound = d;
        *is_open = open;
    }
    *has = true;
    return true;
}

static bool key_multiple(merging *m, const ts_jval *v) {
    ts_decimal d;
    if (!key_number(m, v, &d)) return false;
    if (d.negative || ts_decimal_is_zero(&d))
        return ts_schema_refuse(m->s, TS_E_FORMAT, v, "it has to be larger than 0");
    if (ts_multiple_rx(m->s->rxs, &d) == TS_RX_NEVER)
        return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "%s", m->s->work->why);
    m->spec.multiples = ts_vals_cons(m->s, v, m->spec.multiples);
    return true;
}

/* A count: 0, 1, 2 ... Too large a maximum is none, too large a minimum is refused. */
static bool key_count(merging *m, const ts_jval *v, bool max, uint32_t *bound) {
    ts_decimal d;
    uint32_t n;
    if (!key_number(m, v, &d)) return false;
    if (!ts_decimal_count(&d, 1u << 31, &n)) return ts_schema_refuse(m->s, TS_E_FORMAT, v, "it has to be 0, 1, 2 ...");
    if (n == 1u << 31 && !max) return ts_schema_refuse(m->s, TS_E_LIMIT, v, "it is too large");
    if (n == 1u << 31) n = TS_RX_INF;
    if (max ? n < *bound : n > *bound) *bound = n;
    return true;
}

ts_rx ts_schema_pattern(ts_schema *s, const ts_jval *at, ts_span pattern) {
    size_t where;
    if (s->work->bad) return TS_RX_NEVER;
    const ts_rx e = ts_regex(s->rxs, pattern.data, pattern.len, true, TS_SPELL_JSON, &where);
    if (s->work->bad && s->work->bad != TS_E_NOMEM) {
        const ts_status why = s->work->bad;
        s->work->bad = TS_OK;
        char text[sizeof s->work->why];
        memcpy(text, s->work->why, sizeof text);
        ts_schema_refuse(s, why, at, "%s (byte %zu of the pattern)", text, where);
    }
    return e;
}

static void and_string(merging *m, ts_rx e) {
    m->spec.string = m->spec.string == TS_RX_ANY ? e : ts_rx_and(m->s->rxs, m->spec.string, e);
}

static bool key_pattern(merging *m, const ts_jval *v) {
    if (!ts_schema_need(m->s, v, TS_JSON_STRING, "a pattern")) return false;
    and_string(m, ts_schema_pattern(m->s, v, v->text));
    return m->s->work->bad == TS_OK;
}

static bool key_format(merging *m, const ts_jval *v) {
    ts_rx e = TS_RX_ANY;
    if (!ts_schema_need(m->s, v, TS_JSON_STRING, "text")) return false;
    switch (ts_format_rx(m->s->rxs, v->text, &e)) {
    case TS_FORMAT_REFUSED: return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "this format is not kept");
    case TS_FORMAT_KEPT:
        and_string(m, e);
        m->spec.spoken |= TYPE_STRING;
        return m->s->work->bad == TS_OK;
    default: return true;
    }
}

static bool key_required(merging *m, const ts_jval *v) {
    if (!ts_schema_need(m->s, v, TS_JSON_ARRAY, "a list of names")) return false;
    for (const ts_jval *x = v->first; x; x = x->next)
        if (!ts_schema_need(m->s, x, TS_JSON_STRING, "a name")) return false;
    m->spec.required = ts_vals_cons(m->s, v, m->spec.required);
    return true;
}

static bool key_enum(merging *m, const ts_jval *v) {
    if (!ts_schema_need(m->s, v, TS_JSON_ARRAY, "a list of values")) return false;
    if (!v->first) return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "there is no value in the list");
    m->spec.values = ts_vals_cons(m->s, v, m->spec.values);
    return true;
}

static bool key_const(merging *m, const ts_jval *v) {
    ts_jval *list = ts_schema_alloc(m->s, 2, sizeof *list); /* an enum of one */
    if (!list) return false;
    list[1] = *v;
    list[1].next = NULL;
    list[0] = (ts_jval){.type = TS_JSON_ARRAY, .first = &list[1], .n = 1, .source = v->source};
    m->spec.values = ts_vals_cons(m->s, list, m->spec.values);
    return true;
}

static bool is_list_of_schemas(merging *m, const ts_jval *v) {
    if (!ts_schema_need(m->s, v, TS_JSON_ARRAY, "a list of schemas")) return false;
    if (!v->first) return ts_schema_refuse(m->s, TS_E_FORMAT, v, "there is no schema in the list");
    for (const ts_jval *x = v->first; x; x = x->next)
        if (!ts_schema_is(m->s, x)) return false;
    return true;
}

static bool key_choice(merging *m, const ts_jval *v, bool one) {
    if (!is_list_of_schemas(m, v)) return false;
    choice *c = ts_schema_alloc(m->s, 1, sizeof *c);
    if (!c) return false;
    *c = (choice){.list = v, .one = one, .via = m->at, .next = m->choices};
    m->choices = c;
    return true;
}

static bool key_all_of(merging *m, const ts_jval *v) {
    if (!is_list_of_schemas(m, v)) return false;
    const ts_jval **all = ts_schema_alloc(m->s, v->n, sizeof(ts_jval *));
    uint32_t n = 0;
    if (!all) return false;
    for (const ts_jval *x = v->first; x; x = x->next) all[n++] = x;
    while (n--) /* what waits is a stack */
        if (!add_item(m, all[n], all[n])) return false;
    return true;
}

static bool key_ref(merging *m, const ts_jval *v) {
    const ts_jval *to = ts_schema_resolve(m->s, v);
    return to && add_item(m, to, v);
}

static bool key_schemas(merging *m, const ts_jval *v) {
    if (!ts_schema_need(m->s, v, TS_JSON_OBJECT, "an object of schemas")) return false;
    for (const ts_jval *x = v->first; x; x = x->next)
        if (!ts_schema_is(m->s, x)) return false;
    return true;
}

/* ---- the table of keywords ------------------------------------------------------------------------------------- */

typedef enum keyword {
    K_NONE, K_TYPE, K_ENUM, K_CONST, K_MINIMUM, K_MAXIMUM, K_EXCL_MINIMUM, K_EXCL_MAXIMUM, K_MULTIPLE, K_MIN_LENGTH,
    K_MAX_LENGTH, K_PATTERN, K_FORMAT, K_ITEMS, K_PREFIX, K_MIN_ITEMS, K_MAX_ITEMS, K_PROPERTIES, K_PATTERNS,
    K_ADDITIONAL, K_REQUIRED, K_MIN_MEMBERS, K_MAX_MEMBERS, K_NAMES, K_ANY_OF, K_ONE_OF, K_ALL_OF, K_REF, K_NOT,
    K_UNIQUE, K_ID, K_UNEVALUATED_ITEMS, K_UNEVALUATED_MEMBERS, K_DEFS, K_REFUSED, K_IGNORED,
} keyword;

static const struct known {
    const char *name;
    keyword key;
    uint8_t spoken; /* the types that it is about */
} known[] = {
    {"type", K_TYPE, 0},
    {"enum", K_ENUM, 0},
    {"const", K_CONST, 0},
    {"minimum", K_MINIMUM, TYPE_NUMBER},
    {"maximum", K_MAXIMUM, TYPE_NUMBER},
    {"exclusiveMinimum", K_EXCL_MINIMUM, TYPE_NUMBER},
    {"exclusiveMaximum", K_EXCL_MAXIMUM, TYPE_NUMBER},
    {"multipleOf", K_MULTIPLE, TYPE_NUMBER},
    {"minLength", K_MIN_LENGTH, TYPE_STRING},
    {"maxLength", K_MAX_LENGTH, TYPE_STRING},
    {"pattern", K_PATTERN, TYPE_STRING},
    {"format", K_FORMAT, 0},
    {"items", K_ITEMS, TYPE_ARRAY},
    {"prefixItems", K_PREFIX, TYPE_ARRAY},
    {"minItems", K_MIN_ITEMS, TYPE_ARRAY},
    {"maxItems", K_MAX_ITEMS, TYPE_ARRAY},
    {"uniqueItems", K_UNIQUE, 0},
    {"properties", K_PROPERTIES, TYPE_OBJECT},
    {"patternProperties", K_PATTERNS, TYPE_OBJECT},
    {"additionalProperties", K_ADDITIONAL, TYPE_OBJECT},
    {"required", K_REQUIRED, TYPE_OBJECT},
    {"minProperties", K_MIN_MEMBERS, TYPE_OBJECT},
    {"maxProperties", K_MAX_MEMBERS, TYPE_OBJECT},
    {"propertyNames", K_NAMES, TYPE_OBJECT},
    {"anyOf", K_ANY_OF, 0},
    {"oneOf", K_ONE_OF, 0},
    {"allOf", K_ALL_OF, 0},
    {"$ref", K_REF, 0},
    {"not", K_NOT, 0},
    {"$id", K_ID, 0},
    {"unevaluatedItems", K_UNEVALUATED_ITEMS, TYPE_ARRAY},
    {"unevaluatedProperties", K_UNEVALUATED_MEMBERS, TYPE_OBJECT},
    {"$defs", K_DEFS, 0},
    {"definitions", K_DEFS, 0},
    {"if", K_REFUSED, 0},
    {"contains", K_REFUSED, 0},
    {"additionalItems", K_REFUSED, 0},
    {"dependentRequired", K_REFUSED, 0},
    {"dependentSchemas", K_REFUSED, 0},
    {"dependencies", K_REFUSED, 0},
    {"$dynamicRef", K_REFUSED, 0},
    {"$recursiveRef", K_REFUSED, 0},
    {"then", K_IGNORED, 0},
    {"else", K_IGNORED, 0},
    {"minContains", K_IGNORED, 0},
    {"maxContains", K_IGNORED, 0},
    {"title", K_IGNORED, 0},
    {"description", K_IGNORED, 0},
    {"default", K_IGNORED, 0},
    {"examples", K_IGNORED, 0},
    {"example", K_IGNORED, 0},
    {"deprecated", K_IGNORED, 0},
    {"readOnly", K_IGNORED, 0},
    {"writeOnly", K_IGNORED, 0},
    {"nullable", K_IGNORED, 0},
    {"discriminator", K_IGNORED, 0},
    {"strict", K_IGNORED, 0},
    {"name", K_IGNORED, 0},
    {"$schema", K_IGNORED, 0},
    {"$comment", K_IGNORED, 0},
    {"$anchor", K_IGNORED, 0},
    {"$dynamicAnchor", K_IGNORED, 0},
    {"$vocabulary", K_IGNORED, 0},
    {"id", K_IGNORED, 0},
    {"contentEncoding", K_IGNORED, 0},
    {"contentMediaType", K_IGNORED, 0},
    {"contentSchema", K_IGNORED, 0},
};
enum { N_KNOWN = sizeof known / sizeof *known };

/* One letter is missing, too many, another, or two have changed places. */
static bool looks_like(ts_span word, const char *name) {
    const size_t n = strlen(name), m = word.len;
    const char *w = (const char *)word.data;
    if (n < 4 || n > m + 1 || m > n + 1) return false;
    size_t i = 0, back = 0;
    while (i < n && i < m && w[i] == name[i]) i++;
    while (back + i < n && back + i < m && w[m - 1 - back] == name[n - 1 - back]) back++;
    const size_t rest_w = m - i - back, rest_n = n - i - back;
    if (rest_w <= 1 && rest_n <= 1) return true;
    return rest_w == 2 && rest_n == 2 && w[i] == name[i + 1] && w[i + 1] == name[i];
}

static const struct known *find(ts_schema *s, const ts_jval *v) {
    for (size_t i = 0; i < N_KNOWN; i++)
        if (ts_span_is(v->key, known[i].name)) return &known[i];
    static const struct known unknown = {.name = "", .key = K_IGNORED};
    if (v->key.len && (v->key.data[0] == '_' || ts_work_pay(s->work, 4) == false)) return &unknown;
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known[i].key != K_IGNORED && looks_like(v->key, known[i].name)) {
            ts_schema_refuse(s, TS_E_FORMAT, v, "this is no keyword; %s is", known[i].name);
            return &unknown;
        }
    const bool own = v->key.len > 1 && !memcmp(v->key.data, "x-", 2);
    if (!own && v->key.len && !s->unknown) s->unknown = v;
    return &unknown;
}

/* unevaluated...: false, where the schema itself says all there is, is additional...: false. */
static bool key_unevaluated(merging *m, const ts_jval *schema, const ts_jval *v, bool *closed) {
    static const char *const other[] = {"$ref", "allOf", "anyOf", "oneOf", "if", "not", "contains", "$dynamicRef",
                                        "dependentSchemas", "then", "else"};
    if (!ts_schema_is(m->s, v)) return false;
    if (v->type == TS_JSON_BOOL && v->truth) return true;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (ts_jval_get(schema, other[i]))
            return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "this keyword is not kept beside %s", other[i]);
    *closed = true;
    return true;
}

typedef struct parts {
    ts_object_part object;
    ts_array_part array;
    const ts_jval *other_items, *other_members; /* unevaluated */
} parts;

static bool read_keyword(merging *m, const ts_jval *schema, const ts_jval *v, parts *p) {
    ts_spec *c = &m->spec;
    bool closed = false;
    const struct known *k = find(m->s, v);
    if (m->s->work->bad) return false;
    c->spoken |= k->spoken;
    switch (k->key) {
    case K_TYPE: return key_type(m, v);
    case K_ENUM: return key_enum(m, v);
    case K_CONST: return key_const(m, v);
    case K_MINIMUM: return key_bound(m, v, true, false);
    case K_MAXIMUM: return key_bound(m, v, false, false);
    case K_EXCL_MINIMUM: return key_bound(m, v, true, true);
    case K_EXCL_MAXIMUM: return key_bound(m, v, false, true);
    case K_MULTIPLE: return key_multiple(m, v);
    case K_MIN_LENGTH: return key_count(m, v, false, &c->min_length);
    case K_MAX_LENGTH: return key_count(m, v, true, &c->max_length);
    case K_PATTERN: return key_pattern(m, v);
    case K_FORMAT: return key_format(m, v);
    case K_ITEMS: p->array.items = v; return ts_schema_is(m->s, v);
    case K_PREFIX: p->array.prefix = v; return is_list_of_schemas(m, v);
    case K_MIN_ITEMS: return key_count(m, v, false, &c->min_items);
    case K_MAX_ITEMS: return key_count(m, v, true, &c->max_items);
    case K_PROPERTIES: p->object.properties = v; return key_schemas(m, v);
    case K_PATTERNS: p->object.patterns = v; return key_schemas(m, v);
    case K_ADDITIONAL: p->object.additional = v; return ts_schema_is(m->s, v);
    case K_REQUIRED: return key_required(m, v);
    case K_MIN_MEMBERS: return key_count(m, v, false, &c->min_members);
    case K_MAX_MEMBERS: return key_count(m, v, true, &c->max_members);
    case K_NAMES: c->names = ts_vals_cons(m->s, v, c->names); return ts_schema_is(m->s, v);
    case K_ANY_OF: return key_choice(m, v, false);
    case K_ONE_OF: return key_choice(m, v, true);
    case K_ALL_OF: return key_all_of(m, v);
    case K_REF: return key_ref(m, v);
    case K_DEFS: return ts_schema_need(m->s, v, TS_JSON_OBJECT, "an object of schemas");
    case K_NOT:
        if (!ts_schema_is(m->s, v)) return false;
        if (v->type == TS_JSON_BOOL || v->n == 0) {
            if (v->type == TS_JSON_OBJECT || v->truth) c->types = 0;
            return true;
        }
        return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "this keyword is not kept");
    case K_UNIQUE:
        if (!ts_schema_need(m->s, v, TS_JSON_BOOL, "true or false")) return false;
        return !v->truth || ts_schema_refuse(m->s, TS_E_UNSUPP, v, "this keyword cannot be kept by an automaton");
    case K_ID:
        return schema == m->s->root || v->type != TS_JSON_STRING ||
               ts_schema_refuse(m->s, TS_E_UNSUPP, v, "a schema inside with an address of its own");
    case K_UNEVALUATED_ITEMS:
        if (!key_unevaluated(m, schema, v, &closed)) return false;
        if (closed) p->other_items = v;
        return true;
    case K_UNEVALUATED_MEMBERS:
        if (!key_unevaluated(m, schema, v, &closed)) return false;
        if (closed) p->other_members = v;
        return true;
    case K_REFUSED: return ts_schema_refuse(m->s, TS_E_UNSUPP, v, "this keyword is not kept");
    default: return true;
    }
}

static bool read_schema(merging *m, const ts_jval *schema) {
    parts p = {0};
    if (schema->type == TS_JSON_BOOL) {
        if (!schema->truth) m->spec.types = 0;
        return true;
    }
    for (const ts_jval *v = schema->first; v; v = v->next)
        if (!ts_work_pay(m->s->work, 1) || !read_keyword(m, schema, v, &p)) return false;
    if (!p.object.additional) p.object.additional = p.other_members;
    if (!p.array.items) p.array.items = p.other_items;
    if (p.object.properties || p.object.patterns || p.object.additional) {
        ts_object_part *o = ts_schema_alloc(m->s, 1, sizeof *o);
        if (!o) return false;
        *o = p.object;
        o->next = m->spec.objects;
        m->spec.objects = o;
    }
    if (p.array.prefix || p.array.items) {
        ts_array_part *a = ts_schema_alloc(m->s, 1, sizeof *a);
        if (!a) return false;
        *a = p.array;
        a->next = m->spec.arrays;
        m->spec.arrays = a;
    }
    return true;
}

/* ---- alternatives ---------------------------------------------------------------------------------------------- */

static bool is_done(merging *m, const ts_jval *v) {
    for (const item *x = m->done; x; x = x->next) {
        if (!ts_work_pay(m->s->work, 1)) return true;
        if (x->v == v) return true;
    }
    return false;
}

/* Merge what waits, then take the branches of the next choice one after the other. */
static bool expand(merging m, ts_specs *out, int depth) {
    ts_schema *s = m.s;
    if (depth > CHOICES_MAX) return ts_schema_refuse(s, TS_E_LIMIT, NULL, "more than %d choices at once", CHOICES_MAX);
    while (m.todo) {
        const item *x = m.todo;
        m.todo = x->next;
        if (is_done(&m, x->v)) continue;
        item *done = ts_schema_alloc(s, 1, sizeof *done);
        if (!done) return false;
        *done = (item){.v = x->v, .next = m.done};
        m.done = done;
        m.at = x;
        if (!read_schema(&m, x->v)) return false;
    }
    if (!ts_work_pay(s->work, 1)) return false;
    if (m.spec.types == 0) return true;
    if (!m.choices) {
        if (out->n >= SPECS_MAX)
            return ts_schema_refuse(s, TS_E_LIMIT, NULL, "more than %d alternatives at once", SPECS_MAX);
        if (!ts_work_grow(s->work, (void **)&out->v, &out->cap, out->n + 1, sizeof *out->v)) return false;
        out->v[out->n++] = m.spec;
        return true;
    }
    const choice *c = m.choices;
    for (const ts_jval *branch = c->list->first; branch; branch = branch->next) {
        merging next = m;
        next.choices = c->next;
        next.at = c->via;
        if (c->one) {
            ts_one_of *o = ts_schema_alloc(s, 1, sizeof *o);
            if (!o) return false;
            *o = (ts_one_of){.list = c->list, .branch = branch, .next = m.spec.one_of};
            next.spec.one_of = o;
        }
        if (!add_item(&next, branch, branch) || !expand(next, out, depth + 1)) return false;
    }
    return true;
}

bool ts_schema_expand(ts_schema *s, const ts_schema_set *set, ts_specs *out) {
    merging m = {.s = s, .spec = {.narrow = s->a->narrow, .types = TYPE_ALL, .max_length = TS_RX_INF,
                                  .max_items = TS_RX_INF, .max_members = TS_RX_INF, .string = TS_RX_ANY}};
    if (set->never) return true;
    for (uint32_t i = set->n; i-- > 0;)
        if (!add_item(&m, set->v[i], set->v[i])) return false;
    return expand(m, out, 0);
}

/* ---- what an alternative says ---------------------------------------------------------------------------------- */

uint8_t ts_spec_types(const ts_spec *p, bool emitted) {
    const bool narrow = emitted && p->narrow && !p->typed && p->spoken && !p->values;
    return narrow ? p->types & p->spoken : p->types;
}

ts_rx ts_spec_string(ts_schema *s, const ts_spec *p) {
    const ts_rx quote = ts_rx_text(s->rxs, "\"", 1);
    ts_rx body = p->string;
    if (p->min_length > p->max_length) return TS_RX_NEVER;
    if (body == TS_RX_ANY || p->min_length || p->max_length != TS_RX_INF) {
        const ts_rx length = ts_rx_rep(s->rxs, s->any_char, p->min_length, p->max_length);
        body = body == TS_RX_ANY ? length : ts_rx_and(s->rxs, body, length);
    }
    return ts_rx_cat(s->rxs, quote, ts_rx_cat(s->rxs, body, quote));
}

bool ts_spec_requires(const ts_spec *p, ts_span key) {
    for (const ts_vals *l = p->required; l; l = l->next)
        for (const ts_jval *x = l->v->first; x; x = x->next)
            if (x->text.len == key.len && memcmp(x->text.data, key.data, key.len) == 0) return true;
    return false;
}

bool ts_spec_house_closed(const ts_spec *p) {
    bool named = false;
    for (const ts_object_part *o = p->objects; o; o = o->next) {
        if (o->additional || !p->narrow) return false;
        named |= o->properties != NULL;
    }
    return named;
}

ts_schema_set ts_spec_member(ts_schema *s, const ts_spec *p, ts_span key, bool emitted, bool *given) {
    ts_schema_set set = {0};
    size_t cap = 0;
    ts_buf spelled = {0};
    bool any = false, pattern_any = false;
    if (!ts_json_spell(&spelled, key.data, key.len)) ts_work_nomem(s->work);
    for (const ts_object_part *o = p->objects; o && s->work->bad == TS_OK; o = o->next) {
        bool found = false;
        for (const ts_jval *x = o->properties ? o->properties->first : NULL; x && !found; x = x->next)
            if (x->key.len == key.len && memcmp(x->key.data, key.data, key.len) == 0) {
                ts_schema_set_add(s, &set, &cap, x);
                found = any = true;
            }
        for (const ts_jval *x = o->patterns ? o->patterns->first : NULL; x; x = x->next)
            if (ts_dfa_matches(&s->a->dfa, ts_schema_pattern(s, x, x->key), spelled.data, spelled.len)) {
                ts_schema_set_add(s, &set, &cap, x);
                found = pattern_any = true;
            }
        if (!found && o->additional) ts_schema_set_add(s, &set, &cap, o->additional);
    }
    if (p->names && !ts_dfa_matches(&s->a->dfa, ts_spec_names(s, p), spelled.data, spelled.len)) set.never = true;
    if (emitted && !any && !pattern_any && ts_spec_house_closed(p) && !ts_spec_requires(p, key)) set.never = true;
    ts_buf_free(&spelled);
    ts_schema_set_sort(&set);
    if (given) *given = any || pattern_any;
    return set;
}

uint32_t ts_spec_prefix(const ts_spec *p) {
    uint32_t n = 0;
    for (const ts_array_part *a = p->arrays; a; a = a->next)
        if (a->prefix && a->prefix->n > n) n = a->prefix->n;
    return n;
}

ts_schema_set ts_spec_item(ts_schema *s, const ts_spec *p, uint32_t i) {
    ts_schema_set set = {0};
    size_t cap = 0;
    for (const ts_array_part *a = p->arrays; a; a = a->next) {
        const ts_jval *x = a->prefix ? a->prefix->first : NULL;
        for (uint32_t k = i; x && k; k--) x = x->next;
        if (!x) x = a->items;
        if (x) ts_schema_set_add(s, &set, &cap, x);
    }
    ts_schema_set_sort(&set);
    return set;
}

ts_rx ts_spec_names(ts_schema *s, const ts_spec *p) {
    const ts_rx char_any = ts_rx_rep(s->rxs, s->any_char, 0, TS_RX_INF);
    ts_rx all = char_any;
    for (const ts_vals *l = p->names; l; l = l->next) {
        ts_schema_set set = {0};
        size_t cap = 0;
        ts_specs specs = {0};
        if (!ts_schema_set_add(s, &set, &cap, l->v) || !ts_schema_expand(s, &set, &specs)) return TS_RX_NEVER;
        ts_rx one = TS_RX_NEVER;
        for (size_t i = 0; i < specs.n; i++) {
            const ts_spec *x = &specs.v[i];
            if (x->values || x->one_of) {
                ts_schema_refuse(s, TS_E_UNSUPP, l->v, "names with enum, const or oneOf are not kept");
                break;
            }
            if (!(x->types & TYPE_STRING) || x->min_length > x->max_length) continue;
            ts_rx e = ts_rx_rep(s->rxs, s->any_char, x->min_length, x->max_length);
            if (x->string != TS_RX_ANY) e = e == char_any ? x->string : ts_rx_and(s->rxs, e, x->string);
            one = ts_rx_alt(s->rxs, one, e);
        }
        ts_free(specs.v);
        all = all == char_any ? one : ts_rx_and(s->rxs, all, one);
    }
    return s->work->bad ? TS_RX_NEVER : all;
}
