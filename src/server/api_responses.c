/* api_responses.c - OpenAI's Responses API, as far as it needs no memory of the server. Forms: docs/server.md. */
#include "server/api.h"
#include "server/server_int.h"

#include <string.h>

/* ---- reading input ----------------------------------------------------------------------------------------------- */

typedef struct reading {
    srv_chat *chat;
    ts_arena *arena;
    srv_error *e;
    ts_span thinking; /* of the assistant's turn that follows */
} reading;

/* {"role", "content"}: a message. */
static bool read_message(reading *r, const ts_jval *v, const char *where) {
    static const char *const roles[] = {"system", "user", "assistant", "developer", NULL};
    static const int role_of[] = {SRV_SYSTEM, SRV_USER, SRV_ASSISTANT, SRV_SYSTEM};
    const srv_where prefix = srv_at("%s.", where), content_at = srv_at("%s.content", where);
    const srv_fields f = {v, prefix.name, r->e};
    const int role = srv_choice_of(&f, "role", roles, -1);
    const ts_jval *content = srv_field(&f, "content");
    srv_message *m;
    if (!srv_fields_ok(&f)) return false;
    if (role < 0) return srv_refuse(r->e, 400, where, "%s has neither a role nor a type", where);
    if (!content) return srv_refuse(r->e, 400, content_at.name, "%s is missing", content_at.name);
    if (!srv_chat_add(r->chat, role_of[role], &m, r->e)) return false;
    if (m->role == SRV_ASSISTANT) m->thinking = r->thinking;
    r->thinking = (ts_span){0};
    return srv_chat_content(m, content, content_at.name, r->e);
}

/* A call belongs to the assistant's turn in front of it. */
static bool read_call(reading *r, const ts_jval *v, const char *where) {
    const srv_where prefix = srv_at("%s.", where);
    const srv_fields f = {v, prefix.name, r->e};
    const ts_jval *arguments = srv_field_of(&f, "arguments", TS_JSON_STRING);
    const srv_tool_call call = {.id = srv_string(&f, "call_id"), .name = srv_string(&f, "name"),
                                .arguments = arguments ? arguments->text : (ts_span){0}};
    srv_message *m = r->chat->n ? &r->chat->message[r->chat->n - 1] : NULL;
    if (!srv_fields_ok(&f)) return false;
    if (!call.id || !call.name) return srv_refuse(r->e, 400, where, "%s has no call_id or no name", where);
    if ((!m || m->role != SRV_ASSISTANT) && !srv_chat_add(r->chat, SRV_ASSISTANT, &m, r->e)) return false;
    if (r->thinking.len) m->thinking = r->thinking;
    r->thinking = (ts_span){0};
    return srv_chat_call(m, &call, r->arena, r->e);
}

static bool read_output(reading *r, const ts_jval *v, const char *where) {
    const srv_where prefix = srv_at("%s.", where), output_at = srv_at("%s.output", where);
    const srv_fields f = {v, prefix.name, r->e};
    const char *id = srv_string(&f, "call_id");
    srv_message *m;
    if (!srv_fields_ok(&f)) return false;
    if (!id) return srv_refuse(r->e, 400, where, "%s.call_id is missing", where);
    if (!srv_chat_add(r->chat, SRV_TOOL, &m, r->e)) return false;
    m->tool_call_id = id;
    return srv_chat_content(m, srv_field(&f, "output"), output_at.name, r->e);
}

/* What the model thought; a summary alone is nobody's thoughts. */
static void read_reasoning(reading *r, const ts_jval *v) {
    const ts_jval *content = ts_jval_get(v, "content"), *part = content ? content->first : NULL;
    const ts_jval *text = ts_jval_get(part, "text");
    if (text && text->type == TS_JSON_STRING) r->thinking = text->text;
}

