/* What a hub answers: listings, headers, redirects. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/json_pull.h"
#include "hub/hub_http.h"
#include "hub/hub_listing.h"
#include "hub/hub_mask.h"

/* ---- listings ---------------------------------------------------------------------------------------------------- */

static ts_status page(ts_hub_files *f, const char *json, ts_err *err) {
    return ts_hub_files_page(f, json, strlen(json), err);
}

static void test_page(void **state) {
    (void)state;
    ts_hub_files f = {0};
    ts_err err;
    assert_ok(page(&f,
                   "[{\"type\":\"directory\",\"path\":\"d\",\"oid\":\"00\"},"
                   "{\"path\":\"b.gguf\",\"size\":7,\"oid\":\"x\",\"xetHash\":\"y\",\"type\":\"file\",\"lfs\":{"
                   "\"pointerSize\":1,\"size\":7,\"oid\":"
                   "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}},"
                   "{\"type\":\"file\",\"path\":\"a.json\",\"size\":0,\"lfs\":null,\"oid\":"
                   "\"0123456789abcdef0123456789abcdef01234567\"},"
                   "{\"type\":\"file\",\"path\":\"torn\",\"size\":7,\"oid\":"
                   "\"0123456789abcdef0123456789abcdef01234567\",\"lfs\":{\"size\":8,\"oid\":\"\"}},"
                   "{\"type\":\"file\",\"path\":\"evil\",\"size\":7,\"oid\":\"../../../x\"},"
                   "{\"type\":\"file\",\"path\":\"../x\\u001b\",\"size\":7,\"oid\":\"\"}]",
                   &err));
    assert_ok(page(&f, "[]", &err));
    ts_hub_files_end(&f);
    assert_int_equal(f.n, 4);
    assert_int_equal(f.n_refused, 1);
    assert_string_equal(f.refused, "../x\\x1b");
    assert_int_equal(strlen(ts_hub_files_find(&f, "b.gguf")->hash), 64);
    assert_int_equal(strlen(ts_hub_files_find(&f, "a.json")->hash), 40);
    assert_string_equal(ts_hub_files_find(&f, "torn")->hash, "");
    assert_string_equal(ts_hub_files_find(&f, "evil")->hash, "");
    assert_null(ts_hub_files_find(&f, "d"));
    ts_hub_files_free(&f);
}

static void test_page_token(void **state) {
    (void)state;
    ts_hub_files f = {.token = "hf_abcdefgh"};
    ts_err err;
    assert_ok(page(&f, "[{\"type\":\"file\",\"path\":\"hf_\\u0061bcdefgh-Q4_0.gguf\",\"size\":7,\"oid\":\"\"}]", &err));
    assert_int_equal(f.n_refused, 1);
    assert_null(strstr(f.refused, "abc"));
    ts_hub_files_free(&f);
}

static void test_page_bad(void **state) {
    (void)state;
    static const char *const bad[] = {"", "null", "\"x\"", "{}", "<html>log in</html>", "[", "[1]", "[] x"};
    ts_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ts_hub_files f = {0};
        if (page(&f, bad[i], &err) != TS_E_FORMAT) fail_msg("%s", bad[i]);
        ts_hub_files_free(&f);
    }
    assert_non_null(strstr((page(&(ts_hub_files){0}, " <!DOCTYPE html>", &err), err.msg), "login"));
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    ts_hub_files f = {0};
    assert_status(page(&f, deep, &err), TS_E_FORMAT);
    ts_hub_files_free(&f);
    free(deep);
}

