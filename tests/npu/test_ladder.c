/* The ladder: to the top on the simulated NPU in every profile, rung by rung on the fake node, and at each rung the
 * failures that end it there: the message, nothing after it, nothing left behind. */
#include "clocked.h"
#include "loopback.h"
#include "support/alloc_fail.h"
#include "support/test.h"

#include "npu/ladder.h"
#include "sim/simnode.h"
#include "xdna/uapi.h"

#include <errno.h>

static void keep(void *ud, const char *line) {
    ts_buf *b = ud;
    if (!ts_buf_printf(b, "%s\n", line)) ts_buf_clear(b);
}

static void assert_clean(ts_fake *f) {
    const ts_fake_verdict *v = ts_fake_first_violation(f);
    if (v->rule != TS_FAKE_OK) fail_msg("%s broke rule %s: %s", v->call, ts_fake_rule_name(v->rule), v->text);
}

static double figure(const ts_ladder_result *r, const char *name) {
    for (int i = 0; i < r->n_figures; i++)
        if (!strcmp(r->figure[i].name, name)) return r->figure[i].value;
    fail_msg("there is no figure %s", name);
    return 0;
}

static void in_range(const ts_ladder_result *r, const char *name, double low, double high, double slack) {
    double v = figure(r, name);
    low *= 1 - slack, high *= 1 + slack;
    if (!(v >= low && v <= high)) fail_msg("%s is %g, not %g to %g", name, v, low, high);
}

/* All rungs through driver, strict node and array; the times are the model's, so they can be held against what was
 * measured on real machines (docs/npu/simulator.md): 110 to 257 us for a command, 1 us for 1 KiB through a channel,
 * 14 and 27 GB/s. */
static void test_top(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        ts_err err = {.msg = ""};
        ts_simnode *n;
        ts_ladder_result r;
        ts_buf text = {0};
        const ts_simnode_options so = {.profile = (ts_fake_profile)profile, .strict = true, .seed = (uint64_t)profile};
        assert_ok(ts_simnode_new(&n, &so, &err));
        const ts_ladder_options o = {.io = ts_simnode_io(n), .path = "npu-sim", .meter = ts_simnode_meter(n),
            .say = keep, .ud = &text};
        if (ts_npu_ladder(&o, &r, &err) != TS_OK) fail_msg("%s\n%s\n%s", text.data, err.msg, ts_simnode_report(n));
        assert_int_equal(r.reached, TS_LADDER_RUNGS);
        static const char *const said[] = {"firmware 1.5.5.391", "1 queries: ok", "2 heap: ok", "3 empty: ok",
                                           "4 loop-back: ok", "5 columns: ok", "doubles 1024 words", "6 core: ok",
                                           "q4_0: 520 rows of 2048, 4 tokens: the CPU's bits", "q8_0:", "q4_K:",
                                           "q6_K:", "7 gemv: ok", "8 read: ok", "a command with nothing to do:",
                                           "(simulated)", "9 latency: ok"};
        const char *at = text.data;
        for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
            if (!(at = strstr(at, said[i]))) fail_msg("\"%s\" is missing in\n%s", said[i], text.data);
        if (strstr(text.data, "measured")) fail_msg("simulated figures are called measured:\n%s", text.data);
        const double slack = so.seed ? 0.15 : 0; /* another seed shakes all latencies */
        in_range(&r, "clock", TS_SIM_CLOCK_MHZ, TS_SIM_CLOCK_MHZ, slack);
        in_range(&r, "latency", 110, 257, slack);
        in_range(&r, "read_1", 3.5, 4.1, slack);
        in_range(&r, "read_2", 7, 8.2, slack);
        in_range(&r, "read_4", 14, 16, slack);
        in_range(&r, "read_8", 27, 30, slack);
        assert_clean(ts_simnode_fake(n));
        ts_buf_free(&text);
        ts_simnode_free(n);
    }
}

