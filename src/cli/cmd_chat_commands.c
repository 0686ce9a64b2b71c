/* cmd_chat_commands.c - the lines of a chat that begin with "/". */
#include "base/file.h"
#include "base/json_write.h"
#include "base/printable.h"
#include "cli/cmd_chat.h"
#include "cli/nearest.h"
#include "cli/output.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 256 << 20 };

/* ---- options ----------------------------------------------------------------------------------------------------- */

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
            ok = ok && ts_buf_puts(&line, i ? ", " : "") && ts_json_put_string(&line, l->item[i], strlen(l->item[i]));
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
    if (!json_is_string(j))
        s = ts_fail(err, TS_E_INVAL, "%s is not a text in quotes: %s", value, j ? "no text" : e.text);
    else if (!(*text = ts_strdup(json_string_value(j)))) s = ts_fail_nomem(err, "a text", strlen(value));
    json_decref(j);
    return s;
}

/* What was done, for a person; a pipe is told by the exit code. */
#define CONFIRM(c, ...) ((c)->terminal ? chat_note(c, __VA_ARGS__) : (void)0)

static void show_options(chat *c) {
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&c->settings, table);
    for (const cli_opt *o = table; !cli_opt_is_end(o); o++)
        if (o->kind != CLI_GROUP) show_option(c, o);
}

/* Names that people bring from other programs, and what they are called here. */
static const char *our_name(const char *name) {
    static const char *const names[][2] = {{"temperature", "temp"},
                                           {"n-predict", "predict"},
                                           {"num-predict", "predict"},
                                           {"max-tokens", "predict"},
                                           {"n", "predict"},
                                           {"repeat-last-n", "penalty-window"},
                                           {"repetition-penalty", "repeat-penalty"},
                                           {"typical-p", "typical"},
                                           {"stop-sequence", "stop"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i][0])) return names[i][1];
    return name;
}

/* What is decided when the chat starts: the option to start with. NULL: it is something else. */
static const char *at_start(const char *name) {
    static const char *const names[][2] = {{"ctx", "--ctx N"}, {"num-ctx", "--ctx N"}, {"n-ctx", "--ctx N"},
                                           {"ctx-size", "--ctx N"}, {"context", "--ctx N"},
                                           {"threads", "--threads N"}, {"num-thread", "--threads N"},
                                           {"device", "--device NAME"}, {"kv", "--kv TYPE"},
                                           {"template", "--chat-template NAME"},
                                           {"chat-template", "--chat-template NAME"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i][0])) return names[i][1];
    return NULL;
}

static void refuse_setting(chat *c, const char *name) {
    const char *start = at_start(name);
    if (start) {
        chat_refuse(c, "%s is set at the start only: tessera chat %s", name, start);
        return;
    }
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&c->settings, table);
    ts_buf list = {0};
    bool ok = true;
    for (const cli_opt *o = table; !cli_opt_is_end(o); o++)
        if (o->kind != CLI_GROUP) ok = ok && ts_buf_printf(&list, "%s%s", list.len ? ", " : "", o->name);
    const char *near = cli_opt_nearest(table, name, strlen(name));
    if (near)
        chat_refuse(c, "there is no setting \"%s\"; did you mean %s? There are %s", name, near,
                    ok ? list.data : "others");
    else chat_refuse(c, "there is no setting \"%s\"; there are %s", name, ok ? list.data : "others");
    ts_buf_free(&list);
}

static void system_prompt(chat *c, char *args);

/* Settings that are no options of a number or text. false: it is none of them. */
static bool set_switch(chat *c, const char *name, char *value) {
    if (!strcmp(name, "system")) {
        system_prompt(c, value);
    } else if (!strcmp(name, "verbose") || !strcmp(name, "quiet")) {
        c->verbose = *name == 'v';
        CONFIRM(c, c->verbose ? "statistics after every answer" : "no statistics after answers; /stats shows them");
    } else if (!strcmp(name, "wordwrap") || !strcmp(name, "nowordwrap")) {
        cli_put_wrapped(*name == 'w');
        CONFIRM(c, *name == 'w' ? "lines are broken between words" : "lines are broken where the terminal does it");
    } else {
        return false;
    }
    return true;
}

static void set(chat *c, char *args) {
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&c->settings, table);
    char *value = split(args);
    if (!strcmp(args, "parameter") || !strcmp(args, "parameters")) {
        args = value;
        value = split(args);
    }
    for (char *p = args; *p; p++)
        if (*p == '_') *p = '-';
    if (!*args) {
        show_options(c);
        return;
    }
    if (set_switch(c, args, value)) return;
    const char *name = our_name(args);
    const cli_opt *o = cli_opt_find(table, name, strlen(name));
    if (!o) {
        refuse_setting(c, name);
        return;
    }
    if (!*value) {
        show_option(c, o);
        return;
    }
    ts_err err;
    char *text;
    ts_status s = unquote(value, &text, &err);
    if (s == TS_OK) s = chat_settings_set(&c->settings, o->name, text ? text : value, c->info.n_vocab, &err);
    ts_free(text);
    if (s != TS_OK) chat_fail(c, &err);
    else if (c->terminal) show_option(c, o);
}

