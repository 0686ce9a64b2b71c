/* threads: any number of sessions of one engine, from any threads, beside everything else that an engine can be asked;
 * the pool with several callers. A hang is a failure. (Without the failing allocator of the other tests, which one
 * thread uses at a time.) */
#include "support/zoo_file.h"

#include "base/mem.h"
#include "base/pool.h"
#include "engine/engine.h"
#include "tessera/tessera.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#    define UNDER_TSAN 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define UNDER_TSAN 1
#    endif
#endif
#ifndef UNDER_TSAN
#    define UNDER_TSAN 0
#endif

enum { LONGEST = 40, VOCAB = 272, PATIENCE_S = 100, TIMES = UNDER_TSAN ? 1 : 10 };

static ts_token prompt[LONGEST];
static float want[LONGEST + 1][VOCAB]; /* the logits after the first n tokens */

static struct fixture {
    void *file;
    size_t len;
    char path[64]; /* the same, to be mapped */
} fx;

static void hangs(int signal) {
    (void)signal;
    static const char text[] = "FAILED: a thread waits for ever\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(1);
}

static ts_engine *open_engine(int n_threads) {
    ts_engine *e;
    ts_err err;
    assert_ok(ts_engine_open_memory(&e, fx.file, fx.len, &(ts_engine_opts){.n_threads = n_threads, .ledger = true},
                                    &err));
    return e;
}

static int setup(void **state) {
    (void)state;
    signal(SIGALRM, hangs);
    const gguf_file f = zoo_file("linear");
    ts_err err;
    fx.file = f.data;
    fx.len = f.len;
    snprintf(fx.path, sizeof fx.path, "/tmp/tessera-threads-XXXXXX");
    const int fd = mkstemp(fx.path);
    assert_true(fd >= 0 && write(fd, fx.file, fx.len) == (ssize_t)fx.len && close(fd) == 0);
    zoo_prompt(VOCAB, prompt, LONGEST);
    ts_engine *e = open_engine(1);
    ts_session *s;
    assert_ok(ts_session_new(&s, e, NULL, &err));
    for (size_t n = 1; n <= LONGEST; n++) {
        assert_ok(ts_session_sync(s, prompt, n, &err));
        memcpy(want[n], ts_session_logits(s), sizeof want[n]);
    }
    ts_session_free(s);
    ts_engine_close(e);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(fx.path);
    ts_free(fx.file);
    return 0;
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

enum { CALLERS = 4, TASKS = 37, JOBS = 200 };

struct job {
    int ran[TASKS];
};

static void count(void *arg, size_t task, int thread) {
    (void)thread;
    ((struct job *)arg)->ran[task]++;
}

static void *call_pool(void *pool) {
    size_t wrong = 0;
    for (int i = 0; i < JOBS * TIMES; i++) {
        struct job j = {0};
        size_t n = 1 + (size_t)i % TASKS;
        ts_pool_run(pool, n, count, &j);
        for (size_t k = 0; k < TASKS; k++) wrong += j.ran[k] != (k < n);
    }
    return (void *)wrong;
}

/* Every task of every caller's jobs runs once, and has run when the call returns. */
static void test_pool(void **state) {
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads += n_threads) {
        alarm(PATIENCE_S);
        ts_pool *pool;
        ts_err err;
        pthread_t caller[CALLERS];
        assert_ok(ts_pool_new(&pool, n_threads, &err));
        for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&caller[i], NULL, call_pool, pool), 0);
        for (int i = 0; i < CALLERS; i++) {
            void *wrong;
            pthread_join(caller[i], &wrong);
            assert_null(wrong);
        }
        ts_pool_free(pool);
        alarm(0);
    }
}

/* ---- the gate ---------------------------------------------------------------------------------------------------- */

enum { GUESTS = 6 };

struct guest {
    ts_gate *gate;
    int *order, *n, me;
    pthread_t id;
};

static void *visit(void *arg) {
    struct guest *g = arg;
    ts_gate_enter(g->gate);
    g->order[(*g->n)++] = g->me;
    ts_gate_leave(g->gate);
    return NULL;
}

static uint64_t numbers_given(ts_gate *g) {
    pthread_mutex_lock(&g->lock);
    uint64_t n = g->next;
    pthread_mutex_unlock(&g->lock);
    return n;
}

