/* gemm_q_avxvnni.c - quantised linear layers for Alder Lake, Zen 5 and later without AVX-512: two ymm hold a group of
 * sixteen rows. The level's activations and its other kernels are those of AVX2. */
#include "format/quant.h"
#include "kern/kern.h"
#include "kern/simd/inline.h"
#include "kern/x86/vq_avxvnni.h"
#include "kern/simd/gemm_q_tmpl.h"

void ts_kern_init_avxvnni_q(ts_kern *k) {
    init_gemm_q(k);
}

void ts_kern_init_avxvnni(ts_kern *k) {
    ts_kern_init_avxvnni_q(k);
    ts_kern_init_avxvnni_probe(k);
}
