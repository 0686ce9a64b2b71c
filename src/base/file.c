#include "base/file.h"

#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

ts_status ts_map_open(ts_map *map, const char *path, ts_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot open %s", path);
    struct stat st;
    ts_status s = TS_OK;
    if (fstat(fd, &st) < 0) {
        s = ts_fail_os(err, TS_E_IO, errno, "cannot read the size of %s", path);
        goto out_close;
    }
    if (S_ISDIR(st.st_mode)) {
        s = ts_fail(err, TS_E_IO, "%s is a folder, not a file", path);
        goto out_close;
    }
    if (!S_ISREG(st.st_mode)) {
        s = ts_fail(err, TS_E_IO, "%s is not a regular file", path);
        goto out_close;
    }
    if (st.st_size == 0) {
        *map = (ts_map){0};
        goto out_close;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        s = ts_fail_os(err, errno == ENOMEM ? TS_E_NOMEM : TS_E_IO, errno, "cannot map %s", path);
    else
        *map = (ts_map){.data = p, .len = (size_t)st.st_size};
out_close:
    close(fd);
    return s;
}

void ts_map_close(ts_map *map) {
    if (map && map->data) munmap((void *)(uintptr_t)map->data, map->len);
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

ts_status ts_file_read(ts_buf *out, const char *path, size_t limit, ts_err *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot open %s", path);
    ts_status s = TS_OK;
    size_t start = out->len;
    for (;;) {
        if (!ts_buf_reserve(out, 1 << 16)) {
            s = ts_fail_nomem(err, path, out->len + (1 << 16));
            break;
        }
        ssize_t n = read(fd, out->data + out->len, 1 << 16);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            s = ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
            break;
        }
        if (n == 0) break;
        out->len += (size_t)n;
        out->data[out->len] = 0;
        if (out->len - start > limit) {
            s = ts_fail(err, TS_E_LIMIT, "%s is larger than %zu bytes", path, limit);
            break;
        }
    }
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
