#include "hub/hub_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* File systems of one machine alone; of all others nothing is certain. */
static bool is_local(int fd) {
    static const unsigned long known[] = {0xEF53 /* ext */,
                                          0x58465342 /* xfs */,
                                          0x9123683E /* btrfs */,
                                          0x01021994 /* tmpfs */,
                                          0x2FC12FC1 /* zfs */,
                                          0xF2F52010 /* f2fs */,
                                          0x794C7630 /* overlay */,
                                          0x4D44 /* fat */,
                                          0x2011BAB0 /* exfat */,
                                          0x7366746E /* ntfs3 */,
                                          0xCA451A4E /* bcachefs */,
                                          0x3153464A /* jfs */,
                                          0x52654973 /* reiserfs */};
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((unsigned long)fs.f_type == known[i]) return true;
    return false;
}

static long holder(int fd) {
    char text[24] = "";
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static bool same_file(int fd, const char *path) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* A file of another user, which may be read alone, is locked as well; it does not tell our process then. */
static int open_file(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0 || (errno != EACCES && errno != EROFS)) return fd;
    const int why = errno;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) errno = why;
    return fd;
}

ts_status ts_hub_lock_take(ts_hub_lock *l, const char *path, bool shared, ts_hub_wait *wait, void *ud, ts_err *err) {
    l->fd = -1;
    for (int removed = 0; removed < 1000;) {
        const int fd = open_file(path);
        if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot open %s", path);
        const bool held = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0;
        const bool others = !held && (errno == EWOULDBLOCK || errno == EINTR);
        /* a lock of a file that somebody has removed meanwhile keeps nobody out */
        if (!others && same_file(fd, path)) {
            char text[24];
            const int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
            if (held && !shared && ftruncate(fd, 0) == 0) (void)!pwrite(fd, text, (size_t)n, 0);
            l->fd = fd;
            l->certain = held && is_local(fd);
            return TS_OK;
        }
        const long pid = others ? holder(fd) : 0;
        close(fd);
        removed += !others;
        if (!others) continue;
        if (!wait || !wait(ud, pid)) return ts_fail(err, TS_E_LIMIT, "another program is at work there (%s)", path);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return ts_fail(err, TS_E_IO, "%s disappears as soon as it is there", path);
}

void ts_hub_lock_leave(ts_hub_lock *l) {
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}
