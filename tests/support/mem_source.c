#include "support/mem_source.h"
#include "support/tiny_tokenizer.h"

#include "text/tok_impl.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

typedef struct mem_source {
    ts_source base;
    const zoo_model *zoo;
    ts_model_config config;
    size_t n;
    ts_random_tensor *what; /* [n] */
    ts_tensor *tensor;      /* [n] */
    char (*name)[32];
    bool *used;
    size_t *fetched; /* bytes */
} mem_source;

static mem_source *of(const ts_source *s) {
    return (mem_source *)(uintptr_t)s;
}

static void close_it(ts_source *s) {
    mem_source *q = of(s);
    for (size_t i = 0; q->tensor && i < q->n; i++) ts_free((void *)(uintptr_t)q->tensor[i].data);
    ts_free(q->what);
    ts_free(q->tensor);
    ts_free(q->name);
    ts_free(q->used);
    ts_free(q->fetched);
    ts_free(q);
}

static ts_status family(const ts_source *s, ts_span *out, ts_err *err) {
    (void)err;
    const char *arch = of(s)->config.arch;
    *out = (ts_span){(const uint8_t *)arch, strlen(arch)};
    return TS_OK;
}

static ts_status config(const ts_source *s, const char *name, ts_model_config *out, ts_err *err) {
    (void)name, (void)err;
    *out = of(s)->config;
    return TS_OK;
}

ts_tensor *mem_source_tensor(ts_source *s, ts_role role, uint32_t layer, bool bias) {
    mem_source *q = of(s);
    for (size_t i = 0; i < q->n; i++) {
        const ts_random_tensor *t = &q->what[i];
        if (t->role != role || t->bias != bias || (role < TS_LAYER_ROLES && t->layer != layer)) continue;
        q->used[i] = true;
        return &q->tensor[i];
    }
    return NULL;
}

static const ts_tensor *tensor(ts_source *s, ts_role role, uint32_t layer, bool bias) {
    return mem_source_tensor(s, role, layer, bias);
}

static const char *role_name(const ts_source *s, ts_role role) {
    static const char *const names[TS_ROLES] = {"q", "k", "v", "o", "gate", "up", "down", "norm 1", "norm 2",
                                                "norm of q", "norm of k", "embedding", "last norm", "head", "factors"};
    (void)s;
    return names[role];
}

static const char *tensor_name(const ts_source *s, ts_role role, uint32_t layer, bool bias, char *buf, size_t len) {
    snprintf(buf, len, "%s%s %u", bias ? "bias of " : "", role_name(s, role), layer);
    return buf;
}

static const ts_tensor *tensor_at(const ts_source *s, size_t i) {
    return &of(s)->tensor[i];
}

static const ts_tensor *unused(const ts_source *s, size_t *i) {
    for (; *i < of(s)->n; ++*i)
        if (!of(s)->used[*i]) return &of(s)->tensor[(*i)++];
    return NULL;
}

static ts_status refuse_rest(const ts_source *s, const ts_model_config *c, ts_err *err) {
    size_t i = 0;
    const ts_tensor *t = unused(s, &i);
    (void)c;
    return t ? ts_fail(err, TS_E_UNSUPP, "%s: nobody wants %s", s->name, t->name) : TS_OK;
}

static size_t warn_rest(const ts_source *s, const ts_model_config *c, char *out, size_t cap) {
    (void)s, (void)c, (void)cap;
    *out = 0;
    return 0;
}

/* Bytes, as the vocabulary of random models has them, without its control tokens. */
static ts_status tokenizer(const ts_source *s, const char *pre, ts_tokenizer **out, ts_err *err) {
    (void)s, (void)pre;
    ts_buf json = {0};
    bool ok = true;
    for (unsigned i = 0; i < 256; i++) {
        ok = ok && ts_buf_puts(&json, i ? ",\"" : "{\"") && (i != '"' && i != '\\' ? true : ts_buf_putc(&json, '\\')) &&
             tiny_byte(&json, i) && ts_buf_printf(&json, "\":%u", i);
    }
    if (!ok || !ts_buf_puts(&json, "}")) {
        ts_buf_free(&json);
        return ts_fail_nomem(err, "a vocabulary", json.len);
    }
    ts_tokenizer *t;
    const ts_span vocab = {(const uint8_t *)json.data, json.len};
    ts_status st = ts_tok_from_pair(&t, vocab, (ts_span){0}, "llama-bpe", NULL, err);
    ts_buf_free(&json);
    if (st == TS_OK && (st = ts_tok_finish(t, err)) != TS_OK) ts_tokenizer_free(t);
    if (st == TS_OK) *out = t;
    return st;
}

/* What a model has read of a matrix it has asked for before. */
static void release(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    assert(t->dim[1] == 1 || first + len <= of(s)->fetched[t - of(s)->tensor]);
}

static void fetch(const ts_source *s, const ts_tensor *t, size_t first, size_t len) {
    size_t *fetched = &of(s)->fetched[t - of(s)->tensor];
    assert(first + len <= t->bytes);
    if (first + len > *fetched) *fetched = first + len;
}

