/* hub_log.h - the requests of a pull, for who wants to see what went over the line. */
#ifndef TS_HUB_HUB_LOG_H
#define TS_HUB_HUB_LOG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request that was made, for the log. */
typedef struct ts_hub_logged {
    char *url;          /* owned; without what stands behind ?, which can be a signature */
    int64_t from;       /* of its range; -1: none was asked for */
    long status;        /* 0: there was no answer */
    uint64_t bytes;     /* of the answer's body */
    uint64_t at_ms, ms; /* since the log began; how long it took */
    bool with_token;
    char fault[80]; /* "": none */
} ts_hub_logged;

typedef struct ts_hub_log ts_hub_log;          /* for any thread */
TS_NODISCARD ts_hub_log *ts_hub_log_new(void); /* NULL: no memory */
void ts_hub_log_free(ts_hub_log *l);
size_t ts_hub_log_count(ts_hub_log *l);
/* Valid until the next request ends. */
const ts_hub_logged *ts_hub_log_at(ts_hub_log *l, size_t i);
/* Add one; `entry` but for url, at_ms and ms. l and token are nullable; the token is written nowhere. What is beyond
 * any use (10,000 requests) or does not fit into memory is left out. */
void ts_hub_log_write(ts_hub_log *l, const char *url, const char *token, uint64_t begin_ns, ts_hub_logged entry);

#endif
