/* What stands between the keyboard and the chat: lines to messages, the history file. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/file.h"
#include "cli/repl_history.h"
#include "cli/repl_input.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- lines to messages ------------------------------------------------------------------------------------------- */

static void test_input(void **state) {
    (void)state;
    static const struct {
        const char *line[6]; /* the lines, in this order */
        const char *text;    /* the message that the last of them completes; NULL: it is not complete */
        bool literal;
    } cases[] = {
        {{"hello"}, "hello", false},
        {{""}, "", false},
        {{"  a  "}, "  a  ", false},
        {{"\"\"\"", "a", "", "b", "\"\"\""}, "a\n\nb", true},
        {{"\"\"\"a", "b\"\"\""}, "a\nb", true},
        {{"\"\"\"a", "b\"\"\"  "}, "a\nb", true},
        {{"\"\"\"one\"\"\""}, "one", true},
        {{"\"\"\"\"\"\""}, "", true},
        {{"\"\"\"", "\"\"\""}, "", true},
        {{"\"\"\" ", "x", " \"\"\""}, "x\n ", true},
        {{"\"\"\"", "/bye", "\"\"\""}, "/bye", true},
        {{"\"\"\"", "a\"\"\"b", "c\\", "\"\"\""}, "a\"\"\"b\nc\\", true},
        {{"\"\"\"", "a"}, NULL, true},
        {{" \"\"\""}, " \"\"\"", false}, /* not at the start */
        {{"a \"\"\"b"}, "a \"\"\"b", false},
        {{"\"\""}, "\"\"", false},
        {{"a\\", "b\\", "c"}, "a\nb\nc", false},
        {{"a \\", ""}, "a \n", false},
        {{"a\\\\"}, "a\\\\", false},
        {{"a\\\\\\", "b"}, "a\\\\\nb", false},
        {{"\\", "\"\"\""}, "\n\"\"\"", false},
        {{"a\\"}, NULL, false},
        {{"/system \"\"\"", "You are", "brief.", "\"\"\""}, "/system You are\nbrief.", false},
        {{"/system   \"\"\"x\"\"\""}, "/system   x", false},
        {{"/systematic \"\"\"x"}, "/systematic \"\"\"x", false},
        {{"/save \"\"\"x"}, "/save \"\"\"x", false},
        /* several lines at once: pasted, or recalled */
        {{"a\nb\nc"}, "a\nb\nc", true},
        {{"/bye\nnot"}, "/bye\nnot", true},
        {{"\"\"\"\na\nb\n\"\"\""}, "a\nb", true},
        {{"a\\\nb"}, "a\nb", false},
        {{"\"\"\"", "a\nb", "c\"\"\""}, "a\nb\nc", true},
        {{"\"\"\"", "a\nb\"\"\"\nc"}, "a\nb\nc", true},
    };
    cli_input in = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_input_clear(&in);
        for (int k = 0; k < 6 && cases[i].line[k]; k++) {
            if (k) assert_true(in.state == CLI_INPUT_BLOCK || in.state == CLI_INPUT_CONTINUED);
            assert_true(cli_input_line(&in, cases[i].line[k], strlen(cases[i].line[k])));
        }
        if ((in.state == CLI_INPUT_WHOLE) != (cases[i].text != NULL)) fail_msg("case %zu: state %d", i, in.state);
        if (cases[i].text) {
            if (strcmp(in.text.data, cases[i].text) != 0) fail_msg("case %zu: \"%s\"", i, in.text.data);
            assert_int_equal(in.literal, cases[i].literal);
        } else {
            assert_true(cli_input_end(&in));
            assert_string_equal(in.text.data, cases[i].line[0][0] == '"' ? "a" : "a\n");
        }
        assert_false(cli_input_end(&in));
    }
    /* what was typed, for the history; and the next line begins anew */
    cli_input_clear(&in);
    assert_true(cli_input_line(&in, "x\\", 2) && cli_input_line(&in, "y", 1));
    assert_string_equal(in.typed.data, "x\\\ny");
    assert_true(cli_input_line(&in, "z", 1));
    assert_string_equal(in.text.data, "z");
    assert_string_equal(in.typed.data, "z");
    cli_input_free(&in);
}

static bool input_body(void *ud) {
    (void)ud;
    cli_input in = {0};
    static char long_line[300];
    memset(long_line, 'a', sizeof long_line);
    bool ok = cli_input_line(&in, "\"\"\"", 3) && cli_input_line(&in, long_line, sizeof long_line) &&
              cli_input_line(&in, "\"\"\"", 3);
    assert_int_equal(in.state, ok ? CLI_INPUT_WHOLE : CLI_INPUT_EMPTY);
    cli_input_free(&in);
    return ok;
}

/* ---- history ----------------------------------------------------------------------------------------------------- */

