#include "hub/hub_store.h"

#include "base/file.h"
#include "base/printable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };

/* ---- paths ------------------------------------------------------------------------------------------------------- */

char *ts_hub_join(const char *dir, ...) {
    ts_buf b = {0};
    bool ok = ts_buf_puts(&b, dir);
    va_list ap;
    va_start(ap, dir);
    for (const char *s; ok && (s = va_arg(ap, const char *));) ok = ts_buf_putc(&b, '/') && ts_buf_puts(&b, s);
    va_end(ap);
    if (ok) return b.data;
    ts_buf_free(&b);
    return NULL;
}

ts_status ts_hub_place_of(ts_hub_place *out, const char *cache, const char *repo, ts_err *err) {
    ts_buf name = {0};
    const char *slash = strchr(repo, '/');
    ts_hub_place p = {0};
    if (ts_buf_printf(&name, "models--%.*s--%s", (int)(slash - repo), repo, slash + 1)) {
        p.dir = ts_hub_join(cache, name.data, NULL);
        p.locks = ts_hub_join(cache, ".locks", name.data, NULL);
    }
    ts_buf_free(&name);
    if (p.dir && p.locks) {
        *out = p;
        return TS_OK;
    }
    ts_hub_place_free(&p);
    return ts_fail_nomem(err, cache, 0);
}

void ts_hub_place_free(ts_hub_place *p) {
    ts_free(p->dir);
    ts_free(p->locks);
    *p = (ts_hub_place){0};
}

bool ts_hub_repo_of_dir(char repo[2 * TS_HUB_ID_MAX + 2], const char *dir_name) {
    if (strncmp(dir_name, "models--", 8) != 0) return false;
    const char *org = dir_name + 8, *sep = strstr(org, "--");
    if (!sep || strlen(org) > 2 * TS_HUB_ID_MAX + 2) return false;
    const int n = snprintf(repo, 2 * TS_HUB_ID_MAX + 2, "%.*s/%s", (int)(sep - org), org, sep + 2);
    return n > 0 && n < 2 * TS_HUB_ID_MAX + 2 && ts_hub_is_repo(repo, (size_t)n);
}

ts_status ts_hub_make_parents(const char *path, ts_err *err) {
    char *copy = ts_strdup(path);
    if (!copy) return ts_fail_nomem(err, path, strlen(path));
    ts_status s = TS_OK;
    for (char *p = copy + 1; s == TS_OK && (p = strchr(p, '/')); p++) {
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            const int why = errno;
            if (!ts_file_is_dir(copy)) s = ts_fail_os(err, TS_E_IO, why, "cannot make the folder %s", copy);
        }
        *p = '/';
    }
    ts_free(copy);
    return s;
}

ts_status ts_hub_place_make(const ts_hub_place *p, bool *denied, ts_err *err) {
    char *const below[] = {ts_hub_join(p->dir, "blobs", "x", NULL), ts_hub_join(p->dir, "snapshots", "x", NULL),
                           ts_hub_join(p->dir, "refs", "x", NULL), ts_hub_join(p->locks, "x", NULL)};
    ts_status s = TS_OK;
    *denied = false;
    for (size_t i = 0; i < 4 && s == TS_OK; i++) {
        s = below[i] ? ts_hub_make_parents(below[i], err) : ts_fail_nomem(err, p->dir, 0);
        if (s == TS_E_IO) *denied = err->os_errno == EACCES || err->os_errno == EROFS || err->os_errno == EPERM;
        if (s != TS_OK) break;
        below[i][strlen(below[i]) - 2] = 0; /* the folder itself */
        if (access(below[i], W_OK | X_OK) == 0) continue;
        s = ts_fail_os(err, TS_E_IO, errno, "cannot write into %s", below[i]);
        *denied = true;
    }
    for (size_t i = 0; i < 4; i++) ts_free(below[i]);
    return s;
}

/* ---- what has been checked --------------------------------------------------------------------------------------- */

enum { RECORD_MAX = 4096 };

/* One line of a record: the same contents may lie in several places. */
static void record_line(char out[100], const struct stat *st, bool ours) {
    snprintf(out, 100, "%lld %lld.%09ld %llu %s\n", (long long)st->st_size, (long long)st->st_mtim.tv_sec,
             (long)st->st_mtim.tv_nsec, (unsigned long long)st->st_ino, ours ? "fetched" : "checked");
}

