/* Any bytes as an importance matrix, of either format: opened, and when that works everything in it is looked at. */
#include "format/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_imatrix *m = NULL;
    ts_err err = {0};
    const ts_status s = ts_imatrix_open_mem(&m, (ts_span){.data = data, .len = len}, "fuzz", &err);
    if (s != TS_OK) {
        /* one printable line, and the code that was returned */
        if (m || err.code != s || !*err.msg || strpbrk(err.msg, "\n\r\x1b")) abort();
        return 0;
    }
    if (!ts_imatrix_n(m) || !ts_imatrix_dataset(m)) abort();
    for (size_t k = 0; k < ts_imatrix_n(m); k++) {
        const ts_imatrix_entry *e = ts_imatrix_at(m, k);
        if (ts_imatrix_find(m, e->name) != e || !e->n_in || !e->n_mat || !(e->count >= 0)) abort();
        if (k && strcmp(ts_imatrix_at(m, k - 1)->name, e->name) >= 0) abort();
        for (size_t i = 0; i < e->n_in * e->n_mat; i++)
            if (!(e->mean[i] >= 0) || isinf(e->mean[i])) abort();
    }
    ts_imatrix_free(m);
    return 0;
}
