#include "cli/help.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, COLUMN = 26 /* where the help of an option begins */ };

/* Summaries begin with a small letter, for the list of commands. */
static void put_sentence(const char *s) {
    putchar(toupper((unsigned char)*s));
    printf("%s.\n", s + 1);
}

/* Characters of UTF-8 text, one column each. */
static int columns(const char *s, size_t len) {
    int n = 0;
    for (size_t i = 0; i < len; i++) n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* Words up to `end`, from column `at` on, in lines that begin at column `left`. No line break behind the last. */
static void put_words(const char *s, const char *end, int at, int left) {
    bool first = true;
    while (s < end) {
        size_t len = strcspn(s, " \n");
        if (len > (size_t)(end - s)) len = (size_t)(end - s);
        int n = columns(s, len);
        if (len) {
            if (!first && at + 1 + n > WIDTH) printf("\n%*s", left, ""), at = left;
            else if (!first) putchar(' '), at++;
            printf("%.*s", (int)len, s);
            at += n;
            first = false;
        }
        s += len + 1;
    }
}

/* Paragraphs, broken into lines; lines that begin with a space stand as they are. */
static void put_text(const char *s) {
    for (const char *end; *s; s = end) {
        end = s + strcspn(s, "\n");
        end += *end == '\n';
        if (*s == ' ' || *s == '\n') {
            printf("%.*s", (int)(end - s), s);
            if (end[-1] != '\n') putchar('\n');
            continue;
        }
        while (*end && *end != ' ' && *end != '\n') {
            end += strcspn(end, "\n");
            end += *end == '\n';
        }
        put_words(s, end, 0, 0);
        putchar('\n');
    }
}

/* "-c, --ctx, --ctx-size N" */
static int put_names(const cli_opt *o) {
    int n = o->letter ? printf("  -%c%s", o->letter, o->name ? ", " : "") : printf("      ");
    if (o->name) n += printf("--%s", o->name);
    for (const char *p = o->also; p && *p;) {
        size_t len = strcspn(p, " ");
        n += printf(", %.*s", (int)len, p);
        p += len + strspn(p + len, " ");
    }
    return n + (o->arg ? printf(" %s", o->arg) : 0);
}

static void put_option(const cli_opt *o) {
    int at = put_names(o);
    if (at > COLUMN - 2) printf("\n%*s", COLUMN, "");
    else printf("%*s", COLUMN - at, "");
    put_words(o->help, o->help + strlen(o->help), COLUMN, COLUMN);
    putchar('\n');
}

void cli_help(const cli_command *cmd, const cli_opt *opts) {
    static const cli_opt help = {.kind = CLI_FLAG, .letter = 'h', .name = "help", .help = "this text"};
    printf("Usage: tessera %s [options]%s%s\n\n", cmd->name, *cmd->args ? " " : "", cmd->args);
    put_sentence(cmd->summary);
    if (cmd->text) putchar('\n'), put_text(cmd->text);
    if (opts->kind != CLI_GROUP || cli_opt_is_end(opts)) printf("\nOptions:\n");
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind == CLI_GROUP) printf("\n%s:\n", o->help);
        else put_option(o);
    printf("\n");
    put_option(&help);
}

/* ---- the manual page --------------------------------------------------------------------------------------------- */

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

static void put_roff_option(const cli_opt *o) {
    printf(".TP\n");
    if (o->letter) printf("\\fB\\-%c\\fR%s", o->letter, o->name ? ", " : "");
    if (o->name) {
        printf("\\fB\\-\\-");
        put_roff(o->name, strlen(o->name), false);
        printf("\\fR");
    }
    for (const char *p = o->also; p && *p;) {
        size_t len = strcspn(p, " ");
        printf(", \\fB");
        put_roff(p, len, false);
        printf("\\fR");
        p += len + strspn(p + len, " ");
    }
    if (o->arg) printf(" \\fI%s\\fR", o->arg);
    putchar('\n');
    put_roff(o->help, strlen(o->help), true);
    putchar('\n');
}

void cli_help_roff(const cli_command *cmd, const cli_opt *opts) {
    printf(".SS \"tessera %s [options]%s%s\"\n", cmd->name, *cmd->args ? " " : "", cmd->args);
    put_sentence(cmd->summary);
    if (cmd->text) printf(".PP\n"), put_roff_text(cmd->text);
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind == CLI_GROUP) printf(".PP\n.B %s:\n", o->help);
        else put_roff_option(o);
}
