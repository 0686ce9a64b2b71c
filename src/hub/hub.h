/* hub.h - models of the hub: fetch one, find one that is there, list and remove them.
 *
 * Nothing here reads the environment (but for libcurl, which knows the variables of proxies): where things lie, what is
 * asked and with which token is told by ts_hub_opts. Nothing is printed. */
#ifndef TS_HUB_HUB_H
#define TS_HUB_HUB_H

#include "hub/hub_http.h"
#include "hub/hub_listing.h"
#include "hub/hub_name.h"
#include "hub/hub_select.h"

typedef struct ts_hub_opts {      /* strings are borrowed */
    const char *endpoint;         /* as ts_hub_endpoint makes it */
    const char *token;            /* as ts_hub_token makes it; NULL: none */
    const char *ca_file, *ca_dir; /* nullable */
    const char *cache;            /* the folder that programs share */
    const char *own_cache;        /* where that may not be written to; nullable */
    const char *state;            /* our own notes on what has been checked; NULL: all is checked each time */
    bool offline;                 /* ask nobody */
    bool for_npu;                 /* where no quant is asked for: Q4_0 first */
    bool no_links;                /* as if the file system had no symbolic links: for tests */
    double stall_s, retry_wait_s; /* 0: 30 s, 1 s */
    int n_connections;            /* files at a time; 0: 3 */
    /* All nullable. progress comes from the caller's thread, stop and note from any. */
    bool (*progress)(void *ud, uint64_t done, uint64_t all, uint64_t before); /* bytes; false: leave off. before: what
                                                                               * was there when it began */
    bool (*stop)(void *ud);
    void (*note)(void *ud, const char *line);
    void *ud;
    ts_hub_log *log;
} ts_hub_opts;

/* A model in the store, or one that a pull has brought there. Free with ts_hub_model_free. */
typedef struct ts_hub_model {
    char *name;  /* "ORG/NAME:Q4_K_M", with @REV where it is not the newest: what all commands take */
    char *path;  /* to open: the (first) file, or the folder */
    char *cache; /* in which it lies */
    char repo[2 * TS_HUB_ID_MAX + 2], commit[TS_HUB_COMMIT + 1];
    ts_hub_kind kind;
    char quant[TS_HUB_QUANT_MAX];
    uint64_t bytes;
    size_t n_files, n_alike;
    bool ours;       /* every file of it was fetched by Tessera */
    bool unfinished; /* of a list: what unfinished pulls of the repository have left, parts of files and whole ones that
                      * have no name; name is "ORG/NAME", no path */
} ts_hub_model;
void ts_hub_model_free(ts_hub_model *m);

/* Is `name` in the store? TS_OK and *found; a model that is found has been checked (which takes a second for 1.5 GB,
 * once). Errors: TS_E_FORMAT: one is there and damaged; TS_E_CANCELLED, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_hub_find(ts_hub_model *out, bool *found, const ts_hub_name *name, const ts_hub_opts *o,
                                   ts_err *err);

typedef struct ts_hub_pulled {
    ts_hub_model model;
    char renamed_to[2 * TS_HUB_ID_MAX + 2]; /* "": it is called as it was asked for */
    char license[64];                       /* "": not said */
    uint64_t fetched;                       /* bytes that came */
    size_t n_fetched;                       /* files that were not there */
} ts_hub_pulled;
/* Make the model be there, with every byte hashed. With o->offline: is it there?
 * Errors: TS_E_IO, TS_E_FORMAT, TS_E_LIMIT (no space), TS_E_CANCELLED, TS_E_NOMEM; one line, with what to do. */
TS_NODISCARD ts_status ts_hub_pull(ts_hub_pulled *out, const ts_hub_name *name, const ts_hub_opts *o, ts_err *err);

/* All models of the store, and what is unfinished, by name. *out: owned, each to be freed too (ts_hub_list_free). */
TS_NODISCARD ts_status ts_hub_list(ts_hub_model **out, size_t *n, const ts_hub_opts *o, ts_err *err);
void ts_hub_list_free(ts_hub_model *list, size_t n);

typedef struct ts_hub_removed {
    uint64_t bytes; /* what that has freed */
    bool left_only; /* what unfinished pulls had left, while models stay */
} ts_hub_removed;
/* Remove the model: its names in all snapshots (or that of @REV), and what nothing else needs. Without a quant or file:
 * what unfinished pulls of the repository have left, where there is any, and no model; else the model, and TS_E_INVAL
 * where there are several. `all`: everything of the repository. TS_E_IO: it is not there, or may not be removed. */
TS_NODISCARD ts_status ts_hub_remove(ts_hub_removed *out, const ts_hub_name *name, bool all, const ts_hub_opts *o,
                                     ts_err *err);

#endif
