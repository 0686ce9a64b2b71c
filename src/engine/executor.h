/* executor.h - runs the passes of an engine, one at a time: what a pass needs, and which tokens of which sessions go
 * through the layers together. */
#ifndef TS_ENGINE_EXECUTOR_H
#define TS_ENGINE_EXECUTOR_H

#include "engine/gate.h"
#include "model/pass.h"

/* All of it is used inside the gate alone. */
typedef struct ts_executor {
    ts_gate *gate;
    ts_scratch scratch;
    float *logits; /* [TS_LOGIT_ROWS, n_vocab] of several sessions */
    ts_big mem;    /* of logits: resident where it was used */
    /* the pass that runs: its members, and for each a span; their tokens and rows [scratch.max_tok] */
    ts_session **member;
    ts_att_span *span;
    int32_t *id;
    uint32_t *row;
    uint32_t n, layers; /* members; layers done */
} ts_executor;

/* Sessions whose logits are made at a time. */
enum { TS_LOGIT_ROWS = 32 };

TS_NODISCARD ts_status ts_executor_init(ts_executor *x, const ts_model *m, uint32_t max_tok, int n_threads,
                                        ts_err *err);
void ts_executor_fini(ts_executor *x);

/* One pass: pending tokens of these sessions of one engine, as ts_sessions_step has it. `hidden` is NULL or, with
 * n = 1, gets what the output layer would be given for the tokens of the pass, f32 [tokens of the pass, d_model], in
 * place of logits. */
TS_NODISCARD ts_status ts_executor_step(struct ts_engine *e, ts_session *const s[], size_t n, size_t budget,
                                        float *hidden, ts_err *err);
/* The logits of up to scratch.max_tok hidden states [n, d_model]: out [n, n_vocab]. */
TS_NODISCARD ts_status ts_executor_logits(struct ts_engine *e, const float *hidden, uint32_t n, float *out,
                                          ts_err *err);

#endif
