/* What the shares of a benchmark refer to: which operations have narrow weights, and the limit of their mix. What
 * random models are made of. */
#include "support/test.h"

#include "engine/engine.h"
#include "report/bench.h"
#include "report/shape.h"

#include <math.h>

static const ts_shape shape = {.name = "small", .arch = "llama", .n_layer = 1, .d_model = 256, .d_ff = 256, .n_head = 4,
                               .n_kv_head = 4, .head_dim = 64, .n_vocab = 512, .n_ctx = 64, .rope_base = 10000,
                               .norm_eps = 1e-5f};

static void assert_near(double got, double want) {
    if (fabs(got - want) > 1e-9) fail_msg("%g, not %g", got, want);
}

/* That part of a test's operations, with those weights. */
static double narrow(ts_mix mix, bool decode) {
    ts_buf file = {0};
    ts_engine *e;
    ts_bench_result r;
    ts_err err;
    assert_ok(ts_shape_make(&shape, &mix, 1, &file, &err));
    assert_ok(ts_engine_open_memory(&e, file.data, file.len, &(ts_engine_opts){.n_threads = 1}, &err));
    const ts_bench_test test = {.decode = decode, .n = 4};
    assert_ok(ts_bench_run(e, &(ts_session_opts){0}, &test, 1, NULL, NULL, &r, &err));
    ts_engine_close(e);
    ts_buf_free(&file);
    return r.narrow;
}

/* The layer has 7 matrices of 256 x 256, the head is two of them. */
static void test_narrow(void **state) {
    (void)state;
    assert_near(narrow((ts_mix){TS_Q4_0, TS_Q6_K, TS_Q4_0}, true), 1);
    assert_near(narrow((ts_mix){TS_Q8_0, TS_Q8_0, TS_Q8_0}, true), 0);
    assert_near(narrow((ts_mix){TS_IQ4_XS, TS_Q6_K, TS_IQ4_NL}, true), 2 / 9.0);
    assert_near(narrow((ts_mix){TS_F16, TS_MXFP4, TS_F16}, true), 2 / 9.0);
    assert_near(narrow((ts_mix){TS_Q8_0, TS_Q6_K, TS_Q8_0}, false), 2 / 30.0); /* one row of the head */
}

static void test_limits(void **state) {
    (void)state;
    ts_bench_limits l = {.read_gbps = 20, .read4_gbps = 25, .int8_gops = 100, .narrow_gops = 300};
    assert_near(ts_bench_read_limit(&l), 25);
    assert_near(ts_bench_gops_limit(&l, &(ts_bench_result){.narrow = 0}), 100);
    assert_near(ts_bench_gops_limit(&l, &(ts_bench_result){.narrow = 1}), 300);
    assert_near(ts_bench_gops_limit(&l, &(ts_bench_result){.narrow = 0.5}), 150); /* half of them take 3/4 */
    l.read_gbps = 30;
    assert_near(ts_bench_read_limit(&l), 30);
}

/* Names of mixes as the usual quantisers have them. */
static void test_mixes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ts_mix want;
    } mixes[] = {
        {"q4_0", {TS_Q4_0, TS_Q6_K, TS_Q4_0}},   {"Q4_K_M", {TS_Q4_K, TS_Q6_K, TS_Q6_K}},
        {"q4_k", {TS_Q4_K, TS_Q6_K, TS_Q6_K}},   {"q5_k_m", {TS_Q5_K, TS_Q6_K, TS_Q6_K}},
        {"q5_k", {TS_Q5_K, TS_Q5_K, TS_Q5_K}},   {"iq4_xs", {TS_IQ4_XS, TS_Q6_K, TS_IQ4_XS}},
        {"q8_0", {TS_Q8_0, TS_Q8_0, TS_Q8_0}},
    };
    ts_mix mix;
    ts_err err;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
        assert_ok(ts_mix_find(&mix, mixes[i].name, &err));
        assert_memory_equal(&mix, &mixes[i].want, sizeof mix);
    }
    assert_status(ts_mix_find(&mix, "q5_m", &err), TS_E_INVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_mixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
