/* hub_part.h - a file that is not complete yet. It lies beside the blobs and is named by the hash that it should have.
 *
 * Who may be sure to be alone works on HASH.tessera-part itself. On file systems of several machines a lock can seem to
 * be held by two, and then each works on a file of its own name (behind it host and process), takes over what an
 * earlier one has left, and leaves it under the common name: a rename succeeds for one. */
#ifndef TS_HUB_HUB_PART_H
#define TS_HUB_HUB_PART_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TS_HUB_PART ".tessera-part"

typedef struct ts_hub_part {
    int fd;       /* -1: not open */
    uint64_t len; /* bytes that are there */
    char *path;   /* owned: HASH.tessera-part */
    char *name;   /* owned: what it is called now; NULL: nothing is left of it */
} ts_hub_part;

/* blob: the path that it will have when it is complete. Errors: TS_E_IO, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_hub_part_open(ts_hub_part *p, const char *blob, bool alone, ts_err *err);
TS_NODISCARD ts_status ts_hub_part_cut(ts_hub_part *p, uint64_t len, ts_err *err);
/* It is complete and right: to the disk, and to its name. */
TS_NODISCARD ts_status ts_hub_part_install(ts_hub_part *p, const char *blob, ts_err *err);
void ts_hub_part_remove(ts_hub_part *p);
/* What is there stays, for the next. Also after a failure to open. */
void ts_hub_part_close(ts_hub_part *p);
/* Is a file called so a part: HASH.tessera-part, with or without more behind it? */
bool ts_hub_is_part(const char *name);
/* Bytes of the part of this blob; 0: there is none. */
uint64_t ts_hub_part_size(const char *blob);

#endif
