/* watch.h - long work that says how far it is, and may be stopped. */
#ifndef TS_QUANT_WATCH_H
#define TS_QUANT_WATCH_H

#include "base/err.h"

typedef struct ts_watch {
    ts_progress_fn *progress; /* nullable; false stops */
    void *progress_ud;
    uint64_t done, all; /* in units: the time of copying an element, about */
} ts_watch;

enum { TS_WATCH_PRODUCTS = 100 }; /* products of matrices that a unit is enough for */

/* So much more is done. w: nullable. Errors: TS_E_CANCELLED. */
TS_NODISCARD static inline ts_status ts_watch_step(ts_watch *w, uint64_t units, ts_err *err) {
    if (!w) return TS_OK;
    w->done = w->done + units < w->all ? w->done + units : w->all;
    if (!w->progress || w->progress(w->progress_ud, w->done, w->all)) return TS_OK;
    return ts_fail(err, TS_E_CANCELLED, "stopped");
}

#endif
