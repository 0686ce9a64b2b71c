/* cmd_run.c - tessera run: one answer to standard output. */
#include "base/cpu.h"
#include "base/json_write.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/constrain_opts.h"
#include "cli/ledger.h"
#include "cli/output.h"
#include "cli/stats.h"
#include "cli/template_opts.h"
#include "cli/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOGPROBS = 100 }; /* likeliest tokens that can be asked for */

typedef struct run_args {
    cli_model model;
    cli_sampling sampling;
    cli_template template;
    cli_constrain constrain;
    const char *prompt, *file, *ids, *system;
    long n_predict, logprobs;
    bool raw, json, ignore_eos, special;
} run_args;

/* What is collected while the answer comes. */
struct answer {
    const run_args *a;
    const ts_engine *e;
    cli_progress *prompt;
    cli_progress drawing; /* with --json: nothing else is seen of it */
    size_t n_drawn;
    uint32_t n_vocab;
    ts_buf text;  /* with --json */
    ts_buf probs; /* JSON array elements, with --logprobs */
    ts_buf ids;   /* JSON array elements */
    bool failed;  /* the output is gone */
    bool nomem;
};

static bool add_logprobs(struct answer *w, const ts_piece *p) {
    ts_logprob top[LOGPROBS];
    const size_t k = (size_t)w->a->logprobs;
    const double drawn = ts_logprobs(p->logits, w->n_vocab, p->token, top, k);
    if (!ts_buf_printf(&w->probs, "%s{\"id\":%d,\"logprob\":%.6f,\"top\":[", w->probs.len ? "," : "", p->token, drawn))
        return false;
    for (size_t i = 0; i < k && top[i].token >= 0; i++)
        if (!ts_buf_printf(&w->probs, "%s{\"id\":%d,\"logprob\":%.6f}", i ? "," : "", top[i].token, top[i].logprob))
            return false;
    return ts_buf_puts(&w->probs, "]}");
}

static bool on_piece(void *ud, const ts_piece *p) {
    struct answer *w = ud;
    cli_progress_end(w->prompt);
    w->n_drawn += p->token >= 0;
    if (w->a->json) {
        (void)cli_progress_step(&w->drawing, w->n_drawn, w->a->n_predict > 0 ? (uint64_t)w->a->n_predict : 0);
        w->nomem |= !ts_buf_append(&w->text, p->text, p->len) ||
                    (p->token >= 0 && !ts_buf_printf(&w->ids, "%s%d", w->ids.len ? "," : "", p->token));
    } else if (p->len && !w->failed) {
        w->failed = !cli_put_text(p->text, p->len);
    }
    if (w->a->logprobs && p->token >= 0) w->nomem |= !add_logprobs(w, p);
    return !w->failed && !w->nomem && !cli_interrupted();
}

/* What the command line gives, read before the model is loaded: *token from --ids, otherwise the text. */
struct prompt {
    ts_token *token;
    size_t n;
    char *text;
    size_t len;
};

/* The text behind -p or as an argument, then what comes on standard input, with a blank line between where there are
 * both. */
static int read_given(const cli_command *cmd, const run_args *a, struct prompt *p) {
    char *in = NULL;
    size_t len, begin = a->prompt ? strlen(a->prompt) : 0;
    int code = cli_read_stdin(cmd, a->prompt ? CLI_STDIN_MORE : 0, &in, &len);
    if (code) return code;
    if (!a->prompt && !in)
        return cli_usage_error(cmd, "what prompt? Give it as an argument, with -p TEXT, -f FILE or --ids LIST, or on "
                                    "standard input; tessera chat is a conversation");
    ts_buf b = {0};
    ts_err err;
    bool ok = ts_buf_reserve(&b, 1) && ts_buf_append(&b, a->prompt ? a->prompt : "", begin) &&
              (!a->prompt || !in || ts_buf_puts(&b, "\n\n")) && ts_buf_append(&b, in ? in : "", len);
    ts_free(in);
    p->text = b.data, p->len = b.len; /* freed by the caller in any case */
    if (ok) return CLI_OK;
    (void)ts_fail_nomem(&err, "the prompt", begin + len);
    return cli_fail(&err);
}

