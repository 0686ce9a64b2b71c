#define _GNU_SOURCE /* memmem */
#include "text/prompt.h"

#include "base/clock.h"
#include "base/printable.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* ---- a model's templates --------------------------------------------------------------------------------------- */

struct ts_templates {
    struct compiled {
        const char *name; /* the tokenizer's */
        ts_jinja *jinja;  /* NULL: it does not compile, as err says */
        ts_err err;
    } *item;
    size_t n;
    char description[64];
};

ts_status ts_templates_new(ts_templates **out, const ts_tokenizer *tok, ts_err *err) {
    size_t n = ts_tokenizer_n_templates(tok);
    ts_templates *t = ts_calloc(1, sizeof *t);
    if (t) t->item = ts_calloc(n, sizeof *t->item);
    if (!t || !t->item) {
        ts_templates_free(t);
        return ts_fail_nomem(err, "the chat templates", n * sizeof *t->item);
    }
    for (; t->n < n; t->n++) {
        struct compiled *c = &t->item[t->n];
        ts_span text = ts_tokenizer_template(tok, t->n, &c->name);
        ts_status s = ts_jinja_parse(&c->jinja, (const char *)text.data, text.len, &c->err);
        if (s == TS_E_NOMEM) {
            ts_templates_free(t);
            return ts_fail_nomem(err, "a chat template", text.len);
        }
        if (t->n == 0 && s == TS_OK) snprintf(t->description, sizeof t->description, "jinja (%zu bytes)", text.len);
    }
    *out = t;
    return TS_OK;
}

void ts_templates_free(ts_templates *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) ts_jinja_free(t->item[i].jinja);
    ts_free(t->item);
    ts_free(t);
}

const char *ts_templates_describe(const ts_templates *t) {
    return *t->description ? t->description : NULL;
}

/* ---- the context ------------------------------------------------------------------------------------------------- */

static const char *const special_tokens[] = {"bos_token", "eos_token", "unk_token",
                                             "pad_token", "sep_token", "cls_token"};
enum { SPECIAL_TOKENS = sizeof special_tokens / sizeof *special_tokens };

/* A JSON string of any bytes. */
static json_t *json_of(const char *s, size_t len) {
    ts_buf clean = {0};
    bool ok = ts_buf_reserve(&clean, len);
    for (size_t i = 0, n; i < len && ok; i += n ? n : 1) {
        uint32_t c;
        n = (size_t)ts_utf8_decode(s + i, len - i, &c);
        ok = n ? ts_buf_append(&clean, s + i, n) : ts_buf_puts(&clean, "\xEF\xBF\xBD");
    }
    json_t *j = ok ? json_stringn(clean.data ? clean.data : "", clean.len) : NULL;
    ts_buf_free(&clean);
    return j;
}

json_t *ts_prompt_context(const ts_message *msg, size_t n, bool answer) {
    json_t *context = json_object(), *list = json_array();
    bool ok = context && list;
    for (size_t i = 0; i < n && ok; i++) {
        json_t *m = json_object();
        ok = m && json_object_set_new(m, "role", json_of(msg[i].role, strlen(msg[i].role))) == 0 &&
             json_object_set_new(m, "content", json_of(msg[i].content, strlen(msg[i].content))) == 0;
        if (ok) ok = json_array_append_new(list, m) == 0;
        else json_decref(m);
    }
    ok = ok && json_object_set(context, "messages", list) == 0 &&
         json_object_set_new(context, "add_generation_prompt", json_boolean(answer)) == 0;
    json_decref(list);
    if (ok) return context;
    json_decref(context);
    return NULL;
}

/* Set a member that is not there. Takes the value. */
static bool set_default(json_t *o, const char *key, json_t *value) {
    if (!json_object_get(o, key)) return value && json_object_set_new(o, key, value) == 0;
    json_decref(value);
    return true;
}

