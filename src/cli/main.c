/* main.c - the program: find the subcommand and run it. */
#include "cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void print_help(FILE *out) {
    fprintf(out, "Usage: tessera COMMAND [options]\n\n"
                 "Runs quantised Llama-family models on a laptop's NPU, CPU and GPU, with the same bits everywhere.\n\n"
                 "Commands:\n");
    for (const cli_command *const *c = cli_commands; *c; c++) fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\n  tessera COMMAND --help tells more; tessera --version prints the version.\n");
}

/* What was printed must have arrived: a full disk or a closed pipe is a failure of the command. */
static int flush_output(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (errno != EPIPE) fprintf(stderr, "tessera: cannot write to standard output: %s\n", strerror(errno));
    return code ? code : CLI_FAIL;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed standard output is an error from write, not a death */
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return flush_output(CLI_OK);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("tessera %s\n", TESSERA_VERSION);
        return flush_output(CLI_OK);
    }
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (!strcmp(argv[1], (*c)->name)) return flush_output((*c)->run(*c, argc - 1, argv + 1));
    fprintf(stderr, "tessera: unknown command \"%s\" (see tessera --help)\n", argv[1]);
    return CLI_USAGE;
}
