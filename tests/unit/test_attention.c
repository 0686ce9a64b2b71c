/* attention over the KV cache: against the plain formula in double, and cut into spans and threads in every way. */
#include "support/test.h"

#include "base/rng.h"
#include "format/quant.h"
#include "model/attention.h"
#include "support/levels.h"

#include <math.h>

enum { MAX_POS = 300 };

/* One timeline with random keys, values and queries. */
typedef struct timeline {
    ts_model_config c;
    ts_kv_pool *pages;
    ts_kv kv;
    uint32_t n; /* positions */
    float *k, *v, *q; /* [n][n_kv_head][hd], the same, [n][n_head][pad] */
    float *q_plain;   /* q as the cache's type rounds it */
    float *out;       /* [n][n_head][pad] of the span under test */
} timeline;

static float *floats(size_t n) {
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

/* The rule of a q8_0 cache: blocks of 32 of n elements become q * d, d = amax (1 / 127). The scales of keys and values
 * are f16, those of queries are not. */
static void round_q8(float *x, uint32_t n, bool half) {
    for (uint32_t b = 0; b < n; b += 32) {
        const uint32_t end = b + 32 < n ? b + 32 : n;
        float amax = 0;
        for (uint32_t i = b; i < end; i++) amax = fmaxf(amax, fabsf(x[i]));
        float d = amax * 0x1.020408p-7f, inv = amax > 0 ? 127 / amax : 0;
        if (half) d = ts_f16_to_f32(ts_f32_to_f16(d));
        for (uint32_t i = b; i < end; i++) x[i] = fmaxf(-127, fminf(127, rintf(x[i] * inv))) * d;
    }
}

static timeline make(ts_rng *rng, const ts_kern *kern, ts_kv_type type, uint32_t n, uint32_t kv_heads, uint32_t group,
                     uint32_t hd, uint32_t window, double gain) {
    timeline t = {
        .c = {.n_layer = 2, .n_head = kv_heads * group, .n_kv_head = kv_heads, .head_dim = hd, .window = window},
        .n = n};
    ts_err err;
    const uint32_t pad = ts_head_pad(&t.c);
    assert_ok(ts_kv_pool_new(&t.pages, &t.c, &err));
    assert_ok(ts_kv_init(&t.kv, t.pages, n, type, &err));
    assert_ok(ts_kv_reserve(&t.kv, 0, n, &err));
    size_t kv_floats = (size_t)n * kv_heads * hd, q_floats = (size_t)n * t.c.n_head * pad;
    t.k = floats(kv_floats), t.v = floats(kv_floats), t.q = floats(q_floats), t.out = floats(q_floats);
    t.q_plain = floats(q_floats);
    for (size_t i = 0; i < kv_floats; i++) {
        t.k[i] = (float)(ts_rng_gauss(rng) * gain), t.v[i] = (float)ts_rng_gauss(rng);
        if (type == TS_KV_F16) { /* so that the cache holds them exactly */
            t.k[i] = ts_f16_to_f32(ts_f32_to_f16(t.k[i])), t.v[i] = ts_f16_to_f32(ts_f32_to_f16(t.v[i]));
        }
    }
    for (size_t i = 0; i < q_floats; i++) t.q[i] = i % pad < hd ? (float)ts_rng_gauss(rng) : 0;
    for (uint32_t pos = 0; pos < n; pos++)
        for (uint32_t h = 0; h < kv_heads; h++)
            ts_kv_store(&t.kv, kern, 1, h, pos, t.k + (pos * kv_heads + h) * hd, t.v + (pos * kv_heads + h) * hd, hd);
    memcpy(t.q_plain, t.q, q_floats * sizeof *t.q);
    for (size_t i = 0; type == TS_KV_Q8_0 && i < kv_floats; i += hd)
        round_q8(t.k + i, hd, true), round_q8(t.v + i, hd, true);
    for (size_t i = 0; type == TS_KV_Q8_0 && i < q_floats; i += pad) round_q8(t.q_plain + i, hd, false);
    return t;
}

static void drop(timeline *t) {
    ts_kv_fini(&t->kv);
    ts_kv_pool_free(t->pages);
    free(t->k), free(t->v), free(t->q), free(t->q_plain), free(t->out);
}

/* softmax(scale q k) v of one query head in double. */
static void plain(const timeline *t, uint32_t pos, uint32_t head, double scale, double *out) {
    const ts_model_config *c = &t->c;
    const uint32_t hd = c->head_dim, pad = ts_head_pad(c), kv = head / (c->n_head / c->n_kv_head);
    const uint32_t first = c->window && pos + 1 > c->window ? pos + 1 - c->window : 0;
    double score[MAX_POS], max = -(double)INFINITY, sum = 0;
    for (uint32_t p = first; p <= pos; p++) {
        double s = 0;
        for (uint32_t d = 0; d < hd; d++)
            s += (double)t->q_plain[(pos * c->n_head + head) * pad + d] *
                 (double)t->k[(p * c->n_kv_head + kv) * hd + d];
        score[p] = s * scale;
        if (score[p] > max) max = score[p];
    }
    for (uint32_t d = 0; d < hd; d++) out[d] = 0;
    for (uint32_t p = first; p <= pos; p++) {
        double w = exp(score[p] - max);
        sum += w;
        for (uint32_t d = 0; d < hd; d++) out[d] += w * (double)t->v[(p * c->n_kv_head + kv) * hd + d];
    }
    for (uint32_t d = 0; d < hd; d++) out[d] /= sum;
}

typedef struct bench {
    ts_pool *pool;
    ts_kern kern;
} bench;

static bench open_bench(ts_cpu_level level, int n_threads) {
    bench b = {0};
    ts_err err;
    assert_ok(ts_pool_new(&b.pool, n_threads, &err));
    ts_kern_init(&b.kern, level);
    return b;
}

static void close_bench(bench *b) {
    ts_pool_free(b->pool);
}

static void attend_spans(bench *b, const ts_model_config *c, const ts_att_span *span, uint32_t n, const float *q,
                         float *out) {
    const ts_exec ex = {.pool = b->pool, .kern = &b->kern};
    const size_t bytes = ts_att_scratch_bytes(c, ts_pool_threads(b->pool));
    void *mem = ts_alloc_aligned(bytes, 1);
    assert_non_null(mem);
    memset(mem, 0xff, bytes); /* what is in it does not matter */
    ts_attention(&ex, c, 1, span, n, q, out, 0.3f, mem);
    ts_free(mem);
}

static void attend(bench *b, timeline *t, uint32_t pos0, uint32_t n, const float *q, float *out) {
    const ts_att_span span = {.kv = &t->kv, .first = 0, .n = n, .pos0 = pos0};
    attend_spans(b, &t->c, &span, 1, q, out);
}

static void test_formula(void **state) {
    (void)state;
    static const struct {
        uint32_t n, kv_heads, group, hd, window;
        double gain;
    } cases[] = {
        {1, 1, 1, 16, 0, 1},    {63, 2, 1, 40, 0, 1},  {64, 1, 3, 64, 0, 1},    {65, 2, 4, 8, 0, 1},
        {200, 1, 7, 128, 0, 1}, {200, 2, 2, 32, 0, 8}, {200, 1, 5, 48, 70, 1},  {200, 1, 1, 16, 1, 1},
        {200, 1, 2, 16, 64, 1}, {200, 1, 8, 24, 63, 1}, {129, 3, 1, 16, 65, 30}, {130, 1, 6, 16, 1000, 0.01},
    };
    ts_rng rng = ts_rng_seed(4);
    bench b = open_bench(ts_cpu_detect(), 2);
    double worst = 0;
    for (size_t i = 0; i < 3 * (sizeof cases / sizeof *cases); i++) {
        const size_t k = i / 3;
        timeline t = make(&rng, &b.kern, (ts_kv_type)(i % 3), cases[k].n, cases[k].kv_heads, cases[k].group,
                          cases[k].hd, cases[k].window, cases[k].gain);
        attend(&b, &t, 0, t.n, t.q, t.out);
        const uint32_t pad = ts_head_pad(&t.c);
        for (uint32_t pos = 0; pos < t.n; pos++)
            for (uint32_t h = 0; h < t.c.n_head; h++) {
                double want[128];
                plain(&t, pos, h, (double)0.3f, want);
                const float *got = t.out + (pos * t.c.n_head + h) * pad;
                for (uint32_t d = 0; d < t.c.head_dim; d++) {
                    double error = fabs((double)got[d] - want[d]);
                    if (error > worst) worst = error;
                    /* scores reach a few hundred with gain 30: their rounding moves the weights */
                    if (!(error < 2e-6 * (1 + cases[k].gain * 2)))
                        fail_msg("case %zu, position %u, head %u: %g, not %g", k, pos, h, (double)got[d], want[d]);
                }
                for (uint32_t d = t.c.head_dim; d < pad; d++) assert_true(got[d] == 0);
            }
        drop(&t);
    }
    print_message("largest difference to double precision: %.2g\n", worst);
    close_bench(&b);
}

/* Any cut of a timeline, on any level and number of threads, and together with another timeline, gives the same
 * bits. */
static void test_cuts(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(5);
    for (int round = 0; round < 6; round++) {
        bench ref = open_bench(TS_CPU_REF, 1);
        uint32_t group = 1 + (uint32_t)ts_rng_below(&rng, 5),
                 window = round % 2 ? 1 + (uint32_t)ts_rng_below(&rng, 150) : 0;
        ts_kv_type type = (ts_kv_type)(round % 3);
        timeline a = make(&rng, &ref.kern, type, 150, 2, group, 24, window, 1),
                 b = make(&rng, &ref.kern, type, 90, 2, group, 24, window, 1);
        const size_t row = a.c.n_head * ts_head_pad(&a.c);
        float *want_b = floats(b.n * row);
        attend(&ref, &a, 0, a.n, a.q, a.out);
        attend(&ref, &b, 0, b.n, b.q, want_b);
        close_bench(&ref);
        for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level)) {
            bench bn = open_bench((ts_cpu_level)level, 1 + level % 3);
            float *got = floats((a.n + b.n) * row), *q = floats((a.n + b.n) * row);
            for (uint32_t pos = 0, n; pos < a.n; pos += n) { /* in pieces */
                n = 1 + (uint32_t)ts_rng_below(&rng, 50);
                if (n > a.n - pos) n = a.n - pos;
                attend(&bn, &a, pos, n, a.q + pos * row, got);
                assert_memory_equal(got, a.out + pos * row, n * row * sizeof *got);
            }
            /* three spans of two timelines in one batch: a's positions 100.., b's 0.., a's 20..100 */
            const ts_att_span span[] = {{&a.kv, 0, 50, 100}, {&b.kv, 50, 90, 0}, {&a.kv, 140, 80, 20}};
            memcpy(q, a.q + 100 * row, 50 * row * sizeof *q);
            memcpy(q + 50 * row, b.q, 90 * row * sizeof *q);
            memcpy(q + 140 * row, a.q + 20 * row, 80 * row * sizeof *q);
            attend_spans(&bn, &a.c, span, 3, q, got);
            assert_memory_equal(got, a.out + 100 * row, 50 * row * sizeof *got);
            assert_memory_equal(got + 50 * row, want_b, 90 * row * sizeof *got);
            assert_memory_equal(got + 140 * row, a.out + 20 * row, 80 * row * sizeof *got);
            free(got), free(q);
            close_bench(&bn);
        }
        free(want_b);
        drop(&a), drop(&b);
    }
}

