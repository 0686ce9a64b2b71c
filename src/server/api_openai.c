/* api_openai.c - OpenAI's chat/completions, completions, embeddings and models. Forms: docs/server.md. */
#include "base/clock.h"
#include "base/json_write.h"
#include "server/api.h"
#include "server/openai.h"
#include "server/server_int.h"
#include "server/srv_embed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ------------------------------------------------------------------------------------------------------ */

bool srv_openai_error(ts_buf *out, const srv_error *e) {
    const char *type = e->status == 401 || e->status == 413 || e->status == 404 ? "invalid_request_error" : e->type;
    bool ok = ts_buf_puts(out, "{\"error\":{\"message\":") && ts_json_put_string(out, e->message, strlen(e->message)) &&
              ts_buf_printf(out, ",\"type\":\"%s\",\"param\":", type ? type : "server_error") &&
              (e->param[0] ? ts_json_put_string(out, e->param, strlen(e->param)) : ts_buf_puts(out, "null")) &&
              ts_buf_puts(out, ",\"code\":");
    ok = ok && (e->code ? ts_buf_printf(out, "\"%s\"", e->code) : ts_buf_puts(out, "null"));
    if (ok && e->n_ctx) ok = ts_buf_printf(out, ",\"n_prompt_tokens\":%u,\"n_ctx\":%u", e->n_prompt, e->n_ctx);
    return ok && ts_buf_puts(out, "}}");
}

/* ---- parts of answers -------------------------------------------------------------------------------------------- */

const char *srv_openai_reason(const srv_choice *c) {
    /* a call that was cut off is none to be carried out */
    if (c->n_call && srv_call_complete(&c->call[c->n_call - 1])) return "tool_calls";
    return c->reason == TS_STOP_LENGTH || c->reason == TS_STOP_CONTEXT ? "length" : "stop";
}

static bool put_token(const srv_gen *g, ts_buf *out, ts_token id, bool bytes) {
    char text[256];
    size_t len = 0;
    ts_err err;
    if (id < 0 || ts_engine_token_text(g->model->engine, id, text, sizeof text, &len, &err) != TS_OK) len = 0;
    if (len > sizeof text) len = sizeof text;
    if (!srv_put_text(out, text, len) || (bytes && !ts_buf_puts(out, ",\"bytes\":["))) return false;
    for (size_t i = 0; i < len && bytes; i++)
        if (!ts_buf_printf(out, "%s%u", i ? "," : "", (unsigned char)text[i])) return false;
    return !bytes || ts_buf_puts(out, "]");
}

static bool put_prob(ts_buf *out, float p) {
    return isfinite(p) ? ts_buf_printf(out, "%.9g", (double)p) : ts_buf_puts(out, "-9999"); /* as OpenAI has it */
}

/* "logprobs": of the tokens [from, to), in the form of chats. */
static bool put_chat_probs(const srv_choice *c, size_t from, size_t to, ts_buf *out) {
    const srv_gen *g = c->gen;
    if (!g->logprobs) return ts_buf_puts(out, "\"logprobs\":null");
    bool ok = ts_buf_puts(out, "\"logprobs\":{\"content\":[");
    for (size_t i = from; i < to && ok; i++) {
        const srv_logprob *l = &c->logprob[i];
        ok = ts_buf_puts(out, i > from ? ",{\"token\":" : "{\"token\":") && put_token(g, out, l->drawn.token, true) &&
             ts_buf_puts(out, ",\"logprob\":") && put_prob(out, l->drawn.logprob) &&
             ts_buf_puts(out, ",\"top_logprobs\":[");
        for (int k = 0; k < g->top && l->top[k].token >= 0 && ok; k++)
            ok = ts_buf_puts(out, k ? ",{\"token\":" : "{\"token\":") && put_token(g, out, l->top[k].token, true) &&
                 ts_buf_puts(out, ",\"logprob\":") && put_prob(out, l->top[k].logprob) && ts_buf_putc(out, '}');
        ok = ok && ts_buf_puts(out, "]}");
    }
    return ok && ts_buf_puts(out, "],\"refusal\":null}");
}

/* The same in the form of the old completions. */
static bool put_old_probs(const srv_choice *c, size_t from, size_t to, ts_buf *out) {
    const srv_gen *g = c->gen;
    if (!g->logprobs) return ts_buf_puts(out, "\"logprobs\":null");
    bool ok = ts_buf_puts(out, "\"logprobs\":{\"tokens\":[");
    for (size_t i = from; i < to && ok; i++)
        ok = (i == from || ts_buf_putc(out, ',')) && put_token(g, out, c->logprob[i].drawn.token, false);
    ok = ok && ts_buf_puts(out, "],\"token_logprobs\":[");
    for (size_t i = from; i < to && ok; i++)
        ok = (i == from || ts_buf_putc(out, ',')) && put_prob(out, c->logprob[i].drawn.logprob);
    ok = ok && ts_buf_puts(out, "],\"top_logprobs\":[");
    for (size_t i = from; i < to && ok; i++) {
        ok = ts_buf_puts(out, i == from ? "{" : ",{");
        for (int k = 0; k < g->top && c->logprob[i].top[k].token >= 0 && ok; k++)
            ok = (!k || ts_buf_putc(out, ',')) && put_token(g, out, c->logprob[i].top[k].token, false) &&
                 ts_buf_putc(out, ':') && put_prob(out, c->logprob[i].top[k].logprob);
        ok = ok && ts_buf_putc(out, '}');
    }
    ok = ok && ts_buf_puts(out, "],\"text_offset\":[");
    for (size_t i = from; i < to && ok; i++)
        ok = ts_buf_printf(out, "%s%zu", i == from ? "" : ",", c->logprob[i].begin);
    return ok && ts_buf_puts(out, "]}");
}

