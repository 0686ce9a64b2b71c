/* Chat templates: which one a Jinja text is, and what is written, against Jinja2's and llama.cpp's renderings. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/file.h"
#include "text/chat.h"

#include <jansson.h>

static ts_err err;

static const ts_message talk[] = {
    {"system", " Be brief. "}, {"user", " Hi "}, {"assistant", " Hello! "}, {"user", "Bye"},
};

static void expect(ts_chat_template t, const ts_message *msg, size_t n, bool answer, const char *want) {
    ts_buf out = {0};
    assert_ok(ts_chat_apply(t, msg, n, NULL, answer, &out, &err));
    assert_string_equal(out.data, want);
    ts_buf_free(&out);
}

/* What each one writes for the same conversation. */
static void test_formats(void **state) {
    (void)state;
    static const char *const want[TS_CHAT_TEMPLATES] = {
        [TS_CHAT_LLAMA2] = "[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi [/INST] Hello! </s><s>[INST] Bye [/INST]",
        [TS_CHAT_LLAMA2_ONE_BOS] = "[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi [/INST] Hello! </s>[INST] Bye [/INST]",
        [TS_CHAT_LLAMA2_AS_IS] =
            "[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi  [/INST]  Hello!  </s><s>[INST] Bye [/INST]",
        [TS_CHAT_LLAMA3] = "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                           "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                           "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
                           "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                           "<|start_header_id|>assistant<|end_header_id|>\n\n",
        [TS_CHAT_LLAMA31] = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
                            "Today Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"
                            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                            "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
                            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        [TS_CHAT_CHATML] = "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
                           "<|im_start|>assistant\n Hello! <|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
                           "<|im_start|>assistant\n",
        [TS_CHAT_QWEN3] = "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
                          "<|im_start|>assistant\n Hello! <|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
                          "<|im_start|>assistant\n",
        [TS_CHAT_MISTRAL_V0] = "[INST]  Be brief. \n Hi  [/INST] Hello! </s>[INST] Bye [/INST]",
        [TS_CHAT_MISTRAL_V1] = " [INST]  Be brief. \n\n Hi  [/INST]  Hello! </s> [INST] Bye [/INST]",
        [TS_CHAT_MISTRAL_V3] = "[INST]  Hi [/INST] Hello!</s>[INST]  Be brief. \n\nBye[/INST]",
        [TS_CHAT_MISTRAL_V3_TEKKEN] = "[INST] Hi [/INST] Hello! </s>[INST] Be brief. \n\nBye[/INST]",
        [TS_CHAT_MISTRAL_V7] = "[SYSTEM_PROMPT]  Be brief. [/SYSTEM_PROMPT][INST]  Hi [/INST]  Hello! </s>[INST] Bye[/INST]",
        [TS_CHAT_MISTRAL_V7_TEKKEN] =
            "[SYSTEM_PROMPT] Be brief. [/SYSTEM_PROMPT][INST] Hi [/INST] Hello! </s>[INST]Bye[/INST]",
        [TS_CHAT_GEMMA] = "<start_of_turn>user\nBe brief. \n Hi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
                          "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
        [TS_CHAT_GEMMA3] = "<start_of_turn>user\n Be brief. \n\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
                           "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
        [TS_CHAT_PHI3] = "<|system|>\n Be brief. <|end|>\n<|user|>\n Hi <|end|>\n<|assistant|>\n Hello! <|end|>\n"
                         "<|user|>\nBye<|end|>\n<|assistant|>\n",
        [TS_CHAT_ZEPHYR] = "<|system|>\n Be brief. </s>\n<|user|>\n Hi </s>\n<|assistant|>\n Hello! </s>\n"
                           "<|user|>\nBye</s>\n<|assistant|>\n",
    };
    for (int t = 1; t < TS_CHAT_TEMPLATES; t++) {
        assert_non_null(want[t]);
        expect((ts_chat_template)t, talk, 4, true, want[t]);
        /* without a system message and without the opening of an answer */
        ts_buf out = {0};
        assert_ok(ts_chat_apply((ts_chat_template)t, talk + 1, 1, "<BOS>", false, &out, &err));
        assert_non_null(strstr(out.data, "Hi"));
        assert_null(strstr(out.data, "brief"));
        ts_buf_free(&out);
    }
    expect(TS_CHAT_CHATML, talk + 1, 1, false, "<|im_start|>user\n Hi <|im_end|>\n");
    expect(TS_CHAT_LLAMA31, talk + 3, 1, false,
           "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
           "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>");
}

