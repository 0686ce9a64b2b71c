/* clock.h - time: monotonic in nanoseconds, and local time of day. */
#ifndef TS_BASE_CLOCK_H
#define TS_BASE_CLOCK_H

#include "base/err.h"

#include <stdint.h>

uint64_t ts_now_ns(void);
/* Local time as seconds from 1970-01-01T00:00:00 local time. */
int64_t ts_local_now(void);
/* The same from "2024-07-26T12:00:00" (or with a space, or the date alone). TS_E_INVAL. */
TS_NODISCARD ts_status ts_local_parse(const char *s, int64_t *out, ts_err *err);

#endif
