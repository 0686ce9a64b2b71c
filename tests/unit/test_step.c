/* step: several sessions in one pass. Every mix gives each the bits that it has alone; who goes first, how far a budget
 * reaches; what one's failure means to the others. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/zoo_file.h"

#include "base/mem.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "tessera/tessera.h"

enum { VOCAB = 272, LONGEST = 90, PASS = 256, MOST = 40 };

typedef struct model {
    void *file;
    size_t len;
    ts_engine *e;
} model;

static model open_file(gguf_file f, const char *device, int n_threads) {
    model m = {.file = f.data, .len = f.len};
    ts_err err;
    assert_ok(ts_engine_open_memory(&m.e, m.file, m.len, &(ts_engine_opts){.device = device, .n_threads = n_threads},
                                    &err));
    return m;
}

static void close_model(model *m) {
    ts_engine_close(m->e);
    ts_free(m->file);
}

static ts_session *session(const model *m, const ts_session_opts *o) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, m->e, o, &err));
    return s;
}

static size_t length(const ts_session *s) {
    size_t n;
    (void)ts_session_tokens(s, &n);
    return n;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

typedef float row[VOCAB];

static bool keep(void *ud, size_t pos, const float *logits) {
    memcpy(((row *)ud)[pos + 1], logits, sizeof(row));
    return true;
}

/* A timeline of its own for each session, and its logits after every prefix. */
struct talk {
    ts_session *s;
    ts_token token[LONGEST];
    row *want; /* [LONGEST + 1] */
};

static void begin_talk(struct talk *t, const model *m, const model *alone, unsigned seed, ts_kv_type kv) {
    ts_rng rng = ts_rng_seed(seed);
    ts_err err;
    for (int i = 0; i < LONGEST; i++) t->token[i] = (ts_token)ts_rng_below(&rng, VOCAB);
    t->want = ts_alloc(LONGEST + 1, sizeof *t->want);
    assert_non_null(t->want);
    const ts_session_opts o = {.n_ctx = LONGEST, .kv = kv};
    ts_session *s = session(alone, &o);
    assert_ok(ts_session_score(s, t->token, LONGEST, keep, t->want, &err));
    ts_session_free(s);
    t->s = session(m, &o);
}

/* Something to do: the next token, several more, a way back; or nothing. */
static void give(struct talk *t, ts_rng *rng) {
    ts_err err;
    const size_t n = length(t->s);
    const uint64_t what = ts_rng_below(rng, 10);
    size_t more = what < 5 ? 1 : 1 + ts_rng_below(rng, 30);
    if (ts_session_pending(t->s) || what == 9) return;
    if (what == 8 || n + more > LONGEST)
        assert_ok(ts_session_prepare(t->s, t->token, 1 + ts_rng_below(rng, LONGEST / 2), &err));
    else
        assert_ok(ts_session_append(t->s, t->token + n, more, &err));
}

static void mixes(const model *m, const model *alone, int n, int rounds) {
    static const size_t budgets[] = {0, 0, 1, 3, 8, 40};
    struct talk t[MOST];
    ts_session *list[MOST];
    ts_rng rng = ts_rng_seed(7);
    ts_err err;
    for (int i = 0; i < n; i++) {
        begin_talk(&t[i], m, alone, (unsigned)i + 1, i % 3 == 2 ? TS_KV_F32 : TS_KV_F16);
        list[i] = t[i].s;
    }
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < n; i++) give(&t[i], &rng);
        assert_ok(ts_sessions_step(list, (size_t)n, budgets[ts_rng_below(&rng, 6)], &err));
        for (int i = 0; i < n; i++) {
            const float *logits = ts_session_logits(t[i].s);
            const size_t len = length(t[i].s);
            if (!ts_session_pending(t[i].s) && len) assert_non_null(logits);
            if (logits && memcmp(logits, t[i].want[len], sizeof(row)) != 0)
                fail_msg("round %d, session %d: other bits after %zu tokens", r, i, len);
        }
    }
    for (int i = 0; i < n; i++) {
        ts_session_free(t[i].s);
        ts_free(t[i].want);
    }
}

static void test_mixes(void **state) {
    (void)state;
    static const struct {
        const char *model, *device;
        int n_threads, n, rounds;
    } t[] = {{"linear", "cpu", 1, 3, 60}, {"linear", "cpu", 3, MOST, 40}, {"q4_0", "cpu", 2, 9, 60},
             {"q4_k", "cpu", 2, 5, 40}, {"q4_0", "npu-sim", 2, 4, 6}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        model alone = open_file(zoo_file(t[i].model), "cpu", 1),
              m = open_file(zoo_file(t[i].model), t[i].device, t[i].n_threads);
        mixes(&m, &alone, t[i].n, t[i].rounds);
        close_model(&m);
        close_model(&alone);
    }
}

