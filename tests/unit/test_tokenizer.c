/* Tokenizers as a whole: special tokens, the files they come in, what is refused. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/pool.h"
#include "format/gguf_write.h"
#include "text/tok_impl.h"

#include <sys/stat.h>
#include <unistd.h>

static ts_err err;

static ts_tokenizer *from_json(const ts_buf *json) {
    ts_tokenizer *t = NULL;
    assert_ok(ts_tok_from_json(&t, json->data, json->len, &err));
    assert_ok(ts_tok_finish(t, &err));
    return t;
}

static ts_tokenizer *tiny(void) {
    ts_buf json = {0};
    assert_true(tiny_json(&json, false, false));
    ts_tokenizer *t = from_json(&json);
    ts_buf_free(&json);
    return t;
}

static void expect(const ts_tokenizer *t, const char *text, size_t len, unsigned flags, const char *want) {
    ts_tokens got = {0};
    assert_ok(ts_tokenize(t, text, len, flags, &got, &err));
    ts_buf b = {0};
    assert_true(ts_buf_puts(&b, ""));
    for (size_t i = 0; i < got.n; i++) {
        ts_span e = ts_token_entry(t, got.id[i]);
        assert_true((i == 0 || ts_buf_putc(&b, '|')) && ts_buf_append(&b, e.data, e.len));
    }
    if (strcmp(b.data, want) != 0) fail_msg("\"%s\": got \"%s\", want \"%s\"", text, b.data, want);
    ts_buf_free(&b);
    ts_tokens_free(&got);
}

#define EXPECT(t, text, flags, want) expect(t, text, strlen(text), flags, want)

static void test_plain(void **state) {
    (void)state;
    ts_tokenizer *t = tiny();
    EXPECT(t, "hello world", 0, "hello| world");
    EXPECT(t, "hellohell low", 0, "hello|hell| |l|ow");
    EXPECT(t, "low", 0, "l|ow"); /* an entry, but "ow" comes first and nothing joins "l" to it */
    EXPECT(t, "aaaaa 123 1234", 0, "aaaa|a| |123| |123|4");
    EXPECT(t, "x\n\ny it's", 0, "x|\n\n|y| |i|t|'s");
    EXPECT(t, "日本", 0, "日|\xE6|\x9C|\xAC");
    EXPECT(t, "", 0, "");
    ts_tokens got = {0};
    assert_ok(ts_tokenize(t, "\0\xFF", 2, 0, &got, &err));
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 0);
    assert_int_equal(got.id[1], 255);
    assert_ok(ts_tokenize(t, "h", 1, 0, &got, &err)); /* appends */
    assert_int_equal(got.n, 3);
    ts_tokens_free(&got);
    ts_tokenizer_free(t);
    ts_tokenizer_free(NULL);
}

static void test_special(void **state) {
    (void)state;
    ts_tokenizer *t = tiny();
    EXPECT(t, "<|bos|>hello<|end|>", TS_TOKENIZE_SPECIAL, "<|bos|>|hello|<|end|>");
    EXPECT(t, "<|bos|>", 0, "<|||b|o|s|||>"); /* plain text unless asked for */
    EXPECT(t, "<|bos|", TS_TOKENIZE_SPECIAL, "<|||b|o|s||");
    EXPECT(t, "a<think>b", 0, "a|<think>|b"); /* user-defined: always */
    EXPECT(t, "<<think>>", 0, "<|<think>|>");
    EXPECT(t, "hello \n <|pad|> \t hello", TS_TOKENIZE_SPECIAL, "hello|<|pad|>|hello");
    EXPECT(t, "<|pad|>  <|pad|>  ", TS_TOKENIZE_SPECIAL, "<|pad|>|<|pad|>");
    EXPECT(t, "hello", TS_TOKENIZE_BOS, "<|bos|>|hello");
    EXPECT(t, "", TS_TOKENIZE_BOS, "<|bos|>");
    assert_int_equal(ts_tokenizer_bos(t), TINY_BOS);
    assert_true(ts_tokenizer_adds_bos(t));
    assert_false(ts_tokenizer_adds_prefix(t));
    assert_int_equal(ts_tokenizer_size(t), TINY_SIZE);
    assert_int_equal(ts_token_kind_of(t, TINY_THINK), TS_TOKEN_USER);
    assert_int_equal(ts_token_kind_of(t, TINY_END), TS_TOKEN_CONTROL);
    assert_int_equal(ts_token_kind_of(t, 0), TS_TOKEN_NORMAL);
    assert_int_equal(ts_token_kind_of(t, -1), TS_TOKEN_UNUSED);
    assert_int_equal(ts_tokenizer_find(t, "<|end|>", 7), TINY_END);
    assert_int_equal(ts_tokenizer_find(t, "hello", 5), 259);
    assert_int_equal(ts_tokenizer_find(t, "nothing", 7), -1);
    assert_true(ts_tokenizer_is_end(t, TINY_END)); /* by its name */
    assert_false(ts_tokenizer_is_end(t, TINY_BOS));
    assert_string_equal(ts_tokenizer_model_name(t), "llama-bpe");
    ts_buf b = {0};
    assert_true(ts_token_bytes(t, TINY_END, false, &b));
    assert_int_equal(b.len, 0);
    assert_true(ts_token_bytes(t, TINY_END, true, &b));
    assert_string_equal(b.data, "<|end|>");
    ts_buf_free(&b);
    ts_tokenizer_free(t);
}

/* The same tokenizer in all its forms. */
static void test_json_forms(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        ts_buf json = {0};
        assert_true(tiny_json(&json, form & 1, form & 2));
        ts_tokenizer *t = from_json(&json);
        EXPECT(t, "<|bos|>hello world low aaaa 123<think>", TS_TOKENIZE_SPECIAL,
               "<|bos|>|hello| world| |l|ow| |aaaa| |123|<think>");
        assert_true(ts_tokenizer_adds_bos(t));
        ts_tokenizer_free(t);
        ts_buf_free(&json);
    }
}

/* Replace the first `from` in the JSON and expect refusal. */
static void refuse(const char *from, const char *to, ts_status want, const char *says) {
    ts_buf json = {0}, bad = {0};
    assert_true(tiny_json(&json, false, false));
    const char *at = strstr(json.data, from);
    if (!at) fail_msg("no %s in the JSON", from);
    assert_true(ts_buf_append(&bad, json.data, (size_t)(at - json.data)) && ts_buf_puts(&bad, to) &&
                ts_buf_puts(&bad, at + strlen(from)));
    ts_tokenizer *t = NULL;
    ts_status s = ts_tok_from_json(&t, bad.data, bad.len, &err);
    if (s == TS_OK) {
        s = ts_tok_finish(t, &err);
        ts_tokenizer_free(t);
    }
    if (s != want || !strstr(err.msg, says) || strchr(err.msg, '\n'))
        fail_msg("\"%s\" for \"%s\": %s: %s", to, from, ts_status_name(s), s ? err.msg : "");
    ts_buf_free(&json), ts_buf_free(&bad);
}