/* In the order in which they came. */
static void test_gate(void **state) {
    (void)state;
    ts_gate *gate;
    ts_err err;
    struct guest g[GUESTS];
    int order[GUESTS], n = 0;
    assert_ok(ts_gate_new(&gate, &err));
    alarm(PATIENCE_S);
    ts_gate_enter(gate);
    for (int i = 0; i < GUESTS; i++) {
        g[i] = (struct guest){.gate = gate, .order = order, .n = &n, .me = i};
        assert_int_equal(pthread_create(&g[i].id, NULL, visit, &g[i]), 0);
        while (numbers_given(gate) != (uint64_t)i + 2) usleep(100);
    }
    assert_int_equal(n, 0);
    ts_gate_leave(gate);
    for (int i = 0; i < GUESTS; i++) pthread_join(g[i].id, NULL);
    alarm(0);
    for (int i = 0; i < GUESTS; i++) assert_int_equal(order[i], i);
    ts_gate_free(gate);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

struct client {
    ts_engine *e;
    pthread_t id;
    unsigned seed;
    int syncs;
    char wrong[600]; /* what was, in words */
    const float *logits; /* [n_vocab] of the clients that keep to constraints; what they have answered */
    uint32_t n_vocab;
    char text[2][200];
};

/* A session that goes back and forth on its timeline. */
static void *talk(void *arg) {
    struct client *c = arg;
    ts_session *s = NULL;
    ts_err err = {0};
    if (ts_session_new(&s, c->e, &(ts_session_opts){.n_ctx = LONGEST}, &err) != TS_OK) {
        snprintf(c->wrong, sizeof c->wrong, "%s", err.msg);
        return NULL;
    }
    for (int i = 0; i < c->syncs && !c->wrong[0]; i++) {
        c->seed = c->seed * 1664525 + 1013904223;
        size_t n = 1 + (c->seed >> 16) % LONGEST;
        if (ts_session_sync(s, prompt, n, &err) != TS_OK)
            snprintf(c->wrong, sizeof c->wrong, "%s", err.msg);
        else if (memcmp(ts_session_logits(s), want[n], sizeof want[n]) != 0)
            snprintf(c->wrong, sizeof c->wrong, "sync %d: the logits after %zu tokens have other bits", i, n);
    }
    ts_session_free(s);
    return NULL;
}

struct bystander {
    ts_engine *e;
    pthread_t id[2];
    atomic_bool end;
    atomic_size_t wrong, rounds;
};

/* Whatever else may be asked of an engine whose sessions compute, and other engines beside it. */
static void *ask(void *arg) {
    struct bystander *b = arg;
    while (!atomic_load(&b->end)) {
        ts_model_info info;
        ts_engine_info(b->e, &info);
        ts_ledger_row row[8];
        b->wrong += info.n_vocab != VOCAB || ts_engine_ledger(b->e, row, 8) > 100;
        ts_token *token;
        size_t n;
        if (ts_engine_tokenize(b->e, "hello", 5, 0, &token, &n, NULL) == TS_OK) ts_tokens_release(token);
        else b->wrong++;
        ts_engine *other = NULL;
        ts_err err;
        b->wrong += ts_engine_open(&other, "/nowhere/at.gguf", NULL, &err) != TS_E_IO || !strstr(err.msg, "No such");
        const ts_engine_opts o = {.n_threads = 2};
        ts_status st = b->rounds % 2 ? ts_engine_open(&other, fx.path, &o, NULL)
                                     : ts_engine_open_memory(&other, fx.file, fx.len, &o, NULL);
        if (st == TS_OK) ts_engine_close(other);
        else b->wrong++;
        b->rounds++;
    }
    return NULL;
}

static void test_sessions(void **state) {
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads += n_threads) {
        ts_engine *e = open_engine(n_threads);
        enum { CLIENTS = 4 };
        struct client c[CLIENTS] = {0};
        struct bystander b = {.e = e};
        alarm(PATIENCE_S);
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&b.id[i], NULL, ask, &b), 0);
        for (int i = 0; i < CLIENTS; i++) {
            c[i] = (struct client){.e = e, .seed = (unsigned)i + 1, .syncs = 40 * TIMES};
            assert_int_equal(pthread_create(&c[i].id, NULL, talk, &c[i]), 0);
        }
        for (int i = 0; i < CLIENTS; i++) pthread_join(c[i].id, NULL);
        atomic_store(&b.end, true);
        for (int i = 0; i < 2; i++) pthread_join(b.id[i], NULL);
        alarm(0);
        for (int i = 0; i < CLIENTS; i++)
            if (c[i].wrong[0]) fail_msg("%d threads, session %d: %s", n_threads, i, c[i].wrong);
        assert_int_equal(b.wrong, 0);
        assert_true(b.rounds > 0);
        ts_engine_close(e);
    }
}