/* The context with what the model and the library add to it: a new object. */
static ts_status complete(const json_t *context, const ts_tokenizer *tok, json_t **out, ts_err *err) {
    if (!json_is_object(context))
        return ts_fail(err, TS_E_INVAL, "the context of a chat template is not a JSON object");
    json_t *all = json_copy((json_t *)(uintptr_t)context);
    bool ok = all && set_default(all, "tools", json_null()) && set_default(all, "documents", json_null());
    for (int i = 0; i < SPECIAL_TOKENS && tok && ok; i++) {
        ts_token id = ts_tokenizer_named(tok, special_tokens[i]);
        ts_span text = ts_token_entry(tok, id);
        if (id >= 0) ok = set_default(all, special_tokens[i], json_of((const char *)text.data, text.len));
        /* templates name these without asking */
        else if (i < 2) ok = set_default(all, special_tokens[i], json_string(""));
    }
    if (ok) {
        *out = all;
        return TS_OK;
    }
    json_decref(all);
    return ts_fail_nomem(err, "the context of a chat template", 0);
}

static bool has_tools(const json_t *context) {
    const json_t *tools = json_object_get(context, "tools");
    return tools && !json_is_null(tools);
}

/* ---- templates in C ---------------------------------------------------------------------------------------------- */

/* The content of a message as one text: a string, or a list of parts that are texts. */
static ts_status content_of(const json_t *m, size_t number, ts_buf *out, ts_err *err) {
    const json_t *content = json_object_get(m, "content"), *part = content;
    size_t n = json_is_array(content) ? json_array_size(content) : 1;
    ts_buf_clear(out);
    if (!ts_buf_puts(out, "")) return ts_fail_nomem(err, "a message", 0);
    for (size_t i = 0; i < n; i++) {
        if (json_is_array(content)) {
            part = json_array_get(content, i);
            if (json_is_object(part)) part = json_object_get(part, "text");
        }
        if (!json_is_string(part)) return ts_fail(err, TS_E_INVAL, "message %zu: the content is not text", number);
        const char *s = json_string_value(part);
        if (strlen(s) != json_string_length(part))
            return ts_fail(err, TS_E_INVAL, "message %zu contains a NUL character, which this template cannot carry",
                           number);
        if (!ts_buf_puts(out, s)) return ts_fail_nomem(err, "a message", strlen(s));
    }
    return TS_OK;
}

static ts_status read_messages(const json_t *list, ts_message *msg, ts_buf *text, ts_err *err) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        msg[i].role = json_string_value(json_object_get(m, "role"));
        if (!msg[i].role) return ts_fail(err, TS_E_INVAL, "message %zu has no role", i + 1);
        TS_TRY(content_of(m, i + 1, &text[i], err));
        msg[i].content = text[i].data;
    }
    return TS_OK;
}

static ts_status render_builtin(ts_chat_template t, const json_t *context, ts_jinja_out *out, ts_err *err) {
    const json_t *list = json_object_get(context, "messages");
    const char *bos = json_string_value(json_object_get(context, "bos_token"));
    const char *eos = json_string_value(json_object_get(context, "eos_token"));
    if (!json_is_array(list)) return ts_fail(err, TS_E_INVAL, "the context has no list of messages");
    if (has_tools(context))
        return ts_fail(err, TS_E_UNSUPP,
                       "the built-in template %s has no place for tools; a model that can use them has a "
                       "template of its own",
                       ts_chat_name(t));
    size_t n = json_array_size(list);
    ts_message *msg = ts_calloc(n, sizeof *msg);
    ts_buf *text = ts_calloc(n, sizeof *text);
    ts_jinja_out new = {0};
    ts_status s =
        msg && text ? read_messages(list, msg, text, err) : ts_fail_nomem(err, "the messages", n * sizeof *msg);
    if (s == TS_OK)
        s = ts_chat_apply(t, msg, n, bos ? bos : "", eos ? eos : "",
                          json_is_true(json_object_get(context, "add_generation_prompt")), &new, err);
    if (s == TS_OK && !new.text.data && !ts_buf_puts(&new.text, "")) s = ts_fail_nomem(err, "the prompt", 1);
    for (size_t i = 0; i < n && text; i++) ts_buf_free(&text[i]);
    ts_free(text);
    ts_free(msg);
    if (s != TS_OK) {
        ts_jinja_out_free(&new);
        return s;
    }
    ts_jinja_out_free(out);
    *out = new;
    return TS_OK;
}

