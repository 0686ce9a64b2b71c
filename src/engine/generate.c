/* generate.c - answer a prompt: sync, draw, print, until something ends it. */
#include "base/clock.h"
#include "base/sized.h"
#include "engine/session.h"

/* Draw and process, piece by piece. */
static ts_status run(ts_session *s, ts_answer *a, const ts_generate_opts *opts, uint64_t begin, ts_generated *r,
                     ts_err *err) {
    for (;;) {
        const ts_piece *p;
        TS_TRY(ts_answer_next(a, s->logits, s->token, s->n, &p, err));
        if (p->token >= 0 && r->n_tokens++ == 0) r->first_ns = ts_now_ns() - begin;
        const bool wanted = !opts->on_piece || opts->on_piece(opts->ud, p);
        r->reason = wanted ? p->reason : TS_STOP_CANCELLED;
        if (!wanted || p->last) return TS_OK;
        ts_status st = TS_E_LIMIT; /* the session owns room for n_ctx tokens: the timeline is extended in place */
        if (s->n < s->n_ctx) {
            size_t n_before = s->n;
            s->token[s->n] = p->token;
            st = ts_session_extend(s, err);
            if (st == TS_E_CANCELLED) s->n = n_before;
        }
        if (st == TS_OK) continue;
        if (st != TS_E_CANCELLED && st != TS_E_LIMIT) return st;
        r->reason = st == TS_E_LIMIT ? TS_STOP_CONTEXT : TS_STOP_CANCELLED;
        TS_TRY(ts_answer_finish(a, r->reason, &p, err));
        if (opts->on_piece && p->len) (void)opts->on_piece(opts->ud, p);
        return TS_OK;
    }
}

ts_status ts_generate_sized(ts_session *s, ts_sampler *sampler, const ts_token *prompt, size_t n_prompt,
                            const ts_generate_opts *given, size_t opts_size, ts_generated *out, size_t out_size,
                            ts_err *err) {
    ts_generate_opts all, *opts = &all;
    TS_TRY(ts_sized_in(&all, sizeof all, given, opts_size, err));
    TS_NEED(s && sampler && out && (prompt || !n_prompt), err, "an answer needs a session, a sampler and a prompt");
    uint64_t begin = ts_now_ns();
    ts_generated r = {0};
    ts_answer *a;
    TS_TRY(ts_answer_new(&a, s->e, sampler, n_prompt ? prompt[n_prompt - 1] : -1, opts, err));
    ts_status st = ts_session_sync(s, prompt, n_prompt, err);
    if (st == TS_OK) st = run(s, a, opts, begin, &r, err);
    ts_answer_free(a);
    if (st != TS_OK) return st;
    r.total_ns = ts_now_ns() - begin;
    ts_sized_out(out, out_size, &r, sizeof r);
    return TS_OK;
}
