/* cmd_serve.c - tessera serve: models behind HTTP. */
#include "base/file.h"
#include "cli/bundled.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/store.h"
#include "server/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 64 << 10, KEYS = 256 };

typedef struct serve_args {
    cli_model model;
    cli_list models, hf, also_on, peers, allow_host, allow_origin;
    const char *host, *models_dir, *key_file, *cache_dir;
    long port, parallel, queue, max_body, timeout, drain, max_loaded, idle_unload, cache_memory, cache_disk;
    bool insecure, any_model, no_cache;
    ts_buf keys;             /* text of the key file, its lines ended by NULs */
    const char *key[KEYS];
    size_t n_key;
    ts_server_model *list;   /* [n_list], names owned */
    size_t n_list;
    ts_server_peer *peer;    /* [peers.n], names owned */
    char *cache;             /* owned */
} serve_args;

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* A key a line; empty lines and such that begin with # count for nothing. */
static int read_keys(const cli_command *cmd, serve_args *a) {
    const char *env = getenv("TESSERA_API_KEY");
    ts_err err;
    if (!a->key_file) {
        if (!env || !*env) return CLI_OK;
        if (ts_server_key_fault(env)) return cli_usage_error(cmd, "TESSERA_API_KEY %s", ts_server_key_fault(env));
        a->key[a->n_key++] = env;
        return CLI_OK;
    }
    if (ts_file_read(&a->keys, a->key_file, KEY_FILE_MAX, &err) != TS_OK) return cli_fail(&err);
    if (a->keys.len == 0) return cli_usage_error(cmd, "%s is empty: a key a line is wanted", a->key_file);
    unsigned n = 1;
    for (char *line = a->keys.data, *end; line < a->keys.data + a->keys.len; line = end + 1) {
        end = line + strcspn(line, "\r\n");
        const unsigned at = n;
        n += *end == '\n';
        *end = 0;
        if (!*line || *line == '#') continue;
        if (ts_server_key_fault(line))
            return cli_usage_error(cmd, "%s, line %u: the key %s", a->key_file, at, ts_server_key_fault(line));
        if (a->n_key == KEYS) return cli_usage_error(cmd, "%s has more than %d keys", a->key_file, KEYS);
        a->key[a->n_key++] = line;
    }
    if (a->n_key == 0) return cli_usage_error(cmd, "%s has no key: one a line is wanted", a->key_file);
    struct stat st;
    if (stat(a->key_file, &st) == 0 && (st.st_mode & 077))
        fprintf(stderr, "tessera: others can read %s; chmod 600 it\n", a->key_file);
    return CLI_OK;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* "NAME=REST": the name, owned, and what is behind it; NULL: there is none in front. */
static const char *split(const char *text, char **name) {
    const char *eq = strchr(text, '=');
    *name = NULL;
    if (!eq || eq == text || memchr(text, '/', (size_t)(eq - text))) return text;
    *name = ts_strndup(text, (size_t)(eq - text));
    return eq + 1;
}

static char *name_on(const ts_server_model *m, const char *device) {
    const char *base = m->name ? m->name : strrchr(m->path, '/') ? strrchr(m->path, '/') + 1 : m->path;
    size_t n = strlen(base);
    if (!m->name && n > 5 && !strcmp(base + n - 5, ".gguf")) n -= 5;
    ts_buf b = {0};
    return ts_buf_printf(&b, "%.*s@%s", (int)n, base, device) ? b.data : NULL;
}

/* The i-th model of -m, then of -hf: "NAME=" in front is its name, and a name of the hub becomes a path. */
static int read_model(const cli_command *cmd, serve_args *a, size_t i, ts_server_model *m) {
    const bool fetch = i >= a->models.n;
    const char *text = fetch ? a->hf.item[i - a->models.n] : a->models.item[i];
    char *name = NULL;
    ts_err err;
    m->path = split(text, &name);
    m->name = name;
    if (!*m->path) return cli_usage_error(cmd, "%s %s: there is no file behind the name", fetch ? "-hf" : "-m", text);
    if (!name && m->path != text) return ts_fail_nomem(&err, "the list of models", 0), cli_fail(&err);
    const bool npu = cli_is_npu(a->model.device);
    return fetch ? cli_fetch_model(cmd, m->path, npu, a->model.offline, false, &m->path)
                 : cli_find_model(&m->path, npu, false);
}

/* The models to keep: each of -m and -hf, or the default one, and again on every device of --also-on. */
static int read_models(const cli_command *cmd, serve_args *a) {
    bool bundled = false;
    const char *one = a->models.n || a->hf.n || a->models_dir ? NULL : cli_default_model(&bundled);
    ts_err err;
    if (!a->models.n && !a->hf.n && !a->models_dir && !one)
        return cli_usage_error(cmd, "which model? Give one with -m FILE, or a folder with --models DIR");
    const size_t n = one ? 1 : a->models.n + a->hf.n;
    a->list = ts_calloc(n * (1 + a->also_on.n) + 1, sizeof *a->list);
    bool ok = a->list != NULL;
    for (size_t i = 0; i < n && ok; i++) {
        ts_server_model *m = &a->list[a->n_list++];
        m->path = one;
        const int code = one ? cli_find_model(&m->path, cli_is_npu(a->model.device), false) : read_model(cmd, a, i, m);
        if (code) return code;
        for (size_t k = 0; k < a->also_on.n && ok; k++) {
            ts_server_model *again = &a->list[a->n_list++];
            *again = (ts_server_model){m->path, name_on(m, a->also_on.item[k]), a->also_on.item[k]};
            ok = again->name != NULL;
        }
    }
    if (!ok) return ts_fail_nomem(&err, "the list of models", 0), cli_fail(&err);
    for (size_t k = 0; k < a->also_on.n; k++)
        if (ts_device_check(a->also_on.item[k], &err) != TS_OK) return cli_usage_error(cmd, "--also-on: %s", err.msg);
    a->model.path = n ? a->list[0].path : NULL;
    a->model.bundled = bundled;
    return CLI_OK;
}

static int read_peers(const cli_command *cmd, serve_args *a) {
    ts_err err;
    a->peer = ts_calloc(a->peers.n + 1, sizeof *a->peer);
    if (!a->peer) return ts_fail_nomem(&err, "the list of servers", 0), cli_fail(&err);
    for (size_t i = 0; i < a->peers.n; i++) {
        char *name;
        const char *url = split(a->peers.item[i], &name);
        a->peer[i] = (ts_server_peer){name, url};
        const bool web = !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8);
        if (!name || !web || strpbrk(url, " ;,'\"") || url[strlen(url) - 1] == '/')
            return cli_usage_error(cmd, "--peer %s: NAME=http://HOST:PORT is wanted", a->peers.item[i]);
    }
    return CLI_OK;
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

struct signals {
    pthread_mutex_t lock;
    ts_server *server; /* NULL: it is still loading */
    bool leaving;      /* it is being taken apart */
};

static void signals_of_ours(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT), sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR2); /* main's: it is over */
}

