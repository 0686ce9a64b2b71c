/* model: what is refused at load and with which words, sizes, allocation failures, several timelines in one pass. */
#include "support/alloc_fail.h"
#include "support/gguf_edit.h"
#include "support/zoo_file.h"

#include "model/pass.h"
#include "source/gguf_source.h"
#include "source/leftover.h"

#include <math.h>
#include <unistd.h>

static ts_status open_source(gguf_file f, ts_source **src, ts_err *err) {
    ts_gguf *g;
    TS_TRY(ts_gguf_open_mem(&g, (ts_span){.data = f.data, .len = f.len}, "test.gguf", 0, err));
    return ts_gguf_source_take(src, g, err);
}

static ts_status open_model(gguf_file f, ts_source **src, ts_model **m, ts_pool *pool, ts_err *err) {
    TS_TRY(open_source(f, src, err));
    ts_status s = ts_model_open(m, *src, pool, (ts_load_progress){0}, err);
    if (s != TS_OK) ts_source_close(*src);
    return s;
}

static ts_pool *pool_of(int n) {
    ts_pool *pool;
    ts_err err;
    assert_ok(ts_pool_new(&pool, n, &err));
    return pool;
}

/* The changed file is refused with this code and a message that has all these words; the message names the file. */
static void refused(gguf_file base, const gguf_edit *edits, ts_status code, const char *const *words) {
    ts_pool *pool = pool_of(1);
    gguf_file f = gguf_edited(base, edits);
    ts_source *src;
    ts_model *m = NULL;
    ts_err err = {0};
    ts_status s = open_model(f, &src, &m, pool, &err);
    if (s != code)
        fail_msg("%s: status %s, not %s: %s", edits[0].name, ts_status_name(s), ts_status_name(code), err.msg);
    assert_null(m);
    if (strncmp(err.msg, "test.gguf: ", 11)) fail_msg("\"%s\" does not begin with the file's name", err.msg);
    for (; *words; words++)
        if (!strstr(err.msg, *words)) fail_msg("\"%s\" does not mention %s", err.msg, *words);
    if (strchr(err.msg, '\n')) fail_msg("more than one line: %s", err.msg);
    ts_free(f.data);
    ts_pool_free(pool);
}

