#include "cli/template_opts.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20 };

/* NAME=VALUE into t->all. */
static ts_status add_var(cli_template *t, const char *text, ts_err *err) {
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return ts_fail(err, TS_E_INVAL, "--template-var %s: expected NAME=VALUE, for example enable_thinking=false",
                       text);
    json_t *utf8 = json_stringn(text, (size_t)(eq - text));
    if (!utf8) return ts_fail(err, TS_E_INVAL, "--template-var %s: the name is not UTF-8", text);
    json_decref(utf8);
    if (!strcmp(eq + 1, "True") || !strcmp(eq + 1, "False") || !strcmp(eq + 1, "None"))
        return ts_fail(err, TS_E_INVAL,
                       "--template-var %s: as text it would always count as true; JSON has true, false and null", text);
    char *name = ts_strndup(text, (size_t)(eq - text));
    json_error_t e;
    json_t *value = json_loads(eq + 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    /* bare words are text ("26 Jul 2024"); what begins like a list, an object or a text in quotes and is none is a
     * slip */
    bool bare = !value && eq[1] && !strchr("{[\"", eq[1]);
    if (bare) value = json_string(eq + 1);
    ts_status s = TS_OK;
    if (!value && json_error_code(&e) != json_error_out_of_memory && !bare)
        s = ts_fail(err, TS_E_INVAL, "--template-var %s: not JSON: column %d: %s", text, e.column, e.text);
    else if (bare && !value) s = ts_fail(err, TS_E_INVAL, "--template-var %s: not UTF-8", text);
    else if (!name || json_object_set_new(t->all, name, value) != 0)
        value = NULL, s = ts_fail_nomem(err, "a variable", strlen(text));
    else value = NULL;
    json_decref(value);
    ts_free(name);
    return s;
}

static ts_status add_list(cli_template *t, const char *name, const char *path, ts_err *err) {
    ts_buf text = {0};
    json_error_t e;
    TS_TRY(ts_file_read(&text, path, FILE_MAX, err));
    json_t *list = json_loadb(text.data ? text.data : "", text.len, JSON_ALLOW_NUL, &e);
    ts_buf_free(&text);
    if (!list) return ts_fail(err, TS_E_FORMAT, "%s: line %d, column %d: %s", path, e.line, e.column, e.text);
    if (!json_is_array(list)) {
        json_decref(list);
        return ts_fail(err, TS_E_FORMAT, "%s: not a JSON list", path);
    }
    return json_object_set_new(t->all, name, list) == 0 ? TS_OK : ts_fail_nomem(err, name, text.len);
}

static ts_status read_all(cli_template *t, ts_err *err) {
    t->all = json_object();
    if (!t->all) return ts_fail_nomem(err, "variables", 0);
    if (t->tools) TS_TRY(add_list(t, "tools", t->tools, err));
    if (t->documents) TS_TRY(add_list(t, "documents", t->documents, err));
    for (size_t i = 0; i < t->vars.n; i++) TS_TRY(add_var(t, t->vars.item[i], err));
    t->all_text = json_dumps(t->all, JSON_COMPACT);
    if (!t->all_text) return ts_fail_nomem(err, "variables", 0);
    t->opts.vars = t->all_text;
    t->opts.has_now = true; /* the clock is asked once: a conversation does not change at midnight */
    t->opts.now = ts_local_now();
    if (t->now) {
        ts_status s = ts_local_parse(t->now, &t->opts.now, err);
        if (s != TS_OK) return ts_err_prefix(err, s, "--now");
    }
    if (t->file) {
        TS_TRY(ts_file_read(&t->text, t->file, FILE_MAX, err));
        if (!ts_buf_puts(&t->text, "")) return ts_fail_nomem(err, t->file, 1);
        if (t->text.len == 0)
            return ts_fail(err, TS_E_FORMAT, "%s: the file is empty: a template without text drops the conversation",
                           t->file);
        if (memchr(t->text.data, 0, t->text.len))
            return ts_fail(err, TS_E_FORMAT, "%s: a NUL byte: not a template", t->file);
        t->opts.text = t->text.data;
        t->opts.text_name = t->file;
    }
    t->opts.name = t->name;
    return TS_OK;
}

int cli_template_read(const cli_command *cmd, cli_template *t) {
    ts_err err;
    if (t->name && t->file) return cli_usage_error(cmd, "give --chat-template or --chat-template-file, not both");
    int code = cli_check_template(t->name);
    if (code) return code;
    return read_all(t, &err) == TS_OK ? CLI_OK : cli_fail(&err);
}

void cli_template_free(cli_template *t) {
    ts_buf_free(&t->text);
    json_decref(t->all);
    free(t->all_text); /* jansson's */
    ts_free(t->vars.item);
    *t = (cli_template){0};
}

int cli_template_fail(ts_err *err, ts_status s, const char *more) {
    if (s == TS_E_UNSUPP || s == TS_E_FORMAT || s == TS_E_LIMIT)
        ts_err_add(err, "; name one with --chat-template NAME or --chat-template-file FILE%s%s", more ? ", " : "",
                   more ? more : "");
    (void)cli_fail(err);
    return CLI_FAIL;
}
