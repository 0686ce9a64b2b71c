/* float_dotprod.c - floating-point kernels for every 64-bit ARM: four q registers hold the sixteen lanes. */
#include "kern/kern.h"
#include "kern/arm/v16_neon.h"
#include "kern/simd/float_tmpl.h"

void ts_kern_init_dotprod(ts_kern *k) {
    init_float(k);
    ts_kern_init_dotprod_q(k);
    ts_kern_init_dotprod_combine(k);
    ts_kern_init_dotprod_probe(k);
}
