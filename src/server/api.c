/* api.c - what the files of the APIs share. */
#include "server/api.h"

#include "base/json_write.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- requests ---------------------------------------------------------------------------------------------------- */

bool srv_api_named(const srv_fields *f) {
    const char *name = srv_string(f, "model");
    return (name && *name) || (srv_fields_ok(f) && srv_refuse(f->error, 400, "model", "model is missing"));
}

bool srv_api_tools(srv_chat *c, const srv_fields *f, srv_read_tool *read) {
    const ts_jval *tools = srv_field_of(f, "tools", TS_JSON_ARRAY);
    ts_buf *out = &c->own_tools;
    if (!tools || tools->n == 0) return srv_fields_ok(f);
    bool room = ts_buf_putc(out, '[');
    size_t i = 0;
    for (const ts_jval *t = tools->first; t && room; t = t->next) {
        if (i > 0) room = ts_buf_putc(out, ',');
        if (room && !read(out, t, srv_at("tools[%zu]", i++).name, f->error)) return false;
    }
    if (!room || !ts_buf_putc(out, ']')) return srv_refuse_nomem(f->error);
    c->tools = (ts_span){(const uint8_t *)out->data, out->len};
    return true;
}

/* The name of a tool, in the form of chats or of Responses. */
static const ts_jval *name_of_tool(const ts_jval *tool) {
    const ts_jval *function = ts_jval_get(tool, "function"), *name = ts_jval_get(function ? function : tool, "name");
    return name && name->type == TS_JSON_STRING ? name : NULL;
}

/* The tool of that list that has the same name. */
static const ts_jval *find_tool(const ts_jval *list, const ts_jval *tool) {
    const ts_jval *want = name_of_tool(tool);
    for (const ts_jval *t = list->first; t && want; t = t->next) {
        const ts_jval *name = name_of_tool(t);
        if (name && name->text.len == want->text.len && !memcmp(name->text.data, want->text.data, want->text.len))
            return t;
    }
    return NULL;
}

bool srv_api_allowed(const srv_chat *c, const srv_fields *in, ts_arena *arena, const char **how, ts_span *tools) {
    static const char *const modes[] = {"auto", "required", NULL};
    const ts_jval *named = srv_field_of(in, "tools", TS_JSON_ARRAY), *list;
    const srv_where at = srv_at("%stools", in->prefix);
    const ts_jlimits limits = {.depth = 300};
    ts_err err;
    *how = modes[srv_choice_of(in, "mode", modes, 0)];
    if (!srv_fields_ok(in)) return false;
    if (!named || named->n == 0)
        return srv_refuse(in->error, 400, at.name, "%s names no tool: \"none\" allows none", at.name);
    if (ts_jtree_parse(&list, arena, (const char *)c->tools.data, c->tools.len, &limits, &err) != TS_OK)
        return srv_refuse_err(in->error, at.name, &err);
    ts_buf out = {0};
    bool ok = ts_buf_putc(&out, '[');
    for (const ts_jval *t = named->first; t && ok; t = t->next) {
        const ts_jval *tool = find_tool(list, t), *name = name_of_tool(t);
        if (!tool) {
            srv_refuse(in->error, 400, at.name, "%s: there is no tool called %.60s", at.name,
                       name ? (const char *)name->text.data : "so");
            ts_buf_free(&out);
            return false;
        }
        ok = (t == named->first || ts_buf_putc(&out, ',')) && srv_put_source(&out, tool, "");
    }
    ok = ok && ts_buf_putc(&out, ']');
    char *text = ok ? ts_arena_strndup(arena, out.data, out.len) : NULL;
    *tools = (ts_span){(const uint8_t *)text, out.len};
    ts_buf_free(&out);
    return text || srv_refuse_nomem(in->error);
}

static bool ends_with(const ts_prompt *p, const char *mark) {
    size_t n = p->len;
    const size_t k = strlen(mark);
    while (n > 0 && strchr(" \n\r\t", p->text[n - 1])) n--;
    return n >= k && memcmp(p->text + n - k, mark, k) == 0;
}

/* Will there be thoughts, and does the answer begin within them? Not behind a block that the template has closed, as it
 * does for {"enable_thinking": false}, nor where an answer is gone on with. A constraint has to know, for it lets pass
 * anything in front of </think>. */
static void expect_thinking(srv_gen *g, const srv_chat *c, const ts_prompt *p) {
    const srv_message *last = srv_chat_last(c);
    g->thinking = g->model->thinks && !ends_with(p, "</think>");
    g->thinks_first = g->thinking && ends_with(p, "<think>");
    if (last && last->content.len) {
        g->thinking = g->thinks_first = false;
    } else if (last && last->thinking.len) { /* thoughts that are gone on with */
        const ts_span t = last->thinking;
        g->thinks_first = g->thinking && p->len >= t.len && memcmp(p->text + p->len - t.len, t.data, t.len) == 0;
    }
    if (g->thinking && srv_is_control(g->model->engine, "</think>")) g->opts.special = true;
}

bool srv_api_prompt(srv_gen *g, const srv_chat *c, const char *param, srv_error *e) {
    ts_prompt p = {0};
    if (!srv_chat_prompt(c, g->model, &p, e)) return false;
    expect_thinking(g, c, &p);
    ts_token *token = p.token;
    const size_t n = p.n;
    p.token = NULL;
    ts_prompt_release(&p);
    return srv_gen_prompt(g, token, n, e) && srv_gen_fits(g, param, e);
}

