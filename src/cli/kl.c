#include "cli/kl.h"

#include "base/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_CTX = 4 };

void cli_kl_free(cli_kl *k) {
    ts_free(k->kl);
    *k = (cli_kl){0};
}

/* log of the sum of exp, and the largest one's place */
static double log_sum(const float *logits, uint32_t n, uint32_t *top) {
    *top = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[*top]) *top = i;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += exp((double)logits[i] - (double)logits[*top]);
    return log(sum) + (double)logits[*top];
}

bool cli_kl_add(cli_kl *k, const float *ref, const float *logits, uint32_t n_vocab, ts_token next) {
    if (!ts_grow((void **)&k->kl, &k->cap, k->n + 1, sizeof *k->kl)) return false;
    uint32_t top[2];
    const double a = log_sum(ref, n_vocab, &top[0]), b = log_sum(logits, n_vocab, &top[1]);
    double kl = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        const double lp = (double)ref[i] - a, lq = (double)logits[i] - b;
        if (lp > -700) kl += exp(lp) * (lp - lq);
    }
    const double lp = (double)ref[next] - a, lq = (double)logits[next] - b, dp = exp(lq) - exp(lp);
    k->kl[k->n++] = kl;
    k->sum += kl, k->sum_sq += kl * kl;
    k->ref -= lp, k->ref_sq += lp * lp;
    k->nll -= lq, k->nll_sq += lq * lq;
    k->ratio += lp - lq, k->ratio_sq += (lp - lq) * (lp - lq);
    k->dp += dp, k->dp_sq += dp * dp, k->dp_4 += dp * dp * dp * dp;
    k->same_top += top[0] == top[1];
    return true;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cli_kl_quantile(cli_kl *k, double share) {
    if (!k->n) return 0;
    qsort(k->kl, k->n, sizeof *k->kl, by_size);
    const double at = share * (double)(k->n - 1);
    const size_t i = (size_t)at;
    const double part = at - (double)i;
    return i + 1 < k->n ? k->kl[i] * (1 - part) + k->kl[i + 1] * part : k->kl[i];
}

/* One standard error of a mean. */
static double error_of(double sum, double squares, size_t n) {
    if (n < 2) return 0;
    const double mean = sum / (double)n, variance = (squares - sum * mean) / (double)(n - 1);
    return variance > 0 ? sqrt(variance / (double)n) : 0;
}

/* ---- both models over the text ----------------------------------------------------------------------------------- */

typedef struct piece {
    const ts_token *token;
    size_t n, first; /* logits behind tokens first .. n - 2 count */
    uint32_t n_vocab;
    float *ref;   /* [n - 1 - first][n_vocab]: the reference's */
    cli_kl *sums; /* NULL: the reference is run, and fills them in */
    bool no_memory;
} piece;

static bool on_logits(void *ud, size_t pos, const float *logits) {
    piece *p = ud;
    if (pos < p->first || pos + 1 >= p->n) return !cli_interrupted();
    float *const ref = p->ref + (pos - p->first) * p->n_vocab;
    if (!p->sums) memcpy(ref, logits, p->n_vocab * sizeof *ref);
    else p->no_memory = !cli_kl_add(p->sums, ref, logits, p->n_vocab, p->token[pos + 1]);
    return !p->no_memory && !cli_interrupted();
}

