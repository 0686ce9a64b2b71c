/* tok_added.c - tokens that stand outside of the list that a vocabulary was trained to: tokenizer.json's added_tokens,
 * tokenizer_config.json's added_tokens_decoder, added_tokens.json. */
#include "base/json_pull.h"
#include "text/tok_impl.h"

void ts_tok_adds_free(ts_tok_adds *list) {
    ts_arena_free(&list->arena);
    ts_free(list->item);
    *list = (ts_tok_adds){0};
}

bool ts_tok_adds_push(ts_tok_adds *list, const ts_tok_add *a) {
    if (!ts_grow((void **)&list->item, &list->cap, list->n + 1, sizeof *list->item)) return false;
    const char *copy = ts_arena_strndup(&list->arena, (const char *)a->content.data, a->content.len);
    if (!copy) return false;
    list->item[list->n] = *a;
    list->item[list->n++].content.data = (const uint8_t *)copy;
    return true;
}

static bool flag(ts_json *j) {
    if (ts_json_peek(j) != TS_JSON_NULL) return ts_json_bool(j);
    ts_json_skip(j);
    return false;
}

void ts_tok_read_add(ts_json *j, ts_tok_adds *list, ts_tok_add a) {
    ts_json_keys seen = {0};
    ts_span key, s;
    ts_buf content = {0};
    ts_json_object(j);
    while (ts_json_key_once(j, &key, &seen)) {
        if (ts_span_is(key, "id") && a.id < 0) a.id = ts_json_int(j);
        else if (ts_span_is(key, "content")) {
            if (ts_json_string(j, &s) && !ts_buf_append(&content, s.data, s.len)) ts_json_fail(j, "");
        } else if (ts_span_is(key, "special")) a.special = flag(j);
        else if (ts_span_is(key, "lstrip")) a.lstrip = flag(j);
        else if (ts_span_is(key, "rstrip")) a.rstrip = flag(j);
        else if (ts_span_is(key, "single_word")) a.single_word = flag(j);
        else ts_json_skip(j);
    }
    a.content = (ts_span){(const uint8_t *)content.data, content.len};
    if (!j->bad && !ts_tok_adds_push(list, &a)) ts_json_fail(j, "");
    ts_buf_free(&content);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* "<|im_end|>" is one that the file calls special. */
static void mark(ts_tok_adds *list, ts_span text) {
    for (size_t i = 0; i < list->n; i++) {
        const ts_span s = list->item[i].content;
        if (s.len == text.len && memcmp(s.data, text.data, s.len) == 0) list->item[i].special = true;
    }
}

/* "<s>", {"content": "<s>", ...} or a list of these. */
static void mark_value(ts_tok_adds *list, ts_json *j) {
    ts_span key, text;
    switch (ts_json_peek(j)) {
    case TS_JSON_STRING:
        if (ts_json_string(j, &text)) mark(list, text);
        break;
    case TS_JSON_OBJECT:
        ts_json_object(j);
        while (ts_json_key(j, &key))
            if (!ts_span_is(key, "content") || ts_json_peek(j) != TS_JSON_STRING) ts_json_skip(j);
            else if (ts_json_string(j, &text)) mark(list, text);
        break;
    case TS_JSON_ARRAY:
        ts_json_array(j);
        while (ts_json_item(j)) mark_value(list, j); /* the depth is the reader's to limit */
        break;
    default:
        ts_json_skip(j);
    }
}

static void mark_special(ts_tok_adds *list, ts_json *j) {
    ts_span key;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        const bool one = key.len > 6 && memcmp(key.data + key.len - 6, "_token", 6) == 0;
        if (one || ts_span_is(key, "additional_special_tokens")) mark_value(list, j);
        else ts_json_skip(j);
    }
}

/* {"added_tokens_decoder": {"32000": {"content": "<|im_end|>", "special": true, ...}, ...}, ...} */
static void read_decoder(ts_tok_adds *list, ts_json *j) {
    ts_span key;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        if (!ts_span_is(key, "added_tokens_decoder") || ts_json_peek(j) != TS_JSON_OBJECT) {
            ts_json_skip(j);
            continue;
        }
        ts_json_object(j);
        while (ts_json_key(j, &key)) {
            ts_tok_add a = {.from = "tokenizer_config.json"};
            for (size_t i = 0; i < key.len && a.id >= 0; i++) {
                const bool digit = key.data[i] >= '0' && key.data[i] <= '9';
                a.id = digit && a.id < TS_VOCAB_MAX ? a.id * 10 + (key.data[i] - '0') : -1;
            }
            if (key.len == 0 || a.id < 0) ts_json_fail(j, "a key of added_tokens_decoder that is no token's id");
            ts_tok_read_add(j, list, a);
        }
    }
}

