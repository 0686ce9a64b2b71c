/* hub_remove.c - a model out of the store: its names first, then what no other name needs. */
#include "hub/hub_find.h"

#include "base/file.h"
#include "hub/hub_fetch.h"
#include "hub/hub_lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

typedef struct removal {
    const ts_hub_opts *o;
    const ts_hub_name *name;
    ts_hub_place place;
    char (*commit)[TS_HUB_COMMIT + 1]; /* snapshots that the name can mean */
    size_t n_commit;
    char (*hash)[65]; /* of the names that are gone */
    size_t n_hash, cap_hash;
    uint64_t bytes;
    size_t n_names;
} removal;

static ts_status gone_wrong(const char *path, ts_err *err) {
    return ts_fail_os(err, TS_E_IO, errno, "cannot remove %s", path);
}

/* The folders above a name that is gone, up to the snapshot's own, while they are empty. */
static void prune(const removal *r, const char *commit, const char *path) {
    char *name = ts_hub_join(r->place.dir, "snapshots", commit, path, NULL);
    const size_t top = strlen(r->place.dir) + sizeof "/snapshots" - 1;
    for (char *slash; name && (slash = strrchr(name, '/')) && (size_t)(slash - name) > top;) {
        *slash = 0;
        if (rmdir(name) != 0) break;
    }
    ts_free(name);
}

/* One name; the hash of what it led to is kept for later. */
static ts_status drop_name(removal *r, const char *commit, const ts_hub_file *file, ts_err *err) {
    char *name = ts_hub_join(r->place.dir, "snapshots", commit, file->path, NULL);
    struct stat st;
    if (!name) return ts_fail_nomem(err, commit, 0);
    ts_status s = TS_OK;
    const bool plain = lstat(name, &st) == 0 && S_ISREG(st.st_mode);
    if (unlink(name) != 0 && errno != ENOENT) s = gone_wrong(name, err);
    ts_free(name);
    if (s != TS_OK) return s;
    r->n_names++;
    r->bytes += plain && st.st_nlink == 1 ? file->size : 0;
    prune(r, commit, file->path);
    if (plain || !*file->hash) return TS_OK;
    if (!ts_grow((void **)&r->hash, &r->cap_hash, r->n_hash + 1, sizeof *r->hash))
        return ts_fail_nomem(err, "a list of files", r->n_hash);
    strcpy(r->hash[r->n_hash++], file->hash);
    return TS_OK;
}

/* The model's names in one snapshot, where it is there. */
static ts_status drop_model(removal *r, const char *commit, ts_err *err) {
    ts_hub_files files = {0};
    ts_hub_choice c = {0};
    ts_err why;
    ts_status s = ts_hub_snapshot_files(&r->place, commit, true, &files, err);
    if (s == TS_OK) {
        (void)!ts_hub_choose_stored(&c, &r->place, commit, &files, r->name->repo, r->name->tag, r->name->is_file,
                                    r->o->for_npu, &why);
        for (size_t i = 0; i < c.n && s == TS_OK; i++) s = drop_name(r, commit, c.file[i], err);
    }
    ts_hub_choice_free(&c);
    ts_hub_files_free(&files);
    return s;
}

/* Everything that is a model's in one snapshot. */
static ts_status drop_all(removal *r, const char *commit, ts_err *err) {
    ts_hub_files files = {0};
    ts_status s = ts_hub_snapshot_files(&r->place, commit, true, &files, err);
    for (size_t i = 0; i < files.n && s == TS_OK; i++) s = drop_name(r, commit, &files.item[i], err);
    ts_hub_files_free(&files);
    return s;
}

/* Mark what a snapshot still links: its hash becomes "". */
static ts_status spare(removal *r, const char *commit, ts_err *err) {
    ts_hub_files files = {0};
    ts_status s = ts_hub_snapshot_files(&r->place, commit, true, &files, err);
    for (size_t i = 0; i < files.n && s == TS_OK; i++)
        for (size_t k = 0; k < r->n_hash; k++)
            if (*files.item[i].hash && !strcmp(r->hash[k], files.item[i].hash)) *r->hash[k] = 0;
    ts_hub_files_free(&files);
    return s;
}

