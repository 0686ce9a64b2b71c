/* session.h - a timeline, for the engine's own files. Depends on: engine.h. */
#ifndef TS_ENGINE_SESSION_H
#define TS_ENGINE_SESSION_H

#include "engine/engine.h"

struct ts_session {
    ts_engine *e;
    ts_kv kv;
    ts_scratch scratch;
    uint32_t n_ctx;
    ts_token *token; /* [n_ctx] the timeline: keys and values of these are in the cache */
    size_t n;
    float *logits;   /* [SCORE_ROWS, n_vocab]; row 0 is the prediction after token n - 1 where has_logits */
    bool has_logits;
    ts_progress_fn *progress;
    void *progress_ud;
    uint64_t progress_done, progress_all; /* in tokens, of the pass that runs: those before it */
    uint32_t pass_tokens, pass_layers;    /* its tokens, and the layers that it has done */
    ts_session_stats stats;
};

/* The context of a session that asks for none, with a model trained for n_ctx_train. */
uint32_t ts_session_default_ctx(uint32_t n_ctx_train);
/* About how many bytes a session takes beside its KV cache: activations of a pass, logits. */
size_t ts_session_working_bytes(const ts_model_config *c, uint32_t n_ctx);

/* Process the token that stands at s->token[s->n] (n < n_ctx), as ts_session_sync would. */
TS_NODISCARD ts_status ts_session_extend(ts_session *s, ts_err *err);

#endif
