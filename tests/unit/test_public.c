/* public: what tessera.h promises to programs of any age and care: structs that grow, what a caller does wrong, tokens
 * to text, the version. */
#include "support/alloc_fail.h"
#include "support/zoo_file.h"

#include "tessera/tessera.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    gguf_file file;
    ts_engine *e;
    ts_session *s;
};

static struct fixture make(void) {
    struct fixture f = {.file = zoo_file("q8_0")};
    ts_err err;
    const ts_engine_opts opts = {.n_threads = 1, .ledger = true};
    assert_ok(ts_engine_open_memory(&f.e, f.file.data, f.file.len, &opts, &err));
    assert_ok(ts_session_new(&f.s, f.e, NULL, &err));
    return f;
}

static void drop(struct fixture *f) {
    ts_session_free(f->s);
    ts_engine_close(f->e);
    ts_free(f->file.data);
}

/* The first `size` bytes of a struct as a program has them whose header knew no more: in memory of just this size. */
static void *only(const void *whole, size_t size) {
    void *p = malloc(size);
    assert_non_null(p);
    return memcpy(p, whole, size);
}

/* And as a newer program has them: with `tail` behind. */
static void *longer(const void *whole, size_t size, char tail) {
    char *p = malloc(size + 16);
    assert_non_null(p);
    memcpy(p, whole, size);
    memset(p + size, tail, 16);
    return p;
}

static void test_old_options(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_engine *e;
    ts_session *s;
    ts_sampler *sampler;
    ts_model_info info;
    ts_engine_opts eo = {.n_threads = 1, .cpu_level = "no such level"};
    void *p = only(&eo, offsetof(ts_engine_opts, cpu_level)); /* before there was this member */
    assert_ok(ts_engine_open_memory_sized(&e, f.file.data, f.file.len, p, offsetof(ts_engine_opts, cpu_level), &err));
    ts_engine_info(e, &info);
    assert_int_equal(info.n_threads, 1);
    free(p);
    ts_session_opts so = {.n_ctx = 7, .kv = (ts_kv_type)99};
    p = only(&so, offsetof(ts_session_opts, kv));
    assert_ok(ts_session_new_sized(&s, e, p, offsetof(ts_session_opts, kv), &err));
    assert_int_equal(ts_session_n_ctx(s), 7);
    free(p);
    ts_sampler_opts o = ts_sampler_defaults(), some = {0};
    o.temperature = 0, o.n_bias = 5;
    p = only(&o, offsetof(ts_sampler_opts, n_bias));
    assert_ok(ts_sampler_new_sized(&sampler, p, offsetof(ts_sampler_opts, n_bias), info.n_vocab, &err));
    free(p);
    memset(&some, 0x55, sizeof some);
    ts_sampler_defaults_sized(&some, offsetof(ts_sampler_opts, min_p));
    assert_true(some.top_k == 40 && some.top_p == 0.95f);
    for (const char *c = (char *)&some.min_p; c < (char *)(&some + 1); c++) assert_int_equal(*c, 0x55);
    /* an answer, with options and results of old */
    ts_generate_opts go = {.max_tokens = 2, .ignore_end = true, .mask = (ts_mask_fn *)1};
    ts_generated g;
    memset(&g, 0x55, sizeof g);
    p = only(&go, offsetof(ts_generate_opts, mask));
    assert_ok(ts_generate_sized(s, sampler, &(ts_token){1}, 1, p, offsetof(ts_generate_opts, mask), &g,
                                offsetof(ts_generated, first_ns), &err));
    assert_int_equal(g.n_tokens, 2);
    assert_true(g.first_ns == 0x5555555555555555);
    free(p);
    ts_sampler_free(sampler);
    ts_session_free(s);
    ts_engine_close(e);
    drop(&f);
}

