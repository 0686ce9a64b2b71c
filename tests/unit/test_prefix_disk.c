/* the prefix store on disk: the same bits after a restart, what is in the folder and how much, files that are damaged
 * or somebody else's, writers that are killed, disks that are full. */
#include "support/alloc_fail.h"
#include "support/zoo_file.h"

#include "base/file.h"
#include "base/rng.h"
#include "engine/prefix_disk.h"
#include "engine/session_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 450, VOCAB = 272, MOST_FILES = 200 };

static ts_token prompt[N], other[N]; /* other differs from position 150 on */
static char folder[] = "/tmp/ts-prefix-XXXXXX";

static struct fixture {
    void *file[2];
    ts_engine *e, *foreign;
} fx;

static struct log {
    int n;
    char last[512];
} warnings;

static void on_log(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    warnings.n++;
    snprintf(warnings.last, sizeof warnings.last, "%s", line);
}

static ts_engine *open_zoo(const char *name, void **file) {
    const gguf_file f = zoo_file(name);
    ts_err err;
    ts_engine *e;
    *file = f.data;
    assert_ok(ts_engine_open_memory(&e, f.data, f.len, &(ts_engine_opts){.n_threads = 1}, &err));
    return e;
}

static void prompts(void) {
    zoo_prompt(VOCAB, prompt, N);
    for (int i = 0; i < N; i++) other[i] = i < 150 ? prompt[i] : (prompt[i] + 1) % VOCAB;
}

static int setup(void **state) {
    (void)state;
    ts_log_sink(on_log, NULL, TS_LOG_WARN);
    prompts();
    fx.e = open_zoo("gqa3-hd40", &fx.file[0]);
    fx.foreign = open_zoo("linear", &fx.file[1]);
    assert_non_null(mkdtemp(folder));
    return 0;
}

static void forget_alone(void);

static int teardown(void **state) {
    (void)state;
    forget_alone();
    assert_int_equal(ts_kv_pool_bytes(fx.e->kv_pool), 0); /* all pages have come back */
    ts_engine_close(fx.e), ts_engine_close(fx.foreign);
    ts_free(fx.file[0]), ts_free(fx.file[1]);
    return rmdir(folder);
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static struct list {
    int n;
    char name[MOST_FILES][300];
    uint64_t bytes;
} ls;

/* What is in the folder. */
static void look(void) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    ls.n = 0, ls.bytes = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.') continue;
        assert_true(ls.n < MOST_FILES);
        snprintf(ls.name[ls.n], sizeof *ls.name, "%s/%s", folder, e->d_name);
        assert_int_equal(lstat(ls.name[ls.n++], &st), 0);
        ls.bytes += (uint64_t)st.st_size;
    }
    closedir(d);
}

static int start(void **state) {
    (void)state;
    warnings.n = 0;
    return 0;
}

static int clean(void **state) {
    (void)state;
    look();
    for (int i = 0; i < ls.n; i++)
        if (unlink(ls.name[i]) < 0) rmdir(ls.name[i]);
    return 0;
}

static void set_age(const char *path, int64_t seconds) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec -= seconds;
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, AT_SYMLINK_NOFOLLOW), 0);
}

/* ---- stores and sessions ----------------------------------------------------------------------------------------- */

static ts_prefix_store *store_of(ts_engine *e, uint64_t memory_bytes, uint64_t disk_bytes) {
    ts_prefix_store *p;
    ts_err err;
    assert_ok(ts_prefix_store_new(
        &p, e, &(ts_prefix_opts){.memory_bytes = memory_bytes, .dir = folder, .disk_bytes = disk_bytes}, &err));
    return p;
}

static ts_prefix_store *store(void) {
    return store_of(fx.e, 0, 0);
}

static ts_session *session_of(ts_engine *e, ts_kv_type kv) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, e, &(ts_session_opts){.kv = kv, .n_ctx = 512}, &err));
    return s;
}

static ts_session *session(ts_kv_type kv) {
    return session_of(fx.e, kv);
}

static void sync_to(ts_session *s, const ts_token *t, size_t n) {
    ts_err err;
    assert_ok(ts_session_sync(s, t, n, &err));
}

static size_t take(ts_prefix_store *p, ts_session *s, const ts_token *t, size_t n) {
    ts_err err;
    size_t found, len;
    assert_ok(ts_prefix_take(p, s, t, n, &found, &err));
    const ts_token *has = ts_session_tokens(s, &len);
    assert_int_equal(len, found);
    assert_memory_equal(has, t, found * sizeof *t);
    return found;
}

