#include "text/detok.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* May more bytes still make s[0..n) a character? */
static bool may_go_on(const char *s, size_t n) {
    const unsigned char *u = (const unsigned char *)s;
    size_t need = u[0] < 0xC2 || u[0] > 0xF4 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    if (n >= need) return false;
    if (n == 1) return true;
    if ((u[1] & 0xC0) != 0x80 || (n == 3 && (u[2] & 0xC0) != 0x80)) return false;
    /* overlong forms, surrogates and numbers above U+10FFFF show in the second byte */
    return !(u[0] == 0xE0 && u[1] < 0xA0) && !(u[0] == 0xED && u[1] >= 0xA0) && !(u[0] == 0xF0 && u[1] < 0x90) &&
           !(u[0] == 0xF4 && u[1] >= 0x90);
}

/* Put the characters of s[0..len) at the end of `out`; an offending byte, with what belongs to it, becomes one
 * U+FFFD. What may still become a character is left in d->held, unless `last`. `out` has room; s may be its own
 * memory as long as the writing, which adds at most two bytes to each, cannot overtake the reading. */
static void put(ts_detok *d, const char *s, size_t len, bool last, ts_buf *out) {
    d->n_held = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = (size_t)ts_utf8_decode(s + i, len - i, &cp);
        if (n > 0) {
            memmove(out->data + out->len, s + i, n);
            out->len += n;
            i += n;
            continue;
        }
        size_t rest = len - i;
        if (!last && rest < 4 && may_go_on(s + i, rest)) {
            memcpy(d->held, s + i, rest);
            d->n_held = (int)rest;
            break;
        }
        for (n = 1; n < rest && n < 3 && may_go_on(s + i, n + 1);) n++;
        memcpy(out->data + out->len, REPLACEMENT, 3);
        out->len += 3;
        i += n;
    }
    out->data[out->len] = 0;
}

/* The raw bytes go to the end of `out` first, with room for three times as many, and are turned into characters from
 * there: no memory of its own is needed, so that a text can be decoded without allocating once `out` is large
 * enough. */
bool ts_detok_push(ts_detok *d, ts_token id, ts_buf *out) {
    const size_t start = out->len, n = (size_t)d->n_held;
    if (!ts_buf_append(out, d->held, n) || !ts_token_bytes(d->tok, id, d->special, out) ||
        !ts_buf_reserve(out, 2 * (out->len - start))) {
        out->len = start;
        if (out->data) out->data[start] = 0;
        return false;
    }
    const size_t len = out->len - start;
    out->len = start;
    if (len <= n) { /* the token prints nothing: what is held stays held */
        out->data[start] = 0;
        return true;
    }
    /* what the tokenizer put in front of the text does not belong to it */
    bool drop = n == 0 && !d->started && !d->keep_space && out->data[start] == ' ' &&
                ts_tokenizer_adds_prefix(d->tok) && ts_token_kind_of(d->tok, id) == TS_TOKEN_NORMAL;
    if (ts_token_kind_of(d->tok, id) != TS_TOKEN_CONTROL) d->started = true;
    char *raw = out->data + start + 2 * len;
    memmove(raw, out->data + start, len);
    put(d, raw + drop, len - drop, false, out);
    return true;
}

bool ts_detok_flush(ts_detok *d, ts_buf *out) {
    char held[4];
    size_t n = (size_t)d->n_held;
    memcpy(held, d->held, n);
    if (!ts_buf_reserve(out, 3 * n)) return false;
    put(d, held, n, true, out);
    return true;
}
