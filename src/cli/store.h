/* store.h - models by name: what the environment says about the hub and the store, and -m NAME and -hf NAME for all
 * commands. In a build without libcurl there is no store, and a model is a path. */
#ifndef TS_CLI_STORE_H
#define TS_CLI_STORE_H

#include "cli/opt.h"

enum { CLI_INTERRUPTED = 130 }; /* exit code of a pull after Ctrl-C: what is there is kept */

/* Where *path is no file but the name of a model in the store: the model's path instead, which lives as long as the
 * program. Nothing is asked of the network, and what is no name or not there stays as it is. CLI_OK, or an exit code
 * after one line: it is there, and damaged. Unless `quiet`, a line says which model a name without a quant has got. */
int cli_find_model(const char **path, bool for_npu, bool quiet);
/* -hf: the store, then the network. *path as above. */
int cli_fetch_model(const cli_command *cmd, const char *name, bool for_npu, bool offline, bool quiet,
                    const char **path);

#ifdef TS_HAVE_HUB
#    include "cli/progress.h"
#    include "hub/hub.h"

typedef struct cli_store { /* close with cli_store_close, also after a failure */
    ts_hub_opts opts;
    char *owned[12]; /* strings of opts */
    size_t n_owned;
    cli_progress progress;
    bool quiet;
} cli_store;
/* network: who is asked, and with which token, too, unless the environment says that nobody is. CLI_OK, or an exit code
 * after one line. */
int cli_store_open(cli_store *s, bool network);
/* A name as a person writes it; addresses of the mirror that HF_ENDPOINT names are names, too. */
TS_NODISCARD ts_status cli_store_parse(ts_hub_name *out, const char *text, ts_err *err);
void cli_store_close(cli_store *s);
/* Fetch with progress shown and Ctrl-C and SIGTERM caught. */
TS_NODISCARD ts_status cli_store_pull(cli_store *s, const ts_hub_name *name, ts_hub_pulled *out, ts_err *err);
/* "2.50 GB" */
void cli_store_size(char out[32], uint64_t bytes);
#endif

#endif
