/* SentencePiece's side: where text is cut, spaces, byte fallback. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/file.h"
#include "base/rng.h"
#include "text/tok_impl.h"

static ts_err err;

static ts_tokenizer *make(bool byte_fallback, bool prefix, bool collapse) {
    ts_buf file = {0};
    assert_true(tiny_spm(&file, byte_fallback, prefix, collapse));
    ts_tokenizer *t = NULL;
    assert_ok(ts_tok_from_spm(&t, file.data, file.len, NULL, &err));
    assert_ok(ts_tok_finish(t, &err));
    ts_buf_free(&file);
    return t;
}

/* The tokens' entries with bars between them; bytes in their <0x..> form. */
static void expect(const ts_tokenizer *t, const char *text, size_t len, unsigned flags, const char *want) {
    ts_tokens got = {0};
    assert_ok(ts_tokenize(t, text, len, flags, &got, &err));
    ts_buf b = {0};
    assert_true(ts_buf_puts(&b, ""));
    for (size_t i = 0; i < got.n; i++) {
        ts_span e = ts_token_entry(t, got.id[i]);
        assert_true(ts_buf_printf(&b, "%s%.*s", i ? "|" : "", (int)e.len, (const char *)e.data));
    }
    assert_string_equal(b.data, want);
    ts_buf_free(&b);
    ts_tokens_free(&got);
}

static void test_spaces(void **state) {
    (void)state;
    ts_tokenizer *t = make(true, true, false);
    expect(t, "the", 3, 0, " the");
    expect(t, "the", 3, TS_TOKENIZE_NO_PREFIX, "t|he");
    expect(t, " the", 4, TS_TOKENIZE_NO_PREFIX, " the");
    expect(t, "the and", 7, 0, " the| and");
    expect(t, "  the", 5, 0, "  | the");
    expect(t, "    ", 4, TS_TOKENIZE_NO_PREFIX, "    ");
    expect(t, "", 0, 0, "");
    expect(t, " ", 1, 0, "  ");
    /* U+2581 in the text is the same as a space */
    expect(t, "\xE2\x96\x81the", 6, TS_TOKENIZE_NO_PREFIX, " the");
    expect(t, "the\xE2\x96\x81"
              "and", 9, 0, " the| and");
    expect(t, "the", 3, TS_TOKENIZE_BOS, "<s>| the");
    ts_tokenizer_free(t);

    t = make(true, false, false);
    assert_false(ts_tokenizer_adds_prefix(t));
    expect(t, "the", 3, 0, "t|he");
    ts_tokenizer_free(t);

    t = make(true, true, true);
    expect(t, "  the   and ", 12, 0, " the| and");
    expect(t, "    ", 4, 0, "");
    ts_tokenizer_free(t);
}

static void test_fallback(void **state) {
    (void)state;
    ts_tokenizer *t = make(true, true, false);
    expect(t, "z", 1, 0, " |<0x7A>");
    expect(t, "a\0b", 3, 0, " a|<0x00>|<0x62>");
    expect(t, "日本", 6, 0, " |日|<0xE6>|<0x9C>|<0xAC>");
    expect(t, "\xE6\x97", 2, 0, " |<0xE6>|<0x97>");
    expect(t, "\xFFthe", 4, 0, " |<0xFF>|t|he");
    /* the text of a byte token or control token is plain text */
    expect(t, "<0x41>", 6, TS_TOKENIZE_NO_PREFIX, "<0x3C>|<0x30>|x|<0x34>|1|<0x3E>");
    expect(t, "<s>", 3, TS_TOKENIZE_NO_PREFIX, "<0x3C>|s|<0x3E>");
    expect(t, "<s>", 3, TS_TOKENIZE_NO_PREFIX | TS_TOKENIZE_SPECIAL, "<s>");
    ts_tokenizer_free(t);

    t = make(false, true, false);
    expect(t, "z日y", 5, 0, " |<unk>|日|<unk>");
    ts_tokenizer_free(t);
}

static void test_specials(void **state) {
    (void)state;
    ts_tokenizer *t = make(true, true, false);
    /* a user-defined token is found in any text; behind a special token a space goes in front again */
    expect(t, "the<sep>and", 11, 0, " the|<sep>| and");
    expect(t, "<sep><sep>", 10, 0, "<sep>|<sep>");
    expect(t, "a</s>a", 6, TS_TOKENIZE_SPECIAL, " a|</s>| a");
    expect(t, "a</s>a", 6, 0, " a|<0x3C>|<0x2F>|s|<0x3E>|a");
    assert_int_equal(ts_tokenizer_find(t, "<sep>", 5), TINY_SEP);
    assert_int_equal(ts_tokenizer_find(t, " the", 4), 261);
    assert_int_equal(ts_tokenizer_bos(t), 1);
    assert_int_equal(ts_tokenizer_eos(t), 2);
    assert_true(ts_tokenizer_is_end(t, 2));
    assert_false(ts_tokenizer_is_end(t, 1));
    assert_string_equal(ts_tokenizer_model_name(t), "spm");
    ts_tokenizer_free(t);
}

