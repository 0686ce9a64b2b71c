/* tessera.h - the public interface of Tessera: status codes, engine, session, sampling, chat text.
 * Depends on: the C standard headers only. Usable from C99 and later.
 *
 * An *engine* is a loaded model: immutable after it is opened, to be used from any threads.
 * A *session* is one timeline of tokens with its KV cache: used by one thread at a time. Any number of sessions of an
 * engine may be used at once, each by a thread of its own: their passes through the model wait for each other, who
 * comes first goes first, and the results have the same bits as alone. Callbacks are called within a pass or between
 * two: they may use neither a session of this engine nor its ledger.
 * The logits of a model are a function of the file, the token prefix and the declared options (KV type) alone;
 * see docs/numerics.md.
 */
#ifndef TESSERA_H
#define TESSERA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version and growth ------------------------------------------------------------------------------------------ */

/* Of this header; the library that is linked may be another one: ts_version. */
#define TS_VERSION_MAJOR 0
#define TS_VERSION_MINOR 1
#define TS_VERSION_PATCH 0

/* Structs whose comment says "may grow" get new members at their end. A program that was compiled for an older library
 * goes on working with a newer one: calls that take such a struct are inline here and hand its size to the library's
 * function, whose name ends in _sized (from another language, call that one with the size of your own declaration).
 * What an older program's options do not have is taken as 0, the default; what its results have no room for is left
 * out. A newer program's options that an older library does not know have to be 0, otherwise the call is TS_E_UNSUPP;
 * in its results they are 0. All other structs have their final form.
 * Options may be NULL, which means the defaults; those of a sampler may not, they begin with ts_sampler_defaults. */

#if defined(__GNUC__)
#    define TS_NODISCARD __attribute__((warn_unused_result))
#    define TS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#    pragma GCC visibility push(default) /* these, and no other names of the library, are exported */
#else
#    define TS_NODISCARD
#    define TS_PRINTF(fmt, args)
#endif

/* The version of the library, "0.1.0". Static storage. */
const char *ts_version(void);
/* The same as a number that grows: major << 16 | minor << 8 | patch. */
uint32_t ts_version_number(void);

/* ---- status ------------------------------------------------------------------------------------------------------ */

/* What kind of thing went wrong. A function that returns anything but TS_OK has left its out-parameters alone. */
typedef enum ts_status {
    TS_OK = 0,
    TS_E_INVAL,     /* the caller broke the interface's rules */
    TS_E_FORMAT,    /* a file or text is malformed */
    TS_E_UNSUPP,    /* well-formed, but something Tessera does not do */
    TS_E_NOMEM,     /* not enough memory */
    TS_E_IO,        /* the operating system refused: open, read, write, map */
    TS_E_LIMIT,     /* a declared limit was reached, for example the context size */
    TS_E_DEVICE,    /* an accelerator refused or failed */
    TS_E_CANCELLED, /* a callback asked to stop */
} ts_status;

/* An error in words: one line naming what, where (file, offset, field) and, where there is something to do, what to do.
 * Caller's storage; every function takes a pointer to one or NULL. Written only on failure. */
typedef struct ts_err {
    ts_status code;
    int os_errno; /* errno at the time, 0 if none was involved */
    char msg[500];
} ts_err;

/* A short fixed name of a status, for programs: "ok", "format", ... Static storage. */
const char *ts_status_name(ts_status code);

/* What a figure is worth. */
typedef enum ts_evidence {
    TS_MEASURED,  /* on this machine */
    TS_SIMULATED, /* by npu-sim */
    TS_VIRTUAL,   /* of an NPU that a virtual machine has: whatever is behind it, it was not measured on an NPU */
} ts_evidence;
/* A short fixed name, for programs: "measured", "simulated", "virtual". Static storage. */
const char *ts_evidence_name(ts_evidence e);

/* Messages that are not the result of a call: warnings, notes. */
typedef enum ts_log_level { TS_LOG_DEBUG, TS_LOG_INFO, TS_LOG_WARN } ts_log_level;
typedef void ts_log_fn(void *ud, ts_log_level level, const char *line); /* one line without a line break */
/* Where they go from now on, those of `min` and above; fn NULL: to standard error, as at the beginning. The one
 * setting of the library that is the whole program's: call it before other threads use the library; fn may be called
 * from any thread that does. */
void ts_log_sink(ts_log_fn *fn, void *ud, ts_log_level min);

/* The path (its end, where it is longer than 255 bytes) of the model file that is mapped at this address; NULL: none.
 * For a program's handler of SIGBUS, which reading a file beyond the end raises once somebody has shortened it:
 * async-signal-safe. */
const char *ts_mapped_file(const void *addr);

/* ---- engine: a loaded model ------------------------------------------------------------------------------------ */

typedef struct ts_engine ts_engine;
typedef int32_t ts_token; /* an index into the vocabulary; -1: none */

/* Told how far long work has come; returning false stops it with TS_E_CANCELLED. */
typedef bool ts_progress_fn(void *ud, uint64_t done, uint64_t all);

/* Asked about ten times a second while a device keeps the engine waiting; returning true ends the wait with
 * TS_E_CANCELLED. */
typedef bool ts_stop_fn(void *ud);

