/* foreign.h - what hands trained on other programs type: options, commands and names of values that Tessera does not
 * have, with a sentence on what to do here. The names are those of llama.cpp, ollama, LM Studio, FastFlowLM and
 * transformers. */
#ifndef TS_CLI_FOREIGN_H
#define TS_CLI_FOREIGN_H

#include <stddef.h>

/* Each returns a sentence without capital and full stop, NULL for a name that is not known here either. An underscore
 * counts as a dash. */
const char *cli_foreign_option(const char *name, size_t len); /* without its dashes */
const char *cli_foreign_command(const char *name);
const char *cli_foreign_value(const char *option, const char *value); /* of the option of that long name */

#endif
