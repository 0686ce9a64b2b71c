/* session_file.c - a session to a file and back. The format is described in docs/formats/session.md. */
#include "engine/session_file.h"
#include "base/outfile.h"
#include "model/finite.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "session files are little-endian, and written as memory has them"
#endif

enum { HAS_LOGITS = 1, ALIGN = 64 };
static const char MAGIC[8] = "TSESSION"; /* without its NUL */

typedef struct header {
    char magic[8];
    uint32_t version, kv_type;
    uint64_t model;
    uint32_t n_layer, n_kv_head, head_pad, n_vocab;
    uint64_t n, page_bytes;
    uint32_t flags, reserved;
} header;
_Static_assert(sizeof(header) == 64, "the header has no holes");

/* ---- checksum, identity ------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

void ts_session_sum_add(ts_session_sum *sum, const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t word, h = sum->h;
    while (len > 0 && (sum->n_part > 0 || len < sizeof word)) {
        sum->part[sum->n_part++] = *p++;
        len--;
        if (sum->n_part < sizeof word) continue;
        memcpy(&word, sum->part, sizeof word);
        h = mix(h, word);
        sum->n_part = 0;
    }
    for (; len >= sizeof word; len -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = mix(h, word);
    }
    memcpy(sum->part + sum->n_part, p, len);
    sum->n_part += (uint32_t)len;
    sum->h = h;
}

uint64_t ts_session_sum_end(const ts_session_sum *sum) {
    uint64_t word = 0;
    memcpy(&word, sum->part, sum->n_part);
    return mix(mix(sum->h, word), sum->n_part);
}

static void add_text(ts_session_sum *sum, const char *s) {
    ts_session_sum_add(sum, s, strlen(s) + 1);
}

/* Of a tensor that is made: from the beginning of its first row, one in the middle and the last. */
static ts_status add_made(ts_session_sum *sum, const ts_source *src, const ts_tensor *t, ts_err *err) {
    const uint64_t rows = t->dim[1], at[] = {0, rows / 2, rows - 1};
    const size_t row_bytes = ts_dtype_row_bytes(t->type, t->dim[0]), n = row_bytes < 64 ? row_bytes : 64;
    void *row = ts_alloc(1, row_bytes);
    if (!row) return ts_fail_nomem(err, t->name, row_bytes);
    for (int i = 0; i < 3; i++) ts_session_sum_add(sum, ts_source_rows(src, t, at[i], 1, row), n);
    ts_free(row);
    return TS_OK;
}

/* A tensor: name, type, shape, and 64 bytes from its beginning, middle and end. */
static ts_status add_tensor(ts_session_sum *sum, const ts_source *src, const ts_tensor *t, ts_err *err) {
    const uint32_t type = (uint32_t)t->type;
    const size_t n = t->bytes < 64 ? t->bytes : 64, at[] = {0, (t->bytes - n) / 2, t->bytes - n};
    add_text(sum, t->name);
    ts_session_sum_add(sum, &type, sizeof type);
    ts_session_sum_add(sum, t->dim, sizeof t->dim);
    for (int i = 0; i < 3 && t->data; i++) ts_session_sum_add(sum, (const char *)t->data + at[i], n);
    if (!t->data) TS_TRY(add_made(sum, src, t, err));
    if (ts_act_block(t->type)) src->op->release(src, t, 0, t->bytes); /* the packed form is what is used */
    return TS_OK;
}

ts_status ts_session_model_id(const ts_engine *e, uint64_t *id, ts_err *err) {
    const ts_model_config *c = &e->model->c;
    const uint32_t whole[] = {c->n_layer,       c->n_vocab,    c->d_model, c->d_ff,  c->n_head,
                              c->n_kv_head,     c->head_dim,   c->window,  c->n_rot, (uint32_t)c->rope_scaling,
                              c->rope_ctx_orig, c->rope_halves};
    const float real[] = {c->norm_eps, c->att_scale, c->rope_base,      c->rope_factor,
                          c->yarn_ext, c->yarn_attn, c->yarn_beta_fast, c->yarn_beta_slow};
    ts_session_sum sum = {0};
    add_text(&sum, c->arch);
    ts_session_sum_add(&sum, whole, sizeof whole);
    ts_session_sum_add(&sum, real, sizeof real);
    for (size_t i = 0; i < e->src->n_tensors; i++)
        TS_TRY(add_tensor(&sum, e->src, e->src->op->tensor_at(e->src, i), err));
    *id = ts_session_sum_end(&sum);
    return TS_OK;
}

static ts_status header_of(const ts_session *s, header *out, ts_err *err) {
    const ts_model_config *c = &s->e->model->c;
    header h = {.version = TS_SESSION_VERSION,
                .kv_type = (uint32_t)s->kv.type,
                .n_layer = c->n_layer,
                .n_kv_head = c->n_kv_head,
                .head_pad = s->kv.head_pad,
                .n_vocab = c->n_vocab,
                .n = s->n,
                .page_bytes = s->kv.page_bytes,
                .flags = s->has_logits ? HAS_LOGITS : 0};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    *out = h;
    return ts_session_model_id(s->e, &out->model, err);
}

