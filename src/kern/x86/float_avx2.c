/* float_avx2.c - floating-point kernels for Haswell, Zen 1 and later: two ymm hold the sixteen lanes. */
#include "kern/kern.h"
#include "kern/x86/v16_avx2.h"
#include "kern/simd/float_tmpl.h"

void ts_kern_init_avx2(ts_kern *k) {
    init_float(k);
    ts_kern_init_avx2_q(k);
    ts_kern_init_avx2_combine(k);
    ts_kern_init_avx2_search(k);
    ts_kern_init_avx2_probe(k);
}
