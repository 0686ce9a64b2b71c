/* tok_pair.c - a vocabulary and its merges in two files, as GPT-2 came: {"text": id, ...} and lines "left right". */
#include "base/json_pull.h"
#include "text/tok_impl.h"

static ts_status load_vocab(ts_tokenizer *t, ts_json *j, ts_buf *tmp, ts_err *err) {
    ts_span text;
    ts_json_object(j);
    while (ts_json_key(j, &text)) {
        int64_t id = ts_json_int(j);
        if (j->bad) break;
        const ts_token_kind kind = ts_tok_looks_special(text) ? TS_TOKEN_CONTROL : TS_TOKEN_NORMAL;
        TS_TRY(ts_tok_set_listed(t, id, text, kind, tmp, err));
    }
    ts_json_end(j);
    return ts_json_status(j, err);
}

/* The next line without its end; false at the end of the text. */
static bool next_line(ts_reader *r, ts_span *line) {
    if (r->pos == r->in.len) return false;
    const uint8_t *s = r->in.data + r->pos, *end = memchr(s, '\n', r->in.len - r->pos);
    size_t n = end ? (size_t)(end - s) : r->in.len - r->pos;
    r->pos += n + (end != NULL);
    if (n > 0 && s[n - 1] == '\r') n--;
    *line = (ts_span){s, n};
    return true;
}

static bool is_merge(ts_span line, size_t number) {
    return line.len > 0 && !(number == 1 && line.len >= 8 && memcmp(line.data, "#version", 8) == 0);
}

static size_t count_merges(ts_span merges) {
    ts_reader r = {.in = merges};
    ts_span line;
    size_t n = 0;
    for (size_t number = 1; next_line(&r, &line); number++) n += is_merge(line, number);
    return n;
}

static ts_status load_merges(ts_tokenizer *t, ts_span merges, ts_err *err) {
    t->bpe.by_pair = true;
    size_t n = count_merges(merges);
    if (n > TS_MERGES_MAX) return ts_fail(err, TS_E_LIMIT, "more than %d merges", TS_MERGES_MAX);
    if (!ts_bpe_reserve(&t->bpe, n)) return ts_fail_nomem(err, "the merges", n);
    ts_merge_queue q = {0};
    ts_reader r = {.in = merges};
    ts_span line;
    ts_status s = TS_OK;
    for (size_t number = 1; s == TS_OK && next_line(&r, &line); number++)
        if (is_merge(line, number)) s = ts_tok_merge_line(t, &q, line, err);
    if (s == TS_OK) s = ts_bpe_flush_merges(&t->bpe, &q, err);
    ts_buf_free(&q.text);
    return s;
}

static ts_status load(ts_tokenizer *t, ts_json *j, ts_span merges, const char *pre, const ts_tok_adds *more,
                      ts_buf *tmp, ts_err *err) {
    t->byte_level = true;
    TS_TRY(load_vocab(t, j, tmp, err));
    if (pre) {
        TS_TRY(ts_pretok_find(&t->pre, (ts_span){(const uint8_t *)pre, strlen(pre)}, err));
    } else if (!ts_tok_guess_pre(&t->pre, t->vocab.n, count_merges(merges))) {
        return ts_fail(err, TS_E_UNSUPP, "a vocabulary of %d tokens does not tell how text is split; say it with "
                       "--pre llama-bpe, qwen2, gpt-2, smollm or tekken", t->vocab.n);
    }
    const int32_t n = t->vocab.n;
    TS_TRY(ts_tok_put_adds(t, more, (ts_span){0}, tmp, err));
    TS_TRY(ts_tok_add_known(t, n, err));
    TS_TRY(ts_tok_seal(t, err));
    t->bpe.direct = ts_pretok_takes_entries(t->pre);
    TS_TRY(load_merges(t, merges, err));
    if (t->eos < 0) t->eos = ts_vocab_find_special(&t->vocab, "<|endoftext|>", 13);
    if (t->bos < 0 && t->pre == TS_PRETOK_GPT2) t->bos = t->eos;
    return TS_OK;
}

ts_status ts_tok_from_pair(ts_tokenizer **out, ts_span vocab, ts_span merges, const char *pre, const ts_tok_adds *more,
                           ts_err *err) {
    ts_tokenizer *t;
    TS_TRY(ts_tok_new(&t, err));
    ts_json j;
    ts_buf tmp = {0};
    ts_json_init(&j, (const char *)vocab.data, vocab.len);
    ts_status s = load(t, &j, merges, pre, more, &tmp, err);
    ts_json_fini(&j);
    ts_buf_free(&tmp);
    if (s == TS_OK) *out = t;
    else ts_tokenizer_free(t);
    return s;
}
