/* chat.h - chat templates: messages to the text that a model was trained on. Depends on: base/mem.h.
 *
 * Known templates are written out in C and recognised from the file's Jinja text; there is no Jinja interpreter here. */
#ifndef TS_TEXT_CHAT_H
#define TS_TEXT_CHAT_H

#include "base/mem.h"
#include "tessera/tessera.h"

typedef enum ts_chat_template {
    TS_CHAT_NONE = 0,
    TS_CHAT_LLAMA2,
    TS_CHAT_LLAMA3,
    TS_CHAT_CHATML,
    TS_CHAT_MISTRAL_V1,
    TS_CHAT_MISTRAL_V3,
    TS_CHAT_MISTRAL_V7,
    TS_CHAT_GEMMA,
    TS_CHAT_PHI3,
    TS_CHAT_ZEPHYR,
    TS_CHAT_TEMPLATES,
} ts_chat_template;

const char *ts_chat_name(ts_chat_template t); /* "llama3", ... */
/* By --chat-template name; TS_E_INVAL listing the names. */
TS_NODISCARD ts_status ts_chat_find(ts_chat_template *out, const char *name, ts_err *err);
/* From the Jinja text of tokenizer.chat_template; TS_E_UNSUPP pointing to --chat-template NAME. */
TS_NODISCARD ts_status ts_chat_detect(ts_chat_template *out, const char *jinja, size_t len, ts_err *err);
/* Append the prompt to `out`. The text contains control tokens by name (tokenize with TS_TOKENIZE_SPECIAL); BOS is
 * included only where the template itself writes it and `bos` (nullable) gives its text. `answer`: end with the opening
 * of the assistant's turn. Errors: TS_E_INVAL for an unknown role or an order that the template refuses. */
TS_NODISCARD ts_status ts_chat_apply(ts_chat_template t, const ts_message *msg, size_t n, const char *bos, bool answer,
                                     ts_buf *out, ts_err *err);

#endif
