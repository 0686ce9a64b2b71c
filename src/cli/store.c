#include "cli/store.h"

#include "base/file.h"

#ifdef TS_HAVE_HUB
#    include "base/printable.h"

#    include <ctype.h>
#    include <signal.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>
#    include <strings.h>
#    include <unistd.h>

/* ---- the environment --------------------------------------------------------------------------------------------- */

/* A variable that says something: one of blanks alone counts as not set. */
static const char *env(const char *name) {
    const char *v = getenv(name);
    return v && v[strspn(v, " \t\r\n")] ? v : NULL;
}

static bool env_is_on(const char *name) {
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *v = env(name);
    for (size_t i = 0; v && i < sizeof yes / sizeof *yes; i++)
        if (!strcasecmp(v, yes[i])) return true;
    return false;
}

/* Keeps it for cli_store_close; NULL in, NULL out. */
static const char *own(cli_store *s, char *text) {
    if (text && s->n_owned < sizeof s->owned / sizeof *s->owned) s->owned[s->n_owned++] = text;
    return text;
}

/* "~/x" is a folder of $HOME, as other programs read their variables. */
static const char *folder(cli_store *s, const char *base, const char *below) {
    const char *home = env("HOME");
    ts_buf b = {0};
    if (!base) return NULL;
    const bool tilde = base[0] == '~' && (base[1] == '/' || !base[1]) && home;
    if (ts_buf_printf(&b, "%s%s%s", tilde ? home : "", base + tilde, below)) {
        while (b.len > 1 && b.data[b.len - 1] == '/') b.data[--b.len] = 0;
        return own(s, b.data);
    }
    ts_buf_free(&b);
    return NULL;
}

/* The folder of that kind: $XDG_CACHE_HOME, or ~/.cache. */
static const char *xdg(cli_store *s, const char *variable, const char *otherwise, const char *below) {
    const char *v = env(variable);
    char text[128];
    if (v && *v == '/') return folder(s, v, below);
    snprintf(text, sizeof text, "%s%s", otherwise, below);
    return env("HOME") ? folder(s, text, "") : NULL;
}

static const char *hf_home(cli_store *s, const char *below) {
    char text[64];
    if (env("HF_HOME")) return folder(s, env("HF_HOME"), below);
    snprintf(text, sizeof text, "/huggingface%s", below);
    return xdg(s, "XDG_CACHE_HOME", "~/.cache", text);
}

