/* torch_int.h - what the parts of the reader of PyTorch's files share. */
#ifndef TS_CKPT_TORCH_INT_H
#define TS_CKPT_TORCH_INT_H

#include "base/file.h"
#include "ckpt/pickle.h"
#include "ckpt/torch.h"
#include "ckpt/zip.h"

typedef struct torch_array {
    ts_array array;
    size_t member;
} torch_array;

typedef struct torch_int {
    const char *name;
    int64_t v;
} torch_int;

typedef struct torch_member { /* a storage: of a zip the member of this number, else of the list in the file */
    const ts_pdtype *dtype;   /* that arrays have it as, NULL: none has yet */
    bool checked;
} torch_member;

struct ts_torch {
    ts_map map; /* empty when opened from memory */
    ts_span file;
    char *path;
    ts_zip zip; /* empty for old files */
    torch_member *member;
    torch_array *array;
    size_t n, cap;
    torch_int *ints; /* sorted by name */
    size_t n_ints, cap_ints;
    ts_arena arena; /* names */
};

/* torch_walk.c: fill array and ints from what the pickle left. Storages know where they lie. */
TS_NODISCARD ts_status ts_torch_walk(ts_torch *t, const ts_pickle *p, ts_err *err);
/* torch_legacy.c: the same as for a zip, for a file that begins with a pickle: *p is the one that holds the tensors. */
TS_NODISCARD ts_status ts_torch_read_legacy(ts_torch *t, ts_pickle *p, ts_err *err);
/* "storage K (offset N of the pickle): ...", for a storage that does not fit the file. */
ts_status ts_torch_bad_storage(const ts_pstorage *s, const char *what, ts_err *err);

#endif
