/* commands.h - the subcommands of the program; each stands in its own cmd_<name>.c. */
#ifndef TS_CLI_COMMANDS_H
#define TS_CLI_COMMANDS_H

#include "cli/opt.h"

/* The list that main.c dispatches on and that `tessera --help` prints, ended by NULL. */
extern const cli_command *const cli_commands[];

extern const cli_command cmd_run, cmd_chat, cmd_eval, cmd_bench, cmd_convert, cmd_quantize, cmd_imatrix, cmd_tokenize,
    cmd_template, cmd_constrain, cmd_inspect, cmd_pull, cmd_list, cmd_rm, cmd_npu, cmd_serve, cmd_completion;

#endif
