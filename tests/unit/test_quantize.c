/* Quantised files: recipes, plans, patterns, and writing; the whole program is tests/tools/test_quantize.py's. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/file.h"
#include "format/gguf.h"
#include "format/quant.h"
#include "engine/engine.h"
#include "model/actstats.h"
#include "quant/calibrate.h"
#include "quant/stream.h"
#include "report/shape.h"

#include <math.h>
#include <unistd.h>

static ts_err err;
static char folder[] = "/tmp/tessera-quantize-XXXXXX", source[80], result[80];

static void test_recipes(void **state) {
    (void)state;
    const ts_recipe *r;
    size_t n = 0;
    for (; (r = ts_recipe_at(n)); n++) {
        const ts_recipe *found;
        assert_ok(ts_recipe_find(&found, r->name, &err));
        assert_ptr_equal(found, r);
        /* ours have the number of what carries them */
        for (size_t i = 0; i < n && !ts_dtype_is_u4g(r->base); i++)
            assert_true(ts_recipe_at(i)->file_type != r->file_type);
    }
    assert_true(n > 15);
    assert_ok(ts_recipe_find(&r, "Q5_K", &err));
    assert_string_equal(r->name, "q5_k_m");
    assert_status(ts_recipe_find(&r, "q4", &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "unknown type \"q4\": there are f32, f16, "));
    assert_non_null(strstr(err.msg, ", q2_k"));
}

static void test_types(void **state) {
    (void)state;
    const ts_recipe_model llama3_8b = {32, 32, 8, false, false}, tied = {16, 32, 32, true, true},
                          llama3_70b = {80, 64, 8, false, false};
    static const struct {
        const char *recipe, *tensor;
        ts_dtype small, other, large; /* of the three models */
    } cases[] = {
        {"q4_k_m", "token_embd.weight", TS_Q4_K, TS_Q6_K, TS_Q4_K},
        {"q4_k_m", "output.weight", TS_Q6_K, TS_Q6_K, TS_Q6_K},
        {"q4_k_m", "blk.3.attn_v.weight", TS_Q6_K, TS_Q4_K, TS_Q6_K},
        {"q4_k_m", "blk.4.attn_v.weight", TS_Q4_K, TS_Q6_K, TS_Q6_K},
        {"q4_k_m", "blk.13.attn_v.weight", TS_Q4_K, TS_Q6_K, TS_Q5_K},
        {"q4_k_m", "blk.6.ffn_down.weight", TS_Q6_K, TS_Q4_K, TS_Q6_K},
        {"q4_k_m", "blk.6.ffn_up.weight", TS_Q4_K, TS_Q4_K, TS_Q4_K},
        {"q4_k_s", "blk.3.attn_v.weight", TS_Q5_K, TS_Q5_K, TS_Q5_K},
        {"q4_k_s", "blk.4.attn_v.weight", TS_Q4_K, TS_Q4_K, TS_Q5_K},
        {"q4_0", "blk.1.ffn_down.weight", TS_Q4_0, TS_Q4_1, TS_Q4_0},
        {"q4_0", "blk.2.ffn_down.weight", TS_Q4_0, TS_Q4_0, TS_Q4_0},
        {"iq4_xs", "blk.0.ffn_down.weight", TS_Q5_K, TS_IQ4_XS, TS_Q5_K},
        {"iq4_nl", "blk.9.attn_v.weight", TS_Q5_K, TS_IQ4_NL, TS_Q5_K},
        {"q2_k", "blk.0.attn_v.weight", TS_Q4_K, TS_Q3_K, TS_Q5_K},
        {"q3_k_l", "blk.7.attn_output.weight", TS_Q5_K, TS_Q5_K, TS_Q5_K},
        {"q8_0", "output.weight", TS_Q8_0, TS_Q8_0, TS_Q8_0},
        {"f16", "output.weight", TS_F16, TS_F16, TS_F16},
        {"q6_k", "strange.weight", TS_Q6_K, TS_Q6_K, TS_Q6_K},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ts_recipe *r;
        assert_ok(ts_recipe_find(&r, cases[i].recipe, &err));
        const ts_dtype got[] = {ts_recipe_type(r, &llama3_8b, cases[i].tensor),
                                ts_recipe_type(r, &tied, cases[i].tensor),
                                ts_recipe_type(r, &llama3_70b, cases[i].tensor)};
        if (got[0] != cases[i].small || got[1] != cases[i].other || got[2] != cases[i].large)
            fail_msg("%s, %s: %s, %s, %s", cases[i].recipe, cases[i].tensor, ts_dtype_get(got[0])->name,
                     ts_dtype_get(got[1])->name, ts_dtype_get(got[2])->name);
    }
    static const struct {
        ts_dtype type;
        uint64_t row;
        ts_dtype fits, head;
    } rows[] = {
        {TS_Q4_K, 512, TS_Q4_K, TS_Q4_K}, {TS_Q4_K, 96, TS_Q5_0, TS_Q8_0},   {TS_Q5_K, 96, TS_Q5_1, TS_Q8_0},
        {TS_Q6_K, 96, TS_Q8_0, TS_Q8_0},  {TS_Q2_K, 32, TS_Q4_0, TS_Q8_0},   {TS_IQ4_XS, 32, TS_IQ4_NL, TS_Q8_0},
        {TS_Q4_K, 172, TS_F16, TS_F16},   {TS_Q4_0, 172, TS_F16, TS_F16},    {TS_F32, 3, TS_F32, TS_F32},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ts_recipe_fitting(rows[i].type, rows[i].row, false), rows[i].fits);
        assert_int_equal(ts_recipe_fitting(rows[i].type, rows[i].row, true), rows[i].head);
    }
    static const struct {
        const char *name;
        uint64_t rows;
        bool is;
    } names[] = {{"blk.0.attn_q.weight", 8, true},       {"blk.0.attn_q.bias", 8, false},
                 {"blk.0.attn_norm.weight", 8, false},   {"blk.0.attn_q.weight", 1, false},
                 {"blk.0.ffn_gate_inp.weight", 8, false}, {"rope_freqs.weight", 8, false}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ts_tensor t = {.name = names[i].name, .n_dims = 2, .dim = {32, names[i].rows, 1, 1}};
        assert_int_equal(ts_recipe_quantises(&t), names[i].is);
    }
}

