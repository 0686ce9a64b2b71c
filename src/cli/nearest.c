#include "cli/nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { WORD = 63 };

static char plain(char c) {
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t cli_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (a_len > WORD || b_len > WORD) return SIZE_MAX;
    /* of prefixes of a against those of b */
    size_t rows[3][WORD + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t k = 0; k <= b_len; k++) last[k] = k;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t k = 1; k <= b_len; k++) {
            char x = plain(a[i - 1]), y = plain(b[k - 1]);
            row[k] = least(last[k - 1] + (x != y), least(last[k], row[k - 1]) + 1);
            if (i > 1 && k > 1 && x == plain(b[k - 2]) && y == plain(a[i - 2]))
                row[k] = least(row[k], before[k - 2] + 1);
        }
        size_t *oldest = before;
        before = last, last = row, row = oldest;
    }
    return last[b_len];
}

void cli_nearest_offer(cli_nearest *n, const char *known, size_t len) {
    size_t d = cli_distance(n->word, n->len, known, len);
    /* a third of the letters may be wrong: one of "kv", two of "tokenise" */
    size_t allowed = n->len < 6 ? 1 : n->len < 9 ? 2 : 3;
    if (n->len < 3 && len < 3) return; /* any two letters are near any others */
    if (d > allowed) {
        /* the beginning of a longer word is further off than any typing error */
        if (n->len < 3 || len <= n->len || cli_distance(n->word, n->len, known, n->len) != 0) return;
        d = allowed + len - n->len;
    }
    if (n->found && d >= n->distance) return;
    n->found = known, n->found_len = len, n->distance = d;
}
