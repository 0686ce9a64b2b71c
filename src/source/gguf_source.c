#include "source/gguf_source.h"
#include "base/mem.h"
#include "base/printable.h"
#include "format/quant.h"
#include "source/gguf_names.h"
#include "source/leftover.h"

#include <stdio.h>
#include <string.h>

typedef struct gguf_source {
    ts_source base;
    const ts_gguf *g;
    ts_gguf *own;      /* NULL: borrowed */
    bool *used;        /* [n_tensors] */
    ts_tensor *tensor; /* [n_tensors] as they are read: Q4_1 that stands for 4-bit groups is U4G, and has no data */
} gguf_source;

static const gguf_source *of(const ts_source *s) {
    return (const gguf_source *)(const void *)s;
}

static const ts_tensor *in_file(const ts_source *s, const ts_tensor *t) {
    return ts_gguf_tensor_at(of(s)->g, (size_t)(t - of(s)->tensor));
}

static void close_it(ts_source *s) {
    gguf_source *q = (gguf_source *)(void *)s;
    ts_gguf_close(q->own);
    ts_free(q->used);
    ts_free(q->tensor);
    ts_free(q);
}

static ts_status family(const ts_source *s, ts_span *out, ts_err *err) {
    return ts_gguf_str(of(s)->g, "general.architecture", true, out, err);
}

static ts_status config(const ts_source *s, const char *name, ts_model_config *out, ts_err *err) {
    return ts_gguf_model_config(out, of(s)->g, name, err);
}

static const ts_tensor *tensor(ts_source *s, ts_role role, uint32_t layer, bool bias) {
    char name[96];
    const ts_gguf *g = of(s)->g;
    const ts_tensor *t = ts_gguf_tensor(g, ts_gguf_tensor_name(name, sizeof name, role, layer, bias));
    if (!t) return NULL;
    const size_t i = (size_t)(t - ts_gguf_tensor_at(g, 0));
    of(s)->used[i] = true;
    return &of(s)->tensor[i];
}

static const char *role_name(const ts_source *s, ts_role role) {
    (void)s;
    return ts_gguf_role_name(role);
}

static const char *tensor_name(const ts_source *s, ts_role role, uint32_t layer, bool bias, char *buf, size_t len) {
    (void)s;
    return ts_gguf_tensor_name(buf, len, role, layer, bias);
}

static const ts_tensor *tensor_at(const ts_source *s, size_t i) {
    return &of(s)->tensor[i];
}

static const ts_tensor *unused(const ts_source *s, size_t *i) {
    for (; *i < s->n_tensors; ++*i)
        if (!of(s)->used[*i]) return &of(s)->tensor[(*i)++];
    return NULL;
}

/* The tensor's layer where its name has one: blk.<layer>.<...>. */
static bool layer_of(const ts_tensor *t, unsigned *layer) {
    return sscanf(t->name, "blk.%u.", layer) == 1;
}

static ts_status refuse_rest(const ts_source *s, const ts_model_config *c, ts_err *err) {
    TS_TRY(ts_keys_check(of(s)->g, c->arch, err));
    size_t i = 0, n = 0;
    const ts_tensor *first = unused(s, &i);
    if (!first) return TS_OK;
    for (i = 0; unused(s, &i);) n++;
    char name[80], more[72] = "";
    unsigned layer;
    ts_printable(name, sizeof name, first->name, strlen(first->name));
    if (n > 1) snprintf(more, sizeof more, " (and %zu more like it: see tessera inspect)", n - 1);
    if (layer_of(first, &layer) && layer >= c->n_layer)
        return ts_fail(err, TS_E_UNSUPP, "%s: tensor %s belongs to no layer: %s.block_count is %u%s", s->name, name,
                       c->arch, c->n_layer, more);
    return ts_fail(
        err, TS_E_UNSUPP,
        "%s: tensor %s is no part of the %s models that Tessera computes; without it the results would be others%s",
        s->name, name, c->arch, more);
}

