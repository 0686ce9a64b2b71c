/* log.h - messages for people that are not the result of a call: warnings, notes.
 *
 * The sink (ts_log_sink) is the only mutable global of the libraries. */
#ifndef TS_BASE_LOG_H
#define TS_BASE_LOG_H

#include "tessera/tessera.h"

TS_PRINTF(2, 3) void ts_log(ts_log_level level, const char *fmt, ...);

#endif
