/* the prefix store used by threads at once, in memory and with a folder, and two stores in one. */
#include "support/test.h"
#include "support/zoo_file.h"

#include "engine/prefix.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N = 360, VOCAB = 272, USERS = 4 };

static ts_token prompt[N], other[N]; /* other differs from position 150 on */
static char folder[] = "/tmp/ts-prefix-XXXXXX";

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
    assert_non_null(mkdtemp(folder));
    return 0;
}

/* Removes what is there; how much it was. */
static uint64_t clear_folder(void) {
    char path[400];
    struct stat st;
    uint64_t bytes = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) < 0) continue;
        bytes += (uint64_t)st.st_size;
        unlink(path);
    }
    closedir(d);
    return bytes;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 0); /* all pages have come back */
    ts_engine_close(fx.e);
    ts_free(fx.file);
    return rmdir(folder);
}

static ts_session *session(void) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, fx.e, &(ts_session_opts){.n_ctx = 400}, &err));
    return s;
}

static ts_prefix_store *store(uint64_t pages, const char *dir, uint64_t disk_pages) {
    const uint64_t page = ts_kv_bytes(&fx.e->model->c, 1, TS_KV_F16);
    ts_prefix_store *p;
    ts_err err;
    assert_ok(ts_prefix_store_new(
        &p, fx.e, &(ts_prefix_opts){.memory_bytes = pages * page, .dir = dir, .disk_bytes = disk_pages * page}, &err));
    return p;
}

struct user {
    ts_prefix_store *p;
    ts_session *s;
    const ts_token *t;
    size_t n, base;
    bool ok;
};

static void *use(void *arg) {
    struct user *u = arg;
    ts_err err;
    ts_prefix_stats st;
    u->ok = true;
    for (int i = 0; i < 8 && u->ok; i++) {
        size_t got = 0;
        u->n = u->base + (size_t)i * 29 % (N - u->base);
        u->ok = ts_session_truncate(u->s, 0, &err) == TS_OK &&
                ts_prefix_take(u->p, u->s, u->t, u->n, &got, &err) == TS_OK &&
                ts_session_sync(u->s, u->t, u->n, &err) == TS_OK && ts_prefix_give(u->p, u->s, &err) == TS_OK;
        ts_prefix_get_stats(u->p, &st);
    }
    return NULL;
}

/* Users of the two stores, by turns; afterwards each has the bits of one who is alone. */
static void all_at_once(ts_prefix_store *a, ts_prefix_store *b) {
    struct user u[USERS];
    pthread_t id[USERS];
    ts_err err;
    for (size_t i = 0; i < USERS; i++)
        u[i] = (struct user){.p = i < 2 ? a : b, .s = session(), .t = i % 2 ? other : prompt, .base = 200 + 30 * i};
    for (int i = 0; i < USERS; i++) assert_int_equal(pthread_create(&id[i], NULL, use, &u[i]), 0);
    for (int i = 0; i < USERS; i++) pthread_join(id[i], NULL);
    for (int i = 0; i < USERS; i++) {
        assert_true(u[i].ok);
        ts_session *alone = session();
        assert_ok(ts_session_sync(alone, u[i].t, u[i].n, &err));
        assert_memory_equal(ts_session_logits(u[i].s), ts_session_logits(alone), VOCAB * sizeof(float));
        ts_session_free(u[i].s), ts_session_free(alone);
    }
}

static uint64_t bytes_of(ts_prefix_store *p) {
    ts_prefix_stats st;
    ts_prefix_get_stats(p, &st);
    return st.bytes;
}

/* There is never room for all of it, neither in memory nor on disk. */
static void test_memory(void **state) {
    (void)state;
    ts_prefix_store *p = store(6, NULL, 0);
    ts_prefix_stats st;
    all_at_once(p, p);
    ts_prefix_get_stats(p, &st);
    assert_true(st.hits > 0);
    assert_true(st.bytes <= 6 * ts_kv_bytes(&fx.e->model->c, 1, TS_KV_F16));
    ts_prefix_store_free(p);
}

static void test_disk(void **state) {
    (void)state;
    const uint64_t page = ts_kv_bytes(&fx.e->model->c, 1, TS_KV_F16);
    ts_prefix_store *p = store(3, folder, 8);
    all_at_once(p, p);
    ts_prefix_writer_settle(p);
    assert_true(bytes_of(p) <= 3 * page);
    ts_prefix_store_free(p);
    const uint64_t bytes = clear_folder();
    assert_true(bytes > 0 && bytes <= 8 * page);
}

static void test_two_stores(void **state) {
    (void)state;
    ts_prefix_store *a = store(3, folder, 100), *b = store(100, folder, 100);
    all_at_once(a, b);
    ts_prefix_store_free(a);
    ts_prefix_store_free(b);
    assert_true(clear_folder() > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_disk), cmocka_unit_test(test_two_stores),
    };
    return cmocka_run_group_tests_name("prefix_threads", tests, setup, teardown);
}