static size_t warn_rest(const ts_source *s, const ts_model_config *c, char *out, size_t cap) {
    return ts_keys_warning(of(s)->g, c->arch, out, cap);
}

static ts_status tokenizer(const ts_source *s, const char *pre, ts_tokenizer **out, ts_err *err) {
    return ts_tokenizer_from_gguf(out, of(s)->g, pre, err);
}

/* Bytes of the tensor as it is read to those of the file. */
static size_t file_bytes(const ts_tensor *t, const ts_tensor *file, size_t bytes) {
    return t->data ? bytes : bytes / sizeof(ts_block_u4g) * ts_dtype_get(file->type)->block_bytes;
}

static void release(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    const ts_tensor *f = in_file(s, t);
    ts_gguf_release(of(s)->g, f, file_bytes(t, f, first), file_bytes(t, f, len));
}

static void fetch(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    const ts_tensor *f = in_file(s, t);
    ts_gguf_fetch(of(s)->g, f, file_bytes(t, f, first), file_bytes(t, f, len));
}

/* ---- 4-bit groups ------------------------------------------------------------------------------------------------ */

/* Rows [first, first + n): what is not a group, `check` has found before. */
static void rows(const ts_source *s, const ts_tensor *t, uint64_t first, uint64_t n, void *out) {
    const ts_tensor *f = in_file(s, t);
    const size_t from = ts_dtype_row_bytes(f->type, f->dim[0]), to = ts_dtype_row_bytes(t->type, t->dim[0]);
    for (uint64_t r = 0; r < n; r++)
        (void)ts_u4g_recover((const char *)f->data + (first + r) * from, (char *)out + r * to, (size_t)t->dim[0],
                             ts_u4g_group(t->type), NULL);
}

static ts_status check(ts_source *s, const ts_tensor *t, ts_err *err) {
    if (t->data) return TS_OK;
    const ts_tensor *f = in_file(s, t);
    const size_t from = ts_dtype_row_bytes(f->type, f->dim[0]);
    void *row = ts_alloc(1, ts_dtype_row_bytes(t->type, t->dim[0]));
    if (!row) return ts_fail_nomem(err, t->name, (size_t)t->dim[0]);
    ts_status st = TS_OK;
    for (uint64_t r = 0; r < t->dim[1] && st == TS_OK; r++) {
        size_t bad;
        if (!ts_u4g_recover((const char *)f->data + r * from, row, (size_t)t->dim[0], ts_u4g_group(t->type), &bad))
            st = ts_fail(err, TS_E_FORMAT,
                         "%s: tensor %s: row %llu, element %zu: no 4-bit group of %u, though %s says so", s->name,
                         t->name, (unsigned long long)r, bad, ts_u4g_group(t->type), TS_KEY_IMPORT_ZEROS);
    }
    ts_free(row);
    return st;
}

static ts_dtype carrier(const ts_source *s, const ts_tensor *t) {
    return in_file(s, t)->type;
}

static ts_status metadata(ts_source *s, const ts_gguf **out, ts_err *err) {
    (void)err;
    *out = of(s)->g;
    return TS_OK;
}

/* The group size that the file says this tensor has. */
static uint32_t group_size(const ts_gguf *g, const ts_tensor *t, uint32_t otherwise) {
    const ts_gguf_kv *kv = ts_gguf_find(g, TS_KEY_IMPORT_GROUPS);
    const size_t len = strlen(t->name);
    if (!kv || kv->elem != TS_GGUF_STRING || kv->type != TS_GGUF_ARRAY) return otherwise;
    ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
    for (uint64_t i = 0; i < kv->n; i++) {
        const ts_span s = ts_gguf_next_string(&r);
        uint32_t n = 0;
        if (s.len <= len + 1 || memcmp(s.data, t->name, len) != 0 || s.data[len] != '=') continue;
        for (size_t k = len + 1; k < s.len && n < 1000; k++) n = n * 10 + (uint32_t)(s.data[k] - '0');
        return n;
    }
    return otherwise;
}