/* Waits for SIGINT and SIGTERM, which no other thread gets: the first stops the server when its requests have ended,
 * the second at once. What a worker is in the middle of, such as loading a model, goes on even so; one more ends the
 * process. */
static void *wait_for_signals(void *ud) {
    struct signals *w = ud;
    sigset_t set;
    signals_of_ours(&set);
    for (int n = 0, sig;;) {
        if (sigwait(&set, &sig) != 0) continue;
        if (sig == SIGUSR2) return NULL;
        pthread_mutex_lock(&w->lock);
        if (!w->server) {
            fputs("tessera: interrupted while loading\n", stderr);
            _exit(CLI_FAIL);
        }
        if (w->leaving) {
            fputs("tessera: ended in the middle of what could not be stopped\n", stderr);
            _exit(CLI_FAIL);
        }
        if (n++ == 0) fputs("tessera: stopping when what is computed has ended; again: now\n", stderr);
        ts_server_stop(w->server);
        pthread_mutex_unlock(&w->lock);
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void log_line(void *ud, const char *line) {
    const time_t now = time(NULL);
    struct tm tm;
    char at[32];
    (void)ud;
    localtime_r(&now, &tm);
    strftime(at, sizeof at, "%F %T", &tm);
    fprintf(stderr, "%s %s\n", at, line);
}

static void set_cache_dir(serve_args *a) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    ts_buf b = {0};
    if (a->no_cache || a->cache_dir) return;
    const bool ok = xdg && xdg[0] == '/' ? ts_buf_printf(&b, "%s/tessera/kv", xdg)
                                         : home && *home && ts_buf_printf(&b, "%s/.cache/tessera/kv", home);
    if (ok) a->cache = b.data;
    else ts_buf_free(&b);
    a->cache_dir = a->cache;
}

static void say_where(const serve_args *a, const ts_server *s) {
    const bool any = ts_server_is_any(a->host), v6 = !any && strchr(a->host, ':');
    fprintf(stderr, "tessera: http://%s%s%s:%u/ (page), /v1 (OpenAI, Anthropic), /api (Ollama)%s%s; Ctrl-C stops it\n",
            v6 ? "[" : "", any ? "127.0.0.1" : a->host, v6 ? "]" : "", ts_server_port(s),
            any ? ", at all addresses of this machine" : "", a->n_key ? ", with a key" : "");
}

static int serve(serve_args *a) {
    const ts_server_opts o = {
        .host = a->host, .port = (uint16_t)a->port, .insecure = a->insecure, .key = a->key, .n_key = a->n_key,
        .allow_host = a->allow_host.item, .n_allow_host = a->allow_host.n, .allow_origin = a->allow_origin.item,
        .n_allow_origin = a->allow_origin.n, .model = a->list, .n_model = a->n_list, .peer = a->peer,
        .n_peer = a->peers.n,
        .models_dir = a->models_dir, .max_loaded = (uint32_t)a->max_loaded,
        .idle_unload_s = (uint32_t)a->idle_unload, .engine = cli_engine_opts(&a->model),
        .kv = cli_kv_named(a->model.kv), .n_parallel = (uint32_t)a->parallel, .n_ctx = (uint32_t)a->model.ctx,
        .n_queue = (uint32_t)a->queue, .max_body = (uint32_t)a->max_body << 20, .timeout_s = (uint32_t)a->timeout,
        .drain_s = (uint32_t)a->drain, .cache_dir = a->cache_dir, .cache_memory = (uint64_t)a->cache_memory << 20,
        .cache_disk = (uint64_t)a->cache_disk << 20, .any_model = a->any_model,
        .log = a->model.quiet ? NULL : log_line};
    struct signals w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sigset_t set, old;
    pthread_t waiter;
    ts_server *s = NULL;
    ts_err err;
    signals_of_ours(&set);
    pthread_sigmask(SIG_BLOCK, &set, &old); /* all threads from now on */
    signal(SIGPIPE, SIG_IGN);
    const int fault = pthread_create(&waiter, NULL, wait_for_signals, &w);
    if (fault) return ts_fail_os(&err, TS_E_NOMEM, fault, "cannot start a thread"), cli_fail(&err);
    const ts_status status = ts_server_new(&s, &o, &err);
    pthread_mutex_lock(&w.lock);
    w.server = s;
    pthread_mutex_unlock(&w.lock);
    if (status == TS_OK) {
        say_where(a, s);
        ts_server_wait(s);
    }
    pthread_mutex_lock(&w.lock);
    w.leaving = true;
    pthread_mutex_unlock(&w.lock);
    ts_server_free(s); /* waits for the workers */
    pthread_kill(waiter, SIGUSR2);
    pthread_join(waiter, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status == TS_OK ? CLI_OK : cli_fail(&err);
}

/* A variable of the shell that is not set, most of the time. */
static int check_texts(const cli_command *cmd, const serve_args *a) {
    const char *const text[][3] = {{"--models", a->models_dir, "DIR"}, {"--key-file", a->key_file, "FILE"},
                                   {"--host", a->host, "ADDRESS"}, {"--cache-dir", a->cache_dir, "DIR"}};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (text[i][1] && !*text[i][1]) return cli_usage_error(cmd, "%s needs a value: %s", text[i][0], text[i][2]);
    return CLI_OK;
}

/* What cli_check_model does, where there is only a folder of models. */
static int check_options(const cli_command *cmd, cli_model *m) {
    ts_kv_type kv;
    const int code = cli_device(cmd, m);
    return code ? code : cli_kv_type(cmd, m, &kv);
}

static int run(const cli_command *cmd, int argc, char **argv) {
    serve_args a = {.host = "127.0.0.1", .port = 8080, .parallel = 4, .queue = 64, .max_body = 32, .timeout = 30,
                    .drain = 30, .max_loaded = 1, .idle_unload = 300};
    const cli_opt opts[] = {
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Models"},
        {CLI_LIST, 'm', "model", "[NAME=]FILE", &a.models, 0, 0,
         "a model to keep loaded, repeatable; requests call it NAME (default: its file's name without .gguf)",
         .values = "@model"},
        {CLI_LIST, 0, "hf-repo", "[NAME=]ORG/NAME[:QUANT]", &a.hf, 0, 0,
         "the same for a model of the hub, which is fetched where it is not in the store; repeatable",
         .also = "-hf -hfr"},
        {CLI_FLAG, 0, "offline", NULL, &a.model.offline, 0, 0, "with -hf: ask nobody, it must be in the store"},
        {CLI_STR, 0, "models", "DIR", &a.models_dir, 0, 0,
         "a folder whose *.gguf are loaded when a request names them", .values = "@dir", .also = "--models-dir"},
        {CLI_INT, 0, "max-loaded", "N", &a.max_loaded, 1, 64,
         "of that folder so many are loaded at a time (default 1)", .also = "--models-max"},
        {CLI_INT, 0, "idle-unload", "SECONDS", &a.idle_unload, 1, 1 << 30,
         "and unloaded when so long nobody asked for them (default 300)"},
        {CLI_FLAG, 0, "any-model", NULL, &a.any_model, 0, 0,
         "requests may name any model: the first one answers where there is none of the name"},
        CLI_DEVICE_ONLY_OPTS(a.model),
        {CLI_FLAG, 0, "ledger-check", NULL, &a.model.ledger_check, 0, 0,
         "compare everything that the device computes with the CPU; the page shows it"},
        {CLI_LIST, 0, "also-on", "DEVICE", &a.also_on, 0, 0,
         "each model of -m once more on this device, by the name NAME@DEVICE; repeatable: for comparing"},
        {CLI_INT, 't', "threads", "N", &a.model.threads, 1, 1024, "threads (default: all processors)"},
        CLI_PRE_OPT(a.model),
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Requests"},
        {CLI_INT, 0, "parallel", "N", &a.parallel, 1, 64, "requests that are computed at a time (default 4)",
         .also = "-np"},
        {CLI_INT, 'c', "ctx", "N", &a.model.ctx, 1, 1 << 24,
         "context of each of them in tokens (default: what the model was trained with, at most 4096)",
         .also = "--ctx-size --num-ctx"},
        {CLI_INT, 0, "queue", "N", &a.queue, 1, 4096, "requests that may wait; more get 429 (default 64)"},
        CLI_KV_OPTS(a.model),
        {CLI_STR, 0, "cache-dir", "DIR", &a.cache_dir, 0, 0,
         "where keys and values of prompts are kept for later runs (default: $XDG_CACHE_HOME/tessera/kv)",
         .values = "@dir"},
        {CLI_FLAG, 0, "no-cache-dir", NULL, &a.no_cache, 0, 0, "keep them in memory only"},
        {CLI_INT, 0, "cache-memory", "MIB", &a.cache_memory, 0, 1 << 24,
         "of them in memory (default 0: a quarter of what is free)"},
        {CLI_INT, 0, "cache-disk", "MIB", &a.cache_disk, 0, 1 << 24, "of them on disk (default 0: 8192)"},
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Who may ask"},
        {CLI_STR, 0, "host", "ADDRESS", &a.host, 0, 0,
         "listen there (default 127.0.0.1: this machine alone; another address needs keys)"},
        {CLI_INT, 0, "port", "N", &a.port, 0, 65535, "and at this port (default 8080; 0: any that is free)"},
        {CLI_STR, 0, "key-file", "FILE", &a.key_file, 0, 0,
         "requests need one of these keys, one a line (default: $TESSERA_API_KEY, if it is set)", .values = "@file",
         .also = "--api-key-file"},
        {CLI_FLAG, 0, "insecure", NULL, &a.insecure, 0, 0, "let others reach it without a key"},
        {CLI_LIST, 0, "allow-host", "NAME", &a.allow_host, 0, 0,
         "a name that requests may have in Host, beside localhost and the address; repeatable"},
        {CLI_LIST, 0, "allow-origin", "ORIGIN", &a.allow_origin, 0, 0,
         "pages of this origin (https://app.example) may use it; repeatable"},
        {CLI_LIST, 0, "peer", "NAME=URL", &a.peers, 0, 0,
         "another server that the page may compare with, which has to allow this one's origin; repeatable"},
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Limits"},
        {CLI_INT, 0, "max-body", "MIB", &a.max_body, 1, 1024, "of a request (default 32)"},
        {CLI_INT, 0, "timeout", "SECONDS", &a.timeout, 1, 86400, "for a request to arrive (default 30)"},
        {CLI_INT, 0, "drain", "SECONDS", &a.drain, 1, 86400,
         "for what is computed to end after SIGTERM or Ctrl-C (default 30)"},
        {CLI_FLAG, 'q', "quiet", NULL, &a.model.quiet, 0, 0, "no line for each request"},
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK && rest.n) code = cli_usage_error(cmd, "what is \"%s\"? A model is given with -m", rest.item[0]);
    if (code == CLI_OK) code = check_texts(cmd, &a);
    if (code == CLI_OK) code = read_keys(cmd, &a);
    if (code == CLI_OK) code = read_models(cmd, &a);
    if (code == CLI_OK) code = read_peers(cmd, &a);
    if (code == CLI_OK) code = a.model.path ? cli_check_model(cmd, &a.model) : check_options(cmd, &a.model);
    if (code == CLI_OK) {
        set_cache_dir(&a);
        code = serve(&a);
    }
    for (size_t i = 0; i < a.n_list; i++) ts_free((char *)a.list[i].name);
    for (size_t i = 0; a.peer && i < a.peers.n; i++) ts_free((char *)a.peer[i].name);
    ts_free(a.list), ts_free(a.peer);
    ts_free(a.cache);
    ts_buf_free(&a.keys);
    const cli_list *const lists[] = {&a.models, &a.hf, &a.also_on, &a.peers, &a.allow_host, &a.allow_origin, &rest};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->item);
    return code < 0 ? CLI_OK : code;
}

const cli_command cmd_serve = {
    .name = "serve",
    .args = "",
    .summary = "serve clients of OpenAI, Anthropic and Ollama, and a page",
    .text = "Programs connect to http://127.0.0.1:8080/v1 (OpenAI, Anthropic) or http://127.0.0.1:8080 (Ollama, "
            "llama-server); a web page to chat with is at http://127.0.0.1:8080/. Several requests are computed at a "
            "time, and each gets the text that it would get alone, bit for bit.\n"
            "\n"
            "Only this machine's own programs are let in: another address needs --host and keys. Ctrl-C or SIGTERM: no "
            "new requests, and an end when what is computed has ended; again: now.\n"
            "Exit code: 0 ended in order, 1 failed, 2 wrong usage.",
    .run = run,
};
