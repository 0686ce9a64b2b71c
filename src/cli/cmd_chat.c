/* cmd_chat.c - tessera chat: a conversation at the terminal, or from a pipe. */
#include "cli/cmd_chat.h"

#include "base/printable.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/repl_input.h"
#include "cli/term.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- remarks ----------------------------------------------------------------------------------------------------- */

/* On a terminal a remark may have several lines (a system prompt, the list of commands); in a pipe it is one line
 * behind the program's name, but for the lists that /help, /set and /stats print. */
static void say(chat *c, const char *text, bool dim) {
    fflush(stdout);
    if (c->terminal) cli_term_print(c->screen, text, dim);
    else fprintf(stderr, "%s\n", text);
}

static void say_format(chat *c, bool failed, const char *fmt, va_list ap) {
    ts_buf raw = {0}, shown = {0};
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    bool ok = n >= 0 && ts_buf_reserve(&raw, (size_t)n + 1) && ts_buf_reserve(&shown, 200);
    if (ok) {
        vsnprintf(raw.data, (size_t)n + 1, fmt, again);
        if (failed && !c->terminal) ok = ts_buf_puts(&shown, "tessera chat: ");
        /* line by line: breaks stay, control characters do not */
        for (char *line = raw.data, *next; ok && line; line = next) {
            next = strchr(line, '\n');
            size_t len = next ? (size_t)(next++ - line) : strlen(line), room = 6 * len + 8;
            ok = (line == raw.data || ts_buf_putc(&shown, failed ? ' ' : '\n')) && ts_buf_reserve(&shown, room);
            if (ok) shown.len += ts_printable(shown.data + shown.len, room, line, len);
        }
    }
    va_end(again);
    say(c, ok ? shown.data : "out of memory", !failed);
    ts_buf_free(&raw);
    ts_buf_free(&shown);
}

void chat_note(chat *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say_format(c, false, fmt, ap);
    va_end(ap);
}

void chat_refuse(chat *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    c->failed = true;
    say_format(c, true, fmt, ap);
    va_end(ap);
}

