/* sized.h - structs of tessera.h that may grow, between a program and a library of different age. */
#ifndef TS_BASE_SIZED_H
#define TS_BASE_SIZED_H

#include "base/err.h"

#include <string.h>

/* A program's options (from_size bytes; NULL: none) as this library knows them: what it does not have is 0, what it
 * has beyond must be 0, otherwise TS_E_UNSUPP. */
static inline ts_status ts_sized_in(void *to, size_t to_size, const void *from, size_t from_size, ts_err *err) {
    const size_t both = from_size < to_size ? from_size : to_size;
    const char *option = from;
    memset(to, 0, to_size);
    if (!from) return TS_OK;
    for (size_t i = both; i < from_size; i++)
        if (option[i])
            return ts_fail(err, TS_E_UNSUPP,
                           "the program sets an option that this library, version %s, does not have: it was compiled "
                           "for a newer one", ts_version());
    memcpy(to, from, both);
    return TS_OK;
}

/* A result as far as the program has room for it; what it has beyond is 0. */
static inline void ts_sized_out(void *to, size_t to_size, const void *from, size_t from_size) {
    const size_t both = from_size < to_size ? from_size : to_size;
    memcpy(to, from, both);
    memset((char *)to + both, 0, to_size - both);
}

#endif