static bool put_usage(const srv_gen *g, ts_buf *out) {
    const size_t in = srv_gen_prompt_tokens(g), n = srv_gen_tokens(g);
    return ts_buf_printf(out,
                         "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
                         "\"prompt_tokens_details\":{\"cached_tokens\":%zu}}",
                         in, n, in + n, g->n_cached);
}

/* "id", "object", ... up to the choices, with the brace in front. */
static bool put_head(const srv_gen *g, const char *object, ts_buf *out) {
    return ts_buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", g->id, object,
                         (long long)g->created) &&
           srv_put_text(out, g->model->name, strlen(g->model->name)) &&
           ts_buf_printf(out, ",\"system_fingerprint\":\"tessera-%s\",", ts_version());
}

static bool put_calls(const srv_choice *c, ts_buf *out) {
    bool ok = ts_buf_puts(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < c->n_call && ok; i++) {
        const srv_call *call = &c->call[i];
        ok = ts_buf_printf(out, "%s{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":", i ? "," : "",
                           call->id) &&
             srv_put_text(out, call->name.data, call->name.len) && ts_buf_puts(out, ",\"arguments\":") &&
             srv_put_text(out, call->arguments.data, call->arguments.len) && ts_buf_puts(out, "}}");
    }
    return ok && ts_buf_putc(out, ']');
}

/* ---- chat, whole and streamed ------------------------------------------------------------------------------------ */

static bool chat_whole(srv_gen *g, ts_buf *out) {
    bool ok = put_head(g, "chat.completion", out) && ts_buf_puts(out, "\"choices\":[");
    for (uint32_t i = 0; i < g->n_choice && ok; i++) {
        const srv_choice *c = &g->choice[i];
        ok = ts_buf_printf(out, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "", i) &&
             (c->n_call && c->text.len == 0 ? ts_buf_puts(out, "null")
                                            : srv_put_text(out, c->text.data, c->text.len)) &&
             ts_buf_puts(out, ",\"refusal\":null");
        if (ok && c->thinking.len && !g->hides_thinking)
            ok = ts_buf_puts(out, ",\"reasoning_content\":") && srv_put_text(out, c->thinking.data, c->thinking.len);
        if (ok && c->n_call) ok = put_calls(c, out);
        ok = ok && ts_buf_puts(out, "},") && put_chat_probs(c, 0, c->n_logprob, out) &&
             ts_buf_printf(out, ",\"finish_reason\":\"%s\"}", srv_openai_reason(c));
    }
    return ok && ts_buf_puts(out, "],") && put_usage(g, out) && ts_buf_putc(out, ',') && srv_put_timings(g, out) &&
           ts_buf_putc(out, '}');
}

static bool send_event(const srv_gen *g, ts_buf *b, bool ok) {
    return srv_send(g->job, b, ok && ts_buf_puts(b, "\n\n"));
}

/* How far the prompt is, where that is told; as llama-server has it. */
static bool put_progress(const srv_gen *g, ts_buf *out) {
    const srv_choice *c = g->reads;
    if (!c) return true;
    const size_t all = g->prompt_len[c->prompt], left = ts_session_pending(c->session);
    return ts_buf_printf(out, ",\"prompt_progress\":{\"total\":%zu,\"cache\":%zu,\"processed\":%zu,\"time_ms\":%.0f}",
                         all, g->n_cached, all - left, (double)(ts_now_ns() - g->started_ns) * 1e-6);
}

/* The end of every chunk but the one with the usage. */
static bool put_tail(const srv_gen *g, ts_buf *out) {
    const bool timings = g->all_timings && g->prompt_ns && g->n_ended < g->n_choice;
    if (timings && !(ts_buf_putc(out, ',') && srv_put_timings(g, out))) return false;
    if (!put_progress(g, out)) return false;
    return ts_buf_puts(out, g->include_usage ? ",\"usage\":null}" : "}");
}

static bool put_chunk_head(const srv_choice *c, ts_buf *out) {
    return ts_buf_puts(out, "data: ") && put_head(c->gen, "chat.completion.chunk", out) &&
           ts_buf_printf(out, "\"choices\":[{\"index\":%u,\"delta\":{", c->index);
}

static bool put_chunk_tail(srv_choice *c, const char *reason, ts_buf *out) {
    return ts_buf_puts(out, "},") && put_chat_probs(c, c->told_logprob, c->n_logprob, out) &&
           ts_buf_puts(out, ",\"finish_reason\":") &&
           (reason ? ts_buf_printf(out, "\"%s\"}]", reason) : ts_buf_puts(out, "null}]"));
}

