/* output.h - standard output as the result of a command: what was printed must have arrived. */
#ifndef TS_CLI_OUTPUT_H
#define TS_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* Write text that a model made, piece by piece, and flush. On a terminal its control characters (and the marks that
 * reorder a line) are shown as \xNN or \u{...} instead of sent: an answer cannot move the cursor, change the title
 * or forge a prompt. Line breaks and tabs stay, and lines are broken between words (wrap.h), for which a word may be
 * held back until the next piece. Elsewhere the bytes go out as they are. `text` is whole UTF-8 characters. false:
 * the output is gone (closed pipe, full disk); cli_output_end tells the reason. */
bool cli_put_text(const char *text, size_t len);
/* The answer ends: what is held back comes, and a line break where its last line has none. */
bool cli_put_end(void);
/* Are lines broken between words (the default), or wherever the terminal does it? */
void cli_put_wrapped(bool wrapped);
/* Flush standard output; after a failure, now or before, one line to standard error (none for a closed pipe, whose
 * reader has seen enough) and CLI_FAIL where `code` was CLI_OK. */
int cli_output_end(int code);

#endif
