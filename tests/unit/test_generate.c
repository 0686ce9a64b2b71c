/* generate: why an answer ends, stop strings across pieces, whole characters, no allocation in the token loop.
 *
 * The model is a chain: an embedding of unit vectors, a block that adds nothing, and an output layer whose largest
 * logit after token t is the token that comes next. Tokens 0..255 are bytes, 256 ends an answer; so the answer is
 * known. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/test.h"

#include "base/rng.h"
#include "engine/session.h"
#include "report/shape.h"
#include "base/utf8.h"

#include <math.h>

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
    size_t len, pieces, drawn, stop_after;
    bool last;
    ts_token token[100];
    const char *found;
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
    assert_false(h->last); /* nothing comes behind the last piece */
    h->last = p->last;
    h->drawn += p->token >= 0;
    if (p->token >= 0 && h->pieces < 100) h->token[h->pieces] = p->token;
    assert_true((p->token >= 0) == (p->logits != NULL));
    assert_true((p->stop != NULL) == (p->last && p->reason == TS_STOP_STRING));
    h->found = p->stop;
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
    assert_int_equal(h->drawn, n_tokens); /* a piece for each token, also where text was held back to the end */
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
    heard h = {0};
    answer(&c, (ts_generate_opts){STOP("hi", "efg", "g")}, "bcd", TS_STOP_STRING, 6, &h);
    assert_string_equal(h.found, "efg");
    h = (heard){0};
    answer(&c, (ts_generate_opts){STOP("fg", "cdefghijkl", "gh")}, "bcde", TS_STOP_STRING, 6, &h);
    assert_string_equal(h.found, "fg");
    /* held back, let go at the end */
    answer(&c, (ts_generate_opts){STOP("defx"), .max_tokens = 4}, "bcde", TS_STOP_LENGTH, 4, NULL);
    answer(&c, (ts_generate_opts){STOP("cdcd", "cdef")}, "b", TS_STOP_STRING, 5, NULL);
    answer(&c, (ts_generate_opts){STOP("j")}, "bcdefghi", TS_STOP_STRING, 9, NULL);
    h = (heard){.stop_after = 3};
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
    answer(&c, (ts_generate_opts){.max_tokens = 4, .drop_partial = true}, "\xC3\xA9", TS_STOP_LENGTH, 4, NULL);
    answer(&c, (ts_generate_opts){.max_tokens = 5, .drop_partial = true}, "\xC3\xA9\xE6\x97\xA5", TS_STOP_LENGTH, 5,
           NULL);
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

/* ---- the answer as a state --------------------------------------------------------------------------------------- */

/* The characters that n bytes make, as a plain reader would say; what may still become one is left out unless `end`. */
static size_t read_plainly(const char *s, size_t n, bool end, char *out) {
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t k = (size_t)ts_utf8_decode(s + i, n - i, &cp), lead = (uint8_t)s[i] == 0xC3 ? 2 : 3;
        if (k) {
            memcpy(out + len, s + i, k);
            len += k, i += k;
            continue;
        }
        /* of the bytes that the test draws only C3 and E6 97 begin a character */
        const bool begun = (uint8_t)s[i] == 0xC3 || (uint8_t)s[i] == 0xE6;
        size_t good = 1;
        while (begun && good < lead && i + good < n && ((uint8_t)s[i + good] & 0xC0) == 0x80) good++;
        if (begun && i + good == n && !end) break;
        memcpy(out + len, "\xEF\xBF\xBD", 3);
        len += 3, i += good;
    }
    return len;
}

/* Where the first stop string that is complete begins; SIZE_MAX: none is. */
static size_t stop_in(const char *text, size_t len, const char *const *stop, size_t n) {
    for (size_t end = 1; end <= len; end++) {
        size_t first = SIZE_MAX;
        for (size_t i = 0; i < n; i++) {
            const size_t k = strlen(stop[i]);
            if (k && k <= end && !memcmp(text + end - k, stop[i], k) && end - k < first) first = end - k;
        }
        if (first != SIZE_MAX) return first;
    }
    return SIZE_MAX;
}

/* Random bytes pushed one by one, random stop strings: text, reason and number of tokens are those of a plain reading
 * of the whole text; every piece is whole characters. */
