/* tok_model.c - the two formats that go by the name tokenizer.model: tiktoken's text, lines of "base64 rank", and
 * SentencePiece's protocol buffer. */
#include "text/tok_impl.h"

#include <math.h>
#include <string.h>

/* ---- tiktoken -------------------------------------------------------------------------------------------------- */

static int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decode s[0..len), whole groups of four with padding; false: not base64. */
static bool base64(ts_buf *out, const uint8_t *s, size_t len, bool *nomem) {
    if (len == 0 || len % 4) return false;
    if (!ts_buf_reserve(out, len / 4 * 3)) {
        *nomem = true;
        return false;
    }
    for (size_t i = 0; i < len; i += 4) {
        int pad = i + 4 < len ? 0 : (s[i + 3] == '=') + (s[i + 2] == '=' && s[i + 3] == '=');
        uint32_t v = 0;
        for (int k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : base64_value(s[i + k]);
            if (d < 0) return false;
            v = v << 6 | (uint32_t)d;
        }
        for (int k = 0; k < 3 - pad; k++) out->data[out->len++] = (char)(v >> (16 - 8 * k));
    }
    out->data[out->len] = 0;
    return true;
}

static ts_status tiktoken_lines(ts_tokenizer *t, const uint8_t *s, size_t len, ts_buf *tmp, ts_err *err) {
    size_t line = 0;
    for (size_t pos = 0; pos < len; pos++) {
        line++;
        size_t begin = pos, space;
        while (pos < len && s[pos] != ' ' && s[pos] != '\n') pos++;
        space = pos;
        int64_t rank = -1;
        if (pos < len && s[pos] == ' ')
            for (pos++; pos < len && s[pos] >= '0' && s[pos] <= '9' && rank < TS_VOCAB_MAX; pos++)
                rank = (rank < 0 ? 0 : rank * 10) + (s[pos] - '0');
        if (pos < len && s[pos] == '\r') pos++;
        if (space == begin && rank < 0 && (pos == len || s[pos] == '\n')) continue; /* an empty line */
        bool nomem = false;
        ts_buf_clear(tmp);
        bool ok = rank >= 0 && (pos == len || s[pos] == '\n') && base64(tmp, s + begin, space - begin, &nomem);
        if (nomem) return ts_fail_nomem(err, "the vocabulary", space - begin);
        if (!ok) return ts_fail(err, TS_E_FORMAT, "line %zu is not \"base64 rank\"", line);
        if (rank < t->vocab.n && t->vocab.entry[rank].flags & TS_ENTRY_SET)
            return ts_fail(err, TS_E_FORMAT, "line %zu: rank %lld is there twice", line, (long long)rank);
        TS_TRY(ts_vocab_set(&t->vocab, rank, tmp->data, tmp->len, TS_TOKEN_NORMAL, err));
        t->vocab.entry[rank].rank = (uint32_t)rank;
    }
    return TS_OK;
}

/* Which model's ranks these are, by their number. */
static ts_status tiktoken_pre(ts_tokenizer *t, const char *pre, ts_err *err) {
    static const struct {
        int32_t n;
        ts_pretok_kind pre;
    } known[] = {{128000, TS_PRETOK_LLAMA3}, {151643, TS_PRETOK_QWEN2}, {50256, TS_PRETOK_GPT2}};
    const int32_t n = t->vocab.n;
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known && !pre; i++)
        if (n == known[i].n) {
            t->pre = known[i].pre;
            found = true;
        }
    if (pre) return ts_pretok_find(&t->pre, (ts_span){(const uint8_t *)pre, strlen(pre)}, err);
    if (!found)
        return ts_fail(err, TS_E_UNSUPP,
                       "%d ranks do not tell how text is split; say it with --pre llama-bpe, qwen2, gpt-2, smollm or "
                       "tekken",
                       n);
    return TS_OK;
}