/* ---- rendering --------------------------------------------------------------------------------------------------- */

static ts_status run(const ts_jinja *j, const json_t *context, const ts_prompt_opts *o, ts_jinja_out *out,
                     ts_err *err) {
    static const char *const trusted[] = {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                                          "cls_token", "mask_token", NULL};
    const ts_jinja_opts opts = {.now = o->has_now ? o->now : ts_local_now(),
                                .max_steps = o->max_steps,
                                .trusted = trusted};
    return ts_jinja_render(j, context, &opts, out, err);
}

/* A template that refuses a system message says so in its own words, or in none that help: see whether it is that. */
static void blame_system(const ts_jinja *j, const json_t *context, const ts_prompt_opts *o, ts_err *err) {
    const json_t *list = json_object_get(context, "messages");
    const char *role = json_string_value(json_object_get(json_array_get(list, 0), "role"));
    if (!err || !role || strcmp(role, "system") != 0 || json_array_size(list) < 2) return;
    json_t *without = json_copy((json_t *)(uintptr_t)context), *rest = json_copy((json_t *)(uintptr_t)list);
    ts_jinja_out out = {0};
    if (without && rest && json_array_remove(rest, 0) == 0 && json_object_set(without, "messages", rest) == 0 &&
        run(j, without, o, &out, NULL) == TS_OK)
        ts_err_add(err, "; it takes the conversation without the system message: put that into the first message");
    ts_jinja_out_free(&out);
    json_decref(without);
    json_decref(rest);
}

static ts_status render(const ts_jinja *j, const char *name, const json_t *context, const ts_prompt_opts *o,
                        ts_jinja_out *out, ts_err *err) {
    ts_status s = run(j, context, o, out, err);
    if (s == TS_OK) return TS_OK;
    (void)ts_err_prefix(err, s, "%s", name);
    if (s == TS_E_INVAL) blame_system(j, context, o, err);
    return s;
}

/* "the model's chat template", and which one where it is not the default */
static const char *title(const struct compiled *c, char *out, size_t cap) {
    char shown[40];
    ts_printable(shown, sizeof shown, c->name, strlen(c->name));
    snprintf(out, cap, strcmp(c->name, "default") ? "the model's chat template \"%s\"" : "the model's chat template",
             shown);
    return out;
}

static ts_status choose(const ts_templates *t, const char *name, const json_t *context, const struct compiled **out,
                        ts_err *err) {
    if (!t || t->n == 0) return ts_fail(err, TS_E_UNSUPP, "the model has no chat template");
    if (!name && has_tools(context)) {
        for (size_t i = 0; i < t->n; i++)
            if (!strcmp(t->item[i].name, "tool_use")) *out = &t->item[i];
        if (*out) return TS_OK;
    }
    for (size_t i = 0; i < t->n; i++)
        if (!name || !strcmp(t->item[i].name, name)) {
            *out = &t->item[i];
            return TS_OK;
        }
    return TS_E_INVAL; /* the caller lists what there is */
}

static ts_status render_model(const ts_templates *t, const json_t *context, const ts_prompt_opts *o, ts_jinja_out *out,
                              ts_err *err) {
    const struct compiled *c = NULL;
    char name[100];
    TS_TRY(choose(t, o->name, context, &c, err));
    title(c, name, sizeof name);
    if (c->jinja) return render(c->jinja, name, context, o, out, err);
    if (err) *err = c->err;
    return ts_err_prefix(err, c->err.code, "%s", name);
}