static void test_json_refused(void **state) {
    (void)state;
    refuse("\"BPE\"", "\"Unigram\"", TS_E_UNSUPP, "Unigram");
    refuse("\"BPE\"", "7", TS_E_FORMAT, "expected a string");
    refuse("\"dropout\":null", "\"dropout\":0.1", TS_E_UNSUPP, "dropout");
    refuse("\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"", TS_E_UNSUPP, "end_of_word_suffix");
    refuse("\\\\p{N}{1,3}", "\\\\p{N}{1,2}", TS_E_UNSUPP, "Split");
    refuse("\"type\":\"ByteLevel\"", "\"type\":\"Whitespace\"", TS_E_UNSUPP, "Whitespace");
    refuse("\"use_regex\":false", "\"use_regex\":true", TS_E_UNSUPP, "pre_tokenizer");
    refuse("\"add_prefix_space\":false", "\"add_prefix_space\":true", TS_E_UNSUPP, "pre_tokenizer");
    refuse("\"Isolated\"", "\"Removed\"", TS_E_UNSUPP, "pre_tokenizer");
    refuse("\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", TS_E_UNSUPP, "Lowercase");
    refuse("TemplateProcessing", "BertProcessing", TS_E_UNSUPP, "post_processor");
    refuse("{\"SpecialToken\":{\"id\":\"<|bos|>\"", "{\"SpecialToken\":{\"id\":\"<|no\\n|>\"", TS_E_FORMAT,
           "<|no\\n|>");
    refuse("\"special\":true", "\"single_word\":true", TS_E_UNSUPP, "single word");
    refuse("\"content\":\"<|bos|>\"", "\"content\":\"\"", TS_E_FORMAT, "no content");
    refuse("\"model\":", "\"engine\":", TS_E_FORMAT, "not a tokenizer.json");
    refuse("\"!\":33", "\"!!\":33", TS_E_FORMAT, "no token for the byte 0x21");
    refuse("\"!\":33", "\"!\":99999999", TS_E_FORMAT, "outside 0 to");
    refuse("\"!\":33", "\"!\":-1", TS_E_FORMAT, "outside 0 to");
    refuse("\"!\":33", "\"!\":3.3", TS_E_FORMAT, "whole number");
    refuse("\"!\":33", "\"!\":\"33\"", TS_E_FORMAT, "expected a number");
    refuse("\"h e\"", "\"he\"", TS_E_FORMAT, "not two parts");
    refuse("\"h e\"", "\"h\xC4\x80 e\"", TS_E_FORMAT, "merge 0");
    refuse("\"h e\"", "\"x y\"", TS_E_FORMAT, "the result \"xy\"");
    refuse("\"h e\"", "\"\\ud800 e\"", TS_E_FORMAT, "surrogate");
    refuse("\"h e\"", "[\"h\",\"e\",\"l\"]", TS_E_FORMAT, "more than two");
    refuse("\"merges\":[", "\"merges\":[,", TS_E_FORMAT, "line 1, column");
    refuse("\"version\":", "version:", TS_E_FORMAT, "expected a string");
    ts_tokenizer *t;
    static const char *const bad[] = {"", "{", "[]", "null", "{}", "{\"model\":{}}", "{\"model\":{\"vocab\":{}}}",
                                      "{\"a\":1}x",
                                      "{\"model\":{\"type\":\"BPE\",\"vocab\":[]}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(ts_tok_from_json(&t, bad[i], strlen(bad[i]), &err) != TS_OK);
    ts_buf deep = {0};
    for (int i = 0; i < 100000; i++) assert_true(ts_buf_puts(&deep, "{\"a\":["));
    assert_status(ts_tok_from_json(&t, deep.data, deep.len, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "nested"));
    ts_buf_free(&deep);
}

static void test_json_cut(void **state) {
    (void)state;
    ts_buf json = {0};
    assert_true(tiny_json(&json, true, false));
    for (size_t n = 0; n < json.len; n += 1 + n / 40) {
        ts_tokenizer *t;
        char *exact = ts_strndup(json.data, n); /* so that a sanitizer sees a read past the end */
        ts_status s = ts_tok_from_json(&t, exact, n, &err);
        if (s != TS_E_FORMAT) fail_msg("%zu bytes: %s", n, ts_status_name(s));
        ts_free(exact);
    }
    ts_buf_free(&json);
}

/* The other known pipelines. */
static void test_json_pipelines(void **state) {
    (void)state;
    static const struct {
        const char *pre, *name;
    } list[] = {
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", "gpt-2"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}", "gpt-2"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":"
         "\"ByteLevel\","
         "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}",
         "smollm"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        ts_buf json = {0};
        assert_true(ts_buf_printf(&json, "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":%s,\"model\":{%s"
                                         "\"merges\":[],\"vocab\":", list[i].pre,
                                  i == 1 ? "" /* as in GPT-2's own file */ : "\"type\":\"BPE\",") &&
                    tiny_vocab_json(&json) && ts_buf_puts(&json, "}}"));
        ts_tokenizer *t = from_json(&json);
        assert_string_equal(ts_tokenizer_model_name(t), list[i].name);
        assert_false(ts_tokenizer_adds_bos(t));
        assert_int_equal(ts_tokenizer_bos(t), -1);
        EXPECT(t, "hello", 0, "h|e|l|l|o"); /* an entry, but no merges lead to it */
        ts_tokenizer_free(t);
        ts_buf_free(&json);
    }
}

static void test_config(void **state) {
    (void)state;
    ts_tokenizer *t = tiny();
    static const char conf[] =
        "{\"bos_token\":{\"content\":\"<|end|>\",\"lstrip\":false},\"eos_token\":\"<think>\",\"add_bos_token\":"
        "false,\"add_eos_token\":true,\"eos_token_id\":[5,6],\"chat_template\":\"{{ x }}\\n\",\"other\":[{}]}";
    assert_ok(ts_tok_apply_config(t, conf, sizeof conf - 1, &err));
    assert_int_equal(ts_tokenizer_bos(t), TINY_END);
    assert_int_equal(ts_tokenizer_eos(t), TINY_THINK);
    EXPECT(t, "hello", TS_TOKENIZE_BOS, "hello");
    EXPECT(t, "hello", TS_TOKENIZE_EOS, "hello|<think>");
    EXPECT(t, "hello<think>", TS_TOKENIZE_BOS | TS_TOKENIZE_EOS, "hello|<think>|<think>");
    assert_ok(ts_tok_finish(t, &err)); /* now it is an end, and text does not become it */
    EXPECT(t, "hello<think>", TS_TOKENIZE_EOS, "hello|<|t|h|i|n|k|>|<think>");
    assert_int_equal(ts_token_kind_of(t, TINY_THINK), TS_TOKEN_CONTROL);
    assert_int_equal(ts_token_kind_of(t, 5), TS_TOKEN_NORMAL); /* a byte stays one */
    assert_true(ts_tokenizer_is_end(t, 5) && ts_tokenizer_is_end(t, 6));
    const char *name;
    assert_int_equal(ts_tokenizer_n_templates(t), 1);
    assert_int_equal(ts_tokenizer_template(t, 0, &name).len, 8);
    assert_string_equal(name, "default");
    static const char list[] =
        "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"r\"},{\"template\":\"d\"},{\"name\":\"x\"},"
        "{\"template\":\"dd\",\"name\":\"default\",\"y\":[1]}],\"pad_token\":\"<|pad|>\"}";
    assert_ok(ts_tok_apply_config(t, list, sizeof list - 1, &err));
    assert_int_equal(ts_tokenizer_n_templates(t), 2);
    assert_int_equal(ts_tokenizer_template(t, 0, &name).len, 2);
    assert_int_equal(ts_tokenizer_template(t, 1, &name).len, 1);
    assert_string_equal(name, "rag");
    assert_int_equal(ts_tokenizer_named(t, "pad_token"), TINY_PAD);
    static const char none[] =
        "{\"bos_token\":null,\"eos_token\":\"?none?\",\"eos_token_id\":1e3,\"chat_template\":[]}";
    assert_status(ts_tok_apply_config(t, none, sizeof none - 1, &err), TS_E_FORMAT); /* 1e3 is no id */
    static const char odd[] = "{\"bos_token\":null,\"eos_token\":\"?none?\",\"eos_token_id\":-7,\"chat_template\":[]}";
    assert_ok(ts_tok_apply_config(t, odd, sizeof odd - 1, &err));
    assert_int_equal(ts_tokenizer_bos(t), TINY_END);
    ts_tokenizer_free(t);
}

/* Ids in config.json and generation_config.json: every end counts, the rest where nothing has said it before. */
static void test_ids(void **state) {
    (void)state;
    static const char ids[] = "{\"bos_token_id\":5,\"eos_token_id\":[99999,-1,260,6],\"pad_token_id\":7,\"x\":[{}],"
                              "\"text_config\":{\"eos_token_id\":8,\"bos_token_id\":null}}";
    ts_tokenizer *t = tiny();
    const ts_token bos = ts_tokenizer_bos(t);
    t->bos_guessed = false;
    t->eos = -1;
    assert_ok(ts_tok_apply_ids(t, ids, sizeof ids - 1, &err));
    assert_int_equal(ts_tokenizer_bos(t), bos); /* the file has said it */
    assert_int_equal(ts_tokenizer_eos(t), 260); /* the first that is one */
    assert_int_equal(ts_tokenizer_named(t, "pad_token"), 7);
    assert_true(ts_tokenizer_is_end(t, 260) && ts_tokenizer_is_end(t, 6) && ts_tokenizer_is_end(t, 8));
    t->bos_guessed = t->eos_guessed = true;
    assert_ok(ts_tok_apply_ids(t, ids, sizeof ids - 1, &err));
    assert_int_equal(ts_tokenizer_bos(t), 5);
    static const char next[] = "{\"bos_token_id\":9,\"eos_token_id\":9,\"pad_token_id\":9}";
    assert_ok(ts_tok_apply_ids(t, next, sizeof next - 1, &err));
    assert_int_equal(ts_tokenizer_bos(t), 5);
    assert_int_equal(ts_tokenizer_eos(t), 260);
    assert_true(ts_tokenizer_is_end(t, 9));
    assert_status(ts_tok_apply_ids(t, "{\"eos_token_id\":1.5}", 20, &err), TS_E_FORMAT);
    assert_status(ts_tok_apply_ids(t, "[]", 2, &err), TS_E_FORMAT);
    ts_tokenizer_free(t);
}

static bool fit_once(void *ud) {
    ts_tokenizer *t;
    const ts_buf *json = ud;
    bool dropped = false;
    if (ts_tok_from_json(&t, json->data, json->len, NULL) != TS_OK) return false;
    const bool ok = ts_tok_finish(t, NULL) == TS_OK && ts_tokenizer_fit(t, TINY_SIZE - 1, &dropped, NULL) == TS_OK;
    ts_tokenizer_free(t);
    return ok && dropped;
}

/* One control token more than the model has rows is taken away, and nothing else. */
static void test_fit(void **state) {
    (void)state;
    ts_tokenizer *t = tiny();
    bool dropped;
    assert_int_equal(ts_tokenizer_size(t), TINY_SIZE);
    assert_ok(ts_tokenizer_fit(t, TINY_SIZE, &dropped, &err));
    assert_false(dropped);
    EXPECT(t, "hello<|pad|>", TS_TOKENIZE_SPECIAL, "hello|<|pad|>");
    t->pad = TINY_PAD;
    assert_ok(ts_tokenizer_fit(t, TINY_SIZE - 1, &dropped, &err));
    assert_true(dropped);
    assert_int_equal(ts_tokenizer_size(t), TINY_SIZE - 1);
    assert_int_equal(ts_tokenizer_find(t, "<|pad|>", 7), -1);
    assert_int_equal(ts_tokenizer_named(t, "pad_token"), -1);
    EXPECT(t, "hello<|pad|>", TS_TOKENIZE_SPECIAL, "hello|<|||p|a|d|||>");
    EXPECT(t, "hello<|end|><think>", TS_TOKENIZE_SPECIAL, "hello|<|end|>|<think>");
    assert_status(ts_tokenizer_fit(t, TINY_SIZE - 2, &dropped, &err), TS_E_FORMAT); /* no control token */
    assert_status(ts_tokenizer_fit(t, TINY_SIZE - 3, &dropped, &err), TS_E_FORMAT);
    assert_status(ts_tokenizer_fit(t, 0, &dropped, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "but token_embd.weight only 0 rows"));
    ts_tokenizer_free(t);
    t = tiny();
    ts_tok_add_end(t, TINY_PAD);
    assert_status(ts_tokenizer_fit(t, TINY_SIZE - 1, &dropped, &err), TS_E_FORMAT);
    ts_tokenizer_free(t);
    ts_buf json = {0};
    assert_true(tiny_json(&json, false, false));
    alloc_fail_loop(fit_once, &json, true);
    ts_buf_free(&json);
}

static void test_pair_and_tiktoken(void **state) {
    (void)state;
    ts_buf vocab = {0}, merges = {0}, ranks = {0};
    assert_true(tiny_vocab_json(&vocab) && tiny_merges_text(&merges) && tiny_tiktoken(&ranks));
    ts_span v = {(uint8_t *)vocab.data, vocab.len}, m = {(uint8_t *)merges.data, merges.len};
    ts_tokenizer *t;
    assert_ok(ts_tok_from_pair(&t, v, m, "llama-bpe", NULL, &err));
    assert_ok(ts_tok_finish(t, &err));
    EXPECT(t, "hello world low 123", 0, "hello| world| |l|ow| |123");
    EXPECT(t, "low", 0, "low"); /* Llama 3 takes entries as they are */
    ts_tokenizer_free(t);
    assert_status(ts_tok_from_pair(&t, v, m, NULL, NULL, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "--pre"));
    assert_status(ts_tok_from_pair(&t, v, m, "nonsense", NULL, &err), TS_E_UNSUPP);
    assert_status(ts_tok_from_pair(&t, m, v, "gpt-2", NULL, &err), TS_E_FORMAT);

    assert_ok(ts_tok_from_tiktoken(&t, ranks.data, ranks.len, "llama-bpe", NULL, &err));
    assert_ok(ts_tok_finish(t, &err));
    EXPECT(t, "hello world 123", 0, "hello| world| |123");
    EXPECT(t, "low", 0, "low");
    EXPECT(t, "xlow", 0, "x|low"); /* by rank of the joint text, in two steps: "ow", then "low" */
    ts_tokenizer_free(t);
    assert_status(ts_tok_from_tiktoken(&t, ranks.data, ranks.len, NULL, NULL, &err), TS_E_UNSUPP);
    static const char *const bad[] = {"IQ== 0\nIg==\n", "IQ 0\n", "IQ== x\n", "I=== 0\n", " 0\n", "IQ== 0\nIg== 0\n",
                                      "IQ== 99999999999999999999\n", "IQ== -1\n", "IQ==  0\n", "\xFF\xFF\xFF\xFF 1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ts_tok_from_tiktoken(&t, bad[i], strlen(bad[i]), "gpt-2", NULL, &err), TS_E_FORMAT);
        assert_null(strchr(err.msg, '\n'));
    }
    ts_buf_free(&vocab), ts_buf_free(&merges), ts_buf_free(&ranks);
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

enum { NO_PRE = 1, NO_MERGES = 2, SHORT_TYPES = 4, BAD_BOS = 8, BAD_MODEL = 16, NO_TOKENS = 32, BAD_SCORE = 64,
       END_NORMAL = 128, END_USER = 256, EOT_HELLO = 512, ENDS_OUT = 1024, ENDS_MANY = 2048 /* not wrong, only odd */,
       OWN = 4096, OWN_PREFIX = 8192, OWN_ID = 16384, OWN_TYPE = 32768, OWN_MERGE = 65536 };

static ts_status build_gguf(ts_buf *out, bool spm, unsigned wrong, ts_err *e) {
    ts_gguf_writer *w;
    TS_TRY(ts_gguf_writer_new(&w, 0, e));
    ts_arena a = {0};
    enum { MAX = 1024 };
    ts_span token[MAX], merge[TINY_MERGES];
    int32_t type[MAX];
    float score[MAX];
    size_t n = 0;
    ts_buf text = {0};
    for (size_t i = 0; i < (spm ? TINY_SPM_SIZE : TINY_SIZE); i++, n++) {
        ts_buf_clear(&text);
        type[n] = TS_TOKEN_NORMAL;
        score[n] = spm && i >= 259 ? -(float)(i - 259) : 0;
        static const char *const first[] = {"<unk>", "<s>", "</s>"};
        static const char *const last[] = {"<|bos|>", "<|end|>", "<think>", "<|pad|>"};
        bool ok = true;
        if (spm && i < 3) ok = ts_buf_puts(&text, first[i]), type[n] = i ? TS_TOKEN_CONTROL : TS_TOKEN_UNKNOWN;
        else if (spm && i < 259) ok = ts_buf_printf(&text, "<0x%02X>", (unsigned)i - 3), type[n] = TS_TOKEN_BYTE;
        else if (spm && i < TINY_SEP) ok = tiny_block(&text, tiny_pieces[i - 259]);
        else if (spm) ok = ts_buf_puts(&text, "<sep>"), type[n] = TS_TOKEN_USER;
        else if (i < 256) ok = tiny_byte(&text, (unsigned)i);
        else if (i < TINY_BOS) {
            for (const char *p = tiny_merges[i - 256]; *p; p++)
                if (*p != '|') ok = ok && tiny_byte(&text, (unsigned char)*p);
        } else
            ok = ts_buf_puts(&text, last[i - TINY_BOS]), type[n] = i == TINY_THINK ? TS_TOKEN_USER : TS_TOKEN_CONTROL;
        assert_true(ok);
        token[n] = (ts_span){(uint8_t *)ts_arena_strndup(&a, text.data, text.len), text.len};
    }
    if (wrong & (END_NORMAL | END_USER)) type[spm ? 2 : TINY_END] = wrong & END_USER ? TS_TOKEN_USER : TS_TOKEN_NORMAL;
    for (int i = 0; i < TINY_MERGES; i++) {
        ts_buf_clear(&text);
        assert_true(tiny_merge(&text, i, " "));
        merge[i] = (ts_span){(uint8_t *)ts_arena_strndup(&a, text.data, text.len), text.len};
    }
    if (wrong & BAD_SCORE) memcpy(&score[300 < n ? 300 : n - 2], "\0\0\xC0\x7F", 4);
    ts_gguf_put_str(w, "general.architecture", "llama");
    ts_gguf_put_str(w, "tokenizer.ggml.model", wrong & BAD_MODEL ? "bert" : spm ? "llama" : "gpt2");
    if (!spm && !(wrong & NO_PRE)) ts_gguf_put_str(w, "tokenizer.ggml.pre", "llama-bpe");
    if (!(wrong & NO_TOKENS)) ts_gguf_put_strings(w, "tokenizer.ggml.tokens", token, n);
    if (spm) ts_gguf_put_array(w, "tokenizer.ggml.scores", TS_GGUF_F32, score, n);
    ts_gguf_put_array(w, "tokenizer.ggml.token_type", TS_GGUF_I32, type, wrong & SHORT_TYPES ? n - 1 : n);
    if (!spm && !(wrong & NO_MERGES)) ts_gguf_put_strings(w, "tokenizer.ggml.merges", merge, TINY_MERGES);
    ts_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", wrong & BAD_BOS ? 5000 : spm ? 1 : TINY_BOS);
    ts_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", spm ? 2 : TINY_END);
    if (spm) ts_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
    ts_gguf_put_u32(w, "tokenizer.ggml.eot_token_id", wrong & EOT_HELLO ? 259 : 7);
    static const uint32_t ends[3][17] = {{TINY_END, TINY_PAD}, {2, 1}, {5000}};
    ts_gguf_put_array(w, "tokenizer.ggml.eos_token_ids", TS_GGUF_U32, ends[wrong & ENDS_OUT ? 2 : spm],
                      wrong & ENDS_MANY ? 17 : 2);
    if (wrong & (OWN | OWN_PREFIX | OWN_ID | OWN_MERGE)) {
        const uint32_t strip = wrong & OWN_ID ? 5000 : spm ? TINY_SEP : TINY_THINK;
        ts_gguf_put_bool(w, "tessera.tokenizer.ignore_merges", false);
        ts_gguf_put_array(w, "tessera.tokenizer.rstrip_ids", TS_GGUF_U32, &strip, 1);
        ts_gguf_put_str(w, "tessera.tokenizer.prefix", wrong & OWN_PREFIX ? "last" : "first");
        ts_gguf_put_bool(w, "tessera.tokenizer.prefix_unless_space", true);
        ts_gguf_put_bool(w, "tessera.tokenizer.split_spaces", true);
        const ts_span own[] = {{(const uint8_t *)"h e", 3}, {(const uint8_t *)"h ?", 3}};
        ts_gguf_put_strings(w, "tessera.tokenizer.merges", own, wrong & OWN_MERGE ? 2 : 1);
    }
    if (wrong & OWN_TYPE) ts_gguf_put_u32(w, "tessera.tokenizer.ignore_merges", 1);
    ts_gguf_put_str(w, "tokenizer.chat_template.tool_use", "{{ tools }}");
    ts_gguf_put_str(w, "tokenizer.chat_template", "{{ template }}");
    if (!spm) ts_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", TINY_PAD);
    ts_status s = ts_gguf_save_mem(w, out, e);
    ts_gguf_writer_free(w);
    ts_arena_free(&a);
    ts_buf_free(&text);
    return s;
}

static ts_status open_gguf(ts_tokenizer **t, const ts_buf *file, const char *pre, ts_err *e) {
    ts_gguf *g;
    TS_TRY(ts_gguf_open_mem(&g, (ts_span){(uint8_t *)file->data, file->len}, "memory.gguf", 0, e));
    ts_status s = ts_tokenizer_from_gguf(t, g, pre, e);
    ts_gguf_close(g);
    return s;
}

static void test_gguf(void **state) {
    (void)state;
    ts_tokenizer *t = NULL;
    ts_buf file = {0};
    assert_ok(build_gguf(&file, false, 0, &err));
    assert_ok(open_gguf(&t, &file, NULL, &err));
    memset(file.data, 0xAA, file.len); /* nothing is borrowed from the file */
    ts_buf_free(&file);
    EXPECT(t, "low world low<think>", 0, "low| world| |l|ow|<think>");
    EXPECT(t, "<|end|>hello", TS_TOKENIZE_SPECIAL | TS_TOKENIZE_BOS, "<|bos|>|<|end|>|hello");
    assert_true(ts_tokenizer_is_end(t, 7) && ts_tokenizer_is_end(t, TINY_END) && ts_tokenizer_is_end(t, TINY_PAD));
    const char *name;
    assert_int_equal(ts_tokenizer_n_templates(t), 2);
    assert_int_equal(ts_tokenizer_template(t, 0, &name).len, 14);
    assert_string_equal(name, "default");
    assert_int_equal(ts_tokenizer_template(t, 1, &name).len, 11);
    assert_string_equal(name, "tool_use");
    assert_int_equal(ts_tokenizer_named(t, "bos_token"), TINY_BOS);
    assert_int_equal(ts_tokenizer_named(t, "pad_token"), TINY_PAD);
    assert_int_equal(ts_tokenizer_named(t, "sep_token"), -1);
    assert_int_equal(ts_tokenizer_named(t, "tos_token"), -1);
    ts_tokenizer_free(t);

    assert_ok(build_gguf(&file, true, 0, &err));
    assert_ok(open_gguf(&t, &file, NULL, &err));
    EXPECT(t, "the and", TS_TOKENIZE_BOS, "<s>| the| and");
    EXPECT(t, "zthe<sep>", 0, " |<0x7A>|t|he|<sep>");
    ts_tokenizer_free(t);
    ts_buf_free(&file);

    /* what Tessera's own keys say beside the others */
    assert_ok(build_gguf(&file, false, OWN, &err));
    assert_ok(open_gguf(&t, &file, NULL, &err));
    EXPECT(t, "low<think>  low", 0, "l|ow|<think>|l|ow");
    ts_tokenizer_free(t);
    ts_buf_free(&file);
    assert_ok(build_gguf(&file, true, OWN, &err));
    assert_ok(open_gguf(&t, &file, NULL, &err));
    EXPECT(t, "the<sep>  the", 0, " |t|he|<sep>|t|he");
    EXPECT(t, " the", 0, " |t|he");
    ts_tokenizer_free(t);
    ts_buf_free(&file);

    static const struct {
        bool spm;
        unsigned wrong;
        ts_status want;
        const char *says;
    } bad[] = {
        {false, NO_PRE, TS_E_UNSUPP, "tokenizer.ggml.pre"}, {false, NO_MERGES, TS_E_FORMAT, "tokenizer.ggml.merges"},
        {false, SHORT_TYPES, TS_E_FORMAT, "token_type"}, {false, BAD_BOS, TS_E_FORMAT, "outside the vocabulary"},
        {false, BAD_MODEL, TS_E_UNSUPP, "\"bert\""}, {false, NO_TOKENS, TS_E_FORMAT, "tokenizer.ggml.tokens"},
        {true, BAD_SCORE, TS_E_FORMAT, "score"}, {true, SHORT_TYPES, TS_E_FORMAT, "token_type"},
        {false, ENDS_OUT, TS_E_FORMAT, "eos_token_ids"}, {true, ENDS_MANY, TS_E_LIMIT, "eos_token_ids"},
        {true, OWN_PREFIX, TS_E_UNSUPP, "\"last\""}, {false, OWN_ID, TS_E_FORMAT, "rstrip_ids: token 5000"},
        {false, OWN_TYPE, TS_E_FORMAT, "ignore_merges"}, {true, OWN_MERGE, TS_E_FORMAT, "not in the vocabulary"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_ok(build_gguf(&file, bad[i].spm, bad[i].wrong, &err));
        ts_status s = open_gguf(&t, &file, NULL, &err);
        if (s != bad[i].want || !strstr(err.msg, bad[i].says) || strncmp(err.msg, "memory.gguf: ", 13) != 0)
            fail_msg("case %zu: %s: %s", i, ts_status_name(s), err.msg);
        if (bad[i].wrong == NO_PRE) { /* which can be said */
            assert_ok(open_gguf(&t, &file, "qwen2", &err));
            EXPECT(t, "123", 0, "1|2|3");
            ts_tokenizer_free(t);
        }
        ts_buf_free(&file);
    }
}

/* A token that ends an answer is a control token whatever the file says of it: text does not become it, templates
 * do. */
static void test_ends(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        static const unsigned how[] = {0, END_NORMAL, END_USER};
        ts_tokenizer *t = NULL;
        ts_buf file = {0};
        assert_ok(build_gguf(&file, false, how[kind], &err));
        assert_ok(open_gguf(&t, &file, NULL, &err));
        EXPECT(t, "hello<|end|>", 0, "hello|<|||e|n|d|||>");
        EXPECT(t, "hello<|end|>hello", TS_TOKENIZE_SPECIAL, "hello|<|end|>|hello");
        assert_true(ts_tokenizer_is_end(t, TINY_END));
        assert_int_equal(ts_token_kind_of(t, TINY_END), TS_TOKEN_CONTROL);
        assert_int_equal(ts_tokenizer_find(t, "<|end|>", 7), TINY_END);
        ts_tokenizer_free(t);
        ts_buf_free(&file);
        assert_ok(build_gguf(&file, true, how[kind], &err));
        assert_ok(open_gguf(&t, &file, NULL, &err));
        EXPECT(t, "the</s>", 0, " the|<0x3C>|<0x2F>|s|<0x3E>");
        EXPECT(t, "the</s>", TS_TOKENIZE_SPECIAL, " the|</s>");
        ts_tokenizer_free(t);
        ts_buf_free(&file);
    }
    /* one that merges make: named by the file it is no longer made, its parts are */
    ts_tokenizer *t = NULL;
    ts_buf file = {0};
    assert_ok(build_gguf(&file, false, EOT_HELLO, &err));
    assert_ok(open_gguf(&t, &file, NULL, &err));
    EXPECT(t, "hello hello hell", 0, "hell|o| hello| |hell"); /* " hello" is an entry of its own */
    EXPECT(t, "hello", TS_TOKENIZE_SPECIAL, "hello");
    assert_true(ts_tokenizer_is_end(t, 259));
    ts_tokenizer_free(t);
    ts_buf_free(&file);
}

/* ---- paths ------------------------------------------------------------------------------------------------------- */

static char dir[64];

static const char *path_of(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put_file(const char *name, const ts_buf *b) {
    assert_ok(ts_file_write(path_of(name), b->data, b->len, &err));
}

static void drop_file(const char *name) {
    assert_int_equal(unlink(path_of(name)), 0);
}

static void open_as(const char *path, const char *pre, const char *name) {
    ts_tokenizer *t = NULL;
    assert_ok(ts_tokenizer_open(&t, path, pre, &err));
    assert_string_equal(ts_tokenizer_model_name(t), name);
    ts_tokenizer_free(t);
}

static void test_paths(void **state) {
    (void)state;
    strcpy(dir, "/tmp/tessera-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ts_buf json = {0}, vocab = {0}, merges = {0}, ranks = {0}, model = {0}, gguf = {0}, other = {0}, conf = {0};
    assert_true(tiny_json(&json, false, false) && tiny_vocab_json(&vocab) && tiny_merges_text(&merges) &&
                tiny_tiktoken(&ranks) && tiny_spm(&model, true, true, false) &&
                ts_buf_puts(&other, "Some words here.\n") &&
                ts_buf_puts(&conf, "{\"bos_token_id\":1,\"eos_token_id\":260}"));
    assert_ok(build_gguf(&gguf, true, 0, &err));
    ts_tokenizer *t;

    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "holds no tokenizer"));
    put_file("README", &other), put_file("generation_config.json", &conf), put_file("config.json", &conf);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_status(ts_tokenizer_open(&t, path_of("README"), NULL, &err), TS_E_FORMAT);
    assert_status(ts_tokenizer_open(&t, path_of("nothing"), NULL, &err), TS_E_IO);
    assert_int_equal(mkdir(path_of("sub"), 0777), 0);

    /* a pair under any names; the settings beside it count */
    put_file("first.data", &merges), put_file("second.json", &vocab);
    open_as(dir, "qwen2", "qwen2");
    assert_ok(ts_tokenizer_open(&t, dir, "gpt-2", &err));
    assert_true(ts_tokenizer_is_end(t, 260));
    ts_tokenizer_free(t);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_UNSUPP);
    assert_status(ts_tokenizer_open(&t, path_of("second.json"), "qwen2", &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "folder"));
    put_file("third.txt", &merges);
    assert_status(ts_tokenizer_open(&t, dir, "qwen2", &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "first.data and "));
    drop_file("third.txt"), drop_file("first.data"), drop_file("second.json");

    /* the two kinds of tokenizer.model, also under other names */
    put_file("odd.name", &ranks);
    open_as(path_of("odd.name"), "gpt-2", "gpt-2");
    open_as(dir, "llama-bpe", "llama-bpe");
    put_file("tokenizer.model", &model);
    open_as(dir, NULL, "spm");
    assert_status(ts_tokenizer_open(&t, dir, "qwen2", &err), TS_E_INVAL);
    put_file("tokenizer.json", &json);
    open_as(dir, NULL, "llama-bpe");
    drop_file("tokenizer.json"), drop_file("tokenizer.model"), drop_file("odd.name");

    put_file("model.gguf", &gguf);
    open_as(dir, NULL, "spm");
    open_as(path_of("model.gguf"), NULL, "spm");
    put_file("model-00002-of-00002.gguf", &gguf); /* a later part is not another tokenizer */
    open_as(dir, NULL, "spm");
    put_file("other.gguf", &gguf);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "more than one"));
    drop_file("other.gguf"), drop_file("model.gguf"), drop_file("model-00002-of-00002.gguf");

    put_file("tokenizer.json", &other);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    put_file("tokenizer.json", &json), put_file("tokenizer_config.json", &other);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "tokenizer_config.json: line 1"));
    drop_file("tokenizer.json"), drop_file("tokenizer_config.json");
    drop_file("README"), drop_file("config.json"), drop_file("generation_config.json");
    assert_int_equal(rmdir(path_of("sub")), 0);
    assert_int_equal(rmdir(dir), 0);
    ts_buf_free(&json), ts_buf_free(&vocab), ts_buf_free(&merges), ts_buf_free(&ranks), ts_buf_free(&model);
    ts_buf_free(&gguf), ts_buf_free(&other), ts_buf_free(&conf);
}