static char *record_path(const char *state, const char *hash) {
    return state && ts_hub_is_hash(hash, strlen(hash)) ? ts_hub_join(state, "verified", hash, NULL) : NULL;
}

bool ts_hub_is_known(const char *state, const char *hash, const struct stat *st, bool *ours) {
    char *path = record_path(state, hash), line[2][100];
    ts_buf b = {0};
    ts_err err;
    bool found[2] = {0};
    record_line(line[0], st, false), record_line(line[1], st, true);
    if (path && ts_file_read(&b, path, RECORD_MAX, &err) == TS_OK && b.len)
        for (int i = 0; i < 2; i++) {
            const char *at = strstr(b.data, line[i]);
            found[i] = at && (at == b.data || at[-1] == '\n');
        }
    ts_buf_free(&b);
    ts_free(path);
    if (ours) *ours = found[1];
    return found[0] || found[1];
}

void ts_hub_remember(const char *state, const char *hash, const struct stat *st, bool ours) {
    char *path = record_path(state, hash), line[100];
    ts_buf old = {0}, new = {0};
    ts_err err;
    record_line(line, st, ours);
    if (path && ts_hub_make_parents(path, &err) == TS_OK) {
        if (ts_file_exists(path)) (void)!ts_file_read(&old, path, RECORD_MAX, &err);
        /* the newest line first, and not more of the old ones than will be read */
        const char *rest = old.len ? old.data : "";
        if (ts_buf_puts(&new, line) && (strlen(rest) > RECORD_MAX / 2 || ts_buf_puts(&new, rest)))
            (void)!ts_file_write(path, new.data, new.len, &err);
    }
    ts_buf_free(&old), ts_buf_free(&new);
    ts_free(path);
}

ts_status ts_hub_check(const char *state, const char *path, const char *hash, ts_hub_tick *tick, void *ud,
                       ts_err *err) {
    struct stat st, after;
    char is[65];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot open %s", path);
    ts_status s = TS_OK;
    if (fstat(fd, &st) != 0) s = ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode)) s = ts_fail(err, TS_E_IO, "%s is no file", path);
    else if (!ts_hub_is_known(state, hash, &st, NULL)) {
        s = ts_hub_digest(is, fd, hash, path, tick, ud, err);
        if (s == TS_OK && strcmp(is, hash) != 0)
            s = ts_fail(err, TS_E_FORMAT, "%s is damaged: its hash is %s", path, is);
        /* what was written to meanwhile is checked again next time */
        else if (s == TS_OK && fstat(fd, &after) == 0 && after.st_size == st.st_size &&
                 after.st_mtim.tv_sec == st.st_mtim.tv_sec && after.st_mtim.tv_nsec == st.st_mtim.tv_nsec)
            ts_hub_remember(state, hash, &st, false);
    }
    close(fd);
    return s;
}

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

/* A copy, for where a file has two names and no links can be made. */
static ts_status copy_file(const char *from, const char *to, ts_err *err) {
    char *piece = ts_alloc(1 << 20, 1);
    const int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    ts_status s = !piece              ? ts_fail_nomem(err, from, 1 << 20)
                  : in < 0 || out < 0 ? ts_fail_os(err, TS_E_IO, errno, "cannot copy to %s", to)
                                      : TS_OK;
    while (s == TS_OK) {
        const ssize_t n = read(in, piece, 1 << 20);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) break;
        for (ssize_t done = 0; n > 0 && done < n && s == TS_OK;) {
            const ssize_t k = write(out, piece + done, (size_t)(n - done));
            if (k < 0 && errno != EINTR) s = ts_fail_os(err, TS_E_IO, errno, "cannot copy to %s", to);
            if (k > 0) done += k;
        }
        if (n < 0) s = ts_fail_os(err, TS_E_IO, errno, "cannot read %s", from);
    }
    if (s == TS_OK && fsync(out) != 0) s = ts_fail_os(err, TS_E_IO, errno, "cannot copy to %s", to);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    ts_free(piece);
    return s;
}

