/* outfile.h - write a file piece by piece, so that the name shows either the old file or the whole new one.
 *
 * The pieces go to a file beside the target, which takes its name at commit. A symbolic link stays one: the file
 * that it leads to is replaced. What is there and is no regular file (a pipe, /dev/null) cannot be replaced: it is
 * written to. */
#ifndef TS_BASE_OUTFILE_H
#define TS_BASE_OUTFILE_H

#include "base/err.h"

#include <stdint.h>

typedef struct ts_outfile {
    int fd;
    char *path;       /* owned; NULL once committed or discarded */
    char *tmp;        /* owned; NULL where the target is written to as it stands */
    uint64_t written; /* bytes so far */
} ts_outfile;

/* Errors: TS_E_IO naming the path, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_outfile_open(ts_outfile *f, const char *path, ts_err *err);
/* For what others are not to read: a new file of mode 0600 in the place of whatever has the name, a link too. TS_E_IO
 * also where the file beside it is there already. */
TS_NODISCARD ts_status ts_outfile_open_private(ts_outfile *f, const char *path, ts_err *err);
TS_NODISCARD ts_status ts_outfile_write(ts_outfile *f, const void *data, size_t len, ts_err *err);
/* For work that may be taken up again: the pieces go to PATH.partial, which stays when the program dies. What an
 * earlier run left there is kept: *had bytes, which ts_outfile_cut shortens. Errors as above, and TS_E_IO where another
 * process is writing it. Where the target cannot be replaced, nothing is kept. */
TS_NODISCARD ts_status ts_outfile_open_kept(ts_outfile *f, const char *path, uint64_t *had, ts_err *err);
/* Keep the first n bytes, at most as many as there are, and write behind them. */
TS_NODISCARD ts_status ts_outfile_cut(ts_outfile *f, uint64_t n, ts_err *err);
/* Go on writing at byte n of the file, which may be behind its end. Not where the target is written to as it stands. */
TS_NODISCARD ts_status ts_outfile_seek(ts_outfile *f, uint64_t n, ts_err *err);
/* All that was written is on the disk when this returns. */
TS_NODISCARD ts_status ts_outfile_sync(ts_outfile *f, ts_err *err);
/* That a file of this folder was made, renamed or removed is on the disk, as far as the file system tells. */
void ts_sync_folder_of(const char *path);
/* Close it and let PATH.partial stay. */
void ts_outfile_leave(ts_outfile *f);
/* Sync, rename and close; the file is discarded when that fails. */
TS_NODISCARD ts_status ts_outfile_commit(ts_outfile *f, ts_err *err);
/* Give up: the target keeps what it had. NULL-safe; nothing after a commit. */
void ts_outfile_discard(ts_outfile *f);

#endif
