/* json_pull.h - read JSON front to back without building a tree.
 *
 * A tokenizer.json holds half a million strings. A tree of them takes jansson 0.2 to 0.5 s and 100 MB; reading them as
 * they come takes a tenth. A tree of this reader's values is json_tree.h.
 *
 * Like ts_reader, a fault is sticky: after the first one every call returns false or 0, and the caller checks once:
 *
 *     ts_json_object(&j);
 *     while (ts_json_key(&j, &key))
 *         if (ts_span_is(key, "type")) ts_json_string(&j, &type);
 *         else ts_json_skip(&j);
 *     TS_TRY(ts_json_status(&j, err));
 *
 * Between two keys or items exactly one value must be read or skipped. */
#ifndef TS_BASE_JSON_PULL_H
#define TS_BASE_JSON_PULL_H

#include "base/mem.h"
#include "base/span.h"

enum { TS_JSON_DEPTH = 64 /* where nothing else is said */ };

typedef enum ts_json_type {
    TS_JSON_BAD, /* a fault, or not the start of a value */
    TS_JSON_OBJECT,
    TS_JSON_ARRAY,
    TS_JSON_STRING,
    TS_JSON_NUMBER,
    TS_JSON_BOOL,
    TS_JSON_NULL,
} ts_json_type;

typedef struct ts_json {
    const char *s;
    size_t len, pos;
    int depth, max_depth;
    bool first;      /* no key or item of the innermost object or array has been read yet */
    const char *bad; /* what is wrong, NULL: nothing; "" for out of memory */
    ts_span named;   /* what the fault is about, if it has a name */
    ts_buf key, str; /* unescaped copies, where there are escapes */
} ts_json;

void ts_json_init(ts_json *j, const char *s, size_t len);
void ts_json_fini(ts_json *j);
/* TS_OK, or TS_E_FORMAT with what and where (line and column). */
TS_NODISCARD ts_status ts_json_status(const ts_json *j, ts_err *err);
void ts_json_fail(ts_json *j, const char *what); /* keeps the first fault; `what` is a literal */

ts_json_type ts_json_peek(ts_json *j);
bool ts_json_object(ts_json *j);
bool ts_json_key(ts_json *j, ts_span *key); /* false: the object has ended. The key lives until the next key. */
/* The keys that one object has had, by their hashes. Zero-initialise. */
enum { TS_JSON_KEYS = 64 };
typedef struct ts_json_keys {
    uint64_t hash[TS_JSON_KEYS];
    int n;
} ts_json_keys;
/* ts_json_key where a key that the object has had already is a fault, and so are more than TS_JSON_KEYS. */
bool ts_json_key_once(ts_json *j, ts_span *key, ts_json_keys *seen);
void ts_json_fail_twice(ts_json *j, ts_span key); /* the fault that it is; `key` lives as long as the reader */
bool ts_json_array(ts_json *j);
bool ts_json_item(ts_json *j); /* false: the array has ended */
bool ts_json_string(ts_json *j, ts_span *out); /* lives until the next string */
int64_t ts_json_int(ts_json *j);               /* a fault for fractions and what does not fit */
ts_span ts_json_number(ts_json *j);            /* as it is written; empty: a fault */
bool ts_json_bool(ts_json *j);
void ts_json_null(ts_json *j);
void ts_json_skip(ts_json *j);
/* Step over an object or array that will be read later (set pos back): only its strings and brackets are looked at. */
void ts_json_defer(ts_json *j);
/* After the outermost value: only white space may follow. */
void ts_json_end(ts_json *j);

#endif
