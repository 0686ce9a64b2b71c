/* An answer taken apart: the six forms of calls, thinking, what only looks like a mark, answers that are cut off; and
 * the same whole, byte by byte and in pieces of any size. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/parts.h"

#include "base/rng.h"

enum { CALLS = 1, THINKS = 2, INSIDE = 4 };

#define D_CALLS "<｜tool▁calls▁begin｜>"
#define D_END "<｜tool▁calls▁end｜>"
#define D_CALL "<｜tool▁call▁begin｜>"
#define D_CLOSE "<｜tool▁call▁end｜>"
#define D_SEP "<｜tool▁sep｜>"

static const struct {
    srv_calls form;
    int flags;
    const char *text, *parts;
} cases[] = {
    /* one call, two calls, text in front */
    {SRV_CALLS_HERMES, CALLS, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2, \"b\":3}}\n</tool_call>",
     "N(add)A({\"a\": 2, \"b\":3})"},
    {SRV_CALLS_HERMES, CALLS,
     "Let me see.\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\":\"b\","
     "\"arguments\":{\"x\":[{}]}}</tool_call>\n",
     "T(Let me see.)N(a)A({})N(b)A({\"x\":[{}]})"},
    {SRV_CALLS_LLAMA3, CALLS, "{\"name\": \"add\", \"parameters\": {\"a\": \"}\\\"}\"}}",
     "N(add)A({\"a\": \"}\\\"}\"})"},
    {SRV_CALLS_LLAMA3, CALLS, "Hm. <|python_tag|>{\"name\": \"add\", \"parameters\": {\"a\": \"\\\\\"}}",
     "T(Hm.)N(add)A({\"a\": \"\\\\\"})"},
    {SRV_CALLS_MISTRAL, CALLS,
     "[TOOL_CALLS][{\"name\": \"a\", \"arguments\": {\"x\": \"]\"}}, {\"name\": \"b\", \"arguments\": {}, \"id\": "
     "\"123456789\"}]",
     "N(a)A({\"x\": \"]\"})N(b)A({})"},
    {SRV_CALLS_MISTRAL_ARGS, CALLS, "[TOOL_CALLS]a[ARGS]{\"x\": 1}[TOOL_CALLS]b-2[CALL_ID]12345678x[ARGS]{}",
     "N(a)A({\"x\": 1})N(b-2)A({})"},
    {SRV_CALLS_DEEPSEEK_R1, CALLS,
     "Yes.\n" D_CALLS D_CALL "function" D_SEP "a\n```json\n{\"x\": \"`\"}\n```" D_CLOSE "\n" D_CALL "function" D_SEP
     "b\n```json\n{}\n```" D_CLOSE D_END,
     "T(Yes.)N(a)A({\"x\": \"`\"})N(b)A({})"},
    {SRV_CALLS_DEEPSEEK_V3, CALLS,
     D_CALLS D_CALL "a" D_SEP "{\"x\": 1}" D_CLOSE D_CALL "b" D_SEP "{}" D_CLOSE D_END, "N(a)A({\"x\": 1})N(b)A({})"},
    /* names are taken out of JSON, arguments are not */
    {SRV_CALLS_HERMES, CALLS, "<tool_call>{\"name\": \"a\\u00e9\\\"\", \"arguments\": {\"\\u00e9\": 1}}</tool_call>",
     "N(a\xC3\xA9\")A({\"\\u00e9\": 1})"},
    /* marks that are none */
    {SRV_CALLS_HERMES, CALLS, "a <tool_box> b <tool_call> c <<tool_call",
     "T(a <tool_box> b <tool_call> c <<tool_call)"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>[1]", "T(<tool_call>[1])"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>{\"name\": \"\", \"arguments\": {}}",
     "T(<tool_call>{\"name\": \"\", \"arguments\": {}})"},
    {SRV_CALLS_HERMES, CALLS, "<<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>", "T(<)N(a)A({})"},
    {SRV_CALLS_HERMES, CALLS, "{\"name\": \"add\", \"parameters\": {}}", "T({\"name\": \"add\", \"parameters\": {}})"},
    {SRV_CALLS_LLAMA3, CALLS, "x {\"name\": \"add\", \"parameters\": {}}",
     "T(x {\"name\": \"add\", \"parameters\": {}})"},
    {SRV_CALLS_LLAMA3, CALLS, "{\"name\": \"Ann\", \"age\": 7}", "T({\"name\": \"Ann\", \"age\": 7})"},
    {SRV_CALLS_LLAMA3, CALLS, "{\"name\": \"add\", \"parameters\": {}}; {\"name\": \"add\", \"parameters\": {}}",
     "N(add)A({})T(; {\"name\": \"add\", \"parameters\": {}})"},
    {SRV_CALLS_MISTRAL_ARGS, CALLS, "[TOOL_CALLS]a[ARG]{}", "T([TOOL_CALLS]a[ARG]{})"},
    {SRV_CALLS_DEEPSEEK_V3, CALLS, "<｜tool▁calls▁", "T(<｜tool▁calls▁)"},
    /* a form that is not kept behind a call */
    {SRV_CALLS_HERMES, CALLS, "<tool_call>{\"name\": \"a\", \"arguments\": {}} <tool_call>", "N(a)A({})T(})"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>{\"name\": \"a\", \"arguments\": {}} x", "N(a)A({})T(} x)"},
    {SRV_CALLS_MISTRAL, CALLS, "[TOOL_CALLS] [{\"name\": \"a\", \"arguments\": {}}; b", "N(a)A({})T(; b)"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call> and more ",
     "N(a)A({})T(and more )"},
    /* cut off */
    {SRV_CALLS_HERMES, CALLS, "a\n<tool_", "T(a\n<tool_)"},
    {SRV_CALLS_HERMES, CALLS, "a\n<tool_call>\n{\"na", "T(a)"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"x", "N(add)A({\"a\": \"x)"},
    {SRV_CALLS_HERMES, CALLS, "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool", "N(add)A({})"},
    {SRV_CALLS_LLAMA3, CALLS, "{\"name\": \"ad", "T({\"name\": \"ad)"},
    {SRV_CALLS_DEEPSEEK_R1, CALLS, D_CALLS D_CALL "func", ""},
    /* white space is the text's where there is no mark */
    {SRV_CALLS_HERMES, CALLS, " \n a b \n", "T( \n a b \n)"},
    {SRV_CALLS_HERMES, CALLS, " \n ", "T( \n )"},
    {SRV_CALLS_HERMES, CALLS, "", ""},
    /* nothing is looked for */
    {SRV_CALLS_HERMES, 0, "<think>x</think> <tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>",
     "T(<think>x</think> <tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>)"},
    /* thinking */
    {SRV_CALLS_HERMES, THINKS, "<think>\nWell. <b>\n</think>\n\nYes <think>no</think>.",
     "R(Well. <b>)T(Yes <think>no</think>.)"},
    {SRV_CALLS_HERMES, THINKS, "\n <think>\n\n</think>\n\nYes", "T(Yes)"},
    {SRV_CALLS_HERMES, THINKS, "<think>a </thin", "R(a </thin)"},
    {SRV_CALLS_HERMES, THINKS, "<think>a</think>", "R(a)"},
    {SRV_CALLS_HERMES, THINKS, "<thinking> a", "T(<thinking> a)"},
    {SRV_CALLS_HERMES, THINKS, " a </think> b", "T( a </think> b)"},
    {SRV_CALLS_HERMES, THINKS | INSIDE, "a\nb\n</think>\nc ", "R(a\nb)T(c )"},
    {SRV_CALLS_HERMES, THINKS | INSIDE, "</think>c", "T(c)"},
    {SRV_CALLS_HERMES, THINKS | INSIDE | CALLS,
     "<tool_call>?</think>\n<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>", "R(<tool_call>?)N(a)A({})"},
    {SRV_CALLS_LLAMA3, THINKS | CALLS, "<think>x</think>\n{\"name\": \"a\", \"parameters\": {}}", "R(x)N(a)A({})"},
    {SRV_CALLS_DEEPSEEK_R1, THINKS | INSIDE | CALLS,
     "x\n</think>\n\n" D_CALLS D_CALL "function" D_SEP "a\n```json\n{}\n```" D_CLOSE D_END, "R(x)N(a)A({})"},
};
enum { CASES = sizeof cases / sizeof *cases };

