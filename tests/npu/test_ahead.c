/* Transfers that outlive their command: what the checker takes and what it refuses, and that the driver only lets
 * commands follow each other that fit. */
#include "designs.h"
#include "loopback.h"

#include "xdna/cmd.h"

enum { W = 64, RING = 2 * W };

static ts_npu_config *config_of(ts_design *d, int n_cols) {
    ts_npu_config *c;
    ts_buf pdi = {0};
    ts_err err;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_npu_config_check(&c, &ts_npu1, pdi.data, pdi.len, n_cols, NULL, 0, NULL, &err));
    ts_buf_free(&pdi);
    ts_design_free(d);
    return c;
}

/* `out` words come back, `in` go there, `ahead` for the next command; `before` were sent by the one before. */
static void plan(ts_dispatch *p, uint32_t before, uint32_t in, uint32_t out, uint32_t ahead, uint8_t bd) {
    ts_dispatch_init(p, &ts_npu1, 1);
    if (before) ts_dispatch_begin(p, &(ts_prefetched){.n = 1, .task = {{.bd = 12, .words = before}}});
    ts_dispatch_task(p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1, .words = out, .token = true});
    if (in) ts_dispatch_task(p, &(ts_shim_task){.dir = TS_MM2S, .words = in});
    if (ahead) ts_dispatch_task(p, &(ts_shim_task){.dir = TS_MM2S, .words = ahead, .ahead = true, .bd = bd});
    ts_dispatch_wait(p, 0, TS_S2MM, 0);
    if (before || in) ts_dispatch_implies(p, 0, TS_MM2S, 0);
}

typedef struct lists {
    ts_prefetched before, behind;
} lists;

/* What the checker says of a plan whose lists have been changed by `spoil`. */
static ts_rule verdict(uint32_t before, uint32_t in, uint32_t out, uint32_t ahead, void (*spoil)(lists *l)) {
    static const uint64_t bytes[2] = {4096, 4096};
    ts_npu_config *c = config_of(loopback_design(1, TS_ROW_MEM, W), 1);
    ts_npu_command *cmd = NULL;
    ts_dispatch p;
    ts_buf txn = {0};
    ts_rule rule;
    ts_err err;
    plan(&p, before, in, out, ahead, 13);
    assert_ok(ts_dispatch_finish(&p, &txn, &err));
    lists l = {p.in, p.out};
    if (spoil) spoil(&l);
    ts_status s = ts_npu_command_check_prefetched(&cmd, c, txn.data, txn.len, bytes, 2, p.claims, p.n_claims, &l.before,
                                                  &l.behind, &rule, &err);
    assert_int_equal(s == TS_OK, rule == TS_RULE_NONE);
    ts_npu_command_free(cmd);
    ts_npu_config_free(c);
    ts_buf_free(&txn);
    ts_dispatch_free(&p);
    return rule;
}

static void not_told(lists *l) { l->behind.n = 0; }
static void fewer_told(lists *l) { l->behind.task[0].words -= W; }
static void with_header_told(lists *l) { l->behind.task[0].packet_id = 3, l->behind.task[0].packet = true; }
static void other_channel_told(lists *l) { l->behind.task[0].channel = 1; }
static void other_descriptor_told(lists *l) { l->behind.task[0].bd = 14; }
static void nothing_before(lists *l) { l->before.n = 0; }
static void twice_before(lists *l) { l->before.task[l->before.n++] = l->before.task[0]; }
static void no_such_column(lists *l) { l->before.task[0].col = 3; }
static void live_descriptor(lists *l) { l->before.task[0].bd = 0; }

static void test_rules(void **state) {
    (void)state;
    assert_int_equal(verdict(0, RING, RING, RING, NULL), TS_RULE_NONE);
    assert_int_equal(verdict(RING, 0, RING, 0, NULL), TS_RULE_NONE);
    assert_int_equal(verdict(W, RING, RING + W, W, NULL), TS_RULE_NONE);
    assert_int_equal(verdict(0, RING, RING, RING + W, NULL), TS_RULE_AHEAD);
    assert_int_equal(verdict(0, RING, RING, RING, fewer_told), TS_RULE_AHEAD);
    assert_int_equal(verdict(0, RING, RING, RING, other_descriptor_told), TS_RULE_AHEAD);
    assert_int_equal(verdict(0, RING, RING, RING, not_told), TS_RULE_WORDS);
    assert_int_equal(verdict(0, RING, RING, RING, with_header_told), TS_RULE_AHEAD);
    assert_int_equal(verdict(0, RING, RING, RING, other_channel_told), TS_RULE_ROUTE);
    assert_int_equal(verdict(W, W, RING, 0, nothing_before), TS_RULE_WORDS);
    assert_int_equal(verdict(W, W, RING, 0, twice_before), TS_RULE_AHEAD);
    assert_int_equal(verdict(W, W, RING, 0, no_such_column), TS_RULE_AHEAD);
    assert_int_equal(verdict(W, W, RING, 0, live_descriptor), TS_RULE_BD_LIVE);
    assert_int_equal(verdict(0, RING, RING + W, W, NULL), TS_RULE_WORDS); /* what goes ahead does not come back yet */
}

