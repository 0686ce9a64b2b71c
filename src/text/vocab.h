/* vocab.h - the tokens of a tokenizer: their bytes, kinds and merge order, found by text.
 *
 * Entries are kept without the escapes of their files: raw bytes for byte-level BPE (files write 0x20 as U+0120), a
 * plain space for SentencePiece's U+2581. So text is looked up as it is. */
#ifndef TS_TEXT_VOCAB_H
#define TS_TEXT_VOCAB_H

#include "base/printable.h"
#include "text/tokenizer.h"

/* Text of a file made fit for a message: ts_show(s, len) as an argument of "%s"; lives to the end of the block. */
typedef struct ts_shown {
    char text[64];
} ts_shown;
static inline const char *ts_show_in(ts_shown *b, const void *s, size_t len) {
    ts_printable(b->text, sizeof b->text, s, len);
    return b->text;
}
#define ts_show(s, len) ts_show_in(&(ts_shown){0}, s, len)

enum {
    TS_VOCAB_MAX = 1 << 22,       /* tokens */
    TS_VOCAB_ENTRY_MAX = UINT16_MAX, /* bytes of one entry */
};

#define TS_RANK_NONE UINT32_MAX

enum { /* ts_entry.flags */
    TS_ENTRY_SET = 1,         /* otherwise a hole in the numbering */
    TS_ENTRY_STRIP_LEFT = 2,  /* a special token that swallows the white space in front of it, */
    TS_ENTRY_STRIP_RIGHT = 4, /* or behind it, as some tokenizer.json ask for */
    TS_ENTRY_LISTED = 8,      /* of a list in which each text stands once */
};

typedef struct ts_entry { /* small: looking up merges is bound by the cache */
    uint32_t off;         /* in ts_vocab.text */
    /* merge order where merges go by the joint text, lower first; TS_RANK_NONE: never a product */
    uint32_t rank;
    uint16_t len;
    uint8_t kind; /* ts_token_kind */
    uint8_t flags;
} ts_entry;

/* Zero-initialise, set the entries, seal; read-only from then on. */
typedef struct ts_vocab {
    ts_entry *entry; /* [n] */
    int32_t n;
    size_t cap;
    ts_buf text;
    uint64_t *slot; /* open addressing: high half of the hash << 32 | id + 1; 0: empty */
    size_t mask;
    uint32_t max_len; /* of the entries in `slot` */
    ts_token *special; /* CONTROL, USER and UNKNOWN tokens in the order of their bytes */
    int32_t n_special;
    bool has_twins; /* are there entries of the same bytes? */
    uint32_t longest_chain; /* the farthest that an entry lies from its place in `slot` */
} ts_vocab;

/* Put an entry at `id`, over an earlier one if there is one. Ids may come in any order. rank = TS_RANK_NONE. */
TS_NODISCARD ts_status ts_vocab_set(ts_vocab *v, int64_t id, const void *text, size_t len, ts_token_kind kind,
                                    ts_err *err);
/* Build the index. Of equal entries the one that plain text may become is found, then the one of the lowest id.
 * Errors: TS_E_FORMAT, where two listed ones are equal too. */
TS_NODISCARD ts_status ts_vocab_seal(ts_vocab *v, ts_err *err);
/* Make an entry of a sealed vocabulary a control token, which plain text does not become. ts_vocab_sort_special when
 * all are. */
void ts_vocab_make_control(ts_vocab *v, ts_token id);
TS_NODISCARD ts_status ts_vocab_sort_special(ts_vocab *v, ts_err *err);
/* Take the last entry away, which nothing refers to, and build the index anew. */
TS_NODISCARD ts_status ts_vocab_drop_last(ts_vocab *v, ts_err *err);
void ts_vocab_free(ts_vocab *v);

/* The token of exactly these bytes, or -1. */
ts_token ts_vocab_find(const ts_vocab *v, const char *s, size_t len);
/* Many look-ups at once, up to TS_VOCAB_BATCH: their cache misses overlap, which makes loading merges twice as fast. */
enum { TS_VOCAB_BATCH = 64 };
void ts_vocab_find_many(const ts_vocab *v, const ts_span *text, int n, ts_token *out);
/* The same as ts_vocab_find for special tokens alone. */
ts_token ts_vocab_find_special(const ts_vocab *v, const char *s, size_t len);

/* May plain text become this token? (Control tokens, the unknown token and byte tokens are made in other ways.) */
static inline bool ts_vocab_is_plain(const ts_vocab *v, ts_token id) {
    unsigned k = v->entry[id].kind;
    return k == TS_TOKEN_NORMAL || k == TS_TOKEN_USER || k == TS_TOKEN_UNUSED;
}

static inline const char *ts_vocab_text(const ts_vocab *v, ts_token id) {
    return v->text.data + v->entry[id].off;
}

TS_NODISCARD bool ts_tokens_grow(ts_tokens *t, size_t extra);
static inline bool ts_tokens_push(ts_tokens *t, ts_token id) {
    if (t->n == t->cap && !ts_tokens_grow(t, 1)) return false;
    t->id[t->n++] = id;
    return true;
}

#endif