ts_status ts_hub_link(const ts_hub_place *p, const char *commit, const char *path, const char *hash, bool no_links,
                      bool again, ts_err *err) {
    char *name = ts_hub_join(p->dir, "snapshots", commit, path, NULL), *blob = ts_hub_join(p->dir, "blobs", hash, NULL);
    ts_buf target = {0}, tmp = {0}, there = {0};
    bool ok = name && blob && ts_buf_puts(&target, "../../");
    for (const char *s = path; ok && (s = strchr(s, '/')); s++) ok = ts_buf_puts(&target, "../");
    ok = ok && ts_buf_printf(&target, "blobs/%s", hash) &&
         ts_buf_printf(&tmp, "%s.tessera-%ld", name, (long)getpid()) && ts_buf_reserve(&there, PATH_MAX);
    ts_status s = ok ? ts_hub_make_parents(name, err) : ts_fail_nomem(err, p->dir, 0);
    struct stat st;
    const bool linked = s == TS_OK && lstat(name, &st) == 0 && S_ISLNK(st.st_mode);
    if (linked) {
        const ssize_t n = readlink(name, there.data, PATH_MAX - 1);
        there.data[n > 0 ? n : 0] = 0;
    }
    if (s == TS_OK && !(linked && !strcmp(there.data, target.data))) {
        (void)unlink(tmp.data);
        bool links = !no_links && symlink(target.data, tmp.data) == 0;
        const bool none = no_links || errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
        if (!links && !none) s = ts_fail_os(err, TS_E_IO, errno, "cannot make the link %s", name);
        if (!links && none && again) s = copy_file(blob, tmp.data, err);
        const char *from = !links && none && !again ? blob : tmp.data;
        if (s == TS_OK && rename(from, name) != 0) s = ts_fail_os(err, TS_E_IO, errno, "cannot rename to %s", name);
        if (s != TS_OK) (void)unlink(tmp.data);
    }
    ts_buf_free(&target), ts_buf_free(&tmp), ts_buf_free(&there);
    ts_free(name), ts_free(blob);
    return s;
}

ts_status ts_hub_put_ref(const ts_hub_place *p, const char *rev, const char *commit, ts_err *err) {
    char *path = ts_hub_join(p->dir, "refs", rev, NULL), now[TS_HUB_COMMIT + 1];
    if (!path) return ts_fail_nomem(err, p->dir, 0);
    ts_status s = TS_OK;
    if (!ts_hub_get_ref(p, rev, now) || strcmp(now, commit) != 0) {
        s = ts_hub_make_parents(path, err);
        if (s == TS_OK) s = ts_file_write(path, commit, strlen(commit), err);
    }
    ts_free(path);
    return s;
}

bool ts_hub_get_ref(const ts_hub_place *p, const char *rev, char commit[TS_HUB_COMMIT + 1]) {
    char *path = ts_hub_join(p->dir, "refs", rev, NULL);
    ts_buf b = {0};
    ts_err err;
    bool ok = path && ts_file_read(&b, path, 256, &err) == TS_OK;
    while (ok && b.len && strchr(" \r\n\t", b.data[b.len - 1])) b.len--;
    ok = ok && ts_hub_is_commit(b.data, b.len);
    if (ok) memcpy(commit, b.data, TS_HUB_COMMIT), commit[TS_HUB_COMMIT] = 0;
    ts_buf_free(&b);
    ts_free(path);
    return ok;
}

struct snapshot {
    char commit[TS_HUB_COMMIT + 1];
    bool main; /* refs/main, or what the revision names */
    struct timespec when;
};

static int likelier(const void *a, const void *b) {
    const struct snapshot *x = a, *y = b;
    if (x->main != y->main) return x->main ? -1 : 1;
    if (x->when.tv_sec != y->when.tv_sec) return x->when.tv_sec > y->when.tv_sec ? -1 : 1;
    if (x->when.tv_nsec != y->when.tv_nsec) return x->when.tv_nsec > y->when.tv_nsec ? -1 : 1;
    return strcmp(x->commit, y->commit);
}

