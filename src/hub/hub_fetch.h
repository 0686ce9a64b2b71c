/* hub_fetch.h - one file of the hub into the store: whatever breaks, what has come is kept, and no name points at
 * bytes that have not been hashed. */
#ifndef TS_HUB_HUB_FETCH_H
#define TS_HUB_HUB_FETCH_H

#include "hub/hub_http.h"
#include "hub/hub_listing.h"
#include "hub/hub_part.h"
#include "hub/hub_store.h"

#include <stdatomic.h>

typedef struct ts_hub_item {
    const ts_hub_file *file;
    char hash[65];            /* the file's, unless the hub tells a better one while it is fetched, */
    _Atomic uint64_t size;    /* and a size with it */
    _Atomic uint64_t done;    /* bytes that are there */
    _Atomic uint64_t fetched; /* bytes that came over the network for it */
    bool had;                 /* it was there already, or another process has fetched it */
    bool again;               /* another name has the same contents */
} ts_hub_item;

typedef struct ts_hub_fetch { /* what all files of a pull share; borrowed */
    const ts_hub_net *net;
    const ts_hub_place *place;
    const char *state;         /* nullable */
    const char *repo, *commit; /* today's name */
} ts_hub_fetch;

/* Is blobs/HASH there, and what its name says? One that is not is no error: it will be replaced. */
TS_NODISCARD ts_status ts_hub_has_blob(const ts_hub_fetch *f, const char *hash, uint64_t size, bool *has, ts_err *err);
/* Errors: TS_E_IO: network, refusals, the disk; TS_E_FORMAT: the hub's or the server's fault, wrong bytes too;
 * TS_E_LIMIT: no space; TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_hub_fetch_file(const ts_hub_fetch *f, ts_hub_conn *c, ts_hub_item *item, ts_err *err);

#endif
