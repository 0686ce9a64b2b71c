#include "base/printable.h"

#include <stdio.h>
#include <string.h>

size_t ts_utf8_valid(const uint8_t *s, size_t len, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms exist below */
    if (!len) return 0;
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    if (n == 0 || n > len) return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    if (code) *code = c;
    return n;
}

bool ts_is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

size_t ts_printable(char *out, size_t cap, const void *text, size_t len) {
    const uint8_t *s = text;
    size_t used = 0, cut = 0; /* cut: where "..." still fits */
    for (size_t i = 0; i < len;) {
        char piece[16];
        uint32_t c = 0;
        size_t n = ts_utf8_valid(s + i, len - i, &c), m;
        if (!n) {
            m = (size_t)snprintf(piece, sizeof piece, "\xef\xbf\xbd");
            n = 1;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            m = (size_t)snprintf(piece, sizeof piece, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        } else if (ts_is_control(c)) {
            m = (size_t)snprintf(piece, sizeof piece, c < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
        } else {
            memcpy(piece, s + i, n);
            m = n;
        }
        if (used + m >= cap) {
            memcpy(out + cut, "...", 4);
            return cut + 3;
        }
        memcpy(out + used, piece, m);
        used += m;
        i += n;
        if (used + 3 < cap) cut = used;
    }
    out[used] = 0;
    return used;
}
