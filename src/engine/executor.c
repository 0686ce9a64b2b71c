#include "engine/executor.h"
#include "base/clock.h"
#include "engine/session.h"

#include <string.h>

ts_status ts_executor_init(ts_executor *out, const ts_model *m, uint32_t max_tok, int n_threads, ts_err *err) {
    ts_executor x = {0};
    ts_status s = ts_gate_new(&x.gate, err);
    if (s == TS_OK) s = ts_scratch_init(&x.scratch, m, max_tok, n_threads, err);
    if (s == TS_OK)
        s = ts_big_alloc(&x.mem, (size_t)TS_LOGIT_ROWS * m->c.n_vocab * sizeof(float), false, "logits", err);
    x.logits = x.mem.ptr;
    x.member = ts_alloc(max_tok, sizeof *x.member);
    x.span = ts_alloc(max_tok, sizeof *x.span);
    x.id = ts_alloc(max_tok, sizeof *x.id);
    x.row = ts_alloc(max_tok, sizeof *x.row);
    if (s == TS_OK && (!x.member || !x.span || !x.id || !x.row)) s = ts_fail_nomem(err, "the engine", max_tok);
    if (s == TS_OK) *out = x;
    else ts_executor_fini(&x);
    return s;
}

void ts_executor_fini(ts_executor *x) {
    ts_gate_free(x->gate);
    ts_scratch_fini(&x->scratch);
    ts_big_free(&x->mem);
    ts_free(x->member);
    ts_free(x->span);
    ts_free(x->id);
    ts_free(x->row);
    *x = (ts_executor){0};
}

/* ---- which tokens ------------------------------------------------------------------------------------------------ */

/* One token behind a timeline is a step of an answer; all others are a prompt, its last token too. */
static bool is_prefill(const ts_session *s) {
    return s->run > 1 || s->n == 0;
}

/* Up to `room` tokens of a session; says how many. */
static uint32_t add(ts_executor *x, ts_session *s, uint32_t room) {
    s->take = s->pending < room ? (uint32_t)s->pending : room;
    s->layers = 0;
    s->prefill = is_prefill(s);
    s->has_logits = s->stop = false;
    s->failed.code = TS_OK;
    x->member[x->n++] = s;
    return s->take;
}

/* The steps of answers first, then prompts, as far as they go. */
static void choose(ts_executor *x, ts_session *const s[], size_t n, size_t budget) {
    uint32_t room = budget && budget < x->scratch.max_tok ? (uint32_t)budget : x->scratch.max_tok;
    x->n = 0;
    for (size_t i = 0; i < n; i++) s[i]->take = 0;
    for (int prefill = 0; prefill < 2; prefill++)
        for (size_t i = 0; i < n && room; i++)
            if (s[i]->pending && is_prefill(s[i]) == prefill) room -= add(x, s[i], room);
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

/* A pass counts by the layers that it has done. */
static bool wants_to_stop(ts_session *s, uint32_t done) {
    if (done > s->layers) s->layers = done; /* a pass that is run again tells nothing twice */
    return s->progress &&
           !s->progress(s->progress_ud,
                        s->run - s->pending + (uint64_t)s->take * s->layers / s->e->model->c.n_layer, s->run);
}

/* Asked between layers. */
static bool cancelled(void *ud) {
    ts_executor *x = ud;
    bool any = false;
    for (uint32_t i = 0; i < x->n; i++) any |= x->member[i]->stop = wants_to_stop(x->member[i], x->layers);
    x->layers++;
    return any;
}

static ts_status forward(ts_engine *e, ts_err *err) {
    ts_executor *x = &e->executor;
    x->scratch.culprit = UINT32_MAX;
    ts_batch b = {.id = x->id, .span = x->span, .n_span = x->n, .cancelled = cancelled, .ud = x};
    for (uint32_t i = 0; i < x->n; i++) {
        ts_session *s = x->member[i];
        ts_status st = ts_kv_reserve(&s->kv, (uint32_t)s->n, s->take, err);
        s->stop = st != TS_OK;
        if (s->stop) return st;
        x->span[i] = (ts_att_span){.kv = &s->kv, .first = b.n_tok, .n = s->take, .pos0 = (uint32_t)s->n};
        memcpy(x->id + b.n_tok, s->token + s->n, s->take * sizeof *x->id);
        b.n_tok += s->take;
    }
    x->layers = 0;
    TS_TRY(ts_forward(e->model, ts_engine_exec(e), &x->scratch, &b, err));
    return e->src->op->check_unchanged(e->src, err); /* embeddings, norms and float weights are read from the file */
}

static void fail(ts_session *s, const ts_err *why) {
    s->failed = *why;
    s->pending = s->run = 0;
}

/* Those who stop or whose fault it was leave; everybody, where it was nobody's. */
static void drop(ts_executor *x, const ts_err *why) {
    bool somebody = false;
    for (uint32_t i = 0; i < x->n; i++) somebody |= x->member[i]->stop |= x->scratch.culprit == i;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->n; i++)
        if (somebody && !x->member[i]->stop) x->member[kept++] = x->member[i];
        else fail(x->member[i], why);
    x->n = kept;
}

