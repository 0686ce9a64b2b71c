#include "base/outfile.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

ts_status ts_outfile_open(ts_outfile *f, const char *path, ts_err *err) {
    ts_buf tmp = {0};
    char *name = ts_strdup(path);
    if (!name || !ts_buf_printf(&tmp, "%s.%ld.tmp", path, (long)getpid())) {
        ts_free(name);
        ts_buf_free(&tmp);
        return ts_fail_nomem(err, path, strlen(path) + 32);
    }
    int fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        ts_status s = ts_fail_os(err, TS_E_IO, errno, "cannot create %s", tmp.data);
        ts_free(name);
        ts_buf_free(&tmp);
        return s;
    }
    *f = (ts_outfile){.fd = fd, .path = name, .tmp = tmp.data};
    return TS_OK;
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
    if (s == TS_OK && rename(f->tmp, f->path) < 0)
        s = ts_fail_os(err, TS_E_IO, errno, "cannot replace %s", f->path);
    if (s != TS_OK) unlink(f->tmp);
    forget(f);
    return s;
}

void ts_outfile_discard(ts_outfile *f) {
    if (!f || !f->tmp) return;
    close(f->fd);
    unlink(f->tmp);
    forget(f);
}