static void test_metadata(void **state) {
    (void)state;
    gguf_file f = zoo_file("yarn");
    static const char *const required[] = {"general.architecture", "llama.block_count", "llama.context_length",
                                           "llama.embedding_length", "llama.feed_forward_length",
                                           "llama.attention.head_count",
                                           "llama.attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        const gguf_edit e[] = {{.name = required[i], .what = EDIT_DROP}, {0}};
        refused(f, e, TS_E_FORMAT, (const char *const[]){required[i], NULL});
    }
    static const struct {
        const char *key;
        uint32_t value;
        ts_status code;
        const char *word;
    } numbers[] = {
        {"llama.block_count", 0, TS_E_FORMAT, "llama.block_count is 0"},
        {"llama.block_count", 3, TS_E_FORMAT, "blk.2."},
        {"llama.block_count", 5000, TS_E_FORMAT, "5000"},
        {"llama.context_length", 0, TS_E_FORMAT, "context_length"},
        {"llama.embedding_length", 0, TS_E_FORMAT, "embedding_length"},
        {"llama.embedding_length", 128, TS_E_FORMAT, "token_embd.weight"},
        {"llama.feed_forward_length", 0, TS_E_FORMAT, "feed_forward_length"},
        {"llama.feed_forward_length", 1u << 30, TS_E_FORMAT, "feed_forward_length"},
        {"llama.attention.head_count", 0, TS_E_FORMAT, "head_count"},
        {"llama.attention.head_count", 4, TS_E_FORMAT, "attn_q"},
        {"llama.attention.head_count_kv", 0, TS_E_FORMAT, "head_count_kv"},
        {"llama.attention.head_count_kv", 3, TS_E_FORMAT, "KV heads"},
        {"llama.attention.key_length", 2000, TS_E_UNSUPP, "2000"},
        {"llama.attention.value_length", 24, TS_E_UNSUPP, "24"},
        {"llama.rope.dimension_count", 50, TS_E_FORMAT, "rope.dimension_count"},
        {"llama.rope.dimension_count", 7, TS_E_FORMAT, "rope.dimension_count"},
        {"llama.rope.dimension_count", 0, TS_E_FORMAT, "rope.dimension_count"},
        {"llama.vocab_size", 300, TS_E_FORMAT, "vocab_size"},
        {"llama.expert_count", 8, TS_E_UNSUPP, "experts"},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const gguf_edit e[] = {{.name = numbers[i].key, .what = EDIT_U32, .u = numbers[i].value}, {0}};
        refused(f, e, numbers[i].code, (const char *const[]){numbers[i].word, NULL});
    }
    static const struct {
        const char *key;
        float value;
        const char *word;
    } reals[] = {
        {"llama.attention.layer_norm_rms_epsilon", NAN, "epsilon"},
        {"llama.attention.layer_norm_rms_epsilon", -1, "epsilon"}, {"llama.rope.freq_base", 0, "freq_base"},
        {"llama.rope.freq_base", INFINITY, "freq_base"}, {"llama.rope.freq_base", -10000, "freq_base"},
        {"llama.rope.scaling.factor", NAN, "scaling.factor"},
        {"llama.rope.scaling.yarn_attn_factor", INFINITY, "yarn"}, {"llama.rope.freq_base", 1e-20f, "rope"},
    };
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const gguf_edit e[] = {{.name = reals[i].key, .what = EDIT_F32, .f = reals[i].value}, {0}};
        refused(f, e, TS_E_FORMAT, (const char *const[]){reals[i].word, NULL});
    }
    const char *const arch[] = {"\"mamba\"", "llama", "qwen3", NULL}, *const scaling[] = {"\"longrope\"", NULL},
                      *const number[] = {"head_count", NULL};
    refused(f, (const gguf_edit[]){{.name = "general.architecture", .what = EDIT_STR, .s = "mamba"}, {0}}, TS_E_UNSUPP,
            arch);
    refused(f, (const gguf_edit[]){{.name = "llama.rope.scaling.type", .what = EDIT_STR, .s = "longrope"}, {0}},
            TS_E_UNSUPP, scaling);
    refused(f, (const gguf_edit[]){{.name = "llama.attention.head_count", .what = EDIT_STR, .s = "many"}, {0}},
            TS_E_FORMAT, number);
    ts_free(f.data);
}

/* Every tensor in turn: missing, with a row too many, with longer rows, as a vector of the wrong length. */
static void check_tensors(const char *name, const char *const *optional) {
    gguf_file f = zoo_file(name);
    ts_gguf *g;
    ts_err err;
    assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = f.data, .len = f.len}, "x", 0, &err));
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        const char *const word[] = {t->name, NULL};
        bool needed = true;
        for (const char *const *o = optional; *o; o++) needed &= strcmp(*o, t->name) != 0;
        if (needed) refused(f, (const gguf_edit[]){{.name = t->name, .what = EDIT_DROP}, {0}}, TS_E_FORMAT, word);
        const bool matrix = t->n_dims == 2;
        gguf_edit e[] = {{.name = t->name, .what = EDIT_TENSOR, .type = TS_F32, .rows = matrix ? t->dim[1] + 1 : 0,
                          .cols = matrix ? t->dim[0] : t->dim[0] + 2}, {0}};
        refused(f, e, TS_E_FORMAT, word);
        if (matrix) {
            e[0].rows--, e[0].cols += 32;
            refused(f, e, TS_E_FORMAT, word);
        }
    }
    ts_gguf_close(g);
    ts_free(f.data);
}

static void test_tensors(void **state) {
    (void)state;
    /* without an output layer the embedding serves; without rope_freqs frequencies are plain */
    check_tensors("linear", (const char *const[]){"output.weight", NULL});
    check_tensors("gqa4-freqs-tied", (const char *const[]){"rope_freqs.weight", NULL});
    check_tensors("qwen3", (const char *const[]){NULL});
    gguf_file f = zoo_file("qwen2"); /* a bias that is missing is named by its layer */
    const char *const layer[] = {"layer 1", "bias", NULL};
    refused(f, (const gguf_edit[]){{.name = "blk.1.attn_k.bias", .what = EDIT_DROP}, {0}}, TS_E_FORMAT, layer);
    ts_free(f.data);
}

