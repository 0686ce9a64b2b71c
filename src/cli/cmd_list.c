/* cmd_list.c - tessera list: the models that are in the store. */
#include "base/json_write.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/store.h"
#include "cli/table.h"
#include "cli/term.h"

#include <stdio.h>
#include <string.h>

static bool put_json(ts_buf *b, const ts_hub_model *list, size_t n) {
    bool ok = ts_buf_putc(b, '[');
    for (size_t i = 0; i < n && ok; i++) {
        const ts_hub_model *m = &list[i];
        ok = ts_buf_puts(b, i ? ",\n{" : "{") && ts_json_put_member(b, "name", m->name) &&
             ts_json_put_member(b, "repository", m->repo) && ts_json_put_member(b, "commit", m->commit) &&
             ts_json_put_member(b, "quant", m->quant) && (!m->path || ts_json_put_member(b, "path", m->path)) &&
             ts_json_put_member(b, "kind",
                                m->unfinished              ? "unfinished"
                                : m->kind == TS_HUB_FOLDER ? "folder"
                                                           : "gguf") &&
             ts_buf_printf(b, "\"bytes\":%llu,\"files\":%zu,\"ours\":%s}", (unsigned long long)m->bytes, m->n_files,
                           m->ours ? "true" : "false");
    }
    return ok && ts_buf_puts(b, "]\n");
}

/* What can be run, by name alone. */
static bool put_names(ts_buf *b, const ts_hub_model *list, size_t n) {
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        if (!list[i].unfinished) ok = ts_buf_printf(b, "%s\n", list[i].name);
    return ok;
}

static bool put_table(ts_buf *b, const ts_hub_model *list, size_t n) {
    static const cli_column columns[] = {{"name", true, 0}, {"size", false, 0}, {"commit", true, 1}, {"", true, 2}};
    cli_table t = {.column = columns, .n_columns = 4};
    for (size_t i = 0; i < n; i++) {
        const ts_hub_model *m = &list[i];
        char name[700], size[32];
        ts_printable(name, sizeof name, m->name, strlen(m->name));
        cli_store_size(size, m->bytes);
        cli_table_add(&t, "%s", name);
        cli_table_add(&t, "%s", size);
        if (m->unfinished) cli_table_skip(&t, 1);
        else cli_table_add(&t, "%.8s", m->commit);
        if (m->unfinished) cli_table_add(&t, "unfinished: pull goes on with it, rm drops it");
        else if (m->ours) cli_table_skip(&t, 1);
        else cli_table_add(&t, "of another program");
    }
    const bool ok = cli_table_text(&t, cli_term_width(stdout), b);
    cli_table_free(&t);
    return ok;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    bool json = false, quiet = false;
    const cli_opt opts[] = {{CLI_FLAG, 0, "json", NULL, &json, 0, 0, "a JSON list of objects"},
                            {CLI_FLAG, 'q', "quiet", NULL, &quiet, 0, 0, "the names alone, of what can be run"},
                            {0}};
    cli_list rest = {0};
    cli_store s = {0};
    ts_hub_model *list = NULL;
    size_t n = 0;
    ts_buf out = {0};
    ts_err err;
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK && rest.n) code = cli_usage_error(cmd, "unexpected argument \"%s\"", rest.item[0]);
    if (code == CLI_OK) code = cli_store_open(&s, false);
    if (code == CLI_OK && ts_hub_list(&list, &n, &s.opts, &err) != TS_OK) code = cli_fail(&err);
    if (code == CLI_OK && !n && !json && !quiet)
        fprintf(stderr, "tessera: there is no model in %s; tessera pull names some\n", s.opts.cache);
    else if (code == CLI_OK && !(json    ? put_json(&out, list, n)
                                 : quiet ? put_names(&out, list, n)
                                         : put_table(&out, list, n)))
        ts_fail_nomem(&err, "the list", out.len), code = cli_fail(&err);
    if (code == CLI_OK && out.len) fwrite(out.data, 1, out.len, stdout);
    ts_buf_free(&out);
    ts_hub_list_free(list, n);
    cli_store_close(&s);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_list = {
    .name = "list",
    .args = "",
    .summary = "list the models in the store",
    .text = "By the names that -m, -hf and tessera rm take. Models that other programs have fetched into the same "
            "folder are "
            "listed too, and marked; they are hashed when they are first used.",
    .run = run,
};
