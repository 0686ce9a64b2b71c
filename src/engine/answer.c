/* answer.c - an answer as a state that is fed logits: draw, detokenise, hold back what may become a stop string. */
#include "base/kmp.h"
#include "base/sized.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "text/detok.h"

#include <math.h>
#include <string.h>

/* A stop string is looked for in two texts: in the one that is printed, and in the one that has the text of control
 * tokens too, so that "<|im_end|>" can be named although it prints nothing; there a control token is in it whole or
 * not at all. */
struct stop {
    size_t text, all; /* how many bytes at the end of the printed, of the whole text are its beginning */
};

struct ts_answer {
    const ts_engine *e;
    ts_sampler *sampler; /* NULL: the caller chooses the tokens */
    ts_generate_opts o;
    ts_detok detok;
    ts_buf held;       /* text that is not handed out yet because a stop string may be beginning in it */
    size_t handed;     /* and, in front of it, so many bytes that the last piece has handed out */
    ts_buf control;    /* the text of a control token */
    ts_kmp *kmp;       /* [n] the stop strings */
    struct stop *stop; /* [n] how far each of them is there */
    size_t n;
    ts_buf shown; /* of the last bytes of the whole text */
    const char *found; /* the stop string that ended it */
    uint32_t n_vocab, *allowed; /* [(n_vocab + 31) / 32] what the mask says */
    float *masked;    /* [n_vocab] logits with -infinity where it forbids */
    ts_standing standing; /* in o.constraint */
    uint32_t *fits;       /* what the constraint allows, where there is a mask, too */
    size_t n_tokens;
    bool broken; /* memory was short: what the text is, nobody knows */
    ts_piece piece;
};
enum { PRINTED = 1, CONTROL = 2 /* the first byte of a token */, CONTROL_REST = 3 };

static ts_status watch(ts_answer *a, ts_err *err) {
    TS_TRY(ts_kmp_new(&a->kmp, &a->n, a->o.stop, a->o.n_stop, err));
    a->stop = a->n ? ts_calloc(a->n, sizeof *a->stop) : NULL;
    return a->stop || a->n == 0 ? TS_OK : ts_fail_nomem(err, "the stop strings", a->n * sizeof *a->stop);
}

/* How many of the last n bytes of the whole text are printed. */
static size_t printed(const ts_answer *a, size_t n) {
    size_t count = 0;
    for (size_t i = a->shown.len - n; i < a->shown.len; i++) count += a->shown.data[i] == PRINTED;
    return count;
}

/* One more byte of the whole text, which is the byte at `pos` of the held text or, where it is not printed, comes
 * before that byte. `whole`: it is not followed by more of a control token. Where it completes a stop string, *pos
 * becomes its beginning in the held text. */
static bool complete(ts_answer *a, char c, bool show, bool whole, size_t *pos) {
    size_t end = *pos + show, first = end;
    bool found = false; /* of several that end here, the one that begins first */
    for (size_t i = 0; i < a->n; i++) {
        const ts_kmp *k = &a->kmp[i];
        struct stop *p = &a->stop[i];
        p->all = ts_kmp_step(k, p->all, c);
        if (show) p->text = ts_kmp_step(k, p->text, c);
        bool in_text = show && p->text == k->len;
        bool in_all = whole && p->all == k->len && a->shown.data[a->shown.len - k->len] != CONTROL_REST;
        if (!in_text && !in_all) continue;
        const size_t begin = end - (in_text ? k->len : printed(a, k->len));
        if (!found || begin < first) first = begin, a->found = k->s;
        found = true;
    }
    if (found) *pos = first;
    return found;
}

/* Look at what a token has added: held[from..], or control text that is not printed. true: a stop string is
 * complete, and held is cut in front of it. Otherwise *decided is how much of held can be no part of one. */
static bool find_stop(ts_answer *a, size_t from, size_t *decided, bool *nomem) {
    *decided = a->held.len;
    if (a->n == 0) return false;
    size_t n_control = a->control.len, n_all = n_control + a->held.len - from;
    *nomem = !ts_buf_reserve(&a->shown, n_all);
    if (*nomem) return false;
    for (size_t i = 0; i < n_all; i++) {
        bool show = i >= n_control;
        size_t pos = show ? from + i - n_control : from;
        a->shown.data[a->shown.len++] = show ? PRINTED : i == 0 ? CONTROL : CONTROL_REST;
        if (!complete(a, show ? a->held.data[pos] : a->control.data[i], show, i + 1 >= n_control, &pos)) continue;
        a->held.len = pos;
        *decided = pos;
        return true;
    }
    size_t keep = 0, most = 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct stop *p = &a->stop[i];
        size_t in_all = printed(a, p->all), held = p->text > in_all ? p->text : in_all;
        if (held > keep) keep = held;
        if (p->all > most) most = p->all;
    }
    if (most) memmove(a->shown.data, a->shown.data + a->shown.len - most, most);
    a->shown.len = most;
    *decided = a->held.len - keep;
    return false;
}

