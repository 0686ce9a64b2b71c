/* formats.h - the formats of JSON Schema as regular expressions. */
#ifndef TS_CONSTRAIN_FORMATS_H
#define TS_CONSTRAIN_FORMATS_H

#include "base/span.h"
#include "constrain/rx.h"

typedef enum ts_format { TS_FORMAT_UNKNOWN, TS_FORMAT_KEPT, TS_FORMAT_REFUSED } ts_format;

/* The strings of a format, as they stand inside a JSON string, into *out where it is KEPT. UNKNOWN: no format of the
 * standard, which asserts nothing; REFUSED: one that is not built. */
ts_format ts_format_rx(ts_rxs *p, ts_span name, ts_rx *out);

#endif
