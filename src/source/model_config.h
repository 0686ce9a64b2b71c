/* model_config.h - the shape of a model. */
#ifndef TS_SOURCE_MODEL_CONFIG_H
#define TS_SOURCE_MODEL_CONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* How positions beyond the trained context are squeezed: frequencies are divided by `factor` (linear), or by a blend
 * between that and nothing that depends on the frequency (YaRN, Peng et al. 2023, arXiv 2309.00071). */
typedef enum ts_rope_scaling { TS_ROPE_NONE, TS_ROPE_LINEAR, TS_ROPE_YARN } ts_rope_scaling;

typedef struct ts_model_config {
    char arch[32]; /* the family: a ts_arch.name */
    char name[96]; /* of the model, may be empty */
    uint32_t n_layer, n_vocab, n_ctx_train;
    uint32_t d_model, d_ff;
    uint32_t n_head, n_kv_head; /* n_head is a multiple of n_kv_head */
    uint32_t head_dim;          /* of q, k and v */
    uint32_t window;            /* sliding window in positions, 0: none */
    float norm_eps;
    float att_scale; /* of the scores: 1 / sqrt(head_dim) unless the file says otherwise */

    uint32_t n_rot; /* rotated elements of a head, even */
    /* Which elements of q and k turn together: (i, i + n_rot/2), as they were trained; or (2i, 2i + 1), where whoever
     * wrote the file has put the rows in that order. */
    bool rope_halves;
    float rope_base;
    ts_rope_scaling rope_scaling;
    float rope_factor; /* >= 1 usually; 1: none */
    uint32_t rope_ctx_orig;
    float yarn_ext, yarn_attn, yarn_beta_fast, yarn_beta_slow;
} ts_model_config;

/* head_dim rounded up to 16, the lanes of the numeric contract. */
enum { TS_HEAD_LANES = 16 };
static inline uint32_t ts_head_pad(const ts_model_config *c) {
    return (c->head_dim + TS_HEAD_LANES - 1) & ~(TS_HEAD_LANES - 1u);
}

/* Bounds that every size computed from a configuration relies on. */
enum {
    TS_MAX_LAYERS = 1024,
    TS_MAX_HEADS = 1024,
    TS_MAX_HEAD_DIM = 1024,
    TS_MAX_WIDTH = 1 << 18,
    TS_MAX_FF = 1 << 20,
    TS_MAX_CTX = 1 << 30,
};
/* Whatever a source has put there: is it possible? TS_E_FORMAT, in `name`, saying what is not. A source's own messages,
 * which name its keys, come before. */
TS_NODISCARD ts_status ts_model_config_check(const ts_model_config *c, const char *name, ts_err *err);

#endif
