/* torch_walk.c - from what a pickle leaves to named arrays: state dicts, modules, quantised linear layers. */
#include "ckpt/torch_int.h"

#include "base/printable.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WALKED = 0x7FFFFFFE, /* of ts_pval.seen: its tensors have their names */
    /* Buffers of a module that its state dict leaves out; so many that looking through them takes no time. */
    NON_PERSISTENT = 64,
};

typedef struct name {
    const char *s; /* in the arena, without the dot behind it */
    size_t len;
} name;

typedef struct level { /* a module whose submodules are being walked */
    const ts_pitem *next;
    name path;
} level;

typedef struct walker {
    ts_torch *t;
    level *level;
    size_t depth;
    ts_err *err;
} walker;

/* ---- names ------------------------------------------------------------------------------------------------------- */

static ts_status bad_name(const walker *w, name path, ts_span key, const char *what) {
    char a[80], b[80];
    ts_printable(a, sizeof a, path.s, path.len);
    ts_printable(b, sizeof b, key.data, key.len);
    return ts_fail(w->err, TS_E_FORMAT, "the name \"%s%s%s\" %s", a, path.len ? "." : "", b, what);
}

/* path.key, fit to be a string of C. */
static ts_status join(const walker *w, name path, ts_span key, name *out) {
    const size_t dot = path.len ? 1 : 0;
    if (key.len == 0) return bad_name(w, path, key, "is empty");
    if (key.len > TS_TORCH_NAME || path.len + dot + key.len > TS_TORCH_NAME)
        return bad_name(w, path, key, "is longer than 4096 bytes");
    uint32_t cp;
    for (size_t i = 0, n; i < key.len; i += n) {
        n = (size_t)ts_utf8_decode((const char *)key.data + i, key.len - i, &cp);
        if (n == 0 || cp == 0) return bad_name(w, path, key, "has a byte that is no UTF-8, or a NUL");
    }
    char *s = ts_arena_alloc(&w->t->arena, path.len + dot + key.len + 1, 1);
    if (!s) return ts_fail_nomem(w->err, "names of tensors", w->t->arena.total);
    if (path.len) memcpy(s, path.s, path.len);
    if (dot) s[path.len] = '.';
    memcpy(s + path.len + dot, key.data, key.len);
    *out = (name){s, path.len + dot + key.len};
    s[out->len] = 0;
    return TS_OK;
}

/* DataParallel puts everything into a module "module". */
static const char *cut(name n) {
    return n.len > 7 && memcmp(n.s, "module.", 7) == 0 ? n.s + 7 : n.s;
}

static ts_status add_tensor(const walker *w, name path, ts_span key, const ts_ptensor *tensor) {
    ts_torch *t = w->t;
    name n;
    TS_TRY(join(w, path, key, &n));
    if (t->n == TS_TORCH_ARRAYS) return ts_fail(w->err, TS_E_LIMIT, "more than %d tensors", TS_TORCH_ARRAYS);
    const ts_pstorage *s = tensor->storage;
    torch_member *m = &t->member[s->member];
    if (m->dtype && m->dtype != tensor->dtype)
        return ts_torch_bad_storage(s, "tensors of two types lie in it, which torch.save never writes", w->err);
    m->dtype = tensor->dtype;
    void *array = t->array;
    if (!ts_grow(&array, &t->cap, t->n + 1, sizeof *t->array))
        return ts_fail_nomem(w->err, "the list of tensors", t->n * sizeof *t->array);
    t->array = array;
    torch_array *a = &t->array[t->n++];
    *a = (torch_array){.member = s->member,
                       .array = {.name = cut(n),
                                 .elem = tensor->dtype->elem,
                                 .elem_name = tensor->dtype->name,
                                 .n_dims = tensor->n_dims,
                                 .bytes = (size_t)(tensor->n * tensor->dtype->bytes),
                                 .offset = s->offset + tensor->offset * tensor->dtype->bytes}};
    a->array.data = t->file.data + a->array.offset;
    memcpy(a->array.dim, tensor->dim, sizeof a->array.dim);
    memcpy(a->array.stride, tensor->stride, sizeof a->array.stride);
    return TS_OK;
}

