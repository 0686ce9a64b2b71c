/* session: what sync and score promise when things go wrong, reuse, statistics, no allocation while tokens go
 * through. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/zoo_file.h"

#include "engine/session.h"
#include "format/gguf.h"

#include <inttypes.h>
#include <math.h>

enum { N = 300, VOCAB = 272 }; /* more than one pass of 256 tokens */

static ts_token prompt[N];

/* The engine that most tests share. */
static struct fixture {
    void *file;
    ts_engine *e;
} fx;

static ts_engine *open_zoo(const char *name, int n_threads, void **file) {
    const gguf_file f = zoo_file(name);
    ts_err err;
    ts_engine *e;
    *file = f.data;
    assert_ok(ts_engine_open_memory(&e, f.data, f.len, &(ts_engine_opts){.n_threads = n_threads}, &err));
    return e;
}

static int setup(void **state) {
    (void)state;
    zoo_prompt(VOCAB, prompt, N);
    fx.e = open_zoo("linear", 2, &fx.file);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ts_engine_close(fx.e);
    ts_free(fx.file);
    return 0;
}

static ts_session *session(const ts_session_opts *o) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, fx.e, o, &err));
    return s;
}

/* Logits after prompt[0..n), from a session of their own. */
static const float *fresh(size_t n) {
    static float logits[VOCAB];
    ts_err err;
    ts_session *s = session(NULL);
    assert_ok(ts_session_sync(s, prompt, n, &err));
    memcpy(logits, ts_session_logits(s), sizeof logits);
    ts_session_free(s);
    return logits;
}

static void at(const ts_session *s, size_t n) {
    size_t len;
    const ts_token *t = ts_session_tokens(s, &len);
    assert_int_equal(len, n);
    assert_memory_equal(t, prompt, n * sizeof *t);
    assert_memory_equal(ts_session_logits(s), fresh(n), VOCAB * sizeof(float));
}

static void test_contexts(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(NULL);
    assert_int_equal(ts_session_n_ctx(s), 512); /* as trained */
    assert_null(ts_session_logits(s));
    size_t n;
    ts_session_tokens(s, &n);
    assert_int_equal(n, 0);
    ts_session_free(s);
    s = session(&(ts_session_opts){.n_ctx = 7});
    assert_int_equal(ts_session_n_ctx(s), 7);
    ts_session_free(s);
    ts_session_free(NULL);
    s = NULL;
    /* a context that no machine has the memory for: refused before anything is touched */
    long before = alloc_fail_live();
    assert_status(ts_session_new(&s, fx.e, &(ts_session_opts){.n_ctx = UINT32_MAX, .kv = TS_KV_F32}, &err), TS_E_NOMEM);
    assert_null(s);
    assert_int_equal(alloc_fail_live(), before);
    assert_non_null(strstr(err.msg, "4294967295"));
    /* it says the session's own memory, as the estimate does: what passes work in is the engine's */
    char want[100];
    snprintf(want, sizeof want, "needs %" PRIu64 " MiB of memory, but ",
             ts_engine_context_bytes(fx.e, &(ts_session_opts){.n_ctx = UINT32_MAX, .kv = TS_KV_F32}) >> 20);
    assert_non_null(strstr(err.msg, want));
    assert_non_null(strstr(err.msg, "MiB are free"));
}

static void test_bad_tokens(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(&(ts_session_opts){.n_ctx = 40});
    assert_ok(ts_session_sync(s, prompt, 10, &err));
    ts_token bad[50];
    memcpy(bad, prompt, sizeof bad);
    bad[5] = (bad[5] + 1) % VOCAB; /* so that the session's tokens are no prefix of these */
    assert_status(ts_session_sync(s, prompt, 0, &err), TS_E_INVAL);
    assert_status(ts_session_sync(s, bad, 41, &err), TS_E_LIMIT);
    assert_non_null(strstr(err.msg, "41 tokens"));
    assert_non_null(strstr(err.msg, "context of 40"));
    assert_non_null(strstr(err.msg, "do not fit into the context"));
    static const ts_token outside[] = {-1, VOCAB, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        bad[20] = outside[i];
        assert_status(ts_session_sync(s, bad, 30, &err), TS_E_INVAL);
        assert_non_null(strstr(err.msg, "position 20"));
        assert_status(ts_session_score(s, bad, 30, NULL, NULL, &err), TS_E_INVAL);
    }
    at(s, 10); /* nothing has happened */
    assert_ok(ts_session_sync(s, prompt, 40, &err));
    at(s, 40); /* the context is usable to its end */
    ts_session_free(s);
}

