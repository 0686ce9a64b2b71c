#include "base/json_pull.h"
#include "text/tok_impl.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

ts_status ts_tok_new(ts_tokenizer **out, ts_err *err) {
    ts_tokenizer *t = ts_calloc(1, sizeof *t);
    if (!t) return ts_fail_nomem(err, "a tokenizer", sizeof *t);
    t->bos = t->eos = t->pad = t->sep = t->cls = -1;
    *out = t;
    return TS_OK;
}

void ts_tokenizer_free(ts_tokenizer *t) {
    if (!t) return;
    ts_bpe_free(&t->bpe);
    ts_vocab_free(&t->vocab);
    ts_pretok_free(t->pretok);
    ts_matcher_free(&t->user);
    ts_matcher_free(&t->control);
    for (size_t i = 0; i < t->n_templates; i++) {
        ts_free(t->template[i].name);
        ts_free(t->template[i].text);
    }
    ts_free(t->template);
    ts_free(t);
}

/* ---- what the loaders share -------------------------------------------------------------------------------------- */

/* "<0x0A>" to 10; -1: not of this form. */
static int byte_of_entry(const char *s, size_t len) {
    if (len != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int v = 0;
    for (int i = 3; i < 5; i++) {
        char c = s[i];
        if (c >= '0' && c <= '9') v = v * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F') v = v * 16 + (c - 'A' + 10);
        else if (c >= 'a' && c <= 'f') v = v * 16 + (c - 'a' + 10);
        else return -1;
    }
    return v;
}

ts_status ts_tok_seal(ts_tokenizer *t, ts_err *err) {
    ts_vocab *v = &t->vocab;
    TS_TRY(ts_vocab_seal(v, err));
    TS_TRY(ts_bpe_init(&t->bpe, v, err));
    t->bpe.by_char = !t->byte_level;
    for (int i = 0; t->byte_level && i < 256; i++) {
        char c = (char)i;
        ts_token id = ts_vocab_find(v, &c, 1);
        if (id < 0 || !ts_vocab_is_plain(v, id))
            return ts_fail(err, TS_E_FORMAT, "the vocabulary has no token for the byte 0x%02X", i);
        t->bpe.byte_id[i] = id;
    }
    for (ts_token id = 0; id < v->n && !t->byte_level; id++) {
        if (v->entry[id].kind == TS_TOKEN_UNKNOWN && t->bpe.unk < 0) t->bpe.unk = id;
        if (v->entry[id].kind != TS_TOKEN_BYTE) continue;
        int byte = byte_of_entry(ts_vocab_text(v, id), v->entry[id].len);
        if (byte < 0)
            return ts_fail(err, TS_E_FORMAT, "token %d is marked as a byte, but its text is \"%s\"", id,
                           ts_show(ts_vocab_text(v, id), v->entry[id].len));
        t->bpe.byte_id[byte] = id;
    }
    return TS_OK;
}

void ts_tok_add_end(ts_tokenizer *t, ts_token id) {
    for (int i = 0; i < t->n_ends; i++)
        if (t->end[i] == id) return;
    if (id >= 0 && id < t->vocab.n && t->n_ends < TS_TOK_ENDS) t->end[t->n_ends++] = id;
}

ts_status ts_tok_add_template(ts_tokenizer *t, ts_span name, ts_span text, ts_err *err) {
    static const ts_span fallback = {(const uint8_t *)"default", 7};
    if (name.len == 0) name = fallback;
    if (text.len > TS_TOK_TEMPLATE_MAX)
        return ts_fail(err, TS_E_LIMIT, "a chat template of %zu bytes; at most %d", text.len, (int)TS_TOK_TEMPLATE_MAX);
    if (name.len > TS_TOK_TEMPLATE_NAME || memchr(name.data, 0, name.len))
        return ts_fail(err, TS_E_LIMIT, "the name of a chat template has %zu bytes; at most %d, and no NUL", name.len,
                       (int)TS_TOK_TEMPLATE_NAME);
    ts_tok_template new = {.name = ts_strndup((const char *)name.data, name.len),
                           .text = ts_strndup((const char *)text.data, text.len),
                           .len = text.len};
    size_t at = 0;
    while (at < t->n_templates && !ts_span_is(name, t->template[at].name)) at++;
    if (!new.name || !new.text || !ts_grow((void **)&t->template, &t->template_cap, at + 1, sizeof *t->template)) {
        ts_free(new.name);
        ts_free(new.text);
        return ts_fail_nomem(err, "a chat template", text.len);
    }
    if (at == t->n_templates) t->n_templates++;
    else {
        ts_free(t->template[at].name);
        ts_free(t->template[at].text);
    }
    t->template[at] = new;
    if (ts_span_is(name, "default")) { /* to the front */
        for (; at > 0; at--) t->template[at] = t->template[at - 1];
        t->template[0] = new;
    }
    return TS_OK;
}

/* A token that ends an answer is never what plain text becomes, whatever the file calls it. Bytes stay: text could
 * not be written without them. Control tokens between turns, which some conversions list as user-defined, are
 * treated alike. */
static bool shut_out(ts_tokenizer *t, ts_token id) {
    ts_vocab *v = &t->vocab;
    if (id < 0 || !ts_vocab_is_plain(v, id) || v->entry[id].len < 2 || !(v->entry[id].flags & TS_ENTRY_SET))
        return false;
    ts_vocab_make_control(v, id);
    return true;
}

/* The token of a name by which models end turns; -1 where the vocabulary has the name as ordinary text, made by its
 * merges ("</s>" is HTML too, and an entry of Qwen 2's). */
static ts_token find_mark(const ts_tokenizer *t, const char *name) {
    ts_token id = ts_tokenizer_find(t, name, strlen(name));
    if (id < 0 || !ts_vocab_is_plain(&t->vocab, id) || t->vocab.entry[id].kind == TS_TOKEN_USER) return id;
    for (size_t i = 0; i < t->bpe.n_pairs; i++)
        if (t->bpe.pair[i].joint == id) return -1;
    return id;
}

static ts_status find_ends(ts_tokenizer *t, ts_err *err) {
    /* Conversions seldom list all the tokens that end an answer, so their names count too. */
    static const char *const ends[] = {
        "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
        "<|end_of_turn|>", "<|eos|>", "</s>", "<eos>", "<EOT>", "<｜end▁of▁sentence｜>", "<|eot|>", "<|eom|>",
    };
    static const char *const marks[] = {
        "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<|begin_of_text|>",
        "[INST]", "[/INST]", "<|system|>", "<|user|>", "<|assistant|>",
    };
    ts_tok_add_end(t, t->eos);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) ts_tok_add_end(t, find_mark(t, ends[i]));
    bool changed = shut_out(t, t->bos);
    for (int i = 0; i < t->n_ends; i++) changed |= shut_out(t, t->end[i]);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) changed |= shut_out(t, find_mark(t, marks[i]));
    if (!changed) return TS_OK;
    for (size_t i = 0; i < t->bpe.n_pairs; i++)
        if (t->bpe.pair[i].joint >= 0 && !ts_vocab_is_plain(&t->vocab, t->bpe.pair[i].joint)) t->bpe.pair[i].joint = -1;
    return ts_vocab_sort_special(&t->vocab, err);
}

