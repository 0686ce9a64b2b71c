#include "base/outfile.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static ts_status open_out(ts_outfile *f, const char *path, bool private, ts_err *err) {
    ts_buf tmp = {0};
    bool beside = true;
    int mode = -1;
    char *name = private ? ts_strdup(path) : resolve(path, &beside, &mode);
    if (!name || (beside && !ts_buf_printf(&tmp, "%s.%ld.tmp", name, (long)getpid()))) {
        ts_free(name);
        ts_buf_free(&tmp);
        return ts_fail_nomem(err, path, strlen(path) + 32);
    }
    /* no name, or a folder: open says what is wrong with it */
    if (!*path || path[strlen(path) - 1] == '/') beside = false;
    /* not waiting for somebody to read a pipe: without a reader that is an error */
    int fd = open(beside ? tmp.data : name,
                  O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (beside ? O_CREAT : 0) |
                      (private ? O_EXCL | O_NOFOLLOW : 0),
                  private ? 0600 : 0666);
    if (fd >= 0) (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (fd < 0) {
        struct stat st;
        const bool lonely = errno == ENXIO && stat(name, &st) == 0 && S_ISFIFO(st.st_mode);
        ts_status s = lonely ? ts_fail(err, TS_E_IO, "%s is a pipe that nobody reads", path)
                             /* the file beside it is nobody's business */
                             : ts_fail_os(err, TS_E_IO, errno, "cannot write %s", path);
        ts_free(name);
        ts_buf_free(&tmp);
        return s;
    }
    if (mode >= 0) (void)fchmod(fd, (mode_t)mode); /* where that is refused, the usual permissions do */
    *f = (ts_outfile){.fd = fd, .path = name, .tmp = tmp.data};
    return TS_OK;
}

ts_status ts_outfile_open(ts_outfile *f, const char *path, ts_err *err) {
    return open_out(f, path, false, err);
}

ts_status ts_outfile_open_private(ts_outfile *f, const char *path, ts_err *err) {
    return open_out(f, path, true, err);
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
    if (close(f->fd) < 0 && s == TS_OK) s = ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    if (s == TS_OK && f->tmp && rename(f->tmp, f->path) < 0)
        s = ts_fail_os(err, TS_E_IO, errno, "cannot write %s", f->path);
    if (s != TS_OK && f->tmp) unlink(f->tmp);
    forget(f);
    return s;
}

void ts_outfile_discard(ts_outfile *f) {
    if (!f || !f->path) return;
    close(f->fd);
    if (f->tmp) unlink(f->tmp);
    forget(f);
}