static ts_prefix_stats stats(ts_prefix_store *p) {
    ts_prefix_stats st;
    ts_prefix_get_stats(p, &st);
    return st;
}

/* A session that has seen t[0..n) and nothing else; the last few of them are kept, the tests ask for the same again. */
static struct {
    ts_session *s;
    ts_token t[N];
    size_t n;
} alone[8];

static const ts_session *alone_with(ts_engine *e, ts_kv_type kv, const ts_token *t, size_t n) {
    static size_t next;
    for (size_t i = 0; i < 8; i++)
        if (alone[i].s && alone[i].s->e == e && alone[i].s->kv.type == kv && alone[i].n == n &&
            !memcmp(alone[i].t, t, n * sizeof *t))
            return alone[i].s;
    next = (next + 1) % 8;
    ts_session_free(alone[next].s);
    alone[next].s = session_of(e, kv);
    alone[next].n = n;
    memcpy(alone[next].t, t, n * sizeof *t);
    sync_to(alone[next].s, t, n);
    return alone[next].s;
}

static void forget_alone(void) {
    for (size_t i = 0; i < 8; i++) ts_session_free(alone[i].s), alone[i].s = NULL;
}

static void fresh(const ts_session *s, const ts_token *t, size_t n) {
    const ts_session *a = alone_with(s->e, s->kv.type, t, n);
    assert_memory_equal(ts_session_logits(s), ts_session_logits(a), s->e->model->c.n_vocab * sizeof(float));
}

static void give_new(ts_prefix_store *p, ts_kv_type kv, const ts_token *t, size_t n) {
    ts_err err;
    assert_ok(ts_prefix_give(p, alone_with(p->e, kv, t, n), &err));
}

/* How many of t[0..n) are found; what comes of them has the right bits. */
static size_t found(ts_prefix_store *p, ts_kv_type kv, const ts_token *t, size_t n) {
    ts_session *s = session_of(p->e, kv);
    const size_t f = take(p, s, t, n);
    if (f) { /* otherwise it is as it was */
        sync_to(s, t, n);
        fresh(s, t, n);
    }
    ts_session_free(s);
    return f;
}

/* What a store that begins now finds of it. */
static size_t found_again(ts_kv_type kv, const ts_token *t, size_t n) {
    ts_prefix_store *p = store();
    const size_t f = found(p, kv, t, n);
    ts_prefix_store_free(p);
    return f;
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void restart(ts_engine *e, const ts_token *t, const size_t *lengths, size_t n_lengths) {
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++)
        for (size_t i = 0; i < n_lengths; i++) {
            const size_t n = lengths[i], whole = n / 64 * 64, without_last = (n - 1) / 64 * 64;
            ts_prefix_store *p = store_of(e, 0, 0);
            give_new(p, (ts_kv_type)kv, t, n);
            ts_prefix_store_free(p);
            look();
            assert_int_equal(ls.n, 1);
            struct stat st;
            assert_int_equal(stat(ls.name[0], &st), 0);
            assert_int_equal(st.st_mode & 0777, 0600);
            p = store_of(e, 0, 0);
            assert_int_equal(stats(p).pages, 0);
            assert_int_equal(stats(p).disk_files, 1);
            assert_int_equal(stats(p).disk_bytes, st.st_size);
            assert_int_equal(found(p, (ts_kv_type)kv, t, n), without_last);
            assert_int_equal(stats(p).disk_tokens, without_last);
            assert_int_equal(found(p, (ts_kv_type)kv, t, n + 5), whole);
            assert_int_equal(stats(p).disk_tokens, whole); /* the rest is in memory by now */
            assert_int_equal(found(p, (ts_kv_type)((kv + 1) % 3), t, n), 0);
            ts_prefix_store_free(p);
            (void)clean(NULL);
        }
}

static void test_restart(void **state) {
    (void)state;
    static const size_t lengths[] = {256, 257, 319, 320};
    restart(fx.e, prompt, lengths, 4);
    assert_int_equal(warnings.n, 0);
}

static void test_models(void **state) {
    (void)state;
    static const char *const name[] = {"tessera-tiny-q8_0", "tessera-tiny-q4_0"};
    static const size_t lengths[] = {321};
    for (int i = 0; i < 2; i++) {
        char path[512];
        ts_engine *e;
        ts_err err;
        ts_token t[N];
        snprintf(path, sizeof path, "%s/models/%s.gguf", getenv("TESSERA_SOURCE"), name[i]);
        zoo_prompt(2000, t, N);
        assert_ok(ts_engine_open(&e, path, &(ts_engine_opts){.n_threads = 2}, &err));
        restart(e, t, lengths, 1);
        forget_alone();
        ts_engine_close(e);
    }
}

