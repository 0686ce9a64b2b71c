/* levels.h - the instruction-set levels that a test can try on this processor; the others are skipped by name. */
#ifndef TS_TESTS_LEVELS_H
#define TS_TESTS_LEVELS_H

#include "base/cpu.h"

#include <stdio.h>

/* The best level here; says what this processor leaves out. */
static inline ts_cpu_level levels_here(void) {
    const ts_cpu_level best = ts_cpu_detect();
    for (int i = 0; i < TS_CPU_LEVELS; i++)
        if (!ts_cpu_has((ts_cpu_level)i))
            printf("skip: %s: not tested here, this processor reaches %s; cure: %s\n",
                   ts_cpu_level_name((ts_cpu_level)i), ts_cpu_level_name(best), ts_cpu_level_needs((ts_cpu_level)i));
    return best;
}

/* The next one that this processor has, or TS_CPU_LEVELS. */
static inline int next_level(int level) {
    do level++;
    while (level < TS_CPU_LEVELS && !ts_cpu_has((ts_cpu_level)level));
    return level;
}

#endif
