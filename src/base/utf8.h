/* utf8.h - one character of UTF-8 at a time, strictly. */
#ifndef TS_BASE_UTF8_H
#define TS_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that s[0..n) starts with (1..4), its code point in *cp; 0 where that is not valid UTF-8: a
 * stray or missing continuation byte, an overlong form, a surrogate, above U+10FFFF, cut off, or n == 0. */
static inline int ts_utf8_decode(const char *s, size_t n, uint32_t *cp) {
    const unsigned char *u = (const unsigned char *)s;
    if (n == 0) return 0;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    if (u[0] < 0xC2 || n < 2 || (u[1] & 0xC0) != 0x80) return 0;
    if (u[0] < 0xE0) {
        *cp = (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
        return 2;
    }
    if (n < 3 || (u[2] & 0xC0) != 0x80) return 0;
    if (u[0] < 0xF0) {
        uint32_t c = (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
        if (c < 0x800 || (c >= 0xD800 && c < 0xE000)) return 0;
        *cp = c;
        return 3;
    }
    if (u[0] > 0xF4 || n < 4 || (u[3] & 0xC0) != 0x80) return 0;
    uint32_t c = (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 | (uint32_t)(u[2] & 0x3F) << 6 |
                 (u[3] & 0x3F);
    if (c < 0x10000 || c > 0x10FFFF) return 0;
    *cp = c;
    return 4;
}

/* Write the character to out (room for 4) and return its bytes. `cp` is a valid code point. */
static inline int ts_utf8_encode(uint32_t cp, char *out) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

#endif
