#define _GNU_SOURCE
/* cmd_eval.c - tessera eval: perplexity of a text, or the logits themselves. */
#include "base/json_write.h"
#include "base/outfile.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/kl.h"
#include "cli/ledger.h"
#include "cli/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval_args {
    cli_model model;
    const char *prompt, *file, *ids, *separator, *logits_out, *kl;
    bool json, no_bos, truncate;
} eval_args;

/* Running sums over all predicted tokens. */
struct tally {
    double nll, nll_sq;
    uint64_t n;
};

struct chunk {
    const ts_token *token;
    size_t n;
    ts_token next;    /* of the text, behind this piece, to be predicted by it; -1: none */
    size_t repeated;  /* tokens in front that are not of the text: BOS put before a later piece */
    uint32_t n_vocab;
    struct tally *tally;
    ts_outfile *logits;  /* --logits-out; NULL: none */
    ts_status written;   /* of the last write, with its error */
    ts_err err;
};

static bool on_logits(void *ud, size_t pos, const float *logits) {
    struct chunk *c = ud;
    if (c->logits && pos >= c->repeated)
        c->written = ts_outfile_write(c->logits, logits, c->n_vocab * sizeof *logits, &c->err);
    if (c->written != TS_OK) return false;
    ts_token next = pos + 1 < c->n ? c->token[pos + 1] : c->next;
    if (next >= 0) {
        double v = -ts_logprobs(logits, c->n_vocab, next, NULL, 0);
        c->tally->nll += v;
        c->tally->nll_sq += v * v;
        c->tally->n++;
    }
    return !cli_interrupted();
}

/* A document in pieces of at most n_ctx tokens, every piece on an empty timeline. Every token but the text's first
 * is predicted once, whatever the context: a later piece's first token by BOS, which is put in front of it, or,
 * where the text begins without BOS, by the end of the piece before. */
static int score(eval_args *a, ts_engine *e, ts_session *s, const ts_token *token, size_t n, bool bos, struct tally *t,
                 ts_outfile *logits) {
    ts_model_info info;
    ts_engine_info(e, &info);
    size_t ctx = ts_session_n_ctx(s);
    ts_err err;
    if (ctx < 2) {
        (void)ts_fail(&err, TS_E_INVAL,
                      "a context of one token predicts nothing from anything: use a --ctx of 2 or more");
        return cli_fail(&err);
    }
    ts_token *piece = ts_alloc(ctx, sizeof *piece);
    if (!piece) {
        (void)ts_fail_nomem(&err, "a piece of the text", ctx * sizeof *piece);
        return cli_fail(&err);
    }
    int code = CLI_OK;
    for (size_t at = 0; at < n && code == CLI_OK;) {
        size_t k = 0, repeated = at > 0 && bos;
        if (repeated) piece[k++] = token[0];
        while (k < ctx && at < n) piece[k++] = token[at++];
        a->model.prompt.before = at - k, a->model.prompt.whole = n;
        struct chunk c = {.token = piece, .n = k, .next = at < n && !bos && !a->truncate ? token[at] : -1,
                          .repeated = repeated, .n_vocab = info.n_vocab, .tally = t, .logits = logits};
        ts_status st = ts_session_score(s, piece, k, on_logits, &c, &err);
        if (a->truncate) at = n;
        if (c.written != TS_OK) code = cli_fail(&c.err);
        else if (st != TS_OK) code = cli_fail(&err);
    }
    ts_free(piece);
    return code;
}

static void error_bar(const struct tally *t, double *mean, double *sd) {
    *mean = t->n ? t->nll / (double)t->n : 0;
    double var = t->n > 1 ? (t->nll_sq - t->nll * *mean) / (double)(t->n - 1) : 0;
    *sd = t->n > 1 && var > 0 ? sqrt(var / (double)t->n) : 0;
}

