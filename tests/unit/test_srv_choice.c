/* A choice hears the pieces of its answer: stop strings act on what is said, in pieces of any size, and leave calls and
 * thoughts alone; ids of calls; what is told while it comes is what there is at the end. And log-probabilities. */
#include "support/test.h"

#include "base/rng.h"
#include "server/server_int.h"

#include <math.h>

static ts_err err;
static ts_server server;

/* ---- a request without an engine --------------------------------------------------------------------------------- */

struct heard {
    ts_buf text, thinking, calls;
    bool closed;
};

static bool on_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    struct heard *h = g->own;
    switch (d->kind) {
    case SRV_TEXT: return ts_buf_append(&h->text, d->text, d->len);
    case SRV_THINKING: return ts_buf_append(&h->thinking, d->text, d->len);
    case SRV_CALL: return ts_buf_printf(&h->calls, "%s:", c->call[c->n_call - 1].name.data);
    case SRV_ARGUMENTS: return ts_buf_append(&h->calls, d->text, d->len);
    }
    return false;
}

static bool on_close(srv_gen *g, srv_choice *c) {
    struct heard *h = g->own;
    assert_true(c->ended && !h->closed);
    return h->closed = true;
}

static const srv_api api = {.delta = on_delta, .close = on_close};
static const srv_api api_of_ids = {.delta = on_delta, .close = on_close, .call_prefix = "toolu_"};

typedef struct request {
    srv_gen gen;
    srv_choice choice;
    srv_job job;
    struct heard heard;
} request;

static void open_request(request *r, const char *const *stop, size_t n_stop) {
    *r = (request){0};
    r->job.srv = &server;
    r->gen = (srv_gen){.job = &r->job, .api = &api, .own = &r->heard, .stream = true, .n_choice = 1};
    r->choice.gen = &r->gen;
    r->choice.parser = (srv_parser){.form = SRV_CALLS_HERMES, .calls = true, .thinks = true};
    assert_ok(ts_kmp_new(&r->gen.kmp, &r->gen.n_kmp, stop, n_stop, &err));
}

static void close_request(request *r) {
    srv_choice_fini(&r->choice);
    ts_free(r->gen.kmp);
    ts_buf_free(&r->heard.text), ts_buf_free(&r->heard.thinking), ts_buf_free(&r->heard.calls);
}

/* The whole answer in pieces of `size` bytes (0: of random sizes), its end behind them. Returns the pieces taken. */
static size_t say(request *r, const char *text, size_t len, size_t size, ts_rng *rng) {
    size_t n = 0;
    for (size_t at = 0; at < len && !r->choice.ended; n++) {
        size_t k = size ? size : 1 + ts_rng_below(rng, 5);
        if (k > len - at) k = len - at;
        assert_true(srv_choice_take(&r->choice, &(ts_piece){.token = 1, .text = text + at, .len = k}));
        at += k;
    }
    if (!r->choice.ended)
        assert_true(srv_choice_take(&r->choice, &(ts_piece){.token = 2, .text = "", .last = true,
                                                           .reason = TS_STOP_END}));
    assert_true(r->choice.ended && r->heard.closed);
    assert_int_equal(r->gen.n_ended, 1);
    return n;
}

static const char *text_of(const ts_buf *b) {
    return b->data ? b->data : "";
}

static void check(const char *answer, const char *const *stop, size_t n_stop, const char *text, const char *thinking,
                  const char *calls, const char *found) {
    for (size_t size = 1; size < 12; size++) {
        request r;
        open_request(&r, stop, n_stop);
        say(&r, answer, strlen(answer), size, NULL);
        assert_string_equal(text_of(&r.heard.text), text);
        assert_string_equal(text_of(&r.choice.text), text);
        assert_string_equal(text_of(&r.heard.thinking), thinking);
        assert_string_equal(text_of(&r.heard.calls), calls);
        if (found) assert_string_equal(r.choice.stop, found);
        else assert_null(r.choice.stop);
        assert_int_equal(r.choice.reason, found ? TS_STOP_STRING : TS_STOP_END);
        close_request(&r);
    }
}

/* ---- stop strings ------------------------------------------------------------------------------------------------ */

static void test_text(void **state) {
    (void)state;
    const char *const stop[] = {"END", "", "\n\n"};
    check("one two END three", stop, 3, "one two ", "", "", "END");
    check("one two EN D", stop, 3, "one two EN D", "", "", NULL);
    check("one EN", stop, 3, "one EN", "", "", NULL); /* held back, and no stop string after all */
    check("a\nb\n\nc", stop, 3, "a\nb", "", "", "\n\n");
    check("END", stop, 3, "", "", "", "END");
    check("", stop, 3, "", "", "", NULL);
    const char *const inner[] = {"bcd", "c"};
    check("abcd", inner, 2, "ab", "", "", "c"); /* the one that is complete first */
    const char *const both[] = {"c", "abc"};
    check("xabc", both, 2, "x", "", "", "abc"); /* of two that end here the one that begins first */
    check("xabc", NULL, 0, "xabc", "", "", NULL);
}

