/* tok_gguf.c - a tokenizer from the metadata of a model file (keys tokenizer.ggml.*). */
#include "format/gguf.h"
#include "text/tok_impl.h"

#include <math.h>
#include <string.h>

enum { TEMPLATES_MAX = 64 };

static ts_status find_array(const ts_gguf *g, const char *key, bool strings, bool required, const ts_gguf_kv **out,
                            ts_err *err) {
    const ts_gguf_kv *kv = ts_gguf_find(g, key);
    if (!kv && required) return ts_fail(err, TS_E_FORMAT, "there is no %s", key);
    if (kv && (kv->type != TS_GGUF_ARRAY || (kv->elem == TS_GGUF_STRING) != strings || kv->elem == TS_GGUF_ARRAY))
        return ts_fail(err, TS_E_FORMAT, "%s is not an array of %s", key, strings ? "strings" : "numbers");
    *out = kv;
    return TS_OK;
}

static ts_status same_length(const ts_gguf_kv *a, const ts_gguf_kv *tokens, ts_err *err) {
    if (!a || a->n == tokens->n) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "%s has %llu elements for %llu tokens", a->key, (unsigned long long)a->n,
                   (unsigned long long)tokens->n);
}

static ts_status load_tokens(ts_tokenizer *t, const ts_gguf *g, ts_buf *tmp, ts_err *err) {
    const ts_gguf_kv *tokens = NULL, *scores = NULL, *types = NULL;
    TS_TRY(find_array(g, "tokenizer.ggml.tokens", true, true, &tokens, err));
    TS_TRY(find_array(g, "tokenizer.ggml.scores", false, !t->byte_level, &scores, err));
    TS_TRY(find_array(g, "tokenizer.ggml.token_type", false, false, &types, err));
    TS_TRY(same_length(scores, tokens, err));
    TS_TRY(same_length(types, tokens, err));
    ts_reader r = {.in = tokens->raw};
    for (uint64_t i = 0; i < tokens->n; i++) {
        ts_span s = ts_gguf_next_string(&r);
        int64_t kind = types ? ts_gguf_int(types, i) : TS_TOKEN_NORMAL;
        if (kind < TS_TOKEN_NORMAL || kind > TS_TOKEN_BYTE) kind = TS_TOKEN_NORMAL; /* "undefined" */
        if (t->byte_level && kind == TS_TOKEN_BYTE) kind = TS_TOKEN_NORMAL;
        TS_TRY(ts_tok_set(t, (int64_t)i, (const char *)s.data, s.len, (ts_token_kind)kind, tmp, err));
        if (t->byte_level || !ts_vocab_is_plain(&t->vocab, (ts_token)i)) continue;
        double score = ts_gguf_num(scores, i);
        if (!isfinite(score) || !isfinite((float)score))
            return ts_fail(err, TS_E_FORMAT, "token %llu has no finite score", (unsigned long long)i);
        t->vocab.entry[i].rank = ts_tok_rank_of_score((float)score);
    }
    return TS_OK;
}

static ts_status load_merges(ts_tokenizer *t, const ts_gguf_kv *merges, ts_err *err) {
    t->bpe.by_pair = true;
    if (merges->n > TS_MERGES_MAX) return ts_fail(err, TS_E_LIMIT, "more than %d merges", TS_MERGES_MAX);
    if (!ts_bpe_reserve(&t->bpe, (size_t)merges->n)) return ts_fail_nomem(err, "the merges", (size_t)merges->n);
    ts_merge_queue q = {0};
    ts_reader r = {.in = merges->raw};
    ts_status s = TS_OK;
    for (uint64_t i = 0; i < merges->n && s == TS_OK; i++) s = ts_tok_merge_line(t, &q, ts_gguf_next_string(&r), err);
    if (s == TS_OK) s = ts_bpe_flush_merges(&t->bpe, &q, err);
    ts_buf_free(&q.text);
    return s;
}