static int read_prompt(const cli_command *cmd, const run_args *a, struct prompt *p) {
    if (a->ids) return cli_parse_ids(cmd, a->ids, &p->token, &p->n);
    int code = a->file ? cli_read_text(cmd, NULL, a->file, &p->text, &p->len) : read_given(cmd, a, p);
    if (code == CLI_OK && !a->raw && memchr(p->text, 0, p->len))
        code = cli_usage_error(cmd, "the prompt contains a NUL byte, which a chat template cannot carry; use --raw");
    return code;
}

/* The text's tokens: as it is with --raw, otherwise as a conversation of system and user. */
static int tokenize(const run_args *a, const ts_engine *e, struct prompt *p) {
    ts_err err;
    ts_status s;
    if (p->token) return CLI_OK;
    if (a->raw) {
        s = ts_engine_tokenize(e, p->text, p->len, TS_TOKENIZE_BOS, &p->token, &p->n, &err);
    } else {
        ts_message msg[2];
        size_t n = 0;
        ts_prompt prompt;
        if (a->system) msg[n++] = (ts_message){"system", a->system};
        msg[n++] = (ts_message){"user", p->text};
        s = ts_engine_chat(e, &a->template.opts, msg, n, &prompt, &err);
        if (s != TS_OK) return cli_template_fail(&err, s, "or use --raw");
        p->token = prompt.token, p->n = prompt.n;
        prompt.token = NULL;
        ts_prompt_release(&prompt);
    }
    if (s == TS_OK && p->n == 0)
        s = ts_fail(&err, TS_E_INVAL, "the prompt has no tokens: this model needs at least one");
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

static void print_stats(const run_args *a, const ts_model_info *info, const cli_counts *n, const ts_generated *g) {
    ts_buf out = {0};
    bool ok = cli_stats_counts(&out, n, cli_stop_name(g->reason), a->sampling.temp > 0 ? a->sampling.seed : -1) &&
              ts_buf_printf(&out, "memory: %zu MiB peak; model loaded in %.2f s\n", ts_mem_peak() >> 20,
                            (double)info->load_ns * 1e-9) &&
              cli_stats_device(&out, info);
    if (ok) {
        out.data[out.len - 1] = 0; /* the line break is the printer's */
        cli_term_print(stderr, out.data, true);
    }
    ts_buf_free(&out);
}

static int report(const run_args *a, struct answer *w, const ts_session *s, const ts_generated *g, size_t n_prompt) {
    ts_session_stats st;
    ts_session_get_stats(s, &st);
    ts_model_info info;
    ts_engine_info(w->e, &info);
    cli_counts n = {
        .n_answers = 1, .n_prompt = n_prompt, .n_read = n_prompt, .n_drawn = g->n_tokens, .first_ns = g->first_ns,
        .read_ns = st.prefill_ns, .n_steps = st.n_decode, .draw_ns = st.decode_ns};
    if (!a->json) {
        if (!cli_put_end()) return CLI_FAIL;
        if (!a->model.quiet) print_stats(a, &info, &n, g); /* what is asked for by name comes with -q too */
        if (a->logprobs) fprintf(stderr, "[%s]\n", w->probs.data ? w->probs.data : "");
        return cli_report_ledger(&a->model, w->e, true);
    }
    double prompt_rate = cli_rate(n_prompt, n.read_ns), gen_rate = n.n_steps ? cli_rate(n.n_steps, n.draw_ns) : 0;
    double first_ms = (double)g->first_ns * 1e-6;
    ts_buf out = {0};
    bool ok =
        ts_buf_puts(&out, "{\"text\":") && ts_json_put_string(&out, w->text.data ? w->text.data : "", w->text.len) &&
        ts_buf_printf(&out, ",\"tokens\":[%s],\"stop\":\"%s\",\"prompt_tokens\":%zu,\"generated_tokens\":%zu,",
                      w->ids.data ? w->ids.data : "", cli_stop_name(g->reason), n_prompt, g->n_tokens) &&
        ts_buf_printf(&out,
                      "\"prompt_tok_per_s\":%.3f,\"generated_tok_per_s\":%.3f,\"first_token_ms\":%.3f,\"load_ms\":%.3f,"
                      "\"peak_memory_bytes\":%zu,\"seed\":%ld,\"device\":\"%s\",\"cpu_level\":\"%s\",\"threads\":%d,"
                      "\"evidence\":\"%s\",\"time_kind\":\"%s\"",
                      prompt_rate, gen_rate, first_ms, (double)info.load_ns * 1e-6, ts_mem_peak(), a->sampling.seed,
                      info.device, info.cpu_level, info.n_threads, ts_evidence_name(info.evidence),
                      cli_time_kind(&info)) &&
        (!a->logprobs || ts_buf_printf(&out, ",\"logprobs\":[%s]", w->probs.data ? w->probs.data : "")) &&
        (!(a->model.ledger || a->model.ledger_check) ||
         (ts_buf_puts(&out, ",\"ledger\":") && cli_ledger_json(w->e, &out))) &&
        ts_buf_puts(&out, "}\n");
    if (ok) ok = fwrite(out.data, 1, out.len, stdout) == out.len;
    ts_buf_free(&out);
    return ok ? cli_report_ledger(&a->model, w->e, false) : CLI_FAIL;
}

static int answer(const cli_command *cmd, run_args *a, ts_engine *e, struct prompt *prompt) {
    int code = tokenize(a, e, prompt);
    if (code) return code;
    ts_session *s = NULL;
    ts_sampler *sampler = NULL;
    ts_model_info info;
    ts_engine_info(e, &info);
    struct answer w = {.a = a, .e = e, .prompt = &a->model.prompt, .drawing = {.what = "answer", .unit = "tokens"},
                       .n_vocab = info.n_vocab};
    code = cli_open_session(cmd, &a->model, e, &s);
    if (code == CLI_OK) code = cli_open_sampler(cmd, &a->sampling, e, &sampler);
    if (code == CLI_OK) code = cli_constrain_open(cmd, &a->constrain, e);
    if (code == CLI_OK) {
        ts_generate_opts opts = {.max_tokens = a->n_predict > 0 ? (size_t)a->n_predict : 0,
                                 .stop = a->sampling.stop.item, .n_stop = a->sampling.stop.n,
                                 .ignore_end = a->ignore_eos, .special = a->special, .on_piece = on_piece, .ud = &w,
                                 .constraint = a->constrain.constraint};
        ts_generated g;
        ts_err err;
        ts_status st = ts_generate(s, sampler, prompt->token, prompt->n, &opts, &g, &err);
        cli_progress_end(&a->model.prompt);
        cli_progress_end(&w.drawing);
        if (st == TS_E_LIMIT && prompt->n > ts_session_n_ctx(s))
            ts_err_add(&err, prompt->n <= info.n_ctx_train ? "; use a larger --ctx" : "; shorten it");
        if (st == TS_OK && w.nomem) st = ts_fail_nomem(&err, "the answer", w.text.len + w.probs.len);
        if (st != TS_OK) {
            if (!a->json) (void)cli_put_end();
            code = cli_fail(&err);
        } else if (w.failed)
            code = CLI_FAIL; /* main tells why */
        else
            code = report(a, &w, s, &g, prompt->n);
        if (code == CLI_OK && st == TS_OK && g.reason == TS_STOP_CANCELLED) code = CLI_FAIL;
    }
    ts_buf_free(&w.text), ts_buf_free(&w.ids), ts_buf_free(&w.probs);
    ts_sampler_free(sampler);
    ts_session_free(s);
    return code;
}

/* An option about the template that was given, NULL: none. */
static const char *has_template(const cli_template *t) {
    return t->name        ? "--chat-template"
           : t->file      ? "--chat-template-file"
           : t->vars.n    ? "--template-var"
           : t->now       ? "--now"
           : t->tools     ? "--tools"
           : t->documents ? "--documents"
                          : NULL;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    run_args a = {.sampling = cli_sampling_defaults()};
    const cli_opt opts[] = {
        {CLI_STR, 'p', "prompt", "TEXT", &a.prompt, 0, 0, "the prompt"},
        {CLI_STR, 'f', "file", "FILE", &a.file, 0, 0, "the prompt from a file; - is standard input", .values = "@file"},
        {CLI_STR, 0, "ids", "LIST", &a.ids, 0, 0, "the prompt as token numbers: 1,2,3 or @FILE"},
        {CLI_INT, 'n', "predict", "N", &a.n_predict, -1, 1 << 24,
         "at most N tokens (default 0 or -1: until the answer ends)", .also = "--n-predict --max-tokens"},
        {CLI_STR, 0, "system", "TEXT", &a.system, 0, 0, "system prompt", .also = "-sys --system-prompt"},
        {CLI_FLAG, 0, "raw", NULL, &a.raw, 0, 0, "continue the text as it is, without a chat template"},
        {CLI_FLAG, 0, "ignore-eos", NULL, &a.ignore_eos, 0, 0, "go on after the model's end token"},
        {CLI_FLAG, 0, "special", NULL, &a.special, 0, 0, "print control tokens too", .also = "-sp"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "one JSON object instead of text"},
        {CLI_INT, 0, "logprobs", "K", &a.logprobs, 0, LOGPROBS, "log-probabilities of every token and the K likeliest"},
        {CLI_FLAG, 'q', "quiet", NULL, &a.model.quiet, 0, 0, "no statistics and notices"},
        CLI_CONSTRAIN_OPTS(a.constrain),
        CLI_TEMPLATE_OPTS(a.template),
        CLI_MODEL_OPTS(a.model),
        CLI_SAMPLING_OPTS(a.sampling),
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    char *text = NULL;
    const char *given = a.ids ? "--ids" : a.file ? "-f" : a.prompt ? "-p" : NULL;
    if (code == CLI_OK && a.ids && (a.prompt || a.file)) code = cli_usage_error(cmd, "give --ids or a text, not both");
    if (code == CLI_OK && a.prompt && a.file) code = cli_usage_error(cmd, "give -p or -f, not both");
    if (code == CLI_OK) code = cli_take_hf(cmd, &a.model);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_TEXT, &rest, &a.model.path, given, &text);
    if (text) a.prompt = text;
    if (code == CLI_OK && a.raw && a.system)
        code = cli_usage_error(cmd, "--system needs a chat template; it does not go with --raw");
    if (code == CLI_OK && a.raw && has_template(&a.template))
        code = cli_usage_error(cmd, "%s does not go with --raw", has_template(&a.template));
    if (code == CLI_OK && a.ids && (a.system || has_template(&a.template)))
        code = cli_usage_error(cmd, "--ids are the whole prompt: %s does not go with them",
                               a.system ? "--system" : has_template(&a.template));
    ts_engine *e = NULL;
    struct prompt prompt = {0};
    if (code == CLI_OK) code = cli_check_model(cmd, &a.model);
    if (code == CLI_OK) code = cli_template_read(cmd, &a.template);
    if (code == CLI_OK) code = read_prompt(cmd, &a, &prompt);
    cli_catch_interrupt();
    if (code == CLI_OK) code = cli_open_engine(cmd, &a.model, &e);
    if (code == CLI_OK) code = answer(cmd, &a, e, &prompt);
    cli_constrain_free(&a.constrain);
    ts_engine_close(e);
    ts_free(prompt.text);
    ts_free(text);
    ts_tokens_release(prompt.token);
    ts_free(rest.item);
    cli_sampling_free(&a.sampling);
    cli_template_free(&a.template);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_run = {
    .name = "run",
    .args = "[MODEL] [TEXT]",
    .summary = "answer one prompt on standard output",
    .text =
        "The first plain argument is the model, unless -m gives it; all others are the prompt. A single argument with "
        "blanks in it "
        "that is not the name of a file is the prompt, for the default model. Without a prompt, standard input is the "
        "prompt; with one, what comes on standard input follows it behind a blank line, as in "
        "cat page | tessera run -p \"sum it up\". Either is read to its end (</dev/null: there is none), and one line "
        "break at "
        "the end is left out; -f FILE takes all bytes and leaves standard input alone.\n"
        "\n"
        "The answer is printed as it comes, and its last line is ended; statistics follow on standard error. At a "
        "terminal "
        "lines are broken between words. --json has the text exactly as the model made it.\n"
        "Exit code: 0 answered, 1 failed or interrupted, 2 wrong usage.",
    .run = run,
    .files = "@model",
};
