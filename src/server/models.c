/* models.c - the models of a server. */
#include "server/models.h"

#include "base/clock.h"
#include "base/hash.h"
#include "server/folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *const srv_calls_name[] = {"hermes", "llama3", "mistral", "mistral-args", "deepseek-r1", "deepseek-v3"};

enum {
    PATIENCE_S = 5, /* a worker that waits for another model's requests to end keeps others waiting, too */
    TRIES = 3,      /* of loading a file that changes meanwhile */
};

struct srv_models {
    const ts_server_opts *o;
    size_t dir_len;         /* of o->models_dir, without slashes at its end */
    pthread_mutex_t look;   /* held by who looks at the folder, around `lock`: no older look comes behind */
    pthread_mutex_t lock;   /* what follows */
    pthread_cond_t changed; /* a model was loaded, let go, or is gone */
    srv_model **model;      /* [n] the first is the one that requests without a name get */
    size_t n, cap;
    srv_model *gone;        /* out of the list; used, or waiting to be freed */
    size_t n_freeing;       /* of these, loaded ones that somebody is about to free */
    uint64_t n_loads;
};

/* ---- a model ----------------------------------------------------------------------------------------------------- */

/* What Ollama's clients take for the identity of a file: here of its name, size and time, not of its bytes, which would
 * have to be read. */