/* Make the matchers of the tokens that are found as wholes. */
static ts_status index_special(ts_tokenizer *t, ts_err *err) {
    const ts_vocab *v = &t->vocab;
    size_t n = (size_t)v->n_special, n_user = 0, n_control = 0;
    ts_token *id = ts_alloc(n, sizeof *id); /* user-defined ones from the front, the others from the back */
    if (!id) return ts_fail_nomem(err, "the special tokens", n * sizeof *id);
    for (size_t i = 0; i < n; i++)
        if (v->entry[v->special[i]].kind == TS_TOKEN_USER) id[n_user++] = v->special[i];
        else id[n - ++n_control] = v->special[i];
    ts_matcher_free(&t->user);
    ts_matcher_free(&t->control);
    ts_status s = ts_matcher_init(&t->user, v, id, n_user, err);
    if (s == TS_OK) s = ts_matcher_init(&t->control, v, id + n_user, n_control, err);
    ts_free(id);
    return s;
}

ts_status ts_tok_finish(ts_tokenizer *t, ts_err *err) {
    const ts_vocab *v = &t->vocab;
    if (t->bos < -1 || t->bos >= v->n || t->eos < -1 || t->eos >= v->n)
        return ts_fail(err, TS_E_FORMAT, "the begin or end token (%d, %d) is outside the vocabulary of %d", t->bos,
                       t->eos, v->n);
    if ((t->add_bos && t->bos < 0) || (t->add_eos && t->eos < 0))
        return ts_fail(err, TS_E_FORMAT, "a %s token is to be added, but none is named", t->add_bos ? "begin" : "end");
    TS_TRY(find_ends(t, err));
    TS_TRY(index_special(t, err));
    ts_pretok_free(t->pretok);
    t->pretok = NULL;
    if (t->byte_level) return ts_pretok_new(&t->pretok, t->pre, err);
    ts_spm_init(&t->spm, v);
    return TS_OK;
}

