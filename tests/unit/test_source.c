/* source: a model that is no file gives what the file of the same weights gives; what a source may say and not say. */
#include "support/alloc_fail.h"
#include "support/mem_source.h"
#include "support/zoo_file.h"

#include "engine/session.h"

#include <math.h>

enum { N = 90, CTX = 128, VOCAB = 272 };

static ts_engine *from_file(const zoo_model *m, gguf_file *file) {
    ts_engine *e;
    ts_err err;
    *file = zoo_file(m->shape.name);
    assert_ok(ts_engine_open_memory(&e, file->data, file->len, &(ts_engine_opts){.n_threads = 2}, &err));
    return e;
}

static ts_engine *from_source(ts_source *src) {
    ts_engine *e;
    ts_err err;
    if (ts_engine_open_source(&e, src, &(ts_engine_opts){.n_threads = 2}, NULL, &err) != TS_OK) fail_msg("%s", err.msg);
    return e;
}

static ts_source *made(const char *name) {
    ts_source *src;
    ts_err err;
    assert_ok(mem_source_new(&src, zoo_find(name), &err));
    return src;
}

/* The logits after a prompt. */
static void ask(ts_engine *e, float *logits) {
    ts_session *s;
    ts_err err;
    ts_token prompt[N];
    zoo_prompt(VOCAB, prompt, N);
    assert_ok(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = CTX}, &err));
    assert_ok(ts_session_sync(s, prompt, N, &err));
    memcpy(logits, ts_session_logits(s), VOCAB * sizeof *logits);
    ts_session_free(s);
}

static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; zoo_at(i); i++) {
        const zoo_model *m = zoo_at(i);
        float want[VOCAB], got[VOCAB];
        gguf_file file;
        ts_engine *e = from_file(m, &file);
        ask(e, want);
        ts_engine_close(e);
        e = from_source(made(m->shape.name));
        ask(e, got);
        ts_engine_close(e);
        ts_free(file.data);
        if (memcmp(want, got, sizeof want)) fail_msg("%s: other logits than from a file", m->shape.name);
    }
}

/* A family whose rows of q and k stand in another order is the same model; sums in another order, so nearly. */
static void test_order_of_rows(void **state) {
    (void)state;
    static const char *const names[] = {"mha", "rot-half", "gqa4-freqs-tied"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        float want[VOCAB], got[VOCAB], most = 0, size = 0;
        ts_engine *e = from_source(made(names[i]));
        ask(e, want);
        ts_engine_close(e);
        ts_source *src = made(names[i]);
        mem_source_untangle(src);
        ask(e = from_source(src), got);
        ts_engine_close(e);
        for (int k = 0; k < VOCAB; k++) {
            most = fmaxf(most, fabsf(want[k] - got[k]));
            size = fmaxf(size, fabsf(want[k]));
        }
        if (!(most < 1e-4f * size)) fail_msg("%s: logits differ by %g of %g", names[i], (double)most, (double)size);
        src = made(names[i]); /* and without the source's word for it the model is another */
        mem_source_untangle(src);
        mem_source_config(src)->rope_halves = false;
        ask(e = from_source(src), got);
        ts_engine_close(e);
        most = 0;
        for (int k = 0; k < VOCAB; k++) most = fmaxf(most, fabsf(want[k] - got[k]));
        assert_true(most > 0.01f * size);
    }
}

