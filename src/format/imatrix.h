/* imatrix.h - importance matrices: how large each input column of each linear layer is, in the mean of squares, over
 * some text. docs/formats/imatrix.md has the two file formats. */
#ifndef TS_FORMAT_IMATRIX_H
#define TS_FORMAT_IMATRIX_H

#include "base/mem.h"
#include "base/span.h"

typedef struct ts_imatrix ts_imatrix;

typedef struct ts_imatrix_entry {
    const char *name;   /* of the tensor, as in a GGUF model file */
    size_t n_in, n_mat; /* columns; matrices that each have their own (experts), otherwise 1 */
    const float *mean;  /* [n_mat][n_in], finite, none negative: the mean input's square; 1 where none was seen */
    double count;       /* of inputs, over all matrices; 0 where the file does not tell */
} ts_imatrix_entry;

/* Read a GGUF file of `general.type` "imatrix", or an older .dat file. Errors name the file, the tensor and the column:
 * TS_E_IO, TS_E_FORMAT, TS_E_NOMEM. Entries are by name in the order of bytes; none is there twice. */
TS_NODISCARD ts_status ts_imatrix_open(ts_imatrix **out, const char *path, ts_err *err);
/* The same from memory, which may go afterwards; `name` stands for the path in messages. */
TS_NODISCARD ts_status ts_imatrix_open_mem(ts_imatrix **out, ts_span bytes, const char *name, ts_err *err);
void ts_imatrix_free(ts_imatrix *m); /* NULL-safe */

/* An empty one: to be added to. Strings are copied. `dataset` says what the text was. */
TS_NODISCARD ts_status ts_imatrix_new(ts_imatrix **out, const char *dataset, uint32_t n_chunks, uint32_t chunk_size,
                                      ts_err *err);
/* A tensor of n_in columns, of which sum_square has the sums of squares over `count` inputs. TS_E_INVAL where a sum is
 * negative, not finite or too large, or the name is there. */
TS_NODISCARD ts_status ts_imatrix_add(ts_imatrix *m, const char *name, size_t n_in, uint64_t count,
                                      const double *sum_square, ts_err *err);
/* As a GGUF file. */
TS_NODISCARD ts_status ts_imatrix_save(const ts_imatrix *m, const char *path, ts_err *err);

size_t ts_imatrix_n(const ts_imatrix *m);
const ts_imatrix_entry *ts_imatrix_at(const ts_imatrix *m, size_t i);
const ts_imatrix_entry *ts_imatrix_find(const ts_imatrix *m, const char *name); /* NULL: absent */
const char *ts_imatrix_dataset(const ts_imatrix *m);                            /* the first one; "": not told */
uint32_t ts_imatrix_chunks(const ts_imatrix *m);                                /* of text; 0: not told */
uint32_t ts_imatrix_chunk_size(const ts_imatrix *m);                            /* tokens of each; 0: not told */

#endif
