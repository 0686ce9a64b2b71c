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
    uint64_t begin_ns, last_ns;
    bool shown;
} cli_progress;

/* A ts_progress_fn; ud is a cli_progress. Returns false after Ctrl-C (cli_interrupted). */
bool cli_progress_step(void *ud, uint64_t done, uint64_t all);
void cli_progress_end(cli_progress *p);

/* Count Ctrl-C instead of dying of it, from now on. A second one, while the first has not been looked at for two seconds
 * or more, ends the program as usual. */
void cli_catch_interrupt(void);
bool cli_interrupted(void);       /* has there been one since cli_interrupt_clear? */
void cli_interrupt_clear(void);

#endif
