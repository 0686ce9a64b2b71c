/* bench_kern.c - see bench_kern.h. One thread, in its own processor time, so that a busy machine disturbs little.
 *
 * Products of one token read a matrix that no cache holds (but the reference's), as decode does, and are set beside the
 * level's reading of memory; those of several tokens read 2048 rows again and again, as prefill does. Shares are of the
 * better one of one and four streams, and of the multiply-accumulates on registers that the type's weights allow
 * (kern.h, probes). For floats there is no such probe. Other kernels work in the cache: GB/s is what they read and
 * write. */
#define _GNU_SOURCE
#include "bench_kern.h"
#include "checks.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Best of a few runs, in ns per call; fewer where they are slow. */
#define TIME(call)                                                                                                     \
    ({                                                                                                                 \
        double best_ = 1e30, all_ = 0;                                                                                 \
        for (int rep_ = 0; rep_ < 5 && all_ < 2e8; rep_++) {                                                           \
            double begin_ = now_ns(), took_;                                                                           \
            int n_ = 0;                                                                                                \
            do {                                                                                                       \
                call;                                                                                                  \
                n_++;                                                                                                  \
            } while ((took_ = now_ns() - begin_) < 1e7);                                                               \
            all_ += took_;                                                                                             \
            if (took_ / n_ < best_) best_ = took_ / n_;                                                                \
        }                                                                                                              \
        best_;                                                                                                         \
    })

enum { K = 2048, ROWS = 2048, TOKS = 64, BIG = 128 << 20 };
static const uint32_t tokens[] = {1, 4, 16, TOKS};
enum { N_TOKENS = sizeof tokens / sizeof *tokens };

static struct limits {
    const char *level;
    double read, int8, narrow; /* GB/s, GOP/s */
} limits[TS_CPU_LEVELS];

static bool is_meant(const char *check, const char *kernel) {
    return !checking.only || strstr(check, checking.only) || strstr(kernel, checking.only);
}

/* A line of the table. Limits: 0 where there is none to compare with. */
static void line(const char *kernel, const struct limits *l, const char *what, double ns, double bytes,
                 double read_limit, double ops, double ops_limit) {
    char read[16] = "", arithmetic[16] = "", gops[16] = "";
    if (read_limit > 0) snprintf(read, sizeof read, "%.0f %%", 100 * bytes / ns / read_limit);
    if (ops > 0) snprintf(gops, sizeof gops, "%.1f", ops / ns);
    if (ops_limit > 0) snprintf(arithmetic, sizeof arithmetic, "%.0f %%", 100 * ops / ns / ops_limit);
    printf("| %s | %s | %s | %.0f | %.1f | %s | %s | %s |\n", kernel, l->level, what, ns, bytes / ns, read, gops,
           arithmetic);
    fflush(stdout);
}

static void measure_limits(const ts_kern *lev, int n) {
    uint64_t sink = 0;
    void *data = guarded(BIG);
    memset(data, 1, BIG);
    puts("Limits, one thread:\n\n| level | read, one stream | four streams | int8 | weights of up to 6 bits |\n"
         "|---|---|---|---|---|");
    for (int i = 0; i < n; i++) {
        const double one = BIG / TIME(lev[i].probe_read(data, BIG, false, &sink));
        const double four = BIG / TIME(lev[i].probe_read(data, BIG, true, &sink));
        const double int8 = 2 * (double)lev[i].probe_int8(20000, &sink) / TIME(lev[i].probe_int8(20000, &sink));
        const double narrow = 2 * (double)lev[i].probe_narrow(20000, &sink) / TIME(lev[i].probe_narrow(20000, &sink));
        limits[i] = (struct limits){ts_cpu_level_name(lev[i].level), one > four ? one : four, int8,
                                    narrow > int8 ? narrow : int8};
        printf("| %s | %.1f GB/s | %.1f GB/s | %.0f GOP/s | %.0f GOP/s |\n", limits[i].level, one, four, int8,
               limits[i].narrow);
    }
    guarded_free(data, BIG);
}

static const char *tokens_text(uint32_t n, char out[16]) {
    snprintf(out, 16, "%u token%s", n, n > 1 ? "s" : "");
    return out;
}

