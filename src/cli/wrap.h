/* wrap.h - text in lines that fit a width: words are not broken at the border, and may come in pieces. */
#ifndef TS_CLI_WRAP_H
#define TS_CLI_WRAP_H

#include "base/mem.h"

/* Zero-initialise, set the first two, free with cli_wrap_free. `width` may change between calls. What comes out
 * depends on the text alone, not on how it was cut into pieces: a word is held back until it is known whether it
 * fits, except at the start of a line, where it cannot move. */
typedef struct cli_wrap {
    int width;   /* columns; 0: everything goes through as it is */
    /* Markdown: fenced code, lines indented by four or more and rows of tables stay as they are, text goes on under
     * the text of its list item. Otherwise a line's own indentation is that of its continuations. */
    bool markup;
    int col;     /* columns of the present line that are used */
    /* the rest is the wrapper's own */
    int hang, lead, run, n_first, gap_cols, word_cols;
    char mark, fence, first[8];
    bool raw, on_line, direct, second, wide, joiner;
    ts_buf gap, word;
} cli_wrap;

/* Take `text` in (whole UTF-8 characters, no control characters but \n and \t) and append to *out what may be shown
 * by now. false: out of memory. */
TS_NODISCARD bool cli_wrap_put(cli_wrap *w, const char *text, size_t len, ts_buf *out);
/* The text ends: append what is still held back, and begin anew. */
TS_NODISCARD bool cli_wrap_end(cli_wrap *w, ts_buf *out);
void cli_wrap_free(cli_wrap *w);

/* Columns that a text of whole characters takes on a terminal. */
int cli_text_cols(const char *text, size_t len);

#endif