static void test_values(void **state) {
    (void)state;
    gguf_file f = zoo_file("gqa4-freqs-tied");
    float v[128];
    for (int i = 0; i < 128; i++) v[i] = 1;
    v[77] = NAN;
    const char *const element[] = {"blk.1.ffn_norm.weight", "element 77", NULL}, *const freq[] = {"rope_freqs.weight",
                                                                                                  "element 20", NULL};
    refused(f,
            (const gguf_edit[]){
                {.name = "blk.1.ffn_norm.weight", .what = EDIT_TENSOR, .type = TS_F32, .cols = 128, .data = v}, {0}},
            TS_E_FORMAT, element);
    v[77] = INFINITY;
    refused(f,
            (const gguf_edit[]){
                {.name = "blk.1.ffn_norm.weight", .what = EDIT_TENSOR, .type = TS_F32, .cols = 128, .data = v}, {0}},
            TS_E_FORMAT, element);
    v[20] = 0;
    refused(f,
            (const gguf_edit[]){
                {.name = "rope_freqs.weight", .what = EDIT_TENSOR, .type = TS_F32, .cols = 32, .data = v}, {0}},
            TS_E_FORMAT, freq);
    ts_free(f.data);

    /* a scale that is Inf or NaN, in the first or the second field of a block, in any row */
    static const struct {
        const char *model;
        size_t at; /* of the field in the last block */
        uint8_t low, high;
    } scales[] = {{"q4_0", 0, 0x00, 0x7c}, {"q8_0", 0, 0x01, 0xfe}, {"q4_1", 2, 0x00, 0xfc}, {"q4_k", 2, 0xff, 0x7f},
                  {"q6_k", 208, 0, 0x7c},  {"q2_k", 82, 0, 0x7c},   {"q3_k", 108, 0, 0xfc},  {"iq4_xs", 0, 0, 0x7c},
                  {"mxfp4", 0, 255, 0}};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        f = zoo_file(scales[i].model);
        ts_gguf *g;
        ts_err err;
        assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = f.data, .len = f.len}, "x", 0, &err));
        const ts_tensor *t = ts_gguf_tensor(g, "blk.1.attn_k.weight");
        uint8_t *copy = malloc(t->bytes);
        memcpy(copy, t->data, t->bytes);
        uint8_t *block = copy + t->bytes - ts_dtype_get(t->type)->block_bytes;
        block[scales[i].at] = scales[i].low;
        if (strcmp(scales[i].model, "mxfp4")) block[scales[i].at + 1] = scales[i].high;
        const char *const words[] = {"blk.1.attn_k.weight", "scale", NULL};
        refused(f,
                (const gguf_edit[]){{.name = "blk.1.attn_k.weight", .what = EDIT_TENSOR, .type = t->type,
                                     .rows = t->dim[1], .cols = t->dim[0], .data = copy},
                                    {0}},
                TS_E_FORMAT, words);
        free(copy);
        ts_gguf_close(g);
        ts_free(f.data);
    }
}

/* Inf and NaN in a matrix of floats, in the embedding of a model with its own output layer, in a bias: tensor, row
 * and element. */
