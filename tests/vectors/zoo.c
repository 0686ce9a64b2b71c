#include "vectors/zoo.h"
#include "base/rng.h"

#include <string.h>

enum { VOCAB = 272, CTX = 512 };

#define ALL(type) {type, type, type}
#define SHAPE(name_, arch_, layers, d, ff, heads, kv_heads, hd, base, eps, ...)                                    \
    {                                                                                                              \
        .name = name_, .arch = arch_, .n_layer = layers, .d_model = d, .d_ff = ff, .n_head = heads,                \
        .n_kv_head = kv_heads, .head_dim = hd, .n_vocab = VOCAB, .n_ctx = CTX, .rope_base = base, .norm_eps = eps, \
        __VA_ARGS__                                                                                                \
    }
/* a model of one type for all matrices: 2 layers, every row length a multiple of 256 */
#define TYPE(name_, ...) {SHAPE(name_, "llama", 2, 256, 512, 4, 2, 64, 10000, 1e-5f, .tied = false), {__VA_ARGS__}}

static const zoo_model zoo[] = {
    /* groups of 1, 3, 4 and 7 query heads; heads that are no multiple of 16; head outputs wider than the model */
    {SHAPE("mha", "llama", 3, 96, 160, 3, 3, 32, 10000, 1e-5f, .tied = false), ALL(TS_F32)},
    {SHAPE("gqa3-hd40", "llama", 2, 240, 176, 6, 2, 40, 10000, 1e-5f, .tied = false), ALL(TS_F32)},
    {SHAPE("gqa4-freqs-tied", "llama", 2, 128, 192, 8, 2, 64, 500000, 1e-5f, .tied = true, .rope_factor = 32),
     ALL(TS_F32)},
    {SHAPE("gqa7-hd128", "llama", 2, 128, 192, 7, 1, 128, 10000, 1e-3f, .tied = false), ALL(TS_F32)},
    {SHAPE("window", "llama", 2, 96, 128, 2, 1, 48, 10000, 1e-5f, .tied = false, .window = 70), ALL(TS_F32)},
    {SHAPE("window-1", "llama", 2, 96, 128, 2, 1, 48, 10000, 1e-5f, .tied = false, .window = 1), ALL(TS_F32)},
    {SHAPE("linear", "llama", 2, 96, 128, 2, 1, 48, 10000, 1e-5f, .tied = false, .linear = 4), ALL(TS_F32)},
    {SHAPE("yarn", "llama", 2, 96, 128, 2, 1, 48, 10000, 1e-5f, .tied = false, .yarn = 4, .rope_ctx_orig = 1024),
     ALL(TS_F32)},
    {SHAPE("rot-half", "llama", 2, 96, 128, 2, 1, 48, 10000, 1e-5f, .tied = false, .n_rot = 24), ALL(TS_F32)},
    {SHAPE("qwen2", "qwen2", 2, 224, 128, 7, 1, 32, 1000000, 1e-6f, .tied = true), ALL(TS_F32)},
    {SHAPE("qwen2-yarn", "qwen2", 2, 256, 128, 4, 2, 64, 1000000, 1e-5f, .tied = false, .yarn = 4, .rope_ctx_orig = 64),
     ALL(TS_F32)},
    {SHAPE("qwen3", "qwen3", 2, 96, 128, 4, 2, 80, 1000000, 1e-6f, .tied = true), ALL(TS_F32)},
    /* types side by side: 32- and 256-blocks of the same activations, float rows between quantised ones, rows that
     * are no whole blocks of the type asked for (288: Q8_0 instead; 240: F16 instead), an embedding of blocks */
    {SHAPE("mixed-blocks", "llama", 2, 256, 352, 4, 2, 64, 10000, 1e-5f, .tied = true), {TS_Q4_K, TS_Q6_K, TS_Q5_0}},
    {SHAPE("mixed-float", "llama", 2, 256, 512, 4, 1, 64, 10000, 1e-5f, .tied = false), {TS_Q4_0, TS_BF16, TS_F16}},
    {SHAPE("fallback-q8_0", "llama", 2, 288, 160, 3, 1, 96, 10000, 1e-5f, .tied = false), ALL(TS_Q4_K)},
    {SHAPE("fallback-f16", "qwen3", 2, 240, 112, 3, 1, 80, 10000, 1e-5f, .tied = true), ALL(TS_Q6_K)},

    TYPE("f32", TS_F32, TS_F32, TS_F32),
    TYPE("f16", TS_F16, TS_F16, TS_F16),
    TYPE("bf16", TS_BF16, TS_BF16, TS_BF16),
    TYPE("q8_0", TS_Q8_0, TS_Q8_0, TS_Q8_0),
    TYPE("q4_0", TS_Q4_0, TS_Q4_0, TS_Q4_0),
    TYPE("q4_1", TS_Q4_1, TS_Q4_1, TS_Q4_1),
    TYPE("q5_0", TS_Q5_0, TS_Q5_0, TS_Q5_0),
    TYPE("q5_1", TS_Q5_1, TS_Q5_1, TS_Q5_1),
    TYPE("q2_k", TS_Q2_K, TS_Q2_K, TS_Q2_K),
    TYPE("q3_k", TS_Q3_K, TS_Q3_K, TS_Q3_K),
    TYPE("q4_k", TS_Q4_K, TS_Q4_K, TS_Q4_K),
    TYPE("q5_k", TS_Q5_K, TS_Q5_K, TS_Q5_K),
    TYPE("q6_k", TS_Q6_K, TS_Q6_K, TS_Q6_K),
    TYPE("iq4_nl", TS_IQ4_NL, TS_IQ4_NL, TS_IQ4_NL),
    TYPE("iq4_xs", TS_IQ4_XS, TS_IQ4_XS, TS_IQ4_XS),
    TYPE("mxfp4", TS_MXFP4, TS_MXFP4, TS_MXFP4),
};
enum { N_ZOO = sizeof zoo / sizeof *zoo, N_TYPES = 16 };
const size_t zoo_first_type = N_ZOO - N_TYPES;

const zoo_model *zoo_at(size_t i) {
    return i < N_ZOO ? &zoo[i] : NULL;
}

const zoo_model *zoo_find(const char *name) {
    for (size_t i = 0; i < N_ZOO; i++)
        if (!strcmp(zoo[i].shape.name, name)) return &zoo[i];
    return NULL;
}

/* From the name, so that a new model does not change the others. */
uint64_t zoo_seed(const zoo_model *m) {
    uint64_t seed = 5381;
    for (const char *p = m->shape.name; *p; p++) seed = seed * 33 + (uint8_t)*p;
    return seed;
}

ts_status zoo_make(const zoo_model *m, ts_buf *out, ts_err *err) {
    return ts_shape_make(&m->shape, &m->mix, zoo_seed(m), out, err);
}

void zoo_prompt(uint32_t n_vocab, int32_t *token, size_t n) {
    ts_rng rng = ts_rng_seed(2);
    for (size_t i = 0; i < n; i++) token[i] = (int32_t)ts_rng_below(&rng, n_vocab);
}
