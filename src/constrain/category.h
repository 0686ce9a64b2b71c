/* category.h - Unicode's general categories as sets of characters. */
#ifndef TS_CONSTRAIN_CATEGORY_H
#define TS_CONSTRAIN_CATEGORY_H

#include "constrain/chars.h"

/* Add the characters of the category of this name, short ("Lu", "L") or long ("Uppercase_Letter"), with or without
 * "gc=" or "General_Category=" in front. false: there is none of that name. */
bool ts_category_add(ts_chars *c, ts_work *w, const char *name, size_t len);

#endif
