/* api_ollama.c - Ollama's API. Forms: docs/server.md. */
#include "base/clock.h"
#include "server/api.h"
#include "server/server_int.h"
#include "server/srv_embed.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { UNLOAD = 0, FOR_EVER = -1, UNSAID = -2 }; /* of keep_alive */

bool srv_ollama_error(ts_buf *out, const srv_error *e) {
    return ts_buf_puts(out, "{\"error\":") && srv_put_string(out, e->message) && ts_buf_puts(out, "}");
}

/* ---- how long a model is kept ------------------------------------------------------------------------------------ */

static double seconds_of(const char *unit, size_t len) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == len && !memcmp(units[i].name, unit, len)) return units[i].seconds;
    return -1;
}

static bool in_number(char c) {
    return c == '.' || (c >= '0' && c <= '9');
}

/* "5m", "1h30m", "-1s", "300": seconds. false: it is none of these. */
static bool duration_of(const char *s, double *out) {
    const bool minus = *s == '-';
    double sum = 0;
    if (*s == '-' || *s == '+') s++;
    if (!*s) return false;
    while (*s) {
        char number[32] = "", *end;
        size_t n = 0, len = 0;
        for (; in_number(s[n]) && n < sizeof number - 1; n++) number[n] = s[n];
        const double v = strtod(number, &end);
        if (n == 0 || *end) return false;
        s += n;
        while (s[len] && !in_number(s[len])) len++;
        const double unit = seconds_of(s, len);
        if (unit < 0) return false;
        sum += v * unit;
        s += len;
    }
    *out = minus ? -sum : sum;
    return true;
}