static char heard[400]; /* the last line of the log */
static void hear(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    snprintf(heard, sizeof heard, "%s", line);
}

static void put_text(const char *name, const char *text) {
    assert_ok(ts_file_write(path_of(name), text, strlen(text), &err));
}

/* The default template of the folder, and the last word of the log about it. */
static void expect_template(const char *want, size_t n, const char *words) {
    ts_tokenizer *t;
    const char *name;
    *heard = 0;
    assert_ok(ts_tokenizer_open(&t, dir, NULL, &err));
    assert_int_equal(ts_tokenizer_n_templates(t), n);
    const ts_span s = ts_tokenizer_template(t, 0, &name);
    assert_string_equal(name, "default");
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.data, want, s.len);
    if (!strstr(heard, words) || (!*words && *heard)) fail_msg("\"%s\", not \"%s\"", heard, words);
    ts_tokenizer_free(t);
}

static bool open_dir_again(void *ud) {
    ts_tokenizer *t;
    if (ts_tokenizer_open(&t, ud, NULL, NULL) != TS_OK) return false;
    const bool all = ts_tokenizer_n_templates(t) == 3 && ts_tokenizer_is_end(t, 7) && ts_tokenizer_is_end(t, 9);
    ts_tokenizer_free(t);
    assert_true(all); /* the compiler of patterns does without its machine code where there is no memory for it */
    return true;
}

