#include "engine/session.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/sized.h"
#include "engine/executor.h"

#include <inttypes.h>
#include <string.h>

enum { DEFAULT_CTX = 4096, SCORE_ROWS = 8 };

uint32_t ts_session_default_ctx(uint32_t n_ctx_train) {
    return n_ctx_train < DEFAULT_CTX ? n_ctx_train : DEFAULT_CTX;
}

/* What a session takes when its context is full; 0: more than there can be. Sizes of a config are bounded (config.c),
 * so that nothing but the cache overflows. */
static uint64_t full_bytes(const ts_model_config *c, uint32_t n_ctx, ts_kv_type kv) {
    const size_t cache = ts_kv_bytes(c, n_ctx, kv);
    return cache ? cache + (uint64_t)n_ctx * sizeof(ts_token) + (uint64_t)c->n_vocab * sizeof(float) : 0;
}

size_t ts_session_working_bytes(const ts_model_config *c, uint32_t n_ctx) {
    size_t per_token = 8 * (size_t)c->d_model + 6 * (size_t)c->n_head * ts_head_pad(c) + 3 * (size_t)c->d_ff;
    size_t tokens = n_ctx < TS_PASS_TOKENS ? n_ctx : TS_PASS_TOKENS;
    return (tokens * per_token + c->n_vocab) * sizeof(float);
}

ts_status ts_session_new_sized(ts_session **out, ts_engine *e, const ts_session_opts *given, size_t opts_size,
                               ts_err *err) {
    ts_session_opts o = {0}, *opts = &o;
    TS_TRY(ts_sized_in(&o, sizeof o, given, opts_size, err));
    TS_NEED(out && e && e->model, err, "a session needs an engine with a model");
    TS_NEED(ts_kv_type_name(opts->kv), err, "there is no type %d of a KV cache", (int)opts->kv);
    const ts_model_config *c = &e->model->c;
    uint32_t n_ctx = opts->n_ctx ? opts->n_ctx : ts_session_default_ctx(c->n_ctx_train);
    const uint64_t full = full_bytes(c, n_ctx, opts->kv), there = ts_mem_available();
    if (!full || (there && full > there))
        return ts_fail(err, TS_E_NOMEM,
                       "a context of %u tokens needs %" PRIu64 " MiB of memory, but %" PRIu64 " MiB are free", n_ctx,
                       (full ? full : UINT64_MAX) >> 20, there >> 20);
    o.n_ctx = n_ctx;
    return ts_session_make(out, e, &o, err);
}

ts_status ts_session_make(ts_session **out, ts_engine *e, const ts_session_opts *opts, ts_err *err) {
    const ts_model_config *c = &e->model->c;
    const uint32_t n_ctx = opts->n_ctx;
    ts_session *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "the session", sizeof *s);
    s->e = e;
    s->n_ctx = n_ctx;
    s->progress = opts->progress;
    s->progress_ud = opts->progress_ud;
    ts_status st = ts_kv_init(&s->kv, e->kv_pool, n_ctx, opts->kv, err);
    if (st == TS_OK && !(s->token = ts_alloc(n_ctx, sizeof *s->token)))
        st = ts_fail_nomem(err, "the timeline", n_ctx * sizeof *s->token);
    if (st == TS_OK && !(s->logits = ts_alloc_aligned(c->n_vocab, sizeof(float))))
        st = ts_fail_nomem(err, "logits", c->n_vocab * sizeof(float));
    if (st != TS_OK) {
        ts_session_free(s);
        return st;
    }
    *out = s;
    return TS_OK;
}

void ts_session_free(ts_session *s) {
    if (!s) return;
    ts_kv_fini(&s->kv);
    ts_free(s->token);
    ts_free(s->logits);
    ts_free(s);
}

uint32_t ts_session_n_ctx(const ts_session *s) {
    return s->n_ctx;
}

const float *ts_session_logits(const ts_session *s) {
    return s->has_logits ? s->logits : NULL;
}

const ts_token *ts_session_tokens(const ts_session *s, size_t *n) {
    *n = s->n;
    return s->token;
}

void ts_session_get_stats_sized(const ts_session *s, ts_session_stats *out, size_t out_size) {
    ts_session_stats stats = s->stats;
    stats.kv_bytes = ts_kv_held(&s->kv, &stats.kv_own_bytes);
    ts_sized_out(out, out_size, &stats, sizeof stats);
}

void ts_session_stats_reset(ts_session *s) {
    s->stats = (ts_session_stats){0};
}

/* ---- what is to be processed ------------------------------------------------------------------------------------- */

static ts_status check_tokens(const ts_session *s, size_t before, const ts_token *tokens, size_t n, ts_err *err) {
    TS_NEED(n && tokens, err, "there are no tokens to process");
    if (n > s->n_ctx - before)
        return ts_fail(err, TS_E_LIMIT, "%zu tokens do not fit into the context of %u (the model was trained with %u)",
                       before + n, s->n_ctx, s->e->model->c.n_ctx_train);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->e->model->c.n_vocab)
            return ts_fail(err, TS_E_INVAL, "token %d at position %zu is outside the vocabulary of %u", tokens[i],
                           before + i, s->e->model->c.n_vocab);
    return TS_OK;
}

/* The timeline becomes its first `keep` tokens, and n more are pending. */
static void set_pending(ts_session *s, size_t keep, const ts_token *tokens, size_t n) {
    if (n) memmove(s->token + keep, tokens, n * sizeof *tokens);
    s->has_logits &= s->n == keep;
    ts_kv_keep(&s->kv, (uint32_t)(keep + n));
    s->n = keep;
    s->pending = s->run = n;
    s->failed.code = TS_OK;
}

