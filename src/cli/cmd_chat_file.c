#include "cli/cmd_chat_talk.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char FORMAT[] = "tessera-chat";
enum { VERSION = 1 };

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* json_object_set_new, which releases the value on failure; NULL stands for one that could not be made. */
static bool put(json_t *object, const char *key, json_t *value) {
    return value && json_object_set_new(object, key, value) == 0;
}

static bool put_message(json_t *messages, const char *role, const char *content) {
    json_t *m = json_object();
    bool ok = m && put(m, "role", json_string(role)) && put(m, "content", json_string(content));
    if (ok) return json_array_append_new(messages, m) == 0;
    json_decref(m);
    return false;
}

/* A text that may come from the command line or a model file: JSON takes UTF-8 only. */
static json_t *make_text(const char *s) {
    ts_buf clean = {0};
    json_t *text = cli_utf8_clean(&clean, s, strlen(s)) ? json_stringn(clean.data, clean.len) : NULL;
    ts_buf_free(&clean);
    return text;
}

static json_t *make_list(const cli_list *l) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < l->n; i++)
        if (json_array_append_new(array, make_text(l->item[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *make_settings(const chat_settings *s) {
    chat_settings copy = *s; /* the table is for writing too; here it is only read */
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&copy, table);
    json_t *object = json_object();
    bool ok = object != NULL;
    for (const cli_opt *o = table; ok && !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_INT) ok = put(object, o->name, json_integer(*(const long *)o->out));
        else if (o->kind == CLI_REAL) ok = put(object, o->name, json_real(*(const double *)o->out));
        else if (o->kind == CLI_LIST) ok = put(object, o->name, make_list(o->out));
    }
    if (ok) return object;
    json_decref(object);
    return NULL;
}

static bool fill(json_t *root, const chat_talk *t, const chat_settings *s, const char *model,
                 const char *template_name) {
    if (!put(root, "format", json_string(FORMAT)) || !put(root, "version", json_integer(VERSION)) ||
        !put(root, "model", make_text(model)) || !put(root, "template", json_string(template_name)) ||
        !put(root, "system", t->system ? json_string(t->system) : json_null()) ||
        !put(root, "settings", make_settings(s)))
        return false;
    json_t *messages = json_array();
    if (!put(root, "messages", messages)) return false;
    for (size_t i = 0; i < t->n; i++)
        if (!put_message(messages, "user", t->exchange[i].user) ||
            !put_message(messages, "assistant", t->exchange[i].answer))
            return false;
    return true;
}

struct sink {
    ts_buf *out;
    bool failed; /* remembered: jansson 2.14 does not look at what becomes of an object's keys */
};

static int append(const char *text, size_t len, void *ud) {
    struct sink *k = ud;
    if (!ts_buf_append(k->out, text, len)) k->failed = true;
    return k->failed ? -1 : 0;
}

ts_status chat_file_write(const chat_talk *t, const chat_settings *s, const char *model, const char *template_name,
                          ts_buf *out, ts_err *err) {
    json_t *root = json_object();
    struct sink sink = {.out = out};
    /* 9 digits tell every float apart, and 0.95 stays 0.95 */
    bool ok = root && fill(root, t, s, model, template_name) &&
              json_dump_callback(root, append, &sink, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 && !sink.failed &&
              ts_buf_putc(out, '\n');
    json_decref(root);
    return ok ? TS_OK : ts_fail_nomem(err, "the conversation's file", out->len);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static ts_status read_setting(chat_settings *s, const cli_opt *o, const char *name, const json_t *value,
                              uint32_t n_vocab, ts_err *err) {
    char number[64];
    if (!o) return ts_fail(err, TS_E_FORMAT, "settings: there is no setting \"%s\"", name);
    if (o->kind == CLI_LIST) {
        if (!json_is_array(value)) return ts_fail(err, TS_E_FORMAT, "settings: %s is not a list", name);
        for (size_t i = 0; i < json_array_size(value); i++) {
            const char *text = json_string_value(json_array_get(value, i));
            if (!text) return ts_fail(err, TS_E_FORMAT, "settings: %s: element %zu is not a text", name, i + 1);
            TS_TRY(chat_settings_set(s, name, text, n_vocab, err));
        }
        return TS_OK;
    }
    if (json_is_integer(value)) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (o->kind == CLI_REAL && json_is_real(value))
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
    else return ts_fail(err, TS_E_FORMAT, "settings: %s is not a %snumber", name, o->kind == CLI_INT ? "whole " : "");
    return chat_settings_set(s, name, number, n_vocab, err);
}

static ts_status read_settings(chat_settings *s, json_t *settings, uint32_t n_vocab, ts_err *err) {
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(s, table);
    const char *name;
    json_t *value;
    if (!json_is_object(settings)) return ts_fail(err, TS_E_FORMAT, "settings: not an object");
    json_object_foreach(settings, name, value)
        TS_TRY(read_setting(s, cli_opt_find(table, name, strlen(name)), name, value, n_vocab, err));
    return TS_OK;
}

static ts_status read_messages(chat_talk *t, const json_t *messages, ts_err *err) {
    const char *waiting = NULL; /* the user's message that the next one answers */
    if (!json_is_array(messages)) return ts_fail(err, TS_E_FORMAT, "messages: there is no such list");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *content = json_string_value(json_object_get(m, "content"));
        if (!role || !content) return ts_fail(err, TS_E_FORMAT, "message %zu: no role and content", i + 1);
        if (i == 0 && !t->system && !strcmp(role, "system")) {
            if (!chat_talk_set_system(t, content)) return ts_fail_nomem(err, "the system prompt", strlen(content));
            continue;
        }
        const char *wanted = waiting ? "assistant" : "user";
        if (strcmp(role, wanted) != 0)
            return ts_fail(err, TS_E_FORMAT, "message %zu: from \"%s\", where one from \"%s\" belongs", i + 1, role,
                           wanted);
        if (waiting && !chat_talk_push(t, ts_strdup(waiting), ts_strdup(content)))
            return ts_fail_nomem(err, "a message", strlen(content));
        waiting = waiting ? NULL : content;
    }
    if (waiting) return ts_fail(err, TS_E_FORMAT, "message %zu: it has no answer", json_array_size(messages));
    return TS_OK;
}

static ts_status read_root(json_t *root, uint32_t n_vocab, chat_talk *t, chat_settings *s, ts_err *err) {
    if (!json_is_object(root)) return ts_fail(err, TS_E_FORMAT, "not a conversation: no JSON object");
    const json_t *format = json_object_get(root, "format"), *version = json_object_get(root, "version");
    const json_t *system = json_object_get(root, "system");
    json_t *settings = json_object_get(root, "settings");
    if (format && (!json_is_string(format) || strcmp(json_string_value(format), FORMAT) != 0))
        return ts_fail(err, TS_E_FORMAT, "format: not \"%s\"", FORMAT);
    if (version && (!json_is_integer(version) || json_integer_value(version) != VERSION))
        return ts_fail(err, TS_E_UNSUPP, "version: this program knows version %d", VERSION);
    if (system && !json_is_null(system)) {
        if (!json_is_string(system)) return ts_fail(err, TS_E_FORMAT, "system: not a text");
        if (!chat_talk_set_system(t, json_string_value(system))) return ts_fail_nomem(err, "the system prompt", 0);
    }
    if (settings) TS_TRY(read_settings(s, settings, n_vocab, err));
    return read_messages(t, json_object_get(root, "messages"), err);
}

ts_status chat_file_read(const char *text, size_t len, uint32_t n_vocab, chat_talk *t, chat_settings *s, ts_err *err) {
    json_error_t e;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    if (!root) {
        if (json_error_code(&e) == json_error_out_of_memory) return ts_fail_nomem(err, "the conversation", len);
        return ts_fail(err, TS_E_FORMAT, "line %d, column %d: %s", e.line, e.column, e.text);
    }
    chat_talk new_talk = {0};
    chat_settings new_settings = {.sampling = cli_sampling_defaults()};
    ts_status st = read_root(root, n_vocab, &new_talk, &new_settings, err);
    bool has_settings = json_object_get(root, "settings") != NULL;
    json_decref(root);
    if (st != TS_OK) {
        chat_talk_free(&new_talk);
        chat_settings_free(&new_settings);
        return st;
    }
    chat_talk_free(t);
    *t = new_talk;
    if (has_settings) {
        chat_settings_free(s);
        *s = new_settings;
    } else {
        chat_settings_free(&new_settings);
    }
    return TS_OK;
}
