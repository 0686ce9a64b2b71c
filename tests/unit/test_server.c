/* The server from within: clients on many threads, each of whom gets the text that it gets alone; such that leave, or
 * do not read; a full queue; a folder of models that changes; an orderly end. Plain sockets, so that what is sent is
 * seen. (Without the failing allocator of other tests, which one thread uses at a time.) */
#include "support/test.h"

#include "base/clock.h"
#include "base/json_tree.h"
#include "server/guard.h"
#include "server/server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 6, ROUNDS = 3, ANSWER = 24 };

static ts_err err;
static char model_path[512];

static void hangs(int signal) {
    (void)signal;
    static const char text[] = "FAILED: somebody waits for ever\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(1);
}

static ts_server *start(uint32_t parallel, uint32_t queue) {
    const ts_server_model model = {.path = model_path, .name = "tiny"};
    ts_server *s;
    assert_ok(ts_server_new(&s, &(ts_server_opts){.model = &model, .n_model = 1, .n_parallel = parallel,
                                                  .n_queue = queue, .n_ctx = 512, .engine = {.n_threads = 2},
                                                  .drain_s = 20}, &err));
    return s;
}

static void *wait_for(void *ud) {
    ts_server_wait(ud);
    return NULL;
}

/* ---- a client ---------------------------------------------------------------------------------------------------- */

