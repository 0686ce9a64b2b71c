/* Conversations of requests: what is read and what is refused, and the prompts that templates of different habits make
 * of them. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"

#include "server/srv_chat.h"

#include "base/file.h"

static ts_arena arena;
static srv_error fault;
static ts_err err;
static ts_map file;

static const ts_jval *json(const char *text) {
    const ts_jval *v;
    assert_ok(ts_jtree_parse(&v, &arena, text, strlen(text), NULL, &err));
    return v;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool read_text(srv_chat *c, const char *text) {
    fault = (srv_error){0};
    return srv_chat_read(c, json(text), &arena, &fault);
}

static bool span_is(ts_span s, const char *text) { return ts_span_is(s, text); }

static void test_read(void **state) {
    (void)state;
    srv_chat c = {0};
    assert_true(read_text(
        &c,
        "[{\"role\":\"developer\",\"content\":\"d\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}],"
        "\"name\":\"Ann\"},"
        "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"reasoning_content\":\"hm\",\"tool_calls\":["
        "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}},"
        "{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":{\"y\": 2}}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"5\\u0000\"},"
        "{\"role\":\"assistant\",\"content\":\"\"}]"));
    assert_int_equal(c.n, 5);
    assert_int_equal(c.message[0].role, SRV_SYSTEM);
    assert_string_equal(c.message[1].content.data, "ab");
    const srv_message *m = &c.message[2];
    assert_true(m->role == SRV_ASSISTANT && m->content.len == 0 && span_is(m->thinking, "hm") && m->n_call == 2);
    assert_string_equal(m->call[0].id, "c1");
    assert_string_equal(m->call[1].name, "g");
    assert_true(span_is(m->call[0].arguments, "{\"x\": 1}") && span_is(m->call[1].arguments, "{\"y\": 2}"));
    assert_int_equal(c.message[3].role, SRV_TOOL);
    assert_string_equal(c.message[3].tool_call_id, "c1");
    assert_int_equal(c.message[3].content.len, 2); /* a NUL is a character like others */
    assert_int_equal(c.message[4].content.len, 0);
    srv_chat_free(&c);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        {"{}", "messages", "messages has to be a list, not an object"},
        {"\"x\"", "messages", "not text"},
        {"[]", "messages", "messages is empty"},
        {"[1]", "messages[0]", "has to be an object, not a number"},
        {"[{\"content\":\"x\"}]", "messages[0]", "messages[0].role is missing"},
        {"[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"bot\",\"content\":\"x\"}]", "messages[1].role",
         "\"system\", \"user\", \"assistant\", \"tool\" or \"developer\", not \"bot\""},
        {"[{\"role\":\"function\",\"content\":\"x\"}]", "messages[0].role", "not \"function\""},
        {"[{\"role\":7,\"content\":\"x\"}]", "messages[0].role", "not 7"},
        {"[{\"role\":\"user\"}]", "messages[0].content", "messages[0].content is missing"},
        {"[{\"role\":\"user\",\"content\":null}]", "messages[0].content", "is missing"},
        {"[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}]", "messages[0].content", "is missing"},
        {"[{\"role\":\"user\",\"content\":5}]", "messages[0].content", "text or a list of parts, not a number"},
        {"[{\"role\":\"user\",\"content\":{}}]", "messages[0].content", "not an object"},
        {"[{\"role\":\"user\",\"content\":[\"x\"]}]", "messages[0].content[0]", "an object with a type, not text"},
        {"[{\"role\":\"user\",\"content\":[{}]}]", "messages[0].content[0]", "type has to be text, not nothing"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", "messages[0].content[0]", "text has to be text"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"image_url\",\"image_url\":{}}]"
         "}]", "messages[0].content[1]", "of type image_url: this model reads text alone"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]", "messages[0].content[0]", "input_audio"},
        {"[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0].tool_calls", "has to be a list"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[1]}]", "messages[0].tool_calls[0]", "an object, not a number"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "messages[0].tool_calls[0]", "function is missing"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]", "messages[0].tool_calls[0]",
         "function.name is missing"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":[]}}]}]",
         "messages[0].tool_calls[0]", "arguments has to be text or an object, not a list"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\\u0000\"}}]}]",
         "messages[0].tool_calls[0].function.name", "a NUL character"},
        {"[{\"role\":\"assistant\",\"content\":\"\",\"function_call\":{\"name\":\"f\"}}]", "messages[0].function_call",
         "use tool_calls"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        srv_chat c = {0};
        assert_false(read_text(&c, bad[i][0]));
        srv_chat_free(&c);
        assert_int_equal(fault.status, 400);
        if (strcmp(fault.param, bad[i][1]) != 0 || !strstr(fault.message, bad[i][2]))
            fail_msg("%s\n%s: %s", bad[i][0], fault.param, fault.message);
    }
}

