/* cmd_chat_commands.c - the lines of a chat that begin with "/". */
#include "base/file.h"
#include "base/printable.h"
#include "cli/cmd_chat.h"

#include <jansson.h>
#include <string.h>

enum { FILE_LIMIT = 256 << 20 };

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* The first word of s, cut off there; returns the rest without the blanks around it. */
static char *split(char *s) {
    char *rest = s + strcspn(s, " \t");
    if (*rest) *rest++ = 0;
    return rest + strspn(rest, " \t");
}

static void show_option(chat *c, const cli_opt *o) {
    ts_buf line = {0};
    bool ok = ts_buf_printf(&line, "%-18s", o->name);
    if (o->kind == CLI_INT) ok = ok && ts_buf_printf(&line, "%ld", *(const long *)o->out);
    if (o->kind == CLI_REAL) ok = ok && ts_buf_printf(&line, "%g", *(const double *)o->out);
    if (o->kind == CLI_LIST) {
        const cli_list *l = o->out;
        for (size_t i = 0; i < l->n; i++)
            ok = ok && ts_buf_puts(&line, i ? ", " : "") && cli_json_string(&line, l->item[i], strlen(l->item[i]));
        if (!l->n) ok = ok && ts_buf_puts(&line, "none");
    }
    if (ok) chat_note(c, "%s", line.data);
    ts_buf_free(&line);
}

/* A value in quotes is a JSON text, so that a stop string may hold line breaks. *text is then allocated. */
static ts_status unquote(const char *value, char **text, ts_err *err) {
    *text = NULL;
    if (*value != '"') return TS_OK;
    json_error_t e;
    json_t *j = json_loads(value, JSON_DECODE_ANY, &e);
    ts_status s = TS_OK;
    if (!json_is_string(j)) s = ts_fail(err, TS_E_INVAL, "%s is not a text in quotes: %s", value, j ? "no text" : e.text);
    else if (!(*text = ts_strdup(json_string_value(j)))) s = ts_fail_nomem(err, "a text", strlen(value));
    json_decref(j);
    return s;
}

static void set(chat *c, char *args) {
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&c->settings, table);
    char *value = split(args);
    if (!*args) {
        for (const cli_opt *o = table; !cli_opt_is_end(o); o++)
            if (o->kind != CLI_GROUP) show_option(c, o);
        return;
    }
    const cli_opt *o = cli_opt_find(table, args, strlen(args));
    if (o && !*value) {
        show_option(c, o);
        return;
    }
    ts_err err;
    char *text;
    ts_status s = unquote(value, &text, &err);
    if (s == TS_OK) s = chat_settings_set(&c->settings, args, text ? text : value, c->info.n_vocab, &err);
    ts_free(text);
    if (s != TS_OK) chat_fail(c, &err);
}

static void unset(chat *c, char *args) {
    ts_err err;
    if (!*args) chat_refuse(c, "/unset needs the name of an option; /set shows them");
    else if (chat_settings_unset(&c->settings, args, &err) != TS_OK) chat_fail(c, &err);
}

static void system_prompt(chat *c, char *args) {
    if (!*args) {
        chat_note(c, "%s", c->talk.system ? c->talk.system : "there is no system prompt");
        return;
    }
    ts_err err;
    char *old = c->talk.system;
    c->talk.system = NULL;
    ts_status s = TS_OK;
    if (!chat_talk_set_system(&c->talk, strcmp(args, "\"\"") != 0 ? args : NULL)) s = ts_fail_nomem(&err, args, strlen(args));
    if (s == TS_OK) s = chat_check_template(c, &err); /* some templates have no place for one */
    if (s == TS_OK) {
        ts_free(old);
        return;
    }
    ts_free(c->talk.system);
    c->talk.system = old;
    chat_fail(c, &err);
}

/* ---- the conversation ------------------------------------------------------------------------------------------- */

static void reset(chat *c, char *args) {
    (void)args;
    chat_talk_drop_last(&c->talk, c->talk.n);
}

