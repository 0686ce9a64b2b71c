/* calib: the same logits as the engine's, layer by layer in floats; AWQ's scaling, which changes nothing in real
 * numbers; what it refuses. */
#include "support/alloc_fail.h"
#include "support/levels.h"
#include "support/zoo_file.h"

#include "base/rng.h"
#include "quant/calib.h"
#include "quant/method.h"
#include "source/gguf_source.h"
#include "tessera/tessera.h"

#include <math.h>

enum { VOCAB = 272, MOST = 1100 };

static ts_err err;

/* A model in memory, and what calibration needs beside it. */
typedef struct bench {
    gguf_file file;
    ts_gguf *gguf;
    ts_source *src;
    ts_kern kern;
    ts_pool *pool;
    ts_token token[MOST];
} bench;

static void open_file(bench *b, gguf_file f, int threads, ts_cpu_level level) {
    *b = (bench){.file = f};
    assert_ok(ts_gguf_open_mem(&b->gguf, (ts_span){f.data, f.len}, "model", 0, &err));
    assert_ok(ts_gguf_source_new(&b->src, b->gguf, &err));
    ts_kern_init(&b->kern, level);
    assert_ok(ts_pool_new(&b->pool, threads, &err));
    zoo_prompt(VOCAB, b->token, MOST);
}

static void open_bench(bench *b, const char *name) {
    open_file(b, zoo_file(name), 2, ts_cpu_detect());
}

static void close_bench(bench *b) {
    ts_source_close(b->src);
    ts_gguf_close(b->gguf);
    ts_pool_free(b->pool);
    ts_free(b->file.data);
}

static ts_status all_layers(ts_calib *c, ts_err *e) {
    for (uint32_t i = 0; i < c->c.n_layer; i++) {
        ts_calib_layer l;
        TS_TRY(ts_calib_load(&l, c, i, e));
        ts_status st = ts_calib_advance(c, &l, TS_GROUP_O, e);
        if (st == TS_OK) st = ts_calib_advance(c, &l, TS_GROUP_DOWN, e);
        ts_calib_layer_fini(&l);
        TS_TRY(st);
    }
    return TS_OK;
}

/* ---- the engine's numbers ---------------------------------------------------------------------------------------- */

/* The head on states: in doubles, out [n][VOCAB]. */
static void logits_of(const bench *b, const ts_calib *c, uint32_t first, uint32_t n, double *out) {
    const ts_tensor *w = b->src->op->tensor(b->src, TS_ROLE_OUT_NORM, 0, false),
                    *h = b->src->op->tensor(b->src, TS_ROLE_HEAD, 0, false);
    const uint32_t d = c->c.d_model;
    if (!h) h = b->src->op->tensor(b->src, TS_ROLE_EMBED, 0, false);
    const float *norm = w->data, *head = h->data;
    assert_true(w->type == TS_F32 && h->type == TS_F32 && h->dim[1] == VOCAB);
    for (uint32_t t = 0; t < n; t++) {
        const float *x = c->x + (size_t)(first + t) * d;
        double squares = 0;
        for (uint32_t i = 0; i < d; i++) squares += (double)x[i] * (double)x[i];
        const double by = 1 / sqrt(squares / d + (double)c->c.norm_eps);
        for (uint32_t v = 0; v < VOCAB; v++) {
            double s = 0;
            for (uint32_t i = 0; i < d; i++) s += (double)x[i] * by * (double)norm[i] * (double)head[(size_t)v * d + i];
            out[(size_t)t * VOCAB + v] = s;
        }
    }
}

struct compared {
    const double *want;
    double difference, size;
};

static bool compare(void *ud, size_t pos, const float *logits) {
    struct compared *c = ud;
    for (int v = 0; v < VOCAB; v++) {
        const double w = c->want[pos * VOCAB + (size_t)v], d = (double)logits[v] - w;
        c->difference += d * d;
        c->size += w * w;
    }
    return true;
}

