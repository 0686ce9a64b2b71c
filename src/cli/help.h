/* help.h - a command's options as text for people. */
#ifndef TS_CLI_HELP_H
#define TS_CLI_HELP_H

#include "cli/opt.h"

/* --help, to standard output. */
void cli_help(const cli_command *cmd, const cli_opt *opts);
/* The same as a subsection of the manual page, in the man(7) macros. docs/man/tessera.1.in takes it in when the
 * project is built, so that the page says what the program says. */
void cli_help_roff(const cli_command *cmd, const cli_opt *opts);

#endif
