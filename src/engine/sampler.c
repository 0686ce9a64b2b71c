/* sampler.c - from logits to a token. The arithmetic is double where it decides, and exp is our own, so that a seed
 * gives the same text on every machine. */
#include "engine/sampler.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sized.h"
#include "kern/fmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    float logit;
    ts_token id;
    double p; /* probability before temperature, for top-p, min-p, typical; then the weight of the draw */
} candidate;

struct ts_sampler {
    ts_sampler_opts o;
    ts_rng rng;
    uint32_t n_vocab;
    float *logit;    /* [n_vocab] with biases and penalties */
    candidate *cand; /* [n_cand] as many as top-k keeps */
    size_t n_cand;
    uint64_t *order; /* [2][n_vocab] for sorting, where all are kept; else NULL */
    uint16_t *count; /* [n_vocab] occurrences in the penalty window; all zero between calls */
};

void ts_sampler_defaults_sized(ts_sampler_opts *out, size_t out_size) {
    const ts_sampler_opts o = {.temperature = 0.8f,
                               .top_k = 40,
                               .top_p = 0.95f,
                               .min_p = 0.05f,
                               .typical_p = 1,
                               .repeat_penalty = 1,
                               .penalty_window = 64};
    ts_sized_out(out, out_size, &o, sizeof o);
}

static ts_status check(const ts_sampler_opts *o, uint32_t n_vocab, ts_err *err) {
    const struct {
        const char *name;
        double value, min, max;
    } ranges[] = {
        {"temperature", (double)o->temperature, 0, 100},
        {"top-p", (double)o->top_p, 0, 1},
        {"min-p", (double)o->min_p, 0, 1},
        {"typical", (double)o->typical_p, 0, 1},
        {"repeat penalty", (double)o->repeat_penalty, 0.01, 100},
        {"frequency penalty", (double)o->frequency_penalty, -100, 100},
        {"presence penalty", (double)o->presence_penalty, -100, 100},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].min && ranges[i].value <= ranges[i].max))
            return ts_fail(err, TS_E_INVAL, "%s %g is outside %g to %g", ranges[i].name, ranges[i].value, ranges[i].min,
                           ranges[i].max);
    if (o->top_k < 0) return ts_fail(err, TS_E_INVAL, "top-k %d is negative", o->top_k);
    for (size_t i = 0; i < o->n_bias; i++)
        if (o->bias[i].token < 0 || (uint32_t)o->bias[i].token >= n_vocab || isnan(o->bias[i].bias))
            return ts_fail(err, TS_E_INVAL, "logit bias for token %d: the vocabulary has %u", o->bias[i].token,
                           n_vocab);
    return TS_OK;
}

ts_status ts_sampler_new_sized(ts_sampler **out, const ts_sampler_opts *given, size_t opts_size, uint32_t n_vocab,
                               ts_err *err) {
    ts_sampler_opts all, *opts = &all;
    TS_TRY(ts_sized_in(&all, sizeof all, given, opts_size, err));
    TS_NEED(out && given && n_vocab && (opts->bias || !opts->n_bias), err, "a sampler needs options and a vocabulary");
    TS_TRY(check(opts, n_vocab, err));
    ts_sampler *s = ts_calloc(1, sizeof *s);
    if (s) {
        s->o = *opts;
        s->n_vocab = n_vocab;
        s->n_cand = opts->top_k && (uint32_t)opts->top_k < n_vocab ? (uint32_t)opts->top_k : n_vocab;
        s->logit = ts_alloc(n_vocab, sizeof *s->logit);
        s->cand = ts_alloc(s->n_cand, sizeof *s->cand);
        if (s->n_cand == n_vocab) s->order = ts_alloc(2 * (size_t)n_vocab, sizeof *s->order);
        s->count = ts_calloc(n_vocab, sizeof *s->count);
        s->rng = ts_rng_seed(opts->seed);
    }
    if (!s || !s->logit || !s->cand || !s->count || (s->n_cand == n_vocab && !s->order)) {
        ts_sampler_free(s);
        return ts_fail_nomem(err, "the sampler", n_vocab * sizeof(candidate));
    }
    *out = s;
    return TS_OK;
}

void ts_sampler_free(ts_sampler *s) {
    if (!s) return;
    ts_free(s->logit);
    ts_free(s->cand);
    ts_free(s->order);
    ts_free(s->count);
    ts_free(s);
}

uint32_t ts_sampler_vocab(const ts_sampler *s) {
    return s->n_vocab;
}

void ts_sampler_reseed(ts_sampler *s, uint64_t seed) {
    s->rng = ts_rng_seed(seed);
}

/* Larger logit first; the lower id where they are equal; NaN last. */
static int by_logit(const candidate *a, const candidate *b) {
    if (isnan(a->logit) || isnan(b->logit)) {
        if (isnan(a->logit) != isnan(b->logit)) return isnan(a->logit) ? 1 : -1;
    } else if (a->logit != b->logit) {
        return a->logit > b->logit ? -1 : 1;
    }
    return a->id < b->id ? -1 : 1;
}

