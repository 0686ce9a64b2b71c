#include "ckpt/safetensors.h"
#include "base/arena.h"
#include "base/json_pull.h"
#include "base/printable.h"
#include "base/stand_in.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

enum { HEADER_MAX = 100000000, NAME_MAX_BYTES = 64 << 10, ARRAYS_MAX = 1 << 20 };

struct ts_safetensors {
    ts_map map;
    bool borrowed; /* the map is memory of the caller's */
    size_t data;   /* where the arrays begin */
    ts_array *array;
    size_t n, cap;
    ts_arena arena; /* names */
};

static const struct {
    const char *name;
    ts_elem elem;
    uint8_t bits;
} dtypes[] = {
    {"BOOL", TS_EL_BOOL, 8},         {"U8", TS_EL_U8, 8},         {"I8", TS_EL_I8, 8},
    {"U16", TS_EL_U16, 16},          {"I16", TS_EL_I16, 16},      {"U32", TS_EL_U32, 32},
    {"I32", TS_EL_I32, 32},          {"U64", TS_EL_U64, 64},      {"I64", TS_EL_I64, 64},
    {"F16", TS_EL_F16, 16},          {"BF16", TS_EL_BF16, 16},    {"F32", TS_EL_F32, 32},
    {"F64", TS_EL_F64, 64},          {"C64", TS_EL_OTHER, 64},    {"F8_E4M3", TS_EL_OTHER, 8},
    {"F8_E5M2", TS_EL_OTHER, 8},     {"F8_E8M0", TS_EL_OTHER, 8}, {"F8_E4M3FNUZ", TS_EL_OTHER, 8},
    {"F8_E5M2FNUZ", TS_EL_OTHER, 8}, {"F6_E2M3", TS_EL_OTHER, 6}, {"F6_E3M2", TS_EL_OTHER, 6},
    {"F4", TS_EL_OTHER, 4},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* What the header says of one array. */
typedef struct entry {
    const char *name;
    int dtype; /* of dtypes; -1: not said */
    bool has_shape, has_offsets;
    uint32_t n_dims;
    uint64_t dim[TS_ARRAY_DIMS], begin, end;
} entry;

/* Numbers are whole and have no sign, not even that of 0; the reader's own limit is 2^63. */
static uint64_t read_count(ts_json *j) {
    if (ts_json_peek(j) == TS_JSON_NUMBER && j->s[j->pos] == '-') ts_json_fail(j, "expected a number of at least 0");
    return (uint64_t)ts_json_int(j);
}

static void read_shape(ts_json *j, entry *e) {
    e->has_shape = true;
    e->n_dims = 0;
    ts_json_array(j);
    while (ts_json_item(j)) {
        const uint64_t d = read_count(j);
        if (e->n_dims == TS_ARRAY_DIMS) ts_json_fail(j, "a shape of more than 8 dimensions");
        else e->dim[e->n_dims++] = d;
    }
}

static void read_offsets(ts_json *j, entry *e) {
    e->has_offsets = true;
    ts_json_array(j);
    uint64_t v[2] = {0};
    int n = 0;
    for (; ts_json_item(j); n++) {
        const uint64_t at = read_count(j);
        if (n < 2) v[n] = at;
    }
    if (n != 2) ts_json_fail(j, "data_offsets are two numbers");
    e->begin = v[0], e->end = v[1];
}

static void read_dtype(ts_json *j, entry *e) {
    ts_span s;
    if (!ts_json_string(j, &s)) return;
    for (int i = 0; i < N_DTYPES; i++)
        if (ts_span_is(s, dtypes[i].name)) e->dtype = i;
    if (e->dtype < 0) ts_json_fail(j, "an unknown dtype");
}

/* One array's object. A field twice would be two opinions; unknown ones are for others. */
static void read_entry(ts_json *j, entry *e) {
    ts_span key;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        if (ts_span_is(key, "dtype")) {
            if (e->dtype >= 0) ts_json_fail(j, "dtype is there twice");
            read_dtype(j, e);
        } else if (ts_span_is(key, "shape")) {
            if (e->has_shape) ts_json_fail(j, "shape is there twice");
            read_shape(j, e);
        } else if (ts_span_is(key, "data_offsets")) {
            if (e->has_offsets) ts_json_fail(j, "data_offsets are there twice");
            read_offsets(j, e);
        } else {
            ts_json_skip(j);
        }
    }
    if (e->dtype < 0) ts_json_fail(j, "dtype is missing");
    if (!e->has_shape) ts_json_fail(j, "shape is missing");
    if (!e->has_offsets) ts_json_fail(j, "data_offsets are missing");
}