static size_t random_text(ts_rng *rng, char *out) {
    static const char *const parts[] = {" ", "the", "and", "a", "t",    "h",  "er", "in",
                                        "1", "z",   "日",  "é", "\xFF", "  ", ".",  "x"};
    size_t n = 0;
    for (uint64_t i = ts_rng_below(rng, 30); i > 0; i--) {
        const char *p = parts[ts_rng_below(rng, sizeof parts / sizeof *parts)];
        memcpy(out + n, p, strlen(p));
        n += strlen(p);
    }
    return n;
}

/* The cuts change nothing: the whole text as one word gives the same tokens. */
static void compare_with_uncut(const ts_tokenizer *t, const char *s, size_t len) {
    ts_tokens cut = {0}, whole = {0};
    ts_bpe_scratch scratch = {0};
    assert_ok(ts_tokenize(t, s, len, TS_TOKENIZE_NO_PREFIX, &cut, &err));
    if (len) assert_ok(ts_bpe_word(&t->bpe, s, len, &scratch, &whole, &err));
    if (cut.n != whole.n || (cut.n && memcmp(cut.id, whole.id, cut.n * sizeof *cut.id) != 0))
        fail_msg("\"%.*s\": %zu tokens with cuts, %zu without, or others", (int)len, s, cut.n, whole.n);
    ts_tokens_free(&cut), ts_tokens_free(&whole);
    ts_bpe_scratch_free(&scratch);
}

static void test_cuts(void **state) {
    (void)state;
    ts_tokenizer *t = make(true, true, false);
    ts_rng rng = ts_rng_seed(5);
    for (int i = 0; i < 5000; i++) {
        char s[400];
        compare_with_uncut(t, s, random_text(&rng, s));
    }
    ts_tokenizer_free(t);
}

static void test_cuts_real(void **state) {
    (void)state;
    char path[500];
    SKIP_WITHOUT(shared_path(path, sizeof path, "assets/text/tinyshakespeare.txt"));
    ts_buf text = {0};
    assert_ok(ts_file_read(&text, path, SIZE_MAX, &err));
    assert_non_null(shared_path(path, sizeof path, "assets/tokenizers/llama2/tokenizer.model"));
    ts_tokenizer *t;
    assert_ok(ts_tokenizer_open(&t, path, NULL, &err));
    for (size_t at = 0; at + 3000 < text.len; at += 30011) compare_with_uncut(t, text.data + at, 3000);
    ts_tokenizer_free(t);
    ts_buf_free(&text);
}

