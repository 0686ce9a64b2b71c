/* Fields of a request: types, ranges, whole numbers as they may be written, and the first fault that is kept. */
#include "support/test.h"

#include "server/fields.h"

#include <math.h>

static ts_arena arena;
static srv_error fault;

static srv_fields fields(const char *json) {
    ts_err err;
    const ts_jval *v;
    fault = (srv_error){0};
    ts_arena_free(&arena);
    assert_ok(ts_jtree_parse(&v, &arena, json, strlen(json), NULL, &err));
    return (srv_fields){.object = v, .prefix = "", .error = &fault};
}

static void refused(const char *param, const char *words) {
    assert_int_equal(fault.status, 400);
    assert_string_equal(fault.param, param);
    if (!strstr(fault.message, words)) fail_msg("\"%s\", not \"%s\"", fault.message, words);
}

static void test_whole(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"5", 5}, {"5.0", 5}, {"5e0", 5}, {"50e-1", 5}, {"0.5E+1", 5}, {"-5", -5}, {"0", 0}, {"-0", 0},
                {"0.000", 0}, {"0e99999999999999999999", 0}, {"1e18", 1000000000000000000},
                {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN},
                {"9007199254740993", 9007199254740993}, {"922337203685477580.7e1", INT64_MAX},
                {"1000000000000000000000000000000e-30", 1}, {"120", 120}, {"1.20e2", 120}, {"100.00", 100}};
    static const char *const bad[] = {"5.5", "5e-1", "1e19", "9223372036854775808", "-9223372036854775809", "1e400",
                                      "0.1", "1e-999999999999", "1e99999999999999999999", "true", "\"5\"", "[5]",
                                      "{}", "123456789012345678901234567890123456789012345678901234567890"};
    char json[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(json, sizeof json, "{\"n\":%s}", good[i].text);
        srv_fields f = fields(json);
        const int64_t n = srv_int(&f, "n", INT64_MIN, INT64_MAX, 77);
        if (n != good[i].value || !srv_fields_ok(&f)) fail_msg("%s is %lld", good[i].text, (long long)n);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json, "{\"n\":%s}", bad[i]);
        srv_fields f = fields(json);
        assert_int_equal(srv_int(&f, "n", INT64_MIN, INT64_MAX, 77), 77);
        refused("n", "n has to be a whole number of 64 bits, not ");
    }
}

static void test_ranges(void **state) {
    (void)state;
    srv_fields f = fields("{\"a\":0,\"b\":129,\"c\":null}");
    assert_int_equal(srv_int(&f, "none", 1, 128, 3), 3);
    assert_int_equal(srv_int(&f, "c", 1, 128, 3), 3);
    assert_int_equal(srv_int(&f, "a", 0, 128, 3), 0);
    assert_true(srv_fields_ok(&f));
    assert_int_equal(srv_int(&f, "b", 1, 128, 3), 3);
    refused("b", "b has to be a whole number from 1 to 128, not 129");
    /* the first fault stays, and what comes after it is the default */
    assert_int_equal(srv_int(&f, "a", 0, 128, 3), 3);
    assert_null(srv_field(&f, "a"));
    refused("b", "129");

    f = fields("{\"t\":1.5,\"u\":1e999,\"v\":-1,\"w\":\"1\",\"x\":2}");
    f.prefix = "options.";
    assert_true(srv_real(&f, "t", 0, 2, 1) == 1.5 && srv_real(&f, "x", 0, 2, 1) == 2);
    assert_true(srv_real(&f, "none", 0, 2, 1) == 1 && srv_fields_ok(&f));
    assert_true(srv_real(&f, "u", 0, HUGE_VAL, 1) == 1);
    refused("options.u", "options.u has to be a number, at least 0, not 1e999");
    fault = (srv_error){0};
    assert_true(srv_real(&f, "v", 0, 2, 1) == 1);
    refused("options.v", "a number from 0 to 2, not -1");
    fault = (srv_error){0};
    assert_true(srv_real(&f, "w", -HUGE_VAL, HUGE_VAL, 1) == 1);
    refused("options.w", "a number, not text");
}

