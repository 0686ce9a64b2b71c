/* main.c - the program: find the subcommand and run it. */
#include "base/printable.h"
#include "cli/bus.h"
#include "cli/commands.h"
#include "cli/output.h"

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

static const cli_command *find(const char *name) {
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (!strcmp(name, (*c)->name)) return *c;
    return NULL;
}

static int run(const cli_command *c, int argc, char **argv) {
    return cli_output_end(c->run(c, argc, argv));
}

/* Every command's options in the language of man pages, for docs/man. */
static void print_manual(const cli_command *const *list) {
    for (; *list; list++) {
        char name[32], help[] = "--help-roff", *argv[] = {name, help, NULL};
        snprintf(name, sizeof name, "%s", (*list)->name);
        if ((*list)->parts) print_manual((*list)->parts);
        else (*list)->run(*list, 2, argv);
    }
}

static int unknown(const char *command) {
    char shown[100];
    ts_printable(shown, sizeof shown, command, strlen(command));
    fprintf(stderr, "tessera: unknown %s \"%s\" (see tessera --help)\n", *command == '-' ? "option" : "command", shown);
    return CLI_USAGE;
}

int main(int argc, char **argv) {
    /* a closed standard output and a full file are errors from write, not deaths */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    cli_catch_bus_error();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *first = argv[1];
    const cli_command *command = find(first);
    if (command) return run(command, argc - 1, argv + 1);
    if (!strcmp(first, "help") && argc > 2) { /* tessera help COMMAND */
        char help[] = "--help", *args[] = {argv[2], help, NULL};
        command = find(argv[2]);
        return command ? run(command, 2, args) : unknown(argv[2]);
    }
    if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help")) {
        print_help(stdout);
        return cli_output_end(CLI_OK);
    }
    if (!strcmp(first, "--version") || !strcmp(first, "version")) {
        printf("tessera %s\n", TESSERA_VERSION);
        return cli_output_end(CLI_OK);
    }
    if (!strcmp(first, "--help-roff")) {
        print_manual(cli_commands);
        return cli_output_end(CLI_OK);
    }
    return unknown(first);
}