static size_t padding(uint64_t bytes) {
    return (size_t)(-bytes % ALIGN);
}

static uint32_t pages_of(uint64_t n) {
    return (uint32_t)((n + TS_KV_TILE - 1) / TS_KV_TILE);
}

/* ---- save -------------------------------------------------------------------------------------------------------- */

struct writer {
    ts_outfile file;
    ts_session_sum sum;
};

static ts_status put(struct writer *w, const void *data, size_t len, ts_err *err) {
    ts_session_sum_add(&w->sum, data, len);
    return ts_outfile_write(&w->file, data, len, err);
}

static ts_status put_padded(struct writer *w, const void *data, size_t len, ts_err *err) {
    static const uint8_t zero[ALIGN];
    TS_TRY(put(w, data, len, err));
    return put(w, zero, padding(len), err);
}

/* The pages; `last` is room for the last one, from which what lies behind the timeline is taken out. */
static ts_status put_pages(struct writer *w, const ts_session *s, char *last, ts_err *err) {
    const uint32_t n = pages_of(s->n);
    for (uint32_t i = 0; i + 1 < n; i++) TS_TRY(put(w, s->kv.page[i], s->kv.page_bytes, err));
    if (n == 0) return TS_OK;
    memcpy(last, s->kv.page[n - 1], s->kv.page_bytes);
    ts_kv_blank(&s->kv, last, (uint32_t)(s->n - (size_t)(n - 1) * TS_KV_TILE));
    return put(w, last, s->kv.page_bytes, err);
}

static ts_status put_all(struct writer *w, const ts_session *s, char *last, ts_err *err) {
    header h;
    TS_TRY(header_of(s, &h, err));
    TS_TRY(put(w, &h, sizeof h, err));
    TS_TRY(put_padded(w, s->token, s->n * sizeof *s->token, err));
    if (s->has_logits) TS_TRY(put_padded(w, s->logits, h.n_vocab * sizeof *s->logits, err));
    TS_TRY(put_pages(w, s, last, err));
    const uint64_t sum = ts_session_sum_end(&w->sum);
    return ts_outfile_write(&w->file, &sum, sizeof sum, err);
}

ts_status ts_session_save(const ts_session *s, const char *path, ts_err *err) {
    TS_NEED(s && path, err, "ts_session_save: there is no session, or no path");
    TS_TRY(s->e->src->op->check_unchanged(s->e->src, err));
    struct writer w = {0};
    char *last = ts_alloc(1, s->kv.page_bytes);
    if (!last) return ts_fail_nomem(err, "a page of the KV cache", s->kv.page_bytes);
    ts_status st = ts_outfile_open(&w.file, path, err);
    if (st == TS_OK) {
        st = put_all(&w, s, last, err);
        if (st == TS_OK) st = ts_outfile_commit(&w.file, err);
        ts_outfile_discard(&w.file);
    }
    ts_free(last);
    return st;
}

/* ---- restore ----------------------------------------------------------------------------------------------------- */

struct reader {
    const ts_session_source *from;
    ts_session_sum sum;
};

static ts_status get(struct reader *r, void *to, size_t len, ts_err *err) {
    TS_TRY(r->from->read(r->from->ud, to, len, err));
    ts_session_sum_add(&r->sum, to, len);
    return TS_OK;
}

static ts_status get_padded(struct reader *r, void *to, size_t len, ts_err *err) {
    uint8_t rest[ALIGN];
    TS_TRY(get(r, to, len, err));
    return get(r, rest, padding(len), err);
}

static const char *type_name(uint32_t type) {
    const char *name = ts_kv_type_name((ts_kv_type)type);
    return name ? name : "an unknown type";
}

/* Is it a session of this model and cache, that fits, and is the file as long as it says? */
static ts_status check(const ts_session *s, const header *h, const ts_session_source *from, ts_err *err) {
    const char *name = from->name;
    header own;
    TS_TRY(header_of(s, &own, err));
    if (memcmp(h->magic, own.magic, sizeof h->magic) != 0)
        return ts_fail(err, TS_E_FORMAT, "%s: not a saved session", name);
    if (h->version != TS_SESSION_VERSION)
        return ts_fail(err, TS_E_UNSUPP,
                       "%s: a session of format version %" PRIu32 ", but this program reads version %d", name,
                       h->version, TS_SESSION_VERSION);
    if (h->model != own.model)
        return ts_fail(err, TS_E_UNSUPP, "%s: a session of another model (%016" PRIx64 "; this one is %016" PRIx64 ")",
                       name, h->model, own.model);
    if (h->kv_type != own.kv_type)
        return ts_fail(err, TS_E_UNSUPP, "%s: a session with a KV cache of %s, but this one has %s", name,
                       type_name(h->kv_type), type_name(own.kv_type));
    if (h->n_layer != own.n_layer || h->n_kv_head != own.n_kv_head || h->head_pad != own.head_pad ||
        h->n_vocab != own.n_vocab || h->page_bytes != own.page_bytes || h->flags & ~(uint32_t)HAS_LOGITS || h->reserved)
        return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: its header contradicts the model", name);
    if (h->n > s->n_ctx)
        return ts_fail(err, TS_E_LIMIT, "%s: a session of %" PRIu64 " tokens does not fit into the context of %u", name,
                       h->n, s->n_ctx);
    /* n is at most 2^32, a page of checked size */
    const uint64_t tokens = h->n * sizeof(ts_token), logits = h->flags & HAS_LOGITS ? (uint64_t)h->n_vocab * 4 : 0;
    uint64_t pages, all;
    if (__builtin_mul_overflow((uint64_t)pages_of(h->n), h->page_bytes, &pages) ||
        __builtin_add_overflow(sizeof *h + tokens + padding(tokens) + logits + padding(logits) + 8, pages, &all) ||
        all != from->bytes)
        return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: %" PRIu64 " bytes are not what its header says", name,
                       from->bytes);
    if (h->n == 0 && logits) return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: logits of no token", name);
    return TS_OK;
}