/* Tokens of a text; *bos: is there a BOS in front of it? */
static ts_status tokens_of(const eval_args *a, const ts_engine *e, const char *text, size_t len, ts_token **token,
                           size_t *n, bool *bos, ts_err *err) {
    ts_token *first = NULL;
    size_t n_first = 0;
    const unsigned flags = a->no_bos ? 0 : TS_TOKENIZE_BOS;
    /* what stands in front of an empty text is BOS */
    TS_TRY(ts_engine_tokenize(e, "", 0, flags, &first, &n_first, err));
    ts_tokens_release(first);
    *bos = n_first > 0;
    return ts_engine_tokenize(e, text, len, flags | TS_TOKENIZE_EOS, token, n, err);
}

static int print_buf(ts_buf *out, bool ok) {
    ts_err err;
    if (ok) fwrite(out->data, 1, out->len, stdout); /* main tells of a failed write */
    else (void)ts_fail_nomem(&err, "the result", out->len);
    ts_buf_free(out);
    return ok ? CLI_OK : cli_fail(&err);
}

static int print_document(size_t doc, const struct tally *t) {
    ts_buf out = {0};
    return print_buf(&out, ts_buf_printf(&out, "{\"document\":%zu,\"tokens\":%llu,\"nll_sum\":", doc,
                                         (unsigned long long)t->n) &&
                               ts_json_put_real(&out, t->nll, 9) && ts_buf_puts(&out, "}\n"));
}

static int print_json(const eval_args *a, const ts_engine *e, const struct tally *total, double mean, double sd,
                      double rate) {
    const struct {
        const char *key;
        double value;
        int decimals;
    } number[] = {{"nll_mean", mean, 9}, {"nll_sd", sd, 9}, {"perplexity", exp(mean), 6},
                  {"perplexity_sd", exp(mean) * sd, 6}, {"tok_per_s", rate, 1}};
    ts_buf out = {0};
    bool ok = ts_buf_printf(&out, "{\"tokens\":%llu", (unsigned long long)total->n);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        ok = ok && ts_buf_printf(&out, ",\"%s\":", number[i].key) &&
             ts_json_put_real(&out, number[i].value, number[i].decimals);
    if (a->model.ledger || a->model.ledger_check)
        ok = ok && ts_buf_puts(&out, ",\"ledger\":") && cli_ledger_json(e, &out);
    ts_model_info info;
    ts_engine_info(e, &info);
    return print_buf(
        &out,
        ok && ts_buf_printf(
                  &out,
                  ",\"device\":\"%s\",\"cpu_level\":\"%s\",\"threads\":%d,\"evidence\":\"%s\",\"time_kind\":\"%s\"}\n",
                  info.device, info.cpu_level, info.n_threads, ts_evidence_name(info.evidence), cli_time_kind(&info)));
}

/* All documents of a text: pieces between lines that equal the separator. */
static int eval_text(eval_args *a, ts_engine *e, ts_session *s, const char *text, size_t len, struct tally *total,
                     ts_outfile *logits) {
    ts_err err;
    size_t sep = a->separator ? strlen(a->separator) : 0, doc = 0;
    cli_progress progress = {.what = "text", .ended = !sep}; /* one text: its tokens are counted */
    int code = CLI_OK;
    if (sep) cli_progress_begin(&progress);
    for (size_t at = 0; at < len && code == CLI_OK;) {
        size_t end = len, next = len;
        if (sep) {
            const char *p = memmem(text + at, len - at, a->separator, sep);
            if (p) end = (size_t)(p - text), next = end + sep;
            /* blank lines around a separator belong to it */
            while (end > at && (text[end - 1] == '\n' || text[end - 1] == ' ')) end--;
            while (next < len && text[next] == '\n') next++;
        }
        if (end > at) {
            ts_token *token;
            size_t n;
            bool bos;
            ts_status st = tokens_of(a, e, text + at, end - at, &token, &n, &bos, &err);
            if (st != TS_OK) return cli_fail(&err);
            struct tally t = {0};
            code = n ? score(a, e, s, token, n, bos, &t, logits) : CLI_OK;
            ts_tokens_release(token);
            if (code == CLI_OK && sep && a->json) code = print_document(doc, &t);
            total->nll += t.nll, total->nll_sq += t.nll_sq, total->n += t.n;
            doc++;
        }
        at = next;
        if (!cli_progress_step(&progress, at, len) && code == CLI_OK) {
            (void)ts_fail(&err, TS_E_CANCELLED, "stopped after %llu tokens", (unsigned long long)total->n);
            code = cli_fail(&err);
        }
    }
    cli_progress_end(&progress);
    return code;
}

