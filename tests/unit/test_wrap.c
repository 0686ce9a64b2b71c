/* Text in lines that fit: whatever pieces it comes in. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/printable.h"
#include "cli/wrap.h"

typedef struct sample {
    int width;
    bool markup;
    const char *text, *want;
} sample;

static const sample samples[] = {
    {0, true, "nothing is wrapped here", "nothing is wrapped here"},
    {10, true, "one two three four", "one two\nthree four"},
    {10, true, "one two three", "one two\nthree"},
    {10, true, "one two three\n", "one two\nthree\n"},
    {10, true, "exactly 10 then", "exactly 10\nthen"},
    {10, true, "1234567890 x", "1234567890\nx"},
    {10, true, "own\nline breaks\n\nstay", "own\nline\nbreaks\n\nstay"},
    {10, true, "a  b   c    d", "a  b   c\nd"},
    {10, true, "ends here   \nnext", "ends here\nnext"},
    {10, true, "", ""},
    {10, true, "   ", ""},
    {10, true, "a longword12345678 b", "a\nlongword12\n345678 b"},
    {10, true, "longword1234567890123 b", "longword12\n3456789012\n3 b"},
    {10, true, "tab\there and on", "tab\nhere and\non"},
    {16, true, "tab\there and on", "tab\there and\non"},
    /* an item's text goes on under its text */
    {12, true, "- one two three four", "- one two\n  three four"},
    {12, true, "  - one two three", "  - one two\n    three"},
    {14, true, "12. one two three four", "12. one two\n    three four"},
    {12, true, "1) one two three", "1) one two\n   three"},
    {12, true, "12 one two three", "12 one two\nthree"},
    {12, true, "- one two three\nfour five six", "- one two\n  three\nfour five\nsix"},
    /* code and tables are left alone */
    {10, true, "    indented code that is long\nand text again", "    indented code that is long\nand text\nagain"},
    {10, true, "\tindented code that is long", "\tindented code that is long"},
    {10, true, "```c\nint long_name = 1234567;\n\n  x y z a b c d\n```\nand text again",
     "```c\nint long_name = 1234567;\n\n  x y z a b c d\n```\nand text\nagain"},
    {10, true, "~~~\nlong lines stay as\n```\nlong lines stay as\n~~~~\nlong lines break",
     "~~~\nlong lines stay as\n```\nlong lines stay as\n~~~~\nlong lines\nbreak"},
    {10, true, "``not a`` fence here", "``not a``\nfence here"},
    {10, true, "| a | long | row |\nand text again", "| a | long | row |\nand text\nagain"},
    /* remarks: the indentation of a line is that of its continuations, whatever it is */
    {12, false, "      one two three", "      one\n      two\n      three"},
    {12, false, "  a: one two three\nfour five six seven", "  a: one two\n  three\nfour five\nsix seven"},
    {12, false, "- one two three", "- one two\nthree"},
    {12, false, "```\none two three four", "```\none two\nthree four"},
    {10, false, "                    far", "                    \n     far"},
    /* columns, not bytes */
    {10, true, "süß größer äöü", "süß größer\näöü"},
    {10, true, "e\xcc\x81t\xcc\x81 abcd xyz", "e\xcc\x81t\xcc\x81 abcd\nxyz"},
    {10, true, "今日は天気がいい", "今日は天気\nがいい"},
    {10, true, "今日は天気。いい", "今日は天\n気。いい"},
    {10, true, "go 今日は天気", "go 今日は\n天気"},
    {10, true, "abc今日xyz abc", "abc今日xyz\nabc"},
    {9, true, "abc今日xyz abc", "abc今日\nxyz abc"},
    {6, true, "ab 👩‍👩‍👧 cd", "ab 👩‍👩‍👧\ncd"},
    {1, true, "ab 今", "a\nb\n今"},
};