static void undo(chat *c, char *args) {
    (void)args;
    if (!c->talk.n) {
        chat_refuse(c, "there is nothing to take back");
        return;
    }
    char shown[60];
    const char *user = c->talk.exchange[c->talk.n - 1].user;
    ts_printable(shown, sizeof shown, user, strlen(user));
    if (c->terminal) chat_note(c, "taken back: %s", shown);
    chat_talk_drop_last(&c->talk, 1);
}

static void retry(chat *c, char *args) {
    (void)args;
    if (!c->talk.n) {
        chat_refuse(c, "there is no message to answer again");
        return;
    }
    chat_exchange last = c->talk.exchange[--c->talk.n];
    if (chat_answer(c, last.user)) {
        ts_free(last.user);
        ts_free(last.answer);
    } else {
        c->talk.exchange[c->talk.n++] = last; /* its place in the array is still there */
    }
}

static void trim(chat *c, char *args) {
    ts_err err;
    size_t n = 0, tokens;
    if (*args) {
        long asked = 0;
        const cli_opt o = {.kind = CLI_INT, .name = "trim", .out = &asked, .min = 1, .max = 1 << 30};
        if (cli_opt_set(&o, "/trim", args, &err) != TS_OK) {
            chat_fail(c, &err);
            return;
        }
        n = (size_t)asked < c->talk.n ? (size_t)asked : c->talk.n;
    } else {
        for (; n < c->talk.n; n++) {
            if (chat_count(c, n, NULL, &tokens, &err) != TS_OK) {
                chat_fail(c, &err);
                return;
            }
            if (tokens <= ts_session_n_ctx(c->s) / 2) break;
        }
    }
    chat_talk_drop_first(&c->talk, n);
    if (chat_count(c, 0, NULL, &tokens, &err) != TS_OK) chat_fail(c, &err);
    else chat_note(c, "%zu exchange%s forgotten, %zu left with %zu tokens of %u", n, n == 1 ? "" : "s", c->talk.n, tokens, ts_session_n_ctx(c->s));
}

static void save(chat *c, char *args) {
    ts_buf text = {0};
    ts_err err;
    if (!*args) {
        chat_refuse(c, "/save needs the name of a file");
        return;
    }
    const char *template_name = chat_template_name(c);
    ts_status s = chat_file_write(&c->talk, &c->settings, c->info.name, template_name, &text, &err);
    if (s == TS_OK) s = ts_file_write(args, text.data, text.len, &err);
    ts_buf_free(&text);
    if (s != TS_OK) chat_fail(c, &err);
    else if (c->terminal) chat_note(c, "saved: %s", args);
}

static void load(chat *c, char *args) {
    ts_buf text = {0};
    ts_err err;
    if (!*args) {
        chat_refuse(c, "/load needs the name of a file");
        return;
    }
    ts_status s = ts_file_read(&text, args, FILE_LIMIT, &err);
    if (s == TS_OK) {
        s = chat_file_read(text.data ? text.data : "", text.len, c->info.n_vocab, &c->talk, &c->settings, &err);
        if (s != TS_OK) (void)ts_err_prefix(&err, s, "%s", args);
    }
    ts_buf_free(&text);
    if (s != TS_OK) chat_fail(c, &err);
    else if (c->terminal) chat_note(c, "loaded: %zu exchange%s", c->talk.n, c->talk.n == 1 ? "" : "s");
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static void stats(chat *c, char *args) {
    (void)args;
    chat_print_stats(c);
}

static void help(chat *c, char *args) {
    (void)args;
    chat_note(c, "%s", CHAT_HELP);
}

static void bye(chat *c, char *args) {
    (void)args;
    c->leave = true;
}

void chat_command(chat *c, char *line) {
#define ENTRY(name, args, text, fn) {name, fn},
    static const struct {
        const char *name;
        void (*run)(chat *c, char *args);
    } commands[] = {CHAT_COMMANDS(ENTRY){"?", help}, {"exit", bye}, {"quit", bye}, {"clear", reset}};
    char *args = split(line);
    for (size_t n = strlen(args); n && strchr(" \t", args[n - 1]);) args[--n] = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(line + 1, commands[i].name)) {
            commands[i].run(c, args);
            return;
        }
    chat_refuse(c, "unknown command %s; /help lists them, and a message that begins with / goes between \"\"\"", line);
}