/* What is written when, and how it lies in files. */
static void test_runs(void **state) {
    (void)state;
    ts_prefix_store *p = store();
    give_new(p, TS_KV_F16, prompt, 255);
    ts_prefix_writer_settle(p);
    assert_int_equal(stats(p).written, 0); /* not worth it */
    give_new(p, TS_KV_F16, prompt, 300);
    ts_prefix_writer_settle(p);
    assert_int_equal(stats(p).written, 1);
    give_new(p, TS_KV_F16, prompt, 310);
    ts_prefix_writer_settle(p);
    assert_int_equal(stats(p).written, 1); /* it is there */
    give_new(p, TS_KV_F16, prompt, 449);
    give_new(p, TS_KV_F16, other, 449);
    ts_prefix_writer_settle(p);
    assert_int_equal(stats(p).written, 3); /* what is new, each */
    look();
    assert_int_equal(ls.n, 3);
    assert_int_equal(stats(p).disk_bytes, ls.bytes);
    assert_int_equal(stats(p).written_bytes, ls.bytes);
    assert_true(ls.bytes < (4 + 3 + 5 + 1) * p->like[0].page_bytes);
    /* given again, from a store that has not seen it: nothing is written twice */
    ts_prefix_store_free(p);
    p = store();
    give_new(p, TS_KV_F16, other, 449);
    ts_prefix_store_free(p);
    look();
    assert_int_equal(ls.n, 3);
    assert_int_equal(found_again(TS_KV_F16, prompt, N), 448);
    assert_int_equal(found_again(TS_KV_F16, other, N), 448);
    assert_int_equal(found_again(TS_KV_F16, prompt, 200), 192); /* a part of a file */
    assert_int_equal(found_again(TS_KV_F16, prompt + 64, 300), 0);
    /* no room in memory: from the disk each time */
    p = store_of(fx.e, 1, 0);
    for (int i = 0; i < 2; i++) assert_int_equal(found(p, TS_KV_F16, prompt, N), 448);
    assert_int_equal(stats(p).disk_tokens, 2 * 448);
    assert_int_equal(stats(p).pages, 0);
    give_new(p, TS_KV_F16, prompt + 1, 440); /* it is in memory until it is written, and no longer */
    ts_prefix_writer_settle(p);
    assert_int_equal(stats(p).pages, 0);
    assert_int_equal(found(p, TS_KV_F16, prompt + 1, 440), 384);
    ts_prefix_store_free(p);
    assert_int_equal(warnings.n, 0);
}

static ts_token *variant(ts_token *t, unsigned v) {
    ts_rng rng = ts_rng_seed(v);
    for (int i = 0; i < N; i++) t[i] = (ts_token)ts_rng_below(&rng, VOCAB);
    return t;
}

/* All files together stay below the cap; what was used least lately goes. */
static void test_cap(void **state) {
    (void)state;
    ts_token t[N];
    ts_prefix_store *p = store();
    const uint64_t page = p->like[TS_KV_F16].page_bytes, cap = 18 * page;
    ts_prefix_store_free(p);
    p = store_of(fx.e, 1, cap);
    for (unsigned v = 0; v < 6; v++) {
        give_new(p, TS_KV_F16, variant(t, v), 300);
        ts_prefix_writer_settle(p);
        if (v) assert_int_equal(found(p, TS_KV_F16, variant(t, 0), 300), 256); /* this one is used */
        look();
        assert_true(ls.bytes <= cap);
        assert_int_equal(stats(p).disk_bytes, ls.bytes);
    }
    assert_int_equal(ls.n, 4);
    assert_int_equal(stats(p).removed, 2);
    for (unsigned v = 0; v < 6; v++)
        assert_int_equal(found(p, TS_KV_F16, variant(t, v), 300), v == 1 || v == 2 ? 0 : 256);
    /* a timeline goes on: its own beginning is not what is removed for that */
    give_new(p, TS_KV_F16, variant(t, 3), 449);
    ts_prefix_writer_settle(p);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 3), N), 448);
    ts_prefix_store_free(p);
    /* a lower cap, from the beginning on */
    p = store_of(fx.e, 1, 8 * page);
    look();
    assert_true(ls.n > 0 && ls.bytes <= 8 * page);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 3), N), 448);
    ts_prefix_store_free(p);
    /* of a timeline in two files, both used at the same time, the end goes */
    p = store_of(fx.e, 1, 6 * page);
    look();
    assert_int_equal(ls.n, 1);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 3), N), 256);
    /* and it does not come back for the price of what it stands on */
    give_new(p, TS_KV_F16, variant(t, 3), 449);
    ts_prefix_writer_settle(p);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 3), N), 256);
    ts_prefix_store_free(p);
    /* too low for one file */
    p = store_of(fx.e, 0, 1000);
    give_new(p, TS_KV_F16, variant(t, 9), 300);
    ts_prefix_writer_settle(p);
    look();
    assert_int_equal(ls.n, 0);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 9), 300), 256);
    ts_prefix_store_free(p);
    assert_int_equal(warnings.n, 0);
}

