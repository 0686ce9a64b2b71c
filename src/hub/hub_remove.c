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
    size_t n_names; /* that are gone, and files without one */
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
            struct stat st;
            if (path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
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

struct drop_left {
    removal *r;
    ts_status s;
    ts_err *err;
};

static bool drop_one_left(void *ud, int dir, const char *name, const struct stat *st) {
    struct drop_left *d = ud;
    if (unlinkat(dir, name, 0) == 0) d->r->bytes += (uint64_t)st->st_size, d->r->n_names++;
    else if (errno != ENOENT) d->s = gone_wrong(name, d->err);
    return d->s == TS_OK;
}

/* What unfinished pulls have left. */
static ts_status drop_left(removal *r, ts_err *err) {
    struct drop_left d = {.r = r, .err = err};
    TS_TRY(ts_hub_each_left(&r->place, drop_one_left, &d, err));
    return d.s;
}

static void drop_empty(const removal *r) {
    static const char *const below[] = {"snapshots", "blobs", "refs", ""};
    for (size_t i = 0; i < 4; i++) {
        char *dir = ts_hub_join(r->place.dir, *below[i] ? below[i] : NULL, NULL);
        if (dir) (void)rmdir(dir); /* stays where something is in it */
        ts_free(dir);
    }
}

/* ---- what is meant ----------------------------------------------------------------------------------------------- */

/* What the store has of the repository, in all caches. */
struct there {
    size_t n;        /* models that the name could mean, where it says neither quant nor file; */
    char names[600]; /* with commas between */
    bool model;      /* there is any model, and */
    uint64_t left;   /* bytes that unfinished pulls have left, */
    bool has_left;   /* which can be none */
};

static bool is_named(const char *names, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += n)
        if ((at == names || at[-1] == ' ') && (!at[n] || at[n] == ',')) return true;
    return false;
}

static ts_status look(const ts_hub_name *name, const ts_hub_opts *o, struct there *out, ts_err *err) {
    ts_hub_model *list;
    size_t n;
    *out = (struct there){0};
    TS_TRY(ts_hub_list(&list, &n, o, err));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].repo, name->repo) != 0) continue;
        if (list[i].unfinished) {
            out->left += list[i].bytes, out->has_left = true;
            continue;
        }
        out->model = true;
        /* the same quant of two commits, or in two caches, is one model here */
        if (strchr(list[i].name, '@') || is_named(out->names, list[i].name)) continue;
        const size_t used = strlen(out->names);
        snprintf(out->names + used, sizeof out->names - used, "%s%s", used ? ", " : "", list[i].name);
        out->n++;
    }
    ts_hub_list_free(list, n);
    return TS_OK;
}

/* The number of models of the commit, where the name says neither quant nor file. */
static ts_status check_commit(const removal *r, ts_err *err) {
    ts_hub_model *list;
    size_t n, mine = 0;
    TS_TRY(ts_hub_list(&list, &n, r->o, err));
    for (size_t i = 0; i < n; i++)
        mine += !list[i].unfinished && !strcmp(list[i].repo, r->name->repo) && !strcmp(list[i].commit, r->commit[0]);
    ts_hub_list_free(list, n);
    if (mine < 2) return TS_OK;
    return ts_fail(err, TS_E_INVAL, "which model of %s@%s? Name one, as in %s@%s:QUANT, or all of them with --all",
                   r->name->repo, r->name->rev, r->name->repo, r->name->rev);
}

/* ---- one cache --------------------------------------------------------------------------------------------------- */

static ts_status remove_names(removal *r, bool all, ts_err *err) {
    for (size_t i = 0; i < r->n_commit; i++)
        TS_TRY(all ? drop_all(r, r->commit[i], err) : drop_model(r, r->commit[i], err));
    return TS_OK;
}

static ts_status remove_from(removal *r, bool all, bool left_only, ts_err *err) {
    char(*still)[TS_HUB_COMMIT + 1] = NULL;
    size_t n_still = 0;
    const bool whole = !*r->name->tag && !*r->name->rev;
    if (left_only) return drop_left(r, err);
    if (!*r->name->tag && !all && !whole && r->n_commit) TS_TRY(check_commit(r, err));
    TS_TRY(remove_names(r, all, err));
    TS_TRY(ts_hub_snapshots(&r->place, "", &still, &n_still, err));
    ts_status s = TS_OK;
    for (size_t i = 0; i < n_still && s == TS_OK; i++) s = spare(r, still[i], err);
    ts_free(still);
    if (s == TS_OK) s = drop_blobs(r, err);
    if (s == TS_OK && (whole || (!n_still && !*r->name->tag))) s = drop_left(r, err);
    if (s != TS_OK) return s;
    drop_refs(r, "");
    if (!n_still) drop_empty(r);
    return TS_OK;
}

