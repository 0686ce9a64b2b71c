/* check_vnni.c - the kernels of the level avxvnni on a processor that need not have it: its two instructions are
 * replaced by what they are defined to do (TS_VNNI_BY_DEFINITION), all else is what the level compiles, and the kernel
 * checker holds it against the reference. */
#include "checks.h"
#include "support/levels.h"

#include <stdio.h>

void ts_kern_init_vnni_by_definition_q(ts_kern *k);

int main(void) {
    if (!ts_cpu_has(TS_CPU_AVX2)) return puts("skip: this processor has no AVX2"), 77;
    ts_kern ref, lev;
    ts_kern_init(&ref, TS_CPU_REF);
    ts_kern_init(&lev, TS_CPU_AVX2);
    ts_kern_init_vnni_by_definition_q(&lev);
    checking.seed = 1;
    checking.only = "gemm_q";
    check_all(&ref, &lev, "avxvnni, by definition");
    printf("%d comparisons, %d failed\n", checking.checks, checking.failures);
    return checking.failures != 0 || checking.checks == 0;
}