/* An entry that cannot be one costs the others nothing; where it has a name it stays, so that who wants it is told. */
static void test_page_odd(void **state) {
    (void)state;
    static const char *const odd[] = {"{}",
                                      "{\"path\":7,\"size\":1}",
                                      "{\"size\":1}",
                                      "{\"path\":\"x\"}",
                                      "{\"path\":\"x\",\"size\":null}",
                                      "{\"path\":\"x\",\"size\":-5}",
                                      "{\"path\":\"x\",\"size\":1.5}",
                                      "{\"path\":\"x\",\"size\":70368744177665}",
                                      "{\"path\":\"x\",\"size\":99999999999999999999}",
                                      "{\"path\":\"x\",\"size\":1e30}",
                                      "{\"path\":\"x\",\"size\":\"x\"}",
                                      "{\"path\":\"x\",\"size\":{\"a\":[]}}",
                                      "{\"path\":\"x\",\"size\":1,\"lfs\":{}}",
                                      "{\"path\":\"x\",\"size\":1,\"lfs\":7}",
                                      "{\"path\":\"x\",\"size\":1,\"lfs\":{\"size\":-1}}"};
    ts_err err;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ts_hub_files f = {0};
        char json[300];
        snprintf(json, sizeof json,
                 "[{\"type\":\"file\",%s,{\"type\":\"file\",\"path\":\"y\",\"size\":70368744177664,\"oid\":7}]",
                 strlen(odd[i]) > 2 ? odd[i] + 1 : "\"oid\":\"\"}");
        assert_ok(page(&f, json, &err));
        ts_hub_files_end(&f);
        const ts_hub_file *x = ts_hub_files_find(&f, "x"), *y = ts_hub_files_find(&f, "y");
        if (!y || y->fault || *y->hash || (x ? !x->fault : f.n_refused != 1)) fail_msg("%s", odd[i]);
        ts_hub_files_free(&f);
    }
    /* a large file's hash is a SHA-256 */
    ts_hub_files f = {0};
    assert_ok(page(&f,
                   "[{\"type\":\"file\",\"path\":\"x\",\"size\":1,\"lfs\":{\"size\":1,\"oid\":"
                   "\"0123456789abcdef0123456789abcdef01234567\"}}]",
                   &err));
    assert_string_equal(f.item[0].hash, "");
    ts_hub_files_free(&f);
}

static void test_limit(void **state) {
    (void)state;
    ts_hub_files f = {0};
    ts_err err;
    ts_status s = TS_OK;
    char path[20];
    for (int i = 0; i <= TS_HUB_FILES_MAX && s == TS_OK; i++) {
        snprintf(path, sizeof path, i % 2 ? "a%d" : "../%d", i);
        s = ts_hub_files_add(&f, path, strlen(path), 1, "", &err);
    }
    assert_status(s, TS_E_LIMIT);
    assert_int_equal(f.n + f.n_refused, TS_HUB_FILES_MAX);
    ts_hub_files_free(&f);
}

