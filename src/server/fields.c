/* fields.c - the fields of a request, checked where they come in. */
#include "server/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 40 }; /* bytes of a value in a message */

const char *srv_kind(const ts_jval *v) {
    if (!v) return "nothing";
    switch (v->type) {
    case TS_JSON_OBJECT: return "an object";
    case TS_JSON_ARRAY: return "a list";
    case TS_JSON_STRING: return "text";
    case TS_JSON_NUMBER: return "a number";
    case TS_JSON_BOOL: return v->truth ? "true" : "false";
    case TS_JSON_NULL: return "null";
    case TS_JSON_BAD: break;
    }
    return "nothing";
}

srv_where srv_at(const char *fmt, ...) {
    srv_where at;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(at.name, sizeof at.name, fmt, ap);
    va_end(ap);
    return at;
}

static srv_where full_name(const srv_fields *f, const char *name) {
    return srv_at("%s%s", f->prefix ? f->prefix : "", name);
}

/* "NAME has to be WHAT, not ..." */
static void refuse(const srv_fields *f, const char *name, const char *what, const ts_jval *v) {
    const srv_where at = full_name(f, name);
    if (v->type == TS_JSON_NUMBER)
        srv_refuse(f->error, 400, at.name, "%s has to be %s, not %.*s%s", at.name, what,
                   (int)(v->text.len < SHOWN ? v->text.len : SHOWN), (const char *)v->text.data,
                   v->text.len > SHOWN ? "..." : "");
    else srv_refuse(f->error, 400, at.name, "%s has to be %s, not %s", at.name, what, srv_kind(v));
}

const ts_jval *srv_field(const srv_fields *f, const char *name) {
    if (!srv_fields_ok(f)) return NULL;
    const ts_jval *v = ts_jval_get(f->object, name);
    return v && v->type != TS_JSON_NULL ? v : NULL;
}

const ts_jval *srv_field_of(const srv_fields *f, const char *name, ts_json_type type) {
    const ts_jval *v = srv_field(f, name);
    if (!v || v->type == type) return v;
    const ts_jval wanted = {.type = type};
    refuse(f, name, type == TS_JSON_BOOL ? "true or false" : srv_kind(&wanted), v);
    return NULL;
}

bool srv_bool(const srv_fields *f, const char *name, bool otherwise) {
    const ts_jval *v = srv_field_of(f, name, TS_JSON_BOOL);
    return v ? v->truth : otherwise;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* The exponent behind the digits of a number, bounded: nobody has as many digits as that. */
static int64_t exponent_of(const char *s, const char *end) {
    enum { MOST = 1000000000 };
    bool minus = false;
    int64_t e = 0;
    if (s < end && (*s == '-' || *s == '+')) minus = *s++ == '-';
    for (; s < end; s++) e = e < MOST ? e * 10 + (*s - '0') : MOST;
    return minus ? -e : e;
}

/* 9007199254740993 is not 9007199254740992, and 5.0 and 50e-1 are 5. */
static bool whole_of(ts_span text, int64_t *out) {
    const char *s = (const char *)text.data, *end = s + text.len, *digits, *e;
    const bool minus = s < end && *s == '-';
    if (minus) s++;
    for (digits = e = s; e < end && *e != 'e' && *e != 'E';) e++;
    int64_t zeros = e < end ? exponent_of(e + 1, end) : 0; /* to be put behind the digits */
    for (const char *p = digits; p < e; p++)
        if (*p == '.') zeros -= e - p - 1;
    const char *last = e; /* trailing zeros are counted, not multiplied */
    for (; last > digits && (last[-1] == '0' || last[-1] == '.'); last--) zeros += last[-1] == '0';
    if (last == digits) {
        *out = 0;
        return true;
    }
    if (zeros < 0) return false;
    int64_t v = 0;
    for (const char *p = digits; p < last; p++)
        if (*p != '.' && (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v)))
            return false;
    for (; zeros > 0; zeros--)
        if (__builtin_mul_overflow(v, 10, &v)) return false;
    /* counted downwards: there is one more of the negative numbers */
    if (!minus && __builtin_sub_overflow(0, v, &v)) return false;
    *out = v;
    return true;
}

bool srv_whole(const ts_jval *v, int64_t *out) {
    int64_t n;
    if (!v || v->type != TS_JSON_NUMBER || !whole_of(v->text, &n)) return false;
    *out = n;
    return true;
}

int64_t srv_int(const srv_fields *f, const char *name, int64_t low, int64_t high, int64_t otherwise) {
    const ts_jval *v = srv_field(f, name);
    int64_t n = 0;
    if (!v) return otherwise;
    if (srv_whole(v, &n) && n >= low && n <= high) return n;
    char what[100];
    if (low == INT64_MIN && high == INT64_MAX) snprintf(what, sizeof what, "a whole number of 64 bits");
    else snprintf(what, sizeof what, "a whole number from %lld to %lld", (long long)low, (long long)high);
    refuse(f, name, what, v);
    return otherwise;
}