static void check_engine(const char *name, size_t n_token) {
    bench b;
    ts_calib c;
    open_bench(&b, name);
    assert_ok(ts_calib_init(&c, b.src, b.token, n_token, &b.kern, b.pool, &err));
    assert_int_equal(c.n_chunks, n_token < TS_CALIB_CHUNK ? 1 : n_token / TS_CALIB_CHUNK);
    assert_int_equal(c.n, n_token < TS_CALIB_CHUNK ? n_token : n_token / TS_CALIB_CHUNK * TS_CALIB_CHUNK);
    assert_ok(all_layers(&c, &err));
    ts_engine *e;
    ts_session *s;
    double *want = ts_alloc((size_t)TS_CALIB_CHUNK * VOCAB, sizeof *want);
    assert_non_null(want);
    assert_ok(ts_engine_open_memory(&e, b.file.data, b.file.len, &(ts_engine_opts){.n_threads = 2}, &err));
    assert_ok(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = TS_CALIB_CHUNK, .kv = TS_KV_F32}, &err));
    for (uint32_t i = 0; i < c.n_chunks; i++) { /* none sees those before */
        uint32_t n;
        const uint32_t first = ts_calib_chunk(&c, i, &n);
        struct compared k = {.want = want};
        logits_of(&b, &c, first, n, want);
        assert_ok(ts_session_score(s, b.token + first, n, compare, &k, &err));
        const double off = sqrt(k.difference / k.size);
        if (!(off < 1e-5)) fail_msg("%s, chunk %u of %u tokens: off by %g", name, i, n, off);
    }
    ts_session_free(s);
    ts_engine_close(e);
    ts_free(want);
    ts_calib_fini(&c);
    close_bench(&b);
}

