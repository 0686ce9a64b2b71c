/* main.c - the program: find the subcommand and run it. */
#include "base/printable.h"
#include "cli/bus.h"
#include "cli/commands.h"
#include "cli/foreign.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void print_help(FILE *out) {
    fprintf(out, "Usage: tessera COMMAND [options]\n\n"
                 "Runs quantised Llama-family models on a laptop's CPU, and their linear layers on\n"
                 "its AMD NPU, with the same bits everywhere.\n\n"
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

static void put_manual(void *ud, const cli_command *c, const cli_opt *opts) {
    (void)ud;
    cli_help_roff(c, opts);
}

/* Every command's options in the language of man pages, for docs/man. */
static void print_manual(const cli_command *const *list) {
    for (; *list; list++)
        if ((*list)->parts) print_manual((*list)->parts);
        else cli_options_of(*list, put_manual, NULL);
}

/* One line on a first argument that is neither a command nor an option of the program. */
static int unknown(const char *first) {
    char shown[100];
    ts_printable(shown, sizeof shown, first, strlen(first));
    fprintf(stderr, "tessera: ");
    const char *say = *first == '-' ? NULL : cli_foreign_command(first), *dot = strrchr(first, '.');
    if (say) {
        fprintf(stderr, "unknown command \"%s\": %s", shown, say);
    } else if (*first == '-') {
        fprintf(stderr, "unknown option \"%s\"", shown);
        if (strcmp(first, "-") != 0)
            fprintf(stderr, ": options stand behind a command, as in tessera run -m FILE.gguf -p TEXT");
    } else if ((dot && !strcasecmp(dot, ".gguf")) || strchr(first, '/')) {
        fprintf(stderr,
                "\"%s\" is no command; for a model: tessera chat FILE.gguf, or tessera run FILE.gguf \"your question\"",
                shown);
    } else {
        cli_nearest near = {.word = first, .len = strlen(first)};
        for (const cli_command *const *c = cli_commands; *c; c++)
            cli_nearest_offer(&near, (*c)->name, strlen((*c)->name));
        fprintf(stderr, "unknown command \"%s\"", shown);
        if (near.found) fprintf(stderr, "; did you mean %s?", near.found);
    }
    fprintf(stderr, " (see tessera --help)\n");
    return CLI_USAGE;
}

/* tessera help [COMMAND...], where the words name a command or one of its parts */
static int help(int argc, char **argv) {
    if (argc == 0) {
        print_help(stdout);
        return cli_output_end(CLI_OK);
    }
    const cli_command *command = find(argv[0]);
    if (!command) return unknown(argv[0]);
    char option[] = "--help", *args[] = {argv[0], option, NULL, NULL};
    if (command->parts && argc > 1) args[1] = argv[1], args[2] = option;
    return run(command, args[2] ? 3 : 2, args);
}

int main(int argc, char **argv) {
    /* a closed standard output and a full file are errors from write, not deaths */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    cli_catch_bus_error();
    ts_log_sink(cli_progress_log, NULL, TS_LOG_INFO);
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *first = argv[1];
    const cli_command *command = find(first);
    if (command) return run(command, argc - 1, argv + 1);
    if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help") || !strcmp(first, "-help"))
        return help(argc - 2, argv + 2);
    if (!strcmp(first, "--version") || !strcmp(first, "version") || !strcmp(first, "-V") || !strcmp(first, "-v")) {
        printf("tessera %s\n", TESSERA_VERSION);
        return cli_output_end(CLI_OK);
    }
    if (!strcmp(first, "--help-roff")) {
        print_manual(cli_commands);
        return cli_output_end(CLI_OK);
    }
    return unknown(first);
}
