/* Any bytes as a pickle: what it leaves is looked at, all of it; then the same as the pickle of a file of old, whose
 * one storage, "0", has six elements. */
#include "ckpt/pickle.h"
#include "torch_arrays.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile uint64_t seen;

static void look_at_value(ts_pval *v, unsigned depth);

static void look_at_items(const ts_pitem *it, uint64_t n, bool keys, unsigned depth) {
    for (; it; it = it->next, n--) {
        if (n == 0 || (keys && !it->key)) abort();
        if (it->key) look_at_value(it->key, depth);
        look_at_value(it->value, depth);
    }
    if (n) abort();
}

static void look_at_text(ts_span s) {
    if (s.len) seen += (uint64_t)s.data[0] + s.data[s.len - 1];
}

/* Each value once. What is nested too deeply would have been refused, but for ways through what others have seen. */
static void look_at_value(ts_pval *v, unsigned depth) {
    char name[200];
    if (v->seen == 1 || depth > 4000) return;
    v->seen = 1;
    switch ((ts_pkind)v->kind) {
    case TS_PK_NONE: break;
    case TS_PK_BOOL:
    case TS_PK_INT: seen += (uint64_t)v->i; break;
    case TS_PK_FLOAT: seen += v->f > 0; break;
    case TS_PK_BIG:
    case TS_PK_STR:
    case TS_PK_BYTES: look_at_text(v->text); break;
    case TS_PK_TUPLE:
        for (uint64_t i = 0; i < v->n; i++) look_at_value(v->item[i], depth + 1);
        break;
    case TS_PK_LIST:
    case TS_PK_SET: look_at_items(v->first, v->n, false, depth + 1); break;
    case TS_PK_DICT: look_at_items(v->first, v->n, true, depth + 1); break;
    case TS_PK_GLOBAL: seen += (uint64_t)ts_pglobal_name(v->global, name, sizeof name)[0]; break;
    case TS_PK_OBJECT:
        if (v->object->args) look_at_value(v->object->args, depth + 1);
        if (v->object->state) look_at_value(v->object->state, depth + 1);
        look_at_items(v->object->first, v->n, false, depth + 1);
        break;
    case TS_PK_STORAGE: look_at_text(v->storage->key); break;
    case TS_PK_TENSOR: {
        const ts_ptensor *t = v->tensor;
        uint64_t last = t->offset;
        for (uint32_t i = 0; i < t->n_dims; i++) last += t->dim[i] ? (t->dim[i] - 1) * t->stride[i] : 0;
        const uint64_t width = t->storage->dtype ? 1 : t->dtype->bytes;
        if (t->n && last >= t->storage->n / width) abort();
        break;
    }
    }
}

static void open_as_file(const uint8_t *data, size_t len) {
    static const char head[] = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}.";
    static const char tail[] = "\x80\2]X\1\0\0\0" "0a.\6\0\0\0\0\0\0\0";
    enum { HEAD = sizeof head - 1, TAIL = sizeof tail - 1, DATA = 96 };
    uint8_t *file = malloc(HEAD + len + TAIL + DATA);
    ts_torch *t = NULL;
    ts_err err = {0};
    if (!file) return;
    memcpy(file, head, HEAD);
    if (len) memcpy(file + HEAD, data, len);
    memcpy(file + HEAD + len, tail, TAIL);
    memset(file + HEAD + len + TAIL, 7, DATA);
    const ts_status s = ts_torch_open_mem(&t, (ts_span){file, HEAD + len + TAIL + DATA}, "fuzz", &err);
    if (s == TS_OK) seen += look_at_arrays(t);
    else look_at_error(s, &err);
    ts_torch_close(t);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_pickle p;
    ts_err err = {0};
    const ts_status s = ts_pickle_run(&p, (ts_span){data, len}, &err);
    if (s == TS_OK) {
        if (p.used > len) abort();
        look_at_value(p.root, 0);
        ts_pickle_free(&p);
    } else {
        if (p.root || p.arena.head) abort();
        look_at_error(s, &err);
    }
    open_as_file(data, len);
    return 0;
}