#define CALL "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"END {\"}}\n</tool_call>"

static void test_calls(void **state) {
    (void)state;
    const char *const stop[] = {"END", "{", "tool"};
    check(CALL, stop, 3, "", "", "f:{\"a\": \"END {\"}", NULL);
    check("so: " CALL, stop, 3, "so:", "", "f:{\"a\": \"END {\"}", NULL);
    check(CALL "\n" CALL, stop, 3, "", "", "f:{\"a\": \"END {\"}f:{\"a\": \"END {\"}", NULL);
    check(CALL " and END of it", stop, 3, "and ", "", "f:{\"a\": \"END {\"}", "END");
    check("a tool", stop, 3, "a ", "", "", "tool");
    check("END " CALL, stop, 3, "", "", "", "END"); /* a call behind it is none */
    const char *const across[] = {"xy"};
    check("x" CALL "y", across, 1, "xy", "", "f:{\"a\": \"END {\"}", NULL); /* a call stands between them */
}

static void test_thoughts(void **state) {
    (void)state;
    const char *const stop[] = {"END", "</think>"};
    check("<think>It will END</think>The answer END.", stop, 2, "The answer ", "It will END", "", "END");
    check("<think>END", stop, 2, "", "END", "", NULL);
}

/* What the definition says: the first byte that completes one of them. */
static size_t cut_of(const char *text, size_t len, const char *const *stop, size_t n_stop, const char **found) {
    *found = NULL;
    for (size_t end = 1; end <= len; end++) {
        size_t first = end;
        for (size_t i = 0; i < n_stop; i++) {
            const size_t n = strlen(stop[i]);
            if (n == 0 || n > end || memcmp(text + end - n, stop[i], n) || (*found && end - n >= first)) continue;
            first = end - n, *found = stop[i];
        }
        if (*found) return first;
    }
    return len;
}

static void test_random(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(12);
    for (int round = 0; round < 3000; round++) {
        char text[64], stops[4][8];
        const char *stop[4], *found;
        const size_t len = ts_rng_below(&rng, sizeof text), n_stop = ts_rng_below(&rng, 5);
        for (size_t i = 0; i < len; i++) text[i] = (char)('a' + ts_rng_below(&rng, 2));
        for (size_t i = 0; i < n_stop; i++) {
            const size_t n = 2 + ts_rng_below(&rng, 6);
            for (size_t k = 0; k < n; k++) stops[i][k] = (char)('a' + ts_rng_below(&rng, 2));
            stops[i][n] = 0;
            stop[i] = stops[i];
        }
        const size_t cut = cut_of(text, len, stop, n_stop, &found);
        request r;
        open_request(&r, stop, n_stop);
        say(&r, text, len, 0, &rng);
        assert_int_equal(r.heard.text.len, cut);
        assert_memory_equal(text_of(&r.heard.text), text, cut);
        assert_ptr_equal(r.choice.stop, found);
        close_request(&r);
    }
}

static void test_ids(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        request r;
        open_request(&r, NULL, 0);
        if (i) r.gen.api = &api_of_ids;
        say(&r, CALL CALL, strlen(CALL CALL), 7, NULL);
        assert_int_equal(r.choice.n_call, 2);
        assert_memory_equal(r.choice.call[0].id, i ? "toolu_" : "call_", i ? 6 : 5);
        assert_int_equal(strlen(r.choice.call[0].id), i ? 30 : 29);
        assert_string_not_equal(r.choice.call[0].id, r.choice.call[1].id);
        close_request(&r);
    }
}

/* ---- probabilities ----------------------------------------------------------------------------------------------- */

static void near(double got, double want) {
    assert_true(fabs(got - want) < 1e-6);
}

static void test_logprobs(void **state) {
    (void)state;
    const float logits[] = {0, (float)log(2.0), (float)log(5.0), (float)log(2.0)}; /* of 10: 1, 2, 5, 2 */
    ts_logprob top[6];
    near(ts_logprobs(logits, 4, 0, NULL, 0), log(0.1));
    near(ts_logprobs(logits, 4, 3, top, 6), log(0.2));
    const ts_token order[] = {2, 1, 3, 0, -1, -1};
    const double of[] = {0.5, 0.2, 0.2, 0.1};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(top[i].token, order[i]);
        if (i < 4) near(top[i].logprob, log(of[i]));
        else assert_true(isinf(top[i].logprob) && top[i].logprob < 0);
    }
    (void)ts_logprobs(logits, 4, 3, top, 2);
    assert_int_equal(top[0].token, 2);
    assert_int_equal(top[1].token, 1);
    const float large[] = {1000, 999, -INFINITY}; /* whose exp is no number */
    near(ts_logprobs(large, 3, 1, top, 3), -1 - log1p(exp(-1)));
    assert_int_equal(top[2].token, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_calls),    cmocka_unit_test(test_thoughts),
        cmocka_unit_test(test_random), cmocka_unit_test(test_ids),    cmocka_unit_test(test_logprobs),
    };
    return cmocka_run_group_tests_name("srv_choice", tests, NULL, NULL);
}