/* ---- prompts ----------------------------------------------------------------------------------------------------- */

#define PLAIN "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
#define ANSWER "{% if add_generation_prompt %}[assistant]{% endif %}"
#define LINE "{{ '\\n' }}"
#define CALLS(arguments)                                                                                               \
    "{% if tools %}{{ tools | tojson }}" LINE "{% endif %}{% for m in messages %}[{{ m.role }}"                        \
    "{% if m.tool_call_id is defined %} {{ m.tool_call_id }}{% endif %}]"                                              \
    "{% if m.reasoning_content is defined %}({{ m.reasoning_content }}){% endif %}"                                    \
    "{% if m.content is not none %}{{ m.content }}{% endif %}"                                                         \
    "{% if m.tool_calls is defined %}{% for c in m.tool_calls %}<{{ c.id }} {{ c.function.name }} {{ " arguments       \
    " }}>{% endfor %}{% endif %}" LINE "{% endfor %}" ANSWER

static srv_model model;
static gguf_file edited;

static void close_model(void) {
    ts_engine_close(model.engine);
    ts_free(edited.data);
    model = (srv_model){0};
    edited = (gguf_file){0};
}

static void open_model(const char *jinja, srv_calls calls, bool generic) {
    const gguf_edit edits[] = {{.name = "tokenizer.chat_template", .what = EDIT_STR, .s = jinja}, {0}};
    close_model();
    edited = gguf_edited((gguf_file){(void *)(uintptr_t)file.data, file.len}, edits);
    assert_ok(ts_engine_open_memory(&model.engine, edited.data, edited.len, &(ts_engine_opts){.n_threads = 1}, &err));
    model.calls = calls;
    model.generic_calls = generic;
}

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]"

static const char talk[] =
    "[{\"role\":\"user\",\"content\":\"Q\"},"
    "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":["
    "{\"id\":\"call_1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}},"
    "{\"id\":\"abcdefgh9\",\"function\":{\"name\":\"g\",\"arguments\":\"{broken\"}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"5\"},"
    "{\"role\":\"tool\",\"tool_call_id\":\"abcdefgh9\",\"content\":\"6\"},"
    "{\"role\":\"user\",\"content\":\"And?\"}]";

static const char system_and_user[] = "[{\"role\":\"system\",\"content\":\"S\"},"
                                      "{\"role\":\"user\",\"content\":\"Q\"}]";

static bool prompt_of(const char *messages, const char *tools, bool go_on, ts_prompt *p) {
    srv_chat c = {.continue_last = go_on};
    if (tools) c.tools = (ts_span){(const uint8_t *)tools, strlen(tools)};
    const bool ok = read_text(&c, messages) && srv_chat_prompt(&c, &model, p, &fault);
    srv_chat_free(&c);
    return ok;
}

static void expect(const char *messages, const char *tools, const char *text) {
    ts_prompt p = {0};
    if (!prompt_of(messages, tools, false, &p)) fail_msg("%s: %s", fault.param, fault.message);
    if (strcmp(p.text, text) != 0) fail_msg("%s\nnot\n%s", p.text, text);
    assert_true(p.n > 0);
    ts_prompt_release(&p);
}

static void test_native(void **state) {
    (void)state;
    open_model(CALLS("c.function.arguments | tojson"), SRV_CALLS_HERMES, false);
    expect(talk, TOOLS,
           "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}, \"description\": "
           "\"\"}}]\n[user]Q\n"
           "[assistant](hm)<call_1 f {\"x\": 1}><abcdefgh9 g \"{broken\">\n[tool call_1]5\n[tool abcdefgh9]6\n"
           "[user]And?\n[assistant]");
    /* ids that nobody has sent, in order */
    expect("[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"g\"}}]},"
           "{\"role\":\"tool\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"b\"}]",
           NULL, "[assistant]<call00000 f {}><call00001 g {}>\n[tool call00000]a\n[tool call00001]b\n[assistant]");
    /* a template that joins arguments to text refuses an object */
    open_model(CALLS("'' + c.function.arguments"), SRV_CALLS_DEEPSEEK_R1, false);
    expect(talk, NULL,
           "[user]Q\n[assistant](hm)<call_1 f {\"x\": 1}><abcdefgh9 g {broken>\n[tool call_1]5\n[tool abcdefgh9]6\n"
           "[user]And?\n[assistant]");
    /* Mistral's want nine letters and digits; the same id gives the same ones */
    open_model("{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id | length != 9 %}"
               "{{ raise_exception('length') }}{% endif %}{{ c.id }} {% endfor %}{{ m.tool_call_id }} {% endfor %}",
               SRV_CALLS_MISTRAL, false);
    ts_prompt p = {0};
    assert_true(prompt_of(talk, NULL, false, &p));
    char a[16], b[16], c[16], d[16];
    assert_int_equal(sscanf(p.text, "%15s %15s %15s %15s", a, b, c, d), 4);
    assert_true(strlen(a) == 9 && !strcmp(b, "abcdefgh9") && !strcmp(a, c) && !strcmp(b, d));
    ts_prompt_release(&p);
}

static void test_generic(void **state) {
    (void)state;
    open_model(PLAIN ANSWER, SRV_CALLS_HERMES, true);
    ts_prompt p = {0};
    assert_true(prompt_of(talk, TOOLS, false, &p));
    const char *rest = strstr(p.text, "[user]Q");
    assert_true(!strncmp(p.text, "[system]You can call functions.", 31) && rest);
    assert_non_null(strstr(p.text, "\n{\"name\":\"f\",\"parameters\":{}}\n"));
    assert_string_equal(rest, "[user]Q\n[assistant]<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n"
                              "</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {broken}\n</tool_call>\n"
                              "[user]<tool_response>\n5\n</tool_response>\n<tool_response>\n6\n</tool_response>\n"
                              "And?\n[assistant]");
    ts_prompt_release(&p);
    /* behind the client's own system message */
    assert_true(prompt_of(system_and_user, TOOLS, false, &p));
    assert_true(!strncmp(p.text, "[system]S\n\nYou can call functions.", 34));
    assert_string_equal(strstr(p.text, "[user]"), "[user]Q\n[assistant]");
    ts_prompt_release(&p);
    /* nothing of tools: nothing is told */
    expect("[{\"role\":\"user\",\"content\":\"Q\"}]", NULL, "[user]Q\n[assistant]");
    /* where a system message is refused, the user tells */
    open_model("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" PLAIN ANSWER,
               SRV_CALLS_HERMES, true);
    assert_true(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"}]", TOOLS, false, &p));
    assert_true(!strncmp(p.text, "[user]You can call functions.", 29));
    assert_non_null(strstr(p.text, "\n\nQ\n[assistant]"));
    ts_prompt_release(&p);
    /* and the client's is refused in the template's words */
    assert_false(prompt_of(system_and_user, TOOLS, false, &p));
    assert_int_equal(fault.status, 400);
    assert_non_null(strstr(fault.message, "no system"));
    assert_false(prompt_of(system_and_user, NULL, false, &p));
    assert_non_null(strstr(fault.message, "no system"));
}