/* Each client has several sessions, which it advances together. */
static void *talk_together(void *arg) {
    enum { GROUP = 3 };
    struct client *c = arg;
    ts_session *s[GROUP] = {0};
    ts_err err = {0};
    ts_status st = TS_OK;
    for (int i = 0; i < GROUP && st == TS_OK; i++)
        st = ts_session_new(&s[i], c->e, &(ts_session_opts){.n_ctx = LONGEST}, &err);
    for (int i = 0; i < c->syncs && st == TS_OK && !c->wrong[0]; i++) {
        for (int k = 0; k < GROUP && st == TS_OK; k++) {
            c->seed = c->seed * 1664525 + 1013904223;
            if (!ts_session_pending(s[k])) st = ts_session_prepare(s[k], prompt, 1 + (c->seed >> 16) % LONGEST, &err);
        }
        if (st == TS_OK) st = ts_sessions_step(s, GROUP, i % 2 ? 0 : 30, &err);
        for (int k = 0; k < GROUP && st == TS_OK; k++) {
            size_t n;
            (void)ts_session_tokens(s[k], &n);
            if (ts_session_logits(s[k]) && memcmp(ts_session_logits(s[k]), want[n], sizeof want[n]) != 0)
                snprintf(c->wrong, sizeof c->wrong, "step %d: the logits after %zu tokens have other bits", i, n);
        }
    }
    if (st != TS_OK) snprintf(c->wrong, sizeof c->wrong, "%s", err.msg);
    for (int i = 0; i < GROUP; i++) ts_session_free(s[i]);
    return NULL;
}