static int by_bytes(const void *va, const void *vb) {
    const ts_span *a = va, *b = vb;
    const int c = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

/* Nothing in it matters here, but a key that is there twice (escapes undone) is two opinions, as anywhere. */
static ts_status read_metadata(ts_safetensors *s, ts_json *j, ts_err *err) {
    ts_span key, value, *all = NULL;
    size_t n = 0, cap = 0;
    ts_status st = TS_OK;
    ts_json_object(j);
    while (st == TS_OK && ts_json_key(j, &key)) {
        const char *copy = ts_arena_strndup(&s->arena, (const char *)key.data, key.len);
        if (copy && ts_grow((void **)&all, &cap, n + 1, sizeof *all))
            all[n++] = (ts_span){(const uint8_t *)copy, key.len};
        else st = ts_fail_nomem(err, "a key", key.len);
        ts_json_string(j, &value);
    }
    if (n) qsort(all, n, sizeof *all, by_bytes);
    for (size_t i = 1; i < n; i++)
        if (!by_bytes(&all[i - 1], &all[i])) ts_json_fail(j, "a key of __metadata__ is there twice");
    ts_free(all);
    return st;
}

/* Shown in messages: names may be anything. */
typedef struct shown {
    char text[96];
} shown;
static shown show(const char *name) {
    shown s;
    ts_printable(s.text, sizeof s.text, name, strlen(name));
    return s;
}

/* As the reference multiplies: from the left, each step checked, so that 2^64 times 0 is too much. */
static ts_status add_array(ts_safetensors *s, const entry *e, ts_err *err) {
    uint64_t bits = 1, size;
    for (uint32_t i = 0; i < e->n_dims; i++)
        if (__builtin_mul_overflow(bits, e->dim[i], &bits))
            return ts_fail(err, TS_E_FORMAT, "array \"%s\": its shape multiplies to more than 2^64",
                           show(e->name).text);
    if (__builtin_mul_overflow(bits, (uint64_t)dtypes[e->dtype].bits, &bits) || bits % 8)
        return ts_fail(err, TS_E_FORMAT, "array \"%s\": its bits are too many, or no whole bytes", show(e->name).text);
    size = bits / 8;
    const uint64_t there = s->map.len - s->data;
    if (e->begin > e->end || e->end - e->begin != size)
        return ts_fail(err, TS_E_FORMAT,
                       "array \"%s\": bytes %" PRIu64 " to %" PRIu64 " for a shape of %" PRIu64 " bytes",
                       show(e->name).text, e->begin, e->end, size);
    if (e->end > there)
        return ts_fail(err, TS_E_FORMAT,
                       "array \"%s\" ends %" PRIu64 " bytes behind the end of the file: it is "
                       "incomplete; fetch it again",
                       show(e->name).text, e->end - there);
    if (s->n == ARRAYS_MAX) return ts_fail(err, TS_E_LIMIT, "more than %d arrays", (int)ARRAYS_MAX);
    if (!ts_grow((void **)&s->array, &s->cap, s->n + 1, sizeof *s->array))
        return ts_fail_nomem(err, "the list of arrays", (s->n + 1) * sizeof *s->array);
    ts_array *a = &s->array[s->n++];
    *a = (ts_array){.name = e->name,
                    .elem = dtypes[e->dtype].elem,
                    .elem_name = dtypes[e->dtype].name,
                    .n_dims = e->n_dims,
                    .data = s->map.data + s->data + e->begin,
                    .bytes = (size_t)size,
                    .offset = s->data + e->begin};
    uint64_t step = 1;
    for (uint32_t i = e->n_dims; i-- > 0; step *= e->dim[i]) a->dim[i] = e->dim[i], a->stride[i] = step;
    return TS_OK;
}

static ts_status read_arrays(ts_safetensors *s, ts_json *j, ts_err *err) {
    ts_span key;
    bool metadata = false;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        if (ts_span_is(key, "__metadata__")) {
            if (metadata) ts_json_fail(j, "__metadata__ is there twice");
            metadata = true;
            TS_TRY(read_metadata(s, j, err));
            continue;
        }
        if (key.len > NAME_MAX_BYTES) ts_json_fail(j, "a name of more than 64 KiB");
        if (key.len && memchr(key.data, 0, key.len)) ts_json_fail(j, "a name with a NUL in it");
        entry e = {.name = ts_arena_strndup(&s->arena, (const char *)key.data, key.len), .dtype = -1};
        if (!e.name) return ts_fail_nomem(err, "a name", key.len);
        read_entry(j, &e);
        if (j->bad) {
            TS_TRY(ts_json_status(j, err));
            break;
        }
        TS_TRY(add_array(s, &e, err));
    }
    ts_json_end(j);
    return ts_json_status(j, err);
}

static int by_name(const void *va, const void *vb) {
    const ts_array *a = *(const ts_array *const *)va, *b = *(const ts_array *const *)vb;
    return strcmp(a->name, b->name);
}
static int by_place(const void *va, const void *vb) {
    const ts_array *a = *(const ts_array *const *)va, *b = *(const ts_array *const *)vb;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes); /* empty ones first */
}

