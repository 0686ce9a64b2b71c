/* Any bytes through small tokenizers of all kinds. The first byte: which one, and the flags. What must hold: byte-level
 * tokens give the bytes back, the hand-written split is PCRE2's, and SentencePiece's cuts change nothing. */
#include "support/tiny_tokenizer.h"
#include "text/detok.h"
#include "text/tok_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { KINDS = 4 + TS_PRETOK_KINDS };
static ts_tokenizer *tok[KINDS];

static void must(bool ok) {
    if (!ok) abort();
}

static void make_all(void) {
    ts_buf json = {0}, model = {0}, vocab = {0}, merges = {0}, ranks = {0};
    ts_span v, m;
    must(tiny_json(&json, true, false) && tiny_spm(&model, true, true, false) && tiny_vocab_json(&vocab) &&
         tiny_merges_text(&merges) && tiny_tiktoken(&ranks));
    must(ts_tok_from_json(&tok[0], json.data, json.len, NULL) == TS_OK);
    must(ts_tok_from_spm(&tok[1], model.data, model.len, NULL, NULL) == TS_OK);
    ts_buf_clear(&model);
    must(tiny_spm(&model, false, false, true) && ts_tok_from_spm(&tok[2], model.data, model.len, NULL, NULL) == TS_OK);
    ts_buf_clear(&json);
    must(tiny_spm_json(&json, "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"split\":true}", "null") &&
         ts_tok_from_json(&tok[3], json.data, json.len, NULL) == TS_OK);
    v = (ts_span){(uint8_t *)vocab.data, vocab.len};
    m = (ts_span){(uint8_t *)merges.data, merges.len};
    for (int k = 0; k < TS_PRETOK_KINDS; k++) {
        const char *name = ts_pretok_name((ts_pretok_kind)k);
        must((k % 2 ? ts_tok_from_pair(&tok[4 + k], v, m, name, NULL, NULL)
                    : ts_tok_from_tiktoken(&tok[4 + k], ranks.data, ranks.len, name, NULL, NULL)) == TS_OK);
    }
    for (int k = 0; k < KINDS; k++) must(ts_tok_finish(tok[k], NULL) == TS_OK);
    ts_buf_free(&json), ts_buf_free(&model), ts_buf_free(&vocab), ts_buf_free(&merges), ts_buf_free(&ranks);
}

static void check_split(const ts_pretok *p, const char *s, size_t len) {
    ts_split a, b;
    ts_split_init(&a, p, s, len);
    ts_split_init(&b, p, s, len);
    b.slow = true;
    for (size_t at_a, at_b; a.pos < len;) {
        must(ts_split_next(&a, &at_a, NULL) == TS_OK && ts_split_next(&b, &at_b, NULL) == TS_OK);
        must(a.pos == b.pos && a.pos > at_a && a.pos <= len);
    }
    ts_split_fini(&a);
    ts_split_fini(&b);
}

/* Every other byte that is a capital begins or ends data. All of it data: plain text; none: the template's own. */
static void check_origins(const ts_tokenizer *t, const char *s, size_t len) {
    ts_text_range range[64], all = {0, len};
    size_t n = 0;
    bool in = false;
    for (size_t i = 0; i < len && n < 64; i++) {
        if (s[i] < 'A' || s[i] > 'Z') continue;
        if (!in) range[n].begin = i, in = true;
        else if (i > range[n].begin) range[n++].end = i, in = false;
    }
    ts_tokens a = {0}, b = {0};
    must(ts_tokenize_marked(t, s, len, range, n, 0, &a, NULL) == TS_OK);
    for (size_t i = 0; i < a.n; i++) must(a.id[i] >= 0 && a.id[i] < ts_tokenizer_size(t));
    for (int whole = 0; whole < 2; whole++) {
        a.n = b.n = 0;
        must(ts_tokenize_marked(t, s, len, &all, whole && len ? 1 : 0, 0, &a, NULL) == TS_OK);
        must(ts_tokenize(t, s, len, whole ? 0 : TS_TOKENIZE_SPECIAL, &b, NULL) == TS_OK);
        must(a.n == b.n && (a.n == 0 || memcmp(a.id, b.id, a.n * sizeof *a.id) == 0));
    }
    ts_tokens_free(&a);
    ts_tokens_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (!tok[0]) make_all();
    if (len == 0) return 0;
    const ts_tokenizer *t = tok[data[0] % KINDS];
    unsigned flags = data[0] / KINDS % 16;
    const char *s = (const char *)data + 1;
    len--;
    ts_tokens out = {0}, whole = {0};
    ts_buf back = {0};
    must(ts_tokenize(t, s, len, flags, &out, NULL) == TS_OK);
    ts_detok d = {.tok = t, .special = true};
    for (size_t i = 0; i < out.n; i++) {
        must(out.id[i] >= 0 && out.id[i] < ts_tokenizer_size(t));
        must(ts_detok_push(&d, out.id[i], &back));
    }
    must(ts_detok_flush(&d, &back));
    ts_buf_clear(&back);
    if (t->byte_level) {
        check_split(t->pretok, s, len);
        if (!(flags & (TS_TOKENIZE_SPECIAL | TS_TOKENIZE_BOS))) {
            for (size_t i = 0; i < out.n; i++) must(ts_token_bytes(t, out.id[i], true, &back));
            must(back.len == len && (len == 0 || memcmp(back.data, s, len) == 0));
        }
    } else if (t == tok[1] && flags == TS_TOKENIZE_NO_PREFIX && len && !memchr(s, '<', len)) {
        ts_bpe_scratch scratch = {0};
        must(ts_spm_unescape(&back, s, len) &&
             ts_bpe_word(&t->bpe, back.data, back.len, &scratch, &whole, NULL) == TS_OK);
        must(whole.n == out.n && memcmp(whole.id, out.id, out.n * sizeof *out.id) == 0);
        ts_bpe_scratch_free(&scratch);
    }
    check_origins(t, s, len);
    ts_tokens_free(&out);
    ts_tokens_free(&whole);
    ts_buf_free(&back);
    return 0;
}