static void test_bytes(void **state) {
    (void)state;
    static const uint8_t bytes[] = {'a', 'b', 'c', 0xC3, 0xA9, 0xE6, 0x97, 0xA5, 0xFF};
    static const char *const some[] = {"a", "ab", "aab", "b\xC3\xA9", "\xC3\xA9", "\xE6\x97\xA5", "ca", "bab", "",
                                       "\xEF\xBF\xBD", ("\xEF\xBF\xBD" "a"), "aaaa", "abcabc"};
    chain c = make_text("abc", NULL);
    ts_rng rng = ts_rng_seed(11);
    size_t reasons[5] = {0}, held = 0;
    for (int round = 0; round < 3000; round++) {
        char raw[40];
        const char *stop[3];
        const size_t n_raw = 1 + ts_rng_below(&rng, sizeof raw), n_stop = ts_rng_below(&rng, 4);
        for (size_t i = 0; i < n_raw; i++) raw[i] = (char)bytes[ts_rng_below(&rng, round % 2 ? 3 : sizeof bytes)];
        for (size_t i = 0; i < n_stop; i++) stop[i] = some[ts_rng_below(&rng, sizeof some / sizeof *some)];
        const ts_generate_opts o = {.max_tokens = round % 3 ? 0 : n_raw, .stop = stop, .n_stop = n_stop};
        char want[3 * sizeof raw];
        size_t want_tokens = n_raw, at = SIZE_MAX, len = 0;
        for (size_t i = 1; i <= n_raw && at == SIZE_MAX; i++) {
            len = read_plainly(raw, i, false, want);
            at = stop_in(want, len, stop, n_stop);
            if (at != SIZE_MAX) want_tokens = i;
        }
        len = at != SIZE_MAX ? at : read_plainly(raw, n_raw, true, want);
        const ts_stop_reason reason = at != SIZE_MAX ? TS_STOP_STRING : o.max_tokens ? TS_STOP_LENGTH : TS_STOP_END;

        ts_answer *a;
        const ts_piece *p = NULL;
        ts_err err;
        heard h = {0};
        assert_ok(ts_answer_new(&a, c.e, NULL, -1, &o, &err));
        for (size_t i = 0; i < n_raw && !h.last; i++) {
            assert_ok(ts_answer_push(a, (uint8_t)raw[i], &p, &err));
            assert_null(p->logits);
            assert_true(h.len + p->len < sizeof h.text);
            if (p->len) memcpy(h.text + h.len, p->text, p->len);
            h.len += p->len, h.last = p->last;
            held += !p->len;
        }
        if (!h.last) {
            if (round % 2) assert_ok(ts_answer_push(a, END, &p, &err));
            else assert_ok(ts_answer_finish(a, TS_STOP_END, &p, &err));
            assert_true(p->last);
            assert_int_equal(p->token, round % 2 ? END : -1);
            if (p->len) memcpy(h.text + h.len, p->text, p->len);
            h.len += p->len;
            want_tokens += (size_t)round % 2;
        }
        assert_int_equal(p->reason, reason);
        assert_int_equal(ts_answer_n_tokens(a), want_tokens);
        assert_int_equal(h.len, len);
        assert_memory_equal(h.text, want, len);
        assert_status(ts_answer_push(a, 'a', &p, &err), TS_E_INVAL); /* it is over */
        assert_status(ts_answer_finish(a, TS_STOP_END, &p, &err), TS_E_INVAL);
        ts_answer_free(a);
        reasons[reason]++;
    }
    assert_true(reasons[TS_STOP_END] > 100 && reasons[TS_STOP_STRING] > 100 && reasons[TS_STOP_LENGTH] > 100);
    assert_true(held > 1000);
    drop(&c);
}

struct masker {
    ts_token allow[3]; /* in this order */
    size_t calls, stop_after;
};

static bool mask(void *ud, const ts_token *history, size_t n, uint32_t *allowed) {
    struct masker *m = ud;
    assert_int_equal(history[0], 'a');
    assert_int_equal(n, 1 + m->calls);
    for (int i = 0; i < (VOCAB + 31) / 32; i++) assert_int_equal(allowed[i], UINT32_MAX);
    memset(allowed, 0, (VOCAB + 31) / 32 * 4);
    const ts_token id = m->allow[m->calls++ % 3];
    if (id >= 0) allowed[id / 32] |= 1u << id % 32;
    return m->calls != m->stop_after;
}

