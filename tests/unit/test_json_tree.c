/* The tree of a JSON text: values, sources, order, limits; what is refused and where. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/json_tree.h"

static ts_err err;

static ts_status parse(ts_arena *a, const ts_jval **v, const char *s) {
    return ts_jtree_parse(v, a, s, strlen(s), NULL, &err);
}

static void test_values(void **state) {
    (void)state;
    static const char s[] = " {\"b\": [1.0, -0, 1e400, 12345678901234567890123], \"a\\u00e9\":{\"x\":null , \"y\" : "
                            "[ ]},\"\":\"a\\n\\u0000\\ud83d\\ude42\\/\", \"t\":true,\"f\": false}\n";
    ts_arena arena = {0};
    const ts_jval *v;
    assert_ok(parse(&arena, &v, s));
    assert_int_equal(v->type, TS_JSON_OBJECT);
    assert_int_equal(v->n, 5);
    assert_true(v->source.data == (const uint8_t *)s + 1 && v->source.len == strlen(s) - 2);
    const ts_jval *b = ts_jval_get(v, "b"), *x = b->first;
    static const char *const number[] = {"1.0", "-0", "1e400", "12345678901234567890123"};
    assert_int_equal(b->n, 4);
    for (size_t i = 0; i < 4; i++, x = x->next) {
        assert_int_equal(x->type, TS_JSON_NUMBER);
        assert_true(ts_span_is(x->text, number[i]) && ts_span_is(x->source, number[i]));
    }
    assert_null(x);
    const ts_jval *a = ts_jval_get(v, "a\xc3\xa9");
    assert_true(ts_span_is(a->source, "{\"x\":null , \"y\" : [ ]}"));
    assert_int_equal(ts_jval_get(a, "x")->type, TS_JSON_NULL);
    assert_int_equal(ts_jval_get(a, "y")->n, 0);
    assert_true(ts_span_is(ts_jval_get(a, "y")->source, "[ ]"));
    const ts_jval *text = ts_jval_get(v, "");
    assert_int_equal(text->text.len, 8);
    assert_memory_equal(text->text.data, "a\n\0\xf0\x9f\x99\x82/", 9);
    assert_true(ts_jval_get(v, "t")->truth && !ts_jval_get(v, "f")->truth);
    assert_true(ts_span_is(v->first->key, "b") && ts_span_is(v->first->next->key, "a\xc3\xa9"));
    assert_null(ts_jval_get(v, "none"));
    assert_null(ts_jval_get(b, "b"));
    assert_null(ts_jval_get(NULL, "b"));
    assert_true(!ts_jval_is(NULL, "") && !ts_jval_is(v, ""));
    ts_arena_free(&arena);
}

/* Reading front to back: each key of an object once, and not more of them than are remembered. */
static void test_key_once(void **state) {
    (void)state;
    for (int n = 1; n <= TS_JSON_KEYS + 1; n++) {
        ts_buf text = {0};
        ts_json j;
        ts_json_keys seen = {0};
        ts_span key;
        for (int i = 0; i < n; i++) assert_true(ts_buf_printf(&text, "%c\"k%d\":%d", i ? ',' : '{', i, i));
        assert_true(ts_buf_puts(&text, "}"));
        ts_json_init(&j, text.data, text.len);
        ts_json_object(&j);
        while (ts_json_key_once(&j, &key, &seen)) ts_json_skip(&j);
        assert_int_equal(ts_json_status(&j, &err), n <= TS_JSON_KEYS ? TS_OK : TS_E_FORMAT);
        ts_json_fini(&j);
        ts_buf_free(&text);
    }
    static const char twice[] = "{\"a\":1,\n \"b\":2,\"\\u0061\":3}";
    ts_json j;
    ts_json_keys seen = {0};
    ts_span key;
    ts_json_init(&j, twice, sizeof twice - 1);
    ts_json_object(&j);
    while (ts_json_key_once(&j, &key, &seen)) ts_json_skip(&j);
    assert_int_equal(ts_json_status(&j, &err), TS_E_FORMAT);
    assert_string_equal(err.msg, "line 2, column 17: a key that the object already has: \"a\"");
    ts_json_fini(&j);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {{"", "ends too early"},
               {"{\"a\":1,\n \"b\":2, \"a\":3}", "line 2, column 13: a key that the object already has"},
               {"{\"a\":1,\"\\u0061\":3}", "a key that the object already has"},
               {"[1,]", "a comma without"},
               {"[01]", "malformed number"},
               {"[1.]", "malformed number"},
               {"[.5]", "expected a value"},
               {"[NaN]", "expected a value"},
               {"[nul]", "expected a value"},
               {"[1] 2", "something behind the end"},
               {"\"\xff\"", "column 2: a byte that is no UTF-8"},
               {"\"\xed\xa0\x80\"", "no UTF-8"},
               {"\"\\ud800\"", "half of a surrogate pair"},
               {"\"\\udc00\\ud800\"", "half of a surrogate pair"},
               {"\"\\x\"", "an unknown escape"},
               {"\"a\tb\"", "a control character"},
               {"{\"a\"}", "expected a colon"},
               {"{1:2}", "expected a string"},
               {"[", "ends too early"},
               {"{\"a\":", "ends too early"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ts_arena arena = {0};
        const ts_jval *v = NULL;
        assert_int_equal(parse(&arena, &v, bad[i].text), TS_E_FORMAT);
        if (!strstr(err.msg, bad[i].why)) fail_msg("%s: %s, not %s", bad[i].text, err.msg, bad[i].why);
        assert_null(v);
        ts_arena_free(&arena);
    }
}

static void test_limits(void **state) {
    (void)state;
    char deep[2 * TS_JSON_DEPTH + 4];
    for (int n = TS_JSON_DEPTH; n <= TS_JSON_DEPTH + 1; n++) {
        ts_arena arena = {0};
        const ts_jval *v;
        memset(deep, '[', (size_t)n);
        memset(deep + n, ']', (size_t)n);
        deep[2 * n] = 0;
        assert_int_equal(parse(&arena, &v, deep), n > TS_JSON_DEPTH ? TS_E_LIMIT : TS_OK);
        ts_arena_free(&arena);
    }
    assert_non_null(strstr(err.msg, "nested too deeply"));
    for (uint32_t values = 1; values <= 4; values++) {
        ts_arena arena = {0};
        const ts_jval *v;
        assert_int_equal(ts_jtree_parse(&v, &arena, "[1,{\"a\":2}]", 11, &(ts_jlimits){.values = values}, &err),
                         values < 4 ? TS_E_LIMIT : TS_OK);
        assert_int_equal(err.code, TS_E_LIMIT);
        ts_arena_free(&arena);
    }
}

static bool parse_once(void *ud) {
    (void)ud;
    ts_arena arena = {0};
    const ts_jval *v;
    const bool ok = parse(&arena, &v, "{\"a\":[1,\"\\n\",{\"b\":null,\"c\\t\":\"d\"}],\"e\":true}") == TS_OK;
    if (!ok) assert_int_equal(err.code, TS_E_NOMEM);
    ts_arena_free(&arena);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    alloc_fail_loop(parse_once, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_key_once),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
