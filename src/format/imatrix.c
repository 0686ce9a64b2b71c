/* The formats are in docs/formats/imatrix.md. */
#include "format/imatrix.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/printable.h"
#include "format/gguf.h"
#include "format/gguf_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 1024 };

struct ts_imatrix {
    ts_arena arena;
    ts_imatrix_entry *entry; /* sorted by name */
    size_t n, cap;
    const char *dataset;
    uint32_t n_chunks, chunk_size;
};

void ts_imatrix_free(ts_imatrix *m) {
    if (!m) return;
    ts_arena_free(&m->arena);
    ts_free(m->entry);
    ts_free(m);
}

static ts_status set_dataset(ts_imatrix *m, const void *text, size_t len, ts_err *err) {
    const size_t end = len ? strnlen(text, len) : 0;
    m->dataset = ts_arena_strndup(&m->arena, text, end);
    return m->dataset ? TS_OK : ts_fail_nomem(err, "an importance matrix", end);
}

ts_status ts_imatrix_new(ts_imatrix **out, const char *dataset, uint32_t n_chunks, uint32_t chunk_size, ts_err *err) {
    ts_imatrix *m = ts_calloc(1, sizeof *m);
    if (!m) return ts_fail_nomem(err, "an importance matrix", sizeof *m);
    m->n_chunks = n_chunks;
    m->chunk_size = chunk_size;
    ts_status s = set_dataset(m, dataset, strlen(dataset), err);
    if (s == TS_OK) *out = m;
    else ts_imatrix_free(m);
    return s;
}

/* Where the name is, or would be. */
static size_t place_of(const ts_imatrix *m, const char *name) {
    size_t low = 0, high = m->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (strcmp(m->entry[mid].name, name) < 0) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* A new entry behind all others, with room for its means, which the caller fills. */
static ts_status append(ts_imatrix *m, const char *name, size_t len, size_t n_in, size_t n_mat, double count,
                        float **mean, ts_err *err) {
    const char *copy = ts_arena_strndup(&m->arena, name, len);
    size_t n = 0;
    *mean = copy && ts_size_mul(n_in, n_mat, &n) ? ts_arena_alloc(&m->arena, n, sizeof **mean) : NULL;
    if (!*mean || !ts_grow((void **)&m->entry, &m->cap, m->n + 1, sizeof *m->entry))
        return ts_fail_nomem(err, "an importance matrix", n * sizeof **mean);
    m->entry[m->n++] = (ts_imatrix_entry){.name = copy, .n_in = n_in, .n_mat = n_mat, .mean = *mean, .count = count};
    return TS_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const ts_imatrix_entry *)a)->name, ((const ts_imatrix_entry *)b)->name);
}

/* In order, each name once. `file` is for the message. */
static ts_status sort(ts_imatrix *m, const char *file, ts_err *err) {
    if (m->n) qsort(m->entry, m->n, sizeof *m->entry, by_name);
    for (size_t i = 1; i < m->n; i++) {
        if (by_name(&m->entry[i - 1], &m->entry[i]) != 0) continue;
        char shown[80];
        ts_printable(shown, sizeof shown, m->entry[i].name, strlen(m->entry[i].name));
        return ts_fail(err, TS_E_FORMAT, "%s: \"%s\" is there twice", file, shown);
    }
    return TS_OK;
}

/* A mean from a sum over `count` inputs. */
static bool mean_of(double sum, double count, float *mean) {
    *mean = count > 0 ? (float)(sum / count) : 1;
    return sum >= 0 && isfinite(sum) && isfinite(*mean);
}

static ts_status bad_sum(const char *file, const void *name, size_t len, size_t column, float v, ts_err *err) {
    char shown[80];
    ts_printable(shown, sizeof shown, name, len);
    return ts_fail(err, TS_E_FORMAT, "%s: \"%s\", column %zu: a sum of squares of %g", file, shown, column, (double)v);
}

