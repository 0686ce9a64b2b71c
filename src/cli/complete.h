/* complete.h - what Tab offers: words that go on from what was typed. */
#ifndef TS_CLI_COMPLETE_H
#define TS_CLI_COMPLETE_H

#include "base/mem.h"

#include <stdio.h>

typedef struct cli_words { /* zero-initialise; free with cli_words_free */
    char **item;           /* owned */
    size_t n, cap;
} cli_words;

/* Fill *out with the texts that may stand in the place of line[*from..]: *from is set too. Nothing to offer: leave
 * *out empty. A word that is complete may end in a space. */
typedef void cli_complete_fn(void *ud, const char *line, size_t *from, cli_words *out);

/* Add a copy where it begins with `typed`. Out of memory: it is left out. */
void cli_words_add(cli_words *w, const char *word, const char *typed);
/* Add the names of files that begin with `path`, folders with a slash behind; hidden ones where their dot was typed.
 * "~/" is the home. */
void cli_words_add_files(cli_words *w, const char *path);
void cli_words_sort(cli_words *w);
/* Bytes, of whole characters, that all words have in common. */
size_t cli_words_common(const cli_words *w);
/* Print them in columns that fit `width`. */
void cli_words_print(const cli_words *w, int width, FILE *out);
void cli_words_free(cli_words *w);

#endif