static bool chat_start(srv_gen *g) {
    bool ok = true;
    for (uint32_t i = 0; i < g->n_choice && ok; i++) {
        ts_buf b = {0};
        ok = put_chunk_head(&g->choice[i], &b) && ts_buf_puts(&b, "\"role\":\"assistant\",\"content\":\"\"") &&
             ts_buf_puts(&b, "},\"logprobs\":null,\"finish_reason\":null}]") && put_tail(g, &b);
        ok = send_event(g, &b, ok);
    }
    return ok;
}

static bool chat_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    ts_buf b = {0};
    const srv_call *call = c->n_call ? &c->call[c->n_call - 1] : NULL;
    if (d->kind == SRV_THINKING && g->hides_thinking && !g->logprobs) return true;
    bool ok = put_chunk_head(c, &b);
    switch (d->kind) {
    case SRV_TEXT: ok = ok && ts_buf_puts(&b, "\"content\":") && srv_put_text(&b, d->text, d->len); break;
    case SRV_THINKING:
        if (g->hides_thinking) break; /* its probabilities are told all the same */
        ok = ok && ts_buf_puts(&b, "\"reasoning_content\":") && srv_put_text(&b, d->text, d->len);
        break;
    case SRV_CALL:
        ok = ok && ts_buf_printf(&b, "\"tool_calls\":[{\"index\":%zu,\"id\":\"%s\",\"type\":\"function\",\"function\":"
                                     "{\"name\":", c->n_call - 1, call->id) &&
             srv_put_text(&b, call->name.data, call->name.len) && ts_buf_puts(&b, ",\"arguments\":\"\"}}]");
        break;
    case SRV_ARGUMENTS:
        ok = ok && ts_buf_printf(&b, "\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":", c->n_call - 1) &&
             srv_put_text(&b, d->text, d->len) && ts_buf_puts(&b, "}}]");
        break;
    }
    ok = ok && put_chunk_tail(c, NULL, &b) && put_tail(g, &b);
    return send_event(g, &b, ok);
}

/* The last chunk of the request has what it cost. */
static bool put_last(const srv_gen *g, ts_buf *b) {
    return g->n_ended < g->n_choice || (ts_buf_putc(b, ',') && srv_put_timings(g, b));
}

static bool chat_close(srv_gen *g, srv_choice *c) {
    ts_buf b = {0};
    bool ok = put_chunk_head(c, &b) && ts_buf_puts(&b, "},\"logprobs\":null,\"finish_reason\":") &&
              ts_buf_printf(&b, "\"%s\"}]", srv_openai_reason(c)) && put_last(g, &b) && put_tail(g, &b);
    return send_event(g, &b, ok);
}

static bool stream_usage(srv_gen *g, const char *object) {
    ts_buf b = {0};
    if (!g->include_usage) return true;
    bool ok = ts_buf_puts(&b, "data: ") && put_head(g, object, &b) && ts_buf_puts(&b, "\"choices\":[],") &&
              put_usage(g, &b) && ts_buf_putc(&b, ',') && srv_put_timings(g, &b) && ts_buf_putc(&b, '}');
    return send_event(g, &b, ok);
}

static bool chat_finish(srv_gen *g) {
    static const char done[] = "data: [DONE]\n\n";
    return stream_usage(g, "chat.completion.chunk") && srv_job_write(g->job, done, sizeof done - 1);
}

static bool stream_fail(srv_gen *g, const srv_error *e) {
    ts_buf b = {0};
    /* who reads lines waits for the last one; those who raise an error have left by then */
    return send_event(g, &b, ts_buf_puts(&b, "data: ") && srv_openai_error(&b, e) &&
                                 ts_buf_puts(&b, "\n\ndata: [DONE]"));
}

static const srv_api chat_api = {"text/event-stream", ": ping\n\n", chat_start, chat_delta, chat_close,
                                 chat_finish, chat_whole, stream_fail};

/* ---- the old completions ----------------------------------------------------------------------------------------- */

static bool old_whole(srv_gen *g, ts_buf *out) {
    bool ok = put_head(g, "text_completion", out) && ts_buf_puts(out, "\"choices\":[");
    for (uint32_t i = 0; i < g->n_choice && ok; i++) {
        const srv_choice *c = &g->choice[i];
        ok = ts_buf_printf(out, "%s{\"index\":%u,\"text\":", i ? "," : "", i) &&
             srv_put_text(out, c->text.data, c->text.len) && ts_buf_putc(out, ',') &&
             put_old_probs(c, 0, c->n_logprob, out) &&
             ts_buf_printf(out, ",\"finish_reason\":\"%s\"}", srv_openai_reason(c));
    }
    return ok && ts_buf_puts(out, "],") && put_usage(g, out) && ts_buf_putc(out, ',') && srv_put_timings(g, out) &&
           ts_buf_putc(out, '}');
}

static bool nothing(srv_gen *g) {
    (void)g;
    return true;
}