/* ---- logits ------------------------------------------------------------------------------------------------------ */

/* Of the last tokens of some members, whose rows are x->row[0..n). */
static void make_logits(ts_engine *e, ts_session *const s[], const uint32_t *row, uint32_t n) {
    ts_executor *x = &e->executor;
    const size_t n_vocab = e->model->c.n_vocab;
    float *out = n == 1 ? s[0]->logits : x->logits;
    ts_err why;
    ts_status st = ts_forward_logits(e->model, ts_engine_exec(e), &x->scratch, row, n, out, &why);
    if (st == TS_E_FORMAT && n > 1) { /* of one of them */
        for (uint32_t i = 0; i < n; i++) make_logits(e, s + i, row + i, 1);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (st != TS_OK) fail(s[i], &why);
        else if (n > 1) memcpy(s[i]->logits, out + i * n_vocab, n_vocab * sizeof *out);
        s[i]->has_logits = st == TS_OK;
    }
}

/* Of those that have no more to process, which become the first members. */
static void finish(ts_engine *e) {
    ts_executor *x = &e->executor;
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->member[i]->pending) continue;
        x->row[n] = x->span[i].first + x->span[i].n - 1;
        ts_session *s = x->member[i];
        x->member[i] = x->member[n];
        x->member[n++] = s;
    }
    for (uint32_t i = 0; i < n; i += TS_LOGIT_ROWS)
        make_logits(e, x->member + i, x->row + i, n - i < TS_LOGIT_ROWS ? n - i : TS_LOGIT_ROWS);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static ts_status hidden_states(ts_engine *e, float *out, ts_err *err) {
    ts_executor *x = &e->executor;
    const uint32_t n = x->span[0].n;
    for (uint32_t i = 0; i < n; i++) x->row[i] = i;
    return ts_forward_hidden(e->model, ts_engine_exec(e), &x->scratch, x->row, n, out, err);
}

static void run(ts_engine *e, float *hidden) {
    ts_executor *x = &e->executor;
    ts_err why;
    const uint64_t begin = ts_now_ns();
    while (x->n && forward(e, &why) != TS_OK) drop(x, &why);
    for (uint32_t i = 0; i < x->n; i++) {
        ts_session *s = x->member[i];
        s->n += s->take;
        s->pending -= s->take;
    }
    if (!hidden) finish(e);
    else if (x->n && hidden_states(e, hidden, &why) != TS_OK) fail(x->member[0], &why);
    const uint64_t ns = ts_now_ns() - begin;
    for (uint32_t i = 0; i < x->n; i++) {
        ts_session *s = x->member[i];
        *(s->prefill ? &s->stats.n_prefill : &s->stats.n_decode) += s->take;
        *(s->prefill ? &s->stats.prefill_ns : &s->stats.decode_ns) += ns;
    }
}

ts_status ts_executor_step(ts_engine *e, ts_session *const s[], size_t n, size_t budget, float *hidden, ts_err *err) {
    ts_engine_enter(e);
    choose(&e->executor, s, n, budget);
    run(e, hidden);
    ts_engine_leave(e);
    for (size_t i = 0; i < n; i++)
        if (s[i]->take && s[i]->failed.code != TS_OK) {
            if (err) *err = s[i]->failed;
            return s[i]->failed.code;
        }
    return TS_OK;
}

ts_status ts_executor_logits(ts_engine *e, const float *hidden, uint32_t n, float *out, ts_err *err) {
    ts_engine_enter(e);
    ts_status s = ts_hidden_logits(e->model, ts_engine_exec(e), &e->executor.scratch, hidden, n, out, err);
    ts_engine_leave(e);
    return s;
}
