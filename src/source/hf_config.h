/* hf_config.h - what config.json and the files beside it say of a model. */
#ifndef TS_SOURCE_HF_CONFIG_H
#define TS_SOURCE_HF_CONFIG_H

#include "base/span.h"
#include "ckpt/q4.h"
#include "format/gguf_write.h"

typedef enum ts_hf_rope { TS_HF_ROPE_PLAIN, TS_HF_ROPE_LINEAR, TS_HF_ROPE_YARN, TS_HF_ROPE_LLAMA3 } ts_hf_rope;

typedef struct ts_hf_config {
    char family[32]; /* as GGUF calls it: "llama", "qwen2", "qwen3" */
    bool interleave; /* GGUF has the rows of q and k in the order in which neighbours turn together */
    uint32_t n_layer, d_model, d_ff, n_head, n_kv_head, head_dim, n_vocab, n_ctx, window, n_rot;
    double norm_eps, rope_base;
    ts_hf_rope rope;
    double rope_factor, rope_low, rope_high;       /* low, high: Llama 3's */
    double attention_factor, beta_fast, beta_slow; /* YaRN's; 0: not said */
    uint32_t rope_orig;
    bool tied;
    char method[48]; /* of quantising, as it is written; empty: none */
    ts_q4_config q4;
} ts_hf_config;

/* From the folder's config.json, and quantize_config.json and the like where that says nothing of quantising. Sizes are
 * within bounds and fit each other. Errors: TS_E_IO, TS_E_FORMAT; TS_E_UNSUPP naming what Tessera does not compute. */
TS_NODISCARD ts_status ts_hf_config_read(ts_hf_config *out, const char *dir, ts_err *err);
/* From the text of a config.json alone. */
TS_NODISCARD ts_status ts_hf_config_read_mem(ts_hf_config *out, ts_span text, ts_err *err);
/* The same as GGUF's metadata. */
void ts_hf_config_put(const ts_hf_config *c, ts_gguf_writer *w);
/* Llama 3's factors that the rotary frequencies are divided by: out [n_rot / 2]. */
void ts_hf_rope_factors(const ts_hf_config *c, float *out);

#endif
