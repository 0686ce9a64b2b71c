/* tessera eval --kl: the sums, against what they are by definition. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/rng.h"
#include "cli/kl.h"

#include <math.h>

static void assert_near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 1e-9 * (1 + fabs(want)))) fail_msg("%s: %.12g, not %.12g", what, got, want);
}

static void test_sums(void **state) {
    (void)state;
    enum { V = 7, N = 40 };
    ts_rng rng = ts_rng_seed(2);
    cli_kl k = {0};
    double kl = 0, ref = 0, nll = 0, dp = 0, dp_sq = 0;
    size_t same = 0;
    for (int t = 0; t < N; t++) {
        float a[V], b[V];
        double p[V], q[V], sa = 0, sb = 0, one = 0;
        for (int i = 0; i < V; i++) {
            a[i] = (float)(3 * ts_rng_gauss(&rng)) + 200; /* a constant does not matter, nor does exp(200) */
            b[i] = a[i] + (float)ts_rng_gauss(&rng) - 700;
            sa += p[i] = exp((double)a[i] - 200), sb += q[i] = exp((double)b[i] + 500);
        }
        int top[2] = {0, 0};
        for (int i = 0; i < V; i++) {
            p[i] /= sa, q[i] /= sb;
            one += p[i] * log(p[i] / q[i]);
            if (a[i] > a[top[0]]) top[0] = i;
            if (b[i] > b[top[1]]) top[1] = i;
        }
        const ts_token next = (ts_token)ts_rng_below(&rng, V);
        assert_true(cli_kl_add(&k, a, b, V, next));
        assert_near(k.kl[t], one, "one token");
        kl += one, ref -= log(p[next]), nll -= log(q[next]);
        dp += q[next] - p[next], dp_sq += (q[next] - p[next]) * (q[next] - p[next]);
        same += top[0] == top[1];
    }
    assert_int_equal(k.n, N);
    assert_near(k.sum, kl, "divergence"), assert_near(k.ref, ref, "reference"), assert_near(k.nll, nll, "model");
    assert_near(k.ratio, nll - ref, "ratio"), assert_near(k.dp, dp, "mean"), assert_near(k.dp_sq, dp_sq, "r.m.s.");
    assert_int_equal(k.same_top, same);
    assert_true(same > 0 && same < N);
    cli_kl_free(&k);
    /* what is impossible for both costs nothing; a model compared with itself is no distance away */
    const float never[3] = {0, -1e30f, 1};
    assert_true(cli_kl_add(&k, never, never, 3, 2));
    assert_near(k.sum, 0, "itself");
    assert_int_equal(k.same_top, 1);
    cli_kl_free(&k);
}

static void test_quantile(void **state) {
    (void)state;
    cli_kl k = {0};
    assert_near(cli_kl_quantile(&k, 0.5), 0, "of nothing");
    for (int i = 0; i < 5; i++) {
        const float zero[2] = {0, 0};
        assert_true(cli_kl_add(&k, zero, zero, 2, 0));
        k.kl[i] = (i * 3) % 5 * 10; /* 0, 30, 10, 40, 20 */
    }
    assert_near(cli_kl_quantile(&k, 0), 0, "least");
    assert_near(cli_kl_quantile(&k, 0.5), 20, "median");
    assert_near(cli_kl_quantile(&k, 0.9), 36, "90 %");
    assert_near(cli_kl_quantile(&k, 1), 40, "most");
    cli_kl_free(&k);
}

static void test_no_memory(void **state) {
    (void)state;
    const float zero[2] = {0, 0};
    cli_kl k = {0};
    alloc_fail_at(1, true);
    assert_false(cli_kl_add(&k, zero, zero, 2, 0));
    alloc_fail_at(0, false);
    assert_int_equal(k.n, 0);
    assert_true(cli_kl_add(&k, zero, zero, 2, 0));
    cli_kl_free(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums), cmocka_unit_test(test_quantile),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests_name("kl", tests, NULL, NULL);
}
