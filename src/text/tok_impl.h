/* tok_impl.h - the inside of a tokenizer, for the loaders (tok_*.c).
 *
 * A loader makes an empty one, puts the entries into `vocab`, calls ts_tok_seal, adds the merges (if there are any),
 * sets the other fields and calls ts_tok_finish. */
#ifndef TS_TEXT_TOK_IMPL_H
#define TS_TEXT_TOK_IMPL_H

#include "base/arena.h"
#include "base/json_pull.h"
#include "text/match.h"
#include "text/pretok.h"
#include "text/spm.h"

enum {
    TS_TOK_LISTED_ENDS = 16, /* that a file may list */
    TS_TOK_ENDS = 40,        /* those, and the ones with the usual names */
    TS_TOK_FILE_MAX = 512 << 20,
    TS_TOK_TEMPLATE_MAX = 1 << 20, /* bytes of a chat template: it is a program */
    TS_TOK_TEMPLATE_NAME = 64,     /* and of its name */
};

/* What GGUF has no keys for, where a reader would take it to be otherwise: docs/formats/tokenizers.md. */
#define TS_KEY_TOK_PREFIX        "tessera.tokenizer.prefix"
#define TS_KEY_TOK_UNLESS_SPACE  "tessera.tokenizer.prefix_unless_space"
#define TS_KEY_TOK_SPLIT_SPACES  "tessera.tokenizer.split_spaces"
#define TS_KEY_TOK_IGNORE_MERGES "tessera.tokenizer.ignore_merges"
#define TS_KEY_TOK_MERGES        "tessera.tokenizer.merges"
#define TS_KEY_TOK_LSTRIP        "tessera.tokenizer.lstrip_ids"
#define TS_KEY_TOK_RSTRIP        "tessera.tokenizer.rstrip_ids"

typedef struct ts_tok_template {
    char *name; /* "default", "tool_use", ... */
    char *text; /* Jinja, `len` bytes */
    size_t len;
} ts_tok_template;

struct ts_tokenizer {
    ts_vocab vocab;
    ts_bpe bpe;
    bool byte_level;    /* otherwise SentencePiece; set before ts_tok_seal */
    ts_pretok_kind pre; /* byte-level only */
    ts_pretok *pretok;
    /* user-defined tokens, which any text may become; control and unknown ones. ts_tok_finish's */
    ts_matcher user, control;
    ts_spm spm; /* the four options are the loader's, the tables ts_tok_finish's */
    ts_token bos, eos;
    bool bos_guessed, eos_guessed; /* from their names, by a loader whose file does not say them */
    ts_token pad, sep, cls; /* as templates may name them; -1: none. The unknown token is bpe.unk */
    bool add_bos, add_eos;
    ts_token end[TS_TOK_ENDS];
    int n_ends;
    ts_tok_template *template; /* [n_templates] the default one first */
    size_t n_templates, template_cap;
};

TS_NODISCARD ts_status ts_tok_new(ts_tokenizer **out, ts_err *err);
/* Index the entries; find the byte tokens and the unknown token. */
TS_NODISCARD ts_status ts_tok_seal(ts_tokenizer *t, ts_err *err);
/* Compile the split pattern, find the tokens that end an answer and see to it that text does not become them, check bos
 * and eos. Again after settings have changed. */
TS_NODISCARD ts_status ts_tok_finish(ts_tokenizer *t, ts_err *err);
void ts_tok_add_end(ts_tokenizer *t, ts_token id);
/* Add a chat template, or replace the one of that name (the empty name: "default"). Errors: TS_E_LIMIT. */
TS_NODISCARD ts_status ts_tok_add_template(ts_tokenizer *t, ts_span name, ts_span text, ts_err *err);

/* Undo the escapes of GPT-2's files, where each byte is a printable character: "Ġthe" to " the". false: `s` has a
 * character that stands for no byte (nothing is appended then). Out of memory: *nomem is set too. */
bool ts_tok_unescape_bytes(ts_buf *out, const char *s, size_t len, bool *nomem);
/* Set an entry from the text of a file: with the escapes undone for ordinary tokens. */
TS_NODISCARD ts_status ts_tok_set(ts_tokenizer *t, int64_t id, const char *s, size_t len, ts_token_kind kind,
                                  ts_buf *tmp, ts_err *err);
/* The same for an entry of a vocabulary's list, in which no id and no text may be twice (texts: ts_tok_seal looks). */
TS_NODISCARD ts_status ts_tok_set_listed(ts_tokenizer *t, int64_t id, ts_span text, ts_token_kind kind, ts_buf *tmp,
                                         ts_err *err);
