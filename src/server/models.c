/* models.c - the models of a server. */
#include "server/models.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

const char *const srv_calls_name[] = {"hermes", "llama3", "mistral", "mistral-args", "deepseek-r1", "deepseek-v3"};

enum { PATIENCE_S = 5 }; /* a worker that waits for another model's requests to end keeps others waiting, too */

struct srv_models {
    const ts_server_opts *o;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a model was loaded, or let go */
    srv_model **model;      /* [n] the first is the one that requests without a name get */
    size_t n, cap;
};

/* ---- the list ---------------------------------------------------------------------------------------------------- */

/* What Ollama's clients take for the identity of a file: here of its name, size and time, not of its bytes, which would
 * have to be read. */
static void set_digest(srv_model *m) {
    uint64_t h = 0xcbf29ce484222325u ^ m->file_bytes;
    char *at = m->digest;
    for (int part = 0; part < 4; part++) {
        for (const char *s = m->name; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
        h = (h ^ (uint64_t)m->modified) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        at += sprintf(at, "%016llx", (unsigned long long)h);
    }
}

static void unload(srv_model *m);

static void model_free(srv_model *m) {
    if (!m) return;
    unload(m);
    ts_free((char *)m->name);
    ts_free((char *)m->path);
    ts_free(m);
}

/* The file's name without folder and ".gguf". */
static char *name_of(const char *path) {
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && !strcasecmp(base + n - 5, ".gguf")) n -= 5;
    return ts_strndup(base, n);
}

static ts_status add(srv_models *l, const char *path, const char *name, const char *device, bool kept, ts_err *err) {
    struct stat st;
    if (stat(path, &st) != 0) return ts_fail_os(err, TS_E_IO, errno, "%s", path);
    srv_model *m = ts_calloc(1, sizeof *m);
    if (m) {
        m->path = ts_strdup(path);
        m->name = name ? ts_strdup(name) : name_of(path);
    }
    if (!m || !m->path || !m->name || !ts_grow((void **)&l->model, &l->cap, l->n + 1, sizeof *l->model)) {
        model_free(m);
        return ts_fail_nomem(err, "the list of models", sizeof *m);
    }
    m->kept = kept;
    m->device = device;
    m->modified = st.st_mtime;
    m->file_bytes = (uint64_t)st.st_size;
    m->keep_s = l->o->idle_unload_s;
    set_digest(m);
    for (size_t i = 0; i < l->n; i++)
        if (!strcasecmp(l->model[i]->name, m->name)) {
            ts_status s = ts_fail(err, TS_E_INVAL, "two models are called %s: %s and %s; give one another name, "
                                  "-m NAME=FILE", m->name, l->model[i]->path, path);
            model_free(m);
            return s;
        }
    l->model[l->n++] = m;
    return TS_OK;
}

/* "x-00002-of-00003.gguf" is no model of its own; the first part is. */
static bool is_later_part(const char *name) {
    const size_t n = strlen(name);
    unsigned part, of;
    return n > 20 && sscanf(name + n - 20, "-%5u-of-%5u", &part, &of) == 2 && part > 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static ts_status add_folder(srv_models *l, const char *dir, ts_err *err) {
    DIR *d = opendir(dir);
    if (!d) return ts_fail_os(err, TS_E_IO, errno, "the folder of models %s", dir);
    char **name = NULL;
    size_t n = 0, cap = 0;
    ts_status s = TS_OK;
    for (struct dirent *f; s == TS_OK && (f = readdir(d));) {
        const size_t len = strlen(f->d_name);
        if (f->d_name[0] == '.' || len < 6 || strcasecmp(f->d_name + len - 5, ".gguf") || is_later_part(f->d_name))
            continue;
        if (!ts_grow((void **)&name, &cap, n + 1, sizeof *name) || !(name[n] = ts_strdup(f->d_name)))
            s = ts_fail_nomem(err, "the list of models", len);
        else
            n++;
    }
    closedir(d);
    if (n) qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++) {
        ts_buf path = {0};
        if (s == TS_OK && !ts_buf_printf(&path, "%s/%s", dir, name[i])) s = ts_fail_nomem(err, "a path", 0);
        bool have = false; /* given with -m, too */
        for (size_t k = 0; k < l->n && s == TS_OK; k++) have |= !strcmp(l->model[k]->path, path.data);
        if (s == TS_OK && !have) s = add(l, path.data, NULL, NULL, false, err);
        ts_buf_free(&path);
        ts_free(name[i]);
    }
    ts_free(name);
    return s;
}