static void test_not_finite(void **state) {
    (void)state;
    static const struct {
        const char *model, *tensor;
        size_t row, column; /* of the element that is changed */
        uint8_t byte[4];    /* its new bytes */
        const char *says;
    } t[] = {
        {"f32", "blk.1.ffn_up.weight", 3, 5, {0, 0, 0xc0, 0x7f}, "row 3, element 5"},
        {"f32", "blk.0.attn_v.weight", 0, 0, {0, 0, 0x80, 0xff}, "row 0, element 0"},
        {"f16", "blk.1.ffn_down.weight", 7, 1, {0x00, 0x7c}, "row 7, element 1"},
        {"f16", "output.weight", 2, 2, {0x01, 0xfe}, "row 2, element 2"},
        {"bf16", "blk.0.attn_q.weight", 1, 9, {0x80, 0xff}, "row 1, element 9"},
        {"q4_0", "token_embd.weight", 5, 32, {0x00, 0x7c}, "row 5, element 32"},
        {"q6_k", "token_embd.weight", 9, 0, {0}, NULL},
        {"qwen2", "blk.1.attn_k.bias", 0, 4, {0, 0, 0x80, 0x7f}, "element 4"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        gguf_file f = zoo_file(t[i].model);
        ts_gguf *g;
        ts_err err;
        assert_ok(ts_gguf_open_mem(&g, (ts_span){.data = f.data, .len = f.len}, "x", 0, &err));
        const ts_tensor *x = ts_gguf_tensor(g, t[i].tensor);
        assert_non_null(x);
        const ts_dtype_info *info = ts_dtype_get(x->type);
        uint8_t *copy = malloc(x->bytes);
        memcpy(copy, x->data, x->bytes);
        size_t at = t[i].row * ts_dtype_row_bytes(x->type, x->dim[0]) +
                    t[i].column / (size_t)info->block * (size_t)info->block_bytes;
        if (t[i].says) memcpy(copy + at, t[i].byte, info->block == 1 ? (size_t)info->block_bytes : 2);
        else copy[at + 208] = 0, copy[at + 209] = 0xfc; /* Q6_K's scale stands at the end of its block */
        const char *const words[] = {t[i].tensor, t[i].says ? t[i].says : "row 9, element 0", NULL};
        refused(f,
                (const gguf_edit[]){{.name = t[i].tensor, .what = EDIT_TENSOR, .type = x->type,
                                     .rows = x->n_dims == 2 ? x->dim[1] : 0, .cols = x->dim[0], .data = copy},
                                    {0}},
                TS_E_FORMAT, words);
        free(copy);
        ts_gguf_close(g);
        ts_free(f.data);
    }
}

/* Tensors that no layer asks for are refused by name. */
static void test_unused_tensors(void **state) {
    (void)state;
    static const struct {
        const char *model, *tensor;
        uint32_t rows, cols;
        const char *says;
    } t[] = {
        {"f32", "blk.1.attn_q_norm.weight", 0, 64, "no part of the llama models"},
        {"qwen2", "blk.0.attn_k_norm.weight", 0, 64, "no part of the qwen2 models"},
        {"f32", "blk.0.attn_sinks.weight", 0, 4, "no part of"},
        {"f32", "blk.0.ffn_gate_exps.weight", 8, 256, "no part of"},
        {"f32", "blk.0.attn_norm.bias", 0, 256, "no part of"},
        {"f32", "output_norm.bias", 0, 256, "no part of"},
        {"f32", "blk.0.attn_q.weight.lora_a", 4, 256, "no part of"},
        {"f32", "blk.0.attn_q.scale", 0, 1, "no part of"},
        {"f32", "blk.0.attn_q.input_scale", 0, 1, "no part of"},
        {"f32", "blk.2.attn_norm.weight", 0, 256, "belongs to no layer: llama.block_count is 2"},
        {"f32", "blk.00.attn_norm.weight", 0, 256, "no part of"},
        {"f32", "position_embd.weight", 16, 256, "no part of"},
        {"f32", "token_types.weight", 2, 256, "no part of"},
        {"f32", "v.patch_embd.weight", 2, 256, "no part of"},
        {"f32", "rope_factors_long.weight", 0, 32, "no part of"},
        {"f32", "cls.output.weight", 2, 256, "no part of"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        gguf_file f = zoo_file(t[i].model);
        const char *const words[] = {t[i].tensor, t[i].says, NULL};
        refused(f,
                (const gguf_edit[]){
                    {.name = t[i].tensor, .what = EDIT_TENSOR, .type = TS_F32, .rows = t[i].rows, .cols = t[i].cols},
                    {0}},
                TS_E_UNSUPP, words);
        ts_free(f.data);
    }
    /* the others are counted */
    gguf_file f = zoo_file("f32");
    const char *const more[] = {"blk.0.x", "and 1 more like it", NULL};
    refused(f,
            (const gguf_edit[]){{.name = "blk.0.x", .what = EDIT_TENSOR, .type = TS_F32, .cols = 4},
                                {.name = "blk.0.y", .what = EDIT_TENSOR, .type = TS_F32, .cols = 4},
                                {0}},
            TS_E_UNSUPP, more);
    ts_free(f.data);
}

/* What becomes of one key with one value. */
static void check_key(const char *model, gguf_edit edit, const char *refused_with, ts_key_use use) {
    gguf_file base = zoo_file(model);
    const gguf_edit list[] = {edit, {0}};
    if (refused_with) {
        refused(base, list, TS_E_UNSUPP, (const char *const[]){edit.name, refused_with, NULL});
    } else {
        ts_pool *pool = pool_of(1);
        gguf_file f = gguf_edited(base, list);
        ts_source *src;
        ts_model *m;
        ts_err err;
        ts_status s = open_model(f, &src, &m, pool, &err);
        if (s != TS_OK) fail_msg("%s: %s", edit.name, err.msg);
        char line[300];
        size_t n = src->op->warn_rest(src, &m->c, line, sizeof line);
        assert_int_equal(n, use == TS_KEY_UNKNOWN || use == TS_KEY_IGNORED);
        assert_int_equal(!!strstr(line, edit.name), n);
        ts_model_close(m);
        ts_source_close(src);
        ts_pool_free(pool);
        ts_free(f.data);
    }
    ts_free(base.data);
}

/* Keys that change results are refused with key and value, unless they say what happens anyway; unknown ones are
 * named. */
static void test_keys(void **state) {
    (void)state;
#define U(key, value) (gguf_edit){.name = key, .what = EDIT_U32, .u = value}
#define F(key, value) (gguf_edit){.name = key, .what = EDIT_F32, .f = value}
#define S(key, value) (gguf_edit){.name = key, .what = EDIT_STR, .s = value}
    static const char *const zero[] = {"attn_logit_softcapping", "final_logit_softcapping", "attention.clamp_kqv",
                                       "attention.max_alibi_bias", "rope.freq_base_swa", "rope.scaling.alpha",
                                       "rope.scaling.yarn_log_multiplier", "swiglu_clamp_exp",
                                       "attention.temperature_scale", "pooling_type", "use_parallel_residual",
                                       "nextn_predict_layers", "attention.q_lora_rank", "attention.key_length_mla",
                                       "ssm.state_size", "rope.dimension_sections"};
    char key[96];
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        snprintf(key, sizeof key, "llama.%s", zero[i]);
        check_key("f32", F(key, 30), "= 30", 0);
        check_key("f32", F(key, 1), "= 1", 0);
        check_key("f32", U(key, 0), NULL, TS_KEY_HARMLESS);
    }
    static const char *const factor[] = {"logit_scale", "residual_scale", "embedding_scale", "attention.output_scale"};
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++) {
        snprintf(key, sizeof key, "qwen3.%s", factor[i]);
        check_key("qwen3", F(key, 0.5f), "= 0.5", 0);
        check_key("qwen3", F(key, 1), NULL, TS_KEY_HARMLESS);
        check_key("qwen3", F(key, 0), NULL, TS_KEY_HARMLESS);
    }
    check_key("f32", U("llama.attention.causal", 0), "= 0", 0);
    check_key("f32", U("llama.attention.causal", 1), NULL, TS_KEY_HARMLESS);
    check_key("f32", S("llama.tensor_data_layout", "transposed"), "transposed", 0);
    check_key("f32", S("llama.tensor_data_layout", "Meta AI original pth"), NULL, TS_KEY_HARMLESS);
    check_key("f32", S("llama.hidden_act", "gelu"), "gelu", 0);
    check_key("f32", S("llama.hidden_act", "silu"), NULL, TS_KEY_HARMLESS);
    check_key("f32", U("llama.attention.sliding_window_pattern", 6), NULL, TS_KEY_HARMLESS); /* of no window */
    check_key("window", U("llama.attention.sliding_window_pattern", 6), "= 6", 0);
    check_key("window", U("llama.attention.sliding_window_pattern", 1), NULL, TS_KEY_HARMLESS);
    check_key("f32", U("llama.expert_used_count", 2), NULL, TS_KEY_HARMLESS);
    check_key("f32", U("llama.frobnication", 2), NULL, TS_KEY_UNKNOWN);
    check_key("f32", U("qwen2.logit_scale", 2), NULL, TS_KEY_HARMLESS); /* another family's */
    check_key("f32", U("general.quantization_version", 2), NULL, TS_KEY_USED);
    check_key("f32", U("general.quantization_version", 3), "= 3", 0);
    check_key("f32", S("general.type", "model"), NULL, TS_KEY_USED);
    check_key("f32", S("general.type", "adapter"), "adapter", 0);
    check_key("f32", F("general.sampling.temp", 0.6f), NULL, TS_KEY_IGNORED);
    check_key("f32", S("general.license", "mit"), NULL, TS_KEY_HARMLESS);
    check_key("f32", S("tokenizer.ggml.precompiled_charsmap", "x"), "= \"x\"", 0);
    check_key("f32", S("tokenizer.ggml.normalizer", "nfkc"), "nfkc", 0);
    check_key("f32", U("tokenizer.ggml.add_sep_token", 1), "= 1", 0);
    check_key("f32", U("tokenizer.ggml.padding_token_id", 1), NULL, TS_KEY_HARMLESS);
    check_key("f32", U("tokenizer.ggml.frobnicate", 1), NULL, TS_KEY_UNKNOWN);
    check_key("linear", F("llama.rope.scaling.attn_factor", 2), "without yarn", 0);
    check_key("yarn", F("llama.rope.scaling.attn_factor", 2), NULL, TS_KEY_USED);
    check_key("f32", F("llama.attention.scale", 0.1f), NULL, TS_KEY_USED);
#undef U
#undef F
#undef S
}

