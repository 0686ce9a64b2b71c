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
    const uint16_t *scale = s->scale;
    for (uint32_t b = 0; b < s->n; b++, scale += s->min_at ? 2 * ROWS : ROWS) {
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const float dx = s->dx[(size_t)b * s->dx_step];
        const int16x8_t half = vreinterpretq_s16_u8(vld1q_u8(row));
        const int32x4_t v0 = s->pairs ? vmovl_s16(vget_low_s16(half)) : load_i32(row);
        const int32x4_t v1 = s->pairs ? vmovl_high_s16(half) : load_i32(row + 16);
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
