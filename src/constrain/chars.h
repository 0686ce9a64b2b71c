/* chars.h - sets of characters, and the bytes they are written as. */
#ifndef TS_CONSTRAIN_CHARS_H
#define TS_CONSTRAIN_CHARS_H

#include "constrain/rx.h"

/* A set of Unicode's scalar values as ranges. Zero-initialise. */
typedef struct ts_char_range {
    uint32_t first, last;
} ts_char_range;
typedef struct ts_chars {
    ts_char_range *range;
    size_t n, cap;
} ts_chars;

/* How a character is written: as UTF-8; or as it stands inside a JSON string, where each has one spelling: \" \\ \n \r
 * \t \b \f, \u00XX for other control characters, UTF-8 for all else. */
typedef enum ts_spelling { TS_SPELL_UTF8, TS_SPELL_JSON } ts_spelling;

bool ts_chars_add(ts_chars *c, ts_work *w, uint32_t first, uint32_t last);
void ts_chars_sort(ts_chars *c); /* sorted and disjoint; surrogates are taken out */
bool ts_chars_add_all_but(ts_chars *c, ts_work *w, ts_chars *but); /* sorts `but` */
void ts_chars_free(ts_chars *c);

/* One character of the set; sorts it. */
ts_rx ts_chars_rx(ts_rxs *p, ts_chars *c, ts_spelling how);
/* Any one character. */
ts_rx ts_chars_any(ts_rxs *p, ts_spelling how);
/* The value of a hexadecimal digit, -1: it is none. */
static inline int ts_hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* Append UTF-8 text as it stands inside a JSON string. */
bool ts_json_spell(ts_buf *out, const void *text, size_t len);

#endif