static bool old_chunk(srv_gen *g, srv_choice *c, const char *text, size_t len, const char *reason) {
    ts_buf b = {0};
    bool ok = ts_buf_puts(&b, "data: ") && put_head(g, "text_completion", &b) &&
              ts_buf_printf(&b, "\"choices\":[{\"index\":%u,\"text\":", c->index) && srv_put_text(&b, text, len) &&
              ts_buf_putc(&b, ',') &&
              (reason ? ts_buf_puts(&b, "\"logprobs\":null") : put_old_probs(c, c->told_logprob, c->n_logprob, &b)) &&
              ts_buf_puts(&b, ",\"finish_reason\":") &&
              (reason ? ts_buf_printf(&b, "\"%s\"}]", reason) && put_last(g, &b) : ts_buf_puts(&b, "null}]")) &&
              put_tail(g, &b);
    return send_event(g, &b, ok);
}

static bool old_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    return old_chunk(g, c, d->text, d->len, NULL);
}

static bool old_close(srv_gen *g, srv_choice *c) {
    return old_chunk(g, c, "", 0, srv_openai_reason(c));
}

static bool old_finish(srv_gen *g) {
    static const char done[] = "data: [DONE]\n\n";
    return stream_usage(g, "text_completion") && srv_job_write(g->job, done, sizeof done - 1);
}

static const srv_api old_api = {"text/event-stream", ": ping\n\n", nothing, old_delta, old_close,
                                old_finish, old_whole, stream_fail};

/* ---- reading requests -------------------------------------------------------------------------------------------- */

/* response_format, and llama-server's json_schema and grammar: one of them. */
static bool read_format(srv_gen *g, const srv_fields *f) {
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    const ts_jval *format = srv_field_of(f, "response_format", TS_JSON_OBJECT);
    const ts_jval *schema = srv_field(f, "json_schema");
    const char *grammar = srv_string(f, "grammar"), *param = "json_schema";
    if (format) {
        const srv_fields in = {format, "response_format.", f->error};
        const int type = srv_choice_of(&in, "type", types, -1);
        if (type > 0 && schema)
            return srv_refuse(f->error, 400, "json_schema", "json_schema and response_format both say what the answer "
                              "has to be; one of them is wanted");
        if (type < 0 && srv_fields_ok(f)) srv_refuse(f->error, 400, "response_format.type", "response_format.type is "
                                                     "missing: text, json_object or json_schema");
        if (type == 1) { /* llama-server takes a schema here, too */
            schema = srv_field(&in, "schema");
            param = "response_format.schema";
            if (!schema && srv_fields_ok(f))
                return srv_api_schema(g, NULL, "response_format", f->error);
        } else if (type == 2) {
            const ts_jval *given = srv_field_of(&in, "json_schema", TS_JSON_OBJECT);
            schema = ts_jval_get(given, "schema");
            param = "response_format.json_schema.schema";
            if (!schema && srv_fields_ok(f)) srv_refuse(f->error, 400, param, "%s is missing", param);
        }
    }
    if (!srv_fields_ok(f)) return false;
    if (schema && !srv_api_schema(g, schema, param, f->error)) return false;
    if (!grammar || !*grammar) return true;
    return srv_gen_constrain(g, &(ts_constraint_opts){.kind = TS_CONSTRAIN_GRAMMAR, .text = grammar,
                                                      .len = strlen(grammar)}, "grammar", f->error);
}

/* tool_choice: "none", "auto", "required", {"type": "function", "function": {"name": N}}, {"type": "allowed_tools",
 * "allowed_tools": {"mode", "tools"}}. The tools that may be called into *tools. */
static bool read_tool_choice(const srv_fields *f, const srv_chat *c, ts_arena *arena, const char **how, bool *named,
                             ts_span *tools) {
    static const char *const hows[] = {"none", "auto", "required", NULL};
    const ts_jval *v = srv_field(f, "tool_choice"), *type = ts_jval_get(v, "type");
    *how = "auto", *named = false, *tools = c->tools;
    if (v && v->type == TS_JSON_STRING) *how = hows[srv_choice_of(f, "tool_choice", hows, 1)];
    if (!v || v->type == TS_JSON_STRING) return srv_fields_ok(f);
    const ts_jval *name = ts_jval_get(ts_jval_get(v, "function"), "name");
    if (ts_jval_is(type, "function") && name && name->type == TS_JSON_STRING) {
        *how = (const char *)name->text.data, *named = true;
        return true;
    }
    const srv_fields in = {ts_jval_get(v, "allowed_tools"), "tool_choice.allowed_tools.", f->error};
    if (ts_jval_is(type, "allowed_tools") && in.object && in.object->type == TS_JSON_OBJECT)
        return c->tools.len ? srv_api_allowed(c, &in, arena, how, tools)
                            : srv_refuse(f->error, 400, "tool_choice", "tool_choice allows tools, but there are none");
    return srv_refuse(f->error, 400, "tool_choice", "tool_choice has to be \"none\", \"auto\", \"required\", "
                      "{\"type\": \"function\", \"function\": {\"name\": ...}} or allowed_tools");
}

/* What OpenAI's servers, llama-server and vLLM have beside. */
static const char say_schema[] = "say it in response_format, or in grammar",
                  no_place[] = "places are not chosen by requests";
