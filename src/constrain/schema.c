/* schema.c - from a schema to rules: the queue of sets of schemas, references, places of refusals. */
#include "constrain/schema.h"

#include "base/log.h"
#include "base/printable.h"
#include "constrain/chars.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NESTING = 256, VALUES_MAX = 1 << 20 };

struct ts_schema_rule {
    ts_schema_set set;
    uint32_t rule;
};

void *ts_schema_alloc(ts_schema *s, size_t n, size_t size) {
    void *p = ts_arena_calloc(&s->arena, n ? n : 1, size);
    if (!p) ts_work_nomem(s->work);
    return p;
}

const ts_vals *ts_vals_cons(ts_schema *s, const ts_jval *v, const ts_vals *next) {
    ts_vals *x = ts_schema_alloc(s, 1, sizeof *x);
    if (!x) return next;
    *x = (ts_vals){.v = v, .next = next};
    return x;
}

/* ---- places ---------------------------------------------------------------------------------------------------- */

static bool put_token(ts_buf *out, ts_span key) {
    bool ok = ts_buf_putc(out, '/');
    for (size_t i = 0; ok && i < key.len; i++) {
        const char c = (char)key.data[i];
        ok = c == '~' ? ts_buf_puts(out, "~0") : c == '/' ? ts_buf_puts(out, "~1") : ts_buf_putc(out, c);
    }
    return ok;
}

/* The way from v down to `at`, appended to out; the source of a value lies in those of what it is part of. */
static bool put_way(ts_buf *out, const ts_jval *v, const ts_jval *at) {
    while (v != at) {
        uint32_t i = 0;
        const ts_jval *x = v->first;
        while (x && x != at && !(at->source.data >= x->source.data &&
                                 at->source.data + at->source.len <= x->source.data + x->source.len)) {
            x = x->next;
            i++;
        }
        if (!x) return true;
        if (v->type == TS_JSON_OBJECT ? !put_token(out, x->key) : !ts_buf_printf(out, "/%u", i)) return false;
        v = x;
    }
    return true;
}

bool ts_schema_refuse(ts_schema *s, ts_status why, const ts_jval *at, const char *fmt, ...) {
    if (s->work->bad) return false;
    char text[sizeof s->work->why];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ts_work_fail(s->work, why, "%s", text);
    ts_buf_clear(&s->a->where);
    if (!ts_buf_puts(&s->a->where, s->prefix) || (at && !put_way(&s->a->where, s->root, at))) ts_work_nomem(s->work);
    return false;
}

bool ts_schema_need(ts_schema *s, const ts_jval *v, ts_json_type type, const char *what) {
    return v->type == type || ts_schema_refuse(s, TS_E_FORMAT, v, "it has to be %s", what);
}

bool ts_schema_is(ts_schema *s, const ts_jval *v) {
    return v->type == TS_JSON_OBJECT || v->type == TS_JSON_BOOL ||
           ts_schema_refuse(s, TS_E_FORMAT, v, "a schema has to be an object, true or false");
}

/* ---- references ------------------------------------------------------------------------------------------------ */

/* One part of a pointer, without %XX, ~0 and ~1, into out; false: a broken escape. */
static bool decode_token(ts_work *w, const uint8_t *p, const uint8_t *end, ts_buf *out) {
    ts_buf_clear(out);
    ts_buf plain = {0};
    bool ok = true;
    for (; ok && p < end; p++) {
        uint8_t c = *p;
        if (c == '%') {
            ok = end - p > 2 && ts_hex_digit(p[1]) >= 0 && ts_hex_digit(p[2]) >= 0;
            if (ok) c = (uint8_t)(ts_hex_digit(p[1]) * 16 + ts_hex_digit(p[2]));
            p += 2;
        }
        ok = ok && (ts_buf_putc(&plain, (char)c) || ts_work_nomem(w));
    }
    for (size_t i = 0; ok && i < plain.len; i++) {
        char c = plain.data[i];
        if (c == '~') {
            const char e = i + 1 < plain.len ? plain.data[++i] : 0;
            ok = e == '0' || e == '1';
            c = e == '1' ? '/' : '~';
        }
        ok = ok && (ts_buf_putc(out, c) || ts_work_nomem(w));
    }
    ts_buf_free(&plain);
    return ok;
}

static const ts_jval *child(const ts_jval *v, ts_span key) {
    if (v->type == TS_JSON_OBJECT) {
        for (const ts_jval *x = v->first; x; x = x->next)
            if (x->key.len == key.len && memcmp(x->key.data, key.data, key.len) == 0) return x;
        return NULL;
    }
    uint64_t i = 0;
    if (v->type != TS_JSON_ARRAY || key.len == 0 || (key.len > 1 && key.data[0] == '0')) return NULL;
    for (size_t k = 0; k < key.len; k++) {
        if (key.data[k] < '0' || key.data[k] > '9' || i > UINT32_MAX) return NULL;
        i = i * 10 + (key.data[k] - '0');
    }
    const ts_jval *x = v->first;
    while (x && i--) x = x->next;
    return x;
}

