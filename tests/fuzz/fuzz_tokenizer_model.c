/* tokenizer.model of both kinds, vocabulary and merges in two files (with a NUL byte between), GGUF metadata. */
#include "format/gguf.h"
#include "text/tok_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void use(ts_tokenizer *t) {
    ts_err err;
    static const char text[] = "<s> hello wörld\n  the 123 日本\xFF</s>";
    for (unsigned flags = 0; flags < 8 && ts_tok_finish(t, &err) == TS_OK; flags++) {
        ts_tokens out = {0};
        if (ts_tokenize(t, text, sizeof text - 1, flags, &out, &err) != TS_OK) abort();
        for (size_t i = 0; i < out.n; i++)
            if (out.id[i] < 0 || out.id[i] >= ts_tokenizer_size(t)) abort();
        ts_tokens_free(&out);
        if (!t->byte_level) continue;
        ts_pretok_free(t->pretok); /* for finishing again */
        t->pretok = NULL;
    }
    ts_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_tokenizer *t;
    ts_err err;
    ts_gguf *g;
    if (ts_gguf_open_mem(&g, (ts_span){data, len}, "memory", 0, &err) == TS_OK) {
        if (ts_tokenizer_from_gguf(&t, g, NULL, &err) == TS_OK) use(t);
        else if (strchr(err.msg, '\n')) abort();
        ts_gguf_close(g);
        return 0;
    }
    if (ts_tok_from_spm(&t, data, len, NULL, &err) == TS_OK) use(t);
    else if (strchr(err.msg, '\n')) abort();
    if (ts_tok_from_tiktoken(&t, (const char *)data, len, "llama-bpe", NULL, &err) == TS_OK) use(t);
    else if (strchr(err.msg, '\n')) abort();
    const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
    if (!nul) return 0;
    size_t n = (size_t)(nul - data);
    if (ts_tok_from_pair(&t, (ts_span){data, n}, (ts_span){nul + 1, len - n - 1}, "gpt-2", NULL, &err) == TS_OK) use(t);
    else if (strchr(err.msg, '\n')) abort();
    return 0;
}