static void bench_gemm_q(const ts_kern *lev, int n, ts_dtype type) {
    char name[32], what[16];
    check_name_of(type, name);
    if (!ts_act_block(type) || !is_meant(name, name)) return;
    const uint32_t many = (uint32_t)(BIG / ts_dtype_row_bytes(type, K)) & ~(uint32_t)15;
    const size_t y_bytes = (size_t)(many > TOKS * ROWS ? many : TOKS * ROWS) * 4;
    struct matrix w = make_matrix(type, many, K);
    float *x = guarded(TOKS * K * 4), *y = guarded(y_bytes);
    fill_floats(x, TOKS * K, 0);
    ts_qact a = make_act(K, TOKS);
    for (int j = 0; j < N_TOKENS; j++) {
        const uint32_t toks = tokens[j];
        quantise_all(&lev[n - 1], &a, x, K, toks);
        for (int i = 0; i < n; i++) {
            const bool from_memory = toks == 1 && i > TS_CPU_REF;
            ts_qmat m = w.m;
            m.n_rows = from_memory ? many : ROWS, m.n_group = m.n_rows / TS_GROUP_ROWS;
            const double ns = TIME(lev[i].gemm_q[type](&m, &a, toks, 0, toks, 0, m.n_group, y, ROWS));
            line(name, &limits[i], tokens_text(toks, what), ns, (double)ts_qmat_bytes(&m),
                 from_memory ? limits[i].read : 0, 2.0 * K * m.n_rows * toks,
                 ts_wtype_of(type)->offset < 7 ? limits[i].narrow : limits[i].int8);
        }
    }
    ts_qact_fini(&a);
    guarded_free(x, TOKS * K * 4), guarded_free(y, y_bytes);
    free_matrix(&w);
}

static void bench_gemm_f(const ts_kern *lev, int n, ts_dtype type) {
    char name[32], what[16];
    snprintf(name, sizeof name, "gemm_f %s", ts_dtype_get(type)->name);
    if (!lev[0].gemm_f[type] || !is_meant("gemm_f", name)) return;
    const size_t row_bytes = ts_dtype_row_bytes(type, K);
    const uint32_t many = (uint32_t)(BIG / row_bytes);
    const size_t y_bytes = (size_t)(many > TOKS * ROWS ? many : TOKS * ROWS) * 4;
    char *w = guarded(BIG);
    float *x = guarded(TOKS * K * 4), *y = guarded(y_bytes);
    memset(w, 0x3c, BIG); /* small numbers in all three types */
    fill_floats(x, TOKS * K, 0);
    for (int j = 0; j < N_TOKENS; j++)
        for (int i = 0; i < n; i++) {
            const uint32_t toks = tokens[j];
            const bool from_memory = toks == 1 && i > TS_CPU_REF;
            const uint32_t rows = from_memory ? many : ROWS;
            const double ns = TIME(lev[i].gemm_f[type](w, row_bytes, K, x, K, toks, 0, rows, y, rows));
            line(name, &limits[i], tokens_text(toks, what), ns, (double)row_bytes * rows,
                 from_memory ? limits[i].read : 0, 2.0 * K * rows * toks, 0);
        }
    guarded_free(w, BIG), guarded_free(x, TOKS * K * 4), guarded_free(y, y_bytes);
}

/* Every level's time of one kernel, if it is meant. */
#define BENCH(check, kernel, what, bytes, ops, call)                                                                   \
    for (int i = 0; i < n && is_meant(check, kernel); i++) {                                                           \
        const ts_kern *k = &lev[i];                                                                                    \
        line(kernel, &limits[i], what, TIME(call), (double)(bytes), 0, (double)(ops), 0);                              \
    }