/* The file's time says when it was used, for the next program too. */
static void test_used(void **state) {
    (void)state;
    ts_token t[N];
    ts_prefix_store *p = store();
    for (unsigned v = 0; v < 3; v++) {
        give_new(p, TS_KV_F16, variant(t, v), 300);
        ts_prefix_writer_settle(p);
        look();
        for (int i = 0; i < ls.n; i++) set_age(ls.name[i], 1000 * (3 - v)); /* the first one is as old as the rest */
    }
    const uint64_t one = ls.bytes / 3;
    ts_prefix_store_free(p);
    assert_int_equal(found_again(TS_KV_F16, variant(t, 0), 300), 256);
    p = store_of(fx.e, 1, one);
    assert_int_equal(stats(p).disk_files, 1);
    assert_int_equal(found(p, TS_KV_F16, variant(t, 0), 300), 256);
    ts_prefix_store_free(p);
}

static ts_buf contents(const char *path) {
    ts_buf b = {0};
    ts_err err;
    assert_ok(ts_file_read(&b, path, 1 << 26, &err));
    return b;
}

static void put_file(const char *path, const void *data, size_t len) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

/* Any byte changed, cut off, longer: less is found, or nothing, and never anything wrong. */
static void test_damage(void **state) {
    (void)state;
    ts_prefix_store *p = store();
    give_new(p, TS_KV_F16, prompt, 300);
    ts_prefix_store_free(p);
    look();
    assert_int_equal(ls.n, 1);
    char name[300];
    snprintf(name, sizeof name, "%s", ls.name[0]);
    ts_buf good = contents(name);
    const size_t pages = good.len - 4 * ts_kv_bytes(&fx.e->model->c, 1, TS_KV_F16);
    assert_int_equal(pages, (64 + 4 * 16 + 256 * 4 + 63) / 64 * 64);
    for (size_t at = 0; at < good.len; at += at < 64 ? 3 : at < pages ? 47 : 7919) {
        good.data[at] ^= (char)(1 << at % 8);
        put_file(name, good.data, good.len);
        good.data[at] ^= (char)(1 << at % 8);
        p = store();
        const size_t f = found(p, TS_KV_F16, prompt, 300);
        /* tiles before the damage are whole */
        const size_t before = at < pages ? 0 : (at - pages) / ((good.len - pages) / 4) * 64;
        assert_int_equal(f, before);
        if (at < 8 || at >= 12) { /* a version that is not known is not damage */
            assert_int_equal(stats(p).damaged, 1);
            assert_int_equal(stats(p).removed, 1);
            assert_int_equal(access(name, F_OK), -1);
        } else {
            assert_int_equal(stats(p).disk_files, 1);
            assert_int_equal(stats(p).disk_bytes, good.len);
        }
        ts_prefix_store_free(p);
    }
    for (size_t len = 0; len < good.len; len += len < 80 ? 1 : 4999) {
        put_file(name, good.data, len);
        assert_int_equal(found_again(TS_KV_F16, prompt, 300), 0);
        assert_int_equal(access(name, F_OK), -1);
    }
    ts_buf longer = {0};
    assert_true(ts_buf_append(&longer, good.data, good.len) && ts_buf_putc(&longer, 'x'));
    put_file(name, longer.data, longer.len);
    assert_int_equal(found_again(TS_KV_F16, prompt, 300), 0);
    /* it goes wrong, or goes, while a store knows it */
    put_file(name, good.data, good.len);
    p = store();
    assert_int_equal(truncate(name, (off_t)good.len - 1), 0);
    assert_int_equal(found(p, TS_KV_F16, prompt, 300), 0);
    assert_int_equal(stats(p).damaged, 1);
    ts_prefix_store_free(p);
    put_file(name, good.data, good.len);
    p = store();
    unlink(name);
    assert_int_equal(found(p, TS_KV_F16, prompt, 300), 0);
    assert_int_equal(stats(p).disk_files, 0);
    assert_int_equal(stats(p).damaged, 0);
    give_new(p, TS_KV_F16, prompt, 300); /* and it is written anew */
    ts_prefix_store_free(p);
    ts_buf again = contents(name);
    assert_int_equal(again.len, good.len);
    assert_memory_equal(again.data, good.data, good.len);
    ts_buf_free(&again), ts_buf_free(&longer), ts_buf_free(&good);
    assert_int_equal(warnings.n, 0);
}

