/* hub_name.h - what a model of the hub is called, and which names may become paths and parts of addresses. */
#ifndef TS_HUB_HUB_NAME_H
#define TS_HUB_HUB_NAME_H

#include "base/mem.h"
#include "base/span.h"

enum {
    TS_HUB_ID_MAX = 96, /* bytes of ORG and of NAME */
    TS_HUB_REV_MAX = 255,
    TS_HUB_PATH_MAX = 1024, /* of a file's path in its repository */
    TS_HUB_DEPTH_MAX = 32,  /* folders of it */
    TS_HUB_COMMIT = 40,     /* hexadecimal digits */
};

/* "ORG/NAME[:TAG|/FILE][@REV]", or with the revision in the middle, taken apart. */
typedef struct ts_hub_name {
    char repo[2 * TS_HUB_ID_MAX + 2]; /* "ORG/NAME" */
    char rev[TS_HUB_REV_MAX + 1];     /* a branch, a tag or a commit; "": not said */
    char tag[TS_HUB_PATH_MAX + 1];    /* a quant or the name of a file; "": not said */
    bool is_file;                     /* the tag came behind a slash: it is a path */
} ts_hub_name;

/* Prefixes that people paste are understood: hf:, hf.co/, and addresses of the hub or of `endpoint` (nullable), also of
 * a file (/resolve/REV/FILE, /blob/REV/FILE), which are known by these words alone as well. Errors: TS_E_INVAL,
 * whatever is wrong: nothing has been asked of anybody.
 */
TS_NODISCARD ts_status ts_hub_name_parse(ts_hub_name *out, const char *text, const char *endpoint, ts_err *err);

bool ts_hub_is_repo(const char *s, size_t len);   /* "ORG/NAME" as the hub allows it */
bool ts_hub_is_commit(const char *s, size_t len); /* 40 hexadecimal digits, small letters */
/* Is it the name of contents: SHA-256 (64 digits) or git's SHA-1 (40), in small letters? */
bool ts_hub_is_hash(const char *s, size_t len);
/* What is wrong with a path that a listing names, NULL: it stays inside its folder on any file system, and shows as it
 * is. A literal. */
const char *ts_hub_path_fault(const char *path, size_t len);

/* The path, percent-encoded as a part of an address; slashes stay with `slashes`. */
TS_NODISCARD bool ts_hub_put_encoded(ts_buf *out, const char *s, size_t len, bool slashes);

/* The address of the hub: white space and slashes at its end are left out. TS_E_INVAL where it is none; `what` is what
 * the message calls it. *out is owned by the caller (ts_free). */
TS_NODISCARD ts_status ts_hub_endpoint(char **out, const char *text, const char *what, ts_err *err);
/* A token as it may stand in a header: white space around it is left out; nothing else than printable ASCII without
 * blanks is allowed. *out NULL: there is none. Errors: TS_E_INVAL, naming `what` and never the token. */
TS_NODISCARD ts_status ts_hub_token(char **out, const char *text, size_t len, const char *what, ts_err *err);

#endif