static ts_status choose_pre(ts_tokenizer *t, const ts_gguf *g, const char *pre, const ts_gguf_kv *merges, ts_err *err) {
    ts_span name = {0};
    TS_TRY(ts_gguf_str(g, "tokenizer.ggml.pre", false, &name, err));
    if (pre) name = (ts_span){(const uint8_t *)pre, strlen(pre)};
    bool said = name.len > 0 && !(name.len == 7 && memcmp(name.data, "default", 7) == 0);
    if (said) return ts_pretok_find(&t->pre, name, err);
    const ts_gguf_kv *tokens = ts_gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens && tokens->n <= TS_VOCAB_MAX && ts_tok_guess_pre(&t->pre, (int32_t)tokens->n, (size_t)merges->n))
        return TS_OK;
    return ts_fail(err, TS_E_UNSUPP, "there is no tokenizer.ggml.pre, so it is not known how text is split; convert "
                   "the model again with a newer converter, or say it with --pre");
}

static ts_status token_id(const ts_gguf *g, const char *key, ts_token *id, ts_err *err) {
    uint32_t v = UINT32_MAX; /* some files write that for "none" */
    TS_TRY(ts_gguf_u32(g, key, false, &v, err));
    if (v <= INT32_MAX) *id = (ts_token)v;
    return TS_OK;
}

static ts_status named_id(const ts_tokenizer *t, const ts_gguf *g, const char *key, ts_token *id, ts_err *err) {
    ts_token v = -1;
    TS_TRY(token_id(g, key, &v, err));
    if (v >= 0 && v < t->vocab.n) *id = v;
    return TS_OK;
}

/* All tokens that end an answer, where the file lists more than eos and eot. */
static ts_status load_ends(ts_tokenizer *t, const ts_gguf *g, ts_err *err) {
    const ts_gguf_kv *list = NULL;
    TS_TRY(find_array(g, "tokenizer.ggml.eos_token_ids", false, false, &list, err));
    for (uint64_t i = 0; list && i < list->n; i++) {
        int64_t id = ts_gguf_int(list, i);
        if (id < 0 || id >= t->vocab.n)
            return ts_fail(err, TS_E_FORMAT, "%s: token %lld is outside the vocabulary of %d", list->key, (long long)id,
                           t->vocab.n);
        if (i == TS_TOK_LISTED_ENDS)
            return ts_fail(err, TS_E_LIMIT, "%s has more than %d tokens", list->key, TS_TOK_LISTED_ENDS);
        ts_tok_add_end(t, (ts_token)id);
    }
    return TS_OK;
}

/* `id` if it is no word of text. */
static ts_token usual(const ts_tokenizer *t, ts_token id, const char *name) {
    if (id >= t->vocab.n) return -1;
    const ts_entry *e = &t->vocab.entry[id];
    bool named = e->len == strlen(name) && memcmp(ts_vocab_text(&t->vocab, id), name, e->len) == 0;
    return named || !ts_vocab_is_plain(&t->vocab, id) ? id : -1;
}