void chat_fail(chat *c, const ts_err *err) {
    chat_refuse(c, "%s", err->msg);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void banner(chat *c) {
    char name[100], n[20], size[20], device[100];
    const char *model = c->info.name && *c->info.name ? c->info.name : c->model.path;
    ts_printable(name, sizeof name, model, strlen(model));
    chat_note(c, "%s: %s, %s parameters, %s; template %s; context %u", name, c->info.arch,
              cli_count_text(n, (double)c->info.n_params), cli_bytes_text(size, (double)c->info.file_bytes),
              chat_template_name(c), ts_session_n_ctx(c->s));
    chat_note(c, "device: %s", cli_device_text(device, &c->info));
}

static void take_message(chat *c, cli_input *in) {
    if (memchr(in->text.data, 0, in->text.len)) {
        chat_refuse(c, "the message contains a NUL byte, which a chat template cannot carry");
        return;
    }
    if (!in->literal && in->text.data[0] == '/') {
        chat_command(c, in->text.data);
        return;
    }
    bool empty = true;
    for (const char *p = in->text.data; *p && empty; p++) empty = strchr(" \t\r\n", *p) != NULL;
    if (empty) return;
    ts_buf clean = {0};
    if (cli_utf8_clean(&clean, in->text.data, in->text.len)) chat_answer(c, clean.data);
    else chat_refuse(c, "out of memory");
    ts_buf_free(&clean);
}

/* The line has been read: what became of the message that it belongs to. */
static void take_line(chat *c, cli_input *in, cli_line got, const ts_buf *line, const ts_err *err) {
    switch (got) {
    case CLI_LINE_TEXT:
        if (!cli_input_line(in, line->data ? line->data : "", line->len)) chat_refuse(c, "out of memory");
        break;
    case CLI_LINE_INTERRUPTED:
        cli_interrupt_clear();
        if (!c->terminal) c->leave = c->failed = true;
        else if (in->state == CLI_INPUT_EMPTY && !cli_repl_dropped_text(c->repl))
            chat_note(c, "(Ctrl-D or /bye leaves)");
        cli_input_clear(in);
        break;
    case CLI_LINE_END:
        c->leave = true;
        if (c->terminal) cli_input_clear(in);
        else if (cli_input_end(in))
            fprintf(stderr, "tessera chat: the input ends within a message; it is taken as it is\n");
        break;
    case CLI_LINE_FAILED:
        chat_fail(c, err);
        cli_input_clear(in);
        c->leave = true;
        break;
    }
}

static int converse(chat *c) {
    cli_input in = {0};
    ts_buf line = {0};
    ts_err err;
    while (!c->leave && !c->gone) {
        bool first = in.state == CLI_INPUT_EMPTY;
        cli_line got = cli_repl_read(c->repl, first ? ">>> " : "... ", &line, &err);
        take_line(c, &in, got, &line, &err);
        if (in.state != CLI_INPUT_WHOLE) continue;
        cli_repl_remember(c->repl, in.typed.data);
        take_message(c, &in);
        cli_input_clear(&in);
        if (cli_interrupted() && !c->terminal) c->leave = c->failed = true;
        cli_interrupt_clear(); /* it was about the answer, not about the next line */
    }
    cli_input_free(&in);
    ts_buf_free(&line);
    int sig = cli_repl_signal(c->repl);
    if (sig) raise(sig); /* the editor has given the terminal back; now it may take its course */
    return c->gone || (c->failed && !c->terminal) ? CLI_FAIL : CLI_OK;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

/* Everything that can be wrong with the options is told before the first prompt. */
static int check(chat *c) {
    ts_err err;
    ts_status s = chat_check_template(c, &err);
    if (s != TS_OK) return cli_template_fail(&err, s, NULL);
    ts_sampler *sampler;
    int code = cli_open_sampler(c->cmd, &c->settings.sampling, c->e, &sampler);
    if (code == CLI_OK) ts_sampler_free(sampler);
    if (code == CLI_OK) code = cli_constrain_open(c->cmd, &c->constrain, c->e);
    return code;
}

bool chat_open_model(chat *c, const char *path) {
    const chat old = *c;
    char *copy = ts_strdup(path);
    ts_err err;
    int code = CLI_FAIL;
    if (!copy) {
        (void)ts_fail_nomem(&err, path, strlen(path));
        chat_fail(c, &err);
        return false;
    }
    c->model.path = c->model_path = copy;
    c->model.bundled = false;
    c->e = NULL, c->s = NULL, c->constrain.constraint = NULL;
    code = cli_open_engine(c->cmd, &c->model, &c->e);
    if (code == CLI_OK) {
        ts_engine_info(c->e, &c->info);
        code = check(c);
    }
    if (code == CLI_OK) code = cli_open_session(c->cmd, &c->model, c->e, &c->s);
    const chat *gone = code == CLI_OK ? &old : c;
    ts_constraint_free(gone->constrain.constraint);
    ts_session_free(gone->s);
    ts_engine_close(gone->e);
    ts_free(gone->model_path);
    if (code == CLI_OK) {
        c->n_cached = 0;
        if (c->terminal) banner(c);
        return true;
    }
    *c = old;
    c->failed = true;
    return false;
}

static int start(chat *c) {
    ts_err err;
    int code = cli_open_engine(c->cmd, &c->model, &c->e);
    if (code) return code;
    ts_engine_info(c->e, &c->info);
    code = check(c);
    if (code == CLI_OK) code = cli_open_session(c->cmd, &c->model, c->e, &c->s);
    if (code) return code;
    c->terminal = isatty(STDIN_FILENO) && (isatty(STDOUT_FILENO) || isatty(STDERR_FILENO));
    c->screen = isatty(STDOUT_FILENO) ? stdout : stderr;
    if (cli_repl_open(&c->repl, c->terminal, c->history, &err) != TS_OK) return cli_fail(&err);
    cli_repl_completion(c->repl, chat_complete, c);
    if (c->terminal) {
        banner(c);
        chat_note(c, "/help lists the commands. Ctrl-C stops an answer, Ctrl-D leaves.%s",
                  cli_repl_edits(c->repl) ? "" : " (No line editing: built without libedit.)");
    }
    code = converse(c);
    int agrees = cli_report_ledger(&c->model, c->e, true);
    return code ? code : agrees;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    chat c = {.cmd = cmd, .history = true, .settings = {.sampling = cli_sampling_defaults()}};
    const char *system = NULL;
    const cli_opt opts[] = {
        {CLI_STR, 0, "system", "TEXT", &system, 0, 0, "system prompt", .also = "-sys --system-prompt"},
        {CLI_INT, 'n', "predict", "N", &c.settings.n_predict, -1, 1 << 24,
         "at most N tokens an answer (default 0 or -1: until it ends)", .also = "--n-predict --max-tokens"},
        {CLI_FLAG, 'v', "verbose", NULL, &c.verbose, 0, 0, "statistics after every answer"},
        {CLI_FLAG, 0, "auto-trim", NULL, &c.auto_trim, 0, 0,
         "when the context is full, forget the oldest exchanges and say so"},
        {CLI_FLAG_OFF, 0, "no-history", NULL, &c.history, 0, 0, "neither read nor write the file of typed lines"},
        CLI_CONSTRAIN_OPTS(c.constrain),
        CLI_TEMPLATE_OPTS(c.template),
        CLI_MODEL_OPTS(c.model),
        CLI_SAMPLING_OPTS(c.settings.sampling),
        {0},
    };
    cli_list rest = {0};
    ts_err err;
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK) code = cli_take_hf(cmd, &c.model);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_MODEL, &rest, &c.model.path, NULL, NULL);
    if (code == CLI_OK) code = cli_template_read(cmd, &c.template);
    cli_catch_interrupt();
    if (code == CLI_OK && !chat_talk_set_system(&c.talk, system)) {
        (void)ts_fail_nomem(&err, "the system prompt", strlen(system));
        code = cli_fail(&err);
    }
    if (code == CLI_OK) code = start(&c);
    cli_repl_close(c.repl);
    chat_talk_free(&c.talk);
    chat_settings_free(&c.settings);
    cli_template_free(&c.template);
    cli_constrain_free(&c.constrain);
    ts_session_free(c.s);
    ts_engine_close(c.e);
    ts_free(c.model_path);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_chat = {
    .name = "chat",
    .args = "[MODEL]",
    .files = "@model",
    .summary = "talk with a model",
    .text =
        "Lines typed at the prompt are edited and kept in a history ($XDG_STATE_HOME/tessera/history, or\n"
        "~/.local/state/tessera/history). Ctrl-C stops an answer, and what there is of it stays in the conversation;\n"
        "at the prompt it clears the line. Ctrl-D leaves.\n"
        "\n"
        "Where standard input is not a terminal, every line (or block between \"\"\") is a message. Answers go to\n"
        "standard output, everything else to standard error. Exit code: 0 at the end of the input, 1 where a message\n"
        "got no whole answer or a command failed, 2 wrong usage.\n"
        "\n"
        "When the context is full, nothing is dropped behind your back: the answer ends, the next message is refused,\n"
        "and both are told. /trim forgets the oldest exchanges, /reset all of them, --ctx N makes room from the start. "
        "With\n"
        "--auto-trim the oldest exchanges make room until half of the context is free, and that is told.\n"
        "\n"
        "Commands:\n" CHAT_HELP,
    .run = run,
};
