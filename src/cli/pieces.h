/* pieces.h - tokens as a person or a program reads them, for tokenize and template. Depends on: text/tokenizer.h. */
#ifndef TS_CLI_PIECES_H
#define TS_CLI_PIECES_H

#include "text/tokenizer.h"

/* Append the numbers with commas between. These return false when out of memory. */
TS_NODISCARD bool cli_pieces_ids(const ts_tokens *ids, ts_buf *out);
/* "tokens":[1,2],"pieces":["a","b"] */
TS_NODISCARD bool cli_pieces_json(const ts_tokenizer *t, const ts_tokens *ids, ts_buf *out);
/* A line for each token, with its number and text, and how many there are (without a line break). */
TS_NODISCARD bool cli_pieces_lines(const ts_tokenizer *t, const ts_tokens *ids, ts_buf *out);

#endif
