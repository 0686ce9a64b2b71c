/* prefix_file.h - a file of the prefix store: a run of tiles, each of which can be read by itself.
 * docs/formats/kv-store.md. */
#ifndef TS_ENGINE_PREFIX_FILE_H
#define TS_ENGINE_PREFIX_FILE_H

#include "engine/prefix.h"

/* The beginning of a file, as it stands there. */
typedef struct ts_prefix_head {
    char magic[8];
    uint32_t version, kv_type;
    uint64_t model, page_bytes;
    uint32_t first, n; /* of a timeline's tiles, those that are in the file */
    uint64_t token_sum;
    uint32_t arithmetic, reserved;
    uint64_t head_sum; /* of what is before it and the table of tiles behind it */
} ts_prefix_head;
typedef struct ts_prefix_entry { /* of the table */
    uint64_t key, sum;
} ts_prefix_entry;

typedef struct ts_prefix_file {
    int fd;
    uint64_t bytes;
    bool known; /* of a version that can be read: `tile` is there, and head and length are right */
    ts_prefix_head h;
    ts_prefix_entry *tile; /* [n] */
} ts_prefix_file;

/* Read the beginning. Errors: TS_E_IO: it cannot be read, or is not a regular file of this user's; TS_E_FORMAT: damaged
 * or none of these; TS_E_NOMEM. A file of another version is none: `known` is false. */
TS_NODISCARD ts_status ts_prefix_file_open(ts_prefix_file *f, const char *path, ts_err *err);
/* The same of a descriptor, which belongs to the file from now on, also where this fails. */
TS_NODISCARD ts_status ts_prefix_file_from(ts_prefix_file *f, int fd, const char *name, ts_err *err);
void ts_prefix_file_close(ts_prefix_file *f);

/* How many tiles of the path, from the first on, are those of the timeline that the (known) file is of: 0 .. first + n.
 * Errors: as above. */
TS_NODISCARD ts_status ts_prefix_file_compare(const ts_prefix_file *f, const ts_prefix_path *path, uint32_t *same,
                                              ts_err *err);
/* Tile i < n of the (known) file, whose pages are like those of `like`, into a page that nobody else holds. Errors: as
 * above. */
TS_NODISCARD ts_status ts_prefix_file_page(const ts_prefix_file *f, uint32_t i, const ts_kv *like, char *page,
                                           ts_err *err);

/* Write tiles [first, n of the path) with these pages, for the user alone: synced, and then under its name. *bytes: how
 * long it is. Errors: TS_E_IO, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_prefix_file_write(const char *path, uint64_t model, const ts_kv *like,
                                            const ts_prefix_path *tiles, uint32_t first, char *const page[],
                                            uint64_t *bytes, ts_err *err);
/* How long that will be; 0: longer than a file can be. */
uint64_t ts_prefix_file_bytes(uint64_t page_bytes, uint32_t first, uint32_t n);

#endif
