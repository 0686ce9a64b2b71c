/* pretok.h - cut text into the words that byte-level BPE works on.
 *
 * The words of a tokenizer are defined by a published regular expression. Runs of ASCII are cut by hand-written code
 * that gives the same words (tests/unit/test_pretok.c compares them); what needs Unicode properties goes to PCRE2. */
#ifndef TS_TEXT_PRETOK_H
#define TS_TEXT_PRETOK_H

#include "base/err.h"
#include "base/span.h"

typedef enum ts_pretok_kind {
    TS_PRETOK_LLAMA3,
    TS_PRETOK_QWEN2,
    TS_PRETOK_GPT2,
    TS_PRETOK_SMOLLM, /* GPT-2's, but every digit alone */
    TS_PRETOK_TEKKEN, /* Mistral Nemo and later */
    TS_PRETOK_KINDS,
} ts_pretok_kind;

/* By the name in tokenizer.ggml.pre or --pre, aliases included; TS_E_UNSUPP listing the names. */
TS_NODISCARD ts_status ts_pretok_find(ts_pretok_kind *out, ts_span name, ts_err *err);
/* By the regular expression of a tokenizer.json's Split; false: not a known one. */
bool ts_pretok_by_regex(ts_pretok_kind *out, ts_span regex);
const char *ts_pretok_name(ts_pretok_kind kind); /* "llama-bpe", "qwen2", "gpt-2", ... */

/* Is a word that is an entry of the vocabulary taken as it is, without merging ("ignore_merges")? And do texts begin
 * with BOS? Both are what the models' files say, for the formats that can not. */
bool ts_pretok_takes_entries(ts_pretok_kind kind);
bool ts_pretok_adds_bos(ts_pretok_kind kind);

/* A compiled pattern; immutable, may be shared by threads. */
typedef struct ts_pretok ts_pretok;
TS_NODISCARD ts_status ts_pretok_new(ts_pretok **out, ts_pretok_kind kind, ts_err *err);
void ts_pretok_free(ts_pretok *p); /* NULL-safe */

/* An iteration over the words of s[0..len). Every byte is part of exactly one word. Where the text is not UTF-8, each
 * run of offending bytes is a word, and the text before and after it is cut as if it stood alone. */
typedef struct ts_split {
    const ts_pretok *p;
    const char *s;
    size_t len, pos;
    size_t valid_end; /* [pos, valid_end) is known to be UTF-8 */
    void *match;      /* PCRE2's, made on first need */
    bool slow;        /* leave everything to PCRE2: for tests */
    bool no_jit;      /* nor use its compiled code */
} ts_split;

void ts_split_init(ts_split *it, const ts_pretok *p, const char *s, size_t len);
/* The next word is s[*begin .. it->pos). At the end *begin == it->pos == len. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status ts_split_next(ts_split *it, size_t *begin, ts_err *err);
void ts_split_fini(ts_split *it);

#endif
