/* constrain_opts.c - constraints of answers from the command line. */
#include "cli/constrain_opts.h"
#include "base/file.h"

enum { TEXT_MAX = 1 << 20 };

int cli_constrain_open(const cli_command *cmd, cli_constrain *c, const ts_engine *e) {
    ts_err err;
    ts_buf text = {0};
    const char *path = c->schema ? c->schema : c->grammar;
    if (c->schema && c->grammar) return cli_usage_error(cmd, "give --json-schema or --grammar, not both");
    if (!path) return CLI_OK;
    ts_status s = ts_file_read(&text, path, TEXT_MAX, &err);
    const ts_constraint_opts opts = {.kind = c->schema ? TS_CONSTRAIN_SCHEMA : TS_CONSTRAIN_GRAMMAR,
                                     .text = text.data ? text.data : "", .len = text.len};
    if (s == TS_OK) {
        s = ts_constraint_new(&c->constraint, e, &opts, &err);
        if (s != TS_OK) s = ts_err_prefix(&err, s, "%s", path);
    }
    ts_buf_free(&text);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

void cli_constrain_free(cli_constrain *c) {
    ts_constraint_free(c->constraint);
    *c = (cli_constrain){0};
}
