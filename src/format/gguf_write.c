#include "format/gguf_write.h"

#include "base/arena.h"
#include "base/outfile.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 63, /* bytes of a tensor name that every reader takes; ours takes more */
    MAX_KEY = 65535,
    CHUNK = 1 << 20, /* bytes of rows asked of a rows function at a time, or one row */
};

typedef struct pending {
    const char *name;
    ts_dtype type;
    uint32_t n_dims;
    uint64_t dim[4], rows;
    size_t row_bytes, bytes;
    uint64_t offset; /* within the data */
    const void *data;
    ts_gguf_rows_fn *fn; /* when data is NULL */
    void *ud;
} pending;

struct ts_gguf_writer {
    ts_status failed; /* the first failure, and its message */
    ts_err err;
    uint32_t alignment;
    ts_buf kv; /* the entries as in the file */
    uint64_t n_kv, data_bytes;
    ts_arena names;
    const char **keys;
    size_t cap_keys;
    pending *tensor;
    size_t n_tensors, cap_tensors;
};

ts_status ts_gguf_writer_new(ts_gguf_writer **out, uint32_t alignment, ts_err *err) {
    if (!alignment) alignment = 32;
    if (alignment < 8 || alignment > 1 << 30 || (alignment & (alignment - 1)))
        return ts_fail(err, TS_E_INVAL, "alignment %" PRIu32 " is not a power of two from 8 to 2^30", alignment);
    ts_gguf_writer *w = ts_calloc(1, sizeof *w);
    if (!w) return ts_fail_nomem(err, "a model file", sizeof *w);
    w->alignment = alignment;
    if (alignment != 32) ts_gguf_put_u32(w, "general.alignment", alignment);
    *out = w;
    return TS_OK;
}

