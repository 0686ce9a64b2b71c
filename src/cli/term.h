/* term.h - the terminal behind a stream: how wide it is, whether it has colours, remarks that fit it. */
#ifndef TS_CLI_TERM_H
#define TS_CLI_TERM_H

#include <stdbool.h>
#include <stdio.h>

/* Columns of the terminal that f writes to; 0: it is none, and nothing is to be fitted. */
int cli_term_width(FILE *f);
/* May escape sequences for colours be written to f? At a terminal other than "dumb", unless NO_COLOR is set
 * (no-color.org); CLICOLOR_FORCE, set and not 0, says yes without a terminal too. */
bool cli_term_colour(FILE *f);
/* Print the lines of `text` and end the last one. On a terminal they are broken between words where they are too
 * long, and with `dim` shown so where there are colours: a remark is not taken for an answer. Elsewhere they stand
 * as they are. */
void cli_term_print(FILE *f, const char *text, bool dim);

#endif