/* As far as asked, and no farther; the loop-back array stands behind the node up to the rungs that it can do. */
static void test_to(void **state) {
    (void)state;
    static const int runs[] = {0, 0, 0, 1, 2, 3};
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int to = 1; to <= 5; to++) {
            ts_err err = {.msg = ""};
            ts_fake *f;
            loopback l;
            ts_buf text = {0};
            ts_ladder_result r;
            loopback_init(&l);
            assert_ok(
                ts_fake_new(&f, &(ts_fake_options){.profile = (ts_fake_profile)profile, .array = &l.table}, &err));
            clocked chip;
            const ts_ladder_options o = {.io = clocked_init(&chip, ts_fake_io(f)), .path = "x",
                                         .evidence = profile == TS_FAKE_7_3 ? TS_VIRTUAL : TS_MEASURED, .to = to,
                                         .say = keep, .ud = &text};
            assert_int_equal(ts_ladder_evidence(&o), o.evidence);
            assert_ok(ts_npu_ladder(&o, &r, &err));
            assert_int_equal(r.reached, to);
            assert_int_equal(r.info.firmware[3], 391);
            assert_non_null(strstr(text.data, "firmware 1.5.5.391\n"));
            assert_non_null(strstr(text.data, "clocks 400 and 800 MHz (controller, array), idle\n"));
            assert_int_equal(strstr(text.data, "clocks 800 and 1600 MHz (controller, array), with a context\n") != NULL,
                             to > 2);
            assert_true(figure(&r, "clock_idle") == CLOCKED_IDLE);
            assert_true(to < 3 || figure(&r, "clock") == CLOCKED_BUSY);
            assert_int_equal(strstr(text.data, "5 columns: ok") != NULL, to == 5);
            assert_null(strstr(text.data, "simulated"));
            assert_int_equal(strstr(text.data, "measured") != NULL, to > 2 && o.evidence == TS_MEASURED);
            assert_int_equal(strstr(text.data, "us (in a virtual machine)") != NULL ||
                                 strstr(text.data, "command (in a virtual machine)") != NULL,
                             to > 2 && o.evidence == TS_VIRTUAL);
            assert_int_equal(l.runs, runs[to]);
            assert_int_equal(l.loads, l.unloads);
            assert_clean(f);
            ts_buf_free(&text);
            ts_fake_free(f);
        }
    assert_string_equal(ts_ladder_rung_name(4), "loop-back");
    assert_string_equal(ts_ladder_rung_name(0), "?");
    assert_string_equal(ts_ladder_rung_name(TS_LADDER_RUNGS + 1), "?");
}

/* No clock of a moment without a context is taken for the clock of a run. */
static void test_clocks(void **state) {
    (void)state;
    ts_err err = {.msg = ""};
    ts_simnode *n;
    ts_ladder_result r;
    clocked chip;
    ts_buf text = {0};
    assert_ok(ts_simnode_new(&n, &(ts_simnode_options){.profile = TS_FAKE_7_3}, &err));
    const ts_ladder_options o = {
        .io = clocked_init(&chip, ts_simnode_io(n)), .path = "x", .meter = ts_simnode_meter(n), .to = 8,
        .say = keep, .ud = &text};
    assert_ok(ts_npu_ladder(&o, &r, &err));
    assert_true(figure(&r, "clock_idle") == CLOCKED_IDLE && figure(&r, "clock") == CLOCKED_BUSY &&
                figure(&r, "clock_busy") == CLOCKED_BUSY);
    const char *at = text.data;
    for (int i = 0; i < 4; i++) {
        assert_non_null(at = strstr(at, ", array at 1600 MHz (simulated)"));
        at++;
    }
    assert_null(strstr(text.data, "array at 800"));
    assert_int_equal(chip.contexts, 0);
    ts_buf_free(&text);
    ts_simnode_free(n);
}

