/* rope: frequencies and tables against the formulas of the papers in long double. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "model/rope.h"

#include <math.h>

static const long double PI = 0xc.90fdaa22168c235p-2L;

static ts_model_config config(uint32_t n_rot, float base) {
    return (ts_model_config){.head_dim = n_rot, .n_rot = n_rot, .rope_base = base, .rope_factor = 1,
                             .rope_ctx_orig = 4096, .n_ctx_train = 4096, .yarn_ext = 1, .yarn_attn = 1,
                             .yarn_beta_fast = 32, .yarn_beta_slow = 1};
}

/* YaRN, section 3.2 and A.2: pairs that turn more than beta_fast times within the trained context keep their frequency,
 * those that turn less than beta_slow times are interpolated, in between there is a linear ramp over whole pairs. */
static long double plain_frequency(const ts_model_config *c, const float *factors, uint32_t i) {
    long double f = powl((long double)c->rope_base, -2.0L * i / c->n_rot);
    if (factors) f /= (long double)factors[i];
    if (c->rope_scaling == TS_ROPE_NONE) return f;
    long double squeezed = f / (long double)c->rope_factor;
    if (c->rope_scaling == TS_ROPE_LINEAR) return squeezed;
    long double edge[2];
    const long double turns[2] = {(long double)c->yarn_beta_fast, (long double)c->yarn_beta_slow};
    for (int k = 0; k < 2; k++)
        edge[k] = c->n_rot * logl(c->rope_ctx_orig / (turns[k] * 2 * PI)) / (2 * logl((long double)c->rope_base));
    long double low = fmaxl(floorl(edge[0]), 0), high = fminl(ceill(edge[1]), c->n_rot - 1);
    long double ramp = ((long double)i - low) / fmaxl(high - low, 0.001L);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return squeezed * ramp + f * (1 - ramp);
}

static void check(const ts_model_config *c, const float *factors) {
    static const uint32_t positions[] = {0, 1, 2, 63, 64, 511, 4095, 131071, 1000003};
    ts_err err;
    ts_rope r;
    float cs[256];
    assert_ok(ts_rope_init(&r, c, factors, &err));
    assert_int_equal(r.n_rot, c->n_rot);
    long double scale = c->rope_scaling == TS_ROPE_YARN
                            ? (long double)c->yarn_attn * (1 + 0.1L * logl((long double)c->rope_factor))
                            : 1;
    for (size_t k = 0; k < sizeof positions / sizeof *positions; k++) {
        ts_rope_angles(&r, positions[k], cs);
        for (uint32_t i = 0; i < c->n_rot / 2; i++) {
            long double f = plain_frequency(c, factors, i), angle = positions[k] * f;
            /* the frequency is a double with a relative error of a few 1e-16, which the position multiplies */
            long double bound = 1e-7L + angle * 1e-14L;
            if (fabsl((long double)cs[i] - cosl(angle) * scale) > bound ||
                fabsl((long double)cs[c->n_rot / 2 + i] - sinl(angle) * scale) > bound)
                fail_msg("position %u, pair %u of %u: %g %g, not %Lg %Lg", positions[k], i, c->n_rot, (double)cs[i],
                         (double)cs[c->n_rot / 2 + i], cosl(angle) * scale, sinl(angle) * scale);
        }
    }
    ts_rope_fini(&r);
}

static void test_tables(void **state) {
    (void)state;
    static const uint32_t rots[] = {2, 8, 40, 64, 128};
    static const float bases[] = {10000, 500000, 1000000};
    for (int i = 0; i < 5; i++)
        for (int b = 0; b < 3; b++) {
            ts_model_config c = config(rots[i], bases[b]);
            check(&c, NULL);
            c.rope_scaling = TS_ROPE_LINEAR;
            c.rope_factor = 4;
            check(&c, NULL);
            c.rope_scaling = TS_ROPE_YARN;
            for (uint32_t ctx = 64; ctx <= 32768; ctx *= 8) {
                c.rope_ctx_orig = ctx;
                check(&c, NULL);
            }
            c.yarn_attn = 0.5f;
            c.yarn_beta_fast = 16;
            c.yarn_beta_slow = 2;
            check(&c, NULL);
        }
}

static void test_factors(void **state) {
    (void)state;
    float factors[64];
    for (int i = 0; i < 64; i++) factors[i] = 1 + 0.25f * (float)i;
    ts_model_config c = config(128, 500000);
    check(&c, factors);
    c.rope_scaling = TS_ROPE_LINEAR;
    c.rope_factor = 2;
    check(&c, factors);
}

/* Without yarn's extrapolation (ext 0) only the interpolation is left, and no change of the magnitude. */
static void test_yarn_off(void **state) {
    (void)state;
    ts_err err;
    ts_model_config c = config(64, 10000), d = c;
    c.rope_scaling = TS_ROPE_YARN, c.rope_factor = 8, c.yarn_ext = 0;
    d.rope_scaling = TS_ROPE_LINEAR, d.rope_factor = 8;
    ts_rope r, s;
    assert_ok(ts_rope_init(&r, &c, NULL, &err));
    assert_ok(ts_rope_init(&s, &d, NULL, &err));
    assert_memory_equal(r.freq, s.freq, 32 * sizeof *r.freq);
    assert_true(r.scale == 1 && s.scale == 1);
    ts_rope_fini(&r), ts_rope_fini(&s);
}

static void test_hostile(void **state) {
    (void)state;
    ts_err err;
    ts_rope r;
    ts_model_config c = config(64, 10000);
    float factors[32];
    for (int i = 0; i < 32; i++) factors[i] = i == 17 ? 1e-30f : 1;
    assert_status(ts_rope_init(&r, &c, factors, &err), TS_E_FORMAT);
    c.rope_base = 1e-30f;
    assert_status(ts_rope_init(&r, &c, NULL, &err), TS_E_FORMAT);
    c = config(64, 10000);
    c.rope_scaling = TS_ROPE_LINEAR, c.rope_factor = 1e-30f;
    assert_status(ts_rope_init(&r, &c, NULL, &err), TS_E_FORMAT);
    c.rope_scaling = TS_ROPE_YARN, c.rope_factor = 4, c.yarn_attn = INFINITY;
    assert_status(ts_rope_init(&r, &c, NULL, &err), TS_E_FORMAT);
    c.yarn_attn = 1, c.yarn_ext = NAN;
    assert_status(ts_rope_init(&r, &c, NULL, &err), TS_E_FORMAT);
    /* nonsense that means something all the same: the ramp is empty or everything */
    c.yarn_ext = 1, c.yarn_beta_fast = 0, c.yarn_beta_slow = -1;
    assert_ok(ts_rope_init(&r, &c, NULL, &err));
    for (int i = 0; i < 32; i++) assert_true(isfinite(r.freq[i]));
    ts_rope_fini(&r);
}

static bool make(void *ud) {
    (void)ud;
    ts_model_config c = config(64, 10000);
    ts_rope r = {0};
    bool ok = ts_rope_init(&r, &c, NULL, NULL) == TS_OK;
    ts_rope_fini(&r);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),  cmocka_unit_test(test_factors), cmocka_unit_test(test_yarn_off),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
