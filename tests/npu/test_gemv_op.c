/* Whole linear layers on the simulated NPU, through driver, strict node and array: results against the reference
 * kernel bit for bit, bytes that add up, failures of the device. */
#include "clocked.h"
#include "groups.h"
#include "support/alloc_fail.h"

#include "base/log.h"

static ts_gemv_dev *open_sim(uint64_t seed, bool prefetch) {
    ts_gemv_dev *d;
    ts_err err;
    const ts_simnode_options so = {
        .strict = true, .seed = seed, .profile = (ts_fake_profile)(seed % 3), .gap = 1000};
    assert_ok(open_sim_dev(
        &d, &so, (ts_gemv_dev_options){.prefetch = prefetch ? TS_PREFETCH_ON : TS_PREFETCH_OFF}, &err));
    return d;
}

/* Each type, odd shapes, one to nine tokens. */
static void test_shapes(void **state) {
    (void)state;
    static const uint32_t rows[] = {1, 40, 67, 264}, ks[] = {256, 1024, 1280, 4352};
    ts_rng rng = ts_rng_seed(1);
    ts_gemv_dev *d = open_sim(0, true);
    ts_err err;
    for (size_t i = 0; i < 4; i++)
        for (int r = 0; r < 4; r++) {
            group g;
            group_init(&g, d, &(ts_gemv_shape){all_types[i], rows[r], ks[(r + (int)i) % 4]}, 1, &rng);
            for (uint32_t t = 1; t <= 9; t += t < 5 ? 1 : 4) assert_ok(group_run(&g, t, NULL, NULL, &rng, &err));
            group_fini(&g);
        }
    for (size_t i = 2; i < 4; i++) { /* K that is no multiple of 64 */
        group g;
        group_init(&g, d, &(ts_gemv_shape){all_types[i], 30, 1120 + 32}, 1, &rng);
        for (uint32_t t = 1; t <= 3; t++) assert_ok(group_run(&g, t, NULL, NULL, &rng, &err));
        group_fini(&g);
    }
    assert_clean(d);
    close_dev(d);
}

/* Several matrices in one op, types mixed; the bytes that crossed are those that the array counted. */
static void test_groups(void **state) {
    (void)state;
    static const ts_gemv_shape shapes[][3] = {
        {{TS_Q4_K, 512, 1024}, {TS_Q4_K, 128, 1024}, {TS_Q6_K, 128, 1024}},
        {{TS_Q8_0, 96, 768}, {TS_Q6_K, 8, 768}, {TS_Q4_0, 200, 768}},
    };
    ts_rng rng = ts_rng_seed(2);
    ts_gemv_dev *d = open_sim(0, false);
    ts_err err;
    for (size_t i = 0; i < 2; i++)
        for (uint32_t t = 1; t <= 4; t++) {
            group g;
            ts_gemv_cost c = {0};
            group_init(&g, d, shapes[i], 3, &rng);
            assert_ok(group_run(&g, t, NULL, &c, &rng, &err));
            const ts_array_stats *st = ts_simnode_stats(node_of(d));
            assert_int_equal(c.commands, 1);
            assert_int_equal(c.weight_bytes + c.act_bytes, st->read_bytes);
            assert_int_equal(c.sum_bytes, st->write_bytes);
            assert_true(c.unit_bytes <= c.weight_bytes);
            group_fini(&g);
        }
    assert_clean(d);
    close_dev(d);
}

/* Ops in the order that was told and in others, one to six tokens, every seed another array; ends while weights are
 * ahead. */
static void test_prefetch(void **state) {
    (void)state;
    static const ts_gemv_shape shapes[][2] = {
        {{TS_Q8_0, 640, 768}, {TS_Q4_0, 64, 768}}, /* more than the rings hold */
        {{TS_Q4_K, 40, 512}},                      /* less */
        {{TS_Q6_K, 3, 256}},                       /* not on every core */
        {{TS_Q4_K, 2048, 1024}, {TS_Q6_K, 256, 1024}},
    };
    enum { OPS = 4 };
    for (uint64_t seed = 0; seed < 4; seed++) {
        ts_rng rng = ts_rng_seed(seed + 7);
        ts_gemv_dev *d = open_sim(seed, true);
        ts_err err;
        group g[OPS];
        uint64_t read = 0;
        ts_gemv_cost c = {0};
        for (int i = 0; i < OPS; i++) group_init(&g[i], d, shapes[i], i % 3 == 0 ? 2 : 1, &rng);
        for (int step = 0; step < 14; step++) {
            int now = step < 8 ? step % OPS : (int)ts_rng_below(&rng, OPS),
                told = step < 8 ? (step + 1) % OPS : (int)ts_rng_below(&rng, OPS);
            uint32_t n_tok = step < 4 ? 1 : 1 + (uint32_t)ts_rng_below(&rng, 6);
            assert_ok(group_run(&g[now], n_tok, &g[told], &c, &rng, &err));
            if (step < 4) read += ts_simnode_stats(node_of(d))->read_bytes;
        }
        assert_true(read > 0);
        assert_ok(ts_gemv_dev_drain(d, &err));
        assert_ok(ts_gemv_dev_drain(d, &err));
        assert_ok(group_run(&g[0], 1, &g[1], &c, &rng, &err));
        assert_clean(d);
        for (int i = 0; i < OPS; i++) group_fini(&g[i]);
        assert_clean(d);
        close_dev(d);
    }
}