/* ---- who goes first ---------------------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    model m = open_file(zoo_file("linear"), "cpu", 2);
    static ts_token prompt[400];
    ts_err err;
    ts_session_stats st;
    zoo_prompt(VOCAB, prompt, 400);
    ts_session *a = session(&m, NULL), *b = session(&m, NULL), *c = session(&m, NULL), *idle = session(&m, NULL);
    ts_session *const list[] = {a, b, c, idle};
    assert_ok(ts_session_sync(b, prompt, 5, &err));
    assert_ok(ts_session_sync(c, prompt, 1, &err));
    assert_ok(ts_session_prepare(a, prompt, 400, &err));
    assert_ok(ts_session_append(b, prompt, 1, &err));
    assert_ok(ts_session_append(c, prompt, 1, &err));
    assert_ok(ts_session_append(c, prompt, 1, &err)); /* two: a prompt */
    assert_int_equal(ts_session_pending(c), 2);
    assert_ok(ts_sessions_step(list, 4, 20, &err)); /* b first, what is left is a's */
    assert_true(ts_session_pending(b) == 0 && ts_session_logits(b));
    assert_true(ts_session_pending(a) == 381 && !ts_session_logits(a) && length(a) == 19);
    assert_int_equal(ts_session_pending(c), 2);
    assert_ok(ts_sessions_step(list, 4, 0, &err)); /* a pass takes 256, all of them a's */
    assert_int_equal(ts_session_pending(a), 381 - PASS);
    assert_int_equal(ts_session_pending(c), 2);
    assert_ok(ts_sessions_step(list, 4, 1000, &err));
    assert_true(ts_session_pending(a) == 0 && ts_session_pending(c) == 0);
    assert_true(ts_session_logits(a) && ts_session_logits(c));
    assert_null(ts_session_logits(idle));
    assert_ok(ts_sessions_step(list, 4, 0, &err)); /* nothing to do */
    ts_session_get_stats(a, &st);
    assert_true(st.n_prefill == 400 && st.n_decode == 0);
    ts_session_get_stats(b, &st);
    assert_true(st.n_prefill == 5 && st.n_decode == 1 && st.decode_ns > 0);
    ts_session_get_stats(c, &st);
    assert_true(st.n_prefill == 3 && st.n_decode == 0);
    ts_session_get_stats(idle, &st);
    assert_true(st.n_prefill == 0 && st.prefill_ns == 0);
    for (int i = 0; i < 4; i++) ts_session_free(list[i]);
    close_model(&m);
}

/* ---- what can go wrong ------------------------------------------------------------------------------------------- */

