/* bundled.h - the model that is used where -m is not given, and other files that come along. */
#ifndef TS_CLI_BUNDLED_H
#define TS_CLI_BUNDLED_H

#include <stdbool.h>

/* The file to use without -m: $TESSERA_MODEL where it is set (empty: none); else the model that comes with Tessera,
 * beside the program as installed (../share/tessera), where the build was told to install it, or in the source
 * folder that the program was built in. NULL: there is none. *bundled (nullable) says whether it is Tessera's own.
 * The string stays valid until the next call; not for several threads. */
const char *cli_default_model(bool *bundled);
/* Another file that comes with Tessera, sought in the same places. NULL: it is in none. Valid until the next call. */
const char *cli_bundled_file(const char *name);

#endif
