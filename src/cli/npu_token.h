/* npu_token.h - what a token of a model of that shape costs on an NPU, real or simulated. */
#ifndef TS_CLI_NPU_TOKEN_H
#define TS_CLI_NPU_TOKEN_H

#include "cli/common.h"

/* Runs one layer of each kind and the output layer at true size, prints a table or JSON. An exit code. */
int cli_npu_token(const cli_command *cmd, const cli_model *m, const char *shape, const char *type, long threads,
                  bool json);

#endif