/* The builder refuses what cannot be meant. */
static void test_builder(void **state) {
    (void)state;
    static const ts_shim_task bad[] = {
        {.dir = TS_S2MM, .arg = 1, .words = W, .ahead = true, .bd = 12},
        {.dir = TS_MM2S, .words = W, .ahead = true, .bd = 12, .token = true},
        {.dir = TS_MM2S, .words = W, .ahead = true, .bd = 12, .repeat = 2},
        {.dir = TS_MM2S, .words = W, .ahead = true, .bd = 16},
        {.dir = TS_MM2S, .words = W, .ahead = true, .bd = 15},
    };
    ts_err err;
    ts_buf b = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ts_dispatch p;
        ts_dispatch_init(&p, &ts_npu1, 1);
        ts_dispatch_begin(&p, &(ts_prefetched){.n = 1, .task = {{.bd = 15, .words = W}}});
        ts_dispatch_task(&p, &bad[i]);
        assert_status(ts_dispatch_finish(&p, &b, &err), TS_E_INVAL);
        ts_dispatch_free(&p);
    }
    ts_buf_free(&b);
}

/* Through the driver: in order it works, out of order it is refused before anything reaches the device. */
static void test_order(void **state) {
    (void)state;
    ts_err err;
    ts_fake *f;
    loopback l;
    ts_npu_dev *dev;
    ts_npu_ctx *ctx;
    ts_npu_bo in, out;
    ts_npu_command *checked[3];
    ts_npu_cmd *cmd[3];
    /* first, second, plain */
    static const uint32_t plans[3][4] = {{0, RING, RING, W}, {W, W, RING, 0}, {0, RING, RING, 0}};
    loopback_init(&l);
    assert_ok(ts_fake_new(&f, &(ts_fake_options){.profile = TS_FAKE_6_18, .array = &l.table}, &err));
    ts_npu_config *c = config_of(loopback_design(1, TS_ROW_MEM, W), 1);
    assert_ok(ts_npu_dev_open(&dev, ts_fake_io(f), "x", &err));
    assert_ok(ts_npu_bo_init(&in, dev, TS_NPU_SHARED, 4096, "in", &err));
    assert_ok(ts_npu_bo_init(&out, dev, TS_NPU_SHARED, 4096, "out", &err));
    assert_ok(ts_npu_ctx_new(&ctx, dev, c, &err));
    ts_npu_bo_flush(&in, 0, 4096);
    for (int i = 0; i < 3; i++) {
        ts_dispatch p;
        plan(&p, plans[i][0], plans[i][1], plans[i][2], plans[i][3], 12);
        assert_ok(ts_npu_command_from(&checked[i], c, &p, (uint64_t[]){4096, 4096}, 2, NULL, &err));
        ts_dispatch_free(&p);
        assert_ok(ts_npu_cmd_new(&cmd[i], ctx, checked[i], &err));
    }
    const ts_npu_arg args[2] = {{.bo = &in}, {.bo = &out}};
    static const struct {
        int cmd;
        ts_status want;
    } steps[] = {{1, TS_E_INVAL}, {0, TS_OK},      {0, TS_E_INVAL}, {2, TS_E_INVAL},
                 {1, TS_OK},      {1, TS_E_INVAL}, {2, TS_OK},      {0, TS_OK}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_status(ts_npu_cmd_submit(cmd[steps[i].cmd], args, 2, &err), steps[i].want);
        if (steps[i].want == TS_OK) assert_ok(ts_npu_cmd_wait(cmd[steps[i].cmd], 1000000000, &err));
    }
    assert_ok(ts_npu_ctx_recover(ctx, &err)); /* a new context has nothing under way */
    assert_status(ts_npu_cmd_submit(cmd[1], args, 2, &err), TS_E_INVAL);
    assert_ok(ts_npu_cmd_submit(cmd[2], args, 2, &err));
    assert_ok(ts_npu_cmd_wait(cmd[2], 1000000000, &err));
    for (int i = 0; i < 3; i++) {
        ts_npu_cmd_free(cmd[i]);
        ts_npu_command_free(checked[i]);
    }
    ts_npu_ctx_free(ctx);
    ts_npu_bo_fini(&in);
    ts_npu_bo_fini(&out);
    ts_npu_dev_close(dev);
    ts_npu_config_free(c);
    ts_fake_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