typedef struct ts_engine_opts { /* zero-initialise: every 0 or NULL means the default; may grow */
    /* "cpu" (default); "npu": linear layers on this machine's XDNA1 NPU; "npu-sim": on a simulated one. Options stand
     * behind a colon with commas between, "npu-sim:seed=3,no-prefetch":
     *   allow-cpu-ops  linear layers that the device cannot take run on the CPU; else they are refused by name
     *   prefetch=WHEN  on, off, auto: may it take the first weights of the next operation while the host still works on
     *                  its input? Results are the same. auto: a simulated NPU does; a real one does not until a chip
     *                  has shown that it works, and where another program uses it. no-prefetch: off
     *   rows=N%        it has N of a hundred rows of every linear layer, the CPU has the others; for tests
     *   seed=N         npu-sim: shakes the latencies of the array and makes it strict, for tests; 0: nominal */
    const char *device;
    int n_threads;            /* default: all processors this process may use */
    ts_progress_fn *progress; /* while loading, in bytes */
    void *progress_ud;
    /* while the NPU has no room for this program, up to 3 s, or a command of it does not end, up to 70 s */
    ts_stop_fn *stop;
    void *stop_ud;
    bool ledger;              /* keep account: ts_engine_ledger */
    bool ledger_check;        /* and compute everything that a device computes on the CPU too, and compare */
    /* how text is split into words, for files that do not say: "llama-bpe", "qwen2", "gpt-2", ... */
    const char *pre;
    /* no more than this level of the CPU's instruction sets: "ref", and "avx2", "avxvnni", "avx512vnni" on x86-64,
     * "dotprod", "i8mm" on 64-bit ARM; NULL: the best there is. The results are the same. */
    const char *cpu_level;
    /* only what turns text into tokens and back: no weights are read, no session can be made, and of ts_model_info only
     * n_vocab and chat_template are filled. ts_engine_open then takes tokenizers of other formats, too: a
     * tokenizer.json, a tokenizer.model, a folder with one of these or with a vocabulary and its merges; and a path of
     * NULL, for chat templates alone that are given as text (a prompt has no tokens then). */
    bool text_only;
} ts_engine_opts;

/* Is `device` something that ts_engine_opts.device can be? TS_E_INVAL: no, naming what there is. */
TS_NODISCARD ts_status ts_device_check(const char *device, ts_err *err);

/* Load the model file at `path` (GGUF; any part of a split model). Errors: TS_E_IO, TS_E_FORMAT, TS_E_UNSUPP,
 * TS_E_NOMEM, TS_E_INVAL (unknown device, option of one or CPU level), TS_E_DEVICE (no NPU, or it refuses, with
 * what to do).
 * The file must stay as it is until the engine is closed: parts of it are read when they are needed. Where it has
 * been written to, a session's next call is TS_E_IO; reading a part that has been cut off raises SIGBUS (see
 * ts_mapped_file). Replacing the file by another of its name, or removing it, does no harm. */
