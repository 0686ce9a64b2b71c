/* From messages to tokens: small templates of many kinds, what of a prompt is data, begin and end tokens, variables,
 * the choice of the template, and what is said when one refuses. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/clock.h"
#include "text/prompt.h"
#include "text/tok_impl.h"

static ts_err err;

/* The tiny tokenizer with these settings over its own (<|bos|> in front, as its file says). */
static ts_tokenizer *with(const char *config) {
    ts_tokenizer *t = NULL;
    ts_buf json = {0};
    assert_true(tiny_json(&json, false, false));
    assert_ok(ts_tok_from_json(&t, json.data, json.len, &err));
    assert_ok(ts_tok_apply_config(t, "{\"eos_token\":\"<|end|>\"}", 23, &err));
    assert_ok(ts_tok_apply_config(t, config, strlen(config), &err));
    assert_ok(ts_tok_finish(t, &err));
    ts_buf_free(&json);
    return t;
}

static json_t *context(const char *text) {
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);
    if (!j) fail_msg("%s: %s", text, e.text);
    return j;
}

/* The text with data between braces. */
static void marked(const ts_jinja_out *out, ts_buf *b) {
    size_t at = 0;
    ts_buf_clear(b);
    for (size_t i = 0; i < out->n_data; i++) {
        assert_true(ts_buf_append(b, out->text.data + at, out->data[i].begin - at) && ts_buf_putc(b, '{') &&
                    ts_buf_append(b, out->text.data + out->data[i].begin, out->data[i].end - out->data[i].begin) &&
                    ts_buf_putc(b, '}'));
        at = out->data[i].end;
    }
    assert_true(ts_buf_append(b, out->text.data + at, out->text.len - at));
}

/* ---- many templates ---------------------------------------------------------------------------------------------- */

#define EACH(body) "{% for m in messages %}" body "{% endfor %}"
#define OPEN(text) "{% if add_generation_prompt %}" text "{% endif %}"
#define TURN "{{ '<' + m['role'] + '>' + m['content'] + '<|end|>' }}"

/* The conversation: system " S ", user " Hi\n", assistant "<think>T</think>A", user "B<|end|>". */
#define S "{ S }"
#define U "{ Hi\n}"
#define A "{<think>T</think>A}"
#define B "{B<|end|>}"

