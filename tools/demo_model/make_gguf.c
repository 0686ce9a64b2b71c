/* make_gguf.c - write a model file from a plain folder, in a chosen element type. A tool of the build tree.
 *
 *     make_gguf FOLDER TYPE OUT.gguf
 *
 * FOLDER/manifest.txt has one entry a line, in the order of the file:
 *     str KEY TEXT | u32 KEY N | f32 KEY X | bool KEY true|false     metadata; TEXT runs to the end of the line
 *     text KEY FILE        the whole of FOLDER/FILE as a string
 *     strings KEY FILE     the lines of FOLDER/FILE as an array of strings
 *     i32s KEY FILE        the numbers in FOLDER/FILE, one a line
 *     tensor NAME D0 [D1]  little-endian f32 in FOLDER/NAME.f32; D0 is the length of a row
 * Tensors of one dimension stay f32. Those of two get TYPE (q8_0, q4_0, q4_K, f32, ...), but the embeddings, which are
 * the output matrix too, get at least q8_0: they are small here, and they decide every token. */
#include "base/file.h"
#include "format/gguf_write.h"
#include "format/quant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that the writer borrows until the file is saved. */
typedef struct maker {
    const char *folder;
    ts_dtype type;
    ts_gguf_writer *w;
    void **kept;
    size_t n_kept, cap_kept;
    ts_err err;
} maker;

static ts_status nomem(maker *m) { return ts_fail_nomem(&m->err, "the model", 0); }

static ts_status keep(maker *m, void *p) {
    if (!p || !ts_grow((void **)&m->kept, &m->cap_kept, m->n_kept + 1, sizeof *m->kept)) {
        ts_free(p);
        return nomem(m);
    }
    m->kept[m->n_kept++] = p;
    return TS_OK;
}

static ts_status read_file(maker *m, const char *name, const char *suffix, ts_buf *out) {
    ts_buf path = {0};
    ts_status s = TS_OK;
    if (!ts_buf_printf(&path, "%s/%s%s", m->folder, name, suffix)) s = nomem(m);
    if (s == TS_OK) s = ts_file_read(out, path.data, (size_t)1 << 30, &m->err);
    ts_buf_free(&path);
    return s;
}

/* Calls fn for each line of the text, cut off and ended by NUL in place. */
static ts_status each_line(maker *m, ts_buf *text, ts_status (*fn)(maker *, char *, void *), void *ud) {
    char *line = text->data, *end = text->data + text->len;
    while (line && line < end) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        if (next) *next = 0;
        TS_TRY(fn(m, line, ud));
        line = next ? next + 1 : end;
    }
    return TS_OK;
}

typedef struct list {
    void *item;
    size_t n, cap;
} list;

static ts_status add_span(maker *m, char *line, void *ud) {
    list *l = ud;
    if (!ts_grow(&l->item, &l->cap, l->n + 1, sizeof(ts_span))) return nomem(m);
    ((ts_span *)l->item)[l->n++] = (ts_span){(const uint8_t *)line, strlen(line)};
    return TS_OK;
}

static ts_status whole_number(maker *m, const char *text, int64_t min, int64_t max, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < min || v > max)
        return ts_fail(&m->err, TS_E_FORMAT, "\"%s\" is not a whole number from %" PRId64 " to %" PRId64, text, min,
                       max);
    *out = v;
    return TS_OK;
}

static ts_status add_i32(maker *m, char *line, void *ud) {
    list *l = ud;
    int64_t v = 0;
    TS_TRY(whole_number(m, line, INT32_MIN, INT32_MAX, &v));
    if (!ts_grow(&l->item, &l->cap, l->n + 1, sizeof(int32_t))) return nomem(m);
    ((int32_t *)l->item)[l->n++] = (int32_t)v;
    return TS_OK;
}

static ts_status put_lines(maker *m, const char *key, const char *file, bool numbers) {
    ts_buf text = {0};
    list l = {0};
    ts_status s = read_file(m, file, "", &text);
    if (s == TS_OK) s = each_line(m, &text, numbers ? add_i32 : add_span, &l);
    if (s == TS_OK && numbers) ts_gguf_put_array(m->w, key, TS_GGUF_I32, l.item, l.n);
    if (s == TS_OK && !numbers) ts_gguf_put_strings(m->w, key, l.item, l.n);
    ts_free(l.item);
    ts_buf_free(&text);
    return s;
}

static ts_status put_text(maker *m, const char *key, const char *file) {
    ts_buf text = {0};
    ts_status s = read_file(m, file, "", &text);
    if (s == TS_OK) ts_gguf_put_bytes(m->w, key, (ts_span){(const uint8_t *)text.data, text.len});
    ts_buf_free(&text);
    return s;
}

static ts_status put_f32(maker *m, const char *key, const char *value) {
    char *end;
    float v = strtof(value, &end);
    if (end == value || *end) return ts_fail(&m->err, TS_E_FORMAT, "%s: \"%s\" is not a number", key, value);
    ts_gguf_put_f32(m->w, key, v);
    return TS_OK;
}

