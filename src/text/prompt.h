/* prompt.h - from messages to tokens: a chat template applied to a conversation, and the tokens of what it writes.
 *
 * A template sees what Hugging Face's apply_chat_template gives it: the members of the context (messages, tools,
 * documents, add_generation_prompt, and any others), `tools` and `documents` as none where they are missing, the
 * texts of the model's special tokens (bos_token, eos_token, ...), and strftime_now. */
#ifndef TS_TEXT_PROMPT_H
#define TS_TEXT_PROMPT_H

#include "text/chat.h"
#include "text/tokenizer.h"

/* The templates of a model, compiled; immutable. */
typedef struct ts_templates ts_templates;
/* A template that does not compile is no error here but where it is used. */
TS_NODISCARD ts_status ts_templates_new(ts_templates **out, const ts_tokenizer *tok, ts_err *err);
void ts_templates_free(ts_templates *t); /* NULL-safe */
/* What there is, in words: "jinja (297 bytes)"; NULL: no template, or one that fails. */
const char *ts_templates_describe(const ts_templates *t);

typedef struct ts_prompt_opts { /* zero-initialise */
    /* one of chat.h's templates, or one of the model's ("tool_use"); NULL: the model's own choice */
    const char *name;
    const char *text;      /* Jinja text instead of all these, NUL-terminated */
    const char *text_name; /* what messages call it: the path of its file; NULL: "the chat template" */
    bool has_now;
    int64_t now;        /* as in ts_jinja_opts; asked of the clock unless has_now */
    uint64_t max_steps; /* as in ts_jinja_opts */
} ts_prompt_opts;

/* Write the prompt of a context (a JSON object) to `out`. Without a name the model's template "tool_use" is taken where
 * there is one and the context has tools, as transformers does, otherwise its default. `t` and `tok` may be NULL where
 * o->text is given: then special tokens are those that the context names.
 * Errors: TS_E_UNSUPP: the model has no template; TS_E_FORMAT, TS_E_UNSUPP, TS_E_LIMIT: it does not compile,
 * TS_E_INVAL: it refuses the context (raise_exception), an operation fails, or there is no such name. Messages of
 * templates say where: line and column. `out` is then untouched. */
TS_NODISCARD ts_status ts_prompt_render(const ts_templates *t, const ts_tokenizer *tok, const json_t *context,
                                        const ts_prompt_opts *o, ts_jinja_out *out, ts_err *err);

/* Can the template that ts_prompt_render takes look at this variable? No: it does not name it. Arguments as there. */
bool ts_prompt_names(const ts_templates *t, const ts_tokenizer *tok, const json_t *context, const ts_prompt_opts *o,
                     const char *name);

/* Append the tokens of a rendered prompt. What data spells stays text. One BOS: the template's where it begins
 * with one, otherwise the file's where it asks for one; no EOS but the template's. */
TS_NODISCARD ts_status ts_prompt_tokens(const ts_tokenizer *tok, const ts_jinja_out *text, ts_tokens *out, ts_err *err);

/* A JSON context of messages; bytes that are not UTF-8 become U+FFFD. json_decref it; NULL when out of memory. */
json_t *ts_prompt_context(const ts_message *msg, size_t n, bool answer);

#endif
