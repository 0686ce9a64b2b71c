/* api_own.c - what operators and dashboards ask: health, metrics, places; and what llama-server's clients know: props,
 * tokenize, detokenize, apply-template. */
#include "base/clock.h"
#include "base/json_write.h"
#include "server/api.h"
#include "server/server_int.h"

#include <string.h>

static void handle_root(srv_job *job) { /* the page is the HTTP thread's; this is for programs */
    ts_buf out = {0};
    const bool ok = ts_buf_printf(&out, "Ollama is running: its API, by Tessera %s\n", ts_version());
    srv_job_reply(job, ok ? 200 : 503, "text/plain; charset=utf-8", &out);
}

static void handle_health(srv_job *job) {
    ts_buf out = {0};
    srv_job_reply_json(job, ts_buf_puts(&out, "{\"status\":\"ok\"}"), &out);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static bool put_metric(ts_buf *out, const char *name, const char *type, const char *help, double v) {
    return ts_buf_printf(out, "# HELP tessera_%s %s\n# TYPE tessera_%s %s\ntessera_%s %.17g\n", name, help, name, type,
                         name, v);
}

static void handle_metrics(srv_job *job) {
    ts_server *s = job->srv;
    srv_metrics *m = &s->metrics;
    srv_now now;
    ts_buf out = {0};
    srv_sched_now(s->sched, &now);
    const struct {
        const char *name, *type, *help;
        double v;
    } row[] = {
        {"prompt_tokens_total", "counter", "Tokens of prompts that were computed.", (double)m->prompt_tokens},
        {"prompt_cached_tokens_total", "counter", "Tokens of prompts found in the prefix store.",
         (double)m->cached_tokens},
        {"prompt_seconds_total", "counter", "Time of passes that read a prompt (measured).",
         (double)m->prompt_ns * 1e-9},
        {"tokens_predicted_total", "counter", "Tokens drawn.", (double)m->tokens},
        {"tokens_predicted_seconds_total", "counter", "Time of passes that only draw (measured).",
         (double)m->draw_ns * 1e-9},
        {"passes_total", "counter", "Passes through a model.", (double)m->passes},
        {"pass_rows_total", "counter", "Tokens in all of them.", (double)m->rows},
        {"requests_total", "counter", "Requests that have ended.", (double)m->requests},
        {"requests_refused_total", "counter", "Of these, answered with 4xx.", (double)m->refused},
        {"requests_failed_total", "counter", "Of these, answered with 5xx.", (double)m->failed},
        {"requests_abandoned_total", "counter", "Of these, whose client left.", (double)m->left},
        {"requests_processing", "gauge", "Places that are taken.", now.busy},
        {"requests_deferred", "gauge", "Requests that wait for a place.", now.waiting},
        {"slots", "gauge", "Places that there are.", now.n_slot},
        {"uptime_seconds", "gauge", "Since the server began.", (double)(ts_now_ns() - s->began_ns) * 1e-9},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof row / sizeof *row && ok; i++)
        ok = put_metric(&out, row[i].name, row[i].type, row[i].help, row[i].v);
    srv_job_reply(job, ok ? 200 : 503, "text/plain; version=0.0.4; charset=utf-8", &out);
}

/* What a place has with all of the models that are loaded. */
static bool least_ctx(void *ud, const srv_model *m) {
    uint32_t *n = ud;
    if (!*n || m->n_ctx < *n) *n = m->n_ctx;
    return true;
}

static void handle_slots(srv_job *job) {
    srv_now now;
    ts_buf out = {0};
    uint32_t n_ctx = job->srv->o.n_ctx; /* 0: not known before a model is loaded */
    if (!n_ctx) srv_models_loaded(job->srv->models, least_ctx, &n_ctx);
    srv_sched_now(job->srv->sched, &now);
    bool ok = ts_buf_putc(&out, '[');
    for (uint32_t i = 0; i < now.n_slot && ok; i++) {
        const srv_slot *p = &now.slot[i];
        ok = ts_buf_printf(&out, "%s{\"id\":%u,\"is_processing\":%s", i ? "," : "", i, p->busy ? "true" : "false") &&
             (!n_ctx || ts_buf_printf(&out, ",\"n_ctx\":%u", n_ctx));
        if (ok && p->busy)
            ok = ts_buf_printf(&out, ",\"id_task\":%llu,\"n_prompt\":%u,\"n_prompt_done\":%u,\"n_decoded\":%u,"
                                     "\"model\":", (unsigned long long)p->task, p->n_prompt, p->n_read, p->n_drawn) &&
                 ts_json_put_string(&out, p->model, strlen(p->model));
        ok = ok && ts_buf_putc(&out, '}');
    }
    srv_job_reply_json(job, ok && ts_buf_putc(&out, ']'), &out);
}

/* ---- about a model ----------------------------------------------------------------------------------------------- */

static void handle_props(srv_job *job) {
    srv_error e = {0};
    ts_buf out = {0};
    srv_model *m = srv_models_get(job->srv->models, NULL, &e);
    if (!m) {
        srv_job_fail(job, &e);
        return;
    }
    size_t len = 0;
    const char *t = ts_engine_chat_template(m->engine, 0, NULL, &len);
    const ts_sampler_opts o = ts_sampler_defaults();
    bool ok = ts_buf_printf(&out,
                            "{\"default_generation_settings\":{\"n_ctx\":%u,\"temperature\":%g,\"top_k\":%d,"
                            "\"top_p\":%g,\"min_p\":%g,\"typical_p\":%g,\"repeat_penalty\":%g,\"repeat_last_n\":%d,"
                            "\"seed\":-1,\"n_predict\":-1},\"total_slots\":%u,\"model\":",
                            m->n_ctx, (double)o.temperature, o.top_k, (double)o.top_p, (double)o.min_p,
                            (double)o.typical_p, (double)o.repeat_penalty, o.penalty_window,
                            job->srv->o.n_parallel) &&
              ts_json_put_string(&out, m->name, strlen(m->name)) && ts_buf_puts(&out, ",\"model_path\":") &&
              ts_json_put_string(&out, m->name, strlen(m->name)) && ts_buf_puts(&out, ",\"chat_template\":") &&
              ts_json_put_string(&out, t ? t : "", len) &&
              ts_buf_printf(&out, ",\"tool_format\":\"%s%s\",\"build_info\":\"tessera %s\",\"device\":\"%s\"}",
                            m->generic_calls ? "generic:" : "", srv_calls_name[m->calls], ts_version(), m->info.device);
    srv_model_drop(job->srv->models, m);
    srv_job_reply_json(job, ok, &out);
}

/* The body and the model that it names; NULL: *e says why not. */
static srv_model *open_request(srv_job *job, srv_fields *f, srv_error *e) {
    *f = (srv_fields){srv_job_json(job, e), "", e};
    const char *name = f->object ? srv_string(f, "model") : NULL;
    return e->status ? NULL : srv_models_get(job->srv->models, name, e);
}

static void close_request(srv_job *job, srv_model *m, const srv_error *e, bool ok, ts_buf *out) {
    srv_model_drop(job->srv->models, m);
    if (e->status == 0) {
        srv_job_reply_json(job, ok, out);
        return;
    }
    ts_buf_free(out);
    srv_job_fail(job, e);
}

static bool put_piece(const srv_model *m, ts_token id, ts_buf *out) {
    char text[256];
    size_t len = 0, used = 0;
    ts_err err;
    if (ts_engine_token_text(m->engine, id, text, sizeof text, &len, &err) != TS_OK) len = 0;
    if (len > sizeof text) len = sizeof text;
    for (size_t i = 0; i < len;) { /* text where it is some, else its bytes */
        uint32_t c = (unsigned char)text[i];
        const size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
        if (n == 0 || i + n > len) break;
        used = i += n;
    }
    if (!ts_buf_printf(out, "{\"id\":%d,\"piece\":", id)) return false;
    if (used == len) return ts_json_put_string(out, text, len) && ts_buf_putc(out, '}');
    bool ok = ts_buf_putc(out, '[');
    for (size_t i = 0; i < len && ok; i++) ok = ts_buf_printf(out, "%s%u", i ? "," : "", (unsigned char)text[i]);
    return ok && ts_buf_puts(out, "]}");
}

static void handle_tokenize(srv_job *job) {
    srv_error e;
    srv_fields f;
    ts_buf out = {0};
    ts_token *tokens = NULL;
    size_t n = 0;
    ts_err err;
    srv_model *m = open_request(job, &f, &e);
    const ts_jval *content = m ? srv_field_of(&f, "content", TS_JSON_STRING) : NULL;
    const bool special = m && srv_bool(&f, "parse_special", true), bos = m && srv_bool(&f, "add_special", false),
               pieces = m && srv_bool(&f, "with_pieces", false);
    if (m && e.status == 0 && !content) srv_refuse(&e, 400, "content", "content is missing");
    if (e.status == 0 &&
        ts_engine_tokenize(m->engine, (const char *)content->text.data, content->text.len,
                           (special ? TS_TOKENIZE_SPECIAL : 0) | (bos ? TS_TOKENIZE_BOS : TS_TOKENIZE_NO_PREFIX),
                           &tokens, &n, &err) != TS_OK)
        srv_refuse_err(&e, "content", &err);
    bool ok = ts_buf_puts(&out, "{\"tokens\":[");
    for (size_t i = 0; i < n && ok; i++) {
        ok = i == 0 || ts_buf_putc(&out, ',');
        ok = ok && (pieces ? put_piece(m, tokens[i], &out) : ts_buf_printf(&out, "%d", tokens[i]));
    }
    ts_tokens_release(tokens);
    close_request(job, m, &e, ok && ts_buf_puts(&out, "]}"), &out);
}

static void handle_detokenize(srv_job *job) {
    srv_error e;
    srv_fields f;
    ts_buf out = {0};
    char *text = NULL;
    size_t len = 0;
    ts_err err;
    srv_model *m = open_request(job, &f, &e);
    const ts_jval *list = m ? srv_field_of(&f, "tokens", TS_JSON_ARRAY) : NULL;
    if (m && e.status == 0 && !list) srv_refuse(&e, 400, "tokens", "tokens is missing");
    ts_token *tokens = NULL;
    if (list) (void)srv_api_token_list(m, list, "tokens", &tokens, &e);
    const unsigned flags = TS_DETOKENIZE_SPECIAL | TS_DETOKENIZE_NO_PREFIX;
    if (e.status == 0 && ts_engine_detokenize(m->engine, tokens, list->n, flags, &text, &len, &err) != TS_OK)
        srv_refuse_err(&e, "tokens", &err);
    bool ok = e.status || (ts_buf_puts(&out, "{\"content\":") && ts_json_put_string(&out, text, len) &&
                           ts_buf_putc(&out, '}'));
    ts_text_release(text);
    ts_free(tokens);
    close_request(job, m, &e, ok, &out);
}

static void handle_template(srv_job *job) {
    srv_error e;
    srv_fields f;
    ts_buf out = {0};
    ts_prompt prompt = {0};
    srv_chat chat = {0};
    srv_model *m = open_request(job, &f, &e);
    const ts_jval *messages = m ? srv_field(&f, "messages") : NULL;
    const ts_jval *tools = m ? srv_field_of(&f, "tools", TS_JSON_ARRAY) : NULL;
    if (m) srv_unsupported(&f, "chat_template", "the template is the model's");
    chat.no_opening = m && !srv_bool(&f, "add_generation_prompt", true);
    chat.continue_last = m && srv_bool(&f, "continue_final_message", true); /* as /v1/chat/completions */
    if (m && e.status == 0 && !messages) srv_refuse(&e, 400, "messages", "messages is missing");
    if (tools && tools->n) chat.tools = tools->source;
    bool ok = e.status == 0 && srv_api_vars(m, &chat, &f) && srv_chat_read(&chat, messages, &job->arena, &e) &&
              srv_chat_prompt(&chat, m, &prompt, &e) &&
              ts_buf_puts(&out, "{\"prompt\":") && ts_json_put_string(&out, prompt.text, prompt.len) &&
              ts_buf_printf(&out, ",\"n_tokens\":%zu}", prompt.n);
    ts_prompt_release(&prompt);
    srv_chat_free(&chat);
    close_request(job, m, &e, ok, &out);
}

const srv_route srv_own_routes[] = {
    {"GET", "/", SRV_OPEN | SRV_NOW, handle_root, srv_openai_error},
    {"GET", "/health", SRV_OPEN | SRV_NOW, handle_health, srv_openai_error},
    {"GET", "/v1/health", SRV_OPEN | SRV_NOW, handle_health, srv_openai_error},
    {"GET", "/metrics", SRV_NOW, handle_metrics, srv_openai_error},
    {"GET", "/slots", SRV_NOW, handle_slots, srv_openai_error},
    {"GET", "/props", 0, handle_props, srv_openai_error},
    {"POST", "/tokenize", 0, handle_tokenize, srv_openai_error},
    {"POST", "/detokenize", 0, handle_detokenize, srv_openai_error},
    {"POST", "/apply-template", 0, handle_template, srv_openai_error},
    {0},
};
