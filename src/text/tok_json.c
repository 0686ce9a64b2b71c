/* tok_json.c - Hugging Face's tokenizer.json, and the settings in tokenizer_config.json and generation_config.json.
 *
 * The file describes a pipeline of arbitrary parts. Those pipelines that are byte-level BPE with a known split or
 * SentencePiece in disguise are recognised; any other part is named and refused. */
#include "base/arena.h"
#include "base/json_pull.h"
#include "text/tok_impl.h"

#include <stdio.h>

#define BLOCK "\xE2\x96\x81" /* U+2581 */

enum { PARTS = 8 };

typedef struct part { /* one step of a normalizer, pre_tokenizer or post_processor */
    ts_span type;
    ts_span regex, string; /* pattern */
    ts_span content, prepend, behavior, replacement, scheme, bos, eos;
    int add_prefix_space, use_regex, individual_digits, split, invert; /* -1: not said */
    int n_bos, n_eos;
} part;

typedef struct parts {
    part p[PARTS];
    int n;
} parts;

typedef struct file {
    ts_json j;
    ts_arena arena;
    parts norm, pre, post;
    size_t vocab_at, merges_at; /* where these sections begin; 0: absent */
    bool vocab_done, merges_done, seen_norm, seen_pre, seen_added;
    ts_tok_adds added;
    ts_span model_type, unk_token, prefix, suffix;
    bool byte_fallback, ignore_merges, dropout;
    ts_buf tmp;
    ts_merge_queue queue;
} file;

static ts_span keep(file *f) { /* a string value, or nothing for null */
    ts_span s = {0};
    if (ts_json_peek(&f->j) == TS_JSON_NULL) {
        ts_json_skip(&f->j);
        return s;
    }
    if (!ts_json_string(&f->j, &s)) return (ts_span){0};
    char *copy = ts_arena_strndup(&f->arena, (const char *)s.data, s.len);
    if (!copy) ts_json_fail(&f->j, "");
    return (ts_span){(const uint8_t *)copy, copy ? s.len : 0};
}

static int flag(file *f) {
    if (ts_json_peek(&f->j) == TS_JSON_NULL) {
        ts_json_skip(&f->j);
        return -1;
    }
    return ts_json_bool(&f->j);
}

static void read_parts(file *f, parts *out);

/* "pattern": {"Regex": "..."} or {"String": "..."} */
static void read_pattern(file *f, part *p) {
    ts_json_keys seen = {0};
    ts_span key;
    ts_json_object(&f->j);
    while (ts_json_key_once(&f->j, &key, &seen)) {
        if (ts_span_is(key, "Regex")) p->regex = keep(f);
        else if (ts_span_is(key, "String")) p->string = keep(f);
        else ts_json_skip(&f->j);
    }
}

/* "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}] */
static void read_template(file *f, part *p) {
    ts_span key, sub;
    bool behind = false;
    ts_json_array(&f->j);
    while (ts_json_item(&f->j)) {
        ts_json_keys seen = {0}, seen_sub = {0};
        ts_json_object(&f->j);
        while (ts_json_key_once(&f->j, &key, &seen)) {
            seen_sub.n = 0;
            bool token = ts_span_is(key, "SpecialToken");
            behind |= ts_span_is(key, "Sequence");
            ts_json_object(&f->j);
            while (ts_json_key_once(&f->j, &sub, &seen_sub)) {
                if (!token || !ts_span_is(sub, "id")) {
                    ts_json_skip(&f->j);
                } else if (behind) {
                    p->eos = keep(f);
                    p->n_eos++;
                } else {
                    p->bos = keep(f);
                    p->n_bos++;
                }
            }
        }
    }
}