static void test_reuse(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(NULL);
    ts_session_stats st;
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    ts_session_get_stats(s, &st);
    assert_int_equal(st.n_prefill, 100);
    assert_int_equal(st.n_decode, 0);
    assert_int_equal(st.n_reused, 0);
    assert_true(st.prefill_ns > 0);
    /* layers, K and V, head, positions in whole pages of 64, f16: what the timeline needs, not what it could */
    assert_int_equal(st.kv_bytes, 2 * 2 * 48 * 128 * 2);
    assert_int_equal(st.kv_own_bytes, st.kv_bytes);
    assert_ok(ts_session_sync(s, prompt, 101, &err));
    assert_ok(ts_session_sync(s, prompt, 101, &err)); /* nothing to do */
    ts_session_get_stats(s, &st);
    assert_int_equal(st.n_prefill, 100);
    assert_int_equal(st.n_decode, 1);
    assert_int_equal(st.n_reused, 100 + 101);
    at(s, 101);
    /* a prompt is one, however its tokens fall into passes: 256 and 1; 1 */
    ts_session *p = session(NULL);
    assert_ok(ts_session_sync(p, prompt, 257, &err));
    ts_session_get_stats(p, &st);
    assert_true(st.n_prefill == 257 && st.n_decode == 0 && st.decode_ns == 0);
    ts_session_free(p);
    p = session(NULL);
    assert_ok(ts_session_sync(p, prompt, 1, &err));
    ts_session_get_stats(p, &st);
    assert_true(st.n_prefill == 1 && st.n_decode == 0 && st.prefill_ns > 0);
    ts_session_free(p);
    assert_ok(ts_session_sync(s, prompt, 60, &err)); /* back: the last token once more */
    at(s, 60);
    ts_session_get_stats(s, &st);
    assert_int_equal(st.n_decode, 2);
    assert_int_equal(st.n_reused, 201 + 59);
    ts_token other[N];
    memcpy(other, prompt, sizeof other);
    other[30] = (other[30] + 1) % VOCAB;
    assert_ok(ts_session_sync(s, other, 100, &err));
    assert_true(memcmp(ts_session_logits(s), fresh(100), VOCAB * sizeof(float)) != 0);
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    at(s, 100);
    ts_session_stats_reset(s);
    ts_session_get_stats(s, &st);
    assert_true(st.n_prefill == 0 && st.n_decode == 0 && st.n_reused == 0 && st.prefill_ns == 0 && st.kv_bytes > 0);
    ts_session_free(s);
}

struct stopper {
    int left; /* calls until it says stop */
    uint64_t last;
    bool wrong;
};

static bool progress(void *ud, uint64_t done, uint64_t all) {
    struct stopper *p = ud;
    p->wrong |= done > all || done < p->last || all > N;
    p->last = done;
    return p->left-- > 0;
}

/* Stopped at every place where a prompt can be stopped: what remains is a prefix, and the session goes on from
 * there. */
static void test_cancel(void **state) {
    (void)state;
    ts_err err;
    bool finished = false;
    size_t prefixes[2] = {0};
    for (int k = 0; !finished; k++) {
        struct stopper stop = {.left = k};
        ts_session *s = session(&(ts_session_opts){.progress = progress, .progress_ud = &stop});
        stop.left = 1000000;
        assert_ok(ts_session_sync(s, prompt, 5, &err));
        stop = (struct stopper){.left = k};
        ts_status st = ts_session_sync(s, prompt, N, &err);
        assert_false(stop.wrong);
        finished = st == TS_OK;
        if (!finished) {
            assert_int_equal(st, TS_E_CANCELLED);
            assert_null(ts_session_logits(s));
            size_t n;
            const ts_token *t = ts_session_tokens(s, &n);
            assert_memory_equal(t, prompt, n * sizeof *t);
            assert_true(n == 5 || n == 5 + TS_PASS_TOKENS);
            prefixes[n != 5]++;
        }
        stop = (struct stopper){.left = 1000000};
        assert_ok(ts_session_sync(s, prompt, N - k, &err));
        at(s, N - (size_t)k);
        ts_session_free(s);
    }
    assert_true(prefixes[0] > 0 && prefixes[1] > 0); /* both passes have been stopped */
}

struct scores {
    float logits[N][VOCAB];
    size_t n, stop_at;
    bool out_of_order;
};

static bool keep(void *ud, size_t pos, const float *logits) {
    struct scores *sc = ud;
    sc->out_of_order |= pos != sc->n;
    memcpy(sc->logits[sc->n++], logits, sizeof sc->logits[0]);
    return sc->n < sc->stop_at;
}

