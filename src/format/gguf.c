/* The layout, our limits and every message are described in docs/formats/gguf.md. */
#include "format/gguf.h"

#include "base/arena.h"
#include "base/printable.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NESTING = 8,   /* arrays in arrays */
    MAX_KEY = 65535,   /* bytes, as the format says */
    MAX_NAME = 255,    /* bytes of a tensor name; ggml allows 63 */
    MAX_PARTS = 4096,  /* of a split model */
    MIN_KV_BYTES = 13, /* key length, type, one byte of value: bounds a count by the size of the file */
    MIN_TENSOR_BYTES = 32,
    DEFAULT_ALIGNMENT = 32,
};

/* Names in order, for look-up by bisection. Sorting rather than hashing: no file can make it slow. */
typedef struct entry {
    const char *name;
    uint32_t i;
} entry;

/* One file, parsed. */
typedef struct part {
    const char *path;
    ts_map map;
    bool mapped; /* we own the mapping */
    uint32_t version, alignment;
    uint64_t data_offset;
    ts_gguf_kv *kv;
    size_t n_kv, cap_kv;
    entry *by_key;
    ts_tensor *tensor;
    size_t n_tensors, cap_tensors;
} part;

struct ts_gguf {
    ts_arena names; /* keys, tensor names, paths */
    const char *path;
    unsigned flags;
    part *parts;
    int n_parts;
    ts_tensor *tensor; /* of all parts: parts[0].tensor when there is one part */
    size_t n_tensors;
    entry *by_name;
};

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* The end of a long path: the name of the file is there, and room must stay for what is wrong with it. */
static const char *tail_of(const char *path) {
    enum { SHOWN = 200 };
    size_t n = strlen(path);
    return n > SHOWN ? path + n - SHOWN : path;
}

/* One line: file, byte, what. */
TS_PRINTF(5, 6)
static ts_status bad(const part *p, ts_err *err, ts_status code, uint64_t offset, const char *fmt, ...) {
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return ts_fail(err, code, "%s: byte %" PRIu64 ": %s", tail_of(p->path), offset, what);
}

/* A name from the file in quotes, short and printable. Valid until the end of the enclosing full expression. */
typedef struct shown {
    char text[72];
} shown;

static shown show(const void *name, size_t len) {
    shown s;
    ts_printable(s.text, sizeof s.text, name, len);
    return s;
}
#define SHOW(name) show(name, strlen(name)).text

const char *ts_gguf_type_name(ts_gguf_type t) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)t < sizeof names / sizeof *names ? names[t] : "unknown";
}

/* Bytes of a scalar, 0 for strings, arrays and numbers that are no type. */
static size_t type_bytes(uint32_t t) {
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return t < sizeof bytes ? bytes[t] : 0;
}

/* ---- one file: header and metadata ------------------------------------------------------------------------------- */