static void test_new_options(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_engine *e;
    ts_session *s;
    ts_sampler *sampler;
    ts_prompt prompt;
    ts_answer *a;
    for (int set = 0; set < 2; set++) { /* what this library does not know: left at 0, and set */
        const ts_status want = set ? TS_E_UNSUPP : TS_OK;
        const ts_engine_opts eo = {.n_threads = 1};
        const ts_session_opts so = {0};
        const ts_sampler_opts o = ts_sampler_defaults();
        const ts_generate_opts go = {0};
        const ts_chat_opts co = {.name = "chatml"};
        void *p = longer(&eo, sizeof eo, (char)set);
        assert_status(ts_engine_open_memory_sized(&e, f.file.data, f.file.len, p, sizeof eo + 16, &err), want);
        if (!set) ts_engine_close(e);
        else assert_non_null(strstr(err.msg, ts_version()));
        free(p), p = longer(&so, sizeof so, (char)set);
        assert_status(ts_session_new_sized(&s, f.e, p, sizeof so + 16, &err), want);
        if (!set) ts_session_free(s);
        free(p), p = longer(&o, sizeof o, (char)set);
        assert_status(ts_sampler_new_sized(&sampler, p, sizeof o + 16, 10, &err), want);
        if (!set) ts_sampler_free(sampler);
        free(p), p = longer(&go, sizeof go, (char)set);
        assert_status(ts_answer_new_sized(&a, f.e, NULL, -1, p, sizeof go + 16, &err), want);
        if (!set) ts_answer_free(a);
        free(p), p = longer(&co, sizeof co, (char)set);
        const ts_message msg = {"user", "x"};
        assert_status(ts_engine_chat_sized(f.e, p, sizeof co + 16, &msg, 1, &prompt, &err), want);
        if (!set) ts_prompt_release(&prompt);
        free(p);
    }
    drop(&f);
}

static void test_results(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_model_info whole, part;
    ts_session_stats stats, some;
    ts_engine_info(f.e, &whole);
    memset(&part, 0x55, sizeof part);
    ts_engine_info_sized(f.e, &part, offsetof(ts_model_info, n_params));
    assert_string_equal(part.arch, whole.arch);
    assert_int_equal(part.d_model, whole.d_model);
    assert_true(part.n_params == 0x5555555555555555);
    char more[sizeof whole + 8];
    memset(more, 0x55, sizeof more);
    ts_engine_info_sized(f.e, (ts_model_info *)(void *)more, sizeof more);
    for (size_t i = sizeof whole; i < sizeof more; i++) assert_int_equal(more[i], 0);

    assert_ok(ts_session_sync(f.s, (ts_token[]){1, 2, 3}, 3, &err));
    ts_session_get_stats(f.s, &stats);
    memset(&some, 0x55, sizeof some);
    ts_session_get_stats_sized(f.s, &some, offsetof(ts_session_stats, n_decode));
    assert_int_equal(some.n_prefill, stats.n_prefill);
    assert_true(some.n_decode == 0x5555555555555555);

    /* rows of the ledger, of another size */
    ts_ledger_row row[64];
    const size_t n = ts_engine_ledger(f.e, row, 64);
    assert_in_range(n, 2, 64);
    enum { OLD = offsetof(ts_ledger_row, evidence), NEW = sizeof *row + 8 };
    char *old = malloc(n * OLD), *new = malloc(n * NEW);
    assert_int_equal(ts_engine_ledger_sized(f.e, (ts_ledger_row *)(void *)old, n, OLD), n);
    assert_int_equal(ts_engine_ledger_sized(f.e, (ts_ledger_row *)(void *)new, n, NEW), n);
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(old + i * OLD, &row[i], OLD);
        assert_memory_equal(new + i * NEW, &row[i], sizeof *row);
        assert_memory_equal(new + i * NEW + sizeof *row, "\0\0\0\0\0\0\0", 8);
    }
    assert_int_equal(ts_engine_ledger_sized(f.e, NULL, 0, OLD), n);
    free(old);
    free(new);
    drop(&f);
}