static ts_status add_int(const walker *w, name path, ts_span key, int64_t v) {
    ts_torch *t = w->t;
    name n;
    TS_TRY(join(w, path, key, &n));
    void *ints = t->ints;
    if (!ts_grow(&ints, &t->cap_ints, t->n_ints + 1, sizeof *t->ints))
        return ts_fail_nomem(w->err, "the list of attributes", t->n_ints * sizeof *t->ints);
    t->ints = ints;
    t->ints[t->n_ints++] = (torch_int){cut(n), v};
    return TS_OK;
}

/* ---- modules ----------------------------------------------------------------------------------------------------- */

/* The attributes of an object: the k-th of at most two dicts, NULL where there is none. */
static ts_pval *attributes(const ts_pobject *o, unsigned k) {
    ts_pval *v = o->state;
    if (v && v->kind == TS_PK_TUPLE && v->n == 2) v = v->item[k];
    else if (k) return NULL;
    return v && v->kind == TS_PK_DICT ? v : NULL;
}

/* Who shares a dict with another has got its tensors already: everything is walked once, whoever points to it. */
static bool first_visit(ts_pval *v) {
    if (v->seen == WALKED) return false;
    v->seen = WALKED;
    return true;
}

static bool is_quantised(const ts_pobject *o) {
    static const char *const classes[] = {"QLinearPerGrp", "WQLinear"};
    for (size_t i = 0; i < 2; i++)
        if (ts_span_ends(o->type->name, classes[i])) return true;
    return false;
}

typedef struct parts { /* of a module */
    ts_pval *parameters, *buffers, *modules, *not_kept;
    ts_pval *attributes[2]; /* the dicts themselves, unless another object had them before */
} parts;

static parts parts_of(const ts_pobject *o) {
    parts p = {0};
    for (unsigned k = 0; k < 2; k++) {
        ts_pval *a = attributes(o, k);
        if (!a || !first_visit(a)) continue;
        p.attributes[k] = a;
        for (const ts_pitem *it = a->first; it; it = it->next) {
            if (it->value->kind == TS_PK_DICT) {
                if (ts_pval_is(it->key, "_parameters")) p.parameters = it->value;
                if (ts_pval_is(it->key, "_buffers")) p.buffers = it->value;
                if (ts_pval_is(it->key, "_modules")) p.modules = it->value;
            } else if (it->value->kind == TS_PK_SET && ts_pval_is(it->key, "_non_persistent_buffers_set")) {
                p.not_kept = it->value;
            }
        }
    }
    return p;
}

static bool has(const ts_pval *set, ts_span key) {
    for (const ts_pitem *it = set ? set->first : NULL; it; it = it->next)
        if (it->value->kind == TS_PK_STR && it->value->text.len == key.len &&
            (key.len == 0 || memcmp(it->value->text.data, key.data, key.len) == 0))
            return true;
    return false;
}

/* The tensors of a dict, but for those that `without` names. */
static ts_status tensors_of(const walker *w, name path, ts_pval *dict, const ts_pval *without) {
    if (!dict || !first_visit(dict)) return TS_OK;
    for (const ts_pitem *it = dict->first; it; it = it->next)
        if (it->value->kind == TS_PK_TENSOR && it->key->kind == TS_PK_STR && !has(without, it->key->text))
            TS_TRY(add_tensor(w, path, it->key->text, it->value->tensor));
    return TS_OK;
}

