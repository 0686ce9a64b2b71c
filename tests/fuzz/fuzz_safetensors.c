/* Any bytes as a safetensors file: what opens is inside of it, every byte once, under names that no other has. */
#include "ckpt/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile unsigned seen;

static void look_at(const ts_safetensors *s, const uint8_t *data, size_t len) {
    size_t bytes = 0;
    for (size_t i = 0; i < ts_safetensors_n(s); i++) {
        const ts_array *a = ts_safetensors_at(s, i);
        uint64_t n = 1;
        for (uint32_t k = 0; k < a->n_dims; k++)
            if (__builtin_mul_overflow(n, a->dim[k], &n)) abort();
        if (a->elem != TS_EL_OTHER && n * ts_elem_size(a->elem) != a->bytes) abort();
        if (a->data < data || a->offset > len || a->data != data + a->offset || a->bytes > len - a->offset) abort();
        if (!ts_array_is_packed(a)) abort();
        for (size_t k = 0; k < a->bytes; k++) seen += a->data[k];
        for (size_t k = 0; k < i && i < 64; k++)
            if (!strcmp(a->name, ts_safetensors_at(s, k)->name)) abort();
        bytes += a->bytes;
    }
    uint64_t header;
    memcpy(&header, data, sizeof header);
    if (bytes + 8 + header != len) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_safetensors *s = NULL;
    ts_err err = {0};
    const ts_status st = ts_safetensors_open_mem(&s, (ts_span){data, len}, &err);
    if (st == TS_OK) look_at(s, data, len);
    else if (s || err.code != st || !*err.msg || strpbrk(err.msg, "\n\r\x1b")) abort();
    ts_safetensors_close(s);
    return 0;
}