static bool read_item(reading *r, const ts_jval *v, const char *where) {
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(r->e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_where prefix = srv_at("%s.", where);
    const srv_fields f = {v, prefix.name, r->e};
    const char *type = srv_string(&f, "type");
    if (!srv_fields_ok(&f)) return false;
    if (!type || !strcmp(type, "message")) return read_message(r, v, where);
    if (!strcmp(type, "function_call")) return read_call(r, v, where);
    if (!strcmp(type, "function_call_output")) return read_output(r, v, where);
    if (!strcmp(type, "reasoning")) {
        read_reasoning(r, v);
        return true;
    }
    return srv_refuse(r->e, 400, where, "%s is of type %.60s: this server keeps nothing and has no tools of its own",
                      where, type);
}

static bool read_input(srv_chat *c, const srv_fields *f, ts_arena *arena) {
    reading r = {c, arena, f->error, {0}};
    const ts_jval *input = srv_field(f, "input"), *told = srv_field_of(f, "instructions", TS_JSON_STRING);
    srv_message *m;
    if (!srv_fields_ok(f)) return false;
    if (!input || (input->type != TS_JSON_STRING && input->type != TS_JSON_ARRAY))
        return srv_refuse(f->error, 400, "input", "input has to be text or a list of items, not %s", srv_kind(input));
    if (input->type == TS_JSON_ARRAY && input->n == 0) return srv_refuse(f->error, 400, "input", "input is empty");
    if (told && !(srv_chat_add(c, SRV_SYSTEM, &m, f->error) &&
                  srv_chat_text(m, told->text.data, told->text.len, f->error)))
        return false;
    if (input->type == TS_JSON_STRING)
        return srv_chat_add(c, SRV_USER, &m, f->error) &&
               srv_chat_text(m, input->text.data, input->text.len, f->error);
    size_t i = 0;
    for (const ts_jval *v = input->first; v; v = v->next)
        if (!read_item(&r, v, srv_at("input[%zu]", i++).name)) return false;
    return true;
}

/* ---- reading tools and formats ----------------------------------------------------------------------------------- */

/* {"type": "function", "name", "description", "parameters"}: flat, where chats have an object of its own. */
static bool read_tool(ts_buf *out, const ts_jval *v, const char *where, srv_error *e) {
    const srv_where prefix = srv_at("%s.", where);
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_fields f = {v, prefix.name, e};
    const char *type = srv_string(&f, "type"), *name = srv_string(&f, "name"), *text = srv_string(&f, "description");
    const ts_jval *parameters = srv_field_of(&f, "parameters", TS_JSON_OBJECT);
    if (!srv_fields_ok(&f)) return false;
    if (!type || strcmp(type, "function") != 0)
        return srv_refuse(e, 400, where, "%s is of type %.60s: this server has no tools of its own, only functions of "
                          "the caller's", where, type ? type : "none");
    if (!name) return srv_refuse(e, 400, where, "%s.name is missing", where);
    return srv_put_tool(out, name, text, parameters) || srv_refuse_nomem(e);
}

static bool use_tools(srv_gen *g, const srv_chat *c, const srv_fields *f) {
    static const char *const hows[] = {"auto", "none", "required", NULL};
    const ts_jval *choice = srv_field(f, "tool_choice"), *name = ts_jval_get(choice, "name");
    const bool one_call = !srv_bool(f, "parallel_tool_calls", true);
    bool named = false;
    const char *how = "auto";
    ts_span may_call = c->tools;
    const srv_fields in = {choice, "tool_choice.", f->error};
    if (ts_jval_is(ts_jval_get(choice, "type"), "allowed_tools") && c->tools.len) {
        if (!srv_api_allowed(c, &in, &g->job->arena, &how, &may_call)) return false;
    } else if (choice && choice->type == TS_JSON_OBJECT) {
        named = ts_jval_is(ts_jval_get(choice, "type"), "function") && name && name->type == TS_JSON_STRING;
        if (!named)
            return srv_refuse(f->error, 400, "tool_choice", "tool_choice has to be \"auto\", \"none\", \"required\", "
                              "{\"type\": \"function\", \"name\": ...} or allowed_tools of the request's tools");
        how = (const char *)name->text.data;
    } else {
        how = hows[srv_choice_of(f, "tool_choice", hows, 0)];
    }
    if (!srv_fields_ok(f)) return false;
    if (c->tools.len) return srv_gen_tools(g, may_call, how, named, one_call, f->error);
    return (!named && strcmp(how, "required") != 0) ||
           srv_refuse(f->error, 400, "tool_choice", "tool_choice asks for a call, but there are no tools");
}

static bool read_format(srv_gen *g, const srv_fields *f) {
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    const srv_fields text = {srv_field_of(f, "text", TS_JSON_OBJECT), "text.", f->error};
    const srv_fields format = {srv_field_of(&text, "format", TS_JSON_OBJECT), "text.format.", f->error};
    const int type = srv_choice_of(&format, "type", types, 0);
    const ts_jval *schema = srv_field(&format, "schema");
    if (!srv_fields_ok(f) || type == 0) return srv_fields_ok(f);
    if (type == 2 && !schema)
        return srv_refuse(f->error, 400, "text.format.schema", "text.format.schema is missing");
    return srv_api_schema(g, type == 2 ? schema : NULL, "text.format.schema", f->error);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* What is sent of an answer so far. */
typedef struct own {
    const ts_jval *body;
    uint32_t sequence;
    int open;         /* the kind of the item that is open; -1: none */
    uint32_t item;    /* its number, or that of the next one */
    size_t text_from; /* of an open message, where its text begins in the choice's */
} own;

static void refuse_memory(const srv_fields *f) {
    static const char why[] = "this server keeps no conversations: send all of it as input";
    srv_unsupported(f, "previous_response_id", why);
    srv_unsupported(f, "conversation", why);
    srv_unsupported(f, "prompt", "this server keeps no prompts: send it as input");
    const ts_jval *store = srv_field(f, "store");
    if (store && store->type == TS_JSON_BOOL && store->truth)
        srv_refuse(f->error, 400, "store", "store: this server keeps no answers; leave it out, or say false");
    srv_unsupported(f, "background", "answers are streamed or waited for");
}

/* What other APIs of this server have under these names. */
static const srv_unknown unknown_fields[] = {
    {"stop", "the Responses API has no stop strings; ask /v1/chat/completions"},
    {"n", "one response is made; ask /v1/chat/completions for several", .neutral = 1},
    {"max_tokens", "its name is max_output_tokens here"},
    {"max_completion_tokens", "its name is max_output_tokens here"},
    {"messages", "send them as input"},
    {"response_format", "say it in text.format"},
    {"json_schema", "say it in text.format"},
    {"grammar", "ask /v1/chat/completions, which takes grammars"},
    {"logprobs", "ask /v1/chat/completions with logprobs"},
    {"context_management", "nothing is left out of a conversation here; what does not fit is refused"},
    {0}};

static void read_request(srv_gen *g, const srv_fields *f, srv_chat *c) {
    static const char *const truncations[] = {"disabled", "auto", NULL};
    own *o = ts_arena_calloc(&g->job->arena, 1, sizeof *o);
    g->own = o;
    if (!o) {
        srv_refuse_nomem(f->error);
        return;
    }
    *o = (own){.body = f->object, .open = -1};
    g->opts.max_tokens = (size_t)srv_int(f, "max_output_tokens", 1, 1 << 24, 0);
    g->stream = srv_bool(f, "stream", false);
    srv_gen_sampling(g, f);
    refuse_memory(f);
    if (srv_choice_of(f, "truncation", truncations, 0) == 1)
        srv_refuse(f->error, 400, "truncation", "truncation: nothing is cut off here; what does not fit is refused");
    srv_unsupported(f, "top_logprobs", "ask /v1/chat/completions with logprobs");
    const ts_jval *include = srv_field_of(f, "include", TS_JSON_ARRAY);
    for (const ts_jval *v = include ? include->first : NULL; v; v = v->next)
        if (ts_jval_is(v, "message.output_text.logprobs"))
            srv_refuse(f->error, 400, "include", "include: ask /v1/chat/completions with logprobs");
    const ts_jval *reasoning = srv_field_of(f, "reasoning", TS_JSON_OBJECT);
    if (ts_jval_is(ts_jval_get(reasoning, "effort"), "none"))
        (void)srv_api_think(g->model, c, false, f->error);
    srv_unknown_fields(f, unknown_fields);
    (void)(srv_fields_ok(f) && srv_api_vars(g->model, c, f) && read_input(c, f, &g->job->arena) &&
           srv_api_tools(c, f, read_tool) && srv_api_prompt(g, c, "input", f->error) && read_format(g, f) &&
           use_tools(g, c, f));
}

/* ---- items of the output ----------------------------------------------------------------------------------------- */

/* Is the answer as the model wanted it? Otherwise it was cut off. */
static bool complete(const srv_choice *c) {
    return c->reason != TS_STOP_LENGTH && c->reason != TS_STOP_CONTEXT;
}

/* "msg_", the letters of the response's id, and the item's number. */
static bool put_id(ts_buf *out, const srv_gen *g, int kind, uint32_t item) {
    static const char *const prefix[] = {[SRV_TEXT] = "msg_", [SRV_THINKING] = "rs_", [SRV_ARGUMENTS] = "fc_"};
    return ts_buf_printf(out, "\"%s%s%02x\"", prefix[kind], g->id + strlen("resp_"), item);
}

/* One part: {"type": "output_text", ...} or {"type": "reasoning_text", ...}. */
static bool put_part(ts_buf *out, int kind, const char *text, size_t len) {
    const bool thinking = kind == SRV_THINKING;
    return ts_buf_printf(out, "{\"type\":\"%s\",\"text\":", thinking ? "reasoning_text" : "output_text") &&
           srv_put_text(out, text, len) && ts_buf_puts(out, thinking ? "}" : ",\"annotations\":[],\"logprobs\":[]}");
}

/* An item; text NULL: it has just begun. Of a call, `text` is its arguments. */
static bool put_item(ts_buf *out, const srv_gen *g, int kind, uint32_t item, const srv_call *call, const char *text,
                     size_t len, const char *status) {
    bool ok = ts_buf_puts(out, "{\"id\":") && put_id(out, g, kind, item);
    switch (kind) {
    case SRV_THINKING: ok = ok && ts_buf_puts(out, ",\"type\":\"reasoning\",\"summary\":[],\"content\":["); break;
    case SRV_TEXT: ok = ok && ts_buf_puts(out, ",\"type\":\"message\",\"role\":\"assistant\",\"content\":["); break;
    default:
        ok = ok && ts_buf_printf(out, ",\"type\":\"function_call\",\"call_id\":\"%s\",\"name\":", call->id) &&
             srv_put_text(out, call->name.data, call->name.len) && ts_buf_puts(out, ",\"arguments\":") &&
             srv_put_text(out, text, len);
        return ok && ts_buf_printf(out, ",\"status\":\"%s\"}", status);
    }
    return ok && (!text || put_part(out, kind, text, len)) && ts_buf_printf(out, "],\"status\":\"%s\"}", status);
}

/* All items of an answer that is over, in the order in which they came. */
static bool put_items(ts_buf *out, const srv_gen *g) {
    const srv_choice *c = g->choice;
    const char *status = complete(c) ? "completed" : "incomplete", *comma = "";
    uint32_t item = 0;
    bool ok = true;
    if (c->thinking.len) {
        ok = put_item(out, g, SRV_THINKING, item++, NULL, c->thinking.data, c->thinking.len,
                      c->text.len || c->n_call ? "completed" : status);
        comma = ",";
    }
    if (ok && (c->text.len || !(c->n_call || c->thinking.len))) {
        ok = ts_buf_puts(out, comma) && put_item(out, g, SRV_TEXT, item++, NULL, c->text.data ? c->text.data : "",
                                                 c->text.len, c->n_call ? "completed" : status);
        comma = ",";
    }
    for (size_t i = 0; i < c->n_call && ok; i++, comma = ",")
        ok = ts_buf_puts(out, comma) &&
             put_item(out, g, SRV_ARGUMENTS, item++, &c->call[i], c->call[i].arguments.data, c->call[i].arguments.len,
                      i + 1 < c->n_call ? "completed" : status);
    return ok;
}

/* ---- the response ------------------------------------------------------------------------------------------------ */

/* Tokens that were thought: as many as the text has. */
static size_t thinking_tokens(const srv_gen *g) {
    const ts_buf *t = &g->choice->thinking;
    ts_token *token;
    size_t n = 0;
    if (!t->len || ts_engine_tokenize(g->model->engine, t->data, t->len, TS_TOKENIZE_NO_PREFIX, &token, &n, NULL))
        return 0;
    ts_tokens_release(token);
    return n;
}

static bool put_usage(const srv_gen *g, ts_buf *out) {
    const size_t in = srv_gen_prompt_tokens(g), n = srv_gen_tokens(g);
    return ts_buf_printf(out,
                         "\"usage\":{\"input_tokens\":%zu,\"input_tokens_details\":{\"cached_tokens\":%zu},"
                         "\"output_tokens\":%zu,\"output_tokens_details\":{\"reasoning_tokens\":%zu},"
                         "\"total_tokens\":%zu}",
                         in, g->n_cached, n, thinking_tokens(g), in + n);
}

/* What the request has said, told again. */
static bool put_echo(const srv_gen *g, ts_buf *out) {
    static const char *const fields[][2] = {
        {"instructions", "null"}, {"max_output_tokens", "null"}, {"metadata", "{}"}, {"parallel_tool_calls", "true"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"}, {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""}, {"tools", "[]"}, {"user", "null"}};
    const own *o = g->own;
    bool ok = true;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && ok; i++) {
        const ts_jval *v = ts_jval_get(o->body, fields[i][0]);
        if (v && v->type == TS_JSON_NULL) v = NULL;
        ok = ts_buf_printf(out, "\"%s\":", fields[i][0]) && srv_put_source(out, v, fields[i][1]) &&
             ts_buf_putc(out, ',');
    }
    return ok && ts_buf_printf(out, "\"temperature\":%g,\"top_p\":%g,", (double)g->sampling.temperature,
                               (double)g->sampling.top_p);
}

/* The whole response; as long as it is made, without items. */
static bool put_response(const srv_gen *g, bool over, ts_buf *out) {
    const bool cut = over && !complete(g->choice);
    bool ok = ts_buf_printf(out, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",", g->id,
                            (long long)g->created, !over ? "in_progress" : cut ? "incomplete" : "completed") &&
              ts_buf_printf(out, "\"background\":false,\"error\":null,\"incomplete_details\":%s,\"model\":",
                            cut ? "{\"reason\":\"max_output_tokens\"}" : "null") &&
              srv_put_string(out, g->model->name) &&
              ts_buf_puts(out, ",\"previous_response_id\":null,\"store\":false,\"truncation\":\"disabled\",") &&
              put_echo(g, out) && ts_buf_puts(out, "\"output\":[") && (!over || put_items(out, g)) &&
              ts_buf_puts(out, "],");
    ok = ok && (over ? put_usage(g, out) : ts_buf_puts(out, "\"usage\":null"));
    if (ok && over) ok = ts_buf_putc(out, ',') && srv_put_timings(g, out);
    return ok && ts_buf_putc(out, '}');
}

static bool whole(srv_gen *g, ts_buf *out) {
    return put_response(g, true, out);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static bool put_event(ts_buf *b, const srv_gen *g, const char *type) {
    own *o = g->own;
    return ts_buf_printf(b, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u", type, type, o->sequence++);
}

static bool send_event(const srv_gen *g, ts_buf *b, bool ok) {
    return srv_send(g->job, b, ok && ts_buf_puts(b, "}\n\n"));
}

static bool send_response(const srv_gen *g, const char *type, bool over) {
    ts_buf b = {0};
    return send_event(g, &b, put_event(&b, g, type) && ts_buf_puts(&b, ",\"response\":") && put_response(g, over, &b));
}

static bool stream_start(srv_gen *g) {
    return send_response(g, "response.created", false) && send_response(g, "response.in_progress", false);
}

/* An event about the open item: which one it is, and, but for calls, which part of it. */
static bool put_item_event(ts_buf *b, const srv_gen *g, const char *type, int kind) {
    const own *o = g->own;
    return put_event(b, g, type) && ts_buf_puts(b, ",\"item_id\":") && put_id(b, g, kind, o->item) &&
           ts_buf_printf(b, ",\"output_index\":%u", o->item) &&
           (kind == SRV_ARGUMENTS || ts_buf_puts(b, ",\"content_index\":0"));
}

static bool open_item(srv_gen *g, const srv_choice *c, int kind) {
    own *o = g->own;
    const srv_call *call = c->n_call ? &c->call[c->n_call - 1] : NULL;
    ts_buf b = {0};
    bool ok = put_event(&b, g, "response.output_item.added") &&
              ts_buf_printf(&b, ",\"output_index\":%u,\"item\":", o->item) &&
              put_item(&b, g, kind, o->item, call, NULL, 0, "in_progress");
    o->open = kind;
    if (!send_event(g, &b, ok)) return false;
    if (kind == SRV_ARGUMENTS) return true;
    ok = put_item_event(&b, g, "response.content_part.added", kind) && ts_buf_puts(&b, ",\"part\":") &&
         put_part(&b, kind, "", 0);
    return send_event(g, &b, ok);
}

/* Its text once more, its part, and the whole item. An open call is the last one of n_call. */
static bool close_item(srv_gen *g, const srv_choice *c, size_t n_call, const char *status) {
    static const char *const done[] = {[SRV_TEXT] = "response.output_text.done",
                                       [SRV_THINKING] = "response.reasoning_text.done",
                                       [SRV_ARGUMENTS] = "response.function_call_arguments.done"};
    own *o = g->own;
    const int kind = o->open;
    if (kind < 0) return true;
    const srv_call *call = kind == SRV_ARGUMENTS ? &c->call[n_call - 1] : NULL;
    const ts_buf *all = call ? &call->arguments : kind == SRV_TEXT ? &c->text : &c->thinking;
    const size_t from = call ? 0 : o->text_from;
    const ts_span text = {(const uint8_t *)(all->data ? all->data + from : ""), all->data ? all->len - from : 0};
    const char *s = (const char *)text.data;
    ts_buf b = {0};
    bool ok = put_item_event(&b, g, done[kind], kind) && ts_buf_puts(&b, call ? ",\"arguments\":" : ",\"text\":") &&
              srv_put_text(&b, s, text.len);
    if (ok && call) ok = ts_buf_puts(&b, ",\"name\":") && srv_put_text(&b, call->name.data, call->name.len);
    if (ok && kind == SRV_TEXT) ok = ts_buf_puts(&b, ",\"logprobs\":[]");
    if (!send_event(g, &b, ok)) return false;
    if (!call) {
        ok = put_item_event(&b, g, "response.content_part.done", kind) && ts_buf_puts(&b, ",\"part\":") &&
             put_part(&b, kind, s, text.len);
        if (!send_event(g, &b, ok)) return false;
    }
    ok = put_event(&b, g, "response.output_item.done") &&
         ts_buf_printf(&b, ",\"output_index\":%u,\"item\":", o->item) &&
         put_item(&b, g, kind, o->item, call, s, text.len, status);
    o->open = -1;
    o->item++;
    return send_event(g, &b, ok);
}

static bool stream_delta(srv_gen *g, srv_choice *c, const srv_delta *d) {
    static const char *const names[] = {[SRV_TEXT] = "response.output_text.delta",
                                        [SRV_THINKING] = "response.reasoning_text.delta",
                                        [SRV_ARGUMENTS] = "response.function_call_arguments.delta"};
    own *o = g->own;
    const int kind = d->kind == SRV_CALL ? SRV_ARGUMENTS : (int)d->kind;
    ts_buf b = {0};
    if (d->kind == SRV_CALL || (d->len && o->open != kind)) {
        /* a call that begins is among them already */
        if (!close_item(g, c, c->n_call - (d->kind == SRV_CALL), "completed")) return false;
        if (kind != SRV_ARGUMENTS) o->text_from = (kind == SRV_TEXT ? c->text.len : c->thinking.len) - d->len;
        if (!open_item(g, c, kind)) return false;
    }
    if (d->len == 0) return true;
    bool ok = put_item_event(&b, g, names[kind], kind) && ts_buf_puts(&b, ",\"delta\":") &&
              srv_put_text(&b, d->text, d->len);
    if (ok && kind == SRV_TEXT) ok = ts_buf_puts(&b, ",\"logprobs\":[]");
    return send_event(g, &b, ok);
}

static bool stream_close(srv_gen *g, srv_choice *c) {
    const own *o = g->own;
    /* an answer without a word is a message all the same */
    if (o->open < 0 && o->item == 0 && !open_item(g, c, SRV_TEXT)) return false;
    return close_item(g, c, c->n_call, complete(c) ? "completed" : "incomplete");
}

static bool stream_finish(srv_gen *g) {
    return send_response(g, complete(g->choice) ? "response.completed" : "response.incomplete", true);
}

/* An event "error" as the API has it; the official client looks for `error` in it to raise one. */
static bool stream_fail(srv_gen *g, const srv_error *e) {
    ts_buf b = {0}, whole_error = {0};
    bool ok = srv_openai_error(&whole_error, e) && whole_error.len > 2;
    ok = ok && put_event(&b, g, "error") && ts_buf_puts(&b, ",\"code\":") &&
         (e->code ? srv_put_string(&b, e->code) : ts_buf_puts(&b, "null")) && ts_buf_puts(&b, ",\"message\":") &&
         srv_put_string(&b, e->message) && ts_buf_puts(&b, ",\"param\":null,") &&
         ts_buf_append(&b, whole_error.data + 1, whole_error.len - 2); /* without its braces */
    ts_buf_free(&whole_error);
    return send_event(g, &b, ok);
}

static const srv_api api = {"text/event-stream", ": ping\n\n", stream_start, stream_delta, stream_close,
                            stream_finish, whole, stream_fail};

static void handle_responses(srv_job *job) {
    srv_error e;
    srv_fields f;
    srv_chat chat = {0};
    srv_gen *g = srv_gen_open(job, &api, "resp_", &f, &e);
    if (g) read_request(g, &f, &chat);
    srv_chat_free(&chat);
    srv_gen_close(job, g, &e);
}

const srv_route srv_responses_routes[] = {
    {"POST", "/v1/responses", 0, handle_responses, srv_openai_error},
    {"POST", "/responses", 0, handle_responses, srv_openai_error},
    {0},
};