/* A caller's mistake is told in a line, and nothing is written. */
static void test_caller(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_engine *e = NULL;
    ts_session *s = NULL;
    ts_sampler *sampler = NULL;
    ts_answer *a = NULL;
    ts_token *t = NULL, id = 1;
    ts_prompt prompt;
    char *text = NULL;
    size_t n = 0;
    const ts_message no_role = {NULL, "x"}, no_content = {"user", NULL};
    const ts_sampler_opts o = ts_sampler_defaults(), no_bias = {.n_bias = 2};
    char *const odd = (char *)f.file.data + 1;
#define WRONG(call)                                                                                                    \
    do {                                                                                                               \
        err.msg[0] = 0;                                                                                                \
        assert_status(call, TS_E_INVAL);                                                                               \
        assert_true(err.msg[0] && !strchr(err.msg, '\n'));                                                             \
        assert_status(call, TS_E_INVAL);                                                                               \
    } while (0)
    WRONG(ts_engine_open(&e, NULL, NULL, &err));
    WRONG(ts_engine_open(NULL, "x.gguf", NULL, &err));
    WRONG(ts_engine_open_memory(&e, NULL, 100, NULL, &err));
    WRONG(ts_engine_open_memory(&e, odd, f.file.len - 1, NULL, &err));
    WRONG(ts_session_new(NULL, f.e, NULL, &err));
    WRONG(ts_session_new(&s, NULL, NULL, &err));
    WRONG(ts_session_new(&s, f.e, &(ts_session_opts){.kv = (ts_kv_type)77}, &err));
    WRONG(ts_session_sync(NULL, &id, 1, &err));
    WRONG(ts_session_sync(f.s, NULL, 1, &err));
    WRONG(ts_session_sync(f.s, &id, 0, &err));
    WRONG(ts_session_score(f.s, &id, 1, NULL, NULL, &err));
    WRONG(ts_engine_tokenize(NULL, "x", 1, 0, &t, &n, &err));
    WRONG(ts_engine_tokenize(f.e, NULL, 1, 0, &t, &n, &err));
    WRONG(ts_engine_tokenize(f.e, "x", 1, 0, NULL, &n, &err));
    WRONG(ts_engine_detokenize(f.e, NULL, 1, 0, &text, &n, &err));
    WRONG(ts_engine_detokenize(f.e, &(ts_token){-1}, 1, 0, &text, &n, &err));
    WRONG(ts_engine_detokenize(f.e, &(ts_token){INT32_MAX}, 1, 0, &text, &n, &err));
    WRONG(ts_engine_token_text(f.e, -5, NULL, 0, &n, &err));
    WRONG(ts_engine_token_text(f.e, 1, NULL, 5, &n, &err));
    WRONG(ts_engine_chat(f.e, NULL, NULL, 1, &prompt, &err));
    WRONG(ts_engine_chat(f.e, NULL, &no_role, 1, &prompt, &err));
    WRONG(ts_engine_chat(f.e, NULL, &no_content, 1, &prompt, &err));
    WRONG(ts_engine_chat_json(f.e, NULL, NULL, 0, &prompt, &err));
    WRONG(ts_engine_chat_json(f.e, NULL, "[]", 2, &prompt, &err));
    WRONG(ts_sampler_new(&sampler, NULL, 10, &err));
    WRONG(ts_sampler_new(&sampler, &o, 0, &err));
    WRONG(ts_sampler_new(NULL, &o, 10, &err));
    WRONG(ts_sampler_new(&sampler, &no_bias, 10, &err));
    WRONG(ts_answer_new(&a, NULL, NULL, -1, NULL, &err));
    WRONG(ts_answer_new(NULL, f.e, NULL, -1, NULL, &err));
    WRONG(ts_answer_new(&a, f.e, NULL, -1, &(ts_generate_opts){.n_stop = 1}, &err));
    assert_true(!e && !s && !sampler && !a && !t && !text && !n);
    const ts_piece *p = NULL;
    assert_ok(ts_answer_new(&a, f.e, NULL, -1, NULL, &err));
    WRONG(ts_answer_push(a, -1, &p, &err));
    WRONG(ts_answer_push(NULL, 1, &p, &err));
    WRONG(ts_answer_push(a, 1, NULL, &err));
    WRONG(ts_answer_finish(a, TS_STOP_END, NULL, &err));
    WRONG(ts_answer_next(a, (float[]){0}, NULL, 0, &p, &err)); /* there is no sampler */
    assert_null(p);
    assert_int_equal(ts_answer_n_tokens(a), 0);
    ts_answer_free(a);
    assert_ok(ts_sampler_new(&sampler, &o, 2, &err));
    WRONG(ts_sampler_next(sampler, (float[]){0, 1}, NULL, 0, NULL, &err));
    WRONG(ts_sampler_next(NULL, (float[]){0, 1}, NULL, 0, &id, &err));
    ts_sampler_free(sampler);
    WRONG(ts_session_status(NULL, &err));
#undef WRONG
    ts_engine_close(NULL), ts_session_free(NULL), ts_sampler_free(NULL), ts_answer_free(NULL);
    ts_tokens_release(NULL), ts_text_release(NULL), ts_prompt_release(NULL);
    assert_false(ts_engine_is_end(f.e, -1) || ts_engine_is_end(f.e, INT32_MAX));
    drop(&f);
}