/* The text of a control token that is not printed. */
static bool add_control(ts_answer *a, ts_token id) {
    const ts_tokenizer *tok = a->e->tok;
    ts_token_kind kind = ts_token_kind_of(tok, id);
    ts_buf_clear(&a->control);
    return a->o.special || (kind != TS_TOKEN_CONTROL && kind != TS_TOKEN_UNKNOWN) || a->n == 0 ||
           ts_token_bytes(tok, id, true, &a->control);
}

static ts_status open_mask(ts_answer *a, ts_err *err) {
    if (!a->o.mask && !a->o.constraint && !a->e->n_never) return TS_OK;
    a->allowed = ts_alloc((a->n_vocab + 31) / 32, sizeof *a->allowed);
    a->masked = ts_alloc(a->n_vocab, sizeof *a->masked);
    a->fits = ts_alloc((a->n_vocab + 31) / 32, sizeof *a->fits);
    return a->allowed && a->masked && a->fits ? TS_OK : ts_fail_nomem(err, "the mask", a->n_vocab * sizeof *a->masked);
}

ts_status ts_answer_new_sized(ts_answer **out, const ts_engine *e, ts_sampler *sampler, ts_token after,
                              const ts_generate_opts *given, size_t opts_size, ts_err *err) {
    ts_generate_opts all, *opts = &all;
    TS_TRY(ts_sized_in(&all, sizeof all, given, opts_size, err));
    TS_NEED(out && e && e->model, err, "an answer needs an engine with a model");
    const uint32_t n_vocab = e->model->c.n_vocab;
    TS_NEED(!all.constraint || all.constraint->e == e, err, "the constraint was made for another engine");
    TS_NEED(!sampler || ts_sampler_vocab(sampler) == n_vocab, err,
            "the sampler was made for a vocabulary of %u tokens, the model has %u", ts_sampler_vocab(sampler), n_vocab);
    ts_answer *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "the answer", sizeof *a);
    *a = (ts_answer){.e = e, .sampler = sampler, .o = *opts, .n_vocab = n_vocab};
    /* after BOS or the opening of a turn the answer is a text of its own: SentencePiece's space in front of it goes */
    bool continues = after >= 0 && ts_token_kind_of(e->tok, after) != TS_TOKEN_CONTROL;
    a->detok = (ts_detok){.tok = e->tok, .special = opts->special, .keep_space = continues};
    if (a->o.constraint) ts_constraint_begin(a->o.constraint, &a->standing, continues);
    ts_status s = watch(a, err);
    if (s == TS_OK) s = open_mask(a, err);
    if (s != TS_OK) {
        ts_answer_free(a);
        return s;
    }
    *out = a;
    return TS_OK;
}

void ts_answer_free(ts_answer *a) {
    if (!a) return;
    if (a->o.constraint) ts_constraint_end(a->o.constraint, &a->standing);
    ts_buf_free(&a->held);
    ts_buf_free(&a->control);
    ts_buf_free(&a->shown);
    ts_free(a->kmp);
    ts_free(a->stop);
    ts_free(a->allowed);
    ts_free(a->masked);
    ts_free(a->fits);
    ts_free(a);
}

size_t ts_answer_n_tokens(const ts_answer *a) {
    return a->n_tokens;
}

static ts_status may_go_on(const ts_answer *a, const ts_piece **out, ts_err *err) {
    TS_NEED(a && out, err, "there is no answer, or no room for its piece");
    TS_NEED(!a->piece.last, err, "the answer is over");
    TS_NEED(!a->broken, err, "the answer has failed: there was no memory for it");
    return TS_OK;
}

/* What the last piece has handed out goes. */
static void drop_handed(ts_answer *a) {
    if (!a->handed) return;
    memmove(a->held.data, a->held.data + a->handed, a->held.len - a->handed);
    a->held.len -= a->handed;
    a->handed = 0;
}

/* A piece of the first n bytes that are held; where the answer ends, of all. */
static ts_status hand_out(ts_answer *a, ts_piece p, size_t n, const ts_piece **out, ts_err *err) {
    if (p.last && p.reason != TS_STOP_STRING) { /* what was held back was not a stop string after all */
        a->broken = !a->o.drop_partial && !ts_detok_flush(&a->detok, &a->held);
        if (a->broken) return ts_fail_nomem(err, "the answer", a->held.len);
        n = a->held.len;
    }
    p.text = n ? a->held.data : "";
    p.len = a->handed = n;
    a->piece = p;
    *out = &a->piece;
    return TS_OK;
}