/* The seconds that keep_alive says. */
static int64_t read_keep(const srv_fields *f) {
    enum { MOST = 10 * 365 * 24 * 3600 };
    const ts_jval *v = srv_field(f, "keep_alive");
    double seconds = 0;
    bool ok = v && v->type == TS_JSON_NUMBER;
    if (!v) return UNSAID;
    if (ok) seconds = srv_real(f, "keep_alive", -1e18, 1e18, 0);
    else if (v->type == TS_JSON_STRING) ok = duration_of((const char *)v->text.data, &seconds);
    if (!ok)
        srv_refuse(f->error, 400, "keep_alive", "keep_alive has to be a number of seconds, or a time such as \"5m\"");
    return seconds < 0 ? FOR_EVER : seconds > MOST ? MOST : (int64_t)seconds;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* What an answer has beside the srv_gen. */
typedef struct own {
    const char *name; /* of the model, as the request says it */
    bool chat;        /* else generate */
    uint64_t load_ns;
    size_t told;      /* calls that were sent */
} own;

/* What a format says, constrained. */
static bool read_format(srv_gen *g, const srv_fields *f) {
    const ts_jval *v = srv_field(f, "format");
    if (!v || (v->type == TS_JSON_STRING && v->text.len == 0)) return srv_fields_ok(f);
    if (v->type == TS_JSON_OBJECT) return srv_api_schema(g, v, "format", f->error);
    return ts_jval_is(v, "json") ? srv_api_schema(g, NULL, "format", f->error)
                                 : srv_refuse(f->error, 400, "format", "format has to be \"json\" or a JSON schema");
}

/* think: true, false, or how much, which is true. */
static bool read_think(const srv_model *m, srv_chat *c, const srv_fields *f) {
    const ts_jval *v = srv_field(f, "think");
    if (!v) return srv_fields_ok(f);
    if (v->type != TS_JSON_BOOL && v->type != TS_JSON_STRING)
        return srv_refuse(f->error, 400, "think", "think has to be true or false, not %s", srv_kind(v));
    const bool think = v->type == TS_JSON_STRING || v->truth;
    if (think && !m->thinks) return srv_refuse(f->error, 400, "think", "%s does not support thinking", m->name);
    return srv_api_think(m, c, think, f->error);
}

/* Beside what Ollama has: names that belong into options, and those of other APIs of this server. */
static const char to_options[] = "put it into options";
static const srv_unknown unknown_fields[] = {
    {"template", "the template is the model's; with raw none is used"},
    {"logprobs", "ask /v1/chat/completions with logprobs"},
    {"top_logprobs", "ask /v1/chat/completions with logprobs"},
    {"temperature", to_options, .zero = true}, {"top_p", to_options, .zero = true}, {"top_k", to_options, .zero = true},
    {"min_p", to_options, .zero = true}, {"seed", to_options, .zero = true}, {"stop", to_options},
    {"num_predict", to_options, .zero = true}, {"num_ctx", to_options},
    {"max_tokens", "put num_predict into options"},
    {"response_format", "say it in format"},
    {"json_schema", "say it in format"},
    {"grammar", "ask /v1/chat/completions, which takes grammars"},
    {"tool_choice", "Ollama's API has none; ask /v1/chat/completions"},
    {0}};

static void read_options(srv_gen *g, const srv_fields *f) {
    const srv_fields o = {srv_field_of(f, "options", TS_JSON_OBJECT), "options.", f->error};
    srv_gen_sampling(g, &o);
    const int64_t most = srv_int(&o, "num_predict", INT32_MIN, 1 << 24, -1); /* negative: until the context is full */
    g->opts.max_tokens = most > 0 ? (size_t)most : 0;
    g->opts.n_stop = srv_strings(&o, "stop", g->stop, SRV_STOPS);
    const int64_t n_ctx = srv_int(&o, "num_ctx", 0, INT32_MAX, 0);
    if (n_ctx > g->model->n_ctx)
        srv_refuse(f->error, 400, "options.num_ctx",
                   "options.num_ctx is %lld, the context of a request is %u here; nothing is cut off, so leave it out, "
                   "or start the server with a larger --ctx",
                   (long long)n_ctx, g->model->n_ctx);
    g->stream = srv_bool(f, "stream", true);
    srv_unknown_fields(f, unknown_fields);
}

static bool read_chat(srv_gen *g, const srv_fields *f, srv_chat *c) {
    const ts_jval *tools = srv_field_of(f, "tools", TS_JSON_ARRAY), *messages = srv_field(f, "messages");
    if (!srv_fields_ok(f) || !srv_chat_read(c, messages, &g->job->arena, f->error)) return false;
    c->continue_last = true; /* as Ollama does */
    if (tools && tools->n) c->tools = tools->source;
    return read_think(g->model, c, f) && srv_api_prompt(g, c, "messages", f->error) && read_format(g, f) &&
           (!c->tools.len || srv_gen_tools(g, c->tools, "auto", false, false, f->error));
}

static bool read_raw(srv_gen *g, const srv_fields *f, const ts_jval *prompt) {
    srv_unsupported(f, "system", "with raw the prompt is all there is");
    return read_format(g, f) && srv_api_text(g, prompt, f->error) && srv_gen_fits(g, "prompt", f->error);
}

static bool read_generate(srv_gen *g, const srv_fields *f, srv_chat *c) {
    const ts_jval *prompt = srv_field_of(f, "prompt", TS_JSON_STRING);
    const ts_jval *system = srv_field_of(f, "system", TS_JSON_STRING);
    srv_message *m;
    srv_unsupported(f, "suffix", "text that comes behind is not looked at here");
    srv_unsupported(f, "images", "this model reads text alone");
    srv_unsupported(f, "context", "send the conversation to /api/chat instead");
    const bool raw = srv_bool(f, "raw", false);
    if (!srv_fields_ok(f) || !prompt) return srv_fields_ok(f);
    if (raw) return read_raw(g, f, prompt);
    if (system && system->text.len &&
        !(srv_chat_add(c, SRV_SYSTEM, &m, f->error) &&
          srv_chat_text(m, system->text.data, system->text.len, f->error)))
        return false;
    return srv_chat_add(c, SRV_USER, &m, f->error) &&
           srv_chat_text(m, prompt->text.data, prompt->text.len, f->error) && read_think(g->model, c, f) &&
           srv_api_prompt(g, c, "prompt", f->error) && read_format(g, f);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static bool put_head(ts_buf *out, const char *name) {
    return ts_buf_puts(out, "{\"model\":") && srv_put_string(out, name) && ts_buf_puts(out, ",\"created_at\":") &&
           srv_put_now(out);
}

/* Calls [from, to) that are whole. */
static bool put_calls(ts_buf *out, const srv_choice *c, size_t from, size_t to) {
    bool ok = true, any = false;
    for (size_t i = from; i < to && ok; i++) {
        const srv_call *call = &c->call[i];
        if (!srv_call_complete(call)) continue; /* it was cut off: nobody should run half of it */
        ok = ts_buf_puts(out, any ? "," : ",\"tool_calls\":[") &&
             ts_buf_printf(out, "{\"id\":\"%s\",\"function\":{\"index\":%zu,\"name\":", call->id, i) &&
             srv_put_text(out, call->name.data, call->name.len) && ts_buf_puts(out, ",\"arguments\":") &&
             ts_buf_append(out, call->arguments.data, call->arguments.len) && ts_buf_puts(out, "}}");
        any = true;
    }
    return ok && (!any || ts_buf_putc(out, ']'));
}

/* "message" or "response", with text, thinking and calls. */
static bool put_said(ts_buf *out, const own *o, ts_span text, ts_span thinking, const srv_choice *c, size_t calls) {
    bool ok = ts_buf_puts(out, o->chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"response\":") &&
              srv_put_text(out, (const char *)text.data, text.len);
    if (ok && thinking.len)
        ok = ts_buf_puts(out, ",\"thinking\":") && srv_put_text(out, (const char *)thinking.data, thinking.len);
    if (ok && o->chat) ok = put_calls(out, c, o->told, calls) && ts_buf_putc(out, '}');
    return ok;
}

static uint64_t between(uint64_t from, uint64_t to) {
    return from && to > from ? to - from : 0;
}

static bool put_end(ts_buf *out, const srv_gen *g) {
    const own *o = g->own;
    const srv_choice *c = g->choice;
    const bool cut = c->reason == TS_STOP_LENGTH || c->reason == TS_STOP_CONTEXT;
    return ts_buf_printf(out, ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%llu,\"load_duration\":%llu,",
                         cut ? "length" : "stop", (unsigned long long)between(g->job->began_ns, ts_now_ns()),
                         (unsigned long long)o->load_ns) &&
           ts_buf_printf(out,
                         "\"prompt_eval_count\":%zu,\"prompt_eval_duration\":%llu,\"eval_count\":%zu,"
                         "\"eval_duration\":%llu,",
                         srv_gen_prompt_tokens(g), (unsigned long long)between(g->started_ns, g->prompt_ns),
                         c->n_tokens, (unsigned long long)between(g->prompt_ns, c->last_ns)) &&
           srv_put_timings(g, out) && ts_buf_putc(out, '}');
}

static ts_span span_of(const ts_buf *b) {
    return (ts_span){(const uint8_t *)b->data, b->len};
}

static bool whole(srv_gen *g, ts_buf *out) {
    const srv_choice *c = g->choice;
    const own *o = g->own;
    return put_head(out, o->name) && put_said(out, o, span_of(&c->text), span_of(&c->thinking), c, c->n_call) &&
           put_end(out, g);
}

static bool stream_start(srv_gen *g) {
    (void)g;
    return true;
}

/* A line that is not the last one. */
static bool send_line(srv_gen *g, const srv_choice *c, ts_span text, ts_span thinking, size_t calls) {
    own *o = g->own;
    ts_buf b = {0};
    const bool ok = put_head(&b, o->name) && put_said(&b, o, text, thinking, c, calls) &&
                    ts_buf_puts(&b, ",\"done\":false}\n");
    o->told = calls;
    return srv_send(g->job, &b, ok);
}

/* Calls go out whole: the one before, when something else begins. */
static bool send_calls(srv_gen *g, const srv_choice *c, size_t calls) {
    const own *o = g->own;
    while (o->told < calls)
        if (!send_line(g, c, (ts_span){0}, (ts_span){0}, o->told + 1)) return false;
    return true;
}

static bool stream_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    const own *o = g->own;
    const ts_span s = {(const uint8_t *)d->text, d->len}, none = {0};
    switch (d->kind) {
    case SRV_ARGUMENTS: return true;
    case SRV_CALL: return send_calls(g, c, c->n_call - 1);
    case SRV_THINKING: return d->len == 0 || send_line(g, c, none, s, o->told);
    case SRV_TEXT: break;
    }
    return d->len == 0 || (send_calls(g, c, c->n_call) && send_line(g, c, s, none, c->n_call));
}

static bool stream_close(srv_gen *g, srv_choice *c) {
    const bool complete = c->n_call && srv_call_complete(&c->call[c->n_call - 1]);
    return send_calls(g, c, c->n_call - (c->n_call && !complete));
}

static bool stream_finish(srv_gen *g) {
    own *o = g->own;
    ts_buf b = {0};
    o->told = g->choice->n_call;
    const bool ok = put_head(&b, o->name) && put_said(&b, o, (ts_span){0}, (ts_span){0}, g->choice, o->told) &&
                    put_end(&b, g) && ts_buf_putc(&b, '\n');
    return srv_send(g->job, &b, ok);
}

static bool stream_fail(srv_gen *g, const srv_error *e) {
    ts_buf b = {0};
    return srv_send(g->job, &b, srv_ollama_error(&b, e) && ts_buf_putc(&b, '\n'));
}

/* There is no line that says nothing, so there is no ping. */
static const srv_api api = {"application/x-ndjson", NULL, stream_start, stream_delta, stream_close,
                            stream_finish, whole, stream_fail};

/* ---- chat and generate ------------------------------------------------------------------------------------------- */

/* Nothing to answer: the model was loaded, or is to be unloaded. */
static void reply_loaded(srv_job *job, const own *o, bool unloaded) {
    ts_buf out = {0};
    const bool ok =
        put_head(&out, o->name) &&
        ts_buf_puts(&out, o->chat ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}" : ",\"response\":\"\"") &&
        ts_buf_printf(&out, ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%llu,\"load_duration\":%llu}",
                      unloaded ? "unload" : "load", (unsigned long long)between(job->began_ns, ts_now_ns()),
                      (unsigned long long)o->load_ns);
    srv_job_reply_json(job, ok, &out);
}