static void test_types(void **state) {
    (void)state;
    srv_fields f = fields("{\"s\":\"a\\u0000b\",\"t\":\"x\",\"b\":true,\"o\":{},\"n\":null,\"e\":\"\"}");
    assert_string_equal(srv_string(&f, "t"), "x");
    assert_string_equal(srv_string(&f, "e"), "");
    assert_null(srv_string(&f, "n"));
    assert_true(srv_bool(&f, "b", false) && srv_bool(&f, "n", true) && !srv_bool(&f, "none", false));
    assert_non_null(srv_field_of(&f, "o", TS_JSON_OBJECT));
    assert_null(srv_field_of(&f, "n", TS_JSON_OBJECT));
    assert_true(srv_fields_ok(&f));
    assert_null(srv_string(&f, "s"));
    refused("s", "s contains a NUL character");
    static const struct {
        const char *name;
        ts_json_type type;
        const char *words;
    } bad[] = {{"t", TS_JSON_OBJECT, "t has to be an object, not text"},
               {"b", TS_JSON_STRING, "b has to be text, not true"},
               {"o", TS_JSON_BOOL, "o has to be true or false, not an object"},
               {"o", TS_JSON_ARRAY, "o has to be a list, not an object"},
               {"t", TS_JSON_NUMBER, "t has to be a number, not text"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fault = (srv_error){0};
        assert_null(srv_field_of(&f, bad[i].name, bad[i].type));
        refused(bad[i].name, bad[i].words);
    }
}

static void test_choice(void **state) {
    (void)state;
    static const char *const names[] = {"auto", "none", "required", NULL};
    srv_fields f = fields("{\"a\":\"none\",\"b\":\"nope\",\"c\":7,\"d\":null}");
    assert_int_equal(srv_choice_of(&f, "a", names, -1), 1);
    assert_int_equal(srv_choice_of(&f, "d", names, -1), -1);
    assert_int_equal(srv_choice_of(&f, "z", names, 2), 2);
    assert_true(srv_fields_ok(&f));
    assert_int_equal(srv_choice_of(&f, "b", names, -1), -1);
    refused("b", "b has to be \"auto\", \"none\" or \"required\", not \"nope\"");
    fault = (srv_error){0};
    assert_int_equal(srv_choice_of(&f, "c", names, -1), -1);
    refused("c", "not 7");
}

static void test_strings(void **state) {
    (void)state;
    const char *out[3];
    srv_fields f = fields("{\"a\":\"x\",\"b\":[\"x\",\"\",\"y\",\"z\"],\"c\":\"\",\"d\":[],\"e\":[1],\"f\":{},"
                          "\"g\":[\"a\",\"b\",\"c\",\"d\"],\"h\":[\"a\\u0000\"]}");
    assert_int_equal(srv_strings(&f, "a", out, 3), 1);
    assert_string_equal(out[0], "x");
    assert_int_equal(srv_strings(&f, "b", out, 3), 3);
    assert_string_equal(out[2], "z");
    assert_int_equal(srv_strings(&f, "c", out, 3), 0);
    assert_int_equal(srv_strings(&f, "d", out, 3), 0);
    assert_int_equal(srv_strings(&f, "none", out, 3), 0);
    assert_true(srv_fields_ok(&f));
    static const char *const bad[][2] = {{"e", "there is a number in it"}, {"f", "text or a list of texts, not an"},
                                         {"g", "more than 3 texts"}, {"h", "a NUL character"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fault = (srv_error){0};
        assert_int_equal(srv_strings(&f, bad[i][0], out, 3), 0);
        refused(bad[i][0], bad[i][1]);
    }
}

static void test_unsupported(void **state) {
    (void)state;
    srv_fields f = fields("{\"a\":null,\"b\":false,\"c\":0,\"d\":\"\",\"e\":[],\"f\":{},\"g\":\"none\",\"h\":0.0,"
                          "\"i\":1,\"j\":true,\"k\":\"x\",\"l\":[0],\"m\":0.5}");
    static const char *const harmless[] = {"a", "b", "c", "d", "e", "f", "g", "h", "z"};
    static const char *const bad[] = {"i", "j", "k", "l", "m"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) srv_unsupported(&f, harmless[i], "not done");
    assert_true(srv_fields_ok(&f));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fault = (srv_error){0};
        srv_unsupported(&f, bad[i], "not done");
        refused(bad[i], "not done");
    }
}

static int tear_down(void **state) {
    (void)state;
    ts_arena_free(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),  cmocka_unit_test(test_ranges),  cmocka_unit_test(test_types),
        cmocka_unit_test(test_choice), cmocka_unit_test(test_strings), cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests_name("srv_fields", tests, NULL, tear_down);
}
