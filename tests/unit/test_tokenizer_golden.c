/* Whole tokenizers against vectors made with other programs: tiktoken, Hugging Face, SentencePiece, llama.cpp. */
#include "support/test.h"

#include "base/file.h"
#include "text/detok.h"
#include "text/tokenizer.h"

#include <jansson.h>

static ts_err err;

static ts_tokenizer *open_shared(const char *name, const char *pre) {
    char path[512];
    const char *root = getenv("TESSERA_SHARED");
    if (!root || !*root) SKIP_NO_SHARED;
    snprintf(path, sizeof path, "%s/assets/%s", root, name);
    ts_tokenizer *t = NULL;
    assert_ok(ts_tokenizer_open(&t, path, pre, &err));
    return t;
}

static ts_buf read_shared(const char *name) {
    char path[512];
    ts_buf b = {0};
    snprintf(path, sizeof path, "%s/assets/%s", getenv("TESSERA_SHARED"), name);
    assert_ok(ts_file_read(&b, path, SIZE_MAX, &err));
    return b;
}

/* Tokenize, compare, and check that the tokens give the text back. `what` names the case in a failure. */
static void check(const ts_tokenizer *t, const char *text, size_t len, const ts_token *want, size_t n,
                  const char *what) {
    ts_tokens got = {0};
    assert_ok(ts_tokenize(t, text, len, 0, &got, &err));
    bool same = got.n == n;
    for (size_t i = 0; same && i < n; i++) same = got.id[i] == want[i];
    if (!same) {
        ts_buf b = {0};
        assert_true(ts_buf_printf(&b, "%s: text \"%.*s\"\n got", what, (int)len, text));
        for (size_t i = 0; i < got.n; i++) assert_true(ts_buf_printf(&b, " %d", got.id[i]));
        assert_true(ts_buf_puts(&b, "\nwant"));
        for (size_t i = 0; i < n; i++) assert_true(ts_buf_printf(&b, " %d", want[i]));
        fail_msg("%s", b.data);
    }
    ts_buf back = {0};
    assert_true(ts_buf_puts(&back, ""));
    ts_detok d = {.tok = t};
    for (size_t i = 0; i < got.n; i++) assert_true(ts_detok_push(&d, got.id[i], &back));
    assert_true(ts_detok_flush(&d, &back));
    if (back.len != len || memcmp(back.data, text, len) != 0)
        fail_msg("%s: \"%s\" came back as \"%s\"", what, text, back.data);
    ts_buf_free(&back);
    ts_tokens_free(&got);
}

struct vectors {
    const char *tokenizer, *pre, *file;
    int cases;
};

/* {"text": ..., "ids": [...]} a line */
static void run_jsonl(const struct vectors *v) {
    ts_tokenizer *t = open_shared(v->tokenizer, v->pre);
    ts_buf file = read_shared(v->file);
    int n = 0;
    for (char *line = file.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_error_t e;
        json_t *j = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, &e);
        if (!j) fail_msg("%s:%d: %s", v->file, n + 1, e.text);
        json_t *text = json_object_get(j, "text"), *ids = json_object_get(j, "ids");
        ts_token want[4096];
        size_t count = json_array_size(ids);
        assert_true(count < 4096);
        for (size_t i = 0; i < count; i++) want[i] = (ts_token)json_integer_value(json_array_get(ids, i));
        char what[100];
        snprintf(what, sizeof what, "%s:%d", v->file, ++n);
        check(t, json_string_value(text), json_string_length(text), want, count, what);
        json_decref(j);
    }
    assert_int_equal(n, v->cases);
    ts_buf_free(&file);
    ts_tokenizer_free(t);
}

/* Texts between separator lines, and a line of ids for each */
static void run_upstream(const struct vectors *v) {
    ts_tokenizer *t = open_shared(v->tokenizer, v->pre);
    char name[200];
    snprintf(name, sizeof name, "%s.inp", v->file);
    ts_buf in = read_shared(name);
    snprintf(name, sizeof name, "%s.out", v->file);
    ts_buf out = read_shared(name);
    static const char sep[] = "\n__ggml_vocab_test__\n";
    char *text = in.data, *line = out.data;
    int n = 0;
    for (char *end; (end = strstr(text, sep)); text = end + sizeof sep - 1) {
        ts_token want[4096];
        size_t count = 0;
        char *stop = strchr(line, '\n');
        assert_non_null(stop);
        for (char *p = line;; count++) {
            while (*p == ' ') p++;
            if (p >= stop) break;
            want[count] = (ts_token)strtol(p, &p, 10);
        }
        char what[300];
        snprintf(what, sizeof what, "%s case %d", v->file, ++n);
        check(t, text, (size_t)(end - text), want, count, what);
        line = stop + 1;
    }
    assert_int_equal(n, v->cases);
    ts_buf_free(&in);
    ts_buf_free(&out);
    ts_tokenizer_free(t);
}

#define OWN(name) "tokenizers/goldens/" name ".jsonl"
#define UP(name)  "tokenizers/goldens-upstream/ggml-vocab-" name ".gguf"

static void test_own(void **state) {
    (void)state;
    static const struct vectors list[] = {
        {"tokenizers/llama3/tokenizer.model", NULL, OWN("llama3-tiktoken"), 158},
        {"tokenizers/llama3", NULL, OWN("llama3.2-hf-merges"), 158},
        {"tokenizers/llama3-hf", "llama-bpe", OWN("llama3.2-hf-merges"), 158},
        {"tokenizers/llama3-hf", NULL, OWN("llama3-tiktoken"), 158},
        {"tokenizers/llama2/tokenizer.model", NULL, OWN("llama2-spm"), 158},
        {"gguf-fixtures/ggml-vocab-llama-spm.gguf", NULL, OWN("llama2-spm"), 158},
        {"tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3", NULL, OWN("mistral-v3"), 158},
        {"tokenizers/gpt2", "gpt-2", OWN("gpt2"), 158},
        {"gguf-fixtures/ggml-vocab-gpt-2.gguf", NULL, OWN("gpt2"), 158},
        {"tokenizers/qwen2", "qwen2", OWN("qwen2-hf-merges"), 158},
        {"tokenizers/qwen2", NULL, OWN("qwen2-tiktoken"), 158},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) run_jsonl(&list[i]);
}

static void test_upstream(void **state) {
    (void)state;
    static const struct vectors list[] = {
        {"tokenizers/llama3", NULL, UP("llama-bpe"), 46},
        {"tokenizers/llama3-hf", NULL, UP("llama-bpe"), 46},
        {"gguf-fixtures/ggml-vocab-llama-spm.gguf", NULL, UP("llama-spm"), 46},
        {"tokenizers/llama2", NULL, UP("llama-spm"), 46},
        {"gguf-fixtures/ggml-vocab-phi-3.gguf", NULL, UP("phi-3"), 46},
        {"gguf-fixtures/ggml-vocab-gpt-2.gguf", NULL, UP("gpt-2"), 46},
        {"tokenizers/gpt2", NULL, UP("gpt-2"), 46},
        {"tokenizers/qwen2", NULL, UP("qwen2"), 46},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) run_upstream(&list[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own), cmocka_unit_test(test_upstream)};
    return cmocka_run_group_tests_name("tokenizer vectors", tests, NULL, NULL);
}
