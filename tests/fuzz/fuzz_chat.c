/* Chat templates: any text as a Jinja template, and lines "role content" as a conversation for every template. */
#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_chat_template t;
    ts_err err;
    ts_buf out = {0};
    char *text = ts_strndup((const char *)data, len);
    if (!text) abort();
    if (ts_chat_detect(&t, text, len, &err) == TS_OK) {
        if (!ts_chat_default_system(t, text, len, &out)) abort();
        if (out.len > len) abort();
    }
    if (!ts_chat_default_system(TS_CHAT_CHATML, text, len, &out)) abort();
    if (ts_chat_find(&t, text, &err) != TS_OK && strchr(err.msg, '\n')) abort();
    /* s, u or a at the start of a line is the role, the rest the content */
    static const char *const roles[] = {"system", "user", "assistant"};
    ts_message msg[16];
    size_t n = 0;
    for (char *line = strtok(text, "\n"); line && n < 16; line = strtok(NULL, "\n")) {
        int k = *line == 's' ? 0 : *line == 'u' ? 1 : *line == 'a' ? 2 : -1;
        msg[n++] = (ts_message){k < 0 ? line : roles[k], line + 1};
    }
    for (int i = 0; i <= TS_CHAT_TEMPLATES; i++)
        for (int answer = 0; answer < 2; answer++) {
            ts_buf_clear(&out);
            ts_status s = ts_chat_apply_eos((ts_chat_template)i, msg, n, answer ? "<s>" : NULL, answer ? NULL : "<e>", answer,
                                            &out, &err);
            if (s != TS_OK && (out.len || strchr(err.msg, '\n'))) abort();
        }
    ts_buf_free(&out);
    ts_free(text);
    return 0;
}