ts_status ts_imatrix_add(ts_imatrix *m, const char *name, size_t n_in, uint64_t count, const double *sum_square,
                         ts_err *err) {
    const size_t at = place_of(m, name);
    if (at < m->n && !strcmp(m->entry[at].name, name))
        return ts_fail(err, TS_E_INVAL, "importance matrix: \"%.80s\" is there already", name);
    float v;
    for (size_t i = 0; i < n_in; i++)
        if (!mean_of(sum_square[i], (double)count, &v))
            return ts_fail(err, TS_E_INVAL, "importance matrix: \"%.80s\", column %zu: a sum of squares of %g", name, i,
                           sum_square[i]);
    float *mean;
    TS_TRY(append(m, name, strlen(name), n_in, 1, (double)count, &mean, err));
    for (size_t i = 0; i < n_in; i++) (void)mean_of(sum_square[i], (double)count, &mean[i]);
    const ts_imatrix_entry e = m->entry[m->n - 1];
    memmove(m->entry + at + 1, m->entry + at, (m->n - 1 - at) * sizeof e);
    m->entry[at] = e;
    return TS_OK;
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

/* name without the ending, which it has: its length, else 0 */
static size_t stem(const char *name, const char *ending) {
    const size_t n = strlen(name), k = strlen(ending);
    return n > k && !strcmp(name + n - k, ending) ? n - k : 0;
}

static ts_status read_tensor(ts_imatrix *m, const ts_gguf *g, const ts_tensor *t, size_t len, ts_err *err) {
    const char *file = ts_gguf_path(g);
    char shown[80], name[MAX_NAME];
    ts_printable(shown, sizeof shown, t->name, len);
    if (len + sizeof ".counts" > sizeof name)
        return ts_fail(err, TS_E_FORMAT, "%s: \"%s\": a name of %zu bytes", file, shown, len);
    memcpy(name, t->name, len);
    memcpy(name + len, ".counts", sizeof ".counts");
    const ts_tensor *c = ts_gguf_tensor(g, name);
    name[len] = 0;
    if (!c) return ts_fail(err, TS_E_FORMAT, "%s: \"%s\" has no counts", file, shown);
    size_t n_mat = 0;
    if (t->type != TS_F32 || c->type != TS_F32 || !ts_size_mul(t->dim[1], t->dim[2] * t->dim[3], &n_mat) ||
        t->dim[2] * t->dim[3] != 1 || c->dim[0] * c->dim[2] * c->dim[3] != 1 || c->dim[1] != n_mat)
        return ts_fail(err, TS_E_FORMAT,
                       "%s: \"%s\" and its counts are not F32 of [columns, matrices] and [1, matrices]", file, shown);
    double all = 0;
    for (size_t k = 0; k < n_mat; k++) {
        float count;
        memcpy(&count, (const uint8_t *)c->data + k * 4, 4);
        if (!(count >= 0) || !isfinite(count))
            return ts_fail(err, TS_E_FORMAT, "%s: \"%s\", matrix %zu: a count of %g", file, shown, k, (double)count);
        all += (double)count;
    }
    float *mean;
    TS_TRY(append(m, name, len, (size_t)t->dim[0], n_mat, all, &mean, err));
    for (size_t k = 0; k < n_mat; k++)
        for (size_t i = 0; i < t->dim[0]; i++) {
            float count, sum;
            memcpy(&count, (const uint8_t *)c->data + k * 4, 4);
            memcpy(&sum, (const uint8_t *)t->data + (k * (size_t)t->dim[0] + i) * 4, 4);
            if (!mean_of((double)sum, (double)count, &mean[k * (size_t)t->dim[0] + i]))
                return bad_sum(file, name, len, i, sum, err);
        }
    return TS_OK;
}

static ts_status read_gguf(ts_imatrix *m, const ts_gguf *g, ts_err *err) {
    const char *file = ts_gguf_path(g);
    ts_span type = {0};
    TS_TRY(ts_gguf_str(g, "general.type", false, &type, err));
    if (type.len != 7 || memcmp(type.data, "imatrix", 7))
        return ts_fail(err, TS_E_FORMAT, "%s: not an importance matrix (its general.type is not \"imatrix\")", file);
    TS_TRY(ts_gguf_u32(g, "imatrix.chunk_count", false, &m->n_chunks, err));
    TS_TRY(ts_gguf_u32(g, "imatrix.chunk_size", false, &m->chunk_size, err));
    const ts_gguf_kv *kv = ts_gguf_find(g, "imatrix.datasets");
    if (kv && kv->type == TS_GGUF_ARRAY && kv->elem == TS_GGUF_STRING && kv->n) {
        ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
        const ts_span first = ts_gguf_next_string(&r);
        TS_TRY(set_dataset(m, first.data, first.len, err));
    }
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        const size_t len = stem(t->name, ".in_sum2");
        if (len) TS_TRY(read_tensor(m, g, t, len, err));
    }
    return TS_OK;
}

/* ---- the older format -------------------------------------------------------------------------------------------- */

static ts_status damaged(const char *file, const ts_reader *r, const char *what, ts_err *err) {
    return ts_fail(err, TS_E_FORMAT, "%s: not an importance matrix, or damaged: %s before byte %zu", file, what,
                   r->pos);
}

static ts_status read_dat(ts_imatrix *m, ts_span in, const char *file, ts_err *err) {
    ts_reader r = ts_reader_of(in.data, in.len);
    const uint32_t n = ts_read_u32(&r);
    if (r.fail || !n || n > in.len / 16)
        return damaged(file, &r, "a number of entries that does not fit the file", err);
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t len = ts_read_u32(&r);
        if (!len || len > MAX_NAME) return damaged(file, &r, "a name's length", err);
        const ts_span name = ts_read_bytes(&r, len);
        const uint32_t calls = ts_read_u32(&r), n_in = ts_read_u32(&r);
        if (r.fail || strnlen((const char *)name.data, len) < len) return damaged(file, &r, "a name", err);
        if (!n_in || calls > INT32_MAX || n_in > (in.len - r.pos) / 4) return damaged(file, &r, "an entry's size", err);
        float *mean;
        TS_TRY(append(m, (const char *)name.data, len, n_in, 1, (double)calls, &mean, err));
        for (uint32_t i = 0; i < n_in; i++) {
            const float sum = ts_read_f32(&r);
            if (!mean_of((double)sum, calls, &mean[i])) return bad_sum(file, name.data, len, i, sum, err);
        }
    }
    if (r.pos == in.len) return TS_OK; /* the oldest ones end here */
    m->n_chunks = ts_read_u32(&r);
    const uint32_t len = ts_read_u32(&r);
    const ts_span text = ts_read_bytes(&r, len);
    if (r.fail || r.pos != in.len) return damaged(file, &r, "what follows the entries", err);
    return set_dataset(m, text.data, text.len, err);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

