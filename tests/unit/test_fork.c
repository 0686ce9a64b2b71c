/* fork and truncate: bits, what is shared and what it costs, threads. */
#include "support/alloc_fail.h"
#include "support/zoo_file.h"

#include "engine/session.h"

#include <pthread.h>

enum { N = 300, VOCAB = 272 };

static ts_token prompt[N], other[N]; /* other differs from position 150 on */

static struct fixture {
    void *file;
    ts_engine *e;
} fx;

static int setup(void **state) {
    (void)state;
    const gguf_file f = zoo_file("linear");
    ts_err err;
    zoo_prompt(VOCAB, prompt, N);
    for (int i = 0; i < N; i++) other[i] = i < 150 ? prompt[i] : (prompt[i] + 1) % VOCAB;
    fx.file = f.data;
    assert_ok(ts_engine_open_memory(&fx.e, f.data, f.len, &(ts_engine_opts){.n_threads = 2}, &err));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 0); /* all pages have come back */
    ts_engine_close(fx.e);
    ts_free(fx.file);
    return 0;
}

static ts_session *session(ts_kv_type kv) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, fx.e, &(ts_session_opts){.kv = kv}, &err));
    return s;
}

static ts_session *fork_of(const ts_session *src) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_fork(&s, src, &err));
    return s;
}

static void sync_to(ts_session *s, const ts_token *t, size_t n) {
    ts_err err;
    assert_ok(ts_session_sync(s, t, n, &err));
}

/* The timeline is t[0..n), its logits those of a session that has seen nothing else. */
static void at(const ts_session *s, const ts_token *t, size_t n) {
    size_t len;
    const ts_token *has = ts_session_tokens(s, &len);
    assert_int_equal(len, n);
    assert_memory_equal(has, t, n * sizeof *t);
    ts_session *alone = session(s->kv.type);
    sync_to(alone, t, n);
    assert_non_null(ts_session_logits(s));
    assert_memory_equal(ts_session_logits(s), ts_session_logits(alone), VOCAB * sizeof(float));
    ts_session_free(alone);
}

static ts_session_stats stats(const ts_session *s) {
    ts_session_stats st;
    ts_session_get_stats(s, &st);
    return st;
}

static void test_fork(void **state) {
    (void)state;
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
        ts_session *a = session((ts_kv_type)kv);
        sync_to(a, prompt, 150);
        ts_session *b = fork_of(a);
        at(b, prompt, 150); /* with its logits */
        assert_int_equal(stats(b).n_prefill + stats(b).n_decode, 0);
        sync_to(b, other, 200);
        assert_int_equal(stats(b).n_prefill, 50); /* and nothing was done again */
        sync_to(a, prompt, 170);
        at(a, prompt, 170), at(b, other, 200);
        sync_to(a, other, 180); /* the other way round */
        sync_to(b, prompt, 190);
        at(a, other, 180), at(b, prompt, 190);
        sync_to(a, prompt, 20); /* inside a shared page: the last token is computed once more */
        at(a, prompt, 20), at(b, prompt, 190);
        ts_session *c = fork_of(b);
        ts_session_free(b); /* a fork outlives what it came from */
        sync_to(c, prompt, N);
        at(c, prompt, N);
        ts_session_free(a), ts_session_free(c);
    }
}

/* A fork costs its own pages only, and those only when it writes to them. */
static void test_bytes(void **state) {
    (void)state;
    ts_session *a = session(TS_KV_F16), *fork[20];
    sync_to(a, prompt, 128 + 30);
    const size_t page = a->kv.page_bytes;
    assert_int_equal(stats(a).kv_bytes, 3 * page);
    for (int i = 0; i < 20; i++) {
        fork[i] = fork_of(a);
        assert_int_equal(stats(fork[i]).kv_bytes, 3 * page);
        assert_int_equal(stats(fork[i]).kv_own_bytes, 0);
    }
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 3 * page);
    for (int i = 0; i < 20; i++) sync_to(fork[i], i % 2 ? other : prompt, 160 + (size_t)i);
    for (int i = 0; i < 20; i++) assert_int_equal(stats(fork[i]).kv_own_bytes, page);
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), (3 + 20) * page);
    for (int i = 0; i < 20; i++) at(fork[i], i % 2 ? other : prompt, 160 + (size_t)i), ts_session_free(fork[i]);
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 3 * page);
    /* at the border of a page there is nothing to copy */
    ts_err err;
    assert_ok(ts_session_truncate(a, 128, &err));
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 2 * page);
    ts_session *b = fork_of(a);
    sync_to(b, prompt, 129);
    assert_int_equal(stats(b).kv_own_bytes, page);
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 3 * page);
    at(b, prompt, 129);
    ts_session_free(a), ts_session_free(b);
}

