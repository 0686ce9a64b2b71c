/* work.h - what building and running a constraint may cost, and the first thing that went wrong.
 *
 * Everything here works on input of unknown origin, so every loop is paid for in fuel. A failure is sticky, as in
 * ts_reader: whoever cannot go on notes it and returns something harmless, and the outermost caller looks once. */
#ifndef TS_CONSTRAIN_WORK_H
#define TS_CONSTRAIN_WORK_H

#include "base/mem.h"

#include <stdint.h>

typedef struct ts_work {
    uint64_t fuel;  /* steps that are left */
    ts_status bad;  /* TS_OK: nothing has gone wrong */
    char why[200];  /* the reason, without the place */
} ts_work;

/* Keeps the first failure; returns false. */
TS_PRINTF(3, 4) bool ts_work_fail(ts_work *w, ts_status status, const char *fmt, ...);
bool ts_work_nomem(ts_work *w);

/* Pay for n steps; false where something has failed or there is no fuel left. */
static inline bool ts_work_pay(ts_work *w, uint64_t n) {
    if (w->fuel < n) return ts_work_fail(w, TS_E_LIMIT, "it takes more work than is allowed");
    w->fuel -= n;
    return w->bad == TS_OK;
}

/* Room for one more element of *array, sticky. */
bool ts_work_grow(ts_work *w, void **array, size_t *cap, size_t need, size_t size);

#endif
