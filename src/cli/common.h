/* common.h - options and steps that several commands share: the model, the session, sampling, prompts. */
#ifndef TS_CLI_COMMON_H
#define TS_CLI_COMMON_H

#include "cli/opt.h"
#include "cli/progress.h"
#include "tessera/tessera.h"

typedef struct cli_model {
    char device_text[200]; /* --device with what other options say about it: see cli_device */
    const char *hf; /* -hf: a name of the hub; cli_take_hf makes it the path, until cli_check_model fetches it */
    const char *path, *device, *kv, *kv_keys, *kv_values, *pre;
    bool quiet;   /* no notices */
    bool bundled; /* path is the model that comes with Tessera, since none was given */
    long threads, ctx, sim_seed;
    bool allow_cpu_ops, ledger, ledger_check, no_prefetch, offline;
    const char *prefetch;
    cli_progress loading, prompt;
} cli_model;

#define CLI_MODEL_HELP                                                                                                 \
    "the model, a GGUF file or the name of one in the store (tessera list); default: $TESSERA_MODEL, or the tiny one " \
    "that comes with Tessera"
/* Behind -m. */
#define CLI_HF_OPTS(m)                                                                                                 \
    {CLI_STR, 0, "hf-repo", "ORG/NAME[:QUANT]", &(m).hf, 0, 0,                                                         \
     "a model of the hub: it is fetched where it is not in the store, as tessera pull does", .also = "-hf -hfr"},      \
    {                                                                                                                  \
        CLI_FLAG, 0, "offline", NULL, &(m).offline, 0, 0, "with -hf: ask nobody, it must be in the store"              \
    }
/* Entries for an option table. */
#define CLI_KV_OPTS(m)                                                                                                 \
    {CLI_STR, 0, "kv", "TYPE", &(m).kv, 0, 0, "element type of the KV cache: f16 (default), f32, q8_0",                \
     .values = "f16 f32 q8_0"},                                                                                        \
        {CLI_STR, 0, "cache-type-k", "TYPE", &(m).kv_keys, 0, 0, "the same for its keys alone; both must be equal",    \
         .also = "-ctk", .values = "f16 f32 q8_0"},                                                                    \
        {CLI_STR, 0, "cache-type-v", "TYPE", &(m).kv_values, 0, 0, "and for its values", .also = "-ctv",               \
         .values = "f16 f32 q8_0"}
#define CLI_DEVICE_OPTS(m)                                                                                             \
    CLI_DEVICE_ONLY_OPTS(m),                                                                                           \
        {CLI_FLAG, 0, "ledger", NULL, &(m).ledger, 0, 0, "a table of what ran where and what it cost"},                \
    {                                                                                                                  \
        CLI_FLAG, 0, "ledger-check", NULL, &(m).ledger_check, 0, 0,                                                    \
            "the same, and everything that the device computes is compared with the CPU"                               \
    }
/* Without the ledger. */
#define CLI_DEVICE_ONLY_OPTS(m)                                                                                        \
    {CLI_STR, 0, "device", "NAME", &(m).device, 0, 0,                                                                  \
     "where linear layers run: cpu (default), npu (XDNA1), npu-sim (the same programs on a simulated NPU); with the "  \
     "device's own options behind a colon: npu-sim:seed=3,no-prefetch",                                                \
     .also = "-dev", .values = "cpu npu npu-sim", .behind = ":+"},                                                     \
        {CLI_FLAG, 0, "allow-cpu-ops", NULL, &(m).allow_cpu_ops, 0, 0,                                                 \
         "layers that the device cannot take run on the CPU"},                                                         \
        {CLI_STR, 0, "prefetch", "WHEN", &(m).prefetch, 0, 0,                                                          \
         "may the NPU take weights ahead of time: on, off, auto (default: on npu-sim only)", .values = "auto on off"}, \
        {CLI_FLAG, 0, "no-prefetch", NULL, &(m).no_prefetch, 0, 0, "the same as --prefetch off"},                      \
        {CLI_INT, 0, "sim-seed", "N", &(m).sim_seed, 0, 9007199254740992.0,                                            \
         "npu-sim: shake the latencies of the array, and be strict (default 0: nominal)"}
