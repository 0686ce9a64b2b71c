/* engine: opening a model from a file or memory, what is refused, what it says about itself, text in and out. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/zoo_file.h"

#include "base/file.h"
#include "base/cpu.h"
#include "tessera/tessera.h"

#include <unistd.h>

static ts_engine *open_engine(gguf_file f) {
    ts_engine *e;
    ts_err err;
    assert_ok(ts_engine_open_memory(&e, f.data, f.len, NULL, &err));
    return e;
}

static void refused(gguf_file f, const ts_engine_opts *o, ts_status code, const char *word) {
    ts_err err = {0};
    ts_engine *e = NULL;
    long before = alloc_fail_live();
    assert_status(ts_engine_open_memory(&e, f.data, f.len, o, &err), code);
    assert_null(e);
    assert_int_equal(err.code, code);
    assert_int_equal(alloc_fail_live(), before);
    if (!strstr(err.msg, word)) fail_msg("\"%s\" does not mention %s", err.msg, word);
}

static bool stop(void *ud, uint64_t done, uint64_t all) {
    *(uint64_t *)ud = all;
    return done > all;
}

static void test_refused(void **state) {
    (void)state;
    gguf_file f = zoo_file("q8_0");
    uint64_t all = 0;
    refused(f, &(ts_engine_opts){.device = "gpu"}, TS_E_INVAL, "\"gpu\"");
    refused(f, &(ts_engine_opts){.n_threads = -1}, TS_E_INVAL, "-1 threads");
    refused(f, &(ts_engine_opts){.n_threads = 5000}, TS_E_INVAL, "5000");
    refused(f, &(ts_engine_opts){.n_threads = 1, .progress = stop, .progress_ud = &all}, TS_E_CANCELLED, "stopped");
    assert_true(all > 0);
    refused(f, &(ts_engine_opts){.cpu_level = "avx3"}, TS_E_INVAL, "avx3");
    setenv("TESSERA_CPU", "avx3", 1); /* is the program's business: a library does not read the environment */
    ts_engine *e = NULL;
    assert_status(ts_engine_open_memory(&e, f.data, f.len, NULL, NULL), TS_OK);
    ts_engine_close(e);
    e = NULL;
    unsetenv("TESSERA_CPU");
    refused((gguf_file){.data = f.data, .len = f.len / 2}, NULL, TS_E_FORMAT, "(memory)");
    refused((gguf_file){.data = f.data, .len = 3}, NULL, TS_E_FORMAT, "(memory)");

    const gguf_edit arch[] = {{.name = "general.architecture", .what = EDIT_STR, .s = "rwkv"}, {0}};
    gguf_file g = gguf_edited(f, arch);
    refused(g, NULL, TS_E_UNSUPP, "\"rwkv\"");
    ts_free(g.data);
    /* a vocabulary with more tokens than the embedding has rows */
    const gguf_edit rows[] = {
        {.name = "llama.vocab_size", .what = EDIT_DROP},
        {.name = "token_embd.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = 260, .cols = 256},
        {.name = "output.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = 260, .cols = 256}, {0}};
    g = gguf_edited(f, rows);
    refused(g, NULL, TS_E_FORMAT, "260 rows");
    ts_free(g.data);
    const gguf_edit tokenizer[] = {{.name = "tokenizer.ggml.model", .what = EDIT_STR, .s = "wordpiece"}, {0}};
    g = gguf_edited(f, tokenizer);
    refused(g, NULL, TS_E_UNSUPP, "wordpiece");
    ts_free(g.data);
    ts_free(f.data);

    ts_err err;
    assert_status(ts_engine_open(&e, "/nonexistent/model.gguf", NULL, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "/nonexistent/model.gguf"));
    assert_null(e);
    ts_engine_close(NULL);
}

static void test_info(void **state) {
    (void)state;
    gguf_file f = zoo_file("qwen3");
    ts_engine *e = open_engine(f);
    ts_model_info i;
    ts_engine_info(e, &i);
    assert_string_equal(i.arch, "qwen3");
    assert_string_equal(i.name, "qwen3, random weights");
    assert_string_equal(i.device, "cpu");
    assert_string_equal(i.cpu_level, ts_cpu_level_name(ts_cpu_detect()));
    assert_int_equal(i.n_threads, ts_cpu_count());
    assert_int_equal(i.n_layer, 2);
    assert_int_equal(i.n_vocab, 272);
    assert_int_equal(i.n_ctx_train, 512);
    assert_int_equal(i.d_model, 96);
    assert_int_equal(i.file_bytes, f.len);
    assert_int_equal(i.weight_bytes, 0); /* f32 lies in the file */
    const uint64_t layer = 96 * 320 * 2 + 96 * 160 * 2 + 3 * 96 * 128;
    assert_int_equal(i.layer_macs, 2 * layer);
    assert_int_equal(i.head_macs, 96 * 272);
    /* tied: the embedding once; norms */
    assert_int_equal(i.n_params, 2 * layer + 96 * 272 + 96 + 2 * (96 * 2 + 80 * 2));
    assert_int_equal(i.token_bytes, 4 * (2 * layer + 96 * 272));
    assert_true(!strncmp(i.chat_template, "jinja (", 7) && strstr(i.chat_template, " bytes)"));
    assert_true(i.load_ns > 0);
    ts_engine_close(e);
    ts_free(f.data);
}

/* The same file from disk and from memory, with other threads: the same logits. */
static void test_file(void **state) {
    (void)state;
    gguf_file f = zoo_file("mixed-blocks");
    char path[] = "/tmp/tessera-engine-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ts_err err;
    assert_ok(ts_file_write(path, f.data, f.len, &err));
    ts_engine *a = open_engine(f), *b;
    assert_ok(ts_engine_open(&b, path, &(ts_engine_opts){.n_threads = 1, .device = "cpu"}, &err));
    unlink(path);
    ts_session *s, *t;
    ts_token prompt[30];
    zoo_prompt(272, prompt, 30);
    assert_ok(ts_session_new(&s, a, NULL, &err));
    assert_ok(ts_session_new(&t, b, NULL, &err));
    assert_ok(ts_session_sync(s, prompt, 30, &err));
    assert_ok(ts_session_sync(t, prompt, 30, &err));
    assert_memory_equal(ts_session_logits(s), ts_session_logits(t), 272 * sizeof(float));
    ts_session_free(s), ts_session_free(t);
    ts_engine_close(a), ts_engine_close(b);
    ts_free(f.data);
}

static void test_text(void **state) {
    (void)state;
    gguf_file f = zoo_file("linear");
    ts_engine *e = open_engine(f);
    ts_err err;
    ts_token *t;
    size_t n;
    assert_ok(ts_engine_tokenize(e, "A\0\xFF", 3, 0, &t, &n, &err)); /* any bytes */
    assert_int_equal(n, 3);
    assert_true(t[0] == 'A' && t[1] == 0 && t[2] == 0xFF);
    ts_tokens_release(t);
    assert_ok(ts_engine_tokenize(e, "<|end|>", 7, TS_TOKENIZE_SPECIAL, &t, &n, &err));
    assert_true(n == 1 && t[0] == 256);
    ts_tokens_release(t);
    assert_ok(ts_engine_tokenize(e, "<|end|>", 7, 0, &t, &n, &err));
    assert_int_equal(n, 7);
    ts_tokens_release(t);
    assert_ok(ts_engine_tokenize(e, "", 0, 0, &t, &n, &err));
    assert_int_equal(n, 0);
    ts_tokens_release(t);
    assert_true(ts_engine_is_end(e, 256));
    assert_false(ts_engine_is_end(e, 257));
    assert_false(ts_engine_is_end(e, -1));

    const ts_message talk[] = {{"system", "Be brief."}, {"user", "Hi"}};
    ts_prompt p;
    assert_ok(ts_engine_chat(e, NULL, talk, 2, &p, &err));
    static const char want[] =
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_string_equal(p.text, want);
    assert_true(p.len == sizeof want - 1 && p.n == p.len + 1 && p.token[0] == 256); /* BOS and bytes */
    for (size_t i = 0; i < p.len; i++) assert_int_equal(p.token[i + 1], (uint8_t)want[i]);
    assert_int_equal(p.n_data, 2);
    assert_memory_equal(p.text + p.data[0].begin, "Be brief.", p.data[0].end - p.data[0].begin);
    assert_memory_equal(p.text + p.data[1].begin, "Hi", p.data[1].end - p.data[1].begin);
    ts_prompt_release(&p);
    ts_prompt_release(&p); /* empty: nothing happens */
    assert_ok(ts_engine_chat(e, &(ts_chat_opts){.name = "zephyr"}, talk + 1, 1, &p, &err));
    assert_string_equal(p.text, "<|user|>\nHi<|end|>\n<|assistant|>\n"); /* the model's end token ... */
    assert_int_equal(p.token[1 + 11], 256);
    ts_prompt_release(&p);
    const ts_message spells = {"user", "<|end|>"}; /* ... which a user cannot write */
    assert_ok(ts_engine_chat(e, &(ts_chat_opts){.name = "zephyr"}, &spells, 1, &p, &err));
    assert_int_equal(p.n, 1 + 9 + 7 + 1 + 1 + 14);
    assert_true(p.token[10] == '<' && p.token[17] == 256);
    ts_prompt_release(&p);
    assert_ok(ts_engine_chat(e,
                             &(ts_chat_opts){.text = "{{ messages[0].content }}{{ x }}{{ strftime_now('%Y') }}",
                                             .vars = "{\"x\":[1]}",
                                             .has_now = true},
                             talk + 1, 1, &p, &err));
    assert_string_equal(p.text, "Hi[1]1970");
    ts_prompt_release(&p);
    assert_ok(ts_engine_chat(e, &(ts_chat_opts){.text = "{# nothing #}"}, talk, 2, &p, &err));
    assert_string_equal(p.text, "");
    assert_int_equal(p.n, 1);
    ts_prompt_release(&p);
    static const char whole[] =
        "{\"messages\":[{\"role\":\"tool\",\"content\":\"7\"}],\"add_generation_prompt\":false}";
    assert_ok(ts_engine_chat_json(e, NULL, whole, sizeof whole - 1, &p, &err));
    assert_string_equal(p.text, "<|im_start|>tool\n7<|im_end|>\n");
    ts_prompt_release(&p);
    static const struct {
        ts_chat_opts o;
        ts_status want;
        const char *says;
    } bad[] = {{{.name = "esperanto"}, TS_E_INVAL, "esperanto"},
               {{.text = "{{ x", .text_name = "my.jinja"}, TS_E_FORMAT, "my.jinja: line 1, column "},
               {{.text = "{{ raise_exception('no') }}"}, TS_E_INVAL, "the chat template: line 1, column "},
               {{.vars = "{\"x\":"}, TS_E_INVAL, "the variables: line 1, column "},
               {{.vars = "[]"}, TS_E_INVAL, "the variables: not a JSON object"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ts_engine_chat(e, &bad[i].o, talk, 2, &p, &err), bad[i].want);
        if (!strstr(err.msg, bad[i].says)) fail_msg("says \"%s\"", err.msg);
        assert_null(p.text);
    }
    assert_status(ts_engine_chat_json(e, NULL, "[]", 2, &p, &err), TS_E_INVAL);
    assert_status(ts_engine_chat_json(e, NULL, "{", 1, &p, &err), TS_E_INVAL);
    ts_engine_close(e);

    /* no template in the file, and one that fails: an error only when somebody asks for a chat */
    static const gguf_edit none[] = {{.name = "tokenizer.chat_template", .what = EDIT_DROP}, {0}},
                           odd[] = {{.name = "tokenizer.chat_template", .what = EDIT_STR, .s = "{{ shout(messages }}"},
                                    {0}};
    for (int i = 0; i < 2; i++) {
        gguf_file g = gguf_edited(f, i ? odd : none);
        e = open_engine(g);
        ts_model_info info;
        ts_engine_info(e, &info);
        assert_null(info.chat_template);
        assert_status(ts_engine_chat(e, NULL, talk, 2, &p, &err), i ? TS_E_FORMAT : TS_E_UNSUPP);
        assert_non_null(strstr(err.msg, i ? "the model's chat template: line 1, column " : "no chat template"));
        assert_ok(ts_engine_chat(e, &(ts_chat_opts){.name = "chatml"}, talk, 2, &p, &err));
        ts_prompt_release(&p);
        ts_engine_close(e);
        ts_free(g.data);
    }
    /* a file that does not say how text is split: it can be said */
    static const gguf_edit pre[] = {{.name = "tokenizer.ggml.pre", .what = EDIT_STR, .s = "default"}, {0}};
    gguf_file g = gguf_edited(f, pre);
    assert_status(ts_engine_open_memory(&e, g.data, g.len, &(ts_engine_opts){.n_threads = 1}, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "--pre"));
    assert_ok(ts_engine_open_memory(&e, g.data, g.len, &(ts_engine_opts){.n_threads = 1, .pre = "qwen2"}, &err));
    ts_engine_close(e);
    assert_status(ts_engine_open_memory(&e, g.data, g.len, &(ts_engine_opts){.n_threads = 1, .pre = "esperanto"}, &err),
                  TS_E_UNSUPP);
    ts_free(g.data);
    ts_free(f.data);
}

static bool open_and_ask(void *ud) {
    const gguf_file *f = ud;
    ts_engine *e = NULL;
    ts_token *t = NULL;
    ts_prompt p = {0};
    size_t n;
    const ts_message hi = {"user", "hi"};
    static const char want[] = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
    bool ok = ts_engine_open_memory(&e, f->data, f->len, &(ts_engine_opts){.n_threads = 1}, NULL) == TS_OK &&
              ts_engine_tokenize(e, "some text", 9, TS_TOKENIZE_BOS, &t, &n, NULL) == TS_OK &&
              ts_engine_chat(e, NULL, &hi, 1, &p, NULL) == TS_OK;
    if (ok &&
        (n < 9 || memcmp(t + n - 9, (const ts_token[]){'s', 'o', 'm', 'e', ' ', 't', 'e', 'x', 't'}, 9 * sizeof *t) ||
         strcmp(p.text, want)))
        fail_msg("a failed allocation changed the result");
    ts_tokens_release(t);
    ts_prompt_release(&p);
    ts_engine_close(e);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    gguf_file f = zoo_file("qwen2-yarn"), g = zoo_file("mixed-blocks");
    /* PCRE2 without memory for its compiler interprets patterns: slower, not wrong */
    alloc_fail_loop(open_and_ask, &f, true);
    alloc_fail_loop(open_and_ask, &g, true);
    ts_free(f.data), ts_free(g.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_info),  cmocka_unit_test(test_file),
        cmocka_unit_test(test_text),    cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