static void drop_file(const char *dir, const char *name, const char *end) {
    ts_buf b = {0};
    if (dir && ts_buf_printf(&b, "%s/%s%s", dir, name, end)) (void)unlink(b.data);
    ts_buf_free(&b);
}

static ts_status drop_blobs(removal *r, ts_err *err) {
    char *blobs = ts_hub_join(r->place.dir, "blobs", NULL),
         *state = r->o->state ? ts_hub_join(r->o->state, "verified", NULL) : NULL;
    ts_status s = blobs ? TS_OK : ts_fail_nomem(err, r->name->repo, 0);
    for (size_t i = 0; i < r->n_hash && s == TS_OK; i++) {
        if (!*r->hash[i]) continue;
        char *path = ts_hub_join(blobs, r->hash[i], NULL);
        struct stat st;
        if (path && lstat(path, &st) == 0) {
            if (unlink(path) == 0) r->bytes += (uint64_t)st.st_size;
            else s = gone_wrong(path, err);
        }
        ts_free(path);
        drop_file(blobs, r->hash[i], TS_HUB_PART);
        drop_file(state, r->hash[i], "");
    }
    ts_free(blobs), ts_free(state);
    return s;
}

/* Refs to commits that have no snapshot any more. */
static void drop_refs(const removal *r, const char *below) {
    char *dir = ts_hub_join(r->place.dir, "refs", *below ? below : NULL, NULL);
    DIR *d = dir ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char commit[TS_HUB_COMMIT + 1];
        ts_buf rev = {0};
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || strlen(below) > TS_HUB_REV_MAX) continue;
        if (ts_buf_printf(&rev, "%s%s%s", below, *below ? "/" : "", e->d_name)) {
            char *path = ts_hub_join(r->place.dir, "refs", rev.data, NULL);
            if (path && ts_file_is_dir(path)) {
                drop_refs(r, rev.data);
                (void)rmdir(path);
            } else if (ts_hub_get_ref(&r->place, rev.data, commit)) {
                char *snapshot = ts_hub_join(r->place.dir, "snapshots", commit, NULL);
                if (snapshot && !ts_file_exists(snapshot) && path) (void)unlink(path);
                ts_free(snapshot);
            }
            ts_free(path);
        }
        ts_buf_free(&rev);
    }
    if (d) closedir(d);
    ts_free(dir);
}

/* Parts of files, where no model is left; with `all` blobs that never got a name, too. */
static void drop_parts(removal *r, bool all) {
    char *blobs = ts_hub_join(r->place.dir, "blobs", NULL);
    DIR *d = blobs ? opendir(blobs) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        const bool blob = all && ts_hub_is_hash(e->d_name, strlen(e->d_name));
        if ((!blob && !strstr(e->d_name, TS_HUB_PART)) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) != 0) continue;
        r->bytes += (uint64_t)st.st_size;
        r->n_names++;
    }
    if (d) closedir(d);
    ts_free(blobs);
}

static void drop_empty(const removal *r) {
    static const char *const below[] = {"snapshots", "blobs", "refs", ""};
    for (size_t i = 0; i < 4; i++) {
        char *dir = ts_hub_join(r->place.dir, *below[i] ? below[i] : NULL, NULL);
        if (dir) (void)rmdir(dir); /* stays where something is in it */
        ts_free(dir);
    }
}

