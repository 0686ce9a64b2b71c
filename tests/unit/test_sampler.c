/* sampler: every stage against a plain re-implementation, the draws against the distribution they claim. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/rng.h"
#include "tessera/tessera.h"

#include <math.h>

enum { MAX_VOCAB = 1000 };

static ts_sampler_opts plain_opts(void) {
    return (ts_sampler_opts){.temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1};
}

static ts_sampler *make(const ts_sampler_opts *o, uint32_t n) {
    ts_sampler *s;
    ts_err err;
    assert_ok(ts_sampler_new(&s, o, n, &err));
    return s;
}

static ts_token next(ts_sampler *s, const float *logits, const ts_token *history, size_t n_history) {
    ts_token id = -1;
    ts_err err;
    if (ts_sampler_next(s, logits, history, n_history, &id, &err) != TS_OK) assert_int_equal(id, -1);
    return id;
}

/* ---- the plain implementation: probabilities of all tokens under the options, in the order that tessera.h documents
 * -- */

typedef struct entry {
    double logit, p;
    int id;
    bool kept;
} entry;

static int by_logit(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->logit != y->logit ? (x->logit > y->logit ? -1 : 1) : x->id - y->id;
}

static int by_id(const void *a, const void *b) {
    return ((const entry *)a)->id - ((const entry *)b)->id;
}

/* p over the kept ones, at a temperature */
static void normalise(entry *e, int n, double temperature) {
    double max = -(double)INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        if (e[i].kept && e[i].logit > max) max = e[i].logit;
    for (int i = 0; i < n; i++) {
        e[i].p = e[i].kept ? exp((e[i].logit - max) / temperature) : 0;
        sum += e[i].p;
    }
    for (int i = 0; i < n; i++) e[i].p /= sum;
}

static void plain_probabilities(const ts_sampler_opts *o, const float *logits, int n, const ts_token *history,
                                size_t n_history, double *p) {
    static entry e[MAX_VOCAB];
    for (int i = 0; i < n; i++) e[i] = (entry){.logit = (double)logits[i], .id = i, .kept = true};
    for (size_t i = 0; i < o->n_bias; i++) e[o->bias[i].token].logit += (double)o->bias[i].bias;
    size_t window =
        o->penalty_window < 0 || (size_t)o->penalty_window > n_history ? n_history : (size_t)o->penalty_window;
    for (int id = 0; id < n; id++) {
        int count = 0;
        for (size_t i = n_history - window; i < n_history; i++) count += history[i] == id;
        if (!count) continue;
        e[id].logit =
            e[id].logit > 0 ? e[id].logit / (double)o->repeat_penalty : e[id].logit * (double)o->repeat_penalty;
        e[id].logit -= count * (double)o->frequency_penalty + (double)o->presence_penalty;
    }
    qsort(e, (size_t)n, sizeof *e, by_logit);
    for (int i = 0; i < n; i++)
        if (o->top_k && i >= o->top_k) e[i].kept = false;
    if (o->typical_p < 1) { /* by distance of the information from the entropy, until the mass is reached */
        normalise(e, n, 1);
        double entropy = 0, mass = 0;
        for (int i = 0; i < n; i++)
            if (e[i].p > 0) entropy -= e[i].p * log(e[i].p);
        bool taken[MAX_VOCAB] = {false};
        while (mass < (double)o->typical_p) {
            int best = -1;
            for (int i = 0; i < n; i++)
                if (e[i].kept && !taken[i] &&
                    (best < 0 || fabs(-log(e[i].p) - entropy) < fabs(-log(e[best].p) - entropy)))
                    best = i;
            if (best < 0) break;
            taken[best] = true;
            mass += e[best].p;
        }
        for (int i = 0; i < n; i++) e[i].kept &= taken[i];
    }
    normalise(e, n, 1);
    if (o->top_p < 1) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            if (!e[i].kept) continue;
            if (sum >= (double)o->top_p && sum > 0) e[i].kept = false;
            sum += e[i].p;
        }
    }
    normalise(e, n, 1);
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, e[i].p);
    for (int i = 0; i < n; i++)
        if (e[i].p < (double)o->min_p * most) e[i].kept = false;
    normalise(e, n, (double)o->temperature);
    qsort(e, (size_t)n, sizeof *e, by_id);
    for (int i = 0; i < n; i++) p[i] = e[i].p;
}

/* ---- distributions ----------------------------------------------------------------------------------------------- */