/* Weights ahead of time make the second of two ops faster. */
static void test_prefetch_helps(void **state) {
    (void)state;
    uint64_t cycles[2];
    for (int ahead = 0; ahead < 2; ahead++) {
        ts_rng rng = ts_rng_seed(3);
        ts_err err;
        ts_gemv_dev *d;
        const ts_gemv_dev_options o = {.prefetch = ahead ? TS_PREFETCH_ON : TS_PREFETCH_OFF};
        ts_gemv_cost c = {0};
        group g[2];
        assert_ok(open_sim_dev(&d, &(ts_simnode_options){.gap = 100000}, o, &err));
        for (int i = 0; i < 2; i++) group_init(&g[i], d, &(ts_gemv_shape){TS_Q8_0, 1024, 2048}, 1, &rng);
        assert_ok(group_run(&g[0], 1, &g[1], NULL, &rng, &err));
        assert_ok(group_run(&g[1], 1, NULL, &c, &rng, &err));
        cycles[ahead] = c.cycles;
        for (int i = 0; i < 2; i++) group_fini(&g[i]);
        close_dev(d);
    }
    print_message("2 MiB: %llu cycles, with prefetch %llu\n", (unsigned long long)cycles[0],
                  (unsigned long long)cycles[1]);
    assert_true(cycles[1] + 20000 < cycles[0]);
}

static void drop_line(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level, (void)line;
}

/* Who may leave weights in the array: a simulated NPU, a real one only where it was asked for; none after a failure,
 * and none where another program's context is on the same columns. */
static void test_prefetch_policy(void **state) {
    (void)state;
    static const struct {
        ts_prefetch asked;
        bool simulated, prefetch;
    } k[] = {{TS_PREFETCH_AUTO, true, true}, {TS_PREFETCH_AUTO, false, false}, {TS_PREFETCH_ON, true, true},
             {TS_PREFETCH_ON, false, true},  {TS_PREFETCH_OFF, true, false},   {TS_PREFETCH_OFF, false, false}};
    ts_log_sink(drop_line, NULL, TS_LOG_DEBUG);
    for (size_t i = 0; i < 3 * (sizeof k / sizeof *k); i++) {
        const int what = (int)(i % 3);
        ts_rng rng = ts_rng_seed(i);
        ts_err err;
        ts_simnode *sim = NULL;
        ts_gemv_dev *d;
        group g[2];
        ts_gemv_dev_options o = {.prefetch = k[i / 3].asked};
        const ts_simnode_options so = {.profile = (ts_fake_profile)(k[i / 3].simulated ? 0 : what)};
        if (!k[i / 3].simulated) {
            assert_ok(ts_simnode_new(&sim, &so, &err));
            o.io = ts_simnode_io(sim);
        }
        assert_ok(sim ? ts_gemv_dev_open(&d, &o, &err) : open_sim_dev(&d, &so, o, &err));
        ts_fake *f = ts_simnode_fake(sim ? sim : node_of(d));
        for (int m = 0; m < 2; m++) group_init(&g[m], d, &(ts_gemv_shape){TS_Q8_0, 72, 512}, 1, &rng);
        assert_int_equal(ts_gemv_dev_prefetch(d), k[i / 3].prefetch);
        if (what == 1) ts_fake_end_command(f, 1, TS_FAKE_END_ERROR);
        if (what == 2) ts_fake_add_user(f, &(ts_fake_user){.pid = 4711, .start_col = 1, .n_cols = 4});
        assert_ok(group_run(&g[0], 1, &g[1], NULL, &rng, &err));
        assert_int_equal(ts_gemv_dev_prefetch(d), k[i / 3].prefetch && !what);
        assert_ok(group_run(&g[1], 1, &g[0], NULL, &rng, &err));
        for (int m = 0; m < 2; m++) group_fini(&g[m]);
        close_dev(d);
        ts_simnode_free(sim);
    }
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
}