static srv_parser parser_of(size_t i) {
    return (srv_parser){.form = cases[i].form,
                        .calls = cases[i].flags & CALLS,
                        .thinks = cases[i].flags & THINKS,
                        .state = cases[i].flags & INSIDE ? SRV_IN_THINKING : SRV_AT_BEGIN};
}

static void expect(size_t i, size_t (*next)(void *), void *ud, const char *how) {
    parts p = {0};
    assert_true(parts_of(&p, parser_of(i), cases[i].text, strlen(cases[i].text), next, ud));
    const char *got = p.text.data ? p.text.data : "";
    if (strcmp(got, cases[i].parts) != 0)
        fail_msg("case %zu, %s: %s\nis   %s\nnot  %s", i, how, cases[i].text, got, cases[i].parts);
    ts_buf_free(&p.text);
}

static size_t one(void *ud) {
    (void)ud;
    return 1;
}

static size_t some(void *ud) { return 1 + (size_t)ts_rng_below(ud, 7); }

static void test_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) expect(i, NULL, NULL, "whole");
}

static void test_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) expect(i, one, NULL, "byte by byte");
}

static void test_pieces(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(1);
    for (int round = 0; round < 100; round++)
        for (size_t i = 0; i < CASES; i++) expect(i, some, &rng, "in pieces");
}

