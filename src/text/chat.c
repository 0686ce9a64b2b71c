#include "text/chat.h"

#include "base/printable.h"

#include <string.h>

enum role { SYSTEM, USER, ASSISTANT, ROLES };
static const char *const role_names[ROLES] = {"system", "user", "assistant"};

typedef struct format {
    const char *name;
    enum {
        BOS_NEVER,
        BOS_START,
        BOS_USER,   /* in front of every user's turn */
        BOS_BETWEEN /* the same but for the first one */
    } bos;
    struct {
        const char *open, *close; /* \1 in close: the end token */
    } turn[ROLES];
    const char *answer; /* opens the assistant's turn; NULL: the end of the user's does */
    enum {
        SYSTEM_TURN,       /* a turn of its own */
        SYSTEM_FIRST_USER, /* within the first user's turn, in front of the text */
        SYSTEM_LAST_USER   /* within the user's turn that ends the conversation; nowhere if there is none */
    } system;
    const char *system_open, *system_close; /* around it within a user's turn */
    unsigned trim;                          /* 1 << role: white space at the ends of the text is cut off */
    bool trim_apart;                        /* the user's text is trimmed before the system message goes in front */
    bool alternate;                         /* user and assistant in turn, or the template refuses */
    bool drop_thoughts;
    const char *system_always; /* in front of the system message; the turn is there without a message too */
} format;

#define TRIM_ALL (1u << SYSTEM | 1u << USER | 1u << ASSISTANT)
#define TRIM_UA  (1u << USER | 1u << ASSISTANT)
#define EOS      "\1"

#define INST2_TURNS {[USER] = {"[INST] ", " [/INST]"}, [ASSISTANT] = {" ", " " EOS}}
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define LLAMA3_TURNS                                                                                                   \
    {{HEADER("system"), "<|eot_id|>"}, {HEADER("user"), "<|eot_id|>"}, {HEADER("assistant"), "<|eot_id|>"}}
#define CHATML_TURNS                                                                                                   \
    {{"<|im_start|>system\n", "<|im_end|>\n"},                                                                         \
     {"<|im_start|>user\n", "<|im_end|>\n"},                                                                           \
     {"<|im_start|>assistant\n", "<|im_end|>\n"}}
#define GEMMA_TURNS                                                                                                    \
    {[USER] = {"<start_of_turn>user\n", "<end_of_turn>\n"}, [ASSISTANT] = {"<start_of_turn>model\n", "<end_of_turn>\n"}}

/* A system message within a user's turn, and what a template wants of the order. */
#define IN_FIRST(open, close) .system = SYSTEM_FIRST_USER, .system_open = (open), .system_close = (close)
#define IN_LAST(open, close)  .system = SYSTEM_LAST_USER, .system_open = (open), .system_close = (close)
#define SYS2                  IN_FIRST("<<SYS>>\n", "\n<</SYS>>\n\n")

