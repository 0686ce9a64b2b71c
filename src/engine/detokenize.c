/* detokenize.c - tokens to text for callers. */
#include "engine/engine.h"
#include "text/detok.h"

#include <string.h>

/* A model may have more rows than its tokenizer has tokens: they can be drawn, and print nothing. */
static ts_status check(const ts_engine *e, const ts_token *tokens, size_t n, ts_err *err) {
    const uint32_t n_vocab = e->model ? e->model->c.n_vocab : (uint32_t)ts_tokenizer_size(e->tok);
    for (size_t i = 0; i < n; i++)
        TS_NEED(tokens[i] >= 0 && (uint32_t)tokens[i] < n_vocab, err,
                "token %d at position %zu is outside the vocabulary of %u", tokens[i], i, n_vocab);
    return TS_OK;
}

ts_status ts_engine_detokenize(const ts_engine *e, const ts_token *tokens, size_t n, unsigned flags, char **out,
                               size_t *len, ts_err *err) {
    TS_NEED(e && e->tok && out && len && (tokens || !n), err, "there are no tokens, or no room for their text");
    TS_TRY(check(e, tokens, n, err));
    ts_detok d = {.tok = e->tok, .special = flags & TS_DETOKENIZE_SPECIAL,
                  .keep_space = flags & TS_DETOKENIZE_NO_PREFIX};
    ts_buf text = {0};
    bool ok = ts_buf_puts(&text, "");
    for (size_t i = 0; i < n && ok; i++) ok = ts_detok_push(&d, tokens[i], &text);
    ok = ok && ts_detok_flush(&d, &text) && ts_buf_reserve(&text, 1);
    if (!ok) {
        ts_buf_free(&text);
        return ts_fail_nomem(err, "the text", n);
    }
    text.data[text.len] = 0;
    *out = text.data;
    *len = text.len;
    return TS_OK;
}

void ts_text_release(char *text) {
    ts_free(text);
}

ts_status ts_engine_token_text(const ts_engine *e, ts_token id, char *buf, size_t cap, size_t *len, ts_err *err) {
    TS_NEED(e && e->tok && len && (buf || !cap), err, "there is no engine, or no room for a token's text");
    TS_TRY(check(e, &id, 1, err));
    ts_buf text = {0};
    if (!ts_token_bytes(e->tok, id, true, &text)) return ts_fail_nomem(err, "the text", 1);
    if (text.len && cap) memcpy(buf, text.data, text.len < cap ? text.len : cap);
    *len = text.len;
    ts_buf_free(&text);
    return TS_OK;
}
