/* template_opts.h - the options that say how messages become a prompt, for run, chat and template. */
#ifndef TS_CLI_TEMPLATE_OPTS_H
#define TS_CLI_TEMPLATE_OPTS_H

#include "cli/common.h"

#include <jansson.h>

typedef struct cli_template { /* zero-initialise; free with cli_template_free */
    const char *name, *file, *now, *tools, *documents;
    cli_list vars;
    /* filled in by cli_template_read; borrows from here */
    ts_chat_opts opts;
    ts_buf text;
    json_t *all;     /* the variables, with tools and documents */
    char *all_text;  /* the same as text, for opts */
} cli_template;

#define CLI_TEMPLATE_VAR_OPTS(t)                                                                                       \
    {CLI_LIST, 0, "template-var", "NAME=VALUE", &(t).vars, 0, 0,                                                       \
     "a variable for the template: JSON, such as enable_thinking=false, or else a text; repeatable"},                  \
        {CLI_STR, 0, "now", "TIME", &(t).now, 0, 0,                                                                    \
         "the time that the template is told, as in 2024-07-26T12:00:00 (default: the clock's)"}
#define CLI_TEMPLATE_OPTS(t)                                                                                           \
    {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Chat template"},                                                           \
        CLI_TEMPLATE_OPT((t).name),                                                                                    \
        {CLI_STR, 0, "chat-template-file", "FILE", &(t).file, 0, 0, "use the Jinja template in FILE",                  \
         .values = "@file"},                                                                                           \
        CLI_TEMPLATE_VAR_OPTS(t),                                                                                      \
        {CLI_STR, 0, "tools", "FILE", &(t).tools, 0, 0, "tools that the model may call: a JSON list",                  \
         .values = "@file"},                                                                                           \
        {CLI_STR, 0, "documents", "FILE", &(t).documents, 0, 0, "documents for the template: a JSON list",             \
         .values = "@file"}

/* Read what the options name: CLI_OK, or an exit code after one line to standard error. */
int cli_template_read(const cli_command *cmd, cli_template *t);
void cli_template_free(cli_template *t);

/* One line for an error of ts_engine_chat; returns CLI_FAIL: a conversation that the template refuses is no wrong
 * usage. A model without a template, or with one that cannot be read, gets the ways out. `more`: one of the
 * command's own ("or use
 * --raw"), NULL: none. */
int cli_template_fail(ts_err *err, ts_status s, const char *more);

#endif
