/* cmd_rm.c - tessera rm: a model out of the store. */
#include "cli/commands.h"
#include "cli/store.h"

#include <stdio.h>

static int run(const cli_command *cmd, int argc, char **argv) {
    bool all = false;
    const cli_opt opts[] = {
        {CLI_FLAG, 0, "all", NULL, &all, 0, 0, "everything of this repository"},
        {0},
    };
    cli_list rest = {0};
    cli_store s = {0};
    ts_err err;
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK && !rest.n) code = cli_usage_error(cmd, "which model? tessera list has their names");
    if (code == CLI_OK) code = cli_store_open(&s, false);
    const bool opened = code == CLI_OK;
    for (size_t i = 0; opened && i < rest.n; i++) { /* one that fails does not keep the others */
        ts_hub_name name;
        ts_hub_removed gone = {0};
        char size[32];
        ts_status st = cli_store_parse(&name, rest.item[i], &err);
        if (st == TS_OK && all && *name.tag)
            st = ts_fail(&err, TS_E_INVAL, "%s: --all is about a whole repository, ORG/NAME", rest.item[i]);
        if (st == TS_OK) st = ts_hub_remove(&gone, &name, all, &s.opts, &err);
        cli_store_size(size, gone.bytes);
        if (st == TS_OK && gone.left_only)
            printf("%s: what unfinished pulls had left is removed, %s; its models stay\n", rest.item[i], size);
        else if (st == TS_OK) printf("%s is removed: %s\n", rest.item[i], size);
        else if (!code) code = cli_fail(&err);
        else (void)cli_fail(&err);
    }
    cli_store_close(&s);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_rm = {
    .name = "rm",
    .args = "NAME...",
    .summary = "remove models from the store",
    .text = "The names are those of tessera list. What another model or another commit of the repository still needs "
            "stays.\n"
            "ORG/NAME alone removes what unfinished pulls of it have left, where list shows such a line, and no model; "
            "otherwise the model, where there is one.\n"
            "Exit code: 0 removed, 1 not there or not possible, 2 wrong usage.",
    .run = run,
};
