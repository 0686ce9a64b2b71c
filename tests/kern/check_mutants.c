/* check_mutants.c - the kernel checker's own test: kernels that are wrong in one place (mutants.txt) must be noticed by
 * its ordinary inputs, every one, at every level that this processor has.
 *
 * Usage: check_mutants [--quick] [N]     N: this mutant alone, with the checker's words
 *   --quick   a third of the inputs, for emulators
 *
 * A level's mutants are compared with the reference, the reference's with the best level here (or the sound reference)
 * and, what is quantised, with the file's own blocks. A mutant that crashes is noticed too. */
#define _GNU_SOURCE
#include "checks.h"
#include "support/levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int ts_mutant; /* the sources of make_mutants.py ask for it */

#define LEVEL(NAME, name, ...) void mutant_init_##name(ts_kern *k);
#include "base/cpu_levels.def"

static void (*const init[TS_CPU_LEVELS])(ts_kern *k) = {
#define LEVEL(NAME, name, ...) mutant_init_##name,
#include "base/cpu_levels.def"
};

static const struct mutant {
    int number;
    const char *level, *checks, *file, *what;
} mutants[] = {
#include "mutants.inc"
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

static void run(ts_cpu_level level, ts_cpu_level best, const char *only) {
    ts_kern ref, lev;
    ts_kern_init(&ref, TS_CPU_REF);
    ts_kern_init(&lev, level == TS_CPU_REF ? best : level);
    init[level](level == TS_CPU_REF ? &ref : &lev);
    checking.seed = 1;
    checking.only = only;
    check_all(&ref, &lev, ts_cpu_level_name(level));
}

/* In a process of its own, as a mutant may crash or never end. */
static bool noticed(int number, ts_cpu_level level, ts_cpu_level best, const char *only) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(checking.quick ? 600 : 60);
        ts_mutant = number;
        checking.stop = true;
        run(level, best, only);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        exit(2);
    }
    return status != 0;
}

/* -1: a level of another architecture */
static int level_of(const char *name) {
    int level = TS_CPU_LEVELS - 1;
    while (level >= 0 && strcmp(ts_cpu_level_name((ts_cpu_level)level), name) != 0) level--;
    return level;
}

int main(int argc, char **argv) {
    const ts_cpu_level best = levels_here();
    checking.quick = argc > 1 && !strcmp(argv[1], "--quick");
    const int one = argc > 1 + checking.quick ? atoi(argv[1 + checking.quick]) : 0;
    int tried[TS_CPU_LEVELS] = {0}, missed = 0;
    for (int level = 0; level < TS_CPU_LEVELS && !one; level = next_level(level))
        if (noticed(0, (ts_cpu_level)level, best, NULL)) {
            printf("FAILED: %s: the sources of the mutants are wrong without a mutant\n",
                   ts_cpu_level_name((ts_cpu_level)level));
            missed++;
        }
    for (int i = 0; i < N_MUTANTS; i++) {
        const struct mutant *m = &mutants[i];
        const int level = level_of(m->level);
        if (level < 0 || !ts_cpu_has((ts_cpu_level)level) || (one && m->number != one)) continue;
        tried[level]++;
        if (one) ts_mutant = one, run((ts_cpu_level)level, best, m->checks);
        else if (!noticed(m->number, (ts_cpu_level)level, best, m->checks)) {
            printf("FAILED: %s: mutant %d is not noticed: %s: %s\n", m->level, m->number, m->file, m->what);
            missed++;
        }
    }
    for (int level = 0; level < TS_CPU_LEVELS; level = next_level(level))
        printf("%s: %d mutants\n", ts_cpu_level_name((ts_cpu_level)level), tried[level]);
    printf("%d not noticed\n", missed);
    return missed ? 1 : 0;
}