static void test_lists(void **state) {
    (void)state;
    model m = open_file(zoo_file("linear"), "cpu", 1), other = open_file(zoo_file("linear"), "cpu", 1);
    ts_err err;
    ts_session *a = session(&m, &(ts_session_opts){.n_ctx = 8}), *b = session(&other, NULL);
    const ts_token token[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, bad[] = {1, VOCAB};
    assert_ok(ts_session_prepare(a, token, 3, &err));
    assert_status(ts_sessions_step((ts_session *const[]){a}, 0, 0, &err), TS_E_INVAL);
    assert_status(ts_sessions_step(NULL, 1, 0, &err), TS_E_INVAL);
    assert_status(ts_sessions_step((ts_session *const[]){a, NULL}, 2, 0, &err), TS_E_INVAL);
    assert_status(ts_sessions_step((ts_session *const[]){a, a}, 2, 0, &err), TS_E_INVAL);
    assert_status(ts_sessions_step((ts_session *const[]){a, b}, 2, 0, &err), TS_E_INVAL);
    /* what is pending stays so */
    assert_status(ts_session_append(a, token, 6, &err), TS_E_LIMIT);
    assert_status(ts_session_append(a, bad, 2, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "position 4"));
    assert_status(ts_session_append(a, token, 0, &err), TS_E_INVAL);
    assert_status(ts_session_prepare(a, token, 9, &err), TS_E_LIMIT);
    assert_true(ts_session_pending(a) == 3 && length(a) == 0);
    assert_ok(ts_session_append(a, token + 3, 5, &err)); /* to the end of the context */
    assert_ok(ts_sessions_step(&a, 1, 0, &err));
    assert_true(ts_session_pending(a) == 0 && length(a) == 8);
    /* forked: what is pending comes along; cut: it does not */
    assert_ok(ts_session_truncate(a, 5, &err));
    assert_ok(ts_session_append(a, token + 5, 2, &err));
    ts_session *c;
    assert_ok(ts_session_fork(&c, a, &err));
    assert_true(ts_session_pending(c) == 2 && length(c) == 5);
    assert_ok(ts_session_truncate(a, 2, &err));
    assert_true(ts_session_pending(a) == 0 && length(a) == 2);
    assert_ok(ts_session_append(a, token + 2, 1, &err));
    assert_ok(ts_session_append(c, token + 7, 1, &err));
    assert_ok(ts_sessions_step((ts_session *const[]){a, c}, 2, 0, &err));
    assert_memory_equal(ts_session_tokens(a, &(size_t){0}), token, 3 * sizeof *token);
    assert_memory_equal(ts_session_tokens(c, &(size_t){0}), token, 8 * sizeof *token);
    ts_session_free(c);
    ts_session_free(a), ts_session_free(b);
    close_model(&m), close_model(&other);
}

struct asked {
    int left;
    uint64_t last;
    bool back;
};

static bool go_on(void *ud, uint64_t done, uint64_t all) {
    struct asked *a = ud;
    a->back |= done < a->last || done > all;
    a->last = done;
    return a->left-- > 0;
}

/* One of three stops, at whatever place: the others go on, and hear of nothing twice. */
static void test_cancel(void **state) {
    (void)state;
    model m = open_file(zoo_file("mha"), "cpu", 2); /* 3 layers */
    ts_token prompt[30];
    ts_err err;
    zoo_prompt(VOCAB, prompt, 30);
    ts_session *alone = session(&m, NULL);
    assert_ok(ts_session_sync(alone, prompt, 30, &err));
    for (int k = 0; k < 3; k++) {
        struct asked calm = {.left = 1000}, other = {.left = 1000}, stop = {.left = 1000};
        ts_session *a = session(&m, &(ts_session_opts){.progress = go_on, .progress_ud = &calm}),
                   *b = session(&m, &(ts_session_opts){.progress = go_on, .progress_ud = &stop}),
                   *c = session(&m, &(ts_session_opts){.progress = go_on, .progress_ud = &other});
        ts_session *const list[] = {a, b, c};
        assert_ok(ts_session_sync(b, prompt, 4, &err));
        stop = (struct asked){.left = k};
        calm.last = other.last = 0;
        for (int i = 0; i < 3; i++) assert_ok(ts_session_prepare(list[i], prompt, 30, &err));
        assert_status(ts_sessions_step(list, 3, 0, &err), TS_E_CANCELLED);
        assert_status(ts_session_status(b, &err), TS_E_CANCELLED);
        assert_true(length(b) == 4 && !ts_session_logits(b) && ts_session_pending(b) == 0);
        for (int i = 0; i < 3; i += 2) {
            assert_ok(ts_session_status(list[i], &err));
            assert_memory_equal(ts_session_logits(list[i]), ts_session_logits(alone), sizeof(row));
        }
        assert_false(calm.back || other.back);
        stop.left = 1000, stop.last = 0;
        assert_ok(ts_session_sync(b, prompt, 30, &err));
        assert_ok(ts_session_status(b, &err));
        assert_memory_equal(ts_session_logits(b), ts_session_logits(alone), sizeof(row));
        for (int i = 0; i < 3; i++) ts_session_free(list[i]);
    }
    ts_session_free(alone);
    close_model(&m);
}

/* The zoo's "f32" with one of its matrices multiplied. */
static model scaled(const char *tensor, float by) {
    gguf_file in = zoo_file("f32");
    ts_gguf *g;
    ts_err err;
    assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = in.data, .len = in.len}, "x", 0, &err));
    const ts_tensor *t = ts_gguf_tensor(g, tensor);
    assert_non_null(t);
    const size_t n = t->bytes / sizeof(float);
    float *v = malloc(t->bytes);
    for (size_t i = 0; i < n; i++) v[i] = ((const float *)t->data)[i] * by;
    gguf_file out = gguf_edited(in, (const gguf_edit[]){{.name = tensor, .what = EDIT_TENSOR, .type = TS_F32,
                                                         .rows = t->dim[1], .cols = t->dim[0], .data = v},
                                                        {0}});
    free(v);
    ts_gguf_close(g);
    ts_free(in.data);
    return open_file(out, "cpu", 2);
}