/* Is there something to answer? */
static bool is_empty(const ts_jval *said, bool chat) {
    return !said || (said->type == TS_JSON_ARRAY && said->n == 0) ||
           (said->type == TS_JSON_STRING && said->text.len == 0 && !chat);
}

/* The model, loaded, and kept as long as the request says. NULL: *e says why not. */
static srv_model *open_model(srv_job *job, const srv_fields *f, int64_t keep, uint64_t *load_ns) {
    const uint64_t begin = ts_now_ns();
    srv_model *m = srv_models_get(job->srv->models, srv_string(f, "model"), f->error);
    *load_ns = between(begin, ts_now_ns());
    if (m && keep != UNSAID) srv_model_keep(job->srv->models, m, keep);
    return m;
}

static srv_gen *read_said(srv_job *job, const srv_fields *f, own *o, srv_model *m) {
    srv_gen *g = srv_gen_new(job, &api, m, "", f->error);
    srv_chat c = {0};
    if (!g) return NULL;
    g->own = o;
    read_options(g, f);
    if (srv_fields_ok(f)) (void)(o->chat ? read_chat(g, f, &c) : read_generate(g, f, &c));
    srv_chat_free(&c);
    return g;
}

static void handle_said(srv_job *job, bool chat) {
    srv_error e;
    const srv_fields f = {srv_job_json(job, &e), "", &e};
    own o = {.chat = chat}, *kept = ts_arena_alloc(&job->arena, 1, sizeof *kept);
    int64_t keep = UNSAID;
    srv_model *m = NULL;
    srv_gen *g = NULL;
    if (f.object && !kept) srv_refuse_nomem(&e);
    if (e.status == 0) keep = read_keep(&f);
    if (e.status == 0 && srv_api_named(&f)) o.name = srv_string(&f, "model");
    const bool empty = is_empty(srv_field(&f, chat ? "messages" : "prompt"), chat);
    /* keep_alive 0 without a prompt: away with it, without loading it first */
    const bool unloaded = e.status == 0 && empty && keep == UNLOAD && srv_models_let_go(job->srv->models, o.name);
    if (e.status == 0 && !unloaded) m = open_model(job, &f, keep, &o.load_ns);
    if (e.status == 0 && !empty) {
        *kept = o;
        g = read_said(job, &f, kept, m);
    }
    srv_model_drop(job->srv->models, m);
    if (e.status == 0 && empty) reply_loaded(job, &o, unloaded);
    else srv_gen_close(job, g, &e);
}

