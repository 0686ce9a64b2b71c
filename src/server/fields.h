/* fields.h - the fields of a request: fetched by name, checked for type and range.
 *
 * The first fault is kept, with the field's name; after it every call gives the default, and the caller asks once
 * (srv_fields_ok). null is the same as absent, everywhere. Numbers are checked here, where they come in: behind this
 * border they can be believed. */
#ifndef TS_SERVER_FIELDS_H
#define TS_SERVER_FIELDS_H

#include "server/job.h"

typedef struct srv_fields {
    const ts_jval *object;
    const char *prefix; /* in front of names in messages: "options."; "" */
    srv_error *error;
} srv_fields;

/* The name of a field, put together: srv_at("messages[%zu]", i).name. What does not fit is left out. */
typedef struct srv_where {
    char name[120];
} srv_where;
TS_PRINTF(1, 2) srv_where srv_at(const char *fmt, ...);

static inline bool srv_fields_ok(const srv_fields *f) { return f->error->status == 0; }

/* What a value is, for messages: "an object", "a number", ...; NULL: "nothing". Static storage. */
const char *srv_kind(const ts_jval *v);
/* Is it a number of 64 bits without a fraction (5.0 is one)? Exactly, never by way of a double. */
bool srv_whole(const ts_jval *v, int64_t *out);
/* The field; NULL: absent, null, or there is a fault. */
const ts_jval *srv_field(const srv_fields *f, const char *name);
/* The same, which has to be of this type. */
const ts_jval *srv_field_of(const srv_fields *f, const char *name, ts_json_type type);
bool srv_bool(const srv_fields *f, const char *name, bool otherwise);
/* A whole number (5.0 is one) within [low, high]. */
int64_t srv_int(const srv_fields *f, const char *name, int64_t low, int64_t high, int64_t otherwise);
double srv_real(const srv_fields *f, const char *name, double low, double high, double otherwise);
/* A string without NUL bytes, NUL-terminated, or NULL; lives as long as the request. */
const char *srv_string(const srv_fields *f, const char *name);
/* One of these names (NULL behind the last): its index, or `otherwise`. */
int srv_choice_of(const srv_fields *f, const char *name, const char *const *names, int otherwise);
/* A string or an array of strings, at most `cap`; empty strings are left out. Returns how many. */
size_t srv_strings(const srv_fields *f, const char *name, const char **out, size_t cap);
/* The field must not be there, unless it is null, false, 0, empty or "none": a 400 that says why. */
void srv_unsupported(const srv_fields *f, const char *name, const char *why);
/* A field that other servers know and this one does not; it may have the value that changes nothing. */
typedef struct srv_unknown {
    const char *name, *why;
    double neutral; /* a number that says as little as those values; below 0: all such do */
    bool on;        /* true says nothing, false would */
    bool zero;      /* 0 says something */
} srv_unknown;
/* None of these (behind the last one a name of NULL) may be there otherwise. */
void srv_unknown_fields(const srv_fields *f, const srv_unknown *list);

#endif