void ts_gguf_writer_free(ts_gguf_writer *w) {
    if (!w) return;
    ts_buf_free(&w->kv);
    ts_arena_free(&w->names);
    ts_free(w->keys);
    ts_free(w->tensor);
    ts_free(w);
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

static size_t scalar_bytes(ts_gguf_type t) {
    switch (t) {
    case TS_GGUF_U8:
    case TS_GGUF_I8:
    case TS_GGUF_BOOL: return 1;
    case TS_GGUF_U16:
    case TS_GGUF_I16: return 2;
    case TS_GGUF_U32:
    case TS_GGUF_I32:
    case TS_GGUF_F32: return 4;
    case TS_GGUF_U64:
    case TS_GGUF_I64:
    case TS_GGUF_F64: return 8;
    case TS_GGUF_STRING:
    case TS_GGUF_ARRAY: break;
    }
    return 0;
}

static bool append_u32(ts_buf *b, uint32_t v) { return ts_buf_append(b, &v, sizeof v); }
static bool append_u64(ts_buf *b, uint64_t v) { return ts_buf_append(b, &v, sizeof v); }
static bool append_string(ts_buf *b, const void *s, size_t len) {
    return append_u64(b, len) && ts_buf_append(b, s, len);
}

static void no_memory(ts_gguf_writer *w, const char *what, size_t bytes) {
    w->failed = ts_fail_nomem(&w->err, what, bytes);
}

/* Begin an entry; false when the writer has failed. The caller appends the value and calls end_entry. */
static bool begin_entry(ts_gguf_writer *w, const char *key) {
    if (w->failed) return false;
    size_t len = strlen(key);
    if (!len || len > MAX_KEY) {
        w->failed = ts_fail(&w->err, TS_E_INVAL, "a key of %zu bytes: 1 to %d are allowed", len, MAX_KEY);
        return false;
    }
    char *copy = ts_arena_strndup(&w->names, key, len);
    if (!copy || !ts_grow((void **)&w->keys, &w->cap_keys, w->n_kv + 1, sizeof *w->keys) ||
        !append_string(&w->kv, key, len)) {
        no_memory(w, key, len);
        return false;
    }
    w->keys[w->n_kv] = copy;
    return true;
}

static void end_entry(ts_gguf_writer *w, const char *key, bool complete, size_t bytes) {
    if (complete)
        w->n_kv++;
    else
        no_memory(w, key, bytes);
}

void ts_gguf_put_scalar(ts_gguf_writer *w, const char *key, ts_gguf_type type, const void *v) {
    size_t bytes = scalar_bytes(type);
    assert(bytes);
    if (begin_entry(w, key)) end_entry(w, key, append_u32(&w->kv, type) && ts_buf_append(&w->kv, v, bytes), bytes);
}

void ts_gguf_put_u32(ts_gguf_writer *w, const char *key, uint32_t v) { ts_gguf_put_scalar(w, key, TS_GGUF_U32, &v); }
void ts_gguf_put_f32(ts_gguf_writer *w, const char *key, float v) { ts_gguf_put_scalar(w, key, TS_GGUF_F32, &v); }
void ts_gguf_put_bool(ts_gguf_writer *w, const char *key, bool v) {
    ts_gguf_put_scalar(w, key, TS_GGUF_BOOL, &(uint8_t){v});
}

void ts_gguf_put_bytes(ts_gguf_writer *w, const char *key, ts_span v) {
    if (begin_entry(w, key))
        end_entry(w, key, append_u32(&w->kv, TS_GGUF_STRING) && append_string(&w->kv, v.data, v.len), v.len);
}

void ts_gguf_put_str(ts_gguf_writer *w, const char *key, const char *v) {
    ts_gguf_put_bytes(w, key, (ts_span){.data = (const uint8_t *)v, .len = strlen(v)});
}

static bool append_array_header(ts_buf *b, ts_gguf_type elem, uint64_t n) {
    return append_u32(b, TS_GGUF_ARRAY) && append_u32(b, elem) && append_u64(b, n);
}

void ts_gguf_put_array(ts_gguf_writer *w, const char *key, ts_gguf_type elem, const void *v, size_t n) {
    size_t bytes = 0;
    assert(scalar_bytes(elem));
    if (!begin_entry(w, key)) return;
    bool ok = ts_size_mul(n, scalar_bytes(elem), &bytes) && append_array_header(&w->kv, elem, n) &&
              ts_buf_append(&w->kv, v, bytes);
    end_entry(w, key, ok, bytes);
}

void ts_gguf_put_strings(ts_gguf_writer *w, const char *key, const ts_span *v, size_t n) {
    if (!begin_entry(w, key)) return;
    bool ok = append_array_header(&w->kv, TS_GGUF_STRING, n);
    for (size_t i = 0; i < n && ok; i++) ok = append_string(&w->kv, v[i].data, v[i].len);
    end_entry(w, key, ok, n);
}

void ts_gguf_put_kv(ts_gguf_writer *w, const ts_gguf_kv *kv) {
    if (!strcmp(kv->key, "general.alignment") || !begin_entry(w, kv->key)) return;
    bool ok = kv->type == TS_GGUF_ARRAY ? append_array_header(&w->kv, kv->elem, kv->n) : append_u32(&w->kv, kv->type);
    end_entry(w, kv->key, ok && ts_buf_append(&w->kv, kv->raw.data, kv->raw.len), kv->raw.len);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t v, uint64_t alignment) { return (v + alignment - 1) & ~(alignment - 1); }

static ts_status add_tensor(ts_gguf_writer *w, pending t, const char *name, const uint64_t *dim) {
    ts_err *err = &w->err;
    size_t len = strlen(name);
    if (!len || len > MAX_NAME)
        return ts_fail(err, TS_E_INVAL, "tensor name \"%.80s\": 1 to %d bytes are allowed", name, MAX_NAME);
    if (t.n_dims < 1 || t.n_dims > 4)
        return ts_fail(err, TS_E_INVAL, "tensor \"%s\": %" PRIu32 " dimensions; 1 to 4 are allowed", name, t.n_dims);
    t.rows = 1;
    for (uint32_t d = 0; d < t.n_dims; d++) {
        t.dim[d] = dim[d];
        if (!dim[d]) return ts_fail(err, TS_E_INVAL, "tensor \"%s\": dimension %" PRIu32 " is 0", name, d);
        if (d && !ts_size_mul(t.rows, dim[d], &t.rows))
            return ts_fail(err, TS_E_INVAL, "tensor \"%s\": its dimensions are too large", name);
    }
    const ts_dtype_info *type = ts_dtype_get(t.type);
    if (!type->file_block || dim[0] % type->file_block)
        return ts_fail(err, TS_E_INVAL, "tensor \"%s\": rows of %" PRIu64 " cannot be stored as %s", name, dim[0],
                       type->name ? type->name : "this type");
    uint64_t end;
    if (!ts_size_mul(dim[0] / type->file_block, type->file_block_bytes, &t.row_bytes) ||
        !ts_size_mul(t.row_bytes, t.rows, &t.bytes) || !ts_size_add(w->data_bytes, t.bytes, &end) || end > INT64_MAX)
        return ts_fail(err, TS_E_INVAL, "tensor \"%s\": its dimensions are too large", name);
    t.offset = w->data_bytes;
    t.name = ts_arena_strndup(&w->names, name, len);
    if (!t.name || !ts_grow((void **)&w->tensor, &w->cap_tensors, w->n_tensors + 1, sizeof *w->tensor))
        return ts_fail_nomem(err, "the tensor list", (w->n_tensors + 1) * sizeof *w->tensor);
    w->tensor[w->n_tensors++] = t;
    w->data_bytes = align_up(end, w->alignment);
    return TS_OK;
}

void ts_gguf_add_tensor(ts_gguf_writer *w, const char *name, ts_dtype type, uint32_t n_dims, const uint64_t *dim,
                        const void *data) {
    assert(data);
    if (!w->failed) w->failed = add_tensor(w, (pending){.type = type, .n_dims = n_dims, .data = data}, name, dim);
}

void ts_gguf_add_tensor_fn(ts_gguf_writer *w, const char *name, ts_dtype type, uint32_t n_dims, const uint64_t *dim,
                           ts_gguf_rows_fn *fn, void *ud) {
    if (!w->failed)
        w->failed = add_tensor(w, (pending){.type = type, .n_dims = n_dims, .fn = fn, .ud = ud}, name, dim);
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

/* Where the bytes go: a file, or a buffer. */
typedef struct target {
    ts_outfile *file;
    ts_buf *buf;
} target;

static ts_status put(const target *to, const void *data, size_t len, ts_err *err) {
    if (to->file) return ts_outfile_write(to->file, data, len, err);
    return ts_buf_append(to->buf, data, len) ? TS_OK : ts_fail_nomem(err, "a model file", to->buf->len + len);
}

static ts_status put_padding(const target *to, uint64_t n, ts_err *err) {
    static const uint8_t zeros[4096];
    while (n) {
        size_t piece = n < sizeof zeros ? (size_t)n : sizeof zeros;
        TS_TRY(put(to, zeros, piece, err));
        n -= piece;
    }
    return TS_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* names[0..n) sorted in place; fails naming one that is there twice. */
static ts_status check_twins(const char **names, size_t n, const char *what, ts_err *err) {
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1], names[i]))
            return ts_fail(err, TS_E_INVAL, "%s \"%.80s\" is there twice", what, names[i]);
    return TS_OK;
}