/* A command that fails in any way is done again in a new context; one that fails twice, or a device that is gone, is
 * an error of one line, and what was wrong is forgotten afterwards where the device can. */
static void test_failures(void **state) {
    (void)state;
    static const ts_fake_ending endings[] = {TS_FAKE_END_ERROR, TS_FAKE_END_ABORT, TS_FAKE_END_TIMEOUT,
                                             TS_FAKE_END_NORESPONSE, TS_FAKE_END_LOST};
    ts_log_sink(drop_line, NULL, TS_LOG_DEBUG);
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        ts_rng rng = ts_rng_seed(5);
        ts_err err;
        ts_gemv_dev *d;
        const ts_simnode_options so = {.strict = true, .profile = (ts_fake_profile)profile, .gap = 1000};
        group g[2];
        assert_ok(open_sim_dev(&d, &so, (ts_gemv_dev_options){.timeout_ns = 1000000}, &err));
        ts_fake *f = ts_simnode_fake(node_of(d));
        for (int i = 0; i < 2; i++) group_init(&g[i], d, &(ts_gemv_shape){TS_Q4_0, 72, 512}, 1, &rng);
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
            /* g[1]'s weights are in the array when it happens */
            assert_ok(group_run(&g[0], 1, &g[1], NULL, &rng, &err));
            ts_fake_end_command(f, 1, endings[e]);
            assert_ok(group_run(&g[1], 2, &g[0], NULL, &rng, &err));
            assert_ok(group_run(&g[0], 1, NULL, NULL, &rng, &err));
            ts_fake_end_command(f, 1, endings[e]);
            ts_fake_end_command(f, 2, endings[e]);
            assert_status(group_run(&g[1], 1, NULL, NULL, &rng, &err), TS_E_DEVICE);
            assert_non_null(strstr(err.msg, "NPU: "));
            assert_null(strchr(err.msg, '\n'));
            assert_ok(group_run(&g[1], 1, NULL, NULL, &rng, &err));
        }
        assert_clean(d);
        ts_fake_unplug(f);
        assert_status(group_run(&g[0], 1, NULL, NULL, &rng, &err), TS_E_DEVICE);
        assert_non_null(strstr(err.msg, "the NPU is gone"));
        for (int i = 0; i < 2; i++) group_fini(&g[i]);
        close_dev(d);
    }
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
}

/* The clock is that of the commands: it is not read before there is a context, and again as time goes by. */
static void test_clock(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(8);
    ts_err err;
    ts_simnode *sim;
    ts_gemv_dev *d;
    clocked chip;
    group g;
    assert_ok(ts_simnode_new(&sim, &(ts_simnode_options){.strict = true}, &err));
    assert_ok(ts_gemv_dev_open(
        &d, &(ts_gemv_dev_options){.io = clocked_init(&chip, ts_simnode_io(sim)), .evidence = TS_VIRTUAL}, &err));
    assert_int_equal(ts_gemv_dev_evidence(d), TS_VIRTUAL);
    assert_int_equal(ts_gemv_dev_clock(d).mhz, 0);
    group_init(&g, d, &(ts_gemv_shape){TS_Q4_0, 72, 512}, 1, &rng);
    assert_ok(group_run(&g, 1, NULL, NULL, &rng, &err));
    ts_npu_clock c = ts_gemv_dev_clock(d);
    assert_true(c.mhz == CLOCKED_BUSY && c.least == CLOCKED_BUSY && c.most == CLOCKED_BUSY);
    chip.busy_mhz = 1024; /* a balanced mode of power */
    for (int i = 0; i < 20; i++) assert_ok(group_run(&g, 1, NULL, NULL, &rng, &err));
    c = ts_gemv_dev_clock(d);
    assert_true(c.mhz == 1024 && c.least == 1024 && c.most == CLOCKED_BUSY);
    group_fini(&g);
    close_dev(d);
    ts_simnode_free(sim);
    assert_ok(open_sim_dev(&d, &(ts_simnode_options){0}, (ts_gemv_dev_options){0}, &err));
    c = ts_gemv_dev_clock(d);
    assert_true(c.mhz == TS_SIM_CLOCK_MHZ && c.least == c.mhz && c.most == c.mhz &&
                ts_gemv_dev_evidence(d) == TS_SIMULATED);
    close_dev(d);
    assert_true(ts_gemv_dma_bytes_per_us(0) == 27500 && ts_gemv_dma_bytes_per_us(1600) == 44000);
}

static bool stop_at_once(void *ud) {
    ++*(int *)ud;
    return true;
}