static void read_part(file *f, parts *out) {
    part p = {.add_prefix_space = -1, .use_regex = -1, .individual_digits = -1, .split = -1, .invert = -1};
    ts_json_keys seen = {0};
    ts_span key;
    bool sequence = false;
    ts_json_object(&f->j);
    while (ts_json_key_once(&f->j, &key, &seen)) {
        if (ts_span_is(key, "type")) p.type = keep(f);
        else if (ts_span_is(key, "pretokenizers") || ts_span_is(key, "normalizers") || ts_span_is(key, "processors")) {
            sequence = true;
            ts_json_array(&f->j);
            while (ts_json_item(&f->j)) read_parts(f, out);
        } else if (ts_span_is(key, "pattern")) read_pattern(f, &p);
        else if (ts_span_is(key, "single") && ts_json_peek(&f->j) == TS_JSON_ARRAY) read_template(f, &p);
        else if (ts_span_is(key, "content")) p.content = keep(f);
        else if (ts_span_is(key, "prepend")) p.prepend = keep(f);
        else if (ts_span_is(key, "behavior")) p.behavior = keep(f);
        else if (ts_span_is(key, "replacement")) p.replacement = keep(f);
        else if (ts_span_is(key, "prepend_scheme")) p.scheme = keep(f);
        else if (ts_span_is(key, "add_prefix_space")) p.add_prefix_space = flag(f);
        else if (ts_span_is(key, "use_regex")) p.use_regex = flag(f);
        else if (ts_span_is(key, "individual_digits")) p.individual_digits = flag(f);
        else if (ts_span_is(key, "split")) p.split = flag(f);
        else if (ts_span_is(key, "invert")) p.invert = flag(f);
        else ts_json_skip(&f->j);
    }
    if (sequence && ts_span_is(p.type, "Sequence")) return;
    if (out->n == PARTS) ts_json_fail(&f->j, "more steps than Tessera knows");
    else out->p[out->n++] = p;
}

static void read_parts(file *f, parts *out) {
    if (ts_json_peek(&f->j) == TS_JSON_NULL) ts_json_skip(&f->j);
    else read_part(f, out);
}

static void read_added(file *f) {
    ts_json_array(&f->j);
    while (ts_json_item(&f->j)) ts_tok_read_add(&f->j, &f->added, (ts_tok_add){.id = -1});
}

/* ---- what the pipeline amounts to ------------------------------------------------------------------------------ */

static ts_status refuse(const char *where, const parts *list, ts_err *err) {
    char names[300] = "";
    size_t used = 0;
    for (int i = 0; i < list->n; i++) {
        const part *p = &list->p[i];
        ts_span pattern = p->regex.len ? p->regex : p->string;
        int n = snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", ts_show(p->type.data, p->type.len));
        if (pattern.len)
            n += snprintf(names + used + n, sizeof names - used - (size_t)n, " \"%s\"",
                          ts_show(pattern.data, pattern.len));
        used += (size_t)n;
        if (sizeof names - used < 140) break; /* room for one more of each */
    }
    return ts_fail(err, TS_E_UNSUPP, "the %s [%s] is not one that Tessera does; supported are byte-level BPE of the "
                   "Llama 3, GPT-2, Qwen2, SmolLM and Mistral (tekken) kind and SentencePiece BPE", where, names);
}

static bool is_byte_level(const part *p, bool use_regex) {
    return ts_span_is(p->type, "ByteLevel") && p->add_prefix_space != 1 && (p->use_regex != 0) == use_regex;
}

static bool is_split(const part *p) { /* the matches are the words, said in one of two ways */
    return ts_span_is(p->type, "Split") && ((ts_span_is(p->behavior, "Isolated") && p->invert != 1) ||
                                            (ts_span_is(p->behavior, "Removed") && p->invert == 1));
}

static bool is_space_to_block(const part *p) {
    return ts_span_is(p->type, "Replace") && ts_span_is(p->string, " ") && ts_span_is(p->content, BLOCK);
}