static ts_status check(const ts_gguf_writer *w, ts_err *err) {
    if (w->failed) {
        if (err) *err = w->err;
        return w->failed;
    }
    size_t n = w->n_kv > w->n_tensors ? w->n_kv : w->n_tensors;
    const char **names = ts_alloc(n, sizeof *names);
    if (!names) return ts_fail_nomem(err, "names", n * sizeof *names);
    if (w->n_kv) memcpy(names, w->keys, w->n_kv * sizeof *names);
    ts_status s = check_twins(names, w->n_kv, "key", err);
    for (size_t i = 0; i < w->n_tensors; i++) names[i] = w->tensor[i].name;
    if (s == TS_OK) s = check_twins(names, w->n_tensors, "tensor", err);
    ts_free(names);
    return s;
}

static ts_status put_header(const ts_gguf_writer *w, const target *to, size_t *bytes, ts_err *err) {
    ts_buf b = {0};
    bool ok = ts_buf_puts(&b, "GGUF") && append_u32(&b, 3) && append_u64(&b, w->n_tensors) && append_u64(&b, w->n_kv) &&
              ts_buf_append(&b, w->kv.data, w->kv.len);
    for (size_t i = 0; i < w->n_tensors && ok; i++) {
        const pending *t = &w->tensor[i];
        ok = append_string(&b, t->name, strlen(t->name)) && append_u32(&b, t->n_dims) &&
             ts_buf_append(&b, t->dim, t->n_dims * sizeof *t->dim) && append_u32(&b, t->type) &&
             append_u64(&b, t->offset);
    }
    ts_status s = ok ? put(to, b.data, b.len, err) : ts_fail_nomem(err, "a model file's header", b.len);
    *bytes = b.len;
    ts_buf_free(&b);
    return s;
}