/* No name twice; from the first byte to the last every byte is one array's. */
static ts_status check_arrays(const ts_safetensors *s, ts_err *err) {
    const ts_array **order = ts_calloc(s->n, sizeof *order);
    if (!order) return ts_fail_nomem(err, "the order of arrays", s->n * sizeof *order);
    ts_status st = TS_OK;
    for (size_t i = 0; i < s->n; i++) order[i] = &s->array[i];
    if (s->n) qsort(order, s->n, sizeof *order, by_name);
    for (size_t i = 1; i < s->n && st == TS_OK; i++)
        if (!strcmp(order[i - 1]->name, order[i]->name))
            st = ts_fail(err, TS_E_FORMAT, "array \"%s\" is there twice", show(order[i]->name).text);
    if (s->n) qsort(order, s->n, sizeof *order, by_place);
    uint64_t at = s->data;
    for (size_t i = 0; i < s->n && st == TS_OK; at = order[i]->offset + order[i]->bytes, i++)
        if (order[i]->offset != at)
            st = ts_fail(
                err, TS_E_FORMAT, "array \"%s\" begins at byte %" PRIu64 " where %" PRIu64 " is due: arrays %s",
                show(order[i]->name).text, order[i]->offset, at, order[i]->offset < at ? "overlap" : "leave a hole");
    if (st == TS_OK && at != s->map.len)
        st = ts_fail(err, TS_E_FORMAT, "%" PRIu64 " bytes stand behind the last array", s->map.len - at);
    ts_free(order);
    return st;
}

/* What else comes under such a name: better said than "header of 7e15 bytes". */
static ts_status check_kind(ts_span file, ts_err *err) {
    TS_TRY(ts_no_stand_in(file, err));
    if (ts_span_begins(file, "GGUF"))
        return ts_fail(err, TS_E_UNSUPP, "a GGUF file under another name; rename it to .gguf");
    if (ts_span_begins(file, "PK\x03\x04"))
        return ts_fail(err, TS_E_UNSUPP, "a zip (a PyTorch file?) under another name");
    return TS_OK;
}

static ts_status check_utf8(const char *p, size_t n, ts_err *err) {
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        const int len = ts_utf8_decode(p + i, n - i, &cp);
        if (!len) return ts_fail(err, TS_E_FORMAT, "the header is not UTF-8 at byte %zu", 8 + i);
        i += (size_t)len;
    }
    return TS_OK;
}

static ts_status parse(ts_safetensors *s, ts_err *err) {
    uint64_t n;
    TS_TRY(check_kind((ts_span){s->map.data, s->map.len}, err));
    if (s->map.len < 8) return ts_fail(err, TS_E_FORMAT, "%zu bytes are no safetensors file", s->map.len);
    memcpy(&n, s->map.data, sizeof n);
    if (n > HEADER_MAX)
        return ts_fail(err, TS_E_FORMAT, "a header of %" PRIu64 " bytes; at most %d are allowed", n, (int)HEADER_MAX);
    if (n > s->map.len - 8)
        return ts_fail(err, TS_E_FORMAT, "the file ends in its header: %" PRIu64 " bytes are missing",
                       n - (s->map.len - 8));
    const char *header = (const char *)s->map.data + 8;
    if (n == 0 || *header != '{') return ts_fail(err, TS_E_FORMAT, "the header does not begin with {");
    TS_TRY(check_utf8(header, (size_t)n, err));
    s->data = 8 + (size_t)n;
    ts_json j;
    ts_json_init(&j, header, (size_t)n);
    ts_status st = read_arrays(s, &j, err);
    ts_json_fini(&j);
    return st == TS_OK ? check_arrays(s, err) : st;
}

ts_status ts_safetensors_open(ts_safetensors **out, const char *path, ts_err *err) {
    ts_safetensors *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "a safetensors file", sizeof *s);
    ts_status st = ts_map_open(&s->map, path, err);
    if (st == TS_OK && (st = parse(s, err)) != TS_OK) ts_err_prefix(err, st, "%s", path);
    if (st == TS_OK) *out = s;
    else ts_safetensors_close(s);
    return st;
}

ts_status ts_safetensors_open_mem(ts_safetensors **out, ts_span bytes, ts_err *err) {
    ts_safetensors *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "a safetensors file", sizeof *s);
    s->borrowed = true;
    s->map = (ts_map){.data = bytes.data, .len = bytes.len};
    const ts_status st = parse(s, err);
    if (st == TS_OK) *out = s;
    else ts_safetensors_close(s);
    return st;
}

void ts_safetensors_close(ts_safetensors *s) {
    if (!s) return;
    if (!s->borrowed) ts_map_close(&s->map);
    ts_arena_free(&s->arena);
    ts_free(s->array);
    ts_free(s);
}

size_t ts_safetensors_n(const ts_safetensors *s) {
    return s->n;
}
const ts_array *ts_safetensors_at(const ts_safetensors *s, size_t i) {
    return &s->array[i];
}
const ts_map *ts_safetensors_map(const ts_safetensors *s) {
    return &s->map;
}
