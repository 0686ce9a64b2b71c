/* Special tokens in text: the search against a plain one, its growth with text and vocabulary, and text of two
 * origins. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/rng.h"
#include "text/tok_impl.h"

#include <time.h>

static ts_err err;

/* ---- the automaton ----------------------------------------------------------------------------------------------- */

static ts_token longest_at(const ts_vocab *v, const char *s, size_t len) {
    ts_token best = -1;
    for (ts_token id = v->n; id-- > 0;) {
        const ts_entry *e = &v->entry[id];
        if (e->len <= len && memcmp(ts_vocab_text(v, id), s, e->len) == 0 && (best < 0 || e->len >= v->entry[best].len))
            best = id;
    }
    return best;
}

/* Random strings over two letters, so that they are each other's beginnings, ends and middles, twins among them. */
static void test_against_plain_search(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(1);
    for (int round = 0; round < 300; round++) {
        ts_vocab v = {0};
        ts_token id[12];
        size_t n = 1 + ts_rng_below(&rng, 12);
        for (size_t i = 0; i < n; i++) {
            char s[10];
            size_t len = 1 + ts_rng_below(&rng, 9);
            for (size_t k = 0; k < len; k++) s[k] = ts_rng_below(&rng, 3) ? 'a' : 'b';
            assert_ok(ts_vocab_set(&v, (int64_t)i, s, len, TS_TOKEN_CONTROL, &err));
            id[i] = (ts_token)i;
        }
        char text[60];
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = ts_rng_below(&rng, 20) ? ts_rng_below(&rng, 3) ? 'a' : 'b' : 'c';
        ts_matcher m;
        assert_ok(ts_matcher_init(&m, &v, id, n, &err));
        uint32_t node = 0;
        for (size_t i = sizeof text; i-- > 0;) {
            node = ts_matcher_step(&m, node, (uint8_t)text[i]);
            ts_token got = node ? m.token[node] : -1, want = longest_at(&v, text + i, sizeof text - i);
            if (got != want) fail_msg("round %d, byte %zu: token %d, not %d", round, i, got, want);
        }
        ts_matcher_free(&m);
        ts_vocab_free(&v);
    }
    ts_matcher none;
    assert_ok(ts_matcher_init(&none, &(ts_vocab){0}, NULL, 0, &err));
    assert_int_equal(ts_matcher_step(&none, 0, 'a'), 0);
    ts_matcher_free(&none);
}

static bool make_matcher(void *ud) {
    ts_matcher m;
    const ts_token id[3] = {0, 1, 2};
    if (ts_matcher_init(&m, ud, id, 3, NULL) != TS_OK) return false;
    ts_matcher_free(&m);
    return true;
}