/* attention.scale is followed: the default spelled out gives the same bits, another one others. */
static void test_attention_scale(void **state) {
    (void)state;
    gguf_file base = zoo_file("mha");
    ts_pool *pool = pool_of(1);
    ts_err err;
    const float value[] = {-1, 0, 0.17677669f, 0.5f}; /* -1: no key; 1 / sqrt(32) */
    for (int i = 0; i < 4; i++) {
        gguf_file f = gguf_edited(
            base,
            (const gguf_edit[]){{.name = i ? "llama.attention.scale" : "x", .what = EDIT_F32, .f = value[i]}, {0}});
        ts_source *src;
        ts_model *m;
        assert_ok(open_model(f, &src, &m, pool, &err));
        assert_true(m->c.att_scale == (i < 3 ? 1.0f / sqrtf(32) : 0.5f));
        ts_model_close(m);
        ts_source_close(src);
        ts_free(f.data);
    }
    const char *const words[] = {"attention.scale", NULL};
    refused(base, (const gguf_edit[]){{.name = "llama.attention.scale", .what = EDIT_F32, .f = -0.5f}, {0}},
            TS_E_FORMAT, words);
    ts_free(base.data);
    ts_pool_free(pool);
}

/* What the model says about itself, counted by hand. */
static void test_counts(void **state) {
    (void)state;
    gguf_file f = zoo_file("mixed-blocks"); /* d 256, ff 352, 4 heads and 2 KV heads of 64, 2 layers, tied */
    ts_pool *pool = pool_of(2);
    ts_source *src;
    ts_model *m;
    ts_err err;
    assert_ok(open_model(f, &src, &m, pool, &err));
    assert_int_equal(ts_model_layer_macs(m), 2 * (256 * 256 * 2 + 256 * 128 * 2 + 3 * 256 * 352));
    assert_int_equal(ts_model_head_macs(m), 256 * 272);
    assert_string_equal(m->c.arch, "llama");
    assert_int_equal(m->c.n_vocab, 272);
    assert_true(m->head->tensor == m->embed);
    /* per layer: q k o gate up Q4_K; v Q4_K, in the second layer Q5_0; down has rows of 352, no 256-blocks: Q8_0,
     * and Q5_0 in the second; the head Q6_K. Rows are multiples of 16 everywhere, so that packed weights are as
     * large as the file's. */
    size_t q4k = ts_dtype_row_bytes(TS_Q4_K, 256),
           want = 2 * q4k * (256 + 128 + 256 + 352 * 2) + 128 * q4k + 128 * ts_dtype_row_bytes(TS_Q5_0, 256);
    want += 256 * (ts_dtype_row_bytes(TS_Q8_0, 352) + ts_dtype_row_bytes(TS_Q5_0, 352)) +
            272 * ts_dtype_row_bytes(TS_Q6_K, 256);
    const size_t got = ts_model_token_bytes(m), groups = 2 * (256 + 128 * 2 + 256 + 352 * 2 + 256) / 16 + 17;
    assert_true(got >= want && got < want + groups * 64); /* a group's head region is whole lines */
    assert_true(m->packed.bytes >= got);
    ts_model_close(m);
    ts_source_close(src);
    ts_pool_free(pool);
    ts_free(f.data);
    ts_model_close(NULL);
    assert_non_null(ts_arch_find("qwen2", 5));
    assert_null(ts_arch_find("qwen", 4));
    assert_null(ts_arch_find("", 0));
}