/* The small random model in that type, as a file. */
static int make_source(void **state) {
    (void)state;
    const ts_shape *shape;
    ts_mix mix;
    ts_buf b = {0};
    if (!*result) assert_non_null(mkdtemp(folder));
    snprintf(source, sizeof source, "%s/source.gguf", folder);
    snprintf(result, sizeof result, "%s/result.gguf", folder);
    assert_ok(ts_shape_find(&shape, "tiny", &err));
    assert_ok(ts_mix_find(&mix, "f16", &err));
    assert_ok(ts_shape_make(shape, &mix, 5, &b, &err));
    assert_ok(ts_file_write(source, b.data, b.len, &err));
    ts_buf_free(&b);
    return 0;
}

static int clean(void **state) {
    (void)state;
    unlink(source), unlink(result);
    return rmdir(folder);
}

static ts_quant_opts options(const char *recipe) {
    ts_quant_opts o = {0};
    assert_ok(ts_recipe_find(&o.recipe, recipe, &err));
    return o;
}

static ts_dtype type_in(const ts_quant_plan *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->item[i].from->name, name)) return p->item[i].type;
    fail_msg("no %s", name);
    return TS_F32;
}

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        bool q0, q1, v1, down0; /* does it change blk.0.attn_q, blk.1.attn_q, ... */
    } cases[] = {
        {"attn_q", true, true, false, false},      {"blk.0", true, false, false, true},
        {"blk.?.attn_*", true, true, true, false}, {"blk.1.attn_v.weight", false, false, true, false},
        {"*down*", false, false, false, true},     {"*", true, true, true, true},
        {"weight", true, true, true, true},        {"1.attn_?", false, true, true, false},
        {"b*0.*q*t", true, false, false, false},   {"0.*n", false, false, false, true},
    };
    ts_quant_in in;
    assert_ok(ts_quant_in_open(&in, source, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_quant_opts o = options("q4_0");
        o.rule = &(ts_quant_rule){cases[i].pattern, TS_Q8_0};
        o.n_rules = 1;
        ts_quant_plan p;
        assert_ok(ts_quant_plan_make(&p, &in, &o, &err));
        const bool got[] = {type_in(&p, "blk.0.attn_q.weight") == TS_Q8_0,
                            type_in(&p, "blk.1.attn_q.weight") == TS_Q8_0,
                            type_in(&p, "blk.1.attn_v.weight") == TS_Q8_0,
                            type_in(&p, "blk.0.ffn_down.weight") == TS_Q8_0};
        if (got[0] != cases[i].q0 || got[1] != cases[i].q1 || got[2] != cases[i].v1 || got[3] != cases[i].down0)
            fail_msg("%s: %d %d %d %d", cases[i].pattern, got[0], got[1], got[2], got[3]);
        assert_int_equal(type_in(&p, "blk.0.attn_norm.weight"), TS_F32); /* never */
        ts_quant_plan_free(&p);
    }
    ts_quant_opts o = options("q4_0"); /* the later rule, but for the head */
    o.rule = (ts_quant_rule[]){{"attn_q", TS_Q8_0}, {"blk.1", TS_Q5_K}};
    o.n_rules = 2, o.has_head = true, o.head = TS_BF16, o.has_embedding = true, o.embedding = TS_Q5_1;
    ts_quant_plan p;
    assert_ok(ts_quant_plan_make(&p, &in, &o, &err));
    assert_int_equal(type_in(&p, "blk.0.attn_q.weight"), TS_Q8_0);
    assert_int_equal(type_in(&p, "blk.1.attn_q.weight"), TS_Q5_K);
    assert_int_equal(type_in(&p, "output.weight"), TS_BF16);
    assert_int_equal(type_in(&p, "token_embd.weight"), TS_Q5_1);
    ts_quant_plan_free(&p);
    o.rule = &(ts_quant_rule){"attn_?q", TS_Q8_0}, o.n_rules = 1;
    assert_status(ts_quant_plan_make(&p, &in, &o, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "no matrix is called \"attn_?q\""));
    ts_quant_plan_free(&p);
    ts_quant_in_close(&in);
    char kind[64];
    ts_quant_kind("blk.11.attn_q.weight", kind), assert_string_equal(kind, "attn_q");
    ts_quant_kind("token_embd.weight", kind), assert_string_equal(kind, "token_embd");
    ts_quant_kind("blk.weight", kind), assert_string_equal(kind, "blk");
    ts_quant_kind(".weight", kind), assert_string_equal(kind, ".weight");
}

