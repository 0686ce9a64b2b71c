/* step_dev: the families' forward passes on another device give the CPU's bits, faults and all; what it was lent comes
 * back. */
#include "support/alloc_fail.h"
#include "support/mem_source.h"
#include "support/test.h"
#include "support/toy_steps.h"

#include "engine/session.h"

#include <math.h>

enum { N = 90, MORE = 5, CTX = 256, VOCAB = 272 };

static ts_source *made(const char *name) {
    ts_source *src;
    ts_err err;
    assert_ok(mem_source_new(&src, zoo_find(name), &err));
    return src;
}

static ts_engine *open_on(ts_source *src, const ts_step_dev *steps) {
    ts_engine *e;
    ts_err err;
    const ts_engine_opts two = {.n_threads = 2};
    if (ts_engine_open_source(&e, src, &two, steps, &err) != TS_OK) fail_msg("%s", err.msg);
    return e;
}

/* The logits after a prompt and after each of some tokens that follow it. */
static void talk(ts_engine *e, float logits[][VOCAB]) {
    ts_session *s;
    ts_err err;
    ts_token token[N + MORE];
    zoo_prompt(VOCAB, token, N + MORE);
    assert_ok(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = CTX}, &err));
    for (size_t i = 0; i <= MORE; i++) {
        assert_ok(ts_session_sync(s, token, N + i, &err));
        memcpy(logits[i], ts_session_logits(s), sizeof logits[i]);
    }
    ts_session_free(s);
}

static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; zoo_at(i); i++) {
        static float want[MORE + 1][VOCAB], got[MORE + 1][VOCAB];
        const char *name = zoo_at(i)->shape.name;
        ts_engine *e = open_on(made(name), NULL);
        talk(e, want);
        ts_engine_close(e);
        toy_counts = (toy_count){0};
        e = open_on(made(name), &toy_steps);
        talk(e, got);
        assert_int_equal(toy_counts.models, 1);
        assert_true(toy_counts.pages > 0 && toy_counts.scratches > 0);
        ts_engine_close(e);
        if (memcmp(want, got, sizeof want)) fail_msg("%s: other logits than the CPU's", name);
        /* every layer's five steps, an embedding, a sum; and two behind them for the logits */
        const long layers = zoo_at(i)->shape.n_layer;
        assert_int_equal(toy_counts.steps, (MORE + 1) * (5 * layers + 2 + 2));
        assert_int_equal(toy_counts.behind, 5 * layers + 2);
        assert_int_equal(toy_counts.models, 0);
        assert_int_equal(toy_counts.pages, 0);
        assert_int_equal(toy_counts.scratches, 0);
    }
}

/* The same line for the same damage, wherever it is computed. */
static void test_faults(void **state) {
    (void)state;
    static const struct {
        const char *model;
        ts_role role;
        float value;
        ts_kv_type kv;
    } t[] = {
        {"mha", TS_ROLE_V, 1e30f, TS_KV_F16},     {"mha", TS_ROLE_O, 1e38f, TS_KV_F16},
        {"mha", TS_ROLE_UP, 3e38f, TS_KV_F16},    {"qwen3", TS_ROLE_Q, 1e38f, TS_KV_F16},
        {"mha", TS_ROLE_V, 3e38f, TS_KV_F32},     {"mha", TS_ROLE_HEAD, 3e38f, TS_KV_F16},
        {"mha", TS_ROLE_DOWN, 3e38f, TS_KV_F16},
    };
    ts_token token[N];
    zoo_prompt(VOCAB, token, N);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        ts_err said[2] = {0};
        for (int k = 0; k < 2; k++) {
            ts_session *s;
            ts_err err;
            ts_source *src = made(t[i].model);
            ts_tensor *bad = mem_source_tensor(src, t[i].role, 1, false);
            for (uint64_t c = 0; c < bad->dim[0]; c++) ((float *)(uintptr_t)bad->data)[c] = t[i].value;
            ts_engine *e = open_on(src, k ? &toy_steps : NULL);
            assert_ok(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = CTX, .kv = t[i].kv}, &err));
            if (ts_session_sync(s, token, N, &said[k]) == TS_OK) fail_msg("fault %zu was not seen", i);
            ts_session_free(s);
            ts_engine_close(e);
        }
        assert_int_equal(said[0].code, said[1].code);
        assert_string_equal(said[0].msg, said[1].msg);
    }
}

static bool run(void *ud) {
    (void)ud;
    static const ts_token token[] = {1, 2, 3};
    ts_source *src;
    ts_engine *e = NULL;
    ts_session *s = NULL;
    if (mem_source_new(&src, zoo_find("qwen2"), NULL) != TS_OK) return false;
    bool ok = ts_engine_open_source(&e, src, &(ts_engine_opts){.n_threads = 1}, &toy_steps, NULL) == TS_OK &&
              ts_session_new(&s, e, &(ts_session_opts){.n_ctx = CTX}, NULL) == TS_OK &&
              ts_session_sync(s, token, 3, NULL) == TS_OK;
    ts_session_free(s);
    ts_engine_close(e);
    assert_int_equal(toy_counts.models, 0);
    assert_int_equal(toy_counts.pages, 0);
    assert_int_equal(toy_counts.scratches, 0);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    toy_counts = (toy_count){0};
    alloc_fail_loop(run, NULL, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
