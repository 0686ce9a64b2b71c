/* walk.c - the order in which a descriptor moves its words. */
#include "sim/array_int.h"

void sim_walk_start(sim_walk *w, const ts_bd *bd) {
    memset(w, 0, sizeof *w);
    w->base = bd->base + 4ull * bd->iter_current * (bd->iter_step ? bd->iter_step : 1);
    for (int d = 0; d < TS_BD_DIMS; d++) {
        uint32_t before = bd->dim[d].before, after = bd->dim[d].after, wrap = d < TS_BD_DIMS - 1 ? bd->dim[d].wrap : 0;
        w->step[d] = bd->dim[d].step ? bd->dim[d].step : 1;
        w->before[d] = before;
        w->inner[d] = wrap;
        /* zeros behind the last element need a last element */
        w->size[d] = wrap ? before + wrap + after : 0;
        if (before || (after && wrap)) w->padded = true;
    }
}

/* On to the next index: the one at d has reached its end. */
static void carry(sim_walk *w, int d) {
    while (w->size[d] && w->index[d] == w->size[d]) {
        w->index[d] = 0;
        w->offset[d] = 0;
        d++;
        w->index[d]++;
        w->offset[d] += w->step[d];
    }
}

/* One word at a time: whether it is a zero depends on every index. */
static bool take_padded(sim_walk *w, uint64_t *addr) {
    bool zero = false;
    uint64_t word = 0;
    for (int d = 0; d < TS_BD_DIMS; d++) {
        uint32_t i = w->index[d];
        if (i < w->before[d] || (w->inner[d] && i >= w->before[d] + w->inner[d])) zero = true;
        else word += (uint64_t)(i - w->before[d]) * w->step[d];
    }
    *addr = w->base + 4 * word;
    w->index[0]++;
    for (int d = 0; d < TS_BD_DIMS - 1 && w->size[d] && w->index[d] == w->size[d]; d++) {
        w->index[d] = 0;
        w->index[d + 1]++;
    }
    return zero;
}

uint32_t sim_walk_take(sim_walk *w, uint32_t max, uint64_t *addr, bool *zero) {
    if (w->padded) {
        *zero = take_padded(w, addr);
        return 1;
    }
    *zero = false;
    *addr = w->base + 4 * (w->offset[0] + w->offset[1] + w->offset[2] + w->offset[3]);
    uint32_t n = w->step[0] == 1 ? max : 1;
    if (w->size[0] && n > w->size[0] - w->index[0]) n = w->size[0] - w->index[0];
    w->index[0] += n;
    w->offset[0] += (uint64_t)n * w->step[0];
    carry(w, 0);
    return n;
}
