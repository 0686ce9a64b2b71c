/* The split into words: known cuts, and the hand-written ASCII code against PCRE2 on random text. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/mem.h"
#include "base/rng.h"
#include "text/pretok.h"
#include "base/utf8.h"

static ts_err err;

static ts_pretok *make(ts_pretok_kind kind) {
    ts_pretok *p = NULL;
    assert_ok(ts_pretok_new(&p, kind, &err));
    return p;
}

/* The words with bars between them. */
static void cut(ts_buf *out, const ts_pretok *p, const char *s, size_t len, bool slow, bool no_jit) {
    ts_split it;
    ts_split_init(&it, p, s, len);
    it.slow = slow;
    it.no_jit = no_jit;
    ts_buf_clear(out);
    assert_true(ts_buf_puts(out, ""));
    size_t end = 0;
    for (;;) {
        size_t begin;
        assert_ok(ts_split_next(&it, &begin, &err));
        assert_int_equal(begin, end);
        if (it.pos == begin) break;
        assert_true(it.pos <= len);
        if (begin) assert_true(ts_buf_putc(out, '|'));
        assert_true(ts_buf_append(out, s + begin, it.pos - begin));
        end = it.pos;
    }
    assert_int_equal(end, len);
    ts_split_fini(&it);
}

static void expect(ts_pretok_kind kind, const char *want) {
    ts_pretok *p = make(kind);
    ts_buf got = {0};
    char text[400];
    size_t n = 0;
    for (const char *w = want; *w; w++)
        if (*w != '|') text[n++] = *w;
    for (int how = 0; how < 3; how++) {
        cut(&got, p, text, n, how > 0, how > 1);
        assert_string_equal(got.data, want);
    }
    ts_buf_free(&got);
    ts_pretok_free(p);
}

/* The cuts are those of the published patterns in Python's regex module, where \s and \p are Unicode's. */
static void test_known(void **state) {
    (void)state;
    expect(TS_PRETOK_LLAMA3, "Hello| world|!| It|'s| |123|456|7|.");
    expect(TS_PRETOK_LLAMA3, "I|'M| y|'all|'LL|'ve|'re|'d|x");
    expect(TS_PRETOK_LLAMA3, "a|  | b");
    expect(TS_PRETOK_LLAMA3, "a|  |\tb| \t| c");
    expect(TS_PRETOK_LLAMA3, "x|  \n\n  \n| | y|\r\n|z");
    expect(TS_PRETOK_LLAMA3, "if|(x|){\n\n|  | //|comment|\n|}");
    expect(TS_PRETOK_LLAMA3, "end|   ");
    expect(TS_PRETOK_LLAMA3, "日本語| |12３|،漢字");
    expect(TS_PRETOK_LLAMA3, "¡Hola|!| !¿|Qué");
    expect(TS_PRETOK_QWEN2, "a| |1|2|3|b| |4");
    expect(TS_PRETOK_QWEN2, "x|=|1|.|5|\n\n|y");
    expect(TS_PRETOK_GPT2, "Hello| world|'s| 123456|!?| | y");
    expect(TS_PRETOK_GPT2, "I|'|M| I|'m");
    expect(TS_PRETOK_GPT2, "a|\n|\n|b| |\n|c");
    expect(TS_PRETOK_SMOLLM, "a| |1|2|  |3| b|  ");
    expect(TS_PRETOK_TEKKEN, "Hello|World|'s| ABCdef|1|2|/\n/|x");
}

static void test_unicode_space(void **state) {
    (void)state;
    /* U+0085 is white space, U+180E is not: PCRE2's own \s says the opposite of both */
    expect(TS_PRETOK_LLAMA3, "a|\xC2\x85|\xC2\x85"
                             "b"); /* two literals: b is a hexadecimal digit */
    expect(TS_PRETOK_LLAMA3, "a| \xE1\xA0\x8E|b");
    /* U+017F is an s where case does not matter, as in the Rust engine that Llama 3 was made with */
    expect(TS_PRETOK_LLAMA3, "it|'\xC5\xBF|x");
    expect(TS_PRETOK_GPT2, "it|'|\xC5\xBFx");
}