static void test_score(void **state) {
    (void)state;
    ts_err err;
    static struct scores a, b;
    a.stop_at = b.stop_at = N + 1;
    ts_session *s = session(NULL);
    assert_ok(ts_session_sync(s, prompt, 20, &err));
    assert_ok(ts_session_score(s, prompt, N, keep, &a, &err));
    assert_false(a.out_of_order);
    assert_int_equal(a.n, N);
    for (size_t n = 1; n <= N; n += 37) assert_memory_equal(a.logits[n - 1], fresh(n), sizeof a.logits[0]);
    assert_ok(ts_session_sync(s, prompt, N, &err)); /* the timeline is there, its logits are made again */
    at(s, N);
    b.stop_at = 123;
    assert_status(ts_session_score(s, prompt, N, keep, &b, &err), TS_E_CANCELLED);
    assert_int_equal(b.n, 123);
    assert_ok(ts_session_sync(s, prompt, 50, &err));
    at(s, 50);
    ts_session_free(s);
}

/* Two sessions of one engine take turns. */
static void test_two(void **state) {
    (void)state;
    ts_err err;
    ts_session *a = session(&(ts_session_opts){.n_ctx = 100}), *b = session(&(ts_session_opts){.n_ctx = 70});
    for (size_t n = 1; n <= 70; n += 3) {
        assert_ok(ts_session_sync(a, prompt, n + 20, &err));
        assert_ok(ts_session_sync(b, prompt, n, &err));
    }
    at(a, 90), at(b, 70);
    ts_session_free(a), ts_session_free(b);
}

static void test_kv_types_differ(void **state) {
    (void)state;
    ts_err err;
    static const struct {
        ts_kv_type type;
        float bound;
    } t[] = {{TS_KV_F32, 1e-3f}, {TS_KV_Q8_0, 5e-2f}};
    for (int k = 0; k < 2; k++) {
        ts_session *s = session(&(ts_session_opts){.kv = t[k].type});
        assert_ok(ts_session_sync(s, prompt, 80, &err));
        const float *a = ts_session_logits(s), *b = fresh(80); /* f16 */
        float most = 0;
        for (int i = 0; i < VOCAB; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
        if (!(most > 0 && most < t[k].bound)) fail_msg("kv %s: %g", ts_kv_type_name(t[k].type), (double)most);
        ts_session_free(s);
    }
}

/* No memory for the next page, while a token or a prompt goes through: an error, and the timeline stays what it was as
 * far as it is a prefix. */
static void test_no_page(void **state) {
    (void)state;
    ts_err err;
    for (size_t more = 1; more <= 100; more += 99) { /* a token, a prompt that needs two pages */
        for (long nth = 1; nth <= 2; nth++) {
            void *file;
            ts_engine *e = open_zoo("linear", 2, &file); /* one of our own: no pages are left from other tests */
            ts_session *s;
            assert_ok(ts_session_new(&s, e, NULL, &err));
            assert_ok(ts_session_sync(s, prompt, 64, &err));
            alloc_fail_at(nth, true);
            ts_status st = ts_session_sync(s, prompt, 64 + more, &err);
            const bool hit = alloc_fail_hit();
            alloc_fail_at(0, false);
            assert_int_equal(hit, more == 100 || nth == 1);
            if (hit) {
                assert_int_equal(st, TS_E_NOMEM);
                assert_non_null(strstr(err.msg, "a page of the KV cache"));
                size_t n;
                const ts_token *t = ts_session_tokens(s, &n);
                assert_int_equal(n, 64);
                assert_memory_equal(t, prompt, n * sizeof *t);
            }
            assert_ok(ts_session_sync(s, prompt, 64 + more, &err));
            at(s, 64 + more);
            ts_session_stats stats;
            ts_session_get_stats(s, &stats);
            assert_int_equal(stats.n_prefill + stats.n_decode, 64 + more); /* nothing was done twice */
            ts_session_free(s);
            ts_engine_close(e);
            ts_free(file);
        }
    }
}

static bool make(void *ud) {
    (void)ud;
    ts_session *s = NULL;
    bool ok = ts_session_new(&s, fx.e, &(ts_session_opts){.n_ctx = 20}, NULL) == TS_OK;
    ts_session_free(s);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make, NULL, false);
    ts_err err;
    ts_session *s = session(NULL);
    static struct scores sc;
    sc.stop_at = N + 1;
    alloc_fail_at(0, false);
    for (size_t n = 1; n <= N; n += n % 70 == 0 ? 50 : 1) {
        assert_ok(ts_session_sync(s, prompt, n, &err));
        assert_true(alloc_fail_count() <= (long)(n + 63) / 64); /* a page each 64 positions, at most */
    }
    /* nothing else, and none again for positions that there have been before */
    const long pages = alloc_fail_count();
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    for (size_t n = 101; n < N; n++) assert_ok(ts_session_sync(s, prompt, n, &err));
    assert_int_equal(alloc_fail_count(), pages);
    assert_ok(ts_session_score(s, prompt, N, keep, &sc, &err));
    assert_int_equal(alloc_fail_count(), pages + 1); /* once, for what it hands out between the passes */
    ts_session_free(s);
}

