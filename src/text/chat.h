/* chat.h - chat templates written out in C, for files that have none.
 *
 * A file's own template is a Jinja program and is interpreted (prompt.h). docs/models/chat-templates.md shows what
 * each of these writes, and which Jinja templates they are equal to. */
#ifndef TS_TEXT_CHAT_H
#define TS_TEXT_CHAT_H

#include "text/jinja/jinja.h"
#include "tessera/tessera.h"

typedef enum ts_chat_template {
    TS_CHAT_NONE = 0,
    TS_CHAT_LLAMA2,
    TS_CHAT_LLAMA2_ONE_BOS, /* BOS in front of the first turn only */
    TS_CHAT_LLAMA2_AS_IS,   /* nothing is trimmed */
    TS_CHAT_LLAMA3,
    TS_CHAT_LLAMA31, /* 3.1 to 3.3: a system turn with two dates is always there */
    TS_CHAT_CHATML,
    TS_CHAT_QWEN3, /* ChatML; earlier thoughts are taken out of the history */
    TS_CHAT_MISTRAL_V0,
    TS_CHAT_MISTRAL_V1,
    TS_CHAT_MISTRAL_V3,
    TS_CHAT_MISTRAL_V3_TEKKEN,
    TS_CHAT_MISTRAL_V7,
    TS_CHAT_MISTRAL_V7_TEKKEN,
    TS_CHAT_GEMMA,
    TS_CHAT_GEMMA3,
    TS_CHAT_PHI3,
    TS_CHAT_ZEPHYR,
    TS_CHAT_TEMPLATES,
} ts_chat_template;

const char *ts_chat_name(ts_chat_template t); /* "llama3", ...; "none" */
/* By --chat-template name; TS_E_INVAL listing the names. */
TS_NODISCARD ts_status ts_chat_find(ts_chat_template *out, const char *name, ts_err *err);
/* Append the prompt to out->text, with what comes from the messages listed in out->data; the control tokens in it
 * are named by their text. `bos`, `eos`: the text of the begin and the end token, "" where the model has none.
 * `answer`: end with the opening of the assistant's turn. Errors: TS_E_INVAL for no messages, an unknown role or an
 * order that the template refuses; `out` is then as before. */
TS_NODISCARD ts_status ts_chat_apply(ts_chat_template t, const ts_message *msg, size_t n, const char *bos,
                                     const char *eos, bool answer, ts_jinja_out *out, ts_err *err);

#endif