/* Text, tokens, text. */
static void test_detokenize(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    static const char *const texts[] = {"", "hello", " two words", "\xC3\xA9\xE6\x97\xA5", "a\xFF", "x\n\ty "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ts_token *t;
        char *text, all[200] = "";
        size_t n, len, n_all = 0;
        assert_ok(ts_engine_tokenize(f.e, texts[i], strlen(texts[i]), 0, &t, &n, &err));
        assert_ok(ts_engine_detokenize(f.e, t, n, 0, &text, &len, &err));
        assert_string_equal(text, i == 4 ? "a\xEF\xBF\xBD" : texts[i]);
        assert_int_equal(len, strlen(text));
        ts_text_release(text);
        for (size_t k = 0; k < n; k++) { /* and token by token, the bytes as they are */
            char none;
            assert_ok(ts_engine_token_text(f.e, t[k], &none, 0, &len, &err));
            assert_ok(ts_engine_token_text(f.e, t[k], all + n_all, sizeof all - n_all, &len, &err));
            n_all += len;
        }
        const size_t space = n_all > strlen(texts[i]); /* SentencePiece's, in front */
        assert_memory_equal(all + space, texts[i], n_all - space);
        assert_int_equal(n_all - space, strlen(texts[i]));
        ts_tokens_release(t);
    }
    drop(&f);
}

/* A model with more rows than its tokenizer has tokens: the others are tokens without a text. */
static void test_more_rows(void **state) {
    (void)state;
    gguf_file whole = zoo_file("q8_0");
    const gguf_edit edits[] = {
        {.name = "llama.vocab_size", .what = EDIT_U32, .u = 288},
        {.name = "token_embd.weight", .what = EDIT_TENSOR, .type = TS_Q8_0, .rows = 288, .cols = 256},
        {.name = "output.weight", .what = EDIT_TENSOR, .type = TS_Q8_0, .rows = 288, .cols = 256},
        {0},
    };
    gguf_file file = gguf_edited(whole, edits);
    const ts_engine_opts opts = {.n_threads = 1};
    const ts_token line[] = {'a', 280, 'b'}, outside = 288;
    ts_err err;
    ts_engine *e;
    ts_session *s;
    ts_model_info info;
    char *text;
    size_t len = 5;
    assert_ok(ts_engine_open_memory(&e, file.data, file.len, &opts, &err));
    ts_engine_info(e, &info);
    assert_int_equal(info.n_vocab, 288);
    assert_ok(ts_session_new(&s, e, NULL, &err));
    assert_ok(ts_session_sync(s, line, 3, &err));
    assert_ok(ts_engine_detokenize(e, line, 3, TS_DETOKENIZE_SPECIAL, &text, &len, &err));
    assert_string_equal(text, "ab");
    ts_text_release(text);
    assert_ok(ts_engine_token_text(e, 280, NULL, 0, &len, &err));
    assert_int_equal(len, 0);
    assert_status(ts_engine_detokenize(e, &outside, 1, 0, &text, &len, &err), TS_E_INVAL);
    assert_status(ts_engine_token_text(e, outside, NULL, 0, &len, &err), TS_E_INVAL);
    ts_session_free(s);
    ts_engine_close(e);
    ts_free(file.data), ts_free(whole.data);
}

