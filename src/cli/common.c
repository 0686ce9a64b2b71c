#include "cli/common.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/ledger.h"
#include "cli/nearest.h"
#include "cli/sim_speed.h"
#include "cli/store.h"
#include "cli/term.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TEXT_LIMIT = 1 << 30 };

ts_kv_type cli_kv_named(const char *name) {
    ts_kv_type type = TS_KV_F16;
    while (name && ts_kv_type_name(type) && strcmp(name, ts_kv_type_name(type)) != 0) type++;
    return type;
}

int cli_kv_type(const cli_command *cmd, cli_model *m, ts_kv_type *out) {
    const char *both = m->kv ? m->kv : "f16";
    const char *keys = m->kv_keys ? m->kv_keys : both, *values = m->kv_values ? m->kv_values : both;
    *out = cli_kv_named(keys);
    if (strcmp(keys, values) != 0)
        return cli_usage_error(
            cmd, "keys in %s and values in %s: both parts of the KV cache have one type, give --kv f16, f32 or q8_0",
            keys, values);
    m->kv = keys;
    return CLI_OK;
}

static bool on_cpu(const cli_model *m) {
    return !m->device || !strcmp(m->device, "cpu");
}

/* --sim-seed is about the simulated NPU: the last device, where there are several, to which options are added. */
static bool takes_seed(const cli_model *m) {
    const char *last = m->device ? strrchr(m->device, '+') : NULL;
    last = last ? last + 1 : m->device;
    return last && !strncmp(last, "npu-sim", 7);
}

/* The options that are about the device are spellings of its text. */
static bool device_text(cli_model *m) {
    const char *const dev = on_cpu(m) ? "cpu" : m->device, *last = strrchr(dev, '+');
    size_t cap = sizeof m->device_text, n = (size_t)snprintf(m->device_text, cap, "%s", dev);
    char seed[40], prefetch[40];
    snprintf(seed, sizeof seed, "seed=%ld", m->sim_seed);
    snprintf(prefetch, sizeof prefetch, "prefetch=%s", m->prefetch ? m->prefetch : "");
    const struct {
        bool said;
        const char *text;
    } more[] = {{m->allow_cpu_ops, "allow-cpu-ops"}, {m->prefetch != NULL, prefetch}, {m->no_prefetch, "no-prefetch"},
                {m->sim_seed && takes_seed(m), seed}};
    char sep = strchr(last ? last : dev, ':') ? ',' : ':';
    for (size_t i = 0; i < sizeof more / sizeof *more && n < cap; i++) {
        if (on_cpu(m) || !more[i].said) continue;
        n += (size_t)snprintf(m->device_text + n, cap - n, "%c%s", sep, more[i].text);
        sep = ',';
    }
    return n < cap;
}

int cli_device(const cli_command *cmd, cli_model *m) {
    ts_err err;
    if (m->prefetch && m->no_prefetch && strcmp(m->prefetch, "off") != 0)
        return cli_usage_error(cmd, "give --prefetch %s or --no-prefetch, not both", m->prefetch);
    if (!device_text(m)) return cli_usage_error(cmd, "--device is longer than %zu characters", sizeof m->device_text);
    return ts_device_check(m->device_text, &err) == TS_OK ? CLI_OK : cli_usage_error(cmd, "%s", err.msg);
}

void cli_warn_threads(long n) {
    if (n > ts_cpu_count())
        fprintf(stderr, "tessera: %ld threads on %d processor%s: more threads than processors make it slower\n", n,
                ts_cpu_count(), ts_cpu_count() == 1 ? "" : "s");
}

/* Options that change nothing on this device. */
static void warn_idle(const cli_model *m) {
    const char *name = !on_cpu(m)         ? NULL
                       : m->allow_cpu_ops ? "--allow-cpu-ops"
                       : m->no_prefetch   ? "--no-prefetch"
                       : m->prefetch      ? "--prefetch"
                                          : NULL;
    if (name)
        fprintf(stderr, "tessera: %s is about the NPU: without --device npu or npu-sim it changes nothing\n", name);
    if (m->sim_seed && !takes_seed(m))
        fprintf(stderr,
                "tessera: --sim-seed is about the simulated NPU: without --device npu-sim it changes nothing\n");
}

int cli_take_hf(const cli_command *cmd, cli_model *m) {
    if (!m->hf) return CLI_OK;
    if (m->path) return cli_usage_error(cmd, "give -m or -hf, not both");
    m->path = m->hf;
    return CLI_OK;
}