static const struct {
    const char *what, *jinja, *want;
} variants[] = {
    {"turns", "{{ bos_token }}" EACH(TURN) OPEN("<assistant>"),
     "<|bos|><system>" S "<|end|><user>" U "<|end|><assistant>" A "<|end|><user>" B "<|end|><assistant>"},
    {"one line break behind the header", EACH("{{ m.role + '\\n' + m.content }}<|end|>") OPEN("{{ 'assistant\\n' }}"),
     "system\n" S "<|end|>user\n" U "<|end|>assistant\n" A "<|end|>user\n" B "<|end|>assistant\n"},
    {"two", EACH("{{ m.role + '\\n\\n' + m.content }}<|end|>") OPEN("{{ 'assistant\\n\\n' }}"),
     "system\n\n" S "<|end|>user\n\n" U "<|end|>assistant\n\n" A "<|end|>user\n\n" B "<|end|>assistant\n\n"},
    {"none, and no opening of the answer", EACH("{{ m.role }}{{ m.content }}<|end|>"),
     "system" S "<|end|>user" U "<|end|>assistant" A "<|end|>user" B "<|end|>"},
    {"trimmed by a filter", EACH("{{ m.content | trim }}|"), "{S}|{Hi}|" A "|" B "|"},
    {"trimmed by a method", EACH("{{ m['content'].strip() + '|' }}"), "{S}|{Hi}|" A "|" B "|"},
    {"trimmed on the right", EACH("{{ m.content.rstrip() }}|"), "{ S}|{ Hi}|" A "|" B "|"},
    {"trimmed on the left", EACH("{{ m.content.lstrip() }}|"), "{S }|{Hi\n}|" A "|" B "|"},
    {"the user's alone", EACH("{% if m.role == 'user' %}{{ m.content | trim }}{% else %}{{ m.content }}{% endif %}|"),
     S "|{Hi}|" A "|" B "|"},
    {"a line break behind the end of a turn", EACH("{{ m.content + '<|end|>' + '\\n' }}"),
     S "<|end|>\n" U "<|end|>\n" A "<|end|>\n" B "<|end|>\n"},
    {"answers alone are ended", EACH("{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"),
     "{ S  Hi\n<think>T</think>A}<|end|>" B},
    {"the begin token in front of every user",
     EACH("{% if m.role == 'user' %}{{ bos_token }}{% endif %}{{ m.content }}|"),
     S "|<|bos|>" U "|" A "|<|bos|>" B "|"},
    {"and by the first loop", EACH("{% if loop.first %}{{ bos_token }}{% endif %}{{ m.content }}|"),
     "<|bos|>" S "|" U "|" A "|" B "|"},
    {"as part of an expression",
     EACH("{% set c = m.content | trim + '|' %}{% if loop.index0 == 0 %}{% set c = bos_token + c %}{% endif %}{{ c }}"),
     "<|bos|>{S}|{Hi}|" A "|" B "|"},
    {"twice, as it says", "{{ bos_token + bos_token }}" EACH("{{ m.content }}|"),
     "<|bos|><|bos|>" S "|" U "|" A "|" B "|"},
    {"other names of roles",
     EACH("{% set r = 'model' if m.role == 'assistant' else m.role %}{{ r + ':' + m.content + '|' }}"),
     "system:" S "|user:" U "|model:" A "|user:" B "|"},
    {"in capitals", EACH("{{ m.role | upper }}:|"), "SYSTEM:|USER:|ASSISTANT:|USER:|"},
    {"within the mark", EACH("{{ '<|' + m.role + '|>' }}"), "<|system|><|user|><|assistant|><|user|>"},
    {"the system message in the user's turn",
     "{% set s = messages[0].content %}{% for m in messages[1:] %}{{ 'U:' if m.role == 'user' else 'A:' }}"
     "{% if loop.first %}{{ '<<SYS>>' + s + '<</SYS>>' + m.content }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
     "U:<<SYS>>" S "<</SYS>>" U "A:" A "U:" B},
    {"in the last one",
     "{% for m in messages %}{% if m.role != 'system' %}{{ (messages[0].content if loop.last else '') + m.content + "
     "'|' }}"
     "{% endif %}{% endfor %}",
     U "|" A "|{ S B<|end|>}|"},
    {"a system message of its own",
     "{% if messages[0].role != 'system' %}never{% endif %}{{ '<system>Be good.<|end|>' }}" EACH("{{ m.content }}"),
     "<system>Be good.<|end|>{ S  Hi\n<think>T</think>AB<|end|>}"},
    {"thoughts taken out", EACH("{{ m.content.split('</think>')[-1] }}|"), S "|" U "|{A}|" B "|"},
    {"an answer that begins with a thought", EACH("") OPEN("{{ '<assistant>\\n<think>\\n' }}"),
     "<assistant>\n<think>\n"},
    {"an answer without one",
     EACH("")
         OPEN("{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n{% endif %}A:"),
     "A:"},
    {"white space of blocks",
     "{%- for m in messages -%}\n    {{- m.content -}}\n    {%- if not loop.last -%}\n    ,\n    {%- endif -%}\n{%- "
     "endfor -%}\n",
     S "," U "," A "," B},
    {"lines of blocks go", "{% for m in messages %}\n{{ m.content }};\n{% endfor %}\n",
     S ";\n" U ";\n" A ";\n" B ";\n"},
    {"a macro", "{% macro turn(m) %}[{{ m.content | trim }}]{% endmacro %}" EACH("{{ turn(m) }}"),
     "[{S}][{Hi}][" A "][" B "]"},
    {"a namespace",
     "{% set ns = namespace(n=0) %}" EACH(
         "{% if m.role == 'user' %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ m.content }}{% endif %}"),
     "1" U "2" B},
    {"the date", "{{ strftime_now('%d %b %Y') }}|" EACH(""), "26 Jul 2024|"},
    {"a date unless there is one",
     "{% if not date_string is defined %}{% set date_string = '1 Jan' %}{% endif %}{{ date_string }}", "1 Jan"},
    {"tools that are none",
     "{% if tools is not none %}tools{% endif %}{% if documents %}docs{% endif %}{{ tools is none }}", "True"},
    {"text without variables", "always the same", "always the same"},
    {"nothing", "", ""},
};

