#include "source/gguf_source.h"
#include "base/mem.h"
#include "base/printable.h"
#include "source/gguf_names.h"
#include "source/leftover.h"

#include <stdio.h>
#include <string.h>

typedef struct gguf_source {
    ts_source base;
    const ts_gguf *g;
    ts_gguf *own; /* NULL: borrowed */
    bool *used;   /* [n_tensors] */
} gguf_source;

static const gguf_source *of(const ts_source *s) {
    return (const gguf_source *)(const void *)s;
}

static void close_it(ts_source *s) {
    gguf_source *q = (gguf_source *)(void *)s;
    ts_gguf_close(q->own);
    ts_free(q->used);
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
    if (t) of(s)->used[t - ts_gguf_tensor_at(g, 0)] = true;
    return t;
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
    return ts_gguf_tensor_at(of(s)->g, i);
}

static const ts_tensor *unused(const ts_source *s, size_t *i) {
    for (; *i < s->n_tensors; ++*i)
        if (!of(s)->used[*i]) return ts_gguf_tensor_at(of(s)->g, (*i)++);
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

static void release(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    ts_gguf_release(of(s)->g, t, first, len);
}

static void fetch(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    ts_gguf_fetch(of(s)->g, t, first, len);
}

static ts_status check_unchanged(const ts_source *s, ts_err *err) {
    return ts_gguf_check_unchanged(of(s)->g, err);
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
    .check_unchanged = check_unchanged,
    .part = part,
};

static ts_status make(ts_source **out, const ts_gguf *g, ts_gguf *own, ts_err *err) {
    const size_t n = ts_gguf_n_tensors(g);
    gguf_source *q = ts_calloc(1, sizeof *q);
    bool *used = ts_calloc(n, sizeof *used);
    if (!q || !used) {
        ts_free(q);
        ts_free(used);
        return ts_fail_nomem(err, "the list of tensors", n);
    }
    *q = (gguf_source){.base = {.op = &ops, .name = ts_gguf_path(g), .n_tensors = n}, .g = g, .own = own,
                       .used = used};
    for (size_t i = 0; i < n; i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        q->base.n_params += t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
    }
    for (int i = 0; i < ts_gguf_n_files(g); i++) q->base.file_bytes += ts_gguf_file(g, i)->len;
    *out = &q->base;
    return TS_OK;
}

ts_status ts_gguf_source_new(ts_source **out, const ts_gguf *g, ts_err *err) {
    return make(out, g, NULL, err);
}

ts_status ts_gguf_source_take(ts_source **out, ts_gguf *g, ts_err *err) {
    const ts_status s = make(out, g, g, err);
    if (s != TS_OK) ts_gguf_close(g);
    return s;
}