static void set_digest(srv_model *m, const srv_file *f) {
    uint64_t h = TS_FNV1A ^ f->bytes;
    char *at = m->digest;
    for (int part = 0; part < 4; part++) {
        h = ts_fnv1a(h, m->name, strlen(m->name));
        h = (h ^ (uint64_t)f->modified_ns) * 0x9e3779b97f4a7c15u;
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

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Of a file's name, without ".gguf". */
static size_t name_len(const char *file) {
    const size_t n = strlen(file);
    return n > 5 && !strcasecmp(file + n - 5, ".gguf") ? n - 5 : n;
}

/* Takes `path`, if it is NULL for want of memory, too; `name` NULL: the file's. */
static srv_model *model_new(const srv_models *l, char *path, const char *name, const srv_file *f) {
    srv_model *m = path ? ts_calloc(1, sizeof *m) : NULL;
    if (!m) {
        ts_free(path);
        return NULL;
    }
    m->path = path;
    m->name = name ? ts_strdup(name) : ts_strndup(base_of(path), name_len(base_of(path)));
    if (!m->name) {
        model_free(m);
        return NULL;
    }
    m->stamp = f->stamp;
    m->modified = f->modified_ns / 1000000000;
    m->file_bytes = f->bytes;
    m->keep_s = l->o->idle_unload_s;
    set_digest(m, f);
    return m;
}

/* Parts of a split model have the folder's path and the beginning of the name in common. */
void srv_model_hide_folder(const srv_model *m, char *text) {
    const char *base = base_of(m->path);
    const size_t dir = (size_t)(base - m->path);
    size_t n = dir + name_len(base);
    if (n > dir + 15 && !strncmp(m->path + n - 15, "-00001-of-", 10)) n -= 15;
    for (char *at = text; dir > 0 && *at; at++)
        if (!strncmp(at, m->path, n)) memmove(at, at + dir, strlen(at + dir) + 1);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

/* One whose name differs at most in capitals: files would be hard to tell apart by it. */
static const srv_model *namesake(const srv_models *l, const char *name, size_t len) {
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->model[i]->name) == len && !strncasecmp(l->model[i]->name, name, len)) return l->model[i];
    return NULL;
}

static ts_status fail_namesake(const srv_model *m, const char *path, ts_err *err) {
    return ts_fail(err, TS_E_INVAL, "two models are called %s: %s and %s; give one another name, -m NAME=FILE", m->name,
                   m->path, path);
}

/* Takes `m`, which may be NULL for want of memory. */
static ts_status insert(srv_models *l, srv_model *m, ts_err *err) {
    if (!m || !ts_grow((void **)&l->model, &l->cap, l->n + 1, sizeof *l->model)) {
        model_free(m);
        return ts_fail_nomem(err, "the list of models", sizeof *m);
    }
    size_t at = l->n++;
    for (; m->file && at > 0 && l->model[at - 1]->file && strcmp(l->model[at - 1]->name, m->name) > 0; at--)
        l->model[at] = l->model[at - 1];
    l->model[at] = m;
    return TS_OK;
}

static ts_status add_given(srv_models *l, const ts_server_model *given, ts_err *err) {
    srv_file f;
    TS_TRY(srv_file_look(&f, given->path, err));
    const char *name = given->name ? given->name : base_of(given->path);
    const srv_model *other = namesake(l, name, given->name ? strlen(name) : name_len(name));
    if (other) return fail_namesake(other, given->path, err);
    srv_model *m = model_new(l, ts_strdup(given->path), given->name, &f);
    if (m) m->kept = true, m->device = given->device;
    return insert(l, m, err);
}

/* A file of the folder that is not in the list: unless it was given by itself, too. Of two whose names differ only in
 * capitals the list has one; at the beginning they are an error. */
static ts_status add_file(srv_models *l, const srv_file *f, bool strict, ts_err *err) {
    ts_buf path = {0};
    if (!ts_buf_append(&path, l->o->models_dir, l->dir_len) || !ts_buf_printf(&path, "/%s", f->name)) {
        ts_buf_free(&path);
        return ts_fail_nomem(err, "a path", 0);
    }
    const srv_model *other = namesake(l, f->name, name_len(f->name));
    bool given = false;
    for (size_t i = 0; i < l->n; i++) given |= !l->model[i]->file && !strcmp(l->model[i]->path, path.data);
    if (given || other) {
        const ts_status s = given || !strict ? TS_OK : fail_namesake(other, path.data, err);
        ts_buf_free(&path);
        return s;
    }
    srv_model *m = model_new(l, path.data, NULL, f);
    if (m) m->file = base_of(m->path);
    return insert(l, m, err);
}

static void retire(srv_models *l, size_t i) {
    srv_model *m = l->model[i];
    memmove(l->model + i, l->model + i + 1, (--l->n - i) * sizeof *l->model);
    m->gone = true;
    m->next = l->gone;
    l->gone = m;
    pthread_cond_broadcast(&l->changed);
}

/* The list as the folder is. */
static ts_status follow(srv_models *l, srv_folder *f, bool strict, ts_err *err) {
    for (size_t i = l->n; i-- > 0;) {
        const srv_model *m = l->model[i];
        srv_file *file = m->file ? srv_folder_find(f, m->file) : NULL;
        if (file && file->stamp == m->stamp) file->known = true;
        else if (m->file) retire(l, i);
    }
    for (size_t i = 0; i < f->n; i++)
        if (!f->file[i].known) TS_TRY(add_file(l, &f->file[i], strict, err));
    return TS_OK;
}

/* Does the folder lack a file of the list? Its own lock is enough to read the list: who changes it holds that, too. */
static bool lacks(const srv_models *l, const srv_folder *f) {
    for (size_t i = 0; i < l->n; i++)
        if (l->model[i]->file && !srv_folder_find(f, l->model[i]->file)) return true;
    return false;
}

/* Twice where a file is missing: one that is renamed while a folder is read may be seen under neither name. */
static ts_status read_folder(const srv_models *l, srv_folder *f, ts_err *err) {
    TS_TRY(srv_folder_read(f, l->o->models_dir, err));
    if (!lacks(l, f)) return TS_OK;
    srv_folder_free(f);
    return srv_folder_read(f, l->o->models_dir, err);
}

/* Where the system refuses for the moment (too many open files) the list stays as it was; a folder that is not there
 * has no models. */
static void look(srv_models *l) {
    srv_folder f = {0};
    ts_err err;
    if (!l->o->models_dir) return;
    pthread_mutex_lock(&l->look);
    if (read_folder(l, &f, &err) == TS_OK || err.os_errno == ENOENT || err.os_errno == ENOTDIR) {
        pthread_mutex_lock(&l->lock);
        if (follow(l, &f, false, &err) != TS_OK) {} /* the rest is added by the next look */
        pthread_mutex_unlock(&l->lock);
    }
    srv_folder_free(&f);
    pthread_mutex_unlock(&l->look);
}

static srv_model *by_name(const srv_models *l, const char *name) {
    if (!name || !*name) return l->n ? l->model[0] : NULL;
    size_t n = strlen(name);
    if (n > 7 && !strcmp(name + n - 7, ":latest")) n -= 7;
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->model[i]->name) == n && !strncmp(l->model[i]->name, name, n)) return l->model[i];
    return NULL;
}

