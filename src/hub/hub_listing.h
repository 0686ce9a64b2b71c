/* hub_listing.h - the files of a repository, as a hub lists them or as a folder of the store holds them.
 *
 * A listing is hostile input: sizes, hashes and names are checked here, and a name that could leave its folder never
 * gets further. */
#ifndef TS_HUB_HUB_LISTING_H
#define TS_HUB_HUB_LISTING_H

#include "base/arena.h"
#include "hub/hub_name.h"

enum { TS_HUB_FILES_MAX = 200000 };
#define TS_HUB_SIZE_MAX ((int64_t)1 << 46)

typedef struct ts_hub_file {
    const char *path;  /* of the arena; has passed ts_hub_path_fault */
    uint64_t size;     /* bytes */
    char hash[65];     /* SHA-256 of the contents, or git's SHA-1 of a blob of them; "": not known */
    const char *fault; /* a literal: what the list says of it cannot be; NULL: nothing */
    bool doubtful;     /* named twice with different contents, or another name differs in case only */
} ts_hub_file;

typedef struct ts_hub_files { /* zero-initialise */
    const char *token;        /* borrowed, nullable: a name that has it in it is refused */
    ts_arena arena;
    ts_hub_file *item;
    size_t n, cap;
    size_t n_refused;  /* entries with a name that was refused; */
    char refused[100]; /* the first of them, fit for a message, and */
    const char *fault; /* what is wrong with it */
} ts_hub_files;

void ts_hub_files_free(ts_hub_files *f);
/* Add one. A name that is refused is counted and is no error. hash: "" or as ts_hub_is_hash wants it.
 * Errors: TS_E_LIMIT, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_hub_files_add(ts_hub_files *f, const char *path, size_t len, uint64_t size, const char *hash,
                                        ts_err *err);
/* A page of /api/models/.../tree/...: a list of entries; folders are left out. An entry that cannot be one (a size
 * below zero, for example) is no error: it is refused, or where it has a name, stays with a fault. Errors: TS_E_FORMAT:
 * no JSON (a page of a network that wants a login, for example), or not such a list. */
TS_NODISCARD ts_status ts_hub_files_page(ts_hub_files *f, const char *json, size_t len, ts_err *err);
/* After the last page: sort by path, mark what is doubtful. */
void ts_hub_files_end(ts_hub_files *f);
const ts_hub_file *ts_hub_files_find(const ts_hub_files *f, const char *path); /* after the end; NULL: no such path */

/* What /api/models/ORG/NAME/revision/REV says. */
typedef struct ts_hub_info {
    char id[2 * TS_HUB_ID_MAX + 2]; /* today's name; "": not said */
    char commit[TS_HUB_COMMIT + 1];
    char license[64];             /* "": not said */
    bool gated, closed, disabled; /* closed: private */
} ts_hub_info;
TS_NODISCARD ts_status ts_hub_info_parse(ts_hub_info *out, const char *json, size_t len, ts_err *err);

/* The address behind rel="next" in the value of a Link header; false: none. */
bool ts_hub_link_next(const char *value, ts_span *url);

/* The files that an index of shards names (model.safetensors.index.json: weight_map), each once, as paths of `arena`.
 * Errors: TS_E_FORMAT, also for a name that is refused. */
TS_NODISCARD ts_status ts_hub_index_parse(ts_arena *arena, const char ***path, size_t *n, const char *json, size_t len,
                                          ts_err *err);

#endif
