/* cmd_npu.c - `tessera npu`: tools around the NPU, dispatched by their own names. */
#include "cli/cmd_npu.h"
#include "cli/commands.h"
#include "cli/nearest.h"

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
    fprintf(out, "Usage: tessera npu COMMAND [options]\n\n%c%s.\n\nCommands:\n", toupper(*cmd_npu.summary),
            cmd_npu.summary + 1);
    for (const cli_command *const *c = SUBCOMMANDS; *c; c++)
        fprintf(out, "  %-12s %s\n", strchr((*c)->name, ' ') + 1, (*c)->summary);
    fprintf(out, "\n  tessera npu COMMAND --help tells more.\n");
}

static int run(const cli_command *self, int argc, char **argv) {
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"));
    if (help && argc > 2 && argv[2][0] != '-') { /* npu help asm */
        char option[] = "--help", *args[] = {argv[0], argv[2], option, NULL};
        return run(self, 3, args);
    }
    if (argc < 2 || help) {
        print_help(help ? stdout : stderr);
        return help ? CLI_OK : CLI_USAGE;
    }
    cli_nearest near = {.word = argv[1], .len = strlen(argv[1])};
    for (const cli_command *const *c = SUBCOMMANDS; *c; c++) {
        const char *name = strchr((*c)->name, ' ') + 1;
        if (!strcmp(argv[1], name)) return (*c)->run(*c, argc - 1, argv + 1);
        cli_nearest_offer(&near, name, strlen(name));
    }
    if (argv[1][0] == '-')
        return cli_usage_error(self, "unknown option %s: options stand behind one of its commands", argv[1]);
    return cli_usage_error(self, near.found ? "unknown command \"%s\"; did you mean %s?" : "unknown command \"%s\"",
                           argv[1], near.found);
}

const cli_command cmd_npu = {
    .name = "npu",
    .args = "COMMAND",
    .parts = SUBCOMMANDS,
    .summary = "test the NPU; assemble, disassemble and run programs of its cores",
    .run = run,
};