static int dial(const ts_server *s) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(ts_server_port(s)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 60};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void ask(const ts_server *s, int fd, const char *path, const char *body) {
    char text[4096];
    const int n = snprintf(text, sizeof text,
                           "POST %s HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\n"
                           "Connection: close\r\nContent-Length: %zu\r\n\r\n%s", path, ts_server_port(s), strlen(body),
                           body);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* All until the other side closes, NUL-terminated; free with ts_buf_free. */
static ts_buf read_all(int fd) {
    ts_buf b = {0};
    char part[4096];
    for (ssize_t n; (n = recv(fd, part, sizeof part, 0)) > 0;) assert_true(ts_buf_append(&b, part, (size_t)n));
    assert_true(ts_buf_reserve(&b, 1));
    if (b.data) b.data[b.len] = 0;
    close(fd);
    return b;
}

static int status_of(const ts_buf *b) {
    int status = 0;
    if (b->len) sscanf(b->data, "HTTP/1.1 %d", &status);
    return status;
}

/* The answer's text of a whole or a streamed answer (in chunks), appended to out. */
static void text_of(const ts_buf *b, ts_buf *out) {
    static const char mark[] = "\"content\":\"";
    for (const char *p = b->data; (p = strstr(p, mark));) {
        p += sizeof mark - 1;
        for (; *p && *p != '"'; p++) {
            assert_true(ts_buf_putc(out, *p));
            if (*p == '\\' && p[1]) assert_true(ts_buf_putc(out, *++p));
        }
    }
    assert_true(ts_buf_reserve(out, 1));
    if (out->data) out->data[out->len] = 0;
}

static const char *const question[CLIENTS] = {
    "Hello", "Who are you?", "What is an NPU?", "Tell me a story about a cat.", "Tell me a story about a dog.",
    "What is 7 + 5?"};

static void body_of(char *to, size_t cap, int i, bool stream, int tokens) {
    snprintf(to, cap,
             "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"max_tokens\":%d,"
             "\"temperature\":%s,\"seed\":%d,\"ignore_eos\":true,\"stream\":%s}",
             question[i], tokens, i % 2 ? "0.9" : "0", i, stream ? "true" : "false");
}

static ts_buf answer_to(const ts_server *s, int i, bool stream) {
    char body[512];
    ts_buf text = {0};
    body_of(body, sizeof body, i, stream, ANSWER);
    const int fd = dial(s);
    ask(s, fd, "/v1/chat/completions", body);
    ts_buf all = read_all(fd);
    if (status_of(&all) != 200) fail_msg("%s", all.data ? all.data : "nothing");
    text_of(&all, &text);
    ts_buf_free(&all);
    return text;
}

/* ---- everybody gets the own text --------------------------------------------------------------------------------- */

static char *alone[CLIENTS];
static atomic_int wrong;

struct client {
    const ts_server *s;
    int i;
};

static void *talk(void *ud) {
    const struct client *c = ud;
    for (int round = 0; round < ROUNDS; round++) {
        ts_buf text = answer_to(c->s, c->i, round % 2);
        if (!text.data || strcmp(text.data, alone[c->i])) atomic_fetch_add(&wrong, 1);
        ts_buf_free(&text);
        if (round == 0) { /* and one that leaves in the middle */
            char body[512], part[600];
            body_of(body, sizeof body, c->i, true, 400);
            const int fd = dial(c->s);
            ask(c->s, fd, "/v1/chat/completions", body);
            (void)!recv(fd, part, sizeof part, 0);
            close(fd);
        }
    }
    return NULL;
}

static void test_same_texts(void **state) {
    (void)state;
    ts_server *s = start(4, 64);
    pthread_t thread[CLIENTS];
    struct client c[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        ts_buf text = answer_to(s, i, false);
        assert_true(text.len > 0);
        alone[i] = text.data;
    }
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){s, i};
        assert_int_equal(pthread_create(&thread[i], NULL, talk, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    for (int i = 0; i < CLIENTS; i++) ts_free(alone[i]);
    ts_server_stop(s);
    ts_server_wait(s);
    ts_server_free(s);
}

/* ---- a full queue ------------------------------------------------------------------------------------------------ */

static void test_full_queue(void **state) {
    (void)state;
    ts_server *s = start(1, 2);
    enum { MANY = 12 };
    int fd[MANY], ok = 0, later = 0;
    char body[512];
    body_of(body, sizeof body, 0, false, 300);
    for (int i = 0; i < MANY; i++) ask(s, fd[i] = dial(s), "/v1/chat/completions", body);
    for (int i = 0; i < MANY; i++) {
        ts_buf all = read_all(fd[i]);
        const int status = status_of(&all);
        ok += status == 200;
        if (status == 429) {
            later++;
            assert_non_null(strstr(all.data, "Retry-After: "));
            assert_non_null(strstr(all.data, "rate_limit_error"));
        }
        ts_buf_free(&all);
    }
    assert_int_equal(ok + later, MANY);
    if (ok < 2 || later < 1) fail_msg("%d answered, %d told to come again", ok, later);
    ts_server_free(s);
}

/* ---- who does not read is waited for, nobody else ---------------------------------------------------------------- */

static void test_slow_reader(void **state) {
    (void)state;
    ts_server *s = start(2, 8);
    char body[512];
    body_of(body, sizeof body, 0, true, 400);
    const int fd = dial(s), small = 2048;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ask(s, fd, "/v1/chat/completions", body);
    for (int i = 0; i < 3; i++) {
        ts_buf text = answer_to(s, 3, true);
        assert_true(text.len > 0);
        ts_buf_free(&text);
    }
    ts_buf all = read_all(fd), text = {0};
    assert_non_null(strstr(all.data, "data: [DONE]"));
    text_of(&all, &text);
    assert_true(text.len > 400);
    ts_buf_free(&text);
    ts_buf_free(&all);
    ts_server_free(s);
}

/* ---- files that change while they are asked for ------------------------------------------------------------------ */

enum { CHANGES = 60 };
static char folder[] = "/tmp/ts-server-XXXXXX", other_path[512];
static char *says[2];
static atomic_int answers, refusals;
static atomic_bool over;

static char *in_folder(char *to, const char *name) {
    snprintf(to, 64, "%s/%s", folder, name);
    return to;
}

/* Another file under this name, by renaming: there is always one. */
static void replace(const char *name, bool other) {
    char to[64], from[64];
    assert_int_equal(symlink(other ? other_path : model_path, in_folder(from, ".new")), 0);
    assert_int_equal(rename(from, in_folder(to, name)), 0);
}

static ts_buf ask_folder(const ts_server *s, const char *name) {
    char body[256];
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story about a cat.\"}],"
             "\"max_tokens\":%d,\"temperature\":0,\"ignore_eos\":true}", name, ANSWER);
    const int fd = dial(s);
    ask(s, fd, "/v1/chat/completions", body);
    return read_all(fd);
}

static void *ask_on(void *ud) {
    static const char *const name[] = {"a", "b", "c", "a", "none"};
    const struct client *c = ud;
    for (int i = c->i; !atomic_load(&over); i++) {
        ts_buf all = ask_folder(c->s, name[i % 5]), text = {0};
        const int status = status_of(&all);
        if (status == 200) text_of(&all, &text);
        const bool right = status == 200 && text.data && (!strcmp(text.data, says[0]) || !strcmp(text.data, says[1])),
                   none = (status == 404 && i % 5 != 0 && i % 5 != 3) || status == 503; /* a is always there */
        if (!right && !none) fprintf(stderr, "%s: %s\n", name[i % 5], all.data ? all.data : "nothing");
        atomic_fetch_add(right ? &answers : none ? &refusals : &wrong, 1);
        ts_buf_free(&all), ts_buf_free(&text);
    }
    return NULL;
}

static void *list_on(void *ud) {
    static const char *const path[] = {"/v1/models", "/api/tags", "/slots", "/v1/models/b", "/api/ps"};
    const struct client *c = ud;
    for (int i = 0; !atomic_load(&over); i++) {
        char text[128];
        const int fd = dial(c->s), n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n"
                                                "Connection: close\r\n\r\n", path[i % 5], ts_server_port(c->s));
        assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
        ts_buf all = read_all(fd);
        const int status = status_of(&all);
        if (status != 200 && !(status == 404 && i % 5 == 3)) atomic_fetch_add(&wrong, 1);
        ts_buf_free(&all);
    }
    return NULL;
}