static void test_engine(void **state) {
    (void)state;
    static const char *const names[] = {"mha",    "gqa3-hd40", "gqa4-freqs-tied", "gqa7-hd128", "window", "window-1",
                                        "linear", "yarn",      "rot-half",        "qwen2",      "qwen3",  "qwen2-yarn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_engine(names[i], 90);
    check_engine("mha", 16);
    check_engine("window", 511);
    check_engine("qwen3", 1050); /* two chunks; what is left over is not used */
}

static void test_same_everywhere(void **state) {
    (void)state;
    levels_here();
    float *first = NULL;
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
        for (int threads = 1; threads <= 3; threads += 2) {
            bench b;
            ts_calib c;
            open_file(&b, zoo_file("window"), threads, (ts_cpu_level)level);
            assert_ok(ts_calib_init(&c, b.src, b.token, 150, &b.kern, b.pool, &err));
            assert_ok(all_layers(&c, &err));
            const size_t bytes = (size_t)c.n * c.c.d_model * sizeof *c.x;
            if (first) assert_memory_equal(first, c.x, bytes);
            else first = memcpy(ts_alloc(bytes, 1), c.x, bytes);
            ts_calib_fini(&c);
            close_bench(&b);
        }
    ts_free(first);
}

static void test_refused(void **state) {
    (void)state;
    bench b;
    ts_calib c;
    open_bench(&b, "mha");
    assert_status(ts_calib_init(&c, b.src, b.token, 15, &b.kern, b.pool, &err), TS_E_INVAL);
    assert_string_equal(err.msg, "15 tokens are too few for a calibration; give it more text");
    static const ts_token wrong[] = {VOCAB, -1, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        b.token[17] = wrong[i];
        assert_status(ts_calib_init(&c, b.src, b.token, 40, &b.kern, b.pool, &err), TS_E_INVAL);
        assert_non_null(strstr(err.msg, "model: the embedding has no row for token "));
    }
    b.token[17] = 1;
    assert_ok(ts_calib_init(&c, b.src, b.token, 40, &b.kern, b.pool, &err));
    static const ts_role roles[] = {TS_ROLE_DOWN, TS_ROLE_Q, TS_ROLE_FFN_NORM};
    for (int i = 0; i < 3; i++) { /* nothing is behind the last layer's matrix that could notice */
        ts_calib_layer l;
        const ts_tensor *t = b.src->op->tensor(b.src, roles[i], 2, false);
        float *v = (float *)(uintptr_t)t->data + (t->dim[1] - 1) * t->dim[0] + 5, was = *v;
        char want[120];
        snprintf(want, sizeof want, "model: tensor %s: element %u is not a finite number", t->name,
                 (unsigned)((t->dim[1] - 1) * t->dim[0] + 5));
        *v = i == 1 ? -INFINITY : NAN;
        assert_status(ts_calib_load(&l, &c, 2, &err), TS_E_FORMAT);
        assert_string_equal(err.msg, want);
        *v = was;
        assert_ok(ts_calib_load(&l, &c, 2, &err));
        ts_calib_layer_fini(&l);
    }
    ts_calib_fini(&c);
    close_bench(&b);
}

/* ---- AWQ --------------------------------------------------------------------------------------------------------- */

/* A model whose columns differ much, so that scaling is worth it: norms, rows of v and of up. */
static gguf_file uneven(const ts_shape *shape) {
    const ts_mix mix = {TS_F32, TS_F32, TS_F32};
    ts_buf raw = {0};
    assert_ok(ts_shape_make(shape, &mix, 7, &raw, &err));
    gguf_file f = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    assert_non_null(f.data);
    memcpy(f.data, raw.data, raw.len);
    ts_buf_free(&raw);
    bench b;
    open_file(&b, f, 1, TS_CPU_REF);
    for (uint32_t layer = 0; layer < shape->n_layer; layer++) {
        static const ts_role roles[] = {TS_ROLE_ATTN_NORM, TS_ROLE_FFN_NORM, TS_ROLE_V, TS_ROLE_UP};
        for (int k = 0; k < 4; k++) {
            const ts_tensor *t = b.src->op->tensor(b.src, roles[k], layer, false);
            float *v = (float *)(uintptr_t)t->data;
            const bool vector = roles[k] >= TS_LAYER_MATS;
            for (uint64_t r = 0; r < (vector ? t->dim[0] : t->dim[1]); r++)
                for (uint64_t i = 0; i < (vector ? 1 : t->dim[0]); i++)
                    v[r * (vector ? 1 : t->dim[0]) + i] *= ldexpf(1, (int)(r * 5 % 7) - 3);
        }
    }
    b.file.data = NULL;
    close_bench(&b);
    return f;
}

/* Which factor a group's columns have got: of what gives them. */
static double factor(const ts_calib *c, const ts_calib_layer *was, const ts_calib_layer *is, ts_mat_group g,
                     double before, uint32_t i) {
    if (g == TS_GROUP_QKV || g == TS_GROUP_FFN) {
        const int v = (g == TS_GROUP_QKV ? TS_ROLE_ATTN_NORM : TS_ROLE_FFN_NORM) - TS_LAYER_MATS;
        return (double)was->vec[v][i] / (double)is->vec[v][i];
    }
    const ts_role giver = g == TS_GROUP_O ? TS_ROLE_V : TS_ROLE_UP;
    const size_t at = (size_t)i * ts_role_in(giver, &c->width);
    return (double)was->mat[giver][at] * before / (double)is->mat[giver][at];
}

/* The scaled layers without any rounding, made from what AWQ did to those that it does not round. */
static void check_awq(const ts_shape *shape, unsigned method, bool o_too) {
    static const ts_role rounded[] = {TS_ROLE_Q, TS_ROLE_O, TS_ROLE_GATE, TS_ROLE_DOWN}; /* one of each group */
    bench b;
    open_file(&b, uneven(shape), 2, ts_cpu_detect());
    ts_calib plain, scaled, run;
    enum { N = 60 };
    assert_ok(ts_calib_init(&plain, b.src, b.token, N, &b.kern, b.pool, &err));
    assert_ok(ts_calib_init(&scaled, b.src, b.token, N, &b.kern, b.pool, &err));
    assert_ok(ts_calib_init(&run, b.src, b.token, N, &b.kern, b.pool, &err));
    const uint32_t d = plain.c.d_model;
    for (uint32_t layer = 0; layer < plain.c.n_layer; layer++) {
        ts_calib_layer was, is;
        ts_quant_layer q = {0};
        double first = 1; /* factor of the column that the giver's rows are looked at in */
        assert_ok(ts_calib_load(&was, &plain, layer, &err));
        assert_ok(ts_calib_load(&is, &run, layer, &err));
        for (int k = 0; k < 4; k++) {
            const ts_role r = rounded[k];
            q.type[r] = TS_Q4_0;
            const size_t row = ts_dtype_row_bytes(TS_Q4_0, ts_role_in(r, &plain.width));
            q.blocks[r] = ts_alloc(ts_role_out(r, &plain.width), row);
            assert_non_null(q.blocks[r]);
        }
        assert_ok(ts_quant_layer_run(&run, &is, &q, method, NULL, &err));
        for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
            const uint32_t K = ts_calib_width(&plain, g);
            const ts_role r = rounded[g];
            double least = (double)INFINITY, most = 0;
            for (uint32_t i = 0; i < K; i++) {
                const bool alike = g == TS_GROUP_O && !o_too;
                const double s = alike ? 1 : factor(&plain, &was, &is, g, first, i);
                least = fmin(least, s), most = fmax(most, s);
                if (i == 0 && (g == TS_GROUP_QKV || g == TS_GROUP_FFN)) first = s;
                for (uint32_t o = 0; o < ts_role_out(r, &plain.width); o++) {
                    const size_t at = (size_t)o * K + i;
                    is.mat[r][at] = (float)((double)was.mat[r][at] * s);
                }
            }
            if (g == TS_GROUP_O && !o_too) assert_true(most == 1);
            else if (!(most > 2 * least)) fail_msg("layer %u, group %d: nothing was scaled", layer, (int)g);
            assert_true(q.error[r] > 0 && q.norm[r] > q.error[r]);
        }
        for (ts_mat_group g = TS_GROUP_O; g <= TS_GROUP_DOWN; g += TS_GROUP_DOWN - TS_GROUP_O) {
            assert_ok(ts_calib_advance(&plain, &was, g, &err));
            assert_ok(ts_calib_advance(&scaled, &is, g, &err));
        }
        for (int k = 0; k < 4; k++) ts_free(q.blocks[rounded[k]]);
        ts_calib_layer_fini(&was);
        ts_calib_layer_fini(&is);
        double difference = 0, size = 0, rounding = 0;
        for (size_t i = 0; i < (size_t)N * d; i++) {
            difference += pow((double)plain.x[i] - (double)scaled.x[i], 2);
            rounding += pow((double)plain.x[i] - (double)run.x[i], 2);
            size += pow((double)plain.x[i], 2);
        }
        if (!(sqrt(difference / size) < 1e-5))
            fail_msg("%s, layer %u: off by %g", shape->name, layer, sqrt(difference / size));
        assert_true(rounding > 100 * difference); /* or there was nothing to be seen */
    }
    ts_calib_fini(&plain), ts_calib_fini(&scaled), ts_calib_fini(&run);
    close_bench(&b);
}

