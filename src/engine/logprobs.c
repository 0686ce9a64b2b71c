/* logprobs.c - what logits say, as probabilities. */
#include "tessera/tessera.h"

#include <math.h>
#include <string.h>

/* ln of the sum of exp of all logits: what a logit is compared with to become a log-probability. */
static double log_sum(const float *logits, uint32_t n) {
    double max = -HUGE_VAL, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        if ((double)logits[i] > max) max = (double)logits[i];
    for (uint32_t i = 0; i < n; i++) sum += exp((double)logits[i] - max);
    return max + log(sum);
}

double ts_logprobs(const float *logits, uint32_t n_vocab, ts_token token, ts_logprob *top, size_t k) {
    const double sum = log_sum(logits, n_vocab);
    size_t n = 0;
    for (uint32_t i = 0; i < n_vocab && k; i++) { /* by insertion: k is small, and most are below the last one */
        const double logit = (double)logits[i];
        if (n == k && top[n - 1].logprob >= logit) continue;
        size_t at = n < k ? n++ : n - 1;
        for (; at > 0 && top[at - 1].logprob < logit; at--) top[at] = top[at - 1];
        top[at] = (ts_logprob){(ts_token)i, logit};
    }
    for (size_t i = 0; i < n; i++) top[i].logprob -= sum;
    for (size_t i = n; i < k; i++) top[i] = (ts_logprob){-1, -HUGE_VAL};
    return (double)logits[token] - sum;
}