ts_status ts_tok_from_tiktoken(ts_tokenizer **out, const char *s, size_t len, const char *pre, const ts_tok_adds *more,
                               ts_err *err) {
    ts_tokenizer *t;
    TS_TRY(ts_tok_new(&t, err));
    t->byte_level = true;
    ts_buf tmp = {0};
    ts_status status = tiktoken_lines(t, (const uint8_t *)s, len, &tmp, err);
    const int32_t n = t->vocab.n;
    if (status == TS_OK) status = tiktoken_pre(t, pre, err);
    /* the control tokens are not in the file */
    if (status == TS_OK) status = ts_tok_put_adds(t, more, (ts_span){0}, &tmp, err);
    if (status == TS_OK) status = ts_tok_add_known(t, n, err);
    if (status == TS_OK) status = ts_tok_seal(t, err);
    t->bpe.direct = true; /* tiktoken looks a word up before it merges */
    ts_buf_free(&tmp);
    if (status == TS_OK) *out = t;
    else ts_tokenizer_free(t);
    return status;
}

/* ---- SentencePiece --------------------------------------------------------------------------------------------- */

static uint64_t varint(ts_reader *r) {
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t c = ts_read_u8(r);
        if (shift == 63 && c > 1) break;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) return v;
    }
    r->fail = true; /* longer than 64 bits */
    return 0;
}

typedef struct field { /* of a protocol buffer message */
    uint32_t number, wire;
    uint64_t value; /* wire 0; bits of a float for wire 5 */
    ts_span bytes;  /* wire 2 */
} field;

/* false at the end of the message or on a fault (then r->fail). */
static bool next_field(ts_reader *r, field *f) {
    if (r->fail || r->pos == r->in.len) return false;
    uint64_t tag = varint(r);
    *f = (field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    switch (f->wire) {
    case 0: f->value = varint(r); break;
    case 1: f->value = ts_read_u64(r); break;
    case 2: f->bytes = ts_read_bytes(r, varint(r)); break;
    case 5: f->value = ts_read_u32(r); break;
    default: r->fail = true;
    }
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX) r->fail = true;
    return !r->fail;
}

/* The settings that decide how text is read; numbers and defaults as in sentencepiece_model.proto. */
typedef struct settings {
    uint64_t model_type; /* 1 unigram, 2 BPE, 3 word, 4 char */
    uint64_t unk, bos, eos;
    bool byte_fallback, suffix;
    bool prefix, collapse, escape;
    ts_span normalizer;
    size_t charsmap; /* bytes */
} settings;

static void read_trainer(ts_span msg, settings *set, bool *fail) {
    ts_reader r = {.in = msg};
    for (field f; next_field(&r, &f);) {
        if (f.wire != 0) continue;
        switch (f.number) {
        case 3: set->model_type = f.value; break;
        case 24: set->suffix = f.value; break;
        case 35: set->byte_fallback = f.value; break;
        case 40: set->unk = f.value; break;
        case 41: set->bos = f.value; break;
        case 42: set->eos = f.value; break;
        }
    }
    *fail |= r.fail;
}

static void read_normalizer(ts_span msg, settings *set, bool *fail) {
    ts_reader r = {.in = msg};
    for (field f; next_field(&r, &f);) {
        if (f.number == 1 && f.wire == 2) set->normalizer = f.bytes;
        else if (f.number == 2 && f.wire == 2) set->charsmap = f.bytes.len;
        else if (f.number == 3 && f.wire == 0) set->prefix = f.value;
        else if (f.number == 4 && f.wire == 0) set->collapse = f.value;
        else if (f.number == 5 && f.wire == 0) set->escape = f.value;
    }
    *fail |= r.fail;
}

