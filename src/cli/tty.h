/* tty.h - the keyboard while an answer runs: what is typed then is kept for the next line, and not echoed into the
 * answer.
 *
 * However the program ends or stops in between (a fatal signal, Ctrl-Z), the terminal has its own settings then. */
#ifndef TS_CLI_TTY_H
#define TS_CLI_TTY_H

#include <stdbool.h>

/* No echo from now on; signals still come. `by_key`: keys are kept one by one, for a line editor; otherwise in
 * lines. Nothing where standard input is no terminal, or another program has it. */
void cli_tty_hush(bool by_key);
/* Give the terminal its settings back. Nothing where it has them. May be called by a signal handler. */
void cli_tty_restore(void);

#endif
