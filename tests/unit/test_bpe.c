/* Vocabulary look-ups and byte pair encoding of single words, against a plain implementation of the definition. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/rng.h"
#include "text/bpe.h"

static ts_err err;

/* The letters a..d and what a few merges make of them. */
static const char *const entries[] = {"a",  "b",   "c",  "d",    "ab", "bc",  "abc",
                                      "aa", "aaa", "cd", "abcd", "da", "dab", "bb"};
enum { N = sizeof entries / sizeof *entries };
static const struct {
    const char *left, *right;
} merges[] = {{"a", "b"}, {"b", "c"},   {"ab", "c"}, {"a", "a"},  {"aa", "a"}, {"a", "bc"},
              {"c", "d"}, {"ab", "cd"}, {"d", "a"},  {"d", "ab"}, {"da", "b"}, {"b", "b"}};
enum { M = sizeof merges / sizeof *merges };

struct tool {
    ts_vocab v;
    ts_bpe b;
};

static void make(struct tool *t, bool by_pair) {
    *t = (struct tool){0};
    for (int i = 0; i < N; i++) {
        assert_ok(ts_vocab_set(&t->v, i, entries[i], strlen(entries[i]), TS_TOKEN_NORMAL, &err));
        t->v.entry[i].rank = (uint32_t)(i * 7 % N); /* some order */
    }
    assert_ok(ts_vocab_seal(&t->v, &err));
    assert_ok(ts_bpe_init(&t->b, &t->v, &err));
    for (int i = 0; i < 4; i++) t->b.byte_id['a' + i] = i;
    t->b.by_pair = by_pair;
    ts_merge_queue q = {0};
    for (int i = 0; i < M; i++) {
        size_t begin = q.text.len;
        assert_true(ts_buf_puts(&q.text, merges[i].left) && ts_buf_puts(&q.text, merges[i].right));
        assert_ok(ts_bpe_queue_merge(&t->b, &q, begin, strlen(merges[i].left), &err));
    }
    assert_ok(ts_bpe_flush_merges(&t->b, &q, &err));
    ts_buf_free(&q.text);
    assert_int_equal(t->b.n_pairs, M);
}

static void drop(struct tool *t) {
    ts_bpe_free(&t->b);
    ts_vocab_free(&t->v);
}

static int find_entry(const char *s, size_t len) {
    for (int i = 0; i < N; i++)
        if (strlen(entries[i]) == len && memcmp(entries[i], s, len) == 0) return i;
    return -1;
}

static uint32_t plain_rank(bool by_pair, const char *l, size_t ln, const char *r, size_t rn) {
    if (by_pair) {
        for (uint32_t i = 0; i < M; i++)
            if (strlen(merges[i].left) == ln && !memcmp(merges[i].left, l, ln) && strlen(merges[i].right) == rn &&
                !memcmp(merges[i].right, r, rn))
                return i;
        return UINT32_MAX;
    }
    int id = find_entry(l, ln + rn);
    return id < 0 ? UINT32_MAX : (uint32_t)(id * 7 % N);
}

/* The definition: while some neighbours may be joined, join those of the lowest rank, the leftmost of equals. */
static size_t plain_bpe(bool by_pair, const char *s, size_t len, ts_token *out) {
    size_t *cut = malloc((len + 1) * sizeof *cut), n = len;
    for (size_t i = 0; i <= len; i++) cut[i] = i;
    for (;;) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t r = plain_rank(by_pair, s + cut[i], cut[i + 1] - cut[i], s + cut[i + 1], cut[i + 2] - cut[i + 1]);
            if (r < best) best = r, at = i;
        }
        if (best == UINT32_MAX) break;
        for (size_t i = at + 1; i < n; i++) cut[i] = cut[i + 1];
        n--;
    }
    for (size_t i = 0; i < n; i++) out[i] = find_entry(s + cut[i], cut[i + 1] - cut[i]);
    free(cut);
    return n;
}

static void test_random(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(3);
    ts_bpe_scratch scratch = {0};
    for (int by_pair = 0; by_pair < 2; by_pair++) {
        struct tool t;
        make(&t, by_pair);
        for (int round = 0; round < 6000; round++) {
            char s[200];
            ts_token want[200];
            size_t len = 1 + ts_rng_below(&rng, round % 10 == 0 ? sizeof s - 1 : 34); /* both ways of joining */
            for (size_t i = 0; i < len; i++) s[i] = (char)('a' + ts_rng_below(&rng, round % 3 ? 4 : 2));
            size_t n = plain_bpe(by_pair, s, len, want);
            ts_tokens got = {0};
            assert_ok(ts_bpe_word(&t.b, s, len, &scratch, &got, &err));
            if (got.n != n || memcmp(got.id, want, n * sizeof *want) != 0)
                fail_msg("%s, \"%.*s\": %zu tokens instead of %zu, or others", by_pair ? "by pair" : "by text",
                         (int)len, s, got.n, n);
            ts_tokens_free(&got);
        }
        drop(&t);
    }
    ts_bpe_scratch_free(&scratch);
}

