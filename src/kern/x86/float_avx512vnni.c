/* float_avx512vnni.c - floating-point kernels for Ice Lake, Zen 4 and later: one zmm holds the sixteen lanes. */
#include "kern/kern.h"
#include "kern/x86/v16_avx512vnni.h"
#include "kern/simd/float_tmpl.h"

void ts_kern_init_avx512vnni(ts_kern *k) {
    init_float(k);
    ts_kern_init_avx512vnni_q(k);
    ts_kern_init_avx512vnni_search(k);
    ts_kern_init_avx512vnni_probe(k);
}
