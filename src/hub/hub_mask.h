/* hub_mask.h - the token, where a server sends it back: it is shown to nobody. */
#ifndef TS_HUB_HUB_MASK_H
#define TS_HUB_HUB_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* Does the text have the token in it, or as much of its beginning as tells it from other words? In any case (a host's
 * name is written small) and percent-encoded, too. token: nullable. */
bool ts_hub_has_token(const char *text, size_t len, const char *token);
/* Write hf_... in the place of all of those, as one character in the place of the three dots. The text gets no longer;
 * tokens of less than six bytes stay, they are none. */
void ts_hub_mask(char *text, const char *token);

#endif