static void penalise(ts_sampler *s, const ts_token *history, size_t n) {
    const ts_sampler_opts *o = &s->o;
    if (o->repeat_penalty == 1 && o->frequency_penalty == 0 && o->presence_penalty == 0) return;
    size_t window = o->penalty_window < 0 || (size_t)o->penalty_window > n ? n : (size_t)o->penalty_window;
    const ts_token *first = history + n - window;
    for (size_t i = 0; i < window; i++)
        if (s->count[first[i]] < UINT16_MAX) s->count[first[i]]++;
    for (size_t i = 0; i < window; i++) {
        ts_token id = first[i];
        if (!s->count[id]) continue; /* it has been dealt with */
        float *l = &s->logit[id];
        *l = *l > 0 ? *l / o->repeat_penalty : *l * o->repeat_penalty;
        *l -= (float)s->count[id] * o->frequency_penalty + o->presence_penalty;
        s->count[id] = 0;
    }
}

/* Heaps with the worst candidate on top, and sorting by them: in place, where qsort may allocate. */
typedef int order_fn(const candidate *a, const candidate *b);

static void sift_down(candidate *c, size_t n, size_t i, order_fn *order) {
    for (;;) {
        size_t worst = i, l = 2 * i + 1, r = l + 1;
        if (l < n && order(&c[l], &c[worst]) > 0) worst = l;
        if (r < n && order(&c[r], &c[worst]) > 0) worst = r;
        if (worst == i) return;
        candidate t = c[i];
        c[i] = c[worst];
        c[worst] = t;
        i = worst;
    }
}

static void make_heap(candidate *c, size_t n, order_fn *order) {
    for (size_t i = n / 2; i-- > 0;) sift_down(c, n, i, order);
}

/* A heap, best first. */
static void sort_heap(candidate *c, size_t n, order_fn *order) {
    for (size_t left = n; left-- > 1;) {
        candidate t = c[0];
        c[0] = c[left];
        c[left] = t;
        sift_down(c, left, 0, order);
    }
}

static void sort(candidate *c, size_t n, order_fn *order) {
    make_heap(c, n, order);
    sort_heap(c, n, order);
}

/* Is one of these BLOCK logits, of tokens in the order of their numbers, better than the worst that is kept? Most
 * blocks have none, so the loop is one for vectors. */
enum { BLOCK = 32 };
static bool any_better(const float *logit, float worst) {
    int any = 0;
    for (int i = 0; i < BLOCK; i++) any |= !(logit[i] <= worst);
    return any;
}

/* The k best of n > 0 tokens, best first. */
static void keep_best(candidate *c, size_t k, const float *logit, size_t n) {
    for (size_t i = 0; i < k; i++) c[i] = (candidate){.logit = logit[i], .id = (ts_token)i};
    make_heap(c, k, by_logit);
    for (size_t i = k; i < n;) {
        const size_t end = n - i < BLOCK ? n : i + BLOCK;
        if (end - i == BLOCK && !any_better(logit + i, c[0].logit)) i = end;
        for (; i < end; i++) {
            const candidate one = {.logit = logit[i], .id = (ts_token)i};
            if (by_logit(&one, &c[0]) > 0) continue;
            c[0] = one;
            sift_down(c, k, 0, by_logit);
        }
    }
    sort_heap(c, k, by_logit);
}

/* Smaller for what comes first by by_logit, but for the id. */
static uint32_t key_of(float logit) {
    uint32_t u;
    if (isnan(logit)) return UINT32_MAX;
    logit += 0.0f; /* -0 is 0 */
    memcpy(&u, &logit, sizeof u);
    return u >> 31 ? u : ~u & 0x7fffffff;
}

/* All n tokens, best first: by their keys' bytes, the last one first, which leaves equals in the order of their ids. */
static void sort_all(candidate *c, uint64_t *order, const float *logit, size_t n) {
    uint64_t *from = order, *to = order + n;
    for (size_t i = 0; i < n; i++) from[i] = (uint64_t)key_of(logit[i]) << 32 | i;
    for (int shift = 32; shift < 64; shift += 8) {
        size_t at[256] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++) at[from[i] >> shift & 255]++;
        for (int b = 0; b < 256; b++) {
            const size_t count = at[b];
            at[b] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) to[at[from[i] >> shift & 255]++] = from[i];
        uint64_t *const swap = from;
        from = to, to = swap;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)from[i];
        c[i] = (candidate){.logit = logit[id], .id = (ts_token)id};
    }
}

/* exp((logit - best) / temperature): 1 for the best itself, infinite or not; 0 for NaN. */
static double weight(const candidate *c, float best, double temperature) {
    if (c->logit == best) return 1;
    double x = ((double)c->logit - (double)best) / temperature;
    return x >= -700 ? ts_exp2_d(x * 0x1.71547652b82fep+0) : 0;
}

/* Soft-max over n sorted candidates at a temperature; returns nothing left to sum: p adds up to 1. */
static void soft_max(candidate *c, size_t n, double temperature) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += c[i].p = weight(&c[i], c[0].logit, temperature);
    for (size_t i = 0; i < n; i++) c[i].p /= sum;
}

