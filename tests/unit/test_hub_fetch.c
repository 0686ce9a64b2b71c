/* A file from a server of a few lines, in a process of its own: with every allocation failing once. What breaks in
 * between is tests/hub's matter. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "hub/hub.h"
#include "hub/hub_api.h"
#include "hub/hub_fetch.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char commit[] = "1111111111111111111111111111111111111111";
static const char text[] = "GGUF and a few bytes more";
static char folder[64], endpoint[64], cache[80], state[80], sum[65];
static const char sixty_four[] = "0000000000000000000000000000000000000000000000000000000000000000";
static pid_t server;

/* ---- the server -------------------------------------------------------------------------------------------------- */

static void say(int fd, const char *status, const char *headers, const char *body) {
    char out[2000];
    const int n = snprintf(out, sizeof out, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                           status, headers, strlen(body), body);
    if (write(fd, out, (size_t)n) != n) _exit(1);
}

static void serve_one(int fd) {
    char in[4000], out[1000];
    size_t n = 0;
    while (n < sizeof in - 1 && (n < 4 || memcmp(in + n - 4, "\r\n\r\n", 4) != 0)) {
        const ssize_t k = read(fd, in + n, 1);
        if (k <= 0) return;
        n += (size_t)k;
    }
    in[n] = 0;
    const char *range = strstr(in, "Range: bytes=");
    if (!strncmp(in, "GET /api/models/a/b/revision/main ", 34)) {
        snprintf(out, sizeof out, "{\"id\":\"a/b\",\"sha\":\"%s\"}", commit);
        say(fd, "200 OK", "", out);
    } else if (!strncmp(in, "GET /api/models/a/b/tree/", 25)) {
        snprintf(out, sizeof out,
                 "[{\"type\":\"file\",\"path\":\"x "
                 "y.gguf\",\"size\":%zu,\"oid\":\"\",\"lfs\":{\"oid\":\"%s\",\"size\":%zu}}]",
                 sizeof text - 1, sum, sizeof text - 1);
        say(fd, "200 OK", "", out);
    } else if (!strncmp(in, "GET /a/b/resolve/", 17) && strstr(in, "/x%20y.gguf ")) {
        say(fd, "302 Found", "Location: /file\r\n", "moved");
    } else if (!strncmp(in, "GET /file ", 10) && range) {
        const size_t from = strtoul(range + 13, NULL, 10);
        snprintf(out, sizeof out, "Content-Range: bytes %zu-%zu/%zu\r\n", from, sizeof text - 2, sizeof text - 1);
        say(fd, "206 Partial", out, text + from);
    } else if (!strncmp(in, "GET /file ", 10)) {
        say(fd, "200 OK", "", text);
    } else {
        say(fd, "404 Not Found", "X-Error-Code: EntryNotFound\r\n", "{\"error\":\"no\"}");
    }
}

static int start(void **s) {
    (void)s;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(at.sin_port));
    snprintf(folder, sizeof folder, "/tmp/tessera-fetch-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(state, sizeof state, "%s/state", folder);
    char path[100];
    ts_err err;
    snprintf(path, sizeof path, "%s/text", folder);
    FILE *f = fopen(path, "w+b");
    if (!f || fputs(text, f) < 0 || fflush(f) != 0 ||
        ts_hub_digest(sum, fileno(f), sixty_four, path, NULL, NULL, &err) != TS_OK)
        return -1;
    fclose(f);
    server = fork();
    if (server == 0) {
        signal(SIGPIPE, SIG_IGN);
        for (int c; (c = accept(fd, NULL, NULL)) >= 0; close(c)) serve_one(c);
        _exit(0);
    }
    close(fd);
    return server > 0 && ts_hub_http_init(&err) == TS_OK ? 0 : -1;
}

