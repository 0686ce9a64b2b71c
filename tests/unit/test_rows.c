/* A layer's rows on several devices at once: the logits are those of the CPU, the ledger says who ran which rows,
 * loading goes from nothing to everything once, and listeners are told what happened however the rows lie. The devices
 * are npu-sim and a toy (support/toy_dev.h). */
#include "support/alloc_fail.h"
#include "support/test.h"
#include "support/toy_dev.h"

#include "device/dev_npu.h"
#include "engine/engine.h"
#include "model/actstats.h"
#include "report/shape.h"

enum { VOCAB = 270 /* no whole groups of 16 rows */, TOKENS = 7 };

#define SHAPE(name_, arch_, layers, d, ff, heads, kv_heads, hd)                                                     \
    {                                                                                                               \
        .name = name_, .arch = arch_, .n_layer = layers, .d_model = d, .d_ff = ff, .n_head = heads,                 \
        .n_kv_head = kv_heads, .head_dim = hd, .n_vocab = VOCAB, .n_ctx = 64, .rope_base = 10000, .norm_eps = 1e-5f \
    }

static const struct {
    ts_shape shape;
    ts_mix mix;
} models[] = {
    {SHAPE("q8_0", "llama", 2, 96, 160, 3, 1, 32), {TS_Q8_0, TS_Q8_0, TS_Q8_0}},
    {SHAPE("qwen2, biases, two types", "qwen2", 2, 224, 128, 7, 1, 32), {TS_Q8_0, TS_Q4_0, TS_Q4_0}},
    {SHAPE("q4_k_m", "llama", 2, 256, 768, 4, 2, 64), {TS_Q4_K, TS_Q6_K, TS_Q6_K}},
};
enum { MODELS = sizeof models / sizeof *models };

static const ts_device *const known[] = {&ts_device_npu_sim, &ts_device_toy, NULL};

static void *file[MODELS];
static size_t file_len[MODELS];

static ts_status open_on(ts_engine **e, int m, ts_engine_opts o, ts_err *err) {
    o.n_threads = 2;
    return ts_engine_open_with(e, NULL, file[m], file_len[m], &o, known, err);
}

/* All at once, or in two pieces; then one by one. */
static ts_status run(ts_engine *e, size_t first, float *logits, ts_err *err) {
    ts_session *s;
    TS_TRY(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = TOKENS}, err));
    ts_status st = TS_OK;
    ts_token token[TOKENS];
    for (int i = 0; i < TOKENS; i++) token[i] = (i * 97 + 5) % VOCAB;
    for (size_t n = first; n <= TOKENS && st == TS_OK; n++) st = ts_session_sync(s, token, n, err);
    if (st == TS_OK && logits) memcpy(logits, ts_session_logits(s), VOCAB * sizeof *logits);
    ts_session_free(s);
    return st;
}

static void cpu_logits(int m, float *out) {
    ts_engine *e;
    ts_err err;
    assert_ok(open_on(&e, m, (ts_engine_opts){0}, &err));
    assert_ok(run(e, TOKENS, out, &err));
    ts_engine_close(e);
}

/* Rows of each kind of operation, by device. */
static void check_ledger(const ts_engine *e, const char *device, bool split) {
    ts_ledger_row row[64];
    const size_t n = ts_engine_ledger(e, row, 64);
    uint64_t all[64] = {0}, checked = 0;
    bool seen_cpu = false;
    assert_in_range(n, 1, 64);
    for (size_t i = 0; i < n; i++) {
        if (!row[i].linear) continue;
        assert_in_range(row[i].rows, 1, row[i].rows_all);
        if (strcmp(row[i].device, "cpu") != 0) assert_non_null(strstr(device, row[i].device));
        else seen_cpu = true;
        checked += row[i].checked;
        assert_true(row[i].differ == 0 && row[i].sum_device == row[i].sum_cpu);
        assert_int_equal(strcmp(row[i].device, "cpu") != 0, row[i].checked != 0);
        all[i] = row[i].rows * row[i].tokens;
    }
    assert_int_equal(seen_cpu, split);
    assert_true(checked > 0);
    /* of one operation, the devices' rows are together those of all its matrices: the output layer, once a pass */
    uint64_t head = 0, head_all = 0;
    for (size_t i = 0; i < n; i++)
        if (row[i].linear && (!strcmp(row[i].op, "output") || !strcmp(row[i].op, "token_embd"))) {
            head += all[i];
            head_all = (uint64_t)row[i].rows_all * row[i].tokens;
        }
    assert_int_equal(head, head_all);
}