static ts_status check_unchanged(const ts_source *s, ts_err *err) {
    (void)s, (void)err;
    return TS_OK;
}

static const char *part(const ts_source *s, int file) {
    (void)file;
    return s->name;
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

static void describe(mem_source *q, const ts_shape *s) {
    ts_model_config *c = &q->config;
    *c = (ts_model_config){.n_layer = s->n_layer, .n_vocab = s->n_vocab, .n_ctx_train = s->n_ctx,
                           .d_model = s->d_model, .d_ff = s->d_ff, .n_head = s->n_head, .n_kv_head = s->n_kv_head,
                           .head_dim = s->head_dim, .window = s->window, .norm_eps = s->norm_eps,
                           .att_scale = 1.0f / sqrtf((float)s->head_dim), .n_rot = s->n_rot ? s->n_rot : s->head_dim,
                           .rope_base = s->rope_base, .rope_factor = 1, .rope_halves = strcmp(s->arch, "llama") != 0,
                           .rope_ctx_orig = s->rope_ctx_orig ? s->rope_ctx_orig : s->n_ctx, .yarn_ext = 1,
                           .yarn_attn = 1, .yarn_beta_fast = 32, .yarn_beta_slow = 1};
    snprintf(c->arch, sizeof c->arch, "%s", s->arch);
    snprintf(c->name, sizeof c->name, "%s in memory", s->name);
    if (s->linear > 0) c->rope_scaling = TS_ROPE_LINEAR, c->rope_factor = s->linear;
    if (s->yarn > 0) c->rope_scaling = TS_ROPE_YARN, c->rope_factor = s->yarn;
}

static bool make_tensors(mem_source *q) {
    for (size_t i = 0; i < q->n; i++) {
        ts_random_tensor t = q->what[i];
        const uint64_t rows = t.rows ? t.rows : 1;
        const size_t bytes = ts_dtype_row_bytes(t.type, t.cols) * rows;
        void *data = ts_alloc_aligned(bytes, 1);
        if (!data) return false;
        ts_random_rows(&t, rows, data);
        tensor_name(&q->base, t.role, t.layer, t.bias, q->name[i], sizeof q->name[i]);
        q->tensor[i] = (ts_tensor){.name = q->name[i], .type = t.type, .n_dims = t.rows ? 2 : 1,
                                   .dim = {t.cols, rows, 1, 1}, .data = data, .bytes = bytes};
        q->base.n_params += t.cols * rows;
    }
    return true;
}

ts_status mem_source_new(ts_source **out, const zoo_model *m, ts_err *err) {
    mem_source *q = ts_calloc(1, sizeof *q);
    if (!q) return ts_fail_nomem(err, "a source", sizeof *q);
    const size_t n = ts_shape_tensors(&m->shape, &m->mix, zoo_seed(m), NULL);
    q->base = (ts_source){.op = &ops, .name = "(made up)", .n_tensors = n};
    q->zoo = m;
    q->n = n;
    q->what = ts_calloc(n, sizeof *q->what);
    q->tensor = ts_calloc(n, sizeof *q->tensor);
    q->name = ts_calloc(n, sizeof *q->name);
    q->used = ts_calloc(n, sizeof *q->used);
    q->fetched = ts_calloc(n, sizeof *q->fetched);
    bool ok = q->what && q->tensor && q->name && q->used && q->fetched;
    if (ok) ts_shape_tensors(&m->shape, &m->mix, zoo_seed(m), q->what);
    if (!ok || !make_tensors(q)) {
        close_it(&q->base);
        return ts_fail_nomem(err, "random tensors", n);
    }
    describe(q, &m->shape);
    *out = &q->base;
    return TS_OK;
}

ts_model_config *mem_source_config(ts_source *s) {
    return &of(s)->config;
}

/* Row 2i of the rotated part goes to i, row 2i + 1 to n_rot/2 + i. */
void mem_source_untangle(ts_source *s) {
    const ts_model_config *c = &of(s)->config;
    for (uint32_t layer = 0; layer < c->n_layer; layer++)
        for (int k = 0; k < 2; k++) {
            ts_tensor *t = mem_source_tensor(s, k ? TS_ROLE_K : TS_ROLE_Q, layer, false);
            const size_t row = t->bytes / t->dim[1], half = c->n_rot / 2;
            char *rows = (char *)(uintptr_t)t->data, *was = ts_alloc(t->bytes, 1);
            memcpy(was, rows, t->bytes);
            for (size_t r = 0; r < t->dim[1]; r++) {
                const size_t head = r / c->head_dim * c->head_dim, d = r % c->head_dim;
                const size_t to = d >= c->n_rot ? d : d % 2 * half + d / 2;
                memcpy(rows + (head + to) * row, was + r * row, row);
            }
            ts_free(was);
        }
    of(s)->config.rope_halves = true;
}