static int end(void **s) {
    (void)s;
    char command[100];
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static const ts_hub_net net = {.endpoint = endpoint, .stall_s = 5, .retry_wait_s = 0.001, .token = "t"};

static bool pull_once(void *ud) {
    ts_hub_conn *c = NULL;
    ts_hub_info info;
    ts_hub_files files = {0};
    ts_hub_place p = {0};
    ts_err err;
    bool denied = false;
    (void)ud;
    bool ok = ts_hub_conn_new(&c, &net, &err) == TS_OK &&
              ts_hub_ask_info(c, &net, "a/b", "main", &info, &err) == TS_OK &&
              ts_hub_ask_files(c, &net, "a/b", "a/b", info.commit, &files, &err) == TS_OK && files.n == 1 &&
              ts_hub_place_of(&p, cache, "a/b", &err) == TS_OK && ts_hub_place_make(&p, &denied, &err) == TS_OK;
    if (ok) {
        const ts_hub_fetch f = {.net = &net, .place = &p, .state = state, .repo = "a/b", .commit = info.commit};
        ts_hub_item item = {.file = &files.item[0], .size = files.item[0].size};
        strcpy(item.hash, sum);
        ok = ts_hub_fetch_file(&f, c, &item, &err) == TS_OK && item.done == sizeof text - 1;
        char blob[300];
        snprintf(blob, sizeof blob, "%s/blobs/%s", p.dir, sum);
        if (ok && access(blob, F_OK) != 0) fail_msg("fetched, and not there");
        (void)unlink(blob);
    }
    ts_hub_place_free(&p);
    ts_hub_files_free(&files);
    ts_hub_conn_free(c);
    return ok;
}

static void test_pull(void **s) {
    (void)s;
    assert_true(pull_once(NULL));
}

static void test_memory(void **s) {
    (void)s;
    alloc_fail_loop(pull_once, NULL, true); /* what cannot be remembered or logged is no reason to fail */
}

/* The whole, on a file system that has no links, or as if. */
static void test_no_links(void **s) {
    (void)s;
    ts_hub_name name;
    ts_err err;
    struct stat st;
    char place[100];
    snprintf(place, sizeof place, "%s/plain", folder);
    assert_ok(ts_hub_name_parse(&name, "a/b", NULL, &err));
    const ts_hub_opts o = {
        .endpoint = endpoint, .cache = place, .state = state, .no_links = true, .retry_wait_s = 0.001};
    for (int i = 0; i < 2; i++) {
        ts_hub_pulled p = {0};
        assert_ok(ts_hub_pull(&p, &name, &o, &err));
        assert_true(lstat(p.model.path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == sizeof text - 1);
        assert_int_equal(p.fetched, i ? 0 : sizeof text - 1);
        assert_int_equal(p.n_fetched, !i);
        assert_string_equal(p.model.name, "a/b");
        ts_hub_model_free(&p.model);
    }
    ts_hub_model m = {0};
    bool found = false;
    ts_hub_removed gone;
    assert_ok(ts_hub_find(&m, &found, &name, &o, &err));
    assert_true(found);
    ts_hub_model_free(&m);
    assert_ok(ts_hub_remove(&gone, &name, false, &o, &err));
    assert_int_equal(gone.bytes, sizeof text - 1);
}

static bool stop_now(void *ud) {
    (void)ud;
    return true;
}

static void test_stopped(void **s) {
    (void)s;
    ts_hub_name name;
    ts_hub_pulled p = {0};
    ts_err err;
    assert_ok(ts_hub_name_parse(&name, "a/b", NULL, &err));
    const ts_hub_opts o = {.endpoint = endpoint, .cache = cache, .state = state, .stop = stop_now};
    assert_status(ts_hub_pull(&p, &name, &o, &err), TS_E_CANCELLED);
}

static void test_refusals(void **s) {
    (void)s;
    ts_hub_info info;
    ts_hub_conn *c;
    ts_err err;
    assert_ok(ts_hub_conn_new(&c, &net, &err));
    assert_status(ts_hub_ask_info(c, &net, "a/none", "main", &info, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "a/none has no file main"));
    static const struct {
        long status;
        const char *code, *message, *token, *says;
    } cases[] = {{401, "GatedRepo", "", NULL, "HF_TOKEN"},
                 {403, "GatedRepo", "", "t", "no access yet"},
                 {401, "", "", NULL, "was not found, or is private"},
                 {401, "RepoNotFound", "", NULL, "was not found, or is private"},
                 {401, "", "Invalid credentials in Authorization header", "t", "wrong, or has expired"},
                 {404, "RepoNotFound", "", "t", "also with your token"},
                 {404, "RevisionNotFound", "", NULL, "has no revision what"},
                 {404, "EntryNotFound", "", NULL, "has no file what"},
                 {404, "", "", NULL, "not found at http"},
                 {403, "", "Access to this resource is disabled.", NULL, "is disabled"},
                 {429, "", "", NULL, "too many"},
                 {500, "", "oops", NULL, "500: oops"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_hub_answer a = {.status = cases[i].status, .own = true, .host = "h"};
        ts_hub_net with = net;
        with.token = cases[i].token;
        strcpy(a.error_code, cases[i].code);
        strcpy(a.error_message, cases[i].message);
        assert_status(ts_hub_refusal(&with, &a, "a/b", "what", &err), TS_E_IO);
        if (!strstr(err.msg, cases[i].says)) fail_msg("%s", err.msg);
    }
    ts_hub_conn_free(c);
}

static bool at_once(void *ud) {
    (void)ud;
    return true;
}

static void test_patience(void **s) {
    (void)s;
    ts_err err;
    ts_hub_tries t = {0};
    int n = 0;
    do (void)ts_fail(&err, TS_E_IO, "broken");
    while (ts_hub_again(&net, &t, NULL, TS_E_IO, &err) == TS_OK && ++n < 100);
    assert_int_equal(n, TS_HUB_TRIES - 1);
    assert_string_equal(err.msg, "broken; tried 5 times");
    ts_hub_answer a = {.status = 429, .retry_after_s = -1, .limit_s = 5};
    assert_true(ts_hub_asked_wait(&a) > 4.5 && ts_hub_asked_wait(&a) < 5.5);
    a.status = 503; /* a count of requests is not why */
    assert_true(ts_hub_asked_wait(&a) < 0);
    a.retry_after_s = 7;
    assert_true(ts_hub_asked_wait(&a) > 6.5 && ts_hub_asked_wait(&a) < 7.5);
    a = (ts_hub_answer){.status = 429, .retry_after_s = 121, .limit_s = -1, .host = "h"};
    t.failed = 0;
    (void)ts_fail(&err, TS_E_IO, "busy");
    assert_status(ts_hub_again(&net, &t, &a, TS_E_IO, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "121 s"));
    ts_hub_net stopped = net;
    stopped.stop = at_once;
    t.failed = 0;
    assert_status(ts_hub_again(&stopped, &t, NULL, TS_E_IO, &err), TS_E_CANCELLED);
    assert_true(ts_hub_may_pass(429) && ts_hub_may_pass(503) && ts_hub_may_pass(520) && !ts_hub_may_pass(404) &&
                !ts_hub_may_pass(501));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pull),     cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_no_links), cmocka_unit_test(test_stopped),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_patience)};
    return cmocka_run_group_tests(tests, start, end);
}
