/* err.h - how functions fail: fill a ts_err, return a ts_status. */
#ifndef TS_BASE_ERR_H
#define TS_BASE_ERR_H

#include "tessera/tessera.h"

/* Write `code` and the formatted line to `err` (nullable) and return `code`: `return ts_fail(err, TS_E_FORMAT,
 * ...)`. */
TS_PRINTF(3, 4) ts_status ts_fail(ts_err *err, ts_status code, const char *fmt, ...);

/* The same for a failed system call: appends ": strerror(os_errno)" and keeps the number. */
TS_PRINTF(4, 5) ts_status ts_fail_os(ts_err *err, ts_status code, int os_errno, const char *fmt, ...);

/* What the system says of an errno, as strerror does, from any thread. */
typedef struct ts_os_words {
    char text[128];
} ts_os_words;
ts_os_words ts_os_error(int os_errno);

/* Out of memory while allocating `bytes` bytes for `what`. */
ts_status ts_fail_nomem(ts_err *err, const char *what, size_t bytes);

/* Put "prefix: " in front of an existing message, for a caller that knows the file or the tensor. Returns err's code
 * (or `code` when err is NULL). */
TS_PRINTF(3, 4) ts_status ts_err_prefix(ts_err *err, ts_status code, const char *fmt, ...);

/* Put more behind an existing message: a way out, for a caller that knows one. NULL-safe. */
TS_PRINTF(2, 3) void ts_err_add(ts_err *err, const char *fmt, ...);

/* At the edge of the library: what a caller has to keep is looked at, and told where it is not kept. */
#define TS_NEED(kept, err, ...)                                                                                        \
    do {                                                                                                               \
        if (!(kept)) return ts_fail(err, TS_E_INVAL, __VA_ARGS__);                                                     \
    } while (0)

/* Hand a failure to the caller. */
#define TS_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        ts_status ts_try_status_ = (expr);                                                                             \
        if (ts_try_status_ != TS_OK) return ts_try_status_;                                                            \
    } while (0)

#endif
