/* calib.h - calibration tokens on their way through a model, layer by layer, in floats.
 *
 * Only the hidden states stay: f32 [n, d_model]. A layer's weights are loaded as F32, may be changed by whoever
 * quantises them, and then move the states on, so that later layers see what the quantised ones before them give. Texts
 * are chunks of the same length that do not see each other. Everything is the same on any number of threads and at any
 * level. Memory: the states, a layer, and a chunk's activations. */
#ifndef TS_QUANT_CALIB_H
#define TS_QUANT_CALIB_H

#include "base/pool.h"
#include "kern/kern.h"
#include "model/rope.h"
#include "source/source.h"

enum { TS_CALIB_CHUNK = 512 };

typedef struct ts_calib {
    ts_source *src; /* borrowed, like kern and pool */
    const ts_kern *kern;
    ts_pool *pool;
    ts_model_config c;
    ts_widths width;
    ts_rope rope;
    float *x; /* [n, d_model] */
    uint32_t n, n_chunks;
} ts_calib;

/* `token`: n of them, n_chunks = n / TS_CALIB_CHUNK chunks (at least one; one that is shorter where n is), each as it
 * begins a text. Errors: those of the configuration; TS_E_INVAL: no tokens, or one that the model has not. */
TS_NODISCARD ts_status ts_calib_init(ts_calib *c, ts_source *src, const ts_token *token, size_t n, const ts_kern *kern,
                                     ts_pool *pool, ts_err *err);
void ts_calib_fini(ts_calib *c);
/* The tokens of a chunk: first, and how many. */
uint32_t ts_calib_chunk(const ts_calib *c, uint32_t i, uint32_t *n);

typedef struct ts_calib_layer {
    const ts_tensor *tensor[TS_LAYER_MATS];
    float *mat[TS_LAYER_MATS];                  /* [out][in] */
    float *bias[TS_LAYER_MATS];                 /* [out] or NULL */
    float *vec[TS_LAYER_ROLES - TS_LAYER_MATS]; /* norms by role; NULL: there is none */
} ts_calib_layer;
/* Errors: TS_E_FORMAT for a tensor that is missing, has another shape or an element that is not finite; those of the
 * source's check; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_calib_load(ts_calib_layer *l, const ts_calib *c, uint32_t layer, ts_err *err);
void ts_calib_layer_fini(ts_calib_layer *l);

/* The inputs of a group's matrices for the tokens of chunk i: out f32 [chunk's tokens, the group's width], as the
 * layer's weights now are. The states are those before the layer for TS_GROUP_QKV and _O, and behind its attention for
 * the others. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status ts_calib_inputs(const ts_calib *c, const ts_calib_layer *l, ts_mat_group g, uint32_t i,
                                       float *out, ts_err *err);
uint32_t ts_calib_width(const ts_calib *c, ts_mat_group g);
/* Add the attention's result, or the feed-forward network's, to the states of all chunks: after TS_GROUP_O, and after
 * TS_GROUP_DOWN. */
TS_NODISCARD ts_status ts_calib_advance(ts_calib *c, const ts_calib_layer *l, ts_mat_group g, ts_err *err);

#endif