/* A float model of the zoo with one tensor's values multiplied. */
static ts_engine *scaled(const char *tensor, float by, void **file) {
    const gguf_file in = zoo_file("f32");
    ts_err err;
    ts_gguf *g;
    ts_engine *e;
    assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = in.data, .len = in.len}, "x", 0, &err));
    const ts_tensor *t = ts_gguf_tensor(g, tensor);
    assert_non_null(t);
    assert_int_equal(t->type, TS_F32);
    const size_t n = t->bytes / sizeof(float);
    float *v = malloc(t->bytes);
    for (size_t i = 0; i < n; i++) v[i] = ((const float *)t->data)[i] * by;
    gguf_file out = gguf_edited(in, (const gguf_edit[]){{.name = tensor, .what = EDIT_TENSOR, .type = TS_F32,
                                                         .rows = t->n_dims == 2 ? t->dim[1] : 0, .cols = t->dim[0],
                                                         .data = v},
                                                        {0}});
    assert_ok(ts_engine_open_memory(&e, out.data, out.len, &(ts_engine_opts){.n_threads = 2}, &err));
    *file = out.data;
    free(v);
    ts_gguf_close(g);
    ts_free(in.data);
    return e;
}

static bool accept(void *ud, size_t pos, const float *logits) {
    (void)pos, (void)logits;
    ++*(size_t *)ud;
    return true;
}

/* Finite weights whose results are not: an error that names the place, never a token. */
static void test_overflow(void **state) {
    (void)state;
    static const struct {
        const char *tensor;
        float by;
        bool f32_ok, q8_ok; /* with such a cache there is no overflow */
        ts_status code;
        const char *says;
    } t[] = {
        {"blk.1.attn_k.weight", 1e6f, true, true, TS_E_UNSUPP, "layer 1, position "},
        {"blk.0.attn_v.weight", 1e6f, true, true, TS_E_UNSUPP, "use --kv f32"},
        {"blk.1.attn_k.weight", 1e12f, true, false, TS_E_UNSUPP, "layer 1, position "},
        {"blk.0.attn_v.weight", 1e12f, true, false, TS_E_UNSUPP, "use --kv f32"},
        {"blk.0.attn_k.weight", 1e38f, false, false, TS_E_FORMAT, "layer 0, position "},
        {"blk.1.attn_q.weight", 3e38f, false, false, TS_E_FORMAT, "layer 1, position "},
        {"blk.1.attn_q.weight", 1e38f, false, false, TS_E_FORMAT, "layer 1, position "},
        {"blk.1.ffn_up.weight", 3e38f, false, false, TS_E_FORMAT, ": the feed-forward network"},
        {"blk.0.ffn_down.weight", 1e30f, false, false, TS_E_FORMAT, "layer 0, position 0: the sum of squares"},
        {"blk.1.ffn_down.weight", 1e30f, false, false, TS_E_FORMAT, "behind the last layer the sum of squares"},
        {"output.weight", 3e38f, false, false, TS_E_FORMAT, "the logits are not finite"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        void *file;
        ts_engine *e = scaled(t[i].tensor, t[i].by, &file);
        for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
            ts_session *s;
            ts_err err;
            size_t seen = 0;
            assert_ok(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = 64, .kv = (ts_kv_type)kv}, &err));
            for (int score = 0; score < 2; score++) {
                ts_status st =
                    score ? ts_session_score(s, prompt, 20, accept, &seen, &err) : ts_session_sync(s, prompt, 20, &err);
                if ((kv == TS_KV_F32 && t[i].f32_ok) || (kv == TS_KV_Q8_0 && t[i].q8_ok)) {
                    assert_ok(st);
                    continue;
                }
                /* quantising makes 0 of a NaN: a q8_0 cache is where such a query must be seen before */
                const bool query = kv == TS_KV_Q8_0 && strstr(t[i].tensor, "attn_q") && t[i].by > 2e38f;
                if (st != t[i].code || !strstr(err.msg, t[i].says) ||
                    (query && !strstr(err.msg, "a query is not finite")))
                    fail_msg("%s times %g: %s: %s", t[i].tensor, (double)t[i].by, ts_status_name(st), err.msg);
                assert_null(ts_session_logits(s));
                assert_int_equal(seen, 0);
            }
            ts_session_free(s);
        }
        ts_engine_close(e);
        ts_free(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contexts), cmocka_unit_test(test_bad_tokens), cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_cancel),   cmocka_unit_test(test_score),      cmocka_unit_test(test_two),
        cmocka_unit_test(test_kv_types_differ), cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_no_page),         cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests_name("session", tests, setup, teardown);
}
