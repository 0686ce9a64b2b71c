#include "source/hf_source.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "source/gguf_names.h"
#include "source/gguf_source.h"
#include "source/leftover.h"

#include <stdio.h>

typedef struct hf_source {
    ts_source base;
    ts_hf_model *m;
    ts_buf header; /* of the GGUF file that it would be, without data */
    ts_gguf *g;
    ts_buf whole; /* with the tokenizer's metadata, once they are asked for */
    ts_gguf *metadata;
    ts_tensor *tensor; /* [m->n] as ts_hf_model has them */
    bool *used;
    char *name;
} hf_source;

static const hf_source *of(const ts_source *s) {
    return (const hf_source *)(const void *)s;
}
static const ts_hf_tensor *made_of(const ts_source *s, const ts_tensor *t) {
    return &of(s)->m->tensor[t - of(s)->tensor];
}

static void close_it(ts_source *s) {
    hf_source *q = (hf_source *)(void *)s;
    ts_gguf_close(q->metadata);
    ts_buf_free(&q->whole);
    ts_gguf_close(q->g);
    ts_buf_free(&q->header);
    ts_hf_model_close(q->m);
    ts_free(q->tensor);
    ts_free(q->used);
    ts_free(q->name);
    ts_free(q);
}

static ts_status family(const ts_source *s, ts_span *out, ts_err *err) {
    (void)err;
    const char *name = of(s)->m->c.family;
    *out = (ts_span){(const uint8_t *)name, strlen(name)};
    return TS_OK;
}

static ts_status config(const ts_source *s, const char *name, ts_model_config *out, ts_err *err) {
    return ts_gguf_model_config(out, of(s)->g, name, err);
}

