/* Tables: as wide as what stands in them, and no wider than they may be. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "cli/table.h"

static const cli_column columns[] = {
    {"name", true, 0}, {"size", false, 2}, {"never", true, 3}, {"note", true, 1}, {"n", false, 0}};

static bool make(int width, ts_buf *out) {
    cli_table t = {.column = columns, .n_columns = 5};
    cli_table_add(&t, "%s", "größe");
    cli_table_add(&t, "%d", 12345);
    cli_table_skip(&t, 1);
    cli_table_add(&t, "%s", "a longer note");
    cli_table_add(&t, "%d", 1);
    cli_table_add(&t, "%s", "b");
    cli_table_skip(&t, 3);
    cli_table_add(&t, "%d", 23);
    bool ok = cli_table_text(&t, width, out);
    cli_table_free(&t);
    return ok;
}

static void test_widths(void **state) {
    (void)state;
    static const char all[] =
        "name    size  note            n\ngröße  12345  a longer note   1\nb                            23\n";
    static const char less[] = "name    size   n\ngröße  12345   1\nb             23\n(no room here for: note)\n";
    static const char least[] = "name    n\ngröße   1\nb      23\n(no room here for: size, note)\n";
    static const struct {
        int width;
        const char *want;
    } cases[] = {{0, all}, {80, all}, {31, all}, {30, less}, {16, less}, {15, least}, {9, least}, {3, least}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_buf out = {0};
        assert_true(make(cases[i].width, &out));
        assert_string_equal(out.data, cases[i].want);
        ts_buf_free(&out);
    }
}

static bool body(void *ud) {
    ts_buf out = {0};
    (void)ud;
    bool ok = make(20, &out);
    ts_buf_free(&out);
    return ok;
}

static void test_out_of_memory(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