ts_status ts_tokenizer_fit(ts_tokenizer *t, uint32_t rows, bool *dropped, ts_err *err) {
    const ts_token n = t->vocab.n, last = n - 1;
    *dropped = false;
    if ((uint32_t)n <= rows) return TS_OK;
    bool spare = (uint32_t)last == rows && last > 0 && t->vocab.entry[last].kind == TS_TOKEN_CONTROL &&
                 last != t->bos && !ts_tokenizer_is_end(t, last);
    for (size_t i = 0; i < t->bpe.n_pairs; i++) spare &= t->bpe.pair[i].left != last && t->bpe.pair[i].right != last;
    if (!spare)
        return ts_fail(err, TS_E_FORMAT, "the vocabulary has %d tokens, but token_embd.weight only %u rows", n, rows);
    ts_token *const names[] = {&t->pad, &t->sep, &t->cls, &t->bpe.unk};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i] == last) *names[i] = -1;
    *dropped = true;
    TS_TRY(ts_vocab_drop_last(&t->vocab, err));
    return ts_tok_finish(t, err);
}

bool ts_tok_unescape_bytes(ts_buf *out, const char *s, size_t len, bool *nomem) {
    size_t start = out->len;
    if (!ts_buf_reserve(out, len)) {
        *nomem = true;
        return false;
    }
    for (size_t i = 0; i < len;) {
        if (s[i] > ' ' && s[i] < 0x7F) {
            out->data[out->len++] = s[i++];
            continue;
        }
        uint32_t c = 0;
        int n = ts_utf8_decode(s + i, len - i, &c);
        /* The visible Latin-1 characters stand for themselves; the other bytes, in order, for U+0100 upwards. */
        if (c >= 0x100 && c <= 0x120) c -= 0x100;
        else if (c >= 0x121 && c <= 0x142) c = c - 0x121 + 0x7F;
        else if (c == 0x143) c = 0xAD;
        else if (c < 0xA1 || c == 0xAD || c > 0xFF) n = 0;
        if (n == 0) {
            out->len = start;
            out->data[start] = 0;
            return false;
        }
        out->data[out->len++] = (char)c;
        i += (size_t)n;
    }
    out->data[out->len] = 0;
    return true;
}

static ts_status unescape(const ts_tokenizer *t, ts_buf *tmp, const char *s, size_t len, bool *ok, ts_err *err) {
    bool nomem = false;
    *ok = true;
    if (t->byte_level) *ok = ts_tok_unescape_bytes(tmp, s, len, &nomem);
    else nomem = !ts_spm_unescape(tmp, s, len);
    return nomem ? ts_fail_nomem(err, "a token", len) : TS_OK;
}