/* A file whose keys are those of another timeline: its tokens say what can be used of it. */
static void test_collision(void **state) {
    (void)state;
    ts_err err;
    char name[300];
    uint64_t bytes;
    ts_prefix_path path;
    const ts_session *s = alone_with(fx.e, TS_KV_F16, prompt, 300);
    uint64_t model;
    assert_ok(ts_session_model_id(fx.e, &model, &err));
    assert_ok(ts_prefix_path_init(&path, model, TS_KV_F16, other, 4, &err));
    snprintf(name, sizeof name, "%s/%016" PRIx64 "-0-4.kv", folder, path.key[3]);
    path.token = prompt;
    assert_ok(ts_prefix_file_write(name, model, &s->kv, &path, 0, s->kv.page, &bytes, &err));
    ts_prefix_path_fini(&path);
    ts_prefix_store *p = store();
    assert_int_equal(stats(p).disk_bytes, bytes);
    assert_int_equal(found(p, TS_KV_F16, other, 300), 128); /* where they are the same */
    assert_int_equal(found(p, TS_KV_F16, prompt, 300), 128);
    assert_int_equal(stats(p).removed, 0);
    ts_prefix_store_free(p);
}

/* What is not of this model, or no file of the store at all. */
static void test_foreign(void **state) {
    (void)state;
    ts_prefix_store *p = store_of(fx.foreign, 0, 0);
    give_new(p, TS_KV_F16, prompt, 300);
    ts_prefix_store_free(p);
    look();
    assert_int_equal(ls.n, 1);
    char theirs[300], path[4][400];
    snprintf(theirs, sizeof theirs, "%s", ls.name[0]);
    const uint64_t their_bytes = ls.bytes;
    p = store();
    assert_int_equal(stats(p).disk_files, 1);
    assert_int_equal(stats(p).disk_bytes, their_bytes);
    assert_int_equal(found(p, TS_KV_F16, prompt, 300), 0);
    give_new(p, TS_KV_F16, prompt, 300);
    ts_prefix_writer_settle(p);
    const uint64_t both = stats(p).disk_bytes;
    ts_prefix_store_free(p);
    assert_int_equal(access(theirs, F_OK), 0);
    p = store_of(fx.foreign, 0, 0);
    assert_int_equal(found(p, TS_KV_F16, prompt, 300), 256);
    ts_prefix_store_free(p);
    /* names that are none of ours stay, whatever is in them; what cannot be a file is not waited for */
    snprintf(path[0], sizeof *path, "%s/letter.txt", folder);
    snprintf(path[1], sizeof *path, "%s/0123456789abcdef-0-4.kv", folder);
    snprintf(path[2], sizeof *path, "%s/0123456789abcdef-1-4.kv", folder);
    snprintf(path[3], sizeof *path, "%s/0123456789abcdef-2-4.kv", folder);
    put_file(path[0], "dear", 4);
    assert_int_equal(mkfifo(path[1], 0600), 0);
    assert_int_equal(symlink("letter.txt", path[2]), 0);
    assert_int_equal(mkdir(path[3], 0700), 0);
    assert_int_equal(found_again(TS_KV_F16, prompt, 300), 256);
    for (int i = 0; i < 4; i++) assert_int_equal(faccessat(AT_FDCWD, path[i], F_OK, AT_SYMLINK_NOFOLLOW), 0);
    /* over the cap the oldest goes, whose ever it is */
    set_age(theirs, 100);
    ts_prefix_store_free(store_of(fx.e, 0, both - 1));
    assert_int_equal(access(theirs, F_OK), -1);
    assert_int_equal(found_again(TS_KV_F16, prompt, 300), 256);
}

/* What killed programs leave unfinished is cleared away, what is being written is not. */
static void test_unfinished(void **state) {
    (void)state;
    char path[4][400];
    for (int i = 0; i < 4; i++) {
        snprintf(path[i], sizeof *path, "%s/0123456789abcdef-%d-4.kv.123.tmp", folder, i);
        put_file(path[i], "TSKVTILE", 8);
        if (i) set_age(path[i], 100);
    }
    const int fd = open(path[2], O_RDWR);
    assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
    ts_prefix_store_free(store());
    assert_int_equal(access(path[0], F_OK), 0); /* perhaps it is about to be locked */
    assert_int_equal(access(path[1], F_OK), -1);
    assert_int_equal(access(path[2], F_OK), 0);
    assert_int_equal(access(path[3], F_OK), -1);
    close(fd);
    ts_prefix_store_free(store());
    assert_int_equal(access(path[2], F_OK), -1);
}