/* The tensors and integers among an object's attributes. */
static ts_status plain_attributes(const walker *w, name path, const ts_pval *a, bool tensors) {
    for (const ts_pitem *it = a ? a->first : NULL; it; it = it->next) {
        if (it->key->kind != TS_PK_STR) continue;
        if (tensors && it->value->kind == TS_PK_TENSOR) TS_TRY(add_tensor(w, path, it->key->text, it->value->tensor));
        if (it->value->kind == TS_PK_INT) TS_TRY(add_int(w, path, it->key->text, it->value->i));
    }
    return TS_OK;
}

/* Tensors of a module; its submodules come next. Any other object is passed over, and one that was met before. */
static ts_status enter(walker *w, const ts_pval *v, name path) {
    const ts_pobject *o = v->object;
    const parts p = parts_of(o);
    if (p.not_kept && p.not_kept->n > NON_PERSISTENT)
        return bad_name(w, path, (ts_span){0}, "is a module with more than 64 buffers that are not kept: refused");
    TS_TRY(tensors_of(w, path, p.parameters, NULL));
    TS_TRY(tensors_of(w, path, p.buffers, p.not_kept));
    for (unsigned k = 0; k < 2 && is_quantised(o); k++) TS_TRY(plain_attributes(w, path, p.attributes[k], true));
    if (!p.modules || !first_visit(p.modules)) return TS_OK;
    if (w->depth == TS_PICKLE_DEPTH)
        return ts_fail(w->err, TS_E_LIMIT, "modules are nested deeper than %d: refused", TS_PICKLE_DEPTH);
    w->level[w->depth++] = (level){p.modules->first, path};
    return TS_OK;
}