/* A command that does not end, and somebody who does not want to wait: it is not tried again, and whatever is asked
 * for next is right, the same op too, whose weights were in the array. */
static void test_stopped(void **state) {
    (void)state;
    ts_log_sink(drop_line, NULL, TS_LOG_DEBUG);
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int next = 0; next < 4; next++) {
            ts_rng rng = ts_rng_seed(6);
            ts_err err;
            ts_gemv_dev *d;
            int asked = 0;
            const ts_simnode_options so = {.strict = true, .profile = (ts_fake_profile)profile, .gap = 1000};
            const ts_gemv_dev_options o = {.stop = {next < 3 ? stop_at_once : NULL, &asked}};
            group g[2];
            assert_ok(open_sim_dev(&d, &so, o, &err));
            for (int i = 0; i < 2; i++) group_init(&g[i], d, &(ts_gemv_shape){TS_Q4_0, 72, 512}, 1, &rng);
            assert_ok(group_run(&g[0], 1, &g[1], NULL, &rng, &err));
            ts_fake_end_command(ts_simnode_fake(node_of(d)), 1, TS_FAKE_END_LOST);
            if (next == 3) ts_fake_end_command(ts_simnode_fake(node_of(d)), 2, TS_FAKE_END_LOST);
            assert_status(group_run(&g[1], 1, &g[next % 2], NULL, &rng, &err), next < 3 ? TS_E_CANCELLED : TS_E_DEVICE);
            if (next < 3) assert_string_equal(err.msg, "NPU: stopped; a command had no end after 1.0 s");
            assert_int_equal(asked, next < 3);
            for (int i = 0; next < 2 && i < 2; i++)
                assert_ok(group_run(&g[(next + i) % 2], 1, &g[next], NULL, &rng, &err));
            assert_int_equal(asked, next < 3);
            for (int i = 0; i < 2; i++) group_fini(&g[i]); /* of all that the command used nothing is freed under it */
            assert_clean(d);
            close_dev(d);
        }
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
}

/* In two halves: two devices at once, each with its own op under way; what may not be done in between is refused, and
 * an op that is freed under way takes its command along. Nine tokens go through several commands. */
static void test_halves(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        ts_rng rng = ts_rng_seed(seed + 20);
        ts_gemv_dev *d[2];
        group g[2];
        ts_qact x;
        ts_err err;
        const uint32_t n_tok = seed % 2 ? 9 : 1, rows = 72, K = 512;
        float *in = ts_alloc(n_tok * K, 4), *y[2], *want[2];
        size_t ld = rows;
        ts_gemv_cost c = {0};
        assert_ok(ts_qact_init(&x, K, n_tok, &err));
        fill_x(in, n_tok * K, RANDOM, &rng);
        for (uint32_t t = 0; t < n_tok; t++) ref.quant32(in + (size_t)t * K, K, n_tok, t, &x);
        for (int i = 0; i < 2; i++) {
            d[i] = open_sim(seed, true);
            group_init(&g[i], d[i], &(ts_gemv_shape){TS_Q8_0, rows, K}, 1, &rng);
            y[i] = ts_calloc(n_tok * ld, 4), want[i] = ts_alloc(n_tok * ld, 4);
            reference(&ref, ts_gemv_op_mat(g[i].op, 0), g[i].l[0].rows, g[i].l[0].row_bytes, &x, n_tok, want[i]);
        }
        assert_status(ts_gemv_op_wait(g[0].op, &y[0], &ld, &ref, pool, NULL, &err), TS_E_INVAL);
        for (int i = 0; i < 2; i++) assert_ok(ts_gemv_op_submit(g[i].op, &x, n_tok, g[i].op, &err));
        assert_status(ts_gemv_op_submit(g[0].op, &x, n_tok, NULL, &err), TS_E_INVAL);
        assert_string_equal(err.msg, "NPU: an op is under way");
        assert_status(ts_gemv_dev_drain(d[0], &err), TS_E_INVAL);
        for (int i = 1; i >= 0; i--) assert_ok(ts_gemv_op_wait(g[i].op, &y[i], &ld, &ref, pool, &c, &err));
        for (int i = 0; i < 2; i++) assert_memory_equal(y[i], want[i], n_tok * ld * 4);
        assert_int_equal(c.tokens, 2 * n_tok);
        assert_int_equal(c.commands, 2 * ((n_tok + 3) / 4));
        assert_ok(ts_gemv_op_submit(g[0].op, &x, n_tok, NULL, &err)); /* and is never waited for */
        for (int i = 0; i < 2; i++) {
            group_fini(&g[i]);
            assert_clean(d[i]);
            close_dev(d[i]);
            ts_free(y[i]), ts_free(want[i]);
        }
        ts_qact_fini(&x);
        ts_free(in);
    }
}

