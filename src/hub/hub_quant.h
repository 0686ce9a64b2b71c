/* hub_quant.h - what the names of model files say: which quantisation, which part of a split file, and what is no
 * model. */
#ifndef TS_HUB_HUB_QUANT_H
#define TS_HUB_HUB_QUANT_H

#include <stdbool.h>
#include <stddef.h>

enum { TS_HUB_QUANT_MAX = 32 };

/* The quant that a file's path names, the last where there are several, in capitals: "Q4_K_M", "UD-Q4_K_XL"; "": none.
 * true: there is one. */
bool ts_hub_quant_of(const char *path, char out[TS_HUB_QUANT_MAX]);
/* Is `tag` such a quant by its form, whole? */
bool ts_hub_is_quant(const char *tag);
/* How well a quant answers a tag, in any case: 2 it is the same, 1 but for "UD-" in front of it, 0 not at all. */
int ts_hub_quant_fits(const char *quant, const char *tag);
/* Does the path have the tag as a whole word: no letter or digit beside it, and no _ behind it? In any case. */
bool ts_hub_has_word(const char *path, const char *tag);

bool ts_hub_is_gguf(const char *path);
/* A GGUF file that is no language model of its own: a projector, an importance matrix, a draft head. */
bool ts_hub_is_aside(const char *path);

/* A part of a split file, "PREFIX-00002-of-00003.gguf" or with another ending; bytes of PREFIX, the number (from 1) and
 * the count. */
bool ts_hub_split(const char *path, size_t *prefix, unsigned *index, unsigned *count);

/* Which quant is taken where none is asked for, best first, ended by NULL. */
extern const char *const ts_hub_preferred[];

#endif
