/* generate.c - answer a prompt: sync, draw, print, until something ends it. */
#include "base/clock.h"
#include "engine/session.h"
#include "text/detok.h"

#include <string.h>

/* A stop string is looked for in two texts: in the one that is printed, and in the one that has the text of control
 * tokens too, so that "<|im_end|>" can be named although it prints nothing; there a control token is in it whole or
 * not at all. Each byte is looked at once (Knuth, Morris, Pratt). */
struct stop {
    const char *s;
    size_t len;
    uint32_t *fail;   /* [len] of the first i + 1 bytes: how many at their end are also their beginning, but not all */
    size_t text, all; /* how many bytes at the end of the printed, of the whole text are the beginning of s */
};

/* Text that is not handed out yet because a stop string may be beginning in it. */
struct outlet {
    const ts_generate_opts *o;
    ts_buf held;
    ts_buf control;    /* the text of a control token */
    struct stop *stop; /* [n], the tables behind them */
    size_t n;
    ts_buf shown; /* of the last bytes of the whole text */
};
enum { PRINTED = 1, CONTROL = 2 /* the first byte of a token */, CONTROL_REST = 3 };

static size_t advance(const struct stop *p, size_t at, char c) {
    while (at > 0 && (at == p->len || p->s[at] != c)) at = p->fail[at - 1];
    return at + (p->s[at] == c);
}

static ts_status watch(struct outlet *u, ts_err *err) {
    size_t bytes = 0, n = 0;
    for (size_t i = 0; i < u->o->n_stop; i++) bytes += strlen(u->o->stop[i]);
    if (bytes == 0) return TS_OK;
    if (bytes > UINT32_MAX) return ts_fail(err, TS_E_LIMIT, "the stop strings are larger than 4 GiB");
    u->stop = ts_alloc(1, u->o->n_stop * sizeof *u->stop + bytes * sizeof(uint32_t));
    if (!u->stop) return ts_fail_nomem(err, "the stop strings", bytes);
    uint32_t *table = (uint32_t *)(u->stop + u->o->n_stop);
    for (size_t i = 0; i < u->o->n_stop; i++) {
        struct stop p = {.s = u->o->stop[i], .len = strlen(u->o->stop[i]), .fail = table};
        if (p.len == 0) continue;
        table += p.len;
        p.fail[0] = 0;
        for (size_t k = 1; k < p.len; k++) p.fail[k] = (uint32_t)advance(&p, p.fail[k - 1], p.s[k]);
        u->stop[n++] = p;
    }
    u->n = n;
    return TS_OK;
}

/* How many of the last n bytes of the whole text are printed. */
static size_t printed(const struct outlet *u, size_t n) {
    size_t count = 0;
    for (size_t i = u->shown.len - n; i < u->shown.len; i++) count += u->shown.data[i] == PRINTED;
    return count;
}

/* One more byte of the whole text, which is the byte at `pos` of the held text or, where it is not printed, comes
 * before that byte. `whole`: it is not followed by more of a control token. Where it completes a stop string, *pos
 * becomes its beginning in the held text. */
static bool complete(struct outlet *u, char c, bool show, bool whole, size_t *pos) {
    size_t end = *pos + show, first = end;
    bool found = false;
    for (size_t i = 0; i < u->n; i++) {
        struct stop *p = &u->stop[i];
        p->all = advance(p, p->all, c);
        if (show) p->text = advance(p, p->text, c);
        size_t back = 0;
        bool in_text = show && p->text == p->len;
        bool in_all = whole && p->all == p->len && u->shown.data[u->shown.len - p->len] != CONTROL_REST;
        if (in_text) back = p->len;
        else if (in_all) back = printed(u, p->len);
        found |= in_text || in_all;
        if (end - back < first) first = end - back;
    }
    if (found) *pos = first;
    return found;
}

/* Look at what a token has added: held[from..], or control text that is not printed. true: a stop string is
 * complete, and held is cut in front of it. Otherwise *decided is how much of held can be no part of one. */
