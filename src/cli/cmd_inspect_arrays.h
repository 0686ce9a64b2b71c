/* cmd_inspect_arrays.h - tessera inspect for a folder of which Tessera makes no model. */
#ifndef TS_CLI_CMD_INSPECT_ARRAYS_H
#define TS_CLI_CMD_INSPECT_ARRAYS_H

#include "source/hf_folder.h"

/* The folder's arrays, as its files have them, and, with `summary`, why it is no model: an exit code. */
int cli_inspect_arrays(const ts_hf_folder *f, const char *path, const char *why, bool json, bool summary);

#endif
