#include "engine/session.h"
#include "base/clock.h"
#include "base/cpu.h"

#include <string.h>

enum { DEFAULT_CTX = 4096, SCORE_ROWS = 8 };

uint32_t ts_session_default_ctx(uint32_t n_ctx_train) {
    return n_ctx_train < DEFAULT_CTX ? n_ctx_train : DEFAULT_CTX;
}

/* Sizes of a config are bounded (config.c), so that nothing overflows. */
size_t ts_session_working_bytes(const ts_model_config *c, uint32_t n_ctx) {
    size_t per_token = 8 * (size_t)c->d_model + 6 * (size_t)c->n_head * ts_head_pad(c) + 3 * (size_t)c->d_ff;
    size_t tokens = n_ctx < TS_PASS_TOKENS ? n_ctx : TS_PASS_TOKENS;
    return (tokens * per_token + (size_t)SCORE_ROWS * c->n_vocab) * sizeof(float);
}

ts_status ts_session_new(ts_session **out, ts_engine *e, const ts_session_opts *opts, ts_err *err) {
    const ts_session_opts none = {0};
    if (!opts) opts = &none;
    const ts_model_config *c = &e->model->c;
    uint32_t n_ctx = opts->n_ctx ? opts->n_ctx : ts_session_default_ctx(c->n_ctx_train);
    size_t cache = ts_kv_bytes(c, n_ctx, opts->kv), there = ts_mem_available(),
           work = ts_session_working_bytes(c, n_ctx);
    if (!cache || (there && (cache > there || work > there - cache)))
        return ts_fail(
            err, TS_E_NOMEM,
            "a context of %u tokens needs %zu MiB for its KV cache and %zu MiB to work in, but %zu MiB are free", n_ctx,
            cache ? cache >> 20 : SIZE_MAX >> 20, work >> 20, there >> 20);
    ts_session *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "the session", sizeof *s);
    s->e = e;
    s->n_ctx = n_ctx;
    s->progress = opts->progress;
    s->progress_ud = opts->progress_ud;
    uint32_t most = e->accel ? TS_PASS_TOKENS_DEVICE : TS_PASS_TOKENS,
             max_tok = n_ctx < most ? n_ctx : most;
    ts_status st = ts_kv_init(&s->kv, e->kv_pool, n_ctx, opts->kv, err);
    if (st == TS_OK) st = ts_scratch_init(&s->scratch, e->model, max_tok, ts_pool_threads(e->pool), err);
    if (st == TS_OK && !(s->token = ts_alloc(n_ctx, sizeof *s->token)))
        st = ts_fail_nomem(err, "the timeline", n_ctx * sizeof *s->token);
    if (st == TS_OK && !(s->logits = ts_alloc_aligned((size_t)SCORE_ROWS * c->n_vocab, sizeof(float))))
        st = ts_fail_nomem(err, "logits", (size_t)SCORE_ROWS * c->n_vocab * sizeof(float));
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
    ts_scratch_fini(&s->scratch);
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

void ts_session_get_stats(const ts_session *s, ts_session_stats *out) {
    *out = s->stats;
    out->kv_bytes = ts_kv_held(&s->kv, &out->kv_own_bytes);
}

void ts_session_stats_reset(ts_session *s) {
    s->stats = (ts_session_stats){0};
}

/* Asked between layers: a pass counts by the layers that it has done. */
static bool stopped(void *ud) {
    ts_session *s = ud;
    const uint32_t n = s->e->model->c.n_layer, done = s->pass_layers < n ? s->pass_layers++ : n;
    return s->progress &&
           !s->progress(s->progress_ud, s->progress_done + (uint64_t)s->pass_tokens * done / n, s->progress_all);
}

/* Process the next `n` tokens of the timeline (they follow s->n, which moves on) in one pass. */
static ts_status pass(ts_session *s, const ts_token *token, uint32_t n, ts_err *err) {
    ts_engine *e = s->e;
    uint64_t begin = ts_now_ns();
    ts_att_span span = {.kv = &s->kv, .first = 0, .n = n, .pos0 = (uint32_t)s->n};
    ts_batch b = {.n_tok = n, .id = token, .span = &span, .n_span = 1, .cancelled = stopped, .ud = s};
    s->has_logits = false;
    s->pass_tokens = n;
    s->pass_layers = 0;
    TS_TRY(ts_kv_reserve(&s->kv, (uint32_t)s->n, n, err));
    ts_engine_enter(e);
    ts_status st = ts_forward(e->model, ts_engine_exec(e), &s->scratch, &b, err);
    ts_engine_leave(e);
    if (st != TS_OK) return st;
    TS_TRY(ts_gguf_check_unchanged(e->file, err)); /* embeddings, norms and float weights are read from the file */
    memmove(s->token + s->n, token, n * sizeof *token);
    s->n += n;
    uint64_t ns = ts_now_ns() - begin;
    if (n > 1)
        s->stats.n_prefill += n, s->stats.prefill_ns += ns;
    else
        s->stats.n_decode++, s->stats.decode_ns += ns;
    return TS_OK;
}

