/* arguments.h - plain arguments and standard input as model and text, and what is no model file. */
#ifndef TS_CLI_ARGUMENTS_H
#define TS_CLI_ARGUMENTS_H

#include "cli/opt.h"

/* What a command takes behind its options. */
typedef enum cli_plain {
    CLI_PLAIN_MODEL, /* [MODEL] */
    CLI_PLAIN_TEXT,  /* [MODEL] [TEXT...]; the words of the text are joined with blanks */
} cli_plain;

/* Is this argument a model rather than a text? One that exists, that ends as model files do, or a path or an address:
 * something with a slash and without blanks. */
bool cli_looks_like_model(const char *arg);

/* Deal the plain arguments out: the first one is the model unless *model is given already (-m) or it is a text with
 * blanks; the others are the text. `given`: the option that gives a text already, NULL where there is none; then
 * there must be no other text.
 * *text (nullable with CLI_PLAIN_MODEL) is allocated (free), or stays as it is. CLI_OK, or an exit code after one
 * line. */
int cli_take_plain(const cli_command *cmd, cli_plain what, const cli_list *rest, const char **model, const char *given,
                   char **text);

/* Can this be a model? An address, a name from another program's store, a folder or a file in another format get the
 * sentence that helps. `tokenizer`: folders and JSON files will do. What only opening can tell is CLI_OK here. */
int cli_check_model_path(const char *path, bool tokenizer);

/* Standard input to its end where it is no terminal; *len 0 and *text as it was where there is nothing, otherwise
 * allocated (free) and ended by a NUL. After two seconds without a byte it says what it waits for. */
enum {
    /* a text is there already: a socket is then read only if something waits in it, because programs that start
     * others leave such open */
    CLI_STDIN_MORE = 1,
    CLI_STDIN_EXACT = 2, /* all bytes; otherwise one line break at the end is left out */
};
int cli_read_stdin(const cli_command *cmd, unsigned how, char **text, size_t *len);

#endif