static void test_bits(void **state) {
    (void)state;
    static const struct {
        const char *device;
        bool split; /* the CPU has rows, too */
    } k[] = {
        {"toy", false},
        {"toy:alone", false},
        {"toy:rows=50%", true},
        {"toy:rows=10%", true},
        {"toy:alone,rows=80%", true},
        {"npu-sim:rows=50%", true},
        {"npu-sim:rows=30%,seed=3,no-prefetch", true},
        {"npu-sim:rows=50%+toy", false},
        {"toy:rows=20%,alone+npu-sim:rows=40%", true},
        {"toy:rows=20%+toy:rows=20%,alone+npu-sim:rows=20%+toy:rows=15%", true},
        {"toy:no-q4_0,allow-cpu-ops,rows=60%", true},
    };
    for (int m = 0; m < MODELS; m++) {
        float want[VOCAB], got[VOCAB];
        cpu_logits(m, want);
        for (size_t i = 0; i < sizeof k / sizeof *k; i++)
            for (int check = 0; check < 2; check++) {
                ts_engine *e;
                ts_err err;
                ts_model_info info;
                assert_ok(open_on(&e, m, (ts_engine_opts){.device = k[i].device, .ledger_check = check}, &err));
                assert_ok(run(e, check ? 1 : 5, got, &err));
                if (memcmp(want, got, sizeof want) != 0) fail_msg("%s on %s", models[m].shape.name, k[i].device);
                if (check) check_ledger(e, k[i].device, k[i].split);
                ts_engine_info(e, &info);
                assert_non_null(strstr(info.device, i > 6 || i < 5 ? "toy" : "npu-sim"));
                ts_engine_close(e);
            }
    }
}

/* What is split is packed once: the CPU has no copy of a device's rows. */
static void test_memory(void **state) {
    (void)state;
    uint64_t bytes[3];
    static const char *const device[] = {"cpu", "toy:rows=50%", "toy"};
    for (int i = 0; i < 3; i++) {
        ts_engine *e;
        ts_err err;
        ts_model_info info;
        assert_ok(open_on(&e, 2, (ts_engine_opts){.device = device[i]}, &err));
        ts_engine_info(e, &info);
        bytes[i] = info.weight_bytes;
        ts_engine_close(e);
    }
    assert_in_range(bytes[1], bytes[0] - 4096, bytes[0] + 4096);
    assert_in_range(bytes[2], bytes[0] - 4096, bytes[0] + 4096);
}

/* A device that fails, or gives other bits: who is told what. */
static void test_failures(void **state) {
    (void)state;
    ts_engine *e;
    ts_err err;
    float want[VOCAB], got[VOCAB];
    cpu_logits(1, want);
    assert_ok(open_on(&e, 1, (ts_engine_opts){.device = "npu-sim:rows=40%+toy:rows=40%,fail=4", .ledger = true}, &err));
    assert_status(run(e, 1, got, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, ": toy: it was told to fail"));
    assert_ok(run(e, 1, got, &err)); /* nothing was left under way */
    assert_memory_equal(want, got, sizeof want);
    ts_engine_close(e);
    assert_ok(open_on(&e, 1, (ts_engine_opts){.device = "toy:rows=40%,lie=3", .ledger_check = true}, &err));
    assert_ok(run(e, 1, got, &err));
    ts_ledger_row row[64];
    uint64_t differ = 0;
    for (size_t i = 0, n = ts_engine_ledger(e, row, 64); i < n; i++) differ += row[i].differ;
    assert_int_equal(differ, 1);
    ts_engine_ledger_reset(e);
    assert_int_equal(ts_engine_ledger(e, row, 64), 0);
    assert_ok(run(e, 1, got, &err));
    assert_memory_equal(want, got, sizeof want);
    for (size_t i = 0, n = ts_engine_ledger(e, row, 64); i < n; i++) assert_int_equal(row[i].differ, 0);
    ts_engine_close(e);
    assert_status(open_on(&e, 1, (ts_engine_opts){.device = "toy:no-q4_0"}, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, " cannot run on toy: it was told not to take q4_0; --allow-cpu-ops"));
    assert_status(open_on(&e, 1, (ts_engine_opts){.device = "toy:seed=1"}, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "known: no-q4_0, alone, fail=N, lie=N, rows=N%, allow-cpu-ops"));
}

