/* pass.h - one forward pass over a batch of tokens: its memory and the steps that families are made of.
 * Depends on: model.h. */
#ifndef TS_MODEL_PASS_H
#define TS_MODEL_PASS_H

#include "model/model.h"

/* Memory of a pass for up to max_tok tokens at a time; made once, used for every pass. */
typedef struct ts_scratch {
    uint32_t max_tok;
    float *x;      /* [n_tok, d_model] the residual stream */
    float *norm;   /* [n_tok, widest input of a linear layer] */
    float *y;      /* [n_tok, d_model] what a block adds to x */
    float *q;      /* [n_tok, n_head * head_dim] */
    float *k, *v;  /* [n_tok, n_kv_head * head_dim] */
    float *qr;     /* [n_tok, n_head, head_pad] queries after rope, padded */
    float *att;    /* [n_tok, n_head, head_pad] */
    float *gate, *up; /* [n_tok, d_ff] */
    float *angles; /* [n_tok, n_rot] */
    ts_qact act;
    uint32_t culprit; /* the span whose numbers ended the last ts_forward; UINT32_MAX: no one's */
    ts_att_scratch *thread; /* [n_threads] */
    int n_threads;
    ts_big mem;
} ts_scratch;
TS_NODISCARD ts_status ts_scratch_init(ts_scratch *s, const ts_model *m, uint32_t max_tok, int n_threads, ts_err *err);
void ts_scratch_fini(ts_scratch *s);

/* What to compute. */
typedef struct ts_batch {
    uint32_t n_tok;        /* 1 .. max_tok */
    const int32_t *id;     /* [n_tok], each in [0, n_vocab) */
    const ts_att_span *span; /* cover the tokens in order; their positions are reserved (ts_kv_reserve) */
    uint32_t n_span;
    bool (*cancelled)(void *ud); /* asked between layers; NULL: never */
    void *ud;
} ts_batch;

struct ts_pass {
    const ts_model *m;
    ts_exec ex;
    ts_scratch *s;
    const ts_batch *batch;
    uint32_t n_tok;
    ts_status failed; /* of a linear layer on a device: nothing more is given to it */
    uint32_t layer;   /* that we are in */
    _Atomic uint64_t fault; /* the first place where numbers stopped being numbers (pass.c), UINT64_MAX: none */
    ts_err *err;
};

/* Run the layers: stores keys and values, leaves the residual stream of every token in s->x. TS_E_CANCELLED when
 * asked to stop, TS_E_DEVICE; TS_E_FORMAT where a value is not finite any more, TS_E_UNSUPP where a key or value is
 * too large for an F16 cache, both with layer and position, and s->culprit says whose. (The KV caches then hold entries
 * of these positions that must not be used; the pass may be run again without that span.) */
TS_NODISCARD ts_status ts_forward(const ts_model *m, ts_exec ex, ts_scratch *s, const ts_batch *b, ts_err *err);
/* Logits of n <= max_tok rows of the last pass: out f32 [n, n_vocab], finite. The residual stream stays as it is.
 * Errors: those of a device; TS_E_FORMAT: they would not be finite. */
TS_NODISCARD ts_status ts_forward_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n,
                                         float *out, ts_err *err);
/* The same in two steps: what the output layer is given, the residual stream after the last norm, out f32 [n,
 * d_model]; and, whenever that is wanted, the logits that it makes of it. */
TS_NODISCARD ts_status ts_forward_hidden(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n,
                                         float *out, ts_err *err);
TS_NODISCARD ts_status ts_hidden_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const float *hidden, uint32_t n,
                                        float *out, ts_err *err);

/* ---- steps, for arch_*.c: each is one parallel region over tokens, rows or heads ------------------------------- */

/* s->norm = rmsnorm(s->x, weight), and its quantised forms as that group of the layer's matrices wants them. With
 * `add`, first s->x += s->y. */
void ts_step_norm(ts_pass *p, bool add, const float *weight, const ts_layer *l, ts_mat_group consumer);
/* s->q, s->k, s->v = the three layers of s->norm */
void ts_step_qkv(ts_pass *p, const ts_layer *l);
/* RoPE on q and k (after q_norm and k_norm where the layer has them); keys and values into the cache; attention; the
 * output layer: s->y = o(attention) */
void ts_step_attention(ts_pass *p, uint32_t layer);
/* s->y = down(silu(gate(norm)) * up(norm)) */
void ts_step_ffn(ts_pass *p, const ts_layer *l);
/* s->x += s->y, after the last layer */
void ts_step_add(ts_pass *p);
/* All of it, for every family with Llama's layer (arch_llama.c). */
ts_status ts_llama_forward(ts_pass *p);
/* Has the batch's owner asked to stop, or a device failed? */
bool ts_pass_cancelled(const ts_pass *p);

#endif