ts_status ts_tok_set(ts_tokenizer *t, int64_t id, const char *s, size_t len, ts_token_kind kind, ts_buf *tmp,
                     ts_err *err) {
    bool plain = kind == TS_TOKEN_NORMAL || kind == TS_TOKEN_UNUSED;
    bool ok = false;
    ts_buf_clear(tmp);
    if (len <= TS_VOCAB_ENTRY_MAX && (plain || (kind == TS_TOKEN_USER && !t->byte_level)))
        TS_TRY(unescape(t, tmp, s, len, &ok, err));
    /* An ordinary entry that stands for no bytes, say a filler with a space in it, can not come from text: keep it as
     * it is written, out of the reach of merges. */
    if (plain && !ok) kind = TS_TOKEN_CONTROL;
    return ts_vocab_set(&t->vocab, id, ok ? tmp->data : s, ok ? tmp->len : len, kind, err);
}

ts_status ts_tok_set_listed(ts_tokenizer *t, int64_t id, ts_span text, ts_token_kind kind, ts_buf *tmp, ts_err *err) {
    if (id >= 0 && id < t->vocab.n && t->vocab.entry[id].flags & TS_ENTRY_SET)
        return ts_fail(err, TS_E_FORMAT, "the vocabulary has token %lld twice: \"%s\" and \"%s\"", (long long)id,
                       ts_show(ts_vocab_text(&t->vocab, (ts_token)id), t->vocab.entry[id].len),
                       ts_show(text.data, text.len));
    TS_TRY(ts_tok_set(t, id, (const char *)text.data, text.len, kind, tmp, err));
    ts_entry *e = &t->vocab.entry[id];
    /* Other texts may be one when their escapes are undone: a space as it is, and as it is to be written. */
    const bool odd = e->kind != kind || (!t->byte_level && memchr(text.data, ' ', text.len));
    if (!odd) e->flags |= TS_ENTRY_LISTED;
    return TS_OK;
}

ts_status ts_tok_merge(ts_tokenizer *t, ts_merge_queue *q, ts_span left, ts_span right, ts_err *err) {
    bool ok_left, ok_right;
    size_t begin = q->text.len;
    TS_TRY(unescape(t, &q->text, (const char *)left.data, left.len, &ok_left, err));
    size_t left_len = q->text.len - begin;
    TS_TRY(unescape(t, &q->text, (const char *)right.data, right.len, &ok_right, err));
    if (!ok_left || !ok_right)
        return ts_fail(err, TS_E_FORMAT, "merge %zu (\"%s\" and \"%s\") is not in byte-level form",
                       t->bpe.n_pairs + (size_t)q->n, ts_show(left.data, left.len), ts_show(right.data, right.len));
    return ts_bpe_queue_merge(&t->bpe, q, begin, left_len, err);
}

ts_status ts_tok_merge_line(ts_tokenizer *t, ts_merge_queue *q, ts_span line, ts_err *err) {
    const uint8_t *space = line.len > 1 ? memchr(line.data + 1, ' ', line.len - 1) : NULL;
    if (!space)
        return ts_fail(err, TS_E_FORMAT, "merge %zu (\"%s\") is not two parts with a space between",
                       t->bpe.n_pairs + (size_t)q->n, ts_show(line.data, line.len));
    size_t n = (size_t)(space - line.data);
    return ts_tok_merge(t, q, (ts_span){line.data, n}, (ts_span){space + 1, line.len - n - 1}, err);
}

