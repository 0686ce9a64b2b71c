/* json_write.c - parts of a JSON text. */
#include "base/json_write.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

bool ts_json_put_string(ts_buf *out, const char *s, size_t len) {
    if (!ts_buf_putc(out, '"')) return false;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        size_t n = (size_t)ts_utf8_decode(s + i, len - i, &c);
        bool ok;
        if (n == 0) {
            ok = ts_buf_puts(out, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            ok = ts_buf_printf(out, "\\%c", (char)c);
        } else if (c == '\n') {
            ok = ts_buf_puts(out, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            ok = ts_buf_printf(out, "\\u%04x", c);
        } else {
            ok = ts_buf_append(out, s + i, n);
        }
        if (!ok) return false;
        i += n;
    }
    return ts_buf_putc(out, '"');
}

bool ts_json_put_member(ts_buf *out, const char *key, const char *value) {
    return ts_buf_printf(out, "\"%s\":", key) && ts_json_put_string(out, value, strlen(value)) && ts_buf_putc(out, ',');
}

bool ts_json_put_real(ts_buf *out, double v, int decimals) {
    return isfinite(v) ? ts_buf_printf(out, "%.*f", decimals, v) : ts_buf_puts(out, "null");
}
