/* choice.c - what becomes of a token of an answer: text, thoughts and calls told apart, stop strings, probabilities. */
#include "base/clock.h"
#include "server/server_int.h"

#include <math.h>

static bool tell(srv_choice *c, int kind, const char *text, size_t len) {
    srv_gen *g = c->gen;
    const srv_delta d = {.kind = kind, .text = text, .len = len};
    if (!g->stream) return true;
    const bool ok = g->api->delta(g, c, &d);
    c->told_logprob = c->n_logprob;
    return ok;
}

static bool new_call(srv_choice *c, const char *name, size_t len) {
    if (!ts_grow((void **)&c->call, &c->cap_call, c->n_call + 1, sizeof *c->call)) return false;
    srv_call *call = &c->call[c->n_call++];
    *call = (srv_call){0};
    const char *prefix = c->gen->api->call_prefix;
    srv_new_id(c->gen->job->srv, prefix ? prefix : "call_", call->id, sizeof call->id);
    return ts_buf_append(&call->name, name, len) && ts_buf_reserve(&call->arguments, 1) &&
           tell(c, SRV_CALL, NULL, 0);
}

bool srv_choice_say(srv_choice *c, const char *text, size_t len) {
    return len == 0 || (ts_buf_append(&c->text, text, len) && tell(c, SRV_TEXT, text, len));
}

/* So much of the text is no part of a stop string. */
static bool say_held(srv_choice *c, size_t n) {
    const bool ok = srv_choice_say(c, c->stops.held.data, n);
    srv_stop_drop(&c->stops, n);
    return ok;
}

static bool say_text(srv_choice *c, const char *text, size_t len) {
    size_t n;
    if (!c->gen->n_kmp) return srv_choice_say(c, text, len);
    return srv_stop_feed(&c->stops, c->gen->kmp, c->gen->n_kmp, text, len, &n) && say_held(c, n);
}

static bool on_part(void *ud, srv_part part, const char *text, size_t len) {
    srv_choice *c = ud;
    if (c->stops.found) return true; /* nothing behind it is part of the answer */
    if (part != SRV_PART_TEXT && !say_held(c, srv_stop_break(&c->stops))) return false;
    switch (part) {
    case SRV_PART_TEXT: return say_text(c, text, len);
    case SRV_PART_THINKING: return ts_buf_append(&c->thinking, text, len) && tell(c, SRV_THINKING, text, len);
    case SRV_PART_NAME: return new_call(c, text, len);
    case SRV_PART_ARGUMENTS:
        if (c->n_call == 0) return true;
        return ts_buf_append(&c->call[c->n_call - 1].arguments, text, len) && tell(c, SRV_ARGUMENTS, text, len);
    }
    return true;
}

/* Characters of a token's text as it is shown, which is none of most control tokens. Of one that is spread over several
 * tokens the first one counts. */
static size_t characters(const srv_gen *g, ts_token id) {
    const unsigned flags = TS_DETOKENIZE_NO_PREFIX | (g->opts.special ? TS_DETOKENIZE_SPECIAL : 0);
    char *text;
    size_t len, n = 0;
    if (ts_engine_detokenize(g->model->engine, &id, 1, flags, &text, &len, NULL) != TS_OK) return 0;
    for (size_t i = 0; i < len; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    ts_text_release(text);
    return n;
}

static bool add_logprob(srv_choice *c, const ts_piece *p) {
    const srv_gen *g = c->gen;
    ts_logprob top[SRV_TOP];
    if (!ts_grow((void **)&c->logprob, &c->cap_logprob, c->n_logprob + 1, sizeof *c->logprob)) return false;
    srv_logprob *l = &c->logprob[c->n_logprob++];
    const double drawn = ts_logprobs(p->logits, g->model->info.n_vocab, p->token, top, (size_t)g->top);
    l->drawn = (srv_prob){p->token, (float)drawn};
    l->begin = c->n_logprob > 1 ? l[-1].end : 0;
    l->end = l->begin + characters(g, p->token);
    for (int i = 0; i < SRV_TOP; i++)
        l->top[i] = i < g->top ? (srv_prob){top[i].token, (float)top[i].logprob} : (srv_prob){-1, -INFINITY};
    return true;
}

static bool count_token(srv_choice *c, const ts_piece *p) {
    if (p->token < 0) return true;
    c->last_ns = ts_now_ns();
    if (!c->first_ns) c->first_ns = c->last_ns;
    c->n_tokens++;
    /* the end token is no part of the text, and of no list of its tokens */
    const bool shown = !(p->last && p->reason == TS_STOP_END);
    return !c->gen->logprobs || !p->logits || !shown || add_logprob(c, p);
}

bool srv_choice_take(srv_choice *c, const ts_piece *p) {
    srv_gen *g = c->gen;
    const size_t told = c->told_logprob;
    if (!count_token(c, p) || !srv_parser_feed(&c->parser, p->text, p->len, p->last, on_part, c)) return false;
    if (g->stream && g->logprobs && c->n_logprob > told && c->told_logprob == told && !tell(c, SRV_TEXT, "", 0))
        return false; /* a token that has no text yet has its probability all the same */
    const bool found = c->stops.found != NULL;
    if (!p->last && !found) return true;
    if (!found && !say_held(c, srv_stop_break(&c->stops))) return false;
    c->ended = true;
    c->reason = found ? TS_STOP_STRING : p->reason;
    c->stop = found ? c->stops.found : p->reason == TS_STOP_STRING ? p->stop : NULL;
    c->state = SRV_OVER;
    g->n_ended++;
    return !g->stream || g->api->close(g, c);
}

void srv_choice_fini(srv_choice *c) {
    ts_answer_free(c->answer);
    ts_sampler_free(c->sampler);
    ts_session_free(c->session);
    for (size_t i = 0; i < c->n_call; i++) ts_buf_free(&c->call[i].name), ts_buf_free(&c->call[i].arguments);
    ts_free(c->call);
    ts_free(c->logprob);
    ts_buf_free(&c->text);
    ts_buf_free(&c->thinking);
    srv_parser_free(&c->parser);
    srv_stop_free(&c->stops);
}