static void test_changing_folder(void **state) {
    (void)state;
    ts_server *s;
    char path[64];
    const struct timespec tick = {.tv_nsec = 15 * 1000 * 1000};
    assert_non_null(mkdtemp(folder));
    replace("a.gguf", false), replace("b.gguf", true);
    assert_ok(ts_server_new(&s, &(ts_server_opts){.models_dir = folder, .max_loaded = 2, .n_parallel = 4, .n_ctx = 256,
                                                  .engine = {.n_threads = 1}, .drain_s = 20}, &err));
    for (int i = 0; i < 2; i++) {
        ts_buf all = ask_folder(s, i ? "b" : "a"), text = {0};
        assert_int_equal(status_of(&all), 200);
        text_of(&all, &text);
        ts_buf_free(&all);
        says[i] = text.data;
    }
    assert_string_not_equal(says[0], says[1]);
    pthread_t thread[5];
    struct client c[5];
    atomic_store(&wrong, 0);
    for (int i = 0; i < 5; i++) {
        c[i] = (struct client){s, i};
        assert_int_equal(pthread_create(&thread[i], NULL, i < 4 ? ask_on : list_on, &c[i]), 0);
    }
    pthread_t waiter; /* who tidies up */
    assert_int_equal(pthread_create(&waiter, NULL, wait_for, s), 0);
    for (int i = 0; i < CHANGES; i++) {
        nanosleep(&tick, NULL);
        replace("a.gguf", i % 2);
        if (i % 3 == 0) replace("b.gguf", i % 2);
        else if (i % 3 == 1) (void)unlink(in_folder(path, "b.gguf"));
        if (i % 4 == 2) replace("c.gguf", true);
        else (void)unlink(in_folder(path, "c.gguf"));
    }
    atomic_store(&over, true);
    for (int i = 0; i < 5; i++) pthread_join(thread[i], NULL);
    ts_server_stop(s);
    pthread_join(waiter, NULL);
    ts_server_free(s);
    if (atomic_load(&wrong) || !atomic_load(&answers) || !atomic_load(&refusals))
        fail_msg("%d wrong, %d answers, %d refusals", atomic_load(&wrong), atomic_load(&answers),
                 atomic_load(&refusals));
    for (int i = 0; i < 2; i++) ts_free(says[i]);
    for (int i = 0; i < 3; i++) (void)unlink(in_folder(path, i == 0 ? "a.gguf" : i == 1 ? "b.gguf" : "c.gguf"));
    assert_int_equal(rmdir(folder), 0);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void test_drain(void **state) {
    (void)state;
    ts_server *s = start(2, 8);
    pthread_t waiter;
    char body[512];
    body_of(body, sizeof body, 2, false, 300);
    const int fd = dial(s);
    ask(s, fd, "/v1/chat/completions", body);
    char part[1];
    struct timespec tick = {.tv_nsec = 30 * 1000 * 1000};
    nanosleep(&tick, NULL);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for, s), 0);
    ts_server_stop(s);
    assert_int_equal(recv(fd, part, 1, MSG_PEEK), 1); /* what was begun is finished */
    ts_buf all = read_all(fd);
    assert_int_equal(status_of(&all), 200);
    ts_buf_free(&all);
    pthread_join(waiter, NULL);
    ts_server_free(s);
}