/* {"<|im_end|>": 32000, ...} */
static void read_ids(ts_tok_adds *list, ts_json *j) {
    ts_tok_add a = {.from = "added_tokens.json"};
    ts_span text;
    ts_json_object(j);
    while (ts_json_key(j, &text)) {
        a.content = text; /* which lives until the next key */
        a.id = ts_json_int(j);
        if (!j->bad && !ts_tok_adds_push(list, &a)) ts_json_fail(j, "");
    }
}

ts_status ts_tok_adds_parse(ts_tok_adds *list, ts_tok_adds_form form, const char *s, size_t len, ts_err *err) {
    ts_json j;
    ts_json_init(&j, s, len);
    switch (form) {
    case TS_ADDS_DECODER: read_decoder(list, &j); break;
    case TS_ADDS_IDS: read_ids(list, &j); break;
    case TS_ADDS_NAMES: mark_special(list, &j); break;
    }
    ts_json_end(&j);
    const ts_status status = ts_json_status(&j, err);
    ts_json_fini(&j);
    return status;
}

/* ---- into the vocabulary ----------------------------------------------------------------------------------------- */

static bool framed(ts_span s, const char *begin, const char *end) {
    const size_t n = strlen(begin), m = strlen(end);
    return s.len > n + m && memcmp(s.data, begin, n) == 0 && memcmp(s.data + s.len - m, end, m) == 0;
}

bool ts_tok_looks_special(ts_span s) {
    if (framed(s, "<|", "|>") || framed(s, "<\xEF\xBD\x9C", "\xEF\xBD\x9C>") || ts_span_is(s, "<pad>")) return true;
    if (!framed(s, "<unused", ">")) return false;
    for (size_t i = 7; i < s.len - 1; i++)
        if (s.data[i] < '0' || s.data[i] > '9') return false;
    return true;
}

static bool same(ts_span a, ts_span b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* An added token may be an entry of the vocabulary too, but then of the same text. What the vocabulary itself has for
 * bytes and for what is unknown stays that. */
static ts_status put(ts_tokenizer *t, const ts_tok_add *a, ts_span unk, ts_buf *tmp, ts_err *err) {
    if (a->content.len == 0) return ts_fail(err, TS_E_FORMAT, "added token %lld has no content", (long long)a->id);
    if (a->single_word)
        return ts_fail(err, TS_E_UNSUPP,
                       "added token \"%s\" is to be matched as a single word, which Tessera does not do",
                       ts_show(a->content.data, a->content.len));
    ts_token_kind kind = a->special || ts_tok_looks_special(a->content) ? TS_TOKEN_CONTROL : TS_TOKEN_USER;
    if (!t->byte_level && same(a->content, unk)) kind = TS_TOKEN_UNKNOWN;
    const bool taken = a->id >= 0 && a->id < t->vocab.n && t->vocab.entry[a->id].flags & TS_ENTRY_SET;
    const ts_entry was = taken ? t->vocab.entry[a->id] : (ts_entry){.rank = TS_RANK_NONE};
    if (was.kind == TS_TOKEN_UNKNOWN || was.kind == TS_TOKEN_BYTE) kind = (ts_token_kind)was.kind;
    ts_buf before = {0};
    if (taken && !ts_buf_append(&before, ts_vocab_text(&t->vocab, (ts_token)a->id), was.len))
        return ts_fail_nomem(err, "a token", was.len);
    ts_status s = ts_tok_set(t, a->id, (const char *)a->content.data, a->content.len, kind, tmp, err);
    if (s == TS_OK && taken) {
        const ts_entry *e = &t->vocab.entry[a->id];
        if (e->len != was.len || memcmp(ts_vocab_text(&t->vocab, (ts_token)a->id), before.data, was.len) != 0)
            s = ts_fail(err, TS_E_FORMAT, "added token %lld is both \"%s\" and \"%s\"", (long long)a->id,
                        ts_show(before.data, was.len), ts_show(a->content.data, a->content.len));
    }
    ts_buf_free(&before);
    if (s != TS_OK) return s;
    ts_entry *e = &t->vocab.entry[a->id];
    e->flags |= (uint8_t)((was.flags & TS_ENTRY_LISTED) | (a->lstrip ? TS_ENTRY_STRIP_LEFT : 0) |
                          (a->rstrip ? TS_ENTRY_STRIP_RIGHT : 0));
    if (ts_vocab_is_plain(&t->vocab, (ts_token)a->id)) e->rank = was.rank;
    return TS_OK;
}

ts_status ts_tok_put_adds(ts_tokenizer *t, const ts_tok_adds *list, ts_span unk, ts_buf *tmp, ts_err *err) {
    for (size_t i = 0; list && i < list->n; i++) {
        const ts_status s = put(t, &list->item[i], unk, tmp, err);
        if (s != TS_OK) return list->item[i].from ? ts_err_prefix(err, s, "%s", list->item[i].from) : s;
    }
    return TS_OK;
}