static void test_awq(void **state) {
    (void)state;
#define SMALL(name_, arch_, kv)                                                                                        \
    {                                                                                                                  \
        .name = name_, .arch = arch_, .n_layer = 2, .d_model = 64, .d_ff = 96, .n_head = 4, .n_kv_head = kv,           \
        .head_dim = 16, .n_vocab = VOCAB, .n_ctx = 512, .rope_base = 10000, .norm_eps = 1e-5f                          \
    }
    static const ts_shape shapes[] = {SMALL("llama", "llama", 4), SMALL("llama, gqa", "llama", 2),
                                      SMALL("qwen2", "qwen2", 4), /* v's bias goes with its rows */
                                      SMALL("qwen2, gqa", "qwen2", 2), SMALL("qwen3", "qwen3", 4)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_awq(&shapes[i], TS_METHOD_AWQ, shapes[i].n_kv_head == 4);
    check_awq(&shapes[2], TS_METHOD_AWQ | TS_METHOD_GPTQ, true);
}

static bool whole(void *ud) {
    bench *b = ud;
    ts_calib c;
    ts_calib_layer l;
    ts_quant_layer q = {0};
    static uint8_t blocks[TS_LAYER_MATS][160 * 96 * 2];
    if (ts_calib_init(&c, b->src, b->token, 20, &b->kern, b->pool, &err) != TS_OK) return false;
    ts_status st = ts_calib_load(&l, &c, 0, &err);
    if (st == TS_OK) {
        for (int r = 0; r < TS_LAYER_MATS; r++) q.type[r] = TS_Q4_0, q.blocks[r] = blocks[r];
        st = ts_quant_layer_run(&c, &l, &q, TS_METHOD_AWQ | TS_METHOD_GPTQ, NULL, &err);
        ts_calib_layer_fini(&l);
    }
    ts_calib_fini(&c);
    return st == TS_OK;
}

static void test_no_memory(void **state) {
    (void)state;
    bench b;
    static const ts_shape least = {.name = "least",
                                   .arch = "qwen3",
                                   .n_layer = 1,
                                   .d_model = 32,
                                   .d_ff = 32,
                                   .n_head = 1,
                                   .n_kv_head = 1,
                                   .head_dim = 32,
                                   .n_vocab = VOCAB,
                                   .n_ctx = 512,
                                   .rope_base = 10000,
                                   .norm_eps = 1e-5f};
    open_file(&b, uneven(&least), 1, ts_cpu_detect());
    alloc_fail_loop(whole, &b, false);
    close_bench(&b);
}

typedef struct looks {
    int n, stop_at; /* how often it was asked; 0: never stops */
    uint64_t done;
} looks;

static bool look(void *ud, uint64_t done, uint64_t all) {
    looks *l = ud;
    assert_true(done >= l->done && done <= all);
    l->done = done;
    return ++l->n != l->stop_at;
}

/* A layer tells about how much of it is done, its forecast is what it tells in the end, and it stops wherever it is
 * asked to. */
static void test_watched(void **state) {
    (void)state;
    bench b;
    open_bench(&b, "mha");
    static uint8_t blocks[TS_LAYER_MATS][160 * 96 * 2];
    for (unsigned method = TS_METHOD_PLAIN; method <= (TS_METHOD_AWQ | TS_METHOD_GPTQ); method++) {
        int all = 0;
        for (int at = 0; at <= all; at += 1 + all / 12) { /* 0: never */
            ts_calib c;
            ts_calib_layer l;
            ts_quant_layer q = {0};
            looks seen = {.stop_at = at};
            assert_ok(ts_calib_init(&c, b.src, b.token, 200, &b.kern, b.pool, &err));
            assert_ok(ts_calib_load(&l, &c, 0, &err));
            for (int r = 0; r < TS_LAYER_MATS; r++) q.type[r] = TS_Q4_0, q.blocks[r] = blocks[r];
            const uint64_t cost = ts_quant_layer_cost(&c, q.type, method);
            ts_watch w = {.progress = look, .progress_ud = &seen, .all = 10 * cost};
            const ts_status st = ts_quant_layer_run(&c, &l, &q, method, &w, &err);
            assert_int_equal(st, at ? TS_E_CANCELLED : TS_OK);
            if (at) {
                assert_int_equal(seen.n, at);
            } else {
                all = seen.n;
                assert_true(all > TS_LAYER_MATS + TS_LAYER_GROUPS);
                if (w.done < cost - cost / 10 || w.done > cost + cost / 10)
                    fail_msg("%s: %llu of %llu units", ts_quant_method_name(method), (unsigned long long)w.done,
                             (unsigned long long)cost);
            }
            ts_calib_layer_fini(&l);
            ts_calib_fini(&c);
        }
    }
    close_bench(&b);
}

/* Inputs that no search can weigh by: refused by all methods. */
static void test_overflow(void **state) {
    (void)state;
    bench b;
    open_bench(&b, "mha");
    static uint8_t blocks[TS_LAYER_MATS][160 * 96 * 2];
    for (unsigned method = 0; method < 4; method++) {
        ts_calib c;
        ts_calib_layer l;
        ts_quant_layer q = {0};
        assert_ok(ts_calib_init(&c, b.src, b.token, 20, &b.kern, b.pool, &err));
        assert_ok(ts_calib_load(&l, &c, 0, &err));
        l.vec[TS_ROLE_FFN_NORM - TS_LAYER_MATS][7] = 1e30f;
        for (int r = 0; r < TS_LAYER_MATS; r++) q.type[r] = TS_Q4_0, q.blocks[r] = blocks[r];
        assert_status(ts_quant_layer_run(&c, &l, &q, method, NULL, &err), TS_E_FORMAT);
        assert_string_equal(err.msg, "activations are not finite");
        ts_calib_layer_fini(&l);
        ts_calib_fini(&c);
    }
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine),   cmocka_unit_test(test_same_everywhere), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_awq),      cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_watched),
        cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests_name("calib", tests, NULL, NULL);
}
