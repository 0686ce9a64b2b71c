/* pieces.h - tokens as a person or a program reads them, for tokenize and template. */
#ifndef TS_CLI_PIECES_H
#define TS_CLI_PIECES_H

#include "base/mem.h"
#include "tessera/tessera.h"

/* Append the numbers with commas between. These return false when out of memory. */
TS_NODISCARD bool cli_pieces_ids(const ts_token *id, size_t n, ts_buf *out);
/* "tokens":[1,2],"pieces":["a","b"] */
TS_NODISCARD bool cli_pieces_json(const ts_engine *e, const ts_token *id, size_t n, ts_buf *out);
/* A line for each token, with its number and text, and how many there are (without a line break). */
TS_NODISCARD bool cli_pieces_lines(const ts_engine *e, const ts_token *id, size_t n, ts_buf *out);

#endif