uint32_t ts_tok_rank_of_score(float score) {
    uint32_t bits;
    score += 0.0f; /* no negative zero */
    memcpy(&bits, &score, sizeof bits);
    /* the order of floats as that of unsigned numbers, turned round: the highest score comes first */
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

static ts_status read_piece(ts_tokenizer *t, ts_span msg, ts_buf *tmp, bool *fail, ts_err *err) {
    ts_reader r = {.in = msg};
    ts_span text = {0};
    float score = 0;
    uint64_t kind = TS_TOKEN_NORMAL;
    for (field f; next_field(&r, &f);) {
        if (f.number == 1 && f.wire == 2) text = f.bytes;
        else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == 3 && f.wire == 0) kind = f.value;
    }
    *fail |= r.fail;
    if (r.fail) return TS_OK;
    ts_token id = t->vocab.n;
    if (kind < TS_TOKEN_NORMAL || kind > TS_TOKEN_BYTE || !isfinite(score))
        return ts_fail(err, TS_E_FORMAT, "piece %d has type %llu and score %g", id, (unsigned long long)kind,
                       (double)score);
    TS_TRY(ts_tok_set(t, id, (const char *)text.data, text.len, (ts_token_kind)kind, tmp, err));
    if (ts_vocab_is_plain(&t->vocab, id)) t->vocab.entry[id].rank = ts_tok_rank_of_score(score);
    return TS_OK;
}

static ts_status check_settings(const settings *set, ts_err *err) {
    static const char *const types[] = {"?", "unigram", "BPE", "word", "char"};
    if (set->model_type != 2)
        return ts_fail(err, TS_E_UNSUPP, "a SentencePiece model of type %s; only BPE is supported",
                       types[set->model_type < 5 ? set->model_type : 0]);
    if (set->charsmap > 0)
        return ts_fail(err, TS_E_UNSUPP, "SentencePiece normalisation \"%s\" is not supported, only identity",
                       ts_show(set->normalizer.data, set->normalizer.len));
    if (set->suffix) return ts_fail(err, TS_E_UNSUPP, "treat_whitespace_as_suffix is not supported");
    if (!set->escape) return ts_fail(err, TS_E_UNSUPP, "escape_whitespaces = false is not supported");
    return TS_OK;
}

static ts_status load_spm(ts_tokenizer *t, ts_span file, const ts_tok_adds *more, ts_buf *tmp, ts_err *err) {
    settings set = {.model_type = 1, .bos = 1, .eos = 2, .prefix = true, .collapse = true, .escape = true};
    ts_reader r = {.in = file};
    bool fail = false;
    size_t at = 0;
    for (field f; next_field(&r, &f); at = r.pos) {
        if (f.wire == 2 && f.number == 1) TS_TRY(read_piece(t, f.bytes, tmp, &fail, err));
        else if (f.wire == 2 && f.number == 2) read_trainer(f.bytes, &set, &fail);
        else if (f.wire == 2 && f.number == 3) read_normalizer(f.bytes, &set, &fail);
        if (fail) break;
    }
    if (fail || r.fail) return ts_fail(err, TS_E_FORMAT, "the message at offset %zu is damaged or cut off", at);
    TS_TRY(check_settings(&set, err));
    TS_TRY(ts_tok_put_adds(t, more, (ts_span){0}, tmp, err));
    TS_TRY(ts_tok_seal(t, err));
    if (!set.byte_fallback)
        for (int i = 0; i < 256; i++) t->bpe.byte_id[i] = -1;
    /* -1, none, is written as a 64-bit number */
    t->bos = set.bos < (uint64_t)t->vocab.n ? (ts_token)set.bos : -1;
    t->eos = set.eos < (uint64_t)t->vocab.n ? (ts_token)set.eos : -1;
    t->add_bos = t->bos >= 0; /* SentencePiece leaves that to its callers; the Llama family does */
    if (set.unk < (uint64_t)t->vocab.n) t->bpe.unk = (ts_token)set.unk;
    t->spm.prefix = set.prefix ? TS_PREFIX_ALWAYS : TS_PREFIX_NONE;
    t->spm.collapse = set.collapse;
    return TS_OK;
}

ts_status ts_tok_from_spm(ts_tokenizer **out, const void *data, size_t len, const ts_tok_adds *more, ts_err *err) {
    ts_tokenizer *t;
    TS_TRY(ts_tok_new(&t, err));
    ts_buf tmp = {0};
    ts_status s = load_spm(t, (ts_span){data, len}, more, &tmp, err);
    ts_buf_free(&tmp);
    if (s == TS_OK) *out = t;
    else ts_tokenizer_free(t);
    return s;
}
