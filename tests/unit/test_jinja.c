/* The Jinja interpreter: places of errors, limits, marks, allocation failures. tests/text/ compares it with Jinja2. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "text/jinja/jinja.h"

static ts_err err;

static ts_status render(const char *text, const char *context, const ts_jinja_opts *opts, ts_jinja_out *out) {
    ts_jinja *t = NULL;
    json_error_t e;
    json_t *c = json_loads(context, 0, &e);
    if (!c) fail_msg("%s: %s", context, e.text);
    err = (ts_err){0};
    ts_status s = ts_jinja_parse(&t, text, strlen(text), &err);
    if (s == TS_OK) s = ts_jinja_render(t, c, opts, out, &err);
    ts_jinja_free(t);
    json_decref(c);
    return s;
}

static void expect(const char *text, const char *context, const char *want) {
    ts_jinja_out out = {0};
    if (render(text, context, NULL, &out)) fail_msg("%s: %s", text, err.msg);
    assert_string_equal(out.text.len ? out.text.data : "", want);
    ts_jinja_out_free(&out);
}

static void expect_error(const char *text, const char *context, ts_status status, const char *want) {
    ts_jinja_out out = {0};
    ts_status s = render(text, context, NULL, &out);
    if (s == TS_OK) fail_msg("%s: no error, but %s", text, out.text.data);
    assert_string_equal(err.msg, want);
    assert_string_equal(ts_status_name(s), ts_status_name(status));
    assert_null(out.text.data);
}

/* The output with « and » around what is marked as data. */
static void expect_marks(const char *text, const char *context, const char *want) {
    static const char *const trusted[] = {"bos", NULL};
    ts_jinja_opts opts = {.trusted = trusted};
    ts_jinja_out out = {0};
    if (render(text, context, &opts, &out)) fail_msg("%s: %s", text, err.msg);
    ts_buf b = {0};
    size_t at = 0;
    for (size_t i = 0; i < out.n_data; i++) {
        assert_true(ts_buf_append(&b, out.text.data + at, out.data[i].begin - at) && ts_buf_puts(&b, "«"));
        assert_true(ts_buf_append(&b, out.text.data + out.data[i].begin, out.data[i].end - out.data[i].begin) &&
                    ts_buf_puts(&b, "»"));
        at = out.data[i].end;
    }
    assert_true(ts_buf_append(&b, out.text.data + at, out.text.len - at));
    assert_string_equal(b.data, want);
    ts_buf_free(&b);
    ts_jinja_out_free(&out);
}

static void test_text(void **state) {
    (void)state;
    expect("", "{}", "");
    expect("a\r\nb\rc\n", "{}", "a\nb\nc");
    expect("{% if x %}\n  {%- set y = 1 -%}\n a{% endif %}\nb", "{\"x\": true}", "ab");
    expect("  {% if true %}\n  a\n  {% endif %}\n", "{}", "  a\n");
    expect("  {%+ if true +%}\n a {#+ c +#}\n{% endif %}", "{}", "  \n a \n");
    expect("{% raw %}{{ x }}{% endraw %}", "{}", "{{ x }}");
    expect("{{ 'a' 'b' ~ (1 + 2) }}", "{}", "ab3");
}

static void test_errors(void **state) {
    (void)state;
    expect_error("a\n  {{ x.y }}", "{}", TS_E_INVAL, "line 2, column 8: 'x' is undefined");
    expect_error("é{{ raise_exception('no ' ~ what) }}", "{\"what\": \"way\"}", TS_E_INVAL, "line 1, column 5: no way");
    expect_error("{% if x %}", "{}", TS_E_FORMAT, "line 1, column 4: this if has no {% endif %}");
    expect_error("\n{{ 'a }}", "{}", TS_E_FORMAT, "line 2, column 4: this string has no end (')");
    expect_error("{{ (1 }}", "{}", TS_E_FORMAT, "line 1, column 7: } where ) is wanted");
    expect_error("{% include 'x' %}", "{}", TS_E_UNSUPP,
                 "line 1, column 4: the tag include is not supported in chat templates");
    expect_error("{{ x|nosuch }}", "{}", TS_E_FORMAT, "line 1, column 6: No filter named 'nosuch'.");
    expect_error("{{ x|random }}", "{}", TS_E_UNSUPP, "line 1, column 6: the filter random is not supported");
    expect_error("{% break %}", "{}", TS_E_FORMAT, "line 1, column 4: break outside a loop");
    expect_error("{{ 9223372036854775807 + 1 }}", "{}", TS_E_UNSUPP,
                 "line 1, column 24: the result of an integer operation does not fit in 64 bits");
    /* only where it is reached */
    expect("{% if false %}{{ x|nosuch }}{% endif %}{{ 1 if true else x|nosuch }}", "{}", "1");
    const char bad[] = "ab\xFF";
    ts_jinja *t = NULL;
    assert_status(ts_jinja_parse(&t, bad, 3, &err), TS_E_FORMAT);
    assert_string_equal(err.msg, "line 1, column 3: the template is not valid UTF-8");
    assert_null(t);
}

