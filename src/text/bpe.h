/* bpe.h - byte pair encoding of one word: join neighbours, lowest rank first, leftmost first among equals.
 *
 * What may be joined, and its rank, comes from one of two places. By pairs: a list of merges (left token, right token),
 * ranked by position (Hugging Face files, GGUF). By text: any two neighbours whose joint text is an entry, ranked by
 * ts_entry.rank (tiktoken files, where that is the id; SentencePiece, where it is the score). */
#ifndef TS_TEXT_BPE_H
#define TS_TEXT_BPE_H

#include "text/vocab.h"

enum { TS_MERGES_MAX = (1 << 22) - 1 };

typedef struct ts_pair {
    ts_token left, right;
    ts_token joint; /* what they become; -1: nothing, the merge has no effect */
} ts_pair;

/* Read-only once loaded, but for `whole`. */
typedef struct ts_bpe {
    const ts_vocab *vocab;
    bool by_pair;
    bool by_char;  /* a word starts as UTF-8 characters; otherwise as bytes */
    bool direct;   /* a word that is an entry is taken as it is, even where the merges do not lead there */
    ts_pair *pair;         /* [n_pairs], by rank */
    size_t n_pairs, pair_cap;
    uint32_t *slot; /* open addressing: 10 bits of the hash << 22 | rank + 1; 0: empty */
    size_t mask;
    uint32_t longest_chain; /* the farthest that a merge lies from its place in `slot` */
    ts_token last_joint;   /* of the merge added last: a good guess for the next one */
    ts_token byte_id[256]; /* the token of one byte, -1: none */
    ts_token unk;          /* for characters that are neither entries nor have byte tokens; -1: they vanish */
    /* What is known of entries that turned up as whole words: 0 nothing yet, 1 the merges lead to the entry itself, 2
     * they do not. Written by several threads, always with the same value. */
    _Atomic uint8_t *whole;
} ts_bpe;

/* After the vocabulary is sealed. byte_id and unk are the loader's to fill. */
TS_NODISCARD ts_status ts_bpe_init(ts_bpe *b, const ts_vocab *v, ts_err *err);
/* Make room for n more merges at once. */
TS_NODISCARD bool ts_bpe_reserve(ts_bpe *b, size_t n);
/* Merges on their way into the table, in rank order; zero-initialise. They are added in batches, see
 * ts_vocab_find_many. */
typedef struct ts_merge_queue {
    ts_buf text; /* left and right parts, one behind the other */
    struct {
        size_t begin, left_len, len;
    } item[TS_VOCAB_BATCH / 2];
    int n;
} ts_merge_queue;
/* Queue the merge whose parts are text[begin .. begin + left_len) and the rest of q->text; a full queue is flushed. */
TS_NODISCARD ts_status ts_bpe_queue_merge(ts_bpe *b, ts_merge_queue *q, size_t begin, size_t left_len, ts_err *err);
/* Add what is queued; of equal merges the first counts. Errors: TS_E_FORMAT where a part or the result is not in the
 * vocabulary. */
TS_NODISCARD ts_status ts_bpe_flush_merges(ts_bpe *b, ts_merge_queue *q, ts_err *err);
void ts_bpe_free(ts_bpe *b);

/* Memory for long words, kept over the words of one call. Zero-initialise. */
typedef struct ts_bpe_scratch {
    struct ts_bpe_symbol *sym;
    struct ts_bpe_cand *heap;
    size_t sym_cap, heap_cap;
} ts_bpe_scratch;
void ts_bpe_scratch_free(ts_bpe_scratch *scratch);

/* Append the tokens of one word. Takes O(n log n) for n bytes. Errors: TS_E_NOMEM, TS_E_LIMIT from 1 GiB. */
TS_NODISCARD ts_status ts_bpe_word(const ts_bpe *b, const char *s, size_t len, ts_bpe_scratch *scratch, ts_tokens *out,
                                   ts_err *err);

#endif
