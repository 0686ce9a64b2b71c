/* cmd_npu.c - `tessera npu`: tools around the NPU, dispatched by their own names. */
#include "cli/cmd_npu.h"
#include "cli/commands.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const cli_command *const SUBCOMMANDS[] = {
    &cmd_npu_asm,
    &cmd_npu_dis,
    &cmd_npu_exec,
    &cmd_npu_replay,
    &cmd_npu_selftest,
    NULL,
};

static void print_help(FILE *out) {
    fprintf(out, "Usage: tessera npu COMMAND [options]\n\n%c%s.\n\nCommands:\n", toupper(*cmd_npu.summary), cmd_npu.summary + 1);
    for (const cli_command *const *c = SUBCOMMANDS; *c; c++)
        fprintf(out, "  %-12s %s\n", strchr((*c)->name, ' ') + 1, (*c)->summary);
    fprintf(out, "\n  tessera npu COMMAND --help tells more.\n");
}

static int run(const cli_command *self, int argc, char **argv) {
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    for (const cli_command *const *c = SUBCOMMANDS; *c; c++)
        if (!strcmp(argv[1], strchr((*c)->name, ' ') + 1)) return (*c)->run(*c, argc - 1, argv + 1);
    return cli_usage_error(self, "unknown command \"%s\"", argv[1]);
}

const cli_command cmd_npu = {
    .name = "npu",
    .args = "COMMAND",
    .parts = SUBCOMMANDS,
    .summary = "test the NPU; assemble, disassemble and run programs of its cores",
    .run = run,
};