/* The host's part is done by the kernels that the caller names, so that TESSERA_CPU reaches it. */
static int combined;
static TS_COMBINE(count_combine) {
    combined++;
    ref.combine(s, part);
}

static void test_kernels(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(11);
    ts_err err;
    ts_gemv_dev *d;
    ts_gemv_op *op;
    ts_qact x;
    const ts_kern kern = {.combine = count_combine}; /* and no other */
    float in[1280], out[40], *y = out;
    size_t ld = 40;
    fill_x(in, 1280, RANDOM, &rng);
    assert_ok(ts_qact_init(&x, 1280, 1, &err));
    ref.quant32(in, 1280, 1, 0, &x);
    assert_ok(open_sim_dev(&d, &(ts_simnode_options){0}, (ts_gemv_dev_options){0}, &err));
    assert_ok(ts_gemv_op_new(&op, d, &(ts_gemv_shape){TS_Q8_0, 40, 1280}, 1, &err));
    ts_gemv_op_packed(op);
    combined = 0;
    assert_ok(ts_gemv_op_run(op, &x, 1, &y, &ld, NULL, &kern, pool, NULL, &err));
    assert_int_equal(combined, 5 * 2); /* row groups, slices of 1024 along K */
    ts_gemv_op_free(op);
    close_dev(d);
    ts_qact_fini(&x);
}

struct once {
    float y[64];
    ts_qact *x;
    const uint8_t *rows;
};

static bool all_once(void *ud) {
    struct once *o = ud;
    ts_gemv_dev *d = NULL; /* a new one each time: it keeps commands */
    ts_gemv_op *op = NULL;
    const ts_gemv_shape shape = {TS_Q8_0, 40, 256};
    float *y = o->y;
    size_t ld = 40;
    bool ok = open_sim_dev(&d, &(ts_simnode_options){0}, (ts_gemv_dev_options){0}, NULL) == TS_OK &&
              ts_gemv_op_new(&op, d, &shape, 1, NULL) == TS_OK;
    for (uint32_t g = 0; ok && g < 5; g++) ts_gemv_op_pack(op, 0, o->rows, 272, g);
    if (ok) ts_gemv_op_packed(op);
    ok = ok && ts_gemv_op_run(op, o->x, 1, &y, &ld, NULL, &ref, pool, NULL, NULL) == TS_OK;
    ts_gemv_op_free(op);
    close_dev(d);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(9);
    ts_err err;
    ts_qact x;
    float in[256];
    uint8_t rows[40 * 272];
    fill_rows(rows, TS_Q8_0, sizeof rows, RANDOM, &rng);
    fill_x(in, 256, RANDOM, &rng);
    assert_ok(ts_qact_init(&x, 256, 1, &err));
    ref.quant32(in, 256, 1, 0, &x);
    ts_log_sink(drop_line, NULL, TS_LOG_DEBUG);
    alloc_fail_loop(all_once, &(struct once){.x = &x, .rows = rows}, true);
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
    ts_qact_fini(&x);
}

/* What cannot be taken is told in words. */
static void test_refusals(void **state) {
    (void)state;
    static const struct {
        ts_gemv_shape shape[2];
        int n;
        const char *says;
    } cases[] = {
        {{{TS_F16, 64, 64}}, 1, "takes Q4_0, U4G, Q8_0, Q4_K and Q6_K"},
        {{{TS_Q8_0, 64, 64}, {TS_Q8_0, 64, 96}}, 2, "inputs of different size"},
        {{{TS_Q4_K, 64, 96}}, 1, "too large"},
        {{{TS_Q8_0, 64, 65536}}, 1, "too long"},
        {{{TS_Q8_0, 64, 64}}, 0, "1 to 4 matrices"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = ts_gemv_refusal(cases[i].shape, cases[i].n);
        if (!why || !strstr(why, cases[i].says)) fail_msg("case %zu: %s", i, why ? why : "taken");
    }
    assert_null(ts_gemv_refusal(&(ts_gemv_shape){TS_Q8_0, 64, 57344}, 1));
}

static int setup(void **state) {
    (void)state;
    ts_err err;
    ts_kern_init(&ref, TS_CPU_REF);
    return ts_pool_new(&pool, 2, &err) != TS_OK;
}
static int teardown(void **state) {
    (void)state;
    ts_pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_prefetch),
        cmocka_unit_test(test_prefetch_helps),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_prefetch_policy),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("gemv op", tests, setup, teardown);
}