static const format formats[TS_CHAT_TEMPLATES] = {
    [TS_CHAT_NONE] = {.name = "none"},
    [TS_CHAT_LLAMA2] = {.name = "llama2", .bos = BOS_USER, .turn = INST2_TURNS, SYS2, .trim = TRIM_UA,
                        .alternate = true},
    [TS_CHAT_LLAMA2_ONE_BOS] = {.name = "llama2-one-bos", .bos = BOS_START, .turn = INST2_TURNS, SYS2, .trim = TRIM_UA,
                                .alternate = true},
    [TS_CHAT_LLAMA2_AS_IS] = {.name = "llama2-as-is", .bos = BOS_BETWEEN, .turn = INST2_TURNS, SYS2},
    [TS_CHAT_LLAMA3] = {.name = "llama3", .bos = BOS_START, .turn = LLAMA3_TURNS, .answer = HEADER("assistant"),
                        .trim = TRIM_ALL},
    /* The date is the one that Meta's template falls back to. Its 3.2 version would ask the clock; then the same
     * conversation would give other tokens tomorrow. */
    [TS_CHAT_LLAMA31] = {.name = "llama3.1", .bos = BOS_START, .turn = LLAMA3_TURNS, .answer = HEADER("assistant"),
                         .trim = TRIM_ALL,
                         .system_always = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"},
    [TS_CHAT_CHATML] = {.name = "chatml", .turn = CHATML_TURNS, .answer = "<|im_start|>assistant\n"},
    [TS_CHAT_QWEN3] = {.name = "qwen3", .turn = CHATML_TURNS, .answer = "<|im_start|>assistant\n",
                       .drop_thoughts = true},
    [TS_CHAT_MISTRAL_V0] = {.name = "mistral-v0", .bos = BOS_START,
                            .turn = {[USER] = {"[INST] ", " [/INST]"}, [ASSISTANT] = {"", EOS}}, IN_FIRST("", "\n"),
                            .alternate = true},
    [TS_CHAT_MISTRAL_V1] = {.name = "mistral-v1", .bos = BOS_START,
                            .turn = {[USER] = {" [INST] ", " [/INST]"}, [ASSISTANT] = {" ", EOS}},
                            IN_FIRST("", "\n\n"), .alternate = true},
    [TS_CHAT_MISTRAL_V3] = {.name = "mistral-v3", .bos = BOS_START,
                            .turn = {[USER] = {"[INST] ", "[/INST]"}, [ASSISTANT] = {" ", EOS}}, IN_LAST("", "\n\n"),
                            .trim = 1u << ASSISTANT, .alternate = true},
    [TS_CHAT_MISTRAL_V3_TEKKEN] = {.name = "mistral-v3-tekken", .bos = BOS_START,
                                   .turn = {[USER] = {"[INST]", "[/INST]"}, [ASSISTANT] = {"", EOS}},
                                   IN_LAST("", "\n\n"), .alternate = true},
    [TS_CHAT_MISTRAL_V7] = {.name = "mistral-v7", .bos = BOS_START,
                            .turn = {{"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"}, {"[INST] ", "[/INST]"}, {" ", EOS}}},
    [TS_CHAT_MISTRAL_V7_TEKKEN] = {.name = "mistral-v7-tekken", .bos = BOS_START,
                                   .turn = {{"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"}, {"[INST]", "[/INST]"}, {"", EOS}},
                                   .alternate = true},
    [TS_CHAT_GEMMA] = {.name = "gemma", .bos = BOS_START, .turn = GEMMA_TURNS, .answer = "<start_of_turn>model\n",
                       IN_FIRST("", "\n"), .trim = TRIM_UA, .alternate = true},
    [TS_CHAT_GEMMA3] = {.name = "gemma3", .bos = BOS_START, .turn = GEMMA_TURNS, .answer = "<start_of_turn>model\n",
                        IN_FIRST("", "\n\n"), .trim = TRIM_UA, .trim_apart = true, .alternate = true},
    [TS_CHAT_PHI3] = {.name = "phi3", .bos = BOS_START,
                      .turn = {{"<|system|>\n", "<|end|>\n"}, {"<|user|>\n", "<|end|>\n"},
                               {"<|assistant|>\n", "<|end|>\n"}},
                      .answer = "<|assistant|>\n"},
    [TS_CHAT_ZEPHYR] = {.name = "zephyr",
                        .turn = {{"<|system|>\n", EOS "\n"}, {"<|user|>\n", EOS "\n"}, {"<|assistant|>\n", EOS "\n"}},
                        .answer = "<|assistant|>\n"},
};

const char *ts_chat_name(ts_chat_template t) {
    return formats[t].name;
}

ts_status ts_chat_find(ts_chat_template *out, const char *name, ts_err *err) {
    char list[400] = "";
    size_t used = 0;
    for (int t = 1; t < TS_CHAT_TEMPLATES; t++) {
        if (strcmp(name, formats[t].name) == 0) {
            *out = (ts_chat_template)t;
            return TS_OK;
        }
        size_t n = strlen(formats[t].name);
        if (used + n + 3 > sizeof list) continue;
        if (used) list[used++] = ' ';
        memcpy(list + used, formats[t].name, n + 1);
        used += n;
    }
    char shown[64];
    ts_printable(shown, sizeof shown, name, strlen(name));
    return ts_fail(err, TS_E_INVAL, "chat template \"%s\" is not known; known are %s", shown, list);
}

/* ---- the order of messages --------------------------------------------------------------------------------------- */

static ts_status role_of(const ts_message *m, enum role *out, ts_err *err) {
    for (int r = 0; r < ROLES; r++)
        if (strcmp(m->role, role_names[r]) == 0) {
            *out = (enum role)r;
            return TS_OK;
        }
    char shown[64];
    ts_printable(shown, sizeof shown, m->role, strlen(m->role));
    return ts_fail(err, TS_E_INVAL, "a message has the role \"%s\"; system, user and assistant are possible", shown);
}

static ts_status check_order(const format *f, const ts_message *msg, size_t n, ts_err *err) {
    if (n == 0) return ts_fail(err, TS_E_INVAL, "a conversation without messages");
    enum role role = SYSTEM, wanted = USER;
    for (size_t i = 0; i < n; i++) {
        TS_TRY(role_of(&msg[i], &role, err));
        if (role == SYSTEM) {
            if (i > 0 && (f->alternate || f->system != SYSTEM_TURN))
                return ts_fail(err, TS_E_INVAL, "the %s template takes a system message only at the start, not as "
                               "message %zu", f->name, i + 1);
            continue;
        }
        if (f->alternate && role != wanted)
            return ts_fail(err, TS_E_INVAL, "the %s template wants user and assistant in turn; message %zu is from the "
                           "%s", f->name, i + 1, role_names[role]);
        wanted = role == USER ? ASSISTANT : USER;
    }
    if (role == SYSTEM && f->system != SYSTEM_TURN)
        return ts_fail(err, TS_E_INVAL, "the %s template puts the system message into a user's, but there is none",
                       f->name);
    if (f->system == SYSTEM_FIRST_USER && n > 1 && strcmp(msg[0].role, "system") == 0 &&
        strcmp(msg[1].role, "user") != 0)
        return ts_fail(err, TS_E_INVAL, "the %s template puts the system message into the user's after it; message 2 "
                       "is not from the user", f->name);
    return TS_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct text {
    const char *s;
    size_t len;
} text;

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static text trim(text t) {
    while (t.len && is_blank(t.s[t.len - 1])) t.len--;
    while (t.len && is_blank(*t.s)) t.s++, t.len--;
    return t;
}

static text trim_newlines(text t, bool left, bool right) {
    while (right && t.len && t.s[t.len - 1] == '\n') t.len--;
    while (left && t.len && *t.s == '\n') t.s++, t.len--;
    return t;
}

typedef struct writer {
    const format *f;
    const char *bos, *eos;
    ts_jinja_out *out;
} writer;

/* Text of the template's own. */
static bool put_own(const writer *w, const char *s) {
    return ts_buf_puts(&w->out->text, s);
}

/* Text of a message. */
static bool put(const writer *w, text t) {
    ts_jinja_out *o = w->out;
    size_t begin = o->text.len;
    if (!ts_buf_append(&o->text, t.s, t.len)) return false;
    if (t.len == 0) return true;
    if (o->n_data > 0 && o->data[o->n_data - 1].end == begin) {
        o->data[o->n_data - 1].end = o->text.len;
        return true;
    }
    if (!ts_grow((void **)&o->data, &o->cap_data, o->n_data + 1, sizeof *o->data)) return false;
    o->data[o->n_data++] = (ts_jinja_range){begin, o->text.len};
    return true;
}

/* Cut off the white space around the text from `begin` on. */
static void trim_written(ts_jinja_out *o, size_t begin) {
    text whole = trim((text){o->text.data + begin, o->text.len - begin});
    size_t skip = (size_t)(whole.s - o->text.data) - begin, end = begin + whole.len, n = o->n_data;
    memmove(o->text.data + begin, whole.s, whole.len);
    o->text.len = end;
    o->text.data[end] = 0;
    while (n > 0 && o->data[n - 1].end > begin) n--;
    for (size_t i = n; i < o->n_data; i++) {
        ts_jinja_range r = o->data[i];
        r.begin = r.begin > begin + skip ? r.begin - skip : r.begin < begin ? r.begin : begin;
        r.end = r.end > begin + skip ? r.end - skip : begin;
        if (r.end > end) r.end = end;
        if (r.begin < r.end) o->data[n++] = r;
    }
    o->n_data = n;
}

/* Text of a format, with \1 for the end token. */
static bool put_format(const writer *w, const char *s) {
    for (;; s++) {
        size_t n = strcspn(s, EOS);
        if (!ts_buf_append(&w->out->text, s, n)) return false;
        s += n;
        if (!*s) return true;
        if (!put_own(w, w->eos)) return false;
    }
}

/* What lies behind the last `mark` of t; all of t where there is none. */
static text behind_last(text t, const char *mark) {
    size_t n = strlen(mark);
    for (size_t i = t.len; i-- > 0;)
        if (t.len - i >= n && memcmp(t.s + i, mark, n) == 0) return (text){t.s + i + n, t.len - i - n};
    return t;
}

/* What Qwen 3's template makes of an answer: thoughts stand between <think> and </think> in front of it. They are kept,
 * in a fixed form, only behind the user's last message. */
static bool put_thoughtful(const writer *w, text t, bool after_user, bool last) {
    const char *close = strstr(t.s, "</think>");
    text thought = {t.s, 0}, answer = t;
    if (close) {
        thought.len = (size_t)(close - t.s);
        thought = trim_newlines(behind_last(trim_newlines(thought, false, true), "<think>"), true, true);
        answer = trim_newlines(behind_last(t, "</think>"), true, false);
    }
    if (!after_user || !(last || thought.len)) return put(w, answer);
    return put_own(w, "<think>\n") && put(w, thought) && put_own(w, "\n</think>\n\n") &&
           put(w, trim_newlines(answer, true, false));
}

/* The text of a user's turn: the system message, if it goes here, and the message. */
static bool put_user(const writer *w, text system, text t) {
    const format *f = w->f;
    bool trims = f->trim >> USER & 1;
    if (!system.s) return put(w, trims ? trim(t) : t);
    if (f->trim_apart) t = trim(t);
    size_t begin = w->out->text.len;
    if (!put_own(w, f->system_open) || !put(w, system) || !put_own(w, f->system_close) || !put(w, t)) return false;
    if (trims && !f->trim_apart) trim_written(w->out, begin);
    return true;
}

static bool put_message(const writer *w, const ts_message *msg, size_t i, size_t n, size_t last_user, text system) {
    const format *f = w->f;
    enum role role = SYSTEM;
    if (role_of(&msg[i], &role, NULL) != TS_OK) return false; /* checked before */
    text t = {msg[i].content, strlen(msg[i].content)};
    if (!put_format(w, f->turn[role].open)) return false;
    if (role == USER) {
        bool here = f->system == SYSTEM_LAST_USER ? i == n - 1 : f->system == SYSTEM_FIRST_USER && i == 1;
        if (!put_user(w, here ? system : (text){0}, t)) return false;
    } else if (role == ASSISTANT && f->drop_thoughts) {
        if (!put_thoughtful(w, t, i > last_user, i == n - 1)) return false;
    } else {
        if (f->trim >> role & 1) t = trim(t);
        if (role == SYSTEM && i == 0 && f->system_always && !put_own(w, f->system_always)) return false;
        if (!put(w, t)) return false;
    }
    return put_format(w, f->turn[role].close);
}

static bool write_all(const writer *w, const ts_message *msg, size_t n, bool answer) {
    const format *f = w->f;
    bool has_system = strcmp(msg[0].role, "system") == 0;
    size_t last_user = n - 1; /* as in Qwen's template: the last message where there is none from the user */
    for (size_t i = n; i-- > 0;)
        if (strcmp(msg[i].role, "user") == 0) {
            last_user = i;
            break;
        }
    bool at_start = f->bos == BOS_START || f->bos == BOS_USER, between = f->bos == BOS_USER || f->bos == BOS_BETWEEN;
    if (at_start && !put_own(w, w->bos)) return false;
    if (f->system_always && !has_system &&
        !(put_format(w, f->turn[SYSTEM].open) && put_format(w, f->system_always) &&
          put_format(w, f->turn[SYSTEM].close)))
        return false;
    text system = has_system ? (text){msg[0].content, strlen(msg[0].content)} : (text){0};
    bool first = true;
    for (size_t i = has_system && f->system != SYSTEM_TURN; i < n; i++) {
        bool user = strcmp(msg[i].role, "user") == 0;
        if (between && user && !first && !put_own(w, w->bos)) return false;
        first = false;
        if (!put_message(w, msg, i, n, last_user, system)) return false;
    }
    return !answer || !f->answer || put_own(w, f->answer);
}

ts_status ts_chat_apply(ts_chat_template t, const ts_message *msg, size_t n, const char *bos, const char *eos,
                        bool answer, ts_jinja_out *out, ts_err *err) {
    if (t <= TS_CHAT_NONE || t >= TS_CHAT_TEMPLATES) return ts_fail(err, TS_E_INVAL, "there is no such chat template");
    TS_TRY(check_order(&formats[t], msg, n, err));
    size_t begin = out->text.len, n_data = out->n_data, last_end = n_data ? out->data[n_data - 1].end : 0;
    writer w = {.f = &formats[t], .bos = bos, .eos = eos, .out = out};
    if (write_all(&w, msg, n, answer)) return TS_OK;
    out->text.len = begin;
    if (out->text.data) out->text.data[begin] = 0;
    out->n_data = n_data;
    if (n_data) out->data[n_data - 1].end = last_end;
    return ts_fail_nomem(err, "a prompt", 0);
}