static const ts_tensor *tensor(ts_source *s, ts_role role, uint32_t layer, bool bias) {
    char name[96];
    hf_source *q = (hf_source *)(void *)s;
    const ts_tensor *t = ts_gguf_tensor(q->g, ts_gguf_tensor_name(name, sizeof name, role, layer, bias));
    if (!t) return NULL;
    const size_t i = (size_t)(t - ts_gguf_tensor_at(q->g, 0));
    q->used[i] = true;
    return &q->tensor[i];
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

static ts_status refuse_rest(const ts_source *s, const ts_model_config *c, ts_err *err) {
    size_t i = 0, n = 0;
    char name[96], more[48] = "";
    TS_TRY(ts_keys_check(of(s)->g, c->arch, err));
    const ts_array *a = ts_hf_folder_unused(of(s)->m->folder, &i);
    const ts_tensor *t = unused(s, &n);
    if (!a && !t) return TS_OK;
    const char *first = a ? a->name : t->name;
    ts_printable(name, sizeof name, first, strlen(first));
    for (n = 0; ts_hf_folder_unused(of(s)->m->folder, &i);) n++;
    if (n) snprintf(more, sizeof more, " (and %zu more like it)", n);
    return ts_fail(err, TS_E_UNSUPP,
                   "%s: tensor %s is no part of the %s models that Tessera computes; without it the results would be "
                   "others%s",
                   s->name, name, c->arch, more);
}

static size_t warn_rest(const ts_source *s, const ts_model_config *c, char *out, size_t cap) {
    return ts_keys_warning(of(s)->g, c->arch, out, cap);
}

static ts_status tokenizer(const ts_source *s, const char *pre, ts_tokenizer **out, ts_err *err) {
    const uint32_t rows = of(s)->m->c.n_vocab;
    bool dropped;
    ts_tokenizer *t;
    TS_TRY(ts_tokenizer_open(&t, ts_hf_folder_dir(of(s)->m->folder), pre, err));
    const ts_status st = ts_tokenizer_fit(t, rows, &dropped, err);
    if (st != TS_OK) {
        ts_tokenizer_free(t);
        return ts_err_prefix(err, st, "%s", s->name);
    }
    if (dropped) ts_log(TS_LOG_INFO, "%s: token %u has no row in the model and is left out", s->name, rows);
    *out = t;
    return TS_OK;
}

/* Do rows lie one behind the other, as they are asked for? Of others all bytes are needed until the last row. */
static bool by_rows(const ts_hf_tensor *t) {
    return t->a ? !t->turn : t->q4.form == TS_Q4_ROWS || t->q4.form == TS_Q4_BYTES || t->q4.form == TS_Q4_FAST;
}

static void release(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    const ts_hf_tensor *h = made_of(s, t);
    const ts_array *a = ts_hf_tensor_array(h, 0);
    if (!a) return;
    if (by_rows(h)) /* the same share of the file's bytes */
        ts_hf_folder_release(of(s)->m->folder, a, (size_t)((double)first / (double)t->bytes * (double)a->bytes),
                             (size_t)((double)len / (double)t->bytes * (double)a->bytes));
    if (first + len < t->bytes) return;
    for (int i = by_rows(h); (a = ts_hf_tensor_array(h, i)); i++)
        ts_hf_folder_release(of(s)->m->folder, a, 0, a->bytes);
}

static void fetch(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    const ts_array *a;
    (void)len;
    for (int i = 0; first == 0 && (a = ts_hf_tensor_array(made_of(s, t), i)); i++)
        ts_hf_folder_fetch(of(s)->m->folder, a, 0, a->bytes);
}

static void rows(const ts_source *s, const ts_tensor *t, uint64_t first, uint64_t n, void *out) {
    ts_hf_tensor_rows(of(s)->m, made_of(s, t), first, n, out);
}

static const uint32_t *order(const ts_source *s, const ts_tensor *t) {
    return t->type == TS_F32 ? NULL : made_of(s, t)->q4.order;
}

static ts_status check(ts_source *s, const ts_tensor *t, ts_err *err) {
    return ts_hf_tensor_check(of(s)->m, made_of(s, t), err);
}

static ts_status check_unchanged(const ts_source *s, ts_err *err) {
    return ts_hf_folder_unchanged(of(s)->m->folder, err);
}

static bool identity(const ts_source *s, int i, uint64_t *mixed, uint64_t *dev, uint64_t *ino) {
    const ts_map *m = ts_hf_folder_map(of(s)->m->folder, i);
    if (!m) return false;
    *mixed = ts_map_identity(m);
    if (dev) *dev = m->dev, *ino = m->ino;
    return true;
}

static const char *part(const ts_source *s, int file) {
    return ts_hf_folder_file(of(s)->m->folder, file);
}

static ts_dtype carrier(const ts_source *s, const ts_tensor *t) {
    if (!ts_dtype_is_u4g(t->type)) return t->type;
    const ts_q4 *q = &made_of(s, t)->q4;
    const bool symmetric = ts_q4_symmetric(q);
    return symmetric || ts_q4_products_fit(q) ? ts_u4g_carrier(symmetric) : TS_F32;
}

static ts_status make_header(hf_source *q, const ts_tokenizer *tok, ts_buf *text, ts_gguf **out, ts_err *err);

static ts_status metadata(ts_source *s, const ts_gguf **out, ts_err *err) {
    hf_source *q = (hf_source *)(void *)s;
    ts_tokenizer *tok;
    if (!q->metadata) {
        TS_TRY(tokenizer(s, NULL, &tok, err));
        const ts_status st = make_header(q, tok, &q->whole, &q->metadata, err);
        ts_tokenizer_free(tok);
        if (st != TS_OK) return st;
    }
    *out = q->metadata;
    return TS_OK;
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
    .order = order,
    .check = check,
    .carrier = carrier,
    .metadata = metadata,
    .check_unchanged = check_unchanged,
    .identity = identity,
    .part = part,
};

/* The rows that the writer would ask for are never written. */
static ts_status no_rows(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err) {
    (void)ud, (void)first, (void)n, (void)out;
    return ts_fail(err, TS_E_INVAL, "a header has no rows");
}

static ts_status make_header(hf_source *q, const ts_tokenizer *tok, ts_buf *text, ts_gguf **out, ts_err *err) {
    ts_gguf_writer *w;
    TS_TRY(ts_gguf_writer_new(&w, 0, err));
    ts_status st = ts_hf_model_put(q->m, w, err);
    if (st == TS_OK && tok) st = ts_tokenizer_put(tok, q->m->c.n_vocab, w, err);
    for (size_t i = 0; i < q->m->n; i++) {
        const ts_hf_tensor *t = &q->m->tensor[i];
        ts_gguf_add_tensor_fn(w, t->name, t->type, t->n_dims, t->dim, no_rows, NULL);
    }
    if (st == TS_OK) st = ts_gguf_save_header(w, text, err);
    ts_gguf_writer_free(w);
    if (st != TS_OK) return st;
    return ts_gguf_open_mem(out, (ts_span){(const uint8_t *)text->data, text->len}, q->name,
                            TS_GGUF_OWN_TYPES | TS_GGUF_NO_DATA, err);
}

static ts_status fill(hf_source *q, const char *path, ts_err *err) {
    if (!(q->name = ts_strdup(path))) return ts_fail_nomem(err, "a path", strlen(path));
    TS_TRY(ts_hf_model_open(&q->m, path, err));
    TS_TRY(make_header(q, NULL, &q->header, &q->g, err));
    const size_t n = q->m->n;
    q->tensor = ts_calloc(n, sizeof *q->tensor);
    q->used = ts_calloc(n, sizeof *q->used);
    if (!q->tensor || !q->used) return ts_fail_nomem(err, "the list of tensors", n * sizeof *q->tensor);
    q->base = (ts_source){.op = &ops, .name = q->name, .n_tensors = n, .file_bytes = ts_hf_folder_bytes(q->m->folder)};
    for (size_t i = 0; i < n; i++) {
        const ts_array *a = ts_hf_tensor_array(&q->m->tensor[i], 0);
        q->tensor[i] = *ts_gguf_tensor_at(q->g, i);
        q->tensor[i].data = ts_hf_tensor_in_place(q->m, &q->m->tensor[i]);
        q->tensor[i].file = a ? a->file : 0;
        q->tensor[i].offset = a ? a->offset : 0;
        q->base.n_params += q->tensor[i].dim[0] * q->tensor[i].dim[1];
    }
    return TS_OK;
}

ts_status ts_hf_source_open(ts_source **out, const char *path, ts_err *err) {
    hf_source *q = ts_calloc(1, sizeof *q);
    if (!q) return ts_fail_nomem(err, "a source", sizeof *q);
    const ts_status st = fill(q, path, err);
    if (st == TS_OK) *out = &q->base;
    else close_it((ts_source *)(void *)q);
    return st;
}

bool ts_hf_is_model(const char *path) {
    static const char *const ending[] = {".safetensors", ".bin", ".pt", ".pth"};
    ts_map map;
    bool named = false;
    if (ts_file_is_dir(path)) return true;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) named |= ts_ends(path, ending[i]);
    if (!named || ts_map_open(&map, path, NULL) != TS_OK) return named;
    named = map.len < 4 || memcmp(map.data, "GGUF", 4) != 0;
    ts_map_close(&map);
    return named;
}

const ts_hf_model *ts_hf_source_model(const ts_source *s) {
    return s->op == &ops ? of(s)->m : NULL;
}

const ts_gguf *ts_hf_source_header(const ts_source *s) {
    return of(s)->g;
}
