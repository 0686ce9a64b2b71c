/* chat_detect.c - which of the known chat templates a Jinja text is. There is no Jinja interpreter here: a template is
 * told by the marks it writes and by the few places where members of a family differ. */
#define _GNU_SOURCE /* memmem */
#include "text/chat.h"

#include <string.h>

typedef struct jinja {
    const char *s;
    size_t len;
} jinja;

static const char *find(jinja j, const char *what) {
    return memmem(j.s, j.len, what, strlen(what));
}

static bool has(jinja j, const char *what) {
    return find(j, what) != NULL;
}

/* Does `what` occur with \n in it, as an escape or as a line break? */
static bool has_line(jinja j, const char *before, const char *after) {
    size_t n = strlen(before), m = strlen(after);
    for (jinja rest = j; rest.len;) {
        const char *p = find(rest, before);
        if (!p) return false;
        const char *q = p + n;
        size_t left = (size_t)(j.s + j.len - q);
        size_t nl = left >= 2 && memcmp(q, "\\n", 2) == 0 ? 2 : left >= 1 && *q == '\n' ? 1 : 0;
        if (nl && left - nl >= m && memcmp(q + nl, after, m) == 0) return true;
        rest = (jinja){q, left};
    }
    return false;
}

/* Within the {{ ... }} that writes `mark`, is the end token written too? */
static bool ends_with_eos(jinja j, const char *mark) {
    const char *p = find(j, mark);
    if (!p) return false;
    jinja rest = {p, (size_t)(j.s + j.len - p)};
    const char *end = find(rest, "}}");
    return end && has((jinja){p, (size_t)(end - p)}, "eos_token");
}

static ts_chat_template inst_family(jinja j) {
    if (has(j, "[SYSTEM_PROMPT]"))
        return has(j, "[SYSTEM_PROMPT] ") ? TS_CHAT_MISTRAL_V7 : TS_CHAT_MISTRAL_V7_TEKKEN;
    if (has(j, "<<SYS>>")) {
        if (has(j, "strip()") || has(j, "| trim") || has(j, "|trim"))
            return has(j, "bos_token + '[INST]") ? TS_CHAT_LLAMA2 : TS_CHAT_LLAMA2_ONE_BOS;
        return TS_CHAT_LLAMA2_AS_IS;
    }
    if (has(j, "' [INST] '") || has(j, "\" [INST] \"")) return TS_CHAT_MISTRAL_V1;
    if (has(j, "[AVAILABLE_TOOLS]")) return has(j, "\"[INST]\"") ? TS_CHAT_MISTRAL_V3_TEKKEN : TS_CHAT_MISTRAL_V3;
    return has(j, "'[INST] '") || has(j, "\"[INST] \"") ? TS_CHAT_MISTRAL_V0 : TS_CHAT_NONE;
}

static ts_chat_template chatml_family(jinja j) {
    if (has(j, "<|im_sep|>")) return TS_CHAT_NONE; /* Phi 4 */
    /* models that are made to think begin their answers with it */
    if (has_line(j, "<|im_start|>assistant", "<think>")) return TS_CHAT_NONE;
    if (has(j, "last_query_index") && has(j, "reasoning_content")) return TS_CHAT_QWEN3;
    return TS_CHAT_CHATML;
}

static ts_chat_template detect(jinja j) {
    /* Relatives of the known templates that put text of their own into every prompt, mostly about calling functions. */
    static const char *const foreign[] = {"functools[", ">>>${recipient}", "function calling AI model",
                                          "[BEGIN FINAL RESPONSE]", "mcp_tool"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (has(j, foreign[i])) return TS_CHAT_NONE;
    if (has(j, "<|im_start|>") && has(j, "<|im_end|>")) return chatml_family(j);
    if (has(j, "<|start_header_id|>") && has(j, "<|end_header_id|>"))
        return has(j, "Cutting Knowledge Date") ? TS_CHAT_LLAMA31 : TS_CHAT_LLAMA3;
    if (has(j, "<start_of_turn>") && has(j, "<end_of_turn>"))
        return has(j, "first_user_prefix") ? TS_CHAT_GEMMA3 : TS_CHAT_GEMMA;
    if (has(j, "[INST]") && has(j, "[/INST]")) return inst_family(j);
    if (has(j, "<|assistant|>") && has(j, "<|end|>")) return TS_CHAT_PHI3;
    if (has(j, "<|assistant|>") && ends_with_eos(j, "<|user|>")) return TS_CHAT_ZEPHYR;
    return TS_CHAT_NONE;
}

ts_status ts_chat_detect(ts_chat_template *out, const char *jinja_text, size_t len, ts_err *err) {
    ts_chat_template t = detect((jinja){jinja_text, len});
    if (t == TS_CHAT_NONE)
        return ts_fail(err, TS_E_UNSUPP, "the model %s; choose the one that it was trained with by --chat-template NAME "
                       "(llama3, chatml, mistral-v3, gemma, phi3, zephyr, ...)",
                       len ? "has a chat template that Tessera does not know" : "has no chat template");
    *out = t;
    return TS_OK;
}

/* The text up to `end`, if it is a literal: no quote ends it before that, and no escapes are in it. */
static jinja literal_until(jinja from, const char *end) {
    const char *p = find(from, end);
    jinja lit = {from.s, p ? (size_t)(p - from.s) : 0};
    return has(lit, "'") || has(lit, "\"") || has(lit, "\\") ? (jinja){from.s, 0} : lit;
}

bool ts_chat_default_system(ts_chat_template t, const char *jinja_text, size_t len, ts_buf *out) {
    /* '<|im_start|>system\nTEXT<|im_end|>\n' or set system_message = 'TEXT' */
    static const char *const opens[] = {"<|im_start|>system", "system_message = '", "system_message = \""};
    static const char *const closes[] = {"<|im_end|>", "'", "\""};
    const char *stop = jinja_text + len;
    for (int i = 0; i < 3 && t == TS_CHAT_CHATML; i++)
        for (jinja rest = {jinja_text, len}; rest.len;) {
            const char *p = find(rest, opens[i]);
            if (!p) break;
            p += strlen(opens[i]);
            if (i == 0) {
                if (stop - p >= 2 && memcmp(p, "\\n", 2) == 0) p += 2;
                else if (p < stop && *p == '\n') p++;
                else p = stop;
            }
            rest = (jinja){p, (size_t)(stop - p)};
            jinja lit = literal_until(rest, closes[i]);
            if (lit.len) return ts_buf_append(out, lit.s, lit.len);
        }
    return true;
}