/* Draw many times and compare the counts with the plain probabilities: tokens with p = 0 never come, and chi-square
 * over the others stays below a bound that the fixed seeds keep. */
static void check_distribution(const char *what, ts_sampler_opts o, const float *logits, int n, const ts_token *history,
                               size_t n_history) {
    enum { DRAWS = 10000 };
    static double p[MAX_VOCAB];
    static int count[MAX_VOCAB];
    memset(count, 0, sizeof count);
    plain_probabilities(&o, logits, n, history, n_history, p);
    ts_sampler *s = make(&o, (uint32_t)n);
    for (int i = 0; i < DRAWS; i++) count[next(s, logits, history, n_history)]++;
    ts_sampler_free(s);
    double chi = 0, rest_p = 0;
    int degrees = -1, rest = 0, kept = 0;
    for (int i = 0; i < n; i++) {
        kept += p[i] > 0;
        if (p[i] == 0 && count[i]) fail_msg("%s: token %d was drawn %d times and must not come", what, i, count[i]);
        if (p[i] * DRAWS < 10) { /* small ones are pooled */
            rest_p += p[i], rest += count[i];
            continue;
        }
        chi += (count[i] - p[i] * DRAWS) * (count[i] - p[i] * DRAWS) / (p[i] * DRAWS);
        degrees++;
    }
    if (rest_p * DRAWS >= 5) chi += (rest - rest_p * DRAWS) * (rest - rest_p * DRAWS) / (rest_p * DRAWS), degrees++;
    /* mean `degrees`, deviation sqrt(2 degrees) */
    if (degrees > 0 && chi > degrees + 4 * sqrt(2.0 * degrees) + 4)
        fail_msg("%s: chi-square %.1f with %d degrees of freedom", what, chi, degrees);
    if (degrees <= 0 && kept > 1) fail_msg("%s: nothing to measure", what);
}

static void test_distributions(void **state) {
    (void)state;
    enum { N = 120 };
    ts_rng rng = ts_rng_seed(7);
    float logits[N];
    ts_token history[50];
    for (int i = 0; i < N; i++) logits[i] = (float)ts_rng_gauss(&rng) * 2;
    for (int i = 0; i < 50; i++) history[i] = (ts_token)ts_rng_below(&rng, 30);
    const ts_logit_bias bias[] = {{3, 2.5f}, {7, -INFINITY}, {3, 0.5f}, {100, -3}};
    ts_sampler_opts o = plain_opts();
    o.seed = 11;
#define CASE(what, ...)                                                                                                \
    do {                                                                                                               \
        ts_sampler_opts c = o;                                                                                         \
        __VA_ARGS__;                                                                                                   \
        check_distribution(what, c, logits, N, history, 50);                                                           \
    } while (0)
    CASE("plain", (void)c);
    CASE("hot", c.temperature = 2);
    CASE("cold", c.temperature = 0.3f);
    CASE("top-k 1", c.top_k = 1);
    CASE("top-k 5", c.top_k = 5);
    CASE("top-k larger than the vocabulary", c.top_k = 1000);
    CASE("top-p 0", c.top_p = 0);
    CASE("top-p 0.5", c.top_p = 0.5f);
    CASE("top-p 0.9, cold", c.top_p = 0.9f, c.temperature = 0.5f); /* the cut is made before the temperature */
    CASE("min-p", c.min_p = 0.1f);
    CASE("min-p 1", c.min_p = 1);
    CASE("min-p, hot", c.min_p = 0.1f, c.temperature = 3);
    CASE("typical", c.typical_p = 0.4f);
    CASE("typical 0.9", c.typical_p = 0.9f);
    CASE("typical 0", c.typical_p = 0);
    CASE("repeat penalty", c.repeat_penalty = 1.5f, c.penalty_window = -1);
    CASE("repeat penalty below 1", c.repeat_penalty = 0.7f, c.penalty_window = 20);
    CASE("presence", c.presence_penalty = 1, c.penalty_window = 64);
    CASE("frequency", c.frequency_penalty = 0.7f, c.penalty_window = 30);
    CASE("negative penalties", c.frequency_penalty = -0.3f, c.presence_penalty = -0.5f, c.penalty_window = -1);
    CASE("penalty window 0", c.repeat_penalty = 2, c.penalty_window = 0);
    CASE("bias", c.bias = bias, c.n_bias = 4);
    CASE("everything", c.bias = bias, c.n_bias = 4, c.repeat_penalty = 1.2f, c.frequency_penalty = 0.1f,
         c.presence_penalty = 0.2f, c.penalty_window = 40, c.top_k = 60, c.typical_p = 0.95f, c.top_p = 0.9f,
         c.min_p = 0.02f, c.temperature = 0.8f);
    ts_sampler_opts d = ts_sampler_defaults();
    check_distribution("defaults", d, logits, N, history, 50);
#undef CASE
}