static void expect(const struct tool *t, const char *s, const char *want) {
    ts_tokens got = {0};
    ts_bpe_scratch scratch = {0};
    assert_ok(ts_bpe_word(&t->b, s, strlen(s), &scratch, &got, &err));
    ts_buf text = {0};
    assert_true(ts_buf_puts(&text, ""));
    for (size_t i = 0; i < got.n; i++)
        assert_true(ts_buf_printf(&text, "%s%.*s", i ? "|" : "", (int)t->v.entry[got.id[i]].len,
                                  ts_vocab_text(&t->v, got.id[i])));
    assert_string_equal(text.data, want);
    ts_buf_free(&text);
    ts_tokens_free(&got);
    ts_bpe_scratch_free(&scratch);
}

/* A word that is an entry: taken as it is only where the model says so, otherwise only if the merges lead to it. */
static void test_whole_words(void **state) {
    (void)state;
    struct tool t;
    make(&t, true);
    for (int again = 0; again < 2; again++) { /* the second time from what was remembered */
        expect(&t, "abcd", "abc|d");
        expect(&t, "dab", "dab");
        expect(&t, "aaa", "aaa");
    }
    t.b.direct = true;
    expect(&t, "abcd", "abcd");
    expect(&t, "abcda", "abc|da");
    drop(&t);
}

static void test_control_is_never_made(void **state) {
    (void)state;
    for (int by_pair = 0; by_pair < 2; by_pair++) {
        struct tool t = {0};
        for (int i = 0; i < N; i++)
            assert_ok(ts_vocab_set(&t.v, i, entries[i], strlen(entries[i]),
                                   strcmp(entries[i], "ab") ? TS_TOKEN_NORMAL : TS_TOKEN_CONTROL, &err));
        for (int i = 0; i < N; i++) t.v.entry[i].rank = strcmp(entries[i], "ab") ? (uint32_t)i : TS_RANK_NONE;
        assert_ok(ts_vocab_seal(&t.v, &err));
        assert_ok(ts_bpe_init(&t.b, &t.v, &err));
        for (int i = 0; i < 4; i++) t.b.byte_id['a' + i] = i;
        t.b.by_pair = by_pair;
        t.b.direct = true;
        ts_merge_queue q = {0};
        assert_true(ts_buf_puts(&q.text, "ab"));
        assert_ok(ts_bpe_queue_merge(&t.b, &q, 0, 1, &err));
        assert_ok(ts_bpe_flush_merges(&t.b, &q, &err));
        ts_buf_free(&q.text);
        expect(&t, "ab", "a|b");
        expect(&t, "dabd", by_pair ? "d|a|b|d" : "dab|d");
        drop(&t);
    }
}

static ts_status add_one(struct tool *t, const char *text, size_t left_len) {
    ts_merge_queue q = {0};
    assert_true(ts_buf_puts(&q.text, text));
    ts_status s = ts_bpe_queue_merge(&t->b, &q, 0, left_len, &err);
    if (s == TS_OK) s = ts_bpe_flush_merges(&t->b, &q, &err);
    ts_buf_free(&q.text);
    return s;
}

