/* attention.h - causal attention of new tokens over the KV cache. */
#ifndef TS_MODEL_ATTENTION_H
#define TS_MODEL_ATTENTION_H

#include "model/kv.h"
#include "model/linear.h"

/* Scratch of one thread, for heads of head_pad elements and up to max_q queries at a time. */
typedef struct ts_att_scratch {
    float *k, *v;   /* [head_pad][64], [64][head_pad]: a tile in f32 */
    float *s, *o;   /* [max_q][64] scores, [4][head_pad] a tile's values */
    ts_qact q8;     /* max_q queries, for q8_0 caches */
    float *M, *L;   /* [max_q] running maximum and sum */
} ts_att_scratch;

/* Tokens that follow each other on one timeline: positions pos0 .. pos0 + n - 1, whose keys and values are stored. */
typedef struct ts_att_span {
    ts_kv *kv;
    uint32_t first, n; /* rows of q and out */
    uint32_t pos0;
} ts_att_span;

/* How many tokens one attention task takes. */
enum { TS_ATT_TOKENS = 32 };

/* out[t][head][0..head_pad) = softmax(scale * q k) v over the visible positions of token t: those up to its own, and
 * with a window w > 0 only the last w. q and out f32 [n_tok][n_head][head_pad]; q's padding is zero. Spans are in
 * row order. Result by rule 5 of docs/numerics.md. `scratch` has one entry per thread, max_q = TS_ATT_TOKENS *
 * (n_head / n_kv_head). */
void ts_attention(const ts_exec *ex, const ts_model_config *c, uint32_t layer, const ts_att_span *span, uint32_t n_span,
                  const float *q, float *out, float scale, const ts_att_scratch *scratch);

#endif