/* A file that is something else: say what, if a look at its first bytes tells. */
static ts_status not_gguf(const part *p, ts_err *err) {
    static const struct {
        size_t at, len;
        const char *magic, *what;
    } known[] = {
        {0, 4, "lmgg", "a GGML file of before GGUF; convert the original model again"},
        {0, 4, "fmgg", "a GGMF file of before GGUF; convert the original model again"},
        {0, 4, "tjgg", "a GGJT file of before GGUF; convert the original model again"},
        {0, 4, "PK\3\4", "a zip archive, perhaps a PyTorch model; convert it to GGUF first"},
        {0, 2, "\x1f\x8b", "gzip-compressed; unpack it first"},
        {0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"},
        {0, 24, "version https://git-lfs.", "a Git LFS pointer, not the model itself; fetch it with git lfs pull"},
        {0, 1, "<", "a web page or XML; the download went wrong"},
        {8, 1, "{", "a safetensors file; convert it to GGUF first"},
        {0, 1, "{", "JSON"},
    };
    const uint8_t *d = p->map.data;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (p->map.len >= known[i].at + known[i].len && !memcmp(d + known[i].at, known[i].magic, known[i].len))
            return bad(p, err, TS_E_FORMAT, 0, "not a GGUF file: it looks like %s", known[i].what);
    return bad(p, err, TS_E_FORMAT, 0, "not a GGUF file: it does not begin with \"GGUF\"");
}

static ts_status read_header(part *p, ts_reader *r, uint64_t *n_kv, uint64_t *n_tensors, ts_err *err) {
    if (!p->map.len) return bad(p, err, TS_E_FORMAT, 0, "the file is empty");
    ts_span magic = ts_read_bytes(r, 4);
    if (!magic.data || memcmp(magic.data, "GGUF", 4)) return not_gguf(p, err);
    p->version = ts_read_u32(r);
    if (r->fail) return bad(p, err, TS_E_FORMAT, 4, "the file ends in its header");
    uint32_t swapped = __builtin_bswap32(p->version);
    if (p->version > 0xffff && swapped >= 1 && swapped <= 3)
        return bad(p, err, TS_E_UNSUPP, 4, "the file is big-endian; Tessera reads little-endian files only");
    if (p->version == 1)
        return bad(p, err, TS_E_UNSUPP, 4, "GGUF version 1 is obsolete; convert the original model again");
    if (p->version != 2 && p->version != 3)
        return bad(p, err, TS_E_UNSUPP, 4, "GGUF version %" PRIu32 " is unknown; Tessera reads 2 and 3", p->version);
    *n_tensors = ts_read_u64(r);
    *n_kv = ts_read_u64(r);
    if (r->fail) return bad(p, err, TS_E_FORMAT, r->pos, "the file ends in its header");
    uint64_t left = r->in.len - r->pos;
    if (*n_tensors > left / MIN_TENSOR_BYTES)
        return bad(p, err, TS_E_FORMAT, 8, "%" PRIu64 " tensors cannot be in a file of %zu bytes", *n_tensors,
                   p->map.len);
    if (*n_kv > left / MIN_KV_BYTES)
        return bad(p, err, TS_E_FORMAT, 16, "%" PRIu64 " metadata entries cannot be in a file of %zu bytes", *n_kv,
                   p->map.len);
    return TS_OK;
}

/* A key or tensor name: its length in bounds and no NUL in it. `what` with `index` names it in messages. */
static ts_status read_name(ts_gguf *g, const part *p, ts_reader *r, const char *what, uint64_t index, size_t limit,
                           const char **out, ts_err *err) {
    uint64_t at = r->pos, len = ts_read_u64(r);
    if (r->fail) return bad(p, err, TS_E_FORMAT, at, "the file ends before the name of %s %" PRIu64, what, index);
    if (len > limit)
        return bad(p, err, TS_E_FORMAT, at, "the name of %s %" PRIu64 " is %" PRIu64 " bytes long; at most %zu are "
                   "allowed", what, index, len, limit);
    ts_span s = ts_read_bytes(r, len);
    if (r->fail) return bad(p, err, TS_E_FORMAT, at, "the file ends in the name of %s %" PRIu64, what, index);
    if (len && memchr(s.data, 0, s.len))
        return bad(p, err, TS_E_FORMAT, at, "the name of %s %" PRIu64 " (\"%s\") has a NUL byte in it", what, index,
                   show(s.data, s.len).text);
    char *copy = ts_arena_strndup(&g->names, (const char *)s.data, s.len);
    if (!copy) return ts_fail_nomem(err, "names", s.len);
    *out = copy;
    return TS_OK;
}

/* Walk over one value (or `n` elements) of `type`, checking it. `key` for messages. */
static ts_status skip_values(const part *p, ts_reader *r, const char *key, uint32_t type, uint64_t n, int depth,
                             ts_err *err) {
    uint64_t at = r->pos, left = r->in.len - r->pos;
    size_t size = type_bytes(type);
    if (size) {
        if (n > left / size)
            return bad(p, err, TS_E_FORMAT, at, "key \"%s\": %" PRIu64 " %s do not fit in the %" PRIu64 " bytes left",
                       SHOW(key), n, ts_gguf_type_name(type), left);
        ts_span s = ts_read_bytes(r, n * size);
        for (size_t i = 0; type == TS_GGUF_BOOL && i < s.len; i++)
            if (s.data[i] > 1)
                return bad(p, err, TS_E_FORMAT, at + i, "key \"%s\": a bool is %d, neither 0 nor 1", SHOW(key),
                           s.data[i]);
        return TS_OK;
    }
    if (type != TS_GGUF_STRING && type != TS_GGUF_ARRAY)
        return bad(p, err, TS_E_FORMAT, at, "key \"%s\": value type %" PRIu32 " is unknown", SHOW(key), type);
    size_t least = type == TS_GGUF_STRING ? 8 : 12;
    if (n > left / least)
        return bad(p, err, TS_E_FORMAT, at, "key \"%s\": %" PRIu64 " %ss do not fit in the %" PRIu64 " bytes left",
                   SHOW(key), n, ts_gguf_type_name(type), left);
    if (type == TS_GGUF_ARRAY && depth >= MAX_NESTING)
        return bad(p, err, TS_E_FORMAT, at, "key \"%s\": arrays nested more than %d deep", SHOW(key), MAX_NESTING);
    for (uint64_t i = 0; i < n; i++) {
        at = r->pos;
        if (type == TS_GGUF_STRING) {
            uint64_t len = ts_read_u64(r);
            ts_read_bytes(r, len);
            if (r->fail)
                return bad(p, err, TS_E_FORMAT, at, "key \"%s\": string %" PRIu64 " of %" PRIu64
                           " (%" PRIu64 " bytes) runs past the end of the file", SHOW(key), i + 1, n, len);
        } else {
            uint32_t elem = ts_read_u32(r);
            uint64_t count = ts_read_u64(r);
            if (r->fail)
                return bad(p, err, TS_E_FORMAT, at, "key \"%s\": the file ends in an array's header", SHOW(key));
            TS_TRY(skip_values(p, r, key, elem, count, depth + 1, err));
        }
    }
    return TS_OK;
}

static ts_status read_kv(ts_gguf *g, part *p, ts_reader *r, uint64_t index, ts_err *err) {
    ts_gguf_kv kv = {.n = 1};
    TS_TRY(read_name(g, p, r, "key", index, MAX_KEY, &kv.key, err));
    uint64_t at = r->pos;
    uint32_t type = ts_read_u32(r), elem = type;
    if (type == TS_GGUF_ARRAY) {
        elem = ts_read_u32(r);
        kv.n = ts_read_u64(r);
    }
    if (r->fail) return bad(p, err, TS_E_FORMAT, at, "key \"%s\": the file ends before its value", SHOW(kv.key));
    kv.type = type;
    kv.elem = elem;
    kv.offset = r->pos;
    TS_TRY(skip_values(p, r, kv.key, elem, kv.n, type == TS_GGUF_ARRAY, err));
    kv.raw = (ts_span){.data = p->map.data + kv.offset, .len = r->pos - (size_t)kv.offset};
    if (!ts_grow((void **)&p->kv, &p->cap_kv, p->n_kv + 1, sizeof *p->kv))
        return ts_fail_nomem(err, "metadata", (p->n_kv + 1) * sizeof *p->kv);
    p->kv[p->n_kv++] = kv;
    return TS_OK;
}

/* ---- look-up ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *va, const void *vb) {
    const entry *a = va, *b = vb;
    int c = strcmp(a->name, b->name);
    return c ? c : (a->i > b->i) - (a->i < b->i);
}

/* Sort; returns the first entry that has the name of its predecessor, or NULL. */
static const entry *sort_entries(entry *e, size_t n) {
    qsort(e, n, sizeof *e, by_name);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(e[i - 1].name, e[i].name)) return &e[i];
    return NULL;
}