bool cli_is_npu(const char *device) {
    return device && !strncmp(device, "npu", 3);
}

int cli_check_model(const cli_command *cmd, cli_model *m) {
    ts_kv_type kv;
    int code = cli_device(cmd, m);
    if (code) return code;
    if (!m->path) m->path = cli_default_model(&m->bundled);
    if (!m->path) return cli_usage_error(cmd, "which model? Give one with -m FILE");
    if (m->hf) code = cli_fetch_model(cmd, m->hf, cli_is_npu(m->device), m->offline, m->quiet, &m->path);
    else if (!m->bundled) code = cli_find_model(&m->path, cli_is_npu(m->device), m->quiet);
    if (code) return code;
    m->hf = NULL; /* the path is the model's now */
    code = m->bundled ? CLI_OK : cli_check_model_path(m->path, false);
    return code ? code : cli_kv_type(cmd, m, &kv);
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the file one of the folder's own? */
static bool is_part(const char *file, const struct stat *folder) {
    const char *slash = strrchr(file, '/');
    char *dir = !slash ? ts_strdup(".") : ts_strndup(file, slash == file ? 1 : (size_t)(slash - file)), magic[4] = "";
    struct stat st;
    const bool inside = dir && stat(dir, &st) == 0 && same_file(&st, folder);
    ts_free(dir);
    FILE *f = inside ? fopen(file, "rb") : NULL;
    const bool gguf = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "GGUF", 4);
    if (f) fclose(f);
    return inside && !gguf;
}

bool cli_is_read(const char *out, const char *const read[], size_t n) {
    struct stat to, from;
    if (!out || stat(out, &to) < 0 || !S_ISREG(to.st_mode)) return false;
    for (size_t i = 0; i < n; i++)
        if (read[i] && stat(read[i], &from) == 0 &&
            (same_file(&to, &from) || (S_ISDIR(from.st_mode) && is_part(out, &from))))
            return true;
    return false;
}

int cli_check_output(const cli_command *cmd, const char *out, const char *const read[], size_t n) {
    if (!cli_is_read(out, read, n)) return CLI_OK;
    return cli_usage_error(cmd, "%s is what is read: give the result another name", out);
}

ts_engine_opts cli_engine_opts(const cli_model *m) {
    return (ts_engine_opts){.device = m->device_text, /* cli_device has made it */
                            .pre = m->pre,
                            .cpu_level = getenv("TESSERA_CPU"),
                            .n_threads = (int)m->threads,
                            .stop = cli_interrupt_stop,
                            .ledger = m->ledger,
                            .ledger_check = m->ledger_check};
}

int cli_report_ledger(const cli_model *m, const ts_engine *e, bool print) {
    if (!m->ledger && !m->ledger_check) return CLI_OK;
    if (print) cli_ledger_print(e, stderr);
    if (cli_ledger_agrees(e)) return CLI_OK;
    fprintf(stderr, "tessera: the device's results are not those of the CPU\n");
    return CLI_FAIL;
}

