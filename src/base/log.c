#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static void to_stderr(void *ud, ts_log_level level, const char *line) {
    (void)ud;
    fprintf(stderr, "tessera: %s%s\n", level == TS_LOG_WARN ? "warning: " : "", line);
}

static struct {
    ts_log_fn *fn;
    void *ud;
    ts_log_level min;
} sink = {to_stderr, NULL, TS_LOG_INFO};

void ts_log_sink(ts_log_fn *fn, void *ud, ts_log_level min) {
    sink.fn = fn ? fn : to_stderr;
    sink.ud = ud;
    sink.min = min;
}

void ts_log(ts_log_level level, const char *fmt, ...) {
    if (level < sink.min) return;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    sink.fn(sink.ud, level, line);
}
