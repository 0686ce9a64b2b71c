/* config.h - the shape of a model, from its file's metadata. Depends on: format/gguf.h. */
#ifndef TS_MODEL_CONFIG_H
#define TS_MODEL_CONFIG_H

#include "format/gguf.h"

/* How positions beyond the trained context are squeezed: frequencies are divided by `factor` (linear), or by a blend
 * between that and nothing that depends on the frequency (YaRN, Peng et al. 2023, arXiv 2309.00071). */
typedef enum ts_rope_scaling { TS_ROPE_NONE, TS_ROPE_LINEAR, TS_ROPE_YARN } ts_rope_scaling;

typedef struct ts_model_config {
    char arch[32]; /* general.architecture */
    char name[96]; /* general.name, may be empty */
    uint32_t n_layer, n_vocab, n_ctx_train;
    uint32_t d_model, d_ff;
    uint32_t n_head, n_kv_head; /* n_head is a multiple of n_kv_head */
    uint32_t head_dim;          /* of q, k and v */
    uint32_t window;            /* sliding window in positions, 0: none */
    float norm_eps;
    float att_scale; /* of the scores: 1 / sqrt(head_dim) unless the file says otherwise */

    uint32_t n_rot; /* rotated elements of a head, even */
    float rope_base;
    ts_rope_scaling rope_scaling;
    float rope_factor; /* >= 1 usually; 1: none */
    uint32_t rope_ctx_orig;
    float yarn_ext, yarn_attn, yarn_beta_fast, yarn_beta_slow;
} ts_model_config;

/* Read and check the metadata of a file whose architecture is `arch` ("llama", "qwen2", ...: the prefix of its keys).
 * Errors: TS_E_FORMAT naming the key; TS_E_UNSUPP for what is well-formed but not done (experts, other rope kinds). */
TS_NODISCARD ts_status ts_model_config_read(ts_model_config *c, const ts_gguf *g, const char *arch, ts_err *err);

/* head_dim rounded up to 16, the lanes of the numeric contract. */
static inline uint32_t ts_head_pad(const ts_model_config *c) {
    return (c->head_dim + 15) & ~15u;
}

/* Bytes of KV cache for n_ctx positions: keys and values of every layer, positions rounded up to whole tiles. 0 on
 * overflow. */
size_t ts_kv_bytes(const ts_model_config *c, uint64_t n_ctx, ts_kv_type type);

#endif
