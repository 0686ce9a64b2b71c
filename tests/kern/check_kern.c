/* check_kern.c - the kernel checker: every variant of every kernel against the reference, bit for bit.
 *
 * Usage: check_kern [--seed N] [--bench] [--only NAME] [--break]
 *        check_kern --levels       the levels of this processor, weakest first, a line each
 *   --bench   also time each variant at a large size: ns, GB/s of weights, GOP/s
 *   --break   corrupt one bit of one variant's output now and then: the checker must notice (its own test)
 * The checks are in checks.c; check_mutants.c proves that they notice. The seed is printed on failure. */
#define _GNU_SOURCE
#include "checks.h"
#include "base/clock.h"
#include "support/levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Best of a few runs, in ns per call. */
#define TIME(call)                                                                                                     \
    ({                                                                                                                 \
        double best_ = 1e30;                                                                                           \
        for (int rep_ = 0; rep_ < 7; rep_++) {                                                                         \
            uint64_t t_ = ts_now_ns();                                                                                 \
            int n_ = 0;                                                                                                \
            do {                                                                                                       \
                call;                                                                                                  \
                n_++;                                                                                                  \
            } while (ts_now_ns() - t_ < 20000000);                                                                     \
            double ns_ = (double)(ts_now_ns() - t_) / n_;                                                              \
            if (ns_ < best_) best_ = ns_;                                                                              \
        }                                                                                                              \
        best_;                                                                                                         \
    })

static void run_bench(const ts_kern *lev, const char *level) {
    enum { K = 2048, ROWS = 2048, TOKS = 64 };
    const char *only = checking.only;
    for (int i = 0; i < TS_DTYPES; i++) {
        const ts_dtype type = (ts_dtype)i;
        char name[64];
        if (!ts_act_block(type)) continue;
        snprintf(name, sizeof name, "gemm_q %s", ts_dtype_get(type)->name);
        if (only && !strstr(name, only)) continue;
        struct matrix w = make_matrix(type, ROWS, K);
        float *x = guarded(TOKS * K * 4), *y = guarded(TOKS * ROWS * 4);
        fill_floats(x, TOKS * K, 0);
        ts_qact a = make_act(K, TOKS);
        static const uint32_t toks[] = {1, 4, TOKS};
        for (int j = 0; j < 3; j++) {
            quantise_all(lev, &a, x, K, toks[j]);
            double ns = TIME(lev->gemm_q[type](&w.m, &a, toks[j], 0, toks[j], 0, w.m.n_group, y, ROWS));
            printf("%-14s %-11s %2u tok  %9.0f ns  %6.1f GB/s  %7.1f GOP/s\n", name, level, toks[j], ns,
                   (double)ts_qmat_bytes(&w.m) / ns, 2.0 * K * ROWS * toks[j] / ns);
        }
        ts_qact_fini(&a);
        guarded_free(x, TOKS * K * 4), guarded_free(y, TOKS * ROWS * 4);
        free_matrix(&w);
    }
    if (!only || strstr("attention", only)) {
        enum { HD = 128 };
        static const struct {
            uint32_t nq;
            ts_dtype type;
            const char *name;
        } kinds[] = {{4, TS_F16, "f16"}, {4, TS_Q8_0, "q8_0"}, {64, TS_F32, "f32"}};
        float *q = guarded(64 * HD * 4), *kv = guarded(HD * 64 * 4), *s = guarded(64 * 64 * 4),
              *o = guarded(64 * HD * 4), m[64], l[64];
        fill_floats(q, 64 * HD, 0), fill_floats(kv, HD * 64, 0);
        for (int i = 0; i < 3; i++) {
            const uint32_t nq = kinds[i].nq;
            const ts_dtype type = kinds[i].type;
            const double flops = 2.0 * nq * HD * 64;
            double ns = type == TS_Q8_0 ? 0 : TIME(lev->att_scores(q, HD, nq, type, kv, NULL, HD, s));
            if (type != TS_Q8_0)
                printf("%-14s %-11s %2u q %-4s %9.0f ns  %7.1f GFLOP/s\n", "att_scores", level, nq, kinds[i].name, ns,
                       flops / ns);
            ns = TIME(lev->att_softmax(s, nq, 0, 64, 0.1f, m, l));
            printf("%-14s %-11s %2u q      %9.0f ns\n", "att_softmax", level, nq, ns);
            ns = TIME(lev->att_values(s, nq, 0, 64, type, kv, NULL, HD, m, l, o, HD));
            printf("%-14s %-11s %2u q %-4s %9.0f ns  %7.1f GFLOP/s\n", "att_values", level, nq, kinds[i].name, ns,
                   flops / ns);
        }
    }
}

int main(int argc, char **argv) {
    bool bench = false;
    checking.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--break")) checking.break_it = true;
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc) checking.seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) checking.only = argv[++i];
        else if (!strcmp(argv[i], "--levels")) {
            for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
                puts(ts_cpu_level_name((ts_cpu_level)level));
            levels_here();
            return 0;
        } else return fprintf(stderr, "check_kern: unknown option %s\n", argv[i]), 2;
    }
    const ts_cpu_level best = levels_here();
    ts_kern ref, lev;
    ts_kern_init(&ref, TS_CPU_REF);
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level)) {
        const char *name = ts_cpu_level_name((ts_cpu_level)level);
        ts_kern_init(&lev, (ts_cpu_level)level);
        check_all(&ref, &lev, name);
        if (bench) run_bench(&lev, name);
    }
    printf("%d comparisons, %d failed (seed %llu)\n", checking.checks, checking.failures,
           (unsigned long long)checking.seed);
    if (checking.break_it) return checking.failures ? 0 : 1;
    return checking.failures ? 1 : 0;
}
