/* Tokens to text as they come: whole characters only, and the space in front of the first word. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/rng.h"
#include "text/detok.h"
#include "text/tok_impl.h"
#include "base/utf8.h"

static ts_err err;

static ts_tokenizer *byte_level(void) {
    ts_buf json = {0};
    assert_true(tiny_json(&json, false, false));
    ts_tokenizer *t = NULL;
    assert_ok(ts_tok_from_json(&t, json.data, json.len, &err));
    assert_ok(ts_tok_finish(t, &err));
    ts_buf_free(&json);
    return t;
}

static ts_tokenizer *spm(bool prefix) {
    ts_buf file = {0};
    assert_true(tiny_spm(&file, true, prefix, false));
    ts_tokenizer *t = NULL;
    assert_ok(ts_tok_from_spm(&t, file.data, file.len, NULL, &err));
    assert_ok(ts_tok_finish(t, &err));
    ts_buf_free(&file);
    return t;
}

/* Push one token; what came out must be exactly `want`. */
static void push(ts_detok *d, ts_token id, const char *want) {
    ts_buf out = {0};
    assert_true(ts_buf_puts(&out, ""));
    assert_true(ts_detok_push(d, id, &out));
    assert_string_equal(out.data, want);
    ts_buf_free(&out);
}

static void flush(ts_detok *d, const char *want) {
    ts_buf out = {0};
    assert_true(ts_buf_puts(&out, ""));
    assert_true(ts_detok_flush(d, &out));
    assert_string_equal(out.data, want);
    assert_int_equal(d->n_held, 0);
    ts_buf_free(&out);
}

static void test_characters(void **state) {
    (void)state;
    ts_tokenizer *t = byte_level(); /* token n < 256 is byte n */
    ts_detok d = {.tok = t};
    push(&d, 0xF0, ""), push(&d, 0x9F, ""), push(&d, 0xA6, ""), push(&d, 0x99, "🦙");
    push(&d, 0xC3, ""), push(&d, 0xA9, "é"), push(&d, 'x', "x");
    /* broken off by something else */
    push(&d, 0xE6, ""), push(&d, 0x97, ""), push(&d, 'x', "\xEF\xBF\xBDx");
    push(&d, 0xE6, ""), push(&d, 0xE6, "\xEF\xBF\xBD"), push(&d, 0x97, ""), push(&d, 0xA5, "日");
    /* can not begin or go on */
    push(&d, 0x80, "\xEF\xBF\xBD"), push(&d, 0xFF, "\xEF\xBF\xBD"), push(&d, 0xC0, "\xEF\xBF\xBD");
    push(&d, 0xED, ""), push(&d, 0xA0, "\xEF\xBF\xBD\xEF\xBF\xBD"); /* a surrogate */
    push(&d, 0xF4, ""), push(&d, 0x90, "\xEF\xBF\xBD\xEF\xBF\xBD"); /* above U+10FFFF */
    push(&d, 0xF0, ""), push(&d, 0x9F, ""), flush(&d, "\xEF\xBF\xBD");
    flush(&d, "");
    push(&d, 'y', "y");
    ts_tokenizer_free(t);
}

static void test_control(void **state) {
    (void)state;
    ts_tokenizer *t = byte_level();
    ts_detok d = {.tok = t};
    push(&d, TINY_BOS, ""), push(&d, TINY_THINK, "<think>"), push(&d, -1, ""), push(&d, TINY_SIZE, "");
    d.special = true;
    push(&d, TINY_BOS, "<|bos|>");
    /* a control token between the bytes of a character leaves them waiting */
    d.special = false;
    push(&d, 0xC3, ""), push(&d, TINY_END, ""), push(&d, 0xA9, "é");
    ts_tokenizer_free(t);
}

static void test_first_space(void **state) {
    (void)state;
    ts_tokenizer *t = spm(true);
    ts_token the = ts_tokenizer_find(t, " the", 4), and = ts_tokenizer_find(t, " and", 4);
    ts_detok d = {.tok = t};
    push(&d, 1, ""), push(&d, the, "the"), push(&d, and, " and");
    d = (ts_detok){.tok = t, .keep_space = true};
    push(&d, the, " the");
    d = (ts_detok){.tok = t};
    push(&d, 3 + 'x', "x"), push(&d, the, " the"); /* it was not the first */
    d = (ts_detok){.tok = t};
    push(&d, ts_tokenizer_find(t, "  ", 2), " "); /* one space only */
    d = (ts_detok){.tok = t};
    push(&d, 3 + 0xE6, ""), push(&d, 3 + 0x97, ""), push(&d, 3 + 0xA5, "日"); /* byte tokens */
    ts_tokenizer_free(t);
    t = spm(false);
    d = (ts_detok){.tok = t};
    push(&d, the, " the"); /* the tokenizer puts no space in front, so none is taken away */
    ts_tokenizer_free(t);
}

/* Any bytes, pushed in any grouping, give valid UTF-8 piece by piece, and the text itself where it was valid. */
static void test_random(void **state) {
    (void)state;
    ts_tokenizer *t = byte_level();
    ts_rng rng = ts_rng_seed(17);
    for (int round = 0; round < 3000; round++) {
        ts_detok d = {.tok = t};
        ts_buf in = {0}, out = {0};
        assert_true(ts_buf_puts(&out, "") && ts_buf_puts(&in, ""));
        bool valid = round % 2;
        for (int i = 0; i < 30; i++) {
            char s[4];
            size_t n = 1;
            uint32_t cp = (uint32_t)ts_rng_below(&rng, ts_rng_below(&rng, 2) ? 0x250 : 0x110000);
            if (cp >= 0xD800 && cp < 0xE000) cp = 'x';
            if (valid) n = (size_t)ts_utf8_encode(cp, s);
            else s[0] = (char)ts_rng_below(&rng, 256);
            assert_true(ts_buf_append(&in, s, n));
            for (size_t k = 0; k < n; k++) {
                size_t before = out.len;
                assert_true(ts_detok_push(&d, (uint8_t)s[k], &out));
                for (size_t at = before; at < out.len;) {
                    int len = ts_utf8_decode(out.data + at, out.len - at, &cp);
                    assert_true(len > 0);
                    at += (size_t)len;
                }
            }
        }
        assert_true(ts_detok_flush(&d, &out));
        if (valid) {
            assert_int_equal(out.len, in.len);
            assert_memory_equal(out.data, in.data, in.len);
        }
        ts_buf_free(&in), ts_buf_free(&out);
    }
    ts_tokenizer_free(t);
}

static bool push_some(void *ud) {
    ts_detok d = {.tok = ud};
    ts_buf out = {0};
    bool ok = ts_detok_push(&d, 0xE6, &out) && ts_detok_push(&d, 260, &out) && ts_detok_push(&d, 0xC3, &out) &&
              ts_detok_flush(&d, &out);
    ts_buf_free(&out);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    ts_tokenizer *t = byte_level();
    alloc_fail_loop(push_some, t, false);
    ts_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters), cmocka_unit_test(test_control), cmocka_unit_test(test_first_space),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("detok", tests, NULL, NULL);
}