ts_status ts_imatrix_open_mem(ts_imatrix **out, ts_span bytes, const char *name, ts_err *err) {
    ts_imatrix *m = NULL;
    TS_TRY(ts_imatrix_new(&m, "", 0, 0, err));
    ts_status s;
    if (bytes.len >= 4 && !memcmp(bytes.data, "GGUF", 4)) {
        ts_gguf *g = NULL;
        s = ts_gguf_open_mem(&g, bytes, name, TS_GGUF_ANY_TYPE, err);
        if (s == TS_OK) s = read_gguf(m, g, err);
        ts_gguf_close(g);
    } else {
        s = read_dat(m, bytes, name, err);
    }
    if (s == TS_OK) s = sort(m, name, err);
    if (s == TS_OK && !m->n) s = ts_fail(err, TS_E_FORMAT, "%s: an importance matrix without entries", name);
    if (s == TS_OK) *out = m;
    else ts_imatrix_free(m);
    return s;
}

ts_status ts_imatrix_open(ts_imatrix **out, const char *path, ts_err *err) {
    ts_map map;
    TS_TRY(ts_map_open(&map, path, err));
    const ts_status s = ts_imatrix_open_mem(out, (ts_span){.data = map.data, .len = map.len}, path, err);
    ts_map_close(&map);
    return s;
}

ts_status ts_imatrix_save(const ts_imatrix *m, const char *path, ts_err *err) {
    ts_gguf_writer *w = NULL;
    TS_TRY(ts_gguf_writer_new(&w, 0, err));
    ts_gguf_put_str(w, "general.type", "imatrix");
    const ts_span dataset = {.data = (const uint8_t *)m->dataset, .len = strlen(m->dataset)};
    ts_gguf_put_strings(w, "imatrix.datasets", &dataset, 1);
    ts_gguf_put_u32(w, "imatrix.chunk_count", m->n_chunks);
    ts_gguf_put_u32(w, "imatrix.chunk_size", m->chunk_size);
    ts_arena sums = {0};
    ts_status s = TS_OK;
    for (size_t k = 0; k < m->n && s == TS_OK; k++) {
        const ts_imatrix_entry *e = &m->entry[k];
        const size_t n = e->n_in * e->n_mat;
        /* the means' matrices have seen equally much, as far as is known */
        float *sum = ts_arena_alloc(&sums, n, sizeof *sum), *count = ts_arena_alloc(&sums, e->n_mat, sizeof *count);
        char *name = ts_arena_alloc(&sums, strlen(e->name) + sizeof ".in_sum2", 1);
        if (!sum || !count || !name) {
            s = ts_fail_nomem(err, "an importance matrix", n * sizeof *sum);
            break;
        }
        for (size_t i = 0; i < e->n_mat; i++) count[i] = (float)(e->count / (double)e->n_mat);
        for (size_t i = 0; i < n; i++) sum[i] = (float)((double)e->mean[i] * e->count / (double)e->n_mat);
        memcpy(name, e->name, strlen(e->name));
        memcpy(name + strlen(e->name), ".in_sum2", sizeof ".in_sum2");
        ts_gguf_add_tensor(w, name, TS_F32, 2, (const uint64_t[]){e->n_in, e->n_mat}, sum);
        memcpy(name + strlen(e->name), ".counts", sizeof ".counts");
        ts_gguf_add_tensor(w, name, TS_F32, 2, (const uint64_t[]){1, e->n_mat}, count);
    }
    if (s == TS_OK) s = ts_gguf_save(w, path, err);
    ts_arena_free(&sums);
    ts_gguf_writer_free(w);
    return s;
}

size_t ts_imatrix_n(const ts_imatrix *m) {
    return m->n;
}
const ts_imatrix_entry *ts_imatrix_at(const ts_imatrix *m, size_t i) {
    return &m->entry[i];
}
const char *ts_imatrix_dataset(const ts_imatrix *m) {
    return m->dataset;
}
uint32_t ts_imatrix_chunks(const ts_imatrix *m) {
    return m->n_chunks;
}
uint32_t ts_imatrix_chunk_size(const ts_imatrix *m) {
    return m->chunk_size;
}

const ts_imatrix_entry *ts_imatrix_find(const ts_imatrix *m, const char *name) {
    const size_t at = place_of(m, name);
    return at < m->n && !strcmp(m->entry[at].name, name) ? &m->entry[at] : NULL;
}