static ts_status understand(const file *f, ts_tokenizer *t, ts_err *err) {
    /* old files have no type; of those that Hugging Face's library knows, only BPE has merges */
    if (!ts_span_is(f->model_type, "BPE") && !(f->model_type.len == 0 && f->merges_at))
        return ts_fail(err, TS_E_UNSUPP, "a tokenizer of type \"%s\"; only BPE is supported",
                       ts_show(f->model_type.data, f->model_type.len));
    if (f->prefix.len || f->suffix.len || f->dropout)
        return ts_fail(err, TS_E_UNSUPP, "the model has %s, which Tessera does not do",
                       f->prefix.len   ? "a continuing_subword_prefix"
                       : f->suffix.len ? "an end_of_word_suffix"
                                       : "dropout");
    const part *pre = f->pre.p, *norm = f->norm.p;
    int n_pre = f->pre.n, n_norm = f->norm.n;
    /* NFC is said by Qwen's files, and done neither by engines that read GGUF nor here: docs/formats/tokenizers.md */
    bool to_block = false, prepend = false;
    for (int i = 0; i < n_norm; i++) {
        if (is_space_to_block(&norm[i])) to_block = true;
        else if (ts_span_is(norm[i].type, "Prepend") && ts_span_is(norm[i].prepend, BLOCK) && !to_block) prepend = true;
        else if (!ts_span_is(norm[i].type, "NFC")) return refuse("normalizer", &f->norm, err);
    }
    if (prepend && !to_block) return refuse("normalizer", &f->norm, err);

    bool metaspace = n_pre == 1 && ts_span_is(pre->type, "Metaspace") && ts_span_is(pre->replacement, BLOCK);
    /* a split at spaces is without effect where the spaces have been replaced before */
    bool nothing = n_pre == 0 || (n_pre == 1 && ts_span_is(pre->type, "Split") && ts_span_is(pre->string, " "));
    if (metaspace && !to_block) {
        t->spm.prefix_unless_space = true;
        t->spm.split_spaces = pre->split != 0;
        bool said = pre->scheme.len > 0;
        if (said ? ts_span_is(pre->scheme, "always") : pre->add_prefix_space != 0) t->spm.prefix = TS_PREFIX_ALWAYS;
        else if (ts_span_is(pre->scheme, "first")) t->spm.prefix = TS_PREFIX_FIRST;
        else if (said && !ts_span_is(pre->scheme, "never")) return refuse("pre_tokenizer", &f->pre, err);
        return TS_OK;
    }
    if (to_block && nothing) {
        t->spm.prefix = prepend ? TS_PREFIX_ALWAYS : TS_PREFIX_NONE;
        return TS_OK;
    }
    if (to_block) return refuse("pre_tokenizer", &f->pre, err);
    t->byte_level = true;
    if (n_pre == 1 && is_byte_level(pre, true)) t->pre = TS_PRETOK_GPT2;
    else if (n_pre == 2 && is_split(pre) && ts_pretok_by_regex(&t->pre, pre->regex) && is_byte_level(pre + 1, false)) {
    } else if (n_pre == 2 && ts_span_is(pre->type, "Digits") && pre->individual_digits == 1 &&
               is_byte_level(pre + 1, true))
        t->pre = TS_PRETOK_SMOLLM;
    else return refuse("pre_tokenizer", &f->pre, err);
    return TS_OK;
}

/* ---- the vocabulary -------------------------------------------------------------------------------------------- */

