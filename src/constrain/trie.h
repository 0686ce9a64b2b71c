/* trie.h - the tokens of a vocabulary by their bytes, in the order of a walk.
 *
 * One array in depth-first order: a node knows how far its subtree reaches, so that a walk is a loop that goes on or
 * skips. Tokens that print nothing, and control tokens, are not in it. Read-only once made. */
#ifndef TS_CONSTRAIN_TRIE_H
#define TS_CONSTRAIN_TRIE_H

#include "base/mem.h"
#include "base/span.h"

#include <stdint.h>

typedef struct ts_trie_node {
    uint32_t end;   /* the node behind the subtree */
    uint32_t first; /* its tokens are token[first .. first + n] */
    uint16_t depth; /* bytes so far, at least 1 */
    uint16_t n;
    uint8_t byte;
} ts_trie_node;

typedef struct ts_trie_part { /* a walk over some of the tokens */
    ts_trie_node *node;
    uint32_t n;
    const uint32_t *token; /* ids, those of equal bytes together */
} ts_trie_part;

enum { TS_TRIE_DEPTH = 1024 /* bytes of a token; longer ones are never allowed */, TS_TRIE_SLICES = 64 };

typedef struct ts_trie {
    uint32_t n_vocab, n_words; /* n_words: of a bit mask */
    ts_trie_part all;
    ts_trie_part rest;      /* without the tokens of slice[TS_TRIE_SLICES - 1] */
    ts_trie_part quoted;    /* what stands behind the first bare quote of tokens that reach one inside a string */
    uint32_t *token, *quoted_token;
    uint32_t max_depth;
    /* Bits of tokens that a JSON string goes on with (it may be in the middle of a character or escape behind them), or
     * ends with, at their last byte. */
    uint32_t *inside;
    /* slice[k]: bits of tokens that are k characters or less of a JSON string's inside, whole and unescaped; the last
     * one: any number */
    uint32_t *slice[TS_TRIE_SLICES];
} ts_trie;

/* The bytes that a token prints, appended to out: nothing for those that print none. false: no memory. */
typedef bool ts_token_bytes_fn(void *ud, uint32_t id, ts_buf *out);
/* Errors: TS_E_NOMEM; TS_E_LIMIT: more than 65,535 tokens with the same bytes. */
TS_NODISCARD ts_status ts_trie_new(ts_trie **out, uint32_t n_vocab, ts_token_bytes_fn *bytes, void *ud, ts_err *err);
void ts_trie_free(ts_trie *t); /* NULL-safe */

#endif
