/* opt.h - one table describes a command's options: it drives the parser, --help, the manual page and shell
 * completion. */
#ifndef TS_CLI_OPT_H
#define TS_CLI_OPT_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes of the program. */
enum { CLI_OK = 0, CLI_FAIL = 1 /* the work failed */, CLI_USAGE = 2 /* wrong flags or arguments */ };

/* Repeatable option: all values in order. Strings are borrowed from argv. */
typedef struct cli_list {
    const char **item;
    size_t n, cap;
} cli_list;

typedef enum cli_opt_kind {
    CLI_GROUP,    /* a heading in --help: `help` is the heading */
    CLI_FLAG,     /* bool *: set true, whatever its name */
    CLI_FLAG_OFF, /* bool *: set false; for "no-x" over a bool that says whether x is done */
    CLI_STR,      /* const char **: borrowed from argv */
    CLI_INT,      /* long *, within [min, max] */
    CLI_REAL,     /* double *, within [min, max], finite */
    CLI_LIST,     /* cli_list * */
} cli_opt_kind;

typedef struct cli_opt {
    cli_opt_kind kind;
    char letter;      /* 0: none */
    const char *name; /* without the dashes */
    const char *arg;  /* what the value is called in --help; NULL for flags */
    void *out;
    double min, max;  /* CLI_INT and CLI_REAL */
    const char *help; /* --help breaks it into lines itself: a line break counts as a space */
    /* may be left out: */
    const char *also;   /* other names, with their dashes and blanks between: "-sys --system-prompt" */
    const char
        *values; /* what the value can be, for shell completion: "@file", "@model" (a GGUF file), "@dir", or words with
                         * blanks between. CLI_STR takes no others, unless the last one is "..." */
    const char *behind; /* a value may go on behind one of these characters, with what somebody else understands */
} cli_opt;

typedef struct cli_command {
    const char *name;    /* behind "tessera"; with the command's own name in front for one of its parts: "npu asm" */
    const char *args;    /* behind the options in the usage line: "FILE", or "" */
    const char *summary; /* one line for the list of commands: small letter first, no full stop */
    /* paragraphs for --help, NULL: none; --help breaks them into lines, and lines that begin with a space stand as
     * they are (at most 80 characters) */
    const char *text;
    int (*run)(const struct cli_command *self, int argc, char **argv); /* argv[0] is the command's name */
    const struct cli_command *const *parts; /* commands of its own, ended by NULL; for manual and completion */
    const char *files; /* what plain arguments are, as cli_opt.values says it; NULL: there are none */
} cli_command;

/* The option of that name, long or from `also`, NULL where there is none; an underscore counts as a dash. Headings
 * are not options. */
const cli_opt *cli_opt_find(const cli_opt *opts, const char *name, size_t len);
/* The name in that table which `name` was probably meant to be, NULL where none is near. A long name, as the table
 * has it. */
const char *cli_opt_nearest(const cli_opt *opts, const char *name, size_t len);
bool cli_opt_is_end(const cli_opt *o); /* the entry behind the last option */
/* Store one value from text, as cli_parse does; `shown` is what the message calls the option. `value` is not used for
 * flags and must live as long as *out does. Errors: TS_E_INVAL for a value that does not fit, TS_E_NOMEM. */
TS_NODISCARD ts_status cli_opt_set(const cli_opt *o, const char *shown, const char *value, ts_err *err);

/* Parse argv[1..]. `opts` ends with a zeroed entry (kind CLI_GROUP, help NULL). Positional arguments go to `rest`
 * (borrowed; free rest->item). Accepts "--name value", "--name=value", "-x value", "-x=value", "-x5" (a number may
 * stand close), "--" and "-" as a positional. A name of several letters is taken whole, with one dash as with two:
 * "-ngl" is never "-n gl". Returns CLI_OK, CLI_USAGE after printing one line to standard error, or -1 after printing
 * --help or --version. A command does nothing more then, because cli_options_of relies on it. */
int cli_parse(const cli_command *cmd, const cli_opt *opts, int argc, char **argv, cli_list *rest);

/* Hand the option table of a command (one without parts) to `see`: tables live in the commands' functions, and nothing
 * but the table is looked at there. */
typedef void cli_see(void *ud, const cli_command *cmd, const cli_opt *opts);
void cli_options_of(const cli_command *cmd, cli_see *see, void *ud);

/* One line "tessera CMD: ..." to standard error; returns CLI_USAGE, with a pointer to --help. Here and in cli_fail
 * names and arguments of unknown origin are made printable: a message is one line and does not act on the terminal. */
TS_PRINTF(2, 3) int cli_usage_error(const cli_command *cmd, const char *fmt, ...);
/* One line for failed work; returns CLI_FAIL, or CLI_USAGE for TS_E_INVAL (the caller asked for the impossible). */
int cli_fail(const ts_err *err);

#endif
