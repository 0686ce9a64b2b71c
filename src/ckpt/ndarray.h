/* ndarray.h - an n-dimensional array of a checkpoint: as the files of PyTorch and Hugging Face have it.
 *
 * Unlike ts_tensor: dimensions come outermost first and may be 0, elements may be integers, data may stand at any
 * address, and rows may be views of a larger array (strides). */
#ifndef TS_CKPT_NDARRAY_H
#define TS_CKPT_NDARRAY_H

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

typedef enum ts_elem {
    TS_EL_BOOL,
    TS_EL_U8,
    TS_EL_I8,
    TS_EL_U16,
    TS_EL_I16,
    TS_EL_U32,
    TS_EL_I32,
    TS_EL_U64,
    TS_EL_I64,
    TS_EL_F16,
    TS_EL_BF16,
    TS_EL_F32,
    TS_EL_F64,
    TS_EL_OTHER, /* known to the format, and nothing that Tessera reads: complex, 8-bit floats, ... */
} ts_elem;

enum { TS_ARRAY_DIMS = 8 };

typedef struct ts_array {
    const char *name; /* NUL-terminated, without a NUL inside; owned by whoever has opened the file */
    ts_elem elem;
    const char *elem_name; /* as the file calls it: "BF16", "bfloat16" */
    uint32_t n_dims;       /* 0: a scalar */
    uint64_t dim[TS_ARRAY_DIMS];    /* outermost first */
    uint64_t stride[TS_ARRAY_DIMS]; /* in elements; of a row-major array the products of the dimensions behind */
    const uint8_t *data;   /* in the mapping, at any alignment; every element of the array lies inside of it */
    size_t bytes;          /* of the elements, packed */
    uint64_t offset;       /* of data in the file, for messages */
    int file;              /* which of the files, where there are several */
} ts_array;

/* Bytes of an element; 0 for TS_EL_OTHER. */
static inline size_t ts_elem_size(ts_elem e) {
    static const uint8_t size[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 0};
    return size[e];
}

/* Is it row-major without gaps, so that [data, data + bytes) is all of it? */
static inline bool ts_array_is_packed(const ts_array *a) {
    uint64_t step = 1;
    for (uint32_t i = a->n_dims; i-- > 0; step *= a->dim[i])
        if (a->dim[i] > 1 && a->stride[i] != step) return false;
    return true;
}

#endif