static void test_refused_options(void **state) {
    (void)state;
    const ts_server_model model = {.path = model_path}, twice[] = {{.path = model_path}, {.path = model_path}};
    ts_server *s = NULL;
    assert_status(ts_server_new(&s, &(ts_server_opts){.model = &model, .n_model = 1, .host = "0.0.0.0"}, &err),
                  TS_E_INVAL);
    assert_non_null(strstr(err.msg, "--key-file"));
    assert_status(ts_server_new(&s, &(ts_server_opts){0}, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "there is no model"));
    assert_status(ts_server_new(&s, &(ts_server_opts){.model = twice, .n_model = 2}, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "two models are called"));
    assert_status(ts_server_new(&s, &(ts_server_opts){.models_dir = "/no/such/folder"}, &err), TS_E_IO);
    static const char *const key[] = {"long-enough", "short"}, *const name[] = {"box:80"}, *const origin[] = {"*"};
    assert_status(ts_server_new(&s, &(ts_server_opts){.model = &model, .n_model = 1, .key = key, .n_key = 2}, &err),
                  TS_E_INVAL);
    assert_string_equal(err.msg, "key 2 has fewer than 8 characters");
    /* said before a model is loaded, which may take a while */
    const ts_server_model none = {.path = "/no/such/file"};
    assert_status(ts_server_new(&s, &(ts_server_opts){.model = &none, .n_model = 1, .allow_host = name,
                                                      .n_allow_host = 1}, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "--allow-host box:80"));
    assert_status(ts_server_new(&s, &(ts_server_opts){.model = &none, .n_model = 1, .allow_origin = origin,
                                                      .n_allow_origin = 1}, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "--allow-origin *"));
    assert_null(s);
}

static void test_names(void **state) {
    (void)state;
    static const char *const name[] = {"box.example", "fd00::5"};
    static const char *const ours[] = {"localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080",
                                       "box.example", "Box.Example:443", "[fd00::5]", "[fd00::5]:1"};
    static const char *const foreign[] = {
        "", ":", ":8080", "localhost", "localhost:", "localhost:80801", "localhost:8080x", "localhost:+8080",
        "localhost:8080:8080", "a@localhost:8080", "[::1", "[::1]x", "[]:8080", "::1:8080", "box.example.",
        "xbox.example", "127.0.0.2:8080"};
    static const char *const path[][2] = {{"/a", "/a"}, {"http://x/a/b", "/a/b"}, {"HTTP://x", "/"}, {"http://", "/"},
                                          {"http:///a", "/a"}, {"http:/a", "http:/a"}, {"*", "*"}, {"", ""}};
    const ts_server_opts o = {.host = "127.0.0.1", .allow_host = name, .n_allow_host = 2};
    srv_guard *g;
    assert_ok(srv_guard_check(&o, &err));
    assert_ok(srv_guard_new(&g, &o, 8080, &err));
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!srv_guard_host_is_ours(g, ours[i])) fail_msg("%s is foreign", ours[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (srv_guard_host_is_ours(g, foreign[i])) fail_msg("%s is ours", foreign[i]);
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        assert_string_equal(srv_guard_path(path[i][0]), path[i][1]);
    srv_guard_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_texts), cmocka_unit_test(test_full_queue),
                                       cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_drain),
                                       cmocka_unit_test(test_changing_folder),
                                       cmocka_unit_test(test_refused_options), cmocka_unit_test(test_names)};
    const char *source = getenv("TESSERA_SOURCE");
    char *here = realpath(source ? source : ".", NULL);
    if (!here) return 1;
    snprintf(model_path, sizeof model_path, "%s/models/tessera-tiny-q4_0.gguf", here);
    snprintf(other_path, sizeof other_path, "%s/models/tessera-tiny-q8_0.gguf", here);
    free(here);
    signal(SIGALRM, hangs);
    signal(SIGPIPE, SIG_IGN);
    alarm(110);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
