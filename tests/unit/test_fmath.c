/* fmath: our exp, silu, sin, cos, log2, exp2 and pow against libm, within the bounds that docs/numerics.md states.
 * With --all the f32 exp is tried on every float there is (suite long), otherwise on a sample. */
#include "support/test.h"

#include "base/rng.h"
#include "kern/fmath.h"

#include <math.h>

static bool all;

/* docs/numerics.md, "exp": units in the last place of the f32 result */
static const double EXP_ULP = 0.892;

static double ulp_of(double y) {
    int e;
    frexp(y, &e);
    return y < 0x1p-126 ? 0x1p-149 : ldexp(1, e - 24);
}

static void test_exp_accuracy(void **state) {
    (void)state;
    /* a step that is no multiple of a power of two visits all exponents and low bits */
    const uint64_t step = all ? 1 : 1009;
    double worst = 0;
    uint64_t n = 0;
    for (uint64_t u = 0; u < 1ull << 32; u += step) {
        float x = ts_f32_from_bits((uint32_t)u), y = ts_expf(x);
        if (isnan(x)) {
            if (!isnan(y)) fail_msg("exp(NaN %08llx) is %a", (unsigned long long)u, (double)y);
            continue;
        }
        double want = exp((double)x);
        if (want > (double)0x1.fffffep+127f) { /* overflow: infinity, or still the largest number half an ulp away */
            if (!(y >= 0x1.fffffep+127f)) fail_msg("exp(%a) is %a", (double)x, (double)y);
            continue;
        }
        double error = fabs((double)y - want) / ulp_of(want);
        if (!(error <= EXP_ULP)) fail_msg("exp(%a) is %a, %.3f ulp from %a", (double)x, (double)y, error, want);
        if (error > worst) worst = error;
        n++;
    }
    print_message("exp: %llu values, at most %.4f ulp wrong\n", (unsigned long long)n, worst);
    assert_true(worst > EXP_ULP / 2); /* a bound far from what happens would be no bound */
}

static void test_exp_special(void **state) {
    (void)state;
    assert_true(ts_expf(0) == 1 && ts_expf(-0.0f) == 1);
    assert_true(ts_expf(-INFINITY) == 0 && !signbit(ts_expf(-INFINITY)));
    assert_true(ts_expf(INFINITY) == INFINITY);
    assert_true(isnan(ts_expf(NAN)) && isnan(ts_expf(-NAN)));
    assert_true(ts_expf(89) == INFINITY && ts_expf(1e30f) == INFINITY);
    assert_true(ts_expf(-104) == 0 && ts_expf(-1e30f) == 0);
    assert_true(ts_expf(-103) > 0 && ts_expf(-103) < 0x1p-126f); /* denormals are kept */
    assert_true(ts_expf(1e-30f) == 1 && ts_expf(-0x1p-149f) == 1);
}

static void test_silu(void **state) {
    (void)state;
    assert_true(ts_silu_mulf(0, 1) == 0);
    assert_true(ts_silu_mulf(INFINITY, 1) == INFINITY);
    assert_true(isnan(ts_silu_mulf(NAN, 1)));
    assert_true(ts_silu_mulf(200, 1) == 200);
    assert_true(ts_silu_mulf(-61, 0x1p80f) < 0 && ts_silu_mulf(-61, 0x1p40f) == 0);
    /* a product that is too small is +0; where exp overflows, or the quotient alone would be denormal, too */
    assert_true(ts_silu_mulf(-200, 0x1p100f) == 0 && !signbit(ts_silu_mulf(-200, 1)));
    assert_true(ts_silu_mulf(1, 0x1p-40f) == 0 && ts_silu_mulf(1, 0x1p-39f) > 0);
    assert_true(!signbit(ts_silu_mulf(1, -0x1p-60f)));
    double worst = 0;
    for (uint32_t u = 0; u < 0xff800000u; u += 4999) { /* all but NaN and what follows -Inf */
        float x = ts_f32_from_bits(u);
        if (isnan(x)) continue;
        const float got = ts_silu_mulf(x, 1);
        const double want = (double)x / (1 + exp(-(double)x)), error = fabs((double)got - want) / ulp_of(fabs(want));
        if (got == 0) assert_true(fabs(want) < (double)TS_Z_MIN * 1.000001);
        else if (error > worst) worst = error;
    }
    print_message("silu: at most %.2f ulp wrong, or 0 below 2^-40\n", worst);
    assert_true(worst > 1 && worst < 2.5);
}

static void test_sincos(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(1);
    long double worst = 0;
    for (int i = 0; i < (all ? 50000000 : 200000); i++) {
        /* exponents -30 to 30, and near multiples of pi/2, where cancellation is worst */
        double x = ldexp(1 + ts_rng_f64(&rng), (int)ts_rng_below(&rng, 61) - 31), s, c;
        if (i % 4 == 0) x = (double)ts_rng_below(&rng, 1u << 29) * 0x1.921fb54442d18p+0;
        if (i % 2) x = -x;
        ts_sincos_d(x, &s, &c);
        long double es = fabsl((long double)s - sinl((long double)x)),
                    ec = fabsl((long double)c - cosl((long double)x));
        if (es > worst) worst = es;
        if (ec > worst) worst = ec;
    }
    print_message("sin, cos: at most %.3Lg wrong up to 2^30\n", worst);
    assert_true(worst < 0x1p-52L);
    double s, c;
    ts_sincos_d(0, &s, &c);
    assert_true(s == 0 && c == 1);
}

static void test_powers(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(2);
    long double log_worst = 0, exp_worst = 0, pow_worst = 0;
    for (int i = 0; i < (all ? 10000000 : 100000); i++) {
        double x = ldexp(1 + ts_rng_f64(&rng), (int)ts_rng_below(&rng, 2000) - 1000),
               y = ts_rng_f64(&rng) * 2000 - 1000;
        if (i % 4 == 0) x = 1 + (ts_rng_f64(&rng) - 0.5) * 0x1p-20; /* near 1 the relative error is what counts */
        long double want = log2l((long double)x), error = fabsl(((long double)ts_log2_d(x) - want) / want);
        if (want != 0 && error > log_worst) log_worst = error;
        error = fabsl((long double)ts_exp2_d(y) / exp2l((long double)y) - 1);
        if (error > exp_worst) exp_worst = error;
        /* as the rope tables use it: bases up to 2^30, exponents -1 to 0 */
        double base = ldexp(1 + ts_rng_f64(&rng), (int)ts_rng_below(&rng, 30)), e = -ts_rng_f64(&rng);
        error = fabsl((long double)ts_pow_d(base, e) / powl((long double)base, (long double)e) - 1);
        if (error > pow_worst) pow_worst = error;
    }
    print_message("relative errors: log2 %.3Lg, exp2 %.3Lg, pow %.3Lg\n", log_worst, exp_worst, pow_worst);
    assert_true(log_worst < 1e-15L && exp_worst < 4e-16L && pow_worst < 1e-14L);
    for (int e = -1000; e <= 1000; e += 7) {
        assert_true(ts_exp2_d(e) == ldexp(1, e));
        assert_true(ts_log2_d(ldexp(1, e)) == e);
    }
    assert_true(ts_pow_d(10000, 0) == 1);
}

int main(int argc, char **argv) {
    all = argc > 1 && !strcmp(argv[1], "--all");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_accuracy), cmocka_unit_test(test_exp_special), cmocka_unit_test(test_silu),
        cmocka_unit_test(test_sincos),       cmocka_unit_test(test_powers),
    };
    return cmocka_run_group_tests_name("fmath", tests, NULL, NULL);
}