static void test_variables(void **state) {
    (void)state;
    static const char *const vars[] = {"{\"style\": \"loud\"}", "{\"other\": 1}"};
    open_model("{{ style }}:" PLAIN ANSWER, SRV_CALLS_HERMES, true);
    for (int i = 0; i < 2; i++) {
        srv_chat c = {.vars = {(const uint8_t *)vars[i], strlen(vars[i])}};
        ts_prompt p = {0};
        assert_true(read_text(&c, "[{\"role\":\"user\",\"content\":\"Q\"}]"));
        assert_int_equal(srv_chat_prompt(&c, &model, &p, &fault), i == 0);
        if (i == 0) assert_string_equal(p.text, "loud:[user]Q\n[assistant]");
        else assert_true(fault.status == 400 && strstr(fault.message, "does not use the variable other"));
        ts_prompt_release(&p);
        srv_chat_free(&c);
    }
}

/* An answer that is gone on with: its text is behind the opening of the turn, and is text only. */
static void test_go_on(void **state) {
    (void)state;
    static const char with[] = "[{\"role\":\"user\",\"content\":\"Q\"},"
                               "{\"role\":\"assistant\",\"content\":\"So <|eot_id|>\"}]";
    ts_prompt p = {0}, q = {0};
    open_model(PLAIN ANSWER, SRV_CALLS_HERMES, true);
    assert_true(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"}]", NULL, false, &q));
    assert_true(prompt_of(with, NULL, true, &p));
    assert_string_equal(p.text, "[user]Q\n[assistant]So <|eot_id|>");
    assert_true(p.n > q.n && memcmp(p.token, q.token, q.n * sizeof *q.token) == 0);
    for (size_t i = q.n; i < p.n; i++) assert_false(ts_engine_is_end(model.engine, p.token[i]));
    const ts_text_range last = p.data[p.n_data - 1];
    assert_true(last.begin == p.len - 13 && last.end == p.len);
    ts_prompt_release(&p);
    ts_prompt_release(&q);
    /* not asked for, or a user's: another turn */
    expect(with, NULL, "[user]Q\n[assistant]So <|eot_id|>\n[assistant]");
    assert_true(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"}]", NULL, true, &p));
    assert_string_equal(p.text, "[user]Q\n[assistant]");
    ts_prompt_release(&p);
    /* calls want results */
    assert_false(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"tool_calls\":["
                           "{\"function\":{\"name\":\"f\"}}]}]", NULL, true, &p));
    assert_non_null(strstr(fault.message, "results have to follow"));
    /* behind a block of thinking that the template has opened */
    open_model(PLAIN ANSWER "<think>{{ '\\n' }}", SRV_CALLS_HERMES, true);
    assert_true(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"So\","
                          "\"reasoning_content\":\"hm\"}]", NULL, true, &p));
    assert_string_equal(p.text, "[user]Q\n[assistant]<think>\nhm\n</think>\n\nSo");
    ts_prompt_release(&p);
    assert_true(prompt_of("[{\"role\":\"user\",\"content\":\"Q\"},"
                          "{\"role\":\"assistant\",\"reasoning_content\":\"hm\"}]", NULL, true, &p));
    assert_string_equal(p.text, "[user]Q\n[assistant]<think>\nhm");
    ts_prompt_release(&p);
}