static void test_truncate(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(TS_KV_F16);
    assert_status(ts_session_truncate(s, 1, &err), TS_E_INVAL);
    assert_ok(ts_session_truncate(s, 0, &err));
    sync_to(s, prompt, 200);
    assert_status(ts_session_truncate(s, 201, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "200"));
    assert_ok(ts_session_truncate(s, 200, &err)); /* nothing to do: the logits stay */
    at(s, prompt, 200);
    ts_session_stats_reset(s);
    assert_ok(ts_session_truncate(s, 100, &err));
    assert_null(ts_session_logits(s));
    assert_int_equal(stats(s).kv_bytes, 2 * s->kv.page_bytes);
    sync_to(s, other, 180);
    assert_int_equal(stats(s).n_prefill, 80); /* position 99 was not computed again */
    assert_int_equal(stats(s).n_reused, 100);
    at(s, other, 180);
    assert_ok(ts_session_truncate(s, 100, &err));
    sync_to(s, prompt, 100); /* logits where it was cut: the last token once more */
    at(s, prompt, 100);
    assert_int_equal(stats(s).n_decode, 1);
    assert_ok(ts_session_truncate(s, 0, &err));
    assert_int_equal(stats(s).kv_bytes, 0);
    ts_session *b = fork_of(s); /* of nothing */
    sync_to(b, prompt, 10);
    at(b, prompt, 10);
    ts_session_free(s), ts_session_free(b);
}

static void step_all(ts_session *s) {
    ts_err err;
    while (ts_session_pending(s)) assert_ok(ts_sessions_step(&s, 1, 17, &err));
}

/* Tokens that are pending go along with a fork, and fall away where a timeline is cut. */
static void test_pending(void **state) {
    (void)state;
    ts_err err;
    ts_session *a = session(TS_KV_F16);
    sync_to(a, prompt, 100);
    assert_ok(ts_session_append(a, prompt + 100, 40, &err));
    ts_session *b = fork_of(a);
    assert_int_equal(ts_session_pending(b), 40);
    assert_ok(ts_session_truncate(a, 100, &err));
    assert_int_equal(ts_session_pending(a), 0);
    step_all(b);
    at(b, prompt, 140), at(a, prompt, 100);
    assert_ok(ts_session_append(b, prompt + 140, 60, &err));
    assert_ok(ts_sessions_step(&b, 1, 17, &err));
    ts_session *c = fork_of(b); /* in the middle of a prompt */
    assert_ok(ts_session_truncate(b, 150, &err));
    step_all(c);
    sync_to(b, other, 200);
    at(c, prompt, 200), at(b, other, 200);
    ts_session_free(a), ts_session_free(b), ts_session_free(c);
}

static bool fork_it(void *src) {
    ts_session *s = NULL;
    bool ok = ts_session_fork(&s, src, NULL) == TS_OK;
    ts_session_free(s);
    return ok;
}

/* A fork goes on and finds no memory for the copy of the page: both stay. */
static void test_alloc(void **state) {
    (void)state;
    ts_err err;
    ts_session *a = session(TS_KV_F16);
    sync_to(a, prompt, 100);
    alloc_fail_loop(fork_it, a, false);
    ts_session *b = fork_of(a), *all[8];
    for (int i = 0; i < 8; i++) all[i] = session(TS_KV_F16), sync_to(all[i], prompt, N); /* no page is left over */
    alloc_fail_at(1, true);
    assert_status(ts_session_sync(b, other, 180, &err), TS_E_NOMEM);
    alloc_fail_at(0, false);
    at(a, prompt, 100);
    sync_to(b, other, 180);
    at(b, other, 180), at(a, prompt, 100);
    for (int i = 0; i < 8; i++) ts_session_free(all[i]);
    ts_session_free(a), ts_session_free(b);
}

struct branch {
    ts_session *s;
    size_t n;
    bool ok;
};

/* A fork that others' pages are in too, and its end. */
static bool fork_and_leave(const ts_session *s, size_t n) {
    ts_session *f = NULL;
    ts_err err;
    const bool ok = ts_session_fork(&f, s, &err) == TS_OK && ts_session_sync(f, other, n, &err) == TS_OK;
    ts_session_free(f);
    return ok;
}

static void *grow(void *arg) {
    struct branch *b = arg;
    ts_err err;
    b->ok = true;
    for (size_t n = 101; n <= b->n && b->ok; n += 9)
        b->ok = ts_session_sync(b->s, prompt, n, &err) == TS_OK && fork_and_leave(b->s, n);
    b->ok = b->ok && ts_session_sync(b->s, other, b->n, &err) == TS_OK;
    return NULL;
}

/* Forks of one session go on on threads of their own. */
static void test_threads(void **state) {
    (void)state;
    ts_session *a = session(TS_KV_F16);
    sync_to(a, prompt, 100);
    struct branch b[4];
    pthread_t id[4];
    for (int i = 0; i < 4; i++) b[i] = (struct branch){.s = fork_of(a), .n = 200 + 10 * (size_t)i};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&id[i], NULL, grow, &b[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(id[i], NULL);
    for (int i = 0; i < 4; i++) {
        assert_true(b[i].ok);
        at(b[i].s, other, b[i].n);
        ts_session_free(b[i].s);
    }
    at(a, prompt, 100);
    ts_session_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork),  cmocka_unit_test(test_bytes),   cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_alloc), cmocka_unit_test(test_pending),  cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("fork", tests, setup, teardown);
}
