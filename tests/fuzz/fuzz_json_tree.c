/* Any bytes as JSON: what is accepted is what jansson accepts, with the same strings, and each value's source is that
 * value again. */
#include "base/json_tree.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool kept) {
    if (!kept) abort();
}

static void same(const ts_jval *v, const json_t *j) {
    size_t i = 0;
    switch (v->type) {
    case TS_JSON_OBJECT:
        need(json_is_object(j) && json_object_size(j) == v->n);
        for (const ts_jval *m = v->first; m; m = m->next, i++) {
            const json_t *other = json_object_getn(j, (const char *)m->key.data, m->key.len);
            need(other);
            same(m, other);
        }
        break;
    case TS_JSON_ARRAY:
        need(json_is_array(j) && json_array_size(j) == v->n);
        for (const ts_jval *m = v->first; m; m = m->next) same(m, json_array_get(j, i++));
        break;
    case TS_JSON_STRING:
        need(json_is_string(j) && json_string_length(j) == v->text.len);
        need(memcmp(json_string_value(j), v->text.data, v->text.len) == 0);
        break;
    case TS_JSON_NUMBER: need(json_is_number(j)); break;
    case TS_JSON_BOOL: need(json_is_boolean(j) && json_is_true(j) == v->truth); break;
    case TS_JSON_NULL: need(json_is_null(j)); break;
    case TS_JSON_BAD: abort();
    }
}

static void source_again(const ts_jval *v) {
    ts_arena arena = {0};
    ts_err err;
    const ts_jval *w = NULL;
    need(ts_jtree_parse(&w, &arena, (const char *)v->source.data, v->source.len, NULL, &err) == TS_OK);
    need(w->type == v->type && w->n == v->n && w->source.len == v->source.len && w->text.len == v->text.len);
    ts_arena_free(&arena);
    if (v->type == TS_JSON_ARRAY || v->type == TS_JSON_OBJECT)
        for (const ts_jval *m = v->first; m && v->n < 16; m = m->next) source_again(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ts_arena arena = {0};
    ts_err err;
    const ts_jval *v = NULL;
    const ts_status s = ts_jtree_parse(&v, &arena, (const char *)data, size, NULL, &err);
    json_error_t why;
    json_t *j = json_loadb((const char *)data, size,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &why);
    const bool bom = size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0; /* we step over it */
    if (s == TS_OK) {
        const enum json_error_code code = j ? json_error_unknown : json_error_code(&why);
        need(j || bom || code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
        if (j) same(v, j);
        source_again(v);
    } else {
        need(s == TS_E_LIMIT || (s == TS_E_FORMAT && (!j || memchr(data, 0, size)))); /* for jansson a NUL is the end */
    }
    json_decref(j);
    ts_arena_free(&arena);
    return 0;
}