static bool without_memory(void *ud) {
    ts_prompt p = {0};
    srv_chat c = {.tools = {(const uint8_t *)TOOLS, strlen(TOOLS)}, .continue_last = *(bool *)ud};
    ts_arena own = {0};
    const ts_jval *v = NULL;
    srv_error e = {0};
    static const char begun[] = "[{\"role\":\"user\",\"content\":\"Q\"},"
                                "{\"role\":\"assistant\",\"content\":\"A\"}]";
    const char *text = *(bool *)ud ? begun : talk;
    const bool ok = ts_jtree_parse(&v, &own, text, strlen(text), NULL, NULL) == TS_OK &&
                    srv_chat_read(&c, v, &own, &e) && srv_chat_prompt(&c, &model, &p, &e);
    if (!ok && v) assert_int_not_equal(e.status, 0);
    srv_chat_free(&c);
    ts_prompt_release(&p);
    ts_arena_free(&own);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    for (int native = 0; native < 2; native++)
        for (int go_on = 0; go_on < 2; go_on++) {
            bool ud = go_on;
            open_model(native ? CALLS("c.function.arguments | tojson") : PLAIN ANSWER, SRV_CALLS_HERMES, !native);
            /* an object that there was no memory to look at is put as text */
            alloc_fail_loop(without_memory, &ud, true);
        }
}

/* The templates of well-known models take a conversation with tools. */
static void test_known(void **state) {
    (void)state;
    static const struct {
        const char *name;
        srv_calls calls;
        bool generic;
        const char *call; /* what stands in the prompt for the first call */
    } known[] = {
        {"Qwen-Qwen2.5-7B-Instruct", SRV_CALLS_HERMES, false, "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
        {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", SRV_CALLS_HERMES, false, "\"arguments\": {\"x\": 1}"},
        {"meta-llama-Llama-3.1-8B-Instruct", SRV_CALLS_LLAMA3, false, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}"},
        {"mistralai-Mistral-Nemo-Instruct-2407", SRV_CALLS_MISTRAL, false, "\"arguments\": {\"x\": 1}"},
        {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", SRV_CALLS_DEEPSEEK_R1, false, "```json\n{\"x\": 1}\n```"},
        {"google-gemma-2-2b-it", SRV_CALLS_HERMES, true, "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
    };
    static const char one[] = "[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":null,"
                              "\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                              "\"arguments\":\"{\\\"x\\\": 1}\"}}]},"
                              "{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"FIVE\"}]";
    char path[300], name[200];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        snprintf(name, sizeof name, "assets/chat-templates/jinja/%s.jinja", known[i].name);
        const char *found = shared_path(path, sizeof path, name);
        SKIP_WITHOUT(found);
        ts_buf jinja = {0};
        assert_ok(ts_file_read(&jinja, found, 1 << 20, &err));
        open_model(jinja.data, known[i].calls, known[i].generic);
        ts_buf_free(&jinja);
        ts_prompt p = {0};
        if (!prompt_of(one, TOOLS, false, &p)) fail_msg("%s: %s", known[i].name, fault.message);
        if (!strstr(p.text, known[i].call) || !strstr(p.text, "FIVE"))
            fail_msg("%s: no %s in\n%s", known[i].name, known[i].call, p.text);
        ts_prompt_release(&p);
    }
}

static int set_up(void **state) {
    (void)state;
    char path[300];
    const char *root = getenv("TESSERA_SOURCE");
    snprintf(path, sizeof path, "%s/models/tessera-tiny-q8_0.gguf", root ? root : ".");
    assert_ok(ts_map_open(&file, path, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_model();
    ts_map_close(&file);
    ts_arena_free(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),      cmocka_unit_test(test_refused), cmocka_unit_test(test_native),
        cmocka_unit_test(test_generic),   cmocka_unit_test(test_variables), cmocka_unit_test(test_go_on),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_known),
    };
    return cmocka_run_group_tests_name("srv_chat", tests, set_up, tear_down);
}
