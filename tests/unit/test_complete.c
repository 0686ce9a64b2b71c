/* What Tab offers. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/file.h"
#include "cli/complete.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tessera-test-XXXXXX";

static void make_file(const char *name) {
    ts_err err;
    char *path = ts_path_join(folder, name);
    assert_ok(ts_file_write(path, "x", 1, &err));
    ts_free(path);
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    char *sub = ts_path_join(folder, "sub folder");
    int bad = mkdir(sub, 0700);
    ts_free(sub);
    static const char *const names[] = {"größe", "größer", "grüße", ".hidden", "sub folder/inner"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) make_file(names[i]);
    return bad;
}

static int tear_down(void **state) {
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* The words joined by "|", behind the folder, and how many bytes of the first they share. */
static void offers(const char *typed, const char *want, const char *common) {
    cli_words w = {0};
    ts_buf got = {0};
    char *path = ts_path_join(folder, typed);
    cli_words_add_files(&w, path);
    for (size_t i = 0; i < w.n; i++)
        assert_true(ts_buf_printf(&got, "%s%s", i ? "|" : "", w.item[i] + strlen(folder) + 1));
    assert_string_equal(got.data ? got.data : "", want);
    if (w.n) {
        assert_int_equal(cli_words_common(&w), strlen(folder) + 1 + strlen(common));
        assert_memory_equal(w.item[0] + strlen(folder) + 1, common, strlen(common));
    }
    ts_buf_free(&got);
    cli_words_free(&w);
    ts_free(path);
}

static void test_files(void **state) {
    (void)state;
    offers("", "größe|größer|grüße|sub folder/", "");
    offers("gr", "größe|größer|grüße", "gr"); /* ö and ü share their first byte, which is no character */
    offers("grö", "größe|größer", "größe");
    offers("s", "sub folder/", "sub folder/");
    offers("sub folder/", "sub folder/inner", "sub folder/inner");
    offers(".", ".hidden", ".hidden");
    offers("none", "", "");
    offers("none/", "", "");
    assert_int_equal(setenv("HOME", folder, 1), 0);
    cli_words w = {0};
    cli_words_add_files(&w, "~/grü");
    assert_int_equal(w.n, 1);
    assert_string_equal(w.item[0], "~/grüße");
    cli_words_free(&w);
}

static void test_print(void **state) {
    (void)state;
    static const char *const names[] = {"a/one", "a/two", "a/three", "a/four", "a/größe"};
    cli_words w = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) cli_words_add(&w, names[i], "a/");
    cli_words_add(&w, "b", "a/");
    assert_int_equal(w.n, 5);
    char text[200] = {0};
    for (int width = 0; width < 40; width++) {
        FILE *f = fmemopen(text, sizeof text, "w");
        cli_words_print(&w, width, f);
        fclose(f);
        assert_string_equal(text, width < 15   ? "one\ntwo\nthree\nfour\ngröße\n"
                                  : width < 22 ? "one    four\ntwo    größe\nthree\n"
                                  : width < 36 ? "one    three  größe\ntwo    four\n"
                                               : "one    two    three  four   größe\n");
    }
    cli_words_free(&w);
}

static bool body(void *ud) {
    cli_words w = {0};
    (void)ud;
    cli_words_add(&w, "one", "");
    cli_words_add_files(&w, folder);
    cli_words_free(&w);
    return true;
}

static void test_out_of_memory(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, true); /* fewer words are offered */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