static void test_alloc(void **state) {
    (void)state;
    ts_vocab v = {0};
    assert_ok(ts_vocab_set(&v, 0, "<|a|>", 5, TS_TOKEN_CONTROL, &err));
    assert_ok(ts_vocab_set(&v, 1, "<|end of something|>", 20, TS_TOKEN_CONTROL, &err));
    assert_ok(ts_vocab_set(&v, 2, "a", 1, TS_TOKEN_CONTROL, &err));
    alloc_fail_loop(make_matcher, &v, false);
    ts_vocab_free(&v);
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

/* The tiny tokenizer with special tokens of our own: `unit` repeated 1, 1 + step, 1 + 2 step, ... times up to
 * `most`. */
static ts_tokenizer *with_specials(const char *unit, size_t most, size_t step, ts_token_kind kind) {
    ts_tokenizer *t = NULL;
    ts_buf ranks = {0}, s = {0};
    assert_true(tiny_tiktoken(&ranks));
    assert_ok(ts_tok_from_tiktoken(&t, ranks.data, ranks.len, "qwen2", NULL, &err));
    /* the entries again, as the loaders make them: one tokenizer is sealed once */
    ts_tokenizer *with;
    assert_ok(ts_tok_new(&with, &err));
    with->byte_level = true;
    with->pre = TS_PRETOK_QWEN2;
    for (ts_token id = 0; id < t->vocab.n; id++) {
        assert_ok(ts_vocab_set(&with->vocab, id, ts_vocab_text(&t->vocab, id), t->vocab.entry[id].len, TS_TOKEN_NORMAL,
                               &err));
        with->vocab.entry[id].rank = t->vocab.entry[id].rank;
    }
    for (size_t n = 1; n <= most; n += step) {
        ts_buf_clear(&s);
        for (size_t i = 0; i < n; i++) assert_true(ts_buf_puts(&s, unit));
        assert_true(ts_buf_puts(&s, "!"));
        assert_ok(ts_vocab_set(&with->vocab, with->vocab.n, s.data, s.len, kind, &err));
    }
    assert_ok(ts_tok_seal(with, &err));
    assert_ok(ts_tok_finish(with, &err));
    ts_tokenizer_free(t);
    ts_buf_free(&ranks), ts_buf_free(&s);
    return with;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Least of three, of the text `unit` repeated n times. */
static double time_of(const ts_tokenizer *t, const char *unit, size_t n, unsigned flags) {
    ts_buf text = {0};
    double best = 1e9;
    for (size_t i = 0; i < n; i++) assert_true(ts_buf_puts(&text, unit));
    for (int round = 0; round < 3; round++) {
        ts_tokens out = {0};
        double begin = seconds();
        assert_ok(ts_tokenize(t, text.data, text.len, flags, &out, &err));
        double took = seconds() - begin;
        if (took < best) best = took;
        ts_tokens_free(&out);
    }
    ts_buf_free(&text);
    return best;
}

/* Eight times the text must not take much more than eight times as long: the square of it would be 64 times. */
static void linear(const ts_tokenizer *t, const char *unit, size_t n, unsigned flags) {
    double one = time_of(t, unit, n, flags), eight = time_of(t, unit, 8 * n, flags);
    if (eight > 24 * one + 2e-3) fail_msg("\"%s\": %zu times %.6f s, %zu times %.6f s", unit, n, one, 8 * n, eight);
}

static void test_growth(void **state) {
    (void)state;
    for (int kind = TS_TOKEN_CONTROL; kind <= TS_TOKEN_USER; kind++) {
        /* every place of the text agrees with a long token nearly to its end */
        ts_tokenizer *deep = with_specials("<|", 10000, 9999, (ts_token_kind)kind);
        ts_tokenizer *short_ = with_specials("<|", 30, 29, (ts_token_kind)kind);
        ts_tokenizer *many = with_specials("<|", 800, 1, (ts_token_kind)kind);
        unsigned flags = TS_TOKENIZE_SPECIAL;
        for (int i = 0; i < 3; i++) {
            const ts_tokenizer *t = i == 0 ? deep : i == 1 ? short_ : many;
            linear(t, "<|", 6000, flags);
            linear(t, "<|<|<|!", 1500, flags);
            linear(t, "!", 6000, flags);
        }
        /* nor does it matter how long the special tokens are */
        double a = time_of(short_, "<|", 20000, flags), b = time_of(deep, "<|", 20000, flags);
        if (b > 6 * a + 2e-3) fail_msg("short special tokens %.6f s, long ones %.6f s", a, b);
        ts_tokenizer_free(deep), ts_tokenizer_free(short_), ts_tokenizer_free(many);
    }
}

/* One word as long as the text, and the runs over which the split patterns go back. */
static void test_growth_of_words(void **state) {
    (void)state;
    static const char *const units[] = {"a",         "hello",    " ",        "\n", " \n",  "\xE6\x97\xA5",
                                        "1",         "\xCC\x81", "A",        ".",  "\xFF", "e\xCC\x81",
                                        " \xC2\xA0", "'s",       "\xC3\xA9 "};
    ts_buf json = {0}, model = {0};
    ts_tokenizer *t[2 + TS_PRETOK_KINDS];
    ts_buf ranks = {0};
    assert_true(tiny_spm(&model, true, true, false) &&
                tiny_spm_json(&json, "null",
                              "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
                              "\"\xE2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":"
                              "{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}]}") &&
                tiny_tiktoken(&ranks));
    assert_ok(ts_tok_from_spm(&t[0], model.data, model.len, NULL, &err));
    assert_ok(ts_tok_from_json(&t[1], json.data, json.len, &err));
    for (int k = 0; k < TS_PRETOK_KINDS; k++)
        assert_ok(
            ts_tok_from_tiktoken(&t[2 + k], ranks.data, ranks.len, ts_pretok_name((ts_pretok_kind)k), NULL, &err));
    for (int k = 0; k < 2 + TS_PRETOK_KINDS; k++) {
        assert_ok(ts_tok_finish(t[k], &err));
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) linear(t[k], units[i], 1000, 0);
        ts_tokenizer_free(t[k]);
    }
    ts_buf_free(&json), ts_buf_free(&model), ts_buf_free(&ranks);
}

/* ---- text of two origins ----------------------------------------------------------------------------------------- */

static ts_tokenizer *tiny(void) {
    ts_tokenizer *t = NULL;
    ts_buf json = {0};
    assert_true(tiny_json(&json, false, false));
    assert_ok(ts_tok_from_json(&t, json.data, json.len, &err));
    assert_ok(ts_tok_finish(t, &err));
    ts_buf_free(&json);
    return t;
}

/* `marked`: data stands between { and }, which are left out. */
static void expect(const ts_tokenizer *t, const char *marked, const char *want) {
    ts_buf text = {0}, b = {0};
    ts_text_range data[10];
    size_t n = 0;
    for (const char *p = marked; *p; p++) {
        if (*p == '{') data[n].begin = text.len;
        else if (*p == '}') data[n++].end = text.len;
        else assert_true(ts_buf_putc(&text, *p));
    }
    ts_tokens got = {0};
    assert_ok(ts_tokenize_marked(t, text.data, text.len, data, n, 0, &got, &err));
    assert_true(ts_buf_puts(&b, ""));
    for (size_t i = 0; i < got.n; i++) {
        ts_span e = ts_token_entry(t, got.id[i]);
        const char *around = ts_token_kind_of(t, got.id[i]) == TS_TOKEN_NORMAL ? "" : "*";
        assert_true((i == 0 || ts_buf_putc(&b, ' ')) && ts_buf_puts(&b, around) && ts_buf_append(&b, e.data, e.len));
    }
    if (strcmp(b.data, want) != 0) fail_msg("\"%s\": got \"%s\", want \"%s\"", marked, b.data, want);
    ts_buf_free(&text), ts_buf_free(&b);
    ts_tokens_free(&got);
}

static void test_origins(void **state) {
    (void)state;
    ts_tokenizer *t = tiny();
    expect(t, "<|bos|>{hello}<|end|>", "*<|bos|> hello *<|end|>");
    expect(t, "<|bos|>{a<|end|>a}<|end|>", "*<|bos|> a < | e n d | > a *<|end|>");
    expect(t, "{<|end|>}", "< | e n d | >");
    expect(t, "<|end|>", "*<|end|>");
    expect(t, "", "");
    /* a part of it from the data: the border is nowhere good */
    expect(t, "{<}|end|>", "< | e n d | >");
    expect(t, "<|end|{>}", "< | e n d | >");
    expect(t, "<|e{n}d|>", "< | e n d | >");
    expect(t, "{<|}end{|>}<|end|>", "< | e n d | > *<|end|>");
    expect(t, "{a}{<|end|>}{b}", "a < | e n d | > b");
    expect(t, "<|bos|>{<|end|>}{<|bos|>}<|bos|>", "*<|bos|> < | e n d | > < | b o s | > *<|bos|>");
    /* words and merges do not see it, user-defined tokens neither */
    expect(t, "h{e}llo w{orld}", "hello  world");
    expect(t, "{hel}lo", "hello");
    expect(t, "{a<think>b}", "a *<think> b");
    expect(t, "<th{ink}>", "*<think>");
    expect(t, "<|end|>{<think>}<|end|>", "*<|end|> *<think> *<|end|>");
    /* the template's token swallows white space around it, whose-ever it is: as when the text is tokenised as a
     * whole */
    expect(t, "{hello \n} <|pad|>{ \thello}", "hello *<|pad|> hello");
    expect(t, "{hello <|pad|> hello}", "hello   < | p a d | >  hello");
    ts_tokenizer_free(t);
}

/* Where a shorter token fits in front of the border and the longest does not. */
static void test_border_within_the_longest(void **state) {
    (void)state;
    ts_tokenizer *t = with_specials("<|", 3, 2, TS_TOKEN_CONTROL), *u = with_specials("<|", 3, 2, TS_TOKEN_USER);
    expect(t, "<|!", "*<|!");
    expect(t, "<|<|<|!", "*<|<|<|!");
    expect(t, "{<}|<|<|!", "< | < | *<|!");
    expect(t, "<|{<|<|!}", "< | < | < | !");
    expect(t, "{<|<|}<|!", "< | < | *<|!");
    expect(u, "{<|<|}<|!", "*<|<|<|!");
    ts_tokenizer_free(t), ts_tokenizer_free(u);
}

/* Random texts and ranges: all bytes are there, no control token touches data, and without the text of one in it the
 * ranges make no difference. */
static void test_random_origins(void **state) {
    (void)state;
    static const char *const part[] = {"<|end|>", "<|bos|>", "<|", "end", "|>", "hello",
                                       " world",  "<think>", "a",  "12",  "\n", "<|pad|>"};
    ts_tokenizer *t = tiny();
    ts_rng rng = ts_rng_seed(7);
    for (int round = 0; round < 2000; round++) {
        ts_buf text = {0}, back = {0};
        ts_text_range data[8];
        size_t n = 0, n_parts = 1 + ts_rng_below(&rng, 12);
        assert_true(ts_buf_puts(&text, ""));
        for (size_t i = 0; i < n_parts; i++) assert_true(ts_buf_puts(&text, part[ts_rng_below(&rng, 11)]));
        for (size_t at = ts_rng_below(&rng, 9); n < 8 && at < text.len; n++) {
            size_t end = at + 1 + ts_rng_below(&rng, 9);
            data[n] = (ts_text_range){at, end < text.len ? end : text.len};
            at = end + ts_rng_below(&rng, 9);
        }
        ts_tokens got = {0}, plain = {0}, all = {0};
        assert_ok(ts_tokenize_marked(t, text.data, text.len, data, n, 0, &got, &err));
        size_t pos = 0;
        for (size_t i = 0; i < got.n; i++) {
            ts_span e = ts_token_entry(t, got.id[i]);
            assert_true(ts_buf_append(&back, e.data, e.len));
            for (size_t k = 0; k < n && ts_token_kind_of(t, got.id[i]) == TS_TOKEN_CONTROL; k++)
                assert_true(data[k].end <= pos || pos + e.len <= data[k].begin);
            pos += e.len;
        }
        assert_true(pos == text.len && memcmp(back.data, text.data, pos) == 0);
        /* all of it data: plain text; none of it: as the template alone */
        data[0] = (ts_text_range){0, text.len};
        got.n = 0;
        assert_ok(ts_tokenize_marked(t, text.data, text.len, data, 1, 0, &got, &err));
        assert_ok(ts_tokenize(t, text.data, text.len, 0, &plain, &err));
        assert_true(got.n == plain.n && memcmp(got.id, plain.id, got.n * sizeof *got.id) == 0);
        got.n = 0;
        assert_ok(ts_tokenize_marked(t, text.data, text.len, NULL, 0, 0, &got, &err));
        assert_ok(ts_tokenize(t, text.data, text.len, TS_TOKENIZE_SPECIAL, &all, &err));
        assert_true(got.n == all.n && memcmp(got.id, all.id, got.n * sizeof *got.id) == 0);
        ts_tokens_free(&got), ts_tokens_free(&plain), ts_tokens_free(&all);
        ts_buf_free(&text), ts_buf_free(&back);
    }
    ts_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plain_search), cmocka_unit_test(test_alloc),   cmocka_unit_test(test_growth),
        cmocka_unit_test(test_growth_of_words),      cmocka_unit_test(test_origins),
        cmocka_unit_test(test_border_within_the_longest), cmocka_unit_test(test_random_origins),
    };
    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
