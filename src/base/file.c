#define _GNU_SOURCE
#include "base/file.h"

#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What a path names that is no file, in words; NULL for a regular file. */
static const char *not_a_file(const struct stat *st) {
    switch (st->st_mode & S_IFMT) {
    case S_IFREG: return NULL;
    case S_IFDIR: return "a folder";
    case S_IFIFO: return "a pipe";
    case S_IFSOCK: return "a socket";
    default: return "a device";
    }
}

/* Open for reading without ever waiting: not for the writer of a pipe, not for a device. */
static ts_status open_now(int *out, struct stat *st, const char *path, ts_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENXIO && stat(path, st) == 0 && not_a_file(st)) /* a socket; a device that is not there */
        return ts_fail(err, TS_E_IO, "%s is %s, not a file", path, not_a_file(st));
    if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot open %s", path);
    if (fstat(fd, st) < 0) {
        ts_status s = ts_fail_os(err, TS_E_IO, errno, "cannot read the size of %s", path);
        close(fd);
        return s;
    }
    *out = fd;
    return TS_OK;
}

static int64_t mtime_of(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* The mappings there are, for ts_map_path_at: entries are taken and given back by exchanging `state`, so that a
 * signal handler may read them at any time. Where all are taken, a mapping is just not known. */
enum { KNOWN_MAPS = 64, FREE = 0, CHANGING, KNOWN };
static struct {
    atomic_int state;
    _Atomic uintptr_t begin, end; /* another thread may look at an entry that changes */
    char path[256];
} known[KNOWN_MAPS];

static void remember(const ts_map *map, const char *path) {
    size_t n = strlen(path);
    for (int i = 0; i < KNOWN_MAPS; i++) {
        int was = FREE;
        if (!atomic_compare_exchange_strong(&known[i].state, &was, CHANGING)) continue;
        known[i].begin = (uintptr_t)map->data;
        known[i].end = known[i].begin + map->len;
        snprintf(known[i].path, sizeof known[i].path, "%s",
                 n < sizeof known[i].path ? path : path + n - sizeof known[i].path + 1);
        atomic_store(&known[i].state, KNOWN);
        return;
    }
}

static void forget(const ts_map *map) {
    for (int i = 0; i < KNOWN_MAPS; i++) {
        if (atomic_load(&known[i].state) != KNOWN || known[i].begin != (uintptr_t)map->data) continue;
        atomic_store(&known[i].state, FREE);
        return;
    }
}

const char *ts_map_path_at(const void *addr) {
    for (int i = 0; i < KNOWN_MAPS; i++)
        if (atomic_load(&known[i].state) == KNOWN && (uintptr_t)addr >= known[i].begin &&
            (uintptr_t)addr < (known[i].end + 4095) / 4096 * 4096)
            return known[i].path;
    return NULL;
}

const char *ts_mapped_file(const void *addr) {
    return ts_map_path_at(addr);
}

ts_status ts_map_open(ts_map *map, const char *path, ts_err *err) {
    int fd = -1;
    struct stat st;
    TS_TRY(open_now(&fd, &st, path, err));
    ts_status s = TS_OK;
    if (not_a_file(&st)) {
        s = ts_fail(err, TS_E_IO, "%s is %s, not a file", path, not_a_file(&st));
        goto out_close;
    }
    if (st.st_size == 0) {
        *map = (ts_map){0};
        goto out_close;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        s = ts_fail_os(err, errno == ENOMEM ? TS_E_NOMEM : TS_E_IO, errno, "cannot map %s", path);
    } else {
        *map = (ts_map){
            .data = p, .len = (size_t)st.st_size, .dev = st.st_dev, .ino = st.st_ino, .mtime_ns = mtime_of(&st)};
        remember(map, path);
    }
out_close:
    close(fd);
    return s;
}

ts_status ts_map_check(const ts_map *map, const char *path, ts_err *err) {
    struct stat st;
    if (!map->data || stat(path, &st) < 0 || st.st_dev != map->dev || st.st_ino != map->ino) return TS_OK;
    if ((uint64_t)st.st_size == map->len && mtime_of(&st) == map->mtime_ns) return TS_OK;
    return ts_fail(err, TS_E_IO,
                   "%s has been written to while it was in use: start again with a file that stays as it is", path);
}

void ts_map_close(ts_map *map) {
    if (map && map->data) {
        forget(map);
        munmap((void *)(uintptr_t)map->data, map->len);
    }
    if (map) *map = (ts_map){0};
}

static void advise(const ts_map *map, size_t offset, size_t len, int advice) {
    if (!map->data || offset >= map->len) return;
    if (len > map->len - offset) len = map->len - offset;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = offset / page * page;
    madvise((void *)(uintptr_t)(map->data + begin), offset + len - begin, advice);
}

void ts_map_dontneed(const ts_map *map, size_t offset, size_t len) {
    advise(map, offset, len, MADV_DONTNEED);
}

void ts_map_willneed(const ts_map *map, size_t offset, size_t len) {
    advise(map, offset, len, MADV_WILLNEED);
}

/* May `path`, open as `fd`, be read to its end? Then reads may wait from now on. */
static ts_status prepare_read(int fd, const struct stat *st, const char *path, ts_buf *out, ts_err *err) {
    if (S_ISBLK(st->st_mode) || S_ISSOCK(st->st_mode) ||
        (S_ISCHR(st->st_mode) && !isatty(fd) && st->st_rdev != makedev(1, 3)))
        return ts_fail(err, TS_E_IO, "%s is %s, not a file", path, not_a_file(st));
    if (S_ISFIFO(st->st_mode)) { /* the end at once: nobody has it open for writing */
        ssize_t n = read(fd, out->data + out->len, 1);
        if (n == 0) return ts_fail(err, TS_E_IO, "%s is a pipe that nobody writes to", path);
        if (n == 1) out->len++;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    return TS_OK;
}

ts_status ts_file_read(ts_buf *out, const char *path, size_t limit, ts_err *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = STDIN_FILENO;
    struct stat st;
    size_t start = out->len;
    if (!is_stdin) TS_TRY(open_now(&fd, &st, path, err));
    ts_status s = ts_buf_reserve(out, 1 << 16) ? TS_OK : ts_fail_nomem(err, path, out->len + (1 << 16));
    if (s == TS_OK && !is_stdin) s = prepare_read(fd, &st, path, out, err);
    while (s == TS_OK) {
        if (!ts_buf_reserve(out, 1 << 16)) {
            s = ts_fail_nomem(err, path, out->len + (1 << 16));
            break;
        }
        ssize_t n = read(fd, out->data + out->len, 1 << 16);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            s = ts_fail_os(err, TS_E_IO, errno, "cannot read %s", name);
            break;
        }
        if (n == 0) break;
        out->len += (size_t)n;
        if (out->len - start > limit) {
            s = ts_fail(err, TS_E_LIMIT, "%s is larger than %zu bytes", name, limit);
            break;
        }
    }
    if (out->data) out->data[out->len] = 0;
    if (!is_stdin) close(fd);
    return s;
}

ts_status ts_file_write(const char *path, const void *data, size_t len, ts_err *err) {
    ts_outfile f;
    TS_TRY(ts_outfile_open(&f, path, err));
    ts_status s = ts_outfile_write(&f, data, len, err);
    if (s == TS_OK) return ts_outfile_commit(&f, err);
    ts_outfile_discard(&f);
    return s;
}

bool ts_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool ts_file_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *ts_path_join(const char *dir, const char *name) {
    ts_buf b = {0};
    size_t n = strlen(dir);
    bool slash = n > 0 && dir[n - 1] != '/';
    if (ts_buf_puts(&b, dir) && (!slash || ts_buf_putc(&b, '/')) && ts_buf_puts(&b, name)) return b.data;
    ts_buf_free(&b);
    return NULL;
}