/* What is written is what ts_quantize_weighted gives, the errors are what they are, metadata is carried over. */
static void test_written(void **state) {
    (void)state;
    ts_imatrix *m;
    double sum[512];
    for (int i = 0; i < 512; i++) sum[i] = exp(sin(i) * 3);
    assert_ok(ts_imatrix_new(&m, "words", 7, 512, &err));
    assert_ok(ts_imatrix_add(m, "blk.1.ffn_down.weight", 512, 10, sum, &err));
    ts_quant_opts o = options("q4_k_m");
    o.imatrix = m, o.imatrix_name = "m.gguf";
    ts_quant_in in;
    ts_quant_plan p;
    ts_quant_done done;
    assert_ok(ts_quant_in_open(&in, source, &err));
    assert_ok(ts_quant_plan_make(&p, &in, &o, &err));
    assert_ok(ts_quant_run(&p, &in, result, &(ts_quant_run_opts){.threads = 3}, &done, &err));
    assert_true(!done.n_kept && !done.began_anew);
    ts_gguf *g;
    assert_ok(ts_gguf_open(&g, result, &err));
    assert_int_equal(ts_gguf_n_tensors(g), p.n);
    uint32_t v = 0;
    assert_ok(ts_gguf_u32(g, "general.file_type", true, &v, &err));
    assert_int_equal(v, 15);
    assert_ok(ts_gguf_u32(g, "quantize.imatrix.chunks_count", true, &v, &err));
    assert_int_equal(v, 7);
    ts_span s;
    assert_ok(ts_gguf_str(g, "quantize.imatrix.dataset", true, &s, &err));
    assert_true(s.len == 5 && !memcmp(s.data, "words", 5));
    for (size_t i = 0; i < ts_gguf_n_kv(in.gguf); i++) {
        const ts_gguf_kv *a = ts_gguf_kv_at(in.gguf, i), *b = ts_gguf_find(g, a->key);
        if (!strcmp(a->key, "general.file_type") || !strcmp(a->key, "general.alignment")) continue;
        assert_non_null(b);
        assert_true(a->type == b->type && a->raw.len == b->raw.len && !memcmp(a->raw.data, b->raw.data, a->raw.len));
    }
    size_t weighted = 0;
    for (size_t i = 0; i < p.n; i++) {
        const ts_quant_item *it = &p.item[i];
        const ts_tensor *t = ts_gguf_tensor(g, it->from->name);
        assert_true(t && t->type == it->type && t->bytes == it->bytes && t->n_dims == it->from->n_dims);
        if (it->type == it->from->type) {
            assert_memory_equal(t->data, it->from->data, t->bytes);
            assert_true(it->error == 0 && it->norm == 0);
            continue;
        }
        float *x = malloc(it->n_el * 4), *y = malloc(it->n_el * 4);
        uint8_t *want = malloc(it->bytes);
        assert_true(x && y && want);
        ts_dequant(it->from->type, it->from->data, x, it->n_el);
        const ts_imatrix_entry *e = ts_imatrix_find(m, t->name);
        assert_ptr_equal(e, it->weights);
        weighted += e != NULL;
        ts_quantize_weighted(it->type, x, e ? e->mean : NULL, t->dim[0], want, it->n_el);
        assert_memory_equal(want, t->data, t->bytes);
        ts_dequant(it->type, want, y, it->n_el);
        double error = 0, norm = 0;
        for (size_t k = 0; k < it->n_el; k++) {
            error += ((double)y[k] - (double)x[k]) * ((double)y[k] - (double)x[k]);
            norm += (double)x[k] * (double)x[k];
        }
        assert_true(fabs(it->error - error) <= error * 1e-5 && fabs(it->norm - norm) <= norm * 1e-5);
        free(x), free(y), free(want);
    }
    assert_int_equal(weighted, 1);
    ts_gguf_close(g);
    ts_quant_plan_free(&p);
    ts_imatrix_free(m);
    /* a matrix of other sizes */
    assert_ok(ts_imatrix_new(&m, "", 0, 0, &err));
    assert_ok(ts_imatrix_add(m, "blk.1.ffn_down.weight", 511, 10, sum, &err));
    o.imatrix = m;
    assert_status(ts_quant_plan_make(&p, &in, &o, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "has 511 columns of 1 matrices, the model's 512 of 1: it is another model's"));
    ts_quant_plan_free(&p);
    ts_imatrix_free(m);
    ts_quant_in_close(&in);
    unlink(result);
}