bool srv_models_find(srv_models *l, const char *name, srv_model_see *see, void *ud) {
    look(l);
    pthread_mutex_lock(&l->lock);
    const srv_model *m = by_name(l, name);
    if (m) (void)see(ud, m);
    pthread_mutex_unlock(&l->lock);
    return m != NULL;
}

bool srv_models_each(srv_models *l, srv_model_see *see, void *ud) {
    bool ok = true;
    look(l);
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n && ok; i++) ok = see(ud, l->model[i]);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

void srv_models_loaded(srv_models *l, srv_model_see *see, void *ud) {
    bool ok = true;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n && ok; i++)
        if (srv_model_ready(l->model[i])) ok = see(ud, l->model[i]);
    for (const srv_model *m = l->gone; m && ok; m = m->next)
        if (srv_model_ready(m)) ok = see(ud, m);
    pthread_mutex_unlock(&l->lock);
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
        if (srv_model_ready(m) && !m->kept && !m->users && (!best || m->used_ns < best->used_ns)) best = m;
    }
    return best;
}

/* Those that are gone count until their memory is free. */
static size_t n_loaded(const srv_models *l) {
    size_t n = l->n_freeing;
    for (size_t i = 0; i < l->n; i++) n += !l->model[i]->kept && (l->model[i]->loading || l->model[i]->engine);
    for (const srv_model *m = l->gone; m; m = m->next) n += m->loading || m->engine;
    return n;
}

/* Free what is gone and not used any more. Under the lock, which it lets go of meanwhile: a large one takes its time,
 * and the engine thread may want to hold another one. */
static void free_gone(srv_models *l) {
    for (srv_model **at = &l->gone; *at;) {
        srv_model *m = *at;
        if (m->users || m->loading) {
            at = &m->next;
            continue;
        }
        const bool counts = m->engine != NULL;
        *at = m->next;
        l->n_freeing += counts;
        pthread_mutex_unlock(&l->lock);
        model_free(m);
        pthread_mutex_lock(&l->lock);
        l->n_freeing -= counts;
        pthread_cond_broadcast(&l->changed);
        at = &l->gone; /* it may have changed */
    }
}

/* The server's folders are not the client's matter, and a file that cannot be loaded not its fault. */
static bool refuse_load(const srv_model *m, ts_err *err, srv_error *e) {
    srv_model_hide_folder(m, err->msg);
    return srv_refuse(e, err->code == TS_E_NOMEM ? 503 : 500, "model", "the model %.100s cannot be loaded: %s", m->name,
                      err->msg);
}

/* Under the lock, which loading lets go of meanwhile. The caller is one of its users. */
static bool load_locked(srv_models *l, srv_model *m, srv_error *e) {
    ts_err err;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    for (free_gone(l); !m->loading && !m->engine && n_loaded(l) >= l->o->max_loaded; free_gone(l)) {
        srv_model *old = idlest(l); /* somebody has to go first */
        if (old) unload(old);
        else if (pthread_cond_timedwait(&l->changed, &l->lock, &until) != 0)
            return srv_refuse(e, 503, "model", "%.100s cannot be loaded: %u other models are in use (--max-loaded)",
                              m->name, l->o->max_loaded);
    }
    if (m->loading || m->engine) return true; /* somebody else was quicker */
    m->loading = true;
    m->keep_s = l->o->idle_unload_s;
    m->serial = ++l->n_loads;
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
    return s == TS_OK || refuse_load(m, &err, e);
}