ts_status ts_session_prepare(ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    TS_NEED(s, err, "there is no session");
    TS_TRY(check_tokens(s, 0, tokens, n, err));
    size_t common = 0;
    while (common < n && common < s->n && tokens[common] == s->token[common]) common++;
    if (common == n && (s->n > n || !s->has_logits)) common--; /* the last token's hidden state is gone */
    s->stats.n_reused += common;
    set_pending(s, common, tokens + common, n - common);
    return TS_OK;
}

ts_status ts_session_append(ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    TS_NEED(s, err, "there is no session");
    const size_t before = s->n + s->pending;
    TS_TRY(check_tokens(s, before, tokens, n, err));
    memmove(s->token + before, tokens, n * sizeof *tokens);
    s->run = (s->pending ? s->run : 0) + n;
    s->pending += n;
    s->failed.code = TS_OK;
    return TS_OK;
}

size_t ts_session_pending(const ts_session *s) {
    return s->pending;
}

ts_status ts_session_status(const ts_session *s, ts_err *err) {
    TS_NEED(s, err, "there is no session");
    if (err && s->failed.code != TS_OK) *err = s->failed;
    return s->failed.code;
}

/* ---- processing it ----------------------------------------------------------------------------------------------- */

ts_status ts_sessions_step(ts_session *const s[], size_t n, size_t budget, ts_err *err) {
    bool twice = false, mixed = false;
    size_t there = 0;
    while (there < n && s && s[there]) there++;
    TS_NEED(n && there == n, err, "there is no session to process");
    for (size_t i = 0; i < n; i++) {
        twice |= s[i]->listed;
        mixed |= s[i]->e != s[0]->e;
        s[i]->listed = true;
    }
    for (size_t i = 0; i < n; i++) s[i]->listed = false;
    TS_NEED(!twice, err, "a session is listed twice");
    TS_NEED(!mixed, err, "the sessions are of several engines");
    return ts_executor_step(s[0]->e, s, n, budget, NULL, err);
}

ts_status ts_session_sync(ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    TS_TRY(ts_session_prepare(s, tokens, n, err));
    while (s->pending) TS_TRY(ts_executor_step(s->e, &s, 1, 0, NULL, err));
    return TS_OK;
}

ts_status ts_session_extend(ts_session *s, ts_err *err) {
    s->pending = s->run = 1;
    return ts_executor_step(s->e, &s, 1, 0, NULL, err);
}

ts_status ts_session_begin(ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    TS_TRY(check_tokens(s, 0, tokens, n, err));
    set_pending(s, 0, tokens, n);
    return TS_OK;
}

void ts_session_end(ts_session *s) {
    s->pending = s->run = 0;
    s->has_logits = false;
}

/* What is left of a pass's tokens after it, position by position. */
static ts_status hand_out(ts_session *s, const float *hidden, size_t pos, float *logits, ts_logits_fn *fn, void *ud,
                          ts_err *err) {
    const ts_model_config *c = &s->e->model->c;
    for (; pos < s->n; pos += SCORE_ROWS, hidden += (size_t)SCORE_ROWS * c->d_model) {
        const uint32_t rows = s->n - pos < SCORE_ROWS ? (uint32_t)(s->n - pos) : SCORE_ROWS;
        const uint64_t begin = ts_now_ns();
        TS_TRY(ts_executor_logits(s->e, hidden, rows, logits, err));
        s->stats.prefill_ns += ts_now_ns() - begin;
        for (uint32_t i = 0; i < rows; i++)
            if (!fn(ud, pos + i, logits + (size_t)i * c->n_vocab)) return ts_fail(err, TS_E_CANCELLED, "stopped");
    }
    return TS_OK;
}

ts_status ts_session_score(ts_session *s, const ts_token *tokens, size_t n, ts_logits_fn *fn, void *ud, ts_err *err) {
    TS_NEED(s && fn, err, "a score needs a session and a function that takes it");
    TS_TRY(check_tokens(s, 0, tokens, n, err));
    const ts_model_config *c = &s->e->model->c;
    const size_t most = n < s->e->executor.scratch.max_tok ? n : s->e->executor.scratch.max_tok;
    /* outside the gate others compute: a pass's hidden states are kept here, and so are the logits of some of them */
    float *hidden = ts_alloc_aligned(most * c->d_model + (size_t)SCORE_ROWS * c->n_vocab, sizeof *hidden);
    if (!hidden) return ts_fail_nomem(err, "hidden states", most * c->d_model * sizeof *hidden);
    set_pending(s, 0, tokens, n);
    ts_status st = TS_OK;
    while (st == TS_OK && s->pending) {
        const size_t pos = s->n;
        st = ts_executor_step(s->e, &s, 1, 0, hidden, err);
        if (st == TS_OK) st = hand_out(s, hidden, pos, hidden + most * c->d_model, fn, ud, err);
    }
    s->pending = s->run = 0;
    s->has_logits = false;
    ts_free(hidden);
    return st;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

uint64_t ts_engine_context_bytes_sized(const ts_engine *e, const ts_session_opts *given, size_t opts_size) {
    ts_session_opts o = {0}, *opts = &o;
    if (!e || !e->model || ts_sized_in(&o, sizeof o, given, opts_size, NULL) != TS_OK) return 0;
    const ts_model_config *c = &e->model->c;
    const uint32_t n_ctx = opts->n_ctx ? opts->n_ctx : ts_session_default_ctx(c->n_ctx_train);
    return full_bytes(c, n_ctx, opts->kv);
}
