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
    const uint16_t *scale = s->scale;
    for (uint32_t b = 0; b < s->n; b++, scale += s->min_at ? 2 * ROWS : ROWS) {
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const float dx = s->dx[(size_t)b * s->dx_step];
        for (int r = 0; r < ROWS; r++) {
            part[r] = fmaf((float)sum_at(row, s->pairs, r) * dx, ts_f16_to_f32(scale[r]), part[r]);
            if (!s->min_at) continue;
            const float min = (float)sum_at(row + s->min_at, false, r) * dx;
            part[r] = fmaf(-min, ts_f16_to_f32(scale[ROWS + r]), part[r]);
        }
    }
}

void ts_kern_init_ref_combine(ts_kern *k) {
    k->combine = combine;
}