/* The kept set is right for many random options, also where probabilities are too small for a distribution test. */
static void test_kept_sets(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(8);
    static float logits[MAX_VOCAB];
    static double p[MAX_VOCAB];
    for (int round = 0; round < 100; round++) {
        int n = 1 + (int)ts_rng_below(&rng, 200);
        for (int i = 0; i < n; i++) logits[i] = (float)ts_rng_gauss(&rng) * 3;
        if (round % 5 == 0)
            for (int i = 0; i < n; i++) logits[i] = rintf(logits[i]); /* many ties */
        ts_sampler_opts o = plain_opts();
        o.seed = (uint64_t)round;
        o.temperature = 50; /* flat: what is kept comes up */
        o.top_k = round % 2 ? 1 + (int32_t)ts_rng_below(&rng, 40) : 0;
        o.min_p = round % 3 ? 0 : (float)ts_rng_f64(&rng) * 0.2f;
        o.top_p = round % 4 ? (float)ts_rng_f64(&rng) : 1;
        plain_probabilities(&o, logits, n, NULL, 0, p);
        ts_sampler *s = make(&o, (uint32_t)n);
        int kept = 0, seen = 0;
        bool came[MAX_VOCAB] = {false};
        for (int i = 0; i < n; i++) kept += p[i] > 0;
        for (int i = 0; i < 60 * kept; i++) {
            ts_token id = next(s, logits, NULL, 0);
            if (p[id] == 0) fail_msg("round %d: token %d must not come (%d kept of %d)", round, id, kept, n);
            seen += !came[id];
            came[id] = true;
        }
        /* with temperature 50 no kept token is more than 1.5 times rarer than another: 40 chances are plenty */
        if (seen != kept) fail_msg("round %d: %d of %d kept tokens came", round, seen, kept);
        ts_sampler_free(s);
    }
}

/* ---- single points ----------------------------------------------------------------------------------------------- */

static void test_greedy(void **state) {
    (void)state;
    ts_sampler_opts o = plain_opts();
    o.temperature = 0;
    o.top_k = 1, o.top_p = 0.1f, o.min_p = 1, o.typical_p = 0.1f; /* have no say */
    ts_sampler *s = make(&o, 6);
    const float ties[6] = {1, 3, 2, 3, 3, -1}, nan[6] = {NAN, -5, NAN, -4, -4, NAN},
                all_nan[6] = {NAN, NAN, NAN, NAN, NAN, NAN};
    const float inf[6] = {1, 2, INFINITY, INFINITY, 5, -1},
                none[6] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    assert_int_equal(next(s, ties, NULL, 0), 1); /* the lowest id of equals */
    assert_int_equal(next(s, nan, NULL, 0), -1); /* logits that are not numbers choose nothing */
    assert_int_equal(next(s, all_nan, NULL, 0), -1);
    assert_int_equal(next(s, inf, NULL, 0), 2);
    assert_int_equal(next(s, none, NULL, 0), -1);
    ts_sampler_free(s);
    /* bias and penalties count at temperature 0 as well */
    const ts_logit_bias bias[] = {{1, -INFINITY}, {0, 2.5f}};
    o.bias = bias, o.n_bias = 2;
    s = make(&o, 6);
    assert_int_equal(next(s, ties, NULL, 0), 0);
    ts_sampler_free(s);
    o.n_bias = 0;
    o.presence_penalty = 10, o.penalty_window = 2;
    s = make(&o, 6);
    const ts_token history[] = {1, 3, 4};
    assert_int_equal(next(s, ties, history, 3), 1); /* 1 is outside the window of two */
    assert_int_equal(next(s, ties, history, 2), 4);
    assert_int_equal(next(s, ties, history, 0), 1); /* nothing of the calls before is left */
    /* tokens that are not of this vocabulary are the caller's mistake, wherever they stand; nothing is written */
    for (int window = -1; window < 3; window++) {
        ts_sampler_free(s);
        o.penalty_window = window;
        s = make(&o, 6);
        static const ts_token wild[] = {6, INT32_MAX, -1, INT32_MIN};
        for (size_t i = 0; i < 4; i++)
            for (size_t at = 0; at < 3; at++) {
                ts_token some[] = {1, 3, 4}, id = 77;
                some[at] = wild[i];
                ts_err err;
                assert_status(ts_sampler_next(s, ties, some, 3, &id, &err), TS_E_INVAL);
                assert_int_equal(id, 77);
                char say[100];
                snprintf(say, sizeof say, "token %d at position %zu of the history", wild[i], at);
                assert_non_null(strstr(err.msg, say));
            }
    }
    assert_int_equal(next(s, ties, history, 2), 4); /* and nothing is left of the refused ones */
    ts_sampler_free(s);
}