struct progress {
    uint64_t done, all;
    unsigned calls, full;
};

static bool on_progress(void *ud, uint64_t done, uint64_t all) {
    struct progress *p = ud;
    if (p->calls++ && (done < p->done || all != p->all)) fail_msg("loading went from %llu/%llu to %llu/%llu",
                                                                  (unsigned long long)p->done,
                                                                  (unsigned long long)p->all, (unsigned long long)done,
                                                                  (unsigned long long)all);
    assert_in_range(done, 1, all);
    p->done = done, p->all = all;
    p->full += done == all;
    return true;
}

/* Loading begins once and ends once, also where CPU and devices pack. */
static void test_progress(void **state) {
    (void)state;
    static const char *const device[] = {"cpu", "npu-sim", "toy:rows=50%", "toy:rows=50%+npu-sim:rows=30%"};
    for (int check = 0; check < 2; check++)
        for (int i = 0; i < 4; i++) {
            ts_engine *e;
            ts_err err;
            struct progress p = {0};
            assert_ok(open_on(&e, 0, (ts_engine_opts){.device = device[i], .ledger_check = check,
                                                      .progress = on_progress, .progress_ud = &p}, &err));
            ts_engine_close(e);
            assert_int_equal(p.done, p.all);
            assert_int_equal(p.full, 1);
        }
}

/* Told of everything, beside others; keeps sums of its own for one layer. */
struct witness {
    ts_listener listener;
    unsigned inputs, ran, steps;
    const char *name;
    double sum[1024];
    uint64_t count;
};

static ts_status on_input(void *ud, const ts_linear *const *layer, int n, const float *x, size_t ld_x, uint32_t n_tok,
                          ts_err *err) {
    struct witness *w = ud;
    (void)err;
    w->inputs++;
    for (int i = 0; i < n; i++)
        for (uint32_t t = 0; t < n_tok && !strcmp(layer[i]->name, w->name); t++, w->count++)
            for (uint32_t k = 0; k < layer[i]->n_in; k++)
                w->sum[k] += (double)x[t * ld_x + k] * (double)x[t * ld_x + k];
    return TS_OK;
}
static ts_status on_ran(void *ud, const ts_linear_ran *r, ts_err *err) {
    (void)err;
    assert_true(r->n >= 1 && !r->failed && (r->cost != NULL) == (strcmp(r->device, "cpu") != 0));
    ((struct witness *)ud)->ran++;
    return TS_OK;
}
static void on_step(void *ud, const char *name, uint32_t n_tok, uint64_t ns) {
    (void)name, (void)ns;
    assert_true(n_tok >= 1);
    ((struct witness *)ud)->steps++;
}