/* A tokenizer.json of the Llama 2 kind, with merges instead of scores, gives the same as the model file. */
static void test_json_form(void **state) {
    (void)state;
    static const struct {
        const char *pre, *norm;
        const char *the_the; /* what "the  the<sep>the" becomes */
    } forms[] = {
        {"null",
         "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},{\"type\":\"Replace\","
         "\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}",
         " the| | the|<sep>| the"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"first\",\"split\":false}", "null",
         " the| | the|<sep>|t|he"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"always\",\"split\":true}", "null",
         " the| | the|<sep>| the"},
        {"null", "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}", "t|he| | the|<sep>|t|he"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        ts_buf json = {0};
        assert_true(tiny_spm_json(&json, forms[i].pre, forms[i].norm));
        ts_tokenizer *t = NULL, *m = make(true, true, false);
        assert_ok(ts_tok_from_json(&t, json.data, json.len, &err));
        assert_ok(ts_tok_finish(t, &err));
        expect(t, "the  the<sep>the", 16, 0, forms[i].the_the);
        ts_rng rng = ts_rng_seed(9);
        for (int k = 0; k < 2000 && i == 0; k++) {
            char s[400];
            size_t len = random_text(&rng, s);
            ts_tokens a = {0}, b = {0};
            assert_ok(ts_tokenize(t, s, len, 0, &a, &err));
            assert_ok(ts_tokenize(m, s, len, 0, &b, &err));
            if (a.n != b.n || (a.n && memcmp(a.id, b.id, a.n * sizeof *a.id) != 0))
                fail_msg("\"%.*s\": %zu tokens by merges, %zu by scores, or others", (int)len, s, a.n, b.n);
            ts_tokens_free(&a), ts_tokens_free(&b);
        }
        ts_tokenizer_free(t), ts_tokenizer_free(m);
        ts_buf_free(&json);
    }
}

static void test_split_spaces(void **state) {
    (void)state;
    ts_buf json = {0};
    assert_true(
        tiny_spm_json(&json, "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"add_prefix_space\":true}", "null"));
    ts_tokenizer *t = NULL;
    assert_ok(ts_tok_from_json(&t, json.data, json.len, &err));
    assert_ok(ts_tok_finish(t, &err));
    expect(t, "    the", 7, 0, " | | | the"); /* with the words apart, runs of spaces are never one token */
    expect(t, "the", 3, 0, " the");
    expect(t, " the", 4, 0, " the"); /* a space is there already */
    ts_tokenizer_free(t);
    ts_buf_free(&json);
}

static void test_bad_files(void **state) {
    (void)state;
    ts_buf good = {0};
    assert_true(tiny_spm(&good, true, true, false));
    ts_tokenizer *t = NULL;
    /* cut anywhere it is refused or, between two messages, lacks its settings: unigram is the default */
    for (size_t n = 0; n < good.len; n += n < 200 ? 1 : 37) {
        ts_status s = ts_tok_from_spm(&t, good.data, n, NULL, &err);
        assert_true(s == TS_E_FORMAT || s == TS_E_UNSUPP);
        assert_null(strchr(err.msg, '\n'));
    }
    static const struct {
        const char *bytes;
        size_t n;
        ts_status want;
        const char *says;
    } bad[] = {
        {"\x0A\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7F", 11, TS_E_FORMAT, "offset 0"},
        {"\x0A\x07\x0A\x01x\x18\x09", 7, TS_E_FORMAT, "offset 0"},
        {"\x0A\x05\x0A\x01x\x18\x09", 7, TS_E_FORMAT, "type 9"},
        {"\x0A\x08\x0A\x01x\x15\0\0\xC0\x7F", 10, TS_E_FORMAT, "score nan"},
        {"\x0A\x03\x0A\x01x\x12\x02\x18\x01", 9, TS_E_UNSUPP, "unigram"},
        {"\x0A\x03\x0A\x01x\x12\x02\x18\x02\x1A\x09\x0A\x04nfkc\x12\x01z", 20, TS_E_UNSUPP, "nfkc"},
        {"\x0A\x03\x0A\x01x\x12\x05\x18\x02\xC0\x01\x01", 12, TS_E_UNSUPP, "suffix"},
        {"\x0A\x05\x0A\x01x\x18\x06\x12\x02\x18\x02", 11, TS_E_FORMAT, "marked as a byte"},
        {"\x0F", 1, TS_E_FORMAT, "offset 0"},
        {"", 0, TS_E_UNSUPP, "unigram"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ts_tok_from_spm(&t, bad[i].bytes, bad[i].n, NULL, &err), bad[i].want);
        if (!strstr(err.msg, bad[i].says)) fail_msg("case %zu says \"%s\"", i, err.msg);
    }
    ts_buf_free(&good);
}

static void test_ranks(void **state) {
    (void)state;
    static const float falling[] = {1e30f, 2.5f, 1, 1e-30f, 0, -1e-30f, -1, -2.5f, -1e9f, -3e38f};
    for (size_t i = 0; i + 1 < sizeof falling / sizeof *falling; i++)
        assert_true(ts_tok_rank_of_score(falling[i]) < ts_tok_rank_of_score(falling[i + 1]));
    assert_int_equal(ts_tok_rank_of_score(-0.0f), ts_tok_rank_of_score(0.0f));
    assert_true(ts_tok_rank_of_score(-3.4028235e38f) != TS_RANK_NONE);
}

static bool load_and_use(void *ud) {
    const ts_buf *file = ud;
    ts_tokenizer *t;
    ts_tokens out = {0};
    if (ts_tok_from_spm(&t, file->data, file->len, NULL, NULL) != TS_OK) return false;
    static const char text[] = "the and<sep> 日本\xE2\x96\x81the";
    bool ok =
        ts_tok_finish(t, NULL) == TS_OK && ts_tokenize(t, text, sizeof text - 1, TS_TOKENIZE_BOS, &out, NULL) == TS_OK;
    ts_tokens_free(&out);
    ts_tokenizer_free(t);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    ts_buf file = {0};
    assert_true(tiny_spm(&file, true, true, false));
    alloc_fail_loop(load_and_use, &file, false);
    ts_buf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spaces),    cmocka_unit_test(test_fallback),     cmocka_unit_test(test_specials),
        cmocka_unit_test(test_cuts),      cmocka_unit_test(test_cuts_real),    cmocka_unit_test(test_json_form),
        cmocka_unit_test(test_split_spaces), cmocka_unit_test(test_bad_files), cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("spm", tests, NULL, NULL);
}
