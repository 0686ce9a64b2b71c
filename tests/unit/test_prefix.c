/* the prefix store in memory: the same bits, what is found, what goes first, memory that runs out. */
#include "support/alloc_fail.h"
#include "support/zoo_file.h"

#include "engine/prefix.h"

enum { N = 450, VOCAB = 272 };

static ts_token prompt[N], other[N]; /* other differs from position 150 on */

static struct fixture {
    void *file[2];
    ts_engine *e, *foreign;
} fx;

static ts_engine *open_zoo(const char *name, void **file) {
    const gguf_file f = zoo_file(name);
    ts_err err;
    ts_engine *e;
    *file = f.data;
    assert_ok(ts_engine_open_memory(&e, f.data, f.len, &(ts_engine_opts){.n_threads = 2}, &err));
    return e;
}

static int setup(void **state) {
    (void)state;
    zoo_prompt(VOCAB, prompt, N);
    for (int i = 0; i < N; i++) other[i] = i < 150 ? prompt[i] : (prompt[i] + 1) % VOCAB;
    fx.e = open_zoo("gqa3-hd40", &fx.file[0]); /* heads of 40 elements, 48 in the cache */
    fx.foreign = open_zoo("linear", &fx.file[1]);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 0); /* all pages have come back */
    ts_engine_close(fx.e), ts_engine_close(fx.foreign);
    ts_free(fx.file[0]), ts_free(fx.file[1]);
    return 0;
}

static ts_session *session(ts_kv_type kv) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, fx.e, &(ts_session_opts){.kv = kv, .n_ctx = 512}, &err));
    return s;
}

static ts_prefix_store *store(uint64_t memory_bytes) {
    ts_prefix_store *p;
    ts_err err;
    assert_ok(ts_prefix_store_new(&p, fx.e, &(ts_prefix_opts){.memory_bytes = memory_bytes}, &err));
    return p;
}

static void sync_to(ts_session *s, const ts_token *t, size_t n) {
    ts_err err;
    assert_ok(ts_session_sync(s, t, n, &err));
}

static size_t take(ts_prefix_store *p, ts_session *s, const ts_token *t, size_t n) {
    ts_err err;
    size_t found = 12345, len;
    assert_ok(ts_prefix_take(p, s, t, n, &found, &err));
    const ts_token *has = ts_session_tokens(s, &len);
    assert_int_equal(len, found);
    assert_memory_equal(has, t, found * sizeof *t);
    assert_null(ts_session_logits(s));
    return found;
}

static void give(ts_prefix_store *p, const ts_session *s) {
    ts_err err;
    assert_ok(ts_prefix_give(p, s, &err));
}

static ts_prefix_stats stats(ts_prefix_store *p) {
    ts_prefix_stats st;
    ts_prefix_get_stats(p, &st);
    return st;
}

/* Its logits are those of a session that has seen t[0..n) and nothing else. */
static void fresh(const ts_session *s, const ts_token *t, size_t n) {
    ts_session *alone = session(s->kv.type);
    sync_to(alone, t, n);
    assert_non_null(ts_session_logits(s));
    assert_memory_equal(ts_session_logits(s), ts_session_logits(alone), VOCAB * sizeof(float));
    ts_session_free(alone);
}

/* A timeline of t[0..n), computed and given. */
static void give_new(ts_prefix_store *p, ts_kv_type kv, const ts_token *t, size_t n) {
    ts_session *s = session(kv);
    sync_to(s, t, n);
    give(p, s);
    ts_session_free(s);
}

/* How many of t[0..n) are found, by a session that is dropped. */
static size_t found(ts_prefix_store *p, ts_kv_type kv, const ts_token *t, size_t n) {
    ts_session *s = session(kv);
    const size_t f = take(p, s, t, n);
    ts_session_free(s);
    return f;
}

