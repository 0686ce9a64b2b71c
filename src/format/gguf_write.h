/* gguf_write.h - build a model file in the GGUF format, version 3.
 *
 * Collect metadata and tensors in the order they shall stand in, then save. A failure on the way (out of memory, a bad
 * name) is remembered, the calls after it do nothing, and saving reports it: there is one place to check. */
#ifndef TS_FORMAT_GGUF_WRITE_H
#define TS_FORMAT_GGUF_WRITE_H

#include "base/mem.h"
#include "format/gguf.h"

typedef struct ts_gguf_writer ts_gguf_writer;

/* `alignment` of tensor data: a power of two of at least 8, or 0 for the format's default of 32. */
TS_NODISCARD ts_status ts_gguf_writer_new(ts_gguf_writer **out, uint32_t alignment, ts_err *err);
void ts_gguf_writer_free(ts_gguf_writer *w); /* NULL-safe */

/* Metadata; keys and values are copied. general.alignment is written by the writer itself. */
void ts_gguf_put_u32(ts_gguf_writer *w, const char *key, uint32_t v);
void ts_gguf_put_f32(ts_gguf_writer *w, const char *key, float v);
void ts_gguf_put_bool(ts_gguf_writer *w, const char *key, bool v);
void ts_gguf_put_str(ts_gguf_writer *w, const char *key, const char *v);
void ts_gguf_put_bytes(ts_gguf_writer *w, const char *key, ts_span v); /* a string of any bytes */
/* One number of any scalar type: *v has that type's width. */
void ts_gguf_put_scalar(ts_gguf_writer *w, const char *key, ts_gguf_type type, const void *v);
/* n numbers of any scalar type, packed. */
void ts_gguf_put_array(ts_gguf_writer *w, const char *key, ts_gguf_type elem, const void *v, size_t n);
void ts_gguf_put_strings(ts_gguf_writer *w, const char *key, const ts_span *v, size_t n);
/* An entry of another file as it is, nested arrays included, under its own key. general.alignment is left out. */
void ts_gguf_put_kv(ts_gguf_writer *w, const ts_gguf_kv *kv);

/* Rows [first, first + n) of a tensor, row r at out + (r - first) * row_bytes, in the tensor's type. Called in
 * ascending order while the file is written. A row has dim[0] elements. */
typedef ts_status ts_gguf_rows_fn(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err);

/* A tensor from memory that is borrowed until the file is saved. `dim` has n_dims (1..4) sizes, dim[0] the row. */
void ts_gguf_add_tensor(ts_gguf_writer *w, const char *name, ts_dtype type, uint32_t n_dims, const uint64_t *dim,
                        const void *data);
/* A tensor that is made while it is written. */
void ts_gguf_add_tensor_fn(ts_gguf_writer *w, const char *name, ts_dtype type, uint32_t n_dims, const uint64_t *dim,
                           ts_gguf_rows_fn *fn, void *ud);

/* Write the file beside `path`, then give it the name: an error leaves what was there. May be called again.
 * Errors: TS_E_INVAL for what was collected (a name twice, too long or with rows that are no multiple of the block),
 * TS_E_IO, TS_E_NOMEM, and whatever a rows function returned. */
TS_NODISCARD ts_status ts_gguf_save(const ts_gguf_writer *w, const char *path, ts_err *err);
/* What stands before the tensors' data, padding included, appended to a buffer: for whoever writes the data on his own,
 * each tensor at a multiple of the alignment behind the end of the one before. Tensors need neither data nor function
 * then. */
TS_NODISCARD ts_status ts_gguf_save_header(const ts_gguf_writer *w, ts_buf *out, ts_err *err);
/* The same as ts_gguf_save, appended to a buffer. */
TS_NODISCARD ts_status ts_gguf_save_mem(const ts_gguf_writer *w, ts_buf *out, ts_err *err);

#endif