/* Queue a merge from the text of a file: "left right", or both parts by themselves. ts_bpe_flush_merges at the end. */
TS_NODISCARD ts_status ts_tok_merge_line(ts_tokenizer *t, ts_merge_queue *q, ts_span line, ts_err *err);
TS_NODISCARD ts_status ts_tok_merge(ts_tokenizer *t, ts_merge_queue *q, ts_span left, ts_span right, ts_err *err);
/* The pre-tokenizer of a vocabulary that does not name it, by its exact size; false: not one of the known ones. */
bool ts_tok_guess_pre(ts_pretok_kind *out, int32_t n_tokens, size_t n_merges);
/* The control tokens of models whose vocabularies stop in front of them (n entries): Llama 3's 256 behind 128,000,
 * Qwen's three, GPT-2's one. Where the ids are free; before ts_tok_seal. */
TS_NODISCARD ts_status ts_tok_add_known(ts_tokenizer *t, int32_t n, ts_err *err);

/* The merge rank of a SentencePiece score (finite): the higher the score, the lower the rank; equal stays equal. */
uint32_t ts_tok_rank_of_score(float score);

/* Tokens that are named outside of a vocabulary's list: tok_added.c. */
typedef struct ts_tok_add {
    int64_t id;
    ts_span content;
    bool special, lstrip, rstrip, single_word;
    const char *from; /* the file's name, for messages; NULL: the vocabulary's own */
} ts_tok_add;
typedef struct ts_tok_adds { /* zero-initialise */
    ts_tok_add *item;
    size_t n, cap;
    ts_arena arena;
} ts_tok_adds;
void ts_tok_adds_free(ts_tok_adds *list);
TS_NODISCARD bool ts_tok_adds_push(ts_tok_adds *list, const ts_tok_add *a); /* copies its text */
/* Read {"content": ..., "special": ...} over `a`; an "id" where it has none. */
void ts_tok_read_add(ts_json *j, ts_tok_adds *list, ts_tok_add a);
/* What a file tells of added tokens: added_tokens_decoder of tokenizer_config.json; {"text": id}, as added_tokens.json
 * is; names of special tokens (special_tokens_map.json, tokenizer_config.json), which those listed before may be. */
typedef enum ts_tok_adds_form { TS_ADDS_DECODER, TS_ADDS_IDS, TS_ADDS_NAMES } ts_tok_adds_form;
TS_NODISCARD ts_status ts_tok_adds_parse(ts_tok_adds *list, ts_tok_adds_form form, const char *s, size_t len,
                                         ts_err *err);
/* Does text of this form mean a control token, whatever its file calls it: <|...|>, <pad>, <unused7>? */
bool ts_tok_looks_special(ts_span text);
/* Into the vocabulary, before ts_tok_seal. `list` may be NULL; `unk`: the unknown token's text, if there is one. */
TS_NODISCARD ts_status ts_tok_put_adds(ts_tokenizer *t, const ts_tok_adds *list, ts_span unk, ts_buf *tmp, ts_err *err);
/* Those that lie in `dir`: added_tokens_decoder of tokenizer_config.json, added_tokens.json. Errors name the file. */
TS_NODISCARD ts_status ts_tok_adds_beside(ts_tok_adds *list, const char *dir, ts_err *err);
/* The pre-tokenizer of a family that has one, as config.json or tokenizer_config.json in `dir` name it; or NULL. */
TS_NODISCARD ts_status ts_tok_pre_beside(const char **pre, const char *dir, ts_err *err);

/* The loaders behind ts_tokenizer_open. What they make still needs ts_tok_finish. */
TS_NODISCARD ts_status ts_tok_from_json(ts_tokenizer **out, const char *s, size_t len, ts_err *err);
/* The special tokens and chat templates of tokenizer_config.json, over those found before. */
TS_NODISCARD ts_status ts_tok_apply_config(ts_tokenizer *t, const char *s, size_t len, ts_err *err);
/* Ids of special tokens as config.json and generation_config.json have them: all ends count, begin and end only where
 * nothing has said them before. Ids outside of the vocabulary are passed over. */
TS_NODISCARD ts_status ts_tok_apply_ids(ts_tokenizer *t, const char *s, size_t len, ts_err *err);
/* All that lies in `dir` beside the tokenizer. Errors name the file. */
TS_NODISCARD ts_status ts_tok_apply_beside(ts_tokenizer *t, const char *dir, ts_err *err);
/* Those whose files do not say what has been added to them take it as `more` (NULL: nothing). */
TS_NODISCARD ts_status ts_tok_from_pair(ts_tokenizer **out, ts_span vocab, ts_span merges, const char *pre,
                                        const ts_tok_adds *more, ts_err *err);
TS_NODISCARD ts_status ts_tok_from_tiktoken(ts_tokenizer **out, const char *s, size_t len, const char *pre,
                                            const ts_tok_adds *more, ts_err *err);
TS_NODISCARD ts_status ts_tok_from_spm(ts_tokenizer **out, const void *data, size_t len, const ts_tok_adds *more,
                                       ts_err *err);

#endif