static void test_limits(void **state) {
    (void)state;
    expect_error("{{ 'a' * 1000000000 }}", "{}", TS_E_LIMIT,
                 "line 1, column 8: a text becomes longer than 67108864 bytes");
    expect_error("{{ range(1000000000000) }}", "{}", TS_E_LIMIT,
                 "line 1, column 4: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
    expect_error("{% set n = namespace(s='aaaaaaaa') %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}",
                 "{}", TS_E_LIMIT, "line 1, column 80: a text becomes longer than 67108864 bytes");
    expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}", TS_E_LIMIT,
                 "line 1, column 19: nested too deeply (more than 1000 levels)");
    expect_error("{% set n = namespace() %}{% set n.x = n %}{{ n }}", "{}", TS_E_LIMIT,
                 "line 1, column 43: nested too deeply (more than 1000 levels)");
    expect_error("{% for a in range(100000) %}{% for b in range(100000) %}{{ a * b }}{% endfor %}{% endfor %}", "{}",
                 TS_E_LIMIT, "line 1, column 32: the template needs too much memory (more than 512 MiB)");
    ts_jinja_opts few = {.max_steps = 1000};
    ts_jinja_out out = {0};
    assert_status(render("{% for a in range(1000) %}{{ a }}{% endfor %}", "{}", &few, &out), TS_E_LIMIT);
    assert_non_null(strstr(err.msg, "does not come to an end (more than 1000 steps)"));
    /* in the parser */
    static const struct {
        const char *open, *middle, *close;
    } nested[] = {
        {"(", "1", ")"},    {"[", "1", "]"},    {"{1:", "1", "}"},
        {"not ", "1", ""},  {"-", "1", ""},     {"a if b else ", "1", ""},
        {"x[", "1", "]"},   {"f(", "1", ")"},   {"", "a", ".b"},
        {"", "a", "|list"}, {"1 if ", "a", ""}, {"1 }}{% if x %}{{ ", "1", " }}{% endif %}{{ 1"}, {"1**", "1", ""},
    };
    char *deep = malloc(1 << 20);
    assert_non_null(deep);
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        char *at = deep + sprintf(deep, "{{ ");
        for (int k = 0; k < 20000; k++) at += sprintf(at, "%s", nested[i].open);
        at += sprintf(at, "%s", nested[i].middle);
        for (int k = 0; k < 20000; k++) at += sprintf(at, "%s", nested[i].close);
        sprintf(at, " }}");
        if (strcmp(nested[i].open, "1**") == 0) expect(deep, "{}", "1"); /* long, but not deep */
        else if (render(deep, "{}", NULL, &out) != TS_E_LIMIT || !strstr(err.msg, "nested too deeply"))
            fail_msg("%s: %s", nested[i].open, err.msg);
    }
    /* long, but not deep */
    char *at = deep + sprintf(deep, "{{ 0");
    for (int i = 0; i < 20000; i++) at += sprintf(at, "+1");
    sprintf(at, " }}");
    expect(deep, "{}", "20000");
    free(deep);
}

