/* The array is configured anew between two commands, in silence, as drivers do on runtime suspend, sleep, another
 * program's time-out and in turns where columns are shared: whatever was in it is lost. Results must be right all
 * the same, and the proofs say when a command was done again. */
#include "groups.h"

#include "base/log.h"

static int n_again; /* commands that were done again */

static void drop_line(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    n_again += strstr(line, "; trying once more in a new context") != NULL;
}

enum { OPS = 5 };

/* All types, alone and mixed; some not on every core. */
static const struct {
    ts_gemv_shape shape[2];
    int n;
} ops[OPS] = {
    {{{TS_Q4_K, 136, 512}}, 1},
    {{{TS_Q8_0, 264, 512}, {TS_Q4_0, 64, 512}}, 2},
    {{{TS_Q6_K, 3, 256}}, 1},
    {{{TS_Q4_0, 72, 1120}}, 1},
    {{{TS_Q6_K, 136, 1024}, {TS_Q4_K, 40, 1024}}, 2},
};

static void groups_init(group g[OPS], ts_gemv_dev *d, ts_rng *rng) {
    for (int i = 0; i < OPS; i++) group_init(&g[i], d, ops[i].shape, ops[i].n, rng);
}
static void groups_fini(group g[OPS]) {
    for (int i = 0; i < OPS; i++) group_fini(&g[i]);
}

/* Two rounds of the ops in the order of a token, each with 1 to 7 tokens, then some in any order with a wrong guess
 * of the next. */
static void rounds(group g[OPS], ts_gemv_cost *cost, ts_rng *rng) {
    ts_err err;
    for (int step = 0; step < 2 * OPS + 4; step++) {
        const bool known = step < 2 * OPS;
        int now = known ? step % OPS : (int)ts_rng_below(rng, OPS),
            told = known ? (step + 1) % OPS : (int)ts_rng_below(rng, OPS);
        uint32_t n_tok = step < OPS ? 1 : 1 + (uint32_t)ts_rng_below(rng, 7);
        ts_status s = group_run(&g[now], n_tok, &g[told], cost, rng, &err);
        if (s != TS_OK) fail_msg("step %d: %s", step, err.msg);
    }
}

typedef enum manner { OFF, ON, KEPT, MANNERS } manner; /* of taking weights ahead: KEPT goes on after a failure */

static ts_gemv_dev *open_dev(uint64_t seed, manner how, const ts_npu_io *io) {
    ts_gemv_dev *d;
    ts_err err;
    const ts_simnode_options so = {
        .strict = true, .seed = seed, .profile = (ts_fake_profile)(seed % 3), .gap = 1000};
    const ts_gemv_dev_options o = {
        .io = io, .prefetch = how == OFF ? TS_PREFETCH_OFF : TS_PREFETCH_ON, .keep_prefetch = how == KEPT};
    assert_ok(io ? ts_gemv_dev_open(&d, &o, &err) : open_sim_dev(&d, &so, o, &err));
    return d;
}

/* Before every command, every second, ... and at any time. */
static void test_configured_anew(void **state) {
    (void)state;
    ts_gemv_cost all[MANNERS] = {0};
    for (manner how = OFF; how < MANNERS; how++)
        for (int every = 1; every <= 4; every++) {
            ts_rng rng = ts_rng_seed((unsigned)every);
            ts_gemv_dev *d = open_dev((uint64_t)every - 1, how, NULL);
            ts_fake *f = ts_simnode_fake(node_of(d));
            group g[OPS];
            ts_gemv_cost c = {0};
            groups_init(g, d, &rng);
            ts_fake_reconfigure(f, every, every);
            n_again = 0;
            rounds(g, &c, &rng);
            const uint64_t n = ts_fake_reconfigured(f);
            assert_true(n >= 3);
            /* nothing to lose, and it was noticed every time; the first command configures the array anyway */
            if (how == OFF) {
                assert_int_equal(c.wrong_proofs, 0);
                assert_int_equal(c.anew, n);
                assert_int_equal(c.proofs, 8 * c.commands);
            }
            if (how == ON) assert_true(c.wrong_proofs <= 1 && n_again == 1 && !ts_gemv_dev_prefetch(d));
            ts_gemv_cost_add(&all[how], &c);
            groups_fini(g);
            assert_clean(d);
            close_dev(d);
        }
    print_message("%llu commands, with weights ahead %llu: %llu wrong proofs\n", (unsigned long long)all[OFF].commands,
                  (unsigned long long)all[KEPT].commands, (unsigned long long)all[KEPT].wrong_proofs);
    assert_true(all[ON].wrong_proofs >= 1);
    assert_true(all[KEPT].wrong_proofs >= 10);
}

/* Once, before each command of a sequence in turn: just when weights lie in the array, just when not, in the
 * draining of a wrong guess, in the repetition after a failure. */
