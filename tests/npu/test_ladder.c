/* The ladder over the fake node: it reaches the top, stops at the first failure, and leaves nothing behind. */
#include "loopback.h"
#include "support/alloc_fail.h"
#include "support/test.h"

#include "xdna/ladder.h"
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

static void test_top(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int to = 1; to <= TS_LADDER_RUNGS; to++) {
            ts_err err;
            ts_fake *f;
            loopback l;
            ts_buf text = {0};
            int reached = -1;
            loopback_init(&l);
            assert_ok(ts_fake_new(
                &f, &(ts_fake_options){.profile = (ts_fake_profile)profile, .array = &l.table}, &err));
            assert_ok(ts_npu_ladder(ts_fake_io(f), "x", to, keep, &text, &reached, &err));
            assert_int_equal(reached, to);
            assert_non_null(strstr(text.data, "firmware 1.5.5.391, clocks 847 and 1600 MHz"));
            assert_int_equal(strstr(text.data, "7 repeat: ok") != NULL, to == 7);
            assert_int_equal(l.runs, to < 4 ? 0 : to < 5 ? 1 : to < 6 ? 2 : to < 7 ? 3 : 67);
            assert_int_equal(l.loads, l.unloads);
            assert_clean(f);
            ts_buf_free(&text);
            ts_fake_free(f);
        }
}

static void test_stops(void **state) {
    (void)state;
    static const struct {
        uint32_t request;
        int nth, error, reached;
        ts_fake_ending ending;
        bool flip, refuse;
        const char *text;
    } k[] = {
        {.request = TS_FAKE_OPEN,
         .nth = 1,
         .error = EACCES,
         .reached = 0,
         .text = "rung 1, open: NPU: opening the NPU failed (Permission"},
        {.request = TS_IOCTL_CREATE_BO,
         .nth = 1,
         .error = ENOMEM,
         .reached = 0,
         .text = "64 MiB heap failed"},
        {.request = TS_IOCTL_CREATE_BO,
         .nth = 3,
         .error = ENOMEM,
         .reached = 1,
         .text = "rung 2, buffers: a test buffer (4096 bytes)"},
        {.request = TS_IOCTL_CREATE_HWCTX,
         .nth = 1,
         .error = ENOSPC,
         .reached = 2,
         .text = "rung 3, context: NPU: creating"},
        {.refuse = true, .reached = 2, .text = "rung 3, context: NPU: configuring the NPU failed"},
        {.ending = TS_FAKE_END_TIMEOUT,
         .nth = 1,
         .reached = 3,
         .text = "rung 4, no-op: NPU: the command ended as TIMEOUT"},
        {.ending = TS_FAKE_END_ERROR,
         .nth = 2,
         .reached = 4,
         .text = "rung 5, loop-back: NPU: the command ended as ERROR"},
        {.flip = true,
         .reached = 4,
         .text = "rung 5, loop-back: NPU: word 0 of 1024 came back as 0xfffffffe, not 0x00000001"},
        {.request = TS_IOCTL_CREATE_HWCTX, .nth = 3, .error = EBUSY, .reached = 5, .text = "rung 6, columns"},
        {.request = TS_IOCTL_EXEC_CMD, .nth = 20, .error = EIO, .reached = 6, .text = "rung 7, repeat"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_err err = {.msg = ""};
        ts_fake *f;
        loopback l;
        ts_buf text = {0};
        int reached = -1;
        loopback_init(&l);
        l.flip = k[i].flip;
        l.refuse_pdi = k[i].refuse;
        assert_ok(ts_fake_new(&f, &(ts_fake_options){.profile = TS_FAKE_6_18, .array = &l.table}, &err));
        if (k[i].request) ts_fake_fail(f, k[i].request, k[i].nth, k[i].error);
        if (k[i].ending) ts_fake_end_command(f, k[i].nth, k[i].ending);
        ts_status s = ts_npu_ladder(ts_fake_io(f), "x", TS_LADDER_RUNGS, keep, &text, &reached, &err);
        if (s == TS_OK || !strstr(err.msg, k[i].text) || reached != k[i].reached)
            fail_msg("case %zu: status %d, rung %d, \"%s\"", i, s, reached, err.msg);
        assert_non_null(strstr(text.data, "FAILED. Nothing more is tried."));
        if (!k[i].refuse) assert_clean(f);
        ts_buf_free(&text);
        ts_fake_free(f);
    }
}

static void drop(void *ud, const char *line) {
    (void)ud, (void)line;
}

static bool climb(void *ud) {
    (void)ud;
    ts_fake *f;
    if (ts_fake_new(&f, &(ts_fake_options){.profile = TS_FAKE_7}, NULL) != TS_OK) return false;
    ts_status s = ts_npu_ladder(ts_fake_io(f), "x", 4, drop, NULL, NULL, NULL);
    assert_clean(f);
    ts_fake_free(f);
    return s == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(climb, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_top), cmocka_unit_test(test_stops),
                                       cmocka_unit_test(test_alloc)};
    return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