static const srv_unknown unknown_fields[] = {
    {"audio", "this server makes text"},
    {"web_search_options", "this server searches nothing"},
    {"lora", "adapters do not exist here"},
    {"id_slot", no_place, .neutral = -1}, {"slot_id", no_place, .neutral = -1},
    {"image_data", "this model reads text alone"}, {"multimodal_data", "this model reads text alone"},
    {"t_max_predict_ms", "an answer's length is bound by tokens, not by time", .neutral = -1},
    {"post_sampling_probs", "told are the model's probabilities, in front of the samplers"},
    {"response_fields", "answers are told whole"},
    {"return_tokens", "texts are told; /tokenize gives their tokens"}, {"return_token_ids", "/tokenize gives tokens"},
    {"return_tokens_as_token_ids", "/tokenize gives tokens"},
    {"n_cmpl", "its name is n", .neutral = 1},
    {"guided_json", say_schema}, {"guided_regex", say_schema}, {"guided_choice", say_schema},
    {"guided_grammar", "say it in grammar (GBNF)"}, {"structured_outputs", say_schema},
    {"prompt_logprobs", "probabilities of a prompt are not told here"},
    {"truncate_prompt_tokens", "nothing is cut off here; what does not fit is refused", .neutral = -1},
    {"skip_special_tokens", "control tokens have no text here", .on = true},
    {0}};

/* What both have beside prompt and constraint. */
static void read_common(srv_gen *g, const srv_fields *f) {
    srv_gen_sampling(g, f);
    g->stream = srv_bool(f, "stream", false);
    const ts_jval *so = srv_field_of(f, "stream_options", TS_JSON_OBJECT);
    const srv_fields in = {so, "stream_options.", f->error};
    g->include_usage = so && srv_bool(&in, "include_usage", false);
    g->n = (uint32_t)srv_int(f, "n", 1, 128, 1);
    g->opts.n_stop = srv_strings(f, "stop", g->stop, SRV_STOPS);
    g->no_cache = !srv_bool(f, "cache_prompt", true);
    g->all_timings = srv_bool(f, "timings_per_token", false);
    g->tells_progress = srv_bool(f, "return_progress", false);
    if (srv_int(f, "best_of", 1, 128, 1) > 1) srv_refuse(f->error, 400, "best_of", "best_of: ask for several with n");
    srv_unknown_fields(f, unknown_fields);
}

static int64_t read_max(const srv_fields *f, bool chat) {
    static const char *const names[] = {"max_tokens", "n_predict", "max_completion_tokens"};
    int64_t max = -1; /* until the context is full, which llama-server's page and LM Studio's examples say by -1 */
    for (int i = 0; i < 2 + chat; i++) {
        const int64_t n = srv_int(f, names[i], -1, 1 << 24, max);
        if (n == 0 && srv_fields_ok(f)) srv_refuse(f->error, 400, names[i], "%s has to be at least 1, or -1", names[i]);
        max = n;
    }
    return max < 0 ? 0 : max;
}

static bool chat_modalities(const srv_fields *f) {
    const ts_jval *v = srv_field_of(f, "modalities", TS_JSON_ARRAY);
    for (const ts_jval *m = v ? v->first : NULL; m; m = m->next)
        if (!ts_jval_is(m, "text")) return srv_refuse(f->error, 400, "modalities", "this server makes text");
    return srv_fields_ok(f);
}

static const srv_unknown unknown_in_chats[] = {
    {"functions", "use tools"},
    {"function_call", "use tool_choice"},
    {"echo", "the prompt is not repeated in a chat"},
    {"prompt", "a chat has messages; ask /v1/completions"},
    {"suffix", "text that comes behind is not looked at here"},
    {"chat_template", "the template is the model's"},
    {"n_probs", "its name is top_logprobs in a chat, with logprobs: true"},
    {"documents", "give a template's documents in chat_template_kwargs"},
    {"thinking_forced_open", "the template opens a block of thoughts, or the model"},
    {"add_special_tokens", "the template says all that is in front"},
    {"parse_tool_calls", "calls are told apart; tool_choice \"none\" forbids them", .on = true},
    {0}};

/* llama-server's reasoning_format: thoughts are told apart. vLLM's include_reasoning: or not told. OpenAI's
 * reasoning_effort: a template knows no amounts, but perhaps how not to think. */
static void read_thoughts(srv_gen *g, const srv_fields *f, srv_chat *chat) {
    static const char *const formats[] = {"auto", "deepseek", NULL};
    (void)srv_choice_of(f, "reasoning_format", formats, 0);
    g->hides_thinking = !srv_bool(f, "include_reasoning", true);
    if (ts_jval_is(srv_field(f, "reasoning_effort"), "none")) (void)srv_api_think(g->model, chat, false, f->error);
}

/* Does the answer go on with the last message, where it is an assistant's? As llama-server does, unless it is told not
 * to in vLLM's words; and does the template open a turn for it? */
static void read_turn(const srv_fields *f, srv_chat *chat) {
    chat->continue_last = srv_bool(f, "continue_final_message", true);
    chat->no_opening = !srv_bool(f, "add_generation_prompt", true);
}

