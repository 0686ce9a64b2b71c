/* kmp.c - the tables of texts that are looked for in a stream. */
#include "base/kmp.h"

#include "base/mem.h"

#include <string.h>

ts_status ts_kmp_new(ts_kmp **out, size_t *n_out, const char *const *list, size_t n_list, ts_err *err) {
    size_t bytes = 0, n = 0;
    for (size_t i = 0; i < n_list; i++) {
        TS_NEED(list && list[i], err, "stop string %zu is NULL", i);
        bytes += strlen(list[i]);
    }
    if (bytes > UINT32_MAX) return ts_fail(err, TS_E_LIMIT, "the stop strings are larger than 4 GiB");
    ts_kmp *k = bytes ? ts_alloc(1, n_list * sizeof *k + bytes * sizeof(uint32_t)) : NULL;
    if (bytes && !k) return ts_fail_nomem(err, "the stop strings", bytes);
    uint32_t *table = k ? (uint32_t *)(k + n_list) : NULL;
    for (size_t i = 0; i < n_list && k; i++) {
        const ts_kmp one = {.s = list[i], .len = strlen(list[i]), .fail = table};
        if (one.len == 0) continue;
        table += one.len;
        one.fail[0] = 0;
        for (size_t p = 1; p < one.len; p++) one.fail[p] = (uint32_t)ts_kmp_step(&one, one.fail[p - 1], one.s[p]);
        k[n++] = one;
    }
    *out = k;
    *n_out = n;
    return TS_OK;
}
