/* detok.h - tokens to text as they come, never printing half a character. */
#ifndef TS_TEXT_DETOK_H
#define TS_TEXT_DETOK_H

#include "text/tokenizer.h"

/* Zero-initialise, then set `tok`. Holds back the bytes of a character that is not complete yet. */
typedef struct ts_detok {
    const ts_tokenizer *tok; /* borrowed */
    bool special;            /* print control tokens too */
    bool started;            /* SentencePiece: the space in front of the first word has been dropped */
    bool keep_space;         /* a continuation: do not drop it */
    char held[4];
    int n_held;
} ts_detok;

/* Append the complete characters to `out` (an invalid byte becomes U+FFFD). false when out of memory. */
TS_NODISCARD bool ts_detok_push(ts_detok *d, ts_token id, ts_buf *out);
/* The end of the text: what is still held back can only be invalid. */
TS_NODISCARD bool ts_detok_flush(ts_detok *d, ts_buf *out);

#endif
