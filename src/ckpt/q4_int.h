/* q4_int.h - between q4.c and q4_rows.c. */
#ifndef TS_CKPT_Q4_INT_H
#define TS_CKPT_Q4_INT_H

#include "ckpt/q4.h"

/* Element [i, k] of a matrix of elements of `size` bytes, which may be a view. */
static inline const uint8_t *ts_q4_at(const ts_array *a, size_t i, size_t k, size_t size) {
    return a->data + (i * a->stride[0] + k * a->stride[1]) * size;
}
uint8_t ts_q4_zero(const ts_q4 *q, uint32_t g, uint32_t o);
float ts_q4_scale(const ts_q4 *q, uint32_t g, uint32_t o);

#endif
