/* combine_ref.c - the reference of what the host does with a device's integer sums. */
#include "format/quant.h"
#include "kern/kern.h"

#include <math.h>
#include <string.h>

enum { ROWS = 8 };

/* Row r's sum at `row`. */
static int32_t sum_at(const uint8_t *row, bool pairs, int r) {
    int16_t half;
    int32_t whole;
    memcpy(&half, row + 2 * r, sizeof half);
    if (pairs) return half;
    memcpy(&whole, row + 4 * r, sizeof whole);
    return whole;
}

static TS_COMBINE(combine) {
    const uint32_t share = s->share ? s->share : 1, step = s->off8 ? 3 * ROWS / 2 : s->min_at ? 2 * ROWS : ROWS;
    for (uint32_t b = 0; b < s->n; b++) {
        const uint16_t *scale = s->scale + b / share * step;
        const uint8_t *zero = (const uint8_t *)(scale + ROWS);
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const float dx = s->dx[(size_t)b * s->dx_step];
        for (int r = 0; r < ROWS; r++) {
            int32_t isum = sum_at(row, s->pairs, r);
            if (s->off8) isum += (8 - zero[r]) * (s->off8[(size_t)b * s->dx_step] / -8);
            part[r] = fmaf((float)isum * dx, ts_f16_to_f32(scale[r]), part[r]);
            if (!s->min_at) continue;
            const float min = (float)sum_at(row + s->min_at, false, r) * dx;
            part[r] = fmaf(-min, ts_f16_to_f32(scale[ROWS + r]), part[r]);
        }
    }
}

void ts_kern_init_ref_combine(ts_kern *k) {
    k->combine = combine;
}
