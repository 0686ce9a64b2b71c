/* json_write.h - parts of a JSON text, appended to a buffer. */
#ifndef TS_BASE_JSON_WRITE_H
#define TS_BASE_JSON_WRITE_H

#include "base/mem.h"

/* s as a JSON string with quotes; bytes that are no UTF-8 become U+FFFD. false: no memory. */
TS_NODISCARD bool ts_json_put_string(ts_buf *out, const char *s, size_t len);
/* A member whose value is a string, and the comma behind it: "key":"value", (the key is written as it is). */
TS_NODISCARD bool ts_json_put_member(ts_buf *out, const char *key, const char *value);
/* A number with so many decimals; null where it is not finite, which JSON cannot say. */
TS_NODISCARD bool ts_json_put_real(ts_buf *out, double v, int decimals);

#endif