static bool whole(void *ud) {
    (void)ud;
    ts_quant_in in;
    ts_quant_plan p = {0};
    ts_quant_opts o = options("q8_0");
    o.rule = &(ts_quant_rule){"attn_q", TS_Q4_0};
    o.n_rules = 1;
    ts_quant_done done = {0};
    bool ok = ts_quant_in_open(&in, source, &err) == TS_OK && ts_quant_plan_make(&p, &in, &o, &err) == TS_OK &&
              ts_quant_run(&p, &in, result, &(ts_quant_run_opts){.threads = 1}, &done, &err) == TS_OK;
    if (!ok) assert_int_equal(err.code, TS_E_NOMEM);
    ts_quant_plan_free(&p);
    ts_quant_in_close(&in);
    return ok;
}

static void test_no_memory(void **state) {
    (void)state;
    char partial[100];
    snprintf(partial, sizeof partial, "%s.partial", result);
    alloc_fail_loop(whole, NULL, false);
    assert_int_not_equal(access(partial, F_OK), 0); /* what was left on the way is used up */
    assert_int_equal(access(result, F_OK), 0);
}

/* ---- importance matrices ----------------------------------------------------------------------------------------- */

static ts_engine *open_tiny(int threads) {
    ts_engine *e;
    assert_ok(ts_engine_open(&e, source, &(ts_engine_opts){.n_threads = threads}, &err));
    return e;
}

