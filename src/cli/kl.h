/* kl.h - how far a model's predictions are from another's: divergence, perplexities, probabilities of the text. */
#ifndef TS_CLI_KL_H
#define TS_CLI_KL_H

#include "cli/common.h"

/* Sums over predicted tokens. Zero-initialise; cli_kl_free. */
typedef struct cli_kl {
    double *kl; /* of each token, in nats: sum over the vocabulary of p log(p / q), p the reference's */
    size_t n, cap;
    double sum, sum_sq;     /* of kl */
    double ref, ref_sq;     /* of -log p of the text's token */
    double nll, nll_sq;     /* of -log q */
    double ratio, ratio_sq; /* of log p - log q */
    double dp, dp_sq, dp_4; /* of q - p: probabilities of the text's token */
    size_t same_top;
} cli_kl;

/* One more: the logits of both, and the token that follows. false: no memory. */
TS_NODISCARD bool cli_kl_add(cli_kl *k, const float *ref, const float *logits, uint32_t n_vocab, ts_token next);
/* The value below which a share of the tokens' divergences lies. Sorts them. */
double cli_kl_quantile(cli_kl *k, double share);
void cli_kl_free(cli_kl *k);

/* tessera eval --kl: `text` in pieces of the session's context, as llama-perplexity cuts it: the first token of each is
 * BOS where the model has one, a last piece that is not full is left out, and of each piece the second half counts.
 * Prints the result, or appends it to `json` as an object. CLI_OK, or an exit code after one line. */
int cli_kl_run(const cli_command *cmd, cli_model *m, ts_engine *e, const char *reference, const char *text, size_t len,
               ts_buf *json);

#endif