static void test_variants(void **state) {
    (void)state;
    ts_tokenizer *t = with("{}");
    const ts_message talk[] = {{"system", " S "}, {"user", " Hi\n"}, {"assistant", "<think>T</think>A"},
                               {"user", "B<|end|>"}};
    json_t *c = ts_prompt_context(talk, 4, true);
    ts_buf got = {0};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        ts_jinja_out out = {0};
        ts_tokens tokens = {0};
        const ts_prompt_opts o = {.text = variants[i].jinja, .has_now = true, .now = 1721995200};
        ts_status s = ts_prompt_render(NULL, t, c, &o, &out, &err);
        if (s != TS_OK) fail_msg("%s: %s", variants[i].what, err.msg);
        ts_buf_clear(&got);
        assert_true(ts_buf_puts(&got, ""));
        marked(&out, &got);
        if (strcmp(got.data, variants[i].want) != 0)
            fail_msg("%s:\n got \"%s\"\nwant \"%s\"", variants[i].what, got.data, variants[i].want);
        /* the tokens: as many end tokens as the template has written, and one begin token at least */
        assert_ok(ts_prompt_tokens(t, &out, &tokens, &err));
        size_t ends = 0, begins = 0, want_ends = 0, want_begins = 0;
        for (size_t k = 0; k < tokens.n; k++) ends += tokens.id[k] == TINY_END, begins += tokens.id[k] == TINY_BOS;
        for (const char *p = variants[i].want; (p = strstr(p, "<|end|>")); p++) want_ends += p[7] != '}';
        for (const char *p = variants[i].want; (p = strstr(p, "<|bos|>")); p++) want_begins++;
        assert_int_equal(ends, want_ends);
        assert_int_equal(tokens.id[0], TINY_BOS);
        assert_int_equal(begins, strncmp(variants[i].want, "<|bos|>", 7) ? want_begins + 1 : want_begins);
        ts_tokens_free(&tokens);
        ts_jinja_out_free(&out);
    }
    ts_buf_free(&got);
    json_decref(c);
    ts_tokenizer_free(t);
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static void tokens_are(const ts_tokenizer *t, const char *jinja, const char *user, const char *want) {
    json_t *c = ts_prompt_context(&(ts_message){"user", user}, 1, true);
    ts_jinja_out out = {0};
    ts_tokens tokens = {0};
    ts_buf b = {0};
    assert_ok(ts_prompt_render(NULL, t, c, &(ts_prompt_opts){.text = jinja}, &out, &err));
    assert_ok(ts_prompt_tokens(t, &out, &tokens, &err));
    assert_true(ts_buf_puts(&b, ""));
    for (size_t i = 0; i < tokens.n; i++) {
        ts_span e = ts_token_entry(t, tokens.id[i]);
        assert_true((i == 0 || ts_buf_putc(&b, ' ')) && ts_buf_append(&b, e.data, e.len));
    }
    if (strcmp(b.data, want) != 0) fail_msg("%s:\n got %s\nwant %s", jinja, b.data, want);
    ts_buf_free(&b);
    ts_tokens_free(&tokens);
    ts_jinja_out_free(&out);
    json_decref(c);
}