static void test_groups(void **state) {
    (void)state;
    enum { CLIENTS = 3 };
    ts_engine *e = open_engine(2);
    struct client c[CLIENTS];
    alarm(PATIENCE_S);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.e = e, .seed = (unsigned)i + 9, .syncs = 20 * TIMES};
        assert_int_equal(pthread_create(&c[i].id, NULL, talk_together, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(c[i].id, NULL);
    alarm(0);
    for (int i = 0; i < CLIENTS; i++)
        if (c[i].wrong[0]) fail_msg("client %d: %s", i, c[i].wrong);
    ts_engine_close(e);
}

/* ---- listeners --------------------------------------------------------------------------------------------------- */

struct watch {
    ts_listener listener;
    size_t steps;
};

static void on_step(void *ud, const char *name, uint32_t n_tok, uint64_t ns) {
    (void)name, (void)n_tok, (void)ns;
    ((struct watch *)ud)->steps++;
}

/* Listens again and again: is told of its own passes, and of nothing any more once it is out. */
static void *listen(void *arg) {
    struct client *c = arg;
    ts_session *s = NULL;
    ts_err err = {0};
    ts_status st = ts_session_new(&s, c->e, &(ts_session_opts){.n_ctx = LONGEST}, &err);
    for (int i = 0; i < c->syncs && st == TS_OK && !c->wrong[0]; i++) {
        struct watch w = {.listener = {.ud = &w, .step = on_step}};
        ts_engine_listen(c->e, &w.listener);
        st = ts_session_sync(s, prompt, 1 + (size_t)i % 2, &err);
        ts_engine_unlisten(c->e, &w.listener);
        const size_t told = w.steps;
        if (st == TS_OK) st = ts_session_sync(s, prompt, 3, &err);
        if (!told || w.steps != told)
            snprintf(c->wrong, sizeof c->wrong, "listener %d: told of %zu steps, and %zu when it was out", i, told,
                     w.steps);
    }
    if (st != TS_OK) snprintf(c->wrong, sizeof c->wrong, "%s", err.msg);
    ts_session_free(s);
    return NULL;
}

static void test_listeners(void **state) {
    (void)state;
    enum { CLIENTS = 4 };
    ts_engine *e = open_engine(2);
    struct client c[CLIENTS];
    alarm(PATIENCE_S);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.e = e, .seed = (unsigned)i, .syncs = 20 * TIMES};
        assert_int_equal(pthread_create(&c[i].id, NULL, i % 2 ? listen : talk, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(c[i].id, NULL);
    alarm(0);
    for (int i = 0; i < CLIENTS; i++)
        if (c[i].wrong[0]) fail_msg("client %d: %s", i, c[i].wrong);
    ts_engine_close(e);
}

/* ---- constraints ------------------------------------------------------------------------------------------------- */

/* Answers under constraints of its own, of an engine whose tries nobody has made yet; each text is the same
 * every time. */
static void *keep_to(void *arg) {
    struct client *c = arg;
    static const char *const form[] = {"[a-f]{4}(x|y)+z", "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":"
                                       "\"integer\"}},\"required\":[\"n\"]}"};
    ts_err err = {0};
    ts_status st = TS_OK;
    for (int i = 0; i < c->syncs && st == TS_OK && !c->wrong[0]; i++) {
        const int which = (i + (int)c->seed) % 2;
        const ts_constraint_opts o = {.kind = which ? TS_CONSTRAIN_SCHEMA : TS_CONSTRAIN_REGEX, .text = form[which],
                                      .len = strlen(form[which])};
        ts_constraint *k = NULL;
        ts_answer *a = NULL;
        ts_sampler *greedy = NULL;
        const ts_piece *p = NULL;
        char text[200] = "";
        ts_sampler_opts so = ts_sampler_defaults();
        so.temperature = 0;
        st = ts_constraint_new(&k, c->e, &o, &err);
        if (st == TS_OK) st = ts_sampler_new(&greedy, &so, c->n_vocab, &err);
        const ts_generate_opts go = {.constraint = k, .max_tokens = 24};
        if (st == TS_OK) st = ts_answer_new(&a, c->e, greedy, -1, &go, &err);
        while (st == TS_OK && !(p && p->last)) {
            st = ts_answer_next(a, c->logits, NULL, 0, &p, &err);
            if (st == TS_OK) strncat(text, p->text, p->len < 50 ? p->len : 50);
        }
        if (st == TS_OK && !c->text[which][0]) snprintf(c->text[which], sizeof c->text[which], "%s", text);
        if (st == TS_OK && strcmp(text, c->text[which]) != 0)
            snprintf(c->wrong, sizeof c->wrong, "%.80s is not %.80s", text, c->text[which]);
        ts_answer_free(a);
        ts_sampler_free(greedy);
        ts_constraint_free(k);
    }
    if (st != TS_OK) snprintf(c->wrong, sizeof c->wrong, "%s", err.msg);
    return NULL;
}

static void test_constraints(void **state) {
    (void)state;
    enum { CLIENTS = 4 };
    char path[512];
    ts_engine *e;
    ts_err err;
    const char *source = getenv("TESSERA_SOURCE");
    snprintf(path, sizeof path, "%s/models/tessera-tiny-q8_0.gguf", source ? source : ".");
    assert_ok(ts_engine_open(&e, path, &(ts_engine_opts){.n_threads = 1}, &err));
    ts_model_info info;
    ts_engine_info(e, &info);
    float *logits = calloc(info.n_vocab, sizeof *logits);
    assert_non_null(logits);
    for (uint32_t i = 0; i < info.n_vocab; i++) logits[i] = (float)(i * 2654435761u % 1000);
    struct client c[CLIENTS];
    alarm(PATIENCE_S);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.e = e, .seed = (unsigned)i, .syncs = 4 * TIMES, .logits = logits,
                               .n_vocab = info.n_vocab};
        assert_int_equal(pthread_create(&c[i].id, NULL, keep_to, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(c[i].id, NULL);
    alarm(0);
    for (int i = 0; i < CLIENTS; i++) {
        if (c[i].wrong[0]) fail_msg("client %d: %s", i, c[i].wrong);
        for (int which = 0; which < 2; which++) assert_string_equal(c[i].text[which], c[0].text[which]);
    }
    free(logits);
    ts_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool), cmocka_unit_test(test_gate),
                                       cmocka_unit_test(test_sessions), cmocka_unit_test(test_groups),
                                       cmocka_unit_test(test_listeners), cmocka_unit_test(test_constraints)};
    return cmocka_run_group_tests_name("threads", tests, setup, teardown);
}
