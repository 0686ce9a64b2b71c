#include "report/bench.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "format/wtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits ------------------------------------------------------------------------------------------------------ */

struct probe {
    const ts_engine *e;
    const char *data;
    size_t bytes;
    uint64_t rounds;
    ts_probe_macs_fn *macs_fn;
    bool four;
    uint64_t sink[1024], macs[1024]; /* by task */
};

static void read_task(void *arg, size_t task, int thread) {
    struct probe *p = arg;
    (void)thread;
    size_t part = p->bytes / (size_t)ts_pool_threads(p->e->pool) & ~(size_t)255;
    p->e->kern.probe_read(p->data + task * part, part, p->four, &p->sink[task]);
}

static void macs_task(void *arg, size_t task, int thread) {
    struct probe *p = arg;
    (void)thread;
    p->macs[task] = p->macs_fn(p->rounds, &p->sink[task]);
}

static void keep_best(double *best, double rate) {
    if (rate > *best) *best = rate;
}

static void probe_read(struct probe *p, bool four, double *best) {
    const size_t n = (size_t)ts_pool_threads(p->e->pool);
    p->four = four;
    const uint64_t begin = ts_now_ns();
    ts_pool_run(p->e->pool, n, read_task, p);
    keep_best(best, (double)(p->bytes / n * n) / (double)(ts_now_ns() - begin));
}

static void probe_macs(struct probe *p, ts_probe_macs_fn *fn, uint64_t rounds, double *best) {
    const size_t n = (size_t)ts_pool_threads(p->e->pool);
    p->macs_fn = fn, p->rounds = rounds;
    const uint64_t begin = ts_now_ns();
    ts_pool_run(p->e->pool, n, macs_task, p);
    double ns = (double)(ts_now_ns() - begin), macs = 0;
    for (size_t k = 0; k < n; k++) macs += (double)p->macs[k];
    keep_best(best, 2 * macs / ns);
}

ts_status ts_bench_measure_limits(ts_engine *e, ts_bench_limits *out, ts_err *err) {
    enum { TRIES = 5 };
    ts_big big = {0};
    size_t bytes = (size_t)512 << 20; /* far beyond any cache */
    TS_TRY(ts_big_alloc(&big, bytes, true, "the bandwidth measurement", err));
    struct probe *p = ts_calloc(1, sizeof *p);
    if (!p) {
        ts_big_free(&big);
        return ts_fail_nomem(err, "the bandwidth measurement", sizeof *p);
    }
    *p = (struct probe){.e = e, .data = big.ptr, .bytes = bytes};
    memset(big.ptr, 1, bytes);
    ts_bench_limits best = {0};
    for (int i = 0; i < TRIES; i++) {
        probe_read(p, false, &best.read_gbps);
        probe_read(p, true, &best.read4_gbps);
        probe_macs(p, e->kern.probe_int8, 2000000, &best.int8_gops);
        if (e->kern.probe_narrow != e->kern.probe_int8) probe_macs(p, e->kern.probe_narrow, 400000, &best.narrow_gops);
    }
    keep_best(&best.narrow_gops, best.int8_gops);
    ts_free(p);
    ts_big_free(&big);
    *out = best;
    return TS_OK;
}

double ts_bench_read_limit(const ts_bench_limits *l) {
    return l->read_gbps > l->read4_gbps ? l->read_gbps : l->read4_gbps;
}

double ts_bench_gops_limit(const ts_bench_limits *l, const ts_bench_result *r) {
    return 1 / (r->narrow / l->narrow_gops + (1 - r->narrow) / l->int8_gops);
}

