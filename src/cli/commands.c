#include "cli/commands.h"

#include <stddef.h>

const cli_command *const cli_commands[] = {
    &cmd_run,
    &cmd_chat,
#ifdef TS_HAVE_SERVER
    &cmd_serve,
#endif
    &cmd_eval,
    &cmd_bench,
    &cmd_convert,
    &cmd_quantize,
    &cmd_imatrix,
    &cmd_tokenize,
    &cmd_template,
    &cmd_constrain,
    &cmd_inspect,
#ifdef TS_HAVE_HUB
    &cmd_pull,
    &cmd_list,
    &cmd_rm,
#endif
    &cmd_npu,
    &cmd_completion,
    NULL,
};