/* Many threads for few heads: tiles are shared out, in several windows where there are many, and the bits stay. */
static void test_shared_out(void **state) {
    (void)state;
    static const struct {
        uint32_t kv_heads, group, window, pos0, n;
    } cases[] = {{1, 1, 0, 599, 1},   {1, 7, 0, 2460, 40},   {2, 4, 0, 600, 8},  {3, 2, 0, 511, 1},
                 {2, 3, 320, 900, 6}, {1, 2, 1000, 1500, 4}, {1, 1, 0, 9000, 1}, {1, 3, 2, 500, 5}};
    ts_rng rng = ts_rng_seed(7);
    for (size_t i = 0; i < 3 * (sizeof cases / sizeof *cases); i++) {
        const size_t k = i / 3;
        bench one = open_bench(ts_cpu_detect(), 1), many = open_bench(ts_cpu_detect(), 4);
        timeline t = make(&rng, &one.kern, (ts_kv_type)(i % 3), cases[k].pos0 + cases[k].n, cases[k].kv_heads,
                          cases[k].group, 16, cases[k].window, 1);
        const size_t row = t.c.n_head * ts_head_pad(&t.c);
        float *got = floats(cases[k].n * row);
        attend(&one, &t, cases[k].pos0, cases[k].n, t.q + cases[k].pos0 * row, t.out);
        attend(&many, &t, cases[k].pos0, cases[k].n, t.q + cases[k].pos0 * row, got);
        assert_memory_equal(got, t.out, cases[k].n * row * sizeof *got);
        free(got);
        drop(&t);
        close_bench(&one), close_bench(&many);
    }
}

/* Positions that a query must not see hold NaN: it must not notice. */
static void test_invisible(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(6);
    bench b = open_bench(ts_cpu_detect(), 2);
    timeline t = make(&rng, &b.kern, TS_KV_F32, 150, 1, 2, 16, 40, 1);
    const size_t row = t.c.n_head * ts_head_pad(&t.c);
    attend(&b, &t, 100, 20, t.q + 100 * row, t.out);
    float nan[16], *again = floats(20 * row);
    for (int d = 0; d < 16; d++) nan[d] = NAN;
    for (uint32_t pos = 0; pos < 150; pos++)
        if (pos + 40 <= 100 || pos >= 120) ts_kv_store(&t.kv, &b.kern, 1, 0, pos, nan, nan, 16);
    attend(&b, &t, 100, 20, t.q + 100 * row, again);
    assert_memory_equal(again, t.out, 20 * row * sizeof *again);
    free(again);
    drop(&t);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_shared_out),
        cmocka_unit_test(test_invisible),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
