#define _POSIX_C_SOURCE 200809L /* strerror_r that returns an int */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_message(ts_err *err, ts_status code, int os_errno, const char *fmt, va_list ap) {
    err->code = code;
    err->os_errno = os_errno;
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
}

ts_status ts_fail(ts_err *err, ts_status code, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_message(err, code, 0, fmt, ap);
        va_end(ap);
    }
    return code;
}

ts_status ts_fail_os(ts_err *err, ts_status code, int os_errno, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_message(err, code, os_errno, fmt, ap);
        va_end(ap);
        size_t used = strlen(err->msg);
        snprintf(err->msg + used, sizeof err->msg - used, ": %s", ts_os_error(os_errno).text);
    }
    return code;
}

ts_os_words ts_os_error(int os_errno) {
    ts_os_words w;
    if (strerror_r(os_errno, w.text, sizeof w.text) != 0) snprintf(w.text, sizeof w.text, "error %d", os_errno);
    return w;
}

ts_status ts_fail_nomem(ts_err *err, const char *what, size_t bytes) {
    return ts_fail(err, TS_E_NOMEM, "out of memory: could not allocate %zu bytes for %s", bytes, what);
}

ts_status ts_err_prefix(ts_err *err, ts_status code, const char *fmt, ...) {
    if (!err) return code;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", old);
    return err->code;
}

void ts_err_add(ts_err *err, const char *fmt, ...) {
    if (!err) return;
    size_t used = strlen(err->msg);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg + used, sizeof err->msg - used, fmt, ap);
    va_end(ap);
}

const char *ts_status_name(ts_status code) {
    switch (code) {
    case TS_OK: return "ok";
    case TS_E_INVAL: return "invalid";
    case TS_E_FORMAT: return "format";
    case TS_E_UNSUPP: return "unsupported";
    case TS_E_NOMEM: return "nomem";
    case TS_E_IO: return "io";
    case TS_E_LIMIT: return "limit";
    case TS_E_DEVICE: return "device";
    case TS_E_CANCELLED: return "cancelled";
    }
    return "unknown";
}

const char *ts_evidence_name(ts_evidence e) {
    switch (e) {
    case TS_MEASURED: return "measured";
    case TS_SIMULATED: return "simulated";
    case TS_VIRTUAL: return "virtual";
    }
    return "unknown";
}
