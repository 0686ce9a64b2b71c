/* session.h - a timeline, for the engine's own files. */
#ifndef TS_ENGINE_SESSION_H
#define TS_ENGINE_SESSION_H

#include "engine/engine.h"

struct ts_session {
    ts_engine *e;
    ts_kv kv;
    uint32_t n_ctx;
    ts_token *token; /* [n_ctx] the timeline: keys and values of the first n are in the cache; then those pending */
    size_t n, pending;
    size_t run;      /* tokens given one after the other until none was pending, processed ones included */
    float *logits;   /* [n_vocab] the prediction after token n - 1 where has_logits */
    bool has_logits;
    ts_err failed;   /* how the last pass of this session ended, code TS_OK: well */
    ts_progress_fn *progress;
    void *progress_ud;
    /* the executor's, of the pass that runs: its tokens of this session, 0: none; the layers told */
    uint32_t take, layers;
    bool prefill, stop;
    bool listed; /* for ts_sessions_step */
    ts_session_stats stats;
};

/* The context of a session that asks for none, with a model trained for n_ctx_train. */
uint32_t ts_session_default_ctx(uint32_t n_ctx_train);
/* About how many bytes an engine and its session take beside weights and KV cache: activations of a pass, logits. */
size_t ts_session_working_bytes(const ts_model_config *c, uint32_t n_ctx);

/* ts_session_new, without asking whether the whole context would fit into the memory that is free. */
TS_NODISCARD ts_status ts_session_make(ts_session **out, ts_engine *e, const ts_session_opts *opts, ts_err *err);

/* An empty timeline, all of these tokens being pending; and behind the passes: nothing is pending, no logits. For
 * callers that take the hidden states. */
TS_NODISCARD ts_status ts_session_begin(ts_session *s, const ts_token *tokens, size_t n, ts_err *err);
void ts_session_end(ts_session *s);

/* Process the token that stands at s->token[s->n] (n < n_ctx), as ts_session_sync would. */
TS_NODISCARD ts_status ts_session_extend(ts_session *s, ts_err *err);

#endif