/* The number of models that the name could mean, where it says neither quant nor file. */
static ts_status count_models(const removal *r, size_t *n, char *first, size_t cap, ts_err *err) {
    ts_hub_model *list;
    size_t all;
    *n = 0;
    *first = 0;
    TS_TRY(ts_hub_list(&list, &all, r->o, err));
    for (size_t i = 0; i < all; i++) {
        if (strcmp(list[i].repo, r->name->repo) != 0 || list[i].unfinished) continue;
        if (*r->name->rev && strncmp(list[i].commit, r->commit[0], TS_HUB_COMMIT) != 0) continue;
        const size_t used = strlen(first);
        /* the same quant of two commits is one model here */
        char *at = strchr(list[i].name, '@');
        if (at && !*r->name->rev) continue;
        snprintf(first + used, cap - used, "%s%s", used ? ", " : "", list[i].name);
        (*n)++;
    }
    ts_hub_list_free(list, all);
    return TS_OK;
}

static ts_status remove_names(removal *r, bool all, ts_err *err) {
    for (size_t i = 0; i < r->n_commit; i++)
        TS_TRY(all ? drop_all(r, r->commit[i], err) : drop_model(r, r->commit[i], err));
    return TS_OK;
}

static ts_status remove_from(removal *r, bool all, ts_err *err) {
    char(*left)[TS_HUB_COMMIT + 1] = NULL, known[600];
    size_t n_left = 0, n_models = 0;
    TS_TRY(ts_hub_snapshots(&r->place, r->name->rev, &r->commit, &r->n_commit, err));
    if (!*r->name->tag && !all && r->n_commit) TS_TRY(count_models(r, &n_models, known, sizeof known, err));
    if (n_models > 1)
        return ts_fail(err, TS_E_INVAL, "which model of %s? Name one of %s, or all of them with --all", r->name->repo,
                       known);
    TS_TRY(remove_names(r, all, err));
    TS_TRY(ts_hub_snapshots(&r->place, "", &left, &n_left, err));
    ts_status s = TS_OK;
    for (size_t i = 0; i < n_left && s == TS_OK; i++) s = spare(r, left[i], err);
    ts_free(left);
    if (s == TS_OK) s = drop_blobs(r, err);
    if (s != TS_OK) return s;
    if (!n_left && !*r->name->tag) drop_parts(r, all);
    drop_refs(r, "");
    if (!n_left) drop_empty(r);
    return TS_OK;
}

ts_status ts_hub_remove(const ts_hub_name *name, bool all, const ts_hub_opts *o, uint64_t *bytes, ts_err *err) {
    const char *const caches[] = {o->cache, o->own_cache};
    ts_status s = TS_OK;
    bool removed = false;
    *bytes = 0;
    for (int i = 0; i < 2 && s == TS_OK; i++) {
        removal r = {.o = o, .name = name};
        ts_hub_lock lock = {.fd = -1};
        if (!caches[i] || (i && !strcmp(caches[0], caches[1]))) continue;
        TS_TRY(ts_hub_place_of(&r.place, caches[i], name->repo, err));
        if (ts_file_is_dir(r.place.dir)) {
            char *path = ts_hub_join(r.place.locks, "tessera.lock", NULL);
            s = path ? ts_hub_make_parents(path, err) : ts_fail_nomem(err, name->repo, 0);
            if (s == TS_OK) s = ts_hub_lock_take(&lock, path, false, NULL, NULL, err);
            if (s == TS_E_LIMIT)
                s = ts_fail(err, TS_E_IO, "%s is being fetched just now: nothing of it is removed", name->repo);
            ts_free(path);
            if (s == TS_OK) s = remove_from(&r, all, err);
            removed |= r.n_names > 0;
            *bytes += r.bytes;
        }
        ts_hub_lock_leave(&lock);
        ts_free(r.commit), ts_free(r.hash);
        ts_hub_place_free(&r.place);
    }
    if (s != TS_OK || removed) return s;
    return ts_fail(err, TS_E_IO, "%s%s%s%s%s is not in the store", name->repo, *name->rev ? "@" : "", name->rev,
                   *name->tag ? name->is_file ? "/" : ":" : "", name->tag);
}
