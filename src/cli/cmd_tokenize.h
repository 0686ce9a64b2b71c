/* cmd_tokenize.h - tessera tokenize. Depends on: opt.h. */
#ifndef TS_CLI_CMD_TOKENIZE_H
#define TS_CLI_CMD_TOKENIZE_H

#include "cli/opt.h"

extern const cli_command cmd_tokenize;

#endif
