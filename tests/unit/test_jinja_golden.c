/* The Jinja interpreter on public chat templates: what Jinja2 made of them, or the error that it gave, byte for
 * byte. */
#include "support/test.h"

#include "base/file.h"
#include "text/jinja/jinja.h"

#include <time.h>

static ts_err err;
static const char *const trusted[] = {"bos_token", "eos_token", NULL};

static json_t *shared_json(const char *name) {
    char path[512];
    json_error_t e;
    const char *p = shared_path(path, sizeof path, name);
    if (!p) return NULL;
    json_t *j = json_load_file(p, 0, &e);
    if (!j) fail_msg("%s: %s", p, e.text);
    return j;
}

static const char *str(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int64_t seconds(const char *iso) {
    struct tm tm = {0};
    assert_int_equal(sscanf(iso, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                            &tm.tm_sec),
                     6);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return timegm(&tm);
}

/* The message behind "line L, column C: ". */
static const char *message(const char *s) {
    unsigned line, col;
    int n = 0;
    return sscanf(s, "line %u, column %u: %n", &line, &col, &n) == 2 && n ? s + n : "(no line and column)";
}

/* All text of messages is marked, wherever the template put it; the marks are in order. */
static void check_marks(const ts_jinja_out *out, const json_t *messages) {
    size_t end = 0;
    for (size_t i = 0; i < out->n_data; i++) {
        assert_true(out->data[i].begin < out->data[i].end && out->data[i].end <= out->text.len);
        assert_true(i == 0 || out->data[i].begin > end);
        end = out->data[i].end;
    }
    for (size_t k = 0; k < json_array_size(messages); k++) {
        const char *s = str(json_array_get(messages, k), "content");
        if (strlen(s) < 12) continue;
        const char *p = out->text.data ? strstr(out->text.data, s) : NULL;
        if (!p) continue; /* trimmed, or left out */
        size_t at = (size_t)(p - out->text.data);
        bool marked = false;
        for (size_t i = 0; i < out->n_data; i++)
            marked |= out->data[i].begin <= at && at + strlen(s) <= out->data[i].end;
        /* some templates have the same default system message in their own text */
        if (!marked && !strstr(s, "helpful assistant")) fail_msg("text of a message is not marked: %s", s);
    }
}

static void check(const char *name, const char *text, const json_t *context, int64_t now, const char *want,
                  const char *want_error) {
    ts_jinja *t = NULL;
    ts_jinja_out out = {0};
    ts_jinja_opts opts = {.now = now, .trusted = trusted};
    err.msg[0] = 0;
    ts_status s = ts_jinja_parse(&t, text, strlen(text), &err);
    if (s == TS_OK) s = ts_jinja_render(t, context, &opts, &out, &err);
    if (want_error) {
        if (s == TS_OK) fail_msg("%s: no error; expected: %s", name, want_error);
        if (strcmp(message(err.msg), want_error) != 0) fail_msg("%s: %s; expected: %s", name, err.msg, want_error);
    } else {
        if (s != TS_OK) fail_msg("%s: %s", name, err.msg);
        const char *got = out.text.data ? out.text.data : "";
        size_t i = 0;
        while (got[i] && got[i] == want[i]) i++;
        if (got[i] != want[i]) fail_msg("%s: differs from byte %zu: %.60s; expected %.60s", name, i, got + i, want + i);
        check_marks(&out, json_object_get(context, "messages"));
    }
    ts_jinja_out_free(&out);
    ts_jinja_free(t);
}

static void test_goldens(void **state) {
    (void)state;
    json_t *all = shared_json("assets/chat-templates/jinja2_goldens.json");
    SKIP_WITHOUT(all);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *g = json_array_get(all, i), *error = json_object_get(g, "error");
        char rel[256], path[512], name[256];
        snprintf(rel, sizeof rel, "assets/chat-templates/jinja/%s", str(g, "template"));
        snprintf(name, sizeof name, "%s, %s", str(g, "template"), str(g, "context"));
        ts_buf text = {0};
        assert_ok(ts_file_read(&text, shared_path(path, sizeof path, rel), 1 << 20, &err));
        assert_true(ts_buf_putc(&text, 0));
        /* the goldens have "TypeOfException: message" */
        const char *want = error ? strstr(json_string_value(error), ": ") : NULL;
        check(name, text.data, json_object_get(g, "inputs"), seconds(str(g, "now")), str(g, "expected"),
              want ? want + 2 : NULL);
        ts_buf_free(&text);
    }
    assert_true(json_array_size(all) > 400);
    json_decref(all);
}

/* llama.cpp's own cases, as Python's Jinja2 renders them (llama.cpp differs from it in seven). */
static void test_cases(void **state) {
    (void)state;
    json_t *all = shared_json("assets/chat-templates/llamacpp_cases.json");
    SKIP_WITHOUT(all);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        json_t *context = json_pack("{s:O, s:O, s:O, s:O}", "messages", json_object_get(c, "messages"), "bos_token",
                                    json_object_get(c, "bos_token"), "eos_token", json_object_get(c, "eos_token"),
                                    "add_generation_prompt", json_object_get(c, "add_generation_prompt"));
        assert_non_null(context);
        const json_t *error = json_object_get(c, "python_jinja2_error");
        const char *want = json_is_string(error) ? strstr(json_string_value(error), ": ") : NULL;
        check(str(c, "name"), str(c, "template"), context, 0, str(c, "rendered_python_jinja2"), want ? want + 2 : NULL);
        if (json_is_true(json_object_get(c, "python_agrees_with_expected_jinja")))
            check(str(c, "name"), str(c, "template"), context, 0, str(c, "expected_jinja"), NULL);
        json_decref(context);
    }
    assert_true(json_array_size(all) > 30);
    json_decref(all);
}

/* Every template that Ollama knows is read. */
static void test_ollama(void **state) {
    (void)state;
    char path[512];
    const char *p = shared_path(path, sizeof path, "assets/chat-templates/ollama-templates.jsonl");
    SKIP_WITHOUT(p);
    FILE *f = fopen(p, "r");
    assert_non_null(f);
    json_error_t e;
    int n = 0;
    for (json_t *line; (line = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e)); json_decref(line)) {
        const char *key;
        json_t *text;
        json_object_foreach(line, key, text) {
            ts_jinja *t = NULL;
            if (ts_jinja_parse(&t, json_string_value(text), json_string_length(text), &err))
                fail_msg("%s: %s", key, err.msg);
            ts_jinja_free(t);
            n++;
        }
    }
    fclose(f);
    assert_true(n > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_ollama)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