static void test_beside(void **state) {
    (void)state;
    strcpy(dir, "/tmp/tessera-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ts_buf json = {0}, big = {0};
    assert_true(tiny_json(&json, false, false));
    put_file("tokenizer.json", &json);
    ts_log_sink(hear, NULL, TS_LOG_WARN);
    put_text("tokenizer_config.json", "{\"chat_template\":\"old\"}");
    expect_template("old", 1, "");
    put_text("chat_template.json", "{\"chat_template\":\"newer\"}");
    expect_template("newer", 1, "chat_template.json is the chat template; another");
    put_text("chat_template.jinja", "newest");
    expect_template("newest", 1, "chat_template.jinja is the chat template; another");
    put_text("chat_template.jinja", "newer\n"); /* a line's end is no difference */
    expect_template("newer\n", 1, "chat_template.json is the chat template");
    put_text("tokenizer_config.json", "{}");
    expect_template("newer\n", 1, "");
    assert_int_equal(mkdir(path_of("additional_chat_templates"), 0777), 0);
    put_text("additional_chat_templates/rag.jinja", "r");
    put_text("additional_chat_templates/tool_use.jinja", "t");
    put_text("additional_chat_templates/.jinja", "hidden");
    put_text("additional_chat_templates/notes.txt", "none");
    expect_template("newer\n", 3, "");
    ts_tokenizer *t;
    const char *name;
    assert_ok(ts_tokenizer_open(&t, dir, NULL, &err));
    assert_int_equal(ts_tokenizer_template(t, 1, &name).len, 1);
    assert_string_equal(name, "rag");
    ts_tokenizer_free(t);
    put_text("config.json", "{\"eos_token_id\":[7,8]}");
    put_text("generation_config.json", "{\"eos_token_id\":9}");
    assert_ok(ts_tokenizer_open(&t, dir, NULL, &err));
    assert_true(ts_tokenizer_is_end(t, 7) && ts_tokenizer_is_end(t, 8) && ts_tokenizer_is_end(t, 9));
    ts_tokenizer_free(t);
    ts_log_sink(NULL, NULL, TS_LOG_WARN);
    alloc_fail_loop(open_dir_again, dir, true);
    while (big.len <= 1 << 20) assert_true(ts_buf_puts(&big, "{# a long comment of a template that is too long #}"));
    put_file("additional_chat_templates/rag.jinja", &big);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_LIMIT);
    assert_non_null(strstr(err.msg, "rag.jinja: a chat template of 10"));
    drop_file("additional_chat_templates/rag.jinja");
    put_file("chat_template.jinja", &big);
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_LIMIT);
    drop_file("chat_template.jinja");
    put_text("chat_template.json", "{\"chat_template\":[{\"name\":\"default\",\"template\":\"d\"}]}");
    expect_template("d", 2, "");
    put_text("chat_template.json", "[]");
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "chat_template.json: line 1"));
    drop_file("chat_template.json");
    put_text("config.json", "nonsense");
    assert_status(ts_tokenizer_open(&t, dir, NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "/config.json: line 1"));
    static const char *const all[] = {"additional_chat_templates/tool_use.jinja", "additional_chat_templates/.jinja",
                                      "additional_chat_templates/notes.txt", "config.json", "generation_config.json",
                                      "tokenizer_config.json", "tokenizer.json"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) drop_file(all[i]);
    assert_int_equal(rmdir(path_of("additional_chat_templates")), 0);
    assert_int_equal(rmdir(dir), 0);
    ts_buf_free(&json), ts_buf_free(&big);
}