/* Only what the mask lets through is drawn; logits are shown as they were. */
static void test_mask(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    struct masker m = {.allow = {'x', 'y', END}};
    answer(&c, (ts_generate_opts){.mask = mask, .mask_ud = &m}, "xy", TS_STOP_END, 3, NULL);
    m = (struct masker){.allow = {'x', 31, 32}};
    answer(&c, (ts_generate_opts){.mask = mask, .mask_ud = &m, .max_tokens = 3}, "x\x1f ", TS_STOP_LENGTH, 3, NULL);
    const char *const stop[] = {"xyz!"};
    m = (struct masker){.allow = {'x', 'y', 'z'}, .stop_after = 4}; /* what was held back comes with the end */
    answer(&c, (ts_generate_opts){.mask = mask, .mask_ud = &m, .stop = stop, .n_stop = 1}, "xyz", TS_STOP_CANCELLED, 3,
           NULL);
    m = (struct masker){.allow = {'x', -1}};
    ts_generated r;
    ts_err err;
    const ts_generate_opts o = {.mask = mask, .mask_ud = &m};
    assert_status(ts_generate(c.s, c.greedy, &c.first, 1, &o, &r, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "mask"));
    drop(&c);
}

/* ---- constraints ----------------------------------------------------------------------------------------------- */

static ts_constraint *regex(const chain *c, const char *text) {
    ts_constraint *k;
    ts_err err;
    const ts_constraint_opts o = {.kind = TS_CONSTRAIN_REGEX, .text = text, .len = strlen(text)};
    assert_ok(ts_constraint_new(&k, c->e, &o, &err));
    return k;
}

static void test_constraint(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    ts_constraint *k = regex(&c, "bcd"); /* over without a further token, whatever the options say */
    answer(&c, (ts_generate_opts){.constraint = k}, "bcd", TS_STOP_END, 3, NULL);
    answer(&c, (ts_generate_opts){.constraint = k, .ignore_end = true}, "bcd", TS_STOP_END, 3, NULL);
    answer(&c, (ts_generate_opts){.constraint = k, .max_tokens = 2}, "bc", TS_STOP_LENGTH, 2, NULL);
    ts_constraint_free(k);
    k = regex(&c, "b.*"); /* the model's own end */
    answer(&c, (ts_generate_opts){.constraint = k}, "bcdefgh", TS_STOP_END, 8, NULL);
    ts_constraint_free(k);
    k = regex(&c, "bc.{9,}"); /* its end may not come yet */
    answer(&c, (ts_generate_opts){.constraint = k, .max_tokens = 9}, "bcdefgh", TS_STOP_LENGTH, 9, &(heard){0});
    ts_constraint_free(k);
    k = regex(&c, "[x-z][yz]{2}"); /* what the model did not want: the lowest token that fits */
    answer(&c, (ts_generate_opts){.constraint = k}, "xyy", TS_STOP_END, 3, NULL);
    struct masker m = {.allow = {'z', 'y', 'z'}}; /* a mask forbids more */
    answer(&c, (ts_generate_opts){.constraint = k, .mask = mask, .mask_ud = &m}, "zyz", TS_STOP_END, 3, NULL);
    m = (struct masker){.allow = {'q'}};
    ts_generated r;
    ts_err err;
    ts_generate_opts o = {.constraint = k, .mask = mask, .mask_ud = &m};
    assert_status(ts_generate(c.s, c.greedy, &c.first, 1, &o, &r, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "constraint"));
    ts_constraint_free(k);
    drop(&c);
}

/* A bias against the one token that is left is an error, and one in favour of another changes nothing. */
static void test_constraint_bias(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    ts_constraint *k = regex(&c, "x");
    ts_sampler *s;
    ts_generated r;
    ts_err err;
    ts_logit_bias bias = {.token = 'b', .bias = 1e9f};
    ts_sampler_opts o = ts_sampler_defaults();
    o.bias = &bias, o.n_bias = 1;
    heard h = {0};
    const ts_generate_opts g = {.constraint = k, .on_piece = hear, .ud = &h};
    assert_ok(ts_sampler_new(&s, &o, VOCAB, &err));
    assert_ok(ts_generate(c.s, s, &c.first, 1, &g, &r, &err));
    assert_string_equal(h.text, "x");
    ts_sampler_free(s);
    bias = (ts_logit_bias){.token = 'x', .bias = -INFINITY};
    assert_ok(ts_sampler_new(&s, &o, VOCAB, &err));
    assert_status(ts_generate(c.s, s, &c.first, 1, &g, &r, &err), TS_E_INVAL);
    ts_sampler_free(s);
    ts_constraint_free(k);
    drop(&c);
}

