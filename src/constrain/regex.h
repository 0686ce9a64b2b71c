/* regex.h - regular expressions of ECMA-262 (flag u) as languages. */
#ifndef TS_CONSTRAIN_REGEX_H
#define TS_CONSTRAIN_REGEX_H

#include "constrain/chars.h"

/* The texts that s[0..n) matches: whole, or `search`: anywhere in them. `how` says how the text's characters are
 * written. Beyond the standard ASCII punctuation may be escaped without need. Look-around, back references and \b are
 * refused (TS_E_UNSUPP in p->work), what is no pattern too (TS_E_FORMAT); *at is the byte then. */
ts_rx ts_regex(ts_rxs *p, const void *s, size_t n, bool search, ts_spelling how, size_t *at);

#endif