/* Two programs, as it were: each finds what the other writes, and both keep to the cap. */
static void test_two(void **state) {
    (void)state;
    ts_token t[N];
    ts_prefix_store *a = store(), *b;
    const uint64_t cap = 10 * a->like[TS_KV_F16].page_bytes;
    ts_prefix_store_free(a);
    a = store_of(fx.e, 0, cap), b = store_of(fx.e, 0, cap);
    give_new(a, TS_KV_F16, prompt, 300);
    ts_prefix_writer_settle(a);
    assert_int_equal(found(b, TS_KV_F16, prompt, 300), 0);
    ts_prefix_writer_settle(b);
    ts_prefix_disk_look(b->disk, true);
    assert_int_equal(found(b, TS_KV_F16, prompt, 300), 256);
    for (unsigned v = 0; v < 4; v++) {
        ts_prefix_store *p = v % 2 ? a : b;
        ts_prefix_disk_look(p->disk, true);
        give_new(p, TS_KV_F16, variant(t, v), 300);
        ts_prefix_writer_settle(p);
        look();
        assert_true(ls.bytes <= cap);
    }
    give_new(a, TS_KV_F16, other, 449), give_new(b, TS_KV_F16, other, 449); /* the same at once */
    ts_prefix_store_free(a), ts_prefix_store_free(b);
    assert_int_equal(found_again(TS_KV_F16, other, N), 448);
    assert_int_equal(warnings.n, 0);
}

/* What one program uses another does not take for old. */
static void test_used_by_other(void **state) {
    (void)state;
    ts_token t[N];
    char first[300], second[300], noise[400];
    ts_prefix_store *p = store();
    const uint64_t cap = 10 * p->like[TS_KV_F16].page_bytes;
    give_new(p, TS_KV_F16, variant(t, 0), 300);
    ts_prefix_writer_settle(p);
    look();
    snprintf(first, sizeof first, "%s", ls.name[0]);
    give_new(p, TS_KV_F16, variant(t, 1), 300);
    ts_prefix_store_free(p);
    look();
    snprintf(second, sizeof second, "%s", ls.name[!strcmp(ls.name[0], first)]);
    set_age(first, 500), set_age(second, 200);
    p = store_of(fx.e, 0, cap);
    set_age(first, 0); /* the other one has used it, and written something */
    snprintf(noise, sizeof noise, "%s/x", folder);
    put_file(noise, "", 0);
    ts_prefix_disk_look(p->disk, true);
    give_new(p, TS_KV_F16, variant(t, 2), 300);
    ts_prefix_store_free(p);
    assert_int_equal(access(first, F_OK), 0);
    assert_int_equal(access(second, F_OK), -1);
}

