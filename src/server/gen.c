/* gen.c - what APIs share in filling a srv_gen. */
#include "base/clock.h"
#include "server/server_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM = 256 }; /* tokens of a prompt that the store keeps on disk, at least */

srv_gen *srv_gen_new(srv_job *job, const srv_api *api, srv_model *model, const char *id_prefix, srv_error *e) {
    srv_gen *g = ts_calloc(1, sizeof *g);
    if (!g) {
        srv_refuse_nomem(e);
        return NULL;
    }
    srv_job_hold(job);
    srv_model_hold(job->srv->models, model);
    g->job = job, g->api = api, g->model = model;
    g->created = (int64_t)time(NULL);
    g->n = 1;
    g->sampling = ts_sampler_defaults();
    g->opts.drop_partial = true; /* a client's U+FFFD would be taken for the model's */
    srv_new_id(job->srv, id_prefix, g->id, sizeof g->id);
    return g;
}

srv_gen *srv_gen_open(srv_job *job, const srv_api *api, const char *id_prefix, srv_fields *f, srv_error *e) {
    srv_model *model = NULL;
    *f = (srv_fields){srv_job_json(job, e), "", e};
    const char *name = f->object ? srv_string(f, "model") : NULL;
    if (e->status == 0) model = srv_models_get(job->srv->models, name, e);
    srv_gen *g = model ? srv_gen_new(job, api, model, id_prefix, e) : NULL;
    srv_model_drop(job->srv->models, model);
    return g;
}

void srv_gen_close(srv_job *job, srv_gen *g, srv_error *e) {
    if (g && e->status == 0 && srv_submit(g, e)) return;
    srv_gen_free(g);
    srv_job_fail(job, e);
}

void srv_gen_free(srv_gen *g) {
    if (!g) return;
    for (uint32_t i = 0; i < g->n_choice; i++) srv_choice_fini(&g->choice[i]);
    for (uint32_t i = 0; i < g->n_prompt; i++) ts_tokens_release(g->prompt[i]);
    ts_free(g->choice);
    ts_free(g->prompt);
    ts_free(g->prompt_len);
    srv_form_drop(&g->model->forms, g->form); /* no answer has it any more */
    srv_bill_free(g->bill);
    ts_free(g->bias);
    ts_free(g->kmp);
    srv_model_drop(g->job->srv->models, g->model);
    srv_job_drop(g->job);
    ts_free(g);
}

bool srv_gen_prompt(srv_gen *g, ts_token *tokens, size_t n, srv_error *e) {
    size_t cap = g->n_prompt, cap_len = g->n_prompt; /* grown one by one: there are few */
    if (!ts_grow((void **)&g->prompt, &cap, g->n_prompt + 1, sizeof *g->prompt) ||
        !ts_grow((void **)&g->prompt_len, &cap_len, g->n_prompt + 1, sizeof *g->prompt_len)) {
        ts_tokens_release(tokens);
        return srv_refuse_nomem(e);
    }
    g->prompt[g->n_prompt] = tokens;
    g->prompt_len[g->n_prompt++] = n;
    return n > 0 || srv_refuse(e, 400, "prompt", "the prompt has no tokens: this model needs at least one");
}

bool srv_gen_fits(const srv_gen *g, const char *param, srv_error *e) {
    for (uint32_t i = 0; i < g->n_prompt; i++) {
        if (g->prompt_len[i] < g->model->n_ctx) continue;
        srv_refuse(e, 400, param,
                   "the prompt has %zu tokens, the context of a request is %u, which has to hold the answer too; "
                   "shorten it (or start the server with a larger --ctx, where memory allows)",
                   g->prompt_len[i], g->model->n_ctx);
        e->code = "context_length_exceeded";
        e->n_prompt = (uint32_t)g->prompt_len[i], e->n_ctx = g->model->n_ctx;
        return false;
    }
    return true;
}

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