static bool make_ready(srv_models *l, srv_model *m, srv_error *e) {
    while (!srv_model_ready(m)) {
        if (m->loading) pthread_cond_wait(&l->changed, &l->lock);
        else if (!load_locked(l, m, e)) return false;
    }
    return true;
}

bool srv_refuse_model(srv_error *e, const char *name) {
    const bool named = name && *name;
    srv_refuse(e, 404, "model", "there is no model%s%.200s here%s", named ? " " : "", named ? name : "",
               named ? "; /v1/models lists those that there are" : "");
    e->code = "model_not_found";
    return false;
}

/* false: *e says why not; *again: perhaps not so the next time. */
static bool try_get(srv_models *l, const char *name, srv_model **out, bool *again, srv_error *e) {
    look(l);
    pthread_mutex_lock(&l->lock);
    srv_model *m = by_name(l, name);
    if (!m && l->o->any_model) m = by_name(l, NULL);
    if (m) m->users++; /* whatever becomes of the folder meanwhile */
    const bool ok = m && make_ready(l, m, e);
    pthread_mutex_unlock(&l->lock);
    *out = m;
    if (!m) (void)srv_refuse_model(e, name);
    if (ok || !m) return ok;
    look(l);
    pthread_mutex_lock(&l->lock);
    *again = m->gone;
    pthread_mutex_unlock(&l->lock);
    srv_model_drop(l, m);
    return false;
}

srv_model *srv_models_get(srv_models *l, const char *name, srv_error *e) {
    srv_model *m = NULL;
    bool again = true;
    for (int i = 0; i < TRIES && again; i++) {
        again = false;
        *e = (srv_error){0};
        if (try_get(l, name, &m, &again, e)) return m;
    }
    return NULL;
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

bool srv_models_let_go(srv_models *l, const char *name) {
    look(l);
    pthread_mutex_lock(&l->lock);
    srv_model *m = by_name(l, name);
    const bool can = m && !m->kept;
    if (can && srv_model_ready(m)) m->keep_s = 0;
    pthread_mutex_unlock(&l->lock);
    return can;
}

void srv_models_tidy(srv_models *l) {
    const uint64_t now = ts_now_ns();
    pthread_mutex_lock(&l->lock);
    free_gone(l);
    for (size_t i = 0; i < l->n; i++) {
        srv_model *m = l->model[i];
        if (srv_model_ready(m) && !m->kept && !m->users && m->keep_s >= 0 &&
            (now - m->used_ns) / 1000000000u >= (uint64_t)m->keep_s)
            unload(m);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static ts_status add_folder(srv_models *l, ts_err *err) {
    srv_folder f = {0};
    l->dir_len = strlen(l->o->models_dir);
    while (l->dir_len > 0 && l->o->models_dir[l->dir_len - 1] == '/') l->dir_len--;
    TS_TRY(srv_folder_read(&f, l->o->models_dir, err));
    const ts_status s = follow(l, &f, true, err);
    srv_folder_free(&f);
    return s;
}

ts_status srv_models_new(srv_models **out, const ts_server_opts *o, ts_err *err) {
    srv_models *l = ts_calloc(1, sizeof *l);
    if (!l) return ts_fail_nomem(err, "the list of models", sizeof *l);
    l->o = o;
    pthread_mutex_init(&l->look, NULL);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    ts_status s = TS_OK;
    for (size_t i = 0; i < o->n_model && s == TS_OK; i++) {
        s = add_given(l, &o->model[i], err);
        if (s == TS_OK) l->model[i]->serial = ++l->n_loads;
        if (s == TS_OK) s = load(l, l->model[i], err);
    }
    if (s == TS_OK && o->models_dir) s = add_folder(l, err);
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
    while (l->n) retire(l, l->n - 1);
    for (srv_model *m = l->gone, *next; m; m = next) {
        next = m->next;
        model_free(m);
    }
    ts_free(l->model);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->look);
    ts_free(l);
}
