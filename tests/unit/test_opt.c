/* The option table: parsing, ranges, messages. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "cli/opt.h"

typedef struct values {
    bool flag, on;
    const char *text;
    long number;
    double real;
    cli_list list, rest;
} values;

static const cli_command command = {.name = "test", .args = "", .summary = "test"};

/* Parses a command line of words; the code of cli_parse. Messages go to standard error: the log of the test. */
static int parse(values *v, int n, const char *const *word) {
    *v = (values){.on = true, .number = -7, .real = -7};
    const cli_opt opts[] = {
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Heading"},
        {CLI_FLAG, 'q', "quiet", NULL, &v->flag, 0, 0, "flag"},
        {CLI_FLAG, 0, "no-on", NULL, &v->on, 0, 0, "flag"},
        {CLI_STR, 'p', "prompt", "TEXT", &v->text, 0, 0, "text"},
        {CLI_INT, 'n', "number", "N", &v->number, -1, 100, "number"},
        {CLI_REAL, 0, "real", "X", &v->real, 0, 1, "real"},
        {CLI_LIST, 0, "list", "X", &v->list, 0, 0, "list"},
        {0},
    };
    char *argv[12] = {(char *)"test"};
    for (int i = 0; i < n; i++) argv[i + 1] = (char *)(uintptr_t)word[i];
    return cli_parse(&command, opts, n + 1, argv, &v->rest);
}

static void release(values *v) {
    ts_free(v->list.item);
    ts_free(v->rest.item);
}

#define PARSE(v, ...) parse(v, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__})

static void test_forms(void **state) {
    (void)state;
    values v;
    assert_int_equal(PARSE(&v, "-q", "--no-on", "-p", "a", "--number=12", "--real", "0.5", "x", "-", "--", "-y"), CLI_OK);
    assert_true(v.flag && !v.on);
    assert_string_equal(v.text, "a");
    assert_int_equal(v.number, 12);
    assert_true(v.real == 0.5);
    assert_int_equal(v.rest.n, 3);
    assert_string_equal(v.rest.item[1], "-");
    assert_string_equal(v.rest.item[2], "-y");
    release(&v);
    assert_int_equal(PARSE(&v, "-pabc", "-n-1", "--prompt=", "--list", "1", "--list=2"), CLI_OK);
    assert_string_equal(v.text, ""); /* the last one counts */
    assert_int_equal(v.number, -1);
    assert_int_equal(v.list.n, 2);
    assert_string_equal(v.list.item[1], "2");
    release(&v);
    assert_int_equal(PARSE(&v, "-n", "0x10", "-p", "-q"), CLI_OK); /* a value may look like an option */
    assert_int_equal(v.number, 16);
    assert_string_equal(v.text, "-q");
    assert_false(v.flag);
    release(&v);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        {"--prom"},        {"-x"},           {"--"},           {"-n"},         {"-n", "abc"},        {"-n", ""},
        {"-n", "1x"},      {"-n", "101"},    {"-n", "-2"},     {"--number=1e3"}, {"-n", "99999999999999999999"},
        {"--real", "nan"}, {"--real", "inf"}, {"--real", "1.5"}, {"--real", "x"}, {"--quiet=1"},     {"-q1"},
        {"--Heading"},     {"---quiet"},     {"--\033[31m"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        values v;
        int n = 0;
        while (n < 3 && bad[i][n]) n++;
        int expected = !strcmp(bad[i][0], "--") ? CLI_OK : CLI_USAGE;
        if (parse(&v, n, bad[i]) != expected) fail_msg("%s %s", bad[i][0], n > 1 ? bad[i][1] : "");
        assert_true(v.number == -7 && v.real == -7 && !v.flag);
        release(&v);
    }
}

static void test_set(void **state) {
    (void)state;
    long n = 5;
    const cli_opt opts[] = {{CLI_INT, 0, "top-k", "N", &n, 0, 10, "help"}, {0}};
    ts_err err;
    assert_null(cli_opt_find(opts, "top", 3));
    assert_ptr_equal(cli_opt_find(opts, "top-k=3", 5), opts);
    assert_ok(cli_opt_set(opts, "top-k", "7", &err));
    assert_int_equal(n, 7);
    assert_status(cli_opt_set(opts, "top-k", "11", &err), TS_E_INVAL);
    assert_string_equal(err.msg, "top-k: 11 is outside 0 to 10");
    assert_int_equal(n, 7);
}

static bool body(void *ud) {
    (void)ud;
    values v;
    int code = PARSE(&v, "--list", "a", "--list", "b", "c", "d");
    release(&v);
    return code == CLI_OK;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
