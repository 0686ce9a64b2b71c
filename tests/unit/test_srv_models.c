/* The list of a server's models, and files of a folder that come, go and change under it. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "server/folder.h"
#include "server/models.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static ts_err err;
static char root[] = "/tmp/ts-models-XXXXXX", small[512], large[512];

/* ---- files ------------------------------------------------------------------------------------------------------- */

static const char *in(const char *name) {
    static char path[4][600];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof *path, "%s/%s", root, name);
    return path[at];
}

static void write_file(const char *name, const char *data, size_t len) {
    FILE *f = fopen(in(name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void link_to(const char *name, const char *target) {
    assert_int_equal(symlink(target, in(name)), 0);
}

static void empty_folder(void) {
    static const char *const name[] = {"a.gguf", "b.gguf", "c.gguf", "B.gguf", "x.GGUF", "f.gguf", "d.gguf", "dir.gguf",
                                       "x-00001-of-00003.gguf", "x-00002-of-00003.gguf", "x-00003-of-00003.gguf",
                                       "y-00002-of-00002.gguf", ".hidden.gguf", "notes.txt", ".gguf"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (unlink(in(name[i])) != 0) (void)rmdir(in(name[i]));
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static srv_models *open_list(ts_server_opts *o) {
    srv_models *l = NULL;
    o->models_dir = root;
    o->max_loaded = o->max_loaded ? o->max_loaded : 1;
    o->n_ctx = 64;
    o->engine.n_threads = 1;
    assert_ok(srv_models_new(&l, o, &err));
    return l;
}

static bool add_name(void *ud, const srv_model *m) {
    return ts_buf_printf(ud, "%s%s:%llu", ((ts_buf *)ud)->len ? " " : "", m->name, (unsigned long long)m->file_bytes);
}

#define assert_list(l, ...)                                                                                            \
    do {                                                                                                               \
        ts_buf got = {0}, want = {0};                                                                                  \
        assert_true(srv_models_each(l, add_name, &got) && ts_buf_printf(&want, __VA_ARGS__));                          \
        assert_string_equal(got.data ? got.data : "", want.data ? want.data : "");                                     \
        ts_buf_free(&got), ts_buf_free(&want);                                                                         \
    } while (0)

static bool count(void *ud, const srv_model *m) {
    ++*(int *)ud;
    return m->name != NULL;
}

static int n_loaded(srv_models *l) {
    int n = 0;
    srv_models_loaded(l, count, &n);
    return n;
}

static void assert_refused(srv_models *l, const char *name, int status, const char *words) {
    srv_error e = {0};
    assert_null(srv_models_get(l, name, &e));
    assert_int_equal(e.status, status);
    if (!strstr(e.message, words)) fail_msg("%s", e.message);
    assert_null(strstr(e.message, root));
}

/* Bytes of the file that a request for this name gets. */
static uint64_t use(srv_models *l, const char *name) {
    srv_error e = {0};
    srv_model *m = srv_models_get(l, name, &e);
    if (!m) fail_msg("%s: %s", name ? name : "(none)", e.message);
    assert_int_equal(e.status, 0);
    const uint64_t size = m->file_bytes;
    srv_model_drop(l, m);
    return size;
}

static uint64_t size_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* Which files count, in which order, how large, and when two looks are of the same file. */
static void test_folder(void **state) {
    (void)state;
    srv_folder f = {0}, again = {0};
    empty_folder();
    write_file("b.gguf", "bb", 2);
    write_file("x.GGUF", "x", 1);
    write_file("notes.txt", "n", 1);
    write_file(".hidden.gguf", "h", 1);
    write_file(".gguf", "h", 1);
    write_file("x-00001-of-00003.gguf", "1", 1);
    write_file("x-00003-of-00003.gguf", "333", 3);
    write_file("x-00002-of-00003.gguf", "22", 2);
    write_file("y-00002-of-00002.gguf", "22", 2); /* its first part is missing: there is nothing to open */
    link_to("a.gguf", small);
    link_to("c.gguf", "nowhere");
    assert_int_equal(mkdir(in("dir.gguf"), 0700), 0);
    assert_int_equal(mkfifo(in("f.gguf"), 0600), 0);
    link_to("d.gguf", "dir.gguf");
    assert_ok(srv_folder_read(&f, root, &err));
    static const char *const want[] = {"a.gguf", "b.gguf", "x-00001-of-00003.gguf", "x.GGUF"};
    assert_int_equal(f.n, 4);
    for (size_t i = 0; i < f.n; i++) assert_string_equal(f.file[i].name, want[i]);
    assert_int_equal(f.file[0].bytes, size_of(small));
    assert_int_equal(f.file[1].bytes, 2);
    assert_int_equal(f.file[2].bytes, 6);
    assert_ptr_equal(srv_folder_find(&f, "b.gguf"), &f.file[1]);
    assert_null(srv_folder_find(&f, "b"));
    assert_ok(srv_folder_read(&again, root, &err));
    for (size_t i = 0; i < f.n; i++) assert_int_equal(again.file[i].stamp, f.file[i].stamp);
    srv_folder_free(&again);
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, in("b.gguf"), t, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, in("x-00003-of-00003.gguf"), t, 0), 0);
    assert_ok(srv_folder_read(&again, root, &err));
    for (size_t i = 0; i < f.n; i++)
        assert_int_equal(again.file[i].stamp == f.file[i].stamp, i == 0 || i == 3);
    assert_int_equal(again.file[1].modified_ns, 1000000000ll * 1000000000 + 1);
    t[1].tv_nsec = 2; /* times are compared to the nanosecond */
    const uint64_t before = again.file[1].stamp;
    srv_folder_free(&again);
    assert_int_equal(utimensat(AT_FDCWD, in("b.gguf"), t, 0), 0);
    assert_ok(srv_folder_read(&again, root, &err));
    assert_true(again.file[1].stamp != before);
    srv_folder_free(&again);
    srv_folder_free(&f);
    assert_status(srv_folder_read(&f, in("b.gguf"), &err), TS_E_IO);
    assert_status(srv_folder_read(&f, in("none"), &err), TS_E_IO);
    assert_null(f.file);
    empty_folder();
}

static void test_come_and_go(void **state) {
    (void)state;
    ts_server_opts o = {.max_loaded = 2};
    srv_error e = {0};
    const unsigned long long s = size_of(small), g = size_of(large);
    link_to("b.gguf", small);
    link_to("c.gguf", large);
    srv_models *l = open_list(&o);
    assert_list(l, "b:%llu c:%llu", s, g);
    assert_int_equal(use(l, NULL), s);
    link_to("a.gguf", large);
    assert_int_equal(use(l, NULL), g); /* by name, the first one now */
    srv_model *a = srv_models_get(l, "a", &e), *b = srv_models_get(l, "b:latest", &e);
    assert_true(a && b && a->serial != b->serial);
    assert_list(l, "a:%llu b:%llu c:%llu", g, s, g);
    assert_int_equal(unlink(in("a.gguf")), 0);
    assert_list(l, "b:%llu c:%llu", s, g);
    assert_refused(l, "a", 404, "no model a");
    assert_true(a->engine && a->gone && !b->gone); /* who has it goes on with it */
    link_to("a.gguf", small);
    assert_list(l, "a:%llu b:%llu c:%llu", s, s, g);
    assert_int_equal(n_loaded(l), 2);
    srv_model_drop(l, b);
    srv_model *a2 = srv_models_get(l, "a", &e); /* b has to leave for it: the old a still has its place */
    assert_true(a2 && a2 != a && a2->serial != a->serial);
    assert_int_equal(n_loaded(l), 2);
    srv_model_drop(l, a);
    srv_models_tidy(l);
    assert_int_equal(n_loaded(l), 1);
    srv_model_drop(l, a2);
    empty_folder();
    assert_list(l, "%s", "");
    assert_refused(l, NULL, 404, "no model here");
    srv_models_tidy(l);
    assert_int_equal(n_loaded(l), 0);
    link_to("c.gguf", large);
    assert_int_equal(use(l, "c"), g);
    srv_models_free(l);
    empty_folder();
}

static void test_names(void **state) {
    (void)state;
    ts_server_opts o = {0};
    srv_models *l = NULL;
    const unsigned long long s = size_of(small), g = size_of(large);
    const ts_server_model given[] = {{.path = in("b.gguf"), .name = "z"}, {.path = large, .name = "c"}};
    link_to("b.gguf", small);
    link_to("a.gguf", large);
    o.model = given, o.n_model = 2;
    l = open_list(&o);
    assert_list(l, "z:%llu c:%llu a:%llu", s, g, g); /* given ones first, as they were given; b is z */
    assert_int_equal(use(l, NULL), s);
    link_to("B.gguf", large); /* no namesake of one in the list */
    link_to("c.gguf", small); /* a namesake of one that was given: it does not come in */
    assert_list(l, "z:%llu c:%llu B:%llu a:%llu", s, g, g, g);
    assert_int_equal(unlink(in("b.gguf")), 0); /* what was given stays */
    assert_int_equal(use(l, "z"), s);
    assert_true(!srv_models_let_go(l, "z") && !srv_models_let_go(l, "none") && srv_models_let_go(l, "a"));
    srv_models_free(l);
    o = (ts_server_opts){.models_dir = root};
    link_to("b.gguf", small);
    assert_status(srv_models_new(&l, &o, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "two models are called B"));
    empty_folder();
    assert_status(srv_models_new(&l, &o, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "there is no model"));
}

/* A file that cannot be loaded is the server's fault, told without its folder, and mended by a better one. */
static void test_broken(void **state) {
    (void)state;
    ts_server_opts o = {0};
    static const char zeros[104] = "GGUF";
    write_file("a.gguf", zeros, sizeof zeros);
    write_file("b.gguf", "", 0);
    write_file("x-00001-of-00003.gguf", "nothing", 7);
    srv_models *l = open_list(&o);
    assert_refused(l, "a", 500, "the model a cannot be loaded: a.gguf: ");
    assert_refused(l, "b", 500, "the model b cannot be loaded: b.gguf: ");
    assert_refused(l, "x-00001-of-00003", 500, "cannot be loaded: x-00001-of-00003.gguf: ");
    assert_int_equal(n_loaded(l), 0);
    assert_int_equal(unlink(in("a.gguf")), 0);
    link_to("a.gguf", small);
    assert_int_equal(use(l, "a"), size_of(small));
    srv_models_free(l);
    const ts_server_model given = {.path = in("b.gguf")};
    o = (ts_server_opts){.model = &given, .n_model = 1};
    assert_int_not_equal(srv_models_new(&l, &o, &err), TS_OK);
    assert_non_null(strstr(err.msg, root)); /* who starts the server wants to know where it is */
    const srv_model m = {.path = "/a b/x-00001-of-00003.gguf"};
    char text[] = "/a b/x-00002-of-00003.gguf: like /a b/x-00001-of-00003.gguf, not /a b/y";
    srv_model_hide_folder(&m, text);
    assert_string_equal(text, "x-00002-of-00003.gguf: like x-00001-of-00003.gguf, not /a b/y");
    empty_folder();
}

/* After keep_alive 0 a model that is loaded again stays as long as any other. */
static void test_let_go(void **state) {
    (void)state;
    ts_server_opts o = {.idle_unload_s = 100};
    link_to("a.gguf", small);
    srv_models *l = open_list(&o);
    (void)use(l, "a");
    srv_models_tidy(l);
    assert_int_equal(n_loaded(l), 1);
    assert_true(srv_models_let_go(l, "a"));
    srv_models_tidy(l);
    assert_int_equal(n_loaded(l), 0);
    (void)use(l, "a");
    srv_models_tidy(l);
    assert_int_equal(n_loaded(l), 1);
    srv_models_free(l);
    empty_folder();
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static bool look_at_folder(void *ud) {
    ts_server_opts o = {.models_dir = root, .max_loaded = 1};
    srv_models *l = NULL;
    int n = 0;
    (void)ud;
    const ts_status s = srv_models_new(&l, &o, &err);
    if (s != TS_OK) {
        assert_int_equal(s, TS_E_NOMEM);
        return false;
    }
    assert_int_equal(unlink(in("b.gguf")), 0);
    link_to("c.gguf", small);
    link_to("d.gguf", small);
    assert_true(srv_models_each(l, count, &n));
    assert_in_range(n, 1, 3); /* a is there in any case; what could not be added comes with the next look */
    n = 0;
    assert_true(srv_models_each(l, count, &n));
    assert_int_equal(n, 3);
    srv_models_free(l);
    assert_int_equal(unlink(in("c.gguf")) | unlink(in("d.gguf")), 0);
    link_to("b.gguf", small);
    return true;
}

static void test_memory(void **state) {
    (void)state;
    link_to("a.gguf", small);
    link_to("b.gguf", small);
    alloc_fail_loop(look_at_folder, NULL, true);
    empty_folder();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folder),  cmocka_unit_test(test_come_and_go),
                                       cmocka_unit_test(test_names),   cmocka_unit_test(test_broken),
                                       cmocka_unit_test(test_let_go),  cmocka_unit_test(test_memory)};
    const char *source = getenv("TESSERA_SOURCE");
    char *here = realpath(source ? source : ".", NULL);
    if (!here || !mkdtemp(root)) return 1;
    snprintf(small, sizeof small, "%s/models/tessera-tiny-q4_0.gguf", here);
    snprintf(large, sizeof large, "%s/models/tessera-tiny-q8_0.gguf", here);
    free(here);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(root);
    return failed;
}
