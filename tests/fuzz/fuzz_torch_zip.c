/* Any bytes as a file of PyTorch: as they are, and, where the zip's directory can be read, with the CRCs of all members
 * put right, so that what is changed in the pickle is seen by who reads it. */
#include "ckpt/zip.h"
#include "torch_arrays.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile unsigned seen;

static void open_file(const uint8_t *data, size_t len) {
    ts_torch *t = NULL;
    ts_err err = {0};
    const ts_status s = ts_torch_open_mem(&t, (ts_span){data, len}, "fuzz", &err);
    if (s == TS_OK) seen += look_at_arrays(t);
    else look_at_error(s, &err);
    if (s != TS_OK && t) abort();
    ts_torch_close(t);
}

static uint32_t slow_crc32(const uint8_t *s, size_t len) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < len; i++) {
        c ^= s[i];
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

/* In the directory entry, which ends in the name, and in the local header. */
static void put_right(uint8_t *file, const ts_zip *z) {
    for (size_t i = 0; i < z->n; i++) {
        const ts_zip_member *m = &z->member[i];
        const uint32_t crc = slow_crc32(file + m->offset, (size_t)m->size);
        memcpy(file + (m->name.data - z->file.data) - 46 + 16, &crc, 4);
        memcpy(file + m->header + 14, &crc, 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_zip z;
    ts_err err = {0};
    open_file(data, len);
    const ts_status s = ts_zip_open(&z, (ts_span){data, len}, &err);
    if (s != TS_OK) {
        look_at_error(s, &err);
        return 0;
    }
    uint8_t *copy = malloc(len);
    if (copy) {
        memcpy(copy, data, len);
        put_right(copy, &z);
        open_file(copy, len);
        free(copy);
    }
    for (size_t i = 0; i < z.n; i++) {
        const ts_zip_member *m = &z.member[i];
        if (ts_zip_find(&z, (ts_span){m->name.data, m->name.len / 2},
                        (ts_span){m->name.data + m->name.len / 2, m->name.len - m->name.len / 2}) != m)
            abort();
        if (m->header > m->offset || m->offset > len || m->size > len - m->offset) abort();
    }
    ts_zip_close(&z);
    return 0;
}
