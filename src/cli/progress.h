/* progress.h - one line on the terminal that says how far long work has come. Depends on: stdint.
 *
 * Written to standard error, only where that is a terminal, ten times a second at most; gone when the work is done. */
#ifndef TS_CLI_PROGRESS_H
#define TS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    const char *what;   /* "loading", "prompt", ... */
    const char *unit;   /* "MiB", "tokens"; NULL: per cent only */
    uint64_t per_unit;  /* divides done and all for display; 0: 1 */
    uint64_t before, whole; /* where the work is a part of something larger: what was done before it, and all of it */
    uint64_t begin_ns, last_ns;
    bool shown, ended;
} cli_progress;

/* A ts_progress_fn; ud is a cli_progress. Returns false after Ctrl-C (cli_interrupted). */
bool cli_progress_step(void *ud, uint64_t done, uint64_t all);
/* The line goes away and does not come back until cli_progress_begin: a session asks its callback while it answers too. */
void cli_progress_end(cli_progress *p);
void cli_progress_begin(cli_progress *p); /* start over; not needed for the first time */

/* Count Ctrl-C instead of dying of it, from now on. The third that nobody has asked for (cli_interrupt_clear) ends the
 * program as usual. */
void cli_catch_interrupt(void);
bool cli_interrupted(void);       /* has there been one since cli_interrupt_clear? */
void cli_interrupt_clear(void);

#endif
