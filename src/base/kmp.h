/* kmp.h - texts looked for in a stream, a byte at a time, each byte looked at once (Knuth, Morris, Pratt, 1977). */
#ifndef TS_BASE_KMP_H
#define TS_BASE_KMP_H

#include "tessera/tessera.h"

typedef struct ts_kmp {
    const char *s;  /* borrowed, not empty */
    size_t len;
    uint32_t *fail; /* [len] of the first i + 1 bytes: how many at their end are also their beginning, but not all */
} ts_kmp;

/* The texts of a list; *out [*n], without the empty ones (NULL: there is none), freed by ts_free. The list's texts are
 * borrowed. Errors: a NULL among them, more than 4 GiB of them, no memory. */
TS_NODISCARD ts_status ts_kmp_new(ts_kmp **out, size_t *n, const char *const *list, size_t n_list, ts_err *err);

/* The stream's last `at` bytes are the beginning of the text (len: all of it); how many are they, one byte later? */
static inline size_t ts_kmp_step(const ts_kmp *k, size_t at, char c) {
    while (at > 0 && (at == k->len || k->s[at] != c)) at = k->fail[at - 1];
    return at + (k->s[at] == c);
}

#endif
