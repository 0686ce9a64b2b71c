#include "cli/commands.h"

#include "cli/cmd_npu.h"

#include <stddef.h>

const cli_command *const cli_commands[] = {
    &cmd_npu,
    NULL,
};