static ts_dtype type_of(const maker *m, const char *name, size_t n_dims) {
    if (n_dims == 1) return TS_F32;
    const ts_dtype_info *want = ts_dtype_get(m->type), *q8 = ts_dtype_get(TS_Q8_0);
    bool smaller = want->block_bytes * q8->block < q8->block_bytes * want->block; /* fewer bits a weight than q8_0 */
    return strcmp(name, "token_embd.weight") == 0 && smaller ? TS_Q8_0 : m->type;
}

static ts_status add_tensor(maker *m, const char *name, char *sizes) {
    uint64_t dim[2], total = 1;
    uint32_t n_dims = 0;
    for (char *save, *word = strtok_r(sizes, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        int64_t v = 0;
        if (n_dims == 2) return ts_fail(&m->err, TS_E_FORMAT, "tensor %s has more than two dimensions", name);
        TS_TRY(whole_number(m, word, 1, 1 << 24, &v));
        dim[n_dims++] = (uint64_t)v;
        total *= (uint64_t)v;
    }
    if (n_dims == 0) return ts_fail(&m->err, TS_E_FORMAT, "tensor %s has no dimensions", name);
    ts_dtype type = type_of(m, name, n_dims);
    size_t row_bytes = ts_dtype_row_bytes(type, dim[0]), rows = (size_t)(total / dim[0]);
    if (!row_bytes)
        return ts_fail(&m->err, TS_E_INVAL, "tensor %s: rows of %" PRIu64 " do not fit %s", name, dim[0],
                       ts_dtype_get(type)->name);
    ts_buf raw = {0};
    ts_status s = read_file(m, name, ".f32", &raw);
    if (s == TS_OK && raw.len != total * sizeof(float))
        s = ts_fail(&m->err, TS_E_FORMAT, "%s.f32 has %zu bytes, not %" PRIu64, name, raw.len,
                    total * (uint64_t)sizeof(float));
    void *blocks = s == TS_OK ? ts_alloc(rows, row_bytes) : NULL;
    if (s == TS_OK) s = keep(m, blocks);
    if (s == TS_OK) {
        ts_quantize(type, (const float *)(const void *)raw.data, blocks, (size_t)total);
        ts_gguf_add_tensor(m->w, name, type, n_dims, dim, blocks);
    }
    ts_buf_free(&raw);
    return s;
}

static ts_status entry(maker *m, char *line, void *ud) {
    (void)ud;
    char *save, *kind = strtok_r(line, " ", &save), *key = strtok_r(NULL, " ", &save), *value = save;
    if (!kind) return TS_OK; /* an empty line */
    if (!key || !value || !*value) return ts_fail(&m->err, TS_E_FORMAT, "\"%s\" needs a name and a value", kind);
    int64_t v = 0;
    if (!strcmp(kind, "str")) {
        ts_gguf_put_str(m->w, key, value);
    } else if (!strcmp(kind, "u32")) {
        TS_TRY(whole_number(m, value, 0, UINT32_MAX, &v));
        ts_gguf_put_u32(m->w, key, (uint32_t)v);
    } else if (!strcmp(kind, "f32")) {
        return put_f32(m, key, value);
    } else if (!strcmp(kind, "bool")) {
        ts_gguf_put_bool(m->w, key, !strcmp(value, "true"));
    } else if (!strcmp(kind, "text")) {
        return put_text(m, key, value);
    } else if (!strcmp(kind, "strings") || !strcmp(kind, "i32s")) {
        return put_lines(m, key, value, kind[0] == 'i');
    } else if (!strcmp(kind, "tensor")) {
        return add_tensor(m, key, value);
    } else {
        return ts_fail(&m->err, TS_E_FORMAT, "unknown kind of entry \"%s\"", kind);
    }
    return TS_OK;
}

/* The number that llama.cpp shows as the type of a whole file; other types have none here. */
static void put_file_type(maker *m) {
    static const struct { ts_dtype type; uint32_t number; } known[] = {
        {TS_F32, 0}, {TS_F16, 1}, {TS_Q4_0, 2}, {TS_Q8_0, 7}, {TS_Q4_K, 14}, {TS_Q6_K, 18}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].type == m->type) ts_gguf_put_u32(m->w, "general.file_type", known[i].number);
    ts_gguf_put_u32(m->w, "general.quantization_version", 2);
}

static ts_status make(maker *m, const char *out) {
    ts_buf manifest = {0};
    TS_TRY(ts_gguf_writer_new(&m->w, 0, &m->err));
    ts_status s = read_file(m, "manifest.txt", "", &manifest);
    if (s == TS_OK) s = each_line(m, &manifest, entry, NULL);
    if (s == TS_OK) put_file_type(m);
    if (s == TS_OK) s = ts_gguf_save(m->w, out, &m->err);
    ts_gguf_writer_free(m->w);
    ts_buf_free(&manifest);
    for (size_t i = 0; i < m->n_kept; i++) ts_free(m->kept[i]);
    ts_free(m->kept);
    return s;
}

int main(int argc, char **argv) {
    maker m = {0};
    if (argc != 4 || !ts_dtype_find(argv[2], &m.type)) {
        fprintf(stderr, "Usage: make_gguf FOLDER TYPE OUT.gguf    (TYPE: q8_0, q4_0, q4_K, f32, ...)\n");
        return 2;
    }
    m.folder = argv[1];
    if (make(&m, argv[3]) == TS_OK) return 0;
    fprintf(stderr, "make_gguf: %s\n", m.err.msg);
    return 1;
}