static bool stop_at_half(void *ud, size_t done, size_t all) {
    (void)ud;
    return done < all / 2;
}

static void test_cancel(void **state) {
    (void)state;
    gguf_file f = zoo_file("q4_k");
    ts_pool *pool = pool_of(1);
    ts_source *src;
    ts_model *m = NULL;
    ts_err err;
    assert_ok(open_source(f, &src, &err));
    long before = alloc_fail_live();
    assert_status(ts_model_open(&m, src, pool, (ts_load_progress){.fn = stop_at_half}, &err), TS_E_CANCELLED);
    assert_null(m);
    assert_int_equal(alloc_fail_live(), before);
    ts_source_close(src);
    ts_pool_free(pool);
    ts_free(f.data);
}

/* Two timelines and a continuation in one pass give the bits that each gives alone. */
static void test_spans(void **state) {
    (void)state;
    gguf_file f = zoo_file("gqa3-hd40");
    ts_pool *pool = pool_of(2);
    ts_source *src;
    ts_model *m;
    ts_err err;
    ts_kern kern;
    ts_kern_init(&kern, ts_cpu_detect());
    assert_ok(open_model(f, &src, &m, pool, &err));
    const ts_exec ex = {.pool = pool, .kern = &kern};
    enum { N = 70, A = 20, B = 41 }; /* positions; how many of each timeline come first */
    uint32_t all[N];
    for (uint32_t i = 0; i < N; i++) all[i] = i;
    ts_scratch s;
    ts_kv_pool *pages;
    ts_kv alone, a, b;
    int32_t id[N], mixed[N];
    assert_ok(ts_scratch_init(&s, m, N, 2, &err));
    assert_ok(ts_kv_pool_new(&pages, &m->c, &err));
    ts_kv *const kv[] = {&alone, &a, &b};
    for (int i = 0; i < 3; i++) {
        assert_ok(ts_kv_init(kv[i], pages, N, TS_KV_F16, &err));
        assert_ok(ts_kv_reserve(kv[i], 0, N, &err));
    }
    zoo_prompt(m->c.n_vocab, id, N);
    const size_t row = m->c.n_vocab;
    float *want = ts_alloc(N, row * sizeof *want), *got = ts_alloc(N, row * sizeof *got);
    assert_true(want && got);
    const ts_att_span whole = {.kv = &alone, .first = 0, .n = N, .pos0 = 0};
    assert_ok(ts_forward(m, ex, &s, &(ts_batch){.n_tok = N, .id = id, .span = &whole, .n_span = 1}, &err));
    assert_ok(ts_forward_logits(m, ex, &s, all, N, want, &err));
    /* a's and b's beginnings, then the middle of b, the end of a */
    const ts_att_span first[] = {{&a, 0, A, 0}, {&b, A, B, 0}};
    memcpy(mixed, id, A * sizeof *id);
    memcpy(mixed + A, id, B * sizeof *id);
    assert_ok(ts_forward(m, ex, &s, &(ts_batch){.n_tok = A + B, .id = mixed, .span = first, .n_span = 2}, &err));
    assert_ok(ts_forward_logits(m, ex, &s, all, A + B, got, &err));
    assert_memory_equal(got, want, A * row * sizeof *got);
    assert_memory_equal(got + A * row, want, B * row * sizeof *got);
    const ts_att_span second[] = {{&b, 0, 10, B}, {&a, 10, N - A, A}};
    memcpy(mixed, id + B, 10 * sizeof *id);
    memcpy(mixed + 10, id + A, (N - A) * sizeof *id);
    assert_ok(ts_forward(m, ex, &s, &(ts_batch){.n_tok = 10 + N - A, .id = mixed, .span = second, .n_span = 2}, &err));
    assert_ok(ts_forward_logits(m, ex, &s, all + 3, 10 + N - A - 3, got, &err));
    assert_memory_equal(got, want + (B + 3) * row, 7 * row * sizeof *got);
    assert_memory_equal(got + 7 * row, want + A * row, (N - A) * row * sizeof *got);
    /* any rows in any order, again and again; and in two steps */
    const uint32_t some[] = {N - A + 9, 4, 10, 4};
    const size_t place[] = {N - 1, B + 4, A, B + 4};
    float *hidden = ts_alloc(4, m->c.d_model * sizeof *hidden);
    assert_non_null(hidden);
    for (int steps = 1; steps <= 2; steps++) {
        memset(got, 0, 4 * row * sizeof *got);
        if (steps == 1) {
            assert_ok(ts_forward_logits(m, ex, &s, some, 4, got, &err));
        } else {
            assert_ok(ts_forward_hidden(m, ex, &s, some, 4, hidden, &err));
            assert_ok(ts_hidden_logits(m, ex, &s, hidden, 4, got, &err));
        }
        for (int i = 0; i < 4; i++)
            assert_memory_equal(got + i * row, want + place[i] * row, row * sizeof *got);
    }
    ts_free(hidden);
    ts_free(want), ts_free(got);
    ts_kv_fini(&alone), ts_kv_fini(&a), ts_kv_fini(&b);
    ts_kv_pool_free(pages);
    ts_scratch_fini(&s);
    ts_model_close(m);
    ts_source_close(src);
    ts_pool_free(pool);
    ts_free(f.data);
}

