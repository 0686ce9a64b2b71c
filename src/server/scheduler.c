/* scheduler.c - the engine thread: who computes when.
 *
 * A step is one pass of a model: one token of every answer that is being drawn, and as much of the prompts that wait,
 * oldest first, as fits beside them. Beside answers a prompt's piece is so small that the step takes at most about
 * twice as long as without it (`beside`), so a long prompt delays others' tokens by no more than that; each of several
 * that wait may do so, or a crowd of them would wait for the answers of a few. What a pass costs is measured as it
 * goes. By the numeric contract none of this changes a bit of anybody's answer. */
#include "base/clock.h"
#include "server/server_int.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    MODELS = 16,
    PING_MS = 10000,
    GATHER_MS = 1, GATHER_MOST_MS = 5, /* so long the first request waits for others; and where there are such */
    CROWD_MS = 200, /* so long after their answers those who were answered together are expected again */
};

/* What passes of a model have taken lately. */
typedef struct cost {
    uint64_t serial, used; /* of the loading of its model, 0: none; the step that it was last used in */
    double draw_ns[SRV_SLOTS + 1]; /* of a pass that draws for so many and reads nothing; 0: not known yet */
    double row_ns;                 /* more for a token of a prompt */
    ts_ledger_row *ledger, *before; /* [cap] of its engine now, and in front of the last pass; owned */
    size_t n_ledger, n_before, cap;
} cost;

struct srv_sched {
    ts_server *srv;
    pthread_t thread;
    bool running;
    int wake; /* an eventfd */

    pthread_mutex_t lock;  /* what follows */
    srv_gen *in, **in_end; /* submitted */
    uint32_t n_waiting;    /* submitted, and no place yet for all of it */
    bool stop;
    srv_now now;

    /* the thread's own */
    srv_gen *waiting, *active; /* first come first; those with a choice in a place */
    uint32_t n_busy;           /* places taken */
    uint32_t peak, crowd;      /* at most, since there was nothing to do; and in the time before that */
    uint64_t idle_ns;          /* since when there is nothing to do */
    srv_choice *place[SRV_SLOTS];
    uint64_t task[SRV_SLOTS], n_task;
    cost cost[MODELS];
    uint64_t n_step;
    uint64_t rate_ns, rate_drawn, rate_read; /* of the last second: since when, and how many */
};

/* ---- the ends of requests ---------------------------------------------------------------------------------------- */

static void leave_place(srv_sched *s, srv_choice *c) {
    for (int i = 0; i < SRV_SLOTS; i++)
        if (s->place[i] == c) s->place[i] = NULL, s->n_busy--;
    ts_session_free(c->session);
    c->session = NULL;
}

static void unlink_gen(srv_gen **list, srv_gen *g) {
    while (*list && *list != g) list = &(*list)->next;
    if (*list) *list = g->next;
}

static void count_waiting(srv_sched *s, int by) {
    pthread_mutex_lock(&s->lock);
    s->n_waiting = (uint32_t)((int)s->n_waiting + by);
    pthread_mutex_unlock(&s->lock);
}

/* It is out of both lists; its places are given back. */
static void drop_gen(srv_sched *s, srv_gen *g) {
    for (uint32_t i = 0; i < g->n_choice; i++) leave_place(s, &g->choice[i]);
    srv_gen_free(g);
}

static void remove_gen(srv_sched *s, srv_gen *g) {
    srv_gen *w = s->waiting;
    while (w && w != g) w = w->next;
    if (w) count_waiting(s, -1), unlink_gen(&s->waiting, g);
    else unlink_gen(&s->active, g);
}

/* Before its end is told, behind which the log may be written. */
static void note_tokens(srv_gen *g) {
    pthread_mutex_lock(&g->job->lock);
    g->job->n_prompt = (uint32_t)srv_gen_prompt_tokens(g);
    g->job->n_out = (uint32_t)srv_gen_tokens(g);
    pthread_mutex_unlock(&g->job->lock);
}