static ts_status load_ids(ts_tokenizer *t, const ts_gguf *g, ts_err *err) {
    t->add_bos = t->byte_level ? ts_pretok_adds_bos(t->pre) : true;
    if (!t->byte_level) { /* SentencePiece's usual places, where the file is silent */
        t->bos = usual(t, 1, "<s>");
        t->eos = usual(t, 2, "</s>");
    }
    TS_TRY(token_id(g, "tokenizer.ggml.bos_token_id", &t->bos, err));
    TS_TRY(token_id(g, "tokenizer.ggml.eos_token_id", &t->eos, err));
    if (t->bos < 0) t->add_bos = false;
    TS_TRY(ts_gguf_bool(g, "tokenizer.ggml.add_bos_token", false, &t->add_bos, err));
    TS_TRY(ts_gguf_bool(g, "tokenizer.ggml.add_eos_token", false, &t->add_eos, err));
    static const char *const ends[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    for (int i = 0; i < 2; i++) {
        ts_token id = -1;
        TS_TRY(token_id(g, ends[i], &id, err));
        ts_tok_add_end(t, id);
    }
    TS_TRY(load_ends(t, g, err));
    ts_token unk = -1;
    TS_TRY(named_id(t, g, "tokenizer.ggml.padding_token_id", &t->pad, err));
    TS_TRY(named_id(t, g, "tokenizer.ggml.seperator_token_id", &t->sep, err)); /* the key is spelled so */
    TS_TRY(named_id(t, g, "tokenizer.ggml.cls_token_id", &t->cls, err));
    TS_TRY(named_id(t, g, "tokenizer.ggml.unknown_token_id", &unk, err));
    if (unk >= 0) t->bpe.unk = unk;
    if (t->byte_level) return TS_OK;
    bool prefix = true;
    TS_TRY(ts_gguf_bool(g, "tokenizer.ggml.add_space_prefix", false, &prefix, err));
    t->spm.prefix = prefix ? TS_PREFIX_ALWAYS : TS_PREFIX_NONE;
    return ts_gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", false, &t->spm.collapse, err);
}

static ts_status load_flagged(ts_tokenizer *t, const ts_gguf *g, const char *key, uint8_t flag, ts_err *err) {
    const ts_gguf_kv *list = NULL;
    TS_TRY(find_array(g, key, false, false, &list, err));
    for (uint64_t i = 0; list && i < list->n; i++) {
        const int64_t id = ts_gguf_int(list, i);
        if (id < 0 || id >= t->vocab.n)
            return ts_fail(err, TS_E_FORMAT, "%s: token %lld is outside the vocabulary of %d", key, (long long)id,
                           t->vocab.n);
        t->vocab.entry[id].flags |= flag;
    }
    return TS_OK;
}

/* What Tessera's own conversions say beyond GGUF's keys: tok_put.c. */
static ts_status load_own(ts_tokenizer *t, const ts_gguf *g, ts_err *err) {
    ts_span prefix = {0};
    t->bpe.direct = t->byte_level && ts_pretok_takes_entries(t->pre);
    TS_TRY(ts_gguf_bool(g, TS_KEY_TOK_IGNORE_MERGES, false, &t->bpe.direct, err));
    TS_TRY(load_flagged(t, g, TS_KEY_TOK_LSTRIP, TS_ENTRY_STRIP_LEFT, err));
    TS_TRY(load_flagged(t, g, TS_KEY_TOK_RSTRIP, TS_ENTRY_STRIP_RIGHT, err));
    if (t->byte_level) return TS_OK;
    TS_TRY(ts_gguf_str(g, TS_KEY_TOK_PREFIX, false, &prefix, err));
    if (prefix.len == 5 && memcmp(prefix.data, "first", 5) == 0) t->spm.prefix = TS_PREFIX_FIRST;
    else if (prefix.len)
        return ts_fail(err, TS_E_UNSUPP, "%s is \"%s\"; only \"first\" is known", TS_KEY_TOK_PREFIX,
                       ts_show(prefix.data, prefix.len));
    TS_TRY(ts_gguf_bool(g, TS_KEY_TOK_UNLESS_SPACE, false, &t->spm.prefix_unless_space, err));
    return ts_gguf_bool(g, TS_KEY_TOK_SPLIT_SPACES, false, &t->spm.split_spaces, err);
}

/* Phi-3's tokenizer.json lets most of its control tokens swallow the white space behind them. GGUF has no key for
 * that, so it is done by the name of the architecture, as other engines do. */
static ts_status phi3_strip(ts_tokenizer *t, const ts_gguf *g, ts_err *err) {
    ts_span arch = {0};
    TS_TRY(ts_gguf_str(g, "general.architecture", false, &arch, err));
    if (t->byte_level || arch.len != 4 || memcmp(arch.data, "phi3", 4) != 0 || ts_gguf_find(g, TS_KEY_TOK_RSTRIP))
        return TS_OK;
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (int32_t i = 0; i < t->vocab.n_special; i++) {
        ts_entry *e = &t->vocab.entry[t->vocab.special[i]];
        bool kept = e->kind == TS_TOKEN_UNKNOWN;
        for (int k = 0; k < 3; k++)
            kept |= strlen(keep[k]) == e->len && memcmp(t->vocab.text.data + e->off, keep[k], e->len) == 0;
        if (!kept) e->flags |= TS_ENTRY_STRIP_RIGHT;
    }
    return TS_OK;
}

/* The chat template, and those for other uses (tokenizer.chat_template.tool_use). */
static ts_status load_templates(ts_tokenizer *t, const ts_gguf *g, ts_err *err) {
    static const char key[] = "tokenizer.chat_template";
    const size_t len = sizeof key - 1;
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(g, i);
        if (strncmp(kv->key, key, len) != 0 || (kv->key[len] && kv->key[len] != '.')) continue;
        ts_span name = {(const uint8_t *)kv->key + len, strlen(kv->key + len)}, text = {0};
        if (name.len) name.data++, name.len--;
        TS_TRY(ts_gguf_str(g, kv->key, false, &text, err));
        if (t->n_templates == TEMPLATES_MAX)
            return ts_fail(err, TS_E_LIMIT, "there are more than %d chat templates", TEMPLATES_MAX);
        if (text.len) TS_TRY(ts_tok_add_template(t, name, text, err));
    }
    return TS_OK;
}