struct entries {
    char last[100], first[100];
    size_t n;
};

static void count(void *ud, const char *entry) {
    struct entries *e = ud;
    if (e->n++ == 0) snprintf(e->first, sizeof e->first, "%s", entry);
    snprintf(e->last, sizeof e->last, "%s", entry);
}

static void test_escape(void **state) {
    (void)state;
    static const char *const text[] = {"", "a", "two\nlines", "back\\slash", "\\n", "\\\n", "\\", "ends\n", "\xff\x01"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        ts_buf line = {0}, back = {0};
        assert_true(cli_history_escape(&line, text[i]) && ts_buf_putc(&line, 0));
        assert_null(strchr(line.data, '\n'));
        assert_true(cli_history_unescape(&back, line.data, line.len - 1) && ts_buf_putc(&back, 0));
        assert_string_equal(back.data, text[i]);
        ts_buf_free(&line);
        ts_buf_free(&back);
    }
}

static void test_history(void **state) {
    (void)state;
    ts_err err;
    char folder[] = "/tmp/tessera-test-XXXXXX", name[200];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/a/b", folder);
    setenv("XDG_STATE_HOME", name, 1);
    char *path = cli_history_path();
    snprintf(name, sizeof name, "%s/a/b/tessera/history", folder);
    assert_string_equal(path, name);
    struct entries e = {0};
    cli_history_read(path, count, &e); /* there is none yet */
    assert_int_equal(e.n, 0);
    cli_history_append(path, "one");
    cli_history_append(path, "two\nlines");
    cli_history_read(path, count, &e);
    assert_int_equal(e.n, 2);
    assert_string_equal(e.first, "one");
    assert_string_equal(e.last, "two\nlines");
    struct stat st;
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    /* many entries: the last ones are read, and the file is cut once it is twice as long */
    ts_buf text = {0};
    for (int i = 0; i < 2 * CLI_HISTORY_ENTRIES; i++) assert_true(ts_buf_printf(&text, "entry %d\n", i));
    assert_ok(ts_file_write(path, text.data, text.len, &err));
    for (int round = 0; round < 2; round++) {
        e = (struct entries){0};
        cli_history_read(path, count, &e);
        assert_int_equal(e.n, CLI_HISTORY_ENTRIES);
        assert_string_equal(e.last, round ? "newest" : "entry 1999");
        assert_string_equal(e.first, round ? "entry 1001" : "entry 1000");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal((size_t)st.st_size == text.len, round == 0);
        if (round == 0) cli_history_append(path, "newest");
    }
    assert_true((size_t)st.st_size < text.len * 2 / 3);
    assert_true((st.st_mode & 0777) == 0600);
    e = (struct entries){0};
    cli_history_read(path, count, &e);
    assert_int_equal(e.n, CLI_HISTORY_ENTRIES);
    assert_string_equal(e.last, "newest");
    /* NUL bytes, no line break at the end, an empty line */
    assert_ok(ts_file_write(path, "a\0b\n\nlast", 9, &err));
    e = (struct entries){0};
    cli_history_read(path, count, &e);
    assert_int_equal(e.n, 1);
    assert_string_equal(e.last, "last");
    ts_buf_free(&text);
    /* nowhere to write: nothing happens */
    cli_history_append("/dev/null/history", "x");
    cli_history_append("/", "x");
    cli_history_read("/dev/null/history", count, &e);
    cli_history_read("/", count, &e);
    assert_int_equal(e.n, 1);
    unlink(path);
    ts_free(path);
    static const char *const made[] = {"a/b/tessera", "a/b", "a", ""};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, made[i]);
        assert_int_equal(rmdir(name), 0);
    }
}

static void test_home(void **state) {
    (void)state;
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", "/dev/null", 1);
    char *path = cli_history_path();
    assert_string_equal(path, "/dev/null/.local/state/tessera/history");
    ts_free(path);
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_null(cli_history_path());
    setenv("HOME", "", 1);
    assert_null(cli_history_path());
}

static bool history_body(void *ud) {
    const char *path = ud;
    struct entries e = {0};
    setenv("HOME", "/dev/null", 1);
    char *other = cli_history_path();
    bool ok = other != NULL;
    ts_free(other);
    cli_history_append(path, "something with a \\ and a \n");
    cli_history_read(path, count, &e);
    return ok && e.n > 0;
}

static void test_alloc(void **state) {
    (void)state;
    char path[] = "/tmp/tessera-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    alloc_fail_loop(input_body, NULL, false);
    alloc_fail_loop(history_body, path, true); /* an entry more or less is no failure */
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input),   cmocka_unit_test(test_escape), cmocka_unit_test(test_history),
        cmocka_unit_test(test_home),    cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("repl", tests, NULL, NULL);
}