/* Logits of rows [row, row + n) of the last pass, into s->logits. */
static ts_status read_logits(ts_session *s, uint32_t row, uint32_t n, bool prefill, ts_err *err) {
    uint64_t begin = ts_now_ns();
    ts_engine_enter(s->e);
    ts_status st = ts_forward_logits(s->e->model, ts_engine_exec(s->e), &s->scratch, row, n, s->logits, err);
    ts_engine_leave(s->e);
    if (st != TS_OK) return st;
    *(prefill ? &s->stats.prefill_ns : &s->stats.decode_ns) += ts_now_ns() - begin;
    return TS_OK;
}

static ts_status check_tokens(const ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    if (n == 0) return ts_fail(err, TS_E_INVAL, "there are no tokens to process");
    if (n > s->n_ctx)
        return ts_fail(err, TS_E_LIMIT, "%zu tokens do not fit into the context of %u (the model was trained with %u)",
                       n, s->n_ctx, s->e->model->c.n_ctx_train);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->e->model->c.n_vocab)
            return ts_fail(err, TS_E_INVAL, "token %d at position %zu is outside the vocabulary of %u", tokens[i], i,
                           s->e->model->c.n_vocab);
    return TS_OK;
}

ts_status ts_session_sync(ts_session *s, const ts_token *tokens, size_t n, ts_err *err) {
    TS_TRY(check_tokens(s, tokens, n, err));
    size_t common = 0;
    while (common < n && common < s->n && tokens[common] == s->token[common]) common++;
    if (common == n && s->n == n && s->has_logits) {
        s->stats.n_reused += n;
        return TS_OK;
    }
    ts_kv_keep(&s->kv, (uint32_t)n);
    if (common == n) common--; /* the last token's hidden state is gone: process it again */
    s->n = common;
    s->stats.n_reused += common;
    s->progress_all = n - common;
    while (s->n < n) {
        size_t left = n - s->n;
        uint32_t step = left < s->scratch.max_tok ? (uint32_t)left : s->scratch.max_tok;
        s->progress_done = s->n - common;
        TS_TRY(pass(s, tokens + s->n, step, err));
        if (s->n == n) TS_TRY(read_logits(s, step - 1, 1, step > 1, err));
    }
    s->has_logits = true;
    return TS_OK;
}

ts_status ts_session_extend(ts_session *s, ts_err *err) {
    s->progress_done = 0;
    s->progress_all = 1;
    TS_TRY(pass(s, s->token + s->n, 1, err));
    TS_TRY(read_logits(s, 0, 1, false, err));
    s->has_logits = true;
    return TS_OK;
}

ts_status ts_session_score(ts_session *s, const ts_token *tokens, size_t n, ts_logits_fn *fn, void *ud, ts_err *err) {
    TS_TRY(check_tokens(s, tokens, n, err));
    s->n = 0;
    ts_kv_keep(&s->kv, (uint32_t)n);
    s->progress_all = n;
    while (s->n < n) {
        size_t left = n - s->n, pos = s->n;
        uint32_t step = left < s->scratch.max_tok ? (uint32_t)left : s->scratch.max_tok;
        s->progress_done = s->n;
        TS_TRY(pass(s, tokens + s->n, step, err));
        for (uint32_t row = 0; row < step; row += SCORE_ROWS) {
            uint32_t rows = step - row < SCORE_ROWS ? step - row : SCORE_ROWS;
            TS_TRY(read_logits(s, row, rows, true, err));
            for (uint32_t i = 0; i < rows; i++)
                if (!fn(ud, pos + row + i, s->logits + (size_t)i * s->e->model->c.n_vocab))
                    return ts_fail(err, TS_E_CANCELLED, "stopped");
        }
    }
    return TS_OK;
}
