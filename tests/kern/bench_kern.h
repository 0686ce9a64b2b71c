/* bench_kern.h - check_kern --bench: every kernel at every level, as a Markdown table. */
#ifndef TS_TESTS_BENCH_KERN_H
#define TS_TESTS_BENCH_KERN_H

#include "kern/kern.h"

/* lev[0..n): tables of the levels, the reference first. Of the kernels that checking.only is about. */
void bench_all(const ts_kern *lev, int n);

#endif
