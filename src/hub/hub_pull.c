/* hub_pull.c - a model from the hub into the store: which commit, which files, all of them, then their names. */
#include "hub/hub.h"

#include "base/file.h"
#include "hub/hub_api.h"
#include "hub/hub_fetch.h"
#include "hub/hub_find.h"
#include "hub/hub_lock.h"
#include "hub/hub_mask.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 8 };

typedef struct pull {
    const ts_hub_opts *o;
    const ts_hub_name *name;
    const char *rev; /* what is asked of the hub */
    ts_hub_net net;
    ts_hub_info info;
    ts_hub_files files;
    ts_hub_choice choice;
    const char *cache; /* the one that is written to */
    ts_hub_place place;
    ts_hub_lock lock;
    ts_hub_item *item; /* [choice.n], in its order */
    size_t n_item;
    ts_hub_fetch fetch;
    /* the workers */
    atomic_bool stop;
    _Atomic size_t next;
    _Atomic int running;
    pthread_mutex_t err_guard;
    ts_status status;
    ts_err err;
} pull;

static bool stop(void *ud) {
    pull *p = ud;
    return p->stop || (p->o->stop && p->o->stop(p->o->ud));
}

static void note(void *ud, const char *line) {
    const pull *p = ud;
    char masked[1000];
    if (!p->o->note) return;
    snprintf(masked, sizeof masked, "%s", line);
    ts_hub_mask(masked, p->o->token);
    p->o->note(p->o->ud, masked);
}

static const char *today(const pull *p) {
    return *p->info.id ? p->info.id : p->name->repo;
}

/* ---- where to ---------------------------------------------------------------------------------------------------- */

static bool wait_for(void *ud, long pid) {
    (void)pid;
    return !stop(ud);
}

/* Removing waits, or is refused, while models of this repository are fetched. *denied: as ts_hub_place_make. */
static ts_status take_lock(pull *p, bool *denied, ts_err *err) {
    char *path = ts_hub_join(p->place.locks, "tessera.lock", NULL);
    ts_status s = path ? ts_hub_lock_take(&p->lock, path, true, wait_for, p, err) : ts_fail_nomem(err, p->cache, 0);
    ts_free(path);
    *denied = s == TS_E_IO && (err->os_errno == EACCES || err->os_errno == EPERM || err->os_errno == EROFS);
    return s == TS_E_LIMIT ? ts_fail(err, TS_E_CANCELLED, "interrupted") : s;
}

static ts_status choose_place(pull *p, ts_err *err) {
    const char *const caches[] = {p->o->cache, p->o->own_cache};
    bool denied = false;
    for (int i = 0; i < 2; i++) {
        ts_hub_place_free(&p->place);
        p->cache = caches[i];
        TS_TRY(ts_hub_place_of(&p->place, caches[i], p->name->repo, err));
        ts_status s = ts_hub_place_make(&p->place, &denied, err);
        if (s == TS_OK) s = take_lock(p, &denied, err);
        if (s == TS_OK || !denied || i == 1 || !caches[1] || !strcmp(caches[0], caches[1])) return s;
        char line[1000];
        snprintf(line, sizeof line, "%s may not be written to: what is not there comes to %s", caches[0], caches[1]);
        note(p, line);
    }
    return TS_OK;
}

/* ---- what -------------------------------------------------------------------------------------------------------- */

/* Items for the files of the choice that have none yet. */
static ts_status make_items(pull *p, ts_err *err) {
    ts_hub_item *more = ts_realloc(p->item, p->choice.n, sizeof *more);
    if (!more) return ts_fail_nomem(err, "the files of a model", p->choice.n * sizeof *more);
    p->item = more;
    for (size_t i = p->n_item; i < p->choice.n; i++, p->n_item++) {
        const ts_hub_file *file = p->choice.file[i];
        if (!*file->hash)
            return ts_fail(err, TS_E_FORMAT,
                           "the hub's list of files has no hash for %s that can be one, so its bytes could "
                           "not be checked",
                           file->path);
        ts_hub_item *item = &p->item[i];
        *item = (ts_hub_item){.file = file, .size = file->size};
        strcpy(item->hash, file->hash);
    }
    for (size_t i = 0; i < p->n_item; i++)
        for (size_t j = i + 1; j < p->n_item && !p->item[i].again; j++)
            p->item[i].again = !strcmp(p->item[i].hash, p->item[j].hash);
    return TS_OK;
}