/* The schema with this $anchor, not looking into values. */
static const ts_jval *find_anchor(ts_schema *s, const ts_jval *v, ts_span name) {
    if (!ts_work_pay(s->work, 1)) return NULL;
    const ts_jval *own = ts_jval_get(v, "$anchor");
    if (own && own->type == TS_JSON_STRING && own->text.len == name.len &&
        memcmp(own->text.data, name.data, name.len) == 0)
        return v;
    for (const ts_jval *x = v->first; x; x = x->next) {
        if (v->type == TS_JSON_OBJECT && (ts_span_is(x->key, "enum") || ts_span_is(x->key, "const"))) continue;
        const ts_jval *found = find_anchor(s, x, name);
        if (found) return found;
    }
    return NULL;
}

const ts_jval *ts_schema_resolve(ts_schema *s, const ts_jval *ref) {
    if (!ts_schema_need(s, ref, TS_JSON_STRING, "text")) return NULL;
    const uint8_t *p = ref->text.data, *end = p + ref->text.len;
    if (p == end || *p != '#') {
        ts_schema_refuse(s, TS_E_UNSUPP, ref, "a reference out of the schema");
        return NULL;
    }
    const ts_jval *v = s->root;
    ts_buf token = {0};
    if (++p < end && *p != '/') {
        const bool ok = decode_token(s->work, p, end, &token);
        v = ok ? find_anchor(s, v, (ts_span){(const uint8_t *)token.data, token.len}) : NULL;
        p = end;
    }
    while (v && p < end) {
        const uint8_t *to = memchr(p + 1, '/', (size_t)(end - p - 1));
        if (!to) to = end;
        const bool ok = decode_token(s->work, p + 1, to, &token) && ts_work_pay(s->work, 1 + v->n / 16);
        v = ok ? child(v, (ts_span){(const uint8_t *)token.data, token.len}) : NULL;
        const ts_jval *id = v && to < end ? ts_jval_get(v, "$id") : NULL;
        if (id && id->type == TS_JSON_STRING) {
            ts_schema_refuse(s, TS_E_UNSUPP, ref, "a reference into a schema with an $id of its own");
            v = NULL;
        }
        p = to;
    }
    ts_buf_free(&token);
    if (!v) ts_schema_refuse(s, TS_E_FORMAT, ref, "there is nothing at this place");
    return v && v->type != TS_JSON_OBJECT && v->type != TS_JSON_BOOL
               ? (ts_schema_refuse(s, TS_E_FORMAT, ref, "what it refers to is no schema"), NULL)
               : v;
}

/* ---- sets ------------------------------------------------------------------------------------------------------ */

bool ts_schema_set_add(ts_schema *s, ts_schema_set *set, size_t *cap, const ts_jval *v) {
    if (!ts_schema_is(s, v)) return false;
    /* a schema that is a reference and nothing else is what it refers to */
    for (int i = 0; i < 64 && v->n == 1 && ts_span_is(v->first->key, "$ref") && v->type == TS_JSON_OBJECT; i++)
        if (!(v = ts_schema_resolve(s, v->first))) return false;
    if (v->type == TS_JSON_BOOL) set->never |= !v->truth;
    if (v->type == TS_JSON_BOOL || v->n == 0) return true;
    if (set->n == *cap) {
        const size_t more = *cap ? *cap * 2 : 4;
        const ts_jval **all = ts_schema_alloc(s, more, sizeof(ts_jval *));
        if (!all) return false;
        for (uint32_t i = 0; i < set->n; i++) all[i] = set->v[i];
        set->v = all;
        *cap = more;
    }
    set->v[set->n++] = v;
    return true;
}

static int by_place(const void *x, const void *y) {
    const uint8_t *a = (*(const ts_jval *const *)x)->source.data, *b = (*(const ts_jval *const *)y)->source.data;
    return a < b ? -1 : a > b;
}

void ts_schema_set_sort(ts_schema_set *set) {
    if (set->n > 1) qsort(set->v, set->n, sizeof *set->v, by_place);
    uint32_t k = 0;
    for (uint32_t i = 0; i < set->n; i++)
        if (k == 0 || set->v[k - 1] != set->v[i]) set->v[k++] = set->v[i];
    set->n = k;
}

