/* hub_store.h - the folder in which programs share models of the hub, in the layout that the hub documents:
 * models--ORG--NAME/ with blobs/HASH, snapshots/COMMIT/PATH (links to blobs), refs/REV (a commit).
 *
 * What a blob's name says of it is believed only after it has been hashed once; that it has been is remembered in a
 * folder of our own, with the file's size, time and inode. */
#ifndef TS_HUB_HUB_STORE_H
#define TS_HUB_HUB_STORE_H

#include "hub/hub_digest.h"
#include "hub/hub_listing.h"

#include <sys/stat.h>

/* A repository's folder in one of the caches. Free with ts_hub_place_free. */
typedef struct ts_hub_place {
    char *dir;   /* CACHE/models--ORG--NAME */
    char *locks; /* CACHE/.locks/models--ORG--NAME */
} ts_hub_place;
TS_NODISCARD ts_status ts_hub_place_of(ts_hub_place *out, const char *cache, const char *repo, ts_err *err);
void ts_hub_place_free(ts_hub_place *p);
/* Make its folders. TS_E_IO; *denied: writing is not allowed there. */
TS_NODISCARD ts_status ts_hub_place_make(const ts_hub_place *p, bool *denied, ts_err *err);
/* The name of the repository whose folder is called so; false: it is none. */
bool ts_hub_repo_of_dir(char repo[2 * TS_HUB_ID_MAX + 2], const char *dir_name);

/* "DIR/A/B": a path of parts, NULL-ended; NULL: no memory. ts_free. */
TS_NODISCARD char *ts_hub_join(const char *dir, ...) __attribute__((sentinel));
/* The folder of `path` and those above it. */
TS_NODISCARD ts_status ts_hub_make_parents(const char *path, ts_err *err);

/* ---- what has been checked ---- */
/* Has this file been hashed before, with this result, and not been changed since? *ours (nullable): by the pull that
 * fetched it. */
bool ts_hub_is_known(const char *state, const char *hash, const struct stat *st, bool *ours);
/* Remember it, where that is possible. */
void ts_hub_remember(const char *state, const char *hash, const struct stat *st, bool ours);
/* Is the file at `path` what `hash` says? It is read where that is not known. TS_E_FORMAT: it is not; TS_E_IO,
 * TS_E_NOMEM, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_hub_check(const char *state, const char *path, const char *hash, ts_hub_tick *tick, void *ud,
                                    ts_err *err);

/* ---- snapshots ---- */
/* The name snapshots/COMMIT/PATH for blobs/HASH; a link where the file system has them (and !no_links), otherwise the
 * file itself, of which `again` says that another name will want it too. */
TS_NODISCARD ts_status ts_hub_link(const ts_hub_place *p, const char *commit, const char *path, const char *hash,
                                   bool no_links, bool again, ts_err *err);
TS_NODISCARD ts_status ts_hub_put_ref(const ts_hub_place *p, const char *rev, const char *commit, ts_err *err);
/* Can refs/REV be written? Not where refs has a file, or a link, in the place of a folder of its name. TS_E_IO. */
TS_NODISCARD ts_status ts_hub_can_ref(const ts_hub_place *p, const char *rev, ts_err *err);
/* refs/REV; false: there is none that can be right. */
bool ts_hub_get_ref(const ts_hub_place *p, const char *rev, char commit[TS_HUB_COMMIT + 1]);

/* Commits with a snapshot that `rev` can mean ("": any), the likeliest first. *out: owned (ts_free), [n][41]. */
TS_NODISCARD ts_status ts_hub_snapshots(const ts_hub_place *p, const char *rev, char (**out)[TS_HUB_COMMIT + 1],
                                        size_t *n, ts_err *err);
/* The files of a snapshot that are there, with what their links say of their hashes; with `broken` also links that lead
 * nowhere or to a folder (of no size), and what a link was called before it got its name. A link to a folder is never
 * gone through: what lies there is not the store's. */
TS_NODISCARD ts_status ts_hub_snapshot_files(const ts_hub_place *p, const char *commit, bool broken, ts_hub_files *out,
                                             ts_err *err);

/* ---- what unfinished pulls have left ---- */
/* Told of each: parts of files, and blobs that no name of any snapshot links, in the folder `dir`; false: enough. */
typedef bool ts_hub_left(void *ud, int dir, const char *name, const struct stat *st);
/* Errors: where it cannot be told which blobs are linked; nothing is told of then. */
TS_NODISCARD ts_status ts_hub_each_left(const ts_hub_place *p, ts_hub_left *left, void *ud, ts_err *err);

#endif
