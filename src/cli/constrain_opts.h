/* constrain_opts.h - the options that say what an answer has to be, for run and chat. */
#ifndef TS_CLI_CONSTRAIN_OPTS_H
#define TS_CLI_CONSTRAIN_OPTS_H

#include "cli/opt.h"
#include "tessera/tessera.h"

typedef struct cli_constrain { /* zero-initialise; free with cli_constrain_free */
    const char *schema, *grammar;
    ts_constraint *constraint; /* from cli_constrain_open on; NULL: answers are free */
} cli_constrain;

#define CLI_CONSTRAIN_OPTS(c)                                                                                          \
    {CLI_STR, 0, "json-schema", "FILE", &(c).schema, 0, 0, "answers are JSON of this JSON Schema",                     \
     .values = "@file"},                                                                                               \
        {CLI_STR, 0, "grammar", "FILE", &(c).grammar, 0, 0, "answers are texts of this grammar (GBNF)",                \
         .values = "@file"}

/* Compile what is asked for, for this engine. CLI_OK, or an exit code after one line to standard error. */
int cli_constrain_open(const cli_command *cmd, cli_constrain *c, const ts_engine *e);
void cli_constrain_free(cli_constrain *c);

#endif