bool srv_api_token_list(const srv_model *m, const ts_jval *list, const char *param, ts_token **out, srv_error *e) {
    ts_token *token = ts_alloc(list->n ? list->n : 1, sizeof *token);
    size_t n = 0;
    if (!token) return srv_refuse_nomem(e);
    for (const ts_jval *v = list->first; v; v = v->next) {
        int64_t id;
        if (srv_whole(v, &id) && id >= 0 && id < m->info.n_vocab) {
            token[n++] = (ts_token)id;
            continue;
        }
        ts_free(token);
        return srv_refuse(e, 400, param, "%s: %s is no token of this model; they are numbers from 0 to %u", param,
                          srv_kind(v), m->info.n_vocab - 1);
    }
    *out = token;
    return true;
}

bool srv_api_text(srv_gen *g, const ts_jval *text, srv_error *e) {
    ts_token *token;
    size_t n;
    ts_err err;
    if (ts_engine_tokenize(g->model->engine, (const char *)text->text.data, text->text.len,
                           TS_TOKENIZE_BOS | TS_TOKENIZE_SPECIAL, &token, &n, &err) != TS_OK)
        return srv_refuse_err(e, "prompt", &err);
    return srv_gen_prompt(g, token, n, e);
}

bool srv_template_names(const srv_model *m, const char *variable) {
    size_t len = 0;
    const size_t n = strlen(variable);
    const char *name, *text = ts_engine_chat_template(m->engine, 0, &name, &len);
    for (size_t i = 0; text && i + n <= len; i++)
        if (memcmp(text + i, variable, n) == 0) return true;
    return false;
}

/* One more variable of the template. Of two with the same name the later one counts. */
static bool add_var(srv_chat *c, ts_span name, ts_span value, srv_error *e) {
    ts_buf *b = &c->own_vars;
    if (b->len) b->len--; /* its brace */
    const bool ok = ts_buf_putc(b, b->len ? ',' : '{') && srv_put_text(b, (const char *)name.data, name.len) &&
                    ts_buf_putc(b, ':') && ts_buf_append(b, value.data, value.len) && ts_buf_putc(b, '}');
    c->vars = (ts_span){(const uint8_t *)b->data, b->len};
    return ok || srv_refuse_nomem(e);
}

static ts_span span_of(const char *s) {
    return (ts_span){(const uint8_t *)s, strlen(s)};
}

static const char think_var[] = "enable_thinking";

bool srv_api_think(const srv_model *m, srv_chat *c, bool think, srv_error *e) {
    return !srv_template_names(m, think_var) ||
           add_var(c, span_of(think_var), span_of(think ? "true" : "false"), e);
}

bool srv_api_vars(const srv_model *m, srv_chat *c, const srv_fields *f) {
    const ts_jval *vars = srv_field_of(f, "chat_template_kwargs", TS_JSON_OBJECT);
    for (const ts_jval *v = vars ? vars->first : NULL; v; v = v->next) {
        const bool think = v->key.len == sizeof think_var - 1 && !memcmp(v->key.data, think_var, v->key.len);
        /* who does not think, and has no such variable, does as it says */
        const bool idle = think && v->type == TS_JSON_BOOL && !v->truth && !m->thinks;
        if (idle && !srv_template_names(m, think_var)) continue;
        if (!add_var(c, v->key, v->source, f->error)) return false;
    }
    return srv_fields_ok(f);
}

bool srv_api_schema(srv_gen *g, const ts_jval *schema, const char *param, srv_error *e) {
    static const char any[] = "{\"type\":\"object\"}";
    const ts_constraint_opts o = {.kind = TS_CONSTRAIN_SCHEMA, .text = schema ? (const char *)schema->source.data : any,
                                  .len = schema ? schema->source.len : sizeof any - 1};
    if (!srv_gen_constrain(g, &o, param, e)) return false;
    g->schema = (ts_span){(const uint8_t *)o.text, o.len};
    return true;
}

bool srv_call_complete(const srv_call *call) {
    ts_arena arena = {0};
    const ts_jval *v = NULL;
    const ts_jlimits limits = {.depth = 300};
    const bool ok = call->arguments.len > 0 &&
                    ts_jtree_parse(&v, &arena, call->arguments.data, call->arguments.len, &limits, NULL) == TS_OK &&
                    v->type == TS_JSON_OBJECT;
    ts_arena_free(&arena);
    return ok;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

bool srv_put_text(ts_buf *out, const char *text, size_t len) {
    return ts_json_put_string(out, text ? text : "", text ? len : 0);
}

bool srv_put_string(ts_buf *out, const char *s) {
    return srv_put_text(out, s, s ? strlen(s) : 0);
}

bool srv_put_source(ts_buf *out, const ts_jval *v, const char *otherwise) {
    return v ? ts_buf_append(out, v->source.data, v->source.len) : ts_buf_puts(out, otherwise);
}

bool srv_put_time(ts_buf *out, int64_t seconds, uint32_t ns) {
    const time_t t = (time_t)seconds;
    struct tm tm;
    char text[64] = "";
    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm)) snprintf(text, sizeof text, "?");
    return ts_buf_printf(out, "\"%s.%09uZ\"", text, ns);
}

bool srv_put_now(ts_buf *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return srv_put_time(out, now.tv_sec, (uint32_t)now.tv_nsec);
}

bool srv_put_tool(ts_buf *out, const char *name, const char *description, const ts_jval *parameters) {
    bool ok = ts_buf_puts(out, "{\"type\":\"function\",\"function\":{\"name\":") && srv_put_string(out, name);
    if (ok && description) ok = ts_buf_puts(out, ",\"description\":") && srv_put_string(out, description);
    if (ok && parameters) ok = ts_buf_puts(out, ",\"parameters\":") && srv_put_source(out, parameters, "{}");
    return ok && ts_buf_puts(out, "}}");
}

bool srv_send(srv_job *job, ts_buf *b, bool ok) {
    ok = ok && srv_job_write(job, b->data, b->len);
    ts_buf_free(b);
    return ok;
}
