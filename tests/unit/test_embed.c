/* embed: hidden states behind the last norm, pooled. The reference is the same model with an output layer that is the
 * unit matrix: its logits are the hidden states, and ts_session_score hands them out. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/test.h"

#include "base/rng.h"
#include "report/shape.h"
#include "tessera/tessera.h"

#include <math.h>

enum { D = 272, CTX = 600, MOST = 520 }; /* the vocabulary is as large as the model is wide */

static gguf_file unit_head(void) {
    static const ts_shape shape = {.name = "unit", .arch = "llama", .n_layer = 2, .d_model = D, .d_ff = 48, .n_head = 2,
                                   .n_kv_head = 1, .head_dim = 16, .n_vocab = D, .n_ctx = CTX, .rope_base = 10000,
                                   .norm_eps = 1e-5f};
    static float unit[D * D];
    ts_buf raw = {0};
    ts_err err;
    const ts_mix mix = {TS_F32, TS_F32, TS_F32};
    assert_ok(ts_shape_make(&shape, &mix, 5, &raw, &err));
    gguf_file base = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    memcpy(base.data, raw.data, raw.len);
    ts_buf_free(&raw);
    for (int i = 0; i < D; i++) unit[i * D + i] = 1;
    const gguf_edit edits[] = {
        {.name = "output.weight", .what = EDIT_TENSOR, .type = TS_F32, .rows = D, .cols = D, .data = unit}, {0}};
    gguf_file f = gguf_edited(base, edits);
    ts_free(base.data);
    return f;
}

struct pooled {
    double sum[D], last[D];
    size_t n;
};

static bool pool(void *ud, size_t pos, const float *logits) {
    struct pooled *p = ud;
    assert_int_equal(pos, p->n++);
    for (int i = 0; i < D; i++) p->sum[i] += p->last[i] = (double)logits[i];
    return true;
}

struct fixture {
    gguf_file file;
    ts_engine *e;
    ts_session *s;
    ts_token token[MOST];
};

static struct fixture make(void) {
    struct fixture f = {.file = unit_head()};
    ts_err err;
    ts_rng rng = ts_rng_seed(2);
    assert_ok(ts_engine_open_memory(&f.e, f.file.data, f.file.len, &(ts_engine_opts){.n_threads = 2}, &err));
    assert_ok(ts_session_new(&f.s, f.e, NULL, &err));
    for (int i = 0; i < MOST; i++) f.token[i] = (ts_token)ts_rng_below(&rng, D);
    return f;
}

static void drop(struct fixture *f) {
    ts_session_free(f->s);
    ts_engine_close(f->e);
    ts_free(f->file.data);
}

static void test_pooling(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    static const size_t lengths[] = {1, 2, 17, 255, 256, 257, MOST}; /* also of more than one pass */
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t n = lengths[k];
        struct pooled p = {0};
        float got[D];
        assert_ok(ts_session_score(f.s, f.token, n, pool, &p, &err));
        for (int how = TS_POOLING_MEAN; how <= TS_POOLING_LAST; how++)
            for (int unit = 0; unit < 2; unit++) {
                double want[D], squares = 0;
                for (int i = 0; i < D; i++) {
                    want[i] = how == TS_POOLING_MEAN ? p.sum[i] / (double)n : p.last[i];
                    squares += want[i] * want[i];
                }
                assert_ok(ts_session_embed(f.s, f.token, n, (ts_pooling)how, unit, got, &err));
                double length = 0;
                for (int i = 0; i < D; i++) {
                    assert_true(got[i] == (float)(unit ? want[i] / sqrt(squares) : want[i])); /* the same bits */
                    length += (double)got[i] * (double)got[i];
                }
                if (unit) assert_true(fabs(length - 1) < 1e-5);
                else assert_true(length > 1);
            }
        /* the timeline is the tokens, without logits; a session goes on with it */
        size_t there;
        const ts_token *t = ts_session_tokens(f.s, &there);
        assert_int_equal(there, n);
        assert_memory_equal(t, f.token, n * sizeof *t);
        assert_null(ts_session_logits(f.s));
        assert_ok(ts_session_sync(f.s, f.token, n, &err));
        for (int i = 0; i < D; i++) assert_true((double)ts_session_logits(f.s)[i] == p.last[i]);
    }
    drop(&f);
}

static void test_caller(void **state) {
    (void)state;
    struct fixture f = make();
    ts_err err;
    float out[D];
    assert_status(ts_session_embed(f.s, f.token, 0, TS_POOLING_MEAN, true, out, &err), TS_E_INVAL);
    assert_status(ts_session_embed(f.s, NULL, 1, TS_POOLING_MEAN, true, out, &err), TS_E_INVAL);
    assert_status(ts_session_embed(NULL, f.token, 1, TS_POOLING_MEAN, true, out, &err), TS_E_INVAL);
    assert_status(ts_session_embed(f.s, f.token, 1, TS_POOLING_MEAN, true, NULL, &err), TS_E_INVAL);
    assert_status(ts_session_embed(f.s, f.token, 1, (ts_pooling)7, true, out, &err), TS_E_INVAL);
    assert_status(ts_session_embed(f.s, &(ts_token){D}, 1, TS_POOLING_MEAN, true, out, &err), TS_E_INVAL);
    assert_status(ts_session_embed(f.s, f.token, CTX + 1, TS_POOLING_MEAN, true, out, &err), TS_E_LIMIT);
    drop(&f);
}

static bool embed(void *ud) {
    struct fixture *f = ud;
    float out[D];
    return ts_session_embed(f->s, f->token, 20, TS_POOLING_MEAN, true, out, NULL) == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    struct fixture f = make();
    assert_true(embed(&f)); /* the pages of the cache stay with the session */
    alloc_fail_loop(embed, &f, false);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_caller),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