int cli_open_engine(const cli_command *cmd, cli_model *m, ts_engine **out) {
    int code = cli_check_model(cmd, m);
    if (code) return code;
    if (!m->quiet) cli_warn_threads(m->threads);
    if (!m->quiet) warn_idle(m);
    if (m->bundled && !m->quiet)
        cli_term_print(
            stderr,
            "No -m: this is the tiny model that comes with Tessera. It knows Tessera, small sums and little stories; "
            "a real model: -m FILE.gguf",
            true);
    m->loading = (cli_progress){.what = "loading", .unit = "MiB", .per_unit = 1 << 20};
    ts_engine_opts opts = cli_engine_opts(m);
    opts.progress = cli_progress_step;
    opts.progress_ud = &m->loading;
    ts_err err;
    cli_progress_begin(&m->loading);
    ts_status s = ts_engine_open(out, m->path, &opts, &err);
    cli_progress_end(&m->loading);
    if (s == TS_OK && !m->quiet) cli_sim_notice(*out);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

int cli_open_session(const cli_command *cmd, cli_model *m, ts_engine *e, ts_session **out) {
    ts_kv_type kv;
    int code = cli_kv_type(cmd, m, &kv);
    if (code) return code;
    m->prompt = (cli_progress){.what = "prompt", .unit = "tokens"};
    ts_session_opts opts = {.n_ctx = (uint32_t)m->ctx, .kv = kv, .progress = cli_progress_step,
                            .progress_ud = &m->prompt};
    ts_err err;
    ts_status s = ts_session_new(out, e, &opts, &err);
    if (s == TS_E_NOMEM) ts_err_add(&err, "; use a smaller --ctx%s", kv == TS_KV_F32 ? " or --kv f16" : "");
    ts_model_info info;
    ts_engine_info(e, &info);
    if (s == TS_OK && !m->quiet && ts_session_n_ctx(*out) > info.n_ctx_train)
        fprintf(stderr,
                "tessera: a context of %u tokens, but the model was trained with %u: do not trust what lies beyond\n",
                ts_session_n_ctx(*out), info.n_ctx_train);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

/* 0.8, not 0.800000012: as a person would write it. */
static double decimal(float f) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", (double)f);
    return strtod(text, NULL);
}

cli_sampling cli_sampling_defaults(void) {
    ts_sampler_opts d = ts_sampler_defaults();
    return (cli_sampling){.temp = decimal(d.temperature), .top_p = decimal(d.top_p), .min_p = decimal(d.min_p),
                          .typical = decimal(d.typical_p), .repeat = decimal(d.repeat_penalty), .top_k = d.top_k,
                          .seed = -1,
                          .window = d.penalty_window};
}

void cli_sampling_free(cli_sampling *s) {
    ts_free(s->bias.item);
    ts_free(s->stop.item);
    ts_free(s->bias_value);
    s->bias = s->stop = (cli_list){0};
    s->bias_value = NULL;
}

ts_status cli_parse_bias(const char *shown, const char *text, uint32_t n_vocab, ts_logit_bias *out, ts_err *err) {
    char *end, *end2;
    errno = 0;
    long id = strtol(text, &end, 10);
    if (end == text || *end != '=' || errno)
        return ts_fail(err, TS_E_INVAL, "%s %s: expected ID=B, for example 42=-1.5", shown, text);
    if (id < 0 || (unsigned long)id >= n_vocab)
        return ts_fail(err, TS_E_INVAL, "%s %s: the vocabulary has the tokens 0 to %u", shown, text, n_vocab - 1);
    double b = strtod(end + 1, &end2);
    if (end2 == end + 1 || *end2 || isnan(b))
        return ts_fail(err, TS_E_INVAL, "%s %s: \"%s\" is not a number", shown, text, end + 1);
    *out = (ts_logit_bias){.token = (ts_token)id, .bias = (float)b};
    return TS_OK;
}

ts_status cli_sampler_new(cli_sampling *s, uint32_t n_vocab, ts_sampler **out, ts_err *err) {
    ts_free(s->bias_value);
    s->bias_value = ts_calloc(s->bias.n, sizeof *s->bias_value);
    if (!s->bias_value) return ts_fail_nomem(err, "logit biases", s->bias.n * sizeof *s->bias_value);
    for (size_t i = 0; i < s->bias.n; i++)
        TS_TRY(cli_parse_bias("--logit-bias", s->bias.item[i], n_vocab, &s->bias_value[i], err));
    if (s->seed == -1) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        s->seed = (now.tv_sec * 1000003 + now.tv_nsec) & 0x7fffffff;
    }
    ts_sampler_opts o = {.temperature = (float)s->temp,
                         .top_k = (int32_t)s->top_k,
                         .top_p = (float)s->top_p,
                         .min_p = (float)s->min_p,
                         .typical_p = (float)s->typical,
                         .repeat_penalty = (float)s->repeat,
                         .frequency_penalty = (float)s->frequency,
                         .presence_penalty = (float)s->presence,
                         .penalty_window = (int32_t)s->window,
                         .seed = (uint64_t)s->seed,
                         .bias = s->bias_value,
                         .n_bias = s->bias.n};
    return ts_sampler_new(out, &o, n_vocab, err);
}

int cli_open_sampler(const cli_command *cmd, cli_sampling *s, const ts_engine *e, ts_sampler **out) {
    ts_model_info info;
    ts_engine_info(e, &info);
    ts_err err;
    ts_status st = cli_sampler_new(s, info.n_vocab, out, &err);
    if (st == TS_E_INVAL) return cli_usage_error(cmd, "%s", err.msg);
    return st == TS_OK ? CLI_OK : cli_fail(&err);
}

