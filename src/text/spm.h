/* spm.h - what SentencePiece does around BPE: white space to U+2581 (a plain space here), a space in front, and the
 * places where text can be cut into words without changing the result.
 *
 * SentencePiece treats a whole text as one word. But a join can only cross two neighbouring characters where some
 * entry of the vocabulary has them side by side; everywhere else the text may be cut first. In practice the cuts fall
 * in front of spaces, between digits and around punctuation, and most words are single entries. */
#ifndef TS_TEXT_SPM_H
#define TS_TEXT_SPM_H

#include "text/bpe.h"

typedef enum ts_prefix { /* where a space is put in front of plain text */
    TS_PREFIX_NONE,
    TS_PREFIX_FIRST,  /* of the text */
    TS_PREFIX_ALWAYS, /* and after each special token */
} ts_prefix;

enum { TS_SPM_SEEN_BITS = 1 << 16 };

typedef struct ts_spm {
    ts_prefix prefix;
    bool prefix_unless_space; /* not where a space is there already */
    bool split_spaces;        /* also cut in front of every space: runs of spaces are never one token */
    bool collapse;            /* runs of spaces become one, those at the ends vanish */
    uint64_t ascii[128][2];   /* bit b of row a: some entry has a followed by b */
    uint64_t seen[TS_SPM_SEEN_BITS / 64]; /* other neighbours, by hash: a clear bit is certain, a set one is not */
} ts_spm;

/* Fill the tables of neighbours from the entries that plain text may become. */
void ts_spm_init(ts_spm *m, const ts_vocab *v);

/* Append the tokens of a stretch of plain text. `prefix`: put a space in front. `norm` is scratch. */
TS_NODISCARD ts_status ts_spm_encode(const ts_spm *m, const ts_bpe *b, const char *s, size_t len, bool prefix,
                                     ts_buf *norm, ts_bpe_scratch *scratch, ts_tokens *out, ts_err *err);

/* Append text with U+2581 turned into a space. false when out of memory. */
TS_NODISCARD bool ts_spm_unescape(ts_buf *out, const char *s, size_t len);

#endif