static bool same_span(ts_span a, ts_span b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static ts_status load_vocab(file *f, ts_tokenizer *t, ts_err *err) {
    ts_span text;
    TS_TRY(understand(f, t, err));
    ts_json_object(&f->j);
    while (ts_json_key(&f->j, &text)) {
        int64_t id = ts_json_int(&f->j);
        if (f->j.bad) break;
        ts_token_kind kind = TS_TOKEN_NORMAL;
        if (!t->byte_level && f->byte_fallback && text.len == 6 && memcmp(text.data, "<0x", 3) == 0 &&
            text.data[5] == '>')
            kind = TS_TOKEN_BYTE;
        else if (!t->byte_level && text.len > 0 && same_span(text, f->unk_token)) kind = TS_TOKEN_UNKNOWN;
        TS_TRY(ts_tok_set_listed(t, id, text, kind, &f->tmp, err));
    }
    TS_TRY(ts_json_status(&f->j, err));
    TS_TRY(ts_tok_put_adds(t, &f->added, f->unk_token, &f->tmp, err));
    return ts_tok_seal(t, err);
}

static ts_status load_merges(file *f, ts_tokenizer *t, ts_err *err) {
    /* as many as in Llama 3's file; others have fewer for their size */
    size_t guess = (size_t)t->vocab.n * 9 / 4;
    if (!ts_bpe_reserve(&t->bpe, guess < TS_MERGES_MAX ? guess : TS_MERGES_MAX))
        return ts_fail_nomem(err, "the merges", guess);
    ts_json_array(&f->j);
    while (ts_json_item(&f->j)) {
        ts_span left = {0}, right = {0};
        if (ts_json_peek(&f->j) == TS_JSON_STRING) {
            if (!ts_json_string(&f->j, &left)) break;
            TS_TRY(ts_tok_merge_line(t, &f->queue, left, err));
            continue;
        }
        ts_json_array(&f->j);
        if (ts_json_item(&f->j) && ts_json_string(&f->j, &left)) {
            ts_buf_clear(&f->tmp); /* the second string may take the first one's place */
            if (!ts_buf_append(&f->tmp, left.data, left.len)) ts_json_fail(&f->j, "");
            left.data = (const uint8_t *)f->tmp.data;
        }
        if (ts_json_item(&f->j)) ts_json_string(&f->j, &right);
        if (ts_json_item(&f->j)) ts_json_fail(&f->j, "a merge of more than two parts");
        if (f->j.bad) break;
        TS_TRY(ts_tok_merge(t, &f->queue, left, right, err));
    }
    TS_TRY(ts_json_status(&f->j, err));
    return ts_bpe_flush_merges(&t->bpe, &f->queue, err);
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

/* The order of sections in a file is not quite the order of work. Where what the vocabulary depends on came before it,
 * as it does in files by Hugging Face's own library, it is read at once; otherwise its place is remembered. */
static ts_status read_model(file *f, ts_tokenizer *t, ts_err *err) {
    ts_json_keys seen = {0};
    ts_span key;
    bool fallback_said = false;
    bool ready = f->seen_norm && f->seen_pre && f->seen_added;
    ts_json_object(&f->j);
    while (ts_json_key_once(&f->j, &key, &seen)) {
        if (ts_span_is(key, "vocab")) {
            ts_json_peek(&f->j);
            f->vocab_at = f->j.pos;
            f->vocab_done = ready && fallback_said && f->model_type.len;
            if (f->vocab_done) TS_TRY(load_vocab(f, t, err));
            else ts_json_defer(&f->j);
        } else if (ts_span_is(key, "merges")) {
            ts_json_peek(&f->j);
            f->merges_at = f->j.pos;
            f->merges_done = f->vocab_done;
            if (f->merges_done) TS_TRY(load_merges(f, t, err));
            else ts_json_defer(&f->j);
        } else if (ts_span_is(key, "type")) f->model_type = keep(f);
        else if (ts_span_is(key, "unk_token")) f->unk_token = keep(f);
        else if (ts_span_is(key, "continuing_subword_prefix")) f->prefix = keep(f);
        else if (ts_span_is(key, "end_of_word_suffix")) f->suffix = keep(f);
        else if (ts_span_is(key, "byte_fallback")) {
            f->byte_fallback = flag(f) > 0;
            fallback_said = true;
        } else if (ts_span_is(key, "ignore_merges")) f->ignore_merges = flag(f) > 0;
        else if (ts_span_is(key, "dropout")) {
            f->dropout = ts_json_peek(&f->j) != TS_JSON_NULL;
            ts_json_skip(&f->j);
        } else ts_json_skip(&f->j);
    }
    return TS_OK;
}

static ts_status read_file(file *f, ts_tokenizer *t, ts_err *err) {
    ts_json_keys seen = {0};
    ts_span key;
    ts_json_object(&f->j);
    while (ts_json_key_once(&f->j, &key, &seen)) {
        if (ts_span_is(key, "added_tokens")) {
            read_added(f);
            f->seen_added = true;
        } else if (ts_span_is(key, "normalizer")) {
            read_parts(f, &f->norm);
            f->seen_norm = true;
        } else if (ts_span_is(key, "pre_tokenizer")) {
            read_parts(f, &f->pre);
            f->seen_pre = true;
        } else if (ts_span_is(key, "post_processor")) read_parts(f, &f->post);
        else if (ts_span_is(key, "model")) TS_TRY(read_model(f, t, err));
        else ts_json_skip(&f->j);
    }
    ts_json_end(&f->j);
    TS_TRY(ts_json_status(&f->j, err));
    if (!f->vocab_at) return ts_fail(err, TS_E_FORMAT, "no model with a vocab: not a tokenizer.json");
    f->j.pos = f->vocab_at;
    if (!f->vocab_done) TS_TRY(load_vocab(f, t, err));
    f->j.pos = f->merges_at;
    if (f->merges_at && !f->merges_done) TS_TRY(load_merges(f, t, err));
    t->bpe.by_pair = true;
    t->bpe.direct = f->ignore_merges;
    return TS_OK;
}

static ts_status find_added(const ts_tokenizer *t, ts_span text, ts_token *id, ts_err *err) {
    *id = ts_vocab_find_special(&t->vocab, (const char *)text.data, text.len);
    if (*id >= 0) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "\"%s\" is to be added to texts, but is no special token",
                   ts_show(text.data, text.len));
}

static ts_status load_post(const file *f, ts_tokenizer *t, ts_err *err) {
    for (int i = 0; i < f->post.n; i++) {
        const part *p = &f->post.p[i];
        if (ts_span_is(p->type, "ByteLevel")) continue; /* it changes offsets only */
        if (!ts_span_is(p->type, "TemplateProcessing") || p->n_bos > 1 || p->n_eos > 1)
            return refuse("post_processor", &f->post, err);
        if (p->n_bos) TS_TRY(find_added(t, p->bos, &t->bos, err));
        if (p->n_eos) TS_TRY(find_added(t, p->eos, &t->eos, err));
        t->add_bos |= p->n_bos > 0;
        t->add_eos |= p->n_eos > 0;
    }
    return TS_OK;
}

/* Files that do not say which tokens begin and end a text (tokenizer_config.json does) mostly use one of these. */
static void guess_ends(ts_tokenizer *t) {
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", "<bos>", "<|endoftext|>"};
    static const char *const eos[] = {"<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>"};
    t->bos_guessed = t->bos < 0;
    t->eos_guessed = t->eos < 0;
    for (size_t i = 0; i < sizeof bos / sizeof *bos && t->bos < 0; i++)
        t->bos = ts_vocab_find_special(&t->vocab, bos[i], strlen(bos[i]));
    for (size_t i = 0; i < sizeof eos / sizeof *eos && t->eos < 0; i++)
        t->eos = ts_vocab_find_special(&t->vocab, eos[i], strlen(eos[i]));
}

static ts_status load(file *f, ts_tokenizer *t, ts_err *err) {
    TS_TRY(read_file(f, t, err));
    TS_TRY(load_post(f, t, err));
    guess_ends(t);
    return TS_OK;
}

ts_status ts_tok_from_json(ts_tokenizer **out, const char *s, size_t len, ts_err *err) {
    ts_tokenizer *t;
    TS_TRY(ts_tok_new(&t, err));
    file f = {0};
    ts_json_init(&f.j, s, len);
    ts_status status = load(&f, t, err);
    ts_json_fini(&f.j);
    ts_arena_free(&f.arena);
    ts_buf_free(&f.tmp);
    ts_buf_free(&f.queue.text);
    ts_tok_adds_free(&f.added);
    if (status == TS_OK) *out = t;
    else ts_tokenizer_free(t);
    return status;
}

/* ---- settings -------------------------------------------------------------------------------------------------- */

/* "bos_token": "<s>" or {"content": "<s>", ...} or null */
static ts_token config_token(const ts_tokenizer *t, ts_json *j) {
    ts_span s = {0}, key;
    if (ts_json_peek(j) == TS_JSON_OBJECT) {
        ts_json_object(j);
        ts_token id = -1;
        while (ts_json_key(j, &key)) {
            if (!ts_span_is(key, "content")) ts_json_skip(j);
            else if (ts_json_string(j, &s)) id = ts_tokenizer_find(t, (const char *)s.data, s.len);
        }
        return id;
    }
    if (ts_json_peek(j) != TS_JSON_STRING) {
        ts_json_skip(j);
        return -1;
    }
    return ts_json_string(j, &s) ? ts_tokenizer_find(t, (const char *)s.data, s.len) : -1;
}

static void add_end(ts_tokenizer *t, int64_t id) {
    if (id >= 0 && id < t->vocab.n) ts_tok_add_end(t, (ts_token)id);
}

static void add_template(ts_tokenizer *t, ts_json *j, ts_span name, ts_span text) {
    const ts_status s = ts_tok_add_template(t, name, text, NULL);
    if (s != TS_OK)
        ts_json_fail(j, s == TS_E_LIMIT ? "a chat template of more than 1 MiB, or one with an impossible name" : "");
}

/* {"name": "tool_use", "template": "..."} */
static void config_template(ts_tokenizer *t, ts_json *j) {
    ts_span key, s;
    ts_buf name = {0}, text = {0};
    bool ok = true;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        ts_buf *out = ts_span_is(key, "name") ? &name : ts_span_is(key, "template") ? &text : NULL;
        if (!out || ts_json_peek(j) != TS_JSON_STRING) ts_json_skip(j);
        else if (ts_json_string(j, &s)) ts_buf_clear(out), ok = ok && ts_buf_append(out, s.data, s.len);
    }
    if (!ok) ts_json_fail(j, "");
    if (!j->bad && text.len)
        add_template(t, j, (ts_span){(uint8_t *)name.data, name.len}, (ts_span){(uint8_t *)text.data, text.len});
    ts_buf_free(&name);
    ts_buf_free(&text);
}