bool ts_tok_guess_pre(ts_pretok_kind *out, int32_t n_tokens, size_t n_merges) {
    if (n_merges == 50000 && n_tokens >= 50257 && n_tokens < 50400) *out = TS_PRETOK_GPT2;
    else if (n_merges == 280147 && (n_tokens == 128000 || n_tokens == 128256)) *out = TS_PRETOK_LLAMA3;
    else if ((n_merges == 151387 || n_merges == 151291) && n_tokens >= 151643 && n_tokens <= 152064)
        *out = TS_PRETOK_QWEN2;
    else return false;
    return true;
}

static ts_status add_known(ts_tokenizer *t, int32_t id, const char *name, ts_err *err) {
    if (id < t->vocab.n && t->vocab.entry[id].flags & TS_ENTRY_SET) return TS_OK;
    return ts_vocab_set(&t->vocab, id, name, strlen(name), TS_TOKEN_CONTROL, err);
}

static ts_status add_llama3(ts_tokenizer *t, ts_err *err) {
    static const struct {
        int at;
        const char *name;
    } named[] = {{0, "<|begin_of_text|>"},  {1, "<|end_of_text|>"}, {4, "<|finetune_right_pad_id|>"},
                 {6, "<|start_header_id|>"}, {7, "<|end_header_id|>"}, {8, "<|eom_id|>"},
                 {9, "<|eot_id|>"},          {10, "<|python_tag|>"}};
    char reserved[48];
    size_t next = 0;
    for (int i = 0, n = 0; i < 256; i++) {
        const bool is_named = next < sizeof named / sizeof *named && named[next].at == i;
        if (!is_named) snprintf(reserved, sizeof reserved, "<|reserved_special_token_%d|>", n++);
        TS_TRY(add_known(t, 128000 + i, is_named ? named[next++].name : reserved, err));
    }
    t->bos = 128000;
    t->eos = 128001;
    t->add_bos = true;
    return TS_OK;
}

