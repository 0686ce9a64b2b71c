/* generate: why an answer ends, stop strings across pieces, whole characters, no allocation in the token loop.
 *
 * The model is a chain: an embedding of unit vectors, a block that adds nothing, and an output layer whose largest
 * logit after token t is the token that comes next. Tokens 0..255 are bytes, 256 ends an answer; so the answer is
 * known. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/test.h"

#include "engine/session.h"
#include "model/shape.h"
#include "text/utf8.h"

enum { VOCAB = 272, END = 256, CTX = 64 };

/* The engine whose answer to its first token is `chain`; 0 ends it. Every byte may come once. */
typedef struct chain {
    gguf_file file;
    ts_engine *e;
    ts_session *s;
    ts_sampler *greedy;
    ts_token first;
} chain;

static chain make_chain(const uint16_t *token, size_t n, const ts_session_opts *opts) {
    static const ts_shape shape = {.name = "chain", .arch = "llama", .n_layer = 1, .d_model = VOCAB, .d_ff = 16,
                                   .n_head = 1, .n_kv_head = 1, .head_dim = 16, .n_vocab = VOCAB, .n_ctx = CTX,
                                   .rope_base = 10000, .norm_eps = 1e-5f};
    static float unit[VOCAB * VOCAB], next[VOCAB * VOCAB], ones[VOCAB];
    ts_buf raw = {0};
    ts_err err;
    const ts_mix mix = {TS_F32, TS_F32, TS_F32};
    assert_ok(ts_shape_make(&shape, &mix, 1, &raw, &err));
    gguf_file base = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    assert_non_null(base.data);
    memcpy(base.data, raw.data, raw.len);
    ts_buf_free(&raw);
    memset(next, 0, sizeof next);
    for (int i = 0; i < VOCAB; i++) unit[i * VOCAB + i] = ones[i] = 1;
    for (size_t i = 0; i + 1 < n; i++) next[token[i + 1] * VOCAB + token[i]] = 1;
    const gguf_edit edits[] = {
        {.name = "token_embd.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = VOCAB, .cols = VOCAB, .data = unit},
        {.name = "output.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = VOCAB, .cols = VOCAB, .data = next},
        {.name = "output_norm.weight", .what = EDIT_TENSOR, .type = TS_F32, .cols = VOCAB, .data = ones},
        {.name = "blk.0.attn_output.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = VOCAB, .cols = 16},
        {.name = "blk.0.ffn_down.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = VOCAB, .cols = 16},
        {0},
    };
    chain c = {.file = gguf_edited(base, edits), .first = token[0]};
    ts_free(base.data);
    assert_ok(ts_engine_open_memory(&c.e, c.file.data, c.file.len, &(ts_engine_opts){.n_threads = 1}, &err));
    assert_ok(ts_session_new(&c.s, c.e, opts, &err));
    ts_sampler_opts o = ts_sampler_defaults();
    o.temperature = 0;
    assert_ok(ts_sampler_new(&c.greedy, &o, VOCAB, &err));
    return c;
}

static chain make_text(const char *text, const ts_session_opts *opts) {
    uint16_t token[VOCAB];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) token[i] = (uint8_t)text[i];
    token[n] = END;
    return make_chain(token, n + 1, opts);
}

static void drop(chain *c) {
    ts_sampler_free(c->greedy);
    ts_session_free(c->s);
    ts_engine_close(c->e);
    ts_free(c->file.data);
}

/* What on_piece was given. */
typedef struct heard {
    char text[200];
    size_t len, pieces, stop_after;
    ts_token token[100];
} heard;

static bool hear(void *ud, const ts_piece *p) {
    heard *h = ud;
    assert_true(h->len + p->len < sizeof h->text);
    memcpy(h->text + h->len, p->text, p->len);
    h->len += p->len;
    h->text[h->len] = 0;
    for (size_t i = 0; i < p->len;) { /* whole characters only */
        uint32_t cp;
        int n = ts_utf8_decode(p->text + i, p->len - i, &cp);
        assert_true(n > 0);
        i += (size_t)n;
    }
    if (p->token >= 0 && h->pieces < 100) h->token[h->pieces] = p->token;
    assert_non_null(p->logits);
    return ++h->pieces != h->stop_after;
}

/* Ask the chain for its answer; the text, reason and number of tokens must be these. */
static void answer(chain *c, ts_generate_opts o, const char *text, ts_stop_reason reason, size_t n_tokens, heard *h) {
    heard own = {0};
    if (!h) h = &own;
    o.on_piece = hear, o.ud = h;
    ts_generated r;
    ts_err err;
    assert_ok(ts_generate(c->s, c->greedy, &c->first, 1, &o, &r, &err));
    assert_string_equal(h->text, text);
    assert_int_equal(r.reason, reason);
    assert_int_equal(r.n_tokens, n_tokens);
    assert_true(r.total_ns >= r.first_ns);
}

static void test_reasons(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    heard h = {0};
    answer(&c, (ts_generate_opts){0}, "bcdefgh", TS_STOP_END, 8, &h);
    for (int i = 0; i < 7; i++) assert_int_equal(h.token[i], 'b' + i);
    assert_int_equal(h.token[7], END);
    assert_int_equal(h.pieces, 8);
    answer(&c, (ts_generate_opts){.max_tokens = 3}, "bcd", TS_STOP_LENGTH, 3, NULL);
    answer(&c, (ts_generate_opts){.max_tokens = 8}, "bcdefgh", TS_STOP_END, 8, NULL);
    answer(&c, (ts_generate_opts){.max_tokens = 7}, "bcdefgh", TS_STOP_LENGTH, 7, NULL);
    h = (heard){.stop_after = 2};
    answer(&c, (ts_generate_opts){0}, "bc", TS_STOP_CANCELLED, 2, &h);
    /* the session is where it was left: the same question again */
    answer(&c, (ts_generate_opts){0}, "bcdefgh", TS_STOP_END, 8, NULL);
    /* behind the end the chain knows nothing and takes the lowest token, 0, for ever */
    answer(&c, (ts_generate_opts){.ignore_end = true, .max_tokens = 9}, "bcdefgh", TS_STOP_LENGTH, 9, &(heard){0});
    drop(&c);
}

static void test_context(void **state) {
    (void)state;
    chain c = make_text("abcdefghijklmnop", &(ts_session_opts){.n_ctx = 6});
    answer(&c, (ts_generate_opts){0}, "bcdefg", TS_STOP_CONTEXT, 6, NULL);
    size_t n;
    ts_session_tokens(c.s, &n);
    assert_int_equal(n, 6);
    answer(&c, (ts_generate_opts){.max_tokens = 6}, "bcdefg", TS_STOP_LENGTH, 6, NULL);
    const ts_token long_prompt[7] = {'a', 'b', 'c', 'd', 'e', 'f', 'g'};
    ts_generated r = {.n_tokens = 77};
    ts_err err;
    assert_status(ts_generate(c.s, c.greedy, long_prompt, 7, &(ts_generate_opts){0}, &r, &err), TS_E_LIMIT);
    assert_status(ts_generate(c.s, c.greedy, long_prompt, 0, &(ts_generate_opts){0}, &r, &err), TS_E_INVAL);
    assert_int_equal(r.n_tokens, 77);
    drop(&c);
}

static void test_stop_strings(void **state) {
    (void)state;
    chain c = make_text("abcdefghij", NULL);
#define STOP(...) \
    .stop = (const char *const[]){__VA_ARGS__}, .n_stop = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
    answer(&c, (ts_generate_opts){STOP("e")}, "bcd", TS_STOP_STRING, 4, NULL);
    answer(&c, (ts_generate_opts){STOP("defg")}, "bc", TS_STOP_STRING, 6, NULL); /* over four tokens */
    answer(&c, (ts_generate_opts){STOP("b")}, "", TS_STOP_STRING, 1, NULL);
    answer(&c, (ts_generate_opts){STOP("a")}, "bcdefghij", TS_STOP_END, 10, NULL); /* of the prompt: does not count */
    /* begun, never finished */
    answer(&c, (ts_generate_opts){STOP("dex", "hijk", "")}, "bcdefghij", TS_STOP_END, 10, NULL);
    /* the first in the text */
    answer(&c, (ts_generate_opts){STOP("hi", "efg", "g")}, "bcd", TS_STOP_STRING, 6, NULL);
    answer(&c, (ts_generate_opts){STOP("fg", "cdefghijkl", "gh")}, "bcde", TS_STOP_STRING, 6, NULL);
    /* held back, let go at the end */
    answer(&c, (ts_generate_opts){STOP("defx"), .max_tokens = 4}, "bcde", TS_STOP_LENGTH, 4, NULL);
    answer(&c, (ts_generate_opts){STOP("cdcd", "cdef")}, "b", TS_STOP_STRING, 5, NULL);
    answer(&c, (ts_generate_opts){STOP("j")}, "bcdefghi", TS_STOP_STRING, 9, NULL);
    heard h = {.stop_after = 3};
    answer(&c, (ts_generate_opts){STOP("cdex")}, "b", TS_STOP_CANCELLED, 3, &h); /* no more after "no more" */
    /* nothing is printed that may still become a stop string */
    h = (heard){.stop_after = 4};
    ts_generate_opts o = {STOP("bcdefZ"), .on_piece = hear, .ud = &h};
    ts_generated r;
    ts_err err;
    assert_ok(ts_generate(c.s, c.greedy, &c.first, 1, &o, &r, &err));
    assert_int_equal(r.reason, TS_STOP_CANCELLED);
    assert_int_equal(h.pieces, 4); /* empty ones: what was held back is not handed to whoever wants no more */
    assert_string_equal(h.text, "");
#undef STOP
    drop(&c);
}

static void test_characters(void **state) {
    (void)state;
    /* a, e acute, the character for day, a llama, z */
    static const char text[] = "a\xC3\xA9\xE6\x97\xA5\xF0\x9F\xA6\x99z";
    chain c = make_text(text, NULL);
    answer(&c, (ts_generate_opts){0}, text + 1, TS_STOP_END, 11, NULL);
    /* cut within a character */
    answer(&c, (ts_generate_opts){.max_tokens = 4}, "\xC3\xA9\xEF\xBF\xBD", TS_STOP_LENGTH, 4, NULL);
    const char *const stop[] = {"\xF0\x9F\xA6\x99"};
    answer(&c, (ts_generate_opts){.stop = stop, .n_stop = 1}, "\xC3\xA9\xE6\x97\xA5", TS_STOP_STRING, 9, NULL);
    drop(&c);
    c = make_text("a\xFF\xFE" "b", NULL); /* no characters at all */
    answer(&c, (ts_generate_opts){0}, "\xEF\xBF\xBD\xEF\xBF\xBD" "b", TS_STOP_END, 4, NULL);
    drop(&c);
}

static void test_control_tokens(void **state) {
    (void)state;
    static const uint16_t token[] = {'a', 'b', 257, 'c', END};
    chain c = make_chain(token, 5, NULL);
    answer(&c, (ts_generate_opts){0}, "bc", TS_STOP_END, 4, NULL);
    answer(&c, (ts_generate_opts){.special = true}, "b<|257|>c", TS_STOP_END, 4, NULL);
    const char *const stop[] = {"<|257|>"};
    answer(&c, (ts_generate_opts){.special = true, .stop = stop, .n_stop = 1}, "b", TS_STOP_STRING, 2, NULL);
    /* a stop string may be, or have, the text of a control token that prints nothing; and text goes on across one */
    static const struct {
        const char *stop, *text;
        ts_stop_reason reason;
        size_t n;
    } stops[] = {
        {"<|257|>", "b", TS_STOP_STRING, 2},  {"<|257|>c", "b", TS_STOP_STRING, 3}, {"b<|257|>", "", TS_STOP_STRING, 2},
        {"b<|257|>c", "", TS_STOP_STRING, 3}, {"257", "bc", TS_STOP_END, 4},        {"bc", "", TS_STOP_STRING, 3},
        {"<|257|>d", "bc", TS_STOP_END, 4},   {"b<|257|>cd", "bc", TS_STOP_END, 4}, {"c<|257|>", "bc", TS_STOP_END, 4},
        {"<|258|>", "bc", TS_STOP_END, 4},    {"bb<|257|>", "bc", TS_STOP_END, 4},  {">c", "bc", TS_STOP_END, 4},
        {"<|", "bc", TS_STOP_END, 4},         {"b<|", "bc", TS_STOP_END, 4},
    };
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        answer(&c, (ts_generate_opts){.stop = &stops[i].stop, .n_stop = 1}, stops[i].text, stops[i].reason, stops[i].n,
               NULL);
    const char *const both[] = {"", "c", "<|257|>", "bx"};
    answer(&c, (ts_generate_opts){.stop = both, .n_stop = 4}, "b", TS_STOP_STRING, 2, NULL);
    drop(&c);
    static const uint16_t ends[] = {'a', 'b', 256, 'c', 257};
    c = make_chain(ends, 5, NULL); /* the model's own end, passed over */
    const char *const end[] = {"<|end|>"};
    answer(&c, (ts_generate_opts){.ignore_end = true, .max_tokens = 3}, "bc", TS_STOP_LENGTH, 3, NULL);
    answer(&c, (ts_generate_opts){.ignore_end = true, .stop = end, .n_stop = 1}, "b", TS_STOP_STRING, 2, NULL);
    answer(&c, (ts_generate_opts){.stop = end, .n_stop = 1}, "b", TS_STOP_END, 2, NULL);
    drop(&c);
}

struct stopper {
    int left;
};

static bool progress(void *ud, uint64_t done, uint64_t all) {
    (void)done, (void)all;
    struct stopper *s = ud;
    return s->left-- > 0;
}

/* The session's progress callback stops an answer too: while the prompt is read with an error, later with the text
 * so far. */
static void test_stopped(void **state) {
    (void)state;
    struct stopper stop = {1000};
    chain c = make_text("abcdefgh", &(ts_session_opts){.progress = progress, .progress_ud = &stop});
    ts_err err;
    ts_generated r;
    stop.left = 0;
    assert_status(ts_generate(c.s, c.greedy, &c.first, 1, &(ts_generate_opts){0}, &r, &err), TS_E_CANCELLED);
    stop.left = 4; /* one layer, so one question for each token */
    answer(&c, (ts_generate_opts){0}, "bcde", TS_STOP_CANCELLED, 4, NULL);
    size_t n;
    const ts_token *t = ts_session_tokens(c.s, &n);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) assert_int_equal(t[i], 'a' + i);
    stop.left = 1000;
    answer(&c, (ts_generate_opts){0}, "bcdefgh", TS_STOP_END, 8, NULL);
    drop(&c);
}

struct refuser {
    int calls, accept;
};

static bool refuse(void *ud, const ts_piece *p) {
    struct refuser *r = ud;
    (void)p;
    return ++r->calls <= r->accept;
}

/* Whoever says that it wants no more gets no more, also not what was held back for a stop string. */
static void test_refused(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    ts_err err;
    for (int accept = 0; accept < 5; accept++) {
        struct refuser r = {.accept = accept};
        ts_generated g;
        const char *const stop[] = {"bcdefZ"};
        assert_ok(ts_generate(c.s, c.greedy, &c.first, 1,
                              &(ts_generate_opts){.stop = stop, .n_stop = 1, .on_piece = refuse, .ud = &r}, &g, &err));
        assert_int_equal(g.reason, TS_STOP_CANCELLED);
        assert_int_equal(r.calls, accept + 1);
    }
    drop(&c);
}

struct asking {
    chain *c;
    size_t n;
};

static bool ask(void *ud) {
    const struct asking *a = ud;
    ts_generated r;
    const char *const stop[] = {"lmno"};
    const ts_generate_opts o = {.max_tokens = a->n, .stop = stop, .n_stop = 1};
    return ts_generate(a->c->s, a->c->greedy, &a->c->first, 1, &o, &r, NULL) == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    chain c = make_text("a\xC3\xA9" "bcdefghijklmN0123456789opqrstuv", NULL);
    alloc_fail_loop(ask, &(struct asking){&c, 20}, false);
    /* the same number for 4 tokens as for 30: none for a token */
    long count[2];
    for (int i = 0; i < 2; i++) {
        struct asking a = {&c, i ? 30 : 4};
        alloc_fail_at(0, false);
        assert_true(ask(&a));
        count[i] = alloc_fail_count();
    }
    assert_int_equal(count[0], count[1]);
    assert_in_range(count[0], 1, 4);
    drop(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),    cmocka_unit_test(test_context),        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_characters), cmocka_unit_test(test_control_tokens), cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