int srv_models_find(srv_models *l, const char *name) {
    if (!name || !*name) return l->n ? 0 : -1;
    size_t n = strlen(name);
    if (n > 7 && !strcmp(name + n - 7, ":latest")) n -= 7;
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->model[i]->name) == n && !strncmp(l->model[i]->name, name, n)) return (int)i;
    return -1;
}

bool srv_models_each(srv_models *l, srv_model_see *see, void *ud) {
    bool ok = true;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n && ok; i++) ok = see(ud, l->model[i]);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

/* ---- load and unload --------------------------------------------------------------------------------------------- */

/* What the template says of calls of tools and of thinking: marks that stand in its text. */
static void look_at_template(srv_model *m) {
    const char *t = NULL, *name, *one;
    size_t len = 0, n;
    for (size_t i = 0; (one = ts_engine_chat_template(m->engine, i, &name, &n)); i++)
        if (i == 0 || (name && !strcmp(name, "tool_use"))) t = one, len = n; /* where there are tools, it is the one */
    char *text = t ? ts_strndup(t, len) : NULL;
    m->generic_calls = true;
    m->thinks = false;
    if (!text) return;
    static const struct {
        const char *mark, *also;
        srv_calls calls;
    } form[] = {{"<｜tool▁calls▁begin｜>", "```json", SRV_CALLS_DEEPSEEK_R1},
                {"<｜tool▁calls▁begin｜>", "", SRV_CALLS_DEEPSEEK_V3},
                {"[TOOL_CALLS]", "[ARGS]", SRV_CALLS_MISTRAL_ARGS},
                {"[TOOL_CALLS]", "", SRV_CALLS_MISTRAL},
                {"<tool_call>", "\"arguments\"", SRV_CALLS_HERMES},
                {"<|python_tag|>", "\"parameters\"", SRV_CALLS_LLAMA3},
                {"\"parameters\": ", "ipython", SRV_CALLS_LLAMA3}};
    for (size_t i = 0; i < sizeof form / sizeof *form && m->generic_calls; i++)
        if (strstr(text, "tools") && strstr(text, form[i].mark) && strstr(text, form[i].also)) {
            m->calls = form[i].calls;
            m->generic_calls = false;
        }
    m->thinks = strstr(text, "</think>") != NULL;
    ts_free(text);
}

static ts_status load(srv_models *l, srv_model *m, ts_err *err) {
    const ts_server_opts *o = l->o;
    ts_engine_opts eo = o->engine;
    if (m->device) eo.device = m->device;
    eo.ledger = true; /* every answer can say what ran where */
    TS_TRY(ts_engine_open(&m->engine, m->path, &eo, err));
    ts_engine_info(m->engine, &m->info);
    const ts_prefix_opts po = {.memory_bytes = o->cache_memory, .dir = o->cache_dir, .disk_bytes = o->cache_disk};
    ts_session *s = NULL;
    const ts_session_opts so = {.n_ctx = o->n_ctx, .kv = o->kv};
    ts_status status = ts_session_new(&s, m->engine, &so, err);
    if (status == TS_OK) m->n_ctx = ts_session_n_ctx(s);
    ts_session_free(s);
    if (status == TS_OK) status = ts_prefix_store_new(&m->prefix, m->engine, &po, err);
    if (status == TS_OK) look_at_template(m);
    srv_forms_init(&m->forms);
    m->has_forms = true;
    return status;
}

static void unload(srv_model *m) {
    if (m->has_forms) srv_forms_fini(&m->forms);
    m->has_forms = false;
    ts_prefix_store_free(m->prefix);
    ts_engine_close(m->engine);
    m->prefix = NULL, m->engine = NULL;
    m->info = (ts_model_info){0};
}

/* Of the models that may go and that nobody uses, the one that has been idle longest. */
static srv_model *idlest(srv_models *l) {
    srv_model *best = NULL;
    for (size_t i = 0; i < l->n; i++) {
        srv_model *m = l->model[i];
        if (m->engine && !m->kept && !m->users && !m->loading && (!best || m->used_ns < best->used_ns)) best = m;
    }
    return best;
}