static void test_invalid(void **state) {
    (void)state;
    ts_pretok *p = make(TS_PRETOK_LLAMA3);
    ts_buf got = {0};
    static const struct {
        const char *text, *want;
    } list[] = {
        {"ab\xFF\xFE"
         "cd",
         "ab|\xFF\xFE|cd"},
        {"a  \x80", "a|  |\x80"},
        {"\xE6\x97", "\xE6\x97"},
        {"x\xE6\x97y", "x|\xE6\x97|y"},
        {"é\xC3", "é|\xC3"},
        {"\xED\xA0\x80!", "\xED\xA0\x80|!"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        for (int slow = 0; slow < 2; slow++) {
            cut(&got, p, list[i].text, strlen(list[i].text), slow, false);
            assert_string_equal(got.data, list[i].want);
        }
    cut(&got, p, "a\0b\0\0", 5, false, false);
    assert_int_equal(got.len, 7);
    assert_memory_equal(got.data, "a|\0b|\0\0", 7);
    cut(&got, p, "", 0, false, false);
    assert_int_equal(got.len, 0);
    ts_buf_free(&got);
    ts_pretok_free(p);
}

/* Text that is rich in what the patterns look at. */
static size_t random_text(ts_rng *rng, char *out, int style) {
    static const char *const parts[] = {" ",        "  ",       "\n",  "\r\n", "\t",   "'",        "'s",
                                        "'LL",      "'Re",      "a",   "Z",    "the",  "1",        "12",
                                        "345",      "!",        "...", "(",    "\"",   "\v",       "\0",
                                        "_",        "/",        "é",   "日",   "٣",    "\xC2\xA0", "\xE2\x80\xA8",
                                        "\xC2\x85", "\xCC\x81", "ſ",   "🦙", "\xFF", "\xE6\x97", "ǅ", "ⅷ"};
    size_t ascii = 23, all = sizeof parts / sizeof *parts, n = 0;
    size_t want = ts_rng_below(rng, 40);
    for (size_t i = 0; i < want; i++) {
        if (style == 2) {
            out[n++] = (char)ts_rng_below(rng, 256);
            continue;
        }
        size_t k = ts_rng_below(rng, style == 0 || ts_rng_below(rng, 4) ? ascii : all);
        size_t len = parts[k][0] ? strlen(parts[k]) : 1;
        memcpy(out + n, parts[k], len);
        n += len;
    }
    return n;
}

static void test_fast_equals_pcre(void **state) {
    (void)state;
    ts_buf fast = {0}, slow = {0}, plain = {0};
    for (int kind = 0; kind < TS_PRETOK_KINDS; kind++) {
        ts_pretok *p = make((ts_pretok_kind)kind);
        ts_rng rng = ts_rng_seed(7);
        for (int round = 0; round < 20000; round++) {
            char text[400];
            size_t n = random_text(&rng, text, round % 3);
            cut(&fast, p, text, n, false, false);
            cut(&slow, p, text, n, true, false);
            if (fast.len != slow.len || memcmp(fast.data, slow.data, fast.len) != 0)
                fail_msg("%s, round %d: \"%s\" by hand, \"%s\" by PCRE2", ts_pretok_name((ts_pretok_kind)kind), round,
                         fast.data, slow.data);
            if (round % 20) continue;
            cut(&plain, p, text, n, true, true);
            assert_int_equal(plain.len, slow.len);
            assert_memory_equal(plain.data, slow.data, slow.len);
        }
        ts_pretok_free(p);
    }
    ts_buf_free(&fast), ts_buf_free(&slow), ts_buf_free(&plain);
}

/* A word of a million characters, and white space of every sort as long: the work stays linear (this test would take
 * hours otherwise) and no limit of PCRE2 is in the way. */
static void test_long(void **state) {
    (void)state;
    static const char *const unit[] = {"a", " ", "\n", "é", "\xE3\x80\x80" /* U+3000 */, "1", "\xFF"};
    for (int kind = 0; kind < TS_PRETOK_KINDS; kind++) {
        ts_pretok *p = make((ts_pretok_kind)kind);
        for (size_t u = 0; u < sizeof unit / sizeof *unit; u++) {
            ts_buf text = {0}, got = {0};
            for (int i = 0; i < 300000; i++) assert_true(ts_buf_puts(&text, unit[u]));
            assert_true(ts_buf_puts(&text, "x"));
            cut(&got, p, text.data, text.len, false, false);
            ts_buf_free(&text), ts_buf_free(&got);
        }
        ts_pretok_free(p);
    }
}

static ts_span span(const char *s) {
    return (ts_span){(const uint8_t *)s, strlen(s)};
}

static void test_names(void **state) {
    (void)state;
    ts_pretok_kind k;
    assert_ok(ts_pretok_find(&k, span("llama-bpe"), &err));
    assert_int_equal(k, TS_PRETOK_LLAMA3);
    assert_ok(ts_pretok_find(&k, span("llama3"), &err));
    assert_int_equal(k, TS_PRETOK_LLAMA3);
    assert_ok(ts_pretok_find(&k, span("deepseek-r1-qwen"), &err));
    assert_int_equal(k, TS_PRETOK_QWEN2);
    assert_ok(ts_pretok_find(&k, span("gpt2"), &err));
    assert_int_equal(k, TS_PRETOK_GPT2);
    for (int i = 0; i < TS_PRETOK_KINDS; i++) {
        assert_ok(ts_pretok_find(&k, span(ts_pretok_name((ts_pretok_kind)i)), &err));
        assert_int_equal(k, i);
    }
    static const char *const bad[] = {"", " ", "llama", "bpe\n", "qwen2 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ts_pretok_find(&k, span(bad[i]), &err), TS_E_UNSUPP);
        assert_non_null(strstr(err.msg, "gpt-2"));
        assert_null(strchr(err.msg, '\n'));
    }
    assert_true(ts_pretok_by_regex(&k, span("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                                            "\\s+(?!\\S)|\\s+")));
    assert_int_equal(k, TS_PRETOK_GPT2);
    assert_false(ts_pretok_by_regex(&k, span(".*")));
    assert_false(ts_pretok_by_regex(&k, span("")));
}

static bool split_some(void *ud) {
    (void)ud;
    ts_pretok *p;
    if (ts_pretok_new(&p, TS_PRETOK_LLAMA3, NULL) != TS_OK) return false;
    ts_split it;
    ts_split_init(&it, p, "a é b", 6);
    bool ok = true;
    for (size_t begin = 1; ok && it.pos < it.len;) ok = ts_split_next(&it, &begin, NULL) == TS_OK;
    ts_split_fini(&it);
    ts_pretok_free(p);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(split_some, NULL, true); /* without memory for compiled code the interpreter takes over */
    ts_pretok_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known), cmocka_unit_test(test_unicode_space), cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_fast_equals_pcre), cmocka_unit_test(test_long), cmocka_unit_test(test_names),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("pretok", tests, NULL, NULL);
}