static void bench_rows(const ts_kern *lev, int n) {
    enum { N = 8192, HD = 64 };
    float *x = guarded(N * 4), *w = guarded(N * 4), *y = guarded(N * 4);
    uint16_t *h = guarded(N * 2);
    int8_t *q = guarded(N);
    fill_floats(x, N, 0), fill_floats(w, N, 0);
    memset(h, 0x3c, N * 2), memset(q, 3, N);
    ts_qact a = make_act(N, 1);
    BENCH("quant", "quant32", "8192", 5 * N, 0, k->quant32(x, N, 1, 0, &a))
    BENCH("quant", "quant256", "8192", 5 * N, 0, k->quant256(x, N, 1, 0, &a))
    BENCH("rows", "rmsnorm", "8192", 12 * N, 0, k->rmsnorm(x, w, y, N, 1e-5f))
    BENCH("rows", "silu_mul", "8192", 12 * N, 0, k->silu_mul(x, w, y, N))
    memset(y, 0, N * 4);
    BENCH("rows", "add", "8192", 12 * N, 0, k->add(y, x, N))
    BENCH("rows", "rope", "a head of 64", 10 * HD, 0, k->rope(x, y, w, HD, HD, false))
    BENCH("rows", "rope", "a head of 64, halves", 10 * HD, 0, k->rope(x, y, w, HD, HD, true))
    BENCH("rows", "f16_row", "8192", 6 * N, 0, k->f16_row(h, y, N))
    BENCH("rows", "q8_rows", "64 rows of 128", 5 * N + N / 16, 0, k->q8_rows(q, h, y, N / 128, 128))
    BENCH("rows", "to_f16", "8192", 6 * N, 0, k->to_f16(x, h, N))
    const ts_sums s = {.sum = (const uint8_t *)x, .step = 32, .scale = h, .dx = w, .dx_step = 1, .n = 128};
    float part[8] = {0};
    BENCH("combine", "combine", "128 blocks", 128 * (32 + 16 + 4), 0, k->combine(&s, part))
    static const ts_dtype searched[] = {TS_Q4_K, TS_Q6_K};
    fill_floats(y, N, 0);
    for (int type = 0; type < 2; type++) {
        char of[32];
        snprintf(of, sizeof of, "8192 to %s", ts_dtype_get(searched[type])->name);
        BENCH("search", "search", of, 5 * N, 0, k->search(searched[type], y, NULL, N, q, N))
    }
    ts_qact_fini(&a);
    guarded_free(x, N * 4), guarded_free(w, N * 4), guarded_free(y, N * 4), guarded_free(h, N * 2), guarded_free(q, N);
}

static void bench_attention(const ts_kern *lev, int n) {
    enum { HD = 128, T = TS_KV_TILE, Q = 64 };
    static const struct {
        uint32_t nq;
        ts_dtype type;
        const char *of;
    } kinds[] = {{4, TS_F16, "4 queries, F16"}, {4, TS_Q8_0, "4 queries, Q8_0"}, {Q, TS_F32, "64 queries, F32"}};
    float *q = guarded(Q * HD * 4), *kv = guarded(HD * T * 4), *s = guarded(Q * T * 4), *o = guarded(Q * HD * 4);
    float m[Q] = {0}, l[Q], run_m[Q] = {0}, run_l[Q];
    fill_floats(q, Q * HD, 0), fill_floats(kv, HD * T, 0), fill_floats(s, Q * T, 0);
    for (int i = 0; i < Q; i++) l[i] = run_l[i] = 1;
    for (int kind = 0; kind < 3; kind++) {
        const uint32_t nq = kinds[kind].nq;
        const ts_dtype type = kinds[kind].type;
        const double tile = HD * T * (type == TS_F32 ? 4 : type == TS_F16 ? 2 : 1.0625), ops = 2.0 * nq * HD * T;
        if (type != TS_Q8_0) /* their scores are a linear layer's */
            BENCH("attention", "att_scores", kinds[kind].of, tile, ops, k->att_scores(q, HD, nq, type, kv, NULL, HD, s))
        BENCH("attention", "att_values", kinds[kind].of, tile, ops,
              k->att_values(s, nq, 0, T, type, kv, NULL, HD, NULL, NULL, o, HD))
    }
    BENCH("attention", "att_softmax", "64 queries", 8 * T * Q, 0, k->att_softmax(s, Q, 0, T, 0.1f, m, l))
    BENCH("attention", "att_join", "64 queries", 16 * Q, 0, k->att_join(run_m, run_l, m, l, Q))
    BENCH("attention", "att_merge", "64 queries, a head of 128", 12 * HD * Q, 0,
          k->att_merge(run_m, run_l, o, HD, m, l, q, HD, Q, HD))
    guarded_free(q, Q * HD * 4), guarded_free(kv, HD * T * 4), guarded_free(s, Q * T * 4), guarded_free(o, Q * HD * 4);
}

void bench_all(const ts_kern *lev, int n) {
    measure_limits(lev, n);
    puts("\n| kernel | level | of | ns | GB/s | of the read limit | GOP/s | of the arithmetic limit |\n"
         "|---|---|---|---|---|---|---|---|");
    for (int type = 0; type < TS_DTYPES; type++) bench_gemm_q(lev, n, (ts_dtype)type);
    for (int type = 0; type < TS_DTYPES; type++) bench_gemm_f(lev, n, (ts_dtype)type);
    bench_rows(lev, n);
    bench_attention(lev, n);
}
