#include "cli/help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { COLUMN = 33 }; /* where the help of an option begins */

/* Summaries begin with a small letter, for the list of commands. */
static void put_sentence(const char *s) {
    putchar(toupper((unsigned char)*s));
    printf("%s.\n", s + 1);
}

static void put_option(char letter, const char *name, const char *arg, const char *help) {
    char left[64], dash[5] = "    ";
    if (letter) snprintf(dash, sizeof dash, "-%c%s ", letter, name ? "," : " ");
    snprintf(left, sizeof left, "  %s%s%s%s%s", dash, name ? "--" : "", name ? name : "", arg ? " " : "", arg ? arg : "");
    printf("%-*s ", COLUMN - 1, left);
    if (strlen(left) >= COLUMN) printf("\n%*s", COLUMN, "");
    for (; *help; help++) { /* lines of the help stand below each other */
        putchar(*help);
        if (*help == '\n') printf("%*s", COLUMN, "");
    }
    putchar('\n');
}

void cli_help(const cli_command *cmd, const cli_opt *opts) {
    printf("Usage: tessera %s [options]%s%s\n\n", cmd->name, *cmd->args ? " " : "", cmd->args);
    put_sentence(cmd->summary);
    if (cmd->text) printf("\n%s\n", cmd->text);
    if (opts->kind != CLI_GROUP || cli_opt_is_end(opts)) printf("\nOptions:\n");
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind == CLI_GROUP) printf("\n%s:\n", o->help);
        else put_option(o->letter, o->name, o->arg, o->help);
    printf("\n");
    put_option('h', "help", NULL, "this text");
}

/* ---- the manual page -------------------------------------------------------------------------------------------- */

/* Text for roff: backslashes and hyphens escaped, no line begins with a control character. */
static void put_roff(const char *s, size_t len, bool line_start) {
    for (size_t i = 0; i < len; i++) {
        if (line_start && (s[i] == '.' || s[i] == '\'')) printf("\\&");
        line_start = s[i] == '\n';
        if (s[i] == '\\') printf("\\e");
        else if (s[i] == '-') printf("\\-");
        else putchar(s[i]);
    }
}

/* Paragraphs; lines that begin with a space are kept as they are. */
static void put_roff_text(const char *s) {
    bool kept = false;
    while (*s) {
        size_t len = strcspn(s, "\n");
        if (kept != (*s == ' ')) {
            kept = !kept;
            printf(kept ? ".RS 2\n.nf\n" : ".fi\n.RE\n");
        }
        if (len == 0) printf(".PP\n");
        else put_roff(s, len, true), putchar('\n');
        s += len + (s[len] == '\n');
    }
    if (kept) printf(".fi\n.RE\n");
}

static void put_roff_option(char letter, const char *name, const char *arg, const char *help) {
    printf(".TP\n");
    if (letter) printf("\\fB\\-%c\\fR%s", letter, name ? ", " : "");
    if (name) {
        printf("\\fB\\-\\-");
        put_roff(name, strlen(name), false);
        printf("\\fR");
    }
    if (arg) printf(" \\fI%s\\fR", arg);
    putchar('\n');
    put_roff(help, strlen(help), true);
    putchar('\n');
}

void cli_help_roff(const cli_command *cmd, const cli_opt *opts) {
    printf(".SS \"tessera %s [options]%s%s\"\n", cmd->name, *cmd->args ? " " : "", cmd->args);
    put_sentence(cmd->summary);
    if (cmd->text) printf(".PP\n"), put_roff_text(cmd->text);
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind == CLI_GROUP) printf(".PP\n.B %s:\n", o->help);
        else put_roff_option(o->letter, o->name, o->arg, o->help);
}
