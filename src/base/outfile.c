#include "base/outfile.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the bytes go: the target's own name behind symbolic links. *beside: may it be replaced by a file written beside
 * it? *mode: the permissions that the new file is to take over, -1: none. */
static char *resolve(const char *path, bool *beside, int *mode) {
    struct stat st, link;
    *beside = true;
    *mode = -1;
    if (stat(path, &st) < 0) return ts_strdup(path);
    if (S_ISREG(st.st_mode)) *mode = (int)(st.st_mode & 0777);
    *beside = S_ISREG(st.st_mode);
    if (!*beside || lstat(path, &link) < 0 || !S_ISLNK(link.st_mode)) return ts_strdup(path);
    char *real = realpath(path, NULL), *copy = ts_strdup(real ? real : path);
    free(real); /* the C library's own allocation */
    return copy;
}

typedef enum manner { USUAL, PRIVATE, KEPT } manner;

static ts_status open_out(ts_outfile *f, const char *path, manner how, ts_err *err) {
    ts_buf tmp = {0};
    bool beside = true;
    int mode = -1;
    const bool private = how == PRIVATE;
    char *name = private ? ts_strdup(path) : resolve(path, &beside, &mode);
    if (!name || (beside && how == KEPT && !ts_buf_printf(&tmp, "%s.partial", name)) ||
        (beside && how != KEPT && !ts_buf_printf(&tmp, "%s.%ld.tmp", name, (long)getpid()))) {
        ts_free(name);
        ts_buf_free(&tmp);
        return ts_fail_nomem(err, path, strlen(path) + 32);
    }
    /* no name, or a folder: open says what is wrong with it */
    if (!*path || path[strlen(path) - 1] == '/') beside = false;
    /* not waiting for somebody to read a pipe: without a reader that is an error */
    const int create = beside ? O_CREAT | (how == KEPT ? 0 : O_TRUNC) : O_TRUNC;
    int fd = open(beside ? tmp.data : name,
                  O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | create | (private ? O_EXCL | O_NOFOLLOW : 0),
                  private ? 0600 : 0666);
    if (fd >= 0) (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (fd < 0) {
        struct stat st;
        const int why = errno;
        const bool lonely = why == ENXIO && stat(name, &st) == 0 && S_ISFIFO(st.st_mode);
        /* the file beside it is nobody's business, unless it is one that was kept */
        const bool tell_kept = how == KEPT && beside && lstat(tmp.data, &st) == 0;
        ts_status s = lonely ? ts_fail(err, TS_E_IO, "%s is a pipe that nobody reads", path)
                             : ts_fail_os(err, TS_E_IO, why, "cannot write %s", tell_kept ? tmp.data : path);
        ts_free(name);
        ts_buf_free(&tmp);
        return s;
    }
    if (mode >= 0) (void)fchmod(fd, (mode_t)mode); /* where that is refused, the usual permissions do */
    *f = (ts_outfile){.fd = fd, .path = name, .tmp = tmp.data};
    return TS_OK;
}

ts_status ts_outfile_open(ts_outfile *f, const char *path, ts_err *err) {
    return open_out(f, path, USUAL, err);
}

ts_status ts_outfile_open_private(ts_outfile *f, const char *path, ts_err *err) {
    return open_out(f, path, PRIVATE, err);
}

/* Is it still what has the name? Who wrote it may have given it its last one before it was locked. */
static bool same_file(const ts_outfile *f) {
    struct stat open, named;
    return fstat(f->fd, &open) == 0 && stat(f->tmp, &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

ts_status ts_outfile_open_kept(ts_outfile *f, const char *path, uint64_t *had, ts_err *err) {
    TS_TRY(open_out(f, path, KEPT, err));
    struct stat st;
    *had = 0;
    if (!f->tmp) return TS_OK;
    ts_status s = TS_OK;
    if ((flock(f->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) || !same_file(f))
        s = ts_fail(err, TS_E_IO, "another process is writing %s", f->tmp);
    else if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode))
        s = ts_fail(err, TS_E_IO, "%s is no file that can be written", f->tmp);
    else *had = (uint64_t)st.st_size;
    if (s != TS_OK) ts_outfile_leave(f);
    return s;
}

ts_status ts_outfile_cut(ts_outfile *f, uint64_t n, ts_err *err) {
    if (f->tmp && (ftruncate(f->fd, (off_t)n) < 0 || lseek(f->fd, (off_t)n, SEEK_SET) < 0))
        return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->tmp);
    f->written = n;
    return TS_OK;
}

ts_status ts_outfile_seek(ts_outfile *f, uint64_t n, ts_err *err) {
    if (lseek(f->fd, (off_t)n, SEEK_SET) < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    f->written = n;
    return TS_OK;
}

ts_status ts_outfile_sync(ts_outfile *f, ts_err *err) {
    if (fdatasync(f->fd) < 0 && errno != EINVAL && errno != EROFS)
        return ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    return TS_OK;
}

void ts_sync_folder_of(const char *path) {
    char dir[PATH_MAX]; /* what is longer could not have been written to */
    const char *slash = strrchr(path, '/');
    const size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof dir) return;
    memcpy(dir, path, n);
    dir[n] = 0;
    const int fd = open(n ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) (void)fsync(fd);
    if (fd >= 0) close(fd);
}

ts_status ts_outfile_write(ts_outfile *f, const void *data, size_t len, ts_err *err) {
    for (size_t done = 0; done < len;) {
        ssize_t n = write(f->fd, (const char *)data + done, len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return ts_fail_os(err, TS_E_IO, n < 0 ? errno : ENOSPC, "cannot write %s", f->path);
        done += (size_t)n;
        f->written += (size_t)n;
    }
    return TS_OK;
}

static void forget(ts_outfile *f) {
    ts_free(f->path);
    ts_free(f->tmp);
    *f = (ts_outfile){.fd = -1};
}

ts_status ts_outfile_commit(ts_outfile *f, ts_err *err) {
    ts_status s = TS_OK;
    if (fsync(f->fd) < 0 && errno != EINVAL && errno != EROFS)
        s = ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    if (s == TS_OK && f->tmp && rename(f->tmp, f->path) < 0)
        s = ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    if (s != TS_OK && f->tmp) unlink(f->tmp);
    if (s == TS_OK && f->tmp) ts_sync_folder_of(f->path);
    /* not before it has its name: the lock of ts_outfile_open_kept ends here */
    if (close(f->fd) < 0 && s == TS_OK) s = ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    forget(f);
    return s;
}

void ts_outfile_discard(ts_outfile *f) {
    if (!f || !f->path) return;
    if (f->tmp) unlink(f->tmp);
    close(f->fd);
    forget(f);
}

void ts_outfile_leave(ts_outfile *f) {
    if (!f->path) return;
    close(f->fd);
    forget(f);
}
