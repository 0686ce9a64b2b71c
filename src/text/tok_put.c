/* tok_put.c - a tokenizer as the metadata of a GGUF file: the way back of tok_gguf.c. */
#include "format/gguf_write.h"
#include "text/tok_impl.h"

#include <stdio.h>

#define BLOCK "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* A byte as GPT-2's files write it: itself where it is visible, else U+0100 and up in order. */
static bool put_byte(ts_buf *out, uint8_t c) {
    uint32_t v = c;
    if (c <= 0x20) v = 0x100u + c;
    else if (c >= 0x7F && c <= 0xA0) v = 0x121u + c - 0x7Fu;
    else if (c == 0xAD) v = 0x143;
    if (v < 0x80) return ts_buf_putc(out, (char)v);
    return ts_buf_putc(out, (char)(0xC0 | v >> 6)) && ts_buf_putc(out, (char)(0x80 | (v & 0x3F)));
}

/* An entry's bytes with the escapes of its kind of file. */
static bool put_text(ts_buf *out, const ts_tokenizer *t, ts_token id) {
    const ts_entry *e = &t->vocab.entry[id];
    const char *s = ts_vocab_text(&t->vocab, id);
    const bool plain =
        e->kind == TS_TOKEN_NORMAL || e->kind == TS_TOKEN_UNUSED || (e->kind == TS_TOKEN_USER && !t->byte_level);
    if (!plain) return ts_buf_append(out, s, e->len);
    for (uint32_t i = 0; i < e->len; i++) {
        bool ok = true;
        if (t->byte_level) ok = put_byte(out, (uint8_t)s[i]);
        else if (s[i] == ' ') ok = ts_buf_puts(out, BLOCK);
        else ok = ts_buf_putc(out, s[i]);
        if (!ok) return false;
    }
    return true;
}

/* Strings one behind the other, and where each ends. */
typedef struct texts {
    ts_buf text;
    size_t *end;
    size_t n, cap;
} texts;

static bool texts_close(texts *l) {
    if (!ts_grow((void **)&l->end, &l->cap, l->n + 1, sizeof *l->end)) return false;
    l->end[l->n++] = l->text.len;
    return true;
}

static ts_status texts_put(texts *l, const char *key, ts_gguf_writer *w, ts_err *err) {
    ts_span *v = ts_alloc(l->n, sizeof *v);
    if (!v) return ts_fail_nomem(err, key, l->n * sizeof *v);
    for (size_t i = 0; i < l->n; i++) {
        const size_t begin = i ? l->end[i - 1] : 0;
        v[i] = (ts_span){.data = (const uint8_t *)l->text.data + begin, .len = l->end[i] - begin};
    }
    ts_gguf_put_strings(w, key, v, l->n);
    ts_free(v);
    return TS_OK;
}

static void texts_free(texts *l) {
    ts_buf_free(&l->text);
    ts_free(l->end);
}

static bool is_there(const ts_tokenizer *t, ts_token id) {
    return id < t->vocab.n && t->vocab.entry[id].flags & TS_ENTRY_SET;
}

/* Names for rows of the embedding that no token has. */
static ts_status put_tokens(const ts_tokenizer *t, int32_t n, ts_gguf_writer *w, ts_err *err) {
    texts l = {0};
    int32_t *kind = ts_alloc((size_t)n, sizeof *kind);
    bool ok = kind != NULL;
    for (ts_token i = 0; i < n && ok; i++) {
        kind[i] = is_there(t, i) ? t->vocab.entry[i].kind : TS_TOKEN_UNUSED;
        ok = (is_there(t, i) ? put_text(&l.text, t, i) : ts_buf_printf(&l.text, "[PAD%d]", i)) && texts_close(&l);
    }
    ts_status s =
        ok ? texts_put(&l, "tokenizer.ggml.tokens", w, err) : ts_fail_nomem(err, "the vocabulary", l.text.len);
    if (s == TS_OK) ts_gguf_put_array(w, "tokenizer.ggml.token_type", TS_GGUF_I32, kind, (size_t)n);
    texts_free(&l);
    ts_free(kind);
    return s;
}

