/* dtype.h - the tensor element types of GGUF: names, block sizes.
 * Source: the type numbers and block sizes of the GGUF format as ggml defines them. */
#ifndef TS_FORMAT_DTYPE_H
#define TS_FORMAT_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values are the numbers in the file. */
typedef enum ts_dtype {
    TS_F32 = 0,
    TS_F16 = 1,
    TS_BF16 = 30,
#define WTYPE(NAME, number, ...) TS_##NAME = number, /* TS_Q4_0 = 2 and the other quantised types, from their table */
#include "format/wtype.def"
    TS_DTYPES_OWN = 60, /* types from here on are Tessera's own (U4G32, ...): no file has them */
    TS_DTYPES = 64, /* numbers from here on are no type at all */
} ts_dtype;

typedef struct ts_dtype_info {
    const char *name;    /* "q4_K": as llama.cpp prints it, NULL for a number without a meaning */
    uint16_t block;      /* elements in a block; 1 for float types; 0 for a type that has a name only (refused) */
    uint16_t block_bytes;
    uint16_t file_block; /* the same as the file stores it, also for types that are only named: enough to tell a */
    uint16_t file_block_bytes; /* tensor's size; both 0 for a type that was withdrawn from the format */
} ts_dtype_info;

/* Never NULL; for an unknown number every field is 0. Types that exist but that Tessera does not read have a name and
 * block 0, so that a message can name them. */
const ts_dtype_info *ts_dtype_get(uint32_t type);
/* By name, case-insensitive ("Q4_K", "q4_k"); false when there is no such type with a block size. */
bool ts_dtype_find(const char *name, ts_dtype *out);
/* Bytes of a row of n elements; 0 when n is not a multiple of the block or the product overflows. */
size_t ts_dtype_row_bytes(ts_dtype type, uint64_t n);

static inline bool ts_dtype_is_u4g(ts_dtype t) { return t >= TS_DTYPES_OWN && t < TS_DTYPES; }

#endif
