/* repl.h - one line of input at a time: edited on a terminal (libedit), read as it is from elsewhere.
 *
 * Between the lines, while answers run, a terminal does not echo what is typed: it is there for the next line (tty.h).
 *
 * Ctrl-C must be caught (cli_catch_interrupt of progress.h) before a line is read. One reader at a time; it owns the
 * bytes of standard input that it has read ahead. */
#ifndef TS_CLI_REPL_H
#define TS_CLI_REPL_H

#include "base/mem.h"
#include "cli/complete.h"

typedef struct cli_repl cli_repl;

typedef enum cli_line {
    CLI_LINE_TEXT,
    CLI_LINE_INTERRUPTED, /* Ctrl-C: what was typed is gone */
    CLI_LINE_END,         /* Ctrl-D, end of the file, or a signal that ends the program (cli_repl_signal) */
    CLI_LINE_FAILED,      /* see err */
} cli_line;

/* `terminal`: prompts are shown, lines can be edited; `history`: they are kept in a file too. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status cli_repl_open(cli_repl **out, bool terminal, bool history, ts_err *err);
void cli_repl_close(cli_repl *r); /* NULL-safe */
/* Is there a line editor in this build, and at work? */
bool cli_repl_edits(const cli_repl *r);
/* Read one line; *line is replaced by it, without its line break. A line of the editor may hold line breaks (pasted, or
 * recalled). Errors: TS_E_NOMEM, TS_E_IO, TS_E_LIMIT from 256 MiB on. */
cli_line cli_repl_read(cli_repl *r, const char *prompt, ts_buf *line, ts_err *err);
/* Had something been typed when Ctrl-C came? */
bool cli_repl_dropped_text(const cli_repl *r);
/* The signal (SIGTERM, SIGHUP, SIGQUIT) that ended the input while the editor had the terminal; 0: none. */
int cli_repl_signal(const cli_repl *r);
/* What Tab does in the editor. */
void cli_repl_completion(cli_repl *r, cli_complete_fn *fn, void *ud);
/* Put an entry into the history. */
void cli_repl_remember(cli_repl *r, const char *entry);

#endif