static void handle_chat(srv_job *job) {
    handle_said(job, true);
}

static void handle_generate(srv_job *job) {
    handle_said(job, false);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static bool is_weight_type(const char *word, size_t len) {
    static const char *const plain[] = {"f16", "bf16", "f32", "mxfp4"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (len == strlen(plain[i]) && !strncasecmp(word, plain[i], len)) return true;
    if (len > 0 && (*word == 'i' || *word == 'I' || *word == 't' || *word == 'T')) word++, len--;
    return len > 3 && (*word == 'q' || *word == 'Q') && word[1] >= '0' && word[1] <= '9' && word[2] == '_';
}

/* The type of the weights, as file names have it behind the model's: "llama-8b-q4_K_M.gguf". */
static bool put_quantization(ts_buf *out, const char *name) {
    for (const char *word = name, *end; *word; word = *end ? end + 1 : end) {
        end = word + strcspn(word, "-.:");
        if (!is_weight_type(word, (size_t)(end - word))) continue;
        bool ok = true;
        for (; word < end && ok; word++) ok = ts_buf_putc(out, *word >= 'a' && *word <= 'z' ? *word - 32 : *word);
        return ok;
    }
    return ts_buf_puts(out, "unknown");
}

static bool put_size(ts_buf *out, uint64_t n) {
    if (n == 0) return ts_buf_puts(out, "unknown");
    return n >= 1000000000 ? ts_buf_printf(out, "%.1fB", (double)n * 1e-9)
                           : ts_buf_printf(out, "%.1fM", (double)n * 1e-6);
}

/* Of a model that is not loaded little is known. */
static bool put_details(ts_buf *out, const srv_model *m) {
    const bool ready = srv_model_ready(m);
    const char *family = ready && m->info.arch ? m->info.arch : "unknown";
    return ts_buf_puts(out, "\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":") &&
           srv_put_string(out, family) && ts_buf_puts(out, ",\"families\":[") && srv_put_string(out, family) &&
           ts_buf_puts(out, "],\"parameter_size\":\"") && put_size(out, ready ? m->info.n_params : 0) &&
           ts_buf_puts(out, "\",\"quantization_level\":\"") && put_quantization(out, m->name) &&
           ts_buf_puts(out, "\"}");
}

static bool put_name(ts_buf *out, const srv_model *m) {
    ts_buf name = {0};
    const bool ok = ts_buf_puts(&name, m->name) && (strchr(m->name, ':') || ts_buf_puts(&name, ":latest")) &&
                    ts_buf_puts(out, "{\"name\":") && srv_put_text(out, name.data, name.len) &&
                    ts_buf_puts(out, ",\"model\":") && srv_put_text(out, name.data, name.len);
    ts_buf_free(&name);
    return ok &&
           ts_buf_printf(out, ",\"size\":%llu,\"digest\":\"%s\",", (unsigned long long)m->file_bytes, m->digest) &&
           put_details(out, m);
}

struct listing {
    ts_buf *out;
    size_t n;
};

static bool list_one(void *ud, const srv_model *m) {
    struct listing *l = ud;
    return (!l->n++ || ts_buf_putc(l->out, ',')) && put_name(l->out, m) && ts_buf_puts(l->out, ",\"modified_at\":") &&
           srv_put_time(l->out, m->modified, 0) && ts_buf_putc(l->out, '}');
}

/* When it goes, if nobody comes. */
static bool put_expiry(ts_buf *out, const srv_model *m) {
    int64_t left = 100ll * 365 * 24 * 3600; /* for ever */
    if (!m->kept && m->keep_s >= 0) {
        left = m->keep_s;
        if (!m->users) left -= (int64_t)(between(m->used_ns, ts_now_ns()) / 1000000000u);
    }
    return srv_put_time(out, (int64_t)time(NULL) + (left > 0 ? left : 0), 0);
}

static bool list_loaded(void *ud, const srv_model *m) {
    struct listing *l = ud;
    if (!srv_model_ready(m)) return true;
    /* devices share the host's memory: none of it is a graphics card's */
    return (!l->n++ || ts_buf_putc(l->out, ',')) && put_name(l->out, m) && ts_buf_puts(l->out, ",\"expires_at\":") &&
           put_expiry(l->out, m) && ts_buf_printf(l->out, ",\"size_vram\":0,\"context_length\":%u}", m->n_ctx);
}

static void list(srv_job *job, srv_model_see *see) {
    ts_buf out = {0};
    struct listing l = {.out = &out};
    const bool ok = ts_buf_puts(&out, "{\"models\":[") && srv_models_each(job->srv->models, see, &l) &&
                    ts_buf_puts(&out, "]}");
    srv_job_reply_json(job, ok, &out);
}

static void handle_tags(srv_job *job) {
    list(job, list_one);
}

static void handle_ps(srv_job *job) {
    list(job, list_loaded);
}

static bool put_show(ts_buf *out, const srv_model *m) {
    size_t len = 0;
    const char *which, *template = ts_engine_chat_template(m->engine, 0, &which, &len), *arch = m->info.arch;
    bool ok = ts_buf_puts(out, "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":") &&
              srv_put_text(out, template, len) && ts_buf_putc(out, ',') && put_details(out, m) &&
              ts_buf_puts(out, ",\"model_info\":{\"general.architecture\":") && srv_put_string(out, arch) &&
              ts_buf_puts(out, ",\"general.basename\":") && srv_put_string(out, m->info.name ? m->info.name : m->name);
    /* what a request can have, which is what clients divide up; the model was trained for perhaps more */
    ok = ok && ts_buf_printf(out,
                             ",\"general.parameter_count\":%llu,\"%s.context_length\":%u,\"%s.embedding_length\":%u,"
                             "\"%s.block_count\":%u,\"%s.vocab_size\":%u},",
                             (unsigned long long)m->info.n_params, arch, m->n_ctx, arch, m->info.d_model, arch,
                             m->info.n_layer, arch, m->info.n_vocab);
    ok = ok && ts_buf_puts(out, "\"capabilities\":[\"completion\"") && (!template || ts_buf_puts(out, ",\"tools\"")) &&
         (!m->thinks || ts_buf_puts(out, ",\"thinking\"")) && ts_buf_puts(out, "],\"modified_at\":");
    return ok && srv_put_time(out, m->modified, 0) && ts_buf_putc(out, '}');
}

static void handle_show(srv_job *job) {
    srv_error e;
    const srv_fields f = {srv_job_json(job, &e), "", &e};
    ts_buf out = {0};
    srv_model *m = NULL;
    const char *name = f.object ? srv_string(&f, "model") : NULL;
    if (f.object && !name) name = srv_string(&f, "name"); /* the older name of the field */
    if (e.status == 0 && !(name && *name)) srv_refuse(&e, 400, "model", "model is missing");
    if (e.status == 0) m = srv_models_get(job->srv->models, name, &e);
    if (m) srv_job_reply_json(job, put_show(&out, m), &out);
    else srv_job_fail(job, &e);
    srv_model_drop(job->srv->models, m);
}

static void handle_version(srv_job *job) {
    ts_buf out = {0};
    /* clients want at least a version of Ollama that has what they need: this is the one whose API is followed */
    srv_job_reply_json(job, ts_buf_printf(&out, "{\"version\":\"0.12.0\",\"tessera\":\"%s\"}", ts_version()), &out);
}

/* ---- embeddings -------------------------------------------------------------------------------------------------- */

static bool put_vector(void *ud, size_t i, const float *v, uint32_t n) {
    ts_buf *out = ud;
    bool ok = ts_buf_puts(out, i ? ",[" : "[");
    for (uint32_t k = 0; k < n && ok; k++) ok = ts_buf_printf(out, "%s%.9g", k ? "," : "", (double)v[k]);
    return ok && ts_buf_putc(out, ']');
}

/* `old`: one prompt, one vector. */
static void embed(srv_job *job, bool old) {
    srv_error e;
    const srv_fields f = {srv_job_json(job, &e), "", &e};
    const char *field = old ? "prompt" : "input";
    const ts_jval *input = srv_field(&f, field);
    srv_model *m = NULL;
    ts_buf out = {0};
    size_t n_tokens = 0;
    uint64_t load_ns = 0;
    int64_t keep = UNSAID;
    if (e.status == 0) keep = read_keep(&f);
    srv_unsupported(&f, "dimensions", "vectors have the model's own dimension");
    if (e.status == 0 && !input) srv_refuse(&e, 400, field, "%s is missing", field);
    if (e.status == 0 && srv_api_named(&f)) m = open_model(job, &f, keep, &load_ns);
    bool ok = m && (old ? ts_buf_puts(&out, "{\"embedding\":")
                        : ts_buf_puts(&out, "{\"model\":") && srv_put_string(&out, srv_string(&f, "model")) &&
                              ts_buf_puts(&out, ",\"embeddings\":["));
    if (ok) (void)srv_embed(job, m, input, put_vector, &out, &n_tokens, &e);
    srv_model_drop(job->srv->models, m);
    if (e.status) {
        ts_buf_free(&out);
        srv_job_fail(job, &e);
        return;
    }
    if (ok && !old)
        ok = ts_buf_printf(&out, "],\"total_duration\":%llu,\"load_duration\":%llu,\"prompt_eval_count\":%zu",
                           (unsigned long long)between(job->began_ns, ts_now_ns()), (unsigned long long)load_ns,
                           n_tokens);
    srv_job_reply_json(job, ok && ts_buf_putc(&out, '}'), &out);
}

static void handle_embed(srv_job *job) {
    embed(job, false);
}

static void handle_embeddings(srv_job *job) {
    embed(job, true);
}

const srv_route srv_ollama_routes[] = {
    {"POST", "/api/chat", 0, handle_chat, srv_ollama_error},
    {"POST", "/api/generate", 0, handle_generate, srv_ollama_error},
    {"POST", "/api/embed", 0, handle_embed, srv_ollama_error},
    {"POST", "/api/embeddings", 0, handle_embeddings, srv_ollama_error},
    {"POST", "/api/show", 0, handle_show, srv_ollama_error},
    {"GET", "/api/tags", SRV_NOW, handle_tags, srv_ollama_error},
    {"GET", "/api/ps", SRV_NOW, handle_ps, srv_ollama_error},
    {"GET", "/api/version", SRV_NOW, handle_version, srv_ollama_error},
    {0},
};
