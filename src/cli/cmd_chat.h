/* cmd_chat.h - what the files of tessera chat know about each other. */
#ifndef TS_CLI_CMD_CHAT_H
#define TS_CLI_CMD_CHAT_H

#include "cli/cmd_chat_talk.h"
#include "cli/constrain_opts.h"
#include "cli/repl.h"
#include "cli/stats.h"
#include "cli/template_opts.h"

#include <stdio.h>

typedef struct chat {
    const cli_command *cmd;
    cli_model model;
    char *model_path; /* owned; NULL: the path came from elsewhere */
    chat_settings settings;
    cli_template template;
    cli_constrain constrain;
    bool verbose, history, auto_trim;
    bool warned; /* the context is nearly full, and that was told */
    ts_engine *e;
    ts_session *s;
    ts_model_info info;
    chat_talk talk;
    cli_repl *repl;
    bool terminal;  /* a person sits there: prompts, notes; otherwise a pipe */
    FILE *screen;   /* where notes go */
    bool drop_space; /* the template writes a space in front of answers: the model's own is not part of the text */
    bool failed;     /* something was asked for and not done: the exit code of a pipe */
    bool gone;       /* standard output is */
    bool leave;
    size_t n_cached; /* exchanges after the last answer: as long as there are so many, the session has all of them */
    cli_counts last, all;
    ts_stop_reason last_reason;
    long last_seed; /* -1: it meant nothing */
} chat;

/* A remark for the person at the terminal, or a line to standard error. */
TS_PRINTF(2, 3) void chat_note(chat *c, const char *fmt, ...);
/* The same for something that went wrong. */
void chat_fail(chat *c, const ts_err *err);
TS_PRINTF(2, 3) void chat_refuse(chat *c, const char *fmt, ...);

/* Go on with the model in that file, with its own KV cache. false, after a word about it: everything is as it was. */
bool chat_open_model(chat *c, const char *path);

/* ---- cmd_chat_answer.c */

/* What the template is called: of the options, or the model's own. */
const char *chat_template_name(const chat *c);
/* Is there a template, and does it take this system prompt? Also learns how the template treats answers. */
TS_NODISCARD ts_status chat_check_template(chat *c, ts_err *err);
/* Answer `user`: prints the answer as it comes and puts the exchange into the conversation. Without an answer (an
 * error, no room, stopped before it began), which has been told, the conversation is as it was: returns false. */
bool chat_answer(chat *c, const char *user);
/* The tokens of the exchanges from `first` on as a prompt, with a new message (NULL: none). */
TS_NODISCARD ts_status chat_count(chat *c, size_t first, const char *user, size_t *n, ts_err *err);
/* Tokens that the conversation takes of the context, as it is now. */
size_t chat_used(chat *c);
void chat_print_stats(chat *c);
/* Lines about the last answer. */
void chat_print_last(chat *c);

/* ---- cmd_chat_commands.c */

/* One table: names, arguments, help, function. */
#define CHAT_COMMANDS(X)                                                                                               \
    X("system", " [TEXT]", "show or set the system prompt; \"\" removes it", system_prompt)                            \
    X("set", " [NAME VALUE]", "set an option, as in /set temp 0.7; alone: show all", set)                              \
    X("unset", " NAME", "back to the option's default", unset)                                                         \
    X("show", " [WHAT]", "info, system, template, parameters or all", show)                                            \
    X("reset", "", "forget the conversation, keep the settings (also /clear)", reset)                                  \
    X("undo", "", "take back the last message and its answer", undo)                                                   \
    X("retry", "", "answer the last message again, another seed (also /regen)", retry)                                 \
    X("trim", " [N]", "forget the N oldest exchanges; alone: half of the context", trim)                               \
    X("read", " FILE", "send the text of a file as a message", read_file)                                              \
    X("save", " FILE", "write conversation, system prompt and options (JSON)", save)                                   \
    X("load", " FILE", "read them back", load)                                                                         \
    X("model", " [FILE]", "show the model, or go on with another one", model)                                          \
    X("stats", "", "speed, use of the cache, context, memory, device", stats)                                          \
    X("help", "", "this list (also /?)", help)                                                                         \
    X("bye", "", "leave (also /exit, /quit, Ctrl-D)", bye)

#define CHAT_HELP_LINE(name, args, text, fn) "  /" name args "\n      " text "\n"
/* For --help and the manual. */
#define CHAT_HELP                                                                                                      \
    CHAT_COMMANDS(CHAT_HELP_LINE)                                                                                      \
    "  \"\"\"\n      begins a message of several lines and, at the end of a line, ends it\n"                           \
    "  \\\n      at the end of a line: the message goes on in the next one"

/* Carry out a line that begins with "/". */
void chat_command(chat *c, char *line);
/* A cli_complete_fn over the chat: commands, settings, names of files. */
void chat_complete(void *ud, const char *line, size_t *from, cli_words *out);

#endif