static void test_begin_and_end(void **state) {
    (void)state;
    static const char writes[] = "{{ bos_token + messages[0].content }}", silent[] = "{{ messages[0].content }}";
    ts_tokenizer *adds = with("{\"add_bos_token\":true}"), *does_not = with("{\"add_bos_token\":false}"),
                 *eos = with("{\"add_bos_token\":true,\"add_eos_token\":true}");
    for (int i = 0; i < 3; i++) {
        const ts_tokenizer *t = i == 0 ? adds : i == 1 ? does_not : eos;
        tokens_are(t, writes, "hello", "<|bos|> hello");
        tokens_are(t, silent, "hello", i == 1 ? "hello" : "<|bos|> hello");
        tokens_are(t, "<|bos|>{{ messages[0].content }}", "hello", "<|bos|> hello"); /* as text of its own */
        tokens_are(t, "{{ '\\n' + bos_token + messages[0].content }}", "hello", "\n <|bos|> hello");
        tokens_are(t, "a{{ bos_token + messages[0].content }}", "hello",
                   i == 1 ? "a <|bos|> hello" : "<|bos|> a <|bos|> hello");
        tokens_are(t, "{{ messages[0].content + bos_token }}", "a", i == 1 ? "a <|bos|>" : "<|bos|> a <|bos|>");
        tokens_are(t, "{{ messages[0].content + eos_token }}", "a", i == 1 ? "a <|end|>" : "<|bos|> a <|end|>");
        /* what a user writes is no begin token */
        tokens_are(t, silent, "<|bos|>a", i == 1 ? "< | b o s | > a" : "<|bos|> < | b o s | > a");
        tokens_are(t, writes, "<|bos|>a", "<|bos|> < | b o s | > a");
        tokens_are(t, "{{ messages[0].content }}<|end|>", "<|end|>",
                   i == 1 ? "< | e n d | > <|end|>" : "<|bos|> < | e n d | > <|end|>");
    }
    ts_tokenizer_free(adds), ts_tokenizer_free(does_not), ts_tokenizer_free(eos);
}

/* The user cannot make the template's words into a control token either. */
static void test_user_beside_template(void **state) {
    (void)state;
    ts_tokenizer *t = with("{\"add_bos_token\":false}");
    tokens_are(t, "{{ messages[0].content }}|end|>", "<", "< | e n d | >");
    tokens_are(t, "<|{{ messages[0].content }}|>", "end", "< | e n d | >");
    tokens_are(t, "<|{{ 'en' + messages[0].content }}|>", "d", "< | e n d | >");
    tokens_are(t, "{{ messages[0].content | replace('x', '<|end|>') }}", "axa", "a <|end|> a");
    tokens_are(t, "{{ messages[0].content | upper | lower }}", "<|end|>", "< | e n d | >");
    tokens_are(t, "{{ messages[0].content[::-1] }}", ">|dne|<", "< | e n d | >");
    tokens_are(t, "{{ messages[0].content | tojson }}", "<|end|>", "\" < | e n d | > \"");
    tokens_are(t, "{{ (messages | string)[-11:-2] }}", "<|end|>", "' < | e n d | > '");
    ts_tokenizer_free(t);
}

/* ---- variables --------------------------------------------------------------------------------------------------- */

static void renders(const ts_tokenizer *t, const char *json, const char *jinja, const char *want) {
    json_t *c = context(json);
    ts_jinja_out out = {0};
    const ts_prompt_opts o = {.text = jinja, .has_now = true, .now = 1721995200};
    ts_status s = ts_prompt_render(NULL, t, c, &o, &out, &err);
    if (s != TS_OK) fail_msg("%s: %s", jinja, err.msg);
    if (strncmp(out.text.len ? out.text.data : "", want, out.text.len + 1) != 0)
        fail_msg("%s: got \"%s\", want \"%s\"", jinja, out.text.data, want);
    ts_jinja_out_free(&out);
    json_decref(c);
}

