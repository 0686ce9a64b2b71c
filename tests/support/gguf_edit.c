#include "support/gguf_edit.h"
#include "support/test.h"

#include "format/gguf.h"
#include "format/gguf_write.h"

enum { MAX_EDITS = 16 };

static const gguf_edit *edit_of(const gguf_edit *list, const char *name) {
    for (; list->name; list++)
        if (!strcmp(list->name, name)) return list;
    return NULL;
}

static void put(ts_gguf_writer *w, const gguf_edit *e) {
    switch (e->what) {
    case EDIT_U32: ts_gguf_put_u32(w, e->name, e->u); break;
    case EDIT_F32: ts_gguf_put_f32(w, e->name, e->f); break;
    case EDIT_STR: ts_gguf_put_str(w, e->name, e->s); break;
    default: break;
    }
}

static void add(ts_gguf_writer *w, const gguf_edit *e, void **zeros) {
    const uint64_t dim[2] = {e->cols, e->rows};
    if (!e->data) {
        *zeros = ts_calloc(e->rows ? e->rows : 1, ts_dtype_row_bytes(e->type, e->cols));
        assert_non_null(*zeros);
    }
    ts_gguf_add_tensor(w, e->name, e->type, e->rows ? 2 : 1, dim, e->data ? e->data : *zeros);
}

gguf_file gguf_edited(gguf_file in, const gguf_edit *list) {
    ts_err err;
    ts_gguf *g;
    ts_gguf_writer *w;
    void *zeros[MAX_EDITS] = {0};
    assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = in.data, .len = in.len}, "(test)", 0, &err));
    assert_ok(ts_gguf_writer_new(&w, 64, &err));
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++)
        if (!edit_of(list, ts_gguf_kv_at(g, i)->key)) ts_gguf_put_kv(w, ts_gguf_kv_at(g, i));
    for (const gguf_edit *e = list; e->name; e++) put(w, e);
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        const gguf_edit *e = edit_of(list, t->name);
        if (!e) ts_gguf_add_tensor(w, t->name, t->type, t->n_dims, t->dim, t->data);
        else if (e->what == EDIT_TENSOR) add(w, e, &zeros[e - list]);
    }
    for (const gguf_edit *e = list; e->name; e++)
        if (e->what == EDIT_TENSOR && !ts_gguf_tensor(g, e->name)) add(w, e, &zeros[e - list]);
    ts_buf out = {0};
    assert_ok(ts_gguf_save_mem(w, &out, &err));
    gguf_file file = {.data = ts_alloc_aligned(out.len, 1), .len = out.len};
    assert_non_null(file.data);
    memcpy(file.data, out.data, out.len);
    ts_buf_free(&out);
    ts_gguf_writer_free(w);
    ts_gguf_close(g);
    for (int i = 0; i < MAX_EDITS; i++) ts_free(zeros[i]);
    return file;
}
