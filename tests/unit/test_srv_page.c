/* The page that is compiled in: which paths there are, their types, that index.html names no other, tags. */
#include "support/test.h"

#include "server/page.h"

#include <stdio.h>
#include <stdlib.h>

static void test_paths(void **state) {
    (void)state;
    static const char *const none[] = {"",           "/index.html", "/page",        "/page/",       "/page/index.html",
                                       "page/ui.js", "/page/..",    "//page/ui.js", "/page/ui.js/", "/page/UI.js"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_null(srv_page_find(none[i]));
    const srv_page_file *index = srv_page_find("/"), *style = srv_page_find("/page/style.css");
    assert_non_null(index);
    assert_string_equal(index->type, "text/html; charset=utf-8");
    assert_true(index->len > 1000 && !memcmp(index->data, "<!doctype html>", 15));
    assert_non_null(style);
    assert_string_equal(style->type, "text/css; charset=utf-8");
}

/* Everything that a text of the page asks for by `mark`NAME" or `mark`NAME' is there; returns how many. */
static size_t asked(const srv_page_file *f, const char *mark) {
    char *text = malloc(f->len + 1), path[100];
    size_t n = 0;
    assert_non_null(text);
    memcpy(text, f->data, f->len);
    text[f->len] = 0;
    assert_int_equal(strlen(text), f->len);
    for (const char *at = text; (at = strstr(at, mark)); n++) {
        at += strlen(mark);
        snprintf(path, sizeof path, "/page/%.*s", (int)strcspn(at, "\"'"), at);
        const srv_page_file *found = srv_page_find(path);
        if (!found) fail_msg("%s is asked for by %s", path, f->path);
        if (strstr(path, ".js") && strcmp(path, f->path)) {
            assert_string_equal(found->type, "text/javascript; charset=utf-8");
        }
    }
    free(text);
    return n;
}

static void test_complete(void **state) {
    (void)state;
    static const char *const module[] = {"api",  "app",      "chat",    "compare", "figures", "ledger",
                                         "markdown", "server", "settings", "sidebar", "store",   "ui"};
    assert_int_equal(asked(srv_page_find("/"), "\"page/"), 4); /* icon, style, theme, app */
    size_t imports = 0;
    for (size_t i = 0; i < sizeof module / sizeof *module; i++) {
        char path[40];
        snprintf(path, sizeof path, "/page/%s.js", module[i]);
        const srv_page_file *f = srv_page_find(path);
        assert_non_null(f);
        imports += asked(f, " from './");
    }
    assert_true(imports > 20);
}

static void test_tags(void **state) {
    (void)state;
    const srv_page_file *f = srv_page_find("/page/ui.js"), *other = srv_page_find("/page/api.js");
    char list[200];
    assert_int_equal(strlen(f->etag), 18);
    assert_true(f->etag[0] == '"' && f->etag[17] == '"');
    assert_string_not_equal(f->etag, other->etag);
    assert_false(srv_page_same(f, NULL));
    assert_false(srv_page_same(f, ""));
    assert_false(srv_page_same(f, other->etag));
    assert_true(srv_page_same(f, f->etag));
    assert_true(srv_page_same(f, "*"));
    snprintf(list, sizeof list, "%s, W/%s", other->etag, f->etag);
    assert_true(srv_page_same(f, list));
    snprintf(list, sizeof list, "%.16s", f->etag); /* cut */
    assert_false(srv_page_same(f, list));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