ts_status ts_tok_add_known(ts_tokenizer *t, int32_t n, ts_err *err) {
    static const char *const names[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    if (t->pre == TS_PRETOK_LLAMA3 && n == 128000) return add_llama3(t, err);
    const int n_names = t->pre == TS_PRETOK_QWEN2 && n == 151643 ? 3 : t->pre == TS_PRETOK_GPT2 && n == 50256 ? 1 : 0;
    for (int i = 0; i < n_names; i++) TS_TRY(add_known(t, n + i, names[i], err));
    if (n_names) t->eos = n;
    return TS_OK;
}

/* ---- text to tokens ---------------------------------------------------------------------------------------------- */

struct place { /* where a special token stands in the text */
    size_t pos;
    ts_token id;
};

struct work { /* of one call */
    ts_bpe_scratch scratch;
    ts_buf norm;
    struct place *place; /* from the end of the text to its beginning */
    size_t n_places, place_cap;
};

static ts_status encode_words(const ts_tokenizer *t, const char *s, size_t len, struct work *w, ts_tokens *out,
                              ts_err *err) {
    ts_split it;
    ts_split_init(&it, t->pretok, s, len);
    ts_status status = TS_OK;
    for (size_t begin; status == TS_OK;) {
        status = ts_split_next(&it, &begin, err);
        if (status != TS_OK || it.pos == begin) break;
        status = ts_bpe_word(&t->bpe, s + begin, it.pos - begin, &w->scratch, out, err);
    }
    ts_split_fini(&it);
    return status;
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct input {
    const char *s;
    size_t len;
    bool control; /* control tokens are recognised, but not within: */
    const ts_text_range *data;
    size_t n_data;
};

/* All places where a special token stands, the longest of each place: they may overlap. */
static ts_status find_special(const ts_tokenizer *t, const struct input *in, struct work *w, ts_err *err) {
    const ts_matcher *mu = &t->user, *mc = &t->control;
    if (mu->n == 0 && (!in->control || mc->n == 0)) return TS_OK;
    uint32_t user = 0, control = 0;
    size_t n_data = in->n_data; /* those that begin at or before i */
    for (size_t i = in->len; i-- > 0;) {
        uint8_t c = (uint8_t)in->s[i];
        while (n_data > 0 && in->data[n_data - 1].begin > i) n_data--;
        bool data = n_data > 0 && i < in->data[n_data - 1].end;
        user = ts_matcher_step(mu, user, c);
        control = in->control && !data ? ts_matcher_step(mc, control, c) : 0;
        ts_token a = user ? mu->token[user] : -1, b = control ? mc->token[control] : -1;
        if (a < 0 && b < 0) continue;
        if (!ts_grow((void **)&w->place, &w->place_cap, w->n_places + 1, sizeof *w->place))
            return ts_fail_nomem(err, "special tokens", w->n_places * sizeof *w->place);
        size_t a_len = a < 0 ? 0 : t->vocab.entry[a].len, b_len = b < 0 ? 0 : t->vocab.entry[b].len;
        bool first = a_len != b_len ? a_len > b_len : a < b; /* of equal ones the lowest id */
        w->place[w->n_places++] = (struct place){i, first ? a : b};
    }
    return TS_OK;
}

static ts_status encode(const ts_tokenizer *t, const struct input *in, unsigned flags, struct work *w, ts_tokens *out,
                        ts_err *err) {
    const ts_vocab *v = &t->vocab;
    const char *s = in->s;
    bool prefix = t->spm.prefix != TS_PREFIX_NONE && !(flags & TS_TOKENIZE_NO_PREFIX);
    TS_TRY(find_special(t, in, w, err));
    for (size_t pos = 0; pos < in->len;) {
        while (w->n_places > 0 && w->place[w->n_places - 1].pos < pos) w->n_places--;
        ts_token id = w->n_places > 0 ? w->place[w->n_places - 1].id : -1;
        size_t begin = pos;
        pos = id >= 0 ? w->place[w->n_places - 1].pos : in->len;
        size_t end = pos;
        if (id >= 0 && v->entry[id].flags & TS_ENTRY_STRIP_LEFT)
            while (end > begin && is_blank(s[end - 1])) end--;
        if (end > begin && t->byte_level) {
            TS_TRY(encode_words(t, s + begin, end - begin, w, out, err));
        } else if (end > begin) {
            TS_TRY(ts_spm_encode(&t->spm, &t->bpe, s + begin, end - begin, prefix, &w->norm, &w->scratch, out, err));
        }
        if (id < 0) break;
        if (!ts_tokens_push(out, id)) return ts_fail_nomem(err, "tokens", out->n * sizeof id);
        pos += v->entry[id].len;
        if (v->entry[id].flags & TS_ENTRY_STRIP_RIGHT)
            while (pos < in->len && is_blank(s[pos])) pos++;
        prefix = t->spm.prefix == TS_PREFIX_ALWAYS;
    }
    return TS_OK;
}

static ts_status tokenize(const ts_tokenizer *t, const struct input *in, unsigned flags, ts_tokens *out, ts_err *err) {
    size_t n = out->n;
    struct work w = {0};
    ts_status s = TS_OK;
    if (flags & TS_TOKENIZE_BOS && t->add_bos && !ts_tokens_push(out, t->bos)) s = ts_fail_nomem(err, "tokens", 0);
    if (s == TS_OK) s = encode(t, in, flags, &w, out, err);
    if (s == TS_OK && flags & TS_TOKENIZE_EOS && t->add_eos && !ts_tokens_push(out, t->eos))
        s = ts_fail_nomem(err, "tokens", 0);
    if (s != TS_OK) out->n = n;
    ts_bpe_scratch_free(&w.scratch);
    ts_buf_free(&w.norm);
    ts_free(w.place);
    return s;
}

ts_status ts_tokenize(const ts_tokenizer *t, const char *text, size_t len, unsigned flags, ts_tokens *out,
                      ts_err *err) {
    const struct input in = {.s = text, .len = len, .control = flags & TS_TOKENIZE_SPECIAL};
    return tokenize(t, &in, flags, out, err);
}

ts_status ts_tokenize_marked(const ts_tokenizer *t, const char *text, size_t len, const ts_text_range *data,
                             size_t n_data, unsigned flags, ts_tokens *out, ts_err *err) {
    const struct input in = {.s = text, .len = len, .control = true, .data = data, .n_data = n_data};
    return tokenize(t, &in, flags, out, err);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

int32_t ts_tokenizer_size(const ts_tokenizer *t) {
    return t->vocab.n;
}

ts_token ts_tokenizer_bos(const ts_tokenizer *t) {
    return t->bos;
}

ts_token ts_tokenizer_eos(const ts_tokenizer *t) {
    return t->eos;
}

bool ts_tokenizer_adds_bos(const ts_tokenizer *t) {
    return t->add_bos;
}

bool ts_tokenizer_adds_prefix(const ts_tokenizer *t) {
    return !t->byte_level && t->spm.prefix != TS_PREFIX_NONE;
}

bool ts_tokenizer_is_end(const ts_tokenizer *t, ts_token id) {
    for (int i = 0; i < t->n_ends; i++)
        if (t->end[i] == id) return true;
    return false;
}

size_t ts_tokenizer_n_ends(const ts_tokenizer *t) {
    return (size_t)t->n_ends;
}

ts_token ts_tokenizer_end(const ts_tokenizer *t, size_t i) {
    return t->end[i];
}

ts_token_kind ts_token_kind_of(const ts_tokenizer *t, ts_token id) {
    return id >= 0 && id < t->vocab.n ? (ts_token_kind)t->vocab.entry[id].kind : TS_TOKEN_UNUSED;
}

ts_token ts_tokenizer_find(const ts_tokenizer *t, const char *text, size_t len) {
    ts_token id = ts_vocab_find_special(&t->vocab, text, len);
    return id >= 0 ? id : ts_vocab_find(&t->vocab, text, len);
}

ts_span ts_token_entry(const ts_tokenizer *t, ts_token id) {
    if (id < 0 || id >= t->vocab.n) return (ts_span){0};
    return (ts_span){(const uint8_t *)ts_vocab_text(&t->vocab, id), t->vocab.entry[id].len};
}

const char *ts_tokenizer_model_name(const ts_tokenizer *t) {
    return t->byte_level ? ts_pretok_name(t->pre) : "spm";
}

ts_token ts_tokenizer_named(const ts_tokenizer *t, const char *name) {
    const struct {
        const char *name;
        ts_token id;
    } named[] = {{"bos_token", t->bos}, {"eos_token", t->eos}, {"unk_token", t->bpe.unk},
                 {"pad_token", t->pad}, {"sep_token", t->sep}, {"cls_token", t->cls}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(name, named[i].name) == 0) return named[i].id;
    return -1;
}

size_t ts_tokenizer_n_templates(const ts_tokenizer *t) {
    return t->n_templates;
}

ts_span ts_tokenizer_template(const ts_tokenizer *t, size_t i, const char **name) {
    *name = t->template[i].name;
    return (ts_span){(const uint8_t *)t->template[i].text, t->template[i].len};
}

bool ts_token_bytes(const ts_tokenizer *t, ts_token id, bool special, ts_buf *out) {
    if (id < 0 || id >= t->vocab.n) return true;
    const ts_entry *e = &t->vocab.entry[id];
    const char *s = ts_vocab_text(&t->vocab, id);
    switch ((ts_token_kind)e->kind) {
    case TS_TOKEN_BYTE: return ts_buf_putc(out, (char)byte_of_entry(s, e->len));
    case TS_TOKEN_CONTROL:
    case TS_TOKEN_UNKNOWN: return !special || ts_buf_append(out, s, e->len);
    case TS_TOKEN_NORMAL:
    case TS_TOKEN_USER:
    case TS_TOKEN_UNUSED: break;
    }
    return ts_buf_append(out, s, e->len);
}