static void unset(chat *c, char *args) {
    ts_err err;
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(&c->settings, table);
    for (char *p = args; *p; p++)
        if (*p == '_') *p = '-';
    const char *name = our_name(args);
    const cli_opt *o = cli_opt_find(table, name, strlen(name));
    if (!*args) chat_refuse(c, "/unset needs the name of an option; /set shows them");
    else if (!o) refuse_setting(c, name);
    else if (chat_settings_unset(&c->settings, o->name, &err) != TS_OK) chat_fail(c, &err);
    else if (c->terminal) show_option(c, o);
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
    if (!chat_talk_set_system(&c->talk, strcmp(args, "\"\"") != 0 ? args : NULL))
        s = ts_fail_nomem(&err, args, strlen(args));
    if (s == TS_OK) s = chat_check_template(c, &err); /* some templates have no place for one */
    if (s == TS_OK) {
        ts_free(old);
        CONFIRM(c, c->talk.system ? "the system prompt is set" : "the system prompt is removed");
        return;
    }
    ts_free(c->talk.system);
    c->talk.system = old;
    chat_fail(c, &err);
}

/* ---- the conversation -------------------------------------------------------------------------------------------- */

static void reset(chat *c, char *args) {
    (void)args;
    const size_t n = c->talk.n;
    chat_talk_drop_last(&c->talk, n);
    CONFIRM(c, "forgotten: %zu exchange%s", n, n == 1 ? "" : "s");
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
    CONFIRM(c, "taken back: %s", shown);
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
    else
        chat_note(c, "%zu exchange%s forgotten, %zu left with %zu tokens of %u", n, n == 1 ? "" : "s", c->talk.n,
                  tokens, ts_session_n_ctx(c->s));
}

static void save(chat *c, char *args) {
    ts_buf text = {0};
    ts_err err;
    if (!*args) {
        chat_refuse(c, "/save needs the name of a file");
        return;
    }
    if (cli_is_read(args, &c->model.path, 1)) {
        chat_refuse(c, "%s is the model: give the conversation another name", args);
        return;
    }
    const char *template_name = chat_template_name(c);
    ts_status s = chat_file_write(&c->talk, &c->settings, c->info.name, template_name, &text, &err);
    if (s == TS_OK) s = ts_file_write(args, text.data, text.len, &err);
    ts_buf_free(&text);
    if (s != TS_OK) chat_fail(c, &err);
    else CONFIRM(c, "saved: %s", args);
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
    if (s == TS_OK) c->n_cached = 0;
    if (s != TS_OK) chat_fail(c, &err);
    else CONFIRM(c, "loaded: %zu exchange%s", c->talk.n, c->talk.n == 1 ? "" : "s");
}