/* Where the file says so, Q4_1 tensors become the groups that they have been made of (hf_model.h). */
static ts_status take_groups(gguf_source *q, ts_err *err) {
    bool is = false;
    uint32_t group = 32;
    TS_TRY(ts_gguf_bool(q->g, TS_KEY_IMPORT_ZEROS, false, &is, err));
    TS_TRY(ts_gguf_u32(q->g, TS_KEY_IMPORT_GROUP, false, &group, err));
    for (size_t i = 0; i < q->base.n_tensors && is; i++) {
        ts_tensor *t = &q->tensor[i];
        ts_dtype type;
        if (!ts_u4g_may_be(t->type) || t->n_dims != 2 || !ts_u4g_of_group(group_size(q->g, t, group), &type)) continue;
        t->type = type;
        t->bytes = ts_dtype_row_bytes(type, t->dim[0]) * (size_t)t->dim[1];
        t->data = NULL;
    }
    return TS_OK;
}

static ts_status check_unchanged(const ts_source *s, ts_err *err) {
    return ts_gguf_check_unchanged(of(s)->g, err);
}

static bool identity(const ts_source *s, int i, uint64_t *mixed, uint64_t *dev, uint64_t *ino) {
    if (i >= ts_gguf_n_files(of(s)->g) || !ts_gguf_file(of(s)->g, i)->ino) return false;
    const ts_map *m = ts_gguf_file(of(s)->g, i);
    *mixed = ts_map_identity(m);
    if (dev) *dev = m->dev, *ino = m->ino;
    return true;
}

static const char *part(const ts_source *s, int file) {
    return ts_gguf_part_path(of(s)->g, file);
}

static const ts_source_ops ops = {
    .close = close_it,
    .family = family,
    .config = config,
    .tensor = tensor,
    .role_name = role_name,
    .tensor_name = tensor_name,
    .tensor_at = tensor_at,
    .unused = unused,
    .refuse_rest = refuse_rest,
    .warn_rest = warn_rest,
    .tokenizer = tokenizer,
    .release = release,
    .fetch = fetch,
    .rows = rows,
    .check = check,
    .carrier = carrier,
    .metadata = metadata,
    .check_unchanged = check_unchanged,
    .identity = identity,
    .part = part,
};

static ts_status make(ts_source **out, const ts_gguf *g, ts_gguf *own, ts_err *err) {
    const size_t n = ts_gguf_n_tensors(g);
    gguf_source *q = ts_calloc(1, sizeof *q);
    bool *used = ts_calloc(n, sizeof *used);
    ts_tensor *copy = ts_calloc(n, sizeof *copy);
    if (!q || !used || !copy) {
        ts_free(q);
        ts_free(used);
        ts_free(copy);
        return ts_fail_nomem(err, "the list of tensors", n);
    }
    *q = (gguf_source){.base = {.op = &ops, .name = ts_gguf_path(g), .n_tensors = n},
                       .g = g,
                       .own = own,
                       .used = used,
                       .tensor = copy};
    for (size_t i = 0; i < n; i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        copy[i] = *t;
        q->base.n_params += t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
    }
    for (int i = 0; i < ts_gguf_n_files(g); i++) q->base.file_bytes += ts_gguf_file(g, i)->len;
    const ts_status st = take_groups(q, err);
    if (st == TS_OK) *out = &q->base;
    else {
        q->own = NULL; /* the caller's to close */
        close_it(&q->base);
    }
    return st;
}

ts_status ts_gguf_source_new(ts_source **out, const ts_gguf *g, ts_err *err) {
    return make(out, g, NULL, err);
}

ts_status ts_gguf_source_take(ts_source **out, ts_gguf *g, ts_err *err) {
    const ts_status s = make(out, g, g, err);
    if (s != TS_OK) ts_gguf_close(g);
    return s;
}
