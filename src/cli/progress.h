/* progress.h - one line that says how far long work has come.
 *
 * Written to standard error by a thread of its own, so that it counts on while a step takes long. On a terminal: one
 * line, from 0.3 s on, gone when the work is done. Elsewhere: a line every 10 s ($TESSERA_PROGRESS: seconds, 0:
 * none), so that long work is not mute in a log. Nothing is said about the time left before there is something to
 * reckon it from. Messages of the libraries take the line away first. */
#ifndef TS_CLI_PROGRESS_H
#define TS_CLI_PROGRESS_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_progress {
    const char *what;       /* "loading", "prompt", ... */
    const char *unit;       /* "MiB", "tokens"; NULL: per cent only */
    uint64_t per_unit;      /* divides done and all for display; 0: 1 */
    uint64_t start; /* of `done`, what was there when the work began: no time was needed for it */
    bool rate;      /* say how much a second, too */
    uint64_t before, whole; /* where the work is a part of something larger: what was done before it, and all of it */
    /* how long all of it should take, where that is known beforehand; until the first step tells more */
    uint64_t guess_ns;
    uint64_t begin_ns;      /* 0: not begun */
    uint64_t done, all, step_ns; /* of the newest step; all 0: nobody knows */
    bool ended;
} cli_progress;

/* A ts_progress_fn; ud is a cli_progress. The first one begins it. Returns false after Ctrl-C (cli_interrupted). */
bool cli_progress_step(void *ud, uint64_t done, uint64_t all);
/* The line goes away and does not come back until cli_progress_begin: a session asks its callback while it answers
 * too. */
void cli_progress_end(cli_progress *p);
/* Start (over) now: not needed where the first step comes at once. One at a time: another one ends. */
void cli_progress_begin(cli_progress *p);
/* The line as it would be shown at that time. */
void cli_progress_text(const cli_progress *p, uint64_t now_ns, char *out, size_t cap);

/* A ts_log_fn: the message to standard error as a line of its own, also where the line of progress stands there. */
void cli_progress_log(void *ud, ts_log_level level, const char *line);

/* Count Ctrl-C instead of dying of it, from now on. The third that nobody has asked for (cli_interrupt_clear) ends the
 * program as usual. */
void cli_catch_interrupt(void);
/* The same for SIGTERM; *old is what it was, for sigaction. */
struct sigaction;
void cli_catch_terminate(struct sigaction *old);
bool cli_interrupted(void);       /* has there been one since cli_interrupt_clear? */
bool cli_interrupt_stop(void *ud); /* the same as a ts_stop_fn; ud is not used */
void cli_interrupt_clear(void);

#endif