/* What the command line gives, read before the model is loaded: *token from --ids, otherwise the text. */
struct input {
    ts_token *token;
    size_t n;
    char *text;
    size_t len;
};

static int evaluate(const cli_command *cmd, eval_args *a, ts_engine *e, const struct input *in) {
    ts_session *s = NULL;
    int code = cli_open_session(cmd, &a->model, e, &s);
    if (code) return code;
    a->model.prompt.what = "eval";
    ts_outfile file = {0}, *logits = a->logits_out ? &file : NULL;
    struct tally total = {0};
    ts_err err;
    if (logits && ts_outfile_open(logits, a->logits_out, &err) != TS_OK) code = cli_fail(&err);
    a->model.prompt.ended = a->separator != NULL; /* many short texts: eval_text tells how far it has come */
    if (code == CLI_OK && in->token) code = score(a, e, s, in->token, in->n, false, &total, logits);
    else if (code == CLI_OK) code = eval_text(a, e, s, in->text, in->len, &total, logits);
    cli_progress_end(&a->model.prompt);
    if (logits && code != CLI_OK) ts_outfile_discard(logits);
    else if (logits && ts_outfile_commit(logits, &err) != TS_OK) code = cli_fail(&err);
    if (code == CLI_OK && total.n == 0 && !a->logits_out) {
        (void)ts_fail(&err, TS_E_INVAL, "the text has fewer than two tokens: nothing can be predicted");
        code = cli_fail(&err);
    }
    if (code == CLI_OK && total.n) {
        ts_session_stats st;
        ts_session_get_stats(s, &st);
        double mean, sd, rate = cli_rate(st.n_prefill + st.n_decode, st.prefill_ns + st.decode_ns);
        error_bar(&total, &mean, &sd);
        if (a->json) code = print_json(a, e, &total, mean, sd, rate);
        else {
            char device[100], evidence[100];
            ts_model_info info;
            ts_engine_info(e, &info);
            printf("perplexity %.4f +- %.4f (mean NLL %.6f +- %.6f nats over %llu tokens, context %u; %s; %s)\n",
                   exp(mean), exp(mean) * sd, mean, sd, (unsigned long long)total.n, ts_session_n_ctx(s),
                   cli_device_text(device, &info), cli_evidence_text(evidence, info.evidence));
        }
    }
    if (code == CLI_OK) code = cli_report_ledger(&a->model, e, !a->json);
    ts_session_free(s);
    return code;
}