/* Two answers of one constraint take turns, and tokens from outside are held to it. */
static void test_constraint_shared(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    ts_constraint *k = regex(&c, "(ab|cd)+");
    ts_answer *a, *b;
    const ts_piece *p;
    ts_err err;
    const ts_generate_opts o = {.constraint = k};
    assert_ok(ts_answer_new(&a, c.e, NULL, -1, &o, &err));
    assert_ok(ts_answer_new(&b, c.e, NULL, -1, &o, &err));
    assert_ok(ts_answer_push(a, 'a', &p, &err));
    assert_ok(ts_answer_push(b, 'c', &p, &err));
    assert_status(ts_answer_push(a, 'd', &p, &err), TS_E_INVAL);
    assert_status(ts_answer_push(a, END, &p, &err), TS_E_INVAL);
    assert_int_equal(ts_answer_n_tokens(a), 1); /* as if nothing had been asked */
    assert_ok(ts_answer_push(b, 'd', &p, &err));
    assert_ok(ts_answer_push(a, 'b', &p, &err));
    assert_ok(ts_answer_push(b, END, &p, &err));
    assert_true(p->last && p->reason == TS_STOP_END);
    ts_answer_free(b);
    assert_ok(ts_answer_push(a, 'c', &p, &err));
    ts_answer_free(a);
    ts_constraint_free(k);
    chain other = make_text("abc", NULL);
    k = regex(&other, "x");
    assert_status(ts_answer_new(&a, c.e, NULL, -1, &(ts_generate_opts){.constraint = k}, &err), TS_E_INVAL);
    ts_constraint_free(k);
    drop(&other);
    const ts_constraint_opts bad = {.kind = TS_CONSTRAIN_REGEX, .text = "a(", .len = 2};
    assert_status(ts_constraint_new(&k, c.e, &bad, &err), TS_E_FORMAT);
    assert_string_equal(err.msg, "refused at byte 2: a group is not closed");
    drop(&c);
}

static bool constrained(void *ud) {
    const chain *c = ud;
    ts_constraint *k = NULL;
    ts_answer *a = NULL;
    const ts_piece *p;
    ts_err err;
    static const char text[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}";
    const ts_constraint_opts o = {.kind = TS_CONSTRAIN_SCHEMA, .text = text, .len = sizeof text - 1};
    static float logits[VOCAB];
    bool ok = ts_constraint_new(&k, c->e, &o, &err) == TS_OK &&
              ts_answer_new(&a, c->e, c->greedy, -1, &(ts_generate_opts){.constraint = k}, &err) == TS_OK;
    for (int i = 0; ok && i < 3; i++) ok = ts_answer_next(a, logits, NULL, 0, &p, &err) == TS_OK;
    if (!ok) assert_int_equal(err.code, TS_E_NOMEM);
    ts_answer_free(a);
    ts_constraint_free(k);
    return ok;
}

static void test_constraint_memory(void **state) {
    (void)state;
    chain c = make_text("abcdefgh", NULL);
    assert_true(constrained(&c)); /* the engine's vocabulary is made, and stays */
    alloc_fail_loop(constrained, &c, false);
    drop(&c);
}

/* Answers side by side, each with its own state: the texts of each alone. */
static bool allow_all(void *ud, const ts_token *tokens, size_t n, uint32_t *allowed) {
    (void)ud, (void)tokens, (void)n, (void)allowed;
    return true;
}

/* A token that the vocabulary calls unused is not drawn, though its logit is the largest; with a mask neither. */
static void test_unused(void **state) {
    (void)state;
    static const char key[] = "tokenizer.ggml.token_type";
    ts_err err;
    const ts_session_opts opts = {.n_ctx = CTX};
    chain c = make_text("abc", &opts);
    heard h = {0};
    answer(&c, (ts_generate_opts){.max_tokens = 2}, "bc", TS_STOP_LENGTH, 2, &h);
    ts_session_free(c.s);
    ts_engine_close(c.e);
    char *kinds = c.file.data;
    while (memcmp(kinds, key, sizeof key - 1) != 0)
        assert_true(++kinds < (char *)c.file.data + c.file.len - sizeof key);
    kinds += sizeof key - 1 + 4 + 4 + 8; /* array, of int32, how many */
    assert_int_equal(kinds[4 * 'c'], TS_TOKEN_NORMAL);
    kinds[4 * 'c'] = TS_TOKEN_UNUSED;
    assert_ok(ts_engine_open_memory(&c.e, c.file.data, c.file.len, &(ts_engine_opts){.n_threads = 1}, &err));
    assert_ok(ts_session_new(&c.s, c.e, &opts, &err));
    for (int masked = 0; masked < 2; masked++) {
        h = (heard){0};
        answer(&c, (ts_generate_opts){.max_tokens = 2, .mask = masked ? allow_all : NULL}, "b", TS_STOP_LENGTH, 2,
               &h);
        assert_int_equal(h.token[0], 'b');
        assert_int_equal(h.token[1], 0); /* the first of those that are left */
    }
    drop(&c);
}