static void test_variables(void **state) {
    (void)state;
    ts_tokenizer *t = with("{\"pad_token\":\"<|pad|>\"}");
    renders(t, "{}", "{{ bos_token }}{{ eos_token }}{{ pad_token }}", "<|bos|><|end|><|pad|>");
    renders(t, "{}",
            "{{ unk_token is defined }}{{ sep_token is defined }}{{ messages is defined }}{{ date_string is defined }}",
            "FalseFalseFalseFalse");
    renders(t, "{}", "{{ tools is none }}{{ documents is none }}{{ tools is defined }}", "TrueTrueTrue");
    /* the context's goes before */
    renders(t, "{\"bos_token\":\"<B>\"}", "{{ bos_token }}{{ eos_token }}", "<B><|end|>");
    renders(NULL, "{\"bos_token\":\"<B>\"}", "{{ bos_token }}{{ eos_token is defined }}", "<B>False");
    renders(t, "{\"x\":{\"y\":[1,\"two\"]}}", "{{ x.y[1] }}{{ x['y'][0] + 1 }}", "two2");
    renders(t, "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
            "{{ tools[0].function.name }}{{ tools | length }}", "f1");
    renders(t, "{\"documents\":[{\"title\":\"D\"}]}", "{% for d in documents %}{{ d.title }}{% endfor %}", "D");
    renders(t,
            "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"R\",\"tool_calls\":[{"
            "\"function\":{\"name\":\"f\","
            "\"arguments\":{\"a\":1}}}]},{\"role\":\"tool\",\"content\":\"7\",\"name\":\"f\"}]}",
            "{{ messages[0].reasoning_content }}{{ messages[0].tool_calls[0].function.arguments | tojson }}{{ "
            "messages[1].role + messages[1].content }}",
            "R{\"a\": 1}tool7");
    renders(
        t, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"}]}]}",
        "{% for p in messages[0].content %}{{ p.text if p.type == 'text' else '<image>' }}{% endfor %}", "a<image>");
    renders(t, "{\"add_generation_prompt\":false}", "{{ add_generation_prompt }}", "False");
    renders(t, "{}", "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}", "2024-07-26 12:00:00");
    ts_tokenizer_free(t);
    t = with("{}");
    t->bos = t->eos = -1;
    renders(t, "{}", "[{{ bos_token + eos_token }}]", "[]"); /* templates name these two without asking */
    ts_tokenizer_free(t);
    /* bytes that are no text */
    json_t *c = ts_prompt_context(&(ts_message){"user", "a\xFF" "b"}, 1, false);
    assert_string_equal(json_string_value(
                            json_object_get(json_array_get(json_object_get(c, "messages"), 0), "content")),
                        "a\xEF\xBF\xBD"
                        "b");
    assert_true(json_is_false(json_object_get(c, "add_generation_prompt")));
    json_decref(c);
    c = json_array();
    ts_jinja_out out = {0};
    assert_status(ts_prompt_render(NULL, NULL, c, &(ts_prompt_opts){.text = "x"}, &out, &err), TS_E_INVAL);
    json_decref(c);
}

static void test_time(void **state) {
    (void)state;
    int64_t t = 0;
    assert_ok(ts_local_parse("2024-07-26T12:00:00", &t, &err));
    assert_int_equal(t, 1721995200);
    assert_ok(ts_local_parse("1970-01-01 00:00", &t, &err));
    assert_int_equal(t, 0);
    assert_ok(ts_local_parse("2024-02-29", &t, &err));
    assert_int_equal(t, 1709164800);
    static const char *const bad[] = {"", "now", "2024", "2024-13-01", "2023-02-29", "2024-00-10", "2024-01-00",
                                      "2024-01-01T", "2024-01-01T24:00:00", "2024-01-01T12:60:00",
                                      "2024-01-01T12:00:61", "2024-01-01T12:00:00Z", "2024-01-01x12:00:00",
                                      "2024-01-01T12"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t = 77;
        if (ts_local_parse(bad[i], &t, &err) != TS_E_INVAL || t != 77) fail_msg("%s is taken", bad[i]);
    }
}

