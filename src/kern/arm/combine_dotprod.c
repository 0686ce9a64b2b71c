/* combine_dotprod.c - a device's integer sums to floats: the eight rows are two q registers. Specification:
 * kern/kern.h. */
#include "kern/kern.h"

#include <arm_neon.h>

enum { ROWS = 8 };

static float32x4_t load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static int32x4_t load_i32(const uint8_t *p) {
    return vreinterpretq_s32_u8(vld1q_u8(p));
}

static TS_COMBINE(combine) {
    float32x4_t low = vld1q_f32(part), high = vld1q_f32(part + 4);
    const uint32_t share = s->share ? s->share : 1, step = s->off8 ? 3 * ROWS / 2 : s->min_at ? 2 * ROWS : ROWS;
    for (uint32_t b = 0; b < s->n; b++) {
        const uint16_t *scale = s->scale + b / share * step;
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const float dx = s->dx[(size_t)b * s->dx_step];
        const int16x8_t half = vreinterpretq_s16_u8(vld1q_u8(row));
        int32x4_t v0 = s->pairs ? vmovl_s16(vget_low_s16(half)) : load_i32(row);
        int32x4_t v1 = s->pairs ? vmovl_high_s16(half) : load_i32(row + 16);
        if (s->off8) { /* (8 - z) times the sum of activations */
            const int32_t sum = s->off8[(size_t)b * s->dx_step] / -8;
            const uint16x8_t zero = vmovl_u8(vld1_u8((const uint8_t *)(scale + ROWS)));
            const int16x8_t z = vsubq_s16(vdupq_n_s16(8), vreinterpretq_s16_u16(zero));
            v0 = vmlaq_n_s32(v0, vmovl_s16(vget_low_s16(z)), sum);
            v1 = vmlaq_n_s32(v1, vmovl_high_s16(z), sum);
        }
        low = vfmaq_f32(low, vmulq_n_f32(vcvtq_f32_s32(v0), dx), load_f16(scale));
        high = vfmaq_f32(high, vmulq_n_f32(vcvtq_f32_s32(v1), dx), load_f16(scale + 4));
        if (!s->min_at) continue;
        row += s->min_at;
        low = vfmsq_f32(low, vmulq_n_f32(vcvtq_f32_s32(load_i32(row)), dx), load_f16(scale + ROWS));
        high = vfmsq_f32(high, vmulq_n_f32(vcvtq_f32_s32(load_i32(row + 16)), dx), load_f16(scale + ROWS + 4));
    }
    vst1q_f32(part, low);
    vst1q_f32(part + 4, high);
}

void ts_kern_init_dotprod_combine(ts_kern *k) {
    k->combine = combine;
}