/* Fill g from a chat's body. */
static bool read_chat(srv_gen *g, const srv_fields *f, srv_chat *chat) {
    const char *how;
    bool named;
    ts_span may_call;
    read_common(g, f);
    g->opts.max_tokens = (size_t)read_max(f, true);
    g->logprobs = srv_bool(f, "logprobs", false);
    g->top = (int)srv_int(f, "top_logprobs", 0, SRV_TOP, 0);
    if (g->top && !g->logprobs && srv_fields_ok(f))
        srv_refuse(f->error, 400, "top_logprobs", "top_logprobs needs logprobs: true");
    srv_unknown_fields(f, unknown_in_chats);
    read_thoughts(g, f, chat);
    read_turn(f, chat);
    if (!srv_api_vars(g->model, chat, f)) return false;
    const ts_jval *tools = srv_field_of(f, "tools", TS_JSON_ARRAY), *messages = srv_field(f, "messages");
    if (tools && tools->n) chat->tools = tools->source;
    if (!chat_modalities(f) || !read_tool_choice(f, chat, &g->job->arena, &how, &named, &may_call)) return false;
    if (!messages) return srv_fields_ok(f) && srv_refuse(f->error, 400, "messages", "messages is missing");
    if (chat->tools.len == 0 && (named || !strcmp(how, "required")))
        return srv_refuse(f->error, 400, "tool_choice", "tool_choice asks for a call, but there are no tools");
    const bool one_call = !srv_bool(f, "parallel_tool_calls", true);
    if (!srv_fields_ok(f) || !srv_chat_read(chat, messages, &g->job->arena, f->error)) return false;
    if (srv_bool(f, "continue_final_message", false) && !srv_chat_last(chat))
        return srv_refuse(f->error, 400, "continue_final_message",
                          "continue_final_message: the last message is not an assistant's");
    if (!srv_api_prompt(g, chat, "messages", f->error) || !read_format(g, f)) return false;
    return !chat->tools.len || srv_gen_tools(g, may_call, how, named, one_call, f->error);
}

static void handle_chat(srv_job *job) {
    srv_error e;
    srv_fields f;
    srv_gen *g = srv_gen_open(job, &chat_api, "chatcmpl-", &f, &e);
    srv_chat chat = {0};
    if (g) (void)read_chat(g, &f, &chat);
    srv_chat_free(&chat);
    srv_gen_close(job, g, &e);
}

/* ---- the prompts of completions ---------------------------------------------------------------------------------- */

static bool add_tokens(srv_gen *g, const ts_jval *list, srv_error *e) {
    ts_token *tokens;
    return srv_api_token_list(g->model, list, "prompt", &tokens, e) && srv_gen_prompt(g, tokens, list->n, e);
}

/* Text, array of texts, array of tokens, array of arrays of tokens. */
static bool read_prompts(srv_gen *g, const srv_fields *f) {
    const ts_jval *p = srv_field(f, "prompt");
    srv_error *e = f->error;
    if (!p) return srv_fields_ok(f) && srv_refuse(e, 400, "prompt", "prompt is missing");
    if (p->type == TS_JSON_STRING) return srv_api_text(g, p, e);
    if (p->type != TS_JSON_ARRAY || p->n == 0)
        return srv_refuse(e, 400, "prompt", "prompt has to be a text, or an array of texts or tokens");
    if (p->first->type == TS_JSON_NUMBER) return add_tokens(g, p, e);
    if (p->n > 128) return srv_refuse(e, 400, "prompt", "%u prompts are more than 128", p->n);
    for (const ts_jval *v = p->first; v; v = v->next) {
        if (v->type != TS_JSON_STRING && v->type != TS_JSON_ARRAY)
            return srv_refuse(e, 400, "prompt", "prompt has to be a text, or an array of texts or tokens");
        if (!(v->type == TS_JSON_STRING ? srv_api_text(g, v, e) : add_tokens(g, v, e))) return false;
    }
    return true;
}

static const char no_prompt_probs[] = "echo with probabilities: those of a prompt are not told here";
static const char of_chats[] = "it belongs to a chat; ask /v1/chat/completions";
static const srv_unknown unknown_in_texts[] = {
    {"suffix", "text that comes behind is not looked at here"},
    {"tools", of_chats}, {"tool_choice", of_chats}, {"messages", of_chats}, {"chat_template", of_chats},
    {"chat_template_kwargs", of_chats}, {"continue_final_message", of_chats},
    {"max_completion_tokens", "its name is max_tokens here"},
    {"top_logprobs", "logprobs says how many"},
    {"add_special_tokens", "a text begins as the model's texts do; give tokens to say all of it", .on = true},
    {0}};

static bool read_completion(srv_gen *g, const srv_fields *f) {
    read_common(g, f);
    g->opts.max_tokens = (size_t)read_max(f, false);
    const ts_jval *lp = srv_field(f, "logprobs");
    if (lp && lp->type == TS_JSON_BOOL) g->logprobs = lp->truth;
    else if (lp) g->logprobs = true, g->top = (int)srv_int(f, "logprobs", 0, SRV_TOP, 0);
    g->echo = srv_bool(f, "echo", false);
    if (g->echo && g->logprobs) return srv_refuse(f->error, 400, "echo", "%s", no_prompt_probs);
    srv_unknown_fields(f, unknown_in_texts);
    return srv_fields_ok(f) && read_format(g, f) && read_prompts(g, f) && srv_gen_fits(g, "prompt", f->error);
}

static void handle_completions(srv_job *job) {
    srv_error e;
    srv_fields f;
    srv_gen *g = srv_gen_open(job, &old_api, "cmpl-", &f, &e);
    if (g) (void)read_completion(g, &f);
    srv_gen_close(job, g, &e);
}

