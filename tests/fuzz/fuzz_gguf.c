/* Any bytes as a model file: opened, and when that works everything in it is looked at. */
#include "format/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The result goes where the compiler cannot drop the reads. */
static volatile uint64_t seen;

static uint64_t touch(const void *data, size_t len) {
    const uint8_t *p = data;
    return len ? (uint64_t)p[0] + p[len / 2] + p[len - 1] : 0;
}

static void look_at_value(const ts_gguf *g, const ts_gguf_kv *kv) {
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    ts_span s = {0};
    if (ts_gguf_find(g, kv->key) != kv) abort();
    if (ts_gguf_u32(g, kv->key, true, &u, NULL) == TS_OK) seen += u;
    if (ts_gguf_f32(g, kv->key, true, &f, NULL) == TS_OK) seen += f > 0;
    if (ts_gguf_bool(g, kv->key, true, &b, NULL) == TS_OK) seen += b;
    if (ts_gguf_str(g, kv->key, true, &s, NULL) == TS_OK) seen += touch(s.data, s.len);
    seen += touch(kv->raw.data, kv->raw.len);
    if (kv->elem == TS_GGUF_STRING) {
        ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
        for (uint64_t i = 0; i < kv->n; i++) {
            s = ts_gguf_next_string(&r);
            seen += touch(s.data, s.len);
        }
        if (r.fail || r.pos != kv->raw.len) abort();
    } else if (kv->elem != TS_GGUF_ARRAY && kv->n) {
        seen += (uint64_t)ts_gguf_int(kv, 0) + (uint64_t)ts_gguf_int(kv, kv->n - 1);
        seen += ts_gguf_num(kv, kv->n - 1) > 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_gguf *g = NULL;
    ts_err err = {0};
    ts_status s = ts_gguf_open_mem(&g, (ts_span){.data = data, .len = len}, "fuzz", TS_GGUF_ANY_TYPE, &err);
    if (s != TS_OK) {
        /* one printable line, and the code that was returned */
        if (g || err.code != s || !*err.msg || strpbrk(err.msg, "\n\r\x1b")) abort();
        return 0;
    }
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) look_at_value(g, ts_gguf_kv_at(g, i));
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        if (ts_gguf_tensor(g, t->name) != t) abort();
        seen += touch(t->data, t->bytes);
        size_t row = ts_dtype_row_bytes(t->type, t->dim[0]);
        if (row && row * t->dim[1] * t->dim[2] * t->dim[3] != t->bytes) abort();
    }
    ts_gguf_close(g);
    return 0;
}