ts_status ts_hub_snapshots(const ts_hub_place *p, const char *rev, char (**out)[TS_HUB_COMMIT + 1], size_t *n,
                           ts_err *err) {
    char *top = ts_hub_join(p->dir, "snapshots", NULL), named[TS_HUB_COMMIT + 1];
    struct snapshot *list = NULL;
    size_t count = 0, cap = 0;
    if (!top) return ts_fail_nomem(err, p->dir, 0);
    const bool known = ts_hub_get_ref(p, *rev ? rev : "main", named);
    ts_status s = TS_OK;
    DIR *d = opendir(top);
    for (struct dirent *e; d && s == TS_OK && (e = readdir(d));) {
        struct stat st;
        const size_t len = strlen(e->d_name);
        if (!ts_hub_is_commit(e->d_name, len) || fstatat(dirfd(d), e->d_name, &st, 0) != 0 || !S_ISDIR(st.st_mode))
            continue;
        const bool is_named = known && !strcmp(e->d_name, named);
        /* a revision is a name that refs knows, or the beginning of a commit */
        if (*rev && !is_named && (known || strlen(rev) < 7 || strncmp(e->d_name, rev, strlen(rev)) != 0)) continue;
        if (!ts_grow((void **)&list, &cap, count + 1, sizeof *list)) {
            s = ts_fail_nomem(err, "the list of snapshots", count * sizeof *list);
            break;
        }
        list[count] = (struct snapshot){.main = is_named, .when = st.st_mtim};
        memcpy(list[count++].commit, e->d_name, len + 1);
    }
    if (d) closedir(d);
    char(*commits)[TS_HUB_COMMIT + 1] = s == TS_OK ? ts_alloc(count + 1, sizeof *commits) : NULL;
    if (s == TS_OK && !commits) s = ts_fail_nomem(err, "the list of snapshots", count * sizeof *commits);
    if (s == TS_OK && count) qsort(list, count, sizeof *list, likelier);
    for (size_t i = 0; s == TS_OK && i < count; i++) memcpy(commits[i], list[i].commit, sizeof *commits);
    ts_free(list);
    ts_free(top);
    if (s == TS_OK) *out = commits, *n = count;
    return s;
}

/* The hash that the link `name` in the folder names; "" where it is no link, or one to something else. */
static void linked_hash(int dir, const char *name, char out[65]) {
    char target[PATH_MAX];
    const ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    *out = 0;
    if (n <= 0) return;
    target[n] = 0;
    const char *slash = strrchr(target, '/'), *last = slash ? slash + 1 : target;
    if (ts_hub_is_hash(last, strlen(last))) strcpy(out, last);
}

static ts_status walk(const char *dir, ts_buf *path, int depth, bool broken, ts_hub_files *out, ts_err *err) {
    ts_status s = TS_OK;
    DIR *d = depth < DEPTH_MAX ? opendir(dir) : NULL;
    for (struct dirent *e; d && s == TS_OK && (e = readdir(d));) {
        struct stat st;
        char hash[65];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        const bool nowhere = fstatat(dirfd(d), e->d_name, &st, 0) != 0;
        if (nowhere && !(broken && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)) continue;
        const size_t before = path->len;
        if ((before && !ts_buf_putc(path, '/')) || !ts_buf_puts(path, e->d_name))
            s = ts_fail_nomem(err, dir, path->len);
        else if (nowhere || (S_ISREG(st.st_mode) && (broken || !strstr(e->d_name, ".tessera-")))) {
            linked_hash(dirfd(d), e->d_name, hash);
            s = ts_hub_files_add(out, path->data, path->len, nowhere ? 0 : (uint64_t)st.st_size, hash, err);
        } else if (S_ISDIR(st.st_mode)) {
            char *below = ts_hub_join(dir, e->d_name, NULL);
            s = below ? walk(below, path, depth + 1, broken, out, err) : ts_fail_nomem(err, dir, 0);
            ts_free(below);
        }
        path->len = before;
        if (path->data) path->data[before] = 0;
    }
    if (d) closedir(d);
    return s;
}

ts_status ts_hub_snapshot_files(const ts_hub_place *p, const char *commit, bool broken, ts_hub_files *out,
                                ts_err *err) {
    char *top = ts_hub_join(p->dir, "snapshots", commit, NULL);
    ts_buf path = {0};
    ts_status s = top ? walk(top, &path, 0, broken, out, err) : ts_fail_nomem(err, p->dir, 0);
    if (s == TS_OK) ts_hub_files_end(out);
    ts_buf_free(&path);
    ts_free(top);
    return s;
}