static bool is_denied(ts_status s, const ts_err *err) {
    return s == TS_E_IO && (err->os_errno == EACCES || err->os_errno == EPERM || err->os_errno == EROFS);
}

/* Is there anything that would be removed? */
static bool has_names(const removal *r, bool all) {
    bool has = false;
    for (size_t i = 0; i < r->n_commit && !has; i++) {
        ts_hub_files files = {0};
        ts_hub_choice c = {0};
        ts_err err;
        if (ts_hub_snapshot_files(&r->place, r->commit[i], true, &files, &err) == TS_OK && files.n)
            has = all || ts_hub_choose_stored(&c, &r->place, r->commit[i], &files, r->name->repo, r->name->tag,
                                              r->name->is_file, r->o->for_npu, &err) == TS_OK;
        ts_hub_choice_free(&c);
        ts_hub_files_free(&files);
    }
    return has;
}

/* In the folder of the repository. *denied: it may not be written to, which is an error only where something in it is
 * meant. */
static ts_status remove_in(removal *r, bool all, bool left_only, bool *denied, ts_err *err) {
    ts_hub_lock lock = {.fd = -1};
    char *path = ts_hub_join(r->place.locks, "tessera.lock", NULL);
    ts_status s = ts_hub_snapshots(&r->place, r->name->rev, &r->commit, &r->n_commit, err);
    if (s == TS_OK) s = path ? ts_hub_make_parents(path, err) : ts_fail_nomem(err, r->name->repo, 0);
    if (s == TS_OK) s = ts_hub_lock_take(&lock, path, false, NULL, NULL, err);
    if (s == TS_E_LIMIT)
        s = ts_fail(err, TS_E_IO, "%s is being fetched just now: nothing of it is removed", r->name->repo);
    ts_free(path);
    if (s == TS_OK) s = remove_from(r, all, left_only, err);
    ts_hub_lock_leave(&lock);
    if (!is_denied(s, err) || r->n_names) return s;
    *denied |= left_only || has_names(r, all);
    return TS_OK;
}

ts_status ts_hub_remove(ts_hub_removed *out, const ts_hub_name *name, bool all, const ts_hub_opts *o, ts_err *err) {
    const char *const caches[] = {o->cache, o->own_cache};
    ts_status s = TS_OK;
    bool removed = false, denied = false;
    struct there there;
    *out = (ts_hub_removed){0};
    TS_TRY(look(name, o, &there, err));
    const bool whole = !all && !*name->tag && !*name->rev, left_only = whole && there.has_left && there.model;
    if (whole && !left_only && there.n > 1)
        return ts_fail(err, TS_E_INVAL, "which model of %s? Name one of %s, or all of them with --all", name->repo,
                       there.names);
    for (int i = 0; i < 2 && s == TS_OK; i++) {
        removal r = {.o = o, .name = name};
        if (!caches[i] || (i && !strcmp(caches[0], caches[1]))) continue;
        TS_TRY(ts_hub_place_of(&r.place, caches[i], name->repo, err));
        if (ts_file_is_dir(r.place.dir)) s = remove_in(&r, all, left_only, &denied, err);
        removed |= r.n_names > 0;
        out->bytes += r.bytes;
        ts_free(r.commit), ts_free(r.hash);
        ts_hub_place_free(&r.place);
    }
    out->left_only = left_only;
    if (s != TS_OK || removed) return s;
    if (denied)
        return ts_fail(err, TS_E_IO, "%s lies in %s, which may not be written to: nothing is removed", name->repo,
                       o->cache);
    s = ts_fail(err, TS_E_IO, "%s%s%s%s%s is not in the store", name->repo, *name->rev ? "@" : "", name->rev,
                *name->tag ? name->is_file ? "/" : ":" : "", name->tag);
    if (there.has_left)
        ts_err_add(err, "; what an unfinished pull has left of %s (%.1f MB) is removed by tessera rm %s", name->repo,
                   (double)there.left / 1e6, name->repo);
    return s;
}
