/* json_tree.c - a JSON text as a tree, built from what json_pull reads. */
#include "base/json_tree.h"

#include "base/utf8.h"

#include <stdlib.h>

typedef struct tree {
    ts_json j;
    ts_arena *arena;
    uint32_t values, max_values;
    bool limit; /* the fault is a limit's */
} tree;

static void limit(tree *t, const char *what) {
    if (!t->j.bad) t->limit = true;
    ts_json_fail(&t->j, what);
}

static ts_jval *value_new(tree *t) {
    if (t->max_values && t->values == t->max_values) {
        limit(t, "too many values");
        return NULL;
    }
    t->values++;
    ts_jval *v = ts_arena_calloc(t->arena, 1, sizeof *v);
    if (!v) ts_json_fail(&t->j, "");
    return v;
}

static ts_span keep(tree *t, ts_span s) {
    const char *copy = ts_arena_strndup(t->arena, (const char *)s.data, s.len);
    if (!copy) ts_json_fail(&t->j, "");
    return (ts_span){(const uint8_t *)copy, copy ? s.len : 0};
}

static int by_key(const void *a, const void *b) {
    const ts_span x = (*(const ts_jval *const *)a)->key, y = (*(const ts_jval *const *)b)->key;
    const size_t n = x.len < y.len ? x.len : y.len;
    const int c = n ? memcmp(x.data, y.data, n) : 0;
    return c ? c : (x.len > y.len) - (x.len < y.len);
}

static void refuse_twins(tree *t, const ts_jval *object) {
    if (object->n < 2) return;
    const ts_jval **all = ts_alloc(object->n, sizeof(ts_jval *));
    if (!all) {
        ts_json_fail(&t->j, "");
        return;
    }
    size_t n = 0;
    for (const ts_jval *m = object->first; m; m = m->next) all[n++] = m;
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 1; i < n && !t->j.bad; i++)
        if (by_key(all + i - 1, all + i) == 0) {
            const uint8_t *a = all[i - 1]->source.data, *b = all[i]->source.data;
            t->j.pos = (size_t)((a > b ? a : b) - (const uint8_t *)t->j.s);
            ts_json_fail_twice(&t->j, all[i]->key);
        }
    ts_free(all);
}

/* Where the next value begins: peek has stepped over the white space. */
static ts_jval *read_value(tree *t) {
    ts_json *j = &t->j;
    ts_jval *v = value_new(t), **last;
    if (!v) return NULL;
    v->type = ts_json_peek(j);
    const size_t begin = j->pos;
    switch (v->type) {
    case TS_JSON_OBJECT:
    case TS_JSON_ARRAY:
        if (j->depth >= j->max_depth) {
            limit(t, "nested too deeply");
            return NULL;
        }
        last = &v->first;
        if (v->type == TS_JSON_OBJECT) {
            ts_span key;
            ts_json_object(j);
            while (ts_json_key(j, &key)) {
                key = keep(t, key);
                if (!(*last = read_value(t))) return NULL;
                (*last)->key = key;
                last = &(*last)->next;
                v->n++;
            }
            if (!j->bad) refuse_twins(t, v);
        } else {
            ts_json_array(j);
            while (ts_json_item(j)) {
                if (!(*last = read_value(t))) return NULL;
                last = &(*last)->next;
                v->n++;
            }
        }
        break;
    case TS_JSON_STRING:
        if (ts_json_string(j, &v->text)) v->text = keep(t, v->text);
        break;
    case TS_JSON_NUMBER: v->text = ts_json_number(j); break;
    case TS_JSON_BOOL: v->truth = ts_json_bool(j); break;
    case TS_JSON_NULL: ts_json_null(j); break;
    case TS_JSON_BAD: ts_json_skip(j); break; /* says what is wrong */
    }
    v->source = (ts_span){(const uint8_t *)j->s + begin, j->pos - begin};
    return j->bad ? NULL : v;
}

static void refuse_bad_utf8(ts_json *j) {
    uint32_t cp;
    for (size_t i = 0; i < j->len;) {
        const int n = ts_utf8_decode(j->s + i, j->len - i, &cp);
        if (n == 0) {
            j->pos = i;
            ts_json_fail(j, "a byte that is no UTF-8");
            return;
        }
        i += (size_t)n;
    }
}

ts_status ts_jtree_parse(const ts_jval **out, ts_arena *arena, const char *s, size_t len, const ts_jlimits *limits,
                         ts_err *err) {
    tree t = {.arena = arena, .max_values = limits ? limits->values : 0};
    ts_json_init(&t.j, s, len);
    if (limits && limits->depth) t.j.max_depth = (int)limits->depth;
    refuse_bad_utf8(&t.j);
    const ts_jval *v = t.j.bad ? NULL : read_value(&t);
    if (v) ts_json_end(&t.j);
    ts_status status = ts_json_status(&t.j, err);
    ts_json_fini(&t.j);
    if (status != TS_OK) {
        if (t.limit && err) err->code = TS_E_LIMIT;
        return t.limit ? TS_E_LIMIT : status;
    }
    *out = v;
    return TS_OK;
}

const ts_jval *ts_jval_get(const ts_jval *v, const char *key) {
    if (!v || v->type != TS_JSON_OBJECT) return NULL;
    for (const ts_jval *m = v->first; m; m = m->next)
        if (ts_span_is(m->key, key)) return m;
    return NULL;
}

bool ts_jval_is(const ts_jval *v, const char *text) {
    return v && v->type == TS_JSON_STRING && ts_span_is(v->text, text);
}
