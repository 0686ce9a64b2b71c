/* clock.h - monotonic time in nanoseconds. Depends on: stdint. */
#ifndef TS_BASE_CLOCK_H
#define TS_BASE_CLOCK_H

#include <stdint.h>

uint64_t ts_now_ns(void);

#endif
