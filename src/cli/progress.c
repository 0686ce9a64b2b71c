#define _GNU_SOURCE /* pthread_cond_clockwait */
#include "cli/progress.h"
#include "base/clock.h"
#include "cli/term.h"
#include "cli/tty.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------------ */

static atomic_int interrupts; /* read by any thread, too */

static void on_interrupt(int sig) {
    if (++interrupts >= 3) { /* nobody is listening */
        cli_tty_restore();
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

void cli_catch_interrupt(void) {
    struct sigaction a = {.sa_handler = on_interrupt}; /* no SA_RESTART: a read of the terminal returns */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

void cli_catch_terminate(struct sigaction *old) {
    struct sigaction a = {.sa_handler = on_interrupt};
    sigemptyset(&a.sa_mask);
    sigaction(SIGTERM, &a, old);
}

bool cli_interrupted(void) {
    return interrupts > 0;
}

bool cli_interrupt_stop(void *ud) {
    (void)ud;
    return cli_interrupted();
}

void cli_interrupt_clear(void) {
    interrupts = 0;
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

static const double basis_ns = 1e9; /* a forecast from less than this would be a guess */
static const double late_ns = 3e9;  /* and one that is as late as this is no forecast any more */

static void add_time(char *out, size_t cap, double ns, const char *what) {
    double s = ns * 1e-9;
    size_t n = strlen(out);
    if (s < 119.5) snprintf(out + n, cap - n, ", %.0f s %s", s, what);
    else if (s < 119.5 * 60) snprintf(out + n, cap - n, ", %.0f min %s", s / 60, what);
    else snprintf(out + n, cap - n, ", %.1f h %s", s / 3600, what);
}

void cli_progress_text(const cli_progress *p, uint64_t now_ns, char *out, size_t cap) {
    uint64_t per = p->per_unit ? p->per_unit : 1, done = p->done, all = p->all;
    if (p->whole && all) {
        done += p->before;
        all = p->whole;
    }
    if (!all && done && p->unit) snprintf(out, cap, "%s: %llu %s", p->what, (unsigned long long)(done / per), p->unit);
    else if (!all) snprintf(out, cap, "%s", p->what);
    else if (p->unit && all >= per)
        snprintf(out, cap, "%s: %llu of %llu %s", p->what, (unsigned long long)(done / per),
                 (unsigned long long)(all / per), p->unit);
    else snprintf(out, cap, "%s: %.0f %%", p->what, 100.0 * (double)done / (double)all);
    const double so_far = (double)(now_ns - p->begin_ns), at_step = (double)(p->step_ns - p->begin_ns);
    double left = -late_ns;
    const double made = done > p->start ? (double)(done - p->start) : 0;
    const size_t used = strlen(out);
    if (p->rate && made > 0 && at_step >= basis_ns)
        snprintf(out + used, cap - used, ", %.1f %s/s", made / (double)per / (at_step * 1e-9), p->unit ? p->unit : "");
    if (made > 0 && all && at_step >= basis_ns) left = at_step * (double)(all - p->start) / made - so_far;
    else if (p->guess_ns) left = (double)p->guess_ns - so_far;
    if (left > -late_ns) add_time(out, cap, left > 1e9 ? left : 1e9, "left");
    else add_time(out, cap, so_far, "so far");
}

/* ---- the thread that shows it ------------------------------------------------------------------------------------ */

static const uint64_t second_ns = 1000000000, hidden_ns = 300000000, tick_ns = 100000000;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    cli_progress *of; /* NULL: the thread is not there */
    bool end;
    size_t shown; /* columns of the line that stands there */
} ticker = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void show(const cli_progress *p, int width) {
    char line[160];
    cli_progress_text(p, ts_now_ns(), line, sizeof line);
    if (!width) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    size_t len = strlen(line), most = (size_t)width - 1;
    if (len > most) line[len = most] = 0;
    fprintf(stderr, "\r%s%*s", line, ticker.shown > len ? (int)(ticker.shown - len) : 0, "");
    if (ticker.shown > len) fprintf(stderr, "\r%s", line);
    ticker.shown = len;
}

static uint64_t interval_ns(int width) {
    const char *set = getenv("TESSERA_PROGRESS");
    double s = set && *set ? strtod(set, NULL) : 10;
    if (width && s > 0) return tick_ns;
    return s > 0 && s < 1e6 ? (uint64_t)(s * 1e9) : 0;
}

static void *tick(void *ud) {
    (void)ud;
    pthread_mutex_lock(&ticker.lock);
    uint64_t next = ticker.of->begin_ns + (cli_term_width(stderr) ? hidden_ns : interval_ns(0));
    while (!ticker.end) {
        struct timespec t = {.tv_sec = (time_t)(next / second_ns), .tv_nsec = (long)(next % second_ns)};
        pthread_cond_clockwait(&ticker.wake, &ticker.lock, CLOCK_MONOTONIC, &t);
        if (ticker.end || ts_now_ns() < next) continue;
        int width = cli_term_width(stderr);
        show(ticker.of, width);
        next = ts_now_ns() + interval_ns(width);
    }
    pthread_mutex_unlock(&ticker.lock);
    return NULL;
}

static void start(cli_progress *p) {
    sigset_t all, old;
    if (!interval_ns(cli_term_width(stderr))) return;
    ticker.of = p;
    ticker.end = false;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the other threads' business */
    if (pthread_create(&ticker.thread, NULL, tick, NULL) != 0) ticker.of = NULL; /* then nothing is shown */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop(void) {
    if (!ticker.of) return;
    pthread_mutex_lock(&ticker.lock);
    ticker.end = true;
    pthread_cond_signal(&ticker.wake);
    pthread_mutex_unlock(&ticker.lock);
    pthread_join(ticker.thread, NULL);
    ticker.of = NULL;
    if (ticker.shown) fprintf(stderr, "\r%*s\r", (int)ticker.shown, "");
    ticker.shown = 0;
}

void cli_progress_begin(cli_progress *p) {
    if (ticker.of && ticker.of != p) ticker.of->ended = true;
    stop();
    p->begin_ns = p->step_ns = ts_now_ns();
    p->done = p->all = 0;
    p->ended = false;
    start(p);
}

void cli_progress_log(void *ud, ts_log_level level, const char *line) {
    (void)ud;
    pthread_mutex_lock(&ticker.lock);
    if (ticker.shown) fprintf(stderr, "\r%*s\r", (int)ticker.shown, "");
    ticker.shown = 0;
    fprintf(stderr, "tessera: %s%s\n", level == TS_LOG_WARN ? "warning: " : "", line);
    pthread_mutex_unlock(&ticker.lock);
}

bool cli_progress_step(void *ud, uint64_t done, uint64_t all) {
    cli_progress *p = ud;
    if (!p->ended) {
        if (!p->begin_ns) cli_progress_begin(p);
        pthread_mutex_lock(&ticker.lock);
        p->done = done;
        p->all = all;
        p->step_ns = ts_now_ns();
        pthread_mutex_unlock(&ticker.lock);
    }
    return !cli_interrupted();
}

void cli_progress_end(cli_progress *p) {
    if (p->ended) return;
    p->ended = true;
    if (ticker.of == p) stop();
}