/* An engine without weights: text and tokens as with them, and no sessions. */
static void test_text_only(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_engine *e, *none;
    ts_session *s;
    ts_answer *a;
    ts_sampler *sampler = NULL;
    ts_model_info whole, info;
    ts_token *t, *other;
    size_t n, n_other, len;
    char path[] = "/tmp/tessera-text-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, f.file.data, f.file.len) == (ssize_t)f.file.len);
    close(fd);
    assert_ok(ts_engine_open(&e, path, &(ts_engine_opts){.text_only = true}, &err));
    ts_engine_info(f.e, &whole);
    ts_engine_info(e, &info);
    assert_int_equal(info.n_vocab, whole.n_vocab);
    assert_true(info.weight_bytes == 0 && *info.arch == 0);
    assert_ok(ts_engine_tokenize(e, "some text", 9, TS_TOKENIZE_BOS, &t, &n, &err));
    assert_ok(ts_engine_tokenize(f.e, "some text", 9, TS_TOKENIZE_BOS, &other, &n_other, &err));
    assert_int_equal(n, n_other);
    assert_memory_equal(t, other, n * sizeof *t);
    ts_tokens_release(t);
    ts_tokens_release(other);
    assert_status(ts_session_new(&s, e, NULL, &err), TS_E_INVAL);
    assert_int_equal(ts_engine_context_bytes(e, NULL), 0);
    assert_status(ts_answer_new(&a, e, sampler, -1, NULL, &err), TS_E_INVAL);
    assert_int_equal(ts_engine_ledger(e, NULL, 0), 0);
    ts_engine_close(e);
    unlink(path);
    /* neither weights nor a tokenizer: a template that is given */
    assert_ok(ts_engine_open(&none, NULL, &(ts_engine_opts){.text_only = true}, &err));
    ts_prompt p;
    const ts_message msg = {"user", "you"};
    assert_ok(ts_engine_chat(none, &(ts_chat_opts){.text = "hello {{ messages[0].content }}"}, &msg, 1, &p, &err));
    assert_string_equal(p.text, "hello you");
    assert_true(p.n == 0 && p.n_data == 1 && p.data[0].begin == 6);
    ts_prompt_release(&p);
    assert_status(ts_engine_chat(none, NULL, &msg, 1, &p, &err), TS_E_UNSUPP);
    assert_status(ts_engine_tokenize(none, "x", 1, 0, &t, &n, &err), TS_E_INVAL);
    assert_status(ts_engine_detokenize(none, NULL, 0, 0, &p.text, &n, &err), TS_E_INVAL);
    assert_false(ts_engine_is_end(none, 1));
    assert_null(ts_engine_chat_template(none, 0, NULL, &len));
    ts_engine_info(none, &info);
    assert_true(info.n_vocab == 0 && !info.chat_template);
    ts_engine_close(none);
    assert_status(ts_engine_open_memory(&e, f.file.data, f.file.len, &(ts_engine_opts){.text_only = true}, &err),
                  TS_E_INVAL);
    size_t named = 0;
    while (ts_chat_template_name(named)) named++;
    assert_string_equal(ts_chat_template_name(0), "llama2");
    assert_true(named > 10 && !ts_chat_template_name(SIZE_MAX));
    drop(&f);
}

/* The estimate has room for the cache of a session that is full, and grows with the context. */
static void test_memory(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_session_stats st;
    ts_token t[128];
    ts_session *s;
    for (int i = 0; i < 128; i++) t[i] = i % 50;
    const uint64_t some = ts_engine_context_bytes(f.e, &(ts_session_opts){.n_ctx = 128}),
                   more = ts_engine_context_bytes(f.e, &(ts_session_opts){.n_ctx = 256}),
                   wide = ts_engine_context_bytes(f.e, &(ts_session_opts){.n_ctx = 128, .kv = TS_KV_F32});
    const ts_session_opts old = {.n_ctx = 128, .kv = TS_KV_F32};
    void *p = only(&old, offsetof(ts_session_opts, kv));
    assert_int_equal(ts_engine_context_bytes_sized(f.e, p, offsetof(ts_session_opts, kv)), some);
    free(p);
    assert_ok(ts_session_new(&s, f.e, &(ts_session_opts){.n_ctx = 128}, &err));
    assert_ok(ts_session_sync(s, t, 128, &err));
    ts_session_get_stats(s, &st);
    assert_true(st.kv_bytes && some >= st.kv_bytes && more >= some + st.kv_bytes && wide == some + st.kv_bytes);
    ts_session_free(s);
    drop(&f);
}