/* ---- which template ---------------------------------------------------------------------------------------------- */

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static ts_status pick(const ts_tokenizer *t, const char *json, ts_prompt_opts o, const char *want) {
    ts_templates *all;
    json_t *c = context(json);
    ts_jinja_out out = {0};
    assert_ok(ts_templates_new(&all, t, &err));
    ts_status s = ts_prompt_render(all, t, c, &o, &out, &err);
    if (s == TS_OK && strcmp(out.text.data, want) != 0) fail_msg("got \"%s\", want \"%s\"", out.text.data, want);
    if (s != TS_OK && (!strstr(err.msg, want) || strchr(err.msg, '\n')))
        fail_msg("%s: says \"%s\", want \"%s\"", ts_status_name(s), err.msg, want);
    ts_jinja_out_free(&out);
    json_decref(c);
    ts_templates_free(all);
    return s;
}

static void test_choice(void **state) {
    (void)state;
    ts_tokenizer *t = with("{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T{{ tools|length "
                           "}}\"},{\"name\":\"default\",\"template\":\"D\"},"
                           "{\"name\":\"rag\",\"template\":\"R\"},{\"name\":\"bad\",\"template\":\"a\\n{% for %}\"}]}");
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){0}, "D"), TS_OK);
    assert_status(pick(t, "{" HI ",\"tools\":null}", (ts_prompt_opts){0}, "D"), TS_OK);
    assert_status(pick(t, "{" HI ",\"tools\":[1,2]}", (ts_prompt_opts){0}, "T2"), TS_OK);
    assert_status(pick(t, "{" HI ",\"tools\":[1,2]}", (ts_prompt_opts){.name = "default"}, "D"), TS_OK);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.name = "rag"}, "R"), TS_OK);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.name = "bad"},
                       "the model's chat template \"bad\": line 2, column "),
                  TS_E_FORMAT);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.text = "X"}, "X"), TS_OK);
    assert_status(pick(t, "{" HI ",\"add_generation_prompt\":true}", (ts_prompt_opts){.name = "chatml"},
                       "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"), TS_OK);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.name = "llama3"},
                       "<|bos|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"),
                  TS_OK);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.name = "zephyr"}, "<|user|>\nHi<|end|>\n"), TS_OK);
    assert_status(pick(t, "{" HI ",\"tools\":[1]}", (ts_prompt_opts){.name = "chatml"}, "no place for tools"),
                  TS_E_UNSUPP);
    assert_status(pick(t, "{}", (ts_prompt_opts){.name = "chatml"}, "no list of messages"), TS_E_INVAL);
    assert_status(pick(t, "{\"messages\":[{\"content\":\"x\"}]}", (ts_prompt_opts){.name = "chatml"},
                       "message 1 has no role"),
                  TS_E_INVAL);
    assert_status(pick(t, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", (ts_prompt_opts){.name = "chatml"},
                       "message 1: the content is not text"),
                  TS_E_INVAL);
    assert_status(pick(t, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},\"b\"]}]}",
                       (ts_prompt_opts){.name = "chatml"}, "<|im_start|>user\nab<|im_end|>\n"),
                  TS_OK);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.name = "esperanto"}, "\"esperanto\" is not known"), TS_E_INVAL);
    ts_tokenizer_free(t);
    t = with("{}");
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){0}, "no chat template"), TS_E_UNSUPP);
    ts_templates *all;
    assert_ok(ts_templates_new(&all, t, &err));
    assert_null(ts_templates_describe(all));
    ts_templates_free(all);
    ts_tokenizer_free(t);
    t = with("{\"chat_template\":\"{{ 1 }}\"}");
    assert_ok(ts_templates_new(&all, t, &err));
    assert_string_equal(ts_templates_describe(all), "jinja (7 bytes)");
    ts_templates_free(all);
    ts_tokenizer_free(t);
}

