/* Conversations: exchanges, settings, the file. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "cli/cmd_chat_talk.h"

enum { VOCAB = 100 };

static void push(chat_talk *t, const char *user, const char *answer) {
    assert_true(chat_talk_push(t, ts_strdup(user), ts_strdup(answer)));
}

static void test_talk(void **state) {
    (void)state;
    chat_talk t = {0};
    char name[2][8];
    for (int i = 0; i < 9; i++) {
        snprintf(name[0], sizeof name[0], "u%d", i);
        snprintf(name[1], sizeof name[1], "a%d", i);
        push(&t, name[0], name[1]);
    }
    assert_true(chat_talk_set_system(&t, "be brief"));
    ts_message msg[20];
    assert_int_equal(chat_talk_messages(&t, 8, "next", msg), 4);
    static const char *const want[4][2] = {{"system", "be brief"}, {"user", "u8"}, {"assistant", "a8"},
                                           {"user", "next"}};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(msg[i].role, want[i][0]);
        assert_string_equal(msg[i].content, want[i][1]);
    }
    chat_talk_drop_first(&t, 2);
    chat_talk_drop_last(&t, 3);
    assert_int_equal(t.n, 4);
    assert_string_equal(t.exchange[0].user, "u2");
    assert_string_equal(t.exchange[3].answer, "a5");
    chat_talk_drop_first(&t, 100);
    chat_talk_drop_last(&t, 100);
    assert_true(chat_talk_set_system(&t, ""));
    assert_int_equal(chat_talk_messages(&t, 0, NULL, msg), 0);
    chat_talk_free(&t);
}

static void test_settings(void **state) {
    (void)state;
    chat_settings s = {.sampling = cli_sampling_defaults()};
    ts_err err;
    assert_ok(chat_settings_set(&s, "temp", "0.25", VOCAB, &err));
    assert_ok(chat_settings_set(&s, "predict", "12", VOCAB, &err));
    assert_ok(chat_settings_set(&s, "logit-bias", "99=-inf", VOCAB, &err));
    char stop[] = "END";
    assert_ok(chat_settings_set(&s, "stop", stop, VOCAB, &err));
    stop[0] = 'X'; /* it keeps a copy */
    assert_string_equal(s.sampling.stop.item[0], "END");
    assert_true(s.sampling.temp == 0.25);
    static const char *const bad[][2] = {
        {"temp", "-1"},      {"temp", ""},     {"top-k", "1.5"}, {"logit-bias", "100=1"},
        {"logit-bias", "x"}, {"nothing", "1"}, {"", "1"},        {"Model", "1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(chat_settings_set(&s, bad[i][0], bad[i][1], VOCAB, &err), TS_E_INVAL);
    assert_int_equal(s.sampling.bias.n, 1);
    assert_ok(chat_settings_unset(&s, "temp", &err));
    assert_ok(chat_settings_unset(&s, "logit-bias", &err));
    assert_ok(chat_settings_unset(&s, "predict", &err));
    assert_status(chat_settings_unset(&s, "nothing", &err), TS_E_INVAL);
    assert_true(s.sampling.temp == 0.8 && s.sampling.bias.n == 0 && s.n_predict == 0 && s.sampling.stop.n == 1);
    chat_settings_free(&s);
}

static void make(chat_talk *t, chat_settings *s) {
    ts_err err;
    push(t, "line 1\nline \"2\" \\ \t \x01 \xf0\x9f\x98\x80", "");
    push(t, "/bye", "and \xc3\xa9");
    assert_true(chat_talk_set_system(t, "sys"));
    assert_ok(chat_settings_set(s, "temp", "0.95", VOCAB, &err));
    assert_ok(chat_settings_set(s, "stop", "\n\n", VOCAB, &err));
    assert_ok(chat_settings_set(s, "logit-bias", "3=-inf", VOCAB, &err));
    assert_ok(chat_settings_set(s, "seed", "9007199254740992", VOCAB, &err));
}

static void test_file(void **state) {
    (void)state;
    chat_talk t = {0}, t2 = {0};
    chat_settings s = {.sampling = cli_sampling_defaults()}, s2 = {.sampling = cli_sampling_defaults()};
    ts_buf text = {0}, again = {0};
    ts_err err;
    make(&t, &s);
    assert_ok(chat_file_write(&t, &s, "model \xff", "llama2", &text, &err));
    assert_non_null(strstr(text.data, "\"temp\": 0.95,")); /* as it was typed */
    assert_non_null(strstr(text.data, "\"model\": \"model \xef\xbf\xbd\""));
    push(&t2, "old", "old");
    assert_ok(chat_file_read(text.data, text.len, VOCAB, &t2, &s2, &err));
    assert_int_equal(t2.n, 2);
    assert_string_equal(t2.exchange[0].user, t.exchange[0].user);
    assert_string_equal(t2.exchange[1].answer, t.exchange[1].answer);
    assert_string_equal(t2.system, "sys");
    assert_true(s2.sampling.temp == 0.95 && s2.sampling.seed == 9007199254740992);
    assert_string_equal(s2.sampling.stop.item[0], "\n\n");
    assert_ok(chat_file_write(&t2, &s2, "model \xef\xbf\xbd", "llama2", &again, &err));
    assert_string_equal(text.data, again.data);
    ts_buf_free(&text), ts_buf_free(&again);
    chat_talk_free(&t), chat_talk_free(&t2);
    chat_settings_free(&s), chat_settings_free(&s2);
}

static void test_foreign(void **state) {
    (void)state;
    chat_talk t = {0};
    chat_settings s = {.sampling = cli_sampling_defaults()};
    ts_err err;
    s.sampling.temp = 0.125;
    static const char minimal[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\",\"x\":1},{\"role\":\"user\",\"content\":\"u\"},"
        "{\"role\":\"assistant\",\"content\":\"a\"}],\"other\":[]}";
    assert_ok(chat_file_read(minimal, strlen(minimal), VOCAB, &t, &s, &err));
    assert_string_equal(t.system, "s");
    assert_int_equal(t.n, 1);
    assert_true(s.sampling.temp == 0.125); /* no settings in the file: ours stay */
    static const char some[] = "{\"settings\":{\"top-k\":7},\"messages\":[]}";
    assert_ok(chat_file_read(some, strlen(some), VOCAB, &t, &s, &err));
    assert_int_equal(t.n, 0);
    assert_null(t.system);
    assert_true(s.sampling.top_k == 7 && s.sampling.temp == 0.8); /* the others are the defaults */
    chat_talk_free(&t);
    chat_settings_free(&s);
}

static void test_bad(void **state) {
    (void)state;
#define USER "{\"role\":\"user\",\"content\":\"u\"}"
#define ANSWER "{\"role\":\"assistant\",\"content\":\"a\"}"
    static const struct {
        const char *text, *said;
        ts_status code;
    } cases[] = {
        {"", "line 1", TS_E_FORMAT},
        {"[]", "no JSON object", TS_E_FORMAT},
        {"{\"messages\":[" USER "," ANSWER "]} x", "line 1, column", TS_E_FORMAT},
        {"{\"messages\":[],\"messages\":[]}", "line 1", TS_E_FORMAT},
        {"{}", "messages", TS_E_FORMAT},
        {"{\"messages\":{}}", "messages", TS_E_FORMAT},
        {"{\"messages\":[1]}", "message 1", TS_E_FORMAT},
        {"{\"messages\":[{\"role\":\"user\"}]}", "message 1", TS_E_FORMAT},
        {"{\"messages\":[" USER "]}", "message 1: it has no answer", TS_E_FORMAT},
        {"{\"messages\":[" ANSWER "]}", "message 1: from \"assistant\", where one from \"user\" belongs", TS_E_FORMAT},
        {"{\"messages\":[" USER "," USER "]}", "message 2", TS_E_FORMAT},
        {"{\"system\":\"s\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]}", "message 1", TS_E_FORMAT},
        {"{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":null}]}", "message 2", TS_E_FORMAT},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}", "line 1", TS_E_FORMAT},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", "line 1", TS_E_FORMAT},
        {"{\"format\":\"other\",\"messages\":[]}", "format", TS_E_FORMAT},
        {"{\"format\":1,\"messages\":[]}", "format", TS_E_FORMAT},
        {"{\"version\":2,\"messages\":[]}", "version", TS_E_UNSUPP},
        {"{\"system\":1,\"messages\":[]}", "system", TS_E_FORMAT},
        {"{\"settings\":[],\"messages\":[]}", "settings", TS_E_FORMAT},
        {"{\"settings\":{\"x\":1},\"messages\":[]}", "no setting \"x\"", TS_E_FORMAT},
        {"{\"settings\":{\"temp\":\"1\"},\"messages\":[]}", "temp is not a number", TS_E_FORMAT},
        {"{\"settings\":{\"temp\":101},\"messages\":[]}", "temp: 101 is outside", TS_E_INVAL},
        {"{\"settings\":{\"top-k\":1.5},\"messages\":[]}", "top-k is not a whole number", TS_E_FORMAT},
        {"{\"settings\":{\"stop\":\"x\"},\"messages\":[]}", "stop is not a list", TS_E_FORMAT},
        {"{\"settings\":{\"stop\":[1]},\"messages\":[]}", "stop: element 1", TS_E_FORMAT},
        {"{\"settings\":{\"logit-bias\":[\"100=1\"]},\"messages\":[]}", "logit-bias 100=1", TS_E_INVAL},
        {"{\"settings\":{\"seed\":99999999999999999999},\"messages\":[]}", "line 1", TS_E_FORMAT},
    };
    chat_talk t = {0};
    chat_settings s = {.sampling = cli_sampling_defaults()};
    make(&t, &s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_err err;
        ts_status got = chat_file_read(cases[i].text, strlen(cases[i].text), VOCAB, &t, &s, &err);
        if (got != cases[i].code || !strstr(err.msg, cases[i].said))
            fail_msg("%s: %d, %s", cases[i].text, got, err.msg);
        assert_true(t.n == 2 && s.sampling.stop.n == 1); /* untouched */
    }
    chat_talk_free(&t);
    chat_settings_free(&s);
}