static void test_begin_and_end(void **state) {
    (void)state;
    ts_buf out = {0};
    assert_true(ts_buf_puts(&out, "before "));
    assert_ok(ts_chat_apply_eos(TS_CHAT_LLAMA2, talk + 1, 3, "<B>", "<E>", true, &out, &err));
    assert_string_equal(out.data, "before <B>[INST] Hi [/INST] Hello! <E><B>[INST] Bye [/INST]");
    ts_buf_clear(&out);
    assert_ok(ts_chat_apply_eos(TS_CHAT_ZEPHYR, talk + 3, 1, "<B>", "<E>", false, &out, &err)); /* it writes no begin token */
    assert_string_equal(out.data, "<|user|>\nBye<E>\n");
    ts_buf_free(&out);
}

static void refused(ts_chat_template t, const ts_message *msg, size_t n, const char *says) {
    ts_buf out = {0};
    assert_true(ts_buf_puts(&out, "as before"));
    assert_status(ts_chat_apply(t, msg, n, NULL, true, &out, &err), TS_E_INVAL);
    assert_string_equal(out.data, "as before");
    if (!strstr(err.msg, says) || strchr(err.msg, '\n')) fail_msg("says \"%s\"", err.msg);
    ts_buf_free(&out);
}

static void test_order(void **state) {
    (void)state;
    refused(TS_CHAT_NONE, talk, 4, "--chat-template");
    refused(TS_CHAT_TEMPLATES, talk, 4, "--chat-template");
    refused(TS_CHAT_CHATML, talk, 0, "without messages");
    refused(TS_CHAT_CHATML, (ts_message[]){{"tool\n", "x"}}, 1, "\"tool\\n\"");
    refused(TS_CHAT_GEMMA, (ts_message[]){talk[1], talk[3]}, 2, "message 2");
    refused(TS_CHAT_MISTRAL_V1, (ts_message[]){talk[2]}, 1, "message 1");
    refused(TS_CHAT_LLAMA2, talk, 1, "there is none");
    refused(TS_CHAT_LLAMA2_AS_IS, (ts_message[]){talk[0], talk[2]}, 2, "message 2");
    refused(TS_CHAT_MISTRAL_V3, (ts_message[]){talk[1], talk[0]}, 2, "only at the start");
    refused(TS_CHAT_LLAMA2_AS_IS, (ts_message[]){talk[0], talk[0], talk[1]}, 3, "only at the start");
    /* templates that do not care */
    expect(TS_CHAT_CHATML, (ts_message[]){talk[3], talk[3], talk[0]}, 3, false,
           "<|im_start|>user\nBye<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>system\n Be brief. <|im_end|>\n");
    expect(TS_CHAT_PHI3, talk, 1, true, "<|system|>\n Be brief. <|end|>\n<|assistant|>\n");
}

static void test_thoughts(void **state) {
    (void)state;
#define A "<|im_start|>assistant\n"
#define E "<|im_end|>\n"
    static const char thought[] = "<think>\nLet me\nsee.\n\n</think>\n\nFour.";
    const ts_message m[] = {{"user", "2+2?"}, {"assistant", thought}, {"user", "3?"}, {"assistant", thought}};
    expect(TS_CHAT_QWEN3, m, 3, true,
           "<|im_start|>user\n2+2?" E A "Four." E "<|im_start|>user\n3?" E A);
    expect(TS_CHAT_QWEN3, m + 2, 2, false,
           "<|im_start|>user\n3?" E A "<think>\nLet me\nsee.\n</think>\n\nFour." E);
    expect(TS_CHAT_QWEN3, (ts_message[]){{"user", "3?"}, {"assistant", "Nine."}}, 2, false,
           "<|im_start|>user\n3?" E A "<think>\n\n</think>\n\nNine." E);
    expect(TS_CHAT_CHATML, m, 2, false, "<|im_start|>user\n2+2?" E A "<think>\nLet me\nsee.\n\n</think>\n\nFour." E);
#undef A
#undef E
}

