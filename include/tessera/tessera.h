/* tessera.h - the public interface of Tessera: status codes, engine, session, sampling, chat text.
 * Depends on: the C standard headers only. Usable from C99 and later.
 *
 * An *engine* is a loaded model: shareable between threads, immutable after it is opened.
 * A *session* is one timeline of tokens with its KV cache: used by one thread at a time.
 * The logits of a model are a function of the file, the token prefix and the declared options (KV type) alone;
 * see docs/numerics.md.
 */
#ifndef TESSERA_H
#define TESSERA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define TS_NODISCARD __attribute__((warn_unused_result))
#    define TS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#    define TS_NODISCARD
#    define TS_PRINTF(fmt, args)
#endif

/* ---- status ------------------------------------------------------------------------------------------------- */

/* What kind of thing went wrong. A function that returns anything but TS_OK has left its out-parameters alone. */
typedef enum ts_status {
    TS_OK = 0,
    TS_E_INVAL,     /* the caller broke the interface's rules */
    TS_E_FORMAT,    /* a file or text is malformed */
    TS_E_UNSUPP,    /* well-formed, but something Tessera does not do */
    TS_E_NOMEM,     /* not enough memory */
    TS_E_IO,        /* the operating system refused: open, read, write, map */
    TS_E_LIMIT,     /* a declared limit was reached, for example the context size */
    TS_E_DEVICE,    /* an accelerator refused or failed */
    TS_E_CANCELLED, /* a callback asked to stop */
} ts_status;

/* An error in words: one line naming what, where (file, offset, field) and, where there is something to do, what to do.
 * Caller's storage; every function takes a pointer to one or NULL. Written only on failure. */
typedef struct ts_err {
    ts_status code;
    int os_errno; /* errno at the time, 0 if none was involved */
    char msg[500];
} ts_err;

/* A short fixed name of a status, for programs: "ok", "format", ... Static storage. */
const char *ts_status_name(ts_status code);

#ifdef __cplusplus
}
#endif
#endif