static void add_bias(srv_gen *g, const srv_fields *f, ts_span id, const ts_jval *bias, size_t *n) {
    char text[16] = "", *end;
    if (id.len < sizeof text) memcpy(text, id.data, id.len);
    const long token = strtol(text, &end, 10);
    const bool off = bias && bias->type == TS_JSON_BOOL && !bias->truth; /* llama-server: false forbids */
    if (!*text || *end || token < 0 || token >= (long)g->model->info.n_vocab) {
        srv_refuse(f->error, 400, "logit_bias", "logit_bias: %.*s is not a token of 0 to %u", (int)id.len, id.data,
                   g->model->info.n_vocab - 1);
        return;
    }
    const bool number = bias && bias->type == TS_JSON_NUMBER;
    const double b = number ? strtod((const char *)bias->text.data, NULL) : -1000;
    if (!off && !(b >= -100 && b <= 100)) {
        srv_refuse(f->error, 400, "logit_bias", "logit_bias of token %ld: a number of -100 to 100 is wanted", token);
        return;
    }
    g->bias[(*n)++] = (ts_logit_bias){(ts_token)token, off || b <= -100 ? -(float)INFINITY : (float)b};
}

/* {"id": bias}, as OpenAI has it, or [[id, bias]] as llama-server. */
static void read_bias(srv_gen *g, const srv_fields *f) {
    const ts_jval *v = srv_field(f, "logit_bias");
    if (!v || v->n == 0) return;
    size_t n = 0;
    if (v->type != TS_JSON_OBJECT && v->type != TS_JSON_ARRAY) {
        srv_refuse(f->error, 400, "logit_bias", "logit_bias has to be an object {\"token id\": bias}");
        return;
    }
    g->bias = ts_alloc(v->n, sizeof *g->bias);
    if (!g->bias) {
        srv_refuse_nomem(f->error);
        return;
    }
    for (const ts_jval *m = v->first; m && srv_fields_ok(f); m = m->next) {
        const bool pair = v->type == TS_JSON_ARRAY && m->type == TS_JSON_ARRAY && m->n == 2;
        if (v->type == TS_JSON_OBJECT) add_bias(g, f, m->key, m, &n);
        else if (pair && m->first->type == TS_JSON_NUMBER) add_bias(g, f, m->first->text, m->first->next, &n);
        else srv_refuse(f->error, 400, "logit_bias", "logit_bias: pairs [token id, bias] are wanted");
    }
    g->sampling.bias = g->bias;
    g->sampling.n_bias = n;
}

/* llama-server's list of samplers: those that are not in it are off. The order is ours, which is its own, too. */
static void read_samplers(ts_sampler_opts *s, const srv_fields *f) {
    static const char *const ours[] = {"penalties", "top_k", "typ_p", "top_p", "min_p", "temperature"};
    enum { OURS = sizeof ours / sizeof *ours };
    /* whose parameters are refused, unless they say nothing */
    static const char *const others[] = {"dry", "top_n_sigma", "xtc", "tfs_z", "top_a", "adaptive_p"};
    const ts_jval *list = srv_field_of(f, "samplers", TS_JSON_ARRAY);
    bool on[OURS] = {0};
    int last = -1;
    if (!list || list->n == 0) return;
    for (const ts_jval *v = list->first; v; v = v->next) {
        int which = ts_jval_is(v, "typical_p") ? 2 : -1;
        bool other = false;
        for (int i = 0; i < OURS; i++)
            if (ts_jval_is(v, ours[i])) which = i;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) other |= ts_jval_is(v, others[i]);
        if (other) continue;
        if (which < last || which < 0) {
            srv_refuse(f->error, 400, "samplers", "samplers: there are penalties, top_k, typ_p, top_p, min_p, "
                                                  "temperature here, in this order");
            return;
        }
        on[last = which] = true;
    }
    if (!on[0]) s->repeat_penalty = 1, s->presence_penalty = s->frequency_penalty = 0;
    if (!on[1]) s->top_k = 0;
    if (!on[2]) s->typical_p = 1;
    if (!on[3]) s->top_p = 1;
    if (!on[4]) s->min_p = 0;
    if (!on[5]) s->temperature = 1;
}