static void test_names(void **state) {
    (void)state;
    ts_chat_template t;
    for (int i = 1; i < TS_CHAT_TEMPLATES; i++) {
        assert_ok(ts_chat_find(&t, ts_chat_name((ts_chat_template)i), &err));
        assert_int_equal(t, i);
    }
    static const char *const bad[] = {"", "none", "llama", "LLAMA3", "a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ts_chat_find(&t, bad[i], &err), TS_E_INVAL);
        assert_non_null(strstr(err.msg, "llama2 "));
        assert_non_null(strstr(err.msg, " zephyr"));
        assert_null(strchr(err.msg, '\n'));
    }
    assert_status(ts_chat_detect(&t, "", 0, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "--chat-template"));
    assert_status(ts_chat_detect(&t, "{{ messages }}", 14, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "--chat-template"));
}

static void default_system(const char *jinja, const char *want) {
    ts_buf out = {0};
    ts_chat_template t;
    assert_true(ts_buf_puts(&out, ""));
    assert_ok(ts_chat_detect(&t, jinja, strlen(jinja), &err));
    assert_true(ts_chat_default_system(t, jinja, strlen(jinja), &out));
    assert_string_equal(out.data, want);
    ts_buf_free(&out);
}

static void test_default_system(void **state) {
    (void)state;
    default_system("{{ '<|im_start|>system\\n' + m + '<|im_end|>\\n' }}", "");
    default_system("{{ '<|im_start|>system\\n' + m + '<|im_end|>\\n' }}{{ '<|im_start|>system\\nBe good.<|im_end|>\\n' }}",
                   "Be good.");
    default_system("{{ '<|im_start|>system\nBe good.<|im_end|>\n' }}", "Be good.");
    default_system("{% set system_message = messages[0] %}{% set system_message = 'Be kind.' %}<|im_start|><|im_end|>",
                   "Be kind.");
    default_system("{{ '<|im_start|>system<|im_end|>' }}", "");
    default_system("{{ '<|im_end|><|im_start|>system\\n", "");
    default_system("{{ '<|im_end|><|im_start|>system", "");
    default_system("<|start_header_id|><|end_header_id|><|im_start|>system\\nBe good.", "");
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

#define TEXT(o, key) json_string_value(json_object_get(o, key))

static size_t messages_of(json_t *list, ts_message *out, size_t cap) {
    size_t n = json_array_size(list);
    assert_true(n < cap);
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_array_get(list, i);
        out[i] = (ts_message){TEXT(m, "role"), TEXT(m, "content")};
    }
    return n;
}

static json_t *load(const char *name) {
    char path[500];
    json_error_t e;
    json_t *j = json_load_file(shared_path(path, sizeof path, name), 0, &e);
    if (!j) fail_msg("%s: %s", path, e.text);
    return j;
}

/* llama.cpp's cases: what its Jinja engine is expected to give, and the template we take it for. `legacy`: we follow its
 * built-in version instead, for the reason in docs/models/chat-templates.md. */
static const struct {
    const char *name;
    ts_chat_template t;
    bool legacy;
} cases[] = {
    {"teknium/OpenHermes-2.5-Mistral-7B", TS_CHAT_CHATML, false},
    {"mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)", TS_CHAT_MISTRAL_V0, false},
    {"TheBloke/FusionNet_34Bx2_MoE-AWQ", TS_CHAT_LLAMA2_AS_IS, false},
    {"bofenghuang/vigogne-2-70b-chat", TS_CHAT_LLAMA2_ONE_BOS, false},
    {"google/gemma-7b-it", TS_CHAT_GEMMA, false},
    {"Llama-3", TS_CHAT_LLAMA3, false},
    {"Phi-3-mini", TS_CHAT_PHI3, true},
    {"Phi-3-small", TS_CHAT_PHI3, false},
    {"Phi-3-medium", TS_CHAT_PHI3, true},
    {"Phi-3-vision", TS_CHAT_PHI3, false},
    {"mistralai/Mistral-7B-Instruct-v0.2 (mistralai 'v1' template with a system prompt)", TS_CHAT_MISTRAL_V1, false},
    {"Mistral-Large-Instruct-2407 (mistralai 'v3' template; modified to have system prompt at start)", TS_CHAT_MISTRAL_V3,
     false},
    {"Mistral-Nemo-Instruct-2407 (mistralai 'v3-tekken' template; modified to have system prompt at start)",
     TS_CHAT_MISTRAL_V3_TEKKEN, false},
    {"mistralai/Mistral-Large-Instruct-2411 (mistralai 'v7' template)", TS_CHAT_MISTRAL_V7, false},
};