/* The file itself as a part of the snapshot, where there are no links. */
static bool has_unlinked(pull *p, const ts_hub_item *item) {
    char *path = ts_hub_join(p->place.dir, "snapshots", p->info.commit, item->file->path, NULL);
    struct stat st;
    ts_err err;
    const bool has = path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == item->size &&
                     ts_hub_check(p->o->state, path, item->hash, NULL, NULL, &err) == TS_OK;
    ts_free(path);
    return has;
}

static ts_status look(pull *p, size_t from, ts_err *err) {
    for (size_t i = from; i < p->n_item; i++) {
        ts_hub_item *item = &p->item[i];
        TS_TRY(ts_hub_has_blob(&p->fetch, item->hash, item->size, &item->had, err));
        item->had = item->had || has_unlinked(p, item);
        if (item->had) item->done = item->size;
    }
    return TS_OK;
}

static uint64_t part_size(const pull *p, const ts_hub_item *item) {
    char *blob = ts_hub_join(p->place.dir, "blobs", item->hash, NULL);
    const uint64_t size = blob ? ts_hub_part_size(blob) : 0;
    ts_free(blob);
    return size;
}

static ts_status check_space(const pull *p, ts_err *err) {
    struct statvfs fs;
    uint64_t need = 0;
    for (size_t i = 0; i < p->n_item; i++) {
        if (p->item[i].had || p->item[i].again) continue;
        const uint64_t size = p->item[i].size, part = part_size(p, &p->item[i]);
        need += part <= size ? size - part : size;
    }
    if (!need || statvfs(p->place.dir, &fs) != 0 || !fs.f_blocks) return TS_OK;
    const uint64_t is_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (need <= is_free) return TS_OK;
    return ts_fail(err, TS_E_LIMIT,
                   "not enough space: %.2f GB are to be fetched, and %s has %.2f GB free; nothing has been "
                   "fetched (another place: HF_HUB_CACHE)",
                   (double)need / 1e9, p->cache, (double)is_free / 1e9);
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

static void fail_all(pull *p, ts_status s, const ts_err *err) {
    pthread_mutex_lock(&p->err_guard);
    if (p->status == TS_OK) {
        p->status = s;
        p->err = *err;
    }
    pthread_mutex_unlock(&p->err_guard);
    p->stop = true;
}

static void *work(void *ud) {
    pull *p = ud;
    ts_hub_conn *c = NULL;
    ts_err err;
    ts_status s = ts_hub_conn_new(&c, &p->net, &err);
    for (size_t i; s == TS_OK && !p->stop && (i = p->next++) < p->n_item;)
        /* the last of several names for the same contents fetches them */
        if (!p->item[i].had && !p->item[i].again) s = ts_hub_fetch_file(&p->fetch, c, &p->item[i], &err);
    if (s != TS_OK) fail_all(p, s, &err);
    ts_hub_conn_free(c);
    p->running--;
    return NULL;
}

static void report(const pull *p, uint64_t before, bool *more) {
    uint64_t done = 0, all = 0;
    for (size_t i = 0; i < p->n_item; i++)
        if (!p->item[i].again) done += p->item[i].done, all += p->item[i].size;
    *more = !p->o->progress || p->o->progress(p->o->ud, done, all, before < done ? before : done);
}

static ts_status fetch_all(pull *p, ts_err *err) {
    pthread_t worker[CONNECTIONS_MAX];
    const int most = p->o->n_connections ? p->o->n_connections : 3;
    int n = 0;
    uint64_t before = 0;
    size_t missing = 0;
    bool more = true;
    for (size_t i = 0; i < p->n_item; i++) {
        if (p->item[i].again) continue;
        missing += !p->item[i].had;
        before += p->item[i].had ? p->item[i].size : part_size(p, &p->item[i]);
    }
    if (!missing) return TS_OK;
    p->next = 0;
    for (; n < most && n < CONNECTIONS_MAX && (size_t)n < missing; n++) {
        p->running++;
        if (pthread_create(&worker[n], NULL, work, p) == 0) continue;
        p->running--;
        break;
    }
    if (!n) return ts_fail(err, TS_E_NOMEM, "cannot start a thread");
    while (p->running) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        report(p, before, &more);
        if (!more) p->stop = true;
    }
    for (int i = 0; i < n; i++) pthread_join(worker[i], NULL);
    if (p->status == TS_OK) return !more ? ts_fail(err, TS_E_CANCELLED, "interrupted") : TS_OK;
    *err = p->err;
    return p->status;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static ts_status name_all(pull *p, ts_err *err) {
    for (size_t i = 0; i < p->n_item; i++) {
        ts_hub_item *item = &p->item[i];
        struct stat st;
        for (size_t j = i + 1; item->again && j < p->n_item; j++) /* which may have been told a better hash */
            if (!strcmp(item->file->hash, p->item[j].file->hash))
                memcpy(item->hash, p->item[j].hash, sizeof item->hash), item->size = p->item[j].size;
        ts_hub_file *listed = &p->files.item[item->file - p->files.item];
        listed->size = item->size; /* which the listing may have told of a pointer to it */
        char *blob = ts_hub_join(p->place.dir, "blobs", item->hash, NULL);
        const bool there = blob && stat(blob, &st) == 0;
        ts_free(blob);
        if (!there && has_unlinked(p, item)) continue;
        TS_TRY(ts_hub_link(&p->place, p->info.commit, item->file->path, item->hash, p->o->no_links, item->again, err));
    }
    if (ts_hub_is_commit(p->rev, strlen(p->rev))) return TS_OK;
    return ts_hub_put_ref(&p->place, p->rev, p->info.commit, err);
}

/* ---- what is of no use any more ---------------------------------------------------------------------------------- */

static bool is_wanted(const pull *p, const char *hash) {
    for (size_t i = 0; i < p->files.n; i++)
        if (!strcmp(p->files.item[i].hash, hash)) return true;
    for (size_t i = 0; i < p->n_item; i++)
        if (!strcmp(p->item[i].hash, hash)) return true;
    return false;
}

/* A part of a file that the newest commit has not: nobody would ever go on with it. One that is being fetched is
 * locked. */
static bool drop_old_part(void *ud, int dir, const char *name, const struct stat *st) {
    const pull *p = ud;
    char hash[65];
    ts_buf path = {0};
    ts_hub_lock lock = {.fd = -1};
    ts_err err;
    (void)st;
    const size_t n = strcspn(name, ".");
    if (name[n] != '.' || n >= sizeof hash) return true; /* a whole file */
    memcpy(hash, name, n), hash[n] = 0;
    if (!is_wanted(p, hash) && ts_buf_printf(&path, "%s/%s.lock", p->place.locks, hash) &&
        ts_hub_lock_take(&lock, path.data, false, NULL, NULL, &err) == TS_OK && lock.certain)
        (void)unlinkat(dir, name, 0);
    ts_hub_lock_leave(&lock);
    ts_buf_free(&path);
    return true;
}

static void drop_old_parts(pull *p) {
    ts_err err; /* what cannot be told stays */
    if (*p->name->rev) return;
    for (size_t i = 0; i < p->files.n; i++) /* a list without the hashes that files really have says nothing of parts */
        if (strlen(p->files.item[i].hash) != 64 && ts_hub_is_gguf(p->files.item[i].path)) return;
    (void)!ts_hub_each_left(&p->place, drop_old_part, p, &err);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static ts_status ask(pull *p, ts_hub_conn *c, ts_err *err) {
    TS_TRY(ts_hub_ask_info(c, &p->net, p->name->repo, p->rev, &p->info, err));
    TS_TRY(ts_hub_ask_files(c, &p->net, today(p), p->name->repo, p->info.commit, &p->files, err));
    if (p->files.n_refused) {
        char line[400];
        snprintf(line, sizeof line, "%zu names of the hub's list are refused, \"%s\" for one: %s", p->files.n_refused,
                 p->files.refused, p->files.fault);
        note(p, line);
    }
    ts_status s =
        ts_hub_choose(&p->choice, &p->files, p->name->repo, p->name->tag, p->name->is_file, p->o->for_npu, err);
    if (s != TS_OK && p->files.n_refused)
        ts_err_add(err, "; of the hub's list %zu names were refused, \"%s\" for one: %s", p->files.n_refused,
                   p->files.refused, p->files.fault);
    return s;
}

/* The index of a folder says which files there are: it comes first. */
static ts_status fetch_index(pull *p, ts_hub_conn *c, ts_err *err) {
    if (!p->choice.index) return TS_OK;
    ts_hub_item *item = NULL;
    for (size_t i = 0; i < p->n_item; i++)
        if (p->item[i].file == p->choice.index) item = &p->item[i];
    if (!item->had) TS_TRY(ts_hub_fetch_file(&p->fetch, c, item, err));
    char *blob = ts_hub_join(p->place.dir, "blobs", item->hash, NULL),
         *plain = ts_hub_join(p->place.dir, "snapshots", p->info.commit, item->file->path, NULL);
    const size_t before = p->n_item;
    ts_status s = blob && plain
                      ? ts_hub_choose_by_index(&p->choice, &p->files, ts_file_exists(blob) ? blob : plain, err)
                      : ts_fail_nomem(err, p->cache, 0);
    ts_free(blob), ts_free(plain);
    item->had = true;
    if (s == TS_OK) s = make_items(p, err);
    return s == TS_OK ? look(p, before, err) : s;
}

/* In a cache that may only be read, all of it, of this commit. */
static ts_status find_read_only(const pull *p, ts_hub_model *out, bool *found, ts_err *err) {
    ts_hub_opts o = *p->o;
    o.own_cache = NULL;
    TS_TRY(ts_hub_find(out, found, p->name, &o, err));
    if (!*found || !strcmp(out->commit, p->info.commit)) return TS_OK;
    *found = false;
    ts_hub_model_free(out);
    return TS_OK;
}

static ts_status get(pull *p, ts_hub_conn *c, ts_hub_pulled *out, ts_err *err) {
    bool found = false;
    TS_TRY(choose_place(p, err));
    if (p->cache != p->o->cache) {
        ts_err why; /* what is damaged there is fetched to our own */
        if (find_read_only(p, &out->model, &found, &why) == TS_OK && found) return TS_OK;
        if (stop(p)) return ts_fail(err, TS_E_CANCELLED, "interrupted");
    }
    if (!ts_hub_is_commit(p->rev, strlen(p->rev))) TS_TRY(ts_hub_can_ref(&p->place, p->rev, err));
    p->fetch = (ts_hub_fetch){
        .net = &p->net, .place = &p->place, .state = p->o->state, .repo = today(p), .commit = p->info.commit};
    TS_TRY(make_items(p, err));
    TS_TRY(look(p, 0, err));
    bool had_index = true;
    for (size_t i = 0; i < p->n_item; i++) had_index &= p->item[i].file != p->choice.index || p->item[i].had;
    TS_TRY(check_space(p, err));
    TS_TRY(fetch_index(p, c, err));
    TS_TRY(check_space(p, err));
    TS_TRY(fetch_all(p, err));
    TS_TRY(name_all(p, err));
    drop_old_parts(p);
    for (size_t i = 0; i < p->n_item; i++) {
        out->n_fetched += !p->item[i].had;
        out->fetched += p->item[i].fetched;
    }
    out->n_fetched += !had_index;
    const char *rev = *p->name->rev ? p->name->rev : "";
    return ts_hub_model_of(&out->model, p->o, p->cache, &p->place, p->name->repo, rev, p->info.commit, &p->files,
                           &p->choice, err);
}

static ts_status find_offline(ts_hub_pulled *out, const ts_hub_name *name, const ts_hub_opts *o, ts_err *err) {
    bool found;
    TS_TRY(ts_hub_find(&out->model, &found, name, o, err));
    if (found) return TS_OK;
    return ts_fail(err, TS_E_IO, "%s%s%s is not in the store (%s), and nothing is asked of the hub: offline",
                   name->repo, *name->tag ? name->is_file ? "/" : ":" : "", name->tag, o->cache);
}

ts_status ts_hub_pull(ts_hub_pulled *out, const ts_hub_name *name, const ts_hub_opts *o, ts_err *err) {
    ts_hub_pulled made = {0};
    ts_hub_conn *c = NULL;
    if (o->offline) return find_offline(out, name, o, err);
    pull p = {.o = o,
              .name = name,
              .rev = *name->rev ? name->rev : "main",
              .lock.fd = -1,
              .err_guard = PTHREAD_MUTEX_INITIALIZER};
    p.net = (ts_hub_net){.endpoint = o->endpoint,
                         .token = o->token,
                         .ca_file = o->ca_file,
                         .ca_dir = o->ca_dir,
                         .stall_s = o->stall_s > 0 ? o->stall_s : 30,
                         .retry_wait_s = o->retry_wait_s > 0 ? o->retry_wait_s : 1,
                         .stop = stop,
                         .note = note,
                         .ud = &p,
                         .log = o->log};
    TS_TRY(ts_hub_http_init(err));
    TS_TRY(ts_hub_conn_new(&c, &p.net, err));
    ts_status s = ask(&p, c, err);
    if (s == TS_OK) s = get(&p, c, &made, err);
    if (s == TS_OK) {
        if (*p.info.id && strcmp(p.info.id, name->repo) != 0) strcpy(made.renamed_to, p.info.id);
        strcpy(made.license, p.info.license);
        ts_hub_mask(made.renamed_to, o->token), ts_hub_mask(made.license, o->token);
        *out = made;
    } else {
        ts_hub_mask(err->msg, o->token); /* whatever a server has said */
    }
    ts_hub_conn_free(c);
    ts_hub_lock_leave(&p.lock);
    ts_hub_place_free(&p.place);
    ts_hub_choice_free(&p.choice);
    ts_hub_files_free(&p.files);
    ts_free(p.item);
    return s;
}
