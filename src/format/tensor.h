/* tensor.h - an array of numbers as a model file holds it. */
#ifndef TS_FORMAT_TENSOR_H
#define TS_FORMAT_TENSOR_H

#include "format/dtype.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ts_tensor {
    const char *name; /* NUL-terminated, owned by whoever has opened the file */
    ts_dtype type;
    uint32_t n_dims;   /* 1..4 */
    uint64_t dim[4];   /* dim[0] is the row length (contiguous), unused ones are 1; none is 0 */
    const void *data;  /* in the mapping, at least 32-byte aligned within the file unless the file says otherwise; NULL:
                          rows are made when they are asked for (source/source.h) */
    size_t bytes;
    int file;          /* which part of a split model */
    uint64_t offset;   /* of data in that part; for messages */
} ts_tensor;

#endif