static ts_status run_pieces(ts_session *ref, ts_session *own, ts_token *token, size_t n, bool bos, uint32_t n_vocab,
                            cli_progress *progress, cli_kl *sums, ts_err *err) {
    const size_t ctx = ts_session_n_ctx(own), first = ctx / 2;
    const ts_token begin = token[0];
    size_t bytes;
    if (!ts_size_mul(ctx - 1 - first, n_vocab, &bytes)) bytes = SIZE_MAX;
    piece p = {.n = ctx, .first = first, .n_vocab = n_vocab, .ref = ts_alloc(bytes, sizeof(float))};
    ts_status s = p.ref ? TS_OK : ts_fail_nomem(err, "logits", bytes);
    for (size_t at = 0; at + ctx <= n && s == TS_OK; at += ctx) {
        if (bos) token[at] = begin;
        p.token = token + at;
        p.sums = NULL;
        s = ts_session_score(ref, p.token, ctx, on_logits, &p, err);
        p.sums = sums;
        if (s == TS_OK) s = ts_session_score(own, p.token, ctx, on_logits, &p, err);
        if (p.no_memory) s = ts_fail_nomem(err, "divergences", sums->cap * sizeof *sums->kl);
        if (s == TS_OK && !cli_progress_step(progress, at + ctx, n))
            s = ts_fail(err, TS_E_CANCELLED, "stopped after %zu of %zu tokens", at + ctx, n);
    }
    ts_free(p.ref);
    return s;
}

static ts_status print(cli_kl *k, uint32_t ctx, ts_buf *json, ts_err *err) {
    const double n = (double)k->n, dp_sq = k->dp_sq / n;
    const double own = exp(k->nll / n), ref = exp(k->ref / n), ratio = exp(k->ratio / n), rms = sqrt(dp_sq);
    const struct {
        const char *key;
        double value;
        int decimals;
    } number[] = {
        {"kl_mean", k->sum / n, 8},
        {"kl_sd", error_of(k->sum, k->sum_sq, k->n), 8},
        {"kl_median", cli_kl_quantile(k, 0.5), 8},
        {"kl_p99", cli_kl_quantile(k, 0.99), 8},
        {"kl_max", cli_kl_quantile(k, 1), 8},
        {"perplexity", own, 6},
        {"perplexity_sd", own * error_of(k->nll, k->nll_sq, k->n), 6},
        {"reference_perplexity", ref, 6},
        {"reference_perplexity_sd", ref * error_of(k->ref, k->ref_sq, k->n), 6},
        {"perplexity_ratio", ratio, 6},
        {"perplexity_ratio_sd", ratio * error_of(k->ratio, k->ratio_sq, k->n), 6},
        {"dp_mean", k->dp / n, 8},
        {"dp_mean_sd", error_of(k->dp, k->dp_sq, k->n), 8},
        {"dp_rms", rms, 8},
        {"dp_rms_sd", rms > 0 ? error_of(k->dp_sq, k->dp_4, k->n) / (2 * rms) : 0, 8},
        {"same_top", (double)k->same_top / n, 6},
    };
    if (!json) {
        enum { KL, KL_SD, MEDIAN, P99, MAX, OWN, OWN_SD, REF, REF_SD, RATIO, RATIO_SD, DP, DP_SD, RMS, RMS_SD, TOP };
        printf("KL divergence %.6f +- %.6f (median %.6f, 99 %% %.4f, most %.4f)\n", number[KL].value,
               number[KL_SD].value, number[MEDIAN].value, number[P99].value, number[MAX].value);
        printf("perplexity %.4f +- %.4f, of the reference %.4f +- %.4f: %.5f +- %.5f times\n", number[OWN].value,
               number[OWN_SD].value, number[REF].value, number[REF_SD].value, number[RATIO].value,
               number[RATIO_SD].value);
        printf("probability of the text's token: %+.3f +- %.3f %%, r.m.s. %.3f +- %.3f %%; same first choice %.2f %%\n",
               100 * number[DP].value, 100 * number[DP_SD].value, 100 * number[RMS].value, 100 * number[RMS_SD].value,
               100 * number[TOP].value);
        printf("%zu tokens: the second halves of pieces of %u\n", k->n, ctx);
        return TS_OK;
    }
    bool ok = ts_buf_printf(json, "{\"tokens\":%zu,\"ctx\":%u", k->n, ctx);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        ok = ok && ts_buf_printf(json, ",\"%s\":", number[i].key) &&
             ts_json_put_real(json, number[i].value, number[i].decimals);
    ok = ok && ts_buf_putc(json, '}');
    return ok ? TS_OK : ts_fail_nomem(err, "the result", json->len);
}

