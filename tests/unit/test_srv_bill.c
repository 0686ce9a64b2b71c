/* What a request has cost: its share of passes, and whether that share was measured or divided. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/json_tree.h"
#include "server/bill.h"

#include <stdlib.h>

static ts_arena arena;
static ts_err err;

/* The ledger of an engine after some passes: two rows, of which a pass may use only the first. */
static void passes(ts_ledger_row row[2], uint64_t calls, uint64_t ns, uint64_t other_calls, uint64_t other_ns) {
    row[0] = (ts_ledger_row){.op = "output", .types = "q8_0", .device = "cpu", .evidence = TS_MEASURED,
                             .linear = true, .calls = calls, .tokens = calls * 4, .device_ns = ns};
    row[1] = (ts_ledger_row){.op = "ffn down", .types = "q8_0", .device = "npu-sim",
                             .evidence = TS_SIMULATED, .linear = true, .calls = other_calls,
                             .tokens = other_calls * 4, .device_ns = other_ns};
}

/* Row i of the bill `id` as JSON. */
static const ts_jval *row_of(srv_books *k, const char *id, int i) {
    ts_buf out = {0};
    const ts_jval *v = NULL;
    bool nomem;
    assert_true(srv_books_find(k, id, &out, &nomem));
    char *text = ts_arena_strndup(&arena, out.data, out.len);
    assert_non_null(text);
    assert_ok(ts_jtree_parse(&v, &arena, text, out.len, NULL, &err));
    ts_buf_free(&out);
    v = ts_jval_get(v, "rows")->first;
    while (v && i-- > 0) v = v->next;
    assert_non_null(v);
    return v;
}

static void assert_says(const ts_jval *row, const char *field, const char *want) {
    const ts_jval *v = ts_jval_get(row, field);
    assert_non_null(v);
    if (v->text.len != strlen(want) || memcmp(v->text.data, want, v->text.len))
        fail_msg("%s: %.*s, expected %s", field, (int)v->text.len, v->text.data, want);
}

static void test_shares(void **state) {
    (void)state;
    ts_ledger_row none[2], one[2], two[2];
    srv_books *k = srv_books_new();
    srv_bill *alone = srv_bill_new("alone", "m", "cpu"), *shared = srv_bill_new("shared", "m", "cpu");
    assert_true(k && alone && shared);
    passes(none, 0, 0, 0, 0);
    passes(one, 1, 4000, 1, 1000); /* the first pass: both requests, one token of four is the second's */
    passes(two, 2, 5000, 1, 1000); /* the next one: the first request alone, and only with the first row */
    srv_bill_add(alone, two, 2, one, 2, 4, 4);
    srv_bill_add(shared, one, 2, none, 2, 1, 4);
    srv_bill_add(shared, two, 2, one, 2, 4, 4);
    srv_books_put(k, alone), srv_books_put(k, shared);
    const ts_jval *row = row_of(k, "alone", 0);
    assert_says(row, "evidence", "measured");
    assert_says(row, "times", "measured");
    assert_says(row, "device_ns", "1000");
    row = row_of(k, "shared", 0); /* one pass of two was shared: the sum is derived */
    assert_says(row, "evidence", "measured");
    assert_says(row, "times", "derived");
    assert_says(row, "device_ns", "2000");
    assert_says(row, "tokens", "5");
    row = row_of(k, "shared", 1);
    assert_says(row, "evidence", "simulated");
    assert_says(row, "times", "derived");
    assert_says(row, "device_ns", "250");
    srv_bill *sim = srv_bill_new("sim", "m", "npu-sim");
    assert_non_null(sim);
    srv_bill_add(sim, one, 2, none, 2, 4, 4);
    srv_books_put(k, sim);
    assert_says(row_of(k, "sim", 1), "times", "simulated");
    srv_books_free(k);
    ts_arena_free(&arena);
}

static bool book(void *ud) {
    ts_ledger_row none[2], one[2];
    ts_buf out = {0};
    bool nomem = false;
    (void)ud;
    passes(none, 0, 0, 0, 0), passes(one, 1, 4000, 1, 1000);
    srv_books *k = srv_books_new();
    srv_bill *b = k ? srv_bill_new("x", "m", "cpu") : NULL;
    srv_bill_add(b, one, 2, none, 2, 1, 4);
    if (k) srv_books_put(k, b);
    const bool ok = b && srv_books_find(k, "x", &out, &nomem);
    if (b && !ok) assert_true(nomem);
    ts_buf_free(&out);
    srv_books_free(k);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    alloc_fail_loop(book, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
