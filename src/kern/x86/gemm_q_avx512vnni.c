/* gemm_q_avx512vnni.c - quantised linear layers for Ice Lake, Zen 4 and later: a zmm holds a group of sixteen rows. */
#include "format/quant.h"
#include "kern/kern.h"
#include "kern/simd/inline.h"
#include "kern/x86/v16_avx512vnni.h"
#include "kern/x86/vq_avx512vnni.h"
#include "kern/simd/gemm_q_tmpl.h"
#include "kern/simd/quant_tmpl.h"

void ts_kern_init_avx512vnni_q(ts_kern *k) {
    init_gemm_q(k);
    init_quant(k);
}