static void test_marks(void **state) {
    (void)state;
    const char *c = "{\"bos\": \"<s>\", \"x\": \"ab<c\", \"n\": 5, \"messages\": [{\"role\": \"user\", \"content\": "
                    "\"Hé y\"}, {\"role\": \"<|x|>\"}], \"d\": {\"k\": [1, \"v\"]}}";
    expect_marks("{{ bos }}[{{ x }}]{{ n }}", c, "<s>[«ab<c»]5");
    expect_marks("{{ '<' + x ~ '>' }}{{ x[1:3] }}{{ (x + '!')[2:] }}", c, "<«ab<c»>«b<<c»!");
    expect_marks("{{ x|upper }}{{ ('a' ~ x)|title }}{{ x|replace('b', '--') }}", c, "«AB<C»A«ab<Ca»--«<c»");
    expect_marks("{{ messages[0].role }}:{{ messages[0].content|trim }}{{ messages[1].role }}", c, "user:«Hé y<|x|>»");
    expect_marks("{% macro m(a) %}({{ a }}){% endmacro %}{{ m(x) }}{% set q %}-{{ x }}-{% endset %}{{ q }}", c,
                 "(«ab<c»)-«ab<c»-");
    expect_marks("{{ d|tojson }}{{ d }}{{ [x, 'y']|join(', ') }}", c,
                 "{«\"k\"»: [1, «\"v\"»]}{«'k'»: [1, «'v'»]}«ab<c», y");
    expect_marks("{{ '%s|%5s|%d'|format(x, 'q', n) }}{{ '{}-{:>6}'.format('t', x) }}", c, "«ab<c»|    q|5t-  «ab<c»");
    expect_marks("{{ x|e }}{{ x|list }}{{ x.split('<') }}{{ x|indent(2, true) }}", c,
                 "«ab&lt;c»[«'a'», «'b'», «'<'», «'c'»][«'ab'», «'c'»]  «ab<c»");
    expect_marks("{% for k, v in d.items() %}{{ k }}={{ v[1] }};{% endfor %}{{ x * 2 }}{{ 'z' * 2 }}{{ x|reverse }}", c,
                 "«k»=«v»;«ab<cab<c»zz«c<ba»");
    expect_marks(
        "{% set ns = namespace(t='') %}{% for ch in x %}{% set ns.t = ns.t ~ ch ~ '.' %}{% endfor %}{{ ns.t }}", c,
        "«a».«b».«<».«c».");
    expect_marks("{{ x.join(['1', '2']) }}{{ x|default('q') }}{{ nope|default(x) }}{{ x|string|first }}{{ x|last }}", c,
                 "1«ab<c»2«ab<cab<cac»");
    expect_marks("{{ x|center(8) }}{{ x|truncate(3, true, '~', 0) }}{{ x|urlencode }}{{ strftime_now('%Y') }}", c,
                 "  «ab<c»  «ab»~«ab%3Cc»1970");
}

static const char *const everything =
    "{% macro m(a, b=1) %}{{ a }}{{ caller() if caller else b }}{% endmacro %}{% set ns = namespace(x=[]) %}"
    "{% for m2 in messages if m2.role != 'x' %}{% set ns.x = ns.x + [m2.content|upper] %}{{ loop.index ~ '/' ~ "
    "loop.length }}{% endfor %}"
    "{% call m('q') %}in{% endcall %}{{ ns.x|join(',')|replace('A', 'bb') }}{{ messages|tojson(indent=2) }}{{ "
    "'%5d'|format(3) }}"
    "{{ {'a': 1, 'b': [1.5, none]}|dictsort }}{% filter title %}some text{% endfilter %}{{ "
    "messages|map(attribute='role')|list|sort }}";

static bool render_all(void *ud) {
    ts_jinja *t = NULL;
    ts_jinja_out out = {0};
    ts_status s = ts_jinja_parse(&t, everything, strlen(everything), &err);
    if (s == TS_OK) s = ts_jinja_render(t, ud, NULL, &out, &err);
    ts_jinja_free(t);
    ts_jinja_out_free(&out);
    return s == TS_OK;
}

static void test_allocations(void **state) {
    (void)state;
    json_error_t e;
    json_t *c = json_loads(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"}, {\"role\": \"x\", \"content\": \"d\"}]}", 0, &e);
    assert_non_null(c);
    if (!render_all(c)) fail_msg("%s", err.msg);
    alloc_fail_loop(render_all, c, false);
    json_decref(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_errors),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_marks), cmocka_unit_test(test_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