static int divergence(const cli_command *cmd, eval_args *a, ts_engine *e, const struct input *in) {
    ts_buf json = {0};
    int code = cli_kl_run(cmd, &a->model, e, a->kl, in->text, in->len, a->json ? &json : NULL);
    if (code == CLI_OK && a->json) printf("%.*s\n", (int)json.len, json.data); /* main tells of a failed write */
    ts_buf_free(&json);
    return code;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    eval_args a = {0};
    const cli_opt opts[] = {
        {CLI_STR, 'f', "file", "FILE", &a.file, 0, 0, "the text; - is standard input", .values = "@file"},
        {CLI_STR, 'p', "prompt", "TEXT", &a.prompt, 0, 0, "the text itself"},
        {CLI_STR, 0, "ids", "LIST", &a.ids, 0, 0, "token numbers instead of text: 1,2,3 or @FILE"},
        {CLI_STR, 0, "separator", "TEXT", &a.separator, 0, 0,
         "the text holds documents with this between them, each scored on its own"},
        {CLI_FLAG, 0, "truncate", NULL, &a.truncate, 0, 0, "score only the first --ctx tokens of every document"},
        {CLI_STR, 0, "logits-out", "FILE", &a.logits_out, 0, 0,
         "write the logits after every token, f32 [position][vocab]", .values = "@file"},
        {CLI_STR, 0, "kl", "MODEL", &a.kl, 0, 0,
         "compare with a reference, as a model in 16 bits: Kullback-Leibler divergence, ratio of perplexities, same "
         "first choice; in pieces of 512 tokens, or --ctx",
         .values = "@model"},
        {CLI_FLAG, 0, "no-bos", NULL, &a.no_bos, 0, 0, "do not begin with the BOS token"},
        {CLI_FLAG, 'q', "quiet", NULL, &a.model.quiet, 0, 0, "no notices"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "JSON: a line per document (with --separator), then the whole"},
        CLI_MODEL_OPTS(a.model),
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    const int given = !!a.ids + !!a.prompt + !!a.file;
    if (code == CLI_OK) code = cli_take_hf(cmd, &a.model);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_MODEL, &rest, &a.model.path, NULL, NULL);
    if (code == CLI_OK && a.kl && (a.ids || a.separator || a.truncate || a.logits_out || a.no_bos || a.model.ledger ||
                                   a.model.ledger_check))
        code = cli_usage_error(cmd, "--kl goes with a text, --ctx and --json, not with --ids, --separator, --truncate, "
                                    "--logits-out, --no-bos or a ledger");
    if (code == CLI_OK && given > 1) code = cli_usage_error(cmd, "give one of -f FILE, -p TEXT and --ids LIST");
    ts_engine *e = NULL;
    struct input in = {0};
    if (code == CLI_OK) code = cli_check_model(cmd, &a.model);
    if (code == CLI_OK && a.kl) code = cli_check_model_path(a.kl, false);
    if (a.kl && !a.model.ctx) a.model.ctx = 512; /* as llama-perplexity has it */
    if (code == CLI_OK && !given) code = cli_read_stdin(cmd, CLI_STDIN_EXACT, &in.text, &in.len);
    else if (code == CLI_OK)
        code = a.ids ? cli_parse_ids(cmd, a.ids, &in.token, &in.n)
                     : cli_read_text(cmd, a.prompt, a.file, &in.text, &in.len);
    if (code == CLI_OK && !in.token && !in.text)
        code = cli_usage_error(cmd, "what text? Give -f FILE, -p TEXT, --ids LIST, or standard input");
    cli_catch_interrupt();
    if (code == CLI_OK) code = cli_open_engine(cmd, &a.model, &e);
    const char *read[] = {a.model.path, a.kl, a.file};
    if (code == CLI_OK && a.logits_out) code = cli_check_output(cmd, a.logits_out, read, 3);
    if (code == CLI_OK && a.kl) code = divergence(cmd, &a, e, &in);
    else if (code == CLI_OK) code = evaluate(cmd, &a, e, &in);
    ts_engine_close(e);
    ts_tokens_release(in.token);
    ts_free(in.text);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_eval = {
    .name = "eval",
    .args = "[MODEL]",
    .files = "@model",
    .summary = "perplexity of a text, or its logits",
    .text = "The text comes from -f, -p or standard input. It is cut into pieces of --ctx tokens. Every piece starts "
            "on an empty context, with BOS where the model uses\n"
            "one. Every token of the text is predicted once: the first of a piece by its BOS, or without BOS by the "
            "end of the\n"
            "piece before; the very first of a text without BOS cannot be. Perplexity is exp of the mean negative\n"
            "log-likelihood; the error bar is one standard error of that mean.",
    .run = run,
};
