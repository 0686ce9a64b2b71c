/* generate.c - answer a prompt: sync, draw, print, until something ends it. */
#define _GNU_SOURCE
#include "base/clock.h"
#include "engine/session.h"
#include "text/detok.h"

#include <string.h>

/* Text that is not handed out yet because a stop string may be beginning in it. */
struct outlet {
    const ts_generate_opts *o;
    ts_buf held;
    size_t longest; /* of the stop strings */
};

/* The first stop string in the held text: its position, or the length where there is none. */
static size_t find_stop(const struct outlet *u) {
    size_t first = u->held.len;
    for (size_t i = 0; i < u->o->n_stop; i++) {
        size_t len = strlen(u->o->stop[i]);
        if (len == 0 || len > u->held.len) continue;
        const char *at = memmem(u->held.data, u->held.len, u->o->stop[i], len);
        if (at && (size_t)(at - u->held.data) < first) first = (size_t)(at - u->held.data);
    }
    return first;
}

/* How many bytes at the end of the held text could be the beginning of a stop string. */
static size_t undecided(const struct outlet *u) {
    size_t most = u->longest ? u->longest - 1 : 0;
    if (most > u->held.len) most = u->held.len;
    for (size_t n = most; n > 0; n--)
        for (size_t i = 0; i < u->o->n_stop; i++)
            if (strlen(u->o->stop[i]) > n && !memcmp(u->held.data + u->held.len - n, u->o->stop[i], n)) return n;
    return 0;
}

/* Hand out what is decided. false: the receiver wants no more. */
static bool hand_out(struct outlet *u, size_t n, ts_token token, const float *logits) {
    bool more = true;
    if (u->o->on_piece) {
        ts_piece p = {.text = n ? u->held.data : "", .len = n, .token = token, .logits = logits};
        more = u->o->on_piece(u->o->ud, &p);
    }
    if (n) {
        memmove(u->held.data, u->held.data + n, u->held.len - n);
        u->held.len -= n;
    }
    return more;
}

ts_status ts_generate(ts_session *s, ts_sampler *sampler, const ts_token *prompt, size_t n_prompt, const ts_generate_opts *opts,
                      ts_generated *out, ts_err *err) {
    uint64_t begin = ts_now_ns();
    ts_generated r = {.reason = TS_STOP_LENGTH};
    struct outlet u = {.o = opts};
    /* after BOS or the opening of a turn the answer is a text of its own: SentencePiece's space in front of it goes */
    bool continues = n_prompt && ts_token_kind_of(s->e->tok, prompt[n_prompt - 1]) != TS_TOKEN_CONTROL;
    ts_detok detok = {.tok = s->e->tok, .special = opts->special, .keep_space = continues};
    for (size_t i = 0; i < opts->n_stop; i++)
        if (strlen(opts->stop[i]) > u.longest) u.longest = strlen(opts->stop[i]);
    ts_status st = ts_session_sync(s, prompt, n_prompt, err);
    ts_token last = -1;
    /* the session owns room for n_ctx tokens: the timeline is extended in place */
    while (st == TS_OK) {
        if (opts->max_tokens && r.n_tokens == opts->max_tokens) break;
        last = ts_sampler_next(sampler, s->logits, s->token, s->n);
        if (r.n_tokens++ == 0) r.first_ns = ts_now_ns() - begin;
        bool end = !opts->ignore_end && ts_tokenizer_is_end(s->e->tok, last);
        if (!end && !ts_detok_push(&detok, last, &u.held)) {
            st = ts_fail_nomem(err, "the answer", u.held.len);
            break;
        }
        size_t stop = find_stop(&u), n = stop < u.held.len ? stop : u.held.len - undecided(&u);
        bool found = stop < u.held.len;
        if (!hand_out(&u, end ? 0 : n, last, s->logits)) {
            r.reason = TS_STOP_CANCELLED;
            break;
        }
        if (end || found) {
            r.reason = end ? TS_STOP_END : TS_STOP_STRING;
            break;
        }
        if (opts->max_tokens && r.n_tokens == opts->max_tokens) break;
        if (s->n == s->n_ctx) {
            r.reason = TS_STOP_CONTEXT;
            break;
        }
        s->token[s->n] = last;
        size_t n_before = s->n;
        st = ts_session_extend(s, err);
        if (st == TS_E_CANCELLED) {
            s->n = n_before;
            r.reason = TS_STOP_CANCELLED;
            st = TS_OK;
            break;
        }
    }
    if (st == TS_OK && r.reason != TS_STOP_STRING) { /* what was held back was not a stop string after all */
        if (!ts_detok_flush(&detok, &u.held))
            st = ts_fail_nomem(err, "the answer", u.held.len);
        else if (u.held.len)
            hand_out(&u, u.held.len, last, s->logits);
    }
    ts_buf_free(&u.held);
    if (st != TS_OK) return st;
    r.total_ns = ts_now_ns() - begin;
    *out = r;
    return TS_OK;
}
