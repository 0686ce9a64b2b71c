/* Plain arguments: which is the model, which the text; what can be a model. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "cli/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const cli_command command = {.name = "test", .args = "", .summary = "test"};
static char folder[64];

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tessera-arguments-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return chdir("/") || rmdir(folder);
}

static void put(const char *name, const char *bytes, size_t n) {
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_looks(void **state) {
    (void)state;
    static const char *const models[] = {"x.gguf",      "X.GGUF",    "my model.gguf", "dir/x",  "./x",
                                         "https://x/y", "hf.co/a/b", "m.safetensors", "m.onnx", "there"},
                             *const texts[] = {"", "hello", "why is it?", "and/or, what is it?", "llama3.2", ".gguf",
                                               "see https://x/y please"};
    put("there", "x", 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (!cli_looks_like_model(models[i])) fail_msg("%s", models[i]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (cli_looks_like_model(texts[i])) fail_msg("%s", texts[i]);
    assert_int_equal(unlink("there"), 0);
}

/* model: as -m gives it; then what comes out. NULL: none. */
static void deal(const char *const words[4], cli_plain what, const char *model, const char *given, int code,
                 const char *want_model, const char *want_text) {
    cli_list rest = {.item = (const char **)(uintptr_t)words};
    while (rest.n < 4 && words[rest.n]) rest.n++;
    char *text = NULL;
    assert_int_equal(cli_take_plain(&command, what, &rest, &model, given, &text), code);
    if (code == CLI_OK && want_model) assert_string_equal(model, want_model);
    if (code == CLI_OK && !want_model) assert_null(model);
    if (want_text) assert_string_equal(text, want_text);
    else assert_null(text);
    ts_free(text);
}

#define WORDS(...) ((const char *const[4]){__VA_ARGS__})

static void test_deal(void **state) {
    (void)state;
    const cli_plain M = CLI_PLAIN_MODEL, T = CLI_PLAIN_TEXT;
    deal(WORDS(NULL), T, NULL, NULL, CLI_OK, NULL, NULL);
    deal(WORDS("x.gguf"), T, NULL, NULL, CLI_OK, "x.gguf", NULL);
    deal(WORDS("x.gguf", "a"), T, NULL, NULL, CLI_OK, "x.gguf", "a");
    deal(WORDS("x.gguf", "a", "b  c", "d"), T, NULL, NULL, CLI_OK, "x.gguf", "a b  c d");
    deal(WORDS("x.gguf", ""), T, NULL, NULL, CLI_OK, "x.gguf", "");
    deal(WORDS("x.gguf"), T, "m", NULL, CLI_OK, "m", "x.gguf");
    deal(WORDS("why", "me"), T, "m", NULL, CLI_OK, "m", "why me");
    deal(WORDS("why is it"), T, NULL, NULL, CLI_OK, NULL, "why is it");
    deal(WORDS("why"), T, NULL, NULL, CLI_FAIL, NULL, NULL);
    deal(WORDS("why", "me"), T, NULL, NULL, CLI_FAIL, NULL, NULL); /* here it can be told how a text is given */
    deal(WORDS("x.gguf"), T, NULL, "-p", CLI_OK, "x.gguf", NULL);
    deal(WORDS("why is it"), T, NULL, "-p", CLI_OK, "why is it", NULL);
    deal(WORDS("x.gguf", "a"), T, NULL, "-p", CLI_USAGE, NULL, NULL);
    deal(WORDS("a"), T, "m", "-f", CLI_USAGE, NULL, NULL);
    deal(WORDS("llama3.2"), M, NULL, NULL, CLI_OK, "llama3.2", NULL);
    deal(WORDS("x.gguf", "a"), M, NULL, NULL, CLI_USAGE, NULL, NULL);
    deal(WORDS("x.gguf"), M, "m", NULL, CLI_USAGE, NULL, NULL);
}

static void test_path(void **state) {
    (void)state;
    static const char *const refused[] = {"https://a/b.gguf", "ftp://a",     "hf.co/a/b:Q4", "huggingface.co/a/b",
                                          "llama3.2",         "llama3.2:1b", "a/b",          "a/b:Q4_K_M",
                                          "x.ckpt",           "x.onnx"},
                             *const left_to_opening[] = {"x.gguf", "./x", "/no/such/x", "~/x",
                                                         "../no/x", "",   "a b",        "x\033[31m"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (cli_check_model_path(refused[i], false) != CLI_FAIL) fail_msg("%s", refused[i]);
    for (size_t i = 0; i < sizeof left_to_opening / sizeof *left_to_opening; i++)
        if (cli_check_model_path(left_to_opening[i], false) != CLI_OK) fail_msg("%s", left_to_opening[i]);
    assert_int_equal(cli_check_model_path("tokenizer.json", true), CLI_OK);
    assert_int_equal(cli_check_model_path("https://a/tokenizer.json", true), CLI_FAIL);
    /* contents: what the reader knows by sight is left to it */
    static const struct {
        const char *name, *bytes;
        size_t n;
        int code;
    } files[] = {{"a.bin", "GGUF\3\0\0\0\0\0", 10, CLI_OK}, {"b.onnx", "\x08\x07\x12\x07", 4, CLI_FAIL},
                 {"c.pth", "\x80\2}q\0.", 6, CLI_OK}, {"d.bin", "PK\3\4\0\0\0\0\0\0", 10, CLI_OK},
                 {"e.bin", "<html>", 6, CLI_OK}, {"f.bin", "", 0, CLI_OK},
                 {"g.model", "\1\2\3", 3, CLI_OK}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        put(files[i].name, files[i].bytes, files[i].n);
        if (cli_check_model_path(files[i].name, false) != files[i].code) fail_msg("%s", files[i].name);
        assert_int_equal(unlink(files[i].name), 0);
    }
    assert_int_equal(mkfifo("fifo.bin", 0600), 0); /* opening it for a look does not wait */
    assert_int_equal(cli_check_model_path("fifo.bin", false), CLI_OK);
    assert_int_equal(unlink("fifo.bin"), 0);
}

static void test_folder(void **state) {
    (void)state;
    assert_int_equal(cli_check_model_path(".", false), CLI_OK); /* an empty folder: opening tells */
    put("config.json", "{}", 2);
    assert_int_equal(cli_check_model_path(".", false), CLI_OK); /* Hugging Face's: opening tells */
    assert_int_equal(cli_check_model_path(".", true), CLI_OK);
    assert_int_equal(unlink("config.json"), 0);
    put("a.gguf", "x", 1);
    assert_int_equal(cli_check_model_path(".", false), CLI_FAIL);
    assert_int_equal(unlink("a.gguf"), 0);
}

static bool body(void *ud) {
    (void)ud;
    const char *words[] = {"x.gguf", "a", "b"}, *model = NULL;
    cli_list rest = {.item = words, .n = 3};
    char *text = NULL;
    int code = cli_take_plain(&command, CLI_PLAIN_TEXT, &rest, &model, NULL, &text);
    bool ok = code == CLI_OK && !strcmp(text, "a b");
    ts_free(text);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks), cmocka_unit_test(test_deal),   cmocka_unit_test(test_path),
        cmocka_unit_test(test_folder), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("arguments", tests, setup, teardown);
}