/* Everything behind the header into a session that has nothing yet. */
static ts_status get_all(struct reader *r, ts_session *s, const header *h, ts_err *err) {
    const char *name = r->from->name;
    const uint32_t n = (uint32_t)h->n;
    TS_TRY(get_padded(r, s->token, n * sizeof *s->token, err));
    if (h->flags & HAS_LOGITS) TS_TRY(get_padded(r, s->logits, h->n_vocab * sizeof *s->logits, err));
    TS_TRY(ts_kv_reserve(&s->kv, 0, n, err));
    bool finite = true;
    for (uint32_t i = 0; i < pages_of(n); i++) {
        const ts_status got = get(r, s->kv.page[i], s->kv.page_bytes, err);
        const uint32_t in = n - i * TS_KV_TILE < TS_KV_TILE ? n - i * TS_KV_TILE : TS_KV_TILE;
        finite &= ts_kv_admit(&s->kv, s->kv.page[i], in); /* of half a page too: others will use it */
        TS_TRY(got);
    }
    uint64_t sum;
    TS_TRY(r->from->read(r->from->ud, &sum, sizeof sum, err));
    if (sum != ts_session_sum_end(&r->sum))
        return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: its checksum is wrong", name);
    if (!finite) return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: a key or value is no finite number", name);
    if (h->flags & HAS_LOGITS && ts_beyond(s->logits, h->n_vocab, FLT_MAX))
        return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: its logits are not finite", name);
    for (uint32_t i = 0; i < n; i++)
        if (s->token[i] < 0 || (uint32_t)s->token[i] >= h->n_vocab)
            return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: token %d at position %u", name, s->token[i], i);
    return TS_OK;
}

ts_status ts_session_restore_from(ts_session *s, const ts_session_source *from, ts_err *err) {
    struct reader r = {.from = from};
    header h;
    if (from->bytes < sizeof h) return ts_fail(err, TS_E_FORMAT, "%s: not a saved session", from->name);
    TS_TRY(s->e->src->op->check_unchanged(s->e->src, err));
    TS_TRY(get(&r, &h, sizeof h, err));
    TS_TRY(check(s, &h, from, err));
    /* into a session of its own first: where the file turns out to be damaged, this one stays */
    const ts_session_opts o = {.n_ctx = s->n_ctx, .kv = s->kv.type};
    ts_session *fresh;
    TS_TRY(ts_session_make(&fresh, s->e, &o, err));
    ts_status st = get_all(&r, fresh, &h, err);
    if (st == TS_OK) {
        ts_kv kv = s->kv;
        s->kv = fresh->kv;
        fresh->kv = kv;
        s->n = (size_t)h.n;
        s->pending = s->run = 0;
        s->failed.code = TS_OK;
        memcpy(s->token, fresh->token, s->n * sizeof *s->token);
        s->has_logits = h.flags & HAS_LOGITS;
        if (s->has_logits) memcpy(s->logits, fresh->logits, h.n_vocab * sizeof *s->logits);
    }
    ts_session_free(fresh);
    return st;
}

struct from_file {
    int fd;
    const char *path;
};

static ts_status read_file(void *ud, void *to, size_t len, ts_err *err) {
    const struct from_file *f = ud;
    for (size_t done = 0; done < len;) {
        ssize_t n = read(f->fd, (char *)to + done, len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", f->path);
        if (n == 0) return ts_fail(err, TS_E_FORMAT, "%s: a damaged session: it ends too early", f->path);
        done += (size_t)n;
    }
    return TS_OK;
}

ts_status ts_session_restore(ts_session *s, const char *path, ts_err *err) {
    TS_NEED(s && path, err, "ts_session_restore: there is no session, or no path");
    struct from_file f = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    struct stat st;
    if (f.fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    ts_status s2 = TS_OK;
    if (fstat(f.fd, &st) < 0) s2 = ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode)) s2 = ts_fail(err, TS_E_IO, "cannot read %s: not a file", path);
    else
        s2 = ts_session_restore_from(
            s, &(ts_session_source){.name = path, .bytes = (uint64_t)st.st_size, .read = read_file, .ud = &f}, err);
    close(f.fd);
    return s2;
}