/* Keys that an F16 cache cannot hold: those sessions fail, one with an F32 cache goes on. */
static void test_fault(void **state) {
    (void)state;
    model m = scaled("blk.1.attn_k.weight", 1e6f);
    ts_token prompt[20];
    ts_err err;
    zoo_prompt(VOCAB, prompt, 20);
    const ts_session_opts f16 = {.kv = TS_KV_F16}, f32 = {.kv = TS_KV_F32};
    ts_session *alone = session(&m, &f32), *a = session(&m, &f16), *b = session(&m, &f32), *c = session(&m, &f16);
    assert_ok(ts_session_sync(alone, prompt, 20, &err));
    ts_session *const list[] = {b, a, c};
    for (int i = 0; i < 3; i++) assert_ok(ts_session_prepare(list[i], prompt, 20, &err));
    assert_status(ts_sessions_step(list, 3, 0, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "layer 1, position 0"));
    assert_ok(ts_session_status(b, &err));
    assert_memory_equal(ts_session_logits(b), ts_session_logits(alone), sizeof(row));
    for (int i = 1; i < 3; i++) {
        assert_status(ts_session_status(list[i], &err), TS_E_UNSUPP);
        assert_true(length(list[i]) == 0 && ts_session_pending(list[i]) == 0 && !ts_session_logits(list[i]));
        assert_ok(ts_session_append(list[i], prompt, 1, &err)); /* forgotten where there is something new */
        assert_ok(ts_session_status(list[i], &err));
    }
    for (int i = 0; i < 3; i++) ts_session_free(list[i]);
    ts_session_free(alone);
    close_model(&m);
}

/* The logits fail: the tokens are in the timeline, and nobody has logits. */
static void test_logits(void **state) {
    (void)state;
    model m = scaled("output.weight", 3e38f);
    ts_token prompt[20];
    ts_err err;
    zoo_prompt(VOCAB, prompt, 20);
    ts_session *const list[] = {session(&m, NULL), session(&m, NULL)};
    for (int i = 0; i < 2; i++) assert_ok(ts_session_prepare(list[i], prompt, 20, &err));
    assert_status(ts_sessions_step(list, 2, 0, &err), TS_E_FORMAT);
    for (int i = 0; i < 2; i++) {
        assert_status(ts_session_status(list[i], &err), TS_E_FORMAT);
        assert_non_null(strstr(err.msg, "the logits are not finite"));
        assert_true(length(list[i]) == 20 && !ts_session_logits(list[i]));
    }
    for (int i = 0; i < 2; i++) ts_session_free(list[i]);
    close_model(&m);
}

/* What an estimate promises is what a full context takes. */
static void test_memory(void **state) {
    (void)state;
    model m = open_file(zoo_file("linear"), "cpu", 1);
    ts_token prompt[512];
    ts_err err;
    ts_session_stats st;
    zoo_prompt(VOCAB, prompt, 512);
    for (int kv = TS_KV_F16; kv <= TS_KV_F32; kv++) {
        const ts_session_opts o = {.kv = (ts_kv_type)kv};
        ts_session *s = session(&m, &o);
        assert_ok(ts_session_sync(s, prompt, 512, &err));
        ts_session_get_stats(s, &st);
        assert_int_equal(ts_engine_context_bytes(m.e, &o), st.kv_bytes + 512 * sizeof(ts_token) + sizeof(row));
        ts_session_free(s);
    }
    assert_int_equal(ts_engine_context_bytes(m.e, NULL),
                     ts_engine_context_bytes(m.e, &(ts_session_opts){.n_ctx = 512}));
    close_model(&m);
}

/* No memory for a session's page: that session's error alone. */
static void test_no_page(void **state) {
    (void)state;
    model m = open_file(zoo_file("linear"), "cpu", 1);
    ts_err err;
    ts_session *list[] = {session(&m, NULL), session(&m, NULL)};
    const ts_token token[] = {1, 2, 3};
    for (int i = 0; i < 2; i++) assert_ok(ts_session_prepare(list[i], token, 3, &err));
    alloc_fail_at(1, false);
    assert_status(ts_sessions_step(list, 2, 0, &err), TS_E_NOMEM);
    alloc_fail_at(0, false);
    assert_status(ts_session_status(list[0], &err), TS_E_NOMEM);
    assert_true(length(list[0]) == 0 && !ts_session_pending(list[0]) && !ts_session_logits(list[0]));
    assert_ok(ts_session_status(list[1], &err));
    assert_true(length(list[1]) == 3 && ts_session_logits(list[1]));
    assert_ok(ts_session_sync(list[0], token, 3, &err));
    for (int i = 0; i < 2; i++) ts_session_free(list[i]);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixes), cmocka_unit_test(test_order),  cmocka_unit_test(test_lists),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_fault), cmocka_unit_test(test_logits),
        cmocka_unit_test(test_memory), cmocka_unit_test(test_no_page),
    };
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}