/* A write that fails is one warning; the store goes on in memory, and tries again later. */
static void test_full(void **state) {
    (void)state;
    ts_token t[N];
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 5000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ts_prefix_store *p = store();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (unsigned v = 0; v < 3; v++) {
        give_new(p, TS_KV_F16, variant(t, v), 300);
        ts_prefix_writer_settle(p);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(warnings.n, 1);
    assert_non_null(strstr(warnings.last, folder));
    assert_non_null(strstr(warnings.last, strerror(EFBIG)));
    assert_int_equal(stats(p).failed, 1); /* the others were not tried */
    assert_int_equal(stats(p).written, 0);
    look();
    assert_int_equal(ls.n, 0); /* nothing is left of it */
    for (unsigned v = 0; v < 3; v++) assert_int_equal(found(p, TS_KV_F16, variant(t, v), 300), 256);
    pthread_mutex_lock(&p->lock);
    p->quiet_until = 0;
    pthread_mutex_unlock(&p->lock);
    give_new(p, TS_KV_F16, variant(t, 1), 300);
    ts_prefix_store_free(p);
    assert_int_equal(found_again(TS_KV_F16, variant(t, 1), 300), 256);
    assert_int_equal(warnings.n, 1);
    signal(SIGXFSZ, handler);
}

/* A folder that cannot be used is a warning, and so is one that others may write to; one that is missing is made. */
static void test_folder(void **state) {
    (void)state;
    char path[5][400];
    struct stat st;
    ts_err err;
    ts_prefix_store *p;
    snprintf(path[0], sizeof *path, "%s/open", folder);
    snprintf(path[1], sizeof *path, "%s/file", folder);
    snprintf(path[2], sizeof *path, "%s/file/below", folder);
    snprintf(path[3], sizeof *path, "/proc/nothing");
    assert_int_equal(mkdir(path[0], 0700), 0);
    assert_int_equal(chmod(path[0], 0777), 0);
    put_file(path[1], "", 0);
    for (int i = 0; i < 4; i++) {
        assert_ok(ts_prefix_store_new(&p, fx.e, &(ts_prefix_opts){.dir = path[i]}, &err));
        assert_int_equal(warnings.n, i + 1);
        assert_non_null(strstr(warnings.last, path[i]));
        give_new(p, TS_KV_F16, prompt, 300);
        assert_int_equal(found(p, TS_KV_F16, prompt, 300), 256);
        assert_int_equal(stats(p).disk_files, 0);
        ts_prefix_store_free(p);
    }
    snprintf(path[3], sizeof *path, "%s/a", folder);
    snprintf(path[4], sizeof *path, "%s/a/b", folder);
    assert_ok(ts_prefix_store_new(&p, fx.e, &(ts_prefix_opts){.dir = path[4]}, &err));
    ts_prefix_store_free(p);
    for (int i = 3; i < 5; i++) {
        assert_int_equal(stat(path[i], &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
    }
    assert_int_equal(rmdir(path[4]), 0);
    assert_int_equal(warnings.n, 4);
}

/* ---- killed ------------------------------------------------------------------------------------------------------ */

enum { VARIANTS = 6, ROUNDS = 20 };

/* Of a timeline that the parent has computed for its children. */
static char *saved(char buf[64], const char *dir, unsigned v) {
    snprintf(buf, 64, "%s.%u", dir, v);
    return buf;
}

/* The child: writes until it is killed. What it has does not fit below its cap, so that it is always writing and
 * removing. */
static int write_for_ever(const char *dir, const char *seed) {
    char path[64];
    ts_err err;
    ts_rng rng = ts_rng_seed((uint64_t)atoi(seed));
    void *file;
    ts_prefix_store *p;
    ts_session *s[VARIANTS], *part;
    ts_engine *e = open_zoo("gqa3-hd40", &file);
    const uint64_t page = ts_kv_bytes(&e->model->c, 1, TS_KV_F16);
    const ts_prefix_opts o = {.memory_bytes = 1, .dir = dir, .disk_bytes = 20 * page};
    ts_log_sink(on_log, NULL, TS_LOG_WARN);
    for (unsigned v = 0; v < VARIANTS; v++) {
        s[v] = session_of(e, TS_KV_F16);
        assert_ok(ts_session_restore(s[v], saved(path, dir, v), &err));
    }
    if (ts_prefix_store_new(&p, e, &o, &err) != TS_OK || write(1, "r", 1) != 1) return 1;
    for (;;) {
        assert_ok(ts_session_fork(&part, s[ts_rng_below(&rng, VARIANTS)], &err));
        assert_ok(ts_session_truncate(part, 256 + ts_rng_below(&rng, N - 256), &err));
        assert_ok(ts_prefix_give(p, part, &err));
        ts_session_free(part);
        ts_prefix_writer_settle(p);
    }
}

struct child {
    pid_t pid;
    int fd; /* of its standard output */
};

/* Begun, and its store is open. */
static struct child begin_child(unsigned seed) {
    int fd[2];
    char text[16], ready;
    snprintf(text, sizeof text, "%u", seed);
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fd[1], 1);
        execl("/proc/self/exe", "test_prefix_disk", "--write", folder, text, (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    assert_int_equal(read(fd[0], &ready, 1), 1);
    return (struct child){pid, fd[0]};
}

static void kill_child(struct child c) {
    int status;
    kill(c.pid, SIGKILL);
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it had not ended by itself */
    close(c.fd);
}

/* Every file under its own name is whole. */
static int whole_files(const ts_kv *like) {
    char *page;
    ts_err err;
    int n = 0;
    assert_ok(ts_kv_page_new(like, &page, &err));
    look();
    for (int i = 0; i < ls.n; i++) {
        ts_prefix_file f;
        uint32_t same;
        if (!strcmp(ls.name[i] + strlen(ls.name[i]) - 4, ".tmp")) continue;
        n++;
        assert_ok(ts_prefix_file_open(&f, ls.name[i], &err));
        assert_true(f.known);
        assert_ok(ts_prefix_file_compare(&f, &(ts_prefix_path){0}, &same, &err)); /* the tokens' checksum */
        for (uint32_t k = 0; k < f.h.n; k++) assert_ok(ts_prefix_file_page(&f, k, like, page, &err));
        ts_prefix_file_close(&f);
    }
    ts_kv_page_drop(like, page);
    return n;
}

static void test_kill(void **state) {
    (void)state;
    ts_token t[N];
    ts_rng rng = ts_rng_seed(5);
    char path[64];
    ts_err err;
    for (unsigned v = 0; v < VARIANTS; v++)
        assert_ok(ts_session_save(alone_with(fx.e, TS_KV_F16, variant(t, v), N), saved(path, folder, v), &err));
    int files = 0, unfinished = 0;
    size_t tokens = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct child a = begin_child(2 * round), b = begin_child(2 * round + 1);
        usleep((useconds_t)ts_rng_below(&rng, 20000));
        kill_child(a);
        usleep((useconds_t)ts_rng_below(&rng, 10000));
        kill_child(b);
        ts_prefix_store *p = store_of(fx.e, 0, 1ull << 40); /* nothing is removed for the cap */
        const int n = whole_files(&p->like[TS_KV_F16]);
        assert_int_equal(stats(p).disk_files, n);
        assert_int_equal(stats(p).damaged, 0);
        files += n;
        unfinished += ls.n - n;
        tokens += found(p, TS_KV_F16, variant(t, round % VARIANTS), N);
        ts_prefix_store_free(p);
        for (int i = 0; i < ls.n; i++)
            if (!strcmp(ls.name[i] + strlen(ls.name[i]) - 4, ".tmp")) set_age(ls.name[i], 100);
    }
    for (unsigned v = 0; v < VARIANTS; v++) unlink(saved(path, folder, v));
    ts_prefix_store_free(store_of(fx.e, 0, 0));
    look();
    for (int i = 0; i < ls.n; i++) assert_null(strstr(ls.name[i], ".tmp"));
    assert_true(files > 0 && tokens > 0);
    print_message("%d files looked at, %d found unfinished, %zu tokens found\n", files, unfinished, tokens);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static bool take_it(void *ud) {
    ts_session *s = ud;
    ts_prefix_store *p;
    size_t n = 0;
    if (ts_prefix_store_new(&p, fx.e, &(ts_prefix_opts){.dir = folder}, NULL) != TS_OK) return false;
    const bool ok = ts_prefix_take(p, s, prompt, N, &n, NULL) == TS_OK;
    assert_int_equal(s->n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(s->token[i], prompt[i]);
    assert_int_equal(ts_session_truncate(s, 0, NULL), TS_OK);
    ts_prefix_store_free(p);
    return ok;
}

static bool write_it(void *ud) {
    ts_prefix_store *p;
    (void)clean(NULL);
    if (ts_prefix_store_new(&p, fx.e, &(ts_prefix_opts){.dir = folder}, NULL) != TS_OK) return false;
    const bool ok = ts_prefix_give(p, ud, NULL) == TS_OK;
    ts_prefix_writer_settle(p);
    assert_int_equal(p->tree.queue_bytes, 0);
    ts_prefix_store_free(p);
    look();
    assert_true(ls.n <= 1); /* and nothing unfinished */
    return ok;
}

/* The writer, too, runs out of memory. */
static void test_alloc_write(void **state) {
    (void)state;
    ts_session *s = session(TS_KV_F16);
    sync_to(s, prompt, 300);
    alloc_fail_loop(write_it, s, true); /* what is given may be in memory only then */
    assert_int_equal(write_it(s), true);
    assert_int_equal(found_again(TS_KV_F16, prompt, 300), 256);
    ts_session_free(s);
}

static void test_alloc(void **state) {
    (void)state;
    ts_prefix_store *p = store();
    give_new(p, TS_KV_F16, prompt, 300);
    ts_prefix_writer_settle(p);
    give_new(p, TS_KV_F16, prompt, 449);
    ts_prefix_store_free(p);
    ts_session *s = session(TS_KV_F16);
    alloc_fail_loop(take_it, s, true); /* with less memory less is found */
    assert_int_equal(take_it(s), true);
    assert_int_equal(found_again(TS_KV_F16, prompt, N), 448); /* no file has suffered */
    ts_session_free(s);
    assert_int_equal(warnings.n, 0);
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "--write")) return write_for_ever(argv[2], argv[3]);
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, clean)
    const struct CMUnitTest tests[] = {
        TEST(test_restart), TEST(test_models),     TEST(test_runs), TEST(test_cap),  TEST(test_used), TEST(test_damage),
        TEST(test_foreign), TEST(test_unfinished), TEST(test_two),  TEST(test_full), TEST(test_folder),
        TEST(test_kill),    TEST(test_collision),  TEST(test_alloc),
        TEST(test_alloc_write), TEST(test_used_by_other),
    };
    return cmocka_run_group_tests_name("prefix_disk", tests, setup, teardown);
}
