/* gemm_q_avx2.c - quantised linear layers for Haswell, Zen 1 and later: two ymm hold a group of sixteen rows. */
#include "format/quant.h"
#include "kern/kern.h"
#include "kern/simd/inline.h"
#include "kern/x86/v16_avx2.h"
#include "kern/x86/vq_avx2.h"
#include "kern/simd/gemm_q_tmpl.h"
#include "kern/simd/quant_tmpl.h"

void ts_kern_init_avx2_q(ts_kern *k) {
    init_gemm_q(k);
    init_quant(k);
}
