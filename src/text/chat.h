/* chat.h - chat templates: messages to the text that a model was trained on. Depends on: base/mem.h.
 *
 * Known templates are written out in C and recognised from the file's Jinja text; there is no Jinja interpreter here.
 * docs/models/chat-templates.md shows what each one writes and where it comes from. */
#ifndef TS_TEXT_CHAT_H
#define TS_TEXT_CHAT_H

#include "base/mem.h"
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
/* From the Jinja text of tokenizer.chat_template; TS_E_UNSUPP pointing to --chat-template NAME. */
TS_NODISCARD ts_status ts_chat_detect(ts_chat_template *out, const char *jinja, size_t len, ts_err *err);
/* The system message that a ChatML model's Jinja text supplies where the conversation has none (Qwen 2 and 2.5 do), for
 * the caller to put in front. Appends it; nothing for other templates. false when out of memory. */
TS_NODISCARD bool ts_chat_default_system(ts_chat_template t, const char *jinja, size_t len, ts_buf *out);

/* Append the prompt to `out`. The text contains control tokens by name (tokenize with TS_TOKENIZE_SPECIAL).
 * `bos` is the text of the begin token: it is written at the start where the template does so; NULL: it is left out
 * there, because the tokenizer adds it, and Llama 2's between turns are "<s>". `answer`: end with the opening of the
 * assistant's turn. Errors: TS_E_INVAL for no messages, an unknown role or an order that the template refuses; `out` is
 * then as before. */
TS_NODISCARD ts_status ts_chat_apply(ts_chat_template t, const ts_message *msg, size_t n, const char *bos, bool answer,
                                     ts_buf *out, ts_err *err);
/* The same with the text of the end token, which Llama 2, Mistral and Zephyr put behind answers; NULL: "</s>". */
TS_NODISCARD ts_status ts_chat_apply_eos(ts_chat_template t, const ts_message *msg, size_t n, const char *bos,
                                         const char *eos, bool answer, ts_buf *out, ts_err *err);

#endif
