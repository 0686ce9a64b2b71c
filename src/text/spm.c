#define _GNU_SOURCE /* memmem */
#include "text/spm.h"

#include "base/utf8.h"

#include <string.h>

#define BLOCK "\xE2\x96\x81" /* U+2581, how SentencePiece writes a space */

/* The character at s and its length; an invalid byte is a character of its own, beyond Unicode. */
static inline uint32_t next_char(const char *s, size_t len, size_t *n) {
    uint32_t cp;
    int k = ts_utf8_decode(s, len, &cp);
    *n = k ? (size_t)k : 1;
    return k ? cp : 0x110000u + (uint8_t)*s;
}

static inline size_t seen_bit(uint32_t a, uint32_t b) {
    return (size_t)(((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15u >> 48) % TS_SPM_SEEN_BITS;
}

static inline bool neighbours(const ts_spm *m, uint32_t a, uint32_t b) {
    if (a < 128 && b < 128) return m->ascii[a][b >> 6] >> (b & 63) & 1;
    size_t bit = seen_bit(a, b);
    return m->seen[bit >> 6] >> (bit & 63) & 1;
}

void ts_spm_init(ts_spm *m, const ts_vocab *v) {
    for (ts_token id = 0; id < v->n; id++) {
        if (!ts_vocab_is_plain(v, id) || v->entry[id].len == 0) continue;
        const char *s = ts_vocab_text(v, id);
        size_t n, len = v->entry[id].len;
        uint32_t a = next_char(s, len, &n), b;
        for (size_t pos = n; pos < len; pos += n, a = b) {
            b = next_char(s + pos, len - pos, &n);
            if (a < 128 && b < 128) {
                m->ascii[a][b >> 6] |= (uint64_t)1 << (b & 63);
            } else {
                size_t bit = seen_bit(a, b);
                m->seen[bit >> 6] |= (uint64_t)1 << (bit & 63);
            }
        }
    }
}

bool ts_spm_unescape(ts_buf *out, const char *s, size_t len) {
    while (len > 0) {
        const char *block = memmem(s, len, BLOCK, 3);
        size_t n = block ? (size_t)(block - s) : len;
        if (!ts_buf_append(out, s, n)) return false;
        if (!block) break;
        if (!ts_buf_putc(out, ' ')) return false;
        s += n + 3;
        len -= n + 3;
    }
    return true;
}

static void collapse(ts_buf *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] != ' ' || (n > 0 && text->data[n - 1] != ' ')) text->data[n++] = text->data[i];
    while (n > 0 && text->data[n - 1] == ' ') n--;
    text->len = n;
}

static bool starts_with_space(const char *s, size_t len) {
    return (len > 0 && *s == ' ') || (len >= 3 && memcmp(s, BLOCK, 3) == 0);
}

ts_status ts_spm_encode(const ts_spm *m, const ts_bpe *b, const char *s, size_t len, bool prefix, ts_buf *norm,
                        ts_bpe_scratch *scratch, ts_tokens *out, ts_err *err) {
    if (prefix && m->prefix_unless_space && starts_with_space(s, len)) prefix = false;
    if (len == 0) return TS_OK;
    if (prefix || m->collapse || memmem(s, len, BLOCK, 3)) {
        ts_buf_clear(norm);
        if (!ts_buf_reserve(norm, len + 1) || !ts_spm_unescape(norm, s, len)) return ts_fail_nomem(err, "text", len);
        if (m->collapse) collapse(norm);
        if (norm->len == 0) return TS_OK;
        if (prefix) {
            if (!ts_buf_putc(norm, 0)) return ts_fail_nomem(err, "text", len);
            memmove(norm->data + 1, norm->data, norm->len - 1);
            norm->data[0] = ' ';
        }
        s = norm->data;
        len = norm->len;
    }
    size_t begin = 0, n;
    uint32_t a = next_char(s, len, &n), c;
    for (size_t pos = n; pos < len; pos += n, a = c) {
        c = next_char(s + pos, len - pos, &n);
        if (neighbours(m, a, c) && !(m->split_spaces && c == ' ')) continue;
        TS_TRY(ts_bpe_word(b, s + begin, pos - begin, scratch, out, err));
        begin = pos;
    }
    return ts_bpe_word(b, s + begin, len - begin, scratch, out, err);
}