#define CLI_MODEL_OPTS(m)                                                                                              \
    {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Model"},                                                                   \
        {CLI_STR, 'm', "model", "FILE", &(m).path, 0, 0, CLI_MODEL_HELP, .values = "@model"},                          \
        CLI_HF_OPTS(m),                                                                                                \
        CLI_DEVICE_OPTS(m),                                                                                            \
        {CLI_INT, 't', "threads", "N", &(m).threads, 1, 1024, "threads (default: all processors)"},                    \
        CLI_PRE_OPT(m),                                                                                                \
        {CLI_INT, 'c', "ctx", "N", &(m).ctx, 1, 1 << 24,                                                               \
         "context size in tokens (default: what the model was trained with, at most 4096)",                            \
         .also = "--ctx-size --num-ctx"},                                                                              \
        CLI_KV_OPTS(m)

#define CLI_PRE_OPT(m)                                                                                                 \
    {CLI_STR, 0, "pre", "NAME", &(m).pre, 0, 0,                                                                        \
     "how text is split, for files that do not say: llama-bpe, qwen2, gpt-2, smollm or tekken",                        \
     .values = "llama-bpe qwen2 gpt-2 smollm tekken ..."}

/* -hf takes the place of -m, before plain arguments are dealt out. CLI_OK, or an exit code where there are both. */
int cli_take_hf(const cli_command *cmd, cli_model *m);
/* Does the device text begin with the NPU? */
bool cli_is_npu(const char *device);
/* Is there a model to open, with options that can be right? To be asked before input is read. Without -m, fills in
 * the default model (bundled.h); a name becomes the path of the model in the store, which -hf fetches first. */
int cli_check_model(const cli_command *cmd, cli_model *m);
/* One line to standard error where there are fewer processors than n. */
void cli_warn_threads(long n);
/* The names are those of text/chat.c; a wrong one lists all of them. */
#define CLI_TEMPLATE_OPT(out)                                                                                          \
    {CLI_STR, 0, "chat-template", "NAME", &(out), 0, 0,                                                                \
     "use this template instead of the file's: llama2, llama3, llama3.1, chatml, qwen3, mistral-v1, mistral-v3, "      \
     "mistral-v7, gemma, gemma3, phi3, zephyr, ...",                                                                   \
     .values = CLI_TEMPLATE_NAMES " ..."}
/* For completion and for the nearest name; a unit test compares them with text/chat.c. */
#define CLI_TEMPLATE_NAMES                                                                                             \
    "llama2 llama2-one-bos llama2-as-is llama3 llama3.1 chatml qwen3 mistral-v0 mistral-v1 mistral-v3 "                \
    "mistral-v3-tekken mistral-v7 mistral-v7-tekken gemma gemma3 phi3 zephyr"

/* What the options say about the engine. */
ts_engine_opts cli_engine_opts(const cli_model *m);
/* The ledger to standard error where it was asked for; CLI_FAIL after a line where the check found a difference. */
int cli_report_ledger(const cli_model *m, const ts_engine *e, bool print);
/* Open the engine, showing progress; warns of more threads than processors, and says so where the model is Tessera's
 * own for want of another. CLI_OK, or an exit code after one line to standard error. */
int cli_open_engine(const cli_command *cmd, cli_model *m, ts_engine **out);
/* Would a result of this name take the place of one of the n files that are read (NULL: none)? Of a folder all files
 * are, but GGUF files, which nobody reads there. */
bool cli_is_read(const char *out, const char *const read[], size_t n);
/* CLI_OK, or where it would an exit code after one line. */
int cli_check_output(const cli_command *cmd, const char *out, const char *const read[], size_t n);
/* A session with the context and KV type asked for. */
int cli_open_session(const cli_command *cmd, cli_model *m, ts_engine *e, ts_session **out);
/* Check what --device, --prefetch, --no-prefetch, --sim-seed and --allow-cpu-ops say together: m->device_text. */
int cli_device(const cli_command *cmd, cli_model *m);
/* The type of that name; the option table lets no other through. NULL: the default. */
ts_kv_type cli_kv_named(const char *name);
/* The type that --kv, -ctk and -ctv agree on; m->kv is then its name. */
int cli_kv_type(const cli_command *cmd, cli_model *m, ts_kv_type *out);

typedef struct cli_sampling {
    double temp, top_p, min_p, typical, repeat, presence, frequency;
    long top_k, seed, window; /* seed -1: chosen from the clock */
    cli_list bias, stop;
    ts_logit_bias *bias_value; /* owned */
} cli_sampling;
cli_sampling cli_sampling_defaults(void);
void cli_sampling_free(cli_sampling *s);

#define CLI_SAMPLING_OPTS(s)                                                                                           \
    {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Sampling, in the order of application"},                                   \
        {CLI_LIST, 'l', "logit-bias", "ID=B", &(s).bias, 0, 0,                                                         \
         "add B to the logit of token ID; -inf forbids it; repeatable"},                                               \
        {CLI_REAL, 0, "repeat-penalty", "X", &(s).repeat, 0.01, 100, "on tokens of the last 64 (default 1: off)",      \
         .also = "--repetition-penalty"},                                                                              \
        {CLI_REAL, 0, "frequency-penalty", "X", &(s).frequency, -100, 100,                                             \
         "times the count of the token (default 0: off)"},                                                             \
        {CLI_REAL, 0, "presence-penalty", "X", &(s).presence, -100, 100, "once per token seen (default 0: off)"},      \
        {CLI_INT, 0, "penalty-window", "N", &(s).window, -1, 1 << 24,                                                  \
         "tokens that penalties look back (default 64; -1: all)", .also = "--repeat-last-n"},                          \
        {CLI_INT, 0, "top-k", "N", &(s).top_k, 0, 1 << 24, "keep the N likeliest (default 40; 0: all)"},               \
        {CLI_REAL, 0, "typical", "P", &(s).typical, 0, 1, "locally typical sampling (default 1: off)",                 \
         .also = "--typical-p"},                                                                                       \
        {CLI_REAL, 0, "top-p", "P", &(s).top_p, 0, 1, "keep the likeliest that make up P (default 0.95; 1: all)"},     \
        {CLI_REAL, 0, "min-p", "P", &(s).min_p, 0, 1,                                                                  \
         "keep those at least P times as likely as the first (default 0.05; 0: all)"},                                 \
        {CLI_REAL, 0, "temp", "T", &(s).temp, 0, 100, "temperature (default 0.8; 0: always the likeliest)",            \
         .also = "--temperature"},                                                                                     \
        {CLI_INT, 's', "seed", "N", &(s).seed, -1, 9007199254740992.0, "of the draws (default -1: from the clock)"},   \
        {CLI_LIST, 'r', "stop", "TEXT", &(s).stop, 0, 0, "end the answer before this text; repeatable",                \
         .also = "--reverse-prompt"}

/* "ID=B" of --logit-bias; `shown` is what messages call it. TS_E_INVAL. */
TS_NODISCARD ts_status cli_parse_bias(const char *shown, const char *text, uint32_t n_vocab, ts_logit_bias *out,
                                      ts_err *err);
/* Sets s->seed where it was -1. *s must outlive the sampler. */
TS_NODISCARD ts_status cli_sampler_new(cli_sampling *s, uint32_t n_vocab, ts_sampler **out, ts_err *err);
/* The same for a command: CLI_OK, or an exit code after one line to standard error. */
int cli_open_sampler(const cli_command *cmd, cli_sampling *s, const ts_engine *e, ts_sampler **out);

/* Can there be such a chat template (NULL: none is asked for): one of text/chat.c, or one that models have under a
 * usual name? To be asked before a model is loaded. */
int cli_check_template(const char *name);

/* "1,2,3", or the numbers in @FILE (separated by commas or white space). *out is allocated (free). */
int cli_parse_ids(const cli_command *cmd, const char *text, ts_token **out, size_t *n);

/* The text of -p and -f (exactly one must be given): *text is allocated (free), *len its length. */
int cli_read_text(const cli_command *cmd, const char *prompt, const char *file, char **text, size_t *len);

/* "512.3 tok/s" arithmetic: 0 where no time has passed. */
double cli_rate(uint64_t n, uint64_t ns);

/* Append s to out; bytes that are not UTF-8 become U+FFFD. */
TS_NODISCARD bool cli_utf8_clean(ts_buf *out, const char *s, size_t len);

/* A short name of a reason, for reports: "end", "stop", "length", "context", "cancelled". */
const char *cli_stop_name(ts_stop_reason reason);

#endif