/* ---- llama-server's /completion ---------------------------------------------------------------------------------- */

static bool put_llama_prob(const srv_gen *g, const srv_prob *p, ts_buf *out) {
    return ts_buf_printf(out, "{\"id\":%d,\"token\":", p->token) && put_token(g, out, p->token, true) &&
           ts_buf_puts(out, ",\"logprob\":") && put_prob(out, p->logprob);
}

/* The probabilities of the tokens [from, to). */
static bool put_llama_probs(const srv_choice *c, size_t from, size_t to, ts_buf *out) {
    const srv_gen *g = c->gen;
    bool ok = ts_buf_puts(out, ",\"completion_probabilities\":[");
    for (size_t i = from; i < to && ok; i++) {
        const srv_logprob *l = &c->logprob[i];
        ok = (i == from || ts_buf_putc(out, ',')) && put_llama_prob(g, &l->drawn, out) &&
             ts_buf_puts(out, ",\"top_logprobs\":[");
        for (int k = 0; k < g->top && l->top[k].token >= 0 && ok; k++)
            ok = (!k || ts_buf_putc(out, ',')) && put_llama_prob(g, &l->top[k], out) && ts_buf_putc(out, '}');
        ok = ok && ts_buf_puts(out, "]}");
    }
    return ok && ts_buf_putc(out, ']');
}

static bool put_llama(srv_gen *g, ts_buf *out, const char *text, size_t len, bool stop) {
    const srv_choice *c = g->choice;
    bool ok = ts_buf_puts(out, "{\"index\":0,\"content\":") && srv_put_text(out, text, len) &&
              ts_buf_printf(out, ",\"stop\":%s,\"tokens_predicted\":%zu,\"tokens_evaluated\":%zu",
                            stop ? "true" : "false", c->n_tokens, g->prompt_len[0]);
    if (ok && g->logprobs && (!stop || !g->stream)) ok = put_llama_probs(c, c->told_logprob, c->n_logprob, out);
    if (ok && !stop) ok = put_progress(g, out);
    if (ok && !stop && g->all_timings) ok = ts_buf_putc(out, ',') && srv_put_timings(g, out);
    if (!ok || !stop) return ok && ts_buf_putc(out, '}');
    const char *type = c->reason == TS_STOP_END      ? "eos"
                       : c->reason == TS_STOP_STRING ? "word"
                                                     : "limit";
    return ts_buf_puts(out, ",\"model\":") && srv_put_text(out, g->model->name, strlen(g->model->name)) &&
           ts_buf_printf(out, ",\"stop_type\":\"%s\",\"stopping_word\":", type) &&
           srv_put_text(out, c->stop, c->stop ? strlen(c->stop) : 0) &&
           ts_buf_printf(out, ",\"tokens_cached\":%zu,\"truncated\":false,", g->n_cached) && srv_put_timings(g, out) &&
           ts_buf_putc(out, '}');
}

static bool llama_whole(srv_gen *g, ts_buf *out) {
    return put_llama(g, out, g->choice->text.data, g->choice->text.len, true);
}

static bool llama_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    ts_buf b = {0};
    (void)c;
    return send_event(g, &b, ts_buf_puts(&b, "data: ") && put_llama(g, &b, d->text, d->len, false));
}

static bool llama_close(srv_gen *g, srv_choice *c) {
    (void)g, (void)c;
    return true;
}

static bool llama_finish(srv_gen *g) {
    ts_buf b = {0};
    return send_event(g, &b, ts_buf_puts(&b, "data: ") && put_llama(g, &b, "", 0, true));
}

static const srv_api llama_api = {"text/event-stream", ": ping\n\n", nothing, llama_delta, llama_close,
                                  llama_finish, llama_whole, stream_fail};

static void handle_llama(srv_job *job) {
    srv_error e;
    srv_fields f;
    srv_gen *g = srv_gen_open(job, &llama_api, "cmpl-", &f, &e);
    const bool ok = g && read_completion(g, &f);
    if (g && srv_field(&f, "n_probs")) g->top = (int)srv_int(&f, "n_probs", 0, SRV_TOP, 0), g->logprobs = g->top > 0;
    if (ok && g->logprobs && g->echo) srv_refuse(&e, 400, "echo", "%s", no_prompt_probs);
    if (ok && e.status == 0 && (g->n > 1 || g->n_prompt > 1))
        srv_refuse(&e, 400, "prompt", "/completion answers one prompt once; /v1/completions takes several");
    srv_gen_close(job, g, &e);
}

/* ---- embeddings -------------------------------------------------------------------------------------------------- */

static bool put_base64(ts_buf *out, const void *data, size_t len) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    if (!ts_buf_reserve(out, (len + 2) / 3 * 4 + 2)) return false;
    bool ok = ts_buf_putc(out, '"');
    for (size_t i = 0; i < len && ok; i += 3) {
        const size_t n = len - i < 3 ? len - i : 3;
        const uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        const char four[] = {digit[v >> 18], digit[v >> 12 & 63], n > 1 ? digit[v >> 6 & 63] : '=',
                             n > 2 ? digit[v & 63] : '='};
        ok = ts_buf_append(out, four, 4);
    }
    return ok && ts_buf_putc(out, '"');
}

