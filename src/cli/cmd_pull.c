/* cmd_pull.c - tessera pull: a model of the hub into the store. */
#include "base/json_write.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/store.h"
#include "cli/term.h"

#include <stdio.h>
#include <string.h>

/* ---- models to begin with ---------------------------------------------------------------------------------------- */

static const struct {
    int memory_gb;
    const char *model, *name, *licence;
    double gb; /* of the file, reckoned from the shapes */
} suggested[] = {
    {8, "Qwen3 4B Instruct 2507", "unsloth/Qwen3-4B-Instruct-2507-GGUF:Q4_K_M", "Apache-2.0", 2.50},
    {8, "Llama 3.2 3B Instruct", "unsloth/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "Llama 3.2", 2.02},
    {8, "Qwen3 1.7B", "unsloth/Qwen3-1.7B-GGUF:Q4_K_M", "Apache-2.0", 1.11},
    {8, "Llama 3.2 1B Instruct", "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", "Llama 3.2", 0.81},
    {16, "Llama 3.1 8B Instruct", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M", "Llama 3.1", 4.92},
    {16, "Qwen3 8B", "unsloth/Qwen3-8B-GGUF:Q4_K_M", "Apache-2.0", 5.03},
    {16, "Mistral 7B Instruct v0.3", "bartowski/Mistral-7B-Instruct-v0.3-GGUF:Q4_K_M", "Apache-2.0", 4.38},
    {32, "Qwen3 14B", "unsloth/Qwen3-14B-GGUF:Q4_K_M", "Apache-2.0", 9.00},
};

static void print_suggested(void) {
    int memory = 0;
    printf("Models to begin with. None was tried with Tessera by those who wrote this list:\n"
           "sizes are reckoned, licences unverified; the model's page has the terms.\n");
    for (size_t i = 0; i < sizeof suggested / sizeof *suggested; i++) {
        if (suggested[i].memory_gb != memory) printf("\n%d GB of memory\n", memory = suggested[i].memory_gb);
        printf("  %-26s %5.2f GB  %-11s  tessera pull %s\n", suggested[i].model, suggested[i].gb, suggested[i].licence,
               suggested[i].name);
    }
    printf("\nOn an NPU (XDNA1) small ones, with :Q4_0 in the place of :Q4_K_M.\n");
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static bool put_requests(ts_buf *b, ts_hub_log *log) {
    bool ok = ts_buf_puts(b, "\"requests\":[");
    for (size_t i = 0, n = ts_hub_log_count(log); i < n && ok; i++) {
        const ts_hub_logged *r = ts_hub_log_at(log, i);
        ok = ts_buf_printf(b, "%s{\"at_ms\":%llu,\"ms\":%llu,", i ? "," : "", (unsigned long long)r->at_ms,
                           (unsigned long long)r->ms) &&
             ts_json_put_member(b, "url", r->url) && (!*r->fault || ts_json_put_member(b, "fault", r->fault)) &&
             (r->from < 0 || ts_buf_printf(b, "\"from\":%lld,", (long long)r->from)) &&
             ts_buf_printf(b, "\"status\":%ld,\"bytes\":%llu,\"token\":%s}", r->status, (unsigned long long)r->bytes,
                           r->with_token ? "true" : "false");
    }
    return ok && ts_buf_putc(b, ']');
}

static const char *kind_name(ts_hub_kind k) {
    return k == TS_HUB_GGUF ? "gguf" : k == TS_HUB_FOLDER ? "folder" : "file";
}

/* What came of it as one object; err NULL: it went well. */
static int report_json(const ts_hub_pulled *p, ts_hub_log *log, const ts_err *error) {
    ts_buf b = {0};
    ts_err err;
    const ts_hub_model *m = &p->model;
    bool ok = ts_buf_putc(&b, '{');
    if (error) ok = ok && ts_json_put_member(&b, "error", error->msg);
    else
        ok = ok && ts_json_put_member(&b, "name", m->name) && ts_json_put_member(&b, "path", m->path) &&
             ts_json_put_member(&b, "repository", m->repo) && ts_json_put_member(&b, "commit", m->commit) &&
             ts_json_put_member(&b, "kind", kind_name(m->kind)) && ts_json_put_member(&b, "quant", m->quant) &&
             ts_json_put_member(&b, "license", p->license) && ts_json_put_member(&b, "renamed_to", p->renamed_to) &&
             ts_buf_printf(&b, "\"bytes\":%llu,\"files\":%zu,\"fetched_bytes\":%llu,\"fetched_files\":%zu,",
                           (unsigned long long)m->bytes, m->n_files, (unsigned long long)p->fetched, p->n_fetched);
    ok = ok && put_requests(&b, log) && ts_buf_puts(&b, "}\n");
    if (ok) fwrite(b.data, 1, b.len, stdout);
    else (void)ts_fail_nomem(&err, "the report", b.len);
    ts_buf_free(&b);
    return ok ? CLI_OK : cli_fail(&err);
}

/* A word as a shell takes it, whatever it has in it. */
static bool put_word(ts_buf *b, const char *s) {
    bool ok = ts_buf_putc(b, '\'');
    for (; *s && ok; s++) ok = *s == '\'' ? ts_buf_puts(b, "'\\''") : ts_buf_putc(b, *s);
    return ok && ts_buf_putc(b, '\'');
}

/* What can be done with it: a command that is right, or none. */
static void report_use(const ts_hub_model *m) {
    ts_buf b = {0};
    char shown[4096];
    const char *slash = strrchr(m->path, '/');
    const bool single =
        m->kind == TS_HUB_FILE || (m->kind == TS_HUB_GGUF && ts_hub_is_aside(slash ? slash + 1 : m->path));
    if (single) {
        ts_printable(shown, sizeof shown, m->path, strlen(m->path));
        printf("  it lies at %s\n", shown);
    }
    if (put_word(&b, m->name) && ts_printable(shown, sizeof shown, b.data, b.len) == b.len && !strcmp(shown, b.data)) {
        if (single) printf("  it is no model, so tessera list does not have it; to remove it: tessera rm %s\n", shown);
        else printf("  to run it: tessera chat -m %s\n", shown);
    }
    ts_buf_free(&b);
}

static void report(const ts_hub_pulled *p, bool quiet) {
    const ts_hub_model *m = &p->model;
    char size[32], file[300], shown[700];
    ts_printable(shown, sizeof shown, m->name, strlen(m->name));
    cli_store_size(size, m->bytes);
    const char *slash = strrchr(m->path, '/'), *name = slash ? slash + 1 : m->path;
    ts_printable(file, sizeof file, name, strlen(name));
    if (quiet) {
        printf("%s\n", shown);
        return;
    }
    printf("%s  %s  %s\n", shown, size, p->n_fetched ? "fetched, and its hash is right" : "was there already");
    if (m->kind == TS_HUB_FOLDER) printf("  taken: a folder of %zu files\n", m->n_files);
    else if (*m->quant) printf("  taken: %s (%s%s)\n", m->quant, file, m->n_files > 1 ? " and its other parts" : "");
    else printf("  taken: %s\n", file);
    if (m->n_alike)
        printf("  %zu other file%s would fit the name too: ORG/NAME/FILE takes a certain one\n", m->n_alike,
               m->n_alike == 1 ? "" : "s");
    if (*p->renamed_to) printf("  the repository is called %s now\n", p->renamed_to);
    if (*p->license) printf("  licence: %s\n", p->license);
    report_use(m);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int pull(const char *text, cli_store *s, bool json) {
    ts_hub_name name;
    ts_hub_pulled p = {0};
    ts_err err;
    ts_status st = cli_store_parse(&name, text, &err);
    if (st != TS_OK) return cli_fail(&err);
    s->opts.log = ts_hub_log_new();
    if (!s->opts.log) return ts_fail_nomem(&err, "a log", 0), cli_fail(&err);
    st = cli_store_pull(s, &name, &p, &err);
    int code = CLI_OK;
    if (st != TS_OK) code = cli_fail(&err);
    if (st == TS_E_CANCELLED) code = CLI_INTERRUPTED;
    if (json && report_json(&p, s->opts.log, st == TS_OK ? NULL : &err) != CLI_OK) code = CLI_FAIL;
    if (!json && st == TS_OK) report(&p, s->quiet);
    ts_hub_log_free(s->opts.log);
    ts_hub_model_free(&p.model);
    return code;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    bool json = false, offline = false, quiet = false;
    const char *device = NULL;
    double stall = 30, wait = 1;
    long connections = 3;
    const cli_opt opts[] = {
        {CLI_FLAG, 0, "offline", NULL, &offline, 0, 0, "ask nobody: is it in the store?"},
        {CLI_STR, 0, "device", "NAME", &device, 0, 0,
         "where it is to run: for npu, Q4_0 is taken where no quant is asked for", .also = "-dev",
         .values = "cpu npu npu-sim", .behind = ":+"},
        {CLI_FLAG, 0, "json", NULL, &json, 0, 0, "one JSON object, with a log of the requests"},
        {CLI_FLAG, 'q', "quiet", NULL, &quiet, 0, 0, "print the model's name alone, and no progress"},
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "The network"},
        {CLI_INT, 0, "connections", "N", &connections, 1, 8, "files that are fetched at a time (default 3)"},
        {CLI_REAL, 0, "stall-timeout", "SECONDS", &stall, 0.05, 86400,
         "without a byte for so long a connection is given up, and another one goes on (default 30)"},
        {CLI_REAL, 0, "retry-wait", "SECONDS", &wait, 0.001, 3600,
         "before a second try; before the next ones twice as long, and so on (default 1)"},
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    cli_store s = {0};
    if (code == CLI_OK && rest.n > 1) code = cli_usage_error(cmd, "one model at a time: what is \"%s\"?", rest.item[1]);
    if (code == CLI_OK && !rest.n && json) code = cli_usage_error(cmd, "--json is about a model: name one");
    const char *name = code == CLI_OK && rest.n ? rest.item[0] : NULL;
    cli_model m = {.device = device};
    if (code == CLI_OK && device) code = cli_device(cmd, &m);
    if (code == CLI_OK && !name) print_suggested();
    if (name && code == CLI_OK) code = cli_store_open(&s, !offline);
    if (name && code == CLI_OK) {
        s.opts.offline |= offline;
        s.opts.for_npu = cli_is_npu(device);
        s.opts.stall_s = stall, s.opts.retry_wait_s = wait;
        s.opts.n_connections = (int)connections;
        s.quiet = quiet;
        code = pull(name, &s, json);
    }
    cli_store_close(&s);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_pull = {
    .name = "pull",
    .args = "[ORG/NAME[:QUANT|/FILE][@REV]]",
    .summary = "fetch a model of the hub (Hugging Face) into the store",
    .text =
        "Without a name: a short list of models to begin with. With one, the model's GGUF file comes (all parts of a "
        "split "
        "one; where there is none, the folder with its safetensors), every byte is hashed, and it is then called by "
        "its name: "
        "tessera chat -m ORG/NAME:QUANT. Which quant is taken where none is named is said; Q4_K_M is the first choice. "
        "Addresses of the hub's pages are names too.\n"
        "\n"
        "What breaks is taken up where it broke, in this run or, after Ctrl-C, by the same command. The store is the "
        "folder "
        "that other programs use ($HF_HUB_CACHE, ~/.cache/huggingface/hub): what they have fetched is not fetched "
        "again. For gated models set HF_TOKEN. HF_ENDPOINT names a mirror, HF_HUB_OFFLINE=1 is --offline, https_proxy "
        "and "
        "SSL_CERT_FILE mean what they mean elsewhere.\n"
        "Exit code: 0 it is there, 1 failed, 2 wrong usage, 130 after Ctrl-C.",
    .run = run,
};
