/* Loaded in front of a program (LD_PRELOAD): regular files may take $DISK_BYTES bytes together, as on a disk that gets
 * full, and $DISK_FREE bytes are said to be free. What is cut off a file is there again. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static long long used;

static int is_file(int fd, struct stat *st) {
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode);
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t len) {
    const char *most = getenv("DISK_BYTES");
    struct stat st;
    if (most && is_file(fd, &st)) {
        if (used + (long long)len > atoll(most)) {
            errno = ENOSPC;
            return -1;
        }
        used += (long long)len;
    }
    return syscall(SYS_write, fd, data, len);
}

/* off_t has 64 bits in this build, so that these are the functions that the program calls */
__attribute__((visibility("default"))) int ftruncate(int fd, off_t len) {
    struct stat st;
    if (is_file(fd, &st) && st.st_size > len) used -= st.st_size - len;
    return (int)syscall(SYS_ftruncate, fd, len);
}

__attribute__((visibility("default"))) int fstatvfs(int fd, struct statvfs *v) {
    const char *free_bytes = getenv("DISK_FREE");
    (void)fd;
    *v = (struct statvfs){.f_frsize = 1, .f_bavail = free_bytes ? (fsblkcnt_t)atoll(free_bytes) : (fsblkcnt_t)1 << 40};
    return 0;
}
