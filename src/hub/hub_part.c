#include "hub/hub_part.h"

#include "base/mem.h"
#include "hub/hub_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ABANDONED_S = 15 * 60 /* another machine's part that nobody has written to for so long */ };

static void host_name(char out[65]) {
    memset(out, 0, 65);
    (void)gethostname(out, 64);
    for (char *s = out; *s; s++)
        if (*s == '/' || *s == '.') *s = '-';
}

/* Is it "HOST.PID" of a process that is no more? */
static bool is_abandoned(const char *owner, const struct stat *st) {
    char host[65];
    host_name(host);
    const size_t n = strlen(host);
    if (strncmp(owner, host, n) != 0 || owner[n] != '.') return st->st_mtime + ABANDONED_S < time(NULL);
    const long pid = strtol(owner + n + 1, NULL, 10);
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* Give the largest part that others have left of it the name `own`. */
static void take_over(const char *path, const char *own) {
    const char *slash = strrchr(path, '/');
    char *dir = ts_strndup(path, (size_t)(slash - path));
    ts_buf best = {0};
    off_t size = 0;
    const size_t n = strlen(slash + 1);
    DIR *d = dir ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, slash + 1, n) != 0 || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        const bool common = !e->d_name[n];
        if (!S_ISREG(st.st_mode) || st.st_size <= size ||
            !(common || (e->d_name[n] == '.' && is_abandoned(e->d_name + n + 1, &st))))
            continue;
        ts_buf_clear(&best);
        if (ts_buf_printf(&best, "%s/%s", dir, e->d_name)) size = st.st_size;
        else size = 0;
    }
    if (size) (void)!rename(best.data, own); /* where another was quicker, the file is empty: no harm */
    if (d) closedir(d);
    ts_buf_free(&best);
    ts_free(dir);
}

ts_status ts_hub_part_open(ts_hub_part *p, const char *blob, bool alone, ts_err *err) {
    ts_buf path = {0}, own = {0};
    char host[65];
    *p = (ts_hub_part){.fd = -1};
    host_name(host);
    const bool ok =
        ts_buf_printf(&path, "%s" TS_HUB_PART, blob) &&
        (alone ? ts_buf_puts(&own, path.data) : ts_buf_printf(&own, "%s.%s.%ld", path.data, host, (long)getpid()));
    p->path = path.data, p->name = own.data;
    if (!ok) return ts_fail_nomem(err, blob, 0);
    if (!alone) take_over(p->path, p->name);
    struct stat st;
    p->fd = open(p->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    /* another user's, in a folder that several write to: it cannot be gone on with */
    if (p->fd < 0 && errno == EACCES && unlink(p->name) == 0)
        p->fd = open(p->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0 || fstat(p->fd, &st) != 0) return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", p->name);
    p->len = (uint64_t)st.st_size;
    return TS_OK;
}

ts_status ts_hub_part_cut(ts_hub_part *p, uint64_t len, ts_err *err) {
    if (ftruncate(p->fd, (off_t)len) != 0) return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", p->name);
    p->len = len;
    return TS_OK;
}

static void forget_name(ts_hub_part *p) {
    ts_free(p->name);
    p->name = NULL;
}

/* So that a power cut does not take the name away; where a file system cannot, it does without. */
static void sync_folder(const char *path) {
    char *dir = ts_strndup(path, (size_t)(strrchr(path, '/') - path));
    const int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) (void)!fsync(fd), close(fd);
    ts_free(dir);
}

ts_status ts_hub_part_install(ts_hub_part *p, const char *blob, ts_err *err) {
    if (fsync(p->fd) != 0) return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", p->name);
    if (rename(p->name, blob) != 0) return ts_fail_os(err, TS_E_IO, errno, "cannot rename to %s", blob);
    forget_name(p);
    sync_folder(blob);
    return TS_OK;
}

void ts_hub_part_remove(ts_hub_part *p) {
    if (p->name) (void)unlink(p->name);
    forget_name(p);
}

void ts_hub_part_close(ts_hub_part *p) {
    struct stat st;
    const bool own = p->name && p->path && strcmp(p->name, p->path) != 0 && p->fd >= 0;
    if (own && !p->len) (void)unlink(p->name);
    else if (own && (stat(p->path, &st) != 0 || (uint64_t)st.st_size < p->len)) (void)!rename(p->name, p->path);
    else if (own) (void)unlink(p->name);
    if (p->fd >= 0) close(p->fd);
    ts_free(p->path);
    ts_free(p->name);
    *p = (ts_hub_part){.fd = -1};
}

bool ts_hub_is_part(const char *name) {
    const char *end = strstr(name, TS_HUB_PART);
    if (!end || !ts_hub_is_hash(name, (size_t)(end - name))) return false;
    end += sizeof TS_HUB_PART - 1;
    return !*end || *end == '.';
}

uint64_t ts_hub_part_size(const char *blob) {
    ts_buf name = {0};
    struct stat st;
    const bool there = ts_buf_printf(&name, "%s" TS_HUB_PART, blob) && stat(name.data, &st) == 0;
    ts_buf_free(&name);
    return there ? (uint64_t)st.st_size : 0;
}
