/* tokenizer.h - text to tokens and back.
 *
 * Two algorithms: byte-level BPE (Llama 3, GPT-2, Qwen2: split by a pattern, then merge by rank) and SentencePiece BPE
 * (Llama 2, Mistral: merge by score, byte fallback). A tokenizer is immutable and may be used by several threads. */
#ifndef TS_TEXT_TOKENIZER_H
#define TS_TEXT_TOKENIZER_H

#include "base/mem.h"
#include "base/span.h"
#include "tessera/tessera.h"

#include <stdint.h>

typedef struct ts_tokens { /* zero-initialise; free with ts_tokens_free */
    ts_token *id;
    size_t n, cap;
} ts_tokens;
void ts_tokens_free(ts_tokens *t);

typedef struct ts_tokenizer ts_tokenizer;

typedef enum ts_token_kind { /* numbers as in tokenizer.ggml.token_type */
    TS_TOKEN_NORMAL = 1,
    TS_TOKEN_UNKNOWN = 2,
    TS_TOKEN_CONTROL = 3, /* special: never produced from plain text */
    TS_TOKEN_USER = 4,    /* user-defined: matched as a whole in any text */
    TS_TOKEN_UNUSED = 5,
    TS_TOKEN_BYTE = 6,
} ts_token_kind;

/* From a GGUF file's metadata (format/gguf.h). The ts_gguf may be closed afterwards. `pre` (nullable): see below.
 * Errors: TS_E_FORMAT for a bad vocabulary, TS_E_UNSUPP naming a tokenizer or pre-tokenizer that is not known. */
typedef struct ts_gguf ts_gguf;
TS_NODISCARD ts_status ts_tokenizer_from_gguf(ts_tokenizer **out, const ts_gguf *g, const char *pre, ts_err *err);
/* The way back: its metadata for a model of n_vocab rows, of which those without a token get a name as unused ones.
 * What GGUF has no keys for goes into keys of our own. Errors: TS_E_UNSUPP for ranks in place of merges. */
typedef struct ts_gguf_writer ts_gguf_writer;
TS_NODISCARD ts_status ts_tokenizer_put(const ts_tokenizer *t, uint32_t n_vocab, ts_gguf_writer *w, ts_err *err);
/* From a path: a .gguf file, a tokenizer.json, a tokenizer.model under any name (SentencePiece protobuf or tiktoken
 * text), or a folder that holds one of these or a vocab + merges pair under any names. `pre` (nullable): llama-bpe,
 * gpt-2 or qwen2, for files that do not say. */
TS_NODISCARD ts_status ts_tokenizer_open(ts_tokenizer **out, const char *path, const char *pre, ts_err *err);
/* For a model of so many rows. One control token too many is taken away, if it is no beginning or end: Llama 3.2
 * Vision's token for images has no row in the text model. *dropped: was it? More are TS_E_FORMAT. Before the tokenizer
 * is shared. */
TS_NODISCARD ts_status ts_tokenizer_fit(ts_tokenizer *t, uint32_t rows, bool *dropped, ts_err *err);
void ts_tokenizer_free(ts_tokenizer *t); /* NULL-safe */

/* Append the tokens of text[0..len) to `out`. Any bytes are accepted, NUL and invalid UTF-8 included. Takes O(n log
 * n) for n bytes, whatever the vocabulary. flags: TS_TOKENIZE_* of tessera.h. */
TS_NODISCARD ts_status ts_tokenize(const ts_tokenizer *t, const char *text, size_t len, unsigned flags, ts_tokens *out,
                                   ts_err *err);

/* The same for text of two origins: the author's of a template, and data put into it. Control tokens are recognised
 * where their text lies wholly outside of the `data` ranges (ascending, disjoint, not empty); what data spells is
 * plain text. Nothing else depends on the ranges: words and merges go across their borders. */
TS_NODISCARD ts_status ts_tokenize_marked(const ts_tokenizer *t, const char *text, size_t len,
                                          const ts_text_range *data, size_t n_data, unsigned flags, ts_tokens *out,
                                          ts_err *err);

int32_t ts_tokenizer_size(const ts_tokenizer *t);
ts_token ts_tokenizer_bos(const ts_tokenizer *t);
ts_token ts_tokenizer_eos(const ts_tokenizer *t);
bool ts_tokenizer_adds_bos(const ts_tokenizer *t);
bool ts_tokenizer_adds_prefix(const ts_tokenizer *t); /* SentencePiece: is a space put in front of texts? */
/* Is this a token that ends an answer: EOS, EOT, EOM, <|im_end|>, <end_of_turn>, ...? */
bool ts_tokenizer_is_end(const ts_tokenizer *t, ts_token id);
/* All of them, number 0 to n - 1. */
size_t ts_tokenizer_n_ends(const ts_tokenizer *t);
ts_token ts_tokenizer_end(const ts_tokenizer *t, size_t i);
ts_token_kind ts_token_kind_of(const ts_tokenizer *t, ts_token id);
/* The token whose entry (see ts_token_entry) is exactly this text, control tokens first, or -1. */
ts_token ts_tokenizer_find(const ts_tokenizer *t, const char *text, size_t len);
/* The vocabulary entry without the escapes of its file: raw bytes for byte-level BPE, a plain space for SentencePiece's
 * U+2581. Borrowed. */
ts_span ts_token_entry(const ts_tokenizer *t, ts_token id);
const char *ts_tokenizer_model_name(const ts_tokenizer *t); /* "llama-bpe", "gpt-2", "qwen2", "spm" */
/* A token by its name in chat templates: "bos_token", "eos_token", "unk_token", "pad_token", "sep_token" or
 * "cls_token"; -1: the model has none. */
ts_token ts_tokenizer_named(const ts_tokenizer *t, const char *name);
/* The model's chat templates, as Jinja text: number 0 is the one that is used unless another is asked for. Borrowed;
 * the name ends with a NUL. */
size_t ts_tokenizer_n_templates(const ts_tokenizer *t);
ts_span ts_tokenizer_template(const ts_tokenizer *t, size_t i, const char **name);

/* Append the bytes that the token stands for; control tokens only where `special`. */
TS_NODISCARD bool ts_token_bytes(const ts_tokenizer *t, ts_token id, bool special, ts_buf *out);

#endif