static void test_llamacpp_cases(void **state) {
    (void)state;
    char path[500];
    SKIP_WITHOUT(shared_path(path, sizeof path, "assets/chat-templates/llamacpp_cases.json"));
    json_t *list = load("assets/chat-templates/llamacpp_cases.json"), *c;
    size_t i, known = 0;
    json_array_foreach(list, i, c) {
        const char *jinja = TEXT(c, "template"), *name = TEXT(c, "name");
        ts_chat_template want = TS_CHAT_NONE, t = TS_CHAT_NONE;
        bool legacy = false;
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            if (strcmp(cases[k].name, name) == 0) want = cases[k].t, legacy = cases[k].legacy;
        ts_status s = ts_chat_detect(&t, jinja, strlen(jinja), &err);
        if (t != want) fail_msg("%s: taken for %s, not %s", name, ts_chat_name(t), ts_chat_name(want));
        assert_int_equal(s == TS_OK, want != TS_CHAT_NONE);
        if (s != TS_OK) continue;
        ts_message m[32];
        size_t n = messages_of(json_object_get(c, "messages"), m, 32);
        ts_buf out = {0};
        assert_ok(ts_chat_apply_eos(t, m, n, TEXT(c, "bos_token"), TEXT(c, "eos_token"),
                                    json_is_true(json_object_get(c, "add_generation_prompt")), &out, &err));
        const char *text = TEXT(c, legacy ? "expected_legacy" : "expected_jinja");
        if (strcmp(out.data, text) != 0) fail_msg("%s:\n got \"%s\"\nwant \"%s\"", name, out.data, text);
        ts_buf_free(&out);
        known++;
    }
    assert_int_equal(known, sizeof cases / sizeof *cases);
    json_decref(list);
}

/* Templates as vendors publish them, rendered by Jinja2. Those not listed are refused. */
static const struct {
    const char *file;
    ts_chat_template t;
    bool no_bos;     /* the template writes the begin token, ours of this family does not: the tokenizer's business */
    bool own_system; /* it has a default system message of its own that we leave out */
    bool no_system;  /* it refuses system messages, ours puts them into the user's */
    bool any_order;  /* it takes what other members of the family refuse */
} files[] = {
    {"LFM2-8B-A1B.jinja", TS_CHAT_CHATML, .no_bos = true},
    {"LFM2.5-Instruct.jinja", TS_CHAT_CHATML, .no_bos = true},
    {"Mistral-Small-3.2-24B-Instruct-2506.jinja", TS_CHAT_MISTRAL_V7_TEKKEN, .own_system = true},
    {"Qwen-Qwen2.5-7B-Instruct.jinja", TS_CHAT_CHATML, .no_bos = false},
    {"Qwen-Qwen3-0.6B.jinja", TS_CHAT_QWEN3, .no_bos = false},
    {"Qwen3-Coder.jinja", TS_CHAT_CHATML, .no_bos = false},
    {"google-gemma-2-2b-it.jinja", TS_CHAT_GEMMA, .no_system = true},
    {"meta-llama-Llama-3.1-8B-Instruct.jinja", TS_CHAT_LLAMA31, .no_bos = false},
    {"meta-llama-Llama-3.2-3B-Instruct.jinja", TS_CHAT_LLAMA31, .no_bos = false},
    {"meta-llama-Llama-3.3-70B-Instruct.jinja", TS_CHAT_LLAMA31, .no_bos = false},
    {"mistralai-Ministral-3-14B-Reasoning-2512.jinja", TS_CHAT_MISTRAL_V7_TEKKEN, .own_system = true},
    {"mistralai-Mistral-Nemo-Instruct-2407.jinja", TS_CHAT_MISTRAL_V3_TEKKEN, .no_bos = false},
    {"unsloth-mistral-Devstral-Small-2507.jinja", TS_CHAT_MISTRAL_V7_TEKKEN, .own_system = true, .any_order = true},
};