/* Both forms of Llama 3's files hold the same tokenizer, with the control tokens that neither lists. */
static void test_llama3_specials(void **state) {
    (void)state;
    char path[500];
    SKIP_WITHOUT(shared_path(path, sizeof path, "assets/tokenizers/llama3/tokenizer.model"));
    ts_tokenizer *t[2];
    assert_ok(ts_tokenizer_open(&t[0], path, NULL, &err));
    shared_path(path, sizeof path, "assets/tokenizers/llama3-hf/vocab.bpe");
    *strrchr(path, '/') = 0;
    assert_ok(ts_tokenizer_open(&t[1], path, NULL, &err));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ts_tokenizer_size(t[i]), 128256);
        assert_int_equal(ts_tokenizer_find(t[i], "<|begin_of_text|>", 17), 128000);
        assert_int_equal(ts_tokenizer_find(t[i], "<|eot_id|>", 10), 128009);
        assert_int_equal(ts_tokenizer_find(t[i], "<|python_tag|>", 14), 128010);
        assert_int_equal(ts_tokenizer_find(t[i], "<|reserved_special_token_247|>", 30), 128255);
        assert_true(ts_tokenizer_is_end(t[i], 128001) && ts_tokenizer_is_end(t[i], 128008) &&
                    ts_tokenizer_is_end(t[i], 128009));
        EXPECT(t[i], "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", TS_TOKENIZE_SPECIAL | TS_TOKENIZE_BOS,
               "<|begin_of_text|>|<|start_header_id|>|user|<|end_header_id|>|\n\n|Hi|<|eot_id|>");
        ts_tokenizer_free(t[i]);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