static ts_status put_rows(const pending *t, const target *to, ts_err *err) {
    uint64_t step = CHUNK / t->row_bytes ? CHUNK / t->row_bytes : 1;
    if (step > t->rows) step = t->rows;
    void *rows = ts_alloc(step, t->row_bytes);
    if (!rows) return ts_fail_nomem(err, t->name, step * t->row_bytes);
    ts_status s = TS_OK;
    for (uint64_t r = 0; r < t->rows && s == TS_OK; r += step) {
        uint64_t n = t->rows - r < step ? t->rows - r : step;
        s = t->fn(t->ud, r, n, rows, err);
        if (s == TS_OK) s = put(to, rows, n * t->row_bytes, err);
    }
    ts_free(rows);
    return s;
}

static ts_status put_front(const ts_gguf_writer *w, const target *to, ts_err *err) {
    size_t at = 0;
    TS_TRY(put_header(w, to, &at, err));
    /* without tensors there is no data, and nothing to align */
    return w->n_tensors ? put_padding(to, align_up(at, w->alignment) - at, err) : TS_OK;
}

static ts_status put_all(const ts_gguf_writer *w, const target *to, ts_err *err) {
    TS_TRY(put_front(w, to, err));
    for (size_t i = 0; i < w->n_tensors; i++) {
        const pending *t = &w->tensor[i];
        TS_TRY(t->data ? put(to, t->data, t->bytes, err) : put_rows(t, to, err));
        TS_TRY(put_padding(to, align_up(t->bytes, w->alignment) - t->bytes, err));
    }
    return TS_OK;
}

ts_status ts_gguf_save(const ts_gguf_writer *w, const char *path, ts_err *err) {
    TS_TRY(check(w, err));
    for (size_t i = 0; i < w->n_tensors; i++)
        if (w->tensor[i].type >= TS_DTYPES_OWN)
            return ts_fail(err, TS_E_INVAL, "tensor \"%s\" is of type %s, which no file has", w->tensor[i].name,
                           ts_dtype_get(w->tensor[i].type)->name);
    ts_outfile f;
    TS_TRY(ts_outfile_open(&f, path, err));
    ts_status s = put_all(w, &(target){.file = &f}, err);
    if (s == TS_OK) return ts_outfile_commit(&f, err);
    ts_outfile_discard(&f);
    return s;
}

static ts_status save_to(const ts_gguf_writer *w, ts_buf *out, bool front_only, ts_err *err) {
    TS_TRY(check(w, err));
    size_t len = out->len;
    ts_status s = (front_only ? put_front : put_all)(w, &(target){.buf = out}, err);
    if (s != TS_OK) {
        out->len = len;
        if (out->data) out->data[len] = 0;
    }
    return s;
}

ts_status ts_gguf_save_header(const ts_gguf_writer *w, ts_buf *out, ts_err *err) {
    return save_to(w, out, true, err);
}

ts_status ts_gguf_save_mem(const ts_gguf_writer *w, ts_buf *out, ts_err *err) {
    return save_to(w, out, false, err);
}
