/* Loaded in front of a program (LD_PRELOAD): as soon as it has mapped the file $SHRINK_FILE, that file is cut to
 * $SHRINK_TO bytes, as if another program had written to it at the worst moment. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static void shrink(int fd) {
    const char *path = getenv("SHRINK_FILE"), *to = getenv("SHRINK_TO");
    struct stat mapped, named;
    if (!path || !to || fstat(fd, &mapped) < 0 || stat(path, &named) < 0) return;
    if (mapped.st_dev != named.st_dev || mapped.st_ino != named.st_ino) return;
    if (truncate(path, atol(to)) < 0) _exit(99);
}

/* off_t has 64 bits in this build, so that this is mmap64, which the program calls */
__attribute__((visibility("default"))) void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset) {
    void *p = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
    if (p != MAP_FAILED && fd >= 0) shrink(fd);
    return p;
}