struct embeddings {
    ts_buf *out;
    bool base64;
};

static bool on_vector(void *ud, size_t i, const float *v, uint32_t n) {
    const struct embeddings *w = ud;
    bool ok = ts_buf_printf(w->out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
    if (ok && w->base64) {
        ok = put_base64(w->out, v, n * sizeof *v);
    } else {
        ok = ok && ts_buf_putc(w->out, '[');
        for (uint32_t k = 0; k < n && ok; k++) ok = ts_buf_printf(w->out, "%s%.9g", k ? "," : "", (double)v[k]);
        ok = ok && ts_buf_putc(w->out, ']');
    }
    return ok && ts_buf_putc(w->out, '}');
}

static void handle_embeddings(srv_job *job) {
    static const char *const formats[] = {"float", "base64", NULL};
    srv_error e;
    const srv_fields f = {srv_job_json(job, &e), "", &e};
    ts_buf out = {0};
    struct embeddings w = {.out = &out};
    size_t n_tokens = 0;
    srv_model *model = NULL;
    const ts_jval *input = NULL;
    if (e.status == 0) {
        w.base64 = srv_choice_of(&f, "encoding_format", formats, 0) == 1;
        input = srv_field(&f, "input");
        srv_unsupported(&f, "dimensions", "vectors have the model's own dimension");
        if (!input && srv_fields_ok(&f)) srv_refuse(&e, 400, "input", "input is missing");
    }
    if (e.status == 0) model = srv_models_get(job->srv->models, srv_string(&f, "model"), &e);
    bool ok = model && ts_buf_puts(&out, "{\"object\":\"list\",\"data\":[");
    if (ok && e.status == 0) (void)srv_embed(job, model, input, on_vector, &w, &n_tokens, &e);
    if (e.status == 0) {
        ok = ok && ts_buf_puts(&out, "],\"model\":") && srv_put_text(&out, model->name, strlen(model->name)) &&
             ts_buf_printf(&out, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", n_tokens, n_tokens);
        srv_job_reply_json(job, ok, &out);
    } else {
        ts_buf_free(&out);
        srv_job_fail(job, &e);
    }
    srv_model_drop(job->srv->models, model);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

struct listing {
    ts_buf *out;
    size_t n;
};

static bool put_model(ts_buf *out, const srv_model *m) {
    bool ok = ts_buf_puts(out, "{\"id\":") && srv_put_text(out, m->name, strlen(m->name)) &&
              ts_buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"tessera\",\"loaded\":%s,"
                                 "\"meta\":{\"size\":%llu",
                            (long long)m->modified, srv_model_ready(m) ? "true" : "false",
                            (unsigned long long)m->file_bytes);
    if (ok && srv_model_ready(m))
        ok = ts_buf_printf(out, ",\"n_ctx\":%u,\"n_ctx_train\":%u,\"n_params\":%llu,\"n_vocab\":%u,\"n_embd\":%u,"
                                "\"device\":\"%s\"", m->n_ctx, m->info.n_ctx_train,
                           (unsigned long long)m->info.n_params, m->info.n_vocab, m->info.d_model, m->info.device);
    return ok && ts_buf_puts(out, "}}");
}

static bool list_model(void *ud, const srv_model *m) {
    struct listing *l = ud;
    return (!l->n++ || ts_buf_putc(l->out, ',')) && put_model(l->out, m);
}

static void handle_models(srv_job *job) {
    ts_buf out = {0};
    struct listing l = {.out = &out};
    bool ok = ts_buf_puts(&out, "{\"object\":\"list\",\"data\":[") &&
              srv_models_each(job->srv->models, list_model, &l) && ts_buf_puts(&out, "]}");
    srv_job_reply_json(job, ok, &out);
}

static bool show_model(void *ud, const srv_model *m) {
    struct listing *l = ud;
    return (l->n = put_model(l->out, m)); /* 0: no memory */
}

static void handle_model(srv_job *job) {
    ts_buf out = {0};
    srv_error e;
    struct listing l = {.out = &out};
    if (srv_models_find(job->srv->models, job->name, show_model, &l)) {
        srv_job_reply_json(job, l.n, &out);
        return;
    }
    (void)srv_refuse_model(&e, job->name);
    srv_job_fail(job, &e);
}

const srv_route srv_openai_routes[] = {
    {"POST", "/v1/chat/completions", 0, handle_chat, srv_openai_error},
    {"POST", "/chat/completions", 0, handle_chat, srv_openai_error},
    {"POST", "/v1/completions", 0, handle_completions, srv_openai_error},
    {"POST", "/completions", 0, handle_llama, srv_openai_error},
    {"POST", "/completion", 0, handle_llama, srv_openai_error},
    {"POST", "/v1/embeddings", 0, handle_embeddings, srv_openai_error},
    {"POST", "/embeddings", 0, handle_embeddings, srv_openai_error},
    {"GET", "/v1/models", SRV_NOW, handle_models, srv_openai_error},
    {"GET", "/models", SRV_NOW, handle_models, srv_openai_error},
    {"GET", "/v1/models/", SRV_NOW, handle_model, srv_openai_error},
    {0},
};