/* The sums are those of the statistics over the same pieces, whoever computes them with how many threads. */
static void test_calibrate(void **state) {
    (void)state;
    static const char text[] = "This text is short, but it has more than three pieces of 20 tokens each: bytes, here.";
    ts_engine *e = open_tiny(1);
    ts_token *token;
    size_t n, n_bos;
    assert_ok(ts_engine_tokenize(e, "", 0, TS_TOKENIZE_BOS, &token, &n_bos, &err));
    ts_tokens_release(token);
    assert_ok(ts_engine_tokenize(e, text, sizeof text - 1, TS_TOKENIZE_BOS, &token, &n, &err));
    enum { CHUNK = 20 };
    const size_t each = CHUNK - n_bos, whole = (n - n_bos) / each, rest = (n - n_bos) % each;
    assert_true(n_bos <= 1 && whole >= 3);
    const size_t pieces = whole + (rest + n_bos >= 16), inputs = whole * CHUNK + (pieces > whole ? rest + n_bos : 0);
    ts_act_stats *stats;
    assert_ok(ts_act_stats_new(&stats, &err));
    ts_engine_listen(e, ts_act_stats_listener(stats));
    for (size_t k = 0; k < pieces; k++) {
        ts_session *s;
        ts_token piece[CHUNK];
        size_t m = 0;
        if (n_bos) piece[m++] = token[0];
        for (size_t i = n_bos + k * each; i < n && m < CHUNK; i++) piece[m++] = token[i];
        assert_ok(ts_session_new(&s, e, NULL, &err));
        assert_ok(ts_session_sync(s, piece, m, &err));
        ts_session_free(s);
    }
    ts_engine_unlisten(e, ts_act_stats_listener(stats));
    ts_tokens_release(token);
    for (int threads = 1; threads <= 3; threads += 2) {
        ts_engine *other = open_tiny(threads);
        ts_imatrix *m;
        for (int head = 0; head < 2; head++) {
            const ts_calibrate_opts o = {.chunk = CHUNK, .head = head, .dataset = "t"};
            assert_ok(ts_calibrate(other, text, sizeof text - 1, &o, &m, &err));
            assert_int_equal(ts_imatrix_n(m), 2 * 7 + head);
            assert_true(ts_imatrix_chunks(m) == pieces && ts_imatrix_chunk_size(m) == CHUNK);
            if (head) assert_true(ts_imatrix_find(m, "output.weight")->count == (double)inputs);
            for (size_t i = 0; i < 2 * 7; i++) {
                const ts_act_stat want = ts_act_stats_at(stats, i < 7 ? i : i + (ts_act_stats_n(stats) > 15));
                const ts_imatrix_entry *got = ts_imatrix_find(m, want.name);
                if (!strcmp(want.name, "output.weight")) continue;
                assert_true(got && got->n_in == want.n_in && got->count == (double)inputs && want.count == inputs);
                for (size_t c = 0; c < got->n_in; c++)
                    assert_true(got->mean[c] == (float)(want.sum_square[c] / (double)inputs));
            }
            ts_imatrix_free(m);
        }
        assert_ok(ts_calibrate(other, text, sizeof text - 1, &(ts_calibrate_opts){.chunk = CHUNK, .max_chunks = 2}, &m,
                               &err));
        assert_int_equal(ts_imatrix_chunks(m), 2);
        ts_imatrix_free(m);
        assert_ok(ts_calibrate(other, "ab", 2, &(ts_calibrate_opts){0}, &m, &err)); /* short, but all there is */
        assert_int_equal(ts_imatrix_chunks(m), 1);
        ts_imatrix_free(m);
        assert_status(ts_calibrate(other, "", 0, &(ts_calibrate_opts){0}, &m, &err), TS_E_INVAL);
        assert_string_equal(err.msg, "the text has no tokens");
        assert_status(ts_calibrate(other, "ab", 2, &(ts_calibrate_opts){.chunk = 1}, &m, &err), TS_E_INVAL);
        ts_engine_close(other);
    }
    ts_act_stats_free(stats);
    ts_engine_close(e);
}

static bool stop_at_40(void *ud, uint64_t done, uint64_t all) {
    *(uint64_t *)ud = all;
    return done < 40;
}

static void test_calibrate_stopped(void **state) {
    (void)state;
    char text[200];
    memset(text, 'a', sizeof text);
    ts_engine *e = open_tiny(1);
    uint64_t all = 0;
    ts_imatrix *m;
    const ts_calibrate_opts o = {.chunk = 20, .progress = stop_at_40, .progress_ud = &all};
    assert_status(ts_calibrate(e, text, sizeof text, &o, &m, &err), TS_E_CANCELLED);
    assert_true(all >= 200);
    ts_engine_close(e);
}

static bool calibrate(void *ud) {
    ts_imatrix *m;
    if (ts_calibrate(ud, "some text", 9, &(ts_calibrate_opts){.dataset = "t"}, &m, &err) != TS_OK) {
        assert_int_equal(err.code, TS_E_NOMEM);
        return false;
    }
    ts_imatrix_free(m);
    return true;
}

static void test_calibrate_no_memory(void **state) {
    (void)state;
    ts_engine *e = open_tiny(1);
    assert_true(calibrate(e)); /* what the engine takes once */
    alloc_fail_loop(calibrate, e, false);
    ts_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes),  cmocka_unit_test(test_types),     cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_written),  cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_calibrate), cmocka_unit_test(test_calibrate_stopped),
        cmocka_unit_test(test_calibrate_no_memory),
    };
    return cmocka_run_group_tests_name("quantize", tests, make_source, clean);
}
