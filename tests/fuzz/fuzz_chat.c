/* From messages to tokens. The input is a Jinja template, a line "---", and lines "role content" as the conversation
 * (s, u, a: the usual roles). What must hold for every template, in C too: marks are in order, no control token
 * stands where data is, and an error is one line. */
#include "support/tiny_tokenizer.h"
#include "text/prompt.h"
#include "text/tok_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok) {
    if (!ok) abort();
}

static ts_tokenizer *tokenizer(void) {
    static ts_tokenizer *t;
    ts_buf json = {0};
    if (t) return t;
    must(tiny_json(&json, false, false) && ts_tok_from_json(&t, json.data, json.len, NULL) == TS_OK &&
         ts_tok_finish(t, NULL) == TS_OK);
    ts_buf_free(&json);
    return t;
}

static void check(const ts_tokenizer *t, const ts_jinja_out *out) {
    ts_tokens tokens = {0};
    size_t last = 0, n_data = 0, pos = 0;
    for (size_t i = 0; i < out->n_data; i++) {
        must(out->data[i].begin < out->data[i].end && out->data[i].end <= out->text.len &&
             (i == 0 || out->data[i].begin >= last));
        last = out->data[i].end;
    }
    must(ts_prompt_tokens(t, out, &tokens, NULL) == TS_OK);
    for (size_t i = 0; i < tokens.n; i++) {
        ts_span e = ts_token_entry(t, tokens.id[i]);
        if (i == 0 && tokens.id[0] == ts_tokenizer_bos(t) &&
            (out->text.len < e.len || memcmp(out->text.data, e.data, e.len) != 0))
            continue; /* the one that the tokenizer has put in front */
        /* <|pad|> swallows white space on both sides: find it, and every other token where it must be */
        while (pos + e.len <= out->text.len && memcmp(out->text.data + pos, e.data, e.len) != 0) {
            must(strchr(" \t\n\v\f\r", out->text.data[pos]) != NULL);
            pos++;
        }
        must(pos + e.len <= out->text.len);
        while (n_data < out->n_data && out->data[n_data].end <= pos) n_data++;
        if (ts_token_kind_of(t, tokens.id[i]) == TS_TOKEN_CONTROL && n_data < out->n_data)
            must(out->data[n_data].begin >= pos + e.len);
        pos += e.len;
    }
    ts_tokens_free(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    const ts_tokenizer *t = tokenizer();
    ts_err err;
    char *text = ts_strndup((const char *)data, len);
    must(text != NULL);
    char *talk = strstr(text, "\n---\n");
    if (talk) *talk = 0, talk += 5;
    else talk = text + strlen(text);
    static const char *const roles[] = {"system", "user", "assistant"};
    ts_message msg[16];
    size_t n = 0;
    for (char *line = strtok(talk, "\n"); line && n < 16; line = strtok(NULL, "\n")) {
        int k = *line == 's' ? 0 : *line == 'u' ? 1 : *line == 'a' ? 2 : -1;
        msg[n++] = (ts_message){k < 0 ? line : roles[k], line + 1};
    }
    for (int answer = 0; answer < 2; answer++) {
        json_t *context = ts_prompt_context(msg, n, answer);
        must(context != NULL);
        for (int i = 0; i < TS_CHAT_TEMPLATES; i++) {
            ts_jinja_out out = {0};
            ts_prompt_opts o = {.has_now = true, .now = 1721995200, .max_steps = 100000};
            if (i == 0) o.text = text;
            else o.name = ts_chat_name((ts_chat_template)i);
            ts_status s = ts_prompt_render(NULL, t, context, &o, &out, &err);
            if (s == TS_OK) check(t, &out);
            else must(!strchr(err.msg, '\n') && !out.text.data);
            ts_jinja_out_free(&out);
        }
        json_decref(context);
    }
    ts_free(text);
    return 0;
}