static ts_status walk_modules(walker *w) {
    while (w->depth) {
        level *top = &w->level[w->depth - 1];
        const ts_pitem *it = top->next;
        if (!it) {
            w->depth--;
            continue;
        }
        top->next = it->next;
        if (it->value->kind != TS_PK_OBJECT || !it->key || it->key->kind != TS_PK_STR) continue;
        name path;
        TS_TRY(join(w, top->path, it->key->text, &path));
        TS_TRY(enter(w, it->value, path));
    }
    return TS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* What a dict, or an object of a class that is one, has in it; NULL for others. */
static const ts_pitem *items_of(const ts_pval *v) {
    return v->kind == TS_PK_DICT ? v->first : v->kind == TS_PK_OBJECT ? v->object->first : NULL;
}

/* A checkpoint of a training run: the model stands beside other things. */
static ts_pval *model_of(ts_pval *root) {
    ts_pval *model = NULL;
    for (const ts_pitem *it = items_of(root); it; it = it->next) {
        if (it->value->kind != TS_PK_DICT && it->value->kind != TS_PK_OBJECT) continue;
        if (ts_pval_is(it->key, "state_dict")) return it->value;
        if (ts_pval_is(it->key, "model")) model = it->value;
    }
    return model ? model : root;
}

static ts_status walk_dict(walker *w, const ts_pval *v) {
    const name none = {0};
    for (const ts_pitem *it = items_of(v); it; it = it->next) {
        if (!it->key || it->key->kind != TS_PK_STR) continue;
        if (it->value->kind == TS_PK_TENSOR) {
            TS_TRY(add_tensor(w, none, it->key->text, it->value->tensor));
        } else if (it->value->kind == TS_PK_OBJECT) {
            name path;
            TS_TRY(join(w, none, it->key->text, &path));
            TS_TRY(enter(w, it->value, path));
            TS_TRY(walk_modules(w));
        }
    }
    return TS_OK;
}

/* A whole model, and what its configuration says in integers. */
static ts_status walk_model(walker *w, ts_pval *v) {
    TS_TRY(enter(w, v, (name){0}));
    TS_TRY(walk_modules(w));
    for (unsigned k = 0; k < 2; k++) {
        const ts_pval *a = attributes(v->object, k);
        for (const ts_pitem *it = a ? a->first : NULL; it; it = it->next)
            if (ts_pval_is(it->key, "config") && it->value->kind == TS_PK_OBJECT)
                TS_TRY(plain_attributes(w, (name){"config", 6}, attributes(it->value->object, 0), false));
    }
    return TS_OK;
}

static ts_status walk_root(walker *w, ts_pval *v) {
    TS_TRY(walk_dict(w, v));
    return v->kind == TS_PK_OBJECT ? walk_model(w, v) : TS_OK;
}

static int array_by_name(const void *a, const void *b) {
    return strcmp((*(const torch_array *const *)a)->array.name, (*(const torch_array *const *)b)->array.name);
}

static int int_by_name(const void *a, const void *b) {
    return strcmp(((const torch_int *)a)->name, ((const torch_int *)b)->name);
}

static ts_status refuse_twins(const ts_torch *t, ts_err *err) {
    const torch_array **all = ts_alloc(t->n, sizeof(torch_array *));
    if (!all) return ts_fail_nomem(err, "the names of tensors", t->n * sizeof(torch_array *));
    for (size_t i = 0; i < t->n; i++) all[i] = &t->array[i];
    qsort(all, t->n, sizeof *all, array_by_name);
    ts_status s = TS_OK;
    for (size_t i = 1; i < t->n && s == TS_OK; i++)
        if (array_by_name(&all[i - 1], &all[i]) == 0) {
            char text[80];
            ts_printable(text, sizeof text, all[i]->array.name, strlen(all[i]->array.name));
            s = ts_fail(err, TS_E_FORMAT, "two tensors have the name \"%s\"", text);
        }
    ts_free(all);
    return s;
}

static bool has_tensor(const ts_pval *v) {
    for (const ts_pitem *it = items_of(v); it; it = it->next)
        if (it->value->kind == TS_PK_TENSOR) return true;
    return false;
}

static ts_status no_tensors(const ts_pval *root, ts_err *err) {
    for (const ts_pitem *it = items_of(root); it; it = it->next) {
        char key[80];
        if (!it->key || it->key->kind != TS_PK_STR || !has_tensor(it->value)) continue;
        ts_printable(key, sizeof key, it->key->text.data, it->key->text.len);
        return ts_fail(err, TS_E_FORMAT,
                       "data.pkl: tensors under \"%s\" alone, where they are not looked for (\"state_dict\" and "
                       "\"model\" are)",
                       key);
    }
    const ts_pval *object = root;
    for (const ts_pitem *it = items_of(root); it && object->kind != TS_PK_OBJECT; it = it->next) object = it->value;
    if (object->kind == TS_PK_OBJECT) {
        char text[200];
        return ts_fail(err, TS_E_FORMAT, "data.pkl: an object of the class %s, and no tensors",
                       ts_pglobal_name(object->object->type, text, sizeof text));
    }
    return ts_fail(err, TS_E_FORMAT, "data.pkl: %s",
                   root->kind == TS_PK_DICT     ? "a dict without tensors"
                   : root->kind == TS_PK_TENSOR ? "a tensor without a name"
                                                : "neither a dict of tensors nor a model");
}

ts_status ts_torch_walk(ts_torch *t, const ts_pickle *p, ts_err *err) {
    walker w = {.t = t, .level = ts_alloc(TS_PICKLE_DEPTH, sizeof *w.level), .err = err};
    if (!w.level) return ts_fail_nomem(err, "the path through a model", TS_PICKLE_DEPTH * sizeof *w.level);
    ts_pval *model = model_of(p->root);
    ts_status s = walk_root(&w, model);
    if (s == TS_OK && !t->n && model != p->root) s = walk_root(&w, p->root); /* its "model" was something else */
    ts_free(w.level);
    if (s == TS_OK && !t->n) s = no_tensors(p->root, err);
    if (s == TS_OK) s = refuse_twins(t, err);
    if (s == TS_OK && t->n_ints) qsort(t->ints, t->n_ints, sizeof *t->ints, int_by_name);
    return s;
}
