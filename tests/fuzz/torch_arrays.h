/* torch_arrays.h - what the fuzz targets of PyTorch's files look at once one is open: all of it. */
#ifndef TS_FUZZ_TORCH_ARRAYS_H
#define TS_FUZZ_TORCH_ARRAYS_H

#include "ckpt/torch.h"

#include <stdlib.h>

/* One printable line, and the code that was returned. */
static inline void look_at_error(ts_status s, const ts_err *err) {
    if (err->code != s || !*err->msg || strpbrk(err->msg, "\n\r\x1b")) abort();
}

/* The first and the last element of every array: an array that reaches outside is found by the sanitizer. */
static inline unsigned look_at_arrays(ts_torch *t) {
    static volatile unsigned seen; /* the compiler cannot drop the reads */
    int64_t v = 0;
    ts_err err = {0};
    if (!ts_torch_n(t)) abort();
    for (size_t i = 0; i < ts_torch_n(t); i++) {
        const ts_array *a = ts_torch_at(t, i);
        uint64_t n = 1, last = 0;
        for (uint32_t k = 0; k < a->n_dims; k++) {
            n *= a->dim[k];
            last += a->dim[k] ? (a->dim[k] - 1) * a->stride[k] : 0;
        }
        if (!*a->name || strlen(a->name) > TS_TORCH_NAME) abort();
        if (n == 0 && a->bytes) abort();
        if (n && (a->bytes % n || (a->elem != TS_EL_OTHER && a->bytes / n != ts_elem_size(a->elem)))) abort();
        if (n) seen += a->data[0] + a->data[(last + 1) * (a->bytes / n) - 1];
        seen += ts_array_is_packed(a) && a->bytes ? a->data[a->bytes - 1] : 0;
        seen += ts_torch_int(t, a->name, &v);
        const ts_status s = ts_torch_check(t, i, &err);
        if (s != TS_OK) look_at_error(s, &err);
    }
    return seen;
}

#endif