static void fail_gen(srv_sched *s, srv_gen *g, const srv_error *e) {
    note_tokens(g);
    if (!g->begun) {
        srv_job_fail(g->job, e);
    } else {
        (void)g->api->fail(g, e);
        srv_job_end(g->job);
    }
    remove_gen(s, g);
    drop_gen(s, g);
}

static void fail_with(srv_sched *s, srv_gen *g, const ts_err *err) {
    srv_error e;
    ts_err told = *err;
    srv_model_hide_folder(g->model, told.msg);
    srv_refuse_err(&e, NULL, &told);
    if (e.status == 400) e.status = 500, e.type = "server_error"; /* what a request can be blamed for was looked at */
    fail_gen(s, g, &e);
}

static void fail_nomem(srv_sched *s, srv_gen *g) {
    srv_error e;
    srv_refuse_nomem(&e);
    fail_gen(s, g, &e);
}

/* Its client has left: whatever it is at. */
static void abandon(srv_sched *s, srv_gen *g) {
    srv_error e;
    srv_refuse(&e, SRV_LEFT, NULL, "the client has left");
    if (g->begun) srv_job_end(g->job);
    else srv_job_fail(g->job, &e);
    remove_gen(s, g);
    drop_gen(s, g);
}

static bool finish(srv_gen *g) {
    ts_buf body = {0};
    note_tokens(g);
    srv_books_put(g->job->srv->books, g->bill); /* in front of the answer that names it */
    g->bill = NULL;
    if (g->stream) {
        const bool ok = g->api->finish(g);
        srv_job_end(g->job);
        return ok;
    }
    const bool ok = g->api->whole(g, &body);
    srv_job_reply_json(g->job, ok, &body);
    return true;
}

/* ---- taking up --------------------------------------------------------------------------------------------------- */

/* false: no memory. */
static bool take_piece(srv_sched *s, srv_choice *c, const ts_piece *p) {
    if (p->token >= 0) {
        s->rate_drawn++;
        atomic_fetch_add(&s->srv->metrics.tokens, 1);
    }
    return srv_choice_take(c, p);
}

static ts_status open_choice(srv_choice *c, ts_session *from, ts_err *err) {
    srv_gen *g = c->gen;
    const ts_token *prompt = g->prompt[c->prompt];
    const size_t n = g->prompt_len[c->prompt];
    const ts_session_opts so = {.n_ctx = g->model->n_ctx, .kv = g->job->srv->o.kv};
    ts_sampler_opts sampling = g->sampling;
    sampling.seed += c->index;
    if (from) TS_TRY(ts_session_fork(&c->session, from, err));
    else TS_TRY(ts_session_new(&c->session, g->model->engine, &so, err));
    TS_TRY(ts_sampler_new(&c->sampler, &sampling, g->model->info.n_vocab, err));
    TS_TRY(ts_answer_new(&c->answer, g->model->engine, c->sampler, prompt[n - 1], &g->opts, err));
    return TS_OK;
}

static void take_place(srv_sched *s, srv_choice *c) {
    for (uint32_t i = 0; i < s->srv->o.n_parallel; i++)
        if (!s->place[i]) {
            s->place[i] = c;
            s->task[i] = s->n_task;
            if (++s->n_busy > s->peak) s->peak = s->n_busy;
            return;
        }
}

/* Begin with the first choice of a prompt; the others wait for it in their places. */
static ts_status begin_prompt(srv_sched *s, srv_choice *c, ts_err *err) {
    srv_gen *g = c->gen;
    size_t found = 0;
    s->n_task++;
    for (uint32_t k = 0; k < g->n; k++) take_place(s, c + k), c[k].state = SRV_FORKS;
    c->state = SRV_READS;
    TS_TRY(open_choice(c, NULL, err));
    if (!g->no_cache)
        TS_TRY(ts_prefix_take(g->model->prefix, c->session, g->prompt[c->prompt], g->prompt_len[c->prompt], &found,
                              err));
    g->n_cached += found;
    atomic_fetch_add(&s->srv->metrics.cached_tokens, found);
    return ts_session_prepare(c->session, g->prompt[c->prompt], g->prompt_len[c->prompt], err);
}