static void test_doubt(void **state) {
    (void)state;
    ts_hub_files f = {0};
    ts_err err;
    static const struct {
        const char *path;
        uint64_t size;
    } files[] = {{"b", 1}, {"same", 2}, {"same", 2}, {"other", 1}, {"other", 2}, {"B", 3}, {"c", 1}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_ok(ts_hub_files_add(&f, files[i].path, strlen(files[i].path), files[i].size, "", &err));
    ts_hub_files_end(&f);
    assert_int_equal(f.n, 5);
    static const char *const doubtful[] = {"b", "B", "other"}, *const certain[] = {"same", "c"};
    for (size_t i = 0; i < 3; i++) assert_true(ts_hub_files_find(&f, doubtful[i])->doubtful);
    for (size_t i = 0; i < 2; i++) assert_false(ts_hub_files_find(&f, certain[i])->doubtful);
    ts_hub_files_free(&f);
}

static void test_info(void **state) {
    (void)state;
    ts_hub_info info;
    ts_err err;
    const char good[] = "{\"id\":\"a/"
                        "new\",\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"gated\":\"manual\",\"private\":"
                        "false,\"cardData\":{\"x\":[],\"license\":\"mit\\u001b\"}}";
    assert_ok(ts_hub_info_parse(&info, good, sizeof good - 1, &err));
    assert_string_equal(info.id, "a/new");
    assert_string_equal(info.license, "mit\\x1b");
    assert_true(info.gated && !info.closed && !info.disabled);
    const char odd[] = "{\"id\":7,\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"gated\":false,\"cardData\":"
                       "null,\"disabled\":true}";
    assert_ok(ts_hub_info_parse(&info, odd, sizeof odd - 1, &err));
    assert_true(!*info.id && !info.gated && info.disabled);
    static const char *const bad[] = {"{}",    "[]", "{\"sha\":\"main\"}", "{\"sha\":\"../../x\"}", "{\"sha\":null}",
                                      "<html>"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(ts_hub_info_parse(&info, bad[i], strlen(bad[i]), &err), TS_E_FORMAT);
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static void test_link(void **state) {
    (void)state;
    static const char *const headers[][2] = {{"<https://a/b?c=d>; rel=\"next\"", "https://a/b?c=d"},
                                             {"</x>; rel=next", "/x"},
                                             {"<a>; rel=\"prev\", <b>; title=\"x, y; z\"; rel=\"next\"", "b"},
                                             {"<a>;REL=\"NEXT\"", "a"},
                                             {"<a>; rel=\"xet-auth\", <b>; rel=\"xet-reconstruction-info\"", NULL},
                                             {"", NULL},
                                             {"nonsense", NULL},
                                             {"<a", NULL},
                                             {"<>; rel=next", NULL},
                                             {"<a>; rel=\"next", "a"},
                                             {"<a>; ; =; rel", NULL},
                                             {"<a>; \"next\"", NULL}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ts_span url = {0};
        const bool found = ts_hub_link_next(headers[i][0], &url);
        if (found != (headers[i][1] != NULL)) fail_msg("%s", headers[i][0]);
        if (found) assert_true(ts_span_is(url, headers[i][1]));
    }
}

static void header(ts_hub_answer *a, const char *line) {
    ts_hub_answer_header(a, line, strlen(line));
}

static void test_headers(void **state) {
    (void)state;
    ts_hub_answer a = {
        .length = -1, .range_begin = -1, .range_total = -1, .retry_after_s = -1, .limit_s = -1, .linked_size = -1};
    header(&a, "Content-Range: bytes 100-199/200\r\n");
    assert_true(a.range_begin == 100 && a.range_total == 200);
    header(&a, "content-range: bytes 5-6/*\r\n");
    assert_true(a.range_begin == 5 && a.range_total == -1);
    header(&a, "Content-Range: bytes */200\r\n");
    header(&a, "Content-Range: potatoes 1-2/3\r\n");
    assert_int_equal(a.range_begin, 5);
    header(&a, "Content-Length: 12\r\n");
    assert_int_equal(a.length, 12);
    header(&a, "Content-Length: 99999999999999999999999\r\n");
    assert_true(a.length == INT64_MAX);
    header(&a, "Content-Encoding: identity\r\n");
    assert_false(a.encoded);
    header(&a, "Content-Encoding: gzip\r\n");
    assert_true(a.encoded);
    header(&a, "RateLimit: \"api\";r=499;t=290, \"resolvers\";r=2999;t=300\r\n");
    assert_true(a.limit_s < 0); /* nothing is used up */
    header(&a, "RateLimit: \"a\";r=0;t=55, \"b\"; t=60 ;r=0,\"c\";r=1;t=300, \"d\";t=400, \"e\";r=0\r\n");
    assert_true(a.limit_s > 59.5 && a.limit_s < 60.5 && a.retry_after_s < 0);
    header(&a, "RateLimit: ,;r=0;t=,;;r=0;t=x\r\n");
    assert_true(a.limit_s > 59.5 && a.limit_s < 60.5);
    header(&a, "Retry-After: 7\r\n");
    assert_true(a.retry_after_s > 6.5 && a.retry_after_s < 7.5);
    header(&a, "Retry-After: soon\r\n");
    assert_true(a.retry_after_s > 6.5 && a.retry_after_s < 7.5);
    header(&a, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n");
    assert_true(a.retry_after_s > -0.5 && a.retry_after_s < 0.5);
    header(&a, "X-Error-Message: a\x1b[2Jb\r\n");
    assert_string_equal(a.error_message, "a\\x1b[2Jb");
    static const char sum[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char line[200];
    snprintf(line, sizeof line, "X-Linked-Etag: \"%s\"\r\n", sum);
    header(&a, line);
    header(&a, "X-Linked-Size: 12\r\n");
    assert_string_equal(a.linked_hash, ""); /* of somebody else's */
    assert_true(a.linked_size == -1);
    a.own = true;
    header(&a, line);
    header(&a, "X-Linked-Size: 12\r\n");
    assert_string_equal(a.linked_hash, sum);
    assert_true(a.linked_size == 12);
    snprintf(line, sizeof line, "X-Linked-Etag: W/\"%.40s\"\r\n", sum);
    header(&a, line);
    assert_int_equal(strlen(a.linked_hash), 40);
    header(&a, "X-Linked-Etag: \"../../x\"\r\n");
    assert_string_equal(a.linked_hash, "");
    header(&a, "Link: <a>; rel=x\r\n"), header(&a, "Link: <b>; rel=next\r\n");
    ts_span url = {0};
    assert_true(ts_hub_link_next(a.link.data, &url) && ts_span_is(url, "b"));
    header(&a, "no colon"), header(&a, ":"), header(&a, "");
    ts_hub_answer_free(&a);
}

static void test_redirects(void **state) {
    (void)state;
    static const char *const good[][3] = {{"https://h/a/b?c", "/x", "https://h/x"},
                                          {"https://h/a/b", "c", "https://h/a/c"},
                                          {"http://h:81/a", "https://o/x?y=z", "https://o/x?y=z"},
                                          {"https://h/a", "//o/x#f", "https://o/x"},
                                          {"https://h/a", "https://huggingface.co/x", "https://m:1/hub/x"},
                                          {"https://h/a", "/x y", "https://h/x%20y"}};
    static const char *const bad[][2] = {
        {"https://h/a", ""},         {"https://h/a", "http://h/a"},    {"http://h/a", "file:///etc/passwd"},
        {"http://h/a", "ftp://h/a"}, {"http://h/a", "http://u:p@h/a"}, {"http://h/a", "http://"}};
    ts_buf out = {0};
    ts_err err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(ts_hub_redirect(&out, "https://m:1/hub", good[i][0], good[i][1], &err));
        assert_string_equal(out.data, good[i][2]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ts_hub_redirect(&out, "https://m:1/hub", bad[i][0], bad[i][1], &err) != TS_E_FORMAT)
            fail_msg("%s", bad[i][1]);
    ts_buf_free(&out);
    assert_true(ts_hub_same_origin("https://H/a", "https://h:443/b") &&
                ts_hub_same_origin("http://h:80", "http://h/x"));
    assert_false(ts_hub_same_origin("https://h/a", "http://h/a"));
    assert_false(ts_hub_same_origin("https://h/a", "https://h:444/a"));
    assert_false(ts_hub_same_origin("https://h/a", "https://h.evil/a"));
    assert_false(ts_hub_same_origin("https://h/a", "https://h@evil/a"));
    assert_false(ts_hub_same_origin("", "https://h"));
}

static bool redirect_once(void *ud) {
    ts_buf out = {0};
    ts_err err;
    (void)ud;
    const bool ok = ts_hub_redirect(&out, "https://m", "https://h/a", "https://huggingface.co/x", &err) == TS_OK;
    ts_buf_free(&out);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    alloc_fail_loop(redirect_once, NULL, false);
}

static void mask(const char *text, const char *token, const char *want) {
    char s[200];
    snprintf(s, sizeof s, "%s", text);
    ts_hub_mask(s, token);
    assert_string_equal(s, want);
    assert_int_equal(ts_hub_has_token(text, strlen(text), token), strcmp(text, want) != 0);
}

#define MASK "hf_\xe2\x80\xa6"
static void test_mask(void **state) {
    (void)state;
    const char *const token = "hf_AbCdEfGhIjKl+/=";
    mask("hf_AbCdEfGhIjKl+/=", token, MASK);
    mask("a hf_AbCdEfGhIjKl+/=b, hf_AbCdEfGhIjKl+/=", token, "a " MASK "b, " MASK);
    mask("http://hf_abcdefghijkl", token, "http://" MASK); /* a host's name */
    mask("x%68f_AbCdEfGhIjKl%2b%2F%3dy", token, "x" MASK "y");
    mask("cut off: hf_AbCdE", token, "cut off: " MASK);
    mask("cut off: hf_AbCdE...", token, "cut off: " MASK "...");
    mask("hf_AbCd hf_AbCx% %6 %", token, "hf_AbCd hf_AbCx% %6 %");
    mask("hf_hf_AbCdEfGhIjKl+/=", token, "hf_" MASK);
    mask("secret secre", "secret", MASK " secre");
    mask("a token of one", "t", "a token of one");
    mask("a token of none", NULL, "a token of none");
    mask("", token, "");
}

static void test_log(void **state) {
    (void)state;
    ts_hub_log *l = ts_hub_log_new();
    assert_non_null(l);
    ts_hub_log_write(l, "https://h/HF_abcdefgh/a?Signature=secret", "hf_abcdefgh", 0,
                     (ts_hub_logged){.from = 5, .status = 206});
    ts_hub_log_write(NULL, "x", NULL, 0, (ts_hub_logged){0});
    assert_int_equal(ts_hub_log_count(l), 1);
    assert_string_equal(ts_hub_log_at(l, 0)->url, "https://h/hf_\xe2\x80\xa6/a");
    ts_hub_log_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),      cmocka_unit_test(test_page_token), cmocka_unit_test(test_page_odd),
        cmocka_unit_test(test_page_bad),  cmocka_unit_test(test_limit),      cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_info),      cmocka_unit_test(test_link),       cmocka_unit_test(test_headers),
        cmocka_unit_test(test_redirects), cmocka_unit_test(test_memory),     cmocka_unit_test(test_log),
        cmocka_unit_test(test_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