TS_NODISCARD ts_status ts_engine_open_sized(ts_engine **out, const char *path, const ts_engine_opts *opts,
                                            size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_engine_open(ts_engine **out, const char *path, const ts_engine_opts *opts,
                                                    ts_err *err) {
    return ts_engine_open_sized(out, path, opts, sizeof *opts, err);
}
/* The same from memory: the bytes of a whole file, borrowed until the engine is closed, aligned as malloc aligns
 * (16 bytes). */
TS_NODISCARD ts_status ts_engine_open_memory_sized(ts_engine **out, const void *data, size_t len,
                                                   const ts_engine_opts *opts, size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_engine_open_memory(ts_engine **out, const void *data, size_t len,
                                                           const ts_engine_opts *opts, ts_err *err) {
    return ts_engine_open_memory_sized(out, data, len, opts, sizeof *opts, err);
}
/* NULL-safe. All sessions must have been freed. */
void ts_engine_close(ts_engine *e);

typedef struct ts_model_info { /* borrowed strings: valid until the engine is closed; may grow */
    const char *arch, *name, *device;
    const char *cpu_level;      /* "ref", "avx2", "i8mm", ... */
    int n_threads;
    uint32_t n_layer, n_vocab, n_ctx_train, d_model;
    uint64_t n_params;          /* elements of all tensors */
    uint64_t file_bytes;        /* of all parts */
    uint64_t weight_bytes;      /* packed weights in memory, the device's included */
    uint64_t token_bytes;       /* weights read for one token */
    /* multiply-accumulates for one token: linear layers of the blocks; the output layer */
    uint64_t layer_macs, head_macs;
    uint64_t load_ns;
    /* NPU: of its array while commands ran, the last time and at the extremes, as the driver says, or of the
     * simulation; 0: it does not, or none has run */
    uint32_t device_mhz, device_mhz_least, device_mhz_most;
    /* of times: TS_VIRTUAL where an NPU of a virtual machine has a part in them; npu-sim: they are the host's */
    ts_evidence evidence;
    /* the file's own in words: "jinja (297 bytes)"; NULL: none, or one that cannot be read */
    const char *chat_template;
} ts_model_info;
void ts_engine_info_sized(const ts_engine *e, ts_model_info *out, size_t out_size);
static inline void ts_engine_info(const ts_engine *e, ts_model_info *out) {
    ts_engine_info_sized(e, out, sizeof *out);
}

/* What ran where and what it cost: one row for each kind of operation ("attn_q+attn_k+attn_v" of all layers
 * together), tensor types and device. Kept only with ts_engine_opts.ledger. May grow. */
typedef struct ts_ledger_row {
    char op[72], types[40], device[12];
    bool linear;                /* a linear layer; else a step of the host: norm, rope, attention, ... */
    uint32_t rows, rows_all;    /* linear: rows of its matrices that ran there, and all that they have */
    ts_evidence evidence;       /* of device_ns and cycles */
    uint64_t calls, tokens;     /* of the operation; tokens in all of them */
    uint64_t commands;          /* given to the device */
    uint64_t macs;
    /* Device: bytes moved between host memory and array, padding_bytes being part of weight_bytes. CPU: weights
     * read. */
    uint64_t weight_bytes, act_bytes, sum_bytes, padding_bytes;
    uint64_t cycles;            /* npu-sim: of the array's clock */
    uint64_t device_ns;         /* from submission to end; CPU: of the operation */
    uint64_t host_ns;           /* measured: the host's part, packing activations and combining sums */
    /* derived: the slower of reading and writing at the memory bandwidth of 8 DMA channels */
    uint64_t bound_ns;
    uint64_t checked, differ;   /* results compared with the CPU's, and those whose bits differ */
    /* Each core of an NPU proves with each command which weights it has computed with: proofs looked at; wrong ones,
     * whose commands were done again; commands that found the array configured anew since the one before, with
     * nothing lost. */
    uint64_t proofs, wrong_proofs, anew;
    uint64_t sum_device, sum_cpu; /* checksums of these results */
} ts_ledger_row;
/* Rows so far: the first `cap` of them into `rows`; returns how many there are. Waits for a pass that runs. */
size_t ts_engine_ledger_sized(const ts_engine *e, ts_ledger_row *rows, size_t cap, size_t row_size);
static inline size_t ts_engine_ledger(const ts_engine *e, ts_ledger_row *rows, size_t cap) {
    return ts_engine_ledger_sized(e, rows, cap, sizeof *rows);
}
void ts_engine_ledger_reset(ts_engine *e);

/* ---- text ------------------------------------------------------------------------------------------------------ */

enum {
    TS_TOKENIZE_BOS = 1,       /* put BOS in front where the model's files ask for it */
    TS_TOKENIZE_SPECIAL = 2,   /* the text of control tokens becomes those tokens; otherwise it is plain text */
    TS_TOKENIZE_EOS = 8,       /* put EOS behind where the model's files ask for it: a text that is complete */
    TS_TOKENIZE_NO_PREFIX = 4, /* SentencePiece: do not put a space in front (a continuation of earlier text) */
};
/* Text to tokens: *out is allocated (ts_tokens_release), *n its length. Any bytes are accepted. */
TS_NODISCARD ts_status ts_engine_tokenize(const ts_engine *e, const char *text, size_t len, unsigned flags,
                                          ts_token **out, size_t *n, ts_err *err);
void ts_tokens_release(ts_token *tokens);

enum {
    TS_DETOKENIZE_SPECIAL = 1,   /* print control tokens too */
    TS_DETOKENIZE_NO_PREFIX = 2, /* SentencePiece: the tokens go on a text, the space in front of the first stays */
};
/* Tokens to text, the way back: *out is allocated (ts_text_release), *len bytes of UTF-8 and a NUL; what is no
 * character becomes U+FFFD, and a token that the model has and its tokenizer does not is no text. (Token by token, an
 * answer's characters are put together by ts_answer_push.)
 * Errors: TS_E_INVAL: a token outside the vocabulary; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_engine_detokenize(const ts_engine *e, const ts_token *tokens, size_t n, unsigned flags,
                                            char **out, size_t *len, ts_err *err);
void ts_text_release(char *text);
/* The bytes of one token, a control token's being its name: perhaps half a character. Copies the first `cap` of them
 * to buf, which gets no NUL, and puts how many there are into *len. Errors as above. */
TS_NODISCARD ts_status ts_engine_token_text(const ts_engine *e, ts_token id, char *buf, size_t cap, size_t *len,
                                            ts_err *err);
/* Does this token end an answer? */
bool ts_engine_is_end(const ts_engine *e, ts_token id);

typedef struct ts_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, NUL-terminated; what is no character becomes U+FFFD, in the role too */
} ts_message;
/* How a conversation becomes a prompt. Zero-initialise: the model's own template, with the variables that Hugging
 * Face's apply_chat_template gives it. May grow. */
typedef struct ts_chat_opts {
    const char *name;      /* a template that is built in ("chatml", ...), or one of the model's by name ("tool_use") */
    const char *text;      /* a Jinja template, NUL-terminated, instead of these */
    const char *text_name; /* what messages call it: the path of its file */
    /* a JSON object: more variables, such as {"enable_thinking": false}. One that the template does not use is
     * TS_E_UNSUPP, unless it is null or an empty list. */
    const char *vars;
    bool has_now;          /* strftime_now says `now`, otherwise it asks the clock */
    int64_t now;           /* local time as seconds from 1970-01-01T00:00:00 local time */
} ts_chat_opts;

/* Names of the templates that are built in, "llama2", ...; NULL behind the last. Static storage. */
const char *ts_chat_template_name(size_t i);
/* The model's own templates, Jinja text of *len bytes: number 0 is the one that is used unless another is asked for;
 * *name (nullable) is what that is done by. NULL behind the last. Borrowed. */
const char *ts_engine_chat_template(const ts_engine *e, size_t i, const char **name, size_t *len);

typedef struct ts_text_range { /* bytes [begin, end) of a text */
    size_t begin, end;
} ts_text_range;

/* A prompt; free with ts_prompt_release. */
typedef struct ts_prompt {
    /* [n] one BOS in front where the template or the model's file asks for it, no EOS but the template's */
    ts_token *token;
    size_t n;
    char *text; /* what the template wrote, `len` bytes and a NUL; UTF-8 */
    size_t len;
    /* [n_data] ascending: what of `text` came from the messages and other variables, not from the template */
    ts_text_range *data;
    size_t n_data;
} ts_prompt;
void ts_prompt_release(ts_prompt *p);

/* The prompt of these messages, ending with the opening of the assistant's turn. Control tokens are where the
 * template wrote them: what the messages spell is text. Without a name a template "tool_use" of the model is taken
 * where there are tools.
 * Errors: TS_E_UNSUPP: the model has no template; TS_E_FORMAT, TS_E_UNSUPP, TS_E_LIMIT: it cannot be read;
 * TS_E_INVAL: it refuses the conversation or fails, or an unknown name. Messages say which template, line and
 * column. */
TS_NODISCARD ts_status ts_engine_chat_sized(const ts_engine *e, const ts_chat_opts *opts, size_t opts_size,
                                            const ts_message *msg, size_t n, ts_prompt *out, ts_err *err);
static inline TS_NODISCARD ts_status ts_engine_chat(const ts_engine *e, const ts_chat_opts *opts,
                                                    const ts_message *msg, size_t n, ts_prompt *out, ts_err *err) {
    return ts_engine_chat_sized(e, opts, sizeof *opts, msg, n, out, err);
}
/* The same for a whole context, a JSON object that the template sees as it is: {"messages": [...], "tools": [...],
 * "documents": [...], "add_generation_prompt": true, ...}. Tool calls, parts of contents and reasoning are passed
 * through; what the template does not read has no effect. The assistant's turn is opened where it says
 * add_generation_prompt. */
TS_NODISCARD ts_status ts_engine_chat_json_sized(const ts_engine *e, const ts_chat_opts *opts, size_t opts_size,
                                                 const char *json, size_t len, ts_prompt *out, ts_err *err);
static inline TS_NODISCARD ts_status ts_engine_chat_json(const ts_engine *e, const ts_chat_opts *opts,
                                                         const char *json, size_t len, ts_prompt *out, ts_err *err) {
    return ts_engine_chat_json_sized(e, opts, sizeof *opts, json, len, out, err);
}

/* ---- session: one timeline ------------------------------------------------------------------------------------- */

typedef struct ts_session ts_session;

/* The type of keys and values, part of the numeric contract. Q8_0 takes 53 % of the memory of F16 (heads of a multiple
 * of 32 elements) and rounds keys, values and queries to 8 bits: docs/numerics.md says what that costs. */
typedef enum ts_kv_type { TS_KV_F16, TS_KV_F32, TS_KV_Q8_0 } ts_kv_type;
/* "f16", "f32", "q8_0"; NULL: none of them. Static storage. */
const char *ts_kv_type_name(ts_kv_type type);

typedef struct ts_session_opts { /* zero-initialise; may grow */
    uint32_t n_ctx;           /* positions; default: the trained context, at most 4096 */
    ts_kv_type kv;            /* default F16; part of the numeric contract */
    ts_progress_fn *progress; /* while a prompt is processed, in tokens; asked often, also within a batch */
    void *progress_ud;
} ts_session_opts;

/* Errors: TS_E_NOMEM where what the session takes when its context is full (ts_engine_context_bytes) is more than is
 * free now. Most of it is taken later, as the timeline grows. */
TS_NODISCARD ts_status ts_session_new_sized(ts_session **out, ts_engine *e, const ts_session_opts *opts,
                                            size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_session_new(ts_session **out, ts_engine *e, const ts_session_opts *opts,
                                                    ts_err *err) {
    return ts_session_new_sized(out, e, opts, sizeof *opts, err);
}
void ts_session_free(ts_session *s); /* NULL-safe */
uint32_t ts_session_n_ctx(const ts_session *s);
/* Bytes that a session with these options (NULL: the defaults) takes when its context is full; 0: more than there can
 * be. What passes work in belongs to the engine and is there once. */
uint64_t ts_engine_context_bytes_sized(const ts_engine *e, const ts_session_opts *opts, size_t opts_size);
static inline uint64_t ts_engine_context_bytes(const ts_engine *e, const ts_session_opts *opts) {
    return ts_engine_context_bytes_sized(e, opts, sizeof *opts);
}

/* Make the timeline exactly tokens[0..n): what it has in common with the present one is kept, the rest is dropped,
 * the new part is processed. Then ts_session_logits gives the prediction after token n - 1. n >= 1.
 * Errors: TS_E_LIMIT: n is larger than the context; TS_E_INVAL: a token outside the vocabulary: after these two the
 * session is as it was, its logits too. TS_E_UNSUPP: a key or value is larger than an F16 or Q8_0 cache can hold;
 * TS_E_FORMAT: numbers stop being finite, with layer and position; TS_E_IO: the file has been written to;
 * TS_E_NOMEM: there is no memory for a page of keys and values; TS_E_DEVICE; TS_E_CANCELLED: after these the timeline
 * is a prefix of `tokens`, without logits, and the next sync goes on from there. */
TS_NODISCARD ts_status ts_session_sync(ts_session *s, const ts_token *tokens, size_t n, ts_err *err);
/* f32 [n_vocab], natural-log odds up to a constant; valid until the session is used again. NULL where the last token of
 * the timeline has none: before the first sync, after an error in a pass, while tokens of a prompt are pending. */
const float *ts_session_logits(const ts_session *s);
/* The present timeline: borrowed. */
const ts_token *ts_session_tokens(const ts_session *s, size_t *n);

/* Like sync on an empty timeline, but hands out the logits after every position: fn(ud, pos, logits) with f32
 * [n_vocab]. fn returning false stops with TS_E_CANCELLED. */
typedef bool ts_logits_fn(void *ud, size_t pos, const float *logits);
TS_NODISCARD ts_status ts_session_score(ts_session *s, const ts_token *tokens, size_t n, ts_logits_fn *fn, void *ud,
                                        ts_err *err);

/* An embedding of tokens[0..n): the model's hidden states, behind its last norm and before the output layer, of all
 * positions. MEAN: their mean, which suits models whose authors say so; LAST: the one of the last position, which in a
 * causal model has seen all tokens. `unit`: divided by its length (L2), so that a dot product of two is their cosine.
 * out: f32 [d_model] (ts_model_info). Sums are in f64 in ascending order: the same bits everywhere. Models that were
 * trained to chat give embeddings too, of modest use.
 * Like ts_session_score it begins with an empty timeline, which is `tokens` afterwards (a prefix of them after an
 * error), without logits. Errors: those of ts_session_sync. */
typedef enum ts_pooling { TS_POOLING_MEAN, TS_POOLING_LAST } ts_pooling;
TS_NODISCARD ts_status ts_session_embed(ts_session *s, const ts_token *tokens, size_t n, ts_pooling how, bool unit,
                                        float *out, ts_err *err);

/* ---- several sessions in one pass ------------------------------------------------------------------------------ */

/* A session may be given tokens that are processed later, together with those of other sessions: each weight is then
 * read once for all of them. Nobody is started: a loop of steps is the caller's, and so is who takes part in them. The
 * results have the same bits as ts_session_sync of each session alone.
 *
 * prepare: as ts_session_sync, but the new part is left pending. Where there is nothing to do, there are logits and
 * nothing is pending. Errors: TS_E_LIMIT, TS_E_INVAL, after which the session is as it was.
 * append: n >= 1 more tokens behind the timeline and those that are pending. The same errors. */
TS_NODISCARD ts_status ts_session_prepare(ts_session *s, const ts_token *tokens, size_t n, ts_err *err);
TS_NODISCARD ts_status ts_session_append(ts_session *s, const ts_token *tokens, size_t n, ts_err *err);
/* Tokens that are pending. */
size_t ts_session_pending(const ts_session *s);

/* One pass over pending tokens of these n >= 1 sessions, all of one engine, none of them twice: first every session
 * that goes on by one token (a token was appended to a timeline that had none pending), then prompts, both in the
 * order of the list, until `budget` tokens are in the pass. 0, or more than a pass takes (256; 32 with a device): as
 * many as it takes. A prompt that does not fit is cut, and goes on in the next step. A session with nothing pending is
 * left as it is. Afterwards a session has logits where nothing of it is pending any more (ts_session_pending is 0).
 * Returns when the pass has ended. Uses each session, and waits for other passes, as ts_session_sync does.
 *
 * Errors belong to sessions: the pass is run again without the session that asked to stop (TS_E_CANCELLED by its
 * progress) or whose numbers stop being finite (TS_E_UNSUPP, TS_E_FORMAT), and the others get their results. That
 * session's timeline is as it was before the step, without logits, and nothing of it is pending. (TS_E_FORMAT for the
 * logits themselves: its tokens are in the timeline.) So is TS_E_NOMEM the error of the session that there is no page
 * of keys and values for. TS_E_DEVICE and TS_E_IO are everybody's who took part.
 * The step returns the error of the first in the list that failed in it, TS_OK if none did; ts_session_status tells
 * for each. TS_E_INVAL for the list itself: nothing has happened. */
TS_NODISCARD ts_status ts_sessions_step(ts_session *const s[], size_t n, size_t budget, ts_err *err);
/* How the last pass of this session ended; *err is written where not well. TS_OK too where it has been given tokens
 * since. */
TS_NODISCARD ts_status ts_session_status(const ts_session *s, ts_err *err);

/* Since the session was made or ts_session_stats_reset. A pass that others take part in counts with all of its time:
 * what this session had to wait for its tokens. May grow. */
typedef struct ts_session_stats {
    uint64_t n_prefill, prefill_ns; /* tokens of prompts: given several at a time, or at the beginning of a timeline */
    uint64_t n_decode, decode_ns;   /* tokens given one at a time behind a timeline */
    uint64_t n_reused;              /* tokens that sync found in the cache */
    uint64_t kv_bytes;              /* of the pages of keys and values that it holds now */
    uint64_t kv_own_bytes;          /* of these, pages that no other session and no prefix store has */
} ts_session_stats;
void ts_session_get_stats_sized(const ts_session *s, ts_session_stats *out, size_t out_size);
static inline void ts_session_get_stats(const ts_session *s, ts_session_stats *out) {
    ts_session_get_stats_sized(s, out, sizeof *out);
}
void ts_session_stats_reset(ts_session *s);

/* A second session with the timeline of the first (and its pending tokens, logits, context, KV type and progress
 * callback), without processing anything. Both hold the same pages of keys and values until one of them writes to a
 * page: full pages of 64 positions stay shared, the last one is copied when a session goes on in it. Each may outlive
 * the other, and they may be used by different threads; during the call `src` is used by this one. Errors:
 * TS_E_NOMEM. */
TS_NODISCARD ts_status ts_session_fork(ts_session **out, const ts_session *src, ts_err *err);

/* Cut the timeline to its first n tokens; pages behind them are let go, and pending tokens. Nothing is processed:
 * unless n is the present length there are no logits then (ts_session_logits gives NULL) until the next sync, which
 * processes what follows the n tokens, or, where nothing does, the last of them again. Errors: TS_E_INVAL: it is
 * shorter than n. */
TS_NODISCARD ts_status ts_session_truncate(ts_session *s, size_t n, ts_err *err);

/* Write the timeline with its keys, values and logits to a file (docs/formats/session.md); the name shows either what
 * was there or the whole new file. Errors: TS_E_IO, TS_E_NOMEM. */
TS_NODISCARD ts_status ts_session_save(const ts_session *s, const char *path, ts_err *err);

/* Make the timeline that of a saved session, as if it had never been interrupted: its logits are there (where it had
 * some), and nothing is processed. After an error the timeline is what it was before. The file must be of the same
 * model (configuration and tensors; the tokenizer and the chat template do not matter), of the same KV type, and
 * fit the context. Pending tokens are not saved, and those of the session that takes the file fall away.
 * Errors: TS_E_IO; TS_E_FORMAT: not a saved session, or a damaged one; TS_E_UNSUPP: of another model, KV type or
 * version of the format; TS_E_LIMIT: longer than the context; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_session_restore(ts_session *s, const char *path, ts_err *err);

/* ---- prefix store: keys and values of beginnings that were computed before --------------------------------------- */

/* Remembers keys and values of timelines, in whole pages of 64 positions, and finds them by the tokens alone: for any
 * session, of any request, in memory and, with a folder, on disk (docs/formats/kv-store.md), also after a restart and
 * for several programs at once. What a session gets there has the bits of what it would have computed. Before a prompt:
 *
 *     ts_prefix_take(store, s, prompt, n, &found, err)     (an empty session)
 *     ts_session_prepare(s, prompt, n, err) or ts_session_sync(s, prompt, n, err)
 *
 * and when a timeline has grown, or before its session is freed: ts_prefix_give(store, s, err).
 * A store is used by any number of threads at once, each with sessions of its own. */
typedef struct ts_prefix_store ts_prefix_store;

typedef struct ts_prefix_opts { /* zero-initialise; may grow */
    /* of pages that are kept in memory, those that sessions hold too included; what was used least lately goes first.
     * 0: a quarter of the memory that is free now, 1 GiB where nobody says how much that is. Fewer than a page has:
     * none are kept. */
    uint64_t memory_bytes;
    const char *dir;     /* of files, made where it is missing (0700); copied; NULL: none */
    uint64_t disk_bytes; /* that all files there have at most; 0: 8 GiB */
} ts_prefix_opts;

/* Errors: TS_E_NOMEM, TS_E_INVAL (an engine without a model). A folder that cannot be used is a warning in the log, and
 * the store is in memory only; so is a file that cannot be written. */
TS_NODISCARD ts_status ts_prefix_store_new_sized(ts_prefix_store **out, ts_engine *e, const ts_prefix_opts *opts,
                                                 size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_prefix_store_new(ts_prefix_store **out, ts_engine *e,
                                                         const ts_prefix_opts *opts, ts_err *err) {
    return ts_prefix_store_new_sized(out, e, opts, sizeof *opts, err);
}
/* Writes what is still to be written first. NULL-safe. Before ts_engine_close; sessions may live on. */
void ts_prefix_store_free(ts_prefix_store *p);

/* Give an empty session the longest beginning of tokens[0..n) that is known: whole pages, never all n tokens, so that
 * there is something left to compute logits from, and no more than its context holds. *found: how many tokens the
 * timeline has now; 0: none, the session is as it was. Reads files where memory does not have it; a damaged one is
 * removed and counts as nothing found. Errors: TS_E_INVAL: the session is of another engine, or not empty; TS_E_IO:
 * the model's file has been written to; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_prefix_take(ts_prefix_store *p, ts_session *s, const ts_token *tokens, size_t n,
                                      size_t *found, ts_err *err);
/* Remember the whole pages of the session's timeline: they are shared, not copied. Where there is a folder, those of a
 * timeline of 256 tokens or more are written to it soon, by a thread of the store; nobody waits for the disk. Errors:
 * TS_E_INVAL: the session is of another engine; TS_E_IO: the model's file has been written to; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_prefix_give(ts_prefix_store *p, const ts_session *s, ts_err *err);

typedef struct ts_prefix_stats { /* since the store was made, but for the first four; may grow */
    uint64_t pages, bytes;           /* in memory now */
    uint64_t disk_files, disk_bytes; /* in the folder now, as far as is known, those of other models included */
    uint64_t hits, misses;           /* calls of ts_prefix_take that could have found something, and what they did */
    uint64_t hit_tokens, disk_tokens; /* found; of these, read from files */
    uint64_t written, written_bytes; /* files */
    uint64_t removed;                /* files: over the cap, or damaged */
    uint64_t damaged;                /* of these */
    uint64_t failed;                 /* writes that went wrong */
} ts_prefix_stats;
void ts_prefix_get_stats_sized(ts_prefix_store *p, ts_prefix_stats *out, size_t out_size);
static inline void ts_prefix_get_stats(ts_prefix_store *p, ts_prefix_stats *out) {
    ts_prefix_get_stats_sized(p, out, sizeof *out);
}

/* ---- sampling -------------------------------------------------------------------------------------------------- */

typedef struct ts_logit_bias {
    ts_token token;
    float bias; /* added to the logit; -INFINITY forbids the token */
} ts_logit_bias;

/* Applied in this order: logit bias; repeat, frequency and presence penalties over the last `penalty_window` tokens;
 * then, unless temperature is 0 (which takes the largest logit, the lowest id first): top-k, typical, top-p, min-p,
 * temperature, and a draw from what is left. May grow. */
typedef struct ts_sampler_opts {
    float temperature;       /* 0: greedy */
    int32_t top_k;           /* 0: off */
    float top_p;             /* 1: off */
    float min_p;             /* 0: off */
    float typical_p;         /* 1: off */
    float repeat_penalty;    /* 1: off; divides positive, multiplies negative logits of tokens seen */
    float frequency_penalty; /* 0: off; times the count of the token */
    float presence_penalty;  /* 0: off */
    int32_t penalty_window;  /* tokens looked back, -1: the whole timeline */
    uint64_t seed;
    const ts_logit_bias *bias; /* borrowed until ts_sampler_free */
    size_t n_bias;
} ts_sampler_opts;
/* temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, penalties off, window 64, seed 0. */
void ts_sampler_defaults_sized(ts_sampler_opts *out, size_t out_size);
static inline ts_sampler_opts ts_sampler_defaults(void) {
    ts_sampler_opts o;
    ts_sampler_defaults_sized(&o, sizeof o);
    return o;
}

typedef struct ts_sampler ts_sampler;
/* Errors: TS_E_INVAL naming the option that is out of range. */
TS_NODISCARD ts_status ts_sampler_new_sized(ts_sampler **out, const ts_sampler_opts *opts, size_t opts_size,
                                            uint32_t n_vocab, ts_err *err);
static inline TS_NODISCARD ts_status ts_sampler_new(ts_sampler **out, const ts_sampler_opts *opts, uint32_t n_vocab,
                                                    ts_err *err) {
    return ts_sampler_new_sized(out, opts, sizeof *opts, n_vocab, err);
}
void ts_sampler_free(ts_sampler *s); /* NULL-safe */
/* The next token after history[0..n_history) (for the penalties), from logits f32 [n_vocab], into *out. Allocates
 * nothing. Deterministic: the same options, history, logits and number of draws so far give the same token on every
 * machine. Errors, nothing being drawn: TS_E_INVAL: a logit is not a number, a token of the history is outside the
 * vocabulary, or all logits are -infinity, as biases can make them. */
TS_NODISCARD ts_status ts_sampler_next(ts_sampler *s, const float *logits, const ts_token *history, size_t n_history,
                                       ts_token *out, ts_err *err);
/* Start the draws over from a seed. */
void ts_sampler_reseed(ts_sampler *s, uint64_t seed);

typedef struct ts_logprob {
    ts_token token;
    double logprob; /* natural logarithm of a probability */
} ts_logprob;
/* What logits f32 [n_vocab] say before any sampler: the natural logarithm of the probability (softmax over all of them)
 * of `token` [0, n_vocab), returned, and those of the k likeliest tokens, into top [k], likeliest first, of equals the
 * lower id; where the vocabulary has fewer, the rest have the token -1 and -infinity. By the C library's exp and log,
 * whose last digits may differ between machines, unlike the logits'. */
double ts_logprobs(const float *logits, uint32_t n_vocab, ts_token token, ts_logprob *top, size_t k);

/* ---- constraints ----------------------------------------------------------------------------------------------- */

/* What the text of an answer has to be (docs/constrain.md): JSON of a schema, a regular expression, a grammar, calls of
 * tools; compiled for an engine's vocabulary. */
typedef struct ts_constraint ts_constraint;

typedef enum ts_constraint_kind {
    TS_CONSTRAIN_SCHEMA,  /* JSON Schema, draft 2020-12 */
    TS_CONSTRAIN_REGEX,   /* ECMA-262 with flag u, matched whole */
    TS_CONSTRAIN_GRAMMAR, /* GBNF, as llama.cpp has it */
    TS_CONSTRAIN_TOOLS,   /* the "tools" array of an OpenAI request */
} ts_constraint_kind;

typedef struct ts_constraint_opts { /* zero-initialise; may grow */
    ts_constraint_kind kind;
    const char *text; /* [len] as the kind says; not needed afterwards */
    size_t len;
    const char *tool_format; /* tools: "hermes", "llama3", "mistral", "mistral-args", "deepseek-r1", "deepseek-v3" */
    const char *tool_choice; /* tools: "auto" (default), "required", "none" or a tool's name */
    bool tool_named;         /* tool_choice is a tool's name, whatever it spells */
    bool one_call;           /* tools: at most one call */
    /* Schemas, also of tools: all that they allow. Otherwise what nobody asked for is left out: undeclared keys where
     * `properties` is written and additionalProperties is not, and types that a schema without `type` has no keyword
     * about. Better answers, and still valid ones. */
    bool exact;
    /* The answer may begin with a block "<think>...</think>", in which it is free; or it begins within one, which the
     * prompt has opened, and then has to end it first. */
    bool thinking, in_thinking;
    /* tools, where none has to be called: JSON of this JSON Schema [answer_len] is what is said instead of a call, and
     * nothing in front of one; NULL: any text. Refusals of it begin their pointer with "answer#". */
    const char *answer;
    size_t answer_len;
} ts_constraint_opts;

/* Errors: TS_E_FORMAT: the text is no schema, pattern, grammar or tools; TS_E_UNSUPP: no automaton can keep it, or
 * nothing satisfies it; TS_E_LIMIT: it is too large: "refused at WHERE: REASON" with a JSON pointer, "byte N", "line N"
 * or "tool-choice". TS_E_INVAL: options; TS_E_NOMEM. From any thread. */
TS_NODISCARD ts_status ts_constraint_new_sized(ts_constraint **out, const ts_engine *e, const ts_constraint_opts *opts,
                                               size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_constraint_new(ts_constraint **out, const ts_engine *e,
                                                       const ts_constraint_opts *opts, ts_err *err) {
    return ts_constraint_new_sized(out, e, opts, sizeof *opts, err);
}
void ts_constraint_free(ts_constraint *c); /* NULL-safe */

/* ---- answers --------------------------------------------------------------------------------------------------- */

typedef enum ts_stop_reason {
    TS_STOP_END,       /* the model ended its answer */
    TS_STOP_STRING,    /* one of the stop strings */
    TS_STOP_LENGTH,    /* max_tokens */
    TS_STOP_CONTEXT,   /* the context is full */
    TS_STOP_CANCELLED, /* a callback said so */
} ts_stop_reason;

/* A piece of the answer, one for each token drawn. The library's; may grow. */
typedef struct ts_piece {
    const char *text;      /* whole characters of UTF-8, never part of a stop string; may be empty; no NUL behind */
    size_t len;
    ts_token token;        /* the newest token; -1: none, the answer was ended from outside */
    const float *logits;   /* f32 [n_vocab] that it was drawn from, before mask and sampler; NULL: not drawn */
    bool last;             /* the answer is over: text that was held back is part of this piece */
    ts_stop_reason reason; /* where `last`: why */
    const char *stop;      /* the stop string that was found, as it was given; NULL: none */
} ts_piece;
/* Returning false stops the answer: there is no further call. */
typedef bool ts_piece_fn(void *ud, const ts_piece *piece);

/* Says which tokens may come next (a grammar, a JSON schema): `allowed` has a bit for each token, bit id % 32 of
 * allowed[id / 32]; all are set, those of forbidden tokens are to be cleared. `history` is what the sampler gets. The
 * model's end tokens are tokens like others: where they are forbidden the answer goes on. Returning false stops the
 * answer. */
typedef bool ts_mask_fn(void *ud, const ts_token *history, size_t n_history, uint32_t *allowed);

typedef struct ts_generate_opts { /* zero-initialise; may grow */
    size_t max_tokens;       /* 0: until the context is full */
    const char *const *stop; /* stop strings, not printed; empty ones count for nothing */
    size_t n_stop;
    bool ignore_end;         /* go on after the model's own end token */
    bool special;            /* print control tokens too */
    ts_piece_fn *on_piece;   /* ts_generate only */
    void *ud;
    ts_mask_fn *mask;        /* asked before each draw */
    void *mask_ud;
    /* What the answer has to be; borrowed until ts_answer_free. It goes before sampler and mask, which can only forbid
     * more. The model's end tokens may come exactly where the text may end; where nothing else may, the answer is over
     * without a draw (TS_STOP_END, also with ignore_end). Answers that share one belong to one thread at a time.
     * ts_answer_next and _push: TS_E_INVAL: a token that it forbids, or biases and mask leave none; TS_E_LIMIT: the
     * constraint takes more work than is allowed. */
    ts_constraint *constraint;
    /* an answer that ends inside a character (max_tokens, the context) ends in front of it; else U+FFFD is there */
    bool drop_partial;
} ts_generate_opts;

/* An answer that is being made, fed with logits token by token: it masks, draws, turns tokens into whole characters,
 * holds back what may become a stop string, counts, and says when it is over and why. It knows no session, so that a
 * server may drive many of them, each beside the session whose logits it gets:
 *
 *     ts_answer_new(&a, engine, sampler, prompt[n - 1], &opts, err)
 *     ts_session_prepare(s, prompt, n, err)
 *     after each ts_sessions_step, where ts_session_pending(s) is 0:
 *         ts_answer_next(a, ts_session_logits(s), ts_session_tokens(s, &n), n, &piece, err)
 *         send piece->text; if piece->last, done; else let the session process piece->token
 *
 * ts_generate is that loop for one session. An answer belongs to one thread at a time. Nothing is allocated for a
 * token but where a buffer has to grow. */
typedef struct ts_answer ts_answer;
/* `sampler` is borrowed until ts_answer_free; NULL: tokens come by ts_answer_push only. `after` is the last token of
 * the prompt (-1: none): behind a control token an answer is a text of its own, and SentencePiece's space in front of
 * it is dropped. `opts` (NULL: defaults) is copied; its stop strings are borrowed until ts_answer_free.
 * Errors: TS_E_INVAL: the sampler is for another vocabulary, a stop string is NULL; TS_E_LIMIT: more than 4 GiB of
 * them; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_answer_new_sized(ts_answer **out, const ts_engine *e, ts_sampler *sampler, ts_token after,
                                           const ts_generate_opts *opts, size_t opts_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_answer_new(ts_answer **out, const ts_engine *e, ts_sampler *sampler,
                                                   ts_token after, const ts_generate_opts *opts, ts_err *err) {
    return ts_answer_new_sized(out, e, sampler, after, opts, sizeof *opts, err);
}
void ts_answer_free(ts_answer *a); /* NULL-safe */
/* Draw the next token from logits f32 [n_vocab]; `history` [n_history] is for penalties and mask: the timeline so
 * far. *out is the piece, valid until the answer's next call. Errors: those of ts_sampler_next, nothing having
 * happened; TS_E_INVAL also: the answer is over; TS_E_NOMEM: it can only be freed. */
TS_NODISCARD ts_status ts_answer_next(ts_answer *a, const float *logits, const ts_token *history, size_t n_history,
                                      const ts_piece **out, ts_err *err);
/* The same for a token that the caller has chosen. */
TS_NODISCARD ts_status ts_answer_push(ts_answer *a, ts_token token, const ts_piece **out, ts_err *err);
/* End the answer from outside: a last piece without a token, with the text that was held back. */
TS_NODISCARD ts_status ts_answer_finish(ts_answer *a, ts_stop_reason reason, const ts_piece **out, ts_err *err);
/* Tokens so far, the end token included. */
size_t ts_answer_n_tokens(const ts_answer *a);

typedef struct ts_generated { /* may grow */
    ts_stop_reason reason;
    size_t n_tokens;        /* drawn, the end token included */
    uint64_t first_ns;      /* from the call to the first token drawn */
    uint64_t total_ns;
} ts_generated;

/* Sync to the prompt and answer it, each piece being given to on_piece (where the context ends or the session's
 * progress callback stops the answer, text that was held back comes in a piece without a token). The session's
 * timeline afterwards is the prompt and all tokens drawn but the last one or two. `opts` NULL: defaults.
 * Errors: those of ts_session_sync and ts_answer_new; TS_E_CANCELLED only where the prompt was not finished. */
TS_NODISCARD ts_status ts_generate_sized(ts_session *s, ts_sampler *sampler, const ts_token *prompt, size_t n_prompt,
                                         const ts_generate_opts *opts, size_t opts_size, ts_generated *out,
                                         size_t out_size, ts_err *err);
static inline TS_NODISCARD ts_status ts_generate(ts_session *s, ts_sampler *sampler, const ts_token *prompt,
                                                 size_t n_prompt, const ts_generate_opts *opts, ts_generated *out,
                                                 ts_err *err) {
    return ts_generate_sized(s, sampler, prompt, n_prompt, opts, sizeof *opts, out, sizeof *out, err);
}

#if defined(__GNUC__)
#    pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