static bool start_stream(srv_gen *g) {
    if (!g->stream || g->begun) return true;
    g->begun = true;
    srv_job_stream(g->job, g->api->type);
    return g->api->start(g);
}

/* Give places to the request that has waited longest, if there are enough. false: not now. */
static bool admit(srv_sched *s) {
    srv_gen *g = s->waiting;
    ts_err err;
    if (!g || s->n_busy + g->n > s->srv->o.n_parallel) return false;
    uint32_t at = 0; /* the first prompt that waits */
    while (g->choice[at].state != SRV_WAITS) at += g->n;
    if (!g->started_ns) g->started_ns = ts_now_ns();
    const ts_status status = begin_prompt(s, &g->choice[at], &err);
    if (status != TS_OK) {
        fail_with(s, g, &err);
        return true;
    }
    if (at + g->n < g->n_choice) return true; /* more prompts of it wait */
    unlink_gen(&s->waiting, g);
    count_waiting(s, -1);
    g->next = s->active;
    s->active = g;
    return true;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

/* The ledger as it is now, into c->ledger. false: no memory. */
static bool read_ledger(cost *c, const ts_engine *e) {
    size_t n_now = ts_engine_ledger(e, c->ledger, c->cap);
    if (n_now > c->cap) {
        size_t cap = c->cap;
        if (!ts_grow((void **)&c->before, &cap, n_now, sizeof *c->before) ||
            !ts_grow((void **)&c->ledger, &c->cap, n_now, sizeof *c->ledger))
            return false;
        if (c->cap > cap) c->cap = cap;
        n_now = ts_engine_ledger(e, c->ledger, c->cap);
        if (n_now > c->cap) n_now = c->cap;
    }
    c->n_ledger = n_now;
    return true;
}

static void keep_ledger(cost *c) {
    ts_ledger_row *const swap = c->before;
    c->before = c->ledger, c->n_before = c->n_ledger;
    c->ledger = swap;
}

/* A model that was loaded again begins anew: its address and its name say nothing. */
static cost *cost_of(srv_sched *s, const srv_model *m) {
    cost *c = &s->cost[0]; /* the one that has not been used for the longest time: it is measured anew soon enough */
    for (int i = 0; i < MODELS; i++) {
        if (s->cost[i].serial == m->serial) c = &s->cost[i];
        if (c->serial == m->serial) break;
        if (s->cost[i].used < c->used) c = &s->cost[i];
    }
    if (c->serial != m->serial) {
        ts_free(c->ledger);
        ts_free(c->before);
        *c = (cost){.serial = m->serial};
        if (read_ledger(c, m->engine)) keep_ledger(c); /* what was billed before, or an embedding's */
    }
    c->used = ++s->n_step;
    return c;
}

/* Everybody who took part in the pass gets its share of what the ledger says of it. Without memory nobody does. */
static void bill(cost *c, const ts_engine *e, srv_choice *const *list, const uint32_t *took, uint32_t n,
                 uint32_t rows) {
    if (!read_ledger(c, e)) return;
    for (uint32_t i = 0; i < n; i++)
        srv_bill_add(list[i]->gen->bill, c->ledger, c->n_ledger, c->before, c->n_before, took[i], rows);
    keep_ledger(c);
}

/* Tokens of a prompt that may go beside n_draw answers: of several prompts each may delay them by one step. */
static size_t beside(const cost *c, uint32_t n_draw) {
    double draw = c->draw_ns[n_draw];
    for (uint32_t d = 1; draw == 0 && d <= SRV_SLOTS; d++) { /* of the nearest number that is known */
        if (n_draw >= d) draw = c->draw_ns[n_draw - d];
        if (draw == 0 && n_draw + d <= SRV_SLOTS) draw = c->draw_ns[n_draw + d];
    }
    if (draw == 0 || c->row_ns == 0) return 8;
    const double rows = 0.8 * draw / c->row_ns;
    return rows < 4 ? 4 : rows > 256 ? 256 : (size_t)rows;
}

/* Averages, in which the last ones count most; one that a busy machine has made ten times as long counts as twice. */
static void learn(cost *c, uint32_t n_draw, size_t n_read, double ns) {
    double *to = NULL, v = ns;
    if (n_read == 0) {
        to = &c->draw_ns[n_draw];
    } else if (n_draw == 0 && (n_read >= 64 || c->row_ns == 0)) {
        to = &c->row_ns, v = ns / (double)n_read; /* with few tokens most of it would be the weights */
    } else if (n_draw > 0 && c->draw_ns[n_draw] > 0 && n_read >= 4) {
        to = &c->row_ns, v = (ns - c->draw_ns[n_draw]) / (double)n_read;
    }
    if (!to || v <= 0) return;
    if (*to > 0 && v > 2 * *to) v = 2 * *to;
    *to = *to == 0 ? v : *to + 0.1 * (v - *to);
}

/* What of the model can go on: into list, at most SRV_SLOTS. */
static uint32_t gather(srv_sched *s, const srv_model *m, srv_choice **list, uint32_t *n_draw) {
    uint32_t n = 0;
    *n_draw = 0;
    for (uint32_t i = 0; i < s->srv->o.n_parallel; i++) {
        srv_choice *c = s->place[i];
        if (!c || c->gen->model != m || (c->state != SRV_READS && c->state != SRV_DRAWS)) continue;
        if (srv_job_full(c->gen->job)) continue; /* its client reads slowly: it waits, nobody else does */
        list[n++] = c;
        *n_draw += c->state == SRV_DRAWS;
    }
    for (uint32_t i = 1; i < n; i++) /* prompts in the order in which they came */
        for (uint32_t k = i; k > 0 && list[k]->gen->submitted_ns < list[k - 1]->gen->submitted_ns; k--) {
            srv_choice *c = list[k];
            list[k] = list[k - 1], list[k - 1] = c;
        }
    return n;
}

/* The next token of a choice whose logits are there, and what follows from it. false: the request is gone. */
static bool draw(srv_sched *s, srv_choice *c, ts_session *logits_of) {
    srv_gen *g = c->gen;
    const ts_piece *p;
    ts_err err;
    size_t n;
    const ts_token *history = ts_session_tokens(logits_of, &n);
    ts_status status = ts_answer_next(c->answer, ts_session_logits(logits_of), history, n, &p, &err);
    if (status != TS_OK) { /* biases that leave no token, a constraint that takes too much work: the request's own */
        srv_error e;
        srv_refuse_err(&e, NULL, &err);
        fail_gen(s, g, &e);
        return false;
    }
    if (!take_piece(s, c, p)) {
        fail_nomem(s, g);
        return false;
    }
    if (c->ended) return true;
    status = ts_session_append(c->session, &p->token, 1, &err);
    if (status == TS_E_LIMIT) status = ts_answer_finish(c->answer, TS_STOP_CONTEXT, &p, &err);
    else if (status == TS_OK) return true;
    if (status != TS_OK) {
        fail_with(s, g, &err);
        return false;
    }
    if (take_piece(s, c, p)) return true;
    fail_nomem(s, g);
    return false;
}

static bool say_echo(srv_choice *c) {
    char *text = NULL;
    size_t len = 0;
    const srv_gen *g = c->gen;
    ts_err err;
    if (!g->echo) return true;
    if (ts_engine_detokenize(g->model->engine, g->prompt[c->prompt], g->prompt_len[c->prompt], 0, &text, &len, &err))
        return false;
    const bool ok = srv_choice_say(c, text, len);
    ts_text_release(text);
    return ok;
}

/* The prompt is done: its choices part. false: the request is gone. */
static bool part(srv_sched *s, srv_choice *first) {
    srv_gen *g = first->gen;
    ts_err err;
    g->prompt_ns = ts_now_ns();
    if (!g->no_cache && ts_prefix_give(g->model->prefix, first->session, &err) != TS_OK) {} /* it is only a cache */
    for (uint32_t k = 1; k < g->n; k++)
        if (open_choice(first + k, first->session, &err) != TS_OK) {
            fail_with(s, g, &err);
            return false;
        }
    for (uint32_t k = 0; k < g->n; k++) {
        first[k].state = SRV_DRAWS;
        if (!say_echo(first + k)) {
            fail_nomem(s, g);
            return false;
        }
    }
    for (uint32_t k = 1; k < g->n; k++) /* each has the logits of its own fork */
        if (!draw(s, first + k, first[k].session)) return false;
    return draw(s, first, first->session);
}

/* For /slots, /metrics and the page. */
static void show(srv_sched *s) {
    const uint64_t now = ts_now_ns();
    pthread_mutex_lock(&s->lock);
    s->now.n_slot = s->srv->o.n_parallel;
    s->now.busy = s->n_busy;
    s->now.waiting = s->n_waiting;
    if (now - s->rate_ns > 1000000000u) {
        const double seconds = (double)(now - s->rate_ns) * 1e-9;
        s->now.tok_s = (double)s->rate_drawn / seconds;
        s->now.prompt_tok_s = (double)s->rate_read / seconds;
        s->rate_ns = now, s->rate_drawn = s->rate_read = 0;
    }
    for (uint32_t i = 0; i < s->srv->o.n_parallel; i++) {
        const srv_choice *c = s->place[i];
        srv_slot *o = &s->now.slot[i];
        o->busy = c != NULL;
        if (!c) continue;
        o->task = s->task[i];
        o->n_prompt = (uint32_t)c->gen->prompt_len[c->prompt];
        o->n_drawn = (uint32_t)c->n_tokens;
        o->n_read = o->n_prompt - (c->session && c->state == SRV_READS ? (uint32_t)ts_session_pending(c->session) : 0);
        snprintf(o->model, sizeof o->model, "%s", c->gen->model->name);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Ended choices leave their places; the last one ends the request. */
static void settle(srv_sched *s, srv_gen *g) {
    ts_err err;
    for (uint32_t i = 0; i < g->n_choice; i++) {
        srv_choice *c = &g->choice[i];
        if (!c->ended || !c->session) continue;
        if (!g->no_cache && ts_prefix_give(g->model->prefix, c->session, &err) != TS_OK) {}
        leave_place(s, c);
    }
    if (g->n_ended < g->n_choice) return;
    show(s); /* who has the answer finds the place free */
    if (!finish(g)) {
        fail_nomem(s, g);
        return;
    }
    remove_gen(s, g);
    drop_gen(s, g);
}

/* A piece without text, to which an API adds how far the prompt is. */
static bool tell_progress(srv_choice *c) {
    srv_gen *g = c->gen;
    const srv_delta nothing = {.kind = SRV_TEXT, .text = ""};
    if (!g->stream || !g->tells_progress) return true;
    g->reads = c;
    const bool ok = g->api->delta(g, c, &nothing);
    g->reads = NULL;
    return ok;
}

static bool is_there(const srv_sched *s, const srv_choice *c) {
    for (int i = 0; i < SRV_SLOTS; i++)
        if (s->place[i] == c) return true;
    return false;
}

static void step(srv_sched *s, const srv_model *m, srv_choice **list, uint32_t n, uint32_t n_draw) {
    ts_session *session[SRV_SLOTS];
    uint32_t took[SRV_SLOTS];
    size_t rows = 0;
    ts_err err;
    cost *c = cost_of(s, m);
    for (uint32_t i = 0; i < n; i++) {
        session[i] = list[i]->session;
        took[i] = (uint32_t)ts_session_pending(session[i]);
    }
    const size_t budget = n_draw ? n_draw + (n - n_draw) * beside(c, n_draw) : 0;
    const uint64_t begin = ts_now_ns();
    const ts_status status = ts_sessions_step(session, n, budget, &err);
    const uint64_t ns = ts_now_ns() - begin;
    for (uint32_t i = 0; i < n; i++) {
        took[i] -= (uint32_t)ts_session_pending(session[i]);
        rows += took[i];
    }
    bill(c, m->engine, list, took, n, (uint32_t)rows);
    const size_t n_read = rows > n_draw ? rows - n_draw : 0;
    if (status == TS_OK) learn(c, n_draw, n_read, (double)ns);
    srv_metrics *k = &s->srv->metrics;
    atomic_fetch_add(&k->passes, 1);
    atomic_fetch_add(&k->rows, rows);
    atomic_fetch_add(&k->prompt_tokens, n_read);
    atomic_fetch_add(n_read ? &k->prompt_ns : &k->draw_ns, ns);
    s->rate_read += n_read;
    for (uint32_t i = 0; i < n; i++) {
        srv_choice *one = list[i];
        if (!is_there(s, one)) continue; /* it went with a request of which another choice has failed */
        if (ts_session_status(one->session, &err) != TS_OK) {
            fail_with(s, one->gen, &err);
            continue;
        }
        srv_gen *g = one->gen;
        if (one->state == SRV_READS && !tell_progress(one)) {
            fail_nomem(s, g);
            continue;
        }
        if (ts_session_pending(one->session) > 0) continue;
        if (one->state == SRV_READS ? part(s, one) : draw(s, one, one->session)) settle(s, g);
    }
}

/* One step of every model that has something to do. false: none has. */
static bool steps(srv_sched *s) {
    const srv_model *done[SRV_SLOTS];
    uint32_t n_done = 0;
    for (uint32_t i = 0; i < s->srv->o.n_parallel; i++) {
        const srv_model *m = s->place[i] ? s->place[i]->gen->model : NULL;
        bool again = !m;
        for (uint32_t k = 0; k < n_done; k++) again |= done[k] == m;
        if (again) continue;
        srv_choice *list[SRV_SLOTS];
        uint32_t n_draw, n = gather(s, m, list, &n_draw);
        if (n == 0) continue;
        done[n_done++] = m;
        step(s, m, list, n, n_draw);
    }
    return n_done > 0;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void take_in(srv_sched *s) {
    pthread_mutex_lock(&s->lock);
    srv_gen *g = s->in;
    s->in = NULL;
    s->in_end = &s->in;
    pthread_mutex_unlock(&s->lock);
    srv_gen **end = &s->waiting;
    while (*end) end = &(*end)->next;
    *end = g;
    for (srv_gen *next; g; g = next) {
        next = g->next;
        if (!start_stream(g)) fail_nomem(s, g);
    }
}

static void look_around(srv_sched *s) {
    const bool now = atomic_load(&s->srv->stopping) > 1;
    srv_jobs_look(s->srv);
    srv_gen *const lists[] = {s->waiting, s->active};
    for (int l = 0; l < 2; l++)
        for (srv_gen *g = lists[l], *next; g; g = next) {
            next = g->next;
            srv_error e;
            srv_refuse(&e, 503, NULL, "the server is stopping");
            if (atomic_load(&g->job->gone)) abandon(s, g);
            else if (now) fail_gen(s, g, &e);
            else if (g->begun && g->api->ping && srv_job_silence(g->job) > (uint64_t)PING_MS * 1000000u)
                (void)srv_job_write(g->job, g->api->ping, strlen(g->api->ping));
        }
}

static uint32_t places_wanted(const srv_sched *s) {
    uint32_t n = 0;
    for (const srv_gen *g = s->waiting; g; g = g->next) n += g->n_choice;
    return n;
}

/* Requests that come together are read in one pass, if the first one waits for the others a moment. Otherwise its
 * prompt alone would keep them waiting, and theirs would then be read in the small pieces that go beside an answer, by
 * which a busy server falls behind. Those that were answered together come again together. Milliseconds to wait; 0:
 * begin. */
static int gather_ms(srv_sched *s) {
    const uint64_t now = ts_now_ns();
    if (s->n_busy > 0) return 0;
    if (s->peak) s->crowd = s->peak, s->peak = 0, s->idle_ns = now;
    if (!s->waiting) return 0;
    const uint32_t wanted = places_wanted(s);
    const bool expected = now - s->idle_ns < CROWD_MS * 1000000ull && wanted < s->crowd;
    const uint64_t most = (expected || srv_work_coming(s->srv->work) > 0 ? GATHER_MOST_MS : GATHER_MS) * 1000000ull;
    const uint64_t waited = now - s->waiting->submitted_ns;
    return wanted < s->srv->o.n_parallel && waited < most ? 1 + (int)((most - waited) / 1000000) : 0;
}

static void sleep_until_woken(srv_sched *s, int most_ms) {
    pthread_mutex_lock(&s->srv->jobs_lock);
    const bool alone = s->srv->jobs == NULL;
    pthread_mutex_unlock(&s->srv->jobs_lock);
    struct pollfd fd = {.fd = s->wake, .events = POLLIN};
    uint64_t n;
    if (poll(&fd, 1, most_ms ? most_ms : alone ? 1000 : 50) > 0 && read(s->wake, &n, sizeof n) < 0) {}
}

static void *run(void *ud) {
    srv_sched *s = ud;
    for (;;) {
        take_in(s);
        look_around(s);
        const int gather = gather_ms(s);
        while (!gather && admit(s)) {}
        show(s);
        pthread_mutex_lock(&s->lock);
        const bool over = s->stop && !s->in && !s->waiting && !s->active;
        pthread_mutex_unlock(&s->lock);
        if (over) return NULL;
        if (!steps(s)) sleep_until_woken(s, gather);
    }
}

/* ---- from outside ------------------------------------------------------------------------------------------------ */

ts_status srv_sched_new(srv_sched **out, ts_server *srv, ts_err *err) {
    srv_sched *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "the scheduler", sizeof *s);
    s->srv = srv;
    s->in_end = &s->in;
    s->rate_ns = ts_now_ns();
    s->now.n_slot = srv->o.n_parallel;
    pthread_mutex_init(&s->lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int fault = s->wake < 0 ? -1 : pthread_create(&s->thread, NULL, run, s);
    s->running = fault == 0;
    if (fault) {
        srv_sched_free(s);
        return ts_fail(err, TS_E_NOMEM, "cannot start the engine's thread");
    }
    *out = s;
    return TS_OK;
}

void srv_sched_stop(srv_sched *s) {
    if (!s || !s->running) return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    srv_sched_wake(s);
    pthread_join(s->thread, NULL);
    s->running = false;
}

void srv_sched_free(srv_sched *s) {
    if (!s) return;
    srv_sched_stop(s);
    for (int i = 0; i < MODELS; i++) ts_free(s->cost[i].ledger), ts_free(s->cost[i].before);
    if (s->wake >= 0) close(s->wake);
    pthread_mutex_destroy(&s->lock);
    ts_free(s);
}

void srv_sched_wake(srv_sched *s) {
    const uint64_t one = 1;
    if (s && write(s->wake, &one, sizeof one) < 0) {} /* full is as good as written */
}

bool srv_sched_put(srv_sched *s, srv_gen *g) {
    pthread_mutex_lock(&s->lock);
    const bool room = s->n_waiting < s->srv->o.n_queue && !s->stop;
    if (room) {
        g->next = NULL;
        *s->in_end = g;
        s->in_end = &g->next;
        s->n_waiting++;
    }
    pthread_mutex_unlock(&s->lock);
    if (room) srv_sched_wake(s);
    return room;
}

bool srv_sched_idle(srv_sched *s) {
    pthread_mutex_lock(&s->lock);
    const bool idle = s->now.busy == 0 && s->n_waiting == 0;
    pthread_mutex_unlock(&s->lock);
    return idle;
}

void srv_sched_now(srv_sched *s, srv_now *out) {
    pthread_mutex_lock(&s->lock);
    *out = s->now;
    pthread_mutex_unlock(&s->lock);
}
