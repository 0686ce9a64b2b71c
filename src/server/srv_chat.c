/* srv_chat.c - a conversation read from a request, and rendered. */
#include "server/srv_chat.h"

#include "base/hash.h"
#include "base/json_write.h"

#include <string.h>

static ts_span span_of(const ts_jval *text) {
    return text ? text->text : (ts_span){0};
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

bool srv_chat_add(srv_chat *c, int role, srv_message **out, srv_error *e) {
    if (!ts_grow((void **)&c->message, &c->cap, c->n + 1, sizeof *c->message)) return srv_refuse_nomem(e);
    *out = &c->message[c->n++];
    **out = (srv_message){.role = role};
    return true;
}

bool srv_chat_text(srv_message *m, const void *text, size_t len, srv_error *e) {
    return len == 0 || ts_buf_append(&m->content, text, len) || srv_refuse_nomem(e);
}

bool srv_chat_call(srv_message *m, const srv_tool_call *call, ts_arena *arena, srv_error *e) {
    if ((m->n_call & (m->n_call - 1)) == 0) { /* it is full at powers of two */
        srv_tool_call *more = ts_arena_alloc(arena, m->n_call ? 2 * m->n_call : 1, sizeof *more);
        if (!more) return srv_refuse_nomem(e);
        if (m->n_call) memcpy(more, m->call, m->n_call * sizeof *more);
        m->call = more;
    }
    m->call[m->n_call++] = *call;
    return true;
}

void srv_chat_free(srv_chat *c) {
    for (size_t i = 0; i < c->n; i++) ts_buf_free(&c->message[i].content);
    ts_free(c->message);
    ts_buf_free(&c->own_tools);
    ts_buf_free(&c->own_vars);
    c->message = NULL;
    c->n = c->cap = 0;
}

/* One part of a content: {"type": "text", "text": ...}. Others are pictures and sounds. */
static bool add_part(srv_message *m, const ts_jval *part, const char *where, srv_error *e) {
    static const char *const types[] = {"text", "input_text", "output_text"};
    const ts_jval *type = ts_jval_get(part, "type"), *text = ts_jval_get(part, "text");
    if (part->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object with a type, not %s", where, srv_kind(part));
    if (!type || type->type != TS_JSON_STRING)
        return srv_refuse(e, 400, where, "%s.type has to be text, not %s", where, srv_kind(type));
    bool known = ts_jval_is(type, "refusal");
    if (known) text = ts_jval_get(part, "refusal");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) known |= ts_jval_is(type, types[i]);
    if (!known)
        return srv_refuse(e, 400, where, "%s is of type %.60s: this model reads text alone", where,
                          (const char *)type->text.data);
    if (!text || text->type != TS_JSON_STRING)
        return srv_refuse(e, 400, where, "%s.text has to be text, not %s", where, srv_kind(text));
    return srv_chat_text(m, text->text.data, text->text.len, e);
}

bool srv_chat_content(srv_message *m, const ts_jval *content, const char *where, srv_error *e) {
    if (!content || content->type == TS_JSON_NULL) return true;
    if (content->type == TS_JSON_STRING) return srv_chat_text(m, content->text.data, content->text.len, e);
    if (content->type != TS_JSON_ARRAY)
        return srv_refuse(e, 400, where, "%s has to be text or a list of parts, not %s", where, srv_kind(content));
    size_t i = 0;
    for (const ts_jval *p = content->first; p; p = p->next)
        if (!add_part(m, p, srv_at("%s[%zu]", where, i++).name, e)) return false;
    return true;
}

/* ---- OpenAI's form, with Ollama's names beside its own --------------------------------------------------------- */

/* {"id", "type": "function", "function": {"name", "arguments"}}. Arguments are text that should be JSON; some clients
 * send the object itself. */
static bool read_call(srv_message *m, const ts_jval *v, const char *where, ts_arena *arena, srv_error *e) {
    srv_tool_call call = {0};
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_where outer = srv_at("%s.", where), inner = srv_at("%s.function.", where);
    const srv_fields f = {v, outer.name, e};
    const ts_jval *function = srv_field_of(&f, "function", TS_JSON_OBJECT);
    if (srv_fields_ok(&f) && !function) return srv_refuse(e, 400, where, "%s.function is missing", where);
    call.id = srv_string(&f, "id");
    const srv_fields in = {function, inner.name, e};
    call.name = srv_string(&in, "name");
    if (srv_fields_ok(&f) && !call.name) return srv_refuse(e, 400, where, "%sname is missing", inner.name);
    const ts_jval *arguments = srv_field(&in, "arguments");
    if (!srv_fields_ok(&f)) return false;
    if (!arguments) return srv_chat_call(m, &call, arena, e);
    if (arguments->type == TS_JSON_STRING) call.arguments = arguments->text;
    else if (arguments->type == TS_JSON_OBJECT) call.arguments = arguments->source;
    else
        return srv_refuse(e, 400, where, "%sarguments has to be text or an object, not %s", inner.name,
                          srv_kind(arguments));
    return srv_chat_call(m, &call, arena, e);
}

static bool read_calls(srv_message *m, const ts_jval *calls, const char *where, ts_arena *arena, srv_error *e) {
    for (const ts_jval *v = calls ? calls->first : NULL; v; v = v->next)
        if (!read_call(m, v, srv_at("%s.tool_calls[%zu]", where, m->n_call).name, arena, e)) return false;
    return true;
}

static bool read_message(srv_chat *c, const ts_jval *v, const char *where, ts_arena *arena, srv_error *e) {
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer", NULL};
    const srv_where prefix = srv_at("%s.", where), content_at = srv_at("%s.content", where);
    if (v->type != TS_JSON_OBJECT)
        return srv_refuse(e, 400, where, "%s has to be an object, not %s", where, srv_kind(v));
    const srv_fields f = {v, prefix.name, e};
    int role = srv_choice_of(&f, "role", roles, -1);
    if (!srv_fields_ok(&f)) return false;
    if (role < 0) return srv_refuse(e, 400, where, "%s.role is missing", where);
    if (role == 4) role = SRV_SYSTEM; /* a developer is the newer name of it */
    srv_message *m = NULL;
    if (!srv_chat_add(c, role, &m, e)) return false;
    const ts_jval *content = srv_field(&f, "content"), *refusal = NULL;
    if (role == SRV_ASSISTANT) {
        m->thinking = span_of(srv_field_of(&f, "reasoning_content", TS_JSON_STRING));
        if (!m->thinking.len) m->thinking = span_of(srv_field_of(&f, "thinking", TS_JSON_STRING)); /* Ollama's name */
        refusal = srv_field_of(&f, "refusal", TS_JSON_STRING);
        srv_unsupported(&f, "function_call", "the old form of calls; use tool_calls");
        srv_unsupported(&f, "audio", "this model reads text alone");
        const ts_jval *calls = srv_field_of(&f, "tool_calls", TS_JSON_ARRAY);
        if (!srv_fields_ok(&f) || !read_calls(m, calls, where, arena, e)) return false;
        if (!content && refusal) content = refusal;
    } else if (role == SRV_TOOL) {
        m->tool_call_id = srv_string(&f, "tool_call_id");
        m->name = srv_string(&f, "name");
        if (!m->name) m->name = srv_string(&f, "tool_name"); /* Ollama's */
    }
    srv_unsupported(&f, "images", "this model reads text alone");
    if (srv_fields_ok(&f) && !content && !m->n_call && !m->thinking.len)
        return srv_refuse(e, 400, content_at.name, "%s is missing: text or a list of parts", content_at.name);
    return srv_fields_ok(&f) && srv_chat_content(m, content, content_at.name, e);
}

bool srv_chat_read(srv_chat *c, const ts_jval *messages, ts_arena *arena, srv_error *e) {
    if (!messages || messages->type != TS_JSON_ARRAY)
        return srv_refuse(e, 400, "messages", "messages has to be a list, not %s", srv_kind(messages));
    if (messages->n == 0) return srv_refuse(e, 400, "messages", "messages is empty");
    size_t i = 0;
    for (const ts_jval *v = messages->first; v; v = v->next)
        if (!read_message(c, v, srv_at("messages[%zu]", i++).name, arena, e)) return false;
    return true;
}

/* ---- tools in words, for templates that know none ---------------------------------------------------------------- */

static const char tools_before[] =
    "You can call functions. Each line is one of them, with its parameters as a JSON schema:\n";
static const char tools_after[] =
    "To call a function, write this and nothing else, once for each call:\n"
    "<tool_call>\n{\"name\": \"name of the function\", \"arguments\": {\"parameter\": value}}\n</tool_call>\n"
    "What it gives comes back between <tool_response> and </tool_response>. "
    "Call a function only where it helps; otherwise answer in words.";

/* What the system is told of the tools. */
static bool tell_tools(ts_buf *out, ts_span tools, srv_error *e) {
    ts_arena arena = {0};
    ts_err err;
    const ts_jval *list;
    const ts_jlimits limits = {.depth = 300};
    if (ts_jtree_parse(&list, &arena, (const char *)tools.data, tools.len, &limits, &err) != TS_OK) {
        ts_arena_free(&arena);
        return srv_refuse_err(e, "tools", &err);
    }
    bool ok = ts_buf_puts(out, tools_before);
    for (const ts_jval *t = list->first; t && ok; t = t->next) {
        const ts_jval *function = ts_jval_get(t, "function");
        const ts_span s = function ? function->source : t->source;
        ok = ts_buf_append(out, s.data, s.len) && ts_buf_putc(out, '\n');
    }
    ts_arena_free(&arena);
    return (ok && ts_buf_puts(out, tools_after)) || srv_refuse_nomem(e);
}

/* A call as the parser of answers knows it. */
static bool tell_call(ts_buf *out, const srv_tool_call *call) {
    const ts_span none = {(const uint8_t *)"{}", 2}, a = call->arguments.len ? call->arguments : none;
    return (out->len == 0 || ts_buf_putc(out, '\n')) && ts_buf_puts(out, "<tool_call>\n{\"name\": ") &&
           ts_json_put_string(out, call->name, strlen(call->name)) && ts_buf_puts(out, ", \"arguments\": ") &&
           ts_buf_append(out, a.data, a.len) && ts_buf_puts(out, "}\n</tool_call>");
}

/* One message more, in plain roles. *results: the last one holds results of tools: what follows them goes there, too,
 * for templates insist on turns. */
static bool flatten_message(srv_chat *flat, const srv_message *m, bool *results, srv_error *e) {
    srv_message *to = *results ? &flat->message[flat->n - 1] : NULL;
    const bool tool = m->role == SRV_TOOL;
    if (!to || (!tool && m->role != SRV_USER)) {
        if (!srv_chat_add(flat, tool ? SRV_USER : (int)m->role, &to, e)) return false;
        *results = false;
    } else if (!srv_chat_text(to, "\n", 1, e)) {
        return false;
    }
    to->thinking = m->thinking;
    bool ok = !tool || ts_buf_puts(&to->content, "<tool_response>\n");
    ok = ok && ts_buf_append(&to->content, m->content.len ? m->content.data : "", m->content.len) &&
         (!tool || ts_buf_puts(&to->content, "\n</tool_response>"));
    for (size_t i = 0; i < m->n_call && ok; i++) ok = tell_call(&to->content, &m->call[i]);
    *results |= tool;
    return ok || srv_refuse_nomem(e);
}

/* The conversation with calls and results as text, and the tools told of: behind the system's message, before the
 * user's (in_user), or in a message of their own. */
static bool flatten(const srv_chat *c, bool in_user, srv_chat *flat, srv_error *e) {
    ts_buf tools = {0};
    bool results = false, told = c->tools.len == 0, ok = told || tell_tools(&tools, c->tools, e);
    srv_message *m = NULL;
    const bool has_system = c->n > 0 && c->message[0].role == SRV_SYSTEM;
    if (ok && !told && !in_user && !has_system) {
        ok = srv_chat_add(flat, SRV_SYSTEM, &m, e) && srv_chat_text(m, tools.data, tools.len, e);
        told = true;
    }
    for (size_t i = 0; i < c->n && ok; i++) {
        const srv_message *from = &c->message[i];
        if (!told && in_user && from->role == SRV_USER) { /* in front of what the user says, as if he had said it */
            ok = srv_chat_add(flat, SRV_USER, &m, e) && srv_chat_text(m, tools.data, tools.len, e) &&
                 srv_chat_text(m, "\n", 1, e);
            told = results = true;
        }
        ok = ok && flatten_message(flat, from, &results, e);
        if (ok && !told && from->role == SRV_SYSTEM) {
            m = &flat->message[flat->n - 1];
            ok = srv_chat_text(m, "\n\n", m->content.len ? 2 : 0, e) && srv_chat_text(m, tools.data, tools.len, e);
            told = true;
        }
    }
    ts_buf_free(&tools);
    return ok;
}

const srv_message *srv_chat_last(const srv_chat *c) {
    const srv_message *last = c->n && c->continue_last ? &c->message[c->n - 1] : NULL;
    return last && last->role == SRV_ASSISTANT ? last : NULL;
}

/* ---- what a template sees ---------------------------------------------------------------------------------------- */

/* How calls are put: templates differ in what they can read. */
typedef struct style {
    bool text_arguments; /* as text instead of an object */
    bool short_ids;      /* ids have nine letters and digits, or Mistral's templates refuse them */
} style;

enum { SHORT_ID = 9 };

static bool is_short(const char *id) {
    size_t n = 0;
    for (; id[n]; n++)
        if (!((id[n] >= '0' && id[n] <= '9') || ((id[n] | 32) >= 'a' && (id[n] | 32) <= 'z'))) return false;
    return n == SHORT_ID;
}

/* The id of a call, or of the result that belongs to it. Who has sent none gets its number: results come in the order
 * of the calls. */
static bool put_id(ts_buf *out, const style *how, const char *id, size_t number) {
    if (!id) return ts_buf_printf(out, "\"call%05zu\"", number % 100000);
    if (!how->short_ids || is_short(id)) return ts_json_put_string(out, id, strlen(id));
    uint64_t h = ts_fnv1a(TS_FNV1A, id, strlen(id)); /* the same id is the same nine letters */
    char letters[SHORT_ID + 1] = "";
    for (int i = 0; i < SHORT_ID; i++, h /= 36) letters[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[h % 36];
    return ts_buf_printf(out, "\"%s\"", letters);
}

static bool is_object(ts_span text) {
    ts_arena arena = {0};
    const ts_jval *v = NULL;
    ts_err err;
    const bool is = text.len && ts_jtree_parse(&v, &arena, (const char *)text.data, text.len, NULL, &err) == TS_OK &&
                    v->type == TS_JSON_OBJECT;
    ts_arena_free(&arena);
    return is;
}

static bool put_text(ts_buf *out, ts_span s) {
    return ts_json_put_string(out, s.len ? (const char *)s.data : "", s.len);
}

static bool put_call(ts_buf *out, const srv_tool_call *call, const style *how, size_t number) {
    bool ok = ts_buf_puts(out, "{\"id\":") && put_id(out, how, call->id, number) &&
              ts_buf_puts(out, ",\"type\":\"function\",\"function\":{\"name\":") &&
              ts_json_put_string(out, call->name, strlen(call->name)) && ts_buf_puts(out, ",\"arguments\":");
    if (call->arguments.len == 0) ok = ok && ts_buf_puts(out, how->text_arguments ? "\"{}\"" : "{}");
    else if (!how->text_arguments && is_object(call->arguments))
        ok = ok && ts_buf_append(out, call->arguments.data, call->arguments.len);
    else ok = ok && put_text(out, call->arguments);
    return ok && ts_buf_puts(out, "}}");
}

static bool put_message(ts_buf *out, const srv_message *m, const style *how, size_t *n_call, size_t *n_result) {
    static const char *const role[] = {"system", "user", "assistant", "tool"};
    bool ok = ts_buf_printf(out, "{\"role\":\"%s\",\"content\":", role[m->role]);
    /* templates ask whether it is none to tell a turn of calls alone */
    if (m->n_call && m->content.len == 0) ok = ok && ts_buf_puts(out, "null");
    else ok = ok && put_text(out, (ts_span){(const uint8_t *)m->content.data, m->content.len});
    if (ok && m->thinking.len) ok = ts_buf_puts(out, ",\"reasoning_content\":") && put_text(out, m->thinking);
    if (ok && m->role == SRV_TOOL) {
        ok = ts_buf_puts(out, ",\"tool_call_id\":") && put_id(out, how, m->tool_call_id, *n_result);
        if (ok && m->name) ok = ts_buf_puts(out, ",\"name\":") && ts_json_put_string(out, m->name, strlen(m->name));
        ++*n_result;
    }
    if (ok && m->n_call) ok = ts_buf_puts(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < m->n_call && ok; i++)
        ok = (i == 0 || ts_buf_putc(out, ',')) && put_call(out, &m->call[i], how, (*n_call)++);
    return ok && (!m->n_call || ts_buf_putc(out, ']')) && ts_buf_putc(out, '}');
}

/* The tools as they came, but for what may be left out: templates name it without asking. */
static bool put_tools(ts_buf *out, ts_span tools) {
    static const char *const must[][2] = {{"description", "\"\""},
                                          {"parameters", "{\"type\":\"object\",\"properties\":{}}"}};
    ts_arena arena = {0};
    const ts_jlimits limits = {.depth = 300};
    const ts_jval *list = NULL;
    if (ts_jtree_parse(&list, &arena, (const char *)tools.data, tools.len, &limits, NULL) != TS_OK) list = NULL;
    bool ok = list && ts_buf_putc(out, '[');
    for (const ts_jval *t = list ? list->first : NULL; t && ok; t = t->next) {
        const ts_jval *function = ts_jval_get(t, "function");
        ok = ts_buf_puts(out, t == list->first ? "{\"type\":\"function\",\"function\":{" :
                                                 ",{\"type\":\"function\",\"function\":{");
        const char *comma = "";
        for (const ts_jval *m = function ? function->first : NULL; m && ok; m = m->next, comma = ",")
            ok = ts_buf_puts(out, comma) && put_text(out, m->key) && ts_buf_putc(out, ':') &&
                 ts_buf_append(out, m->source.data, m->source.len);
        for (size_t i = 0; i < 2 && ok; i++)
            if (!ts_jval_get(function, must[i][0])) {
                ok = ts_buf_printf(out, "%s\"%s\":%s", comma, must[i][0], must[i][1]);
                comma = ",";
            }
        ok = ok && ts_buf_puts(out, "}}");
    }
    ts_arena_free(&arena);
    return ok && ts_buf_putc(out, ']');
}

static bool put_context(ts_buf *out, const srv_chat *c, size_t n, bool tools, const style *how) {
    size_t n_call = 0, n_result = 0;
    bool ok = ts_buf_puts(out, "{\"messages\":[");
    for (size_t i = 0; i < n && ok; i++)
        ok = (i == 0 || ts_buf_putc(out, ',')) && put_message(out, &c->message[i], how, &n_call, &n_result);
    /* an answer that is gone on with stands behind the opening of its turn */
    const bool opening = !c->no_opening || srv_chat_last(c);
    ok = ok && ts_buf_printf(out, "],\"add_generation_prompt\":%s", opening ? "true" : "false");
    if (ok && tools) ok = ts_buf_puts(out, ",\"tools\":") && put_tools(out, c->tools);
    return ok && ts_buf_putc(out, '}');
}

static ts_status render(const srv_model *m, const srv_chat *c, size_t n, const char *vars, const style *how,
                        ts_prompt *out, ts_err *err) {
    ts_buf context = {0};
    const ts_chat_opts o = {.vars = vars};
    ts_status s = put_context(&context, c, n, c->tools.len && !m->generic_calls, how)
                      ? ts_engine_chat_json(m->engine, &o, context.data, context.len, out, err)
                      : ts_fail_nomem(err, "the conversation", context.len);
    ts_buf_free(&context);
    return s;
}

static bool has_calls(const srv_chat *c) {
    for (size_t i = 0; i < c->n; i++)
        if (c->message[i].n_call || c->message[i].role == SRV_TOOL) return true;
    return false;
}

/* By a template that knows tools. Most want arguments as an object (what transformers gives them); DeepSeek's join
 * them to text, and refuse objects. The first refusal is the one that is told. */
static ts_status render_native(const srv_model *m, const srv_chat *c, size_t n, const char *vars, ts_prompt *out,
                               ts_err *err) {
    style how = {.short_ids = m->calls == SRV_CALLS_MISTRAL || m->calls == SRV_CALLS_MISTRAL_ARGS};
    const ts_status s = render(m, c, n, vars, &how, out, err);
    if (s != TS_E_INVAL || !has_calls(c)) return s;
    how.text_arguments = true;
    return render(m, c, n, vars, &how, out, NULL) == TS_OK ? TS_OK : s;
}

/* What a template does not support is a variable that it does not have. */
static bool refuse_rendering(const srv_chat *c, srv_error *e, const ts_err *err) {
    return srv_refuse_err(e, c->vars.len && err->code == TS_E_UNSUPP ? "chat_template_kwargs" : "messages", err);
}

/* By one that knows none. Where it refuses a system message that is ours, the user tells. */
static bool render_generic(const srv_model *m, const srv_chat *c, size_t n, const char *vars, ts_prompt *out,
                           srv_error *e) {
    const style how = {0};
    const bool own_system = c->tools.len && !(c->n && c->message[0].role == SRV_SYSTEM);
    ts_err err, again;
    for (int in_user = 0; in_user <= own_system; in_user++) {
        srv_chat flat = {.no_opening = c->no_opening && !srv_chat_last(c)}, part = *c;
        part.n = n;
        ts_status s = TS_E_NOMEM;
        const bool ok = flatten(&part, in_user, &flat, e);
        if (ok) s = render(m, &flat, flat.n, vars, &how, out, in_user ? &again : &err);
        srv_chat_free(&flat);
        if (!ok || s == TS_OK) return ok;
        if (s != TS_E_INVAL) return refuse_rendering(c, e, in_user ? &again : &err);
    }
    return refuse_rendering(c, e, &err);
}

/* ---- an answer that is gone on with ------------------------------------------------------------------------------ */

/* More text behind a prompt. It is the client's, and none of it becomes a control token, unless it is `ours`. */
static ts_status append(const srv_model *m, ts_prompt *p, ts_span text, bool ours, ts_err *err) {
    ts_token *more;
    size_t n;
    if (text.len == 0) return TS_OK;
    TS_TRY(ts_engine_tokenize(m->engine, (const char *)text.data, text.len,
                              TS_TOKENIZE_NO_PREFIX | (ours ? TS_TOKENIZE_SPECIAL : 0), &more, &n, err));
    ts_token *token = ts_realloc(p->token, p->n + n, sizeof *token);
    if (token) p->token = token;
    char *all = ts_realloc(p->text, p->len + text.len + 1, 1);
    if (all) p->text = all;
    ts_text_range *data = ts_realloc(p->data, p->n_data + 1, sizeof *data);
    if (data) p->data = data;
    if (!token || !all || !data) {
        ts_tokens_release(more);
        return ts_fail_nomem(err, "the prompt", p->len + text.len);
    }
    memcpy(token + p->n, more, n * sizeof *token);
    memcpy(all + p->len, text.data, text.len);
    all[p->len + text.len] = 0;
    if (!ours) data[p->n_data++] = (ts_text_range){p->len, p->len + text.len};
    p->n += n;
    p->len += text.len;
    ts_tokens_release(more);
    return TS_OK;
}

/* Does the template leave a block of thinking open? */
static bool opens_thinking(const ts_prompt *p) {
    static const char mark[] = "<think>";
    size_t n = p->len;
    while (n > 0 && strchr(" \n\r\t", p->text[n - 1])) n--;
    return n >= sizeof mark - 1 && memcmp(p->text + n - (sizeof mark - 1), mark, sizeof mark - 1) == 0;
}

static ts_status go_on_with(const srv_model *m, const srv_message *last, ts_prompt *p, ts_err *err) {
    static const char close[] = "\n</think>\n\n";
    if (opens_thinking(p)) {
        TS_TRY(append(m, p, last->thinking, false, err));
        if (last->content.len)
            TS_TRY(append(m, p, (ts_span){(const uint8_t *)close, sizeof close - 1}, true, err));
    }
    return append(m, p, (ts_span){(const uint8_t *)last->content.data, last->content.len}, false, err);
}

bool srv_chat_prompt(const srv_chat *c, const srv_model *m, ts_prompt *out, srv_error *e) {
    const srv_message *last = srv_chat_last(c);
    ts_prompt p = {0};
    ts_err err;
    if (last && last->n_call)
        return srv_refuse(e, 400, "messages", "the last message calls tools: their results have to follow");
    const size_t n = last ? c->n - 1 : c->n;
    char *vars = c->vars.len ? ts_strndup((const char *)c->vars.data, c->vars.len) : NULL;
    if (c->vars.len && !vars) return srv_refuse_nomem(e);
    bool ok;
    if (m->generic_calls && (c->tools.len || has_calls(c))) {
        ok = render_generic(m, c, n, vars, &p, e);
    } else {
        ok = render_native(m, c, n, vars, &p, &err) == TS_OK || refuse_rendering(c, e, &err);
    }
    ts_free(vars);
    if (ok && last) ok = go_on_with(m, last, &p, &err) == TS_OK || srv_refuse_err(e, "messages", &err);
    if (!ok) {
        ts_prompt_release(&p);
        return false;
    }
    *out = p;
    return true;
}