static void test_side_by_side(void **state) {
    (void)state;
    chain c = make_text("abcdefghij", NULL);
    ts_session *other;
    ts_answer *a[2];
    ts_err err;
    const ts_token first[] = {'a', 'e'};
    ts_session *s[] = {c.s, NULL};
    const char *const stop[] = {"ghix", "de"};
    heard h[2] = {{{0}}};
    assert_ok(ts_session_new(&other, c.e, NULL, &err));
    s[1] = other;
    for (int i = 0; i < 2; i++) {
        const ts_generate_opts o = {.stop = stop + i, .n_stop = 1, .max_tokens = i ? 0 : 4};
        assert_ok(ts_answer_new(&a[i], c.e, c.greedy, first[i], &o, &err));
        assert_ok(ts_session_sync(s[i], &first[i], 1, &err));
    }
    for (int left = 2, round = 0; left; round++)
        for (int i = 0; i < 2; i++) {
            if (h[i].last) continue;
            size_t n;
            const ts_piece *p;
            ts_token line[CTX];
            memcpy(line, ts_session_tokens(s[i], &n), sizeof *line * (size_t)(1 + round));
            assert_ok(ts_answer_next(a[i], ts_session_logits(s[i]), line, n, &p, &err));
            memcpy(h[i].text + h[i].len, p->text, p->len);
            h[i].len += p->len;
            h[i].last = p->last;
            left -= p->last;
            line[n] = p->token;
            if (!p->last) assert_ok(ts_session_sync(s[i], line, n + 1, &err));
        }
    assert_string_equal(h[0].text, "bcde");
    assert_string_equal(h[1].text, "fghij");
    for (int i = 0; i < 2; i++) ts_answer_free(a[i]);
    ts_session_free(other);
    drop(&c);
}

/* What a caller does wrong is told, and nothing has happened. */
static void test_caller(void **state) {
    (void)state;
    chain c = make_text("abc", NULL);
    ts_sampler *other;
    ts_sampler_opts o = ts_sampler_defaults();
    ts_err err;
    ts_generated r = {.n_tokens = 77};
    assert_ok(ts_sampler_new(&other, &o, VOCAB + 1, &err));
    assert_status(ts_generate(c.s, other, &c.first, 1, NULL, &r, &err), TS_E_INVAL); /* would read behind the logits */
    assert_non_null(strstr(err.msg, "vocabulary of 273"));
    ts_sampler_free(other);
    static const ts_token outside[] = {VOCAB, -1, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        const ts_token prompt[] = {'a', outside[i]};
        assert_status(ts_generate(c.s, c.greedy, prompt, 2, NULL, &r, &err), TS_E_INVAL);
        assert_non_null(strstr(err.msg, "at position 1 is outside the vocabulary of 272"));
    }
    assert_status(ts_generate(NULL, c.greedy, &c.first, 1, NULL, &r, &err), TS_E_INVAL);
    assert_status(ts_generate(c.s, NULL, &c.first, 1, NULL, &r, &err), TS_E_INVAL);
    assert_status(ts_generate(c.s, c.greedy, NULL, 1, NULL, &r, &err), TS_E_INVAL);
    assert_status(ts_generate(c.s, c.greedy, &c.first, 1, NULL, NULL, &err), TS_E_INVAL);
    const char *const stop[] = {"x", NULL};
    assert_status(ts_generate(c.s, c.greedy, &c.first, 1, &(ts_generate_opts){.stop = stop, .n_stop = 2}, &r, &err),
                  TS_E_INVAL);
    assert_int_equal(r.n_tokens, 77);
    assert_null(ts_session_logits(c.s));
    assert_ok(ts_generate(c.s, c.greedy, &c.first, 1, NULL, &r, &err)); /* no options: the defaults */
    assert_int_equal(r.reason, TS_STOP_END);
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
    /* the page of the KV cache comes with the first token, and stays with the session */
    assert_true(ask(&(struct asking){&c, 20}));
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
    assert_in_range(count[0], 1, 5);
    drop(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),    cmocka_unit_test(test_context),        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_characters), cmocka_unit_test(test_control_tokens), cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_caller),         cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_constraint), cmocka_unit_test(test_constraint_bias),
        cmocka_unit_test(test_constraint_shared), cmocka_unit_test(test_constraint_memory),
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_mask),
        cmocka_unit_test(test_unused),     cmocka_unit_test(test_side_by_side),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