/* Sampling from bad logits: a token that may come, or -1 where there is a NaN or nothing may come. */
static void test_bad_logits(void **state) {
    (void)state;
    enum { N = 50 };
    float logits[N];
    ts_rng rng = ts_rng_seed(3);
    for (int round = 0; round < 200; round++) {
        bool nan = false, some = false;
        for (int i = 0; i < N; i++) {
            uint64_t kind = ts_rng_below(&rng, round % 4 == 0 ? 2 : 4);
            logits[i] = kind == 0                     ? NAN
                        : kind == 1                   ? -INFINITY
                        : kind == 2 && round % 3 == 0 ? INFINITY
                                                      : (float)ts_rng_gauss(&rng) * 1e30f;
            if (round % 5 == 0 && isnan(logits[i])) logits[i] = -INFINITY;
            nan |= isnan(logits[i]);
            some |= logits[i] > -INFINITY;
        }
        ts_sampler_opts o = ts_sampler_defaults();
        o.seed = (uint64_t)round;
        if (round % 2) o.typical_p = 0.5f, o.top_k = 0;
        ts_sampler *s = make(&o, N);
        for (int i = 0; i < 20; i++) {
            ts_token id = next(s, logits, NULL, 0);
            if (nan || !some) {
                assert_int_equal(id, -1);
                continue;
            }
            assert_in_range(id, 0, N - 1);
            assert_true(logits[id] > -INFINITY);
        }
        ts_sampler_free(s);
    }
}

static void test_seeds(void **state) {
    (void)state;
    enum { N = 300 };
    float logits[N];
    ts_rng rng = ts_rng_seed(9);
    for (int i = 0; i < N; i++) logits[i] = (float)ts_rng_gauss(&rng);
    ts_sampler_opts o = plain_opts();
    o.seed = 5;
    ts_sampler *a = make(&o, N), *b = make(&o, N);
    o.seed = 6;
    ts_sampler *c = make(&o, N);
    ts_token first[100];
    int same = 0;
    for (int i = 0; i < 100; i++) {
        first[i] = next(a, logits, NULL, 0);
        assert_int_equal(next(b, logits, NULL, 0), first[i]);
        same += next(c, logits, NULL, 0) == first[i];
    }
    assert_true(same < 20);
    ts_sampler_reseed(c, 5);
    for (int i = 0; i < 100; i++) assert_int_equal(next(c, logits, NULL, 0), first[i]);
    /* The draw itself: one number in [0, 1) a token, laid along the probabilities, largest first. And as numbers, which
     * changing means that a seed no longer gives the text it gave. */
    static double p[MAX_VOCAB];
    static entry e[MAX_VOCAB];
    o.seed = 5;
    plain_probabilities(&o, logits, N, NULL, 0, p);
    for (int i = 0; i < N; i++) e[i] = (entry){.logit = (double)logits[i], .p = p[i], .id = i};
    qsort(e, N, sizeof *e, by_logit);
    rng = ts_rng_seed(5);
    for (int i = 0; i < 100; i++) {
        double u = ts_rng_f64(&rng);
        int k = 0;
        while (u >= e[k].p) u -= e[k++].p;
        assert_int_equal(first[i], e[k].id);
    }
    assert_int_equal(first[0], 193);
    assert_int_equal(first[1], 5);
    assert_int_equal(first[99], 118);
    ts_sampler_free(a), ts_sampler_free(b), ts_sampler_free(c);
}

/* Vocabularies of any size, whose logits are often equal: the first of the largest, by every way to it; and the ways to
 * keep all and all but one, which is forbidden, draw the same. */
