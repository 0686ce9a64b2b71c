/* prefix_disk.h - the folder of the prefix store: which tiles are in which file, and how much there may be.
 *
 * Any number of programs may share a folder: a file appears under its name when it is whole, and one that has gone is
 * one that is not found. Reading is for any thread; writing and looking again at the folder for one at a time. */
#ifndef TS_ENGINE_PREFIX_DISK_H
#define TS_ENGINE_PREFIX_DISK_H

#include "engine/prefix_file.h"

/* The folder is made where it is missing, and what is in it is looked at. Errors: TS_E_IO: it cannot be used;
 * TS_E_NOMEM. */
TS_NODISCARD ts_status ts_prefix_disk_open(ts_prefix_disk **out, const char *dir, uint64_t cap, uint64_t model,
                                           ts_err *err);
void ts_prefix_disk_close(ts_prefix_disk *d); /* NULL-safe */

/* Is tile i of the path in a file, as far as its key says? */
bool ts_prefix_disk_has(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t i);
/* Tiles from `from` on, as many as one file has of them, into new pages: page[from ...]. How many; 0: none. A file that
 * is damaged is removed. */
uint32_t ts_prefix_disk_read(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t from, const ts_kv *like,
                             char *page[]);
/* The path's first n tiles have been used. */
void ts_prefix_disk_used(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t n);

/* Tiles [first, n of the path) into a file, after removing what was used least lately where there would be too much. No
 * file of the path itself is removed for that: then nothing is written (TS_E_LIMIT, as where another store of this
 * program is writing the same). Errors, into err, which is there: TS_E_IO, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_prefix_disk_write(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t first,
                                            const ts_kv *like, char *const page[], ts_err *err);
/* Look at the folder again where somebody has changed it; unless it is to be at once, every few seconds at most. */
void ts_prefix_disk_look(ts_prefix_disk *d, bool at_once);

/* Fill in what it knows. */
void ts_prefix_disk_count(ts_prefix_disk *d, ts_prefix_stats *stats);

#endif
