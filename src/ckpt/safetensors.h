/* safetensors.h - read a file in the safetensors format.
 *
 * u64 N, N bytes of JSON, then the arrays' bytes, little-endian and row-major. Read as strictly as the reference reader
 * does: the arrays cover the rest of the file without holes and overlaps, no name is there twice. The file is mapped,
 * never copied; arrays borrow from the mapping until close.
 * Source: the format's description and its reference reader (huggingface/safetensors). */
#ifndef TS_CKPT_SAFETENSORS_H
#define TS_CKPT_SAFETENSORS_H

#include "base/file.h"
#include "base/span.h"
#include "ckpt/ndarray.h"

typedef struct ts_safetensors ts_safetensors;

/* Errors: TS_E_IO; TS_E_FORMAT in one line naming what is wrong where; TS_E_UNSUPP for what is another kind of file. */
TS_NODISCARD ts_status ts_safetensors_open(ts_safetensors **out, const char *path, ts_err *err);
/* From memory, which stays the caller's until close; messages name no file. */
TS_NODISCARD ts_status ts_safetensors_open_mem(ts_safetensors **out, ts_span bytes, ts_err *err);
void ts_safetensors_close(ts_safetensors *s); /* NULL-safe */

size_t ts_safetensors_n(const ts_safetensors *s);
const ts_array *ts_safetensors_at(const ts_safetensors *s, size_t i); /* in the order of the header */
const ts_map *ts_safetensors_map(const ts_safetensors *s);

#endif