static ts_status push(ts_answer *a, ts_token id, const float *logits, const ts_piece **out, ts_err *err) {
    if (a->o.constraint) TS_TRY(ts_constraint_push(a->o.constraint, &a->standing, id, err));
    drop_handed(a);
    const bool end = !a->o.ignore_end && ts_tokenizer_is_end(a->e->tok, id);
    size_t from = a->held.len, n = 0;
    a->broken = !end && (!ts_detok_push(&a->detok, id, &a->held) || !add_control(a, id));
    const bool found = !end && !a->broken && find_stop(a, from, &n, &a->broken);
    if (a->broken) return ts_fail_nomem(err, "the answer", a->held.len);
    const bool length = ++a->n_tokens == a->o.max_tokens;
    const ts_piece p = {.token = id, .logits = logits, .last = end || found || length,
                        .reason = end ? TS_STOP_END : found ? TS_STOP_STRING : TS_STOP_LENGTH,
                        .stop = found ? a->found : NULL};
    return hand_out(a, p, n, out, err);
}

ts_status ts_answer_push(ts_answer *a, ts_token token, const ts_piece **out, ts_err *err) {
    TS_TRY(may_go_on(a, out, err));
    TS_NEED(token >= 0 && (uint32_t)token < a->n_vocab, err, "token %d is outside the vocabulary of %u", token,
            a->n_vocab);
    return push(a, token, NULL, out, err);
}

ts_status ts_answer_finish(ts_answer *a, ts_stop_reason reason, const ts_piece **out, ts_err *err) {
    TS_TRY(may_go_on(a, out, err));
    drop_handed(a);
    return hand_out(a, (ts_piece){.token = -1, .last = true, .reason = reason}, 0, out, err);
}

/* Which tokens may be drawn, into a->allowed. *over: none, and the answer ends so. */
static ts_status ask_masks(ts_answer *a, const ts_token *history, size_t n_history, bool *over, ts_stop_reason *reason,
                           ts_err *err) {
    const size_t words = (a->n_vocab + 31) / 32;
    bool only_end = false;
    memset(a->fits, a->o.constraint ? 0 : 0xff, words * sizeof *a->fits);
    if (a->o.constraint)
        TS_TRY(ts_constraint_mask(a->o.constraint, &a->standing, a->o.ignore_end, a->fits, &only_end, err));
    for (size_t i = 0; i < a->e->n_never; i++) a->fits[a->e->never[i] / 32] &= ~(1u << a->e->never[i] % 32);
    *over = only_end;
    *reason = TS_STOP_END;
    if (only_end) return TS_OK;
    memset(a->allowed, 0xff, words * sizeof *a->allowed);
    if (a->o.mask && !a->o.mask(a->o.mask_ud, history, n_history, a->allowed)) {
        *over = true;
        *reason = TS_STOP_CANCELLED;
        return TS_OK;
    }
    uint32_t any = 0;
    for (size_t i = 0; i < words; i++) any |= a->allowed[i] &= a->fits[i];
    if (!any && a->o.constraint)
        return ts_fail(err, TS_E_INVAL, "the mask forbids every token that the constraint allows");
    return TS_OK;
}

ts_status ts_answer_next(ts_answer *a, const float *logits, const ts_token *history, size_t n_history,
                         const ts_piece **out, ts_err *err) {
    TS_TRY(may_go_on(a, out, err));
    TS_NEED(a->sampler && logits && (history || !n_history), err, "an answer needs a sampler, logits and a history");
    ts_token id;
    const float *choice = logits;
    if (a->o.mask || a->o.constraint) {
        bool over;
        ts_stop_reason reason;
        TS_TRY(ask_masks(a, history, n_history, &over, &reason, err));
        if (over) return ts_answer_finish(a, reason, out, err);
        for (uint32_t i = 0; i < a->n_vocab; i++)
            a->masked[i] = a->allowed[i / 32] >> i % 32 & 1 ? logits[i] : -INFINITY;
        choice = a->masked;
    } else if (a->masked) {
        memcpy(a->masked, logits, a->n_vocab * sizeof *a->masked);
        for (size_t i = 0; i < a->e->n_never; i++) a->masked[a->e->never[i]] = -INFINITY;
        choice = a->masked;
    }
    TS_TRY(ts_sampler_next(a->sampler, choice, history, n_history, &id, err));
    return push(a, id, logits, out, err);
}