static ts_status render_text(const json_t *context, const ts_prompt_opts *o, ts_jinja_out *out, ts_err *err) {
    const char *name = o->text_name ? o->text_name : "the chat template";
    ts_jinja *j;
    ts_status s = ts_jinja_parse(&j, o->text, strlen(o->text), err);
    if (s != TS_OK) return ts_err_prefix(err, s, "%s", name);
    s = render(j, name, context, o, out, err);
    ts_jinja_free(j);
    return s;
}

ts_status ts_prompt_render(const ts_templates *t, const ts_tokenizer *tok, const json_t *context,
                           const ts_prompt_opts *o, ts_jinja_out *out, ts_err *err) {
    json_t *all = NULL;
    ts_chat_template builtin = TS_CHAT_NONE;
    TS_TRY(complete(context, tok, &all, err));
    ts_status s;
    if (o->text) s = render_text(all, o, out, err);
    else if (o->name && ts_chat_find(&builtin, o->name, NULL) == TS_OK) s = render_builtin(builtin, all, out, err);
    else {
        const struct compiled *c = NULL;
        s = o->name && choose(t, o->name, all, &c, NULL) != TS_OK ? ts_chat_find(&builtin, o->name, err)
                                                                  : render_model(t, all, o, out, err);
    }
    json_decref(all);
    return s;
}

static bool in_word(unsigned char c) {
    return c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Is `name` a word of the text? In a comment too: then nothing is known, and it counts. */
static bool has_word(ts_span text, const char *name) {
    const size_t n = strlen(name);
    const uint8_t *end = text.data + text.len;
    for (const uint8_t *p = text.data; n && (p = memmem(p, (size_t)(end - p), name, n)); p++)
        if ((p == text.data || !in_word(p[-1])) && (p + n == end || !in_word(p[n]))) return true;
    return false;
}

bool ts_prompt_names(const ts_templates *t, const ts_tokenizer *tok, const json_t *context, const ts_prompt_opts *o,
                     const char *name) {
    static const char *const of_builtin[] = {"messages", "bos_token", "eos_token", "add_generation_prompt"};
    const struct compiled *c = NULL;
    const char *title;
    if (o->text) return has_word((ts_span){(const uint8_t *)o->text, strlen(o->text)}, name);
    ts_chat_template builtin = TS_CHAT_NONE;
    if (!(o->name && ts_chat_find(&builtin, o->name, NULL) == TS_OK) &&
        choose(t, o->name, context, &c, NULL) == TS_OK && tok)
        return has_word(ts_tokenizer_template(tok, (size_t)(c - t->item), &title), name);
    for (size_t i = 0; i < sizeof of_builtin / sizeof *of_builtin; i++)
        if (!strcmp(of_builtin[i], name)) return true;
    return false;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

ts_status ts_prompt_tokens(const ts_tokenizer *tok, const ts_jinja_out *text, ts_tokens *out, ts_err *err) {
    ts_text_range *data = ts_alloc(text->n_data, sizeof *data);
    if (!data) return ts_fail_nomem(err, "the prompt", text->n_data * sizeof *data);
    for (size_t i = 0; i < text->n_data; i++) data[i] = (ts_text_range){text->data[i].begin, text->data[i].end};
    ts_span bos = ts_token_entry(tok, ts_tokenizer_bos(tok));
    size_t own = text->n_data ? data[0].begin : text->text.len;
    size_t at = 0; /* white space in front does not matter */
    while (at < own && strchr(" \t\r\n", text->text.data[at])) at++;
    bool has_bos = bos.len > 0 && own - at >= bos.len && memcmp(text->text.data + at, bos.data, bos.len) == 0;
    ts_status s = ts_tokenize_marked(tok, text->text.data, text->text.len, data, text->n_data,
                                     has_bos ? 0 : TS_TOKENIZE_BOS, out, err);
    ts_free(data);
    return s;
}
