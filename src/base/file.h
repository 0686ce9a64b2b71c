/* file.h - whole files: map for reading, read into memory, write atomically. */
#ifndef TS_BASE_FILE_H
#define TS_BASE_FILE_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* A read-only private mapping of a regular file. An empty file maps to data == NULL, len == 0. */
typedef struct ts_map {
    const uint8_t *data;
    size_t len;
    uint64_t dev, ino; /* the file, and when it was last written to: ts_map_check */
    int64_t mtime_ns;
} ts_map;

/* Errors: TS_E_IO naming the path (missing, a folder, a pipe or device, no permission); at once, whatever the path
 * names. */
TS_NODISCARD ts_status ts_map_open(ts_map *map, const char *path, ts_err *err);
/* Is the file at `path` still as it was when it was mapped? TS_E_IO where it has been written to or shortened since.
 * A file that was removed or replaced by another under its name is: the mapping keeps the old one. */
TS_NODISCARD ts_status ts_map_check(const ts_map *map, const char *path, ts_err *err);
/* For a handler of SIGBUS: the path (its end, where it is long) of the mapped file that `addr` lies in; NULL: none
 * that is known. Reading a mapping beyond the end of a file that has been shortened raises that signal.
 * Async-signal-safe. */
const char *ts_map_path_at(const void *addr);
void ts_map_close(ts_map *map); /* NULL-safe, leaves *map empty */
/* Tell the kernel that [offset, offset+len) will not be needed soon: its pages leave our resident set. */
void ts_map_dontneed(const ts_map *map, size_t offset, size_t len);
/* ... that it will: what is not in memory is read from now on, without waiting for it. */
void ts_map_willneed(const ts_map *map, size_t offset, size_t len);

/* Append the whole of `path` ("-" is standard input) to `out`. At most `limit` bytes: more is TS_E_LIMIT. A pipe is
 * read where somebody writes to it (the shell's <(...)); one without a writer, and devices other than terminals and
 * /dev/null, are TS_E_IO. */
TS_NODISCARD ts_status ts_file_read(ts_buf *out, const char *path, size_t limit, ts_err *err);

/* Replace `path` by `len` bytes: written beside it, synced and renamed, so a full disk never destroys the old file. */
TS_NODISCARD ts_status ts_file_write(const char *path, const void *data, size_t len, ts_err *err);

bool ts_file_exists(const char *path);
bool ts_file_is_dir(const char *path);

/* "dir/name" as a new string (ts_free), or NULL when out of memory. An empty dir gives "name". */
TS_NODISCARD char *ts_path_join(const char *dir, const char *name);

#endif
