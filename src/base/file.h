/* file.h - whole files: map for reading, read into memory, write atomically. Depends on: err.h, mem.h. */
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
} ts_map;

/* Errors: TS_E_IO naming the path (missing, a folder, not regular, no permission). */
TS_NODISCARD ts_status ts_map_open(ts_map *map, const char *path, ts_err *err);
void ts_map_close(ts_map *map); /* NULL-safe, leaves *map empty */
/* Tell the kernel that [offset, offset+len) will not be needed soon: its pages leave our resident set. */
void ts_map_dontneed(const ts_map *map, size_t offset, size_t len);
void ts_map_willneed(const ts_map *map, size_t offset, size_t len);

/* Append the whole of `path` ("-" is standard input) to `out`. At most `limit` bytes: more is TS_E_LIMIT. */
TS_NODISCARD ts_status ts_file_read(ts_buf *out, const char *path, size_t limit, ts_err *err);

/* Replace `path` by `len` bytes: written beside it, synced and renamed, so a full disk never destroys the old file. */
TS_NODISCARD ts_status ts_file_write(const char *path, const void *data, size_t len, ts_err *err);

bool ts_file_exists(const char *path);
bool ts_file_is_dir(const char *path);

/* "dir/name" as a new string (ts_free), or NULL when out of memory. An empty dir gives "name". */
TS_NODISCARD char *ts_path_join(const char *dir, const char *name);

#endif
