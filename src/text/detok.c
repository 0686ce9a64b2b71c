#include "text/detok.h"

#include "text/utf8.h"

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

/* Append the characters of s[0..len); an offending byte, with what belongs to it, becomes one U+FFFD. What may still
 * become a character is left in d->held, unless `last`. */
static bool put(ts_detok *d, const char *s, size_t len, bool last, ts_buf *out) {
    d->n_held = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = (size_t)ts_utf8_decode(s + i, len - i, &cp);
        if (n > 0) {
            if (!ts_buf_append(out, s + i, n)) return false;
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
        if (!ts_buf_append(out, REPLACEMENT, 3)) return false;
        i += n;
    }
    return true;
}

bool ts_detok_push(ts_detok *d, ts_token id, ts_buf *out) {
    ts_buf bytes = {0};
    size_t n = (size_t)d->n_held;
    bool ok = ts_buf_append(&bytes, d->held, n) && ts_token_bytes(d->tok, id, d->special, &bytes);
    if (ok && bytes.len > n) {
        /* what the tokenizer put in front of the text does not belong to it */
        bool drop = n == 0 && !d->started && !d->keep_space && *bytes.data == ' ' && ts_tokenizer_adds_prefix(d->tok) &&
                    ts_token_kind_of(d->tok, id) == TS_TOKEN_NORMAL;
        if (ts_token_kind_of(d->tok, id) != TS_TOKEN_CONTROL) d->started = true;
        ok = put(d, bytes.data + drop, bytes.len - drop, false, out);
    }
    ts_buf_free(&bytes);
    return ok;
}

bool ts_detok_flush(ts_detok *d, ts_buf *out) {
    char held[4];
    size_t n = (size_t)d->n_held;
    memcpy(held, d->held, n);
    return put(d, held, n, true, out);
}
