/* nearest.h - which of the known words was meant by one that is not known. */
#ifndef TS_CLI_NEAREST_H
#define TS_CLI_NEAREST_H

#include <stddef.h>

/* Letters to insert, remove, replace or swap with their neighbour, to make the one word of the other
 * (Damerau-Levenshtein distance, in which no part is edited twice). Capital and small letters are equal, as are '_'
 * and '-'. Words of more than 63 bytes are as far apart as can be: SIZE_MAX. */
size_t cli_distance(const char *a, size_t a_len, const char *b, size_t b_len);

/* Offer all known words one after the other; `found` is then the nearest of those that are near enough for a typing
 * error, or that the typed word begins, NULL where there is none. Among equals the first one wins. */
typedef struct cli_nearest {
    const char *word; /* as typed; set these two, the rest is 0 */
    size_t len;
    const char *found; /* borrowed from the words that were offered */
    size_t found_len;
    size_t distance;
} cli_nearest;
void cli_nearest_offer(cli_nearest *n, const char *known, size_t len);

#endif