static const char no_sampler[] = "this sampler does not exist here";
static const srv_unknown unknown_sampling[] = {
    {"mirostat", no_sampler}, {"dynatemp_range", no_sampler}, {"xtc_probability", no_sampler},
    {"dry_multiplier", no_sampler}, {"top_n_sigma", no_sampler, .neutral = -1}, {"tfs_z", no_sampler, .neutral = 1},
    {"top_a", no_sampler}, {"adaptive_target", no_sampler, .neutral = -1},
    {"min_keep", "no sampler keeps a number of tokens whatever they are like", .neutral = 1},
    {"n_indent", "lines are not made longer here"},
    {"length_penalty", "answers are drawn, not searched for", .neutral = 1},
    {"use_beam_search", "answers are drawn, not searched for"},
    {"min_tokens", "an answer ends where its end is drawn; ignore_eos draws none"},
    {"stop_token_ids", "name them as texts, in stop"},
    {"bad_words", "forbid tokens with logit_bias, -100"},
    {"allowed_token_ids", "forbid the others with logit_bias, -100, or say a grammar"},
    {"logits_processors", "this server runs no code of others"},
    {"include_stop_str_in_output", "the answer ends in front of a stop string"},
    {0}};

void srv_gen_sampling(srv_gen *g, const srv_fields *f) {
    ts_sampler_opts *s = &g->sampling;
    s->temperature = (float)srv_real(f, "temperature", 0, 2, (double)s->temperature);
    s->top_p = (float)srv_real(f, "top_p", 0, 1, (double)s->top_p);
    s->min_p = (float)srv_real(f, "min_p", 0, 1, (double)s->min_p);
    s->typical_p = (float)srv_real(f, "typical_p", 0, 1, (double)s->typical_p);
    s->top_k = (int32_t)srv_int(f, "top_k", -1, 1 << 24, s->top_k);
    if (s->top_k < 0) s->top_k = 0; /* llama-server's and vLLM's way to say: all */
    s->presence_penalty = (float)srv_real(f, "presence_penalty", -2, 2, 0);
    s->frequency_penalty = (float)srv_real(f, "frequency_penalty", -2, 2, 0);
    s->repeat_penalty = (float)srv_real(f, "repeat_penalty", 0.01, 100, 1);
    if ((double)s->repeat_penalty < 0.01) s->repeat_penalty = nextafterf(s->repeat_penalty, 1); /* as f32 it is less */
    s->penalty_window = (int32_t)srv_int(f, "repeat_last_n", -1, 1 << 24, s->penalty_window);
    const int64_t seed = srv_int(f, "seed", INT64_MIN, INT64_MAX, -1);
    s->seed = seed == -1 ? ts_now_ns() * 0x9e3779b97f4a7c15u : (uint64_t)seed;
    g->opts.ignore_end = srv_bool(f, "ignore_eos", false);
    srv_unknown_fields(f, unknown_sampling);
    /* some send both; without the other it is vLLM's, which looks at all tokens */
    if (!srv_field(f, "repeat_penalty"))
        srv_unknown_fields(f, (srv_unknown[]){{"repetition_penalty", "its name is repeat_penalty here, of the last "
                                               "repeat_last_n tokens", .neutral = 1}, {0}});
    read_samplers(s, f);
    read_bias(g, f);
}

/* ---- stop strings ------------------------------------------------------------------------------------------------ */

bool srv_is_control(const ts_engine *e, const char *text) {
    ts_token *token;
    size_t n, len;
    char *shown;
    if (ts_engine_tokenize(e, text, strlen(text), TS_TOKENIZE_SPECIAL | TS_TOKENIZE_NO_PREFIX, &token, &n, NULL))
        return false;
    bool is = n == 1 && ts_engine_detokenize(e, token, n, 0, &shown, &len, NULL) == TS_OK;
    if (is) {
        is = len == 0;
        ts_text_release(shown);
    }
    ts_tokens_release(token);
    return is;
}

