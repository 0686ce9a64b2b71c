#include "hub/hub_store.h"

#include "base/file.h"
#include "hub/hub_part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

/* Can BASE/PATH get a name? What is no folder in the place of one of its folders is in the way; a link is, too: it
 * leads out of the store. */
static ts_status check_way(const char *base, const char *path, ts_err *err) {
    char *whole = ts_hub_join(base, path, NULL);
    if (!whole) return ts_fail_nomem(err, path, 0);
    ts_status s = TS_OK;
    struct stat st;
    for (char *at = whole + strlen(base) + 1, *slash; s == TS_OK && (slash = strchr(at, '/')); at = slash + 1) {
        *slash = 0;
        if (lstat(whole, &st) == 0 && !S_ISDIR(st.st_mode))
            s = ts_fail(err, TS_E_IO, "%s is in the way: it should be a folder, and is a %s; remove it", whole,
                        S_ISLNK(st.st_mode) ? "link" : "file");
        *slash = '/';
    }
    if (s == TS_OK && lstat(whole, &st) == 0 && S_ISDIR(st.st_mode))
        s = ts_fail(err, TS_E_IO, "%s is in the way: it should be a file, and is a folder; remove it", whole);
    ts_free(whole);
    return s;
}

/* A name that nothing else has, in the folder of `name`: a file's own may be as long as names can be. */
static bool temporary_name(ts_buf *out, const char *name) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ts_buf_printf(out, "%.*s/.tessera-%ld%09ld", (int)(strrchr(name, '/') - name), name, (long)getpid(),
                         now.tv_nsec);
}

/* Is it such a name, or one of those that were used before: NAME.tessera-PID? */
static bool is_temporary(const char *name) {
    static const char mark[] = ".tessera-";
    const char *at = NULL;
    for (const char *s = name; (s = strstr(s, mark)); s++) at = s;
    if (!at) return false;
    const char *digits = at + sizeof mark - 1;
    return *digits && !digits[strspn(digits, "0123456789")];
}

ts_status ts_hub_link(const ts_hub_place *p, const char *commit, const char *path, const char *hash, bool no_links,
                      bool again, ts_err *err) {
    char *name = ts_hub_join(p->dir, "snapshots", commit, path, NULL), *blob = ts_hub_join(p->dir, "blobs", hash, NULL),
         *top = ts_hub_join(p->dir, "snapshots", NULL);
    ts_buf target = {0}, tmp = {0}, there = {0};
    bool ok = name && blob && top && ts_buf_puts(&target, "../../");
    for (const char *s = path; ok && (s = strchr(s, '/')); s++) ok = ts_buf_puts(&target, "../");
    ok = ok && ts_buf_printf(&target, "blobs/%s", hash) && temporary_name(&tmp, name) &&
         ts_buf_reserve(&there, PATH_MAX);
    ts_status s = ok ? check_way(top, name + strlen(top) + 1, err) : ts_fail_nomem(err, p->dir, 0);
    if (s == TS_OK) s = ts_hub_make_parents(name, err);
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
    ts_free(name), ts_free(blob), ts_free(top);
    return s;
}

ts_status ts_hub_can_ref(const ts_hub_place *p, const char *rev, ts_err *err) {
    char *refs = ts_hub_join(p->dir, "refs", NULL);
    ts_status s = refs ? check_way(refs, rev, err) : ts_fail_nomem(err, p->dir, 0);
    ts_free(refs);
    return s;
}

ts_status ts_hub_put_ref(const ts_hub_place *p, const char *rev, const char *commit, ts_err *err) {
    char *path = ts_hub_join(p->dir, "refs", rev, NULL), now[TS_HUB_COMMIT + 1];
    if (!path) return ts_fail_nomem(err, p->dir, 0);
    ts_status s = TS_OK;
    if (!ts_hub_get_ref(p, rev, now) || strcmp(now, commit) != 0) {
        s = ts_hub_can_ref(p, rev, err);
        if (s == TS_OK) s = ts_hub_make_parents(path, err);
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
        if (!ts_hub_is_commit(e->d_name, len) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISDIR(st.st_mode))
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

/* Hashes that names link; owned. */
struct hashes {
    char (*item)[65];
    size_t n, cap;
};

static int by_hash(const void *a, const void *b) {
    return strcmp(a, b);
}

/* What a walk is after: names that can be files' of a model, or the hashes that any name links, whatever it is. */
struct walk {
    bool broken;
    ts_hub_files *files;   /* NULL: the hashes */
    struct hashes *hashes; /* then what cannot be looked at is an error */
};

static ts_status add_hash(struct hashes *h, const char *hash, ts_err *err) {
    if (!*hash) return TS_OK;
    if (!ts_grow((void **)&h->item, &h->cap, h->n + 1, sizeof *h->item))
        return ts_fail_nomem(err, "a list of files", h->n);
    strcpy(h->item[h->n++], hash);
    return TS_OK;
}

/* One name that is no folder. */
static ts_status visit(const struct walk *w, int dir, const char *name, const ts_buf *path, bool is_link,
                       struct stat *st, ts_err *err) {
    char hash[65] = "";
    if (is_link) linked_hash(dir, name, hash);
    if (!w->files) return add_hash(w->hashes, hash, err);
    const bool elsewhere = is_link && (fstatat(dir, name, st, 0) != 0 || S_ISDIR(st->st_mode));
    if (elsewhere ? !w->broken : !S_ISREG(st->st_mode)) return TS_OK;
    if (!w->broken && is_temporary(name)) return TS_OK;
    return ts_hub_files_add(w->files, path->data, path->len, elsewhere ? 0 : (uint64_t)st->st_size, hash, err);
}

static DIR *open_folder(const char *dir) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0) close(fd);
    return d;
}