static const char *cache_folder(cli_store *s) {
    static const char *const names[] = {"TESSERA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (env(names[i])) return folder(s, env(names[i]), "");
    return hf_home(s, "/hub");
}

static ts_status read_token(cli_store *s, ts_err *err) {
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    enum { TOKEN_MAX = 64 << 10 };
    char *token = NULL;
    ts_status st = TS_OK;
    for (size_t i = 0; i < 2; i++)
        if (env(names[i])) {
            st = ts_hub_token(&token, env(names[i]), strlen(env(names[i])), names[i], err);
            s->opts.token = own(s, token);
            return st;
        }
    if (env_is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return TS_OK;
    const char *path = env("HF_TOKEN_PATH") ? folder(s, env("HF_TOKEN_PATH"), "") : hf_home(s, "/token");
    ts_buf text = {0};
    if (!path || !ts_file_exists(path) || ts_file_is_dir(path)) return TS_OK;
    ts_err unread; /* a file of somebody else is no reason not to fetch what anybody may have */
    if (ts_file_read(&text, path, TOKEN_MAX, &unread) == TS_OK && text.len)
        st = ts_hub_token(&token, text.data, text.len, path, err);
    s->opts.token = own(s, token);
    ts_buf_free(&text);
    return st;
}

static ts_status read_network(cli_store *s, ts_err *err) {
    char *endpoint = NULL;
    const char *given = env("HF_ENDPOINT");
    TS_TRY(ts_hub_endpoint(&endpoint, given ? given : "https://huggingface.co", "HF_ENDPOINT", err));
    s->opts.endpoint = own(s, endpoint);
    static const char *const files[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof files / sizeof *files && !s->opts.ca_file; i++) {
        s->opts.ca_file = env(files[i]);
        if (s->opts.ca_file && access(s->opts.ca_file, R_OK) != 0)
            return ts_fail(err, TS_E_IO, "%s names %s, which cannot be read", files[i], s->opts.ca_file);
    }
    s->opts.ca_dir = env("SSL_CERT_DIR");
    return read_token(s, err);
}

/* false: there is no place for a store. */
static bool find_folders(cli_store *s) {
    *s = (cli_store){0};
    s->opts.cache = cache_folder(s);
    s->opts.own_cache = xdg(s, "XDG_CACHE_HOME", "~/.cache", "/tessera/hub");
    s->opts.state = xdg(s, "XDG_STATE_HOME", "~/.local/state", "/tessera");
    return s->opts.cache != NULL;
}

int cli_store_open(cli_store *s, bool network) {
    ts_err err;
    if (!find_folders(s)) {
        (void)ts_fail(&err, TS_E_IO, "where do models lie? Neither HOME nor TESSERA_CACHE is set");
        return cli_fail(&err);
    }
    s->opts.offline = env_is_on("HF_HUB_OFFLINE") || env_is_on("TRANSFORMERS_OFFLINE");
    return !network || s->opts.offline || read_network(s, &err) == TS_OK ? CLI_OK : cli_fail(&err);
}

ts_status cli_store_parse(ts_hub_name *out, const char *text, ts_err *err) {
    const char *given = env("HF_ENDPOINT");
    char *endpoint = NULL;
    ts_err why; /* one that is none is a matter of who asks the network */
    if (given) (void)!ts_hub_endpoint(&endpoint, given, "HF_ENDPOINT", &why);
    const ts_status st = ts_hub_name_parse(out, text, endpoint, err);
    ts_free(endpoint);
    return st;
}

void cli_store_close(cli_store *s) {
    for (size_t i = 0; i < s->n_owned; i++) ts_free(s->owned[i]);
    *s = (cli_store){0};
}

/* ---- what is seen of it ------------------------------------------------------------------------------------------ */

void cli_store_size(char out[32], uint64_t bytes) {
    const double v = (double)bytes;
    if (v < 1e6) snprintf(out, 32, "%.1f kB", v / 1e3);
    else if (v < 1e9) snprintf(out, 32, "%.1f MB", v / 1e6);
    else snprintf(out, 32, "%.2f GB", v / 1e9);
}

static bool show(void *ud, uint64_t done, uint64_t all, uint64_t before) {
    cli_store *s = ud;
    if (!s->progress.begin_ns) s->progress.start = before; /* then its thread reads it */
    return s->quiet ? !cli_interrupted() : cli_progress_step(&s->progress, done, all);
}

static bool stop(void *ud) {
    return cli_interrupt_stop(ud);
}

static void note(void *ud, const char *line) {
    const cli_store *s = ud;
    char shown[1000];
    ts_printable(shown, sizeof shown, line, strlen(line));
    if (!s->quiet) cli_progress_log(NULL, TS_LOG_INFO, shown);
}

static void hook(cli_store *s, const char *what) {
    s->progress = (cli_progress){.what = what, .unit = "MiB", .per_unit = 1 << 20, .rate = true};
    s->opts.progress = show, s->opts.stop = stop, s->opts.note = note, s->opts.ud = s;
}

ts_status cli_store_pull(cli_store *s, const ts_hub_name *name, ts_hub_pulled *out, ts_err *err) {
    struct sigaction before;
    hook(s, s->opts.offline ? "checking" : "fetching");
    cli_catch_interrupt();
    cli_catch_terminate(&before);
    ts_status st = ts_hub_pull(out, name, &s->opts, err);
    cli_progress_end(&s->progress);
    sigaction(SIGTERM, &before, NULL);
    if (st == TS_E_CANCELLED)
        return ts_fail(err, st, "interrupted; what has come is kept, and the same command goes on from there");
    return st;
}

/* ---- models by name ---------------------------------------------------------------------------------------------- */

static cli_list kept; /* paths that have taken the place of names, until the program ends */

static int keep(char *text, const char **path) {
    ts_err err;
    if (text && ts_grow((void **)&kept.item, &kept.cap, kept.n + 1, sizeof *kept.item)) {
        *path = kept.item[kept.n++] = text;
        return CLI_OK;
    }
    ts_free(text);
    (void)ts_fail_nomem(&err, "a path", 0);
    return cli_fail(&err);
}

static void tell(const char *what, const char *model, uint64_t bytes) {
    char size[32], shown[700];
    cli_store_size(size, bytes);
    ts_printable(shown, sizeof shown, model, strlen(model));
    fprintf(stderr, "tessera: %s, %s, %s\n", shown, size, what);
}

int cli_find_model(const char **path, bool for_npu, bool quiet) {
    ts_hub_name name;
    cli_store s;
    ts_hub_model m = {0};
    bool found = false;
    ts_err err;
    if (!*path || ts_file_exists(*path) || cli_store_parse(&name, *path, &err) != TS_OK) return CLI_OK;
    int code = CLI_OK;
    if (find_folders(&s)) {
        s.opts.for_npu = for_npu;
        hook(&s, "checking");
        const ts_status st = ts_hub_find(&m, &found, &name, &s.opts, &err);
        cli_progress_end(&s.progress);
        if (st == TS_E_FORMAT) ts_err_add(&err, "; tessera pull %s fetches it anew", *path);
        if (st != TS_OK) code = cli_fail(&err);
    }
    if (code == CLI_OK && found) {
        if (!quiet && !*name.tag) tell("is taken, from the store", m.name, m.bytes);
        code = keep(m.path, path);
        m.path = NULL;
    }
    ts_hub_model_free(&m);
    cli_store_close(&s);
    return code;
}

int cli_fetch_model(const cli_command *cmd, const char *text, bool for_npu, bool offline, bool quiet,
                    const char **path) {
    ts_hub_name name;
    cli_store s;
    ts_hub_pulled p = {0};
    ts_err err;
    if (cli_store_parse(&name, text, &err) != TS_OK) return cli_usage_error(cmd, "-hf %s", err.msg);
    const char *there = text;
    int code = cli_find_model(&there, for_npu, quiet);
    if (code || there != text) {
        *path = there;
        return code;
    }
    code = cli_store_open(&s, !offline);
    s.opts.for_npu = for_npu;
    s.opts.offline |= offline;
    s.quiet = quiet;
    if (code == CLI_OK) {
        const ts_status st = cli_store_pull(&s, &name, &p, &err);
        if (st != TS_OK) code = cli_fail(&err);
        if (st == TS_E_CANCELLED) code = CLI_INTERRUPTED;
    }
    if (code == CLI_OK) {
        if (!quiet) tell("is in the store now", p.model.name, p.model.bytes);
        code = keep(p.model.path, path);
        p.model.path = NULL;
    }
    ts_hub_model_free(&p.model);
    cli_store_close(&s);
    return code;
}

#else

int cli_find_model(const char **path, bool for_npu, bool quiet) {
    (void)path, (void)for_npu, (void)quiet;
    return CLI_OK;
}

int cli_fetch_model(const cli_command *cmd, const char *name, bool for_npu, bool offline, bool quiet,
                    const char **path) {
    (void)for_npu, (void)offline, (void)quiet, (void)path;
    return cli_usage_error(cmd, "-hf %s: this build has no libcurl, so nothing can be fetched", name);
}

#endif