/* Our own allocations. jansson's are not wrapped, and must not be: its scanner (2.14) asserts that they succeed. */
static bool body(void *ud) {
    (void)ud;
    chat_talk t = {0};
    chat_settings s = {.sampling = cli_sampling_defaults()};
    ts_buf text = {0};
    ts_err err = {.code = TS_E_NOMEM};
    bool made = chat_talk_set_system(&t, "sys") && chat_talk_push(&t, ts_strdup("u"), ts_strdup("a")) &&
                chat_settings_set(&s, "stop", "x", VOCAB, &err) == TS_OK &&
                chat_settings_set(&s, "logit-bias", "1=1", VOCAB, &err) == TS_OK &&
                chat_file_write(&t, &s, "m", "llama2", &text, &err) == TS_OK;
    bool ok = made && chat_file_read(text.data, text.len, VOCAB, &t, &s, &err) == TS_OK;
    if (!ok && err.code != TS_E_NOMEM) fail_msg("%s", err.msg);
    if (made) assert_int_equal(t.n, 1);
    chat_talk_free(&t);
    chat_settings_free(&s);
    ts_buf_free(&text);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),    cmocka_unit_test(test_settings), cmocka_unit_test(test_file),
        cmocka_unit_test(test_foreign), cmocka_unit_test(test_bad),      cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("chat_talk", tests, NULL, NULL);
}
