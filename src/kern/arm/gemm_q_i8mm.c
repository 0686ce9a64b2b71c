/* gemm_q_i8mm.c - quantised linear layers for Cortex-A510, A710, X2 and later: USDOT takes the weights' unsigned bytes.
 * All else is that of dotprod. */
#include "format/quant.h"
#include "kern/kern.h"
#include "kern/arm/vq_neon.h"

enum { VQ_SIGNED_FROM = 8 };
INL vqi vq_dot4(vqi acc, vqi w, vqi x) { return vusdotq_s32(acc, vq_u8_(w), vq_s8_(x)); }

#include "kern/simd/gemm_q_tmpl.h"

void ts_kern_init_i8mm(ts_kern *k) {
    init_gemm_q(k);
    ts_kern_init_i8mm_probe(k);
}