double srv_real(const srv_fields *f, const char *name, double low, double high, double otherwise) {
    const ts_jval *v = srv_field(f, name);
    if (!v) return otherwise;
    if (v->type == TS_JSON_NUMBER) {
        /* what stands behind a number within JSON is none of its characters: strtod stops there */
        const double n = strtod((const char *)v->text.data, NULL);
        if (isfinite(n) && n >= low && n <= high) return n;
    }
    char what[100] = "a number";
    if (isfinite(low) && isfinite(high)) snprintf(what, sizeof what, "a number from %g to %g", low, high);
    else if (isfinite(low)) snprintf(what, sizeof what, "a number, at least %g", low);
    else if (isfinite(high)) snprintf(what, sizeof what, "a number, at most %g", high);
    refuse(f, name, what, v);
    return otherwise;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static bool has_nul(const ts_jval *v) { return memchr(v->text.data, 0, v->text.len) != NULL; }

const char *srv_string(const srv_fields *f, const char *name) {
    const ts_jval *v = srv_field_of(f, name, TS_JSON_STRING);
    if (!v) return NULL;
    if (!has_nul(v)) return (const char *)v->text.data;
    const srv_where at = full_name(f, name);
    srv_refuse(f->error, 400, at.name, "%s contains a NUL character", at.name);
    return NULL;
}

int srv_choice_of(const srv_fields *f, const char *name, const char *const *names, int otherwise) {
    const ts_jval *v = srv_field(f, name);
    if (!v) return otherwise;
    char what[300];
    size_t len = 0;
    for (int i = 0; names[i]; i++) {
        if (ts_jval_is(v, names[i])) return i;
        const char *before = i == 0 ? "" : names[i + 1] ? ", " : " or ";
        const int n = snprintf(what + len, sizeof what - len, "%s\"%s\"", before, names[i]);
        len += n > 0 && (size_t)n < sizeof what - len ? (size_t)n : 0;
    }
    if (v->type != TS_JSON_STRING) {
        refuse(f, name, what, v);
        return otherwise;
    }
    const srv_where at = full_name(f, name);
    srv_refuse(f->error, 400, at.name, "%s has to be %s, not \"%.*s\"", at.name, what,
               (int)(v->text.len < SHOWN ? v->text.len : SHOWN), (const char *)v->text.data);
    return otherwise;
}

size_t srv_strings(const srv_fields *f, const char *name, const char **out, size_t cap) {
    const ts_jval *v = srv_field(f, name), *item = v;
    size_t n = 0;
    if (!v) return 0;
    if (v->type != TS_JSON_STRING && v->type != TS_JSON_ARRAY) {
        refuse(f, name, "text or a list of texts", v);
        return 0;
    }
    const srv_where at = full_name(f, name);
    if (v->type == TS_JSON_ARRAY) item = v->first;
    for (; item; item = v->type == TS_JSON_ARRAY ? item->next : NULL) {
        if (item->type != TS_JSON_STRING) {
            srv_refuse(f->error, 400, at.name, "%s has to be a list of texts; there is %s in it", at.name,
                       srv_kind(item));
            return 0;
        }
        if (item->text.len == 0) continue;
        if (has_nul(item)) {
            srv_refuse(f->error, 400, at.name, "%s contains a NUL character", at.name);
            return 0;
        }
        if (n == cap) {
            srv_refuse(f->error, 400, at.name, "%s has more than %zu texts", at.name, cap);
            return 0;
        }
        out[n++] = (const char *)item->text.data;
    }
    return n;
}

static bool says_nothing(const ts_jval *v, const srv_unknown *u) {
    double n;
    switch (v->type) {
    case TS_JSON_OBJECT:
    case TS_JSON_ARRAY: return v->n == 0;
    case TS_JSON_STRING: return v->text.len == 0 || ts_jval_is(v, "none") || ts_jval_is(v, "auto");
    case TS_JSON_NUMBER:
        n = strtod((const char *)v->text.data, NULL);
        return n == 0 ? !u->zero : n == u->neutral || (n < 0 && u->neutral < 0);
    case TS_JSON_BOOL: return v->truth == u->on;
    case TS_JSON_NULL:
    case TS_JSON_BAD: break;
    }
    return true;
}

void srv_unsupported(const srv_fields *f, const char *name, const char *why) {
    srv_unknown_fields(f, (srv_unknown[]){{name, why}, {0}});
}

void srv_unknown_fields(const srv_fields *f, const srv_unknown *list) {
    for (const srv_unknown *u = list; u->name; u++) {
        const ts_jval *v = srv_field(f, u->name);
        if (!v || says_nothing(v, u)) continue;
        const srv_where at = full_name(f, u->name);
        srv_refuse(f->error, 400, at.name, "%s: %s", at.name, u->why);
    }
}