/* Of the test's multiply-accumulates, those with weights of at most 6 bits. */
static double narrow_macs(const ts_model *m, const ts_bench_test *t) {
    double macs = 0;
    for (size_t i = 0; i < m->n_linear; i++) {
        const ts_linear *l = &m->linear[i];
        const ts_wtype *w = ts_wtype_of(l->type);
        if (w->block && w->offset < 7)
            macs += (double)l->n_in * l->n_out * (l == m->head && !t->decode ? 1 : t->n);
    }
    return macs;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void summarise(double *rate, int n, ts_bench_result *out) {
    double mean = 0, var = 0;
    for (int i = 0; i < n; i++) mean += rate[i] / n;
    for (int i = 0; i < n; i++) var += (rate[i] - mean) * (rate[i] - mean);
    qsort(rate, (size_t)n, sizeof *rate, by_value);
    out->n_reps = n;
    out->rate = n % 2 ? rate[n / 2] : (rate[n / 2 - 1] + rate[n / 2]) / 2;
    out->sd = n > 1 ? sqrt(var / (n - 1)) : 0;
    out->min = rate[0];
    out->max = rate[n - 1];
}

/* How far a test has come, in tokens: what is done, and what the session says of the piece it is at. */
struct told {
    ts_progress_fn *step;
    void *ud;
    uint64_t done, all;
};

static bool within(void *ud, uint64_t done, uint64_t all) {
    const struct told *t = ud;
    (void)all;
    return !t->step || t->step(t->ud, t->done + done, t->all);
}

/* The sessions of a test. */
struct group {
    ts_session **s;
    size_t n;
};

/* Bring each timeline to the first n tokens. */
static ts_status process(const struct group *g, const ts_token *token, size_t n, size_t n_new, struct told *told,
                         ts_err *err) {
    bool pending = false;
    for (size_t i = 0; i < g->n; i++) {
        TS_TRY(ts_session_prepare(g->s[i], token, n, err));
        pending |= ts_session_pending(g->s[i]) > 0;
    }
    while (pending) {
        TS_TRY(ts_sessions_step(g->s, g->n, 0, err));
        pending = false;
        for (size_t i = 0; i < g->n; i++) pending |= ts_session_pending(g->s[i]) > 0;
    }
    told->done += n_new;
    return TS_OK;
}

/* Bring the timelines to `depth` tokens, untimed, then time the rest. Tokens differ from repetition to repetition, so
 * that nothing is found in the cache but the prefix. */
static ts_status one(const struct group *g, ts_token *token, const ts_bench_test *t, struct told *told, double *rate,
                     ts_err *err) {
    if (t->depth) TS_TRY(process(g, token, t->depth, told->done ? 0 : t->depth, told, err));
    uint64_t begin = ts_now_ns();
    for (uint32_t i = t->decode ? 1 : t->n; i <= t->n; i++)
        TS_TRY(process(g, token, t->depth + i, t->decode ? 1 : t->n, told, err));
    *rate = (double)g->n * t->n * 1e9 / (double)(ts_now_ns() - begin);
    return TS_OK;
}

static ts_status repeat(const struct group *g, const ts_engine *e, const ts_bench_test *t, int n_reps,
                        struct told *told, ts_token *token, double *rate, ts_err *err) {
    ts_rng rng = ts_rng_seed(1);
    uint32_t n_vocab = e->model->c.n_vocab;
    for (uint32_t i = 0; i < t->depth; i++) token[i] = (ts_token)ts_rng_below(&rng, n_vocab);
    for (int rep = -1; rep < n_reps; rep++) { /* -1 warms up */
        for (uint32_t i = 0; i < t->n; i++) token[t->depth + i] = (ts_token)ts_rng_below(&rng, n_vocab);
        double r;
        TS_TRY(one(g, token, t, told, &r, err));
        if (rep >= 0) rate[rep] = r;
        if (!within(told, 0, 0)) return ts_fail(err, TS_E_CANCELLED, "stopped");
    }
    return TS_OK;
}

static ts_status open_group(struct group *g, ts_engine *e, const ts_session_opts *so, size_t n, ts_err *err) {
    g->s = ts_calloc(n, sizeof *g->s);
    if (!g->s) return ts_fail_nomem(err, "the sessions", n * sizeof *g->s);
    for (; g->n < n; g->n++) TS_TRY(ts_session_new(&g->s[g->n], e, so, err));
    return TS_OK;
}

static void close_group(struct group *g) {
    for (size_t i = 0; i < g->n; i++) ts_session_free(g->s[i]);
    ts_free(g->s);
}

ts_status ts_bench_run(ts_engine *e, const ts_session_opts *opts, const ts_bench_test *test, int n_reps,
                       ts_progress_fn *step, void *step_ud, ts_bench_result *out, ts_err *err) {
    if (test->n == 0 || n_reps < 1 || n_reps > TS_BENCH_MAX_REPS) return ts_fail(err, TS_E_INVAL, "nothing to measure");
    ts_session_opts so = *opts;
    if (!so.n_ctx) so.n_ctx = test->depth + test->n;
    struct told told = {.step = step, .ud = step_ud, .all = test->depth + (uint64_t)(n_reps + 1) * test->n};
    so.progress = within;
    so.progress_ud = &told;
    const uint32_t parallel = test->parallel ? test->parallel : 1;
    struct group g = {0};
    ts_token *token = ts_alloc((size_t)test->depth + test->n, sizeof *token);
    double *rate = ts_alloc((size_t)n_reps, sizeof *rate);
    ts_status st = token && rate ? open_group(&g, e, &so, parallel, err)
                                 : ts_fail_nomem(err, "the benchmark", test->n * sizeof *token);
    if (st == TS_OK) st = repeat(&g, e, test, n_reps, &told, token, rate, err);
    if (st == TS_OK) {
        ts_bench_result r = {0};
        summarise(rate, n_reps, &r);
        const ts_model_config *c = &e->model->c;
        /* decode: all weights, and keys and values of every position so far (of the middle of the test) */
        double kv = (double)ts_kv_bytes(c, 1, so.kv) / TS_KV_TILE * (test->depth + test->n / 2.0);
        double macs = (double)ts_model_layer_macs(e->model) * test->n +
                      (double)ts_model_head_macs(e->model) * (test->decode ? test->n : 1);
        if (test->decode) r.gbps = r.rate * ((double)ts_model_token_bytes(e->model) / parallel + kv) * 1e-9;
        r.narrow = narrow_macs(e->model, test) / macs;
        r.gops = 2 * macs / test->n * r.rate * 1e-9;
        *out = r;
    }
    close_group(&g);
    ts_free(rate);
    ts_free(token);
    return st;
}