static void test_at_each_command(void **state) {
    (void)state;
    for (int nth = 1; nth <= 16; nth++) {
        const bool failing = nth % 3 == 0;
        ts_rng rng = ts_rng_seed((unsigned)nth);
        ts_gemv_dev *d = open_dev((uint64_t)nth, KEPT, NULL);
        ts_fake *f = ts_simnode_fake(node_of(d));
        group g[OPS];
        ts_gemv_cost c = {0};
        groups_init(g, d, &rng);
        ts_fake_reconfigure(f, nth + failing, 0);
        if (failing) ts_fake_end_command(f, nth, TS_FAKE_END_TIMEOUT); /* the one before it is done again */
        rounds(g, &c, &rng);
        /* a context that was just made may be configured with its first command: then it is the same */
        assert_true(ts_fake_reconfigured(f) == 1 || failing || nth == 1);
        groups_fini(g);
        assert_clean(d);
        close_dev(d);
    }
}

/* Two programs on the same columns: the driver gives both the same ones, the firmware takes turns. */
static void test_shared(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (manner how = OFF; how < MANNERS; how++) {
            ts_rng rng = ts_rng_seed((unsigned)profile);
            ts_err err;
            ts_simnode *sim;
            ts_gemv_dev *d[2];
            group g[2][OPS];
            ts_gemv_cost c = {0};
            assert_ok(ts_simnode_new(
                &sim, &(ts_simnode_options){.strict = true, .profile = (ts_fake_profile)profile, .gap = 1000}, &err));
            for (int i = 0; i < 2; i++) {
                d[i] = open_dev(0, how, ts_simnode_io(sim));
                groups_init(g[i], d[i], &rng);
            }
            for (int step = 0; step < 4 * OPS; step++) {
                int who = step < 2 * OPS ? step % 2 : (int)ts_rng_below(&rng, 2), now = step / 2 % OPS;
                ts_status s = group_run(&g[who][now], 1 + (uint32_t)step % 3, &g[who][(now + 1) % OPS], &c, &rng, &err);
                if (s != TS_OK) fail_msg("step %d: %s", step, err.msg);
            }
            assert_int_equal(c.wrong_proofs > 0, how == KEPT);
            /* seen in the list of contexts */
            assert_int_equal(ts_gemv_dev_prefetch(d[0]) || ts_gemv_dev_prefetch(d[1]), how == KEPT);
            assert_true(ts_fake_reconfigured(ts_simnode_fake(sim)) > 10);
            for (int i = 0; i < 2; i++) {
                groups_fini(g[i]);
                close_dev(d[i]);
            }
            const ts_fake_verdict *v = ts_fake_first_violation(ts_simnode_fake(sim));
            if (v->rule != TS_FAKE_OK) fail_msg("%s broke rule %s: %s", v->call, ts_fake_rule_name(v->rule), v->text);
            ts_simnode_free(sim);
        }
}

/* Weights that are never the right ones: the second wrong proof is the end, in one line. */
static void test_twice(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(1);
    ts_err err;
    ts_gemv_dev *d;
    ts_gemv_op *op;
    ts_gemv_cost c = {0};
    ts_qact x;
    float in[256], out[8], *y = out;
    size_t ld = 8;
    assert_ok(open_sim_dev(&d, &(ts_simnode_options){0}, (ts_gemv_dev_options){0}, &err));
    assert_ok(ts_gemv_op_new(&op, d, &(ts_gemv_shape){TS_Q8_0, 8, 256}, 1, &err)); /* and no ts_gemv_op_packed */
    fill_x(in, 256, RANDOM, &rng);
    assert_ok(ts_qact_init(&x, 256, 1, &err));
    ref.quant32(in, 256, 1, 0, &x);
    assert_status(ts_gemv_op_run(op, &x, 1, &y, &ld, NULL, &ref, pool, &c, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "NPU: the array has not computed with the weights that it was given (core 0"));
    assert_null(strchr(err.msg, '\n'));
    assert_int_equal(c.wrong_proofs, 2);
    ts_gemv_op_packed(op);
    assert_ok(ts_gemv_op_run(op, &x, 1, &y, &ld, NULL, &ref, pool, &c, &err)); /* and all is well again */
    assert_int_equal(c.wrong_proofs, 2);
    ts_gemv_op_free(op);
    close_dev(d);
    ts_qact_fini(&x);
}

static int setup(void **state) {
    (void)state;
    ts_err err;
    ts_kern_init(&ref, TS_CPU_REF);
    ts_log_sink(drop_line, NULL, TS_LOG_DEBUG);
    return ts_pool_new(&pool, 2, &err) != TS_OK;
}
static int teardown(void **state) {
    (void)state;
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
    ts_pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configured_anew),
        cmocka_unit_test(test_at_each_command),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_twice),
    };
    return cmocka_run_group_tests_name("guard", tests, setup, teardown);
}