static void test_bits(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 63, 64, 65, 128, 129, 300};
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const size_t n = lengths[i];
            ts_prefix_store *p = store(0);
            ts_session *a = session((ts_kv_type)kv), *b = session((ts_kv_type)kv);
            sync_to(a, prompt, n);
            give(p, a);
            assert_int_equal(take(p, b, prompt, n), (n - 1) / 64 * 64);
            sync_to(b, prompt, n);
            fresh(b, prompt, n);
            ts_session_stats st;
            ts_session_get_stats(b, &st);
            assert_int_equal(st.n_prefill + st.n_decode, n - (n - 1) / 64 * 64); /* and no more was computed */
            assert_int_equal(st.n_reused, (n - 1) / 64 * 64);
            sync_to(b, prompt, n + 70); /* on from there, both, in pages of their own */
            fresh(b, prompt, n + 70);
            sync_to(a, other, n + 70);
            fresh(a, other, n + 70);
            /* the store lives on without them, and they without it */
            ts_session_free(a);
            assert_int_equal(found(p, (ts_kv_type)kv, prompt, N), n / 64 * 64);
            ts_prefix_store_free(p);
            sync_to(b, prompt, n + 71);
            fresh(b, prompt, n + 71);
            ts_session_free(b);
        }
}

static void test_found(void **state) {
    (void)state;
    ts_prefix_store *p = store(0);
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 0);
    give_new(p, TS_KV_F16, prompt, 300);
    assert_int_equal(stats(p).pages, 4);
    assert_int_equal(found(p, TS_KV_F16, prompt, 0), 0);
    assert_int_equal(found(p, TS_KV_F16, prompt, 64), 0); /* one has to be left */
    assert_int_equal(found(p, TS_KV_F16, prompt, 65), 64);
    assert_int_equal(found(p, TS_KV_F16, prompt, 256), 192);
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 256);
    assert_int_equal(found(p, TS_KV_F16, other, N), 128);
    assert_int_equal(found(p, TS_KV_F16, prompt + 64, N - 64), 0); /* its tiles, but not from their place on */
    assert_int_equal(found(p, TS_KV_F32, prompt, N), 0);
    assert_int_equal(found(p, TS_KV_Q8_0, prompt, N), 0);
    const ts_prefix_stats st = stats(p);
    assert_int_equal(st.hits, 4);
    assert_int_equal(st.misses, 4); /* two could not have found anything */
    assert_int_equal(st.hit_tokens, 64 + 192 + 256 + 128);
    /* a branch, and another type: only what is new takes memory */
    give_new(p, TS_KV_F16, other, N);
    assert_int_equal(stats(p).pages, 4 + 5);
    give_new(p, TS_KV_F32, prompt, 128);
    assert_int_equal(stats(p).pages, 4 + 5 + 2);
    assert_int_equal(stats(p).bytes, 9 * p->like[TS_KV_F16].page_bytes + 2 * p->like[TS_KV_F32].page_bytes);
    assert_int_equal(stats(p).bytes, ts_kv_pool_bytes(fx.e->kv_pool));
    assert_int_equal(found(p, TS_KV_F16, other, N), 448);
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 256);
    assert_int_equal(found(p, TS_KV_F32, prompt, N), 128);
    /* no more than the context holds */
    ts_err err;
    ts_session *small;
    assert_ok(ts_session_new(&small, fx.e, &(ts_session_opts){.n_ctx = 200}, &err));
    assert_int_equal(take(p, small, prompt, N), 192);
    sync_to(small, prompt, 200);
    fresh(small, prompt, 200);
    ts_session_free(small);
    ts_prefix_store_free(p);
}