struct shared_use {
    const ts_tokenizer *t;
    ts_tokens want;
    bool ok[64];
};

static const char shared_text[] = "low hello world é 12345 aaaaaa <think>\n\nhello  low";

static void use_shared(void *arg, size_t task, int thread) {
    struct shared_use *u = arg;
    ts_tokens got = {0};
    (void)thread;
    u->ok[task] = ts_tokenize(u->t, shared_text, sizeof shared_text - 1, 0, &got, NULL) == TS_OK &&
                  got.n == u->want.n && memcmp(got.id, u->want.id, got.n * sizeof *got.id) == 0;
    ts_tokens_free(&got);
}

/* What is remembered of whole words is shared by threads; it must not matter who finds out first. */
static void test_threads(void **state) {
    (void)state;
    ts_pool *pool;
    assert_ok(ts_pool_new(&pool, 4, &err));
    struct shared_use u = {0};
    for (int round = 0; round < 20; round++) {
        ts_tokenizer *t = tiny();
        u.t = t;
        if (round == 0) assert_ok(ts_tokenize(t, shared_text, sizeof shared_text - 1, 0, &u.want, &err));
        ts_pool_run(pool, 64, use_shared, &u);
        for (int i = 0; i < 64; i++) assert_true(u.ok[i]);
        ts_tokenizer_free(t);
    }
    assert_int_equal(u.want.n, 22);
    ts_tokens_free(&u.want);
    ts_pool_free(pool);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

struct source {
    ts_buf json, late, vocab, merges, ranks, bpe_gguf, spm_gguf;
    int which;
};

static bool load_and_use(void *ud) {
    const struct source *f = ud;
    ts_tokenizer *t = NULL;
    ts_status s = TS_E_INVAL;
    ts_span v = {(uint8_t *)f->vocab.data, f->vocab.len}, m = {(uint8_t *)f->merges.data, f->merges.len};
    static const char conf[] = "{\"chat_template\":\"a\\nb\",\"eos_token_id\":3}";
    switch (f->which) {
    case 0: s = ts_tok_from_json(&t, f->json.data, f->json.len, NULL); break;
    case 1: s = ts_tok_from_json(&t, f->late.data, f->late.len, NULL); break;
    case 2: s = ts_tok_from_pair(&t, v, m, "qwen2", NULL, NULL); break;
    case 3: s = ts_tok_from_tiktoken(&t, f->ranks.data, f->ranks.len, "gpt-2", NULL, NULL); break;
    case 4: s = open_gguf(&t, &f->bpe_gguf, NULL, NULL); break;
    case 5: s = open_gguf(&t, &f->spm_gguf, NULL, NULL); break;
    }
    if (s != TS_OK) return false;
    if (f->which < 4) {
        s = ts_tok_apply_config(t, conf, sizeof conf - 1, NULL);
        if (s == TS_OK) s = ts_tok_finish(t, NULL);
    }
    ts_tokens out = {0};
    static const char text[] = "<|bos|>hello é world the<sep>";
    if (s == TS_OK) {
        assert_true(ts_tokens_grow(&out, 0));
        s = ts_tokenize(t, text, sizeof text - 1, TS_TOKENIZE_SPECIAL | TS_TOKENIZE_BOS, &out, NULL);
        if (s != TS_OK) assert_int_equal(out.n, 0); /* as before */
    }
    ts_tokens_free(&out);
    ts_tokenizer_free(t);
    return s == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    struct source f = {0};
    assert_true(tiny_json(&f.json, true, false) && tiny_json(&f.late, false, true) && tiny_vocab_json(&f.vocab) &&
                tiny_merges_text(&f.merges) && tiny_tiktoken(&f.ranks));
    assert_ok(build_gguf(&f.bpe_gguf, false, 0, &err));
    assert_ok(build_gguf(&f.spm_gguf, true, 0, &err));
    /* byte-level ones may recover: without memory for compiled code PCRE2 interprets its pattern */
    for (f.which = 0; f.which < 6; f.which++) alloc_fail_loop(load_and_use, &f, f.which != 5);
    ts_buf_free(&f.json), ts_buf_free(&f.late), ts_buf_free(&f.vocab), ts_buf_free(&f.merges), ts_buf_free(&f.ranks);
    ts_buf_free(&f.bpe_gguf), ts_buf_free(&f.spm_gguf);
}

static bool open_dir(void *pre) {
    ts_tokenizer *t;
    ts_err e;
    if (ts_tokenizer_open(&t, dir, pre, &e) != TS_OK) return false;
    assert_int_equal(ts_tokenizer_find(t, "<|im_end|>", 10), 400);
    assert_int_equal(ts_token_kind_of(t, 401), TS_TOKEN_CONTROL);
    assert_int_equal(ts_token_kind_of(t, 402), TS_TOKEN_USER);
    assert_int_equal(ts_tokenizer_eos(t), 400);
    ts_tokenizer_free(t);
    return true;
}

static void test_alloc_dir(void **state) {
    (void)state;
    strcpy(dir, "/tmp/tessera-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ts_buf vocab = {0}, merges = {0};
    assert_true(tiny_vocab_json(&vocab) && tiny_merges_text(&merges));
    put_file("merges.txt", &merges), put_file("vocab.json", &vocab);
    put_text("added_tokens.json", "{\"<|im_end|>\":400,\"[PAD]\":401}");
    put_text("tokenizer_config.json",
             "{\"added_tokens_decoder\":{\"402\":{\"content\":\"<tool>\",\"special\":false,\"rstrip\":true}}}");
    put_text("special_tokens_map.json", "{\"pad_token\":{\"content\":\"[PAD]\"},\"eos_token\":\"<|im_end|>\"}");
    put_text("config.json", "{\"model_type\":\"qwen2\"}");
    alloc_fail_loop(open_dir, (void *)(uintptr_t) "qwen2", true);
    alloc_fail_loop(open_dir, NULL, true);
    ts_tokenizer *t;
    assert_ok(ts_tokenizer_open(&t, dir, NULL, &err));
    EXPECT(t, "low<tool>  123", 0, "l|ow|<tool>|1|2|3");
    EXPECT(t, "low<|im_end|>[PAD]", TS_TOKENIZE_SPECIAL, "l|ow|<|im_end|>|[PAD]");
    ts_tokenizer_free(t);
    static const char *const all[] = {"merges.txt", "vocab.json", "added_tokens.json", "tokenizer_config.json",
                                      "special_tokens_map.json", "config.json"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) drop_file(all[i]);
    assert_int_equal(rmdir(dir), 0);
    ts_buf_free(&vocab), ts_buf_free(&merges);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_special),    cmocka_unit_test(test_json_forms),
        cmocka_unit_test(test_json_refused),   cmocka_unit_test(test_json_cut),   cmocka_unit_test(test_json_pipelines),
        cmocka_unit_test(test_config),         cmocka_unit_test(test_ids),        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_pair_and_tiktoken), cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_paths),          cmocka_unit_test(test_beside),
        cmocka_unit_test(test_llama3_specials), cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_alloc_dir),      cmocka_unit_test(test_threads),       cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
