#include "cli/progress.h"
#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig) {
    if (++interrupts >= 3) { /* nobody is listening */
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

void cli_catch_interrupt(void) {
    struct sigaction a = {.sa_handler = on_interrupt}; /* no SA_RESTART: a read of the terminal returns */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

bool cli_interrupted(void) {
    return interrupts > 0;
}

void cli_interrupt_clear(void) {
    interrupts = 0;
}

bool cli_progress_step(void *ud, uint64_t done, uint64_t all) {
    cli_progress *p = ud;
    uint64_t now = ts_now_ns();
    if (!p->begin_ns) p->begin_ns = p->last_ns = now;
    if (p->whole) {
        done += p->before;
        all = p->whole;
    }
    /* nothing for work that is over in a moment */
    if (!p->ended && isatty(STDERR_FILENO) && now - p->begin_ns > 300000000 && now - p->last_ns > 100000000 && all) {
        uint64_t per = p->per_unit ? p->per_unit : 1;
        double eta = done ? (double)(now - p->begin_ns) * (double)(all - done) / (double)done * 1e-9 : 0;
        if (p->unit)
            fprintf(stderr, "\r%s: %llu of %llu %s, %.0f s left   ", p->what, (unsigned long long)(done / per),
                    (unsigned long long)(all / per), p->unit, eta);
        else
            fprintf(stderr, "\r%s: %.0f %%, %.0f s left   ", p->what, 100.0 * (double)done / (double)all, eta);
        p->last_ns = now;
        p->shown = true;
    }
    return !cli_interrupted();
}

void cli_progress_end(cli_progress *p) {
    if (p->shown) fprintf(stderr, "\r\033[K");
    p->shown = false;
    p->ended = true;
}

void cli_progress_begin(cli_progress *p) {
    p->begin_ns = 0;
    p->shown = p->ended = false;
}