static bool find_stop(struct outlet *u, size_t from, size_t *decided, bool *nomem) {
    *decided = u->held.len;
    if (u->n == 0) return false;
    size_t n_control = u->control.len, n_all = n_control + u->held.len - from;
    *nomem = !ts_buf_reserve(&u->shown, n_all);
    if (*nomem) return false;
    for (size_t i = 0; i < n_all; i++) {
        bool show = i >= n_control;
        size_t pos = show ? from + i - n_control : from;
        u->shown.data[u->shown.len++] = show ? PRINTED : i == 0 ? CONTROL : CONTROL_REST;
        if (!complete(u, show ? u->held.data[pos] : u->control.data[i], show, i + 1 >= n_control, &pos)) continue;
        u->held.len = pos;
        *decided = pos;
        return true;
    }
    size_t keep = 0, most = 0;
    for (size_t i = 0; i < u->n; i++) {
        const struct stop *p = &u->stop[i];
        size_t in_all = printed(u, p->all), held = p->text > in_all ? p->text : in_all;
        if (held > keep) keep = held;
        if (p->all > most) most = p->all;
    }
    if (most) memmove(u->shown.data, u->shown.data + u->shown.len - most, most);
    u->shown.len = most;
    *decided = u->held.len - keep;
    return false;
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

/* The text of a control token that is not printed. */
static bool add_control(struct outlet *u, const ts_tokenizer *tok, ts_token id) {
    ts_token_kind kind = ts_token_kind_of(tok, id);
    ts_buf_clear(&u->control);
    return u->o->special || (kind != TS_TOKEN_CONTROL && kind != TS_TOKEN_UNKNOWN) || u->n == 0 ||
           ts_token_bytes(tok, id, true, &u->control);
}

ts_status ts_generate(ts_session *s, ts_sampler *sampler, const ts_token *prompt, size_t n_prompt,
                      const ts_generate_opts *opts, ts_generated *out, ts_err *err) {
    uint64_t begin = ts_now_ns();
    ts_generated r = {.reason = TS_STOP_LENGTH};
    struct outlet u = {.o = opts};
    /* after BOS or the opening of a turn the answer is a text of its own: SentencePiece's space in front of it goes */
    bool continues = n_prompt && ts_token_kind_of(s->e->tok, prompt[n_prompt - 1]) != TS_TOKEN_CONTROL;
    ts_detok detok = {.tok = s->e->tok, .special = opts->special, .keep_space = continues};
    ts_status st = watch(&u, err);
    if (st == TS_OK) st = ts_session_sync(s, prompt, n_prompt, err);
    ts_token last = -1;
    bool wanted = true; /* the receiver has not said that it wants no more */
    /* the session owns room for n_ctx tokens: the timeline is extended in place */
    while (st == TS_OK) {
        if (opts->max_tokens && r.n_tokens == opts->max_tokens) break;
        last = ts_sampler_next(sampler, s->logits, s->token, s->n);
        if (last < 0) { /* logits of a session are finite */
            st = ts_fail(err, TS_E_INVAL, "no token is left to choose from: logit biases forbid all of them");
            break;
        }
        if (r.n_tokens++ == 0) r.first_ns = ts_now_ns() - begin;
        bool end = !opts->ignore_end && ts_tokenizer_is_end(s->e->tok, last);
        size_t from = u.held.len, n;
        bool nomem = !end && (!ts_detok_push(&detok, last, &u.held) || !add_control(&u, s->e->tok, last));
        bool found = !nomem && find_stop(&u, from, &n, &nomem);
        if (nomem) {
            st = ts_fail_nomem(err, "the answer", u.held.len);
            break;
        }
        if (!hand_out(&u, end ? 0 : n, last, s->logits)) {
            r.reason = TS_STOP_CANCELLED;
            wanted = false;
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
    if (st == TS_OK && wanted && r.reason != TS_STOP_STRING) { /* what was held back was not a stop string after all */
        if (!ts_detok_flush(&detok, &u.held))
            st = ts_fail_nomem(err, "the answer", u.held.len);
        else if (u.held.len)
            hand_out(&u, u.held.len, last, s->logits);
    }
    ts_buf_free(&u.held);
    ts_buf_free(&u.control);
    ts_buf_free(&u.shown);
    ts_free(u.stop);
    if (st != TS_OK) return st;
    r.total_ns = ts_now_ns() - begin;
    *out = r;
    return TS_OK;
}