static ts_status walk(const struct walk *w, const char *dir, ts_buf *path, int depth, ts_err *err) {
    ts_status s = TS_OK;
    DIR *d = depth <= TS_HUB_DEPTH_MAX ? open_folder(dir) : NULL;
    if (!d && w->hashes && depth > TS_HUB_DEPTH_MAX)
        return ts_fail(err, TS_E_LIMIT, "%s lies more than %d folders deep", dir, TS_HUB_DEPTH_MAX);
    if (!d && w->hashes && errno != ENOENT) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", dir);
    for (struct dirent *e; d && s == TS_OK && (e = readdir(d));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        const size_t before = path->len;
        if ((before && !ts_buf_putc(path, '/')) || !ts_buf_puts(path, e->d_name))
            s = ts_fail_nomem(err, dir, path->len);
        else if (!S_ISDIR(st.st_mode)) s = visit(w, dirfd(d), e->d_name, path, S_ISLNK(st.st_mode), &st, err);
        else {
            char *below = ts_hub_join(dir, e->d_name, NULL);
            s = below ? walk(w, below, path, depth + 1, err) : ts_fail_nomem(err, dir, 0);
            ts_free(below);
        }
        path->len = before;
        if (path->data) path->data[before] = 0;
    }
    if (d) closedir(d);
    return s;
}

static ts_status walk_snapshot(const struct walk *w, const ts_hub_place *p, const char *commit, ts_err *err) {
    char *top = ts_hub_join(p->dir, "snapshots", commit, NULL);
    ts_buf path = {0};
    ts_status s = top ? walk(w, top, &path, 0, err) : ts_fail_nomem(err, p->dir, 0);
    ts_buf_free(&path);
    ts_free(top);
    return s;
}

ts_status ts_hub_snapshot_files(const ts_hub_place *p, const char *commit, bool broken, ts_hub_files *out,
                                ts_err *err) {
    const struct walk w = {.broken = broken, .files = out};
    TS_TRY(walk_snapshot(&w, p, commit, err));
    ts_hub_files_end(out);
    return TS_OK;
}

/* ---- what unfinished pulls have left ----------------------------------------------------------------------------- */

ts_status ts_hub_each_left(const ts_hub_place *p, ts_hub_left *left, void *ud, ts_err *err) {
    struct hashes linked = {0};
    const struct walk w = {.hashes = &linked};
    char(*commit)[TS_HUB_COMMIT + 1] = NULL;
    size_t n = 0;
    ts_status s = ts_hub_snapshots(p, "", &commit, &n, err);
    for (size_t i = 0; i < n && s == TS_OK; i++) s = walk_snapshot(&w, p, commit[i], err);
    if (linked.n) qsort(linked.item, linked.n, sizeof *linked.item, by_hash);
    char *blobs = s == TS_OK ? ts_hub_join(p->dir, "blobs", NULL) : NULL;
    if (s == TS_OK && !blobs) s = ts_fail_nomem(err, p->dir, 0);
    DIR *d = blobs ? opendir(blobs) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        const bool blob = ts_hub_is_hash(e->d_name, strlen(e->d_name));
        if (!blob && !ts_hub_is_part(e->d_name)) continue;
        if (blob && linked.n && bsearch(e->d_name, linked.item, linked.n, sizeof *linked.item, by_hash)) continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(st.st_mode)) continue;
        if (!left(ud, dirfd(d), e->d_name, &st)) break;
    }
    if (d) closedir(d);
    ts_free(blobs), ts_free(commit), ts_free(linked.item);
    return s;
}