struct opening {
    ts_source *src;
    ts_pool *pool;
};

static bool open_and_close(void *ud) {
    const struct opening *o = ud;
    ts_model *m = NULL;
    ts_scratch s = {0};
    bool ok = ts_model_open(&m, o->src, o->pool, (ts_load_progress){0}, NULL) == TS_OK;
    ok = ok && ts_scratch_init(&s, m, 5, 3, NULL) == TS_OK;
    if (ok) ts_scratch_fini(&s);
    ts_model_close(m);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    static const char *const names[] = {"qwen2-yarn", "gqa4-freqs-tied", "mixed-blocks"};
    for (int i = 0; i < 3; i++) {
        gguf_file f = zoo_file(names[i]);
        ts_err err;
        struct opening o = {.pool = pool_of(1)};
        assert_ok(open_source(f, &o.src, &err));
        alloc_fail_loop(open_and_close, &o, false);
        ts_source_close(o.src);
        ts_pool_free(o.pool);
        ts_free(f.data);
    }
}

/* Bytes of this process that are in mappings for which huge pages were asked. */
static size_t huge_bytes(void) {
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f) return 0;
    char line[512];
    size_t kb = 0, all = 0;
    while (fgets(line, sizeof line, f)) {
        (void)sscanf(line, "Size: %zu kB", &kb);
        if (!strncmp(line, "VmFlags:", 8) && strstr(line, " hg")) all += kb << 10;
    }
    fclose(f);
    return all;
}

/* Huge pages would make the memory of a small model's passes resident after the first token. */
static void test_huge_pages(void **state) {
    (void)state;
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK)) SKIP("this kernel has no huge pages", "one that has them");
    gguf_file f = zoo_file("mha");
    ts_pool *pool = pool_of(1);
    ts_source *src;
    ts_model *m;
    ts_err err;
    assert_ok(open_model(f, &src, &m, pool, &err));
    for (uint32_t max_tok = 16; max_tok <= 65536; max_tok *= 4096) {
        ts_scratch s;
        const size_t before = huge_bytes();
        assert_ok(ts_scratch_init(&s, m, max_tok, 1, &err));
        const size_t asked = huge_bytes() - before;
        if (max_tok == 16) assert_int_equal(asked, 0);
        else assert_true(asked >= (size_t)16 << 20);
        ts_scratch_fini(&s);
    }
    ts_model_close(m);
    ts_source_close(src);
    ts_pool_free(pool);
    ts_free(f.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),        cmocka_unit_test(test_tensors),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_not_finite),      cmocka_unit_test(test_unused_tensors), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_attention_scale), cmocka_unit_test(test_counts),         cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_spans),           cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_huge_pages),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
