/* check_kern.c - the kernel checker: every variant of every kernel against the reference, bit for bit.
 *
 * Usage: check_kern [--seed N] [--bench] [--only NAME] [--break] [--quick]
 *        check_kern --levels       the levels of this processor, weakest first, a line each
 *   --only    checks and kernels with NAME in their names; a wrong one is answered with the list of them
 *   --bench   also time each variant at a large size, beside what its level could do at best (bench_kern.c)
 *   --quick   a third of the inputs, for emulators
 *   --break   corrupt one bit of one variant's output now and then: the checker must notice (its own test)
 * The checks are in checks.c; check_mutants.c proves that they notice. The seed is printed on failure. */
#define _GNU_SOURCE
#include "checks.h"
#include "bench_kern.h"
#include "support/levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    bool bench = false;
    checking.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--break")) checking.break_it = true;
        else if (!strcmp(argv[i], "--quick")) checking.quick = true;
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc) checking.seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) checking.only = argv[++i];
        else if (!strcmp(argv[i], "--levels")) {
            for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
                puts(ts_cpu_level_name((ts_cpu_level)level));
            levels_here();
            return 0;
        } else return fprintf(stderr, "check_kern: unknown option %s\n", argv[i]), 2;
    }
    if (!check_only_known()) {
        fprintf(stderr, "check_kern: --only %s: there is no such check or kernel; known: ", checking.only);
        check_list_known(stderr);
        return fputc('\n', stderr), 2;
    }
    levels_here();
    ts_kern lev[TS_CPU_LEVELS];
    int n = 0;
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level), n++) {
        ts_kern_init(&lev[n], (ts_cpu_level)level);
        check_all(&lev[0], &lev[n], ts_cpu_level_name((ts_cpu_level)level));
    }
    if (bench) bench_all(lev, n);
    printf("%d comparisons, %d failed (seed %llu)\n", checking.checks, checking.failures,
           (unsigned long long)checking.seed);
    if (checking.break_it) return checking.failures ? 0 : 1;
    return checking.failures ? 1 : 0;
}
