/* gguf.h - read model files in the GGUF format, versions 2 and 3, also split into several files.
 *
 * A file is mapped, never copied: strings, arrays and tensor data borrow from the mapping until ts_gguf_close. Every
 * count, size and offset is checked against the file before it is used; a malformed file gives one line naming file,
 * offset and field. */
#ifndef TS_FORMAT_GGUF_H
#define TS_FORMAT_GGUF_H

#include "base/file.h"
#include "base/span.h"
#include "format/tensor.h"

typedef enum ts_gguf_type { /* numbers as in the file */
    TS_GGUF_U8 = 0,
    TS_GGUF_I8,
    TS_GGUF_U16,
    TS_GGUF_I16,
    TS_GGUF_U32,
    TS_GGUF_I32,
    TS_GGUF_F32,
    TS_GGUF_BOOL,
    TS_GGUF_STRING,
    TS_GGUF_ARRAY,
    TS_GGUF_U64,
    TS_GGUF_I64,
    TS_GGUF_F64,
} ts_gguf_type;

typedef struct ts_gguf_kv {
    const char *key;   /* NUL-terminated, owned by the ts_gguf */
    ts_gguf_type type; /* for an array: TS_GGUF_ARRAY */
    ts_gguf_type elem; /* of an array; otherwise == type */
    uint64_t n;        /* elements of an array; otherwise 1 */
    ts_span raw;       /* the value(s) as in the file, validated; strings keep their u64 length prefixes; nested arrays
                          (an array of arrays) are validated and kept raw */
    uint64_t offset;   /* of the value in the file, for messages */
} ts_gguf_kv;

typedef struct ts_gguf ts_gguf;

/* Open `path`. For one part of a split model ("...-00001-of-00003.gguf") any part may be named; all are opened and
 * presented as one model with the metadata of part 1. */
TS_NODISCARD ts_status ts_gguf_open(ts_gguf **out, const char *path, ts_err *err);
/* Also accept tensors of types that Tessera can name and measure but not compute with: ts_dtype_get(type)->block is 0
 * for them. For programs that only describe or copy a file. */
/* And of the types that are Tessera's own (TS_DTYPES_OWN), which no file has: for models that are made in memory. */
/* And a header alone: there are no data behind it, and the tensors' `data` is NULL. */
enum { TS_GGUF_ANY_TYPE = 1, TS_GGUF_OWN_TYPES = 2, TS_GGUF_NO_DATA = 4 };
TS_NODISCARD ts_status ts_gguf_open_as(ts_gguf **out, const char *path, unsigned flags, ts_err *err);
/* From memory, which stays the caller's and must live and stay unchanged until close. One part only. `name` stands for
 * the path in messages. For aligned tensors the memory itself must be aligned (64 bytes will do). */
TS_NODISCARD ts_status ts_gguf_open_mem(ts_gguf **out, ts_span bytes, const char *name, unsigned flags, ts_err *err);
void ts_gguf_close(ts_gguf *g); /* NULL-safe */

const char *ts_gguf_path(const ts_gguf *g); /* as given to open */
const char *ts_gguf_part_path(const ts_gguf *g, int i);
uint32_t ts_gguf_version(const ts_gguf *g);
int ts_gguf_n_files(const ts_gguf *g);
const ts_map *ts_gguf_file(const ts_gguf *g, int i);
/* The bytes [first, first + len) of a tensor will not be read again soon: their pages leave our resident memory (they
 * come back from the file when touched). Nothing happens for a model opened from memory. */
void ts_gguf_release(const ts_gguf *g, const ts_tensor *t, size_t first, size_t len);
/* They will be read soon: what is not in memory is read from the file from now on, without waiting for it. */
void ts_gguf_fetch(const ts_gguf *g, const ts_tensor *t, size_t first, size_t len);
/* Are the files still as they were when they were opened? TS_E_IO naming the one that has been written to since:
 * what was read from it in the meantime may be anything. One stat() a part; always TS_OK for a model opened from
 * memory. */
TS_NODISCARD ts_status ts_gguf_check_unchanged(const ts_gguf *g, ts_err *err);
uint64_t ts_gguf_data_offset(const ts_gguf *g, int i); /* where the tensor data of part i begins */

size_t ts_gguf_n_kv(const ts_gguf *g);
const ts_gguf_kv *ts_gguf_kv_at(const ts_gguf *g, size_t i);
const ts_gguf_kv *ts_gguf_find(const ts_gguf *g, const char *key); /* NULL: absent */

size_t ts_gguf_n_tensors(const ts_gguf *g);
const ts_tensor *ts_gguf_tensor_at(const ts_gguf *g, size_t i);
const ts_tensor *ts_gguf_tensor(const ts_gguf *g, const char *name); /* NULL: absent */

/* Scalars by key. Integers of any width and signedness are accepted where the value fits; an integer is accepted for a
 * float. Absent: *out is left as it is (set it to the default first) and TS_OK is returned, unless `required`.
 * A wrong type or a value that does not fit: TS_E_FORMAT naming the key. */
TS_NODISCARD ts_status ts_gguf_u32(const ts_gguf *g, const char *key, bool required, uint32_t *out, ts_err *err);
TS_NODISCARD ts_status ts_gguf_f32(const ts_gguf *g, const char *key, bool required, float *out, ts_err *err);
TS_NODISCARD ts_status ts_gguf_bool(const ts_gguf *g, const char *key, bool required, bool *out, ts_err *err);
/* A borrowed view; may hold any bytes. */
TS_NODISCARD ts_status ts_gguf_str(const ts_gguf *g, const char *key, bool required, ts_span *out, ts_err *err);

/* The strings of an array of strings, in order: start with a reader over kv->raw and call kv->n times. The lengths were
 * validated at open, so this cannot fail. */
ts_span ts_gguf_next_string(ts_reader *r);
/* Element i of a numeric array (any integer or float width) as a double or int64; the caller has checked kv->elem. */
double ts_gguf_num(const ts_gguf_kv *kv, uint64_t i);
int64_t ts_gguf_int(const ts_gguf_kv *kv, uint64_t i);
const char *ts_gguf_type_name(ts_gguf_type t);

#endif
