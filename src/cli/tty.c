#include "cli/tty.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <termios.h>
#include <unistd.h>

static struct termios own, hushed;      /* the terminal's settings, and those for the time of an answer */
static volatile sig_atomic_t is_hushed; /* the handlers are there */
static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGXCPU};
enum { N_ENDS = sizeof ends / sizeof *ends };
static struct sigaction old_end[N_ENDS], old_stop, old_cont;

/* tcsetattr stops a program in the background; there it is not ours to change anything. */
static bool in_front(void) {
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void release(void) {
    for (int i = 0; i < N_ENDS; i++) sigaction(ends[i], &old_end[i], NULL);
    sigaction(SIGTSTP, &old_stop, NULL);
    sigaction(SIGCONT, &old_cont, NULL);
}

void cli_tty_restore(void) {
    if (!is_hushed) return;
    is_hushed = 0;
    if (in_front()) tcsetattr(STDIN_FILENO, TCSANOW, &own);
    release();
}

static void on_end(int sig) {
    is_hushed = 0;
    if (in_front()) tcsetattr(STDIN_FILENO, TCSANOW, &own);
    release();
    raise(sig); /* as it would have been without us, once this handler returns */
}

static void hush(void) {
    if (is_hushed && in_front()) tcsetattr(STDIN_FILENO, TCSANOW, &hushed);
}

/* Ctrl-Z: stop as a program without handlers does, with the terminal as it was. */
static void on_stop(int sig) {
    struct sigaction mine, dfl = {.sa_handler = SIG_DFL};
    sigset_t set;
    int saved = errno;
    if (in_front()) tcsetattr(STDIN_FILENO, TCSANOW, &own);
    sigemptyset(&dfl.sa_mask);
    sigaction(sig, &dfl, &mine);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* here the program stops, and goes on after SIGCONT */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigaction(sig, &mine, NULL);
    hush();
    errno = saved;
}

/* From the background to the front; or stopped by a signal that cannot be caught. */
static void on_cont(int sig) {
    int saved = errno;
    (void)sig;
    hush();
    errno = saved;
}

static void hold(int sig, void (*fn)(int), struct sigaction *old) {
    struct sigaction a = {.sa_handler = fn, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(sig, NULL, old);
    if (old->sa_handler != SIG_IGN) sigaction(sig, &a, NULL); /* what is ignored stays so */
}

void cli_tty_hush(bool by_key) {
    if (is_hushed || !isatty(STDIN_FILENO) || !in_front() || tcgetattr(STDIN_FILENO, &own) < 0) return;
    hushed = own;
    hushed.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    if (by_key) {
        hushed.c_lflag &= ~(tcflag_t)ICANON;
        hushed.c_cc[VMIN] = 1;
        hushed.c_cc[VTIME] = 0;
    }
    for (int i = 0; i < N_ENDS; i++) hold(ends[i], on_end, &old_end[i]);
    hold(SIGTSTP, on_stop, &old_stop);
    hold(SIGCONT, on_cont, &old_cont);
    is_hushed = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &hushed);
}