/* Both models must cut the text into the same tokens. */
static ts_status tokens_of(ts_engine *own, ts_engine *ref, const char *text, size_t len, ts_token **token, size_t *n,
                           bool *bos, ts_err *err) {
    ts_token *other = NULL;
    size_t n_other, n_bos;
    ts_model_info a, b;
    ts_engine_info(own, &a);
    ts_engine_info(ref, &b);
    if (a.n_vocab != b.n_vocab)
        return ts_fail(err, TS_E_INVAL, "the reference has %u tokens in its vocabulary, the model %u", b.n_vocab,
                       a.n_vocab);
    TS_TRY(ts_engine_tokenize(own, "", 0, TS_TOKENIZE_BOS, &other, &n_bos, err));
    ts_tokens_release(other);
    *bos = n_bos > 0;
    TS_TRY(ts_engine_tokenize(ref, text, len, TS_TOKENIZE_BOS, &other, &n_other, err));
    ts_status s = ts_engine_tokenize(own, text, len, TS_TOKENIZE_BOS, token, n, err);
    if (s == TS_OK && (*n != n_other || memcmp(*token, other, n_other * sizeof *other) != 0)) {
        ts_tokens_release(*token);
        s = ts_fail(err, TS_E_INVAL, "the reference cuts the text into other tokens: it is no form of the same model");
    }
    ts_tokens_release(other);
    return s;
}

static int compare(const cli_command *cmd, cli_model *m, cli_model *rm, ts_engine *e, ts_engine *ref, const char *text,
                   size_t len, ts_buf *json) {
    ts_err err;
    ts_token *token = NULL;
    size_t n = 0;
    bool bos = false;
    if (tokens_of(e, ref, text, len, &token, &n, &bos, &err) != TS_OK) return cli_fail(&err);
    ts_session *own = NULL, *other = NULL;
    int code = cli_open_session(cmd, m, e, &own);
    if (code == CLI_OK) code = cli_open_session(cmd, rm, ref, &other);
    m->prompt.ended = rm->prompt.ended = true; /* pieces are counted here */
    const uint32_t ctx = own ? ts_session_n_ctx(own) : 0;
    ts_status s = TS_OK;
    if (code == CLI_OK && ctx < LEAST_CTX)
        s = ts_fail(&err, TS_E_INVAL, "--ctx %u: divergence takes a context of %d tokens or more", ctx, LEAST_CTX);
    else if (code == CLI_OK && n < ctx)
        s = ts_fail(&err, TS_E_INVAL, "the text has %zu tokens, fewer than a piece of --ctx %u", n, ctx);
    cli_kl sums = {0};
    ts_model_info info;
    ts_engine_info(e, &info);
    cli_progress progress = {.what = "text", .unit = "tokens"};
    if (code == CLI_OK && s == TS_OK) s = run_pieces(other, own, token, n, bos, info.n_vocab, &progress, &sums, &err);
    cli_progress_end(&progress);
    if (code == CLI_OK && s == TS_OK) s = print(&sums, ctx, json, &err);
    if (code == CLI_OK && s != TS_OK) code = cli_fail(&err);
    cli_kl_free(&sums);
    ts_session_free(own);
    ts_session_free(other);
    ts_tokens_release(token);
    return code;
}

int cli_kl_run(const cli_command *cmd, cli_model *m, ts_engine *e, const char *reference, const char *text, size_t len,
               ts_buf *json) {
    cli_model rm = *m;
    ts_engine *ref = NULL;
    rm.path = reference, rm.bundled = false;
    rm.loading = rm.prompt = (cli_progress){0};
    int code = cli_open_engine(cmd, &rm, &ref);
    if (code == CLI_OK) code = compare(cmd, m, &rm, e, ref, text, len, json);
    ts_engine_close(ref);
    return code;
}
