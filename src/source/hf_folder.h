/* hf_folder.h - the files of a Hugging Face folder: which of them hold weights, and their arrays by name.
 *
 * Safetensors, in one file or in shards by their index, or PyTorch's files where there are none. Names come from the
 * folder and the index alone; a name in the index is a plain one, of a file in the folder (which may be a link: the
 * hub's cache is made of such). */
#ifndef TS_SOURCE_HF_FOLDER_H
#define TS_SOURCE_HF_FOLDER_H

#include "base/file.h"
#include "base/span.h"
#include "ckpt/ndarray.h"

typedef struct ts_hf_folder ts_hf_folder;

/* `path`: the folder, or a file of weights in it. Errors: TS_E_IO, TS_E_FORMAT, TS_E_UNSUPP, in one line naming the
 * file. */
TS_NODISCARD ts_status ts_hf_folder_open(ts_hf_folder **out, const char *path, ts_err *err);
void ts_hf_folder_close(ts_hf_folder *f); /* NULL-safe */

const char *ts_hf_folder_dir(const ts_hf_folder *f); /* without the file */
int ts_hf_folder_n_files(const ts_hf_folder *f);
const char *ts_hf_folder_file(const ts_hf_folder *f, int i);  /* its path */
const ts_map *ts_hf_folder_map(const ts_hf_folder *f, int i); /* NULL: there is no file i */
uint64_t ts_hf_folder_bytes(const ts_hf_folder *f);           /* of all arrays */
bool ts_hf_folder_is_torch(const ts_hf_folder *f);            /* PyTorch's files; else safetensors */

/* The array of this name, without the prefixes that models with more than text put before theirs; from now on it counts
 * as used. NULL: there is none. */
const ts_array *ts_hf_folder_find(ts_hf_folder *f, const char *name);
/* Is there an array whose name begins so? Nothing counts as used. */
bool ts_hf_folder_has(const ts_hf_folder *f, const char *begin);
/* Array i of all, in the order of the files; NULL: there is none. It does not count as used. */
const ts_array *ts_hf_folder_at(const ts_hf_folder *f, size_t i);
/* From now on all arrays whose names begin so count as used. */
void ts_hf_folder_skip(ts_hf_folder *f, const char *begin);
/* An integer that PyTorch's files hold beside the arrays (ts_torch_int). false: there is none. */
bool ts_hf_folder_int(const ts_hf_folder *f, const char *name, int64_t *v);
/* Arrays that nobody has asked for, and that mean something: *i is 0 at first; NULL: no more. Left out are those that
 * follow from the configuration (rotary frequencies, causal masks) and the other senses of a model that sees. */
const ts_array *ts_hf_folder_unused(const ts_hf_folder *f, size_t *i);

/* Bytes [first, first + len) of an array's: they will not be read again soon, or soon. */
void ts_hf_folder_release(const ts_hf_folder *f, const ts_array *a, size_t first, size_t len);
void ts_hf_folder_fetch(const ts_hf_folder *f, const ts_array *a, size_t first, size_t len);
/* The bytes of an array are as they were written, where the format has a checksum. Errors: TS_E_FORMAT. */
TS_NODISCARD ts_status ts_hf_folder_check(ts_hf_folder *f, const ts_array *a, ts_err *err);
/* TS_E_IO where a file is not as it was when it was opened. */
TS_NODISCARD ts_status ts_hf_folder_unchanged(const ts_hf_folder *f, ts_err *err);

#endif
