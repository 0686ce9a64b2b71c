/* tokenizer.json and the settings beside it: whatever loads must tokenize. */
#include "text/detok.h"
#include "text/tok_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_tokenizer *t;
    ts_err err;
    const char *s = (const char *)data;
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
