/* gemm_q_dotprod.c - quantised linear layers for Cortex-A55, A75 and later: SDOT multiplies signed bytes by signed. */
#include "format/quant.h"
#include "kern/kern.h"
#include "kern/arm/v16_neon.h"
#include "kern/arm/vq_neon.h"

enum { VQ_SIGNED_FROM = 1 };
INL vqi vq_dot4(vqi acc, vqi w, vqi x) { return vdotq_s32(acc, vq_s8_(w), vq_s8_(x)); } /* without offset: below 64 */

#include "kern/simd/gemm_q_tmpl.h"
#include "kern/simd/quant_tmpl.h"

void ts_kern_init_dotprod_q(ts_kern *k) {
    init_gemm_q(k);
    init_quant(k);
}
