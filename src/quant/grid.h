/* grid.h - the values that a block's elements can have once its scales are fixed.
 *
 * A quantised block is scales and codes. GPTQ fixes the scales from a block's weights and rounds the codes later, one
 * column at a time, when the weights have moved. */
#ifndef TS_QUANT_GRID_H
#define TS_QUANT_GRID_H

#include "format/search.h"
#include "kern/kern.h"

typedef struct ts_grid {
    ts_dtype type;
    uint32_t n;               /* elements: of a block; of a group for U4G */
    ts_searched b;            /* scales, and the codes as they are rounded */
    float step[16], zero[16]; /* of sub-block j: an element is zero + step * code */
    uint32_t sub;             /* elements of a sub-block */
    int least, most;          /* codes */
    const int8_t *levels;     /* or the only codes that there are: 16, ascending */
} ts_grid;

/* Elements that share scales: a grid is for so many columns. 0: the type has no grid. */
uint32_t ts_grid_size(ts_dtype type);
/* Fix the scales for w[0..n), n at most ts_grid_size and whole blocks, where columns count by `importance` [n]. */
void ts_grid_fix(ts_grid *g, ts_dtype type, const float *w, const float *importance, uint32_t n, const ts_kern *kern);
/* Round element i: its code is noted, its value returned. */
float ts_grid_round(ts_grid *g, uint32_t i, float w);
/* Where elements are zero + step * code with a step of their own in the block: change it by `by`, as near as binary16
 * allows, the codes kept. false: the type has no such step, nothing has changed. */
bool ts_grid_restep(ts_grid *g, float by);
/* The group's blocks. */
void ts_grid_put(const ts_grid *g, void *blocks);

/* Groups of U4G whose range is that of the weights (`search` false: round to nearest), or the best of several smaller
 * ones by the squared error, weighted where `importance` (nullable) says how columns count. n whole groups; the last
 * may be shorter. */
void ts_u4g_quantize(ts_dtype type, const float *w, const float *importance, bool search, void *blocks, size_t n);

/* The first of n elements that no scale of binary16 reaches: y is not half of x. n: none. */
size_t ts_quant_lost(const float *x, const float *y, size_t n);
/* n elements (whole blocks, or groups for U4G) of any type, by a search where one is to be had, columns counting by
 * `importance` [n] (nullable); and what they are worth (f32 [n], nullable; may be w). */
void ts_quant_round(const ts_kern *kern, ts_dtype type, const float *w, const float *importance, uint32_t n,
                    void *blocks, float *worth);

#endif