int cli_check_template(const char *name) {
    static const char *const usual[] = {"default", "tool_use", "rag"};
    for (size_t i = 0; name && i < sizeof usual / sizeof *usual; i++)
        if (!strcmp(name, usual[i])) return CLI_OK;
    if (!name) return CLI_OK;
    char shown[64], list[400] = "";
    const char *known;
    size_t used = 0;
    cli_nearest near = {.word = name, .len = strlen(name)};
    for (size_t i = 0; (known = ts_chat_template_name(i)) != NULL; i++) {
        if (!strcmp(name, known)) return CLI_OK;
        cli_nearest_offer(&near, known, strlen(known));
        const int n = snprintf(list + used, sizeof list - used, "%s%s", used ? " " : "", known);
        if (n > 0 && used + (size_t)n < sizeof list) used += (size_t)n;
        else list[used] = 0;
    }
    ts_printable(shown, sizeof shown, name, strlen(name));
    ts_err err;
    (void)ts_fail(&err, TS_E_INVAL, "chat template \"%s\" is not known; known are %s", shown, list);
    if (near.found) ts_err_add(&err, "; did you mean %s?", near.found);
    return cli_fail(&err);
}

int cli_parse_ids(const cli_command *cmd, const char *text, ts_token **out, size_t *n) {
    ts_buf file = {0};
    ts_err err;
    if (text[0] == '@') {
        if (ts_file_read(&file, text + 1, TEXT_LIMIT, &err) != TS_OK) {
            ts_buf_free(&file);
            return cli_fail(&err);
        }
        text = file.data ? file.data : "";
    }
    ts_token *id = NULL;
    size_t cap = 0, count = 0;
    int code = CLI_OK;
    for (const char *p = text; code == CLI_OK;) {
        while (isspace((unsigned char)*p) || *p == ',') p++;
        if (!*p) break;
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX) {
            code = cli_usage_error(cmd, "--ids: \"%.20s\" is not a token number", p);
        } else if (!ts_grow((void **)&id, &cap, count + 1, sizeof *id)) {
            (void)ts_fail_nomem(&err, "token ids", count * sizeof *id);
            code = cli_fail(&err);
        } else {
            id[count++] = (ts_token)v;
        }
        p = end;
    }
    if (code == CLI_OK && count == 0) code = cli_usage_error(cmd, "--ids: there are no token numbers");
    ts_buf_free(&file);
    if (code) {
        ts_free(id);
        return code;
    }
    *out = id;
    *n = count;
    return CLI_OK;
}

int cli_read_text(const cli_command *cmd, const char *prompt, const char *file, char **text, size_t *len) {
    ts_buf b = {0};
    ts_err err;
    if (!prompt == !file)
        return cli_usage_error(cmd, prompt ? "give -p or -f, not both" : "what text? Give -p TEXT or -f FILE");
    ts_status s = file ? ts_file_read(&b, file, TEXT_LIMIT, &err) : TS_OK;
    if (prompt && !ts_buf_puts(&b, prompt)) s = ts_fail_nomem(&err, "the prompt", strlen(prompt));
    if (s == TS_OK && !ts_buf_reserve(&b, 1)) s = ts_fail_nomem(&err, "the prompt", b.len);
    if (s != TS_OK) {
        ts_buf_free(&b);
        return cli_fail(&err);
    }
    *text = b.data;
    *len = b.len;
    return CLI_OK;
}

double cli_rate(uint64_t n, uint64_t ns) {
    return ns ? (double)n * 1e9 / (double)ns : 0;
}

bool cli_utf8_clean(ts_buf *out, const char *s, size_t len) {
    if (!ts_buf_reserve(out, len)) return false;
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        uint32_t c;
        n = (size_t)ts_utf8_decode(s + i, len - i, &c);
        if (!(n ? ts_buf_append(out, s + i, n) : ts_buf_puts(out, "\xef\xbf\xbd"))) return false;
    }
    return true;
}

const char *cli_stop_name(ts_stop_reason reason) {
    switch (reason) {
    case TS_STOP_END: return "end";
    case TS_STOP_STRING: return "stop";
    case TS_STOP_LENGTH: return "length";
    case TS_STOP_CONTEXT: return "context";
    case TS_STOP_CANCELLED: return "cancelled";
    }
    return "unknown";
}
