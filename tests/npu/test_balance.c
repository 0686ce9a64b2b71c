/* Rates: consistent and inconsistent systems, what follows from known rounds, numbers that run over. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "xdna/balance.h"

static void eq2(ts_balance *b, int id, int x, int64_t kx, int y, int64_t ky) {
    assert_true(ts_balance_equation(b, 0, id) && ts_balance_term(b, x, kx) && ts_balance_term(b, y, ky));
}

static void test_consistent(void **state) {
    (void)state;
    ts_err err;
    const ts_equation *bad;
    ts_balance b = {0};
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_null(bad);
    eq2(&b, 0, 0, 3, 1, -2); /* 3 a = 2 b */
    eq2(&b, 1, 1, 5, 2, -7); /* 5 b = 7 c */
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_null(bad);
    eq2(&b, 2, 0, 15, 2, -14); /* 15 a = 14 c: follows */
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_null(bad);
    eq2(&b, 3, 0, 15, 2, -13);
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_int_equal(bad->id, 3);
    ts_balance_free(&b);
    eq2(&b, 4, 0, 1, 1, 1); /* a + b = 0 has no answer above 0 */
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_int_equal(bad->id, 4);
    ts_balance_free(&b);
    assert_true(ts_balance_equation(&b, 0, 5) && ts_balance_term(&b, 0, 1)); /* a = 0 */
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_int_equal(bad->id, 5);
    ts_balance_free(&b);
    assert_true(ts_balance_equation(&b, 0, 6) && ts_balance_term(&b, 0, 1) &&
                ts_balance_term(&b, 0, -1));
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_null(bad);
    ts_balance_free(&b);
    /* free choices that do not all work: a = 2 b - c, d = 2 c - b */
    for (int i = 0; i < 2; i++)
        assert_true(ts_balance_equation(&b, 0, i) && ts_balance_term(&b, i ? 3 : 0, 1) &&
                    ts_balance_term(&b, 1, i ? 1 : -2) && ts_balance_term(&b, 2, i ? -2 : 1));
    assert_ok(ts_balance_consistent(&b, &bad, &err));
    assert_null(bad);
    assert_true(ts_balance_equation(&b, 0, 2) && ts_balance_term(&b, 0, 1) &&
                ts_balance_term(&b, 1, -8) && ts_balance_term(&b, 2, 1));
    assert_ok(ts_balance_consistent(&b, &bad, &err)); /* then 6 b = 0 */
    assert_non_null(bad);
    ts_balance_free(&b);
    eq2(&b, 7, 0, INT64_MAX, 1, -INT64_MAX + 1);
    eq2(&b, 8, 1, INT64_MAX - 2, 2, -INT64_MAX + 4);
    assert_ok(ts_balance_consistent(&b, &bad, &err)); /* too large to tell is refused, not wrapped */
    assert_int_equal(bad->id, 8);
    ts_balance_free(&b);
}

static void test_solve(void **state) {
    (void)state;
    ts_err err;
    const ts_equation *bad;
    ts_balance b = {0};
    eq2(&b, 0, 0, 1, 1, -256); /* words into a ring of 256 */
    eq2(&b, 1, 1, 1, 2, -1);   /* a lock */
    eq2(&b, 2, 2, 64, 3, -1);  /* words out of a ring of 64 */
    eq2(&b, 3, 4, 1, 5, -1);   /* something else, unknown */
    ts_frac r[6] = {[0] = {1000, 1}};
    assert_ok(ts_balance_solve(&b, r, &bad, &err));
    assert_null(bad);
    assert_true(r[1].num == 125 && r[1].den == 32);
    assert_true(r[2].num == 125 && r[2].den == 32);
    assert_true(r[3].num == 250 && r[3].den == 1);
    assert_false(ts_frac_known(r[4]) || ts_frac_known(r[5]));
    ts_frac r2[6] = {[0] = {1024, 1}, [3] = {255, 1}};
    assert_ok(ts_balance_solve(&b, r2, &bad, &err));
    assert_non_null(bad);
    ts_frac r3[6] = {[0] = {1024, 1}, [3] = {256, 1}};
    assert_ok(ts_balance_solve(&b, r3, &bad, &err));
    assert_null(bad);
    assert_true(r3[2].num == 4);
    ts_balance_free(&b);
    assert_true(ts_balance_equation(&b, 0, 0) && ts_balance_term(&b, 0, 1) && ts_balance_term(&b, 1, 1));
    ts_frac r4[2] = {{1, 1}};
    assert_ok(ts_balance_solve(&b, r4, &bad, &err)); /* b = -1 */
    assert_non_null(bad);
    ts_balance_free(&b);
    /* no single equation gives an answer, two together do: x + y = 10, x - y = 4 */
    assert_true(ts_balance_equation(&b, 0, 0) && ts_balance_term(&b, 0, 1) &&
                ts_balance_term(&b, 1, 1) && ts_balance_term(&b, 2, -10));
    assert_true(ts_balance_equation(&b, 0, 1) && ts_balance_term(&b, 0, 1) &&
                ts_balance_term(&b, 1, -1) && ts_balance_term(&b, 2, -4));
    ts_frac r5[3] = {[2] = {1, 1}};
    assert_ok(ts_balance_solve(&b, r5, &bad, &err));
    assert_null(bad);
    assert_true(r5[0].num == 7 && r5[1].num == 3);
    ts_balance_free(&b);
    assert_false(ts_frac_known(ts_frac_of(1, 0)));
    assert_true(ts_frac_of(6, -4).num == -3 && ts_frac_of(6, -4).den == 2);
}

static bool solve_all(void *ud) {
    (void)ud;
    ts_balance b = {0};
    const ts_equation *bad;
    ts_frac r[12] = {{1, 1}};
    bool ok = true;
    for (int i = 0; i < 10 && ok; i++)
        ok =
            ts_balance_equation(&b, 0, i) && ts_balance_term(&b, i, 1) && ts_balance_term(&b, i + 1, -1);
    ok = ok && ts_balance_consistent(&b, &bad, NULL) == TS_OK && ts_balance_solve(&b, r, &bad, NULL) == TS_OK;
    ts_balance_free(&b);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(solve_all, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_consistent), cmocka_unit_test(test_solve),
                                       cmocka_unit_test(test_alloc)};
    return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