static ts_status load(ts_tokenizer *t, const ts_gguf *g, const char *pre, ts_buf *tmp, ts_err *err) {
    ts_span model;
    TS_TRY(ts_gguf_str(g, "tokenizer.ggml.model", true, &model, err));
    const ts_gguf_kv *merges = NULL;
    if (model.len == 4 && memcmp(model.data, "gpt2", 4) == 0) {
        t->byte_level = true;
        TS_TRY(find_array(g, "tokenizer.ggml.merges", true, true, &merges, err));
        TS_TRY(choose_pre(t, g, pre, merges, err));
    } else if (model.len != 5 || memcmp(model.data, "llama", 5) != 0) {
        return ts_fail(err, TS_E_UNSUPP, "tokenizer \"%s\" is not supported; \"gpt2\" and \"llama\" are",
                       ts_show(model.data, model.len));
    } else if (pre) {
        return ts_fail(err, TS_E_INVAL, "a SentencePiece vocabulary is not split by a pattern; leave out --pre");
    }
    if (!t->byte_level) TS_TRY(find_array(g, TS_KEY_TOK_MERGES, true, false, &merges, err));
    TS_TRY(load_tokens(t, g, tmp, err));
    TS_TRY(ts_tok_seal(t, err));
    if (merges) TS_TRY(load_merges(t, merges, err));
    TS_TRY(load_ids(t, g, err));
    TS_TRY(load_own(t, g, err));
    TS_TRY(phi3_strip(t, g, err));
    TS_TRY(load_templates(t, g, err));
    return ts_tok_finish(t, err);
}

ts_status ts_tokenizer_from_gguf(ts_tokenizer **out, const ts_gguf *g, const char *pre, ts_err *err) {
    ts_tokenizer *t;
    TS_TRY(ts_tok_new(&t, err));
    ts_buf tmp = {0};
    ts_status s = load(t, g, pre, &tmp, err);
    ts_buf_free(&tmp);
    if (s == TS_OK) {
        *out = t;
        return TS_OK;
    }
    ts_tokenizer_free(t);
    const char *path = ts_gguf_path(g); /* the reader's own messages name it already */
    if (err && strncmp(err->msg, path, strlen(path)) != 0) ts_err_prefix(err, s, "%s", path);
    return s;
}
