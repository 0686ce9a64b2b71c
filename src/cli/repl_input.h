/* repl_input.h - lines that were typed to messages: blocks between """ and lines that end in \ go together. */
#ifndef TS_CLI_REPL_INPUT_H
#define TS_CLI_REPL_INPUT_H

#include "base/mem.h"

typedef struct cli_input { /* zero-initialise; free with cli_input_free */
    ts_buf text;  /* the message so far; NUL-terminated once it is whole */
    ts_buf typed; /* the lines as they were typed, for the history */
    enum { CLI_INPUT_EMPTY, CLI_INPUT_BLOCK, CLI_INPUT_CONTINUED, CLI_INPUT_WHOLE } state;
    bool literal; /* it came as a block: never a command */
    bool pending; /* within a block: there are lines before, a line break comes first */
} cli_input;

/* Take in a line (without its line break). Where a message was whole, the line begins the next one.
 *
 *   """          at the start of a line, or behind "/system ": opens a block. It ends with """ at the end of a line,
 *   which
 *                may be the same one. A line break next to the marks is not part of the text.
 *   text \       the next line belongs to it: a line break takes the backslash's place. An even number of backslashes
 *   at
 *                the end is text.
 *
 * A line that holds line breaks already (pasted, or recalled) is taken as those lines where it is written in one of
 * these forms, and otherwise as one literal message. After each call look at `state`. false: out of memory, the
 * input is empty. */
TS_NODISCARD bool cli_input_line(cli_input *in, const char *line, size_t len);
/* The input ends: what is there becomes the message. true where something was unfinished. */
bool cli_input_end(cli_input *in);
void cli_input_clear(cli_input *in);
void cli_input_free(cli_input *in);

#endif
