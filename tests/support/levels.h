/* levels.h - the instruction-set levels that a test can try on this processor; the others are skipped by name.
 * Depends on: base/cpu.h. */
#ifndef TS_TESTS_LEVELS_H
#define TS_TESTS_LEVELS_H

#include "base/cpu.h"

#include <stdio.h>

/* The best level here; says what is left out above it. */
static inline ts_cpu_level levels_here(void) {
    static const char *const needs[TS_CPU_LEVELS] = {
        "", "a processor with AVX2, FMA and BMI2 (Haswell, Zen or later)",
        "a processor with AVX-512 VBMI and VNNI (Ice Lake, Zen 4 or later)"};
    const ts_cpu_level best = ts_cpu_detect();
    for (int i = (int)best + 1; i < TS_CPU_LEVELS; i++)
        printf("skip: %s: not tested here, this processor reaches %s; cure: %s\n", ts_cpu_level_name((ts_cpu_level)i),
               ts_cpu_level_name(best), needs[i]);
    return best;
}

#endif