static void test_refusals(void **state) {
    (void)state;
    ts_tokenizer *t = with("{\"chat_template\":\"{% if messages[0].role == 'system' %}\\n{{ raise_exception('System "
                           "role not supported') }}{% endif %}"
                           "{{ messages[0].content }}{{ 1 if messages|length < 3 else 1 + 'x' }}\"}");
    assert_status(pick(t,
                       "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"}]}",
                       (ts_prompt_opts){0}, "the model's chat template: line 2, column "),
                  TS_E_INVAL);
    assert_non_null(strstr(err.msg, "System role not supported; it takes the conversation without the system message"));
    assert_status(pick(t, "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},0,0]}", (ts_prompt_opts){0},
                       "the model's chat template: line 2, column "),
                  TS_E_INVAL);
    assert_null(strstr(err.msg, "system message"));
    /* without the system message it fails too: then that is not what is wrong */
    assert_status(
        pick(t, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},0,0]}",
             (ts_prompt_opts){0}, "System role not supported"),
        TS_E_INVAL);
    assert_null(strstr(err.msg, "it takes"));
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.text = "\n\n {{ 1 / 0 }}", .text_name = "my.jinja"},
                       "my.jinja: line 3, column "),
                  TS_E_INVAL);
    assert_status(pick(t, "{" HI "}", (ts_prompt_opts){.text = "{{ x"}, "the chat template: line 1, column "),
                  TS_E_FORMAT);
    assert_status(pick(t, "{" HI "}",
                       (ts_prompt_opts){.text = "{% for i in range(1000000) %}{% endfor %}", .max_steps = 1000},
                       "the chat template: "),
                  TS_E_LIMIT);
    ts_tokenizer_free(t);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static bool make_prompt(void *ud) {
    const ts_tokenizer *t = ud;
    const ts_message talk[] = {{"system", "s\xFF"}, {"user", "<|end|>"}};
    ts_templates *all = NULL;
    ts_jinja_out out = {0}, c_out = {0};
    ts_tokens tokens = {0};
    json_t *c = NULL;
    bool ok = ts_templates_new(&all, t, NULL) == TS_OK && (c = ts_prompt_context(talk, 2, true)) &&
              ts_prompt_render(all, t, c, &(ts_prompt_opts){0}, &out, NULL) == TS_OK &&
              ts_prompt_tokens(t, &out, &tokens, NULL) == TS_OK &&
              ts_prompt_render(all, t, c, &(ts_prompt_opts){.name = "llama2"}, &c_out, NULL) == TS_OK;
    if (ok) {
        assert_string_equal(out.text.data, "<|bos|>s\xEF\xBF\xBD|<|end|>|");
        assert_int_equal(out.n_data, 2);
        assert_int_equal(tokens.id[0], TINY_BOS);
    }
    json_decref(c);
    ts_tokens_free(&tokens);
    ts_jinja_out_free(&out), ts_jinja_out_free(&c_out);
    ts_templates_free(all);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    ts_tokenizer *t =
        with("{\"chat_template\":\"{{ bos_token }}{% for m in messages %}{{ m.content + '|' }}{% endfor %}\"}");
    alloc_fail_loop(make_prompt, t, true);
    ts_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants), cmocka_unit_test(test_begin_and_end),
        cmocka_unit_test(test_user_beside_template), cmocka_unit_test(test_variables), cmocka_unit_test(test_time),
        cmocka_unit_test(test_choice), cmocka_unit_test(test_refusals), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