static bool wrap(const sample *s, size_t piece, ts_buf *out) {
    cli_wrap w = {.width = s->width, .markup = s->markup};
    size_t len = strlen(s->text);
    bool ok = true;
    for (size_t i = 0, n; i < len && ok; i += n) {
        n = 0;
        for (size_t k = 0; k < piece && i + n < len; k++)
            n += ts_utf8_valid((const uint8_t *)s->text + i + n, len - i - n, NULL);
        ok = cli_wrap_put(&w, s->text + i, n, out);
    }
    ok = ok && cli_wrap_end(&w, out);
    cli_wrap_free(&w);
    return ok;
}

static void test_samples(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t piece = 1; piece < 40; piece++) {
            ts_buf out = {0};
            assert_true(wrap(&samples[i], piece, &out));
            if (strcmp(out.data ? out.data : "", samples[i].want) != 0)
                fail_msg("width %d, pieces of %zu: \"%s\" gives\n%s\n--- not\n%s", samples[i].width, piece,
                         samples[i].text, out.data, samples[i].want);
            ts_buf_free(&out);
        }
}

/* Any text at any width: no line is too long unless it is one of those that are left alone, and taking the breaks
 * out again gives the words of the text. */
static void test_any(void **state) {
    (void)state;
    static const char *const part[] = {"a",  "word", "longer-word", "12.", "-",  " ", " ", " ", "  ",
                                       "\n", "漢字", "。",          "é",   "\t", "`", "|", "👍"};
    uint32_t r = 1;
    for (int round = 0; round < 2000; round++) {
        ts_buf text = {0}, out = {0}, words[2] = {0};
        for (int i = 0; i < 40; i++)
            assert_true(ts_buf_puts(&text, part[(r = r * 1664525 + 1013904223) >> 16 & 0xffff ? (r >> 16) % 17 : 0]));
        const sample s = {.width = 2 + round % 40, .markup = false, .text = text.data};
        assert_true(wrap(&s, 1 + (size_t)round % 7, &out));
        for (const char *line = out.data; line && *line;) {
            size_t len = strcspn(line, "\n"), lead = strspn(line, " \t");
            if (!memchr(line, '\t', len) && lead == 0 && cli_text_cols(line, len) > s.width)
                fail_msg("width %d: \"%.*s\" in\n%s", s.width, (int)len, line, out.data);
            line += len + (line[len] == '\n');
        }
        for (int k = 0; k < 2; k++)
            for (const char *p = k ? out.data : text.data; p && *p; p++)
                if (!strchr(" \t\n", *p)) assert_true(ts_buf_putc(&words[k], *p));
        assert_string_equal(words[0].data ? words[0].data : "", words[1].data ? words[1].data : "");
        ts_buf_free(&text), ts_buf_free(&out), ts_buf_free(&words[0]), ts_buf_free(&words[1]);
    }
}

/* What can be shown is shown: a word at the start of a line comes letter by letter, another with the next one. */
static void test_as_it_comes(void **state) {
    (void)state;
    cli_wrap w = {.width = 10, .markup = true};
    ts_buf out = {0};
    static const char *const steps[][2] = {{"ab", "ab"}, {"c", "abc"}, {" d", "abc"}, {"e", "abc"}, {" ", "abc de"},
                                           {"fgh", "abc de"}, {"ij", "abc de\nfghij"}, {"k", "abc de\nfghijk"},
                                           {"\n", "abc de\nfghijk\n"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_true(cli_wrap_put(&w, steps[i][0], strlen(steps[i][0]), &out));
        assert_string_equal(out.data, steps[i][1]);
    }
    cli_wrap_free(&w);
    ts_buf_free(&out);
}

static bool all_samples(void *ud) {
    (void)ud;
    bool ok = true;
    for (size_t i = 0; i < sizeof samples / sizeof *samples && ok; i++) {
        ts_buf out = {0};
        ok = wrap(&samples[i], 3, &out);
        ts_buf_free(&out);
    }
    return ok;
}

static void test_out_of_memory(void **state) {
    (void)state;
    alloc_fail_loop(all_samples, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_as_it_comes),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