/* What a device does to the driver, by rung. */
static void test_stops(void **state) {
    (void)state;
    static const struct {
        ts_fake_options node;
        uint32_t request;
        int nth, error, reached;
        ts_fake_ending ending;
        bool flip, refuse;
        const char *text;
    } k[] = {
        {.request = TS_FAKE_OPEN, .nth = 1, .error = EACCES,
         .text = "rung 1, queries: NPU: opening the NPU failed (Permission"},
        {.node = {.firmware = {1, 4, 0, 1}}, .text = "rung 1, queries: NPU: firmware 1.4.0.1 is too old"},
        {.request = TS_IOCTL_CREATE_BO, .nth = 1, .error = ENOMEM, .reached = 1,
         .text = "rung 2, heap: NPU: setting up"},
        {.request = TS_FAKE_MMAP, .nth = 1, .error = EAGAIN, .reached = 1, .text = "raise the memlock limit"},
        {.request = TS_IOCTL_CREATE_BO, .nth = 3, .error = ENOMEM, .reached = 1,
         .text = "rung 2, heap: a test buffer (4096 bytes)"},
        {.request = TS_IOCTL_CREATE_HWCTX, .nth = 1, .error = EIO, .reached = 1,
         .text = "rung 2, heap: NPU: creating an NPU context"},
        {.node = {.users = {{.pid = 4711, .start_col = 1, .n_cols = 4}}, .n_users = 1},
         .reached = 1,
         .text = "process 4711"},
        {.refuse = true, .reached = 2, .text = "rung 3, empty: NPU: the command ended as ERROR"},
        {.ending = TS_FAKE_END_TIMEOUT, .nth = 1, .reached = 2,
         .text = "rung 3, empty: NPU: the command ended as TIMEOUT"},
        {.ending = TS_FAKE_END_ABORT, .nth = 1, .reached = 2, .text = "rung 3, empty: NPU: the command ended as ABORT"},
        {.ending = TS_FAKE_END_ERROR, .nth = 2, .reached = 3,
         .text = "rung 4, loop-back: NPU: the command ended as ERROR"},
        {.flip = true,
         .reached = 3,
         .text = "rung 4, loop-back: NPU: word 0 of 1024 came back as 0xfffffffe, not 0x00000001"},
        {.request = TS_IOCTL_CREATE_HWCTX, .nth = 4, .error = EIO, .reached = 4, .text = "rung 5, columns"},
        {.request = TS_IOCTL_EXEC_CMD, .nth = 3, .error = EIO, .reached = 4, .text = "rung 5, columns"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_err err = {.msg = ""};
        ts_fake *f;
        loopback l;
        ts_buf text = {0};
        ts_ladder_result r;
        loopback_init(&l);
        l.flip = k[i].flip;
        l.refuse_pdi = k[i].refuse;
        ts_fake_options node = k[i].node;
        node.profile = TS_FAKE_6_18;
        node.array = &l.table;
        assert_ok(ts_fake_new(&f, &node, &err));
        if (k[i].request) ts_fake_fail(f, k[i].request, k[i].nth, k[i].error);
        if (k[i].ending) ts_fake_end_command(f, k[i].nth, k[i].ending);
        const ts_ladder_options o = {.io = ts_fake_io(f), .path = "x", .say = keep, .ud = &text};
        ts_status s = ts_npu_ladder(&o, &r, &err);
        if (s == TS_OK || !strstr(err.msg, k[i].text) || r.reached != k[i].reached)
            fail_msg("case %zu: status %d, rung %d, \"%s\"", i, s, r.reached, err.msg);
        /* in rung 3 */
        assert_int_equal(strstr(text.data, "amdxdna.force_cmdlist=0") != NULL, k[i].ending == TS_FAKE_END_TIMEOUT);
        const char *failed = strstr(text.data, "FAILED. Nothing more is tried.\n");
        assert_non_null(failed);
        assert_int_equal(failed[strlen("FAILED. Nothing more is tried.\n")], 0);
        if (!k[i].refuse) assert_clean(f);
        ts_buf_free(&text);
        ts_fake_free(f);
    }
}

/* The upper rungs on the simulated NPU: commands that end badly, and an array that computes something else. */
static void test_stops_above(void **state) {
    (void)state;
    static const struct {
        /* 3 commands are given up to rung 5, 2 in 6, 1 for each of four types in 7 and more above */
        int command, reached;
        ts_fake_ending ending;
        const char *text;
    } k[] = {
        {4, 5, TS_FAKE_END_TIMEOUT, "rung 6, core: NPU: the command ended as TIMEOUT"},
        {20, 8, TS_FAKE_END_ERROR, "rung 9, latency: NPU: the command ended as ERROR"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_err err = {.msg = ""};
        ts_simnode *n;
        ts_ladder_result r;
        ts_buf text = {0};
        assert_ok(ts_simnode_new(&n, &(ts_simnode_options){.strict = true}, &err));
        ts_fake_end_command(ts_simnode_fake(n), k[i].command, k[i].ending);
        const ts_ladder_options o = {.io = ts_simnode_io(n), .path = "x", .meter = ts_simnode_meter(n),
            .say = keep, .ud = &text};
        ts_status s = ts_npu_ladder(&o, &r, &err);
        if (s == TS_OK || !strstr(err.msg, k[i].text) || r.reached != k[i].reached)
            fail_msg("case %zu: status %d, rung %d, \"%s\"\n%s", i, s, r.reached, err.msg, text.data);
        assert_clean(ts_simnode_fake(n));
        ts_buf_free(&text);
        ts_simnode_free(n);
    }
}

/* Another program comes to the same columns while the last rung is climbed: what the firmware's turns cost the array
 * is not laid at the firmware's door. */
struct shared {
    ts_buf text;
    ts_fake *f;
    bool come;
};

static void come_late(void *ud, const char *line) {
    struct shared *s = ud;
    keep(&s->text, line);
    if (strcmp(line, "9 latency ...")) return;
    for (uint32_t col = 1; s->come && col <= 4; col++)
        ts_fake_add_user(s->f, &(ts_fake_user){.pid = 4711, .start_col = col, .n_cols = 1});
    ts_fake_reconfigure(s->f, 1, 1);
}

static void test_shared(void **state) {
    (void)state;
    for (int come = 0; come < 2; come++) {
        ts_err err = {.msg = ""};
        ts_simnode *n;
        ts_ladder_result r;
        assert_ok(ts_simnode_new(&n, &(ts_simnode_options){.profile = TS_FAKE_7_3}, &err));
        struct shared s = {.f = ts_simnode_fake(n), .come = come};
        const ts_ladder_options o = {.io = ts_simnode_io(n), .path = "x", .meter = ts_simnode_meter(n),
            .say = come_late, .ud = &s};
        ts_status st = ts_npu_ladder(&o, &r, &err);
        assert_status(st, come ? TS_OK : TS_E_DEVICE);
        if (!come) assert_non_null(strstr(err.msg, "rung 9, latency: NPU: word 0 of the memtile"));
        assert_int_equal(strstr(s.text.data, "1 other context on these columns: the firmware takes turns") != NULL,
                         come);
        assert_int_equal(strstr(s.text.data, "a memtile has not kept its words, as must be where columns are shared") !=
                             NULL,
                         come);
        ts_buf_free(&s.text);
        ts_simnode_free(n);
    }
}

static bool stop_after(void *ud) {
    int *left = ud;
    return (*left)-- == 0;
}

/* At any command somebody may have enough of it: the rung ends there, and nothing is left behind. */
static void test_stopped(void **state) {
    (void)state;
    int n = 0;
    for (bool through = false; !through; n++) {
        ts_err err = {.msg = ""};
        ts_simnode *sim;
        ts_ladder_result r;
        ts_buf text = {0};
        int left = n;
        assert_ok(
            ts_simnode_new(&sim, &(ts_simnode_options){.strict = true, .profile = (ts_fake_profile)(n % 3)}, &err));
        const ts_ladder_options o = {.io = ts_simnode_io(sim), .path = "x", .meter = ts_simnode_meter(sim), .to = 7,
                                     .stop = {stop_after, &left}, .say = keep, .ud = &text};
        ts_status s = ts_npu_ladder(&o, &r, &err);
        through = s == TS_OK;
        if (!through) {
            assert_status(s, TS_E_CANCELLED);
            assert_true(r.reached < 7 && strstr(err.msg, ": stopped") && strstr(text.data, ": stopped.\n"));
        }
        assert_clean(ts_simnode_fake(sim));
        ts_buf_free(&text);
        ts_simnode_free(sim);
    }
    assert_true(n >= 9);
}

static bool climb_sim(void *ud) {
    int to = *(const int *)ud;
    ts_simnode *n;
    ts_ladder_result r;
    if (ts_simnode_new(&n, &(ts_simnode_options){.profile = TS_FAKE_7_3}, NULL) != TS_OK) return false;
    const ts_ladder_options o = {.io = ts_simnode_io(n), .path = "x", .meter = ts_simnode_meter(n), .to = to};
    ts_status s = ts_npu_ladder(&o, &r, NULL);
    /* else the array may not have come to be, which looks like a bad PDI */
    if (s == TS_OK) assert_clean(ts_simnode_fake(n));
    ts_simnode_free(n);
    return s == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    int to = 4;
    alloc_fail_loop(climb_sim, &to, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_top),         cmocka_unit_test(test_to),
                                       cmocka_unit_test(test_clocks),      cmocka_unit_test(test_stops),
                                       cmocka_unit_test(test_stops_above), cmocka_unit_test(test_stopped),
                                       cmocka_unit_test(test_shared),      cmocka_unit_test(test_alloc)};
    return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