/* Where calls and thoughts are told apart from the text, stop strings look at the text. The ones that are control
 * tokens stay with ts_answer, which sees those that are not printed. */
static ts_status split_stops(srv_gen *g, ts_err *err) {
    const char *text[SRV_STOPS];
    size_t n = 0, n_text = 0;
    if (!g->tools && !g->thinking) return TS_OK;
    for (size_t i = 0; i < g->opts.n_stop; i++)
        if (srv_is_control(g->model->engine, g->stop[i])) g->stop[n++] = g->stop[i];
        else text[n_text++] = g->stop[i];
    g->opts.n_stop = n;
    return ts_kmp_new(&g->kmp, &g->n_kmp, text, n_text, err);
}

/* ---- constraints ------------------------------------------------------------------------------------------------- */

bool srv_gen_constrain(srv_gen *g, const ts_constraint_opts *o, const char *param, srv_error *e) {
    ts_err err;
    if (g->form)
        return srv_refuse(e, 400, param, "there is a constraint already: a grammar goes with nothing else, a schema "
                                         "with tools");
    ts_constraint_opts all = *o;
    all.thinking = g->thinking && !g->thinks_first;
    all.in_thinking = g->thinks_first;
    return srv_form_get(&g->model->forms, g->model->engine, &all, &g->form, &err) == TS_OK ||
           srv_refuse_err(e, param, &err);
}

bool srv_gen_tools(srv_gen *g, ts_span tools, const char *how, bool named, bool one_call, srv_error *e) {
    const ts_constraint_opts o = {.kind = TS_CONSTRAIN_TOOLS, .text = (const char *)tools.data, .len = tools.len,
                                  .tool_format = srv_calls_name[g->model->calls], .tool_choice = how,
                                  .tool_named = named, .one_call = one_call || named,
                                  .answer = (const char *)g->schema.data, .answer_len = g->schema.len};
    const bool forced = named || !strcmp(how, "required");
    if (g->form && !forced && !strcmp(how, "none")) return true; /* a schema, and tools that are only told of */
    if (g->schema.len) { /* it is part of this one */
        srv_form_drop(&g->model->forms, g->form);
        g->form = NULL;
    }
    if (!srv_gen_constrain(g, &o, "tools", e)) {
        static const char where[] = "refused at tool-choice: "; /* and not in the tools */
        if (strncmp(e->message, where, sizeof where - 1)) return false;
        memmove(e->message, e->message + sizeof where - 1, strlen(e->message) - (sizeof where - 2));
        snprintf(e->param, sizeof e->param, "tool_choice");
        return false;
    }
    g->tools = named || strcmp(how, "none") != 0;
    if (forced) g->opts.n_stop = 0; /* there is no text that one could stop, and a call is promised */
    g->one_call = o.one_call;
    g->opts.special |= g->tools; /* marks of calls are control tokens in some vocabularies */
    return true;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

size_t srv_gen_prompt_tokens(const srv_gen *g) {
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_prompt; i++) n += g->prompt_len[i];
    return n;
}

size_t srv_gen_tokens(const srv_gen *g) {
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_choice; i++) n += g->choice[i].n_tokens;
    return n;
}

