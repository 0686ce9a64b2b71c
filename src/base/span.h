/* span.h - a bounded view of bytes and a cursor that reads little-endian fields from it.
 *
 * A read past the end sets `fail` and returns 0; the caller may read a whole structure and check once. */
#ifndef TS_BASE_SPAN_H
#define TS_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "Tessera runs on little-endian machines only"
#endif

typedef struct ts_span {
    const uint8_t *data; /* borrowed */
    size_t len;
} ts_span;

typedef struct ts_reader {
    ts_span in;
    size_t pos; /* <= in.len */
    bool fail;  /* sticky: a read went past the end */
} ts_reader;

static inline ts_reader ts_reader_of(const void *data, size_t len) {
    return (ts_reader){.in = {.data = data, .len = len}};
}

/* The next n bytes as a span, or an empty span with `fail` set. */
static inline ts_span ts_read_bytes(ts_reader *r, uint64_t n) {
    if (r->fail || n > r->in.len - r->pos) {
        r->fail = true;
        return (ts_span){0};
    }
    ts_span s = {.data = r->in.data + r->pos, .len = (size_t)n};
    r->pos += (size_t)n;
    return s;
}

#define TS_SPAN_READ(name, type)                                                                                       \
    static inline type ts_read_##name(ts_reader *r) {                                                                  \
        type v = 0;                                                                                                    \
        ts_span s = ts_read_bytes(r, sizeof v);                                                                        \
        if (s.data) memcpy(&v, s.data, sizeof v);                                                                      \
        return v;                                                                                                      \
    }
TS_SPAN_READ(u8, uint8_t)
TS_SPAN_READ(u16, uint16_t)
TS_SPAN_READ(u32, uint32_t)
TS_SPAN_READ(u64, uint64_t)
TS_SPAN_READ(f32, float)
TS_SPAN_READ(f64, double)
#undef TS_SPAN_READ

/* ---- text -------------------------------------------------------------------------------------------------------- */

static inline ts_span ts_span_str(const char *s) {
    return (ts_span){(const uint8_t *)s, strlen(s)};
}
static inline bool ts_span_is(ts_span s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}
static inline bool ts_span_begins(ts_span s, const char *with) {
    const size_t n = strlen(with);
    return s.len >= n && memcmp(s.data, with, n) == 0;
}
static inline bool ts_span_ends(ts_span s, const char *with) {
    const size_t n = strlen(with);
    return s.len >= n && memcmp(s.data + s.len - n, with, n) == 0;
}
static inline bool ts_begins(const char *s, const char *with) {
    return strncmp(s, with, strlen(with)) == 0;
}
static inline bool ts_ends(const char *s, const char *with) {
    return ts_span_ends(ts_span_str(s), with);
}

#endif