/* Tools and their calls go to the template as they are: what an HTTP server gets is what the template sees. */
static void test_tools(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    ts_prompt p;
    static const char template[] =
        "{% for t in tools %}[{{ t.function.name }}:{{ t.function.parameters.properties.city.type }}]{% endfor %}"
        "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments.city }}"
        "{% else %}{{ m.content }}{% endif %}{% if m.tool_call_id %}#{{ m.tool_call_id }}{% endif %}{% endfor %}";
    static const char json[] =
        "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"parameters\": {\"type\": "
        "\"object\", \"properties\": {\"city\": {\"type\": \"string\"}}}}}], \"messages\": [{\"role\": \"user\", "
        "\"content\": \"Rain?\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a1\", "
        "\"type\": \"function\", \"function\": {\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm\"}}}]}, "
        "{\"role\": \"tool\", \"tool_call_id\": \"a1\", \"content\": \"dry\"}]}";
    assert_ok(ts_engine_chat_json(f.e, &(ts_chat_opts){.text = template}, json, sizeof json - 1, &p, &err));
    assert_string_equal(p.text, "[weather:string]<user>Rain?<assistant>Ulm<tool>dry#a1");
    ts_prompt_release(&p);
    drop(&f);
}

/* ---- a file that is cut while it is loaded, seen by a program with a handler of SIGBUS --------------------------- */

static void on_bus(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    const char *path = ts_mapped_file(info->si_addr);
    if (path && write(STDOUT_FILENO, path, strlen(path)) > 0) _exit(42);
    _exit(43);
}

static bool cut(void *path, uint64_t done, uint64_t all) {
    (void)done, (void)all;
    return truncate(path, 0) == 0;
}

static void test_cut(void **state) {
    (void)state;
    struct fixture f = make();
    char path[] = "/tmp/tessera-cut-XXXXXX", told[100] = "";
    int fd = mkstemp(path), ends[2], status;
    assert_true(fd >= 0 && write(fd, f.file.data, f.file.len) == (ssize_t)f.file.len);
    close(fd);
    assert_null(ts_mapped_file(&f));
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        ts_engine *e;
        struct sigaction a = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
        dup2(ends[1], STDOUT_FILENO);
        sigaction(SIGBUS, &a, NULL);
        const ts_engine_opts opts = {.n_threads = 1, .progress = cut, .progress_ud = path};
        _exit(ts_engine_open(&e, path, &opts, NULL) == TS_OK ? 44 : 45);
    }
    close(ends[1]);
    assert_true(read(ends[0], told, sizeof told - 1) > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_string_equal(told, path);
    unlink(path);
    drop(&f);
}

static void test_version(void **state) {
    (void)state;
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", TS_VERSION_MAJOR, TS_VERSION_MINOR, TS_VERSION_PATCH);
    assert_string_equal(ts_version(), text); /* meson.build and the header say the same */
    assert_int_equal(ts_version_number(), TS_VERSION_MAJOR << 16 | TS_VERSION_MINOR << 8 | TS_VERSION_PATCH);
}

struct asking {
    const ts_engine *e;
};

static bool ask(void *ud) {
    const struct asking *a = ud;
    char *text;
    size_t len;
    if (ts_engine_detokenize(a->e, (ts_token[]){5, 6, 7}, 3, TS_DETOKENIZE_SPECIAL, &text, &len, NULL) != TS_OK)
        return false;
    ts_text_release(text);
    return ts_engine_token_text(a->e, 5, NULL, 0, &len, NULL) == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    struct fixture f = make();
    alloc_fail_loop(ask, &(struct asking){f.e}, false);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_options), cmocka_unit_test(test_new_options), cmocka_unit_test(test_results),
        cmocka_unit_test(test_caller),      cmocka_unit_test(test_detokenize),  cmocka_unit_test(test_version),
        cmocka_unit_test(test_text_only),   cmocka_unit_test(test_memory),      cmocka_unit_test(test_tools),
        cmocka_unit_test(test_cut),         cmocka_unit_test(test_more_rows),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("public", tests, NULL, NULL);
}
