/* hub_digest.h - the hashes by which the hub names contents: SHA-256 of a large file, git's SHA-1 of a small one. */
#ifndef TS_HUB_HUB_DIGEST_H
#define TS_HUB_HUB_DIGEST_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Told how many bytes have been read so far; false: stop. */
typedef bool ts_hub_tick(void *ud, uint64_t bytes);

/* The hash of the whole file behind fd, read from its beginning (its offset stays), of the kind that `like` is: 64
 * digits SHA-256, 40 git's SHA-1 of a blob, which has the length in it. tick is nullable.
 * Errors: TS_E_IO naming `path`, TS_E_NOMEM, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_hub_digest(char out[65], int fd, const char *like, const char *path, ts_hub_tick *tick,
                                     void *ud, ts_err *err);

#endif