static void test_refused(void **state) {
    (void)state;
    ts_prefix_store *p = store(0);
    ts_err err;
    size_t n = 77;
    ts_session *s = session(TS_KV_F16), *foreign;
    assert_ok(ts_session_new(&foreign, fx.foreign, NULL, &err));
    assert_status(ts_prefix_take(p, foreign, prompt, N, &n, &err), TS_E_INVAL);
    assert_status(ts_prefix_give(p, foreign, &err), TS_E_INVAL);
    assert_status(ts_prefix_take(NULL, s, prompt, N, &n, &err), TS_E_INVAL);
    assert_status(ts_prefix_take(p, NULL, prompt, N, &n, &err), TS_E_INVAL);
    assert_status(ts_prefix_take(p, s, NULL, N, &n, &err), TS_E_INVAL);
    assert_status(ts_prefix_take(p, s, prompt, N, NULL, &err), TS_E_INVAL);
    assert_status(ts_prefix_give(p, NULL, &err), TS_E_INVAL);
    assert_status(ts_prefix_give(NULL, s, &err), TS_E_INVAL);
    assert_ok(ts_session_prepare(s, prompt, 5, &err));
    assert_status(ts_prefix_take(p, s, prompt, N, &n, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "5 tokens"));
    sync_to(s, prompt, 100);
    assert_status(ts_prefix_take(p, s, prompt, N, &n, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "100 tokens"));
    assert_int_equal(n, 77);
    fresh(s, prompt, 100);
    assert_ok(ts_session_truncate(s, 0, &err)); /* empty once more */
    give(p, s);
    assert_int_equal(stats(p).pages, 0);
    assert_int_equal(take(p, s, prompt, N), 0);
    sync_to(s, prompt, 100);
    fresh(s, prompt, 100);
    const ts_token wrong[70] = {-1}; /* not to be found, and no harm */
    assert_int_equal(found(p, TS_KV_F16, wrong, 70), 0);
    assert_status(ts_prefix_store_new(NULL, fx.e, NULL, &err), TS_E_INVAL);
    assert_status(ts_prefix_store_new_sized(&p, fx.e, (ts_prefix_opts[]){{0}, {.memory_bytes = 1}},
                                            2 * sizeof(ts_prefix_opts), &err), TS_E_UNSUPP);
    ts_session_free(s), ts_session_free(foreign);
    ts_prefix_store_free(p);
    ts_prefix_store_free(NULL);
}

/* What was used least lately goes first, leaves before what they stand on. */
static void test_budget(void **state) {
    (void)state;
    ts_prefix_store *p = store(0);
    const uint64_t page = p->like[TS_KV_F16].page_bytes;
    ts_prefix_store_free(p);
    p = store(6 * page + page / 2);
    give_new(p, TS_KV_F16, prompt, 256);
    give_new(p, TS_KV_F16, other, 256); /* two shared tiles, two branches of two */
    assert_int_equal(stats(p).pages, 6);
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 256); /* that one is used now */
    give_new(p, TS_KV_F16, prompt + 64, 65);
    assert_int_equal(stats(p).pages, 6);
    assert_int_equal(stats(p).bytes, 6 * page);
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 6 * page);
    assert_int_equal(found(p, TS_KV_F16, other, N), 192); /* its last tile has gone */
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 256);
    assert_int_equal(found(p, TS_KV_F16, prompt + 64, 65), 64);
    /* more than the budget: its beginning stays */
    give_new(p, TS_KV_F16, other, 448);
    assert_int_equal(stats(p).pages, 6);
    assert_int_equal(found(p, TS_KV_F16, other, N), 384);
    assert_int_equal(found(p, TS_KV_F16, prompt, N), 128);
    /* pages that a session holds leave the store all the same, and stay with it */
    ts_session *s = session(TS_KV_F16);
    assert_int_equal(take(p, s, other, N), 384);
    give_new(p, TS_KV_F16, prompt + 1, 448);
    assert_int_equal(found(p, TS_KV_F16, other, N), 0);
    sync_to(s, other, N);
    fresh(s, other, N);
    ts_session_free(s);
    ts_prefix_store_free(p);
    p = store(1); /* room for none */
    give_new(p, TS_KV_F16, prompt, 256);
    assert_int_equal(stats(p).pages, 0);
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 0);
    ts_prefix_store_free(p);
}

