/* work.c - fuel and the first failure. */
#include "constrain/work.h"

#include <stdarg.h>
#include <stdio.h>

bool ts_work_fail(ts_work *w, ts_status status, const char *fmt, ...) {
    if (w->bad != TS_OK) return false;
    w->bad = status;
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, args);
    va_end(args);
    return false;
}

bool ts_work_nomem(ts_work *w) {
    return ts_work_fail(w, TS_E_NOMEM, "out of memory");
}

bool ts_work_grow(ts_work *w, void **array, size_t *cap, size_t need, size_t size) {
    return need <= *cap || ts_grow(array, cap, need, size) || ts_work_nomem(w);
}