static const entry *find_entry(const entry *e, size_t n, const char *name) {
    for (size_t lo = 0, hi = n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, e[mid].name);
        if (!c) return &e[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static const ts_gguf_kv *find_kv(const part *p, const char *key) {
    const entry *e = find_entry(p->by_key, p->n_kv, key);
    return e ? &p->kv[e->i] : NULL;
}

static ts_status index_keys(part *p, ts_err *err) {
    p->by_key = ts_calloc(p->n_kv, sizeof *p->by_key);
    if (!p->by_key) return ts_fail_nomem(err, "the index of keys", p->n_kv * sizeof *p->by_key);
    for (size_t i = 0; i < p->n_kv; i++) p->by_key[i] = (entry){.name = p->kv[i].key, .i = (uint32_t)i};
    const entry *twin = sort_entries(p->by_key, p->n_kv);
    if (twin)
        return bad(p, err, TS_E_FORMAT, p->kv[twin->i].offset, "key \"%s\" is there twice", SHOW(twin->name));
    return TS_OK;
}

static ts_status index_tensors(ts_gguf *g, ts_err *err) {
    g->by_name = ts_calloc(g->n_tensors, sizeof *g->by_name);
    if (!g->by_name) return ts_fail_nomem(err, "the index of tensors", g->n_tensors * sizeof *g->by_name);
    for (size_t i = 0; i < g->n_tensors; i++) g->by_name[i] = (entry){.name = g->tensor[i].name, .i = (uint32_t)i};
    const entry *twin = sort_entries(g->by_name, g->n_tensors);
    if (!twin) return TS_OK;
    const ts_tensor *t = &g->tensor[twin->i];
    return bad(&g->parts[t->file], err, TS_E_FORMAT, t->offset, "tensor \"%s\" is there twice", SHOW(t->name));
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

int64_t ts_gguf_int(const ts_gguf_kv *kv, uint64_t i) {
    assert(i < kv->n);
    const uint8_t *p = kv->raw.data + i * type_bytes(kv->elem);
    union { uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; uint64_t u64; int64_t i64; } v;
    memcpy(&v, p, type_bytes(kv->elem));
    switch (kv->elem) {
    case TS_GGUF_U8:
    case TS_GGUF_BOOL: return v.u8;
    case TS_GGUF_I8: return v.i8;
    case TS_GGUF_U16: return v.u16;
    case TS_GGUF_I16: return v.i16;
    case TS_GGUF_U32: return v.u32;
    case TS_GGUF_I32: return v.i32;
    case TS_GGUF_U64: return v.u64 > INT64_MAX ? INT64_MAX : (int64_t)v.u64;
    case TS_GGUF_I64: return v.i64;
    case TS_GGUF_F32:
    case TS_GGUF_F64: {
        double d = ts_gguf_num(kv, i);
        return d >= 0x1p63 ? INT64_MAX : d > -0x1p63 ? (int64_t)d : d != d ? 0 : INT64_MIN;
    }
    case TS_GGUF_STRING:
    case TS_GGUF_ARRAY: break;
    }
    assert(false); /* not numeric: the caller did not check */
    return 0;
}

double ts_gguf_num(const ts_gguf_kv *kv, uint64_t i) {
    assert(i < kv->n);
    const uint8_t *p = kv->raw.data + i * type_bytes(kv->elem);
    if (kv->elem == TS_GGUF_F32) {
        float f;
        memcpy(&f, p, sizeof f);
        return (double)f;
    }
    if (kv->elem == TS_GGUF_F64) {
        double d;
        memcpy(&d, p, sizeof d);
        return d;
    }
    if (kv->elem == TS_GGUF_U64) {
        uint64_t u;
        memcpy(&u, p, sizeof u);
        return (double)u;
    }
    return (double)ts_gguf_int(kv, i);
}

ts_span ts_gguf_next_string(ts_reader *r) {
    return ts_read_bytes(r, ts_read_u64(r));
}

static bool is_integer(const ts_gguf_kv *kv) {
    switch (kv->type) {
    case TS_GGUF_U8:
    case TS_GGUF_I8:
    case TS_GGUF_U16:
    case TS_GGUF_I16:
    case TS_GGUF_U32:
    case TS_GGUF_I32:
    case TS_GGUF_U64:
    case TS_GGUF_I64: return true;
    default: return false;
    }
}

static ts_status wrong_type(const part *p, const ts_gguf_kv *kv, const char *want, ts_err *err) {
    return bad(p, err, TS_E_FORMAT, kv->offset, "key \"%s\" is %s%s, not %s", SHOW(kv->key),
               kv->type == TS_GGUF_I8 || kv->type == TS_GGUF_I16 || kv->type == TS_GGUF_I32 ||
                       kv->type == TS_GGUF_I64 || kv->type == TS_GGUF_ARRAY
                   ? "an "
                   : "a ",
               ts_gguf_type_name(kv->type), want);
}

/* A number from 0 to `max` < INT64_MAX; *out untouched when the key is absent. */
static ts_status get_uint(const part *p, const char *key, uint64_t max, bool required, uint64_t *out, ts_err *err) {
    const ts_gguf_kv *kv = find_kv(p, key);
    if (!kv && required)
        return ts_fail(err, TS_E_FORMAT, "%s: the key \"%s\" is missing", tail_of(p->path), key);
    if (!kv) return TS_OK;
    if (!is_integer(kv)) return wrong_type(p, kv, "a whole number", err);
    int64_t v = ts_gguf_int(kv, 0); /* a u64 that is too large for it saturates */
    if (v < 0 || (uint64_t)v > max)
        return bad(p, err, TS_E_FORMAT, kv->offset, "key \"%s\" is %" PRId64 ", not within 0 to %" PRIu64, SHOW(key), v,
                   max);
    *out = (uint64_t)v;
    return TS_OK;
}

ts_status ts_gguf_u32(const ts_gguf *g, const char *key, bool required, uint32_t *out, ts_err *err) {
    uint64_t v = *out;
    TS_TRY(get_uint(&g->parts[0], key, UINT32_MAX, required, &v, err));
    *out = (uint32_t)v;
    return TS_OK;
}

/* The key's entry, or NULL with TS_OK when it may be absent. */
static ts_status find_required(const ts_gguf *g, const char *key, bool required, const ts_gguf_kv **kv, ts_err *err) {
    *kv = ts_gguf_find(g, key);
    if (*kv || !required) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "%s: the key \"%s\" is missing", tail_of(g->parts[0].path), key);
}

ts_status ts_gguf_f32(const ts_gguf *g, const char *key, bool required, float *out, ts_err *err) {
    const ts_gguf_kv *kv;
    TS_TRY(find_required(g, key, required, &kv, err));
    if (!kv) return TS_OK;
    if (!is_integer(kv) && kv->type != TS_GGUF_F32 && kv->type != TS_GGUF_F64)
        return wrong_type(&g->parts[0], kv, "a number", err);
    double v = ts_gguf_num(kv, 0);
    if (!isfinite(v))
        return bad(&g->parts[0], err, TS_E_FORMAT, kv->offset, "key \"%s\" is %g, no finite number", SHOW(key), v);
    if (fabs(v) > (double)FLT_MAX)
        return bad(&g->parts[0], err, TS_E_FORMAT, kv->offset, "key \"%s\" is %g, too large for a float", SHOW(key), v);
    *out = (float)v;
    return TS_OK;
}

ts_status ts_gguf_bool(const ts_gguf *g, const char *key, bool required, bool *out, ts_err *err) {
    const ts_gguf_kv *kv;
    TS_TRY(find_required(g, key, required, &kv, err));
    if (!kv) return TS_OK;
    if (kv->type != TS_GGUF_BOOL) return wrong_type(&g->parts[0], kv, "a bool", err);
    *out = kv->raw.data[0] != 0;
    return TS_OK;
}

ts_status ts_gguf_str(const ts_gguf *g, const char *key, bool required, ts_span *out, ts_err *err) {
    const ts_gguf_kv *kv;
    TS_TRY(find_required(g, key, required, &kv, err));
    if (!kv) return TS_OK;
    if (kv->type != TS_GGUF_STRING) return wrong_type(&g->parts[0], kv, "a string", err);
    *out = (ts_span){.data = kv->raw.data + 8, .len = kv->raw.len - 8};
    return TS_OK;
}

/* ---- one file: tensors ------------------------------------------------------------------------------------------- */

/* Elements and bytes of a tensor; false on overflow. dim[0] is a multiple of the type's block. */
static bool tensor_size(const ts_tensor *t, const ts_dtype_info *type, size_t *bytes) {
    size_t elements = 1, rows = 1;
    for (int d = 0; d < 4; d++) {
        if (!ts_size_mul(elements, t->dim[d], &elements)) return false;
        if (d && !ts_size_mul(rows, t->dim[d], &rows)) return false;
    }
    return elements <= INT64_MAX && ts_size_mul(t->dim[0] / type->file_block, type->file_block_bytes, bytes) &&
           ts_size_mul(*bytes, rows, bytes);
}

/* One entry of the tensor list. Its offset is relative to the data here; place_tensors makes it absolute. */
static ts_status read_tensor(ts_gguf *g, part *p, ts_reader *r, uint64_t index, ts_err *err) {
    ts_tensor t = {.dim = {1, 1, 1, 1}};
    TS_TRY(read_name(g, p, r, "tensor", index, MAX_NAME, &t.name, err));
    uint64_t at = r->pos;
    t.n_dims = ts_read_u32(r);
    if (!r->fail && (t.n_dims < 1 || t.n_dims > 4))
        return bad(p, err, TS_E_FORMAT, at, "tensor \"%s\" has %" PRIu32 " dimensions; 1 to 4 are allowed",
                   SHOW(t.name), t.n_dims);
    for (uint32_t d = 0; d < t.n_dims && !r->fail; d++) {
        t.dim[d] = ts_read_u64(r);
        if (!r->fail && !t.dim[d])
            return bad(p, err, TS_E_FORMAT, r->pos - 8, "tensor \"%s\": dimension %" PRIu32 " is 0", SHOW(t.name), d);
    }
    uint64_t type_at = r->pos;
    uint32_t number = ts_read_u32(r);
    t.offset = ts_read_u64(r);
    if (r->fail) return bad(p, err, TS_E_FORMAT, at, "the file ends in the entry of tensor \"%s\"", SHOW(t.name));
    const ts_dtype_info *type = ts_dtype_get(number);
    if (!type->name || (number >= TS_DTYPES_OWN && !(g->flags & TS_GGUF_OWN_TYPES)))
        return bad(p, err, TS_E_UNSUPP, type_at, "tensor \"%s\" has the unknown type %" PRIu32, SHOW(t.name), number);
    if (!type->file_block || (!type->block && !(g->flags & TS_GGUF_ANY_TYPE)))
        return bad(p, err, TS_E_UNSUPP, type_at, "tensor \"%s\" is of type %s, which Tessera does not support",
                   SHOW(t.name), type->name);
    t.type = (ts_dtype)number;
    if (t.dim[0] % type->file_block)
        return bad(p, err, TS_E_FORMAT, at + 4, "tensor \"%s\": rows of %" PRIu64 " are not a multiple of %s's block "
                   "of %d", SHOW(t.name), t.dim[0], type->name, type->file_block);
    if (!tensor_size(&t, type, &t.bytes))
        return bad(p, err, TS_E_FORMAT, at + 4, "tensor \"%s\": its dimensions multiply to more than 2^63",
                   SHOW(t.name));
    if (t.offset % p->alignment)
        return bad(p, err, TS_E_FORMAT, type_at + 4, "tensor \"%s\": offset %" PRIu64 " is not a multiple of %" PRIu32,
                   SHOW(t.name), t.offset, p->alignment);
    if (!ts_grow((void **)&p->tensor, &p->cap_tensors, p->n_tensors + 1, sizeof *p->tensor))
        return ts_fail_nomem(err, "the tensor list", (p->n_tensors + 1) * sizeof *p->tensor);
    p->tensor[p->n_tensors++] = t;
    return TS_OK;
}

static int by_offset(const void *va, const void *vb) {
    const ts_tensor *a = *(const ts_tensor *const *)va, *b = *(const ts_tensor *const *)vb;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* With the data's position known: every tensor inside the file, none on another. */
static ts_status place_tensors(part *p, ts_err *err) {
    for (size_t i = 0; i < p->n_tensors; i++) {
        ts_tensor *t = &p->tensor[i];
        uint64_t begin, end;
        if (__builtin_add_overflow(p->data_offset, t->offset, &begin) ||
            __builtin_add_overflow(begin, t->bytes, &end) || end > p->map.len)
            return bad(p, err, TS_E_FORMAT, p->data_offset,
                       "tensor \"%s\" (%zu bytes at offset %" PRIu64 " of the data) runs past the end of the file at "
                       "%zu: the file is incomplete", SHOW(t->name), t->bytes, t->offset, p->map.len);
        t->offset = begin;
        t->data = p->map.data + begin;
    }
    const ts_tensor **order = ts_calloc(p->n_tensors, sizeof *order);
    if (!order) return ts_fail_nomem(err, "the order of tensors", p->n_tensors * sizeof *order);
    for (size_t i = 0; i < p->n_tensors; i++) order[i] = &p->tensor[i];
    qsort(order, p->n_tensors, sizeof *order, by_offset);
    ts_status s = TS_OK;
    for (size_t i = 1; i < p->n_tensors && s == TS_OK; i++)
        if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
            s = bad(p, err, TS_E_FORMAT, order[i]->offset, "tensors \"%s\" and \"%s\" overlap",
                    SHOW(order[i - 1]->name), SHOW(order[i]->name));
    ts_free(order);
    return s;
}

/* p->map and p->path are set. What was allocated is freed by ts_gguf_close. */
static ts_status parse_part(ts_gguf *g, part *p, ts_err *err) {
    ts_reader r = ts_reader_of(p->map.data, p->map.len);
    uint64_t n_kv = 0, n_tensors = 0, alignment = DEFAULT_ALIGNMENT;
    TS_TRY(read_header(p, &r, &n_kv, &n_tensors, err));
    for (uint64_t i = 0; i < n_kv; i++) TS_TRY(read_kv(g, p, &r, i, err));
    TS_TRY(index_keys(p, err));
    TS_TRY(get_uint(p, "general.alignment", UINT32_MAX, false, &alignment, err));
    if (alignment < 8 || alignment > 1 << 30 || (alignment & (alignment - 1)))
        return bad(p, err, TS_E_FORMAT, find_kv(p, "general.alignment")->offset,
                   "general.alignment is %" PRIu64 "; it must be a power of two from 8 to 2^30", alignment);
    p->alignment = (uint32_t)alignment;
    for (uint64_t i = 0; i < n_tensors; i++) TS_TRY(read_tensor(g, p, &r, i, err));
    p->data_offset = (r.pos + alignment - 1) / alignment * alignment;
    return g->flags & TS_GGUF_NO_DATA ? TS_OK : place_tensors(p, err);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static ts_status open_part(ts_gguf *g, part *p, const char *path, ts_err *err) {
    p->path = ts_arena_strndup(&g->names, path, strlen(path));
    if (!p->path) return ts_fail_nomem(err, "a path", strlen(path));
    TS_TRY(ts_map_open(&p->map, path, err));
    p->mapped = true;
    return parse_part(g, p, err);
}

/* The suffix of part `i` (from 0) of `n`. */
static void split_suffix(char out[32], uint64_t i, uint64_t n) {
    snprintf(out, 32, "-%05d-of-%05d.gguf", (int)i + 1, (int)n);
}

/* The model's metadata is part 1's. What another part says beyond that would be overlooked. */
static ts_status check_metadata(const part *first, const part *p, ts_err *err) {
    for (size_t i = 0; i < p->n_kv; i++) {
        const ts_gguf_kv *kv = &p->kv[i];
        if (!strncmp(kv->key, "split.", 6) || !strcmp(kv->key, "general.alignment")) continue; /* of each part */
        const ts_gguf_kv *other = find_kv(first, kv->key);
        if (!other || other->type != kv->type || other->elem != kv->elem || other->raw.len != kv->raw.len ||
            (kv->raw.len && memcmp(other->raw.data, kv->raw.data, kv->raw.len)))
            return bad(p, err, TS_E_FORMAT, kv->offset,
                       "key \"%s\" is not as in part 1, which has the model's metadata", SHOW(kv->key));
    }
    return TS_OK;
}

/* Part 0 of g->parts is the named one, and says that it is one of several: find and open the others, in order. */
static ts_status open_others(ts_gguf *g, uint64_t count, ts_err *err) {
    part named = g->parts[0];
    uint64_t no = 0, n_tensors = 0, v = 0;
    uint64_t at = find_kv(&named, "split.count")->offset;
    if (count > MAX_PARTS)
        return bad(&named, err, TS_E_FORMAT, at, "split.count is %" PRIu64 "; at most %d parts are allowed", count,
                   MAX_PARTS);
    TS_TRY(get_uint(&named, "split.no", count - 1, true, &no, err));
    char suffix[32], *path = NULL;
    split_suffix(suffix, no, count);
    size_t stem = strlen(named.path);
    if (stem < strlen(suffix) || strcmp(named.path + stem - strlen(suffix), suffix))
        return bad(&named, err, TS_E_FORMAT, at,
                   "this is part %d of %d of a split model, but its name does not end in %s: the other parts cannot be "
                   "found", (int)no + 1, (int)count, suffix);
    stem -= strlen(suffix);

    part *parts = ts_calloc(count, sizeof *parts);
    if (!parts) return ts_fail_nomem(err, "the parts", count * sizeof *parts);
    ts_free(g->parts);
    parts[no] = named;
    g->parts = parts;
    g->n_parts = (int)count;
    for (uint64_t i = 0; i < count; i++) {
        part *p = &parts[i];
        if (i != no) {
            split_suffix(suffix, i, count);
            ts_buf b = {0};
            if (!ts_buf_append(&b, named.path, stem) || !ts_buf_puts(&b, suffix)) {
                ts_buf_free(&b);
                return ts_fail_nomem(err, "a path", stem + 32);
            }
            path = b.data;
            ts_status s = open_part(g, p, path, err);
            if (s == TS_E_IO && !p->mapped)
                ts_err_prefix(err, s, "part %d of %d of %s", (int)i + 1, (int)count, tail_of(named.path));
            ts_free(path);
            if (s != TS_OK) return s;
        }
        TS_TRY(get_uint(p, "split.count", UINT32_MAX, true, &v, err));
        if (v != count)
            return bad(p, err, TS_E_FORMAT, find_kv(p, "split.count")->offset,
                       "split.count is %" PRIu64 ", but %" PRIu64 " in %s", v, count, tail_of(named.path));
        TS_TRY(get_uint(p, "split.no", UINT32_MAX, true, &v, err));
        if (v != i)
            return bad(p, err, TS_E_FORMAT, find_kv(p, "split.no")->offset,
                       "split.no is %" PRIu64 ", but the name says %" PRIu64, v, i);
        for (size_t k = 0; k < p->n_tensors; k++) p->tensor[k].file = (int)i;
        n_tensors += p->n_tensors;
    }
    for (uint64_t i = 1; i < count; i++) TS_TRY(check_metadata(&parts[0], &parts[i], err));
    for (uint64_t i = 0; i < count; i++) {
        v = n_tensors;
        TS_TRY(get_uint(&parts[i], "split.tensors.count", UINT32_MAX, false, &v, err));
        if (v != n_tensors)
            return bad(&parts[i], err, TS_E_FORMAT, find_kv(&parts[i], "split.tensors.count")->offset,
                       "split.tensors.count is %" PRIu64 ", but the parts have %" PRIu64 " tensors", v, n_tensors);
    }
    return TS_OK;
}

/* All parts are parsed: one list of tensors, and the index. */
static ts_status join_parts(ts_gguf *g, ts_err *err) {
    if (g->n_parts == 1) {
        g->tensor = g->parts[0].tensor;
        g->n_tensors = g->parts[0].n_tensors;
        return index_tensors(g, err);
    }
    size_t n = 0;
    for (int i = 0; i < g->n_parts; i++) n += g->parts[i].n_tensors;
    g->tensor = ts_calloc(n, sizeof *g->tensor);
    if (!g->tensor) return ts_fail_nomem(err, "the tensor list", n * sizeof *g->tensor);
    for (int i = 0; i < g->n_parts; i++) {
        part *p = &g->parts[i];
        if (p->n_tensors) memcpy(g->tensor + g->n_tensors, p->tensor, p->n_tensors * sizeof *p->tensor);
        g->n_tensors += p->n_tensors;
    }
    return index_tensors(g, err);
}

static ts_status new_gguf(ts_gguf **out, const char *path, unsigned flags, ts_err *err) {
    ts_gguf *g = ts_calloc(1, sizeof *g);
    if (!g) return ts_fail_nomem(err, "a model file", sizeof *g);
    g->flags = flags;
    g->parts = ts_calloc(1, sizeof *g->parts);
    g->path = ts_arena_strndup(&g->names, path, strlen(path));
    g->n_parts = 1;
    if (!g->parts || !g->path) {
        g->n_parts = 0;
        ts_gguf_close(g);
        return ts_fail_nomem(err, "a model file", strlen(path) + sizeof *g->parts);
    }
    *out = g;
    return TS_OK;
}

ts_status ts_gguf_open_as(ts_gguf **out, const char *path, unsigned flags, ts_err *err) {
    ts_gguf *g = NULL;
    TS_TRY(new_gguf(&g, path, flags, err));
    uint64_t count = 1;
    ts_status s = open_part(g, &g->parts[0], path, err);
    if (s == TS_OK) s = get_uint(&g->parts[0], "split.count", UINT32_MAX, false, &count, err);
    if (s == TS_OK && count > 1) s = open_others(g, count, err);
    if (s == TS_OK) s = join_parts(g, err);
    if (s != TS_OK) {
        ts_gguf_close(g);
        return s;
    }
    *out = g;
    return TS_OK;
}

ts_status ts_gguf_open(ts_gguf **out, const char *path, ts_err *err) {
    return ts_gguf_open_as(out, path, 0, err);
}

ts_status ts_gguf_open_mem(ts_gguf **out, ts_span bytes, const char *name, unsigned flags, ts_err *err) {
    ts_gguf *g = NULL;
    TS_TRY(new_gguf(&g, name, flags, err));
    part *p = &g->parts[0];
    p->path = g->path;
    p->map = (ts_map){.data = bytes.data, .len = bytes.len};
    uint64_t count = 1;
    ts_status s = parse_part(g, p, err);
    if (s == TS_OK) s = get_uint(p, "split.count", UINT32_MAX, false, &count, err);
    if (s == TS_OK && count > 1)
        s = bad(p, err, TS_E_UNSUPP, find_kv(p, "split.count")->offset, "part of a split model: open it as a file");
    if (s == TS_OK) s = join_parts(g, err);
    if (s != TS_OK) {
        ts_gguf_close(g);
        return s;
    }
    *out = g;
    return TS_OK;
}

void ts_gguf_release(const ts_gguf *g, const ts_tensor *t, size_t first, size_t len) {
    const part *p = &g->parts[t->file];
    if (p->mapped && first < t->bytes)
        ts_map_dontneed(&p->map, (size_t)t->offset + first, len < t->bytes - first ? len : t->bytes - first);
}

void ts_gguf_fetch(const ts_gguf *g, const ts_tensor *t, size_t first, size_t len) {
    const part *p = &g->parts[t->file];
    if (p->mapped && first < t->bytes)
        ts_map_willneed(&p->map, (size_t)t->offset + first, len < t->bytes - first ? len : t->bytes - first);
}

ts_status ts_gguf_check_unchanged(const ts_gguf *g, ts_err *err) {
    for (int i = 0; i < g->n_parts; i++)
        if (g->parts[i].mapped) TS_TRY(ts_map_check(&g->parts[i].map, g->parts[i].path, err));
    return TS_OK;
}

void ts_gguf_close(ts_gguf *g) {
    if (!g) return;
    for (int i = 0; i < g->n_parts; i++) {
        part *p = &g->parts[i];
        if (p->mapped) ts_map_close(&p->map);
        ts_free(p->kv);
        ts_free(p->by_key);
        ts_free(p->tensor);
    }
    if (g->n_parts > 1) ts_free(g->tensor); /* of one part it is the part's own */
    ts_free(g->by_name);
    ts_free(g->parts);
    ts_arena_free(&g->names);
    ts_free(g);
}

/* ---- access ------------------------------------------------------------------------------------------------------ */

const char *ts_gguf_path(const ts_gguf *g) { return g->path; }
const char *ts_gguf_part_path(const ts_gguf *g, int i) {
    assert(i >= 0 && i < g->n_parts);
    return g->parts[i].path;
}
uint32_t ts_gguf_version(const ts_gguf *g) { return g->parts[0].version; }
int ts_gguf_n_files(const ts_gguf *g) { return g->n_parts; }
const ts_map *ts_gguf_file(const ts_gguf *g, int i) {
    assert(i >= 0 && i < g->n_parts);
    return &g->parts[i].map;
}
uint64_t ts_gguf_data_offset(const ts_gguf *g, int i) {
    assert(i >= 0 && i < g->n_parts);
    return g->parts[i].data_offset;
}

size_t ts_gguf_n_kv(const ts_gguf *g) { return g->parts[0].n_kv; }
const ts_gguf_kv *ts_gguf_kv_at(const ts_gguf *g, size_t i) {
    assert(i < g->parts[0].n_kv);
    return &g->parts[0].kv[i];
}
const ts_gguf_kv *ts_gguf_find(const ts_gguf *g, const char *key) { return find_kv(&g->parts[0], key); }

size_t ts_gguf_n_tensors(const ts_gguf *g) { return g->n_tensors; }
const ts_tensor *ts_gguf_tensor_at(const ts_gguf *g, size_t i) {
    assert(i < g->n_tensors);
    return &g->tensor[i];
}
const ts_tensor *ts_gguf_tensor(const ts_gguf *g, const char *name) {
    const entry *e = find_entry(g->by_name, g->n_tensors, name);
    return e ? &g->tensor[e->i] : NULL;
}