/* The statistics of activations do not depend on where rows ran, nor on how the tokens came. */
static void test_listeners(void **state) {
    (void)state;
    static const char *const device[] = {"cpu", "toy:rows=50%", "npu-sim:rows=30%+toy"};
    double first[3][1024];
    for (int i = 0; i < 3; i++) {
        ts_engine *e;
        ts_err err;
        ts_act_stats *stats;
        struct witness w = {.name = "blk.1.ffn_down.weight"};
        w.listener = (ts_listener){.ud = &w, .input = on_input, .ran = on_ran, .step = on_step};
        assert_ok(open_on(&e, 0, (ts_engine_opts){.device = device[i], .ledger = i == 1}, &err));
        assert_ok(ts_act_stats_new(&stats, &err));
        ts_engine_listen(e, &w.listener);
        ts_engine_listen(e, ts_act_stats_listener(stats));
        assert_ok(run(e, i == 2 ? 1 : 5, NULL, &err));
        assert_int_equal(ts_act_stats_n(stats), 2 * 7 + 1);
        for (size_t k = 0; k < ts_act_stats_n(stats); k++) {
            const ts_act_stat s = ts_act_stats_at(stats, k);
            const bool head = k == 14;
            assert_int_equal(s.count, head ? (i == 2 ? TOKENS : TOKENS - 4) : TOKENS);
            if (k == 0) assert_string_equal(s.name, "blk.0.attn_q.weight");
            if (k == 1 || k == 2) assert_memory_equal(s.sum_square, ts_act_stats_at(stats, 0).sum_square, s.n_in * 8);
            if (!strcmp(s.name, w.name)) {
                assert_memory_equal(s.sum_square, w.sum, s.n_in * sizeof *w.sum);
                assert_int_equal(s.count, w.count);
                memcpy(first[i], s.sum_square, s.n_in * sizeof *first[i]);
                assert_memory_equal(first[i], first[0], s.n_in * sizeof *first[i]);
            }
        }
        /* an RMSNorm with weights near one: its output's mean of squares is near one */
        const ts_act_stat q = ts_act_stats_at(stats, 0);
        double mean = 0;
        for (uint32_t k = 0; k < q.n_in; k++) mean += q.sum_square[k] / (double)q.count / q.n_in;
        assert_true(mean > 0.5 && mean < 2);
        const unsigned passes = i == 2 ? TOKENS : TOKENS - 4;
        assert_int_equal(w.inputs, passes * 9);
        assert_true(w.ran == w.inputs * (i ? 2 : 1) && w.steps > w.inputs);
        ts_engine_unlisten(e, &w.listener);
        assert_ok(run(e, TOKENS, NULL, &err));
        assert_int_equal(w.inputs, passes * 9);
        assert_int_equal(ts_act_stats_at(stats, 0).count, 2 * TOKENS);
        ts_engine_unlisten(e, ts_act_stats_listener(stats));
        assert_ok(run(e, TOKENS, NULL, &err));
        assert_int_equal(ts_act_stats_at(stats, 0).count, 2 * TOKENS);
        ts_act_stats_free(stats);
        ts_engine_close(e);
    }
}

static bool all_once(void *ud) {
    ts_engine *e = NULL;
    ts_act_stats *stats = NULL;
    const ts_engine_opts o = {.device = "toy:rows=30%+toy:rows=30%,alone", .n_threads = 1};
    (void)ud;
    bool ok = ts_engine_open_with(&e, NULL, file[0], file_len[0], &o, known, NULL) == TS_OK &&
              ts_act_stats_new(&stats, NULL) == TS_OK;
    if (ok) ts_engine_listen(e, ts_act_stats_listener(stats));
    ok = ok && run(e, TOKENS, NULL, NULL) == TS_OK;
    ts_engine_close(e);
    ts_act_stats_free(stats);
    return ok;
}

static void test_no_memory(void **state) {
    (void)state;
    alloc_fail_loop(all_once, NULL, true);
}

static int setup(void **state) {
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        ts_buf b = {0};
        ts_err err;
        if (ts_shape_make(&models[m].shape, &models[m].mix, 1, &b, &err) != TS_OK) return 1;
        file[m] = ts_alloc_aligned(1, b.len);
        if (!file[m]) return 1;
        memcpy(file[m], b.data, file_len[m] = b.len);
        ts_buf_free(&b);
    }
    return 0;
}
static int teardown(void **state) {
    (void)state;
    for (int m = 0; m < MODELS; m++) ts_free(file[m]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),     cmocka_unit_test(test_memory),    cmocka_unit_test(test_failures),
        cmocka_unit_test(test_progress), cmocka_unit_test(test_listeners), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("rows", tests, setup, teardown);
}