/* A page that the store holds is not written to by who gave it, or by a fork of his. */
static void test_fork(void **state) {
    (void)state;
    ts_err err;
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
        ts_prefix_store *p = store(0);
        ts_session *a = session((ts_kv_type)kv), *b;
        sync_to(a, prompt, 256);
        give(p, a);
        assert_ok(ts_session_fork(&b, a, &err));
        assert_ok(ts_session_truncate(a, 160, &err)); /* inside the third page */
        sync_to(a, other, 256);
        fresh(a, other, 256);
        give(p, a);
        sync_to(b, other, 30);
        sync_to(b, prompt + 100, 200);
        ts_session *c = session((ts_kv_type)kv), *d = session((ts_kv_type)kv);
        assert_int_equal(take(p, c, prompt, 257), 256);
        assert_int_equal(take(p, d, other, 257), 256);
        sync_to(c, prompt, 257), sync_to(d, other, 257);
        fresh(c, prompt, 257), fresh(d, other, 257);
        ts_session_free(a), ts_session_free(b), ts_session_free(c), ts_session_free(d);
        ts_prefix_store_free(p);
    }
}

/* Two beginnings with the same keys are told apart by their tokens. */
static void test_collision(void **state) {
    (void)state;
    ts_prefix_store *p = store(0);
    uint64_t key[3] = {7, 7, 7};
    ts_session *a = session(TS_KV_F16);
    sync_to(a, prompt, 192);
    const ts_prefix_path one = {.n = 3, .token = prompt, .key = key}, two = {.n = 3, .token = other, .key = key},
                         three = {.n = 3, .token = prompt + 64, .key = key},
                         four = {.type = TS_KV_F32, .n = 3, .token = prompt, .key = key};
    ts_prefix_tile *last[4] = {NULL};
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < 3; i++) {
        assert_null(ts_prefix_find(&p->tree, last[i], &one, i));
        last[i + 1] = ts_prefix_add(&p->tree, last[i], &one, i, &p->like[TS_KV_F16], a->kv.page[i]);
        assert_non_null(last[i + 1]);
    }
    ts_prefix_touch(&p->tree, last[3]);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(ts_prefix_find(&p->tree, last[i], &one, i), last[i + 1]);
        if (i < 2) assert_ptr_equal(ts_prefix_find(&p->tree, last[i], &two, i), last[i + 1]);
        else assert_null(ts_prefix_find(&p->tree, last[i], &two, i));
        assert_null(ts_prefix_find(&p->tree, last[i], &three, i));
        assert_null(ts_prefix_find(&p->tree, last[i], &four, i));
        if (i) assert_null(ts_prefix_find(&p->tree, NULL, &one, i)); /* these tokens, but not behind the same */
    }
    pthread_mutex_unlock(&p->lock);
    ts_session_free(a);
    ts_prefix_store_free(p);
}

/* Many tiles: the table grows, and each is found again. */
static void test_many(void **state) {
    (void)state;
    ts_prefix_store *p = store(0);
    ts_token t[65];
    ts_session *s = session(TS_KV_F16);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++) {
            for (int k = 0; k < 65; k++) t[k] = (i * 31 + k * k) % VOCAB;
            t[0] = i % VOCAB, t[1] = i / VOCAB;
            if (round) {
                assert_int_equal(found(p, TS_KV_F16, t, 65), 64);
                continue;
            }
            sync_to(s, t, 64);
            give(p, s);
            assert_int_equal(stats(p).pages, i + 1);
        }
    ts_session_free(s);
    ts_prefix_store_free(p);
}

static bool all_of_it(void *ud) {
    ts_session *const *s = ud;
    ts_prefix_store *p;
    size_t n;
    if (ts_prefix_store_new(&p, fx.e, NULL, NULL) != TS_OK) return false;
    const bool ok = ts_prefix_give(p, s[0], NULL) == TS_OK && ts_prefix_take(p, s[1], prompt, N, &n, NULL) == TS_OK;
    if (ok) assert_int_equal(n, 192);
    if (ok) assert_int_equal(ts_session_truncate(s[1], 0, NULL), TS_OK);
    ts_prefix_store_free(p);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    ts_session *s[2] = {session(TS_KV_F16), session(TS_KV_F16)};
    sync_to(s[0], prompt, 200);
    alloc_fail_loop(all_of_it, s, false);
    fresh(s[0], prompt, 200);
    ts_session_free(s[0]), ts_session_free(s[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits), cmocka_unit_test(test_found), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_budget), cmocka_unit_test(test_fork), cmocka_unit_test(test_many),
        cmocka_unit_test(test_collision), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("prefix", tests, setup, teardown);
}