static size_t loaded(const srv_models *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) n += !l->model[i]->kept && (l->model[i]->engine || l->model[i]->loading);
    return n;
}

/* Under the lock, which loading lets go of meanwhile. */
static bool load_locked(srv_models *l, srv_model *m, srv_error *e) {
    ts_err err;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    while (!m->engine && loaded(l) >= l->o->max_loaded) { /* somebody has to go first */
        srv_model *old = idlest(l);
        if (old) unload(old);
        else if (pthread_cond_timedwait(&l->changed, &l->lock, &until) != 0)
            return srv_refuse(e, 503, "model", "%s cannot be loaded: %u other models are in use (--max-loaded)",
                              m->name, l->o->max_loaded);
    }
    if (m->engine || m->loading) return true; /* somebody else was quicker */
    m->loading = true;
    ts_status s;
    do {
        pthread_mutex_unlock(&l->lock);
        s = load(l, m, &err);
        pthread_mutex_lock(&l->lock);
        if (s == TS_OK) break;
        unload(m);
        srv_model *old = s == TS_E_NOMEM ? idlest(l) : NULL; /* perhaps it is another one's memory */
        if (!old) break;
        unload(old);
    } while (s == TS_E_NOMEM);
    m->loading = false;
    pthread_cond_broadcast(&l->changed);
    return s == TS_OK || srv_refuse_err(e, "model", &err);
}

srv_model *srv_models_get(srv_models *l, const char *name, srv_error *e) {
    int at = srv_models_find(l, name);
    if (at < 0 && l->o->any_model && l->n) at = 0;
    if (at < 0) {
        srv_refuse(e, 404, "model", "there is no model %.200s here; /v1/models lists those that there are",
                   name ? name : "");
        e->code = "model_not_found";
        return NULL;
    }
    srv_model *m = l->model[at];
    pthread_mutex_lock(&l->lock);
    bool ok = true;
    while (ok && (!m->engine || m->loading)) {
        if (m->loading) pthread_cond_wait(&l->changed, &l->lock);
        else ok = load_locked(l, m, e);
    }
    if (ok) m->users++;
    pthread_mutex_unlock(&l->lock);
    return ok ? m : NULL;
}

void srv_model_hold(srv_models *l, srv_model *m) {
    pthread_mutex_lock(&l->lock);
    m->users++;
    pthread_mutex_unlock(&l->lock);
}

void srv_model_drop(srv_models *l, srv_model *m) {
    if (!m) return;
    pthread_mutex_lock(&l->lock);
    m->users--;
    m->used_ns = ts_now_ns();
    if (!m->users) pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void srv_model_keep(srv_models *l, srv_model *m, int64_t seconds) {
    pthread_mutex_lock(&l->lock);
    m->keep_s = seconds;
    pthread_mutex_unlock(&l->lock);
}

void srv_models_tidy(srv_models *l) {
    const uint64_t now = ts_now_ns();
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        srv_model *m = l->model[i];
        if (m->engine && !m->kept && !m->users && !m->loading && m->keep_s >= 0 &&
            (now - m->used_ns) / 1000000000u >= (uint64_t)m->keep_s)
            unload(m);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

ts_status srv_models_new(srv_models **out, const ts_server_opts *o, ts_err *err) {
    srv_models *l = ts_calloc(1, sizeof *l);
    if (!l) return ts_fail_nomem(err, "the list of models", sizeof *l);
    l->o = o;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    ts_status s = TS_OK;
    for (size_t i = 0; i < o->n_model && s == TS_OK; i++) {
        s = add(l, o->model[i].path, o->model[i].name, o->model[i].device, true, err);
        if (s == TS_OK) s = load(l, l->model[l->n - 1], err);
    }
    if (s == TS_OK && o->models_dir) s = add_folder(l, o->models_dir, err);
    if (s == TS_OK && l->n == 0)
        s = ts_fail(err, TS_E_INVAL, "there is no model: give one with -m FILE, or a folder of *.gguf with --models");
    if (s != TS_OK) {
        srv_models_free(l);
        return s;
    }
    *out = l;
    return TS_OK;
}

void srv_models_free(srv_models *l) {
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) model_free(l->model[i]);
    ts_free(l->model);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    ts_free(l);
}
