/* gguf_edit.h - a model file in memory with some entries changed: what tests of bad models are made of. */
#ifndef TS_TESTS_GGUF_EDIT_H
#define TS_TESTS_GGUF_EDIT_H

#include "base/mem.h"
#include "format/dtype.h"

typedef struct gguf_edit {
    const char *name; /* a metadata key or a tensor; NULL ends a list */
    enum { EDIT_DROP, EDIT_U32, EDIT_F32, EDIT_STR, EDIT_TENSOR } what;
    /* EDIT_U32, EDIT_F32, EDIT_STR: the key's new value (added where the file has no such key) */
    uint32_t u;
    float f;
    const char *s;
    /* EDIT_TENSOR: another tensor of that name (added where there is none); data is borrowed, NULL: zero bytes */
    ts_dtype type;
    uint64_t rows, cols; /* rows 0: a vector */
    const void *data;
} gguf_edit;

/* The file `in` with the changes of a list (at most 16) as a new file, 64-byte aligned, ts_free it. Fails the test
 * where that is not possible. */
typedef struct gguf_file {
    void *data;
    size_t len;
} gguf_file;
gguf_file gguf_edited(gguf_file in, const gguf_edit *list);

#endif
