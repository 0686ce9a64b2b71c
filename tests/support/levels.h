/* levels.h - the instruction-set levels that a test can try on this processor; the others are skipped by name. */
#ifndef TS_TESTS_LEVELS_H
#define TS_TESTS_LEVELS_H

#include "base/cpu.h"

#include <stdio.h>

/* The best level here; says what is left out above it. */
static inline ts_cpu_level levels_here(void) {
    const ts_cpu_level best = ts_cpu_detect();
    for (int i = (int)best + 1; i < TS_CPU_LEVELS; i++)
        printf("skip: %s: not tested here, this processor reaches %s; cure: %s\n", ts_cpu_level_name((ts_cpu_level)i),
               ts_cpu_level_name(best), ts_cpu_level_needs((ts_cpu_level)i));
    return best;
}

#endif
