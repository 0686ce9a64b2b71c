/* hf_index.h - which files of a Hugging Face folder are the model's weights: by its index, or by their names. */
#ifndef TS_SOURCE_HF_INDEX_H
#define TS_SOURCE_HF_INDEX_H

#include "base/arena.h"
#include "base/json_tree.h"

typedef struct ts_hf_names { /* names of files in a folder */
    char **name;
    size_t n, cap;
} ts_hf_names;

typedef struct ts_hf_files {
    ts_hf_names files;
    bool torch; /* PyTorch's; else safetensors */
    /* The index that names them; map is NULL where there is none. */
    const ts_jval *map; /* tensor: file. All are texts, the files' fit to be names, the tensors' to be strings of C */
    char index[256];    /* its own name */
    ts_buf text;
    ts_arena arena;
} ts_hf_files;

/* The rules, which hub_select.c follows for what it fetches:
 *   safetensors before PyTorch's files;
 *   of either kind model.safetensors (pytorch_model.bin), alone, unless an index of its name has all its files;
 *   else what the index says, that of the usual name before others;
 *   else the parts model-0000i-of-0000n, all of them; else the one file that there is.
 * `only`: the file that was named, taken alone unless it is a part. Files need not be there. Errors: TS_E_IO,
 * TS_E_FORMAT, TS_E_UNSUPP, TS_E_LIMIT, naming folder and file. */
TS_NODISCARD ts_status ts_hf_files_choose(ts_hf_files *out, const char *dir, const char *only, ts_err *err);
void ts_hf_files_free(ts_hf_files *f); /* leaves *f empty */

#endif
