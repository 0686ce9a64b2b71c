/* tokenizer.json and the settings and added tokens beside it: whatever loads must tokenize. */
#include "text/detok.h"
#include "text/tok_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_adds(const char *s, size_t len) {
    ts_tok_adds list = {0};
    ts_err err;
    ts_tokenizer *t;
    ts_buf tmp = {0};
    for (int form = TS_ADDS_DECODER; form <= TS_ADDS_NAMES; form++)
        if (ts_tok_adds_parse(&list, (ts_tok_adds_form)form, s, len, &err) != TS_OK && strchr(err.msg, '\n')) abort();
    if (ts_tok_new(&t, &err) != TS_OK) abort();
    if (ts_tok_put_adds(t, &list, (ts_span){0}, &tmp, &err) == TS_OK && t->vocab.n && ts_tok_seal(t, &err) == TS_OK) {
        for (size_t i = 0; i < list.n; i++) {
            const ts_span text = ts_token_entry(t, (ts_token)list.item[i].id);
            if (ts_tokenizer_find(t, (const char *)text.data, text.len) < 0) abort();
        }
    }
    ts_tokenizer_free(t);
    ts_buf_free(&tmp);
    ts_tok_adds_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_tokenizer *t;
    ts_err err;
    const char *s = (const char *)data;
    read_adds(s, len);
    if (ts_tok_from_json(&t, s, len, &err) != TS_OK) {
        if (strchr(err.msg, '\n')) abort();
        return 0;
    }
    static const char text[] = "<s> hello wörld\n  the 123 日本\xFF</s><|bos|>";
    ts_tokens out = {0};
    ts_buf back = {0};
    if (ts_tok_apply_config(t, s, len, &err) != TS_OK && strchr(err.msg, '\n')) abort();
    if (ts_tok_finish(t, &err) == TS_OK) {
        if (ts_tokenize(t, text, sizeof text - 1, TS_TOKENIZE_BOS | TS_TOKENIZE_SPECIAL, &out, &err) != TS_OK) abort();
        ts_detok d = {.tok = t};
        for (size_t i = 0; i < out.n; i++) {
            if (out.id[i] < 0 || out.id[i] >= ts_tokenizer_size(t)) abort();
            if (!ts_detok_push(&d, out.id[i], &back)) abort();
        }
        if (!ts_detok_flush(&d, &back)) abort();
    }
    ts_tokens_free(&out);
    ts_buf_free(&back);
    ts_tokenizer_free(t);
    return 0;
}
