/* pickle_check.c - what a pickle leaves, walked once from end to end: what whoever reads it need not fear. */
#include "ckpt/pickle_int.h"

#include <stdlib.h>

/* Of ts_pval.seen; between them: 1 + the place on the path from the root. */
enum { WHITE = 0, BLACK = 0x7FFFFFFF };
enum { KEY_MAX = 4096 }; /* bytes of a dict's key: longer ones could be compared over and over */

typedef struct place {
    ts_pval *v;
    const ts_pitem *next; /* what is to be looked at: of a list, set, dict, or what was put into an object */
    uint64_t at;          /* of a tuple; of an object: 0 args, 1 state */
    bool value;           /* of a dict: the key was looked at */
    uint32_t object;      /* 1 + the deepest place of an object on the path up to here, 0: none */
} place;

static bool holds(const ts_pval *v) {
    return v->kind == TS_PK_TUPLE || v->kind == TS_PK_LIST || v->kind == TS_PK_DICT || v->kind == TS_PK_SET ||
           v->kind == TS_PK_OBJECT;
}

/* The next thing inside, or NULL behind the last. */
static ts_pval *next_inside(place *p) {
    const ts_pval *v = p->v;
    if (v->kind == TS_PK_TUPLE) return p->at < v->n ? v->item[p->at++] : NULL;
    if (v->kind == TS_PK_OBJECT)
        while (p->at < 2) {
            ts_pval *part = p->at++ == 0 ? v->object->args : v->object->state;
            if (part) return part;
        }
    if (!p->next) return NULL;
    if (p->next->key && !p->value) {
        p->value = true;
        return p->next->key;
    }
    ts_pval *value = p->next->value;
    p->value = false;
    p->next = p->next->next;
    return value;
}

static int by_key(const void *a, const void *b) {
    const ts_pval *x = *(const ts_pval *const *)a, *y = *(const ts_pval *const *)b;
    if (x->kind != y->kind) return (x->kind > y->kind) - (x->kind < y->kind);
    if (x->kind == TS_PK_INT || x->kind == TS_PK_BOOL) return (x->i > y->i) - (x->i < y->i);
    const size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    const int c = n ? memcmp(x->text.data, y->text.data, n) : 0;
    return c ? c : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

/* Python would take the last of two values; another program the first. */
static ts_status refuse_twins(const ts_pval *dict, ts_err *err) {
    if (dict->n < 2) return TS_OK;
    const ts_pval **key = ts_alloc((size_t)dict->n, sizeof(ts_pval *));
    if (!key) return ts_fail_nomem(err, "the keys of a dict", (size_t)dict->n * sizeof(ts_pval *));
    size_t n = 0;
    for (const ts_pitem *it = dict->first; it; it = it->next)
        if (it->key->kind == TS_PK_STR || it->key->kind == TS_PK_BYTES || it->key->kind == TS_PK_INT ||
            it->key->kind == TS_PK_BOOL)
            key[n++] = it->key;
    ts_status s = TS_OK;
    for (size_t i = 0; i < n && s == TS_OK; i++)
        if (key[i]->kind != TS_PK_INT && key[i]->kind != TS_PK_BOOL && key[i]->text.len > KEY_MAX)
            s = ts_fail(err, TS_E_LIMIT, "a dict has a key of %zu bytes; %d are the most", key[i]->text.len, KEY_MAX);
    if (s == TS_OK) qsort(key, n, sizeof(ts_pval *), by_key);
    for (size_t i = 1; i < n && s == TS_OK; i++)
        if (by_key(&key[i - 1], &key[i]) == 0) {
            char name[80] = "a number";
            if (key[i]->kind == TS_PK_STR) ts_printable(name, sizeof name, key[i]->text.data, key[i]->text.len);
            s = ts_fail(err, TS_E_FORMAT, "a dict has the key \"%s\" twice: refused", name);
        }
    ts_free(key);
    return s;
}

static ts_status visit(place *path, size_t *depth, ts_pval *v, ts_err *err) {
    if (*depth == TS_PICKLE_DEPTH)
        return ts_fail(err, TS_E_LIMIT, "values are nested deeper than %d: refused", TS_PICKLE_DEPTH);
    if (v->kind == TS_PK_DICT) TS_TRY(refuse_twins(v, err));
    place *p = &path[*depth];
    *p = (place){.v = v, .object = *depth ? path[*depth - 1].object : 0};
    if (v->kind == TS_PK_OBJECT) {
        p->object = (uint32_t)*depth + 1;
        p->next = v->object->first;
    } else if (v->kind != TS_PK_TUPLE) {
        p->next = v->first;
    }
    v->seen = (uint32_t)++*depth;
    return TS_OK;
}

static ts_status walk(place *path, ts_pval *root, ts_err *err) {
    size_t depth = 0;
    if (holds(root)) TS_TRY(visit(path, &depth, root, err));
    while (depth) {
        place *top = &path[depth - 1];
        ts_pval *v = next_inside(top);
        if (!v) {
            top->v->seen = BLACK;
            depth--;
        } else if (holds(v) && v->seen == WHITE) {
            TS_TRY(visit(path, &depth, v, err));
        } else if (holds(v) && v->seen != BLACK && top->object < v->seen) {
            /* objects may point back to what holds them; a container that holds itself is nobody's model */
            return ts_fail(err, TS_E_FORMAT, "a list, tuple or dict contains itself: refused");
        }
    }
    return TS_OK;
}

ts_status ts_pickle_check(ts_pickle *p, ts_err *err) {
    place *path = ts_alloc(TS_PICKLE_DEPTH, sizeof *path);
    if (!path) return ts_fail_nomem(err, "the path through a pickle", TS_PICKLE_DEPTH * sizeof *path);
    const ts_status s = walk(path, p->root, err);
    ts_free(path);
    return s;
}