static void test_sizes(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(5);
    static const float level[] = {-3, -1.5f, -0.0f, 0, 0.5f, 2, 2.25f};
    for (uint32_t n = 2; n < 300; n += n < 70 ? 1 : 37) {
        float logit[300];
        ts_err err;
        ts_token want = -1, forbidden = (ts_token)ts_rng_below(&rng, n), token;
        for (uint32_t i = 0; i < n; i++) logit[i] = level[ts_rng_below(&rng, n < 40 ? 4 : 7)];
        logit[forbidden] = -INFINITY;
        for (uint32_t i = 0; i < n; i++)
            if (logit[i] > (want < 0 ? -INFINITY : logit[want])) want = (ts_token)i;
        ts_sampler_opts o = {.top_p = 1, .typical_p = 1, .repeat_penalty = 1};
        const struct {
            float temperature;
            int32_t top_k;
        } way[] = {{0, 0}, {1, 1}, {0, 7}};
        for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
            ts_sampler *s;
            o.temperature = way[i].temperature, o.top_k = way[i].top_k;
            assert_ok(ts_sampler_new(&s, &o, n, &err));
            assert_ok(ts_sampler_next(s, logit, NULL, 0, &token, &err));
            assert_int_equal(token, want);
            ts_sampler_free(s);
        }
        ts_sampler *all, *but_one;
        o.temperature = 1, o.seed = n;
        o.top_k = 0;
        assert_ok(ts_sampler_new(&all, &o, n, &err));
        o.top_k = (int32_t)n - 1;
        assert_ok(ts_sampler_new(&but_one, &o, n, &err));
        for (int i = 0; i < 30; i++) {
            ts_token other;
            assert_ok(ts_sampler_next(all, logit, NULL, 0, &token, &err));
            assert_ok(ts_sampler_next(but_one, logit, NULL, 0, &other, &err));
            assert_int_equal(token, other);
        }
        ts_sampler_free(all);
        ts_sampler_free(but_one);
    }
}

static void test_options(void **state) {
    (void)state;
    ts_err err;
    ts_sampler *s = NULL;
    const ts_logit_bias outside = {10, 1}, negative = {-1, 1}, nan = {3, NAN};
#define REFUSED(name_, ...)                                                                                            \
    do {                                                                                                               \
        ts_sampler_opts o = ts_sampler_defaults();                                                                     \
        __VA_ARGS__;                                                                                                   \
        assert_status(ts_sampler_new(&s, &o, 10, &err), TS_E_INVAL);                                                   \
        if (!strstr(err.msg, name_)) fail_msg("\"%s\" does not name %s", err.msg, name_);                              \
        assert_null(s);                                                                                                \
    } while (0)
    REFUSED("temperature", o.temperature = -0.1f);
    REFUSED("temperature", o.temperature = NAN);
    REFUSED("temperature", o.temperature = INFINITY);
    REFUSED("top-p", o.top_p = 1.1f);
    REFUSED("top-p", o.top_p = -1);
    REFUSED("min-p", o.min_p = 2);
    REFUSED("typical", o.typical_p = NAN);
    REFUSED("repeat penalty", o.repeat_penalty = 0);
    REFUSED("frequency penalty", o.frequency_penalty = 1000);
    REFUSED("presence penalty", o.presence_penalty = -1000);
    REFUSED("top-k", o.top_k = -1);
    REFUSED("token 10", o.bias = &outside, o.n_bias = 1);
    REFUSED("token -1", o.bias = &negative, o.n_bias = 1);
    REFUSED("token 3", o.bias = &nan, o.n_bias = 1);
#undef REFUSED
    ts_sampler_free(NULL);
}

static bool make_one(void *ud) {
    (void)ud;
    ts_sampler *s = NULL;
    const ts_sampler_opts o = ts_sampler_defaults();
    bool ok = ts_sampler_new(&s, &o, 100, NULL) == TS_OK;
    ts_sampler_free(s);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make_one, NULL, false);
    /* drawing allocates nothing: typical and a full sort included */
    ts_sampler_opts o = ts_sampler_defaults();
    o.top_k = 0, o.typical_p = 0.9f;
    static float logits[MAX_VOCAB];
    ts_rng rng = ts_rng_seed(1);
    for (int i = 0; i < MAX_VOCAB; i++) logits[i] = (float)ts_rng_gauss(&rng);
    ts_sampler *s = make(&o, MAX_VOCAB);
    alloc_fail_at(0, false);
    for (int i = 0; i < 10; i++) next(s, logits, NULL, 0);
    assert_int_equal(alloc_fail_count(), 0);
    ts_sampler_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions), cmocka_unit_test(test_kept_sets), cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_bad_logits),    cmocka_unit_test(test_seeds),     cmocka_unit_test(test_options),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
