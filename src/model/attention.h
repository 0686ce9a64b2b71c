/* attention.h - causal attention of new tokens over the KV cache. */
#ifndef TS_MODEL_ATTENTION_H
#define TS_MODEL_ATTENTION_H

#include "model/kv.h"
#include "model/linear.h"

/* Tokens that follow each other on one timeline: positions pos0 .. pos0 + n - 1, whose keys and values are stored. */
typedef struct ts_att_span {
    ts_kv *kv;
    uint32_t first, n; /* rows of q and out */
    uint32_t pos0;
} ts_att_span;

/* Bytes of working memory for models like c and a pool of n_threads. */
size_t ts_att_scratch_bytes(const ts_model_config *c, int n_threads);

/* out[t][head][0..head_pad) = softmax(scale * q k) v over the visible positions of token t: those up to its own, and
 * with a window w > 0 only the last w. q and out f32 [n_tok][n_head][head_pad]; q's padding is zero. Spans are in
 * row order. Result by rule 5 of docs/numerics.md. `mem` is 64-byte aligned; what is in it does not matter. */
void ts_attention(const ts_exec *ex, const ts_model_config *c, uint32_t layer, const ts_att_span *span, uint32_t n_span,
                  const float *q, float *out, float scale, void *mem);

#endif
