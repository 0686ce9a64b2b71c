/* log.h - messages for people that are not the result of a call: warnings, notes. Depends on: tessera.h.
 *
 * The sink is the only mutable global of the libraries. The default sink writes "tessera: ..." to standard error. */
#ifndef TS_BASE_LOG_H
#define TS_BASE_LOG_H

#include "tessera/tessera.h"

typedef enum ts_log_level { TS_LOG_DEBUG, TS_LOG_INFO, TS_LOG_WARN } ts_log_level;
typedef void ts_log_fn(void *ud, ts_log_level level, const char *line);

/* fn NULL restores the default. Call before threads start. Messages below `min` are dropped. */
void ts_log_sink(ts_log_fn *fn, void *ud, ts_log_level min);
TS_PRINTF(2, 3) void ts_log(ts_log_level level, const char *fmt, ...);

#endif