bool srv_put_timings(const srv_gen *g, ts_buf *out) {
    const ts_model_info *info = &g->model->info;
    const size_t n_read = srv_gen_prompt_tokens(g) - g->n_cached, n_drawn = srv_gen_tokens(g);
    const uint64_t read_ns = g->prompt_ns > g->started_ns ? g->prompt_ns - g->started_ns : 0;
    uint64_t first = 0, last = 0;
    size_t steps = 0;
    for (uint32_t i = 0; i < g->n_choice; i++) {
        const srv_choice *c = &g->choice[i];
        if (!c->first_ns) continue;
        if (!first || c->first_ns < first) first = c->first_ns;
        if (c->last_ns > last) last = c->last_ns;
        steps += c->n_tokens ? c->n_tokens - 1 : 0; /* the first one of each came with the prompt */
    }
    const double read_ms = (double)read_ns * 1e-6, drawn_ms = (double)(last - first) * 1e-6;
    return ts_buf_printf(out,
                         "\"timings\":{\"cache_n\":%zu,\"prompt_n\":%zu,\"prompt_ms\":%.3f,\"prompt_per_second\":%.3f,"
                         "\"predicted_n\":%zu,\"predicted_ms\":%.3f,\"predicted_per_second\":%.3f},",
                         g->n_cached, n_read, read_ms, read_ms > 0 ? (double)n_read * 1e3 / read_ms : 0, n_drawn,
                         drawn_ms, drawn_ms > 0 ? (double)steps * 1e3 / drawn_ms : 0) &&
           ts_buf_printf(out,
                         "\"tessera\":{\"device\":\"%s\",\"cpu_level\":\"%s\",\"threads\":%d,\"evidence\":\"%s\","
                         "\"queue_ms\":%.3f,\"ttft_ms\":%.3f,\"ledger_id\":\"%s\",\"joules\":null,"
                         "\"watts_source\":\"not measured\"}",
                         info->device, info->cpu_level, info->n_threads, ts_evidence_name(info->evidence),
                         (double)(g->started_ns - g->submitted_ns) * 1e-6,
                         first ? (double)(first - g->job->began_ns) * 1e-6 : 0, g->id);
}

/* What the prefix store has of a long prompt on disk is read here, by the worker: the engine thread then finds it in
 * memory. It is only a cache: what fails is no fault. */
static void warm_cache(const srv_gen *g) {
    const ts_session_opts so = {.n_ctx = g->model->n_ctx, .kv = g->job->srv->o.kv};
    if (g->no_cache || !g->job->srv->o.cache_dir) return;
    for (uint32_t i = 0; i < g->n_prompt; i++) {
        ts_session *s;
        size_t found;
        ts_err err;
        if (g->prompt_len[i] < WARM || ts_session_new(&s, g->model->engine, &so, &err) != TS_OK) continue;
        (void)!ts_prefix_take(g->model->prefix, s, g->prompt[i], g->prompt_len[i], &found, &err);
        ts_session_free(s);
    }
}

bool srv_submit(srv_gen *g, srv_error *e) {
    ts_server *s = g->job->srv;
    const uint32_t n = g->n_prompt * g->n;
    if (g->n > s->o.n_parallel)
        return srv_refuse(e, 400, "n", "n is %u, this server computes %u answers at a time (--parallel)", g->n,
                          s->o.n_parallel);
    g->choice = ts_calloc(n, sizeof *g->choice);
    if (!g->choice) return srv_refuse_nomem(e);
    g->n_choice = n;
    ts_err err;
    if (split_stops(g, &err) != TS_OK) return srv_refuse_err(e, "stop", &err);
    for (uint32_t i = 0; i < g->n_choice; i++) {
        srv_choice *c = &g->choice[i];
        c->gen = g, c->index = i, c->prompt = i / g->n;
        c->parser.form = g->model->calls;
        c->parser.calls = g->tools;
        c->parser.thinks = g->thinking;
        c->parser.state = g->thinks_first ? SRV_IN_THINKING : SRV_AT_BEGIN;
    }
    warm_cache(g);
    g->opts.stop = g->stop;
    g->opts.constraint = g->form ? srv_form_constraint(g->form) : NULL;
    g->bill = srv_bill_new(g->id, g->model->name, g->model->info.device);
    g->submitted_ns = ts_now_ns();
    if (srv_sched_put(s->sched, g)) return true;
    return srv_refuse(e, 429, NULL, "%u requests wait already; try again in a moment", s->o.n_queue);
}