/* Text goes out at once, but for what may become a mark, and the white space in front of it. */
static void test_at_once(void **state) {
    (void)state;
    static const struct {
        const char *text, *parts;
    } step[] = {{"a", "T(a"}, {" ", "T(a"}, {"b<", "T(a b"}, {"b>", "T(a b<b>"}, {"<tool_call>", "T(a b<b>"},
                {"{\"name\": \"f\", \"arguments\": {", "T(a b<b>)N(f)A({"}, {"\"x\"", "T(a b<b>)N(f)A({\"x\""}};
    srv_parser p = {.calls = true};
    parts out = {0};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        assert_true(srv_parser_feed(&p, step[i].text, strlen(step[i].text), false, parts_hear, &out));
        assert_string_equal(out.text.data, step[i].parts);
    }
    srv_parser_free(&p);
    ts_buf_free(&out.text);
}

/* A name without an end, and white space without one, are not held for ever. */
static void test_long(void **state) {
    (void)state;
    static const char *const head[] = {"<tool_call>{\"name\": \"", "<tool_call>{", "[TOOL_CALLS]"};
    for (int i = 0; i < 3; i++) {
        ts_buf text = {0};
        assert_true(ts_buf_puts(&text, head[i]));
        for (int k = 0; k < 6000; k++) assert_true(ts_buf_putc(&text, i == 1 ? ' ' : 'a'));
        srv_parser p = {.form = i == 2 ? SRV_CALLS_MISTRAL_ARGS : SRV_CALLS_HERMES, .calls = true};
        parts whole = {0}, bytes = {0};
        assert_true(parts_of(&whole, p, text.data, text.len, NULL, NULL));
        assert_true(parts_of(&bytes, p, text.data, text.len, one, NULL));
        assert_int_equal(whole.text.len, text.len + 3);
        assert_string_equal(whole.text.data, bytes.text.data);
        ts_buf_free(&whole.text);
        ts_buf_free(&bytes.text);
        ts_buf_free(&text);
    }
}

static bool refuse(void *ud, srv_part part, const char *text, size_t len) {
    (void)text, (void)len;
    return part != *(srv_part *)ud;
}

/* Whoever hears of it may stop at any part. */
static void test_stop(void **state) {
    (void)state;
    static const char text[] = "<think>a</think>b <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
    for (int part = SRV_PART_TEXT; part <= SRV_PART_ARGUMENTS; part++) {
        srv_parser p = {.calls = true, .thinks = true};
        srv_part at = (srv_part)part;
        assert_false(srv_parser_feed(&p, text, strlen(text), true, refuse, &at));
        srv_parser_free(&p);
    }
}

static bool without_memory(void *ud) {
    (void)ud;
    parts p = {0};
    const bool ok = parts_of(&p, parser_of(1), cases[1].text, strlen(cases[1].text), one, NULL);
    ts_buf_free(&p.text);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    alloc_fail_loop(without_memory, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole), cmocka_unit_test(test_bytes), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_at_once), cmocka_unit_test(test_long), cmocka_unit_test(test_stop),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("srv_calls", tests, NULL, NULL);
}