static void test_engine(void **state) {
    (void)state;
    ts_engine *e = from_source(made("qwen3"));
    ts_model_info info;
    ts_token *token;
    size_t n;
    ts_err err;
    ts_engine_info(e, &info);
    assert_string_equal(info.arch, "qwen3");
    assert_string_equal(info.name, "qwen3 in memory");
    assert_int_equal(info.file_bytes, 0);
    assert_true(info.n_params > 100000);
    assert_ok(ts_engine_tokenize(e, "hi!", 3, 0, &token, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(token[2], '!');
    ts_tokens_release(token);
    ts_engine_close(e);
}

static void refused(ts_source *src, ts_status code, const char *words) {
    ts_engine *e = NULL;
    ts_err err = {0};
    assert_status(ts_engine_open_source(&e, src, &(ts_engine_opts){.n_threads = 1}, NULL, &err), code);
    assert_null(e);
    if (!strstr(err.msg, words)) fail_msg("\"%s\" does not mention %s", err.msg, words);
}

/* A source that checks nothing cannot break the model: sizes that memory depends on are looked at again. */
static void test_impossible(void **state) {
    (void)state;
    const long before = alloc_fail_live();
    static const struct {
        size_t member;
        uint32_t value;
        const char *words;
    } t[] = {
#define AT(m) offsetof(ts_model_config, m)
        {AT(n_layer), 0, "number of layers is 0"},
        {AT(n_layer), TS_MAX_LAYERS + 1, "number of layers is 1025"},
        {AT(n_layer), 5, "tensor norm 1 3 is missing"},
        {AT(n_ctx_train), 0, "context is 0"},
        {AT(d_model), 0, "width is 0"},
        {AT(d_model), 95, "expected rows of 95"},
        {AT(d_ff), 161, "expected 96 x 161"},
        {AT(n_head), 0, "number of heads is 0"},
        {AT(n_kv_head), 2, "3 heads cannot share 2 KV heads"},
        {AT(head_dim), 2000, "size of a head is 2000"},
        {AT(n_rot), 34, "rotated elements is 34"},
        {AT(n_rot), 31, "31, not even"},
        {AT(n_vocab), 270, "vocab_size is 270, but embedding 0 has 272 rows"},
        {AT(norm_eps), 0x7fc00000, "not a number"},
        {AT(att_scale), 0, "not a number"},
        {AT(rope_base), 0, "not a positive number"},
#undef AT
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        ts_source *src = made("mha");
        memcpy((char *)mem_source_config(src) + t[i].member, &t[i].value, 4);
        refused(src, TS_E_FORMAT, t[i].words);
    }
    ts_source *src = made("mha");
    snprintf(mem_source_config(src)->arch, sizeof mem_source_config(src)->arch, "gemma");
    refused(src, TS_E_UNSUPP, "\"gemma\" is not supported");
    src = made("mha");
    mem_source_tensor(src, TS_ROLE_UP, 1, false)->dim[0] = 95;
    refused(src, TS_E_FORMAT, "tensor up 1 has shape 95 x 160, expected 96 x 160");
    src = made("qwen3"); /* what a Llama does not use */
    snprintf(mem_source_config(src)->arch, sizeof mem_source_config(src)->arch, "llama");
    refused(src, TS_E_UNSUPP, "nobody wants norm of q 0");
    src = made("mha");
    snprintf(mem_source_config(src)->arch, sizeof mem_source_config(src)->arch, "qwen2");
    refused(src, TS_E_FORMAT, "layer 0 lacks a bias of q, k or v, which qwen2 has");
    src = made("mha");
    ((float *)(uintptr_t)mem_source_tensor(src, TS_ROLE_DOWN, 2, false)->data)[77] = INFINITY;
    refused(src, TS_E_FORMAT, "tensor down 2: a number is infinite or not a number (row 0, element 77");
    assert_int_equal(alloc_fail_live(), before);
}

static bool open_and_close(void *ud) {
    (void)ud;
    ts_source *src;
    ts_engine *e = NULL;
    if (mem_source_new(&src, zoo_find("qwen2-yarn"), NULL) != TS_OK) return false;
    bool ok = ts_engine_open_source(&e, src, &(ts_engine_opts){.n_threads = 1}, NULL, NULL) == TS_OK;
    ts_engine_close(e);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(open_and_close, NULL, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),  cmocka_unit_test(test_order_of_rows), cmocka_unit_test(test_engine),
        cmocka_unit_test(test_impossible), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
