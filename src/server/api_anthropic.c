/* api_anthropic.c - Anthropic's Messages API. Forms: docs/server.md. */
#include "server/api.h"
#include "server/server_int.h"

#include <string.h>

/* ---- errors ------------------------------------------------------------------------------------------------------ */

bool srv_anthropic_error(ts_buf *out, const srv_error *e) {
    const char *type = e->status >= 500 ? "api_error" : e->type;
    return ts_buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", type) &&
           srv_put_string(out, e->message) && ts_buf_puts(out, "}}");
}

/* ---- reading messages -------------------------------------------------------------------------------------------- */

typedef struct reading {
    srv_chat *chat;
    ts_arena *arena;
    srv_error *e;
} reading;

/* Blocks are texts of their own: they begin on lines of their own. */
static bool add_text(srv_message *m, const ts_jval *text, const char *where, srv_error *e) {
    if (!text || text->type != TS_JSON_STRING)
        return srv_refuse(e, 400, where, "%s has no text", where);
    return srv_chat_text(m, "\n", m->content.len > 0, e) && srv_chat_text(m, text->text.data, text->text.len, e);
}

static const char *type_of(const ts_jval *block, const char *where, srv_error *e) {
    const srv_where prefix = srv_at("%s.", where);
    const srv_fields f = {block, prefix.name, e};
    if (block->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object, not %s", where, srv_kind(block)), NULL;
    const char *type = srv_string(&f, "type");
    if (!type && srv_fields_ok(&f)) srv_refuse(e, 400, where, "%s has no type", where);
    return type;
}

static bool add_texts(srv_message *m, const ts_jval *content, const char *where, srv_error *e);

/* A block that is text, or holds some. */
static bool add_text_block(srv_message *m, const ts_jval *block, const char *where, srv_error *e) {
    const char *type = type_of(block, where, e);
    if (!type) return false;
    if (!strcmp(type, "text")) return add_text(m, ts_jval_get(block, "text"), where, e);
    if (!strcmp(type, "search_result")) return add_texts(m, ts_jval_get(block, "content"), where, e);
    const ts_jval *source = ts_jval_get(block, "source");
    if (!strcmp(type, "document") && ts_jval_is(ts_jval_get(source, "type"), "text"))
        return add_text(m, ts_jval_get(source, "data"), where, e);
    return srv_refuse(e, 400, where, "%s is of type %.60s: this model reads text alone", where, type);
}

/* Text, or a list of blocks of it. */
static bool add_texts(srv_message *m, const ts_jval *content, const char *where, srv_error *e) {
    if (!content || content->type == TS_JSON_NULL) return true;
    if (content->type == TS_JSON_STRING) return add_text(m, content, where, e);
    if (content->type != TS_JSON_ARRAY)
        return srv_refuse(e, 400, where, "%s has to be text or a list of blocks, not %s", where, srv_kind(content));
    size_t i = 0;
    for (const ts_jval *b = content->first; b; b = b->next)
        if (!add_text_block(m, b, srv_at("%s[%zu]", where, i++).name, e)) return false;
    return true;
}

/* The message that more of this role goes to: the last one, where it has the role. Turns of the same role that follow
 * each other are one, as the API says. */
static srv_message *turn_of(const reading *r, int role) {
    srv_message *m = r->chat->n ? &r->chat->message[r->chat->n - 1] : NULL;
    if (m && (int)m->role == role) return m;
    return srv_chat_add(r->chat, role, &m, r->e) ? m : NULL;
}

static bool add_call(const reading *r, srv_message *m, const ts_jval *block, const char *where) {
    const srv_where prefix = srv_at("%s.", where);
    const srv_fields f = {block, prefix.name, r->e};
    const ts_jval *input = srv_field_of(&f, "input", TS_JSON_OBJECT);
    const srv_tool_call call = {.id = srv_string(&f, "id"), .name = srv_string(&f, "name"),
                                .arguments = input ? input->source : (ts_span){0}};
    if (!srv_fields_ok(&f)) return false;
    if (!call.name) return srv_refuse(r->e, 400, where, "%s has no name", where);
    return srv_chat_call(m, &call, r->arena, r->e);
}

static bool add_thinking(const reading *r, srv_message *m, const ts_jval *block) {
    const ts_jval *t = ts_jval_get(block, "thinking");
    if (!t || t->type != TS_JSON_STRING || t->text.len == 0) return true;
    if (m->thinking.len == 0) {
        m->thinking = t->text;
        return true;
    }
    const size_t a = m->thinking.len, b = t->text.len;
    char *both = ts_arena_alloc(r->arena, a + b + 1, 1);
    if (!both) return srv_refuse_nomem(r->e);
    memcpy(both, m->thinking.data, a);
    both[a] = '\n';
    memcpy(both + a + 1, t->text.data, b);
    m->thinking = (ts_span){(const uint8_t *)both, a + b + 1};
    return true;
}

static bool add_result(const reading *r, const ts_jval *block, const char *where) {
    const srv_where prefix = srv_at("%s.", where), content_at = srv_at("%s.content", where);
    const srv_fields f = {block, prefix.name, r->e};
    srv_message *m;
    if (!srv_chat_add(r->chat, SRV_TOOL, &m, r->e)) return false;
    m->tool_call_id = srv_string(&f, "tool_use_id");
    /* templates have no place for it: the model is told in words */
    const bool failed = srv_bool(&f, "is_error", false);
    if (!srv_fields_ok(&f)) return false;
    if (!m->tool_call_id) return srv_refuse(r->e, 400, where, "%s has no tool_use_id", where);
    return srv_chat_text(m, "Error:", failed ? 6 : 0, r->e) &&
           add_texts(m, ts_jval_get(block, "content"), content_at.name, r->e);
}

static bool read_block(const reading *r, int role, const ts_jval *block, const char *where) {
    const char *type = type_of(block, where, r->e);
    if (!type) return false;
    if (role == SRV_USER && !strcmp(type, "tool_result")) return add_result(r, block, where);
    srv_message *m = turn_of(r, role);
    if (!m) return false;
    if (role == SRV_ASSISTANT) {
        if (!strcmp(type, "tool_use")) return add_call(r, m, block, where);
        if (!strcmp(type, "thinking")) return add_thinking(r, m, block);
        if (!strcmp(type, "redacted_thinking")) return true; /* somebody else's, and nobody can read it */
    }
    return add_text_block(m, block, where, r->e);
}

static bool read_message(const reading *r, const ts_jval *v, const char *where) {
    static const char *const roles[] = {"user", "assistant", "system", NULL};
    static const int role_of[] = {SRV_USER, SRV_ASSISTANT, SRV_SYSTEM};
    const srv_where prefix = srv_at("%s.", where), content_at = srv_at("%s.content", where);
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(r->e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_fields f = {v, prefix.name, r->e};
    const int which = srv_choice_of(&f, "role", roles, -1);
    if (!srv_fields_ok(&f)) return false;
    if (which < 0) return srv_refuse(r->e, 400, where, "%s.role is missing", where);
    const ts_jval *content = srv_field(&f, "content");
    if (!content || (content->type != TS_JSON_STRING && content->type != TS_JSON_ARRAY))
        return srv_refuse(r->e, 400, content_at.name, "%s has to be text or a list of blocks, not %s", content_at.name,
                          srv_kind(content));
    if (content->type == TS_JSON_STRING || content->n == 0) {
        srv_message *m = turn_of(r, role_of[which]);
        return m && (content->type != TS_JSON_STRING || add_text(m, content, content_at.name, r->e));
    }
    size_t i = 0;
    for (const ts_jval *b = content->first; b; b = b->next)
        if (!read_block(r, role_of[which], b, srv_at("%s[%zu]", content_at.name, i++).name)) return false;
    return true;
}

/* Claude Code's first block is a line for Anthropic's accounts that differs with every request. It says nothing to a
 * model, and a prompt that begins with it would never be found in the prefix store again. */
static bool is_billing(const ts_jval *block) {
    static const char mark[] = "x-anthropic-billing-header";
    const ts_jval *text = ts_jval_get(block, "text");
    return text && text->type == TS_JSON_STRING && text->text.len >= sizeof mark - 1 &&
           memcmp(text->text.data, mark, sizeof mark - 1) == 0;
}

static bool read_system(const reading *r, const srv_fields *f) {
    const ts_jval *system = srv_field(f, "system");
    srv_message *m;
    if (!system) return srv_fields_ok(f);
    if (!srv_chat_add(r->chat, SRV_SYSTEM, &m, r->e)) return false;
    if (system->type != TS_JSON_ARRAY) {
        if (!add_texts(m, system, "system", r->e)) return false;
    } else {
        size_t i = 0;
        for (const ts_jval *b = system->first; b; b = b->next, i++)
            if (!is_billing(b) && !add_text_block(m, b, srv_at("system[%zu]", i).name, r->e)) return false;
    }
    if (m->content.len == 0) ts_buf_free(&m->content), r->chat->n--; /* nothing was said */
    return true;
}

/* ---- reading tools ----------------------------------------------------------------------------------------------- */

static bool read_tool(ts_buf *out, const ts_jval *v, const char *where, srv_error *e) {
    const srv_where prefix = srv_at("%s.", where);
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_fields f = {v, prefix.name, e};
    const char *type = srv_string(&f, "type"), *name = srv_string(&f, "name"), *text = srv_string(&f, "description");
    if (type && strcmp(type, "custom") != 0)
        return srv_refuse(e, 400, where, "%s is of type %.60s: this server has no tools of its own", where, type);
    if (!name && srv_fields_ok(&f)) return srv_refuse(e, 400, where, "%s has no name", where);
    const ts_jval *schema = srv_field_of(&f, "input_schema", TS_JSON_OBJECT);
    return srv_fields_ok(&f) && (srv_put_tool(out, name, text, schema) || srv_refuse_nomem(e));
}

static bool use_tools(srv_gen *g, const srv_chat *c, const srv_fields *f) {
    static const char *const types[] = {"auto", "any", "none", "tool", NULL};
    static const char *const how[] = {"auto", "required", "none", NULL};
    const ts_jval *choice = srv_field_of(f, "tool_choice", TS_JSON_OBJECT);
    const srv_fields in = {choice, "tool_choice.", f->error};
    const int type = srv_choice_of(&in, "type", types, 0);
    const bool one_call = srv_bool(&in, "disable_parallel_tool_use", false);
    const char *name = srv_string(&in, "name");
    if (!srv_fields_ok(f)) return false;
    if (type == 3 && !name) return srv_refuse(f->error, 400, "tool_choice.name", "tool_choice.name is missing");
    if (c->tools.len) return srv_gen_tools(g, c->tools, type == 3 ? name : how[type], type == 3, one_call, f->error);
    return type == 0 || type == 2 ||
           srv_refuse(f->error, 400, "tool_choice", "tool_choice asks for a call, but there are no tools");
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* What it has elsewhere, and what other APIs of this server have under these names. */
static const srv_unknown unknown_fields[] = {
    {"mcp_servers", "this server calls no others"},
    {"container", "there are no containers here"},
    {"stop", "its name is stop_sequences here"},
    {"n", "one message is made; ask /v1/chat/completions for several", .neutral = 1},
    {"max_completion_tokens", "its name is max_tokens here"},
    {"response_format", "say it in output_config.format"},
    {"json_schema", "say it in output_config.format"},
    {"grammar", "ask /v1/chat/completions, which takes grammars"},
    {"logprobs", "ask /v1/chat/completions with logprobs"},
    {"top_logprobs", "ask /v1/chat/completions with logprobs"},
    {0}};

/* What a message and a count of tokens have in common. */
static bool read_chat(srv_chat *c, const srv_fields *f, const srv_model *model, ts_arena *arena) {
    const reading r = {c, arena, f->error};
    const ts_jval *messages = srv_field_of(f, "messages", TS_JSON_ARRAY);
    if (srv_fields_ok(f) && (!messages || messages->n == 0))
        return srv_refuse(f->error, 400, "messages", "messages %s", messages ? "is empty" : "is missing");
    if (!read_system(&r, f)) return false;
    size_t i = 0;
    for (const ts_jval *m = messages ? messages->first : NULL; m; m = m->next)
        if (!read_message(&r, m, srv_at("messages[%zu]", i++).name)) return false;
    const srv_fields thinking = {srv_field_of(f, "thinking", TS_JSON_OBJECT), "thinking.", f->error};
    static const char *const ways[] = {"disabled", "enabled", "adaptive", "auto", NULL};
    const int way = srv_choice_of(&thinking, "type", ways, -1);
    if (way >= 0) (void)srv_api_think(model, c, way > 0, f->error);
    srv_unknown_fields(f, unknown_fields);
    if (!srv_api_vars(model, c, f)) return false;
    c->continue_last = true; /* an assistant's last turn is the beginning of the answer */
    return srv_fields_ok(f) && srv_api_tools(c, f, read_tool);
}

static bool read_format(srv_gen *g, const srv_fields *f) {
    const srv_fields config = {srv_field_of(f, "output_config", TS_JSON_OBJECT), "output_config.", f->error};
    const ts_jval *format = srv_field_of(&config, "format", TS_JSON_OBJECT);
    if (!format) format = srv_field_of(f, "output_format", TS_JSON_OBJECT); /* its name while it was new */
    if (!format || !srv_fields_ok(f)) return srv_fields_ok(f);
    const ts_jval *schema = ts_jval_get(format, "schema");
    if (!ts_jval_is(ts_jval_get(format, "type"), "json_schema") || !schema)
        return srv_refuse(f->error, 400, "output_config.format",
                          "output_config.format has to be {\"type\": \"json_schema\", \"schema\": ...}");
    return srv_api_schema(g, schema, "output_config.format.schema", f->error);
}

/* What is sent of an answer so far. */
typedef struct own {
    int open;       /* the kind of the block that is open; -1: none */
    uint32_t block; /* its number, or that of the next one */
} own;

static void read_request(srv_gen *g, const srv_fields *f, srv_chat *c) {
    own *o = ts_arena_calloc(&g->job->arena, 1, sizeof *o);
    g->own = o;
    if (!o) {
        srv_refuse_nomem(f->error);
        return;
    }
    o->open = -1;
    g->opts.max_tokens = (size_t)srv_int(f, "max_tokens", 1, 1 << 24, 0);
    if (srv_fields_ok(f) && g->opts.max_tokens == 0) srv_refuse(f->error, 400, "max_tokens", "max_tokens is missing");
    srv_gen_sampling(g, f);
    g->stream = srv_bool(f, "stream", false);
    g->opts.n_stop = srv_strings(f, "stop_sequences", g->stop, SRV_STOPS);
    if (!srv_api_named(f) || !read_chat(c, f, g->model, &g->job->arena)) return;
    (void)(srv_api_prompt(g, c, "messages", f->error) && read_format(g, f) && use_tools(g, c, f));
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* The tokens of the prompt that were found in the prefix store are told apart. */
static bool put_usage(const srv_gen *g, ts_buf *out) {
    return ts_buf_printf(out,
                         "\"usage\":{\"input_tokens\":%zu,\"cache_creation_input_tokens\":0,"
                         "\"cache_read_input_tokens\":%zu,\"output_tokens\":%zu}",
                         srv_gen_prompt_tokens(g) - g->n_cached, g->n_cached, srv_gen_tokens(g));
}

static bool put_head(const srv_gen *g, ts_buf *out) {
    return ts_buf_printf(out, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", g->id) &&
           srv_put_string(out, g->model->name) && ts_buf_puts(out, ",\"content\":[");
}

static const char *stop_reason(const srv_choice *c) {
    switch (c->reason) {
    case TS_STOP_LENGTH: return "max_tokens";
    case TS_STOP_CONTEXT: return "model_context_window_exceeded";
    case TS_STOP_STRING: return "stop_sequence";
    case TS_STOP_END:
    case TS_STOP_CANCELLED: break;
    }
    return c->n_call ? "tool_use" : "end_turn";
}

static bool put_stop(const srv_choice *c, ts_buf *out) {
    return ts_buf_printf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":", stop_reason(c)) &&
           (c->stop ? srv_put_string(out, c->stop) : ts_buf_puts(out, "null"));
}

static bool put_block_begin(ts_buf *out, const srv_choice *c, int kind) {
    const srv_call *call = c->n_call ? &c->call[c->n_call - 1] : NULL;
    switch (kind) {
    case SRV_TEXT: return ts_buf_puts(out, "{\"type\":\"text\",\"text\":\"\"}");
    case SRV_THINKING: return ts_buf_puts(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    default:
        return ts_buf_printf(out, "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", call->id) &&
               srv_put_text(out, call->name.data, call->name.len) && ts_buf_puts(out, ",\"input\":{}}");
    }
}

static bool whole(srv_gen *g, ts_buf *out) {
    const srv_choice *c = g->choice;
    const char *comma = "";
    bool ok = put_head(g, out);
    if (ok && c->thinking.len) {
        ok = ts_buf_puts(out, "{\"type\":\"thinking\",\"thinking\":") &&
             srv_put_text(out, c->thinking.data, c->thinking.len) && ts_buf_puts(out, ",\"signature\":\"\"}");
        comma = ",";
    }
    if (ok && c->text.len) {
        ok = ts_buf_printf(out, "%s{\"type\":\"text\",\"text\":", comma) &&
             srv_put_text(out, c->text.data, c->text.len) && ts_buf_puts(out, "}");
        comma = ",";
    }
    for (size_t i = 0; i < c->n_call && ok; i++) {
        const srv_call *call = &c->call[i];
        if (!srv_call_complete(call)) continue; /* max_tokens has cut it off: nobody should run half of it */
        ok = ts_buf_printf(out, "%s{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", comma, call->id) &&
             srv_put_text(out, call->name.data, call->name.len) && ts_buf_puts(out, ",\"input\":") &&
             ts_buf_append(out, call->arguments.data, call->arguments.len) && ts_buf_puts(out, "}");
        comma = ",";
    }
    return ok && ts_buf_puts(out, "],") && put_stop(c, out) && ts_buf_putc(out, ',') && put_usage(g, out) &&
           ts_buf_putc(out, '}');
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* The beginning of an event: its name, and its type, which is the same. */
static bool put_event(ts_buf *b, const char *type) {
    return ts_buf_printf(b, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static bool send_event(const srv_gen *g, ts_buf *b, bool ok) {
    return srv_send(g->job, b, ok && ts_buf_puts(b, "}\n\n"));
}

static bool stream_start(srv_gen *g) {
    ts_buf b = {0};
    bool ok = put_event(&b, "message_start") && ts_buf_puts(&b, ",\"message\":") && put_head(g, &b) &&
              ts_buf_puts(&b, "],\"stop_reason\":null,\"stop_sequence\":null,") && put_usage(g, &b) &&
              ts_buf_putc(&b, '}');
    return send_event(g, &b, ok);
}

static bool close_block(srv_gen *g) {
    own *o = g->own;
    ts_buf b = {0};
    if (o->open < 0) return true;
    o->open = -1;
    const bool ok = put_event(&b, "content_block_stop") && ts_buf_printf(&b, ",\"index\":%u", o->block++);
    return send_event(g, &b, ok);
}

static bool open_block(srv_gen *g, const srv_choice *c, int kind) {
    own *o = g->own;
    ts_buf b = {0};
    if (!close_block(g)) return false;
    o->open = kind;
    const bool ok = put_event(&b, "content_block_start") &&
                    ts_buf_printf(&b, ",\"index\":%u,\"content_block\":", o->block) && put_block_begin(&b, c, kind);
    return send_event(g, &b, ok);
}

static bool stream_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    static const char *const names[][2] = {[SRV_TEXT] = {"text_delta", "text"},
                                           [SRV_THINKING] = {"thinking_delta", "thinking"},
                                           [SRV_ARGUMENTS] = {"input_json_delta", "partial_json"}};
    own *o = g->own;
    ts_buf b = {0};
    if (d->kind == SRV_CALL) return open_block(g, c, SRV_ARGUMENTS);
    if (d->len == 0) return true;
    if (o->open != (int)d->kind && !open_block(g, c, d->kind)) return false;
    const bool ok = put_event(&b, "content_block_delta") &&
                    ts_buf_printf(&b, ",\"index\":%u,\"delta\":{\"type\":\"%s\",\"%s\":", o->block, names[d->kind][0],
                                  names[d->kind][1]) &&
                    srv_put_text(&b, d->text, d->len) && ts_buf_putc(&b, '}');
    return send_event(g, &b, ok);
}

static bool stream_close(srv_gen *g, srv_choice *c) {
    (void)c;
    return close_block(g);
}

static bool stream_finish(srv_gen *g) {
    ts_buf b = {0};
    bool ok = put_event(&b, "message_delta") && ts_buf_puts(&b, ",\"delta\":{") && put_stop(g->choice, &b) &&
              ts_buf_puts(&b, "},") && put_usage(g, &b);
    if (!send_event(g, &b, ok)) return false;
    return send_event(g, &b, put_event(&b, "message_stop"));
}

static bool stream_fail(srv_gen *g, const srv_error *e) {
    ts_buf b = {0};
    return srv_send(g->job, &b,
                    ts_buf_puts(&b, "event: error\ndata: ") && srv_anthropic_error(&b, e) && ts_buf_puts(&b, "\n\n"));
}

static const srv_api api = {"text/event-stream", "event: ping\ndata: {\"type\":\"ping\"}\n\n", stream_start,
                            stream_delta, stream_close, stream_finish, whole, stream_fail, "toolu_"};

/* ---- handlers ---------------------------------------------------------------------------------------------------- */

static void handle_messages(srv_job *job) {
    srv_error e;
    srv_fields f;
    srv_chat chat = {0};
    srv_gen *g = srv_gen_open(job, &api, "msg_", &f, &e);
    if (g) read_request(g, &f, &chat);
    srv_chat_free(&chat);
    srv_gen_close(job, g, &e);
}

static void handle_count(srv_job *job) {
    srv_error e;
    const srv_fields f = {srv_job_json(job, &e), "", &e};
    srv_model *model = NULL;
    srv_chat chat = {0};
    ts_prompt prompt = {0};
    ts_buf out = {0};
    if (f.object && srv_api_named(&f)) model = srv_models_get(job->srv->models, srv_string(&f, "model"), &e);
    if (model && read_chat(&chat, &f, model, &job->arena) && srv_chat_prompt(&chat, model, &prompt, &e))
        srv_job_reply_json(job, ts_buf_printf(&out, "{\"input_tokens\":%zu}", prompt.n), &out);
    else srv_job_fail(job, &e);
    ts_prompt_release(&prompt);
    srv_chat_free(&chat);
    srv_model_drop(job->srv->models, model);
}

const srv_route srv_anthropic_routes[] = {
    {"POST", "/v1/messages", 0, handle_messages, srv_anthropic_error},
    {"POST", "/v1/messages/count_tokens", 0, handle_count, srv_anthropic_error},
    {0},
};
