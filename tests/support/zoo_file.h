/* zoo_file.h - a model of the zoo as a file in memory. */
#ifndef TS_TESTS_ZOO_FILE_H
#define TS_TESTS_ZOO_FILE_H

#include "support/gguf_edit.h"
#include "support/test.h"
#include "vectors/zoo.h"

/* 64-byte aligned, as an engine wants it; ts_free its data. */
static inline gguf_file zoo_file(const char *name) {
    const zoo_model *m = zoo_find(name);
    ts_buf raw = {0};
    ts_err err;
    assert_non_null(m);
    assert_ok(zoo_make(m, &raw, &err));
    gguf_file f = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    assert_non_null(f.data);
    memcpy(f.data, raw.data, raw.len);
    ts_buf_free(&raw);
    return f;
}

#endif