static void test_bad_merges(void **state) {
    (void)state;
    struct tool t;
    make(&t, true);
    static const struct {
        const char *text;
        size_t left;
        const char *says;
    } bad[] = {{"ax", 1, "\"x\""},     {"xa", 1, "\"x\""}, {"ba", 1, "\"ba\""},
               {"ab", 0, "empty part"}, {"ab", 2, "empty part"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(add_one(&t, bad[i].text, bad[i].left), TS_E_FORMAT);
        assert_non_null(strstr(err.msg, bad[i].says));
        assert_non_null(strstr(err.msg, "merge 12"));
    }
    assert_ok(add_one(&t, "bc", 1)); /* a repeated one has no effect, also when the table grows */
    assert_true(ts_bpe_reserve(&t.b, 10000));
    expect(&t, "abcd", "abc|d");
    drop(&t);
}

static void test_vocab(void **state) {
    (void)state;
    ts_vocab v = {0};
    assert_status(ts_vocab_seal(&v, &err), TS_E_FORMAT);
    assert_status(ts_vocab_set(&v, -1, "x", 1, TS_TOKEN_NORMAL, &err), TS_E_FORMAT);
    assert_status(ts_vocab_set(&v, TS_VOCAB_MAX, "x", 1, TS_TOKEN_NORMAL, &err), TS_E_FORMAT);
    static char big[TS_VOCAB_ENTRY_MAX + 1];
    assert_status(ts_vocab_set(&v, 0, big, sizeof big, TS_TOKEN_NORMAL, &err), TS_E_FORMAT);
    /* holes, twins, an overwritten entry, NUL within an entry */
    assert_ok(ts_vocab_set(&v, 9, "<|x|>", 5, TS_TOKEN_CONTROL, &err));
    assert_ok(ts_vocab_set(&v, 3, "twin", 4, TS_TOKEN_CONTROL, &err));
    assert_ok(ts_vocab_set(&v, 5, "twin", 4, TS_TOKEN_NORMAL, &err));
    assert_ok(ts_vocab_set(&v, 6, "twin", 4, TS_TOKEN_NORMAL, &err));
    assert_ok(ts_vocab_set(&v, 2, "old", 3, TS_TOKEN_NORMAL, &err));
    assert_ok(ts_vocab_set(&v, 2, "a\0b", 3, TS_TOKEN_NORMAL, &err));
    assert_ok(ts_vocab_set(&v, 7, "<|x|", 4, TS_TOKEN_USER, &err));
    assert_ok(ts_vocab_set(&v, 8, "<|x|>y", 6, TS_TOKEN_CONTROL, &err));
    assert_ok(ts_vocab_set(&v, 1, "", 0, TS_TOKEN_NORMAL, &err));
    assert_ok(ts_vocab_seal(&v, &err));
    assert_int_equal(v.n, 10);
    assert_true(v.has_twins);
    assert_int_equal(v.n_special, 4);
    assert_int_equal(ts_vocab_find(&v, "twin", 4), 5);
    assert_int_equal(ts_vocab_find_special(&v, "twin", 4), 3);
    assert_int_equal(ts_vocab_find(&v, "a\0b", 3), 2);
    assert_int_equal(ts_vocab_find(&v, "old", 3), -1);
    assert_int_equal(ts_vocab_find(&v, "", 0), -1);
    assert_int_equal(ts_vocab_find(&v, "<|x|>y and more than any entry", 30), -1);
    ts_vocab_free(&v);
}

/* Many look-ups at once give what single ones give, on a vocabulary with entries of all lengths. */
static void test_find_many(void **state) {
    (void)state;
    ts_vocab v = {0};
    ts_rng rng = ts_rng_seed(11);
    char s[60];
    for (int id = 0; id < 3000; id++) {
        size_t len = 1 + ts_rng_below(&rng, id % 2 ? 6 : sizeof s);
        for (size_t i = 0; i < len; i++) s[i] = (char)('a' + ts_rng_below(&rng, 3));
        assert_ok(ts_vocab_set(&v, id, s, len, TS_TOKEN_NORMAL, &err));
    }
    assert_ok(ts_vocab_seal(&v, &err));
    int found = 0;
    for (int round = 0; round < 200; round++) {
        ts_span q[TS_VOCAB_BATCH];
        ts_token got[TS_VOCAB_BATCH];
        static char text[TS_VOCAB_BATCH][60];
        for (int k = 0; k < TS_VOCAB_BATCH; k++) {
            size_t len = ts_rng_below(&rng, 7);
            for (size_t i = 0; i < len; i++) text[k][i] = (char)('a' + ts_rng_below(&rng, 3));
            ts_token id = (ts_token)ts_rng_below(&rng, 3000);
            if (k % 2) memcpy(text[k], ts_vocab_text(&v, id), len = v.entry[id].len);
            q[k] = (ts_span){(uint8_t *)text[k], len};
        }
        ts_vocab_find_many(&v, q, TS_VOCAB_BATCH, got);
        for (int k = 0; k < TS_VOCAB_BATCH; k++) {
            assert_int_equal(got[k], ts_vocab_find(&v, text[k], q[k].len));
            found += got[k] >= 0;
            if (got[k] >= 0) assert_memory_equal(ts_vocab_text(&v, got[k]), text[k], q[k].len);
        }
    }
    assert_true(found > 6000);
    ts_vocab_free(&v);
}

static bool build_and_use(void *ud) {
    (void)ud;
    struct tool t = {0};
    ts_merge_queue q = {0};
    ts_bpe_scratch scratch = {0};
    ts_tokens out = {0};
    bool ok = true;
    for (int i = 0; i < N && ok; i++)
        ok = ts_vocab_set(&t.v, i, entries[i], strlen(entries[i]), i == 7 ? TS_TOKEN_USER : TS_TOKEN_NORMAL, NULL) ==
             TS_OK;
    ok = ok && ts_vocab_seal(&t.v, NULL) == TS_OK && ts_bpe_init(&t.b, &t.v, NULL) == TS_OK;
    if (ok) {
        for (int i = 0; i < 4; i++) t.b.byte_id['a' + i] = i;
        t.b.by_pair = true;
    }
    for (int i = 0; i < M && ok; i++) {
        size_t begin = q.text.len;
        ok = ts_buf_puts(&q.text, merges[i].left) && ts_buf_puts(&q.text, merges[i].right) &&
             ts_bpe_queue_merge(&t.b, &q, begin, strlen(merges[i].left), NULL) == TS_OK;
    }
    ok = ok && ts_bpe_flush_merges(&t.b, &q, NULL) == TS_OK;
    static const char text[] = "abcdabcdaaaaabcbcbcbcbabababababababababacdcdcdcd";
    ok = ok && ts_bpe_word(&t.b, text, sizeof text - 1, &scratch, &out, NULL) == TS_OK;
    ts_tokens_free(&out);
    ts_bpe_scratch_free(&scratch);
    ts_buf_free(&q.text);
    drop(&t);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(build_and_use, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_whole_words),
        cmocka_unit_test(test_control_is_never_made), cmocka_unit_test(test_bad_merges), cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_find_many),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