ts_status ts_tok_apply_config(ts_tokenizer *t, const char *s, size_t len, ts_err *err) {
    ts_json j;
    ts_json_init(&j, s, len);
    ts_span key, text;
    ts_token id;
    int add_bos = -1, add_eos = -1;
    ts_json_object(&j);
    while (ts_json_key(&j, &key)) {
        ts_json_type type = ts_json_peek(&j);
        if (ts_span_is(key, "bos_token")) {
            id = config_token(t, &j);
            if (id >= 0) t->bos = id, t->bos_guessed = false;
        } else if (ts_span_is(key, "eos_token")) {
            id = config_token(t, &j);
            if (id >= 0) t->eos = id, t->eos_guessed = false;
        } else if (ts_span_is(key, "add_bos_token") && type == TS_JSON_BOOL) add_bos = ts_json_bool(&j);
        else if (ts_span_is(key, "add_eos_token") && type == TS_JSON_BOOL) add_eos = ts_json_bool(&j);
        else if (ts_span_is(key, "eos_token_id") && type == TS_JSON_NUMBER) add_end(t, ts_json_int(&j));
        else if (ts_span_is(key, "eos_token_id") && type == TS_JSON_ARRAY) {
            ts_json_array(&j);
            while (ts_json_item(&j)) add_end(t, ts_json_int(&j));
        } else if (ts_span_is(key, "chat_template") && type == TS_JSON_STRING) {
            if (ts_json_string(&j, &text)) add_template(t, &j, (ts_span){0}, text);
        } else if (ts_span_is(key, "chat_template") && type == TS_JSON_ARRAY) {
            ts_json_array(&j);
            while (ts_json_item(&j)) config_template(t, &j);
        } else if (ts_span_is(key, "pad_token")) {
            id = config_token(t, &j);
            if (id >= 0) t->pad = id;
        } else if (ts_span_is(key, "unk_token")) {
            id = config_token(t, &j);
            if (id >= 0 && t->byte_level) t->bpe.unk = id; /* SentencePiece's own stays */
        } else ts_json_skip(&j);
    }
    ts_json_end(&j);
    ts_status status = ts_json_status(&j, err);
    ts_json_fini(&j);
    if (status != TS_OK) return status;
    if (add_bos >= 0) t->add_bos = add_bos && t->bos >= 0;
    if (add_eos >= 0) t->add_eos = add_eos && t->eos >= 0;
    return TS_OK;
}