static ts_status put_merges(const ts_tokenizer *t, const char *key, ts_gguf_writer *w, ts_err *err) {
    texts l = {0};
    bool ok = true;
    for (size_t i = 0; i < t->bpe.n_pairs && ok; i++)
        ok = put_text(&l.text, t, t->bpe.pair[i].left) && ts_buf_putc(&l.text, ' ') &&
             put_text(&l.text, t, t->bpe.pair[i].right) && texts_close(&l);
    ts_status s = ok ? texts_put(&l, key, w, err) : ts_fail_nomem(err, "the merges", l.text.len);
    texts_free(&l);
    return s;
}

/* The score that ts_tok_rank_of_score has made the rank of. */
static float score_of_rank(uint32_t rank) {
    const uint32_t up = ~rank, bits = up & 0x80000000u ? up & 0x7FFFFFFFu : ~up;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Added tokens are found as wholes; no merge is to yield them. */
#define NO_PRODUCT (-1e9f)

/* Where merges go by pairs, a token's score is where the first merge that yields it stands, counted from 0 downwards;
 * what no merge yields comes after all that one does. */
static ts_status put_scores(const ts_tokenizer *t, int32_t n, ts_gguf_writer *w, ts_err *err) {
    float *score = ts_calloc((size_t)n, sizeof *score);
    if (!score) return ts_fail_nomem(err, "the scores", (size_t)n * sizeof *score);
    const float none = -(float)t->bpe.n_pairs - 1;
    for (ts_token i = 0; i < n; i++) {
        if (!is_there(t, i) || !ts_vocab_is_plain(&t->vocab, i)) continue;
        const uint32_t rank = t->vocab.entry[i].rank;
        if (t->bpe.by_pair) score[i] = none - (float)i;
        else score[i] = rank == TS_RANK_NONE ? NO_PRODUCT : score_of_rank(rank);
    }
    for (size_t i = t->bpe.n_pairs; i-- > 0;) {
        const ts_token to = t->bpe.pair[i].joint;
        if (to >= 0) score[to] = -(float)i;
    }
    ts_gguf_put_array(w, "tokenizer.ggml.scores", TS_GGUF_F32, score, (size_t)n);
    ts_free(score);
    return TS_OK;
}

static void put_id(ts_gguf_writer *w, const char *key, ts_token id) {
    if (id >= 0) ts_gguf_put_u32(w, key, (uint32_t)id);
}

/* The token by which models end a turn, and the one by which they hand it over for a tool's answer, are known by their
 * names; a reader that knows the keys alone would not stop at them. */
static void put_ends(const ts_tokenizer *t, ts_gguf_writer *w) {
    static const char *const eot[] = {"<|eot_id|>",      "<|im_end|>", "<|end|>", "<end_of_turn>",
                                      "<|end_of_turn|>", "<|eot|>",    "<EOT>"};
    static const char *const eom[] = {"<|eom_id|>", "<|eom|>"};
    ts_token id = -1;
    for (size_t i = 0; i < sizeof eot / sizeof *eot && id < 0; i++)
        id = ts_vocab_find_special(&t->vocab, eot[i], strlen(eot[i]));
    put_id(w, "tokenizer.ggml.eot_token_id", id);
    id = -1;
    for (size_t i = 0; i < sizeof eom / sizeof *eom && id < 0; i++)
        id = ts_vocab_find_special(&t->vocab, eom[i], strlen(eom[i]));
    put_id(w, "tokenizer.ggml.eom_token_id", id);
}

static ts_status put_templates(const ts_tokenizer *t, ts_gguf_writer *w, ts_err *err) {
    ts_span *name = ts_alloc(t->n_templates, sizeof *name);
    size_t n = 0;
    if (!name) return ts_fail_nomem(err, "the templates", t->n_templates);
    for (size_t i = 0; i < t->n_templates; i++) {
        const ts_tok_template *m = &t->template[i];
        char key[128] = "tokenizer.chat_template";
        if (strcmp(m->name, "default") != 0) {
            snprintf(key + strlen(key), sizeof key - strlen(key), ".%s", m->name);
            name[n++] = (ts_span){.data = (const uint8_t *)m->name, .len = strlen(m->name)};
        }
        ts_gguf_put_bytes(w, key, (ts_span){.data = (const uint8_t *)m->text, .len = m->len});
    }
    if (n) ts_gguf_put_strings(w, "tokenizer.chat_templates", name, n);
    ts_free(name);
    return TS_OK;
}

static ts_status put_flagged(const ts_tokenizer *t, uint8_t flag, const char *key, ts_gguf_writer *w, ts_err *err) {
    uint32_t *id = ts_alloc((size_t)t->vocab.n, sizeof *id);
    if (!id) return ts_fail_nomem(err, key, (size_t)t->vocab.n * sizeof *id);
    size_t n = 0;
    for (ts_token i = 0; i < t->vocab.n; i++)
        if (t->vocab.entry[i].flags & flag) id[n++] = (uint32_t)i;
    if (n) ts_gguf_put_array(w, key, TS_GGUF_U32, id, n);
    ts_free(id);
    return TS_OK;
}

/* What a reader of the other keys would take to be otherwise. */
static ts_status put_own(const ts_tokenizer *t, ts_gguf_writer *w, ts_err *err) {
    const bool usual = t->byte_level && ts_pretok_takes_entries(t->pre);
    if (t->bpe.direct != usual) ts_gguf_put_bool(w, TS_KEY_TOK_IGNORE_MERGES, t->bpe.direct);
    if (!t->byte_level) {
        if (t->spm.prefix == TS_PREFIX_FIRST) ts_gguf_put_str(w, TS_KEY_TOK_PREFIX, "first");
        if (t->spm.prefix_unless_space && t->spm.prefix != TS_PREFIX_NONE)
            ts_gguf_put_bool(w, TS_KEY_TOK_UNLESS_SPACE, true);
        if (t->spm.split_spaces) ts_gguf_put_bool(w, TS_KEY_TOK_SPLIT_SPACES, true);
        /* scores do not say which of a token's pairs comes first, nor that some are none */
        if (t->bpe.n_pairs) TS_TRY(put_merges(t, TS_KEY_TOK_MERGES, w, err));
    }
    TS_TRY(put_flagged(t, TS_ENTRY_STRIP_LEFT, TS_KEY_TOK_LSTRIP, w, err));
    return put_flagged(t, TS_ENTRY_STRIP_RIGHT, TS_KEY_TOK_RSTRIP, w, err);
}

ts_status ts_tokenizer_put(const ts_tokenizer *t, uint32_t n_vocab, ts_gguf_writer *w, ts_err *err) {
    const int32_t n = (int32_t)n_vocab;
    TS_NEED((uint32_t)t->vocab.n <= n_vocab, err, "the tokenizer has more tokens than the model has rows");
    if (t->byte_level && !t->bpe.by_pair)
        return ts_fail(err, TS_E_UNSUPP,
                       "the tokenizer has ranks in place of merges (tiktoken), which GGUF cannot hold; "
                       "take a folder with a tokenizer.json");
    ts_gguf_put_str(w, "tokenizer.ggml.model", t->byte_level ? "gpt2" : "llama");
    ts_gguf_put_str(w, "tokenizer.ggml.pre", t->byte_level ? ts_pretok_name(t->pre) : "default");
    TS_TRY(put_tokens(t, n, w, err));
    TS_TRY(t->byte_level ? put_merges(t, "tokenizer.ggml.merges", w, err) : put_scores(t, n, w, err));
    put_id(w, "tokenizer.ggml.bos_token_id", t->bos);
    put_id(w, "tokenizer.ggml.eos_token_id", t->eos);
    put_ends(t, w);
    put_id(w, "tokenizer.ggml.unknown_token_id", t->bpe.unk);
    put_id(w, "tokenizer.ggml.padding_token_id", t->pad);
    ts_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", t->add_bos);
    ts_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", t->add_eos);
    if (!t->byte_level) {
        ts_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", t->spm.prefix != TS_PREFIX_NONE);
        if (t->spm.collapse) ts_gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
    }
    int32_t end[TS_TOK_LISTED_ENDS];
    const size_t n_ends = t->n_ends < TS_TOK_LISTED_ENDS ? (size_t)t->n_ends : TS_TOK_LISTED_ENDS;
    for (size_t i = 0; i < n_ends; i++) end[i] = t->end[i];
    if (n_ends) ts_gguf_put_array(w, "tokenizer.ggml.eos_token_ids", TS_GGUF_I32, end, n_ends);
    TS_TRY(put_own(t, w, err));
    return put_templates(t, w, err);
}