static int by_surprise(const candidate *a, const candidate *b) {
    if (a->p != b->p) return a->p < b->p ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* Locally typical sampling (Meister et al. 2022, arXiv 2202.00666): keep the tokens whose information is closest to the
 * entropy, until they make up `mass`. Leaves them sorted by logit again. */
static size_t typical(candidate *c, size_t n, double mass) {
    double entropy = 0;
    const double ln2 = 0x1.62e42fefa39efp-1;
    for (size_t i = 0; i < n; i++)
        if (c[i].p > 1e-300) entropy -= c[i].p * ts_log2_d(c[i].p) * ln2;
    for (size_t i = 0; i < n; i++) {
        double info = c[i].p > 1e-300 ? -ts_log2_d(c[i].p) * ln2 : 1e9;
        c[i].p = fabs(info - entropy); /* the probability is found again from the logit */
    }
    sort(c, n, by_surprise);
    candidate best = c[0];
    for (size_t i = 1; i < n; i++)
        if (by_logit(&c[i], &best) < 0) best = c[i];
    double sum = 0, seen = 0;
    for (size_t i = 0; i < n; i++) sum += weight(&c[i], best.logit, 1);
    size_t keep = 0;
    while (keep < n && seen < mass * sum) seen += weight(&c[keep++], best.logit, 1);
    if (keep == 0) keep = 1;
    sort(c, keep, by_logit);
    return keep;
}

/* The logits with biases and penalties. */
static ts_status fill(ts_sampler *s, const float *logits, const ts_token *history, size_t n_history, ts_err *err) {
    TS_NEED(s && logits && (history || !n_history), err, "the sampler is given no logits, or no history");
    const ts_sampler_opts *o = &s->o;
    for (size_t i = 0; i < n_history; i++)
        TS_NEED((uint32_t)history[i] < s->n_vocab, err,
                "token %d at position %zu of the history is outside the sampler's vocabulary of %u", history[i], i,
                s->n_vocab);
    int bad = 0;
    for (size_t i = 0; i < s->n_vocab; i++) bad |= logits[i] != logits[i];
    for (size_t i = 0; i < s->n_vocab && bad; i++)
        TS_NEED(logits[i] == logits[i], err, "the logit of token %zu is not a number", i);
    memcpy(s->logit, logits, s->n_vocab * sizeof *logits);
    for (size_t i = 0; i < o->n_bias; i++) s->logit[o->bias[i].token] += o->bias[i].bias;
    penalise(s, history, n_history);
    return TS_OK;
}

/* The first of the largest; -1: all are forbidden. */
static ts_token greedy(const float *logit, size_t n) {
    float best[BLOCK], most = -INFINITY;
    size_t i = 0;
    for (int k = 0; k < BLOCK; k++) best[k] = -INFINITY;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int k = 0; k < BLOCK; k++) best[k] = logit[i + k] > best[k] ? logit[i + k] : best[k];
    for (; i < n; i++) best[0] = logit[i] > best[0] ? logit[i] : best[0];
    for (int k = 0; k < BLOCK; k++) most = best[k] > most ? best[k] : most;
    for (i = 0; i < n && most > -INFINITY; i++)
        if (logit[i] == most) return (ts_token)i;
    return -1;
}

/* A token by the odds of the candidates; -1: all are forbidden. */
static ts_token draw(ts_sampler *s) {
    const ts_sampler_opts *o = &s->o;
    candidate *c = s->cand;
    size_t n = s->n_cand;
    if (s->order) sort_all(c, s->order, s->logit, n);
    else keep_best(c, n, s->logit, s->n_vocab);
    if (!(c[0].logit > -INFINITY)) return -1;
    soft_max(c, n, 1);
    if (o->typical_p < 1) {
        n = typical(c, n, (double)o->typical_p);
        soft_max(c, n, 1);
    }
    if (o->top_p < 1) {
        double sum = 0;
        size_t keep = 0;
        while (keep < n && sum < (double)o->top_p) sum += c[keep++].p;
        n = keep ? keep : 1;
    }
    if (o->min_p > 0) {
        size_t keep = 1;
        while (keep < n && c[keep].p >= (double)o->min_p * c[0].p) keep++;
        n = keep;
    }
    soft_max(c, n, (double)o->temperature);
    double u = ts_rng_f64(&s->rng);
    for (size_t i = 0; i < n; i++) {
        u -= c[i].p;
        if (u < 0) return c[i].id;
    }
    return c[0].id; /* rounding left a crumb */
}

ts_status ts_sampler_next(ts_sampler *s, const float *logits, const ts_token *history, size_t n_history, ts_token *out,
                          ts_err *err) {
    TS_NEED(out, err, "the sampler has no room for a token");
    TS_TRY(fill(s, logits, history, n_history, err));
    const ts_token id = s->o.temperature == 0 ? greedy(s->logit, s->n_vocab) : draw(s);
    TS_NEED(id >= 0, err, "no token is left to choose from: all are forbidden, by logit biases or a mask");
    *out = id;
    return TS_OK;
}