static void check_golden(json_t *c, const char *jinja, size_t jinja_len, size_t k) {
    const char *context = TEXT(c, "context"), *want = TEXT(c, "expected");
    json_t *in = json_object_get(c, "inputs");
    ts_message m[32];
    ts_buf out = {0}, system = {0};
    size_t n = messages_of(json_object_get(in, "messages"), m + 1, 31);
    bool has_system = n > 0 && strcmp(m[1].role, "system") == 0;
    assert_true(ts_chat_default_system(files[k].t, jinja, jinja_len, &system));
    ts_message *first = m + 1;
    if (system.len && n && !has_system) {
        m[0] = (ts_message){"system", system.data};
        first = m;
        n++;
    }
    ts_status s = ts_chat_apply_eos(files[k].t, first, n, TEXT(in, "bos_token"), TEXT(in, "eos_token"),
                                    json_is_true(json_object_get(in, "add_generation_prompt")), &out, &err);
    if (files[k].no_bos && want) want += strlen(TEXT(in, "bos_token"));
    bool excused = (files[k].own_system && !has_system) || (files[k].no_system && has_system) ||
                   (files[k].any_order && strcmp(context, "bad_alternation") == 0);
    bool same = want ? s == TS_OK && strcmp(out.data, want) == 0 : s != TS_OK;
    if (same == excused && strcmp(context, "empty_messages") != 0 && !(excused && s != TS_OK && !want))
        fail_msg("%s, %s: %s\n got \"%s\"\nwant \"%s\"", files[k].file, context, excused ? "no longer differs" : "differs",
                 s ? err.msg : out.data, want ? want : "an error");
    ts_buf_free(&out), ts_buf_free(&system);
}

static void test_jinja2_goldens(void **state) {
    (void)state;
    char path[500];
    SKIP_WITHOUT(shared_path(path, sizeof path, "assets/chat-templates/jinja2_goldens.json"));
    json_t *list = load("assets/chat-templates/jinja2_goldens.json"), *c;
    size_t i, checked = 0;
    json_array_foreach(list, i, c) {
        const char *file = TEXT(c, "template");
        snprintf(path, sizeof path, "%s/assets/chat-templates/jinja/%s", getenv("TESSERA_SHARED"), file);
        ts_buf jinja = {0};
        assert_ok(ts_file_read(&jinja, path, SIZE_MAX, &err));
        size_t k = 0, n = sizeof files / sizeof *files;
        while (k < n && strcmp(files[k].file, file) != 0) k++;
        ts_chat_template t = TS_CHAT_NONE;
        ts_status s = ts_chat_detect(&t, jinja.data, jinja.len, &err);
        if (t != (k < n ? files[k].t : TS_CHAT_NONE)) fail_msg("%s: taken for %s", file, ts_chat_name(t));
        assert_int_equal(s, k < n ? TS_OK : TS_E_UNSUPP);
        if (k < n && strncmp(TEXT(c, "context"), "tool", 4) != 0) {
            check_golden(c, jinja.data, jinja.len, k);
            checked++;
        }
        ts_buf_free(&jinja);
    }
    assert_int_equal(checked, 8 * (sizeof files / sizeof *files));
    json_decref(list);
}

static bool apply(void *ud) {
    (void)ud;
    ts_buf out = {0};
    bool ok = true;
    for (int t = 1; t < TS_CHAT_TEMPLATES && ok; t++)
        ok = ts_chat_apply((ts_chat_template)t, talk, 4, "<s>", true, &out, NULL) == TS_OK;
    ok = ok && ts_chat_default_system(TS_CHAT_CHATML, "<|im_start|>system\nx<|im_end|>", 30, &out);
    ts_buf_free(&out);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(apply, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_begin_and_end),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_thoughts), cmocka_unit_test(test_names),         cmocka_unit_test(test_default_system),
        cmocka_unit_test(test_llamacpp_cases), cmocka_unit_test(test_jinja2_goldens), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("chat", tests, NULL, NULL);
}