static void read_file(chat *c, char *args) {
    ts_buf text = {0}, clean = {0};
    ts_err err;
    if (!*args) {
        chat_refuse(c, "/read needs the name of a file, whose text is sent as a message");
        return;
    }
    ts_status s = ts_file_read(&text, args, FILE_LIMIT, &err);
    if (s == TS_OK && text.len && memchr(text.data, 0, text.len))
        s = ts_fail(&err, TS_E_FORMAT, "%s contains NUL bytes: it is no text", args);
    if (s == TS_OK && !text.len) s = ts_fail(&err, TS_E_FORMAT, "%s is empty", args);
    if (s == TS_OK && !cli_utf8_clean(&clean, text.data, text.len)) s = ts_fail_nomem(&err, args, text.len);
    if (s != TS_OK) chat_fail(c, &err);
    else chat_answer(c, clean.data);
    ts_buf_free(&text);
    ts_buf_free(&clean);
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static void show_model(chat *c) {
    char n[20], size[20], device[100];
    chat_note(c, "model:    %s", c->info.name && *c->info.name ? c->info.name : c->model.path);
    chat_note(c, "file:     %s, %s", c->model.path, cli_bytes_text(size, (double)c->info.file_bytes));
    chat_note(c, "kind:     %s, %s parameters, %u layers, %u tokens in the vocabulary", c->info.arch,
              cli_count_text(n, (double)c->info.n_params), c->info.n_layer, c->info.n_vocab);
    chat_note(c, "template: %s", chat_template_name(c));
    chat_note(c, "context:  %u tokens (%zu used); the model was trained with %u", ts_session_n_ctx(c->s), chat_used(c),
              c->info.n_ctx_train);
    chat_note(c, "device:   %s", cli_device_text(device, &c->info));
}

/* The text that makes prompts: of a file that was named, or of the model. Templates that are built in have a name
 * only. */
static void show_template(chat *c) {
    size_t len = 0;
    chat_note(c, "template: %s", chat_template_name(c));
    const char *text = c->template.opts.text, *own = ts_engine_chat_template(c->e, 0, NULL, &len);
    if (text) chat_note(c, "%s", text);
    else if (!c->template.opts.name && own && len) chat_note(c, "%.*s", (int)(len < INT_MAX ? len : INT_MAX), own);
}

static void show(chat *c, char *args) {
    char none[] = "";
    if (!*args || !strcmp(args, "info") || !strcmp(args, "model")) show_model(c);
    else if (!strcmp(args, "system")) system_prompt(c, none);
    else if (!strcmp(args, "template")) show_template(c);
    else if (!strcmp(args, "parameters") || !strcmp(args, "params")) show_options(c);
    else if (!strcmp(args, "all") || !strcmp(args, "modelfile")) show_model(c), system_prompt(c, none), show_options(c);
    else chat_refuse(c, "/show %s is not known; there are /show info, system, template, parameters and all", args);
}

static void model(chat *c, char *args) {
    if (!*args) {
        show_model(c);
        chat_note(c, "/model FILE goes on with another model");
    } else if (chat_open_model(c, args)) {
        CONFIRM(c, "the conversation goes on with it: %zu exchange%s", c->talk.n, c->talk.n == 1 ? "" : "s");
    }
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void stats(chat *c, char *args) {
    (void)args;
    chat_print_stats(c);
}

static void help(chat *c, char *args) {
    (void)args;
#define LINE(name, args, text, fn) {"/" name args, text},
    static const char *const lines[][2] = {
        CHAT_COMMANDS(LINE){"\"\"\"", "begins a longer message; at the end of a line: ends it"},
        {"\\", "at the end of a line: the message goes on in the next one"},
        {"Tab, Up, Ctrl-R", "complete a command, earlier lines, search in them"},
        {"Ctrl-C, Ctrl-D", "stop an answer, leave"}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) chat_note(c, "  %-18s %s", lines[i][0], lines[i][1]);
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
    } commands[] = {CHAT_COMMANDS(ENTRY){"?", help}, {"exit", bye}, {"quit", bye}, {"q", bye}, {"clear", reset},
                    {"new", reset}, {"regen", retry}, {"regenerate", retry}, {"info", show}};
    char *args = split(line);
    for (size_t n = strlen(args); n && strchr(" \t", args[n - 1]);) args[--n] = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(line + 1, commands[i].name)) {
            commands[i].run(c, args);
            return;
        }
    cli_nearest near = {.word = line + 1, .len = strlen(line + 1)};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        cli_nearest_offer(&near, commands[i].name, strlen(commands[i].name));
    if (near.found)
        chat_refuse(c, "unknown command %s; did you mean /%.*s? /help lists all", line, (int)near.found_len,
                    near.found);
    else
        chat_refuse(c, "unknown command %s; /help lists them, and a message that begins with / goes between \"\"\"",
                    line);
}

/* ---- Tab --------------------------------------------------------------------------------------------------------- */

static void offer_settings(chat *c, const char *typed, cli_words *out) {
    static const char *const switches[] = {"system ", "verbose", "quiet", "wordwrap", "nowordwrap"};
    cli_opt table[CHAT_OPTIONS];
    char name[40];
    chat_settings_table(&c->settings, table);
    for (const cli_opt *o = table; !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_GROUP) continue;
        snprintf(name, sizeof name, "%s ", o->name);
        cli_words_add(out, name, typed);
    }
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) cli_words_add(out, switches[i], typed);
    cli_words_sort(out);
}

void chat_complete(void *ud, const char *line, size_t *from, cli_words *out) {
    chat *c = ud;
    if (*line != '/') return;
    const char *args = strchr(line, ' ');
    if (!args) {
#define OFFER(name, args, text, fn) cli_words_add(out, *args "" ? "/" name " " : "/" name, line);
        CHAT_COMMANDS(OFFER)
        cli_words_sort(out);
        *from = 0;
        return;
    }
    const size_t len = (size_t)(args - line);
    args += strspn(args, " ");
    *from = (size_t)(args - line);
    static const char *const files[] = {"/save", "/load", "/read", "/model"}, *const shows[] = {"info", "system",
                                                                                                "template",
                                                                                                "parameters", "all"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (len == strlen(files[i]) && !memcmp(line, files[i], len)) cli_words_add_files(out, args);
    if (strchr(args, ' ')) return; /* what follows the first word is free */
    if (len == 5 && !memcmp(line, "/show", 5))
        for (size_t i = 0; i < sizeof shows / sizeof *shows; i++) cli_words_add(out, shows[i], args);
    if ((len == 4 && !memcmp(line, "/set", 4)) || (len == 6 && !memcmp(line, "/unset", 6)))
        offer_settings(c, args, out);
}
