/* printable.h - text of unknown origin made fit for a terminal and for one line. */
#ifndef TS_BASE_PRINTABLE_H
#define TS_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1..4) of the well-formed UTF-8 sequence at s, at most len bytes; 0 when there is none: a stray or
 * missing continuation byte, an overlong form, a surrogate, or more than U+10FFFF. *code (nullable): the code point. */
size_t ts_utf8_valid(const uint8_t *s, size_t len, uint32_t *code);

/* Does the character act on a terminal, or on the text around it, in place of showing: C0, DEL, C1, and the marks that
 * reorder or hide text? */
bool ts_is_control(uint32_t code);

/* Write s[0..len) to out[0..cap), cap >= 8, NUL-terminated. Control characters become \n, \t, \r, \xNN or \u{...}; a
 * byte that is not UTF-8 becomes U+FFFD. What does not fit is cut at a character and ends in "...". Returns the bytes
 * written. */
size_t ts_printable(char *out, size_t cap, const void *s, size_t len);

#endif