static size_t hash(const ts_schema_set *set) {
    uint64_t h = set->n;
    for (uint32_t i = 0; i < set->n; i++) {
        h = (h ^ (uintptr_t)set->v[i]) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return (size_t)h;
}

static bool more_slots(ts_schema *s) {
    const size_t slots = s->slots ? s->slots * 2 : 64;
    uint32_t *slot = ts_calloc(slots, sizeof *slot);
    if (!slot) return ts_work_nomem(s->work);
    for (size_t i = 0; i < s->n_rules; i++) {
        size_t h = hash(&s->rule[i].set) & (slots - 1);
        while (slot[h]) h = (h + 1) & (slots - 1);
        slot[h] = (uint32_t)i + 1;
    }
    ts_free(s->slot);
    s->slot = slot;
    s->slots = slots;
    return true;
}

ts_node ts_schema_call(ts_schema *s, const ts_schema_set *set) {
    if (set->never || s->work->bad) return TS_NODE_NEVER;
    if (s->n_rules * 2 >= s->slots && !more_slots(s)) return TS_NODE_NEVER;
    size_t h = hash(set) & (s->slots - 1);
    for (; s->slot[h]; h = (h + 1) & (s->slots - 1)) {
        const struct ts_schema_rule *r = &s->rule[s->slot[h] - 1];
        if (r->set.n == set->n && (set->n == 0 || memcmp(r->set.v, set->v, set->n * sizeof *set->v) == 0))
            return ts_ir_call(&s->a->ir, r->rule);
    }
    const uint32_t rule = ts_ir_rule(&s->a->ir);
    if (!ts_work_grow(s->work, (void **)&s->rule, &s->rules_cap, s->n_rules + 1, sizeof *s->rule)) return TS_NODE_NEVER;
    s->rule[s->n_rules++] = (struct ts_schema_rule){.set = *set, .rule = rule};
    s->slot[h] = (uint32_t)s->n_rules;
    return ts_ir_call(&s->a->ir, rule);
}

/* Work the queue off. */
static void compile(ts_schema *s) {
    for (; s->done < s->n_rules && s->work->bad == TS_OK; s->done++) {
        const struct ts_schema_rule r = s->rule[s->done];
        ts_specs specs = {0};
        if (ts_schema_expand(s, &r.set, &specs) && ts_schema_check_one_of(s, &specs)) {
            const ts_node body = ts_spec_emit(s, &specs);
            if (s->work->bad == TS_OK) s->a->ir.rule[r.rule] = body;
            if (body == TS_NODE_NEVER && r.set.n && !s->impossible) s->impossible = r.set.v[0];
        }
        ts_free(specs.v);
    }
}

/* The standard has them passed over, but who wrote one may wait for what it says. */
static void note_unknown(const ts_schema *s) {
    ts_buf where = {0};
    char shown[200];
    if (ts_buf_puts(&where, s->prefix) && put_way(&where, s->root, s->unknown)) {
        ts_printable(shown, sizeof shown, where.data, where.len);
        ts_log(TS_LOG_WARN, "schema: %s is no keyword that is known: it says nothing", shown);
    }
    ts_buf_free(&where);
}

ts_node ts_schema_build(ts_automaton *a, const ts_jval *root, const ts_jval *beside, const char *prefix) {
    ts_schema s = {.a = a, .work = &a->work, .rxs = &a->rxs, .root = root, .prefix = prefix};
    ts_schema_set set = {0};
    size_t cap = 0;
    ts_node node = TS_NODE_NEVER;
    s.any_char = ts_chars_any(s.rxs, TS_SPELL_JSON);
    if (ts_schema_set_add(&s, &set, &cap, root) && (!beside || ts_schema_set_add(&s, &set, &cap, beside))) {
        ts_schema_set_sort(&set);
        node = ts_schema_call(&s, &set);
        compile(&s);
    }
    if (a->work.bad && a->where.len == 0) ts_buf_puts(&a->where, prefix) ? (void)0 : (void)ts_work_nomem(&a->work);
    if (s.unknown && a->work.bad == TS_OK) note_unknown(&s);
    if (s.impossible && a->impossible.len == 0 &&
        !(ts_buf_puts(&a->impossible, prefix) && put_way(&a->impossible, root, s.impossible)))
        ts_work_nomem(&a->work);
    ts_arena_free(&s.arena);
    ts_free(s.rule);
    ts_free(s.slot);
    return node;
}

ts_node ts_front_schema(ts_automaton *a, const char *text, size_t len) {
    ts_arena arena = {0};
    const ts_jval *root;
    ts_err err;
    ts_node node = TS_NODE_NEVER;
    const ts_jlimits limits = {.depth = NESTING, .values = VALUES_MAX};
    const ts_status s = ts_jtree_parse(&root, &arena, text, len, &limits, &err);
    if (s == TS_OK) node = ts_schema_build(a, root, NULL, "#");
    else ts_work_fail(&a->work, s, "%s", err.msg);
    ts_arena_free(&arena);
    return node;
}
